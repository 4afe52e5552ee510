//! What carriers, browsers and attackers send: each row of the comparison that made this layer ours, and the rules
//! that framing and writing must keep.

use std::net::SocketAddr;

use super::super::*;
use super::{COMMON, invite, request};

#[test]
fn compact_names_are_the_long_ones() {
    let request = request(
        "INVITE sip:b@example.net SIP/2.0\r\nv: SIP/2.0/UDP h.example;branch=z9hG4bK1\r\nf: <sip:a@example.com>;tag=1\r\n\
         t: <sip:b@example.net>\r\ni: x@y\r\nCSeq: 1 INVITE\r\nm: <sip:a@192.0.2.9>\r\nk: 100rel, timer\r\n\
         c: application/sdp\r\nl: 4\r\n\r\nv=0\n",
    );
    request.check().unwrap();
    assert_eq!(request.headers.supported().unwrap(), ["100rel", "timer"]);
    assert_eq!(request.headers.content_type().unwrap().unwrap().essence, "application/sdp");
    assert_eq!(request.headers.get(&Name::Contact), Some(&b"<sip:a@192.0.2.9>"[..]));
    // They go out long.
    let out = String::from_utf8(request.to_bytes()).unwrap();
    assert!(out.contains("\r\nVia: ") && out.contains("\r\nCall-ID: x@y\r\n") && !out.contains("\r\nv: "));
}

#[test]
fn instance_parameters_and_several_contacts() {
    let request = request(&invite(
        "Contact: <sip:a@192.0.2.9;ob>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";reg-id=1, \
         \"B, C\" <sip:b@192.0.2.10>;q=0.5\r\nContact: <sip:c@192.0.2.11>\r\n",
        "",
    ));
    let Contacts::List(list) = request.headers.contacts().unwrap() else { panic!() };
    assert_eq!(list.len(), 3);
    assert_eq!(list[0].params.get("+sip.instance"), Some("<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"));
    assert_eq!(list[1].display_name.as_deref(), Some("B, C"));
    // It writes itself quoted again.
    assert_eq!(NameAddr::parse(list[0].to_string().as_bytes()).unwrap(), list[0]);
    assert!(list[0].to_string().contains("+sip.instance=\"<urn:uuid:"));
}

#[test]
fn folded_headers_and_bare_line_feeds() {
    let folded = request(&invite("Subject: one\r\n\ttwo\r\n   three\r\n", ""));
    assert_eq!(folded.headers.get(&Name::Subject), Some(&b"one two three"[..]));
    let text = invite("Content-Length: 3\r\n", "abc").replace("\r\n", "\n");
    let lf = request(&text);
    lf.check().unwrap();
    assert_eq!(lf.body, b"abc");
}

#[test]
fn a_number_with_its_routing_keeps_all_of_it() {
    let uri: Uri = "sip:+15551234567;npdi;rn=+15550001111@carrier.example;user=phone".parse().unwrap();
    assert_eq!(uri.user().unwrap(), "+15551234567;npdi;rn=+15550001111");
    assert_eq!(uri.as_sip().unwrap().user_without_params().unwrap(), "+15551234567");
    assert_eq!(uri.host().unwrap().to_string(), "carrier.example");
    assert_eq!(uri.param("user"), Some("phone"));
    assert_eq!(uri.to_string(), "sip:+15551234567;npdi;rn=+15550001111@carrier.example;user=phone");
}

#[test]
fn a_tel_request_uri() {
    let request =
        request(&invite("", "").replace("sip:bob@example.net SIP", "tel:+1-555-123;phone-context=x.example SIP"));
    assert_eq!(request.uri.scheme(), "tel");
    assert_eq!(request.uri.user().unwrap(), "+1-555-123");
    assert_eq!(request.uri.param("phone-context"), Some("x.example"));
    assert_eq!(request.uri, "tel:+1555123;phone-context=X.example".parse().unwrap());
    assert!(request.uri.host().is_none());
}

#[test]
fn a_datagram_without_content_length_is_all_body() {
    let text = invite("Content-Type: application/sdp\r\n", "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\n");
    assert_eq!(request(&text).body, b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\n");
}

#[test]
fn content_length_shorter_longer_doubled() {
    assert_eq!(request(&invite("Content-Length: 2\r\n", "abcd")).body, b"ab");
    assert_eq!(request(&invite("Content-Length: 2\r\nl: 2\r\n", "abcd")).body, b"ab");
    for lines in [
        "Content-Length: 5\r\n",
        "Content-Length: 2\r\nl: 3\r\n",
        "Content-Length: +2\r\n",
        "Content-Length: 2, 2\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999999\r\n",
    ] {
        let error = Message::parse(invite(lines, "abcd").as_bytes()).unwrap_err();
        assert!(matches!(error.problem, Problem::ContentLength { .. }), "{lines}: {error}");
        assert_eq!(error.response().unwrap().status(), 400);
    }
}

#[test]
fn a_comma_or_an_address_in_a_display_name_is_not_an_address() {
    let text =
        invite("", "").replace("\"Alice\" <sip:alice@example.com>", "\"A <sip:x@evil.example>, B\" <sip:al@a.com>");
    let from = request(&text).headers.from().unwrap();
    assert_eq!(from.uri.to_string(), "sip:al@a.com");
    assert_eq!(from.display_name.as_deref(), Some("A <sip:x@evil.example>, B"));
    assert_eq!(from.tag(), Some("1928"));
}

#[test]
fn latin_1_survives_byte_by_byte() {
    let mut bytes = invite("X-After: here\r\n", "").into_bytes();
    let at = bytes.windows(5).position(|w| w == b"Alice").unwrap();
    bytes.splice(at..at + 5, *b"J\xfcrgen");
    let Ok(Message::Request(request)) = Message::parse(&bytes) else { panic!() };
    request.check().unwrap();
    assert_eq!(request.headers.from().unwrap().display_name.as_deref(), Some("Jürgen"));
    assert_eq!(request.headers.get(&Name::parse(b"x-after").unwrap()), Some(&b"here"[..]));
    let raw = b"\"J\xfcrgen\" <sip:alice@example.com>;tag=1928";
    let response = Response::for_request(&request, 200).to_bytes();
    assert!(response.windows(raw.len()).any(|w| w == raw));
}

#[test]
fn unknown_methods_and_transports() {
    let text = invite("", "").replace("INVITE", "FROBNICATE").replace("/UDP ", "/Foo-1 ");
    let request = request(&text);
    request.check().unwrap();
    assert_eq!(request.method.as_str(), "FROBNICATE");
    assert_eq!(request.headers.top_via().unwrap().transport, ViaTransport::Other("FOO-1".into()));
    let uri: Uri = "sip:a@b.example;transport=foo".parse().unwrap();
    assert_eq!(uri.param("transport"), Some("foo"));
    // Methods have case.
    assert!(Method::parse(b"invite").unwrap().is_other());
}

#[test]
fn via_with_ipv6() {
    let via = Via::parse(b"SIP/2.0/UDP [2001:db8::9:1]:5070;received=2001:db8::9:255;branch=z9hG4bKas3").unwrap();
    assert_eq!(via.host.to_string(), "[2001:db8::9:1]");
    assert_eq!(via.port, Some(5070));
    assert_eq!(via.received(), Some("2001:db8::9:255".parse().unwrap()));
    let bracketed = Via::parse(b"SIP/2.0/UDP h.example;received=[2001:db8::1];branch=z9hG4bKas3").unwrap();
    assert_eq!(bracketed.received(), Some("2001:db8::1".parse().unwrap()));
    assert_eq!(Via::parse(via.to_string().as_bytes()).unwrap(), via);
}

#[test]
fn a_binary_body_is_kept() {
    let body: Vec<u8> = (0..=255).chain([0xff, 0, b'\r', b'\n', b'\r', b'\n', 0x80]).collect();
    let mut request = request(&invite("", ""));
    request.set_body("application/octet-stream", body.clone()).unwrap();
    assert_eq!(Message::parse(&request.to_bytes()).unwrap().body(), body);
}

#[test]
fn start_lines() {
    let ok = |line: &str| Message::parse(format!("{line}\r\n{COMMON}\r\n").as_bytes());
    assert!(ok("INVITE sip:b@c.example SIP/2.0").is_ok());
    assert!(ok("INVITE sip:b@c.example sip/2.0").is_ok());
    assert!(ok("SIP/2.0 200 OK").is_ok());
    assert!(ok("SIP/2.0 200").is_ok());
    assert!(ok("\r\n\r\nSIP/2.0 699 x  y").is_ok());
    for bad in [
        "SIP/2.0 099 x",
        "SIP/2.0 700 x",
        "SIP/2.0 20 x",
        "SIP/2.0 2000 x",
        "SIP/2.0",
        "SIP/2.0  200 OK",
        "INVITE sip:b@c.example",
        "INVITE sip:b@c.example HTTP/1.1",
        "INV(ITE sip:b@c.example SIP/2.0",
        "x",
        " ",
        "INVITE sip: SIP/2.0",
        "INVITE sip:@c SIP/2.0",
        "INVITE sip:b@c:99999 SIP/2.0",
        "INVITE b@c SIP/2.0",
    ] {
        let error = ok(bad).expect_err(bad);
        assert_eq!(error.status(), 400, "{bad}");
    }
    assert_eq!(ok("INVITE sip:b@c.example SIP/2.1").unwrap_err().status(), 505);
    // ACK is never answered.
    assert!(ok("ACK  sip:b@c.example SIP/2.0").unwrap_err().answerable().is_none());
}

#[test]
fn header_lines() {
    for (lines, what) in [
        ("No colon\r\n", "no colon"),
        (": no name\r\n", "the name is not a token"),
        ("Bad name(: x\r\n", "the name is not a token"),
        ("Subject: a\rVia: b\r\n", "a CR within the line"),
    ] {
        let error = Message::parse(invite(lines, "").as_bytes()).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        // The request can be answered in spite of it.
        let mut answer = error.response().unwrap();
        answer.set_to_tag("t").unwrap();
        assert_eq!(answer.headers.to().unwrap().tag(), Some("t"));
        answer.check().unwrap();
    }
    let error = Message::parse(b"INVITE sip:b@c.example SIP/2.0\r\n folded: x\r\n\r\n").unwrap_err();
    assert!(error.answerable().is_none());
    assert_eq!(Message::parse(b"").unwrap_err().problem, Problem::Empty);
    assert_eq!(Message::parse(b"\r\n\r\n").unwrap_err().problem, Problem::Empty);
    let cut = invite("", "");
    assert_eq!(Message::parse(&cut.as_bytes()[..cut.len() - 2]).unwrap_err().problem, Problem::Truncated);
}

#[test]
fn limits() {
    let many = "X: y\r\n".repeat(MAX_HEADERS - 6);
    assert!(Message::parse(invite(&many, "").as_bytes()).is_ok());
    let error = Message::parse(invite(&format!("{many}X: y\r\n"), "").as_bytes()).unwrap_err();
    assert_eq!(error.problem, Problem::TooManyHeaders);
    let long = format!("X: {}\r\n", "y".repeat(MAX_LINE));
    let error = Message::parse(invite(&long, "").as_bytes()).unwrap_err();
    assert!(matches!(error.problem, Problem::LineTooLong { .. }));
    // Folded lines count together.
    let folded = format!("X: z\r\n{}", format!(" {}\r\n", "y".repeat(1000)).repeat(20));
    assert!(matches!(Message::parse(invite(&folded, "").as_bytes()).unwrap_err().problem, Problem::LineTooLong { .. }));
    let error = Message::parse(invite("", &"b".repeat(MAX_MESSAGE)).as_bytes()).unwrap_err();
    assert_eq!((error.status(), error.response().unwrap().status()), (513, 513));
    let whole = invite("", "");
    assert!(Message::parse(format!("{whole}{}", "b".repeat(MAX_MESSAGE - whole.len())).as_bytes()).is_ok());
}

#[test]
fn nothing_smuggles_a_line() {
    let mut request = request(&invite("", ""));
    for evil in ["a\r\nVia: x", "a\nb", "a\rb", "a\0b", "a\u{7f}b", "a\u{1b}b"] {
        let name = Name::parse(b"X-Data").unwrap();
        assert_eq!(request.headers.push(name.clone(), evil), Err(BuildError::ControlCharacter));
        assert_eq!(request.headers.set(name.clone(), evil), Err(BuildError::ControlCharacter));
        assert_eq!(request.headers.insert_first(name, evil), Err(BuildError::ControlCharacter));
        assert!(request.set_body(evil, "").is_err());
        assert!(Name::parse(evil.as_bytes()).is_none() && Method::parse(evil.as_bytes()).is_none());
        assert!(evil.parse::<Host>().is_err());
        assert!(format!("sip:{evil}@b.example").parse::<Uri>().is_err());
    }
    let evil = "x\r\nEvil: 1\r\n\r\nbody";
    let uri = Uri::sip(Some(evil), "b.example".parse().unwrap(), None).with_param(evil, Some(evil));
    let mut address = NameAddr::new(uri.clone()).with_display_name(evil).with_param(evil, evil).with_tag(evil);
    address.params.set("p", evil);
    request.uri = uri;
    request.headers.set_value(Name::From, &address);
    request.headers.push_value(Name::Route, &vec![address.clone()]);
    let mut via = Via::new(ViaTransport::Other(evil.into()), "h.example".parse().unwrap(), None, evil);
    via.params.set(evil, evil);
    request.headers.insert_first_value(Name::Via, &via);
    let mut auth = AuthParams::new("Digest");
    auth.push_quoted("realm", evil);
    auth.push_token("nonce", evil);
    request.headers.push_value(Name::Authorization, &auth);
    let out = request.to_bytes();
    let text = String::from_utf8_lossy(&out);
    assert!(!text.contains("\nEvil"), "{text}");
    assert_eq!(text.matches("\r\n\r\n").count(), 1);
    let mut response = Response::new(200).with_reason(evil);
    assert!(response.set_to_tag("a\r\nb").is_err());
    response.headers = request.headers.clone();
    assert_eq!(String::from_utf8_lossy(&response.to_bytes()).matches("\r\n\r\n").count(), 1);
    // A host can only be built by parsing, except for the enum itself.
    assert!(serde_json::from_str::<Uri>("\"sip:a\\r\\nb@c.example\"").is_err());
    assert!(serde_json::from_str::<Method>("\"A B\"").is_err());
}

#[test]
fn responses_copy_what_they_must() {
    let text = invite("Via: SIP/2.0/TCP p.example;branch=z9hG4bK2\r\nTimestamp: 54\r\nSubject: x\r\n", "");
    let request = request(&text);
    let mut response = Response::for_request(&request, 180);
    response.set_to_tag("abc").unwrap();
    response.set_to_tag("other").unwrap(); // it has one
    assert_eq!(
        String::from_utf8(response.to_bytes()).unwrap(),
        "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKabc;rport\r\n\
         Via: SIP/2.0/TCP p.example;branch=z9hG4bK2\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=1928\r\n\
         To: <sip:bob@example.net>;tag=abc\r\nCall-ID: a84b4c76e66710@example.com\r\nCSeq: 314159 INVITE\r\n\
         Content-Length: 0\r\n\r\n"
    );
    assert!(Response::for_request(&request, 100).headers.contains(&Name::Timestamp));
    assert_eq!(Response::new(99).status(), 500);
}

#[test]
fn the_source_is_marked() {
    let source: SocketAddr = "198.51.100.7:40000".parse().unwrap();
    let mut request = request(&invite("", ""));
    via::mark_source(&mut request.headers, source).unwrap();
    let top = request.headers.top_via().unwrap();
    assert_eq!(top.received(), Some(source.ip()));
    assert_eq!(top.rport(), Some(40000));
    assert_eq!(top.branch(), Some("z9hG4bKabc"));
    assert_eq!(top.response_address(), Some(source));

    // Same address, no rport: nothing to add. A `received` that the sender made up goes.
    let mut via = Via::parse(b"SIP/2.0/UDP 198.51.100.7;received=203.0.113.1;branch=z9hG4bK1").unwrap();
    via.mark_source(source);
    assert_eq!(via.to_string(), "SIP/2.0/UDP 198.51.100.7;branch=z9hG4bK1");
    assert_eq!(via.response_address(), Some("198.51.100.7:5060".parse().unwrap()));
    // A name: received is added, the port is sent-by's.
    let mut via = Via::parse(b"SIP/2.0/UDP h.example:5070;branch=z9hG4bK1").unwrap();
    assert_eq!(via.response_address(), None);
    via.mark_source(source);
    assert_eq!(via.response_address(), Some("198.51.100.7:5070".parse().unwrap()));
    // An IPv4 peer on an IPv6 socket is an IPv4 peer.
    let mut via = Via::parse(b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1").unwrap();
    via.mark_source("[::ffff:192.0.2.1]:5060".parse().unwrap());
    assert_eq!(via.received(), None);
    // Others in the same line stay byte for byte.
    let mut headers = Headers::new();
    headers.push(Name::Via, "SIP/2.0/UDP a.example;branch=z9hG4bK1, SIP / 2.0/UDP  b ;odd").unwrap();
    via::mark_source(&mut headers, source).unwrap();
    assert!(headers.get(&Name::Via).unwrap().ends_with(b", SIP / 2.0/UDP  b ;odd"));
    headers.remove_top_via();
    assert_eq!(headers.get(&Name::Via), Some(&b"SIP / 2.0/UDP  b ;odd"[..]));
    headers.remove_top_via();
    assert!(!headers.contains(&Name::Via));
}

#[test]
fn uri_equality_is_the_rfcs() {
    let equal = [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
    ];
    let different = [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@b.example", "sips:a@b.example"),
        ("sip:a%3Bx@b.example", "sip:a;x@b.example"),
    ];
    for (a, b) in equal {
        assert_eq!(a.parse::<Uri>().unwrap(), b.parse().unwrap(), "{a} {b}");
    }
    for (a, b) in different {
        assert_ne!(a.parse::<Uri>().unwrap(), b.parse().unwrap(), "{a} {b}");
    }
}

#[test]
fn uris_go_out_as_they_came() {
    for text in [
        "sip:alice@example.com",
        "sips:alice:secret@example.com:5061;transport=tcp;lr?Subject=x&Body=",
        "sip:[2001:db8::1]:5060",
        "sip:192.0.2.4",
        "sip:user;par=u%40example.net@example.com",
        "tel:+15551234",
        "tel:911;phone-context=+1",
        "urn:service:sos",
        "http://www.example.com/x?y=z",
        "sip:*21#@pbx.example",
        "sip:a@b_c.example",
        "sip:localhost",
        "sip:a@b.example;transport=foo;maddr=239.255.255.1;ttl=15",
        "mailto:a@b.example",
    ] {
        let uri: Uri = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(uri.to_string(), text);
        let json = serde_json::to_string(&uri).unwrap();
        assert_eq!(serde_json::from_str::<Uri>(&json).unwrap(), uri);
    }
    for text in [
        "",
        "alice",
        "sip:",
        "sip:a@",
        "sip:a@b@c.example",
        "sip:a b@c.example",
        "sip:a@b..c",
        "sip:a@b.example;;",
        "sip:a@b.example;x=1;x=2",
        "sip:a@b.example;",
        "sip:a@[::1",
        "sip:a@::1",
        "sip:a%4@b.example",
        "sip:a@1.2.3",
        "sip:a@b.example:",
        "sip:a@b.example:0x1",
        "tel:",
        "tel:abcxyz",
        "<sip:a@b.example>",
        "sip:a\"@b.example",
        "1:x",
        ":x",
        "sip:a@b.example?a\u{0}=b",
        "sip:a@-b.example",
    ] {
        assert!(text.parse::<Uri>().is_err(), "{text}");
    }
    let uri = Uri::sip(Some("a b@c:d%/ü"), "h.example".parse().unwrap(), Some(5070)).with_param("x y", Some("1;2"));
    assert_eq!(uri.to_string(), "sip:a%20b%40c%3Ad%25/%C3%BC@h.example:5070;x%20y=1%3B2");
    assert_eq!(uri.user().unwrap(), "a b@c:d%/ü");
}

#[test]
fn addresses() {
    let read = |text: &str| NameAddr::parse(text.as_bytes());
    assert_eq!(read("sip:a@b.example;tag=1").unwrap().tag(), Some("1"));
    assert_eq!(read("<sip:a@b.example;tag=1>").unwrap().tag(), None);
    assert_eq!(read("sip:a;x=1@b.example;tag=2").unwrap().uri.user().unwrap(), "a;x=1");
    assert_eq!(read("\"\\\"q\\\\\" <sip:a@b.example> ; tag = 3").unwrap().display_name.as_deref(), Some("\"q\\"));
    assert_eq!(read("A B  <sip:a@b.example>").unwrap().display_name.as_deref(), Some("A B"));
    assert_eq!(read("<tel:+1555;ext=1>;tag=x").unwrap().uri.param("ext"), Some("1"));
    for bad in [
        "",
        "<>",
        "<sip:a@b.example",
        "\"a\"",
        "\"a\" sip:a@b.example",
        "\"a <sip:a@b.example>",
        "a@b",
        "<sip:a@b.example>x",
        "<sip:a@b.example>;",
        "<sip:a@b.example>;=x",
        "<sip:a@b.example>;tag=\"x",
        "sip:a@b.example?x=y",
        "a,b <sip:a@b.example>",
        "<sip:a@b.example>;tag=\"x\"y",
        "< sip:a@b.example>",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    let star = request(&invite("Contact: *\r\n", ""));
    assert_eq!(star.headers.contacts().unwrap(), Contacts::Star);
    assert!(request(&invite("Contact: *, <sip:a@b.example>\r\n", "")).headers.contacts().is_err());
}

#[test]
fn numbers_and_lists() {
    for (lines, ok) in [
        ("Expires: 0", true),
        ("Expires: 4294967295", true),
        ("Expires: 4294967296", false),
        ("Expires: -1", false),
        ("Expires: 1 2", false),
        ("Expires:", false),
    ] {
        assert_eq!(request(&invite(&format!("{lines}\r\n"), "")).headers.expires().is_ok(), ok, "{lines}");
    }
    let cseq = |value: &str| request(&invite("", "").replace("314159 INVITE", value)).headers.cseq();
    assert_eq!(cseq("2147483647 INVITE").unwrap().number, 2147483647);
    assert_eq!(cseq("0001\t INVITE").unwrap().number, 1);
    for bad in ["2147483648 INVITE", "INVITE", "1", "1INVITE", "-1 INVITE", "1 INV ITE", "1 "] {
        assert_eq!(cseq(bad).unwrap_err().name, Name::CSeq, "{bad}");
    }
    let tokens = request(&invite("Require: 100rel,, timer\r\nRequire: x\r\n", "")).headers.require().unwrap();
    assert_eq!(tokens, ["100rel", "timer", "x"]);
    assert!(request(&invite("Require: a b\r\n", "")).headers.require().is_err());
    let retry = request(&invite("Retry-After: 18000;duration=3600 (x)\r\n", "")).headers.retry_after().unwrap();
    assert_eq!(retry, Some(18000));
}

#[test]
fn challenges_and_credentials() {
    let request = request(&invite(
        "WWW-Authenticate: Digest realm=\"a, \\\"b\\\"\", nonce=\"n\",algorithm=SHA-256 , qop=\"auth,auth-int\", stale=TRUE\r\n\
         WWW-Authenticate: Digest realm=\"r\", nonce=\"m\", Basic realm=\"x\"\r\nProxy-Authorization: Basic dXNlcjpwYXNz==\r\n",
        "",
    ));
    let list = request.headers.www_authenticate().unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!(list[0].get("REALM"), Some("a, \"b\""));
    assert_eq!(list[0].get("qop"), Some("auth,auth-int"));
    assert_eq!(list[0].get("stale"), Some("TRUE"));
    assert!(list[2].is("basic"));
    assert!(request.headers.proxy_authorization().unwrap()[0].is("Basic"));
    let mut headers = Headers::new();
    headers.push_value(Name::WwwAuthenticate, &list[0]);
    assert_eq!(headers.www_authenticate().unwrap()[0], list[0]);
    assert!(request.headers.authorization().unwrap().is_empty());
}

#[test]
fn header_list_editing() {
    let mut headers = Headers::new();
    headers.push(Name::Supported, "a").unwrap();
    headers.push(Name::Subject, "s").unwrap();
    headers.push(Name::parse(b"SUPPORTED").unwrap(), "b").unwrap();
    headers.push(Name::parse(b"X-Custom").unwrap(), "1").unwrap();
    headers.set(Name::Supported, "c").unwrap();
    let names: Vec<_> = headers.iter().map(|h| h.name().to_string()).collect();
    assert_eq!(names, ["Supported", "Subject", "X-Custom"]);
    assert_eq!(headers.get(&Name::Supported), Some(&b"c"[..]));
    assert_eq!(headers.text(&"x-custom".parse().unwrap()).unwrap(), "1");
    headers.set_value(Name::MaxForwards, &70u32);
    headers.insert_first(Name::Route, "<sip:p.example;lr>").unwrap();
    assert_eq!(headers.iter().next().unwrap().name(), &Name::Route);
    assert_eq!(headers.remove(&Name::Subject), 1);
    assert_eq!(headers.len(), 4);
}

#[test]
fn streams_are_cut_where_content_length_says() {
    use stream::{Framed, Framer};
    let one = invite("Content-Length: 5\r\n", "hello");
    let two = invite("l: 0\r\n", "").replace("\r\n", "\n");
    let all = format!("\r\n\r\n{one}\r\n{two}\r\n\r\n\r\n{one}");
    // However the bytes are cut, the same comes out.
    for step in [1, 2, 3, 7, 100, all.len()] {
        let mut framer = Framer::new();
        let (mut messages, mut pings) = (Vec::new(), 0);
        for chunk in all.as_bytes().chunks(step) {
            framer.push(chunk);
            while let Some(framed) = framer.next() {
                match framed {
                    Framed::Message(bytes) => messages.push(String::from_utf8(bytes).unwrap()),
                    Framed::Ping => pings += 1,
                    Framed::Broken(error) => panic!("{error}"),
                }
            }
        }
        assert_eq!(messages, [one.clone(), two.clone(), one.clone()], "step {step}");
        assert_eq!(pings, 2, "step {step}");
        assert!(!framer.is_midway());
    }
}

#[test]
fn streams_that_lose_their_framing_break() {
    use stream::{Framed, Framer};
    let broken = |text: &str| {
        let mut framer = Framer::new();
        framer.push(text.as_bytes());
        match framer.next() {
            Some(Framed::Broken(error)) => {
                assert!(framer.next().is_none());
                framer.push(b"more");
                assert!(framer.next().is_none() && !framer.is_midway());
                error
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(broken(&invite("", "")).status(), 400);
    assert!(broken(&invite("Content-Length: x\r\n", "")).response().is_some());
    assert_eq!(broken(&invite("Content-Length: 1\r\nl: 2\r\n", "ab")).status(), 400);
    assert_eq!(broken(&invite("Content-Length: 65535\r\n", "")).response().unwrap().status(), 513);
    assert_eq!(broken(&invite("Content-Length: 18446744073709551615\r\n", "")).status(), 513);
    assert_eq!(broken(&"x".repeat(MAX_MESSAGE)).status(), 513);
    assert_eq!(broken(&invite(&"X: y\r\n".repeat(300), "")).problem, Problem::TooManyHeaders);
    // A message that is malformed but framed does no harm.
    let mut framer = Framer::new();
    framer.push(invite("Content-Length: 0\r\n", "").replace("INVITE sip", "INVITE  sip").as_bytes());
    let Some(Framed::Message(bytes)) = framer.next() else { panic!() };
    assert!(Message::parse(&bytes).is_err());
}
