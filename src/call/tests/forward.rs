//! Calls that go on to somebody whom we call for the caller: how they begin, are bridged, fail and end.

use std::time::Duration;

use super::super::*;
use super::world::*;
use crate::media::{MediaCommand, MediaEvent};
use crate::session::Direction;
use crate::sip::access::Identity;
use crate::sip::leg::{CommandError, EndCause, LegCommand, LegEvent, Party as SipParty, Referral, Side};

fn bob() -> Party {
    Party::User("bob".to_owned())
}

fn forward() -> Command {
    Command::Forward { to: bob() }
}

fn forwarded(callee: Callee) -> World {
    let mut world = World::incoming();
    world.callee = callee;
    world.command(forward()).unwrap();
    world.run(0);
    world
}

fn bye() -> LegEvent {
    LegEvent::Ended { by: Side::Remote, cause: EndCause::Bye, reason: None }
}

fn hung_up(commands: &[LegCommand]) -> bool {
    matches!(commands.last(), Some(LegCommand::Hangup { .. }))
}

fn refused(world: &World) -> Option<u16> {
    world.leg_commands.iter().find_map(|command| match command {
        LegCommand::Refuse { status, .. } => Some(*status),
        _ => None,
    })
}

fn connects(world: &World, leg: crate::session::LegId) -> usize {
    world.media_commands.iter().filter(|c| matches!(c, MediaCommand::Connect { leg: to, .. } if *to == leg)).count()
}

#[test]
fn the_callee_answers_and_the_two_are_bridged() {
    let mut world = forwarded(Callee::Answers);
    assert_eq!(world.sought, [bob()]);
    let place = &world.placed[0];
    assert_eq!((place.leg, &place.target, &place.from), (CALLEE, &bob(), &Some(caller())));
    assert_eq!((place.display.as_str(), place.media.port), ("Alice", 20_002));
    assert!(
        world.media_commands.iter().any(|c| matches!(c, MediaCommand::Open { leg: CALLEE, beside: Some(LEG) })),
        "one thread has both"
    );
    assert!(world.media_commands.iter().any(|c| matches!(c, MediaCommand::Bridge { leg: LEG, with: Some(CALLEE) })));
    assert!(matches!(&world.leg_commands[..], [LegCommand::Ring, LegCommand::Ring, LegCommand::Accept { media }]
        if media.port == 20_000));
    assert_eq!((connects(&world, LEG), connects(&world, CALLEE)), (1, 1));
    assert_eq!(world.call.state(), CallState::Connected);
    assert_eq!(world.names(), ["CallConnected 200/0", "ParticipantsUpdated 200/0"]);
    let on_it: Vec<Party> = world.call.participants().into_iter().map(|participant| participant.party).collect();
    assert_eq!(on_it, [caller(), bob()]);
    world.run(60_000);
    assert_eq!(world.call.state(), CallState::Connected, "nothing is waited for any more");
}

#[test]
fn who_leaves_ends_it_for_the_other() {
    let mut world = forwarded(Callee::Answers);
    world.callee_event(bye());
    assert!(hung_up(&world.leg_commands) && world.callee_commands.is_empty());
    assert_eq!(world.must_be_over().ended_by, EndedBy::Peer);

    let mut world = forwarded(Callee::Answers);
    world.leg_event(bye());
    assert!(hung_up(&world.callee_commands));
    assert_eq!(world.must_be_over().ended_by, EndedBy::Peer);

    let mut world = forwarded(Callee::Answers);
    world.command(Command::Terminate).unwrap();
    world.run(0);
    assert!(hung_up(&world.callee_commands) && hung_up(&world.leg_commands));
    assert_eq!(world.must_be_over().ended_by, EndedBy::Application);

    let mut world = forwarded(Callee::OnlyRings);
    world.leg_event(LegEvent::Cancelled { reason: None });
    assert!(hung_up(&world.callee_commands), "the devices stop ringing");
    assert_eq!(world.must_be_over().outcome.code, 487);

    let mut world = forwarded(Callee::OnlyRings);
    world.call.shut_down(world.now);
    world.run(0);
    assert!(hung_up(&world.callee_commands));
    assert_eq!(refused(&world), Some(503));
    world.must_be_over();
}

#[test]
fn early_media_is_passed_on_to_a_caller_who_is_where_he_says() {
    for proven in [true, false] {
        let mut world = World::incoming();
        world.callee = Callee::OnlyRings;
        world.proven = proven;
        world.command(forward()).unwrap();
        world.run(0);
        for _ in 0..2 {
            world.callee_event(LegEvent::EarlyMedia { media: negotiated(Direction::SendRecv), proven: true });
        }
        let progress = world.leg_commands.iter().filter(|c| matches!(c, LegCommand::Progress { .. })).count();
        assert_eq!(progress, 1, "said once");
        assert!(connects(&world, CALLEE) > 0);
        assert_eq!(connects(&world, LEG) > 0, proven, "nothing is sent where a forged INVITE may point");
        // What was early falls silent: that is no lost call.
        for leg in [LEG, CALLEE] {
            world.media_event(MediaEvent::Silent { leg, for_: Duration::from_secs(30) });
        }
        assert_eq!(world.call.state(), CallState::Forwarding);
        let accepted = LegEvent::Accepted { media: Some(negotiated(Direction::SendRecv)) };
        world.callee_event(accepted);
        world.callee_event(LegEvent::Confirmed);
        assert_eq!(world.call.state(), CallState::Connected);
        assert!(connects(&world, LEG) > 0);
    }
}

#[test]
fn who_cannot_be_given_early_media_waits_for_the_answer() {
    let mut world = forwarded(Callee::OnlyRings);
    world.call.leg_refused(LEG, &CommandError::BadValue { what: "an offer before the answer" }, world.now);
    world.run(0);
    assert_eq!(world.call.state(), CallState::Forwarding);
}

#[test]
fn a_callee_who_is_not_reached_leaves_the_call_ringing() {
    for (said, told) in [(486, 486), (603, 603), (404, 404), (408, 480), (401, 502), (500, 500)] {
        let mut world = forwarded(Callee::Refuses(said));
        assert_eq!(world.not_forwarded, [told], "{said}");
        assert_eq!(world.call.state(), CallState::Ringing);
        assert!(world.call.participants().is_empty() && world.names().is_empty());
        world.command(Command::Reject { reason: RejectReason::As(told) }).unwrap();
        world.run(0);
        assert_eq!(refused(&world), Some(told));
        world.must_be_over();
    }
}

#[test]
fn after_a_callee_who_is_not_reached_something_else_is_possible() {
    let mut world = forwarded(Callee::Refuses(486));
    world.callee = Callee::Answers;
    world.command(Command::Answer { context: None }).unwrap();
    world.run(0);
    assert_eq!(world.call.state(), CallState::Connected, "a voice mailbox answers, on the port that was opened");
    let opened = world.media_commands.iter().filter(|c| matches!(c, MediaCommand::Open { leg: LEG, .. })).count();
    assert_eq!(opened, 1);
    world.command(Command::Terminate).unwrap();
    world.run(0);
    world.must_be_over();

    let mut world = forwarded(Callee::Refuses(480));
    world.callee = Callee::Answers;
    world.command(forward()).unwrap();
    world.run(0);
    assert_eq!((world.call.state(), world.placed.len()), (CallState::Connected, 2));
}

#[test]
fn a_way_that_is_not_found_is_no_way() {
    let mut world = World::incoming();
    world.call.command(forward(), world.now).unwrap();
    while world.call.poll().is_some() {}
    world.call.not_reached(404, "there is no user bob", world.now);
    world.run(0);
    assert_eq!(world.not_forwarded, [404]);

    // Nor is one that takes for ever.
    let mut world = World::incoming();
    world.call.command(forward(), world.now).unwrap();
    while world.call.poll().is_some() {}
    world.run(30_000);
    assert_eq!((world.not_forwarded.as_slice(), world.call.state()), (&[480][..], CallState::Ringing));
    world.call.reached(CALLEE, false, world.now);
    assert_eq!(world.call.callee_leg(), None, "too late");
}

#[test]
fn no_ports_no_forwarding() {
    let mut world = World::incoming();
    world.ports = false;
    world.command(forward()).unwrap();
    world.run(0);
    assert!(world.placed.is_empty());
    assert_eq!(refused(&world), Some(503));
    world.must_be_over();
}

#[test]
fn holds_and_silence_of_the_callee() {
    let mut world = forwarded(Callee::Answers);
    world.events.clear();
    world.callee_event(LegEvent::MediaChanged { media: negotiated(Direction::SendOnly) });
    assert_eq!(world.names(), ["ParticipantsUpdated 200/0"]);
    let held: Vec<bool> = world.call.participants().iter().map(|participant| participant.on_hold).collect();
    assert_eq!(held, [false, true]);
    world.media_event(MediaEvent::Silent { leg: CALLEE, for_: Duration::from_secs(30) });
    assert_eq!(world.call.state(), CallState::Connected, "silence on hold is as it should be");
    world.callee_event(LegEvent::MediaChanged { media: negotiated(Direction::SendRecv) });
    world.media_event(MediaEvent::Silent { leg: CALLEE, for_: Duration::from_secs(30) });
    assert!(world.must_be_over().outcome.message.contains("callee"));
}

#[test]
fn digits_by_info_are_passed_on_as_tones() {
    let sent = |world: &World, to| {
        let is = |c: &&MediaCommand| matches!(c, MediaCommand::SendTones { leg, .. } if *leg == to);
        world.media_commands.iter().filter(is).count()
    };
    let info = || LegEvent::Info { content_type: "application/dtmf".to_owned(), body: b"5".to_vec() };
    let mut world = forwarded(Callee::Answers);
    world.leg_event(info());
    world.callee_event(info());
    assert_eq!((sent(&world, LEG), sent(&world, CALLEE)), (0, 0), "they come by RFC 4733 as well");
    let mut plain = negotiated(Direction::SendRecv);
    plain.receive_telephone_events.clear();
    world.leg_event(LegEvent::MediaChanged { media: plain.clone() });
    world.callee_event(LegEvent::MediaChanged { media: plain });
    world.leg_event(info());
    assert_eq!((sent(&world, LEG), sent(&world, CALLEE)), (0, 1));
    world.callee_event(info());
    assert_eq!((sent(&world, LEG), sent(&world, CALLEE)), (1, 1));
}

#[test]
fn a_callee_sends_the_caller_on() {
    let mut world = forwarded(Callee::Answers);
    let target = SipParty { display: None, uri: "sip:carol@example.net".to_owned() };
    world.callee_event(LegEvent::Referred(Referral {
        target: target.clone(),
        replaces: None,
        referred_by: None,
        headers: Vec::new(),
    }));
    assert_eq!(world.followed.len(), 1);
    world.callee_event(LegEvent::Replaced { by: target, identity: Identity::Stranger });
    let on_it: Vec<String> = world.call.participants().iter().map(|p| p.party.as_str().to_owned()).collect();
    assert_eq!(on_it, ["+15550100", "sip:carol@example.net"]);
}
