//! Digits in audio of which packets were lost, heard as the engine hears: packets go into a leg's stream, whose jitter
//! buffer and concealment stand before the detector.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use strowger::dtmf::{Digit, Phase, Report};
use strowger::media::codec::g711::{self, Law};
use strowger::media::stream::{PacketSink, Stream, StreamConfig};
use strowger::media::{DelayBounds, FRAME, FRAME_SAMPLES, MediaEvent};
use strowger::random::Random;
use strowger::rtp::packet::{HEADER_LENGTH, Header, write_header};
use strowger::session::{Codec, Direction, LegId, NegotiatedMedia};
use strowger::time::Time;

use super::keying::Keying;
use super::sound::to_pcm;

/// The longest that the jitter buffer may hold a digit back, in ms.
const PLAYOUT: f64 = 150.0;
/// The part of the digits that must be heard.
const SHARE: f64 = 0.995;
/// And where a lost packet takes 20 of a tone's 50 ms: what is left may be shorter than any digit.
const SHARE_OF_SHORT: f64 = 0.94;

/// How packets are lost: so many of a hundred, so many in a row.
struct Loss {
    name: &'static str,
    keying: Keying,
    percent: u64,
    burst: u32,
}

const SLOW: Keying = Keying { on: 80.0, off: 80.0, jitter: 10.0, rounds: 16, ..Keying::PLAIN };

const LOSSES: &[Loss] = &[
    Loss { name: "1 %, one at a time, 80/80 ms", keying: SLOW, percent: 1, burst: 1 },
    Loss { name: "1 %, two at a time, 80/80 ms", keying: SLOW, percent: 1, burst: 2 },
    Loss { name: "3 %, one at a time, 80/80 ms", keying: SLOW, percent: 3, burst: 1 },
    Loss { name: "3 %, two at a time, 80/80 ms", keying: SLOW, percent: 3, burst: 2 },
    Loss { name: "5 %, one at a time, 80/80 ms", keying: SLOW, percent: 5, burst: 1 },
    Loss { name: "5 %, two at a time, 80/80 ms", keying: SLOW, percent: 5, burst: 2 },
    Loss {
        name: "5 %, one at a time, 120/100 ms",
        keying: Keying { on: 120.0, off: 100.0, ..SLOW },
        percent: 5,
        burst: 1,
    },
];

const SHORT: &[Loss] = &[Loss {
    name: "5 %, one at a time, 50/50 ms",
    keying: Keying { on: 50.0, off: 50.0, ..SLOW },
    percent: 5,
    burst: 1,
}];

/// What the stream sends is nobody's.
struct Nowhere;

impl PacketSink for Nowhere {
    fn rtp(&mut self, _: SocketAddr, _: &[u8]) {}
    fn rtcp(&mut self, _: SocketAddr, _: &[u8]) {}
}

/// A caller's audio on its way into a stream.
struct Caller {
    stream: Stream,
    now: Time,
    began: Time,
    sequence: u16,
    timestamp: u32,
}

impl Caller {
    fn address() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 10], 4000))
    }

    fn new() -> Self {
        let now = Time::from_micros(1_700_000_000_000_000);
        let config =
            StreamConfig { rtp_timeout: Duration::from_secs(30), in_band: true, delay: DelayBounds::default() };
        let mut stream = Stream::new(LegId(1), config, Random::from_number(5), now);
        let media = NegotiatedMedia {
            remote_rtp: Self::address(),
            remote_rtcp: SocketAddr::from(([192, 0, 2, 10], 4001)),
            codec: Codec::Pcma,
            send_payload_type: 8,
            receive_payload_types: vec![(8, Codec::Pcma)],
            send_telephone_event: None,
            receive_telephone_events: Vec::new(),
            direction: Direction::SendRecv,
            ptime_ms: 20,
            send_dtx: false,
            rtcp_mux: false,
            srtp: None,
        };
        stream.connect(media, now);
        Caller { stream, now, began: now, sequence: 1, timestamp: 160 }
    }

    /// The next frame; it comes, or not. What was heard until then is noted.
    fn frame(&mut self, samples: &[i16], lost: bool, heard: &mut Vec<(Digit, f64)>) {
        if !lost {
            let mut packet = vec![0; HEADER_LENGTH];
            let header =
                Header { marker: false, payload_type: 8, sequence: self.sequence, timestamp: self.timestamp, ssrc: 77 };
            write_header(&header, packet.first_chunk_mut().expect("a header's length"));
            packet.extend(samples.iter().map(|sample| g711::encode(Law::A, *sample)));
            self.stream.receive_rtp(&packet, Self::address(), self.now);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME_SAMPLES as u32);
        self.now += FRAME;
        self.stream.tick(self.now, 1, &mut Nowhere);
        while let Some(event) = self.stream.poll_event() {
            if let MediaEvent::Tone { report: Report { digit, phase: Phase::Start, at, .. }, .. } = event {
                heard.push((digit, at.since(self.began).as_secs_f64() * 1000.0));
            }
        }
    }
}

/// Digits pressed, heard and imagined.
fn hear(loss: &Loss) -> (usize, usize, usize) {
    let mut random = Random::from_number(loss.percent * 100 + u64::from(loss.burst) * 10 + loss.keying.on as u64);
    let scene = loss.keying.press(&mut random);
    let mut caller = Caller::new();
    let mut heard = Vec::new();
    let mut losing = 0;
    for frame in to_pcm(&scene.samples).chunks_exact(FRAME_SAMPLES) {
        if losing == 0 && random.below(100 * u64::from(loss.burst)) < loss.percent {
            losing = loss.burst;
        }
        caller.frame(frame, losing > 0, &mut heard);
        losing = losing.saturating_sub(1);
    }
    let pressed = scene.presses.len();
    let mut found = 0;
    for press in &scene.presses {
        let during = press.began..=press.ended + PLAYOUT;
        if let Some(at) = heard.iter().position(|(digit, at)| *digit == press.digit && during.contains(at)) {
            heard.remove(at);
            found += 1;
        }
    }
    (pressed, found, heard.len())
}

/// Of all digits together so large a part must be heard, and no more imagined than may be missed.
fn keep(losses: &[Loss], share: f64) {
    let (mut all_pressed, mut all_heard, mut all_imagined) = (0, 0, 0);
    let mut told = String::new();
    for loss in losses {
        let (pressed, heard, imagined) = hear(loss);
        let _ = write!(told, "\n  {}: {heard} of {pressed} heard, {imagined} imagined", loss.name);
        all_pressed += pressed;
        all_heard += heard;
        all_imagined += imagined;
    }
    let wrong = (all_pressed - all_heard).max(all_imagined);
    assert!(
        wrong as f64 <= (1.0 - share) * all_pressed as f64,
        "{all_heard} of {all_pressed} digits heard, {all_imagined} imagined:{told}"
    );
}

#[test]
fn lost_packets_lose_no_digits() {
    keep(LOSSES, SHARE);
}

#[test]
fn lost_packets_lose_few_short_digits() {
    keep(SHORT, SHARE_OF_SHORT);
}
