//! How a run ended, and when the object is due again.

use std::time::{Duration, Instant, SystemTime};

use super::listing::Listing;
use crate::api::{Condition, ConditionStatus, ConditionType, condition};
use crate::telemetry::RunResult;
use crate::workqueue::{Class, Lane, Next};

/// After the API server refused a write.
const WRITE_RETRY_DELAY: Duration = Duration::from_secs(5);
/// An object that cannot be used as it is, is looked at again after a part of the time that it has been so: what is
/// missing is often an object that is made a moment later.
pub(crate) const MIN_RETRY_DELAY: Duration = Duration::from_secs(5);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(60);
/// After a run that panicked or hung.
const LATE_RETRY_DELAY: Duration = Duration::from_secs(60);

/// What a run says of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// When the object is due again.
    pub next: Next,
    /// The Vault server that the object depends on.
    pub lane: Option<Lane>,
    /// What the metrics count the run as.
    pub result: RunResult,
}

impl Outcome {
    /// The run did what it had to do.
    pub fn done(next: Next, lane: Option<Lane>) -> Self {
        let result = if let Next::At(..) = next { RunResult::RequeueAfter } else { RunResult::Success };
        Self { next, lane, result }
    }

    /// There is nothing to do until the object changes, or the object is gone.
    pub fn await_change() -> Self {
        Self::done(Next::WhenChanged, None)
    }

    /// The run failed for a reason that may pass by itself.
    pub fn failed(next: Next, lane: Option<Lane>) -> Self {
        Self { next, lane, result: RunResult::Error }
    }

    /// A watched object has to change first.
    pub fn blocked(next: Next, lane: Option<Lane>) -> Self {
        Self { next, lane, result: RunResult::Requeue }
    }

    /// The run gave its turn back before it was done: its Vault has no permit left, or another process leads by now.
    pub fn yielded(next: Next, lane: Option<Lane>) -> Self {
        Self { next, lane, result: RunResult::Requeue }
    }

    /// What is not listed yet looks as if it were missing: the run comes again.
    pub fn still_listing(listing: &Listing, class: Class) -> Self {
        Self::yielded(Next::At(Instant::now() + listing.pause, class), None)
    }

    /// The API server refused a write.
    pub fn write_failed() -> Self {
        Self::failed(Next::At(Instant::now() + WRITE_RETRY_DELAY, Class::Retry), None)
    }

    /// The run hung.
    pub fn retry_later() -> Self {
        Self::failed(Next::At(Instant::now() + LATE_RETRY_DELAY, Class::Retry), None)
    }

    /// The run panicked.
    pub fn panicked() -> Self {
        Self { result: RunResult::Panic, ..Self::retry_later() }
    }
}

/// How long to wait for what an object with these conditions itself lacks.
pub(crate) fn retry_delay(conditions: &[Condition]) -> Duration {
    let failing =
        condition::find(conditions, ConditionType::Ready).filter(|ready| ready.status == ConditionStatus::False);
    let since = failing.and_then(|ready| SystemTime::from(ready.last_transition_time.0).elapsed().ok());
    since.map_or(MIN_RETRY_DELAY, |since| (since / 4).clamp(MIN_RETRY_DELAY, MAX_RETRY_DELAY))
}
