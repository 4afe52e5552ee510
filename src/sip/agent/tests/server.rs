//! The server side against peers written out by hand: each refusal of RFC 3261, CANCEL, offers of every kind.

use super::*;
use crate::sip::leg::{EndCause, Side};
use crate::sip::message::Name;

fn text(response: &Response, name: Name) -> String {
    response.headers.text(&name).unwrap_or_default().into_owned()
}

#[test]
fn an_invite_is_answered_step_by_step() {
    let mut bench = Bench::new();
    let extra = "Record-Route: <sip:198.51.100.1;lr>\r\nP-Asserted-Identity: <tel:+441632960123>\r\n\
         Diversion: <sip:old@far.example>;reason=no-answer\r\n";
    let done = bench.invite("1", extra, OFFER);
    assert_eq!(done.statuses(), [100]);
    assert!(done.response(100).headers.to().unwrap().tag().is_none());
    let invitation = &done.incoming[0];
    assert_eq!(invitation.from.uri, "sip:carol@far.example");
    assert_eq!(invitation.asserted_identity.as_ref().unwrap().uri, "tel:+441632960123");
    assert_eq!(invitation.caller().uri, "sip:carol@far.example", "a stranger is not believed");
    assert_eq!(invitation.diversion.as_ref().unwrap().uri, "sip:old@far.example");
    assert!(invitation.offered.as_ref().unwrap().telephone_event);
    let leg = invitation.leg;
    // The same INVITE again brings the same answer, and no second leg.
    let again = bench.invite("1", extra, OFFER);
    assert_eq!((again.statuses(), again.incoming.len()), (vec![100], 0));
    let ringing = bench.command(leg, LegCommand::Ring);
    let tag = ringing.response(180).headers.to().unwrap().tag().unwrap().to_owned();
    assert_eq!(text(ringing.response(180), Name::RecordRoute), "<sip:198.51.100.1;lr>");
    assert_eq!(text(ringing.response(180), Name::Contact), "<sip:strowger@192.0.2.1:5060>");
    assert_eq!(bench.wait(Duration::from_secs(61)).statuses(), [180], "once a minute");
    let done = bench.command(leg, LegCommand::Accept { media: media(A) });
    let ok = done.response(200);
    assert_eq!(ok.headers.to().unwrap().tag(), Some(tag.as_str()));
    assert!(String::from_utf8_lossy(&ok.body).contains("m=audio 20000 RTP/AVP 0 101"));
    let Some(LegEvent::Accepted { media: Some(agreed) }) = done.events.first() else { panic!() };
    assert_eq!(agreed.remote_rtp, "198.51.100.7:4000".parse().unwrap());
    // An INVITE that comes again now is absorbed.
    assert!(bench.invite("1", extra, OFFER).responses.is_empty());
    let ack = bench.request("ACK", "1", &tag, 1, "", "");
    assert_eq!(bench.receive(&ack).events, [LegEvent::Confirmed]);
    assert!(bench.receive(&ack).events.is_empty(), "an ACK again is nothing");
    let bye = bench.command(leg, LegCommand::Hangup { reason: None });
    let (peer, bye) = &bye.requests[0];
    assert_eq!(peer.remote, "198.51.100.1:5060".parse().unwrap(), "by the route");
    assert_eq!(bye.uri.to_string(), "sip:carol@198.51.100.7:5070");
    let bye = bye.clone();
    assert!(bench.reply(&bye, 200, "", "", "").responses.is_empty());
    assert_eq!(bench.wait(Duration::from_secs(200)).gone, [leg]);
    assert_eq!(bench.agent.census(), Census::default());
}

#[test]
fn responses_go_where_rport_and_received_say() {
    let mut bench = Bench::new();
    bench.peer.remote = "203.0.113.9:61000".parse().unwrap();
    let plain = bench.request("OPTIONS", "1", "", 1, "", "");
    let (peer, response) = &bench.receive(&plain).responses[0];
    assert_eq!(peer.remote, "203.0.113.9:5070".parse().unwrap(), "received, and the port of sent-by");
    assert_eq!(response.headers.top_via().unwrap().received(), Some("203.0.113.9".parse().unwrap()));
    let rport = plain.replace(";branch=", ";rport;branch=");
    let (peer, response) = &bench.receive(&rport).responses[0];
    assert_eq!(peer.remote, "203.0.113.9:61000".parse().unwrap());
    assert_eq!(response.headers.top_via().unwrap().rport(), Some(61000));
    bench.peer.transport = Transport::Tcp;
    bench.peer.connection = Some(4);
    let (peer, _) = &bench.receive(&bench.request("OPTIONS", "2", "", 1, "", "")).responses[0];
    assert_eq!(*peer, bench.peer, "on the connection that it came on");
}

#[test]
fn options_tell_what_we_can() {
    let mut bench = Bench::new();
    let done = bench.receive(&bench.request("OPTIONS", "1", "", 1, "Max-Forwards: 0\r\n", "").replacen(
        "Max-Forwards: 70\r\n",
        "",
        1,
    ));
    let ok = done.response(200);
    assert!(text(ok, Name::Allow).starts_with("INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, PRACK, UPDATE"));
    assert_eq!(text(ok, Name::Accept), "application/sdp");
    assert!(ok.headers.contains(&Name::Supported) && ok.headers.to().unwrap().tag().is_some());
    assert_eq!(bench.agent.census(), Census::default(), "without state");
}

#[test]
fn each_refusal_at_the_door() {
    let mut bench = Bench::new();
    let maker = Bench::new();
    let status = |bench: &mut Bench, message: String| {
        let done = bench.receive(&message);
        assert!(done.incoming.is_empty(), "{message}");
        assert_eq!(done.responses.len(), 1, "{message}");
        assert!(done.responses[0].1.headers.to().is_ok_and(|to| to.tag().is_some()), "{message}");
        done.responses[0].1.clone()
    };
    for method in ["REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH", "FROBNICATE"] {
        let refused = status(&mut bench, maker.request(method, "m", "", 1, "", ""));
        assert_eq!((refused.status(), text(&refused, Name::Allow).contains("INVITE")), (405, true), "{method}");
    }
    for method in ["BYE", "INFO", "INVITE", "OPTIONS", "PRACK", "UPDATE"] {
        assert_eq!(status(&mut bench, maker.request(method, "d", "unknown", 1, "", "")).status(), 481, "{method}");
    }
    assert_eq!(status(&mut bench, maker.request("BYE", "e", "", 1, "", "")).status(), 481);
    assert_eq!(status(&mut bench, maker.request("CANCEL", "f", "", 1, "", "")).status(), 481);
    let refused = status(&mut bench, maker.request("INVITE", "g", "", 1, "Require: 100rel, nonsense\r\n", OFFER));
    assert_eq!((refused.status(), text(&refused, Name::Unsupported).as_str()), (420, "nonsense"));
    let refused = status(&mut bench, maker.request("INVITE", "h", "", 1, "Content-Type: text/plain\r\n", "hello"));
    assert_eq!((refused.status(), text(&refused, Name::Accept).as_str()), (415, "application/sdp"));
    let refused = status(&mut bench, maker.request("INVITE", "i", "", 1, "Content-Encoding: gzip\r\n", OFFER));
    assert_eq!((refused.status(), text(&refused, Name::AcceptEncoding).as_str()), (415, "identity"));
    let refused = status(&mut bench, maker.request("INVITE", "j", "", 1, "", &OFFER.replace(" 0 101", " 9 18")));
    assert_eq!((refused.status(), text(&refused, Name::Warning).starts_with("305 ")), (488, true));
    assert_eq!(status(&mut bench, maker.request("INVITE", "k", "", 1, "", "nonsense")).status(), 400);
    assert_eq!(status(&mut bench, maker.request("INVITE", "l", "", 1, "X-No-Contact: 1\r\n", OFFER)).status(), 400);
    let huge = format!("{OFFER}a=x:{}\r\n", "y".repeat(60_000));
    let mut small = config(A);
    small.limits.body = 10_000;
    assert_eq!(status(&mut Bench::with(small), bench.request("INVITE", "n", "", 1, "", &huge)).status(), 413);
    let scheme = bench.request("INVITE", "o", "", 1, "", OFFER).replacen("sip:strowger@192.0.2.1", "mailto:a@b", 1);
    assert_eq!(status(&mut bench, scheme).status(), 416);
    let version = bench.request("OPTIONS", "p", "", 1, "", "").replacen("SIP/2.0\r\n", "SIP/7.0\r\n", 1);
    assert_eq!(status(&mut bench, version).status(), 505);
    for (from, to) in [
        ("CSeq: 1 INVITE", "CSeq: one INVITE"),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        ("Max-Forwards: 70", "Max-Forwards: many"),
        ("Contact: <", "Contact: <<"),
    ] {
        let broken = bench.request("INVITE", "q", "", 1, "", OFFER).replace(from, to);
        assert_eq!(status(&mut bench, broken).status(), 400, "{to}");
    }
    assert_eq!(bench.agent.census(), Census::default(), "nothing is kept of any of them");
    let optional = "Content-Type: text/plain\r\nContent-Disposition: render; handling=optional\r\n";
    assert_eq!(bench.receive(&bench.request("INVITE", "r", "", 1, optional, "hello")).incoming.len(), 1);
}

#[test]
fn the_same_request_is_turned_away_alike_each_time() {
    let mut bench = Bench::new();
    let invite = bench.request("INVITE", "1", "", 1, "Require: x\r\n", OFFER);
    let first = bench.receive(&invite).responses[0].1.clone();
    assert_eq!(bench.receive(&invite).responses[0].1, first);
    let tag = first.headers.to().unwrap().tag().unwrap().to_owned();
    let ack = bench.request("ACK", "1", &tag, 1, "", "");
    assert!(bench.receive(&ack).responses.is_empty());
}

#[test]
fn merged_requests_are_482() {
    let mut bench = Bench::new();
    assert_eq!(bench.invite("1", "", OFFER).statuses(), [100]);
    let other = bench.request("INVITE", "1", "", 1, "", OFFER).replace("branch=z9hG4bK", "branch=z9hG4bKother");
    assert_eq!(bench.receive(&other).statuses(), [482]);
}

#[test]
fn an_old_peer_without_magic_cookie_is_served() {
    let mut bench = Bench::new();
    let old = |text: String| text.replace("branch=z9hG4bK1-INVITE-1", "branch=1").replace(";branch=z9hG4bK1-ACK-1", "");
    let invite = old(bench.request("INVITE", "1", "", 1, "", OFFER));
    let leg = bench.receive(&invite).incoming.remove(0).leg;
    assert_eq!(bench.receive(&invite).statuses(), [100], "the same, not a second one");
    let busy = bench.command(leg, LegCommand::Refuse { status: 486, phrase: None, retry_after: None });
    let tag = busy.response(486).headers.to().unwrap().tag().unwrap().to_owned();
    let ack = bench.request("ACK", "1", &tag, 1, "", "").replace("branch=z9hG4bK1-ACK-1", "branch=1");
    assert!(bench.receive(&ack).responses.is_empty());
    assert!(bench.wait(Duration::from_secs(31)).responses.is_empty(), "the ACK was understood");
}

#[test]
fn cancel_before_and_after_the_answer() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "", OFFER).incoming.remove(0).leg;
    let cancel = bench.request("CANCEL", "1", "", 1, "Reason: SIP;cause=200\r\n", "").replace("-CANCEL-", "-INVITE-");
    let done = bench.receive(&cancel);
    assert_eq!(done.statuses(), [200, 487]);
    assert_eq!(done.response(200).headers.to().unwrap().tag(), done.response(487).headers.to().unwrap().tag());
    assert_eq!(done.events, [LegEvent::Cancelled { reason: Some("SIP;cause=200".into()) }]);
    assert_eq!(bench.receive(&cancel).statuses(), [200], "again: answered, and nothing more");
    assert_eq!(bench.wait(Duration::from_secs(40)).gone, [leg], "without an ACK, too");

    let leg = bench.invite("2", "", OFFER).incoming.remove(0).leg;
    bench.command(leg, LegCommand::Accept { media: media(A) });
    let cancel = bench.request("CANCEL", "2", "", 1, "", "").replace("-CANCEL-", "-INVITE-");
    let late = bench.receive(&cancel);
    assert_eq!((late.statuses(), late.events.len()), (vec![200], 0), "too late: the call stands");
    let tag = late.response(200).headers.to().unwrap().tag().unwrap().to_owned();
    assert_eq!(bench.receive(&bench.request("ACK", "2", &tag, 1, "", "")).events, [LegEvent::Confirmed]);
}

#[test]
fn bye_in_an_early_dialog_ends_the_invite() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "", OFFER).incoming.remove(0).leg;
    let ringing = bench.command(leg, LegCommand::Ring);
    let tag = ringing.response(180).headers.to().unwrap().tag().unwrap().to_owned();
    let done = bench.receive(&bench.request("BYE", "1", &tag, 2, "", ""));
    assert_eq!(done.statuses(), [200, 487]);
    assert_eq!(done.events, [LegEvent::Cancelled { reason: None }]);
}

#[test]
fn nobody_answers_and_the_callers_own_patience() {
    let mut bench = Bench::new();
    bench.invite("1", "", OFFER);
    let done = bench.wait(Duration::from_secs(181));
    assert_eq!(done.statuses()[0], 480);
    bench.invite("2", "Expires: 5\r\n", OFFER);
    let done = bench.wait(Duration::from_secs(6));
    assert!(done.statuses().contains(&487));
    assert!(done.events.contains(&LegEvent::Ended { by: Side::Local, cause: EndCause::Refused(487), reason: None }));
}

#[test]
fn an_invite_without_offer_is_answered_in_the_ack() {
    let mut bench = Bench::new();
    let done = bench.invite("1", "", "");
    assert!(done.incoming[0].offered.is_none());
    let leg = done.incoming[0].leg;
    let done = bench.command(leg, LegCommand::Accept { media: media(A) });
    assert_eq!(done.events, [LegEvent::Accepted { media: None }]);
    let ok = done.response(200);
    assert!(String::from_utf8_lossy(&ok.body).contains("RTP/AVP 0 8 101"));
    let tag = ok.headers.to().unwrap().tag().unwrap().to_owned();
    let done = bench.receive(&bench.request("ACK", "1", &tag, 1, "", OFFER));
    assert!(matches!(done.events[..], [LegEvent::MediaChanged { .. }, LegEvent::Confirmed]));
    // A re-INVITE without offer likewise.
    let done = bench.receive(&bench.request("INVITE", "1", &tag, 2, "", ""));
    assert!(String::from_utf8_lossy(&done.response(200).body).contains("RTP/AVP 0 8 101"));
    let moved = OFFER.replace("4000", "4444");
    let done = bench.receive(&bench.request("ACK", "1", &tag, 2, "", &moved));
    assert!(matches!(&done.events[..], [LegEvent::MediaChanged { media }] if media.remote_rtp.port() == 4444));

    let leg = bench.invite("2", "", "").incoming.remove(0).leg;
    let done = bench.command(leg, LegCommand::Accept { media: media(A) });
    let tag = done.response(200).headers.to().unwrap().tag().unwrap().to_owned();
    let done = bench.receive(&bench.request("ACK", "2", &tag, 1, "", ""));
    assert_eq!(done.methods(), ["BYE"], "no answer, no session");
    assert_eq!(done.events, [LegEvent::Ended { by: Side::Local, cause: EndCause::BadAnswer, reason: None }]);
}

#[test]
fn an_offer_that_the_application_cannot_take_is_488() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "", OFFER).incoming.remove(0).leg;
    let only_a = LocalMedia { codecs: vec![Codec::Pcma], ..media(A) };
    let refused = bench.agent.command(leg, LegCommand::Accept { media: only_a }, bench.now);
    assert_eq!(refused, Err(crate::sip::leg::CommandError::NotAcceptable));
    let done = bench.done();
    assert_eq!(done.statuses(), [488]);
    assert!(done.events[0].is_final());
}

#[test]
fn re_invites_of_the_peer() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established("1");
    let old_hold = OFFER.replace("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0");
    let done = bench.receive(&bench.request("INVITE", "1", &tag, 2, "", &old_hold));
    assert!(matches!(&done.events[..], [LegEvent::MediaChanged { media }] if !media.direction.sends()));
    assert!(String::from_utf8_lossy(&done.response(200).body).contains("a=recvonly"));
    // Until its ACK another one is too early.
    assert_eq!(bench.receive(&bench.request("INVITE", "1", &tag, 3, "", OFFER)).statuses(), [491]);
    bench.receive(&bench.request("ACK", "1", &tag, 2, "", ""));
    assert_eq!(bench.receive(&bench.request("INVITE", "1", &tag, 2, "", OFFER).replace("-2", "-2b")).statuses(), [500]);
    let bad = OFFER.replace(" 0 101", " 9");
    assert_eq!(bench.receive(&bench.request("INVITE", "1", &tag, 4, "", &bad)).statuses(), [488]);
    assert_eq!(bench.receive(&bench.request("PUBLISH", "1", &tag, 5, "", OFFER)).statuses(), [405]);
    assert_eq!(bench.receive(&bench.request("INFO", "1", &tag, 6, "Require: x\r\n", "")).statuses(), [420]);
    assert_eq!(bench.receive(&bench.request("OPTIONS", "1", &tag, 7, "", "")).statuses(), [200]);
    // The same offer again changes nothing, and moves the target.
    let contact = "Contact: <sip:carol@198.51.100.99:5099>\r\n";
    let done = bench.receive(&bench.request("INVITE", "1", &tag, 8, contact, &old_hold));
    assert_eq!((done.statuses(), done.events.len()), (vec![200], 0));
    bench.receive(&bench.request("ACK", "1", &tag, 8, "", ""));
    let leg = *bench.agent.legs.keys().next().unwrap();
    let bye = bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!(bye.requests[0].0.remote, "198.51.100.99:5099".parse().unwrap());
    // What comes after that is of an ended call.
    assert_eq!(bench.receive(&bench.request("INVITE", "1", &tag, 9, "", OFFER)).statuses(), [481]);
    assert_eq!(bench.receive(&bench.request("BYE", "1", &tag, 10, "", "")).statuses(), [200]);
}

#[test]
fn a_second_invite_before_the_first_is_answered_is_500() {
    let mut bench = Bench::new();
    let leg = bench.invite("1", "", OFFER).incoming.remove(0).leg;
    let ringing = bench.command(leg, LegCommand::Ring);
    let tag = ringing.response(180).headers.to().unwrap().tag().unwrap().to_owned();
    let done = bench.receive(&bench.request("INVITE", "1", &tag, 2, "", OFFER));
    assert_eq!(done.statuses(), [500]);
    assert!(done.response(500).headers.retry_after().unwrap().unwrap() <= 10);
}

#[test]
fn info_is_handed_on() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established("1");
    let kind = "Content-Type: application/dtmf-relay\r\n";
    let info = bench.request("INFO", "1", &tag, 2, kind, "Signal=1\r\nDuration=160\r\n");
    let done = bench.receive(&info);
    assert_eq!(done.statuses(), [200]);
    assert!(
        matches!(&done.events[..], [LegEvent::Info { content_type, .. }] if content_type == "application/dtmf-relay")
    );
    let again = bench.receive(&info);
    assert_eq!((again.statuses(), again.events.len()), (vec![200], 0), "a press is a press once");
    let packaged = bench.request("INFO", "1", &tag, 3, "Info-Package: foo\r\n", "");
    assert_eq!(bench.receive(&packaged).statuses(), [469]);
}

#[test]
fn an_info_that_nobody_reads_is_refused() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established("1");
    let mut info = |cseq, extra: &str, body: &str| bench.receive(&bench.request("INFO", "1", &tag, cseq, extra, body));
    let done = info(2, "Content-Type: application/media_control+xml\r\n", "<media_control/>");
    assert_eq!((done.statuses(), done.events.len()), (vec![415], 0));
    assert_eq!(text(done.response(415), Name::Accept), "application/dtmf-relay, application/dtmf");
    assert_eq!(info(3, "", "").statuses(), [200], "without a body");
    assert_eq!(info(4, "Content-Type: Application/DTMF;x=y\r\n", "5").statuses(), [200]);
    let optional = "Content-Type: text/plain\r\nContent-Disposition: render; handling=optional\r\n";
    assert_eq!(info(5, optional, "hello").statuses(), [200]);
}

#[test]
fn a_call_ends_once() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established("1");
    let bye = bench.request("BYE", "1", &tag, 2, "", "");
    assert_eq!(bench.receive(&bye).statuses(), [200]);
    assert_eq!(bench.receive(&bye).statuses(), [200], "the same again");
    assert_eq!(bench.receive(&bench.request("BYE", "1", &tag, 3, "", "")).statuses(), [481]);
}

#[test]
fn an_offer_of_the_other_family_never_becomes_a_call() {
    let v6 = OFFER.replace("IP4 198.51.100.7", "IP6 2001:db8::7");
    let refused = Bench::new().invite("1", "", &v6);
    assert_eq!((refused.statuses(), refused.incoming.len()), (vec![488], 0));
    // By a name, too, we are reached at the family of our socket.
    let mut named = config(A);
    for contact in &mut named.contacts {
        contact.host = "pbx.example".into();
    }
    let mut bench = Bench::with(named);
    assert_eq!(bench.invite("1", "", &v6).statuses(), [488]);
    assert_eq!(bench.invite("2", "", OFFER).statuses(), [100]);
}

#[test]
fn a_caller_behind_a_nat_between_private_networks_hears_our_bye() {
    let mut bench = Bench::new();
    bench.peer.remote = "172.17.0.1:40000".parse().unwrap();
    let (leg, _) = bench.established("1");
    let bye = bench.command(leg, LegCommand::Hangup { reason: None });
    assert_eq!(bye.requests[0].0.remote, bench.peer.remote);
}

#[test]
fn strangers_cannot_touch_a_call() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established("1");
    for (from, to) in [("tag=far1", "tag=other"), ("Call-ID: call-1", "Call-ID: call-2")] {
        let bye = bench.request("BYE", "1", &tag, 2, "", "").replace(from, to);
        let done = bench.receive(&bye);
        assert_eq!((done.statuses(), done.events.len()), (vec![481], 0));
    }
}

#[test]
fn a_response_finds_another_way_when_its_connection_is_gone() {
    let mut bench = Bench::new();
    bench.peer.transport = Transport::Tcp;
    bench.peer.remote = "198.51.100.7:33000".parse().unwrap();
    bench.peer.connection = Some(9);
    let leg = bench.invite("1", "", OFFER).incoming.remove(0).leg;
    let (peer, now) = (bench.peer, bench.now);
    bench.agent.transport_lost(&peer, now);
    let done = bench.command(leg, LegCommand::Ring);
    assert_eq!(done.responses[0].0.remote, "198.51.100.7:5070".parse().unwrap());
    assert_eq!(done.responses[0].0.connection, None);
}

#[test]
fn a_repeated_2xx_finds_another_way_too() {
    let mut bench = Bench::new();
    bench.peer.transport = Transport::Tcp;
    bench.peer.connection = Some(9);
    let leg = bench.invite("1", "", OFFER).incoming.remove(0).leg;
    bench.command(leg, LegCommand::Accept { media: media(A) });
    let (peer, now) = (bench.peer, bench.now);
    bench.agent.transport_lost(&peer, now);
    let done = bench.wait(Duration::from_millis(600));
    assert_eq!((done.statuses(), done.responses[0].0.connection), (vec![200], None));
}

#[test]
fn timelines_show_no_credentials() {
    let mut bench = Bench::new();
    let done = bench.invite("1", "authorization: Digest username=\"u\",\r\n response=\"secret\"\r\nX-Y: z\r\n", OFFER);
    let trace = &done.traces[0];
    assert!(!trace.contains("secret") && trace.contains("authorization: (blanked)\r\nX-Y: z\r\n"), "{trace}");
}

#[test]
fn garbage_never_panics_and_never_multiplies() {
    let mut random = Random::from_number(11);
    let mut bench = Bench::new();
    let (_, tag) = bench.established("0");
    let seeds: Vec<Vec<u8>> = vec![
        bench.request("INVITE", "1", "", 1, "Record-Route: <sip:1.2.3.4;lr>\r\n", OFFER).into_bytes(),
        bench.request("INVITE", "0", &tag, 2, "", OFFER).into_bytes(),
        bench.request("BYE", "2", &tag, 3, "", "").into_bytes(),
        bench.request("ACK", "1", "", 1, "", "").into_bytes(),
        bench.request("CANCEL", "1", "", 1, "", "").replace("-CANCEL-", "-INVITE-").into_bytes(),
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n".to_vec(),
    ];
    for n in 0..20_000u64 {
        let mut bytes = seeds[random.below(seeds.len() as u64) as usize].clone();
        for _ in 0..random.below(6) {
            if bytes.len() < 4 {
                break;
            }
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(5) {
                0 => bytes[at] = random.below(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"\r\n:;,<>\"@ \0"[random.below(11) as usize]),
                3 => bytes.truncate(at.max(2)),
                _ => {
                    let digit = b'0' + random.below(10) as u8;
                    bytes.iter_mut().filter(|b| b.is_ascii_digit()).take(3).for_each(|b| *b = digit);
                }
            }
        }
        let done = bench.receive_bytes(&bytes);
        // A CANCEL is answered itself and by the INVITE's 487; a BYE of an early dialog likewise.
        assert!(done.responses.len() <= 2, "{}", String::from_utf8_lossy(&bytes));
        assert!(done.requests.len() <= 1);
        if n % 50 == 0 {
            bench.wait(Duration::from_millis(random.below(2000)));
        }
    }
    let legs: Vec<LegId> = bench.agent.legs.keys().copied().collect();
    for leg in legs {
        let _ = bench.agent.command(leg, LegCommand::Hangup { reason: None }, bench.now);
    }
    bench.wait(Duration::from_secs(600));
    assert_eq!(bench.agent.census(), Census::default());
}
