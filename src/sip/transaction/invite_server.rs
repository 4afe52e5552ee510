//! The INVITE server transaction (RFC 3261 §17.2.1, RFC 6026 §7.1): timers G, H, I and L. Repeating a 2xx until its
//! ACK is the leg's (RFC 3261 §13.3.1.4).

use std::time::Duration;

use super::{Tick, TimerConfig, earlier};
use crate::time::Time;

/// One INVITE of the peer's.
#[derive(Clone, Debug)]
pub struct InviteServer {
    state: State,
    reliable: bool,
    /// Timer G: when the final response goes out again, and the pause after that.
    again: Option<(Time, Duration)>,
    /// H, I or L, by state.
    end: Option<Time>,
    t2: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
    Terminated,
}

/// Whose an ACK is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledged {
    /// It acknowledged our 300–699, or repeats that: done with.
    Here,
    /// It belongs to a 2xx: for the dialog.
    Dialog,
}

impl InviteServer {
    /// The INVITE has just arrived.
    pub fn new(reliable: bool, timers: &TimerConfig) -> Self {
        InviteServer { state: State::Proceeding, reliable, again: None, end: None, t2: timers.t2 }
    }

    /// Is our final response still to come?
    pub fn is_pending(&self) -> bool {
        self.state == State::Proceeding
    }

    /// The INVITE came again: is our last response to be sent again?
    pub fn on_repetition(&self) -> bool {
        matches!(self.state, State::Proceeding | State::Completed)
    }

    /// A response is being sent. False: it is too late for it.
    pub fn on_respond(&mut self, status: u16, timers: &TimerConfig, now: Time) -> bool {
        if self.state != State::Proceeding {
            return false;
        }
        match status {
            ..=199 => {}
            200..=299 => {
                self.state = State::Accepted;
                self.end = Some(now + timers.transaction());
            }
            _ => {
                self.state = State::Completed;
                self.again = (!self.reliable).then(|| (now + timers.t1, (timers.t1 * 2).min(timers.t2)));
                self.end = Some(now + timers.transaction());
            }
        }
        true
    }

    /// An ACK with this transaction's branch came.
    pub fn on_ack(&mut self, timers: &TimerConfig, now: Time) -> Acknowledged {
        match self.state {
            State::Completed => {
                self.state = State::Confirmed;
                self.again = None;
                self.end = Some(if self.reliable { now } else { now + timers.t4 });
                Acknowledged::Here
            }
            State::Confirmed => Acknowledged::Here,
            _ => Acknowledged::Dialog,
        }
    }

    /// When our final refusal went out; none: none did, or it was acknowledged.
    pub fn completed(&self, timers: &TimerConfig) -> Option<Time> {
        self.end.filter(|_| self.state == State::Completed).map(|end| end - timers.transaction())
    }

    /// When `timeout` has something to do.
    pub fn deadline(&self) -> Option<Time> {
        earlier(self.again.map(|(at, _)| at), self.end)
    }

    /// The clock has moved.
    pub fn timeout(&mut self, now: Time) -> Tick {
        if self.end.is_some_and(|at| at <= now) {
            let tick = if self.state == State::Completed { Tick::TimedOut } else { Tick::Over };
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
