//! The objects that the watches keep current, and which of them refer to which.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Resource as _;

use super::listing::WatchGroup;
use crate::api::external_secrets::generator::{Password, Uuid, VaultGenerator};
use crate::api::external_secrets::{
    ClusterExternalSecret, ClusterPushSecret, ClusterSecretStore, ExternalSecret, PushSecret, SecretStore,
};
use crate::api::{
    ConditionType, CustomObject, Key, Kind, ObjectRef, SecretOwner, SecretTransformation, VaultAuth, VaultAuthGlobal,
    VaultConnection, condition,
};
use crate::kubernetes::{NamespaceLabels, Scope, SecretIndex, Store};
use crate::resolve::{self, GeneratorLookup, Lookup, StoreLookup, StorePlan, StoreSource};
use crate::settings::Settings;

/// The objects that others refer to, the owners of Secrets, and the Secrets.
pub(crate) struct Stores {
    pub connections: Arc<Store<VaultConnection>>,
    pub auths: Arc<Store<VaultAuth>>,
    pub globals: Arc<Store<VaultAuthGlobal>>,
    pub transformations: Arc<Store<SecretTransformation>>,
    pub secret_stores: Arc<Store<SecretStore>>,
    pub cluster_secret_stores: Arc<Store<ClusterSecretStore>>,
    pub external_secrets: Arc<Store<ExternalSecret>>,
    pub cluster_external_secrets: Arc<Store<ClusterExternalSecret>>,
    pub cluster_push_secrets: Arc<Store<ClusterPushSecret>>,
    pub passwords: Arc<Store<Password>>,
    pub uuids: Arc<Store<Uuid>>,
    pub vault_generators: Arc<Store<VaultGenerator>>,
    pub push_secrets: Arc<Store<PushSecret>>,
    /// The Secrets that ExternalSecrets fill.
    pub targets: Arc<SecretIndex>,
    /// Which namespaces a ClusterSecretStore admits may depend on them.
    pub namespaces: Arc<NamespaceLabels>,
    /// One store for each kind that fills a Secret.
    pub owners: Vec<Arc<dyn OwnerStore>>,
    /// The Secrets that the owners have created.
    pub secrets: Arc<SecretIndex>,
    /// The namespaces that are served.
    pub scopes: Vec<Scope>,
    /// The namespace that the operator runs in.
    pub operator_namespace: String,
    /// The watches of namespaces.
    pub namespace_watches: WatchGroup,
    /// The watches of ExternalSecrets.
    pub external_secret_watches: WatchGroup,
    /// The watches of PushSecrets.
    pub push_secret_watches: WatchGroup,
    /// The watches that readiness does not wait for.
    pub optional_watches: WatchGroup,
    external_secrets_class: String,
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
            secret_stores: Arc::default(),
            cluster_secret_stores: Arc::default(),
            external_secrets: Arc::default(),
            cluster_external_secrets: Arc::default(),
            cluster_push_secrets: Arc::default(),
            passwords: Arc::default(),
            uuids: Arc::default(),
            vault_generators: Arc::default(),
            namespace_watches: WatchGroup::default(),
            external_secret_watches: WatchGroup::default(),
            push_secret_watches: WatchGroup::default(),
            optional_watches: WatchGroup::default(),
            push_secrets: Arc::default(),
            targets: Arc::new(SecretIndex::new(vec![])),
            namespaces: Arc::default(),
            external_secrets_class: settings.external_secrets_class.clone(),
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

    /// Whether there is a VaultConnection, or a store, of that name.
    pub fn has_connection(&self, key: &Key) -> bool {
        match key.kind {
            SecretStore::KIND => self.secret_stores.get(&key.id).is_some(),
            ClusterSecretStore::KIND => self.cluster_secret_stores.get(&key.id).is_some(),
            VaultGenerator::KIND => self.vault_generators.get(&key.id).is_some(),
            _ => self.connections.get(&key.id).is_some(),
        }
    }

    /// Whether a VaultConnection, or a store, is shown as one that cannot be used.
    pub fn connection_fails(&self, key: &Key) -> bool {
        fn fails<K: CustomObject>(store: &Store<K>, id: &ObjectRef) -> bool {
            store.get(id).is_some_and(|object| condition::is_false(object.conditions(), ConditionType::Ready))
        }
        match key.kind {
            SecretStore::KIND => fails(&self.secret_stores, &key.id),
            ClusterSecretStore::KIND => fails(&self.cluster_secret_stores, &key.id),
            _ => fails(&self.connections, &key.id),
        }
    }

    /// Whether anything that was pushed to a store has to be deleted before the store goes.
    pub fn is_needed_by_push(&self, store: &Key) -> bool {
        self.push_secrets.all().iter().any(|object| resolve::needs_store(object, store))
    }

    /// The VaultAuth that an owner names.
    pub fn auth_of(&self, owner: &dyn SecretOwner) -> Option<ObjectRef> {
        ObjectRef::resolve(owner.vault_auth_ref(), owner.namespace(), &self.operator_namespace).ok()
    }

    /// The VaultConnection that a VaultAuth uses. `None` too if its VaultAuthGlobal is missing: the VaultAuth cannot be
    /// used then, whatever connections there are.
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

impl Stores {
    /// UIDs of stores and generators, with the namespaces of the credentials of their logins: of those that a store
    /// names, and of those of the namespaces of ExternalSecrets and PushSecrets.
    pub fn store_logins_in_use(&self) -> HashSet<(String, String)> {
        let own = self.secret_stores.all().into_iter().map(|store| resolve::secret_store(&store));
        let clusters = self.cluster_secret_stores.all();
        let own = own.chain(clusters.iter().map(|store| resolve::cluster_secret_store(store, "")));
        let own = own.filter_map(Result::ok).filter(|store| !store.is_referent);
        let of_users = self.external_secrets.all().into_iter().flat_map(|object| {
            let plan = resolve::external_secret(&object, Duration::ZERO, self);
            plan.ok().flatten().map(|plan| plan.stores).unwrap_or_default()
        });
        let of_pushes = self.push_secrets.all().into_iter().flat_map(|object| {
            let named = resolve::push_secret(&object, Duration::ZERO, self).map(|plan| plan.targets);
            let pushed = resolve::pushed_to(&object, self).into_iter().map(|(target, _)| target);
            named.unwrap_or_default().into_iter().chain(pushed).filter_map(|target| target.plan.ok())
        });
        let login = |store: StorePlan| match store.source {
            StoreSource::Vault(vault) => Some((store.uid, vault.login.credential_namespace)),
            StoreSource::Kubernetes(_) => None,
        };
        let generators = self.vault_generators.all();
        let of_generators = generators.iter().filter_map(|generator| resolve::vault_of_generator(generator).ok());
        let of_generators = of_generators.map(|vault| (vault.owner.uid, vault.login.credential_namespace));
        own.chain(of_users).chain(of_pushes).filter_map(login).chain(of_generators).collect()
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

impl StoreLookup for Stores {
    fn secret_store(&self, id: &ObjectRef) -> Option<Arc<SecretStore>> {
        self.secret_stores.get(id)
    }

    fn cluster_secret_store(&self, id: &ObjectRef) -> Option<Arc<ClusterSecretStore>> {
        self.cluster_secret_stores.get(id)
    }

    fn secret_stores_in(&self, namespace: &str) -> Vec<Arc<SecretStore>> {
        let all = self.secret_stores.all().into_iter();
        all.filter(|store| store.metadata.namespace.as_deref() == Some(namespace)).collect()
    }

    fn cluster_secret_stores(&self) -> Vec<Arc<ClusterSecretStore>> {
        self.cluster_secret_stores.all()
    }

    fn serves_cluster_stores(&self) -> bool {
        self.scopes == [Scope::All]
    }

    fn namespace_labels(&self, namespace: &str) -> Option<BTreeMap<String, String>> {
        self.namespaces.get(namespace)
    }

    fn controller_class(&self) -> &str {
        &self.external_secrets_class
    }
}

impl GeneratorLookup for Stores {
    fn password(&self, id: &ObjectRef) -> Option<Arc<Password>> {
        self.passwords.get(id)
    }

    fn uuid(&self, id: &ObjectRef) -> Option<Arc<Uuid>> {
        self.uuids.get(id)
    }

    fn vault_generator(&self, id: &ObjectRef) -> Option<Arc<VaultGenerator>> {
        self.vault_generators.get(id)
    }
}
