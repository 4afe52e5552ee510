//! A relay behind which all that a client sends belongs to one Call-ID: for a server that expects a registration and a
//! call to.

use std::collections::HashMap;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// The Call-ID that the server sees.
const ONE: &str = "one-call@strowger.test";

/// A UDP relay between one client and one server; it ends with the test.
pub struct OneCall {
    front: SocketAddr,
}

impl OneCall {
    /// In front of this server.
    pub async fn to(server: SocketAddr) -> OneCall {
        let front = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let back = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = front.local_addr().expect("an address");
        tokio::spawn(relay(front, back, server));
        OneCall { front: address }
    }

    /// Where the client finds it.
    pub fn address(&self) -> SocketAddr {
        self.front
    }
}

fn value<'a>(message: &'a str, name: &str) -> &'a str {
    let line = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {message}")).trim()
}

async fn relay(front: UdpSocket, back: UdpSocket, server: SocketAddr) {
    let (mut there, mut here) = ([0; 65_536], [0; 65_536]);
    let here_is = front.local_addr().expect("an address").to_string();
    // The Call-ID of each request, by its CSeq.
    let (mut requests, mut client) = (HashMap::<String, String>::new(), None);
    loop {
        let (message, through, to, from, into) = tokio::select! {
            received = front.recv_from(&mut there) => {
                let (length, from) = received.expect("a datagram of the client");
                client = Some(from);
                let message = String::from_utf8_lossy(&there[..length]).into_owned();
                let id = value(&message, "Call-ID").to_owned();
                requests.insert(value(&message, "CSeq").to_owned(), id.clone());
                (message, &back, Some(server), id, ONE.to_owned())
            }
            received = back.recv_from(&mut here) => {
                let (length, _) = received.expect("a datagram of the server");
                let message = String::from_utf8_lossy(&here[..length]).into_owned();
                let id = requests.get(value(&message, "CSeq")).expect("an answer to a request").clone();
                // What belongs to the dialog comes this way, too.
                (message.replace(&server.to_string(), &here_is), &front, client, ONE.to_owned(), id)
            }
        };
        if let Some(to) = to {
            // A receiver that is gone has lost it.
            let _ = through.send_to(message.replace(&from, &into).as_bytes(), to).await;
        }
    }
}
