//! One end of a simulated call: its SIP stack, and its streams as a media thread would run them, with every packet that
//! leaves checked against what RFC 3550 and RFC 4733 promise a listener.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use strowger::media::stream::{PacketSink, Stream, StreamConfig};
use strowger::media::{FRAME, FRAME_SAMPLES};
use strowger::random::Random;
use strowger::rtp::packet::Packet;
use strowger::session::{Codec, Direction, LegId, LocalMedia, NegotiatedMedia, SrtpPolicy, SrtpSuite};
use strowger::sip::agent::{AgentConfig, AgentLimits, ContactAddress, TimerConfig, UserAgent};
use strowger::sip::peer::Transport;
use strowger::time::Time;

/// What an end wants of SRTP.
#[derive(Clone, Debug)]
pub struct Encryption {
    pub policy: SrtpPolicy,
    pub suites: Vec<SrtpSuite>,
    /// Keys may go over UDP, which is all there is here.
    pub over_insecure: bool,
}

impl Default for Encryption {
    fn default() -> Self {
        Encryption { policy: SrtpPolicy::Off, suites: SrtpSuite::ALL.to_vec(), over_insecure: false }
    }
}

/// One end.
pub struct Side {
    pub agent: UserAgent,
    pub lines: BTreeMap<LegId, Line>,
    /// Lines that talk with each other, each with its partner.
    pub bridged: BTreeMap<LegId, LegId>,
    pub sip: SocketAddr,
    pub srtp: SrtpPolicy,
    random: Random,
    next_port: u16,
}

/// A leg's stream with its port.
pub struct Line {
    pub stream: Stream,
    pub port: u16,
    pub media: Option<NegotiatedMedia>,
    pub watch: Watch,
    /// When its next frame is due; none: not connected.
    pub due: Option<Time>,
    /// What came since the last frame: a media thread reads its sockets when a frame is due.
    pub inbox: VecDeque<(bool, Vec<u8>, SocketAddr)>,
}

/// What a line sends in one frame.
#[derive(Default)]
pub struct Frame {
    pub rtp: Vec<(SocketAddr, Vec<u8>)>,
    pub rtcp: Vec<(SocketAddr, Vec<u8>)>,
}

impl PacketSink for Frame {
    fn rtp(&mut self, to: SocketAddr, packet: &[u8]) {
        self.rtp.push((to, packet.to_vec()));
    }

    fn rtcp(&mut self, to: SocketAddr, packet: &[u8]) {
        self.rtcp.push((to, packet.to_vec()));
    }
}

impl Side {
    pub fn new(number: u8, mut random: Random, encryption: Encryption) -> Side {
        let sip = SocketAddr::from(([192, 0, 2, number], 5060));
        let config = AgentConfig {
            contacts: vec![ContactAddress {
                transport: Transport::Udp,
                local: sip,
                host: sip.ip().to_string(),
                port: 5060,
            }],
            user: format!("end{number}"),
            product: "simulation".into(),
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            info_types: &[],
            srtp_over_insecure: encryption.over_insecure,
            srtp_suites: encryption.suites,
            timers: TimerConfig::default(),
            limits: AgentLimits::default(),
        };
        let agent = UserAgent::new(config, random.fork());
        let (lines, bridged) = (BTreeMap::new(), BTreeMap::new());
        Side { agent, lines, bridged, sip, srtp: encryption.policy, random, next_port: 20_000 }
    }

    /// Opens a line; its port.
    pub fn open(&mut self, leg: LegId, config: StreamConfig, now: Time) -> u16 {
        let port = self.next_port;
        self.next_port += 2;
        let line = Line {
            stream: Stream::new(leg, config, self.random.fork(), now),
            port,
            media: None,
            watch: Watch::default(),
            due: None,
            inbox: VecDeque::new(),
        };
        assert!(self.lines.insert(leg, line).is_none(), "{leg} was open");
        port
    }

    /// Starts or changes a line. Its first frame is due somewhere in the next 20 ms.
    pub fn connect(&mut self, leg: LegId, media: NegotiatedMedia, now: Time) {
        let wait = self.random.below(20_000);
        let Some(line) = self.lines.get_mut(&leg) else { return };
        line.stream.connect(media.clone(), now);
        let key = |media: &NegotiatedMedia| media.srtp.as_ref().map(|keys| keys.send.clone());
        if line.media.as_ref().is_some_and(|before| key(before) != key(&media)) {
            // A key of its own has a source of its own.
            line.watch.source = None;
        }
        line.media = Some(media);
        line.due.get_or_insert(now + std::time::Duration::from_micros(wait));
    }

    /// Lets two lines talk; without `with` they no longer do.
    pub fn bridge(&mut self, leg: LegId, with: Option<LegId>) {
        for leg in [Some(leg), with].into_iter().flatten() {
            let before = self.bridged.remove(&leg);
            before.iter().for_each(|other| _ = self.bridged.remove(other));
            for leg in [Some(leg), before].into_iter().flatten() {
                self.lines.get_mut(&leg).into_iter().for_each(|line| line.stream.unbridge());
            }
        }
        let Some(with) = with.filter(|with| [leg, *with].iter().all(|leg| self.lines.contains_key(leg))) else {
            return;
        };
        self.bridged.extend([(leg, with), (with, leg)]);
        for leg in [leg, with] {
            self.lines.get_mut(&leg).into_iter().for_each(|line| line.stream.bridge());
        }
    }

    /// A line's frame; it has taken what its partner heard.
    pub fn frame(&mut self, leg: LegId, now: Time) -> Option<(u16, Frame)> {
        let with = self.bridged.get(&leg).and_then(|with| self.lines.remove_entry(with));
        let line = self.lines.get_mut(&leg)?;
        if let Some((with, mut other)) = with {
            line.stream.take_from(&mut other.stream);
            let done = (line.port, line.frame(now));
            self.lines.insert(with, other);
            return Some(done);
        }
        Some((line.port, line.frame(now)))
    }

    /// Our side of an offer or answer for that port.
    pub fn media(&self, port: u16, direction: Direction) -> LocalMedia {
        LocalMedia { address: self.sip.ip(), port, codecs: vec![Codec::Pcmu, Codec::Pcma], direction, srtp: self.srtp }
    }
}

impl Line {
    /// Hears what came and sends one frame.
    pub fn frame(&mut self, now: Time) -> Frame {
        for (rtcp, bytes, from) in self.inbox.drain(..) {
            if rtcp {
                self.stream.receive_rtcp(&bytes, from, now);
            } else {
                self.stream.receive_rtp(&bytes, from, now);
            }
        }
        let mut frame = Frame::default();
        self.stream.tick(now, 1, &mut frame);
        self.due = Some(now + FRAME);
        if let Some(media) = &self.media {
            self.watch.see(&frame, media, now);
        }
        frame
    }
}

/// A packet that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Time,
    pub marker: bool,
    /// A telephone event; else audio.
    pub event: bool,
    pub payload: Vec<u8>,
}

/// Watches what one stream sends.
#[derive(Default)]
pub struct Watch {
    pub sent: Vec<Sent>,
    /// Frames so far, sent or not.
    frames: u32,
    /// SSRC, the sequence number before, and the timestamp of frame 0.
    source: Option<(u32, u16, u32)>,
    /// What the frame before was: audio, an event of that timestamp, or nothing.
    before: Before,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Nothing,
    Audio,
    Event(u32),
}

impl Watch {
    /// One packet a frame while we may send, none while not; sequence numbers without a gap, timestamps that follow the
    /// clock over every pause, a marker where a talk spurt or an event begins and nowhere else.
    fn see(&mut self, frame: &Frame, media: &NegotiatedMedia, now: Time) {
        let expected = usize::from(media.direction.sends());
        // RTCP may share the port (RFC 5761 §4): its second byte tells it apart.
        let is_rtp = |bytes: &[u8]| !bytes.get(1).is_some_and(|kind| (192..=223).contains(kind));
        let rtp: Vec<&[u8]> = frame.rtp.iter().map(|(_, bytes)| bytes.as_slice()).filter(|b| is_rtp(b)).collect();
        assert_eq!(rtp.len(), expected, "packets in the frame at {now}, {:?}", media.direction);
        let clock = self.frames.wrapping_mul(FRAME_SAMPLES as u32);
        self.frames += 1;
        let Some(bytes) = rtp.first() else {
            self.before = Before::Nothing;
            return;
        };
        let packet = Packet::parse(bytes).expect("we write what we can read");
        let header = packet.header;
        let event = media.send_telephone_event.is_some_and(|event| event.payload_type == header.payload_type);
        assert!(event || header.payload_type == media.send_payload_type, "payload type {}", header.payload_type);
        let (ssrc, before, start) = *self.source.get_or_insert_with(|| {
            (header.ssrc, header.sequence.wrapping_sub(1), header.timestamp.wrapping_sub(clock))
        });
        assert_eq!(header.ssrc, ssrc, "one SSRC a stream");
        assert_eq!(header.sequence, before.wrapping_add(1), "sequence at {now}");
        self.source = Some((ssrc, header.sequence, start));
        let here = start.wrapping_add(clock);
        if event {
            // An event keeps the timestamp of its beginning, which is on the clock.
            let age = here.wrapping_sub(header.timestamp);
            assert!(age < 8000 * 6 && age % FRAME_SAMPLES as u32 == 0, "an event of {age} ago at {now}");
            let begins = self.before != Before::Event(header.timestamp);
            assert_eq!(header.marker, begins, "marker of the event at {now}");
            self.before = Before::Event(header.timestamp);
        } else {
            assert_eq!(header.timestamp, here, "timestamp at {now}");
            let tag = media.srtp.as_ref().map_or(0, |keys| match keys.send.suite() {
                SrtpSuite::AesCm128HmacSha1_32 => 4,
                SrtpSuite::AesCm128HmacSha1_80 => 10,
                SrtpSuite::AeadAes128Gcm | SrtpSuite::AeadAes256Gcm => 16,
            });
            assert_eq!(packet.payload.len(), FRAME_SAMPLES + tag, "20 ms at {now}");
            assert_eq!(header.marker, self.before != Before::Audio, "marker at {now} after {:?}", self.before);
            self.before = Before::Audio;
        }
        self.sent.push(Sent { at: now, marker: header.marker, event, payload: packet.payload.to_vec() });
    }

    /// What was heard of prompts: the audio that is not silence, with the moment of each frame.
    pub fn loud(&self) -> impl DoubleEndedIterator<Item = &Sent> {
        // Silence is one byte again and again, in either codec.
        self.sent.iter().filter(|s| !s.event && s.payload.iter().any(|byte| Some(byte) != s.payload.first()))
    }
}
