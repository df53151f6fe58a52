//! Taking up what an earlier process, or VSO, has stored.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use secrecy::{ExposeSecret as _, SecretString};

use super::super::outputs::EventText;
use super::ClientCache;
use super::encryption::{Encryption, Undecryptable};
use crate::api::Reason;
use crate::api::auth_methods::CredentialObject;
use crate::kubernetes::{self, StoredClient};
use crate::resolve::AuthPlan;
use crate::settings::Persistence;
use crate::telemetry::StorageOperation;
use crate::vault::{StoredLogin, TokenStore};

/// Keeps the token of a login as one VaultAuth needs it.
pub(super) struct PlanStore {
    pub cache: Arc<ClientCache>,
    pub plan: AuthPlan,
}

/// Why a stored client is not taken up.
enum Refusal {
    /// It is of no use any more, and is deleted.
    Bad(String),
    /// It is for another login.
    Other,
    /// It cannot be told now. It stays.
    NotNow(String),
}

#[async_trait::async_trait]
impl TokenStore for PlanStore {
    async fn load(&self) -> Option<StoredLogin> {
        let cache = &*self.cache;
        let started = Instant::now();
        let found = load(cache, &self.plan).await;
        if !matches!(found, Ok(None)) {
            cache.outputs.metrics.client.factory("restore", found.is_ok(), started.elapsed());
        }
        found.ok().flatten()
    }

    async fn delete(&self, why: Option<&str>) {
        let cache = &*self.cache;
        let (plan, storage) = (&self.plan, cache.storage());
        let known = {
            let mut kept = cache.stored.lock();
            kept.remove(&(plan.owner.uid.clone(), plan.login.credential_namespace.clone())).map(|known| known.key)
        };
        let key = match known {
            Some(key) => key,
            None => match key_of(cache, plan).await {
                Some((key, _)) => key,
                None => return,
            },
        };
        if let Some(why) = why {
            drop_client(cache, plan, &key, why).await;
        }
        let result = storage.delete(&key).await;
        cache.outputs.metrics.client.storage(StorageOperation::Delete, result.is_ok(), 1);
        if let Err(error) = result {
            tracing::warn!(%error, "a stored Vault client that is of no use could not be deleted");
        }
    }
}

/// It has told of its failure.
struct Failed;

async fn load(cache: &ClientCache, plan: &AuthPlan) -> Result<Option<StoredLogin>, Failed> {
    let Some((key, credential_uid)) = key_of(cache, plan).await else { return Ok(None) };
    let storage = cache.storage();
    let stored = match storage.get(&key).await {
        Ok(None) => return Ok(None),
        Ok(Some(stored)) => stored,
        Err(error) => {
            cache.outputs.metrics.client.storage(StorageOperation::Restore, false, 1);
            tracing::warn!(%error, "a stored Vault client cannot be read");
            return Err(Failed);
        }
    };
    let opened = open(cache, plan, &stored).await;
    cache.outputs.metrics.client.storage(StorageOperation::Restore, opened.is_ok(), 1);
    let refusal = match opened {
        Ok(login_response) => {
            return Ok(Some(StoredLogin {
                key,
                login_response,
                namespace: plan.login.vault_namespace.clone(),
                credential_uid,
            }));
        }
        Err(refusal) => refusal,
    };
    match refusal {
        Refusal::NotNow(why) => {
            let text = format!("The stored Vault client vso-cc-{key} cannot be read now, logging in: {why}");
            cache.event_about_login(&plan.owner, &EventText::warning(Reason::ClientCacheStorageError, text)).await;
            return Err(Failed);
        }
        Refusal::Bad(why) => drop_client(cache, plan, &key, &why).await,
        Refusal::Other => tracing::info!(auth = %plan.owner.id, "the login has changed since its token was stored"),
    }
    let deleted = storage.delete_revision(&key, &stored.revision).await;
    cache.outputs.metrics.client.storage(StorageOperation::Delete, deleted.is_ok(), 1);
    if let Err(error) = deleted {
        tracing::warn!(%error, "a stored Vault client that is of no use could not be deleted");
    }
    Err(Failed)
}

/// The key of a login, and the UID of the object that its credential belongs to, as it is now.
async fn key_of(cache: &ClientCache, plan: &AuthPlan) -> Option<(String, String)> {
    let (client, namespace) = (&cache.outputs.client, plan.login.credential_namespace.as_str());
    let uid = match plan.login.method.settings().credential() {
        CredentialObject::None => return None,
        CredentialObject::ServiceAccount(name) => {
            kubernetes::object_uid::<ServiceAccount>(client, namespace, name).await
        }
        CredentialObject::Secret(name) => kubernetes::object_uid::<Secret>(client, namespace, name).await,
        CredentialObject::Operator => {
            let namespace = &cache.stores.operator_namespace;
            kubernetes::object_uid::<ConfigMap>(client, namespace, "kube-root-ca.crt").await
        }
    };
    match uid {
        Ok(uid) => uid.and_then(|uid| Some((plan.cache_key(&uid)?, uid))),
        Err(error) => {
            tracing::warn!(%error, "the owner of a credential cannot be looked up");
            None
        }
    }
}

/// The answer of Vault that is stored, if it can be trusted.
async fn open(cache: &ClientCache, plan: &AuthPlan, stored: &StoredClient) -> Result<SecretString, Refusal> {
    let bad = |why: &str| Err(Refusal::Bad(why.to_owned()));
    if !stored.is_authentic(&cache.mac_key.key) {
        return bad("its MAC is wrong; it was changed, or stored with another HMAC key");
    }
    if stored.login.as_ref().is_some_and(|login| *login != cache.login_mac(&plan.login)) {
        return Err(Refusal::Other);
    }
    let data = stored.data.expose_secret();
    match (cache.persistence, &stored.transit_ref) {
        (Persistence::Encrypted, Some(theirs)) => {
            let encryption = Encryption::from_labelled_auth(cache).await.map_err(Refusal::NotNow)?;
            if *theirs != encryption.name {
                let ours = &encryption.name;
                return bad(&format!(
                    "it was encrypted through VaultAuth {theirs:?}, and the one for that is {ours:?}"
                ));
            }
            encryption.decrypt(data).await.map_err(|error| match error {
                Undecryptable::Now(why) => Refusal::NotNow(why),
                Undecryptable::Never(why) => Refusal::Bad(why),
            })
        }
        (Persistence::Encrypted, None) => bad("it is not encrypted"),
        (_, Some(_)) => bad("it is encrypted, and the persistence model is direct-unencrypted"),
        (_, None) => match std::str::from_utf8(data) {
            Ok(text) => Ok(text.to_owned().into()),
            Err(_) => bad("it is not text"),
        },
    }
}

/// Says that a stored client is not trusted.
async fn drop_client(cache: &ClientCache, plan: &AuthPlan, key: &str, why: &str) {
    let text = format!("Dropped the stored Vault client vso-cc-{key}, logging in instead: {why}");
    tracing::warn!(auth = %plan.owner.id, key, why, "dropped a stored Vault client");
    cache.event_about_login(&plan.owner, &EventText::warning(Reason::ClientCacheEntryDropped, text)).await;
}
