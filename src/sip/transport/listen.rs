//! Opening the listeners: UDP and TCP pairs on one port, TLS, WebSocket.

use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};

use super::{TransportConfig, udp};
use crate::sip::peer::Transport;

/// How often a free port is looked for that both TCP and UDP can have.
const PORT_TRIES: usize = 16;

/// Connections that the kernel keeps for us to accept.
const BACKLOG: i32 = 1024;

/// Why a listener could not be opened.
#[derive(Debug, Error)]
#[error("{setting}: cannot listen on {address} ({transport}): {cause}")]
pub struct BindError {
    /// The setting that names the address.
    pub setting: &'static str,
    /// Which address.
    pub address: SocketAddr,
    /// For which transport.
    pub transport: Transport,
    /// Why.
    #[source]
    pub cause: std::io::Error,
}

impl BindError {
    fn new(transport: Transport, address: SocketAddr, cause: std::io::Error) -> Self {
        let setting = match transport {
            Transport::Udp | Transport::Tcp => "sip",
            Transport::Tls => "sip-tls",
            Transport::Ws => "sip-ws",
            Transport::Wss => "sip-wss",
        };
        BindError { setting, address, transport, cause }
    }
}

/// All that listens, each with the address that it got.
pub(super) struct Listeners {
    pub(super) udp: Vec<(UdpSocket, SocketAddr)>,
    pub(super) streams: Vec<(Transport, TcpListener, SocketAddr)>,
}

pub(super) async fn open(config: &TransportConfig) -> Result<Listeners, BindError> {
    let mut listeners = Listeners { udp: Vec::new(), streams: Vec::new() };
    for wanted in &config.listen {
        let (tcp, udp, address) = pair(*wanted, config.udp_receive_buffer)?;
        listeners.udp.push((udp, address));
        listeners.streams.push((Transport::Tcp, tcp, address));
    }
    for (transport, addresses) in
        [(Transport::Tls, &config.tls_listen), (Transport::Ws, &config.ws_listen), (Transport::Wss, &config.wss_listen)]
    {
        for wanted in addresses {
            let failed = |cause| BindError::new(transport, *wanted, cause);
            if transport != Transport::Ws && config.tls.is_none() {
                return Err(failed(std::io::Error::other("there is no certificate")));
            }
            let listener = tcp(*wanted).map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            listeners.streams.push((transport, listener, address));
        }
    }
    Ok(listeners)
}

fn pair(wanted: SocketAddr, buffer: usize) -> Result<(TcpListener, UdpSocket, SocketAddr), BindError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let failed = |cause| BindError::new(Transport::Tcp, wanted, cause);
        let tcp = tcp(wanted).map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        match udp::open(address, buffer) {
            Ok(udp) => return Ok((tcp, udp, address)),
            Err(_) if wanted.port() == 0 && tries < PORT_TRIES => {}
            Err(cause) => return Err(BindError::new(Transport::Udp, address, cause)),
        }
    }
}

fn tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port that is only left over from closed connections can be had again.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
