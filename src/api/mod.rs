//! The custom resources of group `secrets.hashicorp.com/v1beta1`, one file per kind.
//!
//! Two rules hold for every type here:
//!
//! * **Reading is lenient.** One object that cannot be decoded would stop the watch for all others, so a missing
//!   `spec`, a missing required member or a value this version does not know decodes to a default or to `Unknown`.
//!   What it means is judged later, per object, with a condition that says so. The schema in `crds/` is what refuses
//!   bad input.
//!   (kube refuses `attr = "serde(default)"` on a kind for fear of surprises; a missing `spec` needs exactly that,
//!   hence the `cfg_attr(true, ...)` around it.)
//! * **An empty string is an unset one**, as it is in VSO: optional text is `None` in both cases.

pub mod auth;
pub mod auth_global;
pub mod auth_login;
pub mod auth_methods;
pub mod common;
pub mod condition;
pub mod connection;
pub mod crd;
pub mod csi_secrets;
pub mod dynamic_secret;
pub mod external_secrets;
pub mod kind;
pub mod owner;
pub mod pki_secret;
pub mod reference;
pub mod static_secret;
pub mod transformation;

pub use auth::{
    MergeRule, MergeStrategy, StorageEncryption, VaultAuth, VaultAuthGlobalRef, VaultAuthSpec, VaultAuthStatus,
};
pub use auth_global::{MethodDefaults, VaultAuthGlobal, VaultAuthGlobalSpec, VaultAuthGlobalStatus};
pub use auth_login::{MethodError, MethodExtras};
pub use auth_methods::AuthMethod;
pub use common::{
    API_VERSION, Destination, GROUP, LAST_APPLIED, RestartKind, RolloutRestartTarget, SourceTemplate, SyncConfig,
    Template, TemplateRef, Transformation, TransformationRef, VERSION, VaultClientMeta,
};
pub use condition::{Condition, ConditionStatus, ConditionType, ConditionUpdate, Reason};
pub use connection::{VaultConnection, VaultConnectionSpec, VaultConnectionStatus};
pub use csi_secrets::{CSISecrets, CSISecretsSpec, CSISecretsStatus};
pub use dynamic_secret::{VaultDynamicSecret, VaultDynamicSecretSpec, VaultDynamicSecretStatus};
pub use kind::{ApiScope, CustomObject, Key, Kind, KindNames};
pub use owner::{ContentKeys, SecretOwner};
pub use pki_secret::{
    Keystore, Keystores, PKIIssue, PKIOrigin, PKIPendingCertificate, PKIReplacedCertificate, SecretKeyRef,
    VaultPKISecret, VaultPKISecretSpec, VaultPKISecretStatus,
};
pub use reference::{ObjectRef, ObjectRefError};
pub use static_secret::{SecretEngine, VaultStaticSecret, VaultStaticSecretSpec, VaultStaticSecretStatus};
pub use transformation::{SecretTransformation, SecretTransformationSpec, SecretTransformationStatus};

#[cfg(test)]
mod tests;
