//! RTP/RTCP port pairs: a bounded range shared by all media threads without a lock, and the sockets on them.
//! Pairs are taken in turn from a random start, so that a freed one rests before late packets of its old call
//! could reach a new one. RTP is even, RTCP the next port (RFC 3550 §11).

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use socket2::{Domain, Protocol, Socket, Type};

use crate::random::Random;

/// Pairs tried that another program holds, before an `Open` fails.
const MAX_TAKEN: usize = 256;
/// Pairs tried when the system chooses.
const MAX_EPHEMERAL: usize = 64;
/// Expedited forwarding (DSCP 46), as RFC 4594 §4.1 wants for telephony.
const TOS: u32 = 46 << 2;

/// The range, as a bitmap of free pairs.
pub struct Ports {
    /// RTP port of the first pair; none: the system chooses.
    first: Option<u16>,
    pairs: usize,
    /// Bit set: free.
    free: Vec<AtomicU64>,
    turn: AtomicUsize,
}

/// Two bound sockets. Dropping it does not free its pair: see [`Ports::release`].
pub struct Pair {
    pub rtp: UdpSocket,
    pub rtcp: UdpSocket,
    pub port: u16,
    /// The sockets are IPv6: an IPv4 destination must be mapped.
    pub ipv6: bool,
    index: Option<usize>,
}

impl Ports {
    /// None: the range holds no pair.
    pub fn new(range: RangeInclusive<u16>, random: &mut Random) -> Option<Self> {
        if range == (0..=0) {
            return Some(Ports { first: None, pairs: 0, free: Vec::new(), turn: AtomicUsize::new(0) });
        }
        let first = range.start().checked_next_multiple_of(2)?.max(2);
        let pairs = (usize::from(*range.end()) + 1).checked_sub(usize::from(first))? / 2;
        if pairs == 0 {
            return None;
        }
        let free = (0..pairs.div_ceil(64))
            .map(|word| {
                let here = (pairs - word * 64).min(64);
                AtomicU64::new(u64::MAX >> (64 - here))
            })
            .collect();
        let turn = AtomicUsize::new(random.below(pairs as u64) as usize);
        Some(Ports { first: Some(first), pairs, free, turn })
    }

    /// How many pairs are free; none: the system chooses.
    pub fn free(&self) -> Option<usize> {
        let count = |word: &AtomicU64| word.load(Ordering::Relaxed).count_ones() as usize;
        self.first.map(|_| self.free.iter().map(count).sum())
    }

    /// Binds the next free pair.
    ///
    /// # Errors
    /// A sentence for whoever wanted it: no pair is free, or none could be bound.
    pub fn open(&self, bind: IpAddr) -> Result<Pair, String> {
        let Some(first) = self.first else { return open_ephemeral(bind) };
        let mut taken = 0;
        for _ in 0..self.pairs {
            let index = self.turn.fetch_add(1, Ordering::Relaxed) % self.pairs;
            if !self.claim(index) {
                continue;
            }
            // Inside `u16`: `pairs` was counted from the range.
            let port = first + (index * 2) as u16;
            match bind_pair(bind, port) {
                Ok((rtp, rtcp)) => return Ok(Pair { rtp, rtcp, port, ipv6: bind.is_ipv6(), index: Some(index) }),
                Err(error) => {
                    self.set_free(index);
                    taken += 1;
                    if error.kind() != ErrorKind::AddrInUse || taken >= MAX_TAKEN {
                        return Err(format!("RTP port {port} could not be bound: {error}"));
                    }
                }
            }
        }
        Err(match taken {
            0 => "no RTP ports left".to_owned(),
            _ => "no RTP ports left: other programs hold some of the range".to_owned(),
        })
    }

    /// Closes the sockets, then frees the pair.
    pub fn release(&self, pair: Pair) {
        let index = pair.index;
        drop(pair);
        if let Some(index) = index {
            self.set_free(index);
        }
    }

    fn claim(&self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        self.free.get(index / 64).is_some_and(|word| word.fetch_and(!bit, Ordering::AcqRel) & bit != 0)
    }

    fn set_free(&self, index: usize) {
        if let Some(word) = self.free.get(index / 64) {
            word.fetch_or(1 << (index % 64), Ordering::AcqRel);
        }
    }
}

fn open_ephemeral(bind: IpAddr) -> Result<Pair, String> {
    let mut last = String::new();
    for _ in 0..MAX_EPHEMERAL {
        // Only looked for here and then bound by its number: else the system would take it back when the socket is
        // connected and disconnected.
        let attempt = bind_one(bind, 0).and_then(|socket| socket.local_addr()).and_then(|address| {
            let port = address.port() & !1;
            bind_pair(bind, port).map(|pair| (pair, port))
        });
        match attempt {
            Ok(((rtp, rtcp), port)) => return Ok(Pair { rtp, rtcp, port, ipv6: bind.is_ipv6(), index: None }),
            Err(error) => last = error.to_string(),
        }
    }
    Err(format!("no RTP ports left: {last}"))
}

fn bind_pair(bind: IpAddr, port: u16) -> io::Result<(UdpSocket, UdpSocket)> {
    Ok((bind_one(bind, port)?, bind_one(bind, port + 1)?))
}

fn bind_one(bind: IpAddr, port: u16) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(bind, port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Marking is a courtesy to the network; a system that forbids it still carries calls.
    let _ = if address.is_ipv4() { socket.set_tos_v4(TOS) } else { socket.set_tclass_v6(TOS) };
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn ranges_hold_whole_pairs_only() {
        let mut random = Random::from_number(1);
        let mut pairs = |range| Ports::new(range, &mut random).map(|ports| ports.pairs);
        assert_eq!(pairs(20_000..=29_999), Some(5_000));
        assert_eq!(pairs(20_001..=20_004), Some(1));
        assert_eq!(pairs(20_001..=20_002), None);
        assert_eq!(pairs(20_000..=20_000), None);
        assert_eq!(pairs(65_534..=65_535), Some(1));
        assert_eq!(pairs(65_535..=65_535), None);
        #[expect(clippy::reversed_empty_ranges, reason = "a setting may be wrong")]
        let reversed = pairs(30_000..=20_000);
        assert_eq!(reversed, None);
        assert_eq!(pairs(0..=0), Some(0));
    }

    #[test]
    fn every_pair_is_given_once_and_comes_back() {
        let ports = Ports::new(20_000..=20_199, &mut Random::from_number(2)).unwrap();
        let claimed = (0..300).filter(|index| ports.claim(*index)).count();
        assert_eq!(claimed, 100);
        assert_eq!(ports.free(), Some(0));
        assert_eq!(ports.open(LOOPBACK).err().unwrap(), "no RTP ports left");
        (0..100).for_each(|index| ports.set_free(index));
        assert_eq!(ports.free(), Some(100));
    }

    #[test]
    fn a_pair_that_another_holds_is_passed_over() {
        // Two neighbouring pairs that are free at this moment, one of which we then hold like another program would.
        for _ in 0..50 {
            let held = open_ephemeral(LOOPBACK).unwrap();
            let Some(end) = held.port.checked_add(3) else { continue };
            let ports = Ports::new(held.port..=end, &mut Random::from_number(3)).unwrap();
            let Ok(pair) = ports.open(LOOPBACK) else { continue };
            assert_eq!(pair.port, held.port + 2);
            assert_eq!(pair.rtcp.local_addr().unwrap().port(), held.port + 3);
            assert_eq!(ports.free(), Some(1));
            assert!(ports.open(LOOPBACK).err().unwrap().contains("other programs"));
            ports.release(pair);
            assert_eq!(ports.free(), Some(2));
            return;
        }
        panic!("no two neighbouring pairs in fifty tries");
    }
}
