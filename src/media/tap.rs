//! A leg's RTP and RTCP as they crossed the wire, for a capture file: both ways, encrypted where they are, up to a
//! bound. The lane writes them into a chunk and hands it on when it is full or a second old; nothing is allocated for a
//! packet. A chunk's bytes are read by [`packets`]; what becomes of it is the engine's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::time::Time;

/// A chunk is handed on when it has so many bytes…
const CHUNK: usize = 32 * 1024;
/// …or when its first packet is so old.
const OLD: Duration = Duration::from_secs(1);
/// Room beyond, for what one tick may add.
const ROOM: usize = CHUNK + 8 * 1024;
/// Bytes of a record before the packet: time, flags, our port, the peer's port, the peer's address, length.
const HEAD: usize = 8 + 1 + 2 + 2 + 16 + 2;
const SENT: u8 = 1;

/// One packet of a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tapped<'a> {
    /// When it was read or sent.
    pub at: Time,
    /// We sent it.
    pub sent: bool,
    /// The port of ours.
    pub local_port: u16,
    /// The other end.
    pub remote: SocketAddr,
    /// The datagram.
    pub bytes: &'a [u8],
}

/// What is being kept of one leg.
#[derive(Debug)]
pub struct Tap {
    chunk: Vec<u8>,
    since: Option<Time>,
    /// Bytes that may still be kept.
    left: usize,
    full: Full,
}

/// Whether packets have come that found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    No,
    Untold,
    Told,
}

impl Tap {
    /// Keeps at most `limit` bytes in all, the heads of records among them; what comes after is not kept.
    pub fn new(limit: usize) -> Self {
        Tap { chunk: Vec::with_capacity(ROOM), since: None, left: limit, full: Full::No }
    }

    /// Keeps a packet; the first that finds no room ends the tap, so that there is no hole in what is kept.
    pub fn keep(&mut self, packet: Tapped<'_>) {
        let size = HEAD + packet.bytes.len();
        let Ok(length) = u16::try_from(packet.bytes.len()) else { return };
        if self.full != Full::No {
            return;
        }
        if size > self.left {
            self.full = Full::Untold;
            return;
        }
        self.left -= size;
        self.since.get_or_insert(packet.at);
        let ip = match packet.remote.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        self.chunk.extend_from_slice(&packet.at.as_micros().to_be_bytes());
        self.chunk.push(if packet.sent { SENT } else { 0 });
        self.chunk.extend_from_slice(&packet.local_port.to_be_bytes());
        self.chunk.extend_from_slice(&packet.remote.port().to_be_bytes());
        self.chunk.extend_from_slice(&ip.octets());
        self.chunk.extend_from_slice(&length.to_be_bytes());
        self.chunk.extend_from_slice(packet.bytes);
    }

    /// The chunk, when it is time to hand it on.
    pub fn due(&mut self, now: Time) -> Option<Vec<u8>> {
        let since = self.since?;
        let due = self.chunk.len() >= CHUNK || now.since(since) >= OLD;
        due.then(|| self.take(ROOM)).flatten()
    }

    /// What is left at the end.
    pub fn end(&mut self) -> Option<Vec<u8>> {
        self.take(0)
    }

    /// True once, after the first packet that found no room.
    pub fn has_filled(&mut self) -> bool {
        let untold = self.full == Full::Untold;
        if untold {
            self.full = Full::Told;
        }
        untold
    }

    fn take(&mut self, room: usize) -> Option<Vec<u8>> {
        self.since.take()?;
        Some(std::mem::replace(&mut self.chunk, Vec::with_capacity(room)))
    }
}

/// The packets of chunks that follow one another. It ends at the first record that is cut off.
pub fn packets(mut bytes: &[u8]) -> impl Iterator<Item = Tapped<'_>> {
    std::iter::from_fn(move || {
        let at = u64::from_be_bytes(take(&mut bytes)?);
        let [flags] = take(&mut bytes)?;
        let local_port = u16::from_be_bytes(take(&mut bytes)?);
        let remote_port = u16::from_be_bytes(take(&mut bytes)?);
        let ip = IpAddr::from(take::<16>(&mut bytes)?).to_canonical();
        let length = usize::from(u16::from_be_bytes(take(&mut bytes)?));
        let (packet, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        Some(Tapped {
            at: Time::from_micros(at),
            sent: flags & SENT != 0,
            local_port,
            remote: SocketAddr::new(ip, remote_port),
            bytes: packet,
        })
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(at: u64, bytes: &[u8]) -> Tapped<'_> {
        Tapped {
            at: Time::from_micros(at),
            sent: at % 2 == 0,
            local_port: 20_000,
            remote: if at % 3 == 0 { "[2001:db8::1]:9" } else { "192.0.2.9:30000" }.parse().unwrap(),
            bytes,
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let mut tap = Tap::new(10_000);
        let kept: Vec<_> = (0..9).map(|at| packet(at, b"some audio")).collect();
        kept.iter().for_each(|p| tap.keep(*p));
        let chunk = tap.end().unwrap();
        assert_eq!(packets(&chunk).collect::<Vec<_>>(), kept);
        assert_eq!(tap.end(), None);
        assert!(packets(&chunk[..chunk.len() - 1]).count() == 8, "a record that is cut off is left out");
    }

    #[test]
    fn a_chunk_is_handed_on_when_it_is_full_or_old_and_not_before() {
        let mut tap = Tap::new(usize::MAX);
        tap.keep(packet(0, &[0; 100]));
        assert_eq!(tap.due(Time::from_micros(999_999)), None);
        assert!(tap.due(Time::from_micros(1_000_000)).is_some());
        let mut packets = 0;
        let chunk = loop {
            tap.keep(packet(1_000_000, &[0; 1_000]));
            packets += 1;
            if let Some(chunk) = tap.due(Time::from_micros(1_000_000)) {
                break chunk;
            }
        };
        assert!(chunk.len() >= CHUNK && chunk.capacity() == ROOM, "{packets} packets grew the chunk");
    }

    #[test]
    fn the_bound_ends_the_tap_without_a_hole() {
        let mut tap = Tap::new(3 * (HEAD + 10));
        (0..3).for_each(|at| tap.keep(packet(at, &[1; 10])));
        assert!(!tap.has_filled());
        tap.keep(packet(3, &[1; 10]));
        tap.keep(packet(4, b""));
        assert!(tap.has_filled() && !tap.has_filled(), "it is told once");
        assert_eq!(packets(&tap.end().unwrap()).count(), 3);
    }
}
