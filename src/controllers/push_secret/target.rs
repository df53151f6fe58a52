//! One store: what is pushed there, and what is deleted.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use super::PushSecrets;
use super::pass::{SecretPlace, Step, Turn};
use super::places::{Fate, Places};
use super::state::TargetState;
use crate::api::CustomObject as _;
use crate::api::Key;
use crate::api::external_secrets::push_secret::{PushData, SyncedPushSecrets, UpdatePolicy};
use crate::api::external_secrets::{ClusterSecretStore, PushSecret};
use crate::backoff::spread;
use crate::controllers::dependents::DEPENDENTS_SPREAD;
use crate::controllers::store_access::NoSession;
use crate::controllers::vault_access::Unanswered;
use crate::external_secret::push::{Expansion, PushRow, Pushed, place};
use crate::providers::{self, ClusterFault, Known, Provider, ProviderError, ReadsInUse, VaultProvider, destination};
use crate::resolve::{PushTarget, StorePlan, StoreSource};
use crate::vault::Session;
use crate::workqueue::{Job, Lane};

/// What the status says was pushed to a store, by place.
pub(super) type Entries = BTreeMap<String, PushData>;

/// A store, and what is to be done there.
pub(super) struct Task {
    pub target: PushTarget,
    /// What is pushed.
    pub expansion: Expansion,
    /// What was pushed, as the status says.
    pub known: Entries,
    /// Entries that lead elsewhere than what they have pushed. The next run pushes them.
    pub moving: Vec<PushData>,
}

impl Task {
    /// What is to be done at a store of an object that deletes what it does not push any more. The status has one entry for
    /// a place: where the entry leads to another namespace now, what it has pushed goes first.
    pub fn deleting(target: PushTarget, known: Entries, expansion: Expansion) -> Self {
        let mut task = Self { target, known, expansion, moving: vec![] };
        let rows = std::mem::take(&mut task.expansion.rows);
        let (moving, rows): (Vec<_>, _) = rows.into_iter().partition(|row| task.is_elsewhere(&row.entry));
        task.moving = moving.into_iter().map(|row| row.entry).collect();
        task.expansion.rows = rows;
        task
    }

    fn is_elsewhere(&self, entry: &PushData) -> bool {
        let known = self.known.get(&place(&entry.r#match.remote_ref));
        let leads = known.map(|known| (self.destination(known), self.destination(entry)));
        matches!(leads, Some((Ok(before), Ok(now))) if before != now)
    }

    /// Where an entry leads; its key, if the store cannot be reached or the entry is wrong.
    fn destination(&self, entry: &PushData) -> SecretPlace {
        let destination = self.target.plan.as_ref().ok().map(|plan| destination(plan, entry));
        destination.and_then(Result::ok).ok_or_else(|| entry.r#match.remote_ref.remote_key.clone())
    }

    /// The places that are pushed to, or would be if nothing failed.
    fn wanted(&self) -> BTreeSet<String> {
        let failed = self.expansion.failures.iter().filter_map(|(entry, _)| entry.as_ref());
        let rows = self.expansion.rows.iter().map(|row| &row.entry);
        rows.chain(failed).map(|entry| place(&entry.r#match.remote_ref)).collect()
    }

    /// What was pushed and still is to be.
    fn wanted_of_known(&self) -> Entries {
        let wanted = self.wanted();
        let known = self.known.iter().filter(|(place, _)| wanted.contains(*place));
        known.map(|(place, entry)| (place.clone(), entry.clone())).collect()
    }

    /// What was pushed and is not to be any more.
    pub fn obsolete(&self) -> Vec<&PushData> {
        let wanted = self.wanted();
        self.known.iter().filter(|(place, _)| !wanted.contains(*place)).map(|(_, entry)| entry).collect()
    }
}

/// What was done.
pub(super) struct Done {
    /// What is there of what was pushed, for the status.
    pub entries: Entries,
    /// Whether anything was written.
    pub changed: bool,
    /// Why no more can be done with the store.
    pub unusable: Option<Unusable>,
}

/// Why a store was not looked at.
pub(super) enum Skipped {
    /// Its server has enough of the workers for now, or is another one since.
    Yield(Lane),
}

/// A store that does not answer, or does not let the operator in: what else is to be done there fails as well.
pub(super) struct Unusable {
    why: String,
    retry_at: Option<Instant>,
    /// There is no login for it.
    pub is_login: bool,
}

impl Done {
    /// These entries stay recorded.
    pub fn keep(&mut self, entries: Vec<&PushData>) {
        self.entries.extend(entries.into_iter().map(entry_of));
    }

    /// When the store is tried again, if its login or its server says so.
    pub fn retry_at(&self) -> Option<Instant> {
        let at = self.unusable.as_ref()?.retry_at?;
        Some(at.max(Instant::now()) + spread(DEPENDENTS_SPREAD, &mut rand::rng()))
    }
}

impl PushSecrets {
    /// Pushes to a store. What fails is kept in the state.
    pub(super) async fn push_to(
        &self,
        job: &Job<Key>,
        object: &PushSecret,
        task: &Task,
        state: &mut TargetState,
        unrecorded: &mut SyncedPushSecrets,
        turn: &Turn,
    ) -> Result<Done, Skipped> {
        let Task { target, expansion, .. } = task;
        let unwritten = |place: &str, why: &str| {
            format!("could not write remote ref {place} to target secretstore {}: {why}", target.key.id.name)
        };
        // What cannot be pushed now was pushed before, and may still be there.
        let mut done = Done { entries: task.wanted_of_known(), changed: false, unusable: None };
        let Some(after) = state.pass.as_ref().filter(|pass| pass.step == Step::Push).map(|pass| pass.after.clone())
        else {
            return Ok(done);
        };
        if expansion.rows.is_empty() {
            state.enter(Step::Delete);
            return Ok(done);
        }
        let (session, mut provider) = match self.provider(job, target).await {
            Ok(found) => found,
            Err(NoSession::NoPermit(lane)) => return Err(Skipped::Yield(lane)),
            Err(NoSession::Unusable(why)) => {
                // The texts of a denial name the store.
                state.failures.push(why.clone());
                state.enter(Step::Delete);
                done.unusable = Some(Unusable { why, retry_at: None, is_login: true });
                return Ok(done);
            }
        };
        state.lane = lane(target, session.as_ref());
        state.session.clone_from(&session);
        let mut of_secrets = BTreeMap::<SecretPlace, Vec<&PushRow>>::new();
        for row in &expansion.rows {
            of_secrets.entry(task.destination(&row.entry)).or_default().push(row);
        }
        let only_new = object.spec.update_policy == Some(UpdatePolicy::IfNotExists);
        let rest = rest(&of_secrets, after.as_ref());
        let (mut seen, mut left) = (0, rest.clone().count());
        for (secret, rows) in rest {
            (seen, left) = (seen + 1, left - 1);
            match provider.write(rows, only_new).await {
                Ok(written) => {
                    done.changed |= written.changed;
                    for (row, result) in rows.iter().zip(written.rows) {
                        match result {
                            Ok(Pushed::Done) => {
                                let (place, entry) = entry_of(&row.entry);
                                if done.entries.get(&place) != Some(&entry) {
                                    let unrecorded = unrecorded.entry(target.name.clone()).or_default();
                                    unrecorded.insert(place.clone(), entry.clone());
                                }
                                done.entries.insert(place, entry);
                            }
                            // What was there before the first push is not the operator's to delete.
                            Ok(Pushed::Existed) => {}
                            Err(why) => {
                                let place = place(&row.entry.r#match.remote_ref);
                                state.failures.push(unwritten(&place, &why));
                            }
                        }
                    }
                }
                Err(error) => {
                    let mut why = error.to_string();
                    if rows.iter().any(|row| row.payload.is_quoted_in(&why)) {
                        "the server's answer quotes what was pushed, and is not shown".clone_into(&mut why);
                    }
                    let key = rows.first().map_or("", |row| row.entry.r#match.remote_ref.remote_key.as_str());
                    state.failures.push(unwritten(key, &why));
                    done.unusable = self.judge(target, session.as_ref(), error, why).await?;
                }
            }
            if done.unusable.is_some() {
                break;
            }
            if left > 0 && turn.is_over() {
                if let Some(pass) = &mut state.pass {
                    pass.pause(secret, seen, left);
                }
                return Ok(done);
            }
        }
        state.enter(Step::Delete);
        Ok(done)
    }

    /// Deletes in a store what is not pushed any more. `wanted` is what all stores are to have, `held` is what they have of it.
    /// True if something of it is left for the next run.
    pub(super) async fn delete_from(
        &self,
        job: &Job<Key>,
        task: &Task,
        (wanted, held): (&Places, &Places),
        state: &mut TargetState,
        done: &mut Done,
        turn: &Turn,
    ) -> Result<bool, Skipped> {
        let target = &task.target;
        let mut of_secrets = BTreeMap::<SecretPlace, Vec<&PushData>>::new();
        for entry in task.obsolete() {
            of_secrets.entry(task.destination(entry)).or_default().push(entry);
        }
        // Until it is deleted, or has a successor, it is recorded.
        let mut left: Vec<&PushData> = of_secrets.values().flatten().copied().collect();
        let mut open = None;
        let after = state.pass.as_ref().and_then(|pass| pass.after.clone());
        let rest = rest(&of_secrets, after.as_ref());
        let count = rest.clone().count();
        for (i, (destination, entries)) in rest.enumerate() {
            if i > 0 && turn.is_over() {
                // Those before are done with.
                if let (Some(pass), Some((before, _))) = (&mut state.pass, of_secrets.range(..destination).next_back())
                {
                    pass.pause(before, i, count - i);
                }
                done.keep(left);
                return Ok(true);
            }
            let key = entries.first().map_or("", |entry| entry.r#match.remote_ref.remote_key.as_str());
            let (gone, kept) = match destination {
                Ok(destination) => {
                    let goes = |entry: &&&PushData| wanted.fate(destination, entry) == Fate::Goes;
                    (entries.iter().filter(goes).copied().collect(), wanted.properties(destination))
                }
                // The store cannot be reached, or says what is wrong with the entry.
                Err(_) => (entries.clone(), BTreeSet::new()),
            };
            if !gone.is_empty() {
                if open.is_none() && done.unusable.is_none() {
                    match self.provider(job, target).await {
                        Ok(found) => open = Some(found),
                        Err(NoSession::NoPermit(lane)) => {
                            done.keep(left);
                            return Err(Skipped::Yield(lane));
                        }
                        Err(NoSession::Unusable(why)) => {
                            done.unusable = Some(Unusable { why, retry_at: None, is_login: true })
                        }
                    }
                }
                let why = match (&done.unusable, &mut open) {
                    (Some(unusable), _) => Some(unusable.why.clone()),
                    (None, None) => None,
                    (None, Some((session, provider))) => {
                        state.lane = lane(target, session.as_ref());
                        state.session.clone_from(session);
                        match provider.delete(&gone, &kept).await {
                            Ok(was_there) => {
                                done.changed |= was_there;
                                None
                            }
                            Err(error) => {
                                let why = error.to_string();
                                match self.judge(target, session.as_ref(), error, why.clone()).await {
                                    Ok(unusable) => done.unusable = unusable,
                                    Err(skipped) => {
                                        done.keep(left);
                                        return Err(skipped);
                                    }
                                }
                                Some(why)
                            }
                        }
                    }
                };
                if let Some(why) = why {
                    state.not_deleted.push(format!("{key} in {}: {why}", target.name));
                    continue;
                }
            }
            let Ok(destination) = destination else { continue };
            left.retain(|entry| !(entries.contains(entry) && wanted.is_replaced(held, destination, entry)));
        }
        let is_open = !left.is_empty();
        done.keep(left);
        state.enter(Step::Done);
        Ok(is_open)
    }

    async fn provider<'a>(
        &'a self,
        job: &Job<Key>,
        target: &'a PushTarget,
    ) -> Result<(Option<Arc<Session>>, Box<dyn Provider + 'a>), NoSession> {
        let plan = target.plan.as_ref().map_err(|denied| NoSession::Unusable(denied.to_string()))?;
        match &plan.source {
            StoreSource::Kubernetes(store) => {
                let mut cluster = self.access.cluster(job, store)?;
                cluster.other_namespaces = plan.key.kind == ClusterSecretStore::KIND;
                Ok((None, Box::new(cluster)))
            }
            StoreSource::Vault(store) => {
                let failed = |error| match error {
                    NoSession::Unusable(why) => NoSession::Unusable(format!(
                        "could not get secrets client for store {}: {why}",
                        target.key.id.name
                    )),
                    error => error,
                };
                let session = self.access.session(job, store).await.map_err(failed)?;
                let provider = VaultProvider {
                    store,
                    session: session.clone(),
                    cache: &self.access.vault.reads,
                    not_before: Instant::now(),
                    former: &self.no_reads,
                    in_use: ReadsInUse::default(),
                    known: Known::default(),
                };
                Ok((Some(session), Box::new(provider)))
            }
        }
    }

    /// Whether an error concerns all that is done with the store, and when that is tried again.
    async fn judge(
        &self,
        target: &PushTarget,
        session: Option<&Arc<Session>>,
        error: ProviderError,
        why: String,
    ) -> Result<Option<Unusable>, Skipped> {
        match (error, session) {
            (ProviderError::Cluster(error), _) => {
                let is_login = error.cause == ClusterFault::Login;
                let is_unusable = is_login || error.retry_at.is_some();
                Ok(is_unusable.then_some(Unusable { why, retry_at: error.retry_at, is_login }))
            }
            (ProviderError::Vault(error), Some(session)) => {
                let Ok(StorePlan { source: StoreSource::Vault(vault), .. }) = &target.plan else { return Ok(None) };
                match self.access.vault.on_error(&vault.login.connection, session, error).await {
                    Unanswered::OtherServer => Err(Skipped::Yield(session.server.id)),
                    Unanswered::Request(error) if !error.kind.concerns_server() => Ok(None),
                    Unanswered::Request(_) => Ok(Some(Unusable { why, retry_at: None, is_login: false })),
                    Unanswered::Login(_, retry_at) => Ok(Some(Unusable { why, retry_at, is_login: true })),
                }
            }
            _ => Ok(None),
        }
    }
}

/// An entry as it stands in the status.
pub(super) fn entry_of(entry: &PushData) -> (String, PushData) {
    (place(&entry.r#match.remote_ref), entry.clone())
}

/// The secrets that come after one of them.
fn rest<'a, T>(
    secrets: &'a BTreeMap<SecretPlace, T>,
    after: Option<&SecretPlace>,
) -> btree_map::Range<'a, SecretPlace, T> {
    secrets.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
}

fn lane(target: &PushTarget, session: Option<&Arc<Session>>) -> Option<Lane> {
    match (session, &target.plan) {
        (Some(session), _) => Some(session.server.id),
        (None, Ok(plan)) => match &plan.source {
            StoreSource::Kubernetes(store) => Some(providers::lane(store)),
            StoreSource::Vault(_) => None,
        },
        (None, Err(_)) => None,
    }
}
