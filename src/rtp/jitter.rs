//! Playout buffer: puts audio that comes early, late, twice or out of order back onto its clock.
//!
//! It is indexed by RTP timestamp, sample by sample, so packets of any length fit and duplicates fall on themselves.
//! Playout lags [`DELAY`] behind arrival, which is what reordering up to 100 ms needs with a frame to spare. Its
//! size is fixed; what falls outside is late (dropped, counted by the caller) or a jump (the buffer starts anew).
//! What to put into a hole is `media::conceal`'s work; sequence numbers are [`super::sequence`]'s.

/// Playout delay in samples of 8 kHz: 120 ms.
pub const DELAY: u32 = 960;
/// Samples that the buffer spans: 512 ms. A power of two.
pub const WINDOW: u32 = 4096;
/// Consecutive late packets after which the sender's delay is taken to have changed for good.
const LATE_RUN: u32 = 5;
/// Packets over which the lead is watched before playout is moved by a frame (2 s of 20 ms packets).
const DRIFT_WINDOW: u32 = 100;
/// Deeper than this at the worst packet of a window: the sender's clock is fast, or the delay has shrunk.
const DEEP: i32 = DELAY as i32 + 320;
/// Shallower than this at the best packet of a window: the sender's clock is slow.
const SHALLOW: i32 = DELAY as i32 / 2;

/// What became of a packet's audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It will be played, or the part that is not too late.
    Kept,
    /// Its time has passed.
    Late,
    /// Its timestamp does not follow what came before; the buffer has started anew with it.
    Jumped,
}

/// A run of samples that [`Playout::pull`] hands out.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// They have come.
    Present(&'a [i16]),
    /// This many have not.
    Missing(usize),
}

/// The buffer. About 8.7 kB.
#[derive(Clone, Debug)]
pub struct Playout {
    samples: Box<[i16; WINDOW as usize]>,
    /// One bit a sample: has it come?
    present: [u64; WINDOW as usize / 64],
    begun: bool,
    /// Timestamp of the next sample to play.
    next: u32,
    /// Timestamp of the first sample since the buffer began; before it nothing is missed.
    first: u32,
    /// Timestamp just past the newest sample.
    end: u32,
    late_run: u32,
    watched: u32,
    least_lead: i32,
    most_lead: i32,
    /// Play one frame less (negative) or one more (positive) at the next pull.
    correction: i8,
}

impl Default for Playout {
    fn default() -> Self {
        Playout {
            samples: Box::new([0; WINDOW as usize]),
            present: [0; WINDOW as usize / 64],
            begun: false,
            next: 0,
            first: 0,
            end: 0,
            late_run: 0,
            watched: 0,
            least_lead: i32::MAX,
            most_lead: i32::MIN,
            correction: 0,
        }
    }
}

impl Playout {
    /// Takes the audio of one packet that starts at `timestamp`. More than 2,048 samples: the rest is cut off.
    pub fn insert(&mut self, timestamp: u32, samples: &[i16]) -> Insertion {
        let length = samples.len().min(WINDOW as usize / 2);
        let mut verdict = Insertion::Kept;
        if !self.begun {
            self.begin(timestamp);
        }
        let mut lead = timestamp.wrapping_sub(self.next) as i32;
        let ahead = i64::from(lead) + length as i64;
        if ahead > i64::from(WINDOW) || lead < -(WINDOW as i32) {
            self.begin(timestamp);
            verdict = Insertion::Jumped;
            lead = DELAY as i32;
        } else if ahead <= 0 {
            self.late_run += 1;
            if self.late_run < LATE_RUN {
                return Insertion::Late;
            }
            self.begin(timestamp);
            verdict = Insertion::Jumped;
            lead = DELAY as i32;
        }
        self.late_run = 0;
        self.store(timestamp, usize::try_from(-lead).unwrap_or(0), length, Some(samples));
        self.watch(lead);
        verdict
    }

    /// Takes silence for `length` samples where no audio is meant to be: a telephone event was sent instead.
    /// Samples that have come are kept; what does not lie in the buffer's present span is ignored.
    pub fn insert_silence(&mut self, timestamp: u32, length: usize) {
        let lead = i64::from(timestamp.wrapping_sub(self.next) as i32);
        if self.begun && lead >= 0 && lead + length as i64 <= i64::from(WINDOW) {
            self.store(timestamp, 0, length, None);
        }
    }

    /// Forgets everything; the next packet begins anew.
    pub fn reset(&mut self) {
        self.present = [0; WINDOW as usize / 64];
        self.begun = false;
        self.late_run = 0;
        self.forget_drift();
    }

    /// Has a packet come since the last reset?
    pub fn begun(&self) -> bool {
        self.begun
    }

    /// Hands out the next `count` samples (at most 160) in order, as runs. Returns how many of them are holes with
    /// later audio behind them: lost, not merely not sent.
    pub fn pull(&mut self, count: usize, mut take: impl FnMut(Piece<'_>)) -> usize {
        let count = count.min(160);
        if !self.begun {
            take(Piece::Missing(count));
            return 0;
        }
        match std::mem::take(&mut self.correction) {
            // The sender is slow: wait a frame.
            1.. => {
                take(Piece::Missing(count));
                return 0;
            }
            // The sender is fast: pass over a frame.
            ..=-1 => self.advance(count),
            0 => {}
        }
        let mut lost = 0;
        let mut at = self.next;
        let mut left = count;
        while left > 0 {
            let index = (at % WINDOW) as usize;
            let (here, run) = self.run(index, left);
            if here {
                take(Piece::Present(self.samples.get(index..index + run).unwrap_or(&[])));
            } else {
                if at.wrapping_sub(self.first) as i32 >= 0 {
                    lost += (self.end.wrapping_sub(at) as i32).clamp(0, run as i32) as usize;
                }
                take(Piece::Missing(run));
            }
            at = at.wrapping_add(run as u32);
            left -= run;
        }
        self.advance(count);
        lost
    }

    /// Writes what lies from `passed` to `length` behind `timestamp`; that span is inside the window.
    fn store(&mut self, timestamp: u32, passed: usize, length: usize, samples: Option<&[i16]>) {
        let mut at = timestamp.wrapping_add(passed as u32);
        let mut done = passed;
        while done < length {
            let index = (at % WINDOW) as usize;
            let run = (length - done).min(WINDOW as usize - index);
            match samples {
                Some(samples) => {
                    if let (Some(to), Some(from)) =
                        (self.samples.get_mut(index..index + run), samples.get(done..done + run))
                    {
                        to.copy_from_slice(from);
                    }
                }
                None => {
                    let mut position = index;
                    while position < index + run {
                        let (here, same) = self.run(position, index + run - position);
                        if !here && let Some(hole) = self.samples.get_mut(position..position + same) {
                            hole.fill(0);
                        }
                        position += same;
                    }
                }
            }
            self.mark(index, run, true);
            at = at.wrapping_add(run as u32);
            done += run;
        }
        if at.wrapping_sub(self.end) as i32 > 0 {
            self.end = at;
        }
    }

    fn begin(&mut self, timestamp: u32) {
        self.reset();
        self.begun = true;
        self.next = timestamp.wrapping_sub(DELAY);
        self.first = timestamp;
        self.end = timestamp;
    }

    fn forget_drift(&mut self) {
        self.watched = 0;
        self.least_lead = i32::MAX;
        self.most_lead = i32::MIN;
        self.correction = 0;
    }

    /// Notices a clock that runs faster or slower than ours.
    fn watch(&mut self, lead: i32) {
        self.least_lead = self.least_lead.min(lead);
        self.most_lead = self.most_lead.max(lead);
        self.watched += 1;
        if self.watched >= DRIFT_WINDOW {
            let correction = if self.least_lead > DEEP {
                -1
            } else if self.most_lead < SHALLOW {
                1
            } else {
                0
            };
            self.forget_drift();
            self.correction = correction;
        }
    }

    fn advance(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let index = (self.next % WINDOW) as usize;
            let run = left.min(WINDOW as usize - index);
            self.mark(index, run, false);
            self.next = self.next.wrapping_add(run as u32);
            left -= run;
        }
        // Keep both comparable over long silences and long calls.
        if self.next.wrapping_sub(self.first) as i32 > WINDOW as i32 {
            self.first = self.next;
        }
        if self.end.wrapping_sub(self.next) as i32 <= -(WINDOW as i32) {
            self.end = self.next;
        }
    }

    /// Whether the sample at `index` is here, and how many from there on are alike: at most `limit`, inside the ring.
    fn run(&self, index: usize, limit: usize) -> (bool, usize) {
        let limit = limit.min(WINDOW as usize - index);
        let word_at = |index: usize| self.present.get(index / 64).copied().unwrap_or(0);
        let here = word_at(index) >> (index % 64) & 1 == 1;
        let mut length = 0;
        while length < limit {
            let position = index + length;
            let bits = word_at(position) >> (position % 64);
            let alike = if here { bits.trailing_ones() } else { bits.trailing_zeros() } as usize;
            let inside = 64 - position % 64;
            length += alike.min(inside);
            if alike < inside {
                break;
            }
        }
        (here, length.clamp(1, limit.max(1)))
    }

    /// Sets or clears `count` bits from `index` on, inside the ring.
    fn mark(&mut self, index: usize, count: usize, here: bool) {
        let mut index = index;
        let mut left = count;
        while left > 0 {
            let run = left.min(64 - index % 64);
            let mask = (u64::MAX >> (64 - run)) << (index % 64);
            if let Some(word) = self.present.get_mut(index / 64) {
                *word = if here { *word | mask } else { *word & !mask };
            }
            index += run;
            left -= run;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const HOLE: i16 = i16::MIN;

    fn pull(playout: &mut Playout) -> (Vec<i16>, usize) {
        let mut out = Vec::new();
        let lost = playout.pull(160, |piece| match piece {
            Piece::Present(samples) => out.extend_from_slice(samples),
            Piece::Missing(count) => out.extend(std::iter::repeat_n(HOLE, count)),
        });
        assert_eq!(out.len(), 160);
        (out, lost)
    }

    /// Audio whose sample n is n, so that misplacement shows.
    fn audio(packet: u32, length: u32) -> Vec<i16> {
        (packet * length..(packet + 1) * length).map(|n| (n % 30_000) as i16).collect()
    }

    /// Runs `arrivals` = (tick, packet number) of 20 ms packets; gives what is played from the first packet's time on.
    fn play(start: u32, arrivals: &[(u32, u32)], ticks: u32) -> Vec<i16> {
        let mut playout = Playout::default();
        let mut heard = Vec::new();
        for tick in 0..ticks {
            for &(_, packet) in arrivals.iter().filter(|(at, _)| *at == tick) {
                playout.insert(start.wrapping_add(packet * 160), &audio(packet, 160));
            }
            heard.extend(pull(&mut playout).0);
        }
        heard.split_off(DELAY as usize)
    }

    #[test]
    fn packets_up_to_100_ms_out_of_order_are_played_in_order_without_a_hole() {
        for start in [0, 5_000, u32::MAX - 1_000] {
            let mut random = Random::from_number(u64::from(start) + 3);
            for _ in 0..50 {
                // Each packet is delayed by 0–100 ms; the first one by none, and some come twice.
                let mut arrivals = Vec::new();
                for packet in 0..200 {
                    let delay = if packet == 0 { 0 } else { random.below(6) as u32 };
                    arrivals.push((packet + delay, packet));
                    if random.below(4) == 0 {
                        arrivals.push((packet + delay + random.below(5) as u32, packet));
                    }
                }
                let heard = play(start, &arrivals, 200 + 6);
                let expected: Vec<i16> = (0..200).flat_map(|packet| audio(packet, 160)).collect();
                assert_eq!(heard, expected);
            }
        }
    }

    #[test]
    fn a_lost_packet_is_one_hole_of_its_length_and_counted() {
        let mut playout = Playout::default();
        let mut lost = 0;
        let mut heard = Vec::new();
        for tick in 0..40 {
            if tick != 7 && tick < 30 {
                playout.insert(tick * 160, &audio(tick, 160));
            }
            let (frame, missing) = pull(&mut playout);
            heard.extend(frame);
            lost += missing;
        }
        assert_eq!(lost, 160, "the end of the stream is no loss");
        let heard = &heard[DELAY as usize..];
        assert!(heard[7 * 160..8 * 160].iter().all(|&s| s == HOLE));
        assert_eq!(heard[8 * 160], 8 * 160);
        assert_eq!(heard.iter().filter(|&&s| s == HOLE).count(), 160 + (40 - 6 - 30) * 160);
    }

    #[test]
    fn packets_of_other_lengths_fit() {
        for length in [80, 240, 320, 480, 53] {
            let mut playout = Playout::default();
            let mut heard = Vec::new();
            let mut sent = 0;
            for tick in 0..60u32 {
                while sent * length <= tick * 160 {
                    playout.insert((sent * length).wrapping_sub(700), &audio(sent, length));
                    sent += 1;
                }
                heard.extend(pull(&mut playout).0);
            }
            let heard = &heard[DELAY as usize..];
            assert!(heard.iter().enumerate().all(|(n, &s)| s == n as i16), "length {length}");
        }
    }

    #[test]
    fn what_is_too_late_is_dropped_and_a_lasting_delay_is_followed() {
        let mut playout = Playout::default();
        playout.insert(0, &audio(0, 160));
        for _ in 0..30 {
            pull(&mut playout);
        }
        // The network became 500 ms slower: four are late, the fifth starts anew.
        let verdicts: Vec<Insertion> = (1..8).map(|packet| playout.insert(packet * 160, &audio(packet, 160))).collect();
        assert_eq!(
            verdicts[..5],
            [Insertion::Late, Insertion::Late, Insertion::Late, Insertion::Late, Insertion::Jumped]
        );
        assert_eq!(verdicts[5..], [Insertion::Kept, Insertion::Kept]);
    }

    #[test]
    fn a_timestamp_jump_starts_anew_with_the_full_delay() {
        let mut playout = Playout::default();
        for tick in 0..20 {
            playout.insert(tick * 160, &audio(tick, 160));
            pull(&mut playout);
        }
        assert_eq!(playout.insert(3_000_000_000, &audio(0, 160)), Insertion::Jumped);
        for _ in 0..6 {
            assert!(pull(&mut playout).0.iter().all(|&s| s == HOLE));
        }
        assert_eq!(pull(&mut playout).0, audio(0, 160));
    }

    #[test]
    fn a_pause_on_the_clock_keeps_the_clock() {
        let mut playout = Playout::default();
        let mut heard = Vec::new();
        for tick in 0..3_000u32 {
            // The sender suppresses silence for a second, then for most of a minute.
            if tick < 50 || (100..200).contains(&tick) || tick >= 2_900 {
                assert_eq!(playout.insert(tick * 160, &audio(tick, 160)), Insertion::Kept, "{tick}");
            }
            let (frame, lost) = pull(&mut playout);
            assert!(lost == 0 || (100..110).contains(&tick) || tick >= 2_900, "{tick}");
            heard.push(frame);
        }
        assert_eq!(heard[2_950], audio(2_944, 160));
    }

    #[test]
    fn drifting_clocks_are_followed_both_ways_without_a_restart() {
        // 1 % fast and slow: far worse than any telephone.
        for percent in [-1i64, 1] {
            let mut playout = Playout::default();
            let mut sent = 0;
            let mut holes = 0;
            for tick in 0..6_000i64 {
                while i64::from(sent) * (100 - percent) <= tick * 100 {
                    assert_eq!(playout.insert(sent * 160, &audio(sent, 160)), Insertion::Kept);
                    sent += 1;
                }
                if tick > 10 && pull(&mut playout).0.contains(&HOLE) {
                    holes += 1;
                } else if tick <= 10 {
                    pull(&mut playout);
                }
            }
            assert!(holes < 100, "{percent} %: {holes} frames with holes");
        }
    }

    #[test]
    fn silence_fills_holes_only() {
        let mut playout = Playout::default();
        playout.insert(0, &audio(1, 160));
        playout.insert_silence(80, 240);
        for _ in 0..6 {
            pull(&mut playout);
        }
        assert_eq!(pull(&mut playout).0, audio(1, 160));
        assert_eq!(pull(&mut playout).0, vec![0; 160]);
    }

    #[test]
    fn any_input_stays_inside() {
        let mut random = Random::from_number(9);
        let mut playout = Playout::default();
        let samples = [1; 5_000];
        for _ in 0..100_000 {
            let timestamp = match random.below(4) {
                0 => random.u32(),
                _ => playout.next.wrapping_add(random.below(6_000) as u32).wrapping_sub(1_000),
            };
            let length = random.below(5_000) as usize;
            if random.below(4) == 0 {
                playout.insert_silence(timestamp, length);
            } else {
                playout.insert(timestamp, &samples[..length]);
            }
            if random.below(2) == 0 {
                pull(&mut playout);
            }
        }
    }
}
