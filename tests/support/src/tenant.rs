//! A tenant: namespaces, a Vault role, and an operator that serves them.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use testenv::Cluster;

use crate::engines::engines_policy;
use crate::environment::{eventually, repository, shared};
use crate::kube_client::KubeClient;
use crate::operator::Operator;

/// A namespace `NAME-N` with what an application team has: a service account, a VaultConnection, a VaultAuth, and a
/// Vault role that reads below `secret/NAME-N/` and `kv1/NAME-N/`.
pub struct Tenant<'a> {
    /// The environment that it is in.
    pub cluster: &'a Cluster,
    /// Where the objects of the test are.
    pub namespace: String,
    /// Where the operator has its Lease and its key.
    pub operator_namespace: String,
    /// With the rights that the chart gives the operator.
    pub(crate) kubeconfig: PathBuf,
    /// The namespaces that its operator serves, with commas between them.
    pub(crate) watched: String,
    api: KubeClient,
}

impl<'a> Tenant<'a> {
    /// In the environment that tests share.
    pub fn new(name: &str) -> Tenant<'static> {
        Tenant::on(shared(), name)
    }

    /// In this environment.
    pub fn on(cluster: &'a Cluster, name: &str) -> Tenant<'a> {
        Tenant::at(cluster, name, cluster.vault_addr(), None)
    }

    /// In this environment, with Vault and the API server behind other addresses: those of proxies.
    pub fn at(cluster: &'a Cluster, name: &str, vault: &str, api_server: Option<&str>) -> Tenant<'a> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let operator_namespace = format!("{namespace}-operator");
        cluster
            .vault_policy(&namespace, &format!(
                "path \"secret/data/{namespace}/*\" {{ capabilities = [\"read\"] }}\npath \"secret/{namespace}/*\" {{ capabilities = [\"read\"] }}\npath \"kv1/{namespace}/*\" {{ capabilities = [\"read\"] }}\npath \"kv1/data/{namespace}/*\" {{ capabilities = [\"read\"] }}"
            ))
            .expect("a policy");
        let policies = [namespace.as_str(), &engines_policy(&namespace)];
        cluster.vault_kubernetes_role(&namespace, &["app"], &[&namespace], &policies, "1h").expect("a role");
        let namespaces = [&namespace, &operator_namespace]
            .map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string());
        // Together: each process of kubectl costs more than what it does.
        let all = format!("{}\n---\n{}", namespaces.join("\n---\n"), chart(cluster, &operator_namespace, &namespace));
        cluster.kubectl_apply(&all).expect("the namespaces and the chart's objects are applied");
        let account = "op-vault-secrets-operator-controller-manager";
        let kubeconfig = match api_server {
            None => cluster.service_account_kubeconfig(&operator_namespace, account),
            Some(url) => cluster.service_account_kubeconfig_via(&operator_namespace, account, url),
        }
        .expect("a kubeconfig of the operator");
        let watched = namespace.clone();
        let tenant =
            Tenant { cluster, namespace, operator_namespace, watched, kubeconfig, api: KubeClient::of(cluster) };
        tenant.apply(&json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "app" } }));
        tenant.apply(&tenant.object("VaultConnection", "vault", json!({ "address": vault })));
        tenant.apply(&tenant.object("VaultAuth", "app", tenant.auth_spec()));
        tenant
    }

    /// In this environment, with an operator that serves the whole cluster. There can be only one.
    pub fn serving_all(cluster: &'a Cluster, name: &str) -> Tenant<'a> {
        let mut tenant = Tenant::on(cluster, name);
        tenant.watched.clear();
        tenant.grant_rights();
        tenant
    }

    /// Lets the operator of this tenant serve another tenant too.
    pub fn serve_too(&mut self, other: &Tenant<'_>) {
        self.watched = format!("{},{}", self.watched, other.namespace);
        let rendered = render_chart(self.cluster, &self.operator_namespace, &self.watched);
        self.cluster.kubectl_apply(&rendered).expect("the chart's objects are applied");
    }

    /// Lets the operator of this tenant watch a namespace in which it has no rights.
    pub fn watch_without_rights(&mut self, namespace: &str) {
        self.watched = format!("{},{namespace}", self.watched);
    }

    /// Gives the operator of this tenant its rights in all namespaces that it watches.
    pub fn grant_rights(&self) {
        let rendered = render_chart(self.cluster, &self.operator_namespace, &self.watched);
        self.cluster.kubectl_apply(&rendered).expect("the chart's objects are applied");
    }

    /// Spec of the VaultAuth that works.
    pub fn auth_spec(&self) -> Value {
        json!({
            "vaultConnectionRef": "vault",
            "method": "kubernetes",
            "mount": "kubernetes",
            "kubernetes": { "role": self.namespace, "serviceAccount": "app", "audiences": ["vault"] },
        })
    }

    /// An object of the operator's API group in the tenant's namespace.
    pub fn object(&self, kind: &str, name: &str, spec: Value) -> Value {
        json!({
            "apiVersion": "secrets.hashicorp.com/v1beta1",
            "kind": kind,
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": spec,
        })
    }

    /// A VaultStaticSecret `name` that reads `secret/<namespace>/<name>` every second into the Secret `name`. Members
    /// of `spec` win over these; `null` removes one.
    pub fn static_secret(&self, name: &str, spec: Value) -> Value {
        let mut full = json!({
            "vaultAuthRef": "app",
            "type": "kv-v2",
            "mount": "secret",
            "path": self.path(name),
            "refreshAfter": "1s",
            "destination": { "name": name, "create": true },
        });
        json_patch::merge(&mut full, &spec);
        self.object("VaultStaticSecret", name, full)
    }

    /// A Deployment that uses nothing; its pod template shows restarts.
    pub fn workload(&self, kind: &str, name: &str) -> Value {
        let mut object = json!({
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": {
                "selector": { "matchLabels": { "app": name } },
                "template": {
                    "metadata": { "labels": { "app": name } },
                    "spec": { "containers": [{ "name": "app", "image": "localhost/none:1" }] },
                },
            },
        });
        if kind == "StatefulSet" {
            object["spec"]["serviceName"] = json!(name);
        }
        object
    }

    /// Revokes the tokens of this tenant's logins, and returns how many there were.
    pub fn revoke_tokens(&self) -> usize {
        let vault = |method: &str, path: &str, body: Value| self.cluster.vault(method, path, Some(body));
        let accessors = vault("LIST", "auth/token/accessors", json!(null)).expect("a list");
        let mut revoked = 0;
        for accessor in accessors["data"]["keys"].as_array().expect("accessors") {
            let of_token = json!({ "accessor": accessor });
            // Those of other tests come and go.
            let Ok(token) = vault("POST", "auth/token/lookup-accessor", of_token.clone()) else { continue };
            if token["data"]["meta"]["role"] == json!(self.namespace) {
                vault("POST", "auth/token/revoke-accessor", of_token).expect("it is revoked");
                revoked += 1;
            }
        }
        revoked
    }

    /// Path below a KV mount.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.namespace)
    }

    /// Writes a new version of `secret/<namespace>/<name>`.
    pub fn put(&self, name: &str, data: Value) {
        self.cluster.vault_kv_put(&format!("secret/{}", self.path(name)), data).expect("Vault takes a secret");
    }

    /// Applies an object in the tenant's namespace.
    #[track_caller]
    pub fn apply(&self, object: &Value) {
        self.try_apply(object).expect("the object is accepted");
    }

    /// Applies an object in the tenant's namespace, or tells why the API server refuses it.
    pub fn try_apply(&self, object: &Value) -> anyhow::Result<Value> {
        let mut object = object.clone();
        if object["metadata"]["namespace"].is_null() {
            object["metadata"]["namespace"] = json!(self.namespace);
        }
        self.api.apply(&object)
    }

    /// kubectl in the tenant's namespace.
    pub fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut all = vec!["--namespace", self.namespace.as_str()];
        all.extend(args);
        self.cluster.kubectl(&all)
    }

    /// An object as JSON.
    pub fn get(&self, kind: &str, name: &str) -> anyhow::Result<Value> {
        self.api.get(kind, &self.namespace, name)
    }

    /// All objects of a kind in the tenant's namespace.
    pub fn list(&self, kind: &str) -> Vec<Value> {
        self.api.list(kind, &self.namespace).expect("a list")
    }

    /// A value of a Secret, decoded.
    pub fn value(&self, secret: &str, key: &str) -> anyhow::Result<String> {
        let [value] = self.values(secret, [key])?;
        Ok(value)
    }

    /// Values that a Secret has at one moment, decoded.
    pub fn values<const N: usize>(&self, secret: &str, keys: [&str; N]) -> anyhow::Result<[String; N]> {
        use base64::Engine as _;
        let secret = self.get("secret", secret)?;
        let mut values = keys.map(|_| String::new());
        for (value, key) in values.iter_mut().zip(keys) {
            let encoded = secret["data"][key].as_str().ok_or_else(|| anyhow::anyhow!("no key {key}"))?;
            *value = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded)?)?;
        }
        Ok(values)
    }

    /// Waits until a Secret has a value.
    #[track_caller]
    pub fn wait_value(&self, secret: &str, key: &str, value: &str) {
        eventually(&format!("{key} of Secret {secret}"), || match self.value(secret, key) {
            Ok(found) if found == value => Ok(()),
            Ok(found) => Err(format!("it is {found:?}")),
            Err(error) => Err(error.to_string()),
        });
    }

    /// A condition of an object.
    pub fn condition(&self, kind: &str, name: &str, type_: &str) -> anyhow::Result<Value> {
        let object = self.get(kind, name)?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .into_iter()
            .find(|c| c["type"] == type_)
            .ok_or_else(|| anyhow::anyhow!("no condition {type_}: {}", object["status"]))
    }

    /// Waits for an event about an object, with this reason and this text in its message.
    #[track_caller]
    pub fn wait_event(&self, object: &str, reason: &str, text: &str) {
        eventually(&format!("event {reason} about {object} with {text:?}"), || {
            let events = self.list("events");
            let about: Vec<_> = events.iter().filter(|e| e["involvedObject"]["name"] == object).collect();
            match about.iter().any(|e| e["reason"] == reason && e["message"].as_str().is_some_and(|m| m.contains(text)))
            {
                true => Ok(()),
                false => Err(about
                    .iter()
                    .map(|e| format!("{}: {}", e["reason"], e["message"]))
                    .collect::<Vec<_>>()
                    .join("; ")),
            }
        });
    }

    /// `metadata.generation`: how often the spec of an object was changed.
    pub fn generation(&self, kind: &str, name: &str) -> i64 {
        self.get(kind, name).expect("the object")["metadata"]["generation"].as_i64().unwrap_or(0)
    }

    /// Starts the operator for this tenant and waits until it is ready.
    pub fn operator(&self, args: &[&str]) -> Operator {
        self.operator_with(&[], args)
    }

    /// Starts the operator for this tenant, with variables in its environment, and waits until it is ready.
    pub fn operator_with(&self, variables: &[(&str, &str)], args: &[&str]) -> Operator {
        Operator::start(self, variables, args)
    }
}

/// What [`render_chart`] makes for one namespace. Helm runs once for all tenants of a process.
fn chart(cluster: &Cluster, operator_namespace: &str, watched: &str) -> String {
    const NAMES: [&str; 2] = ["namespace-of-the-operator", "namespace-that-is-watched"];
    static RENDERED: OnceLock<String> = OnceLock::new();
    let rendered = RENDERED.get_or_init(|| render_chart(cluster, NAMES[0], NAMES[1]));
    rendered.replace(NAMES[0], operator_namespace).replace(NAMES[1], watched)
}

/// The chart for an operator that serves these namespaces (with commas between them), without its Deployment's pods.
fn render_chart(cluster: &Cluster, operator_namespace: &str, watched: &str) -> String {
    let scope = if watched.is_empty() { "cluster" } else { "namespaces" };
    let chart = repository().join("charts/vault-secrets-operator");
    cluster
        .helm(&[
            "template",
            "op",
            chart.to_str().expect("UTF-8"),
            "--namespace",
            operator_namespace,
            "--no-hooks",
            "--set",
            &format!("controller.rbac.scope={scope}"),
            "--set",
            // For its rights: operators choose their model by a flag.
            "controller.manager.clientCache.persistenceModel=direct-unencrypted",
            "--set",
            &if watched.is_empty() {
                "controller.manager.watchNamespaces=null".to_owned()
            } else {
                format!("controller.manager.watchNamespaces={{{watched}}}")
            },
            "--set",
            "controller.replicas=0",
            "--set",
            // For its rights, too.
            "externalSecrets.enabled=true",
            "--set",
            "externalSecrets.installCRDs=false",
            "--set",
            "reloader.enabled=true",
            "--set",
            "reloader.configMaps=true",
        ])
        .expect("the chart renders")
}
