//! The shape of WWW-Authenticate, Proxy-Authenticate, Authorization and Proxy-Authorization (RFC 3261 §25.1):
//! a scheme and parameters. What they are computed from is `digest`'s.

use std::fmt;

use super::headers::HeaderValue;
use super::lex;

/// A challenge or credentials: `Digest realm="…", nonce=…`. Names without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthParams {
    /// `Digest`, `Basic`, … as it came.
    pub scheme: String,
    params: Vec<(String, String, bool)>,
}

impl AuthParams {
    pub fn new(scheme: &str) -> Self {
        AuthParams { scheme: scheme.to_owned(), params: Vec::new() }
    }

    /// Is it of that scheme (without case)?
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// A parameter's value, quotes and escapes taken off.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(n, ..)| n.eq_ignore_ascii_case(name)).map(|(_, value, _)| value.as_str())
    }

    /// Adds a parameter that is written as it is (`algorithm`, `nc`, `qop` of credentials, `stale`). One that is no
    /// token is written quoted nevertheless.
    pub fn push_token(&mut self, name: &str, value: &str) {
        self.params.push((name.to_owned(), value.to_owned(), false));
    }

    /// Adds a parameter that is written as a quoted string.
    pub fn push_quoted(&mut self, name: &str, value: &str) {
        self.params.push((name.to_owned(), value.to_owned(), true));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().map(|(name, value, _)| (name.as_str(), value.as_str()))
    }
}

/// Reads one line. By RFC 3261 it holds one challenge, but some peers put several there, so a part that starts with a
/// scheme begins the next.
pub(super) fn parse_list(bytes: &[u8]) -> Result<Vec<AuthParams>, &'static str> {
    let mut list: Vec<AuthParams> = Vec::new();
    for part in lex::split_all(bytes, b',')? {
        if part.is_empty() {
            continue;
        }
        let (name, value) = lex::split_once(part, b'=')?;
        let mut name = lex::trim(name);
        if let Some(space) = name.iter().position(|&b| lex::is_space(b)) {
            let (scheme, rest) = name.split_at(space);
            if !lex::is_token(scheme) {
                return Err("the scheme is not a token");
            }
            list.push(AuthParams::new(&lex::text(scheme)));
            name = lex::trim(rest);
        }
        let Some(current) = list.last_mut() else { return Err("no scheme") };
        let Some(value) = value.map(lex::trim) else {
            // `Basic dXNlcg` and other schemes that are not made of parameters: kept, but not read further.
            current.params.push((String::new(), lex::text(name).into_owned(), false));
            continue;
        };
        if !lex::is_token(name) {
            return Err("a parameter name is not a token");
        }
        let name = lex::text(name).into_owned();
        if value.first() == Some(&b'"') {
            let (inner, rest) = lex::quoted_string(value)?;
            if !lex::trim(rest).is_empty() {
                return Err("something follows a quoted parameter value");
            }
            current.params.push((name, lex::text(&inner).into_owned(), true));
        } else {
            current.params.push((name, lex::text(value).into_owned(), false));
        }
    }
    if list.is_empty() { Err("empty") } else { Ok(list) }
}

impl fmt::Display for AuthParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = self.scheme.clone();
        for (index, (name, value, quoted)) in self.params.iter().enumerate() {
            out.push_str(if index == 0 { " " } else { ", " });
            if !name.is_empty() {
                out.push_str(name);
                out.push('=');
            }
            if *quoted || (!name.is_empty() && !lex::is_token(value.as_bytes())) {
                lex::quote(value, &mut out);
            } else {
                out.push_str(value);
            }
        }
        f.write_str(&out)
    }
}

impl HeaderValue for AuthParams {
    fn header_value(&self) -> String {
        self.to_string()
    }
}
