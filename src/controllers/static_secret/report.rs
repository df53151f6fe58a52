//! What a run has to tell: status, events, and when the next one is due.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Failure, Owed, RECHECK_DENIAL, Retry, Runtime, Success, id_of, lane};
use crate::api::VaultStaticSecret;
use crate::cluster::{ClusterError, EventType, patch_status};
use crate::controllers::Context;
use crate::controllers::conditions::{self, New};
use crate::controllers::engine::Verdict;
use crate::controllers::instant_updates;
use crate::controllers::triggers::DEPENDENTS_SPREAD;
use crate::resolve::{Denied, Plan};
use crate::schedule::{Class, Next, horizon, spread};

pub(super) async fn succeed(
    context: &Context,
    object: &VaultStaticSecret,
    plan: &Plan,
    runtime: &mut Runtime,
    success: Success,
) -> Verdict {
    let generation = object.metadata.generation.unwrap_or(0);
    let old = object.status.clone().unwrap_or_default();
    let mut new = vec![New { type_: "SecretSynced", status: true, reason: "Synced", message: "Secret synced" }];
    let failed = success.restarts.as_ref().map(|r| r.errors.join("; ")).filter(|e| !e.is_empty());
    let failed = failed.map(|errors| format!("Rollout restart trigger failed, err={errors}"));
    match (&success.restarts, &failed) {
        (_, Some(message)) => {
            new.push(New { type_: "RolloutRestart", status: false, reason: "RolloutRestartTriggeredFailed", message });
        }
        (Some(_), None) => {
            let message = "Rollout restart triggered";
            new.push(New { type_: "RolloutRestart", status: true, reason: "RolloutRestartTriggered", message });
        }
        (None, None) => {}
    }
    new.push(New { type_: "Healthy", status: true, reason: "Healthy", message: "VaultStaticSecretHealthy" });
    new.push(New { type_: "Ready", status: true, reason: "Ready", message: "VaultStaticSecretReady" });
    let mut known = old.conditions.clone();
    if success.restarts.is_none() {
        // Restarts that failed once and are not owed any more: the targets were taken off the spec.
        known.retain(|c| c.type_ != "RolloutRestart" || c.status == "True");
    }
    let conditions = conditions::merge(&known, generation, &new);
    let conditions = instant_updates::with_condition(object, runtime.watch.as_ref(), conditions);

    // `secretMAC` stands for the content whose restarts are done, so it moves only when they are.
    let hmac = object.spec.hmac_secret_data.unwrap_or(true);
    let recorded = match (hmac, &failed) {
        (false, _) => None,
        (true, None) => Some(success.record.clone()),
        (true, Some(_)) => old.secret_mac.clone(),
    };
    let cache_key = plan.auth.cache_key(&success.token.credential_uid).map(|key| {
        if plan.vault_namespace == plan.auth.login.vault_namespace {
            key
        } else {
            format!("{key}-{}", plan.vault_namespace)
        }
    });
    // The client ID changes with each login; that alone is not worth a write for every object.
    let changed = conditions != old.conditions
        || old.last_generation != generation
        || old.secret_mac != recorded
        || (cache_key.is_some() && old.vault_client_meta.cache_key != cache_key);
    if changed {
        let status = json!({
            "lastGeneration": generation,
            "secretMAC": recorded,
            "vaultClientMeta": { "cacheKey": cache_key, "id": success.token.client_id },
            "conditions": conditions,
        });
        if let Err(error) = write_status(context, object, status).await {
            // Nothing is lost: the Secret is written, and the next run finds all as after a start.
            runtime.applied = None;
            tracing::warn!(object = %id_of(object), %error, "status could not be written");
            return retry(context, runtime, None);
        }
    }
    if changed {
        instant_updates::tell(context, object, &old.conditions, &conditions).await;
    }
    if success.synced.wrote {
        context.event(object, EventType::Normal, "SecretSynced", "Secret synced").await;
        tracing::info!(object = %id_of(object), restarts = success.restarts.as_ref().map_or(0, |r| r.restarted), "Secret synced");
    }
    let now = Instant::now();
    let again = match (&failed, success.restarts) {
        (Some(message), Some(restarts)) => {
            if changed {
                context.event(object, EventType::Warning, "RolloutRestartFailed", message).await;
            }
            let again = restarts.again.unwrap_or_else(|| now + pause(context, runtime, now));
            let owed = Owed { mac: success.mac, generation, errors: restarts.errors, again };
            runtime.owed = Some(Box::new(owed));
            Some(again)
        }
        _ => {
            runtime.backoff.reset();
            None
        }
    };
    let refresh = match (plan.refresh, &runtime.read) {
        (Some(interval), Some(read)) => Some(read.next_due(interval, now, horizon(interval, &mut rand::rng()))),
        _ => None,
    };
    let next = match (again, refresh) {
        (Some(again), refresh) if refresh.is_none_or(|refresh| again <= refresh) => Next::At(again, Class::Retry),
        (_, Some(refresh)) => Next::At(refresh, Class::Refresh),
        (_, None) => Next::WhenChanged,
    };
    if let Next::At(due, _) = next {
        runtime.due = due;
    }
    let end = if again.is_some() { Verdict::failed } else { Verdict::done };
    end(next, lane(runtime))
}

pub(super) async fn fail(
    context: &Context,
    object: &VaultStaticSecret,
    runtime: &mut Runtime,
    lane: Option<u64>,
    failure: Failure,
) -> Verdict {
    let generation = object.metadata.generation.unwrap_or(0);
    let old = object.status.clone().unwrap_or_default();
    let Failure { reason, message, retry: how } = &failure;
    let new = [
        New { type_: "SecretSynced", status: false, reason, message },
        New { type_: "Healthy", status: false, reason: "Unhealthy", message: "VaultStaticSecretUnhealthy" },
        New { type_: "Ready", status: false, reason, message: "VaultStaticSecretNotReady" },
    ];
    let conditions = conditions::merge(&old.conditions, generation, &new);
    let conditions = instant_updates::with_condition(object, runtime.watch.as_ref(), conditions);
    if conditions != old.conditions {
        tracing::warn!(object = %id_of(object), reason, error = message, "not synced");
        // `lastGeneration` stays: this generation was not applied.
        let status = json!({ "lastGeneration": old.last_generation, "conditions": conditions });
        if let Err(error) = write_status(context, object, status).await {
            tracing::warn!(object = %id_of(object), %error, "status could not be written");
            // Nobody knows yet what to change.
            return retry(context, runtime, lane);
        }
        instant_updates::tell(context, object, &old.conditions, &conditions).await;
        context.event(object, EventType::Warning, reason, message).await;
    }
    match how {
        Retry::Backoff | Retry::Again(_) => retry(context, runtime, lane),
        Retry::At(at) => {
            runtime.due = *at + spread(DEPENDENTS_SPREAD, &mut rand::rng());
            Verdict::failed(Next::At(runtime.due, Class::Retry), lane)
        }
        Retry::WhenChanged => {
            runtime.due = Instant::now() + RECHECK_DENIAL;
            Verdict::denied(Next::At(runtime.due, Class::Refresh), lane)
        }
    }
}

/// Says of instant updates what has changed, and nothing else.
pub(super) async fn instant_updates(
    context: &Context,
    object: &VaultStaticSecret,
    runtime: &Runtime,
) -> Result<(), ClusterError> {
    let Some(old) = object.status.as_ref().map(|status| &status.conditions) else { return Ok(()) };
    let conditions = instant_updates::with_condition(object, runtime.watch.as_ref(), old.clone());
    if conditions != *old {
        write_status(context, object, json!({ "conditions": conditions })).await?;
        instant_updates::tell(context, object, old, &conditions).await;
    }
    Ok(())
}

pub(super) fn retry(context: &Context, runtime: &mut Runtime, lane: Option<u64>) -> Verdict {
    let now = Instant::now();
    runtime.due = now + pause(context, runtime, now);
    Verdict::failed(Next::At(runtime.due, Class::Retry), lane)
}

/// How long to wait after one more failure. A limit on the time of retrying makes retries rare, but never ends them:
/// nothing goes quiet.
fn pause(context: &Context, runtime: &mut Runtime, now: Instant) -> Duration {
    runtime.backoff.next(&context.settings.backoff, now, &mut rand::rng()).unwrap_or(RECHECK_DENIAL)
}

/// Replaces members of the status; the rest stays.
pub(super) async fn write_status(
    context: &Context,
    object: &VaultStaticSecret,
    status: Value,
) -> Result<(), ClusterError> {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("");
    let api = kube::Api::namespaced(context.client.clone(), namespace);
    let patched: VaultStaticSecret = patch_status(&api, object, status).await?;
    // Ahead of the watch, so that the next run does not decide on an older status.
    context.statics.apply(patched);
    Ok(())
}

/// What there is to tell of an object without a plan.
pub(super) fn denial(denied: &Denied) -> Failure {
    let reason = match denied {
        Denied::Missing(_) => "VaultClientConfigError",
        Denied::NotAllowed(_) => "NotAllowed",
        Denied::Reference(_) => "InvalidResourceRef",
        Denied::Invalid(_) => "VaultStaticSecretError",
        Denied::Transformation(_) => "TransformationError",
    };
    Failure { reason, message: denied.to_string(), retry: Retry::WhenChanged }
}
