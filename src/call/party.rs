//! Who is on a call: the domain's name for a person or number, independent of how an API spells it.

use serde::{Deserialize, Serialize};

/// A caller, callee or participant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Party {
    /// A telephone number in E.164 form, with the plus.
    Phone(String),
    /// A SIP address, `sip:user@host[:port]`, as dialled or seen.
    Sip(String),
    /// A user or service of the application's own (`8:acs:…`, a bot…), by its opaque name.
    User(String),
}

impl Party {
    /// The text that identifies the party, without saying of which kind it is.
    pub fn as_str(&self) -> &str {
        match self {
            Party::Phone(s) | Party::Sip(s) | Party::User(s) => s,
        }
    }
}

/// A party on the call, as applications see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Participant {
    /// Who it is.
    pub party: Party,
    /// Whether what it says is kept from the others.
    pub muted: bool,
    /// Whether it is on hold.
    pub on_hold: bool,
}
