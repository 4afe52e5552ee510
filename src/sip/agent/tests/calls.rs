//! Whole calls between two agents.

use super::*;
use crate::sip::leg::{EndCause, Side};

const LONG: Duration = Duration::from_secs(400);

fn reoffer(side: usize, direction: Direction) -> LegCommand {
    LegCommand::Reoffer { media: LocalMedia { direction, ..media(side) } }
}

#[test]
fn a_call_either_way_over_either_transport() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for hangs_up in [A, B] {
            let mut net = Net::new(1);
            let (a, b) = net.call(transport);
            assert!(matches!(
                net.of(A, a)[..],
                [LegEvent::Ringing { status: 180 }, LegEvent::Accepted { media: Some(_) }, LegEvent::Confirmed]
            ));
            assert!(matches!(net.of(B, b)[..], [LegEvent::Accepted { media: Some(_) }, LegEvent::Confirmed]));
            let invitation = &net.incoming[B][0];
            assert_eq!(invitation.from.display.as_deref(), Some("Alice"));
            assert_eq!(invitation.header("x-campaign"), Some("spring"));
            assert_eq!(invitation.offered.as_ref().unwrap().codecs, [Codec::Pcmu, Codec::Pcma]);
            let (leg, other) = if hangs_up == A { (a, b) } else { (b, a) };
            net.command(hangs_up, leg, LegCommand::Hangup { reason: Some("Q.850;cause=16".into()) });
            net.ms(100);
            assert_eq!(
                net.of(1 - hangs_up, other).last(),
                Some(&&LegEvent::Ended {
                    by: Side::Remote,
                    cause: EndCause::Bye,
                    reason: Some("Q.850;cause=16".into())
                })
            );
            net.run(LONG);
            assert_eq!((net.gone[A].len(), net.gone[B].len()), (1, 1));
            net.assert_empty();
            assert_eq!(net.agents[A].deadline(), None, "nothing is left to wait for");
        }
    }
}

#[test]
fn any_one_packet_may_be_lost() {
    for n in 0..20 {
        let mut net = Net::new(n);
        net.lose = Some(n as usize);
        let a = net.place(A, Transport::Udp);
        net.ms(600);
        let b = net.incoming[B][0].leg;
        net.command(B, b, LegCommand::Ring);
        net.ms(600);
        net.command(B, b, LegCommand::Accept { media: media(B) });
        net.ms(5000);
        assert!(net.of(A, a).contains(&&LegEvent::Confirmed), "{n}: {:#?}", net.log);
        assert!(net.of(B, b).contains(&&LegEvent::Confirmed), "{n}: {:#?}", net.log);
        net.command(A, a, reoffer(A, Direction::SendOnly));
        net.ms(5000);
        assert!(net.has(A, |e| matches!(e, LegEvent::MediaChanged { .. })), "{n}: {:#?}", net.log);
        net.command(B, b, LegCommand::Info { content_type: "application/dtmf-relay".into(), body: b"Signal=5".into() });
        net.ms(5000);
        assert!(net.has(A, |e| matches!(e, LegEvent::Info { body, .. } if body == b"Signal=5")), "{n}");
        assert!(net.has(B, |e| matches!(e, LegEvent::InfoAnswered { status: 200 })), "{n}");
        net.command(B, b, LegCommand::Hangup { reason: None });
        net.run(LONG);
        assert!(net.of(A, a).last().unwrap().is_final(), "{n}: {:#?}", net.log);
        net.assert_empty();
    }
}

#[test]
fn ok_is_repeated_until_its_ack_and_then_no_more() {
    let mut net = Net::new(1);
    net.lose_lines = vec![("ACK".into(), 3)];
    let (a, b) = net.call(Transport::Udp);
    net.ms(10_000);
    assert_eq!(net.lines(B, "SIP/2.0 200"), 4);
    assert_eq!(net.lines(A, "ACK"), 4);
    assert!(net.of(B, b).contains(&&LegEvent::Confirmed));
    net.command(A, a, LegCommand::Hangup { reason: None });
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn without_ack_the_call_is_ended_after_64_t1() {
    let mut net = Net::new(1);
    net.lose_lines = vec![("ACK".into(), 1000)];
    let (a, b) = net.call(Transport::Udp);
    net.ms(31_000);
    assert!(!net.of(B, b).last().unwrap().is_final());
    net.ms(2_000);
    let lost = LegEvent::Ended { by: Side::Local, cause: EndCause::AckTimeout, reason: None };
    assert_eq!(net.of(B, b).last(), Some(&&lost));
    assert!(matches!(net.of(A, a).last(), Some(LegEvent::Ended { by: Side::Remote, .. })), "BYE was sent");
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn hanging_up_before_the_ack_waits_for_it() {
    let mut net = Net::new(1);
    net.lose_lines = vec![("ACK".into(), 1)];
    let (a, b) = net.call(Transport::Udp);
    net.command(B, b, LegCommand::Hangup { reason: None });
    assert!(net.of(B, b).last().unwrap().is_final(), "told at once");
    assert_eq!(net.lines(B, "BYE"), 0);
    net.ms(1000);
    assert_eq!(net.lines(B, "BYE"), 1);
    assert!(matches!(net.of(A, a).last(), Some(LegEvent::Ended { by: Side::Remote, .. })));
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn cancel_in_every_moment() {
    for ms in 0..80 {
        let mut net = Net::new(ms);
        let a = net.place(A, Transport::Udp);
        let answer_at = 30;
        let mut hung_up = false;
        for t in 0..100 {
            if t == ms {
                hung_up = net.try_command(A, a, LegCommand::Hangup { reason: None }).is_ok();
            }
            if t == answer_at
                && let Some(b) = net.incoming[B].first().map(|i| i.leg)
            {
                let _ = net.try_command(B, b, LegCommand::Accept { media: media(B) });
            }
            net.ms(1);
        }
        assert!(hung_up);
        net.run(LONG);
        for (side, list) in net.events.iter().enumerate() {
            assert_eq!(list.iter().filter(|(_, e)| e.is_final()).count(), 1, "{ms} {side} {list:?} {:#?}", net.log);
        }
        net.assert_empty();
    }
}

#[test]
fn nothing_is_cancelled_before_something_is_heard() {
    let mut net = Net::new(1);
    net.lose_lines = vec![("SIP/2.0 100".into(), 1)];
    let a = net.place(A, Transport::Udp);
    net.command(A, a, LegCommand::Hangup { reason: Some("SIP;cause=487".into()) });
    net.ms(400);
    assert_eq!(net.lines(A, "CANCEL"), 0);
    net.ms(400);
    assert_eq!(net.lines(A, "CANCEL"), 1, "the repeated INVITE was answered 100");
    assert!(net.has(B, |e| matches!(e, LegEvent::Cancelled { reason: Some(r) } if r == "SIP;cause=487")));
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn nobody_there_and_nobody_answering_are_told_apart() {
    let mut net = Net::new(1);
    net.lose_lines = vec![("INVITE".into(), 1000)];
    let a = net.place(A, Transport::Udp);
    net.ms(31_900);
    assert!(net.of(A, a).is_empty());
    net.ms(200);
    assert!(matches!(net.of(A, a)[..], [LegEvent::Failed { status: 408, local: true, .. }]));
    assert_eq!(net.lines(A, "INVITE"), 7);
    net.run(LONG);
    net.assert_empty();

    let mut net = Net::new(1);
    let a = net.place(A, Transport::Udp);
    net.ms(100);
    let b = net.incoming[B][0].leg;
    net.command(B, b, LegCommand::Ring);
    net.ms(60_000);
    assert!(matches!(net.of(A, a).last(), Some(LegEvent::Failed { status: 408, local: true, .. })));
    assert!(matches!(net.of(B, b).last(), Some(LegEvent::Cancelled { .. })));
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn a_refusal_brings_status_and_reason() {
    let mut net = Net::new(1);
    net.lose_lines = vec![("ACK".into(), 2)];
    let a = net.place(A, Transport::Udp);
    net.ms(100);
    let b = net.incoming[B][0].leg;
    net.command(B, b, LegCommand::Refuse { status: 486, phrase: Some("Gone fishing".into()), retry_after: Some(9) });
    net.ms(4000);
    assert!(matches!(
        net.of(A, a)[..],
        [LegEvent::Failed { status: 486, phrase, local: false, .. }] if phrase == "Gone fishing"
    ));
    assert_eq!(net.lines(B, "SIP/2.0 486"), 3, "repeated until acknowledged");
    net.run(LONG);
    net.assert_empty();

    let a = net.place(A, Transport::Udp);
    net.ms(100);
    let b = net.incoming[B][1].leg;
    net.command(B, b, LegCommand::Redirect { contacts: vec!["sip:x@y.example".into()] });
    net.ms(100);
    assert!(matches!(net.of(A, a)[..], [LegEvent::Redirected { .. }, LegEvent::Failed { status: 302, .. }]));
}

#[test]
fn hold_and_resume_from_both_sides() {
    let mut net = Net::new(1);
    let (a, b) = net.call(Transport::Udp);
    let direction = |net: &Net, side: usize| {
        net.events[side]
            .iter()
            .rev()
            .find_map(|(_, e)| match e {
                LegEvent::MediaChanged { media } => Some(media.direction),
                _ => None,
            })
            .unwrap()
    };
    net.command(A, a, reoffer(A, Direction::SendOnly));
    net.ms(100);
    assert_eq!((direction(&net, A), direction(&net, B)), (Direction::SendOnly, Direction::RecvOnly));
    // B holds, too; then A resumes, and B's own hold stays.
    net.command(B, b, reoffer(B, Direction::SendOnly));
    net.ms(100);
    assert_eq!((direction(&net, A), direction(&net, B)), (Direction::Inactive, Direction::Inactive));
    net.command(A, a, reoffer(A, Direction::SendRecv));
    net.ms(100);
    assert_eq!((direction(&net, A), direction(&net, B)), (Direction::RecvOnly, Direction::SendOnly));
    net.command(B, b, reoffer(B, Direction::SendRecv));
    net.ms(100);
    assert_eq!((direction(&net, A), direction(&net, B)), (Direction::SendRecv, Direction::SendRecv));
    net.command(
        A,
        a,
        LegCommand::Reoffer { media: LocalMedia { port: 30_000, codecs: vec![Codec::Pcma], ..media(A) } },
    );
    net.ms(100);
    let Some((_, LegEvent::MediaChanged { media })) = net.events[B].last() else { panic!() };
    assert_eq!((media.remote_rtp.port(), media.codec), (30_000, Codec::Pcma));
    net.command(A, a, LegCommand::Hangup { reason: None });
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn glare_is_settled_by_waiting() {
    for seed in 0..20 {
        let mut net = Net::new(seed);
        let (a, b) = net.call(Transport::Udp);
        net.command(A, a, reoffer(A, Direction::SendOnly));
        net.command(B, b, LegCommand::Reoffer { media: LocalMedia { port: 40_000, ..media(B) } });
        net.ms(200);
        assert_eq!(net.lines(A, "SIP/2.0 491") + net.lines(B, "SIP/2.0 491"), 2);
        net.ms(10_000);
        let last = |side: usize| match net.events[side].last() {
            Some((_, LegEvent::MediaChanged { media })) => media.clone(),
            other => panic!("{seed} {other:?} {:#?}", net.log),
        };
        assert_eq!((last(A).direction, last(A).remote_rtp.port()), (Direction::SendOnly, 40_000));
        assert_eq!(last(B).direction, Direction::RecvOnly);
        assert!(!net.has(A, |e| matches!(e, LegEvent::ReofferFailed { .. })));
        net.command(A, a, LegCommand::Hangup { reason: None });
        net.run(LONG);
        net.assert_empty();
    }
}

#[test]
fn a_peer_that_has_forgotten_the_call_ends_it() {
    let mut net = Net::new(1);
    let (a, _) = net.call(Transport::Udp);
    net.agents[B] = UserAgent::new(config(B), Random::from_number(99));
    net.command(A, a, LegCommand::Info { content_type: "application/dtmf".into(), body: b"1".into() });
    net.ms(100);
    let lost = LegEvent::Ended { by: Side::Remote, cause: EndCause::DialogLost(481), reason: None };
    assert_eq!(net.of(A, a).last(), Some(&&lost));
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn byes_that_cross_are_both_answered() {
    let mut net = Net::new(1);
    let (a, b) = net.call(Transport::Udp);
    net.command(A, a, LegCommand::Hangup { reason: None });
    net.command(B, b, LegCommand::Hangup { reason: None });
    net.ms(100);
    assert_eq!((net.lines(A, "BYE"), net.lines(B, "BYE")), (1, 1));
    assert_eq!((net.lines(A, "SIP/2.0 200"), net.lines(B, "SIP/2.0 200")), (1, 2));
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn commands_that_do_not_fit_are_refused() {
    use crate::sip::leg::CommandError;
    let mut net = Net::new(1);
    let a = net.place(A, Transport::Udp);
    assert!(matches!(net.try_command(A, a, LegCommand::Ring), Err(CommandError::WrongState { .. })));
    assert!(matches!(net.try_command(A, a, reoffer(A, Direction::SendRecv)), Err(CommandError::WrongState { .. })));
    net.ms(50);
    let b = net.incoming[B][0].leg;
    let bad = LegCommand::Refuse { status: 200, phrase: None, retry_after: None };
    assert!(matches!(net.try_command(B, b, bad), Err(CommandError::BadValue { .. })));
    let hurt = LegCommand::Hangup { reason: Some("x\r\nVia: y".into()) };
    assert!(matches!(net.try_command(B, b, hurt), Err(CommandError::BadValue { .. })));
    assert_eq!(net.try_command(B, LegId(77), LegCommand::Ring), Err(CommandError::NoSuchLeg));
    net.command(B, b, LegCommand::Hangup { reason: None });
    assert_eq!(net.try_command(B, b, LegCommand::Ring), Err(CommandError::NoSuchLeg));
    net.ms(50);
    assert!(matches!(net.of(A, a)[..], [LegEvent::Failed { status: 480, .. }]));
}
