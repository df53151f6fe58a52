//! Certificates of Vault's PKI engine: what an answer holds, when it is replaced, and the forms in which workloads want
//! it.
//!
//! Pure: equal inputs give equal results. Nothing here asks Vault, Kubernetes or the clock.

mod certificate;
mod chain;
mod issued;
pub mod keystore;
mod renewal;

pub use certificate::{Certificate, CertificateError, find_certificate};
pub use issued::{Issued, IssuedError};
pub use renewal::{Issuance, Lifetime, Renewal};
