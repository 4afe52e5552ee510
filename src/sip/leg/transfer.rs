//! The words about a call that moves on: REFER both ways (RFC 3515, 4488, 3892), a dialog that another one replaces
//! (RFC 3891), and where a 3xx points (RFC 3261 §8.1.3.4). What they do is `agent::refer`'s, `agent::replaces`' and
//! `agent::redirected`'s; following a redirection is whoever places legs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Party;
use crate::session::LegId;

/// The most places that one redirection names; further ones are left out.
pub const MAX_REDIRECTIONS: usize = 10;

/// The most headers that a Refer-To carries on; further ones are left out.
pub const MAX_REFERRED_HEADERS: usize = 20;

/// One place that a 3xx names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirection {
    /// Where to: a `sip:`, `sips:` or `tel:` URI as it came, its headers with it.
    pub uri: String,
    /// How much it is wanted, in thousandths: 0–1000.
    pub q: u16,
}

/// A REFER of ours: the peer shall call somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refer {
    /// Whom: `sip:…`, `sips:…`, or `tel:…`, which is written as a SIP URI at the peer's own domain.
    pub target: String,
    /// The leg of ours that the new call takes the place of (attended transfer): it must be established.
    pub replaces: Option<LegId>,
    /// Referred-By (RFC 3892); none: our own address in the dialog.
    pub referred_by: Option<Party>,
    /// Headers that the peer's INVITE shall have.
    pub headers: Vec<(String, String)>,
    /// Shall the peer tell of the outcome? Not: `Refer-Sub: false` (RFC 4488), which a peer may not know.
    pub subscribe: bool,
    /// How long the outcome is waited for.
    pub timeout: Duration,
}

/// What becomes of a REFER of ours. Ends with exactly one of `Refused`, `Done`, `Lost`, or `Accepted` that is not
/// `subscribed`; unless the leg ends before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReferProgress {
    /// The peer takes it.
    Accepted {
        /// Will it tell of the outcome? Not: nothing more is heard (RFC 4488).
        subscribed: bool,
    },
    /// The peer does not take it, or never answered (408), or it could not be sent (503).
    Refused {
        /// 300–699.
        status: u16,
        /// The reason phrase.
        phrase: String,
    },
    /// How its call goes.
    Progress {
        /// 100–199.
        status: u16,
        /// The reason phrase.
        phrase: String,
    },
    /// How its call went.
    Done {
        /// 200–699.
        status: u16,
        /// The reason phrase.
        phrase: String,
    },
    /// The outcome will not be heard: no word in time, or the peer ended its reports without one.
    Lost,
}

/// A REFER of the peer's that waits for `LegCommand::Follow`, `UserAgent::accept_referral` or
/// `LegCommand::RefuseReferral`; unless one comes in 10 s it is refused with 603. At most one at a time a leg.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referral {
    /// Whom we shall call: the URI of Refer-To without headers.
    pub target: Party,
    /// The headers that it wants on the INVITE: User-to-User and `X-…` ones only, at most
    /// [`MAX_REFERRED_HEADERS`].
    pub headers: Vec<(String, String)>,
    /// The value of `Replaces` that it wants on the INVITE (attended transfer).
    pub replaces: Option<String>,
    /// On whose behalf (RFC 3892), believed or not.
    pub referred_by: Option<Party>,
}
