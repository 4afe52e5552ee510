//! What name servers said, for as long as they said (RFC 1035 §3.2.1), also that there is nothing (RFC 2308). Pure; asking
//! is `names`'s.

use std::collections::HashMap;
use std::time::Duration;

use super::names::{Answer, Question};
use crate::time::Time;

/// The most answers that are kept. Full: those go first that are out of date, then the one that is next to be.
pub(super) const MAX_ANSWERS: usize = 4096;

/// No answer is kept longer, whatever its server says.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// "Nothing there" is kept at most so long.
const MAX_NEGATIVE_AGE: Duration = Duration::from_secs(300);

/// How long an answer that is out of date still serves while no name server answers (RFC 8767).
const MAX_STALE: Duration = Duration::from_secs(60 * 60);

/// The answers.
#[derive(Debug, Default)]
pub(super) struct Cache(HashMap<Question, (Answer, Time)>);

impl Cache {
    /// What is known and still good.
    pub(super) fn get(&self, question: &Question, now: Time) -> Option<Answer> {
        self.0.get(question).filter(|(_, until)| now < *until).map(|(answer, _)| answer.clone())
    }

    /// What was known not long ago, for when nobody answers.
    pub(super) fn stale(&self, question: &Question, now: Time) -> Option<Answer> {
        self.0.get(question).filter(|(_, until)| now < *until + MAX_STALE).map(|(answer, _)| answer.clone())
    }

    /// Keeps an answer for as long as it is good.
    pub(super) fn put(&mut self, question: Question, answer: Answer, good: Duration, now: Time) {
        let good = good.min(if answer.is_empty() { MAX_NEGATIVE_AGE } else { MAX_AGE });
        if self.0.len() >= MAX_ANSWERS && !self.0.contains_key(&question) {
            self.0.retain(|_, (_, until)| now < *until);
            if self.0.len() >= MAX_ANSWERS
                && let Some(oldest) = self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(q, _)| q.clone())
            {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(question, (answer, now + good));
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::Kind;
    use super::*;

    fn question(n: usize) -> Question {
        Question { name: format!("h{n}.example"), kind: Kind::V4 }
    }

    #[test]
    fn answers_age() {
        let mut cache = Cache::default();
        let now = Time::EPOCH + Duration::from_secs(1000);
        let address = Answer::Addresses(vec!["192.0.2.1".parse().unwrap()]);
        cache.put(question(1), address.clone(), Duration::from_secs(60), now);
        cache.put(question(2), Answer::Addresses(Vec::new()), Duration::from_secs(86_400), now);
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(cache.get(&question(1), at(59)), Some(address.clone()));
        assert_eq!(cache.get(&question(1), at(60)), None);
        assert_eq!(cache.stale(&question(1), at(60 + 3599)), Some(address));
        assert_eq!(cache.stale(&question(1), at(60 + 3600)), None);
        assert!(cache.get(&question(2), at(299)).is_some() && cache.get(&question(2), at(300)).is_none());
        assert_eq!(cache.get(&question(3), now), None);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut cache = Cache::default();
        let now = Time::EPOCH + Duration::from_secs(1000);
        let empty = Answer::Addresses(Vec::new());
        for n in 0..MAX_ANSWERS + 10 {
            cache.put(question(n), empty.clone(), Duration::from_millis(1000 + n as u64), now);
        }
        assert_eq!(cache.0.len(), MAX_ANSWERS);
        assert!(cache.get(&question(9), now).is_none() && cache.get(&question(10), now).is_some());
        cache.put(question(0), empty, Duration::from_secs(1), now + Duration::from_secs(60));
        assert_eq!(cache.0.len(), 1);
    }
}
