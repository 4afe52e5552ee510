//! The one clock: a monotonic reading anchored to the wall clock at start. Only shells have it; pure rooms get
//! [`Time`] with each input.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::Time;

/// Makes [`Time`] for a running engine. Never runs backwards, whatever happens to the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: Instant,
    anchored_at: Time,
}

impl Clock {
    /// Anchors to the wall clock as it is now.
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { anchor: Instant::now(), anchored_at: Time::EPOCH + since_epoch }
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.anchored_at + self.anchor.elapsed()
    }

    /// The runtime's instant for a moment, to sleep until; a moment that has passed is now.
    pub fn instant(&self, at: Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.anchor + at.since(self.anchored_at))
    }
}
