//! Secrets of a Kubernetes cluster.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::cluster_client::{ClusterClient, ClusterClients, ClusterError};
use super::{Found, Provider, ProviderError};
use crate::api::external_secrets::MetadataPolicy;
use crate::api::external_secrets::remote::{Find, RemoteRef};
use crate::api::reference::is_object_name;
use crate::external_secret::Data;
use crate::external_secret::document::{Halves, Json, JsonError, unescape};
use crate::external_secret::property::{self, PropertyError};
use crate::external_secret::value::Fields;
use crate::resolve::ClusterStore;

/// So many Secrets are listed at a time.
const PAGE: usize = 200;

/// The Secrets of one namespace of a cluster.
pub struct ClusterProvider<'a> {
    /// The store.
    pub store: &'a ClusterStore,
    /// Connection to the operator's own cluster, which holds the credentials.
    pub own: &'a kube::Client,
    /// The connections of all stores.
    pub clients: &'a ClusterClients,
}

/// What is read of a Secret.
struct Remote {
    data: Data,
    labels: Map<String, Value>,
    annotations: Map<String, Value>,
}

impl ClusterProvider<'_> {
    /// Whether Secrets can be read, as the cluster says. `Ok(Err(_))`: it does not say.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn check(&self) -> Result<Result<(), String>, ClusterError> {
        let client = self.client().await?;
        let namespace = &self.store.namespace;
        let rules = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": { "namespace": namespace },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        let answer = match self.send(&client, Method::POST, path, Some(&rules)).await {
            Ok(answer) => answer,
            // A server that does not know the request, or does not answer it, may serve Secrets all the same.
            Err(error) if error.status.is_some_and(|status| status != 401) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        let rules = answer.as_ref().and_then(|answer| answer.pointer("/status/resourceRules")?.as_array());
        if rules.into_iter().flatten().any(allows_reading) {
            return Ok(Ok(()));
        }
        let access = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": { "namespace": namespace, "verb": "get", "resource": "secrets" } },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let answer = match self.send(&client, Method::POST, path, Some(&access)).await {
            Ok(answer) => answer,
            Err(error) if error.status.is_some_and(|status| status != 401) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        let allowed = answer.as_ref().and_then(|answer| answer.pointer("/status/allowed")?.as_bool());
        if allowed == Some(true) { Ok(Ok(())) } else { Err(ClusterError::new("client is not allowed to get secrets")) }
    }

    async fn client(&self) -> Result<Arc<ClusterClient>, ClusterError> {
        self.clients.get(self.own, self.store).await
    }

    async fn send(
        &self,
        client: &ClusterClient,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Value>, ClusterError> {
        let answer = client.send(method, path, body).await;
        if let Err(error) = &answer
            && error.status.is_none_or(|status| status == 401)
        {
            self.clients.forget(self.store);
        }
        answer
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", encode(&self.store.namespace))
    }

    async fn read(&self, name: &str) -> Result<Remote, ProviderError> {
        if !is_object_name(name) {
            return Err(ProviderError::Unusable(format!("{name:?} is not the name of a Secret")));
        }
        let client = self.client().await.map_err(ProviderError::Cluster)?;
        let path = format!("{}/{name}", self.path());
        let answer = self.send(&client, Method::GET, &path, None).await.map_err(ProviderError::Cluster)?;
        let namespace = &self.store.namespace;
        let absent = || ProviderError::NoSecret(format!("Secret does not exist: {name:?} in namespace {namespace:?}"));
        remote(&answer.ok_or_else(absent)?)
    }
}

#[async_trait::async_trait]
impl Provider for ClusterProvider<'_> {
    async fn get(&mut self, remote: &RemoteRef) -> Result<Vec<u8>, ProviderError> {
        let secret = self.read(&remote.key).await?;
        if remote.metadata_policy == Some(MetadataPolicy::Fetch) {
            return metadata(&secret, &remote.key, remote.property.as_deref());
        }
        let Some(path) = remote.property.as_deref() else { return Ok(whole(texts(&secret.data))) };
        property_of(&secret.data, &remote.key, path)
    }

    async fn get_map(&mut self, remote: &RemoteRef) -> Result<Data, ProviderError> {
        if remote.metadata_policy == Some(MetadataPolicy::Fetch) || remote.property.is_some() {
            let value = self.get(remote).await?;
            return json_members(&value).map_err(|error| ProviderError::Unusable(error.to_string()));
        }
        Ok(self.read(&remote.key).await?.data)
    }

    async fn find(&mut self, find: &Find) -> Result<Data, ProviderError> {
        let regexp = super::name_pattern(find)?;
        let selector: Vec<String> = find.tags.iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
        if regexp.is_none() && find.tags.is_none() {
            return Err(ProviderError::Unusable("find needs name.regexp or tags".to_owned()));
        }
        let client = self.client().await.map_err(ProviderError::Cluster)?;
        let (mut found, mut next) = (Found::default(), String::new());
        loop {
            let mut path = format!("{}?limit={PAGE}", self.path());
            if !selector.is_empty() {
                path += &format!("&labelSelector={}", encode(&selector.join(",")));
            }
            if !next.is_empty() {
                path += &format!("&continue={}", encode(&next));
            }
            let list = self.send(&client, Method::GET, &path, None).await.map_err(ProviderError::Cluster)?;
            let list = list.ok_or_else(|| ProviderError::Unusable("the cluster has no such namespace".to_owned()))?;
            for item in list.get("items").and_then(Value::as_array).into_iter().flatten() {
                let name = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
                let by_name = regexp.as_ref().is_none_or(|regexp| regexp.regex().is_match(name.as_bytes()));
                if find.tags.is_some() || by_name {
                    found.add(name.to_owned(), whole(texts(&remote(item)?.data)))?;
                }
            }
            match list.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(more) if !more.is_empty() => more.clone_into(&mut next),
                _ => return Ok(found.data),
            }
        }
    }
}

fn allows_reading(rule: &Value) -> bool {
    let has = |member: &str, wanted: &str| {
        let values = rule.get(member).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).any(|value| value == wanted || value == "*")
    };
    // A rule for some names allows no more than these.
    let named = rule.get("resourceNames").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    has("apiGroups", "") && has("resources", "secrets") && has("verbs", "get") && !named
}

fn remote(secret: &Value) -> Result<Remote, ProviderError> {
    let mut data = Data::new();
    for (key, encoded) in secret.get("data").and_then(Value::as_object).into_iter().flatten() {
        let decoded = encoded.as_str().and_then(|text| STANDARD.decode(text).ok());
        let unusable = || ProviderError::Unusable(format!("key {key:?} of the answer is not Base64"));
        data.insert(key.clone(), decoded.ok_or_else(unusable)?);
    }
    let of = |member: &str| secret.pointer(member).and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(Remote { data, labels: of("/metadata/labels"), annotations: of("/metadata/annotations") })
}

/// All keys as texts. What is not UTF-8 is replaced, as Go does.
fn texts(data: &Data) -> Map<String, Value> {
    data.iter().map(|(key, value)| (key.clone(), Value::String(String::from_utf8_lossy(value).into_owned()))).collect()
}

/// A key of that very name, or the path after the first dot in the JSON that the key before it holds.
fn property_of(data: &Data, name: &str, path: &str) -> Result<Vec<u8>, ProviderError> {
    let missing = || ProviderError::Unusable(format!("property {path} does not exist in data of secret {name:?}"));
    if let Some(value) = data.get(path) {
        return Ok(value.clone());
    }
    let (key, rest) = path.split_once('.').ok_or_else(missing)?;
    let value = data.get(key).ok_or_else(missing)?;
    part(value, rest, missing)
}

fn metadata(secret: &Remote, name: &str, path: Option<&str>) -> Result<Vec<u8>, ProviderError> {
    let Some(path) = path else {
        let all = Map::from_iter([
            ("annotations".to_owned(), Value::Object(secret.annotations.clone())),
            ("labels".to_owned(), Value::Object(secret.labels.clone())),
        ]);
        return Ok(whole(all));
    };
    let missing = || ProviderError::Unusable(format!("property {path} does not exist in metadata of secret {name:?}"));
    let (kind, rest) = path.split_once('.').map_or((path, None), |(kind, rest)| (kind, Some(rest)));
    let members = match kind {
        "labels" => &secret.labels,
        "annotations" => &secret.annotations,
        _ => return Err(missing()),
    };
    let Some(rest) = rest else { return Ok(whole(members.clone())) };
    // A key of that very name comes first: the keys of most labels have dots.
    let found = members.get(rest).or_else(|| members.get(&rest.replace("\\.", ".")));
    if let Some(found) = found.and_then(Value::as_str) {
        return Ok(found.as_bytes().to_vec());
    }
    let (key, rest) = rest.split_once('.').ok_or_else(missing)?;
    let value = members.get(key).and_then(Value::as_str).ok_or_else(missing)?;
    part(value.as_bytes(), rest, missing)
}

/// A part of a JSON document.
fn part(document: &[u8], path: &str, missing: impl FnOnce() -> ProviderError) -> Result<Vec<u8>, ProviderError> {
    property::find(&mut super::context(), document, path).map_err(|error| match error {
        PropertyError::Missing(_) => missing(),
        error => ProviderError::Unusable(error.to_string()),
    })
}

/// A JSON object of these members.
fn whole(members: Map<String, Value>) -> Vec<u8> {
    Fields::new(members).json().as_bytes().to_vec()
}

/// The members of a JSON object, each as JSON.
fn json_members(text: &[u8]) -> Result<Data, JsonError> {
    let members = Json::parse(text)?.members();
    Ok(members
        .map(|(name, value)| (unescape(name, Halves::Json).into_owned(), value.raw().as_bytes().to_vec()))
        .collect())
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
