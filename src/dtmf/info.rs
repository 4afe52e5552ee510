//! Digits in SIP INFO bodies: `application/dtmf-relay` (`Signal=5` and `Duration=160` lines) and `application/dtmf`
//! (the bare digit). Neither has an RFC; both are read as widely as they are met and written the common way.
//! The INFO request itself, and what answers it, is `sip`'s and `call`'s business.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Digit, Phase, Report, Way};
use crate::time::Time;

/// Media type of the body with `Signal` and `Duration` lines.
pub const DTMF_RELAY: &str = "application/dtmf-relay";
/// Media type of the body that is only the digit.
pub const DTMF: &str = "application/dtmf";

/// All that is read here.
pub const TYPES: &[&str] = &[DTMF_RELAY, DTMF];

/// What a press lasts when the body does not say.
const DEFAULT_DURATION: Duration = Duration::from_millis(160);
/// Longer announcements are taken as this: a key is not held longer by a person.
const MAX_DURATION: Duration = Duration::from_secs(60);
/// A longer body is no digit, whatever it says (bytes).
const MAX_BODY: usize = 1024;

/// Why an INFO body is no digit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// Not a DTMF media type: to be answered 415 where nobody else takes it.
    #[error("content type is not application/dtmf-relay or application/dtmf")]
    ContentType,
    /// The body is longer than any digit needs.
    #[error("body of {0} bytes is too long for a digit")]
    TooLong(usize),
    /// Not text.
    #[error("body is not text")]
    NotText,
    /// No `Signal` line, or an empty body.
    #[error("body names no signal")]
    NoSignal,
    /// A signal that is none of the sixteen digits (flash, say).
    #[error("signal is not a digit")]
    UnknownSignal,
}

/// A digit as an INFO request tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoDigit {
    /// Which key.
    pub digit: Digit,
    /// How long it was (or will be) down, at most a minute; 160 ms where the body does not say.
    pub duration: Duration,
}

impl InfoDigit {
    /// Reads a body by its `Content-Type` value (parameters and case do not matter).
    pub fn parse(content_type: &str, body: &[u8]) -> Result<Self, InfoError> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case(DTMF_RELAY) {
            Self::parse_relay(body)
        } else if media_type.eq_ignore_ascii_case(DTMF) {
            Self::parse_plain(body)
        } else {
            Err(InfoError::ContentType)
        }
    }

    /// Reads an `application/dtmf-relay` body: `Signal=5`, `Signal= 5`, `signal=*`, `Signal=10` (star), `Signal=11`
    /// (pound), `Signal=12`…`15` (A–D); `Duration` in milliseconds, ignored where it is no number.
    pub fn parse_relay(body: &[u8]) -> Result<Self, InfoError> {
        let text = text(body)?;
        let mut signal = None;
        let mut duration = DEFAULT_DURATION;
        for line in text.split(['\r', '\n']) {
            let Some((name, value)) = line.split_once(['=', ':']) else { continue };
            let value = value.trim();
            if name.trim().eq_ignore_ascii_case("Signal") && signal.is_none() {
                signal = Some(parse_signal(value)?);
            } else if name.trim().eq_ignore_ascii_case("Duration")
                && let Ok(ms) = value.parse::<u64>()
            {
                duration = Duration::from_millis(ms).min(MAX_DURATION);
            }
        }
        signal.map(|digit| InfoDigit { digit, duration }).ok_or(InfoError::NoSignal)
    }

    /// Reads an `application/dtmf` body: one character, or the event code as a number. Some phones send relay lines
    /// under this type; they are read as such.
    pub fn parse_plain(body: &[u8]) -> Result<Self, InfoError> {
        let signal = text(body)?.trim();
        if signal.contains('=') {
            return Self::parse_relay(body);
        }
        Ok(InfoDigit { digit: parse_signal(signal)?, duration: DEFAULT_DURATION })
    }

    /// The body for `application/dtmf-relay`.
    pub fn to_relay(self) -> String {
        format!("Signal={}\r\nDuration={}\r\n", self.digit, self.duration.as_millis())
    }

    /// The body for `application/dtmf`.
    pub fn to_plain(self) -> String {
        self.digit.to_string()
    }

    /// The press as reports for the arbiter, both made at `at`: INFO comes once, with the duration known.
    pub fn reports(self, at: Time) -> [Report; 2] {
        [Phase::Start, Phase::End { duration: self.duration }].map(|phase| Report {
            digit: self.digit,
            way: Way::Info,
            phase,
            at,
            delay: Duration::ZERO,
        })
    }
}

fn text(body: &[u8]) -> Result<&str, InfoError> {
    if body.len() > MAX_BODY {
        return Err(InfoError::TooLong(body.len()));
    }
    std::str::from_utf8(body).map_err(|_| InfoError::NotText)
}

/// One character, or an RFC 4733 event code of one or two figures.
fn parse_signal(signal: &str) -> Result<Digit, InfoError> {
    let mut characters = signal.chars();
    let found = match (characters.next(), characters.next()) {
        (None, _) => return Err(InfoError::NoSignal),
        (Some(c), None) => Digit::from_char(c),
        _ if signal.len() == 2 && signal.bytes().all(|b| b.is_ascii_digit()) => {
            signal.parse().ok().and_then(Digit::from_event_code)
        }
        _ => None,
    };
    found.ok_or(InfoError::UnknownSignal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn relay(body: &str) -> Result<(char, u128), InfoError> {
        InfoDigit::parse("application/dtmf-relay", body.as_bytes()).map(|i| (i.digit.as_char(), i.duration.as_millis()))
    }

    fn plain(body: &str) -> Result<char, InfoError> {
        InfoDigit::parse("application/dtmf", body.as_bytes()).map(|i| i.digit.as_char())
    }

    #[test]
    fn relay_bodies_as_phones_send_them() {
        assert_eq!(relay("Signal=5\r\nDuration=160\r\n"), Ok(('5', 160)));
        assert_eq!(relay("Signal=5\r\nDuration=160"), Ok(('5', 160)));
        assert_eq!(relay("Signal= 5\r\nDuration= 250\r\n"), Ok(('5', 250)));
        assert_eq!(relay("Signal=*\nDuration=100\n"), Ok(('*', 100)));
        assert_eq!(relay("signal=#\r\n"), Ok(('#', 160)));
        assert_eq!(relay("Signal=10\r\nDuration=160"), Ok(('*', 160)));
        assert_eq!(relay("Signal=11\r\nDuration=160"), Ok(('#', 160)));
        assert_eq!(relay("Signal=12\r\n"), Ok(('A', 160)));
        assert_eq!(relay("Signal=d\r\n"), Ok(('D', 160)));
        assert_eq!(relay("Duration=80\r\nSignal=0"), Ok(('0', 80)));
        assert_eq!(relay("Signal=1\r\nDuration=forever"), Ok(('1', 160)));
        assert_eq!(relay("Signal=1\r\nDuration=99999999999"), Ok(('1', 60_000)));
        assert_eq!(relay("Signal: 7\r\n"), Ok(('7', 160)));
    }

    #[test]
    fn bodies_that_are_no_digit_say_why() {
        assert_eq!(relay(""), Err(InfoError::NoSignal));
        assert_eq!(relay("Signal=\r\nDuration=160"), Err(InfoError::NoSignal));
        assert_eq!(relay("Signal=16\r\nDuration=160"), Err(InfoError::UnknownSignal));
        assert_eq!(relay("Signal=55"), Err(InfoError::UnknownSignal));
        assert_eq!(relay("Signal=flash"), Err(InfoError::UnknownSignal));
        assert_eq!(plain(""), Err(InfoError::NoSignal));
        assert_eq!(plain("x"), Err(InfoError::UnknownSignal));
        assert_eq!(plain(&"5".repeat(2000)), Err(InfoError::TooLong(2000)));
        assert_eq!(InfoDigit::parse("text/plain", b"5"), Err(InfoError::ContentType));
        assert_eq!(InfoDigit::parse("application/dtmf", b"\xff5"), Err(InfoError::NotText));
    }

    #[test]
    fn plain_bodies_as_phones_send_them() {
        assert_eq!(plain("5"), Ok('5'));
        assert_eq!(plain(" 5\r\n"), Ok('5'));
        assert_eq!(plain("10"), Ok('*'));
        assert_eq!(plain("11"), Ok('#'));
        assert_eq!(plain("b"), Ok('B'));
        assert_eq!(plain("Signal=3\r\nDuration=100"), Ok('3'));
        assert!(InfoDigit::parse("Application/DTMF ; charset=utf-8", b"1").is_ok());
    }

    #[test]
    fn what_is_written_is_read_back() {
        for digit in Digit::ALL {
            let info = InfoDigit { digit, duration: Duration::from_millis(120) };
            assert_eq!(InfoDigit::parse(DTMF_RELAY, info.to_relay().as_bytes()), Ok(info));
            assert_eq!(InfoDigit::parse(DTMF, info.to_plain().as_bytes()).map(|i| i.digit), Ok(digit));
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut random = Random::from_number(7);
        let seed = b"Signal= 5\r\nDuration=160\r\n";
        for _ in 0..20_000 {
            let mut body = seed.to_vec();
            for _ in 0..random.below(6) {
                let at = random.below(body.len() as u64) as usize;
                match random.below(3) {
                    0 => body[at] = random.u32() as u8,
                    1 => body.insert(at, random.u32() as u8),
                    _ => body.truncate(at + 1),
                }
            }
            let _ = InfoDigit::parse_relay(&body);
            let _ = InfoDigit::parse_plain(&body);
            let _ = InfoDigit::parse(&String::from_utf8_lossy(&body), &body);
        }
    }
}
