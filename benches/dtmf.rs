//! What the tone detector costs for each 20 ms frame of 8 kHz audio: speech, noise, digits, a tone and silence.
//!
//! `cargo bench --bench dtmf` measures ours alone; `cargo bench --bench dtmf --features spandsp` measures spandsp
//! (Debian's `libspandsp-dev`) beside it, the two in turn, a second of audio at a time, so that a machine that slows down
//! slows both. Of the many short repeats the first quartile counts.
//!
//! More WAV files (8 kHz, mono) to be listened to may be named as arguments. Instructions repeat exactly:
//! `cargo bench --bench dtmf --no-run`, then
//! `valgrind --tool=callgrind --toggle-collect='*measured*' target/release/deps/dtmf-… speech` counts those of 2,000 frames
//! of the signal named (one of the table's); divide by 2,000.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use strowger::dtmf::{Detector, Digit, ToneGenerator};
use strowger::random::Random;

/// Samples of 20 ms.
const FRAME: usize = 160;
/// Frames of a repeat: 1 s.
const FRAMES: usize = 50;
/// Repeats of each signal.
const REPEATS: usize = 1_000;
/// Frames fed when instructions are counted.
const COUNTED: usize = 2_000;

/// Whatever hears digits.
trait Hears {
    fn feed(&mut self, frame: &[i16]);
}

impl Hears for Detector {
    fn feed(&mut self, frame: &[i16]) {
        Detector::feed(self, frame, &mut |report| {
            black_box(report);
        });
    }
}

#[cfg(feature = "spandsp")]
mod spandsp {
    //! spandsp's receiver, by the declarations of its `dtmf.h`.

    use std::ffi::{c_char, c_int, c_void};
    use std::ptr;

    type DigitsCallback = extern "C" fn(user_data: *mut c_void, digits: *const c_char, length: c_int);

    #[link(name = "spandsp")]
    unsafe extern "C" {
        fn dtmf_rx_init(state: *mut c_void, callback: Option<DigitsCallback>, user_data: *mut c_void) -> *mut c_void;
        fn dtmf_rx(state: *mut c_void, samples: *const i16, count: c_int) -> c_int;
        fn dtmf_rx_free(state: *mut c_void) -> c_int;
    }

    pub struct Receiver(*mut c_void);

    impl Receiver {
        pub fn new() -> Self {
            // SAFETY: with no state given, one is allocated; without a callback, the digits stay in its buffer.
            let state = unsafe { dtmf_rx_init(ptr::null_mut(), None, ptr::null_mut()) };
            assert!(!state.is_null(), "spandsp has no memory");
            Receiver(state)
        }
    }

    impl super::Hears for Receiver {
        fn feed(&mut self, frame: &[i16]) {
            // SAFETY: the state lives until it is dropped; of the samples, so many are read.
            unsafe { dtmf_rx(self.0, frame.as_ptr(), frame.len() as c_int) };
        }
    }

    impl Drop for Receiver {
        fn drop(&mut self) {
            // SAFETY: it is ours, and used no more.
            unsafe { dtmf_rx_free(self.0) };
        }
    }
}

/// Feeds the frames; a function of its own so that a profiler can tell it from the rest.
#[inline(never)]
fn measured(hears: &mut impl Hears, samples: &[i16]) {
    for frame in samples.chunks_exact(FRAME) {
        hears.feed(black_box(frame));
    }
}

fn timed(hears: &mut impl Hears, samples: &[i16]) -> Duration {
    let started = Instant::now();
    measured(hears, samples);
    started.elapsed()
}

/// The first quartile, in ns a frame.
fn quartile(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 4).map_or(0.0, |time| time.as_nanos() as f64 / FRAMES as f64)
}

/// The samples of every 8 kHz WAV (16 bits or µ-law) below a path.
fn recorded(path: &Path, into: &mut Vec<i16>) {
    if path.is_dir() {
        let Ok(entries) = std::fs::read_dir(path) else { return };
        let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        inside.sort();
        inside.iter().for_each(|path| recorded(path, into));
        return;
    }
    let Ok(file) = std::fs::read(path) else { return };
    let (Some(format), Some(data)) = (chunk(&file, b"fmt "), chunk(&file, b"data")) else { return };
    match (format.first(), format.get(4..6)) {
        (Some(1), Some([0x40, 0x1f])) => {
            into.extend(data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        }
        (Some(7), Some([0x40, 0x1f])) => into.extend(data.iter().map(|&byte| {
            let (exponent, mantissa) = ((!byte >> 4) & 7, i16::from(!byte & 15));
            let magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84;
            if byte & 0x80 == 0 { -magnitude } else { magnitude }
        })),
        _ => {}
    }
}

/// A chunk of a RIFF file.
fn chunk<'a>(file: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = file.get(12..)?;
    loop {
        let (header, body) = rest.split_at_checked(8)?;
        let length = u32::from_le_bytes(header[4..].try_into().ok()?) as usize;
        if &header[..4] == name {
            return Some(&body[..length.min(body.len())]);
        }
        rest = body.get(length + length % 2..)?;
    }
}

/// The signals by name.
fn signals() -> Vec<(String, Vec<i16>)> {
    let mut random = Random::from_number(20);
    let mut white = move |peak: f64| (f64::from(random.u32()) / f64::from(u32::MAX) * 2.0 - 1.0) * peak;
    let mut speech = Vec::new();
    recorded(&Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts"), &mut speech);
    let noise = (0..FRAME * FRAMES * 8).map(|_| white(8_000.0) as i16).collect();
    let mut last = 0.0;
    let syllables = (0..FRAME * FRAMES * 8)
        .map(|n| {
            last = 0.85 * last + white(1.0);
            (last * (n as f64 / 8000.0 * std::f64::consts::TAU * 2.0).sin().abs() * 6000.0) as i16
        })
        .collect();
    let mut digits = vec![0; FRAME * 10 * 16];
    ToneGenerator::new(Digit::ALL, 100, 100).fill(&mut digits);
    let mut tone = vec![0; FRAME * FRAMES];
    ToneGenerator::new([Digit::Five], 1000, 0).fill(&mut tone);
    vec![
        ("speech".into(), speech),
        ("noise".into(), noise),
        ("syllables".into(), syllables),
        ("digits".into(), digits),
        ("tone".into(), tone),
        ("silence".into(), vec![0; FRAME * FRAMES]),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut signals = signals();
    for path in arguments.iter().filter(|argument| argument.ends_with(".wav")) {
        let mut samples = Vec::new();
        recorded(Path::new(path), &mut samples);
        signals.push((path.clone(), samples));
    }
    if let [name] = &arguments[..]
        && let Some((_, samples)) = signals.iter().find(|(known, _)| known == name)
    {
        let samples: Vec<i16> = samples.iter().copied().cycle().take(FRAME * COUNTED).collect();
        measured(&mut Detector::new(), &samples);
        return;
    }
    println!("{:<12} {:>12} {:>12} {:>12} {:>8}", "signal", "ns a frame", "x real time", "spandsp ns", "ratio");
    for (name, samples) in &signals {
        let repeats = samples.chunks_exact(FRAME * FRAMES).cycle().take(REPEATS);
        let mut ours = Detector::new();
        let mut times = Vec::new();
        #[cfg(feature = "spandsp")]
        let (mut theirs, mut their_times) = (spandsp::Receiver::new(), Vec::new());
        for samples in repeats {
            times.push(timed(&mut ours, samples));
            #[cfg(feature = "spandsp")]
            their_times.push(timed(&mut theirs, samples));
        }
        let nanoseconds = quartile(times);
        print!("{name:<12} {nanoseconds:>12.0} {:>12.0}", 20e6 / nanoseconds);
        #[cfg(feature = "spandsp")]
        {
            let theirs = quartile(their_times);
            print!(" {theirs:>12.0} {:>8.2}", theirs / nanoseconds);
        }
        println!();
    }
    let mut times = Vec::new();
    let mut samples = vec![0; FRAME * FRAMES];
    let mut generator = ToneGenerator::new(vec![Digit::Five; 1 << 16], 100, 100);
    for _ in 0..REPEATS {
        let started = Instant::now();
        generator.fill(black_box(&mut samples));
        times.push(started.elapsed());
    }
    println!("{:<12} {:>12.0}", "generator", quartile(times));
}
