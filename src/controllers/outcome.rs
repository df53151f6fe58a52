//! How a run ended, and when the object is due again.

use crate::telemetry::RunResult;
use crate::workqueue::{Lane, Next};

/// What a run says of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// When the object is due again.
    pub next: Next,
    /// The Vault server that the object depends on.
    pub lane: Option<Lane>,
    /// For metrics.
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

    /// The run panicked or hung.
    pub fn panicked(next: Next) -> Self {
        Self { next, lane: None, result: RunResult::Panic }
    }
}
