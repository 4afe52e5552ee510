//! Every message of RFC 5118 (SIP torture messages for IPv6), each with what its addresses mean here. What is answered
//! is the agent's tests'. Where the RFC prints a wrong Content-Length (§4.6, §4.8, §4.9) the right one stands here.

use std::net::IpAddr;

use super::super::*;

/// Section, message; host and port of the Request-URI, Via (host, port, received) from the top, host of Contact.
type Row = (
    &'static str,
    &'static [u8],
    Option<(&'static str, Option<u16>)>,
    &'static [(&'static str, Option<u16>, Option<&'static str>)],
    Option<&'static str>,
);

macro_rules! message {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/torture-ipv6/", $name, ".sip"))
    };
}

const V: &str = "2001:db8::9:1";

const TABLE: &[Row] = &[
    ("4.1", message!("ipv6-good"), Some(("2001:db8::10", None)), &[(V, None, None)], Some("2001:db8::1")),
    // No brackets: not a Request-URI. 400.
    ("4.2", message!("ipv6-bad"), None, &[], None),
    // The port is the address's last group: nobody can know that it was meant otherwise.
    ("4.3", message!("port-ambiguous"), Some(("2001:db8::10:5070", None)), &[(V, None, None)], Some("2001:db8::1")),
    ("4.4", message!("port-unambiguous"), Some(("2001:db8::10", Some(5070))), &[(V, None, None)], Some("2001:db8::1")),
    // Brackets around `received` are not in the grammar, and read.
    (
        "4.5",
        message!("via-received-param-with-delim"),
        Some(("2001:db8::10", None)),
        &[(V, None, Some("2001:db8::9:255"))],
        None,
    ),
    (
        "4.5",
        message!("via-received-param-no-delim"),
        Some(("2001:db8::10", None)),
        &[(V, None, Some("2001:db8::9:255"))],
        Some(V),
    ),
    (
        "4.6",
        message!("ipv6-in-sdp"),
        Some(("2001:db8::10", None)),
        &[("2001:db8::20", None, None)],
        Some("2001:db8::20"),
    ),
    (
        "4.7",
        message!("mult-ip-in-header"),
        Some(("host.example.net", None)),
        &[(V, Some(6050), None), ("192.0.2.1", None, None), ("2001:db8::9:255", None, Some("192.0.2.200"))],
        None,
    ),
    ("4.8", message!("mult-ip-in-sdp"), Some(("2001:db8::10", None)), &[(V, None, None)], Some(V)),
    (
        "4.9",
        message!("ipv4-mapped-ipv6"),
        Some(("example.com", None)),
        &[("::ffff:192.0.2.10", Some(19823), None), ("::ffff:192.0.2.2", None, None)],
        Some("::ffff:192.0.2.2"),
    ),
    // The RFC leaves it to us whether we ignore the colon too many; a guess about an address is none that we make. 400.
    ("4.10", message!("ipv6-bug-abnf-3-colons"), None, &[], None),
    (
        "4.10",
        message!("ipv6-correct-abnf-2-colons"),
        Some(("2001:db8::192.0.2.1", None)),
        &[("lab1.east.example.com", None, None)],
        None,
    ),
];

/// The same address, however it is written; or the same name.
fn same(host: &Host, expected: &str) -> bool {
    match expected.parse::<IpAddr>() {
        Ok(ip) => host.ip() == Some(ip),
        Err(_) => host.to_string() == expected,
    }
}

#[test]
fn all_12_are_there_and_mean_what_the_rfc_says() {
    assert_eq!(TABLE.len(), 12);
    for (section, bytes, target, vias, contact) in TABLE {
        let at = format!("§{section}: {}", String::from_utf8_lossy(bytes));
        let Some((host, port)) = target else {
            let error = Message::parse(bytes).expect_err(&at);
            assert_eq!(error.status(), 400, "{at}");
            continue;
        };
        let message = Message::parse(bytes).unwrap_or_else(|error| panic!("{error}: {at}"));
        message.check().unwrap_or_else(|error| panic!("{error}: {at}"));
        let request = message.as_request().unwrap();
        assert!(same(request.uri.host().unwrap(), host) && request.uri.port() == *port, "{at}");
        let hops = request.headers.via().unwrap();
        assert_eq!(hops.len(), vias.len(), "{at}");
        for (hop, (host, port, received)) in hops.iter().zip(*vias) {
            let received: Option<IpAddr> = received.map(|text| text.parse().unwrap());
            assert!(same(&hop.host, host) && hop.port == *port && hop.received() == received, "{hop:?} {at}");
        }
        let found = request.headers.contact().unwrap();
        assert_eq!(found.is_some(), contact.is_some(), "{at}");
        if let (Some(found), Some(contact)) = (found, contact) {
            assert!(same(found.uri.host().unwrap(), contact), "{at}");
        }
        // What was read means the same once it is written.
        let again = Message::parse(&message.to_bytes()).unwrap();
        assert_eq!(again.as_request().unwrap().uri, request.uri, "{at}");
        assert_eq!(again.headers().via().unwrap(), hops, "{at}");
    }
}
