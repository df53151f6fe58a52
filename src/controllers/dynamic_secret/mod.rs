//! VaultDynamicSecret: the data is credentials that Vault makes for one user, with a lease, or static credentials that Vault
//! rotates.
//!
//! Obtaining them has a cost: each time Vault makes another user. So a run first decides ([`decide`]) whether the credentials in
//! the Secret are good, their lease is renewed, or others take their place. The ID of a new lease is in the status before the
//! credentials are in the Secret, so that a crash in between leaves no lease behind.

mod decide;
mod lease;
mod retire;
mod rotation;
mod schedule;
mod state;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::outputs::EventText;
use super::pipeline::{
    CleanUpError, Failure, Interruption, Lifetime, Obtained, Reading, Report, SecretSource, cache_key, login_failed,
    read_failed,
};
use super::stores::Stores;
use crate::api::dynamic_secret::{PendingLease, SecretLease};
use crate::api::{
    ConditionType, ConditionUpdate, LAST_APPLIED, Reason, SecretOwner, VaultDynamicSecret, VaultDynamicSecretStatus,
    condition,
};
use crate::backoff::Policy;
use crate::render::SourceData;
use crate::resolve::{self, DynamicRead, Plan, PlanError};
use crate::sync::HeldSecret;
use crate::vault::{Envelope, ErrorKind, Read, Session, SessionError, TokenInfo, VaultError};

use decide::{Cause, Situation, Step, TokenRelation, decide};
use lease::{Renewal, lease_of, renew, revoke};
use rotation::{is_same_rotation, next_look, rotation_of};
use schedule::LeaseTimes;
use state::{Credentials, Failing, NewCredentials, unix_time};

/// Pauses after renewals that fail.
const RENEWAL_BACKOFF: Policy = Policy {
    initial: Duration::from_secs(1),
    max: Duration::from_secs(30),
    multiplier: 2.0,
    randomization: 0.2,
    max_elapsed: Duration::ZERO,
};
/// A lease that is not needed is revoked within this time, or left to the next run.
const REVOCATION_TIMEOUT: Duration = Duration::from_secs(10);

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
        state.forced |= state.fingerprint.is_some_and(|known| known != fingerprint);
        state.fingerprint = Some(fingerprint);
        if let Some(pending) = &status.pending_lease {
            if held.is_some_and(|held| held.applied.mac == pending.secret_mac) {
                // An earlier run has written them. If the spec is another since, that run's generation is what is applied.
                state.obtained = Some(pending.into());
                return Ok(Obtained::Kept { unfinished: true });
            }
            give_back(session, plan, &pending.lease).await?;
            state.pending_done = true;
        }
        state.set_times(status, plan.source.renewal_percent, plan.source.refresh);
        let token = match session.token_in_use().await {
            Ok(token) => token,
            Err(error) => return without_login(session, error, reading, status, state).await,
        };
        let key = cache_key(&plan.auth, &plan.vault_namespace, &token.info);
        let reconfigured = status.vault_client_meta.cache_key.is_some() && key != status.vault_client_meta.cache_key;
        let relation = state.relate(status, &token, reconfigured);
        let namespace = &plan.vault_namespace;
        state.retirement.look(reading.outputs, object, status, session, namespace).await;
        if state.failing.as_ref().is_some_and(|failing| failing.login) {
            (state.failing, state.login_recovered) = (None, true);
        }
        let step = decide(&situation(object, status, held, state, relation));
        let cause = match step {
            Step::Keep => None,
            Step::Renew => renew_lease(session, plan, status, state).await,
            Step::Replace(cause) => Some(cause),
        };
        match cause {
            None => Ok(Obtained::Kept { unfinished: false }),
            Some(cause) => {
                let replaced = replace(reading, plan, status, state, cause).await;
                if replaced.is_err() && step != Step::Renew {
                    hold_lease(session, plan, status, state).await;
                }
                replaced
            }
        }
    }

    fn announce(&self, state: &Credentials, mac: &str, status: &mut VaultDynamicSecretStatus) {
        let Some(new) = state.obtained.as_ref().filter(|new| !new.lease.id.is_empty()) else { return };
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
        let Some(new) = state.obtained.take().filter(|new| !new.lease.id.is_empty()) else { return };
        if give_back(session, plan, &new.lease).await.is_err() {
            tracing::warn!("the lease of credentials that are not needed could not be revoked; it ends by itself");
        }
    }

    async fn hold(
        &self,
        object: &VaultDynamicSecret,
        session: &Arc<Session>,
        plan: &Plan<DynamicRead>,
        state: &mut Credentials,
    ) {
        let Some(status) = &object.status else { return };
        state.set_times(status, plan.source.renewal_percent, plan.source.refresh);
        hold_lease(session, plan, status, state).await;
    }

    fn hold_due(&self, state: &Credentials) -> Option<Instant> {
        state.lease_due()
    }

    fn note_write(&self, state: &mut Credentials, wrote: bool) {
        state.unchanged = !wrote;
    }

    fn report_failure(
        &self,
        object: &VaultDynamicSecret,
        _: &Failure,
        state: &mut Credentials,
        status: &mut VaultDynamicSecretStatus,
    ) -> Report {
        let mut report = Report::default();
        self.report_lease(object, state, status, &mut report);
        report
    }

    fn report(
        &self,
        object: &VaultDynamicSecret,
        plan: &Plan<DynamicRead>,
        state: &mut Credentials,
        status: &mut VaultDynamicSecretStatus,
    ) -> Report {
        let mut report = Report::default();
        (report.conditions, report.events) = state.retirement.report(status);
        report.remarks.extend(plan.source.remarks.iter().map(|remark| (*remark).into()));
        if std::mem::take(&mut state.pending_done) {
            status.pending_lease = None;
        }
        let new = state.obtained.take();
        if new.is_some() {
            state.failing = None;
        }
        self.report_lease(object, state, status, &mut report);
        if let Some(new) = new {
            report.written = Some(written_event(status, &new, state));
            if new.generation != object.generation() {
                report.generation = Some(new.generation);
            }
            self.report_new(object, plan, state, status, new);
            if condition::is_false(object.owner_conditions(), ConditionType::LeaseRenewal) {
                let (reason, text) = (Reason::SecretLeaseRenewal, "New credentials were obtained");
                report.conditions.push(ConditionUpdate::holds(ConditionType::LeaseRenewal, reason, text));
            }
        }
        if status.secret_lease.id.is_empty() && status.static_creds_meta_data.is_none() && state.times.is_none() {
            let remark = "the answer has no lease and spec.refreshAfter is not set, so it is not asked for again";
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
        plan: &Plan<DynamicRead>,
        session: &Arc<Session>,
    ) -> Result<Option<EventText>, CleanUpError> {
        let Some(status) = &object.status else { return Ok(None) };
        let pending = status.pending_lease.iter().map(|pending| &pending.lease.id);
        let replaced = status.replaced_leases.iter().map(|replaced| &replaced.id);
        let leases = [&status.secret_lease.id].into_iter().chain(pending).chain(replaced);
        let mut revoked = vec![];
        for id in leases.filter(|id| !id.is_empty()) {
            match revoke(session, &plan.vault_namespace, id).await {
                Ok(()) => revoked.push(id.as_str()),
                Err((error, may_pass)) => {
                    return Err(CleanUpError { event: Self::not_cleaned_up(object, &error), may_pass });
                }
            }
        }
        let event = || EventText::normal(Reason::SecretLeaseRevoke, format!("Lease revoked: {}", revoked.join(", ")));
        Ok((!revoked.is_empty()).then(event))
    }

    fn not_cleaned_up(object: &VaultDynamicSecret, why: &str) -> EventText {
        let lease = object.status.as_ref().map_or("", |status| status.secret_lease.id.as_str());
        let text = format!("Failed to revoke lease: {why}; {lease} lives until it ends by itself");
        EventText::warning(Reason::SecretLeaseRevoke, text)
    }

    fn lifetime(object: &VaultDynamicSecret) -> Option<Lifetime> {
        let status = object.status.as_ref().filter(|status| status.secret_lease.duration > 0)?;
        let (renewed, duration) = (status.last_renewal_time, status.secret_lease.duration);
        let renew_by = renewed.saturating_add(duration - duration / 10);
        Some(Lifetime { ends: renewed.saturating_add(duration), renew_by })
    }
}

impl DynamicSecrets {
    /// Puts what became of the lease of the credentials in the Secret into the status.
    fn report_lease(
        &self,
        object: &VaultDynamicSecret,
        state: &mut Credentials,
        status: &mut VaultDynamicSecretStatus,
        report: &mut Report,
    ) {
        let known_failure = condition::is_false(object.owner_conditions(), ConditionType::LeaseRenewal);
        let (type_, reason) = (ConditionType::LeaseRenewal, Reason::SecretLeaseRenewal);
        let recovered = std::mem::take(&mut state.login_recovered);
        if let Some((lease, at)) = state.renewed.take() {
            (status.secret_lease, status.last_renewal_time) = (lease, at);
            status.last_runtime_pod_uid = self.pod_uid.clone();
            let text = state.last_renewal.take();
            report.events.extend(text.iter().map(|text| EventText::warning(reason, text.as_str())));
            let text = text.unwrap_or_else(|| "Successfully renewed lease".to_owned());
            report.conditions.push(ConditionUpdate::holds(type_, reason, text));
        } else if recovered && known_failure && state.failing.is_none() {
            report.conditions.push(ConditionUpdate::holds(type_, reason, "The login that had failed has succeeded"));
        }
        if let Some(failing) = &state.failing {
            let text = format!("Could not renew lease, err={}", failing.error);
            let reason = Reason::SecretLeaseRenewalError;
            if !known_failure {
                let event =
                    format!("Could not renew lease, lease_id={}, err={}", status.secret_lease.id, failing.error);
                report.events.push(EventText::warning(reason, event));
            }
            report.conditions.push(ConditionUpdate::fails(type_, reason, text));
        }
    }

    /// Puts new credentials into the status.
    fn report_new(
        &self,
        object: &VaultDynamicSecret,
        plan: &Plan<DynamicRead>,
        state: &mut Credentials,
        status: &mut VaultDynamicSecretStatus,
        new: NewCredentials,
    ) {
        let DynamicRead { renewal_percent, refresh, .. } = plan.source;
        (state.failing, state.forced, state.token) = (None, false, None);
        state.backoff.reset();
        let unleased = new.lease.id.is_empty() && status.secret_lease.id.is_empty() && new.rotation.is_none();
        if unleased && state.unchanged && status.last_generation == object.generation() {
            // The answer is the one before: nothing is worth a write.
            state.start_lease(&new.lease, Duration::ZERO, renewal_percent, refresh);
            return;
        }
        let old = std::mem::replace(&mut status.secret_lease, new.lease);
        let expiration = status.last_renewal_time.saturating_add(old.duration);
        let alive = !old.id.is_empty() && old.id != status.secret_lease.id && expiration > Utc::now().timestamp();
        if object.spec.revoke_replaced_leases && !object.restart_targets().is_empty() && alive {
            state.retirement.add(status, &old, expiration);
        }
        let age = u64::try_from(Utc::now().timestamp().saturating_sub(new.obtained)).unwrap_or(0);
        if new.rotation.is_none() {
            state.start_lease(&status.secret_lease, Duration::from_secs(age), renewal_percent, refresh);
        }
        status.last_renewal_time = new.obtained;
        status.static_creds_meta_data = new.rotation;
        status.vault_client_meta.id = new.client_id;
        status.vault_token_expiration = new.token_expiration;
        status.last_runtime_pod_uid = self.pod_uid.clone();
        status.pending_lease = None;
    }
}

/// The event of new credentials. VSO's text.
fn written_event(status: &VaultDynamicSecretStatus, new: &NewCredentials, state: &Credentials) -> EventText {
    let reason = if status.last_generation == 0 { Reason::SecretSynced } else { Reason::SecretRotated };
    let due = state.next_due().map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
    let horizon = format!("{:.1}s", due.as_secs_f64());
    let (lease, cause) = (&new.lease.id, new.cause.as_str());
    EventText::normal(reason, format!("Secret synced, lease_id={lease:?}, horizon={horizon}, sync_reason={cause:?}"))
}

/// Writes down when the token of the lease ends, where what is there is far from it: not for each extension of the token.
fn record_token_end(state: &Credentials, status: &mut VaultDynamicSecretStatus) {
    let (Some(ends), now) = (state.token_expiration(), Utc::now().timestamp()) else { return };
    let recorded = status.vault_token_expiration.unwrap_or(0);
    if recorded.saturating_sub(now) < (ends - now) / 2 {
        status.vault_token_expiration = Some(ends);
    }
}

fn situation<'a>(
    object: &VaultDynamicSecret,
    status: &'a VaultDynamicSecretStatus,
    held: Option<&HeldSecret>,
    state: &Credentials,
    token: TokenRelation,
) -> Situation<'a> {
    let (times, now) = (state.lease_times(), Instant::now());
    // What has no lease costs nothing to obtain again.
    let drifted = status.secret_lease.id.is_empty() && held.is_some_and(HeldSecret::has_other_content);
    Situation {
        status,
        generation: object.generation(),
        exists: held.is_some(),
        forced: state.forced,
        token,
        now,
        due: if drifted {
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

/// There is no login. The credentials in the Secret are as good as their lease.
async fn without_login(
    session: &Session,
    error: SessionError,
    reading: &Reading<'_, VaultDynamicSecret>,
    status: &VaultDynamicSecretStatus,
    state: &mut Credentials,
) -> Result<Obtained, Interruption> {
    let now = Instant::now();
    let good = state.lease_times().is_some_and(|times| now < times.ends) && !status.secret_lease.id.is_empty();
    if !good || reading.held.is_none() || status.last_generation != reading.object.generation() {
        return Err(login_failed(session, &error).await.into());
    }
    // A login that is refused does not get better by itself. One that a server does not answer is needed only when something
    // is due.
    let retry = session.next_login().await;
    if retry.is_some() || state.lease_times().is_some_and(|times| times.due <= now) {
        fail_renewal(state, error.to_string(), retry, true);
    }
    Ok(Obtained::Kept { unfinished: false })
}

fn fail_renewal(state: &mut Credentials, error: String, retry: Option<Instant>, login: bool) {
    let now = Instant::now();
    let pause = state.backoff.next(&RENEWAL_BACKOFF, now, &mut rand::rng()).unwrap_or(RENEWAL_BACKOFF.max);
    state.failing = Some(Failing { error, login, retry: retry.unwrap_or(now + pause) });
}

/// Renews the lease. Returns why the credentials have to be replaced instead, if so.
async fn renew_lease(
    session: &Arc<Session>,
    plan: &Plan<DynamicRead>,
    status: &VaultDynamicSecretStatus,
    state: &mut Credentials,
) -> Option<Cause> {
    if let Some(token) = &mut state.token {
        token.checked = true;
    }
    match renew(session, &plan.vault_namespace, &status.secret_lease).await {
        Renewal::Done(lease) => {
            state.start_lease(&lease, Duration::ZERO, plan.source.renewal_percent, None);
            state.renewed = Some((lease, Utc::now().timestamp()));
            state.failing = None;
            state.backoff.reset();
            None
        }
        Renewal::Last { lease, why } if lease.renewable => {
            tracing::info!(why, "a lease nears its end");
            Some(Cause::LeaseRenewalFailed)
        }
        Renewal::Last { lease, why } => {
            let left = lease::duration_of(&lease);
            state.times = Some((lease.id.clone(), LeaseTimes::last(left, Instant::now(), &mut rand::rng())));
            (state.last_renewal, state.failing) = (Some(why), None);
            state.renewed = Some((lease, Utc::now().timestamp()));
            None
        }
        Renewal::Gone => Some(Cause::LeaseRenewalFailed),
        Renewal::Failed(error) => {
            tracing::warn!(error, "a lease could not be renewed");
            fail_renewal(state, error, None, false);
            let late = state.lease_times().is_some_and(|times| times.replace_by <= Instant::now());
            late.then_some(Cause::LeaseRenewalFailed)
        }
    }
}

/// New credentials could not be obtained: the lease of those in the Secret is renewed meanwhile.
async fn hold_lease(
    session: &Arc<Session>,
    plan: &Plan<DynamicRead>,
    status: &VaultDynamicSecretStatus,
    state: &mut Credentials,
) {
    let due = state.lease_due().is_some_and(|due| due <= Instant::now());
    if due && status.secret_lease.renewable && !status.secret_lease.id.is_empty() {
        renew_lease(session, plan, status, state).await;
    }
}

/// Asks for new credentials.
async fn replace(
    reading: &Reading<'_, VaultDynamicSecret>,
    plan: &Plan<DynamicRead>,
    status: &VaultDynamicSecretStatus,
    state: &mut Credentials,
    cause: Cause,
) -> Result<Obtained, Interruption> {
    let Reading { session, held, outputs, .. } = *reading;
    if let Some(why) = held.and_then(|held| held.immutable.as_deref()) {
        return Err(Failure::destination(why).into());
    }
    session.replace_ending_token().await;
    let started = Instant::now();
    let answer = ask(session, plan).await;
    let error = answer.as_ref().err();
    outputs.metrics.vault_read(
        error.map(|error| match error {
            SessionError::Credential(_) => "credential",
            SessionError::Login(error) | SessionError::Request(error) => error.kind.as_str(),
        }),
        started.elapsed(),
    );
    if let Some(SessionError::Login(error) | SessionError::Request(error)) = error
        && error.kind == ErrorKind::Tls
        && reading.vault.on_untrusted_certificate(&plan.auth.login.connection, session.server.id).await
    {
        return Err(Interruption::Yield(Some(session.server.id)));
    }
    let (envelope, token) = match answer {
        Ok(answer) => answer,
        Err(SessionError::Request(error)) => return Err(read_failed(&with_hint(error)).into()),
        Err(error) => return Err(login_failed(session, &error).await.into()),
    };
    reading.acknowledge();
    let lease = lease_of(&envelope);
    if envelope.data.as_object().is_none_or(serde_json::Map::is_empty) {
        if !lease.id.is_empty() {
            give_back(session, plan, &lease).await?;
        }
        let text = format!("nil response from vault for path {}", plan.path);
        return Err(Failure::new(Reason::VaultClientError, text).into());
    }
    let rotation = if plan.source.static_credentials && !lease.renewable { rotation_of(&envelope.data) } else { None };
    let known = status.static_creds_meta_data.as_ref();
    let unrotated = rotation.as_ref().zip(known).is_some_and(|(new, known)| is_same_rotation(new, known));
    if let Some(rotation) = &rotation {
        let looks = state.look.filter(|_| unrotated && rotation.ttl <= 1).map_or(0, |(_, looks)| looks + 1);
        state.look = Some((Instant::now() + next_look(rotation, looks, plan.source.refresh), looks));
        state.times = None;
        let untouched = held.is_some_and(|held| Some(&held.applied.mac) == status.secret_mac.as_ref());
        if unrotated && cause == Cause::Due && untouched {
            return Ok(Obtained::Kept { unfinished: false });
        }
    } else {
        state.look = None;
    }
    let in_use = session.token_in_use().await.ok().filter(|in_use| in_use.info.serial == token.serial);
    state.obtained = Some(NewCredentials {
        cause,
        lease,
        rotation,
        generation: reading.object.generation(),
        obtained: Utc::now().timestamp(),
        client_id: Some(token.client_id.clone()).filter(|id| !id.is_empty()),
        token_expiration: in_use.and_then(|token| unix_time(token.expires?)),
    });
    let data = SourceData::flat("dynamic", envelope.data.clone());
    Ok(Obtained::Data { data, token })
}

async fn ask(session: &Arc<Session>, plan: &Plan<DynamicRead>) -> Result<(Envelope, TokenInfo), SessionError> {
    match &plan.source.body {
        Some(body) => session.write(&plan.vault_namespace, &plan.path, body).await,
        None => {
            let read = Read { namespace: plan.vault_namespace.clone(), path: plan.path.clone(), version: 0 };
            session.read(&read, None).await
        }
    }
}

/// Adds what to look at to an error.
fn with_hint(mut error: VaultError) -> VaultError {
    if error.kind == ErrorKind::NotFound {
        let hint = "there is nothing at this path; spec.mount or spec.path may be wrong, or the role does not exist";
        error.message = if error.message.is_empty() { hint.to_owned() } else { format!("{}; {hint}", error.message) };
    }
    error
}

/// Revokes a lease that nothing uses. A policy that does not allow it is no reason to stop.
async fn give_back(session: &Arc<Session>, plan: &Plan<DynamicRead>, lease: &SecretLease) -> Result<(), Interruption> {
    let revocation = revoke(session, &plan.vault_namespace, &lease.id);
    let revoked = tokio::time::timeout(REVOCATION_TIMEOUT, revocation).await;
    match revoked.unwrap_or_else(|_| Err(("Vault did not answer in time".to_owned(), true))) {
        Ok(()) => Ok(()),
        Err((error, false)) => {
            tracing::warn!(lease = lease.id, error, "a lease that nothing uses could not be revoked");
            Ok(())
        }
        Err((error, true)) => {
            let text = format!("Failed to revoke lease: {error}");
            Err(Failure::new(Reason::VaultClientError, text).into())
        }
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
