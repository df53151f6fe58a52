//! One store: what is pushed there, and what is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::PushSecrets;
use super::state::TargetState;
use crate::api::CustomObject as _;
use crate::api::Key;
use crate::api::external_secrets::push_secret::{PushData, UpdatePolicy};
use crate::api::external_secrets::{ClusterSecretStore, PushSecret};
use crate::backoff::spread;
use crate::controllers::dependents::DEPENDENTS_SPREAD;
use crate::controllers::store_access::NoSession;
use crate::controllers::vault_access::Unanswered;
use crate::external_secret::push::{Expansion, PushRow, Pushed, place};
use crate::providers::{self, Known, Provider, ProviderError, ReadsInUse, VaultProvider};
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
}

/// What was done.
pub(super) struct Done {
    /// What is there of what was pushed, for the status.
    pub entries: Entries,
    /// Whether anything was written.
    pub changed: bool,
}

/// Why a store was not looked at.
pub(super) enum Skipped {
    /// Its server has enough of the workers for now, or is another one since.
    Yield(Lane),
}

/// A store that does not answer, or does not let the operator in: what else is to be done there fails as well.
struct Unusable {
    why: String,
    retry_at: Option<Instant>,
}

impl PushSecrets {
    /// Pushes to a store, and deletes there what is not pushed any more. What fails is kept in the state.
    pub(super) async fn run_task(
        &self,
        job: &Job<Key>,
        object: &PushSecret,
        task: &Task,
        state: &mut TargetState,
    ) -> Result<Done, Skipped> {
        let Task { target, expansion, known } = task;
        (state.failures, state.not_deleted) = Default::default();
        let unwritten = |place: &str, why: &str| {
            format!("could not write remote ref {place} to target secretstore {}: {why}", target.key.id.name)
        };
        let mut done = Done { entries: Entries::new(), changed: false };
        let mut wanted = BTreeSet::new();
        for (place, why) in &expansion.failures {
            state.failures.push(why.clone());
            wanted.extend(place.clone());
        }
        let is_all_known = expansion.failures.iter().all(|(place, _)| place.is_some());
        wanted.extend(expansion.rows.iter().map(|row| place(&row.entry.r#match.remote_ref)));
        // What cannot be pushed now was pushed before, and may still be there.
        done.entries.extend(
            known
                .iter()
                .filter(|(place, _)| !is_all_known || wanted.contains(*place))
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        let obsolete: Vec<&PushData> = match object.deletes() && is_all_known {
            true => known.iter().filter(|(place, _)| !wanted.contains(*place)).map(|(_, entry)| entry).collect(),
            false => vec![],
        };
        if expansion.rows.is_empty() && obsolete.is_empty() {
            return Ok(done);
        }
        let (session, mut provider) = match self.provider(job, target).await {
            Ok(found) => found,
            Err(NoSession::NoPermit(lane)) => return Err(Skipped::Yield(lane)),
            Err(NoSession::Unusable(why)) => {
                // The texts of a denial name the store.
                match expansion.rows.is_empty() {
                    true => state.not_deleted.push(why),
                    false => state.failures.push(why),
                }
                done.entries.extend(obsolete.iter().map(|entry| entry_of(entry)));
                return Ok(done);
            }
        };
        state.lane = lane(target, session.as_ref());
        state.session.clone_from(&session);
        let mut unusable: Option<Unusable> = None;
        let mut of_keys = BTreeMap::<&str, Vec<&PushRow>>::new();
        for row in &expansion.rows {
            of_keys.entry(&row.entry.r#match.remote_ref.remote_key).or_default().push(row);
        }
        let only_new = object.spec.update_policy == Some(UpdatePolicy::IfNotExists);
        for (key, rows) in of_keys {
            if unusable.is_some() {
                break;
            }
            match provider.write(&rows, only_new).await {
                Ok(written) => {
                    done.changed |= written.changed;
                    for (row, result) in rows.iter().zip(written.rows) {
                        match result {
                            Ok(Pushed::Done) => done.entries.extend([entry_of(&row.entry)]),
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
                    state.failures.push(unwritten(key, &why));
                    unusable = self.judge(target, session.as_ref(), error, why).await?;
                }
            }
        }
        let mut obsolete_of_keys = BTreeMap::<&str, Vec<&PushData>>::new();
        for entry in obsolete {
            obsolete_of_keys.entry(&entry.r#match.remote_ref.remote_key).or_default().push(entry);
        }
        for (key, entries) in obsolete_of_keys {
            let why = match &unusable {
                Some(unusable) => unusable.why.clone(),
                None => match provider.delete(&entries).await {
                    Ok(was_there) => {
                        done.changed |= was_there;
                        continue;
                    }
                    Err(error) => {
                        let why = error.to_string();
                        unusable = self.judge(target, session.as_ref(), error, why.clone()).await?;
                        why
                    }
                },
            };
            state.not_deleted.push(format!("{key} in {}: {why}", target.name));
            done.entries.extend(entries.iter().map(|entry| entry_of(entry)));
        }
        if let Some(at) = unusable.and_then(|unusable| unusable.retry_at) {
            state.due = Some(at.max(Instant::now()) + spread(DEPENDENTS_SPREAD, &mut rand::rng()));
        } else {
            state.due = None;
        }
        Ok(done)
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
            (ProviderError::Cluster(error), _) => Ok(error.retry_at.map(|at| Unusable { why, retry_at: Some(at) })),
            (ProviderError::Vault(error), Some(session)) => {
                let Ok(StorePlan { source: StoreSource::Vault(vault), .. }) = &target.plan else { return Ok(None) };
                match self.access.vault.on_error(&vault.login.connection, session, error).await {
                    Unanswered::OtherServer => Err(Skipped::Yield(session.server.id)),
                    Unanswered::Request(error) if !error.kind.concerns_server() => Ok(None),
                    Unanswered::Request(_) => Ok(Some(Unusable { why, retry_at: None })),
                    Unanswered::Login(_, retry_at) => Ok(Some(Unusable { why, retry_at })),
                }
            }
            _ => Ok(None),
        }
    }
}

fn entry_of(entry: &PushData) -> (String, PushData) {
    (place(&entry.r#match.remote_ref), entry.clone())
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
