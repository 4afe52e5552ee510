//! An RTP port of the test's own: it hears what the engine sends to it, and says nothing.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

use super::PATIENCE;

/// What matters of an RTP packet (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: usize,
}

impl Packet {
    fn read(bytes: &[u8]) -> Packet {
        assert!(bytes.len() > 12 && bytes[0] == 0x80, "not a plain RTP packet: {bytes:02x?}");
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Packet {
            marker: bytes[1] & 0x80 != 0,
            payload_type: bytes[1] & 0x7f,
            sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
            timestamp: word(4),
            ssrc: word(8),
            payload: bytes.len() - 12,
        }
    }

    /// Media time from `earlier` to this packet, in samples.
    pub fn samples_since(&self, earlier: &Packet) -> u32 {
        self.timestamp.wrapping_sub(earlier.timestamp)
    }

    /// Packets sent from `earlier` to this one.
    pub fn packets_since(&self, earlier: &Packet) -> u16 {
        self.sequence.wrapping_sub(earlier.sequence)
    }
}

/// A listening RTP port.
pub struct Ear {
    socket: UdpSocket,
    heard: Vec<Packet>,
}

impl Ear {
    /// Listens on a free loopback port.
    pub async fn open() -> Ear {
        Ear { socket: UdpSocket::bind("127.0.0.1:0").await.expect("a port"), heard: Vec::new() }
    }

    /// The port for an SDP.
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// The whole address.
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("an address")
    }

    /// Listens until `enough` finds in all that was heard what the test waits for, and gives that.
    pub async fn until<T>(&mut self, what: &str, mut enough: impl FnMut(&[Packet]) -> Option<T>) -> T {
        let found = tokio::time::timeout(PATIENCE, async {
            let mut buffer = [0; 2048];
            loop {
                if let Some(found) = enough(&self.heard) {
                    return found;
                }
                let length = self.socket.recv(&mut buffer).await.expect("a packet");
                self.heard.push(Packet::read(&buffer[..length]));
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what} was not heard"))
    }

    /// Listens until `count` packets have come; all of them.
    pub async fn packets(&mut self, count: usize) -> Vec<Packet> {
        self.until(&format!("{count} packets"), |heard| (heard.len() >= count).then(|| heard.to_vec())).await
    }
}
