//! How a tone goes on: linear prediction (covariance method) of sounds that are a few steady sinusoids, such as a digit
//! or a dial tone. Two tones together repeat too seldom for a pitch period; predicted, they go on as they were.

/// Order of the prediction: two sinusoids need 4; the rest makes it steady in noise.
const ORDER: usize = 16;
/// What is looked at, in samples: 30 ms at 8 kHz, 15 ms at 16 kHz.
const WINDOW: usize = 240;
/// The part of the power that may be left unpredicted.
const RESIDUE: f64 = 0.02;
/// Within what the predicted power must stay, as a part of the power before: speech dies away or runs off.
const STEADY: (f64, f64) = (0.6, 1.5);

/// Appends `count` predicted samples to `out`. False, and nothing is appended: it is no steady tone.
pub fn extrapolate(history: &[i16], count: usize, out: &mut Vec<i16>) -> bool {
    let Some(newest) = history.last_chunk::<{ WINDOW + ORDER }>() else { return false };
    let samples = newest.map(f64::from);
    let Some(weights) = predictor(&samples) else { return false };
    let before = samples.iter().skip(ORDER).map(|s| s * s).sum::<f64>() / WINDOW as f64;
    let Some(mut state) = samples.last_chunk::<ORDER>().copied() else { return false };
    // Judged by the last quarter, where it has gone furthest.
    let (start, mut power) = (out.len(), 0.0);
    for n in 0..count {
        let next: f64 = weights.iter().zip(state.iter().rev()).map(|(w, s)| w * s).sum();
        state.rotate_left(1);
        if let Some(newest) = state.last_mut() {
            *newest = next;
        }
        if n >= count - count / 4 {
            power += next * next / (count / 4) as f64;
        }
        out.push(next as i16);
    }
    let steady = power > STEADY.0 * before && power < STEADY.1 * before;
    if !steady {
        out.truncate(start);
    }
    steady
}

/// Weights of the last samples, the newest first. None: they do not predict well enough.
#[expect(clippy::needless_range_loop, reason = "matrices are read by their indices")]
fn predictor(samples: &[f64; WINDOW + ORDER]) -> Option<[f64; ORDER]> {
    const SIZE: usize = ORDER + 1;
    let at = |n: usize| samples.get(n).copied().unwrap_or(0.0);
    // products[i][j]: of the samples i and j before each of the window. Along the diagonals only the ends change.
    let mut products = [[0.0f64; SIZE]; SIZE];
    for j in 0..SIZE {
        products[0][j] = (ORDER..ORDER + WINDOW).map(|n| at(n) * at(n - j)).sum();
    }
    for i in 1..SIZE {
        for j in i..SIZE {
            let gone = at(ORDER + WINDOW - i) * at(ORDER + WINDOW - j);
            products[i][j] = products[i - 1][j - 1] + at(ORDER - i) * at(ORDER - j) - gone;
        }
    }
    let power = products[0][0];
    if power < WINDOW as f64 * 100.0 {
        return None;
    }
    // Cholesky: products[1..][1..] = L·Lᵀ, a little noise added so that it is never singular.
    let mut lower = [[0.0f64; ORDER]; ORDER];
    for i in 0..ORDER {
        for j in 0..=i {
            let mut sum = products[j + 1][i + 1] - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
            if i == j {
                sum += power * 1.0e-7;
                if sum <= 0.0 {
                    return None;
                }
                lower[i][i] = sum.sqrt();
            } else {
                lower[i][j] = sum / lower[j][j];
            }
        }
    }
    let mut weights = [0.0f64; ORDER];
    for i in 0..ORDER {
        let known: f64 = (0..i).map(|k| lower[i][k] * weights[k]).sum();
        weights[i] = (products[0][i + 1] - known) / lower[i][i];
    }
    for i in (0..ORDER).rev() {
        let known: f64 = (i + 1..ORDER).map(|k| lower[k][i] * weights[k]).sum();
        weights[i] = (weights[i] - known) / lower[i][i];
    }
    let predicted: f64 = (0..ORDER).map(|k| weights[k] * products[0][k + 1]).sum();
    (power - predicted < RESIDUE * power).then_some(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::g711::{Law, decode, encode};

    #[test]
    fn every_digit_goes_on_as_it_was_coded_or_not() {
        for rate in [8_000.0, 16_000.0] {
            for low in [697.0, 770.0, 852.0, 941.0] {
                for high in [1_209.0, 1_336.0, 1_477.0, 1_633.0] {
                    let tone = |n: usize| {
                        let t = n as f64 / rate * std::f64::consts::TAU;
                        let exact = ((t * low).sin() * 3_000.0 + (t * high).sin() * 4_000.0) as i16;
                        decode(Law::Mu, encode(Law::Mu, exact))
                    };
                    let history: Vec<i16> = (0..480).map(tone).collect();
                    let mut out = Vec::new();
                    assert!(extrapolate(&history, 400, &mut out), "{low} {high} at {rate}");
                    let (mut error, mut power) = (0.0, 0.0);
                    for (n, sample) in out.iter().enumerate() {
                        error += (f64::from(*sample) - f64::from(tone(480 + n))).powi(2);
                        power += f64::from(tone(480 + n)).powi(2);
                    }
                    assert!(error < 0.1 * power, "{low} {high} at {rate}: off by {}", error / power);
                }
            }
        }
    }

    #[test]
    fn noise_silence_and_what_dies_away_are_no_tones() {
        let mut state = 1u32;
        let noise: Vec<i16> = (0..480)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 18) as i16
            })
            .collect();
        let dying: Vec<i16> =
            (0..480).map(|n| ((n as f64 * 0.6).sin() * 12_000.0 * (-(n as f64) / 150.0).exp()) as i16).collect();
        for history in [&noise[..], &dying, &[0; 480], &[9; 480], &[1; 10]] {
            let mut out = vec![7];
            assert!(!extrapolate(history, 400, &mut out), "{:?}", &history[..10]);
            assert_eq!(out, [7]);
        }
    }
}
