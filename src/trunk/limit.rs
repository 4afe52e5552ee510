//! How many calls a trunk takes: at once, and begun within a second.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Why a call cannot go by a trunk now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many calls as it takes are on.
    #[error("{0} calls are on, the most allowed")]
    Calls(u32),
    /// As many calls as it takes were begun within the last second.
    #[error("{0} calls were begun within a second, the most allowed")]
    Rate(u32),
}

/// Counts a trunk's calls.
#[derive(Clone, Debug, Default)]
pub struct Limiter {
    max_calls: Option<u32>,
    max_per_second: Option<u32>,
    active: u32,
    /// When calls of the last second were begun: at most `max_per_second`.
    begun: VecDeque<Time>,
}

impl Limiter {
    /// Other limits from now on; what is on stays on.
    pub fn set(&mut self, max_calls: Option<u32>, max_per_second: Option<u32>) {
        (self.max_calls, self.max_per_second) = (max_calls, max_per_second);
        self.begun.clear();
    }

    /// One more call of ours, if there is room. [`Limiter::leave`] must follow.
    pub fn enter(&mut self, now: Time) -> Result<(), Full> {
        self.has_room()?;
        if let Some(most) = self.max_per_second {
            while self.begun.front().is_some_and(|at| now.since(*at) >= Duration::from_secs(1)) {
                self.begun.pop_front();
            }
            if self.begun.len() >= most as usize {
                return Err(Full::Rate(most));
            }
            self.begun.push_back(now);
        }
        self.active += 1;
        Ok(())
    }

    /// One more call of the carrier's, which counts among those at once and not by the second.
    pub fn enter_inbound(&mut self) -> Result<(), Full> {
        self.has_room()?;
        self.active += 1;
        Ok(())
    }

    fn has_room(&self) -> Result<(), Full> {
        match self.max_calls {
            Some(most) if self.active >= most => Err(Full::Calls(most)),
            _ => Ok(()),
        }
    }

    /// A call is over.
    pub fn leave(&mut self) {
        self.active = self.active.saturating_sub(1);
    }

    /// Calls that are on.
    pub fn active(&self) -> u32 {
        self.active
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_at_once_and_no_more_a_second_than_said() {
        let ms = |n| Time::EPOCH + Duration::from_millis(n);
        let mut limiter = Limiter::default();
        limiter.set(Some(3), Some(2));
        assert_eq!(limiter.enter(ms(0)), Ok(()));
        assert_eq!(limiter.enter(ms(900)), Ok(()));
        assert_eq!(limiter.enter(ms(950)), Err(Full::Rate(2)));
        assert_eq!(limiter.enter(ms(1_000)), Ok(()), "any second, not the clock's");
        assert_eq!(limiter.enter(ms(5_000)), Err(Full::Calls(3)));
        assert_eq!(limiter.enter_inbound(), Err(Full::Calls(3)));
        limiter.leave();
        assert_eq!(limiter.enter_inbound(), Ok(()));
        assert_eq!(limiter.active(), 3);
        limiter.set(None, None);
        assert!((0..100).all(|_| limiter.enter(ms(6_000)).is_ok()));
    }
}
