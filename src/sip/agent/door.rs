//! The door: what arrives is read, matched to its transaction, or admitted (RFC 3261 §8.2, §17.2.3, §18.2). What can be
//! answered without keeping anything is answered here (§8.2.7): the broken, the unknown, the unwelcome, OPTIONS.
//!
//! Never more than one answer to one request, and over UDP none that is much longer than it: see `stateless`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;

use bytes::Bytes;

use super::Counter;
use super::capabilities::{ALLOW, ALLOW_AND_REGISTER, SUPPORTED, not_ours};
use super::transmit::{Arrival, INCOMPATIBLE};
use super::user_agent::{ServerMachine, UserAgent};
use crate::session::LegId;
use crate::sip::guard::{Origin, Source};
use crate::sip::leg::LegEvent;
use crate::sip::leg::state::State;
use crate::sip::message::{Headers, Message, Method, Name, Request, Response, Uri, Via, via};
use crate::sip::peer::{Peer, Transport};
use crate::sip::sdp::{CONTENT_TYPE, Description};
use crate::sip::transaction::{Acknowledged, InviteServer, MergeKey, Server, ServerKey};
use crate::time::Time;

/// An answer that refuses a request.
pub(super) struct Refusal {
    pub status: u16,
    pub phrase: Option<String>,
    /// For 420.
    pub unsupported: Vec<String>,
}

impl Refusal {
    pub fn new(status: u16) -> Self {
        Refusal { status, phrase: None, unsupported: Vec::new() }
    }

    pub fn because(status: u16, phrase: impl Into<String>) -> Self {
        Refusal { status, phrase: Some(phrase.into()), unsupported: Vec::new() }
    }
}

impl UserAgent {
    /// One message as it came: a datagram, or what the framer cut from a stream.
    pub fn receive(&mut self, peer: Peer, bytes: &[u8], now: Time) {
        // Keep-alives (RFC 5626 §3.5.1, §4.4.1) are the transport layer's to answer.
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return;
        }
        let arrival = Arrival { peer, bytes, now };
        let origin = Origin::of(&peer);
        if !self.guard.admits(origin) {
            return self.count(Counter::DroppedByGuard);
        }
        self.moment = now;
        match Message::parse(bytes) {
            Ok(Message::Request(request)) => self.receive_request(request, arrival),
            Ok(Message::Response(response)) => self.receive_response(&response, arrival),
            Err(_) if self.is_too_much(|guard| guard.malformed(origin, now)) => {}
            Err(error) => match error.response() {
                Some(mut response) => {
                    self.count(Counter::Malformed);
                    let _ = via::mark_source(&mut response.headers, peer.remote);
                    self.answer_once(peer, arrival, response, Vec::new());
                }
                None => self.count(Counter::Unintelligible),
            },
        }
        self.sweep();
    }

    fn receive_request(&mut self, mut request: Request, arrival: Arrival<'_>) {
        self.count(Counter::RequestReceived);
        // Without a Via nobody knows where an answer belongs; an ACK is never answered.
        let readable = via::mark_source(&mut request.headers, arrival.peer.remote).is_ok();
        let checked = request.check();
        let (Ok(via), true) = (request.headers.top_via(), readable) else {
            return self.count(Counter::Unintelligible);
        };
        if let Err(error) = checked {
            if request.method == Method::Ack {
                return self.count(Counter::Unintelligible);
            }
            self.count(Counter::Malformed);
            if self.is_too_much(|guard| guard.malformed(Origin::of(&arrival.peer), arrival.now)) {
                return;
            }
            return self.turn_away(&request, &via, arrival, &Refusal::because(400, error.reason()));
        }
        let Ok(key) = ServerKey::of(&request, &via) else { return self.count(Counter::Unintelligible) };
        match request.method {
            Method::Ack => self.receive_ack(&request, &key, arrival),
            Method::Cancel => self.receive_cancel(&request, &via, arrival),
            _ => {
                if let Some(&id) = self.server_keys.get(&key) {
                    return self.receive_repetition(id, arrival);
                }
                let tagged = request.headers.to().is_ok_and(|to| to.tag().is_some());
                if tagged {
                    self.receive_within(request, &via, key, arrival);
                } else {
                    self.receive_outside(request, &via, key, arrival);
                }
            }
        }
    }

    fn receive_repetition(&mut self, id: u64, arrival: Arrival<'_>) {
        self.count(Counter::RetransmissionReceived);
        let Some(transaction) = self.servers.get(&id) else { return };
        let again = match &transaction.machine {
            ServerMachine::Invite(machine) => machine.on_repetition(),
            ServerMachine::Other(machine) => machine.on_repetition(),
        };
        let (peer, leg, last) = (transaction.peer, transaction.leg, transaction.last.clone());
        self.trace_arrival(leg, arrival, true);
        if let Some(bytes) = last.filter(|_| again) {
            self.send(peer, bytes, Some(leg), true);
        }
    }

    fn receive_ack(&mut self, request: &Request, key: &ServerKey, arrival: Arrival<'_>) {
        if let Some(&id) = self.server_keys.get(key)
            && let Some(transaction) = self.servers.get_mut(&id)
            && let ServerMachine::Invite(machine) = &mut transaction.machine
            && machine.on_ack(&self.config.timers, arrival.now) == Acknowledged::Here
        {
            let leg = transaction.leg;
            self.schedule_server(id);
            return self.trace_arrival(leg, arrival, false);
        }
        if let Some(id) = self.find_leg(request)
            && let Some(mut leg) = self.take(id)
        {
            self.has_heard(arrival);
            self.trace_arrival(id, arrival, false);
            self.acknowledged(&mut leg, request, arrival);
            self.put(leg);
        }
    }

    fn receive_cancel(&mut self, request: &Request, via: &Via, arrival: Arrival<'_>) {
        let found = ServerKey::cancelled_by(request, via).ok().and_then(|key| self.server_keys.get(&key).copied());
        let Some((id, leg_id)) = found.and_then(|id| Some((id, self.servers.get(&id)?.leg))) else {
            if self.is_beyond_limits(arrival) {
                return;
            }
            return self.turn_away(request, via, arrival, &Refusal::new(481));
        };
        self.trace_arrival(leg_id, arrival, false);
        let Some(mut leg) = self.take(leg_id) else { return };
        // The same answer to the same CANCEL every time, so no transaction is kept for it (§9.2).
        let response = self.response(&leg, request, 200, arrival.peer);
        let (peer, _) = answer_to(via, arrival.peer);
        self.send(peer, Bytes::from(response.to_bytes()), Some(leg_id), false);
        if leg.incoming.as_ref().is_some_and(|i| i.transaction == id) {
            self.withdraw(&mut leg, reason_of(&request.headers), arrival.now);
        }
        self.put(leg);
    }

    /// The caller no longer wants its INVITE: 487.
    pub(super) fn withdraw(&mut self, leg: &mut crate::sip::leg::state::Leg, reason: Option<String>, now: Time) {
        if let Some(incoming) = self.take_incoming(leg) {
            self.refuse(leg, incoming.transaction, &incoming.invite, 487, now);
            self.finish(leg, State::Over, LegEvent::Cancelled { reason });
        }
    }

    /// A request outside of any dialog.
    fn receive_outside(&mut self, request: Request, via: &Via, key: ServerKey, arrival: Arrival<'_>) {
        if self.is_unwanted(&request, arrival) {
            return;
        }
        let refusal = match request.method {
            Method::Invite => match self.admit(&request, arrival) {
                Ok((offer, merge)) => {
                    let Some(identity) = self.identify(&request, via, arrival) else { return };
                    match self.to_be_replaced(&request, &identity, arrival) {
                        Ok(Some(leg)) => return self.replace(leg, request, via, key, merge, offer, identity, arrival),
                        Ok(None) => return self.invited(request, via, key, merge, offer, identity, arrival),
                        Err(refusal) => refusal,
                    }
                }
                Err(refusal) => refusal,
            },
            Method::Options => match check_welcome(&request) {
                Ok(()) => match self.identify(&request, via, arrival) {
                    Some(_) => return self.answer_options(&request, via, arrival),
                    None => return,
                },
                Err(refusal) => refusal,
            },
            Method::Register => return self.registering(&request, via, key, arrival),
            Method::Bye | Method::Info | Method::Prack | Method::Update | Method::Notify => Refusal::new(481),
            // Who is in no call with us has nothing to refer (RFC 3515 §2.4.2): that would be a dialler for everybody.
            Method::Refer => Refusal::new(403),
            _ => Refusal::new(405),
        };
        self.turn_away(&request, via, arrival, &refusal);
    }

    /// May this INVITE become a leg? If there is room, in the order of §8.2.
    fn admit(&mut self, request: &Request, arrival: Arrival<'_>) -> Result<(Option<Description>, MergeKey), Refusal> {
        // First what costs nothing to find out: under a flood a refusal must be cheap.
        let limits = &self.config.limits;
        let (all, here) = self.half_open(Source::of(arrival.peer.remote.ip()));
        let too_many_here = here >= limits.half_open_per_source;
        if self.draining
            || self.legs.len() >= limits.legs
            || self.servers.len() >= limits.server_transactions
            || all >= limits.half_open
            || too_many_here
        {
            if too_many_here {
                self.is_too_much(|guard| guard.half_open(Origin::of(&arrival.peer), arrival.now));
            }
            self.count(Counter::Overloaded);
            return Err(Refusal::new(503));
        }
        check_welcome(request)?;
        if !takes_sdp(&request.headers) {
            return Err(Refusal::new(406));
        }
        let merge = MergeKey::of(request).map_err(|e| Refusal::because(400, e.reason()))?;
        if self.merges.contains_key(&merge) {
            return Err(Refusal::because(482, "Loop Detected (merged request)"));
        }
        if !matches!(request.headers.contact(), Ok(Some(_))) {
            return Err(Refusal::because(400, "Bad Contact header: missing"));
        }
        self.check_session(request)?;
        let offer = self.read_offer(request, arrival.peer)?;
        Ok((offer, merge))
    }

    /// The offer in a request; none where it has no SDP. Refused: what we cannot read or answer.
    pub(super) fn read_offer(&self, request: &Request, peer: Peer) -> Result<Option<Description>, Refusal> {
        if request.body.len() > self.config.limits.body {
            return Err(Refusal::new(413));
        }
        let Some(body) = sdp_in(&request.headers, &request.body)? else { return Ok(None) };
        let offer = Description::parse(body).map_err(|e| match e {
            crate::sip::sdp::SdpError::Syntax(_) => Refusal::because(400, e.to_string()),
            _ => Refusal::new(488),
        })?;
        match offer.in_common(&self.config.codecs, self.family(peer)) {
            Some(_) => Ok(Some(offer)),
            None => Err(Refusal::new(488)),
        }
    }

    /// A request that says it belongs to a dialog.
    fn receive_within(&mut self, request: Request, via: &Via, key: ServerKey, arrival: Arrival<'_>) {
        let Some(id) = self.find_leg(&request) else {
            self.count(Counter::UnknownDialog);
            if self.is_beyond_limits(arrival) {
                return;
            }
            return self.turn_away(&request, via, arrival, &Refusal::new(481));
        };
        self.has_heard(arrival);
        self.trace_arrival(id, arrival, false);
        // What runs goes on while new calls are already refused; but not without end.
        let bound = self.config.limits.server_transactions;
        if self.servers.len() >= bound + bound / 10 {
            self.count(Counter::Overloaded);
            return self.turn_away(&request, via, arrival, &Refusal::new(503));
        }
        let reliable = arrival.peer.transport.is_reliable();
        let machine = match request.method {
            Method::Invite => ServerMachine::Invite(InviteServer::new(reliable, &self.config.timers)),
            _ => ServerMachine::Other(Server::new(reliable)),
        };
        let transaction = self.add_server(key, None, machine, answer_to(via, arrival.peer), id);
        if let Some(mut leg) = self.take(id) {
            self.within_leg(&mut leg, transaction, &request, arrival);
            self.put(leg);
        }
    }

    /// The leg whose dialog a request names (§12.2.2): our tag in To, the Call-ID, the peer's tag in From.
    fn find_leg(&self, request: &Request) -> Option<LegId> {
        let to = request.headers.to().ok()?;
        let from = request.headers.from().ok()?;
        let id = *self.by_tag.get(to.tag()?)?;
        let leg = self.legs.get(&id)?;
        if leg.call_id != request.headers.call_id().ok()? {
            return None;
        }
        let known = match (&leg.dialog, &leg.outgoing) {
            (Some(dialog), _) => dialog.is_with(from.tag()),
            (None, Some(outgoing)) => outgoing.early.iter().any(|early| early.tag.as_deref() == from.tag()),
            (None, None) => false,
        };
        known.then_some(id)
    }

    fn answer_options(&mut self, request: &Request, via: &Via, arrival: Arrival<'_>) {
        let response = Response::for_request(request, 200);
        let mut described = Response::new(200);
        self.describe(&mut described, arrival.peer);
        // The most useful first: there may not be room for all.
        let order =
            [Name::Allow, Name::Accept, Name::Supported, Name::Contact, Name::AcceptEncoding, Name::AcceptLanguage];
        let says = order.into_iter().filter_map(|name| {
            let value = described.headers.text(&name)?.into_owned();
            Some((name, value))
        });
        let says = says.collect();
        let (peer, _) = answer_to(via, arrival.peer);
        self.answer_once(peer, arrival, response, says);
    }

    /// The methods that we serve outside of dialogs: REGISTER where there is somebody who may.
    fn serves(&self) -> &'static str {
        if self.policy.users.is_empty() { ALLOW } else { ALLOW_AND_REGISTER }
    }

    /// What an answer to OPTIONS says (§11.2).
    pub(super) fn describe(&self, response: &mut Response, peer: Peer) {
        if let Some(contact) = self.contact(peer.transport, peer.remote.ip()) {
            response.headers.set_value(Name::Contact, &contact.header);
        }
        response.headers.set_value(Name::Allow, &self.serves());
        response.headers.set_value(Name::Accept, &CONTENT_TYPE);
        response.headers.set_value(Name::AcceptEncoding, &"identity");
        response.headers.set_value(Name::AcceptLanguage, &"en");
        response.headers.set_value(Name::Supported, &SUPPORTED);
        let _ = response.headers.set(Name::Server, &self.config.product);
    }

    /// Refuses a request without keeping anything; the same request again gets the same answer. An INVITE is
    /// repeated by its sender until it hears this, so nothing is lost, and its ACK is dropped.
    pub(super) fn turn_away(&mut self, request: &Request, via: &Via, arrival: Arrival<'_>, refusal: &Refusal) {
        if request.method == Method::Ack {
            return;
        }
        let mut response = Response::for_request(request, refusal.status);
        if let Some(phrase) = &refusal.phrase {
            response.set_reason(phrase);
        }
        let more = match refusal.status {
            405 => vec![(Name::Allow, self.serves().to_owned())],
            415 => vec![(Name::Accept, CONTENT_TYPE.to_owned()), (Name::AcceptEncoding, "identity".to_owned())],
            // The options come from a token list, so they can be written.
            420 => vec![(Name::Unsupported, refusal.unsupported.join(", "))],
            422 => vec![(Name::MinSe, self.config.timers.min_se.to_string())],
            488 => vec![(Name::Warning, INCOMPATIBLE.to_owned())],
            503 => vec![(Name::RetryAfter, self.config.limits.retry_after.to_string())],
            _ => Vec::new(),
        };
        let (peer, _) = answer_to(via, arrival.peer);
        self.answer_once(peer, arrival, response, more);
    }

    /// A tag that the same request always gets, and that nobody else can foretell (§8.2.7).
    pub(super) fn stateless_tag(&self, headers: &Headers) -> String {
        let mut hasher = DefaultHasher::new();
        (self.secret, headers.get(&Name::CallId), headers.get(&Name::From), headers.get(&Name::CSeq)).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// Where the answers to a request go (§18.2.2, RFC 3581), and where they go when its connection is gone.
pub(super) fn answer_to(via: &Via, peer: Peer) -> (Peer, Peer) {
    // Who came by WebSocket cannot be connected to (RFC 7118 §5).
    if matches!(peer.transport, Transport::Ws | Transport::Wss) {
        return (peer, peer);
    }
    if peer.transport.is_reliable() {
        let ip = via.received().or_else(|| via.host.ip()).unwrap_or(peer.remote.ip());
        let remote = SocketAddr::new(ip, via.sent_by_port());
        return (peer, Peer { remote, connection: None, ..peer });
    }
    let peer = Peer { remote: via.response_address().unwrap_or(peer.remote), ..peer };
    (peer, peer)
}

/// The value of Reason (RFC 3326).
pub(super) fn reason_of(headers: &Headers) -> Option<String> {
    headers.text(&Name::Reason).map(|r| r.into_owned())
}

/// Can we serve a request that asks for this much (§8.2.2.1, §8.2.2.3)?
pub(super) fn check_welcome(request: &Request) -> Result<(), Refusal> {
    match &request.uri {
        Uri::Sip(_) | Uri::Tel(_) => {}
        Uri::Other(_) => return Err(Refusal::new(416)),
    }
    let unsupported = not_ours(request.headers.require().map_err(|e| Refusal::because(400, e.reason()))?);
    if !unsupported.is_empty() {
        return Err(Refusal { status: 420, phrase: None, unsupported });
    }
    Ok(())
}

/// Does the sender take SDP in an answer (§20.1)? Whoever says nothing does; an empty list takes nothing.
fn takes_sdp(headers: &Headers) -> bool {
    let Ok(types) = headers.list(Name::Accept, |value| Ok(value.to_ascii_lowercase())) else { return true };
    let essence = |value: &[u8]| value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii().to_vec();
    let all = [CONTENT_TYPE.as_bytes(), b"application/*", b"*/*"];
    !headers.contains(&Name::Accept) || types.iter().any(|value| all.contains(&essence(value).as_slice()))
}

/// The SDP of a message; none where it has no body, or one that may be ignored. Refused: a body that we do not read.
pub(super) fn sdp_in<'a>(headers: &Headers, body: &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
    if body.is_empty() {
        return Ok(None);
    }
    let encoded = headers.tokens(Name::ContentEncoding).map_err(|e| Refusal::because(400, e.reason()))?;
    if encoded.iter().any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::new(415));
    }
    let Some(kind) = headers.content_type().map_err(|e| Refusal::because(400, e.reason()))? else {
        return Err(Refusal::because(400, "Bad Content-Type header: missing"));
    };
    if kind.essence.eq_ignore_ascii_case(CONTENT_TYPE) {
        return Ok(Some(body));
    }
    if is_optional(headers) { Ok(None) } else { Err(Refusal::new(415)) }
}

/// May the body be ignored (§8.2.3, §20.11)?
pub(super) fn is_optional(headers: &Headers) -> bool {
    let disposition = headers.text(&Name::ContentDisposition).unwrap_or_default().to_ascii_lowercase();
    disposition.split(';').any(|p| p.trim().replace(' ', "") == "handling=optional")
}
