//! What a user agent is told at its birth: its addresses, its timers (RFC 3261 §17.1.1.1) and its bounds.

use std::net::SocketAddr;

use crate::session::{Codec, SrtpSuite};
use crate::sip::peer::Transport;
pub use crate::sip::transaction::TimerConfig;

/// How a user agent presents itself, waits, and where it stops.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Our addresses, at most one for each transport that we speak and address family; requests leave only on these,
    /// by the transport and the family of where they go.
    pub contacts: Vec<ContactAddress>,
    /// The user part of our Contact.
    pub user: String,
    /// `User-Agent` and `Server`.
    pub product: String,
    /// What we speak, most wanted first: an offer with none of these is refused with 488 before anybody is asked.
    pub codecs: Vec<Codec>,
    /// The media types of INFO bodies that are read here: a body of any other is refused with 415. Empty: all are
    /// handed on.
    pub info_types: &'static [&'static str],
    /// SRTP keys may be offered and answered over UDP, TCP and WS, where whoever is on the way reads them (SDES, RFC
    /// 4568 §9.1); else over TLS and WSS only.
    pub srtp_over_insecure: bool,
    /// The crypto suites of SRTP that are offered, the most wanted first, and taken.
    pub srtp_suites: Vec<SrtpSuite>,
    /// The timers.
    pub timers: TimerConfig,
    /// The bounds.
    pub limits: AgentLimits,
}

/// One address of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactAddress {
    /// For what.
    pub transport: Transport,
    /// The bound address: requests leave from here.
    pub local: SocketAddr,
    /// The host that others reach us by (advertised): a name, or an address (IPv6 without brackets).
    pub host: String,
    /// The port that others reach us by.
    pub port: u16,
}

/// How much state the outside may make us keep. Past a bound a new request is answered 503 with `Retry-After`,
/// without state; what already runs is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentLimits {
    /// Legs alive at once, both ways.
    pub legs: usize,
    /// Incoming legs not yet answered.
    pub half_open: usize,
    /// Incoming legs not yet answered from one IP address.
    pub half_open_per_source: usize,
    /// Server transactions at once (a live call's own BYE, re-INVITE and INFO get another tenth on top).
    pub server_transactions: usize,
    /// `Retry-After` in our 503, in seconds.
    pub retry_after: u32,
    /// The longest request that leaves as a datagram, in bytes (RFC 3261 §18.1.1); longer ones go by TCP where that can
    /// be had. 0: all may.
    pub datagram: usize,
    /// The longest body that we look at, in bytes; longer: 413.
    pub body: usize,
}

impl Default for AgentLimits {
    fn default() -> Self {
        AgentLimits {
            legs: 20_000,
            half_open: 2_000,
            half_open_per_source: 1_000,
            server_transactions: 50_000,
            retry_after: 10,
            datagram: 1300,
            body: 65_536,
        }
    }
}
