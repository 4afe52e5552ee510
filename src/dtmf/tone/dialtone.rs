//! Dial tone under the digits: the tone that a line gave before them may go on while they are dialled, and must not count
//! as the third tone that speaks against a digit. What a digit is, is the detector's business.
//!
//! Any steady sound between 240 and 490 Hz that has the line for itself is taken for dial tone (350 + 440 Hz, 350 + 450 Hz,
//! 425 Hz, 400 Hz and so on). A voice has no such: its pitch wanders, and its power is not all in there. When the steady
//! sound is gone, it counts no more.

use serde::{Deserialize, Serialize};

use super::analysis::{History, Sketch};

/// Samples between two looks: 50 ms.
const INTERVAL: u64 = 400;
/// Looks in a row that found a steady tone, until it is dial tone.
const LOOKS: u32 = 3;
/// Looks in a row without it, until it is gone.
const MISSES: u32 = 3;
/// The part of the line's power that it must hold to be found.
const ALONE: f32 = 0.85;
/// The most that the eight DTMF frequencies see of it.
const ELSEWHERE: f32 = 0.03;
/// By how much its power may differ from look to look (0.5 dB), and after it is known (2 dB).
const STEADY: f32 = 1.12;
const ABOUT: f32 = 1.6;
/// By how much two tones' beat may make a look, or the power of a whole window, greater or smaller than it is.
const BEAT: f32 = 1.15;

/// Follows dial tone.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct DialTone {
    /// When it was looked for last.
    looked: u64,
    /// Its power; that of the whole line at that time while it is not known.
    power: f32,
    /// Looks in a row that found it.
    found: u32,
    /// Looks in a row that missed it.
    missed: u32,
}

impl DialTone {
    /// Follows the line where it is not silent; `position` is the end of the window.
    pub fn listen(&mut self, history: &History, sketch: &Sketch, position: u64) {
        let since = position.saturating_sub(self.looked);
        if since < INTERVAL {
            return;
        }
        if since > u64::from(MISSES) * INTERVAL {
            // In silence nobody looks.
            *self = DialTone::default();
        }
        self.looked = position;
        if self.found >= LOOKS {
            let power = history.dial_tone_power();
            if power * ABOUT > self.power && power < self.power * ABOUT {
                // Two tones beat: a mean over some looks is nearer to what they are.
                self.power += (power - self.power) / 8.0;
                self.missed = 0;
            } else {
                self.missed += 1;
                if self.missed >= MISSES {
                    *self = DialTone { looked: position, ..DialTone::default() };
                }
            }
            return;
        }
        let steady = sketch.total < STEADY * self.power && sketch.total * STEADY > self.power;
        self.power = sketch.total;
        let digits: f32 = sketch.power.iter().sum();
        let alone = steady && digits < ELSEWHERE * sketch.total && history.dial_tone_power() > ALONE * sketch.total;
        self.found = if alone { self.found + 1 } else { 0 };
        self.missed = 0;
    }

    /// The power of dial tone, as far as it is known without a look.
    pub fn known(&self) -> f32 {
        if self.found >= LOOKS { self.power } else { 0.0 }
    }

    /// The power that dial tone holds at most of the newest window; 0 where there is none.
    pub fn power(&self, history: &History) -> f32 {
        if self.found >= LOOKS { BEAT * self.power.min(BEAT * history.dial_tone_power()) } else { 0.0 }
    }
}
