//! A stream on a virtual clock: every frame, packet and report of it is looked at.

use std::collections::BTreeMap;

use super::*;
use crate::dtmf::{EventReceiver, Phase, Report, ToneGenerator, Way};
use crate::media::codec::g711::{self, Law};
use crate::media::source::PROBATION_PACKETS;
use crate::media::{FRAME, FRAME_SAMPLES};
use crate::rtp::packet::{HEADER_LENGTH, Header, Packet, write_header};
use crate::rtp::rtcp::{Compound, MAX_WRITTEN, ReportBlock, RtcpPacket, SenderInfo, Written};
use crate::session::{Codec, Direction, EventFormat};

mod bridge;
mod packets;
mod quality;
mod secure;
mod silence;

const PEER: &str = "192.0.2.10:4000";

#[derive(Default)]
struct Wire {
    rtp: Vec<(SocketAddr, Vec<u8>)>,
    rtcp: Vec<(SocketAddr, Vec<u8>)>,
}

impl PacketSink for Wire {
    fn rtp(&mut self, to: SocketAddr, packet: &[u8]) {
        self.rtp.push((to, packet.to_vec()));
    }
    fn rtcp(&mut self, to: SocketAddr, packet: &[u8]) {
        self.rtcp.push((to, packet.to_vec()));
    }
}

/// A packet that was sent, in parts.
#[derive(Clone, Debug)]
struct Sent {
    to: SocketAddr,
    header: Header,
    payload: Vec<u8>,
}

/// A stream with its clock.
struct Bench {
    stream: Stream,
    now: Time,
    events: Vec<MediaEvent>,
    rtcp: Vec<(SocketAddr, Vec<u8>)>,
    /// The peer's next packet.
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

fn peer() -> SocketAddr {
    PEER.parse().unwrap()
}

fn negotiated() -> NegotiatedMedia {
    NegotiatedMedia {
        remote_rtp: peer(),
        remote_rtcp: "192.0.2.10:4001".parse().unwrap(),
        codec: Codec::Pcma,
        send_payload_type: 8,
        receive_payload_types: vec![(8, Codec::Pcma), (0, Codec::Pcmu)],
        send_telephone_event: Some(EventFormat::narrow(97)),
        receive_telephone_events: vec![EventFormat::narrow(101)],
        direction: Direction::SendRecv,
        ptime_ms: 20,
        send_dtx: false,
        rtcp_mux: false,
        srtp: None,
    }
}

impl Bench {
    fn idle() -> Self {
        let now = Time::from_micros(1_700_000_000_000_000);
        let config =
            StreamConfig { rtp_timeout: Duration::from_secs(10), in_band: true, delay: DelayBounds::default() };
        let stream = Stream::new(LegId(1), config, Random::from_number(5), now);
        Bench {
            stream,
            now,
            events: Vec::new(),
            rtcp: Vec::new(),
            sequence: 65_500,
            timestamp: u32::MAX - 3_000,
            ssrc: 77,
        }
    }

    fn new() -> Self {
        let mut bench = Bench::idle();
        bench.stream.connect(negotiated(), bench.now);
        bench
    }

    fn connect(&mut self, change: impl FnOnce(&mut NegotiatedMedia)) {
        let mut media = negotiated();
        change(&mut media);
        self.stream.connect(media, self.now);
    }

    /// A frame of `frames` frames' time passes.
    fn late_tick(&mut self, frames: u32) -> Option<Sent> {
        self.now += FRAME * frames;
        let mut wire = Wire::default();
        self.stream.tick(self.now, frames, &mut wire);
        self.events.extend(std::iter::from_fn(|| self.stream.poll_event()));
        self.rtcp.append(&mut wire.rtcp);
        assert!(wire.rtp.len() <= 1, "a burst");
        wire.rtp.pop().map(|(to, bytes)| {
            let packet = Packet::parse(&bytes).unwrap();
            Sent { to, header: packet.header, payload: packet.payload.to_vec() }
        })
    }

    fn tick(&mut self) -> Option<Sent> {
        self.late_tick(1)
    }

    fn ticks(&mut self, count: usize) -> Vec<Sent> {
        (0..count).filter_map(|_| self.tick()).collect()
    }

    fn packet(&self, payload_type: u8, payload: &[u8]) -> Vec<u8> {
        let mut head = [0; HEADER_LENGTH];
        let header =
            Header { marker: false, payload_type, sequence: self.sequence, timestamp: self.timestamp, ssrc: self.ssrc };
        write_header(&header, &mut head);
        [&head[..], payload].concat()
    }

    fn receive(&mut self, bytes: &[u8], from: SocketAddr) {
        self.stream.receive_rtp(bytes, from, self.now);
    }

    /// The peer's next audio frame.
    fn next_audio(&mut self, samples: &[i16]) -> Vec<u8> {
        let payload: Vec<u8> = samples.iter().map(|&sample| g711::encode(Law::A, sample)).collect();
        let bytes = self.packet(8, &payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(samples.len() as u32);
        bytes
    }

    fn hear(&mut self, samples: &[i16]) {
        let bytes = self.next_audio(samples);
        self.receive(&bytes, peer());
    }

    fn notes(&self) -> Vec<&str> {
        let note = |event: &'_ MediaEvent| matches!(event, MediaEvent::Note { .. });
        self.events
            .iter()
            .filter(|event| note(event))
            .map(|event| match event {
                MediaEvent::Note { text, .. } => text.as_str(),
                _ => "",
            })
            .collect()
    }

    fn reports(&self) -> Vec<Report> {
        self.events
            .iter()
            .filter_map(|event| match event {
                MediaEvent::Tone { report, .. } => Some(*report),
                _ => None,
            })
            .collect()
    }

    /// Digits that began, by the way given.
    fn digits(&self, way: Way) -> String {
        let began = |report: &&Report| report.way == way && report.phase == Phase::Start;
        self.reports().iter().filter(began).map(|report| report.digit.as_char()).collect()
    }
}

fn digits(text: &str) -> Vec<Digit> {
    text.chars().map(|c| Digit::from_char(c).unwrap()).collect()
}

fn clip(value: i16, frames: usize) -> Arc<Clip> {
    Arc::new(Clip::new(vec![value; frames * FRAME_SAMPLES]))
}

/// Packets follow each other: sequence by one, timestamp by a frame, one SSRC.
fn assert_steady(sent: &[Sent]) {
    for pair in sent.windows(2) {
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence.wrapping_add(1));
        assert_eq!(pair[1].header.timestamp, pair[0].header.timestamp.wrapping_add(160));
        assert_eq!(pair[1].header.ssrc, pair[0].header.ssrc);
    }
}

#[test]
fn nothing_is_sent_before_the_stream_is_connected() {
    let mut bench = Bench::idle();
    bench.stream.play(PlayId(1), vec![clip(504, 2)], false);
    assert!(bench.tick().is_none());
    bench.connect(|_| {});
    assert_ne!(bench.tick().unwrap().payload, [0xD5; 160], "the prompt begins with the stream");
}

#[test]
fn silence_is_sent_on_a_steady_clock_with_one_marker() {
    let mut bench = Bench::new();
    let sent = bench.ticks(500);
    assert_eq!(sent.len(), 500);
    assert_steady(&sent);
    assert_eq!(
        sent.iter().map(|packet| packet.header.marker).collect::<Vec<_>>(),
        [&[true][..], &[false; 499]].concat()
    );
    assert!(sent.iter().all(|packet| packet.to == peer() && packet.header.payload_type == 8));
    assert!(sent.iter().all(|packet| packet.payload == [0xD5; 160]));
}

#[test]
fn a_prompt_plays_in_order_and_tells_its_end_once() {
    let mut bench = Bench::new();
    bench.ticks(3);
    bench.stream.play(PlayId(7), vec![clip(504, 2), clip(1008, 1)], false);
    let levels: Vec<i16> = bench.ticks(5).iter().map(|packet| g711::decode(Law::A, packet.payload[80])).collect();
    assert_eq!(levels, [504, 504, 1008, 8, 8]);
    let ends = bench.events.iter().filter(|event| matches!(event, MediaEvent::PlayFinished { play: PlayId(7), .. }));
    assert_eq!(ends.count(), 1);
}

#[test]
fn playing_something_else_or_stopping_it_leaves_no_end_behind() {
    let mut bench = Bench::new();
    bench.stream.play(PlayId(1), vec![clip(504, 10)], true);
    bench.ticks(15);
    bench.stream.play(PlayId(2), vec![clip(1008, 10)], false);
    assert_eq!(g711::decode(Law::A, bench.tick().unwrap().payload[0]), 1008);
    bench.stream.stop_play(PlayId(1));
    assert_eq!(g711::decode(Law::A, bench.tick().unwrap().payload[0]), 1008);
    bench.stream.stop_play(PlayId(2));
    assert_eq!(bench.tick().unwrap().payload, [0xD5; 160]);
    assert!(!bench.events.iter().any(|event| matches!(event, MediaEvent::PlayFinished { .. })));
}

#[test]
fn late_frames_are_skipped_counted_and_seen_as_a_gap() {
    let mut bench = Bench::new();
    let before = bench.tick().unwrap();
    let after = bench.late_tick(50).unwrap();
    assert_eq!(after.header.timestamp, before.header.timestamp.wrapping_add(50 * 160));
    assert_eq!(after.header.sequence, before.header.sequence.wrapping_add(1));
    assert!(after.header.marker);
    assert!(!bench.tick().unwrap().header.marker);
    assert_eq!(bench.stream.statistics().skipped_frames, 49);
}

#[test]
fn a_hold_stops_sending_and_the_clock_goes_on() {
    for (direction, sends) in [(Direction::SendOnly, true), (Direction::RecvOnly, false), (Direction::Inactive, false)]
    {
        let mut bench = Bench::new();
        let before = bench.tick().unwrap();
        bench.connect(|media| media.direction = direction);
        assert_eq!(bench.ticks(100).len(), if sends { 100 } else { 0 }, "{direction:?}");
        bench.connect(|_| {});
        let after = bench.tick().unwrap();
        assert_eq!(after.header.marker, !sends);
        assert_eq!(after.header.timestamp, before.header.timestamp.wrapping_add(101 * 160));
        assert_eq!(after.header.ssrc, before.header.ssrc);
        let expected = if sends { 101 } else { 1 };
        assert_eq!(after.header.sequence, before.header.sequence.wrapping_add(expected));
    }
}

#[test]
fn an_old_style_hold_sends_nowhere_and_a_prompt_runs_on() {
    let mut bench = Bench::new();
    bench.stream.play(PlayId(1), vec![clip(504, 20)], false);
    bench.connect(|media| media.remote_rtp = "0.0.0.0:4000".parse().unwrap());
    // The stream never heard the peer, so what it knows is the address from before: that one is held to.
    bench.connect(|media| {
        media.remote_rtp = "0.0.0.0:4000".parse().unwrap();
        media.direction = Direction::Inactive;
    });
    assert!(bench.ticks(30).is_empty());
    assert!(bench.events.iter().any(|event| matches!(event, MediaEvent::PlayFinished { .. })));
}

#[test]
fn codec_payload_type_and_address_change_with_a_re_invite() {
    let mut bench = Bench::new();
    let mut sent = bench.ticks(2);
    let moved: SocketAddr = "192.0.2.99:6000".parse().unwrap();
    bench.connect(|media| {
        media.codec = Codec::Pcmu;
        media.send_payload_type = 0;
        media.remote_rtp = moved;
    });
    sent.extend(bench.ticks(2));
    assert_steady(&sent);
    assert_eq!((sent[2].to, sent[2].header.payload_type), (moved, 0));
    assert_eq!(sent[2].payload, [0xFF; 160]);
}

#[test]
fn telephone_events_are_sent_with_the_peers_number_and_the_prompt_pauses() {
    let mut bench = Bench::new();
    let ramp: Vec<i16> = (0..160 * 40).map(|n| if n / 160 % 2 == 0 { 504 } else { 1008 }).collect();
    bench.stream.play(PlayId(1), vec![Arc::new(Clip::new(ramp))], false);
    bench.ticks(3);
    bench.stream.send_tones(9, digits("5#"), 100, 100);
    let sent = bench.ticks(40);
    let events: Vec<&Sent> = sent.iter().filter(|packet| packet.header.payload_type == 97).collect();
    let mut presses: BTreeMap<u32, Vec<&Sent>> = BTreeMap::new();
    for event in &events {
        presses.entry(event.header.timestamp.wrapping_sub(sent[0].header.timestamp)).or_default().push(event);
    }
    assert_eq!(presses.keys().copied().collect::<Vec<_>>(), [0, 10 * 160]);
    for (press, code) in presses.values().zip([5, 11]) {
        assert!(press.iter().all(|packet| packet.payload.len() == 4 && packet.payload[0] == code));
        let markers: Vec<bool> = press.iter().map(|packet| packet.header.marker).collect();
        assert!(markers[0] && !markers[1..].contains(&true), "{markers:?}");
        let ends: Vec<_> = press.iter().filter(|packet| packet.payload[1] & 0x80 != 0).collect();
        assert_eq!(ends.len(), 3);
        assert!(ends.iter().all(|packet| packet.payload[2..] == 800u16.to_be_bytes()));
    }
    for pair in sent.windows(2) {
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence.wrapping_add(1));
    }
    // Sent after twenty frames; the prompt goes on with its fourth frame, after silence in the gaps.
    assert!(bench.events.contains(&MediaEvent::TonesSent { leg: LegId(1), id: 9 }));
    let levels: Vec<i16> = sent
        .iter()
        .filter(|packet| packet.header.payload_type == 8)
        .map(|packet| g711::decode(Law::A, packet.payload[0]))
        .collect();
    let prompt: Vec<i16> = levels.into_iter().filter(|level| *level != 8).collect();
    assert_eq!(prompt[..4], [1008, 504, 1008, 504]);
    // Audio lies on its own clock, whatever was sent between.
    for packet in sent.iter().enumerate().filter(|(_, packet)| packet.header.payload_type == 8) {
        let (index, packet) = packet;
        assert_eq!(packet.header.timestamp, sent[0].header.timestamp.wrapping_add(index as u32 * 160));
    }
    // Our own receiver reads what we send.
    let mut receiver = EventReceiver::new(8_000);
    let mut heard = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let now = Time::from_micros(index as u64 * 20_000);
        let arrival = crate::dtmf::event::EventArrival {
            sequence: event.header.sequence,
            timestamp: event.header.timestamp,
            marker: event.header.marker,
            payload: &event.payload,
        };
        receiver.receive(arrival, now, &mut |report: Report| heard.push(report)).unwrap();
    }
    let began: String =
        heard.iter().filter(|report| report.phase == Phase::Start).map(|report| report.digit.as_char()).collect();
    assert_eq!(began, "5#");
}

#[test]
fn tones_go_in_band_where_no_event_is_agreed_and_are_heard_by_the_other_side() {
    let mut sender = Bench::idle();
    sender.connect(|media| media.send_telephone_event = None);
    sender.stream.send_tones(3, digits("0123456789*#ABCD"), 80, 80);
    let mut receiver = Bench::new();
    for _ in 0..16 * 8 + 20 {
        let sent = sender.tick().unwrap();
        assert_eq!(sent.header.payload_type, 8);
        let samples: Vec<i16> = sent.payload.iter().map(|&byte| g711::decode(Law::A, byte)).collect();
        receiver.hear(&samples);
        receiver.tick();
    }
    assert_eq!(receiver.digits(Way::InBand), "0123456789*#ABCD");
    assert_eq!(receiver.reports().len(), 32, "a start and an end each");
    assert!(sender.events.contains(&MediaEvent::TonesSent { leg: LegId(1), id: 3 }));
}

#[test]
fn tones_that_cannot_be_sent_fail_with_a_reason() {
    let mut bench = Bench::new();
    bench.stream.send_tones(1, digits("12"), 100, 100);
    bench.ticks(2);
    bench.stream.send_tones(2, digits("3"), 100, 100);
    bench.connect(|media| media.direction = Direction::RecvOnly);
    bench.ticks(2);
    bench.connect(|_| {});
    bench.stream.send_tones(3, vec![Digit::One; 257], 100, 100);
    bench.stream.send_tones(4, vec![], 100, 100);
    bench.stream.send_tones(5, digits("4"), 100, 100);
    bench.ticks(5);
    bench.connect(|media| media.send_telephone_event = None);
    bench.ticks(5);
    let failed: Vec<u64> = bench
        .events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::TonesFailed { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [1, 2, 3, 5]);
    assert!(bench.events.contains(&MediaEvent::TonesSent { leg: LegId(1), id: 4 }));
}

#[test]
fn in_band_digits_survive_loss_reordering_and_duplicates() {
    for seed in 0..10 {
        let mut random = Random::from_number(seed);
        let mut bench = Bench::new();
        let mut generator = ToneGenerator::new(digits("159D*#0"), 120, 100);
        let mut arrivals: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
        let mut last_lost = 0;
        for frame in 0..120u64 {
            let mut samples = [0; 160];
            generator.fill(&mut samples);
            let bytes = bench.next_audio(&samples);
            // Single losses, as far apart as one in a tone; the rest comes up to 80 ms late, some of it twice.
            if frame > 5 && frame - last_lost > 12 && random.below(6) == 0 {
                last_lost = frame;
                continue;
            }
            let delay = if frame == 0 { 0 } else { random.below(5) };
            arrivals.entry(frame + delay).or_default().push(bytes.clone());
            if random.below(5) == 0 {
                arrivals.entry(frame + delay + 1).or_default().push(bytes);
            }
        }
        for frame in 0..130 {
            for bytes in arrivals.remove(&frame).unwrap_or_default() {
                bench.receive(&bytes, peer());
            }
            bench.tick();
        }
        assert_eq!(bench.digits(Way::InBand), "159D*#0", "seed {seed}");
        let statistics = bench.stream.statistics();
        assert!(statistics.duplicates > 0 && statistics.reordered > 0 && statistics.packets_lost > 0);
        assert!(statistics.late <= 12, "seed {seed}: {statistics:?}");
    }
}

#[test]
fn events_of_the_peer_are_reported_and_leave_silence_not_an_echo() {
    let mut bench = Bench::new();
    bench.stream.capture(1_000);
    let tone: Vec<i16> = (0..160).map(|n| if n / 8 % 2 == 0 { 4_000 } else { -4_000 }).collect();
    for _ in 0..10 {
        bench.hear(&tone);
        bench.tick();
    }
    let start = bench.timestamp;
    for duration in [160u16, 320, 480, 640, 800, 800, 800] {
        let end = if duration == 800 { 0x80 } else { 0 };
        let [high, low] = duration.to_be_bytes();
        bench.timestamp = start;
        let bytes = bench.packet(101, &[7, end | 10, high, low]);
        bench.sequence = bench.sequence.wrapping_add(1);
        bench.receive(&bytes, peer());
        bench.tick();
    }
    bench.timestamp = start.wrapping_add(7 * 160);
    for _ in 0..20 {
        bench.hear(&[0; 160]);
        bench.tick();
    }
    let reports = bench.reports();
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[1].phase, Phase::End { duration: Duration::from_millis(100) });
    assert_eq!(reports[0].way, Way::TelephoneEvent);
    let MediaEvent::Closed { heard: Some(heard), statistics, .. } = bench.stream.close(bench.now, &mut Wire::default())
    else {
        panic!("no capture");
    };
    // A frame of delay, ten of tone, then nothing.
    let heard = heard.samples;
    assert!(heard[160 + 16..11 * 160].iter().all(|sample| sample.abs() > 3_000));
    assert!(heard[11 * 160..].iter().all(|sample| sample.abs() <= 16), "the tone was dragged into the event");
    // The two frames in which the end was repeated carry no audio either, and lost nothing.
    assert_eq!(statistics.concealed_frames, 0);
}

#[test]
fn events_with_an_ssrc_of_their_own_are_one_press_and_leave_the_audio_alone() {
    let mut bench = Bench::new();
    let mut event_sequence = 40_000;
    let mut press = |bench: &mut Bench, digit, start| {
        for duration in [160u16, 320, 480, 640, 800, 800, 800] {
            let end = if duration == 800 { 0x80 } else { 0 };
            let [high, low] = duration.to_be_bytes();
            let audio = (bench.sequence, bench.timestamp, bench.ssrc);
            (bench.sequence, bench.timestamp, bench.ssrc) = (event_sequence, start, 4_711);
            let bytes = bench.packet(101, &[digit, end | 10, high, low]);
            (bench.sequence, bench.timestamp, bench.ssrc) = audio;
            event_sequence += 1;
            bench.receive(&bytes, peer());
            bench.hear(&[504; 160]);
            bench.tick();
        }
    };
    press(&mut bench, 8, 1_000);
    press(&mut bench, 8, 9_000);
    press(&mut bench, 3, 17_000);
    assert_eq!(bench.digits(Way::TelephoneEvent), "883");
    assert_eq!(bench.reports().len(), 6, "a start and an end each");
    let statistics = bench.stream.statistics();
    assert_eq!((statistics.packets_received, statistics.packets_lost), (42, 0));
    assert_eq!((statistics.restarts, statistics.reordered, statistics.duplicates, statistics.late), (0, 0, 0, 0));
    assert_eq!(statistics.concealed_frames, 0);
}

#[test]
fn a_late_packet_from_the_port_before_a_re_invite_keeps_no_audio_there() {
    let mut bench = Bench::new();
    bench.hear(&[504; 160]);
    assert_eq!(bench.tick().unwrap().to, peer());
    let moved: SocketAddr = "192.0.2.10:6000".parse().unwrap();
    for direction in [Direction::SendRecv, Direction::SendOnly] {
        bench.connect(|media| {
            media.remote_rtp = moved;
            media.direction = direction;
        });
        bench.hear(&[504; 160]);
        assert!(bench.ticks(200).iter().all(|sent| sent.to == moved), "{direction:?}");
    }
}

#[test]
fn the_capture_is_what_was_heard_and_bounded() {
    let mut bench = Bench::new();
    bench.stream.capture(20);
    for n in 0..100 {
        bench.hear(&[if n % 2 == 0 { 504 } else { 1008 }; 160]);
        bench.tick();
    }
    let MediaEvent::Closed { heard: Some(heard), .. } = bench.stream.close(bench.now, &mut Wire::default()) else {
        panic!("no capture");
    };
    assert_eq!((heard.sample_rate, heard.samples.len()), (8_000, 20 * 160));
    assert_eq!(heard.samples[160 + 80], 504);
    assert_eq!(heard.samples[2 * 160 + 80], 1008);
}

#[test]
fn the_stream_follows_the_real_source_and_ignores_strangers() {
    let mut bench = Bench::new();
    let nat: SocketAddr = "203.0.113.5:7000".parse().unwrap();
    let thief: SocketAddr = "198.51.100.1:7000".parse().unwrap();
    assert_eq!(bench.tick().unwrap().to, peer());
    for _ in 0..PROBATION_PACKETS {
        let bytes = bench.next_audio(&[504; 160]);
        bench.receive(&bytes, nat);
    }
    assert_eq!(bench.tick().unwrap().to, nat);
    for _ in 0..100 {
        let bytes = bench.next_audio(&[504; 160]);
        bench.receive(&bytes, nat);
        let stolen = bench.packet(8, &[1; 160]);
        bench.receive(&stolen, thief);
        bench.receive(b"not RTP at all", thief);
        assert_eq!(bench.tick().unwrap().to, nat);
    }
    let statistics = bench.stream.statistics();
    assert_eq!((statistics.strangers, statistics.malformed, statistics.source), (100, 100, Some(nat)));
    assert_eq!(statistics.packets_received, 101);
    assert!(bench.notes().iter().any(|note| note.starts_with("first RTP: PCMA from 203.0.113.5:7000")));
    let complaints = bench.notes().iter().filter(|note| note.contains("198.51.100.1")).count();
    assert!((1..=3).contains(&complaints), "{complaints} notes in two seconds: {:?}", bench.notes());
}

#[test]
fn a_payload_type_that_was_not_agreed_locks_nothing_and_is_not_heard() {
    let mut bench = Bench::new();
    let bytes = bench.packet(9, &[1; 160]);
    bench.receive(&bytes, "192.0.2.10:5555".parse().unwrap());
    assert_eq!(bench.tick().unwrap().to, peer());
    bench.hear(&[504; 160]);
    let noise = bench.packet(13, &[40]);
    bench.receive(&noise, peer());
    let statistics = bench.stream.statistics();
    assert_eq!((statistics.strangers, statistics.unknown_payload, statistics.packets_received), (1, 1, 1));
}

#[test]
fn every_agreed_codec_is_heard_whatever_we_send() {
    let mut bench = Bench::new();
    bench.stream.capture(50);
    let payload = [g711::encode(Law::Mu, 2_000); 160];
    let bytes = bench.packet(0, &payload);
    bench.receive(&bytes, peer());
    bench.ticks(8);
    let MediaEvent::Closed { heard: Some(heard), .. } = bench.stream.close(bench.now, &mut Wire::default()) else {
        panic!("no capture");
    };
    assert_eq!(heard.samples[160 + 80], g711::decode(Law::Mu, payload[0]));
}

#[test]
fn silence_of_the_peer_is_told_once_and_not_during_a_hold() {
    let silences = |bench: &Bench| bench.events.iter().filter(|e| matches!(e, MediaEvent::Silent { .. })).count();
    let mut bench = Bench::new();
    bench.ticks(499);
    assert_eq!(silences(&bench), 0);
    bench.ticks(1_000);
    assert_eq!(silences(&bench), 1);
    assert!(bench.events.contains(&MediaEvent::Silent { leg: LegId(1), for_: Duration::from_secs(10) }));
    bench.hear(&[504; 160]);
    bench.ticks(505);
    assert_eq!(silences(&bench), 2);
    for direction in [Direction::SendOnly, Direction::Inactive] {
        bench.connect(|media| media.direction = direction);
        bench.ticks(2_000);
        assert_eq!(silences(&bench), 2);
    }
    bench.connect(|_| {});
    bench.ticks(490);
    assert_eq!(silences(&bench), 2, "resumed: the peer has its time again");
    bench.ticks(20);
    assert_eq!(silences(&bench), 3);
}

#[test]
fn during_a_hold_nothing_is_heard() {
    let mut bench = Bench::new();
    bench.connect(|media| media.direction = Direction::SendOnly);
    let mut generator = ToneGenerator::new(digits("5"), 200, 100);
    for _ in 0..30 {
        let mut samples = [0; 160];
        generator.fill(&mut samples);
        bench.hear(&samples);
        bench.tick();
    }
    assert!(bench.reports().is_empty());
}

#[test]
fn a_new_ssrc_or_a_jump_is_followed() {
    let mut bench = Bench::new();
    bench.stream.capture(1_000);
    let play = |bench: &mut Bench| {
        for _ in 0..20 {
            bench.hear(&[504; 160]);
            bench.tick();
        }
    };
    play(&mut bench);
    bench.ssrc = 78;
    bench.sequence = 3;
    bench.timestamp = 9;
    play(&mut bench);
    bench.sequence = bench.sequence.wrapping_add(20_000);
    play(&mut bench);
    bench.timestamp = bench.timestamp.wrapping_add(1_000_000_000);
    play(&mut bench);
    let statistics = bench.stream.statistics();
    assert_eq!((statistics.restarts, statistics.packets_lost), (3, 0));
    let MediaEvent::Closed { heard: Some(heard), .. } = bench.stream.close(bench.now, &mut Wire::default()) else {
        panic!("no capture");
    };
    let heard_frames = heard.samples.iter().filter(|sample| **sample == 504).count() / 160;
    // Each new beginning costs its delay; the one jump of the sequence costs its first packet, too.
    assert!(heard_frames > 80 - 4 * 3, "{heard_frames}");
}

#[test]
fn reports_come_on_the_rfcs_interval_and_say_what_happened() {
    let mut bench = Bench::new();
    for n in 0..1_500 {
        if n % 10 == 9 {
            bench.next_audio(&[0; 160]);
        } else {
            bench.hear(&[504; 160]);
        }
        bench.tick();
    }
    // 30 s, on average every 4.1 s.
    assert!((5..=14).contains(&bench.rtcp.len()), "{} reports", bench.rtcp.len());
    let (to, bytes) = bench.rtcp.last().unwrap().clone();
    assert_eq!(to.to_string(), "192.0.2.10:4001");
    let mut packets = Compound::parse(&bytes).unwrap();
    let Some(RtcpPacket::SenderReport { ssrc, info, mut blocks }) = packets.next() else { panic!("no SR") };
    assert!(info.packets > 1_000 && info.octets == info.packets * 160);
    let block = blocks.next().unwrap();
    assert_eq!(block.ssrc, 77);
    assert!((24..=27).contains(&block.fraction_lost), "{}", block.fraction_lost);
    assert!((100..=150).contains(&block.cumulative_lost), "{}", block.cumulative_lost);

    // The peer reports on us: round trip, its losses; it reports what it sent: we echo that.
    let peer_ntp = rtcp::ntp(bench.now);
    let report = ReportBlock {
        ssrc,
        cumulative_lost: 4,
        jitter: 80,
        last_sr: rtcp::ntp_middle(rtcp::ntp(bench.now)),
        delay_since_last_sr: 0,
        ..ReportBlock::default()
    };
    let sender = Some(SenderInfo { ntp: peer_ntp, rtp_timestamp: 0, packets: 1, octets: 1 });
    let mut out = [0; MAX_WRITTEN];
    let what = Written { ssrc: 77, sender, report: Some(report), cname: b"x", goodbye: true };
    let length = rtcp::write(&what, &mut out);
    bench.now += Duration::from_millis(60);
    bench.stream.receive_rtcp(&out[..length], "192.0.2.10:4777".parse().unwrap(), bench.now);
    bench.stream.receive_rtcp(&out[..length], "198.51.100.1:4001".parse().unwrap(), bench.now);
    let statistics = bench.stream.statistics();
    assert_eq!((statistics.rtcp_received, statistics.strangers), (1, 1));
    assert_eq!((statistics.remote_lost, statistics.remote_jitter_ms), (Some(4), Some(10.0)));
    assert!((59.0..61.0).contains(&statistics.round_trip_ms.unwrap()));

    let mut wire = Wire::default();
    bench.now += Duration::from_millis(500);
    bench.stream.close(bench.now, &mut wire);
    let (to, bytes) = wire.rtcp.pop().unwrap();
    assert_eq!(to.to_string(), "192.0.2.10:4777", "where its RTCP came from");
    let packets: Vec<_> = Compound::parse(&bytes).unwrap().collect();
    assert_eq!(packets.last(), Some(&RtcpPacket::Goodbye { ssrc: Some(ssrc) }));
    let (RtcpPacket::SenderReport { mut blocks, .. } | RtcpPacket::ReceiverReport { mut blocks, .. }) = packets[0]
    else {
        panic!("no report");
    };
    let block = blocks.next().unwrap();
    assert_eq!(block.last_sr, rtcp::ntp_middle(peer_ntp));
    assert_eq!(block.delay_since_last_sr, 1 << 15, "half a second");
}

#[test]
fn whoever_only_listens_sends_receiver_reports() {
    let mut bench = Bench::idle();
    bench.connect(|media| media.direction = Direction::RecvOnly);
    bench.ticks(400);
    let (_, bytes) = bench.rtcp.first().expect("a report");
    assert!(matches!(Compound::parse(bytes).unwrap().next(), Some(RtcpPacket::ReceiverReport { .. })));
}

#[test]
fn a_million_random_packets_do_no_harm() {
    let mut random = Random::from_number(2_026);
    let mut bench = Bench::new();
    bench.stream.capture(100);
    let sources: Vec<SocketAddr> =
        [PEER, "192.0.2.10:4444", "203.0.113.5:7000", "198.51.100.1:9"].map(|text| text.parse().unwrap()).into();
    let mut bytes = Vec::new();
    for round in 0..1_000_000u32 {
        bytes.clear();
        bytes.extend(
            (0..random.below(if round % 64 == 0 { 2_048 } else { 48 })).map(|n| (n as u32 ^ random.u32()) as u8),
        );
        let source = sources[random.below(4) as usize];
        match random.below(4) {
            // Mostly well-formed: what is behind the first check is what is interesting.
            0 | 1 if bytes.len() >= 12 => {
                bytes[0] = 0x80 | bytes[0] & if bytes[0] & 0x40 == 0 { 0x3F } else { 0 };
                bytes[1] = [8, 0, 101, 0x80 | 101, 13, 8][random.below(6) as usize];
                if random.below(2) == 0 {
                    bytes[2..4].copy_from_slice(&(round as u16).to_be_bytes());
                    bytes[4..8].copy_from_slice(&(round * 160).to_be_bytes());
                    bytes[8..12].copy_from_slice(&7u32.to_be_bytes());
                }
                bench.stream.receive_rtp(&bytes, source, bench.now);
            }
            2 => {
                if bytes.len() >= 8 {
                    bytes[0] = 0x80 | bytes[0] & 3;
                    bytes[1] = 200 + bytes[1] % 5;
                    bytes[2] = 0;
                    bytes[3] = (bytes.len() / 4 - 1).min(255) as u8;
                    bytes.truncate(bytes.len() / 4 * 4);
                }
                bench.stream.receive_rtcp(&bytes, source, bench.now);
            }
            _ => bench.stream.receive_rtp(&bytes, source, bench.now),
        }
        if round % 16 == 0 {
            assert!(bench.tick().is_some());
            bench.events.clear();
            bench.rtcp.clear();
        }
    }
    let statistics = bench.stream.statistics();
    assert!(statistics.packets_received > 20_000, "{statistics:?}");
    assert!(statistics.malformed > 50_000 && statistics.strangers > 50_000, "{statistics:?}");
}
