//! What every controller works with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use tokio::sync::{Notify, mpsc};

use super::static_secret::Runtime;
use super::{Key, Kind};
use crate::api::{GROUP, VERSION, VaultAuth, VaultConnection, VaultStaticSecret};
use crate::cluster::{EventType, Events, Scope, SecretIndex, Store};
use crate::render::MacKey;
use crate::resolve::{CaSource, ConnectionPlan, Lookup, ObjectRef};
use crate::schedule::{Class, Limits, Queue};
use crate::settings::Settings;
use crate::telemetry::{Metrics, Snapshot};
use crate::vault::{ReadTable, Server, ServerConfig, ServerId, SessionPool, Trust};

/// What the context is made of.
pub struct Parts {
    /// Flags and environment.
    pub settings: Settings,
    /// Connection to the API server.
    pub client: kube::Client,
    /// Key of the MACs in status.
    pub mac_key: MacKey,
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
    pub(super) mac_key: MacKey,
    pub(super) metrics: Arc<Metrics>,
    pub(super) scopes: Vec<Scope>,
    pub(super) events: Events,
    pub(super) statics: Arc<Store<VaultStaticSecret>>,
    pub(super) auths: Arc<Store<VaultAuth>>,
    pub(super) connections: Arc<Store<VaultConnection>>,
    pub(super) secrets: Arc<SecretIndex>,
    pub(super) sessions: SessionPool,
    pub(super) reads: ReadTable,
    pub(super) queue: Mutex<Queue<Key>>,
    pub(super) wake: Notify,
    pub(super) runtimes: Mutex<HashMap<ObjectRef, Runtime>>,
    servers: Mutex<HashMap<ObjectRef, (String, i64, Arc<Server>)>>,
    server_changed: mpsc::UnboundedSender<ServerId>,
}

/// One Vault server gets this share of the workers at most, so that one that hangs leaves the others theirs.
fn per_lane(total: usize) -> usize {
    (total / 3).clamp(1, 32)
}

impl Context {
    /// Puts it together. The receiver is told of servers that go down or come back; the engine listens.
    pub fn new(parts: Parts) -> (Arc<Self>, mpsc::UnboundedReceiver<ServerId>) {
        let (server_changed, changes) = mpsc::unbounded_channel();
        let total = parts.settings.max_concurrent_reconciles.max(1);
        let context = Self {
            events: Events::new(parts.client.clone(), parts.host),
            sessions: SessionPool::new(parts.settings.backoff.clone()),
            queue: Mutex::new(Queue::new(Limits { total, per_lane: per_lane(total) })),
            settings: parts.settings,
            client: parts.client,
            mac_key: parts.mac_key,
            metrics: parts.metrics,
            scopes: parts.scopes,
            statics: Arc::default(),
            auths: Arc::default(),
            connections: Arc::default(),
            secrets: Arc::default(),
            reads: ReadTable::default(),
            wake: Notify::new(),
            runtimes: Mutex::default(),
            servers: Mutex::default(),
            server_changed,
        };
        (Arc::new(context), changes)
    }

    /// Puts an object into the queue, due at `due`.
    pub(super) fn push(&self, kind: Kind, id: ObjectRef, due: Instant, class: Class) {
        self.lock_queue().push(Key { kind, id }, due, class, Instant::now());
        self.wake.notify_one();
    }

    pub(super) fn lock_queue(&self) -> std::sync::MutexGuard<'_, Queue<Key>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server of a connection, built at first use and again when the object changed.
    pub(super) async fn server(&self, plan: &ConnectionPlan) -> Result<Arc<Server>, String> {
        if let Some((uid, generation, server)) = self.lock_servers().get(&plan.id)
            && *uid == plan.uid
            && *generation == plan.generation
        {
            return Ok(server.clone());
        }
        let trust = match &plan.ca {
            CaSource::System => Trust::System,
            CaSource::Skip => Trust::Anything,
            CaSource::File(path) => {
                let pem =
                    tokio::fs::read(path).await.map_err(|e| format!("spec.caCertPath {path:?} cannot be read: {e}"))?;
                Trust::Pem(pem)
            }
            CaSource::Secret(id) => Trust::Pem(self.ca_from_secret(id).await?),
        };
        let config = ServerConfig {
            address: plan.address.clone(),
            trust,
            tls_server_name: plan.tls_server_name.clone(),
            headers: plan.headers.clone(),
            timeout: plan.timeout,
        };
        let mut server = Arc::new(Server::new(&config, self.server_changed.clone()).map_err(|e| e.message)?);
        let mut servers = self.lock_servers();
        // Connections with equal content share a server: its pool, its health, and the logins on it.
        if let Some((_, _, same)) = servers.values().find(|(_, _, s)| s.id == server.id) {
            server = same.clone();
        }
        servers.insert(plan.id.clone(), (plan.uid.clone(), plan.generation, server.clone()));
        Ok(server)
    }

    /// Forgets the server of a connection: the object is gone, or its certificate authority may have changed.
    pub(super) fn forget_server(&self, connection: &ObjectRef) {
        self.lock_servers().remove(connection);
    }

    /// The connections that lead to a server.
    pub(super) fn connections_of(&self, server: ServerId) -> Vec<ObjectRef> {
        self.lock_servers().iter().filter(|(_, (_, _, s))| s.id == server).map(|(id, _)| id.clone()).collect()
    }

    /// Whether the last requests have shown a server to be down.
    pub(super) fn server_is_down(&self, server: ServerId) -> bool {
        self.lock_servers().values().any(|(_, _, s)| s.id == server && s.down().is_some())
    }

    fn lock_servers(&self) -> std::sync::MutexGuard<'_, HashMap<ObjectRef, (String, i64, Arc<Server>)>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ca_from_secret(&self, id: &ObjectRef) -> Result<Vec<u8>, String> {
        let writer = crate::cluster::SecretWriter::new(&self.client, &id.namespace);
        let secret = writer.get(&id.name).await.map_err(|e| e.to_string())?;
        let secret = secret.ok_or_else(|| format!("the CA secret \"{id}\" does not exist"))?;
        let pem = secret.data.and_then(|mut data| data.remove("ca.crt"));
        pem.map(|pem| pem.0).ok_or_else(|| format!("\"ca.crt\" not present in the CA secret \"{id}\""))
    }

    /// What a scrape shows of the queue and the stores. An object is overdue if it is late by more than `grace`.
    pub fn snapshot(&self, grace: Duration) -> Snapshot {
        let now = Instant::now();
        let queue = self.lock_queue();
        Snapshot {
            queue_length: queue.len(),
            in_flight: queue.in_flight(),
            overdue: queue.overdue(now, grace),
            static_secrets: self.statics.len(),
            sessions: self.sessions.len(),
            leads: false,
        }
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
        self.events.publish(&about, &kind, type_, reason, message).await;
    }
}

impl Lookup for Context {
    fn auth(&self, id: &ObjectRef) -> Option<Arc<VaultAuth>> {
        self.auths.get(id)
    }

    fn connection(&self, id: &ObjectRef) -> Option<Arc<VaultConnection>> {
        self.connections.get(id)
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
