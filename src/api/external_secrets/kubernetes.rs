//! The provider that reads Secrets of a Kubernetes cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selector::{CaProvider, NAMESPACE_PATTERN, SecretKeySelector, ServiceAccountSelector};
use crate::api::common::non_empty;

/// Secrets of one namespace of a cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.auth) && has(self.authRef))",
    "message": "auth and authRef cannot both be set",
}]))]
pub struct KubernetesProvider {
    /// The API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<KubernetesServer>,
    /// How to log in: exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<KubernetesAuth>,
    /// A Secret with a kubeconfig, instead of `server` and `auth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_ref: Option<SecretKeySelector>,
    /// The namespace with the Secrets.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_PATTERN), extend("default" = "default"))]
    pub remote_namespace: Option<String>,
}

/// An API server.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct KubernetesServer {
    /// Its address.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "kubernetes.default"))]
    pub url: Option<String>,
    /// Certificate authorities, PEM in Base64.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub ca_bundle: Option<String>,
    /// Where certificate authorities are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
}

/// How to log in to a cluster.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("maxProperties" = 1, "minProperties" = 1))]
pub struct KubernetesAuth {
    /// With a client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<KubernetesCert>,
    /// With a token from a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<KubernetesToken>,
    /// With a token of a service account of the operator's own cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccountSelector>,
}

/// A client certificate.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct KubernetesCert {
    /// The certificate.
    pub client_cert: SecretKeySelector,
    /// Its key.
    pub client_key: SecretKeySelector,
}

/// A token from a Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct KubernetesToken {
    /// The token.
    pub bearer_token: SecretKeySelector,
}
