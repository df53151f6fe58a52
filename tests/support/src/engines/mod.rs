//! Secrets engines, with what is behind them: credentials that work until they expire or are revoked.

pub mod aws;
pub mod database;
pub mod kubernetes;
mod lease;
pub mod pki;
mod policies;

pub use lease::{Lease, lease_ids, revoke, revoke_all};
pub use policies::{RENEW_LEASES, REVOKE_LEASES, engines_policy, read_and_write};
