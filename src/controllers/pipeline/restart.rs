//! The restarts that follow a change of the content.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::state::{Content, FailedRestarts, ObjectState, Owed};
use super::write::{Written, restarts};
use crate::api::{ConditionType, Reason, SecretOwner, condition};
use crate::controllers::outputs::EventText;
use crate::kubernetes::{SecretWriter, Workloads};
use crate::sync::{self, Mark, RestartError, Rollout};
use crate::workqueue::{Class, Next};

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

impl<T> ObjectState<T> {
    /// Keeps the restarts of a content that are left. The object is due for them at `again`, or to be refreshed,
    /// whichever comes first.
    pub fn follow_up(
        &mut self,
        content: Content,
        restarts: Option<Restarts>,
        again: Option<Instant>,
        refresh: Option<Instant>,
    ) -> Next {
        self.owed = None;
        if let (Some(Restarts { errors, .. }), Some(again)) = (restarts.filter(|restarts| !restarts.are_done()), again)
        {
            if errors.is_empty() {
                self.owed = Some(Box::new(Owed { content, at: again, refresh }));
            } else {
                let Content { mac, generation, .. } = content;
                self.failed_restarts = Some(Box::new(FailedRestarts { mac, generation, errors, again }));
            }
        }
        let next = match (again, refresh) {
            (Some(again), refresh) if refresh.is_none_or(|refresh| again <= refresh) => Next::At(again, Class::Retry),
            (_, Some(refresh)) => Next::At(refresh, Class::Refresh),
            (_, None) => Next::WhenChanged,
        };
        self.due = if let Next::At(due, _) = next { Some(due) } else { None };
        next
    }
}

/// The restarts that the content of the Secret owes. `None`: it owes none. `recorded` is the content whose restarts are
/// all done.
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

/// Restarts every target that does not carry the content's digest yet, as soon as the rollout is due that the target
/// has for all that it is restarted for. `held` has the rollouts that were asked before, and those that are to come.
pub(super) async fn restart_all(
    shared: &Shared,
    owner: &dyn SecretOwner,
    writer: &SecretWriter,
    mac: &str,
    held: &mut Vec<Arc<Rollout>>,
) -> Restarts {
    let mut restarts = Restarts::default();
    // A target that was missing may have been made since, and started with this content. When that was written is asked
    // for only after a failure.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn follow_up(
        restarts: Option<Restarts>,
        again: Option<Instant>,
        refresh: Option<Instant>,
    ) -> (Next, ObjectState<()>) {
        let mut state = ObjectState::new(Instant::now());
        let content = Content { mac: "m".into(), record: "r".into(), generation: 1 };
        (state.follow_up(content, restarts, again, refresh), state)
    }

    #[test]
    fn the_earlier_of_retry_and_refresh_counts() {
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
        for (again, refresh, expected, due) in [
            (None, None, Next::WhenChanged, None),
            (None, Some(late), Next::At(late, Class::Refresh), Some(late)),
            (Some(soon), None, Next::At(soon, Class::Retry), Some(soon)),
            (Some(soon), Some(late), Next::At(soon, Class::Retry), Some(soon)),
            (Some(late), Some(soon), Next::At(soon, Class::Refresh), Some(soon)),
        ] {
            let (next, state) = follow_up(None, again, refresh);
            assert_eq!((next, state.due), (expected, due));
            assert!(state.owed.is_none() && state.failed_restarts.is_none());
        }
    }

    #[test]
    fn restarts_that_are_left_are_kept_until_they_are_due() {
        let again = Instant::now() + Duration::from_secs(1);
        let (_, state) = follow_up(Some(Restarts { again: Some(again), ..Restarts::default() }), Some(again), None);
        assert!(state.owed.is_some_and(|owed| owed.at == again) && state.failed_restarts.is_none());
        let failed = Restarts { errors: vec!["no".into()], ..Restarts::default() };
        let (_, state) = follow_up(Some(failed), Some(again), None);
        assert!(state.failed_restarts.is_some_and(|failed| failed.again == again) && state.owed.is_none());
        let (_, state) = follow_up(Some(Restarts::default()), Some(again), None);
        assert!(
            state.owed.is_none() && state.failed_restarts.is_none(),
            "they are done; something else is tried again"
        );
    }
}
