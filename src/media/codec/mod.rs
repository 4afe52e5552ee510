//! Audio codecs: payloads to samples and back, one frame or packet at a time. Which codec a leg speaks is `sip::sdp`'s
//! choice; when a packet is decoded, and what fills a hole, is hearing's; pacing and RTP headers are `stream`'s.
//!
//! All is mono, 16-bit, at the codec's [`Codec::sample_rate`]. Nothing allocates after `new`.

pub mod g711;
mod l16;

use self::g711::Law;
use crate::session::Codec;

/// Most samples that one packet decodes to: 120 ms (the most of Opus) at 16 kHz. A buffer of this length fits them all.
pub const MAX_PACKET_SAMPLES: usize = 1_920;

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
    /// Not built in.
    Absent(Codec),
}

impl Decoder {
    /// A decoder for a source that has just begun.
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Decoder::G711(Law::Mu),
            Codec::Pcma => Decoder::G711(Law::A),
            Codec::L16 => Decoder::L16,
            Codec::G722 | Codec::Opus => Decoder::Absent(codec),
        }
    }

    /// What it decodes.
    pub fn codec(&self) -> Codec {
        match self {
            Decoder::G711(Law::Mu) => Codec::Pcmu,
            Decoder::G711(Law::A) => Codec::Pcma,
            Decoder::L16 => Codec::L16,
            Decoder::Absent(codec) => *codec,
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
            Decoder::Absent(_) => return None,
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
            Decoder::Absent(_) => return Err(CodecError::Malformed(name)),
        }
        Ok(length)
    }

    /// Recovers a lost packet from what `next`, the packet after it, carries of it (Opus' in-band FEC), into all of
    /// `out`, whose length is the lost packet's. None: `next` carries nothing of it. Called before `decode(next)`.
    pub fn recover(&mut self, next: &[u8], out: &mut [i16]) -> Option<usize> {
        let _ = (next, out);
        None
    }

    /// Fills `out` with the codec's own concealment of a lost packet of that length, and moves its state on.
    /// False: it has none, and the caller conceals.
    pub fn conceal(&mut self, out: &mut [i16]) -> bool {
        let _ = out;
        false
    }
}

/// Encodes live audio for one leg, a frame of 20 ms at a time.
pub enum Encoder {
    /// PCMU, PCMA: without a state.
    G711(Law),
    /// L16: without a state.
    L16,
    /// Not built in.
    Absent(Codec),
}

impl Encoder {
    /// An encoder at the start of its audio.
    pub fn new(codec: Codec) -> Self {
        match codec {
            Codec::Pcmu => Encoder::G711(Law::Mu),
            Codec::Pcma => Encoder::G711(Law::A),
            Codec::L16 => Encoder::L16,
            Codec::G722 | Codec::Opus => Encoder::Absent(codec),
        }
    }

    /// What it encodes to.
    pub fn codec(&self) -> Codec {
        match self {
            Encoder::G711(Law::Mu) => Codec::Pcmu,
            Encoder::G711(Law::A) => Codec::Pcma,
            Encoder::L16 => Codec::L16,
            Encoder::Absent(codec) => *codec,
        }
    }

    /// Rate in Hz of what goes in.
    pub fn sample_rate(&self) -> u32 {
        self.codec().sample_rate()
    }

    /// Encodes one frame of 20 ms into the start of `out`; gives the number of bytes.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Result<usize, CodecError> {
        let name = self.codec().encoding_name();
        if samples.len() != self.sample_rate() as usize / 50 {
            return Err(CodecError::FrameLength(name));
        }
        match self {
            Encoder::G711(law) => {
                let out = out.get_mut(..samples.len()).ok_or(CodecError::TooLong(name))?;
                g711::encode_into(*law, samples, out);
                Ok(out.len())
            }
            Encoder::L16 => {
                let out = out.get_mut(..samples.len() * 2).ok_or(CodecError::TooLong(name))?;
                l16::encode(samples, out);
                Ok(out.len())
            }
            Encoder::Absent(_) => Err(CodecError::FrameLength(name)),
        }
    }
}
