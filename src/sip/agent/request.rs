//! Requests outside of any dialog (RFC 3261 §8.1): REGISTER (§10.2), OPTIONS (§11), MESSAGE and the like. One request,
//! one outcome; challenges are answered on the way. What an answer means is for whoever asked.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::transmit::Arrival;
use super::user_agent::{Purpose, UserAgent};
use super::{AgentOutput, Counter};
use crate::session::LegId;
use crate::sip::dialog::MAX_FORWARDS;
use crate::sip::digest::{self, Authenticator, Rounds};
use crate::sip::leg::{Credentials, Party};
use crate::sip::message::{CSeq, Method, Name, NameAddr, Request, Response, Uri};
use crate::sip::peer::{Peer, Transport};
use crate::time::Time;

/// Requests of this kind that may be under way at once; further ones fail with 503.
const MAX_REQUESTS: usize = 4_096;

/// Names a request until its outcome. Taken from the same numbers as legs, so that no other thing has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) LegId);

/// How a request gets to its next hop, besides by address and transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// This connection and no other; none: any.
    pub connection: Option<u64>,
    /// The address of ours that it leaves from; none: the one for the transport.
    pub local: Option<SocketAddr>,
    /// The pre-loaded route set, first hop first: URIs with or without angle brackets.
    pub route: Vec<String>,
}

/// A Contact of ours: its user part, and its parameters, with values or without.
pub type OwnContact = (String, Vec<(String, Option<String>)>);

/// A request outside of any dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRequest {
    /// Not INVITE, ACK, BYE, CANCEL or INFO.
    pub method: Method,
    /// The Request-URI.
    pub target: String,
    /// From, without tag.
    pub from: Party,
    /// To; none: `target`.
    pub to: Option<Party>,
    /// Where it is sent.
    pub destination: SocketAddr,
    /// On what.
    pub transport: Transport,
    /// And how.
    pub way: Way,
    /// The Call-ID, where it is one of a row (REGISTER, §10.2); none: a new one.
    pub call_id: Option<String>,
    /// The number in CSeq. Each challenge that is answered takes the next: see [`RequestOutcome::cseq`].
    pub cseq: u32,
    /// Our Contact, where the request brings one: its user part, and its parameters (`expires`, `+sip.instance`…).
    pub contact: Option<OwnContact>,
    /// More headers. Those that the stack itself writes must not be among them.
    pub headers: Vec<(String, String)>,
    /// For a peer that asks.
    pub credentials: Option<Credentials>,
    /// What has been answered before, so that credentials go out at once.
    pub authenticator: Authenticator,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestOutcome {
    /// The final answer; none: none came, see `status`.
    pub response: Option<Box<Response>>,
    /// The answer's status; without one 408 (nobody answered in time), 503 (no way there), 400 (it cannot be written).
    pub status: u16,
    /// Why there is no answer, for people; empty where there is one.
    pub problem: String,
    /// The number that the last request carried.
    pub cseq: u32,
    /// For the next request of the row.
    pub authenticator: Authenticator,
}

/// A request under way.
pub(super) struct Pending {
    credentials: Option<Credentials>,
    authenticator: Authenticator,
    cseq: u32,
}

/// Requests under way. Bound: [`MAX_REQUESTS`].
#[derive(Default)]
pub(super) struct Requests(HashMap<LegId, Pending>);

impl Requests {
    /// Is this the id of a request, not of a leg?
    pub fn contains(&self, id: LegId) -> bool {
        self.0.contains_key(&id)
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl UserAgent {
    /// Sends a request outside of any dialog; its one outcome comes as [`AgentOutput::Answered`], be it that it could
    /// not even be sent.
    pub fn request(&mut self, request: OutgoingRequest, now: Time) -> RequestId {
        let id = self.new_leg();
        let (cseq, authenticator) = (request.cseq, request.authenticator.clone());
        if let Err((status, problem)) = self.try_request(id, request, now) {
            let outcome = RequestOutcome { response: None, status, problem, cseq, authenticator };
            self.output(AgentOutput::Answered { id: RequestId(id), outcome: Box::new(outcome) });
        }
        RequestId(id)
    }

    fn try_request(&mut self, id: LegId, outgoing: OutgoingRequest, now: Time) -> Result<(), (u16, String)> {
        let bad = |what: &str, error: &dyn std::fmt::Display| (400, format!("{what}: {error}"));
        if self.requests.len() >= MAX_REQUESTS {
            self.count(Counter::Overloaded);
            return Err((503, "too many requests are under way".to_owned()));
        }
        let unfit = [Method::Invite, Method::Ack, Method::Bye, Method::Cancel, Method::Info];
        if unfit.contains(&outgoing.method) {
            return Err((400, format!("{} belongs to a leg", outgoing.method)));
        }
        let no_listener = || (503, format!("no listener for {} to {}", outgoing.transport, outgoing.destination));
        let contact = self.contact(outgoing.transport, outgoing.destination.ip()).ok_or_else(no_listener)?;
        let peer = Peer {
            transport: outgoing.transport,
            remote: outgoing.destination,
            local: outgoing.way.local.unwrap_or(contact.address.local),
            connection: outgoing.way.connection,
        };
        let own_contact = outgoing.contact.as_ref().map(|(user, params)| {
            let mut address = contact.header.clone();
            if let Uri::Sip(_) = &address.uri {
                let with_user = Uri::sip(Some(user), contact.host.clone(), Some(contact.address.port));
                address.uri = match contact.address.transport {
                    Transport::Udp => with_user,
                    other => with_user.with_param("transport", Some(other.uri_name())),
                };
            }
            for (name, value) in params {
                address = match value {
                    Some(value) => address.with_param(name, value.clone()),
                    None => {
                        address.params.set_flag(name);
                        address
                    }
                };
            }
            address
        });
        let target: Uri = outgoing.target.parse().map_err(|e| bad("target", &e))?;
        let target = target.for_request_line();
        let from = super::outgoing::address(&outgoing.from).map_err(|e| bad("From", &e))?;
        let from = from.with_tag(&self.random.token(8));
        let to = match &outgoing.to {
            Some(to) => super::outgoing::address(to).map_err(|e| bad("To", &e))?,
            None => NameAddr::new(target.clone()),
        };
        let mut request = Request::new(outgoing.method.clone(), target);
        request.headers.push_value(Name::MaxForwards, &MAX_FORWARDS);
        push_route(&mut request, &outgoing.way.route).map_err(|e| (400, e))?;
        request.headers.push_value(Name::From, &from);
        request.headers.push_value(Name::To, &to);
        let call_id = outgoing.call_id.unwrap_or_else(|| self.random.token(16));
        request.headers.push(Name::CallId, &call_id).map_err(|e| bad("Call-ID", &e))?;
        request.headers.push_value(Name::CSeq, &CSeq { number: outgoing.cseq, method: outgoing.method });
        if let Some(contact) = &own_contact {
            request.headers.push_value(Name::Contact, contact);
        }
        self.dress(&mut request, peer);
        for (name, value) in &outgoing.headers {
            let refused = || (400, format!("the header {name:?} cannot be sent"));
            let name: Name = name.parse().map_err(|_| refused())?;
            request.headers.push(name, value).map_err(|_| refused())?;
        }
        let mut pending =
            Pending { credentials: outgoing.credentials, authenticator: outgoing.authenticator, cseq: outgoing.cseq };
        pending.authorize(&mut request);
        self.requests.0.insert(id, pending);
        if self.start(request, peer, id, Purpose::Outside, Rounds::default(), now).is_none() {
            self.requests.0.remove(&id);
            return Err((503, "no listener for its transport".to_owned()));
        }
        Ok(())
    }

    /// A response to a request outside of any dialog.
    pub(super) fn request_heard(&mut self, id: u64, response: &Response, arrival: Arrival<'_>) {
        let Some(transaction) = self.clients.get(&id) else { return };
        let status = response.status();
        if status < 200 {
            return;
        }
        let name = transaction.leg;
        if matches!(status, 401 | 407) && self.request_challenged(id, response, arrival.now) {
            return;
        }
        self.request_over(name, Some(response), status, "");
    }

    /// The request again, with credentials. False: that leads nowhere.
    fn request_challenged(&mut self, id: u64, response: &Response, now: Time) -> bool {
        let Some(transaction) = self.clients.get(&id) else { return false };
        let name = transaction.leg;
        let Some(pending) = self.requests.0.get_mut(&name).filter(|p| p.credentials.is_some()) else { return false };
        let mut rounds = transaction.rounds.clone();
        let mut challenges = digest::challenges(response.headers.get_all(&Name::WwwAuthenticate), false);
        challenges.extend(digest::challenges(response.headers.get_all(&Name::ProxyAuthenticate), true));
        if pending.authenticator.challenged(challenges, &mut rounds, &mut self.random).is_err() {
            return false;
        }
        let (mut request, peer) = (transaction.request.clone(), transaction.peer);
        pending.cseq = pending.cseq.saturating_add(1);
        let method = request.method.clone();
        request.headers.set_value(Name::CSeq, &CSeq { number: pending.cseq, method });
        request.headers.remove(&Name::Authorization);
        request.headers.remove(&Name::ProxyAuthorization);
        pending.authorize(&mut request);
        self.start(request, peer, name, Purpose::Outside, rounds, now).is_some()
    }

    /// No answer came: 408 for time, 503 for transport.
    pub(super) fn request_failed(&mut self, name: LegId, status: u16) {
        let problem = if status == 408 { "no answer in time" } else { "no way there" };
        self.request_over(name, None, status, problem);
    }

    fn request_over(&mut self, name: LegId, response: Option<&Response>, status: u16, problem: &str) {
        let Some(pending) = self.requests.0.remove(&name) else { return };
        let outcome = RequestOutcome {
            response: response.cloned().map(Box::new),
            status,
            problem: problem.to_owned(),
            cseq: pending.cseq,
            authenticator: pending.authenticator,
        };
        self.output(AgentOutput::Answered { id: RequestId(name), outcome: Box::new(outcome) });
    }
}

impl Pending {
    fn authorize(&mut self, request: &mut Request) {
        let Some(credentials) = &self.credentials else { return };
        let (method, uri) = (request.method.to_string(), request.uri.to_string());
        for header in self.authenticator.authorizations(credentials, &method, &uri) {
            let name = if header.proxy { Name::ProxyAuthorization } else { Name::Authorization };
            let _ = request.headers.push(name, &header.value);
        }
    }
}

/// Puts a pre-loaded route set in (§8.1.2). Routes are loose: a strict router's rewriting died with RFC 2543.
pub(super) fn push_route(request: &mut Request, route: &[String]) -> Result<(), String> {
    for hop in route {
        let address = NameAddr::parse(hop.as_bytes()).map_err(|e| format!("Route {hop:?}: {e}"))?;
        request.headers.push_value(Name::Route, &address);
    }
    Ok(())
}
