//! Challenges and credentials: the RFCs' examples, counts, replays, expiry, strangers' nonces, and no difference
//! between a wrong password and no such user.

use std::time::Duration;

use super::*;
use crate::random::Random;
use crate::sip::leg::Credentials;
use crate::sip::message::{AuthParams, Headers, Name};
use crate::time::Time;

const REALM: &str = "strowger";

fn start() -> Time {
    Time::EPOCH + Duration::from_secs(1_000_000)
}

fn source() -> std::net::IpAddr {
    "198.51.100.7".parse().unwrap()
}

fn asked(now: Time) -> Asked<'static> {
    Asked { realm: REALM, method: "REGISTER", source: source(), now }
}

fn parsed(value: &str) -> Vec<AuthParams> {
    let mut headers = Headers::new();
    headers.push(Name::Authorization, value).unwrap();
    headers.authorization().unwrap()
}

/// A client of ours, answering our challenges.
struct Phone {
    password: &'static str,
    user: &'static str,
    authenticator: Authenticator,
    random: Random,
}

impl Phone {
    fn new(user: &'static str, password: &'static str) -> Self {
        Phone { user, password, authenticator: Authenticator::default(), random: Random::from_number(7) }
    }

    /// Takes in the challenges, of which only those with `algorithm` are understood.
    fn hear(&mut self, challenges: &[AuthParams], algorithm: &str) {
        let texts: Vec<String> = challenges
            .iter()
            .filter(|c| algorithm.is_empty() || c.get("algorithm") == Some(algorithm))
            .map(ToString::to_string)
            .collect();
        let read = super::challenges(texts.iter().map(String::as_bytes), false);
        self.authenticator.challenged(read, &mut Rounds::default(), &mut self.random).unwrap();
    }

    fn credentials(&mut self) -> Vec<AuthParams> {
        let credentials = Credentials { user: self.user.into(), password: self.password.into() };
        parsed(&self.authenticator.authorizations(&credentials, "REGISTER", "sip:pbx.example").remove(0).value)
    }
}

fn check(challenger: &mut Challenger, credentials: &[AuthParams], asked: &Asked<'_>) -> Verdict {
    let alice = Secret::of_password("alice", REALM, "wonder");
    let alice = &alice;
    challenger.check(credentials, asked, |uri| uri == "sip:pbx.example", |name| (name == "alice").then_some(alice))
}

fn challenger() -> Challenger {
    Challenger::new(&mut Random::from_number(1))
}

#[test]
fn the_examples_of_the_rfcs_are_secrets_of_ours() {
    // RFC 7616 §3.9.1: the same HA1s must come to the same responses.
    let secret = Secret::of_password("Mufasa", "http-auth@example.org", "Circle of Life");
    assert_eq!(secret.md5.as_deref(), Some("3d78807defe7de2157e2b0b6573a855f"));
    assert_eq!(secret.sha256.as_deref(), Some("7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232"));
    assert_eq!(format!("{secret:?}"), "Secret { .. }", "never shown");
}

#[test]
fn both_algorithms_are_asked_for_the_stronger_first_and_both_are_taken() {
    let mut challenger = challenger();
    let challenges = challenger.challenges(REALM, &Algorithm::ALL, source(), false, start());
    let names: Vec<_> = challenges.iter().map(|c| c.get("algorithm").unwrap()).collect();
    assert_eq!(names, ["SHA-256", "MD5"]);
    for challenge in &challenges {
        assert_eq!(
            (challenge.get("realm"), challenge.get("qop"), challenge.get("stale")),
            (Some(REALM), Some("auth"), None)
        );
    }
    for algorithm in ["SHA-256", "MD5", ""] {
        let mut phone = Phone::new("alice", "wonder");
        phone.hear(&challenger.challenges(REALM, &Algorithm::ALL, source(), false, start()), algorithm);
        let verdict = check(&mut challenger, &phone.credentials(), &asked(start()));
        assert_eq!(verdict, Verdict::Proved("alice".into()), "{algorithm}");
    }
}

#[test]
fn a_nonce_serves_many_requests_but_none_twice() {
    let mut challenger = challenger();
    let mut phone = Phone::new("alice", "wonder");
    phone.hear(&challenger.challenges(REALM, &Algorithm::ALL, source(), false, start()), "");
    let requests: Vec<_> = (0..100).map(|_| phone.credentials()).collect();
    let proved = Verdict::Proved("alice".into());
    // The second overtakes the first.
    for at in [1, 0, 2, 99, 98, 40] {
        assert_eq!(check(&mut challenger, &requests[at], &asked(start())), proved, "{at}");
        assert_eq!(check(&mut challenger, &requests[at], &asked(start())), Verdict::Stale, "{at} again");
    }
    assert_eq!(check(&mut challenger, &requests[3], &asked(start())), Verdict::Stale, "too far behind to be known");
}

#[test]
fn nonces_grow_old_and_belong_to_one_source() {
    let mut challenger = challenger();
    let mut phone = Phone::new("alice", "wonder");
    phone.hear(&challenger.challenges(REALM, &Algorithm::ALL, source(), false, start()), "");
    let late = start() + NONCE_LIFE + Duration::from_micros(1);
    assert_eq!(check(&mut challenger, &phone.credentials(), &asked(late)), Verdict::Stale);
    let elsewhere = Asked { source: "203.0.113.1".parse().unwrap(), ..asked(start()) };
    assert_eq!(check(&mut challenger, &phone.credentials(), &elsewhere), Verdict::Stale);
    let before = Asked { now: start() - Duration::from_secs(1), ..asked(start()) };
    assert_eq!(check(&mut challenger, &phone.credentials(), &before), Verdict::Stale, "not yet made");
    assert_eq!(
        check(&mut challenger, &phone.credentials(), &asked(start() + NONCE_LIFE)),
        Verdict::Proved("alice".into())
    );
    // Another engine's key.
    let mut other = Challenger::new(&mut Random::from_number(2));
    assert_eq!(check(&mut other, &phone.credentials(), &asked(start())), Verdict::Stale);
    // A stale challenge is answered by a client without asking its user.
    phone.hear(&challenger.challenges(REALM, &Algorithm::ALL, source(), true, late), "");
    assert_eq!(check(&mut challenger, &phone.credentials(), &asked(late)), Verdict::Proved("alice".into()));
}

#[test]
fn a_wrong_password_and_nobody_are_answered_alike() {
    let mut challenger = challenger();
    for (user, known) in [("alice", true), ("mallory", false), ("", false)] {
        let mut phone = Phone::new(user, "guess");
        phone.hear(&challenger.challenges(REALM, &Algorithm::ALL, source(), false, start()), "");
        let verdict = check(&mut challenger, &phone.credentials(), &asked(start()));
        assert_eq!(verdict, Verdict::Wrong { username: user.into(), known, proven: true });
    }
    assert!(challenger.is_unused(), "guesses leave nothing behind");
}

#[test]
fn other_realms_and_schemes_are_none_of_ours() {
    let mut challenger = challenger();
    for value in [
        r#"Digest username="alice", realm="other", nonce="n", uri="sip:pbx.example", response="00""#,
        "Basic YWxpY2U6d29uZGVy",
        r#"Digest username="alice""#,
    ] {
        assert_eq!(check(&mut challenger, &parsed(value), &asked(start())), Verdict::Absent, "{value}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let mut challenger = challenger();
    let whole = r#"Digest username="alice", realm="strowger", nonce="n", uri="sip:pbx.example", response="00", algorithm=MD5, qop=auth, nc=00000001, cnonce="c""#;
    assert!(matches!(check(&mut challenger, &parsed(whole), &asked(start())), Verdict::Wrong { .. }));
    for (from, to) in [
        (r#"username="alice", "#, ""),
        (r#"nonce="n", "#, ""),
        (r#"uri="sip:pbx.example", "#, ""),
        (r#"response="00", "#, ""),
        ("algorithm=MD5", "algorithm=SHA-512-256"),
        ("qop=auth,", "qop=auth-int,"),
        ("nc=00000001", "nc=00000000"),
        ("nc=00000001", "nc=+0000001"),
        ("nc=00000001", "nc=1"),
        (r#", cnonce="c""#, ""),
        ("algorithm=MD5", r#"algorithm=MD5, username="bob""#),
    ] {
        let broken = whole.replace(from, to);
        assert_ne!(broken, whole);
        let verdict = check(&mut challenger, &parsed(&broken), &asked(start()));
        assert!(matches!(verdict, Verdict::Malformed(_)), "{broken}: {verdict:?}");
    }
}

#[test]
fn credentials_for_another_uri_are_refused() {
    let mut challenger = challenger();
    let mut phone = Phone::new("alice", "wonder");
    phone.hear(&challenger.challenges(REALM, &Algorithm::ALL, source(), false, start()), "");
    let alice = Secret::of_password("alice", REALM, "wonder");
    let alice = &alice;
    let verdict = challenger.check(&phone.credentials(), &asked(start()), |_| false, |_| Some(alice));
    assert!(matches!(verdict, Verdict::Malformed(_)));
    // The method is part of what was signed.
    let invite = Asked { method: "INVITE", ..asked(start()) };
    assert!(matches!(check(&mut challenger, &phone.credentials(), &invite), Verdict::Wrong { known: true, .. }));
}

#[test]
fn the_old_form_without_qop_is_good_for_one_request() {
    let mut challenger = challenger();
    let challenge = challenger.challenges(REALM, &Algorithm::ALL, source(), false, start()).remove(1);
    let nonce = challenge.get("nonce").unwrap().to_owned();
    let mut phone = Phone::new("alice", "wonder");
    let old = format!(r#"Digest realm="{REALM}", nonce="{nonce}""#);
    phone.hear(&parsed(&old), "");
    let credentials = phone.credentials();
    assert_eq!(credentials[0].get("qop"), None);
    assert_eq!(check(&mut challenger, &credentials, &asked(start())), Verdict::Proved("alice".into()));
    assert_eq!(check(&mut challenger, &credentials, &asked(start())), Verdict::Stale);
}

#[test]
fn counts_have_a_bound_and_what_is_forgotten_is_expired() {
    let mut challenger = challenger();
    challenger.set_bound_for_test(4);
    let mut phones = Vec::new();
    for n in 0..6 {
        let mut phone = Phone::new("alice", "wonder");
        let now = start() + Duration::from_secs(n);
        phone.hear(&challenger.challenges(REALM, &Algorithm::ALL, source(), false, now), "");
        let first = phone.credentials();
        assert_eq!(check(&mut challenger, &first, &asked(now)), Verdict::Proved("alice".into()));
        phones.push((phone, first));
    }
    let now = start() + Duration::from_secs(10);
    for (at, (phone, first)) in phones.iter_mut().enumerate() {
        assert_eq!(check(&mut challenger, first, &asked(now)), Verdict::Stale, "no replay, forgotten or not");
        let expected = if at < 2 { Verdict::Stale } else { Verdict::Proved("alice".into()) };
        assert_eq!(check(&mut challenger, &phone.credentials(), &asked(now)), expected, "{at}");
    }
}

#[test]
fn garbage_proves_nothing() {
    let mut challenger = challenger();
    let mut phone = Phone::new("alice", "wonder");
    phone.hear(&challenger.challenges(REALM, &Algorithm::ALL, source(), false, start()), "");
    let seed = phone.credentials()[0].to_string().into_bytes();
    let mut random = Random::from_number(3);
    for _ in 0..20_000 {
        let mut bytes = seed.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] =
                if random.below(2) == 0 { random.below(256) as u8 } else { b"\"\\,= \tf0"[random.below(8) as usize] };
        }
        let mut headers = Headers::new();
        if headers.push(Name::Authorization, &bytes).is_ok()
            && let Ok(credentials) = headers.authorization()
        {
            check(&mut challenger, &credentials, &asked(start()));
        }
    }
}
