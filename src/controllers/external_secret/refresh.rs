//! When the stores of an ExternalSecret are read. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::api::external_secrets::external_secret::SyncWindows;
use crate::api::external_secrets::{ExternalSecretStatus, RefreshPolicy};
use crate::api::{ConditionType, condition};
use crate::external_secret::sync_window;

/// What is known of an object when it is decided whether its stores are read.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    /// `spec.refreshPolicy`.
    pub policy: &'a RefreshPolicy,
    /// Between two reads. `None`: there is one read.
    pub interval: Option<Duration>,
    /// Each read makes new data: a generator is read.
    pub generates: bool,
    /// When it may be read.
    pub windows: Option<&'a SyncWindows>,
    /// What the object says of earlier reads. It does not tell of those that found nothing new.
    pub status: &'a ExternalSecretStatus,
    /// The `syncedResourceVersion` that the object would have now.
    pub version: &'a str,
    /// What this process has read, or a store, is another by now.
    pub has_changed: bool,
    /// The time until the next read by this process' own schedule, if there is one.
    pub left: Option<Duration>,
    /// Whether the last read by this process got through.
    pub got_through: Option<bool>,
    /// The Secret could not be made yet.
    pub is_awaited: bool,
    /// The time.
    pub now: DateTime<Utc>,
}

/// What an object waits for whose stores are not read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until so long has passed.
    For(Duration),
    /// Until the object changes.
    ForChange,
}

/// What becomes of an object whose stores are not read now, and whose Secret is as an earlier run has left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// The time until its stores are read. `None`: they are not before the object changes.
    pub left: Option<Duration>,
    /// Whether a failure that the object shows is over.
    pub ends_failure: bool,
}

/// Decides whether the stores are read now: `None`.
pub(super) fn wait(known: &Known<'_>) -> Option<Wait> {
    let fails = known.fails();
    match by_policy(known, fails) {
        // As with ESO, it is tried at each interval, whatever the policy says.
        Some(Wait::ForChange) if known.is_awaited && known.left == Some(Duration::ZERO) => None,
        Some(Wait::ForChange) if known.is_awaited && fails && known.got_through != Some(false) => None,
        wait => wait,
    }
}

/// Decides what becomes of an object that waits.
pub(super) fn hold(known: &Known<'_>, wait: Wait) -> Hold {
    let left = match wait {
        Wait::For(left) => Some(left),
        Wait::ForChange if known.is_awaited => known.left.or(known.interval),
        Wait::ForChange => None,
    };
    // What only a read can tell is not told before.
    let is_known = known.got_through.unwrap_or(known.generates) || wait == Wait::ForChange;
    Hold { left, ends_failure: is_known && !known.is_awaited }
}

impl Known<'_> {
    fn fails(&self) -> bool {
        condition::is_false(&self.status.conditions, ConditionType::Ready)
    }

    /// The time until the next read of an object with an interval, whatever its windows say.
    fn left(&self, interval: Duration, synced: i64, fails: bool) -> Duration {
        // Only its interval makes new data of a generator, and a read that did not get through.
        if (fails || self.has_changed) && !self.generates || fails && self.got_through == Some(false) {
            return Duration::ZERO;
        }
        self.left.unwrap_or_else(|| match u64::try_from(self.now.timestamp() - synced) {
            Ok(passed) => interval.saturating_sub(Duration::from_secs(passed)),
            // A time to come is not believed.
            Err(_) => Duration::ZERO,
        })
    }
}

fn by_policy(known: &Known<'_>, fails: bool) -> Option<Wait> {
    let synced = known.status.refresh_time.as_ref().map(|time| time.0.as_second());
    let synced = synced.filter(|_| known.status.synced_resource_version.is_some())?;
    let changed = known.status.synced_resource_version.as_deref() != Some(known.version);
    match known.policy {
        RefreshPolicy::CreatedOnce => return Some(Wait::ForChange),
        RefreshPolicy::OnChange => return (!changed).then_some(Wait::ForChange),
        RefreshPolicy::Periodic | RefreshPolicy::Unknown(_) => {}
    }
    // As with ESO, not even a change has the stores read again.
    let Some(interval) = known.interval else { return Some(Wait::ForChange) };
    if changed {
        return None;
    }
    let left = known.left(interval, synced, fails);
    if !left.is_zero() {
        return Some(Wait::For(left));
    }
    let opens = sync_window::closed_until(known.windows?, known.now)?;
    Some(Wait::For((opens - known.now).to_std().unwrap_or_default().max(Duration::from_secs(1))))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;
    use crate::api::{ConditionUpdate, Reason};

    const NOW: i64 = 1_000_000;
    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));
    const SEVEN: Option<Duration> = Some(Duration::from_secs(7));
    const ZERO: Option<Duration> = Some(Duration::ZERO);

    /// The status after a read so many seconds ago, of the object in this version.
    fn status(passed: i64, version: &str) -> ExternalSecretStatus {
        ExternalSecretStatus {
            refresh_time: Some(Time(Timestamp::from_second(NOW - passed).unwrap())),
            synced_resource_version: Some(version.to_owned()),
            ..ExternalSecretStatus::default()
        }
    }

    fn failing(status: ExternalSecretStatus) -> ExternalSecretStatus {
        let ready = ConditionUpdate::fails(ConditionType::Ready, Reason::SecretSyncedError, "down");
        ExternalSecretStatus { conditions: condition::merge_without_generation(&[], &[ready]), ..status }
    }

    /// An object that is read each minute, with the version `1-a`.
    fn known<'a>(policy: &'a RefreshPolicy, status: &'a ExternalSecretStatus) -> Known<'a> {
        Known {
            policy,
            interval: MINUTE,
            generates: false,
            windows: None,
            status,
            version: "1-a",
            has_changed: false,
            left: None,
            got_through: None,
            is_awaited: false,
            now: DateTime::from_timestamp(NOW, 0).unwrap(),
        }
    }

    #[test]
    fn each_policy_has_its_times() {
        use RefreshPolicy::{CreatedOnce, OnChange, Periodic};
        use Wait::{For, ForChange};
        let never = ExternalSecretStatus::default();
        let (fresh, old, other) = (status(20, "1-a"), status(100_000, "1-a"), status(10, "0-b"));
        let (due, to_come) = (status(60, "1-a"), status(-5, "1-a"));
        for policy in [CreatedOnce, OnChange, Periodic] {
            assert_eq!(wait(&known(&policy, &never)), None, "it was never synced");
        }
        assert_eq!(wait(&Known { left: ZERO, ..known(&CreatedOnce, &other) }), Some(ForChange));
        assert_eq!(wait(&known(&OnChange, &other)), None);
        assert_eq!(wait(&Known { left: ZERO, ..known(&OnChange, &old) }), Some(ForChange));
        let periodic = |status| known(&Periodic, status);
        assert_eq!(wait(&periodic(&other)), None);
        assert_eq!(wait(&Known { left: SEVEN, ..periodic(&other) }), None);
        assert_eq!(wait(&periodic(&fresh)), Some(For(Duration::from_secs(40))));
        assert_eq!(wait(&Known { left: ZERO, ..periodic(&fresh) }), None, "the process counts more exactly");
        assert_eq!(wait(&periodic(&due)), None);
        assert_eq!(wait(&periodic(&to_come)), None, "a time to come is not believed");
        let found_nothing_new = Known { left: SEVEN, ..periodic(&old) };
        assert_eq!(wait(&found_nothing_new), Some(For(Duration::from_secs(7))));
        assert_eq!(wait(&Known { interval: None, left: ZERO, ..periodic(&other) }), Some(ForChange));
        assert_eq!(wait(&Known { interval: None, ..periodic(&never) }), None);
    }

    #[test]
    fn what_fails_or_has_changed_is_read_at_once_but_a_generator_only_after_a_read_that_failed() {
        let policy = RefreshPolicy::Periodic;
        let (good, bad) = (status(20, "1-a"), failing(status(20, "1-a")));
        for (status, has_changed, generates, got_through, is_read) in [
            (&good, false, false, None, false),
            (&good, true, false, Some(true), true),
            (&bad, false, false, None, true),
            (&bad, false, false, Some(false), true),
            (&good, true, true, Some(true), false),
            (&bad, false, true, None, false),
            (&bad, true, true, Some(true), false),
            (&bad, false, true, Some(false), true),
        ] {
            let known = Known { has_changed, generates, got_through, left: SEVEN, ..known(&policy, status) };
            assert_eq!(wait(&known).is_none(), is_read, "{has_changed} {generates} {got_through:?}");
        }
    }

    #[test]
    fn a_secret_that_could_not_be_made_is_tried_at_each_interval_whatever_the_policy_says() {
        let policy = RefreshPolicy::CreatedOnce;
        let (good, bad) = (status(20, "1-a"), failing(status(20, "1-a")));
        let awaited = |status| Known { is_awaited: true, ..known(&policy, status) };
        assert_eq!(wait(&Known { left: ZERO, ..awaited(&good) }), None);
        assert_eq!(wait(&Known { left: SEVEN, ..awaited(&good) }), Some(Wait::ForChange));
        assert_eq!(wait(&awaited(&bad)), None, "after a start");
        let failed = Known { left: SEVEN, got_through: Some(false), ..awaited(&bad) };
        assert_eq!(wait(&failed), Some(Wait::ForChange), "its pause is not over");
        for (known, left) in [(awaited(&good), MINUTE), (failed, SEVEN), (known(&policy, &good), None)] {
            assert_eq!(hold(&known, Wait::ForChange).left, left);
        }
        assert_eq!(hold(&awaited(&good), Wait::For(Duration::from_secs(9))).left, Some(Duration::from_secs(9)));
    }

    #[test]
    fn a_failure_is_over_if_no_read_has_to_tell_of_it() {
        let policy = RefreshPolicy::Periodic;
        let bad = failing(status(20, "1-a"));
        let later = Wait::For(Duration::from_secs(7));
        for (wait, generates, got_through, is_awaited, is_over) in [
            (later, false, None, false, false),
            (later, false, Some(true), false, true),
            (later, false, Some(false), false, false),
            (later, true, None, false, true),
            (later, true, Some(false), false, false),
            (later, false, Some(true), true, false),
            (Wait::ForChange, false, None, false, true),
            (Wait::ForChange, false, None, true, false),
        ] {
            let known = Known { generates, got_through, is_awaited, ..known(&policy, &bad) };
            assert_eq!(hold(&known, wait).ends_failure, is_over, "{wait:?} {generates} {got_through:?} {is_awaited}");
        }
    }
}
