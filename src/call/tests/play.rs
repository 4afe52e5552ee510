//! Plays: all outcomes, the queue, interruption.

use super::super::*;
use super::world::*;
use crate::media::{MediaCommand, MediaEvent};
use std::time::Duration;

#[test]
fn a_play_starts_completes_or_fails_with_the_source_that_was_the_cause() {
    let cases: [(&[&str], u64, &[&str]); 6] = [
        (&["prompt:1500"], 0, &["0 PlayStarted 200/0 p", "1500 PlayCompleted 200/0 p"]),
        (&["prompt:1500", "http://h/500"], 300, &["300 PlayStarted 200/0 p", "2800 PlayCompleted 200/0 p"]),
        (&["prompt:0"], 0, &["0 PlayStarted 200/0 p", "0 PlayCompleted 200/0 p"]),
        (&["prompt:1000", "prompt:bad"], 10, &["10 PlayFailed 400/8535 #1 p"]),
        (&["prompt:gone", "prompt:1000"], 10, &["10 PlayFailed 400/8536 #0 p"]),
        (&["prompt:never"], 0, &["30000 PlayFailed 400/8536 #0 p"]),
    ];
    for (sources, load_ms, expected) in cases {
        let mut world = World::connected();
        world.load_time = Duration::from_millis(load_ms);
        world.command(Command::Play(play(sources, "p"))).unwrap();
        world.run(60_000);
        assert_eq!(world.told(), expected, "{sources:?}");
        assert_eq!((world.call.operations_under_way(), world.call.deadline()), (0, None));
    }
}

#[test]
fn plays_and_recognitions_wait_for_one_another_and_load_meanwhile() {
    let mut world = World::connected();
    world.load_time = Duration::from_millis(500);
    world.command(Command::Play(play(&["prompt:1000"], "a"))).unwrap();
    world.command(Command::Play(play(&["prompt:bad"], "b"))).unwrap();
    world.command(Command::Recognize(dtmf(&["prompt:2000"], 1, "", "c"))).unwrap();
    let callback = Some("https://h/cb".to_owned());
    world.command(Command::Play(Play { context: None, callback, ..play(&["prompt:1000"], "") })).unwrap();
    world.run(60_000);
    assert_eq!(world.events.last().unwrap().1.callback.as_deref(), Some("https://h/cb"));
    assert_eq!(
        world.told(),
        [
            "500 PlayStarted 200/0 a",
            "1500 PlayCompleted 200/0 a",
            "1500 PlayFailed 400/8535 #0 b",
            "1500 PlayStarted 200/0 c",
            "8500 RecognizeFailed 400/8510 c",
            "8500 PlayStarted 200/0 -",
            "9500 PlayCompleted 200/0 -",
        ]
    );
}

#[test]
fn a_play_repeats_until_it_is_canceled() {
    let mut world = World::connected();
    world.command(Command::Play(Play { repeat: true, ..play(&["prompt:1000"], "a") })).unwrap();
    world.command(Command::Play(play(&["prompt:1000"], "b"))).unwrap();
    world.command(Command::Recognize(dtmf(&[], 1, "", "c"))).unwrap();
    world.run(100_000);
    world.command(Command::CancelMedia).unwrap();
    assert!(matches!(world.media_commands.last(), Some(MediaCommand::StopPlay { .. })));
    world.run(100_000);
    assert_eq!(
        world.told(),
        [
            "0 PlayStarted 200/0 a",
            "100000 PlayCanceled 400/8508 a",
            "100000 PlayCanceled 400/8508 b",
            "100000 RecognizeCanceled 400/8508 c",
        ]
    );
    world.command(Command::CancelMedia).unwrap();
    assert_eq!(world.told(), [""; 0], "nothing to cancel is no failure");
}

#[test]
fn an_interrupting_play_cancels_what_runs_and_waits() {
    let mut world = World::connected();
    world.command(Command::Play(play(&["prompt:5000"], "a"))).unwrap();
    world.command(Command::Play(play(&["prompt:5000"], "b"))).unwrap();
    world.run(1000);
    world.command(Command::Play(Play { interrupt: true, ..play(&["prompt:1000"], "c") })).unwrap();
    world.run(10_000);
    assert_eq!(
        world.told(),
        [
            "0 PlayStarted 200/0 a",
            "1000 PlayCanceled 400/8508 a",
            "1000 PlayCanceled 400/8508 b",
            "1000 PlayStarted 200/0 c",
            "2000 PlayCompleted 200/0 c",
        ]
    );
}

#[test]
fn what_cannot_be_played_is_refused_and_changes_nothing() {
    let long = format!("prompt:{}", "x".repeat(3000));
    let cases: [(&[&str], &str); 8] = [
        (&[], "playSources"),
        (&["prompt:1"; 11], "playSources"),
        (&["ftp://h/x"], "playSources[0]"),
        (&["prompt:1", "prompt:"], "playSources[1]"),
        (&["http:"], "playSources[0]"),
        (&["/etc/passwd"], "playSources[0]"),
        (&["prompt:a b"], "playSources[0]"),
        (&[&long], "playSources[0]"),
    ];
    let mut world = World::connected();
    for (sources, expected) in cases {
        match world.command(Command::Play(play(sources, "p"))) {
            Err(Refusal::BadArgument { field, .. }) => assert_eq!(field, expected),
            other => panic!("{sources:?}: {other:?}"),
        }
    }
    let to = vec![caller(), stranger()];
    let refusal = world.command(Command::Play(Play { to, ..play(&["prompt:1000"], "p") }));
    assert_eq!(refusal, Err(Refusal::NoSuchParty("+15550199".to_owned())));
    assert_eq!((world.call.operations_under_way(), world.told().len()), (0, 0));
    world.command(Command::Play(Play { to: vec![caller()], ..play(&["HTTPS://h/1000"], "p") })).unwrap();
}

#[test]
fn the_queue_is_bounded_and_an_interruption_empties_it() {
    let mut world = World::connected();
    for _ in 0..=MAX_QUEUED {
        world.command(Command::Play(play(&["prompt:1000"], "p"))).unwrap();
    }
    assert_eq!(world.command(Command::Play(play(&["prompt:1000"], "p"))), Err(Refusal::QueueFull));
    assert_eq!(world.command(Command::Recognize(dtmf(&[], 1, "", "r"))), Err(Refusal::QueueFull));
    assert_eq!(world.call.operations_under_way(), MAX_QUEUED + 1);
    world.command(Command::Play(Play { interrupt: true, ..play(&["prompt:1000"], "i") })).unwrap();
    assert_eq!(world.names().iter().filter(|name| *name == "PlayCanceled 400/8508").count(), MAX_QUEUED + 1);
    assert_eq!(world.call.operations_under_way(), 1);
}

#[test]
fn all_operations_end_before_the_call_in_their_order() {
    let mut world = World::connected();
    let (party, context, callback) = (caller(), Some("x".to_owned()), None);
    let tones = vec![crate::dtmf::Digit::One; 20];
    world
        .command(Command::StartContinuousDtmf {
            party: party.clone(),
            context: Some("d".to_owned()),
            callback: callback.clone(),
        })
        .unwrap();
    world.command(Command::SendTones { party, tones, context, callback }).unwrap();
    world.command(Command::Recognize(dtmf(&["prompt:5000"], 1, "", "a"))).unwrap();
    world.command(Command::Play(play(&["prompt:never"], "b"))).unwrap();
    world.run(1000);
    world.command(Command::Terminate).unwrap();
    world.run(100_000);
    assert_eq!(
        world.told(),
        [
            "0 PlayStarted 200/0 a",
            "1000 RecognizeCanceled 400/8508 a",
            "1000 PlayCanceled 400/8508 b",
            "1000 SendTonesFailed 400/8528 x",
            "1000 ContinuousDtmfStopped 200/0 d",
            "1000 CallDisconnected 200/7000 call",
        ]
    );
    world.must_be_over();
}

#[test]
fn the_end_of_an_older_playing_ends_no_newer_one() {
    let mut world = World::connected();
    world.command(Command::Play(play(&["prompt:1000"], "a"))).unwrap();
    world.run(0);
    let Some(MediaCommand::Play { play: older, .. }) = world.media_commands.last().cloned() else { panic!() };
    world.command(Command::Play(Play { interrupt: true, ..play(&["prompt:1000"], "b") })).unwrap();
    world.run(0);
    world.events.clear();
    world.media_event(MediaEvent::PlayFinished { leg: LEG, play: older });
    assert_eq!(world.told(), [""; 0]);
    world.run(1000);
    assert_eq!(world.told(), ["1000 PlayCompleted 200/0 b"]);
}
