//! DTMF in all three ways it travels: in-band tones (ITU-T Q.23/Q.24), RFC 4733 telephone events, and SIP INFO.
//!
//! [`tone`] hears and makes tones, [`event`] reads and schedules telephone events, [`info`] reads and writes INFO
//! bodies, and [`arbiter`] makes one press of the several reports that one key may cause. What a press *means*
//! (recognise, continuous recognition) is call control's business; RTP headers and SIP messages are others' too.

pub mod arbiter;
pub mod event;
pub mod info;
pub mod tone;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Time;

pub use arbiter::{Arbiter, DropReason, Verdict};
pub use event::{EventPacket, EventReceiver, EventSender};
pub use tone::{Detector, ToneGenerator, ToneReport};

/// One of the sixteen DTMF digits, in RFC 4733 event code order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Digit {
    /// Key 0.
    Zero,
    /// Key 1.
    One,
    /// Key 2.
    Two,
    /// Key 3.
    Three,
    /// Key 4.
    Four,
    /// Key 5.
    Five,
    /// Key 6.
    Six,
    /// Key 7.
    Seven,
    /// Key 8.
    Eight,
    /// Key 9.
    Nine,
    /// Key `*`.
    Asterisk,
    /// Key `#`.
    Pound,
    /// Key A, of the fourth column.
    A,
    /// Key B.
    B,
    /// Key C.
    C,
    /// Key D.
    D,
}

impl Digit {
    /// All sixteen, in event code order.
    pub const ALL: [Digit; 16] = [
        Digit::Zero,
        Digit::One,
        Digit::Two,
        Digit::Three,
        Digit::Four,
        Digit::Five,
        Digit::Six,
        Digit::Seven,
        Digit::Eight,
        Digit::Nine,
        Digit::Asterisk,
        Digit::Pound,
        Digit::A,
        Digit::B,
        Digit::C,
        Digit::D,
    ];

    /// The word that the ACS contract uses: `zero`…`nine`, `a`…`d`, `pound`, `asterisk`.
    pub fn tone_name(self) -> &'static str {
        match self {
            Digit::Zero => "zero",
            Digit::One => "one",
            Digit::Two => "two",
            Digit::Three => "three",
            Digit::Four => "four",
            Digit::Five => "five",
            Digit::Six => "six",
            Digit::Seven => "seven",
            Digit::Eight => "eight",
            Digit::Nine => "nine",
            Digit::Asterisk => "asterisk",
            Digit::Pound => "pound",
            Digit::A => "a",
            Digit::B => "b",
            Digit::C => "c",
            Digit::D => "d",
        }
    }

    /// The digit with that [`tone_name`](Self::tone_name), in any case. Nothing else is taken (`"5"` is not a name).
    pub fn from_tone_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|digit| digit.tone_name().eq_ignore_ascii_case(name))
    }

    /// `'0'`…`'9'`, `'*'`, `'#'`, `'A'`…`'D'`.
    pub fn as_char(self) -> char {
        match self {
            Digit::Asterisk => '*',
            Digit::Pound => '#',
            Digit::A => 'A',
            Digit::B => 'B',
            Digit::C => 'C',
            Digit::D => 'D',
            number => char::from(b'0' + number.event_code()),
        }
    }

    /// The digit with that character; letters in either case.
    pub fn from_char(c: char) -> Option<Self> {
        Self::ALL.into_iter().find(|digit| digit.as_char() == c.to_ascii_uppercase())
    }

    /// RFC 4733 §3.2 event code, 0–15.
    pub fn event_code(self) -> u8 {
        self as u8
    }

    /// The digit with that RFC 4733 event code; none above 15 (flash and the other events are no digits).
    pub fn from_event_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

/// How a report of a digit came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Way {
    /// RFC 4733 telephone-event packets.
    TelephoneEvent,
    /// Tones in the audio.
    InBand,
    /// A SIP INFO request.
    Info,
}

impl Way {
    /// All ways, in the order of their discriminants.
    pub const ALL: [Way; 3] = [Way::TelephoneEvent, Way::InBand, Way::Info];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::TelephoneEvent => "telephone-event",
            Way::InBand => "in-band",
            Way::Info => "info",
        })
    }
}

/// Which edge of a press a report tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The key went down (as far as this way can know it). A press counts from here.
    Start,
    /// The key came up, after having been down for `duration`.
    End {
        /// How long the key was down, as that way measured or announced it.
        duration: Duration,
    },
}

/// What one way says about a key, before the arbiter: each press gives one `Start` and one `End`, in this order.
/// (INFO, which comes once and after the fact, gives both at the same moment.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Report {
    /// Which key.
    pub digit: Digit,
    /// How the report came.
    pub way: Way,
    /// Which edge.
    pub phase: Phase,
    /// The moment the report was made, on the engine's clock.
    pub at: Time,
    /// How long before `at` this edge arrived: a tone waits for its playout, and a detector to be sure. What is told as
    /// it arrives has none. `at - delay` is comparable between the ways.
    pub delay: Duration,
}

impl Report {
    /// The same of what had waited so long before it was heard.
    pub fn after(mut self, waiting: Duration) -> Self {
        self.delay += waiting;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_survives_each_of_its_spellings() {
        for (code, digit) in Digit::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(digit.event_code()), code);
            assert_eq!(Digit::from_event_code(digit.event_code()), Some(digit));
            assert_eq!(Digit::from_char(digit.as_char()), Some(digit));
            assert_eq!(Digit::from_char(digit.as_char().to_ascii_lowercase()), Some(digit));
            assert_eq!(Digit::from_tone_name(digit.tone_name()), Some(digit));
            assert_eq!(Digit::from_tone_name(&digit.tone_name().to_uppercase()), Some(digit));
        }
        assert_eq!(Digit::ALL.map(Digit::as_char).iter().collect::<String>(), "0123456789*#ABCD");
        assert_eq!(Digit::from_event_code(16), None, "flash is no digit");
        assert_eq!(Digit::from_char('E'), None);
        assert_eq!(Digit::from_char('٣'), None);
        assert_eq!(Digit::from_tone_name("5"), None);
        assert_eq!(Digit::from_tone_name("star"), None);
    }
}
