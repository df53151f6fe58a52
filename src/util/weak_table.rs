//! Values that are shared while they are in use.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::shrink;

/// Finds the value of a key, or makes it. The table keeps no value alive: a value is gone when its last user drops it.
pub struct WeakTable<K, V>(Mutex<Entries<K, V>>);

struct Entries<K, V> {
    values: HashMap<K, Weak<V>>,
    /// At so many values, those that are not in use any more are dropped.
    sweep_at: usize,
}

/// So many values are dropped at the earliest.
const MIN_SWEEP: usize = 16;

impl<K, V> Default for WeakTable<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Entries { values: HashMap::new(), sweep_at: 0 }))
    }
}

impl<K: Eq + Hash, V> Entries<K, V> {
    fn get(&self, key: &K) -> Option<Arc<V>> {
        self.values.get(key).and_then(Weak::upgrade)
    }

    fn insert(&mut self, key: K, value: &Arc<V>) {
        // The cost of a sweep is shared by as many insertions as there are values in use.
        if self.values.len() >= self.sweep_at {
            self.values.retain(|_, value| value.strong_count() > 0);
            shrink(&mut self.values);
            self.sweep_at = 2 * self.values.len() + MIN_SWEEP;
        }
        self.values.insert(key, Arc::downgrade(value));
    }
}

impl<K: Eq + Hash, V> WeakTable<K, V> {
    /// The value of `key`, if it is in use.
    pub fn get(&self, key: &K) -> Option<Arc<V>> {
        self.0.lock().get(key)
    }

    /// The value of `key`, made by `make` if it is not in use.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce(&K) -> Arc<V>) -> Arc<V> {
        let mut entries = self.0.lock();
        if let Some(value) = entries.get(&key) {
            return value;
        }
        let value = make(&key);
        entries.insert(key, &value);
        value
    }

    /// Puts a value that took time to make, and was not made under the lock of the table, in the place of what there
    /// is.
    pub fn insert(&self, key: K, value: &Arc<V>) {
        self.0.lock().insert(key, value);
    }

    /// The values in use, in no order.
    pub fn values(&self) -> Vec<Arc<V>> {
        self.0.lock().values.values().filter_map(Weak::upgrade).collect()
    }

    /// How many values are in use.
    pub fn len(&self) -> usize {
        self.0.lock().values.values().filter(|value| value.strong_count() > 0).count()
    }

    /// True if no value is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shared_while_it_is_in_use_and_made_anew_afterwards() {
        let table = WeakTable::default();
        let one = table.get_or_insert_with("a", |_| Arc::new(1));
        assert!(Arc::ptr_eq(&one, &table.get_or_insert_with("a", |_| Arc::new(2))));
        drop(one);
        assert!(table.is_empty() && table.values().is_empty());
        assert_eq!(*table.get_or_insert_with("a", |_| Arc::new(3)), 3);
    }

    #[test]
    fn what_is_not_in_use_any_more_takes_no_room() {
        let table = WeakTable::default();
        let kept = table.get_or_insert_with(0, |_| Arc::new(0));
        (1..10_000).for_each(|key| drop(table.get_or_insert_with(key, |key| Arc::new(*key))));
        assert!(table.0.lock().values.capacity() < 100);
        assert_eq!((table.len(), *kept), (1, 0));
    }

    #[test]
    fn a_full_table_is_not_swept_at_each_insertion() {
        let table = WeakTable::default();
        let kept: Vec<Arc<usize>> = (0..1_000).map(|key| table.get_or_insert_with(key, |key| Arc::new(*key))).collect();
        let mut sweeps = 0;
        for key in 1_000..10_000 {
            let before = table.0.lock().values.len();
            drop(table.get_or_insert_with(key, |key| Arc::new(*key)));
            sweeps += usize::from(table.0.lock().values.len() <= before);
        }
        assert!(sweeps <= 10, "{sweeps} sweeps through {} values", kept.len());
        assert_eq!(table.get(&7).as_deref(), Some(&7));
    }

    #[test]
    fn a_value_that_was_made_elsewhere_takes_its_place() {
        let (table, value) = (WeakTable::default(), Arc::new(1));
        table.insert("a", &value);
        assert_eq!(table.get(&"a").as_deref(), Some(&1));
        drop(value);
        assert_eq!(table.get(&"a"), None);
    }
}
