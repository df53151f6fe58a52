//! VaultAuth: how to log in to a Vault.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{conditions_schema, non_empty};

/// A login method, its settings, and who may use them.
#[derive(
    CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq,
)]
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
#[schemars(!default)]
pub struct VaultAuthSpec {
    /// VaultConnection to log in to, as `name` (in the namespace of this object) or `namespace/name`. The one named
    /// `default` in the operator's namespace when unset.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub vault_connection_ref: Option<String>,
    /// VaultAuthGlobal that supplies what is not set here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault_auth_global_ref: Option<VaultAuthGlobalRef>,
    /// Vault namespace to log in to.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub namespace: Option<String>,
    /// Kubernetes namespaces whose objects may use this login. The own namespace always may; the single entry `*`
    /// stands for all. The VaultAuth named `default` in the operator's namespace is open to all when the list is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_namespaces: Vec<String>,
    /// Login method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<AuthMethod>,
    /// Path of the auth mount, without the leading `auth/`.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
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
    /// Transit key that encrypts the operator's stored Vault clients. Read from the VaultAuth that the operator itself
    /// uses for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_encryption: Option<StorageEncryption>,
}

/// The login methods.
#[derive(
    Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
pub enum AuthMethod {
    /// A token of a Kubernetes service account, checked by Vault against the API server.
    #[serde(rename = "kubernetes")]
    Kubernetes,
    /// A JSON web token, of a service account or from a Secret.
    #[serde(rename = "jwt")]
    Jwt,
    /// Role ID and secret ID.
    #[serde(rename = "appRole")]
    AppRole,
    /// An AWS identity.
    #[serde(rename = "aws")]
    Aws,
    /// A GCP identity.
    #[serde(rename = "gcp")]
    Gcp,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

impl AuthMethod {
    /// The value as it stands in a manifest.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Jwt => "jwt",
            Self::AppRole => "appRole",
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Unknown(other) => other,
        }
    }
}

impl std::fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reference to a VaultAuthGlobal, and how to combine it with the VaultAuth.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthGlobalRef {
    /// Name of the VaultAuthGlobal.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(regex(pattern = r"^([a-z0-9.-]{1,253})$"))]
    pub name: Option<String>,
    /// Namespace of the VaultAuthGlobal, this object's own when unset.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
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

/// Settings of method `kubernetes`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigKubernetes {
    /// Vault role to log in as.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub role: Option<String>,
    /// Service account whose token is sent, in the namespace of the object that needs the login.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub service_account: Option<String>,
    /// Audiences of the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Life time of the token in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 600), extend("default" = 600))]
    pub token_expiration_seconds: Option<i64>,
}

/// Settings of method `jwt`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigJwt {
    /// Vault role to log in as.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub role: Option<String>,
    /// Name of a Secret whose key `jwt` holds the token, in the namespace of the object that needs the login.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret_ref: Option<String>,
    /// Service account whose token is sent, in the namespace of the object that needs the login. Wins over
    /// `secretRef`.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub service_account: Option<String>,
    /// Audiences of the service account's token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Life time of the service account's token in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 600), extend("default" = 600))]
    pub token_expiration_seconds: Option<i64>,
}

/// Settings of method `appRole`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigAppRole {
    /// Role ID.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub role_id: Option<String>,
    /// Name of a Secret whose key `id` holds the secret ID, in the namespace of the object that needs the login.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret_ref: Option<String>,
    /// Not supported: it would let a tenant name a file of the operator's pod. Kept so that stored objects stay
    /// valid; use `secretRef`.
    #[serde(
        rename = "secretIDPath",
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret_id_path: Option<String>,
}

/// Settings of method `aws`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigAws {
    /// Vault role to log in as.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub role: Option<String>,
    /// AWS region.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub region: Option<String>,
    /// Value of the header X-Vault-AWS-IAM-Server-ID that Vault asks for.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub header_value: Option<String>,
    /// Name of the AWS session.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub session_name: Option<String>,
    /// Endpoint of STS, when it is not the public one.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub sts_endpoint: Option<String>,
    /// Endpoint of IAM, when it is not the public one.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub iam_endpoint: Option<String>,
    /// Name of a Secret with static AWS credentials, in the namespace of the object that needs the login.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret_ref: Option<String>,
    /// Service account that carries an IAM role (IRSA), in the namespace of the object that needs the login.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub irsa_service_account: Option<String>,
}

/// Settings of method `gcp`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigGcp {
    /// Vault role to log in as.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub role: Option<String>,
    /// Service account with workload identity, in the namespace of the object that needs the login.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub workload_identity_service_account: Option<String>,
    /// Region of the GKE cluster. Asked of the metadata server when unset.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub region: Option<String>,
    /// Name of the GKE cluster. Asked of the metadata server when unset.
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub cluster_name: Option<String>,
    /// ID of the GCP project. Asked of the metadata server when unset.
    #[serde(
        rename = "projectID",
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub project_id: Option<String>,
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
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub error: Option<String>,
    /// Hash of the settings after the merge with the VaultAuthGlobal (BLAKE2b-256, hexadecimal).
    #[serde(
        deserialize_with = "non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub spec_hash: Option<String>,
    /// Conditions of the login.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}
