//! The speaking half of a stream: tones, else the prompt, else silence; one packet a frame, on the media clock.

use std::net::SocketAddr;

use super::{PacketSink, Stream};
use crate::dtmf::{EventSender, ToneGenerator};
use crate::media::codec::g711::{self, Law};
use crate::media::{FRAME_SAMPLES, MediaEvent};
use crate::rtp::packet::{HEADER_LENGTH, Header, write_header};
use crate::session::{Codec, NegotiatedMedia};
use crate::time::Time;

/// Late frames that are still heard one by one; of a longer freeze the rest is passed over (500 ms).
const MAX_CATCH_UP: u32 = 25;

/// Digits on their way.
pub(super) struct SendingTones {
    id: u64,
    how: How,
}

enum How {
    /// RFC 4733, with offsets from the stream's timestamp at the first tick.
    Events {
        sender: EventSender,
        base: u32,
    },
    InBand(ToneGenerator),
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
        let skipped = frames.saturating_sub(1);
        if skipped > 0 {
            self.statistics.skipped_frames += u64::from(skipped);
            self.timestamp = self.timestamp.wrapping_add(skipped.wrapping_mul(FRAME_SAMPLES as u32));
            self.paused = true;
        }
        for _ in 0..frames.clamp(1, MAX_CATCH_UP) {
            self.hear(now);
        }
        let destination = self.rules.destination().filter(|_| media.direction.sends());
        self.speak(&media, destination, sink);
        if let Some(finding) = self.diagnosis.look(&media, &self.statistics, now) {
            self.note(finding);
        }
        self.media = Some(media);
        self.report_when_due(now, sink);
        self.watch_silence(now);
        self.timestamp = self.timestamp.wrapping_add(FRAME_SAMPLES as u32);
    }

    fn speak(&mut self, media: &NegotiatedMedia, destination: Option<SocketAddr>, sink: &mut impl PacketSink) {
        let mut packet = [0; HEADER_LENGTH + FRAME_SAMPLES];
        let (head, payload) = packet.split_at_mut(HEADER_LENGTH);
        if destination.is_none() {
            self.fail_tones("the stream does not send now");
        }
        self.start_tones(media);
        let mut outgoing = Outgoing {
            payload_type: media.send_payload_type,
            timestamp: self.timestamp,
            event_marker: None,
            length: FRAME_SAMPLES,
        };
        if self.tones.is_some() {
            self.speak_tones(media, payload, &mut outgoing);
        } else {
            self.speak_prompt(media.codec, payload);
        }
        let Some(destination) = destination else {
            self.paused = true;
            return;
        };
        let header = Header {
            marker: outgoing.event_marker.unwrap_or(self.paused),
            payload_type: outgoing.payload_type,
            sequence: self.sequence,
            timestamp: outgoing.timestamp,
            ssrc: self.ssrc,
        };
        // Audio after an event follows a pause in the audio.
        self.paused = outgoing.event_marker.is_some();
        if let Some(head) = head.first_chunk_mut::<HEADER_LENGTH>() {
            write_header(&header, head);
        }
        if let Some(bytes) = packet.get(..HEADER_LENGTH + outgoing.length) {
            sink.rtp(destination, bytes);
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.statistics.packets_sent += 1;
        self.statistics.octets_sent += outgoing.length as u64;
    }

    fn speak_prompt(&mut self, codec: Codec, payload: &mut [u8]) {
        let Some(player) = &mut self.player else {
            payload.fill(g711::silence(Law::of(codec).unwrap_or(Law::Mu)));
            return;
        };
        player.fill(codec, payload);
        if player.is_finished() {
            let play = player.play();
            self.player = None;
            self.tell(MediaEvent::PlayFinished { leg: self.leg, play });
        }
    }

    fn speak_tones(&mut self, media: &NegotiatedMedia, payload: &mut [u8], outgoing: &mut Outgoing) {
        let Some(tones) = &mut self.tones else { return };
        let done = match &mut tones.how {
            How::InBand(generator) => {
                let mut samples = [0; FRAME_SAMPLES];
                generator.fill(&mut samples);
                g711::encode_into(Law::of(media.codec).unwrap_or(Law::Mu), &samples, payload);
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
                        outgoing.timestamp = base.wrapping_add(event.timestamp_offset);
                        outgoing.event_marker = Some(event.marker);
                        outgoing.length = event.payload.len();
                    }
                    _ => payload.fill(g711::silence(Law::of(media.codec).unwrap_or(Law::Mu))),
                }
                sender.is_done()
            }
        };
        if done {
            let id = tones.id;
            self.tones = None;
            self.tell(MediaEvent::TonesSent { leg: self.leg, id });
        }
    }

    /// Takes up the next digits when none are being sent; those without a digit are sent at once.
    fn start_tones(&mut self, media: &NegotiatedMedia) {
        let withdrawn = media.send_telephone_event.is_none();
        if withdrawn && let Some(SendingTones { id, how: How::Events { .. } }) = self.tones {
            self.tones = None;
            let reason = "telephone-event is no longer agreed".to_owned();
            self.tell(MediaEvent::TonesFailed { leg: self.leg, id, reason });
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
                How::InBand(ToneGenerator::new(job.digits, job.tone_ms, job.gap_ms))
            };
            self.tones = Some(SendingTones { id, how });
        }
    }

    fn fail_tones(&mut self, reason: &str) {
        let sending = self.tones.take().map(|tones| tones.id);
        let waiting = std::mem::take(&mut self.waiting_tones);
        for id in sending.into_iter().chain(waiting.into_iter().map(|job| job.id)) {
            self.tell(MediaEvent::TonesFailed { leg: self.leg, id, reason: reason.to_owned() });
        }
    }
}
