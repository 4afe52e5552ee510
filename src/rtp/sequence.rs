//! Sequence numbers (RFC 3550 appendices A.1 and A.3): wrap-around, loss, order, duplicates, restarts.
//! One tracker follows one SSRC; what is done with the packets is [`super::jitter`]'s and `media`'s.

/// A forward jump of this many or more is taken for a restart (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
/// A packet at most this far behind the newest is late, not a restart.
const MAX_MISORDER: u16 = 100;

/// What a packet's sequence number says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// In order; `missing` packets before it have not come (yet).
    Next {
        /// How many were jumped over.
        missing: u16,
    },
    /// It comes after a later one.
    Reordered,
    /// It has come before. Must not be used again.
    Duplicate,
    /// A wild number. Must not be used: a second one that follows it makes a restart.
    Wild,
    /// The sender began anew: nothing before is comparable.
    Restarted,
}

/// The counts that an RTCP reception report wants (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossReport {
    /// Of the packets expected since the last report, the part lost, in 1/256.
    pub fraction_lost: u8,
    /// Expected less received since the start; negative with duplicates. Clamped to 24 bits.
    pub cumulative_lost: i32,
    /// Number of wraps (upper 16 bits) and highest sequence number.
    pub highest: u32,
}

/// Follows the sequence numbers of one source.
#[derive(Clone, Debug)]
pub struct Sequence {
    base: u32,
    /// Highest seen, with wraps in the upper bits.
    highest: u64,
    received: u64,
    duplicates: u64,
    expected_prior: u64,
    received_prior: u64,
    /// Bit n: the packet `highest - n` has come.
    seen: u128,
    wild_next: Option<u16>,
    /// Lost in earlier runs, before restarts.
    lost_before: u64,
}

impl Sequence {
    /// Starts with the first packet of a source.
    pub fn new(first: u16) -> Self {
        Sequence {
            base: u32::from(first),
            highest: u64::from(first),
            received: 1,
            duplicates: 0,
            expected_prior: 0,
            received_prior: 0,
            seen: 1,
            wild_next: None,
            lost_before: 0,
        }
    }

    /// Takes the next packet's number.
    pub fn update(&mut self, number: u16) -> Arrival {
        let forward = number.wrapping_sub(self.highest as u16);
        let back = forward.wrapping_neg();
        if forward == 0 || back <= MAX_MISORDER {
            self.received += 1;
            self.wild_next = None;
            let bit = 1u128 << back;
            if self.seen & bit != 0 {
                self.duplicates += 1;
                return Arrival::Duplicate;
            }
            self.seen |= bit;
            // Came before the very first one: it belongs to the run after all.
            let at = self.highest.saturating_sub(u64::from(back));
            self.base = self.base.min(u32::try_from(at).unwrap_or(u32::MAX));
            Arrival::Reordered
        } else if forward < MAX_DROPOUT {
            self.received += 1;
            self.wild_next = None;
            self.highest += u64::from(forward);
            self.seen = if forward < 128 { (self.seen << forward) | 1 } else { 1 };
            Arrival::Next { missing: forward - 1 }
        } else if self.wild_next == Some(number) {
            let lost_before = self.lost();
            *self = Sequence { lost_before, ..Sequence::new(number) };
            Arrival::Restarted
        } else {
            self.wild_next = Some(number.wrapping_add(1));
            Arrival::Wild
        }
    }

    /// Packets that never came, so far; a packet may still come.
    pub fn lost(&self) -> u64 {
        self.lost_before + self.expected().saturating_sub(self.received - self.duplicates)
    }

    /// The counts since the last call of this, for a reception report.
    pub fn report(&mut self) -> LossReport {
        let expected = self.expected();
        let expected_interval = expected.saturating_sub(self.expected_prior);
        let received_interval = self.received - self.received_prior;
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost_interval = expected_interval.saturating_sub(received_interval);
        let fraction = (lost_interval << 8).checked_div(expected_interval).unwrap_or(0);
        let lost = expected as i64 - self.received as i64;
        LossReport {
            fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
            cumulative_lost: lost.clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest: self.highest as u32,
        }
    }

    fn expected(&self) -> u64 {
        self.highest.saturating_sub(u64::from(self.base)) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_gaps_and_duplicates() {
        let mut sequence = Sequence::new(10);
        assert_eq!(sequence.update(11), Arrival::Next { missing: 0 });
        assert_eq!(sequence.update(14), Arrival::Next { missing: 2 });
        assert_eq!(sequence.lost(), 2);
        assert_eq!(sequence.update(12), Arrival::Reordered);
        assert_eq!(sequence.update(12), Arrival::Duplicate);
        assert_eq!(sequence.update(14), Arrival::Duplicate);
        assert_eq!(sequence.lost(), 1);
        let report = sequence.report();
        // Expected 5, received 6 with duplicates: RFC 3550 counts that as -1 lost.
        assert_eq!((report.cumulative_lost, report.fraction_lost, report.highest), (-1, 0, 14));
    }

    #[test]
    fn a_first_packet_that_was_overtaken_is_not_lost_twice() {
        let mut sequence = Sequence::new(11);
        assert_eq!(sequence.update(10), Arrival::Reordered);
        assert_eq!(sequence.lost(), 0);
        assert_eq!(sequence.update(12), Arrival::Next { missing: 0 });
        assert_eq!(sequence.lost(), 0);
    }

    #[test]
    fn numbers_wrap_and_the_report_counts_the_wraps() {
        let mut sequence = Sequence::new(65_530);
        for step in 1..=140_000u32 {
            let number = (65_530 + step) as u16;
            assert_eq!(sequence.update(number), Arrival::Next { missing: 0 }, "{number}");
        }
        assert_eq!(sequence.lost(), 0);
        assert_eq!(sequence.report().highest, 65_530 + 140_000);
    }

    #[test]
    fn reordering_over_the_wrap() {
        let mut sequence = Sequence::new(65_534);
        assert_eq!(sequence.update(1), Arrival::Next { missing: 2 });
        assert_eq!(sequence.update(65_535), Arrival::Reordered);
        assert_eq!(sequence.update(0), Arrival::Reordered);
        assert_eq!(sequence.update(65_535), Arrival::Duplicate);
        assert_eq!(sequence.lost(), 0);
    }

    #[test]
    fn a_wild_number_is_ignored_once_and_believed_when_it_goes_on() {
        let mut sequence = Sequence::new(100);
        assert_eq!(sequence.update(30_000), Arrival::Wild);
        assert_eq!(sequence.update(101), Arrival::Next { missing: 0 });
        assert_eq!(sequence.update(30_001), Arrival::Wild, "the run was interrupted");
        assert_eq!(sequence.update(30_002), Arrival::Restarted);
        assert_eq!(sequence.update(30_003), Arrival::Next { missing: 0 });
        assert_eq!(sequence.lost(), 0);
    }

    #[test]
    fn the_fraction_is_of_the_last_interval() {
        let mut sequence = Sequence::new(0);
        for number in 1..100 {
            sequence.update(number);
        }
        assert_eq!(sequence.report().fraction_lost, 0);
        for number in (100..200).step_by(2) {
            sequence.update(number);
        }
        // 99 expected (100…198), 50 came.
        let report = sequence.report();
        assert_eq!(report.fraction_lost, (49 * 256 / 99) as u8);
        assert_eq!(report.cumulative_lost, 49);
        assert_eq!(sequence.report().fraction_lost, 0, "nothing since");
    }
}
