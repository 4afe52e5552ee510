//! Continuous DTMF, and tones that are sent.

use super::super::*;
use super::world::*;
use crate::dtmf::Digit;
use crate::media::{MediaCommand, MediaEvent};

fn start(context: Option<&str>) -> Command {
    Command::StartContinuousDtmf { party: caller(), context: context.map(str::to_owned), callback: None }
}

fn stop(context: Option<&str>) -> Command {
    Command::StopContinuousDtmf { party: caller(), context: context.map(str::to_owned), callback: None }
}

fn send(count: usize, context: &str) -> Command {
    let (tones, context) = (vec![Digit::One; count], Some(context.to_owned()));
    Command::SendTones { party: caller(), tones, context, callback: None }
}

#[test]
fn continuous_digits_are_told_beside_a_recognition() {
    let mut world = World::connected();
    world.command(start(Some("d"))).unwrap();
    world.command(Command::Recognize(dtmf(&[], 2, "", "r"))).unwrap();
    world.press("12");
    world.press("3");
    world.command(stop(None)).unwrap();
    world.press("4");
    assert_eq!(
        world.told(),
        [
            "0 ContinuousDtmfTone 200/0 1:1 d",
            "0 ContinuousDtmfTone 200/0 2:2 d",
            "0 RecognizeCompleted 200/8531 [12] r",
            "0 ContinuousDtmfTone 200/0 3:3 d",
            "0 ContinuousDtmfStopped 200/0 d",
        ]
    );
}

#[test]
fn a_new_start_takes_over_and_a_stop_is_always_told() {
    let mut world = World::connected();
    world.command(start(Some("a"))).unwrap();
    world.press("1");
    world.command(start(None)).unwrap();
    world.press("1");
    world.command(stop(Some("s"))).unwrap();
    world.command(stop(None)).unwrap();
    assert_eq!(
        world.told(),
        [
            "0 ContinuousDtmfTone 200/0 1:1 a",
            "0 ContinuousDtmfTone 200/0 1:1 -",
            "0 ContinuousDtmfStopped 200/0 s",
            "0 ContinuousDtmfStopped 200/0 -",
        ]
    );
    for command in [
        Command::StartContinuousDtmf { party: stranger(), context: None, callback: None },
        Command::StopContinuousDtmf { party: stranger(), context: None, callback: None },
    ] {
        assert!(matches!(world.command(command), Err(Refusal::NoSuchParty(_))));
    }
}

#[test]
fn tones_are_sent_one_sending_after_another_in_batches() {
    let mut world = World::connected();
    world.command(send(2, "a")).unwrap();
    world.command(send(150, "b")).unwrap();
    world.run(100_000);
    // 200 ms each.
    assert_eq!(world.told(), ["400 SendTonesCompleted 200/0 a", "30400 SendTonesCompleted 200/0 b"]);
    let batches: Vec<_> = world
        .media_commands
        .iter()
        .filter_map(|command| match command {
            MediaCommand::SendTones { digits, .. } => Some(digits.len()),
            _ => None,
        })
        .collect();
    assert_eq!(batches, [2, 64, 64, 22]);
}

#[test]
fn tones_may_fail_and_the_next_are_sent_all_the_same() {
    let mut world = World::connected();
    world.command(send(2, "a")).unwrap();
    world.command(send(2, "b")).unwrap();
    let Some(MediaCommand::SendTones { id, .. }) = world.media_commands.last().cloned() else { panic!() };
    world.media_event(MediaEvent::TonesFailed { leg: LEG, id: id + 100, reason: "another's".to_owned() });
    world.media_event(MediaEvent::TonesSent { leg: LEG, id: id + 100 });
    world.media_event(MediaEvent::TonesFailed { leg: LEG, id, reason: "on hold".to_owned() });
    assert!(world.events[0].1.outcome.message.contains("on hold"));
    world.run(1000);
    assert_eq!(world.told(), ["0 SendTonesFailed 400/8500 a", "400 SendTonesCompleted 200/0 b"]);
}

#[test]
fn sendings_are_checked_and_bounded() {
    let mut world = World::connected();
    for count in [0, MAX_TONES + 1] {
        assert!(matches!(world.command(send(count, "x")), Err(Refusal::BadArgument { .. })));
    }
    let tones = vec![Digit::One];
    let refusal = world.command(Command::SendTones { party: stranger(), tones, context: None, callback: None });
    assert!(matches!(refusal, Err(Refusal::NoSuchParty(_))));
    for _ in 0..=MAX_QUEUED {
        world.command(send(MAX_TONES, "x")).unwrap();
    }
    assert_eq!(world.command(send(1, "x")), Err(Refusal::QueueFull));
    world.command(Command::CancelMedia).unwrap();
    assert_eq!(world.call.operations_under_way(), MAX_QUEUED + 1, "tones are not media operations to cancel");
    world.command(Command::Leave).unwrap();
    world.run(0);
    assert_eq!(world.names().len(), MAX_QUEUED + 2);
    world.must_be_over();
}
