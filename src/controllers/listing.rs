//! Whether what is watched is listed: before that an object that is only not listed yet looks as if it were missing.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::api::{Condition, ConditionType, condition};
use crate::kubernetes::WatchHealth;

/// Lists take so long at most before conditions say that they are missing.
pub(super) const LISTING_PATIENCE: Duration = Duration::from_secs(30);
const MIN_PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Watches that are started together: those of a kind, or all that readiness does not wait for.
#[derive(Default)]
pub(crate) struct WatchGroup(OnceLock<Started>);

struct Started {
    at: Instant,
    watches: Vec<Arc<WatchHealth>>,
}

/// Not all is listed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    /// A run that needs the lists comes again after this.
    pub pause: Duration,
    overdue: Option<String>,
}

impl Listing {
    /// What is not listed, if that takes longer than it should and the object with these conditions is not ready:
    /// nothing is known to be wrong with what is.
    pub fn to_tell(&self, conditions: &[Condition]) -> Option<&str> {
        self.overdue.as_deref().filter(|_| !condition::is_true(conditions, ConditionType::Ready))
    }
}

impl WatchGroup {
    /// Tells which watches they are.
    pub fn set(&self, watches: Vec<Arc<WatchHealth>>) {
        let _ = self.0.set(Started { at: Instant::now(), watches });
    }

    /// Whether all of them have listed.
    pub fn have_listed(&self) -> bool {
        self.0.get().is_some_and(|started| started.watches.iter().all(|watch| watch.synced()))
    }

    /// What is still being listed of those that are not missing.
    pub fn listing(&self) -> Option<Listing> {
        let Some(started) = self.0.get() else { return Some(listing(Duration::ZERO, &[])) };
        let awaited = started.watches.iter().filter(|watch| watch.is_awaited());
        let awaited: Vec<_> = awaited.map(|watch| watch.name.as_str()).collect();
        (!awaited.is_empty()).then(|| listing(started.at.elapsed(), &awaited))
    }
}

fn listing(passed: Duration, awaited: &[&str]) -> Listing {
    let overdue = (passed > LISTING_PATIENCE).then(|| {
        let names = awaited.join(", ");
        format!("the API server has not listed {names} since the operator started: what is named may be among them")
    });
    Listing { pause: (passed / 8).clamp(MIN_PAUSE, MAX_PAUSE), overdue }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_does_not_come_is_told_of_and_looked_for_less_often() {
        let after = |seconds| listing(Duration::from_secs(seconds), &["PushSecret", "SecretStore"]);
        assert_eq!(after(0), Listing { pause: MIN_PAUSE, overdue: None });
        assert_eq!(after(8), Listing { pause: Duration::from_secs(1), overdue: None });
        let late = after(1_000);
        assert_eq!(late.pause, MAX_PAUSE);
        assert!(late.overdue.unwrap().contains("PushSecret, SecretStore"));
    }
}
