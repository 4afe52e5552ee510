//! Randomness as a value: a seeded, cryptographically strong generator that pure rooms are given.
//! The engine seeds it from the operating system, a test from a number it prints.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// A deterministic stream of random values. The same seed gives the same call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Random(ChaCha12Rng);

impl Random {
    /// From 256 bits of entropy; what comes out is as unguessable as the seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Random(ChaCha12Rng::from_seed(seed))
    }

    /// From a small number: for tests and simulations.
    pub fn from_number(seed: u64) -> Self {
        Random(ChaCha12Rng::seed_from_u64(seed))
    }

    /// A generator of its own for a part, so that parts do not disturb each other's sequence.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        Random::from_seed(seed)
    }

    /// Any 32-bit value (SSRC, RTP timestamp offset).
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Any 64-bit value.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Random bytes (keys).
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// A value in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.0.next_u64() % bound }
    }

    /// `bytes` random bytes in lower-case hexadecimal (tags, branches, Call-IDs: 8 bytes and more are unguessable).
    pub fn token(&mut self, bytes: usize) -> String {
        let mut raw = vec![0; bytes];
        self.0.fill_bytes(&mut raw);
        raw.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// A version 4 UUID.
    pub fn uuid(&mut self) -> uuid::Uuid {
        let mut raw = [0; 16];
        self.0.fill_bytes(&mut raw);
        uuid::Builder::from_random_bytes(raw).into_uuid()
    }
}
