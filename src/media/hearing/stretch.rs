//! Playing a little faster or slower without changing the pitch: one period is left out or comes twice, where the sound
//! repeats itself or is nearly silent (WSOLA, as in NetEQ). So delay follows its target, and clocks that drift meet.

use super::conceal::cross_fade;
use super::line::Line;
use super::pitch::{Side, best_lag};

/// Periods that may be left out or doubled, ms.
const PERIODS: (f32, f32) = (2.5, 15.0);
/// What must lie ahead so that a period can be left out: two of the longest, ms.
pub const NEEDED_MS: usize = 32;
/// Likeness of what is joined, normally and where it presses.
const ALIKE: f32 = 0.9;
const ALIKE_PRESSING: f32 = 0.7;
/// Mean absolute sample below which nothing can be heard of a joint: about −60 dB of full scale.
const QUIET: u32 = 24;
/// What is taken out of silence or put into it, ms.
const QUIET_MS: usize = 10;

/// How well a joint must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// There is time.
    Normal,
    /// The delay is far off.
    Pressing,
}

/// Leaves one period out of what lies ahead. Gives the number of samples left out; none where nothing fits.
pub fn shorten(line: &mut Line, rate: u32, need: Need) -> Option<usize> {
    let ahead = line.next(samples(rate, NEEDED_MS));
    let period = if is_quiet(ahead) {
        samples(rate, QUIET_MS)
    } else {
        let best = best_lag(ahead, rate, 0, 12.0, PERIODS, Side::Later)?;
        fits(best.value, need).then_some(best.lag)?
    };
    if line.ahead() < 2 * period {
        return None;
    }
    let (around, at) = line.around();
    let (first, second) = around.get_mut(at..)?.split_at_mut(period);
    cross_fade(first, second.get(..period)?);
    line.cut(period, period);
    Some(period)
}

/// Lets the period before the next sample come twice. Gives the number of samples won; none where nothing fits.
pub fn lengthen(line: &mut Line, rate: u32, need: Need) -> Option<usize> {
    let (around, at) = line.around();
    let ahead = around.get(at..)?;
    let period = if is_quiet(ahead) {
        samples(rate, QUIET_MS)
    } else {
        let best = best_lag(around, rate, at, 12.0, PERIODS, Side::Earlier)?;
        fits(best.value, need).then_some(best.lag)?
    };
    if ahead.len() < period || at < period {
        return None;
    }
    // …A|B… becomes …A|X B…, where X goes from B's beginning over into A, whose end leads to B.
    if !line.double(0, period) {
        return None;
    }
    let (around, at) = line.around();
    let (copy, original) = around.get_mut(at..)?.split_at_mut(period);
    let original = original.get(..period)?;
    // `copy` is A. It begins as B does.
    let whole = period as i32 + 1;
    for (n, (sample, &b)) in copy.iter_mut().zip(original).enumerate() {
        let weight = n as i32 + 1;
        *sample = ((i32::from(b) * (whole - weight) + i32::from(*sample) * weight) / whole) as i16;
    }
    Some(period)
}

fn fits(likeness: f32, need: Need) -> bool {
    likeness > if need == Need::Normal { ALIKE } else { ALIKE_PRESSING }
}

fn is_quiet(samples: &[i16]) -> bool {
    let sum: u32 = samples.iter().map(|sample| u32::from(sample.unsigned_abs())).sum();
    sum <= QUIET * samples.len() as u32
}

fn samples(rate: u32, ms: usize) -> usize {
    rate as usize * ms / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rate: u32, sound: &[i16]) -> Line {
        let mut line = Line::new(rate);
        for chunk in sound.chunks(rate as usize / 50) {
            line.room(chunk.len()).copy_from_slice(chunk);
            line.add(chunk.len());
        }
        line
    }

    /// A vowel of 120 Hz: partials that fall off.
    fn vowel(rate: u32, count: usize) -> Vec<i16> {
        let partial =
            |n: usize, k: u32| (n as f64 * f64::from(k) * 120.0 / f64::from(rate) * std::f64::consts::TAU).sin();
        (0..count).map(|n| ((1..9).map(|k| partial(n, k) / f64::from(k)).sum::<f64>() * 5_000.0) as i16).collect()
    }

    fn steepest(samples: &[i16]) -> i32 {
        samples.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max().unwrap()
    }

    #[test]
    fn a_vowel_loses_or_wins_one_period_without_a_click() {
        for rate in [8_000u32, 16_000] {
            let sound = vowel(rate, rate as usize / 10);
            let period = rate as f64 / 120.0;
            for shorter in [true, false] {
                let mut line = line(rate, &sound);
                line.play(rate as usize / 50);
                let before = line.ahead();
                let change = if shorter {
                    let cut = shorten(&mut line, rate, Need::Normal).expect("a vowel fits");
                    assert_eq!(line.ahead(), before - cut);
                    cut
                } else {
                    let won = lengthen(&mut line, rate, Need::Normal).expect("a vowel fits");
                    assert_eq!(line.ahead(), before + won);
                    won
                };
                assert!((change as f64 - period).abs() < 2.0, "{change} of {period}");
                let (around, _) = line.around();
                assert!(steepest(around) <= steepest(&sound) * 5 / 4, "{} of {}", steepest(around), steepest(&sound));
            }
        }
    }

    #[test]
    fn noise_is_left_alone_and_silence_is_not() {
        let mut state = 1u32;
        let mut noise = |amplitude: i32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as i32 % (2 * amplitude + 1) - amplitude) as i16
        };
        let loud: Vec<i16> = (0..800).map(|_| noise(3_000)).collect();
        assert_eq!(shorten(&mut line(8_000, &loud), 8_000, Need::Normal), None);
        let mut played = line(8_000, &loud);
        played.play(400);
        assert_eq!(lengthen(&mut played, 8_000, Need::Normal), None);
        let quiet: Vec<i16> = (0..800).map(|_| noise(12)).collect();
        assert_eq!(shorten(&mut line(8_000, &quiet), 8_000, Need::Normal), Some(80));
        let mut played = line(8_000, &quiet);
        played.play(400);
        assert_eq!(lengthen(&mut played, 8_000, Need::Normal), Some(80));
    }

    #[test]
    fn too_little_is_left_alone() {
        assert_eq!(shorten(&mut Line::new(8_000), 8_000, Need::Pressing), None);
        assert_eq!(lengthen(&mut Line::new(8_000), 8_000, Need::Pressing), None);
    }
}
