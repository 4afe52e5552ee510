//! Makes DTMF tones (ITU-T Q.23 frequencies) as 8 kHz samples, a frame at a time.
//! Where the samples go, and when, is `media`'s business.

use std::f64::consts::{PI, TAU};

use serde::{Deserialize, Serialize};

use super::{SAMPLE_RATE, amplitude, frequencies};
use crate::dtmf::Digit;

/// Level of the low-group tone in dBm0, unless said otherwise.
const LOW_DBM0: f64 = -9.0;
/// Level of the high-group tone in dBm0, unless said otherwise.
const HIGH_DBM0: f64 = -11.0;
/// Samples over which a tone rises and falls, as half a period of a cosine (4 ms): what it splatters is 38 dB below it
/// from 250 Hz on, and no detector minds so short a ramp.
const RAMP: u32 = 32;

/// The longest that a key is held, and the pause after it, in ms.
const HELD_MS: (u32, u32) = (60_000, 60);
/// A key that was held sounded at least so long, in ms.
const LEAST_MS: u32 = 50;

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

    /// One tone that lasts until [`release`](Self::release) (or a minute), and a pause of 60 ms.
    pub fn held(digit: Digit) -> Self {
        ToneGenerator::new([digit], HELD_MS.0, HELD_MS.1)
    }

    /// The tone being made ends, when it has lasted so many milliseconds (at least 50, and 4 more than what was made).
    pub fn release(&mut self, duration_ms: u32) {
        if self.position < self.tone {
            let wanted = duration_ms.max(LEAST_MS).saturating_mul(SAMPLE_RATE / 1000);
            self.tone = wanted.max(self.position.saturating_add(RAMP)).min(self.tone);
        }
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
        let ramp = if edge < RAMP { 0.5 - 0.5 * (PI * (f64::from(edge) + 0.5) / f64::from(RAMP)).cos() } else { 1.0 };
        let value =
            self.low_amplitude * (TAU * low * seconds).sin() + self.high_amplitude * (TAU * high * seconds).sin();
        (ramp * value).round() as i16 // `as` saturates, which is the clipping that is wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_tone_lasts_until_it_is_released() {
        // Samples made when it is released, its length in ms, and the samples of tone that come of it.
        for (made, released, tone) in [(0, 100, 800), (640, 100, 800), (800, 100, 832), (960, 100, 992), (0, 1, 400)] {
            let mut generator = ToneGenerator::held(Digit::Five);
            let mut all = vec![0; made];
            assert_eq!(generator.fill(&mut all), made);
            generator.release(released);
            let mut rest = vec![0; 2_000];
            let count = generator.fill(&mut rest);
            all.extend_from_slice(&rest[..count]);
            assert!(generator.is_done());
            assert_eq!(all.len(), tone + 480, "{made} {released}");
            assert!(all[tone..].iter().all(|sample| *sample == 0));
            assert!(all[tone - 200..tone - 40].iter().any(|sample| sample.abs() > 4_000));
            assert!(all[tone - 3..tone].iter().all(|sample| sample.abs() < 500), "it fades");
        }
    }

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

    /// The sum that a tone of `frequency` gives, as a complex number.
    fn correlate(samples: &[i16], frequency: f64) -> (f64, f64) {
        let part = |(n, sample): (usize, &i16)| {
            let (sin, cos) = (TAU * frequency * n as f64 / 8000.0).sin_cos();
            (f64::from(*sample) * cos, f64::from(*sample) * sin)
        };
        samples.iter().enumerate().map(part).fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1))
    }

    #[test]
    fn frequencies_and_levels_are_exact() {
        for digit in Digit::ALL {
            let mut samples = vec![0; 16_000];
            ToneGenerator::new([digit], 2000, 0).fill(&mut samples);
            let (low, high) = frequencies(digit);
            for (frequency, dbm0) in [(low, -9.0), (high, -11.0)] {
                // A second apart the phase has turned by whole turns: the frequencies are whole numbers of Hz.
                let [early, late] = [&samples[400..4400], &samples[8400..12_400]].map(|part| {
                    let (re, im) = correlate(part, frequency);
                    im.atan2(re)
                });
                let turns = ((late - early) / TAU).rem_euclid(1.0);
                assert!(turns.min(1.0 - turns) < 0.001, "{digit}: {frequency} Hz is off by {turns} Hz");
                assert!((level(&samples[400..8400], frequency) - dbm0).abs() < 0.01, "{digit} {frequency}");
            }
        }
    }

    #[test]
    fn tones_and_pauses_last_to_the_sample() {
        for (tone, gap) in [(40, 40), (65, 61), (1, 1), (1000, 0)] {
            let mut samples = vec![1; 3 * (tone + gap) * 8 + 1];
            let made = ToneGenerator::new(&Digit::ALL[9..12], tone as u32, gap as u32).fill(&mut samples);
            assert_eq!(made, 3 * (tone + gap) * 8);
            for press in samples[..made].chunks((tone + gap) * 8) {
                let (sound, silence) = press.split_at(tone * 8);
                let first = sound.iter().position(|sample| *sample != 0).unwrap();
                let last = sound.iter().rposition(|sample| *sample != 0).unwrap();
                assert!(first <= 2 && last >= sound.len() - 3, "{tone}/{gap} ms: {first} to {last}");
                assert!(silence.iter().all(|sample| *sample == 0));
            }
        }
    }

    /// A tone that is switched hard clicks: 0.6 % of its power lies more than 250 Hz away from both frequencies.
    #[test]
    fn ramps_keep_the_power_where_it_belongs() {
        for digit in Digit::ALL {
            let (low, high) = frequencies(digit);
            let mut samples = [0; 50 * 8];
            ToneGenerator::new([digit], 50, 0).fill(&mut samples);
            // Twice the spacing that 50 ms allow, so that nothing hides between.
            let spectrum: Vec<(f64, f64)> = (0..400)
                .map(|n| {
                    let frequency = f64::from(n) * 10.0;
                    let (re, im) = correlate(&samples, frequency);
                    (frequency, re * re + im * im)
                })
                .collect();
            let beyond = |hz: f64| {
                let far = |f: f64| (f - low).abs() > hz && (f - high).abs() > hz;
                let part: f64 = spectrum.iter().filter(|(f, _)| far(*f)).map(|(_, power)| power).sum();
                10.0 * (part / spectrum.iter().map(|(_, power)| power).sum::<f64>()).log10()
            };
            assert!(beyond(250.0) < -38.0, "{digit}: {:.1} dB beyond 250 Hz", beyond(250.0));
            assert!(beyond(400.0) < -50.0, "{digit}: {:.1} dB beyond 400 Hz", beyond(400.0));
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
