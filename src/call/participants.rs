//! The far end of a call: its leg, its stream, its keys, and how it looks as a participant. One remote party a call;
//! whether it may be addressed is decided here.

use serde::{Deserialize, Serialize};

use super::{Call, EventKind, Outcome, Participant, Party, Refusal};
use crate::dtmf::Arbiter;
use crate::session::{Direction, LegId, LocalMedia, NegotiatedMedia};
use crate::time::Time;

/// The remote party.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Remote {
    pub leg: LegId,
    pub party: Party,
    pub signalling: Signalling,
    pub line: Line,
    /// What was agreed last; none: nothing yet.
    pub agreed: Option<NegotiatedMedia>,
    /// The three-way handshake is over.
    pub confirmed: bool,
    /// He is known to be where his messages say, before that.
    pub proven: bool,
    /// Makes one press of the several reports of it.
    pub arbiter: Arbiter,
}

/// Where the remote's leg stands, as far as a call must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Signalling {
    /// Outgoing: not placed yet.
    Idle,
    /// There is a leg that must be ended before the call is.
    Live,
    /// It was refused or redirected; its last event is to come.
    Refused,
    /// It was told to hang up; its last event is to come.
    HungUp,
    /// Its last event came.
    Over,
}

/// Where the remote's stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Line {
    /// Never opened.
    Idle,
    /// Ports are being reserved.
    Opening,
    /// It has ports, this one and the next.
    Open(u16),
    /// Close was told, the answer is to come.
    Closing,
    /// Nothing of it is left.
    Closed,
}

impl Remote {
    pub fn new(leg: LegId, party: Party, signalling: Signalling) -> Self {
        Remote {
            leg,
            party,
            signalling,
            line: Line::Idle,
            agreed: None,
            confirmed: false,
            proven: false,
            arbiter: Arbiter::default(),
        }
    }

    /// One side has put the other on hold: audio does not flow both ways (RFC 3264 §8.4: sendonly, recvonly, inactive).
    pub fn on_hold(&self) -> bool {
        self.agreed.as_ref().is_some_and(|media| media.direction != Direction::SendRecv)
    }

    /// His digits come by RFC 4733.
    pub fn sends_events(&self) -> bool {
        self.agreed.as_ref().is_some_and(|media| !media.receive_telephone_events.is_empty())
    }

    pub fn participant(&self) -> Participant {
        Participant { party: self.party.clone(), muted: false, on_hold: self.on_hold() }
    }
}

impl Call {
    /// Refuses a party that is not on the call.
    pub(super) fn must_take_part(&self, party: &Party) -> Result<(), Refusal> {
        if *party == self.remote.party { Ok(()) } else { Err(Refusal::NoSuchParty(party.as_str().to_owned())) }
    }

    /// Our side of the stream, on that port.
    pub(super) fn local_media(&self, port: u16) -> LocalMedia {
        LocalMedia {
            address: self.settings.advertised,
            port,
            codecs: self.settings.codecs.clone(),
            direction: Direction::SendRecv,
            srtp: self.settings.srtp,
        }
    }

    pub(super) fn participants_updated(&mut self, now: Time) {
        self.sequence_number = self.sequence_number.saturating_add(1);
        let kind =
            EventKind::ParticipantsUpdated { participants: self.participants(), sequence_number: self.sequence_number };
        self.event(kind, Outcome::success(), None, None, now);
    }
}

/// What was agreed, in one line for the timeline.
pub(super) fn in_words(media: &NegotiatedMedia) -> String {
    format!(
        "{} to {}, {:?}, telephone-event {}{}",
        media.codec.encoding_name(),
        media.remote_rtp,
        media.direction,
        media.send_telephone_event.map_or("not agreed".to_owned(), |number| number.to_string()),
        media.srtp.as_ref().map_or(String::new(), |keys| format!(", SRTP {}", keys.send.suite().name())),
    )
}
