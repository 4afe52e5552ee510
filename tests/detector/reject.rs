//! What must not be taken for a digit: tones that are too weak, too short or off their frequencies, and sounds of the
//! telephone network and of voices that come near.

use strowger::dtmf::tone::{HIGH_GROUP, LOW_GROUP};

use super::keying::Keying;
use super::sound::{Sound, Third};
use super::{Condition, Source, keep};

const PLAIN: Keying = Keying::PLAIN;

/// Keys that are none.
const fn keys(name: &'static str, keying: Keying) -> Condition {
    Condition::nothing(name, Source::Sounds(Sound::Keys(keying)))
}

const fn off(name: &'static str, low_off: f64, high_off: f64) -> Condition {
    keys(name, Keying { low_off, high_off, ..PLAIN })
}

const fn lasting(name: &'static str, on: f64) -> Condition {
    keys(name, Keying { on, ..PLAIN })
}

const fn row(name: &'static str, sound: Sound) -> Condition {
    Condition::nothing(name, Source::Sounds(sound))
}

const fn single(name: &'static str, frequency: f64) -> Condition {
    row(name, Sound::Single(frequency))
}

const fn third(name: &'static str, third: Third, level: f64) -> Condition {
    row(name, Sound::Third(third, level))
}

const fn progress(name: &'static str, tones: &'static [f64], on: u32, off: u32) -> Condition {
    row(name, Sound::Progress(tones, on, off))
}

const KEYS: &[Condition] = &[
    keys("level −55 dBm0", Keying { level: -55.0, ..PLAIN }),
    off("frequencies +3.5 %", 3.5, 3.5),
    off("low +3.5 %", 3.5, 0.0),
    off("high +3.5 %", 0.0, 3.5),
    off("frequencies −3.5 %", -3.5, -3.5),
    off("low −3.5 %", -3.5, 0.0),
    off("high −3.5 %", 0.0, -3.5),
    off("frequencies +4 %", 4.0, 4.0),
    off("low +4 %", 4.0, 0.0),
    off("high +4 %", 0.0, 4.0),
    off("frequencies −4 %", -4.0, -4.0),
    off("low −4 %", -4.0, 0.0),
    off("high −4 %", 0.0, -4.0),
    off("frequencies +5 %", 5.0, 5.0),
    off("low +5 %", 5.0, 0.0),
    off("high +5 %", 0.0, 5.0),
    off("frequencies −5 %", -5.0, -5.0),
    off("low −5 %", -5.0, 0.0),
    off("high −5 %", 0.0, -5.0),
    lasting("tones of 10 ms", 10.0),
    lasting("tones of 15 ms", 15.0),
    lasting("tones of 20 ms", 20.0),
    lasting("tones of 23 ms", 23.0),
];

const TONES: &[Condition] = &[
    single("697 Hz alone", 697.0),
    single("770 Hz alone", 770.0),
    single("852 Hz alone", 852.0),
    single("941 Hz alone", 941.0),
    single("1209 Hz alone", 1209.0),
    single("1336 Hz alone", 1336.0),
    single("1477 Hz alone", 1477.0),
    single("1633 Hz alone", 1633.0),
    row("chirp 300–3400 Hz", Sound::Chirp),
    row("two low tones", Sound::SameGroup(LOW_GROUP)),
    row("two high tones", Sound::SameGroup(HIGH_GROUP)),
    third("a third tone: another low one, 0 dB", Third::OtherLow, 0.0),
    third("a third tone: another high one, 0 dB", Third::OtherHigh, 0.0),
    third("a third tone: another low one, −3 dB", Third::OtherLow, -3.0),
    third("a third tone: another high one, −3 dB", Third::OtherHigh, -3.0),
    third("a third tone: elsewhere, 0 dB", Third::Elsewhere, 0.0),
    third("a third tone: elsewhere, −3 dB", Third::Elsewhere, -3.0),
    third("second harmonic of the low tone, 0 dB", Third::LowHarmonic, 0.0),
    third("second harmonic of the high tone, 0 dB", Third::HighHarmonic, 0.0),
    third("second harmonic of the low tone, −3 dB", Third::LowHarmonic, -3.0),
    third("second harmonic of the high tone, −3 dB", Third::HighHarmonic, -3.0),
];

const NETWORK: &[Condition] = &[
    progress("US dial tone", &[350.0, 440.0], 3000, 0),
    progress("US busy", &[480.0, 620.0], 500, 500),
    progress("US ringback", &[440.0, 480.0], 2000, 1000),
    progress("US reorder", &[480.0, 620.0], 250, 250),
    progress("EU 425 Hz", &[425.0], 500, 500),
    progress("UK ringing", &[400.0, 450.0], 400, 200),
    progress("UK dial tone", &[350.0, 450.0], 3000, 0),
    progress("fax CNG", &[1100.0], 500, 500),
    progress("fax CED", &[2100.0], 3000, 300),
    progress("V.22 answer", &[2250.0], 1000, 300),
    progress("JP 400 Hz", &[384.0, 416.0], 1000, 500),
    progress("call waiting", &[440.0], 300, 500),
    progress("special information, first", &[913.8], 274, 50),
    progress("special information, second", &[1370.6], 274, 50),
    progress("special information, third", &[1776.7], 380, 50),
    progress("ISDN 1400 Hz", &[1400.0], 400, 400),
    progress("busy verification 697 Hz", &[480.0, 697.0], 400, 300),
    row("R1 multi-frequency pairs", Sound::MultiFrequency),
];

/// All tables.
pub fn tables() -> impl Iterator<Item = &'static [Condition]> {
    [KEYS, TONES, NETWORK].into_iter()
}

#[test]
fn keys_beyond_the_limits() {
    keep(KEYS);
}

#[test]
fn tones_that_come_near() {
    keep(TONES);
}

#[test]
fn tones_of_the_network() {
    keep(NETWORK);
}
