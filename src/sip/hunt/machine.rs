//! The hunt itself: rounds, attempts and their clock.

use std::collections::{HashSet, VecDeque};

use super::response::{Refused, in_words};
use super::{Attempt, Branch, EarlyMedia, HuntLimits, HuntOutput, Round, Verdict};
use crate::session::NegotiatedMedia;
use crate::sip::leg::{CommandError, EndCause, LegCommand, LegEvent, Side};
use crate::time::Time;

/// The Reason of a CANCEL or BYE to those who were not the first (RFC 3326 §2).
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Less than this left: no further round is begun.
const LEAST: std::time::Duration = std::time::Duration::from_secs(1);

/// See the table in [`crate::sip::hunt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Calling,
    Resolving,
    Won,
    Failed,
    Dropped,
}

#[derive(Clone, Debug)]
struct Try {
    label: String,
    target: String,
    state: State,
    /// The stack has nothing of it left.
    gone: bool,
    /// Anything at all has been heard.
    heard: bool,
    /// When it is given up where nothing has been heard.
    patience: Option<Time>,
    /// Redirections that led here.
    depth: u8,
    /// And whether it is proven.
    early: Option<(NegotiatedMedia, bool)>,
    /// What a 3xx said, kept until its contacts are looked up.
    refused: Option<Refused>,
    contacts: Vec<String>,
}

/// One call looking for somebody who answers. See the room.
#[derive(Clone, Debug)]
pub struct Hunt {
    limits: HuntLimits,
    /// Rounds still to come, with the redirections that led to them. Bound: `limits.attempts` branches are tried of all.
    rounds: VecDeque<(Round, u8)>,
    /// At most `limits.attempts`.
    tries: Vec<Try>,
    /// When the hunt gives up.
    until: Time,
    /// When the running round is left for the next.
    round_until: Option<Time>,
    winner: Option<Attempt>,
    /// The attempt whose early media has been told.
    early: Option<Attempt>,
    best: Option<Refused>,
    /// Call control has been told the end.
    ended: bool,
    over: bool,
    /// What has been tried, against redirections in a circle. As many as attempts.
    tried: HashSet<String>,
    outputs: VecDeque<HuntOutput>,
}

impl Hunt {
    /// Begins with the first round. No branch at all ends in `Failed` 480 at once.
    pub fn new(rounds: Vec<Round>, limits: HuntLimits, now: Time) -> Self {
        let mut hunt = Hunt {
            until: now + limits.ring_timeout,
            limits,
            rounds: rounds.into_iter().filter(|round| !round.branches.is_empty()).map(|round| (round, 0)).collect(),
            tries: Vec::new(),
            round_until: None,
            winner: None,
            early: None,
            best: None,
            ended: false,
            over: false,
            tried: HashSet::new(),
            outputs: VecDeque::new(),
        };
        hunt.next_round(now);
        hunt
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<HuntOutput> {
        self.outputs.pop_front()
    }

    /// The attempt that answered.
    pub fn winner(&self) -> Option<Attempt> {
        self.winner
    }

    /// When [`Hunt::timeout`] wants to be called.
    pub fn deadline(&self) -> Option<Time> {
        if self.ended || self.winner.is_some() {
            return None;
        }
        let elsewhere = !self.rounds.is_empty();
        let tries = self.tries.iter().filter(|t| t.state == State::Calling && !t.heard && elsewhere);
        let resolving = self.tries.iter().any(|t| t.state == State::Resolving).then_some(self.until);
        tries.filter_map(|t| t.patience).chain(self.round_until.filter(|_| elsewhere)).chain(resolving).min()
    }

    /// Anything at all was heard from an attempt's other end, be it only a 100.
    pub fn heard(&mut self, attempt: Attempt) {
        if let Some(tried) = self.tries.get_mut(attempt.0) {
            tried.heard = true;
        }
    }

    /// The stack has let go of an attempt's leg.
    pub fn gone(&mut self, attempt: Attempt, now: Time) {
        if let Some(tried) = self.tries.get_mut(attempt.0) {
            tried.gone = true;
            if matches!(tried.state, State::Calling | State::Won) {
                // A leg always says its end before it goes; this is for one that never came to be.
                let refused = Refused { status: 503, phrase: "Gone".into(), reason: None, local: true };
                if tried.state == State::Calling { self.failed(attempt, refused, now) } else { self.ended = true }
            }
        }
        self.finish();
    }

    /// Time has moved to `now`.
    pub fn timeout(&mut self, now: Time) {
        if self.ended || self.winner.is_some() {
            return;
        }
        if now >= self.until {
            let unresolved: Vec<_> = self.in_state(State::Resolving).collect();
            for attempt in unresolved {
                self.resolved(attempt, Vec::new(), now);
            }
            return;
        }
        if self.rounds.is_empty() {
            return;
        }
        let silent = |t: &Try| t.state == State::Calling && !t.heard && t.patience.is_some_and(|at| at <= now);
        let silent: Vec<_> =
            self.tries.iter().enumerate().filter(|(_, t)| silent(t)).map(|(at, _)| Attempt(at)).collect();
        for attempt in silent {
            self.outputs.push_back(HuntOutput::Command(attempt, LegCommand::Hangup { reason: None }));
            let phrase = "Request Timeout".to_owned();
            self.failed(attempt, Refused { status: 408, phrase, reason: None, local: true }, now);
        }
        if self.round_until.is_some_and(|at| at <= now) && !self.ended {
            self.round_until = None;
            let running: Vec<_> = self.in_state(State::Calling).collect();
            if !running.is_empty() {
                self.note(format!("nobody of {} answered in time: the next", running.len()));
            }
            for attempt in running {
                self.outputs.push_back(HuntOutput::Command(attempt, LegCommand::Hangup { reason: None }));
                let phrase = "No answer in time".to_owned();
                self.end(attempt, State::Dropped);
                self.remember(Refused { status: 408, phrase, reason: None, local: true });
            }
            if self.in_state(State::Resolving).next().is_none() {
                self.next_round(now);
            }
        }
    }

    /// A command of call control's for its one leg.
    pub fn command(&mut self, command: LegCommand, now: Time) -> Result<(), CommandError> {
        let _ = now;
        if let Some(winner) = self.winner {
            self.outputs.push_back(HuntOutput::Command(winner, command));
            return Ok(());
        }
        if self.ended {
            return Err(CommandError::NoSuchLeg);
        }
        let LegCommand::Hangup { reason } = command else {
            return Err(CommandError::WrongState { state: "calling" });
        };
        self.rounds.clear();
        self.drop_others(None, reason);
        self.ended = true;
        let end = LegEvent::Ended { by: Side::Local, cause: EndCause::Cancelled, reason: None };
        self.outputs.push_back(HuntOutput::Tell(end));
        self.finish();
        Ok(())
    }

    /// Something happened on an attempt's leg.
    pub fn event(&mut self, attempt: Attempt, event: LegEvent, now: Time) {
        if self.winner == Some(attempt) {
            self.ended |= event.is_final();
            self.outputs.push_back(HuntOutput::Tell(event));
            return self.finish();
        }
        let Some(tried) = self.tries.get_mut(attempt.0) else { return };
        tried.heard |= !matches!(event, LegEvent::Failed { local: true, .. } | LegEvent::Ended { .. });
        match event {
            // It crossed our CANCEL.
            LegEvent::Accepted { .. } if tried.state != State::Calling => {
                let reason = Some(ELSEWHERE.to_owned()).filter(|_| self.winner.is_some());
                self.outputs.push_back(HuntOutput::Command(attempt, LegCommand::Hangup { reason }));
            }
            _ if tried.state != State::Calling => {}
            LegEvent::Accepted { .. } => self.won(attempt, event),
            LegEvent::EarlyMedia { media, proven } => {
                tried.early = Some((media, proven));
                self.tell_early(attempt);
            }
            LegEvent::Redirected { to } => tried.contacts = to.into_iter().map(|place| place.uri).collect(),
            LegEvent::Failed { status, phrase, reason, local } => {
                let refused = Refused { status, phrase, reason, local };
                if (300..400).contains(&status) && !local {
                    self.redirected(attempt, refused, now);
                } else {
                    self.failed(attempt, refused, now);
                }
            }
            event if event.is_final() => {
                let refused = Refused { status: 487, phrase: "Request Terminated".into(), reason: None, local: true };
                self.failed(attempt, refused, now);
            }
            LegEvent::Ringing { .. } => self.outputs.push_back(HuntOutput::Tell(event)),
            // What else an unanswered leg says is of no meaning while others may still win.
            other => self.outputs.extend(self.is_alone().then_some(HuntOutput::Tell(other))),
        }
        self.finish();
    }

    /// The contacts of a redirection, looked up; none: nowhere to go. The first round is begun at once, the others come
    /// before all that was planned.
    pub fn resolved(&mut self, attempt: Attempt, mut rounds: Vec<Round>, now: Time) {
        let Some(tried) = self.tries.get_mut(attempt.0).filter(|t| t.state == State::Resolving) else { return };
        tried.state = State::Failed;
        let (depth, label) = (tried.depth + 1, tried.label.clone());
        let refused = tried.refused.take();
        rounds.retain(|round| !round.branches.is_empty());
        if rounds.is_empty() || self.ended || self.winner.is_some() || now + LEAST > self.until {
            self.note(format!("{label}: no contact of the redirection can be tried"));
            if let Some(refused) = refused {
                self.remember(refused);
            }
            self.after_failure(now);
            return self.finish();
        }
        let mut rounds = rounds.into_iter();
        let first = rounds.next();
        for round in rounds.rev() {
            self.rounds.push_front((round, depth));
        }
        if !first.is_some_and(|round| self.place(round, depth, now)) {
            self.after_failure(now);
        }
        self.finish();
    }

    fn in_state(&self, state: State) -> impl Iterator<Item = Attempt> + '_ {
        self.tries.iter().enumerate().filter(move |(_, t)| t.state == state).map(|(at, _)| Attempt(at))
    }

    /// Is there one attempt alone, and no other before or beside it?
    fn is_alone(&self) -> bool {
        self.in_state(State::Calling).count() == 1
    }

    fn note(&mut self, text: String) {
        self.outputs.push_back(HuntOutput::Note(text));
    }

    fn next_round(&mut self, now: Time) {
        while !self.ended {
            let round = self.rounds.pop_front().filter(|_| self.tries.is_empty() || now + LEAST <= self.until);
            let Some((round, depth)) = round else { return self.give_up() };
            let rings_for = round.rings_for;
            if self.place(round, depth, now) {
                self.round_until = rings_for.map(|time| now + time);
                return;
            }
        }
    }

    /// Whether anything was placed.
    fn place(&mut self, round: Round, depth: u8, now: Time) -> bool {
        let before = self.tries.len();
        for branch in round.branches {
            if self.tries.len() >= self.limits.attempts {
                self.note(format!("{}: not tried, {} attempts are the most", branch.label, self.limits.attempts));
                continue;
            }
            // The same address may be tried by several ways (a connection each), but not twice by one.
            if !self.tried.insert(key(&branch)) {
                self.note(format!("{}: not tried again", branch.label));
                continue;
            }
            let attempt = Attempt(self.tries.len());
            self.tries.push(Try {
                label: branch.label.clone(),
                target: branch.target.clone(),
                state: State::Calling,
                gone: false,
                heard: false,
                patience: self.limits.patience.map(|patience| now + patience),
                depth,
                early: None,
                refused: None,
                contacts: Vec::new(),
            });
            self.note(format!("tried {}: {} {}", branch.label, branch.transport, branch.destination));
            let ring_timeout = self.until.since(now);
            self.outputs.push_back(HuntOutput::Place { attempt, branch: Box::new(branch), ring_timeout });
        }
        self.tries.len() > before
    }

    fn won(&mut self, attempt: Attempt, event: LegEvent) {
        self.end(attempt, State::Won);
        self.winner = Some(attempt);
        self.rounds.clear();
        let others = self.drop_others(Some(attempt), Some(ELSEWHERE.to_owned()));
        if self.tries.len() > 1 {
            let label = self.tries.get(attempt.0).map(|t| t.label.clone()).unwrap_or_default();
            let also = if others > 0 {
                format!("; {others} others were still called, and are told so")
            } else {
                String::new()
            };
            self.note(format!("{label} answered{also}"));
        }
        self.outputs.push_back(HuntOutput::Tell(event));
    }

    /// Ends all that run but `winner`; how many there were.
    fn drop_others(&mut self, winner: Option<Attempt>, reason: Option<String>) -> usize {
        let running: Vec<_> = self.in_state(State::Calling).filter(|a| Some(*a) != winner).collect();
        for attempt in &running {
            self.end(*attempt, State::Dropped);
            let reason = reason.clone();
            self.outputs.push_back(HuntOutput::Command(*attempt, LegCommand::Hangup { reason }));
        }
        for tried in self.tries.iter_mut().filter(|t| t.state == State::Resolving) {
            tried.state = State::Failed;
        }
        running.len()
    }

    fn end(&mut self, attempt: Attempt, state: State) {
        if let Some(tried) = self.tries.get_mut(attempt.0) {
            tried.state = state;
            tried.patience = None;
        }
    }

    fn failed(&mut self, attempt: Attempt, refused: Refused, now: Time) {
        self.end(attempt, State::Failed);
        let (label, heard) = self.tries.get(attempt.0).map(|t| (t.label.clone(), t.heard)).unwrap_or_default();
        let (status, local) = (refused.status, refused.local);
        self.note(format!("{label} {}", in_words(&refused)));
        self.outputs.push_back(HuntOutput::Failed { attempt, status, local, heard });
        if refused.status >= 600 {
            // The callee's last word for all of his devices (§16.7 step 5).
            self.rounds.clear();
            self.drop_others(None, None);
        }
        self.remember(refused);
        self.next_early(attempt);
        self.after_failure(now);
    }

    fn remember(&mut self, refused: Refused) {
        self.best = Some(match self.best.take() {
            Some(best) => best.or_better(refused),
            None => refused,
        });
    }

    /// Some attempt has failed: is anybody left, and if not, is there a next round?
    fn after_failure(&mut self, now: Time) {
        let running = self.tries.iter().any(|t| matches!(t.state, State::Calling | State::Resolving));
        if running || self.ended || self.winner.is_some() {
            return;
        }
        // Contacts of a redirection are alternatives of the callee's own (§8.1.3.4).
        let verdict = match self.rounds.front() {
            Some((_, depth)) if *depth > 0 => Verdict::Any,
            _ => self.limits.next_round,
        };
        let goes_on = self.best.as_ref().is_none_or(|best| best.goes_on(&self.limits, verdict));
        if goes_on { self.next_round(now) } else { self.give_up() }
    }

    fn give_up(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.rounds.clear();
        let nobody = Refused { status: 480, phrase: "Nobody to call".into(), reason: None, local: true };
        let Refused { status, phrase, reason, local } = self.best.take().unwrap_or(nobody);
        self.outputs.push_back(HuntOutput::Tell(LegEvent::Failed { status, phrase, reason, local }));
        self.finish();
    }

    fn redirected(&mut self, attempt: Attempt, refused: Refused, now: Time) {
        let limits = self.limits.redirects;
        let Some(tried) = self.tries.get_mut(attempt.0) else { return };
        let mut contacts = std::mem::take(&mut tried.contacts);
        let (depth, label) = (tried.depth, tried.label.clone());
        // 305 names a proxy, 380 something else than a place (§21.3); the rest names where to try.
        let follows = depth < limits.depth && matches!(refused.status, 300..=302);
        let before: HashSet<String> = self.tries.iter().map(|t| t.target.clone()).collect();
        contacts.retain(|contact| !before.contains(contact));
        contacts.truncate(limits.contacts);
        self.next_early(attempt);
        if !follows || contacts.is_empty() {
            if depth >= limits.depth && limits.depth > 0 {
                self.note(format!("{label}: redirected too often, {} times are the most", limits.depth));
            }
            return self.failed(attempt, refused, now);
        }
        self.note(format!("{label} redirected ({}) to {}", refused.status, contacts.join(", ")));
        if let Some(tried) = self.tries.get_mut(attempt.0) {
            tried.state = State::Resolving;
            tried.refused = Some(refused);
        }
        self.outputs.push_back(HuntOutput::Resolve { attempt, contacts });
    }

    fn tell_early(&mut self, attempt: Attempt) {
        if self.limits.early_media == EarlyMedia::None && !self.is_alone()
            || self.early.is_some_and(|told| told != attempt)
        {
            return;
        }
        self.early = Some(attempt);
        if let Some((media, proven)) = self.tries.get(attempt.0).and_then(|t| t.early.clone()) {
            self.outputs.push_back(HuntOutput::Tell(LegEvent::EarlyMedia { media, proven }));
        }
    }

    /// The attempt that was heard has ended: another one may be.
    fn next_early(&mut self, ended: Attempt) {
        if self.early != Some(ended) {
            return;
        }
        self.early = None;
        let other = self.in_state(State::Calling).find(|a| self.tries.get(a.0).is_some_and(|t| t.early.is_some()));
        if let Some(other) = other {
            self.tell_early(other);
        }
    }

    /// Says once that everything has ended.
    fn finish(&mut self) {
        if self.ended && !self.over && self.tries.iter().all(|t| t.gone) {
            self.over = true;
            self.outputs.push_back(HuntOutput::Over);
        }
    }
}

/// What makes a branch another one than those tried before.
fn key(branch: &Branch) -> String {
    let connection = branch.connection.map(|n| n.to_string()).unwrap_or_default();
    format!("{} {} {} {connection} {}", branch.target, branch.transport, branch.destination, branch.route.join(" "))
}
