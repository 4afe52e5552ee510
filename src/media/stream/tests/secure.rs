//! Two streams that talk over SRTP, and what strangers, attackers and new keys make of it.

use super::*;
use crate::session::{SrtpKey, SrtpKeys, SrtpSuite};

pub(super) fn key(suite: SrtpSuite, seed: u8) -> SrtpKey {
    SrtpKey::new(suite, &vec![seed; suite.material_length()], None).unwrap()
}

/// Connects with keys: ours, the peer's.
fn secured(bench: &mut Bench, suite: SrtpSuite, (ours, theirs): (u8, u8)) {
    bench.connect(|media| {
        media.srtp = Some(SrtpKeys { send: key(suite, ours), receive: key(suite, theirs) });
        media.receive_telephone_events = vec![EventFormat::narrow(97)];
    });
}

/// A tick of both, each hears what the other sent; what `a` sent is given.
fn exchange(a: &mut Bench, b: &mut Bench) -> Vec<Vec<u8>> {
    let (mut from_a, mut from_b) = (Wire::default(), Wire::default());
    for (bench, wire) in [(&mut *a, &mut from_a), (&mut *b, &mut from_b)] {
        bench.now += FRAME;
        bench.stream.tick(bench.now, 1, wire);
        bench.events.extend(std::iter::from_fn(|| bench.stream.poll_event()));
    }
    let rtcp: SocketAddr = "192.0.2.10:4001".parse().unwrap();
    for (bench, wire) in [(b, &from_a), (a, &from_b)] {
        wire.rtp.iter().for_each(|(_, packet)| bench.receive(packet, peer()));
        wire.rtcp.iter().for_each(|(_, packet)| bench.stream.receive_rtcp(packet, rtcp, bench.now));
    }
    from_a.rtp.into_iter().map(|(_, packet)| packet).collect()
}

#[test]
fn audio_digits_and_reports_go_both_ways_and_nothing_is_readable() {
    for suite in SrtpSuite::ALL {
        let (mut a, mut b) = (Bench::idle(), Bench::idle());
        secured(&mut a, suite, (1, 2));
        secured(&mut b, suite, (2, 1));
        b.stream.capture(400);
        a.stream.play(PlayId(1), vec![clip(1008, 50)], false);
        let mut wire = Vec::new();
        for frame in 0..600 {
            if frame == 80 {
                a.stream.send_tones(1, digits("42#"), 100, 100);
            }
            wire.extend(exchange(&mut a, &mut b));
        }
        assert_eq!(b.digits(Way::TelephoneEvent), "42#", "{suite:?}");
        let (at_a, at_b) = (a.stream.statistics(), b.stream.statistics());
        assert!(at_b.packets_received > 590 && at_a.rtcp_received > 0, "{suite:?}: {at_b:?}");
        assert_eq!((at_a.undecrypted, at_b.undecrypted, at_b.replayed), (0, 0, 0), "{suite:?}");
        let MediaEvent::Closed { heard: Some(heard), .. } = b.stream.close(b.now, &mut Wire::default()) else {
            panic!()
        };
        assert!(heard.samples.iter().filter(|sample| **sample == 1008).count() > 45 * 160, "{suite:?}");
        let loud = g711::encode(Law::A, 1008);
        assert!(wire.iter().all(|packet| packet[12..].windows(8).all(|piece| piece != [loud; 8])), "{suite:?}");
        let size = if suite == SrtpSuite::AesCm128HmacSha1_32 {
            176
        } else if at_a.codec.is_none() {
            0
        } else {
            wire[0].len()
        };
        assert_eq!(wire[0].len(), size);
    }
}

#[test]
fn what_is_not_authentic_is_never_heard_and_told_once() {
    let mut bench = Bench::idle();
    secured(&mut bench, SrtpSuite::AesCm128HmacSha1_80, (1, 2));
    bench.stream.capture(100);
    // Plain RTP in the agreed codec.
    for _ in 0..100 {
        bench.hear(&[8_000; 160]);
        bench.tick();
    }
    let statistics = bench.stream.statistics();
    assert_eq!((statistics.packets_received, statistics.undecrypted), (0, 100));
    assert_eq!(statistics.source, None, "nobody is locked");
    let told: Vec<_> = bench.notes().into_iter().filter(|note| note.starts_with("SRTP")).collect();
    let [told] = told[..] else { panic!("{told:?}") };
    assert!(told.contains("it sends plain RTP"), "{told}");
    let MediaEvent::Closed { heard: Some(heard), .. } = bench.stream.close(bench.now, &mut Wire::default()) else {
        panic!()
    };
    assert!(heard.samples.iter().all(|sample| sample.abs() < 100));

    // Another key.
    let (mut a, mut b) = (Bench::idle(), Bench::idle());
    secured(&mut a, SrtpSuite::AeadAes128Gcm, (1, 2));
    secured(&mut b, SrtpSuite::AeadAes128Gcm, (2, 3));
    (0..60).for_each(|_| _ = exchange(&mut a, &mut b));
    assert_eq!(b.stream.statistics().packets_received, 0);
    assert!(a.stream.statistics().packets_received > 0, "the other way has its key");
    assert!(b.notes().iter().any(|note| note.contains("does not use the key of its SDP")), "{:?}", b.notes());
}

#[test]
fn a_replay_is_not_heard_twice_even_from_the_peers_address() {
    let (mut a, mut b) = (Bench::idle(), Bench::idle());
    secured(&mut a, SrtpSuite::AesCm128HmacSha1_32, (1, 2));
    secured(&mut b, SrtpSuite::AesCm128HmacSha1_32, (2, 1));
    let mut wire = Vec::new();
    (0..50).for_each(|_| wire.extend(exchange(&mut a, &mut b)));
    let before = b.stream.statistics().packets_received;
    wire.iter().for_each(|packet| b.receive(packet, peer()));
    let statistics = b.stream.statistics();
    assert_eq!((statistics.packets_received, statistics.replayed), (before, 50));
}

/// A re-INVITE that changes our key alone lets nobody replay what the peer sent before.
#[test]
fn a_new_key_of_ours_forgets_no_packet_of_the_peers() {
    let suite = SrtpSuite::AeadAes128Gcm;
    let (mut a, mut b) = (Bench::idle(), Bench::idle());
    secured(&mut a, suite, (1, 2));
    secured(&mut b, suite, (2, 1));
    let mut wire = Vec::new();
    (0..50).for_each(|_| wire.extend(exchange(&mut a, &mut b)));
    let before = b.stream.statistics().packets_received;
    secured(&mut b, suite, (9, 1));
    wire.iter().for_each(|packet| b.receive(packet, peer()));
    let statistics = b.stream.statistics();
    assert_eq!((statistics.packets_received, statistics.replayed), (before, 50));
}

#[test]
fn a_new_key_takes_over_and_the_same_one_goes_on() {
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let (mut a, mut b) = (Bench::idle(), Bench::idle());
    secured(&mut a, suite, (1, 2));
    secured(&mut b, suite, (2, 1));
    (0..50).for_each(|_| _ = exchange(&mut a, &mut b));
    // A re-INVITE with the same keys (hold, resume): counters go on.
    secured(&mut a, suite, (1, 2));
    secured(&mut b, suite, (2, 1));
    (0..50).for_each(|_| _ = exchange(&mut a, &mut b));
    assert_eq!(b.stream.statistics().packets_received, 100);
    // A new key of a's. b is told of it first; what a sends meanwhile is still taken.
    secured(&mut b, suite, (2, 7));
    (0..20).for_each(|_| _ = exchange(&mut a, &mut b));
    secured(&mut a, suite, (7, 2));
    (0..50).for_each(|_| _ = exchange(&mut a, &mut b));
    let statistics = b.stream.statistics();
    assert_eq!((statistics.packets_received, statistics.undecrypted), (170, 0));
    // Two seconds later the old key is worth nothing.
    (0..100).for_each(|_| _ = exchange(&mut a, &mut b));
    secured(&mut a, suite, (1, 2));
    (0..50).for_each(|_| _ = exchange(&mut a, &mut b));
    assert_eq!(b.stream.statistics().undecrypted, 50);
}

#[test]
fn rtcp_shares_the_rtp_port_where_that_was_agreed() {
    for srtp in [false, true] {
        let (mut a, mut b) = (Bench::idle(), Bench::idle());
        for (bench, keys) in [(&mut a, (1, 2)), (&mut b, (2, 1))] {
            let suite = SrtpSuite::AeadAes256Gcm;
            bench.connect(|media| {
                media.rtcp_mux = true;
                media.srtp = srtp.then(|| SrtpKeys { send: key(suite, keys.0), receive: key(suite, keys.1) });
            });
        }
        (0..1_000).for_each(|_| _ = exchange(&mut a, &mut b));
        let statistics = b.stream.statistics();
        assert!(statistics.rtcp_received > 0 && statistics.malformed == 0, "{statistics:?}");
        assert_eq!(statistics.undecrypted, 0);
        assert!(statistics.round_trip_ms.is_some());
    }
}

#[test]
fn a_frame_over_srtp_allocates_nothing() {
    struct Nowhere;
    impl PacketSink for Nowhere {
        fn rtp(&mut self, _: SocketAddr, _: &[u8]) {}
        fn rtcp(&mut self, _: SocketAddr, _: &[u8]) {}
    }
    for ptime in [20, 30] {
        let (mut a, mut b) = (Bench::idle(), Bench::idle());
        for (bench, keys) in [(&mut a, (1, 2)), (&mut b, (2, 1))] {
            let suite = SrtpSuite::AesCm128HmacSha1_80;
            bench.connect(|media| {
                media.ptime_ms = ptime;
                media.srtp = Some(SrtpKeys { send: key(suite, keys.0), receive: key(suite, keys.1) });
            });
        }
        b.stream.detect_in_band(false);
        let packets: Vec<_> = (0..150).flat_map(|_| exchange(&mut a, &mut b)).collect();
        let mut fresh = Bench::idle();
        secured(&mut fresh, SrtpSuite::AesCm128HmacSha1_80, (2, 1));
        fresh.stream.detect_in_band(false);
        let (first, rest) = packets.split_at(20);
        first.iter().for_each(|packet| fresh.receive(packet, peer()));
        (0..5).for_each(|_| _ = fresh.tick());
        let counted = allocation_counter::measure(|| {
            for packet in rest {
                fresh.now += FRAME;
                fresh.stream.receive_rtp(packet, peer(), fresh.now);
                fresh.stream.tick(fresh.now, 1, &mut Nowhere);
            }
        });
        assert_eq!(counted.count_total, 0, "ptime {ptime}");
    }
}
