//! In-band DTMF tones (ITU-T Q.23 frequencies): a [`Detector`] for 8 kHz linear audio and a [`ToneGenerator`].
//!
//! Codecs, packet loss concealment and pacing belong to `media`; pairing with other ways to the arbiter.

mod analysis;
mod detector;
mod dialtone;
mod generator;
mod judgement;
mod window;

pub use detector::{Detector, ToneEdge, ToneReport};
pub use generator::ToneGenerator;
pub use judgement::{Judgement, Verdict};

use super::Digit;

/// Samples a second of all audio in this room.
pub const SAMPLE_RATE: u32 = 8000;

/// The four row frequencies in Hz (ITU-T Q.23 low group).
pub const LOW_GROUP: [f64; 4] = [697.0, 770.0, 852.0, 941.0];

/// The four column frequencies in Hz (ITU-T Q.23 high group).
pub const HIGH_GROUP: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// The keypad: rows by low frequency, columns by high frequency.
const KEYPAD: [[Digit; 4]; 4] = [
    [Digit::One, Digit::Two, Digit::Three, Digit::A],
    [Digit::Four, Digit::Five, Digit::Six, Digit::B],
    [Digit::Seven, Digit::Eight, Digit::Nine, Digit::C],
    [Digit::Asterisk, Digit::Zero, Digit::Pound, Digit::D],
];

/// A digit's two frequencies in Hz: low group, high group.
pub fn frequencies(digit: Digit) -> (f64, f64) {
    let (row, column) = place(digit);
    (LOW_GROUP[row], HIGH_GROUP[column])
}

/// A digit's place on the keypad: row and column, each below four.
const fn place(digit: Digit) -> (usize, usize) {
    match digit {
        Digit::One => (0, 0),
        Digit::Two => (0, 1),
        Digit::Three => (0, 2),
        Digit::A => (0, 3),
        Digit::Four => (1, 0),
        Digit::Five => (1, 1),
        Digit::Six => (1, 2),
        Digit::B => (1, 3),
        Digit::Seven => (2, 0),
        Digit::Eight => (2, 1),
        Digit::Nine => (2, 2),
        Digit::C => (2, 3),
        Digit::Asterisk => (3, 0),
        Digit::Zero => (3, 1),
        Digit::Pound => (3, 2),
        Digit::D => (3, 3),
    }
}

/// The level of a sine that just reaches full scale, in dBm0: G.711 A-law's.
#[expect(clippy::approx_constant, reason = "3.14 dB, which has nothing to do with a circle")]
const FULL_SCALE_DBM0: f64 = 3.14;

/// The peak amplitude, in 16-bit sample units, of a sine of `dbm0`.
pub(crate) fn amplitude(dbm0: f64) -> f64 {
    32_767.0 * 10f64.powf((dbm0 - FULL_SCALE_DBM0) / 20.0)
}

/// The level in dBm0 of a power in squared 16-bit sample units (a sine of peak `a` has `a²/2`).
pub(crate) fn dbm0(power: f32) -> f32 {
    10.0 * (power / (32_767.0 * 32_767.0 / 2.0)).log10() + FULL_SCALE_DBM0 as f32
}
