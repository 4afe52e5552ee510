//! Sounds that are no digits, and what sounds are made of. Samples are in units of 16-bit ones, at 8 kHz.

use std::f64::consts::TAU;

use strowger::dtmf::Digit;
use strowger::dtmf::tone::{HIGH_GROUP, LOW_GROUP, frequencies};
use strowger::random::Random;

use super::keying::Keying;

/// A kind of sound.
pub enum Sound {
    /// Presses of keys that are none.
    Keys(Keying),
    /// One steady tone, 32 times at levels of −5 to −20 dBm0.
    Single(f64),
    /// A tone that glides through the band in 4 s, up and down.
    Chirp,
    /// Two tones of the same group.
    SameGroup([f64; 4]),
    /// A digit's two tones at −10 dBm0 and a third one, by so many dB different from them.
    Third(Third, f64),
    /// Tones that networks tell of a call's progress by: frequencies in Hz, on and off in ms.
    Progress(&'static [f64], u32, u32),
    /// Pairs of R1 multi-frequency signalling (ITU-T Q.320), but those that lie within 2.5 % of a digit's.
    MultiFrequency,
}

/// Where a third tone lies.
#[derive(Clone, Copy)]
pub enum Third {
    /// On another row.
    OtherLow,
    /// On another column.
    OtherHigh,
    /// Between the groups or above them.
    Elsewhere,
    /// On the second harmonic of the low tone.
    LowHarmonic,
    /// Of the high tone.
    HighHarmonic,
}

impl Sound {
    /// A series of it, with pauses.
    pub fn make(&self, random: &mut Random) -> Vec<f64> {
        match self {
            Sound::Keys(keying) => keying.press(random).samples,
            Sound::Single(frequency) => series(random, 32, 150, |random, n, out| {
                part(out, 200, |samples| tone(samples, *frequency, -5.0 - (n % 16) as f64, random));
            }),
            Sound::Chirp => series(random, 8, 150, |_, n, out| {
                let (from, to) = if n % 2 == 0 { (3400.0, 300.0) } else { (300.0, 3400.0) };
                part(out, 4000, |samples| chirp(samples, from, to, -8.0));
            }),
            Sound::SameGroup(group) => series(random, 64, 150, |random, _, out| {
                let mut two = *group;
                shuffle(&mut two, random);
                part(out, 100, |samples| two[..2].iter().for_each(|f| tone(samples, *f, -10.0, random)));
            }),
            Sound::Third(third, level) => series(random, 64, 150, |random, n, out| {
                let (low, high) = frequencies(Digit::ALL[n % 16]);
                let more = third.frequency(low, high, random);
                part(out, 100, |samples| {
                    tone(samples, low, -10.0, random);
                    tone(samples, high, -10.0, random);
                    tone(samples, more, -10.0 + level, random);
                });
            }),
            Sound::Progress(frequencies, on, off) => series(random, 12, off + 20, |random, n, out| {
                let level = -10.0 - 3.0 * (n % 4) as f64;
                part(out, *on, |samples| frequencies.iter().for_each(|f| tone(samples, *f, level, random)));
            }),
            Sound::MultiFrequency => {
                const R1: [f64; 6] = [700.0, 900.0, 1100.0, 1300.0, 1500.0, 1700.0];
                let mut pairs = Vec::new();
                for (at, low) in R1.into_iter().enumerate() {
                    pairs.extend(R1[at + 1..].iter().map(|high| (low, *high)));
                }
                pairs.retain(|pair| ![(700.0, 1300.0), (700.0, 1500.0)].contains(pair));
                series(random, 130, 68, |random, n, out| {
                    let (low, high) = pairs[n % pairs.len()];
                    part(out, 68, |samples| {
                        tone(samples, low, -7.0, random);
                        tone(samples, high, -7.0, random);
                    });
                })
            }
        }
    }
}

impl Third {
    fn frequency(self, low: f64, high: f64, random: &mut Random) -> f64 {
        let other = |group: [f64; 4], than: f64, random: &mut Random| {
            let others: Vec<f64> = group.into_iter().filter(|f| *f != than).collect();
            others[random.below(3) as usize]
        };
        match self {
            Third::OtherLow => other(LOW_GROUP, low, random),
            Third::OtherHigh => other(HIGH_GROUP, high, random),
            Third::Elsewhere if random.below(10) < 3 => uniform(random, 1000.0, 1150.0),
            Third::Elsewhere => uniform(random, 1800.0, 3300.0),
            Third::LowHarmonic => 2.0 * low,
            Third::HighHarmonic => 2.0 * high,
        }
    }
}

/// `count` sounds with pauses of `pause` ms and up to 13 ms more.
fn series(
    random: &mut Random,
    count: usize,
    pause: u32,
    mut make: impl FnMut(&mut Random, usize, &mut Vec<f64>),
) -> Vec<f64> {
    let mut all = vec![0.0; 2400];
    for n in 0..count {
        make(random, n, &mut all);
        all.resize(all.len() + pause as usize * 8 + random.below(102) as usize, 0.0);
    }
    all.resize(all.len() + 4000, 0.0);
    all
}

/// Appends `ms` of what `fill` adds to silence.
fn part(out: &mut Vec<f64>, ms: u32, fill: impl FnOnce(&mut [f64])) {
    let from = out.len();
    out.resize(from + ms as usize * 8, 0.0);
    fill(&mut out[from..]);
}

/// Adds a steady tone of a random phase.
pub fn tone(samples: &mut [f64], frequency: f64, dbm0: f64, random: &mut Random) {
    tone_at(samples, frequency, amplitude(dbm0), uniform(random, 0.0, TAU));
}

/// Adds a steady tone that begins with a phase.
pub fn tone_at(samples: &mut [f64], frequency: f64, peak: f64, phase: f64) {
    for (n, sample) in samples.iter_mut().enumerate() {
        *sample += peak * (TAU * frequency * n as f64 / 8000.0 + phase).sin();
    }
}

/// Adds a tone that glides.
fn chirp(samples: &mut [f64], from: f64, to: f64, dbm0: f64) {
    let seconds = samples.len() as f64 / 8000.0;
    for (n, sample) in samples.iter_mut().enumerate() {
        let t = n as f64 / 8000.0;
        *sample += amplitude(dbm0) * (TAU * (from * t + (to - from) * t * t / (2.0 * seconds))).sin();
    }
}

/// The peak of a sine of so many dBm0. Full scale is 3.14 dBm0 (G.711 A-law).
#[expect(clippy::approx_constant, reason = "3.14 dB, which has nothing to do with a circle")]
pub fn amplitude(dbm0: f64) -> f64 {
    32_767.0 * 10f64.powf((dbm0 - 3.14) / 20.0)
}

/// Mean power.
pub fn power(samples: &[f64]) -> f64 {
    samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len().max(1) as f64
}

/// As 16-bit samples, clipped.
pub fn to_pcm(samples: &[f64]) -> Vec<i16> {
    // A cast from float saturates.
    samples.iter().map(|sample| sample.round() as i16).collect()
}

/// Evenly distributed.
pub fn uniform(random: &mut Random, from: f64, to: f64) -> f64 {
    from + (to - from) * f64::from(random.u32()) / 2f64.powi(32)
}

/// Normally distributed with a variance of 1 (Box and Muller).
pub fn normal(random: &mut Random) -> f64 {
    // In (0, 1]: there is a logarithm.
    let radius = 1.0 - f64::from(random.u32()) / 2f64.powi(32);
    (-2.0 * radius.ln()).sqrt() * uniform(random, 0.0, TAU).cos()
}

/// Any order.
pub fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last as u64 + 1) as usize);
    }
}
