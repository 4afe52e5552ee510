//! Throws random and mutated input at everything that reads what others send, on stable Rust:
//! `cargo run --release --example fuzz -- TARGET COUNT [SEED]`. A panic ends it with the input, as hex; the same seed
//! gives the same inputs. What it finds becomes a plain test beside the parser.

mod api;
mod media;
mod mutate;
mod registrar;
mod rules;
mod sip;
mod srtp;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use mutate::Mutator;
use strowger::random::Random;

/// Something that reads bytes, and where its inputs begin.
struct Target {
    name: &'static str,
    /// Sound inputs, to be damaged.
    seeds: Vec<Vec<u8>>,
    /// Pieces that its parser has an opinion about.
    spice: &'static [&'static [u8]],
    /// Reads one input. State may live from one to the next. True: it was sound.
    read: Reader,
}

/// What reads one input.
type Reader = Box<dyn FnMut(&[u8]) -> bool>;

/// A target's name and how it is made.
type Row = (&'static str, fn() -> Target);

const TARGETS: &[Row] = &[
    ("sip", sip::messages),
    ("sip-stream", sip::streams),
    ("sip-agent", sip::agent),
    ("digest", sip::digest),
    ("registrar", registrar::registrar),
    ("sdp", sip::sdp),
    ("sdp-crypto", srtp::sdp_crypto),
    ("srtp", srtp::srtp),
    ("rtp", media::rtp),
    ("rtcp", media::rtcp),
    ("opus", media::opus),
    ("g722", media::g722),
    ("dtmf-event", media::dtmf_event),
    ("dtmf-info", media::dtmf_info),
    ("prompt", media::prompt),
    ("api-json", api::json),
    ("rules", rules::rules),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Option<Vec<u64>> = arguments.iter().skip(1).map(|text| text.replace('_', "").parse().ok()).collect();
    let wanted = arguments.first().and_then(|name| TARGETS.iter().find(|(known, _)| known == name));
    let (Some((_, make)), Some(&[count, ref seed @ ..])) = (wanted, numbers.as_deref()) else {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: fuzz TARGET COUNT [SEED]; targets: {}", names.join(", "));
        return ExitCode::from(2);
    };
    let seed = seed.first().copied().unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |since| since.as_micros() as u64)
    });
    run(make(), count, seed)
}

fn run(mut target: Target, count: u64, seed: u64) -> ExitCode {
    println!("{}: {count} inputs from seed {seed}", target.name);
    let mut mutator = Mutator { random: Random::from_number(seed), seeds: target.seeds, spice: target.spice };
    let began = Instant::now();
    let mut sound = 0;
    let mut input = Vec::new();
    for number in 0..count {
        mutator.next(&mut input);
        match catch_unwind(AssertUnwindSafe(|| (target.read)(&input))) {
            Ok(true) => sound += 1,
            Ok(false) => {}
            Err(_) => {
                let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
                println!("{}: input {number} of seed {seed} panics:\n{hex}\n{}", target.name, input.escape_ascii());
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{}: {count} inputs from seed {seed}: no panic; {sound} were sound; {seconds:.0} s", target.name);
    ExitCode::SUCCESS
}
