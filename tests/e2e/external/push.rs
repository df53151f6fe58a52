//! PushSecret: what a Secret holds is written to Vault and to clusters.

mod changes;
mod deletion;
mod faults;
mod forms;
mod generators;
mod large;
mod logins;
mod seed;
mod sync;

use serde_json::{Value, json};

use super::{SERVED, object, store, vault_provider};
use test_support::engines::engines_policy;
use test_support::kube_client::decoded;
use test_support::{Operator, Tenant, eventually};

/// A tenant that may write below its paths of Vault and in a namespace beside its own.
struct Pushing<'a> {
    tenant: Tenant<'a>,
    /// The namespace of the store `cluster`.
    target: String,
}

impl Pushing<'static> {
    /// With the stores `vault` and `cluster`, and an operator.
    fn new(name: &str) -> (Self, Operator) {
        let pushing = Self::without_operator(name);
        let operator = pushing.tenant.operator(SERVED);
        (pushing, operator)
    }

    fn without_operator(name: &str) -> Self {
        Self::of(Tenant::new(name))
    }
}

impl<'a> Pushing<'a> {
    /// With the stores `vault` and `cluster`.
    fn of(tenant: Tenant<'a>) -> Self {
        let ns = &tenant.namespace;
        let all = "capabilities = [\"create\", \"read\", \"update\", \"delete\"]";
        let rules = [format!("secret/data/{ns}/*"), format!("secret/metadata/{ns}/*"), format!("kv1/{ns}/*")]
            .map(|path| format!("path \"{path}\" {{ {all} }}"));
        tenant.cluster.vault_policy(&engines_policy(ns), &rules.join("\n")).expect("a policy");
        let target = format!("{ns}-target");
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": target } });
        tenant.cluster.kubectl_apply(&namespace.to_string()).expect("a namespace");
        tenant.kubectl(&["create", "serviceaccount", "writer"]).expect("a service account");
        let account = format!("--serviceaccount={ns}:writer");
        let binding = ["create", "rolebinding", "writer", "--namespace", &target, "--clusterrole=admin", &account];
        tenant.cluster.kubectl(&binding).expect("a binding");
        let config = |path: &str| {
            let output = format!("--output=jsonpath={{.clusters[0].cluster.{path}}}");
            tenant.cluster.kubectl(&["config", "view", "--raw", "--flatten", "--minify", &output]).unwrap()
        };
        let kubernetes = json!({
            "remoteNamespace": target,
            "server": { "url": config("server"), "caBundle": config("certificate-authority-data") },
            "auth": { "serviceAccount": { "name": "writer" } },
        });
        let cluster = object(&tenant, "SecretStore", "cluster", json!({ "provider": { "kubernetes": kubernetes } }));
        tenant.apply_all(&[store(&tenant), cluster]);
        Self { tenant, target }
    }

    /// A PushSecret of the Secret `source` to both stores. Members of `spec` win.
    fn push(&self, name: &str, spec: Value) -> Value {
        let mut full = json!({
            "refreshInterval": "1h",
            "secretStoreRefs": [{ "name": "vault" }, { "name": "cluster" }],
            "selector": { "secret": { "name": "source" } },
        });
        json_patch::merge(&mut full, &spec);
        let mut object = object(&self.tenant, "PushSecret", name, full);
        object["apiVersion"] = json!("external-secrets.io/v1alpha1");
        object
    }

    /// A PushSecret to one store.
    fn push_to(&self, store: &str, name: &str, spec: Value) -> Value {
        let mut full = json!({ "secretStoreRefs": [{ "name": store }] });
        json_patch::merge(&mut full, &spec);
        self.push(name, full)
    }

    /// Makes the Secret `source`, or changes it.
    fn source(&self, data: Value) {
        self.tenant.apply(&secret("source", data));
    }

    /// Path in Vault of what is pushed, as a key of the store `vault`.
    fn key(&self, name: &str) -> String {
        self.tenant.path(name)
    }

    /// What Vault holds, with its metadata.
    fn in_vault(&self, name: &str) -> Result<Value, String> {
        let path = format!("secret/data/{}", self.tenant.path(name));
        self.tenant.cluster.vault("GET", &path, None).map(|mut answer| answer["data"].take()).map_err(|e| e.to_string())
    }

    /// A Secret of the target namespace.
    fn in_cluster(&self, name: &str) -> Result<Value, String> {
        let args = ["get", "secret", name, "--namespace", &self.target, "--output=json"];
        let found = self.tenant.cluster.kubectl(&args).map_err(|error| error.to_string())?;
        Ok(serde_json::from_str(&found).unwrap())
    }

    #[track_caller]
    fn wait_vault(&self, name: &str, data: Value) {
        eventually(&format!("{name} in Vault is {data}"), || match self.in_vault(name) {
            Ok(found) if found["data"] == data => Ok(()),
            Ok(found) => Err(found.to_string()),
            Err(error) => Err(error),
        });
    }

    #[track_caller]
    fn wait_cluster(&self, name: &str, data: Value) {
        eventually(&format!("{name} in the cluster is {data}"), || match self.in_cluster(name) {
            Ok(found) if data_of(&found) == data => Ok(()),
            Ok(found) => Err(found.to_string()),
            Err(error) => Err(error),
        });
    }

    /// Waits until all is pushed.
    #[track_caller]
    fn wait_synced(&self, name: &str) {
        let synced = ("Ready", "True", Some("Synced"));
        self.tenant.wait_condition_of("pushsecret", name, synced, &["PushSecret synced successfully"]);
    }

    /// Waits until a PushSecret says in its condition and in an event that something is not pushed.
    #[track_caller]
    fn wait_failure(&self, name: &str, texts: &[&str]) {
        self.tenant.wait_condition_of("pushsecret", name, ("Ready", "False", Some("Errored")), texts);
        self.tenant.wait_event(name, "Errored", texts[0]);
    }

    /// The places that the status names, by store.
    fn synced(&self, name: &str) -> Value {
        let status = self.tenant.get("pushsecret", name).expect("the PushSecret")["status"].take();
        let stores = status["syncedPushSecrets"].as_object().cloned().unwrap_or_default();
        let places = |entries: Value| entries.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        stores
            .into_iter()
            .map(|(store, entries)| (store, json!(places(entries))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

/// Keys and values of a Secret.
fn data_of(secret: &Value) -> Value {
    let keys = secret["data"].as_object().cloned().unwrap_or_default();
    keys.keys().map(|key| (key.clone(), json!(decoded(secret, key)))).collect::<serde_json::Map<_, _>>().into()
}

fn secret(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": data })
}

/// An entry of `spec.data`.
fn entry(key: Option<&str>, remote: &str, property: Option<&str>) -> Value {
    let mut entry = json!({ "match": { "remoteRef": { "remoteKey": remote } } });
    if let Some(key) = key {
        entry["match"]["secretKey"] = json!(key);
    }
    if let Some(property) = property {
        entry["match"]["remoteRef"]["property"] = json!(property);
    }
    entry
}
