//! ClusterExternalSecret: an ExternalSecret in each of many namespaces.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ExternalSecretSpec;
use super::fan_out::{FanOutCondition, InnerMetadata, NamespaceFailure, is_ready};
use super::selector::{NAME_PATTERN, NAMESPACE_PATTERN};
use crate::api::common::{is_default, non_empty};
use crate::api::condition::Condition;
use crate::api::kind::{CustomObject, Kind, KindNames};

/// Which ExternalSecrets are made, and where.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "external-secrets.io",
    version = "v1",
    kind = "ClusterExternalSecret",
    shortname = "ces",
    category = "external-secrets",
    doc = "Makes an ExternalSecret in each of many namespaces.",
    status = "ClusterExternalSecretStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct ClusterExternalSecretSpec {
    /// What each ExternalSecret says.
    pub external_secret_spec: ExternalSecretSpec,
    /// Name of each ExternalSecret, that of this object when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub external_secret_name: Option<String>,
    /// Labels and annotations of each ExternalSecret.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external_secret_metadata: InnerMetadata,
    /// The namespaces with these labels. One more selector beside `namespaceSelectors`, which replace it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// The namespaces that one of these selects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,
    /// Namespaces by name, beside those that are selected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1, max = 63), regex(pattern = NAMESPACE_PATTERN)))]
    pub namespaces: Vec<String>,
    /// How often all of it is looked at again, such as `1h`. Changes do not wait for it.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub refresh_time: Option<String>,
}

/// What was made, and where it was not.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct ClusterExternalSecretStatus {
    /// Name of each ExternalSecret.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub external_secret_name: Option<String>,
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

impl CustomObject for ClusterExternalSecret {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "ClusterExternalSecret",
        controller: "clusterexternalsecret",
        component: "ClusterExternalSecret",
    });

    /// None of the form that other kinds have.
    fn conditions(&self) -> &[Condition] {
        &[]
    }
}

impl ClusterExternalSecret {
    /// Name of each ExternalSecret.
    pub fn inner_name(&self) -> &str {
        self.spec.external_secret_name.as_deref().or(self.metadata.name.as_deref()).unwrap_or("")
    }

    /// Whether all namespaces have it. `None`: the status does not say so yet.
    pub fn is_ready(&self) -> Option<bool> {
        is_ready(self.status.as_ref().map_or(&[], |status| &status.conditions))
    }
}
