//! SRTP and SRTCP (RFC 3711; AES-GCM by RFC 7714): packets protected, packets checked and opened, replays refused.
//! Where keys come from is signalling's (SDES, `sip::sdp::crypto`); which source is listened to is `media::source`'s.
//!
//! - [`Outbound`]: what we send, one SSRC, one key.
//! - [`Inbound`]: what the peer sends: up to [`MAX_SOURCES`] SSRCs under one key.
//!
//! # Choices
//! - Ciphers, HMAC and constant-time comparison are those of the crate rtc-srtp (its `crypto`: ring for GCM, RustCrypto
//!   for AES-CM and SHA-1). Its own `Context` is not used: it allocates a buffer a packet, keeps a state for each SSRC
//!   that anybody names before a packet is authenticated and without a bound, checks replays on the 16 bits of the
//!   sequence number instead of the 48 of the index, and knows no MKI. It is the oracle of the tests.
//! - A packet changes nothing before it is authenticated.
//! - The first packet of an SSRC need not have rollover counter 0: a sender may wrap while its first packets are lost,
//!   or go on with the counter it had under an earlier key (RFC 3711 §3.3.1 leaves that to key management, and peers
//!   differ). So a new source's first packet is tried with those counters, and what authenticates was right.
//! - Every direction has the key derivation rate 0, authentication always, and encryption always: other session
//!   parameters are refused where they are offered.

mod inbound;
mod index;
mod outbound;
#[cfg(test)]
mod tests;
mod transform;

pub use inbound::{Inbound, MAX_SOURCES};
pub use outbound::Outbound;

/// The most that protection adds to a packet: SRTCP's index, an MKI, a tag.
pub const MAX_OVERHEAD: usize = 4 + 4 + 16;

/// The longest packet that is opened; longer ones are refused.
pub const MAX_PACKET: usize = 2_048;

/// Why a packet was not protected or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SrtpError {
    /// Shorter than header, mark and tag are together, or longer than [`MAX_PACKET`].
    #[error("the packet is too short or too long for SRTP")]
    Length,
    /// Not RTP or RTCP at all.
    #[error("the packet's header is not that of SRTP")]
    Header,
    /// It carries another MKI than the key's.
    #[error("the packet names another master key")]
    MasterKey,
    /// Tampered with, or of another key.
    #[error("authentication failed")]
    Authentication,
    /// SRTCP whose E bit says that it is not encrypted.
    #[error("the packet is not encrypted, though that was agreed")]
    NotEncrypted,
    /// It came before.
    #[error("a replay")]
    Replayed,
    /// It is older than the replay window.
    #[error("too old to tell whether it is a replay")]
    Old,
    /// 2^48 RTP or 2^31 RTCP packets have been sent with this key.
    #[error("the key is used up")]
    Exhausted,
    /// A cipher could not be set up.
    #[error("the cipher cannot be set up")]
    Cipher,
}

/// Length of the RTP header, which stays readable, with its CSRCs and its extension (RFC 3711 §3.1).
fn header_length(packet: &[u8]) -> Result<usize, SrtpError> {
    let first = *packet.first().ok_or(SrtpError::Length)?;
    if first >> 6 != 2 {
        return Err(SrtpError::Header);
    }
    let fixed = 12 + 4 * usize::from(first & 0x0F);
    let length = if first & 0x10 == 0 {
        fixed
    } else {
        match packet.get(fixed..).and_then(|rest| rest.first_chunk::<4>()) {
            Some(&[_, _, high, low]) => fixed + 4 + 4 * usize::from(u16::from_be_bytes([high, low])),
            None => return Err(SrtpError::Length),
        }
    };
    if length <= packet.len() { Ok(length) } else { Err(SrtpError::Length) }
}
