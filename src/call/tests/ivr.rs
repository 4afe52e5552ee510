//! A five-minute conversation with a menu, in virtual time; and a call that is saved and read back in the middle of it.

use super::super::*;
use super::world::*;
use std::time::Duration;

/// The application: a menu that leads to an account number, then waits with music, until five minutes are over.
/// `save` is done to the call between any two steps.
fn converse(save: fn(Call) -> Call) -> Vec<String> {
    let mut world = World::incoming();
    world.load_time = Duration::from_millis(40);
    world.command(Command::Answer { context: Some("ivr".to_owned()) }).unwrap();
    world.run(0);
    let mut told = world.told();
    let step = |world: &mut World, ms: u64, told: &mut Vec<String>| {
        world.run(ms);
        world.call = save(world.call.clone());
        told.extend(world.told());
    };
    let menu = || choices(&["prompt:1200", "prompt:3500"], &[("Account", '1'), ("Agent", '2')], "menu");
    for round in 0..10 {
        world.command(Command::Play(play(&["prompt:900"], "welcome"))).unwrap();
        world.command(Command::Recognize(menu())).unwrap();
        step(&mut world, 3000, &mut told);
        match round % 3 {
            0 => world.press("1"),
            1 => world.press("9"),
            _ => step(&mut world, 10_000, &mut told),
        }
        step(&mut world, 500, &mut told);
        world.command(Command::Recognize(dtmf(&["prompt:2000"], 6, "#", "account"))).unwrap();
        for key in ["4", "7", "1", "1", "#"] {
            step(&mut world, 700, &mut told);
            world.press(key);
        }
        world.command(Command::Play(Play { repeat: true, ..play(&["prompt:4000"], "music") })).unwrap();
        world.command(Command::Play(play(&["prompt:1000"], "after"))).unwrap();
        step(&mut world, 18_000, &mut told);
        world.command(Command::CancelMedia).unwrap();
        step(&mut world, 1000, &mut told);
    }
    let rest = 300_000 - world.now.as_micros() / 1000;
    step(&mut world, rest, &mut told);
    world.command(Command::Terminate).unwrap();
    world.run(0);
    told.extend(world.told());
    world.must_be_over();
    told
}

#[test]
fn five_minutes_pass_in_no_time() {
    let told = converse(|call| call);
    assert_eq!(told.last().unwrap(), "300000 CallDisconnected 200/7000 ivr");
    let count = |text: &str| told.iter().filter(|line| line.contains(text)).count();
    assert_eq!(count("RecognizeCompleted 200/8533 [Account] menu"), 4);
    assert_eq!(count("RecognizeFailed 400/8534 menu"), 3);
    assert_eq!(count("RecognizeFailed 400/8510 menu"), 3);
    assert_eq!(count("RecognizeCompleted 200/8514 [4711] account"), 10);
    assert_eq!((count("PlayCanceled 400/8508 music"), count("PlayCanceled 400/8508 after")), (10, 10));
}

#[test]
fn a_saved_call_goes_on_as_if_nothing_had_been() {
    let saved = converse(|call| {
        let text = serde_json::to_string(&call).unwrap();
        let read: Call = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
        read
    });
    // A clip that waits for its turn is loaded again: all else is the same to the event.
    let names =
        |told: &[String]| told.iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&saved), names(&converse(|call| call)));
}
