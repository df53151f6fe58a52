//! CronJobs, of which Jobs are made between the times of their schedule.

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Map, Value, json};

use super::error::with_name;
use super::objects::params;
use super::workloads::patch_version;
use super::{ErrorKind, KubernetesError, Workload, WorkloadPatch};

/// Annotation of a Job that no schedule has asked for, as `kubectl create job --from` sets it.
const INSTANTIATE: &str = "cronjob.kubernetes.io/instantiate";

/// What matters of a CronJob.
pub struct CronJob {
    /// Its annotations and version.
    pub workload: Workload,
    /// `spec.suspend`.
    pub suspended: bool,
    /// The UID, which tells the CronJob from others of its name.
    pub uid: String,
    name: String,
    job_template: Value,
}

impl CronJob {
    fn of(mut object: DynamicObject) -> Self {
        let job_template = object.data.pointer_mut("/spec/jobTemplate").map(Value::take).unwrap_or_default();
        Self {
            suspended: object.data.pointer("/spec/suspend").and_then(Value::as_bool).unwrap_or(false),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            job_template,
            workload: Workload::of_cron_job(object),
        }
    }

    /// The Job that its template describes.
    fn job(&self, name: &str) -> Value {
        let of_template = |what: &str| self.job_template.pointer(what).and_then(Value::as_object).cloned();
        let mut annotations = of_template("/metadata/annotations").unwrap_or_default();
        annotations.insert(INSTANTIATE.to_owned(), json!("manual"));
        let labels: Map<String, Value> = of_template("/metadata/labels").unwrap_or_default();
        // Without `blockOwnerDeletion`, which asks for a right to the finalizers of CronJobs where admission checks it.
        let owner = json!({ "apiVersion": "batch/v1", "kind": "CronJob", "name": self.name, "uid": self.uid, "controller": true });
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": name, "labels": labels, "annotations": annotations, "ownerReferences": [owner] },
            "spec": self.job_template.get("spec"),
        })
    }
}

/// Reads and marks CronJobs of one namespace, and makes Jobs of them.
pub struct CronJobs {
    cron_jobs: Api<DynamicObject>,
    jobs: Api<DynamicObject>,
    namespace: String,
}

impl CronJobs {
    /// Reads and writes the CronJobs of `namespace`.
    pub fn new(client: &kube::Client, namespace: &str) -> Self {
        let api = |resource: &ApiResource| Api::namespaced_with(client.clone(), namespace, resource);
        let jobs = ApiResource::from_gvk(&GroupVersionKind::gvk("batch", "v1", "Job"));
        Self { cron_jobs: api(&cron_job_resource()), jobs: api(&jobs), namespace: namespace.to_owned() }
    }

    /// Reads a CronJob.
    ///
    /// # Errors
    /// If the API server does not give it.
    pub async fn get(&self, name: &str) -> Result<CronJob, KubernetesError> {
        let what = format!("get CronJob {}/{name}", self.namespace);
        with_name(&what, name, self.cron_jobs.get(name)).await.map(CronJob::of)
    }

    /// Makes a Job of this name from the template of a CronJob. That there is one is fine.
    ///
    /// # Errors
    /// If the API server did not do it.
    pub async fn ensure_job(&self, cron_job: &CronJob, name: &str) -> Result<(), KubernetesError> {
        let what = format!("create Job {}/{name}", self.namespace);
        let job: DynamicObject = serde_json::from_value(cron_job.job(name))
            .map_err(|error| KubernetesError::new(ErrorKind::Invalid, format!("{what}: {error}")))?;
        match with_name(&what, name, self.jobs.create(&params(), &job)).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::Conflict => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Patches the version of a CronJob that was read; a [`ErrorKind::Conflict`] if it is another by now.
    ///
    /// # Errors
    /// If the API server did not do it.
    pub async fn patch(&self, read: &CronJob, patch: WorkloadPatch) -> Result<(), KubernetesError> {
        let what = format!("patch CronJob {}/{}", self.namespace, read.name);
        patch_version(&self.cron_jobs, &what, &read.name, &read.workload, patch).await
    }
}

/// How the API server knows CronJobs.
pub fn cron_job_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("batch", "v1", "CronJob"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_what_the_template_describes() {
        let pod = json!({ "spec": { "containers": [{ "name": "a", "image": "b", "someday": 1 }] } });
        let object = json!({
            "metadata": { "name": "report", "uid": "u", "resourceVersion": "5" },
            "spec": { "suspend": true, "jobTemplate": {
                "metadata": { "labels": { "team": "a" }, "annotations": { "note": "b", INSTANTIATE: "c" } },
                "spec": { "backoffLimit": 3, "template": pod },
            } },
        });
        let of = |object: Value| CronJob::of(serde_json::from_value(object).unwrap());
        let cron_job = of(object);
        assert!(cron_job.suspended);
        assert_eq!(
            cron_job.job("report-1"),
            json!({
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": {
                    "name": "report-1", "labels": { "team": "a" }, "annotations": { "note": "b", INSTANTIATE: "manual" },
                    "ownerReferences": [
                        { "apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": "u", "controller": true },
                    ],
                },
                "spec": { "backoffLimit": 3, "template": pod },
            })
        );
        let bare = of(json!({ "metadata": { "name": "bare" }, "spec": {} }));
        assert!(!bare.suspended);
        assert_eq!(bare.job("x")["metadata"]["annotations"], json!({ INSTANTIATE: "manual" }));
    }
}
