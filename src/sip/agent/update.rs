//! UPDATE (RFC 3311), both ways: a new offer before the answer, in an early dialog whose first offer is settled; in a
//! confirmed one what the peer offers, and our refreshing of the session. Our own offers in confirmed dialogs go by
//! re-INVITE, as §5.1 recommends.

use super::outgoing::negotiate;
use super::transmit::Arrival;
use super::user_agent::{Purpose, UserAgent};
use crate::session::NegotiatedMedia;
use crate::sip::leg::LegEvent;
use crate::sip::leg::state::{Described, Leg, MAX_GLARES, SentUpdate, State, WaitingReoffer};
use crate::sip::message::{Headers, Method, Name, Request, Response};
use crate::sip::sdp::CONTENT_TYPE;
use crate::time::Time;

impl Leg {
    /// Takes note of what the peer says that it serves.
    pub(super) fn hear_allow(&mut self, headers: &Headers) {
        if headers.contains(&Name::Allow) {
            self.allows_update = headers.allow().is_ok_and(|methods| methods.iter().any(|m| m == "UPDATE"));
        }
    }

    /// Has an offer of ours no answer yet (RFC 3311 §5.2)?
    pub(super) fn awaits_answer(&self) -> bool {
        self.update.as_ref().is_some_and(|u| u.offer.is_some())
            || self.reinvite.is_some()
            || self.unacknowledged.as_ref().is_some_and(|u| u.answer_expected)
            || self.reliable.unpracked.as_ref().is_some_and(|u| u.described == Some(Described::Offer))
            || self.state == State::Calling && !self.settled
    }
}

impl UserAgent {
    /// An UPDATE of the peer's; for an outgoing leg that is not answered, its early dialog is in the leg's place.
    pub(super) fn updated(&mut self, leg: &mut Leg, id: u64, request: &Request, arrival: Arrival<'_>) {
        let now = arrival.now;
        if leg.is_ended() {
            return self.refuse(leg, id, request, 481, now);
        }
        if let Err(refusal) = self.check_session(request) {
            return self.refuse_within(leg, id, request, &refusal, arrival);
        }
        let offer = match self.read_offer(request, arrival.peer) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_within(leg, id, request, &refusal, arrival),
        };
        let mut answer = None;
        if let Some(offer) = offer {
            if leg.awaits_answer() {
                return self.refuse(leg, id, request, 491, now);
            }
            answer = match self.answer_anew(leg, &offer) {
                Ok(answer) => Some(answer),
                Err(status) => return self.refuse(leg, id, request, status, now),
            };
        }
        if let Some(dialog) = &mut leg.dialog {
            dialog.refresh_target(request.headers.contact().ok().flatten());
        }
        leg.hear_allow(&request.headers);
        let mut response = self.response(leg, request, 200, arrival.peer);
        if matches!(leg.state, State::Answered | State::Established) {
            self.grant_session(leg, request, &mut response, now);
        }
        let agreed = answer.map(|(body, agreed)| {
            let _ = response.set_body(CONTENT_TYPE, body);
            agreed
        });
        self.respond(id, &response, now);
        if let Some(agreed) = agreed {
            self.agree_anew(leg, agreed);
        }
    }

    /// Another exchange of offer and answer is over.
    pub(super) fn agree_anew(&mut self, leg: &mut Leg, agreed: NegotiatedMedia) {
        if leg.media.as_ref() == Some(&agreed) {
            return;
        }
        leg.media = Some(agreed.clone());
        match leg.state {
            State::Incoming | State::Calling => self.tell_early(leg, true),
            _ => self.tell(leg, LegEvent::MediaChanged { media: agreed }),
        }
    }

    /// Sends what waits to be offered, if its time has come, by UPDATE.
    pub(super) fn offer_by_update(&mut self, leg: &mut Leg, now: Time) {
        let Some(waiting) = leg.waiting_reoffer.take_if(|w| w.at.is_none_or(|at| at <= now)) else { return };
        let before = leg.sdp.clone();
        let body = leg.sdp.offer(&waiting.media);
        let write = |request: &mut Request| drop(request.set_body(CONTENT_TYPE, body));
        match self.start_in_dialog(leg, Method::Update, Purpose::Update, write, now) {
            Some(transaction) => {
                let offer = Some((waiting.media, before));
                leg.update = Some(SentUpdate { transaction, offer, glares: waiting.glares });
            }
            None => {
                leg.sdp.roll_back(&before);
                self.tell(leg, LegEvent::ReofferFailed { status: 503 });
            }
        }
    }

    /// The final answer to our UPDATE; for an outgoing leg that is not answered, its early dialog is in the leg's place.
    pub(super) fn update_answered(&mut self, leg: &mut Leg, id: u64, response: &Response, now: Time) {
        let status = response.status();
        if status >= 300 {
            let pause = response.headers.retry_after().ok().flatten().filter(|_| status == 500);
            return self.update_refused(leg, id, status, pause, now);
        }
        let Some(update) = leg.update.take_if(|u| u.transaction == id) else { return };
        if let Some(dialog) = &mut leg.dialog {
            dialog.refresh_target(response.headers.contact().ok().flatten());
        }
        leg.hear_allow(&response.headers);
        if leg.state == State::Established {
            self.session_answered(leg, response, now);
        }
        let Some((media, before)) = update.offer else { return };
        match negotiate(&mut leg.sdp, response) {
            Some(agreed) => {
                leg.local_media = Some(media);
                leg.renegotiated = true;
                self.agree_anew(leg, agreed);
            }
            None => {
                leg.sdp.roll_back(&before);
                self.tell(leg, LegEvent::ReofferFailed { status: 488 });
            }
        }
    }

    /// Our UPDATE was refused. `pause`: the peer's Retry-After, in seconds.
    pub(super) fn update_refused(&mut self, leg: &mut Leg, id: u64, status: u16, pause: Option<u32>, now: Time) {
        let Some(update) = leg.update.take_if(|u| u.transaction == id) else { return };
        leg.allows_update &= !matches!(status, 405 | 501);
        let Some((media, before)) = update.offer else {
            return match (status, &mut leg.session) {
                // Then by re-INVITE, at once.
                (405 | 501, Some(session)) => session.refresh = Some(now),
                _ => self.refresh_refused(leg, status, now),
            };
        };
        leg.sdp.roll_back(&before);
        if (status == 491 || pause.is_some()) && update.glares < MAX_GLARES {
            let wait = match pause {
                Some(seconds) => std::time::Duration::from_secs(seconds.min(10).into()),
                None => self.glare_pause(leg),
            };
            let waiting = leg.waiting_reoffer.get_or_insert(WaitingReoffer { media, at: None, glares: 0 });
            waiting.at = Some(now + wait);
            waiting.glares = update.glares + 1;
            return;
        }
        self.tell(leg, LegEvent::ReofferFailed { status });
        if matches!(status, 408 | 481) && leg.state == State::Established {
            self.dialog_lost(leg, status, now);
        }
    }
}
