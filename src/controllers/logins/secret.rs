//! Credentials that somebody has put into a Secret.

use k8s_openapi::api::core::v1::Secret;
use secrecy::SecretString;

use super::Credential;
use crate::cluster::SecretWriter;

/// The value of a key, as it is. Read at each login and kept nowhere, so that a changed Secret is used by the next one.
pub(super) async fn value(client: &kube::Client, namespace: &str, name: &str, key: &str) -> Result<Credential, String> {
    let secret = fetch(client, namespace, name).await?;
    let value = text(&secret, key)?;
    let uid = secret.metadata.uid.unwrap_or_default();
    Ok(Credential { secret: value, uid, version: secret.metadata.resource_version.unwrap_or_default() })
}

/// The whole Secret.
pub(super) async fn fetch(client: &kube::Client, namespace: &str, name: &str) -> Result<Secret, String> {
    let secret = SecretWriter::new(client, namespace).get(name).await.map_err(|e| e.to_string())?;
    secret.ok_or_else(|| format!("Secret {namespace}/{name} with the credential does not exist"))
}

/// The value of a key that must be there.
pub(super) fn text(secret: &Secret, key: &str) -> Result<SecretString, String> {
    let metadata = &secret.metadata;
    let (namespace, name) = (metadata.namespace.as_deref().unwrap_or(""), metadata.name.as_deref().unwrap_or(""));
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    let value = value.ok_or_else(|| format!("no key {key:?} found in secret {namespace}/{name}"))?;
    if value.0.is_empty() {
        return Err(format!("no data found in secret key {key:?} of {namespace}/{name}"));
    }
    let text = std::str::from_utf8(&value.0);
    let text = text.map_err(|_| format!("key {key:?} of secret {namespace}/{name} is not text (UTF-8)"))?;
    Ok(text.into())
}
