//! PushSecret: what a Secret holds is written to stores.
//!
//! `mod.rs` reads from top to bottom as a run goes: what is pushed (`source`), to each of the stores that are due
//! (`tasks`, `work`, `target`), and what is told of it (`report`). What was pushed goes with the object, if that is
//! wanted (`deletion`). Each store has a schedule of its own (`state`), so that one that fails holds up no other.

mod deletion;
mod generated;
mod names;
mod pass;
mod places;
mod report;
mod source;
mod state;
mod target;
mod task;
mod tasks;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use kube::Resource as _;

use super::controller::{Controller, Watches, conditions_of, reason_of_failure};
use super::dependents::spec_or_metadata_changed;
use super::listing::Listing;
use super::outcome::Outcome;
use super::render_turns::RenderTurns;
use super::states::States;
use super::store_access::StoreAccess;
use super::store_failure::{StoreFailure, StoreInterruption};
use super::stores::Stores;
use crate::api::external_secrets::PushSecret;
use crate::api::external_secrets::push_secret::{PushDeletionPolicy, UpdatePolicy};
use crate::api::{ConditionType, CustomObject as _, Key, Kind, ObjectRef};
use crate::backoff::Policy;
use crate::external_secret::push::{Expansion, PushStore};
use crate::external_secret::template::TemplateCache;
use crate::kubernetes::{Change, ErrorKind};
use crate::providers::ReadsInUse;
use crate::resolve::{self, PushPlan, PushTarget};
use crate::telemetry::{ObjectCondition, ResourceStatus};
use crate::workqueue::{Class, Job, Next};

use generated::kept_until;
use report::{Verdict, verdict};
use source::Made;
use state::State;
use task::{Entries, Task};
use tasks::{Tasks, digest_for};
use work::{Rest, Worked};

/// A Secret is gone so long before what was pushed goes: one that is made anew, for another type or by another tool, is
/// gone for a moment, and the stores would lose all versions of it.
const SOURCE_PATIENCE: Duration = Duration::from_secs(10);

/// The controller of PushSecrets.
pub(super) struct PushSecrets {
    access: Arc<StoreAccess>,
    turns: Arc<RenderTurns>,
    templates: Arc<TemplateCache>,
    states: States<State>,
    /// What is written is read anew, so no read is shared.
    no_reads: ReadsInUse,
    /// Pauses after failures.
    backoff: Policy,
    /// The shortest interval between two looks at a store.
    min_interval: Duration,
}

impl PushSecrets {
    /// For all objects that the operator serves.
    pub fn new(access: Arc<StoreAccess>, turns: Arc<RenderTurns>, backoff: Policy, min_interval: Duration) -> Self {
        let (templates, states, no_reads) = (Arc::default(), States::default(), ReadsInUse::default());
        Self { access, turns, templates, states, no_reads, backoff, min_interval }
    }

    fn stores(&self) -> &Arc<Stores> {
        &self.access.vault.stores
    }

    /// The end of a run for which a store that only is not listed yet would look missing.
    async fn await_lists(&self, job: &Job<Key>, object: &PushSecret, state: &mut State, listing: &Listing) -> Outcome {
        match listing.to_tell(object.conditions()) {
            None => Outcome::still_listing(listing, job.class),
            Some(why) => self.fail(object, state, StoreFailure::new(why)).await,
        }
    }

    async fn run(&self, job: &Job<Key>, object: &Arc<PushSecret>, state: &mut State) -> Outcome {
        let began = Utc::now();
        let plan = self.plan(object);
        if !plan.as_ref().is_ok_and(finds_its_stores)
            && let Some(listing) = self.stores().optional_watches.listing()
        {
            return self.await_lists(job, object, state, &listing).await;
        }
        let plan = match plan {
            Ok(plan) => plan,
            Err(failure) => return self.fail(object, state, failure).await,
        };
        let pushed = resolve::pushed_to(&state.recorded(object), &**self.stores());
        if plan.targets.is_empty() && (pushed.is_empty() || !object.deletes()) {
            // Another operator serves the stores, or there are none.
            *state = State::default();
            self.access.feeds.forget(&job.key);
            return Outcome::await_change();
        }
        self.follow(&job.key, object, &plan.targets, &pushed, state).await;
        if let Some(next) = kept_until(object, &plan, state, (Instant::now(), began)) {
            let generator = self.generator(object).into_iter().collect::<Vec<_>>();
            return Outcome::done(self.access.resume(job, &generator, &mut state.sessions, next).await, None);
        }
        if let Err(error) = self.hold_for_deletion(object, &plan.targets).await {
            tracing::warn!(%error, "the finalizer could not be changed");
            return match error.kind {
                // It has changed meanwhile, and the watch will tell how.
                ErrorKind::Conflict | ErrorKind::NotFound => Outcome::write_failed(),
                _ => {
                    let text = format!("the finalizer for deletionPolicy Delete could not be put on: {error}");
                    self.fail(object, state, StoreFailure::new(text)).await
                }
            };
        }
        // With its finalizer it is another version.
        let object = &self.stores().push_secrets.get(&job.key.id).unwrap_or_else(|| object.clone());
        let (tasks, source_is_gone) = match self.tasks(object, plan, pushed, state, job).await {
            Ok(tasks) => tasks,
            Err(StoreInterruption::Yield(lane)) => return Outcome::yielded(Next::At(job.due, job.class), lane),
            Err(StoreInterruption::Later(pause)) => {
                return Outcome::yielded(Next::At(Instant::now() + pause, job.class), None);
            }
            Err(StoreInterruption::Failed(failure)) => return self.fail(object, state, failure).await,
        };
        state.backoff.reset();
        let Worked { synced, changed, rest } = self.work(job, object, &tasks, state).await;
        let verdict = match verdict(state) {
            Verdict::Synced if source_is_gone => Verdict::SourceDeleted,
            verdict => verdict,
        };
        match rest {
            Some(Rest::Waits(lane)) if matches!(verdict, Verdict::Errored(_)) => {
                self.tell(object, state, &verdict, synced, changed, began).await;
                return Outcome::yielded(Next::At(job.due, job.class), Some(lane));
            }
            Some(rest) => return self.go_on(job, object, state, synced, rest).await,
            None => {}
        }
        let outcome = self.tell(object, state, &verdict, synced, changed, began).await;
        if tasks.are_done(state) {
            state.generated = None;
        }
        outcome
    }

    fn plan(&self, object: &PushSecret) -> Result<PushPlan, StoreFailure> {
        let unknown = match (&object.spec.update_policy, &object.spec.deletion_policy) {
            (Some(UpdatePolicy::Unknown(policy)), _) => Some(format!("spec.updatePolicy {policy:?} is not known")),
            (_, Some(PushDeletionPolicy::Unknown(policy))) => {
                Some(format!("spec.deletionPolicy {policy:?} is not known"))
            }
            _ => None,
        };
        if let Some(why) = unknown {
            return Err(StoreFailure::new(why).until_changed());
        }
        resolve::push_secret(object, self.min_interval, &**self.stores())
            .map_err(|denied| StoreFailure::new(denied.to_string()).until_changed())
    }

    /// What is pushed to the stores, and what is deleted there. True if the Secret is gone, and all that was pushed
    /// goes.
    async fn tasks(
        &self,
        object: &Arc<PushSecret>,
        plan: PushPlan,
        pushed: Vec<(PushTarget, Entries)>,
        state: &mut State,
        job: &Job<Key>,
    ) -> Result<(Tasks, bool), StoreInterruption> {
        let PushPlan { targets, interval, .. } = plan;
        let generated = self.generated(job, object, interval, state).await?;
        let inputs = match self.inputs(object, generated).await? {
            Ok(inputs) => {
                state.source_gone = None;
                inputs
            }
            Err(_) if object.deletes() && !pushed.is_empty() => {
                let gone = state.source_gone.get_or_insert_with(Instant::now).elapsed();
                if let Some(left) = SOURCE_PATIENCE.checked_sub(gone) {
                    return Err(StoreInterruption::Later(left));
                }
                return Ok((Tasks::only_deleting(pushed, interval, job, state), true));
            }
            Err(_) if is_cleaned_up(object) => {
                return Ok((Tasks::only_deleting(vec![], interval, job, state), true));
            }
            Err(missing) => {
                return Err(StoreFailure::new(format!("could not get source secret: {missing}")).into());
            }
        };
        let digest = inputs.digest;
        let mut all: Vec<(PushTarget, Entries)> = targets.into_iter().map(|target| (target, Entries::new())).collect();
        for (target, entries) in pushed {
            match all.iter_mut().find(|(known, _)| known.name == target.name) {
                Some((_, known)) => *known = entries,
                None if object.deletes() => all.push((target, entries)),
                None => {}
            }
        }
        state.targets.retain(|name, _| all.iter().any(|(target, _)| target.name == *name));
        let inputs_of: Vec<[u8; 32]> = all.iter().map(|(target, _)| digest_for(&digest, target)).collect();
        let due = state.due(job, all.iter().map(|(target, _)| target.name.as_str()).zip(&inputs_of));
        let (expansions, is_volatile) = match due.contains(&true) {
            true => {
                let store = |(target, _): &(PushTarget, Entries)| PushStore {
                    is_named: target.is_named,
                    data_to: target.data_to.clone(),
                };
                let stores = all.iter().map(store).collect();
                let Made { expansions, is_volatile } = self.make(object, inputs, stores, state).await?;
                (expansions, is_volatile)
            }
            false => (all.iter().map(|_| Expansion::default()).collect(), false),
        };
        let tasks = all.into_iter().zip(expansions).map(|((target, known), mut expansion)| {
            if let Ok(plan) = &target.plan {
                places::refuse_repeated(plan, &mut expansion);
            }
            match object.deletes() {
                true => Task::deleting(target, known, expansion),
                false => Task { target, known, expansion, moving: vec![] },
            }
        });
        let all = tasks.collect();
        Ok((Tasks { all, inputs: inputs_of, due, interval, is_volatile }, false))
    }

    fn changed(&self, change: Change<PushSecret>) {
        let work = &self.access.vault.work;
        self.states.on_change(&change);
        match change {
            Change::Deleted(object) => {
                let key = object.key();
                work.remove(&key);
                self.access.forget(&key);
                self.access.vault.logins.users_changed();
                self.let_stores_go(&object, None);
                self.access.vault.dependents.of_push_secret(object.meta());
            }
            Change::Applied { old, new, .. } => {
                if let Some(old) = &old {
                    self.let_stores_go(old, Some(&new));
                }
                if old.as_ref().is_none_or(|old| spec_or_metadata_changed(old.meta(), new.meta())) {
                    self.access.vault.logins.users_changed();
                    let class = if old.is_some() { Class::Urgent } else { Class::Refresh };
                    work.push_now(new.key(), class);
                    self.access.vault.dependents.of_push_secret(new.meta());
                }
            }
        }
    }

    fn keep_state(&self, id: &ObjectRef, object: &PushSecret, state: Box<State>) {
        self.states.keep(&self.stores().push_secrets, id, object, state);
    }
}

fn finds_its_stores(plan: &PushPlan) -> bool {
    !plan.targets.is_empty() && plan.targets.iter().all(|target| target.plan.is_ok())
}

/// Whether all that was pushed is deleted, since the Secret is gone.
fn is_cleaned_up(object: &PushSecret) -> bool {
    let ready = crate::api::condition::find(object.conditions(), crate::api::ConditionType::Ready);
    object.deletes() && ready.is_some_and(|ready| ready.reason == crate::api::Reason::SourceDeleted)
}

/// A run. What one that is cut off has pushed without recording it is remembered, and nothing else of it.
struct Run<'a> {
    controller: &'a PushSecrets,
    id: &'a ObjectRef,
    object: &'a Arc<PushSecret>,
    state: Option<Box<State>>,
}

impl Run<'_> {
    /// It came to its end.
    fn end(mut self) {
        if let Some(state) = self.state.take() {
            self.controller.keep_state(self.id, self.object, state);
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        let unrecorded = self.state.take().map(|state| state.unrecorded).unwrap_or_default();
        if !unrecorded.is_empty() {
            let state = State { unrecorded, ..State::default() };
            self.controller.keep_state(self.id, self.object, Box::new(state));
        }
    }
}

#[async_trait::async_trait]
impl Controller for PushSecrets {
    fn kind(&self) -> Kind {
        PushSecret::KIND
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let stores = self.stores().clone();
        let this = self.clone();
        stores.push_secrets.listen(move |change| this.changed(change));
        stores.push_secret_watches.set(watches.optional(stores.push_secrets.clone()));
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let id: &ObjectRef = &job.key.id;
        let known = self.states.take(id);
        let Some(object) = self.stores().push_secrets.get(id) else { return Outcome::await_change() };
        let mut run = Run { controller: self, id, object: &object, state: Some(known.unwrap_or_default()) };
        let state = run.state.get_or_insert_default();
        let outcome = if object.meta().deletion_timestamp.is_some() {
            self.clean_up(job, &object, state).await
        } else {
            self.run(job, &object, state).await
        };
        run.end();
        outcome
    }

    async fn timed_out(&self, job: &Job<Key>) -> Outcome {
        let Some(object) = self.stores().push_secrets.get(&job.key.id) else { return Outcome::await_change() };
        let plan = self.plan(&object);
        let targets = plan.iter().flat_map(|plan| &plan.targets).filter_map(|target| target.plan.as_ref().ok());
        let stores = targets.map(|plan| plan.source.connection().cloned());
        let generator = self.vault_of_generator(&object).map(|vault| Some(vault.login.connection.key));
        let why = self.access.vault.servers.timed_out(stores.chain(generator));
        // What the run has pushed is remembered.
        let mut state = self.states.take(&job.key.id).unwrap_or_default();
        let outcome = self.fail(&object, &mut state, StoreFailure::new(why)).await;
        self.keep_state(&job.key.id, &object, state);
        outcome
    }

    fn objects(&self) -> usize {
        self.stores().push_secrets.len()
    }

    fn not_synced(&self) -> Vec<String> {
        let reason = |object: &PushSecret| {
            let reason = reason_of_failure(object.conditions(), ConditionType::Ready)?;
            // What another operator serves is not counted here.
            let plan = resolve::push_secret(object, Duration::ZERO, &**self.stores());
            (!plan.is_ok_and(|plan| plan.targets.is_empty())).then_some(reason)
        };
        self.stores().push_secrets.all().iter().filter_map(|object| reason(object)).collect()
    }

    fn conditions(&self) -> Vec<ObjectCondition> {
        conditions_of(&self.stores().push_secrets)
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        self.stores().push_secrets.all().iter().filter_map(|object| ResourceStatus::of_ready(&**object)).collect()
    }
}
