//! Storing the tokens of logins.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};

use super::super::outputs::EventText;
use super::encryption::{Encryption, labelled};
use super::{ClientCache, Known};
use crate::api::{CustomObject as _, Reason, VaultAuth};
use crate::kubernetes::{KubernetesError, NewClient};
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
    /// What was stored under another key for this VaultAuth and namespace.
    former: Option<String>,
}

/// See [`ClientCache::store`].
pub(super) async fn store(cache: &Arc<ClientCache>, session: &Arc<Session>, plan: &AuthPlan) {
    if cache.persistence == Persistence::None {
        return;
    }
    let Some(token) = session.token_info().await.filter(|token| token.renewable) else { return };
    let Some(key) = plan.cache_key(&token.credential_uid) else { return };
    let former = {
        let mut stored_clients = cache.stored.lock();
        let owner = (plan.owner.uid.clone(), plan.login.credential_namespace.clone());
        if stored_clients.get(&owner).is_some_and(|known| known.serial == token.serial && known.key == key) {
            return;
        }
        let former = stored_clients.insert(owner, Known { key: key.clone(), serial: token.serial });
        former.map(|known| known.key).filter(|former| *former != key)
    };
    if former.is_none() && token.stored_under.as_deref() == Some(&key) {
        return;
    }
    let waiting = Waiting { session: Arc::downgrade(session), plan: plan.clone(), key, token, former };
    tokio::spawn(store_until_done(cache.clone(), waiting));
}

async fn store_until_done(cache: Arc<ClientCache>, waiting: Waiting) {
    let mut pause = FIRST_PAUSE;
    loop {
        {
            let Some(session) = waiting.session.upgrade() else { return };
            let Some(answer) = session.login_response(waiting.token.serial).await else { return };
            if !cache.leads() {
                // Another process stores its own. Should this one lead again, the next use of the session looks anew.
                let owner = (waiting.plan.owner.uid.clone(), waiting.plan.login.credential_namespace.clone());
                cache.stored.lock().remove(&owner);
                return;
            }
            let Ok(_permit) = cache.writes.acquire().await else { return };
            if store_now(&cache, &waiting, &answer).await {
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn store_now(cache: &ClientCache, waiting: &Waiting, answer: &SecretString) -> bool {
    let started = Instant::now();
    let result = try_store(cache, waiting, answer).await;
    cache.outputs.metrics.client.factory("store", result.is_ok(), started.elapsed());
    cache.outputs.metrics.client.storage(StorageOperation::Store, result.is_ok(), 1);
    match result {
        Ok(()) => {
            tracing::debug!(auth = %waiting.plan.owner.id, key = waiting.key, "stored a Vault client");
            // What was stored for this login before is swept up.
            cache.users_changed();
            true
        }
        Err(error) => {
            tracing::warn!(auth = %waiting.plan.owner.id, %error, "failed to store the client");
            let text = format!("Vault clients cannot be stored: {error}");
            let event = EventText::warning(Reason::ClientCacheStorageError, text);
            match (&error, labelled(cache)) {
                (StoreError::Encryption(_), Ok(auth)) => {
                    cache.outputs.event(VaultAuth::KIND, &auth.metadata, &event).await;
                }
                _ => cache.event_about_login(&waiting.plan.owner, &event).await,
            }
            false
        }
    }
}

/// Why a token was not stored.
#[derive(Debug, thiserror::Error)]
enum StoreError {
    /// It could not be encrypted.
    #[error("{0}")]
    Encryption(String),
    /// The API server did not take it.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
}

async fn try_store(cache: &ClientCache, waiting: &Waiting, answer: &SecretString) -> Result<(), StoreError> {
    let storage = cache.storage();
    let encryption = match cache.persistence {
        Persistence::Encrypted => Some(Encryption::from_labelled_auth(cache).await.map_err(StoreError::Encryption)?),
        _ => None,
    };
    let data = match &encryption {
        Some(encryption) => encryption.encrypt(answer).await.map_err(StoreError::Encryption)?,
        None => answer.expose_secret().as_bytes().to_vec(),
    };
    let new = NewClient {
        key: &waiting.key,
        plan: &waiting.plan,
        credential_uid: &waiting.token.credential_uid,
        transit_ref: encryption.as_ref().map(|e| e.name.as_str()),
        login: &cache.login_mac(&waiting.plan.login),
        data: &data,
    };
    storage.put(&new, &cache.mac_key.key).await?;
    if let Some(former) = &waiting.former {
        let deleted = storage.delete(former).await;
        cache.outputs.metrics.client.storage(StorageOperation::Prune, deleted.is_ok(), 1);
    }
    Ok(())
}
