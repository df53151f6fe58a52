//! What the kinds have in common that make an object of another kind in each of many namespaces.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::common::non_empty;

/// Labels and annotations of the objects that are made.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct InnerMetadata {
    /// All annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// All labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A namespace that does not have what it has to have.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct NamespaceFailure {
    /// Its name.
    pub namespace: String,
    /// Why.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A condition as ESO has it here: without a reason and a time.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct FanOutCondition {
    /// What it is about.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds: `True`, `False` or `Unknown`.
    pub status: String,
    /// Details for a person to read.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl FanOutCondition {
    /// `Ready`. `failure` says why it does not hold.
    pub fn ready(failure: Option<&str>) -> Self {
        Self {
            type_: READY.to_owned(),
            status: if failure.is_none() { "True" } else { "False" }.to_owned(),
            message: failure.map(str::to_owned),
        }
    }
}

/// The type of the condition.
pub const READY: &str = "Ready";

/// Whether all namespaces have what they have to have. `None`: the conditions do not say so yet.
pub fn is_ready(conditions: &[FanOutCondition]) -> Option<bool> {
    let ready = conditions.iter().find(|condition| condition.type_ == READY)?;
    Some(ready.status != "False")
}

/// The namespaces that are meant: those that a selector selects, and those that are named.
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    /// By labels. One of them is enough.
    pub selectors: Vec<&'a LabelSelector>,
    /// By name.
    pub namespaces: &'a [String],
}
