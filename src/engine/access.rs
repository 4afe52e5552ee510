//! Who is known at SIP's door: the snapshot of trunks and users that the user agent goes by, built anew whenever one of
//! them changes. What it means is `sip::access`'s.

use std::sync::Arc;

use ipnet::IpNet;

use super::Hub;
use super::signalling::Signal;
use crate::sip::access::{Policy, TrunkAccess};

/// The snapshot as things stand.
pub fn policy(hub: &Hub) -> Arc<Policy> {
    let trunks = hub.trunks.load();
    let trunks = trunks.known().map(|(trunk, addresses)| TrunkAccess {
        name: trunk.name.clone(),
        networks: addresses.iter().map(|address| IpNet::from(address.to_canonical())).collect(),
        certificate_names: Vec::new(),
        digest: None,
    });
    Arc::new(Policy { trunks: trunks.collect(), ..Policy::default() })
}

impl Hub {
    /// Tells the stack who is known now.
    pub fn tell_policy(&self) {
        self.signal(Signal::Policy(policy(self)));
    }
}
