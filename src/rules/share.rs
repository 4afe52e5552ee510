//! The stable hash that takes a share of the calls.
//!
//! FNV-1a over the bytes of the text in 64 bits, finished by the mixer of SplitMix64 (FNV alone spreads its last byte
//! badly), modulo 10,000. A share of `n` per cent holds the buckets below `n × 100`. Fixed for ever: another process,
//! host or version chooses the same calls.

/// How many buckets there are: a bucket is a hundredth of a per cent.
pub const BUCKETS: u64 = 10_000;

/// The bucket of a text, `0..BUCKETS`.
pub fn bucket(text: &str) -> u64 {
    let fnv = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fixed() {
        // Worked out apart from this code, in Python.
        for (text, wanted) in [("", 6203), ("a84b4c76e66710@pc33.atlanta.com", 7737), ("+442079460000", 4495)] {
            assert_eq!(bucket(text), wanted, "{text}");
        }
    }

    #[test]
    fn shares_are_what_they_say() {
        for share in [100, 1_000, 5_000, 9_900] {
            let taken = (0..100_000).filter(|n| bucket(&format!("{n}-call@10.0.0.1")) < share).count() as i64;
            let wanted = share as i64 * 10;
            // Four standard deviations of a fair choice.
            let p = share as f64 / 10_000.0;
            let slack = (4.0 * (100_000.0 * p * (1.0 - p)).sqrt()) as i64;
            assert!((taken - wanted).abs() <= slack, "{share}: {taken}");
        }
    }
}
