//! The login of a run, the data that it obtains, and what follows from an answer of Vault.

use std::sync::Arc;
use std::time::Instant;

use kube::core::object::HasStatus as _;

use super::failure::{Failure, Interruption};
use super::source::{Obtained, Reading, SecretSource};
use super::state::ObjectState;
use super::{Pipeline, Shared};
use crate::api::{Key, Reason, SecretOwner as _};
use crate::controllers::retry::Retry;
use crate::controllers::subscriptions::Subscription;
use crate::controllers::vault_access::Unanswered;
use crate::resolve::{AuthPlan, Plan};
use crate::sync::HeldSecret;
use crate::vault::{ErrorKind, Identity, Session, SessionError, VaultError};
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

/// The session of a login, which the state has from then on. What was remembered with another is forgotten.
pub(super) async fn login<T: Default>(
    shared: &Shared,
    job: &Job<Key>,
    auth: &AuthPlan,
    state: &mut ObjectState<T>,
) -> Result<Arc<Session>, Interruption> {
    let (session, login_changed) = session(shared, job, auth, state.session.as_ref()).await?;
    if login_changed {
        state.source = T::default();
    }
    state.session = Some(session.clone());
    Ok(session)
}

impl<S: SecretSource> Pipeline<S> {
    /// Has the object due as soon as Vault tells of a change of what it is made of, if it asks for that.
    pub(super) fn subscribe(
        &self,
        job: &Job<Key>,
        object: &S::Owner,
        plan: &Plan<S::Plan>,
        session: &Arc<Session>,
        fingerprint: u64,
        state: &mut ObjectState<S::State>,
    ) {
        let followed = S::followed(plan, object.status()).filter(|_| object.wants_instant_updates());
        let Some((topic, subject)) = followed else {
            state.subscription = None;
            return;
        };
        let subject = (plan.vault_namespace.as_str(), topic, subject);
        self.shared.subscriptions.follow(&mut state.subscription, session, &job.key, subject, fingerprint);
    }

    /// Obtains data, or finds that what the destination holds is to stay.
    pub(super) async fn obtain(
        &self,
        job: &Job<Key>,
        object: &S::Owner,
        plan: &Plan<S::Plan>,
        session: &Arc<Session>,
        held: Option<&HeldSecret>,
        state: &mut ObjectState<S::State>,
    ) -> Result<Obtained, Interruption> {
        let subscription = state.subscription.as_deref();
        let pending = subscription.and_then(Subscription::pending);
        let reading = Reading {
            job,
            object,
            session,
            vault: &self.shared.vault,
            outputs: &self.shared.outputs,
            key_made: self.shared.mac_key.made,
            held,
            subscription,
            pending: pending.as_ref(),
        };
        self.source.obtain(&reading, plan, &mut state.source).await
    }
}

/// What is told of a login that failed. All objects that wait for the login are due with its next attempt: none of them
/// has to fail for longer than that.
pub(crate) async fn login_failed(session: &Session, error: &SessionError) -> Failure {
    Failure { retry: Retry::after_login(error, session.next_login().await), ..Failure::login(error) }
}

impl<O> Reading<'_, O> {
    /// What Vault has answered to a request for data that began at `started`: counted, and an error turned into what
    /// follows from it. `failed` says what an error of the request means.
    pub async fn settle<T>(
        &self,
        auth: &AuthPlan,
        started: Instant,
        answer: Result<T, SessionError>,
        failed: impl FnOnce(VaultError) -> Failure,
    ) -> Result<T, Interruption> {
        self.outputs.metrics.vault_read(answer.as_ref().err().map(kind_of), started.elapsed());
        let error = match answer {
            Ok(answer) => {
                self.acknowledge();
                return Ok(answer);
            }
            Err(error) => error,
        };
        match self.vault.on_error(&auth.login.connection, self.session, error).await {
            Unanswered::OtherServer => Err(Interruption::Yield(Some(self.session.server.id))),
            Unanswered::Request(error) => {
                if error.kind == ErrorKind::StaleReplica {
                    self.give_up_index();
                }
                Err(failed(error).into())
            }
            Unanswered::Login(error, next) => {
                Err(Failure { retry: Retry::after_login(&error, next), ..Failure::login(error) }.into())
            }
        }
    }
}

/// The word for a failure in metrics.
fn kind_of(error: &SessionError) -> &'static str {
    match error {
        SessionError::Credential(_) => "credential",
        SessionError::Login(error) | SessionError::Request(error) => error.kind.as_str(),
    }
}

/// What is told of a read that failed.
pub(crate) fn read_failed(error: &VaultError) -> Failure {
    let failure = Failure::new(Reason::VaultClientError, format!("Failed to read Vault secret: {error}"));
    Failure { retry: Retry::after_request(error), ..failure }
}

fn config_error(error: String) -> Failure {
    Failure::login(error)
}
