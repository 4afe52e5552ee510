//! Opus (RFC 6716, RTP: RFC 7587), mono, by the crate `opus-rs`: a translation of libopus 1.6 to Rust.
//!
//! # Why this crate
//! Every binding to libopus builds it with cmake or wants it installed, and a Rust toolchain with a C compiler is all
//! that this engine asks of a machine. So two in Rust were put beside Debian's libopus 1.3.1 (15–26 s of speech at 8,
//! 16 and 48 kHz and of music at 48 kHz; 24, 32 and 64 kbit/s; complexity 5 and 9; µs a frame, release build):
//!
//! | | libopus 1.3.1 | `opus-rs` 0.1.40 | `unsafe-libopus` 0.2 (c2rust of 1.3.1) |
//! |---|---|---|---|
//! | decode what libopus encoded | | ≥ 107.9 dB from libopus; SILK to the bit | ≥ 108.7 dB; SILK to the bit |
//! | libopus decodes what it encoded | | as it does itself, ≥ 106 dB | |
//! | decode a 16 kHz stream to 16 kHz | 28–52 | 30–55 | 38–60 |
//! | decode a 48 kHz stream to 48 / 16 kHz | 111 / 65 | 119 / 73 | 147 / 84 |
//! | encode 16 kHz, 24 kbit/s, complexity 5 | 271 | 306 | 247 |
//! | encode 48 kHz, 64 kbit/s, complexity 9 | 690 | 199 | 857 |
//! | allocations a frame | none | none | dozens |
//! | memory, decoder / encoder (mono) | 18 / 24 kB | 175 / 227 kB resident | 18 / 24 kB |
//! | in-band FEC, both ways | yes | yes | yes |
//! | DTX of its own | yes | no | yes |
//! | last release | | this month; each fix with a test against libopus | 2023 |
//!
//! `opus-rs` took a quarter of a million random and mutated packets, losses and recoveries without a panic or a sample
//! that is no number, and allocates nothing after `new`. Its price is memory, and its encoder's rate: in hybrid mode
//! (24 and 48 kHz audio below about 40 kbit/s) it spends up to 40 kbit/s where 24 were asked. DTX is not needed of it:
//! the engine knows its own silence, and sends [`SILENCE`].
//!
//! # Rates
//! Received Opus is decoded to 16 kHz: two thirds of the time of 48 kHz, and the mixer, the detector and recordings
//! use nothing above 8 kHz of audio. We say so to the peer (`maxplaybackrate=16000`), which then sends wide-band SILK,
//! the cheapest there is to decode and the only kind with FEC in all of it. Live audio (16 kHz) is encoded in that mode, too.
//! Prompts are encoded once, ahead, from the rate that they have, up to 48 kHz.

mod packet;

use opus_rs::{Application, OpusDecoder, OpusEncoder};

use super::MAX_PACKET_SAMPLES;

pub use packet::{carries_the_one_before, duration};

/// Rate of what is decoded, in Hz.
const RATE: u32 = 16_000;
/// The clock that durations in packets are told in, in Hz.
const CLOCK: u32 = 48_000;
/// Samples of the shortest frame at [`RATE`] (2.5 ms): a loss is a multiple of it.
const QUANTUM: usize = 40;
/// The loss in percent that encoders prepare for. With FEC on, it costs about a fifth of the bit rate.
const EXPECTED_LOSS: i32 = 10;
/// Of 0–10: the knee of quality against time for live speech, as telephony uses it.
const LIVE_COMPLEXITY: i32 = 5;
/// Prompts are encoded once: the best there is.
const CLIP_COMPLEXITY: i32 = 10;

/// Most bytes that a frame of 20 ms takes at the rates used here, by far.
pub const MAX_FRAME_BYTES: usize = 640;

/// A frame of 20 ms of silence, as the encoder leaves it after long silence: wide-band SILK, without a voice. Decoded
/// again and again it stays below 2 of 32,768.
pub const SILENCE: [u8; 8] = [0x48, 0x06, 0xE3, 0x79, 0xC8, 0xC9, 0x57, 0xC0];

/// A decoder with its state: about 175 kB.
pub struct Decoder(Box<OpusDecoder>);

impl Decoder {
    pub(super) fn new() -> Self {
        let decoder = OpusDecoder::new(RATE as i32, 1);
        Decoder(Box::new(decoder.expect("16 kHz mono is among the rates that it takes")))
    }

    /// Samples at 16 kHz; none: no Opus packet.
    pub(super) fn samples(payload: &[u8]) -> Option<usize> {
        duration(payload).map(|units| (units / (CLOCK / RATE)) as usize)
    }

    /// Fills `out`, which is as long as the packet says. False: the packet is damaged.
    pub(super) fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> bool {
        let mut decoded = [0.0; MAX_PACKET_SAMPLES];
        match self.0.decode(payload, out.len(), &mut decoded) {
            Ok(count) if count == out.len() => to_pcm(&decoded, out),
            _ => return false,
        }
        true
    }

    /// The packet before `next`, where `next` carries it.
    pub(super) fn recover(&mut self, next: &[u8], out: &mut [i16]) -> bool {
        if duration(next).is_none() || !carries_the_one_before(next) || !is_lossable(out.len()) {
            return false;
        }
        let mut decoded = [0.0; MAX_PACKET_SAMPLES];
        let done = self.0.decode_fec(next, out.len(), &mut decoded) == Ok(out.len());
        if done {
            to_pcm(&decoded, out);
        }
        done
    }

    /// What plausibly was in a lost packet of this length.
    pub(super) fn conceal(&mut self, out: &mut [i16]) -> bool {
        if !is_lossable(out.len()) {
            return false;
        }
        let mut decoded = [0.0; MAX_PACKET_SAMPLES];
        let done = self.0.decode(&[], out.len(), &mut decoded) == Ok(out.len());
        if done {
            to_pcm(&decoded, out);
        }
        done
    }
}

fn is_lossable(samples: usize) -> bool {
    (QUANTUM..=MAX_PACKET_SAMPLES).contains(&samples) && samples.is_multiple_of(QUANTUM)
}

fn to_pcm(decoded: &[f32], out: &mut [i16]) {
    for (sample, &value) in out.iter_mut().zip(decoded) {
        // A cast from float saturates, and gives 0 for what is no number.
        *sample = (value * 32_768.0).round() as i16;
    }
}

/// An encoder with its state: about 230 kB, so made only for those who speak live.
pub struct Encoder {
    inner: Box<OpusEncoder>,
    rate: u32,
}

impl Encoder {
    /// For live audio at 16 kHz.
    pub(super) fn live() -> Self {
        Encoder::make(RATE, LIVE_COMPLEXITY)
    }

    /// For a prompt at `rate`: 8, 12, 16, 24 or 48 kHz; another one: none.
    pub(super) fn clip(rate: u32) -> Option<Self> {
        [8_000, 12_000, 16_000, 24_000, 48_000].contains(&rate).then(|| Encoder::make(rate, CLIP_COMPLEXITY))
    }

    fn make(rate: u32, complexity: i32) -> Self {
        let encoder = OpusEncoder::new(rate as i32, 1, Application::Voip);
        let mut inner = Box::new(encoder.expect("only rates that it takes come here"));
        // RFC 7587 §3.1.1: what speech needs at its band, and room for FEC.
        inner.bitrate_bps = match rate {
            0..=12_000 => 20_000,
            12_001..=16_000 => 28_000,
            16_001..=24_000 => 36_000,
            _ => 40_000,
        };
        inner.complexity = complexity;
        inner.use_inband_fec = true;
        inner.packet_loss_perc = EXPECTED_LOSS;
        Encoder { inner, rate }
    }

    /// Rate in Hz of what goes in.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// One frame of 20 ms; none: `out` is too short for it ([`MAX_FRAME_BYTES`] never is).
    pub(super) fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> Option<usize> {
        self.inner.encode_i16(samples, samples.len(), out).ok()
    }
}

#[cfg(test)]
mod tests;
