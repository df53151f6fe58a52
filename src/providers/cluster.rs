//! Secrets of a Kubernetes cluster.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::cluster_client::{ClusterClients, ClusterError, ClusterFault, ClusterRequest};
use super::cluster_value::Remote;
use super::{Found, Provider, ProviderError, Written};
use crate::api::external_secrets::MetadataPolicy;
use crate::api::external_secrets::push_secret::PushData;
use crate::api::external_secrets::remote::{Find, RemoteRef};
use crate::api::reference::is_object_name;
use crate::external_secret::Data;
use crate::external_secret::answers::Answer;
use crate::external_secret::push::PushRow;
use crate::resolve::ClusterStore;

/// So many Secrets are listed at a time: fewer, if that is more than fits into an answer.
const PAGE: usize = 100;
/// So many pages are asked for at most.
const MAX_PAGES: usize = 1_000;

/// The Secrets of one namespace of a cluster.
pub struct ClusterProvider<'a> {
    /// The store.
    pub store: &'a ClusterStore,
    /// Connection to the operator's own cluster, which holds the credentials.
    pub own: &'a kube::Client,
    /// The connections of all stores.
    pub clients: &'a ClusterClients,
    /// What was read.
    pub known: KnownSecrets,
    /// Whether Secrets may be pushed to other namespaces than that of the store.
    pub other_namespaces: bool,
}

/// What a store has given in one run, by name.
#[derive(Default)]
pub struct KnownSecrets {
    secrets: HashMap<String, Arc<Remote>>,
    weight: usize,
}

/// A page of a list.
struct Page {
    secrets: Vec<(String, Remote)>,
    next: String,
}

impl ClusterProvider<'_> {
    /// Whether Secrets can be read, as the cluster says. `Ok(Err(_))`: it does not say.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub async fn check(&self) -> Result<Result<(), String>, ClusterError> {
        let namespace = &self.store.namespace;
        let rules = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": { "namespace": namespace },
        });
        let allowed = |answer: Option<Value>| {
            let rules = answer.as_ref().and_then(|answer| answer.pointer("/status/resourceRules")?.as_array());
            rules.into_iter().flatten().any(allows_reading)
        };
        let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        match self.send(Method::POST, path, Some(&rules), allowed).await {
            Ok(true) => return Ok(Ok(())),
            Ok(false) => {}
            // A server that does not know the request, or does not answer it, may serve Secrets all the same.
            Err(error) if is_unknown(&error) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        }
        let access = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": { "namespace": namespace, "verb": "get", "resource": "secrets" } },
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let allowed =
            |answer: Option<Value>| answer.as_ref().and_then(|a| a.pointer("/status/allowed")?.as_bool()) == Some(true);
        match self.send(Method::POST, path, Some(&access), allowed).await {
            Ok(true) => Ok(Ok(())),
            Ok(false) => Err(ClusterError::unusable("client is not allowed to get secrets")),
            Err(error) if is_unknown(&error) => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn send<T>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        read: impl FnOnce(Option<Value>) -> T,
    ) -> Result<T, ClusterError> {
        self.clients.send(self.own, self.store, &ClusterRequest { method, path, body }, read).await
    }

    fn path(&self) -> String {
        secrets_path(&self.store.namespace)
    }

    async fn read(&mut self, name: &str) -> Result<Arc<Remote>, ProviderError> {
        if !is_object_name(name) {
            return Err(ProviderError::Unusable(format!("{name:?} is not the name of a Secret")));
        }
        if let Some(secret) = self.known.secrets.get(name) {
            return Ok(secret.clone());
        }
        let path = format!("{}/{name}", self.path());
        let namespace = &self.store.namespace;
        let absent = || ProviderError::NoSecret(format!("Secret does not exist: {name:?} in namespace {namespace:?}"));
        let read = |answer: Option<Value>| {
            let answer = answer.ok_or_else(absent)?;
            let is_it = answer.get("kind").and_then(Value::as_str) == Some("Secret")
                && answer.pointer("/metadata/name").and_then(Value::as_str) == Some(name);
            if is_it { Remote::new(&answer) } else { Err(not_meant(&format!("Secret {name:?}"))) }
        };
        let secret = self.send(Method::GET, &path, None, read).await.map_err(ProviderError::Cluster)?;
        let secret = Arc::new(secret?);
        self.known.weight += secret.data.values().map(Vec::len).sum::<usize>();
        self.known.secrets.insert(name.to_owned(), secret.clone());
        Ok(secret)
    }

    /// A page of the Secrets with these labels.
    async fn list(&self, selector: &str, limit: usize, next: &str) -> Result<Page, ProviderError> {
        let mut path = format!("{}?limit={limit}", self.path());
        if !selector.is_empty() {
            path += &format!("&labelSelector={}", encode(selector));
        }
        if !next.is_empty() {
            path += &format!("&continue={}", encode(next));
        }
        let read = |answer: Option<Value>| {
            let list = answer.ok_or_else(|| not_meant("list of Secrets"))?;
            let items = list.get("items").and_then(Value::as_array);
            let (Some("SecretList"), Some(items)) = (list.get("kind").and_then(Value::as_str), items) else {
                return Err(not_meant("list of Secrets"));
            };
            let name = |item: &Value| item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("").to_owned();
            let secrets = items.iter().map(|item| Ok((name(item), Remote::new(item)?))).collect::<Result<_, _>>()?;
            let next = list.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or("");
            Ok(Page { secrets, next: next.to_owned() })
        };
        self.send(Method::GET, &path, None, read).await.map_err(ProviderError::Cluster)?
    }
}

#[async_trait::async_trait]
impl Provider for ClusterProvider<'_> {
    async fn get(&mut self, remote: &RemoteRef) -> Result<Answer<Vec<u8>>, ProviderError> {
        let (secret, remote) = (self.read(&remote.key).await?, remote.clone());
        Ok(Answer::new(move |context| secret.value(context, &remote)))
    }

    async fn get_map(&mut self, remote: &RemoteRef) -> Result<Answer<Data>, ProviderError> {
        let (secret, remote) = (self.read(&remote.key).await?, remote.clone());
        if remote.metadata_policy == Some(MetadataPolicy::Fetch) || remote.property.is_some() {
            return Ok(Answer::new(move |context| secret.members(context, &remote)));
        }
        Ok(Answer::new(move |_| Ok(secret.data.clone())))
    }

    async fn find(&mut self, find: &Find) -> Result<Data, ProviderError> {
        let regexp = super::name_pattern(find)?;
        let selector: Vec<String> = find.tags.iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
        let selector = selector.join(",");
        if regexp.is_none() && find.tags.is_none() {
            return Err(ProviderError::Unusable("find needs name.regexp or tags".to_owned()));
        }
        let (mut found, mut next, mut limit) = (Found::default(), String::new(), PAGE);
        for _ in 0..MAX_PAGES {
            let page = match self.list(&selector, limit, &next).await {
                Ok(page) => page,
                Err(ProviderError::Cluster(error)) if error.cause == ClusterFault::TooLong && limit > 1 => {
                    limit /= 10;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for (name, secret) in page.secrets {
                let by_name = regexp.as_ref().is_none_or(|regexp| regexp.regex().is_match(name.as_bytes()));
                if find.tags.is_some() || by_name {
                    found.add(name, secret.whole())?;
                }
            }
            if page.next.is_empty() {
                self.known.weight += found.bytes;
                return Ok(found.data);
            }
            next = page.next;
        }
        let text = format!("the namespace has too many Secrets: more than {MAX_PAGES} pages were listed");
        Err(ProviderError::Unusable(text))
    }

    async fn write(&mut self, rows: &[&PushRow], only_new: bool) -> Result<Written, ProviderError> {
        self.push(rows, only_new).await
    }

    async fn delete(&mut self, entries: &[&PushData], kept: &BTreeSet<String>) -> Result<bool, ProviderError> {
        self.take_back(entries, kept).await
    }

    fn weight(&self) -> usize {
        self.known.weight
    }
}

/// Path of the Secrets of a namespace.
pub(super) fn secrets_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{}/secrets", encode(namespace))
}

/// The server answered with something else. That is no reason to believe that there is nothing.
pub(super) fn not_meant(what: &str) -> ProviderError {
    ProviderError::Unusable(format!("the answer of the cluster is no {what}"))
}

/// The server does not know the request, or does not answer it.
fn is_unknown(error: &ClusterError) -> bool {
    matches!(error.cause, ClusterFault::Refused(status) if status != 401)
}

fn allows_reading(rule: &Value) -> bool {
    let has = |member: &str, wanted: &str| {
        let values = rule.get(member).and_then(Value::as_array).into_iter().flatten();
        values.filter_map(Value::as_str).any(|value| value == wanted || value == "*")
    };
    // A rule for some names counts, too: a login with the fewest rights has no other.
    has("apiGroups", "") && has("resources", "secrets") && has("verbs", "get")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ESO counts, so that a login that may read some Secrets by their names is valid.
    #[test]
    fn any_right_to_get_secrets_counts() {
        let rule = |groups: Value, resources: Value, verbs: Value, names: Value| json!({ "apiGroups": groups, "resources": resources, "verbs": verbs, "resourceNames": names });
        let (core, secrets, get) = (json!([""]), json!(["secrets"]), json!(["list", "get"]));
        for (rule, expected) in [
            (rule(core.clone(), secrets.clone(), get.clone(), Value::Null), true),
            (rule(core.clone(), secrets.clone(), get.clone(), json!(["one"])), true),
            (rule(json!(["*"]), json!(["*"]), json!(["*"]), json!([])), true),
            (rule(core.clone(), secrets.clone(), json!(["list"]), Value::Null), false),
            (rule(core, json!(["configmaps"]), get.clone(), Value::Null), false),
            (rule(json!(["apps"]), secrets, get, Value::Null), false),
            (json!({}), false),
        ] {
            assert_eq!(allows_reading(&rule), expected, "{rule}");
        }
    }
}
