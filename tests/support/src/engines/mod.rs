//! Secrets engines, with what is behind them: credentials that work until they expire or are revoked.

pub mod aws;
pub mod database;
pub mod kubernetes;
mod lease;
pub mod pki;
mod policies;

pub use lease::{Lease, lease_ids, revoke, revoke_all};
pub(crate) use policies::engines_policy;
pub use policies::{RENEW_LEASES, REVOKE_LEASES, read_and_write};
