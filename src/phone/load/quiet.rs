//! Is the machine fit for timing now? All cores are kept busy for a while, and the time in which a core did not run us
//! is counted: it went to other programs, to interrupts, or to whoever else the hypervisor serves.

use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// A gap between two looks at the clock that is not our own doing.
const GAP: Duration = Duration::from_micros(200);
/// The most of the time that may be lost.
const MAX_LOST: f64 = 0.03;
/// The longest gap that may be.
const MAX_GAP: Duration = Duration::from_millis(5);

/// What one core withheld.
#[derive(Clone, Copy, Debug)]
pub struct Core {
    /// Its number.
    pub number: usize,
    /// The part of the time that was lost, 0–1.
    pub lost: f64,
    /// The longest time at a piece.
    pub longest: Duration,
}

impl Core {
    /// Would a figure taken now stand?
    pub fn is_quiet(&self) -> bool {
        self.lost < MAX_LOST && self.longest < MAX_GAP
    }
}

/// Watches every core that we may run on for so long.
pub fn watch(duration: Duration) -> Vec<Core> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false));
    let threads: Vec<_> = cores.map(|core| std::thread::spawn(move || watch_one(core, duration))).collect();
    threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
}

fn watch_one(number: usize, duration: Duration) -> Core {
    let mut own = CpuSet::new();
    // Unpinned it may be watched on another core: told wrongly, but watched.
    let _ = own.set(number).and_then(|()| sched_setaffinity(Pid::from_raw(0), &own));
    let start = Instant::now();
    let (mut last, mut lost, mut longest) = (start, Duration::ZERO, Duration::ZERO);
    while last.duration_since(start) < duration {
        let now = Instant::now();
        let gap = now.duration_since(last);
        if gap > GAP {
            lost += gap;
        }
        longest = longest.max(gap);
        last = now;
    }
    Core { number, lost: lost.as_secs_f64() / last.duration_since(start).as_secs_f64().max(1e-9), longest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_core_is_watched() {
        let cores = watch(Duration::from_millis(20));
        assert!(!cores.is_empty());
        assert!(cores.iter().all(|core| (0.0..=1.0).contains(&core.lost)), "{cores:?}");
        let noisy = Core { number: 0, lost: 0.0, longest: Duration::from_secs(1) };
        assert!(!noisy.is_quiet());
    }
}
