//! The server side of legs (RFC 3261 §9.2, §12.2.2, §13.3, §14.2, §15.1.2): a new INVITE, requests within a dialog,
//! and the ACK of our 2xx.

use std::time::Duration;

use super::door::{Refusal, answer_to, check_welcome, is_optional, reason_of, sdp_in};
use super::transmit::{Arrival, party};
use super::user_agent::{ServerMachine, UserAgent};
use super::{AgentOutput, Counter};
use crate::sip::access::Identity;
use crate::sip::dialog::Dialog;
use crate::sip::guard::Source;
use crate::sip::leg::state::{Incoming, Leg, State};
use crate::sip::leg::{EndCause, Invitation, LegEvent, OfferedMedia, Party, Side};
use crate::sip::message::{Method, Name, NameAddr, Request, Via};
use crate::sip::sdp::Description;
use crate::sip::transaction::{InviteServer, MergeKey, ServerKey};

/// Header lines that an [`Invitation`] carries; further ones are left out.
const MAX_SHOWN_HEADERS: usize = 100;

impl UserAgent {
    /// An admitted INVITE becomes a leg.
    #[expect(clippy::too_many_arguments, reason = "what the door found out about one request, for its only caller")]
    pub(super) fn invited(
        &mut self,
        request: Request,
        via: &Via,
        key: ServerKey,
        merge: MergeKey,
        offer: Option<Description>,
        identity: Identity,
        arrival: Arrival<'_>,
    ) {
        let id = self.new_leg();
        let local_tag = self.random.token(8);
        let sdp_id = self.random.u64();
        let Ok(dialog) = Dialog::incoming(&request, &local_tag, 0, arrival.peer) else { return };
        let mut leg = Leg::new(id, State::Incoming, dialog.call_id().to_owned(), local_tag, sdp_id);
        self.allow_keys(&mut leg, arrival.peer.transport);
        self.trace_arrival(id, arrival, false);
        let reliable = arrival.peer.transport.is_reliable();
        let machine = ServerMachine::Invite(InviteServer::new(reliable, &self.config.timers));
        let transaction = self.add_server(key, Some(merge), machine, answer_to(via, arrival.peer), id);
        let trying = self.response(&leg, &request, 100, arrival.peer);
        self.respond(transaction, &trying, arrival.now);

        let known = identity != Identity::Stranger;
        let invitation = self.invitation(&leg, &request, offer.as_ref(), identity, arrival);
        let patience = self.config.timers.unanswered;
        let expires = request.headers.expires().ok().flatten().map(|s| Duration::from_secs(s.into()));
        self.open_half(&mut leg, Source::of(arrival.peer.remote.ip()));
        leg.reliable.known = known;
        leg.reliable.wanted = super::reliable::reliability(&request.headers);
        leg.hear_allow(&request.headers);
        leg.incoming = Some(Incoming {
            transaction,
            invite: request,
            offer,
            give_up: arrival.now + expires.map_or(patience, |e| e.min(patience)),
            give_up_status: if expires.is_some_and(|e| e < patience) { 487 } else { 480 },
            ring_again: None,
        });
        leg.dialog = Some(dialog);
        self.register(leg);
        self.output(AgentOutput::Incoming(Box::new(invitation)));
    }

    fn invitation(
        &self,
        leg: &Leg,
        request: &Request,
        offer: Option<&Description>,
        identity: Identity,
        arrival: Arrival<'_>,
    ) -> Invitation {
        let headers = &request.headers;
        let first = |name: Name| -> Option<Party> { headers.list(name, NameAddr::parse).ok()?.first().map(party) };
        let family = self.family(arrival.peer);
        let offered = offer.and_then(|offer| offer.in_common(&self.config.codecs, family)).map(
            |(codecs, telephone_event, direction, remote_rtp)| OfferedMedia {
                codecs,
                telephone_event,
                direction,
                remote_rtp,
            },
        );
        Invitation {
            leg: leg.id,
            from: headers.from().as_ref().map(party).unwrap_or_default(),
            to: headers.to().as_ref().map(party).unwrap_or_default(),
            request_uri: request.uri.to_string(),
            call_id: leg.call_id.clone(),
            headers: headers
                .iter()
                .take(MAX_SHOWN_HEADERS)
                .map(|h| (h.name().to_string(), h.text().into_owned()))
                .collect(),
            peer: arrival.peer,
            identity,
            offered,
            diversion: first(Name::Diversion),
            asserted_identity: first(Name::PAssertedIdentity),
        }
    }

    /// A request within a dialog of the leg's: its own, or an early one.
    pub(super) fn within_leg(&mut self, leg: &mut Leg, id: u64, request: &Request, arrival: Arrival<'_>) {
        let from = request.headers.from().ok();
        let tag = from.as_ref().and_then(|from| from.tag());
        let early = leg.outgoing.as_ref().and_then(|o| o.early.iter().position(|early| early.tag.as_deref() == tag));
        match early {
            Some(index) => {
                self.in_early(leg, index, |agent, leg| agent.within(leg, id, request, arrival));
            }
            None => self.within(leg, id, request, arrival),
        }
    }

    /// A request within the leg's dialog, new and in a transaction of its own.
    fn within(&mut self, leg: &mut Leg, id: u64, request: &Request, arrival: Arrival<'_>) {
        let now = arrival.now;
        if let Err(refusal) = check_welcome(request) {
            return self.refuse_within(leg, id, request, &refusal, arrival);
        }
        if let (Some(dialog), Ok(cseq)) = (&mut leg.dialog, request.headers.cseq()) {
            if dialog.check_order(cseq.number).is_err() {
                return self.refuse(leg, id, request, 500, now);
            }
            // A peer that has moved to another connection is followed there.
            dialog.hear(request, arrival.peer);
        }
        match request.method {
            Method::Invite => self.reinvited(leg, id, request, arrival),
            Method::Prack => self.pracked(leg, id, request, arrival),
            Method::Update => self.updated(leg, id, request, arrival),
            Method::Bye if leg.left => self.refuse(leg, id, request, 481, now),
            Method::Bye => {
                self.accept_simply(leg, id, request, arrival);
                // A callee may not end what it has not answered (§15).
                if matches!(leg.state, State::Calling | State::Cancelling) {
                    return;
                }
                leg.left = true;
                if self.goes_on_without(leg) || self.waits_without(leg) {
                    return;
                }
                let reason = reason_of(&request.headers);
                if leg.state == State::Incoming {
                    return self.withdraw(leg, reason, now);
                }
                let end = LegEvent::Ended { by: Side::Remote, cause: EndCause::Bye, reason };
                self.finish(leg, State::Over, end);
            }
            Method::Info if leg.is_ended() => self.refuse(leg, id, request, 481, now),
            Method::Info => {
                if request.headers.contains(&Name::InfoPackage) {
                    let mut response = self.response(leg, request, 469, arrival.peer);
                    response.headers.push_value(Name::RecvInfo, &"");
                    self.respond(id, &response, now);
                    return;
                }
                if !self.takes_info(request) {
                    let mut response = self.response(leg, request, 415, arrival.peer);
                    let _ = response.headers.push(Name::Accept, self.config.info_types.join(", "));
                    self.respond(id, &response, now);
                    return;
                }
                self.accept_simply(leg, id, request, arrival);
                let content_type = request.headers.text(&Name::ContentType).unwrap_or_default().into_owned();
                self.tell(leg, LegEvent::Info { content_type, body: request.body.clone() });
            }
            Method::Refer => self.referred(leg, id, request, arrival),
            Method::Notify => self.notified(leg, id, request, arrival),
            Method::Options => {
                let mut response = self.response(leg, request, 200, arrival.peer);
                self.describe(&mut response, arrival.peer);
                self.respond(id, &response, now);
            }
            _ => self.refuse(leg, id, request, 405, now),
        }
    }

    /// Is the body of an INFO one that somebody here reads, or need not read?
    fn takes_info(&self, request: &Request) -> bool {
        let types = self.config.info_types;
        let known = |essence: &str| types.iter().any(|t| t.eq_ignore_ascii_case(essence));
        types.is_empty()
            || request.body.is_empty()
            || matches!(request.headers.content_type(), Ok(Some(kind)) if known(&kind.essence))
            || is_optional(&request.headers)
    }

    fn accept_simply(&mut self, leg: &Leg, id: u64, request: &Request, arrival: Arrival<'_>) {
        let response = self.response(leg, request, 200, arrival.peer);
        self.respond(id, &response, arrival.now);
    }

    pub(super) fn refuse_within(
        &mut self,
        leg: &Leg,
        id: u64,
        request: &Request,
        refusal: &Refusal,
        arrival: Arrival<'_>,
    ) {
        if refusal.phrase.is_none() && refusal.unsupported.is_empty() {
            return self.refuse(leg, id, request, refusal.status, arrival.now);
        }
        let mut response = self.response(leg, request, refusal.status, arrival.peer);
        if let Some(phrase) = &refusal.phrase {
            response.set_reason(phrase);
        }
        if !refusal.unsupported.is_empty() {
            let _ = response.headers.push(Name::Unsupported, refusal.unsupported.join(", "));
        }
        self.respond(id, &response, arrival.now);
    }

    /// A re-INVITE of the peer's: answered at once, from what call control last wanted of our side.
    fn reinvited(&mut self, leg: &mut Leg, id: u64, request: &Request, arrival: Arrival<'_>) {
        let now = arrival.now;
        match leg.state {
            State::Over | State::Closing => return self.refuse(leg, id, request, 481, now),
            // The first INVITE has no final answer yet: RFC 3261 §14.2 wants 500 with Retry-After.
            State::Incoming => return self.refuse(leg, id, request, 500, now),
            State::Calling | State::Cancelling => return self.refuse(leg, id, request, 491, now),
            State::Answered | State::Established => {}
        }
        // Glare with a re-INVITE of ours, or an ACK still on its way.
        if leg.reinvite.is_some() || leg.unacknowledged.is_some() || leg.awaits_answer() {
            return self.refuse(leg, id, request, 491, now);
        }
        if self.refuses_session(leg, id, request, arrival) {
            return;
        }
        leg.hear_allow(&request.headers);
        let offer = match self.read_offer(request, arrival.peer) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_within(leg, id, request, &refusal, arrival),
        };
        let Some(media) = leg.local_media.clone() else { return self.refuse(leg, id, request, 488, now) };
        let (body, agreed) = match &offer {
            Some(offer) => match leg.sdp.answer(offer, &media) {
                Ok((body, agreed)) => (body, Some(agreed)),
                Err(_) => return self.refuse(leg, id, request, 488, now),
            },
            None => (leg.sdp.offer(&media), None),
        };
        if let Some(dialog) = &mut leg.dialog {
            dialog.refresh_target(request.headers.contact().ok().flatten());
        }
        self.accept(leg, id, request, Some(body), agreed.is_none(), true, now);
        if let Some(agreed) = agreed
            && leg.media.as_ref() != Some(&agreed)
        {
            leg.media = Some(agreed.clone());
            self.tell(leg, LegEvent::MediaChanged { media: agreed });
        }
    }

    /// An ACK within the leg's dialog.
    pub(super) fn acknowledged(&mut self, leg: &mut Leg, ack: &Request, arrival: Arrival<'_>) {
        let now = arrival.now;
        let number = ack.headers.cseq().map(|c| c.number).ok();
        let Some(waiting) = leg.unacknowledged.take_if(|u| Some(u.cseq) == number) else { return };
        if leg.state == State::Closing {
            self.bye_leg(leg, None, now);
            leg.state = State::Over;
            return;
        }
        if waiting.answer_expected {
            let answer = sdp_in(&ack.headers, &ack.body).ok().flatten().and_then(|b| Description::parse(b).ok());
            match answer.and_then(|answer| leg.sdp.accept(&answer).ok()) {
                Some(agreed) if leg.media.as_ref() != Some(&agreed) => {
                    leg.media = Some(agreed.clone());
                    self.tell(leg, LegEvent::MediaChanged { media: agreed });
                }
                Some(_) => {}
                // Without an answer there is no first session; a standing one goes on as it was.
                None if !waiting.renegotiation => {
                    self.bye_leg(leg, None, now);
                    let end = LegEvent::Ended { by: Side::Local, cause: EndCause::BadAnswer, reason: None };
                    return self.finish(leg, State::Over, end);
                }
                None => {}
            }
        }
        if leg.state == State::Answered {
            leg.settled = true;
            leg.state = State::Established;
            self.tell(leg, LegEvent::Confirmed);
        }
        self.reoffer_if_free(leg, now);
    }

    /// No ACK came in 64·T1 (§13.3.1.4).
    pub(super) fn never_acknowledged(&mut self, leg: &mut Leg, now: crate::time::Time) {
        leg.unacknowledged = None;
        self.count(Counter::AckTimeout);
        self.bye_leg(leg, None, now);
        self.finish(leg, State::Over, LegEvent::Ended { by: Side::Local, cause: EndCause::AckTimeout, reason: None });
    }
}
