//! A network on paper, for tests: delays and losses as they are met, on a virtual clock, with real speech behind them.
//! Senders send 20 ms of PCMU; the receiver looks for packets once a frame, as a media thread does.

use crate::media::codec::g711::{self, Law};
use crate::random::Random;
use crate::time::Time;

/// µs between two packets, and between two ticks.
pub const FRAME_US: i64 = 20_000;
/// Samples in a frame at 8 kHz.
pub const FRAME: usize = 160;

/// What the network does to a packet: how late it comes, µs, or that it is lost.
pub type Fate = Box<dyn FnMut(i64) -> Option<i64>>;

/// A network.
pub struct Network {
    /// Its name in tables.
    pub name: &'static str,
    /// How far the sender's clock is off ours, parts in a million: positive is faster.
    pub ppm: i64,
    /// Fate of packet n.
    pub fate: Fate,
}

/// Whatever takes packets and plays frames.
pub trait Ear {
    /// A packet came.
    fn take(&mut self, sequence: u16, timestamp: u32, payload: &[u8], now: Time);
    /// A frame is due.
    fn frame(&mut self, now: Time) -> Vec<i16>;
}

/// A number in 0..1.
fn even(random: &mut Random) -> f64 {
    random.below(1 << 32) as f64 / (1u64 << 32) as f64
}

/// About normally distributed, mean 0 and deviation 1.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| even(random)).sum::<f64>() - 6.0
}

/// A queue: packets that come while the link is stopped leave together when it goes on.
fn stalls(seed: u64, chance: f64, ms: (u64, u64), noise: u64) -> Fate {
    let mut random = Random::from_number(seed);
    let mut free_at = 0;
    Box::new(move |n| {
        let sent = n * FRAME_US;
        if even(&mut random) < chance {
            free_at = free_at.max(sent + ((ms.0 + random.below(ms.1 - ms.0)) * 1_000) as i64);
        }
        Some((free_at - sent).max(0) + random.below(noise) as i64)
    })
}

/// Gilbert–Elliott: runs of loss with this mean length, and this much loss in all.
pub fn bursts(seed: u64, loss: f64, length: f64) -> Fate {
    let mut random = Random::from_number(seed);
    let mut bad = false;
    Box::new(move |_| {
        let change = if bad { 1.0 / length } else { loss / (1.0 - loss) / length };
        if even(&mut random) < change {
            bad = !bad;
        }
        (!bad).then_some(0)
    })
}

/// Independent loss.
pub fn losing(seed: u64, loss: f64, mut fate: Fate) -> Fate {
    let mut random = Random::from_number(seed);
    Box::new(move |n| {
        let late = fate(n);
        if even(&mut random) < loss { None } else { late }
    })
}

/// The networks of the table in [`super`].
pub fn networks() -> Vec<Network> {
    let network = |name, fate| Network { name, ppm: 0, fate };
    let uniform = |seed, most: u64| -> Fate {
        let mut random = Random::from_number(seed);
        Box::new(move |_| Some(random.below(most) as i64))
    };
    let gauss: Fate = {
        let mut random = Random::from_number(3);
        let mut last = 0;
        Box::new(move |n| {
            // In order: a packet waits for the one before it.
            let at = n * FRAME_US + (30_000.0 + 12_000.0 * normal(&mut random)).max(0.0) as i64;
            last = at.max(last);
            Some(last - n * FRAME_US)
        })
    };
    let spikes: Fate = Box::new(|n| {
        // Every six seconds the path fills by 240 ms and drains twice as fast as it is fed.
        let phase = n % 300;
        Some(if (150..174).contains(&phase) { (174 - phase) * 10_000 } else { n * 7_919 % 2_000 })
    });
    let route: Fate =
        Box::new(|n| Some(if (500..1_000).contains(&(n % 1_500)) { 80_000 } else { 0 } + n * 7_919 % 2_000));
    let mobile: Fate = {
        let mut random = Random::from_number(7);
        let (mut slow, mut last, mut free_at) = (0.0f64, 0, 0);
        Box::new(move |n| {
            let sent = n * FRAME_US;
            slow = slow * 0.98 + 0.2 * normal(&mut random);
            if n % 1_000 == 600 {
                // Another cell.
                free_at = sent + 250_000;
            }
            let at = sent
                + (15_000.0 * (slow * 0.7).exp()).min(200_000.0) as i64
                + (normal(&mut random).abs() * 4_000.0) as i64;
            last = at.max(last).max(free_at);
            (even(&mut random) >= 0.01).then_some(last - sent)
        })
    };
    vec![
        network("clean", uniform(1, 1_000)),
        network("even 0–40 ms, out of order", uniform(2, 40_000)),
        network("Gaussian, 12 ms", gauss),
        network("Wi-Fi stalls, 40–150 ms", stalls(4, 0.006, (40, 150), 3_000)),
        network("spikes of 240 ms", spikes),
        network("route changes by 80 ms", route),
        network("mobile, 1 % loss", mobile),
        network("1 % loss", losing(8, 0.01, uniform(9, 1_000))),
        network("5 % loss", losing(10, 0.05, uniform(11, 1_000))),
        network("5 % loss in runs of 3", bursts(12, 0.05, 3.0)),
        Network { name: "clock +200 ppm", ppm: 200, fate: uniform(13, 1_000) },
        Network { name: "clock −200 ppm", ppm: -200, fate: uniform(14, 1_000) },
        Network {
            name: "Wi-Fi, 1 % loss, +200 ppm",
            ppm: 200,
            fate: losing(15, 0.01, stalls(16, 0.006, (40, 150), 3_000)),
        },
    ]
}

/// Sends `audio` over a network into an ear; gives what it played, from the first tick on, `tail` frames longer.
pub fn run(network: &mut Network, audio: &[i16], ear: &mut impl Ear, phase_us: i64, tail: usize) -> Vec<i16> {
    let begin = 1_000_000_000;
    let mut arrivals: Vec<(i64, usize)> = Vec::new();
    for n in 0..audio.len() / FRAME {
        let sent = n as i64 * FRAME_US - n as i64 * FRAME_US * network.ppm / 1_000_000;
        if let Some(late) = (network.fate)(n as i64) {
            arrivals.push((sent + late, n));
        }
    }
    arrivals.sort_unstable();
    let mut arrivals = arrivals.into_iter().peekable();
    let ticks = audio.len() / FRAME + tail;
    let mut played = Vec::new();
    for tick in 0..ticks as i64 {
        let at = tick * FRAME_US + phase_us;
        let now = Time::from_micros((begin + at) as u64);
        while let Some((_, n)) = arrivals.next_if(|(arrival, _)| *arrival <= at) {
            let payload: Vec<u8> =
                audio[n * FRAME..(n + 1) * FRAME].iter().map(|sample| g711::encode(Law::Mu, *sample)).collect();
            ear.take(n as u16, (n * FRAME) as u32, &payload, now);
        }
        played.extend(ear.frame(now));
    }
    played
}

/// Speech: the longer prompts that ship, one after the other, 0.3 s apart. About `seconds` long.
pub fn speech(seconds: usize) -> Vec<i16> {
    const FILES: [&[u8]; 6] = [
        include_bytes!("../../../prompts/en/demo-menu.wav"),
        include_bytes!("../../../prompts/en/main-menu.wav"),
        include_bytes!("../../../prompts/en/press-1-for-yes-2-for-no.wav"),
        include_bytes!("../../../prompts/en/please-hold-while-we-connect-you.wav"),
        include_bytes!("../../../prompts/en/technical-difficulties.wav"),
        include_bytes!("../../../prompts/en/please-enter-your-account-number.wav"),
    ];
    let mut out = Vec::new();
    while out.len() < seconds * 8_000 {
        for file in FILES {
            let data = file.windows(4).position(|four| four == b"data").expect("a WAV file") + 8;
            out.extend(file[data..].iter().map(|byte| g711::decode(Law::Mu, *byte)));
            out.extend([0; 2_400]);
        }
    }
    out.truncate(seconds * 8_000 / FRAME * FRAME);
    out
}

/// How near what was played is to what was sent: for each 20 ms of speech, the best signal-to-noise ratio (−5 to 35 dB)
/// at any shift near the last one, as the delay may have changed; the mean of all.
pub fn segmental_snr(sent: &[i16], played: &[i16]) -> f64 {
    let scores: Vec<f64> = aligned(sent, played).into_iter().flatten().map(|(score, _)| score).collect();
    scores.iter().sum::<f64>() / scores.len().max(1) as f64
}

/// How far the sound of the frames that were lost, and of the one after each hole, is from what was sent: the mean
/// difference in dB of 14 bands of 250 Hz, down to 30 dB below the frame's mean. What is silent does not count.
pub fn spectral_distance(sent: &[i16], played: &[i16], lost: impl Fn(usize) -> bool) -> f64 {
    let (mut sum, mut count, mut shift) = (0.0, 0, 400);
    for (n, (here, found)) in sent.chunks_exact(FRAME).zip(aligned(sent, played)).enumerate() {
        let Some((score, there)) = found else { continue };
        if !lost(n) && (n == 0 || !lost(n - 1)) {
            if score > 15.0 {
                shift = there;
            }
            continue;
        }
        let Some(heard) = usize::try_from((n * FRAME) as i64 + shift).ok().and_then(|at| played.get(at..at + FRAME))
        else {
            continue;
        };
        let (sent, heard) = (bands(here), bands(heard));
        let floor = sent.iter().sum::<f64>() / sent.len() as f64 / 1_000.0;
        let off = sent.iter().zip(heard).map(|(a, b)| (10.0 * ((a + floor) / (b + floor)).log10()).abs());
        sum += off.sum::<f64>() / sent.len() as f64;
        count += 1;
    }
    sum / f64::from(count.max(1))
}

/// Power in 14 bands of 250 Hz, from 100 Hz on.
fn bands(frame: &[i16]) -> [f64; 14] {
    std::array::from_fn(|band| {
        let bin = |bin: usize| {
            let turn = std::f64::consts::TAU * bin as f64 / FRAME as f64;
            let (re, im) = frame.iter().enumerate().fold((0.0, 0.0), |(re, im), (n, sample)| {
                let (sin, cos) = (turn * n as f64).sin_cos();
                (re + f64::from(*sample) * cos, im + f64::from(*sample) * sin)
            });
            re * re + im * im
        };
        (2 + band * 5..7 + band * 5).map(bin).sum()
    })
}

fn power(samples: &[i16]) -> f64 {
    samples.iter().map(|s| f64::from(*s).powi(2)).sum()
}

/// Power of the difference between `here` and what was played from `at` on.
fn noise(here: &[i16], played: &[i16], at: i64) -> Option<f64> {
    let there = played.get(usize::try_from(at).ok()?..)?.get(..here.len())?;
    Some(here.iter().zip(there).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum())
}

/// For each frame sent that is not silent, the signal-to-noise ratio (−5 to 35 dB), and how much later it was played.
fn aligned(sent: &[i16], played: &[i16]) -> Vec<Option<(f64, i64)>> {
    const REACH: i64 = 4_000;
    let mut scores = vec![None; sent.len() / FRAME];
    let mut shift = 400i64;
    for (n, here) in sent.chunks_exact(FRAME).enumerate() {
        let signal = power(here);
        if signal < 200.0 * 200.0 * FRAME as f64 {
            continue;
        }
        let at = (n * FRAME) as i64;
        let best = |shifts: &mut dyn Iterator<Item = i64>| {
            shifts
                .filter_map(|shift| Some((noise(here, played, at + shift)?, shift)))
                .min_by(|a, b| a.0.total_cmp(&b.0))
        };
        // Mostly as before; else nearby; else anywhere within half a second.
        let mut found = best(&mut (shift - 2..=shift + 2));
        if found.is_none_or(|(noise, _)| noise > signal * 0.03) {
            let wide = best(&mut (shift - 200..=shift + 200));
            if wide.is_none_or(|(noise, _)| noise > signal * 0.03) {
                let anywhere = best(&mut (0..REACH));
                if anywhere.is_some_and(|(noise, _)| noise < signal * 0.03) {
                    found = anywhere;
                } else {
                    found = found.min_by_noise(wide);
                }
            } else {
                found = wide;
            }
        }
        let Some((noise, there)) = found else { continue };
        if noise < signal * 0.03 {
            shift = there;
        }
        scores[n] = Some(((10.0 * (signal / noise.max(1.0)).log10()).clamp(-5.0, 35.0), there));
    }
    scores
}

trait MinByNoise {
    fn min_by_noise(self, other: Self) -> Self;
}

impl MinByNoise for Option<(f64, i64)> {
    fn min_by_noise(self, other: Self) -> Self {
        match (self, other) {
            (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
            (a, b) => a.or(b),
        }
    }
}
