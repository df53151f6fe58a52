//! SecretTransformation: whether its templates can be used.

use std::time::{Duration, Instant};

use serde_json::json;

use super::Context;
use super::conditions::{self, New};
use super::engine::Verdict;
use super::triggers::push_users_of_transformation;
use crate::api::SecretTransformation;
use crate::cluster::{EventType, patch_status};
use crate::render::TemplateText;
use crate::resolve::{self, ObjectRef};
use crate::schedule::{Class, Next};

/// After the API server refused a write.
const RETRY: Duration = Duration::from_secs(5);

/// One run.
pub(super) async fn reconcile(context: &Context, id: &ObjectRef) -> Verdict {
    let Some(object) = context.transformations.get(id) else {
        return Verdict::settled();
    };
    if object.metadata.deletion_timestamp.is_some() {
        return Verdict::settled();
    }
    let error = check(context, &object).err().unwrap_or_default();
    let valid = error.is_empty();
    let old = object.status.clone().unwrap_or_default();
    let message = format!("Failed to validate configured templates: {error}");
    // The misspelt prefix is upstream's.
    let new = match valid {
        true => [
            New { type_: "Healthy", status: true, reason: "Healthy", message: "SecretsTransformationHealthy" },
            New { type_: "Ready", status: true, reason: "Ready", message: "SecretsTransformationReady" },
        ],
        false => [
            New { type_: "Healthy", status: false, reason: "Unhealthy", message: "SecretsTransformationUnhealthy" },
            New { type_: "Ready", status: false, reason: "InvalidConfiguration", message: &message },
        ],
    };
    let conditions = conditions::merge(&old.conditions, object.metadata.generation.unwrap_or(0), &new);
    if object.status.is_none() || conditions != old.conditions || old.valid != valid || old.error != error {
        let status = json!({ "valid": valid, "error": error, "conditions": conditions });
        let api = kube::Api::namespaced(context.client.clone(), &id.namespace);
        match patch_status(&api, &*object, status).await {
            Ok(patched) => {
                context.transformations.apply(patched);
            }
            Err(error) => {
                tracing::warn!(object = %id, %error, "status could not be written");
                return Verdict::failed(Next::At(Instant::now() + RETRY, Class::Retry), None);
            }
        }
        // The conditions carry the generation, so this is reached for each content, valid or not.
        push_users_of_transformation(context, id);
        if !valid {
            context.event(&*object, EventType::Warning, "InvalidConfiguration", &message).await;
        }
    }
    if valid { Verdict::settled() } else { Verdict::denied(Next::WhenChanged, None) }
}

/// As upstream: every template parses; none is run, and regular expressions are left to those that use them.
fn check(context: &Context, object: &SecretTransformation) -> Result<(), String> {
    let templates = resolve::templates_of(object);
    let check = |(name, text): &(String, String)| context.recipes.check(TemplateText { key: None, name, text }).err();
    let errors: Vec<String> = templates.iter().filter_map(check).map(|error| error.to_string()).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}
