//! Every message of RFC 4475, each with what becomes of it here.

use super::super::*;

/// What this layer makes of a message, and, where it takes one that may not stand, what is left to whom.
#[derive(Debug)]
enum Verdict {
    /// Read and checked.
    Accept,
    /// Read and checked; the agent refuses it with that status (or treats it as the words say).
    Later(u16),
    /// Not a message: that status, and the answer can be built.
    Parse(u16),
    /// Not a message, and a response: dropped.
    Drop,
    /// Read, but the check names this header: 400, or dropped if it is a response.
    Check(Name),
}
use Verdict::*;

macro_rules! torture {
    ($($name:literal $section:literal $verdict:expr;)*) => {
        const TABLE: &[(&str, &str, &[u8], Verdict)] = &[$((
            $name,
            $section,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/torture/", $name, ".sip")),
            $verdict,
        ),)*];
    };
}

torture! {
    "wsinv" "3.1.1.1" Accept;
    "intmeth" "3.1.1.2" Accept;
    "esc01" "3.1.1.3" Accept;
    "escnull" "3.1.1.4" Accept;
    "esc02" "3.1.1.5" Accept;
    "lwsdisp" "3.1.1.6" Accept;
    "longreq" "3.1.1.7" Accept;
    "dblreq" "3.1.1.8" Accept; // the second message is dropped with what follows the first one's body
    "semiuri" "3.1.1.9" Accept;
    "transports" "3.1.1.10" Accept;
    "mpart01" "3.1.1.11" Accept;
    "unreason" "3.1.1.12" Accept;
    "noreason" "3.1.1.13" Accept;
    "badinv01" "3.1.2.1" Check(Name::Via);
    "clerr" "3.1.2.2" Parse(400);
    "ncl" "3.1.2.3" Parse(400);
    "scalar02" "3.1.2.4" Check(Name::CSeq);
    "scalarlg" "3.1.2.5" Check(Name::CSeq);
    "quotbal" "3.1.2.6" Check(Name::To);
    "ltgtruri" "3.1.2.7" Parse(400);
    "lwsruri" "3.1.2.8" Parse(400);
    "lwsstart" "3.1.2.9" Parse(400);
    "trws" "3.1.2.10" Parse(400);
    "escruri" "3.1.2.11" Accept; // the headers in the Request-URI are never looked at
    "baddate" "3.1.2.12" Accept; // nobody reads Date
    "regbadct" "3.1.2.13" Check(Name::Contact);
    "badaspec" "3.1.2.14" Check(Name::To);
    "baddn" "3.1.2.15" Check(Name::From);
    "badvers" "3.1.2.16" Parse(505);
    "mismatch01" "3.1.2.17" Check(Name::CSeq);
    "mismatch02" "3.1.2.18" Check(Name::CSeq);
    "bigcode" "3.1.2.19" Drop;
    "badbranch" "3.2.1" Accept; // the branch counts as none: matched as RFC 2543 does
    "insuf" "3.3.1" Check(Name::From);
    "unkscm" "3.3.2" Later(416);
    "novelsc" "3.3.3" Later(416);
    "unksm2" "3.3.4" Later(405); // no registrar here
    "bext01" "3.3.5" Later(420);
    "invut" "3.3.6" Later(415);
    "regaut01" "3.3.7" Later(405);
    "multi01" "3.3.8" Check(Name::From);
    "mcl01" "3.3.9" Parse(400);
    "bcast" "3.3.10" Accept; // two Vias in a response: the user agent drops it
    "zeromf" "3.3.11" Accept; // 483 is a proxy's to say
    "cparam01" "3.3.12" Accept;
    "cparam02" "3.3.13" Accept;
    "regescrt" "3.3.14" Accept;
    "sdp01" "3.3.15" Later(406);
    "inv2543" "3.4.1" Accept;
}

fn bytes(name: &str) -> &'static [u8] {
    TABLE.iter().find(|row| row.0 == name).map(|row| row.2).unwrap()
}

fn parsed(name: &str) -> Message {
    Message::parse(bytes(name)).unwrap()
}

/// What a user agent without registrar and extensions refuses, as far as this layer shows it.
fn reason_to_refuse(request: &Request) -> Option<u16> {
    let headers = &request.headers;
    if request.method == Method::Register {
        return Some(405);
    }
    if matches!(request.uri, Uri::Other(_)) {
        return Some(416);
    }
    if !headers.require().unwrap().is_empty() {
        return Some(420);
    }
    if headers.content_type().unwrap().is_some_and(|kind| kind.essence != "application/sdp") {
        return Some(415);
    }
    let accept = headers.list(Name::Accept, |value| Ok(value.to_vec())).unwrap();
    (!accept.is_empty() && !accept.iter().any(|value| value == b"application/sdp")).then_some(406)
}

#[test]
fn all_49_are_there_and_have_their_verdict() {
    assert_eq!(TABLE.len(), 49);
    for (name, section, bytes, verdict) in TABLE {
        let at = format!("{name} (§{section})");
        let result = Message::parse(bytes);
        match verdict {
            Accept => {
                let message = result.unwrap_or_else(|error| panic!("{at}: {error}"));
                message.check().unwrap_or_else(|error| panic!("{at}: {error}"));
            }
            Later(status) => {
                let message = result.unwrap_or_else(|error| panic!("{at}: {error}"));
                message.check().unwrap_or_else(|error| panic!("{at}: {error}"));
                assert_eq!(reason_to_refuse(message.as_request().unwrap()), Some(*status), "{at}");
            }
            Parse(status) => {
                let error = result.expect_err(&at);
                assert_eq!(error.status(), *status, "{at}: {error}");
                let response = error.response().unwrap_or_else(|| panic!("{at}: no answer"));
                assert_eq!(response.status(), *status);
                response.check().unwrap_or_else(|error| panic!("{at}: {error}"));
            }
            Drop => assert!(result.expect_err(&at).answerable().is_none(), "{at}"),
            Check(name) => {
                let message = result.unwrap_or_else(|error| panic!("{at}: {error}"));
                let error = message.check().expect_err(&at);
                assert_eq!(error.name, *name, "{at}: {error}");
                assert_eq!(error.status(), 400);
                assert!(error.reason().contains(name.as_str()), "{at}: {}", error.reason());
            }
        }
    }
}

/// What is accepted means the same once it has been written and read again.
#[test]
fn accepted_messages_survive_writing() {
    for (name, _, bytes, verdict) in TABLE {
        if !matches!(verdict, Accept | Later(_)) {
            continue;
        }
        let once = Message::parse(bytes).unwrap();
        let mut twice = Message::parse(&once.to_bytes()).unwrap();
        let mut once = once;
        once.headers_mut().remove(&Name::ContentLength);
        twice.headers_mut().remove(&Name::ContentLength);
        assert_eq!(once, twice, "{name}");
    }
}

#[test]
fn wsinv_means_what_the_rfc_says() {
    let message = parsed("wsinv");
    let headers = message.headers();
    assert_eq!(headers.to().unwrap().tag(), Some("1918181833n"));
    let from = headers.from().unwrap();
    assert_eq!(from.display_name.as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(from.tag(), Some("98asjd8"));
    assert_eq!(headers.max_forwards().unwrap(), Some(68));
    assert_eq!(headers.cseq().unwrap(), CSeq { number: 9, method: Method::Invite });
    let vias = headers.via().unwrap();
    let hops: Vec<_> = vias.iter().map(|v| (v.transport.as_str(), v.host.to_string(), v.branch().unwrap())).collect();
    assert_eq!(
        hops,
        [
            ("UDP", "192.0.2.2".to_owned(), "390skdjuw"),
            ("TCP", "spindle.example.com".to_owned(), "z9hG4bK9ikj8"),
            ("UDP", "192.168.255.111".to_owned(), "z9hG4bK30239"),
        ]
    );
    let fangled = Name::parse(b"newfangledheader").unwrap();
    assert_eq!(headers.get(&fangled), Some(&b"newfangled value continued newfangled value"[..]));
    let route = headers.route().unwrap();
    assert!(route[0].uri.is_loose_router());
    assert_eq!(route[0].uri.param("unknownwith"), Some("value"));
    let contact = headers.contact().unwrap().unwrap();
    assert_eq!(contact.display_name.as_deref(), Some("Quoted string \"\""));
    assert_eq!(contact.params.get("newparam"), Some("newvalue"));
    assert_eq!(contact.params.get("q"), Some("0.33"));
    assert_eq!(headers.get(&Name::Subject), Some(&b""[..]));
    assert_eq!(message.body().len(), 150);
}

#[test]
fn intmeth_means_what_the_rfc_says() {
    let message = parsed("intmeth");
    let request = message.as_request().unwrap();
    assert_eq!(request.method.as_str(), "!interesting-Method0123456789_*+`.%indeed'~");
    assert_eq!(request.uri.user().unwrap(), "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*");
    let uri = request.uri.as_sip().unwrap();
    assert_eq!(uri.password(), Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
    assert_eq!(uri.host().to_string(), "example.com");
    assert_eq!(request.headers.to().unwrap().display_name.as_deref(), Some("BEL:\u{7} NUL:\0 DEL:\u{7f}"));
    let from = request.headers.from().unwrap();
    assert_eq!(from.params.get("fromParam''~+*_!.-%"), Some("работающий"));
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(request.headers.top_via().unwrap().unique_branch(), Some("z9hG4bK-.!%66*_+`'~"));
}

#[test]
fn escapes_mean_what_the_rfc_says() {
    let esc01 = parsed("esc01");
    let request = esc01.as_request().unwrap();
    assert_eq!(request.uri.scheme(), "sip");
    assert_eq!(request.uri.user().unwrap(), "sips:user@example.com");
    assert_eq!(request.uri.host().unwrap().to_string(), "example.net");
    assert_eq!(request.headers.to().unwrap().uri, "sip:user@example.com".parse().unwrap());
    assert_eq!(request.headers.from().unwrap().uri.user().unwrap(), "I have spaces");
    let contact = request.headers.contact().unwrap().unwrap().uri;
    assert!(contact.is_loose_router());
    assert_eq!(contact, "sip:caller@host5.example.net;lr;name=value%2541".parse().unwrap());
    assert_ne!(contact, "sip:caller@host5.example.net;lr;name=valueA".parse().unwrap());

    let escnull = parsed("escnull");
    let Contacts::List(contacts) = escnull.headers().contacts().unwrap() else { panic!() };
    assert_eq!(contacts[0].uri.user().unwrap(), "\0");
    assert_eq!(contacts[1].uri.user().unwrap(), "\0\0");
    assert_ne!(contacts[0].uri, contacts[1].uri);

    // Escapes are no escapes in a method or a header name.
    let esc02 = parsed("esc02");
    let request = esc02.as_request().unwrap();
    assert!(request.method.is_other());
    assert_eq!(request.headers.to().unwrap().display_name.as_deref(), Some("%Z%45"));
    let Contacts::List(contacts) = request.headers.contacts().unwrap() else { panic!() };
    assert_eq!(contacts.len(), 2);
}

#[test]
fn dblreq_is_one_message() {
    let message = parsed("dblreq");
    assert_eq!(message.as_request().unwrap().method, Method::Register);
    assert_eq!(message.headers().call_id().unwrap(), "dblreq.0ha0isndaksdj99sdfafnl3lk233412");
    assert!(message.body().is_empty());
}

#[test]
fn semiuri_transports_and_reasons() {
    let semiuri = parsed("semiuri");
    let request = semiuri.as_request().unwrap();
    assert_eq!(request.uri.user().unwrap(), "user;par=u@example.net");
    assert_eq!(request.uri.as_sip().unwrap().user_without_params().unwrap(), "user");
    assert!(request.uri.as_sip().unwrap().params().is_empty());
    assert_eq!(request.headers.list(Name::Accept, |v| Ok(v.to_vec())).unwrap().len(), 6);

    let vias = parsed("transports").headers().via().unwrap();
    let names: Vec<_> = vias.iter().map(|via| via.transport.as_str()).collect();
    assert_eq!(names, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);

    let unreason = parsed("unreason");
    assert_eq!(unreason.as_response().unwrap().reason(), "= 2**3 * 5**2 но сто девяносто девять - простое");
    let noreason = parsed("noreason");
    let noreason = noreason.as_response().unwrap();
    assert_eq!((noreason.status(), noreason.reason().as_ref()), (100, ""));
}

#[test]
fn mpart01_keeps_its_binary_body() {
    let message = parsed("mpart01");
    assert_eq!(message.body().len(), 553);
    let again = message.to_bytes();
    assert!(again.ends_with(message.body()));
    assert!(bytes("mpart01").ends_with(message.body()));
    let kind = message.headers().content_type().unwrap().unwrap();
    assert_eq!((kind.essence.as_str(), kind.params.get("boundary")), ("multipart/mixed", Some("7a9cbec02ceef655")));
}

#[test]
fn what_later_layers_need_of_the_others() {
    assert_eq!(parsed("badbranch").headers().top_via().unwrap().unique_branch(), None);
    assert_eq!(parsed("inv2543").headers().top_via().unwrap().branch(), None);
    assert_eq!(parsed("inv2543").body().len(), 105);
    assert_eq!(parsed("zeromf").headers().max_forwards().unwrap(), Some(0));
    assert_eq!(parsed("bext01").headers().require().unwrap().len(), 2);
    assert_eq!(parsed("novelsc").as_request().unwrap().uri.scheme(), "soap.beep");
    assert_eq!(parsed("unkscm").as_request().unwrap().uri.scheme(), "nobodyknowsthisscheme");
    let auth = parsed("regaut01").headers().authorization().unwrap();
    assert_eq!((auth[0].scheme.as_str(), auth[0].get("opaque-data")), ("NoOneKnowsThisScheme", Some("here")));
    assert_eq!(parsed("bcast").headers().via().unwrap().len(), 2);
    // Without brackets the parameter is the header's, with them it is the URI's.
    let one = parsed("cparam01").headers().contact().unwrap().unwrap();
    assert!(one.params.contains("unknownparam") && one.uri.param("unknownparam").is_none());
    let two = parsed("cparam02").headers().contact().unwrap().unwrap();
    assert!(!two.params.contains("unknownparam") && two.uri.param("unknownparam").is_some());
    let escrt = parsed("regescrt").headers().contact().unwrap().unwrap();
    let headers = escrt.uri.as_sip().unwrap().header_list();
    assert_eq!(headers, [("Route".to_owned(), "<sip:sip.example.com>".to_owned())]);
    // Out of range beyond what the check needs.
    let scalar = parsed("scalar02");
    assert!(scalar.headers().expires().is_err() && scalar.headers().max_forwards().is_err());
    assert!(parsed("scalarlg").headers().retry_after().is_err());
}
