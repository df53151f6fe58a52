//! When a run that failed is tried again.

use std::time::{Duration, Instant};

use super::dependents::DEPENDENTS_SPREAD;
use super::outcome::Outcome;
use crate::backoff::spread;
use crate::vault::{ErrorKind, SessionError, VaultError};
use crate::workqueue::{Class, Lane, Next};

/// A denial ends with a change of an object that is watched, and the change is a trigger. This is for what was missed.
pub(super) const RECHECK_DENIAL: Duration = Duration::from_secs(300);

/// When a failure is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// The object pauses as its back-off says.
    Backoff,
    /// All objects that share the cause try again at this time.
    At(Instant),
    /// When the server serves again, which makes all due that wait for it.
    WithServer,
    /// When a watched object has changed.
    WhenChanged,
}

/// A request that failed, although the server serves others, is sent again this soon.
const SERVED_RETRY_DELAY: Duration = Duration::from_secs(1);
/// While no node serves, only requests show when one does: they are sent again this soon, however long it takes.
const UNAVAILABLE_RETRY_DELAY: Duration = Duration::from_secs(5);

/// The longest pause after a failure of the server. `None`: its recovery makes the object due.
fn longest_pause(down: Option<ErrorKind>) -> Option<Duration> {
    match down {
        // It came back before the run ended, or another node serves.
        None => Some(SERVED_RETRY_DELAY),
        Some(ErrorKind::Unavailable) => Some(UNAVAILABLE_RETRY_DELAY),
        Some(_) => None,
    }
}

impl Retry {
    /// What follows a request that failed.
    pub fn after_request(error: &VaultError) -> Self {
        if error.kind.concerns_server() { Self::WithServer } else { Self::Backoff }
    }

    /// What follows a login that failed and is tried next at this time.
    pub fn after_login(error: &SessionError, next: Option<Instant>) -> Self {
        match (next, error) {
            (Some(next), _) => Self::At(next),
            (None, SessionError::Login(error)) => Self::after_request(error),
            (None, _) => Self::Backoff,
        }
    }

    /// When the object is due, if it is not made due before. `down` is the failure that shows its server to be down
    /// now, `pause` that of the object's back-off.
    pub fn due(self, now: Instant, down: Option<ErrorKind>, pause: impl FnOnce() -> Duration) -> Instant {
        match self {
            Self::Backoff => now + pause(),
            Self::WithServer => {
                let pause = pause();
                let pause = longest_pause(down).map_or(pause, |longest| longest.min(pause));
                now + pause + spread(DEPENDENTS_SPREAD, &mut rand::rng())
            }
            Self::At(at) => at.max(now) + spread(DEPENDENTS_SPREAD, &mut rand::rng()),
            Self::WhenChanged => now + RECHECK_DENIAL,
        }
    }

    /// The end of the run.
    pub fn outcome(self, due: Instant, lane: Option<Lane>) -> Outcome {
        match self {
            Self::Backoff | Self::WithServer | Self::At(_) => Outcome::failed(Next::At(due, Class::Retry), lane),
            Self::WhenChanged => Outcome::blocked(Next::At(due, Class::Refresh), lane),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_waits_for_its_server_and_no_longer() {
        let pause = |down| longest_pause(down).map(|pause| pause.as_secs());
        assert_eq!(pause(None), Some(1), "nothing will wake it");
        assert_eq!(pause(Some(ErrorKind::Unavailable)), Some(5), "no probe shows that it serves");
        assert_eq!(pause(Some(ErrorKind::Unreachable)), None, "the probe wakes it");
        assert_eq!(pause(Some(ErrorKind::Sealed)), None);
        let now = Instant::now();
        let minute = || Duration::from_secs(60);
        assert!(Retry::WithServer.due(now, None, minute) < now + Duration::from_secs(30));
        assert!(Retry::WithServer.due(now, Some(ErrorKind::Sealed), minute) >= now + minute());
    }

    #[test]
    fn only_failures_of_the_server_wait_for_it() {
        for (kind, retry) in [
            (ErrorKind::Unreachable, Retry::WithServer),
            (ErrorKind::Unavailable, Retry::WithServer),
            (ErrorKind::PermissionDenied, Retry::Backoff),
            (ErrorKind::InternalError, Retry::Backoff),
            (ErrorKind::StaleReplica, Retry::Backoff),
        ] {
            let error = VaultError::new(kind, "p", "");
            assert_eq!(Retry::after_request(&error), retry, "{kind:?}");
            assert_eq!(Retry::after_login(&SessionError::Login(error.clone()), None), retry, "{kind:?}");
            let next = Instant::now();
            assert_eq!(Retry::after_login(&SessionError::Login(error), Some(next)), Retry::At(next));
        }
    }
}
