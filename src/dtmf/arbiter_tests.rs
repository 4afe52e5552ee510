//! The arbiter against fixed cases and seeded simulations of phones that send by several ways.

use super::*;
use crate::random::Random;

fn at(ms: u64) -> Time {
    Time::from_micros(ms * 1000)
}

fn start(digit: Digit, way: Way, ms: u64) -> Report {
    Report { digit, way, phase: Phase::Start, at: at(ms), delay: Duration::ZERO }
}

fn end(digit: Digit, way: Way, ms: u64) -> Report {
    let phase = Phase::End { duration: Duration::from_millis(80) };
    Report { digit, way, phase, at: at(ms), delay: Duration::ZERO }
}

/// Feeds the reports in order of time; gives the presses as text with the way's initial: `5t 6i`.
fn presses(mut reports: Vec<Report>) -> String {
    reports.sort_by_key(|r| r.at); // stable: what is given first at one moment comes first
    let verdicts = verdicts(reports);
    let press = |(_, verdict): &(Time, Verdict)| match verdict {
        Verdict::Press { digit, way } => Some(format!("{digit}{}", &way.to_string()[..2])),
        _ => None,
    };
    verdicts.iter().filter_map(press).collect::<Vec<_>>().join(" ")
}

/// Feeds the reports, which are in order of time, with the deadlines between them; what is said, and when.
fn verdicts(reports: Vec<Report>) -> Vec<(Time, Verdict)> {
    let mut arbiter = Arbiter::new();
    let mut all = Vec::new();
    let poll_until = |arbiter: &mut Arbiter, all: &mut Vec<(Time, Verdict)>, until: Time| {
        while let Some(due) = arbiter.deadline().filter(|due| *due <= until) {
            assert_eq!(arbiter.poll(due - Duration::from_micros(1)), None, "too early");
            while let Some(verdict) = arbiter.poll(due) {
                all.push((due, verdict));
            }
        }
    };
    for report in reports {
        poll_until(&mut arbiter, &mut all, report.at);
        all.push((report.at, arbiter.report(report, report.at)));
        while let Some(verdict) = arbiter.poll(report.at) {
            all.push((report.at, verdict));
        }
        assert!(arbiter.open_presses() <= MAX_OPEN && arbiter.waiting.len() <= MAX_WAITING);
    }
    poll_until(&mut arbiter, &mut all, Time::from_micros(u64::MAX));
    assert_eq!(arbiter.deadline(), None);
    all
}

use Digit::{Five, One, Six};
use Way::{InBand, Info, TelephoneEvent as Event};

#[test]
fn one_press_by_three_ways_is_one_press() {
    let mut arbiter = Arbiter::new();
    assert_eq!(arbiter.report(start(Five, Event, 0), at(0)), Verdict::Press { digit: Five, way: Event });
    let reason = DropReason::Duplicate { digit: Five, way: InBand, winner: Event, delay: Duration::from_millis(45) };
    assert_eq!(arbiter.report(start(Five, InBand, 45), at(45)), Verdict::Dropped { reason });
    assert_eq!(reason.to_string(), "5 by in-band is the press that telephone-event told of 45 ms before");
    let duration = Duration::from_millis(80);
    assert_eq!(arbiter.report(end(Five, Event, 80), at(80)), Verdict::Release { digit: Five, way: Event, duration });
    let reason = DropReason::EndOfDuplicate { digit: Five, way: InBand };
    assert_eq!(arbiter.report(end(Five, InBand, 130), at(130)), Verdict::Dropped { reason });
    assert!(matches!(arbiter.report(start(Five, Info, 390), at(390)), Verdict::Dropped { .. }));
    assert!(matches!(arbiter.report(end(Five, Info, 390), at(390)), Verdict::Dropped { .. }));
    // Much later it is another press.
    assert_eq!(arbiter.report(start(Five, Info, 2000), at(2000)), Verdict::Press { digit: Five, way: Info });
    assert_eq!(arbiter.open_presses(), 1);
}

#[test]
fn one_way_alone_is_never_doubted() {
    for way in Way::ALL {
        let reports = (0..10).flat_map(|i| [start(Five, way, i * 80), end(Five, way, i * 80 + 40)]).collect();
        assert_eq!(presses(reports).split(' ').count(), 10, "{way}");
        let lost_ends = (0..10).map(|i| start(Five, way, i * 40)).collect();
        assert_eq!(presses(lost_ends).split(' ').count(), 10, "{way}");
    }
}

#[test]
fn info_after_a_long_press_is_that_press() {
    let mut reports =
        vec![start(Five, Event, 0), start(Five, InBand, 40), end(Five, Event, 3000), end(Five, InBand, 3020)];
    reports.extend([start(Five, Info, 3200), end(Five, Info, 3200)]);
    assert_eq!(presses(reports), "5te");
}

#[test]
fn different_digits_never_pair() {
    let reports = vec![start(Five, Event, 0), start(Six, InBand, 20), start(Six, Event, 40), start(Five, InBand, 60)];
    assert_eq!(presses(reports), "5te 6in");
}

#[test]
fn a_torn_tone_under_a_held_event_is_one_key() {
    let mut reports = vec![start(Five, Event, 0), end(Five, Event, 2000)];
    for i in 0..5 {
        reports.extend([start(Five, InBand, 40 + i * 300), end(Five, InBand, 240 + i * 300)]);
    }
    assert_eq!(presses(reports), "5te");
}

#[test]
fn a_way_that_misses_a_press_does_not_cost_one() {
    // In-band misses the second of four.
    let mut reports = Vec::new();
    for i in 0..4 {
        reports.extend([start(Five, Event, i * 150), end(Five, Event, i * 150 + 60)]);
        if i != 1 {
            reports.extend([start(Five, InBand, i * 150 + 40), end(Five, InBand, i * 150 + 70)]);
        }
    }
    assert_eq!(presses(reports), "5te 5te 5te 5te");
}

/// Phones that send by one to three ways, each way late by 0–400 ms, fast equal digits included: each press once, in
/// order. In every second run each report is late by its own 0–400 ms (in order within a way), ends included; then an
/// event's end may be so late that a second in-band press of the digit is first taken for a torn tone and counted when
/// the event tells of it: each press once, but not always in order.
#[test]
fn each_press_once_by_any_mix_of_ways() {
    for seed in 0..5000 {
        let mut random = Random::from_number(seed);
        let ways: Vec<Way> = loop {
            let mask = random.below(8);
            if mask != 0 {
                break Way::ALL.into_iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, w)| w).collect();
            }
        };
        let mut reports: Vec<Report> = Vec::new();
        let mut expected = String::new();
        let mut last = [0; 3];
        let mut now = 1000;
        let wild = random.below(2) == 0;
        let most_late = random.below(401);
        let path: [u64; 3] = std::array::from_fn(|_| random.below(most_late + 1));
        for _ in 0..1 + random.below(20) {
            let digit = Digit::from_event_code(random.below(1 + seed % 3) as u8).unwrap();
            let longest = if random.below(8) == 0 { 2000 } else { 100 };
            let held = 40 + random.below(longest);
            let duration = Duration::from_millis(held);
            expected.push(digit.as_char());
            for way in &ways {
                let slot = &mut last[*way as usize];
                let mut late = || {
                    if wild { random.below(most_late + 1) } else { path[*way as usize] + random.below(10) }
                };
                let mut tell = |phase, when: u64| {
                    *slot = when.max(*slot);
                    reports.push(Report { digit, way: *way, phase, at: at(*slot), delay: Duration::ZERO });
                };
                if *way == Info {
                    // Some phones send INFO when the key goes down, others when it comes up.
                    let when = now + if seed % 2 == 0 { held } else { 0 } + late();
                    tell(Phase::Start, when);
                    tell(Phase::End { duration }, when);
                } else {
                    tell(Phase::Start, now + late());
                    tell(Phase::End { duration }, now + held + late());
                }
            }
            let pause = if random.below(4) == 0 { 3000 } else { 200 };
            now += held + 40 + random.below(pause);
        }
        let mut seen: Vec<char> = presses(reports).split(' ').filter_map(|p| p.chars().next()).collect();
        let mut expected: Vec<char> = expected.chars().collect();
        if wild && ways.contains(&Event) && ways.contains(&InBand) {
            seen.sort_unstable();
            expected.sort_unstable();
        }
        assert_eq!(seen, expected, "seed {seed}, ways {ways:?}");
    }
}

#[test]
fn a_flood_is_bounded() {
    let reports = (0..10_000).map(|i| start(Digit::ALL[i as usize % 16], Event, i / 100)).collect();
    assert_eq!(presses(reports).split(' ').count(), 10_000);
}

/// A tone that was down at `ms`, and is heard so much later.
fn tone(digit: Digit, ms: u64, delay: u64) -> [Report; 2] {
    let late = |report: Report| Report { delay: Duration::from_millis(delay), ..report };
    [late(start(digit, InBand, ms + delay)), late(end(digit, InBand, ms + 80 + delay))]
}

#[test]
fn a_key_that_goes_down_after_a_tone_is_told_after_it() {
    // The first tone comes alone; the second is overtaken by an event, which is overtaken by nothing.
    let mut reports = [tone(Five, 0, 160), tone(Six, 1000, 170)].concat();
    reports.extend([start(Five, Event, 1120), end(Five, Event, 1200), start(One, Info, 1300), end(One, Info, 1300)]);
    assert_eq!(presses(reports.clone()), "5in 6in 5te 1in");
    reports.sort_by_key(|report| report.at);
    let verdicts = verdicts(reports);
    let told = |wanted: Digit, by: Way| {
        let of_it = |(_, v): &&(Time, Verdict)| *v == Verdict::Press { digit: wanted, way: by };
        verdicts.iter().rev().find(of_it).map(|(at, _)| *at)
    };
    assert_eq!(told(Six, InBand), Some(at(1170)), "tones wait for nothing");
    assert_eq!(told(Five, Event), Some(at(1120 + 160 + 40)), "as late as the tones before it were, and a little");
    assert_eq!(told(One, Info), Some(at(1300 + 170 + 40)));
    // A release comes after its press, with its duration.
    let place = |wanted: &Verdict| verdicts.iter().position(|(_, v)| v == wanted);
    let press = place(&Verdict::Press { digit: Five, way: Event });
    let release = place(&Verdict::Release { digit: Five, way: Event, duration: Duration::from_millis(80) });
    assert!(press.is_some() && press < release, "{verdicts:?}");
}

#[test]
fn legs_that_do_not_press_by_tones_alone_wait_for_nothing() {
    let mut reports = Vec::new();
    for i in 0..10 {
        reports.extend([start(Five, Event, i * 300), end(Five, Event, i * 300 + 80)]);
        reports.extend(tone(Five, i * 300, 160));
    }
    reports.sort_by_key(|report| report.at);
    assert!(verdicts(reports).iter().all(|(_, verdict)| !matches!(verdict, Verdict::Waits { .. })));
    // And those that did, ten seconds ago, do no more.
    let mut reports = tone(Five, 0, 160).to_vec();
    reports.extend([start(Six, Event, 10_200), end(Six, Event, 10_300)]);
    assert!(verdicts(reports).iter().all(|(_, verdict)| !matches!(verdict, Verdict::Waits { .. })));
}

#[test]
fn who_waits_can_be_hurried_and_is_bounded() {
    let mut arbiter = Arbiter::new();
    for report in tone(Five, 0, 160) {
        arbiter.report(report, report.at);
    }
    assert_eq!(
        arbiter.report(start(Six, Event, 400), at(400)),
        Verdict::Waits { digit: Six, way: Event, released: false }
    );
    assert_eq!(arbiter.poll(at(401)), None);
    arbiter.hurry();
    assert_eq!(arbiter.poll(at(401)), Some(Verdict::Press { digit: Six, way: Event }));
    assert_eq!((arbiter.poll(at(9_000)), arbiter.deadline()), (None, None));
    for i in 0..40 {
        arbiter.report(start(Digit::ALL[i as usize % 16], Event, 1_000 + i), at(1_000 + i));
        assert!(arbiter.waiting.len() <= MAX_WAITING);
    }
    let told = std::iter::from_fn(|| arbiter.poll(at(5_000))).filter(|v| matches!(v, Verdict::Press { .. })).count();
    assert_eq!(told, 40, "bounded, and none is lost");
}

/// Keys 150 ms apart by any way, tones heard up to 300 ms late: in order from the second press by tones on.
#[test]
fn presses_by_mixed_ways_keep_their_order() {
    for seed in 0..2_000 {
        let mut random = Random::from_number(seed);
        let late = 100 + random.below(200);
        let mut reports = tone(Digit::Pound, 0, late).to_vec();
        let mut pressed = vec![Digit::Pound];
        for i in 0..20u64 {
            // No key comes again while another way might mean it.
            let digit = Digit::ALL[(i % 11) as usize];
            let down = 600 + i * 150 + random.below(40);
            pressed.push(digit);
            match Way::ALL[random.below(3) as usize] {
                InBand => reports.extend(tone(digit, down, late + random.below(30))),
                way => reports.extend([start(digit, way, down), end(digit, way, down + 60)]),
            }
        }
        reports.sort_by_key(|report| report.at);
        let told: Vec<Digit> = verdicts(reports)
            .into_iter()
            .filter_map(|(_, verdict)| match verdict {
                Verdict::Press { digit, .. } => Some(digit),
                _ => None,
            })
            .collect();
        assert_eq!(told, pressed, "seed {seed}");
    }
}
