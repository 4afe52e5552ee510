//! One call of the exchange: its RTP socket, what it says frame by frame, and the meter of what it hears.
//!
//! Frames that are late by a few are made up for at once, as a phone whose task was held up does (the listener's
//! jitter buffer takes them); of more the rest is left out, timestamps following the clock, and counted.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::meter::{Gaps, Meter};
use super::presses::{Frame, Presser};
use super::socket::{Reader, Stamp, bind_pair};
use crate::dtmf::Digit;
use crate::media::codec::g711::{self, Law};
use crate::media::{FRAME_MS, FRAME_SAMPLES};
use crate::random::Random;
use crate::rtp::packet::{HEADER_LENGTH, Header, Packet, write_header};
use crate::session::{Codec, NegotiatedMedia};

/// Frames that are made up for in one go.
const MAX_MADE_UP: u64 = 4;
/// Datagrams read in one go; more wait for the next frame.
const MAX_READ: usize = 256;

/// What a line sends and could not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// RTP packets sent.
    pub packets: u64,
    /// Packets that the system did not take.
    pub refused: u64,
    /// Frames left out because we were late.
    pub skipped: u64,
}

/// See the module.
pub struct Line {
    /// Which call it is.
    pub number: u64,
    /// What it hears.
    pub meter: Meter,
    /// When the INVITE left us.
    pub invited: Stamp,
    /// When the 200 came; none: not answered.
    pub answered: Option<Stamp>,
    /// What it presses.
    pub presser: Option<Presser>,
    /// Its port.
    pub port: u16,
    rtp: UdpSocket,
    /// Reports find somebody there; nobody reads them.
    _rtcp: UdpSocket,
    talk: Option<Talk>,
    /// Grid millisecond of its next frame; none: it has no slot.
    pub due: Option<u64>,
}

/// From the answer on.
struct Talk {
    remote: SocketAddr,
    /// The socket is connected to `remote`: hears nobody else, and sending is cheaper.
    connected: bool,
    law: Law,
    payload_type: u8,
    event_type: Option<u8>,
    /// What it says, encoded; none: nothing but keys.
    sound: Option<Arc<[u8]>>,
    position: usize,
    marker: bool,
    sequence: u16,
    timestamp: u32,
    event_start: u32,
    ssrc: u32,
}

/// What a line is given when its call is answered.
pub struct Voice {
    /// What it says all the time, as G.711; a whole number of frames. None: it only listens.
    pub sound: Option<Arc<[u8]>>,
    /// Connect the socket to the peer.
    pub connected: bool,
}

impl Line {
    /// A line with free ports on this address.
    pub fn open(number: u64, ip: IpAddr, presser: Option<Presser>) -> std::io::Result<Line> {
        let (rtp, rtcp, port) = bind_pair(ip)?;
        Ok(Line {
            number,
            meter: Meter::default(),
            invited: 0,
            answered: None,
            presser,
            port,
            rtp,
            _rtcp: rtcp,
            talk: None,
            due: None,
        })
    }

    /// The call is answered; false: with a codec that this generator does not speak.
    pub fn connect(&mut self, media: &NegotiatedMedia, voice: &Voice, random: &mut Random) -> bool {
        let Some(law) = Law::of(media.codec) else { return false };
        let connected = voice.connected && self.rtp.connect(media.remote_rtp).is_ok();
        // Whoever presses keys sends audio between them.
        let silence = || Arc::from(vec![g711::silence(law); FRAME_SAMPLES]);
        let sound = voice.sound.clone().or_else(|| self.presser.as_ref().map(|_| silence()));
        self.talk = Some(Talk {
            remote: media.remote_rtp,
            connected,
            law,
            payload_type: media.send_payload_type,
            event_type: media.send_telephone_event.map(|event| event.payload_type),
            sound,
            position: 0,
            marker: true,
            sequence: random.u32() as u16,
            timestamp: random.u32(),
            event_start: 0,
            ssrc: random.u32(),
        });
        true
    }

    /// Hears what came, with its stamps.
    pub fn listen(&mut self, reader: &mut Reader, gaps: &mut Gaps) {
        let decode = match self.talk.as_ref().map(|talk| talk.law) {
            Some(Law::A) => |byte| g711::decode(Law::A, byte),
            _ => |byte| g711::decode(Law::Mu, byte),
        };
        for _ in 0..MAX_READ {
            let Some(datagram) = reader.next(&self.rtp) else { return };
            if let Ok(packet) = Packet::parse(datagram.bytes) {
                self.meter.receive(&packet, datagram.stamp, datagram.dropped, gaps, decode);
            }
        }
    }

    /// Reads what came and forgets it: the least that a far end can do.
    pub fn drain(&mut self) {
        let mut buffer = [0; 2_048];
        for _ in 0..MAX_READ {
            if self.rtp.recv(&mut buffer).is_err() {
                return;
            }
        }
    }

    /// Says what is due at grid millisecond `now`; gives the digit that an INFO is to tell of.
    pub fn speak(&mut self, now: u64, sent: &mut Sent) -> Option<Digit> {
        let due = self.due.filter(|due| *due <= now)?;
        let passed = (now - due) / FRAME_MS + 1;
        self.due = Some(due + passed * FRAME_MS);
        let talk = self.talk.as_mut()?;
        let frames = passed.min(1 + MAX_MADE_UP);
        let skipped = passed - frames;
        if skipped > 0 {
            talk.timestamp = talk.timestamp.wrapping_add((skipped as u32).wrapping_mul(FRAME_SAMPLES as u32));
            talk.marker = true;
            sent.skipped += skipped;
            if let Some(presser) = &mut self.presser {
                presser.disturb();
            }
        }
        let mut told = None;
        for _ in 0..frames {
            told = talk.frame(self.presser.as_mut(), &self.rtp, sent).or(told);
        }
        told
    }
}

impl Talk {
    fn frame(&mut self, presser: Option<&mut Presser>, socket: &UdpSocket, sent: &mut Sent) -> Option<Digit> {
        let mut packet = [0; HEADER_LENGTH + FRAME_SAMPLES];
        let (head, payload) = packet.split_at_mut(HEADER_LENGTH);
        let mut samples = [0; FRAME_SAMPLES];
        let frame = presser.map_or(Frame::Audio, |presser| presser.next(&mut samples));
        let mut header = Header {
            marker: std::mem::take(&mut self.marker),
            payload_type: self.payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        let mut length = FRAME_SAMPLES;
        let mut told = None;
        let mut says = self.sound.is_some();
        match frame {
            Frame::Tone => g711::encode_into(self.law, &samples, payload),
            Frame::Event(event) if self.event_type.is_some() => {
                if event.marker {
                    self.event_start = self.timestamp;
                }
                header.marker = event.marker;
                header.payload_type = self.event_type.unwrap_or_default();
                header.timestamp = self.event_start.wrapping_add(event.timestamp_offset);
                length = event.payload.len();
                if let Some(place) = payload.first_chunk_mut() {
                    *place = event.payload;
                }
            }
            Frame::Audio | Frame::Event(_) => self.say(payload),
            Frame::Info(digit) => {
                told = Some(digit);
                self.say(payload);
            }
        }
        says |= frame == Frame::Tone;
        self.timestamp = self.timestamp.wrapping_add(FRAME_SAMPLES as u32);
        if !says {
            return told;
        }
        if let Some(head) = head.first_chunk_mut::<HEADER_LENGTH>() {
            write_header(&header, head);
        }
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = packet.get(..HEADER_LENGTH + length).unwrap_or(&packet);
        let done = if self.connected { socket.send(bytes) } else { socket.send_to(bytes, self.remote) };
        match done {
            Ok(_) => sent.packets += 1,
            Err(_) => sent.refused += 1,
        }
        told
    }

    fn say(&mut self, payload: &mut [u8]) {
        if let Some(sound) = &self.sound {
            if let Some(piece) = sound.get(self.position..self.position + FRAME_SAMPLES) {
                payload.copy_from_slice(piece);
            }
            self.position = (self.position + FRAME_SAMPLES) % sound.len();
        }
    }
}

/// What a line offers and takes.
pub const CODECS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];
