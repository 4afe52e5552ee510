//! Packet loss concealment for codecs that have none (after ITU-T G.711 Appendix I): the last pitch period goes on, or
//! the tones that sound ([`super::tonal`]), at full level first, then fading into comfort noise; real audio is
//! cross-faded in where it returns.
//!
//! What is made up depends on the history alone, so it can be had twice: once for the ear, and once for the detector,
//! when it turns out that the packet waited for was lost.

use super::comfort::Comfort;
use super::pitch::{Side, best_lag};
use super::tonal::extrapolate;

/// Pitch periods, ms.
const PERIODS: (f32, f32) = (2.5, 15.0);
/// Longest cycle kept, ms: that of a tone, which is predicted to its end.
const CYCLE_MS: usize = TONAL_MS.0 + TONAL_MS.1;
/// Likeness below which there is no pitch: a longer piece repeats less noticeably.
const VOICED: f32 = 0.5;
/// Likeness above which a sound is a tone, or as good as one.
const TONAL: f32 = 0.97;
/// What an unvoiced sound repeats, ms.
const UNVOICED_MS: usize = 10;
/// Full level, then until nothing is left, ms.
const TIMES_MS: (usize, usize) = (10, 50);
/// Tones go on a little longer, so that a digit is not cut in two.
const TONAL_MS: (usize, usize) = (60, 30);
/// Cross-fade where real audio returns, ms.
const RETURN_MS: usize = 4;
/// Over which the step between the last sample and the first made up is smoothed, ms.
const SMOOTH_MS: usize = 2;

/// Makes up what is missing.
#[derive(Clone, Debug)]
pub struct Concealer {
    rate: u32,
    cycle: Vec<i16>,
    hold: usize,
    fade: usize,
    /// What the first sample made up is too low by.
    step: i32,
    /// Samples made up so far.
    made: usize,
}

impl Concealer {
    /// For audio of `rate` Hz.
    pub fn new(rate: u32) -> Self {
        let mut concealer = Concealer { rate, cycle: Vec::new(), hold: 0, fade: 1, step: 0, made: 0 };
        concealer.reset(rate);
        concealer
    }

    /// Another stream. Allocates only where the rate is higher than any before.
    pub fn reset(&mut self, rate: u32) {
        self.rate = rate;
        self.cycle.clear();
        self.cycle.reserve(self.samples(CYCLE_MS));
        self.made = 0;
    }

    /// A hole begins behind `history`.
    pub fn begin(&mut self, history: &[i16]) {
        self.made = 0;
        self.cycle.clear();
        let rate = self.rate;
        let window = (rate * 15 / 1_000) as usize;
        let Some(anchor) = history.len().checked_sub(window) else { return };
        let best = best_lag(history, rate, anchor, 15.0, PERIODS, Side::Earlier);
        let mut times = TIMES_MS;
        let whole = self.samples(TONAL_MS.0 + TONAL_MS.1);
        if best.is_some_and(|best| best.value > 0.0) && extrapolate(history, whole, &mut self.cycle) {
            self.step = 0;
            self.hold = self.samples(TONAL_MS.0);
            self.fade = self.samples(TONAL_MS.1).max(1);
            return;
        }
        if best.is_some_and(|best| best.value > TONAL) {
            times = TONAL_MS;
        }
        let unvoiced = self.samples(UNVOICED_MS);
        let period = best.filter(|best| best.value > VOICED).map_or(unvoiced, |best| best.lag);
        let quarter = period / 4;
        let Some(from) = history.len().checked_sub(period + quarter) else { return };
        let (Some(lead), Some(last)) = (history.get(from..from + quarter), history.get(from + quarter..)) else {
            return;
        };
        self.cycle.extend_from_slice(last);
        // The end of the cycle leads to its beginning: its last quarter becomes what came before its first sample.
        if let Some(tail) = self.cycle.get_mut(period - quarter..) {
            cross_fade(tail, lead);
        }
        let (first, newest) = (last.first(), last.last());
        let before = lead.last();
        // The first sample followed `before`; now it follows `newest`.
        self.step = match (first, newest, before) {
            (Some(_), Some(&newest), Some(&before)) => i32::from(newest) - i32::from(before),
            _ => 0,
        };
        self.hold = self.samples(times.0);
        self.fade = self.samples(times.1).max(1);
    }

    /// Fills `out` with what plausibly comes next, on top of comfort noise once it fades.
    pub fn fill(&mut self, out: &mut [i16], comfort: &mut Comfort) {
        if self.made > self.hold {
            comfort.fill(out);
            if self.is_silent() {
                return;
            }
        } else {
            out.fill(0);
        }
        for sample in out {
            *sample = sample.saturating_add(self.at(self.made));
            self.made += 1;
        }
    }

    /// The sample number `index` of the hole.
    pub fn at(&self, index: usize) -> i16 {
        let gain = (self.hold + self.fade).saturating_sub(index).min(self.fade);
        if self.cycle.is_empty() || gain == 0 {
            return 0;
        }
        let mut sample = i32::from(self.cycle.get(index % self.cycle.len()).copied().unwrap_or(0));
        let smooth = self.samples(SMOOTH_MS);
        if index < smooth {
            sample += self.step * (smooth - index) as i32 / smooth as i32;
        }
        let sample = sample * gain as i32 / self.fade as i32;
        sample.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }

    /// Samples made up since the hole began.
    pub fn made(&self) -> usize {
        self.made
    }

    /// Has it faded altogether?
    pub fn is_silent(&self) -> bool {
        self.cycle.is_empty() || self.made >= self.hold + self.fade
    }

    /// Length of what repeats, in samples; 0: nothing does.
    pub fn period(&self) -> usize {
        self.cycle.len()
    }

    /// Real audio returns in `samples`: their beginning is cross-faded with what would have gone on.
    pub fn fade_into(&self, samples: &mut [i16]) {
        let length = self.samples(RETURN_MS).min(samples.len());
        for (n, sample) in samples.iter_mut().take(length).enumerate() {
            let made = i32::from(self.at(self.made + n));
            let (weight, whole) = (n as i32 + 1, length as i32 + 1);
            *sample = ((made * (whole - weight) + i32::from(*sample) * weight) / whole) as i16;
        }
    }

    fn samples(&self, ms: usize) -> usize {
        ms * self.rate as usize / 1_000
    }
}

/// Lets `samples` go over into `to`, linearly.
pub fn cross_fade(samples: &mut [i16], to: &[i16]) {
    let whole = samples.len() as i32 + 1;
    for (n, (sample, &to)) in samples.iter_mut().zip(to).enumerate() {
        let weight = n as i32 + 1;
        *sample = ((i32::from(*sample) * (whole - weight) + i32::from(to) * weight) / whole) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(rate: u32, hz: &[f64], count: usize) -> Vec<i16> {
        let at = |n: usize| hz.iter().map(move |hz| (n as f64 * std::f64::consts::TAU * hz / f64::from(rate)).sin());
        (0..count).map(|n| (at(n).sum::<f64>() * 4_000.0) as i16).collect()
    }

    #[test]
    fn a_hole_in_a_steady_sound_is_filled_without_a_click() {
        for rate in [8_000, 16_000] {
            for hz in [&[110.0][..], &[200.0], &[320.0, 640.0], &[697.0, 1_209.0], &[852.0, 1_477.0], &[941.0, 1_633.0]]
            {
                let frame = rate as usize / 50;
                let whole = sound(rate, hz, frame * 7);
                let mut out = whole[..frame * 4].to_vec();
                let mut concealer = Concealer::new(rate);
                let mut comfort = Comfort::default();
                concealer.begin(&out);
                let mut hole = vec![0; frame];
                concealer.fill(&mut hole, &mut comfort);
                out.extend(hole);
                let mut back = whole[frame * 5..].to_vec();
                concealer.fade_into(&mut back);
                out.extend(back);
                let steepest = whole.windows(2).map(|w| (w[1] - w[0]).abs()).max().unwrap();
                for (n, pair) in out.windows(2).enumerate() {
                    let step = (i32::from(pair[1]) - i32::from(pair[0])).abs();
                    assert!(step <= i32::from(steepest) * 3 / 2, "{rate} {hz:?}: a step of {step} at {n}");
                }
                let error: f64 = (frame * 4..frame * 5).map(|n| f64::from(out[n] - whole[n]).powi(2)).sum();
                let power: f64 = (frame * 4..frame * 5).map(|n| f64::from(whole[n]).powi(2)).sum();
                assert!(error < 0.15 * power, "{rate} {hz:?}: off by {}", error / power);
                assert_eq!(out[frame * 6..], whole[frame * 6..], "untouched after the cross-fade");
            }
        }
    }

    #[test]
    fn a_long_hole_fades_and_stays_silent() {
        let mut concealer = Concealer::new(8_000);
        let mut comfort = Comfort::default();
        concealer.begin(&sound(8_000, &[150.0], 480));
        let mut out = [0; 160];
        for frame in 0..10_000 {
            concealer.fill(&mut out, &mut comfort);
            let loudest = out.iter().map(|s| s.abs()).max().unwrap();
            assert!(if frame < 2 { loudest > 500 } else { frame < 5 || loudest <= 16 }, "frame {frame}: {loudest}");
        }
    }

    #[test]
    fn nothing_before_gives_nothing() {
        let mut concealer = Concealer::new(8_000);
        let mut out = [1; 53];
        for history in [&[][..], &[i16::MIN; 7], &[i16::MIN; 480], &[0; 480]] {
            concealer.begin(history);
            concealer.fill(&mut out, &mut Comfort::default());
            concealer.fade_into(&mut out);
            concealer.fade_into(&mut []);
        }
        assert!(out.iter().all(|s| s.abs() <= 16), "{out:?}");
    }
}
