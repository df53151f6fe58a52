//! Pure: what a run has to do with the credentials of an object.

use std::time::Instant;

use crate::api::VaultDynamicSecretStatus;

/// Why credentials are replaced. The words are VSO's `sync_reason`, but for that of a lease that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The object has never been synced.
    InitialSync,
    /// Labels, annotations or transformations have changed.
    ForceSync,
    /// The spec has changed.
    ResourceUpdated,
    /// There is no Secret.
    InexistentDestination,
    /// The VaultAuth or VaultConnection has changed, and the login is another.
    VaultClientConfigChanged,
    /// The token that the lease hangs on has ended, or soon will.
    VaultTokenRotated,
    /// The lease could not be renewed, and ends or has ended.
    LeaseRenewalFailed,
    /// Vault has told that the lease was revoked or has expired.
    LeaseEnded,
    /// It is time: the lease cannot be renewed, or there is none.
    Due,
}

impl Cause {
    /// The word in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::InitialSync => "InitialSync",
            Cause::ForceSync => "ForceSync",
            Cause::ResourceUpdated => "ResourceUpdated",
            Cause::InexistentDestination => "InexistentDestination",
            Cause::VaultClientConfigChanged => "VaultClientConfigChanged",
            Cause::VaultTokenRotated => "VaultTokenRotated",
            Cause::LeaseRenewalFailed => "SecretLeaseRenewalError",
            Cause::LeaseEnded => "LeaseEnded",
            Cause::Due => "",
        }
    }
}

/// What a run has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The credentials are good, and nothing is due.
    Keep,
    /// The lease is renewed.
    Renew,
    /// New credentials are obtained.
    Replace(Cause),
}

/// What an event has told of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Static credentials may be others, or their rotation.
    Written,
    /// The lease was revoked, or has expired.
    LeaseEnded,
}

/// What a run decides on.
pub(super) struct Situation<'a> {
    pub status: &'a VaultDynamicSecretStatus,
    /// The generation that the credentials in the Secret were obtained for, 0 before the first.
    pub applied: i64,
    /// `metadata.generation`.
    pub generation: i64,
    /// The destination exists.
    pub exists: bool,
    /// Labels, annotations or transformations have changed since the last run.
    pub forced: bool,
    pub token: TokenRelation,
    /// Vault has told that the lease has ended.
    pub lease_ended: bool,
    pub now: Instant,
    /// When the lease is renewed, or the credentials replaced where it cannot be; `None`: never.
    pub due: Option<Instant>,
    /// When credentials whose lease is not renewed are replaced at the latest.
    pub replace_by: Option<Instant>,
    /// A renewal has failed, and is tried again then.
    pub retry: Option<Instant>,
}

/// How the lease of an object stands to the token of the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenRelation {
    /// The lease hangs on no token that is known to end.
    Endless,
    /// The credentials are replaced then, since the token of the lease ends soon after.
    EndsAt(Instant),
    /// The lease hangs on a token of an earlier login, and Vault was not asked yet whether the lease still is there.
    Former(Instant),
    /// The token of the lease has ended, or nothing is known of it.
    Gone,
    /// The lease hangs on a token of an earlier login, and another login is asked for.
    Reconfigured,
}

/// What a run has to do. Causes are looked at in VSO's order.
pub(super) fn decide(situation: &Situation<'_>) -> Step {
    let Situation { status, now, token, .. } = *situation;
    if situation.applied == 0 {
        return Step::Replace(Cause::InitialSync);
    }
    if situation.forced {
        return Step::Replace(Cause::ForceSync);
    }
    if situation.applied != situation.generation {
        return Step::Replace(Cause::ResourceUpdated);
    }
    if !situation.exists {
        return Step::Replace(Cause::InexistentDestination);
    }
    if situation.lease_ended {
        return Step::Replace(Cause::LeaseEnded);
    }
    let renewable = status.secret_lease.renewable && !status.secret_lease.id.is_empty();
    match token {
        TokenRelation::Reconfigured => return Step::Replace(Cause::VaultClientConfigChanged),
        TokenRelation::Gone => return Step::Replace(Cause::VaultTokenRotated),
        TokenRelation::EndsAt(at) | TokenRelation::Former(at) if at <= now => {
            return Step::Replace(Cause::VaultTokenRotated);
        }
        TokenRelation::Former(_) if renewable => return Step::Renew,
        _ => {}
    }
    match situation.due {
        Some(due) if due <= now && !renewable => Step::Replace(Cause::Due),
        Some(due) if due <= now => {
            if situation.replace_by.is_some_and(|end| end <= now) && situation.retry.is_some() {
                Step::Replace(Cause::LeaseRenewalFailed)
            } else if situation.retry.is_some_and(|retry| now < retry) {
                Step::Keep
            } else {
                Step::Renew
            }
        }
        _ if renewable && situation.retry.is_some_and(|retry| retry <= now) => Step::Renew,
        _ => Step::Keep,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::dynamic_secret::SecretLease;

    const SECOND: Duration = Duration::from_secs(1);

    /// An object in the middle of its lease.
    fn synced(renewable: bool) -> VaultDynamicSecretStatus {
        VaultDynamicSecretStatus {
            last_generation: 1,
            secret_lease: SecretLease { id: "l".into(), duration: 60, renewable, ..SecretLease::default() },
            ..Default::default()
        }
    }

    fn situation(status: &VaultDynamicSecretStatus, now: Instant) -> Situation<'_> {
        Situation {
            status,
            applied: status.last_generation,
            generation: 1,
            exists: true,
            forced: false,
            token: TokenRelation::Endless,
            lease_ended: false,
            now,
            due: Some(now + 10 * SECOND),
            replace_by: Some(now + 20 * SECOND),
            retry: None,
        }
    }

    #[test]
    fn the_first_cause_wins_and_without_one_nothing_happens() {
        let now = Instant::now();
        let (status, new) = (synced(true), VaultDynamicSecretStatus::default());
        let of = |change: &dyn Fn(&mut Situation<'_>)| {
            let mut situation = situation(&status, now);
            change(&mut situation);
            decide(&situation)
        };
        assert_eq!(of(&|_| {}), Step::Keep);
        assert_eq!(decide(&situation(&new, now)), Step::Replace(Cause::InitialSync));
        assert_eq!(of(&|s| (s.forced, s.generation) = (true, 2)), Step::Replace(Cause::ForceSync));
        assert_eq!(of(&|s| (s.generation, s.exists) = (2, false)), Step::Replace(Cause::ResourceUpdated));
        assert_eq!(of(&|s| s.exists = false), Step::Replace(Cause::InexistentDestination));
        assert_eq!(of(&|s| s.token = TokenRelation::Gone), Step::Replace(Cause::VaultTokenRotated));
        assert_eq!(of(&|s| (s.lease_ended, s.exists) = (true, false)), Step::Replace(Cause::InexistentDestination));
        assert_eq!(of(&|s| s.lease_ended = true), Step::Replace(Cause::LeaseEnded), "whatever is due when");
        let reconfigured = TokenRelation::Reconfigured;
        assert_eq!(of(&|s| s.token = reconfigured), Step::Replace(Cause::VaultClientConfigChanged));
        assert_eq!(of(&|s| s.token = TokenRelation::EndsAt(now + SECOND)), Step::Keep);
        assert_eq!(of(&|s| s.token = TokenRelation::EndsAt(now)), Step::Replace(Cause::VaultTokenRotated));
        assert_eq!(of(&|s| s.token = TokenRelation::Former(now + SECOND)), Step::Renew, "is it still there?");
    }

    #[test]
    fn a_lease_is_renewed_when_due_and_replaced_when_that_fails_for_too_long() {
        let now = Instant::now();
        let (renewable, fixed) = (synced(true), synced(false));
        let of = |status, due: Option<Instant>, replace_by, retry| {
            decide(&Situation { due, replace_by, retry, ..situation(status, now) })
        };
        assert_eq!(of(&renewable, Some(now), Some(now + SECOND), None), Step::Renew);
        assert_eq!(of(&renewable, Some(now), Some(now + SECOND), Some(now + SECOND)), Step::Keep, "it has just failed");
        assert_eq!(of(&renewable, Some(now), Some(now + SECOND), Some(now)), Step::Renew);
        assert_eq!(of(&renewable, Some(now), Some(now), Some(now)), Step::Replace(Cause::LeaseRenewalFailed));
        assert_eq!(of(&renewable, Some(now), Some(now), None), Step::Renew, "after a time without an operator");
        let later = Some(now + SECOND);
        assert_eq!(
            of(&renewable, later, later, Some(now)),
            Step::Renew,
            "what failed before it was due is tried again"
        );
        assert_eq!(of(&renewable, later, later, later), Step::Keep);
        assert_eq!(of(&fixed, Some(now), Some(now + SECOND), None), Step::Replace(Cause::Due));
        assert_eq!(of(&fixed, Some(now + SECOND), None, None), Step::Keep);
        assert_eq!(of(&fixed, None, None, None), Step::Keep, "no lease and no interval");
    }
}
