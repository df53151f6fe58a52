//! The Secret that an ExternalSecret fills.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::remote::DecodingStrategy;
use super::selector::NAME_PATTERN;
use crate::api::common::{is_default, non_empty};

/// The Secret that is filled.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.deletionPolicy) || self.deletionPolicy != 'Delete' || !has(self.creationPolicy) || !(self.creationPolicy in ['Merge', 'None', 'CreateOrMerge'])",
        "message": "deletionPolicy=Delete must not be used when the controller doesn't own the secret. Please set creationPolicy=Owner",
    },
    {
        "rule": "!has(self.deletionPolicy) || self.deletionPolicy != 'Merge' || !has(self.creationPolicy) || self.creationPolicy != 'None'",
        "message": "deletionPolicy=Merge must not be used with creationPolicy=None. There is no Secret to merge with",
    },
]))]
pub struct Target {
    /// Name of the Secret, that of this object when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: Option<String>,
    /// Whether the Secret is made, and whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Owner"))]
    pub creation_policy: Option<CreationPolicy>,
    /// What becomes of the Secret when the store holds nothing any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Retain"))]
    pub deletion_policy: Option<DeletionPolicy>,
    /// How the Secret is made of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// The Secret is made so that it cannot be changed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub immutable: bool,
    /// Another kind of object than a Secret. Not served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
}

/// A kind of object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Manifest {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
}

/// Whether a Secret is made, and whose it is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum CreationPolicy {
    /// It is made, belongs to the ExternalSecret and goes with it.
    #[default]
    Owner,
    /// It is made and stays when the ExternalSecret goes.
    Orphan,
    /// It has to be there; keys of others stay.
    Merge,
    /// Nothing is made.
    None,
    /// It is made unless it is there; keys of others stay.
    CreateOrMerge,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// What becomes of a Secret when the store holds nothing any more.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum DeletionPolicy {
    /// It is deleted.
    Delete,
    /// It loses the keys that the ExternalSecret has put there.
    Merge,
    /// It stays as it is.
    #[default]
    Retain,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// How a Secret is made of data.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.type) || self.type != 'bootstrap.kubernetes.io/token'",
        "message": "template.type=\"bootstrap.kubernetes.io/token\" is not allowed",
    },
    {
        "rule": "!has(self.type) || self.type != 'kubernetes.io/service-account-token' || !has(self.metadata) || !has(self.metadata.annotations) || !('kubernetes.io/service-account.name' in self.metadata.annotations)",
        "message": "template.type=\"kubernetes.io/service-account-token\" with annotation \"kubernetes.io/service-account.name\" is not allowed",
    },
]))]
pub struct Template {
    /// Type of the Secret, Opaque when unset.
    #[serde(rename = "type", deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Version of the templates: `v2`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "v2", "enum" = ["v2"]))]
    pub engine_version: Option<String>,
    /// What the Secret carries.
    #[serde(default, skip_serializing_if = "is_default")]
    pub metadata: TemplateMetadata,
    /// Whether the data of the stores stays beside what the templates make.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Replace"))]
    pub merge_policy: Option<TemplateMergePolicy>,
    /// Templates by the key that they fill.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// Templates from other objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template_from: Vec<TemplateFrom>,
}

/// What a Secret carries beside its data.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct TemplateMetadata {
    /// Annotations; the values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels; the values are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Finalizers. They are added and never taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
}

/// Whether the data of the stores stays beside what templates make.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum TemplateMergePolicy {
    /// Only what the templates make is in the Secret.
    Replace,
    /// Both are.
    Merge,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// Templates from another object, or a text that makes several keys.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct TemplateFrom {
    /// A ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<TemplateSource>,
    /// A Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<TemplateSource>,
    /// A template that prints a YAML map of keys and values.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
    /// What is filled: `Data`, `Annotations` or `Labels`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Data"))]
    pub target: Option<String>,
    /// How the values that come out are encoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values_decoding_strategy: Option<DecodingStrategy>,
}

/// An object with templates.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct TemplateSource {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Its keys with templates.
    pub items: Vec<TemplateItem>,
}

/// A key with a template.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct TemplateItem {
    /// The key in the object.
    pub key: String,
    /// What the template makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Values"))]
    pub template_as: Option<TemplateAs>,
}

/// What a template makes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum TemplateAs {
    /// The value of the key of its own name.
    Values,
    /// A YAML map of keys and values.
    KeysAndValues,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}
