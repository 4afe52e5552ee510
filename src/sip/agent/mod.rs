//! The user agent: transactions, dialogs and legs as one sans-IO object (RFC 3261 §8, §12–15). Bytes, commands and
//! time go in; [`UserAgent::poll`] gives what is to be sent and told. It opens no socket and reads no clock:
//! `sip::transport` carries, the engine keeps time.
//!
//! After every call of `receive`, `command`, `place`, `transport_lost` or `timeout`, poll until none; then sleep until
//! [`UserAgent::deadline`] and call `timeout`.
//!
//! ```text
//! UserAgent::new(config: AgentConfig, random: Random) -> UserAgent
//! agent.receive(peer: Peer, bytes: &[u8], now: Time)            one framed message (a datagram, or what the framer cut)
//! agent.transport_lost(peer: &Peer, now: Time)                  a send failed, or a connection closed
//! agent.new_leg() -> LegId
//! agent.place(leg: LegId, invite: OutgoingInvite, now: Time)    errors come as LegEvent::Failed
//! agent.command(leg: LegId, command: LegCommand, now: Time) -> Result<(), CommandError>
//! agent.deadline() -> Option<Time>
//! agent.timeout(now: Time)
//! agent.poll() -> Option<AgentOutput>
//! agent.set_draining(bool)                                      true: new INVITEs are answered 503
//! agent.census() -> Census { legs, dialogs, client_transactions, server_transactions, half_open }
//! ```

mod config;
mod output;

pub use config::{AgentConfig, AgentLimits, ContactAddress, TimerConfig};
pub use output::{AgentOutput, Counter, Flow};
