//! How a store logs in to Vault.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selector::{SecretKeySelector, ServiceAccountSelector};
use crate::api::common::non_empty;

/// The login of a store: the first method that is set is used.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultStoreAuth {
    /// Vault namespace of the login, that of the store when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A fixed token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeySelector>,
    /// Role ID and secret ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_role: Option<StoreAppRole>,
    /// A token of a Kubernetes service account, checked by Vault against the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<StoreKubernetes>,
    /// A user of a directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ldap: Option<StoreLdap>,
    /// A JSON web token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<StoreJwt>,
    /// A client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<StoreCert>,
    /// An AWS identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iam: Option<StoreIam>,
    /// A user of Vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_pass: Option<StoreUserPass>,
    /// A GCP identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp: Option<StoreGcp>,
}

/// Method `approle`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreAppRole {
    /// Auth mount.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "approle"))]
    pub path: Option<String>,
    /// The role ID.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// A Secret with the role ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_ref: Option<SecretKeySelector>,
    /// The secret ID.
    pub secret_ref: SecretKeySelector,
}

/// Method `kubernetes`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreKubernetes {
    /// Auth mount.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "kubernetes"))]
    pub mount_path: Option<String>,
    /// Vault role to log in as.
    pub role: String,
    /// A service account whose token is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountSelector>,
    /// A Secret with the token, key `token` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeySelector>,
}

/// Method `ldap`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreLdap {
    /// Auth mount.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "ldap"))]
    pub path: Option<String>,
    /// Name of the user.
    pub username: String,
    /// The password.
    pub secret_ref: SecretKeySelector,
}

/// Method `jwt`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreJwt {
    /// Auth mount.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "jwt"))]
    pub path: Option<String>,
    /// Vault role to log in as.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A Secret with the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeySelector>,
    /// A service account whose token is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_service_account_token: Option<StoreJwtAccount>,
}

/// A service account's token for method `jwt`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreJwtAccount {
    /// The service account.
    pub service_account_ref: ServiceAccountSelector,
    /// Audiences of the token, beside those of the service account. `vault` when unset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Life time of the token in seconds, 600 when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_seconds: Option<i64>,
}

/// Method `cert`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreCert {
    /// Auth mount.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "cert"))]
    pub path: Option<String>,
    /// Certificate role to log in as.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub vault_role: Option<String>,
    /// The certificate.
    pub client_cert: SecretKeySelector,
    /// Its key.
    pub secret_ref: SecretKeySelector,
}

/// Method `userpass`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreUserPass {
    /// Auth mount.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "userpass"))]
    pub path: Option<String>,
    /// Name of the user.
    pub username: String,
    /// The password.
    pub secret_ref: SecretKeySelector,
}

/// Method `aws`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreIam {
    /// Auth mount.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// AWS region.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// AWS role to assume.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Vault role to log in as.
    pub vault_role: String,
    /// External ID for the assumption of the role.
    #[serde(rename = "externalID", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Value of the header `X-Vault-AWS-IAM-Server-ID`.
    #[serde(rename = "vaultAwsIamServerID", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub vault_aws_iam_server_id: Option<String>,
    /// Static credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<StoreIamSecrets>,
    /// A service account with a role of AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<StoreIamJwt>,
}

/// Static credentials of AWS.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreIamSecrets {
    /// The access key ID.
    #[serde(rename = "accessKeyIDSecretRef", skip_serializing_if = "Option::is_none")]
    pub access_key_id_secret_ref: Option<SecretKeySelector>,
    /// The secret access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_access_key_secret_ref: Option<SecretKeySelector>,
    /// The session token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token_secret_ref: Option<SecretKeySelector>,
}

/// A service account with a role of AWS.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreIamJwt {
    /// The service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountSelector>,
}

/// Method `gcp`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreGcp {
    /// Auth mount.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "gcp"))]
    pub path: Option<String>,
    /// Vault role to log in as.
    pub role: String,
    /// Project of the service account.
    #[serde(rename = "projectID", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Location of the cluster.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// A key of a service account of Google.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<StoreGcpSecret>,
    /// A service account of the cluster that is tied to one of Google.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<StoreGcpWorkloadIdentity>,
    /// A service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountSelector>,
}

/// A key of a service account of Google.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreGcpSecret {
    /// The key, as JSON.
    pub secret_access_key_secret_ref: SecretKeySelector,
}

/// A service account of the cluster that is tied to one of Google.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreGcpWorkloadIdentity {
    /// The service account.
    pub service_account_ref: ServiceAccountSelector,
    /// Location of the cluster.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub cluster_location: Option<String>,
    /// Name of the cluster.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Project of the cluster.
    #[serde(rename = "clusterProjectID", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub cluster_project_id: Option<String>,
}
