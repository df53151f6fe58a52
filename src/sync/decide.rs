//! Pure: what has to be written, from what the Secret has to be and what it is.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use super::MAC_ANNOTATION;
use super::ownership::{Ownership, equal_but_macs, is_marked, metadata_of, owned_metadata, ownership};
use crate::api::{ContentKeys, SecretOwner};
use crate::kubernetes::{KubernetesError, OwnedMetadata, Revision, changed_at};
use crate::mac::MacKey;
use crate::render::SecretData;

/// What the Secret has to be.
#[derive(Clone, Copy)]
pub struct DesiredSecret<'a> {
    /// The object that owns it.
    pub owner: &'a dyn SecretOwner,
    /// All keys and values.
    pub data: &'a SecretData,
    /// MAC of `data`.
    pub mac: &'a str,
    /// The value of [`super::RENDERED_ANNOTATION`].
    pub rendered: Option<&'a str>,
    /// Key of the MACs.
    pub key: &'a MacKey,
    /// Workloads are restarted for new content.
    pub restarts: bool,
    /// The content whose restarts are all done: `status.secretMAC`, as a MAC of this operator.
    pub recorded: Option<&'a str>,
    /// The object's spec, labels or annotations changed since it was last applied, so labels, annotations and type of
    /// the Secret are compared and not only the data.
    pub generation_changed: bool,
}

/// What has to be done with the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// It is as it has to be, in this version.
    Nothing(Revision),
    /// There is none.
    Create,
    /// This version gets other data, and other metadata where the object has created it.
    Replace(Revision),
    /// This version is deleted and another Secret put in its place, since the type of a Secret cannot be changed.
    Recreate(Revision),
}

/// What a Secret held before a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Previous {
    /// The wanted data already.
    Equal {
        /// The [`MAC_ANNOTATION`] with it.
        annotation: Option<String>,
        /// When the Secret was last changed, in seconds since the epoch, as far as that is known.
        changed: Option<i64>,
    },
    /// Other data, or there was no Secret.
    Other,
}

/// Why a destination was not synced.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// It has another owner.
    #[error("{0}")]
    Refused(String),
    /// It does not exist and must not be created.
    #[error("{0}")]
    Missing(String),
    /// Its data cannot be changed.
    #[error("{0}")]
    Immutable(String),
    /// It holds content, with this MAC, whose restarts are not known to be done, and is to hold the content that is
    /// recorded as done, or the first to be recorded. Written like that, no trace would be left of what is owed to
    /// targets that were restarted in between; so this content has to be recorded first.
    #[error("the restarts for its former content are not recorded")]
    Unsettled(String),
    /// The API server did not do it.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
}

/// The labels, annotations and owner reference of the Secret. `None` if the object does not create it: then they are
/// not its own.
pub fn desired_metadata(desired: &DesiredSecret<'_>) -> Option<OwnedMetadata> {
    let create = desired.owner.destination().create;
    create.then(|| owned_metadata(desired.owner, desired.mac, desired.rendered))
}

/// What has to be done with the Secret as it is now, and what it held. `metadata` is that of [`desired_metadata`].
pub fn decide(
    desired: &DesiredSecret<'_>,
    metadata: Option<&OwnedMetadata>,
    current: Option<&Secret>,
) -> Result<(Write, Previous), DestinationError> {
    let Some(current) = current else {
        return match metadata {
            Some(_) => Ok((Write::Create, Previous::Other)),
            None => Err(missing(desired.owner)),
        };
    };
    let revision = Revision::of(&current.metadata);
    let annotation = mac_annotation(current);
    let content = desired.owner.content_keys();
    let equal_data = equal_data(current, desired.data, content);
    let previous = if equal_data {
        Previous::Equal { annotation: annotation.clone(), changed: changed_at(&current.metadata) }
    } else {
        Previous::Other
    };
    let relation = metadata.map(|metadata| ownership(current, metadata, desired.owner));
    if let Some(Ownership::Foreign(why)) = relation {
        return Err(DestinationError::Refused(why));
    }
    if metadata.is_some() && current.type_.as_deref().unwrap_or("Opaque") != type_of(desired.owner) {
        return Ok((Write::Recreate(revision), previous));
    }
    if current.immutable == Some(true) && !equal_data {
        return Err(DestinationError::Immutable(immutable(desired.owner)));
    }
    if relation == Some(Ownership::Ours)
        && !equal_data
        && let Some(held) = annotation.filter(|mac| desired.key.verify(&content_of(current, content), mac))
    {
        check_settled(desired, &held)?;
    }
    let equal_metadata = match (metadata, relation) {
        (Some(metadata), Some(Ownership::Overwrite)) => metadata_of(current) == *metadata,
        (Some(metadata), _) if !is_marked(current, metadata, desired.owner) => false,
        (Some(metadata), _) if desired.generation_changed => equal_but_macs(&metadata_of(current), metadata),
        _ => true,
    };
    let write = if equal_data && equal_metadata { Write::Nothing(revision) } else { Write::Replace(revision) };
    Ok((write, previous))
}

/// Whether content of ours, with the MAC `held`, may be replaced without a trace of it.
pub fn check_settled(desired: &DesiredSecret<'_>, held: &str) -> Result<(), DestinationError> {
    let traceable = desired.recorded.is_some_and(|recorded| recorded == held || recorded != desired.mac);
    if traceable || !desired.restarts { Ok(()) } else { Err(DestinationError::Unsettled(held.to_owned())) }
}

/// The MAC of the content that a Secret holds. Where it is that of [`MAC_ANNOTATION`], this operator has written it:
/// another client that changes the data leaves the annotation as it is, or takes it off.
pub(super) fn held_mac(secret: &Secret, key: &MacKey, content: ContentKeys) -> String {
    key.mac(&content_of(secret, content))
}

fn content_of(secret: &Secret, content: ContentKeys) -> BTreeMap<String, Vec<u8>> {
    let data = secret.data.iter().flatten().filter(|(name, _)| content.contains(name));
    data.map(|(name, value)| (name.clone(), value.0.clone())).collect()
}

/// There is no Secret, and the object must not create it.
pub(super) fn missing(owner: &dyn SecretOwner) -> DestinationError {
    let id = owner.destination_id();
    DestinationError::Missing(format!("destination secret {id} does not exist, and create=false"))
}

/// What to do with a Secret that was made immutable.
pub(super) fn immutable(owner: &dyn SecretOwner) -> String {
    let id = owner.destination_id();
    let remedy = if owner.destination().create {
        "delete it to have it created again with the new data"
    } else {
        "delete it and create it again without `immutable`"
    };
    format!("destination secret {id} is immutable, and keeps its old data; {remedy}")
}

/// The type of the Secret.
pub(super) fn type_of(owner: &dyn SecretOwner) -> &str {
    owner.destination().type_.as_deref().unwrap_or("Opaque")
}

/// The [`MAC_ANNOTATION`] of a Secret.
pub(super) fn mac_annotation(secret: &Secret) -> Option<String> {
    secret.metadata.annotations.as_ref()?.get(MAC_ANNOTATION).cloned()
}

/// What a Secret holds.
pub(super) fn data_of(secret: &Secret) -> SecretData {
    secret.data.iter().flatten().map(|(name, value)| (name.clone(), value.0.clone())).collect()
}

fn equal_data(secret: &Secret, data: &SecretData, content: ContentKeys) -> bool {
    let have = secret.data.iter().flatten().filter(|(name, _)| content.contains(name));
    let want = data.as_map().iter().filter(|(name, _)| content.contains(name));
    have.map(|(name, value)| (name, &value.0)).eq(want)
}

#[cfg(test)]
mod tests;
