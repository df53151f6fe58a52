//! What is known of the objects of one kind: kept current by watches, read without I/O.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use kube::Resource;

use crate::resolve::ObjectRef;

/// How an object changed.
pub enum Change<K> {
    /// It is new here, or another version of it.
    Applied {
        /// What was known before.
        old: Option<Arc<K>>,
        /// What is known now.
        new: Arc<K>,
    },
    /// It is gone.
    Deleted(Arc<K>),
}

/// The objects of one kind.
pub struct Store<K> {
    objects: RwLock<HashMap<ObjectRef, Arc<K>>>,
}

/// Where a watch puts what it sees.
pub trait Sink<K>: Send + Sync {
    /// An object is there, in this version.
    fn apply(&self, object: K);
    /// An object is gone.
    fn delete(&self, id: &ObjectRef);
    /// A list of the namespace, or of the whole cluster, had these objects and no others.
    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>);
}

/// A [`Sink`] that keeps a [`Store`] current and tells of every change.
pub struct StoreSink<K, F> {
    /// The store.
    pub store: Arc<Store<K>>,
    /// Told of every change.
    pub changed: F,
}

impl<K: Resource + Send + Sync, F: Fn(Change<K>) + Send + Sync> Sink<K> for StoreSink<K, F> {
    fn apply(&self, object: K) {
        self.store.apply(object).into_iter().for_each(&self.changed);
    }

    fn delete(&self, id: &ObjectRef) {
        self.store.delete(id).into_iter().for_each(&self.changed);
    }

    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>) {
        self.store.retain(namespace, listed).into_iter().for_each(&self.changed);
    }
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self { objects: RwLock::default() }
    }
}

impl<K: Resource> Store<K> {
    /// The object of that name.
    pub fn get(&self, id: &ObjectRef) -> Option<Arc<K>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All objects, in no order.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in a version of an object. One that is older than what is known is ignored: the answer of an own write
    /// arrives before the watch tells of it.
    pub fn apply(&self, object: K) -> Option<Change<K>> {
        let id = object_ref(object.meta());
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        if objects
            .get(&id)
            .is_some_and(|known| known.meta().uid == object.meta().uid && is_newer(known.meta(), object.meta()))
        {
            return None;
        }
        let new = Arc::new(object);
        let old = objects.insert(id, new.clone());
        Some(Change::Applied { old, new })
    }

    /// Forgets an object.
    fn delete(&self, id: &ObjectRef) -> Option<Change<K>> {
        self.objects.write().unwrap_or_else(PoisonError::into_inner).remove(id).map(Change::Deleted)
    }

    /// After a list: forgets the objects of the scope that the list did not have.
    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>) -> Vec<Change<K>> {
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = objects
            .keys()
            .filter(|id| namespace.is_none_or(|n| n == &*id.namespace) && !listed.contains(*id))
            .cloned()
            .collect();
        gone.iter().filter_map(|id| objects.remove(id)).map(Change::Deleted).collect()
    }
}

/// Namespace and name of an object.
pub(super) fn object_ref(meta: &kube::api::ObjectMeta) -> ObjectRef {
    ObjectRef::new(meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""))
}

/// Whether `known` is a later version than `other`. Resource versions are compared as the integers they are on every API
/// server (KEP-5504 makes it a promise); anything else counts as not newer.
fn is_newer(known: &kube::api::ObjectMeta, other: &kube::api::ObjectMeta) -> bool {
    let version = |meta: &kube::api::ObjectMeta| meta.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok());
    matches!((version(known), version(other)), (Some(known), Some(other)) if known > other)
}
