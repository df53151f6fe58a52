//! The operator against a real API server and a real Vault, or a real OpenBao with `E2E_SERVER=openbao`.
//!
//! The tests share one control plane. Each has an operator of its own, which watches the namespaces of that test only
//! and has the rights that the chart gives it and no others. Tests that stop or seal something start an environment of
//! their own.

mod api_call_budget;
mod auth_samples;
mod aws;
mod changes;
mod client_cache;
mod commands;
mod connections;
mod crashes;
mod destination_changes;
mod destinations;
mod dynamic;
mod engines;
mod external;
mod failover;
mod faults;
mod gcp;
mod globals;
mod instant;
mod invalid_objects;
mod isolation;
mod kube_faults;
mod large_secrets;
mod leadership;
mod methods;
mod metrics;
mod namespaces;
mod not_served;
mod pki;
mod preconditions;
mod races;
mod refusal;
mod reloader;
mod restarts;
mod rollbacks;
mod rollouts;
mod samples;
mod scale;
mod scopes;
mod sync;
mod targets;
mod templates;
mod tls;
mod token;
mod transformation;
mod transport;
mod uses;
mod vault_no_data;
