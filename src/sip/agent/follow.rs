//! Carrying out a REFER of the peer's: a leg of our own calls the target and, when it is answered, its dialog takes the
//! place of the referring one, under the same name (`replaces`). Call control sees one leg all the time.
//!
//! A peer that hangs up while the target still rings is not missed: the new dialog takes its place at once.

use super::handover::ReferralTerms;
use super::user_agent::UserAgent;
use crate::session::{LegId, LocalMedia, NegotiatedMedia};
use crate::sip::access::Identity;
use crate::sip::leg::state::{Leg, State};
use crate::sip::leg::{CommandError, LegEvent, OutgoingInvite, Party};
use crate::sip::message::{Name, reason_phrase};
use crate::time::Time;

impl UserAgent {
    /// Call control wants it: 202, and the target is called.
    pub(super) fn follow(&mut self, leg: &mut Leg, mut invite: OutgoingInvite, now: Time) -> Result<(), CommandError> {
        let ReferralTerms { media, headers } = self.take_referral(leg, now)?;
        // Its own is only whether it is encrypted: that is the target's matter.
        invite.media = LocalMedia { srtp: invite.media.srtp, ..media };
        invite.headers.extend(headers);
        let follower = self.new_leg();
        self.serving.insert(follower, leg.id);
        match self.try_place(follower, invite, &super::Way::default(), now) {
            Ok(()) => {
                if let Some(theirs) = leg.referrals.theirs.as_mut() {
                    theirs.follower = Some(follower);
                }
            }
            Err((status, phrase)) => {
                self.serving.remove(&follower);
                self.follow_failed(leg, status, &phrase, now);
            }
        }
        Ok(())
    }

    /// The REFER that waits for a decision is taken: 202, and a report of 100.
    pub(super) fn take_referral(&mut self, leg: &mut Leg, now: Time) -> Result<ReferralTerms, CommandError> {
        let state = "not referred";
        let Some(media) = leg.local_media.clone() else { return Err(CommandError::WrongState { state }) };
        let Some(theirs) = leg.referrals.theirs.as_mut() else { return Err(CommandError::WrongState { state }) };
        let Some((id, request)) = theirs.undecided.take() else { return Err(CommandError::WrongState { state }) };
        let wanted = [("Replaces", &theirs.replaces), ("Referred-By", &theirs.referred_by)];
        let headers = wanted.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect();
        let subscribed = theirs.subscribed;
        if let Some(peer) = self.servers.get(&id).map(|t| t.peer) {
            let mut response = self.response(leg, &request, 202, peer);
            if let Some(contact) = self.contact_for(peer) {
                response.headers.set_value(Name::Contact, &contact.header);
            }
            if !subscribed {
                response.headers.push_value(Name::ReferSub, &"false");
            }
            self.respond(id, &response, now);
        }
        self.report(leg, 100, reason_phrase(100), now);
        Ok(ReferralTerms { media, headers })
    }

    /// What happened on a leg that works for `master`.
    pub(super) fn served(&mut self, master: LegId, follower: LegId, event: Option<LegEvent>, now: Time) {
        let (Some(event), Some(mut leg)) = (event, self.take(master)) else {
            return self.dismiss(follower, now);
        };
        let mine = leg.referrals.theirs.as_ref().is_some_and(|theirs| theirs.follower == Some(follower));
        if mine {
            match event {
                LegEvent::Ringing { status } => self.report(&mut leg, status, reason_phrase(status), now),
                LegEvent::Accepted { media } => self.follow_answered(&mut leg, follower, media, now),
                LegEvent::Failed { status, phrase, .. } => self.follow_failed(&mut leg, status, &phrase, now),
                _ => {}
            }
        }
        self.put(leg);
    }

    fn follow_answered(&mut self, leg: &mut Leg, follower: LegId, media: Option<NegotiatedMedia>, now: Time) {
        let by = self.callee(follower);
        self.report(leg, 200, reason_phrase(200), now);
        let Some(mut old) = self.exchange(leg, follower) else { return };
        if let Some(theirs) = old.referrals.theirs.as_mut() {
            theirs.follower = None;
            theirs.then_leave = true;
        } else {
            self.leave_replaced(&mut old, None, now);
        }
        self.put(old);
        self.tell(leg, LegEvent::Replaced { by, identity: Identity::Stranger });
        if let Some(media) = media {
            self.tell(leg, LegEvent::MediaChanged { media });
        }
    }

    fn follow_failed(&mut self, leg: &mut Leg, status: u16, phrase: &str, now: Time) {
        if let Some(theirs) = leg.referrals.theirs.as_mut() {
            theirs.follower = None;
        }
        self.report(leg, status, phrase, now);
        if !leg.is_ended() {
            self.tell(leg, LegEvent::FollowFailed { status, phrase: phrase.to_owned() });
        }
    }

    /// The peer that referred us hangs up. True: the leg goes on with the target, and nobody is told an end.
    pub(super) fn goes_on_without(&mut self, leg: &mut Leg) -> bool {
        let Some(follower) = leg.referrals.theirs.as_ref().and_then(|theirs| theirs.follower) else { return false };
        let by = self.callee(follower);
        let Some(mut old) = self.exchange(leg, follower) else { return false };
        old.referrals = Default::default();
        old.state = State::Over;
        self.put(old);
        self.tell(leg, LegEvent::Replaced { by, identity: Identity::Stranger });
        true
    }

    /// The leg is over, or is to be: who was called for it is not wanted any more.
    pub(super) fn stop_following(&mut self, leg: &mut Leg, now: Time) {
        let follower = leg.referrals.theirs.as_mut().and_then(|theirs| theirs.follower.take());
        if let Some(follower) = follower {
            self.dismiss(follower, now);
        }
    }

    fn dismiss(&mut self, follower: LegId, now: Time) {
        if let Some(mut follower) = self.take(follower) {
            self.leave_replaced(&mut follower, None, now);
            self.put(follower);
        }
    }

    /// Whom a leg of ours calls.
    pub(super) fn callee(&self, leg: LegId) -> Party {
        let leg = self.legs.get(&leg);
        let of_dialog = leg.and_then(|leg| leg.dialog.as_ref()).map(|dialog| dialog.remote_party().clone());
        let of_invite = || {
            let transaction = leg.and_then(|leg| leg.outgoing.as_ref()).map(|outgoing| outgoing.transaction);
            transaction.and_then(|id| self.clients.get(&id)).and_then(|t| t.request.headers.to().ok())
        };
        of_dialog.or_else(of_invite).as_ref().map(super::transmit::party).unwrap_or_default()
    }
}
