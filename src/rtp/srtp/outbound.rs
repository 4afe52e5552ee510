//! Protecting what we send (RFC 3711 §3.3, §3.4; RFC 7714 §8, §9): one SSRC under one key, packets in their order.

use super::transform::{ENCRYPTED, Place, RTCP_HEADER, RTCP_INDEX, Transform};
use super::{SrtpError, header_length};
use crate::session::{Mki, SrtpKey};

/// SRTCP's index has 31 bits.
const LAST_RTCP_INDEX: u32 = ENCRYPTED - 1;

/// The sending half of a stream. It must be made anew for another SSRC: the index would otherwise not be the peer's.
pub struct Outbound {
    transform: Transform,
    mki: Option<Mki>,
    /// Rollover counter and sequence number of the newest packet; none: nothing was sent.
    newest: Option<u64>,
    /// Of the next SRTCP packet; beyond the last one: the key is used up.
    rtcp_index: u32,
}

impl Outbound {
    /// With that key, before its first packet.
    ///
    /// # Errors
    /// `Cipher`: the suite's ciphers cannot be had.
    pub fn new(key: &SrtpKey) -> Result<Self, SrtpError> {
        Ok(Outbound { transform: Transform::new(key)?, mki: key.mki(), newest: None, rtcp_index: 0 })
    }

    /// Protects the RTP packet in `buffer[..length]` in place and gives its new length, at most
    /// [`super::MAX_OVERHEAD`] more. Sequence numbers must go on from packet to packet (a repeated packet is refused:
    /// its keystream would be used twice).
    ///
    /// # Errors
    /// `Length` where the buffer is too short, `Header`, `Replayed`, `Exhausted`. Nothing has been changed then that
    /// the next packet would miss.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let packet = buffer.get(..length).ok_or(SrtpError::Length)?;
        let header = header_length(packet)?;
        let (sequence, ssrc) = sequence_and_ssrc(packet)?;
        let index = match self.newest {
            None => u64::from(sequence),
            Some(newest) => match sequence.wrapping_sub(newest as u16) {
                0 | 0x8000.. => return Err(SrtpError::Replayed),
                step => newest + u64::from(step),
            },
        };
        if index >> 48 != 0 {
            return Err(SrtpError::Exhausted);
        }
        let tag_length = self.transform.rtp_tag();
        let (packet, rest) = buffer.split_at_mut_checked(length).ok_or(SrtpError::Length)?;
        let mut mark = [0; 4];
        let mark = written(self.mki, &mut mark);
        // HMAC's tag stands behind the MKI, GCM's is part of the ciphertext before it.
        let galois = self.transform.rtcp_tags().0 > 0;
        let (tag_at, mark_at) = if galois { (0, tag_length) } else { (mark.len(), 0) };
        rest.get_mut(mark_at..mark_at + mark.len()).ok_or(SrtpError::Length)?.copy_from_slice(mark);
        let tag = rest.get_mut(tag_at..tag_at + tag_length).ok_or(SrtpError::Length)?;
        self.transform.seal_rtp(Place { ssrc, index }, packet, header, tag)?;
        self.newest = Some(index);
        Ok(length + tag_length + mark.len())
    }

    /// The same for a compound RTCP packet.
    ///
    /// # Errors
    /// As with [`protect_rtp`](Self::protect_rtp).
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        if self.rtcp_index > LAST_RTCP_INDEX {
            return Err(SrtpError::Exhausted);
        }
        let (packet, rest) = buffer.split_at_mut_checked(length).ok_or(SrtpError::Length)?;
        let Some(&[first, _, _, _, a, b, c, d]) = packet.first_chunk::<RTCP_HEADER>() else {
            return Err(SrtpError::Length);
        };
        if first >> 6 != 2 {
            return Err(SrtpError::Header);
        }
        let place = Place { ssrc: u32::from_be_bytes([a, b, c, d]), index: u64::from(self.rtcp_index) };
        let (inner, outer) = self.transform.rtcp_tags();
        let mut mark = [0; 4];
        let mark = written(self.mki, &mut mark);
        let added = inner + RTCP_INDEX + mark.len() + outer;
        let rest = rest.get_mut(..added).ok_or(SrtpError::Length)?;
        let (inner, rest) = rest.split_at_mut(inner);
        let (word, rest) = rest.split_at_mut(RTCP_INDEX);
        let (mark_place, outer) = rest.split_at_mut(mark.len());
        word.copy_from_slice(&(self.rtcp_index | ENCRYPTED).to_be_bytes());
        mark_place.copy_from_slice(mark);
        self.transform.seal_rtcp(place, packet, inner, outer)?;
        self.rtcp_index += 1;
        Ok(length + added)
    }
}

/// The MKI's bytes; empty: there is none.
pub(super) fn written(mki: Option<Mki>, room: &mut [u8; 4]) -> &[u8] {
    let Some(Mki { value, length }) = mki else { return &[] };
    *room = value.to_be_bytes();
    room.get(4 - usize::from(length.min(4))..).unwrap_or_default()
}

pub(super) fn sequence_and_ssrc(packet: &[u8]) -> Result<(u16, u32), SrtpError> {
    match packet.first_chunk::<12>() {
        Some(&[_, _, high, low, _, _, _, _, a, b, c, d]) => {
            Ok((u16::from_be_bytes([high, low]), u32::from_be_bytes([a, b, c, d])))
        }
        None => Err(SrtpError::Length),
    }
}
