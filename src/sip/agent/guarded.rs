//! The guard at the agent's door: what goes onto whose account, and how bans leave the agent. The limits and the
//! bans are [`crate::sip::guard`]'s.

use super::transmit::Arrival;
use super::user_agent::UserAgent;
use super::{AgentOutput, Counter};
use crate::sip::guard::{Ban, Change, Full, Guard, GuardSettings, Origin, Source, Verdict, is_scanner};
use crate::sip::message::Request;
use crate::time::Time;

impl UserAgent {
    /// Puts a guard at the door, in place of one that lets everybody pass. What it knew so far is forgotten.
    pub fn set_guard(&mut self, settings: GuardSettings) {
        self.guard = Guard::new(settings);
    }

    /// The networks that trunks call from: not banned automatically.
    pub(super) fn set_trunk_networks(&mut self, networks: Vec<ipnet::IpNet>) {
        self.guard.set_trunks(networks);
        self.tell_bans();
    }

    /// Bans a source by hand until then.
    pub fn ban(&mut self, source: Source, reason: String, until: Time, now: Time) -> Result<Ban, Full> {
        let ban = self.guard.ban(source, reason, until, now);
        self.tell_bans();
        ban
    }

    /// Lifts a ban; the ban, if there was one.
    pub fn lift_ban(&mut self, source: Source) -> Option<Ban> {
        let ban = self.guard.lift(source);
        self.tell_bans();
        ban
    }

    /// The bans, the newest first.
    pub fn bans(&self) -> Vec<Ban> {
        self.guard.bans()
    }

    /// Passes on what the guard has decided. Called wherever it may have.
    pub(super) fn tell_bans(&mut self) {
        while let Some(change) = self.guard.poll() {
            self.count(match change {
                Change::Banned(_) => Counter::Banned,
                Change::Lifted(_) => Counter::BanLifted,
            });
            self.output(AgentOutput::Ban(change));
        }
    }

    /// Puts something onto an account; true: it is to be dropped without an answer.
    pub(super) fn is_too_much(&mut self, judge: impl FnOnce(&mut Guard) -> Verdict) -> bool {
        let drop = judge(&mut self.guard) == Verdict::Drop;
        if drop {
            self.count(Counter::DroppedByGuard);
        }
        self.tell_bans();
        drop
    }

    /// Something came that belongs to nothing we have: is it one too many?
    pub(super) fn is_beyond_limits(&mut self, arrival: Arrival<'_>) -> bool {
        self.is_too_much(|guard| guard.request(Origin::of(&arrival.peer), arrival.now))
    }

    /// Call control has found nobody for an INVITE.
    pub(super) fn found_nobody(&mut self, transaction: u64, now: Time) {
        if let Some(peer) = self.servers.get(&transaction).map(|t| t.peer) {
            self.is_too_much(|guard| guard.unknown_user(Origin::of(&peer), now));
        }
    }

    /// A request outside of any dialog: one too many, or a scanner's?
    pub(super) fn is_unwanted(&mut self, request: &Request, arrival: Arrival<'_>) -> bool {
        let origin = Origin::of(&arrival.peer);
        self.is_beyond_limits(arrival)
            || (is_scanner(request) && self.is_too_much(|guard| guard.scanning(origin, arrival.now)))
    }
}
