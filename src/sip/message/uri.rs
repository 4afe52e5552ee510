//! URIs (RFC 3261 §19.1, RFC 3966): `sip`, `sips` and `tel` with their parts, any other absolute URI as it came.
//! Parts are kept escaped as they came, so that a URI goes out as it came in; readers resolve the escapes.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::error::BuildError;
use super::params::Params;
use super::{MAX_LINE, lex};

/// A URI. `==` is equality of the text's meaning as RFC 3261 §19.1.4 has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Uri {
    /// `sip:` and `sips:`.
    Sip(SipUri),
    /// `tel:` (RFC 3966).
    Tel(TelUri),
    /// Any other scheme, kept as it came.
    Other(OtherUri),
}

/// `sip:user:password@host:port;params?headers`.
#[derive(Clone, Debug)]
pub struct SipUri {
    secure: bool,
    user: Option<String>,
    password: Option<String>,
    host: Host,
    port: Option<u16>,
    params: Params,
    headers: Option<String>,
}

/// `tel:+15551234;ext=2`.
#[derive(Clone, Debug)]
pub struct TelUri {
    number: String,
    params: Params,
}

/// A URI of a scheme that this engine does not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherUri(String);

/// Where a SIP URI points.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Host {
    /// A host name, in lower case.
    Domain(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl Host {
    /// Reads a host name, an IPv4 address or an IPv6 reference in brackets.
    pub fn parse(bytes: &[u8]) -> Option<Host> {
        if let [b'[', inner @ .., b']'] = bytes {
            return Some(Host::V6(std::str::from_utf8(inner).ok()?.parse().ok()?));
        }
        let text = std::str::from_utf8(bytes).ok()?;
        if let Ok(v4) = text.parse() {
            return Some(Host::V4(v4));
        }
        // Underscores are no host name characters, but are met in private networks.
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |l: &str| {
            !l.is_empty()
                && l.len() <= 63
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && !l.starts_with('-')
                && !l.ends_with('-')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return None;
        }
        // The last label starts with a letter, so `1.2.3` and `300.1.1.1` are neither names nor addresses.
        if name.rsplit('.').next()?.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Host::Domain(text.to_ascii_lowercase()))
    }

    /// The address, where it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Domain(_) => None,
            Host::V4(v4) => Some(IpAddr::V4(*v4)),
            Host::V6(v6) => Some(IpAddr::V6(*v6)),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Host {
        match ip {
            IpAddr::V4(v4) => Host::V4(v4),
            IpAddr::V6(v6) => Host::V6(v6),
        }
    }
}

impl std::str::FromStr for Host {
    type Err = BuildError;
    fn from_str(text: &str) -> Result<Host, BuildError> {
        match text.parse::<IpAddr>() {
            Ok(ip) => Ok(ip.into()),
            Err(_) => Host::parse(text.as_bytes()).ok_or(BuildError::BadHost),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Domain(name) => f.write_str(name),
            Host::V4(v4) => write!(f, "{v4}"),
            Host::V6(v6) => write!(f, "[{v6}]"),
        }
    }
}

fn is_user_byte(b: u8) -> bool {
    lex::is_unreserved(b) || matches!(b, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
}

fn is_password_byte(b: u8) -> bool {
    lex::is_unreserved(b) || matches!(b, b'&' | b'=' | b'+' | b'$' | b',')
}

fn is_param_byte(b: u8) -> bool {
    lex::is_unreserved(b) || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$')
}

impl Uri {
    /// `sip:user@host:port`; the user is escaped as need be.
    pub fn sip(user: Option<&str>, host: Host, port: Option<u16>) -> Uri {
        Uri::Sip(SipUri {
            secure: false,
            user: user.filter(|u| !u.is_empty()).map(|u| lex::escape(u.as_bytes(), is_user_byte)),
            password: None,
            host,
            port,
            params: Params::new(),
            headers: None,
        })
    }

    /// Reads a URI; nothing may stand around it.
    pub fn parse(bytes: &[u8]) -> Result<Uri, BuildError> {
        read(bytes).map_err(BuildError::BadUri)
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> Cow<'_, str> {
        match self {
            Uri::Sip(sip) if sip.secure => "sips".into(),
            Uri::Sip(_) => "sip".into(),
            Uri::Tel(_) => "tel".into(),
            Uri::Other(other) => other.0.split_once(':').map_or("", |(scheme, _)| scheme).to_ascii_lowercase().into(),
        }
    }

    /// The SIP parts, where it is a `sip` or `sips` URI.
    pub fn as_sip(&self) -> Option<&SipUri> {
        match self {
            Uri::Sip(sip) => Some(sip),
            _ => None,
        }
    }

    pub fn as_sip_mut(&mut self) -> Option<&mut SipUri> {
        match self {
            Uri::Sip(sip) => Some(sip),
            _ => None,
        }
    }

    /// The user part of a SIP URI (escapes resolved, with `;npdi;rn=…` if it came with them), or the number of a
    /// `tel` URI.
    pub fn user(&self) -> Option<Cow<'_, str>> {
        match self {
            Uri::Sip(sip) => sip.user(),
            Uri::Tel(tel) => Some(tel.number().into()),
            Uri::Other(_) => None,
        }
    }

    /// The host of a SIP URI.
    pub fn host(&self) -> Option<&Host> {
        self.as_sip().map(|sip| &sip.host)
    }

    /// The port of a SIP URI, where it names one.
    pub fn port(&self) -> Option<u16> {
        self.as_sip().and_then(|sip| sip.port)
    }

    /// A URI parameter of a `sip` or `tel` URI; `Some("")` for a flag.
    pub fn param(&self, name: &str) -> Option<&str> {
        match self {
            Uri::Sip(sip) => sip.params.get(name),
            Uri::Tel(tel) => tel.params.get(name),
            Uri::Other(_) => None,
        }
    }

    /// The same as `sips:`, where it is a SIP URI.
    pub fn into_secure(self) -> Uri {
        match self {
            Uri::Sip(sip) => Uri::Sip(SipUri { secure: true, ..sip }),
            other => other,
        }
    }

    /// Does it carry `;lr` (RFC 3261 §16.12: a loose router)?
    pub fn is_loose_router(&self) -> bool {
        self.param("lr").is_some()
    }

    /// With a parameter set. Escaped as need be; no effect on a URI of another scheme.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Uri {
        if let Uri::Sip(sip) = &mut self {
            sip.set_param(name, value);
        }
        self
    }

    /// Without the parts that a Request-URI must not have (RFC 3261 §19.1.1: headers, `method`).
    pub fn for_request_line(mut self) -> Uri {
        if let Uri::Sip(sip) = &mut self {
            sip.headers = None;
            sip.params.remove("method");
        }
        self
    }
}

impl SipUri {
    /// `sips`?
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The user, escapes resolved.
    pub fn user(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(|u| match u.contains('%') {
            true => lex::text(&lex::unescape(u.as_bytes())).into_owned().into(),
            false => u.into(),
        })
    }

    /// The user before its first `;`: a telephone number without `;npdi;rn=…` (RFC 4694), escapes resolved.
    pub fn user_without_params(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(|u| {
            let u = u.split(';').next().unwrap_or_default();
            lex::text(&lex::unescape(u.as_bytes())).into_owned().into()
        })
    }

    /// The user as it stands in the URI.
    pub fn user_escaped(&self) -> Option<&str> {
        self.user.as_deref()
    }

    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn port(&self) -> Option<u16> {
        self.port
    }

    pub fn set_host(&mut self, host: Host, port: Option<u16>) {
        self.host = host;
        self.port = port;
    }

    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Sets or adds a URI parameter; name and value are escaped as need be.
    pub fn set_param(&mut self, name: &str, value: Option<&str>) {
        let name = lex::escape(name.as_bytes(), is_param_byte);
        match value {
            Some(value) => self.params.set(&name, lex::escape(value.as_bytes(), is_param_byte)),
            None => self.params.set_flag(&name),
        }
    }

    pub fn remove_param(&mut self, name: &str) {
        self.params.remove(name);
    }

    /// What follows `?`, as it came.
    pub fn headers(&self) -> Option<&str> {
        self.headers.as_deref()
    }

    /// Puts these headers after the `?` in place of what is there; names and values are escaped as need be.
    pub fn set_headers<'a>(&mut self, headers: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let plain = |b| lex::is_unreserved(b) || matches!(b, b'[' | b']' | b'/' | b':' | b'+' | b'$');
        let list: Vec<String> = headers
            .into_iter()
            .map(|(n, v)| format!("{}={}", lex::escape(n.as_bytes(), plain), lex::escape(v.as_bytes(), plain)))
            .collect();
        self.headers = Some(list.join("&")).filter(|list| !list.is_empty());
    }

    /// The headers one by one, escapes resolved.
    pub fn header_list(&self) -> Vec<(String, String)> {
        let plain = |part: &str| lex::text(&lex::unescape(part.as_bytes())).into_owned();
        let headers = self.headers.as_deref().unwrap_or_default();
        headers.split('&').filter_map(|h| h.split_once('=')).map(|(n, v)| (plain(n), plain(v))).collect()
    }
}

impl TelUri {
    /// The number with its visual separators (`-.()`).
    pub fn number(&self) -> &str {
        &self.number
    }

    pub fn params(&self) -> &Params {
        &self.params
    }
}

impl OtherUri {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn read(bytes: &[u8]) -> Result<Uri, &'static str> {
    if bytes.len() > MAX_LINE {
        return Err("too long");
    }
    if bytes.iter().any(|&b| b <= b' ' || b == 0x7f || matches!(b, b'<' | b'>' | b'"')) {
        return Err("a character that no URI holds");
    }
    let colon = bytes.iter().position(|&b| b == b':').ok_or("no scheme")?;
    let (scheme, rest) = bytes.split_at(colon);
    let rest = rest.get(1..).unwrap_or_default();
    let starts_well = scheme.first().is_some_and(u8::is_ascii_alphabetic);
    if !starts_well || !scheme.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
        return Err("no scheme");
    }
    if scheme.eq_ignore_ascii_case(b"sip") {
        read_sip(rest, false).map(Uri::Sip)
    } else if scheme.eq_ignore_ascii_case(b"sips") {
        read_sip(rest, true).map(Uri::Sip)
    } else if scheme.eq_ignore_ascii_case(b"tel") {
        read_tel(rest).map(Uri::Tel)
    } else if rest.is_empty() {
        Err("nothing after the scheme")
    } else {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        Ok(Uri::Other(OtherUri(text.to_owned())))
    }
}

/// A part of a URI: whole escapes, only characters that may stand there. Bytes beyond ASCII are escaped.
fn part(bytes: &[u8], plain: impl Fn(u8) -> bool, what: &'static str) -> Result<String, &'static str> {
    if !lex::escapes_are_whole(bytes) || !bytes.iter().all(|&b| b == b'%' || b >= 0x80 || plain(b)) {
        return Err(what);
    }
    if bytes.is_ascii() {
        return Ok(lex::text(bytes).into_owned());
    }
    Ok(lex::escape(bytes, |b| b.is_ascii()))
}

fn read_sip(rest: &[u8], secure: bool) -> Result<SipUri, &'static str> {
    // An '@' stands in no other part unescaped, so the first one ends the user.
    let (user, password, rest) = match rest.iter().position(|&b| b == b'@') {
        None => (None, None, rest),
        Some(at) => {
            let (info, rest) = rest.split_at(at);
            let (user, password) = match info.iter().position(|&b| b == b':') {
                None => (info, None),
                Some(colon) => {
                    let (user, password) = info.split_at(colon);
                    (user, Some(password.get(1..).unwrap_or_default()))
                }
            };
            if user.is_empty() {
                return Err("an empty user");
            }
            // RFC 3261 leaves '#' out of the user; short codes (`*21#`) are dialled with it nevertheless.
            let user = part(user, |b| is_user_byte(b) || b == b'#', "a bad character in the user")?;
            let password =
                password.map(|p| part(p, is_password_byte, "a bad character in the password")).transpose()?;
            (Some(user), password, rest.get(1..).unwrap_or_default())
        }
    };
    let end = rest.iter().position(|&b| matches!(b, b';' | b'?')).unwrap_or(rest.len());
    let (hostport, rest) = rest.split_at(end);
    let (host, port) = read_hostport(hostport)?;
    let (params, headers) = match rest.iter().position(|&b| b == b'?') {
        None => (rest, None),
        Some(at) => {
            let (params, headers) = rest.split_at(at);
            (params, Some(headers.get(1..).unwrap_or_default()))
        }
    };
    let params = read_params(params)?;
    let plain = |b| lex::is_unreserved(b) || matches!(b, b'[' | b']' | b'/' | b'?' | b':' | b'+' | b'$' | b'=' | b'&');
    let headers = headers.map(|h| part(h, plain, "a bad character in the headers")).transpose()?;
    Ok(SipUri { secure, user, password, host, port, params, headers })
}

/// Reads `host[:port]`.
pub(super) fn read_hostport(bytes: &[u8]) -> Result<(Host, Option<u16>), &'static str> {
    let after_bracket = bytes.iter().position(|&b| b == b']').map_or(0, |at| at + 1);
    let (host, port) = match bytes.get(after_bracket..).unwrap_or_default().iter().position(|&b| b == b':') {
        None => (bytes, None),
        Some(at) => {
            let (host, port) = bytes.split_at(after_bracket + at);
            (lex::trim(host), Some(lex::trim(port.get(1..).unwrap_or_default())))
        }
    };
    let host = Host::parse(host).ok_or("not a host name or address")?;
    let port = match port {
        None => None,
        Some(digits) => Some(lex::number(digits).ok_or("not a port number")?),
    };
    Ok((host, port))
}

/// Reads `;name=value;flag`, or nothing.
fn read_params(bytes: &[u8]) -> Result<Params, &'static str> {
    let mut params = Params::new();
    if bytes.is_empty() {
        return Ok(params);
    }
    for one in bytes.get(1..).unwrap_or_default().split(|&b| b == b';') {
        let (name, value) = match one.iter().position(|&b| b == b'=') {
            None => (one, None),
            Some(at) => {
                let (name, value) = one.split_at(at);
                (name, Some(value.get(1..).unwrap_or_default()))
            }
        };
        if name.is_empty() {
            return Err("an empty parameter");
        }
        // Names are looked up, so escapes that mean nothing (`%6C%72` for `lr`) are resolved.
        let name = canonical(&part(name, is_param_byte, "a bad character in a parameter")?);
        // '=' and '@' in values are wrong, but common (`+g.3gpp.icsi-ref=…==`), and mean nothing else there.
        let value = value.map(|v| part(v, |b| is_param_byte(b) || b == b'=', "a bad character in a parameter"));
        params.push_raw(name, value.transpose()?);
    }
    if params.has_duplicates() {
        return Err("a parameter that stands twice");
    }
    Ok(params)
}

fn read_tel(rest: &[u8]) -> Result<TelUri, &'static str> {
    let end = rest.iter().position(|&b| b == b';').unwrap_or(rest.len());
    let (number, params) = rest.split_at(end);
    let digits = number.strip_prefix(b"+").unwrap_or(number);
    let plain = |b: u8| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#' | b'-' | b'.' | b'(' | b')');
    if !digits.iter().any(|b| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#')) || !digits.iter().all(|&b| plain(b)) {
        return Err("not a telephone number");
    }
    Ok(TelUri { number: lex::text(number).into_owned(), params: read_params(params)? })
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let write_params = |params: &Params, f: &mut fmt::Formatter<'_>| -> fmt::Result {
            for (name, value) in params.iter() {
                write!(f, ";{name}")?;
                if let Some(value) = value {
                    write!(f, "={value}")?;
                }
            }
            Ok(())
        };
        match self {
            Uri::Sip(sip) => {
                f.write_str(if sip.secure { "sips:" } else { "sip:" })?;
                if let Some(user) = &sip.user {
                    f.write_str(user)?;
                    if let Some(password) = &sip.password {
                        write!(f, ":{password}")?;
                    }
                    f.write_str("@")?;
                }
                write!(f, "{}", sip.host)?;
                if let Some(port) = sip.port {
                    write!(f, ":{port}")?;
                }
                write_params(&sip.params, f)?;
                match &sip.headers {
                    Some(headers) => write!(f, "?{headers}"),
                    None => Ok(()),
                }
            }
            Uri::Tel(tel) => {
                write!(f, "tel:{}", tel.number)?;
                write_params(&tel.params, f)
            }
            Uri::Other(other) => f.write_str(&other.0),
        }
    }
}

impl PartialEq for Uri {
    fn eq(&self, other: &Uri) -> bool {
        match (self, other) {
            (Uri::Sip(a), Uri::Sip(b)) => a == b,
            (Uri::Tel(a), Uri::Tel(b)) => a == b,
            (Uri::Other(a), Uri::Other(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Uri {}

/// Escapes of characters that need none are resolved, the others brought to capitals (RFC 3261 §19.1.4).
fn canonical(escaped: &str) -> String {
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let code = escape.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(b) if lex::is_unreserved(b) => out.push(char::from(b)),
            Some(b) => out.push_str(&format!("%{b:02X}")),
            None => out.push('%'),
        }
        rest = escape.get(if code.is_some() { 3 } else { 1 }..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

impl PartialEq for SipUri {
    fn eq(&self, other: &SipUri) -> bool {
        let same_text =
            |a: &Option<String>, b: &Option<String>| a.as_deref().map(canonical) == b.as_deref().map(canonical);
        if self.secure != other.secure
            || !same_text(&self.user, &other.user)
            || !same_text(&self.password, &other.password)
            || self.host != other.host
            || self.port != other.port
        {
            return false;
        }
        // These must match even where only one URI has them; any other must match where both have it.
        for name in ["user", "ttl", "method", "maddr", "transport"] {
            if self.params.contains(name) != other.params.contains(name) {
                return false;
            }
        }
        for (name, value) in self.params.iter() {
            if let Some(theirs) = other.params.get(name)
                && !canonical(value.unwrap_or_default()).eq_ignore_ascii_case(&canonical(theirs))
            {
                return false;
            }
        }
        let headers = |uri: &SipUri| {
            let mut list: Vec<_> =
                uri.header_list().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
            list.sort();
            list
        };
        headers(self) == headers(other)
    }
}

impl Eq for SipUri {}

impl PartialEq for TelUri {
    fn eq(&self, other: &TelUri) -> bool {
        let digits = |tel: &TelUri| {
            tel.number.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')).collect::<String>().to_ascii_lowercase()
        };
        let params = |tel: &TelUri| {
            let mut list: Vec<_> =
                tel.params.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.map(str::to_ascii_lowercase))).collect();
            list.sort();
            list
        };
        digits(self) == digits(other) && params(self) == params(other)
    }
}

impl Eq for TelUri {}

impl std::str::FromStr for Uri {
    type Err = BuildError;
    fn from_str(text: &str) -> Result<Uri, BuildError> {
        Uri::parse(text.as_bytes())
    }
}

impl TryFrom<String> for Uri {
    type Error = BuildError;
    fn try_from(text: String) -> Result<Uri, BuildError> {
        text.parse()
    }
}

impl From<Uri> for String {
    fn from(uri: Uri) -> String {
        uri.to_string()
    }
}
