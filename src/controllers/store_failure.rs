//! How a run of an object of `external-secrets.io` ends that does not get through.

use std::time::Instant;

use super::retry::Retry;
use crate::workqueue::Lane;

/// Why a run ended early.
pub(super) enum StoreInterruption {
    /// The run keeps its turn: its Vault has enough of the workers for now, or is another server since.
    Yield(Option<Lane>),
    /// The run comes again after this pause, as if it had not begun.
    Later(std::time::Duration),
    /// Something is wrong.
    Failed(StoreFailure),
}

/// What is wrong, and when it is tried again.
pub(super) struct StoreFailure {
    /// Of the condition and the event. It begins with ESO's text.
    pub message: String,
    /// When it is tried again.
    pub retry: Retry,
}

impl StoreFailure {
    /// A failure that may pass by itself.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: Retry::Backoff }
    }

    /// The failure is tried again at this time, if there is one, with all that share its cause.
    pub fn again_at(self, at: Option<Instant>) -> Self {
        Self { retry: at.map_or(self.retry, Retry::At), ..self }
    }

    /// The failure passes when a watched object changes.
    pub fn until_changed(self) -> Self {
        Self { retry: Retry::WhenChanged, ..self }
    }
}

impl From<StoreFailure> for StoreInterruption {
    fn from(failure: StoreFailure) -> Self {
        StoreInterruption::Failed(failure)
    }
}
