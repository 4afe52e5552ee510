//! SIP over UDP (RFC 3261 §18.1.1, §18.2.1): one socket, a datagram a message.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};

use super::gate::Shares;
use super::{Counted, Counts, Gate, Inbound, SendError};
use crate::sip::message::MAX_MESSAGE;
use crate::sip::peer::{Peer, Transport};

/// The most that an IPv4 datagram carries.
const MAX_DATAGRAM: usize = 65_507;

/// After an error of the socket itself, so that a lasting one does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Opens the socket with a receive buffer as large as the kernel grants, up to `buffer` bytes.
pub(super) fn open(address: SocketAddr, buffer: usize) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // More than the kernel allows is cut by the kernel; an outright refusal leaves the default, which works.
    if let Err(error) = socket.set_recv_buffer_size(buffer) {
        tracing::warn!(%error, buffer, "the UDP receive buffer stays at its default");
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Reads datagrams until the handle is dropped.
pub(super) async fn receive(
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    inbound: mpsc::Sender<Inbound>,
    counts: Arc<Counts>,
    gate: Gate,
    mut closed: watch::Receiver<()>,
) {
    // One byte more than is allowed, so that a longer datagram is seen to be too long.
    let mut buffer = vec![0; MAX_MESSAGE + 1];
    let mut shares = Shares::default();
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            _ = closed.changed() => return,
        };
        let (length, remote) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "UDP receive");
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        counts.add(Counted::DatagramsReceived);
        if gate.refuses(remote.ip()) {
            counts.add(Counted::DatagramsBanned);
            continue;
        }
        let bytes = buffer.get(..length).unwrap_or_default();
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0 | b' ')) {
            counts.add(Counted::KeepAlives);
            continue;
        }
        counts.received(Transport::Udp);
        let peer = Peer { transport: Transport::Udp, remote, local, connection: None };
        let Some(bytes) = shares.hold(remote.ip(), Bytes::copy_from_slice(bytes), inbound.capacity()) else {
            counts.add(Counted::DatagramsBeyondShare);
            continue;
        };
        match inbound.try_send(Inbound::Message { peer, bytes }) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => counts.add(Counted::DatagramsDropped),
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

/// Sends a datagram now, or drops it.
pub(super) fn send(socket: &UdpSocket, remote: SocketAddr, bytes: &[u8], counts: &Counts) -> Result<(), SendError> {
    if bytes.len() > MAX_DATAGRAM {
        return Err(SendError::TooLong);
    }
    match socket.try_send_to(bytes, remote) {
        Ok(_) => {
            counts.add(Counted::DatagramsSent);
            counts.sent(Transport::Udp);
            Ok(())
        }
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock => {
                counts.add(Counted::DatagramsUnsent);
                Ok(())
            }
            kind => Err(SendError::Refused(kind)),
        },
    }
}
