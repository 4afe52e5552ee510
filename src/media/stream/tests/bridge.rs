//! Two legs that talk, each with a telephone at its far end: four streams on one virtual clock, the telephones' own
//! clocks fast or slow. Tones that one telephone says are measured where the other one hears them.

use super::secure::key;
use super::*;
use crate::session::{SrtpKeys, SrtpSuite};

/// Places of the four: a telephone and its leg, a leg and its telephone.
const CALLER: usize = 0;
const NEAR: usize = 1;
const FAR: usize = 2;
const CALLEE: usize = 3;

struct Node {
    stream: Stream,
    /// Virtual µs of its next tick, and between two.
    due: f64,
    period: f64,
    inbox: Vec<Vec<u8>>,
    events: Vec<MediaEvent>,
    /// Headers of what it sent, and the bytes of their payloads.
    sent: Vec<(Header, Vec<u8>)>,
}

struct World {
    nodes: [Node; 4],
    /// µs.
    now: f64,
    /// Packets of which one is lost on the way to the near leg; 0: none.
    lose_every: u16,
}

fn address(place: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, place as u8 + 1], 4_000))
}

fn at(now: f64) -> Time {
    Time::from_micros(1_700_000_000_000_000 + now as u64)
}

fn agreed(place: usize, codec: Codec) -> NegotiatedMedia {
    let remote = address(place ^ 1);
    NegotiatedMedia {
        remote_rtcp: SocketAddr::new(remote.ip(), 4_001),
        codec,
        send_payload_type: 96,
        receive_payload_types: vec![(96, codec)],
        send_telephone_event: Some(EventFormat { payload_type: 101, clock_rate: codec.clock_rate() }),
        receive_telephone_events: vec![EventFormat { payload_type: 101, clock_rate: codec.clock_rate() }],
        ..NegotiatedMedia::plain(remote)
    }
}

/// µs into a frame in which each of the four ticks: the legs' slots are 7 ms apart.
const SLOTS: [f64; 4] = [1_300.0, 4_000.0, 11_000.0, 17_700.0];

impl World {
    /// A call over these codecs, not bridged yet.
    fn unbridged(near: Codec, far: Codec) -> World {
        let nodes = [near, near, far, far].into_iter().enumerate().map(|(place, codec)| {
            let config = StreamConfig { rtp_timeout: Duration::ZERO, in_band: false, delay: DelayBounds::default() };
            let mut stream = Stream::new(LegId(place as u64), config, Random::from_number(place as u64 + 1), at(0.0));
            stream.connect(agreed(place, codec), at(0.0));
            let (due, period) = (SLOTS[place], 20_000.0);
            Node { stream, due, period, inbox: Vec::new(), events: Vec::new(), sent: Vec::new() }
        });
        let nodes: Vec<Node> = nodes.collect();
        World { nodes: nodes.try_into().unwrap_or_else(|_| panic!()), now: 0.0, lose_every: 0 }
    }

    fn new(near: Codec, far: Codec) -> World {
        let mut world = World::unbridged(near, far);
        world.bridge();
        world
    }

    fn bridge(&mut self) {
        self.nodes[NEAR].stream.bridge();
        self.nodes[FAR].stream.bridge();
        self.prepare();
    }

    fn prepare(&mut self) {
        let [_, near, far, _] = &mut self.nodes;
        near.stream.prepare_for(&far.stream);
        far.stream.prepare_for(&near.stream);
    }

    fn stream(&mut self, place: usize) -> &mut Stream {
        &mut self.nodes[place].stream
    }

    /// Negotiates anew.
    fn connect(&mut self, place: usize, change: impl FnOnce(&mut NegotiatedMedia)) {
        let codec = self.nodes[place].stream.media.as_ref().unwrap().codec;
        let (mut media, now) = (agreed(place, codec), at(self.now));
        change(&mut media);
        self.nodes[place].stream.connect(media, now);
        self.prepare();
    }

    /// A tick of the stream that is due first.
    fn step(&mut self, frames: u32) {
        let place = (0..4).min_by(|a, b| self.nodes[*a].due.total_cmp(&self.nodes[*b].due)).unwrap();
        let [_, near, far, _] = &mut self.nodes;
        match place {
            NEAR => near.stream.take_from(&mut far.stream),
            FAR => far.stream.take_from(&mut near.stream),
            _ => {}
        }
        let node = &mut self.nodes[place];
        self.now = self.now.max(node.due);
        let now = at(self.now);
        for packet in std::mem::take(&mut node.inbox) {
            node.stream.receive_rtp(&packet, address(place ^ 1), now);
        }
        let mut wire = Wire::default();
        node.stream.tick(now, frames, &mut wire);
        node.due += node.period * f64::from(frames);
        node.events.extend(std::iter::from_fn(|| node.stream.poll_event()));
        for (to, bytes) in wire.rtp {
            assert_eq!(to, address(place ^ 1));
            let node = &mut self.nodes[place];
            if node.stream.srtp.is_none() {
                let packet = Packet::parse(&bytes).unwrap();
                node.sent.push((packet.header, packet.payload.to_vec()));
            }
            let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
            let lost = place == CALLER && self.lose_every > 0 && sequence.is_multiple_of(self.lose_every);
            if !lost {
                self.nodes[place ^ 1].inbox.push(bytes);
            }
        }
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + ms as f64 * 1_000.0;
        while self.nodes.iter().any(|node| node.due < end) {
            self.step(1);
        }
        self.now = end;
    }

    /// A telephone says a tone from now on.
    fn say(&mut self, place: usize, hz: f64) {
        let rate = self.nodes[place].stream.media.as_ref().unwrap().codec.sample_rate();
        let samples: Vec<i16> = (0..rate as usize * 2).map(|n| (sine(hz, n, rate) * LEVEL) as i16).collect();
        let clip = Arc::new(Clip::at_rate(samples, rate));
        self.stream(place).play(PlayId(1), vec![clip], true);
    }

    /// What a place hears within the next so many ms, and the rate.
    fn hear(&mut self, place: usize, ms: u64) -> (Vec<i16>, u32) {
        self.stream(place).capture(MAX_CAPTURE_FRAMES);
        self.run(ms);
        let heard = self.stream(place).capture.take().unwrap().heard;
        (heard.samples, heard.sample_rate)
    }

    /// Level in dB, beside what was said, of a tone that a place hears in the next second; and of all else there.
    fn measure(&mut self, place: usize, hz: f64) -> (f64, f64) {
        let (samples, rate) = self.hear(place, 1_000);
        level(&samples, hz, rate)
    }

    /// Presses that began at a place, and how long each was, in ms.
    fn presses(&self, place: usize, way: Way) -> Vec<(char, u64)> {
        let reports = self.nodes[place].events.iter().filter_map(|event| match event {
            MediaEvent::Tone { report, .. } if report.way == way => Some(report),
            _ => None,
        });
        let ended = |report: &Report| match report.phase {
            Phase::End { duration } => Some((report.digit.as_char(), duration.as_millis() as u64)),
            Phase::Start => None,
        };
        reports.filter_map(ended).collect()
    }

    fn assert_untroubled(&self) {
        for place in [NEAR, FAR] {
            let statistics = self.nodes[place].stream.statistics();
            assert_eq!((statistics.bridge_dropped, statistics.bridge_made_up), (0, 0), "leg {place}");
        }
    }
}

/// Loudness of what is said: −10 dB of full scale.
const LEVEL: f64 = 10_362.0;

fn sine(hz: f64, n: usize, rate: u32) -> f64 {
    (n as f64 * hz / f64::from(rate) * std::f64::consts::TAU).sin()
}

/// By Goertzel: level of a tone in dB beside [`LEVEL`], and of what is left without it.
fn level(samples: &[i16], hz: f64, rate: u32) -> (f64, f64) {
    let coefficient = 2.0 * (std::f64::consts::TAU * hz / f64::from(rate)).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for sample in samples {
        (s1, s2) = (f64::from(*sample) + coefficient * s1 - s2, s1);
    }
    let count = samples.len().max(1) as f64;
    let tone = 2.0 * (s1 * s1 + s2 * s2 - coefficient * s1 * s2) / (count * count);
    let all = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / count;
    let db = |power: f64| 10.0 * (power.max(1e-3) / (LEVEL * LEVEL / 2.0)).log10();
    (db(tone), db(all - tone))
}

/// Packets follow each other: sequence by one, timestamps by what was in them; pieces of what belongs to no event.
fn assert_continuous(sent: &[(Header, Vec<u8>)], units_a_byte: f64) {
    for pair in sent.windows(2) {
        let ((before, payload), (after, _)) = (&pair[0], &pair[1]);
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        assert_eq!(f64::from(after.timestamp.wrapping_sub(before.timestamp)), payload.len() as f64 * units_a_byte);
    }
}

#[test]
fn a_tone_at_one_end_is_heard_at_the_other_whatever_the_codecs() {
    use Codec::{G722, L16, Opus, Pcma, Pcmu};
    let pairs = [(Pcmu, Pcma), (G722, Pcmu), (Opus, Pcmu), (L16, Opus), (Pcmu, Pcmu), (G722, G722)];
    for (near, far) in pairs {
        let mut world = World::new(near, far);
        world.say(CALLER, 1_000.0);
        world.say(CALLEE, 650.0);
        world.run(600);
        for (place, hz) in [(CALLEE, 1_000.0), (CALLER, 650.0)] {
            let (tone, rest) = world.measure(place, hz);
            assert!(tone.abs() < 1.0 && rest < -20.0, "{near:?}-{far:?} at {place}: {tone:.2} dB, rest {rest:.1} dB");
        }
        world.assert_untroubled();
        // Wide-band audio crosses where both can.
        let wide = near.sample_rate() == 16_000 && far.sample_rate() == 16_000;
        world.say(CALLER, 6_000.0);
        world.run(300);
        let (tone, _) = world.measure(CALLEE, 6_000.0);
        if wide {
            assert!(tone > -6.0, "{near:?}-{far:?}: 6 kHz at {tone:.1} dB");
        }
    }
}

#[test]
fn a_frame_waits_for_less_than_a_tick() {
    // The legs' slots, either one first.
    for (near, far) in [(4_000.0, 5_000.0), (4_000.0, 11_000.0), (4_000.0, 3_000.0), (4_000.0, 4_000.0)] {
        let mut world = World::new(Codec::Pcmu, Codec::Pcma);
        (world.nodes[NEAR].due, world.nodes[FAR].due) = (near, far);
        world.run(1_000);
        world.say(CALLER, 1_000.0);
        world.stream(NEAR).capture(100);
        world.nodes[FAR].sent.clear();
        let began = world.now;
        world.run(500);
        let onset = |samples: &[i16]| samples.iter().position(|sample| sample.abs() > 1_000).unwrap() as f64 / 8.0;
        let heard = world.stream(NEAR).capture.take().unwrap().heard.samples;
        let said: Vec<i16> =
            world.nodes[FAR].sent.iter().flat_map(|(_, p)| p.iter().map(|b| g711::decode(Law::A, *b))).collect();
        // Frame 0 of both is that of the first tick after `began`.
        let offset = |slot: f64| ((slot - began) / 1_000.0).rem_euclid(20.0);
        let waited = (onset(&said) + offset(far)) - (onset(&heard) + offset(near));
        assert!((-0.5..=20.5).contains(&waited), "{near} {far}: {waited} ms");
        world.assert_untroubled();
    }
}

#[test]
fn packets_are_as_long_as_each_peer_asked_for() {
    for (near, far) in [(10, 60), (60, 10), (20, 30)] {
        let mut world = World::new(Codec::Pcma, Codec::G722);
        for (place, ptime) in [(CALLER, near), (NEAR, near), (FAR, far), (CALLEE, far)] {
            world.connect(place, |media| media.ptime_ms = ptime);
        }
        world.say(CALLER, 1_000.0);
        world.say(CALLEE, 650.0);
        world.run(1_500);
        for (place, hz) in [(CALLEE, 1_000.0), (CALLER, 650.0)] {
            let (tone, rest) = world.measure(place, hz);
            assert!(tone.abs() < 1.0 && rest < -20.0, "{near}/{far} ms at {place}: {tone:.2} dB, {rest:.1} dB");
        }
        for (place, ptime) in [(NEAR, near), (FAR, far)] {
            let sent = &world.nodes[place].sent;
            assert!(sent.iter().all(|(_, payload)| payload.len() == ptime as usize * 8), "{ptime}");
            assert_continuous(sent, 1.0);
        }
        world.assert_untroubled();
    }
}

#[test]
fn digits_cross_with_their_length_and_without_the_tone_beside_them() {
    for (near, far) in [(Codec::Pcmu, Codec::Pcma), (Codec::Opus, Codec::Pcmu), (Codec::G722, Codec::Opus)] {
        let mut world = World::new(near, far);
        world.stream(CALLEE).detect_in_band(true);
        world.say(CALLEE, 650.0);
        world.run(500);
        world.stream(CALLER).send_tones(1, digits("147#"), 180, 80);
        world.run(2_000);
        let pressed = world.presses(CALLEE, Way::TelephoneEvent);
        assert_eq!(pressed.iter().map(|(digit, _)| *digit).collect::<String>(), "147#", "{near:?}-{far:?}");
        assert!(pressed.iter().all(|(_, ms)| ms.abs_diff(180) <= 20), "{near:?}-{far:?}: {pressed:?}");
        assert_eq!(world.presses(CALLEE, Way::InBand), [], "{near:?}-{far:?}");
        assert_eq!(world.presses(NEAR, Way::TelephoneEvent).len(), 4, "still told");
        let (tone, _) = world.measure(CALLER, 650.0);
        assert!(tone.abs() < 1.0, "the other way nothing is missing: {tone:.1}");
    }
}

#[test]
fn digits_cross_as_tones_where_events_were_not_agreed() {
    for far in [Codec::Pcma, Codec::G722, Codec::Opus] {
        let mut world = World::new(Codec::Pcmu, far);
        world.connect(FAR, |media| media.send_telephone_event = None);
        world.stream(CALLEE).detect_in_band(true);
        world.say(CALLER, 1_000.0);
        world.run(500);
        world.stream(CALLER).send_tones(1, digits("19#"), 120, 100);
        world.run(1_500);
        let pressed = world.presses(CALLEE, Way::InBand);
        assert_eq!(pressed.iter().map(|(digit, _)| *digit).collect::<String>(), "19#", "{far:?}");
        assert!(pressed.iter().all(|(_, ms)| ms.abs_diff(120) <= 30), "{far:?}: {pressed:?}");
        let (tone, _) = world.measure(CALLEE, 1_000.0);
        assert!(tone.abs() < 1.0, "{far:?}: afterwards it talks on: {tone:.1} dB");
    }
}

#[test]
fn the_tone_that_a_telephone_sends_besides_its_events_is_not_heard() {
    let mut world = World::new(Codec::Pcmu, Codec::Pcmu);
    world.stream(CALLEE).detect_in_band(true);
    // Events by themselves, the tone in audio: two senders with one telephone's address.
    let mut tones = ToneGenerator::new(digits("5"), 160, 60);
    let mut sender = crate::dtmf::EventSender::new(digits("5"), 160, 60);
    let mut ready = [0; FRAME_SAMPLES];
    world.run(500);
    for frame in 0..60u32 {
        let inbox = &mut world.nodes[NEAR].inbox;
        let mut send = |kind: u8, timestamp: u32, marker: bool, payload: &[u8], ssrc: u32| {
            let mut head = [0; HEADER_LENGTH];
            let sequence = 500 + frame as u16;
            write_header(&Header { marker, payload_type: kind, sequence, timestamp, ssrc }, &mut head);
            inbox.push([&head[..], payload].concat());
        };
        if frame >= 20 {
            tones.fill(&mut ready);
            if let Some(event) = sender.next() {
                send(101, 9_000 + event.timestamp_offset, event.marker, &event.payload, 7);
            }
        }
        let audio: Vec<u8> = ready.iter().map(|sample| g711::encode(Law::Mu, *sample)).collect();
        send(96, frame * 160, frame == 0, &audio, 8);
        let due = world.nodes[CALLER].due;
        world.nodes[CALLER].due = f64::MAX;
        world.run(20);
        world.nodes[CALLER].due = due;
    }
    assert_eq!(world.presses(CALLEE, Way::TelephoneEvent).len(), 1);
    assert_eq!(world.presses(CALLEE, Way::InBand), []);
}

#[test]
fn prompts_and_tones_of_a_leg_go_first() {
    let mut world = World::new(Codec::Pcmu, Codec::Pcma);
    world.say(CALLER, 1_000.0);
    world.run(500);
    world.say(FAR, 400.0);
    world.run(200);
    let (prompt, rest) = world.measure(CALLEE, 400.0);
    assert!(prompt.abs() < 1.0 && rest < -20.0, "{prompt:.1} dB, beside it {rest:.1} dB");
    // What is pressed meanwhile is not sent later.
    world.stream(CALLER).send_tones(1, digits("1"), 100, 100);
    world.run(400);
    world.stream(FAR).stop_play(PlayId(1));
    world.run(200);
    let (tone, rest) = world.measure(CALLEE, 1_000.0);
    assert!(tone.abs() < 1.0 && rest < -20.0, "{tone:.1} dB, beside it {rest:.1} dB");
    assert_eq!(world.presses(CALLEE, Way::TelephoneEvent), []);
    world.stream(FAR).send_tones(1, digits("8"), 100, 100);
    world.stream(CALLER).send_tones(1, digits("3"), 100, 100);
    world.run(1_000);
    let pressed: String = world.presses(CALLEE, Way::TelephoneEvent).iter().map(|(digit, _)| *digit).collect();
    assert_eq!(pressed, "83", "the leg's own first, then the press");
}

#[test]
fn silence_crosses_as_silence_on_a_clock_that_goes_on() {
    let mut world = World::new(Codec::Pcmu, Codec::Pcma);
    world.run(500);
    world.nodes[FAR].sent.clear();
    world.say(CALLER, 1_000.0);
    world.run(500);
    // It says nothing at all, as in a pause of DTX.
    world.nodes[CALLER].due = f64::MAX;
    world.run(1_000);
    let (samples, _) = world.hear(CALLEE, 500);
    assert!(samples.iter().all(|sample| sample.abs() < 100));
    assert_continuous(&world.nodes[FAR].sent, 1.0);
    assert_eq!(world.nodes[FAR].sent.len(), 100);
    world.assert_untroubled();
    // A peer that would rather hear nothing gets little.
    let mut world = World::new(Codec::Pcmu, Codec::Opus);
    world.connect(FAR, |media| media.send_dtx = true);
    world.say(CALLER, 1_000.0);
    world.run(1_000);
    world.nodes[CALLER].due = f64::MAX;
    world.run(1_000);
    world.nodes[FAR].sent.clear();
    world.run(4_000);
    let count = world.nodes[FAR].sent.len();
    assert!((8..=12).contains(&count), "{count} packets in 4 s");
    world.nodes[CALLER].due = world.now;
    world.run(500);
    let (tone, _) = world.measure(CALLEE, 1_000.0);
    assert!(tone.abs() < 1.0, "{tone:.1} dB after the pause");
}

#[test]
fn a_hold_is_silence_and_what_was_said_in_it_is_not_said_later() {
    let mut world = World::new(Codec::Pcmu, Codec::G722);
    world.say(CALLER, 1_000.0);
    world.say(CALLEE, 650.0);
    world.run(500);
    // The callee's side is on hold: we send nothing there, and hear nothing of it.
    world.connect(FAR, |media| media.direction = Direction::Inactive);
    world.run(400);
    world.nodes[FAR].sent.clear();
    let (samples, _) = world.hear(CALLER, 500);
    assert!(samples.iter().all(|sample| sample.abs() < 100), "silence for the caller");
    assert_eq!(world.nodes[FAR].sent.len(), 0);
    world.connect(FAR, |_| {});
    world.run(400);
    for (place, hz) in [(CALLEE, 1_000.0), (CALLER, 650.0)] {
        let (tone, rest) = world.measure(place, hz);
        assert!(tone.abs() < 1.0 && rest < -20.0, "at {place}: {tone:.1} dB, {rest:.1} dB");
    }
    world.assert_untroubled();
}

#[test]
fn before_the_other_is_connected_and_after_its_end_there_is_silence() {
    let mut world = World::new(Codec::Pcmu, Codec::Pcma);
    world.say(CALLER, 1_000.0);
    let (early, callee) = (world.nodes[FAR].due, world.nodes[CALLEE].due);
    let media = world.nodes[FAR].stream.media.take();
    (world.nodes[FAR].due, world.nodes[CALLEE].due) = (f64::MAX, f64::MAX);
    world.run(3_000);
    let (samples, _) = world.hear(CALLER, 500);
    assert!(samples.iter().all(|sample| sample.abs() < 20));
    assert_continuous(&world.nodes[NEAR].sent, 1.0);
    // It answers: nothing old is heard.
    world.nodes[FAR].stream.media = media;
    (world.nodes[FAR].due, world.nodes[CALLEE].due) = (world.now + early, world.now + callee);
    world.say(CALLER, 650.0);
    world.run(300);
    let (tone, rest) = world.measure(CALLEE, 650.0);
    assert!(tone.abs() < 1.0 && rest < -20.0, "{tone:.1} dB, {rest:.1} dB");
    world.stream(NEAR).unbridge();
    world.stream(FAR).unbridge();
    world.run(300);
    let (samples, _) = world.hear(CALLEE, 500);
    assert!(samples.iter().all(|sample| sample.abs() < 20));
    assert_continuous(&world.nodes[FAR].sent, 1.0);
}

#[test]
fn codecs_may_change_while_they_talk() {
    let mut world = World::new(Codec::G722, Codec::Pcmu);
    world.say(CALLER, 1_000.0);
    world.say(CALLEE, 650.0);
    world.run(500);
    // The far end is negotiated anew, and the caller uses the other codec that was agreed with him.
    for place in [FAR, CALLEE] {
        world.connect(place, |media| {
            (media.codec, media.send_payload_type) = (Codec::L16, 98);
            media.receive_payload_types = vec![(98, Codec::L16)];
        });
    }
    world.connect(NEAR, |media| media.receive_payload_types = vec![(96, Codec::G722), (8, Codec::Pcma)]);
    world.connect(CALLER, |media| (media.codec, media.send_payload_type) = (Codec::Pcma, 8));
    world.say(CALLEE, 650.0);
    world.run(500);
    for (place, hz) in [(CALLEE, 1_000.0), (CALLER, 650.0)] {
        let (tone, rest) = world.measure(place, hz);
        assert!(tone.abs() < 1.0 && rest < -20.0, "at {place}: {tone:.1} dB, {rest:.1} dB");
    }
    world.assert_untroubled();
}

#[test]
fn one_leg_is_encrypted_and_the_other_is_not() {
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let mut world = World::new(Codec::Pcma, Codec::Pcmu);
    for (place, ours, theirs) in [(CALLER, 1, 2), (NEAR, 2, 1)] {
        let keys = SrtpKeys { send: key(suite, ours), receive: key(suite, theirs) };
        world.connect(place, |media| media.srtp = Some(keys));
    }
    world.say(CALLER, 1_000.0);
    world.say(CALLEE, 650.0);
    world.run(600);
    for (place, hz) in [(CALLEE, 1_000.0), (CALLER, 650.0)] {
        let (tone, rest) = world.measure(place, hz);
        assert!(tone.abs() < 1.0 && rest < -20.0, "at {place}: {tone:.1} dB, {rest:.1} dB");
    }
    world.stream(CALLER).send_tones(1, digits("1"), 100, 100);
    world.stream(CALLEE).send_tones(1, digits("2"), 100, 100);
    world.run(600);
    assert_eq!(world.presses(CALLEE, Way::TelephoneEvent).len(), 1);
    assert_eq!(world.presses(CALLER, Way::TelephoneEvent).len(), 1);
    assert_eq!(world.nodes[NEAR].stream.statistics().undecrypted, 0);
}

#[test]
fn telephones_with_fast_and_slow_clocks_never_drift_apart() {
    for (caller, callee) in [(200.0, -200.0), (-200.0, 200.0)] {
        let mut world = World::new(Codec::Pcmu, Codec::Pcma);
        for (place, ppm) in [(CALLER, caller), (CALLEE, callee)] {
            world.nodes[place].period = 20_000.0 * (1.0 - ppm / 1e6);
        }
        world.say(CALLER, 1_000.0);
        world.run(1_000);
        for _ in 0..10 {
            world.run(59_000);
            let (tone, _) = world.measure(CALLEE, 1_000.0);
            assert!(tone > -1.5, "{tone:.1} dB");
            for place in [NEAR, FAR, CALLEE] {
                let statistics = world.nodes[place].stream.statistics();
                assert!(statistics.playout_delay_ms < 70.0, "{}", statistics.playout_delay_ms);
                assert!(statistics.concealed_ms < 100.0, "{}", statistics.concealed_ms);
            }
        }
        world.assert_untroubled();
        assert!(world.nodes[FAR].stream.statistics().bridged_frames > 29_900);
    }
}

#[test]
fn lost_packets_of_one_end_are_concealed_for_the_other() {
    let mut world = World::new(Codec::Pcmu, Codec::Pcma);
    world.lose_every = 20;
    world.say(CALLER, 1_000.0);
    world.run(1_000);
    world.nodes[FAR].sent.clear();
    let (tone, rest) = world.measure(CALLEE, 1_000.0);
    assert!(tone.abs() < 1.0 && rest < -15.0, "{tone:.1} dB, {rest:.1} dB");
    assert_continuous(&world.nodes[FAR].sent, 1.0);
    assert!(world.nodes[NEAR].stream.statistics().concealed_ms >= 40.0);
    world.assert_untroubled();
}

#[test]
fn what_a_late_machine_leaves_behind_is_gone_after_a_while() {
    let mut world = World::new(Codec::Pcmu, Codec::Pcma);
    world.say(CALLER, 1_000.0);
    world.run(1_000);
    // The near leg skips two frames and the far one none: that had nothing to say meanwhile, and gets three at once.
    world.nodes[NEAR].due += 40_000.0;
    world.run(48);
    let made_up = world.nodes[FAR].stream.statistics().bridge_made_up;
    assert!((1..=3).contains(&made_up), "{made_up}");
    world.nodes[NEAR].due -= 40_000.0;
    while world.nodes[NEAR].due < world.now {
        world.step(1);
    }
    world.run(1_000);
    let statistics = world.nodes[FAR].stream.statistics();
    assert!((1..=3).contains(&statistics.bridge_dropped), "{}", statistics.bridge_dropped);
    let waiting = world.nodes[NEAR].stream.bridge.as_ref().unwrap().waiting_now().0;
    assert!(waiting <= 1, "{waiting}");
    let (tone, rest) = world.measure(CALLEE, 1_000.0);
    assert!(tone.abs() < 1.0 && rest < -20.0, "{tone:.1} dB, {rest:.1} dB");
    assert_eq!(world.nodes[FAR].stream.statistics().bridge_dropped, statistics.bridge_dropped);
}

#[test]
fn a_bridged_frame_allocates_nothing() {
    for (near, far) in [(Codec::Pcmu, Codec::Pcma), (Codec::G722, Codec::Pcmu), (Codec::Opus, Codec::G722)] {
        let mut world = World::new(near, far);
        world.say(CALLER, 1_000.0);
        world.run(3_000);
        // The caller's last packet goes on for ever.
        world.nodes[NEAR].inbox.clear();
        let (template, payload) = world.nodes[CALLER].sent.last().cloned().unwrap();
        struct Nowhere;
        impl PacketSink for Nowhere {
            fn rtp(&mut self, _: SocketAddr, _: &[u8]) {}
            fn rtcp(&mut self, _: SocketAddr, _: &[u8]) {}
        }
        let [_, leg, other, _] = &mut world.nodes;
        let mut bytes = [0; 700];
        let length = HEADER_LENGTH + payload.len();
        bytes[HEADER_LENGTH..length].copy_from_slice(&payload);
        let units = near.clock_rate() / 50;
        let mut now = at(world.now);
        let before = other.stream.statistics().bridged_frames;
        let counted = allocation_counter::measure(|| {
            for frame in 1..200u32 {
                let header = Header {
                    sequence: template.sequence.wrapping_add(frame as u16),
                    timestamp: template.timestamp.wrapping_add(frame * units),
                    ..template
                };
                write_header(&header, bytes.first_chunk_mut().unwrap());
                now += FRAME / 2;
                leg.stream.receive_rtp(&bytes[..length], address(CALLER), now);
                leg.stream.take_from(&mut other.stream);
                leg.stream.tick(now, 1, &mut Nowhere);
                now += FRAME / 2;
                other.stream.take_from(&mut leg.stream);
                other.stream.tick(now, 1, &mut Nowhere);
            }
        });
        assert_eq!((counted.count_total, counted.bytes_total), (0, 0), "{near:?}-{far:?}");
        assert_eq!(other.stream.statistics().bridged_frames - before, 199);
    }
}

#[test]
fn whatever_happens_in_whatever_order_a_frame_is_one_packet_and_little_waits() {
    for seed in 0..6 {
        let mut random = Random::from_number(seed);
        let mut world = World::new(Codec::Pcmu, Codec::G722);
        for place in [NEAR, FAR] {
            world.say(place ^ 1, 700.0);
        }
        for step in 0..2_000 {
            let place = [NEAR, FAR][random.below(2) as usize];
            let codec = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16][random.below(4) as usize];
            match random.below(60) {
                0 => world.stream(place).play(PlayId(9), vec![clip(700, 9)], false),
                1 => world.stream(place).send_tones(2, digits("5"), 60, 60),
                2..5 => world.stream(place ^ 1).send_tones(3, digits("12"), 20 + random.below(200) as u32, 60),
                5 => world.connect(place, |media| {
                    (media.codec, media.receive_payload_types) = (codec, vec![(96, codec)]);
                    media.direction = [Direction::SendRecv, Direction::Inactive][random.below(2) as usize];
                    media.send_telephone_event = [None, Some(EventFormat::narrow(101))][random.below(2) as usize];
                }),
                6 => world.connect(place ^ 1, |media| {
                    (media.codec, media.receive_payload_types) = (codec, vec![(96, codec)]);
                }),
                7 => world.bridge(),
                8 if random.below(4) == 0 => world.stream(place).unbridge(),
                9 => world.nodes[place].due += random.below(90_000) as f64,
                10 => world.lose_every = random.below(5) as u16,
                _ => {}
            }
            let before: Vec<usize> = world.nodes.iter().map(|node| node.sent.len()).collect();
            world.step(1 + u32::from(random.below(50) == 0) * random.below(40) as u32);
            for (node, before) in world.nodes.iter().zip(before) {
                assert!(node.sent.len() <= before + 1, "seed {seed}, step {step}: a burst");
                let Some(bridge) = &node.stream.bridge else { continue };
                let (frames, presses) = bridge.waiting_now();
                assert!(frames <= 3 && presses <= 16, "seed {seed}, step {step}: {frames} frames, {presses} presses");
            }
        }
        // Everything is put right again: nothing of it is left.
        for place in [NEAR, FAR] {
            world.stream(place).stop_play(PlayId(9));
        }
        for place in [CALLER, NEAR, FAR, CALLEE] {
            let codec = if place < FAR { Codec::Pcmu } else { Codec::G722 };
            world.connect(place, |media| (media.codec, media.receive_payload_types) = (codec, vec![(96, codec)]));
        }
        world.lose_every = 0;
        world.bridge();
        world.say(CALLER, 1_000.0);
        world.run(60_000);
        let (tone, rest) = world.measure(CALLEE, 1_000.0);
        assert!(tone.abs() < 1.0 && rest < -15.0, "seed {seed}: {tone:.1} dB, {rest:.1} dB");
    }
}
