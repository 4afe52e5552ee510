//! What an application says to a call. A webhook application, a local flow and a test script all use these;
//! JSON is translated into them at the API's door.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Party;
use crate::dtmf::Digit;

/// What comes back to the application as the `operationContext` of an operation's events; empty: none was given.
pub type Context = Option<String>;

/// One wish of an application. [`super::Call::command`] carries it out or refuses it at once;
/// what it leads to is told by [`super::Event`]s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Take the incoming call. Leads to `CallConnected` or `AnswerFailed`.
    Answer {
        /// Returned in `CallConnected` and every later event that has no context of its own.
        context: Context,
    },
    /// Refuse the incoming call.
    Reject {
        /// What the caller is told.
        reason: RejectReason,
    },
    /// Send the incoming caller elsewhere (302).
    Redirect {
        /// A SIP URI.
        to: String,
    },
    /// Call somebody for the incoming caller, and connect the two. Leads to both being connected, or to
    /// [`super::Output::NotForwarded`], after which the call rings again and something else may be done with it.
    Forward {
        /// Who is called.
        to: Party,
    },
    /// Leave the call. With one other party this ends it.
    Leave,
    /// End the call for everybody.
    Terminate,
    /// Play to one party or to all.
    Play(Play),
    /// Collect digits, with or without a prompt.
    Recognize(Recognize),
    /// Stop every play and recognition, running and queued.
    CancelMedia,
    /// Report each digit of a party as it is pressed.
    StartContinuousDtmf {
        /// Who is listened to.
        party: Party,
        /// Returned in each tone's event.
        context: Context,
        /// Where this operation's events go instead of the call's own callback address.
        callback: Option<String>,
    },
    /// Stop reporting digits. Leads to `ContinuousDtmfStopped`.
    StopContinuousDtmf {
        /// Who was listened to.
        party: Party,
        /// Returned in the event.
        context: Context,
        /// Where this operation's events go instead of the call's own callback address.
        callback: Option<String>,
    },
    /// Ask a party to call somebody else and leave us for him. Leads to `CallTransferAccepted` or `CallTransferFailed`.
    Transfer(Transfer),
    /// Press keys towards a party.
    SendTones {
        /// Who hears them.
        party: Party,
        /// 1 to [`MAX_TONES`] keys.
        tones: Vec<Digit>,
        /// Returned in the event.
        context: Context,
        /// Where this operation's events go instead of the call's own callback address.
        callback: Option<String>,
    },
}

/// One line for a timeline: what is wished, without contexts and addresses for events.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Answer { .. } => f.write_str("answer"),
            Command::Reject { reason } => write!(f, "reject ({reason:?})"),
            Command::Redirect { to } => write!(f, "redirect to {to}"),
            Command::Forward { to } => write!(f, "forward to {}", to.as_str()),
            Command::Leave => f.write_str("leave"),
            Command::Terminate => f.write_str("terminate"),
            Command::Play(play) => {
                let to = play.to.iter().map(Party::as_str).collect::<Vec<_>>().join(", ");
                let again = if play.repeat { ", again and again" } else { "" };
                let to = if to.is_empty() { "everybody" } else { &to };
                write!(f, "play {} to {to}{again}", play.sources.join(", "))
            }
            Command::Recognize(recognize) => {
                match &recognize.input {
                    RecognizeInput::Dtmf { max_tones, .. } => write!(f, "recognize up to {max_tones} digits")?,
                    RecognizeInput::Choices(choices) => write!(f, "recognize one of {} choices", choices.len())?,
                }
                write!(f, " of {}", recognize.party.as_str())?;
                if !recognize.sources.is_empty() {
                    write!(f, " after {}", recognize.sources.join(", "))?;
                }
                Ok(())
            }
            Command::CancelMedia => f.write_str("cancel all media operations"),
            Command::StartContinuousDtmf { party, .. } => write!(f, "start continuous DTMF of {}", party.as_str()),
            Command::StopContinuousDtmf { party, .. } => write!(f, "stop continuous DTMF of {}", party.as_str()),
            Command::Transfer(transfer) => write!(f, "transfer to {}", transfer.target.as_str()),
            Command::SendTones { party, tones, .. } => {
                write!(f, "send {} tones to {}", tones.len(), party.as_str())
            }
        }
    }
}

/// The most tones that one recognition collects or one `SendTones` sends.
pub const MAX_TONES: usize = 512;

/// The most sources one play or recognition names (ACS: 10).
pub const MAX_SOURCES: usize = 10;

/// The most plays and recognitions that wait behind the running one.
pub const MAX_QUEUED: usize = 32;

/// A play operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Play {
    /// Where the audio is, as the application wrote it: an http(s) URL or `prompt:name`. Played in order.
    pub sources: Vec<String>,
    /// Who hears it; empty: everybody.
    pub to: Vec<Party>,
    /// Start again after the last source, until canceled.
    pub repeat: bool,
    /// Cancel what runs and waits, and start at once; otherwise queue behind it.
    pub interrupt: bool,
    /// Returned in the operation's events.
    pub context: Context,
    /// Where this operation's events go instead of the call's own callback address.
    pub callback: Option<String>,
}

/// A transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Who is called instead of us.
    pub target: Party,
    /// Who calls: the one on the call; none: whoever is.
    pub transferee: Option<Party>,
    /// The number on whose behalf, as the target may be shown it.
    pub caller_id: Option<Party>,
    /// Headers for the target: `User-to-User` and `X-…`, checked.
    pub headers: Vec<(String, String)>,
    /// Returned in the operation's events.
    pub context: Context,
    /// Where this operation's events go instead of the call's own callback address.
    pub callback: Option<String>,
}

/// A recognition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recognize {
    /// Who is listened to (and hears the prompt).
    pub party: Party,
    /// Prompt sources; empty: listen at once.
    pub sources: Vec<String>,
    /// A key pressed during the prompt stops it (barge-in) and counts; otherwise keys pressed during it are discarded.
    pub interrupt_prompt: bool,
    /// Cancel what runs and waits, and start at once; otherwise queue behind it.
    pub interrupt: bool,
    /// How long the party may press nothing, counted from the end of the prompt. 0–300 s, 5 s by default.
    pub initial_silence: Duration,
    /// What is looked for.
    pub input: RecognizeInput,
    /// Returned in the operation's events.
    pub context: Context,
    /// Where this operation's events go instead of the call's own callback address.
    pub callback: Option<String>,
}

/// What a recognition looks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum RecognizeInput {
    /// A string of digits.
    Dtmf {
        /// Completes at this many; 1 to [`MAX_TONES`].
        max_tones: usize,
        /// Each of these completes it, and is not collected.
        stop_tones: Vec<Digit>,
        /// How long the party may pause between digits. 1–60 s, 2 s by default.
        inter_tone: Duration,
    },
    /// One key that stands for a choice.
    Choices(Vec<Choice>),
}

/// One thing that a caller may choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What the application calls it.
    pub label: String,
    /// What the caller may say for it (for the release that hears speech).
    pub phrases: Vec<String>,
    /// The key that stands for it.
    pub tone: Option<Digit>,
}

/// What a rejected caller is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RejectReason {
    /// 603 Decline.
    #[default]
    None,
    /// 486 Busy Here.
    Busy,
    /// 403 Forbidden.
    Forbidden,
    /// 404 Not Found.
    NotFound,
    /// 480 Temporarily Unavailable.
    Unavailable,
    /// This status, 400–699: what the one whom the call was forwarded to said.
    As(u16),
}

/// What a command that was carried out answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, or under way; events tell the rest.
    Accepted,
}

/// Why a command was not carried out. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// The call is not (yet, or any more) in a state for it.
    #[error("the call is {state}: {wish} is not possible in this state")]
    WrongState {
        /// The call's state.
        state: String,
        /// What was wanted.
        wish: String,
    },
    /// Nobody of that name is on the call.
    #[error("{0} is not a participant of this call")]
    NoSuchParty(String),
    /// A value is outside what is allowed.
    #[error("{field}: {problem}")]
    BadArgument {
        /// Which value, as the API names it.
        field: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// Too many operations wait already ([`MAX_QUEUED`]).
    #[error("{MAX_QUEUED} media operations are waiting already: cancel some, or wait for their events")]
    QueueFull,
}
