//! How long packets should wait before they are played: measured, not set (the idea is that of WebRTC's NetEQ).
//!
//! A packet's *transit* is its arrival less its timestamp, on an arbitrary origin. The least transit of the last seconds
//! is the *base*: the path without queues, followed as clocks drift and routes change. What a packet's transit lies above
//! the base is its *lateness*. A histogram of latenesses that forgets gives the *target*: the delay that all but a few
//! packets keep. One late packet out of the newest counts more than one in many old ones, so the target grows within a
//! few packets and shrinks over seconds. The waiting itself is `media::hearing`'s.

use std::time::Duration;

use crate::time::Time;

/// Width of a bin of the histogram, µs.
const BIN: i64 = 5_000;
/// Bins: up to 640 ms; what is later counts in the last.
const BINS: usize = 128;
/// What one per cent of late packets is worth in delay, ms. By the E-model (ITU-T G.107, G.711 with concealment) it would
/// be 150; callers who press keys and wait for answers mind delay somewhat more.
const PRICE: f32 = 100.0;
/// A packet weighs this much more than the one before it: 500 packets (10 s) make a factor of e.
const GROWTH: f32 = 1.002;
/// Weight at which all are scaled down again, so that it never overflows.
const HEAVY: f32 = 1.0e6;
/// Packets between two looks at the histogram, where nothing presses.
const INTERVAL: u32 = 10;
/// Packets until the target is believed to be less than the start value.
const SETTLED: u32 = 25;
/// The base is the least transit in so many spans…
const SPANS: usize = 8;
/// …of this length, µs.
const SPAN: i64 = 1_000_000;
/// A transit this far off the base, µs, is no delay but another clock.
const JUMP: i64 = 1_000_000;

/// Bounds of the target delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelayBounds {
    /// Never less than this.
    pub least: Duration,
    /// Where nothing is known yet.
    pub start: Duration,
    /// Never more than this; at most 600 ms have a meaning.
    pub most: Duration,
}

impl Default for DelayBounds {
    /// 20 ms to 400 ms, 40 ms at the start.
    fn default() -> Self {
        let ms = Duration::from_millis;
        DelayBounds { least: ms(20), start: ms(40), most: ms(400) }
    }
}

/// What a packet's arrival says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It came this much later than the fastest, µs.
    Late(i64),
    /// It is a second and more off: its clock is another one, and so all is forgotten.
    Jumped,
}

/// Measures one source. About 650 bytes.
#[derive(Clone, Debug)]
pub struct Delay {
    bounds: DelayBounds,
    clock_rate: i64,
    /// Least transit of each of the last spans, the newest last; `i64::MAX` where none.
    least: [i64; SPANS],
    /// When the newest span began, µs.
    span_began: i64,
    base: Option<i64>,
    bins: [f32; BINS],
    total: f32,
    weight: f32,
    /// Packets so far, and since the histogram was looked at.
    seen: u32,
    unread: u32,
    /// µs.
    target: i64,
    /// The part of the base's rise that was less than a bin.
    risen: i64,
}

impl Delay {
    /// Nothing is known. `clock_rate` is that of the timestamps, Hz, and not 0.
    pub fn new(bounds: DelayBounds, clock_rate: u32) -> Self {
        Delay {
            bounds,
            clock_rate: i64::from(clock_rate.max(1)),
            least: [i64::MAX; SPANS],
            span_began: 0,
            base: None,
            bins: [0.0; BINS],
            total: 0.0,
            weight: 1.0,
            seen: 0,
            unread: 0,
            target: micros(bounds.start),
            risen: 0,
        }
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        *self = Delay::new(self.bounds, self.clock_rate as u32);
    }

    /// A packet came. `timestamp` is unwrapped.
    pub fn observe(&mut self, timestamp: i64, now: Time) -> Observation {
        let arrival = now.as_micros() as i64;
        let transit = arrival - self.micros(timestamp);
        let Some(base) = self.base else {
            self.begin(transit, arrival);
            self.count(0);
            return Observation::Late(0);
        };
        if (transit - base).abs() > JUMP {
            self.reset();
            self.begin(transit, arrival);
            self.count(0);
            return Observation::Jumped;
        }
        while arrival - self.span_began >= SPAN {
            self.next_span(arrival);
        }
        if let Some(newest) = self.least.last_mut() {
            *newest = transit.min(*newest);
        }
        if transit < base {
            self.rebase(transit);
        }
        let late = transit - self.base.unwrap_or(transit);
        self.count(late);
        Observation::Late(late)
    }

    /// How old a packet with this timestamp would be now if it had come by the fastest way: the delay of whoever plays
    /// it now, µs. None: nothing has come.
    pub fn age(&self, timestamp: i64, now: Time) -> Option<i64> {
        Some(now.as_micros() as i64 - self.micros(timestamp) - self.base?)
    }

    /// How long packets should wait, µs.
    pub fn target(&self) -> i64 {
        self.target
    }

    /// Clock units to µs.
    pub fn micros(&self, units: i64) -> i64 {
        // 8, 16 and 48 kHz come out exactly; others are off by less than a µs.
        units.wrapping_mul(1_000_000).wrapping_div(self.clock_rate)
    }

    /// µs to clock units.
    pub fn units(&self, micros: i64) -> i64 {
        micros.wrapping_mul(self.clock_rate).wrapping_div(1_000_000)
    }

    fn begin(&mut self, transit: i64, arrival: i64) {
        self.base = Some(transit);
        self.span_began = arrival;
        if let Some(newest) = self.least.last_mut() {
            *newest = transit;
        }
    }

    /// A span is over: the oldest is forgotten, and the base may rise.
    fn next_span(&mut self, arrival: i64) {
        // After a long pause the past says nothing more than one round of spans does.
        self.span_began = (self.span_began + SPAN).max(arrival - SPANS as i64 * SPAN);
        let known = self.least.iter().min().copied().unwrap_or(i64::MAX);
        self.least.rotate_left(1);
        if let Some(newest) = self.least.last_mut() {
            *newest = i64::MAX;
        }
        let least = self.least.iter().min().copied().unwrap_or(i64::MAX);
        if least == i64::MAX {
            // Nothing came for a whole round: what was known stays.
            if let Some(newest) = self.least.last_mut() {
                *newest = known;
            }
        } else if self.base.is_some_and(|base| least > base) {
            self.rebase(least);
        }
    }

    /// The base moves, and with it what the latenesses so far are measured from. Where it falls by much, the path has
    /// become another one, and what was late on the old one says nothing.
    fn rebase(&mut self, base: i64) {
        let moved = base - self.base.unwrap_or(base);
        self.base = Some(base);
        if moved < -4 * BIN {
            return;
        }
        self.risen += moved;
        let bins = self.risen.div_euclid(BIN);
        if bins == 0 {
            return;
        }
        self.risen -= bins * BIN;
        let mut shifted = [0.0; BINS];
        for (at, weight) in self.bins.iter().enumerate() {
            let to = (at as i64 - bins).clamp(0, BINS as i64 - 1);
            if let Some(bin) = shifted.get_mut(to as usize) {
                *bin += weight;
            }
        }
        self.bins = shifted;
        self.read();
    }

    fn count(&mut self, late: i64) {
        self.weight *= GROWTH;
        if self.weight > HEAVY {
            self.bins.iter_mut().for_each(|bin| *bin /= HEAVY);
            self.total /= HEAVY;
            self.weight /= HEAVY;
        }
        let bin = (late / BIN).clamp(0, BINS as i64 - 1) as usize;
        if let Some(bin) = self.bins.get_mut(bin) {
            *bin += self.weight;
        }
        self.total += self.weight;
        self.seen = self.seen.saturating_add(1);
        self.unread += 1;
        if self.unread >= INTERVAL || late > self.target {
            self.read();
        }
    }

    /// Reads the target off the histogram: where waiting longer would cost more than the packets it saves.
    fn read(&mut self) {
        self.unread = 0;
        let price = PRICE * 100.0 / self.total.max(1.0e-6);
        let mut later = 0.0;
        let mut best = (f32::INFINITY, 0);
        for (at, weight) in self.bins.iter().enumerate().rev() {
            // A delay of the bin's upper end is late for those in later bins.
            let cost = (at as i64 + 1) as f32 * (BIN / 1_000) as f32 + later * price;
            if cost < best.0 {
                best = (cost, at);
            }
            later += weight;
        }
        let mut target = (best.1 as i64 + 1) * BIN;
        if self.seen < SETTLED {
            target = target.max(micros(self.bounds.start));
        }
        // `most` wins where the two are at odds.
        self.target = target.max(micros(self.bounds.least)).min(micros(self.bounds.most));
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// A sender of 20 ms packets whose clock is off by `ppm`, and packets that `lateness(n)` µs hold up.
    fn run(delay: &mut Delay, from: i64, packets: i64, ppm: i64, mut lateness: impl FnMut(i64) -> i64) -> Vec<i64> {
        (from..from + packets)
            .map(|n| {
                let sent = n * 20_000 + n * 20 * ppm / 1_000;
                let observed = delay.observe(n * 160, Time::from_micros((5_000_000 + sent + lateness(n)) as u64));
                assert!(matches!(observed, Observation::Late(_)), "{observed:?} at {n}");
                delay.target()
            })
            .collect()
    }

    fn new() -> Delay {
        Delay::new(DelayBounds::default(), 8_000)
    }

    #[test]
    fn a_clean_path_settles_at_the_least() {
        let mut delay = new();
        assert_eq!(delay.target(), 40_000);
        let targets = run(&mut delay, 0, 100, 0, |_| 0);
        assert_eq!((targets[10], targets[99]), (40_000, 20_000));
        let now = Time::from_micros(5_000_000 + 99 * 20_000 + 30_000);
        assert_eq!(delay.age(99 * 160, now), Some(30_000));
    }

    #[test]
    fn the_target_grows_within_packets_and_shrinks_over_seconds() {
        let mut delay = new();
        run(&mut delay, 0, 500, 0, |_| 0);
        let mut random = Random::from_number(1);
        let grown = run(&mut delay, 500, 500, 0, |_| random.below(100_000) as i64);
        assert!(grown[80] >= 80_000, "{}", grown[80]);
        assert!((90_000..=105_000).contains(&grown[499]), "{}", grown[499]);
        let shrunk = run(&mut delay, 1_000, 3_000, 0, |_| 0);
        assert!(shrunk[100] >= 80_000, "{}", shrunk[100]);
        assert_eq!(shrunk[2_999], 20_000);
    }

    #[test]
    fn one_late_packet_in_fifty_is_left_to_concealment() {
        let mut delay = new();
        let targets = run(&mut delay, 0, 2_000, 0, |n| if n % 50 == 49 { 300_000 } else { 0 });
        assert_eq!(targets[1_999], 20_000);
    }

    #[test]
    fn drift_moves_the_base_and_not_the_target() {
        for ppm in [-200, 200] {
            let mut delay = new();
            let packets = 180_000;
            run(&mut delay, 0, packets, ppm, |_| 0);
            let now = Time::from_micros((5_000_000 + packets * 20_000 + packets * 20 * ppm / 1_000) as u64);
            let age = delay.age(packets * 160, now).unwrap();
            assert!((-100..=2_000).contains(&age), "{ppm} ppm: {age} µs");
            assert_eq!(delay.target(), 20_000);
        }
    }

    #[test]
    fn a_longer_path_is_late_at_first_and_then_the_base() {
        let mut delay = new();
        run(&mut delay, 0, 500, 0, |_| 0);
        let targets = run(&mut delay, 500, 1_000, 0, |_| 150_000);
        assert!(targets[30] >= 150_000, "{}", targets[30]);
        assert_eq!(targets[999], 20_000, "10 s later it is the path");
        // Back to the short one at once.
        run(&mut delay, 1_500, 100, 0, |_| 0);
        assert_eq!(delay.target(), 20_000);
    }

    #[test]
    fn another_clock_starts_anew_and_a_pause_does_not() {
        let mut delay = new();
        run(&mut delay, 0, 100, 0, |_| 0);
        // A minute of silence on the clock.
        run(&mut delay, 3_100, 100, 0, |_| 0);
        assert_eq!(delay.target(), 20_000);
        let now = Time::from_micros(5_000_000 + 3_200 * 20_000);
        assert_eq!(delay.observe(5_000_000_000, now), Observation::Jumped);
        assert_eq!(delay.target(), 40_000);
        assert_eq!(delay.observe(5_000_000_160, now + Duration::from_millis(25)), Observation::Late(5_000));
    }

    #[test]
    fn any_input_stays_inside() {
        let mut random = Random::from_number(4);
        let mut delay = new();
        for _ in 0..200_000 {
            let spread = [10_000, 1_000_000, u64::MAX >> 20][random.below(3) as usize];
            let timestamp = random.below(spread) as i64 - random.below(spread) as i64;
            delay.observe(timestamp, Time::from_micros(random.below(spread)));
            assert!((20_000..=400_000).contains(&delay.target()));
            assert!(delay.total.is_finite());
        }
    }
}
