//! Where users are reached (RFC 3261 §10, RFC 3327 Path, RFC 5626 outbound, RFC 5627 GRUU): the bindings of their phones,
//! what a REGISTER changes of them, and when they end. Pure; who may register is `access`'s, the wire `agent`'s, keeping
//! bindings over a restart the engine's.
//!
//! GRUUs are the public ones (RFC 5627 §3.1.1): the address of record with the instance. A temporary one (§3.1.2) hides
//! from whom a phone calls who that is; behind us nobody sees a phone's Contact or GRUU anyway, for we end each call and
//! make another one, whose Contact is ours and whose From is what the trunk is to be told.
//!
//! A binding keeps the flow that its REGISTER came on: the source address over UDP, the connection otherwise. A phone
//! behind a NAT is reached by that flow and by nothing else, so a binding whose connection is lost is gone.

mod binding;
mod request;
mod table;
#[cfg(test)]
mod tests;

pub use binding::{Binding, Q, rounds};
pub use request::{Listing, RegisterError};
pub use table::{Registrar, RegistrarLimits};
