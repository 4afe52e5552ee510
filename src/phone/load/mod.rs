//! The built-in phone many times over: a load generator and meter for any SIP user agent server (`strowger load`), and
//! the bare far end that its figures are compared with (`strowger load answer`).
//!
//! It shares the engine's SIP stack and RTP packets, and nothing of its media: [`exchange`] has an own loop that is as
//! light as one can be, so that thousands of calls fit on one core and the far end is a floor. What it says of the other
//! end rests on the kernel's stamps of arrival ([`socket`]), on sequence numbers and timestamps ([`meter`]), on /proc
//! ([`process`]) and on what it knows it pressed ([`presses`]). [`quiet`] tells whether the machine is fit for timing;
//! each run tells it of itself, too.
//!
//! Limits: UDP, G.711, no authentication, no SRTP. Linux only, as the engine's media is.

mod caller;
mod exchange;
mod figures;
mod line;
mod meter;
mod presses;
mod process;
pub mod quiet;
mod report;
mod socket;
pub mod sound;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use caller::{CallPresses, Outcome};
pub use presses::{Press, Pressing, faults};
pub use report::{Figures, table};

use crate::media::codec::g711::{self, Law};
use crate::random::Random;
use exchange::{Exchange, Setup};
use line::Voice;

/// The most calls of one run: what two descriptors each and the loopback's ports carry.
pub const MAX_CALLS: u64 = 10_000;

/// The load could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// An address of ours cannot be had.
    #[error("SIP cannot be spoken on {0}: {1}")]
    Address(SocketAddr, std::io::Error),
    /// What is to be said cannot be.
    #[error("{0}: {1}")]
    Sound(PathBuf, sound::SoundError),
    /// A process that is to be charged is not there.
    #[error("there is no process of the numbers {0:?} that may be looked at")]
    Process(Vec<u32>),
}

/// What a caller says all the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// Nothing: it only listens.
    Nothing,
    /// Packets of silence.
    Silence,
    /// Noise that is like speech to a detector.
    Noise,
    /// A WAV file: 16-bit mono of 8 kHz.
    File(PathBuf),
}

impl Say {
    /// As µ-law, in whole frames.
    fn encoded(&self) -> Result<Option<Arc<[u8]>>, LoadError> {
        let samples = match self {
            Say::Nothing => return Ok(None),
            Say::Silence => sound::silence(),
            Say::Noise => sound::noise(),
            Say::File(path) => sound::file(path).map_err(|error| LoadError::Sound(path.clone(), error))?,
        };
        let mut bytes = vec![0; samples.len()];
        g711::encode_into(Law::Mu, &samples, &mut bytes);
        Ok(Some(bytes.into()))
    }
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadConfig {
    /// The SIP server under test, UDP.
    pub target: SocketAddr,
    /// The user part of whom is called.
    pub user: String,
    /// Our own address.
    pub local: IpAddr,
    /// How many calls are held together, 1 to [`MAX_CALLS`].
    pub calls: u64,
    /// How many are placed a second.
    pub rate: f64,
    /// From the last answer to the measuring.
    pub settle: Duration,
    /// How long one measurement of CPU is.
    pub window: Duration,
    /// How many follow each other; RTP is measured over all of them.
    pub windows: u32,
    /// A call that is not answered by then has failed.
    pub timeout: Duration,
    /// What is said.
    pub say: Say,
    /// What is pressed.
    pub pressing: Option<Pressing>,
    /// Whom CPU and memory are charged to.
    pub pids: Vec<u32>,
    /// What is pressed follows from it.
    pub seed: u64,
    /// Names the run in its figures.
    pub label: String,
}

/// Places the calls, measures, hangs up. Takes the calling thread. Names and numbers of the calls come from `random`.
///
/// # Errors
/// Where it could not begin. Calls that fail are figures, not errors.
pub fn place(config: &LoadConfig, random: Random) -> Result<Outcome, LoadError> {
    caller::run(config, random)
}

/// Answers every call at once and says `say`, for so long: what the least far end costs. `ready` is told the address.
///
/// # Errors
/// Where it could not begin.
pub fn answer(
    local: SocketAddr,
    say: &Say,
    duration: Duration,
    random: Random,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), LoadError> {
    let voice = Voice { sound: say.encoded()?, connected: true };
    let mut exchange = Exchange::open(Setup { local, voice, measured: false, random })
        .map_err(|error| LoadError::Address(local, error))?;
    ready(exchange.address());
    let end = Instant::now() + duration;
    while Instant::now() < end {
        exchange.turn(end);
        while exchange.happening().is_some() {}
    }
    exchange.hang_up(usize::MAX);
    Ok(())
}
