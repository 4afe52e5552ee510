//! Challenges that tell who is challenged that there is an account of that name. Who has its password answers within a
//! round trip or two; who only tries out names never does, and then each counts as a user that does not exist.

use std::time::Duration;

use super::{Account, Guard, Origin, Verdict};
use crate::time::Time;

/// How long an answer may take: as long as an INVITE is repeated (RFC 3261 §17.1.1.2, timer B).
const ANSWERED_WITHIN: Duration = Duration::from_secs(32);

/// Open challenges of one source that are not counted yet: a carrier that starts with a rush has so many on the way
/// before its first answer is here.
const MOST_OPEN: u32 = 64;

/// Challenges of one source since the first of them, none of which was answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Open {
    /// At most [`MOST_OPEN`].
    count: u32,
    first: Time,
}

impl Guard {
    /// A stranger is challenged because he bears the name of an account. An authentication of the same source settles
    /// it, and all that are open beside it ([`Guard::authenticated`]).
    pub fn challenged(&mut self, origin: Origin, now: Time) -> Verdict {
        let account = if origin.proven { Account::Proven(origin.source) } else { Account::Unproven(origin.source) };
        let open = self.challenged.entry(account);
        let overdue = if open.count > 0 && now.since(open.first) > ANSWERED_WITHIN {
            std::mem::take(&mut open.count)
        } else {
            u32::from(open.count == MOST_OPEN)
        };
        if open.count == 0 {
            open.first = now;
        }
        open.count = (open.count + 1).min(MOST_OPEN);
        let dropped = (0..overdue).any(|_| self.unknown_user(origin, now) == Verdict::Drop);
        if dropped { Verdict::Drop } else { Verdict::Pass }
    }
}
