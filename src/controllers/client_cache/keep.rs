//! Storing the tokens of logins.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};

use super::super::Context;
use super::Known;
use super::encryption::{Encryption, labelled};
use crate::cluster::{EventType, NewClient};
use crate::resolve::AuthPlan;
use crate::settings::Persistence;
use crate::telemetry::StorageOperation;
use crate::vault::{Session, TokenInfo};

/// After the first failure to store a token; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A token that waits to be stored.
struct Waiting {
    session: Weak<Session>,
    plan: AuthPlan,
    key: String,
    token: TokenInfo,
    /// What was stored for the same VaultAuth and namespace, under another key.
    former: Option<String>,
}

/// After an object has used a session: stores its token for the object's login if it is not stored yet. Waits for nothing;
/// a failure is retried as long as the session has this token.
pub(in super::super) async fn keep(context: &Context, session: &Arc<Session>, plan: &AuthPlan) {
    if context.settings.persistence == Persistence::None {
        return;
    }
    let Some(token) = session.token_info().await.filter(|token| token.renewable) else { return };
    let Some(key) = plan.cache_key(&token.credential_uid) else { return };
    let former = {
        let mut kept = context.client_cache.lock();
        let owner = (plan.owner.uid.clone(), plan.login.credential_namespace.clone());
        if kept.get(&owner).is_some_and(|known| known.serial == token.serial && known.key == key) {
            return;
        }
        let former = kept.insert(owner, Known { key: key.clone(), serial: token.serial });
        former.map(|known| known.key).filter(|former| *former != key)
    };
    if former.is_none() && token.stored_under.as_deref() == Some(&key) {
        return;
    }
    let waiting = Waiting { session: Arc::downgrade(session), plan: plan.clone(), key, token, former };
    tokio::spawn(store_until_done(context.this.clone(), waiting));
}

async fn store_until_done(context: Weak<Context>, waiting: Waiting) {
    let mut pause = FIRST_PAUSE;
    loop {
        {
            let (Some(context), Some(session)) = (context.upgrade(), waiting.session.upgrade()) else { return };
            let Some(answer) = session.login_response(waiting.token.serial).await else { return };
            if !context.client_cache.leads() {
                // Another process stores its own. Should this one lead again, the next use of the session looks anew.
                let owner = (waiting.plan.owner.uid.clone(), waiting.plan.login.credential_namespace.clone());
                context.client_cache.lock().remove(&owner);
                return;
            }
            let Ok(_permit) = context.client_cache.writes.acquire().await else { return };
            if store(&context, &waiting, &answer).await {
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn store(context: &Context, waiting: &Waiting, answer: &SecretString) -> bool {
    let started = Instant::now();
    let result = try_store(context, waiting, answer).await;
    context.metrics.client.factory("store", result.is_ok(), started.elapsed());
    context.metrics.client.storage(StorageOperation::Store, result.is_ok(), 1);
    match result {
        Ok(()) => {
            tracing::debug!(auth = %waiting.plan.owner.id, key = waiting.key, "stored a Vault client");
            // What was stored for the same login before is swept up.
            context.client_cache.changed();
            true
        }
        Err((error, of_encryption)) => {
            tracing::warn!(auth = %waiting.plan.owner.id, error, "failed to store the client");
            let text = format!("Vault clients cannot be stored: {error}");
            match labelled(context) {
                Ok(auth) if of_encryption => {
                    context.event(&*auth, EventType::Warning, "ClientCacheStorageError", &text).await;
                }
                _ => {
                    let (owner, reason) = (&waiting.plan.owner, "ClientCacheStorageError");
                    context.event_about_login(owner, EventType::Warning, reason, &text).await;
                }
            }
            false
        }
    }
}

/// The error, and whether it is one of the encryption.
async fn try_store(context: &Context, waiting: &Waiting, answer: &SecretString) -> Result<(), (String, bool)> {
    let storage = context.storage();
    let encryption = match context.settings.persistence {
        Persistence::Encrypted => Some(Encryption::of(context).await.map_err(|e| (e, true))?),
        _ => None,
    };
    let data = match &encryption {
        Some(encryption) => encryption.encrypt(answer).await.map_err(|e| (e, true))?,
        None => answer.expose_secret().as_bytes().to_vec(),
    };
    let new = NewClient {
        key: &waiting.key,
        plan: &waiting.plan,
        credential_uid: &waiting.token.credential_uid,
        transit_ref: encryption.as_ref().map(|e| e.name.as_str()),
        login: &context.login_mac(&waiting.plan.login),
        data: &data,
    };
    let put = storage.put(&new, &context.mac_key.key).await;
    put.map_err(|e| (e.to_string(), false))?;
    if let Some(former) = &waiting.former {
        let deleted = storage.delete(former).await;
        context.metrics.client.storage(StorageOperation::Prune, deleted.is_ok(), 1);
    }
    Ok(())
}
