//! What is known of all namespaces, kept current by a watch.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ObjectMeta, PartialObjectMeta};
use parking_lot::RwLock;

use super::store::Sink;
use crate::api::ObjectRef;

/// Told of a namespace that has changed, or is gone.
type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// What is known of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceState {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// It is being deleted: nothing can be made in it any more.
    pub terminating: bool,
    /// What holds its deletion up.
    pub finalizers: Vec<String>,
}

/// The labels of each namespace, and whether it is being deleted.
#[derive(Default)]
pub struct NamespaceLabels {
    namespaces: RwLock<HashMap<String, Arc<NamespaceState>>>,
    listeners: RwLock<Vec<Listener>>,
}

impl NamespaceLabels {
    /// The labels of a namespace, if it exists.
    pub fn get(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.namespaces.read().get(name).map(|state| state.labels.clone())
    }

    /// What is known of a namespace, if it exists.
    pub fn state(&self, name: &str) -> Option<Arc<NamespaceState>> {
        self.namespaces.read().get(name).cloned()
    }

    /// All namespaces, in no order.
    pub fn all(&self) -> Vec<(String, Arc<NamespaceState>)> {
        self.namespaces.read().iter().map(|(name, state)| (name.clone(), state.clone())).collect()
    }

    /// Has `listener` told of each namespace that changes from now on.
    pub fn listen(&self, listener: impl Fn(&str) + Send + Sync + 'static) {
        self.listeners.write().push(Box::new(listener));
    }

    fn tell(&self, name: &str) {
        self.listeners.read().iter().for_each(|listener| listener(name));
    }
}

impl Sink<PartialObjectMeta<Namespace>> for NamespaceLabels {
    fn apply(&self, object: PartialObjectMeta<Namespace>) {
        let meta = object.metadata;
        let name = meta.name.unwrap_or_default();
        let state = Arc::new(NamespaceState {
            labels: meta.labels.unwrap_or_default(),
            terminating: meta.deletion_timestamp.is_some(),
            finalizers: meta.finalizers.unwrap_or_default(),
        });
        let old = self.namespaces.write().insert(name.clone(), state.clone());
        if old.as_ref() != Some(&state) {
            self.tell(&name);
        }
    }

    fn apply_listed(&self, object: PartialObjectMeta<Namespace>) {
        self.apply(object);
    }

    fn delete(&self, gone: &ObjectMeta) {
        let Some(name) = &gone.name else { return };
        let known = self.namespaces.write().remove(name);
        if known.is_some() {
            self.tell(name);
        }
    }

    fn retain(&self, _namespace: Option<&str>, listed: &HashSet<ObjectRef>) {
        let mut gone = vec![];
        self.namespaces.write().retain(|name, _| {
            let stays = listed.contains(&ObjectRef::new("", name.as_str()));
            if !stays {
                gone.push(name.clone());
            }
            stays
        });
        gone.iter().for_each(|name| self.tell(name));
    }
}
