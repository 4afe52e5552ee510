//! The client side against peers written out by hand: forks, challenges, routes, answers of every kind.

use super::*;
use crate::sip::leg::{Credentials, EndCause, Side};
use crate::sip::message::Name;

const CONTACT: &str = "Contact: <sip:bob@192.0.2.2:5060>";

/// A call placed: its leg and the INVITE.
fn placed(bench: &mut Bench, change: impl FnOnce(&mut OutgoingInvite)) -> (LegId, Request) {
    let leg = bench.agent.new_leg();
    let mut call = invite(Transport::Udp);
    change(&mut call);
    bench.agent.place(leg, call, bench.now);
    let done = bench.done();
    (leg, done.request("INVITE").clone())
}

fn with_credentials(call: &mut OutgoingInvite) {
    call.credentials = Some(Credentials { user: "u".into(), password: "p".into() });
}

#[test]
fn the_invite_is_as_it_should_be() {
    let mut bench = Bench::new();
    let (_, request) = placed(&mut bench, |call| call.transport = Transport::Tcp);
    request.check().unwrap();
    let header = |name| request.headers.text(&name).unwrap().into_owned();
    assert_eq!(header(Name::Contact), "<sip:strowger@192.0.2.1:5060;transport=tcp>");
    assert_eq!(header(Name::MaxForwards), "70");
    let via = request.headers.top_via().unwrap();
    assert!(via.wants_rport() && via.branch().unwrap().starts_with("z9hG4bK"));
    assert!(header(Name::From).starts_with("\"Alice\" <sip:alice@192.0.2.1>;tag="));
    assert_eq!(header("X-Campaign".parse().unwrap()), "spring");
}

#[test]
fn what_cannot_be_written_fails_at_once() {
    let changes: [fn(&mut OutgoingInvite); 4] = [
        |call| call.target = "bob at home".into(),
        |call| call.from.uri = "sip:".into(),
        |call| call.headers = vec![("X-Evil".into(), "a\r\nVia: b".into())],
        |call| call.transport = Transport::Tls,
    ];
    for change in changes {
        let mut bench = Bench::new();
        let leg = bench.agent.new_leg();
        let mut call = invite(Transport::Udp);
        change(&mut call);
        bench.agent.place(leg, call, bench.now);
        let done = bench.done();
        assert!(matches!(done.events[..], [LegEvent::Failed { local: true, .. }]));
        assert_eq!((done.requests.len(), done.gone), (0, vec![leg]));
        assert_eq!(bench.agent.census(), Census::default());
    }
}

#[test]
fn early_media_and_then_the_answer() {
    let mut bench = Bench::new();
    let (_, invite) = placed(&mut bench, |_| ());
    assert!(bench.reply(&invite, 100, "", "", "").events.is_empty());
    let done = bench.reply(&invite, 183, "f1", CONTACT, OFFER);
    assert!(matches!(done.events[..], [LegEvent::Ringing { status: 183 }, LegEvent::EarlyMedia { .. }]));
    assert_eq!(bench.reply(&invite, 180, "f1", CONTACT, OFFER).events.len(), 1, "nothing new in the same answer");
    // The 200 may leave out what the 183 has said.
    let done = bench.reply(&invite, 200, "f1", CONTACT, "");
    assert!(matches!(done.events[..], [LegEvent::Accepted { media: Some(_) }, LegEvent::Confirmed]));
    let ack = done.request("ACK").clone();
    assert_eq!(ack.headers.cseq().unwrap().number, invite.headers.cseq().unwrap().number);
    assert_ne!(ack.headers.top_via().unwrap().branch(), invite.headers.top_via().unwrap().branch());
    assert_eq!(bench.reply(&invite, 200, "f1", CONTACT, "").request("ACK"), &ack, "the same again");
}

#[test]
fn a_fork_that_answers_second_gets_ack_and_bye() {
    let mut bench = Bench::new();
    let (leg, invite) = placed(&mut bench, |_| ());
    bench.reply(&invite, 180, "one", CONTACT, "");
    bench.reply(&invite, 180, "two", "Contact: <sip:bob@198.51.100.2:5062>", "");
    bench.reply(&invite, 200, "one", CONTACT, OFFER);
    let done = bench.reply(&invite, 200, "two", "Contact: <sip:bob@198.51.100.2:5062>", OFFER);
    assert_eq!(done.methods(), ["ACK", "BYE"]);
    assert!(done.events.is_empty());
    for (peer, request) in &done.requests {
        assert_eq!(peer.remote, "198.51.100.2:5062".parse().unwrap());
        assert_eq!(request.headers.to().unwrap().tag(), Some("two"));
    }
    let again = bench.reply(&invite, 200, "two", "Contact: <sip:bob@198.51.100.2:5062>", OFFER);
    assert_eq!(again.methods(), ["ACK"], "one BYE is enough");
    let first = bench.reply(&invite, 200, "one", CONTACT, OFFER);
    assert_eq!((first.methods(), first.events.len()), (vec!["ACK".to_owned()], 0), "and the call itself stands");
    assert!(
        bench.command(leg, LegCommand::Hangup { reason: None }).request("BYE").headers.to().unwrap().tag()
            == Some("one")
    );
    bench.wait(Duration::from_secs(100));
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn routes_of_the_answer_are_followed() {
    let mut bench = Bench::new();
    let (leg, invite) = placed(&mut bench, |_| ());
    let routes =
        "Record-Route: <sip:198.51.100.2;lr>\nRecord-Route: <sip:198.51.100.1:5070;lr>\nContact: <sip:bob@203.0.113.1>";
    let done = bench.reply(&invite, 200, "t", routes, OFFER);
    let (peer, ack) = &done.requests[0];
    assert_eq!(peer.remote, "198.51.100.1:5070".parse().unwrap());
    assert_eq!(ack.headers.text(&Name::Route).unwrap(), "<sip:198.51.100.1:5070;lr>, <sip:198.51.100.2;lr>");
    assert_eq!(ack.uri.to_string(), "sip:bob@203.0.113.1");
    let bye = bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!(bye.requests[0].1.headers.cseq().unwrap().number, 2);
}

#[test]
fn a_useless_answer_is_hung_up_on() {
    for body in ["", "nonsense", &OFFER.replace(" 0 101", " 18"), &OFFER.replace("4000", "0")] {
        let mut bench = Bench::new();
        let (_, invite) = placed(&mut bench, |_| ());
        let done = bench.reply(&invite, 200, "t", CONTACT, body);
        assert_eq!(done.methods(), ["ACK", "BYE"]);
        assert!(matches!(done.events[..], [LegEvent::Failed { status: 488, local: true, .. }]));
    }
}

#[test]
fn a_refusal_is_acknowledged_each_time_it_comes() {
    let mut bench = Bench::new();
    let (_, invite) = placed(&mut bench, |_| ());
    let done = bench.reply(&invite, 603, "t", "Reason: Q.850;cause=21", "");
    let ack = done.request("ACK").clone();
    assert_eq!(ack.headers.top_via().unwrap().branch(), invite.headers.top_via().unwrap().branch());
    assert_eq!((&ack.uri, ack.headers.to().unwrap().tag()), (&invite.uri, Some("t")));
    assert!(
        matches!(&done.events[..], [LegEvent::Failed { status: 603, reason: Some(r), .. }] if r == "Q.850;cause=21")
    );
    let again = bench.reply(&invite, 603, "t", "", "");
    assert_eq!((again.request("ACK"), again.events.len()), (&ack, 0));
    assert_eq!(bench.wait(Duration::from_secs(33)).gone.len(), 1);
}

#[test]
fn a_challenge_is_answered_and_remembered() {
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n1\", qop=\"auth\"\n\
         Proxy-Authenticate: Digest realm=\"r\", nonce=\"n2\", qop=\"auth\", algorithm=SHA-256";
    let mut bench = Bench::new();
    let (leg, first) = placed(&mut bench, with_credentials);
    let done = bench.reply(&first, 407, "x", challenge, "");
    assert_eq!(done.methods(), ["ACK", "INVITE"]);
    assert!(done.events.is_empty());
    let second = done.request("INVITE").clone();
    assert_eq!(second.headers.cseq().unwrap().number, 2);
    assert_eq!(second.headers.call_id(), first.headers.call_id());
    assert_eq!(second.headers.from(), first.headers.from());
    assert!(second.headers.to().unwrap().tag().is_none());
    assert_ne!(second.headers.top_via().unwrap().branch(), first.headers.top_via().unwrap().branch());
    let credentials = second.headers.text(&Name::ProxyAuthorization).unwrap().into_owned();
    assert!(credentials.contains("nonce=\"n2\"") && credentials.contains("nc=00000001"), "{credentials}");
    assert!(done.traces.iter().all(|t| !t.contains("nonce=\"n2\", uri")), "not in the timeline");
    // A stale nonce is replaced once.
    let stale = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n3\", qop=\"auth\", algorithm=SHA-256, stale=true";
    let third = bench.reply(&second, 407, "x", stale, "").request("INVITE").clone();
    let done = bench.reply(&third, 200, "t", CONTACT, OFFER);
    assert_eq!(
        done.request("ACK").headers.text(&Name::ProxyAuthorization),
        third.headers.text(&Name::ProxyAuthorization),
        "§22.1: the ACK carries the INVITE's"
    );
    let bye = bench.command(leg, LegCommand::Hangup { reason: None }).request("BYE").clone();
    assert!(bye.headers.text(&Name::ProxyAuthorization).unwrap().contains("nc=00000002"));
    let fresh = stale.replace("n3", "n4");
    let again = bench.reply(&bye, 407, "t", &fresh, "").request("BYE").clone();
    assert!(again.headers.text(&Name::ProxyAuthorization).unwrap().contains("n4"));
    assert_eq!(again.headers.cseq().unwrap().number, bye.headers.cseq().unwrap().number + 1);
    bench.reply(&again, 200, "t", "", "");
    bench.wait(Duration::from_secs(40));
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn refused_credentials_end_in_failure_and_never_in_a_loop() {
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"";
    let mut bench = Bench::new();
    let (_, first) = placed(&mut bench, with_credentials);
    let second = bench.reply(&first, 401, "x", challenge, "").request("INVITE").clone();
    let done = bench.reply(&second, 401, "x", challenge, "");
    assert!(matches!(done.events[..], [LegEvent::Failed { status: 401, local: false, .. }]));
    assert_eq!(done.methods(), ["ACK"]);
    // Without credentials at once.
    let (_, first) = placed(&mut bench, |_| ());
    assert!(matches!(bench.reply(&first, 401, "x", challenge, "").events[..], [LegEvent::Failed { status: 401, .. }]));
    // A peer that invents a realm each time.
    let (_, mut request) = placed(&mut bench, with_credentials);
    let mut rounds = 0;
    loop {
        let realm = format!("WWW-Authenticate: Digest realm=\"{rounds}\", nonce=\"n\", stale=true");
        let done = bench.reply(&request, 401, "x", &realm, "");
        let Some((_, next)) = done.requests.iter().find(|(_, r)| r.method.as_str() == "INVITE") else { break };
        request = next.clone();
        rounds += 1;
        assert!(rounds < 10);
    }
    assert_eq!(rounds, crate::sip::digest::MAX_ROUNDS as i32);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_hung_up_on() {
    let mut bench = Bench::new();
    let (leg, invite) = placed(&mut bench, |_| ());
    bench.reply(&invite, 180, "t", CONTACT, "");
    let done = bench.command(leg, LegCommand::Hangup { reason: None });
    let cancel = done.request("CANCEL").clone();
    assert_eq!(cancel.headers.top_via().unwrap().branch(), invite.headers.top_via().unwrap().branch());
    assert_eq!(cancel.headers.cseq().unwrap().number, 1);
    assert!(bench.reply(&invite, 180, "t", CONTACT, "").requests.is_empty(), "one CANCEL is enough");
    assert_eq!(done.events, [LegEvent::Ended { by: Side::Local, cause: EndCause::Cancelled, reason: None }]);
    let done = bench.reply(&invite, 200, "t", CONTACT, OFFER);
    assert_eq!((done.methods(), done.events.len()), (vec!["ACK".to_owned(), "BYE".to_owned()], 0));
    bench.reply(&cancel, 200, "t", "", "");
    bench.wait(Duration::from_secs(100));
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn a_cancelled_invite_that_is_never_answered_is_forgotten() {
    let mut bench = Bench::new();
    let (leg, invite) = placed(&mut bench, |_| ());
    bench.reply(&invite, 180, "t", CONTACT, "");
    let cancel = bench.command(leg, LegCommand::Hangup { reason: None }).request("CANCEL").clone();
    bench.reply(&cancel, 200, "t", "", "");
    assert_eq!(bench.wait(Duration::from_secs(33)).gone, [leg]);
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn a_lost_way_is_503_and_within_a_call_another_is_tried() {
    let mut bench = Bench::new();
    let (_, _) = placed(&mut bench, |call| call.transport = Transport::Tcp);
    let tcp = Peer { transport: Transport::Tcp, remote: address(B), local: address(A), connection: None };
    bench.agent.transport_lost(&tcp, bench.now);
    let done = bench.done();
    assert!(matches!(done.events[..], [LegEvent::Failed { status: 503, local: true, .. }]));
    assert_eq!(done.gone.len(), 1);

    let (leg, invite) = placed(&mut bench, |call| call.transport = Transport::Tcp);
    let open = Peer { connection: Some(3), ..tcp };
    bench.peer = open;
    bench.reply(&invite, 200, "t", "Contact: <sip:bob@192.0.2.2:5060;transport=tcp>", OFFER);
    let info = LegCommand::Info { content_type: "application/dtmf".into(), body: b"1".into() };
    let done = bench.command(leg, info);
    assert_eq!(done.requests[0].0, open);
    bench.agent.transport_lost(&open, bench.now);
    let done = bench.done();
    assert_eq!((done.methods(), done.requests[0].0.connection), (vec!["INFO".to_owned()], None));
    bench.agent.transport_lost(&Peer { connection: None, ..open }, bench.now);
    assert_eq!(bench.done().events, [LegEvent::InfoAnswered { status: 503 }], "once more, and no oftener");
}

#[test]
fn a_refused_reoffer_leaves_the_call_as_it_was() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established("1");
    let offer = LegCommand::Reoffer { media: LocalMedia { port: 30_000, ..media(A) } };
    let reinvite = bench.command(leg, offer.clone()).request("INVITE").clone();
    // Meanwhile the peer's own is a glare.
    assert_eq!(bench.receive(&bench.request("INVITE", "1", &tag, 2, "", OFFER)).statuses(), [491]);
    let done = bench.reply(&reinvite, 488, "", "", "");
    assert_eq!(done.events, [LegEvent::ReofferFailed { status: 488 }]);
    let done = bench.receive(&bench.request("INVITE", "1", &tag, 3, "", OFFER));
    assert!(String::from_utf8_lossy(&done.response(200).body).contains("m=audio 20000"), "the old port");
    bench.receive(&bench.request("ACK", "1", &tag, 3, "", ""));
    // 100 and then silence.
    let reinvite = bench.command(leg, offer).request("INVITE").clone();
    bench.reply(&reinvite, 100, "", "", "");
    let done = bench.wait(Duration::from_secs(33));
    assert_eq!(done.events[0], LegEvent::ReofferFailed { status: 408 });
    assert!(matches!(done.events[1], LegEvent::Ended { cause: EndCause::DialogLost(408), .. }));
    assert!(done.methods().contains(&"CANCEL".to_owned()) && done.methods().contains(&"BYE".to_owned()));
    bench.wait(Duration::from_secs(100));
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn a_refused_reoffer_fixes_no_payload_numbers() {
    let mut bench = Bench::new();
    let plain = OFFER.replace(" 0 101", " 0").replace("a=rtpmap:101 telephone-event/8000\r\n", "");
    let leg = bench.invite("1", "", &plain).incoming.remove(0).leg;
    let done = bench.command(leg, LegCommand::Accept { media: media(A) });
    let tag = done.response(200).headers.to().unwrap().tag().unwrap().to_owned();
    bench.receive(&bench.request("ACK", "1", &tag, 1, "", ""));
    let before = bench.agent.legs[&leg].sdp.clone();
    let reinvite = bench.command(leg, LegCommand::Reoffer { media: media(A) }).request("INVITE").clone();
    bench.reply(&reinvite, 488, "", "", "");
    let after = bench.agent.legs[&leg].sdp.clone();
    let mut rolled_back = after.clone();
    rolled_back.roll_back(&before);
    assert_eq!(after, rolled_back);
}

#[test]
fn responses_that_are_not_ours_are_dropped() {
    let mut bench = Bench::new();
    let (_, invite) = placed(&mut bench, |_| ());
    let mut two = Response::for_request(&invite, 200);
    two.headers.copy_all(&Name::Via, &invite.headers);
    let done = bench.receive_bytes(&two.to_bytes());
    assert_eq!((done.events.len(), done.requests.len()), (0, 0), "two Vias: meant for somebody behind us");
    let mut stray = invite.clone();
    let via = stray.headers.text(&Name::Via).unwrap().replace("z9hG4bK", "z9hG4bKx");
    stray.headers.set(Name::Via, via).unwrap();
    assert!(bench.reply(&stray, 200, "t", CONTACT, OFFER).counters.contains(&Counter::StrayResponse));
}

#[test]
fn a_redirection_is_told_before_the_end() {
    let mut bench = Bench::new();
    let leg = bench.agent.new_leg();
    bench.agent.place(leg, invite(Transport::Udp), bench.now);
    let request = bench.done().request("INVITE").clone();
    let contacts =
        "Contact: <sip:second@203.0.113.9>;q=0.5, <sip:first@203.0.113.9?X-Why=moved>\nContact: <sip:bob@192.0.2.2>";
    let events = bench.reply(&request, 302, "moved", contacts, "").events;
    let [LegEvent::Redirected { to }, LegEvent::Failed { status: 302, local: false, .. }] = &events[..] else {
        panic!("{events:?}")
    };
    let uris: Vec<_> = to.iter().map(|place| place.uri.as_str()).collect();
    assert_eq!(uris, ["sip:first@203.0.113.9?X-Why=moved", "sip:second@203.0.113.9"], "not where it went already");
}
