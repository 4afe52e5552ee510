//! SRTP against the RFCs' and libsrtp's vectors, against rtc-srtp's own contexts, and against what networks and
//! attackers do to packets.

use rtc_srtp::context::Context;
use rtc_srtp::crypto::default_provider;
use rtc_srtp::protection_profile::ProtectionProfile;

use super::transform::{Place, Transform};
use super::*;
use crate::random::Random;
use crate::session::{Mki, SrtpKey, SrtpSuite};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn key(suite: SrtpSuite, random: &mut Random, mki: Option<Mki>) -> SrtpKey {
    let bytes: Vec<u8> = (0..suite.material_length()).map(|_| random.u32() as u8).collect();
    SrtpKey::new(suite, &bytes, mki).unwrap()
}

fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend((0..160).map(|n| (n as u8) ^ (sequence as u8)));
    packet
}

fn report(ssrc: u32) -> Vec<u8> {
    let mut report = vec![0x80, 201, 0, 1];
    report.extend(ssrc.to_be_bytes());
    report.extend([0x81, 202, 0, 2]);
    report.extend(ssrc.to_be_bytes());
    report.extend([1, 1, b'x', 0]);
    report
}

fn sealed(outbound: &mut Outbound, plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + MAX_OVERHEAD, 0);
    let length = outbound.protect_rtp(&mut buffer, plain.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn sealed_report(outbound: &mut Outbound, plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    buffer.resize(plain.len() + MAX_OVERHEAD, 0);
    let length = outbound.protect_rtcp(&mut buffer, plain.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn opened(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    inbound.unprotect_rtp(packet, &mut [0; MAX_PACKET]).map(<[u8]>::to_vec)
}

fn opened_report(inbound: &mut Inbound, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    inbound.unprotect_rtcp(packet, &mut [0; MAX_PACKET]).map(<[u8]>::to_vec)
}

fn pair(suite: SrtpSuite, seed: u64) -> (Outbound, Inbound) {
    let key = key(suite, &mut Random::from_number(seed), None);
    (Outbound::new(&key).unwrap(), Inbound::new(&key, None).unwrap())
}

/// The packets of libsrtp's self-test, with the master keys there.
#[test]
fn libsrtps_reference_packets_come_out_byte_by_byte() {
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let report = hex("81c8000bcafebabe abababababababababababababababab");
    let cases = [
        (
            SrtpSuite::AesCm128HmacSha1_80,
            "E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6",
            "800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb",
            "81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798",
        ),
        (
            SrtpSuite::AeadAes128Gcm,
            "000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab",
            "800f1234decafbadcafebabe c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392",
            "81c8000bcafebabe c98b8b5df0392a55852b6c21ac8e7025 c52c6fbea2b3b446ea31123ba88ce61e 80000001",
        ),
    ];
    for (suite, material, rtp, rtcp) in cases {
        let key = SrtpKey::new(suite, &hex(material), None).unwrap();
        let mut outbound = Outbound::new(&key).unwrap();
        assert_eq!(sealed(&mut outbound, &plain), hex(rtp), "{suite:?}");
        // libsrtp's first SRTCP index is 1, RFC 3711's (§3.4) is 0.
        sealed_report(&mut outbound, &report);
        assert_eq!(sealed_report(&mut outbound, &report), hex(rtcp), "{suite:?}");
        let mut inbound = Inbound::new(&key, None).unwrap();
        assert_eq!(opened(&mut inbound, &hex(rtp)).unwrap(), plain);
        assert_eq!(opened_report(&mut inbound, &hex(rtcp)).unwrap(), report);
    }
}

/// RFC 7714 §16.1.1 and §16.2.1 (their keys are session keys).
#[test]
fn aes_gcm_gives_the_packets_of_rfc_7714() {
    let plain =
        hex("8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 \
         73207472 6573");
    let salt: [u8; 12] = hex("517569642070726f2071756f").try_into().unwrap();
    let place = Place { ssrc: 0x5501_A0B2, index: 0xF17B };
    for (key, sealed, tag) in [
        (
            "000102030405060708090a0b0c0d0e0f",
            "f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833",
            "899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b",
            "7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let mut transform = Transform::galois_of_session_key(&hex(key), salt).unwrap();
        let mut packet = plain.clone();
        let mut made = [0; 16];
        transform.seal_rtp(place, &mut packet, 12, &mut made).unwrap();
        assert_eq!((&packet[12..], &made[..]), (&hex(sealed)[..], &hex(tag)[..]));
        transform.open_rtp(place, &mut packet, 12, &made).unwrap();
        assert_eq!(packet, plain);
    }
}

/// An implementation that is not ours, both ways, SRTP and SRTCP, over a rollover.
#[test]
fn rtc_srtps_contexts_understand_us_and_we_them() {
    for (suite, profile) in [
        (SrtpSuite::AesCm128HmacSha1_80, ProtectionProfile::Aes128CmHmacSha1_80),
        (SrtpSuite::AesCm128HmacSha1_32, ProtectionProfile::Aes128CmHmacSha1_32),
        (SrtpSuite::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
        (SrtpSuite::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm),
    ] {
        let key = key(suite, &mut Random::from_number(3), None);
        let (master, salt) = key.material().split_at(suite.key_length());
        let provider = default_provider().unwrap();
        let theirs = || Context::new(master, salt, profile, None, None, provider.crypto()).unwrap();
        let (mut opener, mut sealer) = (theirs(), theirs());
        let (mut outbound, mut inbound) = (Outbound::new(&key).unwrap(), Inbound::new(&key, None).unwrap());
        for step in 0..300u16 {
            let plain = packet(65_400u16.wrapping_add(step), 0xCAFE);
            assert_eq!(opener.decrypt_rtp(&sealed(&mut outbound, &plain)).unwrap(), plain, "{suite:?} {step}");
            assert_eq!(opened(&mut inbound, &sealer.encrypt_rtp(&plain).unwrap()).unwrap(), plain, "{suite:?} {step}");
            let plain = report(0xCAFE);
            assert_eq!(opener.decrypt_rtcp(&sealed_report(&mut outbound, &plain)).unwrap(), plain);
            assert_eq!(opened_report(&mut inbound, &sealer.encrypt_rtcp(&plain).unwrap()).unwrap(), plain);
        }
    }
}

#[test]
fn csrcs_extensions_and_marks_are_carried() {
    let mut plain = hex("92 80 0007 00000000 0000CAFE 00000001 00000002 BEDE0001 10FF0000");
    plain.extend([7; 40]);
    for suite in SrtpSuite::ALL {
        for mki in [None, Some(Mki { value: 0x0102, length: 4 }), Some(Mki { value: 7, length: 1 })] {
            let key = key(suite, &mut Random::from_number(9), mki);
            let (mut outbound, mut inbound) = (Outbound::new(&key).unwrap(), Inbound::new(&key, None).unwrap());
            let sealed = sealed(&mut outbound, &plain);
            assert_eq!(sealed[..28], plain[..28], "headers stay readable");
            assert_ne!(sealed[28..68], plain[28..68]);
            assert_eq!(opened(&mut inbound, &sealed).unwrap(), plain);
            let sealed = sealed_report(&mut outbound, &report(5));
            assert_eq!(opened_report(&mut inbound, &sealed).unwrap(), report(5));
            if let Some(mki) = mki {
                let other = SrtpKey::new(suite, key.material(), Some(Mki { value: 9, ..mki })).unwrap();
                let mut other = Inbound::new(&other, None).unwrap();
                assert_eq!(opened_report(&mut other, &sealed), Err(SrtpError::MasterKey));
            }
        }
    }
}

#[test]
fn the_counter_rolls_over_though_packets_around_it_are_lost_or_late() {
    for suite in SrtpSuite::ALL {
        for seed in 0..20 {
            let mut random = Random::from_number(seed);
            let (mut outbound, mut inbound) = pair(suite, seed);
            let start = 65_536 - 40 - random.below(40) as u32;
            let mut wire: Vec<(Vec<u8>, Vec<u8>)> = (start..start + 200)
                .map(|n| {
                    let plain = packet(n as u16, 1);
                    (sealed(&mut outbound, &plain), plain)
                })
                .collect();
            // The first stays; a third of the others is lost, the rest is out of order by up to eight places.
            let mut sent: Vec<_> = wire.drain(1..).filter(|_| random.below(3) > 0).collect();
            for at in 0..sent.len() {
                let other = (at + random.below(8) as usize).min(sent.len() - 1);
                sent.swap(at, other);
            }
            for (sealed, plain) in wire.into_iter().chain(sent) {
                assert_eq!(opened(&mut inbound, &sealed).as_ref(), Ok(&plain), "seed {seed}");
                assert_eq!(opened(&mut inbound, &sealed), Err(SrtpError::Replayed));
            }
        }
    }
}

#[test]
fn a_source_whose_first_packets_are_lost_over_a_rollover_is_understood() {
    let (mut outbound, mut inbound) = pair(SrtpSuite::AesCm128HmacSha1_80, 1);
    for sequence in [65_534u16, 65_535] {
        sealed(&mut outbound, &packet(sequence, 1));
    }
    for sequence in 0..3 {
        let plain = packet(sequence, 1);
        assert_eq!(opened(&mut inbound, &sealed(&mut outbound, &plain)), Ok(plain));
    }
}

#[test]
fn a_new_key_may_go_on_with_the_rollovers_or_begin_anew() {
    let mut random = Random::from_number(4);
    let suite = SrtpSuite::AeadAes128Gcm;
    let (first, second) = (key(suite, &mut random, None), key(suite, &mut random, None));
    let mut before = Outbound::new(&first).unwrap();
    let mut inbound = Inbound::new(&first, None).unwrap();
    for n in (65_000..65_536 + 65_536 * 2).step_by(1_000) {
        let plain = packet(n as u16, 7);
        assert_eq!(opened(&mut inbound, &sealed(&mut before, &plain)), Ok(plain));
    }
    // Goes on: its sequence number and its count of rollovers.
    let mut after = Outbound::new(&second).unwrap();
    for n in (0..65_536 * 2 + 70).step_by(1_000) {
        sealed(&mut after, &packet(n as u16, 7));
    }
    let mut fresh = Inbound::new(&second, Some(&inbound)).unwrap();
    let plain = packet(200, 7);
    assert_eq!(opened(&mut fresh, &sealed(&mut after, &plain)), Ok(plain));
    // Begins anew.
    let mut anew = Outbound::new(&second).unwrap();
    let mut fresh = Inbound::new(&second, Some(&inbound)).unwrap();
    let plain = packet(200, 7);
    assert_eq!(opened(&mut fresh, &sealed(&mut anew, &plain)), Ok(plain));
}

#[test]
fn what_is_tampered_with_cut_or_of_another_key_is_refused_and_changes_nothing() {
    for suite in SrtpSuite::ALL {
        let (mut outbound, mut inbound) = pair(suite, 1);
        let (_, mut other) = pair(suite, 2);
        let plain = packet(5, 1);
        let good = sealed(&mut outbound, &plain);
        assert_eq!(opened(&mut other, &good), Err(SrtpError::Authentication));
        assert!(opened(&mut inbound, &plain).is_err(), "plain RTP is no SRTP");
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(opened(&mut inbound, &bad).is_err(), "{suite:?}: bit {bit} of byte {at}");
            }
            assert!(opened(&mut inbound, &good[..at]).is_err(), "{suite:?}: {at} bytes");
        }
        assert_eq!(opened(&mut inbound, &good), Ok(plain));

        let plain = report(1);
        let good = sealed_report(&mut outbound, &plain);
        assert!(opened_report(&mut other, &good).is_err());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            assert!(opened_report(&mut inbound, &bad).is_err(), "{suite:?}: byte {at}");
            assert!(opened_report(&mut inbound, &good[..at]).is_err(), "{suite:?}: {at} bytes");
        }
        assert_eq!(opened_report(&mut inbound, &good), Ok(plain));
        assert_eq!(opened_report(&mut inbound, &good), Err(SrtpError::Replayed));
    }
}

#[test]
fn sources_are_told_apart_and_forged_ones_take_no_room() {
    let suite = SrtpSuite::AesCm128HmacSha1_80;
    let key = key(suite, &mut Random::from_number(1), None);
    let mut inbound = Inbound::new(&key, None).unwrap();
    let mut sources: Vec<_> = (0..MAX_SOURCES as u32).map(|ssrc| (ssrc, Outbound::new(&key).unwrap())).collect();
    for sequence in 60_000..60_010 {
        for (ssrc, outbound) in &mut sources {
            let plain = packet(sequence, *ssrc);
            assert_eq!(opened(&mut inbound, &sealed(outbound, &plain)), Ok(plain));
        }
        for forged in 100..200 {
            assert!(opened(&mut inbound, &packet(sequence, forged)).is_err());
        }
    }
    // All of them are still known: their packets are replays.
    for (ssrc, _) in &sources {
        let mut again = Outbound::new(&key).unwrap();
        assert_eq!(opened(&mut inbound, &sealed(&mut again, &packet(60_009, *ssrc))), Err(SrtpError::Replayed));
    }
}

#[test]
fn a_sender_never_uses_a_keystream_twice() {
    let (mut outbound, _) = pair(SrtpSuite::AeadAes256Gcm, 1);
    sealed(&mut outbound, &packet(9, 1));
    let mut again = packet(9, 1);
    again.resize(250, 0);
    assert_eq!(outbound.protect_rtp(&mut again, 172), Err(SrtpError::Replayed));
    assert_eq!(outbound.protect_rtp(&mut again[..180], 172), Err(SrtpError::Replayed));
    let mut next = packet(10, 1);
    assert_eq!(outbound.protect_rtp(&mut next, 172), Err(SrtpError::Length), "no room for the tag");
    assert_eq!(outbound.protect_rtp(&mut [0x80; 11], 11), Err(SrtpError::Length));
    assert_eq!(outbound.protect_rtcp(&mut [0x40; 60], 30), Err(SrtpError::Header));
}

#[test]
fn a_packet_costs_no_allocation() {
    for suite in SrtpSuite::ALL {
        let (mut outbound, mut inbound) = pair(suite, 1);
        let mut plain = [0; MAX_PACKET];
        let counted = allocation_counter::measure(|| {
            let mut buffer = [0; 172 + MAX_OVERHEAD];
            buffer[0] = 0x80;
            for sequence in 0..100u16 {
                buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
                let length = outbound.protect_rtp(&mut buffer, 172).unwrap();
                assert!(inbound.unprotect_rtp(&buffer[..length], &mut plain).is_ok());
                let length = outbound.protect_rtcp(&mut buffer, 100).unwrap();
                assert!(inbound.unprotect_rtcp(&buffer[..length], &mut plain).is_ok());
                assert!(inbound.unprotect_rtp(&buffer[..120], &mut plain).is_err());
            }
        });
        assert_eq!(counted.count_total, 0, "{suite:?}");
    }
}
