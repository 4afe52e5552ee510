//! A lane without a thread: whoever holds it turns its clock, so that every run is the same. Its sockets are real.
//! For tests of pacing and allocation, and for benches that count instructions.

use std::sync::Arc;
use std::time::Duration;

use super::lane::{Lane, Moment};
use super::{CounterValues, EventSink, MediaConfig, MediaError, Shared};
use crate::media::MediaCommand;
use crate::random::Random;
use crate::time::Time;

/// One media thread's work, by hand.
pub struct SteppedLane {
    shared: Arc<Shared>,
    lane: Lane,
    started: Time,
    grid: u64,
}

impl SteppedLane {
    /// A lane at its millisecond 0, which is `started`. Threads and clock of the settings are not used.
    ///
    /// # Errors
    /// `Config` when the port range holds no pair.
    pub fn new(config: MediaConfig, mut random: Random, events: EventSink, started: Time) -> Result<Self, MediaError> {
        let shared = Arc::new(Shared::new(config, 1, &mut random, events)?);
        let load = shared.loads.first().cloned().unwrap_or_default();
        let lane = Lane::new(Arc::clone(&shared), load, random);
        Ok(SteppedLane { shared, lane, started, grid: 0 })
    }

    /// Carries out a command now.
    pub fn command(&mut self, command: MediaCommand) {
        self.lane.carry_out(command, self.moment());
    }

    /// Lets this many milliseconds pass, each slot run in its time.
    pub fn run(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.grid += 1;
            self.catch_up();
        }
    }

    /// Lets this many milliseconds pass in which nothing runs, as when the machine stands still; then all that is due.
    pub fn freeze(&mut self, milliseconds: u64) {
        self.grid += milliseconds;
        self.catch_up();
    }

    /// What has been counted so far.
    pub fn counters(&self) -> CounterValues {
        self.shared.counters()
    }

    fn catch_up(&mut self) {
        while self.lane.next_occupied().is_some_and(|slot| slot <= self.grid) {
            self.lane.run_slot(self.moment());
        }
    }

    fn moment(&self) -> Moment {
        Moment { grid: self.grid, now: self.started + Duration::from_millis(self.grid) }
    }
}
