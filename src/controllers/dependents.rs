//! Which objects have to look again when one changes that they refer to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;
use parking_lot::Mutex;

use super::stores::Stores;
use super::work::Work;
use crate::api::external_secrets::remote::GeneratorRef;
use crate::api::external_secrets::{ClusterExternalSecret, ClusterPushSecret, StoreKind};
use crate::api::{CustomObject, Key, ObjectRef, SecretOwner, VaultConnection};
use crate::backoff::spread;
use crate::kubernetes::{Change, Store};
use crate::resolve;
use crate::workqueue::Class;

/// Objects that share a login are tried again within this time after it changed.
pub(super) const DEPENDENTS_SPREAD: Duration = Duration::from_millis(200);
/// Objects of a Vault that came back are tried again within this time.
pub(super) const RECOVERY_SPREAD: Duration = Duration::from_secs(2);
/// Changes that come together are looked at together.
pub(super) const COALESCE: Duration = Duration::from_millis(250);
/// Connections that work again are collected for this time.
const RECOVERY_BATCH: Duration = Duration::from_millis(200);

/// Makes objects due when what they refer to changes.
pub(crate) struct Dependents {
    stores: Arc<Stores>,
    work: Arc<Work>,
    /// VaultConnections that work again, until their users are told.
    recovered: Mutex<HashSet<ObjectRef>>,
}

impl Dependents {
    /// Looks for dependents in these stores, and puts them into this queue.
    pub fn new(stores: Arc<Stores>, work: Arc<Work>) -> Self {
        Self { stores, work, recovered: Mutex::default() }
    }

    /// Makes a changed object due itself and forgets one that is gone. Returns its name if a controller would come to
    /// another result, so that those that refer to it have to look again.
    pub fn enqueue_if_changed<K: CustomObject>(&self, change: &Change<K>) -> Option<ObjectRef> {
        match change {
            Change::Deleted(object) => {
                let key = object.key();
                self.work.remove(&key);
                Some(key.id)
            }
            Change::Applied { old, new, .. } => {
                if old.as_ref().is_some_and(|old| !spec_or_metadata_changed(old.meta(), new.meta())) {
                    return None;
                }
                let key = new.key();
                // A repaired spec or a deletion does not wait for a Vault that hangs.
                let meta = |object: &K| (object.meta().generation, object.meta().deletion_timestamp.is_some());
                let asked_for = old.as_ref().is_some_and(|old| meta(old) != meta(new));
                self.work.push_now(key.clone(), if asked_for { Class::Urgent } else { Class::Event });
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

    /// Makes the objects due that reach Vault by way of a VaultConnection, or of a store.
    pub fn of_connection(&self, connection: &Key, within: Duration) {
        if connection.kind == VaultConnection::KIND {
            self.of_connections(&HashSet::from([connection.id.clone()]), within);
        } else {
            self.of_store(connection, within);
        }
    }

    /// Makes the ExternalSecrets and PushSecrets due that use a store.
    pub fn of_store(&self, store: &Key, within: Duration) {
        self.push(&self.stores.external_secrets, within, |object| resolve::uses_store(object, store));
        self.push(&self.stores.push_secrets, within, |object| resolve::pushes_to(object, store));
    }

    /// Makes the ExternalSecrets due that fill a Secret.
    pub fn of_target(&self, id: &ObjectRef, within: Duration) {
        self.push(&self.stores.external_secrets, within, |object| {
            object.metadata.namespace.as_deref() == Some(&*id.namespace) && object.target_name() == &*id.name
        });
    }

    /// Makes the ExternalSecrets and PushSecrets of a namespace due that use a ClusterSecretStore: its labels may admit
    /// them or not.
    pub fn of_namespace(&self, namespace: &str, within: Duration) {
        self.push(&self.stores.external_secrets, within, |object| {
            object.metadata.namespace.as_deref() == Some(namespace)
                && resolve::store_refs(object).any(|reference| reference.kind == Some(StoreKind::ClusterSecretStore))
        });
        self.push(&self.stores.push_secrets, within, |object| {
            let mut references = object.spec.secret_store_refs.iter();
            object.metadata.namespace.as_deref() == Some(namespace)
                && references.any(|reference| reference.kind == Some(StoreKind::ClusterSecretStore))
        });
    }

    /// Makes the ExternalSecrets and PushSecrets due that use a generator. One that works is not generated anew for it.
    pub fn of_generator(&self, generator: &Key) {
        let is_there = |namespace: Option<&str>| namespace == Some(&*generator.id.namespace);
        let is_meant = |of: &GeneratorRef| of.kind == generator.kind.as_str() && of.name == *generator.id.name;
        self.push(&self.stores.external_secrets, DEPENDENTS_SPREAD, |object| {
            let mut references =
                object.spec.data_from.iter().filter_map(|entry| entry.source_ref.as_ref()?.generator_ref.as_ref());
            is_there(object.metadata.namespace.as_deref()) && references.any(is_meant)
        });
        self.push(&self.stores.push_secrets, DEPENDENTS_SPREAD, |object| {
            is_there(object.metadata.namespace.as_deref())
                && object.spec.selector.generator_ref.as_ref().is_some_and(is_meant)
        });
    }

    /// Makes the ClusterExternalSecrets due that have made an ExternalSecret, or would make one of its name.
    pub fn of_external_secret(&self, made: &ObjectMeta) {
        self.push_fan_outs(&self.stores.cluster_external_secrets, made, ClusterExternalSecret::inner_name);
    }

    /// Makes the ClusterPushSecrets due that have made a PushSecret, or would make one of its name.
    pub fn of_push_secret(&self, made: &ObjectMeta) {
        self.push_fan_outs(&self.stores.cluster_push_secrets, made, ClusterPushSecret::inner_name);
    }

    fn push_fan_outs<K: CustomObject>(&self, store: &Store<K>, made: &ObjectMeta, inner_name: impl Fn(&K) -> &str) {
        if !self.work.is_listed() {
            return;
        }
        for object in store.all() {
            let is_owner = |owner: &OwnerReference| {
                owner.kind == K::KIND.as_str() && Some(&owner.name) == object.meta().name.as_ref()
            };
            if made.name.as_deref() == Some(inner_name(&object)) || made.owner_references.iter().flatten().any(is_owner)
            {
                self.work.push(object.key(), Instant::now() + COALESCE, Class::Event);
            }
        }
    }

    /// Makes the objects of a store due that a change concerns. Before all are listed, every one is due anyway.
    fn push<K: CustomObject>(&self, store: &Store<K>, within: Duration, concerned: impl Fn(&K) -> bool) {
        if !self.work.is_listed() {
            return;
        }
        let mut rng = rand::rng();
        for object in store.all() {
            if concerned(&object) {
                self.work.push(object.key(), Instant::now() + spread(within, &mut rng), Class::Event);
            }
        }
    }

    /// Makes the owners due that use a VaultConnection which works again. A Vault that comes back brings all its
    /// connections with it, so those of a short while are looked for together.
    pub fn of_recovered_connection(self: &Arc<Self>, id: &ObjectRef) {
        let mut recovered = self.recovered.lock();
        recovered.insert(id.clone());
        if recovered.len() > 1 {
            return;
        }
        let this = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(RECOVERY_BATCH).await;
            let recovered = std::mem::take(&mut *this.recovered.lock());
            this.of_connections(&recovered, RECOVERY_SPREAD);
        });
    }

    fn of_connections(&self, connections: &HashSet<ObjectRef>, within: Duration) {
        // Most owners share a few VaultAuths.
        let mut uses = HashMap::<ObjectRef, bool>::new();
        self.push_owners(within, |owner| {
            let Some(id) = self.stores.auth_of(owner) else { return false };
            *uses.entry(id).or_insert_with_key(|id| {
                let connection = self.stores.auths.get(id).and_then(|auth| self.stores.connection_of(&auth));
                connection.is_some_and(|connection| connections.contains(&connection))
            })
        });
    }

    /// Makes the owners due that refer to a SecretTransformation.
    pub fn of_transformation(&self, id: &ObjectRef) {
        self.push_owners(DEPENDENTS_SPREAD, |owner| {
            resolve::transformation_refs(&owner.destination().transformation, owner.namespace()).any(|r| r == *id)
        });
    }

    fn push_owners(&self, within: Duration, mut concerned: impl FnMut(&dyn SecretOwner) -> bool) {
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
