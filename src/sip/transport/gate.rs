//! Who is let in at the sockets: what a banned source sends is dropped before any queue and its connections are closed;
//! and nobody takes more than a share of the queue to the agent. Whom to ban is [`crate::sip::guard`]'s to say.
//!
//! # Shares
//! - Datagrams: a source may hold as many places of the queue as are free ([`Shares`]). One that floods holds half of
//!   the queue at the most, two hold a third each, and so on: there is always room for who comes next.
//! - Streams: all together hold three quarters of the queue at the most, and one connection its part of half of it;
//!   those that have theirs are not read on until the agent has taken something.
//!
//! A message holds its place until its bytes are dropped, which the agent does when it has read them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::sip::guard::Source;

/// So many places a source may hold however full the queue is.
const LEAST: usize = 8;

/// Sources without anything in the queue are forgotten when so many are remembered.
const REMEMBERED: usize = 8_192;

/// The bans in force, for all sockets; clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// With what has been dropped of each. As many as the guard has bans; copied at each change, read without a lock.
    banned: ArcSwap<HashMap<Source, Arc<AtomicU64>>>,
    /// Wakes the connections, which look whether it is they.
    changed: watch::Sender<()>,
}

impl Default for Gate {
    fn default() -> Self {
        Gate(Arc::new(Inner { banned: ArcSwap::default(), changed: watch::Sender::new(()) }))
    }
}

impl Gate {
    /// From now on this source is not heard. A source that is banned already keeps its count.
    pub fn ban(&self, source: Source) {
        self.0.banned.rcu(|banned| {
            let mut banned = HashMap::clone(banned);
            banned.entry(source).or_default();
            banned
        });
        self.0.changed.send_replace(());
    }

    /// From now on this source is heard again.
    pub fn lift(&self, source: Source) {
        self.0.banned.rcu(|banned| {
            let mut banned = HashMap::clone(banned);
            banned.remove(&source);
            banned
        });
    }

    /// What has been dropped of a source since it was banned: datagrams and connections.
    pub fn dropped(&self, source: Source) -> u64 {
        self.0.banned.load().get(&source).map_or(0, |dropped| dropped.load(Ordering::Relaxed))
    }

    /// Is this address banned? Counts what is dropped for it.
    pub(super) fn refuses(&self, address: IpAddr) -> bool {
        let banned = self.0.banned.load();
        if banned.is_empty() {
            return false;
        }
        let found = banned.get(&Source::of(address));
        if let Some(dropped) = found {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        found.is_some()
    }

    /// Waits until this address is banned.
    pub(super) async fn closes(&self, address: IpAddr) {
        let mut changed = self.0.changed.subscribe();
        while !self.0.banned.load().contains_key(&Source::of(address)) {
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// Bytes that hold a place in the queue until they are dropped.
struct Held<P> {
    bytes: Bytes,
    _place: P,
}

impl<P> AsRef<[u8]> for Held<P> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A place of a source's share.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many places of the queue each source of datagrams holds. Only the task that reads the socket has it.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Source, Arc<AtomicUsize>>);

impl Shares {
    /// The bytes with a place in the queue, of which `free` are left; none: the source has its share already.
    pub fn hold(&mut self, address: IpAddr, bytes: Bytes, free: usize) -> Option<Bytes> {
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, held| held.load(Ordering::Relaxed) > 0);
        }
        let held = self.0.entry(Source::of(address)).or_default();
        if held.load(Ordering::Relaxed) >= free.max(LEAST) {
            return None;
        }
        held.fetch_add(1, Ordering::Relaxed);
        Some(Bytes::from_owner(Held { bytes, _place: Place(Arc::clone(held)) }))
    }
}

/// The places of the queue that streams may hold together.
#[derive(Clone, Debug)]
pub(super) struct StreamShare {
    all: Arc<Semaphore>,
    /// Of one connection.
    each: usize,
}

impl StreamShare {
    /// Of a queue with so many places, for so many connections a source.
    pub fn new(queue: usize, connections: usize) -> Self {
        StreamShare {
            all: Arc::new(Semaphore::new((queue - queue / 4).max(1))),
            each: (queue / 2 / connections.max(1)).max(1),
        }
    }

    /// For one connection.
    pub fn of_connection(&self) -> ConnectionShare {
        ConnectionShare { all: Arc::clone(&self.all), own: Arc::new(Semaphore::new(self.each)) }
    }
}

/// The places that one connection may hold.
pub(super) struct ConnectionShare {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
}

impl ConnectionShare {
    /// Waits for a place: its own share first, so that who has it keeps nobody else waiting.
    pub async fn hold(&self, bytes: Bytes) -> Bytes {
        let take = |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).acquire_owned();
        let own: Option<OwnedSemaphorePermit> = take(&self.own).await.ok(); // never closed
        let all = take(&self.all).await.ok();
        Bytes::from_owner(Held { bytes, _place: (own, all) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_gets_half_and_there_is_always_room_for_the_next() {
        let (mut shares, mut queue, all) = (Shares::default(), Vec::new(), 1_000);
        for source in 1..=4u8 {
            let mut got = 0;
            for _ in 0..2_000 {
                let free = all - queue.len();
                if let Some(bytes) = shares.hold([127, 0, 0, source].into(), Bytes::from_static(b"x"), free) {
                    queue.push(bytes);
                    got += 1;
                }
            }
            assert_eq!(got, [500, 250, 125, 63][usize::from(source) - 1], "source {source}");
        }
        // What has been read gives its place back.
        queue.clear();
        assert!(shares.hold([127, 0, 0, 1].into(), Bytes::new(), all).is_some());
        for n in 0..20_000u32 {
            shares.hold(std::net::Ipv4Addr::from(n).into(), Bytes::new(), all);
        }
        assert!(shares.0.len() <= REMEMBERED);
    }

    #[tokio::test]
    async fn streams_leave_a_quarter_and_a_connection_waits_for_its_own() {
        let share = StreamShare::new(64, 4);
        let one = share.of_connection();
        let mut queue = Vec::new();
        for _ in 0..8 {
            queue.push(one.hold(Bytes::from_static(b"x")).await);
        }
        let mut more = std::pin::pin!(one.hold(Bytes::from_static(b"y")));
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(more.as_mut().poll(cx).is_pending())).await);
        let others: Vec<_> = (0..9).map(|_| share.of_connection()).collect();
        for other in &others[..5] {
            for _ in 0..8 {
                queue.push(other.hold(Bytes::new()).await);
            }
        }
        assert_eq!(queue.len(), 48);
        let mut full = std::pin::pin!(others[6].hold(Bytes::new()));
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(full.as_mut().poll(cx).is_pending())).await);
        drop(queue);
        assert_eq!(&more.await[..], b"y");
        full.await;
    }

    #[tokio::test]
    async fn bans_are_seen_counted_and_lifted() {
        let gate = Gate::default();
        let address = IpAddr::from([127, 0, 0, 2]);
        assert!(!gate.refuses(address));
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.closes(address).await }
        });
        gate.ban(Source::of(address));
        waiting.await.unwrap();
        assert!(gate.refuses(address) && gate.refuses("::ffff:127.0.0.2".parse().unwrap()));
        assert!(!gate.refuses([127, 0, 0, 3].into()));
        gate.ban(Source::of(address));
        assert_eq!(gate.dropped(Source::of(address)), 2);
        gate.lift(Source::of(address));
        assert!(!gate.refuses(address));
    }
}
