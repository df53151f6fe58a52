//! Logs, metrics, and the endpoints that tell how the process is.

mod admin;
mod certificate;
mod log;
mod metrics;

pub use admin::{Access, Authorize, Check, CheckState, Endpoints, ReadinessChecks, Secure, serve};
pub use log::init as init_log;
pub use metrics::{
    ClientMetrics, ConnectionMetrics, ControllerSnapshot, Expiry, ExternalSecretMetrics, KUBERNETES, Metrics,
    ObjectCondition, Operation, ProviderCalls, ResourceStatus, RunResult, ServerInfo, Snapshot, StorageOperation,
};
