//! Strowger: a call automation engine.
//!
//! # Layout
//! Pure rooms (no sockets, clocks or dice; time and randomness come in as values):
//! - [`time`], [`random`], [`session`]: plain types that every room shares.

pub mod random;
pub mod session;
pub mod time;
