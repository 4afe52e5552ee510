//! Reliable provisional responses and early media (RFC 3262), as callee and as caller.

use super::*;
use crate::session::NegotiatedMedia;
use crate::sip::leg::{CommandError, EndCause, Side};
use crate::sip::message::Name;

const LONG: Duration = Duration::from_secs(400);
const CONTACT: &str = "Contact: <sip:bob@192.0.2.2:5060>";

fn progress(side: usize) -> LegCommand {
    LegCommand::Progress { media: media(side) }
}

fn accept() -> LegCommand {
    LegCommand::Accept { media: media(A) }
}

fn early(events: &[LegEvent]) -> Vec<(NegotiatedMedia, bool)> {
    events
        .iter()
        .filter_map(|e| match e {
            LegEvent::EarlyMedia { media, proven } => Some((media.clone(), *proven)),
            _ => None,
        })
        .collect()
}

fn rseq(response: &Response) -> u32 {
    assert_eq!(response.headers.require().unwrap(), ["100rel"]);
    response.headers.rseq().unwrap().unwrap()
}

fn prack(bench: &Bench, id: &str, tag: &str, cseq: u32, rseq: u32, body: &str) -> String {
    bench.request("PRACK", id, tag, cseq, &format!("RAck: {rseq} 1 INVITE\r\n"), body)
}

fn tag_of(response: &Response) -> String {
    response.headers.to().unwrap().tag().unwrap().to_owned()
}

fn placed(bench: &mut Bench) -> (LegId, Request) {
    let leg = bench.agent.new_leg();
    bench.agent.place(leg, invite(Transport::Udp), bench.now);
    (leg, bench.done().request("INVITE").clone())
}

/// A call with early media between two agents: both legs.
fn early_call(net: &mut Net) -> (LegId, LegId) {
    let a = net.place(A, Transport::Udp);
    net.ms(50);
    let b = net.incoming[B].last().unwrap().leg;
    net.command(B, b, progress(B));
    net.ms(50);
    (a, b)
}

#[test]
fn sound_before_the_answer() {
    let mut net = Net::new(1);
    let (a, b) = early_call(&mut net);
    assert!(matches!(net.of(B, b)[..], [LegEvent::EarlyMedia { proven: true, .. }]));
    assert!(matches!(net.of(A, a)[..], [LegEvent::Ringing { status: 183 }, LegEvent::EarlyMedia { .. }]));
    assert_eq!((net.lines(A, "PRACK"), net.lines(B, "SIP/2.0 183")), (1, 1));
    net.command(B, b, LegCommand::Accept { media: media(B) });
    net.ms(50);
    assert!(matches!(net.of(A, a)[2..], [LegEvent::Accepted { media: Some(_) }, LegEvent::Confirmed]));
    assert!(matches!(net.of(B, b)[1..], [LegEvent::Accepted { media: Some(_) }, LegEvent::Confirmed]));
    net.command(A, a, LegCommand::Hangup { reason: None });
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn any_one_packet_of_it_may_be_lost() {
    for n in 0..14 {
        let mut net = Net::new(n);
        net.lose = Some(n as usize);
        let a = net.place(A, Transport::Udp);
        net.ms(600);
        let b = net.incoming[B][0].leg;
        net.command(B, b, progress(B));
        net.ms(100);
        net.command(B, b, LegCommand::Accept { media: media(B) });
        net.ms(5000);
        for (side, leg) in [(A, a), (B, b)] {
            assert!(net.of(side, leg).contains(&&LegEvent::Confirmed), "{n}: {:#?}", net.log);
        }
        net.command(B, b, LegCommand::Hangup { reason: None });
        net.run(LONG);
        net.assert_empty();
    }
}

#[test]
fn it_is_repeated_until_its_prack_and_the_answer_waits_for_that() {
    let mut net = Net::new(1);
    net.lose_lines = vec![("PRACK".into(), 3)];
    let (a, b) = early_call(&mut net);
    net.command(B, b, LegCommand::Accept { media: media(B) });
    net.ms(400);
    assert!(net.of(B, b).is_empty(), "neither early media nor an answer is sent to nobody knows whom");
    net.ms(5000);
    assert!(net.lines(B, "SIP/2.0 183") >= 3);
    assert!(net.of(A, a).contains(&&LegEvent::Confirmed));
    net.command(A, a, LegCommand::Hangup { reason: None });
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn a_caller_that_demands_it_and_never_acknowledges() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "Require: 100rel\r\n", OFFER).incoming[0].leg;
    let ringing = bench.command(leg, LegCommand::Ring);
    rseq(ringing.response(180));
    let done = bench.wait(Duration::from_secs(31));
    assert_eq!(done.statuses(), [180; 5], "after 0.5, 1.5, 3.5, 7.5, 15.5 s");
    let done = bench.wait(Duration::from_secs(2));
    assert_eq!(done.statuses()[..2], [180, 504]);
    assert_eq!(done.events, [LegEvent::Ended { by: Side::Local, cause: EndCause::Refused(504), reason: None }]);
    assert!(done.counters.contains(&Counter::PrackTimeout));
    bench.wait(LONG);
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn one_at_a_time_in_order() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "Require: 100rel\r\n", OFFER).incoming[0].leg;
    let ringing = bench.command(leg, LegCommand::Ring);
    let (first, tag) = (rseq(ringing.response(180)), tag_of(ringing.response(180)));
    assert!(bench.command(leg, progress(A)).responses.is_empty(), "the second waits");
    let done = bench.receive(&prack(&bench, "1", &tag, 2, first, ""));
    assert_eq!(done.statuses(), [200, 183]);
    assert_eq!(rseq(done.response(183)), first + 1);
    assert!(done.events.is_empty());
    let described = done.response(183).body.clone();
    assert!(bench.command(leg, accept()).responses.is_empty(), "and so does the answer");
    for (wrong, why) in [
        (prack(&bench, "1", &tag, 3, first, ""), "again"),
        (prack(&bench, "1", &tag, 4, first + 2, ""), "never sent"),
        (bench.request("PRACK", "1", &tag, 5, &format!("RAck: {} 2 INVITE\r\n", first + 1), ""), "another INVITE"),
        (bench.request("PRACK", "1", &tag, 6, &format!("RAck: {} 1 INFO\r\n", first + 1), ""), "another method"),
    ] {
        assert_eq!(bench.receive(&wrong).statuses(), [481], "{why}");
    }
    assert_eq!(bench.receive(&bench.request("PRACK", "1", &tag, 7, "RAck: x\r\n", "")).statuses(), [400]);
    assert_eq!(bench.receive(&bench.request("PRACK", "1", &tag, 8, "", "")).statuses(), [400]);
    assert_eq!(bench.receive(&prack(&bench, "1", "stranger", 9, first + 1, "")).statuses(), [481]);
    let done = bench.receive(&prack(&bench, "1", &tag, 10, first + 1, ""));
    assert_eq!(done.statuses(), [200, 200]);
    assert!(matches!(done.events[..], [LegEvent::EarlyMedia { proven: true, .. }, LegEvent::Accepted { .. }]));
    assert_eq!(done.responses[1].1.body, described, "the 200 repeats the 183's description, version and all");
}

#[test]
fn the_answer_need_not_wait_for_an_empty_one() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "Require: 100rel\r\n", OFFER).incoming[0].leg;
    let ringing = bench.command(leg, LegCommand::Ring);
    let (first, tag) = (rseq(ringing.response(180)), tag_of(ringing.response(180)));
    let done = bench.command(leg, accept());
    assert_eq!(done.statuses(), [200]);
    assert_eq!(bench.receive(&prack(&bench, "1", &tag, 2, first, "")).statuses(), [200], "it may still come");
    bench.receive(&bench.request("ACK", "1", &tag, 1, "", ""));
    assert!(!bench.wait(Duration::from_secs(10)).statuses().contains(&180), "and is not repeated any more");
}

#[test]
fn callers_that_do_not_know_of_it() {
    for (transport, proven) in [(Transport::Udp, false), (Transport::Tcp, true)] {
        let mut bench = Bench::new();
        bench.peer.transport = transport;
        bench.peer.connection = (transport == Transport::Tcp).then_some(3);
        let leg = bench.invite("1", "", OFFER).incoming[0].leg;
        let done = bench.command(leg, progress(A));
        assert!(!done.response(183).headers.contains(&Name::RSeq));
        assert_eq!(early(&done.events).iter().map(|(_, p)| *p).collect::<Vec<_>>(), [proven]);
        let again = bench.wait(Duration::from_secs(70));
        assert_eq!((again.statuses(), again.events.len()), (vec![183], 0), "kept alive, with its description");
        assert_eq!(again.response(183).body, done.response(183).body);
        let answer = bench.command(leg, accept());
        assert_eq!(answer.response(200).body, done.response(183).body);
    }
    // Supported alone makes what has a description reliable, and nothing else.
    let mut bench = Bench::new();
    let leg = bench.invite("1", "Supported: timer, 100rel\r\n", OFFER).incoming[0].leg;
    assert!(!bench.command(leg, LegCommand::Ring).response(180).headers.contains(&Name::RSeq));
    rseq(bench.command(leg, progress(A)).response(183));
}

#[test]
fn what_we_do_not_understand_is_refused_by_name() {
    let mut bench = Bench::new();
    let done = bench.invite("1", "Require: 100rel, timer, quantum\r\n", OFFER);
    assert_eq!(done.response(420).headers.unsupported().unwrap(), ["quantum"]);
    let done = bench.invite("2", "Require: 100rel, timer\r\n", OFFER);
    assert_eq!(done.statuses(), [100]);
    let ringing = bench.command(done.incoming[0].leg, LegCommand::Ring);
    let supported = ringing.response(180).headers.supported().unwrap();
    assert!(supported.contains(&"100rel".to_owned()) && supported.contains(&"timer".to_owned()));
    let allowed = ringing.response(180).headers.allow().unwrap();
    assert!(allowed.contains(&"PRACK".to_owned()) && allowed.contains(&"UPDATE".to_owned()));
}

#[test]
fn an_offer_in_the_prack_is_answered() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "Supported: 100rel\r\n", OFFER).incoming[0].leg;
    let done = bench.command(leg, progress(A));
    let (first, tag) = (rseq(done.response(183)), tag_of(done.response(183)));
    let done = bench.receive(&prack(&bench, "1", &tag, 2, first, &OFFER.replace("4000", "4002")));
    assert!(String::from_utf8_lossy(&done.response(200).body).contains("m=audio 20000"));
    assert_eq!(early(&done.events)[0].0.remote_rtp.port(), 4002);
    // What nobody here can speak is refused, and the response counts as acknowledged.
    let done = bench.command(leg, progress(A));
    let second = rseq(done.response(183));
    let done = bench.receive(&prack(&bench, "1", &tag, 3, second, &OFFER.replace(" 0 101", " 18")));
    assert_eq!(done.statuses(), [488]);
    let done = bench.command(leg, accept());
    assert!(matches!(&done.events[..], [LegEvent::Accepted { media: Some(m) }] if m.remote_rtp.port() == 4002));
}

#[test]
fn without_an_offer_ours_goes_into_the_183() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "", "").incoming[0].leg;
    let refused = bench.agent.command(leg, progress(A), bench.now);
    assert!(matches!(refused, Err(CommandError::BadValue { .. })), "an offer goes reliably or not at all");

    let leg = bench.invite("2", "Supported: 100rel\r\n", "").incoming[0].leg;
    let done = bench.command(leg, progress(A));
    assert!(!done.response(183).body.is_empty());
    let (first, tag) = (rseq(done.response(183)), tag_of(done.response(183)));
    assert!(bench.command(leg, accept()).responses.is_empty());
    let done = bench.receive(&prack(&bench, "2", &tag, 2, first, OFFER));
    assert_eq!(done.statuses(), [200, 200]);
    assert!(matches!(done.events[..], [LegEvent::EarlyMedia { .. }, LegEvent::Accepted { media: Some(_) }]));
    assert!(done.responses[1].1.body.is_empty(), "offer and answer are over: another offer would have to be answered");
    assert_eq!(bench.receive(&bench.request("ACK", "2", &tag, 1, "", "")).events, [LegEvent::Confirmed]);

    let leg = bench.invite("3", "Supported: 100rel\r\n", "").incoming[0].leg;
    let done = bench.command(leg, progress(A));
    let (first, tag) = (rseq(done.response(183)), tag_of(done.response(183)));
    let done = bench.receive(&prack(&bench, "3", &tag, 2, first, ""));
    assert_eq!(done.statuses(), [200, 488], "the PRACK had to answer");
    assert!(done.events[0].is_final());
}

#[test]
fn a_caller_may_cancel_in_between() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "Supported: 100rel\r\n", OFFER).incoming[0].leg;
    bench.command(leg, progress(A));
    bench.command(leg, accept());
    let cancel = bench.request("CANCEL", "1", "", 1, "", "").replace("-CANCEL-1", "-INVITE-1");
    let done = bench.receive(&cancel);
    assert_eq!(done.statuses(), [200, 487]);
    assert_eq!(done.events, [LegEvent::Cancelled { reason: None }]);
    let after = bench.wait(LONG);
    assert!(!after.statuses().contains(&183));
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn as_caller_each_is_acknowledged_once_and_in_order() {
    let mut bench = Bench::new();
    let (_, invite) = placed(&mut bench);
    assert!(invite.headers.supported().unwrap().contains(&"100rel".to_owned()));
    let reliable = |rseq: u32| format!("{CONTACT}\nRequire: 100rel\nRSeq: {rseq}");
    let done = bench.reply(&invite, 183, "one", &reliable(5), OFFER);
    let request = done.request("PRACK").clone();
    assert_eq!(request.headers.text(&Name::RAck).unwrap(), "5 1 INVITE");
    assert_eq!((request.headers.cseq().unwrap().number, request.uri.to_string()), (2, "sip:bob@192.0.2.2:5060".into()));
    assert_eq!(request.headers.to().unwrap().tag(), Some("one"));
    assert_eq!(early(&done.events).len(), 1);
    bench.reply(&request, 200, "", "", "");
    for (rseq, why) in [(5, "repeated"), (7, "too early"), (4, "too late")] {
        let done = bench.reply(&invite, 180, "one", &reliable(rseq), "");
        assert_eq!((done.requests.len(), done.events.len()), (0, 0), "{why}");
    }
    let done = bench.reply(&invite, 180, "one", &reliable(6), "");
    assert_eq!(done.request("PRACK").headers.text(&Name::RAck).unwrap(), "6 1 INVITE");
    assert_eq!(done.request("PRACK").headers.cseq().unwrap().number, 3);
    // Another fork counts by itself, in numbers of its own.
    let elsewhere = "Contact: <sip:bob@198.51.100.2:5062>\nRequire: 100rel\nRSeq: 900";
    let done = bench.reply(&invite, 183, "two", elsewhere, &OFFER.replace("4000", "4004"));
    let (peer, request) = &done.requests[0];
    assert_eq!(peer.remote, "198.51.100.2:5062".parse().unwrap());
    assert_eq!(request.headers.cseq().unwrap().number, 2);
    assert_eq!(early(&done.events)[0].0.remote_rtp.port(), 4004);
    // Unreliable ones, and ones without Require, are not acknowledged.
    assert!(bench.reply(&invite, 183, "three", "RSeq: 1", "").requests.is_empty());
    // The first fork answers, without saying it all again; the second has to be told, with its next number.
    let done = bench.reply(&invite, 200, "one", CONTACT, "");
    assert!(matches!(&done.events[..], [LegEvent::Accepted { media: Some(m) }, _] if m.remote_rtp.port() == 4000));
    let done = bench.reply(&invite, 200, "two", "Contact: <sip:bob@198.51.100.2:5062>", OFFER);
    assert_eq!(done.methods(), ["ACK", "BYE"]);
    assert_eq!(done.request("BYE").headers.cseq().unwrap().number, 3);
    let leg = LegId(1);
    let bye = bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!(bye.request("BYE").headers.cseq().unwrap().number, 4, "after two PRACKs");
}

#[test]
fn an_answer_that_changes_what_was_said_before_it() {
    for extra in [CONTACT.to_owned(), format!("{CONTACT}\nRequire: 100rel\nRSeq: 1")] {
        let mut bench = Bench::new();
        let (_, invite) = placed(&mut bench);
        let done = bench.reply(&invite, 183, "one", &extra, OFFER);
        assert_eq!(early(&done.events)[0].0.codec, Codec::Pcmu);
        let other = OFFER.replace("4000", "4010").replace(" 0 101", " 8 101");
        let done = bench.reply(&invite, 200, "one", CONTACT, &other);
        assert!(matches!(&done.events[..], [LegEvent::Accepted { media: Some(m) }, _]
            if m.remote_rtp.port() == 4010 && m.codec == Codec::Pcma));
    }
}

#[test]
fn a_prack_that_is_challenged_goes_again() {
    let mut bench = Bench::new();
    let leg = bench.agent.new_leg();
    let mut call = invite(Transport::Udp);
    call.credentials = Some(crate::sip::leg::Credentials { user: "u".into(), password: "p".into() });
    bench.agent.place(leg, call, bench.now);
    let invite = bench.done().request("INVITE").clone();
    let reliable = format!("{CONTACT}\nRequire: 100rel\nRSeq: 1");
    let request = bench.reply(&invite, 183, "one", &reliable, OFFER).request("PRACK").clone();
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"";
    let again = bench.reply(&request, 401, "", challenge, "").request("PRACK").clone();
    assert!(again.headers.contains(&Name::Authorization));
    assert_eq!(again.headers.cseq().unwrap().number, 3);
    assert_eq!(again.headers.text(&Name::RAck), request.headers.text(&Name::RAck));
}

#[test]
fn answers_without_ack_count_against_their_source() {
    let mut config = config(A);
    config.limits.half_open_per_source = 2;
    let mut bench = Bench::with(config);
    for id in ["1", "2"] {
        let leg = bench.invite(id, "", OFFER).incoming[0].leg;
        bench.command(leg, accept());
    }
    assert_eq!(bench.agent.census().half_open, 2);
    assert_eq!(bench.invite("3", "", OFFER).statuses(), [503], "taking all calls does not open the door");
    bench.wait(Duration::from_secs(40));
    assert_eq!(bench.agent.census().half_open, 0);
    let (_, tag) = bench.established("4");
    assert_eq!(bench.agent.census().half_open, 0);
    assert_eq!(bench.receive(&bench.request("BYE", "4", &tag, 2, "", "")).statuses(), [200]);
}
