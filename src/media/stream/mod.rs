//! One leg's media as a pure state machine: packets and moments in, packets and events out.
//!
//! - `secure.rs`: SRTP around all of it;
//! - [`Stream::receive_rtp`] / [`Stream::receive_rtcp`]: a datagram came (`receive.rs`, `report.rs`);
//! - [`Stream::tick`]: a frame has passed; hears one frame and sends one packet (`send.rs`);
//! - [`Stream::bridge`] / [`Stream::take_from`]: it says what another stream hears (`bridge.rs`);
//! - [`Stream::poll_event`]: what it has to tell.
//!
//! It holds no socket and reads no clock: [`super::worker`] does, and so does a test. Work for a packet allocates
//! nothing; only notes for the timeline and rare changes do. One stream takes about 30 kB.

mod bridge;
mod diagnosis;
mod packetize;
mod quality;
mod receive;
mod report;
mod secure;
mod send;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use self::diagnosis::Diagnosis;
use super::clip::Clip;
use super::hearing::Hearing;
use super::player::Player;
use super::source::SourceRules;
use super::{Captured, DelayBounds, FRAME_MS, MediaEvent, PlayId};
use crate::dtmf::{Detector, Digit, EventReceiver};
use crate::random::Random;
use crate::rtp::rtcp;
use crate::rtp::sequence::Sequence;
use crate::rtp::statistics::StreamStatistics;
use crate::session::{Codec, LegId, NegotiatedMedia};
use crate::time::Time;

/// Most frames that a capture keeps: ten minutes (9.6 MB).
pub const MAX_CAPTURE_FRAMES: u32 = 30_000;
/// Most digits waiting to be sent.
pub const MAX_WAITING_DIGITS: usize = 256;
/// Events waiting for [`Stream::poll_event`], which is called after every tick; beyond, the newest are dropped.
const MAX_EVENTS: usize = 512;
/// Notes of one leg for the timeline, of those that belong to no [`NoteKind`]; beyond, they are dropped.
const MAX_NOTES: u32 = 32;
/// Notes of one leg of each [`NoteKind`], so that none takes the place of another; beyond, they are dropped.
const MAX_NOTES_OF_KIND: u32 = 12;
/// The same for strangers, whose number nothing bounds and whose doings are no news after a few.
const MAX_STRANGER_NOTES: u32 = 8;
/// Least distance of two notes of the same repeating kind.
const NOTE_INTERVAL: Duration = Duration::from_secs(1);

/// What of a stream is settings, not negotiation.
#[derive(Clone, Copy, Debug)]
pub struct StreamConfig {
    /// Silence from the peer that is reported; zero: never.
    pub rtp_timeout: Duration,
    /// Listen for in-band tones until told otherwise.
    pub in_band: bool,
    /// Within what the delay of what is heard follows the network's jitter.
    pub delay: DelayBounds,
}

/// Takes the packets that a stream sends.
pub trait PacketSink {
    /// To be sent from the RTP port.
    fn rtp(&mut self, to: SocketAddr, packet: &[u8]);
    /// To be sent from the RTCP port.
    fn rtcp(&mut self, to: SocketAddr, packet: &[u8]);
}

/// Notes that may repeat: each kind is limited in rate, and has a budget of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NoteKind {
    /// Of packets that are not the peer's, or not RTP.
    Stranger,
    Restart,
    /// Each payload type once for each negotiation, so that no rate need limit it.
    UnknownPayload,
    Silence,
    Lock,
    /// Nothing is heard of the peer.
    Missing,
    /// What comes cannot be decrypted.
    Undecrypted,
}

impl NoteKind {
    const COUNT: usize = NoteKind::Undecrypted as usize + 1;

    fn budget(self) -> u32 {
        if self == NoteKind::Stranger { MAX_STRANGER_NOTES } else { MAX_NOTES_OF_KIND }
    }
}

/// What was noted of a kind.
#[derive(Clone, Copy, Default)]
struct Noted {
    count: u32,
    last: Option<Time>,
}

/// Digits that wait to be sent.
#[derive(Clone, Debug)]
struct ToneJob {
    id: u64,
    digits: Vec<Digit>,
    tone_ms: u32,
    gap_ms: u32,
}

/// What is kept of what is heard.
#[derive(Clone, Debug)]
struct Capture {
    heard: Captured,
    /// In frames.
    limit: usize,
}

impl Capture {
    /// Keeps a frame of `rate` Hz. The first one's rate is that of all; another one's is brought to it.
    fn keep(&mut self, frame: &[i16], rate: u32) {
        let Captured { sample_rate, samples } = &mut self.heard;
        if samples.is_empty() {
            *sample_rate = rate;
        }
        let length = *sample_rate as usize / 50;
        if samples.len() >= self.limit * length {
            return;
        }
        if *sample_rate == rate {
            samples.extend_from_slice(frame);
        } else {
            // Rare (the peer changed its codec): every second sample, or each one twice.
            samples.extend((0..length).map(|n| frame.get(n * frame.len() / length).copied().unwrap_or(0)));
        }
    }
}

/// The source as it was last heard.
#[derive(Clone, Debug)]
struct Received {
    ssrc: u32,
    sequence: Sequence,
    jitter: rtcp::Jitter,
    /// Middle of the NTP time of its last SR, and when that came.
    last_sr: Option<(u32, Time)>,
}

/// A leg's media.
pub struct Stream {
    leg: LegId,
    config: StreamConfig,
    random: Random,
    media: Option<NegotiatedMedia>,
    rules: SourceRules,
    /// None: plain RTP.
    srtp: Option<Box<secure::Secured>>,
    /// SRTP was agreed and cannot be had: nothing is sent or heard.
    broken: bool,

    received: Option<Received>,
    hearing: Hearing,
    /// When the last tick was.
    ticked_at: Option<Time>,
    event_receiver: EventReceiver,
    detector: Option<Detector>,
    heard_at: Time,
    silence_told: bool,
    capture: Option<Capture>,
    /// Packets lost from earlier SSRCs.
    lost_before: u64,
    /// Gaps in the peer's sequence numbers: runs of loss.
    loss_runs: u64,
    /// The codec heard last.
    heard_codec: Option<Codec>,
    diagnosis: Diagnosis,

    ssrc: u32,
    sequence: u16,
    /// Of the frame that the next tick sends: runs with the clock, whether we send or not.
    timestamp: u32,
    /// The next audio packet follows a pause.
    paused: bool,
    gathered: packetize::Gathered,
    /// Frames of silence since there was something to say.
    silent_frames: u32,
    player: Option<Player>,
    waiting_tones: VecDeque<ToneJob>,
    tones: Option<send::SendingTones>,
    /// While it talks with another leg.
    bridge: Option<Box<bridge::Bridge>>,

    cname: String,
    next_report: Time,
    reported_packets: Option<u64>,
    peer_rtcp: Option<SocketAddr>,

    statistics: StreamStatistics,
    notes: u32,
    noted: [Noted; NoteKind::COUNT],
    events: VecDeque<MediaEvent>,
}

impl Stream {
    /// A stream that waits for [`connect`](Self::connect). `random` gives SSRC, first sequence number and timestamp
    /// (RFC 3550 §5.1 wants them unguessable) and a CNAME that names nobody (RFC 7022).
    pub fn new(leg: LegId, config: StreamConfig, mut random: Random, now: Time) -> Self {
        Stream {
            leg,
            config,
            media: None,
            rules: SourceRules::new(SocketAddr::from(([0, 0, 0, 0], 0))),
            srtp: None,
            broken: false,
            received: None,
            hearing: Hearing::new(config.delay),
            ticked_at: None,
            event_receiver: EventReceiver::new(8_000),
            detector: config.in_band.then(Detector::new),
            heard_at: now,
            silence_told: false,
            capture: None,
            lost_before: 0,
            loss_runs: 0,
            heard_codec: None,
            diagnosis: Diagnosis::default(),
            ssrc: random.u32(),
            sequence: random.u32() as u16,
            timestamp: random.u32(),
            paused: true,
            gathered: packetize::Gathered::default(),
            silent_frames: 0,
            player: None,
            waiting_tones: VecDeque::new(),
            tones: None,
            bridge: None,
            cname: random.token(12),
            next_report: now,
            reported_packets: None,
            peer_rtcp: None,
            statistics: StreamStatistics::default(),
            notes: 0,
            noted: [Noted::default(); NoteKind::COUNT],
            events: VecDeque::new(),
            random,
        }
    }

    /// Which leg this is.
    pub fn leg(&self) -> LegId {
        self.leg
    }

    /// Has it been told what was negotiated?
    pub fn is_connected(&self) -> bool {
        self.media.is_some()
    }

    /// Starts, or changes to what was negotiated anew.
    pub fn connect(&mut self, media: NegotiatedMedia, now: Time) {
        if self.media.is_none() {
            self.rules = SourceRules::new(media.remote_rtp);
            self.next_report = now + rtcp::interval(true, &mut self.random);
        } else {
            self.rules.renegotiate(media.remote_rtp, now);
        }
        if self.media.as_ref().is_none_or(|before| before.remote_rtcp != media.remote_rtcp) {
            self.peer_rtcp = None;
        }
        // A hold, or the time before an answer, is not the peer's silence.
        self.heard_at = now;
        self.silence_told = false;
        self.note(format!(
            "media: {} as payload type {} to {}, {:?}, telephone-event {}",
            media.codec.encoding_name(),
            media.send_payload_type,
            media.remote_rtp,
            media.direction,
            media.send_telephone_event.map_or("not agreed".to_owned(), |number| number.to_string()),
        ));
        self.take_keys(&media, now);
        self.diagnosis.connected(&media, &self.statistics, now);
        self.statistics.codec = Some(media.codec);
        self.media = Some(media);
    }

    /// Plays clips from the next frame on, instead of what plays.
    pub fn play(&mut self, play: PlayId, clips: Vec<Arc<Clip>>, repeat: bool) {
        self.player = Some(Player::new(play, clips, repeat));
    }

    /// Stops this playing, if it is the one.
    pub fn stop_play(&mut self, play: PlayId) {
        self.player.take_if(|player| player.play() == play);
    }

    /// Queues digits to be sent.
    pub fn send_tones(&mut self, id: u64, digits: Vec<Digit>, tone_ms: u32, gap_ms: u32) {
        let waiting: usize = self.waiting_tones.iter().map(|job| job.digits.len().max(1)).sum();
        if waiting + digits.len().max(1) > MAX_WAITING_DIGITS {
            let reason = format!("more than {MAX_WAITING_DIGITS} digits are waiting");
            self.tell(MediaEvent::TonesFailed { leg: self.leg, id, reason });
            return;
        }
        let (tone_ms, gap_ms) = (tone_ms.clamp(40, 5_000), gap_ms.clamp(20, 5_000));
        self.waiting_tones.push_back(ToneJob { id, digits, tone_ms, gap_ms });
    }

    /// Listens for in-band tones or stops it.
    pub fn detect_in_band(&mut self, on: bool) {
        if on != self.detector.is_some() {
            self.detector = on.then(Detector::new);
        }
    }

    /// Keeps what is heard from now on, up to `limit_frames`; what an earlier capture kept is dropped.
    pub fn capture(&mut self, limit_frames: u32) {
        let limit = limit_frames.min(MAX_CAPTURE_FRAMES) as usize;
        let sample_rate = self.media.as_ref().map_or(8_000, |media| media.codec.sample_rate());
        let samples = Vec::with_capacity(limit.min(3_000) * sample_rate as usize / 50);
        self.capture = Some(Capture { heard: Captured { sample_rate, samples }, limit });
    }

    /// Ends the stream: says goodbye by RTCP and gives the final figures.
    pub fn close(&mut self, now: Time, sink: &mut impl PacketSink) -> MediaEvent {
        self.say_goodbye(now, sink);
        self.media = None;
        MediaEvent::Closed {
            leg: self.leg,
            statistics: self.statistics(),
            heard: self.capture.take().map(|capture| capture.heard),
        }
    }

    /// The figures so far.
    pub fn statistics(&self) -> StreamStatistics {
        let mut statistics = self.statistics.clone();
        if let Some(received) = &self.received {
            statistics.packets_lost = self.lost_before + received.sequence.lost();
            statistics.jitter_ms = received.jitter.milliseconds();
            statistics.max_jitter_ms = statistics.max_jitter_ms.max(received.jitter.highest_milliseconds());
        }
        statistics.source = self.rules.source();
        let figures = self.hearing.figures();
        statistics.played_ms = figures.played_ms;
        statistics.concealed_ms = figures.concealed_ms;
        statistics.concealed_frames = (figures.concealed_ms / FRAME_MS as f64).ceil() as u64;
        statistics.recovered_ms = figures.recovered_ms;
        statistics.stretched_ms = figures.lengthened_ms + figures.shortened_ms;
        statistics.skipped_ms = figures.skipped_ms;
        statistics.holes = figures.bursts;
        statistics.undecodable = figures.undecodable;
        statistics.playout_delay_ms = figures.delay_ms;
        statistics.mean_playout_delay_ms = figures.mean_delay_ms;
        statistics.target_delay_ms = figures.target_ms;
        statistics.heard = self.rate_heard(&statistics);
        statistics.sent = self.rate_sent(&statistics);
        statistics
    }

    /// Packets ignored so far because of whom they came from, and because of what they are.
    pub fn ignored(&self) -> (u64, u64) {
        (self.statistics.strangers, self.statistics.malformed)
    }

    /// The source, while nobody else can become it: see [`SourceRules::settled`].
    pub fn settled_source(&self, now: Time) -> Option<SocketAddr> {
        self.rules.settled(now)
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    fn tell(&mut self, event: MediaEvent) {
        tell(&mut self.events, event);
    }

    fn note(&mut self, text: String) {
        if self.notes < MAX_NOTES {
            self.notes += 1;
            self.tell(MediaEvent::Note { leg: self.leg, text });
        }
    }

    /// The text is only made when it is told.
    fn note_limited(&mut self, kind: NoteKind, now: Time, text: impl FnOnce(&Self) -> String) {
        let Some(noted) = self.noted.get_mut(kind as usize) else { return };
        let recent = kind != NoteKind::UnknownPayload && noted.last.is_some_and(|at| now.since(at) < NOTE_INTERVAL);
        if !recent && noted.count < kind.budget() {
            *noted = Noted { count: noted.count + 1, last: Some(now) };
            let text = text(self);
            self.tell(MediaEvent::Note { leg: self.leg, text });
        }
    }
}

fn tell(events: &mut VecDeque<MediaEvent>, event: MediaEvent) {
    if events.len() < MAX_EVENTS {
        events.push_back(event);
    }
}
