//! How old the answer of Vault may be that an object shares with others.

use std::time::{Duration, Instant};

use crate::api::Key;
use crate::workqueue::{Class, Job};

/// Reads of objects that change together, or appear together, are one read.
const COALESCE: Duration = Duration::from_millis(250);

/// What asks for a run by a change of the object itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnChange {
    /// Data that is as new as for any other object: the change is one of the spec.
    Share,
    /// Data since the change: a change is the way to refresh ahead of time.
    ReadAnew,
}

/// When the request must have begun whose answer is new enough for a run. `interval` is that of the refreshes.
pub(super) fn not_before(job: &Job<Key>, interval: Option<Duration>, on_change: OnChange) -> Instant {
    let now = Instant::now();
    let earliest = match (job.class, interval) {
        // The interval is a promise of how old data may be: what was read a tenth of it ago still keeps it, since each
        // interval is shortened by at least as much.
        (Class::Refresh, Some(interval)) => job.due.checked_sub(interval / 10),
        (Class::Urgent, _) if on_change == OnChange::ReadAnew => Some(job.due),
        _ => now.checked_sub(COALESCE),
    };
    earliest.unwrap_or(now)
}
