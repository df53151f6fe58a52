//! Vault's Transit engine: encryption with keys that never leave Vault.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::session::{Session, SessionError};
use super::{ErrorKind, VaultError};

/// A key of a Transit mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitKey {
    /// Vault namespace of the mount, empty for the root.
    pub namespace: String,
    /// Path of the mount.
    pub mount: String,
    /// Name of the key.
    pub name: String,
}

impl TransitKey {
    /// Encrypts. Gives the data of Vault's answer: the ciphertext, and with which version of the key it was made.
    pub async fn encrypt(&self, session: &Arc<Session>, plaintext: &[u8]) -> Result<Value, SessionError> {
        let body = json!({ "name": self.name, "plaintext": STANDARD.encode(plaintext) });
        let path = self.path("encrypt");
        let (answer, _) = session.write(&self.namespace, &path, &body).await?;
        if answer.data["ciphertext"].is_string() {
            Ok(Arc::unwrap_or_clone(answer.data))
        } else {
            Err(not_understood(&path))
        }
    }

    /// Decrypts a ciphertext, as in `vault:v1:…`.
    pub async fn decrypt(&self, session: &Arc<Session>, ciphertext: &str) -> Result<SecretString, SessionError> {
        let body = json!({ "name": self.name, "ciphertext": ciphertext });
        let path = self.path("decrypt");
        let (answer, _) = session.write(&self.namespace, &path, &body).await?;
        let plaintext = answer.data["plaintext"].as_str().and_then(|text| STANDARD.decode(text).ok());
        let plaintext = plaintext.and_then(|bytes| String::from_utf8(bytes).ok());
        plaintext.map(Into::into).ok_or_else(|| not_understood(&path))
    }

    fn path(&self, verb: &str) -> String {
        format!("{}/{verb}/{}", self.mount.trim_matches('/'), self.name.trim_matches('/'))
    }
}

fn not_understood(path: &str) -> SessionError {
    SessionError::Request(VaultError::new(ErrorKind::Protocol, path, "the answer is not that of the Transit engine"))
}
