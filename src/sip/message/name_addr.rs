//! `"display name" <uri>;params` and its short form `uri;params` (RFC 3261 §20.10, §25.1): From, To, Contact, Route,
//! Record-Route, P-Asserted-Identity, Refer-To.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::headers::HeaderValue;
use super::lex;
use super::params::Params;
use super::uri::Uri;

/// An address with a name to show and parameters of the header. Always written with angle brackets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameAddr {
    /// The name, quotes and escapes taken off; written quoted.
    pub display_name: Option<String>,
    pub uri: Uri,
    /// Parameters of the header (`tag`, `expires`, `q`), not of the URI.
    pub params: Params,
}

/// What a Contact header holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contacts {
    /// `*`: all bindings (RFC 3261 §10.2.2).
    Star,
    List(Vec<NameAddr>),
}

impl Contacts {
    /// The first address.
    pub fn first(&self) -> Option<&NameAddr> {
        match self {
            Contacts::Star => None,
            Contacts::List(list) => list.first(),
        }
    }
}

impl NameAddr {
    pub fn new(uri: Uri) -> Self {
        NameAddr { display_name: None, uri, params: Params::new() }
    }

    pub fn with_display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into()).filter(|n| !n.is_empty());
        self
    }

    pub fn with_tag(mut self, tag: &str) -> Self {
        self.set_tag(tag);
        self
    }

    pub fn with_param(mut self, name: &str, value: impl Into<String>) -> Self {
        self.params.set(name, value);
        self
    }

    /// The `tag` parameter; an empty one counts as none.
    pub fn tag(&self) -> Option<&str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }

    pub fn set_tag(&mut self, tag: &str) {
        self.params.set("tag", tag);
    }

    /// Reads one address; commas around it have been split off.
    pub fn parse(bytes: &[u8]) -> Result<NameAddr, &'static str> {
        let bytes = lex::trim(bytes);
        let (display_name, rest) = if bytes.first() == Some(&b'"') {
            let (name, rest) = lex::quoted_string(bytes)?;
            let rest = lex::trim(rest);
            if rest.first() != Some(&b'<') {
                return Err("a display name without <address>");
            }
            (Some(lex::text(&name).into_owned()), rest)
        } else if let Some(open) = bytes.iter().position(|&b| b == b'<') {
            let (name, rest) = bytes.split_at(open);
            // By the letter only tokens may stand unquoted; whatever cannot be taken for another part is let through.
            if name.iter().any(|&b| (b < b' ' && b != b'\t') || matches!(b, b'"' | b',' | b';' | b':' | b'>' | 0x7f)) {
                return Err("a display name that wants quotes");
            }
            let name = lex::trim(name);
            (Some(lex::text(name).into_owned()).filter(|n| !n.is_empty()), rest)
        } else {
            return Self::parse_addr_spec(bytes);
        };
        let inner = rest.get(1..).unwrap_or_default();
        let close = inner.iter().position(|&b| b == b'>').ok_or("'<' is not closed")?;
        let (uri, rest) = inner.split_at(close);
        let uri = Uri::parse(uri).map_err(uri_problem)?;
        let params = match lex::trim(rest.get(1..).unwrap_or_default()) {
            [] => Params::new(),
            [b';', params @ ..] => Params::parse(params)?,
            _ => return Err("something follows the address"),
        };
        Ok(NameAddr { display_name, uri, params })
    }

    /// Without brackets, parameters belong to the header, and a URI with `?` or `,` may not stand (§20.10).
    fn parse_addr_spec(bytes: &[u8]) -> Result<NameAddr, &'static str> {
        // A ';' of the user part stands before an '@'.
        let user_end = bytes.iter().position(|&b| b == b'@').unwrap_or(0);
        let end = bytes.iter().skip(user_end).position(|&b| b == b';').map_or(bytes.len(), |at| user_end + at);
        let (uri, rest) = bytes.split_at(end);
        let uri = lex::trim(uri);
        if uri.iter().any(|b| matches!(b, b'?' | b',')) {
            return Err("an address with '?' or ',' wants <>");
        }
        let uri = Uri::parse(uri).map_err(uri_problem)?;
        let params = match rest {
            [] => Params::new(),
            rest => Params::parse(rest.get(1..).unwrap_or_default())?,
        };
        Ok(NameAddr { display_name: None, uri, params })
    }
}

fn uri_problem(error: super::BuildError) -> &'static str {
    match error {
        super::BuildError::BadUri(what) => what,
        _ => "not a URI",
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        if let Some(name) = &self.display_name {
            lex::quote(name, &mut out);
            out.push(' ');
        }
        out.push('<');
        out.push_str(&self.uri.to_string());
        out.push('>');
        self.params.write(&mut out);
        f.write_str(&out)
    }
}

impl std::str::FromStr for NameAddr {
    type Err = super::BuildError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NameAddr::parse(text.as_bytes()).map_err(super::BuildError::BadUri)
    }
}

impl HeaderValue for NameAddr {
    fn header_value(&self) -> String {
        self.to_string()
    }
}

/// Several addresses in one line (a Route set).
impl HeaderValue for Vec<NameAddr> {
    fn header_value(&self) -> String {
        self.iter().map(NameAddr::to_string).collect::<Vec<_>>().join(", ")
    }
}
