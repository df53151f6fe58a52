//! VaultConnection: whether its Vault answers, now and not only when the object was made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource as _;

use super::controller::{Controller, Watches};
use super::dependents::RECOVERY_SPREAD;
use super::finalizer::remove_finalizer;
use super::outcome::Outcome;
use super::outputs::{EventText, Outputs};
use super::servers::Authority;
use super::vault_access::VaultAccess;
use crate::api::{
    ConditionType, ConditionUpdate, CustomObject as _, Key, Kind, ObjectRef, Reason, VaultConnection,
    VaultConnectionStatus, condition,
};
use crate::backoff::horizon;
use crate::kubernetes::Change;
use crate::resolve;
use crate::telemetry::ResourceStatus;
use crate::vault::Probe;
use crate::workqueue::{Class, Job, Next};

const FINALIZER: &str = "vaultconnection.secrets.hashicorp.com/finalizer";
/// A Vault that answers is asked this often whether it still does, and the authority that its certificate has to be from is
/// read again. Requests of objects show trouble before that.
const PROBE_EVERY: Duration = Duration::from_secs(60);
/// One that does not is asked more often: this is how recovery is noticed.
const PROBE_DOWN_EVERY: Duration = Duration::from_secs(5);

/// Of a server that speaks a part of Vault's API. A wrong path in the address looks like this, too.
const NO_SEAL_STATUS: &str = "the server answers, but has no sys/seal-status: reads of secrets show its health";

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    /// Unsealed and answering.
    Up,
    /// The server answers, and has no seal status to tell.
    NoSealStatus,
    /// The connection is right, but this Vault serves nothing now.
    Sealed(String),
    /// Unsealed, but requests are not served.
    Unavailable(String),
    /// The client cannot be built from the object.
    NoClient(String),
    /// It does not answer as a Vault does.
    NoAnswer(String),
}

/// Probes the Vaults of all connections.
pub(super) struct VaultConnections {
    pub vault: Arc<VaultAccess>,
    pub outputs: Outputs,
}

#[async_trait::async_trait]
impl Controller for VaultConnections {
    fn kind(&self) -> Kind {
        VaultConnection::KIND
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let connections = self.vault.stores.connections.clone();
        connections.listen(move |change| self.changed(&change));
        watches.shared(connections);
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let id = &job.key.id;
        let connections = &self.vault.stores.connections;
        let Some(object) = connections.get(id) else {
            self.vault.servers.forget(id);
            return Outcome::await_change();
        };
        if object.metadata.deletion_timestamp.is_some() {
            return remove_finalizer(&self.outputs.client, &*object, FINALIZER).await;
        }
        let finding = self.probe(id, &object).await;
        let old = object.status.clone().unwrap_or_default();
        let (status, events) = report(&object, &finding);
        let retry = Next::At(Instant::now() + PROBE_DOWN_EVERY, Class::Retry);
        if self.outputs.publish(connections, &object, &status, &events).await.is_err() || !finding.is_up() {
            return Outcome::failed(retry, None);
        }
        if condition::is_false(&old.conditions, ConditionType::Ready) {
            // The owners of Secrets that use it need not wait for their next try.
            self.vault.dependents.of_connection(id, RECOVERY_SPREAD);
        }
        let due = Instant::now() + horizon(PROBE_EVERY, &mut rand::rng());
        Outcome::done(Next::At(due, Class::Refresh), None)
    }

    fn objects(&self) -> usize {
        self.vault.stores.connections.len()
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        let all = self.vault.stores.connections.all();
        all.iter().filter_map(|object| ResourceStatus::of(&**object, object.status.as_ref().map(|s| s.valid))).collect()
    }
}

impl Finding {
    /// Whether requests can be expected to work.
    fn is_up(&self) -> bool {
        matches!(self, Finding::Up | Finding::NoSealStatus)
    }
}

impl VaultConnections {
    fn changed(&self, change: &Change<VaultConnection>) {
        let dependents = &self.vault.dependents;
        let Some(id) = dependents.enqueue_if_changed(change) else { return };
        if let Change::Deleted(_) = change {
            self.vault.servers.forget(&id);
        }
        self.vault.logins.users_changed();
        for auth in self.vault.stores.auths.all() {
            if self.vault.stores.connection_of(&auth).as_ref() == Some(&id) {
                self.vault.work.push_now(auth.key(), Class::Event);
            }
        }
        dependents.of_connection(&id, super::dependents::DEPENDENTS_SPREAD);
    }

    async fn probe(&self, id: &ObjectRef, object: &VaultConnection) -> Finding {
        let servers = &self.vault.servers;
        let plan = match resolve::connection(object) {
            Ok(plan) => plan,
            Err(denied) => return Finding::NoClient(denied.to_string()),
        };
        let mut server = match servers.get_or_connect(&plan).await {
            Ok(server) => server,
            Err(error) => return Finding::NoClient(error),
        };
        // The authority may have been rotated. Nothing tells of it: its Secret is watched no more than any other.
        match servers.reload_authority(&plan, server.id).await {
            Ok(Authority::Same) => {}
            Ok(Authority::Replaced | Authority::AlreadyReplaced) => {
                tracing::info!(connection = %id, "another certificate authority is trusted from now on");
                server = match servers.get_or_connect(&plan).await {
                    Ok(server) => server,
                    Err(error) => return Finding::NoClient(error),
                };
            }
            // Objects go on with the one that was read last.
            Err(error) => return Finding::NoClient(error),
        }
        match server.probe().await {
            Ok(Probe::SealStatus(status)) if !status.initialized => Finding::Sealed("Vault is not initialized".into()),
            Ok(Probe::SealStatus(status)) if status.sealed => Finding::Sealed("Vault is sealed".into()),
            Ok(found) => match (server.last_error(), found) {
                (Some(error), _) => Finding::Unavailable(error.message),
                (None, Probe::SealStatus(_)) => Finding::Up,
                (None, Probe::NoSealStatus) => Finding::NoSealStatus,
            },
            Err(error) => Finding::NoAnswer(error.to_string()),
        }
    }
}

/// What there is to tell of a finding. The texts have nothing in them that changes from probe to probe: an equal result is no
/// write.
fn report(object: &VaultConnection, finding: &Finding) -> (VaultConnectionStatus, Vec<EventText>) {
    let address = &object.spec.address;
    let (reason, text) = match finding {
        Finding::Up => (Reason::Accepted, format!("Vault ping, address={address}")),
        Finding::NoSealStatus => (Reason::Accepted, format!("{NO_SEAL_STATUS}, address={address}")),
        Finding::Sealed(e) => {
            (Reason::VaultSealed, format!("Vault answers but serves nothing, address={address}, errs={e}"))
        }
        Finding::Unavailable(e) => {
            (Reason::VaultUnavailable, format!("Vault answers but serves nothing, address={address}, errs={e}"))
        }
        Finding::NoClient(e) => {
            (Reason::VaultClientConfigError, format!("Failed to setup Vault client, address={address}, err={e}"))
        }
        Finding::NoAnswer(e) => {
            (Reason::InvalidConfiguration, format!("Vault ping failed, address={address}, errs={e}"))
        }
    };
    let valid = !matches!(finding, Finding::NoClient(_) | Finding::NoAnswer(_));
    let status = VaultConnectionStatus { valid, conditions: conditions(object, finding, (reason, &text), valid) };
    let first = match finding {
        Finding::Up | Finding::NoSealStatus => EventText::normal(Reason::Accepted, "VaultConnection accepted"),
        Finding::NoClient(e) => {
            EventText::warning(Reason::VaultClientError, format!("Failed to construct Vault client: {e}"))
        }
        Finding::NoAnswer(e) => {
            EventText::warning(Reason::VaultClientError, format!("Failed to check Vault seal status: {e}"))
        }
        Finding::Sealed(_) | Finding::Unavailable(_) => EventText::warning(reason, text),
    };
    let invalid = (!valid).then(|| EventText::warning(Reason::InvalidConfiguration, "VaultConnection invalid"));
    (status, [first].into_iter().chain(invalid).collect())
}

fn conditions(
    object: &VaultConnection,
    finding: &Finding,
    (reason, text): (Reason, &str),
    valid: bool,
) -> Vec<Condition> {
    use ConditionType::{Healthy, Ready, ResourceValidation, VaultPing};
    let address = &object.spec.address;
    let validation = if valid {
        let text = format!("Successfully validated resource, address={address}");
        ConditionUpdate::holds(ResourceValidation, Reason::Accepted, text)
    } else {
        let text = format!("Failed to validate resource, address={address}, errs={text}");
        ConditionUpdate::fails(ResourceValidation, Reason::InvalidConfiguration, text)
    };
    let ready = if *finding == Finding::NoSealStatus { NO_SEAL_STATUS } else { "VaultConnectionReady" };
    let updates = if finding.is_up() {
        [
            ConditionUpdate::holds(VaultPing, reason, text),
            validation,
            ConditionUpdate::holds(Healthy, Reason::Healthy, "VaultConnectionHealthy"),
            ConditionUpdate::holds(Ready, Reason::Ready, ready),
        ]
    } else {
        [
            ConditionUpdate::fails(VaultPing, reason, text),
            validation,
            ConditionUpdate::fails(Healthy, Reason::Unhealthy, text),
            ConditionUpdate::fails(Ready, reason, text),
        ]
    };
    condition::merge(object.conditions(), object.meta().generation.unwrap_or(0), &updates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::condition::find;

    #[test]
    fn each_finding_has_its_conditions_and_its_event() {
        let object = VaultConnection::new(
            "c",
            crate::api::VaultConnectionSpec { address: "http://v".into(), ..Default::default() },
        );
        let text = || "why".to_owned();
        let accepted = ("Accepted", "VaultConnection accepted");
        let invalid = ("InvalidConfiguration", "VaultConnection invalid");
        let sealed = ("VaultSealed", "Vault answers but serves nothing, ");
        let unavailable = ("VaultUnavailable", "Vault answers but serves nothing, ");
        let no_client = ("VaultClientError", "Failed to construct Vault client: why");
        let no_answer = ("VaultClientError", "Failed to check Vault seal status: why");
        for (finding, valid, ready, events) in [
            (Finding::Up, true, Reason::Ready, vec![accepted]),
            (Finding::NoSealStatus, true, Reason::Ready, vec![accepted]),
            (Finding::Sealed(text()), true, Reason::VaultSealed, vec![sealed]),
            (Finding::Unavailable(text()), true, Reason::VaultUnavailable, vec![unavailable]),
            (Finding::NoClient(text()), false, Reason::VaultClientConfigError, vec![no_client, invalid]),
            (Finding::NoAnswer(text()), false, Reason::InvalidConfiguration, vec![no_answer, invalid]),
        ] {
            let (status, reported) = report(&object, &finding);
            let of = |type_| find(&status.conditions, type_).unwrap();
            assert_eq!(status.valid, valid, "{finding:?}");
            // Alert rules that were written for VSO match on the reason and the beginning of the message.
            assert_eq!(reported.len(), events.len(), "{finding:?}: {reported:?}");
            for (event, (reason, start)) in reported.iter().zip(events) {
                assert_eq!(event.reason.as_str(), reason, "{finding:?}");
                assert!(event.message.starts_with(start), "{finding:?}: {event:?}");
            }
            assert_eq!(of(ConditionType::Ready).reason, ready.as_str(), "{finding:?}");
            let up = finding.is_up();
            assert_eq!(of(ConditionType::Ready).status == "True", up, "{finding:?}");
            assert_eq!(of(ConditionType::VaultPing).status == "True", up, "{finding:?}");
            assert_eq!(of(ConditionType::ResourceValidation).status == "True", valid, "{finding:?}");
            assert_eq!(report(&object, &finding).1, reported, "an equal finding is an equal report");
        }
    }
}
