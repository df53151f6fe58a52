//! From a PushSecret to the stores that it writes to, and how often.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Resource as _;

use super::external_secret::refresh_interval;
use super::store::selects;
use super::{Denied, StoreLookup, StorePlan, is_foreign, store_key, store_of};
use crate::api::external_secrets::push_secret::{PushData, PushStoreRef, SyncedPushSecrets};
use crate::api::external_secrets::secret_store::StoreRef;
use crate::api::external_secrets::{ClusterSecretStore, PushSecret, SecretStore, StoreKind};
use crate::api::{CustomObject as _, Key, ObjectRef};

/// What a PushSecret writes to.
#[derive(Debug)]
pub struct PushPlan {
    /// The stores, each once. Those of another operator, and those that are being deleted, are left out.
    pub targets: Vec<PushTarget>,
    /// `None`: only after a change.
    pub interval: Option<Duration>,
    /// Whether entries of `spec.data` are pushed to each of the stores.
    pub has_data: bool,
    /// What other operators have pushed.
    pub pushed_by_others: SyncedPushSecrets,
}

/// A store that a PushSecret writes to, or has written to.
#[derive(Debug)]
pub struct PushTarget {
    /// `KIND/NAME`, as the status names it.
    pub name: String,
    /// The store.
    pub key: Key,
    /// How it is reached, or why it cannot be.
    pub plan: Result<StorePlan, Denied>,
    /// Whether one of `spec.secretStoreRefs` means it; else something was pushed there before.
    pub is_named: bool,
    /// Which entries of `spec.dataTo` mean it.
    pub data_to: Vec<bool>,
}

/// Resolves a PushSecret.
///
/// # Errors
/// What of it cannot work. What is wrong with one store is told of that store.
pub fn push_secret(object: &PushSecret, min_interval: Duration, lookup: &impl StoreLookup) -> Result<PushPlan, Denied> {
    let spec = &object.spec;
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let interval = refresh_interval(spec.refresh_interval.as_deref(), min_interval)?;
    let mut named = BTreeMap::<Key, Option<Labels>>::new();
    for (i, reference) in spec.secret_store_refs.iter().enumerate() {
        known_kind(reference)?;
        if reference.name.is_none() && reference.label_selector.is_none() {
            return Err(Denied::Reference(format!("spec.secretStoreRefs[{i}] has neither name nor labelSelector")));
        }
        named.extend(meant(reference, namespace, lookup));
    }
    let mut means = vec![];
    for (i, entry) in spec.data_to.iter().enumerate() {
        let Some(reference) = &entry.store_ref else {
            return Err(Denied::Reference(format!("spec.dataTo[{i}] has no storeRef")));
        };
        known_kind(reference)?;
        let is_meant = |key: &Key, labels: Option<&Labels>| match (&reference.name, &reference.label_selector) {
            (Some(_), _) => key_of(reference, namespace) == *key,
            (None, Some(selector)) => {
                key.kind == key_of(reference, namespace).kind
                    && labels.is_some_and(|labels| selects(selector, &labels.names))
            }
            (None, None) => false,
        };
        let meant: Vec<bool> = named.iter().map(|(key, labels)| is_meant(key, labels.as_ref())).collect();
        if reference.name.is_some() && !meant.contains(&true) {
            let name = reference.name.as_deref().unwrap_or("");
            let text = format!("spec.dataTo[{i}].storeRef {name:?} is not one of spec.secretStoreRefs");
            return Err(Denied::Reference(text));
        }
        means.push(meant);
    }
    let mut targets = vec![];
    for (i, (key, labels)) in named.into_iter().enumerate() {
        if labels.is_some_and(|labels| labels.in_deletion) {
            continue;
        }
        if let Some(target) = target(&key, namespace, lookup) {
            let data_to = means.iter().map(|of_entry| of_entry[i]).collect();
            targets.push(PushTarget { is_named: true, data_to, ..target });
        }
    }
    let pushed_by_others = pushed_by_others(object, lookup);
    Ok(PushPlan { targets, interval, has_data: !spec.data.is_empty(), pushed_by_others })
}

/// The stores that a PushSecret has written to, as its status says, each with what was written.
pub fn pushed_to(object: &PushSecret, lookup: &impl StoreLookup) -> Vec<(PushTarget, BTreeMap<String, PushData>)> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let synced = object.status.iter().flat_map(|status| &status.synced_push_secrets);
    let known = synced.filter_map(|(name, entries)| {
        let key = synced_key(name, namespace)?;
        Some((target(&key, namespace, lookup)?, entries.clone()))
    });
    known.collect()
}

/// What other operators have pushed, as the status says: the entries of stores of another class.
pub fn pushed_by_others(object: &PushSecret, lookup: &impl StoreLookup) -> SyncedPushSecrets {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let synced = object.status.iter().flat_map(|status| &status.synced_push_secrets);
    let is_of_others =
        |name: &str| synced_key(name, namespace).is_some_and(|key| is_served(&key, lookup) == Some(false));
    let of_others = synced.filter(|(name, _)| is_of_others(name));
    of_others.map(|(name, entries)| (name.clone(), entries.clone())).collect()
}

/// Whether other operators alone serve the stores that a PushSecret names.
pub fn is_left_to_others(object: &PushSecret, lookup: &impl StoreLookup) -> bool {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let named = object.spec.secret_store_refs.iter().flat_map(|reference| meant(reference, namespace, lookup));
    let served: Vec<bool> = named.filter_map(|(key, _)| is_served(&key, lookup)).collect();
    !served.is_empty() && !served.contains(&true)
}

/// Whether this operator serves a store, and not another one. `None`: there is no such store.
fn is_served(key: &Key, lookup: &impl StoreLookup) -> Option<bool> {
    let class = match key.kind {
        ClusterSecretStore::KIND => lookup.cluster_secret_store(&key.id)?.spec.controller.clone(),
        _ => lookup.secret_store(&key.id)?.spec.controller.clone(),
    };
    Some(!is_foreign(class.as_deref(), lookup))
}

/// Whether a PushSecret writes to a store.
pub fn pushes_to(object: &PushSecret, store: &Key) -> bool {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let is_meant = |reference: &PushStoreRef| match reference.name {
        Some(_) => key_of(reference, namespace) == *store,
        // Its labels may have changed.
        None => {
            let of = key_of(reference, namespace);
            of.kind == store.kind && of.id.namespace == store.id.namespace
        }
    };
    object.spec.secret_store_refs.iter().any(is_meant) || has_pushed_to(object, store)
}

/// Whether a PushSecret has to delete something from a store before that goes.
pub fn needs_store(object: &PushSecret, store: &Key) -> bool {
    object.deletes() && has_pushed_to(object, store)
}

/// Whether a PushSecret has, or will have, to delete something from a store before that goes.
pub fn may_need_store(object: &PushSecret, store: &Key) -> bool {
    object.deletes() && pushes_to(object, store)
}

fn has_pushed_to(object: &PushSecret, store: &Key) -> bool {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let mut synced = object.status.iter().flat_map(|status| status.synced_push_secrets.keys());
    synced.any(|name| synced_key(name, namespace).as_ref() == Some(store))
}

/// The store of a name in the status.
fn synced_key(name: &str, namespace: &str) -> Option<Key> {
    let (kind, name) = name.split_once('/')?;
    match kind {
        _ if kind == SecretStore::KIND.as_str() => {
            Some(Key { kind: SecretStore::KIND, id: ObjectRef::new(namespace, name) })
        }
        _ if kind == ClusterSecretStore::KIND.as_str() => {
            Some(Key { kind: ClusterSecretStore::KIND, id: ObjectRef::new("", name) })
        }
        _ => None,
    }
}

/// What is known of a store beside how it is reached.
struct Labels {
    names: BTreeMap<String, String>,
    in_deletion: bool,
}

impl Labels {
    fn of(meta: &kube::api::ObjectMeta) -> Self {
        Self { names: meta.labels.clone().unwrap_or_default(), in_deletion: meta.deletion_timestamp.is_some() }
    }
}

fn known_kind(reference: &PushStoreRef) -> Result<(), Denied> {
    match &reference.kind {
        Some(StoreKind::Unknown(kind)) if !kind.is_empty() => Err(Denied::Reference(format!(
            "secretStoreRefs: kind {kind:?} is neither SecretStore nor ClusterSecretStore"
        ))),
        _ => Ok(()),
    }
}

fn key_of(reference: &PushStoreRef, namespace: &str) -> Key {
    store_key(&StoreRef { name: reference.name.clone(), kind: reference.kind.clone() }, namespace)
}

fn labels_of(key: &Key, lookup: &impl StoreLookup) -> Option<Labels> {
    if key.kind == ClusterSecretStore::KIND {
        return lookup.cluster_secret_store(&key.id).map(|store| Labels::of(store.meta()));
    }
    lookup.secret_store(&key.id).map(|store| Labels::of(store.meta()))
}

/// The stores that a reference names or selects, with what is known of each.
fn meant(reference: &PushStoreRef, namespace: &str, lookup: &impl StoreLookup) -> Vec<(Key, Option<Labels>)> {
    if reference.name.is_some() {
        let key = key_of(reference, namespace);
        let labels = labels_of(&key, lookup);
        return vec![(key, labels)];
    }
    let Some(selector) = &reference.label_selector else { return vec![] };
    let all = stores(reference, namespace, lookup).into_iter();
    all.filter(|(_, labels)| selects(selector, &labels.names)).map(|(key, labels)| (key, Some(labels))).collect()
}

/// All stores of the kind that a reference names.
fn stores(reference: &PushStoreRef, namespace: &str, lookup: &impl StoreLookup) -> Vec<(Key, Labels)> {
    if reference.kind == Some(StoreKind::ClusterSecretStore) {
        return lookup.cluster_secret_stores().iter().map(|store| (store.key(), Labels::of(store.meta()))).collect();
    }
    let all = lookup.secret_stores_in(namespace);
    all.iter().map(|store| (store.key(), Labels::of(store.meta()))).collect()
}

/// A store. `None`: another operator serves it.
fn target(key: &Key, namespace: &str, lookup: &impl StoreLookup) -> Option<PushTarget> {
    let kind = match key.kind {
        ClusterSecretStore::KIND => StoreKind::ClusterSecretStore,
        _ => StoreKind::SecretStore,
    };
    let reference = StoreRef { name: Some(key.id.name.to_string()), kind: Some(kind) };
    let plan = store_of(&reference, namespace, lookup).transpose()?;
    let name = format!("{}/{}", key.kind.as_str(), key.id.name);
    Some(PushTarget { name, key: key.clone(), plan, is_named: false, data_to: vec![] })
}
