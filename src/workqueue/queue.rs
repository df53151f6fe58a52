//! The work queue: one entry per key, due times, classes, lanes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::ready::{Order, Pace, Place, Ready};
use super::{Class, Lane};
use crate::util::shrink;

/// How much may run at the same time. Zero counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many keys may run together.
    pub total: usize,
    /// How many keys of one lane may run, so that a Vault that does not answer holds no more than this.
    pub per_lane: usize,
    /// A run that takes longer shows that its Vault is slow. Vaults that are slow, or not known yet, hold no more than
    /// half of `total` together, but for one run of each that is not known.
    pub slow_after: Duration,
}

/// A key that is to be worked on now, until [`Queue::finish`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job<K> {
    /// What to work on.
    pub key: K,
    /// Why.
    pub class: Class,
    /// Since when.
    pub due: Instant,
}

/// What the worker of a key has to say about its next run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Again at this time, for this reason.
    At(Instant, Class),
    /// Only when it is pushed.
    WhenChanged,
}

impl Next {
    /// The same, but for a retry at this time if nothing is due until then.
    pub fn or_retry_at(self, retry: Instant) -> Self {
        match self {
            Self::At(at, _) if at <= retry => self,
            Self::At(..) | Self::WhenChanged => Self::At(retry, Class::Retry),
        }
    }
}

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It waits until it is due, and then for its turn.
    Waiting {
        /// When it is due.
        due: Instant,
    },
    /// It is worked on.
    Running {
        /// When it was due.
        due: Instant,
        /// When it had its turn.
        started: Instant,
    },
}

impl KeyState {
    /// When it is or was due.
    #[must_use]
    pub fn due(&self) -> Instant {
        match self {
            KeyState::Waiting { due } | KeyState::Running { due, .. } => *due,
        }
    }
}

/// A due time and its reason. Of two, the earlier time and the higher class count.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    class: Class,
}

impl Due {
    fn merge(self, other: Self) -> Self {
        Self { at: self.at.min(other.at), class: self.class.min(other.class) }
    }
}

#[derive(Debug)]
struct Waiting {
    due: Due,
    seq: u64,
    lane: Option<Lane>,
    /// Whether the key is in `ready`, otherwise in `delayed`.
    ready: bool,
}

impl Waiting {
    fn order(&self) -> Order {
        (self.due.at, self.seq)
    }
}

#[derive(Debug)]
struct Running {
    place: Place,
    due: Instant,
    started: Instant,
    /// When it was put into its lane.
    entered: Instant,
    /// Pushed while it runs.
    again: Option<Due>,
    /// Removed while it runs: what the run says about the next one is about something that is gone.
    removed: bool,
    /// What it has made would be lost if it ended early.
    keeps_on: bool,
}

/// A set of keys, each with the time at which it is due.
///
/// A key is waiting or running, never both and never twice. Who pops a key owns its permits until
/// [`finish`](Queue::finish), also if the work failed or panicked.
#[derive(Debug)]
pub struct Queue<K> {
    total: usize,
    slow_after: Duration,
    waiting: HashMap<K, Waiting>,
    running: HashMap<K, Running>,
    delayed: BTreeMap<Order, K>,
    ready: Ready<K>,
    seq: u64,
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            total: limits.total.max(1),
            slow_after: limits.slow_after,
            waiting: HashMap::new(),
            running: HashMap::new(),
            delayed: BTreeMap::new(),
            ready: Ready::new(limits),
            seq: 0,
        }
    }

    /// Makes a key due at `due` at the latest.
    ///
    /// A key that waits already is brought forward, never put off, and its class is raised, never lowered. One that is
    /// running runs once more afterwards. What changed may lead to another Vault: then the key does not wait for its
    /// lane.
    pub fn push(&mut self, key: K, due: Instant, class: Class, now: Instant) {
        let new = Due { at: due, class };
        if let Some(run) = self.running.get_mut(&key) {
            run.again = Some(run.again.map_or(new, |old| old.merge(new)));
            return;
        }
        let Some(old) = self.waiting.get(&key) else {
            self.wait(key, new, None, now);
            return;
        };
        let merged = old.due.merge(new);
        let lane = lane_after(class, old.lane);
        if merged.at == old.due.at && merged.class == old.due.class && lane == old.lane {
            return;
        }
        self.unlink(&key);
        self.wait(key, merged, lane, now);
    }

    /// The key to work on next, or `None` if none is due or all permits are taken.
    pub fn pop(&mut self, now: Instant) -> Option<Job<K>> {
        if self.running.len() >= self.total {
            return None;
        }
        self.promote(now);
        let taken = self.ready.take()?;
        let (key, waiting) = self.waiting.remove_entry(&taken.key)?;
        let (place, due) = (taken.place, waiting.due.at);
        let run = Running { place, due, started: now, entered: now, again: None, removed: false, keeps_on: false };
        self.running.insert(key, run);
        Some(Job { key: taken.key, class: taken.class, due })
    }

    /// Puts a running key into the lane that its work turned out to belong to.
    ///
    /// `false` if that lane has no permit left: then the run should end at once with the due time and class of its job,
    /// and that lane; the key keeps its turn and costs nothing until the lane has a permit. This is how a Vault that
    /// does not answer is kept from holding every permit by keys whose lane was not known.
    pub fn enter(&mut self, key: &K, lane: Lane, now: Instant) -> bool {
        let Some(run) = self.running.get_mut(key) else {
            return false;
        };
        let wanted = Some(lane);
        if run.place == wanted {
            return true;
        }
        if !self.ready.acquire(wanted) {
            return false;
        }
        self.ready.release(run.place);
        run.place = wanted;
        run.entered = now;
        true
    }

    /// From now on the run ends early only if others need its permit: what it has made is not recorded yet.
    pub fn keep_on(&mut self, key: &K) {
        if let Some(run) = self.running.get_mut(key) {
            run.keeps_on = true;
        }
    }

    /// Whether a run that takes long should end now, to go on later: since its key changed or was removed, or since the
    /// Vaults that are slow hold more than half of all permits. To be asked again and again while it runs.
    #[must_use]
    pub fn must_yield(&mut self, key: &K, now: Instant) -> bool {
        let Some(run) = self.running.get(key) else { return false };
        if now.saturating_duration_since(run.started) < self.slow_after {
            return false;
        }
        let slow = run.place.is_some() && now.saturating_duration_since(run.entered) >= self.slow_after;
        if slow {
            self.ready.set_pace(run.place, Pace::Slow);
        }
        let superseded =
            run.again.is_some_and(|again| again.class == Class::Urgent || again.class == Class::Event && slow);
        !run.keeps_on && (run.removed || superseded) || slow && self.ready.share_exceeded()
    }

    /// Ends the run of a key. `lane` is where its next run belongs, as far as this one found out.
    ///
    /// A push during the run counts if it is earlier than `next`. A key that was removed during the run is only waiting
    /// again if it was pushed after that.
    pub fn finish(&mut self, key: &K, next: Next, lane: Option<Lane>, now: Instant) {
        let Some((key, run)) = self.running.remove_entry(key) else {
            return;
        };
        if run.place.is_some() {
            let quick = now.saturating_duration_since(run.entered) < self.slow_after;
            self.ready.set_pace(run.place, if quick { Pace::Quick } else { Pace::Slow });
        }
        self.ready.release(run.place);
        let lane = run.again.map_or(lane, |again| lane_after(again.class, lane));
        let own = match next {
            Next::At(at, class) if !run.removed => Some(Due { at, class }),
            Next::At(..) | Next::WhenChanged => None,
        };
        let due = match (own, run.again) {
            (Some(own), Some(again)) => own.merge(again),
            (Some(due), None) | (None, Some(due)) => due,
            (None, None) => return,
        };
        self.wait(key, due, lane, now);
    }

    /// Forgets a key. If it is running, its run goes on, but is not followed by another unless the key is pushed again.
    pub fn remove(&mut self, key: &K) {
        if let Some(run) = self.running.get_mut(key) {
            run.removed = true;
            run.again = None;
        } else {
            self.unlink(key);
            self.waiting.remove(key);
            shrink(&mut self.waiting);
        }
    }

    /// Brings the keys of a lane that wait for a retry forward to within `spread`: their Vault answers again.
    ///
    /// `jitter` picks a part of the given duration for each, so that they do not all come at once. Linear in the number
    /// of keys; a Vault does not recover often.
    pub fn wake_lane(
        &mut self,
        lane: Lane,
        now: Instant,
        spread: Duration,
        mut jitter: impl FnMut(Duration) -> Duration,
    ) {
        let retries = |key: &&K| {
            let waiting = self.waiting.get(*key);
            waiting.is_some_and(|w| w.lane == Some(lane) && w.due.class == Class::Retry)
        };
        let keys: Vec<K> = self.delayed.values().filter(retries).cloned().collect();
        for key in keys {
            let due = now.checked_add(jitter(spread).min(spread)).unwrap_or(now);
            self.push(key, due, Class::Retry, now);
        }
    }

    /// When to call [`pop`](Queue::pop) again because of the time alone; `None` if only a push or a finish can help.
    ///
    /// No key can be popped before that moment. The one that is due then may still be held back by its lane; in that
    /// case `pop` gives nothing and the next answer is later.
    #[must_use]
    pub fn next_wake(&self, now: Instant) -> Option<Instant> {
        if self.running.len() >= self.total {
            return None;
        }
        if self.ready.can_take() {
            return Some(now);
        }
        self.delayed.first_key_value().map(|((due, _), _)| (*due).max(now))
    }

    /// What is known of each key, in no order.
    pub fn states(&self) -> impl Iterator<Item = (&K, KeyState)> {
        let waiting = self.waiting.iter().map(|(key, w)| (key, KeyState::Waiting { due: w.due.at }));
        let running = self.running.iter().map(|(key, r)| (key, KeyState::Running { due: r.due, started: r.started }));
        waiting.chain(running)
    }

    /// Whether a key is worked on.
    pub fn is_running(&self, key: &K) -> bool {
        self.running.contains_key(key)
    }

    /// Lets a key wait that is neither waiting nor running, or that has been unlinked.
    fn wait(&mut self, key: K, due: Due, lane: Option<Lane>, now: Instant) {
        self.seq += 1;
        let waiting = Waiting { due, seq: self.seq, lane, ready: due.at <= now };
        if waiting.ready {
            self.ready.insert(lane, due.class, waiting.order(), key.clone());
        } else {
            self.delayed.insert(waiting.order(), key.clone());
        }
        self.waiting.insert(key, waiting);
    }

    /// Takes a waiting key out of the order, but leaves its entry.
    fn unlink(&mut self, key: &K) {
        let Some(waiting) = self.waiting.get(key) else {
            return;
        };
        if waiting.ready {
            self.ready.remove(waiting.lane, waiting.due.class, waiting.order());
        } else {
            self.delayed.remove(&waiting.order());
        }
    }

    /// Moves what has become due to the ready keys: each key once, so this adds O(log n) to the pop of each.
    fn promote(&mut self, now: Instant) {
        while let Some(first) = self.delayed.first_entry() {
            if first.key().0 > now {
                return;
            }
            let (order, key) = first.remove_entry();
            if let Some(waiting) = self.waiting.get_mut(&key) {
                waiting.ready = true;
                self.ready.insert(waiting.lane, waiting.due.class, order, key);
            }
        }
    }
}

/// The lane of a key that was pushed for `class`: a change may have led it to another Vault.
fn lane_after(class: Class, lane: Option<Lane>) -> Option<Lane> {
    match class {
        Class::Urgent | Class::Event => None,
        Class::Retry | Class::Refresh => lane,
    }
}

#[cfg(test)]
impl<K: Clone + Eq + Hash> Queue<K> {
    /// How many keys are waiting or running.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Whether no key is waiting or running.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys are running.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.running.len()
    }

    /// How many waiting keys are due. Linear in those that became due since the last pop.
    #[must_use]
    pub fn ready(&self, now: Instant) -> usize {
        self.ready.len() + self.delayed.range(..=(now, u64::MAX)).count()
    }

    /// Whether a key is waiting or running.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.waiting.contains_key(key) || self.running.contains_key(key)
    }
}
