//! Pure: which object a Secret belongs to, and what a Secret carries that an object has created. Labels, owner
//! reference and texts are VSO's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use super::{MAC_ANNOTATION, RENDERED_ANNOTATION};
use crate::api::{GROUP, SecretOwner};
use crate::kubernetes::OwnedMetadata;

/// Labels of every Secret that this operator, or VSO, has created.
pub(super) const OWNER_LABELS: [(&str, &str); 3] = [
    ("app.kubernetes.io/managed-by", "hashicorp-vso"),
    ("app.kubernetes.io/name", "vault-secrets-operator"),
    ("app.kubernetes.io/component", "secret-sync"),
];
/// Label with the UID of the object that has created the Secret.
pub(super) const OWNER_UID_LABEL: &str = "secrets.hashicorp.com/vso-ownerRefUID";

/// The relation of an object to the Secret that has the name of its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The object has created the Secret.
    Ours,
    /// The Secret has another origin, and the object may take it over (`spec.destination.overwrite`).
    Overwrite,
    /// The object must not touch the Secret, for this reason.
    Foreign(String),
}

/// The relation of `owner` to a Secret. `wanted` is what the Secret would carry if `owner` had created it.
///
/// An owner reference with the UID of the object is proof that the object has created the Secret, whatever other
/// clients have made of its labels. Where there is no owner reference any more, the labels are.
pub fn ownership(secret: &Secret, wanted: &OwnedMetadata, owner: &dyn SecretOwner) -> Ownership {
    let references = owner_references(secret);
    if refers_to(references, owner) || (references.is_empty() && has_owner_labels(secret, wanted)) {
        return Ownership::Ours;
    }
    // A Secret with all labels, or with an owner of these kinds, was created for another object.
    let of_another = OWNER_LABELS.iter().all(|(key, value)| label(secret, key) == Some(value))
        || references.iter().any(|reference| reference.api_version.split('/').next() == Some(GROUP));
    if owner.destination().overwrite && !of_another {
        return Ownership::Overwrite;
    }
    Ownership::Foreign(refusal(secret, wanted, owner, of_another))
}

/// Whether a Secret carries the labels and the owner reference by which it is known as the object's.
pub(super) fn is_marked(secret: &Secret, wanted: &OwnedMetadata, owner: &dyn SecretOwner) -> bool {
    has_owner_labels(secret, wanted) && refers_to(owner_references(secret), owner)
}

/// The keys of `spec.destination` whose values are the operator's, where it asks for other ones.
pub fn overruled_keys(owner: &dyn SecretOwner) -> Vec<&str> {
    let destination = owner.destination();
    if !destination.create {
        return vec![];
    }
    let uid = owner.metadata().uid.as_deref().unwrap_or("");
    let labels = OWNER_LABELS.into_iter().chain([(OWNER_UID_LABEL, uid)]);
    let labels = labels.filter(|(key, value)| destination.labels.get(*key).is_some_and(|wanted| wanted != value));
    let annotations = [MAC_ANNOTATION, RENDERED_ANNOTATION].into_iter();
    let annotations = annotations.filter(|key| destination.annotations.contains_key(*key));
    labels.map(|(key, _)| key).chain(annotations).collect()
}

/// What a Secret carries that `owner` has created: `mac` is the MAC of its data, `rendered` the value of
/// [`RENDERED_ANNOTATION`].
pub fn owned_metadata(owner: &dyn SecretOwner, mac: &str, rendered: Option<&str>) -> OwnedMetadata {
    let destination = owner.destination();
    let mut labels = destination.labels.clone();
    labels.extend(OWNER_LABELS.map(|(key, value)| (key.to_owned(), value.to_owned())));
    labels.insert(OWNER_UID_LABEL.to_owned(), owner.metadata().uid.clone().unwrap_or_default());
    let mut annotations = destination.annotations.clone();
    annotations.insert(MAC_ANNOTATION.to_owned(), mac.to_owned());
    if let Some(rendered) = rendered {
        annotations.insert(RENDERED_ANNOTATION.to_owned(), rendered.to_owned());
    }
    OwnedMetadata { labels, annotations, owner: owner.owner_reference() }
}

/// What a Secret carries now.
pub(super) fn metadata_of(secret: &Secret) -> OwnedMetadata {
    let owners = secret.metadata.owner_references.as_deref().unwrap_or(&[]);
    OwnedMetadata {
        labels: secret.metadata.labels.clone().unwrap_or_default(),
        annotations: secret.metadata.annotations.clone().unwrap_or_default(),
        owner: match owners {
            [one] => json!(one),
            several => json!(several),
        },
    }
}

/// Whether two are equal but for the annotations with MACs, which are not worth a write of their own.
pub(super) fn equal_but_macs(one: &OwnedMetadata, other: &OwnedMetadata) -> bool {
    let without_macs = |metadata: &OwnedMetadata| -> BTreeMap<String, String> {
        let is_mac = |key: &str| matches!(key, MAC_ANNOTATION | RENDERED_ANNOTATION);
        metadata.annotations.iter().filter(|(key, _)| !is_mac(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    one.labels == other.labels && one.owner == other.owner && without_macs(one) == without_macs(other)
}

fn owner_references(secret: &Secret) -> &[OwnerReference] {
    secret.metadata.owner_references.as_deref().unwrap_or(&[])
}

fn refers_to(references: &[OwnerReference], owner: &dyn SecretOwner) -> bool {
    let uid = owner.metadata().uid.as_deref().unwrap_or("");
    !uid.is_empty() && references.iter().any(|reference| reference.uid == uid)
}

fn has_owner_labels(secret: &Secret, wanted: &OwnedMetadata) -> bool {
    let keys = OWNER_LABELS.iter().map(|(key, _)| key).chain([&OWNER_UID_LABEL]);
    keys.into_iter().all(|key| label(secret, key) == wanted.labels.get(*key).map(String::as_str))
}

fn label<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    secret.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// VSO's words: users search for them.
fn refusal(secret: &Secret, wanted: &OwnedMetadata, owner: &dyn SecretOwner, of_another: bool) -> String {
    let id = owner.destination_id();
    let mut text = String::new();
    for (key, _) in OWNER_LABELS {
        if label(secret, key) != wanted.labels.get(key).map(String::as_str) {
            text.push_str(&format!("invalid owner label, key={key}, present={}; ", label(secret, key).is_some()));
        }
    }
    match owner_references(secret) {
        [] => text.push_str(&format!("secret {id} has no ownerReferences; ")),
        refs => {
            let names: Vec<String> = refs.iter().map(|r| format!("{}/{}", r.kind, r.name)).collect();
            text.push_str(&format!("invalid ownerReferences, refs={}; ", names.join(",")));
        }
    }
    text.push_str(&format!("not the owner of the destination Secret {id}"));
    text.push_str(if of_another {
        "; it was made for another object, which spec.destination.overwrite does not change: choose another name"
    } else {
        "; set spec.destination.overwrite to take it over, or choose another name"
    });
    text
}
