//! UDP sockets whose datagrams bear the kernel's time of arrival (`SO_TIMESTAMPNS`). On loopback that time is taken
//! inside the sender's own system call, so it shows the sender's pacing and not ours.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

/// Longest datagram taken; longer ones are cut.
const MAX_DATAGRAM: usize = 8_192;
/// What may wait unread in a call's socket, in bytes: over a second of RTP, with what the kernel adds to each.
const RTP_BUFFER: usize = 1 << 18;
/// What may wait in the SIP socket, in bytes; the system may allow less.
const SIP_BUFFER: usize = 8 << 20;
/// Port pairs tried before there is none.
const MAX_TRIES: usize = 64;

/// Nanoseconds since the Unix epoch, as the kernel's stamps are.
pub type Stamp = u64;

/// The wall clock, as the kernel's stamps have it.
pub fn stamp_now() -> Stamp {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Milliseconds from `earlier` to `later`, negative where it is the other way round.
pub fn milliseconds(earlier: Stamp, later: Stamp) -> f64 {
    later.wrapping_sub(earlier) as i64 as f64 / 1e6
}

/// A datagram.
pub struct Datagram<'a> {
    /// Its content.
    pub bytes: &'a [u8],
    /// Whom it came from.
    pub from: Option<SocketAddr>,
    /// When the kernel got it; our own clock where the kernel does not say.
    pub stamp: Stamp,
    /// Datagrams that this socket has lost so far, because we did not read in time.
    pub dropped: u32,
}

/// Reads sockets; one is enough for all of them.
pub struct Reader {
    bytes: Vec<u8>,
    control: Vec<u8>,
}

impl Default for Reader {
    fn default() -> Self {
        let control = nix::cmsg_space!(nix::sys::time::TimeSpec, u32);
        Reader { bytes: vec![0; MAX_DATAGRAM], control: vec![0; control.capacity()] }
    }
}

impl Reader {
    /// The next datagram with its stamp; none: nothing waits.
    pub fn next(&mut self, socket: &UdpSocket) -> Option<Datagram<'_>> {
        let (mut stamp, mut dropped) = (None, 0);
        let (length, from) = {
            let mut parts = [IoSliceMut::new(&mut self.bytes)];
            let control = Some(self.control.as_mut_slice());
            let message =
                recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, control, MsgFlags::MSG_DONTWAIT).ok()?;
            for part in message.cmsgs().into_iter().flatten() {
                match part {
                    ControlMessageOwned::ScmTimestampns(at) => {
                        stamp = Some(at.tv_sec() as u64 * 1_000_000_000 + at.tv_nsec() as u64);
                    }
                    ControlMessageOwned::RxqOvfl(count) => dropped = count,
                    _ => {}
                }
            }
            (message.bytes, message.address.as_ref().and_then(address))
        };
        let bytes = self.bytes.get(..length)?;
        Some(Datagram { bytes, from, stamp: stamp.unwrap_or_else(stamp_now), dropped })
    }
}

fn address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

/// A socket for SIP.
pub fn bind_sip(address: SocketAddr) -> io::Result<UdpSocket> {
    bind(address, SIP_BUFFER)
}

/// An RTP socket on an even port and the RTCP one beside it (RFC 3550 §11).
pub fn bind_pair(ip: IpAddr) -> io::Result<(UdpSocket, UdpSocket, u16)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..MAX_TRIES {
        let attempt = bind(SocketAddr::new(ip, 0), RTP_BUFFER).and_then(|one| {
            let port = one.local_addr()?.port();
            let other = bind(SocketAddr::new(ip, port ^ 1), RTP_BUFFER)?;
            Ok(if port % 2 == 0 { (one, other, port) } else { (other, one, port ^ 1) })
        });
        match attempt {
            Ok(pair) => return Ok(pair),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind(address: SocketAddr, buffer: usize) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // A system that refuses one of these still measures: by our own clock, and with less patience.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(buffer);
    let _ = setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
    let _ = setsockopt(&socket, sockopt::RxqOvfl, &1);
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn datagrams_come_with_the_moment_they_were_sent() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (rtp, rtcp, port) = bind_pair(loopback).unwrap();
        assert!(port % 2 == 0 && rtcp.local_addr().unwrap().port() == port + 1);
        let mut reader = Reader::default();
        assert!(reader.next(&rtp).is_none());
        let before = stamp_now();
        rtcp.send_to(b"hello", rtp.local_addr().unwrap()).unwrap();
        let after = stamp_now();
        let got = reader.next(&rtp).unwrap();
        assert_eq!((got.bytes, got.from, got.dropped), (&b"hello"[..], rtcp.local_addr().ok(), 0));
        // The kernel's stamp and ours are of one clock, but not read in the same way.
        let slack = 1_000_000;
        assert!(got.stamp + slack >= before && got.stamp <= after + slack, "{before} {} {after}", got.stamp);
        assert_eq!(milliseconds(3_000_000, 1_000_000), -2.0);
    }
}
