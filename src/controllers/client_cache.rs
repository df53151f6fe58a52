//! The logins in use, and the client cache: Vault tokens that outlive the process, so that a restart of the operator
//! logs in nowhere.
//!
//! VSO stores one client per cache key: VaultAuth and VaultConnection with their generations, and the credential. A
//! session here may serve several of them. Its token is stored under the key of each VaultAuth that uses it, so that
//! VSO finds all of its clients, and a session that is made again finds its token by whichever VaultAuth asks first. A
//! store is a VaultAuth and a VaultConnection in one.

mod encryption;
mod restore;
mod store;
mod sweep;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kube::api::ObjectMeta;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::outputs::{EventText, Outputs};
use super::servers::Servers;
use super::stores::Stores;
use crate::backoff::Policy;
use crate::credentials::{AuthMethodLogin, Cloud};
use crate::kubernetes::{ClientStorage, KnownKey};
use crate::resolve::{AuthPlan, LoginOwner, LoginPlan};
use crate::settings::{Persistence, Settings};
use crate::vault::{Identity, Server, Session, SessionPool, TokenSource};

use encryption::EncryptionSlot;
use restore::PlanStore;

pub(super) use sweep::maintain;

/// So many tokens are stored at the same time.
const CONCURRENT_WRITES: usize = 8;

/// The logins in use, and what the process knows of the stored clients.
pub(crate) struct ClientCache {
    sessions: SessionPool,
    /// Gives the proofs of logins as an identity of AWS or Google.
    cloud: Arc<Cloud>,
    stores: Arc<Stores>,
    servers: Arc<Servers>,
    outputs: Outputs,
    mac_key: Arc<KnownKey>,
    persistence: Persistence,
    /// Pauses after failed logins.
    backoff: Policy,
    /// What is stored, or being stored, by UID of the VaultAuth or the store, and namespace of the credential.
    stored: Mutex<HashMap<Owner, Known>>,
    encryption: EncryptionSlot,
    writes: Semaphore,
    changed: Notify,
    leads: AtomicBool,
}

/// UID of a VaultAuth or a store, and the namespace that uses it.
type Owner = (String, String);

struct Known {
    key: String,
    /// The number of the token in its session.
    serial: u64,
}

impl ClientCache {
    /// Without a login.
    pub fn new(
        settings: &Settings,
        stores: Arc<Stores>,
        servers: Arc<Servers>,
        outputs: Outputs,
        mac_key: Arc<KnownKey>,
    ) -> Self {
        Self {
            sessions: SessionPool::new(settings.backoff, settings.session_limit, outputs.metrics.clone()),
            cloud: Arc::new(Cloud::from_environment()),
            stores,
            servers,
            outputs,
            mac_key,
            persistence: settings.persistence,
            backoff: settings.backoff,
            stored: Mutex::default(),
            encryption: EncryptionSlot::default(),
            writes: Semaphore::new(CONCURRENT_WRITES),
            changed: Notify::new(),
            leads: AtomicBool::new(false),
        }
    }

    /// The session of a login, shared by all objects with an equal login.
    pub fn session(self: &Arc<Self>, plan: &AuthPlan, server: &Arc<Server>) -> Arc<Session> {
        self.sessions.session(Identity(plan.login.identity(server.id)), server, || TokenSource {
            provider: Box::new(self.credentials(plan.login.clone())),
            store: (self.is_persistent() && plan.login.method.needs_mount())
                .then(|| Box::new(PlanStore { cache: self.clone(), plan: plan.clone() }) as _),
        })
    }

    /// Whether a token outlives the process.
    pub fn is_persistent(&self) -> bool {
        self.persistence != Persistence::None
    }

    /// After an object has used a session: stores its token for the object's login if it is not stored yet. Waits for
    /// nothing; a failure is retried as long as the session has this token.
    pub async fn store(self: &Arc<Self>, session: &Arc<Session>, plan: &AuthPlan) {
        store::store(self, session, plan).await;
    }

    /// A VaultAuth, a VaultConnection, a store or what uses them has changed: some stored clients may be of no use any
    /// more.
    pub fn users_changed(&self) {
        self.changed.notify_one();
    }

    /// Number of logins in use.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// What proves the identity of a login.
    fn credentials(&self, plan: LoginPlan) -> AuthMethodLogin {
        let client = self.outputs.client.clone();
        AuthMethodLogin::new(client, self.cloud.clone(), &self.stores.operator_namespace, plan)
    }

    fn storage(&self) -> ClientStorage {
        ClientStorage::new(&self.outputs.client, &self.stores.operator_namespace)
    }

    /// A MAC over every setting that determines the login, except the server. It is needed because a change of a
    /// VaultAuthGlobal changes no generation in the cache key.
    fn login_mac(&self, plan: &LoginPlan) -> String {
        let identity = hex::encode(plan.identity(0));
        self.mac_key.key.mac_of_texts(["login", &identity].into_iter())
    }

    /// Reports an event about the VaultAuth, or the store, of a login.
    async fn event_about_login(&self, owner: &LoginOwner, event: &EventText) {
        let meta = ObjectMeta {
            name: Some(owner.id.name.to_string()),
            namespace: Some(owner.id.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
            uid: Some(owner.uid.clone()),
            ..ObjectMeta::default()
        };
        self.outputs.event(owner.kind, &meta, event).await;
    }

    fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }
}
