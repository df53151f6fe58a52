//! Writes to the objects of the operator's own kinds: their status and, where VSO has put one, their finalizer.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::with_timeout;
use super::{ErrorKind, FIELD_MANAGER, KubernetesError};

/// Replaces members of the status. `null` removes one; the object must still be the one with this UID.
pub async fn patch_status<K>(api: &Api<K>, object: &K, status: Value) -> Result<K, KubernetesError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + 'static,
{
    let meta = object.meta();
    let name = meta.name.as_deref().unwrap_or("");
    let what = format!("patch the status of {} {}/{name}", K::kind(&()), meta.namespace.as_deref().unwrap_or(""));
    let patch = json!({ "metadata": { "uid": meta.uid }, "status": status });
    with_timeout(&what, api.patch_status(name, &PatchParams::apply(FIELD_MANAGER), &Patch::Merge(patch))).await
}

/// Removes one finalizer, if the object has it.
pub async fn remove_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<(), KubernetesError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let meta = object.meta();
    let Some(index) = meta.finalizers.iter().flatten().position(|f| f == finalizer) else { return Ok(()) };
    let name = meta.name.as_deref().unwrap_or("");
    let path = format!("/metadata/finalizers/{index}");
    let patch: json_patch::Patch = serde_json::from_value(json!([
        { "op": "test", "path": path, "value": finalizer },
        { "op": "remove", "path": path },
    ]))
    .map_err(|e| KubernetesError::new(ErrorKind::Invalid, e.to_string()))?;
    let what = format!("remove the finalizer of {} {}/{name}", K::kind(&()), meta.namespace.as_deref().unwrap_or(""));
    match with_timeout(&what, api.patch(name, &PatchParams::default(), &Patch::<()>::Json(patch))).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
