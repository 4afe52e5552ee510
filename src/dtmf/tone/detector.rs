//! Hears DTMF digits in 8 kHz audio (ITU-T Q.24 limits). One [`Detector`] for each listened-to stream.
//! Decoding, and concealing lost packets, come before it; the arbiter comes after.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::analysis::{BLOCK, BLOCKS, History, Samples, Sketch, WINDOW};
use super::dialtone::DialTone;
use super::judgement::{Judgement, Verdict};
use super::{HIGH_GROUP, KEYPAD, LOW_GROUP, SAMPLE_RATE, dbm0, place};
use crate::dtmf::{Digit, Phase, Report, Way};
use crate::time::Time;

/// Agreeing windows that make a digit.
const START_HITS: u32 = 4;
/// Windows without the digit that end it.
const END_MISSES: u32 = 6;
/// How many of the newest windows are looked at together.
const NEWEST: usize = START_HITS as usize - 1;
/// The part of the window's power that the two tones must hold for a digit to begin.
const START_FRACTION: f32 = 0.86;
/// And for it to go on.
const HOLD_FRACTION: f32 = 0.65;
/// How far a frequency may be off the nominal one, as a part of it, by the mean over the newest windows. Q.24 wants
/// 1.5 % (and 2 Hz) taken, and 3.5 % refused.
const MAX_OFFSET: f32 = 0.0255;
/// How far a frequency may wander within the newest windows, as a part of the nominal one. A dialler's tones stand still,
/// a voice's do not.
const MAX_WANDER: f32 = 0.010;
/// The same for a single window, which is less exact.
const MAX_WINDOW_OFFSET: f32 = 0.035;
/// The most by which the low tone may be the stronger one (a power ratio: 10 dB; 8 must be taken).
const MAX_LOW_OVER_HIGH: f32 = 10.0;
/// The most by which the high tone may be the stronger one (6 dB; 4 must be taken).
const MAX_HIGH_OVER_LOW: f32 = 4.0;
/// The weakest tone that counts, in squared sample units: −40 dBm0.
const MIN_POWER: f32 = 26.0e3;
/// The part of the power that the two nominal frequencies hold at least, before refining is worth the work.
const WORTH_REFINING: f32 = 0.3;
/// Samples of a window that may lie outside the tone while it still counts: where a tone began and ended is estimated
/// by it.
const SLACK: u64 = 66;
/// The part of the weakest power that counts, that the weaker frequency has at least, before refining is worth the work.
const WORTH_MEASURING: f32 = 0.05;
/// Windows in a row, made up in part, that are not held against a digit: two lost packets of 20 ms touch 13.
const MAX_UNSURE: u32 = 13;
/// A block of a mean power below this is silence: −49 dBm0.
const SILENCE: f32 = 3.3e3;

/// Which edge of a tone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToneEdge {
    /// The tone has begun.
    Start,
    /// The tone is over.
    End {
        /// How long it was, within about 10 ms.
        duration: Duration,
    },
}

/// What the detector heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToneReport {
    /// Which digit.
    pub digit: Digit,
    /// Which edge.
    pub edge: ToneEdge,
    /// The sample, counted from the stream's first, where the edge was, within about 5 ms.
    pub position: u64,
    /// The sample up to which the detector had to listen to be sure.
    pub decided_at: u64,
}

impl ToneReport {
    /// As a report for the arbiter, made at `at`.
    pub fn at(self, at: Time) -> Report {
        let phase = match self.edge {
            ToneEdge::Start => Phase::Start,
            ToneEdge::End { duration } => Phase::End { duration },
        };
        let samples = self.decided_at.saturating_sub(self.position);
        let delay = Duration::from_micros(samples * 1_000_000 / u64::from(SAMPLE_RATE));
        Report { digit: self.digit, way: Way::InBand, phase, at, delay }
    }
}

/// A window that sounds like a digit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Hit {
    digit: Digit,
    /// The powers of the two tones.
    low: f32,
    high: f32,
    /// The part of the window's power that they hold.
    fraction: f32,
    /// Frequency offsets, as parts of the nominal frequency.
    low_offset: f32,
    high_offset: f32,
}

/// Windows that agree on a digit, but are not yet enough.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Candidate {
    digit: Digit,
    hits: u32,
    /// End of its first window.
    first: u64,
    /// Its newest windows, round and round. (The first, which a tone's beginning disturbs, is overwritten by the time
    /// that they are asked.)
    newest: [Hit; NEWEST],
}

/// A digit that has begun.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Held {
    digit: Digit,
    /// The power of its two tones.
    power: f32,
    /// Where the tone began.
    began: u64,
    /// End of the last window with it.
    last: u64,
    /// Windows without it since.
    misses: u32,
}

/// Hears digits in one stream of 8 kHz samples.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Detector {
    /// The block that is being filled, and how many samples it has.
    pending: [[i16; BLOCK / 2]; 2],
    filled: usize,
    /// Some of its samples are made up.
    made_up: bool,
    /// The newest window.
    history: History,
    /// Samples judged so far: the end of the newest window.
    position: u64,
    /// Blocks in a row, up to a window's worth, that were silent; and that were not made up.
    quiet: usize,
    real: usize,
    /// Windows in a row that do not count, for being made up in part.
    unsure: u32,
    dial_tone: DialTone,
    candidate: Option<Candidate>,
    held: Option<Held>,
}

impl Detector {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Detector::default()
    }

    /// Listens to the next samples, any number of them; `report` is called for each edge. Allocates nothing.
    pub fn feed(&mut self, samples: &[i16], report: &mut impl FnMut(ToneReport)) {
        self.run::<false>(samples, false, report, &mut |_| {});
    }

    /// Listens to samples that a concealment made up for lost ones. A digit needs no proof from them, and is not ended by
    /// them alone.
    pub fn feed_concealed(&mut self, samples: &[i16], report: &mut impl FnMut(ToneReport)) {
        self.run::<false>(samples, true, report, &mut |_| {});
    }

    /// The same, and `explain` is told what was made of each window that is not silent: before `report` hears of it.
    pub fn feed_explained(
        &mut self,
        samples: &[i16],
        report: &mut impl FnMut(ToneReport),
        explain: &mut impl FnMut(&Judgement),
    ) {
        self.run::<true>(samples, false, report, explain);
    }

    fn run<const EXPLAIN: bool>(
        &mut self,
        mut samples: &[i16],
        made_up: bool,
        report: &mut impl FnMut(ToneReport),
        explain: &mut impl FnMut(&Judgement),
    ) {
        loop {
            if self.filled == 0 {
                while let Some((block, rest)) = samples.split_first_chunk() {
                    self.made_up |= made_up;
                    self.block::<EXPLAIN>(block, report, explain);
                    samples = rest;
                }
            }
            if samples.is_empty() {
                return;
            }
            let room = self.pending.as_flattened_mut().get_mut(self.filled..).unwrap_or_default();
            let (now, later) = samples.split_at(room.len().min(samples.len()));
            room[..now.len()].copy_from_slice(now);
            samples = later;
            self.filled += now.len();
            self.made_up |= made_up;
            if let Some(block) = self.pending.as_flattened().first_chunk().filter(|_| self.filled >= BLOCK) {
                let block = *block;
                self.filled = 0;
                self.block::<EXPLAIN>(&block, report, explain);
            }
        }
    }

    /// The stream is over: ends a digit that goes on.
    pub fn finish(&mut self, report: &mut impl FnMut(ToneReport)) {
        if let Some(held) = self.held.take() {
            report(end(held, self.position));
        }
        self.candidate = None;
    }

    /// The digit that is heard at present.
    pub fn current(&self) -> Option<Digit> {
        self.held.map(|held| held.digit)
    }

    /// Takes the next block, and judges the window that it ends.
    fn block<const EXPLAIN: bool>(
        &mut self,
        samples: &Samples,
        report: &mut impl FnMut(ToneReport),
        explain: &mut impl FnMut(&Judgement),
    ) {
        self.position += BLOCK as u64;
        let audible = self.history.push(samples, SILENCE);
        self.real = if std::mem::take(&mut self.made_up) { 0 } else { (self.real + 1).min(BLOCKS) };
        self.quiet = if audible { 0 } else { (self.quiet + 1).min(BLOCKS) };
        if self.quiet >= BLOCKS && self.held.is_none() && self.candidate.is_none() {
            return;
        }
        let (mut hit, mut verdict) = (None, Verdict::TooWeak);
        if self.quiet < BLOCKS {
            let sketch = self.history.sketch();
            self.dial_tone.listen(&self.history, &sketch, self.position);
            if self.held.is_some_and(|held| goes_on(held.digit, &sketch)) {
                self.hold();
                if EXPLAIN {
                    let hit = Hit::measure(&mut self.history, &sketch, &self.dial_tone);
                    explain(&Hit::explain(hit, self.position, Verdict::GoesOn));
                }
                return;
            }
            if EXPLAIN || worth_refining(&sketch, self.dial_tone.known()) {
                hit = Hit::measure(&mut self.history, &sketch, &self.dial_tone);
                if self.real < BLOCKS
                    && let Some(hit) = &mut hit
                {
                    hit.fraction = 1.0 - 0.5 * (1.0 - hit.fraction);
                    hit.low_offset *= 0.5;
                    hit.high_offset *= 0.5;
                }
                verdict = hit.map_or(Verdict::TooWeak, |hit| hit.verdict());
            }
        }
        let was_held = self.held.is_some();
        let hits = self.candidate.map_or(0, |candidate| candidate.hits);
        let (position, quiet) = (self.position, self.quiet);
        let mut explained = |verdict| {
            if EXPLAIN {
                explain(&Hit::explain(hit, position, verdict));
            }
        };
        let outcome = self.follow(hit.filter(|_| verdict == Verdict::Agrees), report);
        match outcome {
            Verdict::TooWeak if was_held => explained(Verdict::Pauses),
            Verdict::TooWeak if (2..START_HITS).contains(&hits) => explained(Verdict::TooShort),
            Verdict::TooWeak if quiet < BLOCKS => explained(verdict),
            Verdict::TooWeak => {}
            outcome => explained(outcome),
        }
    }

    /// A window with the held digit.
    fn hold(&mut self) {
        if let Some(held) = &mut self.held {
            held.last = self.position;
            held.misses = 0;
        }
        self.candidate = None;
    }

    /// Follows what the windows say, over time.
    fn follow(&mut self, hit: Option<Hit>, report: &mut impl FnMut(ToneReport)) -> Verdict {
        let mut outcome = Verdict::TooWeak;
        let unsure = self.real < BLOCKS && self.unsure < MAX_UNSURE;
        self.unsure = if unsure { self.unsure + 1 } else { 0 };
        if let Some(held) = &mut self.held {
            if hit.is_some_and(|hit| hit.digit == held.digit) {
                self.hold();
                return Verdict::GoesOn;
            }
            if !unsure || (self.real > 0 && self.history.newest_power() < held.power / 8.0) {
                held.misses += 1;
            }
            if held.misses >= END_MISSES {
                report(end(*held, self.position));
                self.held = None;
                outcome = Verdict::Ended;
            }
        }
        let Some(hit) = hit.filter(|hit| hit.fraction >= START_FRACTION) else {
            if !unsure {
                self.candidate = None;
            }
            return outcome;
        };
        let candidate = match &mut self.candidate {
            Some(candidate) if candidate.digit == hit.digit => {
                if let Some(slot) = candidate.newest.get_mut(candidate.hits as usize % NEWEST) {
                    *slot = hit;
                }
                candidate.hits = candidate.hits.saturating_add(1);
                *candidate
            }
            other => {
                let first = self.position;
                *other = Some(Candidate { digit: hit.digit, hits: 1, first, newest: [hit; NEWEST] });
                return Verdict::Agrees;
            }
        };
        if candidate.hits < START_HITS || self.real < 2 {
            return Verdict::Agrees;
        }
        if doubt(&candidate.newest) > 1.0 {
            return Verdict::Wanders;
        }
        if let Some(held) = self.held.take() {
            report(end(held, self.position));
        }
        let began = (candidate.first + SLACK).saturating_sub(WINDOW as u64);
        let digit = candidate.digit;
        self.candidate = None;
        self.held = Some(Held { digit, power: hit.low + hit.high, began, last: self.position, misses: 0 });
        report(ToneReport { digit, edge: ToneEdge::Start, position: began, decided_at: self.position });
        Verdict::Accepted
    }
}

/// How much speaks against a digit, taken together: above 1 is too much. A dialler may be off in frequency, a line may be
/// noisy; a sound that is all of it at once, and wanders, is a voice.
fn doubt(hits: &[Hit; NEWEST]) -> f32 {
    let mean = |of: fn(&Hit) -> f32| hits.iter().map(of).sum::<f32>() / NEWEST as f32;
    let wander = |of: fn(&Hit) -> f32| {
        let offsets = hits.iter().map(of);
        offsets.clone().fold(f32::MIN, f32::max) - offsets.fold(f32::MAX, f32::min)
    };
    let square = |x: f32| x * x;
    let low = square(mean(|hit| hit.low_offset) / MAX_OFFSET);
    let high = square(mean(|hit| hit.high_offset) / MAX_OFFSET);
    if low > 1.0 || high > 1.0 {
        return f32::INFINITY;
    }
    (1.0 - mean(|hit| hit.fraction)) / (1.0 - START_FRACTION)
        + (low + high) / 2.0
        + square(wander(|hit| hit.low_offset) / MAX_WANDER)
        + square(wander(|hit| hit.high_offset) / MAX_WANDER)
}

/// The end of a digit's tone, decided at `decided_at`.
fn end(held: Held, decided_at: u64) -> ToneReport {
    let position = held.last.saturating_sub(SLACK).max(held.began);
    let duration = Duration::from_micros((position - held.began) * 1_000_000 / u64::from(SAMPLE_RATE));
    ToneReport { digit: held.digit, edge: ToneEdge::End { duration }, position, decided_at }
}

/// Does a digit that has begun plainly go on? What is not plain is left to [`judge`].
#[inline]
fn goes_on(digit: Digit, sketch: &Sketch) -> bool {
    let (low, high) = sketch.strongest();
    let (row, column) = place(digit);
    sketch.power.get(row) == Some(&low)
        && sketch.power.get(LOW_GROUP.len() + column) == Some(&high)
        && low + high >= HOLD_FRACTION * sketch.total
        && low.min(high) >= MIN_POWER
        && low <= MAX_LOW_OVER_HIGH * high
        && high <= MAX_HIGH_OVER_LOW * low
}

/// May the window, by itself, sound like a digit?
#[inline]
fn worth_refining(sketch: &Sketch, dial_tone: f32) -> bool {
    let (low, high) = sketch.strongest();
    low.min(high) >= WORTH_MEASURING * MIN_POWER && low + high >= WORTH_REFINING * (sketch.total - dial_tone)
}

impl Hit {
    /// The two tones of the window, refined.
    fn measure(history: &mut History, sketch: &Sketch, dial_tone: &DialTone) -> Option<Hit> {
        let (low_powers, high_powers) = sketch.power.split_at(LOW_GROUP.len());
        let (row, _) = strongest(low_powers)?;
        let (column, _) = strongest(high_powers)?;
        let (spectrum, before) = history.spectra();
        let low_offset = spectrum.offset(&before, row);
        let high_offset = spectrum.offset(&before, LOW_GROUP.len() + column);
        let low = history.tone_power(row, low_offset);
        let high = history.tone_power(LOW_GROUP.len() + column, high_offset);
        let total = (spectrum.total - dial_tone.power(history)).max(low + high).max(f32::MIN_POSITIVE);
        Some(Hit {
            digit: *KEYPAD.get(row)?.get(column)?,
            low,
            high,
            fraction: (low + high) / total,
            low_offset: low_offset / *LOW_GROUP.get(row)? as f32,
            high_offset: high_offset / *HIGH_GROUP.get(column)? as f32,
        })
    }

    /// Does the window, by itself, sound like a digit that at least goes on?
    fn verdict(&self) -> Verdict {
        if self.low.min(self.high) < MIN_POWER {
            Verdict::TooWeak
        } else if self.fraction < HOLD_FRACTION {
            Verdict::OtherPower
        } else if self.low_offset.abs() > MAX_WINDOW_OFFSET || self.high_offset.abs() > MAX_WINDOW_OFFSET {
            Verdict::OffFrequency
        } else if self.low > MAX_LOW_OVER_HIGH * self.high || self.high > MAX_HIGH_OVER_LOW * self.low {
            Verdict::Twist
        } else {
            Verdict::Agrees
        }
    }

    /// What is told of a window.
    fn explain(hit: Option<Hit>, position: u64, verdict: Verdict) -> Judgement {
        let (low, high) = hit.map_or((0.0, 0.0), |hit| (hit.low, hit.high));
        Judgement {
            position,
            digit: hit.map(|hit| hit.digit),
            low_dbm0: dbm0(low),
            high_dbm0: dbm0(high),
            low_offset: hit.map_or(0.0, |hit| hit.low_offset * 100.0),
            high_offset: hit.map_or(0.0, |hit| hit.high_offset * 100.0),
            share: hit.map_or(0.0, |hit| hit.fraction),
            verdict,
        }
    }
}

/// The greatest of some powers, and where it is; none where nothing is above zero.
fn strongest(powers: &[f32]) -> Option<(usize, f32)> {
    let (at, power) = powers.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (power > 0.0).then_some((at, power))
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
