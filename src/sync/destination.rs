//! The destination Secret: compared before it is written, written under a precondition.

use super::decide::{
    DesiredSecret, DestinationError, Previous, Write, check_settled, decide, desired_metadata, mac_annotation, type_of,
};
use super::ownership::{OWNER_LABELS, OWNER_UID_LABEL};
use crate::api::{Key, SecretOwner};
use crate::kubernetes::{ErrorKind, KubernetesError, OwnedMetadata, Revision, SecretIndex, SecretWriter};

/// A Secret that another client writes at the same time is looked at so many times before the rest is left to a retry.
const ATTEMPTS: usize = 4;

/// A version of the Secret that is known to hold certain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastApplied {
    /// The version.
    pub revision: Revision,
    /// MAC of its data.
    pub mac: String,
    /// Its [`super::MAC_ANNOTATION`].
    pub annotation: Option<String>,
}

/// How a sync ended.
#[derive(Debug, PartialEq, Eq)]
pub struct SyncResult {
    /// The Secret as it is now.
    pub applied: LastApplied,
    /// It had to be written.
    pub wrote: bool,
    /// What it held before.
    pub previous: Previous,
}

impl SyncResult {
    /// Of a Secret that is known to be as it has to be.
    pub fn unchanged(applied: LastApplied) -> Self {
        let previous = Previous::Equal { annotation: applied.annotation.clone(), changed: None };
        SyncResult { applied, wrote: false, previous }
    }
}

/// Makes the Secret what it has to be. `applied` is what this process knows of it from an earlier run.
///
/// Costs nothing if it is the known version with the wanted data, one write if the version is known or the Secret is new,
/// and one read more if another client changed it or this process has not seen it yet.
pub async fn sync(
    writer: &SecretWriter,
    index: &SecretIndex,
    desired: &DesiredSecret<'_>,
    applied: Option<&LastApplied>,
) -> Result<SyncResult, DestinationError> {
    let owner = desired.owner;
    // A Secret that the object does not create carries no labels, so no watch tells of it: it is always read.
    let revision = if owner.destination().create { index.get(&owner.destination_id()) } else { None };
    let known = applied.filter(|applied| revision.as_ref() == Some(&applied.revision) && !desired.generation_changed);
    if let Some(applied) = known.filter(|applied| applied.mac == desired.mac) {
        return Ok(SyncResult::unchanged(applied.clone()));
    }
    // On the heap, since almost every run has ended by now.
    Box::pin(change(&Target { writer, index, desired }, revision.as_ref(), known)).await
}

/// The rest of [`sync`]: the Secret is not known to be what it has to be. `revision` is its version, if a watch tells of it,
/// and `known` what that version holds.
async fn change(
    target: &Target<'_>,
    revision: Option<&Revision>,
    known: Option<&LastApplied>,
) -> Result<SyncResult, DestinationError> {
    let desired = target.desired;
    let metadata = desired_metadata(desired);
    let expected = match (&metadata, revision, known) {
        (Some(_), Some(revision), Some(applied)) => {
            if applied.annotation.as_ref() == Some(&applied.mac) {
                check_settled(desired, &applied.mac)?;
            }
            Some(Write::Replace(revision.clone()))
        }
        (Some(_), None, _) => Some(Write::Create),
        _ => None,
    };
    if let Some(write) = expected
        && let Some(new) = target.write(&write, metadata.as_ref()).await?
    {
        return Ok(target.written(new, Previous::Other));
    }
    for _ in 0..ATTEMPTS {
        let current = target.writer.get(&desired.owner.destination().name).await?;
        let (write, previous) = decide(desired, metadata.as_ref(), current.as_ref())?;
        if let Write::Nothing(revision) = write {
            let annotation = current.as_ref().and_then(mac_annotation);
            return Ok(target.unchanged(revision, annotation, previous));
        }
        if let Some(new) = target.write(&write, metadata.as_ref()).await? {
            return Ok(target.written(new, previous));
        }
    }
    let id = desired.owner.destination_id();
    let text = format!("destination secret {id} is being changed by another client at the same time");
    Err(KubernetesError::new(ErrorKind::Conflict, text).into())
}

struct Target<'a> {
    writer: &'a SecretWriter,
    index: &'a SecretIndex,
    desired: &'a DesiredSecret<'a>,
}

impl Target<'_> {
    /// Carries out a decision. `None`: the Secret is not any more what it was decided on.
    async fn write(
        &self,
        write: &Write,
        metadata: Option<&OwnedMetadata>,
    ) -> Result<Option<Revision>, KubernetesError> {
        let name = &self.desired.owner.destination().name;
        let data = self.desired.data.as_map();
        let created = async || match metadata {
            Some(metadata) => self.writer.create(name, type_of(self.desired.owner), metadata, data).await,
            None => Err(KubernetesError::new(ErrorKind::Invalid, "create=false")),
        };
        let outdated = |kind: ErrorKind| match write {
            Write::Create => kind == ErrorKind::Conflict,
            Write::Replace(_) => matches!(kind, ErrorKind::Conflict | ErrorKind::NotFound),
            Write::Recreate(_) | Write::Nothing(_) => false,
        };
        let result = match write {
            Write::Nothing(revision) => Ok(revision.clone()),
            Write::Create => created().await,
            Write::Replace(revision) => self.writer.replace(name, revision, metadata, data).await,
            Write::Recreate(revision) => {
                self.writer.delete(name, revision).await?;
                created().await
            }
        };
        match result {
            Ok(new) => Ok(Some(new)),
            Err(error) if outdated(error.kind) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn written(&self, revision: Revision, previous: Previous) -> SyncResult {
        let annotation = self.desired.owner.destination().create.then(|| self.desired.mac.to_owned());
        SyncResult { wrote: true, ..self.unchanged(revision, annotation, previous) }
    }

    fn unchanged(&self, revision: Revision, annotation: Option<String>, previous: Previous) -> SyncResult {
        let owner = self.desired.owner;
        if owner.destination().create {
            let key = Key { kind: owner.kind(), id: owner.id() };
            self.index.apply_answer(&owner.destination_id(), &revision, &key);
        }
        let applied = LastApplied { revision, mac: self.desired.mac.to_owned(), annotation };
        SyncResult { applied, wrote: false, previous }
    }
}

/// Deletes the Secrets that an object has created under another name. Returns how many there were.
pub async fn delete_orphans(writer: &SecretWriter, owner: &dyn SecretOwner) -> Result<usize, KubernetesError> {
    let uid = owner.metadata().uid.as_deref().unwrap_or("");
    let mut selector: String = OWNER_LABELS.iter().map(|(key, value)| format!("{key}={value},")).collect();
    selector.push_str(&format!("{OWNER_UID_LABEL}={uid}"));
    let mut deleted = 0;
    for meta in writer.list(&selector).await? {
        let name = meta.name.as_deref().unwrap_or("");
        let owners = meta.owner_references.as_deref().unwrap_or(&[]);
        if name != owner.destination().name && serde_json::json!(owners) == serde_json::json!([owner.owner_reference()])
        {
            writer.delete(name, &Revision::of(&meta)).await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}
