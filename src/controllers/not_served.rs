//! The kinds whose objects are kept but not served: each object says so in a condition, and none hangs when it is deleted.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::conditions::{self, New};
use super::engine::Verdict;
use super::release::release;
use super::{Context, Key, Kind};
use crate::api::{CSISecretsStatus, VaultDynamicSecretStatus, VaultPKISecretStatus};
use crate::cluster::{ErrorKind, Store, patch_status};
use crate::schedule::{Class, Next};

const REASON: &str = "NotSupported";
/// After the API server failed.
const RETRY: Duration = Duration::from_secs(5);

/// What there is to know of an object that is not served.
struct Unserved<'a> {
    /// The finalizer that upstream puts on it.
    finalizer: &'static str,
    /// What that means for its user, and what to do.
    message: &'static str,
    /// Conditions that it has.
    conditions: &'a [Condition],
    /// The status to begin with if it has none: the schema requires some members.
    empty: Option<Value>,
}

/// One run.
pub(super) async fn reconcile(context: &Context, key: &Key) -> Verdict {
    let done = Verdict::settled();
    match key.kind {
        Kind::DynamicSecret => {
            let Some(object) = context.dynamics.get(&key.id) else { return done };
            let about = Unserved {
                finalizer: "vaultdynamicsecret.secrets.hashicorp.com/finalizer",
                message: "This version of the operator does not serve VaultDynamicSecrets: the Secret stays as it is, and its \
                    lease is neither renewed nor revoked. Let VSO serve this object until a version of this operator does.",
                conditions: object.status.as_ref().map_or(&[], |s| &s.conditions),
                empty: object.status.is_none().then(|| json!(VaultDynamicSecretStatus::default())),
            };
            run(context, &context.dynamics, &*object, about).await
        }
        Kind::PkiSecret => {
            let Some(object) = context.pkis.get(&key.id) else { return done };
            let about = Unserved {
                // The plural is upstream's, and of this kind only.
                finalizer: "vaultpkisecrets.secrets.hashicorp.com/finalizer",
                message: "This version of the operator does not serve VaultPKISecrets: the Secret stays as it is, and its \
                    certificate is neither replaced nor revoked. Let VSO serve this object until a version of this operator \
                    does.",
                conditions: object.status.as_ref().map_or(&[], |s| &s.conditions),
                empty: object.status.is_none().then(|| json!(VaultPKISecretStatus::default())),
            };
            run(context, &context.pkis, &*object, about).await
        }
        _ => {
            let Some(object) = context.csis.get(&key.id) else { return done };
            let about = Unserved {
                // Upstream puts none on.
                finalizer: "",
                message: "CSISecrets need HashiCorp's CSI driver, an image of Vault Enterprise that is not part of this \
                    operator. Without it, use a VaultStaticSecret.",
                conditions: object.status.as_ref().map_or(&[], |s| &s.conditions),
                empty: object.status.is_none().then(|| json!(CSISecretsStatus::default())),
            };
            run(context, &context.csis, &*object, about).await
        }
    }
}

async fn run<K>(context: &Context, store: &Store<K>, object: &K, about: Unserved<'_>) -> Verdict
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + 'static,
{
    if object.meta().deletion_timestamp.is_some() {
        return release(context, object, about.finalizer).await;
    }
    let new = New { type_: "Ready", status: false, reason: REASON, message: about.message };
    let generation = object.meta().generation.unwrap_or(0);
    let conditions = conditions::merge(about.conditions, generation, &[new]);
    if conditions != about.conditions {
        let mut status = about.empty.unwrap_or_else(|| json!({}));
        status["conditions"] = json!(conditions);
        let api = kube::Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
        match patch_status(&api, object, status).await {
            Ok(patched) => drop(store.apply(patched)),
            Err(error) => {
                tracing::warn!(object = object.name_any(), %error, "status could not be written");
                // A status that the schema refuses is refused each time.
                return match error.kind {
                    ErrorKind::Invalid => Verdict::denied(Next::WhenChanged, None),
                    _ => Verdict::failed(Next::At(Instant::now() + RETRY, Class::Retry), None),
                };
            }
        }
    }
    Verdict::denied(Next::WhenChanged, None)
}
