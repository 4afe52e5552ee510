//! Media: what a leg sends and hears, in 20 ms frames. This page holds the words that call control,
//! the engine and the media threads share; the work is in [`stream`] (pure) and [`worker`] (threads and sockets).
//!
//! What it leaves to others: SDP (`sip::sdp`), decoding prompt files (`prompt`), and making one
//! press of several reports of it (`dtmf::arbiter`, in call control).
//!
//! # What a stream promises
//! - Once connected, and while the direction lets us send, exactly one RTP packet leaves in each 20 ms frame (packets
//!   of another length where the peer asked for it, `stream::packetize`): tones where tones are being sent, else the
//!   prompt, else what the leg that it is bridged with hears (`stream::bridge`), else silence; where the peer asked for
//!   discontinuous transmission (Opus' `usedtx`), lasting silence is one packet in 400 ms. In Opus, too: silence is a
//!   packet of 8 bytes
//!   (3.2 kbit/s) instead of a pause (DTX), so that NAT bindings stay, the peer's timeouts do not run, and loss can be
//!   told from silence. Peers' own pauses are understood.
//! - What is played has been encoded by others, once for all its listeners; here it is copied ([`clip`], [`player`]).
//! - A prompt *pauses* while tones are sent and goes on where it stopped; it runs on, unheard, during a hold,
//!   so that no operation waits for the end of a hold.
//! - Late frames are skipped and counted, never sent in a burst; timestamps follow the clock, so the peer sees a gap.

pub mod clip;
pub mod codec;
pub mod hearing;
pub mod player;
pub mod resample;
pub mod source;
pub mod stream;
pub mod tap;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use clip::Clip;

use crate::dtmf::{Digit, Report};
pub use crate::rtp::delay::DelayBounds;
pub use crate::rtp::emodel::Rating;
pub use crate::rtp::statistics::StreamStatistics;
use crate::session::{LegId, NegotiatedMedia};

/// Samples in a frame: 20 ms at 8 kHz.
pub const FRAME_SAMPLES: usize = 160;
/// Length of a frame in milliseconds.
pub const FRAME_MS: u64 = 20;
/// Length of a frame.
pub const FRAME: Duration = Duration::from_millis(FRAME_MS);

/// Names one playing of a list of clips, so that its end can be told from an older one's. Chosen by call control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlayId(pub u64);

/// What call control asks of media. Commands for one leg are carried out in the order sent; one for a leg that is
/// not open is dropped (it crossed the leg's end), except [`MediaCommand::Close`], which is always answered.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "Connect comes a few times a leg: a box gains nothing")]
pub enum MediaCommand {
    /// Reserve an RTP/RTCP port pair. Answered by [`MediaEvent::Opened`] or [`MediaEvent::OpenFailed`]. A leg that is to
    /// talk with another one is opened `beside` it: on its thread, so this and all that follows of the leg is sent with
    /// the shard of that leg ([`worker::MediaPlane::send`]).
    Open { leg: LegId, beside: Option<LegId> },
    /// Start the stream, or change it (re-INVITE, hold, resume, new address or codec). What plays goes on playing.
    Connect { leg: LegId, media: NegotiatedMedia },
    /// Play the clips in order from the next frame, for ever where `repeat`; replaces what plays (whose
    /// [`MediaEvent::PlayFinished`] then never comes). Before `Connect`, playing begins with the stream.
    Play { leg: LegId, play: PlayId, clips: Vec<Arc<Clip>>, repeat: bool },
    /// Stop this playing; nothing happens when another one plays. No `PlayFinished` follows.
    StopPlay { leg: LegId, play: PlayId },
    /// Send digits: by RFC 4733 where it was negotiated, else as in-band tones. Each lasts `tone_ms` (40–5000, rounded
    /// up to a frame; outside it is clamped) with `gap_ms` (20–5000) of silence after each. Queued behind tones that
    /// are still being sent, up to 256 digits a leg; beyond, or where we may not send: [`MediaEvent::TonesFailed`].
    SendTones { leg: LegId, id: u64, digits: Vec<Digit>, tone_ms: u32, gap_ms: u32 },
    /// Listen for in-band tones or not (default: `MediaConfig::in_band`). RFC 4733 is always listened for.
    Detect { leg: LegId, in_band: bool },
    /// Keep what is heard from now on, at most `limit_frames` frames (and never over 30,000: ten minutes); it comes
    /// back in [`MediaEvent::Closed`]. What comes after the limit is not kept.
    Capture { leg: LegId, limit_frames: u32 },
    /// Keep the leg's RTP and RTCP from now on as it crosses the wire, at most `limit` bytes of it; it comes by
    /// [`MediaEvent::Tapped`]. A second tap of a leg does nothing.
    Tap { leg: LegId, limit: usize },
    /// From the next frame on, what `leg` hears goes out on `with`, and the other way round, whatever codecs, packet
    /// lengths and encryption they have; digits by RFC 4733, too. A leg that plays a prompt or sends tones sends those
    /// instead, and to one that is not connected yet nothing is sent, nor heard of it. Both must be open and on one
    /// thread; each ends the bridge that it had before. It ends with the first of them that is closed, or by `None`.
    Bridge { leg: LegId, with: Option<LegId> },
    /// End the stream (RTCP BYE) and free the ports. Always answered by [`MediaEvent::Closed`], once.
    Close { leg: LegId },
}

impl MediaCommand {
    /// The leg it is for.
    pub fn leg(&self) -> LegId {
        match self {
            MediaCommand::Open { leg, .. }
            | MediaCommand::Connect { leg, .. }
            | MediaCommand::Play { leg, .. }
            | MediaCommand::StopPlay { leg, .. }
            | MediaCommand::SendTones { leg, .. }
            | MediaCommand::Detect { leg, .. }
            | MediaCommand::Capture { leg, .. }
            | MediaCommand::Tap { leg, .. }
            | MediaCommand::Bridge { leg, .. }
            | MediaCommand::Close { leg } => *leg,
        }
    }
}

/// What media tells call control.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "Closed comes once a leg, and the others are rare: a box gains nothing")]
pub enum MediaEvent {
    /// RTP is received on `port` (even), RTCP on the next one.
    Opened { leg: LegId, port: u16 },
    /// No port pair could be had, or too many legs are open.
    OpenFailed { leg: LegId, reason: String },
    /// The last frame of the last clip has been sent.
    PlayFinished { leg: LegId, play: PlayId },
    /// A digit was reported by RFC 4733 or by the in-band detector: raw, one press may be reported both ways.
    Tone { leg: LegId, report: Report },
    /// All digits of this `SendTones` have been sent, with their gaps.
    TonesSent { leg: LegId, id: u64 },
    /// The digits were not sent, or not all of them.
    TonesFailed { leg: LegId, id: u64, reason: String },
    /// Nothing has come from the peer for this long, though it should send. Told once, until it is heard again.
    Silent { leg: LegId, for_: Duration },
    /// Something for the timeline: source locked, stranger ignored, first packet… At most 100 notes a leg, of them 8
    /// of strangers and 12 of each other repeating kind, and of such a kind one a second; beyond, they are dropped.
    Note { leg: LegId, text: String },
    /// Packets of a leg with a tap, to be read by [`tap::packets`]: about once a second, and before `Closed`.
    Tapped { leg: LegId, packets: Vec<u8> },
    /// The leg is gone and its ports are free. `heard` is what `Capture` kept.
    Closed { leg: LegId, statistics: StreamStatistics, heard: Option<Captured> },
}

/// What was heard on a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Of the samples, Hz: that of the codec heard first.
    pub sample_rate: u32,
    /// What was played, one channel.
    pub samples: Vec<i16>,
}

impl Captured {
    /// The samples at 8 kHz.
    pub fn at_8k(self) -> Vec<i16> {
        if self.sample_rate == 8_000 {
            return self.samples;
        }
        let mut out = Vec::with_capacity(self.samples.len() / 2);
        hearing::decimate::Decimator::default().feed(&self.samples, &mut |piece| out.extend_from_slice(piece));
        out
    }
}

impl MediaEvent {
    /// The leg it is about.
    pub fn leg(&self) -> LegId {
        match self {
            MediaEvent::Opened { leg, .. }
            | MediaEvent::OpenFailed { leg, .. }
            | MediaEvent::PlayFinished { leg, .. }
            | MediaEvent::Tone { leg, .. }
            | MediaEvent::TonesSent { leg, .. }
            | MediaEvent::TonesFailed { leg, .. }
            | MediaEvent::Silent { leg, .. }
            | MediaEvent::Note { leg, .. }
            | MediaEvent::Tapped { leg, .. }
            | MediaEvent::Closed { leg, .. } => *leg,
        }
    }
}
