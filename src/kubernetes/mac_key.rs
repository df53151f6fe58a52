//! The key of the MACs in the status of objects, kept in a Secret that VSO reads too.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::error::with_timeout;
use super::{ErrorKind, FIELD_MANAGER, KubernetesError};
use crate::mac::MacKey;

/// Name, labels and key are VSO's: with another key each MAC would differ, and a swap in either direction would
/// rewrite every Secret.
const NAME: &str = "vso-cc-storage-hmac-key";
const DATA_KEY: &str = "key";

/// The key, and since when it has been there.
pub struct KnownKey {
    /// The key.
    pub key: MacKey,
    /// Seconds since the epoch, by the clock of the API server. A MAC that is older was made with another key.
    pub made: i64,
}

/// Reads the key, or makes it if there is none. A Secret with a key of the wrong length is an error: making a new one
/// would void every MAC that was written with it.
pub async fn ensure_mac_key(client: &kube::Client, namespace: &str) -> Result<KnownKey, KubernetesError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    loop {
        let what = format!("get Secret {namespace}/{NAME}");
        if let Some(secret) = with_timeout(&what, api.get_opt(NAME)).await? {
            let made = secret.metadata.creation_timestamp.map_or(0, |t| t.0.as_second());
            let bytes = secret.data.and_then(|mut d| d.remove(DATA_KEY)).map(|b| b.0).unwrap_or_default();
            return MacKey::new(&bytes).map(|key| KnownKey { key, made }).map_err(|e| {
                let text = format!("Secret {namespace}/{NAME}: {e}. Restore it from a backup, or delete it: then every object is synced anew once");
                KubernetesError::new(ErrorKind::Invalid, text)
            });
        }
        let secret: Secret = serde_json::from_value(json!({
            "metadata": { "name": NAME, "labels": {
                "app.kubernetes.io/name": "vault-secrets-operator",
                "app.kubernetes.io/managed-by": "hashicorp-vso",
                "app.kubernetes.io/component": "client-cache-storage-verification",
            }},
            "immutable": true,
            "type": "Opaque",
        }))
        .map_err(|e| KubernetesError::new(ErrorKind::Invalid, e.to_string()))?;
        let key: [u8; 16] = rand::random();
        let secret = Secret { data: Some([(DATA_KEY.to_owned(), ByteString(key.to_vec()))].into()), ..secret };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match with_timeout(&format!("create Secret {namespace}/{NAME}"), api.create(&params, &secret)).await {
            // Another replica was first: read what it made.
            Err(error) if error.kind == ErrorKind::Conflict => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
}
