//! Writes of whole objects that the operator makes for others of its kinds.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{with_name, with_timeout};
use super::status::remove_finalizer;
use super::{ErrorKind, FIELD_MANAGER, KubernetesError};

/// Creates an object.
///
/// # Errors
/// [`ErrorKind::Conflict`] if there is one of that name.
pub async fn create_object<K>(api: &Api<K>, object: &K) -> Result<K, KubernetesError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    with_name(&what("create", object), name(object), api.create(&params(), object)).await
}

/// Puts an object in the place of the version that its metadata names.
///
/// # Errors
/// [`ErrorKind::Conflict`] if it is another version by now.
pub async fn replace_object<K>(api: &Api<K>, object: &K) -> Result<K, KubernetesError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    with_name(&what("update", object), name(object), api.replace(name(object), &params(), object)).await
}

/// Deletes an object, in whatever version it is. Gone already is fine.
///
/// # Errors
/// If the API server did not do it.
pub async fn delete_object<K>(api: &Api<K>, object: &K) -> Result<(), KubernetesError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let preconditions = Preconditions { uid: object.meta().uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match with_name(&what("delete", object), name(object), api.delete(name(object), &params)).await {
        Ok(_) => Ok(()),
        // Another one has its name by now.
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes a finalizer off a namespace, if it has it.
///
/// # Errors
/// If the API server did not do it. That the namespace is gone is none.
pub async fn release_namespace(client: &kube::Client, name: &str, finalizer: &str) -> Result<(), KubernetesError> {
    let api: Api<Namespace> = Api::all(client.clone());
    // The operator may list namespaces; nothing else needs the right to get one.
    let by_name = ListParams::default().fields(&format!("metadata.name={name}"));
    let found = with_timeout(&format!("list namespace {name}"), api.list_metadata(&by_name)).await?.items.pop();
    let Some(found) = found else { return Ok(()) };
    let namespace = Namespace { metadata: found.metadata, ..Namespace::default() };
    remove_finalizer(&api, &namespace, finalizer).await.map(drop)
}

pub(super) fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run: false }
}

fn name<K: Resource>(object: &K) -> &str {
    object.meta().name.as_deref().unwrap_or("")
}

fn what<K: Resource<DynamicType = ()>>(verb: &str, object: &K) -> String {
    let namespace = object.meta().namespace.as_deref().unwrap_or("");
    format!("{verb} {} {namespace}/{}", K::kind(&()), name(object))
}
