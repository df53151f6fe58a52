//! What the stores hold for an ExternalSecret.

use std::sync::Arc;
use std::time::Instant;

use super::failure::{Failure, Interruption};
use super::state::State;
use crate::api::external_secrets::ExternalSecret;
use crate::api::external_secrets::external_secret::ExternalSecretSpec;
use crate::api::external_secrets::target::DeletionPolicy;
use crate::api::{Key, Reason};
use crate::controllers::outputs::EventText;
use crate::controllers::store_access::{NoSession, StoreAccess, is_tls};
use crate::external_secret::{Data, pipeline};
use crate::providers::{ClusterProvider, Provider, ProviderError, ReadsInUse, VaultProvider};
use crate::resolve::{ExternalPlan, StoreSource};
use crate::vault::{Session, SessionError};
use crate::workqueue::Job;

/// What was read.
pub(super) struct Fetched {
    /// By key of the Secret.
    pub data: Data,
    /// What the stores do not hold.
    pub missing: Vec<EventText>,
}

/// Reads everything that an ExternalSecret names. Answers to requests that began before `not_before` are too old.
pub(super) async fn fetch(
    access: &StoreAccess,
    job: &Job<Key>,
    object: &ExternalSecret,
    plan: &ExternalPlan,
    state: &mut State,
    not_before: Instant,
) -> Result<Fetched, Interruption> {
    let mut sessions = vec![];
    for store in &plan.stores {
        sessions.push(match &store.source {
            StoreSource::Kubernetes(_) => None,
            StoreSource::Vault(vault) => match access.session(job, vault).await {
                Ok(session) => Some(session),
                Err(NoSession::NoPermit(lane)) => return Err(Interruption::Yield(Some(lane))),
                Err(NoSession::Unusable(why)) => return Err(provider(why).into()),
            },
        });
    }
    state.sessions = sessions.iter().flatten().cloned().collect();
    let former = std::mem::take(&mut state.reads);
    let mut reads = ReadsInUse::default();
    let mut run = Run { access, plan, sessions, not_before, former: &former, reads: &mut reads };
    let fetched = run.all(&object.spec).await;
    state.reads = reads;
    fetched
}

struct Run<'a> {
    access: &'a StoreAccess,
    plan: &'a ExternalPlan,
    /// Of each store.
    sessions: Vec<Option<Arc<Session>>>,
    not_before: Instant,
    former: &'a ReadsInUse,
    reads: &'a mut ReadsInUse,
}

impl Run<'_> {
    async fn all(&mut self, spec: &ExternalSecretSpec) -> Result<Fetched, Interruption> {
        let mut fetched = Fetched { data: Data::new(), missing: vec![] };
        let retains = matches!(spec.target.deletion_policy, None | Some(DeletionPolicy::Retain));
        for (i, entry) in spec.data_from.iter().enumerate() {
            let place = format!("spec.dataFrom[{i}]");
            let store = self.plan.data_from[i];
            let (what, found) = match (&entry.extract, &entry.find) {
                (Some(extract), _) => ("extract", self.provider(store).get_map(extract).await),
                (None, Some(find)) => ("find", self.provider(store).find(find).await),
                (None, None) => return Err(provider(format!("{place} has neither extract nor find")).into()),
            };
            let place = format!("{place}.{what}");
            match self.settle(store, &place, found, retains).await? {
                Ok(data) => {
                    let data = pipeline::data_from(entry, data).map_err(|why| failed(&place, &why.to_string()))?;
                    fetched.data.extend(data);
                }
                Err(missing) => fetched.missing.push(missing),
            }
        }
        for (i, row) in spec.data.iter().enumerate() {
            let place = format!("spec.data[{i}] (key: {})", row.remote_ref.key);
            let store = self.plan.data[i];
            let found = self.provider(store).get(&row.remote_ref).await;
            match self.settle(store, &place, found, retains).await? {
                Ok(value) => {
                    let value = pipeline::data_row(row, value).map_err(|why| failed(&place, &why.to_string()))?;
                    fetched.data.insert(row.secret_key.clone(), value);
                }
                Err(missing) => fetched.missing.push(missing),
            }
        }
        Ok(fetched)
    }

    fn provider(&mut self, store: usize) -> Box<dyn Provider + '_> {
        match (&self.plan.stores[store].source, &self.sessions[store]) {
            (StoreSource::Vault(store), Some(session)) => Box::new(VaultProvider {
                store,
                session: session.clone(),
                reads: &self.access.vault.reads,
                not_before: self.not_before,
                former: self.former,
                in_use: self.reads,
            }),
            (StoreSource::Kubernetes(store), _) => Box::new(self.access.cluster(store)),
            (StoreSource::Vault(_), None) => unreachable!("each Vault has a session"),
        }
    }

    /// What an answer means: data, a remark that there is none, or the end of the run.
    async fn settle<T>(
        &self,
        store: usize,
        place: &str,
        found: Result<T, ProviderError>,
        retains: bool,
    ) -> Result<Result<T, EventText>, Interruption> {
        let error = match found {
            Ok(found) => return Ok(Ok(found)),
            Err(error) => error,
        };
        match error {
            ProviderError::NoSecret(why) if !retains => {
                let text = format!("{place}: {why}");
                Ok(Err(EventText::normal(Reason::MissingProviderSecret, text)))
            }
            ProviderError::Vault(error) => Err(self.vault_failed(store, place, &error).await),
            error => Err(failed(place, &error.to_string()).into()),
        }
    }

    async fn vault_failed(&self, store: usize, place: &str, error: &SessionError) -> Interruption {
        let failure = failed(place, &error.to_string());
        let (StoreSource::Vault(vault), Some(session)) = (&self.plan.stores[store].source, &self.sessions[store])
        else {
            return failure.into();
        };
        if is_tls(error) && self.access.vault.on_untrusted_certificate(&vault.login.connection, session.server.id).await
        {
            return Interruption::Yield(Some(session.server.id));
        }
        if matches!(error, SessionError::Request(_)) {
            return failure.into();
        }
        // All objects that wait for the login are due with its next attempt.
        match session.next_login().await {
            Some(at) => failure.again_at(at).into(),
            None => failure.into(),
        }
    }
}

fn failed(place: &str, why: &str) -> Failure {
    provider(format!("error processing {place}, err: {why}"))
}

/// The stores do not give the data.
pub(super) fn provider(why: String) -> Failure {
    Failure::new(format!("could not get secret data from provider: {why}"))
}
