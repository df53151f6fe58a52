//! The controllers, one file per kind, and the engine that runs them.

mod client_cache;
mod conditions;
mod context;
mod engine;
mod instant_updates;
mod not_served;
mod release;
mod secret_transformation;
mod servers;
mod snapshot;
mod static_secret;
mod triggers;
mod vault_auth;
mod vault_connection;

pub use context::{Context, Parts};
pub use engine::run;
pub use triggers::spawn_watches;

use std::fmt;

use crate::resolve::ObjectRef;

/// The kinds that are reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// VaultConnection.
    Connection,
    /// VaultAuth.
    Auth,
    /// SecretTransformation.
    Transformation,
    /// VaultStaticSecret.
    StaticSecret,
    /// VaultDynamicSecret.
    DynamicSecret,
    /// VaultPKISecret.
    PkiSecret,
    /// CSISecrets.
    CsiSecrets,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] = [
        Kind::Connection,
        Kind::Auth,
        Kind::Transformation,
        Kind::StaticSecret,
        Kind::DynamicSecret,
        Kind::PkiSecret,
        Kind::CsiSecrets,
    ];

    /// The lower-case name that upstream's metrics use for a controller.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Connection => "vaultconnection",
            Kind::Auth => "vaultauth",
            Kind::Transformation => "secrettransformation",
            Kind::StaticSecret => "vaultstaticsecret",
            Kind::DynamicSecret => "vaultdynamicsecret",
            Kind::PkiSecret => "vaultpkisecret",
            Kind::CsiSecrets => "csisecrets",
        }
    }
}

/// One object, as the queue knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub id: ObjectRef,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.id)
    }
}
