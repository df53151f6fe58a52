//! Access to Vault: servers, logins, shared reads.

use std::sync::Arc;

use super::client_cache::ClientCache;
use super::dependents::{Dependents, RECOVERY_SPREAD};
use super::servers::{Authority, Servers};
use super::stores::Stores;
use super::work::Work;
use crate::resolve::ConnectionPlan;
use crate::vault::{ReadCache, ServerId};
use crate::workqueue::Class;

/// What the controllers reach Vault with.
pub(crate) struct VaultAccess {
    pub servers: Arc<Servers>,
    pub logins: Arc<ClientCache>,
    pub reads: ReadCache,
    pub stores: Arc<Stores>,
    pub dependents: Arc<Dependents>,
    pub work: Arc<Work>,
}

impl VaultAccess {
    /// The certificate of a server was not trusted. True if its authority has been replaced since: the next try gets a server
    /// that is judged by the new one.
    pub async fn on_untrusted_certificate(&self, plan: &ConnectionPlan, server: ServerId) -> bool {
        match self.servers.reload_authority(plan, server).await {
            Ok(Authority::AlreadyReplaced) => true,
            Ok(Authority::Replaced) => {
                tracing::info!(connection = %plan.key, "another certificate authority is trusted from now on");
                self.dependents.of_connection(&plan.key, RECOVERY_SPREAD);
                true
            }
            Ok(Authority::Same) | Err(_) => {
                // The controller of the connection shows it, and looks for the new authority until it is there.
                if !self.stores.connection_fails(&plan.key) {
                    self.work.push_now(plan.key.clone(), Class::Event);
                }
                false
            }
        }
    }
}
