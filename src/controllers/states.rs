//! What this process remembers of the objects of a kind between two runs. All of it can be lost: the next run finds it
//! again.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::api::{CustomObject, ObjectRef};
use crate::kubernetes::{Change, Store};
use crate::util::shrink;

/// The state of each object, while no run has it.
pub(super) struct States<S>(Mutex<HashMap<ObjectRef, Box<S>>>);

impl<S> Default for States<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S> States<S> {
    /// Takes the state of an object out, for a run.
    pub fn take(&self, id: &ObjectRef) -> Option<Box<S>> {
        self.0.lock().remove(id)
    }

    /// Keeps the state of an object after a run. An object that was deleted meanwhile leaves nothing behind, nor to
    /// another one of its name.
    pub fn keep<K: CustomObject>(&self, store: &Store<K>, id: &ObjectRef, object: &K, state: Box<S>) {
        // The object is looked up under the lock that its deletion takes too.
        let mut states = self.0.lock();
        if store.is_current(object) {
            states.insert(id.clone(), state);
        }
    }

    /// Changes the states of all objects, but of those that a run has.
    pub fn for_each(&self, change: impl Fn(&mut S)) {
        self.0.lock().values_mut().for_each(|state| change(state));
    }

    /// Forgets the state of an object that is gone, or whose place another one of its name has taken.
    pub fn on_change<K: CustomObject>(&self, change: &Change<K>) {
        let gone = match change {
            Change::Deleted(object) => &object.key().id,
            Change::Applied { id, old: Some(old), new } if old.meta().uid != new.meta().uid => id,
            Change::Applied { .. } => return,
        };
        let mut states = self.0.lock();
        states.remove(gone);
        shrink(&mut states);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::api::{VaultStaticSecret, VaultStaticSecretSpec};

    fn object(name: &str, uid: &str) -> VaultStaticSecret {
        let mut object = VaultStaticSecret::new(name, VaultStaticSecretSpec::default());
        object.metadata.namespace = Some("ns".into());
        object.metadata.uid = Some(uid.into());
        object
    }

    fn listened(states: &Arc<States<u32>>) -> Store<VaultStaticSecret> {
        let (store, told) = (Store::default(), states.clone());
        store.listen(move |change| told.on_change(&change));
        store
    }

    #[test]
    fn a_state_lasts_as_long_as_its_object() {
        use crate::kubernetes::Sink as _;
        let states = Arc::new(States::default());
        let store = listened(&states);
        let id = ObjectRef::new("ns", "o");
        let keep = |uid: &str, state| states.keep(&store, &id, &object("o", uid), Box::new(state));
        store.apply(object("o", "1"));
        keep("1", 1);
        store.apply(object("o", "1"));
        assert_eq!(states.take(&id).as_deref(), Some(&1));
        assert_eq!(states.take(&id), None, "a run has it");
        keep("1", 2);
        store.apply(object("o", "2"));
        assert_eq!(states.take(&id), None, "it is another object");
        keep("1", 3);
        assert_eq!(states.take(&id), None, "the run was that of another object");
        keep("2", 4);
        store.delete(&object("o", "2").metadata);
        assert_eq!(states.take(&id), None, "the object is gone");
        keep("2", 5);
        assert_eq!(states.take(&id), None, "the object was deleted during its run");
    }

    #[test]
    fn states_take_no_room_when_their_objects_are_gone() {
        let states = States::default();
        let name = |i: usize| format!("o{i}");
        (0..20_000).for_each(|i| drop(states.0.lock().insert(ObjectRef::new("ns", name(i)), Box::new(i))));
        (1..20_000).for_each(|i| states.on_change(&Change::Deleted(Arc::new(object(&name(i), "u")))));
        let states = states.0.lock();
        assert!(states.contains_key(&ObjectRef::new("ns", "o0")) && states.capacity() < 2000, "{}", states.capacity());
    }
}
