//! Packet heads by the RFC's tables, and loss: recovered, concealed, and the difference it makes.

use super::*;

#[test]
fn a_packets_first_byte_tells_its_duration() {
    // RFC 6716 table 2: configuration, samples of a frame at 48 kHz.
    for (config, samples) in [
        (0, 480),
        (1, 960),
        (2, 1_920),
        (3, 2_880),
        (4, 480),
        (9, 960),
        (11, 2_880),
        (12, 480),
        (13, 960),
        (14, 480),
        (15, 960),
        (16, 120),
        (17, 240),
        (18, 480),
        (19, 960),
        (28, 120),
        (31, 960),
    ] {
        let toc = config << 3;
        assert_eq!(duration(&[toc, 0, 0]), Some(samples), "configuration {config}");
        assert_eq!(duration(&[toc]), Some(samples), "a pause");
        assert_eq!(duration(&[toc | 1, 0, 0]), Some(samples * 2));
        assert_eq!(duration(&[toc | 1, 0]), None, "two frames of half a byte");
        let three = (samples * 3 <= 5_760).then_some(samples * 3);
        assert_eq!(duration(&[toc | 3, 3, 0]), three);
        assert_eq!(duration(&[toc | 3, 0, 0]), None, "no frame");
    }
    assert_eq!(duration(&[(16 << 3) | 3, 48]), Some(5_760));
    assert_eq!(duration(&[(16 << 3) | 3, 49]), None);
    assert_eq!(duration(&[]), None);
}

#[test]
fn only_silk_carries_the_packet_before() {
    assert!(carries_the_one_before(&[0x48, 0b0100_0000]));
    assert!(carries_the_one_before(&[0x78, 0b1100_0000]));
    assert!(!carries_the_one_before(&[0x48, 0b1000_0000]));
    assert!(!carries_the_one_before(&[0xF8, 0b0100_0000]), "CELT");
    assert!(carries_the_one_before(&[0x58, 0b0001_0000]), "the fourth flag of 60 ms");
    assert!(carries_the_one_before(&[0x4A, 1, 0b0100_0000, 9]), "the first of two frames");
    assert!(!carries_the_one_before(&[0x4A, 0, 0b0100_0000]), "an empty first frame");
    assert!(!carries_the_one_before(&[0x4A, 200, 1]));
    assert!(!carries_the_one_before(&[0x4B, 0x41, 255]));
    for first in 0..=255u8 {
        for second in [0, 1, 63, 127, 128, 255] {
            for rest in 0..4 {
                carries_the_one_before(&[&[first, second][..], &vec![255; rest]].concat());
            }
        }
    }
}
