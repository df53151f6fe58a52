//! Credentials that somebody has put into a Secret.

use super::Credential;
use crate::cluster::SecretWriter;

/// The value of a key, as it is. Read at each login and kept nowhere, so that a changed Secret is used by the next one.
pub(super) async fn value(client: &kube::Client, namespace: &str, name: &str, key: &str) -> Result<Credential, String> {
    let secret = SecretWriter::new(client, namespace).get(name).await.map_err(|e| e.to_string())?;
    let secret = secret.ok_or_else(|| format!("Secret {namespace}/{name} with the credential does not exist"))?;
    let value = secret.data.and_then(|mut data| data.remove(key));
    let value = value.ok_or_else(|| format!("no key {key:?} found in secret {namespace}/{name}"))?;
    if value.0.is_empty() {
        return Err(format!("no data found in secret key {key:?} of {namespace}/{name}"));
    }
    let text = String::from_utf8(value.0);
    let text = text.map_err(|_| format!("key {key:?} of secret {namespace}/{name} is not text (UTF-8)"))?;
    Ok(Credential { secret: text.into(), uid: secret.metadata.uid.unwrap_or_default() })
}
