//! How a run ends that does not get through.

use std::fmt::Display;

use crate::api::Reason;
use crate::controllers::outputs::EventText;
use crate::controllers::retry::Retry;
use crate::render::RenderError;
use crate::resolve::PlanError;
use crate::workqueue::Lane;

/// Why a run ended early.
pub(crate) enum Interruption {
    /// The run keeps its turn: its Vault has enough of the workers for now, or is another server since.
    Yield(Option<Lane>),
    /// The run comes again after this pause, as if it had not begun.
    Later(std::time::Duration),
    /// The content with this MAC has to be recorded before the run can go on.
    Record(String),
    /// Something is wrong.
    Failed(Failure),
}

/// What is wrong, and when it is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The reason of the condition and the event.
    pub reason: Reason,
    /// The message of the condition and the event.
    pub message: String,
    /// When it is tried again.
    pub retry: Retry,
    /// Text of the event that VSO reports in addition where it cannot even say which login an object needs.
    pub unrecoverable: Option<String>,
    /// The API server has not said whether it has written the Secret.
    pub is_unanswered: bool,
}

impl Failure {
    /// A failure that may pass by itself.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), retry: Retry::Backoff, unrecoverable: None, is_unanswered: false }
    }

    /// There is no login. VSO's text.
    pub fn login(error: impl Display) -> Self {
        Self::new(Reason::VaultClientConfigError, format!("Failed to get Vault auth login: {error}"))
    }

    /// The data of the Secret cannot be made.
    pub fn data(error: &RenderError) -> Self {
        match error {
            // VSO finds these two when the API server refuses the Secret.
            RenderError::Key { .. } | RenderError::TooLarge(_) => Self::destination(error),
            RenderError::RawKey
            | RenderError::Pattern { .. }
            | RenderError::TooManyPatterns(_)
            | RenderError::Template(_) => {
                Self::new(Reason::SecretDataBuilderError, format!("Failed to build K8s secret data: {error}"))
            }
        }
    }

    /// The Secret cannot be written.
    pub fn destination(error: impl Display) -> Self {
        Self::new(Reason::SecretSyncError, format!("Failed to update k8s secret: {error}"))
    }

    /// The object has no plan. `invalid` is the reason of its kind for settings that cannot work.
    pub fn unplanned(error: &PlanError, invalid: Reason) -> Self {
        let failure = match error {
            PlanError::Login(denied) => {
                let event = format!("Failed to get cacheKey from obj, err={denied}");
                Self { unrecoverable: Some(event), ..Self::login(denied) }
            }
            PlanError::Invalid(text) => Self::new(invalid, text.as_str()),
            PlanError::Destination(text) => Self::destination(text),
            PlanError::Transformation(text) => {
                let text = format!("Failed setting up SecretTransformationOption: {text}");
                Self::new(Reason::TransformationError, text)
            }
        };
        Self { retry: Retry::WhenChanged, ..failure }
    }

    /// The events that tell of it.
    pub fn into_events(self) -> Vec<EventText> {
        let unrecoverable = self.unrecoverable.map(|text| EventText::warning(Reason::Unrecoverable, text));
        unrecoverable.into_iter().chain([EventText::warning(self.reason, self.message)]).collect()
    }
}

impl From<Failure> for Interruption {
    fn from(failure: Failure) -> Self {
        Interruption::Failed(failure)
    }
}

#[cfg(test)]
mod tests;
