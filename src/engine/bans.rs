//! Bans between the guard in the SIP stack, the sockets that carry them out, and the operator who looks at them.
//! They live in memory: an engine that starts knows of none.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Hub;
use super::signalling::Signal;
use crate::api::service::{AdminError, Ban as Shown, NewBan};
use crate::config::Config;
use crate::sip::agent::UserAgent;
use crate::sip::guard::{Ban, BanReason, Change, Full, GuardSettings, Limit, Source};
use crate::sip::transport::Gate;
use crate::time::Time;

/// How long a ban by hand lasts where nothing is said.
const BY_HAND: Duration = Duration::from_secs(3600);

/// What is wished of the guard.
pub enum BanWish {
    /// All bans, with what was dropped for each.
    List(oneshot::Sender<Vec<(Ban, u64)>>),
    /// A ban by hand.
    Add(Source, String, Time, oneshot::Sender<Result<Ban, Full>>),
    /// Lift one.
    Lift(Source, oneshot::Sender<Option<Ban>>),
}

/// Does it, in the task that owns the stack.
pub fn grant(wish: BanWish, agent: &mut UserAgent, gate: &Gate, now: Time) {
    // Whoever asked may be gone.
    match wish {
        BanWish::List(reply) => {
            let bans = agent.bans().into_iter().map(|ban| (gate.dropped(ban.source), ban));
            let _ = reply.send(bans.map(|(dropped, ban)| (ban, dropped)).collect());
        }
        BanWish::Add(source, reason, until, reply) => drop(reply.send(agent.ban(source, reason, until, now))),
        BanWish::Lift(source, reply) => drop(reply.send(agent.lift_ban(source))),
    }
}

/// Carries a decision to the sockets, and onto the log: once for each ban, however much is dropped for it.
pub fn enact(change: &Change, gate: &Gate) {
    match change {
        Change::Banned(ban) => {
            gate.ban(ban.source);
            tracing::warn!(
                source = %ban.source,
                reason = %reason(ban),
                until = %ban.until.to_rfc3339(),
                time = ban.count,
                "banned"
            );
        }
        Change::Lifted(source) => {
            let dropped = gate.dropped(*source);
            gate.lift(*source);
            tracing::info!(%source, dropped, "no longer banned");
        }
    }
}

fn reason(ban: &Ban) -> String {
    match &ban.reason {
        BanReason::Crossed { offence, proven: true } => offence.name().to_owned(),
        BanReason::Crossed { offence, proven: false } => format!("{} (source not proven)", offence.name()),
        BanReason::ByHand(words) => words.clone(),
    }
}

fn shown(ban: &Ban, dropped: u64) -> Shown {
    Shown {
        source: ban.source.to_string(),
        reason: reason(ban),
        automatic: ban.is_automatic(),
        since: ban.since.to_rfc3339(),
        until: ban.until.to_rfc3339(),
        count: ban.count,
        dropped,
    }
}

fn read_source(text: &str) -> Result<Source, AdminError> {
    text.parse().map_err(|error| super::administration::invalid("source", format!("{text:?}: {error}")))
}

impl Hub {
    async fn of_guard<T>(&self, wish: impl FnOnce(oneshot::Sender<T>) -> BanWish) -> Result<T, AdminError> {
        let (reply, answer) = oneshot::channel();
        self.signal(Signal::Bans(wish(reply)));
        answer.await.map_err(|_| AdminError::Unavailable("the SIP stack does not answer".to_owned()))
    }

    /// The bans, the newest first.
    pub async fn bans(&self) -> Result<Vec<Shown>, AdminError> {
        Ok(self.of_guard(BanWish::List).await?.iter().map(|(ban, dropped)| shown(ban, *dropped)).collect())
    }

    /// Bans by hand.
    pub async fn ban(&self, new: NewBan) -> Result<Shown, AdminError> {
        let source = read_source(&new.source)?;
        let now = self.clock.now();
        let until = now + new.seconds.map_or(BY_HAND, Duration::from_secs);
        let words = new.reason.unwrap_or_else(|| "by hand".to_owned());
        let banned = self.of_guard(|reply| BanWish::Add(source, words, until, reply)).await?;
        banned.map(|ban| shown(&ban, 0)).map_err(|full| AdminError::Conflict(full.to_string()))
    }

    /// Lifts a ban.
    pub async fn lift_ban(&self, source: &str) -> Result<(), AdminError> {
        let read = read_source(source)?;
        let lifted = self.of_guard(|reply| BanWish::Lift(read, reply)).await?;
        lifted.map(drop).ok_or_else(|| AdminError::NotFound(format!("ban of {source}")))
    }
}

/// The guard's settings from the engine's.
pub fn guard_settings(config: &Config) -> GuardSettings {
    let limit = |count: u32, window: u64| {
        let window = Duration::from_secs(window);
        (count > 0).then_some(Limit { count, window })
    };
    GuardSettings {
        requests: limit(config.guard_requests.saturating_mul(2), 2),
        failed_authentications: limit(config.guard_failed_authentications, 60),
        half_open: limit(config.guard_half_open, 60),
        unknown_users: limit(config.guard_unknown_users, 60),
        malformed: limit(config.guard_malformed, 60),
        first_ban: config.guard_ban,
        longest_ban: config.guard_ban_longest,
        exempt: config.guard_exempt.clone(),
        ..GuardSettings::default()
    }
}
