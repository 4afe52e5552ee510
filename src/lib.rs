//! Strowger: a call automation engine.
//!
//! # Layout
//! A call is a pure state machine; everything that opens a socket, reads a clock or waits is a thin shell around it.
//!
//! Pure rooms (time and randomness come in as values):
//! - [`time`], [`random`], [`session`], [`line`]: plain types that every room shares.
//! - [`sip`]: messages, transactions, dialogs, offer/answer, the user agent. (IO: `sip::transport`.)
//! - [`rtp`], [`dtmf`], [`media`]: packets and jitter, digits in three ways, frames and streams. (IO: `media::worker`.)
//! - [`call`]: the call itself: participants, operations, commands in, events out.
//! - [`capture`]: a call's packets as a file for Wireshark.
//! - [`rules`]: who gets an incoming call. [`flow`]: applications that live in the engine.
//!
//! Shells:
//! - [`prompt`]: audio by name or URL, decoded once for all calls.
//! - [`api`]: the ACS wire and `/v1`. [`events`]: delivery of events. [`store`]: the database.
//! - [`engine`]: where clock, randomness, sockets, threads and store meet the pure rooms.
//! - [`phone`]: a built-in SIP phone. [`clock`], [`cli`], [`config`]: the command line and every setting.
//!
//! Dependencies point one way: `engine → api, events, store, transport, worker → call → sip, media, rules, flow → rtp,
//! dtmf → plain types`.

pub mod api;
pub mod call;
pub mod capture;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dtmf;
pub mod engine;
pub mod events;
pub mod flow;
pub mod line;
pub mod media;
pub mod phone;
pub mod prompt;
pub mod random;
pub mod rtp;
pub mod rules;
pub mod session;
pub mod sip;
pub mod store;
pub mod time;
pub mod trunk;
