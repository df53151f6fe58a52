//! The settings of each login method, shared by VaultAuth and VaultAuthGlobal.
//!
//! Nothing is required here, as upstream: a VaultAuth may leave any member to a VaultAuthGlobal. What must be there is
//! checked after the two are combined.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::non_empty;

/// Settings of method `kubernetes`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigKubernetes {
    /// Vault role to log in as.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Service account whose token is sent, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
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
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Name of a Secret whose key `jwt` holds the token, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// Service account whose token is sent, in the namespace of the object that needs the login. Wins over
    /// `secretRef`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
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
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// Name of a Secret whose key `id` holds the secret ID, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// Not supported: it would let a tenant name a file of the operator's pod. Kept so that stored objects stay
    /// valid; use `secretRef`.
    #[serde(rename = "secretIDPath", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_id_path: Option<String>,
}

/// Settings of method `aws`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigAws {
    /// Vault role to log in as.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// AWS region.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Value of the header X-Vault-AWS-IAM-Server-ID that Vault asks for.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub header_value: Option<String>,
    /// Name of the AWS session.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// Endpoint of STS, when it is not the public one.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub sts_endpoint: Option<String>,
    /// Endpoint of IAM, when it is not the public one.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub iam_endpoint: Option<String>,
    /// Name of a Secret with static AWS credentials, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<String>,
    /// Service account that carries an IAM role (IRSA), in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub irsa_service_account: Option<String>,
}

/// Settings of method `gcp`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultAuthConfigGcp {
    /// Vault role to log in as.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Service account with workload identity, in the namespace of the object that needs the login.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub workload_identity_service_account: Option<String>,
    /// Region of the GKE cluster. Asked of the metadata server when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name of the GKE cluster. Asked of the metadata server when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// ID of the GCP project. Asked of the metadata server when unset.
    #[serde(rename = "projectID", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
}
