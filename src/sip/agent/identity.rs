//! Who a request outside of dialogs comes from: what `access` says about it is carried out here. Challenges are answered
//! without keeping anything.

use std::sync::Arc;

use super::Counter;
use super::door::{Refusal, answer_to};
use super::transmit::Arrival;
use super::user_agent::UserAgent;
use crate::sip::access::{Admission, Identity, Policy, UserAccess};
use crate::sip::guard::Origin;
use crate::sip::message::{AuthParams, Name, Request, Response, Via};
use crate::sip::registrar::Registrar;

impl UserAgent {
    /// From now on this is who is known. Who is no user any more has no registrations either.
    pub fn set_policy(&mut self, policy: Arc<Policy>) {
        let networks = policy.trunks.iter().flat_map(|trunk| trunk.networks.iter().copied());
        self.set_trunk_networks(networks.collect());
        self.policy = policy;
        let users = self.registrar.set_policy(&self.policy);
        self.tell_registrations(users);
    }

    /// Who sends this request; none: that must be proved first, or is refused, and has been answered.
    pub(super) fn identify(&mut self, request: &Request, via: &Via, arrival: Arrival<'_>) -> Option<Identity> {
        let names =
            arrival.peer.connection.and_then(|id| self.identified.get(&id)).map(Vec::as_slice).unwrap_or_default();
        let origin = Origin::of(&arrival.peer);
        let registered = registered_on_its_flow(&self.policy, &self.registrar, request, arrival);
        match self.entrance.admit(&self.policy, request, &arrival.peer, names, registered, arrival.now) {
            Admission::As(identity) => {
                if identity != Identity::Stranger {
                    self.guard.authenticated(origin, arrival.now);
                }
                return Some(identity);
            }
            Admission::Challenge { challenges, proxy, probe, failed } => {
                if probe && failed.is_none() && self.is_too_much(|guard| guard.challenged(origin, arrival.now)) {
                    return None;
                }
                if let Some(failure) = failed {
                    self.count(Counter::AuthenticationFailed);
                    let origin = if failure.proven { origin.proven() } else { origin };
                    let unknown =
                        (probe || !failure.known) && self.is_too_much(|guard| guard.unknown_user(origin, arrival.now));
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

/// The user of ours whom From names, whatever the domain, where he has registered on the very flow that this came on.
fn registered_on_its_flow<'p>(
    policy: &'p Policy,
    registrar: &Registrar,
    request: &Request,
    arrival: Arrival<'_>,
) -> Option<&'p UserAccess> {
    let from = request.headers.from().ok()?;
    let user = policy.user_named(&from.uri)?;
    let bindings = registrar.bindings(&user.name);
    let here = bindings.iter().any(|binding| binding.expires > arrival.now && binding.is_from(&arrival.peer));
    here.then_some(user)
}
