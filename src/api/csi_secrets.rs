//! CSISecrets: secrets that a CSI driver mounts into pods without a Secret in between.
//!
//! The driver is HashiCorp's, part of Vault Enterprise. The definition is here so that objects made for it are kept.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{
    DURATION_PATTERN, Transformation, conditions, conditions_schema, int_schema, is_default, non_empty, version_schema,
};
use super::condition::Condition;
use super::kind::{CustomObject, Kind, KindNames, prune_unserved};
use super::static_secret::SecretEngine;

/// What to mount, and into which pods.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "secrets.hashicorp.com",
    version = "v1beta1",
    kind = "CSISecrets",
    plural = "csisecrets",
    singular = "csisecrets",
    doc = "Holds what HashiCorp's CSI driver mounts into pods.",
    namespaced,
    status = "CSISecretsStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CSISecretsSpec {
    /// Vault namespace of the secrets, that of the login when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// VaultAuth to log in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault_auth_ref: Option<CSIVaultAuthRef>,
    /// The secrets.
    pub secrets: CSISecretSources,
    /// When to fetch them again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_config: Option<CSISyncConfig>,
    /// The pods that may mount them.
    pub access_control: CSIAccessControl,
}

/// A reference to a VaultAuth.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CSIVaultAuthRef {
    /// Name of the VaultAuth.
    pub name: String,
    /// Namespace of the VaultAuth, this object's own when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Take the namespace above even if it is not that of the pod.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trust_namespace: bool,
}

/// The sources of the files in a volume.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CSISecretSources {
    /// What becomes of the data of all sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transformation: Option<Transformation>,
    /// Secrets of the KV engine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vault_static_secrets: Vec<CSIStaticSecret>,
    /// Secret IDs of AppRoles, made for the pod.
    #[serde(rename = "vaultAppRoleSecretIDs", default, skip_serializing_if = "Vec::is_empty")]
    pub vault_app_role_secret_ids: Vec<CSIAppRoleSecretId>,
}

/// A secret of the KV engine.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CSIStaticSecret {
    /// Path of the KV mount.
    pub mount: String,
    /// Path of the secret in the mount. For kv-v2 without the `data/` of the API.
    pub path: String,
    /// Version of the KV engine.
    #[serde(rename = "type")]
    pub kind: SecretEngine,
    /// Version of the secret to read, kv-v2 only. 0 or unset is the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "version_schema")]
    pub version: Option<i64>,
    /// What becomes of its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transformation: Option<Transformation>,
}

/// A secret ID of an AppRole.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CSIAppRoleSecretId {
    /// Path of the AppRole auth mount.
    pub mount: String,
    /// Name of the role.
    pub role: String,
    /// Networks from which the secret ID can be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cidr_list: Vec<String>,
    /// Networks from which the tokens got with it can be used.
    #[serde(rename = "tokenBoundCIDRs", default, skip_serializing_if = "Vec::is_empty")]
    pub token_bound_cidrs: Vec<String>,
    /// Metadata of the secret ID.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// How often the secret ID can be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "int_schema")]
    pub num_uses: Option<i64>,
    /// Mount the role ID too.
    #[serde(rename = "syncRoleID", default, skip_serializing_if = "is_default")]
    pub sync_role_id: bool,
    /// How long the secret ID can be used, such as `1h`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub ttl: Option<String>,
    /// Wrap the secret ID, for so long.
    #[serde(rename = "wrapTTL", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub wrap_ttl: Option<String>,
    /// What becomes of the secret ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transformation: Option<Transformation>,
}

/// When to fetch the secrets of a mounted volume again.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CSISyncConfig {
    /// Containers whose restart is followed.
    pub container_state: CSIContainerState,
}

/// Containers of a pod.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CSIContainerState {
    /// Regular expression for the name of the container.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub name_pattern: Option<String>,
    /// Regular expression for the image of the container.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub image_pattern: Option<String>,
}

/// The pods that may mount the secrets.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CSIAccessControl {
    /// Regular expression for the service account of the pod.
    pub service_account_pattern: String,
    /// Regular expressions for the namespace of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_patterns: Vec<String>,
    /// Regular expressions for the name of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pod_name_patterns: Vec<String>,
    /// Labels of the pod.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,
    /// Whether any of the above has to fit, or all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "all"))]
    pub match_policy: Option<MatchPolicy>,
}

/// How many of the patterns have to fit.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum MatchPolicy {
    /// One is enough.
    #[serde(rename = "any")]
    Any,
    /// All that are set.
    #[serde(rename = "all")]
    All,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// What is known about the object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CSISecretsStatus {
    /// Conditions of the object.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

impl CustomObject for CSISecrets {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "CSISecrets",
        controller: "csisecrets",
        component: "CSISecrets",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn prune(&mut self) {
        prune_unserved(self);
    }
}
