//! Reason (RFC 3326): why a request or response was sent, as SIP statuses and Q.850 causes; and the Q.850 cause that
//! fits a SIP status (RFC 3398 §8.2.6.1), for what we send. What a cause means to a call is `call::outcome`'s.

use super::lex;
use super::params::Params;

/// The most values of one header that are read.
const MAX_REASONS: usize = 10;

/// One value of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850`, …, as it came.
    pub protocol: String,
    /// A SIP status, a Q.850 cause (0–127).
    pub cause: u16,
    /// For a person; empty: none was given.
    pub text: String,
}

impl Reason {
    /// Is it a Q.850 cause?
    pub fn is_q850(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("Q.850")
    }

    /// Is it a SIP status?
    pub fn is_sip(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("SIP")
    }
}

/// The values that can be read: those with a protocol and a cause that fits it.
pub fn read(value: &str) -> Vec<Reason> {
    let parts = lex::split_all(value.as_bytes(), b',').unwrap_or_default();
    parts.into_iter().filter_map(read_one).take(MAX_REASONS).collect()
}

fn read_one(value: &[u8]) -> Option<Reason> {
    let (protocol, params) = lex::split_once(value, b';').ok()?;
    let protocol = lex::trim(protocol);
    if !lex::is_token(protocol) {
        return None;
    }
    let params = Params::parse(params?).ok()?;
    let reason = Reason {
        protocol: lex::text(protocol).into_owned(),
        cause: lex::number(params.get("cause")?.as_bytes())?,
        text: params.get("text").unwrap_or_default().to_owned(),
    };
    let fits = match () {
        () if reason.is_q850() => reason.cause <= 127,
        () if reason.is_sip() => (100..700).contains(&reason.cause),
        () => true,
    };
    fits.then_some(reason)
}

/// A header value with a Q.850 cause and its name in Q.850.
pub fn q850(cause: u16) -> String {
    let text = match cause {
        1 => "Unallocated (unassigned) number",
        16 => "Normal call clearing",
        17 => "User busy",
        18 => "No user responding",
        19 => "No answer from user",
        20 => "Subscriber absent",
        21 => "Call rejected",
        22 => "Number changed",
        27 => "Destination out of order",
        28 => "Invalid number format",
        31 => "Normal, unspecified",
        34 => "No circuit/channel available",
        38 => "Network out of order",
        41 => "Temporary failure",
        42 => "Switching equipment congestion",
        57 => "Bearer capability not authorized",
        65 => "Bearer capability not implemented",
        79 => "Service or option not implemented",
        88 => "Incompatible destination",
        102 => "Recovery on timer expiry",
        127 => "Interworking, unspecified",
        _ => "",
    };
    if text.is_empty() { format!("Q.850;cause={cause}") } else { format!("Q.850;cause={cause};text=\"{text}\"") }
}

/// The cause that fits a final status of 400–699; none: the status says nothing about a call that ISDN would know
/// (challenges, redirections, protocol errors).
pub fn cause_of_status(status: u16) -> Option<u16> {
    Some(match status {
        403 | 603 | 607 | 608 => 21,
        404 | 604 => 1,
        410 => 22,
        480 => 18,
        484 => 28,
        486 | 600 => 17,
        488 | 606 => 88,
        408 | 504 => 102,
        500 | 503 => 41,
        501 => 79,
        502 => 38,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_one_by_one() {
        let told: Vec<_> = read("SIP ;cause=200 ;text=\"Call completed, elsewhere\", q.850;cause=16;text=bye, Q.850;cause=200, x, SIP;cause=9, preemption;cause=1")
            .into_iter()
            .map(|r| (r.is_sip(), r.is_q850(), r.cause, r.text))
            .collect();
        assert_eq!(
            told,
            [
                (true, false, 200, "Call completed, elsewhere".to_owned()),
                (false, true, 16, "bye".to_owned()),
                (false, false, 1, String::new())
            ]
        );
        assert!(read("").is_empty() && read("SIP").is_empty() && read("SIP;cause").is_empty());
    }

    #[test]
    fn what_is_written_can_be_read() {
        for status in 400..700 {
            let Some(cause) = cause_of_status(status) else { continue };
            let read = read(&q850(cause));
            assert_eq!((read.len(), read[0].cause, read[0].is_q850()), (1, cause, true), "{status}");
            assert!(!read[0].text.is_empty(), "{cause}");
        }
        assert_eq!(cause_of_status(401), None);
    }
}
