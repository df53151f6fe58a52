//! Access to what SecretStores and ClusterSecretStores say: logins, connections, and whether they work.

use std::sync::Arc;

use super::feeds::{Feeds, NamedChange};
use super::outputs::Outputs;
use super::servers::Authority;
use super::vault_access::{Unanswered, VaultAccess};
use crate::api::Key;
use crate::providers::{self, ClusterClients, ClusterFault, ClusterProvider, KnownSecrets};
use crate::resolve::{ClusterStore, StorePlan, StoreSource, VaultStore};
use crate::vault::{ErrorKind, Read, Session, SessionError};
use crate::workqueue::{Job, Lane};

/// What stores are reached with.
pub(crate) struct StoreAccess {
    pub vault: Arc<VaultAccess>,
    pub clients: ClusterClients,
    pub feeds: Arc<Feeds>,
    pub outputs: Outputs,
}

/// What a check of a store has found.
pub(crate) enum Checked {
    /// It works.
    Valid,
    /// The server does not say whether it works.
    Unknown(String),
}

/// Why a store is not found to work.
pub(crate) enum CheckError {
    /// Its Vault has enough of the workers for now.
    NoPermit(Lane),
    /// It does not work. `unusable`: not even a client could be made.
    Failed { unusable: bool, why: String },
}

/// Why there is no session.
pub(crate) enum NoSession {
    /// Its Vault has enough of the workers for now.
    NoPermit(Lane),
    /// There is no server to log in to.
    Unusable(String),
}

impl CheckError {
    fn of(error: NoSession) -> Self {
        match error {
            NoSession::NoPermit(lane) => Self::NoPermit(lane),
            NoSession::Unusable(why) => Self::Failed { unusable: true, why },
        }
    }
}

impl StoreAccess {
    /// The session of a store's login, shared with all that mean an equal login.
    pub async fn session(&self, job: &Job<Key>, store: &VaultStore) -> Result<Arc<Session>, NoSession> {
        let server = self.vault.servers.get_or_connect(&store.login.connection).await.map_err(NoSession::Unusable)?;
        if !self.vault.work.enter(&job.key, server.id) {
            return Err(NoSession::NoPermit(server.id));
        }
        Ok(self.vault.logins.session(&store.auth(), &server))
    }

    /// A cluster, read with the login of a store. It has a lane, as a Vault has: a server that does not answer holds up
    /// no other.
    pub fn cluster<'a>(&'a self, job: &Job<Key>, store: &'a ClusterStore) -> Result<ClusterProvider<'a>, NoSession> {
        let lane = providers::lane(store);
        if !self.vault.work.enter(&job.key, lane) {
            return Err(NoSession::NoPermit(lane));
        }
        let known = KnownSecrets::default();
        let own = &self.outputs.client;
        Ok(ClusterProvider { store, own, clients: &self.clients, known, other_namespaces: false })
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &Key) {
        self.feeds.forget(key);
        if let Some(metrics) = &self.outputs.metrics.external_secrets {
            metrics.forget(key);
        }
    }

    /// Something that a store names has changed: the next request is sent with what it is now.
    pub async fn on_change(&self, plan: &StorePlan, change: NamedChange) {
        let NamedChange { at, is_sure } = change;
        let store = match &plan.source {
            StoreSource::Vault(store) => store,
            StoreSource::Kubernetes(store) => {
                self.clients.on_credential_change(store, at).await;
                if is_sure {
                    self.feeds.retry(store);
                }
                return;
            }
        };
        let (servers, connection) = (&self.vault.servers, &store.login.connection);
        let Ok(server) = servers.get_or_connect(connection).await else { return };
        let reloaded = servers.reload_authority_of(connection, server.id, at).await;
        if matches!(reloaded, Ok(Authority::Same) | Err(_)) {
            self.vault.logins.session(&store.auth(), &server).on_credential_change(at, is_sure).await;
        }
    }

    /// Looks whether a store works. `keep` gets the login that a Vault is asked with.
    pub async fn check(
        &self,
        job: &Job<Key>,
        plan: &StorePlan,
        keep: impl FnOnce(Arc<Session>) + Send,
    ) -> Result<Checked, CheckError> {
        match &plan.source {
            StoreSource::Vault(store) => {
                let session = self.session(job, store).await.map_err(CheckError::of)?;
                keep(session.clone());
                self.check_vault(store, session).await
            }
            StoreSource::Kubernetes(store) => match self.cluster(job, store).map_err(CheckError::of)?.check().await {
                Ok(Ok(())) => Ok(Checked::Valid),
                Ok(Err(why)) => Ok(Checked::Unknown(why)),
                Err(error) => {
                    Err(CheckError::Failed { unusable: error.cause == ClusterFault::Login, why: error.to_string() })
                }
            },
        }
    }

    async fn check_vault(&self, store: &VaultStore, session: Arc<Session>) -> Result<Checked, CheckError> {
        let failed = |error: &SessionError| CheckError::Failed {
            unusable: !matches!(error, SessionError::Request(_)),
            why: format!("invalid vault credentials: {error}"),
        };
        if let Err(error) = session.token_in_use().await {
            return match self.vault.on_error(&store.login.connection, &session, error).await {
                Unanswered::OtherServer => Err(CheckError::NoPermit(session.server.id)),
                Unanswered::Request(error) => Err(failed(&SessionError::Request(error))),
                Unanswered::Login(error, _) => Err(failed(&error)),
            };
        }
        // A token is good for as long as it was given; whether its server serves anything now, only the server says.
        let read = Read {
            namespace: store.login.vault_namespace.clone(),
            path: "auth/token/lookup-self".to_owned(),
            version: None,
        };
        let was_granted = store.login.method.needs_mount();
        match session.read(&read, None).await {
            Ok(_) => {
                self.vault.logins.store(&session, &store.auth()).await;
                Ok(Checked::Valid)
            }
            // The server is up, and has given the token: its policies need not allow to look at it.
            Err(SessionError::Request(error)) if was_granted && !is_outage(error.kind) => Ok(Checked::Valid),
            // A server that only serves secrets knows no such path.
            Err(SessionError::Request(error))
                if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Invalid | ErrorKind::InternalError) =>
            {
                Ok(Checked::Unknown(error.to_string()))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Whether nothing can be read for now, with whatever token.
fn is_outage(kind: ErrorKind) -> bool {
    kind.concerns_server() || matches!(kind, ErrorKind::TimedOut | ErrorKind::NamespaceNotServed)
}
