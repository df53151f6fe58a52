//! A lease is renewed, also while new credentials cannot be had.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::decide::Cause;
use super::lease::{Renewal, duration_of, renew};
use super::schedule::LeaseTimes;
use super::state::{Credentials, Failing};
use crate::api::{SecretOwner, VaultDynamicSecret, VaultDynamicSecretStatus};
use crate::backoff::Policy;
use crate::controllers::pipeline::{Interruption, Obtained, Reading, login_failed};
use crate::vault::{Session, SessionError};

/// Pauses after renewals that fail.
const RENEWAL_BACKOFF: Policy = Policy {
    initial: Duration::from_secs(1),
    max: Duration::from_secs(30),
    multiplier: 2.0,
    randomization: 0.2,
    max_elapsed: Duration::ZERO,
};

/// What is told of a lease that has ended, or is about to, while the credentials cannot be replaced.
const ENDED: &str = "Vault does not renew the lease any more: new credentials are needed, and cannot be had now";

/// There is no login. The credentials in the Secret are as good as their lease.
pub(super) async fn without_login(
    session: &Session,
    error: SessionError,
    reading: &Reading<'_, VaultDynamicSecret>,
    status: &VaultDynamicSecretStatus,
    state: &mut Credentials,
) -> Result<Obtained, Interruption> {
    let now = Instant::now();
    let is_applied = state.applied_generation(reading.object, status) == reading.object.generation();
    if !state.are_good(status, now) || reading.held.is_none() || !is_applied {
        return Err(login_failed(session, &error).await.into());
    }
    // A login that is refused does not get better by itself. One that a server does not answer is needed only when
    // something is due.
    let retry = session.next_login().await;
    let is_retry = state.failing.as_ref().is_some_and(|failing| failing.retry <= now);
    if retry.is_some() || is_retry || state.is_due(now) {
        fail_renewal(state, error.to_string(), retry, true);
    }
    state.retirement.wait();
    Ok(Obtained::Kept { unfinished: false })
}

fn fail_renewal(state: &mut Credentials, error: String, retry: Option<Instant>, login: bool) {
    let now = Instant::now();
    let pause = state.backoff.next(&RENEWAL_BACKOFF, now, &mut rand::rng()).unwrap_or(RENEWAL_BACKOFF.max);
    state.failing = Some(Failing { error, login, retry: retry.unwrap_or(now + pause) });
}

/// What a lease is renewed with.
pub(super) struct Renewer<'a> {
    pub session: &'a Arc<Session>,
    pub vault_namespace: &'a str,
    /// Part of the lease, in percent, after which it is renewed.
    pub percent: u32,
    /// Whether a login may be made where there is none.
    pub may_log_in: bool,
}

impl Renewer<'_> {
    /// Renews the lease. Returns why the credentials have to be replaced instead, if so.
    pub async fn renew(&self, status: &VaultDynamicSecretStatus, state: &mut Credentials) -> Option<Cause> {
        if let Some(token) = &mut state.token {
            token.checked = true;
        }
        match renew(self.session, self.vault_namespace, &status.secret_lease, self.may_log_in).await {
            Renewal::Done(lease) => {
                state.start_lease(&lease, Duration::ZERO, self.percent, None);
                state.renewed = Some((lease, Utc::now().timestamp()));
                state.failing = None;
                state.backoff.reset();
                None
            }
            Renewal::Truncated(why) => {
                tracing::info!(why, "a lease nears its end");
                Some(Cause::LeaseRenewalFailed)
            }
            Renewal::Last { lease, why } => {
                let left = duration_of(&lease);
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
    pub async fn hold(&self, status: &VaultDynamicSecretStatus, state: &mut Credentials) {
        let due = state.lease_due().is_some_and(|due| due <= Instant::now());
        if !due || !status.secret_lease.renewable || status.secret_lease.id.is_empty() {
            return;
        }
        let is_over = self.renew(status, state).await.is_some();
        if is_over && state.failing.is_none() {
            fail_renewal(state, ENDED.to_owned(), None, false);
        }
    }
}
