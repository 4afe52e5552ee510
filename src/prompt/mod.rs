//! Prompts: from the name or URL of some audio to samples that any call can play. Fetched or read, decoded and
//! resampled once, then shared by all calls from a bounded cache. Playing them is `media`; which source failed, and
//! telling the application, is `call`.

pub mod address;
mod cache;
pub mod decode;
pub mod fetch;
pub mod library;
mod shipped;
mod source;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};

pub use self::decode::Limits;
pub use self::fetch::FetchConfig;
pub use self::library::{Info, Origin};
pub use self::source::{MAX_NAME_LENGTH, MAX_SOURCE_LENGTH, Name, Source};

use self::cache::Cache;
use self::fetch::Fetcher;
use self::library::Library;
use crate::media::Clip;

/// The sample rate of telephone audio in Hz: what a [`Clip`] is measured in.
pub const CLIP_RATE: u32 = 8000;

/// Settings of the prompts.
#[derive(Clone, Debug)]
pub struct PromptConfig {
    /// Where uploaded prompts are kept (`DATA_DIR/prompts`); none: only the shipped ones, and uploads are refused.
    pub directory: Option<PathBuf>,
    /// The most uploaded prompts.
    pub library_count: usize,
    /// The most bytes of all uploaded prompts together.
    pub library_bytes: u64,
    /// The most bytes of decoded audio that are kept for the next call. The least recently used goes first.
    pub cache_bytes: usize,
    /// How long decoded audio is used before its source is read again.
    pub cache_age: Duration,
    /// The most sources that are fetched and decoded at the same time; beyond it a play fails at once.
    pub loads: usize,
    /// The most sources that are decoded at the same time (a core each); more wait their turn.
    pub decoders: usize,
    /// Bounds on one prompt.
    pub limits: Limits,
    /// How URLs are fetched.
    pub fetch: FetchConfig,
}

impl Default for PromptConfig {
    fn default() -> Self {
        PromptConfig {
            directory: None,
            library_count: 10_000,
            library_bytes: 1 << 30,
            cache_bytes: 64 << 20,
            cache_age: Duration::from_secs(600),
            loads: 64,
            decoders: 2,
            limits: Limits::default(),
            fetch: FetchConfig::default(),
        }
    }
}

/// Which of the two families of failure that applications know a failed prompt belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The audio was there and could not be understood: Play sub-code 8535.
    BadFormat,
    /// The audio could not be had: Play sub-code 8536.
    DownloadFailed,
}

impl Failure {
    /// The sub-code that a failed play reports.
    pub fn sub_code(self) -> u32 {
        match self {
            Failure::BadFormat => 8535,
            Failure::DownloadFailed => 8536,
        }
    }
}

/// Why a prompt cannot be played, stored or found. The text is for whoever wrote the source: what, where, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// Not a source at all.
    #[error("'{given}' is not a play source: {problem}. Give an http(s) URL or prompt:name")]
    Source {
        /// What was written, shortened.
        given: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Not a prompt's name.
    #[error("'{given}' is not a prompt name: {problem}. Names look like welcome or menus/sales-1")]
    Name {
        /// What was written, shortened.
        given: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Neither uploaded nor shipped.
    #[error("there is no prompt '{0}', neither uploaded nor shipped; GET /v1/prompts lists them")]
    NotFound(Name),
    /// A shipped prompt cannot be deleted.
    #[error("prompt '{0}' ships with the engine and cannot be deleted; upload one of the same name to replace it")]
    Shipped(Name),
    /// Not audio that we can decode, or damaged.
    #[error(
        "{place} cannot be decoded: {problem}. WAV (PCM, float, µ-law, A-law), MP3, FLAC, Ogg Vorbis and AAC/M4A can be played"
    )]
    BadFormat {
        /// The source.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Longer than is allowed.
    #[error("{place} is longer than {seconds} seconds, the most that one prompt may last")]
    TooLong {
        /// The source.
        place: String,
        /// The limit.
        seconds: u64,
    },
    /// Bigger than is allowed.
    #[error("{place} is bigger than {limit} bytes, the most that is read for one prompt")]
    TooBig {
        /// The source.
        place: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The server answered, but not with the audio.
    #[error("{place} answered with HTTP status {status} where 200 with the audio is needed")]
    Status {
        /// The source, or where it redirected to.
        place: String,
        /// The HTTP status.
        status: u16,
    },
    /// It did not come in time.
    #[error("{place} was not fetched within {seconds} seconds; the fetch was given up")]
    Timeout {
        /// The source, or where it redirected to.
        place: String,
        /// The limit.
        seconds: u64,
    },
    /// Redirected on and on.
    #[error("{place} redirects more than {limit} times")]
    Redirects {
        /// The source as it was given.
        place: String,
        /// The limit.
        limit: usize,
    },
    /// The address belongs to a network that prompts are not fetched from.
    #[error(
        "{place} is at {address}, a private or special address, and prompts are not fetched from those; allow private prompt addresses in the settings if you trust whoever can start a play"
    )]
    PrivateAddress {
        /// The source, or where it redirected to.
        place: String,
        /// What it resolved to.
        address: IpAddr,
    },
    /// No connection, no TLS, no DNS, or it broke.
    #[error("{place} cannot be fetched: {problem}")]
    Fetch {
        /// The source, or where it redirected to.
        place: String,
        /// What went wrong.
        problem: String,
    },
    /// Too many sources are being fetched already.
    #[error("{limit} prompts are being loaded already; try again in a moment")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// The library holds as much as it may.
    #[error("the prompt library is full: {problem}. Delete prompts that are not used, or raise the limit")]
    LibraryFull {
        /// Which limit.
        problem: String,
    },
    /// The disk.
    #[error("prompt '{name}' cannot be {action}: {problem}")]
    Storage {
        /// Which prompt.
        name: String,
        /// What was tried: read, stored, deleted, listed.
        action: &'static str,
        /// What the operating system said.
        problem: String,
    },
    /// Our own fault.
    #[error("{place} was not loaded: internal error ({problem})")]
    Internal {
        /// The source.
        place: String,
        /// What happened.
        problem: String,
    },
}

impl PromptError {
    /// Which failure a play reports for it.
    pub fn failure(&self) -> Failure {
        match self {
            PromptError::BadFormat { .. } | PromptError::TooLong { .. } => Failure::BadFormat,
            PromptError::Source { .. }
            | PromptError::Name { .. }
            | PromptError::NotFound(_)
            | PromptError::Shipped(_)
            | PromptError::TooBig { .. }
            | PromptError::Status { .. }
            | PromptError::Timeout { .. }
            | PromptError::Redirects { .. }
            | PromptError::PrivateAddress { .. }
            | PromptError::Fetch { .. }
            | PromptError::Busy { .. }
            | PromptError::LibraryFull { .. }
            | PromptError::Storage { .. }
            | PromptError::Internal { .. } => Failure::DownloadFailed,
        }
    }

    /// The sub-code that a failed play reports: 8535 or 8536.
    pub fn sub_code(&self) -> u32 {
        self.failure().sub_code()
    }
}

type Loaded = Result<Arc<Clip>, PromptError>;

/// The prompts of an engine: a handle, cheap to clone.
#[derive(Clone)]
pub struct Prompts(Arc<Shared>);

struct Shared {
    config: PromptConfig,
    library: Library,
    fetcher: Fetcher,
    decoders: Semaphore,
    started: Instant,
    state: Mutex<State>,
}

/// Locked for the length of a table look-up only, never across an await.
struct State {
    cache: Cache<Source>,
    /// What is being loaded, with what its waiters wait on. At most `config.loads`; beyond it loads are refused.
    flights: HashMap<Source, Flight>,
    /// Tells a load from a later one of the same source.
    next_flight: u64,
}

struct Flight {
    id: u64,
    outcome: watch::Receiver<Option<Loaded>>,
}

impl Prompts {
    /// Prompts under these settings. Touches neither disk nor network.
    pub fn new(config: PromptConfig) -> Self {
        let library = Library::new(&config);
        let fetcher = Fetcher::new(config.fetch.clone(), config.limits.max_bytes);
        Prompts::with_parts(config, library, fetcher)
    }

    fn with_parts(config: PromptConfig, library: Library, fetcher: Fetcher) -> Self {
        let state =
            State { cache: Cache::new(config.cache_bytes, config.cache_age), flights: HashMap::new(), next_flight: 0 };
        Prompts(Arc::new(Shared {
            decoders: Semaphore::new(config.decoders.max(1)),
            library,
            fetcher,
            started: Instant::now(),
            state: Mutex::new(state),
            config,
        }))
    }

    /// The audio of `source`: from the cache, or fetched and decoded now. Whoever asks for a source that is being
    /// loaded waits for that load. A load goes on when its waiters have gone, so that the next finds it done.
    pub async fn load(&self, source: &Source) -> Result<Arc<Clip>, PromptError> {
        let mut outcome = match self.begin(source)? {
            Begun::Cached(clip) => return Ok(clip),
            Begun::Flying(outcome) => outcome,
        };
        match outcome.wait_for(Option::is_some).await.map(|loaded| loaded.clone()) {
            Ok(Some(loaded)) => loaded,
            Ok(None) | Err(_) => Err(internal(source, "the load was dropped")),
        }
    }

    fn begin(&self, source: &Source) -> Result<Begun, PromptError> {
        let now = self.0.started.elapsed();
        let mut state = self.0.state();
        if let Some(clip) = state.cache.get(source, now) {
            return Ok(Begun::Cached(clip));
        }
        if let Some(flight) = state.flights.get(source) {
            return Ok(Begun::Flying(flight.outcome.clone()));
        }
        let limit = self.0.config.loads;
        if state.flights.len() >= limit {
            return Err(PromptError::Busy { limit });
        }
        let (tell, outcome) = watch::channel(None);
        let id = state.next_flight;
        state.next_flight = id.wrapping_add(1);
        state.flights.insert(source.clone(), Flight { id, outcome: outcome.clone() });
        drop(state);

        // Its drop lands the flight, so that not even a panic leaves an entry behind.
        let landing = Landing { shared: self.0.clone(), source: source.clone(), id, loaded: None, tell };
        tokio::spawn(async move {
            let mut landing = landing;
            landing.loaded = Some(landing.shared.load_now(&landing.source).await);
            drop(landing);
        });
        Ok(Begun::Flying(outcome))
    }

    /// Checks (by decoding it) and stores a prompt; it replaces what had the name. Calls that play the old one go on.
    pub async fn put(&self, name: &Name, audio: Bytes) -> Result<Info, PromptError> {
        let clip_and_format = self.0.decode(format!("prompt:{name}"), audio.clone()).await?;
        let stored = name.clone();
        let info = self
            .blocking(name, move |shared| {
                shared.library.put(&stored, &audio, clip_and_format.1, clip_and_format.0.units())
            })
            .await;
        self.forget(name);
        info
    }

    /// A prompt as it was uploaded or shipped.
    pub async fn get(&self, name: &Name) -> Result<(Info, Bytes), PromptError> {
        let wanted = name.clone();
        self.blocking(name, move |shared| shared.library.get(&wanted)).await
    }

    /// Removes an uploaded prompt. A shipped one of that name is heard again.
    pub async fn delete(&self, name: &Name) -> Result<(), PromptError> {
        let unwanted = name.clone();
        let done = self.blocking(name, move |shared| shared.library.delete(&unwanted)).await;
        self.forget(name);
        done
    }

    /// All prompts, by name. An uploaded one hides a shipped one of the same name.
    pub async fn list(&self) -> Result<Vec<Info>, PromptError> {
        let shared = self.0.clone();
        tokio::task::spawn_blocking(move || shared.library.list())
            .await
            .map_err(|e| PromptError::Internal { place: "the list of prompts".to_owned(), problem: e.to_string() })?
    }

    /// Decoded bytes that are kept now, and how many sources they belong to: for metrics.
    pub fn cached(&self) -> (usize, usize) {
        let state = self.0.state();
        (state.cache.bytes(), state.cache.len())
    }

    /// How many loads are under way: for metrics.
    pub fn loading(&self) -> usize {
        self.0.state().flights.len()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        name: &Name,
        work: impl FnOnce(&Shared) -> Result<T, PromptError> + Send + 'static,
    ) -> Result<T, PromptError> {
        let shared = self.0.clone();
        tokio::task::spawn_blocking(move || work(&shared))
            .await
            .map_err(|e| internal(&Source::Named(name.clone()), &e.to_string()))?
    }

    /// After a change: neither the cache nor a load that read the old audio may serve the next call.
    fn forget(&self, name: &Name) {
        let source = Source::Named(name.clone());
        let mut state = self.0.state();
        state.cache.remove(&source);
        state.flights.remove(&source);
    }
}

enum Begun {
    Cached(Arc<Clip>),
    Flying(watch::Receiver<Option<Loaded>>),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // No step under the lock leaves the tables half changed, so a poisoned lock is as good as another.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn load_now(self: &Arc<Self>, source: &Source) -> Loaded {
        let audio = match source {
            Source::File(url) => self.fetcher.fetch(url).await?,
            Source::Named(name) => {
                let (shared, name) = (self.clone(), name.clone());
                tokio::task::spawn_blocking(move || shared.library.get(&name))
                    .await
                    .map_err(|e| internal(source, &e.to_string()))??
                    .1
            }
        };
        Ok(Arc::new(self.decode(source.to_string(), audio).await?.0))
    }

    async fn decode(&self, place: String, audio: Bytes) -> Result<(Clip, decode::Format), PromptError> {
        let internal = |problem: String| PromptError::Internal { place: place.clone(), problem };
        let _turn = self.decoders.acquire().await.map_err(|e| internal(e.to_string()))?;
        let (limits, at) = (self.config.limits.clone(), place.clone());
        tokio::task::spawn_blocking(move || decode::decode(&at, audio, &limits))
            .await
            .map_err(|e| internal(e.to_string()))?
    }
}

/// Ends a load: whatever became of it is told, and kept if nobody changed the prompt meanwhile.
struct Landing {
    shared: Arc<Shared>,
    source: Source,
    id: u64,
    loaded: Option<Loaded>,
    tell: watch::Sender<Option<Loaded>>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let loaded = self.loaded.take().unwrap_or_else(|| Err(internal(&self.source, "the load broke off")));
        let now = self.shared.started.elapsed();
        let mut state = self.shared.state();
        if state.flights.get(&self.source).is_some_and(|flight| flight.id == self.id) {
            state.flights.remove(&self.source);
            if let Ok(clip) = &loaded {
                state.cache.put(self.source.clone(), clip.clone(), now);
            }
        }
        drop(state);
        self.tell.send_replace(Some(loaded));
    }
}

fn internal(source: &Source, problem: &str) -> PromptError {
    PromptError::Internal { place: source.to_string(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests;
