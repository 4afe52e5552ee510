//! Every codec against itself, against each other, and against what ffmpeg and libopus make of the same audio.

use super::*;
use crate::random::Random;

/// Two seconds that are like a voice at `rate`: harmonics of a gliding pitch, syllables, a little breath.
fn voice(rate: u32, seconds: f64) -> Vec<i16> {
    let mut random = Random::from_number(11);
    let mut phase = 0.0;
    (0..(f64::from(rate) * seconds) as usize)
        .map(|n| {
            let t = n as f64 / f64::from(rate);
            let pitch = 130.0 + 30.0 * (t * 2.1).sin();
            phase += std::f64::consts::TAU * pitch / f64::from(rate);
            let syllable = (0.5 - 0.5 * (std::f64::consts::TAU * 3.3 * t).cos()).powi(2);
            let voiced: f64 = (1..20).map(|k| (phase * f64::from(k)).sin() / f64::from(k)).sum();
            let breath = random.below(400) as f64 - 200.0;
            (syllable * voiced * 5_000.0 + breath * syllable) as i16
        })
        .collect()
}

/// Signal to noise in dB at the best lag and gain.
fn likeness(wanted: &[i16], got: &[i16], most_lag: usize) -> f64 {
    let mut best = f64::MIN;
    for lag in 0..most_lag {
        let (mut aa, mut bb, mut ab) = (1.0, 1.0, 0.0);
        for (&a, &b) in wanted.iter().zip(got.get(lag..).unwrap_or(&[])) {
            let (a, b) = (f64::from(a), f64::from(b));
            aa += a * a;
            bb += b * b;
            ab += a * b;
        }
        let cosine = ab * ab / (aa * bb);
        best = best.max(-10.0 * (1.0 - cosine).max(1e-12).log10());
    }
    best
}

fn encode(encoder: &mut Encoder, samples: &[i16]) -> Vec<Vec<u8>> {
    let mut out = [0; MAX_FRAME_BYTES];
    let frame = encoder.frame_samples();
    samples
        .chunks_exact(frame)
        .map(|frame| {
            let length = encoder.encode(frame, &mut out).unwrap();
            out[..length].to_vec()
        })
        .collect()
}

fn decode(decoder: &mut Decoder, packets: &[Vec<u8>]) -> Vec<i16> {
    let mut out = [0; MAX_PACKET_SAMPLES];
    let mut all = Vec::new();
    for packet in packets {
        assert_eq!(decoder.duration(packet), Some(decoder.sample_rate() / 50));
        let count = decoder.decode(packet, &mut out).unwrap();
        all.extend_from_slice(&out[..count]);
    }
    all
}

#[test]
fn every_codec_gives_back_what_went_in() {
    // The least that each must keep of a voice, in dB; Opus is made for ears, not for this measure.
    for (codec, least) in
        [(Codec::Pcmu, 34.0), (Codec::Pcma, 34.0), (Codec::G722, 20.0), (Codec::L16, 100.0), (Codec::Opus, 5.0)]
    {
        let said = voice(codec.sample_rate(), 2.0);
        let heard = decode(&mut Decoder::new(codec), &encode(&mut Encoder::new(codec), &said));
        assert_eq!(heard.len(), said.len());
        let snr = likeness(&said, &heard, 400);
        assert!(snr > least, "{codec:?}: {snr:.1} dB");
    }
}

#[test]
fn silence_is_silent_in_every_codec_for_ever() {
    for codec in Codec::ALL {
        let mut packet = [7; MAX_FRAME_BYTES];
        let length = silence(codec, &mut packet);
        let mut decoder = Decoder::new(codec);
        let mut out = [0; MAX_PACKET_SAMPLES];
        for n in 0..500 {
            let count = decoder.decode(&packet[..length], &mut out).unwrap();
            assert_eq!(count, codec.sample_rate() as usize / 50, "{codec:?}");
            let loudest = out[..count].iter().map(|s| s.unsigned_abs()).max().unwrap();
            assert!(loudest <= 16 || n == 0 && loudest < 40, "{codec:?}: {loudest} in frame {n}");
        }
        assert_eq!(silence(codec, &mut packet[..length - 1]), 0);
    }
}

#[test]
fn silence_after_a_voice_is_heard_as_silence() {
    for codec in Codec::ALL {
        let mut decoder = Decoder::new(codec);
        let said = voice(codec.sample_rate(), 1.0);
        let packets = encode(&mut Encoder::new(codec), &said);
        decode(&mut decoder, &packets[..packets.len() - 7]);
        let mut packet = [0; MAX_FRAME_BYTES];
        let length = silence(codec, &mut packet);
        let heard = decode(&mut decoder, &vec![packet[..length].to_vec(); 20]);
        let late = &heard[heard.len() / 4..];
        let loudest = late.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(loudest <= 60, "{codec:?}: {loudest}");
    }
}

#[test]
fn payloads_of_the_wrong_size_are_refused() {
    let mut out = [0; MAX_PACKET_SAMPLES];
    for codec in Codec::ALL {
        let mut decoder = Decoder::new(codec);
        let name = codec.encoding_name();
        assert_eq!(decoder.duration(&[]), None, "{name}");
        assert_eq!(decoder.decode(&[], &mut out), Err(CodecError::Malformed(name)));
        assert_eq!(decoder.decode(&[0; 5_000], &mut out), Err(CodecError::Malformed(name)), "{name}");
        let mut packet = [0; MAX_FRAME_BYTES];
        let length = silence(codec, &mut packet);
        assert_eq!(decoder.decode(&packet[..length], &mut out[..100]), Err(CodecError::TooLong(name)));
        let mut encoder = Encoder::new(codec);
        let frame = encoder.frame_samples();
        assert_eq!(encoder.encode(&vec![0; frame - 1], &mut packet), Err(CodecError::FrameLength(name)));
        assert_eq!(encoder.encode(&vec![0; frame], &mut packet[..1]), Err(CodecError::TooLong(name)));
    }
    assert_eq!(Decoder::new(Codec::L16).duration(&[0; 321]), None);
    assert_eq!(Decoder::new(Codec::Pcmu).duration(&[0; 1_920]), Some(1_920));
    assert_eq!(Decoder::new(Codec::Pcmu).duration(&[0; 1_921]), None);
}

#[test]
fn random_payloads_do_no_harm() {
    let mut random = Random::from_number(5);
    let mut out = [0; MAX_PACKET_SAMPLES];
    for codec in [Codec::G722, Codec::L16, Codec::Opus] {
        let mut decoder = Decoder::new(codec);
        for _ in 0..2_000 {
            let length = random.below(180) as usize;
            let payload: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
            match random.below(6) {
                0 => {
                    decoder.recover(&payload, &mut out[..320]);
                }
                1 => {
                    decoder.conceal(&mut out[..320]);
                }
                _ => {
                    let told = decoder.duration(&payload);
                    if let Ok(count) = decoder.decode(&payload, &mut out) {
                        assert_eq!(Some(count as u32), told);
                    }
                }
            }
        }
    }
}

/// Samples as ffmpeg writes them (s16le).
fn pcm(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect()
}

#[test]
fn ffmpegs_g722_is_decoded_as_ffmpeg_does() {
    let stream = include_bytes!("../../../tests/data/codec/voice.g722");
    let wanted = pcm(include_bytes!("../../../tests/data/codec/voice-g722.s16"));
    let packets: Vec<_> = stream.chunks(160).map(<[u8]>::to_vec).collect();
    let heard = decode(&mut Decoder::new(Codec::G722), &packets);
    assert_eq!(heard.len(), wanted.len());
    // It begins with the smallest step instead of the recommendation's: a quarter of a second later that is forgotten.
    assert_eq!(heard[4_000..], wanted[4_000..]);
    let worst = heard.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(worst <= 16, "{worst}");
}

#[test]
fn libopus_packets_are_decoded_as_libopus_does() {
    // Each with its length before it (u16, big-endian): 24 kbit/s, FEC for 10 % loss, wide-band SILK.
    let mut stream: &[u8] = include_bytes!("../../../tests/data/codec/voice.opus-packets");
    let wanted = pcm(include_bytes!("../../../tests/data/codec/voice-opus.s16"));
    let mut packets = Vec::new();
    while let Some((&[high, low], rest)) = stream.split_first_chunk() {
        let (packet, rest) = rest.split_at(usize::from(u16::from_be_bytes([high, low])));
        packets.push(packet.to_vec());
        stream = rest;
    }
    let heard = decode(&mut Decoder::new(Codec::Opus), &packets);
    assert_eq!(heard.len(), wanted.len());
    let worst = heard.iter().zip(&wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(worst <= 1, "off by {worst} (rounding may differ)");

    // Every eighth packet is lost: FEC must bring back nearly what was in it, concealment cannot.
    let frame = 320;
    let mut errors = [0.0, 0.0];
    let mut energy = 1.0;
    for (kind, error) in errors.iter_mut().enumerate() {
        let mut decoder = Decoder::new(Codec::Opus);
        let mut out = [0; MAX_PACKET_SAMPLES];
        for (n, packet) in packets.iter().enumerate() {
            if n % 8 == 5 && n + 1 < packets.len() {
                let next = &packets[n + 1];
                if kind == 0 {
                    if decoder.recover(next, &mut out[..frame]).is_none() {
                        assert!(decoder.conceal(&mut out[..frame]));
                    }
                } else {
                    assert!(decoder.conceal(&mut out[..frame]));
                }
                for (got, want) in out[..frame].iter().zip(&wanted[n * frame..]) {
                    *error += (f64::from(*got) - f64::from(*want)).powi(2);
                    energy += f64::from(*want).powi(2) / 2.0;
                }
            } else {
                decoder.decode(packet, &mut out).unwrap();
            }
        }
    }
    let [fec, concealed] = errors.map(|error| 10.0 * (energy / error).log10());
    assert!(fec > concealed + 3.0 && fec > 6.0, "FEC {fec:.1} dB, concealment {concealed:.1} dB");
}

/// At 16 kHz, so that delays of half a sample can be matched.
fn wide(codec: Codec, samples: &[i16]) -> Vec<i16> {
    let mut resampler = crate::media::resample::Resampler::new(codec.sample_rate(), 16_000).unwrap();
    resampler.push_pcm(samples).unwrap();
    resampler.finish().unwrap()
}

#[test]
fn between_any_two_codecs_a_voice_gets_through() {
    // What must be left of it, in dB: what the worse of both leaves.
    let worth = |codec| match codec {
        Codec::Pcmu | Codec::Pcma => 28.0,
        Codec::G722 => 18.0,
        Codec::L16 => 30.0,
        Codec::Opus => 4.0,
    };
    for from in Codec::ALL {
        let said = voice(from.sample_rate(), 1.5);
        let packets = encode(&mut Encoder::new(from), &said);
        for to in Codec::ALL {
            let mut decoder = Decoder::new(from);
            let mut bridge = live::LiveEncoder::new(from.sample_rate(), to);
            let mut far = Decoder::new(to);
            let (mut pcm, mut out) = ([0; MAX_PACKET_SAMPLES], [0; MAX_FRAME_BYTES]);
            let mut heard = Vec::new();
            for packet in &packets {
                let count = decoder.decode(packet, &mut pcm).unwrap();
                let length = bridge.encode(&pcm[..count], &mut out).unwrap();
                let count = far.decode(&out[..length], &mut pcm).unwrap();
                heard.extend_from_slice(&pcm[..count]);
            }
            let snr = likeness(&wide(from, &said[..said.len() * 9 / 10]), &wide(to, &heard), 700);
            let least = f64::min(worth(from), worth(to)) - 3.0;
            assert!(snr > least, "{from:?} to {to:?}: {snr:.1} dB");
        }
    }
}

#[test]
fn frames_allocate_nothing() {
    for codec in Codec::ALL {
        let mut encoder = Encoder::new(codec);
        let mut decoder = Decoder::new(codec);
        let said = voice(codec.sample_rate(), 1.0);
        let (mut out, mut pcm) = ([0; MAX_FRAME_BYTES], [0; MAX_PACKET_SAMPLES]);
        let counted = allocation_counter::measure(|| {
            for frame in said.chunks_exact(encoder.frame_samples()) {
                let length = encoder.encode(frame, &mut out).unwrap();
                decoder.decode(&out[..length], &mut pcm).unwrap();
                decoder.recover(&out[..length], &mut pcm[..320]);
                decoder.conceal(&mut pcm[..320]);
            }
        });
        assert_eq!(counted.count_total, 0, "{codec:?}");
    }
}
