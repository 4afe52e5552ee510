//! The limits, with their defaults and the reasons for them.

use std::time::Duration;

use ipnet::IpNet;

use super::Offence;

/// So many in so long, all at once if one likes; as they age, room is made evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many; at least one.
    pub count: u32,
    /// In how long.
    pub window: Duration,
}

impl Limit {
    /// What one costs.
    pub(super) fn interval(self) -> Duration {
        self.window / self.count.max(1)
    }

    /// What may be owed.
    pub(super) fn burst(self) -> Duration {
        self.interval() * self.count.max(1)
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Where the guard stops, and for how long it bans. A limit that is none does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardSettings {
    /// Requests outside of dialogs, retransmissions not counted. Default 4,000 in two seconds: a load test from one
    /// address at 800 calls a second has room twice over, a flood of 5,000 a second is over in less than two seconds.
    pub requests: Option<Limit>,
    /// Default 20 a minute: an office of phones behind one address with an old password or two stays below it, and
    /// 28,800 guesses a day (were there no bans) are too few to find even a bad password.
    pub failed_authentications: Option<Limit>,
    /// INVITEs refused because their source has too many unanswered calls. Default 1,000 a minute.
    pub half_open: Option<Limit>,
    /// Default 200 a minute: a scan of a thousand extensions is noticed in its first fifth; people who misdial, and
    /// one who tries out an engine that has no rules yet, are not.
    pub unknown_users: Option<Limit>,
    /// Default 200 a minute: phones and gateways exist that send a broken message with each call.
    pub malformed: Option<Limit>,
    /// Default 3 a minute: nobody sends these by chance; once could be an operator who looks what happens.
    pub scanning: Option<Limit>,
    /// The first ban on proven evidence, default a minute; each further one is twice as long.
    pub first_ban: Duration,
    /// The longest automatic ban, default a day. As long after its end a source without a further one starts anew.
    pub longest_ban: Duration,
    /// Networks that are never limited nor banned automatically. Default none, loopback included: what comes from this
    /// machine may come from a proxy on it.
    pub exempt: Vec<IpNet>,
    /// Bans at once, default 4,096. Full: a new one displaces the automatic ban that ends first; bans by hand are never
    /// displaced, and none is made when there are only those.
    pub most_bans: usize,
}

impl Default for GuardSettings {
    fn default() -> Self {
        let a_minute = |count| Some(Limit { count, window: MINUTE });
        GuardSettings {
            requests: Some(Limit { count: 4_000, window: Duration::from_secs(2) }),
            failed_authentications: a_minute(20),
            half_open: a_minute(1_000),
            unknown_users: a_minute(200),
            malformed: a_minute(200),
            scanning: a_minute(3),
            first_ban: MINUTE,
            longest_ban: Duration::from_secs(86_400),
            exempt: Vec::new(),
            most_bans: 4_096,
        }
    }
}

impl GuardSettings {
    /// No limits at all: for agents that are alone with friends (phones of tests, simulations).
    pub fn off() -> Self {
        GuardSettings {
            requests: None,
            failed_authentications: None,
            half_open: None,
            unknown_users: None,
            malformed: None,
            scanning: None,
            ..GuardSettings::default()
        }
    }

    pub(super) fn limit(&self, offence: Offence) -> Option<Limit> {
        match offence {
            Offence::Requests => self.requests,
            Offence::FailedAuthentications => self.failed_authentications,
            Offence::HalfOpen => self.half_open,
            Offence::UnknownUsers => self.unknown_users,
            Offence::Malformed => self.malformed,
            Offence::Scanning => self.scanning,
        }
    }
}
