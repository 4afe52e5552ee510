//! The table of TCP connections (RFC 3261 §18.1.1, §18.2): takes incoming ones within limits, opens others on demand,
//! hands messages to them. One task owns it; a connection's own life is `connection`'s.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::connection::{Connection, Origin};
use super::gate::StreamShare;
use super::{Counted, Counts, Inbound, TransportConfig};
use crate::sip::peer::{Peer, Transport};

/// After an error of the listener (no file descriptors left), so that a lasting one does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Table {
    config: Arc<TransportConfig>,
    listener: TcpListener,
    local: SocketAddr,
    inbound: mpsc::Sender<Inbound>,
    counts: Arc<Counts>,
    next: u64,
    /// At most `max_connections`.
    connections: HashMap<u64, Entry>,
    /// The newest connection to an address.
    by_remote: HashMap<SocketAddr, u64>,
    /// Incoming connections by source.
    by_source: HashMap<IpAddr, usize>,
    incoming: usize,
    /// Of the inbound queue.
    share: StreamShare,
}

struct Entry {
    remote: SocketAddr,
    incoming: bool,
    queue: mpsc::Sender<Bytes>,
}

impl Table {
    pub(super) fn new(
        config: TransportConfig,
        listener: TcpListener,
        local: SocketAddr,
        inbound: mpsc::Sender<Inbound>,
        counts: Arc<Counts>,
    ) -> Self {
        let share = StreamShare::new(config.inbound_queue.max(1), config.max_connections_per_source);
        Table {
            share,
            config: Arc::new(config),
            listener,
            local,
            inbound,
            counts,
            next: 1,
            connections: HashMap::new(),
            by_remote: HashMap::new(),
            by_source: HashMap::new(),
            incoming: 0,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<(Peer, Bytes)>, mut closed: watch::Receiver<()>) {
        // Each connection reports once, at its end.
        let (ended, mut ends) = mpsc::channel::<u64>(self.config.max_connections.max(1));
        loop {
            tokio::select! {
                // Ends first, so that a message is not handed to a connection that is known to be gone.
                biased;
                Some(id) = ends.recv() => self.remove(id),
                command = commands.recv() => match command {
                    Some((peer, bytes)) => self.send(peer, bytes, &ended).await,
                    None => return,
                },
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, remote)) => self.accept(stream, remote, &ended),
                    Err(error) => {
                        tracing::warn!(%error, "TCP accept");
                        tokio::time::sleep(ERROR_PAUSE).await;
                    }
                },
                _ = closed.changed() => {
                    // What was sent before the handle was dropped still goes out.
                    while let Ok((peer, bytes)) = commands.try_recv() {
                        self.send(peer, bytes, &ended).await;
                    }
                    return;
                }
            }
        }
    }

    fn accept(&mut self, stream: tokio::net::TcpStream, remote: SocketAddr, ended: &mpsc::Sender<u64>) {
        let source = remote.ip().to_canonical();
        let from_source = self.by_source.get(&source).copied().unwrap_or(0);
        let all = self.config.max_connections;
        if self.config.gate.refuses(source) {
            return self.counts.add(Counted::ConnectionsBanned);
        }
        if self.connections.len() >= all
            || self.incoming >= (all - all / 4).max(1)
            || from_source >= self.config.max_connections_per_source
        {
            self.counts.add(Counted::ConnectionsRefused);
            return; // dropping the stream closes it
        }
        self.counts.add(Counted::ConnectionsAccepted);
        self.start(remote, Origin::Accepted(stream), ended);
    }

    fn start(&mut self, remote: SocketAddr, origin: Origin, ended: &mpsc::Sender<u64>) -> u64 {
        let id = self.next;
        self.next += 1;
        let incoming = matches!(origin, Origin::Accepted(_));
        let (queue, outgoing) = mpsc::channel(self.config.connection_queue.max(1));
        self.connections.insert(id, Entry { remote, incoming, queue });
        self.by_remote.insert(remote, id);
        if incoming {
            self.incoming += 1;
            *self.by_source.entry(remote.ip().to_canonical()).or_insert(0) += 1;
        }
        let connection = Connection {
            id,
            remote,
            local: self.local,
            config: self.config.clone(),
            inbound: self.inbound.clone(),
            counts: self.counts.clone(),
            share: self.share.of_connection(),
        };
        let ended = ended.clone();
        tokio::spawn(async move {
            let lost = connection.run(origin, outgoing).await;
            // The table forgets it first, so that whoever hears of the loss and sends again gets a new one. No table:
            // the handle was dropped.
            let _ = ended.send(id).await;
            connection.report(lost).await;
        });
        id
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.connections.remove(&id) else { return };
        self.counts.add(Counted::ConnectionsClosed);
        if self.by_remote.get(&entry.remote) == Some(&id) {
            self.by_remote.remove(&entry.remote);
        }
        if entry.incoming {
            self.incoming = self.incoming.saturating_sub(1);
            let source = entry.remote.ip().to_canonical();
            if let Some(count) = self.by_source.get_mut(&source) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_source.remove(&source);
                }
            }
        }
    }

    async fn send(&mut self, peer: Peer, bytes: Bytes, ended: &mpsc::Sender<u64>) {
        let id = match peer.connection {
            Some(id) => self.connections.contains_key(&id).then_some(id),
            None => match self.by_remote.get(&peer.remote) {
                Some(id) => Some(*id),
                None if self.connections.len() >= self.config.max_connections => {
                    self.counts.add(Counted::ConnectionsFailed);
                    None
                }
                None => Some(self.start(peer.remote, Origin::ToOpen, ended)),
            },
        };
        let sent = match id.and_then(|id| self.connections.get(&id)) {
            Some(entry) => match entry.queue.try_send(bytes) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    // Its peer does not read: close it. It reports its own end.
                    self.counts.add(Counted::SlowPeers);
                    if let Some(id) = id {
                        self.remove(id);
                    }
                    false
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            },
            None => false,
        };
        if !sent {
            self.counts.add(Counted::SendFailed);
            let peer = Peer { transport: Transport::Tcp, ..peer };
            // Nobody listens any more: nobody to tell.
            let _ = self.inbound.send(Inbound::Lost { peer }).await;
        }
    }
}
