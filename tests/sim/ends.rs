//! How calls end: given up while they ring, by both ends at once, by a peer that vanishes, in the middle of anything.

use std::time::Duration;

use strowger::call::outcome::{CALL_CANCELED, MEDIA_LOST};
use strowger::call::{CallState, Command, EndedBy, RejectReason};
use strowger::dtmf::{Digit, Way};
use strowger::session::Direction;
use strowger::sip::leg::{LegCommand, LegEvent};

use super::for_each_seed;
use super::world::{ANSWER_TIMEOUT, RTP_TIMEOUT, World, digits};

const HANG_UP: LegCommand = LegCommand::Hangup { reason: None };

/// What an incoming call's caller was told in the end.
fn refusal(world: &World) -> Option<u16> {
    world.phone_events.iter().find_map(|(_, e)| match e {
        LegEvent::Failed { status, .. } => Some(*status),
        _ => None,
    })
}

#[test]
fn nobody_answers_the_caller() {
    for_each_seed(100, |seed| {
        let mut world = World::clear(seed);
        world.dial();
        world.until("the call arrives", |w| w.call.is_some());
        let arrived = world.now;
        let world = world.finish();
        assert_eq!(refusal(&world), Some(480));
        assert!(world.phone_events.iter().any(|(_, e)| *e == LegEvent::Ringing { status: 180 }));
        assert_eq!(world.record().over.since(arrived), ANSWER_TIMEOUT);
        assert!(world.events.is_empty(), "no application had the call");
    });
}

#[test]
fn a_rejected_caller_is_told_why() {
    for_each_seed(100, |seed| {
        let mut world = World::new(seed);
        world.dial();
        world.until("the call arrives", |w| w.call.is_some());
        let (reason, status) = [
            (RejectReason::None, 603),
            (RejectReason::Busy, 486),
            (RejectReason::Forbidden, 403),
            (RejectReason::NotFound, 404),
            (RejectReason::Unavailable, 480),
        ][world.random.below(5) as usize];
        world.command(Command::Reject { reason });
        let world = world.finish();
        assert_eq!(refusal(&world), Some(status), "{}", world.story());
    });
}

/// The caller gives up around the very moment when the application answers.
#[test]
fn giving_up_crosses_answering() {
    for_each_seed(300, |seed| {
        let mut world = World::new(seed);
        world.dial();
        world.until("the call arrives", |w| w.call.is_some());
        let (pause, hurry) = (world.random.below(400), world.random.below(2) == 0);
        if hurry {
            world.phone_command(HANG_UP);
            world.run_ms(pause);
            let _ = world.try_command(Command::Answer { context: None });
        } else {
            world.command(Command::Answer { context: None });
            world.run_ms(pause);
            world.phone_command(HANG_UP);
        }
        let world = world.finish();
        match world.names().as_slice() {
            [] => {}
            ["AnswerFailed"] => assert_eq!(world.events[0].1.outcome.sub_code, CALL_CANCELED, "{}", world.story()),
            [first, .., last] => assert_eq!((*first, *last), ("CallConnected", "CallDisconnected")),
            other => panic!("{other:?}\n{}", world.story()),
        }
    });
}

/// Both ends hang up within a breath of each other, in the middle of a prompt that may be interrupted.
#[test]
fn both_hang_up_at_once() {
    for_each_seed(300, |seed| {
        let mut world = World::new(seed);
        world.answered_call();
        world.recognize(|r| r.sources = vec!["prompt:menu/3000".into()]);
        world.play(&["prompt:next/500"], true, false);
        let talks = world.random.below(2_000);
        world.run_ms(talks);
        let apart = world.random.below(150);
        let we_first = world.random.below(2) == 0;
        if we_first {
            world.command(Command::Terminate);
            world.run_ms(apart);
            world.phone_command(HANG_UP);
        } else {
            world.phone_command(HANG_UP);
            world.run_ms(apart);
            // It may have arrived meanwhile.
            let _ = world.try_command(Command::Leave);
        }
        let world = world.finish();
        let names = world.names();
        assert_eq!(names[names.len() - 3..], ["RecognizeCanceled", "PlayCanceled", "CallDisconnected"]);
        let finals = world.phone_events.iter().filter(|(_, e)| e.is_final()).count();
        assert_eq!(finals, 1, "{}", world.story());
    });
}

/// From one moment on nothing comes from the peer any more. Its silence ends the call with a reason, on the timer.
#[test]
fn a_peer_that_vanishes_ends_the_call() {
    for_each_seed(100, |seed| {
        let mut world = World::clear(seed);
        world.answered_call();
        let loops = world.play(&["prompt:music/2000"], true, false);
        let talks = 200 + world.random.below(10_000);
        world.run_ms(talks);
        world.network.cut = true;
        let vanished = world.now;
        let (ended, event) = world.until_event("CallDisconnected");
        assert_eq!(event.outcome.sub_code, MEDIA_LOST, "{:?}", event.outcome);
        let waited = ended.since(vanished);
        let most = RTP_TIMEOUT + Duration::from_millis(60);
        assert!(waited + Duration::from_millis(40) >= RTP_TIMEOUT && waited <= most, "{waited:?}");
        assert!(event.outcome.message.contains("10 seconds"), "{}", event.outcome.message);
        world.until_end_of(&loops);
        // The telephone is on its own; it hangs up one day.
        world.phone_command(HANG_UP);
        let world = world.finish();
        assert_eq!(world.record().ended_by, EndedBy::Engine);
    });
}

/// A peer that vanishes while it calls: nothing is left of it.
#[test]
fn a_caller_vanishes_in_the_middle_of_its_invite() {
    for_each_seed(200, |seed| {
        let mut world = World::new(seed);
        world.dial();
        world.until("the call arrives", |w| w.call.is_some());
        let answers = world.random.below(2) == 0;
        if answers {
            world.command(Command::Answer { context: None });
        }
        let crossing = world.random.below(200);
        world.run_ms(crossing);
        world.network.cut = true;
        world.run_ms(1);
        world.phone_command(HANG_UP);
        let world = world.finish();
        match world.names().as_slice() {
            [] => assert!(!answers),
            ["AnswerFailed"] => {}
            ["CallConnected", .., "CallDisconnected"] => {}
            other => panic!("{other:?}\n{}", world.story()),
        }
    });
}

/// Anything at any time, by both ends, in bad weather: whatever came about, it ends clean.
#[test]
fn storms_end_in_peace() {
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    let seen = std::cell::RefCell::new(&mut seen);
    for_each_seed(200, |seed| {
        let mut world = World::new(seed);
        world.in_band = seed % 4 == 0;
        world.network.weather.sip_loss = world.random.below(250);
        world.network.weather.rtp_loss = world.random.below(200);
        let incoming = world.random.below(2) == 0;
        if incoming {
            world.dial();
        } else {
            world.manner = super::world::Manner::Answers(world.random.below(4_000));
            world.call_out();
        }
        for _ in 0..25 {
            let pause = world.random.below(1_200);
            world.run_ms(pause);
            anything(&mut world);
        }
        // Somebody hangs up for good.
        for _ in 0..3 {
            if world.phone_leg.is_some() {
                world.phone_command(HANG_UP);
            }
            if world.call.as_ref().is_some_and(|call| call.state() != CallState::Ringing) {
                let _ = world.try_command(Command::Terminate);
            }
            world.run_ms(35_000);
        }
        if world.call.is_none() {
            return; // The INVITE was never heard.
        }
        let world = world.finish();
        for name in world.names() {
            *seen.borrow_mut().entry(name).or_default() += 1;
        }
    });
    let seen = seen.into_inner();
    if std::env::var_os("STROWGER_SEED").is_none() {
        for name in ["CallConnected", "CallDisconnected", "CreateCallFailed", "PlayCompleted", "RecognizeCompleted"] {
            assert!(seen.get(name).is_some_and(|count| *count >= 8), "a storm in which nothing happens: {seen:?}");
        }
    }
}

/// One thing or another.
fn anything(world: &mut World) {
    let Some(state) = world.call.as_ref().map(|call| call.state()) else { return };
    let connected = state == CallState::Connected;
    let phone_talks = world.phone_line().is_some_and(|line| line.due.is_some());
    match world.random.below(16) {
        kind if kind < 5 && state == CallState::Ringing => {
            let _ = world.try_command(Command::Answer { context: Some("the call".into()) });
        }
        0..=2 if connected => {
            world.play(&["prompt:a/400", "prompt:b/300"], false, false);
        }
        3 if connected => {
            world.play(&["prompt:c/900"], true, true);
        }
        4..=6 if connected => {
            world.recognize(|r| {
                r.sources = vec!["prompt:menu/700".into()];
                r.input = digits(1, Duration::from_secs(2));
            });
        }
        7 => {
            let _ = world.try_command(Command::CancelMedia);
        }
        8..=10 if connected && phone_talks => {
            let way = [Way::TelephoneEvent, Way::InBand][world.random.below(2) as usize];
            let digit = Digit::ALL[world.random.below(16) as usize];
            world.press(digit, way, 120);
        }
        11 | 12 if phone_talks => {
            let direction =
                [Direction::SendRecv, Direction::SendOnly, Direction::Inactive][world.random.below(3) as usize];
            world.phone_reoffers(direction);
        }
        13 if world.random.below(6) == 0 && world.phone_leg.is_some() => world.phone_command(HANG_UP),
        14 if world.random.below(6) == 0 && state != CallState::Ringing => {
            let _ = world.try_command(Command::Leave);
        }
        15 if world.random.below(6) == 0 => {
            let now = world.now;
            world.call.as_mut().expect("a call").shut_down(now);
            world.run_ms(0);
        }
        _ => {}
    }
}
