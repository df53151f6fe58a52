//! What several kinds share: the destination Secret, its transformation, restart targets, status members.

use std::collections::BTreeMap;
use std::ops::Deref;

use schemars::JsonSchema;
use serde::de::IntoDeserializer as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::condition::Condition;
use crate::gocompat::GoDuration;

/// API group of every kind in [`crate::api`].
pub const GROUP: &str = "secrets.hashicorp.com";
/// The one served and stored version.
pub const VERSION: &str = "v1beta1";
/// The two together, as `apiVersion` in a manifest.
pub const API_VERSION: &str = "secrets.hashicorp.com/v1beta1";

/// Annotation in which kubectl keeps the manifest that was applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Schema pattern of a duration: one number and one unit. Narrower than what [`crate::gocompat::GoDuration`] parses,
/// and kept because VSO's schema has it.
pub(crate) const DURATION_PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(s|m|h))$";

/// The Secret that a custom resource fills, always in the namespace of that resource.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Destination {
    /// Name of the Secret, in the namespace of this object.
    pub name: String,
    /// Create the Secret when it does not exist, and own it from then on. Without it the Secret must be there
    /// already, and only its data is written.
    #[serde(default)]
    pub create: bool,
    /// Take over a Secret of that name that another client has made. Needs `create`.
    #[serde(default)]
    pub overwrite: bool,
    /// Labels of the Secret. Needs `create`. Labels that are not listed are removed at the next sync.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Secret. Needs `create`. Annotations that are not listed are removed at the next sync.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Type of the Secret, Opaque when unset. Needs `create`. Service account tokens are refused: Kubernetes would
    /// put a credential into such a Secret by itself.
    #[serde(rename = "type", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{
        "rule": "self != 'kubernetes.io/service-account-token'",
        "message": "type kubernetes.io/service-account-token is not allowed: Kubernetes puts a credential of its own into such a Secret",
    }]))]
    pub type_: Option<String>,
    /// What becomes of the data of the source before it is written.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(with = "Transformation")]
    pub transformation: BoxedTransformation,
}

/// A transformation that most destinations do not have, and do not keep room for.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(from = "Transformation")]
pub struct BoxedTransformation(Option<Box<Transformation>>);

impl From<Transformation> for BoxedTransformation {
    fn from(transformation: Transformation) -> Self {
        Self((!is_default(&transformation)).then(|| Box::new(transformation)))
    }
}

impl Deref for BoxedTransformation {
    type Target = Transformation;

    fn deref(&self) -> &Transformation {
        static NOTHING: Transformation = Transformation {
            templates: BTreeMap::new(),
            transformation_refs: Vec::new(),
            includes: Vec::new(),
            excludes: Vec::new(),
            exclude_raw: false,
        };
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

/// Filters and templates between the source and the destination.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Transformation {
    /// Templates by the key that they fill in the Secret. They win over a source key of the same name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, Template>,
    /// SecretTransformations to use in addition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transformation_refs: Vec<TransformationRef>,
    /// Regular expressions (RE2). When there are any, only source keys that match one of them are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub includes: Vec<String>,
    /// Regular expressions (RE2). Source keys that match one of them are dropped, before includes are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Leave out the key `_raw`, which holds the whole response as JSON.
    #[serde(default, skip_serializing_if = "is_default")]
    pub exclude_raw: bool,
}

/// A reference from a destination to a SecretTransformation.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct TransformationRef {
    /// Name of the SecretTransformation.
    pub name: String,
    /// Namespace of the SecretTransformation, this object's own when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Use only these templates of it. All of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template_refs: Vec<TemplateRef>,
    /// Do not use its includes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignore_includes: bool,
    /// Do not use its excludes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignore_excludes: bool,
}

/// One template of a SecretTransformation.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct TemplateRef {
    /// Key of the template in the `templates` of the SecretTransformation.
    pub name: String,
    /// Key to fill in the Secret, instead of `name`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub key_override: Option<String>,
}

/// A Go text/template that fills one key.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Template {
    /// Name by which other templates can call this one. Must be unique among all templates of an object.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Text of the template.
    pub text: String,
}

/// A Go text/template that fills no key itself and is there to be called by others.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SourceTemplate {
    /// Name by which templates can call this one.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Text of the template.
    pub text: String,
}

/// A workload to restart when the content of the destination changes, in the namespace of the object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct RolloutRestartTarget {
    /// Kind of the workload.
    pub kind: RestartKind,
    /// Name of the workload.
    pub name: String,
}

/// The kinds of workload that can be restarted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum RestartKind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `argoproj.io/v1alpha1` Rollout.
    #[serde(rename = "argo.Rollout")]
    ArgoRollout,
    /// Anything else, as it was written; the schema refuses it, another version of the schema may not have.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

impl Default for RestartKind {
    fn default() -> Self {
        Self::Unknown(String::new())
    }
}

impl RestartKind {
    /// The value as it stands in a manifest.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Deployment => "Deployment",
            Self::DaemonSet => "DaemonSet",
            Self::StatefulSet => "StatefulSet",
            Self::ArgoRollout => "argo.Rollout",
            Self::Unknown(other) => other,
        }
    }
}

impl std::fmt::Display for RestartKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How changes reach the destination in addition to the periodic refresh.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SyncConfig {
    /// Listen to the events of Vault and sync as soon as the source changes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub instant_updates: bool,
}

/// Which Vault client served the last sync. Kept for the way back to VSO, which reads both members.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultClientMeta {
    /// Cache key of the client.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub cache_key: Option<String>,
    /// Identity of the client, derived from the accessor of its token.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Reads optional text; empty means unset.
pub(crate) fn non_empty<'de, D: Deserializer<'de>>(de: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(de)?.filter(|s| !s.is_empty()))
}

/// Reads an optional value; one that says nothing means unset. Go writes members that are structs even when they are
/// empty.
pub(crate) fn non_default<'de, T: Deserialize<'de> + Default + PartialEq, D: Deserializer<'de>>(
    de: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<T>::deserialize(de)?.filter(|value| *value != T::default()))
}

/// Reads a duration in the form in which Go writes it: `60m` is `1h0m0s`. Text that is no duration stays as it is.
pub(crate) fn go_duration<'de, D: Deserializer<'de>>(de: D) -> Result<String, D::Error> {
    let text = String::deserialize(de)?;
    Ok(GoDuration::parse(&text).map_or(text, |duration| duration.to_string()))
}

/// Reads an optional duration like [`go_duration`]; empty means unset.
pub(crate) fn optional_go_duration<'de, D: Deserializer<'de>>(de: D) -> Result<Option<String>, D::Error> {
    non_empty(de)?.map(|text| go_duration(text.into_deserializer())).transpose()
}

/// Reads `status.conditions`, without those that are not what Kubernetes calls a condition.
pub(crate) fn conditions<'de, D: Deserializer<'de>>(de: D) -> Result<Vec<Condition>, D::Error> {
    let items = Vec::<serde_json::Value>::deserialize(de)?;
    let mut conditions: Vec<Condition> =
        items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect();
    // Each object keeps them.
    conditions.shrink_to_fit();
    Ok(conditions)
}

/// For `skip_serializing_if`: true for a value that carries nothing.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// VSO's `int` has no format, unlike its `int64`; what schemars makes of an `i64` has one.
pub(crate) fn int_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "integer" })
}

/// The version of a KV secret.
pub(crate) fn version_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "integer", "minimum": 0 })
}

/// Schema of `status.conditions`: the bounds that Kubernetes sets for its own conditions, which the type from
/// k8s-openapi does not carry.
pub(crate) fn conditions_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "description": "When the status of this condition last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "message": {
                    "description": "Details for a person to read. May be empty.",
                    "type": "string",
                    "maxLength": 32768,
                },
                "observedGeneration": {
                    "description": "The metadata.generation that this condition speaks about.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "reason": {
                    "description": "One word, in CamelCase, for what led to this status.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "status": {
                    "description": "Whether the condition holds.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "type": {
                    "description": "What this condition is about.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                },
            },
        },
    })
}
