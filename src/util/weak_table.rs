//! Values that are shared while they are in use.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Finds the value of a key, or makes it. The table keeps no value alive: a value is gone when its last user drops it.
pub struct WeakTable<K, V>(Mutex<HashMap<K, Weak<V>>>);

impl<K, V> Default for WeakTable<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> WeakTable<K, V> {
    /// The value of `key`, made by `make` if it is not in use.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce(&K) -> Arc<V>) -> Arc<V> {
        let mut entries = self.0.lock();
        if let Some(value) = entries.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        // Swept when the table would have to grow: the cost of a sweep is shared by as many insertions.
        if entries.len() == entries.capacity() {
            entries.retain(|_, value| value.strong_count() > 0);
        }
        let value = make(&key);
        entries.insert(key, Arc::downgrade(&value));
        value
    }

    /// The values in use, in no order.
    pub fn values(&self) -> Vec<Arc<V>> {
        self.0.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// How many values are in use.
    pub fn len(&self) -> usize {
        self.0.lock().values().filter(|value| value.strong_count() > 0).count()
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
        assert!(table.0.lock().capacity() < 100);
        assert_eq!((table.len(), *kept), (1, 0));
    }
}
