//! The custom resources of group `external-secrets.io`, which the External Secrets Operator (ESO) defines: one file per
//! kind, and one for each part that several have.
//!
//! One type serves both versions of a kind: `v1` has all that `v1beta1` has. As in [`crate::api`], reading is lenient,
//! and an empty string is an unset one.

pub mod cluster_external_secret;
pub mod cluster_push_secret;
pub mod external_secret;
pub mod fan_out;
pub mod generator;
pub mod kubernetes;
pub mod push_secret;
pub mod remote;
pub mod rewrite;
pub mod secret_store;
pub mod selector;
pub mod target;
pub mod vault;
pub mod vault_auth;

pub use cluster_external_secret::{ClusterExternalSecret, ClusterExternalSecretSpec, ClusterExternalSecretStatus};
pub use cluster_push_secret::{ClusterPushSecret, ClusterPushSecretSpec, ClusterPushSecretStatus};
pub use external_secret::{ExternalSecret, ExternalSecretSpec, ExternalSecretStatus, RefreshPolicy};
pub use push_secret::{PushSecret, PushSecretSpec, PushSecretStatus};
pub use remote::{ConversionStrategy, DecodingStrategy, MetadataPolicy, NullBytePolicy};
pub use secret_store::{
    ClusterSecretStore, ClusterSecretStoreSpec, SecretStore, SecretStoreSpec, SecretStoreStatus, StoreKind,
};
pub use target::{CreationPolicy, DeletionPolicy};

/// Group and stored version, as `apiVersion` in a manifest.
pub const API_VERSION: &str = "external-secrets.io/v1";
