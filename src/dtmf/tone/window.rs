//! One window of the tone detector, judged by itself, and the newest few together.
//! What follows from them over time is the detector's business; the arithmetic is the analysis'.
//!
//! The strongest frequency of each group is refined by its phase. The two refined tones must hold nearly all of the
//! window's power (so a third tone, a harmonic, speech or noise beside them speaks against a digit; only dial tone is
//! forgiven), lie near enough to the nominal frequencies, and not be too unequal. Over the newest windows they must stand
//! still.
//!
//! # Where hearing every digit and imagining none pull apart
//! Each limit lies just beyond what Q.24 and the usual receivers' requirements want taken, no farther:
//! - *Share of the power*: noise 10 dB below a digit leaves it 0.91; a third tone 3 dB below each leaves 0.80. 0.86 is
//!   between them. So a digit under noise of 8 dB is heard half of the time only, and one under speech that loud likewise.
//! - *Frequency*: 1.5 % and 2 Hz must be taken, and 2 Hz more is. With 2.5 % every accept condition held too, and
//!   recorded speech gave nothing, but an hour of music had a chord or two that made a digit: all of them 1.8–2.5 % off.
//! - *Twist*: 8 and 4 dB must be taken; 9 and 6 are, for the same reason.
//! - *Standing still*: the doubts add up ([`together`]). A dialler may be off in frequency, or a line may be noisy; a sound
//!   that is a little of everything, and wanders, is a voice.

use serde::{Deserialize, Serialize};

use super::analysis::{History, Sketch};
use super::dialtone::DialTone;
use super::judgement::{Judgement, Verdict};
use super::{HIGH_GROUP, KEYPAD, LOW_GROUP, dbm0, frequencies, place};
use crate::dtmf::Digit;

/// How many of the newest windows are looked at together.
pub const NEWEST: usize = 3;
/// The part of the window's power that the two tones must hold for a digit to begin.
const START_FRACTION: f32 = 0.86;
/// And for it to go on.
const HOLD_FRACTION: f32 = 0.65;
/// How far a frequency may be off the nominal one, by the mean over the newest windows: as a part of it, and Hz on top.
/// (Q.24 wants 1.5 % and 2 Hz taken, and 3.5 % refused.)
const MAX_OFFSET: f32 = 0.015;
const MAX_OFFSET_HZ: f32 = 4.0;
/// The same for a single window, which is less exact; as a part of the nominal frequency.
const MAX_WINDOW_OFFSET: f32 = 0.035;
/// The offset, as a part of the nominal frequency, that is doubt enough where both frequencies have it.
const DOUBTFUL_OFFSET: f32 = 0.0255;
/// The twist, in dB, that would be doubt enough.
const DOUBTFUL_TWIST: f32 = 14.0;
/// How far a frequency may wander within the newest windows, as a part of the nominal one. A dialler's tones stand still,
/// a voice's do not.
const MAX_WANDER: f32 = 0.010;
/// By how much (in dB) the tones' proportion may change within the newest windows.
const MAX_TWIST_WANDER: f32 = 6.0;
/// The most by which the low tone may be the stronger one (a power ratio: 9 dB; 8 must be taken).
const MAX_LOW_OVER_HIGH: f32 = 7.94;
/// The most by which the high tone may be the stronger one (6 dB; 4 must be taken).
const MAX_HIGH_OVER_LOW: f32 = 4.0;
/// The weakest tone that counts, in squared sample units: −40 dBm0.
const MIN_POWER: f32 = 26.0e3;
/// Dial tone is forgiven up to this much of the two tones' power (they must be heard above one as strong as they are).
const MAX_DIAL_TONE: f32 = 1.5;
/// The part of the power that the two nominal frequencies hold at least, before measuring is worth the work; and the power
/// of the weaker one. (A tone that is off shows there with a quarter of its power.)
const WORTHY_FRACTION: f32 = 0.3;
const WORTHY_BELOW_DIAL_TONE: f32 = 0.1;
const WORTHY_POWER: f32 = 0.05 * MIN_POWER;

/// A window that sounds like a digit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Hit {
    pub digit: Digit,
    /// The powers of the two tones.
    pub low: f32,
    pub high: f32,
    /// The part of the window's power that they hold.
    fraction: f32,
    /// Some of the window is made up for lost packets.
    made_up: bool,
    /// Frequency offsets, as parts of the nominal frequency.
    low_offset: f32,
    high_offset: f32,
}

/// Does a digit that has begun plainly go on? What is not plain is left to [`Hit::verdict`].
#[inline]
pub fn plainly_holds(digit: Digit, sketch: &Sketch) -> bool {
    let (low, high) = sketch.strongest();
    let (row, column) = place(digit);
    sketch.power.get(row) == Some(&low)
        && sketch.power.get(LOW_GROUP.len() + column) == Some(&high)
        && low + high >= HOLD_FRACTION * sketch.total
        && low.min(high) >= MIN_POWER
        && low <= MAX_LOW_OVER_HIGH * high
        && high <= MAX_HIGH_OVER_LOW * low
}

/// May the window, by itself, sound like a digit?
#[inline]
pub fn worth_measuring(sketch: &Sketch, dial_tone: f32) -> bool {
    let (low, high) = sketch.strongest();
    low.min(high) >= WORTHY_POWER
        && low + high >= WORTHY_BELOW_DIAL_TONE * sketch.total
        && low + high >= WORTHY_FRACTION * (sketch.total - dial_tone)
}

impl Hit {
    /// The two tones of the window, refined.
    pub fn measure(history: &mut History, sketch: &Sketch, dial_tone: &DialTone) -> Option<Hit> {
        let (low_powers, high_powers) = sketch.power.split_at(LOW_GROUP.len());
        let (row, _) = strongest(low_powers)?;
        let (column, _) = strongest(high_powers)?;
        let (spectrum, before) = history.spectra();
        let low_offset = spectrum.offset(&before, row);
        let high_offset = spectrum.offset(&before, LOW_GROUP.len() + column);
        let low = history.tone_power(row, low_offset);
        let high = history.tone_power(LOW_GROUP.len() + column, high_offset);
        let forgiven = dial_tone.power(history).min(MAX_DIAL_TONE * (low + high));
        let total = (spectrum.total - forgiven).max(low + high).max(f32::MIN_POSITIVE);
        Some(Hit {
            digit: *KEYPAD.get(row)?.get(column)?,
            low,
            high,
            fraction: (low + high) / total,
            made_up: false,
            low_offset: low_offset / *LOW_GROUP.get(row)? as f32,
            high_offset: high_offset / *HIGH_GROUP.get(column)? as f32,
        })
    }

    /// The same window, of which a part is made up: what disturbs it counts half.
    pub fn of_made_up(self) -> Hit {
        Hit {
            fraction: 1.0 - 0.5 * (1.0 - self.fraction),
            low_offset: 0.5 * self.low_offset,
            high_offset: 0.5 * self.high_offset,
            made_up: true,
            ..self
        }
    }

    /// May a digit begin with it?
    pub fn starts(&self) -> bool {
        self.fraction >= START_FRACTION
    }

    /// Does the window, by itself, sound like a digit that at least goes on?
    pub fn verdict(&self) -> Verdict {
        if self.low.min(self.high) < MIN_POWER {
            Verdict::TooWeak
        } else if self.fraction < HOLD_FRACTION {
            Verdict::OtherPower
        } else if self.low_offset.abs() > MAX_WINDOW_OFFSET || self.high_offset.abs() > MAX_WINDOW_OFFSET {
            Verdict::OffFrequency
        } else if self.low > MAX_LOW_OVER_HIGH * self.high || self.high > MAX_HIGH_OVER_LOW * self.low {
            Verdict::Twist
        } else {
            Verdict::Agrees
        }
    }

    /// What is told of a window.
    pub fn explain(hit: Option<Hit>, position: u64, verdict: Verdict) -> Judgement {
        let (low, high) = hit.map_or((0.0, 0.0), |hit| (hit.low, hit.high));
        Judgement {
            position,
            digit: hit.map(|hit| hit.digit),
            low_dbm0: dbm0(low),
            high_dbm0: dbm0(high),
            low_offset: hit.map_or(0.0, |hit| hit.low_offset * 100.0),
            high_offset: hit.map_or(0.0, |hit| hit.high_offset * 100.0),
            share: hit.map_or(0.0, |hit| hit.fraction),
            verdict,
        }
    }
}

/// The greatest of some powers, and where it is; none where nothing is above zero.
fn strongest(powers: &[f32]) -> Option<(usize, f32)> {
    let (at, power) = powers.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (power > 0.0).then_some((at, power))
}

/// Are the newest windows, which agree, a digit? Each doubt is 1 where it alone is too much, and they add up.
pub fn together(hits: &[Hit; NEWEST]) -> Verdict {
    let mean = |of: fn(&Hit) -> f32| hits.iter().map(of).sum::<f32>() / NEWEST as f32;
    let wander = |of: fn(&Hit) -> f32| {
        let offsets = hits.iter().map(of);
        offsets.clone().fold(f32::MIN, f32::max) - offsets.fold(f32::MAX, f32::min)
    };
    let square = |x: f32| x * x;
    let (low, high) = (mean(|hit| hit.low_offset), mean(|hit| hit.high_offset));
    let (low_nominal, high_nominal) = frequencies(hits[0].digit);
    let beyond = |offset: f32, nominal: f64| offset.abs() > MAX_OFFSET + MAX_OFFSET_HZ / nominal as f32;
    if beyond(low, low_nominal) || beyond(high, high_nominal) {
        return Verdict::OffFrequency;
    }
    let mut doubt = (1.0 - mean(|hit| hit.fraction)) / (1.0 - START_FRACTION)
        + (square(low / DOUBTFUL_OFFSET) + square(high / DOUBTFUL_OFFSET)) / 2.0
        + square(mean(|hit| dbm0(hit.high) - dbm0(hit.low)) / DOUBTFUL_TWIST);
    // The seams between what was heard and what was made up are not the tones' fault.
    if !hits.iter().any(|hit| hit.made_up) {
        doubt += square(wander(|hit| hit.low_offset) / MAX_WANDER)
            + square(wander(|hit| hit.high_offset) / MAX_WANDER)
            + square(wander(|hit| dbm0(hit.high) - dbm0(hit.low)) / MAX_TWIST_WANDER);
    }
    if doubt > 1.0 { Verdict::Wanders } else { Verdict::Accepted }
}
