//! The API server as an administrator, fast enough for a thousand objects: one process of kubectl for each would take
//! minutes.

use std::future::Future;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::TryStreamExt as _;
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::WatchEvent;
use serde_json::{Value, json};
use testenv::Cluster;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// Requests under way at the same time; more only wait in the API server.
const WIDTH: usize = 16;
/// A request that takes longer fails.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An administrator's connection.
pub struct KubeClient {
    runtime: Runtime,
    client: kube::Client,
}

/// Path of the collection of a kind, which may be written as for kubectl.
fn collection(kind: &str, namespace: &str) -> String {
    let lower = kind.to_lowercase();
    let (group, plural) = match lower.strip_suffix('s').unwrap_or(&lower) {
        own @ ("vaultstaticsecret"
        | "vaultauth"
        | "vaultauthglobal"
        | "vaultconnection"
        | "secrettransformation"
        | "vaultdynamicsecret"
        | "vaultpkisecret"
        | "csisecret") => ("apis/secrets.hashicorp.com/v1beta1", own),
        external @ ("externalsecret" | "secretstore") => ("apis/external-secrets.io/v1", external),
        "pushsecret" => ("apis/external-secrets.io/v1alpha1", "pushsecret"),
        "clustersecretstore" => return "/apis/external-secrets.io/v1/clustersecretstores".to_owned(),
        apps @ ("deployment" | "daemonset" | "statefulset" | "replicaset") => ("apis/apps/v1", apps),
        core @ ("secret" | "event" | "serviceaccount" | "configmap") => ("api/v1", core),
        batch @ ("cronjob" | "job") => ("apis/batch/v1", batch),
        "rollout" => ("apis/argoproj.io/v1alpha1", "rollout"),
        "lease" => ("apis/coordination.k8s.io/v1", "lease"),
        other => panic!("no path for {other}"),
    };
    format!("/{group}/namespaces/{namespace}/{plural}s")
}

impl KubeClient {
    /// Connects to the API server of a cluster.
    pub fn of(cluster: &Cluster) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("tokio");
        let client = runtime.block_on(async {
            let file = Kubeconfig::read_from(cluster.kubeconfig()).expect("a kubeconfig");
            let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
            kube::Client::try_from(config.expect("a configuration")).expect("a client")
        });
        Self { runtime, client }
    }

    /// Runs something with the administrator's client.
    pub fn run<T, F: Future<Output = T>>(&self, work: impl FnOnce(kube::Client) -> F) -> T {
        let client = self.client.clone();
        self.runtime.block_on(async move { work(client).await })
    }

    /// An object.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        self.send("GET", &format!("{}/{name}", collection(kind, namespace)), None)
    }

    /// All objects of a kind.
    pub fn list(&self, kind: &str, namespace: &str) -> Result<Vec<Value>> {
        let list = self.send("GET", &collection(kind, namespace), None)?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Server-side apply, with the namespace and the name that are in the object.
    pub fn apply(&self, object: &Value) -> Result<Value> {
        let meta = &object["metadata"];
        let (kind, namespace) =
            (object["kind"].as_str().context("kind")?, meta["namespace"].as_str().context("namespace")?);
        let name = meta["name"].as_str().context("name")?;
        let query = "fieldManager=tests&force=true&fieldValidation=Strict";
        self.send("APPLY", &format!("{}/{name}?{query}", collection(kind, namespace)), Some(object))
    }

    /// A merge patch.
    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<Value> {
        self.send("PATCH", &format!("{}/{name}", collection(kind, namespace)), Some(patch))
    }

    /// A merge patch of the status.
    pub fn patch_status(&self, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<Value> {
        self.send("PATCH", &format!("{}/{name}/status", collection(kind, namespace)), Some(patch))
    }

    /// Deletes an object.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        self.send("DELETE", &format!("{}/{name}", collection(kind, namespace)), None)
    }

    /// Creates an object in its namespace.
    pub fn create(&self, object: &Value) -> Result<Value> {
        self.runtime.block_on(create(&self.client, object))
    }

    /// Creates objects, many at a time.
    pub fn create_all(&self, objects: Vec<Value>) {
        let client = self.client.clone();
        self.all(objects, move |object| {
            let client = client.clone();
            async move { create(&client, &object).await.map(drop) }
        });
    }

    /// Every version of the objects of a kind, those that there are included, as the API server tells of them from now
    /// on.
    pub fn watch(&self, kind: &str, namespace: &str) -> Receiver<Value> {
        let uri = format!("{}?watch=true", collection(kind, namespace));
        let client = self.client.clone();
        let (sender, receiver) = channel();
        self.runtime.spawn(async move {
            let request = Request::get(uri).body(Vec::new()).expect("a request");
            let mut events = Box::pin(client.request_events::<Value>(request).await.expect("a watch"));
            while let Some(event) = events.try_next().await.expect("an event") {
                let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else { continue };
                if sender.send(object).is_err() {
                    return;
                }
            }
        });
        receiver
    }

    /// Runs something for each item, many at a time.
    fn all<T, F>(&self, items: Vec<T>, run: impl Fn(T) -> F)
    where
        T: Send + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let permits = Arc::new(Semaphore::new(WIDTH));
        let tasks: Vec<_> = items
            .into_iter()
            .map(|item| {
                let (permits, work) = (permits.clone(), run(item));
                self.runtime.spawn(async move {
                    let _permit = permits.acquire_owned().await?;
                    work.await
                })
            })
            .collect();
        for task in tasks {
            self.runtime.block_on(task).expect("no panic").expect("the request is answered");
        }
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        self.runtime.block_on(send(&self.client, method, path, body))
    }
}

async fn create(client: &kube::Client, object: &Value) -> Result<Value> {
    let kind = object["kind"].as_str().context("kind")?;
    let namespace = object["metadata"]["namespace"].as_str().context("namespace")?;
    send(client, "POST", &collection(kind, namespace), Some(object)).await
}

async fn send(client: &kube::Client, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let (verb, content) = match method {
        "APPLY" => ("PATCH", "application/apply-patch+yaml"),
        "PATCH" => ("PATCH", "application/merge-patch+json"),
        other => (other, "application/json"),
    };
    let bytes = body.map(Value::to_string).unwrap_or_default().into_bytes();
    let mut again = matches!(method, "GET" | "APPLY");
    loop {
        let request = Request::builder().method(verb).uri(path).header("content-type", content);
        match tokio::time::timeout(TIMEOUT, client.request(request.body(bytes.clone())?)).await? {
            // A connection that was kept may have died with the API server that was restarted.
            Err(error) if again && !matches!(error, kube::Error::Api(_)) => again = false,
            answer => return Ok(answer?),
        }
    }
}

/// The value of a key of a Secret, decoded.
pub fn decoded(secret: &Value, key: &str) -> Option<String> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(secret["data"][key].as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

/// Data of a Secret as the API takes it.
pub fn encoded(entries: &[(&str, &str)]) -> Value {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(encode(value))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
