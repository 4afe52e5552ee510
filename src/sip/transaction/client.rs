//! The non-INVITE client transaction (RFC 3261 §17.1.2): timers E, F and K.

use std::time::Duration;

use super::{Heard, Tick, TimerConfig, earlier};
use crate::time::Time;

/// One BYE, CANCEL, INFO or OPTIONS of ours.
#[derive(Clone, Debug)]
pub struct Client {
    state: State,
    reliable: bool,
    /// Timer E: when the request goes out again, and the pause after that.
    again: Option<(Time, Duration)>,
    /// F or K, by state.
    end: Option<Time>,
    t2: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Trying,
    Proceeding,
    Completed,
    Terminated,
}

impl Client {
    /// The request has just been sent.
    pub fn new(reliable: bool, timers: &TimerConfig, now: Time) -> Self {
        Client {
            state: State::Trying,
            reliable,
            again: (!reliable).then(|| (now + timers.t1, (timers.t1 * 2).min(timers.t2))),
            end: Some(now + timers.transaction()),
            t2: timers.t2,
        }
    }

    /// Is a final response still to come?
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Trying | State::Proceeding)
    }

    /// A response came.
    pub fn on_response(&mut self, status: u16, timers: &TimerConfig, now: Time) -> Heard {
        match (self.state, status) {
            (State::Trying | State::Proceeding, 100..=199) => {
                self.state = State::Proceeding;
                if let Some((_, pause)) = &mut self.again {
                    *pause = timers.t2;
                }
                Heard::Pass
            }
            (State::Trying | State::Proceeding, _) => {
                self.state = State::Completed;
                self.again = None;
                self.end = Some(if self.reliable { now } else { now + timers.t4 });
                Heard::Pass
            }
            _ => Heard::Ignore,
        }
    }

    /// When `timeout` has something to do.
    pub fn deadline(&self) -> Option<Time> {
        earlier(self.again.map(|(at, _)| at), self.end)
    }

    /// The clock has moved.
    pub fn timeout(&mut self, now: Time) -> Tick {
        if self.end.is_some_and(|at| at <= now) {
            let tick = if self.is_pending() { Tick::TimedOut } else { Tick::Over };
            self.state = State::Terminated;
            self.again = None;
            self.end = None;
            return tick;
        }
        match self.again {
            Some((at, pause)) if at <= now => {
                self.again = Some((now + pause, (pause * 2).min(self.t2)));
                Tick::Retransmit
            }
            _ => Tick::Idle,
        }
    }
}
