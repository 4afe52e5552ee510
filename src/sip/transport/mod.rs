//! SIP on sockets (RFC 3261 §18, RFC 7118): listeners for UDP and TCP on the same ports, for TLS and WebSocket;
//! connections opened on demand, kept, shared and closed. Whole messages come out, bytes go in; nothing here waits for
//! anybody. What the messages mean is `message`'s and the agent's; the top Via is marked by
//! [`super::message::via::mark_source`].
//!
//! Sending never blocks: a datagram that the socket does not take at once is dropped and counted (it is
//! retransmitted); a connection that does not take its bytes in time is closed, and reported as [`Inbound::Lost`].
//! Receiving: when nobody empties the inbound queue, datagrams are dropped and counted, streams are not read on.

mod connection;
mod counts;
mod destinations;
mod gate;
mod listen;
pub mod locate;
mod stream;
mod table;
pub mod tls;
mod udp;
mod websocket;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

pub use counts::{Counted, Counts};
pub use destinations::Destinations;
pub use gate::Gate;
pub use listen::BindError;

use self::table::Command;
use self::tls::Tls;
use super::peer::{Peer, Transport};

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// One framed message, not parsed: a datagram, or what Content-Length cut from a stream. `peer` leads back.
    Message { peer: Peer, bytes: Bytes },
    /// This connection is gone, or could not be opened: what was to go by it, and had not been answered, will not be.
    /// It concerns whoever was told to use `peer.connection`, and whoever sent to `peer.remote` over that transport
    /// without naming a connection. For one that could not be opened, `peer.connection` is none.
    Lost { peer: Peer },
    /// The client certificate of this connection has been verified, and is good for these names (RFC 5922 §7.1): its
    /// DNS names and the hosts of its SIP URIs, in lower case; its common name where it has neither. Told once, before
    /// the connection's first message.
    Identified { peer: Peer, names: Vec<String> },
}

/// Why something was not sent. Lost connections are told later, by [`Inbound::Lost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    #[error("the send queue is full")]
    Full,
    #[error("the transport is closed")]
    Closed,
    #[error("no listener of ours speaks {0} with that address")]
    Unsupported(Transport),
    #[error("the message is too long for a datagram")]
    TooLong,
    #[error("the network refused the datagram: {0:?}")]
    Refused(std::io::ErrorKind),
}

/// Limits and times of the transport layer.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// Where UDP and TCP listen, each on the same port. Port 0: any that is free for both. An IPv6 address stands for
    /// IPv6 alone, the wildcard too.
    pub listen: Vec<SocketAddr>,
    /// Where TLS listens; needs `tls`.
    pub tls_listen: Vec<SocketAddr>,
    /// Where WebSocket listens.
    pub ws_listen: Vec<SocketAddr>,
    /// Where secure WebSocket listens; needs `tls`.
    pub wss_listen: Vec<SocketAddr>,
    /// Our certificate and whom we trust; none: TLS is not spoken.
    pub tls: Option<Arc<Tls>>,
    /// The origins that browsers may connect from; none: all.
    pub origins: Vec<String>,
    /// Messages that wait for the agent. Full: datagrams are dropped, streams wait.
    pub inbound_queue: usize,
    /// Messages that wait to be handed to a connection. Full: [`SendError::Full`].
    pub outbound_queue: usize,
    /// Messages that wait on one connection. Full: its peer does not read, and it is closed.
    pub connection_queue: usize,
    /// Connections in all, those included that are still at their handshakes. Full: no new one is opened. Three
    /// quarters of them may be incoming ones; further ones are closed at once.
    pub max_connections: usize,
    /// Incoming connections from one address. Further ones are closed at once.
    pub max_connections_per_source: usize,
    /// How long opening a connection may take, TLS and WebSocket handshakes included.
    pub connect_timeout: Duration,
    /// How long a message may take from its first byte to its last, a new incoming connection until its first message
    /// or ping, and its handshakes before that.
    pub message_timeout: Duration,
    /// How long a connection may take to accept a message's bytes.
    pub write_timeout: Duration,
    /// A connection without any traffic for so long is closed.
    pub idle_timeout: Duration,
    /// How long an answer to a ping of ours may take, from a peer that has answered one before (RFC 5626 §4.4.1).
    pub pong_timeout: Duration,
    /// What the kernel is asked to buffer for a UDP socket, in bytes; it may give less.
    pub udp_receive_buffer: usize,
    /// Who is not let in; the same one that [`Transports::gate`] gives.
    pub gate: Gate,
}

impl TransportConfig {
    /// The defaults, with UDP and TCP listening there.
    pub fn new(listen: SocketAddr) -> Self {
        TransportConfig {
            listen: vec![listen],
            tls_listen: Vec::new(),
            ws_listen: Vec::new(),
            wss_listen: Vec::new(),
            tls: None,
            origins: Vec::new(),
            inbound_queue: 4096,
            outbound_queue: 4096,
            connection_queue: 64,
            max_connections: 1024,
            max_connections_per_source: 128,
            connect_timeout: Duration::from_secs(5),
            message_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            pong_timeout: Duration::from_secs(10),
            udp_receive_buffer: 4 << 20,
            gate: Gate::default(),
        }
    }
}

/// The handle to send by. When its last clone is dropped, the listeners close, and connections once they have written
/// what was sent.
#[derive(Clone, Debug)]
pub struct Transports {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    udp: Vec<(SocketAddr, Arc<UdpSocket>)>,
    listening: Vec<(Transport, SocketAddr)>,
    outbound: mpsc::Sender<Command>,
    counts: Arc<Counts>,
    destinations: Arc<Destinations>,
    gate: Gate,
    /// Dropped with the handle, which the tasks notice.
    _open: watch::Sender<()>,
}

impl Transports {
    /// Opens all listeners and starts their tasks on the current tokio runtime.
    pub async fn bind(config: TransportConfig) -> Result<(Transports, mpsc::Receiver<Inbound>), BindError> {
        let listeners = listen::open(&config).await?;
        let (inbound, receiver) = mpsc::channel(config.inbound_queue.max(1));
        let (outbound, commands) = mpsc::channel(config.outbound_queue.max(1));
        let (open, closed) = watch::channel(());
        let (taken, accepted) = mpsc::channel(table::ACCEPT_QUEUE);
        let counts = Arc::new(Counts::default());
        let destinations = Arc::new(Destinations::default());
        let mut listening = Vec::new();
        let mut udp = Vec::new();
        for (socket, address) in listeners.udp {
            let socket = Arc::new(socket);
            listening.push((Transport::Udp, address));
            udp.push((address, Arc::clone(&socket)));
            let (to_agent, gate) = (inbound.clone(), config.gate.clone());
            tokio::spawn(udp::receive(socket, address, to_agent, counts.clone(), gate, closed.clone()));
        }
        for (transport, listener, address) in listeners.streams {
            listening.push((transport, address));
            tokio::spawn(table::accept(transport, listener, address, taken.clone(), closed.clone()));
        }
        let gate = config.gate.clone();
        let config = Arc::new(config);
        let table =
            table::Table::new(config, listening.clone(), inbound, Arc::clone(&counts), Arc::clone(&destinations));
        tokio::spawn(table.run(commands, accepted, closed));
        let inner = Inner { udp, listening, outbound, counts, destinations, gate, _open: open };
        Ok((Transports { inner: Arc::new(inner) }, receiver))
    }

    /// Every listener: its transport and its address.
    pub fn listening(&self) -> &[(Transport, SocketAddr)] {
        &self.inner.listening
    }

    /// Where that transport listens first; none: nowhere.
    pub fn address(&self, transport: Transport) -> Option<SocketAddr> {
        self.inner.listening.iter().find(|(t, _)| *t == transport).map(|(_, address)| *address)
    }

    /// Where UDP listens first.
    pub fn udp_address(&self) -> SocketAddr {
        self.address(Transport::Udp).unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Where TCP listens first: the same port.
    pub fn tcp_address(&self) -> SocketAddr {
        self.address(Transport::Tcp).unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Where bans are made and lifted.
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// What has been counted; may be kept, and does not keep the listeners open.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.inner.counts
    }

    /// Ways to servers that must prove a name; may be kept, and does not keep the listeners open.
    pub fn destinations(&self) -> &Arc<Destinations> {
        &self.inner.destinations
    }

    /// Sends bytes to a peer, now or never; does not wait. By connection: by the one that `peer.connection` names, else
    /// by any connection to `peer.remote`, else by a new one. A datagram that the socket does not take at once counts
    /// as lost on the way (`Ok`).
    pub fn send(&self, peer: &Peer, bytes: Bytes) -> Result<(), SendError> {
        let inner = &self.inner;
        let sent = match peer.transport {
            Transport::Udp => {
                let ipv4 = peer.remote.ip().to_canonical().is_ipv4();
                let exact = inner.udp.iter().find(|(local, _)| *local == peer.local && local.is_ipv4() == ipv4);
                match exact.or_else(|| inner.udp.iter().find(|(local, _)| local.is_ipv4() == ipv4)) {
                    Some((_, socket)) => udp::send(socket, connection::canonical(peer.remote), &bytes, &inner.counts),
                    None => Err(SendError::Unsupported(Transport::Udp)),
                }
            }
            transport if inner.listening.iter().any(|(t, _)| *t == transport) => {
                self.order(Command::Send(*peer, bytes))
            }
            other => Err(SendError::Unsupported(other)),
        };
        if sent.is_err() {
            inner.counts.add(Counted::SendFailed);
        }
        sent
    }

    /// From now on pings the other end of this connection this often (RFC 5626 §3.5.1). One that has answered a
    /// ping and then leaves one unanswered for `pong_timeout` is lost.
    pub fn keep_alive(&self, connection: u64, every: Duration) -> Result<(), SendError> {
        self.order(Command::KeepAlive(connection, every))
    }

    fn order(&self, command: Command) -> Result<(), SendError> {
        self.inner.outbound.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }
}
