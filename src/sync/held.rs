//! What a destination holds, looked at before new data is obtained for it.

use super::decide::{DestinationError, data_of, held_mac, immutable, mac_annotation, missing};
use super::destination::LastApplied;
use super::ownership::{Ownership, is_marked, owned_metadata, ownership};
use crate::api::SecretOwner;
use crate::kubernetes::{Revision, SecretIndex, SecretWriter, changed_at};
use crate::mac::MacKey;
use crate::render::SecretData;

/// The Secret of an object, which may write it.
#[derive(Debug)]
pub struct HeldSecret {
    /// The version, and the MAC of its content.
    pub applied: LastApplied,
    /// When it was last changed, in seconds since the epoch, as far as that is known.
    pub changed: Option<i64>,
    /// What it holds, if it was read for this look. `None`: it is the version that this process has written or read
    /// before.
    pub data: Option<SecretData>,
    /// Why its data cannot be changed, if so.
    pub immutable: Option<String>,
    /// It carries the labels and the owner reference by which it is known as the object's, if the object creates it.
    pub marked: bool,
}

impl HeldSecret {
    /// Another client has put other content there than this operator, as far as that is known.
    pub fn has_other_content(&self) -> bool {
        self.applied.annotation.as_ref().is_some_and(|written| *written != self.applied.mac)
    }
}

/// Looks at the destination. `None`: there is no Secret, and the object may create it. Costs a read unless `applied` is
/// the version that the watch tells of, and the spec is the one that was applied.
///
/// # Errors
/// If the object must not write there, or the Secret cannot be read.
pub async fn look(
    writer: &SecretWriter,
    index: &SecretIndex,
    owner: &dyn SecretOwner,
    key: &MacKey,
    applied: Option<&LastApplied>,
) -> Result<Option<HeldSecret>, DestinationError> {
    let destination = owner.destination();
    let revision = if destination.create { index.get(&owner.destination_id()) } else { None };
    let is_applied = owner.applied_generation() == owner.generation();
    if let Some(applied) = applied.filter(|applied| is_applied && revision.as_ref() == Some(&applied.revision)) {
        let applied = applied.clone();
        return Ok(Some(HeldSecret { applied, changed: None, data: None, immutable: None, marked: true }));
    }
    let Some(secret) = writer.get(&destination.name).await? else {
        return if destination.create { Ok(None) } else { Err(missing(owner)) };
    };
    let mut marked = true;
    if destination.create {
        let wanted = owned_metadata(owner, "", None);
        if let Ownership::Foreign(why) = ownership(&secret, &wanted, owner) {
            return Err(DestinationError::Refused(why));
        }
        marked = is_marked(&secret, &wanted, owner);
    }
    let mac = held_mac(&secret, key, owner.content_keys());
    let applied = LastApplied::new(Revision::of(&secret.metadata), &mac, mac_annotation(&secret).as_deref());
    Ok(Some(HeldSecret {
        applied,
        changed: changed_at(&secret.metadata),
        data: Some(data_of(&secret)),
        immutable: (secret.immutable == Some(true)).then(|| immutable(owner)),
        marked,
    }))
}
