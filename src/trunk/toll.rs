//! How much of other people's money one caller may spend: calls to numbers at once, within a minute and within an hour,
//! and the numbers that may be called at all. Who may call which number by which trunk is `route`'s; what a trunk as a
//! whole takes is `limit`'s.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::number::NumberPlan;
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

/// A number and all that it may mean to those whom it is handed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// As it was asked for.
    number: String,
    /// Everything that it may be taken for: none of this is denied.
    readings: Vec<String>,
    /// For each way, what it is: one of each is allowed.
    meant: Vec<Vec<String>>,
}

impl Destination {
    /// A number, without visual separators, that is handed to nobody whose habits are known.
    pub fn new(number: &str) -> Self {
        let readings = NumberPlan::default().readings(number);
        let meant = if number.starts_with('+') { vec![vec![number.to_owned()]] } else { Vec::new() };
        Destination { number: number.to_owned(), readings, meant }
    }

    /// The same, handed to a carrier of these habits, to whom a route writes it as `written`.
    #[must_use]
    pub fn by(mut self, plan: &NumberPlan, written: &str) -> Self {
        let international = self.number.starts_with('+');
        self.readings.extend(plan.readings(&self.number));
        if international && !written.starts_with('+') {
            // The route took the plus off, so nothing of the country's belongs before it.
            self.readings.push(plan.inward(written));
        } else {
            self.readings.extend(plan.readings(written));
            if !written.starts_with('+') {
                self.readings.extend(plan.readings(&plan.outward(written)));
            }
        }
        match plan.e164(written) {
            Some(number) => self.meant.push(vec![number]),
            None if international => {}
            // Digits that nothing is known of: a number within the country, or one of the carrier's own.
            None => self.meant.push(plan.country_before(written).into_iter().chain([written.to_owned()]).collect()),
        }
        self
    }

    fn begins(&self, prefix: &str) -> bool {
        self.readings.iter().any(|reading| reading.starts_with(prefix))
    }

    fn is_allowed(&self, allowed: &[String]) -> bool {
        let among = |number: &String| allowed.iter().any(|prefix| number.starts_with(prefix.as_str()));
        match self.meant.as_slice() {
            [] => among(&self.number),
            meant => meant.iter().all(|numbers| numbers.iter().any(among)),
        }
    }
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

    /// One more call of this caller's to this number, if he may. [`TollGuard::leave`] must follow.
    pub fn enter(&mut self, asker: &Asker, to: &Destination, now: Time) -> Result<(), TollRefusal> {
        let TollSettings { allowed, denied, .. } = &self.settings;
        if let Some(prefix) = denied.iter().find(|prefix| to.begins(prefix)) {
            return Err(TollRefusal::Denied(to.number.clone(), prefix.clone()));
        }
        if !allowed.is_empty() && !to.is_allowed(allowed) {
            return Err(TollRefusal::NotAllowed(to.number.clone()));
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
            let result = guard.enter(who, &Destination::new("+4420"), at(second));
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
            let result = guard.enter(&bob, &Destination::new("+4420"), at(second));
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
        assert_eq!(guard.enter(&app, &Destination::new("+442079460000"), at(0)), Ok(()));
        assert_eq!(
            guard.enter(&app, &Destination::new("+33123"), at(0)),
            Err(TollRefusal::NotAllowed("+33123".into()))
        );
        assert!(matches!(guard.enter(&app, &Destination::new("+44901"), at(0)), Err(TollRefusal::Denied(..))));
        assert!(TollGuard::default().enter(&Asker::Stranger, &Destination::new("+1"), at(0)).is_ok());
    }

    fn uk() -> NumberPlan {
        let habits = r#"{"countryCode":"44","nationalPrefix":"0","internationalPrefix":"00"}"#;
        NumberPlan::new(&serde_json::from_str(habits).unwrap())
    }

    #[test]
    fn what_is_denied_is_denied_however_it_is_written() {
        let settings = TollSettings { denied: vec!["+4490".into()], ..TollSettings::default() };
        let mut guard = TollGuard::new(settings);
        let mut call = |number: &str, written: &str| {
            guard.enter(&Asker::Application, &Destination::new(number).by(&uk(), written), at(0)).is_ok()
        };
        for number in ["+449001", "00449001", "09001", "9001", "+4409001", "004409001", "+00449001"] {
            assert!(!call(number, number), "{number}");
        }
        assert!(!call("+449001", "09001") && !call("+449001", "449001"), "a route writes it so");
        assert!(!call("8009001", "09001") && !call("809001", "9001"), "a route takes off what stands before");
        for number in ["+442079460000", "02079460000", "00339001", "7042", "+339001"] {
            assert!(call(number, number), "{number}");
        }
        assert!(call("+339001", "339001") && call("+339001", "00339001"));
    }

    #[test]
    fn what_is_not_allowed_is_not_however_it_is_written() {
        let settings = TollSettings { allowed: vec!["+44".into(), "7".into()], ..TollSettings::default() };
        let mut guard = TollGuard::new(settings);
        let mut call = |number: &str, written: &str| {
            guard.enter(&Asker::Application, &Destination::new(number).by(&uk(), written), at(0)).is_ok()
        };
        for (number, written) in [
            ("+442079460000", "+442079460000"),
            ("+442079460000", "442079460000"),
            ("+442079460000", "02079460000"),
            ("02079460000", "02079460000"),
            ("00442079460000", "00442079460000"),
            ("7042", "7042"),
            ("902079460000", "02079460000"),
        ] {
            assert!(call(number, written), "{number} written {written}");
        }
        for (number, written) in [
            ("+33123", "+33123"),
            ("0033123", "0033123"),
            ("+33123", "33123"),
            ("+33123", "0123"),
            ("+44123", "0033123"),
            ("70033123", "0033123"),
        ] {
            assert!(!call(number, written), "{number} written {written}");
        }
        // By a carrier of whom nothing is known only what is written counts.
        let alone = |number| Destination::new(number).by(&NumberPlan::default(), number);
        assert!(guard.enter(&Asker::Application, &alone("7042"), at(0)).is_ok());
        assert!(guard.enter(&Asker::Application, &alone("0044"), at(0)).is_err());
        assert!(guard.enter(&Asker::Application, &Destination::new("0044"), at(0)).is_err());
    }

    #[test]
    fn who_is_done_is_forgotten() {
        let mut guard = TollGuard::default();
        for n in 0..1_000 {
            let user = Asker::User(n.to_string());
            guard.enter(&user, &Destination::new("+1"), at(n)).unwrap();
            guard.leave(&user);
        }
        assert!(guard.accounts.is_empty());
    }
}
