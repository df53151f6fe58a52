//! Prometheus metrics, in a registry of our own. Names and labels are VSO's and controller-runtime's where they have
//! the like; `docs/metrics.md` lists all, and marks those that are ours.

mod certificates;
mod client;
mod controller;
mod external_secrets;
mod register;
mod settings;

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::{
    Encoder as _, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
    process_collector::ProcessCollector,
};

pub use certificates::CertificateMetrics;
pub use client::{ClientMetrics, ConnectionMetrics, Operation, StorageOperation};
pub use controller::{ControllerMetrics, RunResult};
pub use external_secrets::{ExternalSecretMetrics, KUBERNETES, ObjectCondition, ProviderCalls};
use register::Register;

use crate::api::{ConditionStatus, ConditionType, CustomObject, condition};
use crate::settings::{LEASE_NAME, Settings};

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// The metrics of requests to Vault, and of the logins that are kept.
    pub client: ClientMetrics,
    /// The metrics of the controllers and their queue.
    pub controllers: ControllerMetrics,
    /// The metrics of certificates.
    pub certificates: CertificateMetrics,
    /// The metrics of the kinds of `external-secrets.io`, where they are served.
    pub external_secrets: Option<ExternalSecretMetrics>,
    vault_reads: IntCounterVec,
    vault_read_time: HistogramVec,
    restarts: IntCounterVec,
    kubernetes_requests: IntCounterVec,
    resource_status: IntGaugeVec,
    objects: IntGaugeVec,
    not_synced: IntGaugeVec,
    expiry: IntGaugeVec,
    renewal_deadline: IntGaugeVec,
    servers: IntGaugeVec,
    sessions: IntGauge,
    event_streams: IntGauge,
    missing_watches: IntGaugeVec,
    leader: IntGauge,
}

/// What is looked up when metrics are scraped.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// One for each controller.
    pub controllers: Vec<ControllerSnapshot>,
    /// Objects that are valid or not, as their status says.
    pub resources: Vec<ResourceStatus>,
    /// Conditions of the objects of `external-secrets.io`.
    pub conditions: Vec<ObjectCondition>,
    /// Reason of the condition `SecretSynced` of objects where it is false, and how many of them.
    pub not_synced: Vec<(String, usize)>,
    /// Leases and certificates.
    pub expiries: Vec<Expiry>,
    /// The servers that connections lead to.
    pub servers: Vec<ServerInfo>,
    /// Logins in use.
    pub sessions: usize,
    /// Open websockets with events of Vault.
    pub event_streams: usize,
    /// How many watches of each watched namespace have nothing to list. The name is empty for the whole cluster.
    pub missing_watches: BTreeMap<String, usize>,
    /// Whether this process leads.
    pub leads: bool,
}

/// One controller at one moment.
#[derive(Clone, Debug, Default)]
pub struct ControllerSnapshot {
    /// Its name, the kind in lower case.
    pub controller: &'static str,
    /// Objects known.
    pub objects: usize,
    /// Objects that are due and wait.
    pub depth: usize,
    /// Objects that are worked on.
    pub active: usize,
    /// Objects that were due more than a minute ago, and have not been worked on to the end since.
    pub overdue: usize,
    /// How long all runs under way have taken so far, together.
    pub unfinished: Duration,
    /// How long the longest run under way has taken so far.
    pub longest: Duration,
}

/// When the content of a Secret ends.
#[derive(Clone, Debug)]
pub struct Expiry {
    /// Controller of the kind of the object that fills it.
    pub controller: &'static str,
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// When the content ends, in seconds since 1970.
    pub ends: i64,
    /// When it has to be renewed or replaced at the latest, in seconds since 1970.
    pub renew_by: i64,
}

/// Whether an object is valid.
#[derive(Clone, Debug)]
pub struct ResourceStatus {
    /// Controller of its kind.
    pub controller: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What its status says.
    pub valid: bool,
}

/// The server that a VaultConnection leads to.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The VaultConnection, `namespace/name`.
    pub vault_connection: String,
    /// Name of the program.
    pub product: &'static str,
    /// Its version.
    pub version: String,
}

impl ResourceStatus {
    /// The validity of an object. `None` if its status does not say whether it is valid.
    pub fn of<K: CustomObject>(object: &K, valid: Option<bool>) -> Option<Self> {
        let meta = object.meta();
        Some(Self {
            controller: K::KIND.controller(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            valid: valid?,
        })
    }

    /// The validity of an object, as its condition `Ready` says. `None` if it has none yet.
    pub fn of_ready<K: CustomObject>(object: &K) -> Option<Self> {
        let ready = condition::find(object.conditions(), ConditionType::Ready)?;
        Self::of(object, Some(ready.status != ConditionStatus::False))
    }
}

impl Metrics {
    /// Registers everything. What the settings say is shown as labels.
    ///
    /// # Errors
    /// If two metrics have the same name, which is a mistake in this program.
    pub fn new(settings: &Settings) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let register = Register(&registry);
        settings::register(&register, settings)?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let metrics = Self {
            client: ClientMetrics::new(&register)?,
            controllers: ControllerMetrics::new(&register, settings.max_concurrent_reconciles)?,
            certificates: CertificateMetrics::new(&register)?,
            external_secrets: settings.external_secrets.then(|| ExternalSecretMetrics::new(&register)).transpose()?,
            vault_reads: register.counters(
                "vso_vault_reads_total",
                "Reads of Vault, shared ones included, by how they ended.",
                &["result"],
            )?,
            vault_read_time: register.histograms(
                "vso_vault_read_time_seconds",
                "Time of reads, logins included.",
                &[],
            )?,
            restarts: register.counters(
                "vso_rollout_restarts_total",
                "Restarts of workloads by how they ended.",
                &["result"],
            )?,
            kubernetes_requests: register.counters(
                "rest_client_requests_total",
                "Requests to the API server, by status code, method, and host.",
                &["code", "method", "host"],
            )?,
            resource_status: register.gauges(
                "controller_resource_status",
                "Whether an object is valid.",
                &["controller", "name", "namespace"],
            )?,
            objects: register.gauges("vso_objects", "Objects known, by controller.", &["controller"])?,
            not_synced: register.gauges(
                "vso_objects_not_synced",
                "Objects whose condition SecretSynced is false, by its reason.",
                &["reason"],
            )?,
            expiry: register.gauges(
                "vso_secret_expiry_timestamp_seconds",
                "When the lease or certificate in the Secret of an object ends, since 1970.",
                &["controller", "name", "namespace"],
            )?,
            renewal_deadline: register.gauges(
                "vso_secret_renewal_deadline_timestamp_seconds",
                "When the lease or certificate in the Secret of an object has to be renewed or replaced, since 1970.",
                &["controller", "name", "namespace"],
            )?,
            servers: register.gauges(
                "vso_vault_server_info",
                "Always 1; the labels say which server a VaultConnection leads to.",
                &["vault_connection", "product", "version"],
            )?,
            sessions: register.gauge("vso_vault_sessions", "Logins in use.")?,
            event_streams: register.gauge("vso_vault_event_streams", "Open websockets with events of Vault.")?,
            missing_watches: register.gauges(
                "vso_watches_missing",
                "Kinds that cannot be listed in a watched namespace, since the namespace, the definition or the right is missing.",
                &["watched_namespace"],
            )?,
            leader: register.labelled_gauge(
                "leader_election_master_status",
                "Whether this process leads.",
                ("name", LEASE_NAME),
            )?,
            registry: registry.clone(),
        };
        for result in ["success", "error"] {
            metrics.restarts.with_label_values(&[result]);
        }
        Ok(metrics)
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

    /// Counts a request to the API server. `code` is the status, or `<error>` where there was no answer.
    pub fn kubernetes_request(&self, code: &str, method: &str, host: &str) {
        self.kubernetes_requests.with_label_values(&[code, method, host]).inc();
    }

    /// The metrics in Prometheus' text format.
    pub fn render(&self, snapshot: &Snapshot) -> String {
        self.controllers.set(&snapshot.controllers);
        for controller in &snapshot.controllers {
            self.objects.with_label_values(&[controller.controller]).set(count(controller.objects));
        }
        self.resource_status.reset();
        for ResourceStatus { controller, namespace, name, valid } in &snapshot.resources {
            self.resource_status.with_label_values(&[controller, name.as_str(), namespace]).set((*valid).into());
        }
        if let Some(external_secrets) = &self.external_secrets {
            external_secrets.set(&snapshot.conditions);
        }
        self.not_synced.reset();
        for (reason, objects) in &snapshot.not_synced {
            self.not_synced.with_label_values(&[reason]).set(count(*objects));
        }
        self.expiry.reset();
        self.renewal_deadline.reset();
        for Expiry { controller, namespace, name, ends, renew_by } in &snapshot.expiries {
            let labels = [controller, name.as_str(), namespace];
            self.expiry.with_label_values(&labels).set(*ends);
            self.renewal_deadline.with_label_values(&labels).set(*renew_by);
        }
        self.servers.reset();
        for ServerInfo { vault_connection, product, version } in &snapshot.servers {
            self.servers.with_label_values(&[vault_connection.as_str(), product, version]).set(1);
        }
        self.sessions.set(count(snapshot.sessions));
        self.event_streams.set(count(snapshot.event_streams));
        for (namespace, watches) in &snapshot.missing_watches {
            self.missing_watches.with_label_values(&[namespace]).set(count(*watches));
        }
        self.leader.set(snapshot.leads.into());
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
