//! Symmetric RTP (RFC 4961) without theft: which source address a stream listens to, and thereby sends to.
//!
//! The rules, in order:
//! 1. Only well-formed RTP with an agreed payload type is judged at all (the caller sees to it).
//! 2. Nothing is locked, and the peer should be sending (else nobody is: we send to the signalled address): the
//!    signalled address, or another port of its host (NAT without port preservation), is locked by its first packet.
//!    Another host (the peer is behind NAT and signalled a private address, or media
//!    comes from another box) needs [`PROBATION_PACKETS`] packets of one SSRC in sequence, so that sprayed
//!    single packets lock nothing.
//! 3. Locked: a better source than the locked one takes over. The signalled address beats any other at any
//!    time; its host beats another host within [`SETTLING`] of the lock. So the lock only ever gets better.
//! 4. Locked and heard within [`RELOCK_AFTER`]: everyone else is a stranger.
//! 5. Locked and silent for longer, *while the peer should be sending*: a source that is no worse, or a new port of
//!    the locked host (its NAT binding changed), may take over as under 2. A worse one never may, nor anyone
//!    during a hold, when silence is what was agreed.
//! 6. A re-INVITE that changes the signalled address clears the lock; one that does not keeps it. What the source
//!    that was locked has still under way must not lock it again: for [`RELOCK_AFTER`] it is heard, but not sent to.

use std::net::SocketAddr;
use std::time::Duration;

use crate::rtp::packet::Header;
use crate::time::Time;

/// Packets in sequence that a host which was not signalled must send before it is believed.
pub const PROBATION_PACKETS: u32 = 3;
/// How long after the first lock the signalled host may still take over from another host.
pub const SETTLING: Duration = Duration::from_secs(3);
/// Silence of the locked source after which another may take over; also how long a source that the peer signalled
/// itself away from is not locked again.
pub const RELOCK_AFTER: Duration = Duration::from_secs(2);
/// A source that is silent this long is no longer settled: well before anyone else could be let in.
const UNSETTLED_AFTER: Duration = Duration::from_millis(500);
/// A candidate that is silent this long gives its place to another.
const CANDIDATE_PATIENCE: Duration = Duration::from_millis(200);

/// How well a source fits what was signalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    OtherHost,
    SameHost,
    Signalled,
}

#[derive(Clone, Copy, Debug)]
struct Lock {
    source: SocketAddr,
    rank: Rank,
    since: Time,
    heard: Time,
}

/// The source that was locked until the peer signalled another address.
#[derive(Clone, Copy, Debug)]
struct Left {
    source: SocketAddr,
    at: Time,
}

/// Someone who may become the source.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    source: SocketAddr,
    ssrc: u32,
    next: u16,
    count: u32,
    heard: Time,
}

/// What a packet's source is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The locked source, or for a moment the one that was locked before a re-INVITE (rule 6).
    Ours,
    /// The locked source from this packet on; before it nobody was (`None`), or another.
    Locked {
        /// Who was locked before.
        before: Option<SocketAddr>,
    },
    /// On probation: not to be used yet, nor called a stranger.
    Probation,
    /// Not to be listened to.
    Stranger,
}

/// Decides whom a stream listens to.
#[derive(Clone, Debug)]
pub struct SourceRules {
    signalled: SocketAddr,
    lock: Option<Lock>,
    left: Option<Left>,
    candidate: Option<Candidate>,
}

impl SourceRules {
    /// Nothing is locked yet; `signalled` is what the peer's SDP says.
    pub fn new(signalled: SocketAddr) -> Self {
        SourceRules { signalled, lock: None, left: None, candidate: None }
    }

    /// The stream was negotiated anew (rule 6). An unusable address (old-style hold) changes nothing.
    pub fn renegotiate(&mut self, signalled: SocketAddr, now: Time) {
        self.candidate = None;
        if is_somewhere(signalled) && signalled != self.signalled {
            self.signalled = signalled;
            // Already sending from where it now says it will: nothing to look for.
            if let Some(lock) = self.lock.take_if(|lock| lock.source != signalled) {
                self.left = Some(Left { source: lock.source, at: now });
            }
        }
        if let Some(lock) = &mut self.lock {
            lock.rank = rank(self.signalled, lock.source);
            // A hold was agreed silence: it does not count against the source.
            lock.heard = now;
        }
    }

    /// Who is listened to.
    pub fn source(&self) -> Option<SocketAddr> {
        self.lock.map(|lock| lock.source)
    }

    /// The source, where it is the signalled address and is being heard: while this lasts, nobody else can become it
    /// (rules 3 to 5), so that a socket may be closed to others meanwhile.
    pub fn settled(&self, now: Time) -> Option<SocketAddr> {
        let settled = |lock: &Lock| lock.rank == Rank::Signalled && now.since(lock.heard) < UNSETTLED_AFTER;
        self.lock.filter(settled).map(|lock| lock.source)
    }

    /// Where to send: to the source, else to where the peer said. None: the peer named no place.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.source().or_else(|| is_somewhere(self.signalled).then_some(self.signalled))
    }

    /// Judges a packet (rule 1 has been applied). `expected`: the peer may send now.
    pub fn judge(&mut self, source: SocketAddr, header: &Header, expected: bool, now: Time) -> Judgement {
        let new_rank = rank(self.signalled, source);
        let Some(lock) = &mut self.lock else {
            let left = self.left.is_some_and(|left| left.source == source && now.since(left.at) < RELOCK_AFTER);
            return match (left && new_rank < Rank::Signalled, expected) {
                (true, _) => Judgement::Ours,
                (false, true) => self.admit(source, new_rank, header, now),
                (false, false) => Judgement::Probation,
            };
        };
        if lock.source == source {
            lock.heard = now;
            return Judgement::Ours;
        }
        let better = match new_rank {
            Rank::Signalled => lock.rank < Rank::Signalled,
            Rank::SameHost => lock.rank < Rank::SameHost && now.since(lock.since) < SETTLING,
            Rank::OtherHost => false,
        };
        let no_worse = new_rank >= lock.rank || source.ip() == lock.source.ip();
        let vacant = expected && now.since(lock.heard) >= RELOCK_AFTER && no_worse;
        if better || vacant { self.admit(source, new_rank, header, now) } else { Judgement::Stranger }
    }

    /// Is RTCP from this address the peer's? Its host must be the source's, or the signalled one while there is none.
    pub fn is_peer_host(&self, from: SocketAddr) -> bool {
        let host = self.source().unwrap_or(self.signalled).ip();
        host.to_canonical() == from.ip().to_canonical()
    }

    fn admit(&mut self, source: SocketAddr, rank: Rank, header: &Header, now: Time) -> Judgement {
        if rank == Rank::OtherHost {
            let known = self.candidate.filter(|known| known.source == source);
            let follows = known.filter(|known| known.ssrc == header.ssrc && known.next == header.sequence);
            // One candidate at a time, so that others cannot keep resetting it.
            if known.is_none() && self.candidate.is_some_and(|other| now.since(other.heard) < CANDIDATE_PATIENCE) {
                return Judgement::Stranger;
            }
            let count = follows.map_or(0, |known| known.count) + 1;
            if count < PROBATION_PACKETS {
                let next = header.sequence.wrapping_add(1);
                self.candidate = Some(Candidate { source, ssrc: header.ssrc, next, count, heard: now });
                return Judgement::Probation;
            }
        }
        self.candidate = None;
        let before = self.source();
        self.lock = Some(Lock { source, rank, since: now, heard: now });
        Judgement::Locked { before }
    }
}

/// Can one send to this address? Port 0 and the unspecified address mean "nowhere" in SDP.
pub fn is_somewhere(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified()
}

fn rank(signalled: SocketAddr, source: SocketAddr) -> Rank {
    if signalled.ip().to_canonical() != source.ip().to_canonical() {
        Rank::OtherHost
    } else if signalled.port() == source.port() {
        Rank::Signalled
    } else {
        Rank::SameHost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNALLED: &str = "10.0.0.1:4000";
    const SAME_HOST: &str = "10.0.0.1:4444";
    const NAT: &str = "203.0.113.7:9000";
    const THIEF: &str = "198.51.100.9:6666";

    struct Bench {
        rules: SourceRules,
        now: Time,
        sequence: u16,
    }

    impl Bench {
        fn new() -> Self {
            Bench { rules: SourceRules::new(SIGNALLED.parse().unwrap()), now: Time::from_micros(1), sequence: 65_530 }
        }

        fn packet(&mut self, from: &str) -> Judgement {
            self.packet_when(from, true)
        }

        fn packet_when(&mut self, from: &str, expected: bool) -> Judgement {
            self.sequence = self.sequence.wrapping_add(1);
            self.now += Duration::from_millis(20);
            let header = Header { marker: false, payload_type: 0, sequence: self.sequence, timestamp: 0, ssrc: 7 };
            self.rules.judge(from.parse().unwrap(), &header, expected, self.now)
        }

        fn wait(&mut self, duration: Duration) {
            self.now += duration;
        }

        fn source(&self) -> String {
            self.rules.source().map(|s| s.to_string()).unwrap_or_default()
        }
    }

    #[test]
    fn the_signalled_address_is_locked_at_once_and_keeps_strangers_out() {
        let mut bench = Bench::new();
        assert_eq!(bench.rules.destination().unwrap().to_string(), SIGNALLED);
        assert_eq!(bench.packet(SIGNALLED), Judgement::Locked { before: None });
        for _ in 0..100 {
            assert_eq!(bench.packet(SIGNALLED), Judgement::Ours);
            assert_eq!(bench.packet(THIEF), Judgement::Stranger);
            assert_eq!(bench.packet(SAME_HOST), Judgement::Stranger);
        }
    }

    #[test]
    fn another_host_is_believed_after_three_packets_in_sequence() {
        let mut bench = Bench::new();
        assert_eq!(bench.packet(NAT), Judgement::Probation);
        assert_eq!(bench.packet(NAT), Judgement::Probation);
        assert_eq!(bench.packet(NAT), Judgement::Locked { before: None });
        assert_eq!(bench.rules.destination().unwrap().to_string(), NAT);
        assert_eq!(bench.packet(THIEF), Judgement::Stranger);
    }

    #[test]
    fn sprayed_packets_lock_nothing() {
        let mut bench = Bench::new();
        for n in 0..100 {
            bench.sequence = n * 31;
            assert!(matches!(bench.packet(THIEF), Judgement::Probation));
        }
        for port in 1..100 {
            assert!(matches!(
                bench.packet(&format!("198.51.100.9:{port}")),
                Judgement::Stranger | Judgement::Probation
            ));
        }
        assert_eq!(bench.source(), "");
    }

    #[test]
    fn the_lock_only_gets_better() {
        let mut bench = Bench::new();
        for _ in 0..3 {
            bench.packet(THIEF);
        }
        assert_eq!(bench.source(), THIEF);
        assert_eq!(bench.packet(SAME_HOST), Judgement::Locked { before: Some(THIEF.parse().unwrap()) });
        assert_eq!(bench.packet(THIEF), Judgement::Stranger);
        assert!(matches!(bench.packet(SIGNALLED), Judgement::Locked { .. }));
        assert_eq!(bench.packet(SAME_HOST), Judgement::Stranger);
        assert_eq!(bench.packet(SIGNALLED), Judgement::Ours);
    }

    #[test]
    fn the_signalled_address_beats_a_squatter_even_late_but_its_host_does_not() {
        let mut bench = Bench::new();
        for _ in 0..1_000 {
            bench.packet(NAT);
        }
        assert_eq!(bench.packet(SAME_HOST), Judgement::Stranger);
        assert!(matches!(bench.packet(SIGNALLED), Judgement::Locked { .. }));
    }

    #[test]
    fn only_the_signalled_address_settles_and_only_while_it_is_heard() {
        let mut bench = Bench::new();
        assert_eq!(bench.rules.settled(bench.now), None);
        for _ in 0..3 {
            bench.packet(NAT);
        }
        assert_eq!(bench.rules.settled(bench.now), None, "its own address may still come");
        bench.packet(SIGNALLED);
        let soon = bench.now + UNSETTLED_AFTER - Duration::from_millis(1);
        assert_eq!(bench.rules.settled(soon), Some(SIGNALLED.parse().unwrap()));
        assert_eq!(bench.rules.settled(bench.now + UNSETTLED_AFTER), None);
        bench.packet(SIGNALLED);
        bench.rules.renegotiate(SAME_HOST.parse().unwrap(), bench.now);
        assert_eq!(bench.rules.settled(bench.now), None);
    }

    #[test]
    fn silence_lets_no_worse_source_in() {
        let mut bench = Bench::new();
        bench.packet(SIGNALLED);
        bench.wait(Duration::from_secs(60));
        for _ in 0..10 {
            assert_eq!(bench.packet(THIEF), Judgement::Stranger);
        }
        // A new port of the same host: its NAT, or the phone, changed it.
        assert!(matches!(bench.packet(SAME_HOST), Judgement::Locked { .. }));
    }

    #[test]
    fn a_nat_binding_that_changes_is_followed_after_silence_only() {
        let mut bench = Bench::new();
        for _ in 0..3 {
            bench.packet(NAT);
        }
        let moved = "203.0.113.7:9001";
        assert_eq!(bench.packet(moved), Judgement::Stranger);
        bench.wait(RELOCK_AFTER);
        assert_eq!(bench.packet(moved), Judgement::Probation);
        assert_eq!(bench.packet(moved), Judgement::Probation);
        assert!(matches!(bench.packet(moved), Judgement::Locked { before: Some(_) }));
    }

    #[test]
    fn a_hold_is_no_opportunity() {
        let mut bench = Bench::new();
        for _ in 0..3 {
            bench.packet(NAT);
        }
        bench.wait(Duration::from_secs(600));
        for _ in 0..5 {
            assert_eq!(bench.packet_when(THIEF, false), Judgement::Stranger);
        }
        // Resumed with the same address: the source has its time again.
        bench.rules.renegotiate(SIGNALLED.parse().unwrap(), bench.now);
        assert_eq!(bench.packet(THIEF), Judgement::Stranger);
        assert_eq!(bench.packet(NAT), Judgement::Ours);
    }

    #[test]
    fn a_re_invite_with_another_address_clears_the_lock_and_nowhere_does_not() {
        let mut bench = Bench::new();
        bench.packet(SIGNALLED);
        bench.rules.renegotiate("0.0.0.0:4000".parse().unwrap(), bench.now);
        bench.rules.renegotiate("10.0.0.1:0".parse().unwrap(), bench.now);
        assert_eq!(bench.source(), SIGNALLED);
        bench.rules.renegotiate("10.0.0.5:5000".parse().unwrap(), bench.now);
        assert_eq!(bench.source(), "");
        assert_eq!(bench.rules.destination().unwrap().to_string(), "10.0.0.5:5000");
        assert!(matches!(bench.packet("10.0.0.5:5000"), Judgement::Locked { .. }));
    }

    #[test]
    fn late_packets_from_the_port_before_a_re_invite_do_not_lock_it_again() {
        let moved = "10.0.0.1:5000";
        let mut bench = Bench::new();
        bench.packet(SIGNALLED);
        bench.rules.renegotiate(moved.parse().unwrap(), bench.now);
        for _ in 0..5 {
            assert_eq!(bench.packet(SIGNALLED), Judgement::Ours, "heard");
            assert_eq!(bench.rules.destination().unwrap().to_string(), moved, "but not sent to");
        }
        assert_eq!(bench.packet(moved), Judgement::Locked { before: None });
        assert_eq!(bench.packet(SIGNALLED), Judgement::Stranger);
        // There and back again: it is the signalled one now.
        bench.rules.renegotiate(SIGNALLED.parse().unwrap(), bench.now);
        assert_eq!(bench.packet(SIGNALLED), Judgement::Locked { before: None });
    }

    #[test]
    fn a_peer_that_goes_on_sending_from_the_port_before_is_followed_in_the_end() {
        let mut bench = Bench::new();
        bench.packet(SIGNALLED);
        bench.rules.renegotiate("10.0.0.1:5000".parse().unwrap(), bench.now);
        bench.wait(RELOCK_AFTER);
        assert_eq!(bench.packet(SIGNALLED), Judgement::Locked { before: None });
    }

    #[test]
    fn nobody_is_locked_while_the_peer_should_not_send() {
        let mut bench = Bench::new();
        for _ in 0..5 {
            for from in [SIGNALLED, SAME_HOST, NAT] {
                assert_eq!(bench.packet_when(from, false), Judgement::Probation);
            }
        }
        assert_eq!(bench.rules.destination().unwrap().to_string(), SIGNALLED);
        assert_eq!(bench.packet(SIGNALLED), Judgement::Locked { before: None });
    }

    #[test]
    fn rtcp_comes_from_the_peers_host() {
        let mut bench = Bench::new();
        assert!(bench.rules.is_peer_host("10.0.0.1:1".parse().unwrap()));
        for _ in 0..3 {
            bench.packet(NAT);
        }
        assert!(bench.rules.is_peer_host("203.0.113.7:1".parse().unwrap()));
        assert!(!bench.rules.is_peer_host("10.0.0.1:1".parse().unwrap()));
    }
}
