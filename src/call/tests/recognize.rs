//! Recognition: every way it can end, and when what is counted.

use super::super::*;
use super::world::*;
use crate::dtmf::{Digit, Phase, Report, Way};
use crate::media::{MediaCommand, MediaEvent};
use crate::sip::leg::LegEvent;
use std::time::Duration;

/// One case: the wish, keys with the milliseconds of their press, the events.
type Case = (&'static str, Recognize, &'static [(u64, &'static str)], &'static [&'static str]);

fn run(cases: Vec<Case>) {
    for (name, wish, presses, expected) in cases {
        let mut world = World::connected();
        world.command(Command::Recognize(wish)).unwrap();
        for (at, keys) in presses {
            for key in keys.chars() {
                world.at(Duration::from_millis(*at), Input::Press(Digit::from_char(key).unwrap()));
            }
        }
        world.run(400_000);
        assert_eq!(world.told(), expected, "{name}");
        assert_eq!((world.call.operations_under_way(), world.call.deadline()), (0, None), "{name}");
    }
}

#[test]
fn digits_are_collected() {
    let silent = |secs, wish| Recognize { initial_silence: Duration::from_secs(secs), ..wish };
    let patient = |wish| match wish {
        Recognize { input: RecognizeInput::Dtmf { max_tones, stop_tones, .. }, .. } => Recognize {
            input: RecognizeInput::Dtmf { max_tones, stop_tones, inter_tone: Duration::from_secs(60) },
            ..wish
        },
        other => other,
    };
    run(vec![
        (
            "max tones",
            dtmf(&[], 3, "", "r"),
            &[(1000, "1"), (2000, "2"), (4000, "3")],
            &["4000 RecognizeCompleted 200/8531 [123] r"],
        ),
        ("max tones at once", dtmf(&[], 3, "", "r"), &[(1000, "5554")], &["1000 RecognizeCompleted 200/8531 [555] r"]),
        ("stop tone", dtmf(&[], 9, "#", "r"), &[(1000, "12#")], &["1000 RecognizeCompleted 200/8514 [12] r"]),
        ("stop tone first", dtmf(&[], 9, "*#", "r"), &[(1000, "*")], &["1000 RecognizeCompleted 200/8514 [] r"]),
        (
            "stop tone that is also the last",
            dtmf(&[], 1, "#", "r"),
            &[(9, "#")],
            &["9 RecognizeCompleted 200/8514 [] r"],
        ),
        ("initial silence", dtmf(&[], 3, "", "r"), &[], &["5000 RecognizeFailed 400/8510 r"]),
        ("initial silence of 300 s", silent(300, dtmf(&[], 3, "", "r")), &[], &["300000 RecognizeFailed 400/8510 r"]),
        ("no initial silence", silent(0, dtmf(&[], 3, "", "r")), &[], &["0 RecognizeFailed 400/8510 r"]),
        (
            "a key in the last instant",
            dtmf(&[], 1, "", "r"),
            &[(5000, "7")],
            &["5000 RecognizeCompleted 200/8531 [7] r"],
        ),
        ("a key too late", dtmf(&[], 1, "", "r"), &[(5001, "7")], &["5000 RecognizeFailed 400/8510 r"]),
        ("inter-digit", dtmf(&[], 3, "", "r"), &[(1000, "1"), (2500, "2")], &["4500 RecognizeFailed 400/8532 r"]),
        (
            "patient between digits",
            patient(dtmf(&[], 2, "", "r")),
            &[(1000, "1"), (60_000, "2")],
            &["60000 RecognizeCompleted 200/8531 [12] r"],
        ),
    ]);
}

#[test]
fn choices_are_made_by_key() {
    let menu = |sources| choices(sources, &[("Sales", '1'), ("Support", '2'), ("Spoken only", ' ')], "r");
    run(vec![
        ("first", menu(&[]), &[(1000, "1")], &["1000 RecognizeCompleted 200/8533 [Sales] r"]),
        (
            "second, barging in",
            menu(&["prompt:3000"]),
            &[(1000, "2")],
            &["0 PlayStarted 200/0 r", "1000 RecognizeCompleted 200/8533 [Support] r"],
        ),
        ("wrong", menu(&[]), &[(1000, "9")], &["1000 RecognizeFailed 400/8534 r"]),
        ("silence", menu(&["prompt:3000"]), &[], &["0 PlayStarted 200/0 r", "8000 RecognizeFailed 400/8510 r"]),
    ]);
}

#[test]
fn the_prompt_decides_when_counting_begins() {
    let no_barge = |wish| Recognize { interrupt_prompt: false, ..wish };
    let silent = |wish| Recognize { initial_silence: Duration::ZERO, ..wish };
    let prompt = &["prompt:3000"];
    run(vec![
        (
            "silence from the prompt's end",
            dtmf(prompt, 3, "", "r"),
            &[],
            &["0 PlayStarted 200/0 r", "8000 RecognizeFailed 400/8510 r"],
        ),
        (
            "barge-in counts",
            dtmf(prompt, 2, "", "r"),
            &[(1000, "1"), (2900, "2")],
            &["0 PlayStarted 200/0 r", "2900 RecognizeCompleted 200/8531 [12] r"],
        ),
        (
            "barge-in starts the inter-digit time",
            dtmf(prompt, 2, "", "r"),
            &[(1000, "1")],
            &["0 PlayStarted 200/0 r", "3000 RecognizeFailed 400/8532 r"],
        ),
        (
            "barge-in by a stop tone",
            dtmf(prompt, 2, "#", "r"),
            &[(1000, "#")],
            &["0 PlayStarted 200/0 r", "1000 RecognizeCompleted 200/8514 [] r"],
        ),
        (
            "barge-in is the only way",
            silent(dtmf(prompt, 1, "", "r")),
            &[(2999, "4")],
            &["0 PlayStarted 200/0 r", "2999 RecognizeCompleted 200/8531 [4] r"],
        ),
        (
            "no silence after the prompt",
            silent(dtmf(prompt, 1, "", "r")),
            &[],
            &["0 PlayStarted 200/0 r", "3000 RecognizeFailed 400/8510 r"],
        ),
        (
            "without barge-in keys are discarded",
            no_barge(dtmf(prompt, 2, "#", "r")),
            &[(1000, "12#"), (4000, "34")],
            &["0 PlayStarted 200/0 r", "4000 RecognizeCompleted 200/8531 [34] r"],
        ),
        (
            "a prompt that is no audio",
            dtmf(&["prompt:1", "prompt:bad"], 2, "", "r"),
            &[],
            &["0 RecognizeFailed 400/8511 #1 r"],
        ),
        ("a prompt that is not there", dtmf(&["prompt:gone"], 2, "", "r"), &[], &["0 RecognizeFailed 400/8511 #0 r"]),
        (
            "a prompt that never loads",
            dtmf(&["prompt:never"], 2, "", "r"),
            &[],
            &["30000 RecognizeFailed 400/8511 #0 r"],
        ),
        (
            "barge-in while it loads",
            dtmf(&["prompt:never"], 2, "", "r"),
            &[(100, "1"), (200, "2")],
            &["200 RecognizeCompleted 200/8531 [12] r"],
        ),
    ]);
}

#[test]
fn barge_in_silences_the_prompt_and_a_canceled_recognition_too() {
    let mut world = World::connected();
    world.command(Command::Recognize(dtmf(&["prompt:9000"], 2, "", "a"))).unwrap();
    world.run(500);
    world.press("1");
    let stops = |world: &World| {
        world.media_commands.iter().filter(|command| matches!(command, MediaCommand::StopPlay { .. })).count()
    };
    assert_eq!(stops(&world), 1);
    assert!(world.noted("1 stops the prompt"));
    world.command(Command::Recognize(Recognize { interrupt: true, ..dtmf(&["prompt:9000"], 2, "", "b") })).unwrap();
    assert_eq!(stops(&world), 1, "it is silent already");
    world.run(500);
    world.command(Command::CancelMedia).unwrap();
    assert_eq!(stops(&world), 2);
    assert_eq!(
        world.told(),
        [
            "0 PlayStarted 200/0 a",
            "500 RecognizeCanceled 400/8508 a",
            "500 PlayStarted 200/0 b",
            "1000 RecognizeCanceled 400/8508 b",
        ]
    );
}

#[test]
fn keys_between_recognitions_are_discarded_with_a_note() {
    let mut world = World::connected();
    world.press("5");
    assert!(world.noted("5 discarded: nobody listens"));
    world.command(Command::Play(play(&["prompt:1000"], "p"))).unwrap();
    world.command(Command::Recognize(dtmf(&[], 2, "", "r"))).unwrap();
    world.run(500);
    world.press("6");
    assert!(world.noted("6 discarded: nobody listens"));
    world.run(1000);
    world.press("78");
    assert_eq!(world.told().last().unwrap(), "1500 RecognizeCompleted 200/8531 [78] r");
}

#[test]
fn one_press_told_in_three_ways_counts_once() {
    let mut world = World::connected();
    world.command(Command::Recognize(dtmf(&[], 2, "", "r"))).unwrap();
    for way in [Way::TelephoneEvent, Way::InBand] {
        for phase in [Phase::Start, Phase::End { duration: Duration::from_millis(100) }] {
            let report = Report { digit: Digit::Five, way, phase, at: world.now, delay: Duration::ZERO };
            world.media_event(MediaEvent::Tone { leg: LEG, report });
        }
    }
    let info = |body: &str| LegEvent::Info { content_type: "application/dtmf-relay".into(), body: body.into() };
    world.leg_event(info("Signal=5\r\nDuration=100\r\n"));
    assert_eq!(world.told(), [""; 0]);
    assert!(world.noted("5 by in-band is the press that telephone-event told of"));
    assert!(world.noted("5 by info is the press that telephone-event told of"));
    world.run(1000);
    world.leg_event(info("Signal=#\r\n"));
    assert_eq!(world.told(), ["1000 RecognizeCompleted 200/8531 [5#] r"]);
    world.leg_event(info("Signal=flash"));
    assert!(world.noted("INFO is no digit"));
}

#[test]
fn what_cannot_be_recognised_is_refused() {
    let ok = dtmf(&[], 1, "", "r");
    let with = |input| Recognize { input, ..ok.clone() };
    let dtmf_input = |max_tones, inter_ms| RecognizeInput::Dtmf {
        max_tones,
        stop_tones: Vec::new(),
        inter_tone: Duration::from_millis(inter_ms),
    };
    let silence = |ms, wish: Recognize| Recognize { initial_silence: Duration::from_millis(ms), ..wish };
    let mut world = World::connected();
    for (wish, expected) in [
        (with(dtmf_input(0, 2000)), "dtmfOptions.maxTonesToCollect"),
        (with(dtmf_input(MAX_TONES + 1, 2000)), "dtmfOptions.maxTonesToCollect"),
        (with(dtmf_input(1, 999)), "dtmfOptions.interToneTimeoutInSeconds"),
        (with(dtmf_input(1, 60_001)), "dtmfOptions.interToneTimeoutInSeconds"),
        (silence(300_001, ok.clone()), "recognizeOptions.initialSilenceTimeoutInSeconds"),
        (silence(20_001, choices(&[], &[("a", '1')], "r")), "recognizeOptions.initialSilenceTimeoutInSeconds"),
        (choices(&[], &[], "r"), "recognizeOptions.choices"),
        (choices(&[], &[("a", ' ')], "r"), "recognizeOptions.choices"),
        (choices(&[], &[("", '1')], "r"), "recognizeOptions.choices[0].label"),
        (choices(&[], &[("a", '1'), ("a", '2')], "r"), "recognizeOptions.choices[1].label"),
        (choices(&[], &[("a", '1'), ("b", '1')], "r"), "recognizeOptions.choices[1].tone"),
        (dtmf(&["nothing"], 1, "", "r"), "playSources[0]"),
    ] {
        match world.command(Command::Recognize(wish)) {
            Err(Refusal::BadArgument { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let refusal = world.command(Command::Recognize(Recognize { party: stranger(), ..ok }));
    assert_eq!(refusal, Err(Refusal::NoSuchParty("+15550199".to_owned())));
    assert_eq!(world.call.operations_under_way(), 0);
}

#[test]
fn a_timer_that_was_due_before_an_input_fires_before_it() {
    let mut world = World::connected();
    world.command(Command::Recognize(dtmf(&[], 1, "", "r"))).unwrap();
    // The shell is late: the key of 5.5 s reaches the call before its timer of 5 s was served.
    let late = world.now + Duration::from_millis(5500);
    let report =
        Report { digit: Digit::One, way: Way::TelephoneEvent, phase: Phase::Start, at: late, delay: Duration::ZERO };
    world.call.media_event(MediaEvent::Tone { leg: LEG, report }, late);
    world.run(0);
    assert_eq!(world.names(), ["RecognizeFailed 400/8510"]);
    assert!(world.noted("1 discarded: nobody listens"));
}
