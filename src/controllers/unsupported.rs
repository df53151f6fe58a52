//! The kinds whose objects are kept but not served by the operator: each object says so in a condition, and none hangs
//! when it is deleted.

use std::sync::Arc;

use super::controller::{Controller, Watches};
use super::dependents::Dependents;
use super::finalizer::remove_finalizer;
use super::outcome::Outcome;
use super::outputs::Outputs;
use crate::api::{CSISecrets, Condition, ConditionType, ConditionUpdate, CustomObject, Key, Kind, Reason, condition};
use crate::kubernetes::{ErrorKind, Store};
use crate::workqueue::{Job, Next};

/// A kind that is not served.
pub(super) trait UnsupportedKind: CustomObject {
    /// The finalizer that VSO puts on its objects; empty if VSO puts none on.
    const FINALIZER: &'static str;
    /// What that means for the user of an object, and what to do.
    const MESSAGE: &'static str;
    /// The condition of each object.
    fn condition() -> ConditionUpdate<'static>;
    /// Replaces the conditions of a status.
    fn set_conditions(status: &mut Self::Status, conditions: Vec<Condition>);
}

/// Says of each object of a kind that it is not served.
pub(super) struct Unsupported<K> {
    pub store: Arc<Store<K>>,
    pub dependents: Arc<Dependents>,
    pub outputs: Outputs,
}

#[async_trait::async_trait]
impl<K: UnsupportedKind> Controller for Unsupported<K> {
    fn kind(&self) -> Kind {
        K::KIND
    }

    fn watch(self: Arc<Self>, watches: &mut Watches<'_>) {
        let this = self.clone();
        self.store.listen(move |change| drop(this.dependents.enqueue_if_changed(&change)));
        watches.optional(self.store.clone());
    }

    async fn reconcile(&self, job: &Job<Key>) -> Outcome {
        let Some(object) = self.store.get(&job.key.id) else { return Outcome::await_change() };
        if object.meta().deletion_timestamp.is_some() {
            return remove_finalizer(&self.outputs.client, &*object, K::FINALIZER).await;
        }
        let generation = object.meta().generation.unwrap_or(0);
        let conditions = condition::merge(object.conditions(), generation, &[K::condition()]);
        let mut status = object.status().cloned().unwrap_or_default();
        K::set_conditions(&mut status, conditions);
        match self.outputs.publish(&self.store, &*object, &status, &[]).await {
            // A status that the schema refuses is refused each time.
            Err(error) if error.kind != ErrorKind::Invalid => Outcome::write_failed(),
            _ => Outcome::blocked(Next::WhenChanged, None),
        }
    }

    fn objects(&self) -> usize {
        self.store.len()
    }
}

impl UnsupportedKind for CSISecrets {
    const FINALIZER: &'static str = "";
    const MESSAGE: &'static str = "HashiCorp's CSI driver serves CSISecrets, and not \
        this operator. Its image is part of Vault Enterprise; csi.enabled of the chart installs it. Without the driver, use a \
        VaultStaticSecret.";

    fn condition() -> ConditionUpdate<'static> {
        // Whether the driver runs, and how it fares, is not for the operator to see.
        ConditionUpdate::unknown(ConditionType::Ready, Reason::ServedByDriver, Self::MESSAGE)
    }

    fn set_conditions(status: &mut Self::Status, conditions: Vec<Condition>) {
        status.conditions = conditions;
    }
}
