//! The Vault servers in use, by the VaultConnection or store that leads to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::ca_file::CaFiles;
use super::controller::{LONGEST_RUN, timed_out_text};
use super::probe::SharedProbe;
use super::stores::Stores;
use crate::api::{CustomObject as _, Key, ObjectRef, VaultConnection};
use crate::kubernetes::{NoValue, SecretWriter, config_map_data};
use crate::resolve::{CaSource, ConnectionPlan, SecretKey};
use crate::telemetry::{Metrics, ServerInfo};
use crate::util::{WeakTable, shrink};
use crate::vault::{ClientCertificate, Server, ServerConfig, ServerId, ServerVersion, SharedResources, Trust};

/// A server, and the version of the object it was built from.
struct Known {
    uid: String,
    generation: i64,
    server: Arc<Server>,
    probe: Arc<SharedProbe>,
    /// When the authority of its certificate was read.
    read: Instant,
}

/// What became of the authority that a connection trusts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    /// The authority has not changed, or was looked at a moment ago.
    Same,
    /// It is another: [`Servers::get_or_connect`] gives another server from now on.
    Replaced,
    /// It is another, and another run has found that out.
    AlreadyReplaced,
}

/// An authority is not read again sooner.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// Builds servers and remembers them.
pub(crate) struct Servers {
    client: kube::Client,
    /// Which connections there are.
    stores: Arc<Stores>,
    ca_files: CaFiles,
    known: Mutex<HashMap<Key, Known>>,
    shared: SharedResources,
    /// Told of each server that goes down or comes back.
    changed: mpsc::UnboundedSender<ServerId>,
    metrics: Arc<Metrics>,
    /// Held while the authority of a connection is read again: runs that fail for the same reason wait for what is
    /// found.
    reloading: WeakTable<Key, tokio::sync::Mutex<()>>,
}

impl Servers {
    /// Knows no server. `changed` is told of each that goes down or comes back.
    pub fn new(
        client: kube::Client,
        stores: Arc<Stores>,
        ca_files: CaFiles,
        changed: mpsc::UnboundedSender<ServerId>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (known, reloading, shared) = Default::default();
        Self { client, stores, ca_files, known, shared, changed, metrics, reloading }
    }

    /// The server of a connection, built at first use and again when the object changed. Connections with equal content
    /// share a server: its pool, its health, and the logins on it.
    pub async fn get_or_connect(&self, plan: &ConnectionPlan) -> Result<Arc<Server>, String> {
        if let Some(known) = self.known.lock().get(&plan.key)
            && known.uid == plan.uid
            && known.generation == plan.generation
        {
            return Ok(known.server.clone());
        }
        self.build(plan).await
    }

    async fn build(&self, plan: &ConnectionPlan) -> Result<Arc<Server>, String> {
        let read = Instant::now();
        let config = ServerConfig {
            address: plan.address.clone(),
            trust: self.trust(&plan.ca).await?,
            tls_server_name: plan.tls_server_name.clone(),
            client_certificate: self.client_certificate(plan).await?,
            headers: plan.headers.clone(),
            timeout: plan.timeout,
        };
        // Shared with others of equal content, it counts as the first of them.
        let mut metrics = self.metrics.client.of_connection(&label(&plan.key));
        if plan.key.kind != VaultConnection::KIND {
            metrics.provider_calls =
                self.metrics.external_secrets.as_ref().map(|external_secrets| external_secrets.provider_calls());
        }
        let server = Server::new(&config, &self.shared, self.changed.clone(), metrics).map_err(|e| e.message)?;
        let mut known = self.known.lock();
        let same = known.values().find(|k| k.server.id == server.id).map(|k| (k.server.clone(), k.probe.clone()));
        let (server, probe) = same.unwrap_or_else(|| (Arc::new(server), Arc::default()));
        // A run may hold the plan of a connection that is gone. Looked up under the lock that `forget` takes, which
        // follows the deletion.
        if self.stores.has_connection(&plan.key) {
            let entry =
                Known { uid: plan.uid.clone(), generation: plan.generation, server: server.clone(), probe, read };
            known.insert(plan.key.clone(), entry);
        } else {
            self.metrics.client.forget_connection(&label(&plan.key));
        }
        Ok(server)
    }

    /// Reads the authority of a connection again, since `server` was not trusted or some time has passed. If it is the
    /// same, or cannot be read, so stays the server, with the logins on it.
    pub async fn reload_authority(&self, plan: &ConnectionPlan, server: ServerId) -> Result<Authority, String> {
        let now = Instant::now();
        self.reload_authority_of(plan, server, now.checked_sub(RELOAD_INTERVAL).unwrap_or(now)).await
    }

    /// Does so if the authority was last read before `at`.
    pub async fn reload_authority_of(
        &self,
        plan: &ConnectionPlan,
        server: ServerId,
        at: Instant,
    ) -> Result<Authority, String> {
        if matches!(plan.ca, CaSource::System | CaSource::Skip | CaSource::Text(_)) && plan.client_certificate.is_none()
        {
            return Ok(Authority::Same);
        }
        let reloading = self.reloading.get_or_insert_with(plan.key.clone(), |_| Arc::default());
        let _reloading = reloading.lock().await;
        match self.known.lock().get(&plan.key) {
            Some(known) if known.server.id != server => return Ok(Authority::AlreadyReplaced),
            Some(known) if known.read <= at => {}
            _ => return Ok(Authority::Same),
        }
        let same = self.build(plan).await?.id == server;
        Ok(if same { Authority::Same } else { Authority::Replaced })
    }

    /// Learns that a run took too long, with the servers of these connections; `None` is one of which nothing is known
    /// here. Gives what is told of the run.
    pub fn timed_out(&self, connections: impl Iterator<Item = Option<Key>>) -> String {
        let server = |connection: Option<Key>| self.known.lock().get(&connection?).map(|known| known.server.clone());
        let answered = connections.map(|connection| server(connection).is_some_and(|of| of.timed_out(LONGEST_RUN)));
        let answered: Vec<bool> = answered.collect();
        timed_out_text(!answered.is_empty() && !answered.contains(&false))
    }

    /// Forgets the server of a connection that is gone.
    pub fn forget(&self, connection: &Key) {
        let mut known = self.known.lock();
        if known.remove(connection).is_some() {
            shrink(&mut known);
            self.metrics.client.forget_connection(&label(connection));
        }
    }

    /// What all connections to a server know of it. One that is not in use any more is probed apart.
    pub fn probe_of(&self, server: &Server) -> Arc<SharedProbe> {
        let known = self.known.lock();
        known.values().find(|k| k.server.id == server.id).map(|k| k.probe.clone()).unwrap_or_default()
    }

    /// Which server each connection leads to, where that is known.
    pub fn infos(&self) -> Vec<ServerInfo> {
        let info = |(key, known): (&Key, &Known)| {
            let ServerVersion { product, version } = known.server.version()?;
            Some(ServerInfo { vault_connection: label(key), product: product.as_str(), version })
        };
        self.known.lock().iter().filter_map(info).collect()
    }

    /// The connections that lead to a server.
    pub fn connections_of(&self, server: ServerId) -> Vec<Key> {
        self.known.lock().iter().filter(|(_, k)| k.server.id == server).map(|(key, _)| key.clone()).collect()
    }

    /// Whether the last requests have shown a server to be down.
    pub fn is_down(&self, server: ServerId) -> bool {
        self.known.lock().values().any(|k| k.server.id == server && k.server.last_error().is_some())
    }

    async fn client_certificate(&self, plan: &ConnectionPlan) -> Result<Option<ClientCertificate>, String> {
        let Some((certificate, key)) = &plan.client_certificate else { return Ok(None) };
        let value = async |SecretKey { id, key }: &SecretKey| self.secret_value("secret", id, key).await;
        let (chain, key) = (value(certificate).await?, value(key).await?);
        Ok(Some(ClientCertificate { chain, key: key.into() }))
    }

    /// The value of a key; `what` is what errors call the Secret.
    async fn secret_value(&self, what: &str, id: &ObjectRef, key: &str) -> Result<Vec<u8>, String> {
        let value = SecretWriter::new(&self.client, &id.namespace).value(&id.name, key).await;
        value.map_err(|why| match why {
            NoValue::Unread(error) => error.to_string(),
            NoValue::NoSecret => format!("the {what} \"{id}\" does not exist"),
            NoValue::NoKey => format!("{key:?} not present in the {what} \"{id}\""),
        })
    }

    async fn trust(&self, ca: &CaSource) -> Result<Trust, String> {
        match ca {
            CaSource::System => Ok(Trust::System),
            CaSource::Skip => Ok(Trust::InsecureSkipVerify),
            CaSource::File(path) => self.ca_files.read(path).await.map(Trust::Pem),
            CaSource::Text(pem) => Ok(Trust::Pem(pem.clone())),
            CaSource::Secret(id, key) => self.secret_value("CA secret", id, key).await.map(Trust::Pem),
            CaSource::ConfigMap(id, key) => {
                let data = config_map_data(&self.client, &id.namespace, &id.name).await.map_err(|e| e.to_string())?;
                let mut data = data.ok_or_else(|| format!("the CA ConfigMap \"{id}\" does not exist"))?;
                let pem = data.remove(key);
                let pem = pem.ok_or_else(|| format!("{key:?} not present in the CA ConfigMap \"{id}\""))?;
                Ok(Trust::Pem(pem.into_bytes()))
            }
        }
    }
}

/// How metrics name a connection: by namespace and name, as VSO does, with the kind before that of a store.
fn label(key: &Key) -> String {
    let Key { kind, id } = key;
    match *kind {
        VaultConnection::KIND => id.to_string(),
        kind if id.namespace.is_empty() => format!("{}/{}", kind.as_str(), id.name),
        kind => format!("{}/{id}", kind.as_str()),
    }
}
