//! From one sample rate to another: a windowed-sinc low-pass below half of the lower one, by FFT (rubato), fed piece by
//! piece so that a long prompt in a high rate is never held whole. Mono in, mono out.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

/// The lowest sample rate that is read, in Hz.
pub const MIN_RATE: u32 = 1_000;

/// The highest sample rate that is read, in Hz.
pub const MAX_RATE: u32 = 384_000;

/// The filter's length in output samples (64 ms): flat to 3.8 kHz and deep in the stop band from 4 kHz on.
const FILTER: usize = 512;

/// The loudest a sample may be before it is filtered: float files may go beyond full scale, for a while.
const LOUDEST: f32 = 8.0;

/// Turns mono samples of one rate, full scale ±1.0, into 16-bit samples of another.
pub struct Resampler {
    rate: u32,
    to: u32,
    /// None where the rates are equal: samples pass unchanged.
    fft: Option<Engine>,
    out: Vec<i16>,
    /// Samples that were taken out already.
    taken_out: usize,
}

struct Engine {
    fft: Fft<f32>,
    /// Samples that do not fill a block yet.
    waiting: Vec<f32>,
    block: Vec<f32>,
    /// Output samples that are the filter's delay, still to be dropped.
    delay: usize,
    /// Samples that came in.
    taken: u64,
}

/// The resampler refused the rate or a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audio at {rate} Hz cannot be resampled: {problem}")]
pub struct ResampleError {
    rate: u32,
    problem: String,
}

impl Resampler {
    /// For recordings, from `rate` to `to` Hz, both [`MIN_RATE`] to [`MAX_RATE`]: the best filter, whose delay is taken
    /// away.
    pub fn new(rate: u32, to: u32) -> Result<Self, ResampleError> {
        Resampler::make(rate, to, (FILTER * rate as usize).div_ceil(to.max(1) as usize), FixedSync::Input)
    }

    /// For live audio, from `rate` to `to` Hz, multiples of 50: each 20 ms that are pushed give 20 ms at once, 10 ms
    /// late. Allocates nothing once it is made.
    pub fn live(rate: u32, to: u32) -> Result<Self, ResampleError> {
        let mut made = Resampler::make(rate, to, rate as usize / 50, FixedSync::Both)?;
        made.out.reserve(to as usize / 50);
        if let Some(engine) = &mut made.fft {
            engine.waiting.reserve(rate as usize / 50);
            engine.delay = 0;
        }
        Ok(made)
    }

    fn make(rate: u32, to: u32, block: usize, fixed: FixedSync) -> Result<Self, ResampleError> {
        let fail = |problem: String| ResampleError { rate, problem };
        if !(MIN_RATE..=MAX_RATE).contains(&rate) || !(MIN_RATE..=MAX_RATE).contains(&to) {
            return Err(fail(format!("{MIN_RATE} to {MAX_RATE} Hz can")));
        }
        let fft = if rate == to {
            None
        } else {
            let window = rubato::WindowFunction::BlackmanHarris2;
            let fft = Fft::new_custom(rate as usize, to as usize, block, 1, 1, window, fixed)
                .map_err(|e| fail(e.to_string()))?;
            let delay = fft.output_delay();
            let block = vec![0.0; fft.output_frames_max()];
            Some(Engine { fft, waiting: Vec::new(), block, delay, taken: 0 })
        };
        Ok(Resampler { rate, to, fft, out: Vec::new(), taken_out: 0 })
    }

    /// The rate it takes, in Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes more samples of 16 bits.
    pub fn push_pcm(&mut self, samples: &[i16]) -> Result<(), ResampleError> {
        if self.fft.is_none() {
            self.out.extend_from_slice(samples);
            return Ok(());
        }
        let mut piece = [0.0; 960];
        for samples in samples.chunks(piece.len()) {
            piece.iter_mut().zip(samples).for_each(|(to, from)| *to = f32::from(*from) / 32_768.0);
            self.push(piece.get(..samples.len()).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Takes more samples.
    pub fn push(&mut self, samples: &[f32]) -> Result<(), ResampleError> {
        let Some(engine) = &mut self.fft else {
            self.out.extend(samples.iter().map(|&s| to_pcm(s)));
            return Ok(());
        };
        engine.taken += samples.len() as u64;
        // The FFT panics on what is not a number, and a float file may hold anything.
        engine.waiting.extend(samples.iter().map(|s| if s.is_finite() { s.clamp(-LOUDEST, LOUDEST) } else { 0.0 }));
        let mut used = 0;
        loop {
            let need = engine.fft.input_frames_next();
            let Some(piece) = engine.waiting.get(used..used + need) else { break };
            let made = run(&mut engine.fft, piece, &mut engine.block, None)
                .map_err(|problem| ResampleError { rate: self.rate, problem })?;
            used += need;
            keep(&mut self.out, engine.block.get(..made).unwrap_or_default(), &mut engine.delay, usize::MAX);
        }
        engine.waiting.drain(..used);
        Ok(())
    }

    /// Hands out, and forgets, the samples that are ready.
    pub fn take(&mut self, sink: &mut dyn FnMut(&[i16])) {
        sink(&self.out);
        self.taken_out += self.out.len();
        self.out.clear();
    }

    /// The rest: together with what was taken out as long as what came in, to the sample.
    pub fn finish(mut self) -> Result<Vec<i16>, ResampleError> {
        let Some(engine) = &mut self.fft else { return Ok(self.out) };
        let length = (engine.taken * u64::from(self.to)).div_ceil(u64::from(self.rate)) as usize;
        let length = length.saturating_sub(self.taken_out);
        let mut partial = engine.waiting.len();
        // The last samples, then silence until the filter has given them all back.
        while self.out.len() < length {
            let need = engine.fft.input_frames_next();
            engine.waiting.resize(need, 0.0);
            let made = run(&mut engine.fft, &engine.waiting, &mut engine.block, Some(partial))
                .map_err(|problem| ResampleError { rate: self.rate, problem })?;
            partial = 0;
            let room = length - self.out.len();
            keep(&mut self.out, engine.block.get(..made).unwrap_or_default(), &mut engine.delay, room);
        }
        Ok(self.out)
    }
}

fn run(fft: &mut Fft<f32>, piece: &[f32], block: &mut [f32], partial: Option<usize>) -> Result<usize, String> {
    let (frames_in, frames_out) = (piece.len(), block.len());
    let input = InterleavedSlice::new(piece, 1, frames_in).map_err(|e| e.to_string())?;
    let mut output = InterleavedSlice::new_mut(block, 1, frames_out).map_err(|e| e.to_string())?;
    let mut indexing = Indexing::new();
    if let Some(partial) = partial {
        indexing = indexing.partial_len(partial);
    }
    let (_, made) = fft.process_into_buffer(&input, &mut output, Some(&indexing)).map_err(|e| e.to_string())?;
    Ok(made)
}

/// Appends what is left of `made` after the filter's delay, at most `room` samples.
fn keep(out: &mut Vec<i16>, made: &[f32], delay: &mut usize, room: usize) {
    let skipped = made.len().min(*delay);
    *delay -= skipped;
    out.extend(made.iter().skip(skipped).take(room).map(|&s| to_pcm(s)));
}

/// Full scale ±1.0 to 16 bits, clipped; not-a-number is silence.
fn to_pcm(sample: f32) -> i16 {
    // A cast from float saturates, and gives 0 for NaN.
    (sample * 32768.0).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [u32; 11] = [6000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000];

    fn tone(rate: u32, hz: f64, seconds: f64, level: f64) -> Vec<f32> {
        let count = (f64::from(rate) * seconds) as usize;
        (0..count).map(|n| (level * (std::f64::consts::TAU * hz * n as f64 / f64::from(rate)).sin()) as f32).collect()
    }

    fn resample(rate: u32, samples: &[f32], piece: usize) -> Vec<i16> {
        let mut to = Resampler::new(rate, 8000).unwrap();
        for piece in samples.chunks(piece) {
            to.push(piece).unwrap();
        }
        to.finish().unwrap()
    }

    fn rms_db(samples: &[i16]) -> f64 {
        let power = samples.iter().map(|&s| (f64::from(s) / 32768.0).powi(2)).sum::<f64>() / samples.len() as f64;
        10.0 * power.max(1e-20).log10()
    }

    /// What is left of a signal when the best-fitting tone of `hz` is taken out, and that tone's level and phase.
    fn fit(samples: &[i16], hz: f64) -> (f64, f64) {
        let (mut i, mut q) = (0.0, 0.0);
        for (n, &s) in samples.iter().enumerate() {
            let angle = std::f64::consts::TAU * hz * n as f64 / 8000.0;
            i += f64::from(s) / 32768.0 * angle.sin();
            q += f64::from(s) / 32768.0 * angle.cos();
        }
        let half = samples.len() as f64 / 2.0;
        ((i / half).hypot(q / half), (q / half).atan2(i / half))
    }

    #[test]
    fn a_tone_in_the_band_survives_in_level_place_and_length() {
        for rate in RATES {
            let out = resample(rate, &tone(rate, 1000.0, 1.0, 0.5), 777);
            assert!(out.len().abs_diff(8000) <= 1, "{rate}: {} samples", out.len());
            let (level, phase) = fit(&out[800..7200], 1000.0);
            let db = 20.0 * (level / 0.5).log10();
            assert!(db.abs() < 0.1, "{rate}: level off by {db} dB");
            // 800 samples are whole periods, so the phase is the delay that is left: less than half a sample (0.39 rad).
            assert!(phase.abs() < 0.39, "{rate}: phase off by {phase} rad");
        }
        let high = resample(48000, &tone(48000, 3400.0, 1.0, 0.5), 4096);
        let db = rms_db(&high[800..7200]) - (20.0 * 0.5f64.log10() - 3.01);
        assert!(db.abs() < 0.5, "3.4 kHz off by {db} dB");
    }

    #[test]
    fn what_would_alias_is_gone() {
        for rate in [16000, 22050, 44100, 48000, 96000] {
            for hz in [4200.0, 5000.0, 6500.0, 7500.0] {
                let out = resample(rate, &tone(rate, hz, 1.0, 0.9), 1000);
                let db = rms_db(&out[800..7200]) - rms_db_of(0.9);
                assert!(db < -60.0, "{hz} Hz at {rate} Hz comes out at {db} dB");
            }
        }
    }

    fn rms_db_of(level: f64) -> f64 {
        20.0 * (level / std::f64::consts::SQRT_2).log10()
    }

    #[test]
    fn any_length_and_any_piece_size_gives_the_same() {
        for rate in [11025, 44100, 48000] {
            for count in [0usize, 1, 5, 100, 3071, 3072, 3073, 10_000] {
                let samples = &tone(rate, 440.0, 1.0, 0.3)[..count];
                let whole = resample(rate, samples, count.max(1));
                assert_eq!(whole.len(), (count * 8000).div_ceil(rate as usize), "{rate} {count}");
                assert_eq!(whole, resample(rate, samples, 13));
            }
        }
    }

    #[test]
    fn taken_out_on_the_way_is_the_same() {
        for rate in [8000, 11025, 48000] {
            let samples = tone(rate, 440.0, 1.0, 0.3);
            let mut to = Resampler::new(rate, 8000).unwrap();
            let mut out = Vec::new();
            for piece in samples.chunks(999) {
                to.push(piece).unwrap();
                to.take(&mut |ready| out.extend_from_slice(ready));
            }
            out.extend(to.finish().unwrap());
            assert!(out == resample(rate, &samples, 999), "{rate}");
        }
    }

    #[test]
    fn at_8_khz_samples_pass_unchanged_and_overload_clips() {
        let all: Vec<i16> = (i16::MIN..=i16::MAX).collect();
        let samples: Vec<f32> = all.iter().map(|&s| f32::from(s) / 32768.0).collect();
        assert_eq!(resample(8000, &samples, 1000), all);
        assert_eq!(resample(8000, &[2.0, -2.0, f32::NAN, f32::INFINITY], 9), [32767, -32768, 0, 32767]);
        let mut wild = tone(48000, 1000.0, 0.1, 0.5);
        for (n, sample) in wild.iter_mut().enumerate() {
            *sample = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, *sample][n % 5];
        }
        assert_eq!(resample(48000, &wild, 100).len(), 800);
    }

    #[test]
    fn odd_rates_are_refused_or_work() {
        for rate in [0, 1, 999, 384_001, u32::MAX] {
            assert!(Resampler::new(rate, 8000).is_err());
        }
        for rate in [1000, 383_999, 384_000, 44_101] {
            let out = resample(rate, &tone(rate, 300.0, 0.5, 0.5), 5000);
            assert!(out.len().abs_diff(4000) <= 8, "{rate}: {}", out.len());
        }
    }

    #[test]
    fn live_frames_come_out_whole_ten_milliseconds_late() {
        for (from, to) in [(8000, 16000), (16000, 8000), (48000, 16000), (48000, 8000), (24000, 16000), (24000, 8000)] {
            let mut live = Resampler::live(from, to).unwrap();
            let sound = tone(from, 1000.0, 1.0, 0.5);
            let mut out = Vec::new();
            for frame in sound.chunks(from as usize / 50) {
                live.push(frame).unwrap();
                let before = out.len();
                live.take(&mut |ready| out.extend_from_slice(ready));
                assert_eq!(out.len() - before, to as usize / 50);
            }
            let wanted = tone(to, 1000.0, 1.0, 0.5);
            let late = to as usize / 100;
            let error: Vec<i16> = out[4 * late..]
                .iter()
                .zip(&wanted[3 * late..])
                .map(|(got, want)| (f32::from(*got) - want * 32_768.0) as i16)
                .collect();
            let db = rms_db(&error) - rms_db_of(0.5);
            assert!(db < -40.0, "{from} to {to}: error at {db:.1} dB");
        }
    }

    #[test]
    fn live_resampling_allocates_nothing() {
        let mut live = Resampler::live(48000, 16000).unwrap();
        let (frame, mut sum) = ([1000; 960], 0);
        let counted = allocation_counter::measure(|| {
            for _ in 0..50 {
                live.push_pcm(&frame).unwrap();
                live.take(&mut |ready| sum += ready.len());
            }
        });
        assert_eq!((counted.count_total, sum), (0, 50 * 320));
    }
}
