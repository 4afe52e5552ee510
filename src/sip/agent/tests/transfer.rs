//! REFER both ways (RFC 3515, 4488) and Replaces (RFC 3891), against peers written out by hand: the one that the leg is
//! with, and a third.

use super::*;
use crate::sip::leg::{CommandError, Refer, ReferProgress, Side};
use crate::sip::message::Name;

fn text(request: &Request, name: Name) -> String {
    request.headers.text(&name).unwrap_or_default().into_owned()
}

fn refer(target: &str) -> Refer {
    Refer {
        target: target.into(),
        replaces: None,
        referred_by: None,
        headers: vec![("User-to-User".into(), "a b&c".into())],
        subscribe: true,
        timeout: Duration::from_secs(60),
    }
}

fn progress(done: &Done) -> Vec<ReferProgress> {
    let of = |event: &LegEvent| match event {
        LegEvent::Refer(progress) => progress.clone(),
        other => panic!("{other:?}"),
    };
    done.events.iter().map(of).collect()
}

/// A NOTIFY of the peer's about our REFER.
fn notify(bench: &Bench, tag: &str, cseq: u32, event: &str, state: &str, line: &str) -> String {
    let extra =
        format!("Event: {event}\r\nSubscription-State: {state}\r\nContent-Type: message/sipfrag;version=2.0\r\n");
    bench.request("NOTIFY", "1", tag, cseq, &extra, line)
}

/// The third party.
fn third() -> Peer {
    Peer { transport: Transport::Udp, remote: "203.0.113.9:5080".parse().unwrap(), local: address(A), connection: None }
}

fn to_third() -> LegCommand {
    LegCommand::Follow(Box::new(OutgoingInvite {
        target: "sip:dave@203.0.113.9:5080".into(),
        from: Party { display: None, uri: "sip:us@192.0.2.1".into() },
        destination: third().remote,
        headers: vec![("X-Ticket".into(), "7".into())],
        ..invite(Transport::Udp)
    }))
}

fn progress_of(notify: &Request) -> (String, String) {
    (String::from_utf8_lossy(&notify.body).trim().to_owned(), text(notify, Name::SubscriptionState))
}

#[test]
fn our_refer_is_followed_to_its_end() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established("1");
    let sent = bench.command(leg, LegCommand::Refer(Box::new(refer("tel:+15551230001")))).request("REFER").clone();
    assert_eq!(
        text(&sent, Name::ReferTo),
        "<sip:+15551230001@far.example;user=phone?User-to-User=a%20b%26c>",
        "at the peer's own domain"
    );
    assert_eq!(text(&sent, Name::ReferredBy), "<sip:strowger@192.0.2.1>");
    assert!(sent.headers.contains(&Name::Contact) && !sent.headers.contains(&Name::ReferSub));
    let again = bench.agent.command(leg, LegCommand::Refer(Box::new(refer("sip:x@y.example"))), bench.now);
    assert!(matches!(again, Err(CommandError::WrongState { .. })), "one at a time");
    assert_eq!(progress(&bench.reply(&sent, 202, "", "", "")), [ReferProgress::Accepted { subscribed: true }]);
    let trying = notify(&bench, &tag, 2, "refer", "active;expires=60", "SIP/2.0 100 Trying\r\n");
    let done = bench.receive(&trying);
    assert_eq!(done.statuses(), [200]);
    assert_eq!(progress(&done), [ReferProgress::Progress { status: 100, phrase: "Trying".into() }]);
    assert!(bench.receive(&trying).events.is_empty(), "the same again is no news");
    let strange = notify(&bench, &tag, 3, "presence", "active", "");
    let refused = bench.receive(&strange);
    assert_eq!(refused.statuses(), [489]);
    assert_eq!(refused.response(489).headers.text(&Name::AllowEvents).unwrap(), "refer");
    let end = notify(&bench, &tag, 4, "refer;id=1", "terminated;reason=noresource", "SIP/2.0 200 OK\r\n");
    assert_eq!(progress(&bench.receive(&end)), [ReferProgress::Done { status: 200, phrase: "OK".into() }]);
    let late = notify(&bench, &tag, 5, "refer", "terminated", "SIP/2.0 200 OK\r\n");
    let done = bench.receive(&late);
    assert_eq!((done.statuses(), done.events.len()), (vec![200], 0), "told once");
    assert!(bench.wait(Duration::from_secs(100)).events.is_empty());
}

#[test]
fn our_refer_comes_to_nothing_in_every_way() {
    let start = || {
        let mut bench = Bench::new();
        let (leg, tag) = bench.established("1");
        let refer =
            bench.command(leg, LegCommand::Refer(Box::new(refer("sip:dave@far.example")))).request("REFER").clone();
        (bench, leg, tag, refer)
    };
    let refused = |status, phrase: &str| ReferProgress::Refused { status, phrase: phrase.into() };
    let (mut bench, ..) = start();
    assert_eq!(progress(&bench.wait(Duration::from_secs(40))), [refused(408, "Request Timeout")], "no answer");

    let (mut bench, leg, tag, request) = start();
    assert_eq!(progress(&bench.reply(&request, 603, "", "", "")), [refused(603, "Decline")]);
    let stray = notify(&bench, &tag, 2, "refer", "active", "SIP/2.0 100 Trying");
    assert_eq!(bench.receive(&stray).statuses(), [481], "nothing was agreed on");
    // The leg stands, and may try again.
    let mut quiet = refer("sip:dave@far.example");
    quiet.subscribe = false;
    let request = bench.command(leg, LegCommand::Refer(Box::new(quiet))).request("REFER").clone();
    assert_eq!(
        (text(&request, Name::ReferSub), text(&request, Name::Supported)),
        ("false".into(), "norefersub".into())
    );
    let accepted = bench.reply(&request, 202, "", "Refer-Sub: false", "");
    assert_eq!(progress(&accepted), [ReferProgress::Accepted { subscribed: false }]);
    assert!(bench.wait(Duration::from_secs(100)).events.is_empty());

    let (mut bench, _, tag, request) = start();
    // The NOTIFY overtakes the 202.
    let trying = notify(&bench, &tag, 2, "refer", "active;expires=60", "SIP/2.0 180 Ringing");
    let expected = [
        ReferProgress::Accepted { subscribed: true },
        ReferProgress::Progress { status: 180, phrase: "Ringing".into() },
    ];
    assert_eq!(progress(&bench.receive(&trying)), expected);
    assert!(bench.reply(&request, 202, "", "", "").events.is_empty());
    assert_eq!(progress(&bench.wait(Duration::from_secs(61))), [ReferProgress::Lost], "no word in time");

    let (mut bench, _, tag, request) = start();
    bench.reply(&request, 202, "", "", "");
    let end = notify(&bench, &tag, 2, "refer", "terminated;reason=timeout", "");
    assert_eq!(progress(&bench.receive(&end)), [ReferProgress::Lost], "ended without an outcome");

    let (mut bench, leg, ..) = start();
    for target in ["nonsense", "mailto:a@b.example", "sip:a@b.example\r\nVia: x"] {
        let mut bench = Bench::new();
        let (leg, _) = bench.established("1");
        let refused = bench.agent.command(leg, LegCommand::Refer(Box::new(refer(target))), bench.now);
        assert!(matches!(refused, Err(CommandError::BadValue { .. })), "{target:?}");
    }
    let hangup = bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!(hangup.methods(), ["BYE"]);
    assert_eq!(bench.wait(Duration::from_secs(200)).events, [], "the end was the leg's last word");
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn an_attended_transfer_names_the_dialog_to_be_replaced() {
    let mut bench = Bench::new();
    let (one, _) = bench.established("1");
    let (other, tag) = bench.established("2");
    let mut wish = refer("sip:carol@198.51.100.7:5070");
    wish.headers.clear();
    wish.replaces = Some(other);
    let request = bench.command(one, LegCommand::Refer(Box::new(wish))).request("REFER").clone();
    let target = request.headers.refer_to().unwrap().uri;
    let headers = target.as_sip().unwrap().header_list();
    assert_eq!(headers, [("Replaces".into(), format!("call-2;to-tag=far2;from-tag={tag}"))]);
}

#[test]
fn a_refer_of_the_peers_is_decided_on() {
    let mut bench = Bench::new();
    let outside = bench.request("REFER", "9", "", 1, "Refer-To: <sip:premium@fraud.example>\r\n", "");
    assert_eq!(bench.receive(&outside).statuses(), [403], "no dialler for everybody");
    let outside = bench.request("NOTIFY", "9", "", 1, "Event: refer\r\n", "");
    assert_eq!(bench.receive(&outside).statuses(), [481]);
    let (leg, tag) = bench.established("1");
    for (cseq, extra, status) in [
        (2, "", 400),
        (3, "Refer-To: <sip:a@b.example>\r\nRefer-To: <sip:c@b.example>\r\n", 400),
        (4, "Refer-To: <mailto:a@b.example>\r\n", 416),
        (5, "Refer-To: <sip:a@b.example;method=BYE>\r\n", 603),
        (6, "Refer-To: <sip:a@b.example?Replaces=nonsense>\r\n", 400),
        (7, "Require: quantum\r\nRefer-To: <sip:a@b.example>\r\n", 420),
    ] {
        let done = bench.receive(&bench.request("REFER", "1", &tag, cseq, extra, ""));
        assert_eq!((done.statuses(), done.events.len()), (vec![status], 0), "{extra}");
    }
    let refuse = |bench: &mut Bench| bench.agent.command(leg, LegCommand::RefuseReferral { status: 603 }, bench.now);
    assert!(matches!(refuse(&mut bench), Err(CommandError::WrongState { .. })));
    let extra = "Refer-To: Dave <sip:dave@far.example?X-A=1&Subject=x&User-to-User=u%0D%0AVia%3A>\r\n\
         Referred-By: <sip:carol@far.example>\r\n";
    let request = bench.request("REFER", "1", &tag, 8, extra, "");
    let done = bench.receive(&request);
    assert!(done.responses.is_empty(), "it waits");
    let [LegEvent::Referred(referral)] = &done.events[..] else { panic!("{:?}", done.events) };
    assert_eq!(
        (referral.target.uri.as_str(), referral.target.display.as_deref()),
        ("sip:dave@far.example", Some("Dave"))
    );
    assert_eq!(referral.headers, [("X-A".to_owned(), "1".to_owned())], "nothing that begins another line");
    assert_eq!(referral.referred_by.as_ref().unwrap().uri, "sip:carol@far.example");
    assert_eq!(bench.receive(&bench.request("REFER", "1", &tag, 9, extra, "")).statuses(), [491], "one at a time");
    assert_eq!(bench.command(leg, LegCommand::RefuseReferral { status: 603 }).statuses(), [603]);
    assert_eq!(bench.receive(&request).statuses(), [603], "the same again");
    // Nobody decides.
    bench.receive(&bench.request("REFER", "1", &tag, 10, extra, ""));
    let waited = bench.wait(Duration::from_secs(11));
    assert_eq!((waited.statuses(), waited.events.len()), (vec![603], 0));
    // The leg ends meanwhile.
    bench.receive(&bench.request("REFER", "1", &tag, 11, extra, ""));
    bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!(bench.wait(Duration::from_millis(1)).statuses(), [481]);
    bench.wait(Duration::from_secs(200));
    assert_eq!(bench.agent.census(), Census::default());
}

/// A leg whose peer has referred us to the third party, who is being called: the leg, our tag, his INVITE, the NOTIFY.
fn following(extra: &str) -> (Bench, LegId, String, Request, Option<Request>) {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established("1");
    let extra = format!("Refer-To: <sip:dave@far.example>\r\nReferred-By: <sip:carol@far.example>\r\n{extra}");
    bench.receive(&bench.request("REFER", "1", &tag, 2, &extra, ""));
    let done = bench.command(leg, to_third());
    assert_eq!(done.statuses(), [202]);
    let silent = done.response(202).headers.without_subscription();
    let notify = done.requests.iter().map(|(_, r)| r.clone()).find(|r| r.method.as_str() == "NOTIFY");
    assert_eq!(notify.is_none(), silent);
    let (peer, request) = done.requests.iter().find(|(_, r)| r.method.as_str() == "INVITE").expect("an INVITE");
    assert_eq!(peer.remote, third().remote);
    let request = request.clone();
    assert!(String::from_utf8_lossy(&request.body).contains("m=audio 20000 "), "on the stream that the leg has");
    assert!(done.traces.iter().any(|trace| trace.starts_with("INVITE ")), "on the leg's timeline");
    (bench, leg, tag, request, notify)
}

#[test]
fn a_leg_follows_a_refer_to_the_new_party() {
    let (mut bench, leg, tag, request, first) = following("");
    assert_eq!(text(&request, Name::ReferredBy), "<sip:carol@far.example>");
    assert_eq!(request.headers.text(&"X-Ticket".parse().unwrap()).unwrap(), "7");
    let first = first.unwrap();
    assert_eq!(progress_of(&first), ("SIP/2.0 100 Trying".into(), "active;expires=300".into()));
    assert_eq!(
        (text(&first, Name::Event), text(&first, Name::ContentType)),
        ("refer;id=2".into(), "message/sipfrag;version=2.0".into())
    );
    let carol = bench.peer;
    bench.peer = third();
    assert!(bench.reply(&request, 180, "dave", "", "").requests.is_empty(), "one NOTIFY at a time");
    bench.peer = carol;
    let second = bench.reply(&first, 200, "", "", "").request("NOTIFY").clone();
    assert_eq!(progress_of(&second).0, "SIP/2.0 180 Ringing");
    bench.reply(&second, 200, "", "", "");
    bench.peer = third();
    let answer = OFFER.replace("198.51.100.7", "203.0.113.9");
    let answered = bench.reply(&request, 200, "dave", "Contact: <sip:dave@203.0.113.9:5080>", &answer);
    let [LegEvent::Replaced { by, .. }, LegEvent::MediaChanged { media }] = &answered.events[..] else {
        panic!("{:?}", answered.events)
    };
    assert_eq!((by.uri.as_str(), media.remote_rtp), ("sip:dave@203.0.113.9:5080", "203.0.113.9:4000".parse().unwrap()));
    assert_eq!(answered.methods(), ["ACK", "NOTIFY"]);
    let last = answered.request("NOTIFY").clone();
    assert_eq!(progress_of(&last), ("SIP/2.0 200 OK".into(), "terminated;reason=noresource".into()));
    bench.peer = carol;
    let left = bench.reply(&last, 200, "", "", "");
    assert_eq!((left.methods(), left.events.len()), (vec!["BYE".to_owned()], 0), "the one who referred us is let go");
    let bye = left.request("BYE").clone();
    assert_eq!(bye.headers.call_id().unwrap(), "call-1");
    bench.reply(&bye, 200, "", "", "");
    // His own BYE, if it crosses ours, is no concern of the leg's.
    assert!(bench.receive(&bench.request("BYE", "1", &tag, 3, "", "")).events.is_empty());
    // The leg is with the third party now.
    bench.peer = third();
    let info = LegCommand::Info { content_type: "application/dtmf".into(), body: b"5".to_vec() };
    let done = bench.command(leg, info);
    assert_eq!(
        (done.requests[0].0.remote, text(&done.requests[0].1, Name::CallId)),
        (third().remote, request.headers.call_id().unwrap())
    );
    let done = bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!((done.requests[0].0.remote, done.methods()), (third().remote, vec!["BYE".to_owned()]));
    let rest = bench.wait(Duration::from_secs(300));
    assert_eq!(rest.gone, [leg], "one leg, all the time");
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn a_leg_stays_with_its_peer_when_the_target_does_not_answer() {
    let (mut bench, leg, tag, request, first) = following("");
    bench.reply(&first.unwrap(), 200, "", "", "");
    let refused = bench.reply(&request, 486, "dave", "", "");
    assert_eq!(refused.events, [LegEvent::FollowFailed { status: 486, phrase: "Busy Here".into() }]);
    let last = refused.request("NOTIFY").clone();
    assert_eq!(progress_of(&last), ("SIP/2.0 486 Busy Here".into(), "terminated;reason=noresource".into()));
    assert_eq!(bench.reply(&last, 200, "", "", "").methods(), [""; 0], "no BYE");
    // It may be referred again, here by one who wants no reports.
    let extra = "Refer-To: <sip:dave@far.example>\r\nRefer-Sub: false\r\n";
    bench.receive(&bench.request("REFER", "1", &tag, 3, extra, ""));
    let done = bench.command(leg, to_third());
    assert!(done.response(202).headers.without_subscription());
    assert_eq!(done.methods(), ["INVITE"]);
    let request = done.request("INVITE").clone();
    let answered = bench.reply(&request, 200, "dave", "Contact: <sip:dave@203.0.113.9:5080>", OFFER);
    assert_eq!(answered.methods(), ["ACK", "BYE"]);
    assert!(matches!(answered.events[..], [LegEvent::Replaced { .. }, LegEvent::MediaChanged { .. }]));
}

#[test]
fn a_peer_that_hangs_up_while_its_target_rings_is_not_missed() {
    let (mut bench, leg, tag, request, _) = following("");
    let done = bench.receive(&bench.request("BYE", "1", &tag, 3, "", ""));
    assert_eq!(done.statuses(), [200]);
    assert!(matches!(&done.events[..], [LegEvent::Replaced { by, .. }] if by.uri == "sip:dave@203.0.113.9:5080"));
    bench.peer = third();
    let answered = bench.reply(&request, 200, "dave", "Contact: <sip:dave@203.0.113.9:5080>", OFFER);
    assert!(matches!(answered.events[..], [LegEvent::Accepted { .. }, LegEvent::Confirmed]), "{:?}", answered.events);
    assert_eq!(bench.command(leg, LegCommand::Hangup { reason: None }).methods(), ["BYE"]);
    assert_eq!(bench.wait(Duration::from_secs(300)).gone, [leg]);
    assert_eq!(bench.agent.census(), Census::default());

    // Neither answers: the leg is over.
    let (mut bench, leg, tag, request, _) = following("");
    bench.receive(&bench.request("BYE", "1", &tag, 3, "", ""));
    let refused = bench.reply(&request, 603, "dave", "", "");
    assert!(matches!(refused.events[..], [LegEvent::Failed { status: 603, .. }]));
    assert_eq!(bench.wait(Duration::from_secs(300)).gone, [leg]);
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn who_is_called_for_a_leg_is_let_go_with_it() {
    let (mut bench, leg, _, request, _) = following("");
    bench.reply(&request, 180, "dave", "", "");
    let done = bench.command(leg, LegCommand::Hangup { reason: None });
    let mut methods = done.methods();
    methods.sort();
    assert_eq!(methods, ["BYE", "CANCEL"]);
    assert_eq!(done.events.len(), 1);
    bench.wait(Duration::from_secs(300));
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn an_invite_takes_the_place_of_a_dialog() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established("1");
    let replaces = |to: &str, from: &str, more: &str| format!("Replaces: call-1;to-tag={to};from-tag={from}{more}\r\n");
    for (n, extra, status) in [
        ("2", replaces("nobody", "far1", ""), 481),
        ("3", replaces(&tag, "other", ""), 481),
        ("4", replaces(&tag, "far1", "").replace("call-1", "call-7"), 481),
        ("5", replaces(&tag, "far1", ";early-only"), 486),
        ("6", "Replaces: nonsense\r\n".to_owned(), 400),
        ("7", replaces(&tag, "far1", "").repeat(2), 400),
    ] {
        let done = bench.invite(n, &extra, OFFER);
        assert_eq!((done.statuses(), done.incoming.len()), (vec![status], 0), "{extra}");
    }
    let carol = bench.peer;
    bench.peer = third();
    assert_eq!(bench.invite("8", &replaces(&tag, "far1", ""), OFFER).statuses(), [403], "a stranger from elsewhere");
    bench.peer = carol;
    let strange = OFFER.replace(" 0 101", " 18");
    assert_eq!(bench.invite("9", &replaces(&tag, "far1", ""), &strange).statuses(), [488], "nothing is touched");

    let extra = format!("Require: replaces\r\n{}", replaces(&tag, "far1", ""));
    let done = bench.invite("10", &extra, &OFFER.replace("4000", "4444"));
    assert_eq!((done.statuses(), done.incoming.len()), (vec![200], 0), "no new leg for anybody");
    let [LegEvent::Replaced { by, .. }, LegEvent::MediaChanged { media }] = &done.events[..] else {
        panic!("{:?}", done.events)
    };
    assert_eq!((by.uri.as_str(), media.remote_rtp.port()), ("sip:carol@far.example", 4444));
    let ok = done.response(200);
    assert!(String::from_utf8_lossy(&ok.body).contains("m=audio 20000 "));
    let new_tag = ok.headers.to().unwrap().tag().unwrap().to_owned();
    let bye = done.request("BYE").clone();
    assert_eq!(bye.headers.call_id().unwrap(), "call-1");
    bench.reply(&bye, 200, "", "", "");
    let ack = bench.request("ACK", "10", &new_tag, 1, "", "");
    assert_eq!(bench.receive(&ack).events, [LegEvent::Confirmed]);
    assert_eq!(bench.invite("11", &replaces(&tag, "far1", ""), OFFER).statuses(), [603], "that dialog has ended");
    // The leg is the new dialog's.
    let end = bench.receive(&bench.request("BYE", "10", &new_tag, 2, "", ""));
    assert!(matches!(end.events[..], [LegEvent::Ended { by: Side::Remote, .. }]));
    assert_eq!(bench.wait(Duration::from_secs(300)).gone, [leg]);
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn a_call_that_rings_is_picked_up_by_another_phone() {
    let mut bench = Bench::new();
    let leg = bench.agent.new_leg();
    let mut wish = invite(Transport::Udp);
    wish.destination = far();
    bench.agent.place(leg, wish, bench.now);
    let request = bench.done().request("INVITE").clone();
    bench.reply(&request, 180, "ringing", "", "");
    let tag = request.headers.from().unwrap().tag().unwrap().to_owned();
    let call_id = request.headers.call_id().unwrap();
    let extra = format!("Replaces: {call_id};to-tag={tag};from-tag=ringing;early-only\r\n");
    let done = bench.invite("2", &extra, OFFER);
    assert_eq!(done.statuses(), [200]);
    assert!(matches!(done.events[..], [LegEvent::Replaced { .. }, LegEvent::Accepted { media: Some(_) }]));
    assert_eq!(done.methods(), ["CANCEL"]);
    let tag = done.response(200).headers.to().unwrap().tag().unwrap().to_owned();
    assert_eq!(bench.receive(&bench.request("ACK", "2", &tag, 1, "", "")).events, [LegEvent::Confirmed]);
    assert!(bench.reply(&request, 487, "ringing", "", "").events.is_empty(), "nobody hears of the old one");
    bench.receive(&bench.request("BYE", "2", &tag, 2, "", ""));
    assert_eq!(bench.wait(Duration::from_secs(300)).gone, [leg]);
    assert_eq!(bench.agent.census(), Census::default());
}
