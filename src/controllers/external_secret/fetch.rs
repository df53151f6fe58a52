//! What the stores hold for an ExternalSecret.

use std::sync::Arc;
use std::time::Instant;

use super::ExternalSecrets;
use super::failure::{Failure, Interruption};
use super::state::State;
use crate::api::external_secrets::ExternalSecret;
use crate::api::external_secrets::external_secret::ExternalSecretSpec;
use crate::api::external_secrets::target::DeletionPolicy;
use crate::api::{Key, Reason};
use crate::controllers::outputs::EventText;
use crate::controllers::store_access::{NoSession, StoreAccess, is_tls};
use crate::external_secret::Data;
use crate::external_secret::answers::{Answers, entry_failed, row_failed};
use crate::external_secret::pipeline::Missing;
use crate::providers::{Provider, ProviderError, ReadsInUse, VaultProvider};
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

impl ExternalSecrets {
    /// Reads everything that an object names, and puts it together. Answers to requests that began before `not_before` are
    /// too old.
    pub(super) async fn fetch(
        &self,
        job: &Job<Key>,
        object: &Arc<ExternalSecret>,
        plan: &ExternalPlan,
        state: &mut State,
        not_before: Instant,
    ) -> Result<Fetched, Interruption> {
        let mut sessions = vec![];
        for store in &plan.stores {
            sessions.push(match &store.source {
                StoreSource::Kubernetes(_) => None,
                StoreSource::Vault(vault) => match self.access.session(job, vault).await {
                    Ok(session) => Some(session),
                    Err(NoSession::NoPermit(lane)) => return Err(Interruption::Yield(Some(lane))),
                    Err(NoSession::Unusable(why)) => return Err(provider(&why).into()),
                },
            });
        }
        state.sessions = sessions.iter().flatten().cloned().collect();
        let former = std::mem::take(&mut state.reads);
        let reads = &mut state.reads;
        let mut run = Run { access: &self.access, plan, sessions, not_before, former: &former, reads };
        let answers = run.all(&object.spec).await?;
        let assembled = if object.spec.data_from.iter().any(|entry| !entry.rewrite.is_empty()) {
            let of = object.clone();
            let work = self.turn(object)?.run(move || answers.assemble(&of.spec)).await;
            work.ok_or_else(|| provider("a rewrite could not be run to its end"))?
        } else {
            answers.assemble(&object.spec)
        };
        let (data, missing) = assembled.map_err(|error| provider(&error.to_string()))?;
        let event = |missing: &Missing| EventText::normal(Reason::MissingProviderSecret, missing.to_string());
        Ok(Fetched { data, missing: missing.iter().map(event).collect() })
    }
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
    async fn all(&mut self, spec: &ExternalSecretSpec) -> Result<Answers, Interruption> {
        let mut answers = Answers::default();
        for (i, entry) in spec.data_from.iter().enumerate() {
            let store = self.plan.data_from[i];
            let found = match (&entry.extract, &entry.find) {
                (Some(extract), _) => self.provider(store).get_map(extract).await,
                (None, Some(find)) => self.provider(store).find(find).await,
                (None, None) => return Err(provider(&format!("spec.dataFrom[{i}] is empty")).into()),
            };
            answers.entries.push(self.settle(spec, store, found, |why| entry_failed(spec, i, why)).await?);
        }
        for (i, row) in spec.data.iter().enumerate() {
            let store = self.plan.data[i];
            let found = self.provider(store).get(&row.remote_ref).await;
            answers.rows.push(self.settle(spec, store, found, |why| row_failed(spec, i, why)).await?);
        }
        Ok(answers)
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

    /// What an answer means: data, nothing, or the end of the run.
    async fn settle<T>(
        &self,
        spec: &ExternalSecretSpec,
        store: usize,
        found: Result<T, ProviderError>,
        failed: impl Fn(String) -> String,
    ) -> Result<Option<T>, Interruption> {
        let error = match found {
            Ok(found) => return Ok(Some(found)),
            Err(error) => error,
        };
        let may_be_absent = matches!(spec.target.deletion_policy, Some(DeletionPolicy::Delete | DeletionPolicy::Merge));
        let failure = provider(&failed(error.to_string()));
        match error {
            ProviderError::NoSecret(_) if may_be_absent => Ok(None),
            ProviderError::Vault(error) => Err(self.vault_failed(store, failure, &error).await),
            _ => Err(failure.into()),
        }
    }

    async fn vault_failed(&self, store: usize, failure: Failure, error: &SessionError) -> Interruption {
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

/// The stores do not give the data.
pub(super) fn provider(why: &str) -> Failure {
    Failure::new(format!("could not get secret data from provider: {why}"))
}
