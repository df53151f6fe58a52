//! What is told of a run: status, events, and when the next one is due.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::PushSecrets;
use super::state::State;
use super::work::Rest;
use crate::api::external_secrets::push_secret::{PushSecretStatus, SyncedPushSecrets, UpdatePolicy};
use crate::api::external_secrets::{PushSecret, PushSecretSpec};
use crate::api::{ConditionType, ConditionUpdate, Key, Reason, condition};
use crate::controllers::outcome::Outcome;
use crate::controllers::outputs::EventText;
use crate::controllers::retry::RECHECK_DENIAL;
use crate::controllers::store_failure::StoreFailure;
use crate::external_secret::hash;
use crate::workqueue::{Class, Job, Next};

/// So many failures are told at most.
pub(super) const MAX_TOLD: usize = 10;

/// A push that takes longer shows in the condition how far it is, so often.
const SILENCE: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All was pushed.
    Synced,
    /// The Secret is gone, and so is what was pushed.
    SourceDeleted,
    /// This went wrong.
    Errored(String),
}

/// What the states of the stores come to.
pub(super) fn verdict(state: &State) -> Verdict {
    let told = |what: &str, mut all: Vec<(usize, &String)>| {
        if all.is_empty() {
            return None;
        }
        // The first failure of each store comes before the second of any.
        all.sort_by_key(|(index, _)| *index);
        let mut all: Vec<&String> = all.into_iter().map(|(_, text)| text).collect();
        // A key that is missing is missing for each of the stores.
        let mut seen = BTreeSet::new();
        all.retain(|text| seen.insert(*text));
        let more = all.len().saturating_sub(MAX_TOLD);
        let shown: Vec<&str> = all.iter().take(MAX_TOLD).map(|text| text.as_str()).collect();
        let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
        Some(format!("{what}{}{rest}", shown.join("; ")))
    };
    let targets = || state.targets.values();
    let missing = told("", targets().flat_map(|target| target.missing.iter().enumerate()).collect());
    let failures =
        told("set secret failed: ", targets().flat_map(|target| target.failures.iter().enumerate()).collect());
    let not_deleted = targets().flat_map(|target| target.not_deleted.iter().enumerate()).collect();
    let not_deleted = told("Failed to Delete Secrets from Provider: ", not_deleted);
    let all: Vec<String> = [missing, failures, not_deleted].into_iter().flatten().collect();
    if all.is_empty() { Verdict::Synced } else { Verdict::Errored(all.join("; ")) }
}

/// The status after a run, and the event of it. `refreshTime` moves only with something else: a look that found nothing
/// new is no write.
pub(super) fn status_of(
    object: &PushSecret,
    verdict: &Verdict,
    synced: SyncedPushSecrets,
    changed: bool,
    began: DateTime<Utc>,
) -> (PushSecretStatus, Option<EventText>) {
    use ConditionType::Ready;
    let known = object.status.clone().unwrap_or_default();
    let (ready, event) = match verdict {
        Verdict::Synced => {
            let text = synced_text(&object.spec);
            (ConditionUpdate::holds(Ready, Reason::Synced, text), EventText::normal(Reason::Synced, text))
        }
        Verdict::SourceDeleted => {
            let text = "source secret deleted; provider secrets cleaned up";
            let ready = ConditionUpdate::fails(Ready, Reason::SourceDeleted, text);
            (ready, EventText::normal(Reason::SourceDeleted, text))
        }
        Verdict::Errored(why) => {
            let ready = ConditionUpdate::fails(Ready, Reason::Errored, why.as_str());
            (ready, EventText::warning(Reason::Errored, why.as_str()))
        }
    };
    let conditions = condition::merge_without_generation(&known.conditions, &[ready]);
    let is_news = conditions != known.conditions;
    let version = match verdict {
        Verdict::Synced => Some(hash::synced_resource_version(&object.metadata)),
        Verdict::SourceDeleted | Verdict::Errored(_) => known.synced_resource_version.clone(),
    };
    let status = PushSecretStatus {
        refresh_time: known.refresh_time.clone(),
        synced_resource_version: version,
        synced_push_secrets: synced,
        conditions,
    };
    let is_synced = *verdict == Verdict::Synced;
    if status == known && !(changed && is_synced) {
        return (status, None);
    }
    let began = Timestamp::from_second(began.timestamp()).ok().map(Time);
    let refresh_time = if is_synced { began } else { known.refresh_time };
    let event = (is_news || (changed && is_synced)).then_some(event);
    (PushSecretStatus { refresh_time, ..status }, event)
}

/// How far large pushes are, and what has failed so far.
fn progress(state: &State) -> String {
    let passes = state.targets.iter().filter_map(|(name, target)| target.pass.as_ref()?.text(name));
    let failed = match verdict(state) {
        Verdict::Errored(why) => Some(why),
        Verdict::Synced | Verdict::SourceDeleted => None,
    };
    passes.chain(failed).collect::<Vec<_>>().join("; ")
}

fn synced_text(spec: &PushSecretSpec) -> &'static str {
    match spec.update_policy {
        Some(UpdatePolicy::IfNotExists) => "PushSecret synced successfully. Existing secrets in providers unchanged.",
        _ => "PushSecret synced successfully",
    }
}

impl PushSecrets {
    /// Tells of a run, which began at `began`.
    pub(super) async fn tell(
        &self,
        object: &PushSecret,
        state: &mut State,
        verdict: &Verdict,
        synced: SyncedPushSecrets,
        changed: bool,
        began: DateTime<Utc>,
    ) -> Outcome {
        let (status, event) = status_of(object, verdict, synced, changed, began);
        if let (Some(event), Verdict::Errored(_)) = (&event, verdict) {
            tracing::warn!(error = event.message, "not pushed");
        } else if changed {
            tracing::info!("pushed");
        }
        let outputs = &self.access.outputs;
        let events: Vec<EventText> = event.into_iter().collect();
        if outputs.publish(&self.stores().push_secrets, object, &status, &events).await.is_err() {
            // Nothing is lost: what was pushed is there, and the next run looks at all stores, with the logins that
            // there are.
            state.targets.values_mut().for_each(|target| target.inputs = None);
            return self.not_told(state);
        }
        state.recorded_all();
        state.told = None;
        let (next, lane) = state.next();
        match verdict {
            Verdict::Errored(_) => Outcome::failed(next, lane),
            Verdict::Synced | Verdict::SourceDeleted => Outcome::done(next, lane),
        }
    }

    /// Records what a run has done that leaves something to the next one. How far a large push is shows in the
    /// condition once it takes long; a look that finds nothing to write shows nowhere.
    pub(super) async fn go_on(
        &self,
        job: &Job<Key>,
        object: &PushSecret,
        state: &mut State,
        synced: SyncedPushSecrets,
        rest: Rest,
    ) -> Outcome {
        let known = object.status.clone().unwrap_or_default();
        let now = Instant::now();
        let told = *state.told.get_or_insert(now);
        let writes = state.targets.values().any(|target| target.pass.as_ref().is_some_and(|pass| pass.has_written));
        let is_large = matches!(rest, Rest::Large(_));
        let conditions = if is_large && writes && now.duration_since(told) >= SILENCE {
            state.told = Some(now);
            let ready = ConditionUpdate::fails(ConditionType::Ready, Reason::InProgress, progress(state));
            condition::merge_without_generation(&known.conditions, &[ready])
        } else {
            known.conditions.clone()
        };
        let status = PushSecretStatus { synced_push_secrets: synced, conditions, ..known };
        if self.access.outputs.publish(&self.stores().push_secrets, object, &status, &[]).await.is_err() {
            return self.not_told(state);
        }
        state.recorded_all();
        match rest {
            // Behind all others that are due.
            Rest::Large(lane) => Outcome::yielded(Next::At(Instant::now(), job.class), lane),
            Rest::Waits(lane) => Outcome::yielded(Next::At(job.due, job.class), Some(lane)),
        }
    }

    /// The API server did not take the status. Each time that is tried again later.
    fn not_told(&self, state: &mut State) -> Outcome {
        let now = Instant::now();
        let pause = state.status_backoff.next(&self.backoff, now, &mut rand::rng()).unwrap_or(RECHECK_DENIAL);
        Outcome::failed(Next::At(now + pause, Class::Retry), None)
    }

    /// Tells of a run that did not come to any store.
    pub(super) async fn fail(&self, object: &PushSecret, state: &mut State, failure: StoreFailure) -> Outcome {
        let StoreFailure { message, retry } = failure;
        // What is pushed is not known any more: the next run looks at all stores.
        state.targets.clear();
        let recorded = state.recorded(object);
        let synced = recorded.status.as_ref().map(|status| status.synced_push_secrets.clone()).unwrap_or_default();
        let (status, event) = status_of(object, &Verdict::Errored(message.clone()), synced, false, Utc::now());
        if event.is_some() {
            tracing::warn!(error = message, "not pushed");
        }
        let events: Vec<EventText> = event.into_iter().collect();
        let outputs = &self.access.outputs;
        if outputs.publish(&self.stores().push_secrets, object, &status, &events).await.is_err() {
            return self.not_told(state);
        }
        state.recorded_all();
        let now = Instant::now();
        let pause = || state.backoff.next(&self.backoff, now, &mut rand::rng()).unwrap_or(RECHECK_DENIAL);
        retry.outcome(retry.due(now, None, pause), None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::TargetState;
    use super::*;

    #[test]
    fn the_failures_of_all_stores_are_told_and_not_all_of_a_thousand() {
        let mut state = State::default();
        assert_eq!(verdict(&state), Verdict::Synced);
        let failing = |failures: Vec<String>, not_deleted: Vec<String>| TargetState {
            failures,
            not_deleted,
            ..TargetState::default()
        };
        state.targets.insert("SecretStore/a".to_owned(), TargetState::default());
        state.targets.insert("SecretStore/b".to_owned(), failing(vec!["x".to_owned()], vec!["k: z".to_owned()]));
        let again = vec!["x".to_owned(), "y".to_owned()];
        state.targets.insert("SecretStore/c".to_owned(), failing(again, vec![]));
        let text = "set secret failed: x; y; Failed to Delete Secrets from Provider: k: z";
        assert_eq!(verdict(&state), Verdict::Errored(text.to_owned()));
        // ESO's text begins with the store that is not there.
        let missing = Some("could not get SecretStore \"d\"".to_owned());
        state.targets.insert("SecretStore/d".to_owned(), TargetState { missing, ..TargetState::default() });
        let text = format!("could not get SecretStore \"d\"; {text}");
        assert_eq!(verdict(&state), Verdict::Errored(text));
        let many = (0..1000).map(|i| format!("f{i}")).collect();
        state.targets = [("SecretStore/d".to_owned(), failing(many, vec![]))].into();
        let Verdict::Errored(text) = verdict(&state) else { panic!("it fails") };
        assert!(text.ends_with("f9; and 990 more"), "{text}");
    }

    #[test]
    fn nothing_new_is_no_write() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let mut object = PushSecret::new("ps", PushSecretSpec::default());
        let none = SyncedPushSecrets::new;
        let (first, event) = status_of(&object, &Verdict::Synced, none(), true, at(10));
        assert_eq!(event.map(|event| event.reason), Some(Reason::Synced));
        assert_eq!(first.refresh_time.as_ref().unwrap().0.as_second(), 10);
        object.status = Some(first.clone());
        assert_eq!(status_of(&object, &Verdict::Synced, none(), false, at(20)), (first.clone(), None));
        let (written, event) = status_of(&object, &Verdict::Synced, none(), true, at(20));
        assert_eq!((written.refresh_time.unwrap().0.as_second(), event.is_some()), (20, true));
        let errored = Verdict::Errored("why".to_owned());
        let (failed, event) = status_of(&object, &errored, none(), false, at(30));
        assert_eq!(failed.refresh_time.as_ref().unwrap().0.as_second(), 10, "it was not synced");
        assert_eq!(event.map(|event| event.reason), Some(Reason::Errored));
        object.status = Some(failed.clone());
        assert_eq!(status_of(&object, &errored, none(), false, at(40)), (failed, None));
    }
}
