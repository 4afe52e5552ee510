//! Makes DTMF tones (ITU-T Q.23 frequencies) as 8 kHz samples, a frame at a time.
//! Where the samples go, and when, is `media`'s business.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

use super::{SAMPLE_RATE, amplitude, frequencies};
use crate::dtmf::Digit;

/// Level of the low-group tone in dBm0, unless said otherwise.
const LOW_DBM0: f64 = -9.0;
/// Level of the high-group tone in dBm0, unless said otherwise.
const HIGH_DBM0: f64 = -11.0;
/// Samples over which a tone rises and falls (2 ms): no click, and no detector minds it.
const RAMP: u32 = 16;

/// A sequence of digits, turned into samples as they are asked for: each digit is a tone and then a pause.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ToneGenerator {
    digits: Vec<Digit>,
    /// Samples of a tone.
    tone: u32,
    /// Samples of the pause after each tone.
    gap: u32,
    low_amplitude: f64,
    high_amplitude: f64,
    /// The digit being made.
    index: usize,
    /// Samples made of that digit's tone and pause.
    position: u32,
}

impl ToneGenerator {
    /// Tones of `duration_ms` each, with a pause of `gap_ms` after each (the last too), at −9 dBm0 (low group) and
    /// −11 dBm0 (high group). Receivers want 40 ms of both; what is asked for is what is made.
    pub fn new(digits: impl Into<Vec<Digit>>, duration_ms: u32, gap_ms: u32) -> Self {
        let samples = |ms: u32| ms.saturating_mul(SAMPLE_RATE / 1000);
        ToneGenerator {
            digits: digits.into(),
            tone: samples(duration_ms),
            gap: samples(gap_ms),
            low_amplitude: amplitude(LOW_DBM0),
            high_amplitude: amplitude(HIGH_DBM0),
            index: 0,
            position: 0,
        }
    }

    /// The same with other levels, in dBm0; above about −3 dBm0 each the sum is clipped.
    pub fn with_levels(mut self, low_dbm0: f64, high_dbm0: f64) -> Self {
        self.low_amplitude = amplitude(low_dbm0);
        self.high_amplitude = amplitude(high_dbm0);
        self
    }

    /// Has everything been made, the last pause included?
    pub fn is_done(&self) -> bool {
        self.index >= self.digits.len()
    }

    /// Overwrites `frame` with the next samples, with silence after the end.
    /// Returns how many of them belong to the sequence: `frame.len()` until the end, then fewer, then 0.
    pub fn fill(&mut self, frame: &mut [i16]) -> usize {
        let mut filled = 0;
        while let Some(digit) = self.digits.get(self.index).copied()
            && let Some(rest) = frame.get_mut(filled..)
            && !rest.is_empty()
        {
            let length = self.tone.saturating_add(self.gap);
            let left = usize::try_from(length - self.position).unwrap_or(usize::MAX);
            let count = rest.len().min(left);
            for sample in &mut rest[..count] {
                *sample = self.sample(digit);
                self.position += 1;
            }
            filled += count;
            if self.position >= length {
                self.position = 0;
                self.index += 1;
            }
        }
        if let Some(silence) = frame.get_mut(filled..) {
            silence.fill(0);
        }
        filled
    }

    /// The sample at the present position of `digit`'s tone or pause.
    fn sample(&self, digit: Digit) -> i16 {
        if self.position >= self.tone {
            return 0;
        }
        let (low, high) = frequencies(digit);
        let seconds = f64::from(self.position) / f64::from(SAMPLE_RATE);
        let edge = self.position.min(self.tone - 1 - self.position);
        let ramp = if edge < RAMP { (f64::from(edge) + 0.5) / f64::from(RAMP) } else { 1.0 };
        let value =
            self.low_amplitude * (TAU * low * seconds).sin() + self.high_amplitude * (TAU * high * seconds).sin();
        (ramp * value).round() as i16 // `as` saturates, which is the clipping that is wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Power of `samples` at `frequency` in dBm0.
    fn level(samples: &[i16], frequency: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let (sin, cos) = (TAU * frequency * n as f64 / 8000.0).sin_cos();
            re += f64::from(*sample) * cos;
            im += f64::from(*sample) * sin;
        }
        let peak = 2.0 * re.hypot(im) / samples.len() as f64;
        20.0 * (peak / amplitude(0.0)).log10()
    }

    #[test]
    fn each_digit_is_its_two_tones_at_the_stated_levels() {
        for digit in Digit::ALL {
            let mut samples = vec![1; 8000];
            assert_eq!(ToneGenerator::new([digit], 2000, 0).fill(&mut samples), 8000);
            let (low, high) = frequencies(digit);
            assert!((level(&samples, low) - LOW_DBM0).abs() < 0.1, "{digit}");
            assert!((level(&samples, high) - HIGH_DBM0).abs() < 0.1, "{digit}");
            for other in super::super::LOW_GROUP.into_iter().chain(super::super::HIGH_GROUP) {
                assert!(other == low || other == high || level(&samples, other) < -45.0, "{digit} {other}");
            }
        }
    }

    #[test]
    fn chunk_size_does_not_change_the_samples() {
        let digits = [Digit::One, Digit::D, Digit::Pound];
        let mut whole = vec![0; 8 * 3 * 130];
        let mut one = ToneGenerator::new(digits, 70, 60);
        assert_eq!(one.fill(&mut whole), whole.len());
        assert!(one.is_done());
        let mut many = ToneGenerator::new(digits, 70, 60);
        let mut parts = Vec::new();
        for size in [160, 1, 0, 7, 333, 160].into_iter().cycle() {
            if many.is_done() {
                break;
            }
            let mut part = vec![9; size];
            let made = many.fill(&mut part);
            assert!(part[made..].iter().all(|s| *s == 0));
            parts.extend_from_slice(&part[..made]);
        }
        assert_eq!(parts, whole);
        assert_eq!(many.fill(&mut [5; 160]), 0);
    }

    #[test]
    fn nothing_to_make_is_silence_and_loud_is_clipped() {
        let mut frame = [7; 160];
        let mut none = ToneGenerator::new([], 100, 100);
        assert!(none.is_done());
        assert_eq!(none.fill(&mut frame), 0);
        assert_eq!(frame, [0; 160]);
        let mut empty = ToneGenerator::new([Digit::One, Digit::Two], 0, 0);
        assert_eq!(empty.fill(&mut frame), 0);
        assert!(empty.is_done());
        let mut long = [0; 8000];
        ToneGenerator::new([Digit::Five], u32::MAX, u32::MAX).with_levels(3.0, 3.0).fill(&mut long);
        assert!(long.contains(&i16::MAX) && long.contains(&i16::MIN));
    }
}
