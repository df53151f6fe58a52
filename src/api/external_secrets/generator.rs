//! The kinds of `generators.external-secrets.io` that are served: they make data when an ExternalSecret asks for it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::secret_store::RetrySettings;
use super::vault::VaultProvider;
use crate::api::common::{is_default, non_empty};
use crate::api::condition::Condition;
use crate::api::kind::{CustomObject, Kind, KindNames};

/// Group and version, as `apiVersion` in a manifest.
const API_VERSION: &str = "generators.external-secrets.io/v1alpha1";

/// A password.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "Password",
    category = "external-secrets",
    category = "external-secrets-generators",
    doc = "Makes passwords at random.",
    namespaced,
    status = "GeneratorStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct PasswordSpec {
    /// Number of characters.
    #[schemars(extend("default" = 24))]
    pub length: i64,
    /// So many of them are digits, a quarter when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digits: Option<i64>,
    /// So many of them are symbols, a quarter when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbols: Option<i64>,
    /// The symbols to choose from.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub symbol_characters: Option<String>,
    /// Keys with a password each, `password` when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_keys: Vec<String>,
    /// No letter is an upper case letter.
    #[schemars(extend("default" = false))]
    pub no_upper: bool,
    /// A character may be there several times.
    #[schemars(extend("default" = false))]
    pub allow_repeat: bool,
    /// How the password is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "raw"))]
    pub encoding: Option<PasswordEncoding>,
}

/// How a password is written.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum PasswordEncoding {
    /// As Base64 with padding.
    Base64,
    /// As Base64 with padding and the letters of URLs.
    Base64Url,
    /// As Base32 with padding.
    Base32,
    /// As hexadecimal digits.
    Hex,
    /// As it is.
    #[default]
    Raw,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// A UUID.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "UUID",
    root = "Uuid",
    category = "external-secrets",
    category = "external-secrets-generators",
    doc = "Makes random UUIDs (version 4).",
    namespaced,
    status = "GeneratorStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
pub struct UuidSpec {}

/// Credentials that Vault makes.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "generators.external-secrets.io",
    version = "v1alpha1",
    kind = "VaultDynamicSecret",
    root = "VaultGenerator",
    category = "external-secrets",
    category = "external-secrets-generators",
    doc = "Has Vault make credentials, with any request.",
    namespaced,
    status = "GeneratorStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultGeneratorSpec {
    /// Class of the operator that serves this generator; every operator when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// `GET` when unset, or `LIST` or `DELETE`. Anything else is a write of `parameters`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The body of a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "parameters_schema")]
    pub parameters: Option<Value>,
    /// Which part of the answer becomes the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "Data"))]
    pub result_type: Option<ResultType>,
    /// How often requests are tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_settings: Option<RetrySettings>,
    /// The server and the login. What it says of a KV engine has no effect.
    pub provider: VaultProvider,
    /// API path, without `/v1/`.
    pub path: String,
    /// An answer without content is one without data, and no error.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("default" = false))]
    pub allow_empty_response: bool,
}

/// Which part of an answer of Vault becomes the data.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum ResultType {
    /// `data`.
    #[default]
    Data,
    /// `auth`: the token that was made.
    Auth,
    /// All of it.
    Raw,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// Generators have no status: what is wrong with one is told where it is used.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
pub struct GeneratorStatus {}

fn parameters_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "description": "The body of a write.", "x-kubernetes-preserve-unknown-fields": true })
}

impl CustomObject for Password {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: API_VERSION,
        kind: "Password",
        controller: "passwordgenerator",
        component: "Password",
    });

    fn conditions(&self) -> &[Condition] {
        &[]
    }
}

impl CustomObject for Uuid {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: API_VERSION,
        kind: "UUID",
        controller: "uuidgenerator",
        component: "UUID",
    });

    fn conditions(&self) -> &[Condition] {
        &[]
    }
}

impl CustomObject for VaultGenerator {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: API_VERSION,
        kind: "VaultDynamicSecret",
        controller: "vaultdynamicsecretgenerator",
        component: "VaultDynamicSecret",
    });

    fn conditions(&self) -> &[Condition] {
        &[]
    }
}
