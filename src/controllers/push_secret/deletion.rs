//! `deletionPolicy: Delete`: what was pushed goes with the object, and the stores stay until then.

use std::sync::Arc;

use chrono::Utc;

use super::report::verdict;
use super::state::State;
use super::{PushSecrets, Tasks};
use crate::api::external_secrets::{ClusterSecretStore, PushSecret};
use crate::api::{CustomObject, Key, ObjectRef};
use crate::controllers::finalizer::{add_finalizer, has_finalizer, remove_finalizer};
use crate::controllers::outcome::Outcome;
use crate::controllers::secret_store::FINALIZER as STORE_FINALIZER;
use crate::kubernetes::{KubernetesError, Store};
use crate::resolve::{self, PushTarget};
use crate::workqueue::{Class, Job, Next};

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
        let pushed = match object.deletes() {
            true => resolve::pushed_to(object, &**self.stores()),
            false => vec![],
        };
        self.follow(&job.key, object, &[], &pushed, state).await;
        let tasks = Tasks::only_deleting(pushed, None, job, state);
        let (synced, changed, waits) = self.work(job, object, &tasks, state).await;
        if let Some(lane) = waits {
            return Outcome::yielded(Next::At(job.due, job.class), Some(lane));
        }
        if synced.is_empty() {
            return remove_finalizer(&self.access.outputs.client, &**object, FINALIZER).await;
        }
        self.tell(object, state, &verdict(state), synced, changed, Utc::now()).await
    }

    /// Stores that are being deleted wait for those that have something there.
    pub(super) fn let_stores_go(&self, old: &PushSecret, new: Option<&PushSecret>) {
        for (target, _) in resolve::pushed_to(old, &**self.stores()) {
            if !new.is_some_and(|new| resolve::needs_store(new, &target.key)) && resolve::needs_store(old, &target.key)
            {
                self.access.vault.work.push_now(target.key, Class::Event);
            }
        }
    }
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
