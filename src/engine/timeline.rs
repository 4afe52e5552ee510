//! The timeline of one call while it lives: bounded, with its beginning and its end kept when it overflows.

use std::collections::VecDeque;

use crate::call::TimelineEntry;

/// What happened on a call, oldest first. When full, the oldest entries after the first three quarters go: the start
/// of a call tells how it began, the last entries why it ended.
#[derive(Debug)]
pub struct Timeline {
    first: Vec<TimelineEntry>,
    last: VecDeque<TimelineEntry>,
    limit: usize,
    dropped: u64,
}

impl Timeline {
    /// Keeps at most `limit` entries.
    pub fn new(limit: usize) -> Self {
        Timeline { first: Vec::new(), last: VecDeque::new(), limit: limit.max(4), dropped: 0 }
    }

    /// Adds an entry.
    pub fn push(&mut self, entry: TimelineEntry) {
        let head = self.limit / 4 * 3;
        if self.first.len() < head {
            self.first.push(entry);
            return;
        }
        if self.last.len() >= self.limit - head {
            self.last.pop_front();
            self.dropped += 1;
        }
        self.last.push_back(entry);
    }

    /// How many entries were left out.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// All kept entries, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &TimelineEntry> {
        self.first.iter().chain(self.last.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Topic;
    use crate::time::Time;

    #[test]
    fn overflow_keeps_the_beginning_and_the_end() {
        let mut timeline = Timeline::new(8);
        for n in 0..20 {
            timeline.push(TimelineEntry::new(Time::from_micros(n), Topic::State, n.to_string()));
        }
        let kept: Vec<&str> = timeline.entries().map(|e| e.text.as_str()).collect();
        assert_eq!(kept, ["0", "1", "2", "3", "4", "5", "18", "19"]);
        assert_eq!(timeline.dropped(), 12);
    }
}
