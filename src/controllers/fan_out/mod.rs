//! Kinds that make an object of another kind in each of many namespaces.
//!
//! Namespaces and objects are known from watches, so that a run which finds everything right sends nothing. `decide`
//! says what has to be written; this file writes it, and tells of it in the status.

mod decide;
mod written;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use kube::Resource as _;
use kube::core::object::{HasSpec, HasStatus};

use super::controller::{Controller, Watches};
use super::dependents::{COALESCE, spec_or_metadata_changed};
use super::finalizer::remove_finalizer;
use super::listing::{LISTING_PATIENCE, WatchGroup};
use super::outcome::Outcome;
use super::outputs::{EventText, Outputs};
use super::states::States;
use super::stores::Stores;
use super::work::Work;
use crate::api::external_secrets::fan_out::{InnerMetadata, NamespaceFailure, READY, Selection};
use crate::api::{ApiScope as _, CustomObject, Key, Kind, ObjectRef, Reason};
use crate::backoff::{Backoff, Policy};
use crate::kubernetes::{
    Change, ErrorKind, KubernetesError, NamespaceState, Store, create_object, delete_object, release_namespace,
    replace_object,
};
use crate::resolve;
use crate::telemetry::{ObjectCondition, ResourceStatus};
use crate::workqueue::{Class, Job, Next};

use decide::{Step, decide};
use written::Written;

/// A kind of object that is made.
pub(super) trait Inner: CustomObject + HasSpec<Spec: Clone + PartialEq> + Default + serde::Serialize {}

impl<K: CustomObject + HasSpec<Spec: Clone + PartialEq> + Default + serde::Serialize> Inner for K {}

/// A kind whose objects make an object of another kind in each of many namespaces.
pub(super) trait FanOut: CustomObject + HasStatus {
    /// The other kind.
    type Inner: Inner;
    /// ESO's finalizer, put on each object. The garbage collector does what it is for, so this operator puts none on.
    const FINALIZER: Option<&'static str>;
    /// What ESO's finalizer on namespaces begins with. The name of the object follows.
    const NAMESPACE_FINALIZER: Option<&'static str>;
    /// What ESO says of a namespace with an object of that name that is another's.
    const EXISTS: &'static str;
    /// Whether the deletion of an object that is made takes back what the object did. One of another name may do just
    /// that.
    const TAKES_BACK: bool;

    /// Name of the objects that are made.
    fn inner_name(&self) -> &str;
    /// Labels and annotations of the objects that are made.
    fn inner_metadata(&self) -> &InnerMetadata;
    /// What the objects say that are made.
    fn inner_spec(&self) -> &<Self::Inner as HasSpec>::Spec;
    /// The namespaces that are meant.
    fn selection(&self) -> Selection<'_>;
    /// `spec.refreshTime`.
    fn refresh_time(&self) -> Option<&str>;
    /// The namespaces that have it, as the status says.
    fn provisioned(&self) -> Vec<String>;
    /// Whether the status says that all namespaces have it.
    fn is_ready(&self) -> Option<bool>;
    /// The status after a run. `failure` is the message of the condition.
    fn status_after(
        &self,
        provisioned: Vec<String>,
        failed: Vec<NamespaceFailure>,
        failure: Option<&str>,
    ) -> <Self as HasStatus>::Status;
    /// The objects of this kind.
    fn objects(stores: &Stores) -> &Arc<Store<Self>>;
    /// The objects of the other kind.
    fn inner_objects(stores: &Stores) -> &Arc<Store<Self::Inner>>;
    /// The watches of the other kind.
    fn inner_watches(stores: &Stores) -> &WatchGroup;
}

/// So many objects are written at the same time.
const WRITES_AT_ONCE: usize = 8;
/// Until everything is listed, a run looks again after this.
const LISTING_RETRY_DELAY: Duration = Duration::from_secs(1);
/// So many failed namespaces are told of in the status. All of a very large cluster would not fit.
const MAX_FAILURES_TOLD: usize = 1_000;
/// The reason of a failed namespace is cut to this.
const MAX_REASON_BYTES: usize = 512;
/// ESO's text.
const SOME_FAILED: &str = "one or more namespaces failed";

/// The controller of a kind.
pub(super) struct FanOuts<K> {
    stores: Arc<Stores>,
    work: Arc<Work>,
    outputs: Outputs,
    /// Pauses after failures.
    backoff: Policy,
    began: Instant,
    states: States<State>,
    kind: std::marker::PhantomData<fn() -> K>,
}

/// What is remembered of an object between two runs.
#[derive(Default)]
struct State {
    written: Written,
    backoff: Backoff,
}

/// What came of the writes of a run.
#[derive(Default)]
struct Results {
    provisioned: Vec<String>,
    failed: Vec<NamespaceFailure>,
    /// The API server refused something, or another client was faster.
    try_again: bool,
}

impl<K: FanOut> FanOuts<K> {
    /// The controller of all objects of the kind.
    pub fn new(stores: Arc<Stores>, work: Arc<Work>, outputs: Outputs, backoff: Policy) -> Self {
        let (states, kind) = (States::default(), std::marker::PhantomData);
        Self { stores, work, outputs, backoff, began: Instant::now(), states, kind }
    }

    async fn run(&self, object: &K, state: &mut State) -> Outcome {
        if !self.stores.namespace_watches.have_listed() || !K::inner_watches(&self.stores).have_listed() {
            if self.began.elapsed() > LISTING_PATIENCE {
                let text = "the namespaces, or what is in them, cannot be listed: a definition or a right is missing";
                return self.refuse(object, state, text).await;
            }
            return Outcome::done(Next::At(Instant::now() + LISTING_RETRY_DELAY, Class::Retry), None);
        }
        let refresh_time = match resolve::refresh_time(object.refresh_time()) {
            Ok(refresh_time) => refresh_time,
            Err(denied) => return self.refuse(object, state, &denied.to_string()).await,
        };
        let (namespaces, inner) = (self.stores.namespaces.all(), K::inner_objects(&self.stores).all());
        let decision = match decide(object, &namespaces, &inner) {
            Ok(decision) => decision,
            Err(why) => return self.refuse(object, state, &why).await,
        };
        let known: HashSet<&str> = namespaces.iter().map(|(namespace, _)| namespace.as_str()).collect();
        state.written.retain(|namespace| known.contains(namespace));
        for known in inner.iter().filter(|known| known.meta().name.as_deref() == Some(object.inner_name())) {
            state.written.seen(known.meta().namespace.as_deref().unwrap_or(""));
        }
        let mut results = Results { provisioned: decision.right, failed: decision.failed, try_again: false };
        let now = Instant::now();
        let mut postponed: Option<Instant> = None;
        let mut steps = vec![];
        for (namespace, step) in decision.steps {
            match state.written.wait_until(&namespace, &step, now) {
                None => steps.push((namespace, step)),
                Some(until) => {
                    postponed = Some(postponed.map_or(until, |known| known.min(until)));
                    results.provisioned.push(namespace);
                }
            }
        }
        self.write(steps, state, &mut results).await;
        for namespace in &decision.release {
            results.try_again |= self.release(object.meta().name.as_deref().unwrap_or(""), namespace).await.is_err();
        }
        let outcome = self.report(object, state, results).await;
        let refresh = Instant::now() + refresh_time;
        match (outcome, postponed) {
            (Some(outcome), _) => outcome,
            (None, Some(until)) => Outcome::done(Next::At(until.min(refresh), Class::Retry), None),
            (None, None) => Outcome::done(Next::At(refresh, Class::Refresh), None),
        }
    }

    /// Does what was decided, several namespaces at a time.
    async fn write(&self, steps: Vec<(String, Step<K::Inner>)>, state: &mut State, results: &mut Results) {
        let store = K::inner_objects(&self.stores);
        let writes = steps.into_iter().map(|(namespace, step)| {
            let client = self.outputs.client.clone();
            async move {
                let api = <K::Inner as kube::Resource>::Scope::api(client, &namespace);
                let answer = match &step {
                    Step::Create(object) => create_object(&api, object).await.map(Some),
                    Step::Replace(object) => replace_object(&api, object).await.map(Some),
                    Step::Delete(object) => delete_object(&api, &**object).await.map(|()| None),
                };
                (namespace, step, answer)
            }
        });
        let mut writes = futures_util::stream::iter(writes).buffer_unordered(WRITES_AT_ONCE);
        while let Some((namespace, step, answer)) = writes.next().await {
            match answer {
                Ok(Some(answer)) => {
                    state.written.wrote(&namespace, &step, Instant::now());
                    store.apply_answer(answer);
                    results.provisioned.push(namespace);
                }
                Ok(None) => {}
                // It has changed since, and the watch will tell how.
                Err(error) if error.kind == ErrorKind::Conflict && matches!(step, Step::Replace(_)) => {
                    results.provisioned.push(namespace);
                    results.try_again = true;
                }
                Err(error) => {
                    tracing::warn!(namespace, %error, "not written");
                    results.failed.push(NamespaceFailure { namespace, reason: Some(shorten(error.to_string())) });
                    results.try_again = true;
                }
            }
        }
    }

    /// Takes ESO's finalizer off a namespace.
    async fn release(&self, name: &str, namespace: &str) -> Result<(), KubernetesError> {
        let Some(prefix) = K::NAMESPACE_FINALIZER else { return Ok(()) };
        let released = release_namespace(&self.outputs.client, namespace, &format!("{prefix}{name}")).await;
        if let Err(error) = &released {
            tracing::warn!(namespace, %error, "the finalizer of the namespace could not be removed");
        }
        released
    }

    /// Writes the status. `Some`: how the run ends, if not all is well.
    async fn report(&self, object: &K, state: &mut State, results: Results) -> Option<Outcome> {
        let Results { mut provisioned, mut failed, try_again } = results;
        provisioned.sort_unstable();
        provisioned.dedup();
        failed.sort_unstable_by(|one, other| one.namespace.cmp(&other.namespace));
        let count = failed.len();
        failed.truncate(MAX_FAILURES_TOLD);
        let failure = (count > 0).then_some(SOME_FAILED);
        let events: Vec<EventText> = failed
            .first()
            .map(|first| {
                let why = first.reason.as_deref().unwrap_or("");
                let text = format!("{SOME_FAILED}: {count}, the first is {}: {why}", first.namespace);
                EventText::warning(Reason::UpdateFailed, text)
            })
            .into_iter()
            .collect();
        let status = object.status_after(provisioned, failed, failure);
        if self.outputs.publish(K::objects(&self.stores), object, &status, &events).await.is_err() || try_again {
            return Some(self.retry(state));
        }
        state.backoff.reset();
        None
    }

    /// Says that nothing can be done with the object as it is. What it has made stays.
    async fn refuse(&self, object: &K, state: &mut State, why: &str) -> Outcome {
        let failed = vec![NamespaceFailure { namespace: "unknown".to_owned(), reason: Some(why.to_owned()) }];
        let text = format!("{SOME_FAILED}: {why}");
        let event = EventText::warning(Reason::UpdateFailed, text.as_str());
        let provisioned = object.provisioned();
        let status = object.status_after(provisioned, failed, Some(&text));
        let published = self.outputs.publish(K::objects(&self.stores), object, &status, &[event]).await;
        let outcome = self.retry(state);
        if published.is_err() { outcome } else { Outcome::blocked(outcome.next, None) }
    }

    /// The object is due again after the pause of its back-off.
    fn retry(&self, state: &mut State) -> Outcome {
        let now = Instant::now();
        let pause = state.backoff.next(&self.backoff, now, &mut rand::rng()).unwrap_or(resolve::DEFAULT_REFRESH_TIME);
        Outcome::failed(Next::At(now + pause, Class::Retry), None)
    }

    /// Takes ESO's finalizer off the namespaces that have it for an object that is going. The garbage collector deletes
    /// what the object has made. Of one that is gone, those that are being deleted.
    async fn release_all(&self, name: &str, is_gone: bool) -> Result<(), KubernetesError> {
        for (namespace, state) in self.stores.namespaces.all() {
            if has_finalizer::<K>(&state, name) && (state.terminating || !is_gone) {
                self.release(name, &namespace).await?;
            }
        }
        Ok(())
    }

    fn changed(&self, change: &Change<K>) {
        self.states.on_change(change);
        match change {
            Change::Deleted(object) => self.work.remove(&object.key()),
            Change::Applied { old, new, .. } => {
                if old.as_ref().is_none_or(|old| spec_or_metadata_changed(old.meta(), new.meta())) {
                    self.work.push_now(new.key(), if old.is_some() { Class::Urgent } else { Class::Event });
                }
            }
        }
    }

    /// A namespace has changed: any object may mean it now, or not mean it any more. One that is being deleted may wait
    /// for an object that was gone before.
    fn namespace_changed(&self, namespace: &str) {
        let state = self.stores.namespaces.state(namespace).filter(|state| state.terminating);
        for finalizer in state.iter().flat_map(|state| &state.finalizers) {
            let name = K::NAMESPACE_FINALIZER.and_then(|prefix| finalizer.strip_prefix(prefix));
            if let Some(name) = name {
                self.work.push_now(Key { kind: K::KIND, id: ObjectRef::new("", name) }, Class::Event);
            }
        }
        if self.work.is_listed() {
            for object in K::objects(&self.stores).all() {
                self.work.push(object.key(), Instant::now() + COALESCE, Class::Event);
            }
        }
    }
}

#[async_trait::async_trait]
impl<K: FanOut> Controller for FanOuts<K> {
    fn kind(&self) -> Kind {
        K::KIND
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let objects = K::objects(&self.stores).clone();
        let this = self.clone();
        objects.listen(move |change| this.changed(&change));
        let this = self.clone();
        self.stores.namespaces.listen(move |namespace| this.namespace_changed(namespace));
        watches.cluster(objects);
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let id = &job.key.id;
        let known = self.states.take(id);
        let object = K::objects(&self.stores).get(id);
        let Some(object) = object.filter(|object| object.meta().deletion_timestamp.is_none()) else {
            let is_gone = K::objects(&self.stores).get(id).is_none();
            if self.release_all(&id.name, is_gone).await.is_err() {
                return Outcome::write_failed();
            }
            return match (K::objects(&self.stores).get(id), K::FINALIZER) {
                (Some(object), Some(finalizer)) => remove_finalizer(&self.outputs.client, &*object, finalizer).await,
                _ => Outcome::await_change(),
            };
        };
        let mut state = known.unwrap_or_default();
        let outcome = self.run(&object, &mut state).await;
        self.states.keep(K::objects(&self.stores), id, &object, state);
        outcome
    }

    fn objects(&self) -> usize {
        K::objects(&self.stores).len()
    }

    fn conditions(&self) -> Vec<ObjectCondition> {
        let condition = |object: &K| {
            let status = if object.is_ready()? { "True" } else { "False" };
            let (kind, id) = (K::KIND, object.key().id);
            Some(ObjectCondition { kind, id, type_: READY.to_owned(), status: status.to_owned() })
        };
        K::objects(&self.stores).all().iter().filter_map(|object| condition(object)).collect()
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        let all = K::objects(&self.stores).all();
        all.iter().filter_map(|object| ResourceStatus::of(&**object, object.is_ready())).collect()
    }
}

/// Whether a namespace has ESO's finalizer for an object of this name.
fn has_finalizer<K: FanOut>(state: &NamespaceState, name: &str) -> bool {
    let named =
        |finalizer: &String| K::NAMESPACE_FINALIZER.and_then(|prefix| finalizer.strip_prefix(prefix)) == Some(name);
    state.finalizers.iter().any(named)
}

fn shorten(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
    text
}
