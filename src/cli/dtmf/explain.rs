//! `strowger dtmf --explain`: a line for each candidate, the refused ones too, with what was measured and the reason for
//! the verdict.

use std::io::{self, Write};

use super::candidate::{Candidate, Outcome};
use super::milliseconds;
use crate::dtmf::tone::frequencies;

/// The names of the columns.
pub fn head(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:>10} {:>6} {:<3} {:<7} {:>6} {:>6} {:>7} {:>7} {:>6} {:>7} {:>6} {:>6}  why",
        "start ms", "ms", "key", "", "low Hz", "dBm0", "off", "high Hz", "dBm0", "off", "twist", "share"
    )
}

/// A candidate: where its tone begins and how long it is, its key, then both tones' nominal frequencies, levels in dBm0
/// and offsets, the high tone's level over the low one's in dB, and the part of the power that the two tones hold.
pub fn line(candidate: &Candidate, out: &mut impl Write) -> io::Result<()> {
    let seen = &candidate.clearest;
    let (low, high) = frequencies(candidate.digit);
    let verdict = match candidate.outcome {
        Outcome::Heard { .. } => "heard",
        Outcome::Refused(_) => "refused",
    };
    writeln!(
        out,
        "{:>10.1} {:>6.1} {:<3} {verdict:<7} {low:>6.0} {:>6.1} {:>7} {high:>7.0} {:>6.1} {:>7} {:>6} {:>4.0} %  {candidate}",
        milliseconds(candidate.began),
        candidate.milliseconds(),
        candidate.digit.as_char(),
        seen.low_dbm0,
        percent(seen.low_offset),
        seen.high_dbm0,
        percent(seen.high_offset),
        signed(seen.twist()),
        seen.share.clamp(0.0, 1.0) * 100.0,
    )
}

fn percent(value: f32) -> String {
    format!("{} %", signed(value))
}

/// With a sign, and without a zero's.
fn signed(value: f32) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    if rounded == 0.0 { "0.0".to_owned() } else { format!("{rounded:+.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dtmf::candidate::Refusal;
    use crate::dtmf::Digit;
    use crate::dtmf::tone::{Judgement, Verdict};

    #[test]
    fn a_line_holds_all_that_was_measured_under_its_name() {
        let clearest = Judgement {
            position: 1040,
            digit: Some(Digit::Five),
            low_dbm0: -9.04,
            high_dbm0: -12.3,
            low_offset: -0.02,
            high_offset: 3.96,
            share: 0.984,
            verdict: Verdict::OffFrequency,
        };
        let outcome = Outcome::Refused(Refusal::OffFrequency);
        let candidate = Candidate { digit: Digit::Five, began: 804, ended: 1204, clearest, share: 0.9, outcome };
        let mut out = Vec::new();
        head(&mut out).unwrap();
        line(&candidate, &mut out).unwrap();
        line(&Candidate { began: 80_000, outcome: Outcome::Heard { reported: 80_280 }, ..candidate }, &mut out)
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "  start ms     ms key         low Hz   dBm0     off high Hz   dBm0     off  twist  share  why",
                "     100.5   50.0 5   refused    770   -9.0   0.0 %    1336  -12.3  +4.0 %   -3.3   98 %  \
                 off frequency: the high tone by +4.0 %",
                "   10000.0    0.0 5   heard      770   -9.0   0.0 %    1336  -12.3  +4.0 %   -3.3   98 %  \
                 reported 35 ms after its beginning",
            ]
        );
    }
}
