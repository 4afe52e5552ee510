//! What crossed the wire on a call, as a capture file (pcap-ng) that Wireshark reads.
//!
//! The file is made from what the call's timeline and tap have kept, not from a network card: addresses and bytes are
//! those of the messages, the headers below them (IP, UDP, TCP) are written anew. What a carrier hides (TLS) or frames
//! (WebSocket) is shown as the message that was inside, as an "exported PDU" that names its dissector.
//!
//! Collecting is the engine's; taking RTP off the wire is `media::tap`'s.

mod pcapng;

pub use pcapng::{CaptureError, write};

use std::net::SocketAddr;

use crate::time::Time;

/// What carried a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A datagram.
    Udp,
    /// A piece of a TCP stream; the pieces of one way follow one another.
    Tcp,
    /// A message inside something that a capture file cannot show: for this dissector of Wireshark's.
    Inside(&'static str),
}

/// One packet or message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When.
    pub at: Time,
    /// On what.
    pub carrier: Carrier,
    /// From where.
    pub source: SocketAddr,
    /// To where.
    pub destination: SocketAddr,
    /// What is inside. A datagram's is cut at what IP can carry (65,507 bytes), with its true length noted.
    pub payload: Vec<u8>,
    /// For people, beside the packet.
    pub comment: Option<String>,
}
