//! What a call asks of the world around it, and what remains of it. Carrying these out is the engine's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CallDirection, CallId, Context, Event, Outcome, Party, TimelineEntry};
use crate::media::{Clip, MediaCommand, StreamStatistics};
use crate::session::{LegId, LocalMedia};
use crate::sip::leg::{LegCommand, Referral};
use crate::time::Time;

/// One thing to carry out, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Tell a leg. A refusal of the leg comes back by [`super::Call::leg_refused`].
    Leg(LegId, LegCommand),
    /// Find the way to this one, whom the call goes on to, and reserve a leg for him; answered by
    /// [`super::Call::reached`] or [`super::Call::not_reached`].
    Reach {
        /// Who is to be called.
        to: Party,
    },
    /// The one whom the call was to go on to is not to be had. The call rings as before: it is for the engine to do
    /// what a rule says for this case, or to refuse the caller.
    NotForwarded {
        /// What the caller should be refused with.
        status: u16,
    },
    /// Place an outgoing leg. A target that has no route, or that the signalling will not take, comes back as
    /// [`crate::sip::leg::LegEvent::Failed`] with `local: true`.
    Place(Box<Place>),
    /// The other side of this leg refers us to somebody, and may: find the way there and have the leg follow, or refuse.
    Follow(LegId, Box<Referral>),
    /// Tell media.
    Media(MediaCommand),
    /// Get these ready to be played; answered by [`super::Call::loaded`].
    Load {
        /// Names this loading.
        load: LoadId,
        /// What to load, in order: 1 to [`super::MAX_SOURCES`].
        sources: Vec<String>,
    },
    /// Tell the application.
    Event(Box<Event>),
    /// Keep for the timeline.
    Note(TimelineEntry),
    /// Everything is freed. The last output of a call.
    Ended(Box<CallRecord>),
}

/// A leg to be placed; the engine adds route, address and credentials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place {
    /// The leg's name.
    pub leg: LegId,
    /// Who is called.
    pub target: Party,
    /// Who the called one is told that calls.
    pub from: Option<Party>,
    /// The name that goes with it; empty: none.
    pub display: String,
    /// Our offer.
    pub media: LocalMedia,
    /// How long to wait for an answer.
    pub ring_timeout: Duration,
}

/// Names one loading of a list of sources. Unique within a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LoadId(pub u64);

/// Sources that are ready to be played, one clip for each.
pub type Clips = Vec<Arc<Clip>>;

/// Why sources could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("source {index}: {message}")]
pub struct LoadFailure {
    /// Which source, from 0.
    pub index: usize,
    /// What was wrong with it.
    pub kind: LoadFailureKind,
    /// For a person; goes to the application.
    pub message: String,
}

/// What was wrong with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadFailureKind {
    /// It is no audio that we read.
    BadFormat,
    /// It could not be had.
    DownloadFailed,
}

/// Where a call stands. Who may move it: `LIFECYCLE.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallState {
    /// Incoming; nobody has answered.
    Ringing,
    /// Incoming; somebody else is called for the caller.
    Forwarding,
    /// Incoming; an application answers.
    Answering,
    /// Outgoing; not answered yet.
    Connecting,
    /// Both ends talk.
    Connected,
    /// Over for the application; leg and media are being freed.
    Releasing,
    /// Everything is freed.
    Ended,
}

impl fmt::Display for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CallState::Ringing => "ringing",
            CallState::Forwarding => "being forwarded",
            CallState::Answering => "being answered",
            CallState::Connecting => "connecting",
            CallState::Connected => "connected",
            CallState::Releasing => "being released",
            CallState::Ended => "ended",
        })
    }
}

/// Who ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndedBy {
    /// The far end: it hung up, gave up, or refused.
    Peer,
    /// An application.
    Application,
    /// We: a timeout, a lack of ports, a shutdown, a peer that went silent.
    Engine,
}

impl EndedBy {
    /// The name that a metric carries.
    pub fn name(self) -> &'static str {
        match self {
            EndedBy::Peer => "peer",
            EndedBy::Application => "application",
            EndedBy::Engine => "engine",
        }
    }
}

/// What remains of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call's name.
    pub id: CallId,
    /// Who began it.
    pub direction: CallDirection,
    /// The calling side: the caller, or the number (else the identity) that was shown to the called one.
    pub from: Option<Party>,
    /// The called side.
    pub to: Party,
    /// The same in all events of this call.
    pub correlation_id: String,
    /// Names the call towards features that outlive a connection.
    pub server_call_id: String,
    /// The call's context.
    pub context: Context,
    /// When it began.
    pub started: Time,
    /// When both ends talked; none: they never did.
    pub connected: Option<Time>,
    /// When it was over for the application.
    pub over: Time,
    /// When everything was freed.
    pub ended: Time,
    /// Who ended it.
    pub ended_by: EndedBy,
    /// How it ended.
    pub outcome: Outcome,
    /// The stream's figures; none: media never opened.
    pub statistics: Option<StreamStatistics>,
}
