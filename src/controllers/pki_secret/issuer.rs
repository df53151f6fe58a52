//! Looks now and then whether the issuer has another certificate.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::api::VaultPKISecret;
use crate::backoff::horizon;
use crate::controllers::pipeline::Reading;
use crate::pki::Certificate;
use crate::resolve::{IssuerCheck, PkiRequest, Plan};
use crate::vault::{Envelope, Read, SharedRead};

/// The looks at one issuer.
pub(super) struct IssuerWatch {
    read: Arc<SharedRead>,
    due: Instant,
    /// The fingerprint of the certificate that was seen last.
    fingerprint: Option<String>,
    /// Why the last look has failed.
    pub error: Option<String>,
}

impl IssuerWatch {
    /// Fingerprint of the issuer's certificate.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// When the next look is due.
    pub fn next_due(&self) -> Option<Instant> {
        Some(self.due)
    }

    /// Looks. An answer to a request that was sent before `not_before` does not count.
    async fn read(&mut self, reading: &Reading<'_, VaultPKISecret>, check: &IssuerCheck, not_before: Instant) {
        let now = Instant::now();
        let answer = self.read.get(reading.session, not_before, None).await;
        self.error = match answer {
            Ok((envelope, _)) => match fingerprint(&envelope) {
                Some(fingerprint) => {
                    self.fingerprint = Some(fingerprint);
                    None
                }
                None => Some(format!("{} has no certificate", check.path)),
            },
            Err(error) => Some(error.to_string()),
        };
        self.due = self.read.next_due(check.interval, now, horizon(check.interval, &mut rand::rng()));
    }
}

/// Looks, whatever the time: a certificate is about to be issued, and a new issuer is no reason for one more after it.
pub(super) async fn look_again(
    reading: &Reading<'_, VaultPKISecret>,
    plan: &Plan<PkiRequest>,
    watch: &mut Option<IssuerWatch>,
) {
    if let (Some(check), Some(watch)) = (&plan.source.issuer, watch) {
        watch.read(reading, check, Instant::now()).await;
    }
}

/// Looks, if it is time. All objects with an equal login look together. What cannot be seen is no reason for another
/// certificate, and none to fail.
pub(super) async fn look(
    reading: &Reading<'_, VaultPKISecret>,
    plan: &Plan<PkiRequest>,
    watch: &mut Option<IssuerWatch>,
) {
    let Some(check) = &plan.source.issuer else {
        *watch = None;
        return;
    };
    let now = Instant::now();
    let read = Read { namespace: plan.vault_namespace.clone(), path: check.path.clone(), version: None };
    let watch = match watch {
        Some(known) if *known.read.read() == read => known,
        _ => {
            let read = reading.vault.reads.share(reading.session.identity, read);
            watch.insert(IssuerWatch { read, due: now, fingerprint: None, error: None })
        }
    };
    if watch.due <= now {
        watch.read(reading, check, now.checked_sub(check.interval / 10).unwrap_or(now)).await;
    }
}

fn fingerprint(envelope: &Envelope) -> Option<String> {
    let text = envelope.data.get("certificate").and_then(Value::as_str)?;
    Some(Certificate::all_from_text(text).ok()?.first()?.fingerprint())
}
