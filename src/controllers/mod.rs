//! The controllers: what every kind does, and the engine that runs them.
//!
//! From the bottom up:
//!
//! - `stores`, `work` and `outputs` are what a run reads, waits in and writes to; `states` is what is remembered
//!   between two runs; `listing` says whether all is known; `outcome`, `retry` and `drift` say when the next run is
//!   due.
//! - `servers`, with `ca_file` and `probe`, `client_cache` and `subscriptions` lead to Vault, and `vault_access` puts
//!   them together; `read_age` says how old a shared answer may be.
//! - `store_access`, `open_store` and `generators` lead to what objects of `external-secrets.io` are made of, and
//!   `store_failure` says how a run ends that does not get through; `store_names`, `named` and `feeds` know the Secrets
//!   and ConfigMaps behind that, and tell of their changes.
//! - `dependents` knows which objects have to look again when another one changes.
//! - `controller` is what a kind has to be. `pipeline` is the way of all kinds of VSO that fill a Secret, `fan_out`
//!   that of the kinds that make objects in many namespaces, and `unsupported` that of those that are not served. The
//!   other files named after a kind are the kinds.
//! - `kinds` has a row for each, `engine` runs them, `snapshot` shows them to the metrics; this file puts the parts
//!   together.

mod ca_file;
mod client_cache;
mod cluster_external_secret;
mod cluster_push_secret;
mod controller;
mod dependents;
mod drift;
mod dynamic_secret;
mod engine;
mod external_secret;
mod fan_out;
mod feeds;
mod finalizer;
mod generators;
mod kinds;
mod listing;
mod named;
mod open_store;
mod outcome;
mod outputs;
mod pipeline;
mod pki_secret;
mod probe;
mod push_secret;
mod read_age;
mod reloader;
mod render_turns;
mod retry;
mod secret_store;
mod secret_transformation;
mod servers;
mod snapshot;
mod states;
mod static_secret;
mod store_access;
mod store_failure;
mod store_names;
mod stores;
mod subscriptions;
mod unsupported;
mod vault_access;
mod vault_auth;
mod vault_connection;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::kubernetes::{Events, KnownKey, Leadership, OWNED_SELECTOR, Scope};
use crate::render::TransformationCache;
use crate::settings::Settings;
use crate::sync::Rollouts;
use crate::telemetry::Metrics;
use crate::vault::{ReadCache, ServerId, Signal};
use crate::workqueue::Class;

use ca_file::CaFiles;
use client_cache::ClientCache;
use controller::{LONGEST_RUN, Watches};
use dependents::{Dependents, RECOVERY_SPREAD};
use engine::{Engine, SLOW_RUN};
use kinds::Owners;
use outputs::Outputs;
use pipeline::{Renderer, Shared};
use servers::Servers;
use stores::Stores;
use subscriptions::Subscriptions;
use vault_access::VaultAccess;
use work::Work;

pub use controller::StartedWatches;

/// A destination that another client changed is looked at after this: that client may not be done, and our own write
/// comes back through the watch before its answer has been noted.
const SETTLE: Duration = Duration::from_secs(1);
/// At the end, events have this long to be written.
const EVENT_FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// What the controllers are made of.
pub struct Dependencies {
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
    /// The namespaces that are served.
    pub scopes: Vec<Scope>,
}

/// All controllers, and what they share.
pub struct Controllers {
    engine: Arc<Engine>,
    shared: Arc<Shared>,
}

/// What comes from Vault unasked.
pub struct VaultNotifications {
    /// Servers that go down or come back.
    servers: mpsc::UnboundedReceiver<ServerId>,
    /// Writes that objects subscribe to.
    writes: mpsc::Receiver<Signal>,
}

impl Controllers {
    /// Puts the parts together. Nothing is sent yet.
    pub fn new(dependencies: Dependencies) -> (Self, VaultNotifications) {
        let Dependencies { settings, client, mac_key, metrics, host, scopes } = dependencies;
        let (server_changed, servers_changed) = mpsc::unbounded_channel();
        let (subscriptions, writes) = Subscriptions::new(settings.backoff);
        let mac_key = Arc::new(mac_key);
        let owners = Owners::default();
        let stores = Arc::new(Stores::new(&settings, scopes, owners.stores()));
        let work = Arc::new(Work::new(settings.max_concurrent_reconciles, SLOW_RUN));
        let outputs =
            Outputs { events: Events::new(client.clone(), host), client: client.clone(), metrics: metrics.clone() };
        let dependents = Arc::new(Dependents::new(stores.clone(), work.clone()));
        let ca_files = CaFiles::new(settings.ca_cert_dirs.clone());
        let servers = Servers::new(client, stores.clone(), ca_files, server_changed, metrics.clone());
        let servers = Arc::new(servers);
        let logins = ClientCache::new(&settings, stores.clone(), servers.clone(), outputs.clone(), mac_key.clone());
        let vault = VaultAccess {
            servers,
            logins: Arc::new(logins),
            reads: ReadCache::default(),
            stores: stores.clone(),
            dependents,
            work: work.clone(),
        };
        let shared = Arc::new(Shared {
            stores,
            work: work.clone(),
            vault: Arc::new(vault),
            subscriptions: Arc::new(subscriptions),
            renderer: Renderer::new(Arc::new(TransformationCache::default()), settings.global.exclude_raw),
            rollouts: Arc::new(Rollouts::new(settings.rollout_window, settings.max_rollouts_per_namespace)),
            outputs,
            mac_key,
            backoff: settings.backoff,
        });
        let controllers = kinds::controllers(&owners, &shared, &settings);
        let engine = Engine { work, controllers, metrics, longest_run: LONGEST_RUN, slow_run: SLOW_RUN };
        (Self { engine: Arc::new(engine), shared }, VaultNotifications { servers: servers_changed, writes })
    }

    /// Starts all watches. They end with `stop`.
    pub fn spawn_watches(&self, stop: &CancellationToken) -> StartedWatches {
        let Shared { stores, work, outputs, .. } = &*self.shared;
        let shared_scopes = Scope::including(stores.scopes.clone(), &stores.operator_namespace);
        let mut watches = Watches {
            client: &outputs.client,
            scopes: &stores.scopes,
            shared_scopes: &shared_scopes,
            stop,
            started: StartedWatches::default(),
        };
        for controller in &self.engine.controllers {
            controller.clone().watch(&mut watches);
        }
        stores.optional_watches.set(watches.started.optional.clone());
        let (owners, work) = (stores.clone(), work.clone());
        stores.secrets.listen(move |_, owner| {
            if let Some(owner) = owner.filter(|owner| owners.has_owner(owner)) {
                work.push(owner, Instant::now() + SETTLE, Class::Event);
            }
        });
        watches.secrets(stores.secrets.clone(), OWNED_SELECTOR);
        watches.started
    }

    /// Runs until `stop`, whenever this process leads; returns when the runs under way have ended. `watches` are those
    /// of [`Controllers::spawn_watches`].
    pub async fn run(
        &self,
        watches: StartedWatches,
        mut notifications: VaultNotifications,
        leads: Leadership,
        stop: CancellationToken,
    ) {
        self.shared.work.set_listed();
        tokio::spawn(client_cache::maintain(self.shared.vault.logins.clone(), watches, leads.clone(), stop.clone()));
        let mut engine = std::pin::pin!(self.engine.clone().run(leads.clone(), stop.clone()));
        let Shared { subscriptions, stores, work, .. } = &*self.shared;
        let (mut leadership, mut led) = (leads, false);
        loop {
            let leading = *leadership.borrow_and_update();
            if leading != led {
                led = leading;
                subscriptions.lead(leading, stores, work);
            }
            tokio::select! {
                () = &mut engine => break,
                Ok(()) = leadership.changed() => {}
                Some(server) = notifications.servers.recv() => self.server_changed(server),
                Some(signal) = notifications.writes.recv() => subscriptions.on_signal(&signal, work),
            }
        }
        subscriptions.lead(false, stores, work);
    }

    /// Waits until what was reported is written, within limits.
    pub async fn finish_events(&self) {
        self.shared.outputs.events.finish(EVENT_FLUSH_TIMEOUT).await;
    }

    /// A server went down or came back: its connections show it, and what waited for it is tried again.
    fn server_changed(&self, server: ServerId) {
        let Shared { work, vault, subscriptions, .. } = &*self.shared;
        for connection in vault.servers.connections_of(server) {
            work.push_now(connection, Class::Event);
        }
        if !vault.servers.is_down(server) {
            subscriptions.server_works(server);
            work.wake_lane(server, RECOVERY_SPREAD);
        }
    }
}
