//! Makes one press of the reports that one key may cause: a phone can send the same press as telephone event, as tones
//! in the audio (which bleed through gateways) and as SIP INFO, hundreds of milliseconds apart.
//! One arbiter for each leg. What is done with a press is call control's business.
//!
//! # Policy
//! Presses are counted **for each digit and way**. A way that reports a digit tells either of a press that another way
//! has already told of, or of a new one:
//! - It is paired with the **oldest open press of that digit that this way has not yet told of**; the report is then
//!   dropped as a duplicate, naming the way that won. So where 5 5 5 comes by all three ways, in whatever order the
//!   reports interleave, the n-th report of each way meets the n-th press: three presses.
//! - Without such a press it is a new press, and this way has won it. Two reports of one digit by one way are
//!   therefore never one press, however close: telling real presses apart is each way's own job.
//! - A press is open while its winner holds the key down, and [`WINDOW`] from the last thing that a way said of
//!   it. (INFO often comes after the key is up; a window from the start alone would count long presses twice.)
//! - While a telephone event holds a key down, a second in-band start of the same digit is the same key: its tone was
//!   torn by packet loss. The event is the better witness.
//!
//! The price: a press that the leading way lost altogether, and another way tells of within the window after a press of
//! the same digit that this other way had missed, is taken for that one. Two losses must meet for that.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Digit, Phase, Report, Way};
use crate::time::Time;

/// How long after the last word about a press another way may still tell of it.
pub const WINDOW: Duration = Duration::from_millis(500);
/// A press whose end was never told closes so long after its start.
const MAX_HOLD: Duration = Duration::from_secs(60);
/// Presses that are open at a time; the oldest is closed when there are more (its late reports would count anew).
const MAX_OPEN: usize = 64;

/// What the arbiter makes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// A new press: to be counted now.
    Press {
        /// Which key.
        digit: Digit,
        /// The way that told of it first.
        way: Way,
    },
    /// The key of an earlier [`Press`](Verdict::Press) came up: as told by the way that won it. Not to be counted.
    Release {
        /// Which key.
        digit: Digit,
        /// The way that won the press.
        way: Way,
        /// How long the key was down.
        duration: Duration,
    },
    /// Nothing new.
    Dropped {
        /// Why; its `Display` is for the timeline.
        reason: DropReason,
    },
}

/// Why a report was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DropReason {
    /// Another way told of the same press before.
    Duplicate {
        /// Which key.
        digit: Digit,
        /// The way whose report was dropped.
        way: Way,
        /// The way that won.
        winner: Way,
        /// How much later than the winner's this report was.
        delay: Duration,
    },
    /// An in-band tone began again while a telephone event holds the key down.
    StillHeld {
        /// Which key.
        digit: Digit,
    },
    /// The end of a press that another way won, or that was never counted.
    EndOfDuplicate {
        /// Which key.
        digit: Digit,
        /// The way whose report was dropped.
        way: Way,
    },
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DropReason::Duplicate { digit, way, winner, delay } => {
                write!(f, "{digit} by {way} is the press that {winner} told of {} ms before", delay.as_millis())
            }
            DropReason::StillHeld { digit } => {
                write!(f, "{digit} by {} began again while {} holds the key down", Way::InBand, Way::TelephoneEvent)
            }
            DropReason::EndOfDuplicate { digit, way } => {
                write!(f, "end of {digit} by {way}: not the way that won the press")
            }
        }
    }
}

/// A press that other ways may still tell of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Press {
    digit: Digit,
    winner: Way,
    /// When the winner told of it.
    at: Time,
    /// The last word about it.
    last: Time,
    /// Does the winner still hold the key down?
    held: bool,
    /// By [`Way`]: has it told of this press?
    told: [bool; 3],
}

/// One leg's arbiter.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Arbiter {
    /// Open presses, oldest first; at most [`MAX_OPEN`].
    open: VecDeque<Press>,
}

impl Arbiter {
    /// Nothing pressed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges a report. The reports of one way must come in order; `now` is the moment of the judgement, and what
    /// counts for pairing is [`Report::at`].
    pub fn report(&mut self, report: Report, now: Time) -> Verdict {
        self.open.retain(|press| {
            let open_until = if press.held { press.at + MAX_HOLD } else { press.last + WINDOW };
            open_until >= now.min(report.at)
        });
        match report.phase {
            Phase::Start => self.start(report),
            Phase::End { duration } => self.end(report, duration),
        }
    }

    /// Presses that other ways may still tell of.
    pub fn open_presses(&self) -> usize {
        self.open.len()
    }

    fn start(&mut self, Report { digit, way, at, .. }: Report) -> Verdict {
        let mut same_digit = self.open.iter_mut().filter(|press| press.digit == digit);
        if let Some(press) = same_digit.find(|press| !press.told[way as usize]) {
            press.told[way as usize] = true;
            press.last = press.last.max(at);
            let (winner, delay) = (press.winner, at.since(press.at));
            return Verdict::Dropped { reason: DropReason::Duplicate { digit, way, winner, delay } };
        }
        let event_holds = |press: &Press| press.digit == digit && press.winner == Way::TelephoneEvent && press.held;
        if way == Way::InBand && self.open.iter().any(event_holds) {
            return Verdict::Dropped { reason: DropReason::StillHeld { digit } };
        }
        for press in self.open.iter_mut().filter(|press| press.digit == digit && press.winner == way) {
            press.held = false; // one way holds a key once; the end of the press before got lost
        }
        if self.open.len() >= MAX_OPEN {
            self.open.pop_front();
        }
        let mut told = [false; 3];
        told[way as usize] = true;
        self.open.push_back(Press { digit, winner: way, at, last: at, held: true, told });
        Verdict::Press { digit, way }
    }

    fn end(&mut self, Report { digit, way, at, .. }: Report, duration: Duration) -> Verdict {
        let mut of_digit = self.open.iter_mut().filter(|press| press.digit == digit);
        match of_digit.find(|press| press.winner == way && press.held) {
            Some(press) => {
                press.held = false;
                press.last = press.last.max(at);
                Verdict::Release { digit, way, duration }
            }
            None => Verdict::Dropped { reason: DropReason::EndOfDuplicate { digit, way } },
        }
    }
}

#[cfg(test)]
#[path = "arbiter_tests.rs"]
mod tests;
