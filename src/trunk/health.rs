//! How a proxy fares: OPTIONS at an interval (RFC 3261 §11), and what calls met there. After some failures in a row it is
//! down, after one answer it is up. Sending is the engine's.

use std::time::Duration;

use serde::Serialize;

use super::document::HealthCheck;
use crate::random::Random;
use crate::time::Time;

/// What is known of a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// Nothing has been heard of it yet.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It has failed too often in a row.
    Down,
}

/// One proxy's health.
#[derive(Clone, Debug, Default)]
pub struct Health {
    check: Option<HealthCheck>,
    standing: Standing,
    /// In a row.
    failures: u32,
    next: Option<Time>,
    /// An OPTIONS is out.
    asking: bool,
    /// What went wrong last, and when.
    last_error: Option<(Time, String)>,
    since: Option<Time>,
}

/// Failures of calls in a row after which a proxy that is not asked by OPTIONS counts as down.
const CALL_FAILURES: u32 = 3;

/// How long a proxy that is not asked by OPTIONS stays down: then calls try it in its turn again.
const FORGIVEN: Duration = Duration::from_secs(30);

impl Health {
    /// Asked as `check` says; none: never, and calls alone tell. The first OPTIONS goes within a second.
    pub fn new(check: Option<HealthCheck>, now: Time, random: &mut Random) -> Self {
        let next = check.as_ref().map(|_| now + Duration::from_millis(random.below(1_000)));
        Health { check, next, ..Health::default() }
    }

    /// When the next OPTIONS is due.
    pub fn deadline(&self) -> Option<Time> {
        self.next.filter(|_| !self.asking)
    }

    /// Is an OPTIONS to go out? If so its outcome must come by [`Health::answered`] or [`Health::failed`].
    pub fn ask(&mut self, now: Time) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        self.asking |= due;
        due
    }

    /// How long to wait for the answer to an OPTIONS.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.check.as_ref().map_or(4, |check| u64::from(check.timeout_seconds)))
    }

    /// An OPTIONS was answered. Any answer is a sign of life but one that says "not now"; a proxy that does not know
    /// OPTIONS (501) or this SIP version (505) is alive to say so.
    pub fn answered(&mut self, status: u16, now: Time, random: &mut Random) {
        self.schedule(now, random);
        match status {
            501 | 505 => self.good(now),
            408 | 500.. => self.bad(format!("OPTIONS was answered with {status}"), now),
            _ => self.good(now),
        }
    }

    /// An OPTIONS was not answered.
    pub fn failed(&mut self, problem: &str, now: Time, random: &mut Random) {
        self.schedule(now, random);
        self.bad(format!("OPTIONS: {problem}"), now);
    }

    /// A call was answered there, or refused by somebody beyond.
    pub fn call_heard(&mut self, now: Time) {
        self.good(now);
    }

    /// A call failed there.
    pub fn call_failed(&mut self, problem: &str, now: Time) {
        self.bad(format!("INVITE: {problem}"), now);
    }

    fn schedule(&mut self, now: Time, random: &mut Random) {
        self.asking = false;
        self.next = self.check.as_ref().map(|check| {
            let interval = u64::from(check.options_interval_seconds) * 1_000;
            // A fifth more or less, so that many do not ask at the same moment.
            now + Duration::from_millis(interval * 4 / 5 + random.below(interval * 2 / 5 + 1))
        });
    }

    fn good(&mut self, now: Time) {
        self.failures = 0;
        self.stand(Standing::Up, now);
    }

    fn bad(&mut self, problem: String, now: Time) {
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some((now, problem));
        if self.failures >= self.check.as_ref().map_or(CALL_FAILURES, |check| check.failures) {
            self.stand(Standing::Down, now);
        }
    }

    fn stand(&mut self, standing: Standing, now: Time) {
        // What fails again while it is down is down anew, for those who are forgiven.
        if self.standing != standing || self.check.is_none() {
            self.standing = standing;
            self.since = Some(now);
        }
    }

    /// What is known.
    pub fn standing(&self, now: Time) -> Standing {
        let forgiven = self.check.is_none() && self.since.is_some_and(|at| now.since(at) >= FORGIVEN);
        if self.standing == Standing::Down && forgiven { Standing::Unknown } else { self.standing }
    }

    /// Since when, where anything is known.
    pub fn since(&self) -> Option<Time> {
        self.since
    }

    /// What went wrong last, and when.
    pub fn last_error(&self) -> Option<&(Time, String)> {
        self.last_error.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck { options_interval_seconds: 10, timeout_seconds: 2, failures: 3 }
    }

    #[test]
    fn down_after_some_failures_in_a_row_and_up_after_one_answer() {
        let mut random = Random::from_number(1);
        let mut now = Time::EPOCH;
        let mut health = Health::new(Some(check()), now, &mut random);
        assert_eq!(health.standing(now), Standing::Unknown);
        let wait = |health: &mut Health, now: &mut Time| {
            let at = health.deadline().expect("it is asked");
            assert!(at.since(*now) <= Duration::from_secs(12));
            *now = at;
            assert!(health.ask(at) && !health.ask(at), "one at a time");
            assert_eq!(health.deadline(), None);
        };
        let mut random = Random::from_number(2);
        for (answer, standing) in [
            (Some(200), Standing::Up),
            (None, Standing::Up),
            (Some(503), Standing::Up),
            (Some(404), Standing::Up),
            (None, Standing::Up),
            (None, Standing::Up),
            (Some(503), Standing::Down),
            (None, Standing::Down),
            (Some(405), Standing::Up),
            (Some(503), Standing::Up),
            (Some(500), Standing::Up),
            (Some(501), Standing::Up),
            (Some(504), Standing::Up),
            (Some(408), Standing::Up),
            (Some(505), Standing::Up),
            (None, Standing::Up),
        ] {
            wait(&mut health, &mut now);
            match answer {
                Some(status) => health.answered(status, now, &mut random),
                None => health.failed("no answer in time", now, &mut random),
            }
            assert_eq!(health.standing(now), standing, "{answer:?}");
            let next = health.deadline().expect("again").since(now);
            assert!((Duration::from_secs(8)..=Duration::from_secs(12)).contains(&next), "{next:?}");
        }
        assert_eq!(health.last_error().unwrap().1, "OPTIONS: no answer in time");
    }

    #[test]
    fn without_options_calls_tell_and_forgive() {
        let now = Time::EPOCH;
        let mut health = Health::new(None, now, &mut Random::from_number(1));
        assert_eq!(health.deadline(), None);
        (0..3).for_each(|_| health.call_failed("no way there", now));
        assert_eq!(health.standing(now), Standing::Down);
        assert_eq!(health.standing(now + FORGIVEN), Standing::Unknown);
        health.call_heard(now);
        assert_eq!(health.standing(now), Standing::Up);
    }
}
