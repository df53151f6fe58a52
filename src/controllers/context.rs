//! What every controller works with.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::client_cache::ClientCache;
use super::instant_updates::InstantUpdates;
use super::servers::Servers;
use super::static_secret::Runtime;
use super::{Key, Kind};
use crate::api::{
    CSISecrets, GROUP, SecretTransformation, VERSION, VaultAuth, VaultAuthGlobal, VaultConnection, VaultDynamicSecret,
    VaultPKISecret, VaultStaticSecret,
};
use crate::cluster::{EventType, Events, KnownKey, Scope, SecretIndex, Store};
use crate::credentials::Cloud;
use crate::render::Recipes;
use crate::resolve::{LoginOwner, Lookup, ObjectRef};
use crate::schedule::{Class, Limits, Queue};
use crate::settings::Settings;
use crate::telemetry::Metrics;
use crate::vault::{ReadTable, ServerId, SessionPool, Signal};

/// What the context is made of.
pub struct Parts {
    /// Flags and environment.
    pub settings: Settings,
    /// Connection to the API server.
    pub client: kube::Client,
    /// Key of the MACs in status.
    pub mac_key: KnownKey,
    /// Where counts go.
    pub metrics: Arc<Metrics>,
    /// Name of the pod or machine, for events.
    pub host: String,
    /// The namespaces that are watched.
    pub scopes: Vec<Scope>,
}

/// Stores, sessions, queue: shared by all controllers.
pub struct Context {
    pub(super) settings: Settings,
    pub(super) client: kube::Client,
    pub(super) mac_key: KnownKey,
    pub(super) metrics: Arc<Metrics>,
    pub(super) scopes: Vec<Scope>,
    pub(super) events: Arc<Events>,
    pub(super) statics: Arc<Store<VaultStaticSecret>>,
    pub(super) auths: Arc<Store<VaultAuth>>,
    pub(super) globals: Arc<Store<VaultAuthGlobal>>,
    pub(super) connections: Arc<Store<VaultConnection>>,
    pub(super) transformations: Arc<Store<SecretTransformation>>,
    pub(super) dynamics: Arc<Store<VaultDynamicSecret>>,
    pub(super) pkis: Arc<Store<VaultPKISecret>>,
    pub(super) csis: Arc<Store<CSISecrets>>,
    pub(super) recipes: Recipes,
    /// Templates run on so many threads at most: each may use a core and, for a moment, tens of MiB.
    pub(super) renders: Semaphore,
    pub(super) secrets: Arc<SecretIndex>,
    pub(super) sessions: SessionPool,
    /// For logins as an identity of AWS or Google.
    pub(super) cloud: Arc<Cloud>,
    pub(super) reads: ReadTable,
    pub(super) queue: Mutex<Queue<Key>>,
    pub(super) wake: Notify,
    /// Set when all objects are listed; before that every one of them is due anyway.
    pub(super) running: AtomicBool,
    pub(super) runtimes: Mutex<HashMap<ObjectRef, Box<Runtime>>>,
    pub(super) servers: Servers,
    pub(super) client_cache: ClientCache,
    /// For tasks that go on after a run.
    pub(super) this: Weak<Context>,
    pub(super) instant_updates: InstantUpdates,
}

/// What comes from Vault unasked. The engine listens.
pub struct News {
    /// Servers that go down or come back.
    pub(super) servers: mpsc::UnboundedReceiver<ServerId>,
    /// Writes that somebody wants to know of.
    pub(super) writes: mpsc::Receiver<Signal>,
}

/// At the end, events have this long to be written.
const EVENTS: Duration = Duration::from_secs(3);

/// One Vault server gets this share of the workers at most, so that one that hangs leaves the others theirs.
fn per_lane(total: usize) -> usize {
    (total / 3).clamp(1, 32)
}

impl Context {
    /// Puts it together.
    pub fn new(parts: Parts) -> (Arc<Self>, News) {
        let (server_changed, servers) = mpsc::unbounded_channel();
        let (instant_updates, writes) = InstantUpdates::new(parts.settings.backoff);
        let total = parts.settings.max_concurrent_reconciles.max(1);
        let metrics = parts.metrics.clone();
        let context = Arc::new_cyclic(|this| Self {
            events: Events::new(parts.client.clone(), parts.host),
            sessions: SessionPool::new(parts.settings.backoff, parts.settings.session_limit, metrics.clone()),
            cloud: Arc::new(Cloud::from_environment()),
            queue: Mutex::new(Queue::new(Limits { total, per_lane: per_lane(total) })),
            settings: parts.settings,
            client: parts.client,
            mac_key: parts.mac_key,
            metrics: parts.metrics,
            scopes: parts.scopes,
            statics: Arc::default(),
            auths: Arc::default(),
            globals: Arc::default(),
            connections: Arc::default(),
            transformations: Arc::default(),
            dynamics: Arc::default(),
            pkis: Arc::default(),
            csis: Arc::default(),
            recipes: Recipes::default(),
            renders: Semaphore::new(2 * std::thread::available_parallelism().map_or(1, usize::from)),
            secrets: Arc::default(),
            reads: ReadTable::default(),
            wake: Notify::new(),
            running: AtomicBool::new(false),
            runtimes: Mutex::default(),
            servers: Servers::new(server_changed, metrics),
            client_cache: ClientCache::default(),
            this: this.clone(),
            instant_updates,
        });
        (context, News { servers, writes })
    }

    /// Puts an object into the queue, due at `due`.
    pub(super) fn push(&self, kind: Kind, id: ObjectRef, due: Instant, class: Class) {
        self.lock_queue().push(Key { kind, id }, due, class, Instant::now());
        self.wake.notify_one();
    }

    pub(super) fn lock_queue(&self) -> std::sync::MutexGuard<'_, Queue<Key>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until what was reported is written, within limits.
    pub async fn finish_events(&self) {
        self.events.finish(EVENTS).await;
    }

    /// Writes an event about the VaultAuth of a login.
    pub(super) async fn event_about_login(&self, owner: &LoginOwner, type_: EventType, reason: &str, message: &str) {
        let kind = VaultAuth::kind(&());
        let about = ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some(kind.to_string()),
            name: Some(owner.id.name.to_string()),
            namespace: Some(owner.id.namespace.to_string()),
            uid: Some(owner.uid.clone()),
            ..ObjectReference::default()
        };
        self.events.publish(about, type_, reason, message).await;
    }

    /// Writes an event about an object.
    pub(super) async fn event<K>(&self, object: &K, type_: EventType, reason: &str, message: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let meta = object.meta();
        let kind = K::kind(&());
        let about = ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some(kind.to_string()),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            ..ObjectReference::default()
        };
        self.events.publish(about, type_, reason, message).await;
    }
}

impl Lookup for Context {
    fn auth(&self, id: &ObjectRef) -> Option<Arc<VaultAuth>> {
        self.auths.get(id)
    }

    fn global(&self, id: &ObjectRef) -> Option<Arc<VaultAuthGlobal>> {
        self.globals.get(id)
    }

    fn allows_default_globals(&self) -> bool {
        self.settings.global.allow_default_globals
    }

    fn connection(&self, id: &ObjectRef) -> Option<Arc<VaultConnection>> {
        self.connections.get(id)
    }

    fn transformation(&self, id: &ObjectRef) -> Option<Arc<SecretTransformation>> {
        self.transformations.get(id)
    }

    fn serves(&self, namespace: &str) -> bool {
        // The operator's own namespace is watched for the objects named `default`, whatever else is.
        namespace == self.settings.operator_namespace
            || self.scopes.iter().any(|scope| match scope {
                Scope::All => true,
                Scope::Namespace(watched) => watched == namespace,
            })
    }

    fn operator_namespace(&self) -> &str {
        &self.settings.operator_namespace
    }
}
