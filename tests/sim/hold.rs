//! Hold and resume by re-INVITE while a prompt plays: the prompt runs on unheard, and the stream goes on by the clock.

use std::time::Duration;

use strowger::call::{Command, EventKind};
use strowger::media::FRAME;
use strowger::session::{Codec, Direction};

use super::for_each_seed;
use super::world::{World, prompt};

fn on_hold(world: &World) -> Option<bool> {
    world.events.iter().rev().find_map(|(_, e)| match &e.kind {
        EventKind::ParticipantsUpdated { participants, .. } => participants.first().map(|p| p.on_hold),
        _ => None,
    })
}

/// [`super::side::Watch`] sees to timestamps, sequence numbers and markers; here it is what is heard, and when.
#[test]
fn a_held_prompt_goes_on_by_the_clock() {
    for_each_seed(150, |seed| {
        let mut world = if seed % 2 == 0 { World::clear(seed) } else { World::new(seed) };
        world.answered_call();
        let play = world.play(&["prompt:music/9000"], false, false);
        world.until_event("PlayStarted");
        let listens = 500 + world.random.below(2000);
        world.run_ms(listens);
        let asks = world.now;
        // The telephone wants to send nothing, and to hear nothing or something.
        let direction = if world.random.below(2) == 0 { Direction::SendOnly } else { Direction::Inactive };
        world.phone_reoffers(direction);
        let sends = |w: &World| w.line().media.as_ref().unwrap().direction.sends();
        world.until("the call is held", |w| !sends(w));
        let held = world.now;
        // A telephone that plays music to whom it holds is still heard; one that is mute is on hold for the application.
        if direction == Direction::Inactive {
            assert_eq!(on_hold(&world), Some(true));
        }
        let holds = 500 + world.random.below(3000);
        world.run_ms(holds);
        // Still in a retransmission of its own? Then the telephone waits with the next offer, by itself.
        world.phone_reoffers(Direction::SendRecv);
        world.until("the call is resumed", sends);
        let resumed = world.now;
        assert_eq!(on_hold(&world), Some(false));
        let (ended, event) = world.until_end_of(&play);
        assert_eq!(event.kind, EventKind::PlayCompleted);

        let line = world.line();
        let silent = |sent: &&super::side::Sent| sent.at > held && sent.at < resumed;
        assert_eq!(line.watch.sent.iter().filter(silent).count(), 0, "nothing is sent while held");
        let first = line.watch.sent.iter().find(|sent| sent.at >= resumed).expect("it goes on");
        assert!(first.marker && first.at.since(resumed) <= FRAME, "a talk spurt begins at once");
        // The prompt took its own time, hold or not.
        let begun = line.watch.loud().next().unwrap().at;
        assert!(ended.since(begun).abs_diff(Duration::from_millis(9000)) <= FRAME, "{:?}", ended.since(begun));
        // After the hold it is where it would have been.
        if let Some(again) = line.watch.loud().find(|sent| sent.at >= resumed) {
            let frame = (again.at.since(begun).as_micros() / FRAME.as_micros()) as usize;
            let clip = prompt("prompt:music/9000").unwrap();
            assert_eq!(again.payload[..], clip.encoded(Codec::Pcmu)[frame * 160..][..160]);
        }
        assert!(asks <= held);
        world.command(Command::Terminate);
        world.finish();
    });
}

/// A long hold is no silence of the peer's, and a digit after it counts.
#[test]
fn a_long_hold_does_not_end_the_call() {
    for_each_seed(40, |seed| {
        let mut world = World::new(seed);
        world.answered_call();
        world.phone_reoffers(Direction::Inactive);
        world.until("the call is held", |w| on_hold(w) == Some(true));
        world.run_ms(45_000);
        world.phone_reoffers(Direction::SendRecv);
        world.until("the call is resumed", |w| on_hold(w) == Some(false));
        let play = world.play(&["prompt:back/500"], false, false);
        assert_eq!(world.until_end_of(&play).1.kind, EventKind::PlayCompleted);
        world.phone_command(strowger::sip::leg::LegCommand::Hangup { reason: None });
        world.finish();
    });
}
