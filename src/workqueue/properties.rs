//! The queue against a model that is obviously right and slow.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Class, Job, Lane, Limits, Next, Queue};

type Key = u8;

#[derive(Clone, Debug)]
enum Op {
    Push(Key, u64, Class),
    Pop,
    /// Of the running keys, the one at this position.
    Finish(usize, Option<(u64, Class)>, Option<Lane>),
    Enter(usize, Lane),
    MustYield(usize),
    Remove(Key),
    Advance(u64),
    ToNextWake,
    WakeLane(Lane, u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Due {
    at: Instant,
    class: Class,
}

fn earlier(a: Due, b: Due) -> Due {
    Due { at: a.at.min(b.at), class: a.class.min(b.class) }
}

#[derive(Clone, Debug)]
enum Entry {
    Waiting { due: Due, lane: Option<Lane> },
    Running { due: Instant, started: Instant, entered: Instant, lane: Option<Lane>, again: Option<Due>, removed: bool },
}

struct Model {
    limits: Limits,
    keys: BTreeMap<Key, Entry>,
    /// Whether the runs of a lane are quick, where it is known.
    quick: BTreeMap<Lane, bool>,
}

impl Model {
    fn running(&self, of: impl Fn(Option<Lane>) -> bool) -> usize {
        self.keys.values().filter(|e| matches!(e, Entry::Running { lane, .. } if of(*lane))).count()
    }

    fn full(&self) -> bool {
        self.running(|_| true) >= self.limits.total
    }

    /// Permits held by lanes that are not known to be quick.
    fn held(&self) -> usize {
        self.running(|lane| lane.is_some_and(|lane| self.quick.get(&lane) != Some(&true)))
    }

    fn half(&self) -> usize {
        (self.limits.total / 2).max(1)
    }

    /// So many permits are held at most with the first ones of lanes that are not known.
    fn three_quarters(&self) -> usize {
        let total = self.limits.total;
        (total - total / 4).clamp(1, total.saturating_sub(1).max(1))
    }

    fn has_permit(&self, lane: Option<Lane>) -> bool {
        let Some(known) = lane else { return true };
        let running = self.running(|l| l == lane);
        let has_room = match self.quick.get(&known) {
            Some(true) => true,
            None if running == 0 => self.held() < self.three_quarters(),
            Some(false) | None => self.held() < self.half(),
        };
        running < self.limits.per_lane && has_room
    }

    fn is_late(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) >= self.limits.slow_after
    }

    fn must_yield(&mut self, key: Key, now: Instant) -> bool {
        let Some(Entry::Running { started, entered, lane, again, removed, .. }) = self.keys.get(&key) else {
            return false;
        };
        let (removed, again, lane) = (*removed, *again, *lane);
        let (late, slow) = (self.is_late(*started, now), lane.is_some() && self.is_late(*entered, now));
        if let Some(lane) = lane.filter(|_| late && slow) {
            self.quick.insert(lane, false);
        }
        let again = again.map(|again| again.class);
        let superseded = again == Some(Class::Urgent) || again == Some(Class::Event) && slow;
        late && (removed || superseded || slow && self.held() > self.half())
    }

    fn waiting(&self) -> impl Iterator<Item = (Key, Due, Option<Lane>)> + '_ {
        self.keys.iter().filter_map(|(key, entry)| match entry {
            Entry::Waiting { due, lane } => Some((*key, *due, *lane)),
            Entry::Running { .. } => None,
        })
    }

    fn may_run(&self, now: Instant) -> Vec<(Key, Due, Option<Lane>)> {
        if self.full() {
            return Vec::new();
        }
        self.waiting().filter(|(_, due, lane)| due.at <= now && self.has_permit(*lane)).collect()
    }

    fn push(&mut self, key: Key, new: Due) {
        match self.keys.get_mut(&key) {
            None => {
                self.keys.insert(key, Entry::Waiting { due: new, lane: None });
            }
            Some(Entry::Waiting { due, lane }) => {
                *due = earlier(*due, new);
                *lane = lane.filter(|_| new.class > Class::Event);
            }
            Some(Entry::Running { again, .. }) => *again = Some(again.map_or(new, |old| earlier(old, new))),
        }
    }

    fn pop(&mut self, job: &Job<Key>, now: Instant) {
        let candidates = self.may_run(now);
        let Some((_, due, lane)) = candidates.iter().copied().find(|(key, ..)| *key == job.key) else {
            panic!("{job:?} may not run: {:?}", self.keys);
        };
        assert_eq!(due, Due { at: job.due, class: job.class });
        for (_, other, other_lane) in candidates {
            let same = other_lane == lane && other.class == due.class;
            assert!(!same || other.at >= due.at, "not the first of its class and lane");
        }
        let running = Entry::Running { due: due.at, started: now, entered: now, lane, again: None, removed: false };
        self.keys.insert(job.key, running);
    }

    fn finish(&mut self, key: Key, next: Option<Due>, lane: Option<Lane>, now: Instant) {
        let Some(Entry::Running { again, removed, lane: place, entered, .. }) = self.keys.remove(&key) else {
            panic!("{key} does not run")
        };
        if let Some(place) = place {
            self.quick.insert(place, !self.is_late(entered, now));
        }
        let lane = lane.filter(|_| again.is_none_or(|again| again.class > Class::Event));
        let next = if removed { None } else { next };
        let due = match (next, again) {
            (Some(a), Some(b)) => Some(earlier(a, b)),
            (a, b) => a.or(b),
        };
        if let Some(due) = due {
            self.keys.insert(key, Entry::Waiting { due, lane });
        }
    }

    fn nth_running(&self, n: usize) -> Option<Key> {
        let running: Vec<Key> =
            self.keys.iter().filter(|(_, e)| matches!(e, Entry::Running { .. })).map(|(k, _)| *k).collect();
        if running.is_empty() { None } else { Some(running[n % running.len()]) }
    }

    fn overdue(&self, now: Instant, grace: Duration) -> usize {
        let late = |at: Instant| now.saturating_duration_since(at) > grace;
        self.keys
            .values()
            .filter(|e| match e {
                Entry::Waiting { due, .. } => late(due.at),
                Entry::Running { due, .. } => late(*due),
            })
            .count()
    }
}

fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(Class::ALL.to_vec())
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0_u8..12;
    let lane = || 0_u64..3;
    prop_oneof![
        6 => (key.clone(), 0_u64..40, class()).prop_map(|(k, d, c)| Op::Push(k, d, c)),
        8 => Just(Op::Pop),
        6 => (any::<usize>(), prop::option::weighted(0.8, (0_u64..40, class())), prop::option::weighted(0.8, lane()))
            .prop_map(|(n, next, lane)| Op::Finish(n, next, lane)),
        2 => (any::<usize>(), lane()).prop_map(|(n, lane)| Op::Enter(n, lane)),
        2 => any::<usize>().prop_map(Op::MustYield),
        1 => key.prop_map(Op::Remove),
        3 => (0_u64..20).prop_map(Op::Advance),
        2 => Just(Op::ToNextWake),
        1 => (lane(), 0_u64..20).prop_map(|(lane, spread)| Op::WakeLane(lane, spread)),
    ]
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What must hold between any two operations.
fn check(queue: &Queue<Key>, model: &Model, now: Instant) {
    assert_eq!(queue.len(), model.keys.len(), "a key was lost or is there twice");
    assert!((0..12).all(|key| queue.contains(&key) == model.keys.contains_key(&key)));
    assert_eq!(queue.in_flight(), model.running(|_| true));
    assert!(queue.in_flight() <= model.limits.total);
    assert_eq!(queue.ready(now), model.waiting().filter(|(_, due, _)| due.at <= now).count());
    let late = queue.states().filter(|(_, state)| now.saturating_duration_since(state.due()) > ms(5));
    assert_eq!(late.count(), model.overdue(now, ms(5)));

    let wake = queue.next_wake(now);
    let soonest = model
        .waiting()
        .filter(|(_, _, lane)| !model.full() && model.has_permit(*lane))
        .map(|(_, due, _)| due.at.max(now))
        .min();
    match (wake, soonest) {
        (None, soonest) => assert_eq!(soonest, None, "nobody would come for a key that can run"),
        (Some(at), Some(soonest)) => assert!(now <= at && at <= soonest, "too late"),
        // Too early is allowed only for a key that is due then and is held back by its lane.
        (Some(at), None) => assert!(model.waiting().any(|(_, due, _)| due.at.max(now) == at)),
    }
}

fn run(limits: Limits, ops: Vec<Op>) {
    let start = Instant::now();
    let mut now = start;
    let mut queue = Queue::new(limits);
    let mut model = Model { limits, keys: BTreeMap::new(), quick: BTreeMap::new() };
    for op in ops {
        match op {
            Op::Push(key, delay, class) => {
                // Sometimes in the past.
                let at = (now + ms(delay)).checked_sub(ms(5)).unwrap_or(now);
                queue.push(key, at, class, now);
                model.push(key, Due { at, class });
            }
            Op::Pop => match queue.pop(now) {
                Some(job) => model.pop(&job, now),
                None => assert!(model.may_run(now).is_empty(), "something could run"),
            },
            Op::Finish(n, next, lane) => {
                let Some(key) = model.nth_running(n) else {
                    continue;
                };
                let due = next.map(|(delay, class)| Due { at: now + ms(delay), class });
                queue.finish(&key, due.map_or(Next::WhenChanged, |d| Next::At(d.at, d.class)), lane, now);
                model.finish(key, due, lane, now);
            }
            Op::Enter(n, wanted) => {
                let Some(key) = model.nth_running(n) else {
                    continue;
                };
                let free = model.has_permit(Some(wanted));
                let Some(Entry::Running { lane, entered, .. }) = model.keys.get_mut(&key) else {
                    continue;
                };
                let expected = free || *lane == Some(wanted);
                if expected && *lane != Some(wanted) {
                    (*lane, *entered) = (Some(wanted), now);
                }
                assert_eq!(queue.enter(&key, wanted, now), expected);
            }
            Op::MustYield(n) => {
                if let Some(key) = model.nth_running(n) {
                    assert_eq!(queue.must_yield(&key, now), model.must_yield(key, now));
                }
            }
            Op::Remove(key) => {
                queue.remove(&key);
                match model.keys.get_mut(&key) {
                    Some(Entry::Running { again, removed, .. }) => (*again, *removed) = (None, true),
                    _ => _ = model.keys.remove(&key),
                }
            }
            Op::Advance(by) => now += ms(by),
            Op::ToNextWake => now = queue.next_wake(now).unwrap_or(now),
            Op::WakeLane(lane, spread) => {
                queue.wake_lane(lane, now, ms(spread), |spread| spread / 2);
                let at = now + ms(spread) / 2;
                for entry in model.keys.values_mut() {
                    if let Entry::Waiting { due, lane: of } = entry
                        && *of == Some(lane)
                        && due.class == Class::Retry
                    {
                        due.at = due.at.min(at);
                    }
                }
            }
        }
        check(&queue, &model, now);
    }
    drain(queue, model, now);
}

/// Whatever happened before: every key gets its turn, all permits come back, nothing is left.
fn drain(mut queue: Queue<Key>, mut model: Model, mut now: Instant) {
    let mut steps = 0;
    while !queue.is_empty() {
        steps += 1;
        assert!(steps < 200, "the queue does not drain");
        while let Some(job) = queue.pop(now) {
            model.pop(&job, now);
        }
        assert!(model.may_run(now).is_empty());
        while let Some(key) = model.nth_running(0) {
            queue.finish(&key, Next::WhenChanged, None, now);
            model.finish(key, None, None, now);
        }
        now = queue.next_wake(now).unwrap_or(now);
        check(&queue, &model, now);
    }
    assert_eq!(queue.next_wake(now), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_the_model(total in 1_usize..8, per_lane in 1_usize..4, slow in 1_u64..20, ops in vec(op(), 1..150)) {
        run(Limits { total, per_lane, slow_after: ms(slow) }, ops);
    }

}
