//! What controller-runtime shows of controllers and client-go of their queues: dashboards are made of it.

use std::time::Duration;

use prometheus::{Error, GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use super::register::Register;
use super::{ControllerSnapshot, count};

/// How a run ended, as controller-runtime tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunResult {
    /// Done, and nothing to do until something changes.
    Success,
    /// Done, and due again at a time.
    RequeueAfter,
    /// Not done, since something that is watched has to change first.
    Requeue,
    /// Failed, tried again after a back-off.
    Error,
    /// The same, through a mistake in this program.
    Panic,
}

impl RunResult {
    fn as_str(self) -> &'static str {
        match self {
            RunResult::Success => "success",
            RunResult::RequeueAfter => "requeue_after",
            RunResult::Requeue => "requeue",
            RunResult::Error | RunResult::Panic => "error",
        }
    }
}

/// The metrics of all controllers.
pub struct ControllerMetrics {
    runs: IntCounterVec,
    errors: IntCounterVec,
    panics: IntCounterVec,
    time: HistogramVec,
    active: IntGaugeVec,
    limit: IntGaugeVec,
    depth: IntGaugeVec,
    adds: IntCounterVec,
    retries: IntCounterVec,
    waited: HistogramVec,
    work: HistogramVec,
    unfinished: GaugeVec,
    longest: GaugeVec,
    overdue: IntGaugeVec,
    max_concurrent: usize,
}

impl ControllerMetrics {
    pub(super) fn new(register: &Register<'_>, max_concurrent: usize) -> Result<Self, Error> {
        const CONTROLLER: &[&str] = &["controller"];
        const QUEUE: &[&str] = &["name", "controller"];
        Ok(Self {
            runs: register.counters(
                "controller_runtime_reconcile_total",
                "Reconciles by controller and result.",
                &["controller", "result"],
            )?,
            errors: register.counters(
                "controller_runtime_reconcile_errors_total",
                "Reconciles that failed.",
                CONTROLLER,
            )?,
            panics: register.counters(
                "controller_runtime_reconcile_panics_total",
                "Reconciles that panicked or hung.",
                CONTROLLER,
            )?,
            time: register.histograms(
                "controller_runtime_reconcile_time_seconds",
                "Time of reconciles.",
                CONTROLLER,
            )?,
            active: register.gauges("controller_runtime_active_workers", "Reconciles under way.", CONTROLLER)?,
            limit: register.gauges(
                "controller_runtime_max_concurrent_reconciles",
                "How many reconciles may be under way, of all controllers together.",
                CONTROLLER,
            )?,
            depth: register.gauges("workqueue_depth", "Objects that are due and wait.", QUEUE)?,
            adds: register.counters("workqueue_adds_total", "Objects that became due and had their turn.", QUEUE)?,
            retries: register.counters("workqueue_retries_total", "Reconciles that are to be tried again.", QUEUE)?,
            waited: register.histograms(
                "workqueue_queue_duration_seconds",
                "From the time at which an object was due until its turn.",
                QUEUE,
            )?,
            work: register.histograms("workqueue_work_duration_seconds", "Time of reconciles.", QUEUE)?,
            unfinished: register.float_gauges(
                "workqueue_unfinished_work_seconds",
                "For how long the reconciles under way have been, all together.",
                QUEUE,
            )?,
            longest: register.float_gauges(
                "workqueue_longest_running_processor_seconds",
                "For how long the longest reconcile under way has been.",
                QUEUE,
            )?,
            overdue: register.gauges(
                "vso_queue_overdue_objects",
                "Objects whose time came more than a minute ago.",
                CONTROLLER,
            )?,
            max_concurrent,
        })
    }

    /// An object has its turn, so long after it was due.
    pub fn started(&self, controller: &str, waited: Duration) {
        self.adds.with_label_values(&[controller, controller]).inc();
        self.waited.with_label_values(&[controller, controller]).observe(waited.as_secs_f64());
    }

    /// A run has ended.
    pub fn ended(&self, controller: &str, result: RunResult, took: Duration) {
        self.runs.with_label_values(&[controller, result.as_str()]).inc();
        self.time.with_label_values(&[controller]).observe(took.as_secs_f64());
        self.work.with_label_values(&[controller, controller]).observe(took.as_secs_f64());
        if matches!(result, RunResult::Error | RunResult::Panic) {
            self.errors.with_label_values(&[controller]).inc();
            self.retries.with_label_values(&[controller, controller]).inc();
        }
        if result == RunResult::Panic {
            self.panics.with_label_values(&[controller]).inc();
        }
    }

    /// Shows how the controllers are now.
    pub(super) fn set(&self, now: &[ControllerSnapshot]) {
        for ControllerSnapshot { controller, depth, active, overdue, unfinished, longest, .. } in now {
            let (own, queue) = (&[*controller][..], &[*controller, *controller][..]);
            self.active.with_label_values(own).set(count(*active));
            self.limit.with_label_values(own).set(count(self.max_concurrent));
            self.overdue.with_label_values(own).set(count(*overdue));
            self.depth.with_label_values(queue).set(count(*depth));
            self.unfinished.with_label_values(queue).set(unfinished.as_secs_f64());
            self.longest.with_label_values(queue).set(longest.as_secs_f64());
            // So that a rate over them is zero and not missing before the first.
            self.errors.with_label_values(own);
            self.panics.with_label_values(own);
            self.retries.with_label_values(queue);
        }
    }
}
