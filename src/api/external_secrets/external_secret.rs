//! ExternalSecret: a Secret that is made of what stores hold.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::remote::{DataFrom, DataRow};
use super::secret_store::StoreRef;
use super::target::Target;
use crate::api::common::{conditions, conditions_schema, go_duration, non_default, non_empty, optional_go_duration};
use crate::api::condition::Condition;
use crate::api::kind::{CustomObject, Kind, KindNames, drop_managed_fields};

/// What is read, how often, and the Secret that it makes.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "external-secrets.io",
    version = "v1",
    kind = "ExternalSecret",
    shortname = "es",
    category = "external-secrets",
    doc = "Makes a Secret of what stores hold.",
    namespaced,
    status = "ExternalSecretStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.data) && size(self.data) > 0) || (has(self.dataFrom) && size(self.dataFrom) > 0)",
    "message": "either data or dataFrom should be specified",
}]))]
pub struct ExternalSecretSpec {
    /// The store that rows without one of their own are read from.
    #[serde(deserialize_with = "non_default", skip_serializing_if = "Option::is_none")]
    pub secret_store_ref: Option<StoreRef>,
    /// The Secret.
    #[serde(default)]
    #[schemars(extend("default" = { "creationPolicy": "Owner", "deletionPolicy": "Retain" }))]
    pub target: Target,
    /// When the stores are read again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_policy: Option<RefreshPolicy>,
    /// How often the stores are read, such as `1h30m`. Zero: once.
    #[serde(deserialize_with = "optional_go_duration", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "1h0m0s"))]
    pub refresh_interval: Option<String>,
    /// When periodic reads may take place, or may not. In UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_windows: Option<SyncWindows>,
    /// Single keys. They win over those of `dataFrom`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))] // else the rules of the schema might take too long
    pub data: Vec<DataRow>,
    /// Several keys at a time. Later ones win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))] // else the rules of the schema might take too long
    pub data_from: Vec<DataFrom>,
}

/// When stores are read again.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum RefreshPolicy {
    /// Never.
    CreatedOnce,
    /// After each interval, and when this object changes.
    #[default]
    Periodic,
    /// When this object changes.
    OnChange,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// When periodic reads may take place, or may not.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SyncWindows {
    /// Whether they may take place in the windows only, or outside of them only.
    pub kind: SyncWindowKind,
    /// The windows.
    #[schemars(length(min = 1))]
    pub windows: Vec<SyncWindow>,
}

/// What windows mean.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum SyncWindowKind {
    /// Reads take place in them only.
    Allow,
    /// Reads take place outside of them only.
    Deny,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

impl Default for SyncWindowKind {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
}

/// A span of time that comes again and again.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SyncWindow {
    /// When it begins: five fields of cron, `@hourly` and the like, or `@every 10m`.
    pub schedule: String,
    /// How long it lasts.
    #[serde(deserialize_with = "go_duration")]
    pub duration: String,
}

/// What the last sync did.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct ExternalSecretStatus {
    /// When the last sync that changed something began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub refresh_time: Option<Time>,
    /// Generation and metadata of this object that were synced last.
    #[serde(rename = "syncedResourceVersion", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub synced_resource_version: Option<String>,
    /// Conditions of the sync.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// The Secret, as servicebinding.io names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
}

/// A Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Binding {
    /// Its name.
    pub name: String,
}

impl CustomObject for ExternalSecret {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "ExternalSecret",
        controller: "externalsecret",
        component: "external-secrets",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    /// All labels and annotations stay: the Secret gets them.
    fn prune(&mut self) {
        drop_managed_fields(self);
    }
}

impl ExternalSecret {
    /// Name of the Secret.
    pub fn target_name(&self) -> &str {
        self.spec.target.name.as_deref().or(self.metadata.name.as_deref()).unwrap_or("")
    }
}
