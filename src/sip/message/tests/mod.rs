//! Tests of the wire layer, by what they hold it against.

mod cases;
mod mutation;
mod oracle;
mod torture;
mod torture_ipv6;

use super::*;

/// A request that must parse.
fn request(text: &str) -> Request {
    match Message::parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}\n{text}"),
    }
}

/// The headers that every request has, to put others after.
const COMMON: &str = "Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKabc;rport\r\n\
    From: \"Alice\" <sip:alice@example.com>;tag=1928\r\n\
    To: <sip:bob@example.net>\r\n\
    Call-ID: a84b4c76e66710@example.com\r\n\
    CSeq: 314159 INVITE\r\n\
    Max-Forwards: 70\r\n";

/// An INVITE with further header lines and a body.
fn invite(lines: &str, body: &str) -> String {
    format!("INVITE sip:bob@example.net SIP/2.0\r\n{COMMON}{lines}\r\n{body}")
}
