//! Replaces (RFC 3891 §6.1): which dialog an INVITE is to take the place of. Finding it is `agent::replaces`'.

use std::fmt;

use super::error::HeaderError;
use super::headers::{HeaderValue, Headers, Name};
use super::lex;
use super::params::Params;

/// A dialog's name, as the one sees it who is asked to give it up: `to_tag` is his own tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    pub call_id: String,
    pub to_tag: String,
    pub from_tag: String,
    /// Only while it is not answered.
    pub early_only: bool,
}

impl Replaces {
    /// Reads one value. Each tag must be there once.
    pub fn parse(bytes: &[u8]) -> Result<Replaces, &'static str> {
        let (call_id, rest) = lex::split_once(bytes, b';')?;
        let call_id = lex::trim(call_id);
        if call_id.is_empty() || call_id.iter().any(|&b| b <= b' ' || b == 0x7f || b == b',') {
            return Err("no Call-ID");
        }
        let params = Params::parse(rest.ok_or("no tags")?)?;
        if params.has_duplicates() {
            return Err("a parameter that stands twice");
        }
        let tag = |name: &str| {
            let tag = params.get(name).filter(|tag| lex::is_token(tag.as_bytes()));
            tag.map(str::to_owned).ok_or("a tag is missing")
        };
        Ok(Replaces {
            call_id: lex::text(call_id).into_owned(),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.contains("early-only"),
        })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        if self.early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}

impl HeaderValue for Replaces {
    fn header_value(&self) -> String {
        self.to_string()
    }
}

impl Headers {
    /// Replaces; `None` where it is missing. More than one is an error (RFC 3891 §3).
    pub fn replaces(&self) -> Result<Option<Replaces>, HeaderError> {
        let value = self.single(Name::Replaces)?;
        value.map(Replaces::parse).transpose().map_err(|what| HeaderError::new(Name::Replaces, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_named_whole_or_not_at_all() {
        let read = |text: &str| Replaces::parse(text.as_bytes());
        let one = read("98732@sip.example.com ;from-tag=r33th4x0r; to-tag=ff87ff").unwrap();
        assert_eq!((one.to_tag.as_str(), one.from_tag.as_str(), one.early_only), ("ff87ff", "r33th4x0r", false));
        assert_eq!(one.to_string(), "98732@sip.example.com;to-tag=ff87ff;from-tag=r33th4x0r");
        let early = read("a;to-tag=1;from-tag=2;early-only;x=\"y;z\"").unwrap();
        assert!(early.early_only);
        assert_eq!(read(&early.to_string()).unwrap(), early);
        for bad in [
            "",
            "a",
            "a;to-tag=1",
            "a;from-tag=1",
            ";to-tag=1;from-tag=2",
            "a;to-tag=;from-tag=2",
            "a b;to-tag=1;from-tag=2",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("a;to-tag=1;to-tag=3;from-tag=2").is_err());
    }
}
