//! Sending: our own headers on requests and responses (RFC 3261 §8.1.1, §8.2.6, §18), ACK, CANCEL and BYE, and the
//! copies that a call's timeline gets.

use std::net::IpAddr;

use bytes::Bytes;

use super::capabilities::{ALLOW, SUPPORTED};
use super::user_agent::{ClientMachine, Contact, NewClient, Purpose, ServerMachine, UserAgent};
use super::{AgentOutput, Counter, Flow};
use crate::session::LegId;
use crate::sip::dialog::{Dialog, MAX_FORWARDS};
use crate::sip::digest::Rounds;
use crate::sip::leg::state::{Leg, SentAck, State, Unacknowledged};
use crate::sip::message::{CSeq, Method, Name, NameAddr, Request, Response, Uri, Via, ViaTransport};
use crate::sip::peer::{Peer, Transport};
use crate::sip::sdp::Family;
use crate::sip::sdp::secrets::without_keys;
use crate::sip::transaction::{Client, ClientKey, InviteClient};
use crate::time::Time;

/// One message on its way in.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub peer: Peer,
    pub bytes: &'a [u8],
    pub now: Time,
}

impl UserAgent {
    /// The address of ours for a transport and the other end's address family; none: we have none that reaches there.
    pub(super) fn contact(&self, transport: Transport, remote: IpAddr) -> Option<&Contact> {
        let ipv4 = remote.to_canonical().is_ipv4();
        self.contacts
            .iter()
            .find(|c| c.address.transport == transport && c.address.local.ip().to_canonical().is_ipv4() == ipv4)
    }

    /// Our Contact towards this peer; where the Request-URI is `sips:`, so is it (RFC 3261 §8.1.1.8, §12.1.1).
    fn contact_header(&self, peer: Peer, target: &Uri) -> Option<NameAddr> {
        let mut header = self.contact_for(peer)?.header.clone();
        if target.scheme() == "sips" {
            header.uri = header.uri.into_secure();
        }
        Some(header)
    }

    pub(super) fn contact_for(&self, peer: Peer) -> Option<&Contact> {
        self.contact(peer.transport, peer.remote.ip())
    }

    /// The family of the addresses that we are reached at; where that is a name, of those that requests leave from.
    pub(super) fn family(&self, peer: Peer) -> Family {
        let contact = self.contact_for(peer);
        contact.map_or(peer.local.ip(), |c| c.host.ip().unwrap_or(c.address.local.ip())).into()
    }

    /// Hands bytes to the transport layer, and a copy to the leg's timeline.
    pub(super) fn send(&mut self, mut peer: Peer, bytes: Bytes, leg: Option<LegId>, again: bool) {
        if peer.connection.is_none()
            && let Some(contact) = self.contact_for(peer)
        {
            peer.local = contact.address.local;
        }
        self.count(if again { Counter::RetransmissionSent } else { Counter::MessageSent });
        let leg = leg.filter(|leg| !self.requests.contains(*leg));
        if let Some(leg) = leg {
            self.trace(leg, Flow::Sent, peer, bytes.clone(), again);
        }
        let leg = leg.map(|leg| self.serving.get(&leg).copied().unwrap_or(leg));
        self.output(AgentOutput::Send { peer, bytes, leg });
    }

    pub(super) fn trace(&mut self, leg: LegId, flow: Flow, peer: Peer, bytes: Bytes, retransmission: bool) {
        let leg = self.serving.get(&leg).copied().unwrap_or(leg);
        let bytes = without_credentials(bytes);
        let bytes = without_keys(&bytes).map_or(bytes, Bytes::from);
        let line = bytes.split(|b| matches!(b, b'\r' | b'\n')).find(|l| !l.is_empty()).unwrap_or_default();
        let first_line = String::from_utf8_lossy(line).into_owned();
        self.output(AgentOutput::Trace { leg, flow, peer, first_line, retransmission, bytes });
    }

    pub(super) fn trace_arrival(&mut self, leg: LegId, arrival: Arrival<'_>, retransmission: bool) {
        if self.requests.contains(leg) {
            return;
        }
        self.trace(leg, Flow::Received, arrival.peer, Bytes::copy_from_slice(arrival.bytes), retransmission);
    }

    /// Puts our Via on top of a request; none: we do not speak that transport.
    pub(super) fn with_via(&mut self, mut request: Request, peer: Peer, branch: &str) -> Option<Request> {
        let contact = self.contact_for(peer)?;
        let protocol = match peer.transport {
            Transport::Udp => ViaTransport::Udp,
            Transport::Tcp => ViaTransport::Tcp,
            Transport::Tls => ViaTransport::Tls,
            Transport::Ws => ViaTransport::Ws,
            Transport::Wss => ViaTransport::Wss,
        };
        let via = Via::new(protocol, contact.host.clone(), Some(contact.address.port), branch);
        request.headers.insert_first_value(Name::Via, &via);
        Some(request)
    }

    fn new_branch(&mut self) -> String {
        format!("z9hG4bK{}", self.random.token(12))
    }

    pub(super) fn dress(&self, request: &mut Request, peer: Peer) {
        if matches!(request.method, Method::Invite | Method::Update) {
            if let Some(contact) = self.contact_header(peer, &request.uri) {
                request.headers.set_value(Name::Contact, &contact);
            }
            request.headers.set_value(Name::Allow, &ALLOW);
            request.headers.set_value(Name::Supported, &SUPPORTED);
        }
        // The product comes from our own configuration; what cannot be a header value is left out.
        let _ = request.headers.set(Name::UserAgent, &self.config.product);
    }

    /// Sends a request in a transaction of its own, and gives that; none: nothing of ours speaks that transport.
    pub(super) fn start(
        &mut self,
        request: Request,
        peer: Peer,
        leg: LegId,
        purpose: Purpose,
        rounds: Rounds,
        now: Time,
    ) -> Option<u64> {
        let branch = self.new_branch();
        self.start_on_branch(request, peer, leg, purpose, rounds, &branch, now)
    }

    #[expect(clippy::too_many_arguments, reason = "the two callers differ in the branch only")]
    fn start_on_branch(
        &mut self,
        request: Request,
        peer: Peer,
        leg: LegId,
        purpose: Purpose,
        rounds: Rounds,
        branch: &str,
        now: Time,
    ) -> Option<u64> {
        let bare = request.clone();
        let mut request = self.with_via(request, peer, branch)?;
        let mut bytes = Bytes::from(request.to_bytes());
        let (mut peer, mut datagram) = (peer, None);
        if let Some(large) = self.way_for_large(peer, bytes.len(), now) {
            request = self.with_via(bare.clone(), large, branch)?;
            bytes = Bytes::from(request.to_bytes());
            datagram = Some(std::mem::replace(&mut peer, large));
        }
        let key = ClientKey::new(branch, &request.method);
        let reliable = peer.transport.is_reliable();
        let machine = match request.method {
            Method::Invite => ClientMachine::Invite(InviteClient::new(reliable, &self.config.timers, now)),
            _ => ClientMachine::Other(Client::new(reliable, &self.config.timers, now)),
        };
        let moved = false;
        let id = self.add_client(NewClient {
            key,
            machine,
            request: bare,
            bytes: bytes.clone(),
            peer,
            leg,
            purpose,
            rounds,
            moved,
        });
        if let Some(transaction) = self.clients.get_mut(&id) {
            transaction.datagram = datagram;
        }
        self.send(peer, bytes, Some(leg), false);
        Some(id)
    }

    /// A request within the leg's dialog, with credentials if the peer has asked for some before.
    pub(super) fn start_in_dialog(
        &mut self,
        leg: &mut Leg,
        method: Method,
        purpose: Purpose,
        prepare: impl FnOnce(&mut Request),
        now: Time,
    ) -> Option<u64> {
        let dialog = leg.dialog.as_mut()?;
        let mut request = dialog.request(method);
        let peer = dialog.next_hop();
        self.dress(&mut request, peer);
        self.ask_session(leg, &mut request);
        prepare(&mut request);
        authorize(leg, &mut request);
        self.start(request, peer, leg.id, purpose, Rounds::default(), now)
    }

    /// BYE within a dialog of the leg's, be it the leg's own or a fork's.
    pub(super) fn bye(&mut self, leg: &mut Leg, dialog: &mut Dialog, reason: Option<&str>, now: Time) {
        let mut request = dialog.request(Method::Bye);
        let peer = dialog.next_hop();
        self.dress(&mut request, peer);
        if let Some(reason) = reason {
            let _ = request.headers.push(Name::Reason, reason);
        }
        authorize(leg, &mut request);
        self.start(request, peer, leg.id, Purpose::Bye, Rounds::default(), now);
    }

    /// BYE within the leg's own dialog.
    pub(super) fn bye_leg(&mut self, leg: &mut Leg, reason: Option<&str>, now: Time) {
        if let Some(mut dialog) = leg.dialog.take() {
            self.bye(leg, &mut dialog, reason, now);
            leg.dialog = Some(dialog);
        }
    }

    /// CANCEL of an INVITE of ours (RFC 3261 §9.1): same branch, same first hop.
    pub(super) fn cancel(&mut self, invite: u64, reason: Option<&str>, now: Time) {
        let Some(transaction) = self.clients.get(&invite) else { return };
        let (peer, leg) = (transaction.peer, transaction.leg);
        let branch = transaction.key.branch().to_owned();
        let mut request = Request::new(Method::Cancel, transaction.request.uri.clone());
        for name in [Name::Route, Name::From, Name::To, Name::CallId] {
            request.headers.copy_all(&name, &transaction.request.headers);
        }
        request.headers.push_value(Name::MaxForwards, &MAX_FORWARDS);
        if let Ok(cseq) = transaction.request.headers.cseq() {
            request.headers.push_value(Name::CSeq, &CSeq { number: cseq.number, method: Method::Cancel });
        }
        if let Some(reason) = reason {
            let _ = request.headers.push(Name::Reason, reason);
        }
        self.start_on_branch(request, peer, leg, Purpose::Cancel, Rounds::default(), &branch, now);
    }

    /// The ACK of a refusal: part of the INVITE's transaction (§17.1.1.3).
    pub(super) fn acknowledge_refusal(&mut self, id: u64, response: &Response) {
        let Some(transaction) = self.clients.get(&id) else { return };
        let (peer, leg) = (transaction.peer, transaction.leg);
        if let Some(bytes) = transaction.ack.clone() {
            self.send(peer, bytes, Some(leg), true);
            return;
        }
        let branch = transaction.key.branch().to_owned();
        let invite = &transaction.request;
        let mut ack = Request::new(Method::Ack, invite.uri.clone());
        for name in [Name::Route, Name::From, Name::CallId] {
            ack.headers.copy_all(&name, &invite.headers);
        }
        ack.headers.copy_all(&Name::To, &response.headers);
        ack.headers.push_value(Name::MaxForwards, &MAX_FORWARDS);
        if let Ok(cseq) = invite.headers.cseq() {
            ack.headers.push_value(Name::CSeq, &CSeq { number: cseq.number, method: Method::Ack });
        }
        let Some(ack) = self.with_via(ack, peer, &branch) else { return };
        let bytes = Bytes::from(ack.to_bytes());
        if let Some(transaction) = self.clients.get_mut(&id) {
            transaction.ack = Some(bytes.clone());
        }
        self.send(peer, bytes, Some(leg), false);
    }

    /// The 2xx came again: so does its ACK, on the connection that the 2xx took if that is another one by now.
    /// False: it is the first.
    pub(super) fn acknowledge_again(&mut self, leg: &Leg, tag: Option<&str>, cseq: u32, from: Peer) -> bool {
        let Some(ack) = leg.ack_for(tag, cseq) else { return false };
        let same_way = ack.peer.transport == from.transport && ack.peer.remote.ip() == from.remote.ip();
        let peer = if ack.peer.connection.is_some() && same_way { from } else { ack.peer };
        self.send(peer, ack.bytes.clone(), Some(leg.id), true);
        true
    }

    /// The ACK of a 2xx: a request of its own, without transaction, kept to be repeated (§13.2.2.4).
    pub(super) fn acknowledge(&mut self, leg: &mut Leg, dialog: &Dialog, tag: Option<&str>, invite: &Request) {
        let Ok(cseq) = invite.headers.cseq() else { return };
        let mut ack = dialog.ack(cseq.number);
        for name in [Name::Authorization, Name::ProxyAuthorization] {
            ack.headers.copy_all(&name, &invite.headers);
        }
        let peer = dialog.next_hop();
        self.dress(&mut ack, peer);
        let branch = self.new_branch();
        let Some(ack) = self.with_via(ack, peer, &branch) else { return };
        let bytes = Bytes::from(ack.to_bytes());
        leg.remember_ack(SentAck { tag: tag.map(str::to_owned), cseq: cseq.number, bytes: bytes.clone(), peer });
        self.send(peer, bytes, Some(leg.id), false);
    }

    /// A response to a request of a leg's, with the leg's tag. With SDP, or 101–299, it may begin a dialog.
    pub(super) fn response(&self, leg: &Leg, request: &Request, status: u16, peer: Peer) -> Response {
        let mut response = Response::for_request(request, status);
        if status > 100 {
            // Our tag is hexadecimal.
            let _ = response.set_to_tag(&leg.local_tag);
        }
        let begins = request.method == Method::Invite && (101..300).contains(&status);
        if begins {
            response.headers.copy_all(&Name::RecordRoute, &request.headers);
        }
        if begins || request.method == Method::Update && (200..300).contains(&status) {
            if let Some(contact) = self.contact_header(peer, &request.uri) {
                response.headers.push_value(Name::Contact, &contact);
            }
            response.headers.push_value(Name::Allow, &ALLOW);
            response.headers.push_value(Name::Supported, &SUPPORTED);
        }
        if status == 405 {
            response.headers.push_value(Name::Allow, &ALLOW);
        }
        let _ = response.headers.push(Name::Server, &self.config.product);
        response
    }

    /// Sends a response in its transaction and gives its bytes; none: that transaction is gone or has answered.
    pub(super) fn respond(&mut self, id: u64, response: &Response, now: Time) -> Option<Bytes> {
        let transaction = self.servers.get_mut(&id)?;
        let timers = &self.config.timers;
        let open = match &mut transaction.machine {
            ServerMachine::Invite(machine) => machine.on_respond(response.status(), timers, now),
            ServerMachine::Other(machine) => machine.on_respond(response.status(), timers, now),
        };
        if !open {
            return None;
        }
        let bytes = Bytes::from(response.to_bytes());
        transaction.last = Some(bytes.clone());
        let (peer, leg) = (transaction.peer, transaction.leg);
        self.send(peer, bytes.clone(), Some(leg), false);
        self.schedule_server(id);
        Some(bytes)
    }

    /// Sends a 2xx to an INVITE and sees to its repetition until the ACK.
    #[expect(clippy::too_many_arguments, reason = "each is one fact about the 2xx")]
    pub(super) fn accept(
        &mut self,
        leg: &mut Leg,
        id: u64,
        request: &Request,
        body: Option<Vec<u8>>,
        answer_expected: bool,
        renegotiation: bool,
        now: Time,
    ) {
        let Some(peer) = self.servers.get(&id).map(|t| t.peer) else { return };
        let mut response = self.response(leg, request, 200, peer);
        if let Some(body) = body {
            let _ = response.set_body(crate::sip::sdp::CONTENT_TYPE, body);
        }
        self.grant_session(leg, request, &mut response, now);
        leg.settled |= !answer_expected;
        let Some(bytes) = self.respond(id, &response, now) else { return };
        let timers = self.config.timers;
        leg.unacknowledged = Some(Unacknowledged {
            cseq: request.headers.cseq().map(|c| c.number).unwrap_or_default(),
            transaction: id,
            bytes,
            again: now + timers.t1,
            pause: (timers.t1 * 2).min(timers.t2),
            give_up: now + timers.transaction(),
            answer_expected,
            renegotiation,
        });
        if !renegotiation {
            leg.state = State::Answered;
        }
    }

    /// A refusal within a leg.
    pub(super) fn refuse(&mut self, leg: &Leg, id: u64, request: &Request, status: u16, now: Time) {
        let Some(peer) = self.servers.get(&id).map(|t| t.peer) else { return };
        let mut response = self.response(leg, request, status, peer);
        match status {
            422 => response.headers.push_value(Name::MinSe, &self.config.timers.min_se),
            488 => warn_incompatible(&mut response),
            500 => {
                let seconds = u32::try_from(self.random.below(11)).unwrap_or_default();
                response.headers.push_value(Name::RetryAfter, &seconds);
            }
            415 => response.headers.push_value(Name::Accept, &crate::sip::sdp::CONTENT_TYPE),
            _ => {}
        }
        self.respond(id, &response, now);
    }
}

/// Puts in the credentials that the leg's peer has asked for before.
pub(super) fn authorize(leg: &mut Leg, request: &mut Request) {
    let Some(credentials) = &leg.credentials else { return };
    let (method, uri) = (request.method.to_string(), request.uri.to_string());
    for header in leg.authenticator.authorizations(credentials, &method, &uri) {
        let name = if header.proxy { Name::ProxyAuthorization } else { Name::Authorization };
        // What the challenge brought came from a header line; a user name with control characters is left out.
        let _ = request.headers.push(name, &header.value);
    }
}

/// The words of 488's explanation.
pub(super) const INCOMPATIBLE: &str = "305 strowger \"Incompatible media format\"";

/// 488's explanation (RFC 3261 §20.43).
pub(super) fn warn_incompatible(response: &mut Response) {
    response.headers.push_value(Name::Warning, &INCOMPATIBLE);
}

/// The addresses of a header as call control reads them.
pub(super) fn party(address: &NameAddr) -> crate::sip::leg::Party {
    crate::sip::leg::Party { display: address.display_name.clone(), uri: address.uri.to_string() }
}

/// The message with the values of Authorization and Proxy-Authorization blanked: timelines are for many eyes.
fn without_credentials(bytes: Bytes) -> Bytes {
    const MARK: &[u8] = b"uthorization";
    if !bytes.windows(MARK.len()).any(|w| w.eq_ignore_ascii_case(MARK)) {
        return bytes;
    }
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").map_or(bytes.len(), |at| at + 2);
    let (head, rest) = bytes.split_at(head);
    let mut out = Vec::with_capacity(bytes.len());
    let mut blanked = false;
    for line in head.split_inclusive(|b| *b == b'\n') {
        if matches!(line.first(), Some(b' ' | b'\t')) && blanked {
            continue;
        }
        let name = line.split(|b| *b == b':').next().unwrap_or_default().trim_ascii();
        blanked = name.eq_ignore_ascii_case(b"Authorization") || name.eq_ignore_ascii_case(b"Proxy-Authorization");
        if blanked {
            out.extend_from_slice(name);
            out.extend_from_slice(b": (blanked)\r\n");
        } else {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(rest);
    Bytes::from(out)
}
