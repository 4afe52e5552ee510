//! The media plane: threads, sockets and pacing around the pure [`super::stream::Stream`].
//!
//! Each thread (`thread.rs`) owns whole legs (`lane.rs`); a leg's thread is chosen by its *shard*, a number that the
//! caller gives with every command (the call's, so that all legs of a call meet on one thread). Ports are shared by all
//! threads (`ports.rs`), without a lock. Nothing here waits for an application: events leave through a sink that must
//! not block, and commands come through bounded queues.

mod lane;
mod ports;
mod sockets;
mod stepped;
#[cfg(test)]
mod stepped_tests;
#[cfg(test)]
mod tests;
mod thread;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{DelayBounds, MediaCommand, MediaEvent};
use crate::clock::Clock;
use crate::random::Random;
use lane::Lane;
use ports::Ports;
pub use stepped::SteppedLane;
use thread::LaneThread;

/// Commands waiting for one thread; more are refused with [`MediaError::Busy`].
const COMMAND_QUEUE: usize = 4_096;
/// Most media threads.
const MAX_THREADS: usize = 256;

/// Settings of the media plane.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Media threads, 1–256; 0: one per core.
    pub threads: usize,
    /// Address that RTP and RTCP are received on.
    pub bind: IpAddr,
    /// Ports for RTP (even) and RTCP (the next); pairs that are not wholly inside are not used.
    /// `0..=0`: any pair that the system gives.
    pub ports: RangeInclusive<u16>,
    /// Silence from the peer that is reported (`MediaEvent::Silent`); zero: never.
    pub rtp_timeout: Duration,
    /// Whether legs listen for in-band tones until told otherwise.
    pub in_band: bool,
    /// Within what the delay of what is heard follows the network's jitter.
    pub delay: DelayBounds,
    /// Legs that may be open at once; more get `OpenFailed`.
    pub max_legs: usize,
    /// A tick that runs later than this is counted as late. Whole milliseconds.
    pub late: Duration,
    /// The engine's clock, so that media's moments are comparable with its own.
    pub clock: Clock,
}

impl Default for MediaConfig {
    fn default() -> Self {
        MediaConfig {
            threads: 0,
            bind: IpAddr::from([127, 0, 0, 1]),
            ports: 20_000..=29_999,
            rtp_timeout: Duration::from_secs(30),
            in_band: true,
            delay: DelayBounds::default(),
            max_legs: 20_000,
            late: Duration::from_millis(5),
            clock: Clock::start(),
        }
    }
}

/// Takes events, on the media thread that has them: it must not block (an unbounded or `try_send` channel).
pub type EventSink = Box<dyn Fn(MediaEvent) + Send + Sync>;

/// Why the media plane could not take something.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// A thread could not be started.
    #[error("media thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The settings contradict themselves.
    #[error("media settings: {0}")]
    Config(String),
    /// The thread's command queue (4,096) is full: it is far behind. Nothing was done.
    #[error("media thread is too busy")]
    Busy,
    /// The thread has ended.
    #[error("media plane is shut down")]
    Closed,
}

/// What the media plane counts; totals since its start, for metrics. Read with [`MediaPlane::counters`].
#[derive(Debug, Default)]
pub struct Counters {
    pub(self) rtp_received: AtomicU64,
    pub(self) rtp_sent: AtomicU64,
    pub(self) rtcp_received: AtomicU64,
    pub(self) rtcp_sent: AtomicU64,
    pub(self) send_errors: AtomicU64,
    pub(self) strangers: AtomicU64,
    pub(self) malformed: AtomicU64,
    pub(self) ticks: AtomicU64,
    pub(self) late_ticks: AtomicU64,
    pub(self) skipped_frames: AtomicU64,
    pub(self) open_failures: AtomicU64,
    pub(self) panics: AtomicU64,
    pub(self) open_legs: AtomicUsize,
}

/// [`Counters`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterValues {
    /// RTP datagrams read, strangers' included.
    pub rtp_received: u64,
    /// RTP packets sent.
    pub rtp_sent: u64,
    /// RTCP datagrams read, strangers' included.
    pub rtcp_received: u64,
    /// RTCP packets sent.
    pub rtcp_sent: u64,
    /// Datagrams that the system refused to send (full buffer, no route…); they are lost.
    pub send_errors: u64,
    /// Datagrams ignored because of whom they came from.
    pub strangers: u64,
    /// Datagrams ignored because they were not well-formed.
    pub malformed: u64,
    /// Leg ticks: frames that legs have lived through one by one.
    pub ticks: u64,
    /// Leg ticks that ran later than [`MediaConfig::late`].
    pub late_ticks: u64,
    /// Frames never sent, because a tick ran more than a frame late.
    pub skipped_frames: u64,
    /// `Open` commands that failed.
    pub open_failures: u64,
    /// Legs ended by a panic in their work.
    pub panics: u64,
    /// Legs open now.
    pub open_legs: usize,
    /// Port pairs free now; none: the system gives the ports.
    pub free_port_pairs: Option<usize>,
}

/// What one thread has counted of its punctuality; totals since its start.
#[derive(Debug, Default)]
struct LaneLoad {
    ticks: AtomicU64,
    late: AtomicU64,
}

/// How punctual one media thread has been; totals since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Punctuality {
    /// Leg ticks.
    pub ticks: u64,
    /// Those of them that ran later than [`MediaConfig::late`].
    pub late: u64,
}

/// What all threads share.
struct Shared {
    config: MediaConfig,
    /// `config.late` in milliseconds.
    late_ms: u64,
    ports: Ports,
    counters: Counters,
    loads: Vec<Arc<LaneLoad>>,
    events: EventSink,
}

impl Shared {
    fn new(config: MediaConfig, lanes: usize, random: &mut Random, events: EventSink) -> Result<Self, MediaError> {
        let ports = Ports::new(config.ports.clone(), random).ok_or_else(|| {
            let range = &config.ports;
            MediaError::Config(format!("RTP ports {}-{} hold no even/odd pair", range.start(), range.end()))
        })?;
        let late_ms = u64::try_from(config.late.as_millis()).unwrap_or(u64::MAX);
        let loads = (0..lanes).map(|_| Arc::default()).collect();
        Ok(Shared { config, late_ms, ports, counters: Counters::default(), loads, events })
    }

    fn counters(&self) -> CounterValues {
        let counters = &self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CounterValues {
            ticks: read(&counters.ticks),
            rtp_received: read(&counters.rtp_received),
            rtp_sent: read(&counters.rtp_sent),
            rtcp_received: read(&counters.rtcp_received),
            rtcp_sent: read(&counters.rtcp_sent),
            send_errors: read(&counters.send_errors),
            strangers: read(&counters.strangers),
            malformed: read(&counters.malformed),
            late_ticks: read(&counters.late_ticks),
            skipped_frames: read(&counters.skipped_frames),
            open_failures: read(&counters.open_failures),
            panics: read(&counters.panics),
            open_legs: counters.open_legs.load(Ordering::Relaxed),
            free_port_pairs: self.ports.free(),
        }
    }
}

/// A running thread and the way to it.
struct Running {
    commands: Option<SyncSender<MediaCommand>>,
    thread: Option<JoinHandle<()>>,
}

/// The running media threads. Dropping it closes every leg (each gets its `Closed`) and waits for the threads.
pub struct MediaPlane {
    shared: Arc<Shared>,
    lanes: Vec<Running>,
}

impl MediaPlane {
    /// Starts the threads. `random` must come from the system's entropy in production: SSRCs, ports and CNAMEs do.
    ///
    /// # Errors
    /// `Config` when the port range holds no pair or the number of threads is over 256; `Thread` when the system
    /// gives no more of them.
    pub fn start(config: MediaConfig, mut random: Random, events: EventSink) -> Result<Self, MediaError> {
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS)),
            1..=MAX_THREADS => config.threads,
            more => return Err(MediaError::Config(format!("{more} media threads; 1–{MAX_THREADS} are allowed"))),
        };
        let shared = Arc::new(Shared::new(config, threads, &mut random, events)?);
        let mut plane = MediaPlane { shared, lanes: Vec::with_capacity(threads) };
        for number in 0..threads {
            let (commands, queue) = sync_channel(COMMAND_QUEUE);
            let load = plane.shared.loads.get(number).cloned().unwrap_or_default();
            let (shared, random) = (plane.shared.clone(), random.fork());
            let thread = std::thread::Builder::new().name(format!("media-{number}")).spawn(move || {
                let clock = shared.config.clock;
                LaneThread::new(Lane::new(shared, load, random), clock).run(&queue);
            })?;
            plane.lanes.push(Running { commands: Some(commands), thread: Some(thread) });
        }
        Ok(plane)
    }

    /// Gives a command to the thread of `shard`: the same for all commands of a leg, best the same for all legs of
    /// a call. Never blocks; the thread takes it up at once.
    ///
    /// # Errors
    /// `Busy` when its queue is full, `Closed` when it has ended. The command was not taken.
    pub fn send(&self, shard: u64, command: MediaCommand) -> Result<(), MediaError> {
        let lane = (shard % self.lanes.len().max(1) as u64) as usize;
        let commands = self.lanes.get(lane).and_then(|lane| lane.commands.as_ref()).ok_or(MediaError::Closed)?;
        commands.try_send(command).map_err(|refused| match refused {
            TrySendError::Full(_) => MediaError::Busy,
            TrySendError::Disconnected(_) => MediaError::Closed,
        })
    }

    /// What has been counted so far.
    pub fn counters(&self) -> CounterValues {
        self.shared.counters()
    }

    /// How punctual each thread has been so far.
    pub fn punctuality(&self) -> impl Iterator<Item = Punctuality> {
        self.shared.loads.iter().map(|load| Punctuality {
            ticks: load.ticks.load(Ordering::Relaxed),
            late: load.late.load(Ordering::Relaxed),
        })
    }
}

impl Drop for MediaPlane {
    fn drop(&mut self) {
        // A closed queue is the sign to end.
        for lane in &mut self.lanes {
            lane.commands = None;
        }
        for lane in &mut self.lanes {
            if let Some(thread) = lane.thread.take() {
                // A thread that panicked has nothing more to give.
                let _ = thread.join();
            }
        }
    }
}
