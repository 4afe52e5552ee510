//! The ratings of both directions, and what a stream says of audio that does not come as it should.

use super::*;
use crate::rtp::emodel::Rating;

/// `count` frames of the peer's audio, of which every `lose`-th group of `run` is lost.
fn talk(bench: &mut Bench, count: usize, lose: usize, run: usize) {
    for n in 0..count {
        let bytes = bench.next_audio(&[1_000; 160]);
        if lose == 0 || n / run % lose != lose - 1 {
            bench.receive(&bytes, peer());
        }
        bench.tick();
    }
}

/// The peer reports on our stream by RTCP.
fn report(bench: &mut Bench, highest_sequence: u32, cumulative_lost: i32) {
    let ssrc = bench.stream.ssrc;
    let block = ReportBlock { ssrc, cumulative_lost, highest_sequence, jitter: 80, ..ReportBlock::default() };
    let what = Written { ssrc: 77, sender: None, report: Some(block), cname: b"peer", goodbye: false };
    let mut out = [0; MAX_WRITTEN];
    let length = rtcp::write(&what, &mut out);
    bench.stream.receive_rtcp(&out[..length], "192.0.2.10:4001".parse().unwrap(), bench.now);
}

fn heard(lose: usize, run: usize) -> Rating {
    let mut bench = Bench::new();
    talk(&mut bench, 1_000, lose, run);
    bench.stream.statistics().heard.unwrap()
}

#[test]
fn what_is_heard_is_rated_by_loss_and_by_how_it_is_bunched() {
    let clean = heard(0, 1);
    assert!(clean.mos > 4.2 && clean.r > 85.0, "{clean:?}");
    let (single, bunched) = (heard(20, 1), heard(20, 4));
    assert!(single.r < clean.r - 10.0, "{single:?}");
    assert!(bunched.r < single.r - 1.0, "{bunched:?} {single:?}");
    assert_eq!(Bench::new().stream.statistics().heard, None, "nothing was heard");
}

#[test]
fn what_is_sent_is_rated_by_the_peers_reports() {
    let mut bench = Bench::new();
    bench.ticks(1_000);
    assert_eq!(bench.stream.statistics().sent, None);
    report(&mut bench, 1_000, 0);
    let clean = bench.stream.statistics().sent.unwrap();
    assert!(clean.mos > 4.3, "{clean:?}");
    report(&mut bench, 1_000, 100);
    assert!(bench.stream.statistics().sent.unwrap().mos < 3.5);
    assert_eq!(bench.stream.statistics().remote_jitter_ms, Some(10.0));
}

#[test]
fn one_way_audio_is_named_in_either_direction() {
    let mut bench = Bench::new();
    bench.ticks(400);
    let found: Vec<_> = bench.notes().into_iter().filter(|note| note.starts_with("one-way audio")).collect();
    assert!(matches!(found[..], [text] if text.contains("250 packets have gone to 192.0.2.10:4000")), "{found:?}");

    let mut bench = Bench::new();
    for round in 0..4 {
        talk(&mut bench, 300, 0, 1);
        report(&mut bench, 300, 0);
        bench.tick();
        let told = bench.notes().iter().any(|note| note.contains("none of our last"));
        assert_eq!(told, round > 0, "round {round}: {:?}", bench.notes());
    }
}

#[test]
fn silent_audio_and_payloads_that_were_not_agreed_are_named() {
    let mut bench = Bench::new();
    for _ in 0..600 {
        bench.hear(&[0; 160]);
        bench.tick();
    }
    assert!(bench.notes().iter().any(|note| note.starts_with("silent audio")), "{:?}", bench.notes());
    let bytes = bench.packet(18, &[1; 20]);
    bench.receive(&bytes, peer());
    bench.tick();
    assert!(bench.notes().iter().any(|note| note.contains("G.729 (payload type 18)")), "{:?}", bench.notes());
}

#[test]
fn a_payload_that_cannot_be_decoded_is_told_once_and_counted() {
    let mut bench = Bench::new();
    talk(&mut bench, 20, 0, 1);
    for _ in 0..3 {
        // Longer than any packet may last.
        let bytes = bench.packet(8, &[0x55; 2_000]);
        bench.receive(&bytes, peer());
        bench.sequence = bench.sequence.wrapping_add(1);
        bench.timestamp = bench.timestamp.wrapping_add(160);
        bench.tick();
        talk(&mut bench, 20, 0, 1);
    }
    // Until what follows is a pause, and no hole.
    bench.ticks(40);
    let statistics = bench.stream.statistics();
    assert_eq!((statistics.undecodable, statistics.packets_lost, statistics.holes), (3, 0, 3));
    let told = bench.notes().into_iter().filter(|note| *note == "a payload of 2000 bytes is not valid PCMA").count();
    assert_eq!(told, 1, "{:?}", bench.notes());
}

#[test]
fn comfort_noise_that_was_not_agreed_is_not_loss() {
    let mut bench = Bench::new();
    talk(&mut bench, 20, 0, 1);
    for _ in 0..10 {
        let bytes = bench.packet(13, &[60]);
        bench.receive(&bytes, peer());
        bench.sequence = bench.sequence.wrapping_add(1);
        for _ in 0..10 {
            bench.timestamp = bench.timestamp.wrapping_add(160);
            bench.tick();
        }
    }
    talk(&mut bench, 20, 0, 1);
    bench.ticks(10);
    let statistics = bench.stream.statistics();
    assert_eq!((statistics.packets_lost, statistics.unknown_payload), (0, 10));
}

#[test]
fn audio_that_stops_is_told_and_comfort_noise_counts_as_heard() {
    let stopped = |bench: &Bench| bench.notes().iter().filter(|note| note.contains("packets came before")).count();
    let mut bench = Bench::new();
    for _ in 0..3 {
        let bytes = bench.packet(13, &[60]);
        bench.receive(&bytes, peer());
        bench.ticks(200);
    }
    assert!(!bench.notes().iter().any(|note| note.starts_with("one-way")), "{:?}", bench.notes());
    let mut bench = Bench::new();
    talk(&mut bench, 100, 0, 1);
    for _ in 0..10 {
        let bytes = bench.packet(13, &[60]);
        bench.receive(&bytes, peer());
        bench.sequence = bench.sequence.wrapping_add(1);
        bench.ticks(200);
    }
    assert_eq!(stopped(&bench), 0, "{:?}", bench.notes());
    bench.ticks(1_000);
    assert_eq!(stopped(&bench), 1, "{:?}", bench.notes());
    assert!(bench.notes().iter().any(|note| note.contains("for 5 s; 110 packets came before")), "{:?}", bench.notes());

    bench.connect(|media| media.direction = Direction::SendOnly);
    bench.ticks(1_000);
    assert_eq!(stopped(&bench), 1, "a hold is agreed silence");
    bench.connect(|_| {});
    bench.ticks(1_000);
    let anew = bench.notes().iter().filter(|note| note.contains("nothing has come from the peer in 5 s")).count();
    assert_eq!((stopped(&bench), anew), (1, 1), "{:?}", bench.notes());
}

#[test]
fn a_freeze_of_ours_is_not_the_peers_silence() {
    let mut bench = Bench::new();
    talk(&mut bench, 100, 0, 1);
    bench.late_tick(400);
    talk(&mut bench, 100, 0, 1);
    assert!(!bench.notes().iter().any(|note| note.starts_with("one-way")), "{:?}", bench.notes());
}

#[test]
fn neither_unagreed_payloads_nor_strangers_take_the_place_of_what_matters() {
    let stranger: SocketAddr = "198.51.100.1:9".parse().unwrap();
    let mut bench = Bench::new();
    talk(&mut bench, 50, 0, 1);
    for n in 0..100 {
        let noise = bench.packet(13, &[60]);
        bench.receive(&noise, peer());
        bench.sequence = bench.sequence.wrapping_add(1);
        let junk = bench.packet(if n % 2 == 0 { 18 } else { 8 }, &[1; 20]);
        bench.receive(&junk, stranger);
        bench.ticks(100);
    }
    let told = |bench: &Bench, what: &str| bench.notes().iter().filter(|note| note.contains(what)).count();
    assert_eq!(told(&bench, "comfort noise"), 1, "{:?}", bench.notes());
    assert_eq!(told(&bench, "198.51.100.1"), 8, "{:?}", bench.notes());
    assert_eq!(told(&bench, "from stranger 198.51.100.1:9"), 8, "{:?}", bench.notes());
    bench.ssrc = 78;
    talk(&mut bench, 10, 0, 1);
    bench.ticks(300);
    assert_eq!(told(&bench, "began anew"), 1, "{:?}", bench.notes());
    assert_eq!(told(&bench, "one-way audio"), 1, "{:?}", bench.notes());
}

#[test]
fn a_strangers_payload_type_is_not_the_peers() {
    let cause = |from: &str| {
        let mut bench = Bench::new();
        for _ in 0..300 {
            let junk = bench.packet(18, &[1; 20]);
            bench.receive(&junk, from.parse().unwrap());
            bench.tick();
        }
        let found: Vec<_> = bench.notes().into_iter().filter(|note| note.starts_with("one-way")).collect();
        let [text] = found[..] else { panic!("{found:?}") };
        text.to_owned()
    };
    let peers = cause("192.0.2.10:4444");
    assert!(peers.contains("all it sends has payload type 18"), "{peers}");
    let strangers = cause("198.51.100.1:9");
    assert!(strangers.contains("from a stranger") && strangers.contains("payload type 18"), "{strangers}");
}
