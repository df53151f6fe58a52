//! When each object is due next, and which of the due ones runs now.
//!
//! Everything here is pure: no clock is read, nothing waits, nothing is spawned. The caller passes the time in, which
//! is what makes the rules testable.

mod queue;
mod ready;

#[cfg(test)]
mod fairness;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenarios;

pub use queue::{Job, KeyState, Limits, Next, Queue};

/// A Vault server, as far as scheduling is concerned. Keys of one lane share that lane's permits.
pub type Lane = u64;

/// Why a key is due. The order is the order of service: the smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A first sync, a changed spec, a deletion: a user is waiting for the result.
    Urgent,
    /// Something that the object depends on changed.
    Event,
    /// The last run failed and its back-off is over.
    Retry,
    /// Nothing happened; it is time to look again.
    Refresh,
}

impl Class {
    /// All classes, in the order of service.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::Event, Self::Retry, Self::Refresh];

    const fn index(self) -> usize {
        self as usize
    }
}
