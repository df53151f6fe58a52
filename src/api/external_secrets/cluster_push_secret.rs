//! ClusterPushSecret: a PushSecret in each of many namespaces.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fan_out::{FanOutCondition, InnerMetadata, NamespaceFailure, is_ready};
use super::push_secret::{API_VERSION, PushSecretSpec};
use super::selector::NAME_PATTERN;
use crate::api::common::{is_default, non_empty};
use crate::api::condition::Condition;
use crate::api::kind::{CustomObject, Kind, KindNames};

/// Which PushSecrets are made, and where.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "external-secrets.io",
    version = "v1alpha1",
    kind = "ClusterPushSecret",
    category = "external-secrets",
    doc = "Makes a PushSecret in each of many namespaces.",
    status = "ClusterPushSecretStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct ClusterPushSecretSpec {
    /// What each PushSecret says.
    pub push_secret_spec: PushSecretSpec,
    /// Name of each PushSecret, that of this object when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub push_secret_name: Option<String>,
    /// Labels and annotations of each PushSecret.
    #[serde(default, skip_serializing_if = "is_default")]
    pub push_secret_metadata: InnerMetadata,
    /// The namespaces that one of these selects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,
    /// How often all of it is looked at again, such as `1h`. Changes do not wait for it.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub refresh_time: Option<String>,
}

/// What was made, and where it was not.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct ClusterPushSecretStatus {
    /// Name of each PushSecret.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub push_secret_name: Option<String>,
    /// The namespaces that do not have it, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_namespaces: Vec<NamespaceFailure>,
    /// The namespaces that have it, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provisioned_namespaces: Vec<String>,
    /// Whether all namespaces have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<FanOutCondition>,
}

impl CustomObject for ClusterPushSecret {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: API_VERSION,
        kind: "ClusterPushSecret",
        controller: "clusterpushsecret",
        component: "ClusterPushSecret",
    });

    /// None of the form that other kinds have.
    fn conditions(&self) -> &[Condition] {
        &[]
    }
}

impl ClusterPushSecret {
    /// Name of each PushSecret.
    pub fn inner_name(&self) -> &str {
        self.spec.push_secret_name.as_deref().or(self.metadata.name.as_deref()).unwrap_or("")
    }

    /// Whether all namespaces have it. `None`: the status does not say so yet.
    pub fn is_ready(&self) -> Option<bool> {
        is_ready(self.status.as_ref().map_or(&[], |status| &status.conditions))
    }
}
