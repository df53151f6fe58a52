//! Takes what is due from the queue and runs its controller, each run in a task of its own.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::context::News;
use super::triggers::RECOVERY_SPREAD;
use super::{
    Context, Key, Kind, client_cache, instant_updates, not_served, secret_transformation, static_secret, vault_auth,
    vault_connection,
};
use crate::cluster::Leadership;
use crate::schedule::{Class, Job, Next};
use crate::telemetry::RunResult;
use crate::vault::ServerId;

/// What a run says of the next one.
pub(super) struct Verdict {
    pub next: Next,
    /// The Vault server that the object depends on.
    pub lane: Option<ServerId>,
    /// For metrics.
    pub result: RunResult,
}

impl Verdict {
    /// All is as it should be.
    pub fn done(next: Next, lane: Option<ServerId>) -> Self {
        let result = if let Next::At(..) = next { RunResult::RequeueAfter } else { RunResult::Success };
        Self { next, lane, result }
    }

    /// Nothing that is watched is the matter: it is tried again.
    pub fn failed(next: Next, lane: Option<ServerId>) -> Self {
        Self { next, lane, result: RunResult::Error }
    }

    /// Something that is watched has to change first.
    pub fn denied(next: Next, lane: Option<ServerId>) -> Self {
        Self { next, lane, result: RunResult::Requeue }
    }

    /// The object is gone, or there is nothing to do until it changes.
    pub fn settled() -> Self {
        Self::done(Next::WhenChanged, None)
    }
}

/// No run takes longer: each of its requests has a limit of its own, this one is for what nobody thought of.
const LONGEST_RUN: Duration = Duration::from_secs(180);
/// Runs under way at the end get this long to finish. One that is cut off loses nothing, and another replica waits for the
/// Lease meanwhile.
const DRAIN: Duration = Duration::from_secs(5);
/// What becomes due by the time alone is begun up to this much later, together with what else is due by then: runs in one
/// go share what waking up costs. Changes do not wait.
const SLACK: Duration = Duration::from_millis(50);
/// After a run that panicked or hung.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// Runs until `stop`, whenever this process leads; returns when the runs under way have ended.
pub async fn run(context: Arc<Context>, mut news: News, mut leads: Leadership, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    tokio::spawn(client_cache::maintain(context.clone(), leads.clone(), stop.clone()));
    context.running.store(true, Ordering::Relaxed);
    let mut led = false;
    loop {
        let leading = *leads.borrow();
        if leading != led {
            led = leading;
            instant_updates::leadership(&context, leading);
        }
        while *leads.borrow_and_update() {
            let now = Instant::now();
            let Some(job) = context.lock_queue().pop(now) else { break };
            tasks.spawn(run_one(context.clone(), job, leads.clone()));
        }
        let wake_at = context.lock_queue().next_wake(Instant::now());
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
            () = context.wake.notified() => {}
            Ok(()) = leads.changed() => {}
            Some(server) = news.servers.recv() => server_changed(&context, server),
            Some(signal) = news.writes.recv() => instant_updates::signalled(&context, &signal),
        }
    }
    context.instant_updates.lead(false);
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!(runs = tasks.len(), "some runs did not end in time");
    }
}

async fn run_one(context: Arc<Context>, job: Job<Key>, mut leads: Leadership) {
    let (key, due, class) = (job.key.clone(), job.due, job.class);
    let started = Instant::now();
    context.metrics.controllers.started(key.kind.as_str(), started.saturating_duration_since(due));
    let reconcile = async {
        match key.kind {
            Kind::StaticSecret => static_secret::reconcile(&context, &job).await,
            Kind::Transformation => secret_transformation::reconcile(&context, &key.id).await,
            Kind::Auth => vault_auth::reconcile(&context, &key.id).await,
            Kind::Connection => vault_connection::reconcile(&context, &key.id).await,
            Kind::DynamicSecret | Kind::PkiSecret | Kind::CsiSecrets => not_served::reconcile(&context, &key).await,
        }
    };
    // A panic in one object is that object's failure and nobody else's. What it leaves behind is only what is remembered
    // of that object, which the next run does without.
    let run = AssertUnwindSafe(tokio::time::timeout(LONGEST_RUN, reconcile)).catch_unwind();
    let verdict = tokio::select! {
        ended = run => match ended {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) | Err(_) => {
                tracing::error!(object = %key, "the run panicked or hung; trying again in a minute");
                Verdict { next: Next::At(Instant::now() + AFTER_PANIC, Class::Retry), lane: None, result: RunResult::Panic }
            }
        },
        // Another process may lead from now on. A run can be cut short anywhere: what it did not do, the next one finds.
        _ = leads.wait_for(|leads| !leads) => Verdict::denied(Next::At(due, class), None),
    };
    context.metrics.controllers.ended(key.kind.as_str(), verdict.result, started.elapsed());
    context.lock_queue().finish(&key, verdict.next, verdict.lane, Instant::now());
    context.wake.notify_one();
}

/// A server went down or came back: its connections show it, and what waited for it is tried again.
fn server_changed(context: &Context, server: ServerId) {
    let now = Instant::now();
    for id in context.servers.connections_of(server) {
        context.push(Kind::Connection, id, now, Class::Event);
    }
    let up = !context.servers.is_down(server);
    if up {
        context.instant_updates.server_works(server);
        context.lock_queue().wake_lane(server, now, RECOVERY_SPREAD, |spread| spread.mul_f64(rand::random::<f64>()));
        context.wake.notify_one();
    }
}
