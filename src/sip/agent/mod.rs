//! The user agent: transactions, dialogs and legs as one sans-IO object (RFC 3261 §8, §12–15). Bytes, commands and
//! time go in; [`UserAgent::poll`] gives what is to be sent and told. It opens no socket and reads no clock:
//! `sip::transport` carries, the engine keeps time.
//!
//! After every call of `receive`, `command`, `place`, `transport_lost` or `timeout`, poll until none; then sleep until
//! [`UserAgent::deadline`] and call `timeout`.
//!
//! - `user_agent`: the tables and their clock.
//! - `door`: what arrives is read, matched, admitted or turned away.
//! - `guarded`: limits for each source, and bans.
//! - `keying`: whose SDP may hold keys.
//! - `identity`: who it comes from. `register`: REGISTER and its answers.
//! - `incoming`, `outgoing`: the two sides of a leg.
//! - `refer`, `follow`, `handover`, `notify`: a call that is sent on, by us or by the peer; `replaces`: dialogs that
//!   change places.
//! - `redirected`: a 3xx to our INVITE.
//! - `request`: requests outside of any dialog.
//! - `identified`: who has proved a name by certificate.
//! - `command`: what call control says, and what a leg does in its own time.
//! - `capabilities`: what we say that we can.
//! - `reliable`, `update`, `session_timer`: offers and answers around the answer, and how long a session lasts.
//! - `transmit`: what leaves. `oversize`: what is too large for a datagram.

mod capabilities;
mod command;
mod config;
mod door;
mod follow;
mod guarded;
mod handover;
mod identified;
mod identity;
mod incoming;
mod keying;
mod notify;
mod outgoing;
mod output;
mod oversize;
mod redirected;
mod refer;
mod register;
mod reliable;
mod replaces;
mod request;
mod session_timer;
mod stateless;
#[cfg(test)]
mod tests;
mod transmit;
mod update;
mod user_agent;

pub use config::{AgentConfig, AgentLimits, ContactAddress, TimerConfig};
pub use handover::ReferralTerms;
pub use output::{AgentOutput, Counter, Flow};
pub use request::{OutgoingRequest, RequestId, RequestOutcome, Way};
pub use user_agent::{Census, UserAgent};
