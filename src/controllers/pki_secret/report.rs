//! What the status, the conditions and the events say of a certificate.

use chrono::{DateTime, SecondsFormat};

use super::State;
use super::decide::{Recorded, replaced, superseded};
use super::issue::Unwritten;
use crate::api::{
    ConditionType, ConditionUpdate, CustomObject as _, PKIPendingCertificate, PKIReplacedCertificate, Reason,
    VaultPKISecret, VaultPKISecretStatus, condition,
};
use crate::controllers::outputs::EventText;
use crate::controllers::pipeline::{Failure, Report};
use crate::resolve::PkiRequest;

/// Puts a certificate into the status that is about to be written to the Secret: a run that comes after a crash finds
/// it there, whether the Secret was written or not. Without a `mac` there are no data for the Secret yet: such a
/// certificate is there to be revoked.
pub(super) fn announce(
    unwritten: &Unwritten,
    mac: Option<&str>,
    orphans: &[PKIReplacedCertificate],
    status: &mut VaultPKISecretStatus,
) {
    let certificate = &unwritten.certificate;
    if mac.is_none() && status.pending.as_ref().is_some_and(|known| known.serial_number == certificate.serial) {
        return;
    }
    let former = status.pending.take().filter(|pending| pending.serial_number != certificate.serial);
    let former = former.map(|pending| replaced(&pending.serial_number, &pending.issue));
    record_lost(former.into_iter().chain(orphans.iter().cloned()), status);
    let mut issue = certificate.issue.clone();
    issue.secret_mac = mac.map(str::to_owned);
    status.pending = Some(PKIPendingCertificate {
        serial_number: certificate.serial.clone(),
        expiration: certificate.lifetime.not_after,
        last_rotation: certificate.issued_at,
        issue,
    });
}

/// Puts certificates that are to be revoked into the status.
pub(super) fn record_lost(
    certificates: impl IntoIterator<Item = PKIReplacedCertificate>,
    status: &mut VaultPKISecretStatus,
) {
    for lost in certificates {
        if !status.replaced_certificates.contains(&lost) {
            status.replaced_certificates.push(lost);
        }
    }
}

/// Puts the certificate that the Secret holds into the status.
pub(super) fn report(request: &PkiRequest, state: &mut State, status: &mut VaultPKISecretStatus) -> Report {
    let Some(current) = &mut state.current else { return Report::default() };
    let issued = current.issued.take();
    let certificate = &mut current.certificate;
    if issued.is_some() {
        state.unwritten = None;
        let announced = status.pending.as_ref().filter(|pending| pending.serial_number == certificate.serial);
        certificate.issue.secret_mac = announced.and_then(|pending| pending.issue.secret_mac.clone());
    }
    let is_first = status.serial_number.is_none();
    status.replaced_certificates = if request.revoke {
        let mut left = superseded(status, &certificate.serial, &state.orphans);
        left.retain(|certificate| !state.revocations.done.contains(&certificate.serial_number));
        left
    } else {
        vec![]
    };
    state.orphans.clear();
    state.revocations.reported(status.replaced_certificates.len());
    status.pending = None;
    status.serial_number = Some(certificate.serial.clone());
    status.expiration = Some(certificate.lifetime.not_after);
    status.renewal = Some(certificate.renewal(request.expiry_offset).due);
    status.last_rotation = certificate.issued_at;
    status.issue = Some(certificate.issue.clone());
    (status.valid, status.error) = (true, String::new());

    let mut report = Report { conditions: vec![valid(certificate, request)], ..Report::default() };
    report.events.append(&mut state.revocations.events);
    if let Some(error) = state.revocations.error.as_ref().filter(|_| !status.replaced_certificates.is_empty()) {
        let count = status.replaced_certificates.len();
        report.remarks.push(format!("{count} replaced certificates are not revoked yet: {error}").into());
    }
    if let Some(error) = state.issuer.as_ref().and_then(|watch| watch.error.as_ref()) {
        report.remarks.push(format!("the certificate of the issuer cannot be compared: {error}").into());
    }
    report.written = issued.map(|reason| {
        let text = format!(
            "Secret synced, serial_number={}, not_after={}, sync_reason={}",
            certificate.serial,
            time(certificate.lifetime.not_after),
            reason.as_str()
        );
        EventText::normal(if is_first { Reason::SecretSynced } else { Reason::SecretRotated }, text)
    });
    report
}

/// The condition of a certificate that is in the Secret.
fn valid(certificate: &Recorded, request: &PkiRequest) -> ConditionUpdate<'static> {
    let text = format!(
        "certificate {} ends at {}, and is replaced from {} on",
        certificate.serial,
        time(certificate.lifetime.not_after),
        time(certificate.renewal(request.expiry_offset).due)
    );
    ConditionUpdate::holds(ConditionType::CertificateValid, Reason::CertificateIssued, text)
}

/// What a run that did not get through says of the certificate that the Secret still holds.
pub(super) fn report_failure(
    object: &VaultPKISecret,
    failure: &Failure,
    status: &mut VaultPKISecretStatus,
    now: i64,
) -> Report {
    status.valid = false;
    failure.reason.as_str().clone_into(&mut status.error);
    let (Some(serial), Some(expiration)) = (&status.serial_number, status.expiration) else { return Report::default() };
    let difference = status.issue.as_ref().map_or(0, |issue| issue.clock_difference);
    let end = time(expiration);
    let update = if now >= expiration.saturating_add(difference) {
        let text = format!("certificate {serial} has ended at {end}, and could not be replaced");
        ConditionUpdate::fails(ConditionType::CertificateValid, Reason::CertificateExpired, text)
    } else if status.renewal.is_some_and(|renewal| now >= renewal) {
        let text = format!("certificate {serial} ends at {end}, and could not be replaced yet");
        ConditionUpdate::holds(ConditionType::CertificateValid, Reason::CertificateRenewalOverdue, text)
    } else {
        return Report::default();
    };
    let known = condition::find(object.conditions(), ConditionType::CertificateValid);
    let told = known.is_some_and(|known| known.reason == update.reason);
    let event = (!told).then(|| EventText::warning(update.reason, update.message.to_string()));
    Report { conditions: vec![update], events: event.into_iter().collect(), ..Report::default() }
}

/// A point in time as Kubernetes writes it.
fn time(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0)
        .map_or_else(|| "an unknown time".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}
