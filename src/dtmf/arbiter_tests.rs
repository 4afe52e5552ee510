//! The arbiter against fixed cases and seeded simulations of phones that send by several ways.

use super::*;
use crate::random::Random;

fn at(ms: u64) -> Time {
    Time::from_micros(ms * 1000)
}

fn start(digit: Digit, way: Way, ms: u64) -> Report {
    Report { digit, way, phase: Phase::Start, at: at(ms) }
}

fn end(digit: Digit, way: Way, ms: u64) -> Report {
    Report { digit, way, phase: Phase::End { duration: Duration::from_millis(80) }, at: at(ms) }
}

/// Feeds the reports in order of time; gives the presses as text with the way's initial: `5t 6i`.
fn presses(mut reports: Vec<Report>) -> String {
    reports.sort_by_key(|r| r.at); // stable: what is given first at one moment comes first
    let mut arbiter = Arbiter::new();
    let mut all = Vec::new();
    for report in reports {
        if let Verdict::Press { digit, way } = arbiter.report(report, report.at) {
            all.push(format!("{digit}{}", &way.to_string()[..2]));
        }
        assert!(arbiter.open_presses() <= MAX_OPEN);
    }
    all.join(" ")
}

use Digit::{Five, Six};
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
                    reports.push(Report { digit, way: *way, phase, at: at(*slot) });
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
