//! Keys as diallers press them: levels, frequencies and times, and how they stray from what Q.23 wants.

use strowger::dtmf::Digit;
use strowger::dtmf::tone::frequencies;
use strowger::random::Random;

use super::sound::{shuffle, tone, uniform};
use super::{Press, Scene};

/// How a series of keys is pressed.
#[derive(Clone, Copy)]
pub struct Keying {
    /// Level of the stronger tone in dBm0.
    pub level: f64,
    /// By how many dB the high tone is above the low one; the weaker one lies under `level`.
    pub twist: f64,
    /// By how many percent the low tone is off its frequency.
    pub low_off: f64,
    /// And the high tone.
    pub high_off: f64,
    /// By how many Hz more, in the same direction.
    pub more_hz: f64,
    /// Length of a tone in ms.
    pub on: f64,
    /// Length of a pause in ms.
    pub off: f64,
    /// A pause is up to so many ms longer, so that tones lie at any distance from the detector's windows.
    pub jitter: f64,
    /// How often each of the sixteen digits is pressed, in an order of its own each time.
    pub rounds: usize,
    /// Each key twice in a row.
    pub twice: bool,
    /// A silence of so many ms in the middle of each tone.
    pub gap: usize,
}

impl Keying {
    /// What no dialler need fear.
    pub const PLAIN: Keying = Keying {
        level: -10.0,
        twist: 0.0,
        low_off: 0.0,
        high_off: 0.0,
        more_hz: 0.0,
        on: 50.0,
        off: 100.0,
        jitter: 20.0,
        rounds: 8,
        twice: false,
        gap: 0,
    };

    /// Presses them.
    pub fn press(&self, random: &mut Random) -> Scene {
        let mut samples = vec![0.0; 2400 + random.below(102) as usize];
        let mut presses = Vec::new();
        for _ in 0..self.rounds {
            let mut digits = Digit::ALL;
            shuffle(&mut digits, random);
            for digit in digits {
                for _ in 0..if self.twice { 2 } else { 1 } {
                    let from = samples.len();
                    self.key(digit, &mut samples, random);
                    let ms = |at: usize| at as f64 / 8.0;
                    presses.push(Press { digit, began: ms(from), ended: ms(samples.len()) });
                    let pause = self.off + uniform(random, 0.0, self.jitter);
                    samples.resize(samples.len() + (pause * 8.0).round() as usize, 0.0);
                }
            }
        }
        samples.resize(samples.len() + 4000, 0.0);
        Scene { samples, presses }
    }

    /// One key, appended.
    fn key(&self, digit: Digit, samples: &mut Vec<f64>, random: &mut Random) {
        let (low, high) = frequencies(digit);
        let off = |hz: f64, percent: f64| hz * (1.0 + percent / 100.0) + self.more_hz.copysign(percent);
        let (low, high) = (off(low, self.low_off), off(high, self.high_off));
        let (low_level, high_level) = (self.level - self.twist.max(0.0), self.level + self.twist.min(0.0));
        let from = samples.len();
        samples.resize(from + (self.on * 8.0).round() as usize, 0.0);
        let key = &mut samples[from..];
        tone(key, low, low_level, random);
        tone(key, high, high_level, random);
        let gap = self.gap * 8;
        let middle = (key.len() - gap) / 2;
        key[middle..middle + gap].fill(0.0);
    }
}
