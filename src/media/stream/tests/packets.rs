//! Packets of the length that the peer asked for.

use super::*;

/// All packets of so many ticks.
fn sent(bench: &mut Bench, ticks: usize) -> Vec<Sent> {
    let mut wire = Wire::default();
    for _ in 0..ticks {
        bench.now += FRAME;
        bench.stream.tick(bench.now, 1, &mut wire);
        bench.events.extend(std::iter::from_fn(|| bench.stream.poll_event()));
    }
    let parse = |(to, bytes): (SocketAddr, Vec<u8>)| {
        let packet = Packet::parse(&bytes).unwrap();
        Sent { to, header: packet.header, payload: packet.payload.to_vec() }
    };
    wire.rtp.into_iter().map(parse).collect()
}

fn ramp() -> Arc<Clip> {
    Arc::new(Clip::new((0..12 * 160).map(|n| (n * 17 % 8_000) as i16).collect::<Vec<_>>()))
}

#[test]
fn packets_have_the_peers_length_and_the_same_audio() {
    // Codec, its bytes and clock units in 10 ms; ptime, and the packet's length in pieces of 10 ms.
    for (codec, piece, units) in [(Codec::Pcma, 80, 80u32), (Codec::G722, 80, 80), (Codec::L16, 320, 160)] {
        let mut audio: Option<Vec<u8>> = None;
        for (ptime, pieces) in [(20, 2), (10, 1), (30, 3), (40, 4), (50, 5), (60, 6), (200, 6), (15, 1)] {
            let pieces = if codec == Codec::L16 { pieces.min(4) } else { pieces };
            let mut bench = Bench::idle();
            bench.connect(|media| (media.codec, media.ptime_ms) = (codec, ptime));
            bench.stream.play(PlayId(1), vec![ramp()], false);
            let packets = sent(&mut bench, 60);
            assert_eq!(packets.len(), 120 / pieces, "{codec:?} {ptime}");
            assert!(packets[0].header.marker && packets[1..].iter().all(|packet| !packet.header.marker));
            assert!(packets.iter().all(|packet| packet.payload.len() == pieces * piece), "{codec:?} {ptime}");
            for pair in packets.windows(2) {
                assert_eq!(pair[1].header.sequence, pair[0].header.sequence.wrapping_add(1));
                let step = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
                assert_eq!(step, pieces as u32 * units, "{codec:?} {ptime}");
            }
            let bytes = packets.iter().flat_map(|packet| packet.payload.clone()).collect::<Vec<_>>();
            assert_eq!(&bytes, audio.get_or_insert(bytes.clone()), "{codec:?} {ptime}: the same audio");
        }
    }
}

#[test]
fn a_key_cuts_a_packet_short_and_its_time_is_kept() {
    let mut bench = Bench::idle();
    bench.connect(|media| media.ptime_ms = 60);
    let mut packets = sent(&mut bench, 4);
    bench.stream.send_tones(1, digits("5"), 100, 60);
    packets.extend(sent(&mut bench, 30));
    let event = packets.iter().position(|packet| packet.header.payload_type == 97).unwrap();
    let start = packets[event].header.timestamp;
    assert_eq!(packets[event - 1].payload.len(), 160, "the fourth frame alone");
    assert_eq!(start.wrapping_sub(packets[event - 1].header.timestamp), 160);
    let after = packets.iter().skip(event).find(|packet| packet.header.payload_type == 8).unwrap();
    assert!(after.header.marker);
    assert!(packets.windows(2).all(|pair| pair[1].header.sequence == pair[0].header.sequence.wrapping_add(1)));
}

#[test]
fn a_late_frame_is_no_part_of_the_packet_before_it() {
    let mut bench = Bench::idle();
    bench.connect(|media| media.ptime_ms = 40);
    sent(&mut bench, 3);
    bench.now += FRAME * 10;
    let mut wire = Wire::default();
    bench.stream.tick(bench.now, 10, &mut wire);
    let [(_, only)] = &wire.rtp[..] else { panic!("{:?}", wire.rtp.len()) };
    let before = Packet::parse(only).unwrap();
    assert_eq!(before.payload.len(), 160);
    let next = sent(&mut bench, 1);
    assert_eq!(next[0].header.timestamp.wrapping_sub(before.header.timestamp), 160 * 10);
    assert_eq!(next[0].payload.len(), 320);
}
