//! New credentials are asked for, and given back if they are not needed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::decide::Cause;
use super::lease::{lease_of, not_revoked, revoke};
use super::rotation::{is_same_rotation, next_look, rotated_at, rotation_of};
use super::state::{Credentials, NewCredentials, unix_time};
use crate::api::dynamic_secret::SecretLease;
use crate::api::{Reason, SecretOwner, VaultDynamicSecret, VaultDynamicSecretStatus};
use crate::controllers::pipeline::{Failure, Interruption, Obtained, Reading, read_failed};
use crate::resolve::{DynamicRead, Plan};
use crate::vault::{Envelope, ErrorKind, Read, Session, SessionError, TokenInfo, VaultError};

/// A lease that is not needed is revoked within this time, or left to the next run.
const REVOCATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks for new credentials.
pub(super) async fn replace(
    reading: &Reading<'_, VaultDynamicSecret>,
    plan: &Plan<DynamicRead>,
    status: &VaultDynamicSecretStatus,
    state: &mut Credentials,
    cause: Cause,
) -> Result<Obtained, Interruption> {
    let Reading { session, held, .. } = *reading;
    if let Some(why) = held.and_then(|held| held.immutable.as_deref()) {
        return Err(Failure::destination(why).into());
    }
    session.replace_ending_token().await;
    let started = Instant::now();
    let index = reading.pending.and_then(|pending| pending.index.as_deref());
    reading.vault.work.keep_on(&reading.job.key);
    let answer = ask(session, plan, index).await;
    let (envelope, token) = reading
        .settle(&plan.auth, started, answer, |error| read_failed(&with_hint(error, plan.source.body.is_some())))
        .await?;
    let lease = lease_of(&envelope, &plan.vault_namespace);
    if envelope.data.as_object().is_none_or(serde_json::Map::is_empty) {
        if !lease.id.is_empty() && lease.id != status.secret_lease.id {
            give_back(session, plan, &lease, state).await?;
        }
        let text = format!("nil response from vault for path {}", plan.path);
        return Err(Failure::new(Reason::VaultClientError, text).into());
    }
    let rotation = if plan.source.static_credentials && !lease.renewable { rotation_of(&envelope.data) } else { None };
    let known = status.static_creds_meta_data.as_ref();
    let rotated_at = rotated_at(&envelope.data).map(str::to_owned);
    let unrotated = rotation.as_ref().zip(known).is_some_and(|(new, known)| is_same_rotation(new, known))
        && (state.rotated_at.is_none() || state.rotated_at == rotated_at);
    if let Some(rotation) = &rotation {
        let looks = state.look.filter(|_| unrotated && rotation.ttl <= 1).map_or(0, |(_, looks)| looks + 1);
        state.look = Some((Instant::now() + next_look(rotation, looks, plan.source.refresh), looks));
        state.times = None;
        let untouched = held.is_some_and(|held| Some(&*held.applied.mac) == status.secret_mac.as_deref());
        if unrotated && cause == Cause::Due && untouched {
            state.rotated_at = rotated_at;
            return Ok(Obtained::Kept { unfinished: false });
        }
    } else {
        state.look = None;
    }
    if cause == Cause::InexistentDestination {
        state.drift.repaired(Instant::now());
    }
    let in_use = session.token_in_use().await.ok().filter(|in_use| in_use.info.serial == token.serial);
    state.obtained = Some(NewCredentials {
        cause,
        is_known: lease.id == status.secret_lease.id,
        lease,
        rotation,
        rotated_at,
        generation: reading.object.generation(),
        obtained: Utc::now().timestamp(),
        client_id: Some(token.client_id.clone()).filter(|id| !id.is_empty()),
        token_expiration: in_use.as_ref().and_then(|token| unix_time(token.expires?)),
        token_times: in_use.and_then(|token| token.expires.zip(token.ending_since)),
    });
    Ok(Obtained::Data { data: envelope.flat("dynamic"), token })
}

/// `index`: the state that a read has to show.
async fn ask(
    session: &Arc<Session>,
    plan: &Plan<DynamicRead>,
    index: Option<&str>,
) -> Result<(Envelope, TokenInfo), SessionError> {
    match &plan.source.body {
        Some(body) => session.write(&plan.vault_namespace, &plan.path, body).await,
        None => {
            let read = Read { namespace: plan.vault_namespace.clone(), path: plan.path.clone(), version: None };
            session.read(&read, index).await
        }
    }
}

/// What Vault says of a path that it serves, but not with this method.
const OTHER_METHOD: &str = "unsupported operation";

/// Adds what to look at to an error. `writes`: the request has a body.
fn with_hint(error: VaultError, writes: bool) -> VaultError {
    match error.kind {
        ErrorKind::NotFound => error
            .hinted("there is nothing at this path; spec.mount or spec.path may be wrong, or the role does not exist"),
        _ if !error.message.contains(OTHER_METHOD) => error,
        _ if writes => error.hinted("the path is read, not written: leave out spec.params and spec.requestHTTPMethod"),
        _ => error.hinted("the path is written, not read: it needs spec.params or spec.requestHTTPMethod: PUT"),
    }
}

/// Revokes a lease that nothing uses. A policy that does not allow it is told, and no reason to stop.
pub(super) async fn give_back(
    session: &Arc<Session>,
    plan: &Plan<DynamicRead>,
    lease: &SecretLease,
    state: &mut Credentials,
) -> Result<(), Interruption> {
    let revocation = revoke(session, lease.namespace.as_deref(), &plan.vault_namespace, &lease.id, true);
    let revoked = tokio::time::timeout(REVOCATION_TIMEOUT, revocation).await;
    match revoked.unwrap_or_else(|_| Err(("Vault did not answer in time".to_owned(), true))) {
        Ok(()) => Ok(()),
        Err((error, false)) => {
            tracing::warn!(lease = lease.id, error, "a lease that nothing uses could not be revoked");
            state.unrevoked.push(not_revoked(&lease.id, &error));
            Ok(())
        }
        Err((error, true)) => {
            let text = format!("Failed to revoke lease: {error}");
            Err(Failure::new(Reason::VaultClientError, text).into())
        }
    }
}
