//! Audio files to samples: symphonia finds the format and decodes it, channels are averaged to mono, `media::resample` brings
//! them to 8 kHz on the way. Input is hostile until decoded: every step is bounded, and a panic of a decoder is an
//! error like another. CPU-bound: callers run it on a blocking thread.

use std::fs::File;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use symphonia::core::codecs::audio::well_known::CODEC_ID_PCM_S16LE;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::common::Limit;
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::{CLIP_RATE, PromptError};
use crate::media::Clip;
use crate::media::clip::CLIP_RATES;
use crate::media::resample::Resampler;

/// The most channels a file may have.
const MAX_CHANNELS: usize = 8;

/// The most frames a single packet may announce; a decoder allocates for it before it has seen any.
const MAX_PACKET_FRAMES: u64 = 1 << 20;

/// The most packets in a row that give no audio (broken, of another track, or empty) before a file counts as damaged.
const MAX_BARREN_PACKETS: u32 = 1_000;

/// The most streams chained in one Ogg file; what follows is not played.
const MAX_STREAMS: usize = 1_000;

/// The most bytes of one tag and of one picture that are kept while reading past them.
const MAX_TAG_BYTES: usize = 64 * 1024;

/// The most samples that a prompt is kept in (29 MB): five minutes at 48 kHz, half an hour at 8 kHz. A longer one is
/// kept at the next lower rate.
const MAX_SAMPLES: u64 = 30 * 60 * CLIP_RATE as u64;

/// Bounds on one prompt.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most bytes of a file.
    pub max_bytes: usize,
    /// The longest a prompt may play.
    pub max_duration: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_bytes: 32 << 20, max_duration: Duration::from_secs(30 * 60) }
    }
}

/// The container that audio came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// As symphonia names it.
    pub name: &'static str,
    /// What HTTP calls it.
    pub content_type: &'static str,
}

impl Format {
    /// RIFF WAVE.
    pub const WAV: Format = Format { name: "wave", content_type: "audio/wav" };

    fn of(name: &'static str) -> Self {
        let content_type = match name {
            "wave" => "audio/wav",
            "mp1" | "mp2" | "mp3" => "audio/mpeg",
            "flac" => "audio/flac",
            "ogg" => "audio/ogg",
            "isomp4" => "audio/mp4",
            "aac" => "audio/aac",
            _ => "application/octet-stream",
        };
        Format { name, content_type }
    }

    /// By its first bytes, for audio that was decoded before.
    pub fn guess(audio: &[u8]) -> Self {
        match audio {
            [b'R', b'I', b'F', b'F', ..] => Format::WAV,
            [b'f', b'L', b'a', b'C', ..] => Format::of("flac"),
            [b'O', b'g', b'g', b'S', ..] => Format::of("ogg"),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Format::of("isomp4"),
            [0xff, 0xf0 | 0xf1 | 0xf8 | 0xf9, ..] => Format::of("aac"),
            [b'I', b'D', b'3', ..] | [0xff, 0xe0..=0xff, ..] => Format::of("mp3"),
            _ => Format::of(""),
        }
    }
}

/// Decodes a whole file; `place` is what errors call it.
pub fn decode(place: &str, audio: Bytes, limits: &Limits) -> Result<(Clip, Format), PromptError> {
    if audio.len() > limits.max_bytes {
        return Err(PromptError::TooBig { place: place.to_owned(), limit: limits.max_bytes });
    }
    if audio.is_empty() {
        return Err(PromptError::BadFormat { place: place.to_owned(), problem: "it is empty".to_owned() });
    }
    let mut best = 48_000;
    loop {
        let mut samples = Vec::new();
        let mut gather = |more: &[i16]| samples.extend_from_slice(more);
        let bounds = Bounds { best, most: limits.max_duration, most_samples: MAX_SAMPLES };
        match decode_bounded(place, Box::new(Cursor::new(audio.clone())), &bounds, &mut gather)? {
            Decoded::Whole(format, rate) => return Ok((Clip::at_rate(samples, rate), format)),
            Decoded::TooFine(rate) => {
                // Ends: each turn has a lower one, and the lowest has no such bound.
                best = CLIP_RATES.into_iter().rev().find(|lower| *lower < rate).unwrap_or(CLIP_RATE);
            }
        }
    }
}

/// What is decoded to, and how much of it at most.
struct Bounds {
    /// The highest sample rate; a file of a lower one gets the next of [`CLIP_RATES`] that holds all of it.
    best: u32,
    most: Duration,
    /// At rates above [`CLIP_RATE`].
    most_samples: u64,
}

enum Decoded {
    /// All of it, at this rate.
    Whole(Format, u32),
    /// It has more samples at this rate than are kept.
    TooFine(u32),
}

/// Decodes a file of any size and length, piece by piece: `sink` gets its samples at [`CLIP_RATE`] as they come, and no
/// more than a packet and the resampler's filter are held at a time. `place` is what errors call it; what was decoded
/// before an error has been given.
pub fn decode_file(place: &str, file: File, sink: &mut dyn FnMut(&[i16])) -> Result<Format, PromptError> {
    if file.metadata().is_ok_and(|about| about.is_file() && about.len() == 0) {
        return Err(PromptError::BadFormat { place: place.to_owned(), problem: "it is empty".to_owned() });
    }
    let bounds = Bounds { best: CLIP_RATE, most: Duration::MAX, most_samples: u64::MAX };
    match decode_bounded(place, Box::new(file), &bounds, sink)? {
        Decoded::Whole(format, _) => Ok(format),
        Decoded::TooFine(_) => Err(PromptError::TooLong { place: place.to_owned(), seconds: u64::MAX }),
    }
}

fn decode_bounded(
    place: &str,
    audio: Box<dyn MediaSource>,
    bounds: &Bounds,
    sink: &mut dyn FnMut(&[i16]),
) -> Result<Decoded, PromptError> {
    match catch_unwind(AssertUnwindSafe(|| decode_all(audio, bounds, sink))) {
        Ok(Ok((format, rate))) => Ok(Decoded::Whole(format, rate)),
        Ok(Err(Problem::TooFine(rate))) => Ok(Decoded::TooFine(rate)),
        Ok(Err(Problem::TooLong)) => {
            Err(PromptError::TooLong { place: place.to_owned(), seconds: bounds.most.as_secs() })
        }
        Ok(Err(Problem::Bad(problem))) => Err(PromptError::BadFormat { place: place.to_owned(), problem }),
        Err(_) => Err(PromptError::BadFormat { place: place.to_owned(), problem: "it is damaged".to_owned() }),
    }
}

enum Problem {
    Bad(String),
    TooLong,
    TooFine(u32),
}

impl Problem {
    fn bad(problem: impl std::fmt::Display) -> Self {
        Problem::Bad(problem.to_string())
    }
}

fn decode_all(
    audio: Box<dyn MediaSource>,
    bounds: &Bounds,
    sink: &mut dyn FnMut(&[i16]),
) -> Result<(Format, u32), Problem> {
    let stream = MediaSourceStream::new(audio, MediaSourceStreamOptions::default());
    let bounded = MetadataOptions::default()
        .limit_tag_bytes(Limit::Maximum(MAX_TAG_BYTES))
        .limit_visual_bytes(Limit::Maximum(MAX_TAG_BYTES));
    let mut file = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), bounded)
        .map_err(|e| match e {
            Error::IoError(_) | Error::Unsupported(_) => Problem::bad("no known audio format was found in it"),
            e => Problem::bad(e),
        })?;
    let format = Format::of(file.format_info().short_name);
    let mut gathered = Gathered { sink, given: 0, current: None, bounds, rate: None };
    for _ in 0..MAX_STREAMS {
        if !decode_stream(file.as_mut(), &mut gathered)? {
            break;
        }
    }
    gathered.finish().map(|rate| (format, rate))
}

/// Decodes to the end of the file (`false`), or to where an Ogg file goes on with another stream (`true`).
fn decode_stream(file: &mut dyn FormatReader, gathered: &mut Gathered<'_>) -> Result<bool, Problem> {
    let (track, mut decoder, telephone) = open_track(file)?;
    let mut interleaved: Vec<f32> = Vec::new();
    let mut mono: Vec<f32> = Vec::new();
    let mut barren = 0;
    let mut broken = 0u64;
    let mut sound = 0u64;
    loop {
        let packet = match file.next_packet() {
            Ok(Some(packet)) => packet,
            // A file that was cut off plays as far as it goes.
            Ok(None) | Err(Error::IoError(_)) => break,
            Err(Error::ResetRequired) => return Ok(true),
            Err(e) => return Err(Problem::bad(e)),
        };
        barren += 1;
        if barren > MAX_BARREN_PACKETS {
            return Err(Problem::bad("it is damaged: there is no audio for too long a stretch"));
        }
        if packet.track_id != track {
            continue;
        }
        if telephone {
            gathered.push_telephone(&packet.data)?;
            sound += 1;
            barren = 0;
            continue;
        }
        match decoder.decode(&packet) {
            Ok(decoded) => {
                let (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
                decoded.copy_to_vec_interleaved(&mut interleaved);
                if channels == 0 || interleaved.is_empty() {
                    continue;
                }
                mono.clear();
                let share = 1.0 / channels as f32;
                mono.extend(interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() * share));
                gathered.push(rate, &mono)?;
                sound += 1;
                barren = 0;
            }
            Err(Error::DecodeError(_) | Error::IoError(_)) => broken += 1,
            Err(Error::ResetRequired) => decoder.reset(),
            Err(e) => return Err(Problem::bad(e)),
        }
    }
    // Players skip a bad packet (MP3 files often begin with one); a file that is mostly bad is not this audio.
    if broken > 2 && broken > sound / 4 {
        return Err(Problem::bad(format!("it is damaged: {broken} of {} packets are broken", broken + sound)));
    }
    Ok(false)
}

fn open_track(file: &dyn FormatReader) -> Result<(u32, Box<dyn AudioDecoder>, bool), Problem> {
    let track = file.default_track(TrackType::Audio).ok_or_else(|| Problem::bad("it has no audio track"))?;
    let params = track
        .codec_params
        .as_ref()
        .and_then(|params| params.audio())
        .ok_or_else(|| Problem::bad("its audio is of an unknown kind"))?;
    // Decoders allocate by these numbers before they read any audio.
    if params.max_frames_per_packet.is_some_and(|frames| frames > MAX_PACKET_FRAMES) {
        return Err(Problem::bad("it is damaged: its packets are too long"));
    }
    if params.channels.as_ref().is_some_and(|channels| channels.count() > MAX_CHANNELS) {
        return Err(Problem::bad(format!("it has more than {MAX_CHANNELS} channels")));
    }
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(Problem::bad)?;
    Ok((track.id, decoder, is_telephone(params)))
}

/// Is it 16 bits, mono, at 8 kHz as it is? Most recordings of telephone calls are; they need no decoder.
fn is_telephone(params: &AudioCodecParameters) -> bool {
    params.codec == CODEC_ID_PCM_S16LE
        && params.sample_rate == Some(CLIP_RATE)
        && params.channels.as_ref().is_some_and(|channels| channels.count() == 1)
        && params.bits_per_coded_sample.is_none_or(|bits| bits == 16)
}

/// The audio on its way out; a new resampler wherever the rate changes inside a file.
struct Gathered<'a> {
    sink: &'a mut dyn FnMut(&[i16]),
    /// Samples given to the sink.
    given: u64,
    current: Option<Running>,
    bounds: &'a Bounds,
    /// What comes out, in Hz: chosen by what the file begins with.
    rate: Option<u32>,
}

struct Running {
    resampler: Resampler,
    /// Samples given to the sink when it began.
    before: u64,
    taken: u64,
}

impl Gathered<'_> {
    /// The rate that comes out of a file that begins with `rate`.
    fn rate_for(&mut self, rate: u32) -> u32 {
        let best = self.bounds.best;
        *self.rate.get_or_insert_with(|| CLIP_RATES.into_iter().find(|known| rate <= *known).unwrap_or(best).min(best))
    }

    /// Is there room for so many samples in all?
    fn check(&self, samples: u64) -> Result<(), Problem> {
        let rate = self.rate.unwrap_or(CLIP_RATE);
        if samples as f64 / f64::from(rate) > self.bounds.most.as_secs_f64() {
            return Err(Problem::TooLong);
        }
        if rate > CLIP_RATE && samples > self.bounds.most_samples {
            return Err(Problem::TooFine(rate));
        }
        Ok(())
    }

    /// Samples of any rate.
    fn push(&mut self, rate: u32, mono: &[f32]) -> Result<(), Problem> {
        if self.current.as_ref().is_some_and(|running| running.resampler.rate() != rate) {
            self.flush()?;
        }
        let to = self.rate_for(rate);
        let running = match &mut self.current {
            Some(running) => running,
            none => none.insert(Running {
                resampler: Resampler::new(rate, to).map_err(Problem::bad)?,
                before: self.given,
                taken: 0,
            }),
        };
        running.taken += mono.len() as u64;
        let length = running.before + running.taken * u64::from(to) / u64::from(rate.max(1));
        self.check(length)?;
        let Some(running) = &mut self.current else { return Ok(()) };
        running.resampler.push(mono).map_err(Problem::bad)?;
        let (sink, given) = (&mut self.sink, &mut self.given);
        running.resampler.take(&mut |ready| {
            *given += ready.len() as u64;
            sink(ready);
        });
        Ok(())
    }

    /// Samples that are as they should be ([`is_telephone`]), as bytes.
    fn push_telephone(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let (samples, _) = bytes.as_chunks();
        if self.rate_for(CLIP_RATE) != CLIP_RATE {
            // A chained stream in a file that began at a higher rate.
            let wide: Vec<f32> = samples.iter().map(|bytes| f32::from(i16::from_le_bytes(*bytes)) / 32_768.0).collect();
            return self.push(CLIP_RATE, &wide);
        }
        self.flush()?;
        self.check(self.given + samples.len() as u64)?;
        let mut piece = [0; 1024];
        for samples in samples.chunks(piece.len()) {
            for (to, bytes) in piece.iter_mut().zip(samples) {
                *to = i16::from_le_bytes(*bytes);
            }
            self.give(piece.get(..samples.len()).unwrap_or_default());
        }
        Ok(())
    }

    fn give(&mut self, samples: &[i16]) {
        self.given += samples.len() as u64;
        (self.sink)(samples);
    }

    fn flush(&mut self) -> Result<(), Problem> {
        if let Some(running) = self.current.take() {
            let rest = running.resampler.finish().map_err(Problem::bad)?;
            self.give(&rest);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u32, Problem> {
        self.flush()?;
        if self.given == 0 {
            return Err(Problem::bad("there is no audio in it"));
        }
        Ok(self.rate.unwrap_or(CLIP_RATE))
    }
}

#[cfg(test)]
mod tests;
