//! Access to Vault: servers, logins, shared reads.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::client_cache::ClientCache;
use super::dependents::{Dependents, RECOVERY_SPREAD};
use super::servers::{Authority, Servers};
use super::stores::Stores;
use super::work::Work;
use crate::resolve::ConnectionPlan;
use crate::vault::{Envelope, ErrorKind, ReadCache, ServerId, Session, SessionError, VaultError};
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

/// Why Vault gave no answer, and what follows from that.
pub(crate) enum Unanswered {
    /// The certificate of the server and its authority were replaced. Nothing is wrong with that: the next try has a
    /// server that is judged by the new one.
    OtherServer,
    /// The request was refused, or not answered.
    Request(VaultError),
    /// There is no login. All objects that wait for the login are due with its next attempt, if the time of that is
    /// known: none of them has to fail for longer.
    Login(SessionError, Option<Instant>),
}

/// What is told where [`write`] gives `None`: the VaultAuth is gone, and with it the token of the last login.
pub(crate) const NO_LOGIN: &str = "there is no login any more";

/// Writes to a path of a Vault namespace. `None`: there is no token that is good, and no login may be made.
pub(crate) async fn write(
    session: &Arc<Session>,
    (namespace, path): (&str, &str),
    body: &Value,
    may_log_in: bool,
) -> Option<Result<Envelope, SessionError>> {
    if may_log_in {
        return Some(session.write(namespace, path, body).await.map(|(envelope, _)| envelope));
    }
    let answer = session.write_without_login(namespace, path, body).await?;
    Some(answer.map_err(SessionError::Request))
}

impl VaultAccess {
    /// What follows from an error of a session.
    pub async fn on_error(&self, plan: &ConnectionPlan, session: &Session, error: SessionError) -> Unanswered {
        if let SessionError::Login(fault) | SessionError::Request(fault) = &error
            && fault.kind == ErrorKind::Tls
            && self.on_untrusted_certificate(plan, session.server.id).await
        {
            return Unanswered::OtherServer;
        }
        match error {
            SessionError::Request(error) => Unanswered::Request(error),
            error => Unanswered::Login(error, session.next_login().await),
        }
    }

    /// The certificate of a server was not trusted. True if its authority has been replaced since: the next try gets a
    /// server that is judged by the new one.
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
