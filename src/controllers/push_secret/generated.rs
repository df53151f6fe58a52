//! What a generator makes for a PushSecret: once per interval and change of the object, and kept until all stores have
//! it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::PushSecrets;
use super::state::{Pending, State};
use crate::api::external_secrets::PushSecret;
use crate::api::external_secrets::push_secret::PushSecretStatus;
use crate::api::{ConditionType, CustomObject as _, Key, condition};
use crate::controllers::store_failure::{StoreFailure, StoreInterruption};
use crate::external_secret::hash;
use crate::external_secret::push::PushSource;
use crate::resolve::{self, Generates, GeneratorPlan, PushPlan, PushTarget, VaultStore};
use crate::workqueue::{Class, Job, Next};

/// What was made for an object without an interval is kept so long, if it cannot be pushed.
const PENDING_LIFETIME: Duration = Duration::from_secs(3600);

impl PushSecrets {
    /// What the generator of an object has made. `None`: it has none.
    pub(super) async fn generated(
        &self,
        job: &Job<Key>,
        object: &PushSecret,
        interval: Option<Duration>,
        state: &mut State,
    ) -> Result<Option<PushSource>, StoreInterruption> {
        let Some(reference) = &object.spec.selector.generator_ref else { return Ok(None) };
        if let Some(listing) = self.stores().optional_watches.listing() {
            // What only is not listed yet would look missing.
            let why = listing.to_tell(object.conditions()).map(str::to_owned);
            return Err(why.map_or(StoreInterruption::Later(listing.pause), |why| failed(why).into()));
        }
        let generator = self.generator(object).map_err(|why| failed(why).until_changed())?;
        let of = hash::synced_resource_version(&object.metadata);
        let now = Instant::now();
        let is_usable = |known: &&Pending| known.version == generator.version && known.of == of && now < known.until;
        let data = match state.generated.as_ref().filter(is_usable) {
            Some(known) => known.data.clone(),
            None => {
                let mut sessions = vec![];
                let made = self.access.make(job, &generator, &mut sessions, failed).await?;
                // The session before is let go: what it has made is replaced.
                state.sessions = sessions;
                state.generated_at = Some(now);
                // Half of a lease is left to those that use it.
                let lasts = made.lasts.map(|lasts| lasts / 2).into_iter().chain(interval);
                let until = now + lasts.min().unwrap_or(PENDING_LIFETIME);
                let data = made.data.clone();
                state.generated = Some(Pending { version: generator.version, of, data: made.data, until });
                data
            }
        };
        Ok(Some(PushSource { name: reference.name.clone(), data, ..PushSource::default() }))
    }

    /// The generator of an object.
    pub(super) fn generator(&self, object: &PushSecret) -> Result<GeneratorPlan, String> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or("");
        let reference = object.spec.selector.generator_ref.as_ref().ok_or("spec.selector has no generatorRef")?;
        match resolve::generator(reference, namespace, &**self.stores()) {
            Ok(Some(generator)) => Ok(generator),
            Ok(None) => Err(format!("generator {:?} is of another controller class", reference.name)),
            Err(denied) => Err(denied.to_string()),
        }
    }

    /// The Vault of the generator of an object.
    pub(super) fn vault_of_generator(&self, object: &PushSecret) -> Option<VaultStore> {
        match self.generator(object).ok()?.what {
            Generates::Vault(request) => Some(request.vault),
            Generates::Passwords(_) | Generates::Uuid => None,
        }
    }
}

/// When an object is due again whose stores have what its generator has made. `None`: now.
pub(super) fn kept_until(
    object: &PushSecret,
    plan: &PushPlan,
    state: &State,
    now: (Instant, DateTime<Utc>),
) -> Option<Next> {
    object.spec.selector.generator_ref.as_ref()?;
    let status = object.status.as_ref()?;
    let version = hash::synced_resource_version(&object.metadata);
    let is_synced = condition::is_true(&status.conditions, ConditionType::Ready);
    if state.generated.is_some() || !is_synced || status.synced_resource_version.as_ref() != Some(&version) {
        return None;
    }
    if !is_at_all_stores(plan, status, state) {
        return None;
    }
    let Some(interval) = plan.interval else { return Some(Next::WhenChanged) };
    let passed = match state.generated_at {
        Some(at) => now.0.duration_since(at),
        None => {
            let seconds = now.1.timestamp() - status.refresh_time.as_ref()?.0.as_second();
            // A time to come is not believed.
            Duration::from_secs(u64::try_from(seconds).ok()?)
        }
    };
    let left = interval.saturating_sub(passed);
    (!left.is_zero()).then(|| Next::At(now.0 + left, Class::Refresh))
}

/// Whether the stores are those that the last run has pushed to: no store has come, and none has left.
fn is_at_all_stores(plan: &PushPlan, status: &PushSecretStatus, state: &State) -> bool {
    let targets = || plan.targets.iter().map(|target| &target.name);
    if !state.targets.is_empty() {
        return state.targets.keys().eq(targets().collect::<BTreeSet<_>>());
    }
    // The status does not name a store to which nothing is pushed.
    let synced = &status.synced_push_secrets;
    let is_pushed_to = |target: &&PushTarget| plan.has_data || target.data_to.contains(&true);
    plan.targets.iter().filter(is_pushed_to).all(|target| synced.contains_key(&target.name))
        && synced.keys().all(|name| targets().any(|target| target == name) || plan.pushed_by_others.contains_key(name))
}

fn failed(why: String) -> StoreFailure {
    StoreFailure::new(format!("could not get source secret: {why}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::super::state::TargetState;
    use super::*;
    use crate::api::external_secrets::SecretStore;
    use crate::api::external_secrets::push_secret::SyncedPushSecrets;
    use crate::api::{ConditionUpdate, ObjectRef, Reason};
    use crate::resolve::Denied;

    const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

    fn object() -> PushSecret {
        let generator = json!({ "kind": "Password", "name": "p" });
        let spec = json!({ "selector": { "generatorRef": generator } });
        let mut object = PushSecret::new("ps", serde_json::from_value(spec).unwrap());
        let ready = ConditionUpdate::holds(ConditionType::Ready, Reason::Synced, "x");
        object.status = Some(PushSecretStatus {
            refresh_time: Some(Time(Timestamp::from_second(1_000_000).unwrap())),
            synced_resource_version: Some(hash::synced_resource_version(&object.metadata)),
            conditions: condition::merge_without_generation(&[], &[ready]),
            ..PushSecretStatus::default()
        });
        object
    }

    /// A plan with these stores, in none of which anything can be done.
    fn plan(interval: Option<Duration>, stores: &[&str]) -> PushPlan {
        let target = |name: &&str| PushTarget {
            name: format!("SecretStore/{name}"),
            key: Key { kind: SecretStore::KIND, id: ObjectRef::new("ns", *name) },
            plan: Err(Denied::NotAllowed("x".to_owned())),
            is_named: true,
            data_to: vec![],
        };
        let (targets, pushed_by_others) = (stores.iter().map(target).collect(), SyncedPushSecrets::new());
        PushPlan { targets, interval, has_data: true, pushed_by_others }
    }

    #[test]
    fn a_store_that_comes_or_leaves_is_seen() {
        let now = (Instant::now(), DateTime::from_timestamp(1_000_001, 0).unwrap());
        let mut object = object();
        let synced = ["a", "b"].map(|name| (format!("SecretStore/{name}"), BTreeMap::new())).into();
        object.status.as_mut().unwrap().synced_push_secrets = synced;
        let kept = |state: &State, stores: &[&str]| kept_until(&object, &plan(HOUR, stores), state, now).is_some();
        let started = State::default();
        assert!(kept(&started, &["a", "b"]));
        assert!(!kept(&started, &["a", "b", "c"]) && !kept(&started, &["a"]));
        let mut shared = plan(HOUR, &["a"]);
        shared.pushed_by_others = [("SecretStore/b".to_owned(), BTreeMap::new())].into();
        assert!(kept_until(&object, &shared, &started, now).is_some(), "another operator pushes to b");
        let mut empty = plan(HOUR, &["a", "b", "c"]);
        empty.has_data = false;
        assert!(kept_until(&object, &empty, &started, now).is_some(), "nothing is pushed to c");
        // The process knows also of a store to which nothing was written.
        let targets = ["a", "b", "c"].map(|name| (format!("SecretStore/{name}"), TargetState::default())).into();
        let running = State { targets, ..State::default() };
        assert!(kept(&running, &["c", "b", "a"]));
        assert!(!kept(&running, &["a", "b"]));
    }

    #[test]
    fn what_was_made_is_kept_for_an_interval() {
        let start = Instant::now();
        let at = |seconds: i64| (start, DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap());
        let (object, mut state) = (object(), State::default());
        let left = |next: Option<Next>| match next {
            Some(Next::At(due, Class::Refresh)) => Some(due - start),
            None => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            left(kept_until(&object, &plan(HOUR, &[]), &state, at(600))),
            Some(Duration::from_secs(3000)),
            "over a restart"
        );
        assert_eq!(left(kept_until(&object, &plan(HOUR, &[]), &state, at(3600))), None);
        assert_eq!(left(kept_until(&object, &plan(HOUR, &[]), &state, at(-5))), None, "a clock that was wrong");
        assert_eq!(kept_until(&object, &plan(None, &[]), &state, at(9999)), Some(Next::WhenChanged));
        // The status does not tell of data that a store did not need.
        state.generated_at = Some(start);
        assert_eq!(left(kept_until(&object, &plan(HOUR, &[]), &state, at(9999))), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn what_is_not_pushed_and_another_object_are_due_now() {
        let now = (Instant::now(), DateTime::from_timestamp(1_000_001, 0).unwrap());
        let state = State::default();
        type Change = fn(&mut PushSecret);
        let changes: [Change; 4] = [
            |object| object.status = None,
            |object| object.metadata.generation = Some(7),
            |object| object.status.as_mut().unwrap().conditions[0].status = "False".to_owned().into(),
            |object| object.spec.selector.generator_ref = None,
        ];
        assert!(kept_until(&object(), &plan(HOUR, &[]), &state, now).is_some());
        for (i, change) in changes.into_iter().enumerate() {
            let mut object = object();
            change(&mut object);
            assert!(kept_until(&object, &plan(HOUR, &[]), &state, now).is_none(), "{i}");
        }
        let (data, until) = (Default::default(), now.0 + PENDING_LIFETIME);
        let pending = Pending { version: Default::default(), of: String::new(), data, until };
        let state = State { generated: Some(pending), ..State::default() };
        assert!(kept_until(&object(), &plan(HOUR, &[]), &state, now).is_none(), "not all stores have it");
    }
}
