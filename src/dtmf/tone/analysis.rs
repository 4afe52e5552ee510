//! The arithmetic of the tone detector: one tapered window of samples against the eight DTMF frequencies.
//! What a series of windows means is the detector's business.

use std::f64::consts::TAU;
use std::sync::LazyLock;

use super::{HIGH_GROUP, LOW_GROUP, SAMPLE_RATE};

/// Samples of a window: 30 ms.
pub const WINDOW: usize = 240;
/// Samples from one window to the next: 5 ms.
pub const HOP: usize = 40;

const HALF: usize = WINDOW / 2;
const LANES: usize = 8;

/// Tapered cosines and sines, by distance from the window's middle: lane 0–3 low group, 4–7 high group. A window is
/// folded at its middle (even part times cosine, odd part times sine), which halves the work; lanes side by side let the
/// compiler use vector registers.
struct Tables {
    taper: [f32; HALF],
    cos: [[f32; LANES]; HALF],
    sin: [[f32; LANES]; HALF],
}

static TABLES: LazyLock<Box<Tables>> = LazyLock::new(|| {
    let mut tables = Box::new(Tables { taper: [0.0; HALF], cos: [[0.0; LANES]; HALF], sin: [[0.0; LANES]; HALF] });
    for n in 0..HALF {
        let offset = n as f64 + 0.5;
        // Hann, with a sum of 1 over the whole window.
        let taper = (1.0 + (TAU * offset / WINDOW as f64).cos()) / WINDOW as f64;
        tables.taper[n] = taper as f32;
        for (lane, frequency) in LOW_GROUP.into_iter().chain(HIGH_GROUP).enumerate() {
            let (sin, cos) = (TAU * frequency * offset / f64::from(SAMPLE_RATE)).sin_cos();
            tables.cos[n][lane] = (taper * cos) as f32;
            tables.sin[n][lane] = (taper * sin) as f32;
        }
    }
    tables
});

/// By lane: the phase that a tone of exactly that frequency gains in a hop, as cosine and sine.
static HOP_TURN: LazyLock<[(f32, f32); LANES]> = LazyLock::new(|| turns(HOP as f64));

/// The same for half a sample.
static HALF_SAMPLE_TURN: LazyLock<[(f32, f32); LANES]> = LazyLock::new(|| turns(0.5));

/// By lane: the phase gained in so many samples.
fn turns(samples: f64) -> [(f32, f32); LANES] {
    let mut turns = [(0.0, 0.0); LANES];
    for (turn, frequency) in turns.iter_mut().zip(LOW_GROUP.into_iter().chain(HIGH_GROUP)) {
        let (sin, cos) = (TAU * frequency * samples / f64::from(SAMPLE_RATE)).sin_cos();
        *turn = (cos as f32, sin as f32);
    }
    turns
}

/// Two turns, each a cosine and a sine, one after the other.
fn turn(a: (f32, f32), b: (f32, f32)) -> (f32, f32) {
    (a.0 * b.0 - a.1 * b.1, a.1 * b.0 + a.0 * b.1)
}

/// A window seen at the eight frequencies. Powers are in squared sample units: a sine of peak `a` has `a²/2`.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Spectrum {
    re: [f32; LANES],
    im: [f32; LANES],
    /// Power of each frequency.
    pub power: [f32; LANES],
    /// Power of all that is in the window, without direct current.
    pub total: f32,
}

impl Spectrum {
    pub fn of(window: &[f32; WINDOW]) -> Self {
        let tables: &Tables = &TABLES;
        let (before, after) = window.split_at(HALF);
        let (mut even, mut odd) = ([0f32; HALF], [0f32; HALF]);
        let (mut square, mut mean) = ([0f32; LANES], [0f32; LANES]);
        for (n, (a, b)) in after.iter().zip(before.iter().rev()).enumerate() {
            even[n] = a + b;
            odd[n] = a - b;
        }
        for ((e, o), taper) in
            even.chunks_exact(LANES).zip(odd.chunks_exact(LANES)).zip(tables.taper.chunks_exact(LANES))
        {
            for lane in 0..LANES {
                square[lane] += taper[lane] * (e[lane] * e[lane] + o[lane] * o[lane]);
                mean[lane] += taper[lane] * e[lane];
            }
        }
        // Two sums of each, so that an addition need not wait for the one before.
        let (mut re, mut im) = ([0f32; LANES], [0f32; LANES]);
        let (mut re_odd, mut im_odd) = ([0f32; LANES], [0f32; LANES]);
        let (cos, _) = tables.cos.as_chunks::<2>();
        let (sin, _) = tables.sin.as_chunks::<2>();
        let (even, _) = even.as_chunks::<2>();
        let (odd, _) = odd.as_chunks::<2>();
        for (([e0, e1], [o0, o1]), ([c0, c1], [s0, s1])) in even.iter().zip(odd).zip(cos.iter().zip(sin)) {
            for lane in 0..LANES {
                re[lane] += e0 * c0[lane];
                im[lane] += o0 * s0[lane];
                re_odd[lane] += e1 * c1[lane];
                im_odd[lane] += o1 * s1[lane];
            }
        }
        for lane in 0..LANES {
            re[lane] += re_odd[lane];
            im[lane] += im_odd[lane];
        }
        let (square, mean): (f32, f32) = (square.iter().sum(), mean.iter().sum());
        let mut power = [0f32; LANES];
        for lane in 0..LANES {
            power[lane] = 2.0 * (re[lane] * re[lane] + im[lane] * im[lane]);
        }
        Spectrum { re, im, power, total: (square / 2.0 - mean * mean).max(0.0) }
    }

    /// By how many Hz the tone near a lane's frequency is off it, from the phase it gained since the window one hop
    /// before; within ±100 Hz.
    pub fn offset(&self, before: &Spectrum, lane: usize) -> f32 {
        let (cos, sin) = HOP_TURN[lane];
        // The middle's phase: x·e^(−jωt) gives (re, −im).
        let (a_re, a_im) = (self.re[lane], -self.im[lane]);
        let (b_re, b_im) =
            (before.re[lane] * cos + before.im[lane] * sin, before.re[lane] * sin - before.im[lane] * cos);
        let turn = (a_im * b_re - a_re * b_im).atan2(a_re * b_re + a_im * b_im);
        turn * (SAMPLE_RATE as f32 / HOP as f32 / std::f32::consts::TAU)
    }
}

/// The power of the window's newest hop, direct current included.
pub fn newest_power(window: &[f32; WINDOW]) -> f32 {
    let mut square = [0f32; LANES];
    for part in window[WINDOW - HOP..].chunks_exact(LANES) {
        for lane in 0..LANES {
            square[lane] += part[lane] * part[lane];
        }
    }
    square.iter().sum::<f32>() / HOP as f32
}

/// The power of a steady tone in the window, `offset` Hz (at most ±100) from a lane's frequency.
pub fn tone_power(window: &[f32; WINDOW], lane: usize, offset: f32) -> f32 {
    let tables: &Tables = &TABLES;
    let (before, after) = window.split_at(HALF);
    // Half a sample's turn: the nominal one of the table, and a small one of the offset by its series.
    let x = offset * (std::f32::consts::PI / SAMPLE_RATE as f32);
    let small = (1.0 - x * x / 2.0, x - x * x * x / 6.0);
    let half = turn(HALF_SAMPLE_TURN[lane], small);
    let step = turn(half, half);
    let (mut cos, mut sin) = ([0f32; LANES], [0f32; LANES]);
    let mut at = half;
    for lane in 0..LANES {
        (cos[lane], sin[lane]) = at;
        at = turn(at, step);
    }
    // Eight neighbouring samples at a time: lane k turns from sample 8m+k to 8(m+1)+k, eight steps by three squarings.
    let two = turn(step, step);
    let four = turn(two, two);
    let (c8, s8) = turn(four, four);
    let (mut re, mut im) = ([0f32; LANES], [0f32; LANES]);
    for ((taper, a), b) in
        tables.taper.chunks_exact(LANES).zip(after.chunks_exact(LANES)).zip(before.rchunks_exact(LANES))
    {
        for lane in 0..LANES {
            let (late, early) = (a[lane], b[LANES - 1 - lane]);
            re[lane] += taper[lane] * (late + early) * cos[lane];
            im[lane] += taper[lane] * (late - early) * sin[lane];
            (cos[lane], sin[lane]) = (cos[lane] * c8 - sin[lane] * s8, sin[lane] * c8 + cos[lane] * s8);
        }
    }
    let (re, im): (f32, f32) = (re.iter().sum(), im.iter().sum());
    2.0 * (re * re + im * im)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(tones: &[(f64, f64)], from: usize) -> [f32; WINDOW] {
        std::array::from_fn(|n| {
            let seconds = (from + n) as f64 / 8000.0;
            tones.iter().map(|(f, peak)| peak * (TAU * f * seconds + 0.3).sin()).sum::<f64>() as f32
        })
    }

    #[test]
    fn power_and_offset_of_known_tones() {
        for lane in 0..LANES {
            let frequency = LOW_GROUP.into_iter().chain(HIGH_GROUP).nth(lane).unwrap();
            for off in [-20.0, -5.0, 0.0, 12.0, 25.0] {
                let tones = [(frequency + off, 1000.0)];
                let (first, second) = (Spectrum::of(&window(&tones, 0)), Spectrum::of(&window(&tones, HOP)));
                assert!((f64::from(second.offset(&first, lane)) - off).abs() < 0.2, "{frequency} {off}");
                assert!((second.total / 500_000.0 - 1.0).abs() < 0.01, "{}", second.total);
                let power = tone_power(&window(&tones, 7), lane, off as f32);
                assert!((power / 500_000.0 - 1.0).abs() < 0.01, "{frequency} {off} {power}");
                if off == 0.0 {
                    assert!((first.power[lane] / 500_000.0 - 1.0).abs() < 0.01);
                }
            }
        }
    }

    #[test]
    fn direct_current_is_no_power() {
        assert!(Spectrum::of(&[1000.0; WINDOW]).total < 10.0);
    }
}
