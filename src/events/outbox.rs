//! The outbox: takes events without making anybody wait, has them written down, then delivers them in order per key,
//! keys beside each other. One task owns the queues; each delivery is a task of its own.
//!
//! # Bounds
//! | what | bound | when full |
//! |---|---|---|
//! | events not settled | [`OutboxSettings::max_tracked`] | [`Outbox::post`] refuses |
//! | bodies not yet written | 64 MiB | [`Outbox::post`] refuses |
//! | one body | 256 KiB | [`Outbox::post`] refuses |
//! | written bodies in memory | 64 MiB | read back from the store when their turn comes |
//! | deliveries at a time | [`OutboxSettings::concurrency`], per host [`OutboxSettings::per_host`] | wait their turn |
//! | attempts, age | [`OutboxSettings::max_attempts`], [`OutboxSettings::max_age`] | dead, and listed |

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use url::Url;

use super::delivery::{Courier, DeliveryNotice, Job, Settled};
use crate::random::Random;
use crate::store::{Clock, EventState, NewEvent, Store, StoreError, StoredEvent, WriteOp, Writer};
use crate::time::Time;

/// Bodies accepted and not yet written, in bytes.
const MAX_UNWRITTEN_BYTES: usize = 64 << 20;
/// Bodies written and kept in memory until they are delivered, in bytes.
const MAX_CACHED_BYTES: usize = 64 << 20;
/// One body, in bytes.
const MAX_BODY: usize = 256 << 10;
/// Failures in a row after which a host counts as failing, and gets [`OutboxSettings::failing_host`] slots only.
const FAILING_AFTER: u32 = 3;

/// An event for an application.
#[derive(Clone, Debug, PartialEq)]
pub struct OutgoingEvent {
    /// Order is kept among the events of one key: the call's id.
    pub key: String,
    /// The id inside the body.
    pub id: String,
    /// The event's type, for the timeline and logs.
    pub kind: String,
    /// Where it goes: an absolute `http(s)` URL.
    pub url: String,
    /// The body: an array of CloudEvents or of Event Grid events.
    pub body: Value,
    /// `Content-Type`.
    pub content_type: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

impl OutgoingEvent {
    /// A callback of a call, an array of CloudEvents, as ACS posts it.
    pub fn callback(
        key: impl Into<String>,
        id: impl Into<String>,
        kind: impl Into<String>,
        url: impl Into<String>,
        body: Value,
    ) -> Self {
        OutgoingEvent {
            key: key.into(),
            id: id.into(),
            kind: kind.into(),
            url: url.into(),
            body,
            content_type: "application/json; charset=utf-8".to_owned(),
            headers: Vec::new(),
        }
    }

    /// An Event Grid event for a subscription.
    pub fn notification(
        key: impl Into<String>,
        id: impl Into<String>,
        kind: impl Into<String>,
        subscription: &str,
        url: impl Into<String>,
        body: Value,
    ) -> Self {
        let mut event = OutgoingEvent::callback(key, id, kind, url, body);
        event.headers = vec![
            ("aeg-event-type".to_owned(), "Notification".to_owned()),
            ("aeg-subscription-name".to_owned(), subscription.to_ascii_uppercase()),
        ];
        event
    }
}

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// Too many events wait; it is lost.
    #[error("too many events wait for delivery")]
    Full,
    /// The body is over 256 KiB.
    #[error("an event of {0} bytes is too large")]
    TooLarge(usize),
    /// Not an absolute `http(s)` URL, or a header that HTTP cannot carry.
    #[error("{0}")]
    Invalid(String),
}

/// Settings of delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxSettings {
    /// One attempt, from connecting to the head of the answer. Default 10 s.
    pub timeout: Duration,
    /// Pause after the first failure; doubled by each further one, ± a quarter by chance. Default 1 s.
    pub first_delay: Duration,
    /// Longest pause. Default 5 min.
    pub max_delay: Duration,
    /// Attempts before an event is dead. Default 20 (about an hour).
    pub max_attempts: u32,
    /// Attempts where the endpoint refuses it (3xx, 4xx other than 408 and 429): a short mishap of a deployment is
    /// bridged, a plain no is taken for one. Default 3.
    pub max_refused_attempts: u32,
    /// Age at which a failing event is dead. Default 24 h.
    pub max_age: Duration,
    /// Deliveries at a time. Default 512.
    pub concurrency: usize,
    /// Deliveries at a time to one host and port. Default 64.
    pub per_host: usize,
    /// Deliveries at a time to a host that failed three times in a row. Default 4.
    pub failing_host: usize,
    /// Events that are neither delivered nor dead. Default 200,000.
    pub max_tracked: usize,
}

impl Default for OutboxSettings {
    fn default() -> Self {
        OutboxSettings {
            timeout: Duration::from_secs(10),
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(300),
            max_attempts: 20,
            max_refused_attempts: 3,
            max_age: Duration::from_secs(86_400),
            concurrency: 512,
            per_host: 64,
            failing_host: 4,
            max_tracked: 200_000,
        }
    }
}

/// What is told of each attempt. Called on delivery tasks: must not block.
pub type Notify = Arc<dyn Fn(DeliveryNotice) + Send + Sync>;

/// The way to the outbox. Cheap to clone; its task ends with the last clone.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    writer: Writer,
    clock: Clock,
    settings: OutboxSettings,
    next_seq: AtomicI64,
    /// Events that are neither delivered nor dead.
    tracked: Arc<AtomicUsize>,
    /// Bytes of bodies handed to the writer and not yet written.
    unwritten: Arc<AtomicUsize>,
    /// Unbounded, since `tracked` is.
    messages: mpsc::UnboundedSender<Message>,
}

enum Message {
    Written(Arc<NewEvent>),
    Flush(oneshot::Sender<()>),
}

impl Outbox {
    /// Starts delivery, beginning with what is pending in the store.
    ///
    /// `client` comes from [`super::webhook_client`].
    pub async fn start(
        store: Store,
        writer: Writer,
        client: reqwest::Client,
        settings: OutboxSettings,
        clock: Clock,
        random: Random,
        notify: Notify,
    ) -> Result<Outbox, StoreError> {
        let mut dispatcher = Dispatcher {
            courier: Arc::new(Courier {
                store: store.clone(),
                writer: writer.clone(),
                client,
                settings: settings.clone(),
                clock: clock.clone(),
                notify,
            }),
            random,
            tracked: Arc::new(AtomicUsize::new(0)),
            keys: HashMap::new(),
            hosts: HashMap::new(),
            turn: VecDeque::new(),
            retries: BTreeMap::new(),
            retry_number: 0,
            cached: 0,
            running: JoinSet::new(),
            carried: HashMap::new(),
            flushes: Vec::new(),
        };
        let mut last = 0;
        loop {
            let page = store.pending_events(last).await?;
            let Some(end) = page.last() else { break };
            last = end.seq;
            for event in page {
                dispatcher.tracked.fetch_add(1, Ordering::Relaxed);
                let host = host_of(&event.url);
                dispatcher.enqueue(
                    event.key,
                    Entry { seq: event.seq, host, attempts: event.attempts, created: event.created, event: None },
                );
            }
        }
        let (messages, receiver) = mpsc::unbounded_channel();
        let shared = Shared {
            next_seq: AtomicI64::new(store.last_event_seq().await?.saturating_add(1)),
            store,
            writer,
            clock,
            settings,
            tracked: dispatcher.tracked.clone(),
            unwritten: Arc::new(AtomicUsize::new(0)),
            messages,
        };
        tokio::spawn(dispatcher.run(receiver));
        Ok(Outbox { shared: Arc::new(shared) })
    }

    /// Takes an event without waiting: it is written down, then delivered after the earlier ones of its key. Returns
    /// its number, by which notices name it. Events of one key must be posted from one task, in order.
    pub fn post(&self, event: OutgoingEvent) -> Result<i64, PostError> {
        let shared = &self.shared;
        check(&event)?;
        let body = event.body.to_string();
        if body.len() > MAX_BODY {
            return Err(PostError::TooLarge(body.len()));
        }
        let length = body.len();
        let tracked = shared.tracked.fetch_add(1, Ordering::Relaxed);
        let unwritten = shared.unwritten.fetch_add(length, Ordering::Relaxed);
        let give_back = |tracked: &AtomicUsize, unwritten: &AtomicUsize| {
            tracked.fetch_sub(1, Ordering::Relaxed);
            unwritten.fetch_sub(length, Ordering::Relaxed);
        };
        if tracked >= shared.settings.max_tracked || unwritten.saturating_add(length) > MAX_UNWRITTEN_BYTES {
            give_back(&shared.tracked, &shared.unwritten);
            return Err(PostError::Full);
        }
        let seq = shared.next_seq.fetch_add(1, Ordering::Relaxed);
        let event = Arc::new(NewEvent {
            seq,
            id: event.id,
            key: event.key,
            kind: event.kind,
            url: event.url,
            content_type: event.content_type,
            headers: event.headers,
            body,
            created: (shared.clock)(),
        });
        let done = {
            let (event, messages) = (event.clone(), shared.messages.clone());
            let (tracked, unwritten) = (shared.tracked.clone(), shared.unwritten.clone());
            Box::new(move |written: Result<(), StoreError>| {
                unwritten.fetch_sub(length, Ordering::Relaxed);
                // A row that the database refuses for good was logged by the writer.
                if written.is_err() || messages.send(Message::Written(event)).is_err() {
                    tracked.fetch_sub(1, Ordering::Relaxed);
                }
            })
        };
        shared.writer.try_submit(WriteOp::Event(event), Some(done)).map_err(|_| {
            give_back(&shared.tracked, &shared.unwritten);
            PostError::Full
        })?;
        Ok(seq)
    }

    /// Events that are neither delivered nor dead.
    pub fn pending(&self) -> usize {
        self.shared.tracked.load(Ordering::Relaxed)
    }

    /// The newest events that were given up, at most `limit` (1–1,000).
    pub async fn list_dead(&self, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        self.shared.store.events(EventState::Dead, limit).await
    }

    /// Waits until all that was posted is written down and has had its attempt, at most `limit`. Events that wait for
    /// another attempt are not waited for: they are kept, and taken up at the next start. Returns how many are left.
    pub async fn flush(&self, limit: Duration) -> usize {
        let flushed = async {
            self.shared.writer.flush(limit).await;
            let (sender, receiver) = oneshot::channel();
            if self.shared.messages.send(Message::Flush(sender)).is_ok() {
                let _ = receiver.await;
            }
            // What the attempts came to is written as well.
            self.shared.writer.flush(limit).await;
        };
        let _ = tokio::time::timeout(limit, flushed).await;
        self.pending()
    }
}

/// What HTTP could not carry is refused at the door, not after twenty attempts.
fn check(event: &OutgoingEvent) -> Result<(), PostError> {
    let invalid = |what: String| Err(PostError::Invalid(what));
    match Url::parse(&event.url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
        _ => return invalid(format!("`{}` is not an absolute http(s) URL", event.url)),
    }
    for (name, value) in
        event.headers.iter().map(|(n, v)| (n.as_str(), v)).chain([("content-type", &event.content_type)])
    {
        if reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_err()
            || reqwest::header::HeaderValue::from_str(value).is_err()
        {
            return invalid(format!("header `{name}` cannot be sent"));
        }
    }
    Ok(())
}

/// Host and port: what shares a limit.
fn host_of(url: &str) -> Arc<str> {
    let host = Url::parse(url).ok().and_then(|url| {
        Some(format!("{}:{}", url.host_str()?.to_ascii_lowercase(), url.port_or_known_default().unwrap_or(0)))
    });
    host.unwrap_or_default().into()
}

/// An event in line.
struct Entry {
    seq: i64,
    host: Arc<str>,
    attempts: u32,
    created: Time,
    /// None: read it back from the store.
    event: Option<Arc<NewEvent>>,
}

#[derive(Default)]
struct Host {
    /// Keys whose first event goes here; without any, the host is forgotten.
    lines: usize,
    in_flight: usize,
    /// Failures in a row.
    failures: u32,
    /// Keys whose first event may go.
    ready: VecDeque<Arc<str>>,
    /// Is the host in `turn`?
    in_turn: bool,
}

/// Owns the queues.
struct Dispatcher {
    courier: Arc<Courier>,
    random: Random,
    tracked: Arc<AtomicUsize>,
    /// The events of each key, in order. The first is in flight, ready at its host, or waits for its next attempt.
    keys: HashMap<Arc<str>, VecDeque<Entry>>,
    hosts: HashMap<Arc<str>, Host>,
    /// Hosts that have something ready and a free slot, each served one event in turn.
    turn: VecDeque<Arc<str>>,
    /// Keys that wait for their next attempt, by time. The number keeps equal times apart.
    retries: BTreeMap<(Instant, u64), Arc<str>>,
    retry_number: u64,
    /// Bytes of bodies in `keys`.
    cached: usize,
    running: JoinSet<Settled>,
    /// Whose event each delivery task carries, and the attempts made before.
    carried: HashMap<Id, (Arc<str>, u32)>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Dispatcher {
    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        loop {
            self.launch();
            self.answer_flushes();
            let due = self.retries.first_key_value().map(|((at, _), _)| *at);
            tokio::select! {
                message = messages.recv() => match message {
                    None => return,
                    Some(Message::Written(event)) => self.accept(event),
                    Some(Message::Flush(done)) => self.flushes.push(done),
                },
                Some(joined) = self.running.join_next_with_id() => match joined {
                    Ok((id, settled)) => {
                        self.carried.remove(&id);
                        self.settle(settled);
                    }
                    Err(error) => self.broken(&error),
                },
                () = sleep_until(due) => self.wake(),
            }
        }
    }

    fn accept(&mut self, event: Arc<NewEvent>) {
        let kept = self.cached.saturating_add(event.body.len()) <= MAX_CACHED_BYTES;
        if kept {
            self.cached += event.body.len();
        }
        let entry = Entry {
            seq: event.seq,
            host: host_of(&event.url),
            attempts: 0,
            created: event.created,
            event: kept.then(|| event.clone()),
        };
        self.enqueue(event.key.clone(), entry);
    }

    fn enqueue(&mut self, key: String, entry: Entry) {
        let key: Arc<str> = key.into();
        match self.keys.get_mut(&key) {
            Some(line) => line.push_back(entry),
            None => {
                let host = entry.host.clone();
                self.keys.insert(key.clone(), VecDeque::from([entry]));
                self.begin(key, host);
            }
        }
    }

    /// The next event of `key` has become its first.
    fn begin(&mut self, key: Arc<str>, host: Arc<str>) {
        self.hosts.entry(host.clone()).or_default().lines += 1;
        self.ready(key, host);
    }

    /// The first event of `key` may go to `host`.
    fn ready(&mut self, key: Arc<str>, host: Arc<str>) {
        self.hosts.entry(host.clone()).or_default().ready.push_back(key);
        self.offer_turn(host);
    }

    fn offer_turn(&mut self, name: Arc<str>) {
        let Some(host) = self.hosts.get_mut(&name) else { return };
        let settings = &self.courier.settings;
        let slots = if host.failures >= FAILING_AFTER {
            settings.failing_host.min(settings.per_host)
        } else {
            settings.per_host
        };
        if !host.in_turn && !host.ready.is_empty() && host.in_flight < slots.max(1) {
            host.in_turn = true;
            self.turn.push_back(name);
        }
    }

    /// Sends what may go.
    fn launch(&mut self) {
        while self.running.len() < self.courier.settings.concurrency.max(1) {
            let Some(name) = self.turn.pop_front() else { return };
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            host.in_turn = false;
            let Some(key) = host.ready.pop_front() else { continue };
            if let Some(entry) = self.keys.get(&key).and_then(VecDeque::front) {
                host.in_flight += 1;
                let job = Job {
                    key,
                    seq: entry.seq,
                    attempts: entry.attempts,
                    created: entry.created,
                    event: entry.event.clone(),
                    random: self.random.fork(),
                };
                let carried = (job.key.clone(), job.attempts);
                let task = self.running.spawn(self.courier.clone().deliver(job));
                self.carried.insert(task.id(), carried);
            }
            self.offer_turn(name);
        }
    }

    fn settle(&mut self, settled: Settled) {
        let Settled { key, attempts, retry_after, failed } = settled;
        let Some(line) = self.keys.get_mut(&key) else { return };
        let Some(first) = line.front_mut() else { return };
        let name = first.host.clone();
        first.attempts = attempts;
        match retry_after {
            Some(delay) => {
                self.retry_number += 1;
                self.retries.insert((Instant::now() + delay, self.retry_number), key);
            }
            None => {
                if let Some(event) = line.pop_front().and_then(|entry| entry.event) {
                    self.cached = self.cached.saturating_sub(event.body.len());
                }
                self.tracked.fetch_sub(1, Ordering::Relaxed);
                match line.front().map(|entry| entry.host.clone()) {
                    Some(host) => self.begin(key, host),
                    None => {
                        self.keys.remove(&key);
                    }
                }
            }
        }
        if let Some(host) = self.hosts.get_mut(&name) {
            host.in_flight = host.in_flight.saturating_sub(1);
            host.failures = if failed { host.failures.saturating_add(1) } else { 0 };
            if retry_after.is_none() {
                host.lines = host.lines.saturating_sub(1);
            }
            if host.lines == 0 {
                self.hosts.remove(&name);
            }
        }
        self.offer_turn(name);
    }

    /// A delivery task panicked, which only what is told of attempts could bring about: its key must not stand still.
    fn broken(&mut self, error: &JoinError) {
        tracing::error!(%error, "a delivery task failed");
        if let Some((key, attempts)) = self.carried.remove(&error.id()) {
            let retry_after = Some(self.courier.settings.max_delay);
            self.settle(Settled { key, attempts: attempts.saturating_add(1), retry_after, failed: true });
        }
    }

    fn wake(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.retries.first_entry().filter(|entry| entry.key().0 <= now) {
            let key = entry.remove();
            if let Some(host) = self.keys.get(&key).and_then(VecDeque::front).map(|entry| entry.host.clone()) {
                self.ready(key, host);
            }
        }
    }

    fn answer_flushes(&mut self) {
        if self.running.is_empty() && self.turn.is_empty() {
            for done in self.flushes.drain(..) {
                let _ = done.send(());
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
