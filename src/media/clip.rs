//! A decoded prompt: mono, at the best rate that its file has, shared by all legs that play it and encoded once for
//! each codec. Decoding files is `prompt`'s work; walking through clips is [`super::player`]'s.
//!
//! Encoding takes time (a minute of audio: about 1 ms in G.711 at 8 kHz, half a second in Opus), so it is never done on
//! a media thread: [`Clip::encoded`] is for whoever hands a clip to one, [`Clip::ready`] for the media thread itself.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::codec::{Encoder, MAX_FRAME_BYTES};
use super::resample::Resampler;
use crate::session::Codec;

/// The unit in which clips are measured, in Hz: the sample rate of the telephone, whatever the clip's own.
pub const CLIP_RATE: u32 = 8000;

/// The rates in Hz that clips are kept in: those that Opus takes.
pub const CLIP_RATES: [u32; 4] = [8_000, 16_000, 24_000, 48_000];

/// Audio to play. Cheap to share (`Arc<Clip>`); its size is bounded by whoever decodes it. Besides its samples it comes
/// to hold, for each second of audio and codec in use: 8 kB (G.711, G.722), 32 kB (L16), about 4 kB (Opus).
pub struct Clip {
    samples: Arc<[i16]>,
    rate: u32,
    /// In the order of [`Codec::ALL`].
    encoded: [OnceLock<Encoded>; Codec::ALL.len()],
}

/// A clip in one codec: the payloads of its frames of 20 ms, one after the other.
#[derive(Clone)]
pub struct Encoded {
    bytes: Arc<[u8]>,
    /// Where each packet ends; empty where a second has equally many bytes throughout.
    ends: Arc<[u32]>,
}

impl Encoded {
    /// The payload of frame `index`, where frames differ in length (Opus).
    pub fn packet(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        self.bytes.get(start..end)
    }
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Clip {
    /// From samples at [`CLIP_RATE`].
    pub fn new(samples: impl Into<Arc<[i16]>>) -> Self {
        Clip::at_rate(samples, CLIP_RATE)
    }

    /// From samples at `rate` Hz: one of [`CLIP_RATES`]. Another one is taken for the next above, and plays too fast.
    pub fn at_rate(samples: impl Into<Arc<[i16]>>, rate: u32) -> Self {
        let rate = CLIP_RATES.into_iter().find(|known| rate <= *known).unwrap_or(48_000);
        Clip { samples: samples.into(), rate, encoded: Default::default() }
    }

    /// The samples, at [`rate_hz`](Self::rate_hz).
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Length in samples at [`CLIP_RATE`], whatever its own rate.
    pub fn units(&self) -> usize {
        (self.samples.len() as u64 * u64::from(CLIP_RATE)).div_ceil(u64::from(self.rate)) as usize
    }

    /// Is there nothing to hear?
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Sample rate in Hz.
    pub fn rate_hz(&self) -> u32 {
        self.rate
    }

    /// The clip in `codec`, encoded on first use and kept; whoever asks meanwhile waits. Not for media threads.
    pub fn encoded(&self, codec: Codec) -> &Encoded {
        // Codec::ALL names every codec, in the order of their discriminants.
        self.encoded.get(codec as usize).unwrap_or(&self.encoded[0]).get_or_init(|| self.encode(codec))
    }

    /// The clip in `codec`, if it has been encoded. Never waits.
    pub fn ready(&self, codec: Codec) -> Option<&Encoded> {
        self.encoded.get(codec as usize)?.get()
    }

    fn encode(&self, codec: Codec) -> Encoded {
        let mut encoder = Encoder::for_clip(codec, self.rate);
        let samples = self.resampled(encoder.sample_rate());
        let frame = encoder.frame_samples();
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        let mut padded = vec![0; frame];
        let mut out = [0; MAX_FRAME_BYTES];
        for piece in samples.chunks(frame) {
            padded.fill(0);
            padded.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
            // It takes frames of this length, into a buffer that holds every frame.
            let length = encoder.encode(&padded, &mut out).unwrap_or(0);
            bytes.extend_from_slice(out.get(..length).unwrap_or_default());
            ends.push(bytes.len() as u32);
        }
        if let Some(unit) = unit_bytes(codec) {
            bytes.truncate(self.units() * unit);
            ends.clear();
        }
        Encoded { bytes: bytes.into(), ends: ends.into() }
    }

    fn resampled(&self, rate: u32) -> Cow<'_, [i16]> {
        if rate == self.rate {
            return Cow::Borrowed(&self.samples);
        }
        let done = Resampler::new(self.rate, rate).and_then(|mut resampler| {
            resampler.push_pcm(&self.samples)?;
            resampler.finish()
        });
        // All these rates are whole fractions of each other: the resampler takes them.
        Cow::Owned(done.unwrap_or_default())
    }

    /// How long it plays.
    pub fn duration(&self) -> Duration {
        Duration::from_micros(self.samples.len() as u64 * 1_000_000 / u64::from(self.rate))
    }
}

/// Bytes of one unit (1/8000 s) in codecs that can be cut anywhere; none: only between packets.
pub(super) fn unit_bytes(codec: Codec) -> Option<usize> {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => Some(1),
        Codec::L16 => Some(4),
        Codec::Opus => None,
    }
}

impl std::fmt::Debug for Clip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clip({:?} at {} Hz)", self.duration(), self.rate)
    }
}
