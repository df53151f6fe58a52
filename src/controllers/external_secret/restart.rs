//! The restarts that follow a change of the data.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::Secret;

use super::ExternalSecrets;
use super::state::{Owed, State};
use crate::api::external_secrets::ExternalSecret;
use crate::api::{
    Condition, ConditionStatus, ConditionType, ConditionUpdate, CustomObject as _, Reason, RolloutRestartTarget,
    condition,
};
use crate::controllers::outputs::EventText;
use crate::external_secret::target::{self, Owner};
use crate::external_secret::{hash, restart};
use crate::kubernetes::{ErrorKind, KubernetesError, Revision, Workloads};
use crate::sync::{self, Mark, RestartError, Rollout};

/// The record of restarts is tried so many times on a Secret that other clients write at the same time.
const ATTEMPTS: usize = 4;

/// What became of the restarts that an ExternalSecret asks for.
pub(super) enum Restarts {
    /// There is nothing to restart for.
    NotOwed,
    /// Its annotation means nothing.
    Invalid(String),
    /// They are to come.
    Waiting(Instant),
    /// All are done.
    Done,
    /// Some are not done.
    Failed(Vec<String>),
}

impl Restarts {
    /// Whether they are to be tried again.
    pub fn have_failed(&self) -> bool {
        matches!(self, Restarts::Failed(_))
    }

    /// When those that are to come are due.
    pub fn due(&self) -> Option<Instant> {
        if let Restarts::Waiting(due) = self { Some(*due) } else { None }
    }

    /// The conditions, with what there is to say of restarts.
    pub fn conditions(&self, known: &[Condition]) -> Vec<Condition> {
        let type_ = ConditionType::RolloutRestart;
        let update = match self {
            Restarts::NotOwed => {
                // What was wrong is so no more.
                let is_over =
                    |condition: &Condition| condition.type_ == type_ && condition.status != ConditionStatus::True;
                return known.iter().filter(|condition| !is_over(condition)).cloned().collect();
            }
            Restarts::Waiting(_) => return known.to_vec(),
            Restarts::Done => {
                ConditionUpdate::holds(type_, Reason::RolloutRestartTriggered, "Rollout restart triggered")
            }
            Restarts::Invalid(_) | Restarts::Failed(_) => {
                ConditionUpdate::fails(type_, Reason::RolloutRestartTriggeredFailed, self.message())
            }
        };
        condition::merge_without_generation(known, &[update])
    }

    /// The event, if the condition of the object does not say it yet.
    pub fn news(&self, object: &ExternalSecret) -> Vec<EventText> {
        if matches!(self, Restarts::NotOwed | Restarts::Waiting(_) | Restarts::Done)
            || self.conditions(object.conditions()) == object.conditions()
        {
            return vec![];
        }
        vec![EventText::warning(Reason::RolloutRestartFailed, self.message())]
    }

    fn message(&self) -> String {
        match self {
            Restarts::NotOwed | Restarts::Waiting(_) | Restarts::Done => String::new(),
            Restarts::Invalid(why) => why.clone(),
            Restarts::Failed(errors) => format!("Rollout restart trigger failed, err={}", errors.join("; ")),
        }
    }
}

impl ExternalSecrets {
    /// The restarts of an object that its Secret owes.
    pub(super) fn owed(&self, object: &ExternalSecret, secret: &Secret) -> Option<Owed> {
        let hash = restart::owed(&secret.metadata, Owner::of(object).name)?.to_owned();
        Some(Owed { hash, mac: self.mac_key.key.mac(&target::data_of(secret)) })
    }

    /// Restarts what the object names, if its Secret owes it, and records that on the Secret.
    pub(super) async fn restart(&self, object: &ExternalSecret, state: &mut State) -> Restarts {
        let targets = match restart::targets(&object.metadata) {
            Ok(targets) => targets,
            Err(why) => return Restarts::Invalid(why),
        };
        let Some(owed) = state.owed.clone() else {
            state.rollouts.clear();
            return Restarts::NotOwed;
        };
        let (mut errors, later) = self.restart_all(object, targets, &owed, &mut state.rollouts).await;
        if let (true, Some(later)) = (errors.is_empty(), later) {
            return Restarts::Waiting(later);
        }
        if errors.is_empty()
            && let Err(error) = self.record(object, state, &owed).await
        {
            errors.push(error.to_string());
        }
        if !errors.is_empty() {
            return Restarts::Failed(errors);
        }
        if std::mem::take(&mut state.rollouts).is_empty() { Restarts::NotOwed } else { Restarts::Done }
    }

    /// Restarts every target that does not carry the MAC yet, as soon as the rollout is due that the target has for all
    /// that it is restarted for. `held` has the rollouts that were asked before, and those that are to come. Gives what
    /// went wrong, and when the rest is due.
    async fn restart_all(
        &self,
        object: &ExternalSecret,
        targets: Vec<RolloutRestartTarget>,
        owed: &Owed,
        held: &mut Vec<Arc<Rollout>>,
    ) -> (Vec<String>, Option<Instant>) {
        let meta = &object.metadata;
        let Owner { namespace, name, .. } = Owner::of(object);
        let outputs = &self.access.outputs;
        // A target that was missing may have been made since, and started with this content.
        let mut content_since = None;
        if condition::is_false(object.conditions(), ConditionType::RolloutRestart) {
            match self.writer(object).changed_at(object.target_name()).await {
                Ok(since) => content_since = since,
                Err(error) => return (vec![error.to_string()], None),
            }
        }
        let mark = Mark::of_object(name, &sync::restart_digest(&owed.mac, meta));
        let targets: BTreeSet<_> = targets.into_iter().collect();
        let ask = |target| self.rollouts.ask(namespace, target, mark.clone(), content_since, held);
        *held = targets.iter().map(ask).collect();
        let due = held.iter().map(|rollout| rollout.due()).max().filter(|due| *due > Instant::now());
        if due.is_some() {
            return (vec![], due);
        }
        let workloads = Workloads::new(&outputs.client, namespace);
        let (mut errors, mut later) = (vec![], None);
        for rollout in held.iter() {
            let target = rollout.target();
            let text = format!("{} {}", target.kind, target.name);
            match self.rollouts.restart(&workloads, rollout, &mark).await {
                Ok(done) => {
                    if done.now {
                        outputs.metrics.restarted(true);
                    }
                    if done.for_mark {
                        let text = format!("Rollout restart triggered for {{{text}}}");
                        let event = EventText::normal(Reason::RolloutRestartTriggered, text);
                        outputs.event(ExternalSecret::KIND, meta, &event).await;
                    }
                }
                Err(RestartError::Later(at)) => later = later.max(Some(at)),
                Err(error) => {
                    outputs.metrics.restarted(false);
                    errors.push(format!("{text}: {error}"));
                }
            }
        }
        (errors, later)
    }

    /// Writes to the Secret that the restarts for its data are done. A Secret with other data by now stays as it is:
    /// the watch tells of it.
    async fn record(&self, object: &ExternalSecret, state: &mut State, owed: &Owed) -> Result<(), KubernetesError> {
        let writer = self.writer(object);
        let manager = hash::field_manager(Owner::of(object).name);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let Some(mut secret) = writer.get(object.target_name()).await? else { break };
            if restart::owed(&secret.metadata, Owner::of(object).name) != Some(&owed.hash) {
                break;
            }
            let is_known = |revision: &Revision| *revision == Revision::of(&secret.metadata);
            let applied = state.applied.clone().filter(|applied| applied.revision.as_ref().is_some_and(is_known));
            restart::settle(&mut secret.metadata, Owner::of(object).name);
            secret.metadata.managed_fields = None;
            match writer.update_as(&secret, &manager).await {
                Ok(revision) => {
                    match applied {
                        Some(applied) => self.keep(object, state, revision, applied.inputs),
                        // Another client has changed it as well.
                        None => state.applied = None,
                    }
                    last = None;
                    break;
                }
                Err(error) if error.kind == ErrorKind::NotFound => break,
                Err(error) if error.kind == ErrorKind::Conflict => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = last {
            return Err(error);
        }
        state.owed = None;
        Ok(())
    }
}
