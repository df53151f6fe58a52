//! Values that are remembered for a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

/// Remembers at most a given number of values, each until a time of its own. A full cache gives up those that are over,
/// else the one that would be over first, so that no crowd of new keys makes it forget everything.
#[derive(Debug)]
pub struct BoundedCache<K, V> {
    capacity: usize,
    entries: HashMap<K, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    until: Instant,
    value: V,
}

impl<K: Clone + Eq + Hash, V> BoundedCache<K, V> {
    /// An empty cache. A capacity of zero counts as one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), entries: HashMap::new() }
    }

    /// The value of a key, unless its time is over.
    pub fn get(&self, key: &K, now: Instant) -> Option<&V> {
        self.entries.get(key).filter(|entry| now < entry.until).map(|entry| &entry.value)
    }

    /// Remembers a value until `until`, in place of what was remembered of the key.
    pub fn insert(&mut self, key: K, value: V, until: Instant, now: Instant) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.entries.insert(key, Entry { until, value });
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// Gives up a quarter of the entries, so that the cost of a look through all of them is shared by as many
    /// insertions.
    fn make_room(&mut self, now: Instant) {
        self.entries.retain(|_, entry| now < entry.until);
        let excess = (self.entries.len() + 1 + self.capacity / 4).saturating_sub(self.capacity);
        if excess == 0 {
            return;
        }
        let mut soonest: Vec<(Instant, K)> = self.entries.iter().map(|(key, e)| (e.until, key.clone())).collect();
        soonest.sort_unstable_by_key(|(until, _)| *until);
        for (_, key) in soonest.into_iter().take(excess) {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_crowd_of_new_keys_displaces_what_is_over_first() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut cache = BoundedCache::new(8);
        cache.insert(u32::MAX, "granted", now + 60 * second, now);
        (0..1_000).for_each(|key| cache.insert(key, "refused", now + 10 * second, now));
        assert_eq!(cache.get(&u32::MAX, now), Some(&"granted"));
        assert!(cache.entries.len() <= 8 && cache.get(&999, now).is_some());
        assert_eq!(cache.get(&u32::MAX, now + 60 * second), None, "its time is over");
        cache.remove(&999);
        assert_eq!(cache.get(&999, now), None);
    }

    #[test]
    fn a_known_key_takes_no_room() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut cache = BoundedCache::new(2);
        for (key, value) in [("a", 1), ("b", 2), ("a", 3)] {
            cache.insert(key, value, now + second, now);
        }
        assert_eq!((cache.get(&"a", now), cache.get(&"b", now)), (Some(&3), Some(&2)));
    }
}
