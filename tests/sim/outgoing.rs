//! Calls that we place: answered, busy, never answered, given up.

use strowger::call::outcome::{BUSY, CALL_CANCELED, NOT_ESTABLISHED, SUCCESS};
use strowger::call::{Command, EndedBy, EventKind};
use strowger::sip::leg::{LegCommand, LegEvent};

use super::for_each_seed;
use super::world::{Manner, RING_TIMEOUT, World};

#[test]
fn a_called_telephone_rings_and_is_picked_up() {
    for_each_seed(200, |seed| {
        let mut world = World::new(seed);
        world.manner = Manner::Answers(world.random.below(12_000));
        world.call_out();
        let (_, event) = world.until_event("CallConnected");
        assert_eq!(event.outcome.sub_code, SUCCESS);
        assert_eq!(event.context.as_deref(), Some("the call"));
        let play = world.play(&["prompt:hello/800"], false, false);
        assert_eq!(world.until_end_of(&play).1.kind, EventKind::PlayCompleted, "{}", world.story());
        let by_us = world.random.below(2) == 0;
        if by_us {
            world.command(Command::Leave);
        } else {
            world.phone_command(LegCommand::Hangup { reason: None });
        }
        let world = world.finish();
        assert_eq!(world.names().last(), Some(&"CallDisconnected"));
        assert_eq!(world.record().ended_by, if by_us { EndedBy::Application } else { EndedBy::Peer });
    });
}

#[test]
fn a_refusal_is_told_with_its_status() {
    for_each_seed(200, |seed| {
        let mut world = World::new(seed);
        let (status, sub_code) =
            [(486, Some(BUSY)), (480, None), (404, None), (503, None)][world.random.below(4) as usize];
        let after = world.random.below(5_000);
        world.manner = Manner::Refuses(status, after);
        world.call_out();
        let (_, event) = world.until_event("CreateCallFailed");
        assert_eq!(event.outcome.sip.as_ref().map(|(status, _)| *status), Some(status), "{}", world.story());
        assert!(sub_code.is_none_or(|wanted| event.outcome.sub_code == wanted), "{:?}", event.outcome);
        let world = world.finish();
        assert_eq!(world.names(), ["CreateCallFailed"]);
        assert_eq!(world.record().ended_by, EndedBy::Peer);
    });
}

#[test]
fn nobody_picks_up() {
    for_each_seed(100, |seed| {
        let mut world = World::new(seed);
        world.manner = Manner::Rings;
        world.call_out();
        let placed = world.now;
        let (failed, event) = world.until_event("CreateCallFailed");
        let waited = failed.since(placed);
        assert!(waited >= RING_TIMEOUT && waited.as_millis() <= RING_TIMEOUT.as_millis() + 1, "{waited:?}");
        assert!(!event.outcome.is_success());
        let world = world.finish();
        // The telephone stops ringing.
        assert!(world.phone_events.iter().any(|(_, e)| matches!(e, LegEvent::Cancelled { .. })), "{}", world.story());
    });
}

/// The application gives up at any moment: before the INVITE arrives, while it rings, as it is picked up.
#[test]
fn the_application_gives_up() {
    for_each_seed(300, |seed| {
        let mut world = World::new(seed);
        let answers = world.random.below(3_000);
        world.manner = Manner::Answers(answers);
        world.call_out();
        let after = match world.random.below(2) {
            0 => answers.saturating_sub(200) + world.random.below(600),
            _ => world.random.below(4_000),
        };
        world.run_ms(after);
        if world.records.is_empty() {
            world.command(Command::Terminate);
        }
        let world = world.finish();
        let last = *world.names().last().unwrap();
        let outcome = &world.events.last().unwrap().1.outcome;
        match last {
            "CreateCallFailed" => {
                assert!(matches!(outcome.sub_code, CALL_CANCELED | NOT_ESTABLISHED), "{outcome:?}");
            }
            "CallDisconnected" => assert_eq!(world.names()[0], "CallConnected"),
            other => panic!("{other} is the last event"),
        }
        // However it crossed, the telephone does not think that it talks.
        assert_eq!(
            world.phone_events.iter().filter(|(_, e)| e.is_final()).count(),
            usize::from(world.phone_leg.is_some())
        );
    });
}

#[test]
fn without_ports_no_call_goes_out() {
    let mut world = World::clear(1);
    world.no_ports = true;
    world.call_out();
    let world = world.finish();
    assert_eq!(world.names(), ["CreateCallFailed"]);
    assert!(world.phone_leg.is_none(), "nobody was called");
}
