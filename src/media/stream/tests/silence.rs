//! Discontinuous transmission: what a peer gets that wants no silence.

use super::*;

#[test]
fn a_peer_that_wants_no_silence_gets_a_packet_in_400_ms_and_speech_at_once() {
    let mut bench = Bench::new();
    bench.connect(|media| {
        (media.codec, media.send_payload_type, media.send_dtx) = (Codec::Opus, 111, true);
        media.receive_payload_types = vec![(111, Codec::Opus)];
    });
    let began = bench.ticks(100);
    // Ten frames, then frames 20, 40, 60, 80 and 100.
    assert_eq!(began.len(), 15);
    assert!(began.windows(2).all(|pair| pair[1].header.sequence == pair[0].header.sequence.wrapping_add(1)));
    let [.., before, last] = &began[..] else { panic!() };
    assert_eq!(last.header.timestamp.wrapping_sub(before.header.timestamp), 20 * 960);
    assert!(last.header.marker);
    bench.ticks(7);
    bench.stream.play(PlayId(1), vec![clip(504, 5)], false);
    let spoken = bench.ticks(5);
    assert_eq!(spoken.len(), 5);
    assert_eq!(spoken[0].header.timestamp.wrapping_sub(last.header.timestamp), 8 * 960);
    assert!(spoken[0].header.marker && !spoken[1].header.marker);
}
