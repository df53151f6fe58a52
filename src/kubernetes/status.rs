//! Writes to the objects of the operator's own kinds: their status and their finalizer.

use std::fmt::Debug;

use kube::api::{ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::with_timeout;
use super::{ErrorKind, FIELD_MANAGER, KubernetesError};

/// A write to an object that other clients write at the same time is tried so many times.
const ATTEMPTS: usize = 4;

/// Merges members into the status of the object with this UID, in whatever version it is by now. `null` removes one.
///
/// # Errors
/// [`ErrorKind::NotFound`] if the object is gone, and also if another one has its name by now.
pub async fn patch_status<K>(api: &Api<K>, object: &K, status: Value) -> Result<K, KubernetesError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + 'static,
{
    // A UID alone is no precondition of a status. The version is one, and an object that has it has the UID as well.
    let patch =
        |meta: &ObjectMeta| json!({ "metadata": { "resourceVersion": meta.resource_version }, "status": status });
    patch_version(api, Part::Status, object.meta(), patch).await
}

/// Removes one finalizer, and gives what the object is then. `None`: it is gone, or had no such finalizer.
///
/// # Errors
/// If the API server did not do it. That the object is gone is none.
pub async fn remove_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<Option<K>, KubernetesError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    if !object.meta().finalizers.iter().flatten().any(|found| found == finalizer) {
        return Ok(None);
    }
    let patch = |meta: &ObjectMeta| {
        let kept: Vec<&String> = meta.finalizers.iter().flatten().filter(|found| *found != finalizer).collect();
        json!({ "metadata": { "resourceVersion": meta.resource_version, "finalizers": kept } })
    };
    match patch_version(api, Part::Finalizers, object.meta(), patch).await {
        Ok(without) => Ok(Some(without)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a finalizer on an object, unless it has it.
///
/// # Errors
/// [`ErrorKind::NotFound`] if the object is gone.
pub async fn add_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<K, KubernetesError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let patch = |meta: &ObjectMeta| {
        let others = meta.finalizers.iter().flatten().map(String::as_str).filter(|found| *found != finalizer);
        let all: Vec<&str> = others.chain([finalizer]).collect();
        json!({ "metadata": { "resourceVersion": meta.resource_version, "finalizers": all } })
    };
    patch_version(api, Part::Finalizers, object.meta(), patch).await
}

/// What of an object is written.
#[derive(Clone, Copy)]
enum Part {
    Status,
    Finalizers,
}

/// Sends a patch that names the version of the object. After a conflict it is made again for the version that the
/// object has by then, if it still is the object with the UID of `known`.
async fn patch_version<K>(
    api: &Api<K>,
    part: Part,
    known: &ObjectMeta,
    patch: impl Fn(&ObjectMeta) -> Value + Send,
) -> Result<K, KubernetesError>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let (namespace, name) = (known.namespace.as_deref().unwrap_or(""), known.name.as_deref().unwrap_or(""));
    let verb = match part {
        Part::Status => "patch the status of",
        Part::Finalizers => "change the finalizers of",
    };
    let what = format!("{verb} {} {namespace}/{name}", K::kind(&()));
    let params = PatchParams::apply(FIELD_MANAGER);
    let mut current = known.clone();
    let mut attempts = 1..ATTEMPTS;
    loop {
        let patch = Patch::Merge(patch(&current));
        let answer = match part {
            Part::Status => with_timeout(&what, api.patch_status(name, &params, &patch)).await,
            Part::Finalizers => with_timeout(&what, api.patch(name, &params, &patch)).await,
        };
        match answer {
            Err(error) if error.kind == ErrorKind::Conflict && attempts.next().is_some() => {}
            answer => return answer,
        }
        // The operator may list its kinds and watch them; nothing else needs the right to get one.
        let by_name = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = with_timeout(&what, api.list_metadata(&by_name)).await?.items.pop();
        let Some(found) = found.filter(|found| found.metadata.uid == known.uid) else {
            let text = format!("{what}: it was deleted, and its name may be that of another object by now");
            return Err(KubernetesError::new(ErrorKind::NotFound, text));
        };
        current = found.metadata;
    }
}
