//! Call control: a call as a pure state machine. It takes commands, leg events, media events and time, and gives
//! outputs; it knows nothing of HTTP, sockets or the store. States and who may move them: `LIFECYCLE.md`.

mod command;
mod event;
mod party;

pub use command::{
    Choice, Command, Context, MAX_QUEUED, MAX_SOURCES, MAX_TONES, Play, Recognize, RecognizeInput, Refusal,
    RejectReason, Reply,
};
pub use event::{Event, EventKind, Outcome, Recognized};
pub use party::{Participant, Party};
