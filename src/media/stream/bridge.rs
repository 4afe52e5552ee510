//! Two legs that talk: what one hears, the other says, a frame a tick, in its own codec; and digits that one hears as
//! telephone events (RFC 4733) the other sends as it can, as long as the key is down.
//!
//! Both legs live by one clock, ours (how each peer's clock differs from it is `hearing`'s matter), in different slots
//! of the frame: a frame waits for the other's next tick, less than 20 ms. Only where the machine was late the legs may
//! have skipped different numbers of frames: then too many wait, and two of them become one; or none, and one is made
//! up. When a leg says something else (a prompt, tones, nothing during a hold), what the other says is lost.
//!
//! In a press the audio of the leg that hears it is silence, until what its peer may have sent of the tone besides the
//! events has passed. A press that is only audible is audio, and crosses as such.
//!
//! Whoever owns both streams calls [`Stream::take_from`] before each tick. Encoders and resamplers are made when the
//! bridge begins or a codec changes; after that nothing allocates but the sender of a press.

use std::collections::VecDeque;
use std::time::Duration;

use super::Stream;
use super::send::TONE_RATE;
use crate::dtmf::{Digit, Phase, Report, Way};
use crate::media::codec::live::LiveEncoder;
use crate::media::codec::{MAX_FRAME_BYTES, silence};
use crate::media::hearing::Frame;
use crate::media::hearing::comfort::Comfort;
use crate::media::hearing::conceal::{Concealer, cross_fade};
use crate::rtp::statistics::StreamStatistics;
use crate::session::Codec;
use crate::time::Time;

/// Most samples of a frame: 20 ms at 48 kHz.
const MAX_SAMPLES: usize = 960;
/// Frames that may wait for the other leg; of more, the oldest are dropped.
const MAX_WAITING: usize = 3;
/// Ticks in a row that found more than one frame, before two become one.
const SETTLE: u32 = 10;
/// Frames in a row that are made up; then there is silence.
const MAX_MADE_UP: u32 = 3;
/// What concealment looks back at, in frames.
const HISTORY: usize = 3;
/// Presses waiting to be sent; more are dropped.
const MAX_PRESSES: usize = 16;
/// Edges of presses waiting for the other leg's tick. The last place is kept for the end of what has begun.
const MAX_EDGES: usize = 32;
/// After a press its leg is silent for so long, and for as long as audio waits to be played.
const TAIL: Duration = Duration::from_millis(40);
/// Hz of audio in wide-band codecs.
const WIDE_RATE: u32 = 16_000;
/// Frames of silence that are encoded where the codec knows shorter ones, so that the peer's noise settles.
const ENCODED_SILENCE: u32 = 10;

/// A frame of sound.
struct Sound {
    samples: [i16; MAX_SAMPLES],
    length: usize,
    rate: u32,
    /// Nobody means to say anything.
    resting: bool,
}

impl Sound {
    const NOTHING: Sound = Sound { samples: [0; MAX_SAMPLES], length: 0, rate: 8_000, resting: true };

    fn samples(&self) -> &[i16] {
        self.samples.get(..self.length).unwrap_or(&[])
    }

    fn samples_mut(&mut self) -> &mut [i16] {
        self.samples.get_mut(..self.length).unwrap_or(&mut [])
    }

    fn set(&mut self, samples: &[i16], rate: u32, resting: bool) {
        self.length = samples.len().min(MAX_SAMPLES);
        self.samples_mut().iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
        (self.rate, self.resting) = (rate, resting);
    }

    fn hush(&mut self) {
        self.samples_mut().fill(0);
        self.resting = true;
    }
}

/// What a leg heard and the other has not said yet.
struct Waiting {
    frames: [Sound; MAX_WAITING],
    first: usize,
    count: usize,
    /// Ticks in a row that found more than one.
    surplus: u32,
    /// Frames that were dropped, or became one with the next, since it was asked for.
    lost: u64,
}

impl Waiting {
    fn new() -> Self {
        Waiting { frames: [Sound::NOTHING; MAX_WAITING], first: 0, count: 0, surplus: 0, lost: 0 }
    }

    fn at(&self, index: usize) -> Option<&Sound> {
        self.frames.get((self.first + index) % MAX_WAITING)
    }

    fn forget_first(&mut self) {
        self.first = (self.first + 1) % MAX_WAITING;
        self.count = self.count.saturating_sub(1);
    }

    /// The place of the next frame.
    fn push(&mut self) -> Option<&mut Sound> {
        if self.count == MAX_WAITING {
            self.forget_first();
            self.lost += 1;
        }
        let place = (self.first + self.count) % MAX_WAITING;
        self.count += 1;
        self.frames.get_mut(place)
    }

    /// Moves the next frame to `into`; false: there is none.
    fn take(&mut self, into: &mut Sound) -> bool {
        self.surplus = if self.count > 1 { self.surplus + 1 } else { 0 };
        // In silence nobody misses one.
        while self.count > 1 && self.at(0).is_some_and(|sound| sound.resting) {
            self.forget_first();
            self.lost += 1;
            self.surplus = 0;
        }
        if self.count == 0 {
            return false;
        }
        let Some(next) = self.at(0) else { return false };
        into.set(next.samples(), next.rate, next.resting);
        self.forget_first();
        if self.surplus >= SETTLE
            && let Some(second) = self.at(0)
        {
            if (second.rate, second.length) == (into.rate, into.length) {
                cross_fade(into.samples_mut(), second.samples());
            }
            into.resting &= second.resting;
            self.forget_first();
            self.lost += 1;
            self.surplus = 0;
        }
        true
    }
}

/// What is told of a press to the other leg.
#[derive(Clone, Copy)]
enum Edge {
    Down(Digit),
    Up(Duration),
}

/// A press to be sent; without a length the key is still down.
#[derive(Clone, Copy)]
struct Press {
    digit: Digit,
    length: Option<Duration>,
}

/// A leg's half of a bridge. About 15 kB, and the encoder.
pub(super) struct Bridge {
    /// Heard here.
    waiting: Waiting,
    edges: VecDeque<Edge>,
    /// The last edge was of a key that went down.
    told_down: bool,
    /// A key is down at the peer.
    key_down: bool,
    muted_until: Time,

    /// What the other heard, to be said here in this tick.
    saying: Sound,
    /// Is there something?
    present: bool,
    /// Says what was heard, at its rate, and tones.
    voice: Option<Box<LiveEncoder>>,
    presses: VecDeque<Press>,
    concealer: Concealer,
    /// What was said last, oldest first: [`HISTORY`] frames of `rate`.
    history: Vec<i16>,
    rate: u32,
    /// Frames made up in a row; none: nothing was said that could go on.
    made_up: Option<u32>,
}

impl Bridge {
    fn new() -> Box<Self> {
        Box::new(Bridge {
            waiting: Waiting::new(),
            edges: VecDeque::with_capacity(MAX_EDGES),
            told_down: false,
            key_down: false,
            muted_until: Time::EPOCH,
            saying: Sound::NOTHING,
            present: false,
            voice: None,
            presses: VecDeque::with_capacity(MAX_PRESSES),
            concealer: Concealer::new(16_000),
            history: Vec::with_capacity(HISTORY * MAX_SAMPLES),
            rate: 0,
            made_up: None,
        })
    }

    /// A frame was heard.
    pub(super) fn hear(&mut self, frame: &Frame<'_>, now: Time) {
        let muted = self.key_down || now < self.muted_until;
        let Some(sound) = self.waiting.push() else { return };
        sound.set(frame.samples, frame.sample_rate, frame.resting);
        if muted {
            sound.hush();
        }
    }

    /// A key was reported. `waiting`: how long audio waits before it is played.
    pub(super) fn pressed(&mut self, report: &Report, now: Time, waiting: Duration) {
        if report.way != Way::TelephoneEvent {
            return;
        }
        match report.phase {
            Phase::Start => {
                self.key_down = true;
                self.told_down = self.edges.len() + 2 <= MAX_EDGES;
                if self.told_down {
                    self.edges.push_back(Edge::Down(report.digit));
                }
            }
            Phase::End { duration } => {
                self.key_down = false;
                self.muted_until = now + waiting + TAIL;
                if std::mem::take(&mut self.told_down) {
                    self.edges.push_back(Edge::Up(duration));
                }
            }
        }
    }

    /// An edge that the other leg heard.
    fn take_edge(&mut self, edge: Edge) {
        let down = self.presses.back_mut().filter(|press| press.length.is_none());
        match (edge, down) {
            (Edge::Down(digit), down) => {
                // Its end was lost.
                down.into_iter().for_each(|press| press.length = Some(Duration::ZERO));
                if self.presses.len() < MAX_PRESSES {
                    self.presses.push_back(Press { digit, length: None });
                }
            }
            (Edge::Up(length), Some(press)) => press.length = Some(length),
            (Edge::Up(_), None) => {}
        }
    }

    /// Frames heard here that wait for the other leg, and presses that are to be sent here.
    #[cfg(test)]
    pub(super) fn waiting_now(&self) -> (usize, usize) {
        (self.waiting.count, self.presses.len())
    }

    /// Says a frame of a tone, [`TONE_RATE`], as audio. Gives the length of the payload; none: it cannot.
    pub(super) fn say_tone(&mut self, samples: &[i16], codec: Codec, out: &mut [u8; MAX_FRAME_BYTES]) -> Option<usize> {
        voice(&mut self.voice, TONE_RATE, codec).encode_at(TONE_RATE, samples, out)
    }

    /// The next press to be sent.
    pub(super) fn next_press(&self) -> Option<Digit> {
        self.presses.front().map(|press| press.digit)
    }

    /// How long the press that is being sent was in all, in ms; none: the key is down.
    pub(super) fn released(&self) -> Option<u32> {
        let length = self.presses.front().map_or(Some(Duration::ZERO), |press| press.length)?;
        Some(u32::try_from(length.as_millis()).unwrap_or(u32::MAX))
    }

    /// The press has been sent.
    pub(super) fn press_sent(&mut self) {
        self.presses.pop_front();
    }

    /// Presses that cannot be sent now are not sent later.
    pub(super) fn drop_presses(&mut self) {
        self.presses.clear();
    }

    /// Sees to it that there is something to say in this tick, if there was just before; false: nothing.
    fn go_on(&mut self, statistics: &mut StreamStatistics) -> bool {
        if std::mem::take(&mut self.present) {
            statistics.bridged_frames += 1;
            if self.made_up.is_some_and(|count| count > 0) && self.saying.rate == self.rate {
                self.concealer.fade_into(self.saying.samples_mut());
            }
            self.made_up = Some(0);
        } else {
            let Some(count) = self.made_up.filter(|count| *count < MAX_MADE_UP) else {
                self.made_up = None;
                return false;
            };
            if count == 0 {
                self.concealer.reset(self.rate);
                self.concealer.begin(&self.history);
            }
            statistics.bridge_made_up += 1;
            self.made_up = Some(count + 1);
            // Its length and rate are the last frame's.
            let quiet = &mut Comfort::default();
            self.concealer.fill(self.saying.samples.get_mut(..self.saying.length).unwrap_or(&mut []), quiet);
        }
        self.remember();
        true
    }

    fn remember(&mut self) {
        let length = self.saying.length;
        if self.rate != self.saying.rate || self.history.len() != HISTORY * length {
            self.rate = self.saying.rate;
            self.history.clear();
            self.history.resize(HISTORY * length, 0);
        }
        self.history.copy_within(length.., 0);
        let newest = self.history.get_mut((HISTORY - 1) * length..).unwrap_or(&mut []);
        newest.iter_mut().zip(self.saying.samples()).for_each(|(to, from)| *to = *from);
    }
}

/// The encoder for audio of that rate and for tones; made where there is none.
fn voice(voice: &mut Option<Box<LiveEncoder>>, rate: u32, codec: Codec) -> &mut LiveEncoder {
    voice.take_if(|known| known.codec() != codec || !known.takes(rate));
    voice.get_or_insert_with(|| {
        // Tones are narrow, and so is a wide-band peer's second codec.
        let second = if rate == TONE_RATE { WIDE_RATE } else { TONE_RATE };
        Box::new(LiveEncoder::new(rate, codec).with_second_rate(second))
    })
}

impl Stream {
    /// From now on this leg talks with another: see [`take_from`](Self::take_from).
    pub fn bridge(&mut self) {
        self.bridge = Some(Bridge::new());
    }

    /// It talks with nobody any more.
    pub fn unbridge(&mut self) {
        self.bridge = None;
    }

    /// Does it talk with another leg?
    pub fn is_bridged(&self) -> bool {
        self.bridge.is_some()
    }

    /// Makes what will be needed to say what `other` hears, once both are connected, so that no tick has to.
    pub fn prepare_for(&mut self, other: &Stream) {
        if let (Some(bridge), Some(own), Some(others)) = (&mut self.bridge, &self.media, &other.media) {
            voice(&mut bridge.voice, others.codec.sample_rate(), own.codec);
        }
    }

    /// Takes over what `other` has heard since this was called last: to be called before each tick of this leg, while
    /// both are bridged.
    pub fn take_from(&mut self, other: &mut Stream) {
        let (Some(bridge), Some(from)) = (&mut self.bridge, &mut other.bridge) else { return };
        while let Some(edge) = from.edges.pop_front() {
            bridge.take_edge(edge);
        }
        let was_lost = from.waiting.lost;
        bridge.present = from.waiting.take(&mut bridge.saying);
        self.statistics.bridge_dropped += from.waiting.lost - was_lost;
    }

    /// Says what the other leg heard, or silence. Gives the length of the payload, and whether it is silence.
    pub(super) fn speak_bridged(&mut self, codec: Codec, payload: &mut [u8; MAX_FRAME_BYTES]) -> (usize, bool) {
        let long_silent = self.silent_frames >= ENCODED_SILENCE;
        let Some(bridge) = &mut self.bridge else { return (silence(codec, payload), true) };
        if !bridge.go_on(&mut self.statistics) {
            return (silence(codec, payload), true);
        }
        let resting = bridge.saying.resting;
        if resting && long_silent && codec == Codec::Opus {
            return (silence(codec, payload), true);
        }
        let rate = bridge.saying.rate;
        let length = voice(&mut bridge.voice, rate, codec).encode_at(rate, bridge.saying.samples(), payload);
        (length.unwrap_or_else(|| silence(codec, payload)), resting)
    }
}
