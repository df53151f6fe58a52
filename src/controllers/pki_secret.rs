//! VaultPKISecret: a certificate that Vault's PKI engine issues, kept in the Secret until it is time for another one.

mod decide;
mod issue;
mod issuer;
mod report;
mod revoke;

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;

use super::drift::Drift;
use super::outputs::{EventText, Outputs};
use super::pipeline::{CleanUpError, Failure, Interruption, Lifetime, Obtained, Reading, Report, SecretSource};
use super::stores::Stores;
use crate::api::{
    ConditionType, PKIReplacedCertificate, Reason, SecretOwner as _, VaultPKISecret, VaultPKISecretStatus, condition,
};
use crate::kubernetes::{Revision, SecretWriter};
use crate::pki::find_certificate;
use crate::resolve::{self, PkiRequest, Plan, PlanError};
use crate::vault::Session;
use decide::{Decision, Held, IssueReason, Known, Recorded, decide};
use issue::Unwritten;
use issuer::IssuerWatch;
use revoke::Revocations;

/// After so long an object is looked at again, whatever the clock of the process says: the clock of the machine may
/// have been set meanwhile, or a Secret that no watch covers changed.
const RECHECK_INTERVAL: Duration = Duration::from_secs(600);

/// Issues certificates.
pub(super) struct PkiSecrets {
    pub outputs: Outputs,
}

/// What is remembered of an object between two runs.
#[derive(Default)]
pub(super) struct State {
    /// The certificate that the Secret holds, or is to hold.
    current: Option<Current>,
    /// A certificate that was issued and is not in the Secret yet. What hinders that may pass; another one would not
    /// help.
    unwritten: Option<Box<Unwritten>>,
    /// Certificates that will not get into the Secret.
    orphans: Vec<PKIReplacedCertificate>,
    revocations: Revocations,
    issuer: Option<IssuerWatch>,
    /// Certificates that were issued because another client has changed the Secret.
    drift: Drift,
}

/// The certificate of a run.
struct Current {
    certificate: Recorded,
    /// Why it was issued, if that was in this run.
    issued: Option<IssueReason>,
}

impl SecretSource for PkiSecrets {
    type Owner = VaultPKISecret;
    type Plan = PkiRequest;
    type State = State;

    /// The plural is VSO's, and of this kind only.
    const FINALIZER: &'static str = "vaultpkisecrets.secrets.hashicorp.com/finalizer";
    const INVALID: Reason = Reason::InvalidConfiguration;
    const LOOKS_FIRST: bool = true;

    fn resolve(object: &VaultPKISecret, stores: &Stores) -> Result<Plan<PkiRequest>, PlanError> {
        resolve::pki_secret(object, stores)
    }

    fn needs_finalizer(object: &VaultPKISecret) -> bool {
        object.spec.revoke || is_cleared(object)
    }

    async fn obtain(
        &self,
        reading: &Reading<'_, VaultPKISecret>,
        plan: &Plan<PkiRequest>,
        state: &mut State,
    ) -> Result<Obtained, Interruption> {
        let status = reading.object.status.clone().unwrap_or_default();
        issuer::look(reading, plan, &mut state.issuer).await;
        let held = reading.held.map(|held| Held {
            mac: &held.applied.mac,
            data: held.data.as_ref().map(|data| data.as_map()),
            before_key: held.changed.is_some_and(|changed| changed < reading.key_made),
        });
        let decision = decide(&Known {
            status: &status,
            generation: reading.object.metadata.generation.unwrap_or(0),
            request: &plan.source,
            held,
            found_before: state.current.as_ref().map(|current| &current.certificate),
            issuer: state.issuer.as_ref().and_then(IssuerWatch::fingerprint),
            now: unix_now(),
        });
        match decision {
            Decision::Keep { certificate, unfinished } => {
                if let Some(unwritten) = state.unwritten.take() {
                    state.orphans.push(unwritten.certificate.replaced());
                }
                state.current = Some(Current { certificate, issued: None });
                if plan.source.revoke && waits_for_restarts(reading) {
                    state.revocations.wait();
                } else if plan.source.revoke {
                    let session = reading.session;
                    state.revocations.revoke(session, plan, &status.replaced_certificates, &self.outputs).await;
                }
                Ok(Obtained::Kept { unfinished })
            }
            Decision::Issue(reason) => {
                if let Some(text) = reading.held.and_then(|held| held.immutable.as_ref()) {
                    return Err(Failure::destination(text).into());
                }
                if let Some(unwritten) = state.unwritten.take_if(|unwritten| !unwritten.is_of(&plan.source)) {
                    state.orphans.push(unwritten.certificate.replaced());
                }
                if state.unwritten.is_none() {
                    pace(&state.drift, reason)?;
                }
                // What would make a certificate useless is looked for before it is issued.
                let passwords = match &state.unwritten {
                    Some(unwritten) if unwritten.data.is_some() => vec![],
                    _ => issue::passwords(reading, &plan.source.keystores).await?,
                };
                if state.unwritten.is_none() {
                    // The issuer may have another certificate since the last look.
                    issuer::look_again(reading, plan, &mut state.issuer).await;
                    let issuer = state.issuer.as_ref().and_then(IssuerWatch::fingerprint);
                    let issued = issue::issue(reading, plan, reason, issuer, &mut state.orphans).await?;
                    if reason.is_of_another_client() {
                        state.drift.repaired(Instant::now());
                    }
                    state.unwritten = Some(Box::new(issued));
                }
                let Some(unwritten) = &mut state.unwritten else { return Err(Interruption::Later(RECHECK_INTERVAL)) };
                let data = unwritten.data(plan, passwords).await?;
                let (certificate, issued) = (unwritten.certificate.clone(), Some(unwritten.reason));
                state.current = Some(Current { certificate, issued });
                Ok(Obtained::Data { data, token: unwritten.token.clone() })
            }
        }
    }

    fn announce(&self, state: &State, mac: &str, status: &mut VaultPKISecretStatus) {
        if let Some(unwritten) = &state.unwritten {
            report::announce(unwritten, Some(mac), &state.orphans, status);
        }
    }

    fn report(
        &self,
        _: &VaultPKISecret,
        plan: &Plan<PkiRequest>,
        state: &mut State,
        _: bool,
        status: &mut VaultPKISecretStatus,
    ) -> Report {
        report::report(&plan.source, state, status)
    }

    fn report_failure(
        &self,
        object: &VaultPKISecret,
        failure: &Failure,
        state: &mut State,
        status: &mut VaultPKISecretStatus,
    ) -> Report {
        if let Some(unwritten) = state.unwritten.as_ref().filter(|_| object.spec.revoke) {
            // The object may be deleted before the next run, or the process end.
            report::announce(unwritten, None, &state.orphans, status);
        } else if object.spec.revoke {
            report::record_lost(state.orphans.iter().cloned(), status);
        }
        report::report_failure(object, failure, status, unix_now())
    }

    fn next_due(&self, plan: &Plan<PkiRequest>, state: &State, now: Instant) -> Option<Instant> {
        let renewal = state.current.as_ref().map(|current| {
            let due = current.certificate.renewal(plan.source.expiry_offset).due;
            let left = due.saturating_sub(unix_now());
            now + Duration::from_secs(left.max(0).unsigned_abs()).min(RECHECK_INTERVAL)
        });
        let issuer = state.issuer.as_ref().and_then(|watch| watch.next_due());
        let revocations = state.revocations.next_due(now);
        [renewal, issuer, revocations].into_iter().flatten().min()
    }

    async fn clean_up(
        &self,
        object: &VaultPKISecret,
        plan: Option<&Plan<PkiRequest>>,
        session: &Arc<Session>,
    ) -> Result<Option<EventText>, CleanUpError> {
        if object.spec.revoke { revoke::revoke_all(object, plan, session).await } else { Ok(None) }
    }

    async fn clean_up_destination(&self, object: &VaultPKISecret) -> Result<(), CleanUpError> {
        if !is_cleared(object) {
            return Ok(());
        }
        self.clear(object).await.map_err(|error| CleanUpError {
            event: EventText::warning(Reason::SecretSyncError, format!("Failed to clear the Secret: {error}")),
            may_pass: true,
        })
    }

    fn not_cleaned_up(_: &VaultPKISecret, why: &str) -> EventText {
        EventText::warning(Reason::CertificateRevocationError, format!("Failed to revoke the certificate: {why}"))
    }

    fn lifetime(object: &VaultPKISecret) -> Option<Lifetime> {
        let status = object.status.as_ref()?;
        let difference = status.issue.as_ref().map_or(0, |issue| issue.clock_difference);
        let ends = status.expiration?.saturating_add(difference);
        let renewal = status.renewal?;
        Some(Lifetime { ends, renew_by: renewal.saturating_add(ends.saturating_sub(renewal) / 2) })
    }
}

impl PkiSecrets {
    /// Empties the Secret, unless it is gone, or no certificate of the object has come there.
    async fn clear(&self, object: &VaultPKISecret) -> Result<(), crate::kubernetes::KubernetesError> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let writer = SecretWriter::new(&self.outputs.client, namespace);
        let name = &object.spec.destination.name;
        match writer.get(name).await? {
            Some(secret) if secret.data.as_ref().is_some_and(|data| !data.is_empty()) && is_filled(object, &secret) => {
                writer.replace(name, &Revision::of(&secret.metadata), None, &Default::default()).await.map(drop)
            }
            _ => Ok(()),
        }
    }
}

/// Whether the Secret of an object is emptied when the object goes.
fn is_cleared(object: &VaultPKISecret) -> bool {
    object.spec.clear && !object.spec.destination.create
}

/// Whether the destination holds what was issued for an object, and not what was there before.
fn is_filled(object: &VaultPKISecret, secret: &Secret) -> bool {
    let Some(status) = &object.status else { return false };
    if status.serial_number.is_some() && object.metadata.generation == Some(status.last_generation) {
        return true;
    }
    // An earlier generation may have had another destination.
    let data = secret.data.iter().flatten().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    let pending = status.pending.iter().map(|pending| &pending.serial_number);
    status.serial_number.iter().chain(pending).any(|serial| find_certificate(&data, serial).is_some())
}

/// Whether workloads that use a replaced certificate are still to be restarted. A restart that fails is not waited for.
fn waits_for_restarts(reading: &Reading<'_, VaultPKISecret>) -> bool {
    let object = reading.object;
    !object.restart_targets().is_empty()
        && !reading.are_restarts_done()
        && !condition::is_false(object.owner_conditions(), ConditionType::RolloutRestart)
}

/// Where another client changes the Secret again and again, certificates are issued ever less often.
fn pace(drift: &Drift, reason: IssueReason) -> Result<(), Interruption> {
    let now = Instant::now();
    match drift.wait_until(now).filter(|_| reason.is_of_another_client()) {
        Some(at) => Err(Interruption::Later(at.saturating_duration_since(now))),
        None => Ok(()),
    }
}

/// Seconds since 1970.
fn unix_now() -> i64 {
    chrono::Utc::now().timestamp()
}
