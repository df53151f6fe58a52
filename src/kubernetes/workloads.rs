//! Workloads whose pods are restarted.

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;

use super::error::with_name;
use super::{FIELD_MANAGER, KubernetesError};
use crate::api::RestartKind;

/// The API server keeps so few managers of an object apart that it puts old ones together, under this name.
const MERGED_MANAGERS: &str = "ancient-changes";

/// What matters of a workload.
pub struct Workload {
    /// Annotations of the pod template.
    pub template_annotations: serde_json::Map<String, Value>,
    /// Annotations of the workload itself.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// `spec.paused` of a Deployment.
    pub paused: bool,
    /// `spec.restartAt` of an Argo Rollout.
    pub restart_at: Option<String>,
    /// When it was made, seconds since the epoch.
    pub created: i64,
    rollout: Rollout,
    /// Which client has changed which field last.
    managed_fields: Vec<ManagedFieldsEntry>,
    /// The version, which is the precondition of a patch.
    pub resource_version: String,
}

impl Workload {
    /// What matters of an object of this kind.
    pub fn of(kind: &RestartKind, object: DynamicObject) -> Self {
        let rollout = Rollout::of(kind, &object);
        Self::new(object, "/spec/template", rollout)
    }

    /// What matters of a CronJob. It has no rollouts.
    pub fn of_cron_job(object: DynamicObject) -> Self {
        Self::new(object, "/spec/jobTemplate/spec/template", Rollout::default())
    }

    fn new(object: DynamicObject, template: &str, rollout: Rollout) -> Self {
        let template = object.data.pointer(template).and_then(|template| template.pointer("/metadata/annotations"));
        let template = template.and_then(Value::as_object);
        Self {
            template_annotations: template.cloned().unwrap_or_default(),
            annotations: object.metadata.annotations.clone().unwrap_or_default(),
            paused: object.data.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or(false),
            restart_at: object.data.pointer("/spec/restartAt").and_then(Value::as_str).map(str::to_owned),
            created: object.metadata.creation_timestamp.as_ref().map_or(0, |t| t.0.as_second()),
            rollout,
            managed_fields: object.metadata.managed_fields.unwrap_or_default(),
            resource_version: object.metadata.resource_version.unwrap_or_default(),
        }
    }

    /// Why not all pods run the newest pod template yet. `None`: they do.
    pub fn unfinished_rollout(&self) -> Option<String> {
        self.rollout.unfinished()
    }

    /// Whether another client has given the annotation of the pod template its value: a rollback brings old annotations
    /// back. What no client is known to have written counts as this operator's.
    pub fn template_annotation_is_foreign(&self, key: &str) -> bool {
        self.is_foreign(&["f:spec", "f:template", "f:metadata", "f:annotations", &format!("f:{key}")])
    }

    /// The like of an annotation of the workload itself.
    pub fn annotation_is_foreign(&self, key: &str) -> bool {
        self.is_foreign(&["f:metadata", "f:annotations", &format!("f:{key}")])
    }

    fn is_foreign(&self, path: &[&str]) -> bool {
        let holds = |entry: &&ManagedFieldsEntry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            fields.and_then(|fields| path.iter().try_fold(fields, |fields, name| fields.get(name))).is_some()
        };
        let managers: Vec<_> = self.managed_fields.iter().filter(holds).map(|entry| entry.manager.as_deref()).collect();
        !managers.is_empty() && !managers.iter().any(|manager| matches!(manager, Some(FIELD_MANAGER | MERGED_MANAGERS)))
    }
}

/// How far the rollout of a workload's newest pod template is: what its controller has put into the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rollout {
    generation: i64,
    observed_generation: i64,
    wanted: i64,
    updated: i64,
    available: i64,
    /// Pods of all templates.
    total: i64,
    /// Argo has not restarted all pods yet: the restart leaves the template as it is.
    restarting: bool,
}

impl Rollout {
    fn of(kind: &RestartKind, object: &DynamicObject) -> Self {
        let number = |path: &str| object.data.pointer(path).and_then(Value::as_i64);
        // Argo writes it as text.
        let observed = object.data.pointer("/status/observedGeneration");
        let observed = observed.and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()));
        let (wanted, updated, available, total) = match kind {
            RestartKind::DaemonSet => (
                number("/status/desiredNumberScheduled").unwrap_or(0),
                number("/status/updatedNumberScheduled"),
                number("/status/numberAvailable"),
                number("/status/currentNumberScheduled"),
            ),
            _ => (
                number("/spec/replicas").unwrap_or(1),
                number("/status/updatedReplicas"),
                number("/status/availableReplicas"),
                number("/status/replicas"),
            ),
        };
        Self {
            generation: object.metadata.generation.unwrap_or(0),
            observed_generation: observed.unwrap_or(0),
            wanted,
            updated: updated.unwrap_or(0),
            available: available.unwrap_or(0),
            total: total.unwrap_or(0),
            restarting: *kind == RestartKind::ArgoRollout && is_restarting(object),
        }
    }

    /// Why it is not complete. As `kubectl rollout status` judges.
    fn unfinished(&self) -> Option<String> {
        let Self { generation, observed_generation, wanted, updated, available, total, restarting } = *self;
        if observed_generation < generation {
            Some("its controller has not seen the restart yet".to_owned())
        } else if updated < wanted {
            Some(format!("{updated} of {wanted} pods are new"))
        } else if total > updated {
            Some(format!("{} old pods still run", total - updated))
        } else if available < updated {
            Some(format!("{available} of {updated} new pods are available"))
        } else if restarting {
            Some("its pods are not all restarted yet".to_owned())
        } else {
            None
        }
    }
}

/// Whether the restart that the spec of an Argo Rollout asks for is still to be done.
fn is_restarting(object: &DynamicObject) -> bool {
    let time = |path: &str| object.data.pointer(path).and_then(Value::as_str)?.parse::<DateTime<Utc>>().ok();
    time("/spec/restartAt").is_some_and(|asked| time("/status/restartedAt").is_none_or(|done| done < asked))
}

/// A change of a workload.
pub struct WorkloadPatch(
    /// Merge patch, without `metadata.resourceVersion`.
    pub Value,
);

/// Reads and patches workloads of one namespace.
pub struct Workloads {
    client: kube::Client,
    namespace: String,
}

impl Workloads {
    /// Reads and restarts the workloads of `namespace`.
    pub fn new(client: &kube::Client, namespace: &str) -> Self {
        Self { client: client.clone(), namespace: namespace.to_owned() }
    }

    /// Reads a workload.
    pub async fn get(&self, kind: &RestartKind, name: &str) -> Result<Workload, KubernetesError> {
        let what = format!("get {kind} {}/{name}", self.namespace);
        let object = with_name(&what, name, self.api(kind)?.get(name)).await?;
        Ok(Workload::of(kind, object))
    }

    /// Patches the version of a workload that was read; a [`super::ErrorKind::Conflict`] if it is another by now.
    pub async fn patch(
        &self,
        kind: &RestartKind,
        name: &str,
        read: &Workload,
        patch: WorkloadPatch,
    ) -> Result<(), KubernetesError> {
        let what = format!("patch {kind} {}/{name}", self.namespace);
        patch_version(&self.api(kind)?, &what, name, read, patch).await
    }

    fn api(&self, kind: &RestartKind) -> Result<Api<DynamicObject>, KubernetesError> {
        let RestartKind::Unknown(other) = kind else {
            return Ok(Api::namespaced_with(self.client.clone(), &self.namespace, &workload_resource(kind)));
        };
        let text = format!("unsupported Kind {other:?} for v1beta1.RolloutRestartTarget");
        Err(KubernetesError::new(super::ErrorKind::Invalid, text))
    }
}

/// Patches the version of an object that was read.
pub(super) async fn patch_version(
    api: &Api<DynamicObject>,
    what: &str,
    name: &str,
    read: &Workload,
    patch: WorkloadPatch,
) -> Result<(), KubernetesError> {
    let WorkloadPatch(mut patch) = patch;
    patch["metadata"]["resourceVersion"] = Value::String(read.resource_version.clone());
    with_name(what, name, api.patch(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch))).await.map(drop)
}

/// How the API server knows a kind of workload.
pub fn workload_resource(kind: &RestartKind) -> ApiResource {
    let (group, version, kind) = match kind {
        RestartKind::ArgoRollout => ("argoproj.io", "v1alpha1", "Rollout"),
        other => ("apps", "v1", other.as_str()),
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_argo_rollout_is_complete_when_its_pods_are_restarted() {
        let unfinished = |restarted: Value| {
            let object = json!({
                "metadata": { "name": "app", "generation": 3 },
                "spec": { "replicas": 2, "restartAt": "2026-01-02T03:04:05Z" },
                "status": { "observedGeneration": "3", "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
                    "restartedAt": restarted },
            });
            let object = serde_json::from_value(object).unwrap();
            Workload::of(&RestartKind::ArgoRollout, object).unfinished_rollout()
        };
        // Argo has seen the restart, and has begun with it at most.
        for restarted in [Value::Null, json!("2026-01-02T03:04:04Z"), json!("soon")] {
            assert_eq!(unfinished(restarted).as_deref(), Some("its pods are not all restarted yet"));
        }
        assert_eq!(unfinished(json!("2026-01-02T03:04:05Z")), None);
        assert_eq!(unfinished(json!("2026-01-02T04:04:05+01:00")), None);
    }
}
