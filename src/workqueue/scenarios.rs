//! What the queue is for, case by case.
#![allow(clippy::expect_used)]

use std::time::{Duration, Instant};

use super::{Class, Job, Limits, Next, Queue};

const LIMITS: Limits = limits(10, 2);

const fn limits(total: usize, per_lane: usize) -> Limits {
    Limits { total, per_lane, slow_after: Duration::from_secs(5) }
}

fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A queue in which each of `keys` belongs to its lane and is due for `class` a second after the returned instant.
fn with_lanes(limits: Limits, keys: &[(&'static str, u64, Class)]) -> (Queue<&'static str>, Instant) {
    let now = Instant::now();
    let mut queue = Queue::new(limits);
    for (key, lane, class) in keys {
        queue.push(*key, now, Class::Urgent, now);
        assert!(queue.pop(now).is_some());
        queue.finish(key, Next::At(now + s(1), *class), Some(*lane), now);
    }
    (queue, now)
}

fn keys(queue: &mut Queue<&'static str>, now: Instant) -> Vec<&'static str> {
    std::iter::from_fn(|| queue.pop(now)).map(|job| job.key).collect()
}

#[test]
fn the_earlier_due_time_and_the_higher_class_win() {
    let now = Instant::now();
    let mut queue = Queue::new(LIMITS);
    queue.push("a", now + s(10), Class::Refresh, now);
    queue.push("a", now + s(60), Class::Event, now);
    assert_eq!(queue.next_wake(now), Some(now + s(10)));
    queue.push("a", now + s(5), Class::Retry, now);
    assert_eq!(queue.next_wake(now), Some(now + s(5)));
    assert_eq!(queue.pop(now + s(4)), None);
    assert_eq!(queue.pop(now + s(5)), Some(Job { key: "a", class: Class::Event, due: now + s(5) }));
    assert_eq!((queue.len(), queue.in_flight()), (1, 1));
}

#[test]
fn a_push_during_the_run_is_not_lost_and_does_not_run_beside_it() {
    let now = Instant::now();
    let mut queue = Queue::new(LIMITS);
    queue.push("a", now, Class::Urgent, now);
    assert!(queue.pop(now).is_some());
    queue.push("a", now, Class::Event, now);
    assert_eq!(queue.pop(now), None);
    queue.finish(&"a", Next::At(now + s(9), Class::Refresh), None, now);
    assert_eq!(queue.pop(now), Some(Job { key: "a", class: Class::Event, due: now }));
    queue.finish(&"a", Next::At(now + s(9), Class::Refresh), None, now);
    assert_eq!(queue.next_wake(now), Some(now + s(9)), "the push counted once");
}

#[test]
fn a_key_removed_during_its_run_stays_removed_unless_pushed_again() {
    let now = Instant::now();
    let mut queue = Queue::new(LIMITS);
    for pushed_again in [false, true] {
        queue.push("a", now, Class::Urgent, now);
        assert!(queue.pop(now).is_some());
        queue.push("a", now, Class::Event, now);
        queue.remove(&"a");
        if pushed_again {
            queue.push("a", now + s(3), Class::Urgent, now);
        }
        queue.finish(&"a", Next::At(now + s(1), Class::Retry), None, now);
        assert_eq!(queue.contains(&"a"), pushed_again);
        assert_eq!(queue.next_wake(now), pushed_again.then_some(now + s(3)));
    }
}

#[test]
fn when_changed_leaves_nothing_behind() {
    let now = Instant::now();
    let mut queue = Queue::new(LIMITS);
    queue.push("a", now, Class::Urgent, now);
    assert!(queue.pop(now).is_some());
    queue.finish(&"a", Next::WhenChanged, Some(1), now);
    assert!(queue.is_empty());
    assert_eq!(queue.next_wake(now), None);
}

#[test]
fn a_vault_that_hangs_holds_only_its_own_permits() {
    let (mut queue, now) = with_lanes(
        limits(4, 2),
        &[
            ("hung1", 1, Class::Urgent),
            ("hung2", 1, Class::Urgent),
            ("hung3", 1, Class::Urgent),
            ("well", 2, Class::Refresh),
        ],
    );
    let now = now + s(1);
    assert_eq!(keys(&mut queue, now), ["hung1", "hung2", "well"]);
    queue.finish(&"well", Next::At(now + s(1), Class::Refresh), Some(2), now);
    assert_eq!(queue.next_wake(now), Some(now + s(1)), "hung3 waits for a permit, not for time");
    assert_eq!(keys(&mut queue, now + s(1)), ["well"]);
    let late = queue.states().filter(|(_, state)| (now + s(100)).saturating_duration_since(state.due()) > s(60));
    assert_eq!(late.count(), 4, "hung ones count, running or not");
}

#[test]
fn a_key_of_unknown_lane_gives_way_when_its_lane_is_full() {
    let now = Instant::now();
    let mut queue = Queue::new(limits(10, 2));
    for key in ["a", "b", "c", "d"] {
        queue.push(key, now, Class::Urgent, now);
    }
    let jobs: Vec<_> = std::iter::from_fn(|| queue.pop(now)).collect();
    assert_eq!(jobs.len(), 4, "no lane is known, so only the total counts");
    let entered: Vec<bool> = jobs.iter().map(|job| queue.enter(&job.key, 7, now)).collect();
    assert_eq!(entered, [true, true, false, false]);
    for job in &jobs[2..] {
        queue.finish(&job.key, Next::At(job.due, job.class), Some(7), now);
    }
    assert_eq!(queue.pop(now), None);
    queue.finish(&"a", Next::WhenChanged, Some(7), now);
    assert_eq!(queue.pop(now), Some(Job { key: "c", class: Class::Urgent, due: now }));
}

/// Gives the runs of lanes 1 to 4 all permits that they can get, and lets them hang.
fn four_vaults_that_hang(known: bool) -> (Queue<u32>, Instant) {
    let now = Instant::now();
    let mut queue = Queue::new(limits(100, 32));
    for key in 0..160 {
        queue.push(key, now, Class::Refresh, now);
    }
    while let Some(job) = queue.pop(now) {
        if known {
            assert!(queue.enter(&job.key, u64::from(job.key % 4), now));
        }
        queue.finish(&job.key, Next::At(now + s(1), Class::Refresh), Some(u64::from(job.key % 4)), now);
    }
    let now = now + s(1);
    while queue.pop(now).is_some() {}
    (queue, now)
}

#[test]
fn vaults_that_have_not_answered_hold_half_of_all_permits() {
    let (mut queue, now) = four_vaults_that_hang(false);
    assert_eq!(queue.in_flight(), 50);
    // A Vault that is new, and one that is known to be quick.
    for round in 0..2 {
        queue.push(1_000, now, Class::Refresh, now);
        let job = queue.pop(now).expect("permits are left");
        assert_eq!((job.key, queue.enter(&job.key, 7, now)), (1_000, true), "round {round}");
        queue.finish(&job.key, Next::WhenChanged, None, now);
    }
}

#[test]
fn vaults_that_stop_to_answer_give_half_of_all_permits_back() {
    let (mut queue, now) = four_vaults_that_hang(true);
    assert_eq!(queue.in_flight(), 100, "all had answered");
    let now = now + s(5);
    for key in 0..160 {
        if queue.must_yield(&key, now) {
            queue.finish(&key, Next::At(now, Class::Refresh), Some(u64::from(key % 4)), now);
        }
    }
    assert_eq!((queue.in_flight(), queue.pop(now)), (50, None));
}

#[test]
fn a_change_does_not_wait_for_the_vault_that_hangs() {
    for class in [Class::Urgent, Class::Event] {
        let (mut queue, now) = with_lanes(
            limits(10, 1),
            &[("hung", 1, Class::Refresh), ("waits", 1, Class::Refresh), ("deleted", 1, Class::Refresh)],
        );
        let now = now + s(1);
        assert_eq!(keys(&mut queue, now), ["hung"]);
        queue.push("waits", now, class, now);
        assert_eq!(keys(&mut queue, now), ["waits"], "its address may be another by now");
        queue.push("hung", now, class, now);
        assert!(!queue.must_yield(&"hung", now + s(4)), "it may well end by itself");
        assert!(queue.must_yield(&"hung", now + s(5)));
        queue.finish(&"hung", Next::At(now, Class::Refresh), Some(1), now + s(5));
        assert!(keys(&mut queue, now + s(5)).contains(&"hung"));
    }
}

#[test]
fn a_run_that_has_something_made_ends_for_others_only() {
    let (mut queue, now) = with_lanes(limits(4, 1), &[("makes", 1, Class::Refresh), ("hung", 2, Class::Refresh)]);
    let now = now + s(1);
    keys(&mut queue, now);
    queue.keep_on(&"makes");
    queue.push("makes", now, Class::Urgent, now);
    assert!(!queue.must_yield(&"makes", now + s(5)), "a change waits");
    queue.finish(&"makes", Next::WhenChanged, Some(1), now + s(5));
    assert_eq!(keys(&mut queue, now + s(5)), ["makes"]);
    queue.push("makes", now, Class::Urgent, now);
    assert!(queue.must_yield(&"makes", now + s(10)), "its next run has made nothing yet");
}

#[test]
fn the_run_of_an_object_that_is_gone_ends_soon() {
    let (mut queue, now) = with_lanes(limits(10, 1), &[("gone", 1, Class::Refresh)]);
    let now = now + s(1);
    assert_eq!(keys(&mut queue, now), ["gone"]);
    queue.remove(&"gone");
    assert!(queue.must_yield(&"gone", now + s(5)));
}

#[test]
fn lanes_take_turns() {
    let mut all = Vec::new();
    for (lane, names) in [["a1", "a2", "a3"], ["b1", "b2", "b3"], ["c1", "c2", "c3"]].into_iter().enumerate() {
        all.extend(names.map(|name| (name, lane as u64, Class::Refresh)));
    }
    let (mut queue, now) = with_lanes(limits(1, 1), &all);
    let mut order = Vec::new();
    while let Some(job) = queue.pop(now + s(1)) {
        queue.finish(&job.key, Next::WhenChanged, None, now + s(1));
        order.push(job.key);
    }
    for round in order.chunks(3) {
        let lanes: std::collections::BTreeSet<_> = round.iter().map(|key| &key[..1]).collect();
        assert_eq!(lanes.len(), 3, "{order:?}");
    }
}

#[test]
fn refresh_is_served_during_a_flood_of_urgent_work() {
    let now = Instant::now();
    let mut queue = Queue::new(limits(1, 1));
    for key in 0..40 {
        queue.push(key, now, Class::Refresh, now);
    }
    for key in 1_000..3_000 {
        queue.push(key, now, Class::Urgent, now);
    }
    let mut refreshed = 0;
    for _ in 0..1_000 {
        let job = queue.pop(now).expect("plenty is due");
        queue.finish(&job.key, Next::WhenChanged, None, now);
        refreshed += u32::from(job.class == Class::Refresh);
    }
    assert!((30..=130).contains(&refreshed), "{refreshed} of 1000");
}

#[test]
fn a_recovered_vault_wakes_its_retries_and_nothing_else() {
    let (mut queue, now) =
        with_lanes(LIMITS, &[("retry", 1, Class::Retry), ("refresh", 1, Class::Refresh), ("other", 2, Class::Retry)]);
    queue.wake_lane(1, now, Duration::from_millis(200), |spread| spread * 7);
    assert_eq!(keys(&mut queue, now + Duration::from_millis(199)), [""; 0]);
    assert_eq!(keys(&mut queue, now + Duration::from_millis(200)), ["retry"], "the spread bounds the jitter");
}

#[test]
fn a_limit_of_zero_does_not_stop_the_world() {
    let now = Instant::now();
    let mut queue = Queue::new(limits(0, 0));
    queue.push("a", now, Class::Urgent, now);
    assert!(queue.pop(now).is_some());
}

#[test]
fn ten_thousand_keys_in_one_pass() {
    let now = Instant::now();
    let mut queue = Queue::new(limits(100, 64));
    for key in 0..10_000_u32 {
        queue.push(key, now + Duration::from_millis(u64::from(key % 1_000)), Class::Refresh, now);
    }
    let (mut clock, mut served) = (now, 0);
    while served < 10_000 {
        clock = queue.next_wake(clock).expect("keys are left");
        while let Some(job) = queue.pop(clock) {
            queue.finish(&job.key, Next::WhenChanged, Some(u64::from(job.key % 3)), clock);
            served += 1;
        }
    }
    assert!(queue.is_empty());
}
