//! The due keys, by lane and class, and the permits of the lanes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use super::{Class, Lane, Limits};

/// FIFO by due time; the number tells keys apart that are due at the same instant.
pub(super) type Order = (Instant, u64);

/// A lane, or `None`: the free lane of the keys whose Vault is not known yet. It has no limit of its own.
pub(super) type Place = Option<Lane>;

/// One pop in this many goes to the lane that was served longest ago, whatever the class of its keys; and of the pops
/// that a lane gets, one in this many goes to a class that would have to wait. Both are needed: the first keeps a flood
/// of urgent work in one lane from silencing the others, the second does the same inside a lane.
pub(super) const FAIR_TURN: u64 = 8;

/// So many lanes without keys and runs are remembered for their pace.
const REMEMBERED_LANES: usize = 1024;

/// How long the runs of a lane take, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// No run has ended yet. One may always be tried.
    Unknown,
    /// The last run that ended was quick.
    Quick,
    /// A run took long, or still does. All lanes that are not quick share half of all permits.
    Slow,
}

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
    pace: Pace,
}

impl<K> LaneState<K> {
    fn has(&self, class: Class) -> bool {
        !self.due[class.index()].is_empty()
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.due.iter().all(BTreeMap::is_empty)
    }

    /// What the next permit depends on.
    fn room(&self) -> Room {
        match self.pace {
            Pace::Quick => Room::Free,
            Pace::Unknown if self.running == 0 => Room::First,
            Pace::Unknown | Pace::Slow => Room::Shared,
        }
    }

    /// The class that a fair turn is for: the classes take these turns in rotation, so that each gets its share.
    fn favoured(&self) -> Option<Class> {
        let first = usize::try_from(self.turns / FAIR_TURN % 4).unwrap_or_default();
        (0..4).map(|i| Class::ALL[(first + i) % 4]).find(|class| self.has(*class))
    }
}

/// What the permit of a lane depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// The permit depends on nothing: the lane is quick.
    Free,
    /// The permit is the first of a lane that is not known yet, and depends on the share and a quarter of all permits
    /// more.
    First,
    /// The permit depends on the share of the lanes that are not quick.
    Shared,
}

impl Room {
    const ALL: [Self; 3] = [Self::Free, Self::First, Self::Shared];
}

/// Lanes by class of a due key, in the order in which they were last served.
type Open = [BTreeSet<(u64, Place)>; 4];

/// Invariant: the `open[room][class]` together have exactly the lanes that have a due key of that class and a permit of
/// their own; they may use it only while `held` is below the limit of the room.
#[derive(Debug)]
pub(super) struct Ready<K> {
    per_lane: usize,
    /// So many permits all lanes together may hold that are not quick, and so many with the first permits of lanes that
    /// are not known.
    shared: usize,
    shared_and_first: usize,
    /// So many they hold.
    held: usize,
    lanes: HashMap<Place, LaneState<K>>,
    /// The lanes that may get a permit, by what that depends on.
    open: [Open; 3],
    pops: u64,
    len: usize,
}

impl<K> Ready<K> {
    pub fn new(limits: Limits) -> Self {
        Self {
            per_lane: limits.per_lane.max(1),
            shared: (limits.total / 2).max(1),
            shared_and_first: (limits.total - limits.total / 4).clamp(1, limits.total.saturating_sub(1).max(1)),
            held: 0,
            lanes: HashMap::new(),
            open: Default::default(),
            pops: 0,
            len: 0,
        }
    }

    /// How many keys are due.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether a due key has a permit to run.
    pub fn can_take(&self) -> bool {
        Class::ALL.into_iter().any(|class| self.head(class).is_some())
    }

    /// Whether the lanes that are not quick hold more than their share of all permits.
    pub fn share_exceeded(&self) -> bool {
        self.held > self.shared
    }

    /// Remembers how long the runs of a lane take.
    pub fn set_pace(&mut self, place: Place, pace: Pace) {
        let Some(lane) = self.lanes.get_mut(&place) else { return };
        match (std::mem::replace(&mut lane.pace, pace), pace) {
            (Pace::Unknown | Pace::Slow, Pace::Quick) => self.held -= lane.running,
            (Pace::Quick, Pace::Unknown | Pace::Slow) => self.held += lane.running,
            _ => {}
        }
        self.settle(place);
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
        self.held += usize::from(lane.pace != Pace::Quick);
        let (_, key) = lane.due[class.index()].pop_first()?;
        self.len -= 1;
        self.settle(place);
        Some(Taken { key, class, place })
    }

    /// Takes a permit of a lane for a key that already runs elsewhere; `false` if the lane has none left.
    pub fn acquire(&mut self, place: Place) -> bool {
        let limit = self.limit(place);
        let room = self.lane(place).room();
        let has_room = self.has_room(room);
        let lane = self.lane(place);
        let permit = lane.running < limit && has_room;
        if permit {
            lane.running += 1;
            self.held += usize::from(lane.pace != Pace::Quick);
        }
        self.settle(place);
        permit
    }

    /// Gives a permit back.
    pub fn release(&mut self, place: Place) {
        if let Some(lane) = self.lanes.get_mut(&place) {
            lane.running = lane.running.saturating_sub(1);
            self.held -= usize::from(lane.pace != Pace::Quick);
        }
        self.settle(place);
    }

    fn has_room(&self, room: Room) -> bool {
        match room {
            Room::Free => true,
            Room::First => self.held < self.shared_and_first,
            Room::Shared => self.held < self.shared,
        }
    }

    /// The lane that is next for a class.
    fn head(&self, class: Class) -> Option<(u64, Place)> {
        let rooms = Room::ALL.into_iter().zip(&self.open).filter(|(room, _)| self.has_room(*room));
        rooms.filter_map(|(_, open)| open[class.index()].first()).min().copied()
    }

    fn choose(&self) -> Option<(Class, Place)> {
        let heads = || Class::ALL.into_iter().filter_map(|c| Some((c, self.head(c)?)));
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
        // The free lane is no Vault: how long its runs take says nothing.
        let pace = if place.is_some() { Pace::Unknown } else { Pace::Quick };
        let new = || LaneState { due: Default::default(), running: 0, stamp, turns: 0, pace };
        self.lanes.entry(place).or_insert_with(new)
    }

    fn close(&mut self, place: Place) {
        if let Some(lane) = self.lanes.get(&place) {
            for open in self.open.iter_mut().flatten() {
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
            let permit = lane.running < limit && lane.has(class);
            for (room, open) in Room::ALL.into_iter().zip(&mut self.open) {
                let open = &mut open[class.index()];
                if permit && lane.room() == room {
                    open.insert((lane.stamp, place));
                } else {
                    open.remove(&(lane.stamp, place));
                }
            }
        }
        let worth_keeping = lane.pace != Pace::Unknown && place.is_some() && self.lanes.len() <= REMEMBERED_LANES;
        if lane.is_idle() && !worth_keeping {
            self.lanes.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_without_keys_and_runs_is_forgotten() {
        let mut ready = Ready::new(Limits { total: 2, per_lane: 1, slow_after: std::time::Duration::from_secs(5) });
        let now = Instant::now();
        for lane in 0..100 {
            ready.insert(Some(lane), Class::Refresh, (now, lane), lane);
            ready.insert(Some(lane), Class::Urgent, (now, lane + 100), lane);
            assert_eq!(ready.remove(Some(lane), Class::Refresh, (now, lane)), Some(lane));
            assert!(ready.take().is_some());
            assert!(!ready.can_take());
            ready.release(Some(lane));
        }
        assert!(ready.lanes.is_empty() && ready.open.iter().flatten().all(BTreeSet::is_empty));
        assert_eq!((ready.len(), ready.held), (0, 0));
    }

    #[test]
    fn not_every_lane_that_ever_was_is_remembered() {
        let mut ready = Ready::new(Limits { total: 2, per_lane: 1, slow_after: std::time::Duration::from_secs(5) });
        for lane in 0..10_000 {
            ready.insert(Some(lane), Class::Refresh, (Instant::now(), lane), lane);
            assert!(ready.take().is_some());
            ready.set_pace(Some(lane), if lane % 2 == 0 { Pace::Quick } else { Pace::Slow });
            ready.release(Some(lane));
        }
        assert!(ready.lanes.len() <= REMEMBERED_LANES && ready.held == 0);
    }
}
