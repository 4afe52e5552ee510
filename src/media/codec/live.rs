//! Live audio at any of our rates into any codec: what speaks in-band tones and prompts that are not encoded yet,
//! and what a mixer will speak with to legs whose codecs differ (no call has two legs yet).

use super::{Encoder, MAX_FRAME_BYTES};
use crate::media::resample::Resampler;
use crate::session::Codec;

/// The longest frame that comes in: 20 ms at 48 kHz.
const MAX_FRAME: usize = 960;

/// One direction of live audio. Allocates when it is made, then nothing.
pub struct LiveEncoder {
    rate: u32,
    /// None: the codec takes that rate as it is.
    resampler: Option<Resampler>,
    encoder: Encoder,
}

impl LiveEncoder {
    /// For frames of 20 ms at `rate` Hz: 8, 16, 24 or 48 kHz.
    pub fn new(rate: u32, codec: Codec) -> Self {
        let encoder = Encoder::new(codec);
        let wanted = encoder.sample_rate();
        let resampler = if rate == wanted { None } else { Resampler::live(rate, wanted).ok() };
        LiveEncoder { rate, resampler, encoder }
    }

    /// Rate in Hz of what goes in.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// What it encodes to.
    pub fn codec(&self) -> Codec {
        self.encoder.codec()
    }

    /// Encodes the first 20 ms of `samples`, with silence where they are fewer; gives the number of bytes. Resampling
    /// delays by 10 ms. None: it cannot do that rate.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8; MAX_FRAME_BYTES]) -> Option<usize> {
        let mut frame = [0; MAX_FRAME];
        let frame = frame.get_mut(..self.rate as usize / 50)?;
        frame.iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
        let Some(resampler) = &mut self.resampler else { return self.encoder.encode(frame, out).ok() };
        resampler.push_pcm(frame).ok()?;
        let (encoder, mut length) = (&mut self.encoder, None);
        resampler.take(&mut |ready| length = encoder.encode(ready, out).ok());
        length
    }
}
