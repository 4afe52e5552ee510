//! The figures of a run: as lines for a person, as a line of JSON, and many runs as a Markdown table with ratios.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Label of the runs that others are divided by.
pub const FLOOR: &str = "floor";

/// What a run measured. Times are milliseconds; none: nothing to measure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// The run's name.
    pub label: String,
    /// What the callers said.
    pub said: String,
    /// Calls asked for.
    pub calls: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that failed, or were ended by the other end.
    pub failed: u64,
    /// Why, and how many.
    pub failures: BTreeMap<String, u64>,
    /// SIP messages that were sent again.
    pub retransmissions: u64,
    /// Calls up while it was measured.
    pub held: u64,
    /// How long it was measured.
    pub seconds: f64,
    /// From the INVITE to its 200.
    pub answer_p50_ms: Option<f64>,
    /// The same.
    pub answer_p99_ms: Option<f64>,
    /// From the 200 to the first RTP packet.
    pub first_rtp_p50_ms: Option<f64>,
    /// The same.
    pub first_rtp_p99_ms: Option<f64>,
    /// RTP packets that came.
    pub packets: u64,
    /// What would have come at fifty a second and call.
    pub expected: u64,
    /// Packets that did not come, by their sequence numbers.
    pub lost: u64,
    /// Packets that came twice.
    pub repeated: u64,
    /// Packets that our own sockets lost.
    pub dropped_by_us: u64,
    /// Calls from which nothing came.
    pub without_rtp: u64,
    /// Calls from which only silence came.
    pub silent: u64,
    /// |gap between two arrivals − step of their timestamps|.
    pub gap_p50_ms: Option<f64>,
    /// The same.
    pub gap_p99_ms: Option<f64>,
    /// The same.
    pub gap_max_ms: Option<f64>,
    /// The longest gap between two packets of a call.
    pub longest_gap_ms: f64,
    /// CPU of the other end in milliseconds a call and second: a quarter of the windows had no more.
    pub cpu_p25: Option<f64>,
    /// The same: half of the windows.
    pub cpu_p50: Option<f64>,
    /// The same, over all windows.
    pub cpu_mean: Option<f64>,
    /// Its memory before the calls.
    pub memory_before_kib: Option<u64>,
    /// Its memory with them.
    pub memory_kib: Option<u64>,
    /// What a call took.
    pub memory_per_call_kib: Option<f64>,
    /// Descriptors that a call took.
    pub descriptors_per_call: Option<f64>,
    /// Packets sent.
    pub sent: u64,
    /// Packets that our system did not take.
    pub not_sent: u64,
    /// Frames that we left out because we were late.
    pub skipped: u64,
    /// Keys pressed.
    pub pressed: u64,
    /// Keys that we pressed badly, because we were late.
    pub disturbed: u64,
    /// INFO requests that were not answered with 200.
    pub refused_infos: u64,
    /// How late our own slots ran.
    pub own_late_p99_ms: Option<f64>,
    /// The same.
    pub own_late_max_ms: Option<f64>,
    /// Our own CPU, of one core.
    pub own_cpu_percent: f64,
    /// What the hypervisor gave to others, of all cores.
    pub stolen_percent: f64,
    /// How long our control group was held back.
    pub throttled_ms: f64,
    /// What speaks against these figures; empty: nothing that we saw.
    pub doubts: Vec<String>,
}

fn pair(one: Option<f64>, other: Option<f64>) -> String {
    format!("{} / {}", number(one), number(other))
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.2}"))
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "calls      asked {}  answered {}  failed {}  SIP sent again {}",
            self.calls, self.answered, self.failed, self.retransmissions
        )?;
        for (why, count) in &self.failures {
            writeln!(f, "           {count} × {why}")?;
        }
        writeln!(f, "INVITE→200 p50 / p99  {} ms", pair(self.answer_p50_ms, self.answer_p99_ms))?;
        writeln!(f, "200→RTP    p50 / p99  {} ms", pair(self.first_rtp_p50_ms, self.first_rtp_p99_ms))?;
        writeln!(
            f,
            "RTP in     {} of {} packets in {:.1} s  lost {}  twice {}  lost by us {}  calls without {}  silent {}",
            self.packets,
            self.expected,
            self.seconds,
            self.lost,
            self.repeated,
            self.dropped_by_us,
            self.without_rtp,
            self.silent
        )?;
        writeln!(
            f,
            "pacing     |gap − timestamp step| p50 / p99  {} ms  max {} ms  longest gap {:.1} ms",
            pair(self.gap_p50_ms, self.gap_p99_ms),
            number(self.gap_max_ms),
            self.longest_gap_ms
        )?;
        writeln!(f, "RTP out    {}  not taken {}  left out {}", self.sent, self.not_sent, self.skipped)?;
        if self.pressed > 0 {
            writeln!(
                f,
                "keys       pressed {}  badly, because we were late {}  INFO refused {}",
                self.pressed, self.disturbed, self.refused_infos
            )?;
        }
        if self.cpu_mean.is_some() {
            writeln!(
                f,
                "target     CPU {} ms a call-second (p25 / p50 of the windows), mean {}  memory {} → {} KiB, {} a call  descriptors {} a call",
                pair(self.cpu_p25, self.cpu_p50),
                number(self.cpu_mean),
                self.memory_before_kib.unwrap_or(0),
                self.memory_kib.unwrap_or(0),
                number(self.memory_per_call_kib),
                number(self.descriptors_per_call)
            )?;
        }
        write!(
            f,
            "ourselves  CPU {:.1} % of a core  slots late p99 / max {} ms  stolen {:.1} %  throttled {:.0} ms",
            self.own_cpu_percent,
            pair(self.own_late_p99_ms, self.own_late_max_ms),
            self.stolen_percent,
            self.throttled_ms
        )?;
        for doubt in &self.doubts {
            write!(f, "\nDOUBT      {doubt}")?;
        }
        Ok(())
    }
}

/// Runs as a Markdown table. Those labelled [`FLOOR`] are what the others of the same size and sound are divided by.
pub fn table(runs: &[Figures]) -> String {
    let mut out = String::from(
        "| calls | callers say | run | INVITE→200 p50 / p99 ms | 200→RTP p50 / p99 ms | RTP lost | pacing p50 / p99 ms | CPU ms per call-second (p25) | × floor | KiB a call | stands |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for run in runs {
        let floor =
            runs.iter().find(|other| other.label == FLOOR && other.calls == run.calls && other.said == run.said);
        let ratio = floor.and_then(|floor| Some(run.cpu_p25? / floor.cpu_p25?)).filter(|_| run.label != FLOOR);
        let stands = match (run.failed, run.doubts.as_slice()) {
            (0, []) => "yes".to_owned(),
            (0, doubts) => doubts.join("; "),
            (failed, _) => format!("{failed} calls failed"),
        };
        out += &format!(
            "| {} | {} | {} | {} | {} | {} of {} | {} | {} | {} | {} | {stands} |\n",
            run.calls,
            run.said.to_lowercase(),
            run.label,
            pair(run.answer_p50_ms, run.answer_p99_ms),
            pair(run.first_rtp_p50_ms, run.first_rtp_p99_ms),
            run.lost,
            run.expected,
            pair(run.gap_p50_ms, run.gap_p99_ms),
            number(run.cpu_p25),
            number(ratio),
            number(run.memory_per_call_kib),
        );
    }
    for label in runs.iter().map(|run| run.label.as_str()).collect::<std::collections::BTreeSet<_>>() {
        let of_label = runs.iter().filter(|run| run.label == label);
        let points: Vec<(f64, f64)> =
            of_label.filter_map(|run| Some((run.held as f64, run.memory_kib? as f64))).collect();
        if let Some(slope) = slope(&points) {
            out += &format!("\nMemory of {label}, slope over its runs: {slope:.1} KiB a call.\n");
        }
    }
    out
}

/// Of the line through the points that is nearest to them; none: they are all of one size.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread = points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
    let common = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
    (spread > 0.0).then(|| common / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_through_json_and_are_divided_by_their_floor() {
        let run = |label: &str, calls, cpu| Figures {
            label: label.to_owned(),
            said: "Nothing".to_owned(),
            calls,
            held: calls,
            cpu_p25: Some(cpu),
            memory_kib: Some(10_000 + calls * 30),
            ..Figures::default()
        };
        let mut runs =
            vec![run(FLOOR, 100, 1.0), run("engine", 100, 2.0), run(FLOOR, 200, 0.5), run("engine", 200, 1.5)];
        runs[1].doubts.push("noise".to_owned());
        let lines: Vec<String> = runs.iter().map(|run| serde_json::to_string(run).unwrap()).collect();
        let read: Vec<Figures> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, runs);
        let table = table(&runs);
        let ratios: Vec<&str> = table.lines().skip(2).filter_map(|line| line.split(" | ").nth(8)).collect();
        assert_eq!(ratios, ["–", "2.00", "–", "3.00"]);
        assert!(table.contains("noise") && table.contains("Memory of engine, slope over its runs: 30.0 KiB a call"));
        assert!(runs[1].to_string().ends_with("DOUBT      noise"));
    }
}
