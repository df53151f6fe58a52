//! Certificates that Vault issues.

use prometheus::{Error, IntCounterVec};

use super::register::Register;

/// The metrics of all VaultPKISecrets.
pub struct CertificateMetrics {
    issued: IntCounterVec,
    revoked: IntCounterVec,
}

impl CertificateMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, Error> {
        let metrics = Self {
            issued: register.counters(
                "vso_certificates_issued_total",
                "Certificates that Vault has issued, by reason.",
                &["reason"],
            )?,
            revoked: register.counters(
                "vso_certificate_revocations_total",
                "Revocations of replaced certificates, by how they ended.",
                &["result"],
            )?,
        };
        for result in ["success", "error"] {
            metrics.revoked.with_label_values(&[result]);
        }
        Ok(metrics)
    }

    /// Counts a certificate.
    pub fn issued(&self, reason: &str) {
        self.issued.with_label_values(&[reason]).inc();
    }

    /// Counts the revocation of a certificate, or a failure to revoke it.
    pub fn revoked(&self, done: bool) {
        self.revoked.with_label_values(&[if done { "success" } else { "error" }]).inc();
    }
}
