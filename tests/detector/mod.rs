//! The in-band detector against the conditions it is judged by: tones within the limits of ITU-T Q.24, each of which is
//! one digit, and sounds that are none. Every condition is a row of a table ([`accept`], [`reject`], [`beyond`]); a
//! condition that is lost is named with what was missed or imagined. [`speech`] is hours of voices without a digit.

mod accept;
mod beyond;
mod keying;
mod line;
mod loss;
mod reject;
mod sound;
mod speech;

use std::fmt::Write;

use strowger::dtmf::Digit;
use strowger::dtmf::tone::{Detector, ToneEdge, ToneReport};
use strowger::random::Random;

use self::keying::Keying;
use self::line::Line;
use self::sound::Sound;

/// Samples that the detector is fed at a time: a frame of the engine.
const FRAME: usize = 160;
/// A digit may be reported this long before its tone is said to begin, in ms: a detector may be exact, no prophet.
const EARLIEST: f64 = 30.0;
/// And this long after its tone's start, or after its end, whichever is later.
const LATEST_AFTER_START: f64 = 115.0;
const LATEST_AFTER_END: f64 = 70.0;

/// A row: what is heard, what the line does to it, and what must be made of it.
struct Condition {
    name: &'static str,
    source: Source,
    line: Line,
    expect: Expect,
}

/// What is heard.
enum Source {
    /// Keys that are pressed.
    Keys(Keying),
    /// Sounds that are no keys, or not clean ones.
    Sounds(Sound),
}

/// What must be made of it.
#[derive(Clone, Copy)]
enum Expect {
    /// Each digit exactly once, and no other.
    EachOnce,
    /// This part of the digits, and no other more often than is missed.
    Share(f64),
    /// No digit.
    Nothing,
}

impl Condition {
    const fn keys(name: &'static str, keying: Keying, line: Line) -> Self {
        Condition { name, source: Source::Keys(keying), line, expect: Expect::EachOnce }
    }

    const fn nothing(name: &'static str, source: Source) -> Self {
        Condition { name, source, line: Line::Clean, expect: Expect::Nothing }
    }

    const fn expecting(self, expect: Expect) -> Self {
        Condition { name: self.name, source: self.source, line: self.line, expect }
    }

    /// What is heard, the same at each run.
    fn scene(&self) -> Scene {
        // FNV-1a: any number will do that is the name's own.
        let seed = self
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut random = Random::from_number(seed);
        let mut scene = match &self.source {
            Source::Keys(keying) => keying.press(&mut random),
            Source::Sounds(sound) => Scene { samples: sound.make(&mut random), presses: Vec::new() },
        };
        self.line.carry(&mut scene.samples, &mut random);
        scene
    }

    fn judge(&self) -> Verdict {
        let scene = self.scene();
        scene.compare(&heard(&sound::to_pcm(&scene.samples)))
    }

    fn is_kept(&self, verdict: &Verdict) -> bool {
        let wrong = verdict.missed.len().max(verdict.imagined.len());
        match self.expect {
            Expect::EachOnce | Expect::Nothing => wrong == 0,
            Expect::Share(share) => wrong as f64 <= (1.0 - share) * verdict.pressed as f64,
        }
    }
}

/// A key as it was pressed: its tone's beginning and end in ms.
#[derive(Clone, Copy)]
struct Press {
    digit: Digit,
    began: f64,
    ended: f64,
}

/// What is heard, in units of 16-bit samples, and the keys in it.
struct Scene {
    samples: Vec<f64>,
    presses: Vec<Press>,
}

/// What became of the keys.
#[derive(Default)]
struct Verdict {
    pressed: usize,
    missed: Vec<Press>,
    /// Digits that were reported and not pressed, or a second time, and when.
    imagined: Vec<(Digit, f64)>,
    /// From each tone's beginning to its report, in ms.
    latencies: Vec<f64>,
}

impl Scene {
    /// Which key is which report's. A report belongs to one key only.
    fn compare(&self, reports: &[(Digit, f64)]) -> Verdict {
        let mut verdict = Verdict { pressed: self.presses.len(), ..Verdict::default() };
        let mut left = reports.to_vec();
        for press in &self.presses {
            let latest = (press.began + LATEST_AFTER_START).max(press.ended + LATEST_AFTER_END);
            let during = press.began - EARLIEST..=latest;
            match left.iter().position(|(digit, at)| *digit == press.digit && during.contains(at)) {
                Some(at) => verdict.latencies.push(left.remove(at).1 - press.began),
                None => verdict.missed.push(*press),
            }
        }
        verdict.imagined = left;
        verdict
    }
}

/// The digits that are reported, and the moments of their reports in ms.
fn heard(samples: &[i16]) -> Vec<(Digit, f64)> {
    let mut detector = Detector::new();
    let mut starts = Vec::new();
    let mut note = |report: ToneReport| {
        if report.edge == ToneEdge::Start {
            starts.push((report.digit, report.decided_at as f64 / 8.0));
        }
    };
    for frame in samples.chunks(FRAME) {
        detector.feed(frame, &mut note);
    }
    detector.finish(&mut note);
    starts
}

/// Judges all conditions of a table, and names those that are lost.
fn keep(table: &[Condition]) {
    let mut lost = String::new();
    let mut count = 0;
    for condition in table {
        let verdict = condition.judge();
        if !condition.is_kept(&verdict) {
            count += 1;
            let _ = writeln!(lost, "  {}: {}", condition.name, verdict.describe());
        }
    }
    assert!(count == 0, "{count} of {} conditions are lost:\n{lost}", table.len());
}

impl Verdict {
    /// What went wrong, the first few of each kind.
    fn describe(&self) -> String {
        const SHOWN: usize = 6;
        let mut text = String::new();
        if !self.missed.is_empty() {
            let _ = write!(text, "{} of {} digits missed:", self.missed.len(), self.pressed);
            for press in self.missed.iter().take(SHOWN) {
                let _ = write!(text, " {} at {:.0} ms", press.digit, press.began);
            }
            text += if self.missed.len() > SHOWN { " …; " } else { "; " };
        }
        if !self.imagined.is_empty() {
            let _ = write!(text, "{} imagined:", self.imagined.len());
            for (digit, at) in self.imagined.iter().take(SHOWN) {
                let _ = write!(text, " {digit} at {at:.0} ms");
            }
            text += if self.imagined.len() > SHOWN { " …" } else { "" };
        }
        text
    }
}

/// A judge that sees nothing would keep every condition.
#[test]
fn the_judge_sees_what_is_missed_and_imagined() {
    let press = |digit, began| Press { digit, began, ended: began + 50.0 };
    let scene = Scene { samples: Vec::new(), presses: vec![press(Digit::One, 100.0), press(Digit::One, 200.0)] };
    let judged = |reports: &[(Digit, f64)]| {
        let verdict = scene.compare(reports);
        (verdict.missed.len(), verdict.imagined.len(), verdict.latencies)
    };
    assert_eq!(judged(&[(Digit::One, 135.0), (Digit::One, 240.0)]), (0, 0, vec![35.0, 40.0]));
    assert_eq!(judged(&[(Digit::One, 135.0)]), (1, 0, vec![35.0]));
    assert_eq!(judged(&[(Digit::One, 135.0), (Digit::One, 150.0), (Digit::One, 240.0)]).1, 1, "split");
    assert_eq!(judged(&[(Digit::Two, 135.0), (Digit::One, 240.0)]), (1, 1, vec![40.0]), "taken for another");
    assert_eq!(judged(&[(Digit::One, 60.0), (Digit::One, 400.0)]), (2, 2, vec![]), "not at that time");

    let named = Condition::keys("beeps", Keying::PLAIN, Line::Clean);
    let none = Verdict { pressed: 200, missed: vec![press(Digit::One, 1.0)], ..Verdict::default() };
    assert!(!named.is_kept(&none));
    assert!(named.expecting(Expect::Share(0.99)).is_kept(&none));
    assert!(none.describe().contains("1 of 200 digits missed: 1 at 1 ms"));
}

/// The tables hold what they are said to hold, each under a name of its own.
#[test]
fn the_conditions_are_all_there() {
    let mut names: Vec<&str> =
        accept::tables().chain(reject::tables()).flatten().map(|condition| condition.name).collect();
    assert_eq!(accept::tables().flatten().count(), 68);
    assert_eq!(reject::tables().flatten().count(), 62);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 68 + 62);
}
