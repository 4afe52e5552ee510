//! Session timers (RFC 4028): an answered call whose other end has vanished is found out and ended. The interval and
//! who refreshes are agreed on in INVITE and UPDATE and their 2xx; the refreshing is an UPDATE where the peer serves
//! that, else a re-INVITE whose description has not changed.
//!
//! # Choices
//! - A caller that leaves it open refreshes itself. One that knows nothing of timers is refreshed by us, and any final
//!   answer but 408 and 481 shows that it is there.
//! - A callee that does not answer with an interval has none.
//! - With our interval at 0 we ask for none; a peer that does, gets one.

use std::time::Duration;

use super::capabilities::lists;
use super::door::Refusal;
use super::transmit::Arrival;
use super::user_agent::{Purpose, UserAgent};
use crate::sip::leg::state::{Leg, Reinvite, SentUpdate, SessionTimer, State};
use crate::sip::leg::{EndCause, LegEvent, Side};
use crate::sip::message::{Headers, Method, Name, Refresher, Request, Response, SessionExpires};
use crate::sip::sdp::CONTENT_TYPE;
use crate::time::Time;

/// The option tag.
pub(super) const OPTION: &str = "timer";

/// Why a session that was not refreshed is ended.
const EXPIRED: &str = "SIP;cause=408;text=\"Session timer expired\"";

/// Longest interval that we let a 422 talk us into, in seconds.
const LONGEST: u32 = 24 * 3600;

fn supports(headers: &Headers) -> bool {
    headers.supported().is_ok_and(|list| lists(&list.join(","), OPTION))
}

impl UserAgent {
    // ---- what we ask ----

    /// Our wish, on an INVITE or UPDATE of ours.
    pub(super) fn ask_session(&self, leg: &Leg, request: &mut Request) {
        if !matches!(request.method, Method::Invite | Method::Update) {
            return;
        }
        let timers = &self.config.timers;
        let (seconds, refresher) = match &leg.session {
            Some(session) => (session.seconds, Some(if session.ours { Refresher::Uac } else { Refresher::Uas })),
            None if leg.state == State::Calling && leg.dialog.is_none() && timers.session_expires > 0 => {
                (timers.session_expires, None)
            }
            None => return,
        };
        let floor = timers.min_se.max(leg.min_se);
        request.headers.set_value(Name::SessionExpires, &SessionExpires { seconds: seconds.max(floor), refresher });
        request.headers.set_value(Name::MinSe, &floor);
    }

    /// 422: the same request with the interval that somebody on the way insists on. False: that leads nowhere.
    pub(super) fn try_again_with_longer_session(
        &mut self,
        leg: &mut Leg,
        id: u64,
        response: &Response,
        now: Time,
    ) -> bool {
        let Ok(Some(wanted)) = response.headers.min_se() else { return false };
        // Each round asks for more, so there are few.
        if wanted > LONGEST || wanted <= leg.min_se || wanted <= self.config.timers.min_se {
            return false;
        }
        leg.min_se = wanted.saturating_add(wanted / 4).min(LONGEST);
        let floor = leg.min_se;
        if let Some(session) = &mut leg.session {
            session.seconds = session.seconds.max(floor);
        }
        self.start_again(leg, id, None, now, |request| {
            let asked = request.headers.session_expires().ok().flatten();
            let refresher = asked.and_then(|a| a.refresher);
            let seconds = asked.map_or(floor, |a| a.seconds.max(floor));
            request.headers.set_value(Name::SessionExpires, &SessionExpires { seconds, refresher });
            request.headers.set_value(Name::MinSe, &floor);
        })
    }

    /// What a 2xx to our INVITE or UPDATE says (§7.2).
    pub(super) fn session_answered(&mut self, leg: &mut Leg, response: &Response, now: Time) {
        let probed = leg.session.filter(|session| !session.known);
        leg.session = match (response.headers.session_expires(), probed) {
            (Ok(Some(agreed)), _) => {
                Some(self.session(agreed.seconds, agreed.refresher != Some(Refresher::Uas), true, now))
            }
            (_, Some(session)) => Some(self.session(session.seconds, true, false, now)),
            _ => None,
        };
    }

    // ---- what we are asked ----

    /// Is the interval of an INVITE or UPDATE long enough? Else 422 (§9), to those who understand that.
    pub(super) fn check_session(&self, request: &Request) -> Result<(), Refusal> {
        let bad = |e: crate::sip::message::HeaderError| Refusal::because(400, e.reason());
        let asked = request.headers.session_expires().map_err(bad)?;
        request.headers.min_se().map_err(bad)?;
        let short = asked.is_some_and(|asked| asked.seconds < self.config.timers.min_se);
        if short && supports(&request.headers) { Err(Refusal::new(422)) } else { Ok(()) }
    }

    /// Grants an interval in our 2xx (§9, table 2), and starts it.
    pub(super) fn grant_session(&mut self, leg: &mut Leg, request: &Request, response: &mut Response, now: Time) {
        let headers = &request.headers;
        let asked = headers.session_expires().ok().flatten();
        let known = supports(headers);
        let timers = &self.config.timers;
        let floor = headers.min_se().ok().flatten().unwrap_or_default().max(timers.min_se);
        let ours = leg.session.map_or(timers.session_expires, |session| session.seconds);
        let seconds = match asked {
            Some(asked) if ours > 0 => asked.seconds.min(ours.max(floor)),
            Some(asked) => asked.seconds,
            None if ours > 0 => ours.max(floor),
            None => {
                leg.session = None;
                return;
            }
        };
        let refresher = match (known, asked.and_then(|a| a.refresher), leg.session) {
            (false, ..) => Refresher::Uas,
            (true, Some(refresher), _) => refresher,
            (true, None, Some(session)) if session.ours => Refresher::Uas,
            (true, None, _) => Refresher::Uac,
        };
        let granted = SessionExpires { seconds, refresher: Some(refresher) };
        response.headers.set_value(Name::SessionExpires, &granted);
        if known {
            response.headers.set_value(Name::Require, &OPTION);
        }
        leg.session = Some(self.session(seconds, refresher == Refresher::Uas, known, now));
    }

    // ---- its time ----

    /// A timer that starts now. The shortest interval that we keep is our own minimum, whatever was said.
    fn session(&self, seconds: u32, ours: bool, known: bool, now: Time) -> SessionTimer {
        let kept = seconds.max(self.config.timers.min_se.min(90)).min(LONGEST * 30);
        let early = (kept / 3).min(32);
        SessionTimer {
            seconds,
            ours,
            known,
            refresh: ours.then(|| now + Duration::from_secs(u64::from(kept) / 2)),
            expiry: now + Duration::from_secs(u64::from(kept.saturating_sub(early).max(1))),
        }
    }

    /// Refreshes, or hangs up (§10).
    pub(super) fn session_timeout(&mut self, leg: &mut Leg, now: Time) {
        let Some(session) = leg.session.filter(|_| !leg.is_ended()) else { return };
        if session.expiry <= now {
            leg.session = None;
            if leg.state == State::Established {
                self.bye_leg(leg, Some(EXPIRED), now);
                let end = LegEvent::Ended { by: Side::Local, cause: EndCause::SessionExpired, reason: None };
                self.finish(leg, State::Over, end);
            }
        } else if session.refresh.is_some_and(|at| at <= now) && leg.is_free_to_offer() {
            self.refresh_session(leg, now);
        }
    }

    fn refresh_session(&mut self, leg: &mut Leg, now: Time) {
        if let Some(session) = &mut leg.session {
            session.refresh = None;
        }
        if leg.allows_update {
            let sent = self.start_in_dialog(leg, Method::Update, Purpose::Update, |_| {}, now);
            leg.update = sent.map(|transaction| SentUpdate { transaction, offer: None, glares: 0 });
            return;
        }
        let before = leg.sdp.clone();
        let Some((media, body)) = leg.local_media.clone().zip(leg.sdp.repeat()) else { return };
        let write = |request: &mut Request| drop(request.set_body(CONTENT_TYPE, body));
        if let Some(transaction) = self.start_in_dialog(leg, Method::Invite, Purpose::Reinvite, write, now) {
            let give_up = now + self.config.timers.transaction();
            leg.reinvite = Some(Reinvite { transaction, give_up, media, refresh: true, before, glares: 0 });
        }
    }

    /// Our refreshing was refused. A peer that is not there ends the session; others are asked again before it expires.
    pub(super) fn refresh_refused(&mut self, leg: &mut Leg, status: u16, now: Time) {
        if matches!(status, 408 | 481) {
            return self.dialog_lost(leg, status, now);
        }
        let pause = self.glare_pause(leg);
        let Some(mut session) = leg.session else { return };
        if session.known || matches!(status, 491 | 503) {
            let wait = pause.max(Duration::from_secs(2)).max(session.expiry.since(now) / 4);
            session.refresh = Some(now + wait);
            leg.session = Some(session);
        } else {
            leg.session = Some(self.session(session.seconds, true, false, now));
        }
    }

    /// How long to wait after a glare: whoever made the Call-ID 2.1–4 s, the other 0–2 s, in steps of 10 ms (§14.1).
    pub(super) fn glare_pause(&mut self, leg: &Leg) -> Duration {
        let steps = if leg.owns_call_id { 210 + self.random.below(191) } else { self.random.below(201) };
        Duration::from_millis(10 * steps)
    }

    /// An interval in a re-INVITE that is too short is refused; true: it was.
    pub(super) fn refuses_session(&mut self, leg: &Leg, id: u64, request: &Request, arrival: Arrival<'_>) -> bool {
        match self.check_session(request) {
            Ok(()) => false,
            Err(refusal) => {
                self.refuse_within(leg, id, request, &refusal, arrival);
                true
            }
        }
    }
}
