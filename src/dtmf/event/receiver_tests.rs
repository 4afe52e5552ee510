//! What the receiver makes of the packets that real senders and networks give it.

use super::*;
use crate::dtmf::EventSender;
use crate::random::Random;

#[derive(Clone, Copy, Debug)]
struct Packet {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: [u8; 4],
}

fn packet(sequence: u16, timestamp: u32, marker: bool, digit: u8, end: bool, duration: u16) -> Packet {
    let payload = EventPayload { event: digit, end, volume: 10, duration }.to_bytes();
    Packet { sequence, timestamp, marker, payload }
}

/// Feeds packets, each at its millisecond, polling in between; writes edges as `5↓` and `5↑120` (milliseconds held).
fn run(packets: &[(u64, Packet)]) -> String {
    let mut receiver = EventReceiver::new(8000);
    let mut seen = Vec::new();
    let mut report = |r: Report| {
        seen.push(match r.phase {
            Phase::Start => format!("{}↓", r.digit),
            Phase::End { duration } => format!("{}↑{}", r.digit, duration.as_millis()),
        });
    };
    let mut last = 0;
    for (at, p) in packets {
        for ms in (last..*at).step_by(20) {
            receiver.poll(Time::from_micros(ms * 1000), &mut report);
        }
        last = *at;
        let arrival =
            EventArrival { sequence: p.sequence, timestamp: p.timestamp, marker: p.marker, payload: &p.payload };
        receiver.receive(arrival, Time::from_micros(at * 1000), &mut report).unwrap();
    }
    assert_eq!(receiver.deadline().is_some(), receiver.current.is_some());
    receiver.poll(Time::from_micros((last + 1000) * 1000), &mut report);
    assert_eq!(receiver.deadline(), None);
    seen.join(" ")
}

/// A press of 80 ms: start, two updates, three ends.
fn press(sequence: u16, timestamp: u32, digit: u8) -> Vec<Packet> {
    let mut all: Vec<_> =
        (0..3).map(|i| packet(sequence.wrapping_add(i), timestamp, i == 0, digit, false, 160 * (i + 1))).collect();
    all.extend((3..6).map(|i| packet(sequence.wrapping_add(i), timestamp, false, digit, true, 640)));
    all
}

fn timed(packets: impl IntoIterator<Item = Packet>) -> Vec<(u64, Packet)> {
    packets.into_iter().enumerate().map(|(i, p)| (i as u64 * 20, p)).collect()
}

#[test]
fn a_clean_press_and_any_part_of_it() {
    let all = press(65_533, 4_294_967_000, 5);
    for kept in 1u32..64 {
        let part: Vec<_> =
            timed(all.iter().copied()).into_iter().filter(|(at, _)| kept >> (at / 20) & 1 == 1).collect();
        let seen = run(&part);
        let longest = part.iter().map(|(_, p)| u16::from_be_bytes([p.payload[2], p.payload[3]])).max().unwrap();
        assert_eq!(seen, format!("5↓ 5↑{}", longest / 8), "packets kept: {kept:06b}");
    }
}

#[test]
fn the_same_digit_twice_with_the_first_ends_and_the_second_start_lost() {
    let first = timed(press(10, 1000, 5));
    let second = press(20, 1000 + 1120, 5);
    let mut packets = first[..3].to_vec();
    packets.extend(second[1..].iter().enumerate().map(|(i, p)| (160 + i as u64 * 20, *p)));
    assert_eq!(run(&packets), "5↓ 5↑60 5↓ 5↑80");
}

#[test]
fn another_digit_ends_the_first() {
    let mut packets = timed(press(10, 1000, 5))[..2].to_vec();
    packets.extend(press(20, 2120, 6).into_iter().enumerate().map(|(i, p)| (140 + i as u64 * 20, p)));
    assert_eq!(run(&packets), "5↓ 5↑40 6↓ 6↑80");
}

#[test]
fn all_ends_lost_is_a_timeout() {
    assert_eq!(run(&timed(press(10, 1000, 5))[..3]), "5↓ 5↑60");
    // And what comes after the timeout after all is the same press.
    let mut packets = timed(press(10, 1000, 5));
    packets.iter_mut().skip(3).for_each(|p| p.0 += 400);
    assert_eq!(run(&packets), "5↓ 5↑60");
}

#[test]
fn late_packets_of_a_press_that_is_over() {
    let first = press(10, 1000, 5);
    let second = press(30, 2120, 5);
    let mut packets = timed(first.iter().chain(&second[..2]).copied());
    packets.push((170, first[5]));
    packets.push((171, first[0]));
    packets.push((172, second[2]));
    packets.push((190, second[3]));
    packets.push((191, first[1]));
    packets.push((192, second[0]));
    assert_eq!(run(&packets), "5↓ 5↑80 5↓ 5↑80");
}

#[test]
fn a_press_of_which_only_a_late_packet_came() {
    let first = press(10, 1000, 7);
    let second = press(20, 2120, 5);
    assert_eq!(run(&[(0, second[0]), (5, first[4]), (6, first[3]), (20, second[1])]), "5↓ 7↓ 7↑80 5↑40");
}

#[test]
fn a_press_longer_than_a_segment() {
    let mut sender = EventSender::new([Digit::Nine], 30_000, 100);
    let mut packets = Vec::new();
    let mut tick = 0u64;
    while !sender.is_done() {
        if let Some(p) = sender.next() {
            let (sequence, timestamp) =
                ((tick as u16).wrapping_add(60_000), p.timestamp_offset.wrapping_add(u32::MAX - 9));
            packets.push((tick * 20, Packet { sequence, timestamp, marker: p.marker, payload: p.payload }));
        }
        tick += 1;
    }
    assert_eq!(run(&packets), "9↓ 9↑30000");
    // The last 400 ms of every segment lost, and a packet of each segment again 100 ms later: still one press.
    let mut worse: Vec<_> = packets.iter().filter(|(_, p)| p.payload[2] < 0xF4).copied().collect();
    worse.extend(packets.iter().step_by(300).map(|(at, p)| (at + 100, *p)));
    worse.sort_by_key(|(at, _)| *at);
    assert_eq!(run(&worse).matches('↓').count(), 1);
}

#[test]
fn senders_that_treat_the_timestamp_wrongly() {
    // It moves with every packet, and the duration grows all the same.
    let moving = |base: u16| {
        press(base, 1000 + u32::from(base) * 160, 5).into_iter().map(move |mut p| {
            p.timestamp += u32::from(p.sequence - base) * 160;
            p
        })
    };
    assert_eq!(run(&timed(moving(10))), "5↓ 5↑80");
    let twice: Vec<_> =
        timed(moving(10)).into_iter().chain(moving(20).enumerate().map(|(i, p)| (200 + i as u64 * 20, p))).collect();
    assert_eq!(run(&twice), "5↓ 5↑80 5↓ 5↑80");
    // It moves, and each packet tells of its own 20 ms only.
    let own = (0..5u16).map(|i| packet(10 + i, 1000 + u32::from(i) * 160, i == 0, 5, i == 4, 160));
    assert_eq!(run(&timed(own)), "5↓ 5↑100");
    // It jumps in the middle of the press.
    let jump = press(10, 1000, 5).into_iter().map(|mut p| {
        p.timestamp += if p.sequence >= 12 { 0x1234_5678 } else { 0 };
        p
    });
    assert_eq!(run(&timed(jump)), "5↓ 5↑80");
    // It jumps back between two presses.
    let mut packets = timed(press(10, 1_000_000, 5));
    packets.extend(press(20, 500, 5).into_iter().enumerate().map(|(i, p)| (300 + i as u64 * 20, p)));
    assert_eq!(run(&packets), "5↓ 5↑80 5↓ 5↑80");
    // It never moves; the marker tells.
    let mut packets = timed(press(10, 0, 5));
    packets.extend(press(20, 0, 5).into_iter().enumerate().map(|(i, p)| (300 + i as u64 * 20, p)));
    assert_eq!(run(&packets), "5↓ 5↑80 5↓ 5↑80");
    // The marker is on every packet.
    let marked = press(10, 1000, 5).into_iter().map(|p| Packet { marker: true, ..p });
    assert_eq!(run(&timed(marked)), "5↓ 5↑80");
    // Only ends are sent; the first packet tells of no duration yet.
    assert_eq!(run(&timed(press(10, 1000, 5).into_iter().skip(3))), "5↓ 5↑80");
    let zero = [packet(1, 9, true, 5, false, 0), packet(2, 9, false, 5, false, 160), packet(3, 9, false, 5, true, 400)];
    assert_eq!(run(&timed(zero)), "5↓ 5↑50");
}

#[test]
fn several_events_in_a_packet() {
    let mut receiver = EventReceiver::new(8000);
    let mut seen = String::new();
    let events = [(1, true, 480), (2, true, 480), (2, false, 160)];
    let payload: Vec<u8> = events
        .iter()
        .flat_map(|e| EventPayload { event: e.0, end: e.1, volume: 0, duration: e.2 }.to_bytes())
        .collect();
    for _ in 0..2 {
        let arrival = EventArrival { sequence: 1, timestamp: 100, marker: true, payload: &payload };
        receiver
            .receive(arrival, Time::EPOCH, &mut |r| {
                seen.push_str(&format!("{}{}", r.digit, if r.phase == Phase::Start { '↓' } else { '↑' }));
            })
            .unwrap();
    }
    assert_eq!(seen, "1↓1↑2↓2↑2↓");
}

#[test]
fn other_events_are_passed_over_and_reset_releases() {
    assert_eq!(run(&[(0, packet(1, 1, true, 16, true, 800)), (20, packet(2, 1, false, 255, false, 800))]), "");
    let mut receiver = EventReceiver::new(0);
    let mut count = 0;
    let p = packet(1, 1, true, 3, false, 160);
    let arrival = EventArrival { sequence: 1, timestamp: 1, marker: true, payload: &p.payload };
    receiver.receive(arrival, Time::EPOCH, &mut |_| count += 1).unwrap();
    receiver.reset(Time::EPOCH, &mut |_| count += 1);
    receiver.receive(arrival, Time::EPOCH, &mut |_| count += 1).unwrap();
    assert_eq!(count, 3);
    assert!(receiver.receive(EventArrival { payload: &[1, 2], ..arrival }, Time::EPOCH, &mut |_| {}).is_err());
}

/// Presses over a network that loses, repeats and reorders; at least one packet of each press arrives.
#[test]
fn each_press_once_over_a_bad_network() {
    for seed in 0..3000 {
        let mut random = Random::from_number(seed);
        let mut packets = Vec::new();
        let mut expected = String::new();
        let mut tick = random.below(5);
        let mut timestamp = random.u32();
        let sequence_base = random.u32() as u16;
        let loss = random.below(60);
        for _ in 0..=random.below(8) {
            let digit = Digit::from_event_code(random.below(3) as u8).unwrap();
            expected.push(digit.as_char());
            let mut sender = EventSender::new([digit], 50 + random.below(400) as u32, 60 + random.below(200) as u32);
            let mut sent = Vec::new();
            let base = timestamp;
            while !sender.is_done() {
                if let Some(p) = sender.next() {
                    let p = Packet {
                        sequence: sequence_base.wrapping_add(tick as u16),
                        timestamp: base.wrapping_add(p.timestamp_offset),
                        marker: p.marker,
                        payload: p.payload,
                    };
                    sent.push((tick * 20 + random.below(55), p));
                    if random.below(100) < 10 {
                        sent.push((tick * 20 + random.below(55), p));
                    }
                }
                tick += 1;
                timestamp = timestamp.wrapping_add(160);
            }
            let survivor = random.below(sent.len() as u64) as usize;
            for (i, p) in sent.into_iter().enumerate() {
                if i == survivor || random.below(100) >= loss {
                    packets.push(p);
                }
            }
            if random.below(100) < 20 {
                timestamp = random.u32(); // a new clock, as after a transfer
            }
        }
        packets.sort_by_key(|(at, _)| *at);
        let seen = run(&packets);
        let pressed: String = seen.split(' ').filter_map(|e| e.strip_suffix('↓')).collect();
        assert_eq!(pressed, expected, "seed {seed}: {seen}");
        assert_eq!(seen.matches('↑').count(), expected.len(), "seed {seed}: {seen}");
    }
}

/// Starts and ends alternate for each digit, and nothing panics or grows, whatever comes.
#[test]
fn no_bytes_make_it_panic() {
    let mut random = Random::from_number(4733);
    let mut receiver = EventReceiver::new(8000);
    let mut down = 0i32;
    let mut now = Time::EPOCH;
    for _ in 0..50_000 {
        let payload: Vec<u8> = (0..random.below(14))
            .map(|_| if random.below(2) == 0 { random.below(4) as u8 } else { random.u32() as u8 })
            .collect();
        let arrival = EventArrival {
            sequence: if random.below(2) == 0 { random.below(8) as u16 } else { random.u32() as u16 },
            timestamp: if random.below(2) == 0 { random.below(2000) as u32 } else { random.u32() },
            marker: random.below(2) == 0,
            payload: &payload,
        };
        now += Duration::from_millis(random.below(60));
        let _ = receiver.receive(arrival, now, &mut |r| {
            down += if r.phase == Phase::Start { 1 } else { -1 };
        });
        assert!((0..=1).contains(&down));
        assert!(receiver.finished.len() <= MAX_FINISHED);
    }
}
