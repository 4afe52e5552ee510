//! Walks through a list of clips, frame by frame: the audio of one playing, as payloads of the leg's codec. Codecs that
//! can be cut anywhere follow each other without a seam; in Opus each clip begins with a packet of its own, after at
//! most 20 ms of silence. When it starts and who is told of its end is [`super::stream`]'s.
//!
//! A clip that is not encoded yet (the codec has just changed, or nobody saw to it) is encoded live, until it is: that
//! costs its leg some time, and nobody else anything.

use std::sync::Arc;
use std::time::Duration;

use super::PlayId;
use super::clip::{CLIP_RATE, Clip, unit_bytes};
use super::codec::g711::{self, Law};
use super::codec::live::LiveEncoder;
use super::codec::{MAX_FRAME_BYTES, silence};
use crate::session::Codec;

/// Units (1/8000 s) in a frame.
const FRAME_UNITS: usize = 160;

/// One playing of clips.
pub struct Player {
    play: PlayId,
    clips: Vec<Arc<Clip>>,
    repeat: bool,
    /// The clip being played; past the last: finished.
    index: usize,
    /// Units of it already played.
    offset: usize,
    /// Units played in all, repeats included.
    played: u64,
    /// While a clip is not encoded.
    live: Option<Box<LiveEncoder>>,
}

impl Player {
    /// Starts at the beginning of the first clip. Without anything to hear it is finished at once, `repeat` or not.
    pub fn new(play: PlayId, clips: Vec<Arc<Clip>>, repeat: bool) -> Self {
        let repeat = repeat && clips.iter().any(|clip| !clip.is_empty());
        let mut player = Player { play, clips, repeat, index: 0, offset: 0, played: 0, live: None };
        player.settle();
        player
    }

    /// Which playing this is.
    pub fn play(&self) -> PlayId {
        self.play
    }

    /// Has the last sample been handed out?
    pub fn is_finished(&self) -> bool {
        self.index >= self.clips.len()
    }

    /// How much has been played, repeats included.
    pub fn position(&self) -> Duration {
        Duration::from_micros(self.played * 1_000_000 / u64::from(CLIP_RATE))
    }

    /// Writes the payload of a frame in `codec` into the start of `out`, with silence after the end; gives its bytes.
    pub fn fill(&mut self, codec: Codec, out: &mut [u8; MAX_FRAME_BYTES]) -> usize {
        let length = match unit_bytes(codec) {
            Some(unit) => self.fill_bytes(codec, unit, out),
            None => self.fill_packet(codec, out),
        };
        length.unwrap_or_else(|| silence(codec, out))
    }

    fn fill_bytes(&mut self, codec: Codec, unit: usize, out: &mut [u8; MAX_FRAME_BYTES]) -> Option<usize> {
        let mut filled = 0;
        while filled < FRAME_UNITS
            && let Some(clip) = self.clips.get(self.index)
        {
            let count = (clip.units() - self.offset).min(FRAME_UNITS - filled);
            let room = out.get_mut(filled * unit..(filled + count) * unit)?;
            if let Some(encoded) = clip.ready(codec) {
                room.copy_from_slice(encoded.get(self.offset * unit..(self.offset + count) * unit)?);
            } else if let Some(law) = Law::of(codec)
                && clip.rate_hz() == CLIP_RATE
            {
                // A table look-up is as good as a copy.
                g711::encode_into(law, clip.samples().get(self.offset..self.offset + count)?, room);
            } else if filled > 0 {
                // It begins with the next frame.
                break;
            } else {
                return self.fill_live(codec, out);
            }
            filled += count;
            self.advance(count);
        }
        if filled == FRAME_UNITS {
            return Some(FRAME_UNITS * unit);
        }
        let mut rest = [0; MAX_FRAME_BYTES];
        let length = silence(codec, &mut rest);
        out.get_mut(filled * unit..length)?.copy_from_slice(rest.get(filled * unit..length)?);
        Some(length)
    }

    fn fill_packet(&mut self, codec: Codec, out: &mut [u8; MAX_FRAME_BYTES]) -> Option<usize> {
        let clip = self.clips.get(self.index)?;
        let Some(encoded) = clip.ready(codec) else { return self.fill_live(codec, out) };
        let count = (clip.units() - self.offset).min(FRAME_UNITS);
        let length = encoded.packet(self.offset / FRAME_UNITS).and_then(|packet| {
            out.get_mut(..packet.len())?.copy_from_slice(packet);
            Some(packet.len())
        });
        self.advance(count);
        length
    }

    /// A frame of the present clip, encoded now.
    fn fill_live(&mut self, codec: Codec, out: &mut [u8; MAX_FRAME_BYTES]) -> Option<usize> {
        let clip = self.clips.get(self.index)?;
        let rate = clip.rate_hz();
        let count = (clip.units() - self.offset).min(FRAME_UNITS);
        // Rates are multiples of 8 kHz.
        let scale = (rate / CLIP_RATE) as usize;
        let samples = clip.samples().get(self.offset * scale..).unwrap_or_default();
        if self.live.as_ref().is_none_or(|live| live.codec() != codec || live.rate() != rate) {
            self.live = Some(Box::new(LiveEncoder::new(rate, codec)));
        }
        let length = self.live.as_mut()?.encode(samples, out);
        self.advance(count);
        length
    }

    fn advance(&mut self, count: usize) {
        self.offset += count;
        self.played += count as u64;
        self.settle();
    }

    /// Moves to the next sample there is. Ends: a repeating list holds at least one.
    fn settle(&mut self) {
        while let Some(clip) = self.clips.get(self.index)
            && self.offset >= clip.units()
        {
            self.offset = 0;
            self.index += 1;
            if self.repeat && self.index >= self.clips.len() {
                self.index = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::{Decoder, MAX_PACKET_SAMPLES};

    fn clip(value: i16, length: usize) -> Arc<Clip> {
        Arc::new(Clip::new(vec![value; length]))
    }

    fn frames(player: &mut Player, most: usize) -> Vec<Vec<i16>> {
        let mut frames = Vec::new();
        while !player.is_finished() && frames.len() < most {
            let mut frame = [0; MAX_FRAME_BYTES];
            let length = player.fill(Codec::Pcma, &mut frame);
            frames.push(frame[..length].iter().map(|&byte| g711::decode(Law::A, byte)).collect());
        }
        frames
    }

    #[test]
    fn clips_follow_each_other_without_a_seam_and_end_in_silence() {
        let clips = vec![clip(504, 100), clip(504, 0), clip(1008, 200), clip(2016, 30)];
        // Encoded ahead, or not.
        for ahead in [false, true] {
            if ahead {
                clips.iter().for_each(|clip| drop(clip.encoded(Codec::Pcma).clone()));
            }
            let mut player = Player::new(PlayId(1), clips.clone(), false);
            let all = frames(&mut player, 99).concat();
            assert_eq!(all.len(), 480);
            assert!(all[..100].iter().all(|&s| s == 504));
            assert!(all[100..300].iter().all(|&s| s == 1008));
            assert!(all[300..330].iter().all(|&s| s == 2016));
            assert!(all[330..].iter().all(|&s| s == 8));
            assert_eq!(player.position(), Duration::from_micros(330 * 125));
        }
    }

    #[test]
    fn a_repeating_list_goes_round_without_a_seam() {
        let mut player = Player::new(PlayId(1), vec![clip(504, 3), clip(1008, 4)], true);
        let all = frames(&mut player, 50).concat();
        assert_eq!(all.len(), 50 * 160);
        assert!(all.iter().enumerate().all(|(n, &s)| s == if n % 7 < 3 { 504 } else { 1008 }));
    }

    #[test]
    fn an_exact_frame_ends_with_its_last_frame_and_nothing_ends_at_once() {
        let mut player = Player::new(PlayId(1), vec![clip(504, 320)], false);
        assert_eq!(frames(&mut player, 99).len(), 2);
        assert!(Player::new(PlayId(1), vec![], true).is_finished());
        assert!(Player::new(PlayId(1), vec![clip(1, 0), clip(1, 0)], true).is_finished());
    }

    /// A tone at `rate`, `ms` long.
    fn tone(rate: u32, hz: f64, ms: usize) -> Arc<Clip> {
        let step = std::f64::consts::TAU * hz / f64::from(rate);
        let samples: Vec<i16> =
            (0..ms * rate as usize / 1000).map(|n| ((step * n as f64).sin() * 8_000.0) as i16).collect();
        Arc::new(Clip::at_rate(samples, rate))
    }

    /// The level of `hz` in what was decoded at `rate`, of 8,000.
    fn level(samples: &[i16], hz: f64, rate: u32) -> f64 {
        let (mut i, mut q) = (0.0, 0.0);
        for (n, s) in samples.iter().enumerate() {
            let angle = std::f64::consts::TAU * hz * n as f64 / f64::from(rate);
            i += f64::from(*s) * angle.cos();
            q += f64::from(*s) * angle.sin();
        }
        2.0 * i.hypot(q) / samples.len() as f64
    }

    #[test]
    fn every_rate_is_heard_in_every_codec_ahead_or_live_and_over_a_change() {
        for rate in super::super::clip::CLIP_RATES {
            for codec in Codec::ALL {
                for ahead in [true, false] {
                    let clip = tone(rate, 1_000.0, 410);
                    if ahead {
                        clip.encoded(codec);
                    }
                    let mut player = Player::new(PlayId(1), vec![clip], false);
                    let mut decoder = Decoder::new(codec);
                    let (mut out, mut pcm) = ([0; MAX_FRAME_BYTES], [0; MAX_PACKET_SAMPLES]);
                    let mut heard = Vec::new();
                    while !player.is_finished() {
                        let length = player.fill(codec, &mut out);
                        let count = decoder.decode(&out[..length], &mut pcm).unwrap();
                        assert_eq!(count, codec.sample_rate() as usize / 50);
                        heard.extend_from_slice(&pcm[..count]);
                    }
                    let frame = codec.sample_rate() as usize / 50;
                    assert_eq!(heard.len(), 21 * frame, "{codec:?} {rate}");
                    let level = level(&heard[5 * frame..15 * frame], 1_000.0, codec.sample_rate());
                    assert!((6_500.0..9_500.0).contains(&level), "{codec:?} {rate} ahead {ahead}: {level:.0}");
                }
            }
        }
    }

    #[test]
    fn a_change_of_codec_goes_on_where_it_was() {
        let clip = tone(48_000, 500.0, 1_000);
        let mut player = Player::new(PlayId(1), vec![clip.clone()], false);
        let mut out = [0; MAX_FRAME_BYTES];
        for frame in 0..50 {
            let codec = Codec::ALL[frame / 10];
            if frame % 10 == 5 {
                clip.encoded(codec);
            }
            assert!(player.fill(codec, &mut out) > 0);
            assert_eq!(player.position(), Duration::from_millis(20 * (frame as u64 + 1)));
        }
        assert!(player.is_finished());
    }
}
