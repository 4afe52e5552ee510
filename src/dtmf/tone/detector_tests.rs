//! The detector against tones at and beyond the limits of Q.24, and against what is no digit.

use std::f64::consts::TAU;

use super::*;
use crate::dtmf::ToneGenerator;
use crate::dtmf::tone::{HIGH_GROUP, LOW_GROUP, amplitude, frequencies};
use crate::random::Random;

/// All reports on `samples`, fed in chunks of `chunk`, with silence behind them.
fn reports(samples: &[i16], chunk: usize) -> Vec<ToneReport> {
    let mut all = Vec::new();
    let mut detector = Detector::new();
    for part in samples.chunks(chunk) {
        detector.feed(part, &mut |report| all.push(report));
    }
    detector.feed(&[0; 800], &mut |report| all.push(report));
    detector.finish(&mut |report| all.push(report));
    all
}

/// The digits that began.
fn heard(samples: &[i16]) -> String {
    let starts = reports(samples, 160).into_iter().filter(|report| report.edge == ToneEdge::Start);
    starts.map(|report| report.digit.as_char()).collect()
}

/// A sum of tones, each of a frequency in Hz and a level in dBm0.
fn tones(parts: &[(f64, f64)], ms: usize) -> Vec<i16> {
    (0..ms * 8)
        .map(|n| {
            let value = |(i, (f, dbm0)): (usize, &(f64, f64))| {
                amplitude(*dbm0) * (TAU * f * n as f64 / 8000.0 + i as f64).sin()
            };
            parts.iter().enumerate().map(value).sum::<f64>() as i16
        })
        .collect()
}

/// Sixteen digits made by `make`, each after 100 ms of silence and a bit, so that they lie on the hops in every way.
fn sixteen(make: impl Fn(f64, f64) -> Vec<i16>) -> Vec<i16> {
    let mut all = Vec::new();
    for (i, digit) in Digit::ALL.into_iter().enumerate() {
        all.resize(all.len() + 800 + i * 7, 0);
        let (low, high) = frequencies(digit);
        all.extend(make(low, high));
    }
    all
}

const ALL: &str = "0123456789*#ABCD";

#[test]
fn what_the_generator_makes_is_heard() {
    for (duration, gap) in [(40, 40), (50, 50), (100, 100), (500, 60)] {
        let digits = [Digit::ALL.to_vec(), vec![Digit::Five; 4], vec![Digit::One, Digit::A, Digit::One]].concat();
        let mut samples = vec![0; digits.len() * (duration + gap) * 8 + 1234];
        ToneGenerator::new(digits, duration as u32, gap as u32).fill(&mut samples[1000..]);
        assert_eq!(heard(&samples), format!("{ALL}55551A1"), "{duration}/{gap} ms");
    }
}

#[test]
fn chunk_size_does_not_matter() {
    let samples = sixteen(|low, high| tones(&[(low, -10.0), (high, -10.0)], 60));
    let whole = reports(&samples, samples.len());
    assert_eq!(whole.len(), 32);
    for chunk in [1, 7, 40, 80, 160, 161, 240, 1000] {
        assert_eq!(reports(&samples, chunk), whole, "chunks of {chunk}");
    }
}

#[test]
fn positions_durations_and_latency() {
    for lead in (800..900).step_by(7) {
        for ms in [45, 80, 300] {
            let mut samples = vec![0; lead];
            samples.extend(tones(&[(770.0, -12.0), (1477.0, -10.0)], ms));
            let all = reports(&samples, 160);
            let [start, end] = all[..] else { panic!("{all:?}") };
            assert_eq!((start.digit, end.digit), (Digit::Six, Digit::Six));
            assert!(
                start.decided_at <= (lead + 45 * 8) as u64,
                "sure after {} samples",
                start.decided_at - lead as u64
            );
            assert!(start.position.abs_diff(lead as u64) <= 80, "{lead}: {start:?}");
            assert!(end.position.abs_diff((lead + ms * 8) as u64) <= 80, "{lead}: {end:?}");
            assert!(end.decided_at >= end.position && end.decided_at <= end.position + 60 * 8);
            let ToneEdge::End { duration } = end.edge else { panic!() };
            assert!(duration.abs_diff(Duration::from_millis(ms as u64)) <= Duration::from_millis(12));
            let report = end.at(Time::EPOCH);
            assert_eq!((report.way, report.phase), (Way::InBand, Phase::End { duration }));
        }
    }
}

#[test]
fn within_the_limits_is_a_digit() {
    for dbm0 in [-36.0, -25.0, -10.0, -3.0, -1.0] {
        assert_eq!(heard(&sixteen(|l, h| tones(&[(l, dbm0), (h, dbm0)], 50))), ALL, "{dbm0} dBm0");
    }
    for (low, high) in [(1.8, 1.65), (-1.8, -1.65), (1.5, -1.5), (-1.5, 1.5)] {
        let (l, h) = (1.0 + low / 100.0, 1.0 + high / 100.0);
        assert_eq!(heard(&sixteen(|a, b| tones(&[(a * l, -10.0), (b * h, -10.0)], 50))), ALL, "{low} {high} %");
    }
    for twist in [-8.0, -4.0, 4.0] {
        let (low, high) = (-17.0 + f64::min(0.0, -twist), -17.0 + f64::min(0.0, twist));
        assert_eq!(heard(&sixteen(|l, h| tones(&[(l * 1.015, low), (h * 1.015, high)], 40))), ALL, "{twist} dB");
    }
}

#[test]
fn beyond_the_limits_is_none() {
    assert_eq!(heard(&sixteen(|l, h| tones(&[(l, -55.0), (h, -55.0)], 100))), "", "too weak");
    for ms in [10, 15, 20, 23] {
        assert_eq!(heard(&sixteen(|l, h| tones(&[(l, -10.0), (h, -10.0)], ms))), "", "{ms} ms is too short");
    }
    for (low, high) in [(3.5, 0.0), (-3.5, 0.0), (0.0, 3.5), (0.0, -3.5), (3.5, 3.5), (-4.0, -4.0)] {
        let (l, h) = (1.0 + low / 100.0, 1.0 + high / 100.0);
        assert_eq!(heard(&sixteen(|a, b| tones(&[(a * l, -10.0), (b * h, -10.0)], 50))), "", "{low} {high} %");
    }
    for frequency in LOW_GROUP.into_iter().chain(HIGH_GROUP).chain([350.0, 425.0, 1000.0, 1400.0, 2100.0]) {
        assert_eq!(heard(&tones(&[(frequency, -6.0)], 300)), "", "{frequency} Hz alone");
    }
    assert_eq!(heard(&sixteen(|l, h| tones(&[(l, -10.0), (h, -10.0), (2.0 * l, -13.0)], 100))), "", "harmonic");
    assert_eq!(heard(&sixteen(|l, h| tones(&[(l, -10.0), (h, -10.0), (2600.0, -13.0)], 100))), "", "third tone");
    for pair in [[350.0, 440.0], [480.0, 620.0], [440.0, 480.0], [697.0, 852.0], [1209.0, 1477.0], [900.0, 1500.0]] {
        assert_eq!(heard(&tones(&pair.map(|f| (f, -10.0)), 500)), "", "{pair:?}");
    }
}

#[test]
fn a_pause_parts_and_an_interruption_does_not() {
    let five = tones(&[(770.0, -10.0), (1336.0, -10.0)], 45);
    for offset in 0..10 {
        let lead = vec![0; 400 + offset * 4];
        let with_gap = |ms: usize| [lead.clone(), five.clone(), vec![0; ms * 8], five.clone(), vec![0; 800]].concat();
        assert_eq!(heard(&with_gap(5)), "5");
        assert_eq!(heard(&with_gap(10)), "5");
        assert_eq!(heard(&with_gap(40)), "55");
    }
    // Another digit at once needs no pause.
    let next = tones(&[(697.0, -10.0), (1336.0, -10.0)], 60);
    assert_eq!(heard(&[vec![0; 400], five.clone(), five, next].concat()), "52");
}

/// White noise of a total power `dbm0` (evenly distributed values: what matters is that it is white).
fn noise(random: &mut Random, dbm0: f64) -> i16 {
    let peak = amplitude(dbm0) / 2f64.sqrt() * 3f64.sqrt();
    ((random.u32() as f64 / u32::MAX as f64 * 2.0 - 1.0) * peak) as i16
}

#[test]
fn noise_10_db_below_hides_nothing_and_is_nothing_itself() {
    let mut random = Random::from_number(24);
    // Two tones at −10 dBm0 together have −7 dBm0.
    for dbm0 in [-22.0, -19.0, -17.0] {
        for _ in 0..5 {
            let mut samples = sixteen(|l, h| tones(&[(l, -10.0), (h, -10.0)], 50));
            for sample in &mut samples {
                *sample = sample.saturating_add(noise(&mut random, dbm0));
            }
            assert_eq!(heard(&samples), ALL, "noise of {dbm0} dBm0");
        }
    }
    let alone: Vec<i16> = (0..8000 * 60).map(|_| noise(&mut random, -10.0)).collect();
    assert_eq!(heard(&alone), "");
}

/// A voice of sorts: a dozen harmonics of a gliding pitch under moving formants. It is no digit.
#[test]
fn gliding_harmonics_are_no_digit() {
    let mut random = Random::from_number(23);
    let mut samples = Vec::new();
    for _ in 0..600 {
        let pitch = 80.0 + random.below(220) as f64;
        let glide = (30 + random.below(70)) as f64 * if random.below(2) == 0 { 1.0 } else { -1.0 };
        let formants = [300 + random.below(600), 900 + random.below(900)].map(|f| f as f64);
        let mut phase = 0.0;
        for n in 0..1600 {
            let f0 = pitch + glide * n as f64 / 1600.0;
            phase += TAU * f0 / 8000.0;
            let harmonic = |k: f64| {
                let near = |f: f64| 1.0 / (1.0 + ((k * f0 - f) / 90.0).powi(2));
                (near(formants[0]) + 0.6 * near(formants[1])) * (k * phase).sin()
            };
            samples.push((6000.0 * (1..13).map(|k| harmonic(f64::from(k))).sum::<f64>()) as i16);
        }
    }
    assert_eq!(heard(&samples), "");
}

#[test]
fn a_saved_detector_goes_on_where_it_was() {
    let samples = sixteen(|low, high| tones(&[(low, -10.0), (high, -10.0)], 60));
    let whole = reports(&samples, 160);
    let mut all = Vec::new();
    let mut detector = Detector::new();
    for part in samples.chunks(123) {
        detector.feed(part, &mut |report| all.push(report));
        detector = serde_json::from_str(&serde_json::to_string(&detector).unwrap()).unwrap();
    }
    detector.feed(&[0; 800], &mut |report| all.push(report));
    assert_eq!(all, whole);
    assert_eq!(detector.current(), None);
}

#[test]
fn no_samples_make_it_panic_or_grow() {
    let mut random = Random::from_number(1);
    let mut detector = Detector::new();
    let mut down = 0i32;
    for _ in 0..20_000 {
        let extreme = random.below(3);
        let samples: Vec<i16> = (0..random.below(200))
            .map(|_| match extreme {
                0 => random.u32() as i16,
                1 => [i16::MIN, i16::MAX, 0][random.below(3) as usize],
                _ => i16::MIN,
            })
            .collect();
        detector.feed(&samples, &mut |report| down += if report.edge == ToneEdge::Start { 1 } else { -1 });
        assert!((0..=1).contains(&down));
        assert!(detector.filled < BLOCK);
    }
}

/// `samples` with other tones below them.
fn above(samples: &[i16], parts: &[(f64, f64)]) -> Vec<i16> {
    let below = tones(parts, samples.len() / 8 + 1);
    samples.iter().zip(below).map(|(a, b)| a.saturating_add(b)).collect()
}

#[test]
fn dial_tone_below_the_digits_is_forgiven() {
    let mut samples = vec![0; 8 * 300];
    samples.extend(sixteen(|l, h| tones(&[(l, -10.0), (h, -10.0)], 50)));
    samples.extend([0; 800]);
    for dial_tone in [&[350.0, 440.0][..], &[425.0], &[350.0, 450.0], &[400.0]] {
        for dbm0 in [-25.0, -20.0, -15.0, -10.0] {
            let parts: Vec<_> = dial_tone.iter().map(|f| (*f, dbm0)).collect();
            assert_eq!(heard(&above(&samples, &parts)), ALL, "{dial_tone:?} at {dbm0} dBm0");
            assert_eq!(heard(&tones(&parts, 3000)), "", "{dial_tone:?} at {dbm0} dBm0 alone");
        }
    }
}

#[test]
fn a_low_tone_that_is_not_dial_tone_is_a_third_tone() {
    // It comes with the digit.
    assert_eq!(heard(&sixteen(|l, h| tones(&[(l, -10.0), (h, -10.0), (425.0, -13.0)], 100))), "");
    // It was there before, but has been gone for half a second.
    let mut samples = tones(&[(425.0, -13.0)], 1000);
    samples.extend([0; 4000]);
    samples.extend(sixteen(|l, h| tones(&[(l, -10.0), (h, -10.0), (425.0, -13.0)], 100)));
    assert_eq!(heard(&samples), "");
    // It stays, but is no dial tone.
    let samples = sixteen(|l, h| tones(&[(l, -10.0), (h, -10.0)], 100));
    assert_eq!(heard(&above(&samples, &[(560.0, -13.0)])), "");
}

/// Feeds frames of 20 ms, of which some are lost and made up by repeating the last one, fainter each time.
fn heard_with_losses(samples: &[i16], lost: impl Fn(usize) -> bool) -> String {
    let (mut detector, mut all) = (Detector::new(), String::new());
    let mut last = [0i16; 160];
    for (frame, samples) in samples.as_chunks::<160>().0.iter().enumerate() {
        let report = &mut |report: ToneReport| {
            if report.edge == ToneEdge::Start {
                all.push(report.digit.as_char());
            }
        };
        if lost(frame) {
            last = last.map(|sample| (f32::from(sample) * 0.7) as i16);
            detector.feed_concealed(&last, report);
        } else {
            last = *samples;
            detector.feed(samples, report);
        }
    }
    all
}

#[test]
fn a_lost_packet_neither_hides_nor_splits_a_digit() {
    for offset in 0..20 {
        let mut samples = vec![0; 800 + offset * 8];
        let began = samples.len() / 160;
        samples.extend(tones(&[(770.0, -10.0), (1336.0, -10.0)], 80));
        samples.extend([0; 1600]);
        for lost in 0..6 {
            assert_eq!(heard_with_losses(&samples, |frame| frame == began + lost), "5", "{offset} ms, frame {lost}");
        }
    }
}

#[test]
fn a_packet_lost_in_a_pause_does_not_join_two_digits() {
    for offset in 0..20 {
        let mut samples = vec![0; 800 + offset * 8];
        let began = samples.len() / 160;
        for _ in 0..2 {
            samples.extend(tones(&[(770.0, -10.0), (1336.0, -10.0)], 80));
            samples.extend([0; 8 * 80]);
        }
        samples.extend([0; 1600]);
        for lost in 0..12 {
            assert_eq!(heard_with_losses(&samples, |frame| frame == began + lost), "55", "{offset} ms, frame {lost}");
        }
    }
}

#[test]
fn the_reasons_are_told_and_change_nothing() {
    let reasons = |samples: &[i16]| {
        let (mut told, mut edges) = (Vec::new(), Vec::new());
        let mut detector = Detector::new();
        let samples = [&[0; 400], samples, &[0; 800]].concat();
        detector.feed_explained(&samples, &mut |report| edges.push(report), &mut |judgement| {
            assert!(judgement.position % 40 == 0 && !judgement.share.is_nan() && judgement.share <= 1.0);
            if judgement.verdict == Verdict::GoesOn {
                assert!(judgement.low_dbm0.is_finite() && judgement.twist().is_finite());
            }
            told.push(judgement.verdict);
        });
        let mut plain = Vec::new();
        Detector::new().feed(&samples, &mut |report| plain.push(report));
        assert_eq!(edges, plain);
        told
    };
    use Verdict::*;
    let good = reasons(&tones(&[(697.0, -10.0), (1209.0, -10.0)], 60));
    for verdict in [OtherPower, Agrees, Accepted, GoesOn, Pauses, Ended] {
        assert!(good.contains(&verdict), "{verdict:?}: {good:?}");
    }
    for (samples, reason) in [
        (tones(&[(697.0, -45.0), (1209.0, -45.0)], 60), TooWeak),
        (tones(&[(697.0, -10.0), (1209.0, -10.0), (2600.0, -10.0)], 60), OtherPower),
        (tones(&[(697.0 * 1.03, -10.0), (1209.0, -10.0)], 60), OffFrequency),
        (tones(&[(697.0, -10.0), (1209.0, -22.0)], 60), Twist),
        (tones(&[(697.0, -10.0), (1209.0, -10.0)], 24), TooShort),
    ] {
        let told = reasons(&samples);
        assert!(told.contains(&reason) && !told.contains(&Accepted), "{reason:?}: {told:?}");
    }
}
