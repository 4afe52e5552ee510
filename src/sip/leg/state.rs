//! All that is remembered of one leg. The user agent moves it; here are its parts, its bounds and its clock.

use std::time::Duration;

use bytes::Bytes;

use crate::session::{LegId, LocalMedia, NegotiatedMedia};
use crate::sip::dialog::Dialog;
use crate::sip::digest::Authenticator;
use crate::sip::guard::Source;
use crate::sip::leg::Credentials;
use crate::sip::leg::referral::Referrals;
use crate::sip::message::Request;
use crate::sip::peer::Peer;
use crate::sip::sdp::{Description, LocalDescription};
use crate::time::Time;

/// Early dialogs, and forks that answered, remembered for one outgoing leg; further ones are acknowledged and ended
/// without being remembered.
pub(crate) const MAX_FORKS: usize = 16;

/// How often a re-INVITE of ours is tried again after a glare (491) before it counts as refused.
pub(crate) const MAX_GLARES: u8 = 5;

/// How long after the last one an unanswered 180 is repeated, so that proxies do not lose patience (§13.3.1.1).
pub(crate) const RING_AGAIN: Duration = Duration::from_secs(60);

/// See the table in [`crate::sip::leg`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Incoming,
    Answered,
    Calling,
    Cancelling,
    Established,
    Closing,
    Over,
}

impl State {
    /// In words, for errors.
    pub fn name(self) -> &'static str {
        match self {
            State::Incoming => "incoming and unanswered",
            State::Answered => "answered but not acknowledged",
            State::Calling => "calling",
            State::Cancelling => "being cancelled",
            State::Established => "established",
            State::Closing | State::Over => "over",
        }
    }
}

/// One INVITE session.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub id: LegId,
    pub state: State,
    /// Where its INVITE came from, for as long as it counts as half-open.
    pub half_open: Option<Source>,
    pub call_id: String,
    pub local_tag: String,
    /// Whose Call-ID is it? The owner waits longer after a glare (§14.1).
    pub owns_call_id: bool,
    /// Our half of offer and answer.
    pub sdp: LocalDescription,
    /// What call control last told us to offer or answer with.
    pub local_media: Option<LocalMedia>,
    /// What holds.
    pub media: Option<NegotiatedMedia>,
    pub dialog: Option<Dialog>,
    /// The peer has said BYE: for another one there is no dialog any more (§15.1.2). A BYE that crosses ours is another
    /// matter, and fine.
    pub left: bool,
    /// The first offer has been answered for good, by a reliable response: either side may make a new one (RFC 3311).
    pub settled: bool,
    /// It has been followed by another exchange: a repetition of the first answer says nothing any more.
    pub renegotiated: bool,
    /// The peer has listed UPDATE in an Allow.
    pub allows_update: bool,
    /// Our provisional responses, where they go reliably.
    pub reliable: Reliable,
    /// Our UPDATE that is under way.
    pub update: Option<SentUpdate>,
    /// The session timer; none: the session lasts until somebody ends it.
    pub session: Option<SessionTimer>,
    /// The shortest session interval in seconds that anybody on the way has asked for (422).
    pub min_se: u32,
    /// A 2xx of ours that waits for its ACK.
    pub unacknowledged: Option<Unacknowledged>,
    /// Unanswered incoming leg.
    pub incoming: Option<Incoming>,
    /// Outgoing leg without final answer.
    pub outgoing: Option<Outgoing>,
    /// Early dialogs of forks that another one has overtaken, should they answer yet; at most [`MAX_FORKS`].
    pub forks: Vec<EarlyDialog>,
    /// ACKs of ours, to be repeated when their 2xx is.
    pub acks: Vec<SentAck>,
    /// Our re-INVITE that is under way.
    pub reinvite: Option<Reinvite>,
    /// The next re-INVITE, for which the way is not free yet; a newer one takes its place.
    pub waiting_reoffer: Option<WaitingReoffer>,
    pub credentials: Option<Credentials>,
    pub authenticator: Authenticator,
    pub referrals: Referrals,
    /// When the agent's clock will look at it next.
    pub scheduled: Option<Time>,
}

/// What an unanswered incoming leg needs.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    /// Its server transaction.
    pub transaction: u64,
    pub invite: Request,
    /// None: our 2xx is to offer.
    pub offer: Option<Description>,
    pub give_up: Time,
    /// What giving up is answered with: 480, or 487 when the caller's own Expires ran out (§13.3.1).
    pub give_up_status: u16,
    pub ring_again: Option<Time>,
}

/// What an outgoing leg without final answer needs.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    /// Its client transaction.
    pub transaction: u64,
    /// When we stop waiting for an answer.
    pub ring_until: Option<Time>,
    /// Those who sent 18x; at most [`MAX_FORKS`].
    pub early: Vec<EarlyDialog>,
    pub cancel: Option<Cancel>,
}

/// A dialog that an 18x began. What it shares with a leg is exchanged with the leg's while it is worked on.
#[derive(Clone, Debug)]
pub(crate) struct EarlyDialog {
    pub tag: Option<String>,
    pub dialog: Option<Dialog>,
    pub sdp: LocalDescription,
    pub media: Option<NegotiatedMedia>,
    pub settled: bool,
    pub renegotiated: bool,
    pub allows_update: bool,
    pub update: Option<SentUpdate>,
    /// RSeq of the last reliable 18x that was acknowledged.
    pub rseq: Option<u32>,
}

/// Does the caller take provisional responses reliably (RFC 3262)?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reliability {
    #[default]
    Unknown,
    Supported,
    Required,
}

/// The description in a provisional response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Described {
    Answer,
    Offer,
}

/// A description, and what it is in the exchange.
pub(crate) type Body = (Vec<u8>, Described);

/// Provisional responses of an incoming leg.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reliable {
    pub wanted: Reliability,
    /// The caller is somebody who is known: his word on where he is counts.
    pub known: bool,
    /// RSeq of the last one; 0: there was none.
    pub rseq: u32,
    /// The one whose PRACK is awaited.
    pub unpracked: Option<Unpracked>,
    /// The next one, until that PRACK comes; a newer one takes its place, but leaves its description.
    pub waiting: Option<(u16, Option<Body>)>,
    /// What a sent one has described.
    pub described: Option<Described>,
    /// What call control has been told of the session before the answer, and whether it was proven.
    pub told: Option<(NegotiatedMedia, bool)>,
    /// The 2xx waits for the PRACK (RFC 3262 §3).
    pub accept: Option<LocalMedia>,
}

/// A reliable provisional response that is repeated until its PRACK comes.
#[derive(Clone, Debug)]
pub(crate) struct Unpracked {
    pub rseq: u32,
    /// Of the INVITE.
    pub cseq: u32,
    pub bytes: Bytes,
    pub described: Option<Described>,
    pub again: Time,
    pub pause: Duration,
    pub give_up: Time,
}

/// An UPDATE of ours.
#[derive(Clone, Debug)]
pub(crate) struct SentUpdate {
    /// Its client transaction.
    pub transaction: u64,
    /// What it offers, and our description before; none: it only refreshes the session.
    pub offer: Option<(LocalMedia, LocalDescription)>,
    pub glares: u8,
}

/// A session that ends unless it is refreshed (RFC 4028).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionTimer {
    /// The interval in seconds.
    pub seconds: u32,
    /// Is refreshing our part?
    pub ours: bool,
    /// Does the peer know of it? One that does not is only probed for being there.
    pub known: bool,
    /// When we refresh.
    pub refresh: Option<Time>,
    /// When we hang up.
    pub expiry: Time,
}

/// An INVITE that is no longer wanted.
#[derive(Clone, Debug)]
pub(crate) struct Cancel {
    /// The Reason header.
    pub reason: Option<String>,
    /// When the CANCEL is out: the moment the INVITE counts as ended whatever comes (§9.1).
    pub until: Option<Time>,
}

/// A 2xx that is repeated until its ACK comes (§13.3.1.4).
#[derive(Clone, Debug)]
pub(crate) struct Unacknowledged {
    /// Its server transaction, which lives as long as the 2xx is repeated.
    pub transaction: u64,
    pub cseq: u32,
    pub bytes: Bytes,
    pub again: Time,
    pub pause: Duration,
    pub give_up: Time,
    /// Our 2xx offered, so the ACK is to answer.
    pub answer_expected: bool,
    /// Of a re-INVITE.
    pub renegotiation: bool,
}

/// An ACK for a 2xx.
#[derive(Clone, Debug)]
pub(crate) struct SentAck {
    pub tag: Option<String>,
    pub cseq: u32,
    pub bytes: Bytes,
    pub peer: Peer,
}

/// A re-INVITE of ours.
#[derive(Clone, Debug)]
pub(crate) struct Reinvite {
    /// Its client transaction.
    pub transaction: u64,
    /// When we stop waiting for its final answer.
    pub give_up: Time,
    pub media: LocalMedia,
    /// It only refreshes the session: call control has not asked for it.
    pub refresh: bool,
    /// Our description before it, should it be refused.
    pub before: LocalDescription,
    pub glares: u8,
}

/// A re-INVITE to be.
#[derive(Clone, Debug)]
pub(crate) struct WaitingReoffer {
    pub media: LocalMedia,
    /// Not before (glare).
    pub at: Option<Time>,
    pub glares: u8,
}

impl Leg {
    /// A leg that knows only its names.
    pub fn new(id: LegId, state: State, call_id: String, local_tag: String, sdp_id: u64) -> Self {
        Leg {
            id,
            state,
            half_open: None,
            call_id,
            local_tag,
            owns_call_id: state == State::Calling,
            sdp: LocalDescription::new(sdp_id),
            local_media: None,
            media: None,
            dialog: None,
            left: false,
            settled: false,
            renegotiated: false,
            allows_update: false,
            reliable: Reliable::default(),
            update: None,
            session: None,
            min_se: 0,
            unacknowledged: None,
            incoming: None,
            outgoing: None,
            forks: Vec::new(),
            acks: Vec::new(),
            reinvite: None,
            waiting_reoffer: None,
            credentials: None,
            authenticator: Authenticator::default(),
            referrals: Referrals::default(),
            scheduled: None,
        }
    }

    /// Has call control been told the end?
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Over | State::Closing | State::Cancelling)
    }

    /// May a re-INVITE go out now (§14.1: not while another is under way, either way)?
    pub fn is_free_to_offer(&self) -> bool {
        self.state == State::Established
            && self.reinvite.is_none()
            && self.update.is_none()
            && self.unacknowledged.is_none()
    }

    /// May an UPDATE with an offer go out before the answer (RFC 3311 §5.1)? For an outgoing leg the early dialog in
    /// question must be in the leg's place.
    pub fn is_free_to_update(&self) -> bool {
        let open = match self.state {
            State::Incoming => self.reliable.unpracked.is_none() && self.reliable.accept.is_none(),
            State::Calling => self.dialog.is_some(),
            _ => false,
        };
        open && self.settled && self.allows_update && self.update.is_none()
    }

    /// The early dialog in which an outgoing leg may make a new offer: there must be one only.
    pub fn only_early(&self) -> Option<usize> {
        let early = &self.outgoing.as_ref()?.early;
        let free = |e: &EarlyDialog| e.settled && e.allows_update && e.update.is_none() && e.dialog.is_some();
        (self.state == State::Calling && early.len() == 1 && early.first().is_some_and(free)).then_some(0)
    }

    /// Has what waits to be offered a way now?
    fn has_way_to_offer(&self) -> bool {
        self.is_free_to_offer() || self.is_free_to_update() || self.only_early().is_some()
    }

    /// Puts an early dialog into the leg's place, or back.
    pub fn exchange(&mut self, early: &mut EarlyDialog) {
        use std::mem::swap;
        swap(&mut self.dialog, &mut early.dialog);
        swap(&mut self.sdp, &mut early.sdp);
        swap(&mut self.media, &mut early.media);
        swap(&mut self.settled, &mut early.settled);
        swap(&mut self.renegotiated, &mut early.renegotiated);
        swap(&mut self.allows_update, &mut early.allows_update);
        swap(&mut self.update, &mut early.update);
    }

    /// Remembers an ACK; of each fork the last two.
    pub fn remember_ack(&mut self, ack: SentAck) {
        self.acks.retain(|a| a.tag != ack.tag || a.cseq.saturating_add(4) > ack.cseq);
        if self.acks.len() >= MAX_FORKS {
            self.acks.remove(0);
        }
        self.acks.push(ack);
    }

    /// The ACK that a repeated 2xx wants.
    pub fn ack_for(&self, tag: Option<&str>, cseq: u32) -> Option<&SentAck> {
        self.acks.iter().find(|a| a.tag.as_deref() == tag && a.cseq == cseq)
    }

    /// When the leg itself has something to do.
    pub fn deadline(&self) -> Option<Time> {
        let incoming = self.incoming.iter().flat_map(|i| [Some(i.give_up), i.ring_again]);
        let outgoing = self.outgoing.iter().flat_map(|o| [o.ring_until, o.cancel.as_ref().and_then(|c| c.until)]);
        let accepted = self.unacknowledged.iter().flat_map(|u| [Some(u.again), Some(u.give_up)]);
        let reoffer = self.waiting_reoffer.iter().map(|w| if self.has_way_to_offer() { w.at } else { None });
        let reinvite = self.reinvite.iter().map(|r| Some(r.give_up));
        let referrals = std::iter::once(self.referrals.deadline(self.is_ended()));
        let unpracked = self.reliable.unpracked.iter().filter(|_| self.incoming.is_some());
        let unpracked = unpracked.flat_map(|u| [Some(u.again), Some(u.give_up)]);
        let session = self.session.iter().filter(|_| !self.is_ended());
        let session = session.flat_map(|s| [s.refresh.filter(|_| self.is_free_to_offer()), Some(s.expiry)]);
        let all = incoming.chain(outgoing).chain(accepted).chain(reoffer).chain(reinvite);
        all.chain(unpracked).chain(session).chain(referrals).flatten().min()
    }
}
