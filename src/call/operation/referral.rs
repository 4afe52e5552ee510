//! What the other side asks of us by REFER: who we shall call in its stead. Whether its word counts is in the call's
//! settings, for who it is was found out at the door; the way to the target is the engine's. The leg goes on with the new
//! party under the same name.

use super::super::{Call, CallState, Output, Party, Topic};
use crate::session::LegId;
use crate::sip::leg::{LegCommand, Party as SipParty, Referral};
use crate::time::Time;

/// What a REFER that is not allowed is refused with.
const DECLINED: u16 = 603;

impl Call {
    pub(in super::super) fn on_referred(&mut self, referral: Referral, now: Time) {
        let target = referral.target.uri.clone();
        let who = self.remote.party.as_str().to_owned();
        if self.state != CallState::Connected || !self.settings.follow_referrals {
            self.note(now, Topic::Signalling, format!("{who} may not refer us to {target}: declined"));
            return self.leg(LegCommand::RefuseReferral { status: DECLINED });
        }
        self.note(now, Topic::Signalling, format!("{who} refers us to {target}"));
        self.outputs.push_back(Output::Follow(self.remote.leg, Box::new(referral)));
    }

    /// May the party on that leg refer us from now on? It is asked anew whenever another one is there.
    pub fn let_refer(&mut self, leg: LegId, allowed: bool) {
        match &mut self.callee {
            Some(callee) if leg != self.remote.leg => callee.may_refer = allowed,
            _ => self.settings.follow_referrals = allowed,
        }
    }

    /// The leg goes on with another party.
    pub(in super::super) fn on_replaced(&mut self, by: &SipParty, now: Time) {
        let party = Party::of_sip(by);
        let text = format!("{} takes the place of {}", party.as_str(), self.remote.party.as_str());
        self.note(now, Topic::Signalling, text);
        self.remote.party = party;
        if self.state == CallState::Connected {
            self.participants_updated(now);
        }
    }
}
