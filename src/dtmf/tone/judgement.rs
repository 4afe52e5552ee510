//! Why a stretch of audio is, or is not, a digit: what [`super::Detector::feed_explained`] tells of each window.
//! How it is shown is the caller's business.

use serde::{Deserialize, Serialize};

use crate::dtmf::Digit;

/// What the detector made of one window of 30 ms. There is one every 5 ms, except where the line is silent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The end of the window: samples since the stream's first. The window is the 240 samples before it.
    pub position: u64,
    /// The digit that the strongest frequency of each group would make; none where nothing was measured.
    pub digit: Option<Digit>,
    /// Level of the low and of the high tone in dBm0; −∞ where nothing was measured.
    pub low_dbm0: f32,
    pub high_dbm0: f32,
    /// How far each tone is from its nominal frequency, in percent of it.
    pub low_offset: f32,
    pub high_offset: f32,
    /// The part of the window's power that the two tones hold, 0–1, dial tone not counted.
    pub share: f32,
    pub verdict: Verdict,
}

impl Judgement {
    /// Level of the high tone over the low one in dB.
    pub fn twist(&self) -> f32 {
        self.high_dbm0 - self.low_dbm0
    }
}

/// What speaks for or against a digit; of several reasons, the first in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// One of the tones, or everything, is too weak.
    TooWeak,
    /// Too much of the power is elsewhere: a third tone, a harmonic, speech, noise; or the tone fills only a part of the
    /// window, as at its beginning and end.
    OtherPower,
    /// A tone is too far from the nominal frequency.
    OffFrequency,
    /// The tones are too unequal.
    Twist,
    /// Windows agreed, but the tones do not stand still, or everything is a little off at once: a voice.
    Wanders,
    /// Windows agreed, but too few of them before this one: a tone too short.
    TooShort,
    /// This window agrees with a digit; not enough of them yet.
    Agrees,
    /// With this window it is a digit: it is reported.
    Accepted,
    /// The digit that was reported goes on.
    GoesOn,
    /// The digit that was reported is missing here; the pause is not long enough yet to end it.
    Pauses,
    /// The digit that was reported is over: its end is reported.
    Ended,
}
