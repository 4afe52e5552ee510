//! A leg's datagrams on their way between its sockets and its stream, and which RTCP sockets have something to read.
//!
//! An RTP socket is connected to its leg's source while nobody else can become it ([`Door`]): the system then finds its
//! way to the peer once, not for each packet. Every RTP socket is read in every tick until it is empty: one packet a
//! frame is the rule there. RTCP comes once in seconds, so those sockets are watched together, by one `epoll` call a
//! slot for all legs of a thread; where the system has none, each is read in each tick.
//!
//! Reading and sending in batches was measured and left out: packets of one slot belong to as many sockets, and
//! `recvmmsg` on a socket that holds one packet costs more than two reads (a leg's whole frame at 1,000 legs: 5.65 µs
//! with it, 5.21 without, 6.35 and 6.40 on sockets that are not connected; bare send and receive 4.75).

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::ports::Pair;
use crate::media::FRAME_MS;
use crate::media::stream::PacketSink;
use crate::media::tap::{Tap, Tapped};
use crate::time::Time;

/// Longest datagram read; longer ones are cut and then fail their check or lose their tail.
pub(super) const MAX_DATAGRAM: usize = 2_048;
/// Datagrams thrown away when a stream starts: what came while nobody listened is no news.
const MAX_STALE: usize = 1_024;

/// Where datagrams are read into: one a thread.
pub(super) type Buffer = [u8; MAX_DATAGRAM];

/// What one slot counted, added to the shared counters once.
#[derive(Default)]
pub(super) struct Tally {
    pub ticks: u64,
    pub late_ticks: u64,
    pub skipped_frames: u64,
    pub rtp_received: u64,
    pub rtp_sent: u64,
    pub rtcp_received: u64,
    pub rtcp_sent: u64,
    pub send_errors: u64,
    pub strangers: u64,
    pub malformed: u64,
}

/// Sends a stream's packets.
pub(super) struct Sender<'a> {
    pub pair: &'a Pair,
    /// Whom the RTP socket is connected to.
    pub connected: Option<SocketAddr>,
    pub tally: &'a mut Tally,
    /// Where copies go.
    pub tap: Option<&'a mut Tap>,
    pub now: Time,
}

impl Sender<'_> {
    fn keep(&mut self, local_port: u16, remote: SocketAddr, bytes: &[u8]) {
        if let Some(tap) = &mut self.tap {
            tap.keep(Tapped { at: self.now, sent: true, local_port, remote, bytes });
        }
    }
}

impl PacketSink for Sender<'_> {
    fn rtp(&mut self, to: SocketAddr, packet: &[u8]) {
        self.keep(self.pair.port, to, packet);
        let sent = match self.connected == Some(to) {
            true => self.pair.rtp.send(packet).is_ok(),
            false => send(&self.pair.rtp, self.pair.ipv6, to, packet),
        };
        match sent {
            true => self.tally.rtp_sent += 1,
            false => self.tally.send_errors += 1,
        }
    }

    fn rtcp(&mut self, to: SocketAddr, packet: &[u8]) {
        self.keep(self.pair.port + 1, to, packet);
        match send(&self.pair.rtcp, self.pair.ipv6, to, packet) {
            true => self.tally.rtcp_sent += 1,
            false => self.tally.send_errors += 1,
        }
    }
}

/// Whether an RTP socket hears its source only (it is connected to it) or everybody.
///
/// A stranger's packets do not reach a connected socket, so they are not counted. The socket is therefore opened for
/// one frame in [`SHUT_MS`], and for [`WATCH_MS`] when a stranger was seen: whoever keeps sending is noticed and counted.
/// Nothing is decided here about who the source is; that is `media::source`'s.
#[derive(Debug)]
pub(super) struct Door {
    connected: Option<SocketAddr>,
    /// Grid millisecond until which it stays as it is, if its source stays settled.
    until: u64,
    possible: bool,
}

/// A socket is not connected before its stream is so old: at the start, sources are still sorting themselves out.
const SETTLING_MS: u64 = 2_000;
/// A connected socket is opened after this long, for a frame.
const SHUT_MS: u64 = 64 * FRAME_MS;
/// A socket stays open this long after a stranger's packet.
const WATCH_MS: u64 = 5_000;

impl Door {
    /// Open. Connecting also fixes the address that a socket is heard under, so one that is bound to every address is
    /// never connected: its peer may know it by another than the one that leads back.
    pub fn new(pair: &Pair) -> Self {
        let bound = pair.rtp.local_addr().is_ok_and(|address| !address.ip().is_unspecified());
        Door { connected: None, until: 0, possible: cfg!(target_os = "linux") && bound }
    }

    /// Whom the socket is connected to.
    pub fn connected(&self) -> Option<SocketAddr> {
        self.connected
    }

    /// The stream begins.
    pub fn begin(&mut self, grid: u64) {
        self.until = grid + SETTLING_MS;
    }

    /// Opens it at once: the source may be another from now on.
    pub fn open(&mut self, socket: &UdpSocket, grid: u64) {
        if self.connected.take().is_some() {
            // It fails only where the socket is not one.
            let _ = rustix::net::connect_unspec(socket);
            self.until = grid + FRAME_MS;
        }
    }

    /// Once a frame: `settled` is the source that nobody else can become, `strangers` whether one was heard just now.
    pub fn mind(&mut self, socket: &UdpSocket, settled: Option<SocketAddr>, strangers: bool, grid: u64) {
        if self.connected.is_some() {
            if settled != self.connected || grid >= self.until {
                self.open(socket, grid);
            }
        } else if strangers {
            self.until = grid + WATCH_MS;
        } else if self.possible && grid >= self.until && settled.is_some() {
            self.connected = settled.filter(|source| socket.connect(source).is_ok());
            self.possible = self.connected.is_some();
            self.until = grid + SHUT_MS;
        }
    }
}

/// A datagram that cannot leave now is of no use later: it is dropped.
fn send(socket: &UdpSocket, mapped: bool, to: SocketAddr, packet: &[u8]) -> bool {
    let to = match to.ip() {
        IpAddr::V4(ip) if mapped => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
        _ => to,
    };
    socket.send_to(packet, to).is_ok()
}

/// Reads at most `most` datagrams; what is left waits in the socket's buffer.
pub(super) fn read(socket: &UdpSocket, most: usize, buffer: &mut Buffer, mut take: impl FnMut(&[u8], SocketAddr)) {
    for _ in 0..most {
        match socket.recv_from(buffer) {
            Ok((length, from)) => {
                // A socket for both families gives IPv4 as mapped IPv6.
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                take(buffer.get(..length).unwrap_or(&[]), from);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            // An ICMP answer to what we sent (nobody listens there yet), or an interruption: read on.
            Err(_) => {}
        }
    }
}

/// Throws away what waits on both sockets.
pub(super) fn drain_stale(pair: &Pair, buffer: &mut Buffer) {
    read(&pair.rtp, MAX_STALE, buffer, |_, _| {});
    read(&pair.rtcp, MAX_STALE, buffer, |_, _| {});
}

pub(super) use watch::Watch;

#[cfg(target_os = "linux")]
mod watch {
    use std::net::UdpSocket;
    use std::os::fd::OwnedFd;

    use rustix::event::Timespec;
    use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

    /// Sockets told of in one look; the others are told of in the next.
    const MOST: usize = 16;

    /// Looks at many sockets at once.
    pub struct Watch {
        epoll: Option<OwnedFd>,
        events: [Event; MOST],
    }

    impl Watch {
        pub fn new() -> Self {
            let nothing = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
            Watch { epoll: epoll::create(CreateFlags::CLOEXEC).ok(), events: [nothing; MOST] }
        }

        /// Watches a socket under this number until it is closed. False: it must be read without being told.
        pub fn add(&self, socket: &UdpSocket, number: usize) -> bool {
            let data = EventData::new_u64(number as u64);
            self.epoll.as_ref().is_some_and(|set| epoll::add(set, socket, data, EventFlags::IN).is_ok())
        }

        /// The numbers of sockets that have something to read: at most 16, others in turn.
        pub fn ready(&mut self) -> impl Iterator<Item = usize> + use<> {
            let none = [0; MOST];
            let (numbers, count) = match &self.epoll {
                None => (none, 0),
                Some(set) => {
                    let count = epoll::wait(set, self.events.as_mut_slice(), Some(&Timespec::default())).unwrap_or(0);
                    let mut numbers = none;
                    for (number, event) in numbers.iter_mut().zip(&self.events) {
                        *number = event.data.u64() as usize;
                    }
                    (numbers, count)
                }
            };
            numbers.into_iter().take(count)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod watch {
    use std::net::UdpSocket;

    /// Watches nothing: every socket is read without being told.
    pub struct Watch;

    impl Watch {
        pub fn new() -> Self {
            Watch
        }

        pub fn add(&self, _: &UdpSocket, _: usize) -> bool {
            false
        }

        pub fn ready(&mut self) -> impl Iterator<Item = usize> + use<> {
            std::iter::empty()
        }
    }
}
