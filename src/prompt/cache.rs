//! Decoded audio kept for the next call: bounded in bytes and in age, the least recently used goes first.
//! Time comes in as the time since some start; single flights are the room's front.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use crate::media::Clip;

/// Bytes of a clip's sample.
const BYTES_A_SAMPLE: usize = 2;

/// Bytes counted for what a clip keeps of its encodings, for each 1/8000 s: two of the one-byte codecs. Opus takes half
/// a byte more, L16 four; so where calls use all five codecs, the cache comes to two and a half times its bound at most.
const BYTES_A_UNIT: usize = 2;

/// Counted for an entry besides its samples, so that endless empty clips are bounded too.
const BYTES_AN_ENTRY: usize = 512;

/// A cache of clips.
pub(super) struct Cache<K> {
    most_bytes: usize,
    most_age: Duration,
    bytes: usize,
    entries: HashMap<K, Entry>,
    /// By last use; a counter, so that two uses at one time keep their order.
    by_use: BTreeMap<u64, K>,
    uses: u64,
}

struct Entry {
    clip: Arc<Clip>,
    bytes: usize,
    stored: Duration,
    last_use: u64,
}

impl<K: Clone + Eq + Hash> Cache<K> {
    /// A cache of at most `most_bytes`, none of it older than `most_age`.
    pub fn new(most_bytes: usize, most_age: Duration) -> Self {
        Cache { most_bytes, most_age, bytes: 0, entries: HashMap::new(), by_use: BTreeMap::new(), uses: 0 }
    }

    /// The clip, where there is one that is young enough.
    pub fn get(&mut self, key: &K, now: Duration) -> Option<Arc<Clip>> {
        let most_age = self.most_age;
        let entry = self.entries.get_mut(key)?;
        if now.saturating_sub(entry.stored) >= most_age {
            self.remove(key);
            return None;
        }
        let clip = entry.clip.clone();
        self.uses += 1;
        if let Some(key) = self.by_use.remove(&entry.last_use) {
            self.by_use.insert(self.uses, key);
        }
        entry.last_use = self.uses;
        Some(clip)
    }

    /// Keeps a clip; others leave until it fits. One that is bigger than the whole cache is not kept.
    pub fn put(&mut self, key: K, clip: Arc<Clip>, now: Duration) {
        self.remove(&key);
        let bytes = (clip.samples().len() * BYTES_A_SAMPLE)
            .saturating_add(clip.units() * BYTES_A_UNIT)
            .saturating_add(BYTES_AN_ENTRY);
        if bytes > self.most_bytes || self.most_age.is_zero() {
            return;
        }
        while self.bytes + bytes > self.most_bytes {
            let Some((_, oldest)) = self.by_use.pop_first() else { break };
            if let Some(gone) = self.entries.remove(&oldest) {
                self.bytes -= gone.bytes;
            }
        }
        self.uses += 1;
        self.bytes += bytes;
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { clip, bytes, stored: now, last_use: self.uses });
    }

    /// Forgets a clip.
    pub fn remove(&mut self, key: &K) {
        if let Some(gone) = self.entries.remove(key) {
            self.bytes -= gone.bytes;
            self.by_use.remove(&gone.last_use);
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Clips held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    fn clip(samples: usize) -> Arc<Clip> {
        Arc::new(Clip::new(vec![0i16; samples]))
    }

    fn size(samples: usize) -> usize {
        samples * (BYTES_A_SAMPLE + BYTES_A_UNIT) + BYTES_AN_ENTRY
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = Cache::new(3 * size(100), Duration::from_secs(60));
        for key in ["a", "b", "c"] {
            cache.put(key, clip(100), START);
        }
        assert!(cache.get(&"a", START).is_some());
        cache.put("d", clip(100), START);
        assert!(cache.get(&"b", START).is_none());
        for key in ["a", "c", "d"] {
            assert!(cache.get(&key, START).is_some(), "{key}");
        }
        assert_eq!(cache.bytes(), 3 * size(100));
    }

    #[test]
    fn age_and_size_are_bounds_and_nothing_leaks() {
        let mut cache = Cache::new(size(1000), Duration::from_secs(60));
        cache.put(100, clip(100), START);
        assert!(cache.get(&100, Duration::from_secs(59)).is_some());
        assert!(cache.get(&100, Duration::from_secs(60)).is_none(), "use does not make it younger");
        cache.put(101, clip(1001), START);
        assert_eq!((cache.bytes(), cache.len()), (0, 0));
        for round in 0..10_000u64 {
            cache.put(round % 7, clip((round % 500) as usize), Duration::from_secs(round / 100));
            cache.get(&(round % 5), Duration::from_secs(round / 100));
            assert!(cache.bytes() <= size(1000));
            assert_eq!(cache.entries.len(), cache.by_use.len());
        }
        for key in 0..7 {
            cache.remove(&key);
        }
        assert_eq!((cache.bytes(), cache.len(), cache.by_use.len()), (0, 0, 0));
    }
}
