//! The one way of every kind that fills a Secret: obtain -> render -> write -> restart -> report.
//!
//! A kind is a [`SecretSource`]: what it obtains, when it is due again, what its status says. Each step is a file; this
//! one reads from top to bottom like the list in `docs/architecture.md`.

mod delete;
mod failure;
mod object;
mod obtain;
mod render;
mod report;
mod restart;
mod settle;
mod source;
mod state;
mod write;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Instant;

use kube::Resource as _;

use super::controller::{Controller, Watches, reason_of_failure};
use super::dependents::spec_or_metadata_changed;
use super::finalizer::has_finalizer;
use super::outcome::Outcome;
use super::outputs::Outputs;
use super::states::States;
use super::stores::Stores;
use super::subscriptions::Subscriptions;
use super::vault_access::VaultAccess;
use super::work::Work;
use crate::api::{ConditionType, CustomObject as _, Key, Kind, ObjectRef, Reason, SecretOwner};
use crate::backoff::Policy;
use crate::kubernetes::{Change, KnownKey, SecretWriter, Store};
use crate::render::SourceData;
use crate::resolve::{self, Denied, Plan, PlanError};
use crate::sync::Rollouts;
use crate::telemetry::Expiry;
use crate::workqueue::{Class, Job, Next};

pub(crate) use failure::{Failure, Interruption};
pub(crate) use obtain::{login_failed, read_failed};
pub(crate) use render::Renderer;
pub(crate) use report::cache_key;
pub(crate) use source::{CleanUpError, Lifetime, Obtained, Reading, Report, SecretSource};
use state::ObjectState;

/// What the pipelines of all kinds share.
pub(crate) struct Shared {
    pub stores: Arc<Stores>,
    pub work: Arc<Work>,
    pub vault: Arc<VaultAccess>,
    pub subscriptions: Arc<Subscriptions>,
    pub renderer: Renderer,
    pub rollouts: Arc<Rollouts>,
    pub outputs: Outputs,
    /// Key of the MACs.
    pub mac_key: Arc<KnownKey>,
    /// Pauses after failures.
    pub backoff: Policy,
}

/// The controller of one kind that fills a Secret.
pub(crate) struct Pipeline<S: SecretSource> {
    source: S,
    store: Arc<Store<S::Owner>>,
    states: States<ObjectState<S::State>>,
    shared: Arc<Shared>,
}

impl<S: SecretSource> Pipeline<S> {
    /// The controller of the objects of a store.
    pub fn new(source: S, store: Arc<Store<S::Owner>>, shared: Arc<Shared>) -> Self {
        Self { source, store, states: States::default(), shared }
    }

    async fn run(&self, job: &Job<Key>, object: &Arc<S::Owner>, state: &mut ObjectState<S::State>) -> Outcome {
        let plan = match S::resolve(object, &self.shared.stores) {
            Ok(plan) => plan,
            Err(error) => {
                if let Err(Interruption::Yield(lane)) = self.hold_unplanned(job, object, &error, state).await {
                    return Outcome::yielded(Next::At(job.due, job.class), lane);
                }
                return self.fail(object, state, Failure::unplanned(&error, S::INVALID)).await;
            }
        };
        let fingerprint = fingerprint(&**object, &plan);
        if self.owes_restarts(object, state) {
            return self.settle(job, object, state, fingerprint).await;
        }
        if job.class == Class::Event && !has_news(state, fingerprint) {
            // What is left is a change of the Secret by another client, or nothing that means something here.
            if self.destination_unchanged(object, state) {
                if self.report_subscription(object, state).await.is_err() {
                    return state.retry(&self.shared.backoff);
                }
                return Outcome::done(state.next_refresh(), state.lane());
            }
            if let Some(at) = state.drift.wait_until(Instant::now()) {
                let refresh_is_first = state.due.is_some_and(|due| due < at);
                let next = if refresh_is_first { state.next_refresh() } else { Next::At(at, Class::Event) };
                return Outcome::done(next, state.lane());
            }
        }
        if S::needs_finalizer(object) && !has_finalizer(&**object, S::FINALIZER) {
            return self.add_finalizer(job, object, state).await;
        }
        let mut object = object.clone();
        match self.sync(job, &mut object, &plan, fingerprint, state).await {
            Ok(synced) => {
                state.fingerprint = Some(fingerprint);
                self.succeed(&object, &plan, state, synced).await
            }
            Err(Interruption::Yield(lane)) => Outcome::yielded(Next::At(job.due, job.class), lane),
            Err(Interruption::Later(delay)) => {
                Outcome::yielded(Next::At(Instant::now() + delay, job.class), state.lane())
            }
            Err(Interruption::Record(mac)) => self.record(job, &object, state, mac).await,
            Err(Interruption::Failed(failure)) => self.fail(&object, state, failure).await,
        }
    }

    /// The object has no plan. What an earlier run has obtained stays usable, unless its login is not allowed any more:
    /// a SecretTransformation or VaultAuth that is gone for a while ends no lease.
    async fn hold_unplanned(
        &self,
        job: &Job<Key>,
        object: &S::Owner,
        error: &PlanError,
        state: &mut ObjectState<S::State>,
    ) -> Result<(), Interruption> {
        // The deletion of an object may need its login when the VaultAuth is gone.
        let holds = S::needs_finalizer(object) || (S::HOLDS && S::lifetime(object).is_some());
        if !holds || matches!(error, PlanError::Login(Denied::NotAllowed(_))) {
            state.disconnect();
            return Ok(());
        }
        state.subscription = None;
        let auth = resolve::login_of(object, &*self.shared.stores).ok();
        if let Some(auth) = &auth {
            obtain::login(&self.shared, job, auth, state).await?;
        }
        if let Some(session) = state.session.clone() {
            self.source.hold(object, &session, auth.as_ref(), &mut state.source).await;
        }
        Ok(())
    }

    /// Everything but the report. `object` gets what is announced in its status.
    async fn sync(
        &self,
        job: &Job<Key>,
        object: &mut Arc<S::Owner>,
        plan: &Plan<S::Plan>,
        fingerprint: u64,
        state: &mut ObjectState<S::State>,
    ) -> Result<report::Synced, Interruption> {
        let shared = &*self.shared;
        let owner: Arc<dyn SecretOwner> = object.clone();
        let session = obtain::login(shared, job, &plan.auth, state).await?;
        let prepared = match shared.renderer.prepare(owner.namespace(), &plan.transformation).await {
            Ok(prepared) => prepared,
            Err(interruption) => {
                if let Interruption::Failed(_) = &interruption {
                    self.source.hold(object, &session, Some(&plan.auth), &mut state.source).await;
                }
                return Err(interruption);
            }
        };
        state.transformation = Some(prepared.transformation.clone());
        // Before the read, so that no write falls between the two.
        self.subscribe(job, object, plan, &session, fingerprint, state);
        let writer = SecretWriter::new(&shared.outputs.client, owner.namespace());
        let held = if S::LOOKS_FIRST { write::look(shared, &writer, &*owner, &state.applied).await } else { Ok(None) };
        if let Err(Interruption::Failed(_)) = &held {
            self.source.hold(object, &session, Some(&plan.auth), &mut state.source).await;
        }
        let held = held?;
        let held = held.as_ref();
        let obtained = self.obtain(job, object, plan, &session, held, state).await;
        shared.vault.logins.store(&session, &plan.auth).await;
        let (written, recorded, token) = match obtained? {
            Obtained::Kept { unfinished } => {
                let (written, recorded) =
                    write::keep(shared, &writer, &*owner, held, unfinished, &mut state.applied).await?;
                (written, recorded.filter(|recorded| unfinished || !recorded.is_empty()), None)
            }
            Obtained::Data { data, token } => {
                let put = self.put(object, state, prepared, data, &writer).await;
                if let Err(interruption) = &put {
                    // The Secret may hold the data though no answer has come: the next run looks.
                    if !matches!(interruption, Interruption::Failed(failure) if failure.is_unanswered) {
                        self.source.discard(&session, plan, &mut state.source).await;
                    }
                    self.source.hold(object, &session, Some(&plan.auth), &mut state.source).await;
                }
                let (written, recorded) = put?;
                (written, recorded, Some(token))
            }
        };

        let restarts = restart::follow(shared, &*owner, &writer, &written, recorded.as_deref(), state).await;
        Ok(report::Synced {
            mac: written.mac,
            wrote: written.result.wrote,
            record: written.record,
            orphans: written.orphans,
            restarts,
            token,
        })
    }

    /// Renders new data and writes it. Returns what was written, and the content whose restarts are all done.
    async fn put(
        &self,
        object: &mut Arc<S::Owner>,
        state: &mut ObjectState<S::State>,
        prepared: render::Prepared,
        data: SourceData,
        writer: &SecretWriter,
    ) -> Result<(write::Written, Option<String>), Interruption> {
        let shared = &*self.shared;
        if !self.store.is_current(object) {
            // It was deleted meanwhile: nothing is done any more for it, nor for another one of its name by mistake.
            return Err(Interruption::Yield(state.lane()));
        }
        let owner: Arc<dyn SecretOwner> = object.clone();
        let untouched = self.destination_unchanged(object, state);
        let previous =
            render::Previous { applied: state.applied.as_ref(), rendered: state.rendered.as_deref(), untouched };
        let (renderer, key) = (&shared.renderer, &shared.mac_key.key);
        let output = renderer.render(key, &owner, prepared, data, writer, previous).await?;
        if let render::Output::New(new) = &output {
            self.announce(object, &state.source, &new.mac).await?;
        }

        let recorded = write::recorded(&*owner, &output);
        let applied_mac = state.applied.as_ref().map(|applied| applied.mac.clone());
        let written = write::write(shared, writer, &*owner, output, recorded.as_deref(), &mut state.applied).await?;
        if let Some(rendered) = &written.rendered {
            state.rendered = rendered.clone().map(Box::new);
        }
        let respecified = owner.applied_generation() != owner.generation();
        if written.result.wrote && !respecified && applied_mac.as_deref() == Some(&*written.mac) {
            state.drift.repaired(Instant::now());
        }
        Ok((written, recorded))
    }

    /// True if the destination is the version that was applied last. A Secret that no watch covers counts as such: it
    /// is read at each refresh.
    fn destination_unchanged(&self, object: &S::Owner, state: &ObjectState<S::State>) -> bool {
        let current = || self.shared.stores.secrets.get(&object.destination_id());
        !object.destination().create || current() == state.applied.as_ref().map(|applied| applied.revision.clone())
    }

    fn changed(&self, change: Change<S::Owner>) {
        self.states.on_change(&change);
        match change {
            Change::Deleted(object) => {
                self.shared.work.remove(&object.key());
                self.shared.vault.logins.users_changed();
            }
            Change::Applied { id, old, new } => {
                let generation = new.meta().generation;
                if old.as_ref().is_some_and(|old| old.meta().generation != generation) {
                    self.shared.vault.logins.users_changed();
                }
                if old.as_ref().is_none_or(|old| spec_or_metadata_changed(old.meta(), new.meta())) {
                    self.shared.work.push_now(Key { kind: S::Owner::KIND, id }, class_of(&*new, old.is_some()));
                }
            }
        }
    }
}

#[async_trait::async_trait]
impl<S: SecretSource> Controller for Pipeline<S> {
    fn kind(&self) -> Kind {
        S::Owner::KIND
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let this = self.clone();
        self.store.listen(move |change| this.changed(change));
        watches.served(self.store.clone());
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let id: &ObjectRef = &job.key.id;
        let known = self.states.take(id);
        let Some(object) = self.store.get(id) else { return Outcome::await_change() };
        if object.meta().deletion_timestamp.is_some() {
            let session = known.as_ref().and_then(|known| known.session.clone());
            let outcome = self.delete(job, &object, session).await;
            if let Some(known) = known {
                self.states.keep(&self.store, id, &object, known);
            }
            return outcome;
        }
        let mut state = known.unwrap_or_else(|| Box::new(ObjectState::new(job.due)));
        let outcome = self.run(job, &object, &mut state).await;
        self.states.keep(&self.store, id, &object, state);
        outcome
    }

    async fn timed_out(&self, job: &Job<Key>) -> Outcome {
        let Some(object) = self.store.get(&job.key.id) else { return Outcome::await_change() };
        let plan = S::resolve(&object, &self.shared.stores).ok();
        let connection = plan.map(|plan| plan.auth.login.connection.key.clone());
        let why = self.shared.vault.servers.timed_out([connection].into_iter());
        let mut state = Box::new(ObjectState::new(job.due));
        self.fail(&object, &mut state, Failure::new(Reason::VaultClientError, why)).await
    }

    fn resumed(&self) {
        if !S::LOOKS_FIRST {
            return;
        }
        let now = Instant::now();
        self.states.for_each(|state| *state = ObjectState { session: state.session.take(), ..ObjectState::new(now) });
        for object in self.store.all() {
            self.shared.work.push_now(object.key(), Class::Refresh);
        }
    }

    fn objects(&self) -> usize {
        self.store.len()
    }

    fn not_synced(&self) -> Vec<String> {
        let reason = |object: &S::Owner| reason_of_failure(object.owner_conditions(), ConditionType::SecretSynced);
        self.store.all().iter().filter_map(|object| reason(object)).collect()
    }

    fn expiries(&self) -> Vec<Expiry> {
        let expiry = |object: &S::Owner| {
            let Lifetime { ends, renew_by } = S::lifetime(object)?;
            let ObjectRef { namespace, name } = object.key().id;
            let controller = S::Owner::KIND.controller();
            Some(Expiry { controller, namespace: namespace.to_string(), name: name.to_string(), ends, renew_by })
        };
        self.store.all().iter().filter_map(|object| expiry(object)).collect()
    }
}

/// Whether anything but the destination may have changed since the last run that got through.
fn has_news<T>(state: &ObjectState<T>, fingerprint: u64) -> bool {
    state.fingerprint != Some(fingerprint)
        || state.due.is_some_and(|due| due <= Instant::now())
        || state.subscription.as_ref().is_some_and(|subscription| subscription.pending().is_some())
}

/// How urgent a change of an object is. `known`: an earlier version was known.
fn class_of(object: &dyn SecretOwner, known: bool) -> Class {
    let deleted = object.metadata().deletion_timestamp.is_some();
    match known {
        _ if deleted || object.metadata().generation != Some(object.applied_generation()) => Class::Urgent,
        false => Class::Refresh,
        true => Class::Event,
    }
}

/// Changes if and only if something changed that a run could come to another result by, data aside.
fn fingerprint<P>(object: &dyn SecretOwner, plan: &Plan<P>) -> u64 {
    let mut hash = DefaultHasher::new();
    let meta = object.metadata();
    (&meta.uid, meta.generation, &meta.labels, &meta.annotations).hash(&mut hash);
    let (owner, connection) = (&plan.auth.owner, &plan.auth.login.connection);
    (&owner.uid, owner.generation, &connection.uid, connection.generation).hash(&mut hash);
    // What a VaultAuthGlobal supplies is in no generation.
    plan.auth.login.identity(0).hash(&mut hash);
    plan.transformation.hash(&mut hash);
    hash.finish()
}
