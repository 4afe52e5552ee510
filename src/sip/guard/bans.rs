//! The table of bans: who, why, until when, and how they grow.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::recent::Recent;
use super::{GuardSettings, Offence, Origin, Source};
use crate::time::Time;

/// Banned sources whose number of bans is remembered, in each of two generations.
const REMEMBERED: usize = 8_192;

/// Unproven evidence bans for this part of the first ban at first.
const UNPROVEN_PART: u32 = 4;

/// Why somebody is banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BanReason {
    /// A limit was crossed.
    Crossed {
        /// Which.
        offence: Offence,
        /// By messages whose source is certain.
        proven: bool,
    },
    /// An operator's own words.
    ByHand(String),
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub source: Source,
    /// Why.
    pub reason: BanReason,
    /// Since when.
    pub since: Time,
    /// Until when.
    pub until: Time,
    /// The how-manieth in a row this is, from 1.
    pub count: u32,
}

impl Ban {
    /// It was not made by hand.
    pub fn is_automatic(&self) -> bool {
        matches!(self.reason, BanReason::Crossed { .. })
    }
}

/// The table holds only bans by hand, which nothing displaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the table of bans is full of bans made by hand")]
pub struct Full;

/// How often a source was banned lately.
#[derive(Clone, Copy, Debug, Default)]
struct Strikes {
    proven: u32,
    unproven: u32,
    /// The last ban's end.
    last: Time,
}

#[derive(Debug)]
pub(super) struct Bans {
    /// Bound: `most`.
    by_source: HashMap<Source, Ban>,
    /// All of them by their ends; the automatic ones again, to find who gives way.
    ends: BTreeSet<(Time, Source)>,
    automatic: BTreeSet<(Time, Source)>,
    strikes: Recent<Source, Strikes>,
    most: usize,
}

impl Bans {
    pub fn new(most: usize) -> Self {
        Bans {
            by_source: HashMap::new(),
            ends: BTreeSet::new(),
            automatic: BTreeSet::new(),
            strikes: Recent::new(REMEMBERED),
            most: most.max(1),
        }
    }

    pub fn len(&self) -> usize {
        self.by_source.len()
    }

    pub fn holds(&self, source: Source) -> bool {
        self.by_source.contains_key(&source)
    }

    /// The newest first.
    pub fn all(&self) -> Vec<Ban> {
        let mut all: Vec<Ban> = self.by_source.values().cloned().collect();
        all.sort_by_key(|ban| (std::cmp::Reverse(ban.since), ban.source));
        all
    }

    /// Bans for an offence; who had to give way.
    pub fn offended(
        &mut self,
        settings: &GuardSettings,
        origin: Origin,
        offence: Offence,
        now: Time,
    ) -> Result<(Ban, Option<Source>), Full> {
        let strikes = self.strikes.entry(origin.source);
        if now.since(strikes.last) > settings.longest_ban {
            *strikes = Strikes::default();
        }
        let (count, first, longest) = if origin.proven {
            (&mut strikes.proven, settings.first_ban, settings.longest_ban)
        } else {
            (&mut strikes.unproven, settings.first_ban / UNPROVEN_PART, settings.first_ban)
        };
        let doubled = 2u32.checked_pow(*count).and_then(|factor| first.checked_mul(factor));
        let time = doubled.unwrap_or(longest).clamp(Duration::from_secs(1), longest.max(Duration::from_secs(1)));
        *count = count.saturating_add(1);
        let until = now + time;
        strikes.last = until;
        let reason = BanReason::Crossed { offence, proven: origin.proven };
        let ban = Ban { source: origin.source, reason, since: now, until, count: *count };
        let displaced = self.insert(ban.clone())?;
        Ok((ban, displaced))
    }

    /// Puts a ban in, in place of the source's own if there is one; who had to give way.
    pub fn insert(&mut self, ban: Ban) -> Result<Option<Source>, Full> {
        self.lift(ban.source);
        let mut displaced = None;
        if self.by_source.len() >= self.most {
            let (_, source) = *self.automatic.first().ok_or(Full)?;
            self.lift(source);
            displaced = Some(source);
        }
        self.ends.insert((ban.until, ban.source));
        if ban.is_automatic() {
            self.automatic.insert((ban.until, ban.source));
        }
        self.by_source.insert(ban.source, ban);
        Ok(displaced)
    }

    pub fn lift(&mut self, source: Source) -> Option<Ban> {
        let ban = self.by_source.remove(&source)?;
        self.ends.remove(&(ban.until, source));
        self.automatic.remove(&(ban.until, source));
        Some(ban)
    }

    pub fn lift_where(&mut self, wanted: impl Fn(&Ban) -> bool) -> Vec<Source> {
        let sources: Vec<Source> = self.by_source.values().filter(|ban| wanted(ban)).map(|ban| ban.source).collect();
        for source in &sources {
            self.lift(*source);
        }
        sources
    }

    pub fn deadline(&self) -> Option<Time> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// A ban whose time is over, taken out.
    pub fn ended(&mut self, now: Time) -> Option<Source> {
        let (until, source) = *self.ends.first()?;
        if until > now {
            return None;
        }
        self.lift(source);
        Some(source)
    }
}
