//! A REFER of the peer's that is carried out from outside of the stack: the leg that answers hands its dialog over.

use super::*;
use crate::sip::access::Identity;
use crate::sip::agent::Census;
use crate::sip::leg::{CommandError, EndCause, Side};
use crate::sip::message::Request;

/// The one who is called.
fn third() -> Peer {
    Peer { transport: Transport::Udp, remote: "203.0.113.9:5080".parse().unwrap(), local: address(A), connection: None }
}

/// A leg whose peer has referred us, with the two legs that were placed for it, and their INVITEs.
fn hunted() -> (Bench, LegId, String, [(LegId, Request); 2]) {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established("1");
    let extra = "Refer-To: <sip:dave@far.example>\r\nReferred-By: <sip:carol@far.example>\r\n";
    bench.receive(&bench.request("REFER", "1", &tag, 2, extra, ""));
    let now = bench.now;
    let terms = bench.agent.accept_referral(leg, now).expect("it waits");
    assert_eq!((terms.media.port, &terms.headers[0].0[..]), (20_000, "Referred-By"));
    assert!(bench.agent.accept_referral(leg, now).is_err(), "once");
    let done = bench.done();
    assert_eq!((done.statuses(), done.methods()), (vec![202], vec!["NOTIFY".to_owned()]));
    let placed = ["sip:dave@203.0.113.9:5080", "sip:dave@203.0.113.9:5081"].map(|target| {
        let new = bench.agent.new_leg();
        let invite = OutgoingInvite {
            target: target.into(),
            destination: third().remote,
            media: terms.media.clone(),
            headers: terms.headers.clone(),
            ..invite(Transport::Udp)
        };
        bench.agent.place(new, invite, now);
        (new, bench.done().request("INVITE").clone())
    });
    (bench, leg, tag, placed)
}

fn answer(bench: &mut Bench, invite: &Request) -> Done {
    bench.peer = third();
    bench.reply(invite, 200, "dave", "Contact: <sip:dave@203.0.113.9:5080>", OFFER)
}

#[test]
fn one_of_two_answers_and_takes_the_place() {
    let (mut bench, leg, tag, [(one, _), (other, second)]) = hunted();
    let carol = bench.peer;
    let answered = answer(&mut bench, &second);
    let media = answered.events.iter().find_map(|event| match event {
        LegEvent::Accepted { media } => media.clone(),
        _ => None,
    });
    let now = bench.now;
    bench.agent.hand_over(leg, (other, Identity::User("dave".into())), media, now).expect("it waits");
    let done = bench.done();
    let [LegEvent::Replaced { by, identity }, LegEvent::MediaChanged { .. }] = &done.events[..] else {
        panic!("{:?}", done.events)
    };
    assert_eq!((by.uri.as_str(), identity.user()), ("sip:dave@203.0.113.9:5081", Some("dave")));
    let hung_up = LegCommand::Hangup { reason: Some("SIP;cause=200;text=\"Call completed elsewhere\"".into()) };
    bench.command(one, hung_up);
    assert!(bench.agent.hand_over(leg, (one, Identity::Stranger), None, now).is_err(), "once");
    bench.done();
    // What is said to the leg goes to the new party, and the old one is let go.
    let info = LegCommand::Info { content_type: "application/dtmf".into(), body: b"5".to_vec() };
    let info = bench.command(leg, info).request("INFO").clone();
    assert_eq!(info.headers.call_id(), second.headers.call_id());
    bench.reply(&info, 200, "", "", "");
    bench.peer = carol;
    bench.wait(Duration::from_secs(40));
    assert!(bench.receive(&bench.request("BYE", "1", &tag, 9, "", "")).events.is_empty());
    bench.peer = third();
    assert_eq!(bench.command(leg, LegCommand::Hangup { reason: None }).methods(), ["BYE"]);
    bench.wait(Duration::from_secs(300));
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn nobody_answers_and_the_leg_stays() {
    let (mut bench, leg, tag, _) = hunted();
    let now = bench.now;
    bench.agent.referral_rings(leg, 180, now);
    bench.agent.referral_failed(leg, 486, "Busy Here", now);
    assert_eq!(bench.done().events, [LegEvent::FollowFailed { status: 486, phrase: "Busy Here".into() }]);
    assert!(bench.agent.hand_over(leg, (LegId(99), Identity::Stranger), None, now).is_err());
    let done = bench.receive(&bench.request("BYE", "1", &tag, 3, "", ""));
    assert!(matches!(done.events[..], [LegEvent::Ended { by: Side::Remote, .. }]));
}

#[test]
fn the_peer_leaves_and_the_leg_waits() {
    let (mut bench, leg, tag, [_, (other, second)]) = hunted();
    let done = bench.receive(&bench.request("BYE", "1", &tag, 3, "", ""));
    assert_eq!((done.statuses(), done.events.len()), (vec![200], 0), "nobody is told an end");
    let now = bench.now;
    let idle = LegCommand::Info { content_type: "application/dtmf".into(), body: b"5".to_vec() };
    assert!(matches!(bench.agent.command(leg, idle, now), Err(CommandError::WrongState { .. })));
    answer(&mut bench, &second);
    bench.agent.hand_over(leg, (other, Identity::Stranger), None, now).expect("it waits");
    let done = bench.done();
    assert!(matches!(done.events[..], [LegEvent::Replaced { .. }]), "{:?}", done.events);
    assert_eq!(done.methods(), [""; 0], "who has left is told nothing");
    assert_eq!(bench.command(leg, LegCommand::Hangup { reason: None }).methods(), ["BYE"]);

    // Nobody answers: it is over.
    let (mut bench, leg, tag, _) = hunted();
    bench.receive(&bench.request("BYE", "1", &tag, 3, "", ""));
    let now = bench.now;
    bench.agent.referral_failed(leg, 480, "Nobody", now);
    let end = LegEvent::Ended { by: Side::Remote, cause: EndCause::Bye, reason: None };
    assert_eq!(bench.done().events, [end]);

    // Or we do not wait any longer.
    let (mut bench, leg, tag, placed) = hunted();
    bench.receive(&bench.request("BYE", "1", &tag, 3, "", ""));
    let done = bench.command(leg, LegCommand::Hangup { reason: None });
    assert!(matches!(done.events[..], [LegEvent::Ended { by: Side::Local, .. }]));
    for (placed, _) in placed {
        bench.command(placed, LegCommand::Hangup { reason: None });
    }
    bench.wait(Duration::from_secs(300));
    assert_eq!(bench.agent.census(), Census::default());
}
