//! Session timers (RFC 4028): who refreshes, how, how often, and what happens when nobody does.

use super::*;
use crate::sip::leg::{EndCause, Side};
use crate::sip::message::{Name, Refresher, SessionExpires};

const CONTACT: &str = "Contact: <sip:bob@192.0.2.2:5060>";
const WITH_UPDATE: &str = "Contact: <sip:bob@192.0.2.2:5060>\nAllow: UPDATE";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn expired(events: &[LegEvent]) -> bool {
    events == [LegEvent::Ended { by: Side::Local, cause: EndCause::SessionExpired, reason: None }]
}

fn agreed(response: &Response) -> Option<SessionExpires> {
    response.headers.session_expires().unwrap()
}

fn uac(seconds: u32) -> Option<SessionExpires> {
    Some(SessionExpires { seconds, refresher: Some(Refresher::Uac) })
}

fn uas(seconds: u32) -> Option<SessionExpires> {
    Some(SessionExpires { seconds, refresher: Some(Refresher::Uas) })
}

/// A call of ours, answered with these header lines: the leg and the INVITE.
fn called(bench: &mut Bench, extra: &str) -> (LegId, Request) {
    let leg = bench.agent.new_leg();
    bench.agent.place(leg, invite(Transport::Udp), bench.now);
    let invite = bench.done().request("INVITE").clone();
    let done = bench.reply(&invite, 200, "one", extra, OFFER);
    assert!(matches!(done.events[..], [LegEvent::Accepted { .. }, LegEvent::Confirmed]));
    (leg, invite)
}

/// A call to us with these header lines, answered and acknowledged: our tag and our 200.
fn taken(bench: &mut Bench, id: &str, extra: &str) -> (String, Response) {
    let leg = bench.invite(id, extra, OFFER).incoming[0].leg;
    let done = bench.command(leg, LegCommand::Accept { media: media(A) });
    let response = done.response(200).clone();
    let tag = response.headers.to().unwrap().tag().unwrap().to_owned();
    bench.receive(&bench.request("ACK", id, &tag, 1, "", ""));
    (tag, response)
}

#[test]
fn two_of_us_keep_a_call_alive_and_notice_when_it_is_not() {
    let mut net = Net::new(1);
    let (a, b) = net.call(Transport::Udp);
    net.run(secs(3 * 3600));
    assert_eq!((net.lines(A, "UPDATE"), net.lines(B, "UPDATE")), (11, 0), "each half of 1800 s, by the caller");
    assert!(net.of(A, a).iter().chain(&net.of(B, b)).all(|e| !e.is_final()));
    assert!(!net.has(B, |e| matches!(e, LegEvent::MediaChanged { .. })));
    // The caller vanishes.
    net.lose_lines = vec![("UPDATE".into(), usize::MAX), ("BYE".into(), usize::MAX)];
    net.run(secs(3600));
    assert!(matches!(net.of(A, a).last(), Some(LegEvent::Ended { cause: EndCause::DialogLost(408), .. })));
    assert!(matches!(net.of(B, b).last(), Some(LegEvent::Ended { cause: EndCause::SessionExpired, .. })));
    net.run(secs(400));
    net.assert_empty();
}

#[test]
fn as_caller_we_refresh_or_the_callee_does() {
    // We, by UPDATE.
    let mut bench = Bench::new();
    let (_, invite) = called(&mut bench, &format!("{WITH_UPDATE}\nRequire: timer\nSession-Expires: 600;refresher=uac"));
    assert_eq!(invite.headers.session_expires().unwrap(), Some(SessionExpires { seconds: 1800, refresher: None }));
    assert!(invite.headers.supported().unwrap().contains(&"timer".to_owned()));
    assert!(bench.wait(secs(299)).requests.is_empty());
    let update = bench.wait(secs(1)).request("UPDATE").clone();
    assert!(update.body.is_empty());
    assert_eq!(update.headers.session_expires().unwrap(), uac(600));
    // The other side wants it the other way round from now on.
    bench.reply(&update, 200, "", "Session-Expires: 120;refresher=uas", "");
    assert!(bench.wait(secs(80)).requests.is_empty());
    let done = bench.wait(secs(8));
    assert!(expired(&done.events), "32 s, or a third, before the end");
    assert!(done.request("BYE").headers.text(&Name::Reason).unwrap().contains("Session timer expired"));

    // We, by re-INVITE, to one who does not serve UPDATE.
    let mut bench = Bench::new();
    let (_, invite) = called(&mut bench, &format!("{CONTACT}\nRequire: timer\nSession-Expires: 600;refresher=uac"));
    let again = bench.wait(secs(300)).request("INVITE").clone();
    assert_eq!(again.body, invite.body, "the same description, of the same version");
    assert_eq!(again.headers.session_expires().unwrap(), uac(600));
    let done = bench.reply(&again, 200, "", &format!("{CONTACT}\nSession-Expires: 600;refresher=uac"), OFFER);
    assert_eq!((done.methods(), done.events.len()), (vec!["ACK".to_owned()], 0), "nothing has changed");
    assert_eq!(bench.wait(secs(301)).request("INVITE").body, invite.body);

    // Nobody.
    let mut bench = Bench::new();
    called(&mut bench, CONTACT);
    let done = bench.wait(secs(7200));
    assert_eq!((done.requests.len(), done.events.len()), (0, 0));
}

#[test]
fn as_callee_the_table_of_the_rfc() {
    let cases = [
        ("", uas(1800), false),
        ("Session-Expires: 900\r\n", uas(900), false),
        ("Session-Expires: 30\r\n", uas(30), false),
        ("Supported: timer\r\n", uac(1800), true),
        ("Supported: timer\r\nSession-Expires: 900\r\n", uac(900), true),
        ("Supported: timer\r\nSession-Expires: 900;refresher=uac\r\n", uac(900), true),
        ("k: timer\r\nx: 900;refresher=uas\r\n", uas(900), true),
        ("Supported: timer\r\nSession-Expires: 9000\r\n", uac(1800), true),
        ("Supported: timer\r\nSession-Expires: 9000\r\nMin-SE: 3600\r\n", uac(3600), true),
        ("Supported: timer\r\nMin-SE: 3600\r\n", uac(3600), true),
    ];
    for (extra, wanted, required) in cases {
        let mut bench = Bench::new();
        let (_, response) = taken(&mut bench, "1", extra);
        assert_eq!(agreed(&response), wanted, "{extra}");
        assert_eq!(response.headers.require().unwrap().contains(&"timer".to_owned()), required, "{extra}");
        let done = bench.wait(secs(wanted.unwrap().seconds.max(90).into()));
        let we_refresh = wanted.unwrap().refresher == Some(Refresher::Uas);
        assert_eq!(done.requests.first().unwrap().1.method.as_str(), if we_refresh { "INVITE" } else { "BYE" });
    }
}

#[test]
fn a_caller_that_refreshes_is_kept() {
    let mut bench = Bench::new();
    let extra = "Supported: timer\r\nSession-Expires: 100;refresher=uac\r\n";
    let (tag, _) = taken(&mut bench, "1", extra);
    for n in 2..12 {
        assert!(bench.wait(secs(50)).requests.is_empty());
        let method = if n % 2 == 0 { "UPDATE" } else { "INVITE" };
        let body = if n % 2 == 0 { "" } else { OFFER };
        let done = bench.receive(&bench.request(method, "1", &tag, n, extra, body));
        assert_eq!((agreed(done.response(200)), done.events.len()), (uac(100), 0));
        if n % 2 == 1 {
            bench.receive(&bench.request("ACK", "1", &tag, n, "", ""));
        }
    }
    // It turns the roles round, and then says nothing of them: they stay.
    let turned = extra.replace("uac", "uas");
    let done = bench.receive(&bench.request("UPDATE", "1", &tag, 12, &turned, ""));
    assert_eq!(agreed(done.response(200)), uas(100));
    let done = bench.receive(&bench.request("UPDATE", "1", &tag, 13, "Supported: timer\r\n", ""));
    assert_eq!(agreed(done.response(200)), uas(100));
    assert_eq!(bench.wait(secs(50)).methods(), ["INVITE"]);
}

#[test]
fn intervals_that_are_too_short() {
    let mut bench = Bench::new();
    let short = "Supported: timer\r\nSession-Expires: 60\r\n";
    let done = bench.invite("1", short, OFFER);
    assert_eq!(done.response(422).headers.min_se().unwrap(), Some(90));
    assert_eq!(bench.agent.census().legs, 0);
    assert_eq!(bench.invite("2", "Session-Expires: x\r\n", OFFER).statuses(), [400]);
    let (tag, _) = taken(&mut bench, "3", "Supported: timer\r\n");
    for (method, cseq) in [("UPDATE", 2), ("INVITE", 3)] {
        let done = bench.receive(&bench.request(method, "3", &tag, cseq, short, ""));
        assert_eq!(done.response(422).headers.min_se().unwrap(), Some(90));
    }

    // Ours, too, can be; and again, by another proxy on the way.
    let mut bench = Bench::new();
    let leg = bench.agent.new_leg();
    bench.agent.place(leg, invite(Transport::Udp), bench.now);
    let first = bench.done().request("INVITE").clone();
    let done = bench.reply(&first, 422, "t", "Min-SE: 4000", "");
    assert_eq!(done.methods(), ["ACK", "INVITE"]);
    assert!(done.events.is_empty());
    let second = done.request("INVITE").clone();
    assert!(second.headers.min_se().unwrap().unwrap() >= 4000);
    assert!(second.headers.session_expires().unwrap().unwrap().seconds >= 4000);
    assert_eq!((second.headers.cseq().unwrap().number, second.body.clone()), (2, first.body.clone()));
    let third = bench.reply(&second, 422, "t", "Min-SE: 6000", "").request("INVITE").clone();
    // Who asks for what it has been given gets no third.
    let done = bench.reply(&third, 422, "t", "Min-SE: 6000", "");
    assert!(matches!(done.events[..], [LegEvent::Failed { status: 422, .. }]));

    // And when refreshing.
    let mut bench = Bench::new();
    called(&mut bench, &format!("{WITH_UPDATE}\nSession-Expires: 600;refresher=uac"));
    let update = bench.wait(secs(300)).request("UPDATE").clone();
    let again = bench.reply(&update, 422, "", "Min-SE: 1000", "").request("UPDATE").clone();
    assert!(again.headers.session_expires().unwrap().unwrap().seconds >= 1000);
    assert!(bench.reply(&again, 200, "", "Session-Expires: 1250;refresher=uac", "").events.is_empty());
    assert!(bench.wait(secs(624)).requests.is_empty());
    assert_eq!(bench.wait(secs(1)).methods()[0], "UPDATE");
}

#[test]
fn a_peer_that_knows_nothing_of_timers_is_asked_whether_it_is_there() {
    let refresh = |bench: &mut Bench| bench.wait(secs(901)).request("INVITE").clone();
    let mut bench = Bench::new();
    let (_, response) = taken(&mut bench, "1", "");
    for n in 0..3 {
        let request = refresh(&mut bench);
        assert_eq!(request.body, response.body, "the same description");
        let done = match n {
            // Whatever it answers, it answers.
            0 => bench.reply(&request, 200, "", "Contact: <sip:carol@198.51.100.7:5070>", OFFER),
            1 => bench.reply(&request, 488, "", "", ""),
            _ => bench.reply(&request, 481, "", "", ""),
        };
        match n {
            2 => assert!(matches!(done.events[..], [LegEvent::Ended { cause: EndCause::DialogLost(481), .. }])),
            _ => assert!(done.events.is_empty(), "{:?}", done.events),
        }
    }
    let mut bench = Bench::new();
    taken(&mut bench, "1", "");
    refresh(&mut bench);
    let done = bench.wait(secs(40));
    assert!(matches!(done.events[..], [LegEvent::Ended { cause: EndCause::DialogLost(408), .. }]), "nobody is there");
    assert!(done.methods().contains(&"BYE".to_owned()));
}

#[test]
fn refreshing_that_is_refused_goes_another_way_or_again() {
    let mut bench = Bench::new();
    called(&mut bench, &format!("{WITH_UPDATE}\nSession-Expires: 600;refresher=uac"));
    let update = bench.wait(secs(300)).request("UPDATE").clone();
    bench.reply(&update, 501, "", "", "");
    let again = bench.wait(Duration::ZERO).request("INVITE").clone();
    let done = bench.reply(&again, 491, "", "", "");
    assert!(done.events.is_empty(), "call control did not ask for it");
    let third = bench.wait(secs(80)).request("INVITE").clone();
    bench.reply(&third, 500, "", "", "");
    let mut all = Done::default();
    for _ in 0..200 {
        let done = bench.wait(secs(2));
        for (_, request) in done.requests.iter().filter(|(_, r)| r.method.as_str() == "INVITE") {
            bench.reply(request, 500, "", "", "");
        }
        all.requests.extend(done.requests);
        all.events.extend(done.events);
    }
    assert!(expired(&all.events), "{:?}", all.events);
    assert!(all.methods().len() < 40, "not without end: {:?}", all.methods());
}

#[test]
fn a_renegotiation_is_a_refreshing() {
    let mut bench = Bench::new();
    let (leg, _) = called(&mut bench, &format!("{CONTACT}\nSession-Expires: 600;refresher=uac"));
    bench.wait(secs(200));
    let direction = Direction::SendOnly;
    let hold = LegCommand::Reoffer { media: LocalMedia { direction, ..media(A) } };
    let request = bench.command(leg, hold).request("INVITE").clone();
    let answer = OFFER.to_owned() + "a=recvonly\r\n";
    bench.reply(&request, 200, "", &format!("{CONTACT}\nSession-Expires: 600;refresher=uac"), &answer);
    assert!(bench.wait(secs(299)).requests.is_empty());
    let refresh = bench.wait(secs(2)).request("INVITE").clone();
    assert_eq!(refresh.body, request.body, "on hold it stays");
}

#[test]
fn off_means_that_we_ask_for_none_and_grant_what_is_asked() {
    let off = || {
        let mut config = config(A);
        config.timers.session_expires = 0;
        Bench::with(config)
    };
    let mut bench = off();
    let (_, invite) = called(&mut bench, WITH_UPDATE);
    assert!(!invite.headers.contains(&Name::SessionExpires));
    assert!(bench.wait(secs(7200)).requests.is_empty());
    let mut bench = off();
    let (_, response) = taken(&mut bench, "1", "Supported: timer\r\n");
    assert_eq!(agreed(&response), None);
    assert!(bench.wait(secs(7200)).requests.is_empty());
    let (_, response) = taken(&mut bench, "2", "Supported: timer\r\nSession-Expires: 300\r\n");
    assert_eq!(agreed(&response), uac(300));
    assert!(expired(&bench.wait(secs(270)).events));
}
