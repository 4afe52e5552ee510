//! What the two ends of a leg agree on about its audio: the words that signalling (which negotiates it)
//! and media (which carries it out) share. SDP itself is `sip::sdp`; sockets are `media::worker`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

pub use srtp::{Mki, SrtpKey, SrtpKeys, SrtpPolicy, SrtpSuite};

mod srtp;

/// Names a leg: one SIP dialog and its media. Unique within a running engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LegId(pub u64);

impl std::fmt::Display for LegId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "leg-{}", self.0)
    }
}

/// An audio codec that we speak, mono on our side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Codec {
    /// G.711 µ-law: 8 kHz audio.
    Pcmu,
    /// G.711 A-law: 8 kHz audio.
    Pcma,
    /// G.722 at 64 kbit/s: 16 kHz audio on an RTP clock of 8 kHz (RFC 3551 §4.5.2).
    G722,
    /// 16-bit linear PCM, big-endian: 16 kHz audio (RFC 3551 §4.5.11).
    L16,
    /// Opus on its RTP clock of 48 kHz (RFC 7587), whatever the rate of the audio in it.
    Opus,
}

impl Codec {
    /// All of them.
    pub const ALL: [Codec; 5] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16, Codec::Opus];

    /// The name in `a=rtpmap` (compare without case).
    pub fn encoding_name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::L16 => "L16",
            Codec::Opus => "opus",
        }
    }

    /// The static payload type of RFC 3551 table 4; none: the number is dynamic, and agreed on by SDP.
    pub fn static_payload_type(self) -> Option<u8> {
        match self {
            Codec::Pcmu => Some(0),
            Codec::Pcma => Some(8),
            Codec::G722 => Some(9),
            Codec::L16 | Codec::Opus => None,
        }
    }

    /// RTP clock rate in Hz. Not the rate of the audio: see [`sample_rate`](Self::sample_rate).
    pub fn clock_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => 8_000,
            Codec::L16 => 16_000,
            Codec::Opus => 48_000,
        }
    }

    /// Rate in Hz of the audio that it is decoded to, and live audio encoded from. Opus could be had at 48 kHz;
    /// `media::codec` says why 16 kHz are enough (prompts are encoded from what they have).
    pub fn sample_rate(self) -> u32 {
        match self {
            Codec::Pcmu | Codec::Pcma => 8_000,
            Codec::G722 | Codec::L16 | Codec::Opus => 16_000,
        }
    }
}

/// Which way audio flows, seen from our side (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// We send, the peer does not (the peer has put us on hold, or listens only).
    SendOnly,
    /// The peer sends, we do not.
    RecvOnly,
    /// Nobody sends.
    Inactive,
}

impl Direction {
    /// May we send audio?
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// May the peer send audio?
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// Whether callers over TLS show a certificate (mutual TLS).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Nobody is asked.
    #[default]
    Off,
    /// Who has one shows it; a wrong one is refused.
    Asked,
    /// Without one there is no connection.
    Required,
}

/// Our side of a stream, as it goes into an offer or an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalMedia {
    /// The address put into `c=`: the advertised one.
    pub address: IpAddr,
    /// The RTP port (even); RTCP is the next one.
    pub port: u16,
    /// Codecs that we take, most wanted first. Never empty.
    pub codecs: Vec<Codec>,
    /// What we want to do; an answer narrows it by the offer.
    pub direction: Direction,
    /// Whether it is encrypted.
    #[serde(default)]
    pub srtp: SrtpPolicy,
}

/// A payload type of telephone-event. There is one for each clock rate among the codecs (RFC 7587 §7, RFC 4733 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFormat {
    /// The payload type.
    pub payload_type: u8,
    /// Units a second of its durations and timestamps.
    pub clock_rate: u32,
}

impl EventFormat {
    /// The usual one, at 8 kHz.
    pub fn narrow(payload_type: u8) -> Self {
        EventFormat { payload_type, clock_rate: 8_000 }
    }
}

impl std::fmt::Display for EventFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.payload_type)?;
        if self.clock_rate == 8_000 { Ok(()) } else { write!(f, " ({} Hz)", self.clock_rate) }
    }
}

/// What both sides agreed on: all that media needs to run the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NegotiatedMedia {
    /// Where the peer says it receives RTP. Unspecified address or port 0: nowhere (old-style hold).
    pub remote_rtp: SocketAddr,
    /// Where the peer says it receives RTCP (`a=rtcp`, RFC 3605, or the next port).
    pub remote_rtcp: SocketAddr,
    /// What we send.
    pub codec: Codec,
    /// The payload type we send it with: the peer's number.
    pub send_payload_type: u8,
    /// The audio payload types that may arrive: our numbers, with every codec that was agreed.
    pub receive_payload_types: Vec<(u8, Codec)>,
    /// The telephone-event that we send (the peer's number, RFC 4733 §2.5.1.2), at the clock of `codec` where the peer
    /// has that; none: not agreed.
    pub send_telephone_event: Option<EventFormat>,
    /// The telephone-events that may arrive (our numbers), at most one for each clock rate; the peer uses the one at
    /// its codec's clock, or should.
    pub receive_telephone_events: Vec<EventFormat>,
    /// Which way audio flows, seen from our side.
    pub direction: Direction,
    /// Milliseconds of audio a packet that the peer asked for (`a=ptime`); 20 where it said nothing.
    pub ptime_ms: u32,
    /// The peer would rather have nothing than silence (`usedtx=1` of Opus, RFC 7587 §6.1).
    #[serde(default)]
    pub send_dtx: bool,
    /// RTCP goes through the RTP ports of both ends (RFC 5761).
    #[serde(default)]
    pub rtcp_mux: bool,
    /// SRTP with these keys; none: plain RTP. Not saved: what is read back must be negotiated anew.
    #[serde(skip)]
    pub srtp: Option<SrtpKeys>,
}

impl NegotiatedMedia {
    /// What two plain telephones agree on: PCMU both ways, telephone-event as 101, RTCP on the port after `remote_rtp`.
    pub fn plain(remote_rtp: SocketAddr) -> Self {
        NegotiatedMedia {
            remote_rtp,
            remote_rtcp: SocketAddr::new(remote_rtp.ip(), remote_rtp.port().saturating_add(1)),
            codec: Codec::Pcmu,
            send_payload_type: 0,
            receive_payload_types: vec![(0, Codec::Pcmu)],
            send_telephone_event: Some(EventFormat::narrow(101)),
            receive_telephone_events: vec![EventFormat::narrow(101)],
            direction: Direction::SendRecv,
            ptime_ms: 20,
            send_dtx: false,
            rtcp_mux: false,
            srtp: None,
        }
    }
}
