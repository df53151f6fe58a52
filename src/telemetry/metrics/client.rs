//! What VSO shows of its Vault clients. A client there is a session here.

use std::time::Duration;

use prometheus::{Error, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::external_secrets::{ProviderCalls, VAULT};
use super::register::Register;

/// What is asked of Vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A login.
    Login,
    /// A renewal of a token.
    Renew,
    /// A `GET`.
    Read,
    /// Any other request.
    Write,
}

impl Operation {
    const ALL: [Operation; 4] = [Operation::Login, Operation::Renew, Operation::Read, Operation::Write];

    fn as_str(self) -> &'static str {
        match self {
            Operation::Login => "login",
            Operation::Renew => "renew",
            Operation::Read => "read",
            Operation::Write => "write",
        }
    }
}

/// What is asked of the Secrets that tokens are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageOperation {
    /// A token is stored.
    Store,
    /// A token is taken from there.
    Restore,
    /// Those of an object are deleted.
    Prune,
    /// One is deleted.
    Delete,
    /// All are deleted.
    Purge,
}

impl StorageOperation {
    const ALL: [StorageOperation; 5] = [
        StorageOperation::Store,
        StorageOperation::Restore,
        StorageOperation::Prune,
        StorageOperation::Delete,
        StorageOperation::Purge,
    ];

    fn as_str(self) -> &'static str {
        match self {
            StorageOperation::Store => "store",
            StorageOperation::Restore => "restore",
            StorageOperation::Prune => "prune",
            StorageOperation::Delete => "delete",
            StorageOperation::Purge => "purge",
        }
    }
}

/// The metrics of all connections and logins.
pub struct ClientMetrics {
    operations: IntCounterVec,
    operation_errors: IntCounterVec,
    operation_time: HistogramVec,
    factory_requests: IntCounterVec,
    factory_errors: IntCounterVec,
    factory_time: HistogramVec,
    /// How many sessions may have a token at the same time.
    pub cache_size: IntGauge,
    /// How many have one.
    pub cache_length: IntGauge,
    /// A session was there with a good token.
    pub cache_hits: IntCounter,
    /// A session had to be made, or had no good token.
    pub cache_misses: IntCounter,
    /// Tokens that were given up for others.
    pub cache_evictions: IntGauge,
    /// Stored tokens.
    pub storage_length: IntGauge,
    storage_config: IntGaugeVec,
    storage_requests: IntCounterVec,
    storage_request_errors: IntCounterVec,
    storage_operations: IntCounterVec,
    storage_operation_errors: IntCounterVec,
}

/// The metrics of one connection. They are handles, so that nothing is looked up for a request.
pub struct ConnectionMetrics {
    operations: [OneOperation; 4],
    /// The calls of a provider, if the connection is that of a store.
    pub provider_calls: Option<ProviderCalls>,
}

struct OneOperation {
    total: IntCounter,
    errors: IntCounter,
    time: Histogram,
}

impl ClientMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, Error> {
        const OPERATION: &[&str] = &["operation"];
        const CONNECTION: &[&str] = &["operation", "vault_connection"];
        let metrics = Self {
            operations: register.counters(
                "vso_client_operations_total",
                "Requests to Vault, by operation and VaultConnection.",
                CONNECTION,
            )?,
            operation_errors: register.counters(
                "vso_client_operations_errors_total",
                "Requests to Vault that failed, by operation and VaultConnection.",
                CONNECTION,
            )?,
            operation_time: register.histograms(
                "vso_client_operations_time_seconds",
                "Time of requests to Vault, by operation and VaultConnection.",
                CONNECTION,
            )?,
            factory_requests: register.counters(
                "vso_client_factory_requests_total",
                "Requests for a token, by what was done.",
                OPERATION,
            )?,
            factory_errors: register.counters(
                "vso_client_factory_requests_errors_total",
                "Requests for a token that failed, by what was done.",
                OPERATION,
            )?,
            factory_time: register.histograms(
                "vso_client_factory_operations_time_seconds",
                "Time until there was a token, by what was done.",
                &["component", "operation"],
            )?,
            cache_size: register.gauge("vso_client_cache_size", "How many sessions may have a token.")?,
            cache_length: register.gauge("vso_client_cache_length", "How many sessions have a token.")?,
            cache_hits: register.counter("vso_client_cache_hits", "Requests that found a good token.")?,
            cache_misses: register.counter("vso_client_cache_misses", "Requests that found no good token.")?,
            cache_evictions: register.gauge("vso_client_cache_evictions", "Tokens given up for others.")?,
            storage_length: register.gauge("vso_client_cache_storage_length", "Stored tokens.")?,
            storage_config: register.gauges(
                "vso_client_cache_storage_config",
                "Always 1; the label says whether stored tokens have to be encrypted.",
                &["enforce_encryption"],
            )?,
            storage_requests: register.counters(
                "vso_client_cache_storage_requests_total",
                "Requests to the storage of tokens.",
                OPERATION,
            )?,
            storage_request_errors: register.counters(
                "vso_client_cache_storage_requests_errors_total",
                "Requests to the storage of tokens that failed.",
                OPERATION,
            )?,
            storage_operations: register.counters(
                "vso_client_cache_storage_operations_total",
                "Stored tokens that were worked on.",
                OPERATION,
            )?,
            storage_operation_errors: register.counters(
                "vso_client_cache_storage_operations_errors_total",
                "Stored tokens that could not be worked on.",
                OPERATION,
            )?,
        };
        // VSO keeps copies of a client for other Vault namespaces. Here the session serves all; the names stay.
        let help = "Always 0: a session serves all Vault namespaces.";
        register.counter("vso_client_clone_cache_hits", help)?;
        register.counter("vso_client_clone_cache_misses", help)?;
        register.gauge("vso_client_clone_cache_evictions", help)?;
        // So that a rate over errors is zero and not missing before the first.
        for operation in ["get", "store", "restore"] {
            metrics.factory_errors.with_label_values(&[operation]);
        }
        for operation in StorageOperation::ALL {
            metrics.storage_request_errors.with_label_values(&[operation.as_str()]);
            metrics.storage_operation_errors.with_label_values(&[operation.as_str()]);
        }
        Ok(metrics)
    }

    /// Those of a VaultConnection, `namespace/name`.
    pub fn of_connection(&self, connection: &str) -> ConnectionMetrics {
        let operations = Operation::ALL.map(|operation| {
            let labels = [operation.as_str(), connection];
            OneOperation {
                total: self.operations.with_label_values(&labels),
                errors: self.operation_errors.with_label_values(&labels),
                time: self.operation_time.with_label_values(&labels),
            }
        });
        ConnectionMetrics { operations, provider_calls: None }
    }

    /// Drops those of a VaultConnection that is gone.
    pub fn forget_connection(&self, connection: &str) {
        for operation in Operation::ALL {
            let labels = [operation.as_str(), connection];
            // Fails if there are none.
            let _ = self.operations.remove_label_values(&labels);
            let _ = self.operation_errors.remove_label_values(&labels);
            let _ = self.operation_time.remove_label_values(&labels);
        }
    }

    /// Counts a request for a token: `get` for a login, `restore` for a stored one, `store`.
    pub fn factory(&self, operation: &str, succeeded: bool, took: Duration) {
        self.factory_requests.with_label_values(&[operation]).inc();
        self.factory_time.with_label_values(&["client_factory", operation]).observe(took.as_secs_f64());
        if !succeeded {
            self.factory_errors.with_label_values(&[operation]).inc();
        }
    }

    /// Counts a request to the storage that was about `tokens` stored tokens.
    pub fn storage(&self, operation: StorageOperation, succeeded: bool, tokens: u64) {
        let label = [operation.as_str()];
        self.storage_requests.with_label_values(&label).inc();
        self.storage_operations.with_label_values(&label).inc_by(tokens);
        if !succeeded {
            self.storage_request_errors.with_label_values(&label).inc();
            self.storage_operation_errors.with_label_values(&label).inc_by(tokens);
        }
    }

    /// Shows whether stored tokens have to be encrypted.
    pub fn enforce_encryption(&self, enforced: bool) {
        self.storage_config.with_label_values(&[if enforced { "true" } else { "false" }]).set(1);
    }
}

impl ConnectionMetrics {
    /// Counts a request; `call` is ESO's name of it. As in VSO, a login counts as a write too.
    pub fn sent(&self, operation: Operation, call: &str, succeeded: bool, took: Duration) {
        if let Some(calls) = &self.provider_calls {
            calls.count(VAULT, call, succeeded);
        }
        self.one(operation, succeeded, took);
        if operation == Operation::Login {
            self.one(Operation::Write, succeeded, took);
        }
    }

    fn one(&self, operation: Operation, succeeded: bool, took: Duration) {
        let [login, renew, read, write] = &self.operations;
        let of = match operation {
            Operation::Login => login,
            Operation::Renew => renew,
            Operation::Read => read,
            Operation::Write => write,
        };
        of.total.inc();
        of.time.observe(took.as_secs_f64());
        if !succeeded {
            of.errors.inc();
        }
    }
}
