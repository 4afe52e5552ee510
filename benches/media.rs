//! What a leg costs a frame: the pure part of the media plane, without sockets. `cargo bench --bench media`.
//! The allocation columns must show nothing: work for a packet allocates nothing.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use divan::{AllocProfiler, Bencher};
use strowger::media::codec::g711::{self, Law};
use strowger::media::stream::{PacketSink, Stream, StreamConfig};
use strowger::media::{Clip, DelayBounds, FRAME, FRAME_SAMPLES, PlayId};
use strowger::random::Random;
use strowger::rtp::packet::{HEADER_LENGTH, Header, write_header};
use strowger::rtp::srtp::{Inbound, MAX_OVERHEAD, MAX_PACKET, Outbound};
use strowger::session::{LegId, NegotiatedMedia, SrtpKey, SrtpSuite};
use strowger::time::Time;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Where packets go that nobody needs.
struct Nowhere;

impl PacketSink for Nowhere {
    fn rtp(&mut self, to: SocketAddr, packet: &[u8]) {
        black_box((to, packet));
    }
    fn rtcp(&mut self, to: SocketAddr, packet: &[u8]) {
        black_box((to, packet));
    }
}

struct Leg {
    stream: Stream,
    now: Time,
    packet: Vec<u8>,
    sequence: u16,
    timestamp: u32,
    peer: SocketAddr,
}

impl Leg {
    fn new(in_band: bool, sound: impl Fn(usize) -> i16) -> Self {
        let now = Time::from_micros(1_700_000_000_000_000);
        let peer = SocketAddr::from(([127, 0, 0, 1], 4_000));
        let config = StreamConfig { rtp_timeout: Duration::from_secs(30), in_band, delay: DelayBounds::default() };
        let mut stream = Stream::new(LegId(1), config, Random::from_number(1), now);
        let media = NegotiatedMedia::plain(peer);
        stream.connect(media, now);
        let prompt: Vec<i16> = (0..80_000).map(speech).collect();
        stream.play(PlayId(1), vec![Arc::new(Clip::new(prompt))], true);
        let mut packet = vec![0; HEADER_LENGTH];
        packet.extend((0..FRAME_SAMPLES).map(|n| g711::encode(Law::Mu, sound(n))));
        let mut leg = Leg { stream, now, packet, sequence: 0, timestamp: 0, peer };
        // The first packets lock, note and fill the buffer.
        (0..50).for_each(|_| leg.frame());
        leg
    }

    /// One packet in, one frame heard, one packet out.
    fn frame(&mut self) {
        self.now += FRAME;
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(FRAME_SAMPLES as u32);
        let header =
            Header { marker: false, payload_type: 0, sequence: self.sequence, timestamp: self.timestamp, ssrc: 7 };
        if let Some(head) = self.packet.first_chunk_mut::<HEADER_LENGTH>() {
            write_header(&header, head);
        }
        self.stream.receive_rtp(&self.packet, self.peer, self.now);
        self.stream.tick(self.now, 1, &mut Nowhere);
        while let Some(event) = self.stream.poll_event() {
            black_box(event);
        }
    }
}

/// Something loud with many frequencies.
fn speech(n: usize) -> i16 {
    let t = n as f64 / 8_000.0;
    let sum: f64 = [130.0, 260.0, 390.0, 1_210.0, 2_400.0].iter().map(|f| (t * f * std::f64::consts::TAU).sin()).sum();
    (sum * 3_000.0) as i16
}

#[divan::bench]
fn tick_with_prompt_no_detector(bencher: Bencher) {
    let mut leg = Leg::new(false, speech);
    bencher.bench_local(|| leg.frame());
}

#[divan::bench]
fn tick_with_prompt_detector_hears_silence(bencher: Bencher) {
    let mut leg = Leg::new(true, |_| 0);
    bencher.bench_local(|| leg.frame());
}

#[divan::bench]
fn tick_with_prompt_detector_hears_speech(bencher: Bencher) {
    let mut leg = Leg::new(true, speech);
    bencher.bench_local(|| leg.frame());
}

#[divan::bench(args = [Law::Mu, Law::A])]
fn g711_encode_frame(bencher: Bencher, law: Law) {
    let samples: Vec<i16> = (0..FRAME_SAMPLES).map(speech).collect();
    let mut bytes = [0; FRAME_SAMPLES];
    bencher.bench_local(|| g711::encode_into(law, black_box(&samples), black_box(&mut bytes)));
}

#[divan::bench(args = [Law::Mu, Law::A])]
fn g711_decode_frame(bencher: Bencher, law: Law) {
    let bytes: Vec<u8> = (0..FRAME_SAMPLES).map(|n| n as u8).collect();
    let mut samples = [0; FRAME_SAMPLES];
    bencher.bench_local(|| g711::decode_into(law, black_box(&bytes), black_box(&mut samples)));
}

/// G.711's packet of 20 ms, and room for its protection.
const PLAIN: usize = HEADER_LENGTH + FRAME_SAMPLES;

fn key(suite: SrtpSuite) -> Option<SrtpKey> {
    SrtpKey::new(suite, &vec![7; suite.material_length()], None)
}

/// A packet made and handed on, without SRTP: what [`srtp_protect`] is a multiple of.
#[divan::bench]
fn plain_packet(bencher: Bencher) {
    let mut packet = [0; PLAIN + MAX_OVERHEAD];
    let mut sequence = 0u16;
    bencher.bench_local(|| {
        number(&mut packet, &mut sequence);
        black_box(packet.get(..PLAIN));
    });
}

fn number(packet: &mut [u8; PLAIN + MAX_OVERHEAD], sequence: &mut u16) {
    *sequence = sequence.wrapping_add(1);
    let header = Header { marker: false, payload_type: 0, sequence: *sequence, timestamp: 0, ssrc: 7 };
    if let Some(head) = packet.first_chunk_mut::<HEADER_LENGTH>() {
        write_header(&header, head);
    }
}

#[divan::bench(args = SrtpSuite::ALL)]
fn srtp_protect(bencher: Bencher, suite: SrtpSuite) {
    let Some(mut outbound) = key(suite).and_then(|key| Outbound::new(&key).ok()) else { return };
    let mut packet = [0; PLAIN + MAX_OVERHEAD];
    let mut sequence = 0;
    bencher.bench_local(|| {
        number(&mut packet, &mut sequence);
        black_box(outbound.protect_rtp(&mut packet, PLAIN)).expect("a new number");
    });
}

/// Protected and opened; opening alone is the difference to [`srtp_protect`], for no packet opens twice.
#[divan::bench(args = SrtpSuite::ALL)]
fn srtp_protect_and_open(bencher: Bencher, suite: SrtpSuite) {
    let (Some(mut outbound), Some(mut inbound)) =
        (key(suite).and_then(|key| Outbound::new(&key).ok()), key(suite).and_then(|key| Inbound::new(&key, None).ok()))
    else {
        return;
    };
    let mut packet = [0; PLAIN + MAX_OVERHEAD];
    let mut plain = [0; MAX_PACKET];
    let mut sequence = 0;
    bencher.bench_local(|| {
        number(&mut packet, &mut sequence);
        let length = outbound.protect_rtp(&mut packet, PLAIN).expect("a new number");
        black_box(inbound.unprotect_rtp(&packet[..length], &mut plain)).expect("ours").len()
    });
}
