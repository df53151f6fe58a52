//! Pure: whether the certificate in the Secret stays, or another one has to be issued, and why.

use std::collections::BTreeMap;

use crate::api::{PKIIssue, PKIReplacedCertificate, VaultPKISecretStatus};
use crate::pki::{Issuance, Lifetime, Renewal, find_certificate};
use crate::resolve::PkiRequest;

/// Why a certificate is issued. The words are VSO's, where VSO has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IssueReason {
    /// None was issued before.
    InitialSync,
    /// The spec asks for another one.
    ResourceUpdated,
    /// There is no Secret.
    InexistentDestination,
    /// The Secret does not hold what was written.
    SecretDataDrift,
    /// It is time.
    InRenewalWindow,
    /// The issuer has another certificate.
    IssuerChanged,
}

impl IssueReason {
    /// The word in events, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            IssueReason::InitialSync => "InitialSync",
            IssueReason::ResourceUpdated => "ResourceUpdated",
            IssueReason::InexistentDestination => "InexistentDestination",
            IssueReason::SecretDataDrift => "SecretDataDrift",
            IssueReason::InRenewalWindow => "InRenewalWindow",
            IssueReason::IssuerChanged => "IssuerChanged",
        }
    }

    /// Whether it is another client that gives this reason, and may give it again and again.
    pub fn is_of_another_client(self) -> bool {
        matches!(self, IssueReason::InexistentDestination | IssueReason::SecretDataDrift)
    }
}

/// What the destination holds.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    /// MAC of its data.
    pub mac: &'a str,
    /// The data, if they were read.
    pub data: Option<&'a BTreeMap<String, Vec<u8>>>,
    /// The data have not been changed since the key of the MACs was made: a MAC of before cannot be compared.
    pub before_key: bool,
}

/// What there is to decide on.
pub(super) struct Known<'a> {
    pub status: &'a VaultPKISecretStatus,
    pub generation: i64,
    pub request: &'a PkiRequest,
    /// `None`: there is no Secret.
    pub held: Option<Held<'a>>,
    /// The certificate that an earlier run has found in the Secret.
    pub found_before: Option<&'a Recorded>,
    /// Fingerprint of the issuer's certificate, if that is compared.
    pub issuer: Option<&'a str>,
    /// The time of the run, in seconds since 1970.
    pub now: i64,
}

/// A certificate, as it stands in the status and in the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub serial: String,
    pub lifetime: Lifetime,
    /// When it was issued, on the clock of the operator.
    pub issued_at: i64,
    pub issue: PKIIssue,
}

impl Recorded {
    /// The certificate, as the status lists those that are to be revoked.
    pub fn replaced(&self) -> PKIReplacedCertificate {
        replaced(&self.serial, &self.issue)
    }

    /// When it is replaced. `offset` is `expiryOffset`.
    pub fn renewal(&self, offset: i64) -> Renewal {
        let issuance = Issuance { at: self.issued_at, clock_difference: self.issue.clock_difference };
        Renewal::of(self.lifetime, issuance, offset, &self.serial)
    }
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The Secret keeps its certificate. `unfinished`: the run that has put it there did not come to its end.
    Keep { certificate: Recorded, unfinished: bool },
    /// Another one is issued.
    Issue(IssueReason),
}

/// Decides. Where several reasons hold, the first in VSO's order is told.
pub(super) fn decide(known: &Known<'_>) -> Decision {
    let Known { status, request, held, .. } = *known;
    let Some((recorded, unfinished)) = recorded(status, held.map(|held| held.mac)) else {
        return Decision::Issue(IssueReason::InitialSync);
    };
    let respecified = match &recorded.issue.request_digest {
        Some(digest) => *digest != request.digest,
        None => known.generation != status.last_generation,
    };
    if respecified {
        return Decision::Issue(IssueReason::ResourceUpdated);
    }
    let Some(held) = held else { return Decision::Issue(IssueReason::InexistentDestination) };
    let found = held.data.and_then(|data| find_certificate(data, &recorded.serial));
    let found = found.map(|found| Lifetime { not_before: found.not_before, not_after: found.not_after });
    let equal = recorded.issue.secret_mac.as_deref() == Some(held.mac);
    let is_known = equal || (held.before_key && found.is_some());
    if !is_known {
        return Decision::Issue(IssueReason::SecretDataDrift);
    }
    let before = known.found_before.filter(|before| before.serial == recorded.serial).map(|before| before.lifetime);
    let mut certificate = recorded;
    certificate.lifetime = found.or(before).unwrap_or(certificate.lifetime);
    certificate.issue.secret_mac = Some(held.mac.to_owned());
    certificate.issue.request_digest = Some(request.digest.clone());
    certificate.issue.origin = request.origin.clone();
    if certificate.renewal(request.expiry_offset).is_due(known.now) {
        return Decision::Issue(IssueReason::InRenewalWindow);
    }
    match (&certificate.issue.issuer_fingerprint, known.issuer) {
        (Some(then), Some(now)) if then != now => return Decision::Issue(IssueReason::IssuerChanged),
        (None, Some(now)) => certificate.issue.issuer_fingerprint = Some(now.to_owned()),
        _ => {}
    }
    Decision::Keep { certificate, unfinished }
}

/// What the status says of the certificate that the Secret holds: the one that was being written, if that is there,
/// else the one that was written. True for the former.
fn recorded(status: &VaultPKISecretStatus, held: Option<&str>) -> Option<(Recorded, bool)> {
    // When it begins is in the certificate; until that is read, the time of the issue stands for it.
    let lifetime = |not_after| Lifetime { not_before: 0, not_after };
    if let Some(pending) = &status.pending
        && pending.issue.secret_mac.is_some()
        && pending.issue.secret_mac.as_deref() == held
    {
        let recorded = Recorded {
            serial: pending.serial_number.clone(),
            lifetime: lifetime(pending.expiration),
            issued_at: pending.last_rotation,
            issue: pending.issue.clone(),
        };
        return Some((recorded, true));
    }
    let mut issue = status.issue.clone().unwrap_or_default();
    // VSO keeps one MAC only.
    issue.secret_mac = issue.secret_mac.or_else(|| status.secret_mac.clone());
    let recorded = Recorded {
        serial: status.serial_number.clone()?,
        lifetime: lifetime(status.expiration.unwrap_or_default()),
        issued_at: status.last_rotation,
        issue,
    };
    Some((recorded, false))
}

/// No more certificates of one object wait for their revocation.
const MAX_REPLACED: usize = 32;

/// What is to be revoked, once the Secret holds the certificate with the serial number `current`: everything else that
/// was issued for the object. `orphans` are those that never got into a status.
pub(super) fn superseded(
    status: &VaultPKISecretStatus,
    current: &str,
    orphans: &[PKIReplacedCertificate],
) -> Vec<PKIReplacedCertificate> {
    let issue = status.issue.clone().unwrap_or_default();
    let last = status.serial_number.iter().map(|serial| replaced(serial, &issue));
    let pending = status.pending.iter().map(|pending| replaced(&pending.serial_number, &pending.issue));
    let all = status.replaced_certificates.iter().cloned().chain(last).chain(pending).chain(orphans.iter().cloned());
    let mut found: Vec<PKIReplacedCertificate> = vec![];
    for certificate in all {
        let serial = &certificate.serial_number;
        if serial != current && !serial.is_empty() && !found.iter().any(|known| known.serial_number == *serial) {
            found.push(certificate);
        }
    }
    // The oldest are left out: they end first.
    found.split_off(found.len().saturating_sub(MAX_REPLACED))
}

/// A certificate to revoke where it was issued.
pub(super) fn replaced(serial: &str, issue: &PKIIssue) -> PKIReplacedCertificate {
    PKIReplacedCertificate { serial_number: serial.to_owned(), origin: issue.origin.clone() }
}

#[cfg(test)]
mod tests;
