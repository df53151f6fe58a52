//! VaultConnection: where a Vault is and how to reach it.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{DURATION_PATTERN, conditions, conditions_schema, non_empty};
use super::condition::Condition;
use super::kind::{CustomObject, Kind, KindNames};

/// Address of a Vault server and the settings of the transport to it.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[kube(
    group = "secrets.hashicorp.com",
    version = "v1beta1",
    kind = "VaultConnection",
    doc = "Says where a Vault server is and how to talk to it.",
    namespaced,
    status = "VaultConnectionStatus",
    derive = "Default",
    derive = "PartialEq",
    attr = "cfg_attr(true, serde(default))"
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultConnectionSpec {
    /// URL of the server.
    pub address: String,
    /// Headers sent with every request. The Vault namespace cannot be set here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Server name for SNI and for the check of the server's certificate, when it differs from the host of the address.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    /// Name of a Secret in the namespace of this object whose key `ca.crt` holds the CA certificates (PEM) to trust.
    /// Not together with `caCertPath`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub ca_cert_secret_ref: Option<String>,
    /// File in the operator's pod that holds the CA certificates (PEM) to trust. Not together with `caCertSecretRef`.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    pub ca_cert_path: Option<String>,
    /// Do not check the server's certificate. Anyone on the way can then read and change everything.
    #[serde(rename = "skipTLSVerify")]
    #[schemars(extend("default" = false))]
    pub skip_tls_verify: bool,
    /// How long one request may take, such as `30s`. 60 seconds when unset.
    #[serde(deserialize_with = "non_empty", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = DURATION_PATTERN))]
    pub timeout: Option<String>,
    /// Namespaces whose VaultAuths may use this connection. Every namespace may when the list is empty. The
    /// connection's own namespace always may; the single entry `*` stands for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_namespaces: Vec<String>,
}

/// What is known about the connection.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
pub struct VaultConnectionStatus {
    /// Whether the server could be reached with these settings.
    pub valid: bool,
    /// Conditions of the connection.
    #[serde(default, deserialize_with = "conditions", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
}

impl CustomObject for VaultConnection {
    const KIND: Kind = Kind::new(&KindNames {
        api_version: super::API_VERSION,
        kind: "VaultConnection",
        controller: "vaultconnection",
        component: "VaultConnection",
    });

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}
