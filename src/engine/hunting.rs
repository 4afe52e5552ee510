//! Hunts within the signalling task: one leg of a call's, several legs of the stack's. What a hunt does next is
//! `sip::hunt`'s; here its attempts get legs, limits and trunks' health are minded, and redirections are looked up.

use std::collections::{BTreeSet, HashMap};

use crate::session::LegId;
use crate::sip::agent::Way;
use crate::sip::hunt::{Attempt, Branch, Hunt, HuntLimits, HuntOutput, Round};
use crate::sip::leg::{LegCommand, LegEvent, OutgoingInvite};
use crate::time::Time;
use crate::trunk::document::Redirects;

use super::Hub;
use super::metrics::count;
use super::outgoing::Redirection;
use super::trunks::Permit;

/// A wish to call somebody, with all the places where he may be.
#[derive(Clone, Debug)]
pub struct HuntWish {
    /// What all attempts have in common; its target, destination and credentials are the branches'.
    pub invite: OutgoingInvite,
    /// Where to try.
    pub rounds: Vec<Round>,
    /// Within which bounds.
    pub limits: HuntLimits,
    /// Which redirections are followed.
    pub redirects: Redirects,
}

/// All hunts of the task. Bound: one a leg of a call's.
#[derive(Default)]
pub struct Hunts {
    running: HashMap<LegId, Running>,
    /// The stack's legs.
    attempts: HashMap<LegId, Trying>,
    /// When hunts want to be woken.
    wakeups: BTreeSet<(Time, LegId)>,
}

struct Running {
    hunt: Hunt,
    invite: OutgoingInvite,
    redirects: Redirects,
    /// The attempts' legs in the stack, by attempt; none: it never came to one.
    legs: Vec<Option<LegId>>,
    scheduled: Option<Time>,
}

struct Trying {
    call_leg: LegId,
    attempt: Attempt,
    /// The trunk and the number of its proxy.
    by: Option<(String, usize)>,
    /// What was placed, for those that it is redirected to.
    branch: Box<Branch>,
    permit: Option<Permit>,
}

/// What the signalling task is to do for a hunt.
pub enum Doing {
    /// Place a leg of the stack's.
    Place(LegId, Box<OutgoingInvite>, Way),
    /// A command for a leg of the stack's.
    Command(LegId, LegCommand),
    /// Tell the call.
    Tell(LegId, LegEvent),
    /// Onto the call's timeline.
    Note(LegId, String),
    /// Find out where these lead, and come back with `resolved`.
    Resolve(LegId, Attempt, Redirection),
    /// The call's leg has nothing left in the stack.
    Over(LegId),
}

impl Hunts {
    /// Begins one for a call's leg.
    pub fn begin(&mut self, call_leg: LegId, wish: HuntWish, now: Time) {
        let hunt = Hunt::new(wish.rounds, wish.limits, now);
        let running =
            Running { hunt, invite: wish.invite, redirects: wish.redirects, legs: Vec::new(), scheduled: None };
        self.running.insert(call_leg, running);
    }

    /// The call's leg that a leg of the stack's stands for: itself, where no hunt made it.
    pub fn call_leg(&self, leg: LegId) -> LegId {
        self.attempts.get(&leg).map_or(leg, |trying| trying.call_leg)
    }

    /// The stack's leg that has answered for a call's leg: itself, where there is no hunt.
    pub fn stack_leg(&self, call_leg: LegId) -> LegId {
        let winner = self
            .running
            .get(&call_leg)
            .and_then(|running| running.legs.get(running.hunt.winner()?.0).copied().flatten());
        winner.unwrap_or(call_leg)
    }

    /// The place on a trunk of an attempt that goes on under another name.
    pub fn take_permit(&mut self, leg: LegId) -> Option<Permit> {
        self.attempts.get_mut(&leg)?.permit.take()
    }

    /// The trunk that an attempt goes by.
    pub fn trunk_of(&self, leg: LegId) -> Option<&str> {
        self.attempts.get(&leg)?.branch.trunk.as_deref()
    }

    /// Anything was heard on a leg of the stack's.
    pub fn heard(&mut self, leg: LegId) {
        if let Some(trying) = self.attempts.get(&leg)
            && let Some(running) = self.running.get_mut(&trying.call_leg)
        {
            running.hunt.heard(trying.attempt);
        }
    }

    /// An event of the stack's: true, it was a hunt's.
    pub fn event(&mut self, hub: &Hub, leg: LegId, event: &LegEvent, now: Time) -> bool {
        let Some(trying) = self.attempts.get_mut(&leg) else { return false };
        if event.is_final() {
            trying.permit = None;
        }
        if matches!(event, LegEvent::Accepted { .. }) {
            fares(hub, trying, None, now);
        }
        let (call_leg, attempt) = (trying.call_leg, trying.attempt);
        if let Some(running) = self.running.get_mut(&call_leg) {
            running.hunt.event(attempt, event.clone(), now);
        }
        true
    }

    /// The stack has let go of a leg: true, it was a hunt's.
    pub fn gone(&mut self, leg: LegId, now: Time) -> bool {
        let Some(trying) = self.attempts.remove(&leg) else { return false };
        if let Some(running) = self.running.get_mut(&trying.call_leg) {
            running.hunt.gone(trying.attempt, now);
        }
        true
    }

    /// A command of the call's: none, it is no hunt's leg.
    pub fn command(
        &mut self,
        call_leg: LegId,
        command: &LegCommand,
        now: Time,
    ) -> Option<Result<(), crate::sip::leg::CommandError>> {
        Some(self.running.get_mut(&call_leg)?.hunt.command(command.clone(), now))
    }

    /// Where a redirection leads.
    pub fn resolved(&mut self, call_leg: LegId, attempt: Attempt, rounds: Vec<Round>, now: Time) {
        if let Some(running) = self.running.get_mut(&call_leg) {
            running.hunt.resolved(attempt, rounds, now);
        }
    }

    /// When [`Hunts::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        self.wakeups.first().map(|(at, _)| *at)
    }

    /// Time has moved; the hunts that were due, which want to be carried out.
    pub fn timeout(&mut self, now: Time) -> Vec<LegId> {
        let mut due = Vec::new();
        while let Some((at, leg)) = self.wakeups.first().copied().filter(|(at, _)| *at <= now) {
            self.wakeups.remove(&(at, leg));
            if let Some(running) = self.running.get_mut(&leg) {
                running.scheduled = None;
                running.hunt.timeout(now);
                due.push(leg);
            }
        }
        due
    }

    /// The next thing to do for a call's leg; none: nothing until its next input.
    pub fn poll(&mut self, hub: &Hub, call_leg: LegId, now: Time, mut new_leg: impl FnMut() -> LegId) -> Option<Doing> {
        loop {
            let running = self.running.get_mut(&call_leg)?;
            let Some(output) = running.hunt.poll() else {
                self.schedule(call_leg);
                return None;
            };
            let leg_of = |attempt: Attempt| running.legs.get(attempt.0).copied().flatten();
            match output {
                HuntOutput::Place { attempt, branch, ring_timeout } => {
                    let permit = match permit(hub, &branch, now) {
                        Ok(permit) => permit,
                        Err(problem) => {
                            count(&hub.metrics.trunk_attempts, "full");
                            running.legs.push(None);
                            let failed = LegEvent::Failed { status: 503, phrase: problem, reason: None, local: true };
                            running.hunt.event(attempt, failed, now);
                            running.hunt.gone(attempt, now);
                            continue;
                        }
                    };
                    let leg = new_leg();
                    running.legs.push(Some(leg));
                    let mut invite = running.invite.clone();
                    invite.ring_timeout = ring_timeout;
                    let way = dress(&mut invite, (*branch).clone());
                    let by = branch.trunk.clone().map(|trunk| (trunk, branch.proxy));
                    self.attempts.insert(leg, Trying { call_leg, attempt, by, branch, permit });
                    return Some(Doing::Place(leg, Box::new(invite), way));
                }
                HuntOutput::Command(attempt, command) => {
                    if let Some(leg) = leg_of(attempt) {
                        return Some(Doing::Command(leg, command));
                    }
                }
                HuntOutput::Tell(event) => return Some(Doing::Tell(call_leg, event)),
                HuntOutput::Note(text) => return Some(Doing::Note(call_leg, text)),
                HuntOutput::Resolve { attempt, contacts } => {
                    match leg_of(attempt).and_then(|leg| self.attempts.get(&leg)) {
                        Some(trying) => {
                            let (from, follows) = (trying.branch.clone(), running.redirects);
                            return Some(Doing::Resolve(call_leg, attempt, Redirection { contacts, from, follows }));
                        }
                        None => running.hunt.resolved(attempt, Vec::new(), now),
                    }
                }
                HuntOutput::Failed { attempt, status, local, heard } => {
                    if let Some(trying) = leg_of(attempt).and_then(|leg| self.attempts.get(&leg)) {
                        fares(hub, trying, Some((status, local, heard)), now);
                    }
                }
                HuntOutput::Over => {
                    if let Some(running) = self.running.remove(&call_leg)
                        && let Some(at) = running.scheduled
                    {
                        self.wakeups.remove(&(at, call_leg));
                    }
                    return Some(Doing::Over(call_leg));
                }
            }
        }
    }

    fn schedule(&mut self, call_leg: LegId) {
        let Some(running) = self.running.get_mut(&call_leg) else { return };
        let deadline = running.hunt.deadline();
        if deadline != running.scheduled {
            if let Some(at) = running.scheduled {
                self.wakeups.remove(&(at, call_leg));
            }
            running.scheduled = deadline;
            self.wakeups.extend(deadline.map(|at| (at, call_leg)));
        }
    }
}

/// Puts what is the branch's own into the INVITE, and gives its way.
fn dress(invite: &mut OutgoingInvite, branch: Branch) -> Way {
    invite.target = branch.target;
    invite.destination = branch.destination;
    invite.transport = branch.transport;
    invite.credentials = branch.credentials;
    invite.headers.extend(branch.headers);
    if let Some(from) = branch.from {
        invite.from = from;
    }
    if let Some(srtp) = branch.srtp {
        invite.media.srtp = srtp;
    }
    Way { connection: branch.connection, local: branch.local, route: branch.route }
}

/// A place among the trunk's calls, where the branch goes by one.
fn permit(hub: &Hub, branch: &Branch, now: Time) -> Result<Option<Permit>, String> {
    let Some(name) = &branch.trunk else { return Ok(None) };
    let trunks = hub.trunks.load();
    let Some(known) = trunks.named(name) else { return Ok(None) };
    known.permit(now).map(Some).map_err(|full| format!("trunk {name}: {full}"))
}

/// What the end of an attempt, or its answer (`None`), says of its proxy.
fn fares(hub: &Hub, trying: &Trying, failed: Option<(u16, bool, bool)>, now: Time) {
    let Some((trunk, proxy)) = &trying.by else { return };
    let kind = match failed {
        None => "answered",
        Some((_, true, true)) => "unanswered",
        Some((408, true, false)) => "silent",
        Some((_, true, false)) => "unreachable",
        Some((500..=599, false, _)) => "failed",
        Some(_) => "refused",
    };
    count(&hub.metrics.trunk_attempts, kind);
    let trunks = hub.trunks.load();
    let Some(known) = trunks.named(trunk) else { return };
    known.health(*proxy, |health| match failed {
        Some((503, false, _)) => health.call_failed("503 Service Unavailable", now),
        Some((408, true, false)) => health.call_failed("no response in time", now),
        Some((_, true, false)) => health.call_failed("no way there", now),
        // That nobody answers a ringing telephone is no fault of the proxy's.
        _ => health.call_heard(now),
    });
}
