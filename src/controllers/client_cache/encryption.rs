//! Stored clients are encrypted with a Transit key, through a VaultAuth that is labelled for it.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::ClientCache;
use crate::api::VaultAuth;
use crate::resolve;
use crate::vault::{ErrorKind, Identity, Session, SessionError, TokenSource, TransitKey};

/// Marks the VaultAuth.
const LABEL: &str = "cacheStorageEncryption";
/// No encryption takes longer, its login included.
const LIMIT: Duration = Duration::from_secs(90);

/// The session of the login that encrypts. It is not kept over a restart itself: there is nothing to encrypt it with.
pub(super) type EncryptionSlot = tokio::sync::Mutex<Option<Arc<Session>>>;

/// A VaultAuth for encryption, ready for use.
pub(super) struct Encryption {
    session: Arc<Session>,
    key: TransitKey,
    /// Name of the VaultAuth.
    pub name: String,
}

/// Why there is no plaintext.
pub(super) enum Undecryptable {
    /// It cannot be told now; nothing is said of the ciphertext.
    Now(String),
    /// It is not what the key has encrypted.
    Never(String),
}

/// The VaultAuth that is labelled for encryption, if there is exactly one. The text of the error is VSO's.
pub(super) fn labelled(cache: &ClientCache) -> Result<Arc<VaultAuth>, String> {
    let namespace = cache.stores.operator_namespace.as_str();
    let mut all: Vec<_> = cache.stores.auths.all();
    all.retain(|auth| {
        auth.namespace().as_deref() == Some(namespace)
            && auth.labels().get(LABEL).is_some_and(|v| v == "true")
            && auth.spec.storage_encryption.is_some()
            && auth.metadata.deletion_timestamp.is_none()
    });
    match all.pop() {
        Some(auth) if all.is_empty() => Ok(auth),
        found => {
            let found = all.len() + usize::from(found.is_some());
            Err(format!("invalid VaultAuth for storage encryption, found={found}, required=1"))
        }
    }
}

impl Encryption {
    /// Nothing is sent yet.
    pub async fn from_labelled_auth(cache: &ClientCache) -> Result<Self, String> {
        let auth = labelled(cache)?;
        let failed = |error: String| format!("failed to setup encryption client: {error}");
        let plan = resolve::auth(&auth, &cache.stores.operator_namespace, &*cache.stores);
        let plan = plan.map_err(|denied| failed(denied.to_string()))?;
        let server = cache.servers.get_or_connect(&plan.login.connection).await.map_err(failed)?;
        let Some(transit) = auth.spec.storage_encryption.clone() else { return Err(failed("no Transit key".into())) };
        let key =
            TransitKey { namespace: plan.login.vault_namespace.clone(), mount: transit.mount, name: transit.key_name };
        let identity = Identity(plan.login.identity(server.id));
        let mut slot = cache.encryption.lock().await;
        let session = match slot.take() {
            Some(session) if session.identity == identity => session,
            _ => {
                // Of its own: it does not give way to the sessions that it keeps tokens for.
                let provider = Box::new(cache.credentials(plan.login));
                let source = TokenSource { provider, store: None };
                Arc::new(Session::new(identity, server, source, cache.backoff))
            }
        };
        *slot = Some(session.clone());
        Ok(Self { session, key, name: auth.name_any() })
    }

    /// The data of Transit's answer, as VSO stores it.
    pub async fn encrypt(&self, plaintext: &SecretString) -> Result<Vec<u8>, String> {
        let encrypt = self.key.encrypt(&self.session, plaintext.expose_secret().as_bytes());
        let data = tokio::time::timeout(LIMIT, encrypt).await.map_err(|_| timed_out())?.map_err(describe)?;
        Ok(data.to_string().into_bytes())
    }

    /// The other way round.
    pub async fn decrypt(&self, stored: &[u8]) -> Result<SecretString, Undecryptable> {
        let data: Value = serde_json::from_slice(stored).unwrap_or_default();
        let Some(ciphertext) = data["ciphertext"].as_str() else {
            return Err(Undecryptable::Never("it has no ciphertext".into()));
        };
        let decrypt = self.key.decrypt(&self.session, ciphertext);
        let result = tokio::time::timeout(LIMIT, decrypt).await.map_err(|_| Undecryptable::Now(timed_out()))?;
        result.map_err(|error| match &error {
            SessionError::Request(e) if matches!(e.kind, ErrorKind::Invalid | ErrorKind::Protocol) => {
                Undecryptable::Never(format!("it cannot be decrypted: {error}"))
            }
            _ => Undecryptable::Now(describe(error)),
        })
    }
}

fn describe(error: SessionError) -> String {
    match error {
        SessionError::Request(error) => error.to_string(),
        error => format!("failed to setup encryption client: {error}"),
    }
}

fn timed_out() -> String {
    "setup timed out after 1m30s: Vault did not answer".to_owned()
}
