//! What comes: packets into the buffer, by their place on the sender's clock; jumps and new clocks noticed.

use super::{Arrival, Hearing, Kind, Mood};
use crate::rtp::delay::{Delay, Observation};
use crate::rtp::jitter;
use crate::session::Codec;
use crate::time::Time;

/// Consecutive packets from the past after which the sender's timestamps are taken to have gone back.
const LATE_RUN: u32 = 5;
/// A packet this far off what is played next, ms, is not of the same clock, however late or early it came.
const MAX_AHEAD_MS: i64 = 3_000;

impl Hearing {
    /// A packet of audio came; one with its sequence number has not come before. `punctual`: `now` is when it came, not
    /// merely when we, being late, saw it.
    pub fn take(
        &mut self,
        codec: Codec,
        sequence: u16,
        timestamp: u32,
        payload: &[u8],
        now: Time,
        punctual: bool,
    ) -> Arrival {
        if codec.clock_rate() != self.clock_rate {
            // Timestamps of another clock have nothing to do with these.
            let first = !self.begun;
            self.restart(codec.clock_rate());
            self.clock_rate = codec.clock_rate();
            self.delay = Delay::new(self.bounds, self.clock_rate);
            self.first(sequence, timestamp);
            self.observe(now, punctual);
            self.keep(codec, sequence, payload);
            return if first { Arrival::Kept } else { Arrival::Jumped };
        }
        if !self.begun {
            self.first(sequence, timestamp);
            self.observe(now, true);
            self.keep(codec, sequence, payload);
            return Arrival::Kept;
        }
        let at = self.unwrap(timestamp);
        let ahead = at - self.next;
        let most = MAX_AHEAD_MS * i64::from(self.clock_rate) / 1_000;
        let before = self.newest;
        self.newest = (timestamp, at);
        let jumped = if punctual { self.observe(now, true) == Some(Observation::Jumped) } else { ahead.abs() > most };
        if jumped {
            return self.jump(codec, sequence, timestamp, payload, now, punctual);
        }
        if self.span == 0 && at < self.next {
            // Nothing has been played yet: it was overtaken by what came first.
            self.next = at;
            self.sequence = sequence.wrapping_sub(1);
        }
        if at < self.next && at + self.span <= self.next {
            self.late_run += 1;
            if self.late_run >= LATE_RUN {
                return self.jump(codec, sequence, timestamp, payload, now, punctual);
            }
            // What is late does not say where the stream is.
            self.newest = before;
            return Arrival::Late;
        }
        self.late_run = 0;
        self.keep(codec, sequence, payload)
    }

    /// A telephone event came: from `timestamp` on, `duration` units of `clock_rate` (its own, not always the audio's)
    /// hold no audio.
    pub fn take_event(&mut self, sequence: u16, timestamp: u32, duration: u16, clock_rate: u32) {
        if !self.begun {
            return;
        }
        let at = self.unwrap(timestamp);
        let span = i64::from(duration) * i64::from(self.clock_rate) / i64::from(clock_rate.max(1));
        if (at - self.next).abs() > MAX_AHEAD_MS * i64::from(self.clock_rate) / 1_000 {
            return;
        }
        if at + span <= self.next {
            self.account(sequence);
        } else {
            self.buffer.insert_span(at, sequence, Kind::Event, span as u32);
        }
    }

    /// Something else came that takes a sequence number: what follows is no loss.
    pub fn take_other(&mut self, sequence: u16, timestamp: u32) {
        if !self.begun {
            return;
        }
        let at = self.unwrap(timestamp);
        if at <= self.next {
            self.account(sequence);
        } else if at - self.next <= MAX_AHEAD_MS * i64::from(self.clock_rate) / 1_000 {
            self.buffer.insert_span(at, sequence, Kind::Empty, 0);
        }
    }

    /// Forgets the source; the next packet begins anew. What was heard goes on being counted.
    pub fn reset(&mut self) {
        self.restart(self.clock_rate);
    }

    fn first(&mut self, sequence: u16, timestamp: u32) {
        self.begun = true;
        // Far from the ends, so that nothing overflows.
        self.newest = (timestamp, i64::from(timestamp) + (1 << 40));
        self.next = self.newest.1;
        self.sequence = sequence.wrapping_sub(1);
        self.span = 0;
        self.mood = Mood::Resting;
    }

    fn restart(&mut self, clock_rate: u32) {
        self.buffer.clear();
        self.delay.reset();
        self.clock_rate = clock_rate;
        self.begun = false;
        self.mood = Mood::Resting;
        self.waited = 0;
        self.redundancy.0 = 0;
        self.doubtful = 0;
        self.told = 0;
        self.late_run = 0;
        self.level = None;
    }

    fn jump(
        &mut self,
        codec: Codec,
        sequence: u16,
        timestamp: u32,
        payload: &[u8],
        now: Time,
        punctual: bool,
    ) -> Arrival {
        self.restart(self.clock_rate);
        self.first(sequence, timestamp);
        self.observe(now, punctual);
        self.keep(codec, sequence, payload);
        Arrival::Jumped
    }

    fn observe(&mut self, now: Time, punctual: bool) -> Option<Observation> {
        // What is seen late says nothing of the network, unless nothing else is known.
        (punctual || self.delay.age(self.next, now).is_none()).then(|| self.delay.observe(self.newest.1, now))
    }

    fn keep(&mut self, codec: Codec, sequence: u16, payload: &[u8]) -> Arrival {
        match self.buffer.insert(self.newest.1, sequence, Kind::Audio(codec), payload) {
            jitter::Insertion::Kept { .. } => Arrival::Kept,
            jitter::Insertion::Duplicate | jitter::Insertion::TooLong => Arrival::Duplicate,
        }
    }

    fn unwrap(&self, timestamp: u32) -> i64 {
        let (wrapped, whole) = self.newest;
        whole + i64::from(timestamp.wrapping_sub(wrapped) as i32)
    }

    /// A packet without audio has passed: the next one follows it.
    fn account(&mut self, sequence: u16) {
        if sequence.wrapping_sub(self.sequence) < 0x8000 {
            self.sequence = sequence;
            if self.mood != Mood::Talking {
                self.mood = Mood::Resting;
            }
        }
    }
}
