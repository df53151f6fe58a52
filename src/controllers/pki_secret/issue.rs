//! Asks Vault for a certificate, and makes the data of the Secret of it.

use std::collections::BTreeMap;
use std::time::Instant;

use secrecy::SecretString;

use super::decide::{IssueReason, Recorded, replaced};
use super::revoke::{self, Revoked};
use super::unix_now;
use crate::api::{PKIIssue, PKIReplacedCertificate, Reason, SecretOwner as _, VaultPKISecret};
use crate::controllers::pipeline::{Failure, Interruption, Reading};
use crate::kubernetes::SecretWriter;
use crate::pki::Issued;
use crate::pki::keystore::{DEFAULT_ALIAS, KeystoreError, KeystoreForm, KeystoreOptions, keystores};
use crate::render::SourceData;
use crate::resolve::{KeystoreRequest, PkiRequest, Plan};
use crate::vault::{Envelope, TokenInfo};

/// A certificate that was issued and is not in the Secret yet.
pub(super) struct Unwritten {
    pub certificate: Recorded,
    pub reason: IssueReason,
    pub token: TokenInfo,
    issued: Issued,
    /// The data for the Secret, once they are made.
    pub data: Option<SourceData>,
}

impl Unwritten {
    /// Whether it is what is asked for, and may still be written.
    pub fn is_of(&self, request: &PkiRequest) -> bool {
        self.certificate.issue.request_digest.as_ref() == Some(&request.digest)
            && !self.certificate.renewal(request.expiry_offset).is_due(unix_now())
    }

    /// The data for the Secret. They are made once: a keystore has other bytes each time. Where they cannot be made,
    /// another certificate would not help; another password may.
    pub async fn data(&mut self, plan: &Plan<PkiRequest>, passwords: Keystores<'_>) -> Result<SourceData, Failure> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let data = data(plan, &self.issued, passwords).await?;
        Ok(self.data.insert(data).clone())
    }
}

/// A keystore to make, with its password.
pub(super) type Keystores<'a> = Vec<(&'a KeystoreRequest, SecretString)>;

/// RFC 5280: a serial number has 20 bytes at most. Vault writes each as two digits and a colon.
const MAX_SERIAL_BYTES: usize = 64;
/// A server whose answers are all unusable is told of no more than so many.
const MAX_ORPHANS: usize = 32;

/// Clocks that differ by no more are taken for equal: an answer takes its time, and times are told in seconds.
const CLOCK_PRECISION_SECONDS: u64 = 2;

/// Asks for a certificate. Those that cannot be used and are still to be revoked are added to `orphans`.
pub(super) async fn issue(
    reading: &Reading<'_, VaultPKISecret>,
    plan: &Plan<PkiRequest>,
    reason: IssueReason,
    issuer: Option<&str>,
    orphans: &mut Vec<PKIReplacedCertificate>,
) -> Result<Unwritten, Interruption> {
    let (envelope, token) = ask(reading, plan).await?;
    reading.outputs.metrics.certificates.issued(reason.as_str());
    match read(plan, &envelope, unix_now(), issuer) {
        Ok((issued, certificate)) => {
            tracing::info!(serial = certificate.serial, reason = reason.as_str(), "certificate issued");
            Ok(Unwritten { certificate, reason, token, issued, data: None })
        }
        Err(failure) => {
            let serial = envelope.data.get("serial_number").and_then(|serial| serial.as_str());
            // What is longer names no certificate.
            if let Some(serial) = serial.filter(|serial| plan.source.revoke && serial.len() <= MAX_SERIAL_BYTES) {
                let orphan = replaced(serial, &issue_of(&plan.source));
                if let Revoked::Later(_) = revoke::revoke(reading.session, &plan.into(), &orphan).await
                    && orphans.len() < MAX_ORPHANS
                {
                    orphans.push(orphan);
                }
            }
            Err(failure.into())
        }
    }
}

/// The passwords of the keystores.
pub(super) async fn passwords<'a>(
    reading: &Reading<'_, VaultPKISecret>,
    requests: &'a [KeystoreRequest],
) -> Result<Keystores<'a>, Failure> {
    let namespace = reading.object.namespace();
    let writer = SecretWriter::new(&reading.outputs.client, namespace);
    let mut found = vec![];
    for request in requests {
        let (name, key) = (&request.password.name, &request.password.key);
        let failed = |why: String| {
            let text = format!("Failed to build K8s secret data: password of the keystore: {why}");
            Failure::new(Reason::SecretDataBuilderError, text)
        };
        let secret = writer.get(name).await.map_err(|error| failed(error.to_string()))?;
        let secret = secret.ok_or_else(|| failed(format!("Secret {namespace}/{name} does not exist")))?;
        let value = secret.data.as_ref().and_then(|data| data.get(key));
        let value = value.filter(|value| !value.0.is_empty());
        let value = value.ok_or_else(|| failed(format!("Secret {namespace}/{name} has no key {key:?}")))?;
        let text = std::str::from_utf8(&value.0);
        let text = text.map_err(|_| failed(format!("key {key:?} of Secret {namespace}/{name} is no text")))?;
        found.push((request, SecretString::from(text)));
    }
    Ok(found)
}

async fn ask(
    reading: &Reading<'_, VaultPKISecret>,
    plan: &Plan<PkiRequest>,
) -> Result<(Envelope, TokenInfo), Interruption> {
    let started = Instant::now();
    reading.vault.work.keep_on(&reading.job.key);
    let answer = reading.session.write(&plan.vault_namespace, &plan.path, &plan.source.body).await;
    reading.settle(&plan.auth, started, answer, |error| failed(error.to_string())).await
}

/// Reads an answer that has come at `now`.
fn read(
    plan: &Plan<PkiRequest>,
    envelope: &Envelope,
    now: i64,
    issuer: Option<&str>,
) -> Result<(Issued, Recorded), Failure> {
    let request = &plan.source;
    if envelope.is_long() {
        // It may have to be kept for some time.
        return Err(failed(format!("the answer is longer than any certificate, path={:?}", plan.path)));
    }
    let issued = Issued::parse(envelope.data.clone(), request.format.as_deref());
    let issued =
        issued.map_err(|error| failed(format!("answer of Vault not understood, path={:?}: {error}", plan.path)))?;
    let difference = match envelope.date {
        Some(date) => now.saturating_sub(date),
        // No issuer dates a certificate ahead: where one seems to, its clock is ahead by as much at least.
        None => now.saturating_sub(issued.lifetime.not_before).min(0),
    };
    let clock_difference = if difference.unsigned_abs() <= CLOCK_PRECISION_SECONDS { 0 } else { difference };
    let certificate = Recorded {
        serial: issued.serial.clone(),
        lifetime: issued.lifetime,
        issued_at: now,
        issue: PKIIssue { clock_difference, issuer_fingerprint: issuer.map(str::to_owned), ..issue_of(request) },
    };
    // Without the server's time, its clock may be behind by as much as is tolerated.
    if certificate.renewal(request.expiry_offset).has_expired(now) && envelope.date.is_some() {
        return Err(failed(format!("its certificate {} has ended already", issued.serial)));
    }
    Ok((issued, certificate))
}

/// What is known of a certificate before it is issued.
fn issue_of(request: &PkiRequest) -> PKIIssue {
    PKIIssue { request_digest: Some(request.digest.clone()), origin: request.origin.clone(), ..PKIIssue::default() }
}

/// The data for the Secret. Keystores take thousands of hashes: they are made on a thread of their own.
async fn data(plan: &Plan<PkiRequest>, issued: &Issued, passwords: Keystores<'_>) -> Result<SourceData, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::new(Reason::SecretDataBuilderError, format!("Failed to build K8s secret data: {error}"))
    };
    let format = plan.source.format.as_deref();
    let source = issued.source(plan.source.tls, format).map_err(|error| unusable(&error))?;
    if passwords.is_empty() {
        return Ok(source);
    }
    let passwords: Vec<(KeystoreRequest, SecretString)> =
        passwords.into_iter().map(|(request, password)| (request.clone(), password)).collect();
    let (issued, format) = (issued.clone(), plan.source.format.clone());
    let made = tokio::task::spawn_blocking(move || {
        let mut added = BTreeMap::new();
        for (request, password) in &passwords {
            let form = if request.jks { KeystoreForm::Jks } else { KeystoreForm::Pkcs12 };
            let alias = request.alias.as_deref().unwrap_or(DEFAULT_ALIAS);
            added.extend(keystores(&issued, format.as_deref(), &KeystoreOptions { form, alias, password })?);
        }
        Ok(added)
    });
    let made = made.await.unwrap_or(Err(KeystoreError::Refused("a keystore", "it failed")));
    Ok(source.with_added(made.map_err(|error| unusable(&error))?))
}

/// No certificate was issued. VSO's text.
fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::VaultClientError, format!("Failed to issue certificate from Vault: {error}"))
}
