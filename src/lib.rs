//! Vault Secrets Operator: keeps Kubernetes Secrets equal to what HashiCorp Vault or OpenBao holds, and restarts the
//! workloads that use them when the content changes.
//!
//! Dependencies between the modules point one way, which `tests/architecture` holds: `gocompat` <- `api` <- `render`,
//! `external_secret`, `resolve`, `workqueue` (pure: no I/O) <- `vault`, `kubernetes` <- `credentials`, `providers`,
//! `sync` <- `controllers` <- `operator`.

#![warn(clippy::expect_used, clippy::unwrap_used)]

pub mod api;
pub mod backoff;
pub mod cli;
pub mod commands;
pub mod controllers;
pub mod credentials;
pub mod external_secret;
pub mod gocompat;
pub mod kubernetes;
pub mod mac;
pub mod operator;
pub mod pki;
pub mod providers;
pub mod reloader;
pub mod render;
pub mod resolve;
pub mod settings;
pub mod sync;
pub mod telemetry;
pub mod util;
pub mod vault;
pub mod version;
pub mod workqueue;
