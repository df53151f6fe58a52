//! VaultConnection: whether its Vault answers, now and not only when the object was made.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Context;
use super::conditions::{self, New};
use super::engine::Verdict;
use super::release::release;
use super::servers::Authority;
use super::triggers;
use crate::api::VaultConnection;
use crate::cluster::{EventType, patch_status};
use crate::resolve::{self, ObjectRef};
use crate::schedule::{Class, Next, horizon};
use crate::vault::Probe;

const FINALIZER: &str = "vaultconnection.secrets.hashicorp.com/finalizer";
/// A Vault that answers is asked this often whether it still does, and the authority that its certificate has to be from is
/// read again. Requests of objects show trouble before that.
const PROBE_EVERY: Duration = Duration::from_secs(60);
/// One that does not is asked more often: this is how recovery is noticed.
const PROBE_DOWN_EVERY: Duration = Duration::from_secs(5);

/// Of a server that speaks a part of Vault's API. A wrong path in the address looks like this, too.
const NO_SEAL_STATUS: &str = "the server answers, but has no sys/seal-status: reads of secrets show its health";

/// What a probe found.
enum Found {
    /// Unsealed and answering.
    Up,
    /// The server answers, and has no seal status to tell.
    NoSealStatus,
    /// The connection is right, but this Vault serves nothing now.
    Sealed(String),
    /// Unsealed, but requests are not served.
    Unavailable(String),
    /// The client cannot be built from the object.
    NoClient(String),
    /// It does not answer as a Vault does.
    NoAnswer(String),
}

/// One run.
pub(super) async fn reconcile(context: &Context, id: &ObjectRef) -> Verdict {
    let Some(object) = context.connections.get(id) else {
        context.servers.forget(id);
        return Verdict::settled();
    };
    let api = kube::Api::namespaced(context.client.clone(), &id.namespace);
    let again = || Next::At(Instant::now() + PROBE_DOWN_EVERY, Class::Retry);
    if object.metadata.deletion_timestamp.is_some() {
        return release(context, &*object, FINALIZER).await;
    }

    let found = probe(context, id, &object).await;
    let old = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or(0);
    let address = &object.spec.address;
    // Texts without anything that changes from probe to probe: an equal result is no write.
    let (ping, valid) = match &found {
        Found::Up => ((true, "Accepted", format!("Vault ping, address={address}")), true),
        Found::NoSealStatus => ((true, "Accepted", format!("{NO_SEAL_STATUS}, address={address}")), true),
        Found::Sealed(e) => {
            ((false, "VaultSealed", format!("Vault answers but serves nothing, address={address}, errs={e}")), true)
        }
        Found::Unavailable(e) => (
            (false, "VaultUnavailable", format!("Vault answers but serves nothing, address={address}, errs={e}")),
            true,
        ),
        Found::NoClient(e) => (
            (false, "VaultClientConfigError", format!("Failed to setup Vault client, address={address}, err={e}")),
            false,
        ),
        Found::NoAnswer(e) => {
            ((false, "InvalidConfiguration", format!("Vault ping failed, address={address}, errs={e}")), false)
        }
    };
    let (up, reason, text) = (ping.0, ping.1, ping.2.as_str());
    let invalid_text = format!("Failed to validate resource, address={address}, errs={text}");
    let valid_text = format!("Successfully validated resource, address={address}");
    let ready = if matches!(found, Found::NoSealStatus) { NO_SEAL_STATUS } else { "VaultConnectionReady" };
    let new = [
        New { type_: "VaultPing", status: up, reason, message: text },
        match valid {
            true => New { type_: "ResourceValidation", status: true, reason: "Accepted", message: &valid_text },
            false => New {
                type_: "ResourceValidation",
                status: false,
                reason: "InvalidConfiguration",
                message: &invalid_text,
            },
        },
        match up {
            true => New { type_: "Healthy", status: true, reason: "Healthy", message: "VaultConnectionHealthy" },
            false => New { type_: "Healthy", status: false, reason: "Unhealthy", message: text },
        },
        match up {
            true => New { type_: "Ready", status: true, reason: "Ready", message: ready },
            false => New { type_: "Ready", status: false, reason, message: text },
        },
    ];
    let conditions = conditions::merge(&old.conditions, generation, &new);
    if conditions != old.conditions || old.valid != valid {
        match patch_status(&api, &*object, json!({ "valid": valid, "conditions": conditions })).await {
            Ok(patched) => {
                context.connections.apply(patched);
            }
            Err(error) => {
                tracing::warn!(object = %id, %error, "status could not be written");
                return Verdict::failed(again(), None);
            }
        }
        match &found {
            Found::Up | Found::NoSealStatus => {
                context.event(&*object, EventType::Normal, "Accepted", "VaultConnection accepted").await
            }
            Found::NoClient(_) | Found::NoAnswer(_) => {
                context.event(&*object, EventType::Warning, "VaultClientError", text).await
            }
            Found::Sealed(_) | Found::Unavailable(_) => {
                context.event(&*object, EventType::Warning, reason, text).await;
            }
        }
    }
    match up {
        true => {
            if conditions::find(&old.conditions, "Ready").is_some_and(|c| c.status == "False") {
                triggers::connection_works_again(context, id);
            }
            let due = Instant::now() + horizon(PROBE_EVERY, &mut rand::rng());
            Verdict::done(Next::At(due, Class::Refresh), None)
        }
        false => Verdict::failed(again(), None),
    }
}

async fn probe(context: &Context, id: &ObjectRef, object: &VaultConnection) -> Found {
    let plan = match resolve::connection(object) {
        Ok(plan) => plan,
        Err(denied) => return Found::NoClient(denied.to_string()),
    };
    let server = match context.servers.of(&context.client, &plan).await {
        Ok(server) => server,
        Err(error) => return Found::NoClient(error),
    };
    // The authority may have been rotated. Nothing tells of it: its Secret is watched no more than any other.
    let server = match context.servers.look_again(&context.client, &plan, server.id).await {
        Ok(Authority::Same) => server,
        Ok(Authority::Replaced | Authority::ReplacedBefore) => {
            tracing::info!(object = %id, "another certificate authority is trusted from now on");
            match context.servers.of(&context.client, &plan).await {
                Ok(server) => server,
                Err(error) => return Found::NoClient(error),
            }
        }
        // Objects go on with the one that was read last.
        Err(error) => return Found::NoClient(error),
    };
    match server.probe().await {
        Ok(Probe::SealStatus(status)) if status.sealed || !status.initialized => {
            Found::Sealed(if status.initialized { "Vault is sealed" } else { "Vault is not initialized" }.into())
        }
        Ok(probe) => match (server.down(), probe) {
            (Some(error), _) => Found::Unavailable(error.message),
            (None, Probe::SealStatus(_)) => Found::Up,
            (None, Probe::NoSealStatus) => Found::NoSealStatus,
        },
        Err(error) => Found::NoAnswer(error.to_string()),
    }
}
