//! Output of templates that draw salts or random numbers: it is reused as long as their inputs do not change.

use k8s_openapi::api::core::v1::Secret;

use super::decide::data_of;
use super::{MAC_ANNOTATION, RENDERED_ANNOTATION};
use crate::api::Destination;
use crate::kubernetes::{KubernetesError, SecretWriter};
use crate::mac::MacKey;
use crate::render::SecretData;

/// What [`RENDERED_ANNOTATION`] says of data with this MAC that was made of these inputs. Both are in it, so that a
/// writer without the key cannot pass off other data, not even some that was right once.
pub fn rendered_mac(key: &MacKey, inputs: &str, mac: &str) -> String {
    key.mac_of_texts(["rendered", inputs, mac].into_iter())
}

/// The data that the destination has, if it was made of these inputs and is as it was made. `mac` is that of the data
/// that this process has made of them, which is all there is to know of a Secret that the object has not created.
pub async fn reusable_output(
    writer: &SecretWriter,
    destination: &Destination,
    key: &MacKey,
    inputs: &str,
    mac: Option<&str>,
) -> Result<Option<SecretData>, KubernetesError> {
    let secret = writer.get(&destination.name).await?;
    Ok(secret.and_then(|secret| data_if_reusable(secret, destination.create, key, inputs, mac)))
}

fn data_if_reusable(secret: Secret, create: bool, key: &MacKey, inputs: &str, mac: Option<&str>) -> Option<SecretData> {
    let data = data_of(&secret);
    let found = key.mac(data.as_map());
    let made_here = mac == Some(found.as_str());
    let annotations = secret.metadata.annotations.unwrap_or_default();
    let made_before = create
        && annotations.get(MAC_ANNOTATION) == Some(&found)
        && annotations.get(RENDERED_ANNOTATION) == Some(&rendered_mac(key, inputs, &found));
    (made_here || made_before).then_some(data)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_was_made_of_the_same_and_is_as_it_was_is_kept() {
        let key = MacKey::new(b"0123456789abcdef").unwrap();
        let other = MacKey::new(b"fedcba9876543210").unwrap();
        let data: SecretData = [("a".to_owned(), b"salted".to_vec())].into_iter().collect();
        let mac = key.mac(data.as_map());
        let secret = |value: &str, rendered: &str| -> Secret {
            let annotations = json!({ MAC_ANNOTATION: mac, RENDERED_ANNOTATION: rendered });
            serde_json::from_value(json!({ "metadata": { "annotations": annotations }, "data": { "a": value } }))
                .unwrap()
        };
        let (good, bad) = ("c2FsdGVk", "b3RoZXI=");
        let right = rendered_mac(&key, "inputs", &mac);
        let kept =
            |secret, create, inputs, known| data_if_reusable(secret, create, &key, inputs, known) == Some(data.clone());
        assert!(kept(secret(good, &right), true, "inputs", None));
        assert!(!kept(secret(good, &right), true, "others", None), "other inputs");
        assert!(!kept(secret(bad, &right), true, "inputs", None), "other data");
        assert!(!kept(secret(good, &rendered_mac(&other, "inputs", &mac)), true, "inputs", None), "another key");
        assert!(!kept(secret(good, &right), false, "inputs", None), "a Secret of somebody else");
        assert!(kept(secret(good, ""), false, "inputs", Some(&mac)), "made by this process");
        assert!(!kept(secret(bad, ""), false, "inputs", Some(&mac)), "made by this process, changed since");
    }
}
