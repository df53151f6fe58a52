//! What a run has to tell: conditions, status, events, and when the next one is due.

use std::borrow::Cow;
use std::time::Instant;

use kube::core::object::HasStatus;

use super::failure::Failure;
use super::restart::Restarts;
use super::state::{Content, ObjectState};
use super::{Pipeline, SecretSource};
use crate::api::owner::OwnerStatus as _;
use crate::api::{
    Condition, ConditionStatus, ConditionType, ConditionUpdate, Kind, Reason, SecretOwner, VaultClientMeta, condition,
};
use crate::controllers::outcome::Outcome;
use crate::controllers::outputs::EventText;
use crate::controllers::subscriptions;
use crate::kubernetes::KubernetesError;
use crate::resolve::{AuthPlan, Plan};
use crate::sync;
use crate::vault::TokenInfo;

/// What a run that got through has to tell.
pub(super) struct Synced {
    /// MAC of the data.
    pub mac: String,
    /// The Secret had to be written.
    pub wrote: bool,
    /// What `status.secretMAC` says of the content.
    pub record: String,
    /// Why Secrets of a former destination name may be left.
    pub orphans: Option<String>,
    /// `None`: none was pending.
    pub restarts: Option<Restarts>,
    /// The token that the data was obtained with, if it is new.
    pub token: Option<TokenInfo>,
}

/// What there is to say of a run that got through.
struct Success<K: HasStatus> {
    status: K::Status,
    /// Events that go with the status, if it is written.
    events: Vec<EventText>,
    /// The event of a Secret that was written, where it is not VSO's for VaultStaticSecrets.
    written: Option<EventText>,
    /// The generation that is applied, if that is not the one that there is now.
    generation: Option<i64>,
}

/// The status of an object, to be changed.
pub(super) fn status_of<K: HasStatus<Status: Clone + Default>>(object: &K) -> K::Status {
    object.status().cloned().unwrap_or_default()
}

impl<S: SecretSource> Pipeline<S> {
    /// Tells of a run that got through.
    pub(super) async fn succeed(
        &self,
        object: &S::Owner,
        plan: &Plan<S::Plan>,
        state: &mut ObjectState<S::State>,
        synced: Synced,
    ) -> Outcome {
        let outputs = &self.shared.outputs;
        let Success { status, events, written, generation } = self.success(object, plan, state, &synced);
        if outputs.publish(&self.store, object, &status, &events).await.is_err() {
            // Nothing is lost: the Secret is written, and the next run finds all as after a start.
            state.applied = None;
            return state.retry(&self.shared.backoff);
        }
        if let (Some(subscription), Some((_, subject))) = (&mut state.subscription, S::followed(plan, Some(&status))) {
            subscription.move_to(subject);
        }
        let Synced { mac, wrote, record, orphans, restarts, .. } = synced;
        if wrote {
            let event = written.unwrap_or_else(|| EventText::normal(Reason::SecretSynced, "Secret synced"));
            outputs.event(object.kind(), object.metadata(), &event).await;
            tracing::info!(restarts = restarts.as_ref().map_or(0, |r| r.restarted), "Secret synced");
        }
        let now = Instant::now();
        // The generation that there is now is still to be applied.
        let mut refresh = if generation.is_some() { Some(now) } else { self.source.next_due(plan, &state.source, now) };
        let is_waiting = matches!(RestartNews::of(restarts.as_ref()), RestartNews::Waiting);
        let left = restarts.as_ref().filter(|restarts| !restarts.are_done());
        if orphans.is_some() && left.is_some() {
            // The restarts that are to come are not all that is left to do.
            let retry = now + state.pause(&self.shared.backoff);
            refresh = Some(refresh.map_or(retry, |refresh| refresh.min(retry)));
        }
        let again = if left.is_some() || orphans.is_some() {
            let settled = left.and_then(|restarts| restarts.again);
            Some(settled.unwrap_or_else(|| now + state.pause(&self.shared.backoff)))
        } else {
            state.backoff.reset();
            None
        };
        let content = Content { mac, record, generation: object.generation() };
        let next = state.follow_up(content, restarts, again, refresh);
        if again.is_some() && !is_waiting {
            return Outcome::failed(next, state.lane());
        }
        Outcome::done(next, state.lane())
    }

    /// The status of an object whose run got through, and what goes with it.
    fn success(
        &self,
        object: &S::Owner,
        plan: &Plan<S::Plan>,
        state: &mut ObjectState<S::State>,
        synced: &Synced,
    ) -> Success<S::Owner> {
        let restart_news = RestartNews::of(synced.restarts.as_ref());
        let mut status = status_of(object);
        let report = self.source.report(object, plan, &mut state.source, synced.wrote, &mut status);
        let conditions = conditions_of_success(object, restart_news, synced.orphans.as_deref(), &report.remarks);
        let conditions = condition::merge(&conditions, object.generation(), &report.conditions);
        let conditions = subscriptions::with_condition(object, state.subscription.as_deref(), conditions);

        // `secretMAC` stands for the content whose restarts are done, so it moves only when they are.
        if !object.keeps_digest() {
            status.set_recorded_mac(None);
        } else if synced.restarts.as_ref().is_none_or(Restarts::are_done) {
            status.set_recorded_mac(Some(synced.record.clone()));
        }
        // A generation is applied when what the one before has left is gone, too.
        if synced.orphans.is_none() {
            status.set_generation(report.generation.unwrap_or_else(|| object.generation()));
        }
        let mut events = subscriptions::events(object.owner_conditions(), &conditions);
        status.set_conditions(conditions);
        let token = synced.token.as_ref();
        let token = token.map(|token| (cache_key(&plan.auth, &plan.vault_namespace, token), &token.client_id));
        if let (Some((Some(cache_key), _)), Some(meta)) = (&token, status.vault_client_meta()) {
            meta.cache_key = Some(cache_key.clone());
        }
        if object.status() != Some(&status) {
            if let (Some((cache_key, client_id)), Some(meta)) = (token, status.vault_client_meta()) {
                // The client ID changes with each login; that alone is not worth a write for every object.
                let id = Some(client_id.clone()).filter(|id| !id.is_empty());
                *meta = VaultClientMeta { cache_key, id };
            }
            events.extend(restart_news.errors().iter().map(|error| restart_failed(error)));
            events.extend(report.events);
        }
        Success { status, events, written: report.written, generation: report.generation }
    }

    /// Tells of a run that did not get through. `lastGeneration` stays: this generation was not applied.
    pub(super) async fn fail(&self, object: &S::Owner, state: &mut ObjectState<S::State>, failure: Failure) -> Outcome {
        state.fingerprint = None;
        let retry = failure.retry;
        let conditions = conditions_of_failure(object, &failure);
        let conditions = subscriptions::with_condition(object, state.subscription.as_deref(), conditions);
        let is_news = conditions != object.owner_conditions();
        let mut status = status_of(object);
        let report = self.source.report_failure(object, &failure, &mut state.source, &mut status);
        let conditions = condition::merge(&conditions, object.generation(), &report.conditions);
        let mut events = subscriptions::events(object.owner_conditions(), &conditions);
        status.set_conditions(conditions);
        if is_news || object.status() != Some(&status) {
            events.extend(report.events);
            if is_news {
                tracing::warn!(reason = failure.reason.as_str(), error = failure.message, "not synced");
                events.extend(failure.into_events());
            }
            if self.shared.outputs.publish(&self.store, object, &status, &events).await.is_err() {
                // The user does not know yet what to change.
                return state.retry(&self.shared.backoff);
            }
        }
        let now = Instant::now();
        let hold_due = self.source.hold_due(&state.source).filter(|due| now < *due);
        let down = state.session.as_ref().and_then(|session| session.server.last_error()).map(|error| error.kind);
        let due = retry.due(now, down, || state.pause(&self.shared.backoff));
        let mut due = hold_due.map_or(due, |hold| hold.min(due));
        if let Some(owed) = &mut state.owed {
            // They wait for nothing that has failed.
            owed.refresh = Some(due);
            due = if now < owed.at { due.min(owed.at) } else { due };
        }
        state.due = Some(due);
        retry.outcome(due, state.lane())
    }

    /// Says what has changed of instant updates, and nothing else.
    pub(super) async fn report_subscription(
        &self,
        object: &S::Owner,
        state: &ObjectState<S::State>,
    ) -> Result<(), KubernetesError> {
        if object.status().is_none() {
            return Ok(());
        }
        let old = object.owner_conditions();
        let conditions = subscriptions::with_condition(object, state.subscription.as_deref(), old.to_vec());
        let events = subscriptions::events(old, &conditions);
        let mut status = status_of(object);
        status.set_conditions(conditions);
        self.shared.outputs.publish(&self.store, object, &status, &events).await.map(drop)
    }
}

/// What there is to say of restarts.
#[derive(Clone, Copy)]
pub(super) enum RestartNews<'a> {
    /// None are pending.
    None,
    /// They are to come.
    Waiting,
    /// They were tried, and these went wrong.
    Tried(&'a [String]),
}

impl<'a> RestartNews<'a> {
    /// What a run has to tell of its restarts; `None`: none were pending.
    pub fn of(restarts: Option<&'a Restarts>) -> Self {
        match restarts {
            None => Self::None,
            Some(restarts) if restarts.errors.is_empty() && !restarts.are_done() => Self::Waiting,
            Some(restarts) => Self::Tried(&restarts.errors),
        }
    }

    /// What went wrong.
    pub fn errors(self) -> &'a [String] {
        if let Self::Tried(errors) = self { errors } else { &[] }
    }

    /// The condition, if there is news.
    pub fn condition(self) -> Option<ConditionUpdate<'static>> {
        let type_ = ConditionType::RolloutRestart;
        match self {
            Self::None | Self::Waiting => None,
            Self::Tried([]) => {
                Some(ConditionUpdate::holds(type_, Reason::RolloutRestartTriggered, "Rollout restart triggered"))
            }
            Self::Tried(errors) => {
                Some(ConditionUpdate::fails(type_, Reason::RolloutRestartTriggeredFailed, restarts_failed(errors)))
            }
        }
    }
}

/// The conditions of an object whose Secret is as it has to be. `orphans` says why Secrets of a former destination name
/// may be left; `remarks` what else there is to say.
fn conditions_of_success(
    object: &dyn SecretOwner,
    restarts: RestartNews<'_>,
    orphans: Option<&str>,
    remarks: &[Cow<'static, str>],
) -> Vec<Condition> {
    let mut synced = synced_message(object, orphans);
    remarks.iter().for_each(|remark| synced.push_str(&format!("; {remark}")));
    let mut updates = vec![ConditionUpdate::holds(ConditionType::SecretSynced, Reason::Synced, synced)];
    updates.extend(restarts.condition());
    updates.extend(healthy_and_ready(object.kind()));
    let mut known = object.owner_conditions().to_vec();
    if matches!(restarts, RestartNews::None) {
        // Restarts that failed once and are not pending any more: the targets were taken off the spec.
        known.retain(|c| c.type_ != ConditionType::RolloutRestart || c.status == ConditionStatus::True);
    }
    condition::merge(&known, object.generation(), &updates)
}

/// What there is to say of a Secret that is as it has to be.
fn synced_message(object: &dyn SecretOwner, orphans: Option<&str>) -> String {
    let mut message = "Secret synced".to_owned();
    let overruled = sync::overruled_keys(object);
    if !overruled.is_empty() {
        message.push_str("; labels and annotations whose values are the operator's, not those of spec.destination: ");
        message.push_str(&overruled.join(", "));
    }
    if let Some(error) = orphans {
        message.push_str("; a Secret of a former name could not be deleted yet: ");
        message.push_str(error);
    }
    message
}

/// The conditions of an object that was not synced.
fn conditions_of_failure(object: &dyn SecretOwner, failure: &Failure) -> Vec<Condition> {
    let Failure { reason, message, .. } = failure;
    let kind = object.kind().as_str();
    let updates = [
        ConditionUpdate::fails(ConditionType::SecretSynced, *reason, message.as_str()),
        ConditionUpdate::fails(ConditionType::Healthy, Reason::Unhealthy, format!("{kind}Unhealthy")),
        ConditionUpdate::fails(ConditionType::Ready, *reason, format!("{kind}NotReady")),
    ];
    condition::merge(object.owner_conditions(), object.generation(), &updates)
}

fn healthy_and_ready(kind: Kind) -> [ConditionUpdate<'static>; 2] {
    let kind = kind.as_str();
    [
        ConditionUpdate::holds(ConditionType::Healthy, Reason::Healthy, format!("{kind}Healthy")),
        ConditionUpdate::holds(ConditionType::Ready, Reason::Ready, format!("{kind}Ready")),
    ]
}

/// The event for one target.
pub(super) fn restart_failed(error: &str) -> EventText {
    EventText::warning(Reason::RolloutRestartFailed, format!("Rollout restart failed for target {error}"))
}

fn restarts_failed(errors: &[String]) -> String {
    format!("Rollout restart trigger failed, err={}", errors.join("; "))
}

/// VSO's key of the client. VSO clones a client for each further Vault namespace, and the key of the clone names it.
pub(crate) fn cache_key(auth: &AuthPlan, vault_namespace: &str, token: &TokenInfo) -> Option<String> {
    let key = auth.cache_key(&token.credential_uid)?;
    Some(if vault_namespace == auth.login.vault_namespace { key } else { format!("{key}-{vault_namespace}") })
}

#[cfg(test)]
mod tests;
