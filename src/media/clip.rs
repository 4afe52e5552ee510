//! A decoded prompt: mono, 8 kHz, shared by all legs that play it and encoded once per codec.
//! Decoding and resampling files is `prompt`'s work; walking through clips is [`super::player`]'s.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::codec::g711::{self, Law};
use crate::session::Codec;

/// Sample rate of every clip in Hz.
pub const CLIP_RATE: u32 = 8000;

/// Audio to play. Cheap to share (`Arc<Clip>`); its size is bounded by whoever decodes it.
pub struct Clip {
    samples: Arc<[i16]>,
    pcmu: OnceLock<Arc<[u8]>>,
    pcma: OnceLock<Arc<[u8]>>,
}

impl Clip {
    /// From samples at [`CLIP_RATE`].
    pub fn new(samples: impl Into<Arc<[i16]>>) -> Self {
        Clip { samples: samples.into(), pcmu: OnceLock::new(), pcma: OnceLock::new() }
    }

    /// The samples, at [`CLIP_RATE`].
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Length in samples (equal to the length in bytes of either encoding).
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Is there nothing to hear?
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Sample rate in Hz.
    pub fn rate_hz(&self) -> u32 {
        CLIP_RATE
    }

    /// The clip in `codec`, encoded on first use (about 1 ms a minute of audio) and kept.
    pub fn encoded(&self, codec: Codec) -> &Arc<[u8]> {
        let law = Law::of(codec).unwrap_or(Law::Mu);
        let cell = match law {
            Law::Mu => &self.pcmu,
            Law::A => &self.pcma,
        };
        cell.get_or_init(|| self.samples.iter().map(|&sample| g711::encode(law, sample)).collect())
    }

    /// How long it plays.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(self.samples.len() as u64 * 1_000_000 / u64::from(CLIP_RATE))
    }
}

impl std::fmt::Debug for Clip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clip({:?})", self.duration())
    }
}
