//! Limits, bans and their growth on a virtual clock; what forged addresses can and cannot do; the bounds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::sip::peer::{Peer, Transport};

fn at(seconds: u64) -> Time {
    Time::EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn origin(ip: impl Into<IpAddr>, transport: Transport) -> Origin {
    let peer =
        Peer { transport, remote: (ip, 5060).into(), local: (Ipv4Addr::LOCALHOST, 5060).into(), connection: None };
    Origin::of(&peer)
}

fn udp(last: u8) -> Origin {
    origin([203, 0, 113, last], Transport::Udp)
}

fn tcp(last: u8) -> Origin {
    origin([203, 0, 113, last], Transport::Tcp)
}

fn changes(guard: &mut Guard) -> Vec<Change> {
    std::iter::from_fn(|| guard.poll()).collect()
}

/// Crosses a limit at one moment; the ban.
fn cross(guard: &mut Guard, offence: Offence, origin: Origin, now: Time) -> Ban {
    for _ in 0..10_000 {
        if guard.note(offence, origin, now) == Verdict::Drop {
            match &changes(guard)[..] {
                [Change::Banned(ban)] => return ban.clone(),
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("{offence:?} has no end");
}

#[test]
fn a_load_test_passes_and_a_flood_does_not() {
    let mut guard = Guard::new(GuardSettings::default());
    // 800 calls a second for a minute, each with an OPTIONS beside it.
    for n in 0..60 * 1_600 {
        let now = at(0) + Duration::from_micros(n * 625);
        assert_eq!(guard.request(udp(1), now), Verdict::Pass);
    }
    assert_eq!(guard.bans(), []);
    // 5,000 a second.
    let dropped = (0..10_000).find(|n| guard.request(udp(2), at(0) + Duration::from_micros(n * 200)) == Verdict::Drop);
    assert!(dropped.is_some_and(|n| (4_000..8_000).contains(&n)), "{dropped:?}");
    assert!(!guard.admits(udp(2)) && guard.admits(udp(1)), "one is banned, the other is not");
    assert_eq!(guard.bans()[0].reason, BanReason::Crossed { offence: Offence::Requests, proven: false });
}

#[test]
fn every_limit_bans_and_every_ban_ends() {
    for offence in Offence::ALL {
        let mut guard = Guard::new(GuardSettings::default());
        let ban = cross(&mut guard, offence, tcp(1), at(0));
        assert_eq!((ban.since, ban.until, ban.count), (at(0), at(60), 1), "{offence:?}");
        assert!(!guard.admits(tcp(1)));
        assert_eq!(guard.deadline(), Some(at(60)));
        guard.timeout(at(59));
        assert!(!guard.admits(tcp(1)));
        guard.timeout(at(60));
        assert_eq!(changes(&mut guard), [Change::Lifted(tcp(1).source)]);
        assert!(guard.admits(tcp(1)));
        assert_eq!(guard.deadline(), None);
    }
}

#[test]
fn what_is_spread_out_is_no_offence() {
    let mut guard = Guard::new(GuardSettings::default());
    for n in 0..1_000 {
        assert_eq!(guard.failed_authentication(udp(1), at(n * 3)), Verdict::Pass);
    }
}

#[test]
fn bans_on_proven_evidence_double_up_to_the_longest_and_are_forgotten_after_good_conduct() {
    let mut guard = Guard::new(GuardSettings::default());
    let mut now = at(0);
    let mut lengths = Vec::new();
    for _ in 0..14 {
        let ban = cross(&mut guard, Offence::FailedAuthentications, tcp(1), now);
        lengths.push(ban.until.since(ban.since).as_secs());
        now = ban.until;
        guard.timeout(now);
        changes(&mut guard);
    }
    assert_eq!(lengths[..4], [60, 120, 240, 480]);
    assert_eq!(lengths[12..], [86_400, 86_400]);
    now += Duration::from_secs(86_401);
    assert_eq!(cross(&mut guard, Offence::FailedAuthentications, tcp(1), now).until, now + Duration::from_secs(60));
}

#[test]
fn forged_evidence_bans_shortly_and_adds_nothing_to_proven_evidence() {
    let mut guard = Guard::new(GuardSettings::default());
    let mut now = at(0);
    let mut lengths = Vec::new();
    for _ in 0..40 {
        let ban = cross(&mut guard, Offence::Requests, udp(1), now);
        lengths.push(ban.until.since(ban.since).as_secs());
        now = ban.until;
        guard.timeout(now);
        changes(&mut guard);
    }
    assert_eq!(lengths[..4], [15, 30, 60, 60]);
    assert_eq!(lengths.iter().max(), Some(&60));
    // Nor do forged failures count with the true ones.
    for _ in 0..20 {
        assert_eq!(guard.failed_authentication(udp(1), now), Verdict::Pass);
        assert_eq!(guard.failed_authentication(udp(1).proven(), now), Verdict::Pass);
    }
    assert_eq!(guard.failed_authentication(udp(1).proven(), now), Verdict::Drop);
    assert_eq!(guard.bans()[0].until, now + Duration::from_secs(60), "the first one on proven evidence");
}

#[test]
fn who_has_authenticated_is_not_banned_by_what_others_forge() {
    let mut guard = Guard::new(GuardSettings::default());
    guard.authenticated(udp(1), at(0));
    let forged = Origin { remote: (udp(1).remote.ip(), 9).into(), ..udp(1) };
    let dropped = (0..20_000).filter(|_| guard.request(forged, at(1)) == Verdict::Drop).count();
    assert_eq!(dropped, 16_000, "what is beyond the limit is dropped");
    assert_eq!(guard.request(udp(1), at(1)), Verdict::Pass, "the flow itself has a limit of its own");
    assert_eq!((changes(&mut guard), guard.bans()), (vec![], vec![]));
    // On proven evidence it is banned like anybody, and after an hour without a word it is a stranger.
    assert_eq!(cross(&mut guard, Offence::FailedAuthentications, tcp(1), at(1)).count, 1);
    guard.lift(tcp(1).source);
    changes(&mut guard);
    cross(&mut guard, Offence::Requests, forged, at(3_601));
}

#[test]
fn exempt_networks_and_trunks_are_never_banned_but_by_hand() {
    let exempt = vec!["203.0.113.0/30".parse().unwrap()];
    let mut guard = Guard::new(GuardSettings { exempt, ..GuardSettings::default() });
    cross(&mut guard, Offence::Malformed, tcp(9), at(0));
    guard.set_trunks(vec!["203.0.113.8/29".parse().unwrap()]);
    assert_eq!(changes(&mut guard), [Change::Lifted(tcp(9).source)], "a trunk's ban ends when it is known to be one");
    for offence in Offence::ALL {
        for origin in [tcp(1), udp(2), tcp(9), udp(15)] {
            assert!((0..10_000).all(|_| guard.note(offence, origin, at(0)) == Verdict::Pass));
        }
    }
    guard.ban(tcp(9).source, "by hand".into(), at(10), at(0)).unwrap();
    assert!(!guard.admits(tcp(9)));
    guard.set_trunks(vec!["203.0.113.8/29".parse().unwrap()]);
    assert!(!guard.admits(tcp(9)));
}

#[test]
fn an_ipv6_source_is_its_64_and_a_mapped_address_is_ipv4() {
    let mut guard = Guard::new(GuardSettings::default());
    for n in 0..21u16 {
        guard.failed_authentication(origin(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, n, n, n, n), Transport::Tls), at(0));
    }
    assert_eq!(guard.bans()[0].source.to_string(), "2001:db8:0:1::/64");
    assert!(!guard.admits(origin(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9), Transport::Udp)));
    assert!(guard.admits(origin(Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 9, 9, 9, 9), Transport::Udp)));
    assert_eq!(Source::of("::ffff:203.0.113.1".parse().unwrap()), udp(1).source);
    for text in ["192.0.2.1", "2001:db8:0:1::/64"] {
        assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
    }
    assert_eq!("2001:db8:0:1::5".parse::<Source>().unwrap().to_string(), "2001:db8:0:1::/64");
    for text in ["", "x", "192.0.2.0/24", "2001:db8::/48", "192.0.2.1:5060", "192.0.2.1\r\n"] {
        assert!(text.parse::<Source>().is_err(), "{text}");
    }
}

#[test]
fn bans_are_bounded_and_those_by_hand_stay() {
    let mut guard = Guard::new(GuardSettings { most_bans: 3, ..GuardSettings::default() });
    let by_hand = |guard: &mut Guard, n: u8| {
        let banned = guard.ban(udp(n).source, "known".into(), at(5), at(0)).map(drop);
        changes(guard);
        banned
    };
    by_hand(&mut guard, 1).unwrap();
    cross(&mut guard, Offence::Scanning, tcp(3), at(0));
    cross(&mut guard, Offence::Scanning, udp(2), at(0));
    changes(&mut guard);
    // The next displaces the automatic one that ends first.
    assert_eq!((0..4).filter(|_| guard.scanning(tcp(4), at(0)) == Verdict::Drop).count(), 4);
    assert!(matches!(&changes(&mut guard)[..], [Change::Lifted(gone), Change::Banned(new)]
        if *gone == udp(2).source && new.source == tcp(4).source));
    by_hand(&mut guard, 5).unwrap();
    by_hand(&mut guard, 6).unwrap();
    assert_eq!(by_hand(&mut guard, 7), Err(Full));
    by_hand(&mut guard, 6).unwrap();
    // Nothing gives way, and what is beyond the limit is dropped all the same.
    assert_eq!((0..9).filter(|_| guard.scanning(udp(8), at(0)) == Verdict::Drop).count(), 9);
    assert_eq!((changes(&mut guard), guard.census().1), (vec![], 3));
    assert!(guard.lift(udp(6).source).is_some_and(|ban| !ban.is_automatic()));
    assert_eq!(guard.lift(udp(6).source), None);
}

#[test]
fn a_million_forged_addresses_fill_nothing_and_hide_nobody() {
    let mut guard = Guard::new(GuardSettings::default());
    for n in 0..200_000u32 {
        let now = at(0) + Duration::from_micros(u64::from(n) * 10);
        guard.request(origin(Ipv4Addr::from(0x0a00_0000 + n), Transport::Udp), now);
        if n % 10_000 == 0 {
            guard.failed_authentication(tcp(1), now);
        }
    }
    assert!(guard.census().0 <= 2 * REMEMBERED);
    // Twenty failures within two seconds are remembered through all that.
    assert_eq!(guard.failed_authentication(tcp(1), at(2)), Verdict::Drop);
}

#[test]
fn without_limits_nothing_is_banned() {
    let mut guard = Guard::new(GuardSettings::off());
    for offence in Offence::ALL {
        assert!((0..10_000).all(|_| guard.note(offence, udp(1), at(0)) == Verdict::Pass));
    }
}

#[test]
fn challenges_that_nobody_answers_count_and_a_carriers_do_not() {
    // A carrier's calls: 40 a second, each proved a little later; for ten minutes.
    let mut guard = Guard::new(GuardSettings::default());
    for n in 0..24_000 {
        let now = at(0) + Duration::from_millis(n * 25);
        assert_eq!(guard.challenged(tcp(1), now), Verdict::Pass);
        if n >= 20 {
            guard.authenticated(tcp(1), now);
        }
    }
    // Somebody who tries names out, slowly: nothing is said for what is open, all is counted when it is late.
    let mut settings = GuardSettings::default();
    settings.unknown_users = settings.unknown_users.map(|limit| Limit { count: 20, ..limit });
    let mut guard = Guard::new(settings);
    for origin in [udp(2), tcp(3)] {
        for n in 0..30 {
            assert_eq!(guard.challenged(origin, at(n)), Verdict::Pass, "{n}");
        }
        assert_eq!(guard.challenged(origin, at(33)), Verdict::Drop);
        assert!(!guard.admits(origin));
    }
    // And in a rush: what is beyond the bound counts at once.
    let passed = (0..1_000).take_while(|_| guard.challenged(tcp(4), at(100)) == Verdict::Pass).count();
    assert_eq!(passed, 64 + 20);
}
