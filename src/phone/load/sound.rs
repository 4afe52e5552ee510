//! What a caller says all the time: silence, something like speech, or a WAV file; as G.711, in whole frames.

use std::f64::consts::TAU;
use std::path::Path;

use crate::media::FRAME_SAMPLES;
use crate::random::Random;

/// Length of the speech-like noise before it comes again, in samples: ten seconds.
const NOISE_SAMPLES: usize = 80_000;
/// Syllables a second.
const SYLLABLES: f64 = 4.0;
/// The longest file that is taken, in samples: ten minutes.
const MAX_SAMPLES: usize = 4_800_000;

/// A file cannot be said.
#[derive(Debug, thiserror::Error)]
pub enum SoundError {
    /// It is no WAV file, or cannot be read.
    #[error("{0}")]
    Read(#[from] hound::Error),
    /// It is not 16-bit mono of 8 kHz, or has no sound.
    #[error("a WAV file of 16-bit mono at 8000 Hz, of 20 ms to ten minutes, is wanted")]
    Format,
}

/// Noise with a voice's spectrum and the ups and downs of syllables: a detector has to listen to it.
pub fn noise() -> Vec<i16> {
    let mut random = Random::from_number(1);
    let mut low = 0.0;
    (0..NOISE_SAMPLES)
        .map(|n| {
            let white = f64::from(random.u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
            low = 0.85 * low + 0.15 * white;
            let seconds = n as f64 / 8000.0;
            let envelope = (0.5 + 0.5 * (TAU * SYLLABLES * seconds).sin()).powi(2);
            (low * envelope * 12_000.0) as i16
        })
        .collect()
}

/// Silence.
pub fn silence() -> Vec<i16> {
    vec![0; FRAME_SAMPLES]
}

/// What a file holds.
///
/// # Errors
/// Where it is not the one kind of WAV that needs no conversion.
pub fn file(path: &Path) -> Result<Vec<i16>, SoundError> {
    let mut reader = hound::WavReader::open(path)?;
    let spec = reader.spec();
    let plain = spec.sample_format == hound::SampleFormat::Int && spec.bits_per_sample == 16;
    if !plain || spec.channels != 1 || spec.sample_rate != 8000 {
        return Err(SoundError::Format);
    }
    let mut samples = reader.samples::<i16>().take(MAX_SAMPLES).collect::<Result<Vec<_>, _>>()?;
    samples.truncate(samples.len() / FRAME_SAMPLES * FRAME_SAMPLES);
    if samples.is_empty() { Err(SoundError::Format) } else { Ok(samples) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_has_ups_and_downs_and_whole_frames() {
        let noise = noise();
        assert_eq!(noise.len() % FRAME_SAMPLES, 0);
        let rms = |from: usize| {
            let part = &noise[from..from + 160];
            (part.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 160.0).sqrt()
        };
        // The envelope is highest a sixteenth of a second in, lowest three sixteenths in.
        assert!(rms(420) > 500.0 && rms(1_420) < rms(420) / 10.0, "{} {}", rms(420), rms(1_420));
    }

    #[test]
    fn a_file_of_the_right_kind_is_taken_in_whole_frames() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let write = |rate: u32, samples: usize| {
            let spec = hound::WavSpec {
                channels: 1,
                sample_rate: rate,
                bits_per_sample: 16,
                sample_format: hound::SampleFormat::Int,
            };
            let mut writer = hound::WavWriter::create(&path, spec).unwrap();
            (0..samples).for_each(|n| writer.write_sample(n as i16).unwrap());
            writer.finalize().unwrap();
        };
        write(8000, 400);
        assert_eq!(file(&path).unwrap().len(), 320);
        write(8000, 100);
        assert!(matches!(file(&path), Err(SoundError::Format)));
        write(16_000, 400);
        assert!(matches!(file(&path), Err(SoundError::Format)));
        assert!(matches!(file(Path::new("/no/such/file")), Err(SoundError::Read(_))));
    }
}
