//! Leases of credentials that were replaced: revoked when no workload uses them any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};

use super::lease::{not_revoked, revoke};
use crate::api::dynamic_secret::{ReplacedLease, SecretLease};
use crate::api::{ConditionType, ConditionUpdate, Reason, SecretOwner, VaultDynamicSecretStatus};
use crate::controllers::outputs::{EventText, Outputs};
use crate::kubernetes::{ErrorKind, Workloads};
use crate::vault::Session;

/// Between two looks at a rollout that is not complete.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// After a revocation that failed, and between two looks once all old leases have ended.
const RETRY_DELAY: Duration = Duration::from_secs(30);
/// The oldest of more are left to end by themselves.
const MAX_REPLACED_LEASES: usize = 8;

/// What a run has found of replaced leases.
#[derive(Default)]
pub(crate) struct Retirement {
    /// The leases that are left, if the run has looked.
    left: Option<Vec<ReplacedLease>>,
    /// Why they are left.
    waiting: Option<String>,
    next_look: Option<Instant>,
    /// Old leases could not be revoked, and that was told.
    revocation_failed: bool,
    /// They are left to end by themselves.
    given_up: bool,
    events: Vec<EventText>,
}

impl Retirement {
    /// When the rollouts are looked at again.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.next_look
    }

    /// There is no login: the next look is later.
    pub(super) fn wait(&mut self) {
        self.next_look = self.next_look.map(|at| at.max(Instant::now() + RETRY_DELAY));
    }

    /// The spec does not ask for revocations any more, or does not name the workloads that have to roll out first: what
    /// uses the old leases may still run.
    pub(super) fn give_up(&mut self, status: &VaultDynamicSecretStatus) {
        if !status.replaced_leases.is_empty() {
            (self.left, self.waiting, self.next_look, self.given_up) = (Some(vec![]), None, None, true);
        }
    }

    /// Looks at the rollouts of all restart targets, and revokes what no workload uses any more. `restarted`: all of
    /// them were restarted for what the Secret holds.
    pub(super) async fn look(
        &mut self,
        outputs: &Outputs,
        owner: &dyn SecretOwner,
        restarted: bool,
        status: &VaultDynamicSecretStatus,
        session: &Arc<Session>,
        namespace: &str,
    ) {
        if status.replaced_leases.is_empty() {
            (self.next_look, self.waiting) = (None, None);
            return;
        }
        if self.next_look.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let now = Utc::now().timestamp();
        let mut left = status.replaced_leases.clone();
        self.events.clear();
        let known_failure = std::mem::take(&mut self.revocation_failed);
        self.waiting = if restarted {
            unfinished_rollout(outputs, owner).await
        } else {
            let targets: Vec<_> = owner.restart_targets().iter().map(|t| format!("{} {}", t.kind, t.name)).collect();
            Some(format!("{} were not all restarted for the new credentials yet", targets.join(", ")))
        };
        let mut pause = if left.iter().any(|lease| lease.expiration > now) { LOOK_INTERVAL } else { RETRY_DELAY };
        if self.waiting.is_none() {
            let mut kept = vec![];
            for lease in left.into_iter().filter(|lease| lease.expiration > now) {
                match revoke(session, lease.namespace.as_deref(), namespace, &lease.id, true).await {
                    Ok(()) => self.events.push(EventText::normal(
                        Reason::SecretLeaseRevoke,
                        format!("Lease revoked: {}; all workloads run with the new credentials", lease.id),
                    )),
                    Err((error, _)) => {
                        self.revocation_failed = true;
                        if !known_failure {
                            self.events.push(not_revoked(&lease.id, &error));
                        }
                        self.waiting = Some(format!("Failed to revoke lease: {error}"));
                        pause = RETRY_DELAY;
                        kept.push(lease);
                    }
                }
            }
            left = kept;
        }
        self.next_look = (!left.is_empty()).then(|| Instant::now() + pause);
        self.left = Some(left);
    }

    /// The lease of credentials that were replaced now.
    pub(super) fn add(&mut self, status: &mut VaultDynamicSecretStatus, lease: &SecretLease, expiration: i64) {
        let leases = &mut status.replaced_leases;
        leases.push(ReplacedLease { id: lease.id.clone(), expiration, namespace: lease.namespace.clone() });
        leases.drain(..leases.len().saturating_sub(MAX_REPLACED_LEASES));
        self.next_look = Some(Instant::now() + LOOK_INTERVAL);
    }

    /// Puts what a run has found into the status. Before [`Retirement::add`].
    pub(super) fn report(
        &mut self,
        status: &mut VaultDynamicSecretStatus,
    ) -> (Vec<ConditionUpdate<'static>>, Vec<EventText>) {
        let Some(left) = self.left.take() else { return (vec![], vec![]) };
        let given_up = std::mem::take(&mut self.given_up);
        let end = left.iter().map(|lease| lease.expiration).max();
        status.replaced_leases = left;
        let type_ = ConditionType::RolloutComplete;
        let condition = match (&self.waiting, end.and_then(|end| DateTime::from_timestamp(end, 0))) {
            (Some(why), Some(end)) => {
                let verb = if end > Utc::now() { "end" } else { "have ended" };
                let end = end.to_rfc3339_opts(SecondsFormat::Secs, true);
                let text = format!("{why}; the old credentials {verb} at {end}");
                ConditionUpdate::fails(type_, Reason::RolloutInProgress, text)
            }
            _ if given_up => {
                let text = "The replaced credentials are left to end by themselves";
                ConditionUpdate::holds(type_, Reason::RolloutComplete, text)
            }
            _ => ConditionUpdate::holds(type_, Reason::RolloutComplete, "All workloads run with the new credentials"),
        };
        (vec![condition], std::mem::take(&mut self.events))
    }
}

/// Why the restart targets do not all run with the newest pod template yet.
async fn unfinished_rollout(outputs: &Outputs, owner: &dyn SecretOwner) -> Option<String> {
    let workloads = Workloads::new(&outputs.client, owner.namespace());
    for target in owner.restart_targets() {
        let (kind, name) = (&target.kind, &target.name);
        match workloads.get(kind, name).await {
            Ok(workload) => {
                if let Some(why) = workload.unfinished_rollout() {
                    return Some(format!("The rollout of {kind} {name} is not complete: {why}"));
                }
            }
            // A workload that is gone uses no credentials.
            Err(error) if error.kind == ErrorKind::NotFound => {}
            Err(error) => return Some(format!("The rollout of {kind} {name} cannot be looked at: {error}")),
        }
    }
    None
}
