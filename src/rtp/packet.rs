//! One RTP packet (RFC 3550 §5.1): a check of its whole structure, then its fields; and the fixed header to write.
//! Header extensions (RFC 8285) are checked and passed over. Whether its source may speak is `media::source`'s.

/// Length of the header that [`write_header`] writes.
pub const HEADER_LENGTH: usize = 12;

const ONE_BYTE_PROFILE: u16 = 0xBEDE;
/// The low four bits are free ("appbits").
const TWO_BYTE_PROFILE: u16 = 0x100;

/// The fixed header, without CSRCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// First packet after a pause, for audio (RFC 3551 §4.1).
    pub marker: bool,
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// Counts packets, wraps.
    pub sequence: u16,
    /// First sample, in units of the clock rate, wraps.
    pub timestamp: u32,
    /// Who sends.
    pub ssrc: u32,
}

/// A packet whose structure is sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload without padding; may be empty.
    pub payload: &'a [u8],
}

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Shorter than what its own header says.
    #[error("RTP packet is truncated")]
    Truncated,
    /// The version is not 2.
    #[error("RTP version is not 2")]
    Version,
    /// Payload types 72–76 with the marker are RTCP's (RFC 5761 §4).
    #[error("an RTCP packet on the RTP port")]
    Rtcp,
    /// An extension element runs out of its extension (RFC 8285 §4).
    #[error("RTP header extension is malformed")]
    Extension,
    /// More padding than payload, or none where some is announced.
    #[error("RTP padding is malformed")]
    Padding,
}

impl<'a> Packet<'a> {
    /// Reads a packet. All of `bytes` is one packet.
    ///
    /// # Errors
    /// When a length in it does not fit what follows; nothing is guessed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let (fixed, mut rest) = bytes.split_first_chunk::<HEADER_LENGTH>().ok_or(PacketError::Truncated)?;
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if first >> 6 != 2 {
            return Err(PacketError::Version);
        }
        if (200..=204).contains(&second) {
            return Err(PacketError::Rtcp);
        }
        let csrc_bytes = usize::from(first & 0x0F) * 4;
        rest = rest.get(csrc_bytes..).ok_or(PacketError::Truncated)?;
        if first & 0x10 != 0 {
            let (head, after) = rest.split_first_chunk::<4>().ok_or(PacketError::Truncated)?;
            let length = usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
            let extension = after.get(..length).ok_or(PacketError::Truncated)?;
            check_extension(u16::from_be_bytes([head[0], head[1]]), extension)?;
            rest = after.get(length..).ok_or(PacketError::Truncated)?;
        }
        if first & 0x20 != 0 {
            let padding = usize::from(*rest.last().ok_or(PacketError::Padding)?);
            if padding == 0 {
                return Err(PacketError::Padding);
            }
            let length = rest.len().checked_sub(padding).ok_or(PacketError::Padding)?;
            rest = rest.get(..length).ok_or(PacketError::Padding)?;
        }
        Ok(Packet {
            header: Header {
                marker: second & 0x80 != 0,
                payload_type: second & 0x7F,
                sequence: u16::from_be_bytes([s0, s1]),
                timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
                ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            },
            payload: rest,
        })
    }
}

/// RFC 8285: every element lies wholly inside. Other profiles are opaque.
fn check_extension(profile: u16, mut rest: &[u8]) -> Result<(), PacketError> {
    if profile == ONE_BYTE_PROFILE {
        while let Some((&head, after)) = rest.split_first() {
            rest = match (head >> 4, head & 0x0F) {
                (0, 0) => after,
                // §4.2: identifier 15 ends the processing of what follows.
                (15, _) => return Ok(()),
                (_, length) => after.get(usize::from(length) + 1..).ok_or(PacketError::Extension)?,
            };
        }
    } else if profile >> 4 == TWO_BYTE_PROFILE {
        while let Some((&id, after)) = rest.split_first() {
            rest = if id == 0 {
                after
            } else {
                let (&length, after) = after.split_first().ok_or(PacketError::Extension)?;
                after.get(usize::from(length)..).ok_or(PacketError::Extension)?
            };
        }
    }
    Ok(())
}

/// Writes the fixed header: version 2, no padding, no extension, no CSRC.
pub fn write_header(header: &Header, out: &mut [u8; HEADER_LENGTH]) {
    out[0] = 0x80;
    out[1] = (u8::from(header.marker) << 7) | (header.payload_type & 0x7F);
    out[2..4].copy_from_slice(&header.sequence.to_be_bytes());
    out[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
    out[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn header() -> Header {
        Header { marker: true, payload_type: 101, sequence: 0xFFFE, timestamp: 0x0102_0304, ssrc: 0xA0B0_C0D0 }
    }

    #[test]
    fn the_header_is_written_as_the_rfc_draws_it_and_read_back() {
        let mut bytes = [0; HEADER_LENGTH];
        write_header(&header(), &mut bytes);
        assert_eq!(bytes, [0x80, 0xE5, 0xFF, 0xFE, 1, 2, 3, 4, 0xA0, 0xB0, 0xC0, 0xD0]);
        assert_eq!(Packet::parse(&bytes), Ok(Packet { header: header(), payload: &[] }));
        for length in 0..HEADER_LENGTH {
            assert_eq!(Packet::parse(&bytes[..length]), Err(PacketError::Truncated));
        }
    }

    #[test]
    fn an_extension_whose_element_runs_out_is_refused() {
        // This packet makes the crate rtp 0.17.2 panic: the first element claims 16 bytes of 4.
        let bytes = [0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3];
        assert_eq!(Packet::parse(&bytes), Err(PacketError::Extension));
    }

    #[test]
    fn sound_extensions_csrcs_and_padding_are_passed_over() {
        let fixed = |first: u8| [first, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1].to_vec();
        let with = |first: u8, rest: &[u8]| [&fixed(first)[..], rest].concat();
        let payload = |bytes: &[u8]| Packet::parse(bytes).map(|packet| packet.payload.to_vec());
        // One-byte elements: id 1 with 2 bytes, padding; then payload 7.
        assert_eq!(payload(&with(0x90, &[0xBE, 0xDE, 0, 1, 0x11, 9, 9, 0, 7])), Ok(vec![7]));
        // Identifier 15 stops the reading, whatever its length says.
        assert_eq!(payload(&with(0x90, &[0xBE, 0xDE, 0, 1, 0xFF, 9, 9, 0, 7])), Ok(vec![7]));
        // Two-byte elements: a zero-length one, and one that runs out.
        assert_eq!(payload(&with(0x90, &[0x10, 0x05, 0, 1, 3, 0, 0, 0, 7])), Ok(vec![7]));
        assert_eq!(payload(&with(0x90, &[0x10, 0x00, 0, 1, 3, 9, 0, 0, 7])), Err(PacketError::Extension));
        assert_eq!(payload(&with(0x90, &[0x10, 0x00, 0, 1, 0, 0, 0, 3])), Err(PacketError::Extension));
        // An unknown profile is opaque; a length beyond the packet is not.
        assert_eq!(payload(&with(0x90, &[1, 2, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 7])), Ok(vec![7]));
        assert_eq!(payload(&with(0x90, &[1, 2, 0, 2, 0, 0, 0, 0, 7])), Err(PacketError::Truncated));
        // Two CSRCs, and a CSRC count that is not there.
        assert_eq!(payload(&with(0x82, &[0, 0, 0, 2, 0, 0, 0, 3, 7])), Ok(vec![7]));
        assert_eq!(payload(&with(0x83, &[0, 0, 0, 2, 0, 0, 0, 3])), Err(PacketError::Truncated));
        // Padding: ordinary, all of it, too much, zero, none there.
        assert_eq!(payload(&with(0xA0, &[7, 0, 2])), Ok(vec![7]));
        assert_eq!(payload(&with(0xA0, &[0, 0, 3])), Ok(vec![]));
        assert_eq!(payload(&with(0xA0, &[0, 0, 4])), Err(PacketError::Padding));
        assert_eq!(payload(&with(0xA0, &[0, 0, 0])), Err(PacketError::Padding));
        assert_eq!(payload(&with(0xA0, &[])), Err(PacketError::Padding));
    }

    #[test]
    fn other_versions_and_rtcp_are_refused() {
        let mut bytes = [0; 20];
        assert_eq!(Packet::parse(&bytes), Err(PacketError::Version));
        bytes[0] = 0x80;
        bytes[1] = 200;
        assert_eq!(Packet::parse(&bytes), Err(PacketError::Rtcp));
    }

    #[test]
    fn random_bytes_never_panic_and_payload_lies_inside() {
        let mut random = Random::from_number(1);
        let mut sound = 0;
        for _ in 0..100_000 {
            let mut bytes: Vec<u8> = (0..random.below(64)).map(|_| random.u32() as u8).collect();
            if let Some(first) = bytes.first_mut() {
                *first = 0x80 | (*first & 0x3F);
            }
            if let Ok(packet) = Packet::parse(&bytes) {
                sound += 1;
                assert!(packet.payload.len() + HEADER_LENGTH <= bytes.len());
            }
        }
        assert!(sound > 5_000, "{sound}");
    }

    /// The crate rtp reads these bytes; none: it refuses them, or panics.
    fn oracle(bytes: &[u8]) -> Option<rtp::packet::Packet> {
        use webrtc_util::marshal::Unmarshal;
        let read = || rtp::packet::Packet::unmarshal(&mut bytes::Bytes::copy_from_slice(bytes)).ok();
        std::panic::catch_unwind(read).ok().flatten()
    }

    fn same(ours: &Packet<'_>, theirs: &rtp::packet::Packet) -> bool {
        let (mine, other) = (ours.header, &theirs.header);
        other.version == 2
            && mine.marker == other.marker
            && mine.payload_type == other.payload_type
            && mine.sequence == other.sequence_number
            && mine.timestamp == other.timestamp
            && mine.ssrc == other.ssrc
            && ours.payload == &theirs.payload[..]
    }

    #[test]
    fn another_implementation_reads_what_we_write() {
        let mut random = Random::from_number(3);
        for _ in 0..10_000 {
            let header = Header {
                marker: random.below(2) == 0,
                // Those that are not RTCP's with a marker.
                payload_type: random.below(72) as u8,
                sequence: random.u32() as u16,
                timestamp: random.u32(),
                ssrc: random.u32(),
            };
            let mut fixed = [0; HEADER_LENGTH];
            write_header(&header, &mut fixed);
            let bytes: Vec<u8> = fixed.into_iter().chain((0..random.below(8)).map(|_| random.u32() as u8)).collect();
            let ours = Packet::parse(&bytes).unwrap();
            assert_eq!(ours.header, header);
            let theirs = oracle(&bytes).unwrap();
            assert!(same(&ours, &theirs), "{bytes:02x?}");
            assert!(theirs.header.csrc.is_empty() && !theirs.header.extension && !theirs.header.padding);
        }
    }

    #[test]
    fn what_another_implementation_reads_too_means_the_same() {
        let mut random = Random::from_number(4);
        let (mut compared, mut stopped) = (0, 0);
        for _ in 0..100_000 {
            let mut bytes: Vec<u8> = (0..12 + random.below(40)).map(|_| random.u32() as u8).collect();
            bytes[0] = 0x80 | (bytes[0] & 0x33);
            let extension = HEADER_LENGTH + usize::from(bytes[0] & 0x0F) * 4;
            if bytes[0] & 0x10 != 0
                && let Some(head) = bytes.get_mut(extension..extension + 4)
            {
                let profiles = [[0xBE, 0xDE], [0x10, 0x00], [0x10, 0x07], [0x12, 0x34]];
                head[..2].copy_from_slice(&profiles[random.below(4) as usize]);
                head[2..].copy_from_slice(&[0, random.below(4) as u8]);
            }
            let (Ok(ours), Some(theirs)) = (Packet::parse(&bytes), oracle(&bytes)) else { continue };
            // RFC 8285 §4.2: identifier 15 ends the elements, not the extension. The other takes what is left of the
            // extension for payload.
            if theirs.header.extension_profile == ONE_BYTE_PROFILE && ours.payload.len() < theirs.payload.len() {
                stopped += 1;
                assert!(bytes[extension + 4..].iter().any(|byte| byte >> 4 == 15), "{bytes:02x?}");
                assert!(theirs.payload.ends_with(ours.payload) || theirs.header.padding);
                continue;
            }
            compared += 1;
            assert!(same(&ours, &theirs), "{bytes:02x?}: {ours:?} {theirs:?}");
        }
        assert!(compared > 20_000 && stopped > 0, "{compared} {stopped}");
    }
}
