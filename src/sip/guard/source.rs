//! Whom limits and bans are about: an IPv4 address, or the /64 of an IPv6 address, of which one subscriber commonly has
//! the whole (RFC 6177), so that each address in it would be a new stranger.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::Ipv6Net;

use crate::sip::peer::Peer;

/// The low half of an IPv6 address: the interface, not the network.
const INTERFACE: u128 = u64::MAX as u128;

/// One source of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// An address.
    V4(Ipv4Addr),
    /// A /64; the low half is zero.
    V6(Ipv6Addr),
}

impl Source {
    /// The source that an address belongs to. An IPv4 address in IPv6 clothes (`::ffff:…`) is an IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Source::V4(address),
            IpAddr::V6(address) => Source::V6(Ipv6Addr::from_bits(address.to_bits() & !INTERFACE)),
        }
    }

    /// The first and the last address.
    pub(super) fn ends(self) -> (IpAddr, IpAddr) {
        match self {
            Source::V4(address) => (address.into(), address.into()),
            Source::V6(network) => (network.into(), Ipv6Addr::from_bits(network.to_bits() | INTERFACE).into()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::V4(address) => address.fmt(f),
            Source::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// Text that is neither an address nor a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is neither an IPv4 address, nor an IPv6 address or /64")]
pub struct NoSource;

impl FromStr for Source {
    type Err = NoSource;

    /// `192.0.2.1`, `2001:db8::1` (its /64 is meant), `2001:db8::/64`.
    fn from_str(text: &str) -> Result<Self, NoSource> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Source::of(address));
        }
        let network: Ipv6Net = text.parse().map_err(|_| NoSource)?;
        if network.prefix_len() == 64 { Ok(Source::of(network.network().into())) } else { Err(NoSource) }
    }
}

/// Where a message came from, and whether that is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// For limits and bans.
    pub source: Source,
    /// The other end as the socket sees it.
    pub remote: SocketAddr,
    /// The other end has shown that it hears us there: see the module.
    pub proven: bool,
}

impl Origin {
    /// Where a peer's messages come from: proven on connections, unproven over UDP.
    pub fn of(peer: &Peer) -> Self {
        let proven = peer.transport.is_reliable();
        Origin { source: Source::of(peer.remote.ip()), remote: peer.remote, proven }
    }

    /// The same, and it has brought back what was sent there (a nonce).
    pub fn proven(self) -> Self {
        Origin { proven: true, ..self }
    }
}

impl From<&Peer> for Origin {
    fn from(peer: &Peer) -> Self {
        Origin::of(peer)
    }
}
