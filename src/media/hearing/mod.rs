//! From packets to sound: what waits in the jitter buffer is decoded when its time comes, in order, and played on our
//! clock, one frame of 20 ms a tick. Delay follows what the network needs ([`crate::rtp::delay`]), by doubling or leaving
//! out pitch periods ([`stretch`]); holes are filled by what the next packet carries of them (Opus' FEC), by the codec's
//! own concealment, or by ours ([`conceal`]); where nothing is meant to be there is comfort noise ([`comfort`]).
//!
//! # Two listeners
//! The *ear* (capture, another leg) hears frames on our clock, stretched where need be. The *detector* of in-band tones
//! hears the audio on the sender's clock: every packet once, whole and unstretched, holes filled to their exact length,
//! and a packet that came too late for the ear but still in order as if it had come in time. So neither drift nor jitter
//! ever shortens, doubles or splits a digit.
//!
//! # What happens in a tick
//! - The next packet is there: decode it.
//! - A later one is there: a hole. Its sequence number says whether packets were lost (conceal) or the sender paused
//!   (comfort noise; the pause is made longer or shorter so that the delay fits its target again).
//! - Nothing is there: conceal, without moving on; when the packet comes after all, the delay has grown by that much.
//!   After [`MAX_WAIT_MS`] the stream is taken to pause.
//!
//! Where packets carry the one before them and some are lost, the delay is one packet more than jitter asks for, so that
//! the next packet is there when it is needed ([`REDUNDANCY_MS`]).
//!
//! # What comes of it
//! A minute of prompts in G.711 over the networks of the tests, packets seen once a frame. PESQ (narrow band, heard
//! against what was sent) knows no delay; the buffer before this one always held 120 ms, which a conversation pays for.
//!
//! | network | delay, ms | concealed, % (120 ms) | PESQ (120 ms) |
//! |---|---|---|---|
//! | clean | 31 | 0 (0) | 4.49 (4.50) |
//! | 0–40 ms, out of order | 40 | 0 (0) | 4.50 (4.50) |
//! | Gaussian | 66 | 0.06 (0) | 4.25 (4.50) |
//! | Wi-Fi stalls, 40–150 ms | 115 | 0.38 (0) | 3.96 (4.43) |
//! | spikes of 240 ms | 230 | 0.35 (0) | 4.16 (3.92) |
//! | route changes by 80 ms | 44 | 0.18 (0) | 4.20 (4.50) |
//! | mobile, 1 % loss | 105 | 1.77 (0.79) | 3.22 (3.86) |
//! | 1 % loss | 31 | 1.06 (1.06) | 4.16 (4.15) |
//! | 5 % loss | 31 | 4.89 (4.89) | 3.60 (3.58) |
//! | 5 % loss in runs of 3 | 29 | 4.56 (4.40) | 3.41 (3.43) |
//! | clock ±200 ppm | 31 / 28 | 0 (0) | 4.49 (4.50) |
//! | Wi-Fi, 1 % loss, +200 ppm | 105 | 0.99 (0.69) | 3.97 (4.24) |
//!
//! What is lost on wild networks is lost to the price put on delay ([`crate::rtp::delay`]).
//!
//! RTP, sources and sequence are `media::stream`'s. Nothing allocates but the first packet of another codec.

mod arrival;
pub mod comfort;
pub mod conceal;
pub mod decimate;
mod figures;
pub mod line;
pub mod pitch;
pub mod stretch;
pub mod tonal;

#[cfg(test)]
mod simulator;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::comfort::Comfort;
use self::conceal::Concealer;
use self::decimate::Decimator;
pub use self::figures::Figures;
use self::line::Line;
use self::stretch::Need;
use super::codec::{Decoder, MAX_PACKET_SAMPLES};
use crate::rtp::delay::{Delay, DelayBounds};
use crate::rtp::jitter::{self, PacketBuffer, Waiting};
use crate::session::Codec;
use crate::time::Time;

/// Concealed time after which a stream that has stopped is taken to pause, ms.
const MAX_WAIT_MS: i64 = 400;
/// How far the delay may lie under its target, and over it, before it is corrected, µs.
const SHALLOW: i64 = 5_000;
const DEEP: i64 = 10_000;
/// Further off than this, µs, it presses.
const PRESSING: i64 = 60_000;
/// And this far over its target, µs, audio is passed over instead.
const HOPELESS: i64 = 400_000;
/// Frames between two corrections: normally, and where it presses.
const REST: u32 = 5;
const SHORT_REST: u32 = 2;
/// How long after a hole that the next packet could fill one packet more is kept waiting, ms: by the price of delay
/// ([`crate::rtp::delay`]), one loss in 500 packets is worth those 20 ms; with half of that it does not come and go.
const REDUNDANCY_MS: u64 = 20_000;
/// Most silence that the detector is told of a pause, ms.
const MAX_TOLD_MS: i64 = 200;

/// What a packet in the buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Audio(Codec),
    /// A telephone event: nothing to hear, and nothing lost.
    Event,
    /// Something that takes a sequence number and says nothing (comfort noise that was not agreed).
    Empty,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It will be heard, or the part that is not too late.
    Kept,
    /// Its time has passed.
    Late,
    /// One with its timestamp has come.
    Duplicate,
    /// Its timestamp does not follow what came before; hearing has started anew with it.
    Jumped,
}

/// Where what the detector hears comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The peer sent it, or nothing where it meant nothing to be heard.
    Peer,
    /// Made up for what was lost: it bridges a tone, and proves none.
    MadeUp,
}

/// 20 ms for the ear.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// One fiftieth of a second of them.
    pub samples: &'a [i16],
    /// Hz: that of the codec heard last.
    pub sample_rate: u32,
    /// Is it what the peer sent, and not made up for a hole or a pause?
    pub real: bool,
    /// Is nothing meant to be heard: a pause, an event, the time before the first packet?
    pub resting: bool,
}

/// What the next frame is made of, when no packet is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Audio flows.
    Talking,
    /// A hole is being filled, by us.
    Concealing,
    /// A hole is being filled by the codec.
    CodecConceals,
    /// Nothing is meant to be heard: before the first packet, in an event, in a pause.
    Resting,
}

/// Hears one source. About 4 kB, 12 kB for packets, and 8 kB (8 kHz) or 16 kB (16 kHz) for samples, without the codec.
pub struct Hearing {
    bounds: DelayBounds,
    buffer: PacketBuffer<Kind>,
    delay: Delay,
    decoders: [Option<Box<Decoder>>; Codec::ALL.len()],
    /// Of what is decoded now.
    codec: Codec,
    rate: u32,
    clock_rate: u32,
    line: Line,
    concealer: Concealer,
    comfort: Comfort,
    decimator: Decimator,

    begun: bool,
    mood: Mood,
    /// The last timestamp that came, as it came and unwrapped.
    newest: (u32, i64),
    /// Timestamp of the next sample to decode.
    next: i64,
    /// Sequence number of the packet before it.
    sequence: u16,
    /// Clock units of the last packet decoded.
    span: i64,
    /// Clock units concealed while waiting for `next`.
    waited: i64,
    /// What is added to the target delay while lost packets can be had from the next, µs, and until when.
    redundancy: (i64, Time),
    /// Samples concealed of which it is not known yet whether anything was to be heard.
    doubtful: usize,
    /// Clock units of silence that the detector was told in this pause.
    told: i64,
    late_run: u32,
    /// Length of the frame that was handed out, which counts as played in the next tick.
    handed: usize,
    /// The delay at which packets are decoded, smoothed, µs; none: not measured since it changed.
    level: Option<i64>,
    rest: u32,

    played: u64,
    concealed: u64,
    recovered: u64,
    lengthened: u64,
    shortened: u64,
    skipped: u64,
    bursts: u64,
    undecodable: u64,
    /// The first one's codec and length in bytes, until it is asked for.
    first_undecodable: Option<(Codec, usize)>,
    delay_sum: i64,
    delay_count: i64,
    delay_now: i64,
}

impl Hearing {
    /// Nothing has come.
    pub fn new(bounds: DelayBounds) -> Self {
        let codec = Codec::Pcmu;
        let (rate, clock_rate) = (codec.sample_rate(), codec.clock_rate());
        Hearing {
            bounds,
            buffer: PacketBuffer::new(Kind::Empty),
            delay: Delay::new(bounds, clock_rate),
            decoders: Default::default(),
            codec,
            rate,
            clock_rate,
            line: Line::new(rate),
            concealer: Concealer::new(rate),
            comfort: Comfort::default(),
            decimator: Decimator::default(),
            begun: false,
            mood: Mood::Resting,
            newest: (0, 0),
            next: 0,
            sequence: 0,
            span: 0,
            waited: 0,
            redundancy: (0, Time::EPOCH),
            doubtful: 0,
            told: 0,
            late_run: 0,
            handed: 0,
            level: None,
            rest: 0,
            played: 0,
            concealed: 0,
            recovered: 0,
            lengthened: 0,
            shortened: 0,
            skipped: 0,
            bursts: 0,
            undecodable: 0,
            first_undecodable: None,
            delay_sum: 0,
            delay_count: 0,
            delay_now: 0,
        }
    }

    /// Has a packet come since the start, or the last reset?
    pub fn begun(&self) -> bool {
        self.begun
    }

    /// The next 20 ms for the ear. `listen` gets, in pieces, what the detector hears, at
    /// 8 kHz. `steady`: a tone is being heard, so nothing is stretched now.
    pub fn frame(&mut self, now: Time, steady: bool, listen: &mut impl FnMut(&[i16], Origin)) -> Frame<'_> {
        self.line.play(std::mem::take(&mut self.handed));
        let before = self.mood;
        if now >= self.redundancy.1 {
            self.redundancy.0 = 0;
        }
        if self.begun {
            self.fill(0, now, listen);
            self.follow(now, steady, listen);
            self.measure(now);
        } else {
            self.comfort_to(self.rate as usize / 50);
        }
        let real = before == Mood::Talking && self.mood == Mood::Talking;
        let resting = before == Mood::Resting && self.mood == Mood::Resting;
        self.handed = self.rate as usize / 50;
        let samples = self.line.next(self.handed);
        if real {
            let sum: u32 = samples.iter().map(|sample| u32::from(sample.unsigned_abs())).sum();
            self.comfort.heard(sum / samples.len().max(1) as u32);
        }
        Frame { samples, sample_rate: self.rate, real, resting }
    }

    /// How long what is played now has waited here; nothing where it came late.
    pub fn waiting(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.delay_now).unwrap_or(0))
    }

    /// The first payload that could not be decoded, its codec and its length in bytes: given once.
    pub fn take_undecodable(&mut self) -> Option<(Codec, usize)> {
        self.first_undecodable.take()
    }

    /// Makes a frame and `more` samples lie ahead; of the latter only what is there.
    fn fill(&mut self, more: usize, now: Time, listen: &mut impl FnMut(&[i16], Origin)) {
        // Ends: each round adds samples, or takes a packet, or moves `next` to the front packet.
        loop {
            let frame = self.rate as usize / 50;
            let ahead = self.line.ahead();
            if ahead >= frame + more {
                return;
            }
            let Some(front) = self.buffer.front() else {
                if ahead < frame {
                    self.starve(frame - ahead, listen);
                }
                return;
            };
            let gap = front.timestamp - self.next;
            if gap <= 0 {
                match front.kind {
                    Kind::Audio(codec) => self.decode(codec, &front, now, listen),
                    Kind::Event => {
                        let rest = front.timestamp + i64::from(front.span) - self.next;
                        if ahead >= frame {
                            return;
                        }
                        let now_due = rest.clamp(0, self.units(frame - ahead).max(1));
                        self.comfort(now_due, listen);
                        if now_due == rest.max(0) {
                            self.buffer.pop();
                            self.sequence = front.sequence;
                        }
                    }
                    Kind::Empty => {
                        self.buffer.pop();
                        self.sequence = front.sequence;
                        self.mood = Mood::Resting;
                    }
                }
                continue;
            }
            if ahead >= frame {
                return;
            }
            let missing = frame - ahead;
            let between = front.sequence.wrapping_sub(self.sequence).wrapping_sub(1);
            if self.mood == Mood::Resting || between == 0 || between > 0x8000 {
                self.pause(gap, missing, now, &front, listen);
            } else {
                self.hole(gap, missing, now, &front, listen);
            }
        }
    }

    /// The sender paused for `gap` clock units before `front`. It is made as long as the delay wants it.
    fn pause(
        &mut self,
        gap: i64,
        missing: usize,
        now: Time,
        front: &Waiting<Kind>,
        listen: &mut impl FnMut(&[i16], Origin),
    ) {
        self.forget_doubt();
        self.mood = Mood::Resting;
        self.tell_silence(gap, listen);
        let age = self.delay.age(front.timestamp, now).unwrap_or(i64::MAX);
        if age >= self.target() - SHALLOW || self.buffer.len() + 1 >= jitter::MAX_PACKETS {
            self.next = front.timestamp;
            self.told = 0;
            self.level = None;
        } else {
            self.add_comfort(missing);
        }
    }

    /// Packets for `gap` clock units before `front` were lost, or come later than it.
    fn hole(
        &mut self,
        gap: i64,
        missing: usize,
        now: Time,
        front: &Waiting<Kind>,
        listen: &mut impl FnMut(&[i16], Origin),
    ) {
        self.expect_redundancy(front, now);
        if self.waited > 0 && self.recover(gap, front, listen) {
            // As if the packet itself had come late: the delay has grown.
            self.settle_doubt();
            self.waited = 0;
            self.level = None;
            return;
        }
        if self.waited > 0 {
            // What was waited for in vain is the beginning of the hole.
            let gone = gap.min(self.waited);
            self.tell_hole(gone, listen);
            self.settle_doubt();
            self.next += gone;
            self.waited = 0;
            return;
        }
        if self.recover(gap, front, listen) {
            return;
        }
        let age = self.delay.age(self.next, now).unwrap_or(0);
        if self.mood == Mood::Talking {
            self.bursts += 1;
        }
        let frame = self.delay.units(20_000);
        if age + 20_000 <= self.target() && gap <= frame * 2 {
            // The delay is to grow: what is missing may yet come.
            self.conceal(missing);
            self.waited += self.units(missing);
            self.doubtful += missing;
            return;
        }
        // Up to the packet right before this one, which may be in it.
        let part = if gap > self.span { gap - self.span } else { gap };
        let samples = self.samples(part).min(missing).max(1);
        self.conceal(samples);
        self.concealed += self.at_8k(samples);
        let newest = self.line.newest(samples);
        hear(&mut self.decimator, self.rate, newest, Origin::MadeUp, listen);
        // Rounding must not leave a part of a sample.
        self.next = if self.samples(gap) <= samples { front.timestamp } else { self.next + self.units(samples) };
    }

    /// Nothing is there: waits, and fills the frame meanwhile.
    fn starve(&mut self, missing: usize, listen: &mut impl FnMut(&[i16], Origin)) {
        if self.mood != Mood::Resting {
            if self.mood == Mood::Talking {
                self.bursts += 1;
            }
            if self.waited < self.delay.units(MAX_WAIT_MS * 1_000) {
                self.conceal(missing);
                self.waited += self.units(missing);
                self.doubtful += missing;
                return;
            }
            // It does not come: a pause, that was none of ours to conceal.
            self.forget_doubt();
            self.mood = Mood::Resting;
            self.told = 0;
        }
        self.tell_silence(self.told + self.units(missing), listen);
        self.add_comfort(missing);
    }

    /// Decodes the front packet.
    fn decode(&mut self, codec: Codec, front: &Waiting<Kind>, now: Time, listen: &mut impl FnMut(&[i16], Origin)) {
        let resting = self.mood == Mood::Resting;
        // Not merely decoded ahead, to have something to stretch.
        let needed = self.line.ahead() < self.rate as usize / 50;
        if resting && needed {
            // After a pause, and at the start, the delay is chosen.
            let age = self.delay.age(self.next, now).unwrap_or(i64::MAX);
            let full = self.buffer.len() + 1 >= jitter::MAX_PACKETS;
            if age < self.target() - SHALLOW && !full {
                let missing = self.rate as usize / 50 - self.line.ahead();
                self.tell_silence(self.told + self.units(missing), listen);
                self.add_comfort(missing);
                return;
            }
            self.level = None;
        }
        self.switch(codec);
        let slot = self.decoders.get_mut(codec_index(codec));
        let Some(decoder) = slot.and_then(|slot| slot.as_mut()) else { return };
        let payload = self.buffer.payload(front);
        let decoded = decoder.decode(payload, self.line.room(MAX_PACKET_SAMPLES));
        let length = payload.len();
        self.buffer.pop();
        let Ok(count) = decoded else {
            // As if it had never come: its sequence number is missing, and so the hole is a loss.
            if self.undecodable == 0 {
                self.first_undecodable = Some((codec, length));
            }
            self.undecodable += 1;
            return;
        };
        let span = (count as i64 * i64::from(self.clock_rate)) / i64::from(self.rate.max(1));
        let passed = self.samples(self.next - front.timestamp).min(count);
        self.sequence = front.sequence;
        if passed >= count {
            return;
        }
        if passed > 0 {
            let room = self.line.room(count);
            room.copy_within(passed.., 0);
        }
        let fresh = count - passed;
        self.line.add(fresh);
        self.span = span;
        self.told = 0;
        if self.waited > 0 {
            // It was late: the delay has grown.
            self.settle_doubt();
            self.waited = 0;
            self.level = None;
        }
        hear(&mut self.decimator, self.rate, self.line.newest(fresh), Origin::Peer, listen);
        if self.mood == Mood::Concealing {
            self.concealer.fade_into(self.line.newest_mut(fresh));
        } else if resting {
            fade_in(self.line.newest_mut(fresh), self.rate as usize / 500);
        }
        self.mood = Mood::Talking;
        if needed {
            let age = self.delay.age(self.next, now).unwrap_or(0);
            self.level = Some(self.level.map_or(age, |level| level + (age - level) / 8));
        }
        self.next = front.timestamp + span;
    }

    /// Recovers what was lost before `front` from it.
    fn recover(&mut self, gap: i64, front: &Waiting<Kind>, listen: &mut impl FnMut(&[i16], Origin)) -> bool {
        // The last of the lost ones only; what comes before it is concealed first.
        let Kind::Audio(codec) = front.kind else { return false };
        if gap != self.span || codec != self.codec {
            return false;
        }
        let count = self.samples(gap);
        let slot = self.decoders.get_mut(codec_index(codec));
        let Some(decoder) = slot.and_then(|slot| slot.as_mut()) else { return false };
        let payload = self.buffer.payload(front);
        let Some(count) = decoder.recover(payload, self.line.room(count)) else { return false };
        self.line.add(count);
        self.recovered += self.at_8k(count);
        hear(&mut self.decimator, self.rate, self.line.newest(count), Origin::Peer, listen);
        if self.mood == Mood::Concealing {
            self.concealer.fade_into(self.line.newest_mut(count));
        }
        self.mood = Mood::Talking;
        self.next = front.timestamp;
        true
    }

    /// There is a hole before `front`: if that carries the packet before it, the next such one shall be there in time.
    fn expect_redundancy(&mut self, front: &Waiting<Kind>, now: Time) {
        let Kind::Audio(codec) = front.kind else { return };
        let slot = self.decoders.get(codec_index(codec));
        let Some(decoder) = slot.and_then(|slot| slot.as_ref()) else { return };
        if decoder.carries_the_one_before(self.buffer.payload(front)) {
            self.redundancy = (self.delay.micros(self.span), now + Duration::from_millis(REDUNDANCY_MS));
        }
    }

    /// How long packets should wait, µs.
    fn target(&self) -> i64 {
        let most = i64::try_from(self.bounds.most.as_micros()).unwrap_or(i64::MAX);
        self.delay.target().max((self.delay.target() + self.redundancy.0).min(most))
    }

    /// The codec that is decoded from now on.
    fn switch(&mut self, codec: Codec) {
        let Some(slot) = self.decoders.get_mut(codec_index(codec)) else { return };
        let decoder = slot.get_or_insert_with(|| Box::new(Decoder::new(codec)));
        let rate = decoder.sample_rate();
        self.codec = codec;
        if rate != self.rate {
            // What lies ahead is at most a frame of another rate.
            self.rate = rate;
            self.line.reset(rate);
            self.concealer.reset(rate);
            self.decimator = Decimator::default();
            self.mood = Mood::Resting;
        }
    }

    /// Makes up `count` samples.
    fn conceal(&mut self, count: usize) {
        if self.mood != Mood::Concealing && self.mood != Mood::CodecConceals {
            self.concealer.begin(self.line.all());
            self.mood = Mood::Concealing;
            let codec = self.codec;
            let decoder = self.decoders.get_mut(codec_index(codec)).and_then(|slot| slot.as_mut());
            if let Some(decoder) = decoder
                && decoder.conceal(self.line.room(count))
            {
                self.mood = Mood::CodecConceals;
                self.line.add(count);
                return;
            }
        } else if self.mood == Mood::CodecConceals {
            let decoder = self.decoders.get_mut(codec_index(self.codec)).and_then(|slot| slot.as_mut());
            if let Some(decoder) = decoder
                && decoder.conceal(self.line.room(count))
            {
                self.line.add(count);
                return;
            }
        }
        let room = self.line.room(count);
        let count = room.len();
        self.concealer.fill(room, &mut self.comfort);
        self.line.add(count);
    }

    /// `units` of an event or pause are played as comfort noise, and moved over.
    fn comfort(&mut self, units: i64, listen: &mut impl FnMut(&[i16], Origin)) {
        self.forget_doubt();
        self.told = 0;
        self.tell_silence(units, listen);
        self.told = 0;
        self.add_comfort(self.samples(units));
        self.next += units;
        self.mood = Mood::Resting;
    }

    fn add_comfort(&mut self, count: usize) {
        if self.mood != Mood::Resting {
            self.mood = Mood::Resting;
        }
        let room = self.line.room(count);
        let count = room.len();
        self.comfort.fill(room);
        self.line.add(count);
    }

    fn comfort_to(&mut self, count: usize) {
        let ahead = self.line.ahead();
        if ahead < count {
            self.add_comfort(count - ahead);
        }
    }

    /// What was concealed while waiting was a loss, or a delay, that could be heard.
    fn settle_doubt(&mut self) {
        self.concealed += self.at_8k(self.doubtful);
        self.doubtful = 0;
    }

    /// It was a pause: what was concealed filled it.
    fn forget_doubt(&mut self) {
        if self.doubtful > 0 {
            self.bursts = self.bursts.saturating_sub(1);
        }
        self.doubtful = 0;
        self.waited = 0;
    }

    /// The detector hears a hole of `units`, as it would have been concealed.
    fn tell_hole(&mut self, units: i64, listen: &mut impl FnMut(&[i16], Origin)) {
        let mut left = self.samples(units);
        // Where the waiting began.
        let mut at = self.concealer.made().saturating_sub(self.samples(self.waited));
        let mut piece = [0i16; 320];
        while left > 0 {
            let count = left.min(piece.len());
            for (n, sample) in piece.iter_mut().take(count).enumerate() {
                *sample = self.concealer.at(at + n);
            }
            hear(&mut self.decimator, self.rate, piece.get(..count).unwrap_or(&[]), Origin::MadeUp, listen);
            at += count;
            left -= count;
        }
    }

    /// The detector hears silence until it has heard `total` units of it in this pause, or enough.
    fn tell_silence(&mut self, total: i64, listen: &mut impl FnMut(&[i16], Origin)) {
        let units = total.min(self.delay.units(MAX_TOLD_MS * 1_000)) - self.told;
        if units <= 0 {
            return;
        }
        self.told += units;
        let mut left = self.samples(units);
        while left > 0 {
            let count = left.min(320);
            hear(&mut self.decimator, self.rate, [0i16; 320].get(..count).unwrap_or(&[]), Origin::Peer, listen);
            left -= count;
        }
    }

    /// Lets the delay follow its target.
    fn follow(&mut self, now: Time, steady: bool, listen: &mut impl FnMut(&[i16], Origin)) {
        self.rest = self.rest.saturating_sub(1);
        if self.rest > 0 || self.mood != Mood::Talking {
            return;
        }
        let Some(level) = self.level else { return };
        let excess = level - self.target();
        if excess > HOPELESS {
            self.pass_over(excess, now, listen);
            return;
        }
        if steady || (-SHALLOW..=DEEP).contains(&excess) {
            return;
        }
        let need = if excess.abs() > PRESSING { Need::Pressing } else { Need::Normal };
        let rate = self.rate;
        let changed = if excess > 0 {
            self.fill(rate as usize * (stretch::NEEDED_MS - 20) / 1_000, now, listen);
            let cut = stretch::shorten(&mut self.line, rate, need);
            // A period of the longest kind may leave less than a frame.
            self.fill(0, now, listen);
            self.shortened += self.at_8k(cut.unwrap_or(0));
            cut.map(|cut| -(cut as i64))
        } else {
            let won = stretch::lengthen(&mut self.line, rate, need);
            self.lengthened += self.at_8k(won.unwrap_or(0));
            won.map(|won| won as i64)
        };
        if let Some(samples) = changed {
            self.level = self.level.map(|level| level + samples * 1_000_000 / i64::from(rate));
            self.rest = if need == Need::Pressing { SHORT_REST } else { REST };
        }
    }

    /// Far too much waits: the oldest goes to the detector only.
    fn pass_over(&mut self, excess: i64, now: Time, listen: &mut impl FnMut(&[i16], Origin)) {
        let frame = self.rate as usize / 50;
        let most = (excess / 20_000) as usize;
        for _ in 0..most {
            let before = self.line.ahead();
            self.fill(frame, now, listen);
            let fresh = self.line.ahead().saturating_sub(before);
            if fresh == 0 || self.mood != Mood::Talking {
                break;
            }
            self.line.take_back(fresh);
            self.skipped += self.at_8k(fresh);
        }
        // What comes next does not follow what was played last.
        self.concealer.begin(self.line.all());
        self.mood = Mood::Concealing;
        self.level = None;
    }

    fn measure(&mut self, now: Time) {
        self.played += 160;
        let position = self.next - self.units(self.line.ahead());
        if let Some(age) = self.delay.age(position, now)
            && self.mood == Mood::Talking
        {
            self.delay_now = age;
            self.delay_sum += age;
            self.delay_count += 1;
        }
    }

    fn units(&self, samples: usize) -> i64 {
        samples as i64 * i64::from(self.clock_rate) / i64::from(self.rate)
    }

    fn samples(&self, units: i64) -> usize {
        usize::try_from(units * i64::from(self.rate) / i64::from(self.clock_rate)).unwrap_or(0)
    }

    fn at_8k(&self, samples: usize) -> u64 {
        samples as u64 * 8_000 / u64::from(self.rate)
    }
}

/// Gives the detector its samples.
fn hear(
    decimator: &mut Decimator,
    rate: u32,
    samples: &[i16],
    origin: Origin,
    listen: &mut impl FnMut(&[i16], Origin),
) {
    if rate == 8_000 {
        listen(samples, origin);
    } else {
        decimator.feed(samples, &mut |samples| listen(samples, origin));
    }
}

fn codec_index(codec: Codec) -> usize {
    Codec::ALL.iter().position(|known| *known == codec).unwrap_or(0)
}

/// The first `count` samples after silence.
fn fade_in(samples: &mut [i16], count: usize) {
    let whole = count as i32 + 1;
    for (n, sample) in samples.iter_mut().take(count).enumerate() {
        *sample = (i32::from(*sample) * (n as i32 + 1) / whole) as i16;
    }
}
