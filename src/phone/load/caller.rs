//! A run of calls: placed at a rate, held, measured, and hung up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::exchange::{Exchange, Happening, Setup};
use super::figures::{Histogram, Values};
use super::line::Voice;
use super::presses::{Press, Presser};
use super::process::{Machine, Usage, cpu_ms};
use super::report::Figures;
use super::socket::{milliseconds, stamp_now};
use super::{LoadConfig, LoadError};
use crate::random::Random;

/// After the last window: until what arrived within it has been read.
const READ_OUT: Duration = Duration::from_millis(60);
/// Within so many frames all callers begin to press.
const SPREAD: u32 = 50;
/// The longest that is waited for presses beyond what they should take.
const PRESS_PATIENCE: Duration = Duration::from_secs(20);
/// The longest that one press may take: the longest pause, and a slow INFO's answer.
const PRESS_LONGEST: Duration = Duration::from_secs(2);
/// How long we listen on after hanging up: BYEs that got lost go again.
const LINGER: Duration = Duration::from_millis(1_200);
/// Calls hung up at a time, one time a millisecond.
const HANG_UP: usize = 1;
/// Above it our own lateness shows in what we send (p99 of a slot, milliseconds).
const MAX_LATE_MS: f64 = 5.0;
/// Above it we are near our own limit (of one core).
const MAX_OWN_CPU: f64 = 85.0;
/// Above it CPU figures are inflated (per cent of the machine).
const MAX_STOLEN: f64 = 3.0;

/// What one call pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPresses {
    /// The user part of its From.
    pub caller: String,
    /// What it pressed, in order.
    pub pressed: Vec<Press>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was measured.
    pub figures: Figures,
    /// What was pressed, by call; empty where nothing was to be.
    pub presses: Vec<CallPresses>,
}

/// A run that is under way.
struct Run<'a> {
    config: &'a LoadConfig,
    exchange: Exchange,
    answered: u64,
    failures: BTreeMap<String, u64>,
}

pub(super) fn run(config: &LoadConfig, random: Random) -> Result<Outcome, LoadError> {
    let voice = Voice { sound: config.say.encoded()?, connected: false };
    let local = SocketAddr::new(config.local, 0);
    let setup = Setup { local, voice, measured: true, random };
    let exchange = Exchange::open(setup).map_err(|error| LoadError::Address(local, error))?;
    let before = usage(config)?;
    let mut run = Run { config, exchange, answered: 0, failures: BTreeMap::new() };
    run.place_all();
    run.turn_for(config.settle);
    if config.pressing.is_some() {
        run.exchange.press(SPREAD);
    }
    let mut figures = run.measure(before)?;
    run.finish_presses();
    let presses = run.presses();
    run.hang_up();
    run.count_calls(&mut figures, &presses);
    Ok(Outcome { figures, presses })
}

fn usage(config: &LoadConfig) -> Result<Usage, LoadError> {
    Usage::of(&config.pids).ok_or_else(|| LoadError::Process(config.pids.clone()))
}

impl Run<'_> {
    fn turn(&mut self, until: Instant) {
        self.exchange.turn(until);
        while let Some(happening) = self.exchange.happening() {
            match happening {
                Happening::Answered => self.answered += 1,
                Happening::Failed(why) => *self.failures.entry(why).or_default() += 1,
                Happening::Called | Happening::Over => {}
            }
        }
    }

    fn turn_for(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.turn(end);
        }
    }

    fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// At the asked rate, whatever becomes of those before; then until each has been answered or has failed.
    fn place_all(&mut self) {
        let config = self.config;
        let start = Instant::now();
        let mut plans = Random::from_number(config.seed);
        let mut placed = 0;
        while placed < config.calls {
            let due = start + Duration::from_secs_f64(placed as f64 / config.rate);
            if Instant::now() < due {
                self.turn(due);
                continue;
            }
            placed += 1;
            let mut random = plans.fork();
            let presser = config.pressing.as_ref().map(|how| Presser::new(how.plan(&mut random), how.tone_ms));
            let target = format!("sip:{}@{}", config.user, config.target);
            self.exchange.place(placed, target, config.target, presser, config.timeout);
        }
        // The SIP stack gives every call an end.
        let end = Instant::now() + config.timeout + Duration::from_secs(1);
        while self.answered + self.failed() < config.calls && Instant::now() < end {
            self.turn(end);
        }
    }

    fn measure(&mut self, before: Usage) -> Result<Figures, LoadError> {
        let config = self.config;
        let own_pid = std::process::id();
        let (machine, own, start) = (Machine::now(), cpu_ms(own_pid).unwrap_or(0.0), Instant::now());
        let first = usage(config)?;
        let calls = self.exchange.lines().len() as u64;
        self.exchange.lateness = Histogram::default();
        self.exchange.gaps.from = Some(stamp_now());
        let (mut cpu, mut at, mut last) = (Values::default(), start, first);
        for _ in 0..config.windows {
            self.turn_for(config.window);
            let (now, usage) = (Instant::now(), usage(config)?);
            let call_seconds = calls.max(1) as f64 * (now - at).as_secs_f64();
            cpu.add((usage.cpu_ms - last.cpu_ms) / call_seconds);
            (at, last) = (now, usage);
        }
        self.exchange.gaps.to = Some(stamp_now());
        let seconds = (at - start).as_secs_f64();
        let (machine_after, own_after) = (Machine::now(), cpu_ms(own_pid).unwrap_or(0.0));
        self.turn_for(READ_OUT);

        let exchange = &self.exchange;
        let mut figures = Figures {
            label: config.label.clone(),
            said: format!("{:?}", config.say),
            calls: config.calls,
            held: calls,
            seconds,
            gap_p50_ms: exchange.gaps.deviation.percentile(0.5),
            gap_p99_ms: exchange.gaps.deviation.percentile(0.99),
            gap_max_ms: exchange.gaps.deviation.highest(),
            longest_gap_ms: exchange.gaps.longest,
            own_late_p99_ms: exchange.lateness.percentile(0.99),
            own_late_max_ms: exchange.lateness.highest(),
            own_cpu_percent: (own_after - own) / (seconds * 10.0),
            stolen_percent: (machine_after.stolen_ms - machine.stolen_ms)
                / (seconds * 10.0 * std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)),
            throttled_ms: machine_after.throttled_ms - machine.throttled_ms,
            ..Figures::default()
        };
        if !config.pids.is_empty() {
            let held = calls.max(1) as f64;
            figures.cpu_p25 = cpu.percentile(0.25);
            figures.cpu_p50 = cpu.percentile(0.5);
            figures.cpu_mean = Some((last.cpu_ms - first.cpu_ms) / (held * seconds));
            figures.memory_before_kib = Some(before.memory_kib);
            figures.memory_kib = Some(last.memory_kib);
            figures.memory_per_call_kib = Some((last.memory_kib as f64 - before.memory_kib as f64) / held);
            figures.descriptors_per_call = Some((last.descriptors as f64 - before.descriptors as f64) / held);
        }
        let (mut answer, mut first_rtp) = (Values::default(), Values::default());
        for line in exchange.lines() {
            let reading = line.meter.reading();
            figures.packets += reading.packets;
            figures.lost += reading.lost;
            figures.repeated += reading.repeated;
            figures.dropped_by_us += reading.dropped;
            figures.without_rtp += u64::from(reading.packets == 0);
            figures.silent += u64::from(reading.packets > 0 && reading.silent);
            if let Some(answered) = line.answered {
                answer.add(milliseconds(line.invited, answered));
                if let Some(first) = line.meter.first {
                    first_rtp.add(milliseconds(answered, first));
                }
            }
        }
        figures.expected = (calls as f64 * seconds * 50.0).round() as u64;
        (figures.answer_p50_ms, figures.answer_p99_ms) = (answer.percentile(0.5), answer.percentile(0.99));
        (figures.first_rtp_p50_ms, figures.first_rtp_p99_ms) = (first_rtp.percentile(0.5), first_rtp.percentile(0.99));
        doubts(&mut figures);
        Ok(figures)
    }

    fn finish_presses(&mut self) {
        let Some(pressing) = &self.config.pressing else { return };
        let end = Instant::now() + PRESS_LONGEST * pressing.count as u32 + PRESS_PATIENCE;
        let done = |run: &Self| run.exchange.lines().all(|line| line.presser.as_ref().is_none_or(Presser::is_done));
        while !done(self) && Instant::now() < end {
            self.turn_for(Duration::from_millis(20));
        }
        // The last digit is still on its way through the other end's jitter buffer and detector.
        self.turn_for(Duration::from_secs(1));
    }

    fn presses(&self) -> Vec<CallPresses> {
        let of = |line: &super::line::Line| {
            let presser = line.presser.as_ref()?;
            let caller = self.exchange.caller(line.number);
            Some(CallPresses { caller, pressed: presser.pressed().to_vec() })
        };
        self.exchange.lines().filter_map(of).collect()
    }

    fn hang_up(&mut self) {
        while self.exchange.hang_up(HANG_UP) > 0 {
            self.turn_for(Duration::from_millis(1));
        }
        self.turn_for(LINGER);
    }

    fn count_calls(&self, figures: &mut Figures, presses: &[CallPresses]) {
        let exchange = &self.exchange;
        figures.answered = self.answered;
        figures.failed = self.failed();
        figures.failures = self.failures.clone();
        figures.retransmissions = exchange.retransmissions;
        figures.sent = exchange.sent.packets;
        figures.not_sent = exchange.sent.refused;
        figures.skipped = exchange.sent.skipped;
        figures.refused_infos = exchange.refused_infos;
        let all = || presses.iter().flat_map(|call| &call.pressed);
        figures.pressed = all().count() as u64;
        figures.disturbed = all().filter(|press| press.disturbed).count() as u64;
    }
}

/// What speaks against the figures: noise of the machine, or our own limits.
fn doubts(figures: &mut Figures) {
    let mut doubt = |holds: bool, text: String| {
        if holds {
            figures.doubts.push(text);
        }
    };
    let late = figures.own_late_p99_ms.unwrap_or(0.0);
    doubt(late > MAX_LATE_MS, format!("we ran late ourselves (p99 {late:.1} ms)"));
    doubt(
        figures.own_cpu_percent > MAX_OWN_CPU,
        format!("we are near our own limit ({:.0} % of a core)", figures.own_cpu_percent),
    );
    doubt(figures.stolen_percent > MAX_STOLEN, format!("{:.1} % of the machine was stolen", figures.stolen_percent));
    doubt(figures.throttled_ms > 0.0, format!("we were throttled for {:.0} ms", figures.throttled_ms));
    doubt(figures.dropped_by_us > 0, format!("we lost {} packets ourselves", figures.dropped_by_us));
}
