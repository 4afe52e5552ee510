//! REGISTER (RFC 3261 §10.3): who asks is proved, what he asks is `registrar`'s, the answer is written here. Over UDP an
//! answer is kept for as long as its request may be repeated: the repetition must not be taken for a replay.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::door::{Refusal, answer_to};
use super::transmit::Arrival;
use super::user_agent::UserAgent;
use super::{AgentOutput, Counter};
use crate::sip::access::Identity;
use crate::sip::message::{Name, Request, Response, Via};
use crate::sip::peer::Peer;
use crate::sip::registrar::{Binding, RegisterError};
use crate::sip::transaction::ServerKey;
use crate::time::Time;

/// Answers to REGISTER that are kept. When there are more, an answer is not kept; who repeats that request is asked for
/// credentials anew.
const MAX_ANSWERED: usize = 20_000;

/// The extensions that a REGISTER may require.
const EXTENSIONS: &str = "path, outbound, gruu";

/// How often a phone should show that its flow is alive, in seconds (RFC 5626 §4.4, Flow-Timer).
const FLOW_TIMER: u32 = 120;

/// Answers that may be asked for again.
#[derive(Default)]
pub(super) struct Answered {
    /// Bound: [`MAX_ANSWERED`].
    kept: HashMap<ServerKey, (Peer, Bytes)>,
    /// When each goes, in order.
    ends: VecDeque<(Time, ServerKey)>,
}

impl Answered {
    fn forget_old(&mut self, now: Time) {
        while let Some((at, key)) = self.ends.pop_front() {
            if at > now {
                return self.ends.push_front((at, key));
            }
            self.kept.remove(&key);
        }
    }
}

impl UserAgent {
    /// Puts a user's registrations back that were kept over a restart; those that can still be reached are told.
    pub fn restore_registrations(&mut self, user: &str, bindings: Vec<Binding>, now: Time) {
        if let Some(access) = self.policy.users.get(user) {
            self.registrar.restore(access, bindings, now);
        }
        self.tell_registrations([user.to_owned()]);
    }

    /// What a user has registered.
    pub fn registrations(&self, user: &str) -> &[Binding] {
        self.registrar.bindings(user)
    }

    /// Removes the registrations of a user with this id, or all of his; whether there were any.
    pub fn remove_registrations(&mut self, user: &str, id: Option<&str>) -> bool {
        let removed = self.registrar.remove(user, id);
        if removed {
            self.tell_registrations([user.to_owned()]);
        }
        removed
    }

    pub(super) fn tell_registrations(&mut self, users: impl IntoIterator<Item = String>) {
        for user in users {
            let bindings = self.registrar.bindings(&user).to_vec();
            self.output(AgentOutput::Registrations { user, bindings });
        }
    }

    /// What ends with time.
    pub(super) fn registrar_timeout(&mut self, now: Time) {
        let users = self.registrar.timeout(now);
        self.tell_registrations(users);
    }

    /// What ends with a connection.
    pub(super) fn registrar_lost(&mut self, connection: u64) {
        let users = self.registrar.lost(connection);
        self.tell_registrations(users);
    }

    /// The same REGISTER again? Then the same answer; whether it was one.
    pub(super) fn register_again(&mut self, key: &ServerKey, now: Time) -> bool {
        self.answered.forget_old(now);
        let Some((peer, bytes)) = self.answered.kept.get(key).cloned() else { return false };
        self.count(Counter::RetransmissionReceived);
        self.send(peer, bytes, None, true);
        true
    }

    pub(super) fn registering(&mut self, request: &Request, via: &Via, key: ServerKey, arrival: Arrival<'_>) {
        if self.register_again(&key, arrival.now) {
            return;
        }
        // Where nobody is known nobody can register.
        if self.policy.users.is_empty() {
            return self.turn_away(request, via, arrival, &Refusal::new(405));
        }
        let required = match request.headers.require() {
            Ok(required) => required,
            Err(error) => return self.turn_away(request, via, arrival, &Refusal::because(400, error.reason())),
        };
        let unsupported: Vec<String> =
            required.into_iter().filter(|option| !super::capabilities::lists(EXTENSIONS, option)).collect();
        if !unsupported.is_empty() {
            return self.turn_away(request, via, arrival, &Refusal { status: 420, phrase: None, unsupported });
        }
        let Some(identity) = self.identify(request, via, arrival) else { return };
        let policy = self.policy.clone();
        // Whose address To is: what counts is the user, since phones write whatever domain they were told.
        let meant = request.headers.to().ok().and_then(|to| policy.user_called(&to.uri.user()?));
        let user = match (&identity, meant) {
            (Identity::User(name), Some(meant)) if *name == meant.name => meant,
            _ => return self.turn_away(request, via, arrival, &Refusal::because(403, "To names somebody else")),
        };
        let response = match self.registrar.register(user, request, arrival.peer, arrival.now) {
            Ok(listing) => {
                let mut response = Response::for_request(request, 200);
                for contact in &listing.contacts {
                    response.headers.push_value(Name::Contact, contact);
                }
                if !listing.path.is_empty() {
                    response.headers.push_value(Name::Path, &listing.path);
                }
                response.headers.push_value(Name::Supported, &EXTENSIONS);
                if listing.outbound {
                    response.headers.push_value(Name::Require, &"outbound");
                    if let Ok(name) = "Flow-Timer".parse() {
                        response.headers.push_value(name, &FLOW_TIMER);
                    }
                }
                if listing.changed {
                    self.count(Counter::Registered);
                    self.tell_registrations([user.name.clone()]);
                }
                response
            }
            Err(error) => {
                let mut response = Response::for_request(request, error.status());
                response.set_reason(&error.to_string());
                match error {
                    RegisterError::TooBrief { least } => response.headers.push_value(Name::MinExpires, &least),
                    RegisterError::Full => {
                        response.headers.push_value(Name::RetryAfter, &self.config.limits.retry_after);
                    }
                    _ => {}
                }
                response
            }
        };
        self.answer_register(request, response, via, key, arrival);
    }

    fn answer_register(
        &mut self,
        request: &Request,
        mut response: Response,
        via: &Via,
        key: ServerKey,
        arrival: Arrival<'_>,
    ) {
        let tag = self.stateless_tag(&request.headers);
        let _ = response.set_to_tag(&tag);
        let _ = response.headers.push(Name::Server, &self.config.product);
        let (peer, _) = answer_to(via, arrival.peer);
        let bytes = Bytes::from(response.to_bytes());
        if !peer.transport.is_reliable() && self.answered.kept.len() < MAX_ANSWERED {
            self.answered.ends.push_back((arrival.now + self.config.timers.t1 * 64, key.clone()));
            self.answered.kept.insert(key, (peer, bytes.clone()));
        }
        self.send(peer, bytes, None, false);
    }
}
