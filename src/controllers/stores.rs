//! The objects that the watches keep current, and which of them refer to which.

use std::sync::Arc;
use std::time::Duration;

use kube::Resource as _;

use crate::api::{
    CustomObject, Key, Kind, ObjectRef, SecretOwner, SecretTransformation, VaultAuth, VaultAuthGlobal, VaultConnection,
};
use crate::kubernetes::{Scope, SecretIndex, Store};
use crate::resolve::{self, Lookup};
use crate::settings::Settings;

/// The objects that others refer to, the owners of Secrets, and the Secrets.
pub(crate) struct Stores {
    pub connections: Arc<Store<VaultConnection>>,
    pub auths: Arc<Store<VaultAuth>>,
    pub globals: Arc<Store<VaultAuthGlobal>>,
    pub transformations: Arc<Store<SecretTransformation>>,
    /// One store for each kind that fills a Secret.
    pub owners: Vec<Arc<dyn OwnerStore>>,
    /// The Secrets that the owners have created.
    pub secrets: Arc<SecretIndex>,
    /// The namespaces that are served.
    pub scopes: Vec<Scope>,
    /// The namespace that the operator runs in.
    pub operator_namespace: String,
    allow_default_globals: bool,
    allow_ambient_cloud_identity: bool,
    min_refresh_after: Duration,
}

/// The owners of Secrets of one kind.
pub(crate) trait OwnerStore: Send + Sync {
    /// The kind.
    fn kind(&self) -> Kind;
    /// All objects, in no order.
    fn owners(&self) -> Vec<Arc<dyn SecretOwner>>;
    /// Whether there is an object of that name.
    fn contains(&self, id: &ObjectRef) -> bool;
}

impl<K: CustomObject + SecretOwner> OwnerStore for Store<K> {
    fn kind(&self) -> Kind {
        K::KIND
    }

    fn owners(&self) -> Vec<Arc<dyn SecretOwner>> {
        self.all().into_iter().map(|object| object as Arc<dyn SecretOwner>).collect()
    }

    fn contains(&self, id: &ObjectRef) -> bool {
        self.get(id).is_some()
    }
}

impl Stores {
    /// Empty stores. `owners` has a store for each kind that fills a Secret.
    pub fn new(settings: &Settings, scopes: Vec<Scope>, owners: Vec<Arc<dyn OwnerStore>>) -> Self {
        Self {
            connections: Arc::default(),
            auths: Arc::default(),
            globals: Arc::default(),
            transformations: Arc::default(),
            secrets: Arc::new(SecretIndex::new(owners.iter().map(|store| store.kind()).collect())),
            owners,
            scopes,
            operator_namespace: settings.operator_namespace.clone(),
            allow_default_globals: settings.global.allow_default_globals,
            allow_ambient_cloud_identity: settings.global.allow_ambient_cloud_identity,
            min_refresh_after: settings.min_refresh_after,
        }
    }

    /// All owners of Secrets, of every kind.
    pub fn all_owners(&self) -> impl Iterator<Item = Arc<dyn SecretOwner>> {
        self.owners.iter().flat_map(|store| store.owners())
    }

    /// Whether there is an owner of that kind and name.
    pub fn has_owner(&self, key: &Key) -> bool {
        self.owners.iter().any(|store| store.kind() == key.kind && store.contains(&key.id))
    }

    /// The VaultAuth that an owner names.
    pub fn auth_of(&self, owner: &dyn SecretOwner) -> Option<ObjectRef> {
        ObjectRef::resolve(owner.vault_auth_ref(), owner.namespace(), &self.operator_namespace).ok()
    }

    /// The VaultConnection that a VaultAuth uses. `None` too if its VaultAuthGlobal is missing: the VaultAuth cannot be used
    /// then, whatever connections there are.
    pub fn connection_of(&self, auth: &VaultAuth) -> Option<ObjectRef> {
        let namespace = auth.meta().namespace.as_deref().unwrap_or("");
        let merged = resolve::merged(auth, self).ok()?;
        ObjectRef::resolve(merged.spec.vault_connection_ref.as_deref(), namespace, &self.operator_namespace).ok()
    }

    /// UIDs of the VaultAuths that owners use, with the namespaces of these owners.
    pub fn logins_in_use(&self) -> impl Iterator<Item = (String, String)> {
        self.all_owners().filter_map(|owner| {
            let auth = self.auths.get(&self.auth_of(&*owner)?)?;
            Some((auth.metadata.uid.clone()?, owner.namespace().to_owned()))
        })
    }
}

impl Lookup for Stores {
    fn auth(&self, id: &ObjectRef) -> Option<Arc<VaultAuth>> {
        self.auths.get(id)
    }

    fn global(&self, id: &ObjectRef) -> Option<Arc<VaultAuthGlobal>> {
        self.globals.get(id)
    }

    fn allows_default_globals(&self) -> bool {
        self.allow_default_globals
    }

    fn allows_ambient_cloud_identity(&self) -> bool {
        self.allow_ambient_cloud_identity
    }

    fn connection(&self, id: &ObjectRef) -> Option<Arc<VaultConnection>> {
        self.connections.get(id)
    }

    fn transformation(&self, id: &ObjectRef) -> Option<Arc<SecretTransformation>> {
        self.transformations.get(id)
    }

    fn watches_namespace(&self, namespace: &str) -> bool {
        // The operator's own namespace is watched for the objects named `default`, whichever others are.
        namespace == self.operator_namespace
            || self.scopes.iter().any(|scope| match scope {
                Scope::All => true,
                Scope::Namespace(watched) => watched == namespace,
            })
    }

    fn operator_namespace(&self) -> &str {
        &self.operator_namespace
    }

    fn min_refresh_after(&self) -> Duration {
        self.min_refresh_after
    }
}
