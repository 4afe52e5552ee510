//! Where a sound is most like itself a little earlier or later: the pitch period of a voice, or whatever repeats.
//! Normalised cross-correlation, searched at 4 kHz and refined at the full rate. Worked only for a hole or a stretch.

/// Rate at which lags are searched, Hz.
const COARSE_RATE: u32 = 4_000;
/// Coarse samples at most: 100 ms.
const COARSE: usize = 400;

/// A lag, and how alike the two pieces that far apart are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// In samples.
    pub lag: usize,
    /// −1 to 1; 0 where there is only silence.
    pub value: f32,
}

/// Which way the other piece lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `lag` samples before.
    Earlier,
    /// `lag` samples after.
    Later,
}

/// The lag between `shortest` and `longest` ms at which the `window_ms` from `anchor` on are most like what lies that
/// far `side`. Lags whose piece would lie outside `samples` are not looked at. None: there is none.
pub fn best_lag(
    samples: &[i16],
    rate: u32,
    anchor: usize,
    window_ms: f32,
    (shortest, longest): (f32, f32),
    side: Side,
) -> Option<Likeness> {
    let factor = (rate / COARSE_RATE).max(1) as usize;
    let ms = |ms: f32, rate: u32| (ms * rate as f32 / 1_000.0) as usize;
    // Only what can matter is brought down.
    let reach = ms(window_ms + longest, rate) + 2 * factor;
    let from = match side {
        Side::Earlier => anchor.saturating_sub(ms(longest, rate) + 2 * factor),
        Side::Later => anchor,
    };
    let samples = samples.get(from..samples.len().min(anchor + reach))?;
    let anchor = anchor - from;
    let mut coarse = [0.0f32; COARSE];
    let mut count = 0;
    for (to, piece) in coarse.iter_mut().zip(samples.chunks_exact(factor)) {
        *to = piece.iter().map(|sample| f32::from(*sample)).sum();
        count += 1;
    }
    let coarse = coarse.get(..count)?;
    let window = ms(window_ms, COARSE_RATE);
    let lags = ms(shortest, COARSE_RATE).max(1)..=ms(longest, COARSE_RATE);
    let rough = search(lags, |lag| likeness(coarse, anchor / factor, window, lag, side))?;
    let window = ms(window_ms, rate);
    let (low, high) = (ms(shortest, rate).max(1), ms(longest, rate));
    let middle = rough.lag * factor;
    let lags = middle.saturating_sub(factor).max(low)..=(middle + factor).min(high);
    // Compared on the samples themselves, as floats only one piece at a time.
    search(lags, |lag| likeness_exact(samples, anchor, window, lag, side))
}

/// The best of some lags. Of a period and its multiples, which are equally good but for chance, the shortest.
fn search(lags: impl Iterator<Item = usize>, likeness: impl Fn(usize) -> Option<f32>) -> Option<Likeness> {
    let mut best: Option<Likeness> = None;
    for lag in lags {
        let Some(value) = likeness(lag) else { continue };
        if best.is_none_or(|best| value > best.value + 0.01) {
            best = Some(Likeness { lag, value });
        }
    }
    best
}

/// How alike the `window` samples from `anchor` on and those `lag` from there are.
pub fn likeness_exact(samples: &[i16], anchor: usize, window: usize, lag: usize, side: Side) -> Option<f32> {
    let here = samples.get(anchor..anchor + window)?;
    let there = samples.get(place(anchor, lag, side)?..)?.get(..window)?;
    let mut sums = (0.0, 0.0, 0.0);
    for (&a, &b) in here.iter().zip(there) {
        let (a, b) = (f32::from(a), f32::from(b));
        sums = (sums.0 + a * b, sums.1 + a * a, sums.2 + b * b);
    }
    Some(normalised(sums))
}

fn likeness(samples: &[f32], anchor: usize, window: usize, lag: usize, side: Side) -> Option<f32> {
    let here = samples.get(anchor..anchor + window)?;
    let there = samples.get(place(anchor, lag, side)?..)?.get(..window)?;
    let mut sums = [(0.0, 0.0, 0.0); 4];
    for (a, b) in here.chunks(4).zip(there.chunks(4)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = (sum.0 + a * b, sum.1 + a * a, sum.2 + b * b);
        }
    }
    let sum = sums.iter().fold((0.0, 0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1, s.2 + p.2));
    Some(normalised(sum))
}

fn place(anchor: usize, lag: usize, side: Side) -> Option<usize> {
    match side {
        Side::Earlier => anchor.checked_sub(lag),
        Side::Later => Some(anchor + lag),
    }
}

fn normalised((product, here, there): (f32, f32, f32)) -> f32 {
    let power = (here * there).sqrt();
    if power > 1.0 { product / power } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_of_a_buzz_is_found_at_both_rates_and_both_ways() {
        for rate in [8_000, 16_000] {
            for hz in [80.0, 121.0, 200.0, 330.0] {
                let period = rate as f32 / hz;
                let samples: Vec<i16> =
                    (0..rate / 10).map(|n| ((n as f32 % period) / period * 8_000.0 - 4_000.0) as i16).collect();
                for (anchor, side) in [(samples.len() / 2, Side::Earlier), (10, Side::Later)] {
                    let found = best_lag(&samples, rate, anchor, 15.0, (2.5, 15.0), side).unwrap();
                    let periods = found.lag as f32 / period;
                    assert!((periods - periods.round()).abs() * period < 1.1, "{rate} {hz}: {found:?}");
                    assert!(periods.round() == 1.0 && found.value > 0.9, "{rate} {hz}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn silence_and_too_little_are_no_likeness() {
        assert_eq!(best_lag(&[0; 800], 8_000, 400, 10.0, (2.5, 15.0), Side::Earlier).unwrap().value, 0.0);
        assert_eq!(best_lag(&[1; 50], 8_000, 0, 10.0, (2.5, 15.0), Side::Later), None);
        assert_eq!(best_lag(&[], 8_000, 0, 10.0, (2.5, 15.0), Side::Later), None);
        assert_eq!(best_lag(&[], 8_000, 10, 10.0, (2.5, 15.0), Side::Earlier), None);
    }
}
