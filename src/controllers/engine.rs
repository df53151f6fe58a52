//! Takes what is due from the queue and runs its controller, each run in a task of its own.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::controller::Controller;
use super::outcome::Outcome;
use super::work::Work;
use crate::api::Key;
use crate::kubernetes::Leadership;
use crate::telemetry::{Metrics, RunResult};
use crate::workqueue::{Job, Next};

/// A run that takes longer is slow: its Vault hangs, or nearly so.
pub(super) const SLOW_RUN: Duration = Duration::from_secs(5);
/// Runs under way at the end get this long to finish. One that is cut off loses nothing, and another replica waits for
/// the Lease meanwhile.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Timer-driven runs are batched for up to this long: runs in one go share what waking up costs, which halves the CPU
/// of a refresh. Changes do not wait.
const BATCH_SLACK: Duration = Duration::from_millis(50);

/// Runs controllers.
pub(crate) struct Engine {
    pub work: Arc<Work>,
    pub controllers: Vec<Arc<dyn Controller>>,
    pub metrics: Arc<Metrics>,
    /// No run takes longer.
    pub longest_run: Duration,
    /// A run that takes longer may have to give way.
    pub slow_run: Duration,
}

impl Engine {
    /// Runs until `stop`, whenever this process leads; returns when the runs under way have ended.
    pub async fn run(self: Arc<Self>, mut leads: Leadership, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let (mut led, mut has_led) = (false, false);
        loop {
            let leading = *leads.borrow_and_update();
            if leading && !led && has_led {
                self.controllers.iter().for_each(|controller| controller.resumed());
            }
            (led, has_led) = (leading, has_led || leading);
            while *leads.borrow_and_update() {
                let Some(job) = self.work.pop() else { break };
                tasks.spawn(self.clone().run_one(job, leads.clone()));
            }
            let wake_at = self.work.next_wake();
            let leading = *leads.borrow();
            let sleep = async {
                match wake_at {
                    Some(at) if leading => tokio::time::sleep_until((at + BATCH_SLACK).into()).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep => {}
                () = self.work.changed() => {}
                Ok(()) = leads.changed() => {}
            }
        }
        tasks.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
            tracing::warn!(runs = tasks.len(), "some runs did not end in time");
        }
    }

    async fn run_one(self: Arc<Self>, job: Job<Key>, mut leads: Leadership) {
        let Job { key, due, class } = &job;
        let kind = key.kind;
        let started = Instant::now();
        self.metrics.controllers.started(kind.controller(), started.saturating_duration_since(*due));
        let Some(controller) = self.controllers.iter().find(|controller| controller.kind() == kind) else {
            return self.work.finish(key, Next::WhenChanged, None);
        };
        let span = tracing::info_span!("reconcile", kind = kind.as_str(), object = %key.id);
        let reconcile = async {
            match tokio::time::timeout(self.longest_run, controller.reconcile(&job)).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    tracing::error!("the run took too long and was ended");
                    controller.timed_out(&job).await
                }
            }
        };
        // A panic in one object is that object's failure and no other's. What it leaves behind is only what is
        // remembered of that object, which the next run does without.
        let run = AssertUnwindSafe(reconcile.instrument(span)).catch_unwind();
        let outcome = tokio::select! {
            ended = run => ended.unwrap_or_else(|_| {
                tracing::error!(object = %key, "the run panicked; trying again in a minute");
                Outcome::panicked()
            }),
            // What a run that takes long depends on may have changed, or others need its permit.
            () = self.must_yield(key) => Outcome::yielded(Next::At(*due, *class), None),
            // Another process may lead from now on. A run can be cut short anywhere: what it did not do, the next one
            // finds.
            _ = leads.wait_for(|leads| !leads) => Outcome::yielded(Next::At(*due, *class), None),
        };
        let took = started.elapsed();
        self.metrics.controllers.ended(kind.controller(), outcome.result, took);
        if let Some(metrics) = &self.metrics.external_secrets {
            metrics.ended(key, matches!(outcome.result, RunResult::Error | RunResult::Panic), took);
        }
        self.work.finish(key, outcome.next, outcome.lane);
    }

    async fn must_yield(&self, key: &Key) {
        loop {
            tokio::time::sleep(self.slow_run).await;
            if self.work.must_yield(key) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::sync::watch;

    use super::super::controller::Watches;
    use super::*;
    use crate::api::{Kind, ObjectRef, VaultConnection};
    use crate::settings::Settings;
    use crate::workqueue::{Class, KeyState};

    const SLOW: Duration = Duration::from_millis(50);

    /// Runs hang until the object is told to be repaired.
    #[derive(Default)]
    struct Hanging {
        repaired: Mutex<bool>,
        events: Mutex<Vec<&'static str>>,
    }

    #[async_trait::async_trait]
    impl Controller for Hanging {
        fn kind(&self) -> Kind {
            <VaultConnection as crate::api::CustomObject>::KIND
        }

        fn watch(self: Arc<Self>, _watches: &mut Watches<'_>) {}

        async fn reconcile(&self, _job: &Job<Key>) -> Outcome {
            let repaired = *self.repaired.lock();
            self.events.lock().push(if repaired { "works" } else { "hangs" });
            if !repaired {
                std::future::pending::<()>().await;
            }
            Outcome::await_change()
        }

        async fn timed_out(&self, _job: &Job<Key>) -> Outcome {
            self.events.lock().push("timed out");
            Outcome::retry_later()
        }

        fn objects(&self) -> usize {
            1
        }
    }

    fn key() -> Key {
        Key { kind: <VaultConnection as crate::api::CustomObject>::KIND, id: ObjectRef::new("ns", "c") }
    }

    /// Runs the engine until the controller has seen so much.
    async fn run(controller: &Arc<Hanging>, work: &Arc<Work>, longest_run: Duration, events: &[&str]) {
        let metrics = Arc::new(Metrics::new(&Settings::default()).unwrap());
        let controllers: Vec<Arc<dyn Controller>> = vec![controller.clone()];
        let engine = Arc::new(Engine { work: work.clone(), controllers, metrics, longest_run, slow_run: SLOW });
        let (_leads, leadership) = watch::channel(true);
        let stop = CancellationToken::new();
        let seen = async {
            while *controller.events.lock() != events {
                tokio::time::sleep(SLOW).await;
            }
            stop.cancel();
        };
        let ended = futures_util::future::join(engine.run(leadership, stop.clone()), seen);
        tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the engine comes to it");
    }

    #[tokio::test]
    async fn a_run_that_hangs_is_told_of_and_tried_again() {
        let (controller, work) = (Arc::new(Hanging::default()), Arc::new(Work::new(4, SLOW)));
        work.push_now(key(), Class::Refresh);
        run(&controller, &work, 4 * SLOW, &["hangs", "timed out"]).await;
        let states: Vec<_> = work.lock().states().map(|(_, state)| state).collect();
        assert!(matches!(states[..], [KeyState::Waiting { due }] if due > Instant::now()), "{states:?}");
    }

    #[tokio::test]
    async fn a_change_does_not_wait_for_the_run_that_hangs() {
        let (controller, work) = (Arc::new(Hanging::default()), Arc::new(Work::new(1, SLOW)));
        work.push_now(key(), Class::Refresh);
        let repair = async {
            while controller.events.lock().is_empty() {
                tokio::time::sleep(SLOW).await;
            }
            *controller.repaired.lock() = true;
            work.push_now(key(), Class::Urgent);
        };
        let longest_run = Duration::from_secs(3600);
        futures_util::future::join(repair, run(&controller, &work, longest_run, &["hangs", "works"])).await;
    }
}
