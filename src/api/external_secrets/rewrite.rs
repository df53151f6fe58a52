//! What becomes of the keys that a store has supplied.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::common::non_empty;

/// One change of keys: exactly one of the three.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("oneOf" = [{ "required": ["merge"] }, { "required": ["regexp"] }, { "required": ["transform"] }]))]
pub struct Rewrite {
    /// The values are JSON objects, which become one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge: Option<RewriteMerge>,
    /// Replace what a regular expression finds in the keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regexp: Option<RewriteRegexp>,
    /// Make the keys with a template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<RewriteTransform>,
}

/// Replaces what a regular expression finds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct RewriteRegexp {
    /// The regular expression (RE2).
    pub source: String,
    /// What is put in its place. `$1` and `${name}` stand for what a group has found.
    pub target: String,
}

/// Makes keys with a template.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct RewriteTransform {
    /// A Go template. `.value` is the key.
    pub template: String,
}

/// Makes one JSON object of several.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct RewriteMerge {
    /// With strategy `JSON`: the key that gets the object.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Keys whose members win over those of others; the last wins over all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub priority: Vec<String>,
    /// What follows if a key of `priority` is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Strict"))]
    pub priority_policy: Option<PriorityPolicy>,
    /// What follows if two keys have a member of one name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Error"))]
    pub conflict_policy: Option<ConflictPolicy>,
    /// What becomes of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Extract"))]
    pub strategy: Option<MergeStrategy>,
}

/// What follows if a key of `priority` is not there.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum PriorityPolicy {
    /// The sync fails.
    Strict,
    /// It is left out.
    IgnoreNotFound,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// What follows if two keys have a member of one name.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum ConflictPolicy {
    /// The member of the key that comes later in the alphabet is taken.
    Ignore,
    /// The sync fails.
    Error,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// What becomes of a merged object.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum MergeStrategy {
    /// Its members take the place of all keys.
    Extract,
    /// It is the value of the key `into`, beside the others.
    #[serde(rename = "JSON")]
    Json,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}
