//! An answered call: menus, digits in every way, barge-in, silences, and the flow that a rule runs.

use std::time::{Duration, Instant};

use strowger::call::outcome::{INITIAL_SILENCE, INTER_DIGIT, MAX_DIGITS, STOP_TONE};
use strowger::call::{Choice, Command, EndedBy, EventKind, RecognizeInput, Recognized};
use strowger::dtmf::{Digit, Way};
use strowger::flow::AnswerFlow;
use strowger::media::FRAME;
use strowger::session::Codec;

use super::for_each_seed;
use super::world::{World, digits, peer, prompt};

/// A person that presses keys, at a person's pace, each by a way or two of the seed's.
///
/// What no telephone does is left out, since nobody could tell it from one press told twice: the same key again by
/// *another* way within the arbiter's window. And an INFO that was lost comes half a second late or later: then the
/// next key waits for it, and INFO never doubles another way.
fn press_all(world: &mut World, keys: &[Digit]) {
    let mut before = None;
    for key in keys {
        let way = Way::ALL[world.random.below(3) as usize];
        if before.is_some_and(|(other, by)| other == *key && by != way) {
            world.run_ms(700);
        }
        before = Some((*key, way));
        let ms = 80 + world.random.below(120) as u32;
        world.press(*key, way, ms);
        if way != Way::Info && world.network.weather.sip_loss == 0 && world.random.below(3) == 0 {
            world.press(*key, Way::Info, ms);
        }
        world.until("the INFO is answered", |w| !w.info_pending());
        let pause = u64::from(ms) + 350 + world.random.below(250);
        world.run_ms(pause);
    }
}

/// An INFO that is lost again and again may take so long.
const SLOW_INFO: Duration = Duration::from_secs(40);

fn some_digits(world: &mut World, count: u64) -> Vec<Digit> {
    (0..count).map(|_| Digit::ALL[world.random.below(10) as usize]).collect()
}

/// A menu, an account number, a confirmation: what was pressed is what is recognised, in order and once, whatever way it
/// went and whatever the network did.
#[test]
fn digits_arrive_once_and_in_order() {
    for_each_seed(200, |seed| {
        let mut world = World::new(seed);
        world.in_band = true;
        if world.random.below(2) == 0 {
            world.network.weather.sip_loss = 0;
        }
        world.answered_call();
        let party = world.call.as_ref().unwrap().remote_party().clone();
        world.command(Command::StartContinuousDtmf { party, context: None, callback: None });

        // The menu: one key, pressed into the prompt.
        let choices = [Digit::One, Digit::Two, Digit::Asterisk].map(|tone| Choice {
            label: format!("choice {tone}"),
            phrases: vec![],
            tone: Some(tone),
        });
        let chosen = choices[world.random.below(3) as usize].clone();
        let menu = world.recognize(|r| {
            r.sources = vec!["prompt:welcome/700".into(), "prompt:menu/2500".into()];
            r.input = RecognizeInput::Choices(choices.to_vec());
        });
        world.until_event("PlayStarted");
        let listens = world.random.below(2800);
        world.run_ms(listens);
        press_all(&mut world, &[chosen.tone.unwrap()]);
        let (_, event) = world.until_end_of(&menu);
        let heard = Recognized::Choice { label: chosen.label, phrase: String::new() };
        assert_eq!(event.kind, EventKind::RecognizeCompleted(heard), "{}", world.story());

        // The number: by count, or ended by pound.
        let count = 3 + world.random.below(4);
        let mut number = some_digits(&mut world, count);
        let by_pound = world.random.below(2) == 0;
        let account = world.recognize(|r| {
            r.sources = vec!["prompt:number/600".into()];
            r.interrupt_prompt = false;
            r.input = digits(if by_pound { 20 } else { number.len() }, SLOW_INFO);
        });
        let spoken = |w: &World| w.line().watch.loud().count();
        let before = spoken(&world);
        world.until("the prompt is over", |w| spoken(w) >= before + 30);
        world.run_ms(200);
        if by_pound {
            number.push(Digit::Pound);
        }
        press_all(&mut world, &number);
        let (_, event) = world.until_end_of(&account);
        if by_pound {
            number.pop();
        }
        assert_eq!(event.kind, EventKind::RecognizeCompleted(Recognized::Dtmf(number.clone())), "{}", world.story());
        assert_eq!(event.outcome.sub_code, if by_pound { STOP_TONE } else { MAX_DIGITS });

        // Continuous DTMF was told of each key as well.
        let mut all = vec![chosen.tone.unwrap()];
        all.extend(number);
        all.extend(by_pound.then_some(Digit::Pound));
        let told: Vec<(u32, Digit)> = world
            .events
            .iter()
            .filter_map(|(_, e)| match e.kind {
                EventKind::ContinuousDtmfTone { sequence_id, tone } => Some((sequence_id, tone)),
                _ => None,
            })
            .collect();
        assert_eq!(told, (1..).zip(all).collect::<Vec<_>>(), "{}", world.story());

        world.command(Command::Terminate);
        let world = world.finish();
        let names = world.names();
        assert_eq!(names.first(), Some(&"CallConnected"));
        assert_eq!(names[names.len() - 2..], ["ContinuousDtmfStopped", "CallDisconnected"]);
        assert_eq!(world.record().ended_by, EndedBy::Application);
    });
}

/// A key stops the prompt within a frame of being heard; what was played till then is the prompt, sample for sample.
#[test]
fn a_key_stops_the_prompt() {
    for_each_seed(150, |seed| {
        let mut world = World::clear(seed);
        world.in_band = true;
        world.answered_call();
        let menu = world.recognize(|r| r.sources = vec!["prompt:long/8000".into()]);
        world.until_event("PlayStarted");
        let listens = 100 + world.random.below(6000);
        world.run_ms(listens);
        let way = Way::ALL[world.random.below(3) as usize];
        world.press(Digit::Seven, way, 100);
        world.until("the key is heard", |w| !w.presses().is_empty());
        let (heard_at, text) = world.presses().remove(0);
        assert_eq!(text, format!("7 {way}"));
        world.run_ms(400);
        press_all(&mut world, &[Digit::Pound]);
        let (_, event) = world.until_end_of(&menu);
        assert_eq!(event.kind, EventKind::RecognizeCompleted(Recognized::Dtmf(vec![Digit::Seven])));

        let loud: Vec<_> = world.line().watch.loud().collect();
        let last = loud.last().expect("the prompt was heard");
        assert!(last.at <= heard_at, "the prompt went on after {heard_at}: {}", last.at);
        let said: Vec<u8> = loud.iter().flat_map(|sent| sent.payload.iter().copied()).collect();
        let clip = prompt("prompt:long/8000").unwrap();
        assert_eq!(said, clip.encoded(Codec::Pcmu)[..said.len()], "what was said is the prompt");
        let expected = heard_at.since(loud[0].at);
        assert!(expected.abs_diff(FRAME * loud.len() as u32) <= FRAME, "{} frames in {expected:?}", loud.len());
        world.command(Command::Terminate);
        world.finish();
    });
}

/// The initial silence runs from the prompt's end, the pause between digits from the last key; both to a frame.
#[test]
fn silences_are_exact() {
    for_each_seed(100, |seed| {
        let mut world = World::clear(seed);
        world.in_band = true;
        world.answered_call();
        let silence = Duration::from_secs(world.random.below(20));
        let with_prompt = world.random.below(2) == 0;
        let asked = world.now;
        let waits = world.recognize(|r| {
            r.initial_silence = silence;
            r.sources = if with_prompt { vec!["prompt:ask/1230".into()] } else { vec![] };
        });
        let (failed, event) = world.until_end_of(&waits);
        assert_eq!(event.outcome.sub_code, INITIAL_SILENCE);
        let begun = if with_prompt { world.line().watch.loud().next_back().unwrap().at } else { asked };
        let waited = failed.since(begun);
        assert!(waited.abs_diff(silence) <= FRAME, "{waited:?} for {silence:?}");

        let pause = Duration::from_secs(3 + world.random.below(10));
        let counts = world.recognize(|r| r.input = digits(9, pause));
        let keys = 1 + world.random.below(3);
        let keys = some_digits(&mut world, keys);
        press_all(&mut world, &keys);
        let (failed, event) = world.until_end_of(&counts);
        assert_eq!(event.outcome.sub_code, INTER_DIGIT, "{}", world.story());
        let last = world.presses().last().unwrap().0;
        let waited = failed.since(last);
        assert!(waited.abs_diff(pause) <= FRAME, "{waited:?} for {pause:?}");

        // It says so before it hangs up.
        let sorry = world.play(&["prompt:goodbye/400"], false, false);
        let (_, event) = world.until_end_of(&sorry);
        assert_eq!(event.kind, EventKind::PlayCompleted);
        world.command(Command::Terminate);
        world.finish();
    });
}

/// Plays wait for each other, a loop goes on until it is interrupted, and a prompt that is missing fails in its turn.
#[test]
fn plays_follow_each_other() {
    for_each_seed(200, |seed| {
        let mut world = World::new(seed);
        world.answered_call();
        let first = world.play(&["prompt:a/300", "prompt:b/210"], false, false);
        let missing = world.play(&["prompt:c/100", "prompt:missing"], false, false);
        let looped = world.play(&["prompt:d/130"], true, false);
        let waiting = world.play(&["prompt:e/100"], false, false);
        let played = world.until_end_of(&first);
        assert_eq!(played.1.kind, EventKind::PlayCompleted);
        assert_eq!(world.until_end_of(&missing).1.kind, EventKind::PlayFailed { failed_source: Some(1) });
        let while_looping = 500 + world.random.below(3000);
        world.run_ms(while_looping);
        let last = world.play(&["prompt:f/220"], false, true);
        assert_eq!(world.until_end_of(&looped).1.kind, EventKind::PlayCanceled);
        assert_eq!(world.until_end_of(&waiting).1.kind, EventKind::PlayCanceled);
        // Tones have a queue of their own; the telephone hears each once.
        let keys = some_digits(&mut world, 5);
        world.command(Command::SendTones {
            party: peer(),
            tones: keys.clone(),
            context: Some("tones".into()),
            callback: None,
        });
        assert_eq!(world.until_end_of(&last).1.kind, EventKind::PlayCompleted);
        assert_eq!(world.until_end_of("tones").1.kind, EventKind::SendTonesCompleted);
        world.run_ms(500);
        assert_eq!(world.phone_heard, keys, "{}", world.story());
        world.command(Command::Terminate);
        world.finish();
    });
}

/// The `answer` action of a rule is an application like any other.
#[test]
fn a_local_flow_runs_a_call() {
    for_each_seed(120, |seed| {
        let mut world = World::new(seed);
        world.in_band = true;
        let collect = serde_json::from_str(
            r#"{"maxTones": 4, "interToneTimeoutInSeconds": 40, "initialSilenceTimeoutInSeconds": 10}"#,
        )
        .unwrap();
        world.flow = Some(AnswerFlow::new(peer(), vec!["prompt:welcome/900".into()], Some(collect)));
        world.dial();
        world.until_event("PlayStarted");
        let keys = some_digits(&mut world, 4);
        let presses = world.random.below(4) > 0;
        if presses {
            world.run_ms(1500);
            press_all(&mut world, &keys);
        }
        let world = world.finish();
        let expected = if presses {
            EventKind::RecognizeCompleted(Recognized::Dtmf(keys))
        } else {
            EventKind::RecognizeFailed { failed_source: None }
        };
        assert!(world.events.iter().any(|(_, e)| e.kind == expected), "{}", world.story());
        assert_eq!(world.names().last(), Some(&"CallDisconnected"));
        assert_eq!(world.record().ended_by, EndedBy::Application);
    });
}

/// Five minutes of an IVR, proved in moments.
#[test]
fn five_minutes_of_an_ivr() {
    let began = Instant::now();
    let mut world = World::clear(5);
    world.in_band = true;
    world.answered_call();
    let start = world.now;
    let mut rounds = 0;
    while world.now.since(start) < Duration::from_secs(300) {
        rounds += 1;
        let play = world.play(&["prompt:news/6000"], false, false);
        assert_eq!(world.until_end_of(&play).1.kind, EventKind::PlayCompleted);
        let keys = some_digits(&mut world, 4);
        let asks = world.recognize(|r| r.sources = vec!["prompt:ask/2000".into()]);
        world.until_event_from(world.events.len() - 1, "PlayStarted");
        world.run_ms(2500);
        press_all(&mut world, &keys);
        assert_eq!(world.until_end_of(&asks).1.kind, EventKind::RecognizeCompleted(Recognized::Dtmf(keys)));
    }
    let talked = world.now.since(start);
    world.command(Command::Terminate);
    let world = world.finish();
    let took = began.elapsed();
    let frames = world.record().statistics.as_ref().unwrap().packets_sent;
    let ratio = talked.as_secs_f64() / took.as_secs_f64();
    println!("{rounds} rounds, {talked:?} of talk, {frames} packets sent, in {took:?}: {ratio:.0} times as fast");
    assert!(frames >= talked.as_millis() as u64 / 20);
}
