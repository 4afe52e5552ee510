//! One media thread: turns a lane by the real clock.
//!
//! The thread sleeps in its command queue until the next slot that has legs, on an absolute grid (deadlines never
//! drift), so a command is carried out at once and an idle thread costs nothing.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::lane::{Lane, Moment};
use crate::clock::Clock;
use crate::media::MediaCommand;

/// A lane and its clock.
pub(super) struct LaneThread {
    lane: Lane,
    clock: Clock,
    /// Grid millisecond 0.
    epoch: Instant,
}

impl LaneThread {
    pub(super) fn new(lane: Lane, clock: Clock) -> Self {
        LaneThread { lane, clock, epoch: Instant::now() }
    }

    /// Works until the queue is closed; then closes all legs.
    pub(super) fn run(mut self, queue: &Receiver<MediaCommand>) {
        while self.wait(queue) {
            self.lane.run_slot(self.moment());
        }
        self.lane.close_all(self.moment());
    }

    /// Carries out commands until the next slot with legs is due. False: the queue is closed.
    fn wait(&mut self, queue: &Receiver<MediaCommand>) -> bool {
        loop {
            let received = match self.lane.next_occupied() {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(slot) => {
                    let left = (self.epoch + Duration::from_millis(slot)).saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return true;
                    }
                    queue.recv_timeout(left)
                }
            };
            match received {
                Ok(command) => self.lane.carry_out(command, self.moment()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn moment(&self) -> Moment {
        Moment { grid: self.epoch.elapsed().as_millis() as u64, now: self.clock.now() }
    }
}
