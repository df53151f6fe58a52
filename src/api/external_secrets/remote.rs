//! What of a store an ExternalSecret reads: rows of single values, and whole secrets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rewrite::Rewrite;
use super::secret_store::StoreRef;
use super::selector::KEY_PATTERN;
use crate::api::common::non_empty;

/// One key of the Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct DataRow {
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY_PATTERN))]
    pub secret_key: String,
    /// What it holds.
    pub remote_ref: RemoteRef,
    /// A store of its own, instead of `spec.secretStoreRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<SourceRef>,
}

/// Something that a store holds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct RemoteRef {
    /// Path or name in the store.
    pub key: String,
    /// Which part of it: a key, or a path of the syntax of gjson into its JSON. All of it when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// Which version of it, where the store has versions. The newest when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Read what the store says about it, instead of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_policy: Option<MetadataPolicy>,
    /// What becomes of characters that no key of a Secret may have. Only where keys come from the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion_strategy: Option<ConversionStrategy>,
    /// How values are encoded in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoding_strategy: Option<DecodingStrategy>,
    /// What follows if a value has a zero byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_byte_policy: Option<NullBytePolicy>,
}

/// Several keys of the Secret.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.extract) || has(self.find) || has(self.sourceRef)",
        "message": "either extract, find, or sourceRef must be set to dataFrom",
    },
    {
        "rule": "!(has(self.extract) && has(self.find)) && !(has(self.sourceRef) && has(self.sourceRef.generatorRef) && (has(self.extract) || has(self.find)))",
        "message": "extract, find, or generatorRef cannot be set at the same time",
    },
]))]
pub struct DataFrom {
    /// All keys of one secret in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extract: Option<RemoteRef>,
    /// All secrets in the store that fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub find: Option<Find>,
    /// What becomes of the keys, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrite: Vec<Rewrite>,
    /// A store of its own, or a generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<GeneratorSourceRef>,
}

/// Which secrets of a store are meant.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct Find {
    /// Where to look. Everywhere when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// By name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<FindName>,
    /// By what the store says about them: all of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// What becomes of characters that no key of a Secret may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion_strategy: Option<ConversionStrategy>,
    /// How values are encoded in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoding_strategy: Option<DecodingStrategy>,
    /// What follows if a value has a zero byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_byte_policy: Option<NullBytePolicy>,
}

/// Names that are meant.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct FindName {
    /// A regular expression (RE2) that is found somewhere in the name.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
}

/// Where a row comes from.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.storeRef) || has(self.generatorRef)",
    "message": "storeRef must be set when using sourceRef in data",
}]))]
pub struct SourceRef {
    /// The store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<StoreRef>,
    /// Not served: a generator makes several keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_ref: Option<GeneratorRef>,
}

/// Where several keys come from.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.storeRef) || has(self.generatorRef)",
    "message": "generatorRef or storeRef must be set when using sourceRef in dataFrom",
}]))]
pub struct GeneratorSourceRef {
    /// The store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<StoreRef>,
    /// The generator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_ref: Option<GeneratorRef>,
}

/// A generator.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct GeneratorRef {
    /// Group and version of the generator.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Kind of the generator.
    pub kind: String,
    /// Name of the generator.
    pub name: String,
}

/// What of a secret is read.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum MetadataPolicy {
    /// Its data.
    None,
    /// What the store says about it.
    Fetch,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// What becomes of characters that no key of a Secret may have.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum ConversionStrategy {
    /// Each becomes `_`.
    Default,
    /// Each becomes `_U`, its number in hexadecimal digits, and `_`.
    Unicode,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// How values are encoded in the store.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum DecodingStrategy {
    /// As Base64 or Base64URL if they can be read so, else not.
    Auto,
    /// As Base64 with padding.
    Base64,
    /// As Base64 with padding and the letters of URLs.
    #[serde(rename = "Base64URL")]
    Base64Url,
    /// Not.
    None,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// What follows if a value has a zero byte.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq, Hash)]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum NullBytePolicy {
    /// Nothing.
    Ignore,
    /// The sync fails.
    Fail,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}
