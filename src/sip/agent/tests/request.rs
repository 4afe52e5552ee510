//! Requests outside of any dialog: one outcome each, challenges answered on the way, nothing left behind.

use std::time::Duration;

use super::*;
use crate::sip::leg::Credentials;
use crate::sip::message::{Method, Name};

fn register() -> OutgoingRequest {
    let aor = Party { display: None, uri: "sip:acct@198.51.100.7".into() };
    OutgoingRequest {
        method: Method::Register,
        target: "sip:198.51.100.7".into(),
        from: aor.clone(),
        to: Some(aor),
        destination: far(),
        transport: Transport::Udp,
        way: Way { route: vec!["<sip:edge.example;lr>".into()], ..Way::default() },
        call_id: Some("row".into()),
        cseq: 7,
        contact: Some(("me".into(), vec![("expires".into(), Some("300".into())), ("ob".into(), None)])),
        headers: vec![("Expires".into(), "300".into())],
        credentials: Some(Credentials { user: "acct".into(), password: "secret".into() }),
        authenticator: Default::default(),
    }
}

fn answer(request: &Request, status: u16, extra: &str) -> String {
    let header = |name| request.headers.text(&name).expect("a header").into_owned();
    format!(
        "SIP/2.0 {status} X\r\nVia: {}\r\nFrom: {}\r\nTo: {};tag=t\r\nCall-ID: {}\r\nCSeq: {}\r\n{extra}Content-Length: 0\r\n\r\n",
        header(Name::Via),
        header(Name::From),
        header(Name::To),
        header(Name::CallId),
        header(Name::CSeq)
    )
}

#[test]
fn a_challenge_is_answered_and_the_outcome_told_once() {
    let mut bench = Bench::new();
    let id = bench.agent.request(register(), bench.now);
    let first = bench.done().requests.remove(0).1;
    assert_eq!(first.headers.text(&Name::Route).as_deref(), Some("<sip:edge.example;lr>"));
    let contact = first.headers.text(&Name::Contact).expect("a Contact").into_owned();
    assert!(contact.starts_with("<sip:me@192.0.2.1:5060>") && contact.ends_with(";expires=300;ob"), "{contact}");
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    let second = bench.receive(&answer(&first, 401, challenge)).requests.remove(0).1;
    assert_eq!(second.headers.cseq().unwrap().number, 8);
    assert_eq!(second.headers.call_id().unwrap(), "row");
    assert!(second.headers.text(&Name::Authorization).expect("credentials").contains("username=\"acct\""));
    let done = bench.receive(&answer(&second, 200, "Expires: 60\r\n"));
    assert!(done.traces.is_empty(), "no call has a timeline for it");
    let [(told, outcome)] = &done.answered[..] else { panic!("one outcome: {:?}", done.answered) };
    assert_eq!((*told, outcome.status, outcome.cseq), (id, 200, 8));
    assert_eq!(outcome.response.as_ref().unwrap().headers.expires().unwrap(), Some(60));
    // The next of the row brings credentials at once.
    let again = OutgoingRequest { cseq: 9, authenticator: outcome.authenticator.clone(), ..register() };
    bench.agent.request(again, bench.now);
    let third = bench.done().requests.remove(0).1;
    assert!(third.headers.text(&Name::Authorization).expect("credentials").contains("nc=00000002"));
    assert_eq!(bench.receive(&answer(&third, 403, "")).answered[0].1.status, 403);
    bench.wait(Duration::from_secs(40));
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn silence_loss_and_what_cannot_be_sent_are_outcomes_too() {
    let mut bench = Bench::new();
    bench.agent.request(register(), bench.now);
    let done = bench.wait(Duration::from_secs(40));
    assert_eq!(done.answered.iter().map(|(_, o)| (o.status, o.response.is_none())).collect::<Vec<_>>(), [(408, true)]);

    bench.agent.request(OutgoingRequest { transport: Transport::Tcp, ..register() }, bench.now);
    let peer = bench.done().requests.remove(0).0;
    bench.agent.transport_lost(&peer, bench.now);
    assert_eq!(bench.done().answered[0].1.status, 503);

    for bad in [
        OutgoingRequest { target: "not a uri".into(), ..register() },
        OutgoingRequest { method: Method::Invite, ..register() },
        OutgoingRequest { headers: vec![("X-A".into(), "b\r\nX-C: d".into())], ..register() },
    ] {
        bench.agent.request(bad, bench.now);
        let done = bench.done();
        assert_eq!((done.answered[0].1.status, done.requests.len()), (400, 0));
    }
    // A wrong password ends after one round.
    bench.agent.request(register(), bench.now);
    let first = bench.done().requests.remove(0).1;
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n";
    let second = bench.receive(&answer(&first, 401, challenge)).requests.remove(0).1;
    let done = bench.receive(&answer(&second, 401, challenge));
    assert_eq!((done.answered[0].1.status, done.requests.len()), (401, 0));
    bench.wait(Duration::from_secs(40));
    assert_eq!(bench.agent.census(), Census::default());
}
