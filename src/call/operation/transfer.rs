//! Transfer: the remote party is asked to call somebody else (SIP REFER), and leaves us for him. Ends in
//! `CallTransferAccepted`, after which the call is over for us, or in `CallTransferFailed`, after which it goes on.
//! One at a time. What the peer asks of us by REFER is `referral`'s.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::{Call, CallState, Context, EndedBy, EventKind, Outcome, Party, Refusal, Reply, Topic, Transfer};
use super::prompt::bad;
use crate::sip::leg::{LegCommand, Party as SipParty, Refer, ReferProgress};
use crate::time::Time;

/// How long the outcome is waited for (ACS: 60 s).
const OUTCOME: Duration = Duration::from_secs(60);

/// How long a party that took the transfer may stay before we hang up.
const LEAVING: Duration = Duration::from_secs(5);

/// A transfer under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TransferOperation {
    target: Party,
    context: Context,
    callback: Option<String>,
    /// The peer took the REFER, and will tell how it goes.
    taken: bool,
    /// The transfer came about: when we hang up ourselves.
    pub leave: Option<Time>,
}

impl Call {
    pub(in super::super) fn transfer(&mut self, wish: Transfer, now: Time) -> Result<Reply, Refusal> {
        self.must_be_connected("transfer")?;
        if let Some(transferee) = &wish.transferee {
            self.must_take_part(transferee)?;
        }
        if self.operations.transfer.is_some() {
            return Err(self.wrong_state("transfer while another transfer is under way"));
        }
        let target = match &wish.target {
            Party::Phone(number) => format!("tel:{number}"),
            Party::Sip(address) => address.clone(),
            Party::User(name) => {
                return Err(bad("targetParticipant", format!("{name} cannot be reached by the other side")));
            }
        };
        let referred_by =
            wish.caller_id.as_ref().map(|number| SipParty { display: None, uri: format!("tel:{}", number.as_str()) });
        self.operations.transfer = Some(TransferOperation {
            target: wish.target,
            context: wish.context,
            callback: wish.callback,
            taken: false,
            leave: None,
        });
        self.note(now, Topic::Operation, format!("asks {} to call {target}", self.remote.party.as_str()));
        self.leg(LegCommand::Refer(Box::new(Refer {
            target,
            replaces: None,
            referred_by,
            headers: wish.headers,
            subscribe: true,
            timeout: OUTCOME,
        })));
        Ok(Reply::Accepted)
    }

    /// What becomes of our REFER.
    pub(in super::super) fn on_refer(&mut self, progress: ReferProgress, now: Time) {
        let text = match &progress {
            ReferProgress::Accepted { subscribed: true } => "the transfer is under way".to_owned(),
            ReferProgress::Accepted { subscribed: false } => "the transfer is taken; no reports will come".to_owned(),
            ReferProgress::Refused { status, phrase } => format!("the transfer is refused: {status} {phrase}"),
            ReferProgress::Progress { status, phrase } => format!("the transfer goes on: {status} {phrase}"),
            ReferProgress::Done { status, phrase } => format!("the transfer's outcome: {status} {phrase}"),
            ReferProgress::Lost => "the transfer's outcome will not be heard".to_owned(),
        };
        self.note(now, Topic::Operation, text);
        let Some(transfer) = self.operations.transfer.as_mut().filter(|transfer| transfer.leave.is_none()) else {
            return;
        };
        match progress {
            ReferProgress::Accepted { subscribed } => {
                transfer.taken = true;
                if !subscribed {
                    self.transferred(now);
                }
            }
            ReferProgress::Done { status: 200..300, .. } => self.transferred(now),
            ReferProgress::Refused { status, phrase } | ReferProgress::Done { status, phrase } => {
                self.not_transferred(Outcome::from_sip(status, &phrase, None, false), now);
            }
            ReferProgress::Lost => self.not_transferred(Outcome::transfer_lost(), now),
            ReferProgress::Progress { .. } => {}
        }
    }

    /// It came about. The party leaves us of its own, or we hang up.
    fn transferred(&mut self, now: Time) {
        let Some(transfer) = self.operations.transfer.as_mut() else { return };
        transfer.leave = Some(now + LEAVING);
        let kind =
            EventKind::CallTransferAccepted { target: transfer.target.clone(), transferee: self.remote.party.clone() };
        let (context, callback) = (transfer.context.clone(), transfer.callback.clone());
        self.event(kind, Outcome::success(), context, callback, now);
    }

    /// It did not.
    pub(in super::super) fn not_transferred(&mut self, outcome: Outcome, now: Time) {
        if let Some(transfer) = self.operations.transfer.take().filter(|transfer| transfer.leave.is_none()) {
            self.event(EventKind::CallTransferFailed, outcome, transfer.context, transfer.callback, now);
        }
    }

    /// The party that was transferred has had its time to leave.
    pub(super) fn on_transfer_deadline(&mut self, now: Time) {
        if let Some(transfer) = self.operations.transfer.as_mut() {
            transfer.leave = None;
            self.operations.transfer = None;
            self.finish(EndedBy::Application, Outcome::transferred(), now);
        }
    }

    /// The call ends with a transfer under way: one that the party took, and left for, came about.
    pub(super) fn end_transfer(&mut self, left: bool, now: Time) {
        let Some(transfer) = self.operations.transfer.as_ref().filter(|transfer| transfer.leave.is_none()) else {
            self.operations.transfer = None;
            return;
        };
        if transfer.taken && left && self.state == CallState::Connected {
            self.transferred(now);
            self.operations.transfer = None;
        } else {
            self.not_transferred(Outcome::terminated(), now);
        }
    }
}
