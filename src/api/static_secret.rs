//! VaultStaticSecret: a Secret that follows a path of a KV engine.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{
    DURATION_PATTERN, Destination, RolloutRestartTarget, SyncConfig, VaultClientMeta, conditions, conditions_schema,
    is_default, non_empty, version_schema,
};
use super::condition::Condition;
use super::kind::{CustomObject, Kind, KindNames, prune_owner};
use super::owner::{OwnerStatus, SecretOwner};

/// The source in Vault, the destination in Kubernetes, and how often to compare them.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "secrets.hashicorp.com",
    version = "v1beta1",
    kind = "VaultStaticSecret",
    doc = "Keeps a Secret equal to what Vault's KV engine holds.",
    namespaced,
    status = "VaultStaticSecretStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultStaticSecretSpec {
    /// VaultAuth to log in with, as `name` (in the namespace of this object) or `namespace/name`. The one named
    /// `default` in the operator's namespace when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub vault_auth_ref: Option<String>,
    /// Vault namespace of the secret, that of the login when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
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
    /// How often to compare with Vault, such as `30s`. Some time is taken off at random, up to a fifth, so that
    /// objects do not fall due together. Once a minute when unset, or not at all if `hmacSecretData` is off.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub refresh_after: Option<String>,
    /// Keep a keyed digest of the data in the status, and write the Secret only when it changed on either side.
    #[serde(rename = "hmacSecretData", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub hmac_secret_data: Option<bool>,
    /// Workloads in the namespace of this object to restart when the data of the Secret changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollout_restart_targets: Vec<RolloutRestartTarget>,
    /// How changes arrive between two refreshes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_config: Option<SyncConfig>,
    /// The Secret to fill.
    pub destination: Destination,
}

/// The versions of Vault's KV engine.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum SecretEngine {
    /// KV without versions.
    #[serde(rename = "kv-v1")]
    KvV1,
    /// KV with versions.
    #[serde(rename = "kv-v2")]
    KvV2,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

impl Default for SecretEngine {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
}

impl SecretEngine {
    /// The value as it stands in a manifest.
    pub fn as_str(&self) -> &str {
        match self {
            Self::KvV1 => "kv-v1",
            Self::KvV2 => "kv-v2",
            Self::Unknown(other) => other,
        }
    }
}

impl std::fmt::Display for SecretEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the last sync did.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultStaticSecretStatus {
    /// The metadata.generation that was last synced.
    pub last_generation: i64,
    /// Keyed digest (HMAC-SHA256, base64) of the data that was last written.
    #[serde(rename = "secretMAC", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_mac: Option<String>,
    /// The Vault client that was used.
    #[serde(default, skip_serializing_if = "is_default")]
    pub vault_client_meta: VaultClientMeta,
    /// Conditions of the sync.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

impl CustomObject for VaultStaticSecret {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "VaultStaticSecret",
        controller: "vaultstaticsecret",
        component: "VaultStaticSecret",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn prune(&mut self) {
        prune_owner(self);
    }
}

impl SecretOwner for VaultStaticSecret {
    fn kind(&self) -> Kind {
        Self::KIND
    }

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn vault_auth_ref(&self) -> Option<&str> {
        self.spec.vault_auth_ref.as_deref()
    }

    fn destination(&self) -> &Destination {
        &self.spec.destination
    }

    fn restart_targets(&self) -> &[RolloutRestartTarget] {
        &self.spec.rollout_restart_targets
    }

    fn wants_instant_updates(&self) -> bool {
        self.spec.sync_config.as_ref().is_some_and(|config| config.instant_updates)
    }

    fn keeps_digest(&self) -> bool {
        self.spec.hmac_secret_data.unwrap_or(true)
    }

    fn recorded_mac(&self) -> Option<&str> {
        self.status.as_ref()?.secret_mac.as_deref()
    }

    fn applied_generation(&self) -> i64 {
        self.status.as_ref().map_or(0, |status| status.last_generation)
    }

    fn owner_conditions(&self) -> &[Condition] {
        self.conditions()
    }
}

impl OwnerStatus for VaultStaticSecretStatus {
    fn set_conditions(&mut self, conditions: Vec<Condition>) {
        self.conditions = conditions;
    }

    fn set_generation(&mut self, generation: i64) {
        self.last_generation = generation;
    }

    fn set_recorded_mac(&mut self, mac: Option<String>) {
        self.secret_mac = mac;
    }

    fn vault_client_meta(&mut self) -> Option<&mut VaultClientMeta> {
        Some(&mut self.vault_client_meta)
    }
}
