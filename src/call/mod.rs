//! Call control: a call as a pure state machine. It takes commands, leg events, media events and time, and gives
//! outputs; it knows nothing of HTTP, sockets or the store. States and who may move them: `LIFECYCLE.md`.
//!
//! # Using a [`Call`]
//! Make it with [`Call::incoming`] or [`Call::outgoing`]; feed it with [`Call::command`], [`Call::leg_event`],
//! [`Call::media_event`], [`Call::loaded`], [`Call::reached`] and, at [`Call::deadline`], [`Call::timeout`]; after each of these, carry
//! out what [`Call::poll`] gives until it gives nothing. [`Output::Ended`] comes exactly once, last.

mod command;
mod digits;
mod event;
mod forward;
mod lifecycle;
mod machine;
mod operation;
pub mod outcome;
mod output;
mod participants;
mod party;
mod setup;
pub mod timeline;

#[cfg(test)]
mod tests;

pub use crate::dtmf::info::TYPES as INFO_TYPES;
pub use command::{
    Choice, Command, Context, MAX_QUEUED, MAX_SOURCES, MAX_TONES, Play, Recognize, RecognizeInput, Refusal,
    RejectReason, Reply, Transfer,
};
pub use event::{Event, EventKind, Outcome, Recognized};
pub use machine::Call;
pub use output::{CallRecord, CallState, Clips, EndedBy, LoadFailure, LoadFailureKind, LoadId, Output, Place};
pub use party::{Participant, Party};
pub use setup::{CallDirection, CallId, CallSettings, IncomingCall, OutgoingCall};
pub use timeline::{TimelineEntry, Topic, Wire};
