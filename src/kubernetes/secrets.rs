//! Reads and writes of Secrets.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Selector;
use serde_json::{Value, json};

use super::error::{with_name, with_timeout};
use super::{ErrorKind, FIELD_MANAGER, KubernetesError, Revision};

/// When an object was last changed, by any client, in seconds since the epoch. The clock is the API server's, which
/// also tells when other objects were made.
pub fn changed_at(meta: &ObjectMeta) -> Option<i64> {
    let times = meta.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref());
    times.map(|time| time.0.as_second()).max()
}

/// What a created Secret carries beside its data.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedMetadata {
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// All annotations.
    pub annotations: BTreeMap<String, String>,
    /// The one owner reference.
    pub owner: Value,
}

/// A name holds 253 characters, this many before an ending.
const LONGEST_BASE: usize = 240;

/// Why a Secret gives no value.
pub enum NoValue {
    /// It could not be read.
    Unread(KubernetesError),
    /// It does not exist.
    NoSecret,
    /// It has no such key.
    NoKey,
}

/// Reads and writes Secrets of one namespace.
pub struct SecretWriter {
    api: Api<Secret>,
    namespace: String,
}

impl SecretWriter {
    /// Reads and writes the Secrets of `namespace`.
    pub fn new(client: &kube::Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client.clone(), namespace), namespace: namespace.to_owned() }
    }

    /// The Secret with its data.
    pub async fn get(&self, name: &str) -> Result<Option<Secret>, KubernetesError> {
        with_name(&self.what("get", name), name, self.api.get_opt(name)).await
    }

    /// The names of the Secrets that a selector selects: `limit` at most, or one more than that. No data is read.
    ///
    /// # Errors
    /// If they cannot be listed, or if the selector is none.
    pub async fn names_selected(&self, selector: &LabelSelector, limit: u32) -> Result<Vec<String>, KubernetesError> {
        let selector = Selector::try_from(selector.clone())
            .map_err(|error| KubernetesError::new(ErrorKind::Invalid, format!("the label selector: {error}")))?;
        let params = kube::api::ListParams::default().labels_from(&selector).limit(limit + 1);
        let list = self.api.list_metadata(&params);
        let list = with_timeout(&format!("list Secrets in {}", self.namespace), list).await?;
        Ok(list.items.into_iter().filter_map(|secret| secret.metadata.name).collect())
    }

    /// The value of a key.
    pub async fn value(&self, name: &str, key: &str) -> Result<Vec<u8>, NoValue> {
        let secret = self.get(name).await.map_err(NoValue::Unread)?.ok_or(NoValue::NoSecret)?;
        secret.data.and_then(|mut data| data.remove(key)).map(|value| value.0).ok_or(NoValue::NoKey)
    }

    /// When a Secret was last changed; see [`changed_at`]. `None` if there is none.
    pub async fn changed_at(&self, name: &str) -> Result<Option<i64>, KubernetesError> {
        let meta = with_name(&self.what("get", name), name, self.api.get_metadata_opt(name)).await?;
        Ok(meta.and_then(|secret| changed_at(&secret.metadata)))
    }

    /// Creates a Secret; a [`ErrorKind::Conflict`] if there is one.
    pub async fn create(
        &self,
        name: &str,
        type_: &str,
        metadata: &OwnedMetadata,
        data: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Revision, KubernetesError> {
        let mut secret = new_secret(type_, metadata, data)?;
        secret.metadata.name = Some(name.to_owned());
        self.post(name, &secret, false).await
    }

    /// Asks whether a Secret could be created in the place of the one of that name: its content, admission and quota
    /// are checked, and nothing is stored.
    ///
    /// # Errors
    /// What the API server would refuse it for.
    pub async fn try_create(
        &self,
        name: &str,
        type_: &str,
        metadata: &OwnedMetadata,
        data: &BTreeMap<String, Vec<u8>>,
    ) -> Result<(), KubernetesError> {
        let mut secret = new_secret(type_, metadata, data)?;
        // Always the same name: a condition with the answer stays as it is.
        let beside = format!("{}-dry-run", name[..name.floor_char_boundary(LONGEST_BASE)].trim_end_matches(['-', '.']));
        secret.metadata.name = Some(beside);
        match self.post(name, &secret, true).await {
            // That one of the name exists is found last.
            Err(error) if error.kind != ErrorKind::Conflict => Err(error),
            _ => Ok(()),
        }
    }

    /// Creates a Secret again that was deleted, as it was.
    pub async fn restore(&self, deleted: &Secret) -> Result<Revision, KubernetesError> {
        let old = &deleted.metadata;
        let metadata = ObjectMeta {
            name: old.name.clone(),
            labels: old.labels.clone(),
            annotations: old.annotations.clone(),
            owner_references: old.owner_references.clone(),
            finalizers: old.finalizers.clone(),
            ..ObjectMeta::default()
        };
        let secret = Secret { metadata, ..deleted.clone() };
        self.post(old.name.as_deref().unwrap_or(""), &secret, false).await
    }

    async fn post(&self, name: &str, secret: &Secret, dry_run: bool) -> Result<Revision, KubernetesError> {
        let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), dry_run };
        let created = with_name(&self.what("create", name), name, self.api.create(&params, secret)).await?;
        Ok(Revision::of(&created.metadata))
    }

    /// Replaces all data of the version that was `revision`, and what it carries if `metadata` is given. A
    /// [`ErrorKind::Conflict`] if it is another version by now.
    pub async fn replace(
        &self,
        name: &str,
        revision: &Revision,
        metadata: Option<&OwnedMetadata>,
        data: &BTreeMap<String, Vec<u8>>,
    ) -> Result<Revision, KubernetesError> {
        // The version is written and not tested: the API server answers a failed `test` as it does bad content, and a
        // write to another version as a conflict. A Secret that has the version has the UID as well.
        let mut operations = vec![
            json!({ "op": "add", "path": "/metadata/resourceVersion", "value": &*revision.resource_version }),
            json!({ "op": "add", "path": "/data", "value": encode(data) }),
        ];
        if let Some(metadata) = metadata {
            operations.push(json!({ "op": "add", "path": "/metadata/labels", "value": metadata.labels }));
            operations.push(json!({ "op": "add", "path": "/metadata/annotations", "value": metadata.annotations }));
            operations.push(json!({ "op": "add", "path": "/metadata/ownerReferences", "value": [metadata.owner] }));
        }
        let patch: json_patch::Patch = serde_json::from_value(Value::Array(operations))
            .map_err(|e| KubernetesError::new(ErrorKind::Invalid, e.to_string()))?;
        let params = PatchParams::apply(FIELD_MANAGER);
        let patch = Patch::<()>::Json(patch);
        let patched = with_name(&self.what("patch", name), name, self.api.patch(name, &params, &patch)).await?;
        Ok(Revision::of(&patched.metadata))
    }

    /// Creates a Secret as a field manager; a [`ErrorKind::Conflict`] if there is one.
    pub async fn create_as(&self, secret: &Secret, manager: &str) -> Result<Revision, KubernetesError> {
        let name = secret.metadata.name.as_deref().unwrap_or("");
        let params = PostParams { field_manager: Some(manager.to_owned()), dry_run: false };
        let created = with_name(&self.what("create", name), name, self.api.create(&params, secret)).await?;
        Ok(Revision::of(&created.metadata))
    }

    /// Puts a Secret in the place of the version that its metadata names, as a field manager. A [`ErrorKind::Conflict`]
    /// if it is another version by now.
    pub async fn update_as(&self, secret: &Secret, manager: &str) -> Result<Revision, KubernetesError> {
        let name = secret.metadata.name.as_deref().unwrap_or("");
        let params = PostParams { field_manager: Some(manager.to_owned()), dry_run: false };
        let updated = with_name(&self.what("update", name), name, self.api.replace(name, &params, secret)).await?;
        Ok(Revision::of(&updated.metadata))
    }

    /// Deletes the version that was `revision`. Gone already is fine.
    pub async fn delete(&self, name: &str, revision: &Revision) -> Result<(), KubernetesError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(revision.uid.to_string()),
                resource_version: Some(revision.resource_version.to_string()),
            }),
            ..DeleteParams::default()
        };
        match with_name(&self.what("delete", name), name, self.api.delete(name, &params)).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Metadata of the Secrets that carry all of these labels.
    pub async fn list(&self, labels: &str) -> Result<Vec<ObjectMeta>, KubernetesError> {
        let params = kube::api::ListParams::default().labels(labels);
        let list =
            with_timeout(&format!("list Secrets in {}", self.namespace), self.api.list_metadata(&params)).await?;
        Ok(list.items.into_iter().map(|s| s.metadata).collect())
    }

    fn what(&self, verb: &str, name: &str) -> String {
        format!("{verb} Secret {}/{name}", self.namespace)
    }
}

fn new_secret(
    type_: &str,
    metadata: &OwnedMetadata,
    data: &BTreeMap<String, Vec<u8>>,
) -> Result<Secret, KubernetesError> {
    let secret: Secret = serde_json::from_value(json!({
        "metadata": {
            "labels": metadata.labels,
            "annotations": metadata.annotations,
            "ownerReferences": [metadata.owner],
        },
        "type": type_,
    }))
    .map_err(|e| KubernetesError::new(ErrorKind::Invalid, e.to_string()))?;
    Ok(Secret { data: Some(encode(data)), ..secret })
}

fn encode(data: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, ByteString> {
    data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))).collect()
}
