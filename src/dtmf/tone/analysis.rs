//! The arithmetic of the tone detector: audio against the eight DTMF frequencies, each sample touched once.
//! What a series of windows means is the detector's business.
//!
//! Audio is taken in blocks of 5 ms. A block leaves two sums for each frequency ([`Sums`]): of the samples turned back by
//! the frequency, and of the same weighted by their distance from the block's middle. Out of six blocks' sums comes the
//! exact spectrum of a triangular window over 30 ms ([`Spectrum`]): a triangle is a straight line on each block. The
//! triangle's side lobes are 43 dB down where the other group begins, and fall with the square of the distance. The power
//! of a tone that is off the nominal frequency comes out of the same sums ([`History::tone_power`]).

use std::f64::consts::{PI, TAU};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{HIGH_GROUP, LOW_GROUP, SAMPLE_RATE};

/// Samples of a block, and from one window to the next: 5 ms.
pub const BLOCK: usize = 40;
/// Blocks of a window.
pub const BLOCKS: usize = 6;
/// Samples of a window: 30 ms.
pub const WINDOW: usize = BLOCK * BLOCKS;

const HALF: usize = BLOCK / 2;
const LANES: usize = 8;
/// One value for each frequency: lane 0–3 low group, 4–7 high group. Lanes side by side let the compiler use vector
/// registers.
type Lanes = [f32; LANES];

/// Samples of a block in their order, as two halves (serde knows no arrays above 32).
pub type Samples = [[i16; HALF]; 2];

/// The window's weight in the middle of each block, and by how much it grows with a sample. They sum up to 1.
const WEIGHT: [f32; BLOCKS] = [1.0, 3.0, 5.0, 5.0, 3.0, 1.0];
const WEIGHT_UNIT: f32 = 1.0 / 720.0;
const SLOPE: [f32; BLOCKS] = [1.0, 1.0, 1.0, -1.0, -1.0, -1.0];
const SLOPE_UNIT: f32 = 1.0 / 14_400.0;

/// Cosines and sines by distance from a block's middle. A block is folded at its middle (even part times cosine, odd part
/// times sine), which halves the work.
struct Tables {
    cos: [Lanes; HALF],
    sin: [Lanes; HALF],
    /// What a tone of exactly a lane's frequency turns in a block.
    step: (Lanes, Lanes),
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables { cos: [[0.0; LANES]; HALF], sin: [[0.0; LANES]; HALF], step: Default::default() };
    for (lane, frequency) in LOW_GROUP.into_iter().chain(HIGH_GROUP).enumerate() {
        let turn = TAU * frequency / f64::from(SAMPLE_RATE);
        for n in 0..HALF {
            let (sin, cos) = (turn * (n as f64 + 0.5)).sin_cos();
            tables.cos[n][lane] = cos as f32;
            tables.sin[n][lane] = sin as f32;
        }
        let (sin, cos) = (turn * BLOCK as f64).sin_cos();
        (tables.step.0[lane], tables.step.1[lane]) = (cos as f32, sin as f32);
    }
    tables
});

/// What is kept of a block.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Sum of the samples, turned back by each frequency from the stream's beginning.
    re: Lanes,
    im: Lanes,
    /// The same, each sample weighted by its distance in samples from the block's middle.
    tilt_re: Lanes,
    tilt_im: Lanes,
    /// Sums of the squares and of the values, and both weighted by the distance.
    square: f32,
    square_tilt: f32,
    value: f32,
    value_tilt: f32,
}

impl Sums {
    /// Of a block that begins at `phase`.
    #[inline]
    fn of(samples: &Samples, tables: &Tables, phase: &Phase) -> Self {
        let [before, after] = samples;
        let (mut even, mut odd) = ([0f32; HALF], [0f32; HALF]);
        let (mut even_tilt, mut odd_tilt) = ([0f32; HALF], [0f32; HALF]);
        for n in 0..HALF {
            let (late, early) = (f32::from(after[n]), f32::from(before[HALF - 1 - n]));
            even[n] = late + early;
            odd[n] = late - early;
        }
        for n in 0..HALF {
            even_tilt[n] = even[n] * (n as f32 + 0.5);
            odd_tilt[n] = odd[n] * (n as f32 + 0.5);
        }
        // Four of each, side by side.
        let (mut square, mut square_tilt) = ([0f32; 4], [0f32; 4]);
        let (mut value, mut value_tilt) = ([0f32; 4], [0f32; 4]);
        for n in (0..HALF).step_by(4) {
            for lane in 0..4 {
                let (e, o) = (even[n + lane], odd[n + lane]);
                square[lane] += e * e + o * o;
                square_tilt[lane] += even_tilt[n + lane] * o;
                value[lane] += e;
                value_tilt[lane] += odd_tilt[n + lane];
            }
        }
        let (mut re, mut im) = ([0f32; LANES], [0f32; LANES]);
        let (mut tilt_re, mut tilt_im) = ([0f32; LANES], [0f32; LANES]);
        for n in 0..HALF {
            let (cos, sin) = (&tables.cos[n], &tables.sin[n]);
            for lane in 0..LANES {
                re[lane] += even[n] * cos[lane];
                im[lane] -= odd[n] * sin[lane];
                tilt_re[lane] += odd_tilt[n] * cos[lane];
                tilt_im[lane] -= even_tilt[n] * sin[lane];
            }
        }
        let mut sums = Sums {
            square: sum(square) / 2.0,
            square_tilt: sum(square_tilt),
            value: sum(value),
            value_tilt: sum(value_tilt),
            ..Sums::default()
        };
        for lane in 0..LANES {
            let (cos, sin) = (phase.cos[lane], phase.sin[lane]);
            sums.re[lane] = re[lane] * cos + im[lane] * sin;
            sums.im[lane] = im[lane] * cos - re[lane] * sin;
            sums.tilt_re[lane] = tilt_re[lane] * cos + tilt_im[lane] * sin;
            sums.tilt_im[lane] = tilt_im[lane] * cos - tilt_re[lane] * sin;
        }
        sums
    }
}

fn sum(parts: [f32; 4]) -> f32 {
    (parts[0] + parts[1]) + (parts[2] + parts[3])
}

/// How far each frequency has turned since the stream's beginning.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Phase {
    cos: Lanes,
    sin: Lanes,
}

impl Phase {
    fn advance(&mut self, step: &(Lanes, Lanes)) {
        for lane in 0..LANES {
            let (cos, sin) = (self.cos[lane], self.sin[lane]);
            let (c, s) = (step.0[lane], step.1[lane]);
            let (cos, sin) = (cos * c - sin * s, sin * c + cos * s);
            // Rounding must not make it grow or shrink over hours.
            let length = 1.5 - 0.5 * (cos * cos + sin * sin);
            (self.cos[lane], self.sin[lane]) = (cos * length, sin * length);
        }
    }
}

/// A window seen at the eight frequencies. Powers are in squared sample units: a sine of peak `a` has `a²/2`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Spectrum {
    re: Lanes,
    im: Lanes,
    /// Power of each frequency.
    pub power: Lanes,
    /// Power of all that is in the window, without direct current.
    pub total: f32,
}

impl Spectrum {
    /// By how many Hz the tone near a lane's frequency is off it, from the phase it gained since the window one block
    /// before; within ±100 Hz.
    pub fn offset(&self, before: &Spectrum, lane: usize) -> f32 {
        let (a_re, a_im) = (self.re[lane], self.im[lane]);
        let (b_re, b_im) = (before.re[lane], before.im[lane]);
        let turn = (a_im * b_re - a_re * b_im).atan2(a_re * b_re + a_im * b_im);
        turn * (SAMPLE_RATE as f32 / BLOCK as f32 / std::f32::consts::TAU)
    }
}

/// The newest window, block by block.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    samples: [Samples; BLOCKS],
    sums: [Sums; BLOCKS],
    /// The oldest block, which the next one replaces.
    oldest: usize,
    phase: Phase,
}

impl Default for History {
    fn default() -> Self {
        History {
            samples: Default::default(),
            sums: Default::default(),
            oldest: 0,
            phase: Phase { cos: [1.0; LANES], sin: [0.0; LANES] },
        }
    }
}

impl History {
    /// Takes the next block. `audible` false: counts as silence, and costs nothing.
    pub fn push(&mut self, samples: &Samples, audible: bool) {
        let tables = &*TABLES;
        let oldest = self.oldest % BLOCKS;
        self.samples[oldest] = *samples;
        self.sums[oldest] = if audible { Sums::of(samples, tables, &self.phase) } else { Sums::default() };
        self.oldest = (oldest + 1) % BLOCKS;
        self.phase.advance(&tables.step);
    }

    /// The blocks, oldest first.
    fn ordered<'a, T>(&self, all: &'a [T; BLOCKS]) -> impl Iterator<Item = &'a T> {
        let (newer, older) = all.split_at(self.oldest % BLOCKS);
        older.iter().chain(newer)
    }

    /// The mean power of the newest block, direct current included.
    pub fn newest_power(&self) -> f32 {
        let newest = (self.oldest + BLOCKS - 1) % BLOCKS;
        self.sums.get(newest).map_or(0.0, |sums| sums.square / BLOCK as f32)
    }

    /// The window that the newest block ends.
    pub fn spectrum(&self) -> Spectrum {
        let (mut re, mut im) = ([0f32; LANES], [0f32; LANES]);
        let (mut tilt_re, mut tilt_im) = ([0f32; LANES], [0f32; LANES]);
        let (mut square, mut square_tilt, mut value, mut value_tilt) = (0f32, 0f32, 0f32, 0f32);
        for ((sums, weight), slope) in self.ordered(&self.sums).zip(WEIGHT).zip(SLOPE) {
            for lane in 0..LANES {
                re[lane] += weight * sums.re[lane];
                im[lane] += weight * sums.im[lane];
                tilt_re[lane] += slope * sums.tilt_re[lane];
                tilt_im[lane] += slope * sums.tilt_im[lane];
            }
            square += weight * sums.square;
            square_tilt += slope * sums.square_tilt;
            value += weight * sums.value;
            value_tilt += slope * sums.value_tilt;
        }
        let mean = WEIGHT_UNIT * value + SLOPE_UNIT * value_tilt;
        let mut spectrum = Spectrum {
            total: (WEIGHT_UNIT * square + SLOPE_UNIT * square_tilt - mean * mean).max(0.0),
            ..Spectrum::default()
        };
        for lane in 0..LANES {
            let re = WEIGHT_UNIT * re[lane] + SLOPE_UNIT * tilt_re[lane];
            let im = WEIGHT_UNIT * im[lane] + SLOPE_UNIT * tilt_im[lane];
            spectrum.re[lane] = re;
            spectrum.im[lane] = im;
            spectrum.power[lane] = 2.0 * (re * re + im * im);
        }
        spectrum
    }

    /// The power of a steady tone in the window, `offset` Hz (at most ±50) from a lane's frequency: never above what is
    /// there, but for some percent.
    pub fn tone_power(&self, lane: usize, offset: f32) -> f32 {
        // Radians a sample. Within a block the turn is small: e^(−jxn) ≈ 1 − jxn.
        let x = offset * (TAU as f32 / SAMPLE_RATE as f32);
        let (step_sin, step_cos) = (x * BLOCK as f32).sin_cos();
        let (mut sin, mut cos) = (x * -(WINDOW as f32 - BLOCK as f32) / 2.0).sin_cos();
        let (mut sum_re, mut sum_im) = (0f32, 0f32);
        for ((sums, weight), slope) in self.ordered(&self.sums).zip(WEIGHT).zip(SLOPE) {
            let (weight, slope) = (weight * WEIGHT_UNIT, slope * SLOPE_UNIT);
            let (tilt_re, tilt_im) = (sums.tilt_re[lane], sums.tilt_im[lane]);
            let re = weight * (sums.re[lane] + x * tilt_im) + slope * tilt_re;
            let im = weight * (sums.im[lane] - x * tilt_re) + slope * tilt_im;
            sum_re += re * cos + im * sin;
            sum_im += im * cos - re * sin;
            (cos, sin) = (cos * step_cos - sin * step_sin, sin * step_cos + cos * step_sin);
        }
        // The series' next term, for a steady tone.
        let scale = 1.0 + x * x * ((BLOCK * BLOCK) as f32 / 24.0);
        2.0 * (sum_re * sum_re + sum_im * sum_im) / (scale * scale)
    }

    /// The power between 240 and 490 Hz, where dial tones lie: this one reads the samples again.
    pub fn dial_tone_power(&self) -> f32 {
        let tables: &DialTables = &DIAL_TABLES;
        let mut window = [0f32; WINDOW];
        let mut at = window.iter_mut();
        for samples in self.ordered(&self.samples).flatten() {
            for (to, from) in at.by_ref().zip(samples) {
                *to = f32::from(*from);
            }
        }
        let (before, after) = window.split_at(WINDOW / 2);
        let (mut re, mut im) = ([0f32; LANES], [0f32; LANES]);
        for (((late, early), cos), sin) in after.iter().zip(before.iter().rev()).zip(&tables.cos).zip(&tables.sin) {
            for lane in 0..LANES {
                re[lane] += (late + early) * cos[lane];
                im[lane] += (late - early) * sin[lane];
            }
        }
        // A tone shows in several of the frequencies: all its power times the window's noise bandwidth, 4/3.
        (0..LANES).map(|lane| 2.0 * (re[lane] * re[lane] + im[lane] * im[lane])).sum::<f32>() * 0.75
    }
}

/// Tapered cosines and sines of eight frequencies from 250 Hz on, a window's resolution apart.
struct DialTables {
    cos: [Lanes; WINDOW / 2],
    sin: [Lanes; WINDOW / 2],
}

static DIAL_TABLES: LazyLock<Box<DialTables>> = LazyLock::new(|| {
    let mut tables = Box::new(DialTables { cos: [[0.0; LANES]; WINDOW / 2], sin: [[0.0; LANES]; WINDOW / 2] });
    for n in 0..WINDOW / 2 {
        let distance = n as f64 + 0.5;
        let half = WINDOW as f64 / 2.0;
        let taper = (1.0 - distance / half) / half;
        for lane in 0..LANES {
            let frequency = 250.0 + lane as f64 * f64::from(SAMPLE_RATE) / WINDOW as f64;
            let (sin, cos) = (2.0 * PI * frequency * distance / f64::from(SAMPLE_RATE)).sin_cos();
            (tables.cos[n][lane], tables.sin[n][lane]) = ((taper * cos) as f32, (taper * sin) as f32);
        }
    }
    tables
});

/// The mean magnitude of a block's samples.
pub fn loudness(samples: &Samples) -> f32 {
    let [before, after] = samples;
    let magnitudes = |half: &[i16; HALF]| half.iter().map(|&sample| i32::from(sample.unsigned_abs())).sum::<i32>();
    (magnitudes(before) + magnitudes(after)) as f32 / BLOCK as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last window of `blocks` blocks of tones, each of a frequency in Hz and a peak.
    fn history(tones: &[(f64, f64)], blocks: usize) -> History {
        let mut history = History::default();
        for block in 0..blocks {
            let sample = |n: usize| {
                let seconds = (block * BLOCK + n) as f64 / 8000.0;
                tones.iter().map(|(f, peak)| peak * (TAU * f * seconds + 0.3).cos()).sum::<f64>().round() as i16
            };
            history.push(&[std::array::from_fn(sample), std::array::from_fn(|n| sample(n + HALF))], true);
        }
        history
    }

    #[test]
    fn power_and_offset_of_known_tones() {
        for lane in 0..LANES {
            let frequency = LOW_GROUP.into_iter().chain(HIGH_GROUP).nth(lane).unwrap();
            for off in [-30.0, -20.0, -5.0, 0.0, 12.0, 25.0, 30.0] {
                let tones = [(frequency + off, 1000.0)];
                let (first, second) = (history(&tones, 11).spectrum(), history(&tones, 12).spectrum());
                assert!((f64::from(second.offset(&first, lane)) - off).abs() < 0.2, "{frequency} {off}");
                assert!((second.total / 500_000.0 - 1.0).abs() < 0.01, "{}", second.total);
                let power = history(&tones, 13).tone_power(lane, off as f32);
                assert!((power / 500_000.0 - 1.0).abs() < 0.01, "{frequency} {off} {power}");
                if off == 0.0 {
                    assert!((first.power[lane] / 500_000.0 - 1.0).abs() < 0.01);
                }
            }
        }
    }

    #[test]
    fn another_tone_does_not_leak_in() {
        for (lane, low) in LOW_GROUP.into_iter().enumerate() {
            for high in HIGH_GROUP.into_iter().chain([350.0, 440.0]) {
                let leak = history(&[(high, 1000.0)], 9).spectrum().power[lane] / 500_000.0;
                assert!(leak < 1e-4, "{high} at {low}: {leak}");
            }
        }
    }

    #[test]
    fn direct_current_is_no_power() {
        assert!(history(&[(0.0, 1000.0)], 6).spectrum().total < 10.0);
    }

    #[test]
    fn phases_hold_for_hours() {
        let mut phase = Phase { cos: [1.0; LANES], sin: [0.0; LANES] };
        for _ in 0..3 * 3600 * 200 {
            phase.advance(&TABLES.step);
        }
        for lane in 0..LANES {
            assert!((phase.cos[lane].hypot(phase.sin[lane]) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn dial_tones_are_measured() {
        for (tones, power) in [
            (vec![(350.0, 1000.0), (440.0, 1000.0)], 1e6),
            (vec![(425.0, 1000.0)], 5e5),
            (vec![(350.0, 1000.0), (450.0, 1000.0), (852.0, 1000.0)], 1e6),
            (vec![(697.0, 1000.0), (1209.0, 1000.0)], 0.0),
        ] {
            for blocks in 6..30 {
                let measured = history(&tones, blocks).dial_tone_power();
                assert!((measured - power).abs() < 0.25e6, "{tones:?}: {measured}");
            }
        }
    }
}
