//! Whole calls on the virtual clock: two user agents, a call and streams over a simulated network, by seed.
//!
//! Everything that the engine has below its sockets and threads runs here as it is: SIP bytes, RTP packets, the call,
//! its prompts and its digits. Only [`world`] knows what time it is. A failure prints its seed; `STROWGER_SEED=n` runs
//! that one alone.

mod digits;
mod encrypted;
mod ends;
mod hold;
mod ivr;
mod network;
mod oddities;
mod outgoing;
mod side;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs a scenario with the seeds `0..count`, or with `STROWGER_SEED` alone.
fn for_each_seed(count: u64, scenario: impl Fn(u64)) {
    let wanted = std::env::var("STROWGER_SEED").ok().map(|seed| seed.parse().expect("STROWGER_SEED is a number"));
    let seeds = wanted.map_or(0..count, |seed: u64| seed..seed + 1);
    for seed in seeds {
        if let Err(failure) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            eprintln!("the seed was {seed}: STROWGER_SEED={seed} runs it alone");
            resume_unwind(failure);
        }
    }
}
