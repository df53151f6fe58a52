//! What a server says of itself: whether it is sealed, and which program it is. On the program nothing depends but what
//! people are told.

use std::fmt;

use serde::Deserialize;

/// A version is text of the server; a longer one is not shown.
const MAX_VERSION_BYTES: usize = 64;

/// The answer of `sys/seal-status`, which needs no token.
#[derive(Debug, Default, Deserialize)]
pub struct SealStatus {
    /// False before `vault operator init`.
    #[serde(default)]
    pub initialized: bool,
    /// True while the root key is not in memory.
    #[serde(default)]
    pub sealed: bool,
    /// Version of Vault or OpenBao.
    #[serde(default)]
    pub version: String,
    /// Only OpenBao has it, since 2.6.
    pub commit_date: Option<String>,
    /// Only Vault has it, since 1.19, where several nodes share the storage.
    pub removed_from_cluster: Option<bool>,
}

/// The program that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// HashiCorp Vault.
    Vault,
    /// OpenBao.
    OpenBao,
    /// One of the two.
    Unknown,
}

/// Program and version of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// The program.
    pub product: Product,
    /// Its version as it writes it, like `1.21.1+ent`. Empty if it says none.
    pub version: String,
}

impl Product {
    /// Its name in a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vault => "Vault",
            Self::OpenBao => "OpenBao",
            Self::Unknown => "Vault or OpenBao",
        }
    }
}

impl ServerVersion {
    /// From the answer of `sys/seal-status`. OpenBao has begun with version 2.0, and shows the date of its commit since
    /// 2.6. Before, it differs from Vault 2 in nothing that a server with one node says.
    pub fn of(status: &SealStatus) -> Self {
        let version = &status.version;
        let is_known = |c: char| c.is_ascii_alphanumeric() || ".+-_~".contains(c);
        let is_shown = version.len() <= MAX_VERSION_BYTES && version.chars().all(is_known);
        let is_vault = version.starts_with("0.") || version.starts_with("1.") || version.contains("+ent");
        let product = if status.commit_date.is_some() {
            Product::OpenBao
        } else if is_vault || status.removed_from_cluster.is_some() {
            Product::Vault
        } else {
            Product::Unknown
        };
        Self { product, version: if is_shown { version.clone() } else { String::new() } }
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.product.as_str())?;
        match self.version.as_str() {
            "" => Ok(()),
            version => write!(f, " {version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_told_by_its_seal_status() {
        for (answer, expected) in [
            // Whole answers of servers.
            (
                r#"{"type":"shamir","initialized":true,"sealed":false,"t":1,"n":1,"progress":0,"nonce":"","recovery_seal":false,"version":"2.7.2","commit_date":"2026-10-26T20:32:27Z","migration":false,"cluster_name":"vault-cluster-d2b5482b","cluster_id":"67460543-19e2-ba0f-126d-fc070384c3d7","storage_type":"inmem"}"#,
                "OpenBao 2.7.2",
            ),
            (
                r#"{"type":"shamir","initialized":true,"sealed":false,"t":1,"n":1,"progress":0,"nonce":"","version":"1.21.1","build_date":"2025-11-28T09:12:43Z","migration":false,"cluster_name":"vault-cluster-add1e74b","cluster_id":"5f610dc4-e992-1d6d-5d03-81f14db666a5","recovery_seal":false,"storage_type":"inmem"}"#,
                "Vault 1.21.1",
            ),
            // Parts of answers.
            (r#"{"version":"1.15.0","build_date":"2023-09-22T16:53:10Z"}"#, "Vault 1.15.0"),
            (r#"{"version":"2.0.3+ent","build_date":""}"#, "Vault 2.0.3+ent"),
            (r#"{"version":"2.0.3","build_date":"","removed_from_cluster":false}"#, "Vault 2.0.3"),
            (r#"{"version":"2.4.1","build_date":""}"#, "Vault or OpenBao 2.4.1"),
            (r#"{"commit_date":""}"#, "OpenBao"),
            (r#"{"version":"1.21.1 \n\"x\""}"#, "Vault"),
            (r#"{}"#, "Vault or OpenBao"),
        ] {
            let status = crate::vault::json::parse_as(answer.as_bytes()).unwrap();
            assert_eq!(ServerVersion::of(&status).to_string(), expected, "{answer}");
        }
        let long = SealStatus { version: "1.".repeat(MAX_VERSION_BYTES), ..SealStatus::default() };
        assert_eq!(ServerVersion::of(&long).to_string(), "Vault");
    }
}
