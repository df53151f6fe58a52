//! PushSecret: what a Secret holds is written to stores.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::remote::GeneratorRef;
use super::rewrite::{RewriteRegexp, RewriteTransform};
use super::secret_store::StoreKind;
use super::selector::NAME_PATTERN;
use super::target::Template;
use crate::api::common::{conditions, conditions_schema, non_empty, optional_go_duration};
use crate::api::condition::Condition;
use crate::api::kind::{CustomObject, Kind, KindNames};

/// Group and stored version, as `apiVersion` in a manifest.
pub const API_VERSION: &str = "external-secrets.io/v1alpha1";

/// What is pushed, where to, and how often.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "external-secrets.io",
    version = "v1alpha1",
    kind = "PushSecret",
    shortname = "ps",
    category = "external-secrets",
    doc = "Writes what a Secret holds to stores.",
    namespaced,
    status = "PushSecretStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PushSecretSpec {
    /// How often the stores are looked at, such as `1h30m`. Zero: only when the Secret or this object changes.
    #[serde(deserialize_with = "optional_go_duration", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "1h0m0s"))]
    pub refresh_interval: Option<String>,
    /// The stores: all that one of these names or selects.
    #[schemars(length(max = 1000))] // else the rules of the schema might take too long
    pub secret_store_refs: Vec<PushStoreRef>,
    /// What becomes of what a store holds already.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Replace"))]
    pub update_policy: Option<UpdatePolicy>,
    /// What becomes of what was pushed, when it is not to be pushed any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "None"))]
    pub deletion_policy: Option<PushDeletionPolicy>,
    /// The Secret: exactly one of the two.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
    pub selector: PushSelector,
    /// Single keys of the Secret, or all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))] // else the rules of the schema might take too long
    pub data: Vec<PushData>,
    /// Several keys of the Secret at a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))] // else the rules of the schema might take too long
    pub data_to: Vec<PushDataTo>,
    /// What is made of the Secret before it is pushed. It adds to what the Secret holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// Stores, by kind and name or labels.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PushStoreRef {
    /// Name of the store.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: Option<String>,
    /// Labels of the stores. Without effect where there is a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
    /// Kind of the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "SecretStore"))]
    pub kind: Option<StoreKind>,
}

/// What becomes of what a store holds already.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum UpdatePolicy {
    /// It is made what the Secret holds.
    #[default]
    Replace,
    /// It stays.
    IfNotExists,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// What becomes of what was pushed, when it is not to be pushed any more.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum PushDeletionPolicy {
    /// It is deleted from the store.
    Delete,
    /// It stays.
    #[default]
    None,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// What is pushed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PushSelector {
    /// A Secret of the namespace of this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SourceSecret>,
    /// A generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_ref: Option<GeneratorRef>,
}

/// Secrets, by name or labels.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SourceSecret {
    /// Name of the Secret.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: Option<String>,
    /// Labels of the Secrets. Without effect where there is a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// A key of the Secret, or all of it, and where it is pushed to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PushData {
    /// What is pushed where.
    pub r#match: PushMatch,
    /// What else the store is told. Its form is that of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metadata_schema")]
    pub metadata: Option<Value>,
    /// What becomes of the keys of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "None"))]
    pub conversion_strategy: Option<PushConversionStrategy>,
}

/// What is pushed where.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PushMatch {
    /// Key of the Secret. All keys when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<String>,
    /// Where it is pushed to.
    pub remote_ref: PushRemoteRef,
}

/// A place in a store.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PushRemoteRef {
    /// Path or name in the store.
    pub remote_key: String,
    /// Which key of it. All of it when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
}

/// Several keys of the Secret, and where they are pushed to.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.storeRef) && (has(self.storeRef.name) || has(self.storeRef.labelSelector))",
        "message": "storeRef must specify either name or labelSelector",
    },
    {
        "rule": "!has(self.remoteKey) || !has(self.rewrite) || size(self.rewrite) == 0",
        "message": "remoteKey and rewrite are mutually exclusive: rewrite is only supported in per-key mode (without remoteKey)",
    },
]))]
pub struct PushDataTo {
    /// The store, which one of `secretStoreRefs` has to mean as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<PushStoreRef>,
    /// The one secret of the store that gets all keys. When unset, each key becomes a secret of the store.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub remote_key: Option<String>,
    /// Which keys. All when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#match: Option<PushKeys>,
    /// What becomes of the keys, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))] // else the rules of the schema might take too long
    pub rewrite: Vec<PushRewrite>,
    /// What else the store is told. Its form is that of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metadata_schema")]
    pub metadata: Option<Value>,
    /// What becomes of the keys of the Secret before all else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "None"))]
    pub conversion_strategy: Option<PushConversionStrategy>,
}

/// Keys that are meant.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PushKeys {
    /// A regular expression (RE2) that is found somewhere in the key.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
}

/// One change of keys: exactly one of the two.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.regexp) && !has(self.transform)) || (!has(self.regexp) && has(self.transform))",
    "message": "exactly one of regexp or transform must be set",
}]))]
pub struct PushRewrite {
    /// Replace what a regular expression finds in the keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regexp: Option<RewriteRegexp>,
    /// Make the keys with a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<RewriteTransform>,
}

/// What becomes of the keys of a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum PushConversionStrategy {
    /// They stay as they are.
    #[default]
    None,
    /// `_U0040_` becomes `@`, and so on.
    ReverseUnicode,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// What was pushed, by `KIND/NAME` of the store and by `REMOTEKEY[/PROPERTY]`.
pub type SyncedPushSecrets = BTreeMap<String, BTreeMap<String, PushData>>;

/// What the last sync did.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PushSecretStatus {
    /// When the last sync that changed something began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time", "nullable" = true))]
    pub refresh_time: Option<Time>,
    /// Generation and metadata of this object that were synced last.
    #[serde(rename = "syncedResourceVersion", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub synced_resource_version: Option<String>,
    /// What was pushed, by kind and name of the store, and by place in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub synced_push_secrets: SyncedPushSecrets,
    /// Conditions of the sync.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// Anything, as the provider reads it.
fn metadata_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "What else the store is told. Its form is that of the provider.",
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

impl CustomObject for PushSecret {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: API_VERSION,
        kind: "PushSecret",
        controller: "pushsecret",
        component: "pushsecret",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl PushSecret {
    /// Whether what was pushed is deleted when it is not to be pushed any more.
    pub fn deletes(&self) -> bool {
        self.spec.deletion_policy == Some(PushDeletionPolicy::Delete)
    }
}
