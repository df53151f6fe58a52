//! What the controllers write beside Secrets: status, events, metrics.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::ObjectMeta;
use serde_json::{Map, Value};

use crate::api::{ApiScope as _, CustomObject, Kind, Reason};
use crate::kubernetes::{ErrorKind, EventType, Events, KubernetesError, Store, patch_status};
use crate::telemetry::Metrics;

/// Where the controllers write to.
#[derive(Clone)]
pub(crate) struct Outputs {
    /// Connection to the API server.
    pub client: kube::Client,
    /// Kubernetes Events.
    pub events: Arc<Events>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// An event to report about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventText {
    /// Normal or Warning.
    pub type_: EventType,
    /// The one word.
    pub reason: Reason,
    /// Details for a person to read.
    pub message: String,
}

impl EventText {
    /// What happened as it should.
    pub fn normal(reason: Reason, message: impl Into<String>) -> Self {
        Self { type_: EventType::Normal, reason, message: message.into() }
    }

    /// What needs a look.
    pub fn warning(reason: Reason, message: impl Into<String>) -> Self {
        Self { type_: EventType::Warning, reason, message: message.into() }
    }
}

impl Outputs {
    /// Gives an object the status `new`, if that differs from the one that it has, and reports `events` after the
    /// write. True if the status was written.
    ///
    /// The answer of the write goes into the store as if a watch had told of it: the next run decides on the new
    /// status, and a change that the answer shows first makes the object due.
    ///
    /// # Errors
    /// The API server did not take the status; none of `events` was reported then. The failure is logged, and is an
    /// event, here.
    pub async fn publish<K: CustomObject>(
        &self,
        store: &Store<K>,
        object: &K,
        new: &K::Status,
        events: &[EventText],
    ) -> Result<bool, KubernetesError> {
        let Some(patch) = status_patch(object.status(), new) else { return Ok(false) };
        let api = K::Scope::api(self.client.clone(), object.meta().namespace.as_deref().unwrap_or(""));
        match patch_status(&api, object, Value::Object(patch)).await {
            Ok(answer) => store.apply_answer(answer),
            Err(error) => {
                tracing::warn!(object = %object.key(), %error, "status could not be written");
                // An object that is gone, or another by now, needs no event.
                if !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) {
                    let text = format!("Failed to update the resource's status, err={error}");
                    self.event(K::KIND, object.meta(), &EventText::warning(Reason::StatusUpdateError, text)).await;
                }
                return Err(error);
            }
        }
        for event in events {
            self.event(K::KIND, object.meta(), event).await;
        }
        Ok(true)
    }

    /// Reports an event about an object.
    pub async fn event(&self, kind: Kind, meta: &ObjectMeta, event: &EventText) {
        let about = ObjectReference {
            api_version: Some(kind.api_version().to_owned()),
            kind: Some(kind.as_str().to_owned()),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            ..ObjectReference::default()
        };
        self.events.publish(about, kind.component(), event.type_, event.reason.as_str(), &event.message).await;
    }
}

/// The merge patch that turns one status into another. `None` if they are equal. Members that this version of the
/// operator does not know are in neither, and stay.
fn status_patch<S: PartialEq + serde::Serialize>(old: Option<&S>, new: &S) -> Option<Map<String, Value>> {
    if old == Some(new) {
        return None;
    }
    let members = |status: &S| match serde_json::to_value(status) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    Some(merge_patch(&old.map(members).unwrap_or_default(), members(new)))
}

/// RFC 7386: what differs, and `null` for what is gone.
fn merge_patch(old: &Map<String, Value>, new: Map<String, Value>) -> Map<String, Value> {
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Value::Null));
    let mut patch: Map<String, Value> = gone.collect();
    for (name, value) in new {
        match (old.get(&name), value) {
            (Some(old), new) if *old == new => {}
            (Some(Value::Object(old)), Value::Object(new)) => {
                patch.insert(name, Value::Object(merge_patch(old, new)));
            }
            (_, new) => {
                patch.insert(name, new);
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{VaultAuthStatus, VaultClientMeta, VaultStaticSecretStatus};

    fn patch<S: PartialEq + serde::Serialize>(old: Option<&S>, new: &S) -> Option<Value> {
        status_patch(old, new).map(Value::Object)
    }

    #[test]
    fn an_equal_status_is_no_write() {
        let status = VaultAuthStatus { valid: Some(true), ..VaultAuthStatus::default() };
        assert_eq!(patch(Some(&status), &status), None);
        assert_eq!(patch(None, &status), Some(json!({ "valid": true })));
    }

    #[test]
    fn only_what_differs_is_written() {
        let meta = |key: Option<&str>| VaultClientMeta { cache_key: key.map(str::to_owned), id: Some("i".into()) };
        let old = VaultStaticSecretStatus {
            last_generation: 1,
            secret_mac: Some("m".into()),
            vault_client_meta: meta(Some("k")),
            conditions: vec![],
        };
        let new = VaultStaticSecretStatus { last_generation: 2, ..old.clone() };
        assert_eq!(patch(Some(&old), &new), Some(json!({ "lastGeneration": 2 })));
        let new = VaultStaticSecretStatus { secret_mac: None, vault_client_meta: meta(None), ..old.clone() };
        assert_eq!(
            patch(Some(&old), &new),
            Some(json!({ "secretMAC": null, "vaultClientMeta": { "cacheKey": null } }))
        );
    }

    #[test]
    fn a_first_status_has_the_members_that_the_schema_requires() {
        let first = patch(None, &VaultStaticSecretStatus::default()).unwrap();
        assert_eq!(first["lastGeneration"], 0);
    }
}
