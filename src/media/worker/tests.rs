//! The media plane on loopback with real sockets and threads. Everything is awaited as an event or a packet,
//! with a limit that only a broken machine reaches.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::*;
use crate::dtmf::{Digit, Phase, Way};
use crate::media::{Captured, Clip, PlayId, StreamStatistics};
use crate::rtp::packet::{HEADER_LENGTH, Header, Packet, write_header};
use crate::rtp::rtcp::{Compound, RtcpPacket};
use crate::session::{LegId, NegotiatedMedia};

const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    plane: MediaPlane,
    events: Receiver<MediaEvent>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut MediaConfig)) -> Self {
        let mut config = MediaConfig { threads: 2, ports: 0..=0, ..MediaConfig::default() };
        change(&mut config);
        let (sender, events) = channel();
        let sink: EventSink = Box::new(move |event| {
            let _ = sender.send(event);
        });
        Bench { plane: MediaPlane::start(config, Random::from_number(1), sink).unwrap(), events }
    }

    fn send(&self, command: MediaCommand) {
        self.plane.send(command.leg().0, command).unwrap();
    }

    /// The first event that `want` takes; others are passed over.
    fn wait<T>(&self, mut want: impl FnMut(&MediaEvent) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let event = self.events.recv_timeout(end.saturating_duration_since(Instant::now())).expect("an event");
            if let Some(found) = want(&event) {
                return found;
            }
        }
    }

    fn open(&self, leg: u64) -> Result<u16, String> {
        self.send(MediaCommand::Open { leg: LegId(leg), beside: None });
        self.wait(|event| match event {
            MediaEvent::Opened { leg: LegId(id), port } if *id == leg => Some(Ok(*port)),
            MediaEvent::OpenFailed { leg: LegId(id), reason } if *id == leg => Some(Err(reason.clone())),
            _ => None,
        })
    }

    fn connect(&self, leg: u64, to: u16, change: impl FnOnce(&mut NegotiatedMedia)) {
        let mut media = NegotiatedMedia::plain(SocketAddr::from(([127, 0, 0, 1], to)));
        change(&mut media);
        self.send(MediaCommand::Connect { leg: LegId(leg), media });
    }

    fn close(&self, leg: u64) -> (StreamStatistics, Option<Vec<i16>>) {
        self.send(MediaCommand::Close { leg: LegId(leg) });
        self.wait(|event| match event {
            MediaEvent::Closed { leg: LegId(id), statistics, heard } if *id == leg => {
                Some((statistics.clone(), heard.clone().map(Captured::at_8k)))
            }
            _ => None,
        })
    }
}

/// A peer's socket.
fn socket() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn next_header(socket: &UdpSocket) -> (Header, Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2_048];
    let (length, from) = socket.recv_from(&mut buffer).expect("a packet");
    let packet = Packet::parse(&buffer[..length]).unwrap();
    (packet.header, packet.payload.to_vec(), from)
}

fn rtp(sequence: u16, payload_type: u8) -> Vec<u8> {
    let mut head = [0; HEADER_LENGTH];
    let timestamp = u32::from(sequence) * 160;
    write_header(&Header { marker: false, payload_type, sequence, timestamp, ssrc: 9 }, &mut head);
    [&head[..], &[0xFF; 160]].concat()
}

#[test]
fn two_legs_hear_each_other_play_and_press_both_ways() {
    let bench = Bench::new(|_| {});
    let (a, b) = (bench.open(1).unwrap(), bench.open(2).unwrap());
    assert!(a % 2 == 0 && b % 2 == 0 && a != b);
    bench.send(MediaCommand::Capture { leg: LegId(2), limit_frames: 5_000 });
    bench.connect(1, b, |_| {});
    bench.connect(2, a, |_| {});
    let ramp: Vec<i16> = (0..8_000).map(|n| if n / 400 % 2 == 0 { 8_031 } else { -8_031 }).collect();
    bench.send(MediaCommand::Play {
        leg: LegId(1),
        play: PlayId(5),
        clips: vec![Arc::new(Clip::new(ramp))],
        repeat: false,
    });
    bench.wait(|event| matches!(event, MediaEvent::PlayFinished { play: PlayId(5), .. }).then_some(()));
    // In-band digits are the virtual clock's: a machine that freezes cuts a tone in two, but not an event.
    for (from, to) in [(1, 2), (2, 1)] {
        let digits = vec![Digit::Four, Digit::Pound];
        bench.send(MediaCommand::SendTones { leg: LegId(from), id: from, digits, tone_ms: 100, gap_ms: 100 });
        let mut heard = Vec::new();
        bench.wait(|event| {
            if let MediaEvent::Tone { leg, report } = event
                && report.phase == Phase::Start
            {
                assert_eq!((*leg, report.way), (LegId(to), Way::TelephoneEvent));
                heard.push(report.digit);
            }
            (heard.len() == 2).then_some(())
        });
        assert_eq!(heard, [Digit::Four, Digit::Pound]);
    }
    let (statistics, heard) = bench.close(2);
    let loud = heard.unwrap().iter().filter(|sample| sample.abs() > 7_000).count();
    assert!(loud > 4_000, "{loud} of 8000 samples of the prompt");
    assert!(statistics.packets_sent > 50 && statistics.packets_received > 50);
    bench.close(1);
    let counters = bench.plane.counters();
    assert_eq!((counters.open_legs, counters.panics, counters.strangers, counters.malformed), (0, 0, 0, 0));
    assert!(counters.rtp_sent >= counters.rtp_received && counters.rtp_received > 100);
}

#[test]
fn packets_leave_on_the_grid_to_the_source_that_really_sends_and_goodbye_is_said() {
    let bench = Bench::new(|_| {});
    let port = bench.open(1).unwrap();
    let (signalled, signalled_port) = socket();
    let (real, real_port) = socket();
    let (stranger, _) = socket();
    bench.connect(1, signalled_port, |_| {});
    let first = next_header(&signalled).0;
    assert!(first.marker);
    real.send_to(&rtp(1, 0), ("127.0.0.1", port)).unwrap();
    let mut last = next_header(&real).0;
    for n in 0..25u16 {
        // What the stranger sends comes back to nobody.
        stranger.send_to(&rtp(n, 0), ("127.0.0.1", port)).unwrap();
        let (next, payload, from) = next_header(&real);
        assert_eq!((payload.len(), from.port()), (160, port));
        assert_eq!(next.sequence, last.sequence.wrapping_add(1));
        let step = next.timestamp.wrapping_sub(last.timestamp);
        assert!(step >= 160 && step % 160 == 0, "{step}");
        last = next;
    }
    let goodbye = UdpSocket::bind(("127.0.0.1", real_port + 1));
    let (statistics, _) = bench.close(1);
    assert_eq!(statistics.source, Some(SocketAddr::from(([127, 0, 0, 1], real_port))));
    assert!(statistics.strangers > 0);
    assert!(bench.plane.counters().strangers > 0);
    // Another program may hold that port; where it does not, the BYE must be there.
    if let Ok(goodbye) = goodbye {
        goodbye.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 2_048];
        loop {
            let length = goodbye.recv(&mut buffer).unwrap();
            let compound = Compound::parse(&buffer[..length]).unwrap();
            if compound.into_iter().any(|packet| matches!(packet, RtcpPacket::Goodbye { .. })) {
                break;
            }
        }
    }
}

#[test]
fn ports_run_out_with_a_reason_and_come_back() {
    // A range that is free at this moment: eight ports around an ephemeral one. Another program may take some.
    let (held, port) = socket();
    drop(held);
    let start = (port & !1).min(65_520);
    let bench = Bench::new(|config| config.ports = start..=start + 7);
    assert_eq!(bench.plane.counters().free_port_pairs, Some(4));
    let opened: Vec<u64> = (1..=4).filter(|leg| bench.open(*leg).is_ok()).collect();
    let reason = bench.open(9).unwrap_err();
    assert!(reason.contains("no RTP ports left"), "{reason}");
    assert_eq!(bench.plane.counters().open_legs, opened.len());
    for leg in &opened {
        bench.close(*leg);
    }
    assert_eq!(bench.plane.counters().free_port_pairs, Some(4));
    assert_eq!(bench.plane.counters().open_legs, 0);
    if let Some(leg) = opened.first() {
        assert!(bench.open(*leg).is_ok());
    }
}

#[test]
fn limits_and_mistakes_are_answered() {
    let bench = Bench::new(|config| config.max_legs = 1);
    bench.open(1).unwrap();
    assert_eq!(bench.open(1).unwrap_err(), "the leg is already open");
    assert_eq!(bench.open(2).unwrap_err(), "1 legs are open, which is the limit");
    // A leg that is not there: only `Close` is answered.
    bench.send(MediaCommand::Detect { leg: LegId(7), in_band: false });
    assert_eq!(bench.close(7), (StreamStatistics::default(), None));
    bench.close(1);
    bench.open(2).unwrap();
    assert_eq!(bench.plane.counters().open_failures, 2);

    let start = |change: fn(&mut MediaConfig)| {
        let mut config = MediaConfig { ports: 0..=0, threads: 1, ..MediaConfig::default() };
        change(&mut config);
        MediaPlane::start(config, Random::from_number(1), Box::new(|_| {})).err().map(|error| error.to_string())
    };
    assert_eq!(start(|_| {}), None);
    assert!(start(|config| config.threads = 257).unwrap().contains("257"));
    assert!(start(|config| config.ports = 7..=8).unwrap().contains("7-8"));
}

#[test]
fn silence_is_told_by_the_clock() {
    let bench = Bench::new(|config| config.rtp_timeout = Duration::from_millis(200));
    bench.open(1).unwrap();
    let (_peer, port) = socket();
    bench.connect(1, port, |_| {});
    let silent = bench.wait(|event| match event {
        MediaEvent::Silent { for_, .. } => Some(*for_),
        _ => None,
    });
    assert!(silent >= Duration::from_millis(200));
}

#[test]
fn a_panic_ends_one_leg_only() {
    let (sender, events) = channel();
    let sink: EventSink = Box::new(move |event| {
        // Stands for any fault in a leg's work.
        if matches!(event, MediaEvent::PlayFinished { play: PlayId(13), .. }) {
            panic!("a fault that a test makes");
        }
        let _ = sender.send(event);
    });
    let config = MediaConfig { threads: 1, ports: 0..=0, ..MediaConfig::default() };
    let bench = Bench { plane: MediaPlane::start(config, Random::from_number(1), sink).unwrap(), events };
    let (peer, port) = socket();
    bench.open(1).unwrap();
    bench.open(2).unwrap();
    bench.connect(1, port, |_| {});
    bench.connect(2, port, |_| {});
    bench.send(MediaCommand::Play { leg: LegId(1), play: PlayId(13), clips: vec![], repeat: false });
    let closed = bench.wait(|event| match event {
        MediaEvent::Closed { leg, .. } => Some(*leg),
        _ => None,
    });
    assert_eq!(closed, LegId(1));
    assert_eq!(bench.plane.counters().panics, 1);
    assert_eq!(bench.plane.counters().open_legs, 1);
    bench.send(MediaCommand::Play { leg: LegId(2), play: PlayId(14), clips: vec![], repeat: false });
    bench.wait(|event| matches!(event, MediaEvent::PlayFinished { play: PlayId(14), .. }).then_some(()));
    next_header(&peer);
}

#[test]
fn dropping_the_plane_closes_every_leg() {
    let Bench { plane, events } = Bench::new(|_| {});
    for leg in 0..20 {
        plane.send(leg, MediaCommand::Open { leg: LegId(leg), beside: None }).unwrap();
    }
    drop(plane);
    let closed = events.into_iter().filter(|event| matches!(event, MediaEvent::Closed { .. })).count();
    assert_eq!(closed, 20);
}

#[test]
fn a_hundred_legs_share_the_threads() {
    let bench = Bench::new(|_| {});
    let clip = Arc::new(Clip::new(vec![1_000; 8_000]));
    let (peer, port) = socket();
    for leg in 0..100 {
        bench.send(MediaCommand::Open { leg: LegId(leg), beside: None });
        bench.connect(leg, port, |_| {});
        let clips = vec![clip.clone()];
        bench.send(MediaCommand::Play { leg: LegId(leg), play: PlayId(leg), clips, repeat: false });
    }
    let mut finished = 0;
    bench.wait(|event| {
        finished += u32::from(matches!(event, MediaEvent::PlayFinished { .. }));
        (finished == 100).then_some(())
    });
    let counters = bench.plane.counters();
    assert!(counters.rtp_sent + counters.send_errors >= 100 * 50 - counters.skipped_frames);
    for leg in 0..100 {
        bench.close(leg);
    }
    assert_eq!(bench.plane.counters().open_legs, 0);
    drop(peer);
}

#[test]
fn legs_of_one_call_talk_on_one_thread() {
    let bench = Bench::new(|_| {});
    // All commands go with the shard of the first leg; by itself the second would be on the other thread.
    let send = |command| bench.plane.send(1, command).unwrap();
    let mut ends = Vec::new();
    for (leg, beside) in [(1, None), (2, Some(LegId(1)))] {
        let leg = LegId(leg);
        send(MediaCommand::Open { leg, beside });
        let opened = |event: &MediaEvent| match event {
            MediaEvent::Opened { leg: id, port } if *id == leg => Some(*port),
            _ => None,
        };
        let port = bench.wait(opened);
        let (socket, to) = socket();
        let media = NegotiatedMedia::plain(SocketAddr::from(([127, 0, 0, 1], to)));
        send(MediaCommand::Connect { leg, media });
        ends.push((socket, port));
    }
    send(MediaCommand::Bridge { leg: LegId(2), with: Some(LegId(1)) });
    let ((caller, port), (callee, _)) = (&ends[0], &ends[1]);
    // 0x10 is loud: it comes out at the other end, which sends back nothing but silence.
    let (mut sequence, mut loud) = (0u16, 0);
    let mut buffer = [0; 2_048];
    while loud < 20 {
        sequence += 1;
        let mut packet = [0x10; HEADER_LENGTH + 160];
        let timestamp = u32::from(sequence) * 160;
        let header = Header { marker: false, payload_type: 0, sequence, timestamp, ssrc: 5 };
        write_header(&header, packet.first_chunk_mut().unwrap());
        caller.send_to(&packet, ("127.0.0.1", *port)).unwrap();
        let length = callee.recv(&mut buffer).unwrap();
        loud += usize::from(buffer[HEADER_LENGTH..length].iter().filter(|byte| **byte == 0x10).count() > 100);
        assert!(sequence < 5_000, "nothing is heard");
    }
    for leg in [LegId(2), LegId(1)] {
        send(MediaCommand::Close { leg });
        let statistics = bench.wait(|event| match event {
            MediaEvent::Closed { leg: id, statistics, .. } if *id == leg => Some(statistics.clone()),
            _ => None,
        });
        assert_eq!(statistics.bridged_frames > 0, leg == LegId(2));
    }
}
