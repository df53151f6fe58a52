//! What a run writes to its object before it can go on: a finalizer, new data that is on its way, content whose
//! restarts are done.

use std::sync::Arc;

use kube::Resource as _;
use kube::core::object::HasStatus as _;

use super::failure::{Failure, Interruption};
use super::report::status_of;
use super::state::ObjectState;
use super::{Pipeline, SecretSource};
use crate::api::owner::OwnerStatus as _;
use crate::api::{CustomObject as _, Key, Reason};
use crate::controllers::finalizer::add_finalizer;
use crate::controllers::outcome::Outcome;
use crate::kubernetes::KubernetesError;
use crate::workqueue::{Job, Next};

impl<S: SecretSource> Pipeline<S> {
    /// Puts the finalizer on an object before anything is made for it that has to be cleaned up.
    pub(super) async fn add_finalizer(
        &self,
        job: &Job<Key>,
        object: &S::Owner,
        state: &mut ObjectState<S::State>,
    ) -> Outcome {
        match add_finalizer(&self.shared.outputs.client, object, S::FINALIZER).await {
            Ok(answer) => {
                self.store.apply_answer(answer);
                Outcome::yielded(Next::At(job.due, job.class), state.lane())
            }
            Err(error) => {
                let text = format!("Failed to add the finalizer: {error}");
                self.fail(object, state, Failure::new(Reason::SecretSyncError, text)).await
            }
        }
    }

    /// Puts into the status what a later run has to know of new data, should this one not come to its end.
    pub(super) async fn announce(
        &self,
        object: &mut Arc<S::Owner>,
        state: &S::State,
        mac: &str,
    ) -> Result<(), Interruption> {
        let known = status_of(&**object);
        let mut status = known.clone();
        self.source.announce(state, mac, &mut status);
        if status == known {
            return Ok(());
        }
        self.shared.outputs.publish(&self.store, &**object, &status, &[]).await.map_err(|error| not_written(&error))?;
        // The object stays the one that is synced: only its status and version are those of the answer.
        let mut announced = (**object).clone();
        let known = self.store.get(&object.key().id).filter(|known| known.meta().uid == object.meta().uid);
        announced.meta_mut().resource_version = known.and_then(|known| known.meta().resource_version.clone());
        *announced.status_mut() = Some(status);
        *object = Arc::new(announced);
        Ok(())
    }

    /// Writes down that the restarts for the content of the Secret are done, before other content takes its place.
    pub(super) async fn record(
        &self,
        job: &Job<Key>,
        object: &S::Owner,
        state: &mut ObjectState<S::State>,
        mac: String,
    ) -> Outcome {
        let mut status = status_of(object);
        status.set_recorded_mac(Some(mac));
        match self.shared.outputs.publish(&self.store, object, &status, &[]).await {
            Ok(_) => Outcome::yielded(Next::At(job.due, job.class), state.lane()),
            Err(error) => self.fail(object, state, not_written(&error)).await,
        }
    }
}

fn not_written(error: &KubernetesError) -> Failure {
    Failure::new(Reason::SecretSyncError, format!("Failed to update the status: {error}"))
}
