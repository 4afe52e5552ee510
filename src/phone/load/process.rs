//! What the system says of processes and of the machine: CPU time, memory, descriptors, time stolen (proc(5)).

use std::fs;

/// Ticks a second in which the kernel tells CPU time: USER_HZ, 100 on every machine that this runs on.
const TICKS: f64 = 100.0;

/// Some processes together, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time since their start, in milliseconds; the kernel tells it in steps of 10.
    pub cpu_ms: f64,
    /// Resident memory in KiB.
    pub memory_kib: u64,
    /// Open descriptors.
    pub descriptors: u64,
}

impl Usage {
    /// Of these processes; none: one of them is not there (or not ours to look at).
    pub fn of(pids: &[u32]) -> Option<Usage> {
        let mut sum = Usage::default();
        for pid in pids {
            let (cpu_ms, status) = (cpu_ms(*pid)?, fs::read_to_string(format!("/proc/{pid}/status")).ok()?);
            let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            sum.cpu_ms += cpu_ms;
            sum.memory_kib +=
                memory.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0u64);
            sum.descriptors += fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64);
        }
        Some(sum)
    }
}

/// User and system time of one process, in milliseconds.
pub fn cpu_ms(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let fields = stat.rsplit_once(") ")?.1.split(' ').collect::<Vec<_>>();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) * 1000.0 / TICKS)
}

/// What the machine did not give to its programs, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// Time of all cores that the hypervisor gave to others, in milliseconds.
    pub stolen_ms: f64,
    /// Time for which our control group was not let run because it had used up its share, in milliseconds.
    pub throttled_ms: f64,
}

impl Machine {
    /// As it is now; zeroes where the system does not tell.
    pub fn now() -> Machine {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let stolen = stat.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse::<f64>().ok());
        let group = fs::read_to_string("/sys/fs/cgroup/cpu.stat").unwrap_or_default();
        let throttled = group.lines().find_map(|line| line.strip_prefix("throttled_usec ")?.parse::<f64>().ok());
        Machine { stolen_ms: stolen.unwrap_or(0.0) * 1000.0 / TICKS, throttled_ms: throttled.unwrap_or(0.0) / 1000.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_there_and_use_something() {
        let own = Usage::of(&[std::process::id()]).unwrap();
        assert!(own.memory_kib > 100 && own.descriptors >= 3 && own.cpu_ms >= 0.0, "{own:?}");
        assert!(Usage::of(&[u32::MAX]).is_none());
        assert!(Machine::now().stolen_ms >= 0.0);
    }
}
