//! The due keys, by lane and class, and the permits of the lanes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::{Class, Lane};

/// FIFO by due time; the number tells keys apart that are due at the same instant.
pub(super) type Order = (Instant, u64);

/// A lane, or `None`: the free lane of the keys whose Vault is not known yet. It has no limit of its own.
pub(super) type Place = Option<Lane>;

/// One pop in this many goes to the lane that was served longest ago, whatever the class of its keys; and of the pops
/// that a lane gets, one in this many goes to a class that would have to wait. Both are needed: the first keeps a flood
/// of urgent work in one lane from silencing the others, the second does the same inside a lane.
pub(super) const FAIR_TURN: u64 = 8;

/// What [`Ready::take`] gives out. It holds one permit of `place`, to be given back with [`Ready::release`].
pub(super) struct Taken<K> {
    pub key: K,
    pub class: Class,
    pub place: Place,
}

#[derive(Debug)]
struct LaneState<K> {
    due: [BTreeMap<Order, K>; 4],
    running: usize,
    /// The pop that last served this lane. Serving the smallest first is round-robin.
    stamp: u64,
    /// How often this lane was served.
    turns: u64,
}

impl<K> LaneState<K> {
    fn has(&self, class: Class) -> bool {
        !self.due[class.index()].is_empty()
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.due.iter().all(BTreeMap::is_empty)
    }

    /// The class that a fair turn is for: the classes take these turns in rotation, so that each gets its share.
    fn favoured(&self) -> Option<Class> {
        let first = usize::try_from(self.turns / FAIR_TURN % 4).unwrap_or_default();
        (0..4).map(|i| Class::ALL[(first + i) % 4]).find(|class| self.has(*class))
    }
}

/// Invariant: `open[class]` has exactly the lanes that have a due key of that class and a permit.
#[derive(Debug)]
pub(super) struct Ready<K> {
    per_lane: usize,
    lanes: HashMap<Place, LaneState<K>>,
    open: [BTreeSet<(u64, Place)>; 4],
    pops: u64,
    len: usize,
}

impl<K> Ready<K> {
    pub fn new(per_lane: usize) -> Self {
        Self { per_lane, lanes: HashMap::new(), open: Default::default(), pops: 0, len: 0 }
    }

    /// How many keys are due.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether a due key has a permit to run.
    pub fn can_take(&self) -> bool {
        self.open.iter().any(|lanes| !lanes.is_empty())
    }

    pub fn insert(&mut self, place: Place, class: Class, order: Order, key: K) {
        self.lane(place).due[class.index()].insert(order, key);
        self.len += 1;
        self.settle(place);
    }

    pub fn remove(&mut self, place: Place, class: Class, order: Order) -> Option<K> {
        let key = self.lanes.get_mut(&place)?.due[class.index()].remove(&order)?;
        self.len -= 1;
        self.settle(place);
        Some(key)
    }

    /// The next due key that may run, with a permit of its lane.
    pub fn take(&mut self) -> Option<Taken<K>> {
        let (class, place) = self.choose()?;
        self.pops += 1;
        self.close(place);
        let pops = self.pops;
        let lane = self.lanes.get_mut(&place)?;
        lane.stamp = pops;
        lane.turns += 1;
        lane.running += 1;
        let (_, key) = lane.due[class.index()].pop_first()?;
        self.len -= 1;
        self.settle(place);
        Some(Taken { key, class, place })
    }

    /// Takes a permit of a lane for a key that already runs elsewhere; `false` if the lane has none left.
    pub fn acquire(&mut self, place: Place) -> bool {
        let limit = self.limit(place);
        let lane = self.lane(place);
        if lane.running >= limit {
            return false;
        }
        lane.running += 1;
        self.settle(place);
        true
    }

    /// Gives a permit back.
    pub fn release(&mut self, place: Place) {
        if let Some(lane) = self.lanes.get_mut(&place) {
            lane.running = lane.running.saturating_sub(1);
        }
        self.settle(place);
    }

    fn choose(&self) -> Option<(Class, Place)> {
        let heads = || Class::ALL.into_iter().filter_map(|c| Some((c, *self.open[c.index()].first()?)));
        // `min_by_key` keeps the first of equals, which is the highest class that the lane has.
        let (class, (_, place)) = if self.pops % FAIR_TURN == FAIR_TURN - 1 {
            heads().min_by_key(|(_, stamped)| *stamped)?
        } else {
            heads().next()?
        };
        let lane = self.lanes.get(&place)?;
        if lane.turns % FAIR_TURN == FAIR_TURN - 1 {
            return Some((lane.favoured()?, place));
        }
        Some((class, place))
    }

    fn limit(&self, place: Place) -> usize {
        if place.is_some() { self.per_lane } else { usize::MAX }
    }

    fn lane(&mut self, place: Place) -> &mut LaneState<K> {
        let stamp = self.pops;
        self.lanes.entry(place).or_insert_with(|| LaneState { due: Default::default(), running: 0, stamp, turns: 0 })
    }

    fn close(&mut self, place: Place) {
        if let Some(lane) = self.lanes.get(&place) {
            for open in &mut self.open {
                open.remove(&(lane.stamp, place));
            }
        }
    }

    /// Restores the invariant of `open` for one lane and forgets the lane when nothing is left of it.
    fn settle(&mut self, place: Place) {
        let limit = self.limit(place);
        let Some(lane) = self.lanes.get(&place) else {
            return;
        };
        for class in Class::ALL {
            let open = &mut self.open[class.index()];
            if lane.running < limit && lane.has(class) {
                open.insert((lane.stamp, place));
            } else {
                open.remove(&(lane.stamp, place));
            }
        }
        if lane.is_idle() {
            self.lanes.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_without_keys_and_runs_is_forgotten() {
        let mut ready = Ready::new(1);
        let now = Instant::now();
        for lane in 0..100 {
            ready.insert(Some(lane), Class::Refresh, (now, lane), lane);
            ready.insert(Some(lane), Class::Urgent, (now, lane + 100), lane);
            assert_eq!(ready.remove(Some(lane), Class::Refresh, (now, lane)), Some(lane));
            assert!(ready.take().is_some());
            assert!(!ready.can_take());
            ready.release(Some(lane));
        }
        assert!(ready.lanes.is_empty() && ready.open.iter().all(BTreeSet::is_empty));
        assert_eq!(ready.len(), 0);
    }
}
