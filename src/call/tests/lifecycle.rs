//! How calls begin and end, both ways round.

use super::super::*;
use super::world::*;
use crate::media::{MediaCommand, MediaEvent, StreamStatistics};
use crate::session::Direction;
use crate::sip::leg::{CommandError, EndCause, LegCommand, LegEvent, Side};
use crate::time::Time;
use std::time::Duration;

fn answer() -> Command {
    Command::Answer { context: Some("call".to_owned()) }
}

fn bye(reason: &str) -> LegCommand {
    LegCommand::Hangup { reason: Some(reason.to_owned()) }
}

#[test]
fn an_incoming_call_is_answered_and_hung_up_by_the_application() {
    let mut world = World::incoming();
    assert_eq!(world.leg_commands, [LegCommand::Ring]);
    world.run(1000);
    world.command(answer()).unwrap();
    world.run(0);
    assert_eq!(world.told(), ["1000 CallConnected 200/0 call", "1000 ParticipantsUpdated 200/0 call"]);
    assert!(matches!(&world.leg_commands[1], LegCommand::Accept { media } if media.port == 20_000));
    assert!(matches!(world.media_commands[1], MediaCommand::Connect { .. }));
    assert_eq!(world.call.participants(), [Participant { party: caller(), muted: false, on_hold: false }]);
    assert_eq!(world.call.answered_for().map(Party::as_str), Some("+15550123"));
    world.run(9000);
    world.command(Command::Leave).unwrap();
    world.run(0);
    assert_eq!(world.told(), ["10000 CallDisconnected 200/7000 call"]);
    assert_eq!(world.leg_commands.last(), Some(&bye("Q.850;cause=16;text=\"Normal call clearing\"")));
    let record = world.must_be_over();
    assert_eq!((record.ended_by, record.connected), (EndedBy::Application, Some(Time::from_micros(1_000_000))));
    assert!(record.statistics.is_some());
    assert!(matches!(world.command(Command::Terminate), Err(Refusal::WrongState { .. })));
}

#[test]
fn connected_means_confirmed_and_agreed_in_either_order() {
    for early in [false, true] {
        let mut call = Call::incoming(incoming(), settings(), Time::EPOCH);
        call.command(answer(), Time::EPOCH).unwrap();
        call.media_event(MediaEvent::Opened { leg: LEG, port: 20_000 }, Time::EPOCH);
        call.leg_event(LEG, LegEvent::Accepted { media: None }, Time::EPOCH);
        let changed = LegEvent::MediaChanged { media: negotiated(Direction::SendRecv) };
        let (first, second) = if early { (changed, LegEvent::Confirmed) } else { (LegEvent::Confirmed, changed) };
        call.leg_event(LEG, first, Time::EPOCH);
        assert_eq!(call.state(), CallState::Answering);
        call.leg_event(LEG, second, Time::EPOCH);
        assert_eq!(call.state(), CallState::Connected);
    }
}

#[test]
fn an_unanswered_call_ends_without_an_event() {
    type Given = fn(&mut World);
    let cases: [(&str, Given, Option<u16>, u16, EndedBy); 8] = [
        ("nobody answers", |w| w.run(60_000), Some(480), 480, EndedBy::Engine),
        ("caller gives up", |w| w.leg_event(LegEvent::Cancelled { reason: None }), None, 487, EndedBy::Peer),
        ("declined", |w| reject(w, RejectReason::None), Some(603), 603, EndedBy::Application),
        ("busy", |w| reject(w, RejectReason::Busy), Some(486), 486, EndedBy::Application),
        ("forbidden", |w| reject(w, RejectReason::Forbidden), Some(403), 403, EndedBy::Application),
        ("not found", |w| reject(w, RejectReason::NotFound), Some(404), 404, EndedBy::Application),
        ("unavailable", |w| reject(w, RejectReason::Unavailable), Some(480), 480, EndedBy::Application),
        ("shutdown", |w| w.call.shut_down(w.now), Some(503), 503, EndedBy::Engine),
    ];
    for (name, given, status, code, by) in cases {
        let mut world = World::incoming();
        given(&mut world);
        world.run(0);
        assert_eq!(world.told(), [""; 0], "{name}");
        let refused = world.leg_commands.iter().find_map(|command| match command {
            LegCommand::Refuse { status, .. } => Some(*status),
            _ => None,
        });
        assert_eq!(refused, status, "{name}");
        assert!(!world.leg_commands.iter().any(|command| matches!(command, LegCommand::Hangup { .. })), "{name}");
        let record = world.must_be_over();
        assert_eq!((record.outcome.code, record.ended_by, record.connected), (code, by, None), "{name}");
        assert!(matches!(world.command(answer()), Err(Refusal::WrongState { .. })), "{name}");
    }
}

fn reject(world: &mut World, reason: RejectReason) {
    world.command(Command::Reject { reason }).unwrap();
}

#[test]
fn a_redirect_takes_only_what_can_be_sent() {
    for to in ["", "bob", "http://x", "sip:a b@c", "sip:a@b>;x", "sip:a\r\nb@c", "<sip:a@b>"] {
        let mut world = World::incoming();
        let refusal = world.command(Command::Redirect { to: to.to_owned() });
        assert!(matches!(refusal, Err(Refusal::BadArgument { .. })), "{to}");
        assert_eq!(world.call.state(), CallState::Ringing);
    }
    let mut world = World::incoming();
    world.command(Command::Redirect { to: "sip:bob@example.net".to_owned() }).unwrap();
    world.run(0);
    assert_eq!(world.leg_commands.last(), Some(&LegCommand::Redirect { contacts: vec!["sip:bob@example.net".into()] }));
    assert_eq!(world.must_be_over().outcome.code, 302);
}

#[test]
fn answering_may_fail() {
    let ended = |by, cause| LegEvent::Ended { by, cause, reason: Some("Q.850;cause=16".to_owned()) };
    let cases: [(&str, LegEvent, &str); 5] = [
        ("canceled", LegEvent::Cancelled { reason: None }, "AnswerFailed 487/8542"),
        ("bye", ended(Side::Remote, EndCause::Bye), "AnswerFailed 487/8542"),
        ("no ack", ended(Side::Local, EndCause::AckTimeout), "AnswerFailed 408/560408"),
        ("bad answer", ended(Side::Local, EndCause::BadAnswer), "AnswerFailed 412/8583"),
        ("no codec", ended(Side::Local, EndCause::Refused(488)), "AnswerFailed 412/8583"),
    ];
    for (name, event, expected) in cases {
        for opened in [false, true] {
            let mut world = World::incoming();
            world.call.command(answer(), world.now).unwrap();
            if opened {
                world.call.media_event(MediaEvent::Opened { leg: LEG, port: 20_000 }, world.now);
                while world.call.poll().is_some() {}
            }
            world.call.leg_event(LEG, event.clone(), world.now);
            world.run(0);
            assert_eq!(world.names(), [expected], "{name}");
            assert!(!world.leg_commands.iter().any(|command| matches!(command, LegCommand::Hangup { .. })), "{name}");
            world.must_be_over();
        }
    }
}

#[test]
fn without_ports_a_caller_is_refused_and_nobody_is_called() {
    let mut world = World::incoming();
    world.ports = false;
    world.command(answer()).unwrap();
    world.run(0);
    assert_eq!(world.names(), ["AnswerFailed 503/560503"]);
    assert!(matches!(world.leg_commands.last(), Some(LegCommand::Refuse { status: 503, .. })));
    assert!(!world.leg_commands.iter().any(|command| matches!(command, LegCommand::Hangup { .. })));
    world.must_be_over();

    let mut world = World::outgoing();
    world.ports = false;
    world.run(0);
    assert_eq!(world.names(), ["CreateCallFailed 503/560503"]);
    assert!(world.placed.is_empty() && world.leg_commands.is_empty());
    world.must_be_over();
}

#[test]
fn ports_that_never_open_are_given_up_and_closed() {
    let mut call = Call::outgoing(outgoing(), settings(), Time::EPOCH);
    while call.poll().is_some() {}
    let late = call.deadline().unwrap();
    call.timeout(late);
    let mut closed = false;
    while let Some(output) = call.poll() {
        closed |= matches!(output, Output::Media(MediaCommand::Close { .. }));
        assert!(!matches!(output, Output::Ended(_)));
    }
    assert!(closed);
    // The two answers come after all, in their order.
    call.media_event(MediaEvent::Opened { leg: LEG, port: 2 }, late);
    assert!(call.poll().is_none());
    let statistics = StreamStatistics::default();
    call.media_event(MediaEvent::Closed { leg: LEG, statistics, heard: None }, late);
    assert_eq!(call.state(), CallState::Ended);
}

#[test]
fn an_outgoing_call_is_answered_and_hung_up_by_the_called_one() {
    let mut world = World::outgoing();
    world.run(100);
    let place = world.placed[0].clone();
    assert_eq!((place.target, place.media.port), (caller(), 20_000));
    assert_eq!(place.from.as_ref().map(Party::as_str), Some("+15550123"));
    assert_eq!(world.told(), ["0 CallConnected 200/0 call", "0 ParticipantsUpdated 200/0 call"]);
    let reason = Some("Q.850;cause=16;text=\"Normal call clearing\"".to_owned());
    world.leg_event(LegEvent::Ended { by: Side::Remote, cause: EndCause::Bye, reason });
    let (_, event) = world.events.pop().unwrap();
    assert_eq!((event.outcome.code, event.outcome.sub_code), (200, 7000));
    assert_eq!(event.outcome.q850, Some((16, "Normal call clearing".to_owned())));
    assert_eq!(event.kind, EventKind::CallDisconnected);
    assert!(!world.leg_commands.iter().any(|command| matches!(command, LegCommand::Hangup { .. })));
    assert_eq!(world.must_be_over().ended_by, EndedBy::Peer);
}

#[test]
fn a_refused_call_says_why() {
    for (status, expected) in [
        (486, "CreateCallFailed 486/8539"),
        (603, "CreateCallFailed 603/8538"),
        (404, "CreateCallFailed 404/560404"),
        (480, "CreateCallFailed 480/560480"),
        (503, "CreateCallFailed 503/560503"),
    ] {
        let mut world = World::outgoing();
        world.callee = Callee::Refuses(status);
        world.run(0);
        let outcome = world.events[0].1.outcome.clone();
        assert_eq!(outcome.sip, Some((status, "Words".to_owned())));
        assert_eq!(outcome.q850, Some((17, String::new())));
        assert_eq!(world.names(), [expected]);
        assert_eq!(world.must_be_over().ended_by, EndedBy::Peer);
    }
}

#[test]
fn a_ringing_call_is_given_up_by_the_application() {
    for command in [Command::Leave, Command::Terminate] {
        let mut world = World::outgoing();
        world.callee = Callee::OnlyRings;
        world.run(5000);
        assert_eq!(world.call.state(), CallState::Connecting);
        world.command(command).unwrap();
        world.run(0);
        assert_eq!(world.names(), ["CreateCallFailed 487/8542"]);
        assert_eq!(world.leg_commands, [LegCommand::Hangup { reason: Some(crate::sip::message::reason::q850(16)) }]);
        world.must_be_over();
    }
    // Before its media is open there is no leg to give up, and it is never placed.
    let mut world = World::outgoing();
    world.command(Command::Leave).unwrap();
    world.run(0);
    assert_eq!(world.names(), ["CreateCallFailed 487/8542"]);
    assert!(world.leg_commands.is_empty() && world.placed.is_empty());
    world.must_be_over();
}

#[test]
fn no_audio_leaves_before_the_handshake_is_over() {
    let mut call = Call::incoming(incoming(), settings(), Time::EPOCH);
    call.command(answer(), Time::EPOCH).unwrap();
    call.media_event(MediaEvent::Opened { leg: LEG, port: 20_000 }, Time::EPOCH);
    let streams = |call: &mut Call, event| {
        call.leg_event(LEG, event, Time::EPOCH);
        let connects = |output: &Output| matches!(output, Output::Media(MediaCommand::Connect { .. }));
        std::iter::from_fn(|| call.poll()).filter(connects).count()
    };
    let media = Some(negotiated(Direction::SendRecv));
    assert_eq!(streams(&mut call, LegEvent::Accepted { media }), 0);
    assert_eq!(streams(&mut call, LegEvent::Confirmed), 1);
}

#[test]
fn a_peer_that_holds_is_shown_on_hold_and_its_silence_forgiven() {
    let mut world = World::connected();
    for (direction, on_hold, updates) in [
        (Direction::SendOnly, true, 1),
        (Direction::Inactive, true, 0),
        (Direction::RecvOnly, true, 0),
        (Direction::SendRecv, false, 1),
        (Direction::SendRecv, false, 0),
    ] {
        world.leg_event(LegEvent::MediaChanged { media: negotiated(direction) });
        let told: Vec<_> = world.events.drain(..).collect();
        assert_eq!(told.len(), updates, "{direction:?}");
        for (_, event) in told {
            let EventKind::ParticipantsUpdated { participants, .. } = event.kind else { panic!("{event:?}") };
            assert_eq!(participants[0].on_hold, on_hold);
        }
        assert!(matches!(world.media_commands.last(), Some(MediaCommand::Connect { .. })));
        if on_hold {
            world.media_event(MediaEvent::Silent { leg: LEG, for_: Duration::from_secs(30) });
            assert_eq!(world.call.state(), CallState::Connected);
        }
    }
    world.media_event(MediaEvent::Silent { leg: LEG, for_: Duration::from_secs(30) });
    assert!(world.events[0].1.outcome.message.contains("30 seconds"));
    assert_eq!(world.names(), ["CallDisconnected 410/301005"]);
    assert_eq!(world.leg_commands.last(), Some(&bye("Q.850;cause=41;text=\"Media lost\"")));
    assert_eq!(world.must_be_over().ended_by, EndedBy::Engine);
}

#[test]
fn a_connected_call_may_end_in_many_ways() {
    let ended = |by, cause| LegEvent::Ended { by, cause, reason: None };
    for (event, expected) in [
        (ended(Side::Local, EndCause::DialogLost(408)), "CallDisconnected 408/560408"),
        (ended(Side::Remote, EndCause::DialogLost(481)), "CallDisconnected 481/560481"),
        (ended(Side::Local, EndCause::AckTimeout), "CallDisconnected 408/560408"),
        (ended(Side::Local, EndCause::Bye), "CallDisconnected 200/7000"),
    ] {
        let mut world = World::connected();
        world.leg_event(event);
        assert_eq!(world.names(), [expected]);
        world.must_be_over();
    }
    let mut world = World::connected();
    let statistics = StreamStatistics { packets_sent: 5, ..StreamStatistics::default() };
    world.media_event(MediaEvent::Closed { leg: LEG, statistics, heard: None });
    assert_eq!(world.names(), ["CallDisconnected 410/301005"]);
    assert_eq!(world.must_be_over().statistics.as_ref().map(|s| s.packets_sent), Some(5));

    let mut world = World::connected();
    world.call.shut_down(world.now);
    world.run(0);
    assert_eq!(world.names(), ["CallDisconnected 200/7000"]);
    assert_eq!(world.leg_commands.last(), Some(&bye("Q.850;cause=41;text=\"Service shutting down\"")));
    assert_eq!(world.must_be_over().ended_by, EndedBy::Engine);
}

#[test]
fn a_leg_or_stream_that_never_reports_its_end_is_not_waited_for_long() {
    let mut world = World::connected();
    world.call.command(Command::Leave, world.now).unwrap();
    let mut ended = 0;
    while world.call.poll().is_some() {}
    assert_eq!(world.call.state(), CallState::Releasing);
    let deadline = world.call.deadline().unwrap();
    assert_eq!(deadline, world.now + settings().release_timeout);
    world.call.timeout(deadline);
    while let Some(output) = world.call.poll() {
        ended += usize::from(matches!(output, Output::Ended(_)));
    }
    assert_eq!((ended, world.call.state(), world.call.deadline()), (1, CallState::Ended, None));
}

#[test]
fn a_leg_that_refuses_its_last_word_is_hung_up() {
    let mut call = Call::incoming(incoming(), settings(), Time::EPOCH);
    call.command(Command::Reject { reason: RejectReason::Busy }, Time::EPOCH).unwrap();
    while call.poll().is_some() {}
    let hangups = |call: &mut Call| {
        std::iter::from_fn(|| call.poll()).filter(|o| matches!(o, Output::Leg(_, LegCommand::Hangup { .. }))).count()
    };
    let error = CommandError::WrongState { state: "accepted" };
    call.leg_refused(LEG, &error, Time::EPOCH);
    assert_eq!(hangups(&mut call), 1);
    call.leg_refused(LEG, &error, Time::EPOCH);
    assert_eq!(hangups(&mut call), 0);
    call.leg_refused(LEG, &CommandError::NoSuchLeg, Time::EPOCH);
    assert_eq!(call.state(), CallState::Ended);
}

#[test]
fn every_command_is_refused_in_every_state_that_is_not_for_it() {
    let commands = || {
        let (party, context, callback) = (caller(), None, None);
        [
            Command::Play(play(&["prompt:1000"], "p")),
            Command::Recognize(dtmf(&[], 1, "", "r")),
            Command::CancelMedia,
            Command::StartContinuousDtmf { party: party.clone(), context: context.clone(), callback: callback.clone() },
            Command::StopContinuousDtmf { party: party.clone(), context: context.clone(), callback: callback.clone() },
            Command::SendTones { party, tones: vec![crate::dtmf::Digit::One], context, callback },
        ]
    };
    let mut ringing = World::outgoing();
    ringing.callee = Callee::OnlyRings;
    ringing.run(0);
    let mut over = World::connected();
    over.command(Command::Terminate).unwrap();
    over.run(0);
    over.events.clear();
    for mut world in [World::incoming(), ringing, over] {
        for command in commands() {
            let refusal = world.command(command.clone());
            assert!(matches!(refusal, Err(Refusal::WrongState { .. })), "{command:?}: {refusal:?}");
        }
        assert_eq!(world.told(), [""; 0]);
    }
    let mut world = World::connected();
    for command in
        [answer(), Command::Reject { reason: RejectReason::Busy }, Command::Redirect { to: "sip:a@b".into() }]
    {
        assert!(matches!(world.command(command), Err(Refusal::WrongState { .. })));
    }
    let mut world = World::incoming();
    assert!(matches!(world.command(Command::Leave), Err(Refusal::WrongState { .. })));
    assert!(world.noted("leave") && world.noted("refused: "));
}
