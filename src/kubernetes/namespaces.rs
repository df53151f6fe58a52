//! The labels of all namespaces, kept current by a watch.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;

use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use parking_lot::RwLock;

use super::store::Sink;
use crate::api::ObjectRef;

/// Told of a namespace whose labels have changed.
type Listener = Box<dyn Fn(&str) + Send + Sync>;

/// The labels of each namespace.
#[derive(Default)]
pub struct NamespaceLabels {
    labels: RwLock<HashMap<String, BTreeMap<String, String>>>,
    listener: OnceLock<Listener>,
}

impl NamespaceLabels {
    /// The labels of a namespace, if it exists.
    pub fn get(&self, name: &str) -> Option<BTreeMap<String, String>> {
        self.labels.read().get(name).cloned()
    }

    /// Has `listener` told of each namespace whose labels change. Only the first listener counts.
    pub fn listen(&self, listener: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    fn tell(&self, name: &str) {
        if let Some(listener) = self.listener.get() {
            listener(name);
        }
    }
}

impl Sink<PartialObjectMeta<Namespace>> for NamespaceLabels {
    fn apply(&self, object: PartialObjectMeta<Namespace>) {
        let name = object.metadata.name.unwrap_or_default();
        let labels = object.metadata.labels.unwrap_or_default();
        let old = self.labels.write().insert(name.clone(), labels.clone());
        if old.as_ref() != Some(&labels) {
            self.tell(&name);
        }
    }

    fn apply_listed(&self, object: PartialObjectMeta<Namespace>) {
        self.apply(object);
    }

    fn delete(&self, object: PartialObjectMeta<Namespace>) {
        if let Some(name) = object.metadata.name {
            self.labels.write().remove(&name);
        }
    }

    fn retain(&self, _namespace: Option<&str>, listed: &HashSet<ObjectRef>) {
        self.labels.write().retain(|name, _| listed.contains(&ObjectRef::new("", name.as_str())));
    }
}
