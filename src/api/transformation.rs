//! SecretTransformation: templates and filters that many objects share.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{SourceTemplate, Template, conditions, conditions_schema};
use super::condition::Condition;
use super::kind::{CustomObject, Kind, KindNames};

/// Templates and filters for the destinations that refer to this object.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "secrets.hashicorp.com",
    version = "v1beta1",
    kind = "SecretTransformation",
    doc = "Holds templates and filters that many objects share.",
    namespaced,
    status = "SecretTransformationStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SecretTransformationSpec {
    /// Templates by the key that they fill in a Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, Template>,
    /// Templates that fill no key and are there to be called by the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_templates: Vec<SourceTemplate>,
    /// Regular expressions (RE2). When there are any, only source keys that match one of them are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub includes: Vec<String>,
    /// Regular expressions (RE2). Source keys that match one of them are dropped, before includes are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
}

/// Whether the templates can be used.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SecretTransformationStatus {
    /// Whether every template parses.
    pub valid: bool,
    /// What is wrong with those that do not.
    pub error: String,
    /// Conditions of the templates.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

impl CustomObject for SecretTransformation {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "SecretTransformation",
        controller: "secrettransformation",
        component: "SecretTransformation",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}
