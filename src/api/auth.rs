//! Who is asking: ACS's HMAC-SHA256 request signature by either of two access keys, and the same keys as a bearer
//! token for `/v1`. Takes the time as a value; what a refusal looks like on the wire is `problem`'s.

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::problem::{Problem, code};
use crate::time::Time;

/// How far `x-ms-date` may be from our clock, either way.
pub const DATE_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The two access keys, either of which opens the door, so that one can be changed while the other is in use.
#[derive(Clone)]
pub struct AccessKeys([AccessKey; 2]);

#[derive(Clone)]
struct AccessKey {
    /// What signs.
    secret: Vec<u8>,
    /// SHA-256 of the key as text: what a bearer token is compared by.
    digest: [u8; 32],
}

/// A key that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an access key is base64 of at least 16 bytes")]
pub struct BadAccessKey;

impl AccessKeys {
    /// From the keys as they stand in a connection string: base64 of at least 16 bytes each.
    pub fn new(primary: &str, secondary: &str) -> Result<Self, BadAccessKey> {
        let key = |text: &str| {
            let secret = BASE64.decode(text.trim()).map_err(|_| BadAccessKey)?;
            let digest = Sha256::digest(text.trim()).into();
            if secret.len() < 16 { Err(BadAccessKey) } else { Ok(AccessKey { secret, digest }) }
        };
        Ok(AccessKeys([key(primary)?, key(secondary)?]))
    }

    /// `Authorization: Bearer <access key>`.
    pub fn check_bearer(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let token = authorization(headers)?
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or(Denied::NoBearer)?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        // Digests, not the keys, are compared, and both of them: the time it takes tells nothing.
        if self.0.iter().fold(false, |found, key| found | same(&key.digest, &digest)) {
            Ok(())
        } else {
            Err(Denied::WrongKey)
        }
    }

    /// ACS's signature over method, target, date, host and body.
    pub fn check_signature(&self, request: &Signed<'_>, now: Time) -> Result<(), Denied> {
        let authorization = authorization(request.headers)?;
        let (scheme, rest) = authorization.split_once(' ').ok_or(Denied::NoSignature)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::TokensComeLater);
        }
        if !scheme.eq_ignore_ascii_case("HMAC-SHA256") {
            return Err(Denied::NoSignature);
        }
        let field = |name: &str| {
            rest.split('&').find_map(|part| {
                part.trim().split_once('=').filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            })
        };
        if !field("SignedHeaders").is_some_and(|names| names.eq_ignore_ascii_case(SIGNED_HEADERS)) {
            return Err(Denied::SignedHeaders);
        }
        let signature = field("Signature").and_then(|text| BASE64.decode(text).ok()).ok_or(Denied::NoSignature)?;

        let date = text(request.headers, "x-ms-date").ok_or(Denied::NoDate)?;
        let signed_at = parse_date(date).ok_or(Denied::NoDate)?;
        if now.since(signed_at).max(signed_at.since(now)) > DATE_TOLERANCE {
            return Err(Denied::OldDate);
        }
        let hash = text(request.headers, "x-ms-content-sha256").ok_or(Denied::BodyHash)?;
        if !BASE64.decode(hash).is_ok_and(|hash| same(&hash, &Sha256::digest(request.body))) {
            return Err(Denied::BodyHash);
        }
        let fits = |host: &str| {
            let message = format!("{}\n{}\n{date};{host};{hash}", request.method, request.target);
            self.0.iter().fold(false, |found, key| found | key.signed(message.as_bytes(), &signature))
        };
        if hosts(request.headers).iter().any(|host| fits(host)) { Ok(()) } else { Err(Denied::WrongSignature) }
    }
}

impl AccessKey {
    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        // HMAC takes keys of any length, and compares in constant time.
        Hmac::<Sha256>::new_from_slice(&self.secret)
            .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
    }
}

/// Never shows the keys.
impl std::fmt::Debug for AccessKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessKeys(…)")
    }
}

const SIGNED_HEADERS: &str = "x-ms-date;host;x-ms-content-sha256";

/// What a signature is about.
pub struct Signed<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// Path and query exactly as sent.
    pub target: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The whole body; empty is a body too.
    pub body: &'a [u8],
}

/// Why somebody is not let in. The words go to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nothing was said.
    #[error("the Authorization header is missing")]
    Missing,
    /// `/v1` wants a bearer token.
    #[error("this path wants `Authorization: Bearer <access key>`")]
    NoBearer,
    /// The token is neither of the two keys.
    #[error("the bearer token is not an access key of this resource")]
    WrongKey,
    /// ACS operations want a signature.
    #[error("the Authorization header is not `HMAC-SHA256 SignedHeaders=…&Signature=<base64>`")]
    NoSignature,
    /// Entra ID.
    #[error("this operation wants a request signed with an access key; tokens of an identity provider come later")]
    TokensComeLater,
    /// Something else was signed.
    #[error("SignedHeaders must be `{SIGNED_HEADERS}`")]
    SignedHeaders,
    /// No date, or not one.
    #[error("the x-ms-date header is missing, or not an RFC 1123 date")]
    NoDate,
    /// Too far off.
    #[error("the x-ms-date header is more than 5 minutes from the server's clock")]
    OldDate,
    /// The body is another one.
    #[error("the x-ms-content-sha256 header is missing, or not the SHA-256 of the body")]
    BodyHash,
    /// Neither key makes this signature.
    #[error("The HMAC signature is not valid: another access key, or another method, target, host, date or body")]
    WrongSignature,
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Problem {
        let (code, challenge) = match denied {
            Denied::NoBearer | Denied::WrongKey => ("Unauthorized", "Bearer"),
            Denied::Missing => ("Unauthorized", "HMAC-SHA256, Bearer"),
            _ => (code::SIGNATURE, "HMAC-SHA256"),
        };
        Problem::new(StatusCode::UNAUTHORIZED, code, denied.to_string()).header(header::WWW_AUTHENTICATE, challenge)
    }
}

fn authorization(headers: &HeaderMap) -> Result<&str, Denied> {
    text(headers, "authorization").ok_or(Denied::Missing)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What may have been signed as the host, in the order of likelihood.
fn hosts(headers: &HeaderMap) -> Vec<String> {
    let mut hosts = Vec::new();
    let host = text(headers, "host");
    hosts.extend(host.map(str::to_owned));
    if let Some(other) = text(headers, "x-ms-host") {
        hosts.push(other.to_owned());
        if let Some((_, port)) = host.and_then(|host| host.rsplit_once(':')) {
            hosts.push(format!("{other}:{port}"));
        }
    }
    hosts
}

/// RFC 1123, as HTTP writes dates.
fn parse_date(text: &str) -> Option<Time> {
    let stamp = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    u64::try_from(stamp.as_microsecond()).ok().map(Time::from_micros)
}

/// Whether two texts are the same, in a time that depends on their lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// The `Authorization` header that an SDK would send: for tests, and for our own clients.
pub fn sign(access_key: &str, request: &Signed<'_>) -> Result<String, BadAccessKey> {
    let secret = BASE64.decode(access_key).map_err(|_| BadAccessKey)?;
    let part = |name: &str| text(request.headers, name).unwrap_or_default();
    let (date, host, hash) = (part("x-ms-date"), part("host"), part("x-ms-content-sha256"));
    let message = format!("{}\n{}\n{date};{host};{hash}", request.method, request.target);
    let mac = Hmac::<Sha256>::new_from_slice(&secret).map_err(|_| BadAccessKey)?;
    let signature = BASE64.encode(mac.chain_update(message).finalize().into_bytes());
    Ok(format!("HMAC-SHA256 SignedHeaders={SIGNED_HEADERS}&Signature={signature}"))
}
