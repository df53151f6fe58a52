//! SecretStore and ClusterSecretStore: whether what they say works, now and not only when they were made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::controller::{Controller, Watches, conditions_of};
use super::dependents::DEPENDENTS_SPREAD;
use super::finalizer::{add_finalizer, has_finalizer, remove_finalizer, take_finalizer_off};
use super::outcome::{Outcome, retry_delay};
use super::outputs::{EventText, Outputs};
use super::states::States;
use super::store_access::{CheckError, Checked, StoreAccess};
use super::store_names;
use super::vault_access::VaultAccess;
use crate::api::external_secrets::{ClusterSecretStore, SecretStore, SecretStoreStatus};
use crate::api::{ConditionType, ConditionUpdate, CustomObject, Key, Kind, Reason, condition};
use crate::kubernetes::{Change, Store};
use crate::resolve::{self, Denied, StorePlan, StoreSource};
use crate::telemetry::{ObjectCondition, ResourceStatus};
use crate::vault::Session;
use crate::workqueue::{Class, Job, Next};

/// ESO's, put on while a PushSecret needs the store.
pub(super) const FINALIZER: &str = "secretstore.externalsecrets.io/finalizer";
/// A store that says nothing of it is checked this often. ESO's default.
const CHECK_INTERVAL: Duration = Duration::from_secs(300);
/// A store in deletion that is just being pushed to is looked at again after this.
const PUSH_RETRY_DELAY: Duration = Duration::from_secs(1);
/// What can be done with each store that is served.
const CAPABILITIES: &str = "ReadWrite";

/// What the two kinds of store have in common.
pub(super) trait StoreObject: CustomObject<Status = SecretStoreStatus> {
    /// `spec.controller`.
    fn class(&self) -> Option<&str>;
    /// `spec.refreshInterval`.
    fn refresh_interval(&self) -> Option<&serde_json::Value>;
    /// How the store itself is reached, without an object that uses it.
    fn plan(&self) -> Result<StorePlan, Denied>;
    /// Starts the watch of the kind.
    fn watch(store: Arc<Store<Self>>, watches: &mut Watches<'_>);
}

/// Checks all stores of a kind.
pub(super) struct SecretStores<K> {
    store: Arc<Store<K>>,
    vault: Arc<VaultAccess>,
    access: Arc<StoreAccess>,
    outputs: Outputs,
    /// The logins that checks use. Holding one keeps its token: the next check of a store that nothing else uses does
    /// not log in anew.
    logins: States<Arc<Session>>,
}

/// What a check has found.
enum Finding {
    Valid,
    /// It cannot be checked without an object that uses it.
    NotVerified,
    /// It can be used, as far as is known.
    Unknown(String),
    /// It cannot be used. `unusable`: not even a client could be made.
    Failed {
        unusable: bool,
        why: String,
    },
}

#[async_trait::async_trait]
impl<K: StoreObject> Controller for SecretStores<K> {
    fn kind(&self) -> Kind {
        K::KIND
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let this = self.clone();
        self.store.listen(move |change| this.changed(&change));
        K::watch(self.store.clone(), watches);
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let Some(object) = self.store.get(&job.key.id) else {
            self.forget(&job.key);
            return Outcome::await_change();
        };
        if resolve::is_foreign(object.class(), &*self.vault.stores) {
            self.logins.take(&job.key.id);
            self.access.forget(&job.key);
            return Outcome::await_change();
        }
        if object.meta().deletion_timestamp.is_some() {
            if let Some(listing) = self.vault.stores.optional_watches.listing() {
                // A PushSecret that needs it may not be listed yet.
                return Outcome::still_listing(&listing, job.class);
            }
            if self.is_being_pushed_to(&job.key) {
                // The status does not say yet what that run has pushed.
                return Outcome::done(Next::At(Instant::now() + PUSH_RETRY_DELAY, job.class), None);
            }
            if self.vault.stores.is_needed_by_push(&job.key) {
                // The PushSecrets that need it make it due when they are done.
                return Outcome::done(Next::At(Instant::now() + CHECK_INTERVAL, Class::Refresh), None);
            }
            return remove_finalizer(&self.outputs.client, &*object, FINALIZER).await;
        }
        if has_finalizer(&*object, FINALIZER)
            && !self.may_be_pushed_to(&job.key)
            && let Some(outcome) = self.let_go(&*object).await
        {
            return outcome;
        }
        let interval = resolve::check_interval(object.refresh_interval());
        let finding = match &interval {
            Ok(_) => match self.check(job, &*object).await {
                Ok(finding) => finding,
                Err(lane) => return Outcome::yielded(Next::At(job.due, job.class), Some(lane)),
            },
            Err(why) => Finding::Failed { unusable: true, why: why.to_string() },
        };
        let was_failing = condition::is_false(object.conditions(), ConditionType::Ready);
        let (status, event) = report(&*object, &finding);
        if self.outputs.publish(&self.store, &*object, &status, &[event]).await.is_err() {
            return Outcome::write_failed();
        }
        if let Finding::Failed { .. } = finding {
            let next = Instant::now() + retry_delay(object.conditions());
            return Outcome::failed(Next::At(next, Class::Retry), None);
        }
        if was_failing {
            self.vault.dependents.of_store(&job.key, DEPENDENTS_SPREAD);
        }
        Outcome::done(
            Next::At(Instant::now() + interval.ok().flatten().unwrap_or(CHECK_INTERVAL), Class::Refresh),
            None,
        )
    }

    async fn timed_out(&self, job: &Job<Key>) -> Outcome {
        let Some(object) = self.store.get(&job.key.id) else { return Outcome::await_change() };
        let connection = object.plan().ok().and_then(|plan| plan.source.connection().cloned());
        let why = self.vault.servers.timed_out([connection].into_iter());
        let (status, event) = report(&*object, &Finding::Failed { unusable: false, why });
        if self.outputs.publish(&self.store, &*object, &status, &[event]).await.is_err() {
            return Outcome::write_failed();
        }
        Outcome::failed(Next::At(Instant::now() + retry_delay(object.conditions()), Class::Retry), None)
    }

    fn objects(&self) -> usize {
        self.store.len()
    }

    fn conditions(&self) -> Vec<ObjectCondition> {
        conditions_of(&self.store)
    }

    fn resources(&self) -> Vec<ResourceStatus> {
        self.store.all().iter().filter_map(|object| ResourceStatus::of_ready(&**object)).collect()
    }
}

impl<K: StoreObject> SecretStores<K> {
    /// The controller of all stores of the kind.
    pub fn new(store: Arc<Store<K>>, access: Arc<StoreAccess>) -> Self {
        let (vault, outputs) = (access.vault.clone(), access.outputs.clone());
        Self { store, vault, access, outputs, logins: States::default() }
    }

    fn changed(&self, change: &Change<K>) {
        self.logins.on_change(change);
        let Some(id) = self.vault.dependents.enqueue_if_changed(change) else { return };
        let key = Key { kind: K::KIND, id };
        if let Change::Deleted(_) = change {
            self.forget(&key);
        }
        self.vault.dependents.of_store(&key, DEPENDENTS_SPREAD);
        self.vault.logins.users_changed();
    }

    fn forget(&self, key: &Key) {
        self.vault.servers.forget(key);
        self.access.forget(key);
    }

    /// Whether a run is under way of a PushSecret that will have to delete what it pushes to the store.
    fn is_being_pushed_to(&self, store: &Key) -> bool {
        let all = self.vault.stores.push_secrets.all();
        all.iter()
            .any(|object| resolve::may_need_store(object, store) && self.vault.work.lock().is_running(&object.key()))
    }

    /// Whether a PushSecret that deletes what it has pushed names the store, or has pushed there, as far as is known.
    fn may_be_pushed_to(&self, store: &Key) -> bool {
        let stores = &self.vault.stores;
        // Where they cannot be listed, any of them may.
        !stores.push_secret_watches.have_listed()
            || stores.optional_watches.listing().is_some()
            || stores.push_secrets.all().iter().any(|object| resolve::may_need_store(object, store))
    }

    /// Takes the finalizer off a store that no PushSecret needs any more, so that nothing holds the store when no
    /// operator runs. Then the store is checked. `None`: the finalizer cannot be taken off now.
    async fn let_go(&self, object: &K) -> Option<Outcome> {
        let client = &self.outputs.client;
        let Some(without) = take_finalizer_off(client, object, FINALIZER).await.ok()? else {
            return Some(Outcome::await_change());
        };
        self.store.apply_answer(without.clone());
        // A PushSecret that has come meanwhile may have seen the finalizer, and not put it on.
        if self.may_be_pushed_to(&object.key()) {
            match add_finalizer(client, &without, FINALIZER).await {
                Ok(held) => self.store.apply_answer(held),
                Err(_) => return Some(Outcome::write_failed()),
            }
        }
        Some(Outcome::done(Next::At(Instant::now(), Class::Event), None))
    }

    /// Looks at a store, or gives the lane of its Vault that has no permit left.
    async fn check(&self, job: &Job<Key>, object: &K) -> Result<Finding, crate::workqueue::Lane> {
        let plan = object.plan();
        let feeds = &self.access.feeds;
        feeds.set(&job.key, plan.as_ref().map(store_names::names).unwrap_or_default());
        if !plan.as_ref().is_ok_and(|plan| !plan.is_referent && matches!(plan.source, StoreSource::Vault(_))) {
            // It is not checked with a login of Vault, or not any more.
            self.logins.take(&job.key.id);
        }
        let plan = match plan {
            Ok(plan) => plan,
            Err(denied) => return Ok(Finding::Failed { unusable: true, why: denied.to_string() }),
        };
        if let Some(change) = feeds.take_change(&job.key) {
            self.access.on_change(&plan, change).await;
            // They share the login of this check.
            self.vault.dependents.of_store(&job.key, DEPENDENTS_SPREAD);
        }
        if plan.is_referent {
            return Ok(Finding::NotVerified);
        }
        let keep = |login| self.logins.keep(&self.store, &job.key.id, object, Box::new(login));
        match self.access.check(job, &plan, keep).await {
            Ok(Checked::Valid) => Ok(Finding::Valid),
            Ok(Checked::Unknown(why)) => Ok(Finding::Unknown(why)),
            Err(CheckError::NoPermit(lane)) => Err(lane),
            Err(CheckError::Failed { unusable, why }) => Ok(Finding::Failed { unusable, why }),
        }
    }
}

/// What there is to tell of a finding. The texts begin with those of ESO.
fn report(object: &impl StoreObject, finding: &Finding) -> (SecretStoreStatus, EventText) {
    use ConditionType::Ready;
    let (ready, event) = match finding {
        Finding::Valid => (
            ConditionUpdate::holds(Ready, Reason::Valid, "store validated"),
            EventText::normal(Reason::Valid, "store validated"),
        ),
        Finding::NotVerified => {
            let text = "store validated: not verified, since its credentials are those of the namespace that uses it";
            (ConditionUpdate::holds(Ready, Reason::Valid, text), EventText::normal(Reason::Valid, text))
        }
        Finding::Unknown(why) => {
            let text = format!("could not determine validation status: {why}");
            let event = EventText::warning(Reason::ValidationUnknown, text.clone());
            (ConditionUpdate::holds(Ready, Reason::ValidationUnknown, text), event)
        }
        Finding::Failed { unusable, why } => {
            let what = if *unusable { "unable to create client" } else { "unable to validate store" };
            let text = format!("{what}: {why}");
            let event = EventText::warning(Reason::InvalidProviderConfig, text.clone());
            (ConditionUpdate::fails(Ready, Reason::InvalidProviderConfig, text), event)
        }
    };
    let known = object.status().cloned().unwrap_or_default();
    let capabilities = match finding {
        Finding::Valid | Finding::NotVerified => Some(CAPABILITIES.to_owned()),
        Finding::Unknown(_) | Finding::Failed { .. } => known.capabilities,
    };
    let conditions = condition::merge_without_generation(&known.conditions, &[ready]);
    (SecretStoreStatus { conditions, capabilities }, event)
}

impl StoreObject for SecretStore {
    fn class(&self) -> Option<&str> {
        self.spec.controller.as_deref()
    }

    fn refresh_interval(&self) -> Option<&serde_json::Value> {
        self.spec.refresh_interval.as_ref()
    }

    fn plan(&self) -> Result<StorePlan, Denied> {
        resolve::secret_store(self)
    }

    fn watch(store: Arc<Store<Self>>, watches: &mut Watches<'_>) {
        watches.optional(store);
    }
}

impl StoreObject for ClusterSecretStore {
    fn class(&self) -> Option<&str> {
        self.spec.controller.as_deref()
    }

    fn refresh_interval(&self) -> Option<&serde_json::Value> {
        self.spec.refresh_interval.as_ref()
    }

    fn plan(&self) -> Result<StorePlan, Denied> {
        resolve::check_conditions(&self.spec.conditions)?;
        resolve::cluster_secret_store(self, "")
    }

    fn watch(store: Arc<Store<Self>>, watches: &mut Watches<'_>) {
        watches.cluster(store);
    }
}
