//! What the stores hold for an ExternalSecret.

use std::sync::Arc;
use std::time::Instant;

use super::ExternalSecrets;
use super::state::{Pending, State};
use crate::api::external_secrets::ExternalSecret;
use crate::api::external_secrets::external_secret::ExternalSecretSpec;
use crate::api::external_secrets::remote::{DataFrom, RemoteRef};
use crate::api::external_secrets::target::DeletionPolicy;
use crate::api::{Key, Reason};
use crate::controllers::open_store::OpenStore;
use crate::controllers::outputs::EventText;
use crate::controllers::render_turns::Turn;
use crate::controllers::store_access::NoSession;
use crate::controllers::store_failure::{StoreFailure, StoreInterruption};
use crate::external_secret::Data;
use crate::external_secret::answers::{Answer, Answers, entry_failed, row_failed};
use crate::external_secret::pipeline::Missing;
use crate::providers::{AT_ONCE, ProviderError, ReadsInUse, SMALL_WEIGHT_BYTES};
use crate::resolve::{EntrySource, ExternalPlan, Generates};
use crate::workqueue::Job;

/// What was read.
pub(super) struct Fetched {
    /// By key of the Secret.
    pub data: Data,
    /// What the stores do not hold.
    pub missing: Vec<EventText>,
}

impl ExternalSecrets {
    /// Reads everything that an object names, and puts it together. Answers to requests that began before `not_before`
    /// are too old.
    pub(super) async fn fetch(
        &self,
        job: &Job<Key>,
        object: &Arc<ExternalSecret>,
        plan: &ExternalPlan,
        state: &mut State,
        not_before: Instant,
    ) -> Result<Fetched, StoreInterruption> {
        let former = std::mem::take(&mut state.reads);
        let opened = self.open(job, plan, not_before, &former).await;
        if opened.is_err() {
            state.reads.clone_from(&former);
        }
        let mut run = Run { controller: self, object, plan, stores: opened?, is_large: state.is_large, turn: None };
        state.sessions = run.stores.iter().filter_map(OpenStore::session).cloned().collect();
        state.cluster_lane = run.stores.iter().find(|store| store.login.is_none()).map(|store| store.lane);
        let mut answers = run.all(&object.spec).await;
        state.reads.extend(run.stores.iter_mut().flat_map(|store| store.provider.reads()));
        if let Ok(read) = &mut answers {
            // Last, since what they make costs something: the stores have given all that they have to.
            self.generate(job, object, plan, state, read).await?;
        }
        state.is_large = run.turn.is_some();
        let (answers, turn) = (answers?, run.turn.take());
        for (vault, session) in run.stores.into_iter().filter_map(|store| store.login) {
            self.access.vault.logins.store(&session, &vault.auth()).await;
        }
        let assembled = if turn.is_none() && answers.is_quick(&object.spec) {
            answers.assemble(&object.spec)
        } else {
            let (turn, of) = (turn.map_or_else(|| self.turn(object), Ok)?, object.clone());
            let work = turn.run(move || answers.assemble(&of.spec)).await;
            work.ok_or_else(|| provider("the data could not be put together: that took too long"))?
        };
        let (data, missing) = assembled.map_err(|error| provider(&error.to_string()))?;
        let event = |missing: &Missing| EventText::normal(Reason::MissingProviderSecret, missing.to_string());
        Ok(Fetched { data, missing: missing.iter().map(event).collect() })
    }

    /// Opens the stores of an object, in the order of its plan.
    async fn open<'a>(
        &'a self,
        job: &Job<Key>,
        plan: &'a ExternalPlan,
        not_before: Instant,
        former: &'a ReadsInUse,
    ) -> Result<Vec<OpenStore<'a>>, StoreInterruption> {
        let mut opened = vec![];
        for store in &plan.stores {
            match self.access.open(job, store, not_before, former).await {
                Ok(store) => opened.push(store),
                Err(NoSession::NoPermit(lane)) => return Err(StoreInterruption::Yield(Some(lane))),
                Err(NoSession::Unusable(why)) => return Err(provider(&why).into()),
            }
        }
        Ok(opened)
    }
}

/// What a generator has made for an object without an interval is kept so long, if it cannot be written.
const PENDING_LIFETIME: std::time::Duration = std::time::Duration::from_secs(3600);
/// What an object reads may take so much memory. A Secret holds 1 MiB.
const MAX_WEIGHT_BYTES: usize = 8 << 20;

/// The secrets that an object names.
struct Named<'a> {
    all: Vec<(usize, &'a RemoteRef)>,
    /// How many of them were asked for.
    asked: usize,
}

struct Run<'a> {
    controller: &'a ExternalSecrets,
    object: &'a ExternalSecret,
    plan: &'a ExternalPlan,
    /// In the order of the plan.
    stores: Vec<OpenStore<'a>>,
    /// The last run has read a large amount of data.
    is_large: bool,
    /// Taken for a large amount of data.
    turn: Option<Turn>,
}

impl Run<'_> {
    async fn all(&mut self, spec: &ExternalSecretSpec) -> Result<Answers, StoreInterruption> {
        let mut answers = Answers::default();
        let mut named = self.named(spec);
        for (i, entry) in spec.data_from.iter().enumerate() {
            let EntrySource::Store(store) = self.plan.data_from[i] else {
                answers.entries.push(None);
                continue;
            };
            let found = match (&entry.extract, &entry.find) {
                (Some(extract), _) => {
                    self.read_ahead(&mut named).await;
                    self.stores[store].provider.get_map(extract).await
                }
                (None, Some(find)) => self.stores[store].provider.find(find).await.map(Answer::ready),
                (None, None) => return Err(provider(&format!("spec.dataFrom[{i}] is empty")).into()),
            };
            answers.entries.push(self.settle(spec, store, found, |why| entry_failed(spec, i, why)).await?);
            self.weigh()?;
        }
        for (i, row) in spec.data.iter().enumerate() {
            let store = self.plan.data[i];
            self.read_ahead(&mut named).await;
            let found = self.stores[store].provider.get(&row.remote_ref).await;
            answers.rows.push(self.settle(spec, store, found, |why| row_failed(spec, i, why)).await?);
            self.weigh()?;
        }
        Ok(answers)
    }

    /// All secrets that are named, each with its store, in the order in which they are asked for.
    fn named<'s>(&self, spec: &'s ExternalSecretSpec) -> Named<'s> {
        let of_entry = |(i, entry): (usize, &'s DataFrom)| match self.plan.data_from[i] {
            EntrySource::Store(store) => entry.extract.as_ref().map(|extract| (store, extract)),
            EntrySource::Generator(_) => None,
        };
        let extracts = spec.data_from.iter().enumerate().filter_map(of_entry);
        let rows = spec.data.iter().enumerate().map(|(i, row)| (self.plan.data[i], &row.remote_ref));
        Named { all: extracts.chain(rows).collect(), asked: 0 }
    }

    /// Before the next of the named secrets is asked for: reads it and some that follow. The first is read alone: what
    /// is wrong with the server or the login shows there, and costs one request. With much data each is read by itself.
    async fn read_ahead(&mut self, named: &mut Named<'_>) {
        let next = named.asked;
        named.asked += 1;
        if next % AT_ONCE != 1 || self.is_large || self.turn.is_some() {
            return;
        }
        let window = named.all[next..].iter().take(AT_ONCE);
        for (i, store) in self.stores.iter_mut().enumerate() {
            let remotes: Vec<_> = window.clone().filter(|(of, _)| *of == i).map(|(_, remote)| *remote).collect();
            store.provider.read_ahead(&remotes).await;
        }
    }

    /// Looks how much was read.
    fn weigh(&mut self) -> Result<(), StoreInterruption> {
        let weight: usize = self.stores.iter().map(|store| store.provider.weight()).sum();
        if weight > MAX_WEIGHT_BYTES {
            let text = format!("the secrets that are read take more than {} MiB together", MAX_WEIGHT_BYTES >> 20);
            return Err(provider(&text).into());
        }
        if weight > SMALL_WEIGHT_BYTES && self.turn.is_none() {
            self.turn = Some(self.controller.turn(self.object)?);
        }
        Ok(())
    }

    /// What an answer means: data, nothing, or the end of the run.
    async fn settle<T>(
        &mut self,
        spec: &ExternalSecretSpec,
        store: usize,
        found: Result<T, ProviderError>,
        failed: impl Fn(String) -> String,
    ) -> Result<Option<T>, StoreInterruption> {
        let error = match found {
            Ok(found) => return Ok(Some(found)),
            Err(error) => error,
        };
        let may_be_absent = matches!(spec.target.deletion_policy, Some(DeletionPolicy::Delete | DeletionPolicy::Merge));
        let failure = provider(&failed(error.to_string()));
        match error {
            ProviderError::NoSecret(_) if may_be_absent => Ok(None),
            // All objects that read the store are due with its next attempt.
            ProviderError::Cluster(error) => Err(failure.again_at(error.retry_at).into()),
            ProviderError::Vault(error) => Err(match &self.stores[store].login {
                Some((vault, session)) => self.controller.access.vault_failed(vault, session, failure, error).await,
                None => failure.into(),
            }),
            _ => Err(failure.into()),
        }
    }
}

impl ExternalSecrets {
    /// Has the generators make their data, unless an earlier run has, whose data did not get into the Secret.
    async fn generate(
        &self,
        job: &Job<Key>,
        object: &ExternalSecret,
        plan: &ExternalPlan,
        state: &mut State,
        answers: &mut Answers,
    ) -> Result<(), StoreInterruption> {
        let generators = plan.data_from.iter().enumerate().filter_map(|(i, source)| match source {
            EntrySource::Generator(generator) => Some((i, &plan.generators[*generator])),
            EntrySource::Store(_) => None,
        });
        for (i, generator) in generators {
            let is_usable = |known: &&Pending| known.version == generator.version && Instant::now() < known.until;
            let data = match state.generated.get(&i).filter(is_usable) {
                Some(known) => known.data.clone(),
                None => {
                    let failed = |why: String| provider(&entry_failed(&object.spec, i, why));
                    let made = self.access.make(job, generator, &mut state.sessions, failed).await?;
                    // Half of a lease is left to those that use it.
                    let lasts = made.lasts.map(|lasts| lasts / 2).into_iter().chain(plan.interval);
                    let until = Instant::now() + lasts.min().unwrap_or(PENDING_LIFETIME);
                    let (version, data) = (generator.version.clone(), made.data);
                    state.generated.insert(i, Pending { version, data: data.clone(), until });
                    data
                }
            };
            answers.entries[i] = Some(Answer::ready(data));
        }
        Ok(())
    }
}

/// Whether an object names a generator.
pub(super) fn has_generator(object: &ExternalSecret) -> bool {
    let sources = object.spec.data_from.iter().filter_map(|entry| entry.source_ref.as_ref());
    sources.into_iter().any(|source| source.generator_ref.is_some())
}

/// The connections to the Vaults that a plan leads to; `None` for another server.
pub(super) fn connections(plan: &ExternalPlan) -> impl Iterator<Item = Option<Key>> {
    let stores = plan.stores.iter().map(|store| store.source.connection().cloned());
    let generators = plan.generators.iter().filter_map(|generator| match &generator.what {
        Generates::Vault(request) => Some(Some(request.vault.login.connection.key.clone())),
        Generates::Passwords(_) | Generates::Uuid => None,
    });
    stores.chain(generators)
}

/// The stores do not give the data.
pub(super) fn provider(why: &str) -> StoreFailure {
    StoreFailure::new(format!("could not get secret data from provider: {why}"))
}
