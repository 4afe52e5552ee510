//! Who a request outside of dialogs comes from: what `access` says about it is carried out here. Challenges are answered
//! without keeping anything.

use std::sync::Arc;

use super::Counter;
use super::door::{Refusal, answer_to};
use super::transmit::Arrival;
use super::user_agent::UserAgent;
use crate::sip::access::{Admission, Identity, Policy};
use crate::sip::guard::Origin;
use crate::sip::message::{AuthParams, Name, Request, Response, Via};

impl UserAgent {
    /// From now on this is who is known. Who is no user any more has no registrations either.
    pub fn set_policy(&mut self, policy: Arc<Policy>) {
        let networks = policy.trunks.iter().flat_map(|trunk| trunk.networks.iter().copied());
        self.set_trunk_networks(networks.collect());
        self.policy = policy;
        let networks = self.policy.trunks.iter().flat_map(|trunk| trunk.networks.iter().copied()).collect();
        self.set_trunk_networks(networks);
        let users = self.registrar.set_policy(&self.policy);
        self.tell_registrations(users);
    }

    /// Who sends this request; none: that must be proved first, or is refused, and has been answered.
    pub(super) fn identify(&mut self, request: &Request, via: &Via, arrival: Arrival<'_>) -> Option<Identity> {
        let names =
            arrival.peer.connection.and_then(|id| self.identified.get(&id)).map(Vec::as_slice).unwrap_or_default();
        let origin = Origin::of(&arrival.peer);
        match self.entrance.admit(&self.policy, request, &arrival.peer, names, arrival.now) {
            Admission::As(identity) => {
                if identity.user().is_some() {
                    self.guard.authenticated(origin, arrival.now);
                }
                return Some(identity);
            }
            Admission::Challenge { challenges, proxy, failed } => {
                if let Some(failure) = failed {
                    self.count(Counter::AuthenticationFailed);
                    let origin = if failure.proven { origin.proven() } else { origin };
                    let unknown = !failure.known && self.is_too_much(|guard| guard.unknown_user(origin, arrival.now));
                    if self.is_too_much(|guard| guard.failed_authentication(origin, arrival.now)) || unknown {
                        return None;
                    }
                }
                self.challenge(request, via, arrival, &challenges, proxy);
            }
            Admission::Refuse(status, phrase) => {
                self.turn_away(request, via, arrival, &Refusal::because(status, phrase));
            }
        }
        None
    }

    fn challenge(
        &mut self,
        request: &Request,
        via: &Via,
        arrival: Arrival<'_>,
        challenges: &[AuthParams],
        proxy: bool,
    ) {
        self.count(Counter::Challenged);
        let (status, name) = if proxy { (407, Name::ProxyAuthenticate) } else { (401, Name::WwwAuthenticate) };
        let mut response = Response::for_request(request, status);
        for challenge in challenges {
            response.headers.push_value(name.clone(), challenge);
        }
        let (peer, _) = answer_to(via, arrival.peer);
        self.answer_once(peer, arrival, response, Vec::new());
    }
}
