//! The four bytes of a telephone event (RFC 4733 §2.3). What a series of them means is the receiver's business.

use serde::{Deserialize, Serialize};

/// Why bytes are no telephone-event payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Fewer than four bytes.
    #[error("telephone-event payload of {0} bytes; at least 4 are needed")]
    TooShort(usize),
}

/// One telephone event as a packet tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPayload {
    /// Event code; 0–15 are the DTMF digits (RFC 4733 §3.2).
    pub event: u8,
    /// The E bit: the event is over and `duration` is final.
    pub end: bool,
    /// Power in −dBm0, 0–63.
    pub volume: u8,
    /// How long the event (or its segment, RFC 4733 §2.5.1.3) has lasted, in RTP timestamp units.
    pub duration: u16,
}

impl EventPayload {
    /// Reads the first event of a payload; the reserved bit and anything after four bytes are ignored.
    pub fn parse(payload: &[u8]) -> Result<Self, PayloadError> {
        let Some([event, flags, high, low]) = payload.first_chunk().copied() else {
            return Err(PayloadError::TooShort(payload.len()));
        };
        Ok(EventPayload {
            event,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration: u16::from_be_bytes([high, low]),
        })
    }

    /// The bytes on the wire; `volume` above 63 is taken as 63.
    pub fn to_bytes(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, u8::from(self.end) << 7 | self.volume.min(63), high, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_back() {
        let payload = EventPayload { event: 11, end: true, volume: 10, duration: 1600 };
        assert_eq!(payload.to_bytes(), [11, 0x8a, 0x06, 0x40]);
        assert_eq!(EventPayload::parse(&payload.to_bytes()), Ok(payload));
        assert_eq!(EventPayload::parse(&[5, 0x40 | 3, 0, 160, 99]).map(|p| (p.end, p.volume)), Ok((false, 3)));
        for length in 0..4 {
            assert_eq!(EventPayload::parse(&[0; 4][..length]), Err(PayloadError::TooShort(length)));
        }
    }
}
