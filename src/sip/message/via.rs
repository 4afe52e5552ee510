//! Via (RFC 3261 §20.42, §18.2; RFC 3581): reading, writing, the marks that a server adds to the top one, and where a
//! response goes.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::error::HeaderError;
use super::headers::{HeaderValue, Headers, Name};
use super::lex;
use super::params::Params;
use super::uri::{Host, read_hostport};

/// What RFC 3261 branches begin with (§8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One hop of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
    pub transport: ViaTransport,
    pub host: Host,
    pub port: Option<u16>,
    pub params: Params,
}

/// The transport of a hop: an open set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ViaTransport {
    Udp,
    Tcp,
    Tls,
    Sctp,
    Ws,
    Wss,
    /// Any other token, in capitals.
    Other(String),
}

impl ViaTransport {
    fn parse(bytes: &[u8]) -> Option<Self> {
        if !lex::is_token(bytes) {
            return None;
        }
        Some(match lex::text(bytes).to_ascii_uppercase().as_str() {
            "UDP" => ViaTransport::Udp,
            "TCP" => ViaTransport::Tcp,
            "TLS" => ViaTransport::Tls,
            "SCTP" => ViaTransport::Sctp,
            "WS" => ViaTransport::Ws,
            "WSS" => ViaTransport::Wss,
            other => ViaTransport::Other(other.to_owned()),
        })
    }

    pub fn as_str(&self) -> &str {
        match self {
            ViaTransport::Udp => "UDP",
            ViaTransport::Tcp => "TCP",
            ViaTransport::Tls => "TLS",
            ViaTransport::Sctp => "SCTP",
            ViaTransport::Ws => "WS",
            ViaTransport::Wss => "WSS",
            ViaTransport::Other(other) => other,
        }
    }

    /// Does it need retransmissions (RFC 3261 §17: timers A, E, G)?
    pub fn is_reliable(&self) -> bool {
        !matches!(self, ViaTransport::Udp)
    }
}

impl Via {
    /// A Via of our own with `rport` (RFC 3581). `branch` should begin with [`MAGIC_COOKIE`].
    pub fn new(transport: ViaTransport, host: Host, port: Option<u16>, branch: &str) -> Via {
        let mut params = Params::new();
        params.set("branch", branch);
        params.set_flag("rport");
        Via { transport, host, port, params }
    }

    /// Reads one Via; commas around it have been split off.
    pub fn parse(bytes: &[u8]) -> Result<Via, &'static str> {
        let (head, params) = match bytes.iter().position(|&b| b == b';') {
            None => (bytes, None),
            Some(at) => {
                let (head, rest) = bytes.split_at(at);
                (head, rest.get(1..))
            }
        };
        // sent-protocol: three parts around two slashes, white space allowed around each.
        let mut parts = head.splitn(3, |&b| b == b'/').map(lex::trim);
        let (Some(name), Some(version), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("not SIP/2.0/transport");
        };
        // Any version is a Via: a request of another one is answered (505) along it.
        if !name.eq_ignore_ascii_case(b"SIP") || !lex::is_token(version) {
            return Err("not SIP/2.0");
        }
        let space = rest.iter().position(|&b| lex::is_space(b)).ok_or("no sent-by")?;
        let (transport, sent_by) = rest.split_at(space);
        let transport = ViaTransport::parse(transport).ok_or("the transport is not a token")?;
        let (host, port) = read_hostport(lex::trim(sent_by))?;
        let params = params.map(Params::parse).transpose()?.unwrap_or_default();
        Ok(Via { transport, host, port, params })
    }

    /// The branch, where there is one.
    pub fn branch(&self) -> Option<&str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// The branch where it is one of RFC 3261, that is: unique by itself. Nothing for older peers, and for a bare
    /// cookie.
    pub fn unique_branch(&self) -> Option<&str> {
        let branch = self.branch()?;
        let head = branch.get(..MAGIC_COOKIE.len())?;
        (head.eq_ignore_ascii_case(MAGIC_COOKIE) && branch.len() > MAGIC_COOKIE.len()).then_some(branch)
    }

    /// `received`, where it is an address (IPv6 with brackets or without).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get("received")?;
        text.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// `rport`'s number, once filled in.
    pub fn rport(&self) -> Option<u16> {
        lex::number(self.params.get("rport")?.as_bytes())
    }

    /// Does the sender ask for its port (RFC 3581)?
    pub fn wants_rport(&self) -> bool {
        self.params.contains("rport")
    }

    /// The port that sent-by means: its own, or the transport's default.
    pub fn sent_by_port(&self) -> u16 {
        self.port.unwrap_or(match self.transport {
            ViaTransport::Tls | ViaTransport::Wss => 5061,
            _ => 5060,
        })
    }

    /// Marks where the request really came from: `received` where it differs from sent-by or `rport` is asked for
    /// (RFC 3261 §18.2.1, RFC 3581 §4), `rport` where it is asked for. A `received` that the sender wrote itself is
    /// overwritten or taken away.
    pub fn mark_source(&mut self, source: SocketAddr) {
        let ip = source.ip().to_canonical();
        self.params.remove("received");
        if self.host.ip() != Some(ip) || self.wants_rport() {
            self.params.set("received", ip.to_string());
        }
        if self.wants_rport() {
            self.params.set("rport", source.port().to_string());
        }
    }

    /// Where a response goes over an unreliable transport (RFC 3261 §18.2.2, RFC 3581 §4), once the source is marked:
    /// `received` (or sent-by's address) and `rport` (or sent-by's port). None where sent-by is a name and nothing is
    /// marked; `maddr` is not followed.
    pub fn response_address(&self) -> Option<SocketAddr> {
        let ip = self.received().or_else(|| self.host.ip())?;
        Some(SocketAddr::new(ip, self.rport().unwrap_or_else(|| self.sent_by_port())))
    }
}

/// Marks the top Via of a request with the source it really came from; other Vias are left byte for byte.
pub fn mark_source(headers: &mut Headers, source: SocketAddr) -> Result<(), HeaderError> {
    let bad = |what| HeaderError::new(Name::Via, what);
    let value = headers.get(&Name::Via).ok_or_else(|| bad("missing"))?;
    let (top, rest) = lex::split_once(value, b',').map_err(bad)?;
    let mut via = Via::parse(lex::trim(top)).map_err(bad)?;
    via.mark_source(source);
    let mut marked = via.to_string().into_bytes();
    if let Some(rest) = rest {
        marked.push(b',');
        marked.extend_from_slice(rest);
    }
    headers.set_first_raw(&Name::Via, marked.into());
    Ok(())
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport.as_str(), self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        let mut params = String::new();
        self.params.write(&mut params);
        f.write_str(&params)
    }
}

impl HeaderValue for Via {
    fn header_value(&self) -> String {
        self.to_string()
    }
}
