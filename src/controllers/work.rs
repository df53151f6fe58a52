//! The queue of what is due, shared by those that put objects into it and the engine that takes them out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::api::Key;
use crate::workqueue::{Class, Job, Lane, Limits, Next, Queue};

/// One Vault server gets a third of the workers at most, so that one that hangs leaves the others theirs.
fn per_lane(total: usize) -> usize {
    (total / 3).clamp(1, 32)
}

/// The objects that are due, or will be.
pub(crate) struct Work {
    queue: Mutex<Queue<Key>>,
    wake: Notify,
    listed: AtomicBool,
}

impl Work {
    /// Nothing is due. At most `total` objects are worked on at the same time; a run of more than `slow_after` is slow.
    pub fn new(total: usize, slow_after: Duration) -> Self {
        let total = total.max(1);
        let queue = Queue::new(Limits { total, per_lane: per_lane(total), slow_after });
        Self { queue: Mutex::new(queue), wake: Notify::new(), listed: AtomicBool::new(false) }
    }

    /// Makes an object due at `due`.
    pub fn push(&self, key: Key, due: Instant, class: Class) {
        self.lock().push(key, due, class, Instant::now());
        self.wake.notify_one();
    }

    /// Makes an object due now.
    pub fn push_now(&self, key: Key, class: Class) {
        self.push(key, Instant::now(), class);
    }

    /// Forgets an object.
    pub fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// The object to work on next, if one is due and has a permit.
    pub fn pop(&self) -> Option<Job<Key>> {
        self.lock().pop(Instant::now())
    }

    /// When the next object is due by the time alone.
    pub fn next_wake(&self) -> Option<Instant> {
        self.lock().next_wake(Instant::now())
    }

    /// Puts an object that is worked on into the lane of its Vault. False if that lane has no permit left.
    pub fn enter(&self, key: &Key, lane: Lane) -> bool {
        self.lock().enter(key, lane, Instant::now())
    }

    /// Whether a run that takes long should end now, to go on later. To be asked again and again.
    pub fn must_yield(&self, key: &Key) -> bool {
        self.lock().must_yield(key, Instant::now())
    }

    /// The run of the object has something made for it, such as credentials: they would be lost if it ended before it has
    /// recorded them. A change of the object waits for it.
    pub fn keep_on(&self, key: &Key) {
        self.lock().keep_on(key);
    }

    /// Ends the work on an object.
    pub fn finish(&self, key: &Key, next: Next, lane: Option<Lane>) {
        self.lock().finish(key, next, lane, Instant::now());
        self.wake.notify_one();
    }

    /// Brings the retries of a lane forward to within `spread`: its Vault answers again.
    pub fn wake_lane(&self, lane: Lane, spread: Duration) {
        let jitter = |spread: Duration| spread.mul_f64(rand::random::<f64>());
        self.lock().wake_lane(lane, Instant::now(), spread, jitter);
        self.wake.notify_one();
    }

    /// Waits until something was pushed or finished.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    /// All objects are listed. Before that every one of them is due anyway.
    pub fn set_listed(&self) {
        self.listed.store(true, Ordering::Relaxed);
    }

    /// Whether all objects are listed.
    pub fn is_listed(&self) -> bool {
        self.listed.load(Ordering::Relaxed)
    }

    /// The queue, for what metrics show of it.
    pub fn lock(&self) -> MutexGuard<'_, Queue<Key>> {
        self.queue.lock()
    }
}
