//! When the stores of an ExternalSecret are read. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::api::external_secrets::external_secret::SyncWindows;
use crate::api::external_secrets::{ExternalSecretStatus, RefreshPolicy};
use crate::external_secret::sync_window;
use crate::resolve::ExternalPlan;

/// Whether the stores are read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    /// They are.
    Now,
    /// Not before so long has passed.
    After(Duration),
    /// Not until the object changes.
    WhenChanged,
}

/// Decides by what the status says. `version` is the `syncedResourceVersion` that the object would have now; `left` is the time
/// until the next refresh by this process' own schedule, if there is one: the status does not tell of refreshes that found
/// nothing new.
pub(super) fn refresh(
    plan: &ExternalPlan,
    windows: Option<&SyncWindows>,
    status: &ExternalSecretStatus,
    version: &str,
    left: Option<Duration>,
    now: DateTime<Utc>,
) -> Refresh {
    let synced = status.refresh_time.as_ref().map(|time| time.0.as_second());
    let Some(synced) = synced.filter(|_| status.synced_resource_version.is_some()) else { return Refresh::Now };
    let changed = status.synced_resource_version.as_deref() != Some(version);
    match plan.policy {
        RefreshPolicy::CreatedOnce => return Refresh::WhenChanged,
        RefreshPolicy::OnChange if changed => return Refresh::Now,
        RefreshPolicy::OnChange => return Refresh::WhenChanged,
        RefreshPolicy::Periodic | RefreshPolicy::Unknown(_) => {}
    }
    // As with ESO, not even a change has the stores read again.
    let Some(interval) = plan.interval else { return Refresh::WhenChanged };
    if changed {
        return Refresh::Now;
    }
    let left = left.unwrap_or_else(|| match u64::try_from(now.timestamp() - synced) {
        Ok(passed) => interval.saturating_sub(Duration::from_secs(passed)),
        // A time to come is not believed.
        Err(_) => Duration::ZERO,
    });
    if !left.is_zero() {
        return Refresh::After(left);
    }
    match windows.and_then(|windows| sync_window::closed_until(windows, now)) {
        None => Refresh::Now,
        Some(opens) => Refresh::After((opens - now).to_std().unwrap_or_default().max(Duration::from_secs(1))),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn plan(policy: RefreshPolicy, interval: Option<u64>) -> ExternalPlan {
        let interval = interval.map(Duration::from_secs);
        ExternalPlan { stores: vec![], generators: vec![], data: vec![], data_from: vec![], policy, interval }
    }

    fn decide(policy: RefreshPolicy, interval: Option<u64>, synced: Option<(i64, &str)>, late: bool) -> Refresh {
        let left = late.then_some(Duration::ZERO);
        decide_with(policy, interval, synced, left)
    }

    fn decide_with(
        policy: RefreshPolicy,
        interval: Option<u64>,
        synced: Option<(i64, &str)>,
        left: Option<Duration>,
    ) -> Refresh {
        let status = ExternalSecretStatus {
            refresh_time: synced.map(|(at, _)| Time(Timestamp::from_second(at).unwrap())),
            synced_resource_version: synced.map(|(_, version)| version.to_owned()),
            ..ExternalSecretStatus::default()
        };
        refresh(&plan(policy, interval), None, &status, "1-a", left, DateTime::from_timestamp(NOW, 0).unwrap())
    }

    #[test]
    fn each_policy_has_its_times() {
        use Refresh::{After, Now, WhenChanged};
        use RefreshPolicy::{CreatedOnce, OnChange, Periodic};
        let minute = Some(60);
        let before = |seconds: i64| Some((NOW - seconds, "1-a"));
        let other = Some((NOW - 10, "0-b"));
        for policy in [CreatedOnce, OnChange, Periodic] {
            assert_eq!(decide(policy, minute, None, false), Now, "it was never synced");
        }
        assert_eq!(decide(CreatedOnce, minute, other, true), WhenChanged);
        assert_eq!(decide(OnChange, minute, other, false), Now);
        assert_eq!(decide(OnChange, minute, before(100), true), WhenChanged);
        assert_eq!(decide(Periodic, minute, other, false), Now);
        assert_eq!(decide(Periodic, minute, before(20), false), After(Duration::from_secs(40)));
        assert_eq!(decide(Periodic, minute, before(20), true), Now, "the process counts more exactly");
        assert_eq!(decide(Periodic, minute, before(60), false), Now);
        assert_eq!(decide(Periodic, minute, before(-5), false), Now, "a time to come is not believed");
        let own = Some(Duration::from_secs(7));
        let old = before(100_000);
        assert_eq!(
            decide_with(Periodic, minute, old, own),
            After(Duration::from_secs(7)),
            "nothing new was found since"
        );
        assert_eq!(decide_with(Periodic, minute, other, own), Now);
        assert_eq!(decide(Periodic, None, other, true), WhenChanged);
        assert_eq!(decide(Periodic, None, None, false), Now);
    }
}
