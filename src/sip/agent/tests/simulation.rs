//! A thousand seeds of bad weather: whatever is lost, doubled or overtaken, both ends agree in the end and nothing is
//! left. A failing seed is in the message.

use super::*;

fn storm(seed: u64) -> Vec<&'static str> {
    let mut net = Net::new(seed);
    net.weather =
        Weather { loss: net.random.below(250), duplicate: net.random.below(200), jitter_ms: net.random.below(400) };
    let calls = 1 + net.random.below(3);
    for _ in 0..calls {
        let from = net.random.below(2) as usize;
        let leg = net.place(from, Transport::Udp);
        // Each end does this and that at odd moments.
        for _ in 0..net.random.below(12) {
            let pause = net.random.below(1500);
            net.ms(pause);
            let incoming = net.incoming[1 - from].last().map(|i| i.leg);
            let (side, leg) = match (net.random.below(2), incoming) {
                (0, Some(other)) => (1 - from, other),
                _ => (from, leg),
            };
            let command = match net.random.below(10) {
                0 => LegCommand::Ring,
                1..=3 => LegCommand::Accept { media: media(side) },
                8 | 9 => LegCommand::Progress { media: media(side) },
                4 => {
                    let held = net.random.below(2) == 0;
                    let direction = if held { Direction::SendOnly } else { Direction::SendRecv };
                    LegCommand::Reoffer { media: LocalMedia { direction, ..media(side) } }
                }
                5 => LegCommand::Info { content_type: "application/dtmf".into(), body: b"5".into() },
                6 if net.random.below(3) == 0 => LegCommand::Refuse { status: 486, phrase: None, retry_after: None },
                7 if net.random.below(2) == 0 => LegCommand::Hangup { reason: None },
                _ => continue,
            };
            let _ = net.try_command(side, leg, command);
        }
    }
    // A talk, long enough for refreshing in a few, and then somebody hangs up.
    let long = net.random.below(8) == 0;
    net.ms(if long { 2_000_000 } else { 70_000 });
    for side in [A, B] {
        let mut legs: Vec<LegId> = net.agents[side].legs.keys().copied().collect();
        legs.sort();
        for leg in legs {
            let _ = net.try_command(side, leg, LegCommand::Hangup { reason: None });
        }
        if side == A {
            net.ms(5_000);
        }
    }
    net.run(Duration::from_secs(400));
    for side in [A, B] {
        let mut legs: Vec<LegId> = net.events[side].iter().map(|(l, _)| *l).collect();
        legs.extend(net.incoming[side].iter().map(|i| i.leg));
        legs.sort();
        legs.dedup();
        for leg in legs {
            let finals = net.of(side, leg).iter().filter(|e| e.is_final()).count();
            assert_eq!(finals, 1, "seed {seed}: {leg} of {side}: {:?} {:#?}", net.of(side, leg), net.log);
            assert!(net.gone[side].contains(&leg), "seed {seed}: {leg} of {side} is not gone {:#?}", net.log);
        }
        assert_eq!(net.agents[side].census(), Census::default(), "seed {seed} {:#?}", net.log);
        assert_eq!(net.agents[side].deadline(), None, "seed {seed}");
    }
    // What came about in it.
    let seen = |name, found| if found { vec![name] } else { Vec::new() };
    [
        seen("confirmed", net.has(A, |e| *e == LegEvent::Confirmed)),
        seen("changed", net.has(B, |e| matches!(e, LegEvent::MediaChanged { .. }))),
        seen("cancelled", net.has(B, |e| matches!(e, LegEvent::Cancelled { .. }))),
        seen("failed", net.has(A, |e| matches!(e, LegEvent::Failed { .. }))),
        seen("glare", net.lines(A, "SIP/2.0 491") > 0),
        seen("info", net.has(B, |e| matches!(e, LegEvent::Info { .. }))),
        seen("repeated", net.lines(A, "SIP/2.0 200") > 3),
        seen("early", net.has(B, |e| matches!(e, LegEvent::EarlyMedia { .. }))),
        seen("prack", net.lines(A, "PRACK") > 0),
        seen("update", net.lines(A, "UPDATE") + net.lines(B, "UPDATE") > 0),
    ]
    .concat()
}

#[test]
fn a_thousand_storms_end_in_peace() {
    let mut seen: std::collections::BTreeMap<&str, u32> = Default::default();
    for seed in 0..1000 {
        for name in storm(seed) {
            *seen.entry(name).or_default() += 1;
        }
    }
    // A simulation in which nothing happens proves nothing.
    for (name, least) in [
        ("confirmed", 300),
        ("changed", 50),
        ("cancelled", 50),
        ("failed", 50),
        ("glare", 3),
        ("info", 50),
        ("repeated", 50),
        ("early", 100),
        ("prack", 100),
        ("update", 50),
    ] {
        assert!(seen.get(name).copied().unwrap_or(0) >= least, "{name} in {seen:?}");
    }
}

/// Over a network that loses nothing for longer than the timers bear, a call that both ends want comes about.
#[test]
fn calls_come_about_in_bad_weather() {
    let mut failed = Vec::new();
    for seed in 0..300 {
        let mut net = Net::new(seed);
        net.weather = Weather { loss: 200, duplicate: 100, jitter_ms: 300 };
        let a = net.place(A, Transport::Udp);
        net.ms(8_000);
        let Some(b) = net.incoming[B].first().map(|i| i.leg) else {
            failed.push(seed);
            continue;
        };
        net.command(B, b, LegCommand::Ring);
        net.ms(500);
        net.command(B, b, LegCommand::Accept { media: media(B) });
        net.ms(30_000);
        assert_eq!(net.incoming[B].len(), 1, "seed {seed}: one call, one leg");
        let settled = |side, leg| net.of(side, leg).contains(&&LegEvent::Confirmed);
        if !(settled(A, a) && settled(B, b)) {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
