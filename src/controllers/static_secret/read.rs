//! Steps 3 and 4 of a run: the session of the plan's identity, and the read that objects share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Failure, Retry, Runtime};
use crate::controllers::instant_updates::Watch;
use crate::controllers::{Context, Key, client_cache, triggers};
use crate::resolve::Plan;
use crate::schedule::{Class, Job};
use crate::vault::{self, Envelope, Fault, Identity, Read, Session, SessionError, TokenInfo, VaultError};

/// Reads of objects that change together, or appear together, are one read.
const COALESCE: Duration = Duration::from_millis(250);

fn config_error(error: String) -> Failure {
    Failure::new("VaultClientConfigError", format!("Failed to get Vault auth login: {error}"))
}

/// The session of the plan's identity.
pub(super) async fn session(
    context: &Context,
    job: &Job<Key>,
    plan: &Plan,
    runtime: &mut Runtime,
) -> Result<Arc<Session>, Failure> {
    let server = context.servers.of(&context.client, &plan.auth.login.connection).await.map_err(config_error)?;
    if !context.lock_queue().enter(&job.key, server.id) {
        return Err(Failure::again(Some(server.id)));
    }
    let identity = Identity(plan.auth.login.identity(server.id));
    let session = match runtime.session.take() {
        Some(session) if session.identity == identity => session,
        _ => {
            runtime.read = None;
            context.session(&plan.auth, &server)
        }
    };
    Ok(runtime.session.insert(session).clone())
}

/// The answer of Vault, and which token it was given to.
pub(super) async fn read(
    context: &Context,
    job: &Job<Key>,
    plan: &Plan,
    session: &Arc<Session>,
    version: Option<i64>,
    runtime: &mut Runtime,
) -> Result<(Arc<Envelope>, TokenInfo), Failure> {
    let read = Read { namespace: plan.vault_namespace.clone(), path: plan.path.clone(), version: plan.version };
    let shared = match runtime.read.take() {
        Some(shared) if *shared.read() == read => shared,
        _ => context.reads.share(session.identity, read),
    };
    let shared = runtime.read.insert(shared);
    let not_before = match (job.class, plan.refresh) {
        // The interval is a promise of how old data may be: what was read a tenth of it ago still keeps it, since each
        // interval is shortened by at least as much.
        (Class::Refresh, Some(interval)) => job.due.checked_sub(interval / 10),
        _ => Instant::now().checked_sub(COALESCE),
    };
    let started = Instant::now();
    let news = runtime.watch.as_ref().and_then(Watch::news);
    let not_before = not_before.unwrap_or(started);
    let not_before = news.as_ref().map_or(not_before, |news| news.since.max(not_before));
    let answer = shared.get(session, not_before, news.as_ref().and_then(|news| news.index.as_deref())).await;
    client_cache::keep(context, session, &plan.auth).await;
    if let (Ok(_), Some(news), Some(watch)) = (&answer, &news, &runtime.watch) {
        watch.noted(news);
    }
    context.metrics.vault_read(
        answer.as_ref().err().map(|e| match e {
            SessionError::Credential(_) => "credential",
            SessionError::Login(error) | SessionError::Request(error) => error.fault.as_str(),
        }),
        started.elapsed(),
    );
    let server = session.server.id;
    if let Err(SessionError::Login(error) | SessionError::Request(error)) = &answer
        && error.fault == Fault::Tls
        && triggers::distrusted(context, &plan.auth.login.connection, server).await
    {
        // The certificate and its authority were replaced. Nothing is wrong with that.
        return Err(Failure::again(Some(server)));
    }
    match answer {
        Ok(answer) => Ok(answer),
        Err(SessionError::Request(error)) => Err(read_failure(vault::kv_hint(error, version))),
        Err(error) => {
            let mut failure = config_error(error.to_string());
            // All who wait for this login are due with its next attempt: none of them has to fail for longer than that.
            if let Some(at) = session.next_login().await {
                failure.retry = Retry::At(at);
            }
            Err(failure)
        }
    }
}

pub(super) fn read_failure(error: VaultError) -> Failure {
    Failure::new("VaultClientError", format!("Failed to read Vault secret: {error}"))
}
