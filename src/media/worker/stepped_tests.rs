//! Pacing, freezes and allocation of a media thread's work, on a clock turned by hand and sockets on loopback.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::media::{Clip, FRAME_MS, FRAME_SAMPLES, PlayId, StreamStatistics};
use crate::rtp::packet::{HEADER_LENGTH, Header, Packet, write_header};
use crate::rtp::rtcp;
use crate::session::{LegId, NegotiatedMedia};
use crate::time::Time;

/// G.711 both ways with a peer on this port.
fn media(port: u16) -> NegotiatedMedia {
    let peer = SocketAddr::from(([127, 0, 0, 1], port));
    NegotiatedMedia { remote_rtcp: peer, ..NegotiatedMedia::plain(peer) }
}

/// A leg of the lane and the peer it talks with.
struct Peer {
    rtp: UdpSocket,
    /// The leg's RTP port.
    leg: u16,
    sequence: u16,
}

struct Bench {
    lane: SteppedLane,
    events: Receiver<MediaEvent>,
    peers: Vec<Peer>,
}

impl Bench {
    /// Legs that play without end.
    fn new(legs: u64) -> Self {
        let (sender, events) = channel();
        let sink: EventSink = Box::new(move |event| drop(sender.send(event)));
        let config = MediaConfig { ports: 0..=0, rtp_timeout: Duration::ZERO, ..MediaConfig::default() };
        let started = Time::EPOCH + Duration::from_secs(1_700_000_000);
        let lane = SteppedLane::new(config, Random::from_number(1), sink, started).unwrap();
        let mut bench = Bench { lane, events, peers: Vec::new() };
        let clip = Arc::new(Clip::new((0..80_000).map(|n| (n * 7 % 9_000) as i16).collect::<Vec<_>>()));
        for leg in 0..legs {
            bench.open(LegId(leg), &clip);
            // Calls do not come all at once.
            bench.lane.run(7);
        }
        bench.lane.run(200);
        bench
    }

    fn open(&mut self, leg: LegId, clip: &Arc<Clip>) {
        let rtp = UdpSocket::bind("127.0.0.1:0").unwrap();
        rtp.set_nonblocking(true).unwrap();
        let port = rtp.local_addr().unwrap().port();
        self.lane.command(MediaCommand::Open { leg, beside: None });
        let opened = self.events.try_iter().find_map(|event| match event {
            MediaEvent::Opened { port, .. } => Some(port),
            _ => None,
        });
        self.lane.command(MediaCommand::Connect { leg, media: media(port) });
        let clips = vec![Arc::clone(clip)];
        self.lane.command(MediaCommand::Play { leg, play: PlayId(leg.0), clips, repeat: true });
        self.peers.push(Peer { rtp, leg: opened.expect("a port"), sequence: 0 });
    }

    /// What has come to each peer since it was last asked.
    fn heard(&self) -> Vec<Vec<Header>> {
        self.peers.iter().map(Peer::heard).collect()
    }

    fn close(&mut self, leg: LegId) -> StreamStatistics {
        self.lane.command(MediaCommand::Close { leg });
        let closed = self.events.try_iter().find_map(|event| match event {
            MediaEvent::Closed { statistics, .. } => Some(statistics),
            _ => None,
        });
        closed.expect("the leg's end")
    }
}

impl Peer {
    fn heard(&self) -> Vec<Header> {
        let mut buffer = [0; 2_048];
        let mut headers = Vec::new();
        while let Ok(length) = self.rtp.recv(&mut buffer) {
            // RTCP comes to the same port here.
            headers.extend(Packet::parse(&buffer[..length]).ok().map(|packet| packet.header));
        }
        headers
    }

    /// Sends a frame of noise; allocates nothing.
    fn speak(&mut self) {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = [0; HEADER_LENGTH + FRAME_SAMPLES];
        let (head, payload) = packet.split_first_chunk_mut().unwrap();
        let timestamp = u32::from(self.sequence) * FRAME_SAMPLES as u32;
        write_header(&Header { marker: false, payload_type: 0, sequence: self.sequence, timestamp, ssrc: 9 }, head);
        let mut noise = u32::from(self.sequence) | 1;
        payload.fill_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        });
        self.rtp.send_to(&packet, SocketAddr::from(([127, 0, 0, 1], self.leg))).unwrap();
    }

    /// Reads what came without looking at it.
    fn drop_heard(&self) {
        let mut buffer = [0; 256];
        while self.rtp.recv(&mut buffer).is_ok() {}
    }
}

/// Each packet follows the one before by one frame, on the clock and in number.
fn assert_smooth(packets: &[Header]) {
    for pair in packets.windows(2) {
        assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), FRAME_SAMPLES as u32);
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
    }
}

#[test]
fn legs_are_spread_over_the_frame() {
    let mut bench = Bench::new(40);
    bench.heard();
    for _ in 0..40 {
        bench.lane.run(1);
        let sent: usize = bench.heard().iter().map(Vec::len).sum();
        // Two a slot, and what haste at the start allows.
        assert!(sent <= 5, "{sent} in one millisecond");
    }
}

#[test]
fn a_freeze_of_a_second_leaves_clean_calls_behind() {
    let mut bench = Bench::new(40);
    bench.heard();
    bench.lane.run(FRAME_MS);
    let before = bench.heard();
    bench.lane.freeze(1_000);
    let at_once = bench.heard();
    // On its own grid again: one packet in each frame, for each leg in the same millisecond.
    let mut after: Vec<Vec<Header>> = vec![Vec::new(); bench.peers.len()];
    for frame in 0..50 {
        let mut came = vec![0; bench.peers.len()];
        for _ in 0..FRAME_MS {
            bench.lane.run(1);
            for ((all, heard), came) in after.iter_mut().zip(bench.heard()).zip(&mut came) {
                *came += heard.len();
                all.extend(heard);
            }
        }
        assert!(came.iter().all(|count| *count == 1), "frame {frame}: {came:?}");
    }
    for ((before, at_once), after) in before.iter().zip(&at_once).zip(&after) {
        let ([before], [first]) = (&before[..], &at_once[..]) else {
            panic!("one packet in a frame, and one after the freeze: {before:?} {at_once:?}");
        };
        // The clock went on meanwhile: the timestamp says by how much, the sequence that nothing was lost on the way.
        assert_eq!(first.timestamp.wrapping_sub(before.timestamp), 50 * FRAME_SAMPLES as u32);
        assert_eq!(first.sequence, before.sequence.wrapping_add(1));
        assert!(first.marker, "a new spurt");
        let next = after.first().unwrap();
        assert_eq!(next.timestamp.wrapping_sub(first.timestamp), FRAME_SAMPLES as u32);
        assert_smooth(after);
    }
    // Told: to the metrics and in each leg's figures.
    let counters = bench.lane.counters();
    assert_eq!((counters.skipped_frames, counters.late_ticks), (49 * 40, 40));
    assert_eq!(bench.close(LegId(3)).skipped_frames, 49);
}

#[test]
fn a_tick_late_by_less_than_a_frame_is_late_and_not_lost() {
    let mut bench = Bench::new(20);
    bench.lane.run(FRAME_MS);
    bench.heard();
    bench.lane.freeze(15);
    bench.lane.run(FRAME_MS * 5 + 5);
    for packets in bench.heard() {
        assert_eq!(packets.len(), 6);
        assert_smooth(&packets);
    }
    let counters = bench.lane.counters();
    assert_eq!(counters.skipped_frames, 0);
    assert!((1..20).contains(&counters.late_ticks), "{} of 20 legs", counters.late_ticks);
}

#[test]
fn a_packet_allocates_nothing() {
    let mut bench = Bench::new(20);
    let frame = |bench: &mut Bench| {
        for peer in &mut bench.peers {
            peer.speak();
        }
        bench.lane.run(FRAME_MS);
        bench.peers.iter().for_each(Peer::drop_heard);
    };
    // The first packets are noted on the timeline, and the peers' first RTCP report gives a round trip.
    (0..100).for_each(|_| frame(&mut bench));
    let before = bench.lane.counters();
    let allocations = allocation_counter::measure(|| (0..500).for_each(|_| frame(&mut bench)));
    let counters = bench.lane.counters();
    let packets = counters.rtp_received - before.rtp_received + counters.rtp_sent - before.rtp_sent;
    assert_eq!((packets, counters.send_errors), (2 * 20 * 500, 0));
    assert!(counters.rtcp_sent > before.rtcp_sent, "reports were sent meanwhile");
    assert_eq!((allocations.count_total, allocations.bytes_total), (0, 0));
}

#[test]
fn bridged_legs_allocate_nothing_and_wait_for_nobody() {
    let mut bench = Bench::new(20);
    for leg in 0..20 {
        bench.lane.command(MediaCommand::StopPlay { leg: LegId(leg), play: PlayId(leg) });
    }
    for leg in 0..10 {
        bench.lane.command(MediaCommand::Bridge { leg: LegId(leg), with: Some(LegId(19 - leg)) });
    }
    speak(&mut bench, 100);
    let before = bench.lane.counters();
    let allocations = allocation_counter::measure(|| speak(&mut bench, 300));
    let counters = bench.lane.counters();
    let packets = counters.rtp_received - before.rtp_received + counters.rtp_sent - before.rtp_sent;
    assert_eq!((packets, counters.send_errors), (2 * 20 * 300, 0));
    assert_eq!((allocations.count_total, allocations.bytes_total), (0, 0));
    // A leg's end is the bridge's, and nobody else's.
    let statistics = bench.close(LegId(3));
    assert!(statistics.bridged_frames > 380, "{}", statistics.bridged_frames);
    assert_eq!((statistics.bridge_dropped, statistics.bridge_made_up), (0, 0));
    bench.lane.run(100);
    bench.heard();
    bench.lane.run(FRAME_MS * 10);
    assert!(bench.heard().iter().enumerate().all(|(leg, heard)| heard.len() == if leg == 3 { 0 } else { 10 }));
    assert!(bench.close(LegId(16)).bridged_frames > 380);
}

#[test]
fn after_a_freeze_bridged_legs_are_as_near_as_before() {
    let mut bench = Bench::new(4);
    for leg in 0..4 {
        bench.lane.command(MediaCommand::StopPlay { leg: LegId(leg), play: PlayId(leg) });
    }
    bench.lane.command(MediaCommand::Bridge { leg: LegId(0), with: Some(LegId(1)) });
    speak(&mut bench, 200);
    for milliseconds in [30, 1_000, 53] {
        bench.lane.freeze(milliseconds);
        speak(&mut bench, 50);
        bench.heard();
        for _ in 0..10 {
            bench.peers.iter_mut().for_each(Peer::speak);
            bench.lane.run(FRAME_MS);
            assert!(bench.heard().iter().all(|heard| heard.len() == 1), "one packet a frame");
        }
    }
    for leg in [0, 1] {
        let statistics = bench.close(LegId(leg));
        // A few for each freeze, and none later.
        assert!(statistics.bridge_dropped < 60 && statistics.bridge_made_up < 10, "{statistics:?}");
        assert!(statistics.bridged_frames > 350, "{}", statistics.bridged_frames);
    }
}

#[test]
fn a_bridge_needs_two_open_legs_and_ends_by_command() {
    let mut bench = Bench::new(4);
    let notes = |bench: &Bench| {
        let text = |event| match event {
            MediaEvent::Note { leg, text } if text.contains("bridged") => Some((leg.0, text)),
            _ => None,
        };
        bench.events.try_iter().filter_map(text).collect::<Vec<_>>()
    };
    let bridge = |bench: &mut Bench, leg: u64, with: Option<u64>| {
        bench.lane.command(MediaCommand::Bridge { leg: LegId(leg), with: with.map(LegId) });
        notes(bench)
    };
    for with in [9, 0] {
        let told = bridge(&mut bench, 0, Some(with));
        assert!(told.len() == 1 && told[0].1.contains("not open"), "{told:?}");
    }
    assert_eq!(bridge(&mut bench, 9, Some(0)), []);
    assert_eq!(bridge(&mut bench, 0, Some(1)).len(), 2);
    assert_eq!(bridge(&mut bench, 1, Some(0)), [], "it is");
    // Another partner ends the earlier bridge.
    let told = bridge(&mut bench, 1, Some(2));
    assert_eq!(told.iter().map(|(leg, _)| *leg).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(bridge(&mut bench, 2, None), [(1, "no longer bridged with leg-2".to_owned())]);
    assert_eq!(bridge(&mut bench, 1, None), []);
    speak(&mut bench, 10);
}

#[test]
fn rtcp_is_heard_within_a_slot() {
    let mut bench = Bench::new(20);
    let peer = &bench.peers[4];
    let report = rtcp::Written { ssrc: 9, sender: None, report: None, cname: b"peer", goodbye: true };
    let mut bytes = [0; rtcp::MAX_WRITTEN];
    let length = rtcp::write(&report, &mut bytes);
    for _ in 0..3 {
        let before = bench.lane.counters().rtcp_received;
        peer.rtp.send_to(&bytes[..length], ("127.0.0.1", peer.leg + 1)).unwrap();
        bench.lane.run(1);
        assert_eq!(bench.lane.counters().rtcp_received, before + 1);
    }
    assert_eq!(bench.close(LegId(4)).rtcp_received, 3);
}

/// Lives for some frames in which the peers speak.
fn speak(bench: &mut Bench, frames: u64) {
    for _ in 0..frames {
        bench.peers.iter_mut().for_each(Peer::speak);
        bench.lane.run(FRAME_MS);
        bench.peers.iter().for_each(Peer::drop_heard);
    }
}

#[test]
fn strangers_are_noticed_by_legs_that_have_settled_and_take_nothing() {
    let mut bench = Bench::new(10);
    speak(&mut bench, 200);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let to = SocketAddr::from(([127, 0, 0, 1], bench.peers[3].leg));
    let mut packet = [0xFF; HEADER_LENGTH + FRAME_SAMPLES];
    for sequence in 0..300 {
        let head = packet.first_chunk_mut().unwrap();
        write_header(&Header { marker: false, payload_type: 0, sequence, timestamp: 0, ssrc: 66 }, head);
        // While the socket hears its source only, the system answers strangers with an error.
        let _ = stranger.send_to(&packet, to);
        speak(&mut bench, 1);
    }
    assert!(stranger.recv(&mut packet).is_err(), "nothing is sent to it");
    let statistics = bench.close(LegId(3));
    assert_eq!(statistics.source, Some(bench.peers[3].rtp.local_addr().unwrap()));
    assert!(statistics.strangers > 200, "{} of 300 counted", statistics.strangers);
    assert_eq!((statistics.packets_received, statistics.packets_lost), (500, 0));
}

#[test]
fn a_settled_peer_that_moves_is_followed() {
    let mut bench = Bench::new(10);
    speak(&mut bench, 200);
    // To another port of its host without a word, as behind a NAT that forgot it: heard after the silence that the
    // rules ask for.
    let moved = UdpSocket::bind("127.0.0.1:0").unwrap();
    moved.set_nonblocking(true).unwrap();
    bench.peers[3].rtp = moved;
    speak(&mut bench, 200);
    let source = bench.peers[3].rtp.local_addr().unwrap();
    let statistics = bench.close(LegId(3));
    assert_eq!(statistics.source, Some(source));
    assert!(statistics.packets_received > 200 + 80, "{}", statistics.packets_received);
    // By a re-INVITE: at once, both ways.
    let moved = UdpSocket::bind("127.0.0.1:0").unwrap();
    moved.set_nonblocking(true).unwrap();
    let port = moved.local_addr().unwrap().port();
    bench.peers[4].rtp = moved;
    bench.lane.command(MediaCommand::Connect { leg: LegId(4), media: media(port) });
    for _ in 0..50 {
        bench.peers[4].speak();
        bench.lane.run(FRAME_MS);
        assert_eq!(bench.peers[4].heard().len(), 1);
    }
    let statistics = bench.close(LegId(4));
    assert_eq!((statistics.packets_received, statistics.packets_lost), (450, 0));
}
