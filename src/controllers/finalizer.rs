//! Finalizers. This operator puts one on where something outside of Kubernetes has to be cleaned up before the object
//! goes; VSO puts one on everything, and it is taken off at deletion.

use super::outcome::Outcome;
use crate::api::{ApiScope as _, CustomObject};
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
    let api = K::Scope::api(client.clone(), object.meta().namespace.as_deref().unwrap_or(""));
    kubernetes::add_finalizer(&api, object, finalizer).await
}

/// Lets an object go that is being deleted.
pub(super) async fn remove_finalizer<K: CustomObject>(client: &kube::Client, object: &K, finalizer: &str) -> Outcome {
    match take_finalizer_off(client, object, finalizer).await {
        Ok(_) => Outcome::await_change(),
        Err(_) => Outcome::write_failed(),
    }
}

/// Takes a finalizer off an object, and gives what the object is then. `None`: it is gone, or has no such finalizer.
///
/// # Errors
/// If the API server did not do it. The log says why.
pub(super) async fn take_finalizer_off<K: CustomObject>(
    client: &kube::Client,
    object: &K,
    finalizer: &str,
) -> Result<Option<K>, KubernetesError> {
    let api = K::Scope::api(client.clone(), object.meta().namespace.as_deref().unwrap_or(""));
    kubernetes::remove_finalizer(&api, object, finalizer)
        .await
        .inspect_err(|error| tracing::warn!(object = %object.key(), %error, "finalizer could not be removed"))
}
