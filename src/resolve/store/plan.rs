//! What there is to know of a store in order to reach it.

use super::SecretKey;
use crate::api::{Key, ObjectRef};
use crate::resolve::{AuthPlan, CaSource, LoginOwner, LoginPlan};

/// How a store is reached.
#[derive(Clone, Debug)]
pub struct StorePlan {
    /// The store.
    pub key: Key,
    /// Its UID.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// What it is.
    pub source: StoreSource,
    /// The credentials are those of the namespace that uses the store, so that they cannot be checked without one.
    pub is_referent: bool,
}

/// The kinds of store that are served.
#[derive(Clone, Debug)]
pub enum StoreSource {
    /// A KV engine of Vault.
    Vault(Box<VaultStore>),
    /// Secrets of a cluster.
    Kubernetes(Box<ClusterStore>),
}

impl StoreSource {
    /// The connection to its Vault. `None`: it is a cluster.
    pub fn connection(&self) -> Option<&Key> {
        match self {
            Self::Vault(vault) => Some(&vault.login.connection.key),
            Self::Kubernetes(_) => None,
        }
    }
}

/// A KV engine.
#[derive(Clone, Debug)]
pub struct VaultStore {
    /// The store.
    pub owner: LoginOwner,
    /// The login.
    pub login: LoginPlan,
    /// Vault namespace of the engine; empty for the root.
    pub namespace: String,
    /// Where the engine is mounted, without slashes at its ends. `None`: keys begin with it.
    pub mount: Option<String>,
    /// Whether it has versions.
    pub versioned: bool,
}

impl VaultStore {
    /// The login, for the store that asks for it.
    pub fn auth(&self) -> AuthPlan {
        AuthPlan { owner: self.owner.clone(), login: self.login.clone() }
    }
}

#[cfg(test)]
impl VaultStore {
    /// A KV engine, with a login that leads nowhere.
    pub fn of_mount(mount: Option<&str>, versioned: bool) -> Self {
        let provider = serde_json::json!({
            "server": "http://vault", "path": mount, "version": if versioned { "v2" } else { "v1" },
            "auth": { "tokenSecretRef": { "name": "token", "key": "token" } },
        });
        let spec = serde_json::json!({ "provider": { "vault": provider } });
        let store = crate::api::external_secrets::SecretStore::new("store", serde_json::from_value(spec).unwrap());
        match super::secret_store(&store).unwrap().source {
            StoreSource::Vault(store) => *store,
            StoreSource::Kubernetes(_) => unreachable!("it is a Vault"),
        }
    }
}

/// Secrets of one namespace of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterStore {
    /// URL of the API server.
    pub url: String,
    /// Authorities of its certificate.
    pub ca: CaSource,
    /// The login.
    pub login: ClusterLogin,
    /// The namespace with the Secrets.
    pub namespace: String,
}

/// How to log in to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClusterLogin {
    /// With a token from a Secret.
    Token(SecretKey),
    /// With a token of a service account of the operator's own cluster.
    ServiceAccount {
        /// The service account.
        id: ObjectRef,
        /// Audiences of the token; empty for the API server's own.
        audiences: Vec<String>,
    },
    /// With a client certificate.
    Certificate {
        /// The certificate.
        certificate: SecretKey,
        /// Its key.
        key: SecretKey,
    },
    /// With what a kubeconfig says, which has the address of the API server as well.
    Kubeconfig(SecretKey),
}
