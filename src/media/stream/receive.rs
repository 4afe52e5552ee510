//! The hearing half of a stream: datagram → checked packet → right source → order → samples → detector and capture.

use std::net::SocketAddr;
use std::time::Duration;

use super::diagnosis::is_comfort_noise;
use super::{NoteKind, Received, Stream, tell};
use crate::dtmf::ToneReport;
use crate::dtmf::event::EventArrival;
use crate::media::MediaEvent;
use crate::media::hearing::{self, Origin};
use crate::media::source::{Judgement, is_somewhere};
use crate::rtp::packet::{Packet, PacketError};
use crate::rtp::rtcp::Jitter;
use crate::rtp::sequence::{Arrival, Sequence};
use crate::session::Codec;
use crate::time::Time;

/// Where the last tick is longer ago than this, we are late, and so is what we see: its arrival says nothing.
const PUNCTUAL: Duration = Duration::from_millis(30);

/// The second bytes that are RTCP's where it shares the port (RFC 5761 §4).
const RTCP_TYPES: std::ops::RangeInclusive<u8> = 192..=223;

/// What a payload type stands for.
#[derive(Clone, Copy)]
enum Meaning {
    Audio(Codec),
    /// At that clock rate.
    Event(u32),
}

impl Stream {
    /// A datagram came on the RTP port.
    pub fn receive_rtp(&mut self, bytes: &[u8], from: SocketAddr, now: Time) {
        let Some(media) = &self.media else { return };
        if media.rtcp_mux && bytes.get(1).is_some_and(|kind| RTCP_TYPES.contains(kind)) {
            return self.receive_rtcp(bytes, from, now);
        }
        if !self.broken {
            self.opened(bytes, from, now, false, |stream, plain| stream.receive_plain_rtp(plain, from, now));
        }
    }

    fn receive_plain_rtp(&mut self, bytes: &[u8], from: SocketAddr, now: Time) {
        let Some(media) = &self.media else { return };
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                self.statistics.malformed += 1;
                // RTCP on this port comes from peers that multiplex unasked: harmless, and not worth a note.
                if error != PacketError::Rtcp {
                    self.note_limited(NoteKind::Stranger, now, |_| {
                        format!("a packet from {from} was dropped: {error}")
                    });
                }
                return;
            }
        };
        let header = packet.header;
        let number = header.payload_type;
        let audio = media.receive_payload_types.iter().find(|(known, _)| *known == number);
        let event = media.receive_telephone_events.iter().find(|event| event.payload_type == number);
        let meaning = match (audio, event) {
            (Some(&(_, codec)), _) => Meaning::Audio(codec),
            (None, Some(event)) => {
                self.event_receiver.set_clock_rate(event.clock_rate);
                Meaning::Event(event.clock_rate)
            }
            (None, None) => {
                self.receive_unknown(&packet, from, now);
                return;
            }
        };
        let receives = media.direction.receives();
        let expected = receives && is_somewhere(media.remote_rtp);
        match self.rules.judge(from, &header, expected, now) {
            Judgement::Ours => {}
            Judgement::Locked { before } => self.locked(from, before, meaning, now),
            Judgement::Probation => return,
            Judgement::Stranger => {
                self.statistics.strangers += 1;
                self.note_limited(NoteKind::Stranger, now, |stream| {
                    let ours = stream.rules.source().map_or("nobody".to_owned(), |source| source.to_string());
                    format!("RTP from stranger {from} ignored; we listen to {ours}")
                });
                return;
            }
        }
        self.statistics.packets_received += 1;
        self.statistics.octets_received += packet.payload.len() as u64;
        self.heard(now);
        if receives {
            self.take(&packet, meaning, now);
        }
    }

    /// Hears one frame, which was due at `due`: what the packets hold goes to the detector, and what is played of it to
    /// the capture.
    pub(super) fn hear(&mut self, due: Time, now: Time) {
        let (leg, events, detector) = (self.leg, &mut self.events, &mut self.detector);
        let steady = detector.as_ref().is_some_and(|detector| detector.current().is_some());
        // What is heard has arrived before: keys that are told at once must not pass it.
        let waiting = self.hearing.waiting() + now.since(due);
        let begun = self.hearing.begun();
        let frame = self.hearing.frame(due, steady, &mut |samples, origin| {
            let Some(detector) = detector.as_mut() else { return };
            let report = &mut |heard: ToneReport| {
                tell(events, MediaEvent::Tone { leg, report: heard.at(now).after(waiting) });
            };
            match origin {
                Origin::Peer => detector.feed(samples, report),
                Origin::MadeUp => detector.feed_concealed(samples, report),
            }
        });
        let watched = frame.real && self.diagnosis.wants_level();
        let finding = if watched { self.diagnosis.level(frame.samples) } else { None };
        if let Some(capture) = &mut self.capture {
            capture.keep(frame.samples, frame.sample_rate);
        }
        if let Some(bridge) = self.bridge.as_mut().filter(|_| begun) {
            bridge.hear(&frame, now);
        }
        if let Some(finding) = finding {
            self.note(finding);
        }
        if let Some((codec, length)) = self.hearing.take_undecodable() {
            self.note(format!("a payload of {length} bytes is not valid {}", codec.encoding_name()));
        }
        let (leg, events, bridge) = (self.leg, &mut self.events, &mut self.bridge);
        self.event_receiver.poll(now, &mut |report| {
            bridge.iter_mut().for_each(|bridge| bridge.pressed(&report, now, waiting));
            tell(events, MediaEvent::Tone { leg, report });
        });
    }

    /// Tells, once, that nothing has come for too long.
    pub(super) fn watch_silence(&mut self, now: Time) {
        let Some(media) = &self.media else { return };
        let limit = self.config.rtp_timeout;
        if limit.is_zero() || self.silence_told || !media.direction.receives() || !is_somewhere(media.remote_rtp) {
            return;
        }
        let silent = now.since(self.heard_at);
        if silent >= limit {
            self.silence_told = true;
            self.tell(MediaEvent::Silent { leg: self.leg, for_: silent });
        }
    }

    fn heard(&mut self, now: Time) {
        if self.silence_told {
            self.silence_told = false;
            self.note_limited(NoteKind::Silence, now, |_| "RTP is heard again".to_owned());
        }
        self.heard_at = now;
    }

    /// A payload type that was not agreed: from the source a sign of life (comfort noise, keep-alive) that says nothing
    /// but takes a sequence number; else nothing. Of the peer's host it is told what that means, of others only that.
    fn receive_unknown(&mut self, packet: &Packet<'_>, from: SocketAddr, now: Time) {
        let Some(media) = &self.media else { return };
        let (header, payload) = (packet.header, packet.payload);
        let number = header.payload_type;
        let source = self.rules.source();
        let is_source = source == Some(from);
        let is_peer = is_source || self.rules.is_peer_host(from);
        let told = if is_peer {
            self.diagnosis.unagreed(media, number, payload)
        } else {
            self.diagnosis.unagreed_from_stranger(number);
            None
        };
        // Comfort noise may be all that a peer has said yet, before any audio locked it.
        if is_source || (is_peer && source.is_none() && is_comfort_noise(number)) {
            self.statistics.unknown_payload += 1;
            self.heard(now);
        } else {
            self.statistics.strangers += 1;
        }
        if is_source
            && let Some(received) = self.received.as_mut().filter(|received| received.ssrc == header.ssrc)
            && let Arrival::Next { .. } | Arrival::Reordered = received.sequence.update(header.sequence)
        {
            self.hearing.take_other(header.sequence, header.timestamp);
        }
        match told {
            Some(text) => self.note_limited(NoteKind::UnknownPayload, now, |_| format!("from {from}: {text}")),
            None if is_peer => {}
            None => self.note_limited(NoteKind::Stranger, now, |_| {
                format!("RTP from stranger {from} ignored; its payload type {number} was not agreed")
            }),
        }
    }

    fn locked(&mut self, source: SocketAddr, before: Option<SocketAddr>, meaning: Meaning, now: Time) {
        let what = match meaning {
            Meaning::Audio(codec) => codec.encoding_name(),
            Meaning::Event(_) => "telephone-event",
        };
        let signalled = self.media.as_ref().map(|media| media.remote_rtp);
        let how = if signalled == Some(source) { "as signalled" } else { "not the signalled address" };
        self.note_limited(NoteKind::Lock, now, |_| match before {
            None => format!("first RTP: {what} from {source}, {how}"),
            Some(before) => format!("RTP now comes from {source} ({how}), no longer from {before}"),
        });
    }

    /// A packet of the source: puts it where it belongs.
    fn take(&mut self, packet: &Packet<'_>, meaning: Meaning, now: Time) {
        let header = packet.header;
        let arrival = match (&mut self.received, meaning) {
            (Some(received), _) if received.ssrc == header.ssrc => received.sequence.update(header.sequence),
            // Some gateways send events with an SSRC of their own beside the audio's. Order, loss and playout are the
            // audio's alone; such events are only counted as received.
            (_, Meaning::Event(clock_rate)) => return self.take_event(packet, clock_rate, now),
            (_, Meaning::Audio(_)) => {
                self.begin_source(header.ssrc, header.sequence, now);
                Arrival::Next { missing: 0 }
            }
        };
        match arrival {
            Arrival::Next { missing } => self.loss_runs += u64::from(missing > 0),
            Arrival::Reordered => self.statistics.reordered += 1,
            Arrival::Duplicate => self.statistics.duplicates += 1,
            Arrival::Wild => {}
            Arrival::Restarted => {
                self.hearing.reset();
                self.restarted(now, "its sequence numbers jumped");
            }
        }
        match meaning {
            Meaning::Event(clock_rate) => self.take_event(packet, clock_rate, now),
            Meaning::Audio(_) if matches!(arrival, Arrival::Duplicate | Arrival::Wild) => {}
            Meaning::Audio(codec) => {
                self.heard_codec = Some(codec);
                if matches!(arrival, Arrival::Next { .. })
                    && let Some(received) = &mut self.received
                {
                    received.jitter.update(header.timestamp, codec.clock_rate(), now);
                }
                let punctual = self.ticked_at.is_none_or(|ticked| now.since(ticked) <= PUNCTUAL);
                match self.hearing.take(codec, header.sequence, header.timestamp, packet.payload, now, punctual) {
                    hearing::Arrival::Kept => {}
                    hearing::Arrival::Duplicate => self.statistics.duplicates += 1,
                    hearing::Arrival::Late => self.statistics.late += 1,
                    hearing::Arrival::Jumped => self.restarted(now, "its timestamps jumped"),
                }
            }
        }
    }

    fn take_event(&mut self, packet: &Packet<'_>, clock_rate: u32, now: Time) {
        let header = packet.header;
        let (leg, events, bridge) = (self.leg, &mut self.events, &mut self.bridge);
        let waiting = self.hearing.waiting();
        let arrival = EventArrival {
            sequence: header.sequence,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: packet.payload,
        };
        let mut report = |report| {
            bridge.iter_mut().for_each(|bridge| bridge.pressed(&report, now, waiting));
            tell(events, MediaEvent::Tone { leg, report });
        };
        if self.event_receiver.receive(arrival, now, &mut report).is_err() {
            self.statistics.malformed += 1;
            return;
        }
        // While the event lasts no audio is sent: nothing is lost that should be concealed. Another SSRC's timestamps
        // say nothing about the audio.
        let of_the_audio = self.received.as_ref().is_some_and(|received| received.ssrc == header.ssrc);
        if of_the_audio && let Some(&[_, _, high, low]) = packet.payload.first_chunk::<4>() {
            let duration = u16::from_be_bytes([high, low]);
            self.hearing.take_event(header.sequence, header.timestamp, duration, clock_rate);
        }
    }

    /// The first audio packet of an SSRC. Presses are no matter of it: a repeated end may come after it.
    fn begin_source(&mut self, ssrc: u32, sequence: u16, now: Time) {
        let fresh = Received { ssrc, sequence: Sequence::new(sequence), jitter: Jitter::default(), last_sr: None };
        if let Some(before) = self.received.replace(fresh) {
            self.lost_before += before.sequence.lost();
            let highest = before.jitter.highest_milliseconds();
            self.statistics.max_jitter_ms = self.statistics.max_jitter_ms.max(highest);
            self.hearing.reset();
            self.restarted(now, "its SSRC changed");
        }
    }

    fn restarted(&mut self, now: Time, why: &str) {
        self.statistics.restarts += 1;
        self.note_limited(NoteKind::Restart, now, |_| format!("the peer's RTP began anew: {why}"));
    }
}
