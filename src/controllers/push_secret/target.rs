//! The work at one store: what is pushed there, and what is deleted.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Bound;
use std::time::Instant;

use super::PushSecrets;
use super::pass::{SecretPlace, Step, Turn};
use super::places::{Fate, Places};
use super::state::TargetState;
use super::task::{Done, Task, Unusable};
use crate::api::Key;
use crate::api::external_secrets::PushSecret;
use crate::api::external_secrets::push_secret::{PushData, SyncedPushSecrets, UpdatePolicy};
use crate::controllers::open_store::{OpenStore, VaultLogin};
use crate::controllers::store_access::NoSession;
use crate::controllers::vault_access::Unanswered;
use crate::external_secret::push::{PushRow, place};
use crate::providers::{ClusterFault, ProviderError};
use crate::resolve::{Denied, PushTarget};
use crate::workqueue::{Job, Lane};

/// The lane of a store that was not looked at: its server has enough of the workers for now, or is another one since.
pub(super) struct Busy(pub Lane);

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
    ) -> Result<Done, Busy> {
        let Task { target, expansion, .. } = task;
        // What cannot be pushed now was pushed before, and may still be there.
        let mut done = Done { entries: task.wanted_of_known(), ..Done::default() };
        let Some(pass) = state.pass.as_ref().filter(|pass| pass.step == Step::Push) else { return Ok(done) };
        let after = pass.after.clone();
        if expansion.rows.is_empty() {
            state.enter(Step::Delete);
            return Ok(done);
        }
        let mut store = match self.open(job, target).await {
            Ok(store) => store,
            Err(NoSession::NoPermit(lane)) => return Err(Busy(lane)),
            Err(NoSession::Unusable(why)) => {
                // The texts of a denial name the store.
                match &target.plan {
                    Err(Denied::Missing(_)) => state.missing = Some(why.clone()),
                    _ => state.failures.push(why.clone()),
                }
                state.enter(Step::Delete);
                done.unusable = Some(Unusable { why, retry_at: None, is_login: true });
                return Ok(done);
            }
        };
        state.opened(&store);
        let of_secrets = task.rows_of_secrets();
        let only_new = object.spec.update_policy == Some(UpdatePolicy::IfNotExists);
        let rest = rest(&of_secrets, after.as_ref());
        let (mut seen, mut left) = (0, rest.clone().count());
        for (secret, rows) in rest {
            (seen, left) = (seen + 1, left - 1);
            match store.provider.write(rows, only_new).await {
                Ok(written) => {
                    let failures = done.take_in(&target.name, rows, written, unrecorded);
                    state.failures.extend(failures.iter().map(|(place, why)| unwritten(target, place, why)));
                }
                Err(error) => {
                    let why = shown(&error, rows);
                    let key = rows.first().map_or("", |row| row.entry.r#match.remote_ref.remote_key.as_str());
                    state.failures.push(unwritten(target, key, &why));
                    done.unusable = self.judge(&store.login, error, why).await?;
                    if done.unusable.is_some() {
                        break;
                    }
                }
            }
            if left > 0 && turn.is_over() {
                state.pause(secret, seen, left);
                return Ok(done);
            }
        }
        if let (None, Some((vault, session))) = (&done.unusable, &store.login) {
            self.access.vault.logins.store(session, &vault.auth()).await;
        }
        state.enter(Step::Delete);
        Ok(done)
    }

    /// Deletes in a store what is not pushed any more. `wanted` is what all stores are to have, `held` is what they
    /// have of it. True if something of it is left for the next run.
    pub(super) async fn delete_from(
        &self,
        job: &Job<Key>,
        task: &Task,
        (wanted, held): (&Places, &Places),
        state: &mut TargetState,
        done: &mut Done,
        turn: &Turn,
    ) -> Result<bool, Busy> {
        let of_secrets = task.obsolete_of_secrets();
        // Until it is deleted, or has a successor, it is recorded.
        done.keep(task.obsolete());
        let mut store = None;
        let after = state.pass.as_ref().and_then(|pass| pass.after.clone());
        let rest = rest(&of_secrets, after.as_ref());
        let (mut seen, mut left) = (0, rest.clone().count());
        for (secret, entries) in rest {
            (seen, left) = (seen + 1, left - 1);
            let (gone, kept): (Vec<&PushData>, _) = match secret {
                Ok(destination) => {
                    let goes = |entry: &&&PushData| wanted.fate(destination, entry) == Fate::Goes;
                    (entries.iter().filter(goes).copied().collect(), wanted.properties(destination))
                }
                // The store cannot be reached, or says what is wrong with the entry.
                Err(_) => (entries.clone(), BTreeSet::new()),
            };
            let failed = if gone.is_empty() {
                None
            } else {
                self.delete_entries(job, task, &mut store, (&gone, &kept), state, done).await?
            };
            match (failed, secret) {
                (Some(why), _) => {
                    let key = entries.first().map_or("", |entry| entry.r#match.remote_ref.remote_key.as_str());
                    state.not_deleted.push(format!("{key} in {}: {why}", task.target.name));
                }
                (None, Ok(destination)) => {
                    for entry in entries.iter().filter(|entry| wanted.is_replaced(held, destination, entry)) {
                        done.entries.remove(&place(&entry.r#match.remote_ref));
                    }
                }
                (None, Err(_)) => {}
            }
            if left > 0 && turn.is_over() {
                state.pause(secret, seen, left);
                return Ok(true);
            }
        }
        state.enter(Step::Done);
        Ok(task.obsolete().iter().any(|entry| done.entries.contains_key(&place(&entry.r#match.remote_ref))))
    }

    /// Deletes entries of one secret, of which the properties in `kept` are pushed still. `store` is opened when it is
    /// needed first. Gives why they could not be deleted.
    async fn delete_entries<'a>(
        &'a self,
        job: &Job<Key>,
        task: &'a Task,
        store: &mut Option<OpenStore<'a>>,
        (entries, kept): (&[&PushData], &BTreeSet<String>),
        state: &mut TargetState,
        done: &mut Done,
    ) -> Result<Option<String>, Busy> {
        if let Some(unusable) = &done.unusable {
            return Ok(Some(unusable.why.clone()));
        }
        let store = match store {
            Some(store) => store,
            None => match self.open(job, &task.target).await {
                Ok(opened) => {
                    state.opened(&opened);
                    store.insert(opened)
                }
                Err(NoSession::NoPermit(lane)) => return Err(Busy(lane)),
                Err(NoSession::Unusable(why)) => {
                    done.unusable = Some(Unusable { why: why.clone(), retry_at: None, is_login: true });
                    return Ok(Some(why));
                }
            },
        };
        match store.provider.delete(entries, kept).await {
            Ok(was_there) => {
                done.changed |= was_there;
                Ok(None)
            }
            Err(error) => {
                let why = error.to_string();
                done.unusable = self.judge(&store.login, error, why.clone()).await?;
                Ok(Some(why))
            }
        }
    }

    async fn open<'a>(&'a self, job: &Job<Key>, target: &'a PushTarget) -> Result<OpenStore<'a>, NoSession> {
        let plan = target.plan.as_ref().map_err(|denied| NoSession::Unusable(denied.to_string()))?;
        let opened = self.access.open(job, plan, Instant::now(), &self.no_reads).await;
        opened.map_err(|error| match error {
            NoSession::Unusable(why) => {
                let name = &target.key.id.name;
                NoSession::Unusable(format!("could not get secrets client for store {name}: {why}"))
            }
            error => error,
        })
    }

    /// Whether an error concerns all that is done with the store, and when that is tried again.
    async fn judge(
        &self,
        login: &Option<VaultLogin<'_>>,
        error: ProviderError,
        why: String,
    ) -> Result<Option<Unusable>, Busy> {
        match (error, login) {
            (ProviderError::Cluster(error), _) => {
                let is_login = error.cause == ClusterFault::Login;
                let is_unusable = is_login || error.retry_at.is_some();
                Ok(is_unusable.then_some(Unusable { why, retry_at: error.retry_at, is_login }))
            }
            (ProviderError::Vault(error), Some((vault, session))) => {
                match self.access.vault.on_error(&vault.login.connection, session, error).await {
                    Unanswered::OtherServer => Err(Busy(session.server.id)),
                    Unanswered::Request(error) if !error.kind.concerns_server() => Ok(None),
                    Unanswered::Request(_) => Ok(Some(Unusable { why, retry_at: None, is_login: false })),
                    Unanswered::Login(_, retry_at) => Ok(Some(Unusable { why, retry_at, is_login: true })),
                }
            }
            _ => Ok(None),
        }
    }
}

/// The secrets that come after one of them.
fn rest<'a, T>(
    secrets: &'a BTreeMap<SecretPlace, T>,
    after: Option<&SecretPlace>,
) -> btree_map::Range<'a, SecretPlace, T> {
    secrets.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded))
}

/// ESO's text.
fn unwritten(target: &PushTarget, place: &str, why: &str) -> String {
    format!("could not write remote ref {place} to target secretstore {}: {why}", target.key.id.name)
}

/// An error of a write, as it may be shown.
fn shown(error: &ProviderError, rows: &[&PushRow]) -> String {
    let why = error.to_string();
    if rows.iter().any(|row| row.payload.is_quoted_in(&why)) {
        return "the server's answer quotes what was pushed, and is not shown".to_owned();
    }
    why
}
