//! The restarts that follow a change of the content.

use std::time::Instant;

use super::Shared;
use super::write::restarts;
use crate::api::{ConditionType, Reason, SecretOwner, condition};
use crate::controllers::outputs::EventText;
use crate::kubernetes::{SecretWriter, Workloads};
use crate::sync::{self, Previous, Restart};

/// What became of the restarts of a run.
pub(super) struct Restarts {
    pub errors: Vec<String>,
    pub restarted: usize,
    /// When to try again, if an earlier run has settled that.
    pub again: Option<Instant>,
}

/// Whether workloads have to be restarted for the content with this MAC.
pub(super) fn pending(
    owner: &dyn SecretOwner,
    recorded: Option<&str>,
    previous: &Previous,
    mac: &str,
    key_made: i64,
) -> bool {
    restarts(owner) && sync::restarts_pending(recorded, previous, mac, key_made)
}

/// Restarts every target that does not carry the content's digest yet.
pub(super) async fn restart_all(
    shared: &Shared,
    owner: &dyn SecretOwner,
    writer: &SecretWriter,
    mac: &str,
) -> Restarts {
    let workloads = Workloads::new(&shared.outputs.client, owner.namespace());
    let mut restarts = Restarts { errors: vec![], restarted: 0, again: None };
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
    let digest = sync::restart_digest(mac, owner.metadata());
    for target in owner.restart_targets() {
        let (kind, name) = (&target.kind, &target.name);
        match sync::restart(&workloads, target, owner.name(), &digest, content_since).await {
            Ok(Restart::NotNeeded) => {}
            Ok(Restart::Done) => {
                restarts.restarted += 1;
                shared.outputs.metrics.restarted(true);
                let text = format!("Rollout restart triggered for {{{kind} {name}}}");
                let event = EventText::normal(Reason::RolloutRestartTriggered, text);
                shared.outputs.event(owner.kind(), owner.metadata(), &event).await;
            }
            Err(error) => {
                shared.outputs.metrics.restarted(false);
                restarts.errors.push(format!("{kind} {name}: {error}"));
            }
        }
    }
    restarts
}
