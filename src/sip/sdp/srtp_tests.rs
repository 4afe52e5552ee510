//! SRTP in offers and answers (RFC 4568), by policy; what peers write, and what we make of it.

use super::tests::{HEAD, both};
use super::*;
use crate::random::Random;
use crate::session::{LocalMedia, NegotiatedMedia, SrtpPolicy, SrtpSuite};
use SrtpPolicy::{Off, Offered, Required};

const CM: &str = "AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20";
const CM32: &str = "AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj";

fn media(srtp: SrtpPolicy) -> LocalMedia {
    LocalMedia { srtp, ..both() }
}

fn session(seed: u64) -> LocalDescription {
    let mut local = LocalDescription::new(seed);
    local.allow_keys(Random::from_number(seed), &SrtpSuite::ALL);
    local
}

fn answered(offer: &str, srtp: SrtpPolicy) -> Result<(Vec<String>, NegotiatedMedia), SdpError> {
    let offer = Description::parse(format!("{HEAD}{}", offer.replace(';', "\r\n") + "\r\n").as_bytes()).unwrap();
    let (body, agreed) = session(1).answer(&offer, &media(srtp))?;
    let text = String::from_utf8(body).unwrap();
    let wanted = |line: &&str| line.starts_with("m=") || line.starts_with("a=crypto");
    Ok((text.lines().filter(wanted).map(str::to_owned).collect(), agreed))
}

/// What is offered (`;` ends a line), our policy, what we answer: its lines up to the key. None: 488.
#[test]
fn each_policy_answers_each_form() {
    let table: &[(&str, SrtpPolicy, Option<&[&str]>)] = &[
        ("m=audio 4000 RTP/AVP 0", Off, Some(&["m=audio 20000 RTP/AVP 0"])),
        ("m=audio 4000 RTP/AVP 0", Offered, Some(&["m=audio 20000 RTP/AVP 0"])),
        ("m=audio 4000 RTP/AVP 0", Required, None),
        ("m=audio 4000 RTP/SAVP 0;a=crypto:1 {CM}", Off, None),
        (
            "m=audio 4000 RTP/SAVP 0;a=crypto:1 {CM}",
            Offered,
            Some(&["m=audio 20000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"]),
        ),
        (
            "m=audio 4000 RTP/SAVPF 0;a=crypto:9 {CM32}",
            Required,
            Some(&["m=audio 20000 RTP/SAVPF 0", "a=crypto:9 AES_CM_128_HMAC_SHA1_32 inline:"]),
        ),
        // Best effort: one line of RTP/AVP with keys.
        ("m=audio 4000 RTP/AVP 0;a=crypto:1 {CM}", Off, Some(&["m=audio 20000 RTP/AVP 0"])),
        (
            "m=audio 4000 RTP/AVP 0;a=crypto:1 {CM}",
            Offered,
            Some(&["m=audio 20000 RTP/AVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"]),
        ),
        // Best effort: two lines, in either order.
        (
            "m=audio 4000 RTP/SAVP 0;a=crypto:1 {CM};m=audio 4002 RTP/AVP 0",
            Offered,
            Some(&["m=audio 20000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:", "m=audio 0 RTP/AVP 0"]),
        ),
        (
            "m=audio 4002 RTP/AVP 0;m=audio 4000 RTP/SAVP 0;a=crypto:1 {CM}",
            Required,
            Some(&["m=audio 0 RTP/AVP 0", "m=audio 20000 RTP/SAVP 0", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"]),
        ),
        (
            "m=audio 4000 RTP/SAVP 0;a=crypto:1 {CM};m=audio 4002 RTP/AVP 0",
            Off,
            Some(&["m=audio 0 RTP/SAVP 0", "m=audio 20000 RTP/AVP 0"]),
        ),
        // The offer's order decides among its suites; lines of no use are passed over.
        (
            "m=audio 4000 RTP/SAVP 0;a=crypto:1 F8_128_HMAC_SHA1_80 inline:x;a=crypto:2 {CM32};a=crypto:3 {CM}",
            Offered,
            Some(&["m=audio 20000 RTP/SAVP 0", "a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:"]),
        ),
        ("m=audio 4000 RTP/SAVP 0;a=crypto:1 {CM} UNENCRYPTED_SRTP", Offered, None),
        ("m=audio 4000 RTP/SAVP 0", Offered, None),
        // DTLS is not spoken; where it is only possible, plain RTP is.
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0;a=fingerprint:sha-256 AA;a=setup:actpass", Required, None),
        ("m=audio 4000 UDP/TLS/RTP/SAVPF 0;a=fingerprint:sha-256 AA;a=setup:actpass", Off, None),
        ("m=audio 4000 RTP/SAVPF 0;a=fingerprint:sha-256 AA;a=setup:actpass", Offered, None),
        (
            "m=audio 4000 RTP/AVP 0;a=fingerprint:sha-256 AA;a=setup:actpass",
            Offered,
            Some(&["m=audio 20000 RTP/AVP 0"]),
        ),
    ];
    for (offer, policy, expected) in table {
        let offer = offer.replace("{CM}", CM).replace("{CM32}", CM32);
        match (answered(&offer, *policy), expected) {
            (Ok((lines, agreed)), Some(expected)) => {
                assert_eq!(lines.len(), expected.len(), "{offer} {policy:?}: {lines:?}");
                assert!(lines.iter().zip(*expected).all(|(line, start)| line.starts_with(start)), "{offer}: {lines:?}");
                assert_eq!(agreed.srtp.is_some(), lines.iter().any(|line| line.starts_with("a=crypto")));
                if let Some(keys) = agreed.srtp {
                    assert_eq!(keys.send.suite(), keys.receive.suite());
                    assert_ne!(keys.send.material(), keys.receive.material());
                }
            }
            (Err(SdpError::NothingInCommon), None) => {}
            (found, _) => panic!("{offer} {policy:?}: {found:?}"),
        }
    }
}

#[test]
fn an_insecure_hop_has_no_keys() {
    let secured = format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=crypto:1 {CM}\r\n");
    let offer = Description::parse(secured.as_bytes()).unwrap();
    let mut local = LocalDescription::new(1);
    let (body, agreed) = local.answer(&offer, &media(Offered)).unwrap();
    assert_eq!(agreed.srtp, None);
    assert!(!String::from_utf8(body).unwrap().contains("crypto"));
    assert_eq!(local.check(&media(Required)), Err(SdpError::InsecureHop));
    assert_eq!(local.answer(&offer, &media(Required)).unwrap_err(), SdpError::InsecureHop);
    assert!(!String::from_utf8(LocalDescription::new(1).offer(&media(Required))).unwrap().contains("crypto"));
    assert_eq!(session(1).check(&media(Required)), Ok(()));
}

#[test]
fn two_of_ours_agree_on_the_strongest_suite_and_keep_their_keys() {
    for (offering, answering, encrypted) in
        [(Offered, Offered, true), (Required, Required, true), (Offered, Off, false), (Off, Offered, false)]
    {
        let (mut caller, mut callee) = (session(1), session(2));
        let offer = caller.offer(&media(offering));
        let text = String::from_utf8(offer.clone()).unwrap();
        let profile = if offering == Required { "RTP/SAVP" } else { "RTP/AVP" };
        assert!(text.contains(&format!("m=audio 20000 {profile} ")), "{text}");
        let (answer, theirs) = callee.answer(&Description::parse(&offer).unwrap(), &media(answering)).unwrap();
        let mine = caller.accept(&Description::parse(&answer).unwrap()).unwrap();
        assert_eq!((mine.srtp.is_some(), theirs.srtp.is_some()), (encrypted, encrypted));
        if let (Some(mine), Some(theirs)) = (&mine.srtp, &theirs.srtp) {
            assert_eq!((&mine.send, &mine.receive), (&theirs.receive, &theirs.send));
            assert_eq!(mine.send.suite(), SrtpSuite::AeadAes256Gcm);
        }
        // Hold by the callee: the same keys, the same description but for its direction.
        let held = LocalMedia { direction: Direction::SendOnly, ..media(answering) };
        let offer = callee.offer(&held);
        let (answer, again) = caller.answer(&Description::parse(&offer).unwrap(), &media(offering)).unwrap();
        let theirs_again = callee.accept(&Description::parse(&answer).unwrap()).unwrap();
        assert_eq!((again.srtp, theirs_again.srtp), (mine.srtp, theirs.srtp), "{offering:?} {answering:?}");
    }
    let (mut caller, mut callee) = (session(1), session(2));
    let offer = Description::parse(&caller.offer(&media(Required))).unwrap();
    assert_eq!(callee.answer(&offer, &media(Off)).unwrap_err(), SdpError::NothingInCommon);
}

/// The answer's lines after its head, and whether SRTP (`Ok(true)`), plain RTP or nothing follows for a best-effort
/// offer and for a strict one.
#[test]
fn answers_are_held_to_the_offer() {
    let table: &[(&str, Result<bool, ()>, Result<bool, ()>)] = &[
        ("m=audio 4000 RTP/AVP 0", Ok(false), Err(())),
        ("m=audio 4000 RTP/AVP 0\r\na=crypto:3 {CM}", Ok(true), Ok(true)),
        ("m=audio 4000 RTP/SAVP 0\r\na=crypto:3 {CM}", Ok(true), Ok(true)),
        ("m=audio 4000 RTP/SAVP 0\r\na=crypto:4 {CM32}", Ok(true), Ok(true)),
        ("m=audio 4000 RTP/SAVP 0", Err(()), Err(())),
        // A tag of another suite, a tag that was not offered, two lines, a line that cannot be read.
        ("m=audio 4000 RTP/SAVP 0\r\na=crypto:1 {CM}", Err(()), Err(())),
        ("m=audio 4000 RTP/SAVP 0\r\na=crypto:9 {CM}", Err(()), Err(())),
        ("m=audio 4000 RTP/SAVP 0\r\na=crypto:3 {CM}\r\na=crypto:4 {CM32}", Err(()), Err(())),
        ("m=audio 4000 RTP/SAVP 0\r\na=crypto:3 {CM} KDR=1", Err(()), Err(())),
        ("m=audio 0 RTP/SAVP 0\r\na=crypto:3 {CM}", Err(()), Err(())),
    ];
    for (lines, best_effort, strict) in table {
        let lines = lines.replace("{CM}", CM).replace("{CM32}", CM32);
        for (policy, expected) in [(Offered, best_effort), (Required, strict)] {
            let mut local = session(5);
            local.offer(&media(policy));
            let answer = Description::parse(format!("{HEAD}{lines}\r\n").as_bytes()).unwrap();
            let found = local.accept(&answer).map(|agreed| agreed.srtp.is_some()).map_err(drop);
            assert_eq!(found, *expected, "{policy:?}: {lines}");
        }
    }
    // Keys that were not asked for are passed over.
    let mut local = session(5);
    local.offer(&media(Off));
    let answer = Description::parse(format!("{HEAD}m=audio 4000 RTP/AVP 0\r\na=crypto:3 {CM}\r\n").as_bytes()).unwrap();
    assert_eq!(local.accept(&answer).unwrap().srtp, None);
}

#[test]
fn keys_are_neither_printed_nor_saved() {
    let (mut caller, mut callee) = (session(1), session(2));
    let offer = caller.offer(&media(Offered));
    let text = String::from_utf8(offer.clone()).unwrap();
    let key = text.split("inline:").nth(1).unwrap().lines().next().unwrap();
    let offer = Description::parse(&offer).unwrap();
    let (_, agreed) = callee.answer(&offer, &media(Offered)).unwrap();
    let shown = format!("{caller:?} {offer:?} {callee:?} {agreed:?}");
    let bytes = format!("{:?}", agreed.srtp.as_ref().unwrap().receive.material());
    assert!(!shown.contains(key) && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
    let saved = serde_json::to_string(&(&caller, &offer, &agreed)).unwrap();
    assert!(!saved.contains(key) && !saved.contains("material"), "{saved}");
}
