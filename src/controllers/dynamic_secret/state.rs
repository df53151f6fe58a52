//! What is remembered of an object's credentials between two runs. All of it can be lost: the next run finds it in the
//! status.

use std::time::{Duration, Instant};

use chrono::Utc;

use super::decide::{Cause, TokenRelation};
use super::lease::duration_of;
use super::schedule::{LeaseTimes, MARGIN_PART, before_token_ends};
use crate::api::dynamic_secret::{PendingLease, SecretLease, StaticCredsMetaData};
use crate::api::{SecretOwner as _, VaultDynamicSecret, VaultDynamicSecretStatus};
use crate::backoff::Backoff;
use crate::controllers::drift::Drift;
use crate::controllers::outputs::EventText;
use crate::vault::TokenInUse;

/// What is remembered of the credentials of one object.
#[derive(Default)]
pub(crate) struct Credentials {
    /// The fingerprint of labels, annotations and transformations.
    pub(super) fingerprint: Option<u64>,
    /// They have changed, and the credentials were not replaced yet.
    pub(super) forced: bool,
    /// The times of the lease with this ID.
    pub(super) times: Option<(String, LeaseTimes)>,
    /// The token that the lease hangs on.
    pub(super) token: Option<LeaseToken>,
    /// A renewal that failed.
    pub(super) failing: Option<Failing>,
    pub(super) backoff: Backoff,
    /// Credentials that were obtained because another client had deleted the Secret.
    pub(super) drift: Drift,
    /// Static credentials: when to look next, and how many looks have shown no rotation since it was announced.
    pub(super) look: Option<(Instant, usize)>,
    /// When the static credentials in the Secret were rotated, as Vault says it, where that is known.
    pub(super) rotated_at: Option<String>,
    /// New credentials, until they are in the Secret and in the status.
    pub(super) obtained: Option<NewCredentials>,
    /// The lease was renewed, and when (in seconds since 1970), until that is in the status.
    pub(super) renewed: Option<(SecretLease, i64)>,
    /// A login that had failed has succeeded, until that is in the status.
    pub(super) login_recovered: bool,
    /// Why it was renewed for the last time.
    pub(super) last_renewal: Option<String>,
    /// The key of the login, where the status has that of an earlier configuration, until it is in the status.
    pub(super) cache_key: Option<String>,
    /// The generation that this process has put credentials into the Secret for, and when those were obtained. The
    /// status says the generation later, when what the generation before has left is gone, too.
    pub(super) synced: Option<(i64, i64)>,
    /// What the status says of pending credentials is done with.
    pub(super) pending_done: bool,
    /// Events of leases that nothing uses and that could not be revoked, until they are reported.
    pub(super) unrevoked: Vec<EventText>,
    /// Where the lease is renewed.
    pub(super) vault_namespace: String,
    /// What became of the leases that were replaced.
    pub(super) retirement: super::retire::Retirement,
}

/// New credentials.
pub(super) struct NewCredentials {
    pub cause: Cause,
    pub lease: SecretLease,
    /// The lease is that of the credentials in the Secret: a cache, such as that of Vault Proxy, answers with it again.
    pub is_known: bool,
    pub rotation: Option<StaticCredsMetaData>,
    /// When static credentials were rotated, as Vault says it.
    pub rotated_at: Option<String>,
    /// The `metadata.generation` that they were obtained for.
    pub generation: i64,
    /// When the credentials were obtained, in seconds since 1970.
    pub obtained: i64,
    pub client_id: Option<String>,
    /// When the token ends, in seconds since 1970.
    pub token_expiration: Option<i64>,
    /// When it ends on the clock of this process, and from when on it is not extended any more, where that is known.
    pub token_times: Option<(Instant, Instant)>,
}

impl NewCredentials {
    /// Whether there is a lease to revoke if nothing comes of them.
    pub fn has_lease_of_its_own(&self) -> bool {
        !self.lease.id.is_empty() && !self.is_known
    }
}

/// A renewal that failed.
pub(super) struct Failing {
    pub error: String,
    /// It was not asked for: there is no login.
    pub login: bool,
    /// When it is tried again.
    pub retry: Instant,
}

/// The token that a lease hangs on.
pub(super) struct LeaseToken {
    client_id: Option<String>,
    ends: Option<Instant>,
    /// The credentials are replaced then.
    replace_at: Instant,
    /// Vault was asked whether the lease is still there, after another token has taken the place of this one.
    pub checked: bool,
}

impl From<&PendingLease> for NewCredentials {
    /// Credentials that an earlier run has written.
    fn from(pending: &PendingLease) -> Self {
        Self {
            cause: Cause::Due,
            lease: pending.lease.clone(),
            is_known: false,
            rotation: None,
            rotated_at: None,
            generation: pending.generation,
            obtained: pending.obtained,
            client_id: pending.client_id.clone(),
            token_expiration: pending.vault_token_expiration,
            token_times: None,
        }
    }
}

impl Credentials {
    /// The times of the lease that the status tells of. `interval` takes its place where there is none. Static
    /// credentials are looked at, and not renewed.
    pub(super) fn set_times(&mut self, status: &VaultDynamicSecretStatus, percent: u32, interval: Option<Duration>) {
        if status.static_creds_meta_data.is_some() {
            self.times = None;
            return;
        }
        let lease = &status.secret_lease;
        if self.times.as_ref().is_some_and(|(id, _)| *id == lease.id) {
            return;
        }
        let age = age_of(lease, Utc::now().timestamp().saturating_sub(status.last_renewal_time));
        self.start_lease(lease, age, percent, interval);
    }

    /// The times of a lease that was given or renewed `age` ago.
    pub(super) fn start_lease(&mut self, lease: &SecretLease, age: Duration, percent: u32, interval: Option<Duration>) {
        let duration = Some(duration_of(lease)).filter(|duration| !duration.is_zero());
        let duration = match (duration, interval) {
            // Without an ID it is advice, such as the TTL in a KV secret.
            (Some(advice), Some(interval)) if lease.id.is_empty() => Some(advice.min(interval)),
            (duration, interval) => duration.or(interval),
        };
        let times = |duration| LeaseTimes::new(duration, age, percent, Instant::now(), &mut rand::rng());
        self.times = duration.map(|duration| (lease.id.clone(), times(duration)));
    }

    /// The times that hold, if anything is due by the time.
    pub(super) fn lease_times(&self) -> Option<&LeaseTimes> {
        self.times.as_ref().map(|(_, times)| times)
    }

    /// The generation that the credentials in the Secret were obtained for, 0 before the first.
    pub(super) fn applied_generation(&self, object: &VaultDynamicSecret, status: &VaultDynamicSecretStatus) -> i64 {
        // A status that could not be written tells of none: they are obtained again.
        let is_told = |(generation, obtained): &(i64, i64)| {
            *generation == object.generation() && *obtained <= status.last_renewal_time
        };
        self.synced.filter(is_told).map_or(status.last_generation, |(generation, _)| generation)
    }

    /// Whether the credentials in the Secret are good, as far as is known without a login: neither their lease has
    /// ended nor the token that it hangs on.
    pub(super) fn are_good(&self, status: &VaultDynamicSecretStatus, now: Instant) -> bool {
        let token_ends = self.token.as_ref().and_then(|token| token.ends).max(recorded_end(status, now));
        !status.secret_lease.id.is_empty()
            && self.lease_times().is_some_and(|times| now < times.ends)
            && token_ends.is_none_or(|ends| now < ends)
    }

    /// Whether the lease has to be renewed, or its credentials replaced.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let token = self.token.as_ref().map(|token| token.replace_at);
        self.lease_times().map(|times| times.due).into_iter().chain(token).any(|due| due <= now)
    }

    /// How the lease stands to the token in use. `reconfigured`: the login is asked for in another way than when the
    /// lease was given.
    pub(super) fn relate(
        &mut self,
        status: &VaultDynamicSecretStatus,
        token: &TokenInUse,
        reconfigured: bool,
    ) -> TokenRelation {
        if status.secret_lease.id.is_empty() {
            return TokenRelation::Endless;
        }
        let (now, mut rng) = (Instant::now(), rand::rng());
        let client_id = status.vault_client_meta.id.as_deref().unwrap_or("");
        let known = self.token.as_ref().filter(|known| known.client_id.as_deref().unwrap_or("") == client_id);
        if client_id == token.info.client_id || token.info.client_id.is_empty() {
            let (Some(ends), Some(since)) = (token.expires, token.ending_since) else {
                self.token = None;
                return TokenRelation::Endless;
            };
            let replace_at = match known {
                Some(known) if known.ends == Some(ends) => known.replace_at,
                _ => before_token_ends(ends, since.max(now), &mut rng),
            };
            let client_id = status.vault_client_meta.id.clone();
            self.token = Some(LeaseToken { client_id, ends: Some(ends), replace_at, checked: true });
            return TokenRelation::EndsAt(replace_at);
        }
        if reconfigured {
            return TokenRelation::Reconfigured;
        }
        let ends = known.and_then(|known| known.ends).max(recorded_end(status, now));
        let Some(ends) = ends.filter(|ends| *ends > now) else { return TokenRelation::Gone };
        let known = known.filter(|known| known.ends.is_none());
        let (replace_at, checked) = match known {
            Some(known) => (known.replace_at, known.checked),
            None => (before_token_ends(ends, now, &mut rng), false),
        };
        // From here on the recorded time is what counts.
        self.token =
            Some(LeaseToken { client_id: status.vault_client_meta.id.clone(), ends: None, replace_at, checked });
        if checked { TokenRelation::EndsAt(replace_at) } else { TokenRelation::Former(replace_at) }
    }

    /// The token that new credentials hang on: they are looked at before it ends, however long their lease is.
    pub(super) fn hang_on(&mut self, new: &NewCredentials) {
        let now = Instant::now();
        let recorded = || Some((now + left_until(new.token_expiration?), now));
        self.token = new.token_times.or_else(recorded).filter(|_| !new.lease.id.is_empty()).map(|(ends, since)| {
            let replace_at = before_token_ends(ends, since.max(now), &mut rand::rng());
            LeaseToken { client_id: new.client_id.clone(), ends: Some(ends), replace_at, checked: true }
        });
    }

    /// When the token ends that the lease hangs on, in seconds since 1970, if it is the one in use.
    pub(super) fn token_expiration(&self) -> Option<i64> {
        unix_time(self.token.as_ref()?.ends?)
    }

    /// When the lease is renewed, or its credentials replaced.
    pub(super) fn lease_due(&self) -> Option<Instant> {
        let times = self.lease_times();
        let Some(failing) = &self.failing else { return times.map(|times| times.due) };
        let replace_by = times.map(|times| times.replace_by).filter(|at| Instant::now() < *at);
        Some(replace_by.map_or(failing.retry, |at| at.min(failing.retry)))
    }

    /// When something is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let lease = self.lease_due();
        // Without a login nothing is replaced.
        let has_login = self.failing.as_ref().is_none_or(|failing| !failing.login);
        let token = self.token.as_ref().filter(|_| has_login).map(|token| token.replace_at);
        let look = self.look.map(|(at, _)| at);
        [lease, token, look, self.retirement.next_look()].into_iter().flatten().min()
    }
}

/// When the token of a lease ends, as the status tells it.
fn recorded_end(status: &VaultDynamicSecretStatus, now: Instant) -> Option<Instant> {
    Some(now + left_until(status.vault_token_expiration?))
}

/// How long it is until a time in seconds since 1970.
fn left_until(at: i64) -> Duration {
    let left = at.saturating_sub(Utc::now().timestamp());
    crate::vault::lease(u64::try_from(left).unwrap_or(0))
}

/// The age of a lease that was renewed so many seconds ago. A time well ahead of the clock was written by one that went
/// wrong, or that was set back since: then the lease may be as old as can be.
fn age_of(lease: &SecretLease, seconds: i64) -> Duration {
    let duration = duration_of(lease);
    match u64::try_from(seconds) {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) if Duration::from_secs(seconds.unsigned_abs()) > duration / MARGIN_PART => duration,
        Err(_) => Duration::ZERO,
    }
}

/// A time of this process's clock in seconds since 1970.
pub(super) fn unix_time(at: Instant) -> Option<i64> {
    let left = at.saturating_duration_since(Instant::now());
    Some(Utc::now().timestamp() + i64::try_from(left.as_secs()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lease(id: &str, duration: i64) -> SecretLease {
        SecretLease { id: id.into(), duration, renewable: true, ..SecretLease::default() }
    }

    #[test]
    fn a_failure_is_tried_again_when_it_is_due_and_not_before() {
        let now = Instant::now();
        let retry = now + 20 * SECOND;
        let due = |replace_by: Instant| {
            let times = LeaseTimes { due: now, replace_by, ends: now + 60 * SECOND };
            let failing = Some(Failing { error: String::new(), login: true, retry });
            Credentials { times: Some(("l".into(), times)), failing, ..Credentials::default() }.next_due()
        };
        assert_eq!(due(now + 30 * SECOND), Some(retry));
        assert_eq!(due(now + 10 * SECOND), Some(now + 10 * SECOND), "the credentials are replaced at the latest");
        assert_eq!(due(now), Some(retry), "what has passed is no time to wait for");
    }

    #[test]
    fn without_a_login_the_end_of_a_token_makes_nothing_due_again_and_again() {
        let now = Instant::now();
        let retry = now + 5 * SECOND;
        let times = LeaseTimes { due: now + 40 * SECOND, replace_by: now + 50 * SECOND, ends: now + 60 * SECOND };
        let token = LeaseToken { client_id: None, ends: Some(now), replace_at: now, checked: true };
        let mut state = Credentials { times: Some(("l".into(), times)), token: Some(token), ..Credentials::default() };
        let status = VaultDynamicSecretStatus { secret_lease: lease("l", 60), ..Default::default() };
        assert!(state.is_due(now) && !state.are_good(&status, now), "the lease has ended with its token");
        assert_eq!(state.next_due(), Some(now), "the credentials are replaced");
        state.failing = Some(Failing { error: String::new(), login: true, retry });
        assert_eq!(state.next_due(), Some(retry));
        state.token = None;
        assert!(!state.is_due(now) && state.are_good(&status, now));
        let recorded = VaultDynamicSecretStatus { vault_token_expiration: Some(Utc::now().timestamp() - 1), ..status };
        assert!(!state.are_good(&recorded, now), "nothing else is known of the token after a start");
    }

    #[test]
    fn a_lease_that_was_renewed_in_the_future_may_be_as_old_as_can_be() {
        let (lease, ages) = (lease("l", 100), [(30, 30), (500, 500), (0, 0), (-10, 0), (-11, 100), (i64::MIN, 100)]);
        for (seconds, age) in ages {
            assert_eq!(age_of(&lease, seconds).as_secs(), age, "{seconds}");
        }
    }

    #[test]
    fn what_was_synced_counts_though_the_status_does_not_say_so_yet() {
        let of = |synced: Option<(i64, i64)>, generation: i64| {
            let mut object = VaultDynamicSecret::default();
            object.metadata.generation = Some(generation);
            let status = VaultDynamicSecretStatus { last_generation: 1, last_renewal_time: 100, ..Default::default() };
            Credentials { synced, ..Credentials::default() }.applied_generation(&object, &status)
        };
        assert_eq!([of(None, 2), of(Some((2, 100)), 2), of(Some((2, 100)), 3)], [1, 2, 1]);
        assert_eq!(of(Some((2, 101)), 2), 1, "the status does not tell of what was obtained");
    }

    #[test]
    fn what_has_no_lease_is_due_by_the_sooner_of_its_intervals() {
        let mut state = Credentials::default();
        let mut ends = |lease: &SecretLease, interval: Option<Duration>| {
            state.start_lease(lease, Duration::ZERO, 67, interval);
            state.lease_times().map(|times| times.ends.saturating_duration_since(Instant::now()).as_secs_f64().round())
        };
        assert_eq!(ends(&lease("", 1000), Some(10 * SECOND)), Some(10.0));
        assert_eq!(ends(&lease("", 5), Some(10 * SECOND)), Some(5.0));
        assert_eq!(ends(&lease("", 0), Some(10 * SECOND)), Some(10.0));
        assert_eq!(ends(&lease("", 1000), None), Some(1000.0));
        assert_eq!(ends(&lease("l", 1000), Some(10 * SECOND)), Some(1000.0), "a lease is one");
        assert_eq!(ends(&lease("", 0), None), None);
    }

    #[test]
    fn any_end_of_a_token_in_the_status_is_taken() {
        let token = TokenInUse {
            info: crate::vault::TokenInfo { client_id: "other".into(), ..Default::default() },
            expires: None,
            ending_since: None,
        };
        for end in [i64::MIN, 0, i64::MAX] {
            let status = VaultDynamicSecretStatus {
                secret_lease: lease("l", 60),
                vault_token_expiration: Some(end),
                ..Default::default()
            };
            let relation = Credentials::default().relate(&status, &token, false);
            assert_eq!(relation == TokenRelation::Gone, end <= 0, "{end}");
        }
    }

    #[test]
    fn static_credentials_are_due_by_their_looks_alone() {
        let meta = StaticCredsMetaData { last_vault_rotation: 1, ..StaticCredsMetaData::default() };
        let status = VaultDynamicSecretStatus { static_creds_meta_data: Some(meta), ..Default::default() };
        let look = Instant::now() + 60 * SECOND;
        let mut state = Credentials { look: Some((look, 0)), ..Credentials::default() };
        state.set_times(&status, 67, Some(SECOND));
        assert_eq!(state.next_due(), Some(look));
    }
}
