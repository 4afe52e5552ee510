//! Hears DTMF digits in 8 kHz audio (ITU-T Q.24 limits). One [`Detector`] for each listened-to stream.
//! Decoding, and concealing lost packets, come before it; the arbiter comes after.
//!
//! # How
//! Every 5 ms a window of 30 ms is judged by itself ([`super::window`]). [`START_HITS`] agreeing windows make a digit, if
//! their tones stand still: that needs a tone of about 30 ms. A digit ends with [`END_MISSES`] windows that are not it,
//! which a pause of about 30 ms gives and an interruption of 10 ms does not.
//!
//! A window that holds audio made up for a lost packet ([`Detector::feed_concealed`]) may speak for a digit, but hardly
//! against one: concealment goes on with the tones for a while, then loses them. Real silence still ends a digit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SAMPLE_RATE;
use super::analysis::{BLOCK, BLOCKS, History, Samples, WINDOW};
use super::dialtone::DialTone;
use super::judgement::{Judgement, Verdict};
use super::window::{self, Hit, NEWEST};
use crate::dtmf::{Digit, Phase, Report, Way};
use crate::time::Time;

/// Agreeing windows that make a digit.
const START_HITS: u32 = 4;
/// The same where some of them are made up in part.
const START_HITS_MADE_UP: u32 = 6;
/// Blocks of real audio, after some that were made up, before a digit may begin: what was made up may sound like another.
const START_REAL: usize = 2;
/// Windows without the digit that end it.
const END_MISSES: u32 = 6;
/// Windows in a row, made up in part, that are not held against a digit: two lost packets of 20 ms touch 13.
const MAX_UNSURE: u32 = 13;
/// A block with less than this part of a digit's power does not have the digit, whatever the window looks like.
const SILENT_PART: f32 = 0.125;
/// A block of a mean power below this is silence: −49 dBm0.
const SILENCE: f32 = 3.3e3;
/// Samples of a window that may lie outside the tone while it still counts: where a tone began and ended is estimated
/// by it.
const SLACK: u64 = 66;

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
    /// Blocks in a row, up to a window's worth, that were silent.
    quiet: usize,
    /// Blocks until nothing made up is left in the window.
    made_up_for: usize,
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
        let made_up = std::mem::take(&mut self.made_up);
        self.made_up_for = if made_up { BLOCKS } else { self.made_up_for.saturating_sub(1) };
        self.quiet = if audible { 0 } else { (self.quiet + 1).min(BLOCKS) };
        if self.quiet >= BLOCKS && self.held.is_none() && self.candidate.is_none() {
            return;
        }
        let (mut hit, mut verdict, mut worthy) = (None, Verdict::TooWeak, false);
        if self.quiet < BLOCKS {
            let sketch = self.history.sketch();
            self.dial_tone.listen(&self.history, &sketch, self.position);
            if self.held.is_some_and(|held| window::plainly_holds(held.digit, &sketch)) {
                self.hold();
                if EXPLAIN {
                    let hit = Hit::measure(&mut self.history, &sketch, &self.dial_tone);
                    explain(&Hit::explain(hit, self.position, Verdict::GoesOn));
                }
                return;
            }
            worthy = window::worth_measuring(&sketch, self.dial_tone.known());
            if EXPLAIN || worthy {
                hit = Hit::measure(&mut self.history, &sketch, &self.dial_tone);
                if self.made_up_for > 0 {
                    hit = hit.map(Hit::of_made_up);
                }
                verdict = match hit.map_or(Verdict::TooWeak, |hit| hit.verdict()) {
                    Verdict::Agrees if !worthy => Verdict::OtherPower,
                    verdict => verdict,
                };
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
        let outcome = self.follow(hit.filter(|_| worthy && verdict == Verdict::Agrees), report);
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
        let unsure = self.made_up_for > 0 && self.unsure < MAX_UNSURE;
        self.unsure = if unsure { self.unsure + 1 } else { 0 };
        if let Some(held) = &mut self.held {
            if hit.is_some_and(|hit| hit.digit == held.digit) {
                self.hold();
                return Verdict::GoesOn;
            }
            let silent = self.made_up_for < BLOCKS && self.history.newest_power() < SILENT_PART * held.power;
            if !unsure || silent {
                held.misses += 1;
            }
            if held.misses >= END_MISSES {
                report(end(*held, self.position));
                self.held = None;
                outcome = Verdict::Ended;
            }
        }
        let Some(hit) = hit.filter(Hit::starts) else {
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
        let needed = if self.made_up_for > 0 { START_HITS_MADE_UP } else { START_HITS };
        if candidate.hits < needed || self.made_up_for > BLOCKS - START_REAL {
            return Verdict::Agrees;
        }
        match window::together(&candidate.newest) {
            Verdict::Accepted => {}
            doubt => return doubt,
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

/// The end of a digit's tone, decided at `decided_at`.
fn end(held: Held, decided_at: u64) -> ToneReport {
    let position = held.last.saturating_sub(SLACK).max(held.began);
    let duration = Duration::from_micros((position - held.began) * 1_000_000 / u64::from(SAMPLE_RATE));
    ToneReport { digit: held.digit, edge: ToneEdge::End { duration }, position, decided_at }
}

#[cfg(test)]
#[path = "detector_tests.rs"]
mod tests;
