//! VaultAuth: how to log in to a Vault.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth_methods::{
    AuthMethod, VaultAuthConfigAppRole, VaultAuthConfigAws, VaultAuthConfigGcp, VaultAuthConfigJwt,
    VaultAuthConfigKubernetes, VaultAuthConfigToken,
};
use super::common::{conditions, conditions_schema, non_empty};
use super::condition::Condition;
use super::kind::{CustomObject, Kind, KindNames};

/// A login method, its settings, and the namespaces that may use them.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "secrets.hashicorp.com",
    version = "v1beta1",
    kind = "VaultAuth",
    doc = "Says how to log in to a Vault server.",
    namespaced,
    status = "VaultAuthStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default, extend("x-kubernetes-validations" = [{
    "rule": "!has(self.method) || self.method != 'token' || has(self.token) || has(self.vaultAuthGlobalRef)",
    "message": "method token needs spec.token, or a VaultAuthGlobal that has it",
}]))]
pub struct VaultAuthSpec {
    /// VaultConnection to log in to, as `name` (in the namespace of this object) or `namespace/name`. The one named
    /// `default` in the operator's namespace when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub vault_connection_ref: Option<String>,
    /// VaultAuthGlobal that supplies what is not set here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault_auth_global_ref: Option<VaultAuthGlobalRef>,
    /// Vault namespace to log in to.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Kubernetes namespaces whose objects may use this login. The own namespace always may; the single entry `*`
    /// stands for all. The VaultAuth named `default` in the operator's namespace is open to all when the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_namespaces: Vec<String>,
    /// Login method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<AuthMethod>,
    /// Path of the auth mount, without the leading `auth/`. Every method but `token` needs it.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// More parameters to send with the login.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Headers to send with the login.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Settings of method `kubernetes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<VaultAuthConfigKubernetes>,
    /// Settings of method `appRole`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_role: Option<VaultAuthConfigAppRole>,
    /// Settings of method `jwt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<VaultAuthConfigJwt>,
    /// Settings of method `aws`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws: Option<VaultAuthConfigAws>,
    /// Settings of method `gcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp: Option<VaultAuthConfigGcp>,
    /// Settings of method `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<VaultAuthConfigToken>,
    /// Transit key that encrypts the operator's stored Vault clients. Read from the VaultAuth that the operator itself
    /// uses for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_encryption: Option<StorageEncryption>,
}

/// A reference to a VaultAuthGlobal, and how to combine it with the VaultAuth.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthGlobalRef {
    /// Name of the VaultAuthGlobal.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([a-z0-9.-]{1,253})$"))]
    pub name: Option<String>,
    /// Namespace of the VaultAuthGlobal, this object's own when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([a-z0-9-]{1,63})$"))]
    pub namespace: Option<String>,
    /// How to combine maps that both objects have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_strategy: Option<MergeStrategy>,
    /// Use the VaultAuthGlobal named `default` when `name` is unset: the one in `namespace`, else in this object's
    /// namespace, else in the operator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_default: Option<bool>,
}

/// One rule per map.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct MergeStrategy {
    /// How to combine the headers. `none` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<MergeRule>,
    /// How to combine the parameters. `none` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<MergeRule>,
}

/// How two maps become one.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum MergeRule {
    /// Both, the VaultAuth's entry wins.
    #[serde(rename = "union")]
    Union,
    /// The first that is not empty: the VaultAuth's, the global method's, the global default.
    #[serde(rename = "replace")]
    Replace,
    /// The VaultAuth's only.
    #[serde(rename = "none")]
    None,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// A key of Vault's transit engine.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StorageEncryption {
    /// Path of the transit mount.
    pub mount: String,
    /// Name of the key.
    pub key_name: String,
}

/// What is known about the login.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthStatus {
    /// Whether the settings are complete and everything they refer to exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<bool>,
    /// What is wrong with them.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Hash of the settings after the merge with the VaultAuthGlobal (BLAKE2b-256, hexadecimal).
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub spec_hash: Option<String>,
    /// Conditions of the login.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

impl CustomObject for VaultAuth {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "VaultAuth",
        controller: "vaultauth",
        component: "VaultAuth",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}
