//! SecretTransformation: whether its templates can be used.

use std::sync::Arc;

use super::controller::{Controller, Watches};
use super::dependents::Dependents;
use super::outcome::Outcome;
use super::outputs::{EventText, Outputs};
use super::stores::Stores;
use crate::api::{
    ConditionType, ConditionUpdate, CustomObject as _, Key, Kind, Reason, SecretTransformation,
    SecretTransformationStatus, condition,
};
use crate::kubernetes::Change;
use crate::render::{TemplateText, TransformationCache};
use crate::resolve;
use crate::telemetry::ResourceStatus;
use crate::workqueue::{Job, Next};

/// Checks the templates of all transformations.
pub(super) struct SecretTransformations {
    pub stores: Arc<Stores>,
    pub dependents: Arc<Dependents>,
    pub transformations: Arc<TransformationCache>,
    pub outputs: Outputs,
}

#[async_trait::async_trait]
impl Controller for SecretTransformations {
    fn kind(&self) -> Kind {
        SecretTransformation::KIND
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let transformations = self.stores.transformations.clone();
        transformations.listen(move |change| {
            // The objects that refer to a new content look again when this controller has found whether it is valid.
            if let (Some(id), Change::Deleted(_)) = (self.dependents.enqueue_if_changed(&change), &change) {
                self.dependents.of_transformation(&id);
            }
        });
        watches.shared(transformations);
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let id = &job.key.id;
        let Some(object) = self.stores.transformations.get(id) else { return Outcome::await_change() };
        if object.metadata.deletion_timestamp.is_some() {
            return Outcome::await_change();
        }
        // Long templates take their time: not on a thread that others wait for.
        let (transformations, checked) = (self.transformations.clone(), object.clone());
        let checked = tokio::task::spawn_blocking(move || check(&transformations, &checked)).await;
        let error =
            checked.unwrap_or_else(|_| Err("a template could not be parsed".to_owned())).err().unwrap_or_default();
        let (status, event) = report(&object, error);
        let valid = status.valid;
        let events: Vec<_> = event.into_iter().collect();
        match self.outputs.publish(&self.stores.transformations, &object, &status, &events).await {
            // The conditions carry the generation, so the status is written for each content, valid or not.
            Ok(true) => self.dependents.of_transformation(id),
            Ok(false) => {}
            Err(_) => return Outcome::write_failed(),
        }
        if valid { Outcome::await_change() } else { Outcome::blocked(Next::WhenChanged, None) }
    }

    fn objects(&self) -> usize {
        self.stores.transformations.len()
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        let all = self.stores.transformations.all();
        all.iter().filter_map(|object| ResourceStatus::of(&**object, object.status.as_ref().map(|s| s.valid))).collect()
    }
}

/// As VSO: every template parses; none is run, and regular expressions are left to the objects that use them.
fn check(transformations: &TransformationCache, object: &SecretTransformation) -> Result<(), String> {
    let templates = resolve::templates_of(object);
    let check = |(name, text): &(String, String)| transformations.check(TemplateText { key: None, name, text }).err();
    let errors: Vec<String> = templates.iter().filter_map(check).map(|error| error.to_string()).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("\n")) }
}

/// What there is to tell of a SecretTransformation. `error` is empty if every template parses.
fn report(object: &SecretTransformation, error: String) -> (SecretTransformationStatus, Option<EventText>) {
    use ConditionType::{Healthy, Ready};
    let message = format!("Failed to validate configured templates: {error}");
    let valid = error.is_empty();
    // The misspelt prefix is VSO's.
    let updates = if valid {
        [
            ConditionUpdate::holds(Healthy, Reason::Healthy, "SecretsTransformationHealthy"),
            ConditionUpdate::holds(Ready, Reason::Ready, "SecretsTransformationReady"),
        ]
    } else {
        [
            ConditionUpdate::fails(Healthy, Reason::Unhealthy, "SecretsTransformationUnhealthy"),
            ConditionUpdate::fails(Ready, Reason::InvalidConfiguration, message.as_str()),
        ]
    };
    let conditions = condition::merge(object.conditions(), object.metadata.generation.unwrap_or(0), &updates);
    let event = (!valid).then(|| EventText::warning(Reason::InvalidConfiguration, message));
    (SecretTransformationStatus { valid, error, conditions }, event)
}
