//! Credentials in Secrets.

use k8s_openapi::api::core::v1::Secret;
use secrecy::SecretString;

use super::{AuthMethodLogin, Credential};
use crate::kubernetes::SecretWriter;
use crate::vault::CredentialError;

/// The value of a key, as it is. Read at each login and kept nowhere, so that a changed Secret is used by the next one.
pub(super) async fn value(login: &AuthMethodLogin, name: &str, key: &str) -> Result<Credential, CredentialError> {
    let secret = fetch(login, name).await?;
    let value = text(&secret, key)?;
    let uid = secret.metadata.uid.unwrap_or_default();
    Ok(Credential { secret: value, uid, version: secret.metadata.resource_version.unwrap_or_default() })
}

/// The whole Secret.
pub(super) async fn fetch(login: &AuthMethodLogin, name: &str) -> Result<Secret, CredentialError> {
    let namespace = &login.plan.credential_namespace;
    let secret = SecretWriter::new(&login.client, namespace).get(name).await?;
    let missing = || CredentialError::Unusable(format!("Secret {namespace}/{name} with the credential does not exist"));
    secret.ok_or_else(missing)
}

/// The value of a key that must be there.
pub(super) fn text(secret: &Secret, key: &str) -> Result<SecretString, CredentialError> {
    let metadata = &secret.metadata;
    let (namespace, name) = (metadata.namespace.as_deref().unwrap_or(""), metadata.name.as_deref().unwrap_or(""));
    let unusable = |what: String| Err(CredentialError::Unusable(what));
    let Some(value) = secret.data.as_ref().and_then(|data| data.get(key)) else {
        return unusable(format!("no key {key:?} found in secret {namespace}/{name}"));
    };
    if value.0.is_empty() {
        return unusable(format!("no data found in secret key {key:?} of {namespace}/{name}"));
    }
    match std::str::from_utf8(&value.0) {
        Ok(text) => Ok(text.into()),
        Err(_) => unusable(format!("key {key:?} of secret {namespace}/{name} is not text (UTF-8)")),
    }
}
