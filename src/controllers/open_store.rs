//! A store that is open for one run: what reads and writes it, with which login. The one place that knows which
//! provider a store has.

use std::sync::Arc;
use std::time::Instant;

use super::store_access::{NoSession, StoreAccess};
use crate::api::external_secrets::ClusterSecretStore;
use crate::api::{CustomObject as _, Key};
use crate::providers::{self, Known, Provider, ReadsInUse, VaultProvider};
use crate::resolve::{StorePlan, StoreSource, VaultStore};
use crate::vault::Session;
use crate::workqueue::{Job, Lane};

/// The login of a Vault.
pub(super) type VaultLogin<'a> = (&'a VaultStore, Arc<Session>);

/// A store, for one run of an object that uses it.
pub(super) struct OpenStore<'a> {
    /// What reads and writes the store.
    pub provider: Box<dyn Provider + 'a>,
    /// The lane of its server.
    pub lane: Lane,
    /// The login, if the store is a Vault.
    pub login: Option<VaultLogin<'a>>,
}

impl OpenStore<'_> {
    /// The session, if the store is a Vault.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.login.as_ref().map(|(_, session)| session)
    }
}

impl StoreAccess {
    /// Opens a store for a run. Answers to requests that began before `not_before` are too old; `former` has the reads
    /// of the run before, which the object shares with others.
    pub(super) async fn open<'a>(
        &'a self,
        job: &Job<Key>,
        plan: &'a StorePlan,
        not_before: Instant,
        former: &'a ReadsInUse,
    ) -> Result<OpenStore<'a>, NoSession> {
        match &plan.source {
            StoreSource::Kubernetes(store) => {
                let mut cluster = self.cluster(job, store)?;
                cluster.other_namespaces = plan.key.kind == ClusterSecretStore::KIND;
                Ok(OpenStore { provider: Box::new(cluster), lane: providers::lane(store), login: None })
            }
            StoreSource::Vault(store) => {
                let session = self.session(job, store).await?;
                let provider = VaultProvider {
                    store,
                    session: session.clone(),
                    cache: &self.vault.reads,
                    not_before,
                    former,
                    in_use: ReadsInUse::default(),
                    known: Known::default(),
                };
                let lane = session.server.id;
                Ok(OpenStore { provider: Box::new(provider), lane, login: Some((&**store, session)) })
            }
        }
    }
}
