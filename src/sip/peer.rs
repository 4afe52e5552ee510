//! Who is at the other end of a SIP hop (RFC 3261 §18): the plain words that the transport layer, the wire layer and
//! the user agent share. Opening, keeping and closing connections is `sip::transport`'s.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What carries a SIP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One datagram, one message; we retransmit.
    Udp,
    /// A stream framed by Content-Length.
    Tcp,
    /// TCP inside TLS (`sips:`).
    Tls,
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket inside TLS.
    Wss,
}

impl Transport {
    /// Does the carrier itself see to delivery? Then nothing but a 2xx is retransmitted (RFC 3261 §17).
    pub fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// As in a Via's sent-protocol: `UDP`, `TCP`…
    pub fn via_name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// As in a URI's `transport` parameter: `udp`, `tcp`…
    pub fn uri_name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// From a Via's sent-protocol or a URI's `transport` parameter, whatever its case. None: one we do not speak.
    pub fn from_name(name: &str) -> Option<Self> {
        [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
            .into_iter()
            .find(|t| t.uri_name().eq_ignore_ascii_case(name))
    }

    /// The port that is meant where none is written.
    pub fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.via_name())
    }
}

/// One hop's other end: where a message came from, or is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// What carries the message.
    pub transport: Transport,
    /// The other end's address, as the socket sees it.
    pub remote: SocketAddr,
    /// The address of ours that it arrived at (the listener's, or the connection's local end), or should leave from.
    pub local: SocketAddr,
    /// The connection that it arrived on. None: a datagram; or, to be sent, "any connection to `remote`, else a new
    /// one". With a number, that connection is meant and no other: where it is gone, the transport layer reports it
    /// lost instead of opening one.
    pub connection: Option<u64>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport, self.remote)
    }
}
