//! The client cache: Vault tokens that outlive the process, so that a restart of the operator logs in nowhere.
//!
//! Upstream keeps one client per cache key: VaultAuth and VaultConnection with their generations, and the credential. A
//! session here may serve several of them. Its token is kept under the key of each VaultAuth that uses it, so that upstream
//! finds all of its clients, and a session that is made again finds its token by whichever VaultAuth asks first.

mod encryption;
mod keep;
mod restore;
mod sweep;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};

use super::Context;
use crate::cluster::ClientStorage;
use crate::credentials::AuthMethodLogin;
use crate::resolve::{AuthPlan, LoginPlan};
use crate::settings::Persistence;
use crate::vault::{Identity, Server, Session, TokenSource};

use encryption::EncryptionSlot;
pub(super) use keep::keep;
use restore::PlanStore;
pub(super) use sweep::maintain;

/// So many tokens are stored at the same time.
const CONCURRENT_WRITES: usize = 8;

/// What the process knows of the stored clients.
pub(super) struct ClientCache {
    /// By UID of the VaultAuth and namespace of the credential: what is stored, or being stored.
    kept: Mutex<HashMap<Owner, Known>>,
    encryption: EncryptionSlot,
    writes: Semaphore,
    changed: Notify,
    leads: AtomicBool,
}

/// UID of a VaultAuth, and the namespace that uses it.
type Owner = (String, String);

struct Known {
    key: String,
    /// Of the token.
    serial: u64,
}

impl Default for ClientCache {
    fn default() -> Self {
        let writes = Semaphore::new(CONCURRENT_WRITES);
        let (kept, encryption, changed, leads) = Default::default();
        Self { kept, encryption, writes, changed, leads }
    }
}

impl ClientCache {
    /// A VaultAuth, a VaultConnection or what uses them has changed: some stored clients may be of no use any more.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    fn leads(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Known>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Context {
    /// The session of a login, shared by all whose login is the same.
    pub(super) fn session(&self, plan: &AuthPlan, server: &Arc<Server>) -> Arc<Session> {
        self.sessions.session(Identity(plan.login.identity(server.id)), server, || TokenSource {
            provider: Box::new(self.credentials(plan.login.clone())),
            store: (self.settings.persistence != Persistence::None && plan.login.method.needs_mount())
                .then(|| Box::new(PlanStore { context: self.this.clone(), plan: plan.clone() }) as _),
        })
    }

    /// What proves the identity of a login.
    fn credentials(&self, plan: LoginPlan) -> AuthMethodLogin {
        let namespace = &self.settings.operator_namespace;
        AuthMethodLogin::new(self.client.clone(), self.cloud.clone(), namespace, plan)
    }

    fn storage(&self) -> ClientStorage {
        ClientStorage::new(&self.client, &self.settings.operator_namespace)
    }

    /// Covers everything that decides as whom a login is but for the server, of which the cache key has the generation:
    /// a VaultAuthGlobal is in no generation.
    fn login_mac(&self, plan: &LoginPlan) -> String {
        let identity = hex::encode(plan.identity(0));
        self.mac_key.key.mac_of_texts(["login", &identity].into_iter())
    }
}
