//! A relay that loses each datagram once: what is sent again gets through.

use std::collections::HashSet;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// A UDP relay between one client and one server; it ends with the test.
pub struct Lossy {
    front: SocketAddr,
}

impl Lossy {
    /// In front of this server.
    pub async fn to(server: SocketAddr) -> Lossy {
        let front = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let back = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = front.local_addr().expect("an address");
        tokio::spawn(relay(front, back, server));
        Lossy { front: address }
    }

    /// Where the client finds it.
    pub fn address(&self) -> SocketAddr {
        self.front
    }
}

async fn relay(front: UdpSocket, back: UdpSocket, server: SocketAddr) {
    let (mut there, mut here) = ([0; 65_536], [0; 65_536]);
    let (mut lost, mut client) = (HashSet::new(), None);
    loop {
        let (bytes, through, to) = tokio::select! {
            received = front.recv_from(&mut there) => {
                let (length, from) = received.expect("a datagram of the client");
                client = Some(from);
                (&there[..length], &back, Some(server))
            }
            received = back.recv_from(&mut here) => {
                let (length, _) = received.expect("a datagram of the server");
                (&here[..length], &front, client)
            }
        };
        if let Some(to) = to
            && !lost.insert(bytes.to_vec())
        {
            // A receiver that is gone has lost it too.
            let _ = through.send_to(bytes, to).await;
        }
    }
}
