//! What the detector makes of each window of 30 ms, gathered into candidates: stretches that sounded like one digit,
//! with what became of them. How they are shown is `explain`'s and `plot`'s business.

use std::fmt;

use crate::dtmf::Digit;
use crate::dtmf::tone::{Detector, Judgement, SAMPLE_RATE, ToneEdge, ToneReport, Verdict};

/// Samples of a window.
const WINDOW: u64 = 240;
/// Samples of a tone that a window must hold to show it with [`LEAST_SHARE`], measured.
const SLACK: u64 = 110;
/// Samples between windows that still belong together: two steps of 5 ms.
const APART: u64 = 80;
/// The part of the power that two tones hold in a window which is worth telling of.
const LEAST_SHARE: f32 = 0.4;
/// Windows that a stretch worth telling of has.
const LEAST_WINDOWS: u32 = 4;
/// Weaker tones are nobody's, in dBm0.
const LEAST_LEVEL: f32 = -60.0;
/// A stretch from whose first to whose last window there are so many samples (a tone of 45 ms) is not too short: what its
/// windows lack is purity.
const LONG: u64 = 250;
/// In the same way, a level in dBm0 that is not too weak.
const WEAK: f32 = -36.0;
/// What is too weak for the detector to be looked at is amplified by this factor, so that it can be told of.
const MAGNIFIED: i16 = 16;

/// A stretch of audio that sounded like a digit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Which digit it would be.
    pub digit: Digit,
    /// The first sample of its tone, within about 5 ms.
    pub began: u64,
    /// The sample after its last.
    pub ended: u64,
    /// What was measured where it was clearest.
    pub clearest: Judgement,
    /// The part of the power that the two tones held on the average, 0–1.
    pub share: f32,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// It is a digit: reported at this sample.
    Heard { reported: u64 },
    /// It is none.
    Refused(Refusal),
}

/// Why a candidate is no digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    Weak,
    OtherSound,
    OffFrequency,
    Twist,
    Wanders,
    Short,
}

impl Candidate {
    /// Length of its tone in ms.
    pub fn milliseconds(&self) -> f64 {
        self.ended.saturating_sub(self.began) as f64 * 1000.0 / f64::from(SAMPLE_RATE)
    }
}

/// The reason for the verdict, in words.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = &self.clearest;
        match self.outcome {
            Outcome::Heard { reported } => {
                let after = reported.saturating_sub(self.began) * 1000 / u64::from(SAMPLE_RATE);
                write!(f, "reported {after} ms after its beginning")
            }
            Outcome::Refused(Refusal::Weak) => write!(f, "too weak"),
            Outcome::Refused(Refusal::OtherSound) => {
                write!(f, "other sound: {:.0} % of the power is elsewhere", (1.0 - self.share) * 100.0)
            }
            Outcome::Refused(Refusal::OffFrequency) => {
                let low = seen.low_offset.abs() > seen.high_offset.abs();
                let (which, by) = if low { ("low", seen.low_offset) } else { ("high", seen.high_offset) };
                write!(f, "off frequency: the {which} tone by {by:+.1} %")
            }
            Outcome::Refused(Refusal::Twist) => {
                let twist = seen.twist();
                let (more, less) = if twist < 0.0 { ("low", "high") } else { ("high", "low") };
                write!(f, "too unequal: the {more} tone is {:.1} dB above the {less} one", twist.abs())
            }
            Outcome::Refused(Refusal::Wanders) => write!(f, "its frequencies wander, as a voice's do"),
            Outcome::Refused(Refusal::Short) => write!(f, "too short: about {:.0} ms", self.milliseconds()),
        }
    }
}

/// Windows that show the same digit one after the other.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    digit: Digit,
    first: u64,
    last: u64,
    windows: u32,
    clearest: Judgement,
    /// Of all windows.
    shares: f32,
    /// How many windows spoke against it for each reason, in the order of [`Refusal`].
    reasons: [u32; 6],
}

impl Stretch {
    fn new(digit: Digit, judgement: &Judgement) -> Self {
        let at = judgement.position;
        Stretch { digit, first: at, last: at, windows: 0, clearest: *judgement, shares: 0.0, reasons: [0; 6] }
    }

    fn add(&mut self, judgement: &Judgement) {
        self.last = judgement.position;
        self.windows = self.windows.saturating_add(1);
        self.shares += judgement.share.clamp(0.0, 1.0);
        if judgement.share > self.clearest.share {
            self.clearest = *judgement;
        }
        let reason = match judgement.verdict {
            Verdict::TooWeak => Some(Refusal::Weak),
            Verdict::OtherPower => Some(Refusal::OtherSound),
            Verdict::OffFrequency => Some(Refusal::OffFrequency),
            Verdict::Twist => Some(Refusal::Twist),
            Verdict::Wanders => Some(Refusal::Wanders),
            Verdict::TooShort | Verdict::Agrees => Some(Refusal::Short),
            Verdict::Accepted | Verdict::GoesOn | Verdict::Pauses | Verdict::Ended => None,
        };
        if let Some(count) = reason.and_then(|reason| self.reasons.get_mut(reason as usize)) {
            *count += 1;
        }
    }

    /// Why it is no digit. At a tone's edges the window holds other sound, whatever the tone is; so the most frequent of
    /// the other reasons counts, unless it is rare.
    fn refusal(&self) -> Refusal {
        let others = [Refusal::Wanders, Refusal::OffFrequency, Refusal::Twist, Refusal::Weak, Refusal::Short];
        let count = |reason: Refusal| self.reasons.get(reason as usize).copied().unwrap_or(0);
        let most = others.into_iter().max_by_key(|reason| count(*reason)).unwrap_or(Refusal::OtherSound);
        let plausible = match most {
            Refusal::Short => self.last - self.first < LONG,
            Refusal::Weak => self.clearest.low_dbm0.min(self.clearest.high_dbm0) < WEAK,
            _ => true,
        };
        if count(Refusal::Wanders) > 0 {
            Refusal::Wanders
        } else if plausible && 4 * count(most) >= self.windows {
            most
        } else {
            Refusal::OtherSound
        }
    }

    fn candidate(&self) -> Candidate {
        let began = (self.first + SLACK).saturating_sub(WINDOW);
        let ended = self.last.saturating_sub(SLACK).max(began);
        Candidate {
            digit: self.digit,
            began,
            ended,
            clearest: self.clearest,
            share: self.shares / self.windows.max(1) as f32,
            outcome: Outcome::Refused(self.refusal()),
        }
    }
}

/// A digit that was reported and goes on.
#[derive(Clone, Copy, Debug)]
struct Held {
    stretch: Stretch,
    began: u64,
    reported: u64,
}

/// Gathers what the detector says. Holds two stretches at a time, however long the audio.
#[derive(Default)]
struct Gatherer {
    open: Option<Stretch>,
    held: Option<Held>,
    /// The newest window that was judged.
    judged: u64,
}

impl Gatherer {
    fn judged(&mut self, judgement: &Judgement, sink: &mut dyn FnMut(Candidate)) {
        self.judged = judgement.position;
        if let Some(held) = &mut self.held
            && (matches!(judgement.verdict, Verdict::GoesOn)
                || judgement.verdict == Verdict::Accepted && held.reported == judgement.position)
        {
            if judgement.digit == Some(held.stretch.digit) {
                held.stretch.add(judgement);
            }
            return self.close(sink);
        }
        let loud = judgement.low_dbm0.max(judgement.high_dbm0) >= LEAST_LEVEL;
        let shown = judgement.digit.filter(|_| {
            loud && judgement.share >= LEAST_SHARE && !matches!(judgement.verdict, Verdict::Pauses | Verdict::Ended)
        });
        let Some(digit) = shown else { return self.close(sink) };
        let goes_on = |open: &Stretch| open.digit == digit && judgement.position <= open.last + APART;
        if !self.open.as_ref().is_some_and(goes_on) {
            self.close(sink);
        }
        self.open.get_or_insert_with(|| Stretch::new(digit, judgement)).add(judgement);
    }

    fn reported(&mut self, report: ToneReport, sink: &mut dyn FnMut(Candidate)) {
        match report.edge {
            ToneEdge::Start => {
                let stretch = self.open.take_if(|open| open.digit == report.digit);
                self.held =
                    stretch.map(|stretch| Held { stretch, began: report.position, reported: report.decided_at });
            }
            ToneEdge::End { .. } => {
                if let Some(Held { stretch, began, reported }) = self.held.take() {
                    let (ended, outcome) = (report.position, Outcome::Heard { reported });
                    sink(Candidate { began, ended, outcome, ..stretch.candidate() });
                }
            }
        }
    }

    /// The open stretch is over: it is no digit.
    fn close(&mut self, sink: &mut dyn FnMut(Candidate)) {
        if let Some(open) = self.open.take_if(|open| open.windows >= LEAST_WINDOWS) {
            sink(open.candidate());
        }
        self.open = None;
    }
}

/// Hears audio as [`Detector`] does, and tells of each candidate when it is over.
pub struct Listener {
    detector: Detector,
    /// Hears the same, amplified.
    magnifier: Detector,
    loud: Vec<i16>,
    gatherer: Gatherer,
    weak: Gatherer,
}

impl Default for Listener {
    fn default() -> Self {
        Listener {
            detector: Detector::new(),
            magnifier: Detector::new(),
            loud: Vec::new(),
            gatherer: Gatherer::default(),
            weak: Gatherer::default(),
        }
    }
}

impl Listener {
    /// Listens to the next samples.
    pub fn feed(&mut self, samples: &[i16], sink: &mut dyn FnMut(Candidate)) {
        // A window at a time, so that both detectors have heard the same when their words are compared.
        for piece in samples.chunks(WINDOW as usize) {
            self.feed_piece(piece, sink);
        }
    }

    /// The audio is over.
    pub fn finish(mut self, sink: &mut dyn FnMut(Candidate)) {
        let mut ends = Vec::new();
        self.detector.finish(&mut |report| ends.push(report));
        ends.into_iter().for_each(|report| self.gatherer.reported(report, sink));
        self.gatherer.close(sink);
        self.weak.close(sink);
    }

    fn feed_piece(&mut self, samples: &[i16], sink: &mut dyn FnMut(Candidate)) {
        // Both kinds of words in the order in which they are said.
        let words = std::cell::RefCell::new(Vec::new());
        self.detector.feed_explained(
            samples,
            &mut |report| words.borrow_mut().push(Word::Report(report)),
            &mut |judgement| words.borrow_mut().push(Word::Judgement(*judgement)),
        );
        let before = self.gatherer.judged;
        let mut looked_at = Vec::new();
        for word in words.into_inner() {
            match word {
                Word::Report(report) => self.gatherer.reported(report, sink),
                Word::Judgement(judgement) => {
                    looked_at.push(judgement.position);
                    self.gatherer.judged(&judgement, sink);
                }
            }
        }
        self.loud.clear();
        self.loud.extend(samples.iter().map(|sample| sample.saturating_mul(MAGNIFIED)));
        let mut weak = Vec::new();
        self.magnifier.feed_explained(&self.loud, &mut |_| {}, &mut |judgement| weak.push(*judgement));
        let magnified = 20.0 * f32::from(MAGNIFIED).log10();
        for mut judgement in weak {
            // A tone that the detector looked at itself is over for this one, its edges too.
            let near = |at: &u64| at.abs_diff(judgement.position) <= WINDOW;
            if near(&before) || looked_at.iter().any(near) {
                self.weak.open = None;
                continue;
            }
            judgement.low_dbm0 -= magnified;
            judgement.high_dbm0 -= magnified;
            judgement.verdict = Verdict::TooWeak;
            self.weak.judged(&judgement, sink);
        }
    }
}

enum Word {
    Report(ToneReport),
    Judgement(Judgement),
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::dtmf::tone::{amplitude, frequencies};

    /// A digit's tones between silences: length in ms, levels in dBm0, frequency offset of the high tone in percent.
    fn tones(digit: Digit, ms: usize, low_dbm0: f64, high_dbm0: f64, high_off: f64, third: f64) -> Vec<i16> {
        let (low, high) = frequencies(digit);
        let peak = amplitude;
        let mut samples = vec![0; 1600];
        samples.extend((0..ms * 8).map(|n| {
            let wave = |hz: f64, peak: f64| peak * (TAU * hz * n as f64 / 8000.0).sin();
            (wave(low, peak(low_dbm0)) + wave(high * (1.0 + high_off / 100.0), peak(high_dbm0)) + wave(2700.0, third))
                as i16
        }));
        samples.resize(samples.len() + 1600, 0);
        samples
    }

    fn candidates(samples: &[i16], piece: usize) -> Vec<Candidate> {
        let mut listener = Listener::default();
        let mut all = Vec::new();
        for piece in samples.chunks(piece) {
            listener.feed(piece, &mut |candidate| all.push(candidate));
        }
        listener.finish(&mut |candidate| all.push(candidate));
        all
    }

    fn only(samples: &[i16]) -> Candidate {
        let all = candidates(samples, 1152);
        let [one] = all[..] else { panic!("{all:#?}") };
        one
    }

    #[test]
    fn a_digit_is_heard_with_its_measures() {
        for digit in Digit::ALL {
            let heard = only(&tones(digit, 80, -9.0, -11.0, 1.0, 0.0));
            assert_eq!(heard.digit, digit);
            let Outcome::Heard { reported } = heard.outcome else { panic!("{heard:?}") };
            assert!(reported > heard.began && reported <= heard.began + 60 * 8);
            assert!((heard.milliseconds() - 80.0).abs() < 15.0 && heard.began.abs_diff(1600) < 80, "{heard:?}");
            let seen = heard.clearest;
            assert!((seen.low_dbm0 + 9.0).abs() < 0.5 && (seen.high_dbm0 + 11.0).abs() < 0.5, "{seen:?}");
            assert!((seen.low_offset).abs() < 0.2 && (seen.high_offset - 1.0).abs() < 0.2, "{seen:?}");
            assert!((seen.twist() + 2.0).abs() < 0.5 && seen.share > 0.95);
        }
    }

    #[test]
    fn what_is_refused_has_a_reason() {
        let cases = [
            (tones(Digit::Five, 20, -10.0, -10.0, 0.0, 0.0), Refusal::Short, "too short: about "),
            (tones(Digit::Five, 60, -10.0, -10.0, 3.0, 0.0), Refusal::OffFrequency, "the high tone by +"),
            (tones(Digit::Five, 60, -6.0, -20.0, 0.0, 0.0), Refusal::Twist, "low tone is 14.0 dB above the high"),
            (tones(Digit::Five, 60, -45.0, -45.0, 0.0, 0.0), Refusal::Weak, "too weak"),
            (tones(Digit::Five, 60, -10.0, -10.0, 0.0, 7_000.0), Refusal::OtherSound, "% of the power is elsewhere"),
        ];
        for (samples, refusal, words) in cases {
            let refused = only(&samples);
            assert_eq!(refused.outcome, Outcome::Refused(refusal), "{refused:?}");
            assert_eq!(refused.digit, Digit::Five);
            assert!(refused.began.abs_diff(1600) < 120, "{refused:?}");
            assert!(refused.to_string().contains(words), "{refused}");
        }
        assert_eq!(candidates(&[0; 16_000], 500), []);
    }

    #[test]
    fn the_size_of_pieces_does_not_matter() {
        let mut samples = tones(Digit::One, 60, -10.0, -10.0, 0.0, 0.0);
        samples.extend(tones(Digit::One, 20, -10.0, -10.0, 0.0, 0.0));
        samples.extend(tones(Digit::D, 60, -48.0, -48.0, 0.0, 0.0));
        let whole = candidates(&samples, samples.len());
        assert_eq!(whole.len(), 3, "{whole:#?}");
        for piece in [1, 7, 160, 1000] {
            assert_eq!(candidates(&samples, piece), whole, "pieces of {piece}");
        }
    }
}
