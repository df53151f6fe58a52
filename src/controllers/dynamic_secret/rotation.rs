//! Static credentials: Vault rotates them by itself, and says with each answer when.

use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;

use crate::api::dynamic_secret::StaticCredsMetaData;
use crate::vault::lease;

/// After the announced time of a rotation, since Vault rounds it.
const AFTER_ROTATION: Duration = Duration::from_millis(500);
/// Vault rotates a few seconds after the announced time. The pauses between looks grow up to the last.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_millis(750), Duration::from_millis(1100), Duration::from_secs(2)];
/// A rotation this late is not waited for any more, but looked for now and then.
const LATE: Duration = Duration::from_secs(30);

/// What an answer says of the rotation. `None`: these are no static credentials. Those of a role that has taken its
/// user over as it is (`skip_import_rotation`) have no time of a rotation, or the zero time of Go, until the first.
pub(super) fn rotation_of(data: &Value) -> Option<StaticCredsMetaData> {
    let text = |name: &str| data[name].as_str().filter(|text| !text.is_empty());
    let number = |name: &str| data[name].as_i64().unwrap_or(0);
    let rotated = match text("last_vault_rotation") {
        Some(time) => DateTime::parse_from_rfc3339(time).ok()?.timestamp().max(0),
        None => data["ttl"].as_i64().map(|_| 0)?,
    };
    let meta = StaticCredsMetaData {
        last_vault_rotation: rotated,
        rotation_period: number("rotation_period"),
        rotation_schedule: text("rotation_schedule").map(str::to_owned),
        ttl: number("ttl"),
    };
    (meta.rotation_period >= 1 || meta.rotation_schedule.is_some()).then_some(meta)
}

/// When static credentials were rotated, exactly: the status has the second alone.
pub(super) fn rotated_at(data: &Value) -> Option<&str> {
    data["last_vault_rotation"].as_str()
}

/// Whether two answers are of one rotation. The time that is left until the next differs in each.
pub(super) fn is_same_rotation(one: &StaticCredsMetaData, other: &StaticCredsMetaData) -> bool {
    one.last_vault_rotation == other.last_vault_rotation
        && one.rotation_period == other.rotation_period
        && one.rotation_schedule == other.rotation_schedule
}

/// How long to wait for the next look at static credentials. `looks`: how many have shown no rotation since it was
/// announced.
pub(super) fn next_look(meta: &StaticCredsMetaData, looks: usize, interval: Option<Duration>) -> Duration {
    let left = lease(u64::try_from(meta.ttl).unwrap_or(0));
    let announced = if left > Duration::from_secs(1) {
        left + AFTER_ROTATION
    } else {
        let pause = LOOKS[looks.min(LOOKS.len() - 1)];
        let waited: Duration = (0..looks).map(|look| LOOKS[look.min(LOOKS.len() - 1)]).sum();
        if waited < LATE { pause } else { LATE }
    };
    interval.map_or(announced, |interval| announced.min(interval))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn static_credentials_are_told_by_their_rotation() {
        let answer = |period: i64, schedule: &str| {
            rotation_of(&json!({ "last_vault_rotation": "2026-01-02T03:04:05.678901234Z", "rotation_period": period,
                "rotation_schedule": schedule, "ttl": 7, "password": "p" }))
        };
        let meta = answer(60, "").unwrap();
        assert_eq!((meta.last_vault_rotation, meta.rotation_period, meta.ttl), (1_767_323_045, 60, 7));
        assert_eq!(answer(0, "0 * * * *").unwrap().rotation_schedule.as_deref(), Some("0 * * * *"));
        assert_eq!(answer(0, ""), None);
        assert_eq!(rotation_of(&json!({ "username": "u" })), None);
        assert_eq!(rotation_of(&json!({ "last_vault_rotation": "never", "rotation_period": 1 })), None);
        assert_eq!(rotation_of(&json!({ "rotation_period": 1 })), None);
    }

    #[test]
    fn credentials_that_were_not_rotated_yet_are_static_ones() {
        // As Vault 1.21 answers for a role with `skip_import_rotation`.
        let absent = json!({ "username": "u", "password": "p", "rotation_period": 60, "ttl": 58 });
        let mut zero = absent.clone();
        zero["last_vault_rotation"] = json!("0001-01-01T00:00:00Z");
        let mut rotated = absent.clone();
        rotated["last_vault_rotation"] = json!("2026-01-02T03:04:05.678901234Z");
        let [absent, zero, rotated] = [absent, zero, rotated].map(|data| rotation_of(&data).unwrap());
        assert_eq!((absent.last_vault_rotation, absent.rotation_period, absent.ttl), (0, 60, 58));
        assert_eq!(absent, zero);
        assert!(!is_same_rotation(&absent, &rotated));
        assert_eq!(next_look(&absent, 0, None), Duration::from_millis(58_500));
    }

    #[test]
    fn the_next_look_is_just_after_the_rotation() {
        let meta = |ttl| StaticCredsMetaData { last_vault_rotation: 1, rotation_period: 60, ttl, ..Default::default() };
        assert_eq!(next_look(&meta(40), 0, None), Duration::from_millis(40_500));
        assert_eq!(next_look(&meta(40), 0, Some(Duration::from_secs(10))), Duration::from_secs(10), "refreshAfter");
        assert_eq!(next_look(&meta(0), 0, None), Duration::from_millis(500));
        assert_eq!(next_look(&meta(0), 9, None), Duration::from_secs(2));
        assert_eq!(next_look(&meta(0), 40, None), LATE, "the rotation does not come");
        let now = std::time::Instant::now();
        for ttl in [i64::MAX, i64::MIN] {
            assert!(now.checked_add(next_look(&meta(ttl), 0, None)).is_some(), "no time of a clock for {ttl}");
        }
    }
}
