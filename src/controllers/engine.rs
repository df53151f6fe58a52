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
use crate::telemetry::Metrics;
use crate::workqueue::{Class, Job, Next};

/// No run takes longer: each of its requests has a limit of its own, this one is for what no such limit covers.
const LONGEST_RUN: Duration = Duration::from_secs(180);
/// Runs under way at the end get this long to finish. One that is cut off loses nothing, and another replica waits for the
/// Lease meanwhile.
const DRAIN: Duration = Duration::from_secs(5);
/// Timer-driven runs are batched for up to this long: runs in one go share what waking up costs, which halves the CPU of a
/// refresh. Changes do not wait.
const SLACK: Duration = Duration::from_millis(50);
/// After a run that panicked or hung.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// Runs controllers.
pub(crate) struct Engine {
    pub work: Arc<Work>,
    pub controllers: Vec<Arc<dyn Controller>>,
    pub metrics: Arc<Metrics>,
}

impl Engine {
    /// Runs until `stop`, whenever this process leads; returns when the runs under way have ended.
    pub async fn run(self: Arc<Self>, mut leads: Leadership, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        loop {
            while *leads.borrow_and_update() {
                let Some(job) = self.work.pop() else { break };
                tasks.spawn(self.clone().run_one(job, leads.clone()));
            }
            let wake_at = self.work.next_wake();
            let leading = *leads.borrow();
            let sleep = async {
                match wake_at {
                    Some(at) if leading => tokio::time::sleep_until((at + SLACK).into()).await,
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
        if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
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
        let reconcile = controller.reconcile(&job).instrument(span);
        // A panic in one object is that object's failure and no other's. What it leaves behind is only what is remembered of
        // that object, which the next run does without.
        let run = AssertUnwindSafe(tokio::time::timeout(LONGEST_RUN, reconcile)).catch_unwind();
        let outcome = tokio::select! {
            ended = run => match ended {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) | Err(_) => {
                    tracing::error!(object = %key, "the run panicked or hung; trying again in a minute");
                    Outcome::panicked(Next::At(Instant::now() + AFTER_PANIC, Class::Retry))
                }
            },
            // Another process may lead from now on. A run can be cut short anywhere: what it did not do, the next one finds.
            _ = leads.wait_for(|leads| !leads) => Outcome::yielded(Next::At(*due, *class), None),
        };
        self.metrics.controllers.ended(kind.controller(), outcome.result, started.elapsed());
        self.work.finish(key, outcome.next, outcome.lane);
    }
}
