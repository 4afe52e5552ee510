//! Whatever call control puts into a value, no message gets a header that nobody meant: either nothing is sent, or what
//! is sent reads back with the headers of a harmless one.

use super::*;
use crate::sip::leg::{Credentials, Refer};
use crate::sip::message::{Headers, Host, Uri};

/// What could end a line, a quote, a bracket, a parameter or a message.
const PIECES: [&str; 26] = [
    "\r\n",
    "\r\nVia: SIP/2.0/UDP evil.example;branch=z9hG4bKevil",
    "\nContact: <sip:evil@evil.example>",
    "\r\rX-Evil: 1",
    "\r\n\r\nv=0",
    "\r\n ",
    "\n\t",
    "\r",
    "\n",
    "\0",
    "\t",
    "\u{b}",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}X-Evil: 1",
    "\u{2028}X-Evil: 1",
    "\u{2029}",
    "%0d%0aX-Evil: 1",
    "\"",
    "\\",
    "<sip:evil@evil.example>",
    ">",
    ";tag=evil",
    ", <sip:evil@evil.example>",
    "?Replaces=evil",
    "Ä@:日",
];

/// A text with some of them in it; now and then one as long as nobody takes.
fn hostile(random: &mut Random) -> String {
    let mut text = ["", "sip:bob@192.0.2.2", "Bob", "tel:+4420", "a/b"][random.below(5) as usize].to_owned();
    for _ in 0..=random.below(3) {
        text.push_str(PIECES[random.below(PIECES.len() as u64) as usize]);
        text.push_str(["", "x", " "][random.below(3) as usize]);
    }
    if random.below(40) == 0 { text.repeat(2_000) } else { text }
}

fn names(headers: &Headers) -> Vec<String> {
    let mut names: Vec<String> = headers.iter().map(|header| header.name().as_str().to_ascii_lowercase()).collect();
    names.sort();
    names
}

fn plain(names: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort();
    names
}

#[test]
fn no_value_of_an_invite_becomes_a_header() {
    let mut random = Random::from_number(4475);
    let (mut sent, mut refused) = (0, 0);
    for round in 0..6_000 {
        let mut bench = Bench::new();
        let mut wish = invite(Transport::Udp);
        wish.headers.clear();
        bench.agent.place(LegId(1), wish.clone(), bench.now);
        let harmless = names(&bench.done().request("INVITE").headers);
        let mut more = 0;
        for _ in 0..=random.below(2) {
            let text = hostile(&mut random);
            match random.below(8) {
                0 => wish.from.display = Some(text),
                1 => wish.from.uri = Uri::sip(Some(&text), Host::from(far().ip()), None).to_string(),
                2 => wish.from.uri = text,
                3 => wish.to = Some(Party { display: Some(text.clone()), uri: format!("sip:{text}@b.example") }),
                4 => wish.target = format!("sip:bob{text}@192.0.2.2"),
                5 => wish.target = text,
                6 => {
                    wish.headers.push(("X-Campaign".to_owned(), text));
                    more += 1;
                }
                _ => {
                    wish.headers.push((format!("X-{text}"), "1".to_owned()));
                    more += 1;
                }
            }
        }
        let mut bench = Bench::new();
        bench.agent.place(LegId(1), wish.clone(), bench.now);
        // It reads what was sent, and fails on what cannot be read.
        let done = bench.done();
        let Some((_, request)) = done.requests.first() else {
            refused += 1;
            assert!(done.events.iter().any(LegEvent::is_final), "round {round}: {wish:?}");
            continue;
        };
        sent += 1;
        let found = names(&request.headers);
        let own = found.iter().filter(|name| !name.starts_with("x-")).cloned().collect::<Vec<_>>();
        assert_eq!(own, harmless, "round {round}: {wish:?}");
        assert_eq!(found.len(), harmless.len() + more, "round {round}: {wish:?}");
        assert!(!found.contains(&"x-evil".to_owned()), "round {round}: {wish:?}");
        assert!(request.check().is_ok() && request.headers.from().unwrap().tag() != Some("evil"), "round {round}");
        assert!(request.body.starts_with(b"v=0\r\no=strowger ") || request.body.starts_with(b"v=0\r\no=- "));
    }
    assert!(sent > 500 && refused > 500, "both are tried: {sent} sent, {refused} refused");
}

#[test]
fn no_value_within_a_call_becomes_a_header() {
    let mut random = Random::from_number(3261);
    let (mut sent, mut refused) = (0, 0);
    for round in 0..4_000 {
        let mut bench = Bench::new();
        let text = hostile(&mut random);
        let kind = random.below(8);
        let leg = match kind {
            0..=4 => bench.established("a").0,
            _ => bench.invite("a", "", OFFER).incoming.remove(0).leg,
        };
        let refer = |target: &str, by: Option<Party>, headers: Vec<(String, String)>| {
            LegCommand::Refer(Box::new(Refer {
                target: target.to_owned(),
                replaces: None,
                referred_by: by,
                headers,
                subscribe: true,
                timeout: Duration::from_secs(60),
            }))
        };
        let command = match kind {
            0 => LegCommand::Info { content_type: text.clone(), body: b"x".to_vec() },
            1 => LegCommand::Hangup { reason: Some(text.clone()) },
            2 => refer(&text, None, Vec::new()),
            3 => refer("sip:c@c.example", Some(Party { display: Some(text.clone()), uri: text.clone() }), Vec::new()),
            4 => refer("sip:c@c.example", None, vec![(format!("X-{text}"), text.clone())]),
            5 => LegCommand::Refuse { status: 486, phrase: Some(text.clone()), retry_after: None },
            6 => LegCommand::Redirect { contacts: vec![text.clone(), "sip:d@d.example".to_owned()] },
            _ => LegCommand::Hangup { reason: Some(text.clone()) },
        };
        if bench.agent.command(leg, command, bench.now).is_err() {
            refused += 1;
            let done = bench.done();
            assert!(done.requests.is_empty() && done.responses.is_empty(), "round {round}: {text:?}");
            continue;
        }
        sent += 1;
        let done = bench.done();
        let request = ["Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "User-Agent", "Content-Length"];
        let response = ["Via", "From", "To", "Call-ID", "CSeq", "Server", "Content-Length"];
        let wanted = match kind {
            0 => [&request[..], &["Content-Type"]].concat(),
            1 => [&request[..], &["Reason"]].concat(),
            2..=4 => [&request[..], &["Contact", "Refer-To", "Referred-By"]].concat(),
            5 | 7 => [&response[..], &["Reason"]].concat(),
            _ => [&response[..], &["Contact", "Allow", "Supported"]].concat(),
        };
        let headers = match kind {
            0..=4 => &done.requests[0].1.headers,
            _ => &done.responses[0].1.headers,
        };
        assert_eq!(names(headers), plain(&wanted), "round {round}: {text:?}");
        for (_, response) in &done.responses {
            assert!(response.reason().chars().count() <= 128 && response.check().is_ok(), "round {round}: {text:?}");
        }
    }
    assert!(sent > 500 && refused > 500, "both are tried: {sent} sent, {refused} refused");
}

#[test]
fn no_credential_becomes_a_header() {
    let mut random = Random::from_number(8760);
    for round in 0..500 {
        let mut bench = Bench::new();
        let mut wish = invite(Transport::Udp);
        wish.headers.clear();
        wish.credentials = Some(Credentials { user: hostile(&mut random), password: hostile(&mut random) });
        bench.agent.place(LegId(1), wish, bench.now);
        let first = bench.done().requests.remove(0).1;
        let challenge = "WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256";
        let done = bench.reply(&first, 401, "t", challenge, "");
        let mut allowed = names(&first.headers);
        for (_, request) in &done.requests {
            let found = names(&request.headers);
            if request.method.as_str() == "INVITE" && found.contains(&"authorization".to_owned()) {
                allowed.push("authorization".to_owned());
                allowed.sort();
                assert_eq!(found, allowed, "round {round}");
            }
            assert!(!found.iter().any(|name| name.contains("evil")), "round {round}: {found:?}");
        }
    }
}
