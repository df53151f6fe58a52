//! Everything that speaks to the Kubernetes API server.

mod access;
mod client;
mod client_storage;
mod crds;
mod error;
mod events;
mod feed;
mod finalizers;
mod identities;
mod lease;
mod mac_key;
mod namespaces;
mod objects;
mod raw_object;
mod secret_index;
mod secrets;
mod status;
mod store;
mod tokens;
mod watch;
mod workloads;

pub use access::AccessReviewer;
pub use client::{RequestLimit, connect};
pub use client_storage::{ClientStorage, NewClient, StoredClient, StoredFor};
pub use crds::upgrade_crds;
pub use error::{ErrorKind, KubernetesError};
pub use events::{EventType, Events};
pub use feed::{Feed, FeedError, News};
pub use finalizers::{RemovedFinalizers, remove_all_finalizers};
pub use identities::{config_map, config_map_data, service_account};
pub use lease::{Leadership, Lease};
pub use mac_key::{KnownKey, ensure_mac_key};
pub use namespaces::{NamespaceLabels, NamespaceState};
pub use objects::{create_object, delete_object, release_namespace, replace_object};
pub use secret_index::{OWNED_SELECTOR, Revision, SecretIndex, TARGET_SELECTOR};
pub use secrets::{NoValue, OwnedMetadata, SecretWriter, changed_at};
pub use status::{add_finalizer, patch_status, remove_finalizer};
pub use store::{Change, Sink, Store};
pub use tokens::{ServiceAccountToken, object_uid, service_account_token};
pub use watch::{Part, Scope, WatchHealth, spawn_watch};
pub use workloads::{Workload, WorkloadPatch, Workloads, workload_resource};

/// Field manager of every write, so that `kubectl get --show-managed-fields` tells which fields the operator wrote.
pub const FIELD_MANAGER: &str = "vault-secrets-operator";
