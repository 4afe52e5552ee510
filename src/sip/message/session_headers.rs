//! Typed readers of two extensions: RSeq and RAck of reliable provisional responses (RFC 3262 §7), Session-Expires and
//! Min-SE of session timers (RFC 4028 §4, §5). What they lead to is `agent`'s.

use std::fmt;

use super::error::HeaderError;
use super::headers::{HeaderValue, Headers, Name};
use super::params::Params;
use super::{Method, lex};

/// RAck: which provisional response is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RAck {
    /// The response's RSeq, 1 to 2³²−1.
    pub rseq: u32,
    /// The number in the response's CSeq.
    pub cseq: u32,
    /// The method in the response's CSeq.
    pub method: Method,
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.rseq, self.cseq, self.method)
    }
}

impl HeaderValue for RAck {
    fn header_value(&self) -> String {
        self.to_string()
    }
}

/// Who refreshes a session: the sender (`uac`) or the receiver (`uas`) of the request that the header belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

/// Session-Expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// The interval in seconds.
    pub seconds: u32,
    /// Who refreshes; none: not said, or in a word that is not known.
    pub refresher: Option<Refresher>,
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.refresher {
            Some(Refresher::Uac) => write!(f, "{};refresher=uac", self.seconds),
            Some(Refresher::Uas) => write!(f, "{};refresher=uas", self.seconds),
            None => write!(f, "{}", self.seconds),
        }
    }
}

impl HeaderValue for SessionExpires {
    fn header_value(&self) -> String {
        self.to_string()
    }
}

impl Headers {
    /// RSeq, 1 to 2³²−1; `None` where it is missing.
    pub fn rseq(&self) -> Result<Option<u32>, HeaderError> {
        let bad = || HeaderError::new(Name::RSeq, "not a number from 1 to 2^32-1");
        let Some(value) = self.single(Name::RSeq)? else { return Ok(None) };
        lex::number(value).filter(|number| *number > 0).map(Some).ok_or_else(bad)
    }

    /// RAck. An error where it is missing.
    pub fn rack(&self) -> Result<RAck, HeaderError> {
        let bad = |what| HeaderError::new(Name::RAck, what);
        let value = self.single(Name::RAck)?.ok_or(bad("missing"))?;
        let mut words = value.split(|&b| lex::is_space(b)).filter(|word| !word.is_empty());
        let (Some(rseq), Some(cseq), Some(method), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(bad("not two numbers and a method"));
        };
        Ok(RAck {
            rseq: lex::number(rseq).filter(|n| *n > 0).ok_or(bad("the first is not a number from 1 to 2^32-1"))?,
            cseq: lex::number(cseq).filter(|n| *n < 1 << 31).ok_or(bad("the second is not a number below 2^31"))?,
            method: Method::parse(method).ok_or(bad("the method is not a token"))?,
        })
    }

    /// Session-Expires; `None` where it is missing.
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, HeaderError> {
        let Some((seconds, params)) = self.seconds(Name::SessionExpires)? else { return Ok(None) };
        let refresher = match params.get("refresher") {
            Some(word) if word.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(word) if word.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Ok(Some(SessionExpires { seconds, refresher }))
    }

    /// Min-SE in seconds; `None` where it is missing.
    pub fn min_se(&self) -> Result<Option<u32>, HeaderError> {
        Ok(self.seconds(Name::MinSe)?.map(|(seconds, _)| seconds))
    }

    /// A number of seconds with parameters.
    fn seconds(&self, name: Name) -> Result<Option<(u32, Params)>, HeaderError> {
        let bad = |what| HeaderError::new(name.clone(), what);
        let Some(value) = self.single(name.clone())? else { return Ok(None) };
        let (seconds, params) = lex::split_once(value, b';').map_err(bad)?;
        let seconds = lex::number(lex::trim(seconds)).ok_or_else(|| bad("not a number below 2^32"))?;
        let params = params.map(Params::parse).transpose().map_err(bad)?.unwrap_or_default();
        Ok(Some((seconds, params)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: Name, value: &str) -> Headers {
        let mut headers = Headers::new();
        headers.push(name, value).unwrap();
        headers
    }

    #[test]
    fn reliable_provisional_responses() {
        assert_eq!(Headers::new().rseq(), Ok(None));
        assert_eq!(with(Name::RSeq, "4294967295").rseq(), Ok(Some(u32::MAX)));
        for bad in ["0", "", "x", "-1", "4294967296", "1 2"] {
            assert!(with(Name::RSeq, bad).rseq().is_err(), "{bad}");
        }
        let rack = with(Name::RAck, "776656 \t 1 INVITE").rack().unwrap();
        assert_eq!(rack, RAck { rseq: 776_656, cseq: 1, method: Method::Invite });
        assert_eq!(with(Name::RAck, &rack.to_string()).rack(), Ok(rack));
        for bad in ["", "1", "1 1", "0 1 INVITE", "1 2147483648 INVITE", "1 1 IN@VITE", "1 1 INVITE x", "a 1 INVITE"] {
            assert!(with(Name::RAck, bad).rack().is_err(), "{bad}");
        }
        assert!(Headers::new().rack().is_err());
    }

    #[test]
    fn session_timers() {
        let read = |value: &str| with(Name::SessionExpires, value).session_expires();
        assert_eq!(Headers::new().session_expires(), Ok(None));
        assert_eq!(read("1800"), Ok(Some(SessionExpires { seconds: 1800, refresher: None })));
        let uas = SessionExpires { seconds: 90, refresher: Some(Refresher::Uas) };
        assert_eq!(read("90 ; x=y;Refresher=UAS"), Ok(Some(uas)));
        assert_eq!(read(&uas.to_string()), Ok(Some(uas)));
        assert_eq!(read("90;refresher=proxy"), Ok(Some(SessionExpires { seconds: 90, refresher: None })));
        for bad in ["", "x", ";refresher=uac", "1.5", "99999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(with(Name::MinSe, "120;lr").min_se(), Ok(Some(120)));
        assert!(with(Name::MinSe, "-1").min_se().is_err());
        let mut twice = with(Name::MinSe, "120");
        twice.push(Name::MinSe, "90").unwrap();
        assert!(twice.min_se().is_err());
    }
}
