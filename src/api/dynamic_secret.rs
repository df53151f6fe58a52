//! VaultDynamicSecret: credentials that Vault makes for one user, with a lease.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{
    DURATION_PATTERN, Destination, RolloutRestartTarget, SyncConfig, VaultClientMeta, conditions, conditions_schema,
    int_schema, is_default, non_empty,
};
use super::condition::Condition;
use super::kind::{CustomObject, Kind, KindNames, prune_owner};
use super::owner::{ContentKeys, OwnerStatus, SecretOwner};

/// What to ask Vault for, the destination in Kubernetes, and when to renew.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "secrets.hashicorp.com",
    version = "v1beta1",
    kind = "VaultDynamicSecret",
    doc = "Keeps a Secret filled with credentials that Vault makes.",
    namespaced,
    status = "VaultDynamicSecretStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultDynamicSecretSpec {
    /// VaultAuth to log in with, as `name` (in the namespace of this object) or `namespace/name`. The one named
    /// `default` in the operator's namespace when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub vault_auth_ref: Option<String>,
    /// Vault namespace of the secrets engine, that of the login when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Path of the mount of the secrets engine.
    pub mount: String,
    /// Path in the mount that gives the credentials, such as `creds/app`.
    pub path: String,
    /// How to ask: GET when unset. Not looked at when there are `params`, which are always sent with PUT.
    #[serde(rename = "requestHTTPMethod", skip_serializing_if = "Option::is_none")]
    pub request_http_method: Option<RequestHttpMethod>,
    /// Parameters of the request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Part of the lease, in percent, after which it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "percent_schema")]
    pub renewal_percent: Option<i64>,
    /// Revoke the lease when this object is deleted. Without it the credentials live until the lease ends.
    #[serde(default, skip_serializing_if = "is_default")]
    pub revoke: bool,
    /// The path gives static credentials, which Vault rotates by itself and which have no lease.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_static_creds: bool,
    /// When credentials are replaced, revoke the old lease as soon as all rolloutRestartTargets run with the new ones.
    /// Without it, and without targets, the old lease lives until its end.
    #[serde(default, skip_serializing_if = "is_default")]
    pub revoke_replaced_leases: bool,
    /// How often to ask again when the answer carries no lease, such as `30s`. For static credentials: how often to
    /// look for a rotation that nothing announces.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub refresh_after: Option<String>,
    /// Workloads in the namespace of this object to restart when the data of the Secret changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollout_restart_targets: Vec<RolloutRestartTarget>,
    /// How changes arrive before they are due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_config: Option<SyncConfig>,
    /// The Secret to fill.
    pub destination: Destination,
}

fn percent_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "integer", "default": 67, "minimum": 0, "maximum": 90 })
}

/// The methods of a request for credentials.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum RequestHttpMethod {
    /// A read.
    #[serde(rename = "GET")]
    Get,
    /// A write, sent as PUT.
    #[serde(rename = "POST")]
    Post,
    /// A write.
    #[serde(rename = "PUT")]
    Put,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// The credentials that are in the Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultDynamicSecretStatus {
    /// When the lease was last renewed or replaced, in seconds since 1970.
    pub last_renewal_time: i64,
    /// The metadata.generation that was last synced.
    pub last_generation: i64,
    /// Lease of the credentials.
    pub secret_lease: SecretLease,
    /// Rotation of static credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub static_creds_meta_data: Option<StaticCredsMetaData>,
    /// When the Vault token ends that the lease hangs on, in seconds since 1970, as far as is known: it may have been
    /// extended since. With it the credentials end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault_token_expiration: Option<i64>,
    /// New credentials that are about to be written to the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_lease: Option<PendingLease>,
    /// Leases of credentials that were replaced, to be revoked when no workload uses them any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced_leases: Vec<ReplacedLease>,
    /// UID of the operator's pod that last synced this object.
    #[serde(rename = "lastRuntimePodUID", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub last_runtime_pod_uid: Option<String>,
    /// Keyed digest (HMAC-SHA256, base64) of the data whose restarts are done.
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

/// A lease, as Vault gave it.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SecretLease {
    /// ID of the lease.
    pub id: String,
    /// How long it lasts, in seconds.
    #[schemars(schema_with = "int_schema")]
    pub duration: i64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// ID of the request that gave it, as in Vault's audit log.
    #[serde(rename = "requestID")]
    pub request_id: String,
    /// Vault namespace that it is in, `root` for the topmost one. What has none is in the one that the spec leads to.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Credentials on their way into the Secret. After a crash they are found in it, or revoked.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PendingLease {
    /// Their lease.
    #[serde(flatten)]
    pub lease: SecretLease,
    /// The metadata.generation that they were obtained for.
    pub generation: i64,
    /// When they were obtained, in seconds since 1970.
    pub obtained: i64,
    /// Keyed digest of the data that the Secret gets.
    #[serde(rename = "secretMAC")]
    pub secret_mac: String,
    /// The Vault client whose token they hang on.
    #[serde(rename = "clientID", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// When that token ends, in seconds since 1970, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault_token_expiration: Option<i64>,
}

/// A lease that is to be revoked.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct ReplacedLease {
    /// ID of the lease.
    pub id: String,
    /// When it ends by itself, in seconds since 1970.
    pub expiration: i64,
    /// Vault namespace that it is in, as in the lease.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// When Vault rotates static credentials.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StaticCredsMetaData {
    /// When they were last rotated, in seconds since 1970.
    pub last_vault_rotation: i64,
    /// Time between two rotations, in seconds.
    pub rotation_period: i64,
    /// When they are rotated, as a cron schedule.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub rotation_schedule: Option<String>,
    /// Time until the next rotation, in seconds.
    pub ttl: i64,
}

impl CustomObject for VaultDynamicSecret {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "VaultDynamicSecret",
        controller: "vaultdynamicsecret",
        component: "VaultDynamicSecret",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn prune(&mut self) {
        prune_owner(self);
    }
}

impl SecretOwner for VaultDynamicSecret {
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
        true
    }

    /// VSO records none for leased credentials. The empty one stands for content that is not known.
    fn recorded_mac(&self) -> Option<&str> {
        let status = self.status.as_ref()?;
        status.secret_mac.as_deref().or((status.last_generation > 0).then_some(""))
    }

    fn applied_generation(&self) -> i64 {
        self.status.as_ref().map_or(0, |status| status.last_generation)
    }

    fn owner_conditions(&self) -> &[Condition] {
        self.conditions()
    }

    fn content_keys(&self) -> ContentKeys {
        if self.spec.allow_static_creds { ContentKeys::StaticCredentials } else { ContentKeys::All }
    }
}

impl OwnerStatus for VaultDynamicSecretStatus {
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
