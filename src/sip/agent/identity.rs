//! Who a request outside of dialogs comes from: trunks by their networks.

use std::sync::Arc;

use super::transmit::Arrival;
use super::user_agent::UserAgent;
use crate::sip::access::{Identity, Policy};
use crate::sip::message::Request;

impl UserAgent {
    /// From now on this is who is known.
    pub fn set_policy(&mut self, policy: Arc<Policy>) {
        let networks = policy.trunks.iter().flat_map(|trunk| trunk.networks.iter().copied());
        self.set_trunk_networks(networks.collect());
        self.policy = policy;
    }

    /// Who sends this request, as far as it is proved.
    pub(super) fn identify(&self, _request: &Request, arrival: Arrival<'_>) -> Identity {
        match self.policy.trunk_from(arrival.peer.remote.ip()) {
            Some(trunk) => Identity::Trunk(trunk.name.clone()),
            None => Identity::Stranger,
        }
    }
}
