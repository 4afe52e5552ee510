//! DTMF digits as RTP telephone events (RFC 4733): the payload, the [`EventReceiver`] that makes one press of its
//! packets, and the [`EventSender`] that schedules them. RTP headers, sequence numbers and sockets are `rtp`'s and
//! `media`'s business.

mod payload;
mod receiver;
mod sender;

pub use payload::{EventPayload, PayloadError};
pub use receiver::{EventArrival, EventReceiver};
pub use sender::{EventPacket, EventSender};
