//! The client side of legs (RFC 3261 §8.1.3, §9.1, §13.2, §14.1): placing a call, what its responses mean, and the
//! ends of our other requests.

use super::door::{reason_of, sdp_in};
use super::request::{Way, push_route};
use super::transmit::{Arrival, authorize};
use super::user_agent::{ClientMachine, Purpose, UserAgent};
use super::{AgentOutput, Counter};
use crate::line::is_one_line;
use crate::session::{LegId, NegotiatedMedia};
use crate::sip::dialog::{Dialog, MAX_FORWARDS};
use crate::sip::digest::{self, Rounds};
use crate::sip::leg::state::{EarlyDialog, Leg, MAX_GLARES, Outgoing, State, WaitingReoffer};
use crate::sip::leg::{EndCause, LegEvent, OutgoingInvite, Party, Side};
use crate::sip::message::{BuildError, CSeq, Method, Name, NameAddr, Request, Response, Uri};
use crate::sip::peer::Peer;
use crate::sip::sdp::{CONTENT_TYPE, Description, LocalDescription};
use crate::sip::transaction::{ClientKey, Heard};
use crate::time::Time;

/// Header names that the stack itself writes.
const OWN: [Name; 21] = [
    Name::Via,
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::Contact,
    Name::MaxForwards,
    Name::ContentLength,
    Name::ContentType,
    Name::Route,
    Name::RecordRoute,
    Name::Authorization,
    Name::ProxyAuthorization,
    Name::Allow,
    Name::Supported,
    Name::Require,
    Name::UserAgent,
    Name::SessionExpires,
    Name::MinSe,
    Name::RSeq,
    Name::RAck,
];

/// Max-Forwards: what a call that was passed on to us has left of it, so that loops through us end.
fn hops(headers: &[(String, String)]) -> u32 {
    let given = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(Name::MaxForwards.as_str()));
    given.and_then(|(_, value)| value.parse().ok()).map_or(MAX_FORWARDS, |left: u32| left.min(MAX_FORWARDS))
}

/// The most headers that call control may add to an INVITE.
const MAX_OWN_HEADERS: usize = 64;

impl UserAgent {
    /// Places a call on a leg from [`UserAgent::new_leg`]. What cannot even be sent fails by [`LegEvent::Failed`] with
    /// `local`, like all else. A leg that exists already is left alone.
    pub fn place(&mut self, leg: LegId, invite: OutgoingInvite, now: Time) {
        self.place_by(leg, invite, &Way::default(), now);
    }

    /// The same, by a way of its own: a registered contact's flow, a route set.
    pub fn place_by(&mut self, leg: LegId, invite: OutgoingInvite, way: &Way, now: Time) {
        self.moment = now;
        if self.legs.contains_key(&leg) {
            return;
        }
        if let Err((status, phrase)) = self.try_place(leg, invite, way, now) {
            let event = LegEvent::Failed { status, phrase, reason: None, local: true };
            self.output(AgentOutput::Leg(leg, event));
            self.output(AgentOutput::Gone(leg));
        }
        self.sweep();
    }

    pub(super) fn try_place(
        &mut self,
        id: LegId,
        invite: OutgoingInvite,
        way: &Way,
        now: Time,
    ) -> Result<(), (u16, String)> {
        if self.legs.len() >= self.config.limits.legs {
            self.count(Counter::Overloaded);
            return Err((503, "Too many calls".to_owned()));
        }
        let (transport, remote) = (invite.transport, invite.destination);
        let Some(contact) = self.contact(transport, remote.ip()) else {
            return Err((503, format!("No listener for {transport} to {remote}")));
        };
        let local = way.local.unwrap_or(contact.address.local);
        let peer = Peer { transport, remote, local, connection: way.connection };
        if invite.target.len() > MAX_ADDRESS || invite.headers.iter().any(|(n, v)| n.len() + v.len() > MAX_ADDRESS * 4)
        {
            return Err((400, "A header or the target is too long".to_owned()));
        }
        if invite.headers.len() > MAX_OWN_HEADERS {
            return Err((400, format!("More than {MAX_OWN_HEADERS} headers cannot be sent")));
        }
        let target: Uri = invite.target.parse().map_err(|e| (400, format!("The target is no address: {e}")))?;
        let target = target.for_request_line();
        let call_id = self.random.token(16);
        let local_tag = self.random.token(8);
        let from = address(&invite.from).map_err(|e| (400, format!("From: {e}")))?.with_tag(&local_tag);
        let to = match &invite.to {
            Some(to) => address(to).map_err(|e| (400, format!("To: {e}")))?,
            None => NameAddr::new(target.clone()),
        };
        let mut leg = Leg::new(id, State::Calling, call_id, local_tag, self.random.u64());
        self.allow_keys(&mut leg, invite.transport);
        leg.sdp.check(&invite.media).map_err(|problem| (488, problem.to_string()))?;

        let mut request = Request::new(Method::Invite, target);
        request.headers.push_value(Name::MaxForwards, &hops(&invite.headers));
        push_route(&mut request, &way.route).map_err(|problem| (400, problem))?;
        request.headers.push_value(Name::From, &from);
        request.headers.push_value(Name::To, &to);
        let _ = request.headers.push(Name::CallId, &leg.call_id);
        request.headers.push_value(Name::CSeq, &CSeq { number: 1, method: Method::Invite });
        self.dress(&mut request, peer);
        self.ask_session(&leg, &mut request);
        for (name, value) in &invite.headers {
            let refused = || (400, format!("The header {name:?} cannot be sent"));
            let name: Name = name.parse().map_err(|_| refused())?;
            if !OWN.contains(&name) {
                request.headers.push(name, value).map_err(|_| refused())?;
            }
        }
        let _ = request.set_body(CONTENT_TYPE, leg.sdp.offer(&invite.media));
        leg.local_media = Some(invite.media);
        leg.credentials = invite.credentials;

        let Some(transaction) = self.start(request, peer, id, Purpose::Invite, Rounds::default(), now) else {
            return Err((503, format!("No listener for {transport} to {remote}")));
        };
        leg.outgoing = Some(Outgoing {
            transaction,
            ring_until: Some(now + invite.ring_timeout),
            early: Vec::new(),
            cancel: None,
        });
        self.register(leg);
        Ok(())
    }

    pub(super) fn receive_response(&mut self, response: &Response, arrival: Arrival<'_>) {
        self.count(Counter::ResponseReceived);
        let via = match (response.check(), response.headers.via()) {
            (Ok(()), Ok(vias)) if vias.len() == 1 => vias.into_iter().next(),
            _ => None,
        };
        let key = via.and_then(|via| ClientKey::of(response, &via).ok().flatten());
        let Some(id) = key.and_then(|key| self.find_client(&key)) else {
            self.is_beyond_limits(arrival);
            return self.count(Counter::StrayResponse);
        };
        self.has_heard(arrival);
        let Some(transaction) = self.clients.get_mut(&id) else { return };
        let heard = match &mut transaction.machine {
            ClientMachine::Invite(m) => m.on_response(response.status(), &self.config.timers, arrival.now),
            ClientMachine::Other(m) => m.on_response(response.status(), &self.config.timers, arrival.now),
        };
        let leg_id = transaction.leg;
        self.trace_arrival(leg_id, arrival, matches!(heard, Heard::Ignore | Heard::Acknowledge));
        if matches!(heard, Heard::Acknowledge | Heard::PassAndAcknowledge) {
            self.acknowledge_refusal(id, response);
        }
        self.schedule_client(id);
        if self.requests.contains(leg_id) {
            if heard == Heard::Pass {
                self.request_heard(id, response, arrival);
            }
            return;
        }
        if matches!(heard, Heard::Pass | Heard::PassAndAcknowledge)
            && let Some(mut leg) = self.take(leg_id)
        {
            self.heard(&mut leg, id, response, arrival);
            self.put(leg);
        }
    }

    /// A response that is news, in the leg's dialog or an early one of its.
    fn heard(&mut self, leg: &mut Leg, id: u64, response: &Response, arrival: Arrival<'_>) {
        match self.early_of(leg, id) {
            Some(index) => {
                self.in_early(leg, index, |agent, leg| agent.heard_in(leg, id, response, arrival));
            }
            None => self.heard_in(leg, id, response, arrival),
        }
        self.reoffer_if_free(leg, arrival.now);
    }

    /// The early dialog that a transaction belongs to.
    fn early_of(&self, leg: &Leg, id: u64) -> Option<usize> {
        let transaction = self.clients.get(&id)?;
        if !matches!(transaction.purpose, Purpose::Prack | Purpose::Update) {
            return None;
        }
        let to = transaction.request.headers.to().ok()?;
        leg.outgoing.as_ref()?.early.iter().position(|early| early.tag.as_deref() == to.tag())
    }

    fn heard_in(&mut self, leg: &mut Leg, id: u64, response: &Response, arrival: Arrival<'_>) {
        let Some(transaction) = self.clients.get(&id) else { return };
        let (purpose, status, now) = (transaction.purpose, response.status(), arrival.now);
        if matches!(status, 401 | 407)
            && !matches!(leg.state, State::Cancelling)
            && self.try_again_with_credentials(leg, id, response, now)
        {
            return;
        }
        if status == 422 && !leg.is_ended() && self.try_again_with_longer_session(leg, id, response, now) {
            return;
        }
        match (purpose, status) {
            (Purpose::Invite, ..=199) => self.provisional(leg, id, response, arrival),
            (Purpose::Invite, 200..=299) => self.answered(leg, id, response, arrival),
            (Purpose::Invite, _) => {
                let phrase = response.reason().into_owned();
                let event = LegEvent::Failed { status, phrase, reason: reason_of(&response.headers), local: false };
                // After a fork's 2xx no refusal comes; a refusal in any other state has been told already.
                if matches!(leg.state, State::Calling | State::Cancelling) {
                    self.redirected(leg, id, response);
                    self.finish(leg, State::Over, event);
                }
            }
            (Purpose::Reinvite, ..=199) => {}
            (Purpose::Reinvite, 200..=299) => self.reoffer_answered(leg, id, response, arrival),
            (Purpose::Reinvite, _) => self.reoffer_refused(leg, id, status, now),
            (Purpose::Update, 200..) => self.update_answered(leg, id, response, now),
            (Purpose::Info, 200..) => {
                if !leg.is_ended() {
                    self.tell(leg, LegEvent::InfoAnswered { status });
                }
                if matches!(status, 408 | 481) {
                    self.dialog_lost(leg, status, now);
                }
            }
            (Purpose::Refer, _) => self.refer_heard(leg, response),
            (Purpose::Notify, 200..) => self.notify_heard(leg, id, status, now),
            // A PRACK that is refused leaves its response to be repeated, or not (RFC 3262 §4).
            (Purpose::Info | Purpose::Bye | Purpose::Cancel | Purpose::Notify, _) => {}
            (Purpose::Prack | Purpose::Update | Purpose::Outside, _) => {}
        }
    }

    /// 401 or 407: the same request with credentials and the next number. False: that leads nowhere.
    fn try_again_with_credentials(&mut self, leg: &mut Leg, id: u64, response: &Response, now: Time) -> bool {
        let Some(transaction) = self.clients.get(&id) else { return false };
        let cancelled = transaction.purpose == Purpose::Cancel;
        if leg.credentials.is_none() || cancelled || (leg.is_ended() && transaction.purpose != Purpose::Bye) {
            return false;
        }
        let mut rounds = transaction.rounds.clone();
        let mut challenges = digest::challenges(response.headers.get_all(&Name::WwwAuthenticate), false);
        challenges.extend(digest::challenges(response.headers.get_all(&Name::ProxyAuthenticate), true));
        if leg.authenticator.challenged(challenges, &mut rounds, &mut self.random).is_err() {
            return false;
        }
        self.start_again(leg, id, Some(rounds), now, |_| {})
    }

    /// The same request with a new number, our credentials, and what `change` makes of it, in the place of the old one.
    pub(super) fn start_again(
        &mut self,
        leg: &mut Leg,
        id: u64,
        rounds: Option<Rounds>,
        now: Time,
        change: impl FnOnce(&mut Request),
    ) -> bool {
        let Some(transaction) = self.clients.get(&id) else { return false };
        let (mut request, peer, purpose) = (transaction.request.clone(), transaction.peer, transaction.purpose);
        let rounds = rounds.unwrap_or_else(|| transaction.rounds.clone());
        let Ok(cseq) = request.headers.cseq() else { return false };
        change(&mut request);
        let number = match &mut leg.dialog {
            Some(dialog) => dialog.next_cseq(),
            None => cseq.number.saturating_add(1),
        };
        request.headers.set_value(Name::CSeq, &CSeq { number, method: cseq.method });
        request.headers.remove(&Name::Authorization);
        request.headers.remove(&Name::ProxyAuthorization);
        authorize(leg, &mut request);
        let Some(new) = self.start(request, peer, leg.id, purpose, rounds, now) else { return false };
        if let Some(outgoing) = leg.outgoing.as_mut().filter(|o| o.transaction == id) {
            outgoing.transaction = new;
            outgoing.early.clear();
        }
        if let Some(reinvite) = leg.reinvite.as_mut().filter(|r| r.transaction == id) {
            reinvite.transaction = new;
        }
        if let Some(update) = leg.update.as_mut().filter(|u| u.transaction == id) {
            update.transaction = new;
        }
        true
    }

    /// A 2xx to our first INVITE: the first makes the call, the others are forks that nobody wants (§13.2.2.4).
    fn answered(&mut self, leg: &mut Leg, id: u64, response: &Response, arrival: Arrival<'_>) {
        let Some(transaction) = self.clients.get(&id) else { return };
        let (Ok(to), Ok(cseq)) = (response.headers.to(), response.headers.cseq()) else { return };
        let invite = transaction.request.clone();
        if self.acknowledge_again(leg, to.tag(), cseq.number, arrival.peer) {
            return;
        }
        // A dialog that was early goes on with its numbers.
        let known = |list: &mut Vec<EarlyDialog>| {
            let index = list.iter().position(|early| early.tag.as_deref() == to.tag())?;
            Some(list.remove(index))
        };
        let mut early = leg.outgoing.as_mut().and_then(|o| known(&mut o.early)).or_else(|| known(&mut leg.forks));
        let continued = early.as_mut().and_then(|early| early.dialog.take()).and_then(|mut dialog| {
            dialog.confirm(response, arrival.peer).ok()?;
            Some(dialog)
        });
        let begun = || Dialog::outgoing(&invite, response, arrival.peer).ok();
        let Some(mut dialog) = continued.or_else(begun) else { return };
        self.acknowledge(leg, &dialog, to.tag(), &invite);
        let now = arrival.now;
        if leg.state != State::Calling {
            self.bye(leg, &mut dialog, None, now);
            // What was to be cancelled is over; its INVITE's transaction stays for forks.
            if leg.state == State::Cancelling {
                leg.state = State::Over;
                leg.outgoing = None;
            }
            return;
        }
        leg.forks = leg.outgoing.take().map(|o| o.early).unwrap_or_default();
        if let Some(early) = &mut early {
            leg.exchange(early);
        }
        leg.dialog = Some(dialog);
        leg.hear_allow(&response.headers);
        let none_here = matches!(sdp_in(&response.headers, &response.body), Ok(None));
        // Another exchange has followed the first, whose answer is only repeated here; or this answer is the last word.
        let agreed = if leg.renegotiated || leg.update.is_some() || none_here {
            leg.media.clone()
        } else {
            negotiate(&mut leg.sdp, response)
        };
        let Some(agreed) = agreed else {
            self.bye_leg(leg, None, now);
            let phrase = "The answer has no audio in common".to_owned();
            return self.finish(leg, State::Over, LegEvent::Failed { status: 488, phrase, reason: None, local: true });
        };
        leg.state = State::Established;
        leg.settled = true;
        self.session_answered(leg, response, now);
        leg.media = Some(agreed.clone());
        self.tell(leg, LegEvent::Accepted { media: Some(agreed) });
        self.tell(leg, LegEvent::Confirmed);
    }

    /// A 2xx to our re-INVITE, or that again.
    fn reoffer_answered(&mut self, leg: &mut Leg, id: u64, response: &Response, arrival: Arrival<'_>) {
        let Some(transaction) = self.clients.get(&id) else { return };
        let (Ok(to), Ok(cseq)) = (response.headers.to(), response.headers.cseq()) else { return };
        let invite = transaction.request.clone();
        if self.acknowledge_again(leg, to.tag(), cseq.number, arrival.peer) {
            return;
        }
        let Some(mut dialog) = leg.dialog.take() else { return };
        dialog.refresh_target(response.headers.contact().ok().flatten());
        self.acknowledge(leg, &dialog, to.tag(), &invite);
        leg.dialog = Some(dialog);
        leg.hear_allow(&response.headers);
        let Some(reinvite) = leg.reinvite.take_if(|r| r.transaction == id) else { return };
        self.session_answered(leg, response, arrival.now);
        match negotiate(&mut leg.sdp, response) {
            Some(agreed) if reinvite.refresh => self.agree_anew(leg, agreed),
            Some(agreed) => {
                leg.local_media = Some(reinvite.media);
                leg.media = Some(agreed.clone());
                self.tell(leg, LegEvent::MediaChanged { media: agreed });
            }
            None if reinvite.refresh => leg.sdp.roll_back(&reinvite.before),
            None => {
                leg.sdp.roll_back(&reinvite.before);
                self.tell(leg, LegEvent::ReofferFailed { status: 488 });
            }
        }
    }

    /// Our re-INVITE was refused (§14.1).
    pub(super) fn reoffer_refused(&mut self, leg: &mut Leg, id: u64, status: u16, now: Time) {
        let Some(reinvite) = leg.reinvite.take_if(|r| r.transaction == id) else { return };
        leg.sdp.roll_back(&reinvite.before);
        if reinvite.refresh {
            return self.refresh_refused(leg, status, now);
        }
        if status == 491 && reinvite.glares < MAX_GLARES {
            let at = now + self.glare_pause(leg);
            // A newer wish takes its place, but waits as long.
            let media = reinvite.media;
            let waiting = leg.waiting_reoffer.get_or_insert(WaitingReoffer { media, at: None, glares: 0 });
            waiting.at = Some(at);
            waiting.glares = reinvite.glares + 1;
            return;
        }
        self.tell(leg, LegEvent::ReofferFailed { status });
        if matches!(status, 408 | 481) {
            self.dialog_lost(leg, status, now);
        }
    }

    /// The peer knows the dialog no more, or does not answer within it (§12.2.1.2).
    pub(super) fn dialog_lost(&mut self, leg: &mut Leg, status: u16, now: Time) {
        if leg.is_ended() {
            return;
        }
        if status == 408 {
            self.bye_leg(leg, None, now);
        }
        let end = LegEvent::Ended { by: Side::Remote, cause: EndCause::DialogLost(status), reason: None };
        self.finish(leg, State::Over, end);
    }

    /// CANCEL goes out as soon as anything has been heard of the INVITE (§9.1).
    pub(super) fn cancel_if_heard(&mut self, leg: &mut Leg, now: Time) {
        let until = now + self.config.timers.transaction();
        let Some(outgoing) = &mut leg.outgoing else { return };
        let id = outgoing.transaction;
        let Some(cancel) = outgoing.cancel.as_mut().filter(|c| c.until.is_none()) else { return };
        let heard = self
            .clients
            .get(&id)
            .is_some_and(|t| matches!(&t.machine, ClientMachine::Invite(m) if m.is_pending() && !m.is_unheard()));
        if heard {
            cancel.until = Some(until);
            let reason = cancel.reason.clone();
            self.cancel(id, reason.as_deref(), now);
        }
    }

    /// A client transaction came to nothing: 408 for time, 503 for transport.
    pub(super) fn client_failed(&mut self, id: u64, status: u16, now: Time) {
        let Some((purpose, leg_id)) = self.clients.get(&id).map(|t| (t.purpose, t.leg)) else { return };
        if purpose == Purpose::Outside {
            self.request_failed(leg_id, status);
        }
        if let Some(mut leg) = self.take(leg_id) {
            match purpose {
                Purpose::Invite if matches!(leg.state, State::Calling | State::Cancelling) => {
                    let phrase = crate::sip::message::reason_phrase(status).to_owned();
                    let event = LegEvent::Failed { status, phrase, reason: None, local: true };
                    self.finish(&mut leg, State::Over, event);
                }
                Purpose::Reinvite => self.reoffer_refused(&mut leg, id, status, now),
                Purpose::Refer => self.refer_refused(&mut leg, status, crate::sip::message::reason_phrase(status)),
                Purpose::Notify => self.notify_heard(&mut leg, id, status, now),
                Purpose::Update => match self.early_of(&leg, id) {
                    Some(index) => {
                        let work = |agent: &mut Self, leg: &mut Leg| agent.update_refused(leg, id, status, None, now);
                        self.in_early(&mut leg, index, work);
                    }
                    None => self.update_refused(&mut leg, id, status, None, now),
                },
                Purpose::Info if !leg.is_ended() => {
                    self.tell(&leg, LegEvent::InfoAnswered { status });
                    if status == 408 {
                        self.dialog_lost(&mut leg, status, now);
                    }
                }
                _ => {}
            }
            self.reoffer_if_free(&mut leg, now);
            self.put(leg);
        }
        self.remove_client(id);
    }

    /// The way that a request went is gone. Within a dialog it is tried once more, over a new connection.
    pub(super) fn client_lost(&mut self, id: u64, now: Time) {
        if self.back_to_udp(id, now) {
            return;
        }
        let Some(transaction) = self.clients.get(&id) else { return };
        let again = transaction.peer.connection.is_some()
            && !transaction.moved
            && matches!(
                transaction.purpose,
                Purpose::Bye | Purpose::Info | Purpose::Reinvite | Purpose::Update | Purpose::Refer | Purpose::Notify
            );
        if !again {
            return self.client_failed(id, 503, now);
        }
        let (leg_id, request, purpose) = (transaction.leg, transaction.request.clone(), transaction.purpose);
        let (rounds, lost) = (transaction.rounds.clone(), transaction.peer);
        if let Some(mut leg) = self.take(leg_id) {
            let hop = leg.dialog.as_mut().map_or(Peer { connection: None, ..lost }, |dialog| {
                if dialog.peer.connection == lost.connection {
                    dialog.peer.connection = None;
                }
                dialog.next_hop()
            });
            if let Some(new) = self.start(request, hop, leg_id, purpose, rounds, now) {
                if let Some(transaction) = self.clients.get_mut(&new) {
                    transaction.moved = true;
                }
                if let Some(reinvite) = leg.reinvite.as_mut().filter(|r| r.transaction == id) {
                    reinvite.transaction = new;
                }
                if let Some(update) = leg.update.as_mut().filter(|u| u.transaction == id) {
                    update.transaction = new;
                }
            }
            self.put(leg);
        }
        self.remove_client(id);
    }
}

/// What a response with an SDP answer agrees on.
pub(super) fn negotiate(sdp: &mut LocalDescription, response: &Response) -> Option<NegotiatedMedia> {
    let body = sdp_in(&response.headers, &response.body).ok().flatten()?;
    sdp.accept(&Description::parse(body).ok()?).ok()
}

/// The longest URI and the longest display name that we write of what call control gives, in bytes.
const MAX_ADDRESS: usize = 1_024;

pub(super) fn address(party: &Party) -> Result<NameAddr, BuildError> {
    let display = party.display.as_deref().unwrap_or_default();
    if party.uri.len() > MAX_ADDRESS || display.len() > MAX_ADDRESS {
        return Err(BuildError::TooLong);
    }
    if !is_one_line(display) {
        return Err(BuildError::ControlCharacter);
    }
    let uri: Uri = party.uri.parse()?;
    let address = NameAddr::new(uri);
    Ok(match &party.display {
        Some(name) => address.with_display_name(name),
        None => address,
    })
}
