//! VaultAuthGlobal: settings that many VaultAuths share.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth_methods::{
    AuthMethod, VaultAuthConfigAppRole, VaultAuthConfigAws, VaultAuthConfigGcp, VaultAuthConfigJwt,
    VaultAuthConfigKubernetes, VaultAuthConfigToken,
};
use super::common::non_empty;
use super::condition::Condition;
use super::kind::{CustomObject, Kind, KindNames};

/// Defaults for the VaultAuths that refer to this object.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "secrets.hashicorp.com",
    version = "v1beta1",
    kind = "VaultAuthGlobal",
    doc = "Holds login settings that many VaultAuths share.",
    namespaced,
    status = "VaultAuthGlobalStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthGlobalSpec {
    /// Kubernetes namespaces whose VaultAuths may use this object. The own namespace always may; the single entry
    /// `*` stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_namespaces: Vec<String>,
    /// VaultConnection for VaultAuths that name none, as `name` (in the namespace of the VaultAuth) or
    /// `namespace/name`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub vault_connection_ref: Option<String>,
    /// Vault namespace for VaultAuths that name none.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub default_vault_namespace: Option<String>,
    /// Login method for VaultAuths that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_auth_method: Option<AuthMethod>,
    /// Auth mount for VaultAuths that name none.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub default_mount: Option<String>,
    /// Parameters to send with the login, whatever the method.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Headers to send with the login, whatever the method.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Settings of method `kubernetes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<MethodDefaults<VaultAuthConfigKubernetes>>,
    /// Settings of method `appRole`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_role: Option<MethodDefaults<VaultAuthConfigAppRole>>,
    /// Settings of method `jwt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<MethodDefaults<VaultAuthConfigJwt>>,
    /// Settings of method `aws`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws: Option<MethodDefaults<VaultAuthConfigAws>>,
    /// Settings of method `gcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp: Option<MethodDefaults<VaultAuthConfigGcp>>,
    /// Settings of method `token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<MethodDefaults<VaultAuthConfigToken>>,
}

/// The settings `C` of one method, side by side with what applies to that method only.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct MethodDefaults<C: Default> {
    /// The members of the method's own block, as in VaultAuth.
    #[serde(flatten)]
    pub config: C,
    /// Vault namespace to log in to with this method.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Path of this method's auth mount, without the leading `auth/`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub mount: Option<String>,
    /// More parameters to send with this method's login.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Headers to send with this method's login.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// Not used: nothing is written here.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthGlobalStatus {
    /// Whether the settings are usable.
    pub valid: bool,
    /// What is wrong with them.
    pub error: String,
}

impl CustomObject for VaultAuthGlobal {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "VaultAuthGlobal",
        controller: "vaultauthglobal",
        component: "VaultAuthGlobal",
    });

    fn conditions(&self) -> &[Condition] {
        &[]
    }
}
