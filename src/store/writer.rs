//! Writes that nobody waits for: a bounded queue and one task that commits them in order and in batches, and holds on
//! while the database is locked. A call hands its rows over and goes on.
//!
//! When the queue is full, [`Writer::try_submit`] refuses and counts; nothing that was taken is dropped while the
//! process lives, except what the database refuses for good (which its `done` is told).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::calls::{self, CallRecord, TimelineEntry};
use super::error::StoreError;
use super::events::{self, EventState, NewEvent};
use super::open::Store;
use super::users;
use crate::time::Time;

/// Operations in one transaction.
const BATCH: usize = 256;
/// How long operations that nobody waits for may wait for others, to share a transaction with them: a busy engine then
/// commits some twenty times a second instead of twice a call, and a call's answer is not held up by its own record.
const GATHER: Duration = Duration::from_millis(50);
/// First and longest pause while the database is locked. Retried as long as the process lives: the bound is the queue.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Where a room outside of the pure ones gets the time from.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// Something to write.
#[derive(Clone, Debug)]
pub enum WriteOp {
    /// An event was accepted.
    Event(Arc<NewEvent>),
    /// An attempt to deliver an event was made.
    Attempt {
        /// Which event.
        seq: i64,
        /// What it is now.
        state: EventState,
        /// Attempts made.
        attempts: u32,
        /// Pending: when the next one is due. Otherwise: when it was settled.
        at: Time,
        /// Why it failed.
        error: Option<String>,
    },
    /// A call, and what is new on its timeline.
    Call {
        /// The record, replacing the one before.
        record: Box<CallRecord>,
        /// New entries; beyond [`super::MAX_TIMELINE_ENTRIES`] they are left out.
        entries: Vec<TimelineEntry>,
    },
    /// What a user has registered, in place of what he had; none: nothing any more.
    Registrations {
        /// His name.
        name: String,
        /// JSON.
        document: Option<String>,
    },
    /// Nothing: tells that all before it is written.
    Barrier,
}

/// What is called once an operation is written, or refused by the database for good.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The queue is full (or the writer has ended): the operation was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue to the database is full")]
pub struct QueueFull;

/// Settings of the writer.
#[derive(Clone)]
pub struct WriterSettings {
    /// Operations that may wait. Default 20,000.
    pub queue: usize,
    /// Ended calls that are kept. Default 10,000.
    pub keep_calls: u32,
    /// How long delivered events are kept. Default one hour.
    pub keep_delivered: Duration,
    /// How long dead events are kept. Default seven days.
    pub keep_dead: Duration,
    /// How often what is too old is deleted. Default one minute.
    pub prune_every: Duration,
    /// The time.
    pub clock: Clock,
}

impl WriterSettings {
    /// The defaults.
    pub fn new(clock: Clock) -> Self {
        WriterSettings {
            queue: 20_000,
            keep_calls: 10_000,
            keep_delivered: Duration::from_secs(3_600),
            keep_dead: Duration::from_secs(7 * 86_400),
            prune_every: Duration::from_secs(60),
            clock,
        }
    }
}

/// The way to the writing task. Cheap to clone; the task ends when the last clone is gone and the queue is empty.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::Sender<(WriteOp, Option<Done>)>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    waiting: AtomicUsize,
    refused: AtomicU64,
    retries: AtomicU64,
}

impl Writer {
    /// Starts the task on the current tokio runtime.
    pub fn start(store: Store, settings: WriterSettings) -> Writer {
        let (queue, receiver) = mpsc::channel(settings.queue.max(1));
        let counters = Arc::new(Counters::default());
        tokio::spawn(run(store, settings, receiver, counters.clone()));
        Writer { queue, counters }
    }

    /// Hands an operation over without waiting. On [`QueueFull`] `done` is dropped uncalled.
    pub fn try_submit(&self, op: WriteOp, done: Option<Done>) -> Result<(), QueueFull> {
        // Counted before it is sent: the task may have written it before we are back here.
        self.counters.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.try_send((op, done)).map_err(|_| {
            self.counters.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            QueueFull
        })
    }

    /// Hands an operation over, waiting while the queue is full. For tasks that may wait; a call may not.
    pub async fn submit(&self, op: WriteOp, done: Option<Done>) -> Result<(), QueueFull> {
        self.counters.waiting.fetch_add(1, Ordering::Relaxed);
        self.queue.send((op, done)).await.map_err(|_| {
            self.counters.waiting.fetch_sub(1, Ordering::Relaxed);
            QueueFull
        })
    }

    /// Saves a call and what is new on its timeline.
    pub fn save_call(&self, record: CallRecord, entries: Vec<TimelineEntry>) -> Result<(), QueueFull> {
        self.try_submit(WriteOp::Call { record: Box::new(record), entries }, None)
    }

    /// Waits until all that was handed over before is written; false: not within `limit`.
    pub async fn flush(&self, limit: Duration) -> bool {
        let (sender, written) = oneshot::channel();
        let done: Done = Box::new(move |_| {
            let _ = sender.send(());
        });
        let flushed = async { self.submit(WriteOp::Barrier, Some(done)).await.is_ok() && written.await.is_ok() };
        tokio::time::timeout(limit, flushed).await.unwrap_or(false)
    }

    /// Operations that are not written yet.
    pub fn waiting(&self) -> usize {
        self.counters.waiting.load(Ordering::Relaxed)
    }

    /// Operations refused because the queue was full.
    pub fn refused(&self) -> u64 {
        self.counters.refused.load(Ordering::Relaxed)
    }

    /// Commits that had to be tried again.
    pub fn retries(&self) -> u64 {
        self.counters.retries.load(Ordering::Relaxed)
    }
}

async fn run(
    store: Store,
    settings: WriterSettings,
    mut queue: mpsc::Receiver<(WriteOp, Option<Done>)>,
    counters: Arc<Counters>,
) {
    let mut prune = tokio::time::interval(settings.prune_every.max(Duration::from_millis(1)));
    prune.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            taken = queue.recv_many(&mut batch, BATCH) => {
                if taken == 0 {
                    return;
                }
                gather(&mut queue, &mut batch).await;
                write(&store, &mut batch, &counters).await;
            }
            _ = prune.tick() => {
                if let Err(error) = tidy(&store, &settings).await {
                    tracing::warn!(%error, "old rows were not deleted; tried again later");
                }
            }
        }
    }
}

/// Waits for more to write, for [`GATHER`] at most, and no longer once the batch is full or somebody waits for it.
async fn gather(queue: &mut mpsc::Receiver<(WriteOp, Option<Done>)>, batch: &mut Vec<(WriteOp, Option<Done>)>) {
    let until = tokio::time::Instant::now() + GATHER;
    while batch.len() < BATCH && batch.iter().all(|(_, done)| done.is_none()) {
        let room = BATCH - batch.len();
        match tokio::time::timeout_at(until, queue.recv_many(batch, room)).await {
            Ok(more) if more > 0 => {}
            // The time is up, or the last sender is gone.
            _ => return,
        }
    }
}

/// Writes a batch in one transaction; where the database refuses it for good, one by one to find what it refuses.
async fn write(store: &Store, batch: &mut Vec<(WriteOp, Option<Done>)>, counters: &Counters) {
    let (ops, dones): (Vec<WriteOp>, Vec<Option<Done>>) = batch.drain(..).unzip();
    let mut together = Some(persist(store, &ops, counters).await);
    for (op, done) in ops.iter().zip(dones) {
        let result = match together.take() {
            Some(Ok(())) => {
                together = Some(Ok(()));
                Ok(())
            }
            Some(Err(error)) if ops.len() == 1 => Err(error),
            _ => persist(store, std::slice::from_ref(op), counters).await,
        };
        if let Err(error) = &result {
            tracing::error!(?error, "the database refused a row for good; it is lost");
        }
        counters.waiting.fetch_sub(1, Ordering::Relaxed);
        if let Some(done) = done {
            done(result);
        }
    }
}

/// One transaction, tried until the database is free.
async fn persist(store: &Store, batch: &[WriteOp], counters: &Counters) -> Result<(), StoreError> {
    let mut pause = PAUSE.0;
    loop {
        let error = match commit(store, batch).await.map_err(StoreError::from) {
            Err(error) if error.is_transient() => error,
            settled => return settled,
        };
        if pause == PAUSE.0 {
            tracing::warn!(?error, rows = batch.len(), "the database is busy; what is to be written waits");
        }
        counters.retries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

async fn commit(store: &Store, batch: &[WriteOp]) -> Result<(), sqlx::Error> {
    if batch.iter().all(|op| matches!(op, WriteOp::Barrier)) {
        return Ok(());
    }
    let mut transaction = store.write.begin_with("BEGIN IMMEDIATE").await?;
    for op in batch {
        match op {
            WriteOp::Event(event) => events::insert(&mut transaction, event).await?,
            WriteOp::Attempt { seq, state, attempts, at, error } => {
                events::attempted(&mut transaction, *seq, *state, *attempts, *at, error.as_deref()).await?;
            }
            WriteOp::Call { record, entries } => calls::save(&mut transaction, record, entries).await?,
            WriteOp::Registrations { name, document } => {
                users::save_registrations(&mut transaction, name, document.as_deref()).await?;
            }
            WriteOp::Barrier => {}
        }
    }
    transaction.commit().await
}

async fn tidy(store: &Store, settings: &WriterSettings) -> Result<(), StoreError> {
    let now = (settings.clock)();
    let mut transaction = store.write.begin_with("BEGIN IMMEDIATE").await?;
    events::prune(&mut transaction, EventState::Delivered, now - settings.keep_delivered).await?;
    events::prune(&mut transaction, EventState::Dead, now - settings.keep_dead).await?;
    calls::retain(&mut transaction, settings.keep_calls).await?;
    transaction.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited_for() -> (WriteOp, Option<Done>) {
        (WriteOp::Barrier, Some(Box::new(|_| {})))
    }

    #[tokio::test]
    async fn what_somebody_waits_for_is_not_held_up() {
        let (queue, mut receiver) = mpsc::channel(8);
        let mut batch = vec![waited_for()];
        queue.try_send((WriteOp::Barrier, None)).unwrap();
        gather(&mut receiver, &mut batch).await;
        assert_eq!((batch.len(), receiver.len()), (1, 1));

        let mut batch = vec![(WriteOp::Barrier, None)];
        queue.try_send(waited_for()).unwrap();
        gather(&mut receiver, &mut batch).await;
        assert_eq!((batch.len(), receiver.len()), (3, 0));
    }

    #[tokio::test]
    async fn gathering_ends_with_a_full_batch_and_with_the_last_sender() {
        let (queue, mut receiver) = mpsc::channel(BATCH + 8);
        (0..BATCH + 7).for_each(|_| queue.try_send((WriteOp::Barrier, None)).unwrap());
        let mut batch = vec![(WriteOp::Barrier, None)];
        gather(&mut receiver, &mut batch).await;
        assert_eq!((batch.len(), receiver.len()), (BATCH, 8));

        drop(queue);
        batch.truncate(1);
        gather(&mut receiver, &mut batch).await;
        assert_eq!((batch.len(), receiver.len()), (9, 0));
    }
}
