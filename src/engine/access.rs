//! Who is known at SIP's door: the snapshot of trunks and users that the user agent goes by, built anew whenever one of
//! them changes. What it means is `sip::access`'s.

use std::sync::Arc;

use super::Hub;
use super::signalling::Signal;
use crate::sip::access::{Policy, TrunkAccess, TrunkDigest};

/// The snapshot as things stand.
pub fn policy(hub: &Hub) -> Arc<Policy> {
    let trunks = hub.trunks.load();
    let trunks = trunks.all().iter().map(|known| TrunkAccess {
        name: known.trunk.name.clone(),
        networks: known.networks.clone(),
        certificate_names: known.trunk.certificate_names.clone(),
        digest: known.trunk.inbound.as_ref().and_then(|inbound| {
            Some(TrunkDigest { username: inbound.username.clone(), secret: inbound.secret.clone()? })
        }),
    });
    Arc::new(Policy { trunks: trunks.collect(), ..Policy::default() })
}

impl Hub {
    /// Tells the stack who is known now.
    pub fn tell_policy(&self) {
        self.signal(Signal::Policy(policy(self)));
    }
}
