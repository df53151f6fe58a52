//! SecretStore and ClusterSecretStore: where ExternalSecrets are read from.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kubernetes::KubernetesProvider;
use super::selector::NAME_PATTERN;
use super::vault::VaultProvider;
use crate::api::common::{conditions, conditions_schema, non_empty};
use crate::api::condition::Condition;
use crate::api::kind::{CustomObject, Kind, KindNames};

/// A store, by kind and name.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreRef {
    /// Name of the store.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: Option<String>,
    /// Kind of the store, SecretStore when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<StoreKind>,
}

/// The kinds of store.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum StoreKind {
    /// A store for objects of its own namespace.
    #[default]
    SecretStore,
    /// A store for objects of all namespaces that its conditions admit.
    ClusterSecretStore,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// How a store is reached.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "external-secrets.io",
    version = "v1",
    kind = "SecretStore",
    shortname = "ss",
    category = "external-secrets",
    doc = "Says how a store of secrets is reached, for objects of this namespace.",
    namespaced,
    status = "SecretStoreStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SecretStoreSpec {
    /// Class of the operator that serves this store; every operator when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// The store: exactly one.
    #[schemars(schema_with = "provider_schema")]
    pub provider: Provider,
    /// How often requests are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_settings: Option<RetrySettings>,
    /// How often the store is checked: seconds, or a duration such as `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "refresh_interval_schema")]
    pub refresh_interval: Option<Value>,
    /// Has no effect on a SecretStore.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<StoreCondition>,
}

/// How a store is reached.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "external-secrets.io",
    version = "v1",
    kind = "ClusterSecretStore",
    shortname = "css",
    category = "external-secrets",
    doc = "Says how a store of secrets is reached, for objects of many namespaces.",
    status = "SecretStoreStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct ClusterSecretStoreSpec {
    /// Class of the operator that serves this store; every operator when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// The store: exactly one.
    #[schemars(schema_with = "provider_schema")]
    pub provider: Provider,
    /// How often requests are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_settings: Option<RetrySettings>,
    /// How often the store is checked: seconds, or a duration such as `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "refresh_interval_schema")]
    pub refresh_interval: Option<Value>,
    /// The namespaces that may use the store: each that one of these admits. All when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<StoreCondition>,
}

/// The store.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Provider {
    /// Vault or OpenBao.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultProvider>,
    /// Secrets of a Kubernetes cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesProvider>,
    /// What this operator does not serve.
    #[serde(flatten)]
    #[schemars(skip)]
    pub others: BTreeMap<String, Value>,
}

/// How often requests are tried again.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct RetrySettings {
    /// How many times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_retries: Option<i32>,
    /// After how long, such as `10s`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub retry_interval: Option<String>,
}

/// Namespaces that may use a ClusterSecretStore: those that one of the three admits.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct StoreCondition {
    /// By labels of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// By name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// By regular expressions (RE2) that are found somewhere in the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_regexes: Vec<String>,
}

/// What the last check has found.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct SecretStoreStatus {
    /// Conditions of the store.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// What can be done with it: `ReadOnly`, `WriteOnly` or `ReadWrite`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<String>,
}

/// The members of a provider that this operator does not serve are kept as they are.
fn provider_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = Provider::json_schema(generator);
    schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), Value::Bool(true));
    schema.insert("minProperties".to_owned(), 1.into());
    schema.insert("maxProperties".to_owned(), 1.into());
    schema
}

fn refresh_interval_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "description": "How often the store is checked: seconds, or a duration such as `5m`.",
        "x-kubernetes-int-or-string": true,
    })
}

impl CustomObject for SecretStore {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "SecretStore",
        controller: "secretstore",
        component: "secret-store",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl CustomObject for ClusterSecretStore {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "ClusterSecretStore",
        controller: "clustersecretstore",
        component: "cluster-secret-store",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}
