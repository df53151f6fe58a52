//! What is known of the objects of one kind: kept current by watches and by the answers of the operator's own writes,
//! read without I/O.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use kube::api::ObjectMeta;
use parking_lot::RwLock;

use crate::api::{CustomObject, ObjectRef};
use crate::util::shrink;

/// How an object changed.
pub enum Change<K> {
    /// It is new here, or another version of it.
    Applied {
        /// Its name, as the store keeps it: what remembers something of the object shares it.
        id: ObjectRef,
        /// What was known before.
        old: Option<Arc<K>>,
        /// What is known now.
        new: Arc<K>,
    },
    /// It is gone.
    Deleted(Arc<K>),
}

/// Where a watch puts what it sees.
pub trait Sink<K>: Send + Sync {
    /// An object is there, in this version.
    fn apply(&self, object: K);
    /// A list has shown an object in this version. It holds even where a later one was known: an API server whose
    /// storage was restored from a backup goes back to earlier versions.
    fn apply_listed(&self, object: K);
    /// An object is gone. These are the last metadata that were seen of it.
    fn delete(&self, gone: &ObjectMeta);
    /// A list of the namespace, or of the whole cluster, had these objects and no others.
    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>);
}

/// Told of every change, wherever it was learnt.
type Listener<K> = Box<dyn Fn(Change<K>) + Send + Sync>;

/// The objects of one kind.
pub struct Store<K> {
    objects: RwLock<HashMap<ObjectRef, Arc<K>>>,
    listener: OnceLock<Listener<K>>,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self { objects: RwLock::default(), listener: OnceLock::new() }
    }
}

impl<K> Store<K> {
    /// The object of that name.
    pub fn get(&self, id: &ObjectRef) -> Option<Arc<K>> {
        self.objects.read().get(id).cloned()
    }

    /// All objects, in no order.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.read().values().cloned().collect()
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.read().len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has `listener` told of every change from now on. Only the first listener counts.
    pub fn listen(&self, listener: impl Fn(Change<K>) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    fn tell(&self, change: Change<K>) {
        if let Some(listener) = self.listener.get() {
            listener(change);
        }
    }
}

impl<K: CustomObject> Store<K> {
    /// Whether an object is still the one of its name, as far as is known.
    pub fn is_current(&self, object: &K) -> bool {
        self.get(&object.key().id).is_some_and(|known| known.meta().uid == object.meta().uid)
    }

    /// Takes in the answer of an own write. It is the newest version of the object, so it may show a change that no
    /// watch has told of yet: the listener is told as by a watch. An object that is not known with this UID was
    /// deleted, and stays so: only a watch brings new ones.
    pub fn apply_answer(&self, mut object: K) {
        object.prune();
        let id = ObjectRef::of(object.meta());
        let mut objects = self.objects.write();
        let Entry::Occupied(mut known) = objects.entry(id) else { return };
        let (id, known) = (known.key().clone(), known.get_mut());
        if known.meta().uid != object.meta().uid || !is_newer(object.meta(), known.meta()) {
            return;
        }
        let new = Arc::new(object);
        let old = Some(std::mem::replace(known, new.clone()));
        drop(objects);
        self.tell(Change::Applied { id, old, new });
    }
}

impl<K: CustomObject> Store<K> {
    /// Takes an object in, if none is known of that name or `replaces` says so of the known one and this.
    fn put(&self, mut object: K, replaces: impl Fn(&ObjectMeta, &ObjectMeta) -> bool) {
        object.prune();
        let id = ObjectRef::of(object.meta());
        let mut objects = self.objects.write();
        let entry = objects.entry(id);
        let id = entry.key().clone();
        let (old, new) = match entry {
            Entry::Occupied(known) if !replaces(known.get().meta(), object.meta()) => return,
            Entry::Occupied(mut known) => {
                let new = Arc::new(object);
                (Some(known.insert(new.clone())), new)
            }
            Entry::Vacant(free) => (None, free.insert(Arc::new(object)).clone()),
        };
        drop(objects);
        self.tell(Change::Applied { id, old, new });
    }
}

impl<K: CustomObject> Sink<K> for Store<K> {
    /// A version that is older than what is known is ignored: the answer of an own write arrives before the watch tells
    /// of it.
    fn apply(&self, object: K) {
        self.put(object, |known, object| known.uid != object.uid || !is_newer(known, object));
    }

    fn apply_listed(&self, object: K) {
        self.put(object, |_, _| true);
    }

    fn delete(&self, gone: &ObjectMeta) {
        let id = ObjectRef::of(gone);
        let mut objects = self.objects.write();
        let gone = objects.remove(&id);
        shrink(&mut objects);
        drop(objects);
        if let Some(gone) = gone {
            self.tell(Change::Deleted(gone));
        }
    }

    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>) {
        let mut objects = self.objects.write();
        let gone: Vec<_> = objects
            .keys()
            .filter(|id| namespace.is_none_or(|n| n == &*id.namespace) && !listed.contains(*id))
            .cloned()
            .collect();
        let gone: Vec<_> = gone.iter().filter_map(|id| objects.remove(id)).collect();
        shrink(&mut objects);
        drop(objects);
        gone.into_iter().for_each(|gone| self.tell(Change::Deleted(gone)));
    }
}

/// Whether one version of an object is later than another. Resource versions are compared as the integers they are on
/// every API server (KEP-5504 makes it a promise); anything else counts as not newer.
fn is_newer(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    let version = |meta: &ObjectMeta| meta.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok());
    matches!((version(one), version(other)), (Some(one), Some(other)) if one > other)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::api::VaultStaticSecret;

    fn version(uid: &str, generation: i64, resource_version: u32) -> VaultStaticSecret {
        let mut object = VaultStaticSecret::new("app", Default::default());
        object.metadata.namespace = Some("ns".into());
        object.metadata.uid = Some(uid.into());
        object.metadata.generation = Some(generation);
        object.metadata.resource_version = Some(resource_version.to_string());
        object
    }

    /// Generation before and after a change.
    type Told = (Option<i64>, Option<i64>);

    /// A store, and what its listener was told.
    fn store() -> (Arc<Store<VaultStaticSecret>>, Arc<Mutex<Vec<Told>>>) {
        let (store, told): (Arc<Store<_>>, Arc<Mutex<Vec<_>>>) = Default::default();
        let of = |object: &VaultStaticSecret| object.metadata.generation;
        let log = told.clone();
        store.listen(move |change| {
            log.lock().unwrap().push(match change {
                Change::Applied { old, new, .. } => (old.and_then(|old| of(&old)), of(&new)),
                Change::Deleted(gone) => (of(&gone), None),
            });
        });
        (store, told)
    }

    #[test]
    fn a_change_that_the_answer_of_an_own_write_shows_first_is_told() {
        let (store, told) = store();
        store.apply(version("u", 1, 98));
        store.apply_answer(version("u", 2, 100));
        store.apply(version("u", 2, 99));
        store.apply(version("u", 2, 100));
        assert_eq!(told.lock().unwrap()[..2], [(None, Some(1)), (Some(1), Some(2))]);
        assert_eq!(store.all()[0].metadata.resource_version.as_deref(), Some("100"));
    }

    #[test]
    fn a_list_replaces_what_it_shows_older_or_not() {
        let (store, told) = store();
        store.apply(version("u", 2, 100));
        store.apply(version("u", 1, 50));
        assert_eq!(store.all()[0].metadata.generation, Some(2), "an event that is late");
        store.apply_listed(version("u", 1, 50));
        assert_eq!(store.all()[0].metadata.generation, Some(1), "storage that was restored from a backup");
        assert_eq!(*told.lock().unwrap(), [(None, Some(2)), (Some(2), Some(1))]);
    }

    #[test]
    fn the_answer_of_an_own_write_brings_nothing_back() {
        let (store, told) = store();
        store.apply(version("u", 1, 1));
        store.delete(&version("u", 1, 2).metadata);
        store.apply_answer(version("u", 1, 3));
        assert!(store.is_empty(), "the object is gone");
        store.apply(version("successor", 1, 5));
        store.apply_answer(version("u", 1, 4));
        assert_eq!(store.all()[0].metadata.uid.as_deref(), Some("successor"));
        assert_eq!(told.lock().unwrap().len(), 3);
    }
}
