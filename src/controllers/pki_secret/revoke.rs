//! Revokes certificates that were replaced. One that cannot be revoked is tried again by itself, and holds up nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::decide::superseded;
use crate::api::{PKIReplacedCertificate, Reason, VaultPKISecret};
use crate::backoff::{Backoff, Policy};
use crate::controllers::outputs::{EventText, Outputs};
use crate::controllers::pipeline::CleanUpError;
use crate::controllers::vault_access::{NO_LOGIN, write};
use crate::resolve::{PkiRequest, Plan, namespace_of, own_namespace};
use crate::vault::{ErrorKind, Session, SessionError};

/// Pauses after failures.
const RETRY: Policy = Policy {
    initial: Duration::from_secs(5),
    max: Duration::from_secs(300),
    multiplier: 2.0,
    randomization: 0.2,
    max_elapsed: Duration::ZERO,
};

/// Between two looks whether workloads were restarted.
const RESTARTS_RECHECK: Duration = Duration::from_secs(2);

/// What became of a certificate that was to be revoked.
pub(super) enum Revoked {
    /// It is revoked.
    Done,
    /// Vault does not know it, or refuses the request as such: another try is no use.
    GivenUp(String),
    /// Another try may do it.
    Later(String),
}

/// The revocations of an object.
#[derive(Default)]
pub(super) struct Revocations {
    /// How many are left, by the last report.
    left: usize,
    /// Serial numbers that need no more tries.
    pub done: Vec<String>,
    /// What there is to tell of the tries of this run.
    pub events: Vec<EventText>,
    /// Why the last try has failed.
    pub error: Option<String>,
    not_before: Option<Instant>,
    backoff: Backoff,
}

impl Revocations {
    /// Revokes what is to be revoked, if it is time.
    pub async fn revoke(
        &mut self,
        session: &Arc<Session>,
        plan: &Plan<PkiRequest>,
        certificates: &[PKIReplacedCertificate],
        outputs: &Outputs,
    ) {
        let now = Instant::now();
        if self.not_before.is_some_and(|at| now < at) {
            return;
        }
        (self.not_before, self.error) = (None, None);
        for certificate in certificates {
            let outcome = revoke(session, &plan.into(), certificate).await;
            let serial = &certificate.serial_number;
            outputs.metrics.certificates.revoked(matches!(outcome, Revoked::Done));
            match outcome {
                Revoked::Done => {
                    let text = format!("Certificate revoked, serial_number={serial}");
                    self.events.push(EventText::normal(Reason::CertificateRevoked, text));
                    self.done.push(serial.clone());
                }
                Revoked::GivenUp(why) => {
                    self.events.push(failed(serial, &why));
                    self.done.push(serial.clone());
                }
                Revoked::Later(why) => {
                    let pause = self.backoff.next(&RETRY, now, &mut rand::rng()).unwrap_or(RETRY.max);
                    self.not_before = Some(now + pause);
                    if self.error.is_none() {
                        self.events.push(failed(serial, &why));
                    }
                    self.error = Some(why);
                    return;
                }
            }
        }
        self.backoff.reset();
    }

    /// Leaves it to a later run: workloads may still use what is to be revoked.
    pub fn wait(&mut self) {
        self.not_before = Some(Instant::now() + RESTARTS_RECHECK);
    }

    /// Tells how many are left.
    pub fn reported(&mut self, left: usize) {
        (self.left, self.done) = (left, vec![]);
    }

    /// When the next try is due.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        (self.left > 0).then(|| self.not_before.unwrap_or(now))
    }
}

/// Where the spec of an object leads to.
pub(super) struct Place<'a> {
    mount: &'a str,
    namespace: &'a str,
    /// Whether a login may be made where there is none.
    may_log_in: bool,
}

impl<'a> From<&'a Plan<PkiRequest>> for Place<'a> {
    fn from(plan: &'a Plan<PkiRequest>) -> Self {
        let mount = plan.source.origin.mount.as_deref().unwrap_or_default();
        Self { mount, namespace: &plan.vault_namespace, may_log_in: true }
    }
}

impl<'a> From<&'a VaultPKISecret> for Place<'a> {
    /// Without a plan.
    fn from(object: &'a VaultPKISecret) -> Self {
        let mount = object.spec.mount.trim_matches('/');
        Self { mount, namespace: own_namespace(object.spec.namespace.as_deref()), may_log_in: false }
    }
}

/// Revokes a certificate where it was issued. What is not recorded of that is where the spec leads to.
pub(super) async fn revoke(session: &Arc<Session>, place: &Place<'_>, certificate: &PKIReplacedCertificate) -> Revoked {
    let origin = &certificate.origin;
    let mount = origin.mount.as_deref().unwrap_or(place.mount);
    let namespace = namespace_of(origin.namespace.as_deref(), place.namespace);
    let path = format!("{mount}/revoke");
    let body = json!({ "serial_number": certificate.serial_number });
    let Some(answer) = write(session, (namespace, &path), &body, place.may_log_in).await else {
        return Revoked::GivenUp(NO_LOGIN.to_owned());
    };
    match answer {
        Ok(_) => Revoked::Done,
        Err(SessionError::Request(error)) if matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound) => {
            Revoked::GivenUp(error.to_string())
        }
        Err(error) => Revoked::Later(error.to_string()),
    }
}

/// Revokes everything that was issued for an object that is being deleted.
pub(super) async fn revoke_all(
    object: &VaultPKISecret,
    plan: Option<&Plan<PkiRequest>>,
    session: &Arc<Session>,
) -> Result<Option<EventText>, CleanUpError> {
    let place = plan.map_or_else(|| object.into(), Place::from);
    let status = object.status.clone().unwrap_or_default();
    let mut revoked = vec![];
    let (mut lost, mut later) = (None, None);
    for certificate in superseded(&status, "", &[]) {
        let outcome = revoke(session, &place, &certificate).await;
        let serial = certificate.serial_number;
        match outcome {
            Revoked::Done => revoked.push(serial),
            Revoked::GivenUp(why) => lost = Some(failed(&serial, &why)),
            Revoked::Later(why) => later = later.or_else(|| Some(failed(&serial, &why))),
        }
    }
    if let Some(event) = later {
        return Err(CleanUpError { event, may_pass: true });
    }
    if let Some(event) = lost {
        return Err(CleanUpError { event, may_pass: false });
    }
    let text = format!("Certificate revoked, serial_number={}", revoked.join(", "));
    Ok((!revoked.is_empty()).then(|| EventText::normal(Reason::CertificateRevoked, text)))
}

fn failed(serial: &str, why: &str) -> EventText {
    let text = format!("Failed to revoke certificate, serial_number={serial}, err={why}");
    EventText::warning(Reason::CertificateRevocationError, text)
}
