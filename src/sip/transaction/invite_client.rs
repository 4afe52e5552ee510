//! The INVITE client transaction (RFC 3261 §17.1.1, RFC 6026 §7.2): timers A, B, D and M.

use std::time::Duration;

use super::{Heard, Tick, TimerConfig, earlier};
use crate::time::Time;

/// One INVITE of ours, from sending to the last repetition of its final response.
#[derive(Clone, Debug)]
pub struct InviteClient {
    state: State,
    reliable: bool,
    /// Timer A: when the INVITE goes out again, and the pause after that.
    again: Option<(Time, Duration)>,
    /// B, D or M, by state.
    end: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    Terminated,
}

impl InviteClient {
    /// The INVITE has just been sent.
    pub fn new(reliable: bool, timers: &TimerConfig, now: Time) -> Self {
        InviteClient {
            state: State::Calling,
            reliable,
            again: (!reliable).then(|| (now + timers.t1, timers.t1 * 2)),
            end: Some(now + timers.transaction()),
        }
    }

    /// Has nothing at all been heard yet? CANCEL must wait until something is (RFC 3261 §9.1).
    pub fn is_unheard(&self) -> bool {
        self.state == State::Calling
    }

    /// Is a final response still to come?
    pub fn is_pending(&self) -> bool {
        matches!(self.state, State::Calling | State::Proceeding)
    }

    /// A response came.
    pub fn on_response(&mut self, status: u16, timers: &TimerConfig, now: Time) -> Heard {
        match (self.state, status) {
            (State::Calling | State::Proceeding, 100..=199) => {
                self.state = State::Proceeding;
                self.again = None;
                self.end = None;
                Heard::Pass
            }
            (State::Calling | State::Proceeding, 200..=299) => {
                self.state = State::Accepted;
                self.again = None;
                self.end = Some(now + timers.transaction());
                Heard::Pass
            }
            (State::Calling | State::Proceeding, _) => {
                self.state = State::Completed;
                self.again = None;
                self.end = Some(if self.reliable { now } else { now + timers.d });
                Heard::PassAndAcknowledge
            }
            // Every 2xx is news to the user: it acknowledges them, and other forks may answer too.
            (State::Accepted, 200..=299) => Heard::Pass,
            (State::Completed, 300..) => Heard::Acknowledge,
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
            let tick = if self.state == State::Calling { Tick::TimedOut } else { Tick::Over };
            self.state = State::Terminated;
            self.again = None;
            self.end = None;
            return tick;
        }
        match self.again {
            Some((at, pause)) if at <= now => {
                self.again = Some((now + pause, pause * 2));
                Tick::Retransmit
            }
            _ => Tick::Idle,
        }
    }
}
