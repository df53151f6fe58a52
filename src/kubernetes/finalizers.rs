//! Takes the finalizers of VSO and of this operator off all objects of a kind, when no operator is left to do it.

use std::time::Instant;

use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PartialObjectMeta, Patch, PatchParams};
use serde_json::json;

use super::error::with_timeout;
use super::{ErrorKind, KubernetesError, Scope};

/// All finalizers of the operator end with this.
const SUFFIX: &str = ".secrets.hashicorp.com/finalizer";
/// Objects of a list that are fetched at once.
const PAGE_SIZE: u32 = 500;

/// What was done with the objects of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovedFinalizers {
    /// Objects whose finalizer was taken off.
    pub objects: usize,
    /// Objects that still have theirs.
    pub left: usize,
}

/// Takes the finalizers off the objects of a kind in these namespaces until `end`. A kind that the cluster does not
/// know has none. A namespace of several in which there is no right to list them is passed over: roles go with their
/// namespace, so it is most likely gone.
///
/// # Errors
/// If they cannot be listed.
pub async fn remove_all_finalizers(
    client: &kube::Client,
    kind: (&str, &str),
    scopes: &[Scope],
    end: Instant,
    progress: &mut dyn FnMut(String),
) -> Result<RemovedFinalizers, KubernetesError> {
    let (kind, plural) = kind;
    let gvk = GroupVersionKind::gvk(crate::api::GROUP, crate::api::VERSION, kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    let mut released = RemovedFinalizers::default();
    let mut denied = None;
    for scope in scopes {
        match remove_in_scope(client, &resource, scope, end, &mut released, progress).await {
            Ok(()) => {}
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(released),
            Err(error) if error.kind == ErrorKind::Forbidden && scopes.len() > 1 => {
                progress(format!("passed over, since the namespace is gone or its role is: {error}"));
                denied = Some((denied.map_or(0, |(count, _)| count) + 1, error));
            }
            Err(error) => return Err(error),
        }
    }
    match denied {
        Some((count, error)) if count == scopes.len() => Err(error),
        _ => Ok(released),
    }
}

async fn remove_in_scope(
    client: &kube::Client,
    resource: &ApiResource,
    scope: &Scope,
    end: Instant,
    released: &mut RemovedFinalizers,
    progress: &mut dyn FnMut(String),
) -> Result<(), KubernetesError> {
    let (api, place): (Api<DynamicObject>, String) = match scope {
        Scope::All => (Api::all_with(client.clone(), resource), String::new()),
        Scope::Namespace(namespace) => {
            (Api::namespaced_with(client.clone(), namespace, resource), format!(" in {namespace}"))
        }
    };
    let what = format!("list {}{place}", resource.plural);
    let first = ListParams::default().limit(PAGE_SIZE);
    let mut params = first.clone();
    loop {
        let page = match with_timeout(&what, api.list_metadata(&params)).await {
            Ok(page) => page,
            // The list took longer than the API server keeps its version. What was done so far is in no list any more.
            Err(error)
                if error.kind == ErrorKind::Expired && params.continue_token.is_some() && Instant::now() < end =>
            {
                params = first.clone();
                continue;
            }
            Err(error) => return Err(error),
        };
        for object in page.items {
            match release(client, resource, &object, end).await {
                Ok(false) => {}
                Ok(true) => released.objects += 1,
                Err(error) => {
                    released.left += 1;
                    progress(error.to_string());
                }
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = first.clone().continue_token(&token),
            None => return Ok(()),
        }
    }
}

/// True if there was something to take off.
async fn release(
    client: &kube::Client,
    resource: &ApiResource,
    object: &PartialObjectMeta<DynamicObject>,
    end: Instant,
) -> Result<bool, KubernetesError> {
    let meta = &object.metadata;
    let all = meta.finalizers.clone().unwrap_or_default();
    let kept: Vec<&String> = all.iter().filter(|f| !f.ends_with(SUFFIX)).collect();
    if kept.len() == all.len() {
        return Ok(false);
    }
    let (namespace, name) = (meta.namespace.as_deref().unwrap_or(""), meta.name.as_deref().unwrap_or(""));
    let what = format!("take the finalizer off {} {namespace}/{name}", resource.kind);
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    // Refused if the object changed meanwhile: its finalizers may be others.
    let patch = json!({ "metadata": { "resourceVersion": meta.resource_version, "finalizers": kept } });
    if Instant::now() >= end {
        return Err(KubernetesError::new(ErrorKind::Unavailable, format!("{what}: the time is up")));
    }
    match with_timeout(&what, api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(patch))).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
