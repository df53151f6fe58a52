//! Maps and queues that give back the room that they do not need any more.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Smaller ones stay as they are.
const MIN_CAPACITY_TO_SHRINK: usize = 1024;

/// Gives room of a map back once less than a quarter is in use. The cost is shared by as many removals.
pub fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if has_much_room(map.capacity(), map.len()) {
        map.shrink_to(map.len() * 2);
    }
}

/// Gives room of a queue back once less than a quarter is in use.
pub fn shrink_queue<T>(queue: &mut VecDeque<T>) {
    if has_much_room(queue.capacity(), queue.len()) {
        queue.shrink_to(queue.len() * 2);
    }
}

fn has_much_room(capacity: usize, len: usize) -> bool {
    capacity >= MIN_CAPACITY_TO_SHRINK && len < capacity / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_and_the_rest_stays() {
        let mut map: HashMap<u32, u32> = (0..100_000).map(|n| (n, n)).collect();
        for n in 10..100_000 {
            map.remove(&n);
            shrink(&mut map);
        }
        assert!(map.capacity() <= MIN_CAPACITY_TO_SHRINK, "{}", map.capacity());
        assert!((0..10).all(|n| map[&n] == n));
    }
}
