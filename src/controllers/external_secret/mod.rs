//! ExternalSecret: a Secret that is made of what stores hold.
//!
//! `mod.rs` reads from top to bottom as a run goes: is anything due (`refresh`), what do the stores hold (`fetch`),
//! what does that make (`render`), what becomes of the Secret (`write`), which workloads restart (`restart`), and what
//! is told of it (`report`).

mod fetch;
mod names;
mod refresh;
pub(super) mod render;
mod report;
mod restart;
mod state;
mod write;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use k8s_openapi::api::core::v1::Namespace;
use kube::Resource as _;
use kube::core::PartialObjectMeta;

use super::controller::{Controller, Watches, conditions_of, reason_of_failure};
use super::dependents::{DEPENDENTS_SPREAD, spec_or_metadata_changed};
use super::finalizer::remove_finalizer;
use super::outcome::Outcome;
use super::read_age::{OnChange, not_before};
use super::render_turns::RenderTurns;
use super::states::States;
use super::store_access::StoreAccess;
use super::store_failure::{StoreFailure, StoreInterruption};
use super::stores::Stores;
use crate::api::external_secrets::{CreationPolicy, ExternalSecret};
use crate::api::{ConditionType, CustomObject as _, Key, Kind, ObjectRef};
use crate::backoff::Policy;
use crate::external_secret::template::TemplateCache;
use crate::external_secret::{check, hash};
use crate::kubernetes::{Change, KnownKey, Sink, TARGET_SELECTOR};
use crate::resolve::{self, Denied, ExternalPlan};
use crate::sync::Rollouts;
use crate::telemetry::{ObjectCondition, ResourceStatus};
use crate::workqueue::{Class, Job, Next};

use refresh::{Known, hold, wait};
use report::{Done, Synced};
use state::{Applied, State};

/// ESO's, put on each object. Nothing outside of Kubernetes has to be cleaned up, so this operator puts none on.
const FINALIZER: &str = "externalsecrets.external-secrets.io/externalsecret-cleanup";
/// A Secret that another client changed is looked at after this: that client may not be done, and our own write comes
/// back through the watch before its answer has been noted.
const SETTLE: Duration = Duration::from_secs(1);

/// The controller of ExternalSecrets.
pub(super) struct ExternalSecrets {
    access: Arc<StoreAccess>,
    turns: Arc<RenderTurns>,
    templates: Arc<TemplateCache>,
    /// Of the MACs that workloads are given.
    mac_key: Arc<KnownKey>,
    rollouts: Arc<Rollouts>,
    states: States<State>,
    /// Pauses after failures.
    backoff: Policy,
    /// The shortest interval between two reads.
    min_interval: Duration,
}

impl ExternalSecrets {
    /// For all objects that the operator serves.
    pub fn new(
        access: Arc<StoreAccess>,
        turns: Arc<RenderTurns>,
        mac_key: Arc<KnownKey>,
        rollouts: Arc<Rollouts>,
        backoff: Policy,
        min_interval: Duration,
    ) -> Self {
        Self {
            access,
            turns,
            templates: Arc::default(),
            mac_key,
            rollouts,
            states: States::default(),
            backoff,
            min_interval,
        }
    }

    fn stores(&self) -> &Arc<Stores> {
        &self.access.vault.stores
    }

    async fn run(&self, job: &Job<Key>, object: &Arc<ExternalSecret>, state: &mut State) -> Outcome {
        let began = Utc::now();
        let plan = self.plan(object);
        if (plan.is_err() || fetch::has_generator(object))
            && let Some(listing) = self.stores().optional_watches.listing()
        {
            return match listing.to_tell(object.conditions()) {
                None => Outcome::still_listing(&listing, job.class),
                Some(why) => self.refuse(object, state, fetch::provider(why)).await.1,
            };
        }
        let plan = match plan {
            Ok(Some(plan)) => plan,
            Ok(None) => {
                // Another operator serves it.
                *state = State::default();
                self.access.feeds.forget(&job.key);
                return Outcome::await_change();
            }
            Err(failure) => {
                state.reads.clear();
                if !fetch::has_generator(object) {
                    // What a generator has made in Vault ends with its login.
                    state.sessions.clear();
                }
                // Nothing was read: what is not due yet is not due for it.
                return self.refuse(object, state, failure).await.1;
            }
        };
        let feeds = &self.access.feeds;
        feeds.set(&job.key, names::names(object, &plan));
        if let Some(change) = feeds.take_change(&job.key) {
            state.stale = true;
            // What other stores name is followed by their controller.
            for store in plan.stores.iter().filter(|store| store.is_referent) {
                self.access.on_change(store, change).await;
            }
        }
        let status = object.status.clone().unwrap_or_default();
        let version = hash::synced_resource_version(&object.metadata);
        let stores = plan.stores.iter().map(|store| (store.uid.clone(), store.generation)).collect();
        let has_changed = state.stale || state.stores.as_ref().is_some_and(|known| *known != stores);
        state.stores = Some(stores);
        let known = Known {
            policy: &plan.policy,
            interval: plan.interval,
            generates: !plan.generators.is_empty(),
            windows: object.spec.sync_windows.as_ref(),
            status: &status,
            version: &version,
            has_changed,
            left: state.due.map(|due| due.saturating_duration_since(Instant::now())),
            got_through: state.got_through,
            is_awaited: is_awaited(object, state),
            now: began,
        };
        if let Some(wait) = wait(&known) {
            let holds = if self.is_untouched(object, state) { Ok(true) } else { self.look(object, state).await };
            match holds {
                Ok(true) => {
                    let hold = hold(&Known { is_awaited: is_awaited(object, state), ..known }, wait);
                    state.due = hold.left.map(|left| Instant::now() + left);
                    let next = state.due.map_or(Next::WhenChanged, |due| Next::At(due, Class::Refresh));
                    let next = self.access.resume(job, &plan.generators, &mut state.sessions, next).await;
                    return self.hold(object, state, hold.ends_failure, next).await;
                }
                // What the Secret has to hold is known to the stores only.
                Ok(false) => {}
                Err(failure) => return self.fail(object, state, failure).await,
            }
        }
        match self.sync(job, object, &plan, state).await {
            Ok(synced) => {
                if synced.done != Done::Retained
                    && let Err(failure) = self.delete_former_target(object).await
                {
                    return self.fail(object, state, failure).await;
                }
                state.stale = false;
                self.succeed(object, &plan, state, synced, version, began).await
            }
            Err(StoreInterruption::Yield(lane)) => Outcome::yielded(Next::At(job.due, job.class), lane),
            Err(StoreInterruption::Later(pause)) => {
                Outcome::yielded(Next::At(Instant::now() + pause, job.class), state.lane())
            }
            Err(StoreInterruption::Failed(failure)) => self.fail(object, state, failure).await,
        }
    }

    /// What is to be read. `None`: another operator serves it.
    fn plan(&self, object: &ExternalSecret) -> Result<Option<ExternalPlan>, StoreFailure> {
        let plan = resolve::external_secret(object, self.min_interval, &**self.stores());
        if matches!(plan, Ok(None)) {
            // It may well serve what is not served here.
            return Ok(None);
        }
        let checked = check::spec(&object.spec).and_then(|()| check::served(&object.spec));
        checked.map_err(|why| StoreFailure::new(why).until_changed())?;
        plan.map_err(|denied: Denied| fetch::provider(&denied.to_string()).until_changed())
    }

    /// Reads the stores, and makes the Secret what they say.
    async fn sync(
        &self,
        job: &Job<Key>,
        object: &Arc<ExternalSecret>,
        plan: &ExternalPlan,
        state: &mut State,
    ) -> Result<Synced, StoreInterruption> {
        let fetched = self.fetch(job, object, plan, state, not_before(job, plan.interval, OnChange::ReadAnew)).await?;
        let missing = fetched.missing;
        if fetched.data.is_empty()
            && let Some(done) = self.without_data(object, state).await?
        {
            return Ok(Synced { done, missing });
        }
        let template = self.template(object).await?;
        let inputs = render::inputs(object, &fetched.data, template.as_deref());
        state.template.clone_from(&template);
        // A Secret that is not there may have been made by another client, which no watch tells of.
        let is_known = |applied: &Applied| applied.revision.is_some() && applied.inputs == inputs;
        if self.is_untouched(object, state) && state.applied.as_ref().is_some_and(is_known) {
            return Ok(Synced { done: Done::Unchanged, missing });
        }
        if self.is_made_from(object, inputs, state).await? {
            return Ok(Synced { done: Done::Unchanged, missing });
        }
        let rendered = self.render(object, fetched.data, template).await?;
        let done = self.write(object, rendered, inputs, state).await?;
        Ok(Synced { done, missing })
    }

    fn changed(&self, change: Change<ExternalSecret>) {
        self.states.on_change(&change);
        match change {
            Change::Deleted(object) => {
                let key = object.key();
                self.access.vault.work.remove(&key);
                self.access.forget(&key);
                self.access.vault.logins.users_changed();
                self.access.vault.dependents.of_external_secret(object.meta());
            }
            Change::Applied { old, new, .. } => {
                if old.as_ref().is_none_or(|old| spec_or_metadata_changed(old.meta(), new.meta())) {
                    self.access.vault.logins.users_changed();
                    let class = if old.is_some() { Class::Urgent } else { Class::Refresh };
                    self.access.vault.work.push_now(new.key(), class);
                    self.access.vault.dependents.of_external_secret(new.meta());
                }
            }
        }
    }

    /// What a deletion of the object waits for.
    async fn let_go(&self, job: &Job<Key>, object: &ExternalSecret) -> Outcome {
        let plan = self.plan(object);
        if plan.is_err()
            && let Some(listing) = self.stores().optional_watches.listing()
        {
            return Outcome::still_listing(&listing, job.class);
        }
        // What another operator serves it cleans up itself.
        if let Ok(None) = plan {
            return Outcome::await_change();
        }
        remove_finalizer(&self.access.outputs.client, object, FINALIZER).await
    }
}

/// Whether the Secret could not be made yet: there is nothing to merge into, or the stores hold nothing. As with ESO,
/// it is tried again at each interval, whatever `refreshPolicy` says.
fn is_awaited(object: &ExternalSecret, state: &State) -> bool {
    let policy = object.spec.target.creation_policy.as_ref();
    let is_absent = state.applied.as_ref().is_some_and(|applied| applied.revision.is_none());
    is_absent && !matches!(policy, Some(CreationPolicy::None | CreationPolicy::Orphan))
}

#[async_trait::async_trait]
impl Controller for ExternalSecrets {
    fn kind(&self) -> Kind {
        ExternalSecret::KIND
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let stores = self.stores().clone();
        let this = self.clone();
        self.access.watch_generators(watches);
        stores.external_secrets.listen(move |change| this.changed(change));
        stores.external_secret_watches.set(watches.optional(stores.external_secrets.clone()));
        let dependents = self.access.vault.dependents.clone();
        stores.targets.listen(move |id, _| dependents.of_target(id, SETTLE));
        watches.secrets(stores.targets.clone(), TARGET_SELECTOR);
        let dependents = self.access.vault.dependents.clone();
        stores.namespaces.listen(move |namespace| dependents.of_namespace(namespace, DEPENDENTS_SPREAD));
        let namespaces: Arc<dyn Sink<PartialObjectMeta<Namespace>>> = stores.namespaces.clone();
        stores.namespace_watches.set(watches.cluster(namespaces));
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let id: &ObjectRef = &job.key.id;
        let known = self.states.take(id);
        let Some(object) = self.stores().external_secrets.get(id) else { return Outcome::await_change() };
        if object.meta().deletion_timestamp.is_some() {
            return self.let_go(job, &object).await;
        }
        let mut state = known.unwrap_or_default();
        let outcome = self.run(job, &object, &mut state).await;
        self.states.keep(&self.stores().external_secrets, id, &*object, state);
        outcome
    }

    async fn timed_out(&self, job: &Job<Key>) -> Outcome {
        let Some(object) = self.stores().external_secrets.get(&job.key.id) else { return Outcome::await_change() };
        let plan = self.plan(&object).ok().flatten();
        let why = self.access.vault.servers.timed_out(plan.iter().flat_map(fetch::connections));
        let mut state = Box::<State>::default();
        let outcome = self.fail(&object, &mut state, fetch::provider(&why)).await;
        self.states.keep(&self.stores().external_secrets, &job.key.id, &*object, state);
        outcome
    }

    fn objects(&self) -> usize {
        self.stores().external_secrets.len()
    }

    fn conditions(&self) -> Vec<ObjectCondition> {
        conditions_of(&self.stores().external_secrets)
    }

    fn not_synced(&self) -> Vec<String> {
        let reason = |object: &ExternalSecret| {
            let reason = reason_of_failure(object.conditions(), ConditionType::Ready)?;
            // What another operator serves is not counted here.
            let plan = resolve::external_secret(object, Duration::ZERO, &**self.stores());
            (!matches!(plan, Ok(None))).then_some(reason)
        };
        self.stores().external_secrets.all().iter().filter_map(|object| reason(object)).collect()
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        self.stores().external_secrets.all().iter().filter_map(|object| ResourceStatus::of_ready(&**object)).collect()
    }
}
