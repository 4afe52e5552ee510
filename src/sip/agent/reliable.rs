//! Reliable provisional responses (RFC 3262) and what they carry before the answer: ours until their PRACK, and the
//! peer's, each acknowledged once and in order. Their SDP is the first answer (RFC 3261 §13.2.1), so early media is
//! agreed here; UPDATE is `update`'s.
//!
//! One of ours is under way at a time; the next waits for its PRACK, and a 2xx does where RFC 3262 §3 wants it to.

use super::door::{Refusal, sdp_in};
use super::outgoing::negotiate;
use super::transmit::Arrival;
use super::user_agent::{Purpose, UserAgent};
use crate::session::{LocalMedia, NegotiatedMedia};
use crate::sip::dialog::Dialog;
use crate::sip::leg::state::{
    Described, EarlyDialog, Leg, MAX_FORKS, RING_AGAIN, Reliability, State, Unpracked, WaitingReoffer,
};
use crate::sip::leg::{CommandError, LegEvent};
use crate::sip::message::{Headers, Method, Name, RAck, Request, Response};
use crate::sip::sdp::{CONTENT_TYPE, Description};
use crate::time::Time;

/// The option tag.
pub(super) const OPTION: &str = "100rel";

/// What the caller says of reliable provisional responses.
pub(super) fn reliability(headers: &Headers) -> Reliability {
    let says = |list: Vec<String>| list.iter().any(|option| option.eq_ignore_ascii_case(OPTION));
    if headers.require().is_ok_and(says) {
        Reliability::Required
    } else if headers.supported().is_ok_and(says) {
        Reliability::Supported
    } else {
        Reliability::Unknown
    }
}

// ---- ours ----

impl UserAgent {
    /// [`LegCommand::Progress`](crate::sip::leg::LegCommand::Progress).
    pub(super) fn progress(&mut self, leg: &mut Leg, media: LocalMedia, now: Time) -> Result<(), CommandError> {
        let state = leg.state.name();
        let waits = leg.reliable.accept.is_some();
        let Some(incoming) = leg.incoming.as_mut().filter(|_| !waits) else {
            return Err(CommandError::WrongState { state });
        };
        if media.codecs.is_empty() {
            return Err(CommandError::BadValue { what: "a list of no codecs" });
        }
        if incoming.offer.is_none() && leg.reliable.wanted == Reliability::Unknown {
            return Err(CommandError::BadValue { what: "an offer before the answer, unreliably," });
        }
        incoming.ring_again = Some(now + RING_AGAIN);
        let described =
            leg.reliable.described.or(leg.reliable.waiting.as_ref().and_then(|(_, d)| d.as_ref()?.1.into()));
        let same = leg.local_media.as_ref() == Some(&media);
        let (body, kind) = match (described, incoming.offer.clone()) {
            (Some(_), _) if leg.settled && !same => {
                // The first exchange is over: what is new goes by UPDATE.
                leg.waiting_reoffer = Some(WaitingReoffer { media, at: None, glares: 0 });
                self.reoffer_if_free(leg, now);
                return Ok(());
            }
            (Some(Described::Answer), Some(_)) if same => match leg.sdp.repeat() {
                Some(body) => (body, Described::Answer),
                None => return Err(CommandError::WrongState { state }),
            },
            (Some(Described::Offer), _) => return Err(CommandError::WrongState { state }),
            (_, Some(offer)) => match leg.sdp.answer(&offer, &media) {
                Ok((body, agreed)) => {
                    leg.media = Some(agreed);
                    (body, Described::Answer)
                }
                Err(_) => {
                    self.refuse_leg(leg, 488, None, None, None, now)?;
                    return Err(CommandError::NotAcceptable);
                }
            },
            (_, None) if leg.sdp.check(&media).is_err() => {
                self.refuse_leg(leg, 488, None, None, None, now)?;
                return Err(CommandError::NotAcceptable);
            }
            (_, None) => (leg.sdp.offer(&media), Described::Offer),
        };
        leg.local_media = Some(media);
        self.send_provisional(leg, 183, Some((body, kind)), now);
        Ok(())
    }

    /// Sends a provisional response above 100: reliably where the caller demands it, or takes it and there is a
    /// description in it.
    pub(super) fn send_provisional(
        &mut self,
        leg: &mut Leg,
        status: u16,
        description: Option<(Vec<u8>, Described)>,
        now: Time,
    ) {
        let Some(incoming) = &leg.incoming else { return };
        let (id, invite) = (incoming.transaction, incoming.invite.clone());
        let Some(peer) = self.servers.get(&id).map(|t| t.peer) else { return };
        let reliable = match leg.reliable.wanted {
            Reliability::Required => true,
            Reliability::Supported => description.is_some(),
            Reliability::Unknown => false,
        };
        if reliable && leg.reliable.unpracked.is_some() {
            let older = leg.reliable.waiting.take().and_then(|(_, description)| description);
            leg.reliable.waiting = Some((status, description.or(older)));
            return;
        }
        let mut response = self.response(leg, &invite, status, peer);
        let described = description.as_ref().map(|(_, kind)| *kind);
        if let Some((body, _)) = description {
            let _ = response.set_body(CONTENT_TYPE, body);
        }
        if described.is_some() {
            leg.reliable.described = described;
        }
        if !reliable {
            self.respond(id, &response, now);
            if described.is_some() {
                self.tell_early(leg, peer.transport.is_reliable() || leg.reliable.known);
            }
            return;
        }
        let rseq = match leg.reliable.rseq {
            0 => 1 + u32::try_from(self.random.below(1 << 31)).unwrap_or_default(),
            last => last.wrapping_add(1).max(1),
        };
        leg.reliable.rseq = rseq;
        response.headers.push_value(Name::Require, &OPTION);
        response.headers.push_value(Name::RSeq, &rseq);
        let Some(bytes) = self.respond(id, &response, now) else { return };
        leg.settled |= described == Some(Described::Answer);
        let timers = &self.config.timers;
        leg.reliable.unpracked = Some(Unpracked {
            rseq,
            cseq: invite.headers.cseq().map(|c| c.number).unwrap_or_default(),
            bytes,
            described,
            again: now + timers.t1,
            pause: timers.t1 * 2,
            give_up: now + timers.transaction(),
        });
    }

    /// A PRACK of the caller's.
    pub(super) fn pracked(&mut self, leg: &mut Leg, id: u64, request: &Request, arrival: Arrival<'_>) {
        let now = arrival.now;
        let rack = match request.headers.rack() {
            Ok(rack) => rack,
            Err(e) => return self.refuse_within(leg, id, request, &Refusal::because(400, e.reason()), arrival),
        };
        let fits = |u: &mut Unpracked| u.rseq == rack.rseq && u.cseq == rack.cseq && rack.method == Method::Invite;
        let Some(unpracked) = leg.reliable.unpracked.take_if(fits) else {
            return self.refuse(leg, id, request, 481, now);
        };
        let mut response = self.response(leg, request, 200, arrival.peer);
        if leg.incoming.is_none() {
            self.respond(id, &response, now);
            return;
        }
        let mut agreed = unpracked.described.filter(|kind| *kind == Described::Answer).and(leg.media.clone());
        if unpracked.described == Some(Described::Offer) {
            let answer = sdp_in(&request.headers, &request.body).ok().flatten();
            agreed = answer.and_then(|b| Description::parse(b).ok()).and_then(|a| leg.sdp.accept(&a).ok());
            self.respond(id, &response, now);
            if agreed.is_none() {
                // Without an answer there is no session.
                let _ = self.refuse_leg(leg, 488, None, None, None, now);
                return;
            }
            leg.settled = true;
        } else {
            // A new offer may come with the acknowledgement of our answer (RFC 3262 §5).
            match self.read_offer(request, arrival.peer) {
                Ok(Some(offer)) => match self.answer_anew(leg, &offer) {
                    Ok((body, media)) => {
                        let _ = response.set_body(CONTENT_TYPE, body);
                        agreed = Some(media);
                        self.respond(id, &response, now);
                    }
                    Err(status) => self.refuse(leg, id, request, status, now),
                },
                Ok(None) => drop(self.respond(id, &response, now)),
                Err(refusal) => self.refuse_within(leg, id, request, &refusal, arrival),
            }
        }
        if let Some(media) = agreed {
            leg.media = Some(media);
            self.tell_early(leg, true);
        }
        if let Some(media) = leg.reliable.accept.take() {
            leg.reliable.waiting = None;
            let _ = self.answer(leg, media, now);
        } else if let Some((status, description)) = leg.reliable.waiting.take() {
            self.send_provisional(leg, status, description, now);
        } else {
            self.reoffer_if_free(leg, now);
        }
    }

    /// The answer to a later offer of the peer's, from what call control last wanted of our side, or a status.
    pub(super) fn answer_anew(
        &mut self,
        leg: &mut Leg,
        offer: &Description,
    ) -> Result<(Vec<u8>, NegotiatedMedia), u16> {
        let Some(media) = leg.local_media.clone().filter(|_| leg.settled) else { return Err(500) };
        let (body, agreed) = leg.sdp.answer(offer, &media).map_err(|_| 488_u16)?;
        leg.renegotiated = true;
        Ok((body, agreed))
    }

    /// Does the 2xx have to wait for a PRACK?
    pub(super) fn must_wait_for_prack(leg: &Leg) -> bool {
        leg.reliable.unpracked.as_ref().is_some_and(|u| u.described.is_some())
    }

    /// Repeats an unacknowledged response, or gives up.
    pub(super) fn unpracked_timeout(&mut self, leg: &mut Leg, now: Time) {
        let Some(id) = leg.incoming.as_ref().map(|i| i.transaction) else { return };
        let Some(unpracked) = &mut leg.reliable.unpracked else { return };
        if unpracked.give_up <= now {
            self.count(super::Counter::PrackTimeout);
            let _ = self.refuse_leg(leg, 504, None, None, None, now);
        } else if unpracked.again <= now {
            unpracked.again = now + unpracked.pause;
            unpracked.pause *= 2;
            let bytes = unpracked.bytes.clone();
            if let Some(peer) = self.servers.get(&id).map(|t| t.peer) {
                self.send(peer, bytes, Some(leg.id), true);
            }
        }
    }

    /// Tells what is agreed before the answer.
    pub(super) fn tell_early(&mut self, leg: &mut Leg, proven: bool) {
        if let Some(media) = leg.media.clone() {
            let news = Some((media.clone(), proven));
            if leg.reliable.told == news {
                return;
            }
            leg.reliable.told = news;
            self.tell(leg, LegEvent::EarlyMedia { media, proven });
        }
    }
}

// ---- the peer's ----

impl UserAgent {
    /// A provisional response above 100 to our INVITE.
    pub(super) fn provisional(&mut self, leg: &mut Leg, id: u64, response: &Response, arrival: Arrival<'_>) {
        let (status, now) = (response.status(), arrival.now);
        if leg.state == State::Cancelling {
            return self.cancel_if_heard(leg, now);
        }
        if leg.state != State::Calling || status <= 100 {
            return;
        }
        let Some(invite) = self.clients.get(&id).map(|t| t.request.clone()) else { return };
        let sdp = leg.sdp.clone();
        let Some(outgoing) = &mut leg.outgoing else { return };
        let tag = response.headers.to().ok().and_then(|to| to.tag().map(str::to_owned));
        let index = match outgoing.early.iter().position(|early| early.tag == tag) {
            Some(index) => index,
            None if outgoing.early.len() >= MAX_FORKS => return,
            None => {
                let dialog = Dialog::outgoing(&invite, response, arrival.peer).ok();
                outgoing.early.push(EarlyDialog {
                    tag,
                    dialog,
                    sdp,
                    media: None,
                    settled: false,
                    renegotiated: false,
                    allows_update: false,
                    update: None,
                    rseq: None,
                });
                outgoing.early.len() - 1
            }
        };
        let required = reliability(&response.headers) == Reliability::Required;
        let rseq = response.headers.rseq().ok().flatten().filter(|_| required);
        if let (Some(rseq), Some(early)) = (rseq, outgoing.early.get_mut(index)) {
            // Repeated, or overtaking another: neither is acknowledged (RFC 3262 §4).
            if early.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) || early.dialog.is_none() {
                return;
            }
            early.rseq = Some(rseq);
        }
        let news = self.in_early(leg, index, |agent, leg| {
            leg.hear_allow(&response.headers);
            let media = match leg.renegotiated || leg.update.is_some() {
                true => None,
                false => negotiate(&mut leg.sdp, response),
            };
            if let (Some(rseq), Ok(cseq)) = (rseq, response.headers.cseq()) {
                leg.settled |= media.is_some();
                let rack = RAck { rseq, cseq: cseq.number, method: cseq.method };
                let write = |request: &mut Request| request.headers.push_value(Name::RAck, &rack);
                agent.start_in_dialog(leg, Method::Prack, Purpose::Prack, write, now);
            }
            let news = media.filter(|media| leg.media.as_ref() != Some(media))?;
            leg.media = Some(news.clone());
            Some(news)
        });
        if (180..=189).contains(&status) {
            self.tell(leg, LegEvent::Ringing { status });
        }
        if let Some(media) = news.flatten() {
            self.tell(leg, LegEvent::EarlyMedia { media, proven: true });
        }
    }

    /// Works on an early dialog of an outgoing leg as if it were the leg's.
    pub(super) fn in_early<T>(
        &mut self,
        leg: &mut Leg,
        index: usize,
        work: impl FnOnce(&mut Self, &mut Leg) -> T,
    ) -> Option<T> {
        let outgoing = leg.outgoing.as_mut().filter(|o| index < o.early.len())?;
        let mut early = outgoing.early.remove(index);
        leg.exchange(&mut early);
        let done = work(self, leg);
        leg.exchange(&mut early);
        if let Some(outgoing) = &mut leg.outgoing {
            outgoing.early.insert(index.min(outgoing.early.len()), early);
        }
        Some(done)
    }
}
