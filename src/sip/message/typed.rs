//! Typed readers: what a header means (RFC 3261 §20), read when it is asked for. An error names the header and is
//! answered by 400.

use std::fmt;

use super::auth::{AuthParams, parse_list as parse_auth_list};
use super::error::HeaderError;
use super::headers::{Header, HeaderValue, Headers, Name};
use super::name_addr::{Contacts, NameAddr};
use super::params::Params;
use super::via::Via;
use super::{Method, lex};

/// CSeq: a number below 2³¹ and the method (RFC 3261 §20.16).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CSeq {
    pub number: u32,
    pub method: Method,
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl HeaderValue for CSeq {
    fn header_value(&self) -> String {
        self.to_string()
    }
}

/// A media type with its parameters (RFC 3261 §20.15), type and subtype in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `application/sdp`.
    pub essence: String,
    pub params: Params,
}

impl MediaType {
    fn parse(bytes: &[u8]) -> Result<MediaType, &'static str> {
        let (head, params) = lex::split_once(bytes, b';')?;
        let mut parts = head.split(|&b| b == b'/').map(lex::trim);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(kind), Some(sub), None) if lex::is_token(kind) && lex::is_token(sub) => Ok(MediaType {
                essence: format!("{}/{}", lex::text(kind), lex::text(sub)).to_ascii_lowercase(),
                params: params.map(Params::parse).transpose()?.unwrap_or_default(),
            }),
            _ => Err("not type/subtype"),
        }
    }
}

impl Headers {
    /// The one value of a header that may stand once only; `None` where it is missing.
    pub(super) fn single(&self, name: Name) -> Result<Option<&[u8]>, HeaderError> {
        let mut values = self.iter().filter(|h| *h.name() == name).map(Header::value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(HeaderError::new(name, "stands more than once")),
            (first, None) => Ok(first),
        }
    }

    fn required(&self, name: Name) -> Result<&[u8], HeaderError> {
        self.single(name.clone())?.ok_or(HeaderError::new(name, "missing"))
    }

    /// All values of a header that is a comma-separated list, over all its lines, each read by `read`.
    pub fn list<T>(&self, name: Name, read: impl Fn(&[u8]) -> Result<T, &'static str>) -> Result<Vec<T>, HeaderError> {
        let mut list = Vec::new();
        for line in self.get_all(&name) {
            let values = lex::split_all(line, b',').map_err(|what| HeaderError::new(name.clone(), what))?;
            for value in values {
                list.push(read(value).map_err(|what| HeaderError::new(name.clone(), what))?);
            }
        }
        Ok(list)
    }

    /// All hops, the last sender first. An error where there is none.
    pub fn via(&self) -> Result<Vec<Via>, HeaderError> {
        let list = self.list(Name::Via, Via::parse)?;
        if list.is_empty() { Err(HeaderError::new(Name::Via, "missing")) } else { Ok(list) }
    }

    /// The last sender's hop; the others are not read.
    pub fn top_via(&self) -> Result<Via, HeaderError> {
        let bad = |what| HeaderError::new(Name::Via, what);
        let line = self.get(&Name::Via).ok_or_else(|| bad("missing"))?;
        let (top, _) = lex::split_once(line, b',').map_err(bad)?;
        Via::parse(lex::trim(top)).map_err(bad)
    }

    /// Takes the top Via away (a response on its way back); the others stay byte for byte.
    pub fn remove_top_via(&mut self) {
        let rest = self.get(&Name::Via).and_then(|line| lex::split_once(line, b',').ok()?.1.map(lex::trim));
        match rest.map(Box::<[u8]>::from) {
            Some(rest) => self.set_first_raw(&Name::Via, rest),
            None => self.remove_first(&Name::Via),
        }
    }

    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.address(Name::From)
    }

    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.address(Name::To)
    }

    fn address(&self, name: Name) -> Result<NameAddr, HeaderError> {
        NameAddr::parse(self.required(name.clone())?).map_err(|what| HeaderError::new(name, what))
    }

    /// All contacts in order, or `*`; an empty list where there is none.
    pub fn contacts(&self) -> Result<Contacts, HeaderError> {
        let mut lines = self.get_all(&Name::Contact);
        if let (Some(b"*"), None) = (lines.next(), lines.next()) {
            return Ok(Contacts::Star);
        }
        Ok(Contacts::List(self.list(Name::Contact, NameAddr::parse)?))
    }

    /// The first contact, which a dialog's target comes from (RFC 3261 §12.1).
    pub fn contact(&self) -> Result<Option<NameAddr>, HeaderError> {
        Ok(self.contacts()?.first().cloned())
    }

    /// Route, in order.
    pub fn route(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(Name::Route, NameAddr::parse)
    }

    /// Record-Route, in order.
    pub fn record_route(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.list(Name::RecordRoute, NameAddr::parse)
    }

    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        let bad = |what| HeaderError::new(Name::CSeq, what);
        let value = self.required(Name::CSeq)?;
        let space = value.iter().position(|&b| lex::is_space(b)).ok_or_else(|| bad("not a number and a method"))?;
        let (number, method) = value.split_at(space);
        let number: u32 = lex::number(number).ok_or_else(|| bad("not a number below 2^31"))?;
        if number >= 1 << 31 {
            return Err(bad("not a number below 2^31"));
        }
        let method = Method::parse(lex::trim(method)).ok_or_else(|| bad("the method is not a token"))?;
        Ok(CSeq { number, method })
    }

    pub fn call_id(&self) -> Result<String, HeaderError> {
        let value = self.required(Name::CallId)?;
        if value.is_empty() || value.iter().any(|&b| b <= b' ' || b == 0x7f) {
            return Err(HeaderError::new(Name::CallId, "empty or with white space"));
        }
        Ok(lex::text(value).into_owned())
    }

    /// Max-Forwards, 0 to 255; `None` where it is missing (older peers).
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.small(Name::MaxForwards, "not a number from 0 to 255")
    }

    /// Expires in seconds; `None` where it is missing.
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        self.small(Name::Expires, "not a number below 2^32")
    }

    /// Retry-After in seconds, without its comment and parameters.
    pub fn retry_after(&self) -> Result<Option<u32>, HeaderError> {
        let bad = || HeaderError::new(Name::RetryAfter, "not a number below 2^32");
        let Some(value) = self.single(Name::RetryAfter)? else { return Ok(None) };
        let digits = value.split(|&b| !b.is_ascii_digit()).next().unwrap_or_default();
        lex::number(digits).map(Some).ok_or_else(bad)
    }

    fn small<N: std::str::FromStr>(&self, name: Name, what: &'static str) -> Result<Option<N>, HeaderError> {
        match self.single(name.clone())? {
            None => Ok(None),
            Some(value) => lex::number(value).map(Some).ok_or(HeaderError::new(name, what)),
        }
    }

    /// The body's media type; `None` where it is missing.
    pub fn content_type(&self) -> Result<Option<MediaType>, HeaderError> {
        match self.single(Name::ContentType)? {
            None => Ok(None),
            Some(value) => MediaType::parse(value).map(Some).map_err(|what| HeaderError::new(Name::ContentType, what)),
        }
    }

    /// Content-Length; several that agree count as one.
    pub fn content_length(&self) -> Result<Option<usize>, HeaderError> {
        let bad = |what| HeaderError::new(Name::ContentLength, what);
        let mut length = None;
        for value in self.get_all(&Name::ContentLength) {
            let one: usize = lex::number(value).ok_or_else(|| bad("is not a number"))?;
            if length.is_some_and(|other| other != one) {
                return Err(bad("stands twice and differs"));
            }
            length = Some(one);
        }
        Ok(length)
    }

    /// A list of tokens (Require, Supported, Allow, Unsupported, Proxy-Require, …) over all lines of that name.
    pub fn tokens(&self, name: Name) -> Result<Vec<String>, HeaderError> {
        let mut list = Vec::new();
        for line in self.get_all(&name) {
            for part in line.split(|&b| b == b',').map(lex::trim).filter(|part| !part.is_empty()) {
                if !lex::is_token(part) {
                    return Err(HeaderError::new(name.clone(), "not a list of tokens"));
                }
                list.push(lex::text(part).into_owned());
            }
        }
        Ok(list)
    }

    pub fn require(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(Name::Require)
    }

    pub fn proxy_require(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(Name::ProxyRequire)
    }

    pub fn supported(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(Name::Supported)
    }

    pub fn unsupported(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(Name::Unsupported)
    }

    pub fn allow(&self) -> Result<Vec<String>, HeaderError> {
        self.tokens(Name::Allow)
    }

    /// WWW-Authenticate: a challenge a line.
    pub fn www_authenticate(&self) -> Result<Vec<AuthParams>, HeaderError> {
        self.auth(Name::WwwAuthenticate)
    }

    /// Proxy-Authenticate: a challenge a line.
    pub fn proxy_authenticate(&self) -> Result<Vec<AuthParams>, HeaderError> {
        self.auth(Name::ProxyAuthenticate)
    }

    /// Authorization: credentials, one for each realm.
    pub fn authorization(&self) -> Result<Vec<AuthParams>, HeaderError> {
        self.auth(Name::Authorization)
    }

    /// Proxy-Authorization: credentials, one for each realm.
    pub fn proxy_authorization(&self) -> Result<Vec<AuthParams>, HeaderError> {
        self.auth(Name::ProxyAuthorization)
    }

    fn auth(&self, name: Name) -> Result<Vec<AuthParams>, HeaderError> {
        let mut list = Vec::new();
        for line in self.get_all(&name) {
            list.extend(parse_auth_list(line).map_err(|what| HeaderError::new(name.clone(), what))?);
        }
        Ok(list)
    }
}
