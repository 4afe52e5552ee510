//! Offer and answer over one audio stream (RFC 3264, RFC 8866, RFC 4733 §2.4): reading a peer's description, writing
//! ours, and what both then agree on. Bytes are parsed by `sdp-types`; which message carries which description is
//! `leg`'s business, sockets are `media`'s.
//!
//! # Choices
//! - One audio line is taken, the first that we can answer; every other line is refused with port 0, in its place.
//! - An answer lists what both speak with the offer's payload numbers (RFC 3264 §6.1) in the configured order, as our
//!   offers do: with wide-band codecs in front a phone that can is heard well though it lists G.711 first out of habit.
//!   Of the two laws of G.711, which sound the same, the one that the offer prefers is taken: it spares the peer's
//!   network a conversion.
//! - Opus is `opus/48000/2` whatever is in it (RFC 7587 §7); G.722 is `G722/8000` (RFC 3551 §4.5.2). A codec by another
//!   rate or number of channels is not ours.
//! - There is a telephone-event for each clock rate among the codecs of an offer; we send the one at the clock of the
//!   codec in use, and to peers who have only another one, that one.
//! - `c=0.0.0.0` (hold after RFC 2543) is read as "send me nothing", whatever the direction says.
//! - A line at an address of the other family (IPv4, IPv6) than ours cannot be answered: no packet would get there.
//! - SRTP by SDES (`crypto`): as the leg's policy says; best effort is understood as RTP/AVP with keys and as two
//!   lines, of which the encrypted one is taken. DTLS is not spoken: `UDP/TLS/…` cannot be answered.
//! - RTCP on the RTP port (RFC 5761) is offered, and taken where it is offered.
//! - `o=` keeps its id for the dialog's life; its version moves only when our description differs from the last one.

mod crypto;
mod description;
mod local;
pub mod secrets;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use description::Description;
pub use local::LocalDescription;

use crate::session::{Codec, Direction, EventFormat};
use description::{AudioLine, EventLine};

/// The only body type that we negotiate with.
pub const CONTENT_TYPE: &str = "application/sdp";

/// Media lines that we look at in one description; more: [`SdpError::TooManyLines`].
const MAX_MEDIA_LINES: usize = 32;

/// Formats that we look at in one media line; what follows is ignored.
const MAX_FORMATS: usize = 64;

/// The payload number of telephone-event/8000 in our own offers, unless the session has another already; other clock
/// rates follow.
const TELEPHONE_EVENT: u8 = 101;

/// The payload numbers of codecs without a static one in our own offers: those that most phones use.
const OPUS: u8 = 111;
const L16: u8 = 97;

/// What we tell of Opus (RFC 7587 §6.1): packets of 10 ms or more, FEC is of use, and nothing above 8 kHz of audio is.
const OPUS_PARAMETERS: &str = "minptime=10;useinbandfec=1;maxplaybackrate=16000";

/// Why a description led to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not SDP.
    #[error("the session description cannot be read: {0}")]
    Syntax(String),
    /// More media lines than we care to answer.
    #[error("the session description has more than {MAX_MEDIA_LINES} media lines")]
    TooManyLines,
    /// No audio over RTP or SRTP as we want it, at an address of our family, in a codec of ours.
    #[error("no audio stream in common")]
    NothingInCommon,
    /// SRTP is required, and its keys must not go over this signalling.
    #[error("SRTP is required, and this leg's signalling is not secure enough for its keys")]
    InsecureHop,
    /// The answer to our offer of SRTP has no keys, or not one that fits.
    #[error("the answer has no SRTP key that fits the offer")]
    BadKeys,
}

/// Which addresses a stream of ours can reach: `IP4` or `IP6` in `c=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// `IP4`.
    V4,
    /// `IP6`.
    V6,
}

impl From<IpAddr> for Family {
    fn from(ip: IpAddr) -> Family {
        if ip.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Family::V4 => "IP4",
            Family::V6 => "IP6",
        }
    }

    /// Nowhere (old-style hold) is as near to one family as to the other.
    fn reaches(self, ip: IpAddr) -> bool {
        ip.is_unspecified() || self == ip.into()
    }
}

fn from_parts(sends: bool, receives: bool) -> Direction {
    match (sends, receives) {
        (true, true) => Direction::SendRecv,
        (true, false) => Direction::SendOnly,
        (false, true) => Direction::RecvOnly,
        (false, false) => Direction::Inactive,
    }
}

/// The peer's direction, turned round; old-style hold takes our sending away.
fn seen_from_here(audio: &AudioLine) -> Direction {
    let nowhere = audio.rtp.ip().is_unspecified();
    from_parts(audio.direction.receives() && !nowhere, audio.direction.sends())
}

fn narrowed(a: Direction, b: Direction) -> Direction {
    from_parts(a.sends() && b.sends(), a.receives() && b.receives())
}

/// The place of a codec in our order. The two laws of G.711 share the better one's.
fn preference(codec: Codec, ours: &[Codec]) -> Option<usize> {
    let law = |codec| matches!(codec, Codec::Pcmu | Codec::Pcma);
    ours.iter().position(|own| *own == codec || law(*own) && law(codec))
}

fn common(audio: &AudioLine, ours: &[Codec]) -> Vec<(u8, Codec)> {
    let mut common: Vec<_> = audio.codecs.iter().copied().filter(|(_, codec)| ours.contains(codec)).collect();
    // Stable: among equals the offer's order stays.
    common.sort_by_key(|(_, codec)| preference(*codec, ours));
    common
}

/// The telephone-events that go with these codecs; where none has the clock of one of them, what there is.
fn events_for(audio: &AudioLine, formats: &[(u8, Codec)]) -> Vec<EventLine> {
    let fits = |event: &&EventLine| formats.iter().any(|(_, codec)| codec.clock_rate() == event.format.clock_rate);
    let fitting: Vec<_> = audio.events.iter().filter(fits).copied().collect();
    // 8 kHz beside Opus alone is common, and understood by both; 48 kHz beside G.711 is neither.
    let narrow = audio.events.iter().filter(|event| event.format.clock_rate == 8_000).copied();
    if fitting.is_empty() { narrow.collect() } else { fitting }
}

/// The one to send beside `codec`.
fn event_beside(codec: Codec, events: &[EventLine]) -> Option<EventFormat> {
    let same_clock = events.iter().find(|event| event.format.clock_rate == codec.clock_rate());
    same_clock.or(events.first()).map(|event| event.format)
}

fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::SendRecv => "sendrecv",
        Direction::SendOnly => "sendonly",
        Direction::RecvOnly => "recvonly",
        Direction::Inactive => "inactive",
    }
}

#[cfg(test)]
mod conformance_tests;
#[cfg(test)]
mod oddities_tests;
#[cfg(test)]
mod srtp_tests;
#[cfg(test)]
mod tests;
