//! The workloads that ask for restarts. Of all others nothing is kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use kube::api::{DynamicObject, ObjectMeta};
use parking_lot::RwLock;
use serde_json::Value;

use crate::api::{Key, Kind, ObjectRef, RestartKind};
use crate::controllers::work::Work;
use crate::kubernetes::{Sink, Workload};
use crate::reloader::{Declared, Expressions, MARKS_ANNOTATION, Marks, SourceKind, Traits};
use crate::sync::last_restart;
use crate::util::shrink;
use crate::workqueue::Class;

/// A workload that asks for restarts.
pub(super) struct KnownWorkload {
    /// The metadata that events about the workload refer to.
    pub meta: ObjectMeta,
    pub declared: Declared,
    pub marks: Marks,
    pub paused: bool,
    /// When this operator has restarted it last, as far as is known.
    pub last_restart: Option<DateTime<Utc>>,
    /// A hash over all that decides what is to be done with the workload.
    pub fingerprint: u64,
}

impl KnownWorkload {
    /// `kind` is `None` for a CronJob. `auto_by_default`: it asks for all that it uses, unless it says whether.
    /// `before` is what was known of it.
    fn of(
        object: DynamicObject,
        kind: Option<&RestartKind>,
        auto_by_default: bool,
        key_name: &str,
        expressions: &Expressions,
        before: Option<&Self>,
    ) -> Option<Self> {
        let template = if kind.is_some() { "/spec/template" } else { "/spec/jobTemplate/spec/template" };
        let template = object.data.pointer(template).unwrap_or(&Value::Null);
        let none = BTreeMap::new();
        let annotations = object.metadata.annotations.as_ref().unwrap_or(&none);
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let before = before.map(|before| &before.declared);
        let declared = Declared::among(expressions, namespace, before, annotations, template, auto_by_default)?;
        let mut fingerprint = DefaultHasher::new();
        let meta = &object.metadata;
        let short = ObjectMeta {
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            ..ObjectMeta::default()
        };
        (&meta.uid, meta.generation, &meta.annotations).hash(&mut fingerprint);
        // What others leave no room for may change, too.
        declared.complaints.hash(&mut fingerprint);
        let workload = match kind {
            Some(kind) => Workload::of(kind, object),
            None => Workload::of_cron_job(object),
        };
        let marks = marks_of(&workload, key_name);
        marks.to_json().hash(&mut fingerprint);
        let paused = workload.paused && kind == Some(&RestartKind::Deployment);
        let last_restart = kind.and_then(|kind| last_restart(kind, &workload));
        Some(Self { meta: short, declared, marks, paused, last_restart, fingerprint: fingerprint.finish() })
    }
}

/// The marks of a workload. They count while this operator is the client that wrote them last: a rollback brings those
/// of an older restart back, and its pods have started with newer contents.
pub(super) fn marks_of(workload: &Workload, key_name: &str) -> Marks {
    let annotation = workload.annotations.get(MARKS_ANNOTATION).map(String::as_str);
    Marks::parse(annotation.filter(|_| !workload.annotation_is_foreign(MARKS_ANNOTATION)), key_name)
}

type ByName = HashMap<(Kind, Box<str>), Arc<KnownWorkload>>;

/// The workloads that ask for restarts.
#[derive(Default)]
pub(super) struct KnownWorkloads(RwLock<HashMap<Box<str>, ByName>>);

impl KnownWorkloads {
    /// The workload of a key.
    pub fn get(&self, key: &Key) -> Option<Arc<KnownWorkload>> {
        let all = self.0.read();
        all.get(&*key.id.namespace)?.get(&(key.kind, (&*key.id.name).into())).cloned()
    }

    /// The workloads that are restarted when a Secret or ConfigMap changes.
    pub fn users(&self, kind: SourceKind, id: &ObjectRef, traits: Traits) -> Vec<Key> {
        let all = self.0.read();
        let known = all.get(&*id.namespace).into_iter().flatten();
        let users = known.filter(|(_, workload)| workload.declared.reload(kind, &id.name, traits));
        users.map(|((kind, name), _)| Key { kind: *kind, id: ObjectRef::new(id.namespace.clone(), &**name) }).collect()
    }

    /// How many there are of a kind.
    pub fn len(&self, kind: Kind) -> usize {
        self.0.read().values().flat_map(HashMap::keys).filter(|(known, _)| *known == kind).count()
    }

    /// True if there was nothing equal.
    fn put(&self, key: &Key, workload: KnownWorkload) -> bool {
        let mut all = self.0.write();
        let by_name = all.entry((&*key.id.namespace).into()).or_default();
        let fingerprint = workload.fingerprint;
        let old = by_name.insert((key.kind, (&*key.id.name).into()), Arc::new(workload));
        old.is_none_or(|old| old.fingerprint != fingerprint)
    }

    /// True if it was known.
    fn remove(&self, key: &Key) -> bool {
        let mut all = self.0.write();
        let Some(by_name) = all.get_mut(&*key.id.namespace) else { return false };
        let was_known = by_name.remove(&(key.kind, (&*key.id.name).into())).is_some();
        shrink(by_name);
        if by_name.is_empty() {
            all.remove(&*key.id.namespace);
        }
        was_known
    }
}

/// Puts what a watch of workloads sees into [`KnownWorkloads`], and makes due what may have to be restarted.
pub(super) struct WorkloadWatch {
    pub kind: Kind,
    /// `None`: CronJobs.
    pub restart_kind: Option<RestartKind>,
    pub known: Arc<KnownWorkloads>,
    /// Whether workloads without annotations ask for all that they use.
    pub auto_by_default: bool,
    pub key_name: String,
    pub expressions: Arc<Expressions>,
    pub work: Arc<Work>,
}

impl WorkloadWatch {
    fn key(&self, meta: &ObjectMeta) -> Key {
        Key { kind: self.kind, id: ObjectRef::of(meta) }
    }

    fn forget(&self, key: &Key) {
        if self.known.remove(key) {
            // The run that follows forgets the rest.
            self.work.push_now(key.clone(), Class::Event);
        }
    }
}

impl Sink<DynamicObject> for WorkloadWatch {
    fn apply(&self, object: DynamicObject) {
        let key = self.key(&object.metadata);
        let before = self.known.get(&key);
        let (kind, auto) = (self.restart_kind.as_ref(), self.auto_by_default);
        match KnownWorkload::of(object, kind, auto, &self.key_name, &self.expressions, before.as_deref()) {
            Some(workload) => {
                if self.known.put(&key, workload) {
                    self.work.push_now(key, Class::Event);
                }
            }
            None => self.forget(&key),
        }
    }

    fn apply_listed(&self, object: DynamicObject) {
        self.apply(object);
    }

    fn delete(&self, gone: &ObjectMeta) {
        self.forget(&self.key(gone));
    }

    fn retain(&self, namespace: Option<&str>, listed: &HashSet<ObjectRef>) {
        let all = self.known.0.read();
        let of_scope = all.iter().filter(|(name, _)| namespace.is_none_or(|namespace| namespace == &***name));
        let known = of_scope.flat_map(|(namespace, known)| known.keys().map(move |key| (namespace, key)));
        let of_kind = known.filter(|(_, (kind, _))| *kind == self.kind);
        let ids = of_kind.map(|(namespace, (_, name))| ObjectRef::new(&**namespace, &**name));
        let gone: Vec<ObjectRef> = ids.filter(|id| !listed.contains(id)).collect();
        drop(all);
        gone.into_iter().for_each(|id| self.forget(&Key { kind: self.kind, id }));
    }
}
