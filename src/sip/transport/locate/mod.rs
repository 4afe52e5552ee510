//! Where a SIP URI leads (RFC 3263 §4): the transports and addresses to try, in order. Trying them is the caller's.
//!
//! - `select`: the choices, pure.
//! - `names`: the asking. `cache`: what was answered, pure.

mod cache;
mod names;
mod select;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

pub use names::Clock;
use names::{Answer, Kind, Names};
use select::{Srv, is_secure, services, srv_name};

use super::Destinations;
use crate::random::Random;
use crate::sip::message::{Host, Uri};
use crate::sip::peer::Transport;

/// The most places that one URI leads to; more are left out.
pub const MAX_HOPS: usize = 16;

/// The most SRV targets whose addresses are looked up; more are left out.
const MAX_TARGETS: usize = 8;

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
    /// A `tel:` URI, or one of another scheme.
    #[error("there is no host in {0}")]
    NoHost(String),
    /// Nobody's, or one that does not go with `sips:`.
    #[error("transport {0:?} is not one that is spoken here")]
    UnknownTransport(String),
    /// It is switched off.
    #[error("no listener of ours speaks {0}")]
    NotSpoken(Transport),
    /// The name servers know nothing of it, or that it takes no calls, or only addresses of a family that we lack.
    #[error("{0} is not known, or has no address of a family that SIP listens on")]
    NotFound(String),
    /// It is IPv6 and we are not, or the other way round.
    #[error("{0} has no address of a family that SIP listens on")]
    OtherFamily(String),
    /// Nobody could be asked.
    #[error("the name servers do not answer for {0}: {1}")]
    NoAnswer(String, String),
}

/// What we speak: a listener's transport and its address.
pub type Spoken = (Transport, IpAddr);

/// Finds the way to URIs. Cheap to clone.
#[derive(Clone)]
pub struct Locator {
    inner: Arc<Inner>,
}

struct Inner {
    spoken: Vec<Spoken>,
    destinations: Arc<Destinations>,
    /// An error: there is no asking, and why.
    names: Result<Names, String>,
    random: Mutex<Random>,
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locator").field("spoken", &self.inner.spoken).finish_non_exhaustive()
    }
}

impl Locator {
    /// For listeners with these transports and addresses; ways over TLS get their numbers from `destinations`. Asks
    /// `servers`, or the system's where there are none.
    pub fn new(
        spoken: Vec<Spoken>,
        destinations: Arc<Destinations>,
        servers: &[SocketAddr],
        clock: Clock,
        random: Random,
    ) -> Self {
        let names = Names::new(servers, clock);
        if let Err(error) = &names {
            tracing::warn!(%error, "no name servers: SIP addresses must be numbers");
        }
        Locator { inner: Arc::new(Inner { spoken, destinations, names, random: Mutex::new(random) }) }
    }

    /// The places where requests to this URI are tried, in order; never empty. A name may take as long as the name
    /// servers do: some seconds at worst.
    pub async fn locate(&self, uri: &Uri) -> Result<Vec<Hop>, LocateError> {
        let inner = &self.inner;
        let host = uri.param("maddr").and_then(|m| Host::parse(m.as_bytes())).or_else(|| uri.host().cloned());
        let host = host.ok_or_else(|| LocateError::NoHost(uri.to_string()))?;
        let secure = uri.scheme() == "sips";
        let asked = uri.param("transport").map(|name| {
            let unknown = || LocateError::UnknownTransport(name.to_string());
            let transport = Transport::from_name(name).ok_or_else(unknown)?;
            match transport {
                // `sips:…;transport=tcp` means TLS over TCP (RFC 3261 §26.2.2).
                Transport::Tcp if secure => Ok(Transport::Tls),
                Transport::Ws if secure => Ok(Transport::Wss),
                Transport::Udp if secure => Err(unknown()),
                other => Ok(other),
            }
        });
        let asked = asked.transpose()?;
        let plain = asked.unwrap_or(if secure { Transport::Tls } else { Transport::Udp });
        if !inner.speaks(asked.unwrap_or(plain)) && (asked.is_some() || secure || host.ip().is_some()) {
            return Err(LocateError::NotSpoken(plain));
        }
        let name = match host.ip() {
            Some(ip) => {
                let port = uri.port().unwrap_or(plain.default_port());
                let address = SocketAddr::new(ip.to_canonical(), port);
                return inner.reachable(plain, &[address], &ip.to_canonical().to_string());
            }
            None => host.to_string().trim_end_matches('.').to_owned(),
        };
        let names = inner.names.as_ref().map_err(|e| LocateError::NoAnswer(name.clone(), e.clone()))?;
        // A port says that a host is meant, not a service; so does a name without a domain.
        let mut targets = Vec::new();
        if uri.port().is_none() && name.contains('.') {
            targets = inner.targets(names, &name, secure, asked).await?;
        }
        if targets.is_empty() {
            let port = uri.port().unwrap_or(plain.default_port());
            targets.push((plain, Srv { priority: 0, weight: 0, port, target: name.clone() }));
        }
        let mut hops = Vec::new();
        let (mut other_family, mut silent) = (false, None);
        for (transport, srv) in targets.iter().take(MAX_TARGETS) {
            match inner.addresses(names, *transport, &srv.target).await {
                Ok(ips) => {
                    let found: Vec<SocketAddr> = ips.into_iter().map(|ip| SocketAddr::new(ip, srv.port)).collect();
                    if !found.is_empty() {
                        match inner.reachable(*transport, &found, &name) {
                            Ok(found) => hops.extend(found),
                            Err(_) => other_family = true,
                        }
                    }
                }
                Err(error) => silent = Some(error),
            }
        }
        hops.truncate(MAX_HOPS);
        match (hops.is_empty(), silent) {
            (false, _) => Ok(hops),
            (true, Some(error)) => Err(LocateError::NoAnswer(name, error)),
            (true, None) if other_family => Err(LocateError::OtherFamily(name)),
            (true, None) => Err(LocateError::NotFound(name)),
        }
    }
}

impl Inner {
    fn speaks(&self, transport: Transport) -> bool {
        self.spoken.iter().any(|(spoken, _)| *spoken == transport)
    }

    fn reaches(&self, transport: Transport, ipv4: bool) -> bool {
        self.spoken.iter().any(|(spoken, ours)| *spoken == transport && ours.is_ipv4() == ipv4)
    }

    /// Those of the addresses that a listener's family reaches. The name is what a server has to prove.
    fn reachable(&self, transport: Transport, found: &[SocketAddr], name: &str) -> Result<Vec<Hop>, LocateError> {
        let hop = |address: &SocketAddr| Hop {
            transport,
            address: *address,
            connection: is_secure(transport).then(|| self.destinations.number(transport, *address, name)),
        };
        let hops: Vec<Hop> =
            found.iter().filter(|a| self.reaches(transport, a.is_ipv4())).take(MAX_HOPS).map(hop).collect();
        if hops.is_empty() { Err(LocateError::OtherFamily(name.to_owned())) } else { Ok(hops) }
    }

    /// The SRV targets of a domain in the order of trial; none: it has no such records, its addresses are next.
    async fn targets(
        &self,
        names: &Names,
        name: &str,
        secure: bool,
        asked: Option<Transport>,
    ) -> Result<Vec<(Transport, Srv)>, LocateError> {
        let usable = |transport| self.speaks(transport) && asked.is_none_or(|wanted| wanted == transport);
        let offered = match names.ask(name, Kind::Naptr).await {
            Ok(Answer::Naptr(records)) => services(records, secure, usable),
            // Some servers fail at what they do not know: the next question tells.
            _ => Vec::new(),
        };
        let mut places = offered;
        if places.is_empty() {
            let usual = [Transport::Udp, Transport::Tcp, Transport::Tls];
            places = usual
                .into_iter()
                .filter(|transport| usable(*transport) && (!secure || is_secure(*transport)))
                .filter_map(|transport| Some((transport, srv_name(transport, name)?)))
                .collect();
        }
        let mut targets = Vec::new();
        let (mut refused, mut silent) = (false, None);
        for (transport, place) in places {
            match names.ask(&place, Kind::Srv).await {
                Ok(Answer::Srv(records)) => {
                    // A single "." says that there is decidedly no such service (RFC 2782).
                    refused |= !records.is_empty() && records.iter().all(|record| record.target.is_empty());
                    // A holder that panicked left the generator whole.
                    let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
                    targets.extend(select::order(records, &mut random).into_iter().map(|record| (transport, record)));
                }
                Ok(_) => {}
                Err(error) => {
                    silent = Some(error);
                    // Who does not answer this will not answer the next.
                    break;
                }
            }
        }
        match (targets.is_empty(), silent) {
            (true, Some(error)) => {
                tracing::debug!(name, %error, "no SRV records to be had: the host itself is tried");
                Ok(targets)
            }
            (true, None) if refused => Err(LocateError::NotFound(name.to_owned())),
            _ => Ok(targets),
        }
    }

    /// A host's addresses in the families that we reach by that transport, IPv6 first (RFC 6724 §2.1).
    async fn addresses(&self, names: &Names, transport: Transport, host: &str) -> Result<Vec<IpAddr>, String> {
        let ask = async |kind, wanted: bool| match wanted {
            true => names.ask(host, kind).await.map(|answer| match answer {
                Answer::Addresses(ips) => ips,
                _ => Vec::new(),
            }),
            false => Ok(Vec::new()),
        };
        let (v6, v4) =
            tokio::join!(ask(Kind::V6, self.reaches(transport, false)), ask(Kind::V4, self.reaches(transport, true)));
        match (v6, v4) {
            (Ok(mut found), Ok(more)) => {
                found.extend(more);
                Ok(found)
            }
            // One family's addresses are enough.
            (Ok(found), Err(_)) | (Err(_), Ok(found)) if !found.is_empty() => Ok(found),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}
