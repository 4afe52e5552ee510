//! What call control tells a leg, and what a leg does when its time has come.

use super::stateless::PATIENCE_WITH_2XX;
use super::user_agent::{Purpose, UserAgent};
use crate::line::is_one_line;
use crate::session::{LegId, LocalMedia};
use crate::sip::leg::state::{Cancel, Described, Leg, RING_AGAIN, Reinvite, State, WaitingReoffer};
use crate::sip::leg::{CommandError, EndCause, LegCommand, LegEvent, MAX_REDIRECTIONS, Side};
use crate::sip::message::{Method, Name, NameAddr, Uri, reason};
use crate::sip::sdp::CONTENT_TYPE;
use crate::time::Time;

/// The longest Content-Type and the longest Reason that we write of what call control gives, in bytes.
const MAX_TEXT: usize = 256;

/// The longest URI in a redirection, in bytes.
const MAX_CONTACT: usize = 1_024;

impl UserAgent {
    /// Carries out a command on a leg. An error means that nothing was done, but for
    /// [`CommandError::NotAcceptable`].
    pub fn command(&mut self, leg: LegId, command: LegCommand, now: Time) -> Result<(), CommandError> {
        self.moment = now;
        let mut leg = self.take(leg).ok_or(CommandError::NoSuchLeg)?;
        let done = if leg.is_ended() {
            Err(CommandError::NoSuchLeg)
        } else {
            match command {
                LegCommand::Ring => self.ring(&mut leg, now),
                LegCommand::Progress { media } => self.progress(&mut leg, media, now),
                LegCommand::Accept { media } => self.answer(&mut leg, media, now),
                LegCommand::Refuse { status, phrase, retry_after } => {
                    self.refuse_leg(&mut leg, status, phrase.as_deref(), retry_after, None, now)
                }
                LegCommand::Redirect { contacts } => self.redirect(&mut leg, &contacts, now),
                LegCommand::Reoffer { media } => self.reoffer(&mut leg, media, now),
                LegCommand::Info { content_type, body } => self.info(&mut leg, &content_type, body, now),
                LegCommand::Refer(wish) => self.refer(&mut leg, *wish, now),
                LegCommand::Follow(invite) => self.follow(&mut leg, *invite, now),
                LegCommand::RefuseReferral { status } => self.refuse_referral(&mut leg, status, now),
                LegCommand::Hangup { reason } => self.hang_up(&mut leg, reason, now),
            }
        };
        self.put(leg);
        self.sweep();
        done
    }

    fn ring(&mut self, leg: &mut Leg, now: Time) -> Result<(), CommandError> {
        let state = leg.state.name();
        let Some(incoming) = &mut leg.incoming else { return Err(CommandError::WrongState { state }) };
        incoming.ring_again = Some(now + RING_AGAIN);
        self.send_provisional(leg, 180, None, now);
        Ok(())
    }

    pub(super) fn answer(&mut self, leg: &mut Leg, media: LocalMedia, now: Time) -> Result<(), CommandError> {
        let state = leg.state.name();
        let Some(incoming) = &leg.incoming else { return Err(CommandError::WrongState { state }) };
        if media.codecs.is_empty() {
            return Err(CommandError::BadValue { what: "a list of no codecs" });
        }
        if Self::must_wait_for_prack(leg) {
            leg.reliable.accept = Some(media);
            return Ok(());
        }
        let same = leg.local_media.as_ref() == Some(&media);
        let mut later = None;
        let (body, agreed) = match (leg.reliable.described, &incoming.offer) {
            // The session stands already: its answer again, or, where we offered, nothing.
            (Some(described), _) if leg.settled || same && described == Described::Answer => {
                later = Some(media.clone()).filter(|_| !same);
                let body = if described == Described::Answer { leg.sdp.repeat() } else { None };
                (body, leg.media.clone())
            }
            (_, Some(offer)) => match leg.sdp.answer(offer, &media) {
                Ok((body, agreed)) => (Some(body), Some(agreed)),
                Err(_) => {
                    self.refuse_leg(leg, 488, None, None, None, now)?;
                    return Err(CommandError::NotAcceptable);
                }
            },
            (_, None) if leg.sdp.check(&media).is_err() => {
                self.refuse_leg(leg, 488, None, None, None, now)?;
                return Err(CommandError::NotAcceptable);
            }
            (_, None) => (Some(leg.sdp.offer(&media)), None),
        };
        let Some(incoming) = self.take_incoming(leg) else { return Err(CommandError::WrongState { state }) };
        match later {
            Some(media) => leg.waiting_reoffer = Some(WaitingReoffer { media, at: None, glares: 0 }),
            None => leg.local_media = Some(media),
        }
        leg.media.clone_from(&agreed);
        self.accept(leg, incoming.transaction, &incoming.invite, body, agreed.is_none(), false, now);
        self.tell(leg, LegEvent::Accepted { media: agreed });
        Ok(())
    }

    pub(super) fn refuse_leg(
        &mut self,
        leg: &mut Leg,
        status: u16,
        phrase: Option<&str>,
        retry_after: Option<u32>,
        reason: Option<&str>,
        now: Time,
    ) -> Result<(), CommandError> {
        if !(400..700).contains(&status) {
            return Err(CommandError::BadValue { what: "a status outside 400 to 699" });
        }
        let state = leg.state.name();
        let Some(incoming) = self.take_incoming(leg) else { return Err(CommandError::WrongState { state }) };
        if status == 404 {
            self.found_nobody(incoming.transaction, now);
        }
        if let Some(peer) = self.servers.get(&incoming.transaction).map(|t| t.peer) {
            let mut response = self.response(leg, &incoming.invite, status, peer);
            if let Some(phrase) = phrase {
                response.set_reason(phrase);
            }
            if let Some(seconds) = retry_after {
                response.headers.push_value(Name::RetryAfter, &seconds);
            }
            let fitting = || reason::cause_of_status(status).map(reason::q850);
            if let Some(reason) = reason.map(str::to_owned).or_else(fitting) {
                let _ = response.headers.push(Name::Reason, reason);
            }
            if status == 488 {
                super::transmit::warn_incompatible(&mut response);
            }
            self.respond(incoming.transaction, &response, now);
        }
        let end = LegEvent::Ended { by: Side::Local, cause: EndCause::Refused(status), reason: None };
        self.finish(leg, State::Over, end);
        Ok(())
    }

    fn redirect(&mut self, leg: &mut Leg, contacts: &[String], now: Time) -> Result<(), CommandError> {
        if contacts.len() > MAX_REDIRECTIONS || contacts.iter().any(|contact| contact.len() > MAX_CONTACT) {
            return Err(CommandError::BadValue { what: "a list of contacts that is too long" });
        }
        let targets: Vec<NameAddr> = contacts
            .iter()
            .map(|c| c.parse::<Uri>().map(NameAddr::new))
            .collect::<Result<_, _>>()
            .map_err(|_| CommandError::BadValue { what: "a contact that is no URI" })?;
        if targets.is_empty() {
            return Err(CommandError::BadValue { what: "a list of no contacts" });
        }
        let state = leg.state.name();
        let Some(incoming) = self.take_incoming(leg) else { return Err(CommandError::WrongState { state }) };
        if let Some(peer) = self.servers.get(&incoming.transaction).map(|t| t.peer) {
            let mut response = self.response(leg, &incoming.invite, 302, peer);
            response.headers.push_value(Name::Contact, &targets);
            self.respond(incoming.transaction, &response, now);
        }
        let end = LegEvent::Ended { by: Side::Local, cause: EndCause::Refused(302), reason: None };
        self.finish(leg, State::Over, end);
        Ok(())
    }

    fn reoffer(&mut self, leg: &mut Leg, media: LocalMedia, now: Time) -> Result<(), CommandError> {
        let early = match leg.state {
            State::Incoming => leg.settled && leg.allows_update,
            State::Calling => leg.only_early().is_some(),
            _ => false,
        };
        if !early && !matches!(leg.state, State::Answered | State::Established) {
            return Err(CommandError::WrongState { state: leg.state.name() });
        }
        if media.codecs.is_empty() {
            return Err(CommandError::BadValue { what: "a list of no codecs" });
        }
        leg.waiting_reoffer = Some(WaitingReoffer { media, at: None, glares: 0 });
        self.reoffer_if_free(leg, now);
        Ok(())
    }

    /// Sends the offer that waits, if nothing is in its way and its time has come: a re-INVITE, or an UPDATE before the
    /// answer.
    pub(super) fn reoffer_if_free(&mut self, leg: &mut Leg, now: Time) {
        if leg.is_free_to_update() {
            return self.offer_by_update(leg, now);
        }
        if leg.waiting_reoffer.is_some()
            && let Some(index) = leg.only_early()
        {
            self.in_early(leg, index, |agent, leg| agent.offer_by_update(leg, now));
            return;
        }
        if !leg.is_free_to_offer() {
            return;
        }
        let Some(waiting) = leg.waiting_reoffer.take_if(|w| w.at.is_none_or(|at| at <= now)) else { return };
        let before = leg.sdp.clone();
        let body = leg.sdp.offer(&waiting.media);
        let sent = self.start_in_dialog(
            leg,
            Method::Invite,
            Purpose::Reinvite,
            |request| drop(request.set_body(CONTENT_TYPE, body)),
            now,
        );
        match sent {
            Some(transaction) => {
                let give_up = now + self.config.timers.transaction();
                leg.reinvite = Some(Reinvite {
                    transaction,
                    give_up,
                    media: waiting.media,
                    refresh: false,
                    before,
                    glares: waiting.glares,
                });
            }
            None => {
                leg.sdp.roll_back(&before);
                self.tell(leg, LegEvent::ReofferFailed { status: 503 });
            }
        }
    }

    fn info(&mut self, leg: &mut Leg, content_type: &str, body: Vec<u8>, now: Time) -> Result<(), CommandError> {
        if !matches!(leg.state, State::Answered | State::Established) {
            return Err(CommandError::WrongState { state: leg.state.name() });
        }
        if content_type.is_empty() || content_type.len() > MAX_TEXT || !is_one_line(content_type) {
            return Err(CommandError::BadValue { what: "the content type" });
        }
        let sent = self.start_in_dialog(
            leg,
            Method::Info,
            Purpose::Info,
            |request| drop(request.set_body(content_type, body)),
            now,
        );
        if sent.is_none() {
            self.tell(leg, LegEvent::InfoAnswered { status: 503 });
        }
        Ok(())
    }

    fn hang_up(&mut self, leg: &mut Leg, reason: Option<String>, now: Time) -> Result<(), CommandError> {
        if reason.as_deref().is_some_and(|r| r.len() > MAX_TEXT || !is_one_line(r)) {
            return Err(CommandError::BadValue { what: "the reason" });
        }
        self.stop_following(leg, now);
        let ended = |cause| LegEvent::Ended { by: Side::Local, cause, reason: None };
        match leg.state {
            State::Incoming => self.refuse_leg(leg, 480, None, None, reason.as_deref(), now)?,
            // It waits for somebody who is called in its stead.
            State::Calling if leg.referrals.bereft => self.finish(leg, State::Over, ended(EndCause::Bye)),
            State::Calling => self.abandon(leg, reason, ended(EndCause::Cancelled), now),
            // The BYE must wait for the ACK of our 2xx (§15).
            State::Answered => self.finish(leg, State::Closing, ended(EndCause::Bye)),
            State::Established => {
                self.bye_leg(leg, reason.as_deref(), now);
                self.finish(leg, State::Over, ended(EndCause::Bye));
            }
            State::Cancelling | State::Closing | State::Over => {}
        }
        Ok(())
    }

    /// An unanswered outgoing leg is not wanted any more.
    pub(super) fn abandon(&mut self, leg: &mut Leg, reason: Option<String>, end: LegEvent, now: Time) {
        if let Some(outgoing) = &mut leg.outgoing {
            outgoing.ring_until = None;
            outgoing.cancel = Some(Cancel { reason, until: None });
        }
        self.finish(leg, State::Cancelling, end);
        self.cancel_if_heard(leg, now);
    }

    /// The leg's own clock.
    pub(super) fn leg_timeout(&mut self, leg: &mut Leg, now: Time) {
        self.referrals_timeout(leg, now);
        if let Some(incoming) = &mut leg.incoming {
            if incoming.give_up <= now {
                let status = incoming.give_up_status;
                let _ = self.refuse_leg(leg, status, None, None, None, now);
            } else if incoming.ring_again.is_some_and(|at| at <= now) {
                incoming.ring_again = Some(now + RING_AGAIN);
                let described = leg.reliable.described.and(leg.local_media.clone());
                let _ = match described {
                    Some(media) => self.progress(leg, media, now),
                    None => self.ring(leg, now),
                };
            }
        }
        if let Some(outgoing) = &leg.outgoing {
            if outgoing.ring_until.is_some_and(|at| at <= now) {
                let phrase = "No answer in time".to_owned();
                let end = LegEvent::Failed { status: 408, phrase, reason: None, local: true };
                // It rang, and nobody answered.
                self.abandon(leg, Some(reason::q850(19)), end, now);
            } else if outgoing.cancel.as_ref().and_then(|c| c.until).is_some_and(|at| at <= now) {
                let id = outgoing.transaction;
                self.remove_client(id);
                leg.outgoing = None;
                leg.state = State::Over;
            }
        }
        if let Some(waiting) = &mut leg.unacknowledged {
            if waiting.give_up <= now {
                if leg.state == State::Closing {
                    self.bye_leg(leg, None, now);
                    leg.unacknowledged = None;
                    leg.state = State::Over;
                } else {
                    self.never_acknowledged(leg, now);
                }
            } else if waiting.again <= now {
                waiting.again = now + waiting.pause;
                waiting.pause = (waiting.pause * 2).min(self.config.timers.t2);
                // Its transaction knows of a connection that was lost meanwhile.
                let bytes = waiting.bytes.clone();
                let since = waiting.give_up - self.config.timers.transaction();
                let peer = self.servers.get(&waiting.transaction).map(|t| t.peer);
                if let Some(peer) = peer.filter(|peer| self.may_repeat(*peer, since, PATIENCE_WITH_2XX, now)) {
                    self.send(peer, bytes, Some(leg.id), true);
                }
            }
        }
        if let Some(reinvite) = leg.reinvite.as_ref().filter(|r| r.give_up <= now) {
            let id = reinvite.transaction;
            self.cancel(id, None, now);
            self.remove_client(id);
            self.reoffer_refused(leg, id, 408, now);
        }
        self.unpracked_timeout(leg, now);
        self.session_timeout(leg, now);
        self.reoffer_if_free(leg, now);
    }
}
