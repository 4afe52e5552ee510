//! Finding somebody who answers (RFC 3261 §16.6–16.8 seen from the caller's side): one wish of call control becomes
//! attempts at several addresses, in series and in parallel, until one of them answers. The first 2xx wins, the rest are
//! cancelled; where nobody answers the best refusal is told (§16.7). Redirections are followed within bounds (§8.1.3.4).
//!
//! Pure: events of the attempts and time go in, things to place and to tell come out. Each attempt is a leg of the
//! user agent's; which leg stands for which attempt, and how a name becomes an address, is the engine's business. Call
//! control sees one leg.
//!
//! # An attempt's life
//! | state | what it is | moves |
//! |---|---|---|
//! | Calling | placed, no final answer | 2xx → Won; refusal, time → Failed; 3xx → Resolving; somebody else answered, hang-up → Dropped |
//! | Resolving | 3xx; the engine looks its contacts up | found → Failed, with new attempts in its stead; nothing found → Failed |
//! | Won | call control's leg from now on | its end |
//! | Failed, Dropped | told or cancelled | its stack leg is gone |

mod branch;
mod machine;
mod response;
#[cfg(test)]
mod tests;

pub use branch::{Attempt, Branch, EarlyMedia, HuntLimits, HuntOutput, RedirectLimits, Round, Verdict};
pub use machine::Hunt;
