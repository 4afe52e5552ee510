//! What a leg remembers of REFERs: ours that waits for its outcome, and the peer's that is decided on or followed. The
//! user agent moves it (`agent::refer`, `agent::follow`, `agent::notify`).

use std::time::Duration;

use crate::session::LegId;
use crate::sip::message::Request;
use crate::time::Time;

/// How long a REFER of the peer's waits for a decision before it is refused with 603. Its sender gives up after 32 s.
pub(crate) const DECISION: Duration = Duration::from_secs(10);

/// How long the subscription lasts that a followed REFER makes: longer than anything rings.
pub(crate) const SUBSCRIPTION: Duration = Duration::from_secs(300);

/// At most one REFER each way at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Referrals {
    pub ours: Option<OurRefer>,
    pub theirs: Option<TheirRefer>,
    /// The peer has left while somebody is called from outside: the leg has no dialog until he answers.
    pub bereft: bool,
}

/// A REFER that we sent.
#[derive(Clone, Debug)]
pub(crate) struct OurRefer {
    /// Its CSeq, or that of its first try: the `id` of its subscription is none below that (RFC 3515 §2.4.6).
    pub id: u32,
    /// The peer took it.
    pub accepted: bool,
    /// The outcome has been told; reports that still come are answered and forgotten.
    pub over: bool,
    /// When the outcome is no longer waited for.
    pub give_up: Time,
}

/// A REFER that we got.
#[derive(Clone, Debug)]
pub(crate) struct TheirRefer {
    /// Its CSeq.
    pub id: u32,
    /// Its server transaction and the request, as long as it is not decided on.
    pub undecided: Option<(u64, Request)>,
    /// The value of Replaces and Referred-By for the INVITE.
    pub replaces: Option<String>,
    pub referred_by: Option<String>,
    /// It wants to be told of the outcome.
    pub subscribed: bool,
    /// The leg that calls in its stead.
    pub follower: Option<LegId>,
    /// Somebody outside of the stack calls.
    pub elsewhere: bool,
    pub since: Time,
    /// When it is refused, undecided.
    pub give_up: Time,
    /// The NOTIFY that is under way, and the status that waits for its end; the newest takes the others' place.
    pub notifying: Option<u64>,
    pub next: Option<(u16, String)>,
    /// The last NOTIFY is out, or none is wanted: with its answer this is over.
    pub closing: bool,
    /// When it is over the leg's dialog is ended with BYE: another one has taken its place.
    pub then_leave: bool,
}

impl Referrals {
    /// When there is something to do. `ended`: the leg is, so nobody is called for it any more.
    pub fn deadline(&self, ended: bool) -> Option<Time> {
        let ours = self.ours.as_ref().filter(|ours| !ours.over && !ended).map(|ours| ours.give_up);
        let theirs = self.theirs.as_ref().and_then(|theirs| {
            let orphan = ended && (theirs.follower.is_some() || theirs.undecided.is_some());
            if orphan { Some(theirs.since) } else { theirs.undecided.as_ref().map(|_| theirs.give_up) }
        });
        ours.into_iter().chain(theirs).min()
    }
}
