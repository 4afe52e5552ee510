//! An RTP port of the test's own: it hears what the engine sends to it, and says what it is given.

use std::net::SocketAddr;
use std::time::Duration;

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
    /// The payload's first octet, 0 where there is none.
    pub first: u8,
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
            first: bytes.get(12).copied().unwrap_or(0),
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

/// An RTP port with one stream each way.
pub struct RtpPort {
    socket: UdpSocket,
    heard: Vec<Packet>,
    /// Where the engine's packets come from.
    peer: Option<SocketAddr>,
    /// Of the next packet.
    sequence: u16,
    timestamp: u32,
}

impl RtpPort {
    /// A free one on loopback.
    pub async fn open() -> RtpPort {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        RtpPort { socket, heard: Vec::new(), peer: None, sequence: 65_530, timestamp: u32::MAX - 8_000 }
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
                let (length, from) = self.socket.recv_from(&mut buffer).await.expect("a packet");
                self.peer = Some(from);
                self.heard.push(Packet::read(&buffer[..length]));
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what} was not heard"))
    }

    /// Listens until `count` packets have come; all of them.
    pub async fn packets(&mut self, count: usize) -> Vec<Packet> {
        self.until(&format!("{count} packets"), |heard| (heard.len() >= count).then(|| heard.to_vec())).await
    }

    /// Says these octets of G.711 to where packets have come from, 20 ms a packet. Being late is made up for: what the
    /// engine hears has no holes unless the machine stood still for longer than its jitter buffer.
    pub async fn say(&mut self, payload_type: u8, audio: &[u8]) {
        let mut clock = tokio::time::interval(Duration::from_millis(20));
        for payload in audio.chunks_exact(160) {
            clock.tick().await;
            self.send(payload_type, payload).await;
            self.timestamp = self.timestamp.wrapping_add(160);
        }
    }

    /// Presses a key of 100 ms by RFC 4733: five packets while it is down, three that end it.
    pub async fn press(&mut self, payload_type: u8, event: u8) {
        let mut clock = tokio::time::interval(Duration::from_millis(20));
        for packet in 1..=8u16 {
            clock.tick().await;
            let end = if packet > 5 { 0x80 } else { 0 };
            let [high, low] = (packet.min(5) * 160).to_be_bytes();
            self.send(payload_type, &[event, end | 10, high, low]).await;
        }
        self.timestamp = self.timestamp.wrapping_add(8 * 160);
    }

    async fn send(&mut self, payload_type: u8, payload: &[u8]) {
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(0x5354_524fu32.to_be_bytes());
        packet.extend(payload);
        let peer = self.peer.expect("a peer that has been heard");
        self.socket.send_to(&packet, peer).await.expect("a packet sent");
        self.sequence = self.sequence.wrapping_add(1);
    }
}
