//! Finalizers. This operator puts one on where something outside of Kubernetes has to be cleaned up before the object goes;
//! VSO puts one on everything, and it is taken off at deletion.

use kube::{Api, ResourceExt as _};

use super::outcome::Outcome;
use crate::api::CustomObject;
use crate::kubernetes::{self, KubernetesError};

/// Whether an object has a finalizer.
pub(super) fn has_finalizer(object: &impl CustomObject, finalizer: &str) -> bool {
    object.meta().finalizers.iter().flatten().any(|found| found == finalizer)
}

/// Puts a finalizer on an object.
///
/// # Errors
/// If the API server did not do it.
pub(super) async fn add_finalizer<K: CustomObject>(
    client: &kube::Client,
    object: &K,
    finalizer: &str,
) -> Result<K, KubernetesError> {
    let api = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    kubernetes::add_finalizer(&api, object, finalizer).await
}

/// Lets an object go that is being deleted.
pub(super) async fn remove_finalizer<K: CustomObject>(client: &kube::Client, object: &K, finalizer: &str) -> Outcome {
    let api = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    match kubernetes::remove_finalizer(&api, object, finalizer).await {
        Ok(()) => Outcome::await_change(),
        Err(error) => {
            tracing::warn!(object = %object.key(), %error, "finalizer could not be removed");
            Outcome::write_failed()
        }
    }
}
