//! Ways to servers that must prove a name (RFC 5922 §7.2): a number for each, which a [`crate::sip::peer::Peer`] can
//! carry as its connection, and which stays the same when the connection behind it is opened again.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sip::peer::Transport;

/// At most so many are known; for a further one the oldest is forgotten, and what would go by it is reported lost.
const MAX_DESTINATIONS: usize = 4096;

/// Numbers from here on are ways to names; those below are accepted or nameless connections.
pub(super) const FIRST: u64 = 1 << 63;

/// A server by its address and the name that its certificate must be good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    pub(super) transport: Transport,
    pub(super) remote: SocketAddr,
    pub(super) name: String,
}

/// The table. It is asked when a call is placed, not for each message.
#[derive(Debug, Default)]
pub struct Destinations(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    ids: HashMap<Destination, u64>,
    by_id: HashMap<u64, Destination>,
    /// The name that was last asked for at an address.
    names: HashMap<SocketAddr, String>,
    /// Oldest first.
    order: VecDeque<u64>,
    next: u64,
}

impl Destinations {
    fn known(&self) -> MutexGuard<'_, Known> {
        // A holder that panicked left whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the way to this server. The name is a host name or an IP address, as it stands in the URI.
    pub fn number(&self, transport: Transport, remote: SocketAddr, name: &str) -> u64 {
        let destination = Destination { transport, remote, name: name.to_ascii_lowercase() };
        let mut known = self.known();
        if let Some(id) = known.ids.get(&destination) {
            return *id;
        }
        if known.order.len() >= MAX_DESTINATIONS
            && let Some(old) = known.order.pop_front()
            && let Some(forgotten) = known.by_id.remove(&old)
        {
            known.ids.remove(&forgotten);
            known.names.remove(&forgotten.remote);
        }
        let id = FIRST | known.next;
        known.next = known.next.wrapping_add(1) & (FIRST - 1);
        known.names.insert(remote, destination.name.clone());
        known.order.push_back(id);
        known.by_id.insert(id, destination.clone());
        known.ids.insert(destination, id);
        id
    }

    pub(super) fn get(&self, id: u64) -> Option<Destination> {
        self.known().by_id.get(&id).cloned()
    }

    /// The name that a server at this address has to prove where nobody says which: the one last asked for there, else
    /// the address itself.
    pub(super) fn name_at(&self, remote: SocketAddr) -> String {
        self.known().names.get(&remote).cloned().unwrap_or_else(|| remote.ip().to_canonical().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_keeps_its_number_until_it_is_forgotten() {
        let ways = Destinations::default();
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let first = ways.number(Transport::Tls, at(5061), "Carrier.example");
        assert_eq!(ways.number(Transport::Tls, at(5061), "carrier.EXAMPLE"), first);
        assert_ne!(ways.number(Transport::Tls, at(5061), "other.example"), first);
        assert_ne!(ways.number(Transport::Wss, at(5061), "carrier.example"), first);
        assert_eq!(ways.get(first).unwrap().name, "carrier.example");
        assert_eq!(ways.name_at(at(9)), "192.0.2.1");
        for port in 1..=4096 {
            ways.number(Transport::Tls, at(port), "x.example");
        }
        assert!(ways.get(first).is_none());
        assert!(ways.known().ids.len() == MAX_DESTINATIONS && ways.known().by_id.len() == MAX_DESTINATIONS);
        assert!(ways.known().names.len() <= MAX_DESTINATIONS);
    }
}
