//! What the tone detector costs for each 20 ms frame of 8 kHz audio: a tone, silence, and noise that is coloured like
//! speech.

use divan::Bencher;
use strowger::dtmf::{Detector, Digit, ToneGenerator};
use strowger::random::Random;

/// Samples of 20 ms.
const FRAME: usize = 160;
/// Frames of each signal: 2 s, fed round and round.
const FRAMES: usize = 100;

fn main() {
    divan::main();
}

/// Feeds the frames in turn to one detector, as a media thread does.
fn frames(bencher: Bencher, samples: &[i16]) {
    let mut detector = Detector::new();
    let mut next = samples.chunks_exact(FRAME).cycle();
    let mut heard = 0u32;
    bencher.bench_local(|| {
        if let Some(frame) = next.next() {
            detector.feed(divan::black_box(frame), &mut |_| heard += 1);
        }
        heard
    });
}

/// Digits of 100 ms with pauses of 100 ms.
#[divan::bench(sample_size = 100)]
fn digits(bencher: Bencher) {
    let mut samples = [0; FRAME * FRAMES];
    ToneGenerator::new(&Digit::ALL[..10], 100, 100).fill(&mut samples);
    frames(bencher, &samples);
}

/// One key held down.
#[divan::bench(sample_size = 100)]
fn tone(bencher: Bencher) {
    let mut samples = [0; FRAME * FRAMES];
    ToneGenerator::new([Digit::Five], 2000, 0).fill(&mut samples);
    frames(bencher, &samples);
}

/// Nothing.
#[divan::bench(sample_size = 100)]
fn silence(bencher: Bencher) {
    frames(bencher, &[0; FRAME * FRAMES]);
}

/// Low-passed noise with syllables, loud enough to be looked at.
#[divan::bench(sample_size = 100)]
fn speech_like_noise(bencher: Bencher) {
    let mut random = Random::from_number(20);
    let mut last = 0.0;
    let samples: Vec<i16> = (0..FRAME * FRAMES)
        .map(|n| {
            let white = f64::from(random.u32()) / f64::from(u32::MAX) * 2.0 - 1.0;
            last = 0.85 * last + white;
            let syllable = (n as f64 / 8000.0 * std::f64::consts::TAU * 2.0).sin().abs();
            (last * syllable * 6000.0) as i16
        })
        .collect();
    frames(bencher, &samples);
}

/// What a generated frame costs.
#[divan::bench(sample_size = 100)]
fn generate(bencher: Bencher) {
    let mut frame = [0; FRAME];
    let mut generator = ToneGenerator::new(vec![Digit::Five; 1 << 16], 100, 100);
    bencher.bench_local(|| generator.fill(divan::black_box(&mut frame)));
}
