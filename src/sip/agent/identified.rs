//! Connections whose client certificate was verified (RFC 5922 §7): which names each is good for. The handshake is the
//! transport layer's; what a name may do is decided by who asks here.

use super::user_agent::UserAgent;
use crate::sip::peer::Peer;
use crate::time::Time;

/// At most so many connections are remembered, as many as the transport layer may keep in all; a further one stays
/// nameless.
const MAX_IDENTIFIED: usize = 65_536;

impl UserAgent {
    /// The transport layer has verified the certificate of this connection's other end. Names are in lower case.
    pub fn identified(&mut self, connection: u64, names: Vec<String>) {
        if self.identified.len() < MAX_IDENTIFIED || self.identified.contains_key(&connection) {
            self.identified.insert(connection, names);
        }
    }

    /// The names that the other end of this connection has proved; none: it has proved nothing.
    pub fn certificate_names(&self, connection: Option<u64>) -> &[String] {
        connection.and_then(|id| self.identified.get(&id)).map_or(&[], Vec::as_slice)
    }

    /// A connection has closed or could not be opened: its names are forgotten, what waited for it fails or is sent
    /// anew ([`UserAgent::transport_lost`]).
    pub fn connection_lost(&mut self, peer: &Peer, now: Time) {
        if let Some(id) = peer.connection {
            self.identified.remove(&id);
            self.registrar_lost(id);
        }
        self.transport_lost(peer, now);
    }
}
