//! Ten thousand digits: five hundred calls press twenty keys each, by telephone events, tones and INFO mixed in each
//! call, and the application is told of each key once and in order.
//!
//! The same at once and in real time, against a running engine: `tests/load.rs`, and `benches/load` for the whole of it.

use strowger::call::{Command, EventKind};
use strowger::dtmf::{Digit, Way};
use strowger::phone::load::{Press, Pressing};
use strowger::random::Random;

use super::world::World;

/// Keys of a call.
const KEYS: usize = 20;
/// Calls of each test; four tests.
const CALLS: u64 = 125;

/// What continuous DTMF told.
fn told(world: &World) -> Vec<(u32, Digit)> {
    let tone = |kind: &EventKind| match kind {
        EventKind::ContinuousDtmfTone { sequence_id, tone } => Some((*sequence_id, *tone)),
        _ => None,
    };
    world.events.iter().filter_map(|(_, event)| tone(&event.kind)).collect()
}

/// Keys that follow each other faster than a tone is heard through a jittery network: an event that was pressed after a
/// tone would be told before it, did it not wait.
#[test]
fn keys_that_overtake_tones_are_put_in_order() {
    let pressing = Pressing { count: KEYS, ways: Way::ALL.to_vec(), tone_ms: 60, pause_ms: 100 };
    let waited: usize = (1_000..1_060).map(|seed| closely(seed, &pressing)).sum();
    assert!(waited > 100, "only {waited} keys waited for their turn: nothing was tried");
}

/// A call whose plan begins with a key by tones alone; how many keys had to wait.
fn closely(seed: u64, pressing: &Pressing) -> usize {
    let mut world = World::clear(seed);
    world.network.weather.jitter_ms = 60;
    world.in_band = true;
    world.answered_call();
    world.run_ms(1_000);
    let plan = pressing.plan(&mut Random::from_number(seed));
    let mut pressed = String::from("D");
    world.press(Digit::D, Way::InBand, 80);
    world.run_ms(1_500);
    for Press { digit, way, .. } in &plan {
        pressed.push(digit.as_char());
        world.press(*digit, *way, pressing.tone_ms);
        world.until("the INFO is answered", |w| !w.info_pending());
        world.run_ms(u64::from(pressing.tone_ms + pressing.pause_ms));
    }
    world.run_ms(1_000);
    let told: String = world.presses().iter().filter_map(|(_, text)| text.chars().next()).collect();
    assert_eq!(told, pressed, "seed {seed}, {plan:?}\n{}", world.story());
    let waited = world.notes.iter().filter(|note| note.text.contains("waits for its turn")).count();
    world.command(Command::Terminate);
    world.finish();
    waited
}

/// A call on which all of a plan is pressed; how many keys that was.
fn call(seed: u64, pressing: &Pressing, jitter_ms: u64) -> usize {
    let mut world = World::clear(seed);
    world.network.weather.jitter_ms = jitter_ms;
    world.in_band = true;
    world.answered_call();
    let party = world.call.as_ref().expect("a call").remote_party().clone();
    world.command(Command::StartContinuousDtmf { party, context: None, callback: None });
    // The first second is silence, as it is where nobody has a telephone on speed dial.
    world.run_ms(1_000);
    let plan = pressing.plan(&mut Random::from_number(seed));
    for Press { digit, way, pause, .. } in &plan {
        world.press(*digit, *way, pressing.tone_ms);
        world.until("the INFO is answered", |w| !w.info_pending());
        world.run_ms(u64::from(pressing.tone_ms + pause * 20));
    }
    world.run_ms(1_000);
    let pressed: Vec<(u32, Digit)> = (1..).zip(plan.iter().map(|press| press.digit)).collect();
    assert_eq!(told(&world), pressed, "seed {seed}\n{}", world.story());
    world.command(Command::Terminate);
    world.finish();
    plan.len()
}

fn calls(from: u64, jitter_ms: u64) {
    let pressing = Pressing { count: KEYS, ways: Way::ALL.to_vec(), tone_ms: 100, pause_ms: 200 };
    let heard: usize = (from..from + CALLS).map(|seed| call(seed, &pressing, jitter_ms)).sum();
    assert_eq!(heard, KEYS * CALLS as usize);
}

#[test]
fn the_first_2500_of_10000_digits_arrive_once_and_in_order() {
    calls(0, 0);
}

#[test]
fn the_second_2500_of_10000_digits_arrive_once_and_in_order() {
    calls(CALLS, 0);
}

#[test]
fn the_third_2500_of_10000_digits_arrive_once_and_in_order_through_jitter() {
    calls(2 * CALLS, 20);
}

#[test]
fn the_last_2500_of_10000_digits_arrive_once_and_in_order_through_jitter() {
    calls(3 * CALLS, 40);
}
