//! VaultStaticSecret: the data is that of a path of a KV engine.

use std::sync::Arc;
use std::time::Instant;

use super::pipeline::{Interruption, Obtained, Reading, SecretSource, read_failed};
use super::read_age::{OnChange, not_before};
use super::stores::Stores;
use crate::api::{Reason, VaultStaticSecret, VaultStaticSecretStatus};
use crate::backoff::horizon;
use crate::resolve::{self, Plan, PlanError, StaticRead};
use crate::vault::{self, ErrorKind, Read, SharedRead, Topic, VaultError};

/// Reads KV engines.
pub(super) struct StaticSecrets;

impl SecretSource for StaticSecrets {
    type Owner = VaultStaticSecret;
    type Plan = StaticRead;
    /// The read that objects with the same login and path share.
    type State = Option<Arc<SharedRead>>;

    const FINALIZER: &'static str = "vaultstaticsecret.secrets.hashicorp.com/finalizer";
    const INVALID: Reason = Reason::VaultStaticSecretError;

    fn resolve(object: &VaultStaticSecret, stores: &Stores) -> Result<Plan<StaticRead>, PlanError> {
        resolve::static_secret(object, stores)
    }

    async fn obtain(
        &self,
        reading: &Reading<'_, VaultStaticSecret>,
        plan: &Plan<StaticRead>,
        state: &mut Option<Arc<SharedRead>>,
    ) -> Result<Obtained, Interruption> {
        let Reading { job, session, vault, pending, .. } = *reading;
        let StaticRead { version, refresh, .. } = plan.source;
        let read = Read { namespace: plan.vault_namespace.clone(), path: plan.path.clone(), version };
        let shared = match state.take() {
            Some(shared) if *shared.read() == read => shared,
            _ => vault.reads.share(session.identity, read),
        };
        let shared = state.insert(shared);
        let started = Instant::now();
        let not_before = not_before(job, refresh, OnChange::Share);
        let not_before = pending.map_or(not_before, |pending| pending.since.max(not_before));
        let answer = shared.get(session, not_before, pending.and_then(|pending| pending.index.as_deref())).await;
        let failed = |error| read_failed(&with_hint(error, &plan.source));
        let (envelope, token) = reading.settle(&plan.auth, started, answer, failed).await?;
        let data = vault::kv::parse(&envelope, &plan.path, version).map_err(|error| read_failed(&error))?;
        Ok(Obtained::Data { data, token })
    }

    fn followed<'a>(plan: &'a Plan<StaticRead>, _: Option<&'a VaultStaticSecretStatus>) -> Option<(Topic, &'a str)> {
        Some((Topic::Kv, &plan.path))
    }

    fn next_due(&self, plan: &Plan<StaticRead>, state: &Option<Arc<SharedRead>>, now: Instant) -> Option<Instant> {
        let (interval, shared) = (plan.source.refresh?, state.as_ref()?);
        Some(shared.next_due(interval, now, horizon(interval, &mut rand::rng())))
    }
}

/// Adds what to look at to the error of a read.
fn with_hint(error: VaultError, read: &StaticRead) -> VaultError {
    let mut error = vault::kv::with_hint(error, read.version);
    if let (Some(data_in), ErrorKind::NotFound | ErrorKind::PermissionDenied) = (read.data_in, error.kind) {
        error.message += &format!("; {data_in}, which the operator adds for kv-v2: take it out");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_data_in_it_is_told_where_nothing_is_found_or_allowed() {
        let read = |data_in| StaticRead { version: Some(0), refresh: None, data_in };
        let text = |kind, data_in| {
            with_hint(VaultError::new(kind, "secret/data/data/a", "1 error"), &read(data_in)).to_string()
        };
        let data_in = Some("spec.path begins with data/");
        for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied] {
            let hint = "; spec.path begins with data/, which the operator adds for kv-v2: take it out";
            assert!(text(kind, data_in).ends_with(hint), "{}", text(kind, data_in));
            assert!(!text(kind, None).contains("take it out"));
        }
        assert!(!text(ErrorKind::Deleted, data_in).contains("take it out"), "the path is right");
    }
}
