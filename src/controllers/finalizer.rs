//! Deletion: the finalizers that VSO has put on objects are taken off.
//!
//! This operator puts none on, since nothing outside of Kubernetes has to be cleaned up; but an object that came from VSO
//! could never be deleted with its finalizer.

use kube::{Api, ResourceExt as _};

use super::outcome::Outcome;
use crate::api::CustomObject;
use crate::kubernetes;

/// The run of an object that is being deleted.
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
