//! What is asked of the detector beyond the limits of Q.24: noise and dial tones nearly as loud as the digits, and how
//! soon it tells of a digit.

use super::keying::Keying;
use super::line::Line;
use super::{Condition, Expect, accept, keep};

const MANY: Keying = Keying { rounds: 16, ..Keying::PLAIN };

const fn noisy(name: &'static str, snr: f64) -> Condition {
    Condition::keys(name, MANY, Line::Noise { snr, level: -10.0 })
}

const fn dial_tone(name: &'static str, tones: &'static [f64], level: f64) -> Condition {
    Condition::keys(name, MANY, Line::DialTone(tones, level)).expecting(Expect::Share(0.99))
}

const LOUD: &[Condition] = &[
    noisy("noise 12 dB below", 12.0),
    noisy("noise 10 dB below", 10.0).expecting(Expect::Share(0.99)),
    dial_tone("dial tone 350+440 Hz, each 10 dB below", &[350.0, 440.0], -20.0),
    dial_tone("dial tone 350+440 Hz, each 5 dB below", &[350.0, 440.0], -15.0),
    dial_tone("dial tone 350+440 Hz, each as loud", &[350.0, 440.0], -10.0),
    dial_tone("dial tone 425 Hz, 10 dB below", &[425.0], -20.0),
    dial_tone("dial tone 425 Hz, 5 dB below", &[425.0], -15.0),
    dial_tone("dial tone 425 Hz, as loud", &[425.0], -10.0),
    dial_tone("dial tone 350+450 Hz, each 10 dB below", &[350.0, 450.0], -20.0),
    dial_tone("dial tone 350+450 Hz, each 5 dB below", &[350.0, 450.0], -15.0),
    dial_tone("dial tone 350+450 Hz, each as loud", &[350.0, 450.0], -10.0),
];

#[test]
fn loud_noise_and_dial_tones() {
    keep(LOUD);
}

#[test]
fn digits_are_told_of_soon() {
    let by_level = |condition: &&Condition| ["level", "A-law", "µ-law"].iter().any(|w| condition.name.starts_with(w));
    let mut latencies: Vec<f64> =
        accept::tables().flatten().filter(by_level).flat_map(|condition| condition.judge().latencies).collect();
    latencies.sort_by(f64::total_cmp);
    assert!(latencies.len() > 1500, "{} digits", latencies.len());
    let at = |share: f64| latencies[(share * (latencies.len() - 1) as f64) as usize];
    assert!(at(0.5) <= 40.0, "half of the digits are told of {:.1} ms after their beginning, or later", at(0.5));
    assert!(at(0.99) <= 55.0, "one of a hundred is told of {:.1} ms after its beginning, or later", at(0.99));
}
