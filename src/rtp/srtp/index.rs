//! Which packet of a stream a sequence number means (RFC 3711 §3.3.1, Appendix A), and whether it came before (§3.3.2).
//! Guessing changes nothing; only [`Received::accept`], after authentication, does.

use super::SrtpError;

/// Packets behind the newest one whose arrival is remembered; RFC 3711 wants 64 at least.
pub(super) const WINDOW: u64 = 128;
/// The greatest index of SRTP: 32 bits of rollover counter, 16 of sequence number.
const LAST_INDEX: u64 = (1 << 48) - 1;

/// What has been received of one SSRC: the highest index, and which of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    highest: u64,
    /// Bit n: the packet n before the highest one came.
    seen: u128,
}

impl Received {
    /// From its first packet on.
    pub fn new(index: u64) -> Self {
        Received { highest: index, seen: 1 }
    }

    /// The rollover counter.
    pub fn rollovers(&self) -> u32 {
        (self.highest >> 16) as u32
    }

    /// The index nearest to the highest one that this sequence number can mean; none: it would be before the first or
    /// after the last packet of the key.
    pub fn index_of(&self, sequence: u16) -> Option<u64> {
        // As a signed distance: half of the numbers are before, half behind.
        let step = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        self.highest.checked_add_signed(step).filter(|index| *index <= LAST_INDEX)
    }

    /// Refuses what came before, and what is too old to tell.
    pub fn check(&self, index: u64) -> Result<(), SrtpError> {
        match self.highest.checked_sub(index) {
            None => Ok(()),
            Some(age) if age >= WINDOW => Err(SrtpError::Old),
            Some(age) if self.seen >> age & 1 == 1 => Err(SrtpError::Replayed),
            Some(_) => Ok(()),
        }
    }

    /// It is authentic.
    pub fn accept(&mut self, index: u64) {
        match self.highest.checked_sub(index) {
            Some(age) if age < WINDOW => self.seen |= 1 << age,
            Some(_) => {}
            None => {
                let step = index - self.highest;
                self.seen = if step < WINDOW { self.seen << step | 1 } else { 1 };
                self.highest = index;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_number_means_the_nearest_packet() {
        for (highest, sequence, index) in [
            (5, 6, Some(6)),
            (5, 65_530, None),
            (65_530, 3, Some(65_539)),
            (65_539, 65_530, Some(65_530)),
            (0x7FFF, 0, Some(0)),
            (0x18000, 0x8001, Some(0x18001)),
            (0x18000, 0x0001, Some(0x10001)),
            (0x18001, 0, Some(0x20000)),
            (LAST_INDEX, 0, None),
            (LAST_INDEX - 1, 0xFFFF, Some(LAST_INDEX)),
        ] {
            assert_eq!(Received::new(highest).index_of(sequence), index, "{highest:#x} {sequence:#x}");
        }
    }

    #[test]
    fn each_packet_counts_once_and_old_ones_not_at_all() {
        let mut received = Received::new(1_000);
        assert_eq!(received.check(1_000), Err(SrtpError::Replayed));
        for index in [1_003, 1_001, 1_002, 1_130, 1_100, 70_000, 69_999] {
            assert_eq!(received.check(index), Ok(()), "{index}");
            received.accept(index);
            assert_eq!(received.check(index), Err(SrtpError::Replayed), "{index}");
        }
        assert_eq!(received.rollovers(), 1);
        assert_eq!(received.check(70_000 - 127), Ok(()));
        assert_eq!(received.check(70_000 - 128), Err(SrtpError::Old));
        let mut near = Received::new(10);
        near.accept(10 + WINDOW - 1);
        assert_eq!(near.check(10), Err(SrtpError::Replayed));
        assert_eq!(near.check(11), Ok(()));
    }
}
