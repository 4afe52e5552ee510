//! SIP on sockets (RFC 3261 §18): one UDP and one TCP listener on the same port, connections opened on demand, kept,
//! shared and closed. Whole messages come out, bytes go in; nothing here waits for anybody. What the messages mean is
//! `message`'s and the agent's; the top Via is marked by [`super::message::via::mark_source`].
//!
//! Sending never blocks: a datagram that the socket does not take at once is dropped and counted (it is
//! retransmitted); a connection that does not take its bytes in time is closed, and reported as [`Inbound::Lost`].
//! Receiving: when nobody empties the inbound queue, datagrams are dropped and counted, streams are not read on.

mod connection;
mod counts;
mod gate;
pub mod locate;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

pub use counts::{Counted, Counts};
pub use gate::Gate;

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
    #[error("{0} is not a transport that is spoken here")]
    Unsupported(Transport),
    #[error("the message is too long for a datagram")]
    TooLong,
    #[error("the network refused the datagram: {0:?}")]
    Refused(std::io::ErrorKind),
}

/// Why a listener could not be opened.
#[derive(Debug, Error)]
#[error("{setting}: cannot listen on {address} ({transport}): {cause}")]
pub struct BindError {
    /// The setting that names the address.
    pub setting: &'static str,
    pub address: SocketAddr,
    pub transport: Transport,
    #[source]
    pub cause: std::io::Error,
}

/// Limits and times of the transport layer.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// Where UDP and TCP listen. Port 0: any that is free for both.
    pub listen: SocketAddr,
    /// The setting's name, for errors.
    pub setting: &'static str,
    /// Messages that wait for the agent. Full: datagrams are dropped, streams wait.
    pub inbound_queue: usize,
    /// Messages that wait to be handed to a connection. Full: [`SendError::Full`].
    pub outbound_queue: usize,
    /// Messages that wait on one connection. Full: its peer does not read, and it is closed.
    pub connection_queue: usize,
    /// Connections in all. Full: no new one is opened. Three quarters of them may be incoming ones; further ones are
    /// closed at once.
    pub max_connections: usize,
    /// Incoming connections from one address. Further ones are closed at once.
    pub max_connections_per_source: usize,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long a message may take from its first byte to its last, and a new incoming connection until its first
    /// message or ping.
    pub message_timeout: Duration,
    /// How long a connection may take to accept a message's bytes.
    pub write_timeout: Duration,
    /// A connection without any traffic for so long is closed.
    pub idle_timeout: Duration,
    /// What the kernel is asked to buffer for the UDP socket, in bytes; it may give less.
    pub udp_receive_buffer: usize,
    /// Who is not let in; the same one that [`Transports::gate`] gives.
    pub gate: Gate,
}

impl TransportConfig {
    /// The defaults, listening there.
    pub fn new(listen: SocketAddr) -> Self {
        TransportConfig {
            listen,
            setting: "sip",
            inbound_queue: 4096,
            outbound_queue: 4096,
            connection_queue: 64,
            max_connections: 1024,
            max_connections_per_source: 128,
            connect_timeout: Duration::from_secs(5),
            message_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
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
    udp: Arc<tokio::net::UdpSocket>,
    udp_address: SocketAddr,
    tcp_address: SocketAddr,
    outbound: mpsc::Sender<(Peer, Bytes)>,
    counts: Arc<Counts>,
    gate: Gate,
    /// Dropped with the handle, which the tasks notice.
    _open: watch::Sender<()>,
}

impl Transports {
    /// Opens both listeners and starts their tasks on the current tokio runtime.
    pub async fn bind(config: TransportConfig) -> Result<(Transports, mpsc::Receiver<Inbound>), BindError> {
        let (tcp, udp) = listen(&config).await?;
        let bound = |transport, cause| BindError { setting: config.setting, address: config.listen, transport, cause };
        let udp_address = udp.local_addr().map_err(|cause| bound(Transport::Udp, cause))?;
        let tcp_address = tcp.local_addr().map_err(|cause| bound(Transport::Tcp, cause))?;
        let (inbound, receiver) = mpsc::channel(config.inbound_queue.max(1));
        let (outbound, commands) = mpsc::channel(config.outbound_queue.max(1));
        let (open, closed) = watch::channel(());
        let counts = Arc::new(Counts::default());
        let udp = Arc::new(udp);
        let gate = config.gate.clone();
        let (socket, to_agent) = (udp.clone(), inbound.clone());
        tokio::spawn(udp::receive(socket, udp_address, to_agent, counts.clone(), gate.clone(), closed.clone()));
        let table = tcp::Table::new(config, tcp, tcp_address, inbound, counts.clone());
        tokio::spawn(table.run(commands, closed));
        let inner = Inner { udp, udp_address, tcp_address, outbound, counts, gate, _open: open };
        Ok((Transports { inner: Arc::new(inner) }, receiver))
    }

    /// Where UDP listens.
    pub fn udp_address(&self) -> SocketAddr {
        self.inner.udp_address
    }

    /// Where TCP listens: the same port.
    pub fn tcp_address(&self) -> SocketAddr {
        self.inner.tcp_address
    }

    /// Where bans are made and lifted.
    pub fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// What has been counted; may be kept, and does not keep the listeners open.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.inner.counts
    }

    /// Sends bytes to a peer, now or never; does not wait. Over TCP: by `peer.connection` where it names one, else by
    /// any connection to `peer.remote`, else by a new one. A datagram that the socket does not take at once counts as
    /// lost on the way (`Ok`).
    pub fn send(&self, peer: &Peer, bytes: Bytes) -> Result<(), SendError> {
        let sent = match peer.transport {
            Transport::Udp => udp::send(&self.inner.udp, peer.remote, &bytes, &self.inner.counts),
            Transport::Tcp => self.inner.outbound.try_send((*peer, bytes)).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SendError::Full,
                mpsc::error::TrySendError::Closed(_) => SendError::Closed,
            }),
            other => Err(SendError::Unsupported(other)),
        };
        if sent.is_err() {
            self.inner.counts.add(Counted::SendFailed);
        }
        sent
    }
}

/// How often a free port is looked for that both TCP and UDP can have.
const PORT_TRIES: usize = 16;

async fn listen(config: &TransportConfig) -> Result<(tokio::net::TcpListener, tokio::net::UdpSocket), BindError> {
    let failed = |transport, address, cause| BindError { setting: config.setting, address, transport, cause };
    let mut tries = 0;
    loop {
        tries += 1;
        let tcp = tokio::net::TcpListener::bind(config.listen)
            .await
            .map_err(|cause| failed(Transport::Tcp, config.listen, cause))?;
        let address = tcp.local_addr().map_err(|cause| failed(Transport::Tcp, config.listen, cause))?;
        match udp::open(address, config.udp_receive_buffer) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(_) if config.listen.port() == 0 && tries < PORT_TRIES => {}
            Err(cause) => return Err(failed(Transport::Udp, address, cause)),
        }
    }
}
