//! One binding: an address of record's way to one device (RFC 3261 §10.2.1), and the rounds in which devices ring.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sip::access::Forking;
use crate::sip::hunt::{Branch, Round};
use crate::sip::message::{NameAddr, Uri};
use crate::sip::peer::Peer;
use crate::time::Time;

/// How long devices ring before those that are wanted less are tried.
const ROUND: Duration = Duration::from_secs(20);

/// How much a contact is wanted, in thousandths (RFC 3261 §20.10 `q`); where nothing is said, 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Q(u16);

impl Q {
    /// The most wanted.
    pub const MOST: Q = Q(1_000);

    /// Reads `0`, `0.7`, `1.000`; none where it is no qvalue (RFC 3261 §25.1).
    pub fn parse(text: &str) -> Option<Q> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        if part.len() > 3 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let thousandths: u16 = format!("{part:0<3}").parse().ok()?;
        match whole {
            "0" => Some(Q(thousandths)),
            "1" if thousandths == 0 => Some(Q::MOST),
            _ => None,
        }
    }

    /// As a number between 0 and 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

impl std::fmt::Display for Q {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.as_f64())
    }
}

/// One device of a user's, as it registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The Contact's URI: the Request-URI of what is sent there.
    pub contact: Uri,
    /// How much it is wanted.
    pub q: Option<Q>,
    /// The Call-ID and CSeq of the REGISTER that made it what it is.
    pub call_id: String,
    /// See `call_id`.
    pub cseq: u32,
    /// When it ends.
    pub expires: Time,
    /// When it was made or last refreshed.
    pub refreshed: Time,
    /// Where the REGISTER came from, and on what.
    pub flow: Peer,
    /// Proxies on the way to it, first hop first (RFC 3327).
    #[serde(default)]
    pub path: Vec<String>,
    /// `+sip.instance`: which device, whatever its address.
    #[serde(default)]
    pub instance: Option<String>,
    /// `reg-id`: which of the device's flows (RFC 5626). Only with an instance.
    #[serde(default)]
    pub reg_id: Option<u32>,
    /// `User-Agent` of the REGISTER, for people; at most 200 bytes.
    #[serde(default)]
    pub user_agent: Option<String>,
}

impl Binding {
    /// Is this the binding that a REGISTER for that contact replaces (RFC 3261 §10.2.4, RFC 5626 §6)?
    pub(super) fn is_same(&self, contact: &Uri, instance: Option<&str>, reg_id: Option<u32>) -> bool {
        match (self.reg_id, reg_id) {
            (Some(ours), Some(theirs)) => ours == theirs && self.instance.as_deref() == instance,
            (None, None) => self.contact == *contact,
            // A phone that has learnt outbound, or forgotten it.
            _ => self.contact == *contact && self.instance.as_deref() == instance,
        }
    }

    /// Does it live on this connection?
    pub fn is_on(&self, connection: u64) -> bool {
        self.flow.connection == Some(connection)
    }

    /// Was it made on the flow that a message came on: the same connection, or over UDP the same source?
    pub fn is_from(&self, peer: &Peer) -> bool {
        let connected = |peer: &Peer| peer.transport.is_reliable();
        match (self.flow.connection, peer.connection) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, None) => !connected(&self.flow) && !connected(peer) && self.flow.remote == peer.remote,
            _ => false,
        }
    }

    /// The name that an operator tells it from the user's other devices by: it stays over refreshes.
    pub fn id(&self) -> String {
        let name = match (&self.instance, self.reg_id) {
            (Some(instance), Some(reg_id)) => format!("{instance};{reg_id}"),
            _ => self.contact.to_string(),
        };
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
    }

    /// Where requests to it are sent, and on which connection: always by the flow that it came on, be it the phone's own
    /// or a proxy's that finds the Contact. A Contact is no place of its own: whoever may register could have us call
    /// anybody, in the name of this host.
    fn way(&self) -> (SocketAddr, Option<u64>) {
        (self.flow.remote, self.flow.connection)
    }

    /// What a hunt tries to ring it.
    pub fn branch(&self, user: &str, number: usize) -> Branch {
        let (destination, connection) = self.way();
        let local = (!self.flow.local.ip().is_unspecified() && connection.is_none()).then_some(self.flow.local);
        let device = self.user_agent.as_deref().unwrap_or("device");
        let device: String = device.chars().filter(|c| !c.is_control()).take(60).collect();
        Branch {
            connection,
            local,
            route: self.path.clone(),
            label: format!("{user}'s device {number} ({device}, {} {destination})", self.flow.transport),
            ..Branch::to(self.contact.clone().for_request_line().to_string(), self.flow.transport, destination)
        }
    }
}

/// The rounds in which a user's devices ring: all at once, or the most wanted first, those of one q together. Of a
/// device's several flows only the youngest is rung (RFC 5626 §7). Bindings that have ended are left out.
pub fn rounds(user: &str, bindings: &[Binding], forking: Forking, now: Time) -> Vec<Round> {
    let mut live: Vec<&Binding> = bindings.iter().filter(|b| b.expires > now).collect();
    live.sort_by_key(|b| (std::cmp::Reverse(b.q.unwrap_or(Q::MOST)), std::cmp::Reverse(b.refreshed)));
    let mut instances = std::collections::HashSet::new();
    live.retain(|b| b.reg_id.is_none() || b.instance.as_ref().is_none_or(|instance| instances.insert(instance)));
    let mut rounds: Vec<(Q, Vec<Branch>)> = Vec::new();
    for (at, binding) in live.into_iter().enumerate() {
        let branch = binding.branch(user, at + 1);
        let q = binding.q.unwrap_or(Q::MOST);
        match rounds.last_mut() {
            Some((last, branches)) if forking == Forking::Parallel || *last == q => branches.push(branch),
            _ => rounds.push((q, vec![branch])),
        }
    }
    rounds.into_iter().map(|(_, branches)| Round { branches, rings_for: Some(ROUND) }).collect()
}

/// The URI of a device that stays the same whatever its address (RFC 5627 §3.1.1).
pub(super) fn public_gruu(address_of_record: &Uri, instance: &str) -> String {
    let instance = instance.trim_start_matches('<').trim_end_matches('>');
    address_of_record.clone().with_param("gr", Some(instance)).to_string()
}

/// A contact as the answer lists it.
pub(super) fn listed(binding: &Binding, gruu: Option<String>, now: Time) -> NameAddr {
    let mut contact = NameAddr::new(binding.contact.clone());
    if let Some(q) = binding.q {
        contact.params.set("q", q.to_string());
    }
    // A binding with half a second left has not ended yet.
    let left = binding.expires.since(now).as_millis().div_ceil(1_000);
    contact.params.set("expires", left.to_string());
    if let Some(instance) = &binding.instance {
        contact.params.set("+sip.instance", instance.clone());
    }
    if let Some(reg_id) = binding.reg_id {
        contact.params.set("reg-id", reg_id.to_string());
    }
    if let Some(gruu) = gruu {
        contact.params.set("pub-gruu", gruu);
    }
    contact
}
