//! Maps that give back the room that they do not need any more.

use std::collections::HashMap;
use std::hash::Hash;

/// Smaller maps stay as they are.
const MIN_CAPACITY_TO_SHRINK: usize = 1024;

/// Gives room back once less than a quarter is in use. The cost is shared by as many removals.
pub fn shrink<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.capacity() >= MIN_CAPACITY_TO_SHRINK && map.len() < map.capacity() / 4 {
        map.shrink_to(map.len() * 2);
    }
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
