//! Deletion: the finalizers that upstream has put on objects are taken off.
//!
//! This operator puts none on, since nothing outside of Kubernetes has to be cleaned up; but an object that came from
//! upstream could never be deleted with its finalizer.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::Context;
use super::engine::Verdict;
use crate::cluster::remove_finalizer;
use crate::schedule::{Class, Next};

/// After the API server refused.
const RETRY: Duration = Duration::from_secs(5);

/// The run of an object that is being deleted.
pub(super) async fn release<K>(context: &Context, object: &K, finalizer: &str) -> Verdict
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    match remove_finalizer(&api, object, finalizer).await {
        Ok(()) => Verdict::settled(),
        Err(error) => {
            tracing::warn!(kind = %K::kind(&()), object = object.name_any(), %error, "finalizer could not be removed");
            Verdict::failed(Next::At(Instant::now() + RETRY, Class::Retry), None)
        }
    }
}
