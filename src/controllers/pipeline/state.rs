//! What this process remembers of an object between two runs. All of it can be lost: the next run finds it again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backoff::{Backoff, Policy};
use crate::controllers::drift::Drift;
use crate::controllers::outcome::Outcome;
use crate::controllers::retry::RECHECK_DENIAL;
use crate::controllers::subscriptions::Subscription;
use crate::render::CompiledTransformation;
use crate::sync::{LastApplied, Rollout};
use crate::vault::Session;
use crate::workqueue::{Class, Lane, Next};

/// The state of one object; `T` is what its kind remembers.
pub(super) struct ObjectState<T> {
    /// The fingerprint of the inputs of the last run, if that succeeded.
    pub fingerprint: Option<u64>,
    /// When the next run is due if nothing happens. `None`: only when the object changes.
    pub due: Option<Instant>,
    pub backoff: Backoff,
    /// Dropping it ends the login if no other object uses it.
    pub session: Option<Arc<Session>>,
    /// What Vault tells of the path or the lease. Dropping the subscription ends it.
    pub subscription: Option<Box<Subscription>>,
    pub applied: Option<LastApplied>,
    pub drift: Drift,
    /// Held so that it is not compiled again at each refresh.
    pub transformation: Option<Arc<CompiledTransformation>>,
    /// Inputs and output of templates whose data would come out otherwise if it were rendered again.
    pub rendered: Option<Box<Rendered>>,
    pub failed_restarts: Option<Box<FailedRestarts>>,
    /// Restarts that are to come.
    pub owed: Option<Box<Owed>>,
    /// The rollouts that restarts were asked of. Holding them keeps them gathered.
    pub rollouts: Vec<Arc<Rollout>>,
    /// What the kind remembers.
    pub source: T,
}

/// Inputs and output of templates that draw salts or random numbers.
#[derive(Clone)]
pub(super) struct Rendered {
    /// Digest of the inputs.
    pub inputs: String,
    /// MAC of the data.
    pub mac: String,
}

/// Restarts that could not be done, and when they are tried again. The path is read on its own schedule meanwhile.
pub(super) struct FailedRestarts {
    pub mac: String,
    pub generation: i64,
    pub errors: Vec<String>,
    pub again: Instant,
}

/// Content of a Secret that workloads are restarted for.
pub(super) struct Content {
    /// MAC of the data.
    pub mac: String,
    /// What `status.secretMAC` says of the content when the restarts are done.
    pub record: String,
    /// The generation of the object that it was made for.
    pub generation: i64,
}

/// Restarts that wait for what else their targets are restarted for.
pub(super) struct Owed {
    pub content: Content,
    /// When they are due.
    pub at: Instant,
    /// When the next run is due apart from them.
    pub refresh: Option<Instant>,
}

impl FailedRestarts {
    /// Whether the failure is that of this content and generation, and not to be tried again yet.
    pub fn still_stands(&self, mac: &str, generation: i64, now: Instant) -> bool {
        self.mac == mac && self.generation == generation && now < self.again
    }
}

impl<T: Default> ObjectState<T> {
    /// The state of an object that was never run, due at `due`.
    pub fn new(due: Instant) -> Self {
        Self {
            fingerprint: None,
            due: Some(due),
            backoff: Backoff::default(),
            session: None,
            subscription: None,
            applied: None,
            drift: Drift::default(),
            transformation: None,
            rendered: None,
            failed_restarts: None,
            owed: None,
            rollouts: vec![],
            source: T::default(),
        }
    }

    /// Gives up the login and everything that hangs on it.
    pub fn disconnect(&mut self) {
        (self.session, self.subscription, self.source) = (None, None, T::default());
    }
}

impl<T> ObjectState<T> {
    /// The lane of the object's Vault.
    pub fn lane(&self) -> Option<Lane> {
        self.session.as_ref().map(|session| session.server.id)
    }

    /// The object is due again after the pause of its back-off.
    pub fn retry(&mut self, policy: &Policy) -> Outcome {
        let due = Instant::now() + self.pause(policy);
        Outcome::failed(self.due_at(due, Class::Retry), self.lane())
    }

    /// Makes the object due at `due` if nothing happens before.
    pub fn due_at(&mut self, due: Instant, class: Class) -> Next {
        self.due = Some(due);
        Next::At(due, class)
    }

    /// When the object is due if nothing happens.
    pub fn next_refresh(&self) -> Next {
        self.due.map_or(Next::WhenChanged, |due| Next::At(due, Class::Refresh))
    }

    /// How long to wait after one more failure. A limit on the time of retrying makes retries rare, but never ends
    /// them: nothing goes quiet.
    pub fn pause(&mut self, policy: &Policy) -> Duration {
        self.backoff.next(policy, Instant::now(), &mut rand::rng()).unwrap_or(RECHECK_DENIAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::SharedRead;

    #[test]
    fn the_state_of_an_object_that_works_is_small() {
        let size = size_of::<ObjectState<Option<Arc<SharedRead>>>>();
        assert!(size <= 208, "{size}");
    }
}
