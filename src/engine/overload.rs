//! Overload as a state of the engine: entered when media threads run late for a while, left when they have been
//! punctual for a while. In it new calls are refused and the running ones go on. The state machine ([`Overload`]) is
//! pure; [`watch`] shows it the media threads' counters and tells the engine what it says.
//!
//! The worst thread counts: a call's thread is not chosen by load, so one of several new calls would meet it. A single
//! freeze of the machine is no overload: one tick of each leg is late by it, however long it lasts.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Hub;
use crate::media::worker::Punctuality;
use crate::time::Time;

/// Between two looks at the counters.
const INTERVAL: Duration = Duration::from_millis(250);
/// Lateness is judged over this span.
const WINDOW: Duration = Duration::from_secs(2);
/// Samples kept: the window's, and one before it. When full, the oldest goes.
const MOST_SAMPLES: usize = 12;
/// A thread with fewer ticks than this in the window (ten legs' worth) says nothing: it is not the calls that make it
/// late, and refusing some would not help it.
const LEAST_TICKS: u64 = 1_000;
/// The share below which a thread counts as punctual again, as a part of the share that made the overload.
const CALM_PART: f64 = 0.25;

/// When the engine is overloaded.
#[derive(Clone, Copy, Debug)]
pub struct OverloadSettings {
    /// Share of late ticks in the window that is too much, 0–1; 0: the engine is never overloaded.
    pub late_share: f64,
    /// How long all threads must have been punctual before calls are taken again.
    pub recovery: Duration,
}

/// The state has changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Into overload: this share of a thread's ticks was late.
    Overloaded { share: f64 },
    /// Out of it, after this long.
    Recovered { after: Duration },
}

/// The state and what it is judged by.
#[derive(Debug)]
pub struct Overload {
    settings: OverloadSettings,
    samples: VecDeque<(Time, Vec<Punctuality>)>,
    since: Option<Time>,
    calm_since: Option<Time>,
}

impl Overload {
    /// Not overloaded, nothing seen.
    pub fn new(settings: OverloadSettings) -> Self {
        let samples = VecDeque::with_capacity(MOST_SAMPLES);
        Overload { settings, samples, since: None, calm_since: None }
    }

    /// Takes what each media thread has counted so far.
    pub fn observe(&mut self, now: Time, threads: impl Iterator<Item = Punctuality>) -> Option<Change> {
        let share = self.late_share(now, threads.collect());
        if self.settings.late_share <= 0.0 {
            return None;
        }
        let Some(since) = self.since else {
            if share < self.settings.late_share {
                return None;
            }
            self.since = Some(now);
            self.calm_since = None;
            return Some(Change::Overloaded { share });
        };
        if share >= self.settings.late_share * CALM_PART {
            self.calm_since = None;
            return None;
        }
        let calm = now.since(*self.calm_since.get_or_insert(now));
        if calm < self.settings.recovery {
            return None;
        }
        self.since = None;
        Some(Change::Recovered { after: now.since(since) })
    }

    /// The worst thread's share of late ticks in the window.
    fn late_share(&mut self, now: Time, threads: Vec<Punctuality>) -> f64 {
        // The newest sample that is at least a window old is where the window begins.
        while self.samples.len() >= MOST_SAMPLES || self.samples.get(1).is_some_and(|(at, _)| now.since(*at) >= WINDOW)
        {
            self.samples.pop_front();
        }
        let worst = self.samples.front().map_or(0.0, |(_, before)| {
            let shares = threads.iter().zip(before).map(|(after, before)| {
                let ticks = after.ticks.saturating_sub(before.ticks);
                let late = after.late.saturating_sub(before.late);
                if ticks < LEAST_TICKS { 0.0 } else { late as f64 / ticks as f64 }
            });
            shares.fold(0.0, f64::max)
        });
        self.samples.push_back((now, threads));
        worst
    }
}

/// Watches the media threads for as long as the engine lives.
pub async fn watch(hub: Weak<Hub>, settings: OverloadSettings) {
    if settings.late_share <= 0.0 {
        return;
    }
    let mut overload = Overload::new(settings);
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(hub) = hub.upgrade() else { return };
        let change = overload.observe(hub.clock.now(), hub.media.punctuality());
        if let Some(change) = change {
            enact(&hub, change);
        }
    }
}

/// Makes it so.
pub fn enact(hub: &Arc<Hub>, change: Change) {
    let overloaded = matches!(change, Change::Overloaded { .. });
    hub.overloaded.store(overloaded, Ordering::Relaxed);
    hub.metrics.overloaded.set(i64::from(overloaded));
    match change {
        Change::Overloaded { share } => {
            hub.metrics.overloads.inc();
            tracing::warn!(
                late_percent = (share * 100.0).round(),
                calls = hub.calls.len(),
                "overloaded: media threads run late; new calls get 503 until they are punctual again",
            );
        }
        Change::Recovered { after } => {
            tracing::info!(seconds = after.as_secs(), "no longer overloaded: new calls are taken");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: OverloadSettings = OverloadSettings { late_share: 0.2, recovery: Duration::from_secs(5) };

    /// Two threads with these legs each; each step is one look.
    struct Bench {
        overload: Overload,
        now: Time,
        threads: [Punctuality; 2],
        legs: u64,
    }

    impl Bench {
        fn new(legs: u64) -> Self {
            let now = Time::EPOCH + Duration::from_secs(1_000);
            Bench { overload: Overload::new(SETTINGS), now, threads: Default::default(), legs }
        }

        /// Lives for so many looks with these shares of late ticks (percent); what changed, and at which look.
        fn live(&mut self, looks: u32, late: [u64; 2]) -> Vec<(u32, Change)> {
            let mut changes = Vec::new();
            for look in 0..looks {
                for (thread, late) in self.threads.iter_mut().zip(late) {
                    let ticks = self.legs * 50 / 4;
                    thread.ticks += ticks;
                    thread.late += ticks * late / 100;
                }
                self.now += INTERVAL;
                changes.extend(self.overload.observe(self.now, self.threads.into_iter()).map(|change| (look, change)));
            }
            changes
        }
    }

    #[test]
    fn lateness_beyond_the_setting_is_overload_and_calm_ends_it_after_a_while() {
        let mut bench = Bench::new(400);
        assert_eq!(bench.live(400, [15, 19]), [], "late, but not too late");
        let changes = bench.live(40, [0, 30]);
        // Within the window's two seconds.
        assert!(matches!(changes[..], [(..=8, Change::Overloaded { share })] if (0.2..0.31).contains(&share)));
        // Between the two bounds it stays what it is.
        assert_eq!(bench.live(400, [0, 10]), []);
        let changes = bench.live(60, [0, 1]);
        let [(look, Change::Recovered { after })] = changes[..] else { panic!("{changes:?}") };
        assert!((20..=30).contains(&look), "five seconds after the window is calm: {look}");
        assert!(after > Duration::from_secs(100), "{after:?}");
        assert_eq!(bench.live(100, [0, 1]), []);
    }

    #[test]
    fn calm_must_last() {
        let mut bench = Bench::new(400);
        assert_eq!(bench.live(20, [50, 50]).len(), 1);
        for _ in 0..20 {
            assert_eq!(bench.live(16, [0, 0]), [], "four seconds of calm are not enough");
            assert_eq!(bench.live(4, [0, 60]), []);
        }
        assert_eq!(bench.live(60, [0, 0]).len(), 1);
    }

    #[test]
    fn a_freeze_is_no_overload() {
        let mut bench = Bench::new(400);
        bench.live(40, [0, 0]);
        // A second stands still; then one tick of each leg is late.
        bench.now += Duration::from_secs(1);
        for thread in &mut bench.threads {
            thread.ticks += 400;
            thread.late += 400;
        }
        assert_eq!(bench.overload.observe(bench.now, bench.threads.into_iter()), None);
        assert_eq!(bench.live(40, [0, 0]), []);
    }

    #[test]
    fn few_legs_and_none_say_nothing() {
        let mut bench = Bench::new(8);
        assert_eq!(bench.live(100, [100, 100]), []);
        bench.legs = 400;
        assert_eq!(bench.live(20, [100, 100]).len(), 1);
        // All calls gone: nothing runs late any more.
        bench.legs = 0;
        assert_eq!(bench.live(40, [0, 0]).len(), 1);
    }

    #[test]
    fn without_a_bound_there_is_no_overload() {
        let mut bench = Bench::new(400);
        bench.overload = Overload::new(OverloadSettings { late_share: 0.0, ..SETTINGS });
        assert_eq!(bench.live(100, [100, 100]), []);
    }
}
