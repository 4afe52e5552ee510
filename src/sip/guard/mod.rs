//! Who asks too much: limits for each source, and bans for those that cross them. Pure: time comes in, verdicts and
//! [`Change`]s go out; that a banned source is not even read any more is `sip::transport`'s to see to.
//!
//! # What is counted
//! For each source (an IPv4 address, an IPv6 /64): requests outside of dialogs, failed authentications, half-open calls
//! beyond the limit, users that do not exist, messages that are broken, and what scanners send ([`Offence`]). A limit is
//! a rate with a burst (GCRA); to cross one is an offence that bans. What belongs to a dialog is never counted: a call
//! that runs is not ended by a limit.
//!
//! # What a forged source address can do
//! Over UDP anybody writes anybody's address, so a ban could be turned against a carrier or a customer. Hence:
//! - Evidence is *proven* where the other end has shown that it hears us: everything on a connection, and over UDP an
//!   authentication with a nonce that was sent to that address. All else is unproven. The two are counted apart, so
//!   that forged messages never add up with true ones.
//! - Unproven evidence bans for a quarter of the first ban, growing to no more than the first ban; proven evidence
//!   grows by doubling up to the longest.
//! - Sources that have authenticated within the last hour are not banned by unproven evidence: what goes beyond the
//!   limit is dropped instead, and the flow that authenticated (address and port) has a limit of its own, which forged
//!   messages from other ports do not use up.
//! - Exempt networks (a setting) and the networks of trunks are never banned automatically, and not limited here: the
//!   bounds of the agent's tables and the shares of the inbound queue still hold for them.
//! - A ban by hand holds for everybody.
//!
//! # Bounds
//! Sources are remembered in two generations ([`recent::Recent`]): when the younger is full it becomes the older, and
//! what was older is forgotten. Who goes on asking is never forgotten by that, whoever forges millions of addresses
//! only makes strangers forgotten sooner. Bans: see [`GuardSettings::most_bans`].

mod bans;
mod challenged;
mod recent;
mod scanner;
mod settings;
mod source;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bans::Bans;
pub use bans::{Ban, BanReason, Full};
use challenged::Open;
use ipnet::IpNet;
use recent::Recent;
pub use scanner::is_scanner;
pub use settings::{GuardSettings, Limit};
pub use source::{Origin, Source};

use crate::time::Time;

/// Sources in one generation of the memory: two of them, of some 80 bytes each, are 2.5 MB.
const REMEMBERED: usize = 16_384;

/// How long after an authentication a flow counts as known: as long as a registration commonly lasts.
const KNOWN: Duration = Duration::from_secs(3600);

/// What a source can do too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offence {
    /// Requests outside of dialogs.
    Requests,
    /// Authentications that failed.
    FailedAuthentications,
    /// Calls not yet answered, beyond the limit for one source.
    HalfOpen,
    /// Users and numbers that do not exist.
    UnknownUsers,
    /// Messages that are broken.
    Malformed,
    /// What scanners are known to send.
    Scanning,
}

impl Offence {
    /// All of them, in the order of a record's places.
    pub const ALL: [Offence; 6] = [
        Offence::Requests,
        Offence::FailedAuthentications,
        Offence::HalfOpen,
        Offence::UnknownUsers,
        Offence::Malformed,
        Offence::Scanning,
    ];

    /// The name that bans and metrics carry.
    pub fn name(self) -> &'static str {
        match self {
            Offence::Requests => "too many requests",
            Offence::FailedAuthentications => "failed authentications",
            Offence::HalfOpen => "too many unanswered calls",
            Offence::UnknownUsers => "unknown users",
            Offence::Malformed => "malformed messages",
            Offence::Scanning => "scanning",
        }
    }
}

/// What is to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Pass,
    /// Drop it without an answer.
    Drop,
}

/// News about bans, to be carried to the sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This source is banned now (or its ban was replaced).
    Banned(Ban),
    /// This source is no longer banned.
    Lifted(Source),
}

/// Whose account something goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Account {
    Proven(Source),
    Unproven(Source),
    /// A flow that has authenticated.
    Flow(SocketAddr),
}

/// The limits' state: for each offence, the moment up to which what was done is paid for (GCRA's TAT).
#[derive(Clone, Copy, Debug, Default)]
struct Record([Time; Offence::ALL.len()]);

/// The table of sources and bans.
#[derive(Debug)]
pub struct Guard {
    settings: GuardSettings,
    /// Networks of trunks.
    trunks: Vec<IpNet>,
    records: Recent<Account, Record>,
    /// Flows that have authenticated, until when they count as known.
    flows: Recent<SocketAddr, Time>,
    /// Sources of such flows.
    known: Recent<Source, Time>,
    /// Sources that have shown that they hear us, until when that counts.
    hearers: Recent<Source, Time>,
    /// Challenges that nobody has answered yet.
    challenged: Recent<Account, Open>,
    bans: Bans,
    /// At most two for each input; emptied by whoever gave the input.
    changes: VecDeque<Change>,
}

impl Guard {
    /// A guard that has seen nobody yet.
    pub fn new(settings: GuardSettings) -> Self {
        Guard {
            bans: Bans::new(settings.most_bans),
            settings,
            trunks: Vec::new(),
            records: Recent::new(REMEMBERED),
            flows: Recent::new(REMEMBERED),
            known: Recent::new(REMEMBERED),
            hearers: Recent::new(REMEMBERED),
            challenged: Recent::new(REMEMBERED),
            changes: VecDeque::new(),
        }
    }

    /// The networks that trunks call from, which are never banned automatically. Their bans, if any, are lifted.
    pub fn set_trunks(&mut self, networks: Vec<IpNet>) {
        self.trunks = networks;
        for source in self.bans.lift_where(|ban| ban.is_automatic() && holds(&self.trunks, ban.source)) {
            self.changes.push_back(Change::Lifted(source));
        }
    }

    /// May a message of this source be looked at?
    pub fn admits(&self, origin: Origin) -> bool {
        !self.bans.holds(origin.source)
    }

    /// A request outside of any dialog, seen for the first time.
    pub fn request(&mut self, origin: Origin, now: Time) -> Verdict {
        self.note(Offence::Requests, origin, now)
    }

    /// An authentication failed: wrong credentials, not merely none. Where it was made with a nonce that we sent to
    /// this very address, say so by [`Origin::proven`].
    pub fn failed_authentication(&mut self, origin: Origin, now: Time) -> Verdict {
        self.note(Offence::FailedAuthentications, origin, now)
    }

    /// A request named a user or number that does not exist.
    pub fn unknown_user(&mut self, origin: Origin, now: Time) -> Verdict {
        self.note(Offence::UnknownUsers, origin, now)
    }

    /// Bytes that are no SIP message, or a broken one.
    pub fn malformed(&mut self, origin: Origin, now: Time) -> Verdict {
        self.note(Offence::Malformed, origin, now)
    }

    /// An INVITE was refused because its source has as many unanswered calls as it may have.
    pub fn half_open(&mut self, origin: Origin, now: Time) -> Verdict {
        self.note(Offence::HalfOpen, origin, now)
    }

    /// A request as scanners write it: dropped from the first one on, but for exempt sources.
    pub fn scanning(&mut self, origin: Origin, now: Time) -> Verdict {
        self.note(Offence::Scanning, origin, now);
        let spared = self.settings.scanning.is_none() || self.is_exempt(origin.source);
        if spared { Verdict::Pass } else { Verdict::Drop }
    }

    /// Somebody has authenticated on this flow: see the module for what that is good for.
    pub fn authenticated(&mut self, origin: Origin, now: Time) {
        *self.flows.entry(origin.remote) = now + KNOWN;
        *self.known.entry(origin.source) = now + KNOWN;
        self.challenged.remove(&Account::Proven(origin.source));
        self.challenged.remove(&Account::Unproven(origin.source));
    }

    /// A message came that only somebody can write who has read ours: it bears a tag or branch of our making. Good for
    /// being sent what is repeated; limits and bans do not go by it.
    pub fn has_heard(&mut self, origin: Origin, now: Time) {
        *self.hearers.entry(origin.source) = now + KNOWN;
    }

    /// Does it hear us, as far as we know?
    pub fn hears(&self, origin: Origin, now: Time) -> bool {
        let until = |memory: &Recent<Source, Time>| memory.get(&origin.source).is_some_and(|until| *until > now);
        origin.proven || until(&self.hearers) || until(&self.known) || self.is_exempt(origin.source)
    }

    fn is_exempt(&self, source: Source) -> bool {
        holds(&self.settings.exempt, source) || holds(&self.trunks, source)
    }

    fn note(&mut self, offence: Offence, origin: Origin, now: Time) -> Verdict {
        let Some(limit) = self.settings.limit(offence) else { return Verdict::Pass };
        if self.is_exempt(origin.source) {
            return Verdict::Pass;
        }
        let is_known = |until: Option<&Time>| until.is_some_and(|until| *until > now);
        let account = if origin.proven {
            Account::Proven(origin.source)
        } else if is_known(self.flows.get(&origin.remote)) {
            Account::Flow(origin.remote)
        } else {
            Account::Unproven(origin.source)
        };
        let record = self.records.entry(account);
        let Some(paid) = record.0.get_mut(offence as usize) else { return Verdict::Pass };
        let next = (*paid).max(now) + limit.interval();
        if next.since(now) <= limit.burst() {
            *paid = next;
            return Verdict::Pass;
        }
        let spared = !origin.proven && is_known(self.known.get(&origin.source));
        if !spared && !self.bans.holds(origin.source) {
            let ban = self.bans.offended(&self.settings, origin, offence, now);
            self.announce(ban);
        }
        Verdict::Drop
    }

    /// Bans by hand until then, in place of a ban that is there. Refused when the table holds nothing but such bans.
    pub fn ban(&mut self, source: Source, reason: String, until: Time, now: Time) -> Result<Ban, Full> {
        let ban = Ban { source, reason: BanReason::ByHand(reason), since: now, until, count: 1 };
        let displaced = self.bans.insert(ban.clone())?;
        self.changes.extend(displaced.map(Change::Lifted));
        self.changes.push_back(Change::Banned(ban.clone()));
        Ok(ban)
    }

    /// Lifts a ban and forgets what it was for; the ban, if there was one.
    pub fn lift(&mut self, source: Source) -> Option<Ban> {
        let ban = self.bans.lift(source)?;
        self.records.remove(&Account::Proven(source));
        self.records.remove(&Account::Unproven(source));
        self.changes.push_back(Change::Lifted(source));
        Some(ban)
    }

    fn announce(&mut self, ban: Result<(Ban, Option<Source>), Full>) {
        // Full of bans by hand: this one is not made, the limit itself holds all the same.
        let Ok((ban, displaced)) = ban else { return };
        self.changes.extend(displaced.map(Change::Lifted));
        self.changes.push_back(Change::Banned(ban));
    }

    /// The bans, the newest first.
    pub fn bans(&self) -> Vec<Ban> {
        self.bans.all()
    }

    /// When [`Guard::timeout`] wants to be called: the first ban's end.
    pub fn deadline(&self) -> Option<Time> {
        self.bans.deadline()
    }

    /// Bans whose time is over end.
    pub fn timeout(&mut self, now: Time) {
        while let Some(source) = self.bans.ended(now) {
            self.changes.push_back(Change::Lifted(source));
        }
    }

    /// The next piece of news, in order.
    pub fn poll(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// How much is remembered: accounts and bans.
    pub fn census(&self) -> (usize, usize) {
        (self.records.len(), self.bans.len())
    }
}

fn holds(networks: &[IpNet], source: Source) -> bool {
    let (low, high) = source.ends();
    networks.iter().any(|network| network.contains(&low) || network.contains(&high))
}
