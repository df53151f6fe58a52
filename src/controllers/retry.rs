//! When a run that failed is tried again.

use std::time::{Duration, Instant};

use super::dependents::DEPENDENTS_SPREAD;
use super::outcome::Outcome;
use crate::backoff::spread;
use crate::workqueue::{Class, Lane, Next};

/// A denial ends with a change of an object that is watched, and the change is a trigger. This is for what was missed.
pub(super) const RECHECK_DENIAL: Duration = Duration::from_secs(300);

/// When a failure is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// After the pause of the object's back-off.
    Backoff,
    /// At the time at which all that share the cause try again.
    At(Instant),
    /// When a watched object has changed.
    WhenChanged,
}

impl Retry {
    /// When the object is due, if it is not made due before. `pause` is that of the object's back-off.
    pub fn due(self, now: Instant, pause: impl FnOnce() -> Duration) -> Instant {
        match self {
            Self::Backoff => now + pause(),
            Self::At(at) => at.max(now) + spread(DEPENDENTS_SPREAD, &mut rand::rng()),
            Self::WhenChanged => now + RECHECK_DENIAL,
        }
    }

    /// The end of the run.
    pub fn outcome(self, due: Instant, lane: Option<Lane>) -> Outcome {
        match self {
            Self::Backoff | Self::At(_) => Outcome::failed(Next::At(due, Class::Retry), lane),
            Self::WhenChanged => Outcome::blocked(Next::At(due, Class::Refresh), lane),
        }
    }
}
