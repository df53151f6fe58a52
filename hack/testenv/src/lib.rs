//! A real control plane, a real node and a real Vault or OpenBao on this machine, for tests and demonstrations.
//!
//! Everything is the real program, built once from pinned Go modules or unpacked from pinned packages: etcd,
//! kube-apiserver, kube-controller-manager, kubectl, helm, Vault, OpenBao, toxiproxy, PostgreSQL. [`Cluster::start`]
//! brings one environment up; it ends with the process that started it, however that ends. The command `testenv` does
//! the same for people.

#![warn(clippy::expect_used, clippy::unwrap_used)]

mod audit;
mod cluster;
mod control_plane;
pub mod demo;
mod environment;
pub mod image;
mod kubernetes;
mod location;
mod network;
pub mod node;
mod pki;
mod ports;
mod postgresql;
mod process;
mod proxy;
mod raft;
mod server;
mod text;
mod tools;
mod vault;
mod watcher;

pub use audit::{AuditEvent, Marker, VaultAuditEntry, kept_kube_audit};
pub use cluster::{Cluster, Options, Process};
pub use environment::{Environment, down, list};
pub use node::Skip;
pub use ports::free_ports;
pub use postgresql::Postgresql;
pub use proxy::{Proxy, Stream};
pub use raft::{RAFT_NODES, Raft};
pub use server::Server;
pub use tools::{Tool, Tools};
pub use vault::VaultStorage;
