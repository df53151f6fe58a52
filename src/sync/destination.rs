//! The destination Secret: compared before it is written, written under a precondition.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;

use super::decide::{
    DesiredSecret, DestinationError, Previous, Write, check_settled, decide, desired_metadata, held_mac,
    mac_annotation, type_of,
};
use super::ownership::{OWNER_LABELS, OWNER_UID_LABEL};
use super::restart::{restart_digest, restarted_for};
use crate::api::{Key, SecretOwner};
use crate::kubernetes::{ErrorKind, KubernetesError, OwnedMetadata, Revision, SecretIndex, SecretWriter, Workloads};

/// A Secret that another client writes at the same time is looked at so many times before the rest is left to a retry.
const ATTEMPTS: usize = 8;
/// Before each try to put a Secret back.
const RESTORE_PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

/// A version of the Secret that is known to hold certain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastApplied {
    /// The version.
    pub revision: Revision,
    /// MAC of its data.
    pub mac: Arc<str>,
    /// Its [`super::MAC_ANNOTATION`].
    pub annotation: Option<Arc<str>>,
}

impl LastApplied {
    /// One is kept of each object, so an annotation that is the MAC is kept once.
    pub fn new(revision: Revision, mac: &str, annotation: Option<&str>) -> Self {
        let mac: Arc<str> = mac.into();
        let annotation = annotation.map(|text| if *text == *mac { mac.clone() } else { text.into() });
        Self { revision, mac, annotation }
    }
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
    /// The result for a Secret that is known to be as it has to be.
    pub fn unchanged(applied: LastApplied) -> Self {
        let previous = Previous::Equal { annotation: applied.annotation.as_deref().map(str::to_owned), changed: None };
        SyncResult { applied, wrote: false, previous }
    }
}

/// Makes the Secret what it has to be. `applied` is what this process knows of it from an earlier run.
///
/// Costs nothing if it is the known version with the wanted data, one write if the version is known or the Secret is
/// new, and one read more if another client changed it or this process has not seen it yet.
pub async fn sync(
    writer: &SecretWriter,
    index: &SecretIndex,
    workloads: &Workloads,
    desired: &DesiredSecret<'_>,
    applied: Option<&LastApplied>,
) -> Result<SyncResult, DestinationError> {
    let owner = desired.owner;
    // A Secret that the object does not create carries no labels, so no watch tells of it: it is always read.
    let revision = if owner.destination().create { index.get(&owner.destination_id()) } else { None };
    let known = applied.filter(|applied| revision.as_ref() == Some(&applied.revision) && !desired.generation_changed);
    if let Some(applied) = known.filter(|applied| *applied.mac == *desired.mac) {
        return Ok(SyncResult::unchanged(applied.clone()));
    }
    // On the heap, since almost every run has ended by now.
    Box::pin(change(&Target { writer, index, workloads, desired }, revision.as_ref(), known)).await
}

/// The rest of [`sync`]: the Secret is not known to be what it has to be. `revision` is its version, if a watch tells
/// of it, and `known` what that version holds.
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
    if let Some(write) = expected {
        match target.write(&write, metadata.as_ref(), None).await {
            Ok(Some(new)) => return Ok(target.written(new, Previous::Other)),
            Ok(None) => {}
            // What the Secret is now may tell better what is wrong with the write.
            Err(error) if error.kind == ErrorKind::Invalid && matches!(write, Write::Replace(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for _ in 0..ATTEMPTS {
        let current = target.writer.get(&desired.owner.destination().name).await?;
        let (write, previous) = decide(desired, metadata.as_ref(), current.as_ref())?;
        if let Write::Nothing(revision) = write {
            let annotation = current.as_ref().and_then(mac_annotation);
            return Ok(target.unchanged(revision, annotation, previous));
        }
        if metadata.is_none()
            && let Some(current) = &current
        {
            target.check_lent_secret(current).await?;
        }
        if let Some(new) = target.write(&write, metadata.as_ref(), current.as_ref()).await? {
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
    workloads: &'a Workloads,
    desired: &'a DesiredSecret<'a>,
}

impl Target<'_> {
    /// Carries out a decision about the Secret as it is now. `None`: it is not any more what it was decided on.
    async fn write(
        &self,
        write: &Write,
        metadata: Option<&OwnedMetadata>,
        current: Option<&Secret>,
    ) -> Result<Option<Revision>, KubernetesError> {
        let name = &self.desired.owner.destination().name;
        let data = self.desired.data.as_map();
        let outdated = |kind: ErrorKind| match write {
            Write::Create | Write::Recreate(_) => kind == ErrorKind::Conflict,
            Write::Replace(_) => matches!(kind, ErrorKind::Conflict | ErrorKind::NotFound),
            Write::Nothing(_) => false,
        };
        let result = match (write, metadata, current) {
            (Write::Nothing(revision), ..) => Ok(revision.clone()),
            (Write::Replace(revision), ..) => self.writer.replace(name, revision, metadata, data).await,
            (Write::Create, Some(metadata), _) => self.create(metadata).await,
            (Write::Recreate(revision), Some(metadata), Some(current)) => {
                self.recreate(revision, metadata, current).await
            }
            _ => Err(KubernetesError::new(ErrorKind::Invalid, "create=false")),
        };
        match result {
            Ok(new) => Ok(Some(new)),
            Err(error) if outdated(error.kind) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn create(&self, metadata: &OwnedMetadata) -> Result<Revision, KubernetesError> {
        let owner = self.desired.owner;
        self.writer.create(&owner.destination().name, type_of(owner), metadata, self.desired.data.as_map()).await
    }

    /// Puts another Secret in the place of this version. That the other one can be created is known before the old one
    /// goes, and if it is refused all the same, the old one is put back.
    async fn recreate(
        &self,
        revision: &Revision,
        metadata: &OwnedMetadata,
        old: &Secret,
    ) -> Result<Revision, KubernetesError> {
        let (owner, id) = (self.desired.owner, self.desired.owner.destination_id());
        self.writer.try_create(&id.name, type_of(owner), metadata, self.desired.data.as_map()).await?;
        let mut replacing = self.index.replacing(&id);
        self.writer.delete(&id.name, revision).await?;
        let was_known = self.index.delete_own(&id, revision);
        let refused = match self.create(metadata).await {
            Err(error) if error.kind != ErrorKind::Conflict => error,
            answer => return answer,
        };
        let mut lost = None;
        for pause in RESTORE_PAUSES {
            tokio::time::sleep(pause).await;
            match self.writer.restore(old).await {
                Ok(revision) => {
                    if was_known {
                        self.index.apply_answer(&id, &revision, &Key { kind: owner.kind(), id: owner.id() });
                    }
                    // The next try is one of the back-off.
                    replacing.expected = true;
                    return Err(refused);
                }
                // One is there: the first answer was lost, or another client has made it.
                Err(error) if error.kind == ErrorKind::Conflict => return Err(refused),
                Err(error) => lost = Some(error),
            }
        }
        let why = lost.map(|error| error.to_string()).unwrap_or_default();
        let text = format!("{refused}; the Secret of the former type could not be put back: {why}");
        Err(KubernetesError::new(refused.kind, text))
    }

    /// Fails unless content in a Secret of another client may be replaced without a trace of it. Such a Secret carries
    /// no mark of this operator. Where a target carries that of the content, the operator has written it.
    async fn check_lent_secret(&self, current: &Secret) -> Result<(), DestinationError> {
        let held = held_mac(current, self.desired.key, self.desired.owner.content_keys());
        if check_settled(self.desired, &held).is_ok() {
            return Ok(());
        }
        let owner = self.desired.owner;
        let digest = restart_digest(&held, owner.metadata());
        for target in owner.restart_targets() {
            if restarted_for(self.workloads, target, owner.name(), &digest).await? {
                return Err(DestinationError::Unsettled(held));
            }
        }
        Ok(())
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
        let applied = LastApplied::new(revision, self.desired.mac, annotation.as_deref());
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
