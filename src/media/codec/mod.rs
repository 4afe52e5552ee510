//! Audio codecs: payloads to samples and back, one frame or packet at a time. Which codec a leg speaks is `sip::sdp`'s
//! choice; when a packet is decoded, and what fills a hole, is hearing's; pacing and RTP headers are `stream`'s.
//!
//! All is mono, 16-bit, at the codec's [`Codec::sample_rate`]. Nothing allocates after `new`. What was measured of the
//! crates, and why these: [`opus`], [`g722`]. G.711 by table is 55 ns a frame, G.722 6–10 µs, Opus 30–70 µs to decode.

pub mod g711;
pub mod g722;
mod l16;
pub mod live;
pub mod opus;
#[cfg(test)]
mod tests;

use self::g711::Law;
use crate::session::Codec;

/// Most samples that one packet decodes to: 120 ms (the most of Opus) at 16 kHz. A buffer of this length fits them all.
pub const MAX_PACKET_SAMPLES: usize = 1_920;

/// Most bytes of a frame of 20 ms, in any codec.
pub const MAX_FRAME_BYTES: usize = 640;

/// Why a payload could not be decoded, or a frame not encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The payload is not of this codec, or damaged.
    #[error("the payload is not valid {0}")]
    Malformed(&'static str),
    /// The buffer given is too small for what comes out.
    #[error("{0} does not fit into the buffer")]
    TooLong(&'static str),
    /// The frame is not one that the codec takes.
    #[error("{0} takes frames of 20 ms")]
    FrameLength(&'static str),
}

/// Decodes one received codec; its state is that of one source, so packets go in in order.
pub enum Decoder {
    /// PCMU, PCMA: without a state.
    G711(Law),
    /// L16: without a state.
    L16,
    /// G.722.
    G722(g722::Decoder),
    /// Opus.
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder for a source that has just begun. Nothing for G.711 and L16; G.722 takes 400 bytes, Opus 175 kB.
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Decoder::G711(Law::Mu),
            Codec::Pcma => Decoder::G711(Law::A),
            Codec::L16 => Decoder::L16,
            Codec::G722 => Decoder::G722(g722::Decoder::new()),
            Codec::Opus => Decoder::Opus(opus::Decoder::new()),
        }
    }

    /// What it decodes.
    pub fn codec(&self) -> Codec {
        match self {
            Decoder::G711(Law::Mu) => Codec::Pcmu,
            Decoder::G711(Law::A) => Codec::Pcma,
            Decoder::L16 => Codec::L16,
            Decoder::G722(_) => Codec::G722,
            Decoder::Opus(_) => Codec::Opus,
        }
    }

    /// Rate in Hz of what comes out.
    pub fn sample_rate(&self) -> u32 {
        self.codec().sample_rate()
    }

    /// How many samples `payload` decodes to; none: it is empty, damaged, or longer than [`MAX_PACKET_SAMPLES`].
    pub fn duration(&self, payload: &[u8]) -> Option<u32> {
        let samples = match self {
            Decoder::G711(_) => payload.len(),
            Decoder::L16 => l16::duration(payload)?,
            Decoder::G722(_) => payload.len().saturating_mul(2),
            Decoder::Opus(_) => opus::Decoder::samples(payload)?,
        };
        (1..=MAX_PACKET_SAMPLES).contains(&samples).then_some(samples as u32)
    }

    /// Decodes the next packet into the start of `out`; gives the number of samples.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Result<usize, CodecError> {
        let name = self.codec().encoding_name();
        let length = self.duration(payload).ok_or(CodecError::Malformed(name))? as usize;
        let out = out.get_mut(..length).ok_or(CodecError::TooLong(name))?;
        match self {
            Decoder::G711(law) => {
                g711::decode_into(*law, payload, out);
            }
            Decoder::L16 => l16::decode(payload, out),
            Decoder::G722(decoder) => decoder.decode(payload, out),
            Decoder::Opus(decoder) => {
                if !decoder.decode(payload, out) {
                    return Err(CodecError::Malformed(name));
                }
            }
        }
        Ok(length)
    }

    /// Recovers a lost packet from what `next`, the packet after it, carries of it (Opus' in-band FEC), into all of
    /// `out`, whose length is the lost packet's. None: `next` carries nothing of it, and the state is as before.
    /// Called before `decode(next)`.
    pub fn recover(&mut self, next: &[u8], out: &mut [i16]) -> Option<usize> {
        match self {
            Decoder::Opus(decoder) => decoder.recover(next, out).then_some(out.len()),
            Decoder::G711(_) | Decoder::L16 | Decoder::G722(_) => None,
        }
    }

    /// Does `payload` carry the packet before it (Opus' in-band FEC)?
    pub fn carries_the_one_before(&self, payload: &[u8]) -> bool {
        matches!(self, Decoder::Opus(_)) && opus::carries_the_one_before(payload)
    }

    /// Fills `out` with the codec's own concealment of a lost packet of that length, and moves its state on.
    /// False: it has none (or none for this length: Opus wants multiples of 2.5 ms), and the caller conceals.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        match self {
            Decoder::Opus(decoder) => decoder.conceal(out),
            Decoder::G711(_) | Decoder::L16 | Decoder::G722(_) => false,
        }
    }
}

/// Encodes one leg's audio, a frame of 20 ms at a time.
pub enum Encoder {
    /// PCMU, PCMA: without a state.
    G711(Law),
    /// L16: without a state.
    L16,
    /// G.722.
    G722(g722::Encoder),
    /// Opus.
    Opus(opus::Encoder),
}

impl Encoder {
    /// For live audio at the codec's sample rate.
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Encoder::G711(Law::Mu),
            Codec::Pcma => Encoder::G711(Law::A),
            Codec::L16 => Encoder::L16,
            Codec::G722 => Encoder::G722(g722::Encoder::new()),
            Codec::Opus => Encoder::Opus(opus::Encoder::live()),
        }
    }

    /// For a prompt at `rate` Hz, ahead of time and with more care; at the codec's sample rate where it takes no other.
    pub fn for_clip(codec: Codec, rate: u32) -> Self {
        match codec {
            Codec::Opus => opus::Encoder::clip(rate).map_or_else(|| Encoder::new(codec), Encoder::Opus),
            _ => Encoder::new(codec),
        }
    }

    /// What it encodes to.
    pub fn codec(&self) -> Codec {
        match self {
            Encoder::G711(Law::Mu) => Codec::Pcmu,
            Encoder::G711(Law::A) => Codec::Pcma,
            Encoder::L16 => Codec::L16,
            Encoder::G722(_) => Codec::G722,
            Encoder::Opus(_) => Codec::Opus,
        }
    }

    /// Rate in Hz of what goes in.
    pub fn sample_rate(&self) -> u32 {
        match self {
            Encoder::Opus(encoder) => encoder.rate(),
            _ => self.codec().sample_rate(),
        }
    }

    /// Samples of one frame of 20 ms that goes in.
    pub fn frame_samples(&self) -> usize {
        self.sample_rate() as usize / 50
    }

    /// Encodes one frame of 20 ms into the start of `out`; gives the number of bytes, at most [`MAX_FRAME_BYTES`].
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let name = self.codec().encoding_name();
        if samples.len() != self.frame_samples() {
            return Err(CodecError::FrameLength(name));
        }
        let too_long = CodecError::TooLong(name);
        match self {
            Encoder::G711(law) => {
                let out = out.get_mut(..samples.len()).ok_or(too_long)?;
                g711::encode_into(*law, samples, out);
                Ok(out.len())
            }
            Encoder::L16 => {
                let out = out.get_mut(..samples.len() * 2).ok_or(too_long)?;
                l16::encode(samples, out);
                Ok(out.len())
            }
            Encoder::G722(encoder) => {
                let out = out.get_mut(..samples.len() / 2).ok_or(too_long)?;
                encoder.encode(samples, out);
                Ok(out.len())
            }
            Encoder::Opus(encoder) => {
                let out = if out.len() > MAX_FRAME_BYTES { out.get_mut(..MAX_FRAME_BYTES) } else { Some(out) };
                out.and_then(|out| encoder.encode(samples, out)).ok_or(too_long)
            }
        }
    }
}

/// Writes a frame of 20 ms of silence into the start of `out`; gives the number of bytes (0: `out` is too short).
pub fn silence(codec: Codec, out: &mut [u8]) -> usize {
    let (byte, length) = match codec {
        Codec::Pcmu => (0xFF, 160),
        Codec::Pcma => (0xD5, 160),
        // Both bands at their smallest step up, which is none once the steps have shrunk.
        Codec::G722 => (0xFD, 160),
        Codec::L16 => (0, 640),
        Codec::Opus => {
            let Some(out) = out.first_chunk_mut() else { return 0 };
            *out = opus::SILENCE;
            return out.len();
        }
    };
    let Some(out) = out.get_mut(..length) else { return 0 };
    out.fill(byte);
    length
}
