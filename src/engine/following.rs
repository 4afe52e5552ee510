//! Legs that follow a REFER: a hunt looks for the target on behalf of a call's leg, which stays with its peer until
//! somebody answers and then goes on with him under the same name. The routes are `referral`'s, the dialogs
//! `sip::agent::handover`'s.

use std::collections::HashMap;

use super::hunting::HuntWish;
use super::running_call::CallMessage;
use super::signalling::Signalling;
use crate::session::{LegId, LocalMedia};
use crate::sip::access::Identity;
use crate::sip::agent::UserAgent;
use crate::sip::leg::{LegCommand, LegEvent};
use crate::time::Time;

/// All hunts for somebody whom a peer referred us to, by the leg that stands for the hunt. Bound: one a leg of the
/// stack's that is referred, which takes one REFER at a time.
#[derive(Default)]
pub struct Follows(HashMap<LegId, Follow>);

struct Follow {
    /// The call's.
    call_leg: LegId,
    /// The stack's, which was referred.
    stack_leg: LegId,
    /// The user of ours who is looked for.
    user: Option<String>,
    /// It needs nobody any more: it goes on with the target, or is over.
    done: bool,
}

impl Follows {
    /// The call's leg that a hunt's works for: itself, where it is the call's own.
    pub fn call_leg(&self, leg: LegId) -> LegId {
        self.0.get(&leg).map_or(leg, |follow| follow.call_leg)
    }

    /// The hunt is over.
    pub fn over(&mut self, hunt: LegId) {
        self.0.remove(&hunt);
    }
}

impl Signalling {
    /// Has a call's leg follow the REFER that it waits with.
    pub(super) fn follow(&mut self, call_leg: LegId, mut wish: HuntWish, user: Option<String>, now: Time) {
        let stack_leg = self.hunts.stack_leg(call_leg);
        let terms = match self.guarded(|agent| agent.accept_referral(stack_leg, now)) {
            Some(Ok(terms)) => terms,
            Some(Err(error)) => return self.tell(call_leg, CallMessage::LegRefused(call_leg, error)),
            None => return,
        };
        wish.invite.media = LocalMedia { srtp: wish.invite.media.srtp, ..terms.media };
        wish.invite.headers.extend(terms.headers);
        let hunt = self.agent.new_leg();
        self.follows.0.insert(hunt, Follow { call_leg, stack_leg, user, done: false });
        self.hunts.begin(hunt, wish, now);
        self.hunt_on(hunt);
    }

    /// What a hunt tells that works for a call's leg; false: it is the call's own.
    pub(super) fn followed(&mut self, hunt: LegId, event: &LegEvent, now: Time) -> bool {
        let Some(follow) = self.follows.0.get_mut(&hunt) else { return false };
        if follow.done {
            return true;
        }
        follow.done = matches!(event, LegEvent::Accepted { .. }) || event.is_final();
        let (call_leg, stack_leg, user) = (follow.call_leg, follow.stack_leg, follow.user.clone());
        match event {
            LegEvent::Ringing { status } => {
                self.guarded(|agent| agent.referral_rings(stack_leg, *status, now));
            }
            LegEvent::Accepted { media } => {
                let winner = self.hunts.stack_leg(hunt);
                let identity = match (user, self.hunts.trunk_of(winner)) {
                    (Some(user), _) => Identity::User(user),
                    (None, Some(trunk)) => Identity::Trunk(trunk.to_owned()),
                    (None, None) => Identity::Stranger,
                };
                let by = (winner, identity);
                let hand_over = |agent: &mut UserAgent| agent.hand_over(stack_leg, by, media.clone(), now);
                match self.guarded(hand_over) {
                    // The place on the new trunk is the call's own now.
                    Some(Ok(())) => self.hold_permit(call_leg, winner),
                    _ => self.forsake(hunt, now),
                }
            }
            LegEvent::Failed { status, phrase, .. } => {
                self.guarded(|agent| agent.referral_failed(stack_leg, *status, phrase, now));
            }
            LegEvent::Ended { .. } | LegEvent::Cancelled { .. } => {
                self.guarded(|agent| agent.referral_failed(stack_leg, 487, "Request Terminated", now));
            }
            _ => {}
        }
        true
    }

    /// A leg of the stack's that is over, or with somebody else, needs nobody who is called for it.
    pub(super) fn needs_nobody(&mut self, stack_leg: LegId, event: &LegEvent, now: Time) {
        if !event.is_final() && !matches!(event, LegEvent::Replaced { .. }) {
            return;
        }
        let waits =
            |(hunt, follow): (&LegId, &Follow)| (follow.stack_leg == stack_leg && !follow.done).then_some(*hunt);
        let Some(hunt) = self.follows.0.iter().find_map(waits) else { return };
        if let Some(follow) = self.follows.0.get_mut(&hunt) {
            follow.done = true;
        }
        self.forsake(hunt, now);
    }

    /// Nobody waits for what a hunt finds.
    fn forsake(&mut self, hunt: LegId, now: Time) {
        let _ = self.hunts.command(hunt, &LegCommand::Hangup { reason: None }, now);
        self.hunt_on(hunt);
    }
}
