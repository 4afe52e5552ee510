//! SIP (RFC 3261 and friends), pure: bytes, commands and time go in; messages and events come out.
//! Only `transport` opens sockets.
//!
//! - [`peer`]: who is at the other end of a hop.
//! - [`message`]: the wire layer: framing, headers, URIs.
//! - [`sdp`]: offer and answer (RFC 3264) over audio.
//! - [`digest`]: asking for credentials and giving them (RFC 7616, 8760).
//! - [`access`]: who is calling.
//! - [`registrar`]: where users are reached.
//! - [`transaction`]: the four transaction machines.
//! - [`dialog`]: who is whom within a call.
//! - [`guard`]: who asks too much is limited and banned.
//! - [`leg`]: one INVITE session, as call control sees it.
//! - [`redirection`]: where a 3xx points.
//! - [`hunt`]: several attempts, of which one is answered.
//! - [`agent`]: all of it as one object.
//! - [`transport`]: sockets: UDP and TCP on one port.

pub mod access;
pub mod agent;
pub mod dialog;
pub mod digest;
pub mod guard;
pub mod hunt;
pub mod leg;
pub mod message;
pub mod peer;
pub mod redirection;
pub mod registrar;
pub mod sdp;
pub mod transaction;
pub mod transport;
