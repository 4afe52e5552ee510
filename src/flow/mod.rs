//! PURE: applications that live in the engine. They send [`crate::call::Command`]s and read
//! [`crate::call::EventKind`]s, as a remote application does by REST and webhooks; no call knows the difference.

mod answer;

pub use answer::AnswerFlow;
