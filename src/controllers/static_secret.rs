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
    let error = vault::kv::with_hint(error, read.version);
    match (read.superfluous, error.kind) {
        (Some(hint), ErrorKind::NotFound | ErrorKind::PermissionDenied) => error.hinted(hint),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_superfluous_in_a_path_is_told_where_nothing_is_found_or_allowed() {
        let read = |superfluous| StaticRead { version: Some(0), refresh: None, superfluous };
        let text = |kind, superfluous| {
            with_hint(VaultError::new(kind, "secret/data/data/a", "1 error"), &read(superfluous)).to_string()
        };
        let hint = Some("spec.path begins with data/: take it out");
        for kind in [ErrorKind::NotFound, ErrorKind::PermissionDenied] {
            assert!(text(kind, hint).ends_with("; spec.path begins with data/: take it out"), "{}", text(kind, hint));
            assert!(!text(kind, None).contains("take it out"));
        }
        assert!(!text(ErrorKind::Deleted, hint).contains("take it out"), "the path is right");
    }
}
