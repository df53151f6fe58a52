//! Looks now and then whether the issuer has another certificate.

use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::api::VaultPKISecret;
use crate::backoff::horizon;
use crate::controllers::pipeline::Reading;
use crate::pki::Certificate;
use crate::resolve::{PkiRequest, Plan};
use crate::vault::{Envelope, Read, SharedRead};

/// The looks at one issuer.
pub(super) struct IssuerWatch {
    read: Arc<SharedRead>,
    due: Instant,
    /// Of the certificate that was seen last.
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
    if watch.due > now {
        return;
    }
    let not_before = now.checked_sub(check.interval / 10).unwrap_or(now);
    let answer = watch.read.get(reading.session, not_before, None).await;
    watch.error = match answer {
        Ok((envelope, _)) => match fingerprint(&envelope) {
            Some(fingerprint) => {
                watch.fingerprint = Some(fingerprint);
                None
            }
            None => Some(format!("{} has no certificate", check.path)),
        },
        Err(error) => Some(error.to_string()),
    };
    watch.due = watch.read.next_due(check.interval, now, horizon(check.interval, &mut rand::rng()));
}

fn fingerprint(envelope: &Envelope) -> Option<String> {
    let text = envelope.data.get("certificate").and_then(Value::as_str)?;
    Some(Certificate::all_from_text(text).ok()?.first()?.fingerprint())
}
