//! What follows once the data is there: the destination Secret, and the restarts of those that use it.

mod destination;
mod restart;

pub use destination::{Applied, Before, DestinationError, Synced, Wanted, delete_orphans, sync};
pub use restart::{Restart, RestartError, restart, restart_owed};

/// Annotation on a created Secret: the MAC of the data that was written with it. It tells, after a crash between the
/// write and the restarts, that restarts are still owed for this content.
pub const MAC_ANNOTATION: &str = "vso.secrets.hashicorp.com/secret-mac";
