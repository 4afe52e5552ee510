//! What a phone makes of what it heard: whether a prompt was in it, and a WAV file of it all.

use std::path::Path;

/// Samples of the prompt that are looked for: a quarter of a second.
const PIECE: usize = 2000;

/// How well, and where, `prompt` is in `heard`: the best normalised correlation (0–1) of its loudest quarter second,
/// and the sample in `heard` where the prompt would begin. None: one of them is too short or silent.
pub fn find(prompt: &[i16], heard: &[i16]) -> Option<(f64, i64)> {
    let (start, piece) = loudest(prompt)?;
    let piece: Vec<f64> = piece.iter().map(|s| f64::from(*s)).collect();
    let heard: Vec<f64> = heard.iter().map(|s| f64::from(*s)).collect();
    let sparse: Vec<f64> = piece.iter().step_by(8).copied().collect();
    let norm = piece.iter().map(|s| s * s).sum::<f64>().sqrt();
    let mut energy: f64 = heard.get(..PIECE)?.iter().map(|s| s * s).sum();
    let mut best = (0.0, 0);
    for (at, window) in heard.windows(PIECE).enumerate() {
        if at > 0 {
            energy += window[PIECE - 1].powi(2) - heard[at - 1].powi(2);
        }
        if energy > norm * norm * 0.01 {
            // Every eighth sample tells well enough where it cannot be.
            let rough: f64 = window.iter().step_by(8).zip(&sparse).map(|(a, b)| a * b).sum();
            if rough * 8.0 / (norm * energy.sqrt()) < best.0 - 0.3 {
                continue;
            }
            let dot: f64 = window.iter().zip(&piece).map(|(a, b)| a * b).sum();
            let likeness = dot / (norm * energy.sqrt());
            if likeness > best.0 {
                best = (likeness, at as i64 - start as i64);
            }
        }
    }
    Some(best)
}

fn loudest(prompt: &[i16]) -> Option<(usize, &[i16])> {
    let energy = |piece: &[i16]| piece.iter().map(|s| i64::from(*s).pow(2)).sum::<i64>();
    let (at, piece) = prompt.windows(PIECE).enumerate().step_by(80).max_by_key(|(_, piece)| energy(piece))?;
    (energy(piece) > 0).then_some((at, piece))
}

/// Writes 8 kHz mono samples as a WAV file.
pub fn write_wav(path: &Path, samples: &[i16]) -> Result<(), hound::Error> {
    let spec =
        hound::WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: hound::SampleFormat::Int };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for sample in samples {
        writer.write_sample(*sample)?;
    }
    writer.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_prompt_is_found_where_it_is_and_not_where_it_is_not() {
        let mut random = Random::from_number(5);
        let mut noise = |n: usize| (0..n).map(|_| (random.below(8000) as i16) - 4000).collect::<Vec<i16>>();
        let (prompt, other, room) = (noise(6000), noise(6000), noise(3000));
        let heard: Vec<i16> = room.iter().map(|s| s / 40).chain(prompt.iter().map(|s| s / 2)).collect();
        let (likeness, at) = find(&prompt, &heard).unwrap();
        assert!(likeness > 0.99 && at == 3000, "{likeness} at {at}");
        assert!(find(&other, &heard).unwrap().0 < 0.3);
        assert_eq!(find(&[0; 4000], &heard), None);
        assert_eq!(find(&prompt, &[1; 10]), None);
    }
}
