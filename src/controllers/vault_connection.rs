//! VaultConnection: whether its Vault answers, now and not only when the object was made.

use std::sync::Arc;
use std::time::Instant;

use kube::Resource as _;

use super::controller::{Controller, Watches, timed_out_text};
use super::finalizer::remove_finalizer;
use super::outcome::{MIN_RETRY_DELAY, Outcome, retry_delay};
use super::outputs::{EventText, Outputs};
use super::probe::{Finding, SharedProbe};
use super::servers::Authority;
use super::vault_access::VaultAccess;
use crate::api::{
    Condition, ConditionType, ConditionUpdate, CustomObject as _, Key, Kind, Reason, VaultConnection,
    VaultConnectionStatus, condition,
};
use crate::kubernetes::Change;
use crate::resolve;
use crate::telemetry::ResourceStatus;
use crate::vault::Server;
use crate::workqueue::{Class, Job, Lane, Next};

const FINALIZER: &str = "vaultconnection.secrets.hashicorp.com/finalizer";

/// The server speaks a part of Vault's API. A wrong path in the address looks like this, too.
const NO_SEAL_STATUS: &str = "the server answers, but has no sys/seal-status: reads of secrets show its health";

/// What a run has found.
struct Look {
    finding: Finding,
    /// When there is more to know.
    next: Instant,
    /// The server that the connection leads to.
    lane: Option<Lane>,
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
            self.vault.servers.forget(&job.key);
            return Outcome::await_change();
        };
        if object.metadata.deletion_timestamp.is_some() {
            return remove_finalizer(&self.outputs.client, &*object, FINALIZER).await;
        }
        let Look { finding, next, lane } = match self.look(job, &object).await {
            Ok(look) => look,
            Err(lane) => return Outcome::yielded(Next::At(job.due, job.class), Some(lane)),
        };
        let old = object.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let (status, events) = report(&object, &finding);
        if self.outputs.publish(connections, &object, &status, &events).await.is_err() {
            return Outcome::failed(Next::At(Instant::now() + MIN_RETRY_DELAY, Class::Retry), lane);
        }
        if !finding.is_up() {
            return Outcome::failed(Next::At(next, Class::Retry), lane);
        }
        if condition::is_false(old, ConditionType::Ready) {
            // The owners of Secrets that use it need not wait for their next try.
            self.vault.dependents.of_recovered_connection(id);
        }
        Outcome::done(Next::At(next, Class::Refresh), lane)
    }

    async fn timed_out(&self, job: &Job<Key>) -> Outcome {
        let connections = &self.vault.stores.connections;
        let Some(object) = connections.get(&job.key.id) else { return Outcome::await_change() };
        let next = Next::At(Instant::now() + retry_delay(object.conditions()), Class::Retry);
        let (status, events) = report(&object, &Finding::NoAnswer(timed_out_text(false)));
        // Reported by `publish` if it fails; tried again in any case.
        let _ = self.outputs.publish(connections, &object, &status, &events).await;
        Outcome::failed(next, None)
    }

    fn objects(&self) -> usize {
        self.vault.stores.connections.len()
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        let all = self.vault.stores.connections.all();
        all.iter().filter_map(|object| ResourceStatus::of(&**object, object.status.as_ref().map(|s| s.valid))).collect()
    }
}

impl VaultConnections {
    fn changed(&self, change: &Change<VaultConnection>) {
        let dependents = &self.vault.dependents;
        let Some(id) = dependents.enqueue_if_changed(change) else { return };
        if let Change::Deleted(_) = change {
            self.vault.servers.forget(&Key { kind: VaultConnection::KIND, id: id.clone() });
        }
        self.vault.logins.users_changed();
        for auth in self.vault.stores.auths.all() {
            if self.vault.stores.connection_of(&auth).as_ref() == Some(&id) {
                self.vault.work.push_now(auth.key(), Class::Event);
            }
        }
        dependents.of_connection(&Key { kind: VaultConnection::KIND, id }, super::dependents::DEPENDENTS_SPREAD);
    }

    /// Looks at the Vault of a connection, or gives the lane that has no permit left.
    async fn look(&self, job: &Job<Key>, object: &VaultConnection) -> Result<Look, Lane> {
        let no_client = |error: String| {
            let next = Instant::now() + retry_delay(object.conditions());
            Ok(Look { finding: Finding::NoClient(error), next, lane: None })
        };
        let (server, probe) = match self.connect(object).await {
            Ok(connected) => connected,
            Err(error) => return no_client(error),
        };
        if !self.vault.work.enter(&job.key, server.id) {
            return Err(server.id);
        }
        let (finding, next) = probe.look(&server).await;
        Ok(Look { finding, next, lane: Some(server.id) })
    }

    async fn connect(&self, object: &VaultConnection) -> Result<(Arc<Server>, Arc<SharedProbe>), String> {
        let servers = &self.vault.servers;
        let plan = resolve::connection(object).map_err(|denied| denied.to_string())?;
        let server = servers.get_or_connect(&plan).await?;
        // The authority may have been rotated. Nothing tells of it: its Secret is watched no more than any other. Where
        // it cannot be read, objects go on with the one that was read last.
        let server = match servers.reload_authority(&plan, server.id).await? {
            Authority::Same => server,
            Authority::Replaced | Authority::AlreadyReplaced => {
                tracing::info!(connection = %plan.key, "another certificate authority is trusted from now on");
                servers.get_or_connect(&plan).await?
            }
        };
        Ok((server.clone(), servers.probe_of(&server)))
    }
}

/// What there is to tell of a finding. The texts have nothing in them that changes from probe to probe: an equal result
/// is no write.
fn report(object: &VaultConnection, finding: &Finding) -> (VaultConnectionStatus, Vec<EventText>) {
    let address = &object.spec.address;
    let (reason, text) = match finding {
        Finding::Up(server) => (Reason::Accepted, format!("Vault ping, address={address}, server={server}")),
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
        Finding::Up(_) | Finding::NoSealStatus => EventText::normal(Reason::Accepted, "VaultConnection accepted"),
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
        let cut = resolve::cut_timeout(&object.spec).map(|note| format!("; {note}")).unwrap_or_default();
        let text = format!("Successfully validated resource, address={address}{cut}");
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
    use crate::api::VaultConnectionSpec;
    use crate::api::condition::find;
    use crate::vault::{Product, ServerVersion};

    #[test]
    fn a_timeout_that_is_too_long_is_told() {
        for (timeout, told) in [(None, false), (Some("60s"), false), (Some("0s"), false), (Some("61s"), true)] {
            let spec = VaultConnectionSpec { timeout: timeout.map(Into::into), ..Default::default() };
            let (status, _) = report(
                &VaultConnection::new("c", spec),
                &Finding::Up(ServerVersion { product: Product::Vault, version: String::new() }),
            );
            let message = &find(&status.conditions, ConditionType::ResourceValidation).unwrap().message;
            let text = "; spec.timeout 61s counts as 60 s: no request takes longer";
            assert_eq!(message.ends_with(text), told, "{message}");
            assert_eq!(message.contains("spec.timeout"), told, "{message}");
        }
    }

    #[test]
    fn each_finding_has_its_conditions_and_its_event() {
        let object =
            VaultConnection::new("c", VaultConnectionSpec { address: "http://v".into(), ..Default::default() });
        let text = || "why".to_owned();
        let openbao = ServerVersion { product: Product::OpenBao, version: "2.7.2".into() };
        let accepted = ("Accepted", "VaultConnection accepted");
        let invalid = ("InvalidConfiguration", "VaultConnection invalid");
        let sealed = ("VaultSealed", "Vault answers but serves nothing, ");
        let unavailable = ("VaultUnavailable", "Vault answers but serves nothing, ");
        let no_client = ("VaultClientError", "Failed to construct Vault client: why");
        let no_answer = ("VaultClientError", "Failed to check Vault seal status: why");
        for (finding, valid, ready, events) in [
            (Finding::Up(openbao), true, Reason::Ready, vec![accepted]),
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
            assert_eq!(of(ConditionType::Ready).reason, ready, "{finding:?}");
            let up = finding.is_up();
            assert_eq!(of(ConditionType::Ready).status.as_str() == "True", up, "{finding:?}");
            assert_eq!(of(ConditionType::VaultPing).status.as_str() == "True", up, "{finding:?}");
            assert_eq!(of(ConditionType::ResourceValidation).status.as_str() == "True", valid, "{finding:?}");
            assert_eq!(report(&object, &finding).1, reported, "an equal finding is an equal report");
            if let Finding::Up(_) = finding {
                assert_eq!(
                    &*of(ConditionType::VaultPing).message,
                    "Vault ping, address=http://v, server=OpenBao 2.7.2"
                );
            }
        }
    }
}
