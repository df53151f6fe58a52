//! Writes to Secrets of a Kubernetes cluster.
//!
//! A Secret that a push has written carries a mark that says whether the push has made it. Only what carries the mark
//! is deleted. Each write names the version that it replaces.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Map, Value, json};

use super::cluster::{ClusterProvider, not_meant, secrets_path};
use super::cluster_client::{ClusterError, ClusterFault};
use super::cluster_value::Remote;
use super::push_metadata::{Names, PushMetadata};
use super::{MAX_CONFLICTS, MAX_PUSH_BYTES, ProviderError, Written};
use crate::api::external_secrets::push_secret::PushData;
use crate::api::reference::is_object_name;
use crate::external_secret::Data;
use crate::external_secret::check::{BOOTSTRAP_TOKEN, SERVICE_ACCOUNT_TOKEN};
use crate::external_secret::push::{PushRow, Pushed};
use crate::resolve::ClusterStore;

/// Annotation of a Secret that was pushed.
const MARK: &str = "vso.secrets.hashicorp.com/pushed";
/// The push has made the Secret.
const MADE: &str = "made";
/// The Secret was there before the push.
const CHANGED: &str = "changed";
const OPAQUE: &str = "Opaque";
/// Longest key of a Secret.
const MAX_KEY_BYTES: usize = 253;

/// What of a Secret a push decides about.
#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    data: Data,
    labels: Names,
    annotations: Names,
    type_: String,
}

/// What a Secret has to be.
struct Wanted {
    content: Content,
    changed: bool,
    rows: Vec<Result<Pushed, String>>,
}

impl ClusterProvider<'_> {
    /// See [`super::Provider::write`].
    pub(super) async fn push(&mut self, rows: &[&PushRow], only_new: bool) -> Result<Written, ProviderError> {
        let mut written = Written { changed: false, rows: vec![] };
        let mut of_namespaces = BTreeMap::<String, Vec<(usize, &PushRow, PushMetadata)>>::new();
        for (index, row) in rows.iter().enumerate() {
            written.rows.push(Ok(Pushed::Existed));
            match place(self.store, self.other_namespaces, &row.entry) {
                Ok((namespace, metadata)) => {
                    of_namespaces.entry(namespace).or_default().push((index, *row, metadata));
                }
                Err(why) => written.rows[index] = Err(why),
            }
        }
        for (namespace, rows) in of_namespaces {
            let (changed, results) = self.push_to(&namespace, &rows, only_new).await?;
            written.changed |= changed;
            for ((index, _, _), result) in rows.iter().zip(results) {
                written.rows[*index] = result;
            }
        }
        Ok(written)
    }

    /// See [`super::Provider::delete`].
    pub(super) async fn take_back(
        &mut self,
        entries: &[&PushData],
        kept: &BTreeSet<String>,
    ) -> Result<bool, ProviderError> {
        let mut of_namespaces = BTreeMap::<String, Vec<&PushData>>::new();
        for entry in entries {
            let (namespace, _) = place(self.store, self.other_namespaces, entry).map_err(ProviderError::Unusable)?;
            of_namespaces.entry(namespace).or_default().push(entry);
        }
        let mut was_there = false;
        for (namespace, entries) in of_namespaces {
            was_there |= self.take_back_from(&namespace, &entries, kept).await?;
        }
        Ok(was_there)
    }

    async fn push_to(
        &self,
        namespace: &str,
        rows: &[(usize, &PushRow, PushMetadata)],
        only_new: bool,
    ) -> Result<(bool, Vec<Result<Pushed, String>>), ProviderError> {
        let name = rows.first().map_or("", |(_, row, _)| row.entry.r#match.remote_ref.remote_key.as_str());
        for _ in 0..MAX_CONFLICTS {
            let found = self.find_secret(namespace, name).await?;
            let known = found.as_ref().map(content).transpose()?;
            let rows = rows.iter().map(|(_, row, metadata)| (*row, metadata));
            let Wanted { content, changed, rows } = wanted(known.as_ref(), rows, only_new);
            if !changed {
                return Ok((false, rows));
            }
            let body = secret(found, namespace, name, &content);
            match self.put(namespace, name, &body).await {
                Ok(()) => return Ok((true, rows)),
                // Another client has made, changed or deleted it meanwhile.
                Err(error) if matches!(error.cause, ClusterFault::Refused(409)) => {}
                Err(error) => return Err(ProviderError::Cluster(error)),
            }
        }
        Err(written_by_others(namespace, name))
    }

    async fn take_back_from(
        &self,
        namespace: &str,
        entries: &[&PushData],
        kept: &BTreeSet<String>,
    ) -> Result<bool, ProviderError> {
        let name = entries.first().map_or("", |entry| entry.r#match.remote_ref.remote_key.as_str());
        for _ in 0..MAX_CONFLICTS {
            let Some(found) = self.find_secret(namespace, name).await? else { return Ok(false) };
            let known = content(&found)?;
            let done = match rest(&known, entries, kept) {
                Rest::AsItIs => return Ok(false),
                Rest::Nothing => {
                    let member = |member: &str| found.pointer(member).cloned().unwrap_or_default();
                    let preconditions = json!({
                        "uid": member("/metadata/uid"), "resourceVersion": member("/metadata/resourceVersion"),
                    });
                    let options = json!({
                        "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions,
                    });
                    let path = format!("{}/{name}", secrets_path(namespace));
                    self.send(Method::DELETE, &path, Some(&options), |_| ()).await
                }
                Rest::Content(content) => {
                    let body = secret(Some(found), namespace, name, &content);
                    self.put(namespace, name, &body).await
                }
            };
            match done {
                Ok(()) => return Ok(true),
                Err(error) if matches!(error.cause, ClusterFault::Refused(409)) => {}
                Err(error) => return Err(ProviderError::Cluster(error)),
            }
        }
        Err(written_by_others(namespace, name))
    }

    async fn find_secret(&self, namespace: &str, name: &str) -> Result<Option<Value>, ProviderError> {
        let path = format!("{}/{name}", secrets_path(namespace));
        let found = self.send(Method::GET, &path, None, |answer| answer).await.map_err(ProviderError::Cluster)?;
        let word = |secret: &Value, member: &str| secret.pointer(member).and_then(Value::as_str).map(str::to_owned);
        match found {
            Some(secret)
                if word(&secret, "/kind").as_deref() != Some("Secret")
                    || word(&secret, "/metadata/name").as_deref() != Some(name) =>
            {
                Err(not_meant(&format!("Secret {name:?}")))
            }
            found => Ok(found),
        }
    }

    /// Makes a Secret, or puts it in the place of the version that it names.
    async fn put(&self, namespace: &str, name: &str, body: &Value) -> Result<(), ClusterError> {
        let path = secrets_path(namespace);
        if body.pointer("/metadata/resourceVersion").is_none() {
            return self.send(Method::POST, &path, Some(body), |_| ()).await;
        }
        self.send(Method::PUT, &format!("{path}/{name}"), Some(body), |_| ()).await
    }
}

/// The namespace that an entry means, and what else it says.
pub(super) fn place(
    store: &ClusterStore,
    may_choose_namespace: bool,
    entry: &PushData,
) -> Result<(String, PushMetadata), String> {
    let name = &entry.r#match.remote_ref.remote_key;
    if !is_object_name(name) {
        return Err(format!("{name:?} is not the name of a Secret"));
    }
    let metadata = PushMetadata::of(entry.metadata.as_ref())?;
    match metadata.remote_namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
        None => Ok((store.namespace.clone(), metadata)),
        Some(_) if !may_choose_namespace => {
            Err("remoteNamespace override is only supported with ClusterSecretStore".to_owned())
        }
        Some(namespace) => Ok((namespace.to_owned(), metadata)),
    }
}

fn written_by_others(namespace: &str, name: &str) -> ProviderError {
    ProviderError::Unusable(format!("other clients write Secret {namespace}/{name} all the time"))
}

fn content(secret: &Value) -> Result<Content, ProviderError> {
    let Remote { data, labels, annotations } = Remote::new(secret)?;
    let names = |map: Map<String, Value>| {
        map.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
    };
    let type_ = secret.get("type").and_then(Value::as_str).unwrap_or(OPAQUE).to_owned();
    Ok(Content { data, labels: names(labels), annotations: names(annotations), type_ })
}

/// A Secret with this content, in the place of the one that was found.
fn secret(found: Option<Value>, namespace: &str, name: &str, content: &Content) -> Value {
    let new = || json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": namespace } });
    let mut secret = found.unwrap_or_else(new);
    let data = content.data.iter().map(|(key, value)| (key.clone(), Value::String(STANDARD.encode(value))));
    let data: Map<String, Value> = data.collect();
    secret["data"] = Value::Object(data);
    secret["type"] = json!(content.type_);
    secret["metadata"]["labels"] = json!(content.labels);
    secret["metadata"]["annotations"] = json!(content.annotations);
    if let Some(metadata) = secret["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    secret
}

/// What the rows make of a Secret. Rows for all of it come before those for a key.
fn wanted<'a>(
    known: Option<&Content>,
    rows: impl Iterator<Item = (&'a PushRow, &'a PushMetadata)> + Clone,
    only_new: bool,
) -> Wanted {
    let mut content = known.cloned();
    let mut results: Vec<Result<Pushed, String>> = rows.clone().map(|_| Ok(Pushed::Existed)).collect();
    let mut bytes = 0;
    for of_keys in [false, true] {
        for ((row, metadata), result) in rows.clone().zip(&mut results) {
            let property = row.entry.r#match.remote_ref.property.as_deref();
            if property.is_some() != of_keys {
                continue;
            }
            let exists = known.is_some_and(|known| property.is_none_or(|property| known.data.contains_key(property)));
            if only_new && exists {
                continue;
            }
            bytes += row.payload.entries().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            *result = match bytes > MAX_PUSH_BYTES {
                true => Err(format!("more than {} MiB are pushed to one Secret", MAX_PUSH_BYTES >> 20)),
                false => apply(content.as_ref(), row, metadata, property).map(|applied| {
                    content = Some(applied);
                    Pushed::Done
                }),
            };
        }
    }
    let mut content = content.unwrap_or_default();
    let changed = results.contains(&Ok(Pushed::Done)) && known != Some(&content);
    if changed {
        let mark = match known {
            None => MADE,
            Some(known) => known.annotations.get(MARK).map_or(CHANGED, String::as_str),
        };
        content.annotations.insert(MARK.to_owned(), mark.to_owned());
    }
    // A policy that replaces all annotations takes the mark away, and it comes back: that is no change.
    let changed = changed && known != Some(&content);
    Wanted { content, changed, rows: results }
}

/// A Secret as one row makes it.
fn apply(
    known: Option<&Content>,
    row: &PushRow,
    metadata: &PushMetadata,
    property: Option<&str>,
) -> Result<Content, String> {
    let mut content = known.cloned().unwrap_or_default();
    let type_ = row.source.type_.as_deref().unwrap_or(OPAQUE);
    // A key that is put beside others takes no type with it.
    let takes_type = known.is_none() || property.is_none();
    if takes_type && [SERVICE_ACCOUNT_TOKEN, BOOTSTRAP_TOKEN].contains(&type_) {
        return Err(format!(
            "a Secret of type {type_} is a credential of its own cluster: set template.type to that of a copy, such as {OPAQUE}"
        ));
    }
    match (known, property) {
        (None, _) => type_.clone_into(&mut content.type_),
        (Some(known), None) if known.type_ != type_ => {
            let text = format!("the Secret there is of type {}, which cannot become {type_}", known.type_);
            return Err(text);
        }
        (Some(_), _) => {}
    }
    match property {
        None if row.payload.value().is_some() => {
            let text = "requires property in RemoteRef to push secret value if secret key is defined";
            return Err(text.to_owned());
        }
        None => {
            content.data = row.payload.entries().map(|(key, value)| (key.clone(), value.clone())).collect();
            content.data.keys().try_for_each(|key| check_key(key))?;
        }
        Some(property) => {
            check_key(property)?;
            content.data.insert(property.to_owned(), row.payload.of_property()?);
        }
    }
    (content.labels, content.annotations) = metadata.applied(&row.source, &content.labels, &content.annotations);
    Ok(content)
}

/// Whether a Secret may have such a key: else the cluster would refuse all that is pushed to the Secret.
fn check_key(key: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_good =
        (1..=MAX_KEY_BYTES).contains(&key.len()) && key.chars().all(is_allowed) && key != "." && !key.starts_with("..");
    if is_good { Ok(()) } else { Err(format!("{key:?} cannot be a key of a Secret")) }
}

/// What becomes of a Secret whose push is taken back.
#[derive(Debug, PartialEq)]
enum Rest {
    /// It stays: nothing of it was pushed, or it was there before and is not only a part of it that was pushed.
    AsItIs,
    /// It goes.
    Nothing,
    /// It has this left.
    Content(Content),
}

fn rest(known: &Content, entries: &[&PushData], kept: &BTreeSet<String>) -> Rest {
    let Some(mark) = known.annotations.get(MARK) else { return Rest::AsItIs };
    let is_made = mark == MADE;
    let mut content = known.clone();
    for entry in entries {
        match &entry.r#match.remote_ref.property {
            Some(property) => drop(content.data.remove(property)),
            // Without its data it would not be what its owner has made.
            None if !is_made => return Rest::AsItIs,
            None if kept.is_empty() => return Rest::Nothing,
            None => content.data.retain(|key, _| kept.contains(key)),
        }
    }
    if content.data.is_empty() && is_made && kept.is_empty() {
        Rest::Nothing
    } else if content == *known {
        Rest::AsItIs
    } else {
        Rest::Content(content)
    }
}

#[cfg(test)]
mod tests;
