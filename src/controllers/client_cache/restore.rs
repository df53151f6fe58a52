//! Taking up what an earlier process, or upstream, has stored.

use std::sync::Weak;
use std::time::Instant;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use secrecy::{ExposeSecret as _, SecretString};

use super::super::Context;
use super::encryption::{Encryption, Undecryptable};
use crate::api::auth_methods::CredentialObject;
use crate::cluster::{self, EventType, StoredClient};
use crate::resolve::AuthPlan;
use crate::settings::Persistence;
use crate::telemetry::StorageOperation;
use crate::vault::{StoredLogin, TokenStore};

/// Keeps the token of a login as one VaultAuth needs it.
pub(super) struct PlanStore {
    pub context: Weak<Context>,
    pub plan: AuthPlan,
}

/// Why a stored client is not taken up.
enum Refusal {
    /// It is of no use to anybody, and is deleted.
    Bad(String),
    /// It is for another login.
    Other,
    /// It cannot be told now. It stays.
    NotNow(String),
}

#[async_trait::async_trait]
impl TokenStore for PlanStore {
    async fn load(&self) -> Option<StoredLogin> {
        let context = self.context.upgrade()?;
        let started = Instant::now();
        let found = load(&context, &self.plan).await;
        if !matches!(found, Ok(None)) {
            context.metrics.client.factory("restore", found.is_ok(), started.elapsed());
        }
        found.ok().flatten()
    }

    async fn delete(&self, why: Option<&str>) {
        let Some(context) = self.context.upgrade() else { return };
        let (plan, storage) = (&self.plan, context.storage());
        let known = {
            let mut kept = context.client_cache.lock();
            kept.remove(&(plan.owner.uid.clone(), plan.login.credential_namespace.clone())).map(|known| known.key)
        };
        let key = match known {
            Some(key) => key,
            None => match key_of(&context, plan).await {
                Some((key, _)) => key,
                None => return,
            },
        };
        if let Some(why) = why {
            drop_client(&context, plan, &key, why).await;
        }
        let result = storage.delete(&key).await;
        context.metrics.client.storage(StorageOperation::Delete, result.is_ok(), 1);
        if let Err(error) = result {
            tracing::warn!(%error, "a stored Vault client that is of no use could not be deleted");
        }
    }
}

/// It has told of its failure.
struct Failed;

async fn load(context: &Context, plan: &AuthPlan) -> Result<Option<StoredLogin>, Failed> {
    let Some((key, credential_uid)) = key_of(context, plan).await else { return Ok(None) };
    let storage = context.storage();
    let stored = match storage.get(&key).await {
        Ok(None) => return Ok(None),
        Ok(Some(stored)) => stored,
        Err(error) => {
            context.metrics.client.storage(StorageOperation::Restore, false, 1);
            tracing::warn!(%error, "a stored Vault client cannot be read");
            return Err(Failed);
        }
    };
    let opened = open(context, plan, &stored).await;
    context.metrics.client.storage(StorageOperation::Restore, opened.is_ok(), 1);
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
            context.event_about_login(&plan.owner, EventType::Warning, "ClientCacheStorageError", &text).await;
            return Err(Failed);
        }
        Refusal::Bad(why) => drop_client(context, plan, &key, &why).await,
        Refusal::Other => tracing::info!(auth = %plan.owner.id, "the login has changed since its token was stored"),
    }
    let deleted = storage.delete_seen(&key, &stored.seen).await;
    context.metrics.client.storage(StorageOperation::Delete, deleted.is_ok(), 1);
    if let Err(error) = deleted {
        tracing::warn!(%error, "a stored Vault client that is of no use could not be deleted");
    }
    Err(Failed)
}

/// The key of a login, and the UID of the object that its credential belongs to, as it is now.
async fn key_of(context: &Context, plan: &AuthPlan) -> Option<(String, String)> {
    let (client, namespace) = (&context.client, plan.login.credential_namespace.as_str());
    let uid = match plan.login.method.settings().credential() {
        CredentialObject::ServiceAccount(name) => cluster::object_uid::<ServiceAccount>(client, namespace, name).await,
        CredentialObject::Secret(name) => cluster::object_uid::<Secret>(client, namespace, name).await,
        CredentialObject::Operator => {
            let namespace = &context.settings.operator_namespace;
            cluster::object_uid::<ConfigMap>(client, namespace, "kube-root-ca.crt").await
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
async fn open(context: &Context, plan: &AuthPlan, stored: &StoredClient) -> Result<SecretString, Refusal> {
    let bad = |why: &str| Err(Refusal::Bad(why.to_owned()));
    if !stored.is_authentic(&context.mac_key.key) {
        return bad("its MAC is wrong; it was changed, or stored with another HMAC key");
    }
    if stored.login.as_ref().is_some_and(|login| *login != context.login_mac(&plan.login)) {
        return Err(Refusal::Other);
    }
    let data = stored.data.expose_secret();
    match (context.settings.persistence, &stored.transit_ref) {
        (Persistence::Encrypted, Some(theirs)) => {
            let encryption = Encryption::of(context).await.map_err(Refusal::NotNow)?;
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
async fn drop_client(context: &Context, plan: &AuthPlan, key: &str, why: &str) {
    let text = format!("Dropped the stored Vault client vso-cc-{key}, logging in instead: {why}");
    tracing::warn!(auth = %plan.owner.id, key, why, "dropped a stored Vault client");
    context.event_about_login(&plan.owner, EventType::Warning, "ClientCacheEntryDropped", &text).await;
}
