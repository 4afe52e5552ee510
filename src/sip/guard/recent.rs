//! A bounded memory that forgets whom it has not seen for longest: two generations, each a map. No list to keep in
//! order, and no work that grows with what is remembered.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key: at most twice as many as one generation holds.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq + Copy, V: Default> Recent<K, V> {
    /// With so many in each generation.
    pub fn new(most: usize) -> Self {
        Recent { most, young: HashMap::new(), old: HashMap::new() }
    }

    /// What is remembered of a key; this does not make it younger.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// The value of a key, which has been seen now; a new one if nothing is remembered.
    pub fn entry(&mut self, key: K) -> &mut V {
        if !self.young.contains_key(&key) && self.young.len() >= self.most {
            self.old = std::mem::take(&mut self.young);
        }
        let old = &mut self.old;
        self.young.entry(key).or_insert_with(|| old.remove(&key).unwrap_or_default())
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
