//! `deletionPolicy: Delete`: what was pushed goes with the object, and the stores stay until then.

use std::sync::Arc;

use chrono::Utc;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};

use super::report::{MAX_TOLD, Verdict, verdict};
use super::state::State;
use super::task::Task;
use super::work::Worked;
use super::{PushSecrets, Tasks, finds_its_stores};
use crate::api::external_secrets::push_secret::{PushSecretStatus, SyncedPushSecrets};
use crate::api::external_secrets::{ClusterSecretStore, PushSecret, SecretStore};
use crate::api::{CustomObject, Key, ObjectRef, Reason};
use crate::controllers::finalizer::{add_finalizer, has_finalizer, remove_finalizer};
use crate::controllers::named::Source;
use crate::controllers::outcome::Outcome;
use crate::controllers::outputs::EventText;
use crate::controllers::secret_store::FINALIZER as STORE_FINALIZER;
use crate::controllers::store_names;
use crate::kubernetes::{KubernetesError, Store, object_uid};
use crate::resolve::{self, Denied, PushTarget, StorePlan};
use crate::workqueue::{Class, Job};

/// ESO's, put on each object that deletes what it has pushed.
const FINALIZER: &str = "pushsecret.externalsecrets.io/finalizer";

impl PushSecrets {
    /// Puts finalizers on the object and its stores if it deletes what it has pushed; else takes its own off.
    pub(super) async fn hold_for_deletion(
        &self,
        object: &PushSecret,
        targets: &[PushTarget],
    ) -> Result<(), KubernetesError> {
        let (client, stores) = (&self.access.outputs.client, self.stores());
        if !object.deletes() {
            if has_finalizer(object, FINALIZER) {
                let _ = remove_finalizer(client, object, FINALIZER).await;
            }
            return Ok(());
        }
        if !has_finalizer(object, FINALIZER) {
            stores.push_secrets.apply_answer(add_finalizer(client, object, FINALIZER).await?);
        }
        for target in targets.iter().filter(|target| target.plan.is_ok()) {
            if target.key.kind == ClusterSecretStore::KIND {
                hold(client, &stores.cluster_secret_stores, &target.key.id).await?;
            } else {
                hold(client, &stores.secret_stores, &target.key.id).await?;
            }
        }
        Ok(())
    }

    /// Deletes all that was pushed, and lets the object go.
    pub(super) async fn clean_up(&self, job: &Job<Key>, object: &Arc<PushSecret>, state: &mut State) -> Outcome {
        if !has_finalizer(&**object, FINALIZER) {
            return Outcome::await_change();
        }
        let pushed =
            if object.deletes() { resolve::pushed_to(&state.recorded(object), &**self.stores()) } else { vec![] };
        let is_found = pushed.iter().all(|(target, _)| target.plan.is_ok());
        if !(is_found && self.plan(object).is_ok_and(|plan| finds_its_stores(&plan)))
            && let Some(listing) = self.stores().optional_watches.listing()
        {
            return self.await_lists(job, object, state, &listing).await;
        }
        self.follow(&job.key, object, &[], &pushed, state).await;
        let tasks = Tasks::only_deleting(pushed, None, job, state);
        let Worked { synced, changed, rest } = self.work(job, object, &tasks, state).await;
        if let Some(rest) = rest {
            return self.go_on(job, object, state, synced, rest).await;
        }
        let of_others = resolve::pushed_by_others(object, &**self.stores());
        if synced == of_others {
            return self.release(object, of_others).await;
        }
        let mut verdict = verdict(state);
        let is_lost = self.are_logins_lost(object, &tasks, &synced, state).await;
        if is_lost && self.is_namespace_ending(object) {
            // Nothing of it can be made again in a namespace that ends, and the finalizer would hold the namespace for
            // ever.
            let mut left = synced;
            left.retain(|store, _| !of_others.contains_key(store));
            let text = left_text(&left);
            tracing::warn!(object = %job.key, "{text}");
            let outputs = &self.access.outputs;
            outputs.event(PushSecret::KIND, &object.metadata, &EventText::warning(Reason::Errored, text)).await;
            return self.release(object, of_others).await;
        }
        if let (Verdict::Errored(why), true) = (&mut verdict, is_lost) {
            let text =
                "; what the login needs is gone: make it again, or take the finalizer off to leave what was pushed: ";
            why.push_str(text);
            why.push_str(FINALIZER);
        }
        self.tell(object, state, &verdict, synced, changed, Utc::now()).await
    }

    /// Lets an object go of which this operator has nothing left to delete. What other operators have pushed is theirs
    /// to delete: the last of all operators that serve the object takes the finalizer off.
    async fn release(&self, object: &PushSecret, of_others: SyncedPushSecrets) -> Outcome {
        let outputs = &self.access.outputs;
        if of_others.is_empty() && !resolve::is_left_to_others(object, &**self.stores()) {
            return remove_finalizer(&outputs.client, object, FINALIZER).await;
        }
        let known = object.status.clone().unwrap_or_default();
        let status = PushSecretStatus { synced_push_secrets: of_others, ..known };
        match outputs.publish(&self.stores().push_secrets, object, &status, &[]).await {
            Ok(_) => Outcome::await_change(),
            Err(_) => Outcome::write_failed(),
        }
    }

    fn is_namespace_ending(&self, object: &PushSecret) -> bool {
        let namespace = object.metadata.namespace.as_deref().unwrap_or("");
        self.stores().namespaces.state(namespace).is_some_and(|state| state.terminating)
    }

    /// Whether each store that still has something lacks a login, and a Secret or service account of the namespace that
    /// it would need for one, or is itself a store of the namespace that is gone.
    async fn are_logins_lost(
        &self,
        object: &PushSecret,
        tasks: &Tasks,
        synced: &SyncedPushSecrets,
        state: &State,
    ) -> bool {
        for Task { target, .. } in tasks.all.iter().filter(|task| synced.contains_key(&task.target.name)) {
            let has_no_login = state.targets.get(&target.name).is_some_and(|of| of.has_no_login);
            let is_gone = match &target.plan {
                Ok(plan) => self.is_credential_gone(object, plan).await,
                Err(denied) => matches!(denied, Denied::Missing(_)) && target.key.kind == SecretStore::KIND,
            };
            if !has_no_login || !is_gone {
                return false;
            }
        }
        true
    }

    async fn is_credential_gone(&self, object: &PushSecret, plan: &StorePlan) -> bool {
        let client = &self.access.outputs.client;
        for (source, id) in store_names::names(plan) {
            let Some(id) = id.filter(|id| Some(&*id.namespace) == object.metadata.namespace.as_deref()) else {
                continue;
            };
            let found = match source {
                Source::Secrets => object_uid::<Secret>(client, &id.namespace, &id.name).await,
                Source::ServiceAccounts => object_uid::<ServiceAccount>(client, &id.namespace, &id.name).await,
                Source::ConfigMaps | Source::Store(_) => continue,
            };
            if matches!(found, Ok(None)) {
                return true;
            }
        }
        false
    }

    /// Stores are held for those that delete what they push there, and those in deletion wait for what is there.
    pub(super) fn let_stores_go(&self, old: &PushSecret, new: Option<&PushSecret>) {
        if !old.deletes() {
            return;
        }
        let stores = self.stores();
        for store in held(&stores.secret_stores).chain(held(&stores.cluster_secret_stores)) {
            let ends = |needs: &dyn Fn(&PushSecret, &Key) -> bool| {
                needs(old, &store) && !new.is_some_and(|new| needs(new, &store))
            };
            if ends(&resolve::needs_store) || ends(&resolve::may_need_store) {
                self.access.vault.work.push_now(store, Class::Event);
            }
        }
    }
}

/// The stores with the finalizer.
fn held<K: CustomObject>(stores: &Store<K>) -> impl Iterator<Item = Key> {
    stores.all().into_iter().filter(|store| has_finalizer(&**store, STORE_FINALIZER)).map(|store| store.key())
}

/// What of it is left in the stores, of which so many places are told.
fn left_text(synced: &SyncedPushSecrets) -> String {
    let places = || synced.iter().flat_map(|(store, entries)| entries.keys().map(move |place| (store, place)));
    let told: Vec<String> = places().take(MAX_TOLD).map(|(store, place)| format!("{place} in {store}")).collect();
    let more = places().count().saturating_sub(MAX_TOLD);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!(
        "the namespace is deleted and the logins of the stores are gone with it; left there: {}{rest}",
        told.join("; ")
    )
}

/// Puts the finalizer on a store, so that what was pushed there can be deleted before it goes.
async fn hold<K: CustomObject>(
    client: &kube::Client,
    stores: &Store<K>,
    id: &ObjectRef,
) -> Result<(), KubernetesError> {
    let Some(store) = stores.get(id) else { return Ok(()) };
    if !has_finalizer(&*store, STORE_FINALIZER) {
        stores.apply_answer(add_finalizer(client, &*store, STORE_FINALIZER).await?);
    }
    Ok(())
}
