//! The kinds of the API, as the rest of the program tells them apart.

use std::fmt;
use std::hash::{Hash, Hasher};

use kube::core::object::{HasSpec, HasStatus};
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::condition::Condition;
use super::{LAST_APPLIED, ObjectRef, SecretOwner};

/// A kind. Two are equal if Kubernetes knows them by the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(&'static KindNames);

/// The names of a kind.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindNames {
    /// Group and version, as `apiVersion` in a manifest.
    pub api_version: &'static str,
    /// `kind` in a manifest.
    pub kind: &'static str,
    /// Name of its controller in logs and metrics: VSO's, the kind in lower case.
    pub controller: &'static str,
    /// What its events come from: as VSO's and ESO's do.
    pub component: &'static str,
}

impl Hash for KindNames {
    /// One of the names is enough, and keys are hashed all the time.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl Kind {
    /// The kind of these names.
    pub const fn new(names: &'static KindNames) -> Self {
        Self(names)
    }

    /// `apiVersion` in a manifest.
    pub fn api_version(self) -> &'static str {
        self.0.api_version
    }

    /// `kind` in a manifest.
    pub fn as_str(self) -> &'static str {
        self.0.kind
    }

    /// What its events come from.
    pub fn component(self) -> &'static str {
        self.0.component
    }

    /// Name of its controller in logs and metrics.
    pub fn controller(self) -> &'static str {
        self.0.controller
    }
}

/// One object of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub id: ObjectRef,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.controller(), self.id)
    }
}

/// Whether objects of a kind are in namespaces.
pub trait ApiScope: Sized {
    /// Access to the objects of a kind in a namespace, which has no meaning for a kind that is in none.
    fn api<K: Resource<DynamicType = (), Scope = Self>>(client: Client, namespace: &str) -> Api<K>;
}

impl ApiScope for NamespaceResourceScope {
    fn api<K: Resource<DynamicType = (), Scope = Self>>(client: Client, namespace: &str) -> Api<K> {
        Api::namespaced(client, namespace)
    }
}

impl ApiScope for ClusterResourceScope {
    fn api<K: Resource<DynamicType = (), Scope = Self>>(client: Client, _namespace: &str) -> Api<K> {
        Api::all(client)
    }
}

/// A kind that the operator serves, with a status that has conditions.
pub trait CustomObject:
    Resource<DynamicType = (), Scope: ApiScope>
    + HasStatus<Status: Clone + Default + PartialEq + Serialize + Send + Sync>
    + Clone
    + fmt::Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// The kind.
    const KIND: Kind;

    /// The conditions of the status.
    fn conditions(&self) -> &[Condition];

    /// Drops the parts that the operator does not read: they are three quarters of a typical object.
    fn prune(&mut self) {
        drop_managed_fields(self);
        drop_last_applied(self);
    }

    /// The key of the object.
    fn key(&self) -> Key {
        Key { kind: Self::KIND, id: ObjectRef::of(self.meta()) }
    }
}

/// Drops what the operator does not read of an owner of a Secret.
pub fn prune_owner(object: &mut (impl Resource + SecretOwner)) {
    drop_managed_fields(object);
    let transformation = &object.destination().transformation;
    // Templates may print any annotation of the object.
    if transformation.templates.is_empty() && transformation.transformation_refs.is_empty() {
        drop_last_applied(object);
    }
}

/// Drops all but what is needed to show that the operator does not serve an object.
pub fn prune_unserved(object: &mut (impl Resource + HasSpec<Spec: Default>)) {
    drop_managed_fields(object);
    drop_last_applied(object);
    *object.spec_mut() = Default::default();
}

/// Drops `metadata.managedFields`.
pub fn drop_managed_fields(object: &mut impl Resource) {
    object.meta_mut().managed_fields = None;
}

/// Drops kubectl's copy of the manifest.
pub fn drop_last_applied(object: &mut impl Resource) {
    let annotations = &mut object.meta_mut().annotations;
    if let Some(some) = annotations {
        some.remove(LAST_APPLIED);
    }
    // A map that has become empty keeps half a KiB of room.
    annotations.take_if(|left| left.is_empty());
}
