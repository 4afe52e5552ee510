//! A leg: one INVITE session (RFC 3261 §13–15) and its offer/answer state (RFC 3264), as call control sees it.
//! [`LegCommand`] goes in, [`LegEvent`] comes out, both through [`UserAgent`](crate::sip::agent::UserAgent), which
//! keeps the transactions and moves the states. What a call *means* by a leg is the call room's.
//!
//! # States
//! | state | what it is | moves |
//! |---|---|---|
//! | Incoming | an INVITE of the peer's without our final answer | Accept → Answered; Refuse, Redirect, CANCEL, BYE, nobody answers → Over |
//! | Answered | our 2xx is out and repeated | ACK → Established; 64·T1 → BYE, Over; BYE → Over; Hangup → Closing |
//! | Calling | our INVITE without a final answer | 2xx → Established; refusal, timer B, no transport → Over; Hangup, ring timeout → Cancelling |
//! | Cancelling | our INVITE is to be cancelled as soon as anything is heard of it; call control has been told the end | any end of the INVITE → Over; a 2xx that crosses gets ACK and BYE |
//! | Established | both ways confirmed | BYE, either way → Over; re-INVITEs stay here |
//! | Closing | hung up before the ACK of our 2xx: the BYE must wait for it (§15) | ACK or 64·T1 → BYE, Over |
//! | Over | call control has been told the end; transactions run out | when the last is gone, the leg is |

mod events;
pub(crate) mod referral;
pub(crate) mod state;
mod transfer;

pub use events::{
    CommandError, Credentials, EndCause, Invitation, LegCommand, LegEvent, OfferedMedia, OutgoingInvite, Party, Side,
};
pub use transfer::{MAX_REDIRECTIONS, MAX_REFERRED_HEADERS, Redirection, Refer, ReferProgress, Referral};
