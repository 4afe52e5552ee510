//! Where a SIP URI leads (RFC 3263 §4): the transports and addresses to try, in order. Trying them is the caller's.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use crate::sip::message::{Host, Uri};
use crate::sip::peer::Transport;

/// The most places that one URI leads to; more are left out.
pub const MAX_HOPS: usize = 16;

/// One place to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// What carries the request.
    pub transport: Transport,
    /// Where to.
    pub address: SocketAddr,
    /// For [`crate::sip::peer::Peer::connection`]: over TLS, the way that proves the URI's domain (RFC 5922 §7.2),
    /// opened when it is used.
    pub connection: Option<u64>,
}

/// Why there is no place to try.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LocateError {
    #[error("there is no host in {0}")]
    NoHost(String),
    #[error("transport {0:?} is not one that is spoken here")]
    UnknownTransport(String),
    #[error("no listener of ours speaks {0}")]
    NotSpoken(Transport),
    #[error("{0} is not known")]
    NotFound(String),
    #[error("{0} has no address of a family that SIP listens on")]
    OtherFamily(String),
    #[error("the name servers do not answer for {0}: {1}")]
    NoAnswer(String, String),
}

/// What we speak: a listener's transport and its address.
pub type Spoken = (Transport, IpAddr);

/// Finds the way to URIs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Locator {
    spoken: Vec<Spoken>,
}

impl Locator {
    /// For listeners with these transports and addresses.
    pub fn new(spoken: Vec<Spoken>) -> Self {
        Locator { spoken }
    }

    /// The places where requests to this URI are tried, in order; never empty. A name may take as long as the name
    /// servers do.
    pub async fn locate(&self, uri: &Uri) -> Result<Vec<Hop>, LocateError> {
        let host = uri.param("maddr").and_then(|m| Host::parse(m.as_bytes())).or_else(|| uri.host().cloned());
        let host = host.ok_or_else(|| LocateError::NoHost(uri.to_string()))?;
        let transport = match uri.param("transport") {
            None if uri.scheme() == "sips" => Transport::Tls,
            None => Transport::Udp,
            Some(name) => Transport::from_name(name).ok_or_else(|| LocateError::UnknownTransport(name.to_string()))?,
        };
        let port = uri.port().unwrap_or(transport.default_port());
        if !self.spoken.iter().any(|(spoken, _)| *spoken == transport) {
            return Err(LocateError::NotSpoken(transport));
        }
        let found: Vec<SocketAddr> = match host.ip() {
            Some(ip) => vec![SocketAddr::new(ip.to_canonical(), port)],
            None => tokio::net::lookup_host((host.to_string(), port))
                .await
                .map_err(|error| LocateError::NoAnswer(host.to_string(), error.to_string()))?
                .collect(),
        };
        if found.is_empty() {
            return Err(LocateError::NotFound(host.to_string()));
        }
        let reached = |address: &SocketAddr| {
            self.spoken.iter().any(|(t, ours)| *t == transport && ours.is_ipv4() == address.is_ipv4())
        };
        let hops: Vec<Hop> = found
            .into_iter()
            .filter(reached)
            .map(|address| Hop { transport, address, connection: None })
            .take(MAX_HOPS)
            .collect();
        if hops.is_empty() { Err(LocateError::OtherFamily(host.to_string())) } else { Ok(hops) }
    }
}
