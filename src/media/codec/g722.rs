//! G.722 at 64 kbit/s (ITU-T G.722 mode 1): 16 kHz audio, one byte for two samples, by the crate `audio-codec`. Its
//! decoder agrees with ffmpeg's bit by bit but for the first quarter of a second, where it is off by at most 16 of
//! 32,768 (it begins with another step); `ezk-g722` does exactly the same, allocates for each frame, and brings a media
//! framework along.

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};

/// A decoder with its state: about 400 bytes.
pub struct Decoder(Box<G722Decoder>);

impl Decoder {
    pub(super) fn new() -> Self {
        Decoder(Box::new(G722Decoder::new()))
    }

    /// Fills `out`, which holds two samples for each byte.
    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) {
        // It fails only where `out` is too short.
        let _ = self.0.decode_into(payload, out);
    }
}

/// An encoder with its state: about 400 bytes.
pub struct Encoder(Box<G722Encoder>);

impl Encoder {
    pub(super) fn new() -> Self {
        Encoder(Box::new(G722Encoder::new()))
    }

    /// Fills `out`, which holds a byte for two samples.
    pub(super) fn encode(&mut self, samples: &[i16], out: &mut [u8]) {
        let _ = self.0.encode_into(samples, out);
    }
}
