//! Prometheus metrics, in a registry of our own. Names and labels are upstream's and controller-runtime's where they have
//! the like; those that are ours begin with `vso_` too and are marked.

use std::time::Duration;

use prometheus::{
    Encoder as _, Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// Upstream's buckets for requests, in seconds.
const BUCKETS: [f64; 34] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5,
    1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 30.0,
];

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    reconciles: IntCounterVec,
    reconcile_time: HistogramVec,
    vault_reads: IntCounterVec,
    vault_read_time: HistogramVec,
    restarts: IntCounterVec,
    queue_length: IntGauge,
    queue_in_flight: IntGauge,
    queue_overdue: IntGauge,
    objects: IntGaugeVec,
    sessions: IntGauge,
    event_streams: IntGauge,
    leader: Gauge,
}

/// What is looked up when metrics are scraped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot {
    /// Objects waiting or running.
    pub queue_length: usize,
    /// Objects running.
    pub in_flight: usize,
    /// Objects whose due time passed more than a minute ago.
    pub overdue: usize,
    /// VaultStaticSecret objects known.
    pub static_secrets: usize,
    /// Logins in use.
    pub sessions: usize,
    /// Open websockets with events of Vault.
    pub event_streams: usize,
    /// Whether this process leads.
    pub leads: bool,
}

impl Metrics {
    /// Registers everything.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| -> Result<HistogramVec, prometheus::Error> {
            let histogram = HistogramVec::new(HistogramOpts::new(name, help).buckets(BUCKETS.to_vec()), labels)?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let metrics = Self {
            reconciles: counter(
                "controller_runtime_reconcile_total",
                "Reconciles by controller and result.",
                &["controller", "result"],
            )?,
            reconcile_time: histogram(
                "controller_runtime_reconcile_time_seconds",
                "Time of reconciles.",
                &["controller"],
            )?,
            vault_reads: counter(
                "vso_vault_reads_total",
                "Reads of Vault, shared ones included, by how they ended.",
                &["result"],
            )?,
            vault_read_time: histogram("vso_vault_read_time_seconds", "Time of reads, logins included.", &[])?,
            restarts: counter("vso_rollout_restarts_total", "Restarts of workloads by how they ended.", &["result"])?,
            queue_length: gauge("vso_queue_objects", "Objects waiting or running.")?,
            queue_in_flight: gauge("vso_queue_in_flight", "Objects running.")?,
            queue_overdue: gauge("vso_queue_overdue_objects", "Objects whose due time passed more than a minute ago.")?,
            sessions: gauge("vso_vault_sessions", "Logins in use.")?,
            event_streams: gauge("vso_vault_event_streams", "Open websockets with events of Vault.")?,
            objects: IntGaugeVec::new(Opts::new("vso_objects", "Objects known, by kind."), &["kind"])?,
            leader: Gauge::with_opts(
                Opts::new("leader_election_master_status", "1 if this process leads.")
                    .const_label("name", crate::cluster::LEASE_NAME),
            )?,
            registry,
        };
        metrics.registry.register(Box::new(metrics.objects.clone()))?;
        metrics.registry.register(Box::new(metrics.leader.clone()))?;
        let build = IntGaugeVec::new(
            Opts::new("vso_build_info", "Always 1; the labels say what runs."),
            &["git_version", "platform"],
        )?;
        build
            .with_label_values(&[
                env!("CARGO_PKG_VERSION"),
                &format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
            ])
            .set(1);
        metrics.registry.register(Box::new(build))?;
        #[cfg(target_os = "linux")]
        metrics.registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// Counts a run of a controller.
    pub fn reconciled(&self, controller: &str, result: &str, took: Duration) {
        self.reconciles.with_label_values(&[controller, result]).inc();
        self.reconcile_time.with_label_values(&[controller]).observe(took.as_secs_f64());
    }

    /// Counts a read of Vault; `failure` is the kind of its failure.
    pub fn vault_read(&self, failure: Option<&str>, took: Duration) {
        self.vault_reads.with_label_values(&[failure.unwrap_or("success")]).inc();
        self.vault_read_time.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// Counts a restart of a workload, or a failure to restart it.
    pub fn restarted(&self, done: bool) {
        self.restarts.with_label_values(&[if done { "success" } else { "error" }]).inc();
    }

    /// The metrics in Prometheus' text format.
    pub fn render(&self, snapshot: &Snapshot) -> String {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.queue_length.set(count(snapshot.queue_length));
        self.queue_in_flight.set(count(snapshot.in_flight));
        self.queue_overdue.set(count(snapshot.overdue));
        self.sessions.set(count(snapshot.sessions));
        self.event_streams.set(count(snapshot.event_streams));
        self.objects.with_label_values(&["VaultStaticSecret"]).set(count(snapshot.static_secrets));
        self.leader.set(f64::from(u8::from(snapshot.leads)));
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}
