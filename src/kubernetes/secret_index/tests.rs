use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::api::{CustomObject as _, VaultDynamicSecret, VaultStaticSecret};

const KIND: Kind = VaultStaticSecret::KIND;

fn index() -> (Arc<SecretIndex>, Arc<Mutex<Vec<Key>>>) {
    let index = Arc::new(SecretIndex::new(vec![KIND, VaultDynamicSecret::KIND]));
    let told: Arc<Mutex<Vec<Key>>> = Arc::default();
    let log = told.clone();
    index.listen(move |_, key| log.lock().unwrap().extend(key));
    (index, told)
}

fn key(kind: Kind) -> Key {
    Key { kind, id: ObjectRef::new("ns", "owner") }
}

fn secret(kind: &str, resource_version: &str) -> PartialObjectMeta<Secret> {
    serde_json::from_value(json!({ "metadata": {
        "namespace": "ns", "name": "secret", "uid": "u", "resourceVersion": resource_version,
        "ownerReferences": [{ "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": kind, "name": "owner", "uid": "o" }],
    } }))
    .unwrap()
}

#[test]
fn the_owner_of_a_secret_that_no_watch_has_told_of_learns_of_its_deletion() {
    let (index, told) = index();
    let (id, other) = (ObjectRef::new("ns", "secret"), ObjectRef::new("other", "secret"));
    let revision = Revision { uid: "u".into(), resource_version: "7".into() };
    index.apply_answer(&id, &revision, &key(KIND));
    index.apply_answer(&other, &revision, &key(KIND));
    index.retain(Some("ns"), &HashSet::new());
    assert_eq!(*told.lock().unwrap(), [key(KIND)]);
    assert_eq!((index.get(&id), index.get(&other)), (None, Some(revision)));
}

#[test]
fn a_secret_that_was_deleted_before_its_write_was_answered_stays_deleted() {
    let (index, told) = index();
    index.delete(&secret("VaultStaticSecret", "8").metadata);
    assert_eq!(*told.lock().unwrap(), [key(KIND)], "its owner is told all the same");
    let id = ObjectRef::new("ns", "secret");
    index.apply_answer(&id, &Revision { uid: "u".into(), resource_version: "7".into() }, &key(KIND));
    assert_eq!(index.get(&id), None);
    index.apply_answer(&id, &Revision { uid: "next".into(), resource_version: "9".into() }, &key(KIND));
    assert!(index.get(&id).is_some(), "another Secret of the name");
}

#[test]
fn the_former_owner_is_told_when_its_reference_is_taken_away() {
    let (index, told) = index();
    index.apply_answer(&ObjectRef::new("ns", "secret"), &Revision::of(&secret("", "1").metadata), &key(KIND));
    let mut bare = secret("VaultStaticSecret", "2");
    bare.metadata.owner_references = None;
    index.apply(bare);
    assert_eq!(*told.lock().unwrap(), [key(KIND)]);
}

#[test]
fn an_own_deletion_is_told_to_no_owner_and_takes_no_successor_away() {
    let (index, told) = index();
    let id = ObjectRef::new("ns", "secret");
    let old = Revision::of(&secret("", "1").metadata);
    index.apply_answer(&id, &old, &key(KIND));
    assert!(index.delete_own(&id, &old));
    assert_eq!(index.get(&id), None);
    let successor = Revision { uid: "successor".into(), resource_version: "3".into() };
    index.apply_answer(&id, &successor, &key(KIND));
    index.delete(&secret("VaultStaticSecret", "2").metadata);
    assert_eq!(index.get(&id), Some(successor));
    assert_eq!(*told.lock().unwrap(), []);
}

#[test]
fn while_a_secret_is_replaced_its_owner_is_told_of_nothing_that_is_expected() {
    for expected in [true, false] {
        let (index, told) = index();
        let id = ObjectRef::new("ns", "secret");
        index.apply_answer(&id, &Revision::of(&secret("", "1").metadata), &key(KIND));
        let mut replacing = index.replacing(&id);
        index.delete(&secret("VaultStaticSecret", "2").metadata);
        assert_eq!(*told.lock().unwrap(), []);
        replacing.expected = expected;
        drop(replacing);
        assert_eq!(told.lock().unwrap().len(), usize::from(!expected));
        index.apply(secret("VaultStaticSecret", "3"));
        assert_eq!(told.lock().unwrap().len(), usize::from(!expected) + 1, "it is over");
    }
}

#[test]
fn a_list_replaces_what_it_shows_older_or_not() {
    let (index, told) = index();
    let id = ObjectRef::new("ns", "secret");
    index.apply_answer(&id, &Revision::of(&secret("", "9").metadata), &key(KIND));
    index.apply(secret("VaultStaticSecret", "4"));
    assert_eq!(index.get(&id), Some(Revision::of(&secret("", "9").metadata)), "an event that is late");
    index.apply_listed(secret("VaultStaticSecret", "4"));
    assert_eq!(index.get(&id), Some(Revision::of(&secret("", "4").metadata)));
    assert_eq!(*told.lock().unwrap(), [key(KIND)]);
    index.apply_listed(secret("VaultStaticSecret", "4"));
    assert_eq!(told.lock().unwrap().len(), 1, "the known version is no change");
}

#[test]
fn secrets_that_are_gone_take_no_room() {
    let (index, _) = index();
    let named = |i: usize| {
        let mut secret = secret("VaultStaticSecret", "1");
        (secret.metadata.name, secret.metadata.uid) = (Some(format!("s{i}")), Some(format!("u{i}")));
        secret
    };
    (0..20_000).for_each(|i| index.apply(named(i)));
    (1..20_000).for_each(|i| index.delete(&named(i).metadata));
    assert!(index.entries.read().by_name.capacity() < 2000);
    // As if the deletions were long ago.
    let old = Instant::now().checked_sub(2 * LATEST_ANSWER).expect("a machine that is up for longer");
    index.entries.write().deleted.iter_mut().for_each(|deleted| deleted.at = old);
    index.apply(named(1));
    let entries = index.entries.read();
    assert_eq!((entries.by_name.len(), entries.deleted.len()), (2, 0));
    assert!(entries.deleted.capacity() < 2000, "{}", entries.deleted.capacity());
}

#[test]
fn owners_are_told_apart_by_their_kind() {
    let (index, told) = index();
    index.apply(secret("Deployment", "1"));
    index.apply(secret("VaultDynamicSecret", "2"));
    assert_eq!(*told.lock().unwrap(), [key(VaultDynamicSecret::KIND)]);
}
