//! Answering 401 and 407 with digest credentials (RFC 3261 §22, RFC 7616, RFC 2617, RFC 8760): which challenge,
//! which algorithm, which count. It writes header values only; sending the request again is `agent`'s.
//!
//! # Bounds
//! A realm's first challenge is answered; its second only when it says `stale=true`; a third never. One request is
//! sent again at most [`MAX_ROUNDS`] times, whatever realms are named. At most [`MAX_CHALLENGES`] are read.

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::random::Random;
use crate::sip::leg::Credentials;

/// How often one request is sent again because of challenges.
pub const MAX_ROUNDS: u8 = 4;

/// Challenges read from one response, and kept for later requests; further ones are ignored.
pub const MAX_CHALLENGES: usize = 8;

/// Why a challenge is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No challenge that we know how to answer.
    #[error("no digest challenge with an algorithm and qop of ours")]
    Unsupported,
    /// The peer has seen our credentials and does not want them.
    #[error("the credentials were refused for realm {0:?}")]
    Refused(String),
    /// [`MAX_ROUNDS`] is reached.
    #[error("challenged too often")]
    TooOften,
}

/// The hash and how the secret is made, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Algorithm {
    Md5,
    Md5Sess,
    Sha256,
    Sha256Sess,
}

impl Algorithm {
    fn from_name(name: &str) -> Option<Self> {
        [Algorithm::Md5, Algorithm::Md5Sess, Algorithm::Sha256, Algorithm::Sha256Sess]
            .into_iter()
            .find(|a| a.name().eq_ignore_ascii_case(name))
    }

    fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Md5Sess => "MD5-sess",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha256Sess => "SHA-256-sess",
        }
    }

    fn is_session(self) -> bool {
        matches!(self, Algorithm::Md5Sess | Algorithm::Sha256Sess)
    }

    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Algorithm::Md5 | Algorithm::Md5Sess => hex(&Md5::digest(text.as_bytes())),
            Algorithm::Sha256 | Algorithm::Sha256Sess => hex(&Sha256::digest(text.as_bytes())),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// One digest challenge. Quoted values are kept as they stand between the quotes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// From `Proxy-Authenticate` (407)?
    proxy: bool,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Was the algorithm written, or left to the default?
    algorithm_named: bool,
    /// Is `qop=auth` offered? Without any qop the old form of RFC 2069 is used.
    qop: bool,
    stale: bool,
}

/// The digest challenges in the values of `WWW-Authenticate` (`proxy` false) or `Proxy-Authenticate` (true). What is
/// no digest, or asks for what we do not speak, is left out.
pub fn challenges<'a>(values: impl Iterator<Item = &'a [u8]>, proxy: bool) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in values {
        let text = String::from_utf8_lossy(value);
        let mut current: Option<Vec<(String, String)>> = None;
        for part in split_commas(&text) {
            let (scheme, parameter) = scheme_and_parameter(part);
            if let Some(scheme) = scheme {
                found.extend(current.take().and_then(|parameters| Challenge::read(&parameters, proxy)));
                current = scheme.eq_ignore_ascii_case("Digest").then(Vec::new);
            }
            if let (Some(parameters), Some((name, value))) = (&mut current, parameter.split_once('=')) {
                parameters.push((name.trim().to_ascii_lowercase(), unquoted(value.trim()).to_owned()));
            }
        }
        found.extend(current.and_then(|parameters| Challenge::read(&parameters, proxy)));
        if found.len() >= MAX_CHALLENGES {
            found.truncate(MAX_CHALLENGES);
            break;
        }
    }
    found
}

impl Challenge {
    fn read(parameters: &[(String, String)], proxy: bool) -> Option<Self> {
        let get = |name: &str| parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let algorithm = get("algorithm");
        let qop = match get("qop") {
            None => false,
            Some(list) if list.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
        };
        Some(Challenge {
            proxy,
            realm: get("realm")?.to_owned(),
            nonce: get("nonce")?.to_owned(),
            opaque: get("opaque").map(str::to_owned),
            algorithm: Algorithm::from_name(algorithm.unwrap_or("MD5"))?,
            algorithm_named: algorithm.is_some(),
            qop,
            stale: get("stale").is_some_and(|s| s.eq_ignore_ascii_case("true")),
        })
    }

    fn same_realm(&self, other: &Challenge) -> bool {
        self.proxy == other.proxy && self.realm == other.realm
    }
}

/// Parts between commas that are not within quotes.
fn split_commas(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped, mut start) = (false, false, 0);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// `Digest realm="x"` is a scheme and a parameter; `nonce="y"` is a parameter alone.
fn scheme_and_parameter(part: &str) -> (Option<&str>, &str) {
    let part = part.trim();
    match part.split_once([' ', '\t']) {
        Some((first, rest)) if !first.contains(['=', '"']) && !rest.trim_start().starts_with('=') => {
            (Some(first), rest.trim())
        }
        _ => (None, part),
    }
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').map_or(value, |v| v.strip_suffix('"').unwrap_or(v))
}

/// The challenges that we have answered, with their counts: kept as long as the leg, so that later requests bring
/// credentials at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authenticator {
    answered: Vec<Answered>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Answered {
    challenge: Challenge,
    count: u32,
    /// One for each nonce: the `-sess` algorithms bind the secret to it.
    cnonce: String,
}

/// What one request has been through; it starts anew with each request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounds {
    rounds: u8,
    /// Realms challenged for this request, and how often.
    realms: Vec<(bool, String, u8)>,
}

/// A header to put into a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// `Proxy-Authorization` (true) or `Authorization`.
    pub proxy: bool,
    /// Its value.
    pub value: String,
}

impl Authenticator {
    /// Takes in the challenges of a response to a request that has been through `rounds`. When it returns `Ok`, send
    /// the request again with [`Authenticator::authorizations`].
    pub fn challenged(
        &mut self,
        challenges: Vec<Challenge>,
        rounds: &mut Rounds,
        random: &mut Random,
    ) -> Result<(), DigestError> {
        if rounds.rounds >= MAX_ROUNDS {
            return Err(DigestError::TooOften);
        }
        rounds.rounds += 1;
        // Of each realm the strongest (RFC 8760 §2.4: the topmost known is meant; we do not let a peer pick the weaker).
        let mut chosen: Vec<Challenge> = Vec::new();
        for challenge in challenges.into_iter().take(MAX_CHALLENGES) {
            match chosen.iter_mut().find(|c| c.same_realm(&challenge)) {
                Some(known) if known.algorithm < challenge.algorithm => *known = challenge,
                Some(_) => {}
                None => chosen.push(challenge),
            }
        }
        if chosen.is_empty() {
            return Err(DigestError::Unsupported);
        }
        for challenge in chosen {
            let times = match rounds.realms.iter_mut().find(|(p, r, _)| *p == challenge.proxy && *r == challenge.realm)
            {
                Some((_, _, times)) => times,
                None => {
                    rounds.realms.push((challenge.proxy, challenge.realm.clone(), 0));
                    &mut rounds.realms.last_mut().ok_or(DigestError::TooOften)?.2
                }
            };
            if *times > 0 && (!challenge.stale || *times > 1) {
                return Err(DigestError::Refused(challenge.realm));
            }
            *times += 1;
            self.answered.retain(|a| !a.challenge.same_realm(&challenge));
            if self.answered.len() >= MAX_CHALLENGES {
                self.answered.remove(0);
            }
            self.answered.push(Answered { challenge, count: 0, cnonce: random.token(16) });
        }
        Ok(())
    }

    /// The headers that a request with this method and Request-URI is to carry; empty when nobody has asked yet.
    /// Counts each nonce on by one.
    pub fn authorizations(&mut self, credentials: &Credentials, method: &str, uri: &str) -> Vec<Authorization> {
        self.answered
            .iter_mut()
            .map(|answered| {
                answered.count = answered.count.saturating_add(1);
                Authorization {
                    proxy: answered.challenge.proxy,
                    value: answered.header_value(credentials, method, uri),
                }
            })
            .collect()
    }
}

impl Answered {
    fn header_value(&self, credentials: &Credentials, method: &str, uri: &str) -> String {
        use std::fmt::Write as _;
        let c = &self.challenge;
        let user = escaped(&credentials.user);
        let count = format!("{:08x}", self.count);
        let mut secret = c.algorithm.hash(&[&user, &c.realm, &credentials.password]);
        if c.algorithm.is_session() {
            secret = c.algorithm.hash(&[&secret, &c.nonce, &self.cnonce]);
        }
        let request = c.algorithm.hash(&[method, uri]);
        let response = if c.qop {
            c.algorithm.hash(&[&secret, &c.nonce, &count, &self.cnonce, "auth", &request])
        } else {
            c.algorithm.hash(&[&secret, &c.nonce, &request])
        };
        let mut value = format!(
            "Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\"",
            c.realm, c.nonce
        );
        if c.algorithm_named {
            let _ = write!(value, ", algorithm={}", c.algorithm.name());
        }
        if c.qop {
            let _ = write!(value, ", qop=auth, nc={count}");
        }
        if c.qop || c.algorithm.is_session() {
            let _ = write!(value, ", cnonce=\"{}\"", self.cnonce);
        }
        if let Some(opaque) = &c.opaque {
            let _ = write!(value, ", opaque=\"{opaque}\"");
        }
        value
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mufasa(password: &str) -> Credentials {
        Credentials { user: "Mufasa".into(), password: password.into() }
    }

    fn read(value: &str) -> Vec<Challenge> {
        challenges(std::iter::once(value.as_bytes()), false)
    }

    fn answer(challenge: &str, cnonce: &str, password: &str) -> String {
        let challenge = read(challenge).remove(0);
        Answered { challenge, count: 1, cnonce: cnonce.into() }.header_value(
            &mufasa(password),
            "GET",
            "/dir/index.html",
        )
    }

    #[test]
    fn the_examples_of_the_rfcs_come_out() {
        let value = answer(
            r#"Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#,
            "0a4f113b",
            "Circle Of Life",
        );
        assert!(value.contains(r#"response="6629fae49393a05397450978507c4ef1""#), "RFC 2617 §3.5: {value}");
        assert!(value.contains(r#"opaque="5ccc069c403ebaf9f0171e9517f40e41""#));
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let value = answer(
                &format!(
                    r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="{nonce}""#
                ),
                cnonce,
                "Circle of Life",
            );
            assert!(value.contains(&format!(r#"response="{response}""#)), "RFC 7616 §3.9.1 {algorithm}: {value}");
            assert!(value.contains(&format!("algorithm={algorithm}, qop=auth, nc=00000001")));
        }
    }

    #[test]
    fn the_old_form_without_qop_has_no_count() {
        let value = answer(r#"Digest realm="a", nonce="b""#, "c", "pw");
        let ha1 = hex(&Md5::digest(b"Mufasa:a:pw"));
        let ha2 = hex(&Md5::digest(b"GET:/dir/index.html"));
        let response = hex(&Md5::digest(format!("{ha1}:b:{ha2}").as_bytes()));
        assert_eq!(
            value,
            format!(r#"Digest username="Mufasa", realm="a", nonce="b", uri="/dir/index.html", response="{response}""#)
        );
    }

    #[test]
    fn session_algorithms_bind_the_secret_to_nonce_and_cnonce() {
        let value = answer(r#"Digest realm="a", nonce="b", algorithm=MD5-sess, qop="auth""#, "c", "pw");
        let ha1 = hex(&Md5::digest(b"Mufasa:a:pw"));
        let ha1 = hex(&Md5::digest(format!("{ha1}:b:c").as_bytes()));
        let ha2 = hex(&Md5::digest(b"GET:/dir/index.html"));
        let response = hex(&Md5::digest(format!("{ha1}:b:00000001:c:auth:{ha2}").as_bytes()));
        assert!(value.contains(&response) && value.contains(r#"cnonce="c""#), "{value}");
    }

    #[test]
    fn challenges_are_found_among_others() {
        let found = read(
            r#"Basic realm="x, y", Digest realm="one, \"two\"", nonce="n1", algorithm="MD5", Digest realm="b",nonce=n2 , algorithm=SHA-256,qop=auth, NTLM, Digest realm="c", nonce="n", algorithm=SHA-512-256, Digest realm="d", nonce="e", qop="auth-int""#,
        );
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].realm.as_str(), found[0].algorithm), (r#"one, \"two\""#, Algorithm::Md5));
        assert_eq!((found[1].nonce.as_str(), found[1].algorithm, found[1].qop), ("n2", Algorithm::Sha256, true));
        assert!(read("Digest").is_empty() && read("").is_empty() && read("Digest realm=\"a").is_empty());
    }

    #[test]
    fn the_strongest_of_a_realm_is_answered_and_every_realm_once() {
        let mut random = Random::from_number(1);
        let (mut auth, mut rounds) = (Authenticator::default(), Rounds::default());
        let mut all = read(
            r#"Digest realm="a", nonce="1", algorithm=MD5, Digest realm="a", nonce="2", algorithm=SHA-256, Digest realm="b", nonce="3""#,
        );
        all.extend(challenges(std::iter::once(&br#"Digest realm="a", nonce="4""#[..]), true));
        auth.challenged(all, &mut rounds, &mut random).unwrap();
        let headers = auth.authorizations(&mufasa("x"), "INVITE", "sip:a");
        assert_eq!(headers.len(), 3);
        assert!(headers[0].value.contains(r#"nonce="2""#) && headers[0].value.contains("algorithm=SHA-256"));
        assert!(headers[1].value.contains(r#"realm="b""#) && !headers[1].proxy && headers[2].proxy);
    }

    #[test]
    fn counts_go_up_and_stale_is_answered_once() {
        let mut random = Random::from_number(1);
        let (mut auth, mut rounds) = (Authenticator::default(), Rounds::default());
        let first = r#"Digest realm="a", nonce="1", qop="auth""#;
        let stale = r#"Digest realm="a", nonce="2", qop="auth", stale=TRUE"#;
        auth.challenged(read(first), &mut rounds, &mut random).unwrap();
        let mut value = || auth.authorizations(&mufasa("x"), "INVITE", "sip:a").remove(0).value;
        assert!(value().contains("nc=00000001") && value().contains("nc=00000002"));
        assert_eq!(
            auth.clone().challenged(read(first), &mut rounds.clone(), &mut random),
            Err(DigestError::Refused("a".into()))
        );
        auth.challenged(read(stale), &mut rounds, &mut random).unwrap();
        assert!(auth.authorizations(&mufasa("x"), "INVITE", "sip:a").remove(0).value.contains("nc=00000001"));
        assert_eq!(auth.challenged(read(stale), &mut rounds, &mut random), Err(DigestError::Refused("a".into())));
        // The next request may be challenged anew: nonces grow old.
        auth.challenged(read(first), &mut Rounds::default(), &mut random).unwrap();
    }

    #[test]
    fn ever_new_realms_come_to_an_end() {
        let mut random = Random::from_number(1);
        let (mut auth, mut rounds) = (Authenticator::default(), Rounds::default());
        for n in 0..MAX_ROUNDS {
            auth.challenged(read(&format!(r#"Digest realm="{n}", nonce="1""#)), &mut rounds, &mut random).unwrap();
        }
        assert_eq!(
            auth.challenged(read(r#"Digest realm="z", nonce="1""#), &mut rounds, &mut random),
            Err(DigestError::TooOften)
        );
        assert_eq!(auth.challenged(Vec::new(), &mut Rounds::default(), &mut random), Err(DigestError::Unsupported));
    }

    #[test]
    fn garbage_is_no_challenge() {
        let mut random = Random::from_number(3);
        let seed =
            br#"Digest realm="one, \"two\"", nonce="n1", algorithm=SHA-256, qop="auth,auth-int", Basic realm="x""#;
        for _ in 0..20_000 {
            let mut bytes = seed.to_vec();
            for _ in 0..=random.below(10) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] =
                    if random.below(2) == 0 { random.below(256) as u8 } else { b"\"\\,= \t"[random.below(6) as usize] };
            }
            let found = challenges(std::iter::once(&bytes[..]), false);
            let mut auth = Authenticator::default();
            if auth.challenged(found, &mut Rounds::default(), &mut random).is_ok() {
                auth.authorizations(&mufasa("x"), "INVITE", "sip:a");
            }
        }
    }
}
