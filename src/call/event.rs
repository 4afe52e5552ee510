//! What a call tells its application. The API turns these into CloudEvents at the door; a local flow reads them as they are.

use serde::{Deserialize, Serialize};

use super::{Context, Participant, Party};
use crate::dtmf::Digit;

/// How something ended: an HTTP-like code, the finer sub-code applications switch on, and words for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// 200, 400, 404, 487…
    pub code: u16,
    /// The table is in [`super::outcome`].
    pub sub_code: u32,
    /// For a person.
    pub message: String,
    /// The SIP status that caused it, where one did.
    pub sip: Option<(u16, String)>,
    /// The Q.850 cause that caused it, where one did (RFC 3326 `Reason: Q.850;cause=`).
    pub q850: Option<(u16, String)>,
}

/// Something that happened on a call, with where to tell it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// How it ended; success where nothing can fail.
    pub outcome: Outcome,
    /// The context of the operation, or of the call where the event is about the call itself.
    pub context: Context,
    /// The operation's own callback address; none: the call's.
    pub callback: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum EventKind {
    /// Both ends talk.
    CallConnected,
    /// It is over; the last event of a call that was connected.
    CallDisconnected,
    /// The outgoing call did not come about; the last event.
    CreateCallFailed,
    /// Answering did not work; the last event.
    AnswerFailed,
    /// Somebody came, left, or changed.
    ParticipantsUpdated {
        /// Who is on the call now.
        participants: Vec<Participant>,
        /// Grows with each update of this call, from 1.
        sequence_number: u32,
    },
    /// The first sample of the prompt is on its way.
    PlayStarted,
    /// All sources were played.
    PlayCompleted,
    /// A source could not be played.
    PlayFailed {
        /// Which source, from 0.
        failed_source: Option<usize>,
    },
    /// The play was canceled.
    PlayCanceled,
    /// What was looked for was heard.
    RecognizeCompleted(Recognized),
    /// It was not.
    RecognizeFailed {
        /// Which prompt source failed, from 0, where that was the cause.
        failed_source: Option<usize>,
    },
    /// The recognition was canceled.
    RecognizeCanceled,
    /// A digit, while continuous DTMF is on.
    ContinuousDtmfTone {
        /// From 1 for each start of continuous recognition.
        sequence_id: u32,
        /// The key.
        tone: Digit,
    },
    /// Continuous DTMF went off.
    ContinuousDtmfStopped,
    /// Listening for digits is not possible (any more).
    ContinuousDtmfFailed,
    /// The other party was transferred; the end of the call follows.
    CallTransferAccepted {
        /// Who is called instead of us.
        target: Party,
        /// Who calls.
        transferee: Party,
    },
    /// It was not.
    CallTransferFailed,
    /// All tones were sent.
    SendTonesCompleted,
    /// They were not.
    SendTonesFailed,
}

impl EventKind {
    /// Whether it is about the call as a whole, not about one operation on it.
    pub fn is_of_the_call(&self) -> bool {
        matches!(
            self,
            EventKind::CallConnected
                | EventKind::CallDisconnected
                | EventKind::CreateCallFailed
                | EventKind::AnswerFailed
                | EventKind::ParticipantsUpdated { .. }
        )
    }

    /// The name, as this enumeration spells it.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::CallConnected => "CallConnected",
            EventKind::CallDisconnected => "CallDisconnected",
            EventKind::CreateCallFailed => "CreateCallFailed",
            EventKind::AnswerFailed => "AnswerFailed",
            EventKind::ParticipantsUpdated { .. } => "ParticipantsUpdated",
            EventKind::PlayStarted => "PlayStarted",
            EventKind::PlayCompleted => "PlayCompleted",
            EventKind::PlayFailed { .. } => "PlayFailed",
            EventKind::PlayCanceled => "PlayCanceled",
            EventKind::RecognizeCompleted(_) => "RecognizeCompleted",
            EventKind::RecognizeFailed { .. } => "RecognizeFailed",
            EventKind::RecognizeCanceled => "RecognizeCanceled",
            EventKind::ContinuousDtmfTone { .. } => "ContinuousDtmfTone",
            EventKind::ContinuousDtmfStopped => "ContinuousDtmfStopped",
            EventKind::ContinuousDtmfFailed => "ContinuousDtmfFailed",
            EventKind::CallTransferAccepted { .. } => "CallTransferAccepted",
            EventKind::CallTransferFailed => "CallTransferFailed",
            EventKind::SendTonesCompleted => "SendTonesCompleted",
            EventKind::SendTonesFailed => "SendTonesFailed",
        }
    }

    /// Is it the last event of its call? None follows it.
    pub fn ends_the_call(&self) -> bool {
        matches!(self, EventKind::CallDisconnected | EventKind::CreateCallFailed | EventKind::AnswerFailed)
    }
}

/// What a recognition heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recognized {
    /// The digits, without the stop tone.
    Dtmf(Vec<Digit>),
    /// The label of the choice whose key was pressed.
    Choice {
        /// As the application named it.
        label: String,
        /// What was said; empty for a key.
        phrase: String,
    },
}
