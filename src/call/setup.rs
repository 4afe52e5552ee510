//! How a call begins: its name, who is at its ends, and the settings it lives by. Reading these out of an INVITE or
//! a request is the engine's and the API's.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Context, Party};
use crate::session::{Codec, LegId, SrtpPolicy};

/// Names a call; applications see it as `callConnectionId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub Uuid);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who began the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallDirection {
    /// The far end called us.
    Incoming,
    /// An application had it placed.
    Outgoing,
}

/// A call that arrived, before anybody answers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncomingCall {
    /// The call's name.
    pub id: CallId,
    /// The leg of its INVITE.
    pub leg: LegId,
    /// Who calls.
    pub from: Party,
    /// Who was called.
    pub to: Party,
    /// The caller's display name; empty: none given.
    pub from_display: String,
    /// The same in all events of this call.
    pub correlation_id: String,
    /// Names the call towards features that outlive a connection.
    pub server_call_id: String,
}

/// A call to be placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutgoingCall {
    /// The call's name.
    pub id: CallId,
    /// The leg that will be placed.
    pub leg: LegId,
    /// Who is called.
    pub target: Party,
    /// The application's own identity on the call, where it named one.
    pub source: Option<Party>,
    /// The number that the called one sees.
    pub caller_id: Option<Party>,
    /// The name that the called one sees; empty: none.
    pub source_display: String,
    /// Returned in every event that has no context of its own.
    pub context: Context,
    /// The same in all events of this call.
    pub correlation_id: String,
    /// Names the call towards features that outlive a connection.
    pub server_call_id: String,
}

/// What a call lives by; the same for all calls of an engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallSettings {
    /// The address put into offers and answers.
    pub advertised: IpAddr,
    /// Codecs that we take, most wanted first. Never empty.
    pub codecs: Vec<Codec>,
    /// How long an incoming call rings before it is refused with 480.
    pub answer_timeout: Duration,
    /// How long an outgoing call rings before it is given up (ACS: 115 s to a phone, 85 s to a user).
    pub ring_timeout: Duration,
    /// How long media may take to open a port pair, and the ends to let go of a call that is over.
    pub release_timeout: Duration,
    /// How long the sources of a prompt may take to load, all together.
    pub load_timeout: Duration,
    /// How long a sent tone lasts, in milliseconds (40–5000).
    pub tone_ms: u32,
    /// The silence after each sent tone, in milliseconds (20–5000).
    pub tone_gap_ms: u32,
    /// The other side may send us on by REFER. Off unless it is somebody who is known: whoever may have us call may have
    /// us pay.
    #[serde(default)]
    pub follow_referrals: bool,
    /// Whether audio is encrypted: as the trunk or user of the call wants it.
    #[serde(default)]
    pub srtp: SrtpPolicy,
}

impl CallSettings {
    /// The defaults, for that advertised address: G.711 both laws, 60 s of ringing, 115 s for an outgoing call.
    pub fn new(advertised: IpAddr) -> Self {
        CallSettings {
            advertised,
            codecs: vec![Codec::Pcmu, Codec::Pcma],
            answer_timeout: Duration::from_secs(60),
            ring_timeout: Duration::from_secs(115),
            release_timeout: Duration::from_secs(5),
            load_timeout: Duration::from_secs(30),
            tone_ms: 120,
            tone_gap_ms: 80,
            follow_referrals: false,
            srtp: SrtpPolicy::Off,
        }
    }
}
