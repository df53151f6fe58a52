//! VaultDynamicSecret: the data is credentials that Vault makes for one user, with a lease, or static credentials that
//! Vault rotates.
//!
//! Obtaining them has a cost: each time Vault makes another user. So a run first decides ([`decide`]) whether the
//! credentials in the Secret are good, their lease is renewed, or others take their place. The ID of a new lease is in
//! the status before the credentials are in the Secret, so that a crash in between leaves no lease behind.

mod decide;
mod lease;
mod renew;
mod replace;
mod report;
mod retire;
mod rotation;
mod schedule;
mod state;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Instant;

use super::outputs::EventText;
use super::pipeline::{
    CleanUpError, Failure, Interruption, Lifetime, Obtained, Reading, Report, SecretSource, cache_key,
};
use super::stores::Stores;
use crate::api::dynamic_secret::PendingLease;
use crate::api::{
    ConditionType, ConditionUpdate, LAST_APPLIED, Reason, SecretOwner, VaultDynamicSecret, VaultDynamicSecretStatus,
    condition,
};
use crate::resolve::{self, AuthPlan, DynamicRead, Plan, PlanError};
use crate::sync::HeldSecret;
use crate::vault::{Session, Topic};

use decide::{Cause, Situation, Step, TokenRelation, Told, decide};
use lease::{not_revoked, revoke};
use renew::{Renewer, without_login};
use replace::{give_back, replace};
use report::{record_token_end, written_event};
use schedule::MARGIN_PART;
use state::{Credentials, NewCredentials};

/// Asks Vault for credentials, and keeps their leases.
pub(super) struct DynamicSecrets {
    /// UID of the operator's pod, for the status.
    pub pod_uid: Option<String>,
}

impl SecretSource for DynamicSecrets {
    type Owner = VaultDynamicSecret;
    type Plan = DynamicRead;
    type State = Credentials;

    const FINALIZER: &'static str = "vaultdynamicsecret.secrets.hashicorp.com/finalizer";
    const INVALID: Reason = Reason::InvalidConfiguration;
    const LOOKS_FIRST: bool = true;

    fn resolve(object: &VaultDynamicSecret, stores: &Stores) -> Result<Plan<DynamicRead>, PlanError> {
        resolve::dynamic_secret(object, stores)
    }

    fn needs_finalizer(object: &VaultDynamicSecret) -> bool {
        object.spec.revoke
    }

    async fn obtain(
        &self,
        reading: &Reading<'_, VaultDynamicSecret>,
        plan: &Plan<DynamicRead>,
        state: &mut Credentials,
    ) -> Result<Obtained, Interruption> {
        let Reading { object, session, held, .. } = *reading;
        let nothing = VaultDynamicSecretStatus::default();
        let status = object.status.as_ref().unwrap_or(&nothing);
        let fingerprint = fingerprint(object, plan);
        // What an earlier run has not put into the Secret for certain stands in the status.
        state.obtained = None;
        state.vault_namespace.clone_from(&plan.vault_namespace);
        state.forced |= state.fingerprint.is_some_and(|known| known != fingerprint);
        state.fingerprint = Some(fingerprint);
        let (percent, namespace) = (plan.source.renewal_percent, &plan.vault_namespace);
        state.set_times(status, percent, plan.source.refresh);
        let renewer = Renewer { session, vault_namespace: namespace, percent, may_log_in: true };
        if let Some(pending) = &status.pending_lease {
            if held.is_some_and(|held| *held.applied.mac == *pending.secret_mac) {
                // An earlier run has written them. If the spec is another since, that run's generation is what is
                // applied.
                state.obtained = Some(pending.into());
                return Ok(Obtained::Kept { unfinished: true });
            }
            if let Err(interruption) = give_back(session, plan, &pending.lease, state).await {
                renewer.hold(status, state).await;
                return Err(interruption);
            }
            state.pending_done = true;
        }
        let token = match session.token_in_use().await {
            Ok(token) => token,
            Err(error) => return without_login(session, error, reading, status, state).await,
        };
        let key = cache_key(&plan.auth, &plan.vault_namespace, &token.info);
        let reconfigured = status.vault_client_meta.cache_key.is_some() && key != status.vault_client_meta.cache_key;
        let relation = state.relate(status, &token, reconfigured);
        if reconfigured && relation != TokenRelation::Reconfigured {
            // The login is the one that gave the lease. A process that has another one later compares with the status.
            state.cache_key = key;
        }
        if retires(object) {
            // Restarts may be to come, or have failed.
            let restarted = reading.are_restarts_done();
            state.retirement.look(reading.outputs, object, restarted, status, session, namespace).await;
        } else {
            state.retirement.give_up(status);
        }
        if state.failing.as_ref().is_some_and(|failing| failing.login) {
            (state.failing, state.login_recovered) = (None, true);
        }
        let told = told(reading, plan, status);
        let step = decide(&situation(object, status, held, state, relation, told));
        let cause = match step {
            Step::Keep => None,
            Step::Renew => renewer.renew(status, state).await,
            Step::Replace(cause) => Some(cause),
        };
        match cause {
            None => {
                // The event was about other credentials than those that there are.
                reading.acknowledge();
                Ok(Obtained::Kept { unfinished: false })
            }
            Some(cause) => {
                if cause == Cause::InexistentDestination
                    && let Some(at) = state.drift.wait_until(Instant::now())
                {
                    // Workloads may still use what was in the Secret.
                    renewer.hold(status, state).await;
                    let now = Instant::now();
                    let at = state.lease_due().filter(|due| *due > now).map_or(at, |due| due.min(at));
                    return Err(Interruption::Later(at.saturating_duration_since(now)));
                }
                let replaced = replace(reading, plan, status, state, cause).await;
                if replaced.is_err() && step != Step::Renew {
                    renewer.hold(status, state).await;
                }
                replaced
            }
        }
    }

    fn announce(&self, state: &Credentials, mac: &str, status: &mut VaultDynamicSecretStatus) {
        let Some(new) = state.obtained.as_ref().filter(|new| new.has_lease_of_its_own()) else { return };
        status.pending_lease = Some(PendingLease {
            lease: new.lease.clone(),
            generation: new.generation,
            obtained: new.obtained,
            secret_mac: mac.to_owned(),
            client_id: new.client_id.clone(),
            vault_token_expiration: new.token_expiration,
        });
    }

    async fn discard(&self, session: &Arc<Session>, plan: &Plan<DynamicRead>, state: &mut Credentials) {
        let Some(new) = state.obtained.take().filter(NewCredentials::has_lease_of_its_own) else { return };
        if give_back(session, plan, &new.lease, state).await.is_err() {
            tracing::warn!("the lease of credentials that are not needed could not be revoked; it ends by itself");
        }
    }

    const HOLDS: bool = true;

    async fn hold(
        &self,
        object: &VaultDynamicSecret,
        session: &Arc<Session>,
        auth: Option<&AuthPlan>,
        state: &mut Credentials,
    ) {
        let Some(status) = object.status.as_ref().filter(|status| !status.secret_lease.id.is_empty()) else { return };
        if let Some(auth) = auth {
            state.vault_namespace = resolve::vault_namespace(object.spec.namespace.as_deref(), auth);
        }
        let percent = resolve::renewal_percent(&object.spec);
        state.set_times(status, percent, None);
        let vault_namespace = state.vault_namespace.clone();
        let renewer = Renewer { session, vault_namespace: &vault_namespace, percent, may_log_in: auth.is_some() };
        renewer.hold(status, state).await;
    }

    fn hold_due(&self, state: &Credentials) -> Option<Instant> {
        state.lease_due()
    }

    fn report_failure(
        &self,
        object: &VaultDynamicSecret,
        _: &Failure,
        state: &mut Credentials,
        status: &mut VaultDynamicSecretStatus,
    ) -> Report {
        let mut report = Report::default();
        (report.conditions, report.events) = state.retirement.report(status);
        report.events.append(&mut state.unrevoked);
        self.report_lease(object, state, status, &mut report);
        report
    }

    fn report(
        &self,
        object: &VaultDynamicSecret,
        plan: &Plan<DynamicRead>,
        state: &mut Credentials,
        wrote: bool,
        status: &mut VaultDynamicSecretStatus,
    ) -> Report {
        let mut report = Report::default();
        (report.conditions, report.events) = state.retirement.report(status);
        report.events.append(&mut state.unrevoked);
        report.remarks.extend(plan.source.remarks.iter().map(|remark| (*remark).into()));
        if std::mem::take(&mut state.pending_done) {
            status.pending_lease = None;
        }
        if let Some(key) = state.cache_key.take() {
            status.vault_client_meta.cache_key = Some(key);
        }
        let new = state.obtained.take();
        if let Some(new) = &new {
            (state.failing, state.synced) = (None, Some((new.generation, new.obtained)));
        }
        self.report_lease(object, state, status, &mut report);
        if let Some(new) = new {
            if new.generation != object.generation() {
                report.generation = Some(new.generation);
            }
            let cause = new.cause;
            self.report_new(object, plan, state, wrote, status, new);
            report.written = Some(written_event(status, cause, state));
            if condition::is_false(object.owner_conditions(), ConditionType::LeaseRenewal) {
                let (reason, text) = (Reason::SecretLeaseRenewal, "New credentials were obtained");
                report.conditions.push(ConditionUpdate::holds(ConditionType::LeaseRenewal, reason, text));
            }
        }
        if status.static_creds_meta_data.is_none() && state.times.is_none() {
            let remark =
                "the answer has no lease that ends and spec.refreshAfter is not set, so it is not asked for again";
            report.remarks.push(remark.into());
        }
        record_token_end(state, status);
        report
    }

    fn next_due(&self, _plan: &Plan<DynamicRead>, state: &Credentials, _now: Instant) -> Option<Instant> {
        state.next_due()
    }

    async fn clean_up(
        &self,
        object: &VaultDynamicSecret,
        plan: Option<&Plan<DynamicRead>>,
        session: &Arc<Session>,
    ) -> Result<Option<EventText>, CleanUpError> {
        let Some(status) = &object.status else { return Ok(None) };
        let pending = status.pending_lease.iter().map(|pending| &pending.lease);
        let leases = [&status.secret_lease].into_iter().chain(pending).map(|lease| (&lease.id, &lease.namespace));
        let replaced = status.replaced_leases.iter().map(|replaced| (&replaced.id, &replaced.namespace));
        let own = || resolve::own_namespace(object.spec.namespace.as_deref());
        let now = plan.map_or_else(own, |plan| plan.vault_namespace.as_str());
        let (mut revoked, mut left, mut may_pass) = (vec![], None, false);
        for (id, namespace) in leases.chain(replaced).filter(|(id, _)| !id.is_empty()) {
            match revoke(session, namespace.as_deref(), now, id, plan.is_some()).await {
                Ok(()) => revoked.push(id.as_str()),
                Err((error, passes)) => {
                    left.get_or_insert_with(|| not_revoked(id, &error));
                    may_pass |= passes;
                }
            }
        }
        if let Some(event) = left {
            return Err(CleanUpError { event, may_pass });
        }
        let event = || EventText::normal(Reason::SecretLeaseRevoke, format!("Lease revoked: {}", revoked.join(", ")));
        Ok((!revoked.is_empty()).then(event))
    }

    fn not_cleaned_up(object: &VaultDynamicSecret, why: &str) -> EventText {
        not_revoked(object.status.as_ref().map_or("", |status| status.secret_lease.id.as_str()), why)
    }

    fn followed<'a>(
        plan: &'a Plan<DynamicRead>,
        status: Option<&'a VaultDynamicSecretStatus>,
    ) -> Option<(Topic, &'a str)> {
        Some(if plan.source.static_credentials {
            (Topic::Database, &plan.path)
        } else {
            (Topic::Leases, status.map_or("", |status| &status.secret_lease.id))
        })
    }

    fn lifetime(object: &VaultDynamicSecret) -> Option<Lifetime> {
        // KV engines of version 1 tell a duration, and have no leases.
        let leased =
            |status: &&VaultDynamicSecretStatus| !status.secret_lease.id.is_empty() && status.secret_lease.duration > 0;
        let status = object.status.as_ref().filter(leased)?;
        let (renewed, duration) = (status.last_renewal_time, status.secret_lease.duration);
        let renew_by = renewed.saturating_add(duration - duration / i64::from(MARGIN_PART));
        Some(Lifetime { ends: renewed.saturating_add(duration), renew_by })
    }
}

/// Whether leases of an object that were replaced are revoked.
fn retires(object: &VaultDynamicSecret) -> bool {
    object.spec.revoke_replaced_leases && !object.restart_targets().is_empty()
}

/// What an event has told of the credentials. Others than static ones are not obtained because of a write: each time
/// costs credentials.
fn told(
    reading: &Reading<'_, VaultDynamicSecret>,
    plan: &Plan<DynamicRead>,
    status: &VaultDynamicSecretStatus,
) -> Option<Told> {
    reading.pending?;
    let leased = !status.secret_lease.id.is_empty();
    if plan.source.static_credentials {
        status.static_creds_meta_data.is_some().then_some(Told::Written)
    } else {
        leased.then_some(Told::LeaseEnded)
    }
}

fn situation<'a>(
    object: &VaultDynamicSecret,
    status: &'a VaultDynamicSecretStatus,
    held: Option<&HeldSecret>,
    state: &Credentials,
    token: TokenRelation,
    told: Option<Told>,
) -> Situation<'a> {
    let (times, now) = (state.lease_times(), Instant::now());
    // What has no lease costs nothing to obtain again.
    let drifted = status.secret_lease.id.is_empty() && held.is_some_and(HeldSecret::has_other_content);
    Situation {
        status,
        applied: state.applied_generation(object, status),
        generation: object.generation(),
        exists: held.is_some(),
        forced: state.forced,
        token,
        lease_ended: told == Some(Told::LeaseEnded),
        now,
        due: if drifted || told == Some(Told::Written) {
            Some(now)
        } else if status.static_creds_meta_data.is_some() {
            // Nothing tells of the rotations while no operator ran.
            Some(state.look.map_or(now, |(at, _)| at))
        } else {
            times.map(|times| times.due)
        },
        replace_by: times.map(|times| times.replace_by),
        retry: state.failing.as_ref().map(|failing| failing.retry),
    }
}

/// Changes when VSO asks for new credentials though the spec did not change.
fn fingerprint(object: &VaultDynamicSecret, plan: &Plan<DynamicRead>) -> u64 {
    let mut hash = DefaultHasher::new();
    object.metadata.labels.hash(&mut hash);
    let annotations = object.metadata.annotations.iter().flatten();
    annotations.filter(|(name, _)| *name != LAST_APPLIED).for_each(|annotation| annotation.hash(&mut hash));
    plan.transformation.hash(&mut hash);
    hash.finish()
}
