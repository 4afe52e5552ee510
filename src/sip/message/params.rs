//! `;name=value` parameters (RFC 3261 §25.1 `generic-param`): ordered, names without case, values with their quotes
//! taken off and put back where they are needed.

use serde::{Deserialize, Serialize};

use super::lex;

/// Parameters in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(Vec<Param>);

/// One parameter; without a value it is a flag (`lr`).
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
struct Param {
    name: String,
    value: Option<String>,
    /// Came as a quoted string, and goes out as one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    quoted: bool,
}

/// Quotes do not change what a value means.
impl PartialEq for Param {
    fn eq(&self, other: &Param) -> bool {
        self.name.eq_ignore_ascii_case(&other.name) && self.value == other.value
    }
}

impl Params {
    pub fn new() -> Self {
        Params::default()
    }

    /// Reads what follows the first `;` of a header value.
    pub(super) fn parse(bytes: &[u8]) -> Result<Params, &'static str> {
        let mut params = Vec::new();
        for part in lex::split_all(bytes, b';')? {
            let (name, value) = lex::split_once(part, b'=')?;
            let name = lex::trim(name);
            if !lex::is_token(name) {
                return Err("a parameter name is not a token");
            }
            let name = lex::text(name).into_owned();
            let Some(value) = value.map(lex::trim) else {
                params.push(Param { name, value: None, quoted: false });
                continue;
            };
            if value.first() == Some(&b'"') {
                let (inner, rest) = lex::quoted_string(value)?;
                if !lex::trim(rest).is_empty() {
                    return Err("something follows a quoted parameter value");
                }
                params.push(Param { name, value: Some(lex::text(&inner).into_owned()), quoted: true });
            } else {
                if value.iter().any(|&b| b <= b' ' || matches!(b, b'"' | b'<' | b'>' | b',' | 0x7f)) {
                    return Err("a parameter value is neither a token nor quoted");
                }
                params.push(Param { name, value: Some(lex::text(value).into_owned()), quoted: false });
            }
        }
        Ok(Params(params))
    }

    /// The value of a parameter; `Some("")` for a flag.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|p| p.name.eq_ignore_ascii_case(name)).map(|p| p.value.as_deref().unwrap_or_default())
    }

    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets or adds a parameter. It writes itself quoted where its value is not a token.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.put(name, Some(value.into()));
    }

    /// Sets or adds a parameter without a value.
    pub fn set_flag(&mut self, name: &str) {
        self.put(name, None);
    }

    fn put(&mut self, name: &str, value: Option<String>) {
        match self.0.iter_mut().find(|p| p.name.eq_ignore_ascii_case(name)) {
            Some(param) => {
                param.value = value;
                param.quoted = false;
            }
            None => self.0.push(Param { name: name.to_owned(), value, quoted: false }),
        }
    }

    /// Removes a parameter; what it was.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|p| p.name.eq_ignore_ascii_case(name))?;
        Some(self.0.remove(at).value.unwrap_or_default())
    }

    /// Names and values in order; a flag has no value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|p| (p.name.as_str(), p.value.as_deref()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same name twice?
    pub(super) fn has_duplicates(&self) -> bool {
        self.0
            .iter()
            .enumerate()
            .any(|(i, p)| self.0.iter().skip(i + 1).any(|other| other.name.eq_ignore_ascii_case(&p.name)))
    }

    /// Writes as header parameters: quoted where need be. A name that is no token is left out.
    pub(super) fn write(&self, out: &mut String) {
        for param in &self.0 {
            if !lex::is_token(param.name.as_bytes()) {
                continue;
            }
            out.push(';');
            out.push_str(&param.name);
            if let Some(value) = &param.value {
                out.push('=');
                let plain = !value.is_empty()
                    && value.bytes().all(|b| lex::is_token_byte(b) || matches!(b, b'[' | b']' | b':' | b'/' | b'@'));
                if param.quoted || !plain {
                    lex::quote(value, out);
                } else {
                    out.push_str(value);
                }
            }
        }
    }

    pub(super) fn push_raw(&mut self, name: String, value: Option<String>) {
        self.0.push(Param { name, value, quoted: false });
    }
}
