//! References to keys of Secrets and ConfigMaps, and to service accounts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::common::non_empty;

/// A key of a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SecretKeySelector {
    /// Name of the Secret.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: Option<String>,
    /// Key in the Secret. Some members have a default.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY_PATTERN))]
    pub key: Option<String>,
    /// Namespace of the Secret, for a ClusterSecretStore. Unset it is that of the object that uses the store.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_PATTERN))]
    pub namespace: Option<String>,
}

/// A service account.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct ServiceAccountSelector {
    /// Name of the service account.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Namespace of the service account, for a ClusterSecretStore. Unset it is that of the object that uses the store.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_PATTERN))]
    pub namespace: Option<String>,
    /// Audiences of its token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
}

/// Where certificate authorities are found.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CaProvider {
    /// Kind of the object.
    #[serde(rename = "type")]
    pub kind: CaProviderKind,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Key in the object.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY_PATTERN))]
    pub key: Option<String>,
    /// Namespace of the object, for a ClusterSecretStore.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_PATTERN))]
    pub namespace: Option<String>,
}

/// The kinds of object that hold certificate authorities.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum CaProviderKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    ConfigMap,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

impl Default for CaProviderKind {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
}

/// Pattern of the name of an object. ESO's.
pub(super) const NAME_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Pattern of the name of a namespace. ESO's.
pub(super) const NAMESPACE_PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Pattern of a key of a Secret. ESO's.
pub(super) const KEY_PATTERN: &str = r"^[-._a-zA-Z0-9]+$";
