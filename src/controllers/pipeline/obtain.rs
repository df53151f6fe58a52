//! The login of a run, and what is told of one that failed.

use std::sync::Arc;

use super::Shared;
use super::failure::{Failure, Interruption, Retry};
use crate::api::{Key, Reason};
use crate::resolve::AuthPlan;
use crate::vault::{Identity, Session, SessionError, VaultError};
use crate::workqueue::Job;

/// The session of a login: that of the last run if it still fits. True if it is another.
pub(super) async fn session(
    shared: &Shared,
    job: &Job<Key>,
    auth: &AuthPlan,
    known: Option<&Arc<Session>>,
) -> Result<(Arc<Session>, bool), Interruption> {
    let server = shared.vault.servers.get_or_connect(&auth.login.connection).await.map_err(config_error)?;
    if !shared.work.enter(&job.key, server.id) {
        return Err(Interruption::Yield(Some(server.id)));
    }
    let identity = Identity(auth.login.identity(server.id));
    match known {
        Some(session) if session.identity == identity => Ok((session.clone(), false)),
        _ => Ok((shared.vault.logins.session(auth, &server), true)),
    }
}

/// What is told of a login that failed. All objects that wait for the login are due with its next attempt: none of them has
/// to fail for longer than that.
pub(crate) async fn login_failed(session: &Session, error: &SessionError) -> Failure {
    let failure = config_error(error.to_string());
    match session.next_login().await {
        Some(at) => Failure { retry: Retry::At(at), ..failure },
        None => failure,
    }
}

/// What is told of a read that failed.
pub(crate) fn read_failed(error: &VaultError) -> Failure {
    Failure::new(Reason::VaultClientError, format!("Failed to read Vault secret: {error}"))
}

fn config_error(error: String) -> Failure {
    Failure::login(error)
}
