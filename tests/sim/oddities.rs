//! What real peers do wrong or otherwise, as a table: each row is one exchange of SDP and RTP on a virtual network and
//! clock, with what must come of it. The SDP alone, in all its forms, is in `sip::sdp`'s own table.

use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::time::Duration;

use strowger::dtmf::{Digit, Phase};
use strowger::media::codec::MAX_FRAME_BYTES;
use strowger::media::codec::live::LiveEncoder;
use strowger::media::stream::{Stream, StreamConfig};
use strowger::media::{DelayBounds, FRAME, MediaEvent};
use strowger::random::Random;
use strowger::rtp::packet::{HEADER_LENGTH, Header, Packet, write_header};
use strowger::session::{Codec, Direction, LegId, LocalMedia, NegotiatedMedia, SrtpPolicy};
use strowger::sip::sdp::{Description, LocalDescription};
use strowger::time::Time;

use super::side::Frame;
use Codec::{G722, L16, Opus, Pcma, Pcmu};
use Step::*;

/// One thing that happens, or that must be so.
enum Step {
    /// Our codecs, before anything else; else PCMU and PCMA.
    Codecs(&'static [Codec]),
    /// Our address, before anything else.
    At(&'static str),
    /// The peer offers this, in the call or at its beginning, and we answer. `;` ends a line.
    Offer(&'static str),
    /// The peer offers this, and we cannot answer it.
    Refused(&'static str),
    /// We offer.
    WeOffer,
    /// The peer answers this: its 183, its 200.
    Answer(&'static str),
    /// From there, with that number, the peer sends a tone in packets of so many ms, for so many ms.
    Talk(&'static str, u8, Codec, u32, u32),
    /// The same, and it must not be heard.
    Unheard(&'static str, u8, Codec, u32, u32),
    /// The peer presses a key for 200 ms, with durations of that clock, while its audio pauses; it is heard, once.
    Key(&'static str, u8, u32),
    /// We press a key: sent with that number and clock.
    WePress(u8, u32),
    /// We send there, with that number, packets of so many ms.
    Sends(&'static str, u8, u32),
    /// We send nothing.
    Quiet,
    /// Our RTCP goes there.
    Reports(&'static str),
    /// The peer's RTCP from there is taken: on our RTCP port, or (`true`) on the one of RTP.
    Reported(&'static str, bool),
    /// The peer is silent for so many ms.
    Pause(u32),
}

/// A name and what happens.
type Row = (&'static str, &'static [Step]);

const PEER: &str = "198.51.100.7:4000";

const TABLE: &[Row] = &[
    // ---- addresses ----
    ("as signalled", &[Offer("{C}m=audio 4000 RTP/AVP 0"), Talk(PEER, 0, Pcmu, 20, 400), Sends(PEER, 0, 20)]),
    (
        "a private c= behind NAT: audio goes to the real source",
        &[
            Offer("c=IN IP4 192.168.1.9;t=0 0;m=audio 4000 RTP/AVP 0"),
            Sends("192.168.1.9:4000", 0, 20),
            // Three packets are its probation.
            Unheard("203.0.113.7:9000", 0, Pcmu, 20, 40),
            Talk("203.0.113.7:9000", 0, Pcmu, 20, 400),
            Sends("203.0.113.7:9000", 0, 20),
            // Whom nobody named does not get it afterwards.
            Unheard("203.0.113.66:9000", 0, Pcmu, 20, 200),
            Sends("203.0.113.7:9000", 0, 20),
        ],
    ),
    (
        "another port than signalled, the right host",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0"),
            Talk("198.51.100.7:61000", 0, Pcmu, 20, 400),
            Sends("198.51.100.7:61000", 0, 20),
        ],
    ),
    (
        "0.0.0.0 at first: nothing is sent, and a re-INVITE brings the address",
        &[
            Offer("c=IN IP4 0.0.0.0;t=0 0;m=audio 4000 RTP/AVP 0"),
            Quiet,
            Offer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Sends(PEER, 0, 20),
        ],
    ),
    (
        "0.0.0.0 in the call is a hold (RFC 2543), and resumed",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Offer("c=IN IP4 0.0.0.0;t=0 0;m=audio 4000 RTP/AVP 0"),
            Quiet,
            Pause(40_000),
            Offer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Sends(PEER, 0, 20),
        ],
    ),
    ("IPv6 in the offer of an IPv4 line", &[Refused("c=IN IP6 2001:db8::1;t=0 0;m=audio 4000 RTP/AVP 0")]),
    (
        "IPv6 and IPv4 lines: the one that we reach",
        &[
            Offer("{C}m=audio 4002 RTP/AVP 0;c=IN IP6 2001:db8::1;m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Sends(PEER, 0, 20),
        ],
    ),
    (
        "IPv6 on both sides",
        &[
            At("2001:db8::5"),
            Offer("c=IN IP6 2001:db8::1;t=0 0;m=audio 4000 RTP/AVP 0"),
            Talk("[2001:db8::1]:4000", 0, Pcmu, 20, 400),
            Sends("[2001:db8::1]:4000", 0, 20),
            Reports("[2001:db8::1]:4001"),
        ],
    ),
    (
        "an IPv4 source in IPv6's clothes is the signalled one",
        &[Offer("{C}m=audio 4000 RTP/AVP 0"), Talk("[::ffff:198.51.100.7]:4000", 0, Pcmu, 20, 400)],
    ),
    // ---- ports that change ----
    (
        "the port changes by re-INVITE",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Offer("{C}m=audio 6000 RTP/AVP 0"),
            Sends("198.51.100.7:6000", 0, 20),
            // Still on its way from before.
            Talk(PEER, 0, Pcmu, 20, 60),
            Talk("198.51.100.7:6000", 0, Pcmu, 20, 400),
            Sends("198.51.100.7:6000", 0, 20),
        ],
    ),
    (
        "the port changes without a word, after silence",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Pause(3_000),
            Talk("198.51.100.7:6000", 0, Pcmu, 20, 400),
            Sends("198.51.100.7:6000", 0, 20),
        ],
    ),
    (
        "a NAT that moves the port in mid-call",
        &[
            Offer("c=IN IP4 10.0.0.9;t=0 0;m=audio 4000 RTP/AVP 0"),
            Unheard("203.0.113.7:9000", 0, Pcmu, 20, 40),
            Talk("203.0.113.7:9000", 0, Pcmu, 20, 400),
            Pause(3_000),
            Unheard("203.0.113.7:9002", 0, Pcmu, 20, 40),
            Talk("203.0.113.7:9002", 0, Pcmu, 20, 400),
            Sends("203.0.113.7:9002", 0, 20),
        ],
    ),
    // ---- RTCP ----
    ("RTCP on the next port", &[Offer("{C}m=audio 4000 RTP/AVP 0"), Reports("198.51.100.7:4001")]),
    (
        "a=rtcp with a port and an address",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0;a=rtcp:5555 IN IP4 198.51.100.7"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Reports("198.51.100.7:5555"),
        ],
    ),
    (
        "rtcp-mux: both on one port",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0;a=rtcp-mux"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Reports(PEER),
            Reported(PEER, true),
        ],
    ),
    (
        "rtcp-mux in our offer that the peer does not take",
        &[
            WeOffer,
            Answer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Reports("198.51.100.7:4001"),
            Reported("198.51.100.7:4001", false),
        ],
    ),
    // ---- answers ----
    (
        "a 200 that changes the port and the codec of its 183",
        &[
            WeOffer,
            Answer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Sends(PEER, 0, 20),
            Answer("c=IN IP4 198.51.100.99;t=0 0;m=audio 7000 RTP/AVP 8"),
            Sends("198.51.100.99:7000", 8, 20),
            Talk("198.51.100.99:7000", 8, Pcma, 20, 400),
            Sends("198.51.100.99:7000", 8, 20),
        ],
    ),
    (
        "a 200 without what its 183 had: telephone-event gone",
        &[
            WeOffer,
            Answer("{C}m=audio 4000 RTP/AVP 0 101;a=rtpmap:101 telephone-event/8000"),
            WePress(101, 8_000),
            Answer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 400),
        ],
    ),
    (
        "RTP before the answer: not heard, and it locks nobody",
        &[
            WeOffer,
            Unheard("203.0.113.66:9000", 0, Pcmu, 20, 400),
            Quiet,
            Answer("{C}m=audio 4000 RTP/AVP 0"),
            Sends(PEER, 0, 20),
            Talk(PEER, 0, Pcmu, 20, 400),
        ],
    ),
    // ---- codecs ----
    (
        "the peer goes from one agreed codec to the other and back without asking",
        &[
            Codecs(&[Opus, G722, Pcmu, Pcma]),
            Offer("{C}m=audio 4000 RTP/AVP 9 0 8"),
            Talk(PEER, 9, G722, 20, 400),
            Talk(PEER, 8, Pcma, 20, 400),
            Talk(PEER, 0, Pcmu, 20, 400),
            Talk(PEER, 9, G722, 20, 400),
            Sends(PEER, 9, 20),
        ],
    ),
    (
        "codecs listed and never used",
        &[
            Codecs(&[Opus, G722, Pcmu, Pcma]),
            Offer(
                "{C}m=audio 4000 RTP/AVP 96 9 18 3 0 8 13;a=rtpmap:96 opus/48000/2;a=rtpmap:18 G729/8000;a=rtpmap:13 CN/8000",
            ),
            Talk(PEER, 8, Pcma, 20, 400),
            Sends(PEER, 96, 20),
        ],
    ),
    (
        "a codec that was not agreed",
        &[Offer("{C}m=audio 4000 RTP/AVP 0"), Talk(PEER, 0, Pcmu, 20, 200), Unheard(PEER, 8, Pcma, 20, 200)],
    ),
    (
        "numbers that differ by direction",
        &[
            Codecs(&[Opus]),
            WeOffer,
            Answer("{C}m=audio 4000 RTP/AVP 120 121;a=rtpmap:120 opus/48000/2;a=rtpmap:121 telephone-event/48000"),
            // It sends with ours, we with its.
            Talk(PEER, 111, Opus, 20, 400),
            Sends(PEER, 120, 20),
            WePress(121, 48_000),
            Key(PEER, 101, 48_000),
            Unheard(PEER, 120, Opus, 20, 600),
        ],
    ),
    (
        "its own numbers in its offer",
        &[
            Codecs(&[L16, Pcmu]),
            Offer("{C}m=audio 4000 RTP/AVP 107 99;a=rtpmap:107 L16/16000;a=rtpmap:99 telephone-event/16000"),
            Talk(PEER, 107, L16, 20, 400),
            Sends(PEER, 107, 20),
            Key(PEER, 99, 16_000),
            Talk(PEER, 107, L16, 20, 200),
            WePress(99, 16_000),
        ],
    ),
    // ---- packets of other lengths ----
    ("ptime 10", &[Offer("{C}m=audio 4000 RTP/AVP 0;a=ptime:10"), Talk(PEER, 0, Pcmu, 10, 600), Sends(PEER, 0, 10)]),
    ("ptime 30", &[Offer("{C}m=audio 4000 RTP/AVP 0;a=ptime:30"), Talk(PEER, 0, Pcmu, 30, 600), Sends(PEER, 0, 30)]),
    ("ptime 40", &[Offer("{C}m=audio 4000 RTP/AVP 8;a=ptime:40"), Talk(PEER, 8, Pcma, 40, 600), Sends(PEER, 8, 40)]),
    ("ptime 60", &[Offer("{C}m=audio 4000 RTP/AVP 0;a=ptime:60"), Talk(PEER, 0, Pcmu, 60, 600), Sends(PEER, 0, 60)]),
    (
        "ptime 60 in G.722",
        &[
            Codecs(&[G722]),
            Offer("{C}m=audio 4000 RTP/AVP 9;a=ptime:60"),
            Talk(PEER, 9, G722, 60, 600),
            Sends(PEER, 9, 60),
        ],
    ),
    (
        "another length than it asked for, and one after the other",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0;a=ptime:20"),
            Talk(PEER, 0, Pcmu, 30, 600),
            Talk(PEER, 0, Pcmu, 10, 600),
            Talk(PEER, 0, Pcmu, 60, 600),
            Talk(PEER, 0, Pcmu, 40, 600),
            Sends(PEER, 0, 20),
        ],
    ),
    ("maxptime below ptime", &[Offer("{C}m=audio 4000 RTP/AVP 0;a=ptime:60;a=maxptime:30"), Sends(PEER, 0, 30)]),
    // ---- keys ----
    (
        "telephone-event/8000 beside G.711",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0 97;a=rtpmap:97 telephone-event/8000"),
            Talk(PEER, 0, Pcmu, 20, 400),
            Key(PEER, 97, 8_000),
            Talk(PEER, 0, Pcmu, 20, 400),
            WePress(97, 8_000),
        ],
    ),
    (
        "telephone-event/8000 beside Opus: durations in its clock, timestamps in the audio's",
        &[
            Codecs(&[Opus, Pcmu]),
            Offer("{C}m=audio 4000 RTP/AVP 96 101;a=rtpmap:96 opus/48000/2;a=rtpmap:101 telephone-event/8000"),
            Talk(PEER, 96, Opus, 20, 400),
            Key(PEER, 101, 8_000),
            Talk(PEER, 96, Opus, 20, 400),
            Key(PEER, 101, 8_000),
            WePress(101, 8_000),
        ],
    ),
    (
        "telephone-event/48000 beside Opus",
        &[
            Codecs(&[Opus, Pcmu]),
            Offer("{C}m=audio 4000 RTP/AVP 96 101;a=rtpmap:96 opus/48000/2;a=rtpmap:101 telephone-event/48000"),
            Talk(PEER, 96, Opus, 20, 400),
            Key(PEER, 101, 48_000),
            Talk(PEER, 96, Opus, 20, 400),
            WePress(101, 48_000),
        ],
    ),
    (
        "both clocks beside both codecs: each key in its codec's",
        &[
            Codecs(&[Opus, Pcmu]),
            Offer(
                "{C}m=audio 4000 RTP/AVP 96 0 101 102;a=rtpmap:96 opus/48000/2;a=rtpmap:101 telephone-event/8000;a=rtpmap:102 telephone-event/48000",
            ),
            Talk(PEER, 96, Opus, 20, 400),
            Key(PEER, 102, 48_000),
            Talk(PEER, 0, Pcmu, 20, 400),
            Key(PEER, 101, 8_000),
            WePress(102, 48_000),
        ],
    ),
    (
        "telephone-event/16000 beside L16, with 8000 beside",
        &[
            Codecs(&[L16]),
            Offer(
                "{C}m=audio 4000 RTP/AVP 96 101 102;a=rtpmap:96 L16/16000;a=rtpmap:101 telephone-event/8000;a=rtpmap:102 telephone-event/16000",
            ),
            Talk(PEER, 96, L16, 20, 400),
            Key(PEER, 102, 16_000),
            WePress(102, 16_000),
        ],
    ),
    // ---- directions ----
    (
        "sendonly: music on hold is heard, and nothing is sent",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 200),
            Offer("{C}m=audio 4000 RTP/AVP 0;a=sendonly"),
            Quiet,
            Talk(PEER, 0, Pcmu, 20, 400),
            Offer("{C}m=audio 4000 RTP/AVP 0"),
            Sends(PEER, 0, 20),
        ],
    ),
    (
        "inactive, though it sends: not heard",
        &[
            Offer("{C}m=audio 4000 RTP/AVP 0"),
            Talk(PEER, 0, Pcmu, 20, 200),
            Offer("{C}m=audio 4000 RTP/AVP 0;a=inactive"),
            Quiet,
            Unheard(PEER, 0, Pcmu, 20, 200),
        ],
    ),
];

/// Our stream, the peer, and the clock that both live by.
struct Exchange {
    local: LocalDescription,
    ours: LocalMedia,
    agreed: Option<NegotiatedMedia>,
    stream: Stream,
    now: Time,
    wire: Frame,
    events: Vec<MediaEvent>,
    peer: Peer,
    /// Half frames since the beginning.
    halves: u64,
    heard_ms: u32,
}

/// The peer's RTP.
struct Peer {
    sequence: u16,
    timestamp: u32,
    sample: u32,
    encoder: Option<LiveEncoder>,
    keys: usize,
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn description(text: &str) -> Description {
    let text = text.replace("{C}", "c=IN IP4 198.51.100.7;t=0 0;");
    let text = format!("v=0;o=- 1 1 IN IP4 198.51.100.7;s=-;{text};").replace(';', "\r\n");
    Description::parse(text.as_bytes()).expect("SDP")
}

impl Exchange {
    fn new() -> Exchange {
        let now = Time::EPOCH + Duration::from_secs(1_000_000);
        let config = StreamConfig { rtp_timeout: Duration::ZERO, in_band: true, delay: DelayBounds::default() };
        let mut stream = Stream::new(LegId(1), config, Random::from_number(7), now);
        stream.capture(30_000);
        let ours = LocalMedia {
            address: "192.0.2.1".parse().expect("an address"),
            port: 20_000,
            codecs: vec![Pcmu, Pcma],
            direction: Direction::SendRecv,
            srtp: SrtpPolicy::Off,
        };
        let peer = Peer { sequence: 65_530, timestamp: u32::MAX - 5_000, sample: 0, encoder: None, keys: 0 };
        let (local, wire) = (LocalDescription::new(1), Frame::default());
        let (agreed, events) = (None, Vec::new());
        Exchange { local, ours, agreed, stream, now, wire, events, peer, halves: 0, heard_ms: 0 }
    }

    fn connect(&mut self, media: NegotiatedMedia) {
        self.stream.connect(media.clone(), self.now);
        self.agreed = Some(media);
    }

    /// Ten milliseconds pass; every second time a frame is due.
    fn half(&mut self) {
        self.now += FRAME / 2;
        self.halves += 1;
        if self.halves.is_multiple_of(2) {
            self.stream.tick(self.now, 1, &mut self.wire);
            self.events.extend(std::iter::from_fn(|| self.stream.poll_event()));
        }
    }

    fn run(&mut self, ms: u32) {
        (0..ms / 10).for_each(|_| self.half());
    }

    fn packet(&mut self, from: &str, number: u8, timestamp: u32, marker: bool, payload: &[u8]) {
        let mut bytes = [0; HEADER_LENGTH];
        let header = Header { marker, payload_type: number, sequence: self.peer.sequence, timestamp, ssrc: 77 };
        write_header(&header, &mut bytes);
        self.peer.sequence = self.peer.sequence.wrapping_add(1);
        self.stream.receive_rtp(&[&bytes[..], payload].concat(), socket(from), self.now);
    }

    /// A tone of 1 kHz. The bytes of 20 ms can be cut and joined in all codecs but Opus.
    fn talk(&mut self, from: &str, number: u8, codec: Codec, packet_ms: u32, ms: u32) {
        if self.peer.encoder.as_ref().is_none_or(|encoder| encoder.codec() != codec) {
            self.peer.encoder = Some(LiveEncoder::new(8_000, codec));
        }
        let mut waiting: Vec<u8> = Vec::new();
        let mut waiting_ms = 0;
        for passed in (10..=ms).step_by(10) {
            if passed % 20 == 10 {
                let tone = |n: u32| (8_000.0 * (TAU * 1_000.0 * f64::from(n) / 8_000.0).sin()) as i16;
                let samples: Vec<i16> = (self.peer.sample..self.peer.sample + 160).map(tone).collect();
                self.peer.sample += 160;
                let mut frame = [0; MAX_FRAME_BYTES];
                let encoder = self.peer.encoder.as_mut().expect("set above");
                let length = encoder.encode(&samples, &mut frame).expect("a frame");
                waiting.extend(&frame[..length]);
                waiting_ms += 20;
            }
            self.half();
            while passed % 20 == 0 && waiting_ms >= packet_ms || packet_ms < 20 && waiting_ms > 0 {
                let piece = if packet_ms == 20 {
                    std::mem::take(&mut waiting)
                } else {
                    waiting.drain(..waiting.len() * packet_ms as usize / waiting_ms as usize).collect()
                };
                self.packet(from, number, self.peer.timestamp, false, &piece);
                self.peer.timestamp = self.peer.timestamp.wrapping_add(packet_ms * codec.clock_rate() / 1_000);
                waiting_ms -= packet_ms;
                if packet_ms < 20 && passed % 20 == 10 {
                    break;
                }
            }
        }
    }

    fn take(&mut self, step: &Step, name: &str) {
        match *step {
            Codecs(codecs) => self.ours.codecs = codecs.to_vec(),
            At(address) => self.ours.address = address.parse().expect("an address"),
            Offer(text) => {
                let answered = self.local.answer(&description(text), &self.ours);
                self.connect(answered.unwrap_or_else(|error| panic!("{name}: {error}")).1);
            }
            Refused(text) => assert!(self.local.answer(&description(text), &self.ours).is_err(), "{name}"),
            WeOffer => drop(self.local.offer(&self.ours)),
            Answer(text) => {
                let accepted = self.local.accept(&description(text));
                self.connect(accepted.unwrap_or_else(|error| panic!("{name}: {error}")));
            }
            Talk(from, number, codec, packet_ms, ms) => {
                self.talk(from, number, codec, packet_ms, ms);
                self.heard_ms += ms;
            }
            Unheard(from, number, codec, packet_ms, ms) => self.talk(from, number, codec, packet_ms, ms),
            Pause(ms) => {
                let clock = self.agreed.as_ref().map_or(8_000, |media| media.codec.clock_rate());
                self.run(ms);
                self.peer.timestamp = self.peer.timestamp.wrapping_add(ms * (clock / 1_000));
            }
            Key(from, number, clock) => self.key(name, from, number, clock),
            WePress(number, clock) => self.we_press(name, number, clock),
            Sends(to, number, ms) => {
                let sent = self.sent(400);
                let clock = self.agreed.as_ref().expect("agreed").codec.clock_rate();
                assert!(sent.len() as u32 + 1 >= 400 / ms, "{name}: {} packets", sent.len());
                for (there, header, _) in &sent {
                    assert_eq!((*there, header.payload_type), (socket(to), number), "{name}");
                }
                for pair in sent.windows(2) {
                    let step = pair[1].1.timestamp.wrapping_sub(pair[0].1.timestamp);
                    assert_eq!(step, ms * clock / 1_000, "{name}: packets of {ms} ms");
                }
            }
            Quiet => assert_eq!(self.sent(400).len(), 0, "{name}: nothing is sent"),
            Reports(to) => {
                self.wire = Frame::default();
                self.run(10_000);
                let mixed = |bytes: &[u8]| bytes.get(1).is_some_and(|kind| (192..=223).contains(kind));
                // What is multiplexed goes out by the RTP port.
                let reports: Vec<_> =
                    self.wire.rtcp.iter().chain(self.wire.rtp.iter().filter(|(_, b)| mixed(b))).collect();
                assert!(!reports.is_empty() && reports.iter().all(|(there, _)| *there == socket(to)), "{name}");
            }
            Reported(from, on_rtp) => {
                let before = self.stream.statistics();
                // An empty receiver report of the peer's, and its name.
                let report =
                    [&[0x80, 201, 0, 1, 0, 0, 0, 77][..], &[0x81, 202, 0, 2, 0, 0, 0, 77, 1, 1, b'x', 0]].concat();
                match on_rtp {
                    true => self.stream.receive_rtp(&report, socket(from), self.now),
                    false => self.stream.receive_rtcp(&report, socket(from), self.now),
                }
                let after = self.stream.statistics();
                assert_eq!(after.rtcp_received, before.rtcp_received + 1, "{name}");
                assert_eq!(after.malformed, before.malformed, "{name}");
            }
        }
    }

    /// What is sent in so many ms, RTCP left out.
    fn sent(&mut self, ms: u32) -> Vec<(SocketAddr, Header, Vec<u8>)> {
        self.wire = Frame::default();
        self.run(ms);
        let rtp = std::mem::take(&mut self.wire.rtp).into_iter();
        let rtp = rtp.filter(|(_, bytes)| !bytes.get(1).is_some_and(|kind| (192..=223).contains(kind)));
        rtp.map(|(to, bytes)| {
            let packet = Packet::parse(&bytes).expect("RTP");
            (to, packet.header, packet.payload.to_vec())
        })
        .collect()
    }

    fn key(&mut self, name: &str, from: &str, number: u8, clock: u32) {
        let before = self.stream.statistics();
        let start = self.peer.timestamp;
        let audio = self.agreed.as_ref().expect("agreed").codec.clock_rate();
        let told = self.events.len();
        for (n, passed) in (20..=200u32).step_by(20).enumerate() {
            self.run(20);
            let [high, low] = ((passed * (clock / 1_000)) as u16).to_be_bytes();
            self.packet(from, number, start, n == 0, &[5, if passed == 200 { 0x8A } else { 0x0A }, high, low]);
        }
        for _ in 0..2 {
            let [high, low] = ((200 * (clock / 1_000)) as u16).to_be_bytes();
            self.packet(from, number, start, false, &[5, 0x8A, high, low]);
        }
        // Its audio goes on where the key left it.
        let codec = self.peer.encoder.as_ref().map_or(audio, |encoder| encoder.codec().clock_rate());
        self.peer.timestamp = start.wrapping_add(200 * (codec / 1_000));
        self.peer.keys += 1;
        self.events.extend(std::iter::from_fn(|| self.stream.poll_event()));
        let reports = self.events.iter().skip(told).filter_map(|event| match event {
            MediaEvent::Tone { report, .. } => Some((report.digit, report.phase)),
            _ => None,
        });
        let reports: Vec<_> = reports.collect();
        let pressed = [(Digit::Five, Phase::Start), (Digit::Five, Phase::End { duration: Duration::from_millis(200) })];
        assert_eq!(reports, pressed, "{name}: a key of 200 ms at {clock} Hz");
        // While the key was down there was no audio to be missed.
        let concealed = self.stream.statistics().concealed_ms - before.concealed_ms;
        assert!(concealed <= 20.0, "{name}: {concealed} ms were made up beside the key");
    }

    fn we_press(&mut self, name: &str, number: u8, clock: u32) {
        self.stream.send_tones(1, vec![Digit::Nine], 200, 100);
        let sent = self.sent(600);
        let events: Vec<_> = sent.iter().filter(|(_, header, _)| header.payload_type == number).collect();
        let audio = self.agreed.as_ref().expect("agreed").codec.clock_rate();
        assert!(events.len() >= 10, "{name}: {} packets of the key", events.len());
        let (_, first, payload) = events[0];
        assert!(first.marker, "{name}");
        assert_eq!(payload[0], 9, "{name}");
        assert!(
            events.iter().all(|(_, header, _)| header.timestamp == first.timestamp),
            "{name}: one key, one timestamp"
        );
        let (_, _, last) = events[events.len() - 1];
        let duration = u32::from(u16::from_be_bytes([last[2], last[3]]));
        assert_eq!((duration, last[1] & 0x80), (clock / 5, 0x80), "{name}: 200 ms at {clock} Hz");
        // Audio goes on by its own clock.
        let after = sent.iter().skip_while(|(_, header, _)| header.payload_type != number);
        let after =
            after.map(|(_, header, _)| header).find(|header| header.payload_type != number).expect("audio again");
        let frames = after.timestamp.wrapping_sub(first.timestamp) / (audio / 50);
        assert!((10..=13).contains(&frames), "{name}: audio again after {frames} frames");
    }

    /// Milliseconds in which the tone was heard.
    fn tone_ms(&mut self) -> u32 {
        let MediaEvent::Closed { heard: Some(heard), .. } = self.stream.close(self.now, &mut Frame::default()) else {
            panic!("a capture");
        };
        let rate = f64::from(heard.sample_rate);
        let loud = |window: &&[i16]| {
            let (mut real, mut imaginary) = (0.0, 0.0);
            for (at, sample) in window.iter().enumerate() {
                let (sine, cosine) = (TAU * 1_000.0 * at as f64 / rate).sin_cos();
                real += f64::from(*sample) * cosine;
                imaginary += f64::from(*sample) * sine;
            }
            f64::hypot(real, imaginary) * 2.0 / window.len() as f64 > 3_000.0
        };
        heard.samples.chunks_exact(heard.sample_rate as usize / 100).filter(loud).count() as u32 * 10
    }
}

#[test]
fn each_oddity_has_its_outcome() {
    let fails = |(name, steps): &&Row| std::panic::catch_unwind(|| outcome(name, steps)).is_err();
    let failed: Vec<_> = TABLE.iter().filter(fails).map(|(name, _)| *name).collect();
    assert!(failed.is_empty(), "{} of {} rows fail: {failed:#?}", failed.len(), TABLE.len());
}

fn outcome(name: &str, steps: &[Step]) {
    let mut exchange = Exchange::new();
    steps.iter().for_each(|step| exchange.take(step, name));
    exchange.run(500);
    let (told, heard) = (exchange.heard_ms, exchange.tone_ms());
    // A little of each beginning is missing (ramps, the first delay), and concealment goes on a little at each end.
    let turns = steps.iter().filter(|step| matches!(step, Talk(..) | Key(..))).count() as u32;
    let events = &exchange.events;
    assert!(
        heard + 30 * turns >= told && heard <= told + 110 * turns,
        "{name}: of {told} ms of tone {heard} ms were heard\n{events:#?}"
    );
}
