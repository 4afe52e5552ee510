//! The words between call control and a leg: commands in, events out, and how a leg begins. Plain data only; what
//! they do is `leg::session`'s.
//!
//! # Promises
//! - Every leg ends with exactly one of [`LegEvent::Failed`], [`LegEvent::Cancelled`] and [`LegEvent::Ended`]; no
//!   other event of that leg follows it.
//! - [`AgentOutput::Gone`](crate::sip::agent::AgentOutput::Gone) comes once after that, when the last transaction and
//!   dialog of the leg is freed (up to 64·T1 later).
//! - A leg that the application itself ends gets `Ended { by: Local }` at once; it does not wait for the peer.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::transfer::{Redirection, Refer, ReferProgress, Referral};
use crate::session::{Codec, Direction, LegId, LocalMedia, NegotiatedMedia};
use crate::sip::access::Identity;
use crate::sip::peer::{Peer, Transport};

/// What call control tells a leg to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegCommand {
    /// Incoming, unanswered: send 180 (the dialog is then early). Repeated: sent again.
    Ring,
    /// Incoming, unanswered: send 183 with the answer, so that something can be heard before the 200, which then
    /// repeats it (with other `media` it differs). [`LegEvent::EarlyMedia`] tells when sound may flow. Reliable
    /// (RFC 3262) where the caller takes that; our offer, to an INVITE without one, cannot go any other way.
    Progress {
        /// Our side of the stream.
        media: LocalMedia,
    },
    /// Incoming, unanswered: send 200 with the answer, or with our offer when the INVITE brought none.
    Accept {
        /// Our side of the stream.
        media: LocalMedia,
    },
    /// Incoming, unanswered: send a final refusal.
    Refuse {
        /// 400–699; anything else is refused as a command.
        status: u16,
        /// The reason phrase; none: the RFC's.
        phrase: Option<String>,
        /// `Retry-After` in seconds.
        retry_after: Option<u32>,
    },
    /// Incoming, unanswered: send 302.
    Redirect {
        /// URIs for Contact, most wanted first; not empty.
        contacts: Vec<String>,
    },
    /// Confirmed (or earlier, where the first offer is settled by reliable responses and the peer serves UPDATE):
    /// re-INVITE or UPDATE with this offer (hold, resume, other port or codecs). Ends in
    /// [`LegEvent::MediaChanged`] or [`LegEvent::ReofferFailed`]; a glare (491) is retried by the leg itself.
    Reoffer {
        /// Our side of the stream from now on.
        media: LocalMedia,
    },
    /// Confirmed: send an INFO.
    Info {
        /// The body's `Content-Type`.
        content_type: String,
        /// The body.
        body: Vec<u8>,
    },
    /// Confirmed: send a REFER (RFC 3515). [`LegEvent::Refer`] tells what comes of it. One at a time.
    Refer(Box<Refer>),
    /// A REFER of the peer's was told by [`LegEvent::Referred`]: accept it, and place this INVITE in its stead, with
    /// our side of the stream as the leg has it. When it is answered the leg goes on with the new peer
    /// ([`LegEvent::Replaced`]); when it fails the leg stays as it was, and [`LegEvent::FollowFailed`] tells.
    Follow(Box<OutgoingInvite>),
    /// A REFER of the peer's was told: refuse it.
    RefuseReferral {
        /// 400–699; anything else is refused as a command.
        status: u16,
    },
    /// End the leg, whatever its state: BYE, CANCEL, or a final refusal of 480.
    Hangup {
        /// The value of a `Reason` header (RFC 3326), such as `Q.850;cause=16;text="normal"`.
        reason: Option<String>,
    },
}

/// What a leg tells call control.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LegEvent {
    /// Outgoing: an 18x arrived. Repeated when another comes.
    Ringing {
        /// 180–189.
        status: u16,
    },
    /// The session stands before the answer. Outgoing: an 18x brought an SDP answer, so there may be something to
    /// hear; with forks each has its own, and the last told holds. Incoming: our 183 is out.
    EarlyMedia {
        /// What was agreed.
        media: NegotiatedMedia,
        /// The peer is known to be where its messages say. Not so for an incoming call over UDP of somebody unknown who
        /// does not acknowledge our 183: anybody could have forged it, to send our stream to somebody else.
        proven: bool,
    },
    /// The session stands: the 2xx is sent (incoming) or received and acknowledged (outgoing). Start media now.
    /// `media` is none only for an incoming INVITE without offer: the peer's answer is still to come, in its ACK, and
    /// [`LegEvent::MediaChanged`] brings it.
    Accepted {
        /// What was agreed.
        media: Option<NegotiatedMedia>,
    },
    /// The three-way handshake is over: the ACK arrived (incoming) or was sent (outgoing, right after `Accepted`).
    Confirmed,
    /// The session was renegotiated, by either side; also the answer in the ACK of an INVITE without offer.
    MediaChanged {
        /// What now holds.
        media: NegotiatedMedia,
    },
    /// Our re-INVITE was refused; the session goes on as it was.
    ReofferFailed {
        /// The final status, 300–699; 408 where none came.
        status: u16,
    },
    /// The peer sent INFO; it has been answered with 200.
    Info {
        /// Its `Content-Type`, empty when there was none.
        content_type: String,
        /// Its body.
        body: Vec<u8>,
    },
    /// Our INFO got its final answer.
    InfoAnswered {
        /// 200–699; 408 where none came.
        status: u16,
    },
    /// What becomes of our REFER.
    Refer(ReferProgress),
    /// The peer sent a REFER; it waits for a decision.
    Referred(Referral),
    /// What the peer referred us to did not come about; the leg goes on with the peer it has.
    FollowFailed {
        /// The final status, 300–699.
        status: u16,
        /// The reason phrase.
        phrase: String,
    },
    /// Another dialog took the place of the leg's own, by Replaces (RFC 3891) or by a followed REFER: the same leg goes
    /// on with another peer. [`LegEvent::MediaChanged`] follows, and the old peer's BYE is no concern of the leg's.
    Replaced {
        /// Who is there now.
        by: Party,
        /// Who that is, as far as it is proved or was chosen.
        identity: Identity,
    },
    /// Outgoing: a 3xx names other places. `Failed` follows.
    Redirected {
        /// Most wanted first, at most [`MAX_REDIRECTIONS`](super::MAX_REDIRECTIONS), none twice, and none that is where
        /// the INVITE went.
        to: Vec<Redirection>,
    },
    /// Outgoing: refused, or never answered.
    Failed {
        /// The peer's final status; or 408 (nobody answered in time), 503 (no way there), 400 (the target cannot be
        /// written into a request), 488 (the answer was unusable).
        status: u16,
        /// The reason phrase.
        phrase: String,
        /// The `Reason` header's value, when the peer gave one.
        reason: Option<String>,
        /// True when `status` is ours, not an answer of the peer's: timeouts, transport errors, limits.
        local: bool,
    },
    /// Incoming: the caller gave up before we answered.
    Cancelled {
        /// The `Reason` header's value of its CANCEL or BYE.
        reason: Option<String>,
    },
    /// The leg is over.
    Ended {
        /// Whose doing it was.
        by: Side,
        /// Why.
        cause: EndCause,
        /// The `Reason` header's value, when the peer gave one.
        reason: Option<String>,
    },
}

impl LegEvent {
    /// Is this the leg's last event?
    pub fn is_final(&self) -> bool {
        matches!(self, LegEvent::Failed { .. } | LegEvent::Cancelled { .. } | LegEvent::Ended { .. })
    }
}

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// We.
    Local,
    /// The peer.
    Remote,
}

/// Why a leg is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndCause {
    /// A BYE, ours or the peer's.
    Bye,
    /// We refused or redirected the INVITE with this status.
    Refused(u16),
    /// We gave up an unanswered outgoing leg.
    Cancelled,
    /// No ACK for our 2xx in 64·T1; a BYE was sent.
    AckTimeout,
    /// The peer knows the dialog no more (481), or no longer answers within it (408); RFC 3261 §12.2.1.2.
    DialogLost(u16),
    /// The answer to our offer was missing or unusable; a BYE was sent.
    BadAnswer,
    /// The session was not refreshed in time (RFC 4028); a BYE was sent.
    SessionExpired,
}

/// Why a command had no effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CommandError {
    /// No such leg, or it is over.
    #[error("there is no such leg")]
    NoSuchLeg,
    /// The command does not fit the leg's state.
    #[error("a leg that is {state} cannot do that")]
    WrongState {
        /// The state, in words.
        state: &'static str,
    },
    /// Nothing in common between the peer's offer and our side; the leg was refused with 488 and `Ended` follows.
    #[error("the peer's offer has no codec of ours, or not the encryption that is wanted")]
    NotAcceptable,
    /// A value in the command cannot be sent.
    #[error("{what} cannot be sent")]
    BadValue {
        /// Which one.
        what: &'static str,
    },
}

/// A name and an address, as From and To have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// The display name, unquoted.
    pub display: Option<String>,
    /// The URI, without angle brackets: `sip:+441632960123@host;user=phone`, `tel:+44…`.
    pub uri: String,
}

/// What an offer that we could answer had in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedMedia {
    /// Codecs that both sides speak, in the offer's order; never empty.
    pub codecs: Vec<Codec>,
    /// Was telephone-event offered?
    pub telephone_event: bool,
    /// Direction, seen from our side.
    pub direction: Direction,
    /// Where the peer wants its RTP.
    pub remote_rtp: SocketAddr,
}

/// A new incoming leg. 100 has been sent; the next word is call control's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The leg's name from now on.
    pub leg: LegId,
    /// Who calls.
    pub from: Party,
    /// Who was called, as the caller wrote it.
    pub to: Party,
    /// Where the request was sent: what routing goes by.
    pub request_uri: String,
    /// The Call-ID.
    pub call_id: String,
    /// Every header line in order, names as the peer wrote them, values unfolded; at most 100.
    pub headers: Vec<(String, String)>,
    /// Whom it came from, on what.
    pub peer: Peer,
    /// Who that is, as far as it was proved.
    #[serde(default)]
    pub identity: Identity,
    /// What the INVITE offered; none when it brought no SDP (our 200 then offers).
    pub offered: Option<OfferedMedia>,
    /// The topmost Diversion or History-Info style redirecting party (RFC 5806).
    pub diversion: Option<Party>,
    /// P-Asserted-Identity (RFC 3325), believed or not: see [`Invitation::caller`].
    pub asserted_identity: Option<Party>,
}

impl Invitation {
    /// Who calls: what a trunk asserts, else From.
    pub fn caller(&self) -> &Party {
        self.asserted_identity.as_ref().filter(|_| self.identity.is_trusted()).unwrap_or(&self.from)
    }

    /// The first header of that name, without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// A user name and password for a peer that asks (401, 407).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// The user name.
    pub user: String,
    /// The password; never shown by `Debug`.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// An outgoing leg to be placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingInvite {
    /// The Request-URI: `sip:bob@host:port`.
    pub target: String,
    /// Our identity in From.
    pub from: Party,
    /// To; none: `target`.
    pub to: Option<Party>,
    /// Where the request is sent: `target`'s host, resolved, or the trunk's.
    pub destination: SocketAddr,
    /// On what.
    pub transport: Transport,
    /// For a peer that asks for them.
    pub credentials: Option<Credentials>,
    /// Our offer.
    pub media: LocalMedia,
    /// More headers (`X-…`, `P-Asserted-Identity`, `User-to-User`…). Names that the stack itself writes are left out.
    pub headers: Vec<(String, String)>,
    /// How long to wait for the final answer before CANCEL.
    pub ring_timeout: Duration,
}
