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
//! # Order
//! Presses are told in the order in which the keys went down. A tone is heard later than it arrives (playout delay, and
//! the time that the detector takes), a telephone event or an INFO at once: pressed after the tone, it would be
//! told before it. So on a leg that has pressed keys by tones alone lately ([`MEMORY`]), a new press by another way waits
//! as long as those tones took to be heard, and a little ([`MARGIN`]); a tone that began before it goes first. Legs
//! whose tones only repeat what events tell, and legs without tones, wait for nothing. (The first press by tones
//! may so be overtaken by a key pressed within its delay: a fifth of a second.)
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

/// For so long after a press by tones another one is reckoned with.
const MEMORY: Duration = Duration::from_secs(10);
/// How much later than the last ones a tone may be heard.
const MARGIN: Duration = Duration::from_millis(40);
/// The longest that a press waits for its turn.
const MAX_WAIT: Duration = Duration::from_millis(500);
/// Presses that wait for their turn; the first goes at once when there are more.
const MAX_WAITING: usize = 16;

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
    /// A new press, or its release, that comes out of [`Arbiter::poll`] when its turn has come.
    Waits {
        /// Which key.
        digit: Digit,
        /// The way that told of it.
        way: Way,
        /// It is the release.
        released: bool,
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

/// A press that waits for its turn.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Waiting {
    digit: Digit,
    way: Way,
    /// When the key went down.
    down: Time,
    /// When it is told at the latest.
    due: Time,
    /// Its release has been told of, too.
    released: Option<Duration>,
}

/// What is known of how late this leg's tones are heard.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Tones {
    /// The longest delay lately.
    delay: Duration,
    /// When the last one was told.
    last: Time,
}

/// One leg's arbiter.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Arbiter {
    /// Open presses, oldest first; at most [`MAX_OPEN`].
    open: VecDeque<Press>,
    /// Presses that wait for their turn, in the order of their keys going down; at most [`MAX_WAITING`].
    waiting: VecDeque<Waiting>,
    /// What has had its turn and has not been polled: what one report set free, at most two for each that waited.
    ready: VecDeque<Verdict>,
    tones: Option<Tones>,
}

impl Arbiter {
    /// Nothing pressed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges a report. The reports of one way must come in order; `now` is the moment of the judgement, and what
    /// counts for pairing is [`Report::at`]. Afterwards [`poll`](Self::poll) until it gives nothing: the report may have
    /// set others free.
    pub fn report(&mut self, report: Report, now: Time) -> Verdict {
        self.open.retain(|press| {
            let open_until = if press.held { press.at + MAX_HOLD } else { press.last + WINDOW };
            open_until >= now.min(report.at)
        });
        let verdict = match report.phase {
            Phase::Start => self.start(report),
            Phase::End { duration } => self.end(report, duration),
        };
        match verdict {
            Verdict::Press { .. } => self.queue(report, now),
            Verdict::Release { digit, way, duration } => {
                let of_it =
                    |waiting: &&mut Waiting| waiting.digit == digit && waiting.way == way && waiting.released.is_none();
                match self.waiting.iter_mut().find(of_it) {
                    Some(waiting) => {
                        waiting.released = Some(duration);
                        Verdict::Waits { digit, way, released: true }
                    }
                    None => verdict,
                }
            }
            other => other,
        }
    }

    /// The next verdict whose turn has come; none: nothing until the next report or [`deadline`](Self::deadline).
    pub fn poll(&mut self, now: Time) -> Option<Verdict> {
        if self.ready.is_empty() {
            let waiting = self.waiting.pop_front_if(|waiting| waiting.due <= now)?;
            self.turn(waiting);
        }
        self.ready.pop_front()
    }

    /// When [`poll`](Self::poll) is due; none: nothing waits.
    pub fn deadline(&self) -> Option<Time> {
        self.waiting.front().map(|waiting| waiting.due)
    }

    /// Whatever waits has its turn now: somebody has to decide.
    pub fn hurry(&mut self) {
        while let Some(waiting) = self.waiting.pop_front() {
            self.turn(waiting);
        }
    }

    /// A new press takes its place among those that wait.
    fn queue(&mut self, Report { digit, way, at, delay, .. }: Report, now: Time) -> Verdict {
        let down = at - delay;
        self.tones.take_if(|tones| now.since(tones.last) > MEMORY);
        if way == Way::InBand {
            let delay = now.since(down).max(self.tones.map_or(Duration::ZERO, |tones| tones.delay));
            self.tones = Some(Tones { delay, last: now });
            while let Some(before) = self.waiting.pop_front_if(|waiting| waiting.down < down) {
                self.turn(before);
            }
            if self.ready.is_empty() {
                return Verdict::Press { digit, way };
            }
            self.ready.push_back(Verdict::Press { digit, way });
            return Verdict::Waits { digit, way, released: false };
        }
        let wait = self.tones.map_or(Duration::ZERO, |tones| (tones.delay + MARGIN).min(MAX_WAIT));
        let due = down + wait;
        if self.waiting.is_empty() && (wait.is_zero() || due <= now) {
            return Verdict::Press { digit, way };
        }
        let place = self.waiting.partition_point(|waiting| waiting.down <= down);
        self.waiting.insert(place, Waiting { digit, way, down, due, released: None });
        if self.waiting.len() > MAX_WAITING
            && let Some(first) = self.waiting.pop_front()
        {
            self.turn(first);
        }
        Verdict::Waits { digit, way, released: false }
    }

    fn turn(&mut self, Waiting { digit, way, released, .. }: Waiting) {
        self.ready.push_back(Verdict::Press { digit, way });
        self.ready.extend(released.map(|duration| Verdict::Release { digit, way, duration }));
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
