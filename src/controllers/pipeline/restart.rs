//! The restarts that follow a change of the content.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::state::ObjectState;
use super::write::{Written, restarts};
use crate::api::{ConditionType, Reason, SecretOwner, condition};
use crate::controllers::outputs::EventText;
use crate::kubernetes::{SecretWriter, Workloads};
use crate::sync::{self, Mark, RestartError, Rollout};

/// What became of the restarts of a run.
#[derive(Default)]
pub(super) struct Restarts {
    pub errors: Vec<String>,
    pub restarted: usize,
    /// When to try again, if an earlier run has settled that, or if targets wait for what else they are restarted for.
    pub again: Option<Instant>,
}

impl Restarts {
    /// Whether all are done.
    pub fn are_done(&self) -> bool {
        self.errors.is_empty() && self.again.is_none()
    }
}

/// The restarts that the content of the Secret owes. `None`: it owes none. `recorded` is the content whose restarts are all
/// done.
pub(super) async fn follow<T>(
    shared: &Shared,
    owner: &dyn SecretOwner,
    writer: &SecretWriter,
    written: &Written,
    recorded: Option<&str>,
    state: &mut ObjectState<T>,
) -> Option<Restarts> {
    let (mac, previous) = (&written.mac, &written.result.previous);
    let failed = state.failed_restarts.take();
    if !restarts(owner) || !sync::restarts_pending(recorded, previous, mac, shared.mac_key.made) {
        state.rollouts.clear();
        return None;
    }
    match failed {
        Some(failed) if failed.still_stands(mac, owner.generation(), Instant::now()) => {
            Some(Restarts { errors: failed.errors, restarted: 0, again: Some(failed.again) })
        }
        _ => Some(restart_all(shared, owner, writer, mac, &mut state.rollouts).await),
    }
}

/// Restarts every target that does not carry the content's digest yet, as soon as the rollout is due that the target has
/// for all that it is restarted for. `held` has the rollouts that were asked before, and those that are to come.
pub(super) async fn restart_all(
    shared: &Shared,
    owner: &dyn SecretOwner,
    writer: &SecretWriter,
    mac: &str,
    held: &mut Vec<Arc<Rollout>>,
) -> Restarts {
    let mut restarts = Restarts::default();
    // A target that was missing may have been made since, and started with this content. When that was written is asked for
    // only after a failure.
    let mut content_since = None;
    if condition::is_false(owner.owner_conditions(), ConditionType::RolloutRestart) {
        match writer.changed_at(&owner.destination().name).await {
            Ok(since) => content_since = since,
            Err(error) => {
                restarts.errors.push(error.to_string());
                return restarts;
            }
        }
    }
    let mark = Mark::of_object(owner.name(), &sync::restart_digest(mac, owner.metadata()));
    let rollouts = &shared.rollouts;
    let targets: BTreeSet<_> = owner.restart_targets().iter().collect();
    let ask = |target| rollouts.ask(owner.namespace(), target, mark.clone(), content_since, held);
    *held = targets.into_iter().map(ask).collect();
    restarts.again = held.iter().map(|rollout| rollout.due()).max().filter(|due| *due > Instant::now());
    if restarts.again.is_some() {
        return restarts;
    }
    let workloads = Workloads::new(&shared.outputs.client, owner.namespace());
    for rollout in held.iter() {
        let target = rollout.target();
        let text = format!("{} {}", target.kind, target.name);
        match rollouts.restart(&workloads, rollout, &mark).await {
            Ok(done) => {
                if done.now {
                    shared.outputs.metrics.restarted(true);
                }
                if done.for_mark {
                    restarts.restarted += 1;
                    let text = format!("Rollout restart triggered for {{{text}}}");
                    let event = EventText::normal(Reason::RolloutRestartTriggered, text);
                    shared.outputs.event(owner.kind(), owner.metadata(), &event).await;
                }
            }
            Err(RestartError::Later(at)) => restarts.again = restarts.again.max(Some(at)),
            Err(error) => {
                shared.outputs.metrics.restarted(false);
                restarts.errors.push(format!("{text}: {error}"));
            }
        }
    }
    if restarts.are_done() {
        held.clear();
    }
    restarts
}
