//! What is told of a run: status, events, and when the next one is due.

use std::time::Instant;

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::ExternalSecrets;
use super::is_awaited;
use super::restart::Restarts;
use super::state::State;
use crate::api::external_secrets::external_secret::{Binding, ExternalSecretStatus};
use crate::api::external_secrets::{ExternalSecret, RefreshPolicy};
use crate::api::{ConditionType, ConditionUpdate, CustomObject as _, Reason, condition};
use crate::backoff::horizon;
use crate::controllers::outcome::Outcome;
use crate::controllers::outputs::EventText;
use crate::controllers::retry::{RECHECK_DENIAL, Retry};
use crate::controllers::store_failure::StoreFailure;
use crate::resolve::ExternalPlan;
use crate::workqueue::{Class, Next};

/// What is told of a Secret that is as it has to be.
const SYNCED: &str = "secret synced";

/// What a run that got through has done.
pub(super) struct Synced {
    pub done: Done,
    /// What the stores do not hold.
    pub missing: Vec<EventText>,
}

/// What became of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It is as it has to be.
    Unchanged,
    /// There is none, and none has to be made.
    Missing,
    /// The stores hold nothing, and it stays as it is.
    Retained,
    /// The stores hold nothing, and it is gone; `now`: since this run.
    Deleted { now: bool },
}

impl ExternalSecrets {
    /// Tells of a run that got through, which began at `began`.
    pub(super) async fn succeed(
        &self,
        object: &ExternalSecret,
        plan: &ExternalPlan,
        state: &mut State,
        synced: Synced,
        version: String,
        began: DateTime<Utc>,
    ) -> Outcome {
        let Synced { done, missing } = synced;
        // The restarts come before the status, which says that they are done.
        let restarts = self.restart(object, state).await;
        let (status, wrote) = status_of_success(object, done, &restarts, version, began);
        let outputs = &self.access.outputs;
        let stores = self.stores();
        if outputs
            .publish(&stores.external_secrets, object, &status, &[missing, restarts.news(object)].concat())
            .await
            .is_err()
        {
            // Nothing is lost: the Secret is written, and the next run finds all as after a start.
            state.applied = None;
            return self.try_again(state, Retry::Backoff);
        }
        if let Some(event) = wrote {
            outputs.event(ExternalSecret::KIND, &object.metadata, &event).await;
            tracing::info!(result = ?done, "Secret synced");
        }
        state.backoff.reset();
        state.generated.clear();
        state.got_through = Some(true);
        let now = Instant::now();
        let is_repeated = plan.policy == RefreshPolicy::Periodic || is_awaited(object, state);
        state.due = plan.interval.filter(|_| is_repeated).map(|interval| {
            // Objects that share a read are due together.
            let horizon = horizon(interval, &mut rand::rng());
            let shared = state.reads.values().map(|read| read.next_due(interval, now, horizon)).min();
            shared.unwrap_or(now + horizon)
        });
        let next = state.due.map_or(Next::WhenChanged, |due| Next::At(due, Class::Refresh));
        self.done(state, &restarts, next)
    }

    /// Ends a run that did not have to read anything. `is_over`: what failed before, if anything did, does so no more.
    pub(super) async fn hold(&self, object: &ExternalSecret, state: &mut State, is_over: bool, next: Next) -> Outcome {
        let restarts = self.restart(object, state).await;
        let status = object.status.clone().unwrap_or_default();
        let mut conditions = restarts.conditions(&status.conditions);
        if is_over && condition::is_false(&conditions, ConditionType::Ready) {
            let ready = ConditionUpdate::holds(ConditionType::Ready, Reason::SecretSynced, SYNCED);
            conditions = condition::merge_without_generation(&conditions, &[ready]);
        }
        let status = ExternalSecretStatus { conditions, ..status };
        let outputs = &self.access.outputs;
        let news = restarts.news(object);
        if outputs.publish(&self.stores().external_secrets, object, &status, &news).await.is_err() {
            return self.try_again(state, Retry::Backoff);
        }
        self.done(state, &restarts, next)
    }

    /// The end of a run that got through. Restarts that failed are tried again before anything else is due.
    fn done(&self, state: &mut State, restarts: &Restarts, next: Next) -> Outcome {
        let now = Instant::now();
        if let Some(due) = restarts.due() {
            return Outcome::done(next.or_retry_at(due), state.lane());
        }
        if !restarts.have_failed() {
            state.restart_backoff.reset();
            return Outcome::done(next, state.lane());
        }
        let pause = state.restart_backoff.next(&self.backoff, now, &mut rand::rng()).unwrap_or(RECHECK_DENIAL);
        Outcome::done(next.or_retry_at(now + pause), state.lane())
    }

    /// Tells of a run that did not get through: the stores are read again after a pause.
    pub(super) async fn fail(&self, object: &ExternalSecret, state: &mut State, failure: StoreFailure) -> Outcome {
        let (due, outcome) = self.refuse(object, state, failure).await;
        (state.due, state.got_through) = (Some(due), Some(false));
        outcome
    }

    /// Tells of an object that cannot be served as it is, and gives when the next run is due, beside its end.
    pub(super) async fn refuse(
        &self,
        object: &ExternalSecret,
        state: &mut State,
        failure: StoreFailure,
    ) -> (Instant, Outcome) {
        let StoreFailure { message, retry } = failure;
        let ready = ConditionUpdate::fails(ConditionType::Ready, Reason::SecretSyncedError, message.as_str());
        let conditions = condition::merge_without_generation(object.conditions(), &[ready]);
        let status = ExternalSecretStatus { conditions, ..object.status.clone().unwrap_or_default() };
        if object.status.as_ref() != Some(&status) {
            tracing::warn!(error = message, "not synced");
            let event = EventText::warning(Reason::UpdateFailed, message);
            let stores = self.stores();
            if self.access.outputs.publish(&stores.external_secrets, object, &status, &[event]).await.is_err() {
                return self.pause(state, Retry::Backoff);
            }
        }
        self.pause(state, retry)
    }

    /// The end of a run after which the stores are read again.
    fn try_again(&self, state: &mut State, retry: Retry) -> Outcome {
        let (due, outcome) = self.pause(state, retry);
        state.due = Some(due);
        outcome
    }

    /// When the next run is due, and the end of this one.
    fn pause(&self, state: &mut State, retry: Retry) -> (Instant, Outcome) {
        let now = Instant::now();
        let down = state.sessions.iter().find_map(|session| session.server.last_error()).map(|error| error.kind);
        let due =
            retry.due(now, down, || state.backoff.next(&self.backoff, now, &mut rand::rng()).unwrap_or(RECHECK_DENIAL));
        (due, retry.outcome(due, state.lane()))
    }
}

/// The status after a run, and the event of what was written. `refreshTime` moves only with something else: a refresh
/// that found nothing new is no write.
fn status_of_success(
    object: &ExternalSecret,
    done: Done,
    restarts: &Restarts,
    version: String,
    began: DateTime<Utc>,
) -> (ExternalSecretStatus, Option<EventText>) {
    use ConditionType::Ready;
    let (reason, text) = match done {
        Done::Created | Done::Updated | Done::Unchanged => (Reason::SecretSynced, SYNCED),
        Done::Retained => (Reason::SecretSynced, "secret retained due to DeletionPolicy=Retain"),
        Done::Deleted { .. } => (Reason::SecretDeleted, "secret deleted due to DeletionPolicy=Delete"),
        Done::Missing => (Reason::SecretMissing, "secret will not be created due to CreationPolicy=Merge"),
    };
    let event = match done {
        Done::Created => Some(EventText::normal(Reason::Created, "secret created")),
        Done::Updated => Some(EventText::normal(Reason::Updated, "secret updated")),
        Done::Deleted { now: true } => {
            Some(EventText::normal(Reason::Deleted, "secret deleted due to DeletionPolicy=Delete"))
        }
        _ => None,
    };
    let known = object.status.clone().unwrap_or_default();
    let ready = ConditionUpdate::holds(Ready, reason, text);
    let conditions = restarts.conditions(&condition::merge_without_generation(&known.conditions, &[ready]));
    let binding = match done {
        // The Secret of the former name, if it has one, goes when there is another.
        Done::Retained if known.binding.is_some() => known.binding.clone(),
        _ => Some(Binding { name: object.target_name().to_owned() }),
    };
    let status = ExternalSecretStatus {
        refresh_time: known.refresh_time.clone(),
        synced_resource_version: Some(version),
        conditions,
        binding,
    };
    if status == known && event.is_none() && known.refresh_time.is_some() {
        return (status, None);
    }
    let began = Timestamp::from_second(began.timestamp()).ok().map(Time);
    (ExternalSecretStatus { refresh_time: began, ..status }, event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(status: Option<ExternalSecretStatus>) -> ExternalSecret {
        let mut object = ExternalSecret::new("es", Default::default());
        object.status = status;
        object
    }

    #[test]
    fn nothing_new_is_no_write() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let (first, event) = status_of_success(&object(None), Done::Created, &Restarts::NotOwed, "1-a".into(), at(10));
        assert_eq!(event.map(|event| event.reason), Some(Reason::Created));
        assert_eq!(first.refresh_time.as_ref().unwrap().0.as_second(), 10);
        let (second, event) =
            status_of_success(&object(Some(first.clone())), Done::Unchanged, &Restarts::NotOwed, "1-a".into(), at(20));
        assert_eq!((second, event), (first.clone(), None));
        for (done, version) in [(Done::Updated, "1-a"), (Done::Unchanged, "2-a"), (Done::Retained, "1-a")] {
            let (status, _) =
                status_of_success(&object(Some(first.clone())), done, &Restarts::NotOwed, version.into(), at(20));
            assert_eq!(status.refresh_time.unwrap().0.as_second(), 20, "{done:?} {version}");
        }
    }
}
