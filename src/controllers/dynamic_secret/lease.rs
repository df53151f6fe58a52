//! Leases: what Vault says of one, and the requests that renew and revoke it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::api::Reason;
use crate::api::dynamic_secret::SecretLease;
use crate::controllers::outputs::EventText;
use crate::controllers::vault_access::{NO_LOGIN, write};
use crate::resolve::{namespace_of, recorded_namespace};
use crate::vault::{Envelope, ErrorKind, Session, SessionError, VaultError};

const RENEW: &str = "sys/leases/renew";
const REVOKE: &str = "sys/leases/revoke";

/// What became of a renewal.
pub(super) enum Renewal {
    /// The lease lasts as long again.
    Done(SecretLease),
    /// It was renewed for the last time.
    Last {
        lease: SecretLease,
        /// Why the lease was not revoked, for a person to read.
        why: String,
    },
    /// It was renewed for less than that: it nears the end that nothing can move. For a person to read.
    Truncated(String),
    /// There is no such lease any more.
    Gone,
    /// Nothing is said of the lease.
    Failed(String),
}

/// The lease in an answer that has come from a Vault namespace.
pub(super) fn lease_of(envelope: &Envelope, namespace: &str) -> SecretLease {
    SecretLease {
        id: envelope.lease_id.clone(),
        duration: i64::try_from(envelope.lease_duration.as_secs()).unwrap_or(i64::MAX),
        renewable: envelope.renewable,
        request_id: envelope.request_id.clone(),
        namespace: Some(recorded_namespace(namespace)).filter(|_| !envelope.lease_id.is_empty()),
    }
}

/// How long a lease lasts.
pub(super) fn duration_of(lease: &SecretLease) -> Duration {
    crate::vault::lease(u64::try_from(lease.duration).unwrap_or(0))
}

/// Asks for a lease to last as long again. `namespace`: where a lease is looked for whose namespace is not recorded.
/// `may_log_in`: whether a login may be made where there is none.
pub(super) async fn renew(session: &Arc<Session>, namespace: &str, lease: &SecretLease, may_log_in: bool) -> Renewal {
    let body = json!({ "lease_id": lease.id, "increment": lease.duration });
    let namespace = namespace_of(lease.namespace.as_deref(), namespace);
    let Some(answer) = write(session, (namespace, RENEW), &body, may_log_in).await else {
        return Renewal::Failed(NO_LOGIN.to_owned());
    };
    let mut renewed = match answer {
        Ok(envelope) => lease_of(&envelope, namespace),
        Err(SessionError::Request(error)) if is_gone(&error) || is_over(&error) => return Renewal::Gone,
        Err(error) => return Renewal::Failed(with_policy(error, RENEW)),
    };
    if renewed.id != lease.id {
        return Renewal::Failed(format!("Vault answered with another lease, {:?}", renewed.id));
    }
    renewed.request_id = lease.request_id.clone();
    let (before, now) = (lease.duration, renewed.duration);
    // A second or two are lost by rounding.
    let truncated = (now.saturating_mul(10) < before.saturating_mul(9))
        .then(|| format!("Lease renewal duration was truncated from {before}s to {now}s, requesting new credentials"));
    match truncated {
        Some(why) if renewed.renewable => Renewal::Truncated(why),
        None if renewed.renewable => Renewal::Done(renewed),
        truncated => {
            let not_renewable = "Lease is not renewable any more, new credentials are requested before it ends";
            Renewal::Last { lease: renewed, why: truncated.unwrap_or_else(|| not_renewable.to_owned()) }
        }
    }
}

/// Revokes a lease. That it is gone is fine. Vault does not answer when its engine has done it, but at once: an engine
/// that cannot, such as that of a database which is down, is asked again by Vault.
///
/// `recorded`: the Vault namespace of the lease in the status. `now`: the one that the spec leads to. `may_log_in`:
/// whether a login may be made where there is none.
///
/// # Errors
/// With the cause, and whether another try may do it.
pub(super) async fn revoke(
    session: &Arc<Session>,
    recorded: Option<&str>,
    now: &str,
    id: &str,
    may_log_in: bool,
) -> Result<(), (String, bool)> {
    let namespace = namespace_of(recorded, now);
    let body = json!({ "lease_id": id, "sync": false });
    let Some(answer) = write(session, (namespace, REVOKE), &body, may_log_in).await else {
        return Err((NO_LOGIN.to_owned(), false));
    };
    match answer {
        Ok(_) => Ok(()),
        Err(SessionError::Request(error)) if is_gone(&error) => Ok(()),
        Err(error) => {
            let denied = matches!(&error, SessionError::Request(error) if error.kind == ErrorKind::PermissionDenied);
            Err((with_policy(error, REVOKE), !denied))
        }
    }
}

/// The event of a lease that could not be revoked.
pub(super) fn not_revoked(id: &str, why: &str) -> EventText {
    let text = format!("Failed to revoke lease: {why}; {id} lives until it ends by itself");
    EventText::warning(Reason::SecretLeaseRevoke, text)
}

/// Vault knows no such lease. It answers 400, with a text as the only mark.
fn is_gone(error: &VaultError) -> bool {
    error.kind == ErrorKind::Invalid
        && ["lease not found", "invalid lease"].iter().any(|text| error.message.contains(text))
}

/// Vault has the lease still, since its engine could not revoke it yet: nothing renews it any more.
fn is_over(error: &VaultError) -> bool {
    error.kind == ErrorKind::Invalid
        && ["lease expired", "lease is expired"].iter().any(|text| error.message.contains(text))
}

fn with_policy(error: SessionError, path: &str) -> String {
    match &error {
        SessionError::Request(denied) if denied.kind == ErrorKind::PermissionDenied => format!(
            "{error}; a policy of the VaultAuth's role has to have: path \"{path}\" {{ capabilities = [\"update\"] }}"
        ),
        _ => error.to_string(),
    }
}
