//! The provider that reads KV engines of Vault and OpenBao.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selector::{CaProvider, SecretKeySelector};
use super::vault_auth::VaultStoreAuth;
use crate::api::common::{is_default, non_empty};

/// A KV engine.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.checkAndSet) && has(self.checkAndSet.required) && self.checkAndSet.required && has(self.version) && self.version == 'v1')",
    "message": "checkAndSet is not supported with Vault KV version v1",
}]))]
pub struct VaultProvider {
    /// URL of the server. A path is kept before that of each request.
    pub server: String,
    /// Path of the KV mount.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Version of the KV engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "v2"))]
    pub version: Option<KvVersion>,
    /// Vault namespace.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Certificate authorities, PEM in Base64.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub ca_bundle: Option<String>,
    /// Where certificate authorities are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_provider: Option<CaProvider>,
    /// The certificate that the operator shows to the server.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: VaultClientTls,
    /// Reads see what was written with the login before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_your_writes: bool,
    /// Reads that a node cannot answer yet are sent on to the active one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub forward_inconsistent: bool,
    /// Sent with every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How secrets are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_and_set: Option<CheckAndSet>,
    /// How to log in. Without it requests carry no token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<VaultStoreAuth>,
}

/// The versions of Vault's KV engine.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "")] // else it replaces that of an optional member
pub enum KvVersion {
    /// KV without versions.
    V1,
    /// KV with versions.
    #[default]
    V2,
    /// Anything else, as it was written.
    #[serde(untagged)]
    #[schemars(skip)]
    Unknown(String),
}

/// A client certificate.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultClientTls {
    /// The certificate, key `tls.crt` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_secret_ref: Option<SecretKeySelector>,
    /// Its key, key `tls.key` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_secret_ref: Option<SecretKeySelector>,
}

/// How secrets are written.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct CheckAndSet {
    /// Each write names the version that it replaces.
    #[serde(default, skip_serializing_if = "is_default")]
    pub required: bool,
}
