//! Which version of each created Secret is the current one, and which object owns it. No data is kept.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use kube::core::PartialObjectMeta;
use parking_lot::RwLock;

use super::store::Sink;
use crate::api::{Key, Kind, ObjectRef};
use crate::util::{shrink, shrink_queue};

/// Selects the Secrets that this operator, or VSO, has created.
pub const OWNED_SELECTOR: &str = "app.kubernetes.io/managed-by=hashicorp-vso,app.kubernetes.io/component=secret-sync";

/// Selects the Secrets that ExternalSecrets fill.
pub const TARGET_SELECTOR: &str = "reconcile.external-secrets.io/managed=true";

/// The answer of a write arrives at most this much later than the news of a deletion that followed the write.
const LATEST_ANSWER: Duration = Duration::from_secs(60);

/// One version of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// UID.
    pub uid: Arc<str>,
    /// Resource version.
    pub resource_version: Arc<str>,
}

impl Revision {
    /// The version of an object that the API server returned.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            uid: meta.uid.as_deref().unwrap_or("").into(),
            resource_version: meta.resource_version.as_deref().unwrap_or("").into(),
        }
    }

    /// Resource versions are integers on every API server (KEP-5504).
    fn number(&self) -> Option<u64> {
        self.resource_version.parse().ok()
    }
}

/// Told of a Secret that was changed or deleted by another client, and of its owner.
type Listener = Box<dyn Fn(&ObjectRef, Option<Key>) + Send + Sync>;

/// The current version of each created Secret: about a hundred bytes for each. Kept current by a watch of metadata and
/// by the answers of the operator's own writes.
pub struct SecretIndex {
    /// The kinds that own Secrets.
    kinds: Vec<Kind>,
    entries: RwLock<Entries>,
    listener: OnceLock<Listener>,
}

#[derive(Default)]
struct Entries {
    by_name: HashMap<ObjectRef, Entry>,
    /// Secrets that were deleted a moment ago, or lost their labels.
    deleted: VecDeque<Deleted>,
    /// Secrets that this operator is replacing, each with the owner to tell of what happened to it meanwhile.
    replaced: HashMap<ObjectRef, Option<Owner>>,
}

struct Deleted {
    /// When that was learnt.
    at: Instant,
    uid: Arc<str>,
    /// This operator has deleted it.
    own: bool,
}

struct Entry {
    revision: Revision,
    owner: Option<Owner>,
}

/// The object in the namespace of the Secret that owns it.
#[derive(Clone)]
struct Owner {
    kind: Kind,
    name: Arc<str>,
}

impl SecretIndex {
    /// An empty index. `kinds` own Secrets.
    pub fn new(kinds: Vec<Kind>) -> Self {
        Self { kinds, entries: RwLock::default(), listener: OnceLock::new() }
    }

    /// The current version, if the Secret exists and carries the owner labels.
    pub fn get(&self, id: &ObjectRef) -> Option<Revision> {
        let entries = self.entries.read();
        entries.by_name.get(id).map(|entry| entry.revision.clone())
    }

    /// Has `listener` told of each Secret that another client changes or deletes, and of its owner. Only the first
    /// listener counts.
    pub fn listen(&self, listener: impl Fn(&ObjectRef, Option<Key>) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// Takes in what a write for the object `owner` has returned, ahead of the watch. A watch that fails now may never
    /// tell of the Secret: a deletion is noticed all the same, and its owner told. A Secret that the watch has seen
    /// deleted meanwhile stays deleted.
    pub fn apply_answer(&self, id: &ObjectRef, revision: &Revision, owner: &Key) {
        let mut entries = self.entries.write();
        if entries.deleted(&revision.uid).is_none() {
            let owner = Owner { kind: owner.kind, name: owner.id.name.clone() };
            entries.update(id, revision.clone(), Some(owner), is_older);
        }
    }

    /// Takes in that this operator has deleted a version of a Secret: no listener is told of that. True if the version
    /// was known.
    pub fn delete_own(&self, id: &ObjectRef, revision: &Revision) -> bool {
        let mut entries = self.entries.write();
        let known = entries.by_name.get(id).is_some_and(|entry| entry.revision.uid == revision.uid);
        entries.remove(id, Some(revision.uid.clone()), true);
        known
    }

    /// Tells no listener of this Secret until the answer is dropped. Then the listener is told of what came meanwhile,
    /// unless the caller knows what that was.
    pub fn replacing(&self, id: &ObjectRef) -> Replacing<'_> {
        self.entries.write().replaced.insert(id.clone(), None);
        Replacing { index: self, id: id.clone(), expected: false }
    }

    fn take_in(&self, object: &PartialObjectMeta<Secret>, update: impl Fn(&Revision, &Revision) -> bool) {
        let meta = &object.metadata;
        let id = ObjectRef::of(meta);
        let owner = self.owner_of(meta);
        let mut entries = self.entries.write();
        let uid = meta.uid.as_deref().unwrap_or("");
        match entries.deleted(uid) {
            Some(Deleted { own: true, .. }) => return,
            // It only had lost its labels.
            Some(_) => entries.deleted.retain(|deleted| *deleted.uid != *uid),
            None => {}
        }
        entries.forget_deletions(Instant::now());
        let former = entries.by_name.get(&id).and_then(|entry| entry.owner.clone());
        let changed = entries.update(&id, Revision::of(meta), owner.clone(), update);
        drop(entries);
        if changed {
            // Another client may have taken the owner reference away.
            self.tell(&id, owner.or(former));
        }
    }

    fn owner_of(&self, meta: &ObjectMeta) -> Option<Owner> {
        meta.owner_references.iter().flatten().find_map(|reference| {
            let kind = *self.kinds.iter().find(|kind| kind.as_str() == reference.kind)?;
            Some(Owner { kind, name: reference.name.as_str().into() })
        })
    }

    fn tell(&self, id: &ObjectRef, owner: Option<Owner>) {
        if let Some(later) = self.entries.write().replaced.get_mut(id) {
            *later = owner.or(later.take());
            return;
        }
        if let Some(listener) = self.listener.get() {
            let key = |Owner { kind, name }| Key { kind, id: ObjectRef::new(id.namespace.clone(), name) };
            listener(id, owner.map(key));
        }
    }
}

/// A Secret that this operator deletes and creates again: the watch may tell of both before their answers are there.
pub struct Replacing<'a> {
    index: &'a SecretIndex,
    id: ObjectRef,
    /// What came was the operator's own doing.
    pub expected: bool,
}

impl Drop for Replacing<'_> {
    fn drop(&mut self) {
        let owner = self.index.entries.write().replaced.remove(&self.id).flatten();
        if !self.expected {
            self.index.tell(&self.id, owner);
        }
    }
}

impl Entries {
    /// Takes in a version, if none of the name is known or `replaces` says so of the known one and this. True if it is
    /// another than the known one.
    fn update(
        &mut self,
        id: &ObjectRef,
        revision: Revision,
        owner: Option<Owner>,
        replaces: impl Fn(&Revision, &Revision) -> bool,
    ) -> bool {
        let Some(known) = self.by_name.get_mut(id) else {
            self.by_name.insert(id.clone(), Entry { revision, owner });
            return true;
        };
        known.owner = owner.or(known.owner.take());
        if !replaces(&known.revision, &revision) {
            return false;
        }
        known.revision = revision;
        true
    }

    /// Forgets the deletions that no answer can be older than.
    fn forget_deletions(&mut self, now: Instant) {
        while self.deleted.front().is_some_and(|deleted| now.duration_since(deleted.at) > LATEST_ANSWER) {
            self.deleted.pop_front();
        }
        shrink_queue(&mut self.deleted);
    }

    fn deleted(&self, uid: &str) -> Option<&Deleted> {
        self.deleted.iter().find(|deleted| *deleted.uid == *uid)
    }

    /// Removes the Secret with this UID, or whatever has the name. Gives the owner it had.
    fn remove(&mut self, id: &ObjectRef, uid: Option<Arc<str>>, own: bool) -> Option<Owner> {
        let is_gone = |entry: &Entry| uid.as_ref().is_none_or(|uid| *uid == entry.revision.uid);
        let gone = if self.by_name.get(id).is_some_and(is_gone) { self.by_name.remove(id) } else { None };
        shrink(&mut self.by_name);
        let now = Instant::now();
        self.forget_deletions(now);
        if let Some(uid) = uid.or_else(|| gone.as_ref().map(|entry| entry.revision.uid.clone())) {
            self.deleted.push_back(Deleted { at: now, uid, own });
        }
        gone?.owner
    }
}

/// Whether another Secret has the name by now, or the Secret a later version.
fn is_older(known: &Revision, now: &Revision) -> bool {
    known.uid != now.uid || known.number() < now.number()
}

impl Sink<PartialObjectMeta<Secret>> for SecretIndex {
    fn apply(&self, object: PartialObjectMeta<Secret>) {
        self.take_in(&object, is_older);
    }

    fn apply_listed(&self, object: PartialObjectMeta<Secret>) {
        self.take_in(&object, |known, listed| known != listed);
    }

    fn delete(&self, gone: &ObjectMeta) {
        let id = ObjectRef::of(gone);
        let uid = gone.uid.as_deref();
        let mut entries = self.entries.write();
        if uid.and_then(|uid| entries.deleted(uid)).is_some_and(|deleted| deleted.own) {
            return;
        }
        let known = entries.remove(&id, uid.map(Into::into), false);
        drop(entries);
        self.tell(&id, known.or_else(|| self.owner_of(gone)));
    }

    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>) {
        let mut entries = self.entries.write();
        let covered = |id: &&ObjectRef| namespace.is_none_or(|n| n == &*id.namespace) && !listed.contains(*id);
        let gone: Vec<ObjectRef> = entries.by_name.keys().filter(covered).cloned().collect();
        let gone: Vec<_> = gone.into_iter().map(|id| (entries.remove(&id, None, false), id)).collect();
        drop(entries);
        gone.into_iter().for_each(|(owner, id)| self.tell(&id, owner));
    }
}

#[cfg(test)]
mod tests;
