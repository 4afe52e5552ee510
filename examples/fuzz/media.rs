//! RTP, RTCP, telephone events, digits in INFO, and audio files.

use std::net::SocketAddr;
use std::time::Duration;

use strowger::dtmf::event::{EventArrival, EventReceiver};
use strowger::dtmf::info::InfoDigit;
use strowger::media::codec::{Decoder, Encoder, MAX_FRAME_BYTES, MAX_PACKET_SAMPLES};
use strowger::media::stream::{PacketSink, Stream, StreamConfig};
use strowger::media::{DelayBounds, FRAME};
use strowger::prompt::decode::{Limits, decode};
use strowger::random::Random;
use strowger::rtp::packet::Packet;
use strowger::rtp::rtcp::{Compound, RtcpPacket};
use strowger::session::{Codec, Direction, EventFormat, LegId, NegotiatedMedia};
use strowger::time::Time;

use super::Target;
use super::mutate::files;

/// Where packets go that nobody needs.
struct Nowhere;

impl PacketSink for Nowhere {
    fn rtp(&mut self, _: SocketAddr, _: &[u8]) {}
    fn rtcp(&mut self, _: SocketAddr, _: &[u8]) {}
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], 4000))
}

/// A connected leg that listens to [`peer`].
struct Leg {
    stream: Stream,
    now: Time,
    inputs: u64,
}

impl Leg {
    fn new(number: u64) -> Leg {
        let now = Time::EPOCH + Duration::from_secs(1000);
        let config =
            StreamConfig { rtp_timeout: Duration::from_secs(30), in_band: true, delay: DelayBounds::default() };
        let mut stream = Stream::new(LegId(number), config, Random::from_number(number), now);
        let media = NegotiatedMedia {
            remote_rtp: peer(),
            remote_rtcp: SocketAddr::new(peer().ip(), 4001),
            codec: Codec::Pcmu,
            send_payload_type: 0,
            receive_payload_types: vec![
                (0, Codec::Pcmu),
                (8, Codec::Pcma),
                (9, Codec::G722),
                (96, Codec::L16),
                (111, Codec::Opus),
            ],
            send_telephone_event: Some(EventFormat::narrow(101)),
            receive_telephone_events: vec![EventFormat::narrow(101)],
            direction: Direction::SendRecv,
            ptime_ms: 20,
            send_dtx: false,
            rtcp_mux: false,
            srtp: None,
        };
        stream.connect(media, now);
        Leg { stream, now, inputs: 0 }
    }

    /// Hands it one datagram; every fourth a frame passes, and now and then the call is another one.
    fn hear(&mut self, give: impl FnOnce(&mut Stream, Time)) {
        give(&mut self.stream, self.now);
        self.inputs += 1;
        if self.inputs.is_multiple_of(4) {
            self.now += FRAME;
            self.stream.tick(self.now, 1, &mut Nowhere);
            while self.stream.poll_event().is_some() {}
        }
        if self.inputs.is_multiple_of(5_000) {
            self.stream.close(self.now, &mut Nowhere);
            *self = Leg { inputs: self.inputs, ..Leg::new(self.inputs) };
        }
    }
}

fn rtp_seeds() -> Vec<Vec<u8>> {
    let fixed = |first: u8, second: u8| [first, second, 0, 7, 0, 0, 4, 0, 0xA, 0xB, 0xC, 0xD].to_vec();
    let with = |first, second, rest: &[u8]| [&fixed(first, second)[..], rest].concat();
    vec![
        with(0x80, 0x80, &[0xFF; 160]),
        with(0x80, 8, &[0xD5; 160]),
        with(0x80, 9, &[0xFA; 160]),
        with(0x80, 96, &[0x12; 640]),
        with(0x80, 111, &strowger::media::codec::opus::SILENCE),
        with(0x80, 0xE5, &[5, 10, 0, 160]),
        with(0x80, 101, &[5, 0x8A, 6, 64]),
        // Where the crate rtp 0.17.2 panics.
        vec![0x90, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xBE, 0xDE, 0, 1, 0x1F, 1, 2, 3],
        with(0x90, 0, &[0xBE, 0xDE, 0, 1, 0x11, 9, 9, 0, 7, 7]),
        with(0x90, 0, &[0x10, 0x05, 0, 1, 3, 0, 0, 0, 7]),
        with(0xB2, 0, &[0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 0, 1, 9, 9, 9, 9, 7, 7, 0, 2]),
    ]
}

/// Datagrams on the RTP port, through the check and through a whole stream.
pub fn rtp() -> Target {
    let mut leg = Leg::new(0);
    let stranger = SocketAddr::from(([198, 51, 100, 1], 9));
    let read = move |input: &[u8]| {
        let parsed = Packet::parse(input);
        if let Ok(packet) = &parsed {
            assert!(packet.payload.len() + 12 <= input.len());
        }
        let from = if input.len().is_multiple_of(5) { stranger } else { peer() };
        leg.hear(|stream, now| stream.receive_rtp(input, from, now));
        parsed.is_ok()
    };
    Target {
        name: "rtp",
        seeds: rtp_seeds(),
        spice: &[b"\xbe\xde", b"\x10\x00", b"\x00\x01", b"\xff\xff"],
        read: Box::new(read),
    }
}

/// Payloads in a codec, through one decoder, with losses between them.
fn payloads(name: &'static str, codec: Codec, spice: &'static [&'static [u8]]) -> Target {
    let mut seeds = Vec::new();
    let mut encoder = Encoder::new(codec);
    let mut out = [0; MAX_FRAME_BYTES];
    for n in 0..30 {
        let frame: Vec<i16> =
            (0..encoder.frame_samples()).map(|k| ((k * k * (n + 1)) % 9_000) as i16 - 4_500).collect();
        if let Ok(length) = encoder.encode(&frame, &mut out) {
            seeds.extend(out.get(..length).map(<[u8]>::to_vec));
        }
    }
    let mut decoder = Decoder::new(codec);
    let mut count = 0u32;
    let read = move |input: &[u8]| {
        count += 1;
        if count.is_multiple_of(500) {
            decoder = Decoder::new(codec);
        }
        let mut pcm = [0; MAX_PACKET_SAMPLES];
        match count % 7 {
            0 => drop(decoder.conceal(&mut pcm[..320])),
            1 => drop(decoder.recover(input, &mut pcm[..320])),
            _ => {}
        }
        let told = decoder.duration(input);
        let decoded = decoder.decode(input, &mut pcm);
        assert!(decoded.is_err() || decoded.ok().map(|n| n as u32) == told);
        decoded.is_ok()
    };
    Target { name, seeds, spice, read: Box::new(read) }
}

/// Opus payloads.
pub fn opus() -> Target {
    payloads("opus", Codec::Opus, &[b"\x48", b"\x4b\x83", b"\x78", b"\xfc", b"\x0b\x41\xff"])
}

/// G.722 payloads.
pub fn g722() -> Target {
    payloads("g722", Codec::G722, &[b"\xff\xff", b"\x00\x00"])
}

/// Datagrams on the RTCP port.
pub fn rtcp() -> Target {
    let report = |kind: u8, words: u16, count: u8, body: &[u8]| {
        let mut packet = vec![0x80 | count, kind, (words >> 8) as u8, words as u8, 0xA, 0xB, 0xC, 0xD];
        packet.extend_from_slice(body);
        packet
    };
    let sender = report(200, 12, 1, &[7; 44]);
    let receiver = report(201, 7, 1, &[9; 24]);
    let mut compound = receiver.clone();
    // SDES with a CNAME, then BYE with a reason.
    compound.extend_from_slice(&[0x81, 202, 0, 3, 0xA, 0xB, 0xC, 0xD, 1, 3, b'a', b'@', b'b', 0, 0, 0]);
    compound.extend_from_slice(&[0x81, 203, 0, 3, 0xA, 0xB, 0xC, 0xD, 3, b'b', b'y', b'e', 0, 0, 0, 0]);
    let seeds = vec![sender, receiver, compound, report(201, 1, 0, &[])];
    let mut leg = Leg::new(0);
    let read = move |input: &[u8]| {
        let parsed = Compound::parse(input);
        if let Ok(compound) = parsed {
            for packet in compound {
                match packet {
                    RtcpPacket::SenderReport { blocks, .. } | RtcpPacket::ReceiverReport { blocks, .. } => {
                        assert!(blocks.count() <= 31);
                    }
                    RtcpPacket::Goodbye { .. } | RtcpPacket::Other(_) => {}
                }
            }
        }
        leg.hear(|stream, now| stream.receive_rtcp(input, SocketAddr::new(peer().ip(), 4001), now));
        parsed.is_ok()
    };
    Target { name: "rtcp", seeds, spice: &[b"\x80\xc8", b"\x81\xcb", b"\x00\x00", b"\xff\xff"], read: Box::new(read) }
}

/// Telephone events: eight bytes say sequence, timestamp step, marker and pause; the rest is the payload.
pub fn dtmf_event() -> Target {
    let mut receiver = EventReceiver::new(8000);
    let mut now = Time::EPOCH + Duration::from_secs(1000);
    let mut timestamp = 0_u32;
    let read = move |input: &[u8]| {
        let Some((&[s0, s1, t0, t1, t2, marker, p0, p1], payload)) = input.split_first_chunk::<8>() else {
            return false;
        };
        now += Duration::from_millis(u64::from(u16::from_be_bytes([p0, p1])));
        timestamp = timestamp.wrapping_add(u32::from_be_bytes([0, t0, t1, t2]));
        let sequence = u16::from_be_bytes([s0, s1]);
        let packet = EventArrival { sequence, timestamp, marker: marker & 1 != 0, payload };
        let mut reports = 0;
        let taken = receiver.receive(packet, now, &mut |_| reports += 1);
        receiver.poll(now, &mut |_| reports += 1);
        assert!(reports < 100, "{reports} reports of one packet");
        if marker == 0xFF {
            receiver.reset(now, &mut |_| {});
        }
        taken.is_ok()
    };
    let head = [0, 1, 0, 0, 0, 1, 0, 20];
    let seeds = [&[5, 10, 0, 160][..], &[5, 0x8A, 3, 32], &[1, 0x80, 1, 0, 2, 0x80, 1, 0], &[15, 10, 0xFF, 0xFF]];
    let seeds = seeds.iter().map(|payload| [&head[..], payload].concat()).collect();
    Target { name: "dtmf-event", seeds, spice: &[b"\x00\x00", b"\xff\xff", b"\x80", b"\x0a"], read: Box::new(read) }
}

/// INFO: the content type up to the first line's end, then the body.
pub fn dtmf_info() -> Target {
    let read = |input: &[u8]| {
        let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let (kind, body) = input.split_at(at);
        let body = body.get(1..).unwrap_or_default();
        let parsed = InfoDigit::parse(&String::from_utf8_lossy(kind), body);
        let _ = (InfoDigit::parse_relay(body), InfoDigit::parse_plain(body));
        if let Ok(digit) = &parsed {
            assert_eq!(InfoDigit::parse_relay(digit.to_relay().as_bytes()).map(|d| d.digit), Ok(digit.digit));
            assert_eq!(InfoDigit::parse_plain(digit.to_plain().as_bytes()).map(|d| d.digit), Ok(digit.digit));
            let _ = digit.reports(Time::EPOCH);
        }
        parsed.is_ok()
    };
    let seeds = [
        "application/dtmf-relay\nSignal=5\r\nDuration=160\r\n",
        "application/dtmf\n#",
        "application/dtmf-relay;x=y\nsignal= 11\n",
    ];
    let seeds = seeds.map(|text| text.as_bytes().to_vec()).to_vec();
    Target {
        name: "dtmf-info",
        seeds,
        spice: &[b"Signal", b"Duration", b"=", b"\r\n", b"\xc3\xbc", b"99999999999"],
        read: Box::new(read),
    }
}

/// Audio files of every format, as somebody else's server may send them. A panic inside a decoder is caught by
/// [`decode`] itself, which is part of its promise; what must not happen is one outside, or no end.
pub fn prompt() -> Target {
    let limits = Limits { max_bytes: 64 * 1024, max_duration: Duration::from_secs(10) };
    let read = move |input: &[u8]| {
        let began = std::time::Instant::now();
        let decoded = decode("fuzz", input.to_vec().into(), &limits);
        assert!(began.elapsed() < Duration::from_secs(20), "decoding takes too long");
        decoded.is_ok()
    };
    let seeds = files("tests/data/audio").into_iter().filter(|file| !file.starts_with(b"#!")).collect();
    Target {
        name: "prompt",
        seeds,
        spice: &[b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"data", b"fmt ", b"OggS"],
        read: Box::new(read),
    }
}
