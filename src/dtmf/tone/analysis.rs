//! The arithmetic of the tone detector: audio against the eight DTMF frequencies, each sample touched once.
//! What a series of windows means is the detector's business.
//!
//! Audio is taken in blocks of 5 ms. A block leaves two sums for each frequency ([`Sums`]): of the samples turned back by
//! the frequency, and of the same weighted by their distance from the block's middle (the tilt). Out of six blocks' sums
//! comes the exact spectrum of a triangular window over 30 ms ([`Spectrum`]): a triangle is a straight line on each block.
//! The triangle's side lobes are 43 dB down where the other group begins, and fall with the square of the distance. The
//! power of a tone that is off the nominal frequency comes out of the same sums ([`History::tone_power`]).
//!
//! Most audio is plainly no digit. So the tilts are left out at first, which makes a stair of the triangle
//! ([`Sketch`]: side lobes of −26 dB at worst), and made up for only where the sketch leaves a digit possible.
//!
//! The inner loops are lanes that the compiler puts into vector registers; they exist once for any processor, and once
//! for those with AVX2 and FMA. The two differ in rounding only.

#![expect(clippy::needless_range_loop, reason = "lanes side by side, by index, are what becomes vector instructions")]

use std::f64::consts::{PI, TAU};
use std::sync::LazyLock;

use multiversion::multiversion;
use multiversion::target::target_cfg_f;
use serde::{Deserialize, Serialize};

use super::{HIGH_GROUP, LOW_GROUP, SAMPLE_RATE};

/// Samples of a block, and from one window to the next: 5 ms.
pub const BLOCK: usize = 40;
/// Blocks of a window.
pub const BLOCKS: usize = 6;
/// Samples of a window: 30 ms.
pub const WINDOW: usize = BLOCK * BLOCKS;
/// Blocks kept: a window, and one more for the window before.
const KEPT: usize = BLOCKS + 1;

const HALF: usize = BLOCK / 2;
const LANES: usize = 8;
/// One value for each frequency: lane 0–3 low group, 4–7 high group.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[repr(align(32))]
struct Lanes([f32; LANES]);

/// Samples of a block in their order.
pub type Samples = [i16; BLOCK];

/// The window's weight in the middle of each block, and by how much it grows with a sample. They sum up to 1.
const WEIGHT: [f32; BLOCKS] = [1.0 / 720.0, 3.0 / 720.0, 5.0 / 720.0, 5.0 / 720.0, 3.0 / 720.0, 1.0 / 720.0];
const SLOPE: [f32; BLOCKS] = {
    const UP: f32 = 1.0 / 14_400.0;
    [UP, UP, UP, -UP, -UP, -UP]
};

struct Tables {
    /// Of each sample's distance from the block's middle.
    cos: [Lanes; BLOCK],
    sin: [Lanes; BLOCK],
    /// The turn from a window's middle to the middle of each of its blocks; and the same times the block's weight.
    turn_cos: [Lanes; BLOCKS],
    turn_sin: [Lanes; BLOCKS],
    weighted_cos: [Lanes; BLOCKS],
    weighted_sin: [Lanes; BLOCKS],
    /// What a tone of exactly a lane's frequency turns in a block.
    step_cos: Lanes,
    step_sin: Lanes,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let by_lane = |samples: f64, of: fn(f64) -> f64| {
        let mut frequencies = LOW_GROUP.into_iter().chain(HIGH_GROUP);
        Lanes(std::array::from_fn(|_| {
            of(TAU * frequencies.next().unwrap_or_default() * samples / f64::from(SAMPLE_RATE)) as f32
        }))
    };
    let in_block = |n: usize| f64::from(distance(n));
    let in_window = |block: usize| (block as f64 - (BLOCKS as f64 - 1.0) / 2.0) * BLOCK as f64;
    let weighted = |lanes: Lanes, block: usize| Lanes(lanes.0.map(|value| value * WEIGHT[block]));
    Tables {
        cos: std::array::from_fn(|n| by_lane(in_block(n), f64::cos)),
        sin: std::array::from_fn(|n| by_lane(in_block(n), f64::sin)),
        turn_cos: std::array::from_fn(|block| by_lane(in_window(block), f64::cos)),
        turn_sin: std::array::from_fn(|block| by_lane(in_window(block), f64::sin)),
        weighted_cos: std::array::from_fn(|block| weighted(by_lane(in_window(block), f64::cos), block)),
        weighted_sin: std::array::from_fn(|block| weighted(by_lane(in_window(block), f64::sin), block)),
        step_cos: by_lane(BLOCK as f64, f64::cos),
        step_sin: by_lane(BLOCK as f64, f64::sin),
    }
});

/// A sample's distance from its block's middle.
const fn distance(n: usize) -> f32 {
    n as f32 - (BLOCK as f32 - 1.0) / 2.0
}

/// What is kept of a block.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sums {
    /// Sum of the samples times the cosine, and times the sine, of each frequency, zero in the block's middle: the
    /// complex conjugate of a Fourier sum.
    re: Lanes,
    im: Lanes,
    /// Sum of the squares.
    square: f32,
}

/// `a · b + c`, rounded once where the processor has an instruction for it.
#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn floats(samples: &Samples) -> [f32; BLOCK] {
    let mut floats = [0f32; BLOCK];
    for n in 0..BLOCK {
        floats[n] = f32::from(samples[n]);
    }
    floats
}

/// The sums of the samples times cosines, and times sines.
#[inline(always)]
fn correlate<const FUSED: bool>(samples: &[f32; BLOCK], tables: &Tables) -> (Lanes, Lanes) {
    // Four of each, so that an addition need not wait for the one before.
    let (mut re, mut im) = ([Lanes::default(); 4], [Lanes::default(); 4]);
    for n in (0..BLOCK).step_by(4) {
        for part in 0..4 {
            let (sample, cos, sin) = (samples[n + part], &tables.cos[n + part].0, &tables.sin[n + part].0);
            for lane in 0..LANES {
                re[part].0[lane] = multiply_add::<FUSED>(sample, cos[lane], re[part].0[lane]);
                im[part].0[lane] = multiply_add::<FUSED>(sample, sin[lane], im[part].0[lane]);
            }
        }
    }
    let sum = |parts: [Lanes; 4]| {
        let [a, b, c, d] = parts.map(|part| part.0);
        Lanes(std::array::from_fn(|lane| (a[lane] + b[lane]) + (c[lane] + d[lane])))
    };
    (sum(re), sum(im))
}

/// By lane, the sum of products.
#[inline(always)]
fn dot<const FUSED: bool>(a: &[f32; BLOCK], b: &[f32; BLOCK]) -> f32 {
    let mut sums = Lanes::default();
    for n in (0..BLOCK).step_by(LANES) {
        for lane in 0..LANES {
            sums.0[lane] = multiply_add::<FUSED>(a[n + lane], b[n + lane], sums.0[lane]);
        }
    }
    let [a, b, c, d, e, f, g, h] = sums.0;
    ((a + e) + (b + f)) + ((c + g) + (d + h))
}

impl Sums {
    /// Where the squares sum up to less than `silence`, all is taken for zero.
    #[inline(always)]
    fn of<const FUSED: bool>(&mut self, samples: &Samples, silence: f32, tables: &Tables) {
        let samples = floats(samples);
        let square = dot::<FUSED>(&samples, &samples);
        if square < silence {
            *self = Sums::default();
            return;
        }
        (self.re, self.im) = correlate::<FUSED>(&samples, tables);
        self.square = square;
    }
}

/// The sums of a block once more, each sample weighted by its distance in samples from the block's middle.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Tilts {
    re: Lanes,
    im: Lanes,
    square: f32,
    /// The mean value of the block, not weighted.
    mean: f32,
}

impl Tilts {
    #[inline(always)]
    fn of<const FUSED: bool>(&mut self, samples: &Samples, tables: &Tables) {
        let samples = floats(samples);
        let distances: [f32; BLOCK] = std::array::from_fn(distance);
        let mut tilted = samples;
        for n in 0..BLOCK {
            tilted[n] *= distances[n];
        }
        self.square = dot::<FUSED>(&samples, &tilted);
        self.mean = dot::<FUSED>(&samples, &[1.0 / BLOCK as f32; BLOCK]);
        (self.re, self.im) = correlate::<FUSED>(&tilted, tables);
    }
}

/// What a window looks like at a glance. Powers are in squared sample units: a sine of peak `a` has `a²/2`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sketch {
    /// Power of each frequency, within some percent.
    pub power: [f32; LANES],
    /// Power of all that is in the window, direct current included.
    pub total: f32,
}

impl Sketch {
    /// The powers of the strongest frequency of each group: low, high.
    pub fn strongest(&self) -> (f32, f32) {
        let [a, b, c, d, e, f, g, h] = self.power;
        let max = |a: f32, b: f32| if a > b { a } else { b };
        (max(max(a, b), max(c, d)), max(max(e, f), max(g, h)))
    }
}

/// A window seen at the eight frequencies.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Spectrum {
    re: Lanes,
    im: Lanes,
    /// Power of all that is in the window, without direct current.
    pub total: f32,
}

impl Spectrum {
    /// By how many Hz the tone near a lane's frequency is off it, from the phase it gained since the window one block
    /// before; within ±100 Hz.
    pub fn offset(&self, before: &Spectrum, lane: usize) -> f32 {
        let (cos, sin) = (TABLES.step_cos.0[lane], TABLES.step_sin.0[lane]);
        let (a_re, a_im) = (self.re.0[lane], self.im.0[lane]);
        let (b_re, b_im) = (before.re.0[lane], before.im.0[lane]);
        let (b_re, b_im) = (b_re * cos + b_im * sin, b_im * cos - b_re * sin);
        let turn = (a_re * b_im - a_im * b_re).atan2(a_re * b_re + a_im * b_im);
        turn * (SAMPLE_RATE as f32 / BLOCK as f32 / std::f32::consts::TAU)
    }
}

/// The newest blocks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    sums: [Sums; KEPT],
    /// The tilts of those blocks that have them.
    tilts: [Tilts; KEPT],
    tilted: [bool; KEPT],
    /// The samples, block by block in two halves (serde knows no arrays above 32).
    samples: [[[i16; HALF]; 2]; KEPT],
    /// The oldest block, which the next one replaces; below `KEPT`.
    oldest: usize,
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn sum_up(sums: &mut Sums, samples: &Samples, silence: f32, tables: &Tables) {
    if target_cfg_f!(target_feature = "fma") {
        sums.of::<true>(samples, silence, tables);
    } else {
        sums.of::<{ cfg!(target_arch = "aarch64") }>(samples, silence, tables);
    }
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn tilt(tilts: &mut Tilts, samples: &Samples, tables: &Tables) {
    if target_cfg_f!(target_feature = "fma") {
        tilts.of::<true>(samples, tables);
    } else {
        tilts.of::<{ cfg!(target_arch = "aarch64") }>(samples, tables);
    }
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn sketch(history: &History, tables: &Tables) -> Sketch {
    if target_cfg_f!(target_feature = "fma") {
        history.sketch_by::<true>(tables)
    } else {
        history.sketch_by::<{ cfg!(target_arch = "aarch64") }>(tables)
    }
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn spectrum(history: &History, after: usize, tables: &Tables) -> Spectrum {
    history.spectrum_by(after, tables)
}

impl History {
    /// Takes the next block. Is it audible: of a mean power of at least `silence`? If not, it counts as nothing.
    pub fn push(&mut self, samples: &Samples, silence: f32) -> bool {
        let block = self.oldest % KEPT;
        self.oldest = if block + 1 < KEPT { block + 1 } else { 0 };
        if let Some(kept) = self.samples[block].as_flattened_mut().first_chunk_mut() {
            *kept = *samples;
        }
        let sums = &mut self.sums[block];
        sum_up(sums, samples, silence * BLOCK as f32, &TABLES);
        self.tilted[block] = false;
        sums.square > 0.0
    }

    /// The mean power of the newest block, direct current included.
    pub fn newest_power(&self) -> f32 {
        self.sums[(self.oldest + BLOCKS) % KEPT].square / BLOCK as f32
    }

    /// The window that the newest block ends, at a glance.
    pub fn sketch(&self) -> Sketch {
        sketch(self, &TABLES)
    }

    #[inline(always)]
    fn sketch_by<const FUSED: bool>(&self, tables: &Tables) -> Sketch {
        // Two of each, so that an addition need not wait for the one before.
        let (mut re, mut im) = ([Lanes::default(); 2], [Lanes::default(); 2]);
        let mut total = 0f32;
        let mut at = self.oldest;
        for block in 0..BLOCKS {
            at = if at + 1 < KEPT { at + 1 } else { 0 };
            let sums = &self.sums[at];
            let (cos, sin) = (&tables.weighted_cos[block].0, &tables.weighted_sin[block].0);
            for lane in 0..LANES {
                re[0].0[lane] = multiply_add::<FUSED>(sums.re.0[lane], cos[lane], re[0].0[lane]);
                re[1].0[lane] = multiply_add::<FUSED>(sums.im.0[lane], sin[lane], re[1].0[lane]);
                im[0].0[lane] = multiply_add::<FUSED>(sums.im.0[lane], cos[lane], im[0].0[lane]);
                im[1].0[lane] = multiply_add::<FUSED>(sums.re.0[lane], sin[lane], im[1].0[lane]);
            }
            total = multiply_add::<FUSED>(WEIGHT[block], sums.square, total);
        }
        let mut power = [0f32; LANES];
        for lane in 0..LANES {
            let (re, im) = (re[0].0[lane] - re[1].0[lane], im[0].0[lane] + im[1].0[lane]);
            power[lane] = 2.0 * (re * re + im * im);
        }
        Sketch { power, total }
    }

    /// The window that the newest block ends, and the one that ends a block before, exactly.
    pub fn spectra(&mut self) -> (Spectrum, Spectrum) {
        let tables = &*TABLES;
        for block in 0..KEPT {
            if !self.tilted[block] {
                self.tilted[block] = true;
                match self.samples[block].as_flattened().first_chunk() {
                    Some(samples) if self.sums[block].square > 0.0 => tilt(&mut self.tilts[block], samples, tables),
                    _ => self.tilts[block] = Tilts::default(),
                }
            }
        }
        (spectrum(self, self.oldest, tables), spectrum(self, (self.oldest + BLOCKS) % KEPT, tables))
    }

    /// The window after block `after`.
    #[inline(always)]
    fn spectrum_by(&self, after: usize, tables: &Tables) -> Spectrum {
        let (mut re, mut im) = (Lanes::default(), Lanes::default());
        let (mut square, mut mean) = (0f32, 0f32);
        let mut at = after;
        for block in 0..BLOCKS {
            at = if at + 1 < KEPT { at + 1 } else { 0 };
            let (sums, tilts) = (&self.sums[at], &self.tilts[at]);
            let (weight, slope) = (WEIGHT[block], SLOPE[block]);
            let (cos, sin) = (&tables.turn_cos[block].0, &tables.turn_sin[block].0);
            for lane in 0..LANES {
                let block_re = weight * sums.re.0[lane] + slope * tilts.re.0[lane];
                let block_im = weight * sums.im.0[lane] + slope * tilts.im.0[lane];
                re.0[lane] += block_re * cos[lane] - block_im * sin[lane];
                im.0[lane] += block_im * cos[lane] + block_re * sin[lane];
            }
            square += weight * sums.square + slope * tilts.square;
            mean += weight * BLOCK as f32 * tilts.mean;
        }
        Spectrum { re, im, total: (square - mean * mean).max(0.0) }
    }

    /// The power of a steady tone in the newest window, `offset` Hz (at most ±60) from a lane's frequency: never above
    /// what is there, but for some percent. After [`Self::spectra`].
    pub fn tone_power(&self, lane: usize, offset: f32) -> f32 {
        let tables = &*TABLES;
        // Radians a sample. Within a block the turn is small: e^(jxn) ≈ 1 + jxn.
        let x = offset * (TAU as f32 / SAMPLE_RATE as f32);
        // Over half a block by its series (to 10⁻⁵), then by doubling: the blocks' middles are 1, 3 and 5 halves away.
        let half = x * HALF as f32;
        let square = half * half;
        let one = (
            1.0 - square / 2.0 * (1.0 - square / 12.0 * (1.0 - square / 30.0)),
            half * (1.0 - square / 6.0 * (1.0 - square / 20.0 * (1.0 - square / 42.0))),
        );
        let two = turn(one, one);
        let three = turn(one, two);
        let five = turn(three, two);
        let back = |(cos, sin): (f32, f32)| (cos, -sin);
        let away = [back(five), back(three), back(one), one, three, five];
        let (mut sum_re, mut sum_im) = (0f32, 0f32);
        let mut at = self.oldest;
        for block in 0..BLOCKS {
            at = if at + 1 < KEPT { at + 1 } else { 0 };
            let (sums, tilts) = (&self.sums[at], &self.tilts[at]);
            let (weight, slope) = (WEIGHT[block], SLOPE[block]);
            let (tilt_re, tilt_im) = (tilts.re.0[lane], tilts.im.0[lane]);
            let re = weight * (sums.re.0[lane] - x * tilt_im) + slope * tilt_re;
            let im = weight * (sums.im.0[lane] + x * tilt_re) + slope * tilt_im;
            let (cos, sin) = turn((tables.turn_cos[block].0[lane], tables.turn_sin[block].0[lane]), away[block]);
            sum_re += re * cos - im * sin;
            sum_im += im * cos + re * sin;
        }
        // The next term, for a steady tone.
        let scale = 1.0 + x * x * ((BLOCK * BLOCK) as f32 / 24.0);
        2.0 * (sum_re * sum_re + sum_im * sum_im) / (scale * scale)
    }

    /// The power between 240 and 490 Hz, where dial tones lie: this one reads the samples again.
    pub fn dial_tone_power(&self) -> f32 {
        let tables: &DialTables = &DIAL_TABLES;
        let mut window = [0f32; WINDOW];
        let mut at = window.iter_mut();
        let (newer, older) = self.samples.split_at(self.oldest % KEPT);
        for samples in older.iter().chain(newer).skip(1).flatten() {
            for (to, from) in at.by_ref().zip(samples) {
                *to = f32::from(*from);
            }
        }
        let (re, im) = dial_tones(&window, tables);
        // A tone shows in several of the frequencies: all its power times the window's noise bandwidth, 4/3.
        (0..LANES).map(|lane| 2.0 * (re.0[lane] * re.0[lane] + im.0[lane] * im.0[lane])).sum::<f32>() * 0.75
    }
}

#[multiversion(targets("x86_64+avx2+fma"))]
fn dial_tones(window: &[f32; WINDOW], tables: &DialTables) -> (Lanes, Lanes) {
    let (before, after) = window.split_at(WINDOW / 2);
    let (mut re, mut im) = (Lanes::default(), Lanes::default());
    for (((late, early), cos), sin) in after.iter().zip(before.iter().rev()).zip(&tables.cos).zip(&tables.sin) {
        for lane in 0..LANES {
            re.0[lane] += (late + early) * cos.0[lane];
            im.0[lane] += (late - early) * sin.0[lane];
        }
    }
    (re, im)
}

/// Tapered cosines and sines of eight frequencies from 250 Hz on, a window's resolution apart.
struct DialTables {
    cos: [Lanes; WINDOW / 2],
    sin: [Lanes; WINDOW / 2],
}

static DIAL_TABLES: LazyLock<Box<DialTables>> = LazyLock::new(|| {
    let mut tables = Box::new(DialTables { cos: [Lanes::default(); WINDOW / 2], sin: [Lanes::default(); WINDOW / 2] });
    for n in 0..WINDOW / 2 {
        let distance = n as f64 + 0.5;
        let half = WINDOW as f64 / 2.0;
        let taper = (1.0 - distance / half) / half;
        for lane in 0..LANES {
            let frequency = 250.0 + lane as f64 * f64::from(SAMPLE_RATE) / WINDOW as f64;
            let (sin, cos) = (2.0 * PI * frequency * distance / f64::from(SAMPLE_RATE)).sin_cos();
            (tables.cos[n].0[lane], tables.sin[n].0[lane]) = ((taper * cos) as f32, (taper * sin) as f32);
        }
    }
    tables
});

/// Two turns, each a cosine and a sine, one after the other.
fn turn(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    (a.0 * b.0 - a.1 * b.1, a.1 * b.0 + a.0 * b.1)
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
            history.push(&std::array::from_fn(sample), 0.0);
        }
        history
    }

    #[test]
    fn power_and_offset_of_known_tones() {
        for lane in 0..LANES {
            let frequency = LOW_GROUP.into_iter().chain(HIGH_GROUP).nth(lane).unwrap();
            for off in [-30.0, -20.0, -5.0, 0.0, 12.0, 25.0, 30.0] {
                let tones = [(frequency + off, 1000.0)];
                let mut history = history(&tones, 12);
                let (second, first) = history.spectra();
                let sketch = history.sketch();
                assert!((f64::from(second.offset(&first, lane)) - off).abs() < 0.2, "{frequency} {off}");
                assert!((second.total / 500_000.0 - 1.0).abs() < 0.01, "{}", second.total);
                let power = history.tone_power(lane, off as f32);
                assert!((power / 500_000.0 - 1.0).abs() < 0.01, "{frequency} {off} {power}");
                if off == 0.0 {
                    assert!((sketch.power[lane] / 500_000.0 - 1.0).abs() < 0.03, "{sketch:?}");
                }
            }
        }
    }

    #[test]
    fn another_tone_does_not_leak_in() {
        for (lane, low) in LOW_GROUP.into_iter().enumerate() {
            for high in HIGH_GROUP.into_iter().chain([350.0, 440.0]) {
                let mut history = history(&[(high, 1000.0)], 9);
                history.spectra();
                let leak = history.tone_power(lane, 0.0) / 500_000.0;
                assert!(leak < 1e-4, "{high} at {low}: {leak}");
            }
        }
    }

    #[test]
    fn direct_current_is_no_power() {
        assert!(history(&[(0.0, 1000.0)], 7).spectra().0.total < 10.0);
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
