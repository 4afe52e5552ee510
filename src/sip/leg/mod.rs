//! A leg: one INVITE session (RFC 3261 §13–15) and its offer/answer state (RFC 3264), as call control sees it.
//! [`LegCommand`] goes in, [`LegEvent`] comes out, both through [`UserAgent`](crate::sip::agent::UserAgent), which
//! keeps the transactions and dialogs. What a call *means* by a leg is the call room's.

mod events;

pub use events::{
    CommandError, Credentials, EndCause, Invitation, LegCommand, LegEvent, OfferedMedia, OutgoingInvite, Party, Side,
};
