//! The speaking half of a stream: tones, else the prompt, else what a bridged leg hears, else silence; one packet a
//! frame, on the media clock.

use std::net::SocketAddr;

use super::packetize::Plan;
use super::{NoteKind, PacketSink, Stream};
use crate::dtmf::{EventSender, ToneGenerator};
use crate::media::codec::live::LiveEncoder;
use crate::media::codec::{MAX_FRAME_BYTES, silence};
use crate::media::{FRAME, FRAME_SAMPLES, MediaEvent};
use crate::rtp::packet::HEADER_LENGTH;
use crate::rtp::srtp::MAX_OVERHEAD;
use crate::session::{Codec, NegotiatedMedia};
use crate::time::Time;

/// Late frames that are still heard one by one; of a longer freeze the rest is passed over (500 ms).
const MAX_CATCH_UP: u32 = 25;

/// Frames of silence that are sent before discontinuous transmission begins, so that the peer's noise settles.
const DTX_AFTER: u32 = 10;
/// Then one of so many is sent, as Opus' own encoder does (400 ms): the way stays open, and the peer knows us alive.
const DTX_EVERY: u32 = 20;

/// Frames of 20 ms.
const FRAMES_A_SECOND: u32 = 50;
/// Rate in Hz of the tone generator.
pub(super) const TONE_RATE: u32 = 8_000;

/// Digits on their way.
pub(super) struct SendingTones {
    /// None: a press at a bridged leg, which nobody waits for and which lasts as long as it does there.
    id: Option<u64>,
    how: How,
}

enum How {
    /// RFC 4733, with offsets from the stream's timestamp at the first tick.
    Events { sender: EventSender, base: u32 },
    /// Made at 8 kHz, whatever the codec.
    InBand { generator: ToneGenerator, encoder: Box<LiveEncoder> },
    /// A press at a bridged leg, in the voice of the bridge.
    Bridged { generator: ToneGenerator },
}

impl How {
    /// The key that is held is up, after so many ms.
    fn release(&mut self, duration_ms: u32) {
        match self {
            How::Events { sender, .. } => sender.release(duration_ms),
            How::InBand { generator, .. } | How::Bridged { generator } => generator.release(duration_ms),
        }
    }
}

/// What one frame sends.
struct Outgoing {
    payload_type: u8,
    timestamp: u32,
    /// The marker that a telephone event asks for; none: audio, whose marker tells of a pause before it.
    event_marker: Option<bool>,
    length: usize,
}

impl Stream {
    /// `frames` frames have passed since the last tick: 1, or more where the machine was late. The frames between
    /// are skipped and counted; one packet is sent, with the timestamp of now.
    pub fn tick(&mut self, now: Time, frames: u32, sink: &mut impl PacketSink) {
        // Taken out for the tick so that it can be read while the rest changes; put back below.
        let Some(media) = self.media.take() else { return };
        let step = media.codec.clock_rate() / FRAMES_A_SECOND;
        let skipped = frames.saturating_sub(1);
        if skipped > 0 {
            self.statistics.skipped_frames += u64::from(skipped);
            self.timestamp = self.timestamp.wrapping_add(skipped.wrapping_mul(step));
            self.paused = true;
        }
        for late in (0..frames.clamp(1, MAX_CATCH_UP)).rev() {
            self.hear(now - FRAME * late, now);
        }
        self.ticked_at = Some(now);
        let destination = self.rules.destination().filter(|_| media.direction.sends() && !self.broken);
        self.speak(&media, destination, sink);
        // After a freeze of our own, what came meanwhile has yet to be read.
        if frames <= MAX_CATCH_UP
            && let Some(finding) = self.diagnosis.look(&media, &self.statistics, self.heard_at, now)
        {
            self.note_limited(NoteKind::Missing, now, |_| finding);
        }
        self.media = Some(media);
        self.report_when_due(now, sink);
        self.watch_silence(now);
        self.timestamp = self.timestamp.wrapping_add(step);
    }

    fn speak(&mut self, media: &NegotiatedMedia, destination: Option<SocketAddr>, sink: &mut impl PacketSink) {
        let mut packet = [0; HEADER_LENGTH + MAX_FRAME_BYTES + MAX_OVERHEAD];
        let Some((_, payload)) = packet.split_first_chunk_mut::<HEADER_LENGTH>() else { return };
        let Some(payload) = payload.first_chunk_mut::<MAX_FRAME_BYTES>() else { return };
        if destination.is_none() {
            self.fail_tones("the stream does not send now");
        }
        self.start_tones(media);
        let mut voiced = self.tones.is_some() || self.player.is_some();
        let mut outgoing = Outgoing {
            payload_type: media.send_payload_type,
            timestamp: self.timestamp,
            event_marker: None,
            length: 0,
        };
        if self.tones.is_some() {
            self.speak_tones(media, payload, &mut outgoing);
        } else if self.player.is_some() {
            outgoing.length = self.speak_prompt(media.codec, payload);
        } else {
            let (length, resting) = self.speak_bridged(media.codec, payload);
            outgoing.length = length;
            voiced = !resting;
        }
        self.silent_frames = if voiced { 0 } else { self.silent_frames.saturating_add(1) };
        let left_out =
            media.send_dtx && self.silent_frames > DTX_AFTER && !self.silent_frames.is_multiple_of(DTX_EVERY);
        let Some(destination) = destination.filter(|_| !left_out) else {
            self.paused = true;
            self.drop_gathered();
            return;
        };
        let frame = payload.get(..outgoing.length).unwrap_or_default();
        if outgoing.event_marker.is_none() && self.gather(media, frame, destination, sink) {
            return;
        }
        self.send_gathered(destination, sink);
        let plan = Plan {
            marker: outgoing.event_marker.unwrap_or(self.paused),
            payload_type: outgoing.payload_type,
            timestamp: outgoing.timestamp,
        };
        // Audio after an event follows a pause in the audio.
        self.paused = outgoing.event_marker.is_some();
        self.send_packet(plan, &mut packet, outgoing.length, destination, sink);
    }

    /// Gives the length of the payload.
    fn speak_prompt(&mut self, codec: Codec, payload: &mut [u8; MAX_FRAME_BYTES]) -> usize {
        let Some(player) = &mut self.player else { return silence(codec, payload) };
        let length = player.fill(codec, payload);
        if player.is_finished() {
            let play = player.play();
            self.player = None;
            self.tell(MediaEvent::PlayFinished { leg: self.leg, play });
        }
        length
    }

    fn speak_tones(&mut self, media: &NegotiatedMedia, payload: &mut [u8; MAX_FRAME_BYTES], outgoing: &mut Outgoing) {
        let Some(tones) = &mut self.tones else { return };
        if tones.id.is_none()
            && let Some(length) = self.bridge.as_ref().map_or(Some(0), |bridge| bridge.released())
        {
            tones.how.release(length);
        }
        let done = match &mut tones.how {
            How::InBand { generator, encoder } => {
                let mut samples = [0; FRAME_SAMPLES];
                generator.fill(&mut samples);
                if encoder.codec() != media.codec {
                    **encoder = LiveEncoder::new(TONE_RATE, media.codec);
                }
                outgoing.length = encoder.encode(&samples, payload).unwrap_or_else(|| silence(media.codec, payload));
                generator.is_done()
            }
            How::Bridged { generator } => {
                let mut samples = [0; FRAME_SAMPLES];
                generator.fill(&mut samples);
                let said = self.bridge.as_mut().and_then(|bridge| bridge.say_tone(&samples, media.codec, payload));
                outgoing.length = said.unwrap_or_else(|| silence(media.codec, payload));
                generator.is_done()
            }
            How::Events { sender, base } => {
                let event = sender.next();
                match (event, media.send_telephone_event) {
                    (Some(event), Some(format)) => {
                        if let Some(start) = payload.first_chunk_mut::<4>() {
                            *start = event.payload;
                        }
                        outgoing.payload_type = format.payload_type;
                        // Its offset is in its own clock, which may not be the codec's.
                        let (clock, own) = (u64::from(media.codec.clock_rate()), u64::from(format.clock_rate.max(1)));
                        let offset = u64::from(event.timestamp_offset) * clock / own;
                        outgoing.timestamp = base.wrapping_add(offset as u32);
                        outgoing.event_marker = Some(event.marker);
                        outgoing.length = event.payload.len();
                    }
                    _ => outgoing.length = silence(media.codec, payload),
                }
                sender.is_done()
            }
        };
        if done {
            let id = tones.id;
            self.tones = None;
            match (id, &mut self.bridge) {
                (Some(id), _) => self.tell(MediaEvent::TonesSent { leg: self.leg, id }),
                (None, Some(bridge)) => bridge.press_sent(),
                (None, None) => {}
            }
        }
    }

    /// Takes up the next digits when none are being sent; those without a digit are sent at once.
    fn start_tones(&mut self, media: &NegotiatedMedia) {
        let withdrawn = media.send_telephone_event.is_none();
        if withdrawn && let Some(SendingTones { id, how: How::Events { .. } }) = self.tones {
            self.tones = None;
            let reason = "telephone-event is no longer agreed".to_owned();
            match (id, &mut self.bridge) {
                (Some(id), _) => self.tell(MediaEvent::TonesFailed { leg: self.leg, id, reason }),
                (None, Some(bridge)) => bridge.press_sent(),
                (None, None) => {}
            }
        }
        while self.tones.is_none()
            && let Some(job) = self.waiting_tones.pop_front()
        {
            let id = job.id;
            if job.digits.is_empty() {
                self.tell(MediaEvent::TonesSent { leg: self.leg, id });
                continue;
            }
            let how = if let Some(format) = media.send_telephone_event {
                let sender = EventSender::new(job.digits, job.tone_ms, job.gap_ms).with_clock_rate(format.clock_rate);
                How::Events { sender, base: self.timestamp }
            } else {
                How::InBand {
                    generator: ToneGenerator::new(job.digits, job.tone_ms, job.gap_ms),
                    encoder: Box::new(LiveEncoder::new(TONE_RATE, media.codec)),
                }
            };
            self.tones = Some(SendingTones { id: Some(id), how });
        }
        self.start_press(media);
    }

    /// Takes up the next press of a bridged leg, when neither tones nor a prompt go before it.
    fn start_press(&mut self, media: &NegotiatedMedia) {
        let Some(bridge) = self.bridge.as_mut().filter(|_| self.tones.is_none()) else { return };
        if self.player.is_some() {
            bridge.drop_presses();
        }
        let Some(digit) = bridge.next_press() else { return };
        let how = if let Some(format) = media.send_telephone_event {
            let sender = EventSender::held(digit).with_clock_rate(format.clock_rate);
            How::Events { sender, base: self.timestamp }
        } else {
            How::Bridged { generator: ToneGenerator::held(digit) }
        };
        self.tones = Some(SendingTones { id: None, how });
    }

    fn fail_tones(&mut self, reason: &str) {
        let sending = self.tones.take().and_then(|tones| tones.id);
        self.bridge.iter_mut().for_each(|bridge| bridge.drop_presses());
        let waiting = std::mem::take(&mut self.waiting_tones);
        for id in sending.into_iter().chain(waiting.into_iter().map(|job| job.id)) {
            self.tell(MediaEvent::TonesFailed { leg: self.leg, id, reason: reason.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::dtmf::Digit;
    use crate::media::codec::{Decoder, MAX_PACKET_SAMPLES};
    use crate::media::stream::StreamConfig;
    use crate::media::{Clip, FRAME, PlayId};
    use crate::random::Random;
    use crate::rtp::packet::{Header, Packet};
    use crate::session::{Direction, EventFormat, LegId};

    #[derive(Default)]
    struct Wire(Vec<Vec<u8>>);

    impl PacketSink for Wire {
        fn rtp(&mut self, _: SocketAddr, packet: &[u8]) {
            self.0.push(packet.to_vec());
        }
        fn rtcp(&mut self, _: SocketAddr, _: &[u8]) {}
    }

    fn media(codec: Codec, event: Option<EventFormat>) -> NegotiatedMedia {
        NegotiatedMedia {
            remote_rtp: SocketAddr::from(([192, 0, 2, 10], 4_000)),
            remote_rtcp: SocketAddr::from(([192, 0, 2, 10], 4_001)),
            codec,
            send_payload_type: 99,
            receive_payload_types: vec![(99, codec)],
            send_telephone_event: event,
            receive_telephone_events: Vec::new(),
            direction: Direction::SendRecv,
            ptime_ms: 20,
            send_dtx: false,
            rtcp_mux: false,
            srtp: None,
        }
    }

    struct Leg {
        stream: Stream,
        now: Time,
    }

    impl Leg {
        fn new(media: NegotiatedMedia) -> Self {
            let now = Time::from_micros(1_700_000_000_000_000);
            let config = StreamConfig {
                rtp_timeout: Duration::ZERO,
                in_band: false,
                delay: crate::media::DelayBounds::default(),
            };
            let mut stream = Stream::new(LegId(1), config, Random::from_number(5), now);
            stream.connect(media, now);
            Leg { stream, now }
        }

        /// The one packet of a frame: header and payload.
        fn tick(&mut self) -> (Header, Vec<u8>) {
            self.now += FRAME;
            let mut wire = Wire::default();
            self.stream.tick(self.now, 1, &mut wire);
            assert_eq!(wire.0.len(), 1, "one packet a frame");
            let packet = Packet::parse(&wire.0[0]).unwrap();
            (packet.header, packet.payload.to_vec())
        }
    }

    fn tone(rate: u32, ms: u32) -> Arc<Clip> {
        let step = std::f64::consts::TAU * 700.0 / f64::from(rate);
        Arc::new(Clip::at_rate(
            (0..rate * ms / 1000).map(|n| ((step * f64::from(n)).sin() * 9e3) as i16).collect::<Vec<_>>(),
            rate,
        ))
    }

    #[test]
    fn each_codec_is_spoken_on_its_own_clock_a_packet_a_frame() {
        for codec in Codec::ALL {
            let mut leg = Leg::new(media(codec, None));
            let mut decoder = Decoder::new(codec);
            let mut pcm = [0; MAX_PACKET_SAMPLES];
            let mut loudness = Vec::new();
            let mut before: Option<Header> = None;
            for frame in 0..60 {
                match frame {
                    10 => leg.stream.play(PlayId(1), vec![tone(48_000, 400)], false),
                    40 => leg.stream.send_tones(1, vec![Digit::Five], 200, 100),
                    _ => {}
                }
                let (header, payload) = leg.tick();
                if let Some(before) = before {
                    assert_eq!(header.timestamp.wrapping_sub(before.timestamp), codec.clock_rate() / 50, "{codec:?}");
                    assert_eq!(header.sequence, before.sequence.wrapping_add(1));
                    assert!(!header.marker, "{codec:?}: no pause");
                }
                before = Some(header);
                let count = decoder.decode(&payload, &mut pcm).unwrap();
                loudness.push(pcm[..count].iter().map(|s| s.unsigned_abs()).max().unwrap());
            }
            for (frames, loud) in [(2..10, false), (12..30, true), (34..40, false), (43..49, true), (54..60, false)] {
                for &peak in &loudness[frames] {
                    assert!(if loud { peak > 3_000 } else { peak < 200 }, "{codec:?}: {loudness:?}");
                }
            }
        }
    }

    #[test]
    fn a_new_codec_goes_on_from_the_old_ones_timestamp_and_prompt() {
        let mut leg = Leg::new(media(Codec::Opus, None));
        leg.stream.play(PlayId(1), vec![tone(16_000, 1_000)], false);
        let mut sent = Vec::new();
        for frame in 0..50 {
            if frame == 25 {
                leg.stream.connect(media(Codec::Pcma, None), leg.now);
            }
            sent.push(leg.tick());
        }
        let steps: Vec<u32> =
            sent.windows(2).map(|pair| pair[1].0.timestamp.wrapping_sub(pair[0].0.timestamp)).collect();
        assert_eq!(steps[..25], [960; 25]);
        assert_eq!(steps[25..], [160; 24]);
        let silent = [0xD5; 160];
        assert!(sent[26..].iter().all(|(_, payload)| payload.len() == 160 && payload[..] != silent));
    }

    #[test]
    fn events_beside_opus_have_its_clock_or_the_one_that_was_agreed() {
        for (clock_rate, units) in [(48_000, 960), (8_000, 160)] {
            let mut leg = Leg::new(media(Codec::Opus, Some(EventFormat { payload_type: 101, clock_rate })));
            let (first, _) = leg.tick();
            leg.stream.send_tones(1, vec![Digit::One, Digit::Two], 100, 100);
            let mut starts = Vec::new();
            for frame in 1..=20u32 {
                let (header, payload) = leg.tick();
                let now = first.timestamp.wrapping_add(960 * frame);
                if header.payload_type != 101 {
                    assert_eq!(header.timestamp, now, "audio stays on the clock");
                    continue;
                }
                if header.marker {
                    assert_eq!(header.timestamp, now, "a press begins with the frame it is sent in");
                    assert_eq!(u16::from_be_bytes([payload[2], payload[3]]), units);
                    starts.push(header.timestamp);
                }
                assert_eq!(Some(&header.timestamp), starts.last());
            }
            assert_eq!(starts.len(), 2);
        }
    }

    #[test]
    fn a_frame_allocates_nothing_in_any_codec() {
        for codec in Codec::ALL {
            let mut leg = Leg::new(media(codec, None));
            let clip = tone(48_000, 2_000);
            clip.encoded(codec);
            leg.stream.play(PlayId(1), vec![clip], true);
            struct Nowhere;
            impl PacketSink for Nowhere {
                fn rtp(&mut self, _: SocketAddr, _: &[u8]) {}
                fn rtcp(&mut self, _: SocketAddr, _: &[u8]) {}
            }
            leg.tick();
            let counted = allocation_counter::measure(|| {
                for _ in 0..200 {
                    leg.now += FRAME;
                    leg.stream.tick(leg.now, 1, &mut Nowhere);
                }
            });
            assert_eq!(counted.count_total, 0, "{codec:?}");
        }
    }
}
