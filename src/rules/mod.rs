//! PURE: the rules table, which names the application or the answer for an incoming call: parse, match, explain.
//!
//! A [`Rule`] is what an operator writes; [`CompiledRule`] is one that cannot be wrong; a [`Table`] decides, and
//! says of every rule why it did or did not take the call. It leaves keeping rules to `store`, REST to `api`, and
//! carrying out an [`Action`] to `engine`.
//!
//! # Normal form of addresses
//! `to` and `from` are compared in the form that [`address::normalise`] gives: a phone number without visual
//! separators (`sip:+44(20)7946-0000@carrier;user=phone` and `tel:+44-20-7946-0000` are both `+442079460000`),
//! `anonymous` for a caller who hides, otherwise `sip:user@host` with the host in lower case and without port,
//! password, parameters and headers. Texts of `exact` and `prefix` are brought to this form too; a `regex` runs on it.
//! An `exact` or `prefix` without scheme and host (`100`) is compared with the user of a SIP address as well.
//!
//! # Percent
//! The share is taken by [`share::bucket`], a fixed hash into 10,000 buckets. It does not depend on the rule, so that
//! "a: 10 %, after it b: 30 %" gives b the 20 % between them, and renaming a rule moves no call.

pub mod address;
mod compile;
mod document;
mod error;
pub mod share;
mod table;
#[cfg(test)]
mod tests;
mod window;

pub use address::normalise;
pub use compile::CompiledRule;
pub use document::{Action, Collect, Match, Percent, PercentBy, RejectReason, Rule, StopTone, TextMatch, TimeWindow};
pub use error::{RuleError, RuleErrors};
pub use table::{Candidate, Decision, ExplainRequest, FailedCondition, MAX_RULES, RuleVerdict, Table};
