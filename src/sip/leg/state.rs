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
    /// A 2xx of ours that waits for its ACK.
    pub unacknowledged: Option<Unacknowledged>,
    /// Unanswered incoming leg.
    pub incoming: Option<Incoming>,
    /// Outgoing leg without final answer.
    pub outgoing: Option<Outgoing>,
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
    /// Tags of those who sent 18x, with what their SDP agreed on.
    pub early: Vec<(Option<String>, Option<NegotiatedMedia>)>,
    pub cancel: Option<Cancel>,
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
            unacknowledged: None,
            incoming: None,
            outgoing: None,
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
        self.state == State::Established && self.reinvite.is_none() && self.unacknowledged.is_none()
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
        let reoffer = self.waiting_reoffer.iter().map(|w| if self.is_free_to_offer() { w.at } else { None });
        let reinvite = self.reinvite.iter().map(|r| Some(r.give_up));
        let referrals = std::iter::once(self.referrals.deadline(self.is_ended()));
        incoming.chain(outgoing).chain(accepted).chain(reoffer).chain(reinvite).chain(referrals).flatten().min()
    }
}
