//! The four transaction machines (RFC 3261 §17 with the corrections of RFC 6026), each a few states and timers: they
//! are told what arrived or how late it is, and say what to do. Messages, addresses and tables are `agent`'s.
//!
//! | machine | states | timers |
//! |---|---|---|
//! | [`InviteClient`] | Calling → Proceeding → Completed / Accepted | A, B, D, M |
//! | [`Client`] | Trying → Proceeding → Completed | E, F, K |
//! | [`InviteServer`] | Proceeding → Completed → Confirmed / Accepted | G, H, I, L |
//! | [`Server`] | Trying → Proceeding → Completed | J |

mod client;
mod invite_client;
mod invite_server;
mod key;
mod server;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use client::Client;
pub use invite_client::InviteClient;
pub use invite_server::{Acknowledged, InviteServer};
pub use key::{ClientKey, MergeKey, ServerKey};
pub use server::Server;

/// The base timers; all others are multiples (RFC 3261 §17.1.1.1, table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerConfig {
    /// Round-trip estimate; default 500 ms.
    pub t1: Duration,
    /// Longest pause between retransmissions; default 4 s.
    pub t2: Duration,
    /// How long a message can stay in the network; default 5 s.
    pub t4: Duration,
    /// Timer D: how long an unreliable INVITE client transaction lingers; at least 32 s.
    pub d: Duration,
    /// How long an incoming INVITE may stay unanswered before we answer 480; default 3 min (timer C's place).
    pub unanswered: Duration,
    /// The session interval that we ask for, in seconds (RFC 4028); 0: none. Default 1800.
    pub session_expires: u32,
    /// The shortest session interval that we take, in seconds; 90 by the RFC, or more.
    pub min_se: u32,
}

impl TimerConfig {
    /// 64·T1: timers B, F, H, J, L and M, and how long a 2xx is repeated.
    pub fn transaction(&self) -> Duration {
        self.t1 * 64
    }
}

impl Default for TimerConfig {
    fn default() -> Self {
        TimerConfig {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
            d: Duration::from_secs(32),
            unanswered: Duration::from_secs(180),
            session_expires: 1800,
            min_se: 90,
        }
    }
}

/// What a client transaction makes of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// News for the user.
    Pass,
    /// News for the user, and an ACK is to be sent (INVITE, 300–699).
    PassAndAcknowledge,
    /// A repetition; only the ACK is to be sent again.
    Acknowledge,
    /// A repetition.
    Ignore,
}

/// What the clock brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// Nothing is due.
    Idle,
    /// Send the last message again.
    Retransmit,
    /// Nobody answered (B, F) or acknowledged (H); the transaction is over.
    TimedOut,
    /// The transaction is over (D, I, J, K, L, M).
    Over,
}

/// The earlier of two.
fn earlier(a: Option<crate::time::Time>, b: Option<crate::time::Time>) -> Option<crate::time::Time> {
    a.into_iter().chain(b).min()
}
