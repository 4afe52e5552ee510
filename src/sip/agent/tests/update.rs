//! UPDATE (RFC 3311), both ways, before and after the answer.

use super::*;
use crate::sip::leg::CommandError;
use crate::sip::message::Name;

const LONG: Duration = Duration::from_secs(400);
const CONTACT: &str = "Contact: <sip:bob@192.0.2.2:5060>\nAllow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE";

fn hold(side: usize) -> LegCommand {
    LegCommand::Reoffer { media: LocalMedia { direction: Direction::SendOnly, ..media(side) } }
}

fn moved(port: u16) -> String {
    OFFER.replace("4000", &port.to_string())
}

fn ports(events: &[LegEvent]) -> Vec<u16> {
    let port = |e: &LegEvent| match e {
        LegEvent::EarlyMedia { media, .. } | LegEvent::MediaChanged { media } => Some(media.remote_rtp.port()),
        _ => None,
    };
    events.iter().filter_map(port).collect()
}

/// A caller that takes 100rel and UPDATE, with early media acknowledged: the leg and our tag.
fn early(bench: &mut Bench, id: &str) -> (LegId, String) {
    let leg = bench.invite(id, "Supported: 100rel\r\nAllow: INVITE, PRACK, UPDATE\r\n", OFFER).incoming[0].leg;
    let done = bench.command(leg, LegCommand::Progress { media: media(A) });
    let response = done.response(183);
    let (rseq, tag) = (response.headers.rseq().unwrap().unwrap(), response.headers.to().unwrap());
    let tag = tag.tag().unwrap().to_owned();
    let prack = bench.request("PRACK", id, &tag, 2, &format!("RAck: {rseq} 1 INVITE\r\n"), "");
    assert_eq!(bench.receive(&prack).statuses(), [200]);
    (leg, tag)
}

/// A call of ours whose callee has answered reliably before its 200: the leg and the INVITE.
fn early_out(bench: &mut Bench, extra: &str) -> (LegId, Request) {
    let leg = bench.agent.new_leg();
    bench.agent.place(leg, invite(Transport::Udp), bench.now);
    let invite = bench.done().request("INVITE").clone();
    let prack = bench.reply(&invite, 183, "one", &format!("{CONTACT}{extra}"), OFFER);
    for request in prack.requests.iter().map(|(_, r)| r.clone()) {
        bench.reply(&request, 200, "", "", "");
    }
    (leg, invite)
}

const RELIABLY: &str = "\nRequire: 100rel\nRSeq: 1";

/// An UPDATE of the callee's.
fn from_callee(invite: &Request, cseq: u32, body: &str) -> String {
    let value = |name| invite.headers.text(&name).unwrap().into_owned();
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "UPDATE sip:strowger@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKu{cseq}\r\n\
         From: {};tag=one\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} UPDATE\r\nMax-Forwards: 70\r\n\
         Contact: <sip:bob@192.0.2.2:5080>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        value(Name::To),
        value(Name::From),
        value(Name::CallId),
        body.len()
    )
}

#[test]
fn a_caller_changes_its_mind_before_the_answer() {
    let mut bench = Bench::new();
    // The offer of its INVITE has no answer yet.
    let leg = bench.invite("0", "", OFFER).incoming[0].leg;
    let ringing = bench.command(leg, LegCommand::Ring);
    let tag = ringing.response(180).headers.to().unwrap().tag().unwrap().to_owned();
    let done = bench.receive(&bench.request("UPDATE", "0", &tag, 2, "", &moved(4002)));
    assert!(done.response(500).headers.retry_after().unwrap().is_some_and(|s| s <= 10));
    assert_eq!(
        bench.receive(&bench.request("UPDATE", "0", &tag, 3, "", "")).statuses(),
        [200],
        "without an offer: yes"
    );

    let (leg, tag) = early(&mut bench, "1");
    let done = bench.receive(&bench.request("UPDATE", "1", &tag, 3, "", &moved(4002)));
    assert_eq!(ports(&done.events), [4002]);
    let response = done.response(200);
    assert!(response.headers.contact().unwrap().is_some() && response.headers.contains(&Name::Allow));
    let current = response.body.clone();
    assert!(String::from_utf8_lossy(&current).contains("m=audio 20000"));
    let done = bench.receive(&bench.request("UPDATE", "1", &tag, 4, "", &OFFER.replace(" 0 101", " 18")));
    assert_eq!(done.statuses(), [488]);
    let done = bench.command(leg, LegCommand::Accept { media: media(A) });
    assert_eq!(done.response(200).body, current, "what holds now");
    assert!(matches!(&done.events[..], [LegEvent::Accepted { media: Some(m) }] if m.remote_rtp.port() == 4002));
}

#[test]
fn a_callee_changes_its_mind_before_its_answer() {
    // The offer of our INVITE is only answered for good by a reliable response.
    let mut bench = Bench::new();
    let (_, invite) = early_out(&mut bench, "");
    assert_eq!(bench.receive(&from_callee(&invite, 1, &moved(4002))).statuses(), [491]);

    let mut bench = Bench::new();
    bench.peer.remote = address(B);
    let (leg, invite) = early_out(&mut bench, RELIABLY);
    let done = bench.receive(&from_callee(&invite, 1, &moved(4002)));
    assert_eq!((done.statuses(), ports(&done.events)), (vec![200], vec![4002]));
    assert_eq!(bench.receive(&from_callee(&invite, 1, &moved(4002)).replace("bKu1", "bKu9")).statuses(), [500], "old");
    // The 200 repeats the first answer, which is no news any more.
    let done = bench.reply(&invite, 200, "one", CONTACT, OFFER);
    assert!(matches!(&done.events[..], [LegEvent::Accepted { media: Some(m) }, _] if m.remote_rtp.port() == 4002));
    let done = bench.receive(&from_callee(&invite, 2, &moved(4004)));
    assert_eq!((done.statuses(), ports(&done.events)), (vec![200], vec![4004]));
    let bye = bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!(bye.requests[0].0.remote.port(), 5080, "where the UPDATE's Contact says");
    assert_eq!(bench.receive(&from_callee(&invite, 3, &moved(4004))).statuses(), [481]);
}

#[test]
fn the_target_is_refreshed() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established("1");
    let update = bench.request("UPDATE", "1", &tag, 2, "Contact: <sip:carol@198.51.100.9:5099>\r\n", "");
    let done = bench.receive(&update);
    assert_eq!((done.statuses(), done.events.len()), (vec![200], 0));
    let bye = bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!(bye.requests[0].0.remote, "198.51.100.9:5099".parse().unwrap());
    let unknown = bench.request("UPDATE", "9", "nobody", 2, "", "");
    assert_eq!(bench.receive(&unknown).statuses(), [481]);
}

#[test]
fn glares() {
    // Ours is under way.
    let mut bench = Bench::new();
    let (leg, tag) = early(&mut bench, "1");
    let update = bench.command(leg, hold(A)).request("UPDATE").clone();
    assert!(String::from_utf8_lossy(&update.body).contains("a=sendonly"));
    assert_eq!(bench.receive(&bench.request("UPDATE", "1", &tag, 3, "", &moved(4002))).statuses(), [491]);
    // And is refused: it goes again after a while, with a new number.
    assert!(bench.reply(&update, 491, "", "", "").events.is_empty());
    let again = bench.wait(Duration::from_secs(5)).request("UPDATE").clone();
    assert!(again.headers.cseq().unwrap().number > update.headers.cseq().unwrap().number);
    // 500 names its time.
    bench.reply(&again, 500, "", "Retry-After: 3", "");
    assert!(bench.wait(Duration::from_millis(2900)).requests.is_empty());
    let again = bench.wait(Duration::from_millis(200)).request("UPDATE").clone();
    let done = bench.reply(&again, 200, "", CONTACT, &moved(4006));
    assert_eq!(ports(&done.events), [4006]);
    // The answer waits for no UPDATE, and says what holds.
    let done = bench.command(leg, LegCommand::Accept { media: media(A) });
    assert!(String::from_utf8_lossy(&done.response(200).body).contains("a=sendonly"));

    // A re-INVITE of ours is under way.
    let mut bench = Bench::new();
    let (leg, tag) = bench.established("1");
    assert_eq!(bench.command(leg, hold(A)).methods(), ["INVITE"]);
    assert_eq!(bench.receive(&bench.request("UPDATE", "1", &tag, 2, "", &moved(4002))).statuses(), [491]);
    assert_eq!(bench.receive(&bench.request("UPDATE", "1", &tag, 3, "", "")).statuses(), [200]);
}

#[test]
fn our_own_before_the_answer_needs_a_settled_offer_and_a_peer_that_serves_it() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "Allow: UPDATE\r\n", OFFER).incoming[0].leg;
    let refused = |bench: &mut Bench, leg| {
        matches!(bench.agent.command(leg, hold(A), bench.now), Err(CommandError::WrongState { .. }))
    };
    assert!(refused(&mut bench, leg));
    bench.command(leg, LegCommand::Progress { media: media(A) });
    assert!(refused(&mut bench, leg), "that was not reliable");
    let mut bench = Bench::new();
    let (leg, _) = early_out(&mut bench, "");
    assert!(refused(&mut bench, leg));
    let mut bench = Bench::new();
    let (leg, invite) = early_out(&mut bench, RELIABLY);
    let update = bench.command(leg, hold(A)).request("UPDATE").clone();
    assert_eq!(update.headers.to().unwrap().tag(), Some("one"));
    // Not served after all.
    let done = bench.reply(&update, 405, "", "", "");
    assert_eq!(done.events, [LegEvent::ReofferFailed { status: 405 }]);
    assert!(refused(&mut bench, leg));
    let done = bench.reply(&invite, 200, "one", "Contact: <sip:bob@192.0.2.2:5060>", OFFER);
    assert!(matches!(done.events[..], [LegEvent::Accepted { .. }, LegEvent::Confirmed]));
}

#[test]
fn between_two_of_us_whatever_is_lost() {
    for n in 0..24 {
        for side in [A, B] {
            let mut net = Net::new(n);
            net.lose = Some(n as usize);
            let a = net.place(A, Transport::Udp);
            net.ms(600);
            let b = net.incoming[B][0].leg;
            net.command(B, b, LegCommand::Progress { media: media(B) });
            net.ms(3000);
            let leg = if side == A { a } else { b };
            net.command(side, leg, hold(side));
            net.ms(3000);
            let held = |e: &LegEvent| matches!(e, LegEvent::EarlyMedia { media, .. } if media.direction == Direction::RecvOnly);
            assert!(net.has(1 - side, held), "{n} {side} {:#?}", net.log);
            assert_eq!(net.lines(1 - side, "UPDATE"), 0);
            net.command(B, b, LegCommand::Accept { media: media(B) });
            net.ms(8000);
            for (side, leg) in [(A, a), (B, b)] {
                assert!(net.of(side, leg).contains(&&LegEvent::Confirmed), "{n}: {:#?}", net.log);
            }
            net.command(A, a, LegCommand::Hangup { reason: None });
            net.run(LONG);
            net.assert_empty();
        }
    }
}

#[test]
fn an_offer_of_ours_in_the_200_is_answered_by_the_ack_first() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "", "").incoming[0].leg;
    let done = bench.command(leg, LegCommand::Accept { media: media(A) });
    let tag = done.response(200).headers.to().unwrap().tag().unwrap().to_owned();
    assert_eq!(bench.receive(&bench.request("UPDATE", "1", &tag, 2, "", &moved(4002))).statuses(), [491]);
    bench.receive(&bench.request("ACK", "1", &tag, 1, "", OFFER));
    let done = bench.receive(&bench.request("UPDATE", "1", &tag, 3, "", &moved(4002)));
    assert_eq!((done.statuses(), ports(&done.events)), (vec![200], vec![4002]));
}
