//! What a user agent gives to whoever polls it.

use bytes::Bytes;

use super::{RequestId, RequestOutcome};
use crate::session::LegId;
use crate::sip::guard::Change;
use crate::sip::leg::{Invitation, LegEvent};
use crate::sip::peer::Peer;
use crate::sip::registrar::Binding;

/// One thing to carry out or to be told of, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentOutput {
    /// Send these bytes there. A failure comes back by `transport_lost`.
    Send {
        /// Where to.
        peer: Peer,
        /// A whole message (or the two bytes of a keep-alive).
        bytes: Bytes,
        /// The leg it belongs to, if it belongs to one.
        leg: Option<LegId>,
    },
    /// A new incoming leg.
    Incoming(Box<Invitation>),
    /// Something happened on a leg.
    Leg(LegId, LegEvent),
    /// A message of a leg, for the call's timeline. Credentials in it are blanked.
    Trace {
        /// Which leg.
        leg: LegId,
        /// Which way it went.
        flow: Flow,
        /// The other end.
        peer: Peer,
        /// The request or status line.
        first_line: String,
        /// The same bytes have gone this way before.
        retransmission: bool,
        /// The whole message.
        bytes: Bytes,
    },
    /// What became of a request outside of any dialog; once for each.
    Answered {
        /// Which.
        id: RequestId,
        /// What.
        outcome: Box<RequestOutcome>,
    },
    /// These are a user's registrations now; none: he has none any more.
    Registrations {
        /// His name.
        user: String,
        /// All of them.
        bindings: Vec<Binding>,
    },
    /// All state of this leg is freed; its id will not be heard again.
    Gone(LegId),
    /// A source is banned, or no longer: the sockets are to know.
    Ban(Change),
    /// Count one more of these.
    Counter(Counter),
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// From us.
    Sent,
    /// To us.
    Received,
}

/// What is counted for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// A request arrived (retransmissions included).
    RequestReceived,
    /// A response arrived.
    ResponseReceived,
    /// A request or response left for the first time.
    MessageSent,
    /// A message left again because nothing was heard.
    RetransmissionSent,
    /// A request arrived again and was absorbed.
    RetransmissionReceived,
    /// Bytes that were no SIP message, or one so broken that it could not be answered: dropped.
    Unintelligible,
    /// A broken request was answered with 400 or the like.
    Malformed,
    /// A response that matched nothing: dropped.
    StrayResponse,
    /// A request was refused with 503 because a table was full.
    Overloaded,
    /// A request arrived for a dialog that is not known: 481.
    UnknownDialog,
    /// A transaction ran out of time.
    TransactionTimeout,
    /// A 2xx was never acknowledged.
    AckTimeout,
    /// A message was dropped because its source is banned or beyond a limit.
    DroppedByGuard,
    /// An answer was not sent, since it would have been much longer than its request.
    Unanswered,
    /// A source was banned.
    Banned,
    /// A ban ended or was lifted.
    BanLifted,
    /// Credentials were asked for.
    Challenged,
    /// Credentials came and were wrong.
    AuthenticationFailed,
    /// A REGISTER changed a binding.
    Registered,
    /// A reliable provisional response was never acknowledged.
    PrackTimeout,
}

impl Counter {
    /// The name that a metric carries.
    pub fn name(self) -> &'static str {
        match self {
            Counter::RequestReceived => "request_received",
            Counter::ResponseReceived => "response_received",
            Counter::MessageSent => "message_sent",
            Counter::RetransmissionSent => "retransmission_sent",
            Counter::RetransmissionReceived => "retransmission_received",
            Counter::Unintelligible => "unintelligible",
            Counter::Malformed => "malformed",
            Counter::StrayResponse => "stray_response",
            Counter::Overloaded => "overloaded",
            Counter::UnknownDialog => "unknown_dialog",
            Counter::TransactionTimeout => "transaction_timeout",
            Counter::AckTimeout => "ack_timeout",
            Counter::DroppedByGuard => "dropped_by_guard",
            Counter::Unanswered => "unanswered",
            Counter::Banned => "banned",
            Counter::BanLifted => "ban_lifted",
            Counter::Challenged => "challenged",
            Counter::AuthenticationFailed => "authentication_failed",
            Counter::Registered => "registered",
            Counter::PrackTimeout => "prack_timeout",
        }
    }
}
