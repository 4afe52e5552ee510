//! The non-INVITE server transaction (RFC 3261 §17.2.2): timer J.

use super::{Tick, TimerConfig};
use crate::time::Time;

/// One BYE or INFO of the peer's.
#[derive(Clone, Debug)]
pub struct Server {
    reliable: bool,
    responded: bool,
    /// Timer J.
    end: Option<Time>,
}

impl Server {
    /// The request has just arrived.
    pub fn new(reliable: bool) -> Self {
        Server { reliable, responded: false, end: None }
    }

    /// The request came again: is our last response, if there is one, to be sent again?
    pub fn on_repetition(&self) -> bool {
        true
    }

    /// A response is being sent. False: a final one has been sent already.
    pub fn on_respond(&mut self, status: u16, timers: &TimerConfig, now: Time) -> bool {
        if self.responded {
            return false;
        }
        if status >= 200 {
            self.responded = true;
            self.end = Some(if self.reliable { now } else { now + timers.transaction() });
        }
        true
    }

    /// When `timeout` has something to do.
    pub fn deadline(&self) -> Option<Time> {
        self.end
    }

    /// The clock has moved.
    pub fn timeout(&mut self, now: Time) -> Tick {
        if self.end.is_some_and(|at| at <= now) {
            self.end = None;
            return Tick::Over;
        }
        Tick::Idle
    }
}
