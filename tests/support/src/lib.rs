//! What tests and benchmarks have in common: environments, tenants, operators, clouds, secrets engines.
//!
//! It uses the operator as a program and never as a library, so that a change of the operator does not compile it anew.

pub mod api_proxy;
pub mod audit;
pub mod auth_mounts;
pub mod chart;
pub mod clouds;
pub mod engines;
mod environment;
mod expect;
pub mod forwarder;
pub mod http_server;
mod install;
pub mod kube_client;
mod operator;
pub mod replica_proxy;
pub mod restarts;
mod tenant;
pub mod tls_vault;

pub use environment::{
    by_event, eventually, free_port, http_get, kept_audit_logs, lacks, operator_binary, own, repository, scratch,
    server, shared, skipped, with_crds,
};
pub use expect::{FAST_RETRY, NO_ELECTION};
pub use install::{install, upgrade};
pub use operator::Operator;
pub use tenant::Tenant;
