//! What follows once the data is there: the destination Secret, and the restarts of the workloads that use it.

mod decide;
mod destination;
mod held;
mod ownership;
mod rendered;
mod restart;
mod rollouts;

pub use decide::{DesiredSecret, DestinationError, Previous};
pub use destination::{LastApplied, SyncResult, delete_orphans, sync};
pub use held::{HeldSecret, look};
pub use ownership::overruled_keys;
pub use rendered::{rendered_mac, reusable_output};
pub use restart::{Mark, last_restart, mark_patch, restart_digest, restarts_pending};
pub use rollouts::{RestartError, Restarted, Rollout, Rollouts};

/// Annotation on a created Secret: the MAC of the data that was written with it. It tells, after a crash between the
/// write and the restarts, that restarts are still owed for this content.
pub const MAC_ANNOTATION: &str = "vso.secrets.hashicorp.com/secret-mac";

/// Annotation on a created Secret whose templates draw salts or random numbers: a MAC over what they were given and
/// what they made of it. As long as it holds, they are not run again.
pub const RENDERED_ANNOTATION: &str = "vso.secrets.hashicorp.com/rendered-mac";
