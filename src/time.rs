//! A moment as plain data: what the pure rooms know of time. It comes in as a value with every input;
//! only the engine (and a test's virtual clock) makes one.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment, in microseconds since the Unix epoch.
///
/// The engine derives it from a monotonic clock anchored to the wall clock at start, so it never runs backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The Unix epoch: where virtual clocks start.
    pub const EPOCH: Time = Time(0);

    /// The moment `micros` microseconds after the Unix epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Time(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with six fraction digits, as logs and timelines show it.
    pub fn to_rfc3339(self) -> String {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(stamp) => format!("{stamp:.6}"),
            Err(_) => format!("{}us", self.0),
        }
    }

    /// What [`Time::to_rfc3339`] wrote; none: it is no such text, or before the epoch.
    pub fn from_rfc3339(text: &str) -> Option<Time> {
        let stamp: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(stamp.as_microsecond()).ok().map(Time)
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, d: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, d: Duration) {
        *self = *self + d;
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    fn sub(self, d: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_adds_and_never_underflows() {
        let t = Time::from_micros(1_000_000);
        assert_eq!((t + Duration::from_millis(20)).since(t), Duration::from_millis(20));
        assert_eq!(t.since(t + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(t - Duration::from_secs(9), Time::EPOCH);
        assert_eq!(t.to_rfc3339(), "1970-01-01T00:00:01.000000Z");
    }
}
