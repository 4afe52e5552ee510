//! How much of other people's money one caller may spend: calls to numbers at once, within a minute and within an hour,
//! and the numbers that may be called at all. Who may call which number by which trunk is `route`'s; what a trunk as a
//! whole takes is `limit`'s.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::route::Asker;
use crate::time::Time;

/// Callers that are counted at once. One more is refused, once those are forgotten that have not called for an hour.
const MAX_ACCOUNTS: usize = 100_000;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A limit for each kind of caller; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerAsker {
    /// All applications together.
    pub applications: u32,
    /// Each user.
    pub users: u32,
    /// Each trunk.
    pub trunks: u32,
    /// All strangers together: a name that nobody proved counts for nothing.
    pub strangers: u32,
}

impl PerAsker {
    fn of(&self, asker: &Asker) -> Option<usize> {
        let limit = match asker {
            Asker::Application => self.applications,
            Asker::User(_) => self.users,
            Asker::Trunk(_) => self.trunks,
            Asker::Stranger => self.strangers,
        };
        usize::try_from(limit).ok().filter(|limit| *limit > 0)
    }
}

/// What is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TollSettings {
    /// Calls at once.
    pub at_once: PerAsker,
    /// Calls begun within any minute.
    pub per_minute: PerAsker,
    /// Calls begun within any hour.
    pub per_hour: PerAsker,
    /// Numbers begin with one of these (`+44`); empty: all may be called.
    pub allowed: Vec<String>,
    /// And with none of these.
    pub denied: Vec<String>,
}

/// Why a number is not called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TollRefusal {
    /// Nobody may call it.
    #[error("{0} may not be called: it is not among the allowed destinations")]
    NotAllowed(String),
    /// Nobody may call what begins so.
    #[error("{0} may not be called: {1} is denied")]
    Denied(String, String),
    /// As many calls as the caller may have are on.
    #[error("{0} calls are on for this caller, the most allowed")]
    AtOnce(usize),
    /// As many were begun as may be.
    #[error("{0} calls were begun by this caller within {1}, the most allowed")]
    Rate(usize, &'static str),
    /// The table of callers is full.
    #[error("too many callers are counted")]
    Full,
}

impl TollRefusal {
    /// The name that a metric carries.
    pub fn name(&self) -> &'static str {
        match self {
            TollRefusal::NotAllowed(_) | TollRefusal::Denied(..) => "toll destination",
            TollRefusal::AtOnce(_) | TollRefusal::Rate(..) | TollRefusal::Full => "toll limit",
        }
    }
}

/// What one caller has done: at most as many moments as the limits say.
#[derive(Debug, Default)]
struct Account {
    on: usize,
    begun: VecDeque<Time>,
}

/// Counts callers' calls to numbers.
#[derive(Debug, Default)]
pub struct TollGuard {
    settings: TollSettings,
    accounts: HashMap<Asker, Account>,
}

impl TollGuard {
    /// Nobody has called yet.
    pub fn new(settings: TollSettings) -> Self {
        TollGuard { settings, accounts: HashMap::new() }
    }

    /// One more call of this caller's to this number (normal form, `+44…`), if he may. [`TollGuard::leave`] must follow.
    pub fn enter(&mut self, asker: &Asker, number: &str, now: Time) -> Result<(), TollRefusal> {
        let TollSettings { allowed, denied, .. } = &self.settings;
        if let Some(prefix) = denied.iter().find(|prefix| number.starts_with(prefix.as_str())) {
            return Err(TollRefusal::Denied(number.to_owned(), prefix.clone()));
        }
        if !allowed.is_empty() && !allowed.iter().any(|prefix| number.starts_with(prefix.as_str())) {
            return Err(TollRefusal::NotAllowed(number.to_owned()));
        }
        let (minute, hour) = (self.settings.per_minute.of(asker), self.settings.per_hour.of(asker));
        let at_once = self.settings.at_once.of(asker);
        if !self.accounts.contains_key(asker) && self.accounts.len() >= MAX_ACCOUNTS {
            self.accounts.retain(|_, account| {
                account.on > 0 || account.begun.back().is_some_and(|last| now.since(*last) < HOUR)
            });
            if self.accounts.len() >= MAX_ACCOUNTS {
                return Err(TollRefusal::Full);
            }
        }
        let account = self.accounts.entry(asker.clone()).or_default();
        if let Some(most) = at_once.filter(|most| account.on >= *most) {
            return Err(TollRefusal::AtOnce(most));
        }
        while account.begun.front().is_some_and(|at| now.since(*at) >= HOUR) {
            account.begun.pop_front();
        }
        let recent = account.begun.iter().rev().take_while(|at| now.since(**at) < MINUTE).count();
        if let Some(most) = minute.filter(|most| recent >= *most) {
            return Err(TollRefusal::Rate(most, "a minute"));
        }
        if let Some(most) = hour.filter(|most| account.begun.len() >= *most) {
            return Err(TollRefusal::Rate(most, "an hour"));
        }
        // Without a limit by the hour only the last minute counts.
        if let Some(kept) = hour.or(minute) {
            account.begun.push_back(now);
            while account.begun.len() > kept {
                account.begun.pop_front();
            }
        }
        account.on += 1;
        Ok(())
    }

    /// A call is over.
    pub fn leave(&mut self, asker: &Asker) {
        if let Some(account) = self.accounts.get_mut(asker) {
            account.on = account.on.saturating_sub(1);
            if account.on == 0 && account.begun.is_empty() {
                self.accounts.remove(asker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::EPOCH + Duration::from_secs(10_000 + seconds)
    }

    #[test]
    fn each_caller_has_limits_of_his_own() {
        let each = |n| PerAsker { users: n, strangers: n, ..PerAsker::default() };
        let settings =
            TollSettings { at_once: each(2), per_minute: each(3), per_hour: each(5), ..TollSettings::default() };
        let mut guard = TollGuard::new(settings);
        let (bob, eve) = (Asker::User("bob".into()), Asker::User("eve".into()));
        let mut call = |who: &Asker, second: u64, over: bool| {
            let result = guard.enter(who, "+4420", at(second));
            if over && result.is_ok() {
                guard.leave(who);
            }
            result
        };
        assert_eq!(call(&bob, 0, false), Ok(()));
        assert_eq!(call(&bob, 1, false), Ok(()));
        assert_eq!(call(&bob, 2, false), Err(TollRefusal::AtOnce(2)));
        assert_eq!(call(&eve, 2, true), Ok(()), "the other has his own");
        assert!((0..100).all(|_| call(&Asker::Application, 2, false).is_ok()), "no limit is none");
        guard.leave(&bob);
        let mut call = |second: u64| {
            let result = guard.enter(&bob, "+4420", at(second));
            if result.is_ok() {
                guard.leave(&bob);
            }
            result
        };
        assert_eq!(call(3), Ok(()));
        assert_eq!(call(4), Err(TollRefusal::Rate(3, "a minute")));
        assert_eq!(call(60), Ok(()), "any minute, not the clock's");
        assert_eq!(call(61), Ok(()));
        assert_eq!(call(1_000), Err(TollRefusal::Rate(5, "an hour")));
        assert_eq!(call(3_600), Ok(()), "the first was an hour ago");
        assert_eq!(call(3_600), Err(TollRefusal::Rate(5, "an hour")));
    }

    #[test]
    fn destinations_are_allowed_and_denied() {
        let settings = TollSettings {
            allowed: vec!["+44".into(), "+1".into()],
            denied: vec!["+4490".into()],
            ..TollSettings::default()
        };
        let mut guard = TollGuard::new(settings);
        let app = Asker::Application;
        assert_eq!(guard.enter(&app, "+442079460000", at(0)), Ok(()));
        assert_eq!(guard.enter(&app, "+33123", at(0)), Err(TollRefusal::NotAllowed("+33123".into())));
        assert!(matches!(guard.enter(&app, "+44901", at(0)), Err(TollRefusal::Denied(..))));
        assert!(TollGuard::default().enter(&Asker::Stranger, "+1", at(0)).is_ok());
    }

    #[test]
    fn who_is_done_is_forgotten() {
        let mut guard = TollGuard::default();
        for n in 0..1_000 {
            let user = Asker::User(n.to_string());
            guard.enter(&user, "+1", at(n)).unwrap();
            guard.leave(&user);
        }
        assert!(guard.accounts.is_empty());
    }
}
