//! VaultAuth: whether its references resolve. As upstream, it does not log in: only the objects that use it know as whom.

use std::time::{Duration, Instant};

use blake2::{Blake2b, Digest as _, digest::consts::U32};
use serde_json::{Value, json};

use super::Context;
use super::conditions::{self, New};
use super::engine::Verdict;
use super::release::release;
use crate::cluster::{EventType, patch_status};
use crate::resolve::{self, Denied, GlobalVersion, Merged, ObjectRef};
use crate::schedule::{Class, Next};

const FINALIZER: &str = "vaultauth.secrets.hashicorp.com/finalizer";
/// Condition of a VaultAuth that refers to a VaultAuthGlobal.
const AVAILABLE: &str = "Available";
/// After the API server refused a write.
const RETRY: Duration = Duration::from_secs(5);

/// One run.
pub(super) async fn reconcile(context: &Context, id: &ObjectRef) -> Verdict {
    let Some(object) = context.auths.get(id) else {
        return Verdict::settled();
    };
    let api = kube::Api::namespaced(context.client.clone(), &id.namespace);
    let again = || Next::At(Instant::now() + RETRY, Class::Retry);
    if object.metadata.deletion_timestamp.is_some() {
        return release(context, &*object, FINALIZER).await;
    }

    let merged = resolve::merged(&object, context);
    let resolved = resolve::auth(&object, &id.namespace, context);
    let old = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or(0);
    let error = resolved.as_ref().err().map(Denied::to_string);
    let reason = match &resolved {
        Ok(_) => "Accepted",
        Err(Denied::Reference(_)) => "InvalidResourceRef",
        Err(Denied::NotAllowed(_)) => "NotAllowed",
        Err(Denied::Missing(_) | Denied::Invalid(_) | Denied::Transformation(_)) => "InvalidConfiguration",
    };
    let available = match &merged {
        Ok(Merged { global: None, .. }) => None,
        Ok(Merged { global: Some(global), .. }) => {
            let GlobalVersion { id, uid, generation } = global;
            let text = "VaultAuthGlobal successfully merged";
            Some((true, format!("{text}, key={id}, uid={uid}, generation={generation}")))
        }
        Err(denied) => Some((false, denied.to_string())),
    };
    let mut new = vec![];
    if let Some((status, message)) = &available {
        new.push(New { type_: AVAILABLE, status: *status, reason: "VaultAuthGlobalRef", message });
    }
    new.extend(match &error {
        None => [
            New { type_: "Healthy", status: true, reason: "Healthy", message: "VaultAuthHealthy" },
            New { type_: "Ready", status: true, reason: "Ready", message: "VaultAuthReady" },
        ],
        Some(error) => [
            New { type_: "Healthy", status: false, reason: "Unhealthy", message: "VaultAuthUnhealthy" },
            New { type_: "Ready", status: false, reason, message: error },
        ],
    });
    let mut conditions = conditions::merge(&old.conditions, generation, &new);
    conditions.retain(|c| available.is_some() || c.type_ != AVAILABLE);
    let spec = merged.as_ref().map_or(&object.spec, |merged| &merged.spec);
    let spec = serde_json::to_vec(spec).unwrap_or_default();
    let hash = hex::encode(Blake2b::<U32>::digest(&spec));
    let valid = error.is_none();
    if conditions != old.conditions
        || old.valid != Some(valid)
        || old.error != error
        || old.spec_hash.as_deref() != Some(&hash)
    {
        let status = json!({
            "valid": valid,
            "error": error.clone().map_or(Value::Null, Value::from),
            "specHash": hash,
            "conditions": conditions,
        });
        match patch_status(&api, &*object, status).await {
            Ok(patched) => {
                context.auths.apply(patched);
            }
            Err(failure) => {
                tracing::warn!(object = %id, error = %failure, "status could not be written");
                return Verdict::failed(again(), None);
            }
        }
        match &error {
            None => {
                let text = "Successfully handled VaultAuth resource request";
                context.event(&*object, EventType::Normal, "Accepted", text).await;
            }
            Some(error) => {
                let text = format!("Failed to handle VaultAuth resource request: err={error}");
                context.event(&*object, EventType::Warning, reason, &text).await;
            }
        }
    }
    // What would change the result is watched, and makes this object due.
    if valid { Verdict::settled() } else { Verdict::denied(Next::WhenChanged, None) }
}
