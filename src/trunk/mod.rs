//! Carriers, pure: what an operator says of them, which one a number goes by, and how their proxies and registrations
//! fare. Time and answers go in, decisions come out; sending OPTIONS, REGISTER and INVITE is the engine's, trying several
//! proxies is `sip::hunt`'s, and recognising who calls is `sip::access`'s.
//!
//! - [`document`]: a trunk as it is written, kept and shown; `check`: what may be written.
//! - [`number`]: E.164 in, the carrier's way of writing out.
//! - [`route`]: which trunks a number goes by, and who may use them.
//! - [`proxy`]: in which order a trunk's proxies are tried.
//! - [`limit`]: concurrent calls and calls a second.
//! - [`health`]: whether a proxy answers OPTIONS.
//! - [`registration`]: being registered at a carrier (RFC 3261 §10).
//! - [`caller`]: who the callee is told that calls (RFC 3323, 3325).

pub mod caller;
mod check;
pub mod document;
pub mod health;
pub mod limit;
pub mod number;
pub mod proxy;
pub mod registration;
pub mod route;
pub mod toll;

pub use check::{Problem, check};
pub use document::Trunk;
pub use route::{Route, Routes};
