//! Carrying out a REFER of the peer's from outside of the stack (RFC 3515 §2.4.4): whoever places legs calls the target,
//! at several places where there are several, and says how that goes; the leg that is answered then hands its dialog
//! over. Call control sees one leg all the time. `follow` is the same for a single place that the stack itself calls.
//!
//! A peer that hangs up while the target still rings is not missed: its leg waits without a dialog.

use super::user_agent::UserAgent;
use crate::session::{LegId, LocalMedia, NegotiatedMedia};
use crate::sip::access::Identity;
use crate::sip::leg::state::{Leg, State};
use crate::sip::leg::{CommandError, EndCause, LegEvent, Side};
use crate::sip::message::reason_phrase;
use crate::time::Time;

/// What INVITEs must have that carry a referral out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferralTerms {
    /// The stream of the leg that was referred, which goes on with the target.
    pub media: LocalMedia,
    /// `Replaces` and `Referred-By`, as the peer wants them.
    pub headers: Vec<(String, String)>,
}

impl UserAgent {
    /// Takes the referral that a leg waits with: 202, and a report of 100. It ends with [`UserAgent::hand_over`] or
    /// [`UserAgent::referral_failed`], or with the leg, of which its events tell.
    pub fn accept_referral(&mut self, leg: LegId, now: Time) -> Result<ReferralTerms, CommandError> {
        self.moment = now;
        let mut leg = self.take(leg).ok_or(CommandError::NoSuchLeg)?;
        let terms = match leg.is_ended() {
            true => Err(CommandError::NoSuchLeg),
            false => self.take_referral(&mut leg, now),
        };
        if let (Ok(_), Some(theirs)) = (&terms, leg.referrals.theirs.as_mut()) {
            theirs.elsewhere = true;
        }
        self.put(leg);
        self.sweep();
        terms
    }

    /// Somebody who is called for a leg rings: the peer is told. `status`: 100 to 199.
    pub fn referral_rings(&mut self, leg: LegId, status: u16, now: Time) {
        self.moment = now;
        let Some(mut leg) = self.take(leg) else { return };
        self.report(&mut leg, status, reason_phrase(status), now);
        self.put(leg);
        self.sweep();
    }

    /// Nobody has answered: the peer is told, and the leg stays with it, or ends where it has left.
    pub fn referral_failed(&mut self, leg: LegId, status: u16, phrase: &str, now: Time) {
        self.moment = now;
        let Some(mut leg) = self.take(leg) else { return };
        if leg.referrals.bereft {
            let end = LegEvent::Ended { by: Side::Remote, cause: EndCause::Bye, reason: None };
            self.finish(&mut leg, State::Over, end);
        } else if leg.referrals.theirs.as_mut().is_some_and(|theirs| std::mem::take(&mut theirs.elsewhere)) {
            self.report(&mut leg, status, phrase, now);
            self.tell(&leg, LegEvent::FollowFailed { status, phrase: phrase.to_owned() });
        }
        self.put(leg);
        self.sweep();
    }

    /// A leg that was placed for another one is answered and takes its place: the dialogs change hands, and what was
    /// the peer's is ended under the name of `by`. Its identity is the caller's to know. An error: `leg` is over, or nobody is called for it.
    pub fn hand_over(
        &mut self,
        leg: LegId,
        (by, identity): (LegId, Identity),
        media: Option<NegotiatedMedia>,
        now: Time,
    ) -> Result<(), CommandError> {
        self.moment = now;
        let mut leg = self.take(leg).ok_or(CommandError::NoSuchLeg)?;
        let done = self.exchange_for(&mut leg, by, identity, media, now);
        self.put(leg);
        self.sweep();
        done
    }

    fn exchange_for(
        &mut self,
        leg: &mut Leg,
        by: LegId,
        identity: Identity,
        media: Option<NegotiatedMedia>,
        now: Time,
    ) -> Result<(), CommandError> {
        let waits = leg.referrals.bereft || leg.referrals.theirs.as_ref().is_some_and(|theirs| theirs.elsewhere);
        if leg.is_ended() || !waits {
            return Err(CommandError::WrongState { state: "not referred" });
        }
        let party = self.callee(by);
        self.report(leg, 200, reason_phrase(200), now);
        let mut old = self.exchange(leg, by).ok_or(CommandError::NoSuchLeg)?;
        if old.referrals.bereft {
            old.state = State::Over;
        } else if let Some(theirs) = old.referrals.theirs.as_mut() {
            theirs.elsewhere = false;
            theirs.then_leave = true;
        } else {
            self.leave_replaced(&mut old, None, now);
        }
        self.put(old);
        self.tell(leg, LegEvent::Replaced { by: party, identity });
        if let Some(media) = media {
            self.tell(leg, LegEvent::MediaChanged { media });
        }
        Ok(())
    }

    /// The peer that referred us hangs up while somebody is called from outside. True: the leg waits for him, and nobody
    /// is told an end.
    pub(super) fn waits_without(&mut self, leg: &mut Leg) -> bool {
        if !leg.referrals.theirs.as_ref().is_some_and(|theirs| theirs.elsewhere) {
            return false;
        }
        let (id, tag, sdp_id) = (self.new_leg(), self.random.token(8), self.random.u64());
        let mut blank = Leg::new(id, State::Calling, leg.call_id.clone(), tag, sdp_id);
        blank.local_media.clone_from(&leg.local_media);
        blank.referrals.bereft = true;
        self.serving.insert(id, leg.id);
        self.register(blank);
        let Some(mut old) = self.exchange(leg, id) else { return false };
        old.referrals = Default::default();
        old.state = State::Over;
        self.put(old);
        true
    }
}
