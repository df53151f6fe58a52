//! VaultPKISecret: a certificate that Vault issues.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{
    DURATION_PATTERN, Destination, RolloutRestartTarget, conditions, conditions_schema, is_default, non_empty,
};
use super::kind::{CustomObject, Kind, KindNames, prune_unserved};

/// As [`DURATION_PATTERN`], with days, which only Vault reads.
const TTL_PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(s|m|h|d))$";

/// The certificate to ask for, the destination in Kubernetes, and when to renew.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "secrets.hashicorp.com",
    version = "v1beta1",
    kind = "VaultPKISecret",
    doc = "Keeps a Secret filled with a certificate that Vault issues.",
    namespaced,
    status = "VaultPKISecretStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultPKISecretSpec {
    /// VaultAuth to log in with, as `name` (in the namespace of this object) or `namespace/name`. The one named
    /// `default` in the operator's namespace when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub vault_auth_ref: Option<String>,
    /// Vault namespace of the PKI engine, that of the login when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Path of the PKI mount.
    pub mount: String,
    /// Role of the PKI engine that the certificate is issued for.
    pub role: String,
    /// Revoke the certificate when it is replaced and when this object is deleted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub revoke: bool,
    /// Empty the destination when this object is deleted. Only for one that this object did not create.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clear: bool,
    /// How long before its end the certificate is replaced, such as `24h`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub expiry_offset: Option<String>,
    /// Issuer that signs, the mount's default when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<String>,
    /// Workloads in the namespace of this object to restart when the certificate is replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollout_restart_targets: Vec<RolloutRestartTarget>,
    /// The Secret to fill.
    pub destination: Destination,
    /// Common name of the subject.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub common_name: Option<String>,
    /// DNS names and mail addresses of the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alt_names: Vec<String>,
    /// IP addresses of the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_sans: Vec<String>,
    /// URIs of the subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uri_sans: Vec<String>,
    /// Other names of the subject, as `oid;type:value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_sans: Vec<String>,
    /// User IDs of the subject.
    #[serde(rename = "userIDs", default, skip_serializing_if = "Vec::is_empty")]
    pub user_ids: Vec<String>,
    /// How long the certificate is valid, such as `90d`. The role says when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = TTL_PATTERN))]
    pub ttl: Option<String>,
    /// Format of the answer: pem, der or pem_bundle.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Format of the private key: der or pkcs8.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub private_key_format: Option<String>,
    /// End of the certificate as a point in time (RFC 3339), in place of `ttl`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Leave the common name out of the alternative names.
    #[serde(rename = "excludeCNFromSans", default, skip_serializing_if = "is_default")]
    pub exclude_cn_from_sans: bool,
}

/// The certificate that is in the Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultPKISecretStatus {
    /// Its serial number.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// When it ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<i64>,
    /// The metadata.generation that was last synced.
    pub last_generation: i64,
    /// When it was issued, in seconds since 1970.
    pub last_rotation: i64,
    /// Keyed digest (HMAC-SHA256, base64) of the data that was last written.
    #[serde(rename = "secretMAC", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_mac: Option<String>,
    /// Whether the last sync worked.
    pub valid: bool,
    /// Why it did not.
    pub error: String,
    /// Conditions of the sync.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

impl CustomObject for VaultPKISecret {
    const KIND: Kind =
        Kind::new(&KindNames { api_version: super::API_VERSION, kind: "VaultPKISecret", controller: "vaultpkisecret" });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn prune(&mut self) {
        prune_unserved(self);
    }
}
