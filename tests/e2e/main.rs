//! The operator against a real API server and a real Vault.
//!
//! The tests share one control plane. Each has an operator of its own, which watches the namespaces of that test only and
//! has the rights that the chart gives it and no others. Tests that stop or seal something start an environment of their
//! own.

mod answers;
mod api;
mod api_server;
mod auth_samples;
mod aws;
mod aws_server;
mod changes;
mod client_cache;
mod commands;
mod connections;
mod costs;
mod counting;
mod crashes;
mod destinations;
mod expect;
mod faults;
mod gcp;
mod globals;
mod google_server;
mod http_server;
mod instant;
mod isolation;
mod leadership;
mod methods;
mod metrics;
mod not_served;
mod refused;
mod restarts;
mod samples;
mod scale;
mod sigv4;
mod support;
mod sync;
mod targets;
mod templates;
mod tls;
mod token;
mod tools;
mod transformation;
mod transport;
mod uses;
