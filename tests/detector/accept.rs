//! What must be heard, each digit exactly once: keys within the limits of ITU-T Q.24 and ETSI ES 201 235-3, and a bit
//! beyond them.

use strowger::media::codec::g711::Law;

use super::keying::Keying;
use super::line::Line;
use super::{Condition, keep};

const PLAIN: Keying = Keying::PLAIN;
/// The fastest that Q.24 asks for.
const FAST: Keying = Keying { on: 40.0, off: 40.0, jitter: 0.0, ..PLAIN };
/// Long series for conditions with chance in them.
const MANY: Keying = Keying { rounds: 16, ..PLAIN };
/// Equal keys after each other.
const TWICE: Keying = Keying { jitter: 3.0, twice: true, ..PLAIN };

const fn at(level: f64) -> Keying {
    Keying { level, ..PLAIN }
}

const fn off(low_off: f64, high_off: f64) -> Keying {
    Keying { low_off, high_off, ..PLAIN }
}

const fn twist(twist: f64) -> Keying {
    Keying { twist, ..PLAIN }
}

/// Everything at its limit together.
const fn corner(twist: f64, off: f64) -> Keying {
    Keying { twist, low_off: off, high_off: off, level: -17.0, jitter: 5.0, ..FAST }
}

const fn lasting(on: f64) -> Keying {
    Keying { on, ..PLAIN }
}

const fn row(name: &'static str, keying: Keying) -> Condition {
    Condition::keys(name, keying, Line::Clean)
}

/// White noise under digits of 50 ms.
const fn noisy(name: &'static str, snr: f64) -> Condition {
    Condition::keys(name, MANY, Line::Noise { snr, level: -10.0 })
}

/// White noise under weak digits of 40 ms.
const fn noisy_fast(name: &'static str, snr: f64) -> Condition {
    let keying = Keying { level: -20.0, rounds: 16, jitter: 20.0, ..FAST };
    Condition::keys(name, keying, Line::Noise { snr, level: -20.0 })
}

const fn dial_tone(name: &'static str, tones: &'static [f64], level: f64) -> Condition {
    Condition::keys(name, PLAIN, Line::DialTone(tones, level))
}

const fn coded(name: &'static str, keying: Keying, laws: &'static [Law]) -> Condition {
    Condition::keys(name, keying, Line::Codecs(laws))
}

/// The digit's tones above a voice, as when a caller keys over a prompt that comes back as echo.
const fn over_speech(name: &'static str, below: f64) -> Condition {
    let keying = Keying { on: 80.0, off: 80.0, rounds: 16, ..PLAIN };
    Condition::keys(name, keying, Line::Speech(below))
}

const LEVELS: &[Condition] = &[
    row("level −1 dBm0", at(-1.0)),
    row("level −3 dBm0", at(-3.0)),
    row("level −6 dBm0", at(-6.0)),
    row("level −10 dBm0", at(-10.0)),
    row("level −15 dBm0", at(-15.0)),
    row("level −20 dBm0", at(-20.0)),
    row("level −25 dBm0", at(-25.0)),
];

const FREQUENCIES: &[Condition] = &[
    row("frequencies exact", off(0.0, 0.0)),
    row("frequencies +0.5 %", off(0.5, 0.5)),
    row("frequencies −0.5 %", off(-0.5, -0.5)),
    row("frequencies +1 %", off(1.0, 1.0)),
    row("frequencies −1 %", off(-1.0, -1.0)),
    row("frequencies +1.5 %", off(1.5, 1.5)),
    row("frequencies −1.5 %", off(-1.5, -1.5)),
    row("low +1.5 %, high −1.5 %", off(1.5, -1.5)),
    row("low −1.5 %, high +1.5 %", off(-1.5, 1.5)),
    row("frequencies +1.5 % and 2 Hz", Keying { more_hz: 2.0, ..off(1.5, 1.5) }),
    row("frequencies −1.5 % and 2 Hz", Keying { more_hz: 2.0, ..off(-1.5, -1.5) }),
];

const TWISTS: &[Condition] = &[
    row("twist −8 dB", twist(-8.0)),
    row("twist −6 dB", twist(-6.0)),
    row("twist −4 dB", twist(-4.0)),
    row("twist −2 dB", twist(-2.0)),
    row("twist +2 dB", twist(2.0)),
    row("twist +4 dB", twist(4.0)),
    row("twist −8 dB, +1.5 %, 40/40 ms, −17 dBm0", corner(-8.0, 1.5)),
    row("twist −8 dB, −1.5 %, 40/40 ms, −17 dBm0", corner(-8.0, -1.5)),
    row("twist +4 dB, +1.5 %, 40/40 ms, −17 dBm0", corner(4.0, 1.5)),
    row("twist +4 dB, −1.5 %, 40/40 ms, −17 dBm0", corner(4.0, -1.5)),
];

const TIMES: &[Condition] = &[
    row("tones of 40 ms", lasting(40.0)),
    row("tones of 45 ms", lasting(45.0)),
    row("tones of 50 ms", lasting(50.0)),
    row("tones of 60 ms", lasting(60.0)),
    row("tones of 80 ms", lasting(80.0)),
    row("tones of 100 ms", lasting(100.0)),
    row("each twice, pauses of 40 ms", Keying { off: 40.0, ..TWICE }),
    row("each twice, pauses of 50 ms", Keying { off: 50.0, ..TWICE }),
    row("each twice, pauses of 70 ms", Keying { off: 70.0, ..TWICE }),
    row("each twice, pauses of 100 ms", Keying { off: 100.0, ..TWICE }),
    row("interrupted for 5 ms", Keying { on: 100.0, gap: 5, jitter: 13.0, ..PLAIN }),
    row("interrupted for 10 ms", Keying { on: 100.0, gap: 10, jitter: 13.0, ..PLAIN }),
    row("46.5/46.5 ms", Keying { on: 46.5, off: 46.5, jitter: 0.0, ..PLAIN }),
    row("40/40 ms", Keying { jitter: 2.0, ..FAST }),
    row("50/50 ms", Keying { on: 50.0, off: 50.0, jitter: 2.0, ..PLAIN }),
];

const NOISES: &[Condition] = &[
    noisy("noise 30 dB below", 30.0),
    noisy("noise 24 dB below", 24.0),
    noisy("noise 20 dB below", 20.0),
    noisy("noise 18 dB below", 18.0),
    noisy("noise 15 dB below", 15.0),
    noisy_fast("noise 30 dB below, 40/40 ms, −20 dBm0", 30.0),
    noisy_fast("noise 24 dB below, 40/40 ms, −20 dBm0", 24.0),
    noisy_fast("noise 20 dB below, 40/40 ms, −20 dBm0", 20.0),
    noisy_fast("noise 18 dB below, 40/40 ms, −20 dBm0", 18.0),
];

const LINES: &[Condition] = &[
    dial_tone("dial tone 350+440 Hz at −30 dBm0", &[350.0, 440.0], -30.0),
    dial_tone("dial tone 350+440 Hz at −25 dBm0", &[350.0, 440.0], -25.0),
    dial_tone("dial tone 425 Hz at −30 dBm0", &[425.0], -30.0),
    dial_tone("dial tone 425 Hz at −25 dBm0", &[425.0], -25.0),
    dial_tone("dial tone 350+450 Hz at −30 dBm0", &[350.0, 450.0], -30.0),
    dial_tone("dial tone 350+450 Hz at −25 dBm0", &[350.0, 450.0], -25.0),
    coded("A-law −3 dBm0", at(-3.0), &[Law::A]),
    coded("µ-law −3 dBm0", at(-3.0), &[Law::Mu]),
    coded("A-law −10 dBm0", at(-10.0), &[Law::A]),
    coded("µ-law −10 dBm0", at(-10.0), &[Law::Mu]),
    coded("A-law −25 dBm0", at(-25.0), &[Law::A]),
    coded("µ-law −25 dBm0", at(-25.0), &[Law::Mu]),
    coded(
        "µ-law, A-law, µ-law, 40/40 ms, −20 dBm0",
        Keying { level: -20.0, jitter: 20.0, ..FAST },
        &[Law::Mu, Law::A, Law::Mu],
    ),
    Condition::keys("echo after 20 ms, 10 dB below", PLAIN, Line::Echo),
    over_speech("speech 26 dB below", 26.0),
    over_speech("speech 20 dB below", 20.0),
];

/// All tables.
pub fn tables() -> impl Iterator<Item = &'static [Condition]> {
    [LEVELS, FREQUENCIES, TWISTS, TIMES, NOISES, LINES].into_iter()
}

#[test]
fn levels() {
    keep(LEVELS);
}

#[test]
fn frequency_offsets() {
    keep(FREQUENCIES);
}

#[test]
fn twists_and_corners() {
    keep(TWISTS);
}

#[test]
fn times() {
    keep(TIMES);
}

#[test]
fn noises() {
    keep(NOISES);
}

#[test]
fn lines() {
    keep(LINES);
}
