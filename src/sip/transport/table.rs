//! The table of connections (RFC 3261 §18.1.1, §18.2; reuse: RFC 5923): takes incoming ones within limits, opens others
//! on demand, hands messages to them. One task owns it; a connection's own life is `connection`'s.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::connection::{Connection, Order, Origin, canonical};
use super::destinations::Destinations;
use super::gate::StreamShare;
use super::{Counted, Counts, Inbound, TransportConfig};
use crate::sip::peer::{Peer, Transport};

/// After an error of the listener (no file descriptors left), so that a lasting one does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Accepted connections that wait for the table. Full: the listener waits, and the kernel's backlog behind it.
pub(super) const ACCEPT_QUEUE: usize = 64;

/// What the table is told.
pub(super) enum Command {
    /// Send these bytes to that peer.
    Send(Peer, Bytes),
    /// Ping on this connection this often.
    KeepAlive(u64, Duration),
}

/// A connection that a listener has taken.
pub(super) struct Accepted {
    transport: Transport,
    local: SocketAddr,
    stream: TcpStream,
    remote: SocketAddr,
}

/// Takes connections from one listener until the handle is dropped.
pub(super) async fn accept(
    transport: Transport,
    listener: TcpListener,
    local: SocketAddr,
    table: mpsc::Sender<Accepted>,
    mut closed: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closed.changed() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                let remote = canonical(remote);
                if table.send(Accepted { transport, local, stream, remote }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, %transport, "accept");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }
}

pub(super) struct Table {
    config: Arc<TransportConfig>,
    /// Our address for each transport and family, told until a connection has one of its own.
    locals: Vec<(Transport, SocketAddr)>,
    inbound: mpsc::Sender<Inbound>,
    counts: Arc<Counts>,
    destinations: Arc<Destinations>,
    next: u64,
    generation: u64,
    /// At most `max_connections`.
    connections: HashMap<u64, Entry>,
    /// The newest connection to an address.
    by_remote: HashMap<(Transport, SocketAddr), u64>,
    /// Incoming connections by source.
    by_source: HashMap<IpAddr, usize>,
    incoming: usize,
    /// Of the inbound queue.
    share: StreamShare,
}

struct Entry {
    transport: Transport,
    remote: SocketAddr,
    incoming: bool,
    queue: mpsc::Sender<Order>,
    /// A way to a name keeps its number when its connection is opened again; this tells the two apart.
    generation: u64,
}

/// A connection has ended: its number and generation.
type End = (u64, u64);

impl Table {
    pub(super) fn new(
        config: Arc<TransportConfig>,
        locals: Vec<(Transport, SocketAddr)>,
        inbound: mpsc::Sender<Inbound>,
        counts: Arc<Counts>,
        destinations: Arc<Destinations>,
    ) -> Self {
        let share = StreamShare::new(config.inbound_queue.max(1), config.max_connections_per_source);
        Table {
            share,
            config,
            locals,
            inbound,
            counts,
            destinations,
            next: 1,
            generation: 0,
            connections: HashMap::new(),
            by_remote: HashMap::new(),
            by_source: HashMap::new(),
            incoming: 0,
        }
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut accepted: mpsc::Receiver<Accepted>,
        mut closed: watch::Receiver<()>,
    ) {
        // Each connection reports once, at its end.
        let (ended, mut ends) = mpsc::channel::<End>(self.config.max_connections.max(1));
        loop {
            tokio::select! {
                // Ends first, so that a message is not handed to a connection that is known to be gone.
                biased;
                Some(end) = ends.recv() => self.remove(end),
                command = commands.recv() => match command {
                    Some(command) => self.obey(command, &ended).await,
                    None => return,
                },
                Some(one) = accepted.recv() => self.accept(one, &ended),
                _ = closed.changed() => {
                    // What was sent before the handle was dropped still goes out.
                    while let Ok(command) = commands.try_recv() {
                        self.obey(command, &ended).await;
                    }
                    return;
                }
            }
        }
    }

    async fn obey(&mut self, command: Command, ended: &mpsc::Sender<End>) {
        match command {
            Command::Send(peer, bytes) => self.send(peer, bytes, ended).await,
            Command::KeepAlive(id, every) => {
                if let Some(entry) = self.connections.get(&id) {
                    // Full: it is in use.
                    let _ = entry.queue.try_send(Order::KeepAlive(every));
                }
            }
        }
    }

    fn accept(&mut self, one: Accepted, ended: &mpsc::Sender<End>) {
        let source = one.remote.ip();
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
        let id = self.fresh();
        self.start(id, one.transport, one.remote, one.local, Origin::Accepted(one.stream), ended);
    }

    fn fresh(&mut self) -> u64 {
        let id = self.next;
        self.next += 1;
        id
    }

    fn start(
        &mut self,
        id: u64,
        transport: Transport,
        remote: SocketAddr,
        local: SocketAddr,
        origin: Origin,
        ended: &mpsc::Sender<End>,
    ) {
        self.generation += 1;
        let generation = self.generation;
        let incoming = matches!(origin, Origin::Accepted(_));
        let (queue, outgoing) = mpsc::channel(self.config.connection_queue.max(1));
        self.connections.insert(id, Entry { transport, remote, incoming, queue, generation });
        self.by_remote.insert((transport, remote), id);
        if incoming {
            self.incoming += 1;
            *self.by_source.entry(remote.ip()).or_insert(0) += 1;
        }
        let connection = Connection {
            id,
            transport,
            remote,
            local,
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
            let _ = ended.send((id, generation)).await;
            connection.report(lost).await;
        });
    }

    fn remove(&mut self, (id, generation): End) {
        if self.connections.get(&id).is_none_or(|entry| entry.generation != generation) {
            return;
        }
        let Some(entry) = self.connections.remove(&id) else { return };
        self.counts.add(Counted::ConnectionsClosed);
        let place = (entry.transport, entry.remote);
        if self.by_remote.get(&place) == Some(&id) {
            self.by_remote.remove(&place);
        }
        if entry.incoming {
            self.incoming = self.incoming.saturating_sub(1);
            let source = entry.remote.ip();
            if let Some(count) = self.by_source.get_mut(&source) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.by_source.remove(&source);
                }
            }
        }
    }

    /// The connection that a message to this peer goes by, opened where need be; none: it cannot go.
    fn connection(&mut self, peer: &Peer, ended: &mpsc::Sender<End>) -> Option<u64> {
        let known = match peer.connection {
            Some(id) => self.connections.contains_key(&id).then_some(id),
            None => self.by_remote.get(&(peer.transport, peer.remote)).copied(),
        };
        if known.is_some() {
            return known;
        }
        let (id, transport, remote, name) = match peer.connection {
            // One that was accepted or had no name, and is gone: nobody else is meant.
            Some(id) => {
                let way = self.destinations.get(id)?;
                (id, way.transport, way.remote, way.name)
            }
            None => (self.fresh(), peer.transport, peer.remote, self.destinations.name_at(peer.remote)),
        };
        if self.connections.len() >= self.config.max_connections {
            self.counts.add(Counted::ConnectionsFailed);
            return None;
        }
        let mine = |(t, local): &&(Transport, SocketAddr)| *t == transport && local.is_ipv4() == remote.is_ipv4();
        let local = self.locals.iter().find(mine).map_or(peer.local, |(_, local)| *local);
        self.start(id, transport, remote, local, Origin::ToOpen { name }, ended);
        Some(id)
    }

    async fn send(&mut self, peer: Peer, bytes: Bytes, ended: &mpsc::Sender<End>) {
        let peer = Peer { remote: canonical(peer.remote), ..peer };
        let id = self.connection(&peer, ended);
        let sent = match id.and_then(|id| self.connections.get(&id).map(|entry| (id, entry))) {
            Some((id, entry)) => match entry.queue.try_send(Order::Send(bytes)) {
                Ok(()) => true,
                Err(mpsc::error::TrySendError::Full(_)) => {
                    // Its peer does not read: close it. It reports its own end.
                    self.counts.add(Counted::SlowPeers);
                    let end = (id, entry.generation);
                    self.remove(end);
                    false
                }
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            },
            None => false,
        };
        if !sent {
            self.counts.add(Counted::SendFailed);
            // Nobody listens any more: nobody to tell.
            let _ = self.inbound.send(Inbound::Lost { peer }).await;
        }
    }
}
