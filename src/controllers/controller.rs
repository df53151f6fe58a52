//! What the engine and the metrics know of a controller. A kind is one implementation, and one row in `kinds.rs`.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, DynamicObject, PartialObjectMeta};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::api::{Condition, ConditionStatus, ConditionType, CustomObject, Key, Kind, condition};
use crate::kubernetes::{Part, Scope, Sink, Store, WatchHealth, spawn_watch};
use crate::telemetry::{Expiry, ObjectCondition, ResourceStatus};
use crate::workqueue::Job;

use super::outcome::Outcome;

/// No run takes longer: each of its requests has a limit of its own, this one is for what no such limit covers.
pub(crate) const LONGEST_RUN: Duration = Duration::from_secs(180);

/// What is told of a run that took too long. `answered`: its servers have answered other requests meanwhile.
pub(crate) fn timed_out_text(answered: bool) -> String {
    let seconds = LONGEST_RUN.as_secs();
    let why = if answered {
        "its server answers, but there is more to ask for than fits in that time"
    } else {
        "a server does not answer, or answers slowly"
    };
    format!("the run took longer than {seconds} s and was ended: {why}")
}

/// Reconciles the objects of one kind.
#[async_trait::async_trait]
pub(crate) trait Controller: Send + Sync + 'static {
    /// The kind.
    fn kind(&self) -> Kind;

    /// Starts the watch of the kind, and of what only this controller reads. Each change makes those objects due that
    /// it concerns.
    fn watch(self: Arc<Self>, watches: &mut Watches<'_>);

    /// One run.
    async fn reconcile(&self, job: &Job<Key>) -> Outcome;

    /// What follows a run that took longer than any may, and was ended. A kind that has a condition for it says so
    /// there.
    async fn timed_out(&self, _job: &Job<Key>) -> Outcome {
        Outcome::retry_later()
    }

    /// This process leads again, and another one may have led since: what is remembered of the objects may not be so
    /// any more.
    fn resumed(&self) {}

    /// How many objects are known.
    fn objects(&self) -> usize;

    /// When the content of the Secrets ends, as the status says. Empty for a kind whose content does not end.
    fn expiries(&self) -> Vec<Expiry> {
        vec![]
    }

    /// The conditions of the objects, for metrics that name each. Empty for a kind of which no metric does.
    fn conditions(&self) -> Vec<ObjectCondition> {
        vec![]
    }

    /// Of each object that says that it is not synced, the reason. Empty for a kind that syncs nothing.
    fn not_synced(&self) -> Vec<String> {
        vec![]
    }

    /// Which objects are valid, as their status says. Empty for a kind whose status does not say it.
    fn resources(&self) -> Vec<ResourceStatus> {
        vec![]
    }
}

/// The conditions of all objects of a kind.
pub(super) fn conditions_of<K: CustomObject>(store: &Store<K>) -> Vec<ObjectCondition> {
    let conditions = |object: &K| -> Vec<ObjectCondition> {
        let of_type = |condition: &Condition| ObjectCondition {
            kind: K::KIND,
            id: object.key().id,
            type_: condition.type_.as_str().to_owned(),
            status: condition.status.as_str().to_owned(),
        };
        object.conditions().iter().map(of_type).collect()
    };
    store.all().iter().flat_map(|object| conditions(object)).collect()
}

/// The reason of a condition that is False.
pub(super) fn reason_of_failure(conditions: &[Condition], type_: ConditionType) -> Option<String> {
    let condition = condition::find(conditions, type_).filter(|found| found.status == ConditionStatus::False)?;
    Some(condition.reason.as_str().to_owned())
}

/// Starts watches.
pub(crate) struct Watches<'a> {
    /// Connection to the API server.
    pub client: &'a kube::Client,
    /// The namespaces that are served.
    pub scopes: &'a [Scope],
    /// The namespaces that are served, and the operator's own: it has the logins and connections named `default`, and
    /// what all tenants share.
    pub shared_scopes: &'a [Scope],
    /// Ends all watches.
    pub stop: &'a CancellationToken,
    /// What is started.
    pub started: StartedWatches,
}

/// Watches that run.
#[derive(Default)]
pub struct StartedWatches {
    /// Readiness waits for these.
    pub required: Vec<Arc<WatchHealth>>,
    /// Readiness does not wait for these.
    pub optional: Vec<Arc<WatchHealth>>,
}

impl Watches<'_> {
    /// Watches the objects of a kind in the served namespaces.
    pub fn served<K: Watched>(&mut self, sink: Arc<dyn Sink<K>>) {
        let started = self.start(&ApiResource::erase::<K>(&()), self.scopes, &sink, Part::Whole);
        self.started.required.extend(started);
    }

    /// Watches the metadata of the Secrets with these labels in the served namespaces.
    pub fn secrets(&mut self, sink: Arc<dyn Sink<PartialObjectMeta<Secret>>>, labels: &str) {
        let resource = ApiResource::erase::<Secret>(&());
        let started = self.start(&resource, self.scopes, &sink, Part::MetadataOf(labels));
        self.started.required.extend(started);
    }

    /// Watches the objects of a kind in the served namespaces and in the operator's own.
    pub fn shared<K: Watched>(&mut self, sink: Arc<dyn Sink<K>>) {
        let started = self.start(&ApiResource::erase::<K>(&()), self.shared_scopes, &sink, Part::Whole);
        self.started.required.extend(started);
    }

    /// Watches the objects of a kind in the served namespaces. Readiness does not wait for it: where only the operator
    /// was upgraded, the definition of the kind and the right to list it may be missing.
    pub fn optional<K: Watched>(&mut self, sink: Arc<dyn Sink<K>>) -> Vec<Arc<WatchHealth>> {
        let started = self.start(&ApiResource::erase::<K>(&()), self.scopes, &sink, Part::Whole);
        self.started.optional.extend(started.iter().cloned());
        started
    }

    /// Watches the objects of a kind that are in no namespace, where the operator serves the whole cluster. Readiness
    /// does not wait for it.
    pub fn cluster<K: Watched>(&mut self, sink: Arc<dyn Sink<K>>) -> Vec<Arc<WatchHealth>> {
        if self.scopes == [Scope::All] { self.optional(sink) } else { vec![] }
    }

    /// Watches the workloads of a kind in the served namespaces. Readiness does not wait for it if that is optional.
    pub fn workloads(&mut self, resource: &ApiResource, optional: bool, sink: Arc<dyn Sink<DynamicObject>>) {
        let started = self.start(resource, self.scopes, &sink, Part::Whole);
        if !optional {
            self.started.required.extend(started);
        }
    }

    fn start<K: DeserializeOwned + 'static>(
        &self,
        resource: &ApiResource,
        scopes: &[Scope],
        sink: &Arc<dyn Sink<K>>,
        part: Part<'_>,
    ) -> Vec<Arc<WatchHealth>> {
        let start = |scope| spawn_watch(self.client, resource, part, scope, sink.clone(), self.stop.clone());
        scopes.iter().map(start).collect()
    }
}

/// What can be watched.
pub(crate) trait Watched: kube::Resource<DynamicType = ()> + DeserializeOwned + 'static {}

impl<K: kube::Resource<DynamicType = ()> + DeserializeOwned + 'static> Watched for K {}
