//! Destination Secrets: what is known of them without their data, and the writes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};

use super::error::bounded;
use super::store::{Sink, object_ref};
use super::{ClusterError, ErrorKind, FIELD_MANAGER};
use crate::resolve::ObjectRef;

/// Selects the Secrets that this operator, or upstream, has created.
pub const OWNED_SELECTOR: &str = "app.kubernetes.io/managed-by=hashicorp-vso,app.kubernetes.io/component=secret-sync";

/// One version of one Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// UID.
    pub uid: Arc<str>,
    /// Resource version.
    pub resource_version: Arc<str>,
}

impl Seen {
    /// Of an object that the API server returned.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            uid: meta.uid.as_deref().unwrap_or("").into(),
            resource_version: meta.resource_version.as_deref().unwrap_or("").into(),
        }
    }
}

/// Which version of each created Secret is the current one. About a hundred bytes for each, and no data.
#[derive(Default)]
pub struct SecretIndex {
    entries: RwLock<HashMap<ObjectRef, Entry>>,
}

struct Entry {
    seen: Seen,
    /// Name of the VaultStaticSecret that owns it.
    owner: Option<Arc<str>>,
}

impl SecretIndex {
    /// The current version, if the Secret exists and carries the owner labels.
    pub fn get(&self, id: &ObjectRef) -> Option<Seen> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(id).map(|e| e.seen.clone())
    }

    /// Notes what a write of our own has returned, ahead of the watch. A watch that fails now may never tell of it: a
    /// deletion is noticed all the same, and its owner told.
    pub fn note(&self, id: &ObjectRef, seen: &Seen, owner: &str) {
        self.update(id, seen.clone(), Some(owner.into()));
    }

    /// Takes in a version. True if it was not known before.
    fn update(&self, id: &ObjectRef, seen: Seen, owner: Option<Arc<str>>) -> bool {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = entries.get_mut(id) else {
            entries.insert(id.clone(), Entry { seen, owner });
            return true;
        };
        known.owner = owner.or(known.owner.take());
        if known.seen.uid == seen.uid && version(&known.seen) >= version(&seen) {
            return false;
        }
        known.seen = seen;
        true
    }

    fn remove(&self, id: &ObjectRef) -> Option<Arc<str>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(id)?.owner
    }
}

/// Keeps a [`SecretIndex`] current from a watch of metadata, and tells the owner of a Secret that somebody else changed
/// or deleted.
pub struct SecretSink<F> {
    /// The index.
    pub index: Arc<SecretIndex>,
    /// Told the owner.
    pub touched: F,
}

impl<F: Fn(ObjectRef) + Send + Sync> Sink<PartialObjectMeta<Secret>> for SecretSink<F> {
    fn apply(&self, object: PartialObjectMeta<Secret>) {
        let meta = &object.metadata;
        let id = object_ref(meta);
        let owners = meta.owner_references.iter().flatten();
        let owner = owners.filter(|o| o.kind == "VaultStaticSecret").map(|o| Arc::<str>::from(o.name.as_str())).next();
        if self.index.update(&id, Seen::of(meta), owner.clone())
            && let Some(owner) = owner
        {
            (self.touched)(ObjectRef::new(id.namespace, owner));
        }
    }

    fn delete(&self, id: &ObjectRef) {
        if let Some(owner) = self.index.remove(id) {
            (self.touched)(ObjectRef::new(id.namespace.clone(), owner));
        }
    }

    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>) {
        let entries = self.index.entries.read().unwrap_or_else(PoisonError::into_inner);
        let gone = entries.keys().filter(|id| namespace.is_none_or(|n| n == &*id.namespace) && !listed.contains(*id));
        let gone: Vec<_> = gone.cloned().collect();
        drop(entries);
        gone.iter().for_each(|id| self.delete(id));
    }
}

/// Resource versions are integers on every API server (KEP-5504).
fn version(seen: &Seen) -> Option<u64> {
    seen.resource_version.parse().ok()
}

/// When an object was last changed by anybody, in seconds since the epoch, by the clock of the API server: the same that
/// tells when others were made.
pub fn changed_at(meta: &ObjectMeta) -> Option<i64> {
    let times = meta.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref());
    times.map(|time| time.0.as_second()).max()
}

/// What a created Secret carries beside its data.
#[derive(Clone, Debug, PartialEq)]
pub struct Dress {
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// All annotations.
    pub annotations: BTreeMap<String, String>,
    /// The one owner reference.
    pub owner: Value,
}

/// Reads and writes Secrets of one namespace.
pub struct SecretWriter {
    api: Api<Secret>,
    namespace: String,
}

impl SecretWriter {
    /// For the Secrets of `namespace`.
    pub fn new(client: &kube::Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client.clone(), namespace), namespace: namespace.to_owned() }
    }

    /// The Secret with its data.
    pub async fn get(&self, name: &str) -> Result<Option<Secret>, ClusterError> {
        bounded(&self.what("get", name), self.api.get_opt(name)).await
    }

    /// When a Secret was last changed; see [`changed_at`]. `None` if there is none.
    pub async fn changed_at(&self, name: &str) -> Result<Option<i64>, ClusterError> {
        let meta = bounded(&self.what("get", name), self.api.get_metadata_opt(name)).await?;
        Ok(meta.and_then(|secret| changed_at(&secret.metadata)))
    }

    /// Creates a Secret; a [`ErrorKind::Conflict`] if there is one.
    pub async fn create(
        &self,
        name: &str,
        type_: &str,
        dress: &Dress,
        data: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Seen, ClusterError> {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": dress.labels,
                "annotations": dress.annotations,
                "ownerReferences": [dress.owner],
            },
            "type": type_,
        }))
        .map_err(|e| ClusterError::new(ErrorKind::Invalid, e.to_string()))?;
        let secret = Secret { data: Some(encode(data)), ..secret };
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let created = bounded(&self.what("create", name), self.api.create(&params, &secret)).await?;
        Ok(Seen::of(&created.metadata))
    }

    /// Replaces all data of the version that was `seen`, and what it carries if `dress` is given. A
    /// [`ErrorKind::Conflict`] if it is another version by now.
    pub async fn replace(
        &self,
        name: &str,
        seen: &Seen,
        dress: Option<&Dress>,
        data: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Seen, ClusterError> {
        let mut operations = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": &*seen.uid }),
            json!({ "op": "test", "path": "/metadata/resourceVersion", "value": &*seen.resource_version }),
            json!({ "op": "add", "path": "/data", "value": encode(data) }),
        ];
        if let Some(dress) = dress {
            operations.push(json!({ "op": "add", "path": "/metadata/labels", "value": dress.labels }));
            operations.push(json!({ "op": "add", "path": "/metadata/annotations", "value": dress.annotations }));
            operations.push(json!({ "op": "add", "path": "/metadata/ownerReferences", "value": [dress.owner] }));
        }
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(operations))
            .map_err(|e| ClusterError::new(ErrorKind::Invalid, e.to_string()))?;
        let params = PatchParams::apply(FIELD_MANAGER);
        let patched =
            bounded(&self.what("patch", name), self.api.patch(name, &params, &Patch::<()>::Json(patch))).await?;
        Ok(Seen::of(&patched.metadata))
    }

    /// Deletes the version that was `seen`. Gone already is fine.
    pub async fn delete(&self, name: &str, seen: &Seen) -> Result<(), ClusterError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(seen.uid.to_string()),
                resource_version: Some(seen.resource_version.to_string()),
            }),
            ..DeleteParams::default()
        };
        match bounded(&self.what("delete", name), self.api.delete(name, &params)).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Metadata of the Secrets that carry all of these labels.
    pub async fn list(&self, labels: &str) -> Result<Vec<ObjectMeta>, ClusterError> {
        let params = kube::api::ListParams::default().labels(labels);
        let list = bounded(&format!("list Secrets in {}", self.namespace), self.api.list_metadata(&params)).await?;
        Ok(list.items.into_iter().map(|s| s.metadata).collect())
    }

    fn what(&self, verb: &str, name: &str) -> String {
        format!("{verb} Secret {}/{name}", self.namespace)
    }
}

fn encode(data: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, ByteString> {
    data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn the_owner_of_a_secret_that_no_watch_has_told_of_learns_of_its_deletion() {
        let index = Arc::new(SecretIndex::default());
        let touched = Mutex::new(vec![]);
        let sink = SecretSink { index: index.clone(), touched: |owner| touched.lock().unwrap().push(owner) };
        let (id, other) = (ObjectRef::new("ns", "secret"), ObjectRef::new("other", "secret"));
        let seen = Seen { uid: "u".into(), resource_version: "7".into() };
        index.note(&id, &seen, "owner");
        index.note(&other, &seen, "owner");
        sink.retain(Some("ns"), &HashSet::new());
        assert_eq!(*touched.lock().unwrap(), [ObjectRef::new("ns", "owner")]);
        assert_eq!((index.get(&id), index.get(&other)), (None, Some(seen)));
    }
}
