//! Who has to look again when an object changes that others refer to.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::api::ObjectMeta;

use super::stores::Stores;
use super::work::Work;
use crate::api::{CustomObject, Key, ObjectRef, SecretOwner};
use crate::backoff::spread;
use crate::kubernetes::Change;
use crate::resolve;
use crate::workqueue::Class;

/// Objects that share a login are tried again within this time after it changed.
pub(super) const DEPENDENTS_SPREAD: Duration = Duration::from_millis(200);
/// Objects of a Vault that came back are tried again within this time.
pub(super) const RECOVERY_SPREAD: Duration = Duration::from_secs(2);

/// Makes objects due when what they refer to changes.
pub(crate) struct Dependents {
    stores: Arc<Stores>,
    work: Arc<Work>,
}

impl Dependents {
    /// Over these stores, into this queue.
    pub fn new(stores: Arc<Stores>, work: Arc<Work>) -> Self {
        Self { stores, work }
    }

    /// Makes a changed object due itself and forgets one that is gone. Returns its name if a controller would come to another
    /// result, so that those that refer to it have to look again.
    pub fn enqueue_if_changed<K: CustomObject>(&self, change: &Change<K>) -> Option<ObjectRef> {
        match change {
            Change::Deleted(object) => {
                let key = object.key();
                self.work.remove(&key);
                Some(key.id)
            }
            Change::Applied { old, new } => {
                if old.as_ref().is_some_and(|old| !spec_or_metadata_changed(old.meta(), new.meta())) {
                    return None;
                }
                let key = new.key();
                self.work.push_now(key.clone(), Class::Event);
                Some(key.id)
            }
        }
    }

    /// Makes the owners due that use one of these VaultAuths.
    pub fn of_auths(&self, auths: &HashSet<ObjectRef>) {
        self.push_owners(DEPENDENTS_SPREAD, |owner| {
            self.stores.auth_of(owner).is_some_and(|auth| auths.contains(&auth))
        });
    }

    /// Makes the owners due whose VaultAuth uses a VaultConnection.
    pub fn of_connection(&self, id: &ObjectRef, within: Duration) {
        self.push_owners(within, |owner| {
            let auth = self.stores.auth_of(owner).and_then(|auth| self.stores.auths.get(&auth));
            auth.and_then(|auth| self.stores.connection_of(&auth)).as_ref() == Some(id)
        });
    }

    /// Makes the owners due that refer to a SecretTransformation.
    pub fn of_transformation(&self, id: &ObjectRef) {
        self.push_owners(DEPENDENTS_SPREAD, |owner| {
            resolve::transformation_refs(&owner.destination().transformation, owner.namespace()).any(|r| r == *id)
        });
    }

    fn push_owners(&self, within: Duration, concerned: impl Fn(&dyn SecretOwner) -> bool) {
        if !self.work.is_listed() {
            return;
        }
        let mut rng = rand::rng();
        for owner in self.stores.all_owners() {
            if concerned(&*owner) {
                let key = Key { kind: owner.kind(), id: owner.id() };
                self.work.push(key, Instant::now() + spread(within, &mut rng), Class::Event);
            }
        }
    }
}

/// Whether anything changed that a controller reads; a change of status alone is an echo.
pub(super) fn spec_or_metadata_changed(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    old.uid != new.uid
        || old.generation != new.generation
        || old.deletion_timestamp != new.deletion_timestamp
        || old.labels != new.labels
        || old.annotations != new.annotations
}
