//! That every key gets its share, and that urgent ones get theirs first.
#![allow(clippy::expect_used)]

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Class, Lane, Limits, Next, Queue};

const MS: Duration = Duration::from_millis(1);

/// Runs a key once, so that the queue knows its lane.
fn learn<K: Clone + Eq + Hash>(queue: &mut Queue<K>, key: K, lane: Option<Lane>, next: Next, now: Instant) {
    queue.push(key.clone(), now, Class::Urgent, now);
    assert!(queue.pop(now).is_some());
    queue.finish(&key, next, lane, now);
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn class() -> impl Strategy<Value = Class> {
    prop::sample::select(Class::ALL.to_vec())
}

proptest! {
    #![proptest_config(cases(16))]

    /// Under a load that never ends, with all keys due again as soon as they ran, no key is passed over for more than a
    /// fixed number of pops: one in eight goes to the next lane, one in eight of those to another class of it, in turn.
    #[test]
    fn every_due_key_is_served_within_a_bound(
        total in 1_usize..5,
        per_lane in 1_usize..3,
        keys in vec((0_u64..5, class()), 2..24),
    ) {
        let bound = |key: usize| {
            let before = keys.iter().filter(|other| **other == keys[key]).count();
            before * 5 * 8 * 4 * 8 + total
        };
        let start = Instant::now();
        let due = start + MS;
        let mut queue = Queue::new(Limits { total, per_lane, slow_after: 5_000 * MS });
        let lane_of = |key: usize| Some(keys[key].0).filter(|lane| *lane > 0);
        for (key, (_, class)) in keys.iter().enumerate() {
            learn(&mut queue, key, lane_of(key), Next::At(due, *class), start);
        }
        let mut running = VecDeque::new();
        let mut served = vec![0; keys.len()];
        for step in 0..20_000 {
            let now = due + Duration::from_nanos(step as u64);
            while let Some(job) = queue.pop(now) {
                let waited = step - served[job.key];
                prop_assert!(waited <= bound(job.key), "{:?} was passed over {waited} times", keys[job.key]);
                served[job.key] = step;
                running.push_back(job.key);
            }
            let key = running.pop_front().expect("something runs at any time");
            queue.finish(&key, Next::At(now, keys[key].1), lane_of(key), now);
        }
        prop_assert!((0..keys.len()).all(|key| 20_000 - served[key] <= bound(key)));
    }

    /// Urgent work is not held up by other work that is due: of any few pops in a row one is urgent.
    #[test]
    fn urgent_goes_first(others in 0_u32..60, lanes in 1_u64..5) {
        let now = Instant::now();
        let mut queue = Queue::new(Limits { total: 1, per_lane: 1, slow_after: 5_000 * MS });
        for key in 0..others + 20 {
            let class = if key < others { Class::ALL[1 + key as usize % 3] } else { Class::Urgent };
            learn(&mut queue, key, Some(u64::from(key) % lanes), Next::At(now + MS, class), now);
        }
        let now = now + MS;
        let (mut since, mut urgent) = (0, 0);
        while urgent < 20 {
            let job = queue.pop(now).expect("all are due");
            queue.finish(&job.key, Next::WhenChanged, None, now);
            if job.class == Class::Urgent {
                (since, urgent) = (0, urgent + 1);
            } else {
                since += 1;
            }
            prop_assert!(since <= lanes + 1, "{since} others in a row");
        }
    }
}
