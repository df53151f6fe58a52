//! PushSecret: what a Secret holds is written to stores.
//!
//! `mod.rs` reads from top to bottom as a run goes: what is pushed (`source`), to each of the stores that are due (`tasks`, `target`),
//! and what is told of it (`report`). What was pushed goes with the object, if that is wanted (`deletion`). Each store has a schedule of its own (`state`), so that one that fails holds up no other.

mod deletion;
mod generated;
mod names;
mod places;
mod report;
mod source;
mod state;
mod target;
mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use kube::Resource as _;
use parking_lot::Mutex;

use super::controller::{Controller, LONGEST_RUN, Watches, timed_out_text};
use super::dependents::spec_or_metadata_changed;
use super::external_secret::failure::{Failure, Interruption};
use super::outcome::Outcome;
use super::render_turns::RenderTurns;
use super::retry::RECHECK_DENIAL;
use super::store_access::StoreAccess;
use super::stores::Stores;
use crate::api::external_secrets::PushSecret;
use crate::api::external_secrets::push_secret::{PushDeletionPolicy, SyncedPushSecrets, UpdatePolicy};
use crate::api::{CustomObject as _, Key, Kind, ObjectRef};
use crate::backoff::Policy;
use crate::external_secret::push::{Expansion, PushStore};
use crate::external_secret::template::TemplateCache;
use crate::kubernetes::Change;
use crate::providers::ReadsInUse;
use crate::resolve::{self, PushPlan, PushTarget, StoreSource};
use crate::telemetry::ResourceStatus;
use crate::workqueue::{Class, Job, Lane, Next};

use generated::kept_until;
use report::{Verdict, verdict};
use source::Made;
use state::{State, States, TargetState};
use target::{Done, Entries, Skipped, Task};
use tasks::{Tasks, digest_for, schedule};

/// The controller of PushSecrets.
pub(super) struct PushSecrets {
    access: Arc<StoreAccess>,
    turns: Arc<RenderTurns>,
    templates: Arc<TemplateCache>,
    states: Mutex<States>,
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
        let (templates, states, no_reads) = Default::default();
        Self { access, turns, templates, states, no_reads, backoff, min_interval }
    }

    fn stores(&self) -> &Arc<Stores> {
        &self.access.vault.stores
    }

    async fn run(&self, job: &Job<Key>, object: &Arc<PushSecret>, state: &mut State) -> Outcome {
        let began = Utc::now();
        let plan = match self.plan(object) {
            Ok(plan) => plan,
            Err(failure) => return self.fail(object, state, failure).await,
        };
        let pushed = resolve::pushed_to(object, &**self.stores());
        if plan.targets.is_empty() && (pushed.is_empty() || !object.deletes()) {
            // Another operator serves the stores, or there are none.
            *state = State::default();
            self.access.feeds.forget(&job.key);
            return Outcome::await_change();
        }
        self.follow(&job.key, object, &plan.targets, &pushed, state).await;
        if let Some(next) = kept_until(object, &plan, state, (Instant::now(), began)) {
            return Outcome::done(next, None);
        }
        if let Err(error) = self.hold_for_deletion(object, &plan.targets).await {
            tracing::warn!(%error, "the finalizer could not be changed");
            return Outcome::write_failed();
        }
        // With its finalizer it is another version.
        let object = &self.stores().push_secrets.get(&job.key.id).unwrap_or_else(|| object.clone());
        let (tasks, source_is_gone) = match self.tasks(object, plan, pushed, state, job).await {
            Ok(tasks) => tasks,
            Err(Interruption::Yield(lane)) => return Outcome::yielded(Next::At(job.due, job.class), lane),
            Err(Interruption::Later(pause)) => {
                return Outcome::yielded(Next::At(Instant::now() + pause, job.class), None);
            }
            Err(Interruption::Failed(failure)) => return self.fail(object, state, failure).await,
        };
        state.backoff.reset();
        let (synced, changed, waits) = self.work(job, object, &tasks, state).await;
        let verdict = match verdict(state) {
            Verdict::Synced if source_is_gone => Verdict::SourceDeleted,
            verdict => verdict,
        };
        let outcome = self.tell(object, state, &verdict, synced, changed, began).await;
        if tasks.are_done(state) {
            state.generated = None;
        }
        match waits {
            Some(lane) => Outcome::yielded(Next::At(job.due, job.class), Some(lane)),
            None => outcome,
        }
    }

    fn plan(&self, object: &PushSecret) -> Result<PushPlan, Failure> {
        let unknown = match (&object.spec.update_policy, &object.spec.deletion_policy) {
            (Some(UpdatePolicy::Unknown(policy)), _) => Some(format!("spec.updatePolicy {policy:?} is not known")),
            (_, Some(PushDeletionPolicy::Unknown(policy))) => {
                Some(format!("spec.deletionPolicy {policy:?} is not known"))
            }
            _ => None,
        };
        if let Some(why) = unknown {
            return Err(Failure::new(why).until_changed());
        }
        resolve::push_secret(object, self.min_interval, &**self.stores())
            .map_err(|denied| Failure::new(denied.to_string()).until_changed())
    }

    /// What is pushed to the stores, and what is deleted there. True if the Secret is gone, and all that was pushed goes.
    async fn tasks(
        &self,
        object: &Arc<PushSecret>,
        plan: PushPlan,
        pushed: Vec<(PushTarget, Entries)>,
        state: &mut State,
        job: &Job<Key>,
    ) -> Result<(Tasks, bool), Interruption> {
        let PushPlan { targets, interval, .. } = plan;
        let generated = self.generated(job, object, interval, state).await?;
        let inputs = match self.inputs(object, generated).await? {
            Ok(inputs) => inputs,
            Err(_) if object.deletes() && !pushed.is_empty() => {
                return Ok((Tasks::only_deleting(pushed, interval, job, state), true));
            }
            Err(_) if is_cleaned_up(object) => {
                return Ok((Tasks::only_deleting(vec![], interval, job, state), true));
            }
            Err(missing) => {
                return Err(Failure::new(format!("could not get source secret: {missing}")).into());
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
            Task { target, known, expansion }
        });
        let all = tasks.collect();
        Ok((Tasks { all, inputs: inputs_of, due, interval, is_volatile }, false))
    }

    /// Does what is due, stores that failed last: first all is pushed, then what is obsolete is deleted. Gives what the stores
    /// hold of what was pushed, whether anything was written, and the lane of a store that has to wait.
    async fn work(
        &self,
        job: &Job<Key>,
        object: &PushSecret,
        tasks: &Tasks,
        state: &mut State,
    ) -> (SyncedPushSecrets, bool, Option<Lane>) {
        let mut waits = None;
        let mut order: Vec<usize> = (0..tasks.all.len()).collect();
        order.sort_by_key(|i| state.targets.get(&tasks.all[*i].target.name).is_some_and(TargetState::fails));
        let mut done: BTreeMap<usize, Done> = BTreeMap::new();
        for i in &order {
            let of_target = state.targets.entry(tasks.all[*i].target.name.clone()).or_default();
            if !tasks.needs_push(*i, of_target) {
                continue;
            }
            match self.push_to(job, object, &tasks.all[*i], of_target).await {
                Ok(pushed) => {
                    done.insert(*i, pushed);
                }
                Err(Skipped::Yield(lane)) => {
                    of_target.inputs = None;
                    waits = Some(lane);
                }
            }
        }
        let wanted = tasks.wanted();
        let held = tasks.held(&done);
        let (mut synced, mut changed) = (SyncedPushSecrets::new(), false);
        for i in order {
            let task = &tasks.all[i];
            let of_target = state.targets.entry(task.target.name.clone()).or_default();
            let entries = if let Some(mut done) = done.remove(&i) {
                let obsolete = task.obsolete();
                of_target.inputs = Some(tasks.inputs[i]);
                match &wanted {
                    _ if obsolete.is_empty() || !object.deletes() => {}
                    // What is not known to be pushed may be just that.
                    None => done.entries.extend(obsolete.into_iter().map(target::entry_of)),
                    Some(wanted) => match self.delete_from(job, task, (wanted, &held), of_target, &mut done).await {
                        Ok(false) => {}
                        Ok(true) => of_target.inputs = None,
                        Err(Skipped::Yield(lane)) => {
                            of_target.inputs = None;
                            waits = Some(lane);
                        }
                    },
                }
                if done.changed {
                    changed = true;
                    of_target.note_write(Instant::now());
                }
                of_target.due = done.retry_at();
                of_target.has_no_login = done.unusable.as_ref().is_some_and(|unusable| unusable.is_login);
                self.schedule_next(of_target, task, tasks.interval);
                done.entries
            } else {
                task.known.clone()
            };
            if !entries.is_empty() {
                synced.insert(task.target.name.clone(), entries);
            }
        }
        (synced, changed, waits)
    }

    fn schedule_next(&self, target: &mut TargetState, task: &Task, interval: Option<Duration>) {
        if !target.fails() {
            return schedule(target, interval);
        }
        let now = Instant::now();
        let pause = match (&task.target.plan, task.expansion.failures.is_empty()) {
            // A change of the store, or of the Secret, is a trigger.
            (Err(_), _) => RECHECK_DENIAL,
            _ => target.backoff.next(&self.backoff, now, &mut rand::rng()).unwrap_or(RECHECK_DENIAL),
        };
        // The login or the server of the store may say when it is tried again.
        target.due = Some(target.due.filter(|due| *due > now).unwrap_or(now + pause));
    }

    fn changed(&self, change: Change<PushSecret>) {
        let work = &self.access.vault.work;
        match change {
            Change::Deleted(object) => {
                let key = object.key();
                work.remove(&key);
                self.states.lock().remove(&key.id);
                self.access.forget(&key);
                self.let_stores_go(&object, None);
                self.access.vault.dependents.of_push_secret(&key.id);
            }
            Change::Applied { old, new, .. } => {
                if old.as_ref().is_some_and(|old| old.meta().uid != new.meta().uid) {
                    self.states.lock().remove(&new.key().id);
                }
                if let Some(old) = &old {
                    self.let_stores_go(old, Some(&new));
                }
                if old.as_ref().is_none_or(|old| spec_or_metadata_changed(old.meta(), new.meta())) {
                    let class = if old.is_some() { Class::Urgent } else { Class::Refresh };
                    work.push_now(new.key(), class);
                    self.access.vault.dependents.of_push_secret(&new.key().id);
                }
            }
        }
    }

    /// Keeps what is remembered of an object. One that was deleted meanwhile leaves nothing behind.
    fn keep_state(&self, object: &PushSecret, state: Box<State>) {
        // The object is looked up under the lock that its deletion takes too.
        let mut states = self.states.lock();
        let id = object.key().id;
        let known = self.stores().push_secrets.get(&id);
        if known.is_some_and(|known| known.meta().uid == object.meta().uid) {
            states.insert(id, state);
        }
    }
}

/// Whether all that was pushed is deleted, since the Secret is gone.
fn is_cleaned_up(object: &PushSecret) -> bool {
    let ready = crate::api::condition::find(object.conditions(), crate::api::ConditionType::Ready);
    object.deletes() && ready.is_some_and(|ready| ready.reason == crate::api::Reason::SourceDeleted)
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
        let known = self.states.lock().remove(id);
        let Some(object) = self.stores().push_secrets.get(id) else { return Outcome::await_change() };
        let mut state = known.unwrap_or_default();
        let outcome = if object.meta().deletion_timestamp.is_some() {
            self.clean_up(job, &object, &mut state).await
        } else {
            self.run(job, &object, &mut state).await
        };
        self.keep_state(&object, state);
        outcome
    }

    async fn timed_out(&self, job: &Job<Key>) -> Outcome {
        let Some(object) = self.stores().push_secrets.get(&job.key.id) else { return Outcome::await_change() };
        for plan in
            self.plan(&object).iter().flat_map(|plan| &plan.targets).filter_map(|target| target.plan.as_ref().ok())
        {
            if let StoreSource::Vault(vault) = &plan.source {
                self.access.vault.servers.timed_out(&vault.login.connection.key, LONGEST_RUN);
            }
        }
        if let Some(vault) = self.vault_of_generator(&object) {
            self.access.vault.servers.timed_out(&vault.login.connection.key, LONGEST_RUN);
        }
        let mut state = Box::<State>::default();
        let outcome = self.fail(&object, &mut state, Failure::new(timed_out_text())).await;
        self.keep_state(&object, state);
        outcome
    }

    fn objects(&self) -> usize {
        self.stores().push_secrets.len()
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        self.stores().push_secrets.all().iter().filter_map(|object| ResourceStatus::of_ready(&**object)).collect()
    }
}
