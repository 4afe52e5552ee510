//! Asking for credentials and checking them (RFC 7616 §3.3–3.5, RFC 8760, RFC 3261 §22.2): challenges, nonces that carry
//! their own proof, and the count of their uses. Who must be asked, and what he may do then, is `access`'s.
//!
//! # Nonces
//! A nonce is the time of its making, a salt, and an HMAC over both, the realm and the source's address: nothing is
//! kept for one that nobody answers. It is good for [`NONCE_LIFE`] and from that address only. Once it was answered
//! rightly, its counts (`nc`) are kept, so that no request is heard twice: at most [`MAX_COUNTED`] nonces; when there
//! are more, the oldest is forgotten and everything made before it counts as expired.
//!
//! # Nobody learns who there is
//! An unknown name is checked against a secret that nobody has, by the same steps, and is answered alike.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::client::hex;
use super::secret::Secret;
use crate::random::Random;
use crate::sip::message::AuthParams;
use crate::time::Time;

/// How long a nonce is good for.
pub const NONCE_LIFE: Duration = Duration::from_secs(300);

/// Nonces whose uses are counted.
pub const MAX_COUNTED: usize = 100_000;

/// Credentials that are looked at in one request; further ones are ignored.
const MAX_CREDENTIALS: usize = 8;

/// The longest user name that is looked up, in bytes.
const MAX_USERNAME: usize = 256;

/// Counts behind the highest that may still come: requests overtake one another.
const WINDOW: u32 = 64;

/// Digits of a nonce: time, salt and proof.
const TIME_DIGITS: usize = 16;
const SALT_DIGITS: usize = 16;
const PROOF_DIGITS: usize = 32;

/// What a request's credentials come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are none for our realm.
    Absent,
    /// They are this user name's.
    Proved(String),
    /// They would be right, but their nonce is too old, another's, or used up: challenge with `stale=true`.
    Stale,
    /// They are not right.
    Wrong {
        /// Whose they claim to be.
        username: String,
        /// Whether there is such a user; for us, never for the sender.
        known: bool,
        /// Whether their nonce was sent to that very address, be it old or used by now.
        proven: bool,
    },
    /// They cannot be read: 400.
    Malformed(&'static str),
}

/// The request that credentials are for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Our realm.
    pub realm: &'a str,
    /// The method's name.
    pub method: &'a str,
    /// Where it came from.
    pub source: IpAddr,
    /// When.
    pub now: Time,
}

/// Makes challenges and checks what they are answered with.
pub struct Challenger {
    key: [u8; 32],
    salt: u64,
    /// By time of making and salt. Bound: [`MAX_COUNTED`].
    counted: BTreeMap<(u64, u64), Counts>,
    /// Nonces made up to here have been forgotten.
    floor: u64,
    bound: usize,
}

/// Which counts of a nonce have been seen.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    highest: u32,
    /// Bit n: `highest - n` was seen.
    seen: u64,
}

impl Counts {
    /// Notes a count; false: it was seen, or may have been.
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        if behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

/// An algorithm that we ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// MD5, which everybody knows.
    Md5,
}

impl Algorithm {
    /// All, the stronger first (RFC 8760 §2.4).
    pub const ALL: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Md5];

    /// As in a challenge.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Algorithm::Sha256 => hex(&Sha256::digest(text.as_bytes())),
            Algorithm::Md5 => hex(&Md5::digest(text.as_bytes())),
        }
    }

    fn of(self, secret: &Secret) -> Option<&str> {
        match self {
            Algorithm::Sha256 => secret.sha256.as_deref(),
            Algorithm::Md5 => secret.md5.as_deref(),
        }
    }
}

/// One set of credentials, as far as we need them.
struct Credentials<'a> {
    username: &'a str,
    nonce: &'a str,
    uri: &'a str,
    response: &'a str,
    algorithm: Algorithm,
    /// `nc`, as number and as written, and `cnonce`; none: the old form without qop (RFC 2069).
    counted: Option<(u32, &'a str, &'a str)>,
}

impl Challenger {
    /// With a key of its own.
    pub fn new(random: &mut Random) -> Self {
        let mut key = [0; 32];
        for chunk in key.chunks_exact_mut(8) {
            chunk.copy_from_slice(&random.u64().to_be_bytes());
        }
        Challenger { key, salt: random.u64(), counted: BTreeMap::new(), floor: 0, bound: MAX_COUNTED }
    }

    /// The values of WWW-Authenticate (or Proxy-Authenticate), one header for each of these algorithms, in this order.
    pub fn challenges(
        &mut self,
        realm: &str,
        algorithms: &[Algorithm],
        source: IpAddr,
        stale: bool,
        now: Time,
    ) -> Vec<AuthParams> {
        // Odd steps visit every number before one comes again.
        self.salt = self.salt.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let nonce = self.nonce(realm, source, now.as_micros(), self.salt);
        algorithms
            .iter()
            .map(|algorithm| {
                let mut challenge = AuthParams::new("Digest");
                challenge.push_quoted("realm", realm);
                challenge.push_quoted("nonce", &nonce);
                challenge.push_token("algorithm", algorithm.name());
                challenge.push_quoted("qop", "auth");
                if stale {
                    challenge.push_token("stale", "true");
                }
                challenge
            })
            .collect()
    }

    /// Checks credentials. `is_meant` says whether their `uri` is what the request asks for (RFC 7616 §3.4.6);
    /// `secret_of` knows a user name's secret.
    pub fn check<'s>(
        &mut self,
        presented: &[AuthParams],
        asked: &Asked<'_>,
        is_meant: impl Fn(&str) -> bool,
        secret_of: impl Fn(&str) -> Option<&'s Secret>,
    ) -> Verdict {
        let mut last = Verdict::Absent;
        let ours = presented.iter().filter(|c| c.is("Digest") && c.get("realm") == Some(asked.realm));
        for credentials in ours.take(MAX_CREDENTIALS) {
            last = match read(credentials) {
                Ok(credentials) => self.check_one(&credentials, asked, &is_meant, &secret_of),
                Err(what) => Verdict::Malformed(what),
            };
            if matches!(last, Verdict::Proved(_)) {
                break;
            }
        }
        last
    }

    fn check_one<'s>(
        &mut self,
        credentials: &Credentials<'_>,
        asked: &Asked<'_>,
        is_meant: impl Fn(&str) -> bool,
        secret_of: impl Fn(&str) -> Option<&'s Secret>,
    ) -> Verdict {
        let found = secret_of(credentials.username).and_then(|secret| credentials.algorithm.of(secret));
        // What nobody has: the same work is done with it.
        let nobodys = hex(&self.proof(&[b"nobody", credentials.username.as_bytes()]));
        let ha1 = found.unwrap_or(&nobodys);
        let algorithm = credentials.algorithm;
        let ha2 = algorithm.hash(&format!("{}:{}", asked.method, credentials.uri));
        let nonce = credentials.nonce;
        let expected = algorithm.hash(&match credentials.counted {
            Some((_, nc, cnonce)) => format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"),
            None => format!("{ha1}:{nonce}:{ha2}"),
        });
        let right = same(expected.as_bytes(), credentials.response.to_ascii_lowercase().as_bytes());
        if !right || found.is_none() {
            let proven = self.made(nonce, asked).is_some();
            return Verdict::Wrong { username: credentials.username.to_owned(), known: found.is_some(), proven };
        }
        if !is_meant(credentials.uri) {
            return Verdict::Malformed("its uri is not the Request-URI");
        }
        // Without qop nothing is counted: such a nonce is good for one request.
        let count = credentials.counted.map_or(1, |(count, ..)| count);
        if self.spend(nonce, count, asked) { Verdict::Proved(credentials.username.to_owned()) } else { Verdict::Stale }
    }

    /// When and with which salt the nonce was made; none: it is not ours, or not for this source.
    fn made(&self, nonce: &str, asked: &Asked<'_>) -> Option<(u64, u64)> {
        let number = |from: usize, digits: usize| {
            let text = nonce.get(from..from + digits)?;
            // `from_str_radix` would take a sign.
            let plain = text.bytes().all(|b| b.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let (made, salt) = (number(0, TIME_DIGITS)?, number(TIME_DIGITS, SALT_DIGITS)?);
        let ours = self.nonce(asked.realm, asked.source, made, salt);
        same(ours.as_bytes(), nonce.as_bytes()).then_some((made, salt))
    }

    /// Is the nonce ours, for this source and still good, and its count new?
    fn spend(&mut self, nonce: &str, count: u32, asked: &Asked<'_>) -> bool {
        let Some((made, salt)) = self.made(nonce, asked) else { return false };
        let made_at = Time::from_micros(made);
        if made <= self.floor || asked.now < made_at || asked.now.since(made_at) > NONCE_LIFE {
            return false;
        }
        let good = self.counted.entry((made, salt)).or_default().take(count);
        let oldest = (asked.now - NONCE_LIFE).as_micros();
        while let Some((&(first, salt), _)) = self.counted.first_key_value() {
            let too_many = self.counted.len() > self.bound;
            if first >= oldest && !too_many {
                break;
            }
            if too_many {
                self.floor = self.floor.max(first);
            }
            self.counted.remove(&(first, salt));
        }
        good
    }

    fn nonce(&self, realm: &str, source: IpAddr, made: u64, salt: u64) -> String {
        let source = source.to_canonical().to_string();
        let proof = self.proof(&[&made.to_be_bytes(), &salt.to_be_bytes(), realm.as_bytes(), b"\0", source.as_bytes()]);
        let proof = hex(&proof);
        format!("{made:016x}{salt:016x}{}", proof.get(..PROOF_DIGITS).unwrap_or(&proof))
    }

    fn proof(&self, parts: &[&[u8]]) -> Vec<u8> {
        // An HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return Vec::new() };
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    }
}

#[cfg(test)]
impl Challenger {
    pub fn is_unused(&self) -> bool {
        self.counted.is_empty()
    }

    pub fn set_bound_for_test(&mut self, bound: usize) {
        self.bound = bound;
    }
}

fn read(credentials: &AuthParams) -> Result<Credentials<'_>, &'static str> {
    let needed = ["username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce"];
    let twice = |name: &&str| credentials.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count() > 1;
    if needed.iter().any(twice) {
        return Err("a parameter stands twice");
    }
    let get = |name| credentials.get(name);
    let algorithm = match get("algorithm") {
        None => Algorithm::Md5,
        Some(name) => Algorithm::ALL
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name))
            .ok_or("its algorithm was not asked for")?,
    };
    let counted = match get("qop") {
        None => None,
        Some(qop) if qop.eq_ignore_ascii_case("auth") => {
            let nc = get("nc").ok_or("nc is missing")?;
            let plain = nc.len() == 8 && nc.bytes().all(|b| b.is_ascii_hexdigit());
            let count = u32::from_str_radix(nc, 16).ok().filter(|count| plain && *count > 0);
            let cnonce = get("cnonce").ok_or("cnonce is missing")?;
            Some((count.ok_or("nc is not eight hexadecimal digits above 0")?, nc, cnonce))
        }
        Some(_) => return Err("its qop was not asked for"),
    };
    let username = get("username").ok_or("username is missing")?;
    if username.len() > MAX_USERNAME {
        return Err("username is too long");
    }
    Ok(Credentials {
        username,
        nonce: get("nonce").ok_or("nonce is missing")?,
        uri: get("uri").ok_or("uri is missing")?,
        response: get("response").ok_or("response is missing")?,
        algorithm,
        counted,
    })
}

/// Equality in a time that does not depend on where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
