//! Hunts on a virtual clock: each rule by itself, then seeds at random against the promises of the room.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::random::Random;
use crate::session::NegotiatedMedia;
use crate::sip::leg::{CommandError, EndCause, LegCommand, LegEvent, Redirection, Side};
use crate::sip::peer::Transport;
use crate::time::Time;

fn branch(n: u16) -> Branch {
    let destination = ([192, 0, 2, 9], 5000 + n).into();
    Branch {
        label: format!("b{n}"),
        ..Branch::to(format!("sip:x@192.0.2.9:{}", 5000 + n), Transport::Udp, destination)
    }
}

fn round(numbers: &[u16]) -> Round {
    Round::from(numbers.iter().map(|n| branch(*n)).collect::<Vec<_>>())
}

fn limits() -> HuntLimits {
    HuntLimits::new(Duration::from_secs(60))
}

fn media(port: u16) -> NegotiatedMedia {
    NegotiatedMedia::plain(([192, 0, 2, 9], port).into())
}

fn accepted() -> LegEvent {
    LegEvent::Accepted { media: Some(media(4000)) }
}

fn failed(status: u16) -> LegEvent {
    LegEvent::Failed { status, phrase: format!("S{status}"), reason: None, local: false }
}

fn local(status: u16) -> LegEvent {
    LegEvent::Failed { status, phrase: format!("L{status}"), reason: None, local: true }
}

fn second(n: u64) -> Time {
    Time::EPOCH + Duration::from_secs(n)
}

/// What came out, in short.
fn short(hunt: &mut Hunt) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(output) = hunt.poll() {
        all.push(match output {
            HuntOutput::Place { attempt, branch, .. } => format!("place {} {}", attempt.0, branch.label),
            HuntOutput::Command(attempt, LegCommand::Hangup { reason }) => {
                format!("hangup {}{}", attempt.0, if reason.is_some() { " elsewhere" } else { "" })
            }
            HuntOutput::Command(attempt, command) => format!("command {} {command:?}", attempt.0),
            HuntOutput::Tell(LegEvent::Accepted { .. }) => "accepted".into(),
            HuntOutput::Tell(LegEvent::Failed { status, local, .. }) => {
                format!("failed {status}{}", if local { " local" } else { "" })
            }
            HuntOutput::Tell(LegEvent::Ringing { status }) => format!("ringing {status}"),
            HuntOutput::Tell(LegEvent::EarlyMedia { media, .. }) => format!("early {}", media.remote_rtp.port()),
            HuntOutput::Tell(LegEvent::Ended { .. }) => "ended".into(),
            HuntOutput::Tell(other) => format!("{other:?}"),
            HuntOutput::Resolve { attempt, contacts } => format!("resolve {} {}", attempt.0, contacts.join(",")),
            HuntOutput::Failed { .. } | HuntOutput::Note(_) => continue,
            HuntOutput::Over => "over".into(),
        });
    }
    all
}

#[test]
fn the_first_that_answers_wins_and_the_rest_are_told_so() {
    let mut hunt = Hunt::new(vec![round(&[1, 2, 3])], limits(), Time::EPOCH);
    assert_eq!(short(&mut hunt), ["place 0 b1", "place 1 b2", "place 2 b3"]);
    hunt.event(Attempt(0), LegEvent::Ringing { status: 180 }, second(1));
    hunt.event(Attempt(2), failed(486), second(2));
    hunt.event(Attempt(1), accepted(), second(3));
    assert_eq!(short(&mut hunt), ["ringing 180", "hangup 0 elsewhere", "accepted"]);
    assert_eq!(hunt.winner(), Some(Attempt(1)));
    // A second 2xx crosses the CANCEL: BYE, and not a word to call control.
    hunt.event(Attempt(0), accepted(), second(3));
    assert_eq!(short(&mut hunt), ["hangup 0 elsewhere"]);
    // From now on the winner is the leg.
    hunt.command(LegCommand::Info { content_type: "a/b".into(), body: vec![] }, second(4)).unwrap();
    hunt.event(Attempt(1), LegEvent::Confirmed, second(4));
    hunt.event(Attempt(1), LegEvent::Ended { by: Side::Remote, cause: EndCause::Bye, reason: None }, second(5));
    for n in 0..3 {
        hunt.gone(Attempt(n), second(9));
    }
    let all = short(&mut hunt);
    assert!(all[0].starts_with("command 1 Info") && all[1] == "Confirmed" && all[2] == "ended", "{all:?}");
    assert_eq!(all[3..], ["over"]);
}

#[test]
fn trouble_goes_to_the_next_proxy_and_busy_does_not() {
    for (event, next) in [
        (failed(503), true),
        (failed(500), true),
        (failed(408), true),
        (local(408), true),
        (local(503), true),
        (failed(486), false),
        (failed(404), false),
        (failed(603), false),
        (local(400), false),
        (failed(501), false),
    ] {
        let mut hunt = Hunt::new(vec![round(&[1]), round(&[2])], limits(), Time::EPOCH);
        short(&mut hunt);
        hunt.event(Attempt(0), event.clone(), second(1));
        let all = short(&mut hunt);
        assert_eq!(all == ["place 1 b2"], next, "{event:?}: {all:?}");
        assert_eq!(all[0].starts_with("failed"), !next, "{event:?}: {all:?}");
    }
}

#[test]
fn somebody_who_is_not_heard_at_all_is_left_for_the_next_in_seconds() {
    let mut hunt = Hunt::new(vec![round(&[1]), round(&[2])], limits(), Time::EPOCH);
    short(&mut hunt);
    assert_eq!(hunt.deadline(), Some(second(5)));
    hunt.timeout(second(4));
    assert_eq!(short(&mut hunt), [""; 0]);
    hunt.timeout(second(5));
    assert_eq!(short(&mut hunt), ["hangup 0", "place 1 b2"]);
    // There is nobody else after the second: its silence is timer B's.
    assert_eq!(hunt.deadline(), None);
    hunt.event(Attempt(1), failed(486), second(20));
    assert_eq!(short(&mut hunt), ["failed 486"], "what somebody said before what nobody said");
}

#[test]
fn a_trying_is_enough_to_be_waited_for() {
    let mut hunt = Hunt::new(vec![round(&[1]), round(&[2])], limits(), Time::EPOCH);
    hunt.heard(Attempt(0));
    hunt.timeout(second(30));
    assert_eq!(short(&mut hunt), ["place 0 b1"]);
}

#[test]
fn devices_ring_in_their_order_for_as_long_as_each_may() {
    let first = Round { rings_for: Some(Duration::from_secs(15)), ..round(&[1]) };
    let limits = HuntLimits { next_round: Verdict::Any, ..limits() };
    let mut hunt = Hunt::new(vec![first.clone(), round(&[2])], limits.clone(), Time::EPOCH);
    hunt.event(Attempt(0), LegEvent::Ringing { status: 180 }, second(1));
    hunt.timeout(second(15));
    assert_eq!(short(&mut hunt), ["place 0 b1", "ringing 180", "hangup 0", "place 1 b2"]);
    let mut hunt = Hunt::new(vec![first.clone(), round(&[2])], limits.clone(), Time::EPOCH);
    hunt.event(Attempt(0), failed(486), second(1));
    assert_eq!(short(&mut hunt), ["place 0 b1", "place 1 b2"]);
    // 6xx is the last word for all.
    let mut hunt = Hunt::new(vec![round(&[1, 3]), round(&[2])], limits, Time::EPOCH);
    hunt.event(Attempt(0), failed(603), second(1));
    assert_eq!(short(&mut hunt), ["place 0 b1", "place 1 b3", "hangup 1", "failed 603"]);
}

#[test]
fn the_best_refusal_is_told() {
    for (first, second_, told) in [
        (failed(486), failed(404), "failed 486"),
        (failed(503), failed(486), "failed 486"),
        (failed(404), failed(484), "failed 484"),
        (failed(480), failed(486), "failed 486"),
        (local(408), failed(503), "failed 503"),
        (local(408), local(503), "failed 408 local"),
        (failed(404), failed(302), "failed 302"),
        (failed(404), failed(600), "failed 600"),
    ] {
        let mut hunt = Hunt::new(vec![round(&[1, 2])], limits(), Time::EPOCH);
        short(&mut hunt);
        hunt.event(Attempt(0), first.clone(), second(1));
        hunt.event(Attempt(1), second_.clone(), second(2));
        assert_eq!(short(&mut hunt), [told], "{first:?} and {second_:?}");
    }
}

fn moved(hunt: &mut Hunt, attempt: usize, contacts: &[&str], at: u64) {
    let to = contacts.iter().map(|c| Redirection { uri: (*c).to_owned(), q: 1000 }).collect();
    hunt.event(Attempt(attempt), LegEvent::Redirected { to }, second(at));
    hunt.event(Attempt(attempt), failed(302), second(at));
}

#[test]
fn redirections_are_followed_within_bounds_and_never_in_a_circle() {
    let mut hunt = Hunt::new(vec![round(&[1])], limits(), Time::EPOCH);
    short(&mut hunt);
    moved(&mut hunt, 0, &["sip:x@192.0.2.9:5001", "sip:a@h", "sip:b@h"], 1);
    assert_eq!(short(&mut hunt), ["resolve 0 sip:a@h,sip:b@h"], "itself is left out");
    hunt.resolved(Attempt(0), vec![round(&[2]), round(&[3])], second(2));
    assert_eq!(short(&mut hunt), ["place 1 b2"]);
    // The callee's own alternatives are tried after any refusal.
    hunt.event(Attempt(1), failed(486), second(3));
    assert_eq!(short(&mut hunt), ["place 2 b3"]);
    moved(&mut hunt, 2, &["sip:c@h"], 4);
    assert_eq!(short(&mut hunt), ["resolve 2 sip:c@h"]);
    // A name that leads where the hunt has been.
    hunt.resolved(Attempt(2), vec![round(&[1])], second(5));
    assert_eq!(short(&mut hunt), ["failed 486"]);

    let mut hunt = Hunt::new(vec![round(&[1])], limits(), Time::EPOCH);
    short(&mut hunt);
    for n in 0..5 {
        moved(&mut hunt, n, &[&format!("sip:c{n}@h")], 1);
        hunt.resolved(Attempt(n), vec![round(&[10 + n as u16])], second(1));
    }
    short(&mut hunt);
    moved(&mut hunt, 5, &["sip:too@far"], 1);
    assert_eq!(short(&mut hunt), ["failed 302"]);

    let none = HuntLimits { redirects: RedirectLimits { depth: 0, contacts: 4 }, ..limits() };
    let mut hunt = Hunt::new(vec![round(&[1])], none, Time::EPOCH);
    short(&mut hunt);
    moved(&mut hunt, 0, &["sip:a@h"], 1);
    assert_eq!(short(&mut hunt), ["failed 302"]);
}

#[test]
fn a_lookup_that_never_ends_does_not_outlive_the_hunt() {
    let mut hunt = Hunt::new(vec![round(&[1])], limits(), Time::EPOCH);
    moved(&mut hunt, 0, &["sip:a@h"], 1);
    assert_eq!(hunt.deadline(), Some(second(60)));
    short(&mut hunt);
    hunt.timeout(second(60));
    assert_eq!(short(&mut hunt), ["failed 302"]);
    hunt.resolved(Attempt(0), vec![round(&[2])], second(61));
    hunt.gone(Attempt(0), second(61));
    assert_eq!(short(&mut hunt), ["over"]);
}

#[test]
fn early_media_is_heard_from_one_at_a_time() {
    let mut hunt = Hunt::new(vec![round(&[1, 2])], limits(), Time::EPOCH);
    short(&mut hunt);
    hunt.event(Attempt(1), LegEvent::EarlyMedia { media: media(4002), proven: true }, second(1));
    hunt.event(Attempt(0), LegEvent::EarlyMedia { media: media(4000), proven: true }, second(1));
    assert_eq!(short(&mut hunt), ["early 4002"]);
    hunt.event(Attempt(1), failed(486), second(2));
    assert_eq!(short(&mut hunt), ["early 4000"]);
    let silent = HuntLimits { early_media: EarlyMedia::None, ..limits() };
    let mut hunt = Hunt::new(vec![round(&[1, 2])], silent, Time::EPOCH);
    short(&mut hunt);
    hunt.event(Attempt(1), LegEvent::EarlyMedia { media: media(4002), proven: true }, second(1));
    assert_eq!(short(&mut hunt), [""; 0]);
}

#[test]
fn hanging_up_leaves_nobody_ringing() {
    let mut hunt = Hunt::new(vec![round(&[1, 2]), round(&[3])], limits(), Time::EPOCH);
    short(&mut hunt);
    let refused = hunt.command(LegCommand::Info { content_type: "a/b".into(), body: vec![] }, second(1));
    assert!(matches!(refused, Err(CommandError::WrongState { .. })));
    hunt.command(LegCommand::Hangup { reason: None }, second(1)).unwrap();
    assert_eq!(short(&mut hunt), ["hangup 0", "hangup 1", "ended"]);
    assert_eq!(hunt.command(LegCommand::Hangup { reason: None }, second(1)), Err(CommandError::NoSuchLeg));
    hunt.event(Attempt(0), accepted(), second(2));
    hunt.gone(Attempt(0), second(3));
    hunt.gone(Attempt(1), second(3));
    assert_eq!(short(&mut hunt), ["hangup 0", "over"]);
}

#[test]
fn nobody_to_call_is_an_end_too() {
    let mut hunt = Hunt::new(vec![Round::default()], limits(), Time::EPOCH);
    assert_eq!(short(&mut hunt), ["failed 480 local", "over"]);
    let few = HuntLimits { attempts: 1, ..limits() };
    let mut hunt = Hunt::new(vec![round(&[1, 2]), round(&[3])], few, Time::EPOCH);
    assert_eq!(short(&mut hunt), ["place 0 b1"]);
    hunt.event(Attempt(0), failed(503), second(1));
    assert_eq!(short(&mut hunt), ["failed 503"]);
}

/// How one attempt's other end stands in the simulation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Silent,
    Trying,
    Answered,
    Over,
    Gone,
}

#[test]
fn whatever_happens_one_wins_at_most_and_nobody_is_left_ringing() {
    for seed in 0..3_000 {
        let mut random = Random::from_number(seed);
        let mut draw = |n: u64| random.below(n);
        let mut rounds: Vec<Round> = Vec::new();
        for _ in 0..=draw(3) {
            let numbers: Vec<u16> = (0..=draw(3)).map(|_| draw(12) as u16).collect();
            let rings_for = (draw(2) == 0).then(|| Duration::from_secs(1 + draw(20)));
            rounds.push(Round { rings_for, ..round(&numbers) });
        }
        let verdict = if draw(2) == 0 { Verdict::Any } else { Verdict::Trouble };
        let limits = HuntLimits { next_round: verdict, attempts: 1 + draw(12) as usize, ..limits() };
        let mut hunt = Hunt::new(rounds, limits, Time::EPOCH);
        let mut ends: BTreeMap<usize, End> = BTreeMap::new();
        let mut dropped: Vec<usize> = Vec::new();
        let (mut told, mut over, mut accepted_told) = (0, false, 0);
        let mut now = Time::EPOCH;
        for _ in 0..600 {
            while let Some(output) = hunt.poll() {
                assert!(!over, "seed {seed}: {output:?} after the end");
                match output {
                    HuntOutput::Place { attempt, ring_timeout, .. } => {
                        assert!(ends.insert(attempt.0, End::Silent).is_none(), "seed {seed}: a name used twice");
                        assert!(now + ring_timeout <= second(60), "seed {seed}: longer than the hunt");
                        assert!(told == 0 && accepted_told == 0, "seed {seed}: placed after the end");
                    }
                    HuntOutput::Command(attempt, LegCommand::Hangup { .. }) => dropped.push(attempt.0),
                    HuntOutput::Command(..) | HuntOutput::Note(_) | HuntOutput::Failed { .. } => {}
                    HuntOutput::Tell(event) => {
                        told += usize::from(event.is_final());
                        accepted_told += usize::from(matches!(event, LegEvent::Accepted { .. }));
                    }
                    HuntOutput::Resolve { attempt, .. } => {
                        let rounds = (0..draw(3)).map(|_| round(&[draw(20) as u16])).collect();
                        hunt.resolved(attempt, rounds, now);
                    }
                    HuntOutput::Over => over = true,
                }
            }
            now += Duration::from_millis(draw(1_500));
            if hunt.deadline().is_some_and(|at| at <= now) {
                hunt.timeout(now);
            }
            // The user agent ends what it was told to, and what rings too long.
            let Some((&n, &end)) = ends.iter().nth(draw(ends.len().max(1) as u64) as usize) else { continue };
            let attempt = Attempt(n);
            let next = match end {
                End::Gone => continue,
                End::Over => End::Gone,
                End::Answered if dropped.contains(&n) || draw(8) == 0 => End::Over,
                End::Answered => continue,
                End::Silent | End::Trying if dropped.contains(&n) && draw(4) > 0 => End::Over,
                End::Silent | End::Trying if now >= second(60) => End::Over,
                End::Silent | End::Trying => match draw(6) {
                    0 => End::Answered,
                    1 | 2 => End::Over,
                    _ => End::Trying,
                },
            };
            match next {
                End::Trying if draw(2) == 0 => hunt.event(attempt, LegEvent::Ringing { status: 180 }, now),
                End::Trying => hunt.heard(attempt),
                End::Answered => hunt.event(attempt, accepted(), now),
                End::Gone => hunt.gone(attempt, now),
                // An agent's leg that was told to end says nothing more.
                End::Over if end == End::Answered && hunt.winner() == Some(attempt) => {
                    hunt.event(attempt, LegEvent::Ended { by: Side::Remote, cause: EndCause::Bye, reason: None }, now);
                }
                End::Over if dropped.contains(&n) => {}
                End::Over => {
                    let event = match draw(5) {
                        0 => {
                            let to = vec![Redirection { uri: format!("sip:m{}@h", draw(5)), q: 1000 }];
                            hunt.event(attempt, LegEvent::Redirected { to }, now);
                            failed(302)
                        }
                        1 => failed(486),
                        2 => failed(603),
                        3 => local(408),
                        _ => failed(503),
                    };
                    hunt.event(attempt, event, now);
                }
                End::Silent => {}
            }
            ends.insert(n, next);
            if draw(60) == 0 && told == 0 {
                let _ = hunt.command(LegCommand::Hangup { reason: None }, now);
            }
        }
        // Let everything run out.
        while let Some(output) = hunt.poll() {
            match output {
                HuntOutput::Tell(event) => {
                    told += usize::from(event.is_final());
                    accepted_told += usize::from(matches!(event, LegEvent::Accepted { .. }));
                }
                HuntOutput::Command(attempt, LegCommand::Hangup { .. }) => dropped.push(attempt.0),
                HuntOutput::Over => over = true,
                _ => {}
            }
        }
        assert!(accepted_told <= 1, "seed {seed}: {accepted_told} answers told");
        assert!(told <= 1, "seed {seed}: {told} ends told");
        assert_eq!(accepted_told == 1, hunt.winner().is_some(), "seed {seed}");
        for (n, end) in &ends {
            let left = matches!(end, End::Silent | End::Trying | End::Answered);
            let excused = dropped.contains(n) || hunt.winner() == Some(Attempt(*n));
            assert!(!left || excused, "seed {seed}: attempt {n} is left {end:?}");
        }
        let all_gone = ends.values().all(|end| *end == End::Gone);
        assert_eq!(over, all_gone && told == 1, "seed {seed}: {ends:?}");
    }
}
