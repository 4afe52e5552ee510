//! Who is known at SIP's door: the snapshot of trunks and users that the user agent goes by, built anew whenever one of
//! them changes. What it means is `sip::access`'s.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use super::Hub;
use super::signalling::Signal;
use super::trunks::KnownTrunk;
use crate::config::Config;
use crate::sip::access::{Authenticate, Policy, TrunkAccess, TrunkDigest};
use crate::sip::agent::UserAgent;
use crate::sip::digest::Algorithm;
use crate::sip::message::Host;
use crate::sip::registrar::{Binding, RegistrarLimits};
use crate::store::StoreError;
use crate::trunk::document::InboundProof;

/// The snapshot as things stand.
pub fn policy(hub: &Hub) -> Arc<Policy> {
    let trunks = hub.trunks.load();
    let trunks = trunks.all().iter().map(|known| trunk_access(known));
    let config = &hub.config;
    let (users, aliases) = super::users::access(&hub.users.load(), &config.realm);
    Arc::new(Policy {
        realm: config.realm.clone(),
        algorithms: if config.digest_md5_only { vec![Algorithm::Md5] } else { Algorithm::ALL.to_vec() },
        hosts: hub.here.0.clone(),
        ports: hub.here.1.clone(),
        authenticate: if config.authenticate_all { Authenticate::All } else { Authenticate::Users },
        trunks: trunks.collect(),
        users,
        aliases,
        registrar: RegistrarLimits {
            least: config.registration_least,
            most: config.registration_most,
            default: config.registration_most,
            ..RegistrarLimits::default()
        },
    })
}

fn trunk_access(known: &KnownTrunk) -> TrunkAccess {
    let KnownTrunk { trunk, .. } = known;
    TrunkAccess {
        name: trunk.name.clone(),
        networks: match trunk.inbound_proof {
            InboundProof::Any => known.networks(),
            InboundProof::Required => Vec::new(),
        },
        certificate_names: trunk.certificate_names.clone(),
        digest: trunk.inbound.as_ref().and_then(|inbound| {
            Some(TrunkDigest { username: inbound.username.clone(), secret: inbound.secret.clone()? })
        }),
    }
}

/// Hosts and ports that are ours in a SIP address: the domains that are set, the realm where it is one, the addresses
/// that we listen on or are reached at.
pub fn here(config: &Config, addresses: &[SocketAddr], advertised: &[IpAddr]) -> (Vec<Host>, Vec<u16>) {
    let domain = config.realm.contains('.').then_some(&config.realm);
    let names = config.sip_domains.iter().chain(domain).filter_map(|name| name.parse().ok());
    let listening = addresses.iter().map(|address| address.ip()).filter(|ip| !ip.is_unspecified());
    let mut hosts: Vec<Host> = names.chain(listening.chain(advertised.iter().copied()).map(Host::from)).collect();
    let mut known = Vec::new();
    hosts.retain(|host| {
        !known.contains(host) && {
            known.push(host.clone());
            true
        }
    });
    let mut ports: Vec<u16> = addresses.iter().map(|address| address.port()).chain([5060, 5061]).collect();
    ports.sort_unstable();
    ports.dedup();
    (hosts, ports)
}

/// Puts back what phones had registered when the engine last stopped.
pub async fn restore(hub: &Hub, agent: &mut UserAgent) -> Result<(), StoreError> {
    let now = hub.clock.now();
    for (user, document) in hub.store.registrations().await? {
        match serde_json::from_str::<Vec<Binding>>(&document) {
            Ok(bindings) => agent.restore_registrations(&user, bindings, now),
            Err(error) => tracing::warn!(user, %error, "registrations in the database cannot be read"),
        }
    }
    Ok(())
}

impl Hub {
    /// Tells the stack who is known now.
    pub fn tell_policy(&self) {
        // One after the other, so that what was built first is not told last.
        static TELLING: Mutex<()> = Mutex::new(());
        let _telling = TELLING.lock().unwrap_or_else(PoisonError::into_inner);
        let policy = policy(self);
        self.policy.store(Arc::clone(&policy));
        self.signal(Signal::Policy(policy));
    }
}
