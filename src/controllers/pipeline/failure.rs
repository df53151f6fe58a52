//! How a run ends that does not get through.

use std::time::Instant;

use crate::api::Reason;
use crate::resolve::Denied;
use crate::workqueue::Lane;

/// Why a run ended early.
pub(crate) enum Interruption {
    /// The run keeps its turn: its Vault has enough of the workers for now, or is another server since.
    Yield(Option<Lane>),
    /// The content with this MAC has to be recorded before the run can go on.
    Record(String),
    /// Something is wrong.
    Failed(Failure),
}

/// What is wrong, and when it is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Of the condition and the event.
    pub reason: Reason,
    /// Of the condition and the event.
    pub message: String,
    /// When it is tried again.
    pub retry: Retry,
}

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

impl Failure {
    /// A failure that may pass by itself.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry: Retry::Backoff }
    }

    /// A failure that ends with a change of a watched object.
    pub fn until_changed(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry: Retry::WhenChanged }
    }

    /// What there is to tell of an object without a plan. `invalid` is the reason of its kind for settings that cannot work.
    pub fn denied(denied: &Denied, invalid: Reason) -> Self {
        let reason = match denied {
            Denied::Missing(_) => Reason::VaultClientConfigError,
            Denied::NotAllowed(_) => Reason::NotAllowed,
            Denied::Reference(_) => Reason::InvalidResourceRef,
            Denied::Invalid(_) => invalid,
            Denied::Transformation(_) => Reason::TransformationError,
        };
        Self::until_changed(reason, denied.to_string())
    }
}

impl From<Failure> for Interruption {
    fn from(failure: Failure) -> Self {
        Interruption::Failed(failure)
    }
}
