//! Pure: from an object to the plan of how its data is read, or to a denial that names the object that denies it, and
//! why.
//!
//! Nothing here does I/O; the objects come from a [`Lookup`]. All rules of which object may use which (invariant 8 of
//! `docs/architecture.md`) are in this module: a caller that holds a [`Plan`] may carry it out.

mod auth;
mod connection;
mod dynamic_secret;
mod external_secret;
mod generator;
mod global;
mod login;
mod pki_secret;
mod plan;
mod push_secret;
mod refresh_time;
mod store;
mod transformation;

pub use crate::api::{ObjectRef, ObjectRefError};
pub use auth::auth;
pub use connection::{CaSource, ConnectionPlan, connection, cut_timeout};
pub use dynamic_secret::{DynamicRead, dynamic_secret, renewal_percent};
pub use external_secret::{EntrySource, ExternalPlan, external_secret};
pub use generator::{Generates, GeneratorLookup, GeneratorPlan, VaultMethod, VaultRequest, generator};
pub use global::{GlobalVersion, Merged, global_candidates, merged};
pub use login::{AuthPlan, LoginOwner, LoginPlan};
pub use pki_secret::{IssuerCheck, KeystoreRequest, PkiRequest, pki_secret};
pub use plan::{
    Plan, StaticRead, login_of, namespace_of, own_namespace, recorded_namespace, static_secret, vault_namespace,
};
pub use push_secret::{
    PushPlan, PushTarget, is_left_to_others, may_need_store, needs_store, push_secret, pushed_by_others, pushed_to,
    pushes_to,
};
pub use refresh_time::{DEFAULT_REFRESH_TIME, refresh_time};
pub use store::{
    ClusterLogin, ClusterStore, SecretKey, StoreLookup, StorePlan, StoreSource, VaultStore, check_conditions,
    check_interval, cluster_secret_store, is_foreign, secret_store, selects, store_key, store_of, store_refs,
    uses_store, vault_of_generator,
};
pub use transformation::{ResolvedTemplate, ResolvedTransformation, templates_of, transformation, transformation_refs};

use std::sync::Arc;
use std::time::Duration;

use crate::api::{SecretTransformation, VaultAuth, VaultAuthGlobal, VaultConnection};

/// Where objects are found: the stores of the running operator.
pub trait Lookup {
    /// The VaultAuth of that name, if it exists.
    fn auth(&self, id: &ObjectRef) -> Option<Arc<VaultAuth>>;
    /// The VaultAuthGlobal of that name, if it exists.
    fn global(&self, id: &ObjectRef) -> Option<Arc<VaultAuthGlobal>>;
    /// Whether VaultAuths may use a VaultAuthGlobal named `default` without naming it.
    fn allows_default_globals(&self) -> bool;
    /// Whether VaultAuths outside of the operator's namespace may log in as the operator itself.
    fn allows_ambient_cloud_identity(&self) -> bool;
    /// The VaultConnection of that name, if it exists.
    fn connection(&self, id: &ObjectRef) -> Option<Arc<VaultConnection>>;
    /// The SecretTransformation of that name, if it exists.
    fn transformation(&self, id: &ObjectRef) -> Option<Arc<SecretTransformation>>;
    /// Whether the operator watches the namespace at all.
    fn watches_namespace(&self, namespace: &str) -> bool;
    /// The namespace the operator runs in, where the objects named `default` are found.
    fn operator_namespace(&self) -> &str;
    /// The shortest interval between two reads of an object.
    fn min_refresh_after(&self) -> Duration;
}

/// Why an owner of a Secret has no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no login.
    #[error("{0}")]
    Login(#[from] Denied),
    /// The spec has contents that cannot work.
    #[error("{0}")]
    Invalid(String),
    /// The destination cannot be a Secret.
    #[error("{0}")]
    Destination(String),
    /// SecretTransformations that are named do not exist, are not valid, or do not fit together.
    #[error("{0}")]
    Transformation(String),
}

/// Why there is no login, or no connection to a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// A reference that cannot be understood.
    #[error("{0}")]
    Reference(String),
    /// Something that is named does not exist (yet). The object is due when it appears.
    #[error("{0}")]
    Missing(String),
    /// The owner of the object that is named did not allow its use from here.
    #[error("{0}")]
    NotAllowed(String),
    /// The VaultAuth, VaultAuthGlobal or VaultConnection has contents that cannot work.
    #[error("{0}")]
    Invalid(String),
}

/// The rule of `allowedNamespaces` for objects whose owner has to allow others: the own namespace always, `["*"]` alone
/// means all, else exact names.
pub(crate) fn allows(own_namespace: &str, allowed: &[String], target: &str) -> bool {
    target == own_namespace || matches!(allowed, [all] if all == "*") || allowed.iter().any(|a| a == target)
}

#[cfg(test)]
pub(crate) mod tests;
