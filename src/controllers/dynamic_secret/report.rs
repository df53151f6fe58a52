//! What the status says of credentials and their lease.

use std::time::{Duration, Instant};

use chrono::Utc;

use super::DynamicSecrets;
use super::decide::Cause;
use super::state::{Credentials, NewCredentials};
use crate::api::{
    ConditionType, ConditionUpdate, Reason, SecretOwner, VaultDynamicSecret, VaultDynamicSecretStatus, condition,
};
use crate::controllers::outputs::EventText;
use crate::controllers::pipeline::Report;
use crate::resolve::{DynamicRead, Plan};

impl DynamicSecrets {
    /// Puts what became of the lease of the credentials in the Secret into the status.
    pub(super) fn report_lease(
        &self,
        object: &VaultDynamicSecret,
        state: &mut Credentials,
        status: &mut VaultDynamicSecretStatus,
        report: &mut Report,
    ) {
        let known_failure = condition::is_false(object.owner_conditions(), ConditionType::LeaseRenewal);
        let (type_, reason) = (ConditionType::LeaseRenewal, Reason::SecretLeaseRenewal);
        let recovered = std::mem::take(&mut state.login_recovered);
        // Another process may have replaced the lease since.
        let renewed = state.renewed.take().filter(|(lease, _)| lease.id == status.secret_lease.id);
        if let Some((lease, at)) = renewed {
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
    pub(super) fn report_new(
        &self,
        object: &VaultDynamicSecret,
        plan: &Plan<DynamicRead>,
        state: &mut Credentials,
        wrote: bool,
        status: &mut VaultDynamicSecretStatus,
        new: NewCredentials,
    ) {
        let DynamicRead { renewal_percent, refresh, .. } = plan.source;
        (state.failing, state.forced) = (None, false);
        state.hang_on(&new);
        state.rotated_at = new.rotated_at;
        state.backoff.reset();
        let unleased = new.lease.id.is_empty() && status.secret_lease.id.is_empty() && new.rotation.is_none();
        if unleased && !wrote && status.last_generation == object.generation() {
            // The answer is the one before: nothing is worth a write.
            state.start_lease(&new.lease, Duration::ZERO, renewal_percent, refresh);
            return;
        }
        let old = std::mem::replace(&mut status.secret_lease, new.lease);
        let expiration = status.last_renewal_time.saturating_add(old.duration);
        let alive = !old.id.is_empty() && old.id != status.secret_lease.id && expiration > Utc::now().timestamp();
        if super::retires(object) && alive {
            state.retirement.add(status, &old, expiration);
        }
        let age = u64::try_from(Utc::now().timestamp().saturating_sub(new.obtained)).unwrap_or(0);
        if new.rotation.is_none() {
            state.start_lease(&status.secret_lease, Duration::from_secs(age), renewal_percent, refresh);
            if let Some((_, times)) = state.times.as_mut().filter(|_| status.secret_lease.renewable) {
                times.spread_first_renewal(Instant::now(), &mut rand::rng());
            }
        }
        status.last_renewal_time = new.obtained;
        status.static_creds_meta_data = new.rotation;
        status.vault_client_meta.id = new.client_id;
        status.vault_token_expiration = new.token_expiration;
        status.last_runtime_pod_uid = self.pod_uid.clone();
        status.pending_lease = None;
    }
}

/// The event of new credentials, which `status` and `state` have by now. VSO's text.
pub(super) fn written_event(status: &VaultDynamicSecretStatus, cause: Cause, state: &Credentials) -> EventText {
    let reason = if status.last_generation == 0 { Reason::SecretSynced } else { Reason::SecretRotated };
    let due = state.next_due().map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
    let horizon = format!("{:.1}s", due.as_secs_f64());
    let (lease, cause) = (&status.secret_lease.id, cause.as_str());
    EventText::normal(reason, format!("Secret synced, lease_id={lease:?}, horizon={horizon}, sync_reason={cause:?}"))
}

/// Writes down when the token of the lease ends, where what is there is far from it: not for each extension of the
/// token.
pub(super) fn record_token_end(state: &Credentials, status: &mut VaultDynamicSecretStatus) {
    let (Some(ends), now) = (state.token_expiration(), Utc::now().timestamp()) else { return };
    let recorded = status.vault_token_expiration.unwrap_or(0);
    if recorded.saturating_sub(now) < (ends - now) / 2 {
        status.vault_token_expiration = Some(ends);
    }
}
