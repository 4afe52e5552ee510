//! Tests of decoding: every format from a real file, and hostile input.

use super::*;

fn data(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/audio/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn decoded(audio: Vec<u8>) -> Result<(Clip, Format), PromptError> {
    decode("test", audio.into(), &Limits::default())
}

/// The power of a tone at `hz` in dBFS (a sine of full scale is 0), and of all there is.
fn power(samples: &[i16], hz: f64, rate: u32) -> (f64, f64) {
    let (mut i, mut q, mut all) = (0.0, 0.0, 0.0);
    for (n, &s) in samples.iter().enumerate() {
        let (s, angle) = (f64::from(s) / 32768.0, std::f64::consts::TAU * hz * n as f64 / f64::from(rate));
        i += s * angle.sin();
        q += s * angle.cos();
        all += s * s;
    }
    let n = samples.len() as f64;
    (20.0 * (2.0 * i.hypot(q) / n).log10(), 10.0 * (2.0 * all / n).log10())
}

#[test]
fn every_format_decodes_to_its_tone() {
    // File, content type, the most samples that the length may be off by (what encoders add and no header tells of).
    let files = [
        ("pcm-u8-8k.wav", "audio/wav", 0),
        ("pcm-s16-8k.wav", "audio/wav", 0),
        ("pcm-s16-16k.wav", "audio/wav", 0),
        ("pcm-s24-16k.wav", "audio/wav", 0),
        ("pcm-s32-8k.wav", "audio/wav", 0),
        ("float32-8k.wav", "audio/wav", 0),
        ("ulaw-8k.wav", "audio/wav", 0),
        ("alaw-8k.wav", "audio/wav", 0),
        ("mono-44k.flac", "audio/flac", 0),
        ("stereo-22k.flac", "audio/flac", 0),
        ("mono-48k.flac", "audio/flac", 0),
        ("mono-44k.mp3", "audio/mpeg", 2),
        ("stereo-48k.mp3", "audio/mpeg", 2),
        ("mono-22k.mp3", "audio/mpeg", 700),
        ("stereo-44k.ogg", "audio/ogg", 2),
        ("mono-48k.ogg", "audio/ogg", 2),
        ("stereo-44k.m4a", "audio/mp4", 400),
        ("mono-48k.m4a", "audio/mp4", 400),
        ("mono-16k.aac", "audio/aac", 1100),
    ];
    for (name, content_type, slack) in files {
        let audio = data(name);
        assert!(audio.len() < 30_000, "{name} is too big for the repository");
        assert_eq!(Format::guess(&audio).content_type, content_type, "{name}");
        let (clip, format) = decoded(audio).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(format.content_type, content_type, "{name}");
        let (samples, rate) = (clip.samples(), clip.rate_hz());
        // The best rate that it has, or the next above.
        let wanted = match name.split_once(".").unwrap().0.rsplit('-').next().unwrap() {
            "16k" => 16_000,
            "22k" => 24_000,
            "44k" | "48k" => 48_000,
            _ => 8_000,
        };
        assert_eq!(rate, wanted, "{name}");
        assert!(clip.units().abs_diff(4000) <= slack, "{name}: {} units", clip.units());
        let scale = rate as usize / 8_000;
        let (tone, all) = power(&samples[1200 * scale..3600 * scale], 1000.0, rate);
        assert!((tone - -6.02).abs() < 0.5, "{name}: the tone is at {tone:.2} dB");
        // What is not the tone: quantisation of 8 bits at worst.
        assert!(all - tone < 0.02, "{name}: tone {tone:.2} dB of {all:.2} dB");
    }
}

#[test]
fn one_silent_channel_halves_the_level() {
    let (clip, _) = decoded(data("left-44k.wav")).unwrap();
    assert!(clip.units().abs_diff(1200) <= 1);
    let (tone, _) = power(&clip.samples()[1_200..6_000], 1000.0, clip.rate_hz());
    assert!((tone - -9.03).abs() < 0.3, "{tone}");
}

#[test]
fn mulaw_at_8_khz_passes_bit_for_bit() {
    let file = data("ulaw-8k.wav");
    let start = file.windows(4).position(|w| w == b"data").unwrap() + 8;
    let expected: Vec<i16> = file[start..start + 4000]
        .iter()
        .map(|byte| {
            let code = !byte;
            let magnitude = ((i16::from(code & 0x0f) << 3) + 0x84) << ((code & 0x70) >> 4);
            if code & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
        })
        .collect();
    assert_eq!(decoded(file).unwrap().0.samples(), expected);
}

fn wav(rate: u32, channels: u16, frames: u32) -> Vec<u8> {
    let bytes = frames * u32::from(channels) * 2;
    let mut file = Vec::new();
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    file.extend_from_slice(&1u16.to_le_bytes());
    file.extend_from_slice(&channels.to_le_bytes());
    file.extend_from_slice(&rate.to_le_bytes());
    file.extend_from_slice(&(rate.wrapping_mul(u32::from(channels) * 2)).to_le_bytes());
    file.extend_from_slice(&(channels * 2).to_le_bytes());
    file.extend_from_slice(&16u16.to_le_bytes());
    file.extend_from_slice(b"data");
    file.extend_from_slice(&bytes.to_le_bytes());
    file.resize(file.len() + bytes as usize, 0);
    file
}

#[test]
fn limits_hold() {
    let limits = Limits { max_bytes: 50_000, max_duration: Duration::from_secs(2) };
    assert!(decode("x", wav(8000, 1, 16_000).into(), &limits).is_ok());
    assert_eq!(
        decode("x", wav(8000, 1, 16_001).into(), &limits).unwrap_err(),
        PromptError::TooLong { place: "x".to_owned(), seconds: 2 }
    );
    assert_eq!(
        decode("x", wav(8000, 1, 25_000).into(), &limits).unwrap_err(),
        PromptError::TooBig { place: "x".to_owned(), limit: 50_000 }
    );
    for (rate, channels) in [(0, 1), (10, 1), (4_000_000_000, 1), (8000, 0), (8000, 9), (8000, 4000)] {
        assert!(matches!(decoded(wav(rate, channels, 10)), Err(PromptError::BadFormat { .. })), "{rate} {channels}");
    }
}

#[test]
fn what_is_not_audio_is_refused_with_a_reason() {
    let inputs: [&[u8]; 9] = [
        b"",
        b"R",
        b"RIFF",
        b"<html><body>Please log in</body></html>",
        b"{\"error\":\"no such blob\"}",
        &[0; 5000],
        &[0xff; 5000],
        b"fLaC\0\0\0\x22",
        b"OggS\0\x02",
    ];
    for input in inputs {
        let error = decoded(input.to_vec()).unwrap_err();
        assert_eq!(error.sub_code(), 8535, "{error}");
    }
    let error = decoded(wav(8000, 1, 0)).unwrap_err();
    assert!(error.to_string().contains("no audio"), "{error}");
}

#[test]
fn a_file_that_was_cut_off_plays_as_far_as_it_goes() {
    let mut file = data("pcm-s16-16k.wav");
    file.truncate(8044);
    let (clip, _) = decoded(file).unwrap();
    assert!(clip.units().abs_diff(2000) < 10, "{}", clip.units());
}

#[test]
fn damaged_files_neither_panic_nor_hang() {
    let files = [
        "pcm-s24-16k.wav",
        "ulaw-8k.wav",
        "mono-22k.mp3",
        "mono-48k.ogg",
        "mono-48k.m4a",
        "mono-16k.aac",
        "mono-44k.flac",
    ];
    let limits = Limits { max_bytes: 1 << 20, max_duration: Duration::from_secs(2) };
    let mut random = crate::random::Random::from_number(7);
    let mut refused = 0;
    for name in files {
        let whole = data(name);
        for _ in 0..FUZZ_ROUNDS {
            let mut audio = whole.clone();
            for _ in 0..=random.below(12) {
                // Most damage goes to the headers, where the numbers that matter are.
                let reach = if random.below(3) == 0 { audio.len() as u64 } else { 700.min(audio.len() as u64) };
                let at = random.below(reach) as usize;
                match random.below(4) {
                    0 => audio[at] = random.u32() as u8,
                    1 => audio[at] ^= 1 << random.below(8),
                    2 => {
                        let extreme = [0, 0xff, 0x7f, 0x80][random.below(4) as usize];
                        audio.iter_mut().skip(at).take(4).for_each(|byte| *byte = extreme);
                    }
                    _ => {
                        if random.below(4) == 0 {
                            audio.truncate(at.max(1));
                        }
                    }
                }
            }
            if name.ends_with(".ogg") {
                seal_pages(&mut audio);
            }
            match decode("fuzz", audio.into(), &limits) {
                Ok((clip, _)) => assert!(clip.units() <= 16_000),
                Err(e) => {
                    assert_eq!(e.sub_code(), 8535);
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0);
}

const FUZZ_ROUNDS: usize = 300;

/// Makes the checksums of Ogg pages right again, as somebody who means harm would.
fn seal_pages(audio: &mut [u8]) {
    let mut starts: Vec<usize> = (0..audio.len()).filter(|&at| audio[at..].starts_with(b"OggS")).collect();
    starts.push(audio.len());
    for page in starts.windows(2) {
        let page = &mut audio[page[0]..page[1]];
        if page.len() < 27 {
            continue;
        }
        page[22..26].fill(0);
        let checksum = page.iter().fold(0u32, |sum, &byte| {
            (0..8).fold(sum ^ u32::from(byte) << 24, |sum, _| (sum << 1) ^ ((sum >> 31) * 0x04c1_1db7))
        });
        page[22..26].copy_from_slice(&checksum.to_le_bytes());
    }
}

#[test]
fn a_long_prompt_is_kept_at_a_lower_rate() {
    let audio: Bytes = data("mono-48k.flac").into();
    let mut given = 0;
    for (best, wanted) in [(48_000, None), (24_000, None), (16_000, Some(16_000)), (8_000, Some(8_000))] {
        let bounds = Bounds { best, most: Duration::from_secs(60), most_samples: 10_000 };
        let decoded =
            decode_bounded("x", Box::new(Cursor::new(audio.clone())), &bounds, &mut |more| given += more.len())
                .unwrap();
        match decoded {
            Decoded::Whole(_, rate) => assert_eq!(Some(rate), wanted),
            Decoded::TooFine(rate) => assert_eq!((rate, wanted), (best, None)),
        }
    }
    assert!(given > 0);
}
