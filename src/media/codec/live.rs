//! Live audio at any of our rates into any codec: what speaks in-band tones, prompts that are not encoded yet, and what
//! a bridged leg hears.

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
    /// Another rate that comes in, too, and its resampler.
    second: Option<(u32, Option<Resampler>)>,
}

impl LiveEncoder {
    /// For frames of 20 ms at `rate` Hz: 8, 16, 24 or 48 kHz.
    pub fn new(rate: u32, codec: Codec) -> Self {
        let encoder = Encoder::new(codec);
        LiveEncoder { rate, resampler: resampler(rate, &encoder), encoder, second: None }
    }

    /// The same for frames at another rate, too: [`encode_at`](Self::encode_at). Allocates.
    pub fn with_second_rate(mut self, rate: u32) -> Self {
        self.second = Some((rate, resampler(rate, &self.encoder)));
        self
    }

    /// Does it take frames at that rate without making anything?
    pub fn takes(&self, rate: u32) -> bool {
        rate == self.rate || self.second.as_ref().is_some_and(|(second, _)| *second == rate)
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
        self.encode_at(self.rate, samples, out)
    }

    /// The same for a frame at one of the two rates; none, too: it is not one of them.
    pub fn encode_at(&mut self, rate: u32, samples: &[i16], out: &mut [u8; MAX_FRAME_BYTES]) -> Option<usize> {
        let resampler = match &mut self.second {
            _ if rate == self.rate => &mut self.resampler,
            Some((second, resampler)) if *second == rate => resampler,
            _ => return None,
        };
        let mut frame = [0; MAX_FRAME];
        let frame = frame.get_mut(..rate as usize / 50)?;
        frame.iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
        let Some(resampler) = resampler else { return self.encoder.encode(frame, out).ok() };
        resampler.push_pcm(frame).ok()?;
        let (encoder, mut length) = (&mut self.encoder, None);
        resampler.take(&mut |ready| length = encoder.encode(ready, out).ok());
        length
    }
}

/// None: the codec takes that rate as it is.
fn resampler(rate: u32, encoder: &Encoder) -> Option<Resampler> {
    let wanted = encoder.sample_rate();
    if rate == wanted { None } else { Resampler::live(rate, wanted).ok() }
}
