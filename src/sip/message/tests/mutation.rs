//! Random and mutated input must never panic, and what is accepted must survive writing and reading.

use super::super::stream::{Framed, Framer};
use super::super::*;
use super::invite;

/// A small generator of its own, so that this room needs no other.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Calls everything that reads.
fn exercise(bytes: &[u8]) {
    let mut framer = Framer::new();
    framer.push(bytes);
    while let Some(framed) = framer.next() {
        if let Framed::Broken(error) = framed {
            let _ = error.response().map(|r| r.to_bytes());
        }
    }
    let message = match Message::parse(bytes) {
        Ok(message) => message,
        Err(error) => {
            if let Some(response) = error.response() {
                Message::parse(&response.to_bytes()).unwrap();
            }
            return;
        }
    };
    let checked = message.check();
    let headers = message.headers();
    let _ = (headers.via(), headers.top_via(), headers.from(), headers.to(), headers.contacts(), headers.route());
    let _ = (headers.record_route(), headers.cseq(), headers.call_id(), headers.max_forwards(), headers.expires());
    let _ = (headers.content_type(), headers.require(), headers.allow(), headers.retry_after());
    let _ = (headers.www_authenticate(), headers.authorization());
    if let (Ok(from), Ok(())) = (headers.from(), &checked) {
        assert_eq!(NameAddr::parse(from.to_string().as_bytes()).as_ref(), Ok(&from), "{:?}", from.to_string());
    }
    if let Ok(via) = headers.top_via() {
        assert_eq!(Via::parse(via.to_string().as_bytes()).as_ref(), Ok(&via), "{}", via);
    }
    let mut again = Message::parse(&message.to_bytes()).unwrap();
    let mut message = message;
    message.headers_mut().remove(&Name::ContentLength);
    again.headers_mut().remove(&Name::ContentLength);
    assert_eq!(message, again);
    if let (Message::Request(request), Ok(())) = (&message, &checked) {
        let mut response = Response::for_request(request, 200);
        response.set_to_tag("t").unwrap();
        response.check().unwrap();
        let mut headers = request.headers.clone();
        via::mark_source(&mut headers, "192.0.2.77:7".parse().unwrap()).unwrap();
        headers.via().unwrap();
        headers.remove_top_via();
    }
}

#[test]
fn nothing_panics_on_mutated_messages() {
    let mut seeds: Vec<Vec<u8>> = vec![
        invite(
            "Contact: \"A, B\" <sip:a@192.0.2.1;ob>;+sip.instance=\"<urn:x>\", <tel:+1555>\r\nRoute: <sip:p;lr>, <sip:[::1]:5>\r\n\
             Authorization: Digest username=\"a\", realm=\"b\", nc=00000001\r\nSubject: x\r\n y\r\nContent-Length: 4\r\n",
            "body",
        )
        .into_bytes(),
    ];
    for name in ["wsinv", "intmeth", "esc01", "longreq", "mpart01", "unreason", "transports", "semiuri", "inv2543"] {
        let path = format!("{}/tests/data/torture/{name}.sip", env!("CARGO_MANIFEST_DIR"));
        seeds.push(std::fs::read(path).unwrap());
    }
    const SPICE: &[&[u8]] = &[
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\"",
        b"<",
        b">",
        b",",
        b";",
        b":",
        b"=",
        b"\\",
        b"%",
        b"%00",
        b"@",
        b"?",
        b"[",
        b"]",
        b"*",
        b"\0",
        b"\xff",
        b"\xc3\xbc",
        b"\r\n ",
        b"\r\n\r\n",
        b"SIP/2.0",
        b"99999999999999999999",
        b"Content-Length: 3\r\n",
    ];
    let mut dice = Dice(20_260_101);
    for round in 0..20_000 {
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        for _ in 0..1 + dice.below(4) {
            let at = dice.below(bytes.len() + 1);
            match dice.below(5) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] = dice.next() as u8,
                2 if at < bytes.len() => {
                    bytes.remove(at);
                }
                3 => {
                    let to = (at + dice.below(60)).min(bytes.len());
                    let piece = bytes[at..to].to_vec();
                    let into = dice.below(bytes.len() + 1);
                    bytes.splice(into..into, piece);
                }
                _ => {
                    bytes.splice(at..at, SPICE[dice.below(SPICE.len())].iter().copied());
                }
            }
        }
        let caught = std::panic::catch_unwind(|| exercise(&bytes));
        assert!(caught.is_ok(), "round {round}: {}", bytes.escape_ascii());
    }
}

#[test]
fn nothing_panics_on_noise() {
    let mut dice = Dice(7);
    for round in 0..20_000 {
        let length = dice.below(200);
        let bytes: Vec<u8> = (0..length)
            .map(|_| match dice.below(3) {
                0 => dice.next() as u8,
                1 => b"\r\n :;,<>\"@=%?[]\\"[dice.below(16)],
                _ => b"SIP/2.0sipINVTEVia"[dice.below(18)],
            })
            .collect();
        let parts = bytes.clone();
        let caught = std::panic::catch_unwind(|| {
            exercise(&bytes);
            let _ = Uri::parse(&parts).map(|uri| assert_eq!(Uri::parse(uri.to_string().as_bytes()).unwrap(), uri));
            let _ = (NameAddr::parse(&parts), Via::parse(&parts), Host::parse(&parts));
        });
        assert!(caught.is_ok(), "round {round}: {}", bytes.escape_ascii());
    }
}
