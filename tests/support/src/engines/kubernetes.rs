//! The `kubernetes` engine with the API server of the environment.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testenv::Cluster;

use super::lease::Lease;

/// The namespace of the account with which Vault makes accounts, roles and tokens.
const NAMESPACE: &str = "kube-system";
/// Its name.
const ACCOUNT: &str = "vault-kubernetes-engine";

/// A mount of the `kubernetes` engine.
#[derive(Clone, Debug)]
pub struct KubernetesEngine<'a> {
    /// Where it is mounted.
    pub mount: String,
    cluster: &'a Cluster,
}

impl<'a> KubernetesEngine<'a> {
    /// Mounts the engine and lets it do everything in the cluster.
    pub fn mount(cluster: &'a Cluster, mount: &str) -> Self {
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": ACCOUNT, "namespace": NAMESPACE },
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": { "name": ACCOUNT },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE }],
        });
        for object in [account, binding] {
            cluster.kubectl_apply(&object.to_string()).expect("an account for Vault");
        }
        let token = cluster.service_account_token(NAMESPACE, ACCOUNT, &[]).expect("a token for Vault");
        let engine = Self { mount: mount.to_owned(), cluster };
        engine.write(&format!("sys/mounts/{mount}"), json!({ "type": "kubernetes" }));
        let authority = std::fs::read_to_string(cluster.certificate_authority()).expect("the authority");
        engine.write(
            &format!("{mount}/config"),
            json!({
                "kubernetes_host": cluster.api_server_url(), "kubernetes_ca_cert": authority,
                "service_account_jwt": token, "disable_local_ca_jwt": true,
            }),
        );
        engine
    }

    /// Makes a role: each lease is an account of its own, with a Role that reads ConfigMaps in that namespace.
    pub fn role(&self, name: &str, namespace: &str) {
        let rules = json!({ "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"] }] });
        self.write(
            &format!("{}/roles/{name}", self.mount),
            json!({
                "allowed_kubernetes_namespaces": [namespace],
                "generated_role_rules": rules.to_string(),
            }),
        );
    }

    /// Path of a role's credentials, to which a request writes the namespace that they are for.
    pub fn creds(&self, role: &str) -> String {
        format!("{}/creds/{role}", self.mount)
    }

    /// Parameters of a request for credentials.
    pub fn parameters(namespace: &str) -> Value {
        json!({ "kubernetes_namespace": namespace })
    }

    /// Credentials of a role, as an administrator.
    pub fn issue(&self, role: &str, namespace: &str) -> Lease {
        Lease::write(self.cluster, &self.creds(role), Self::parameters(namespace)).expect("credentials")
    }

    /// Whether the API server lists ConfigMaps for the token of these credentials. That it knows the token and does not
    /// allow it, as for a moment after the account was made, is an error.
    pub fn accepts(&self, credentials: &Value) -> Result<bool> {
        let text = |member: &str| credentials[member].as_str().with_context(|| format!("no {member}"));
        let (name, namespace) = (text("service_account_name")?, text("service_account_namespace")?);
        let kubeconfig = self.cluster.token_kubeconfig(name, text("service_account_token")?)?;
        let kubeconfig = kubeconfig.to_str().context("UTF-8")?;
        let list = ["get", "configmaps", "--output=name", "--namespace", namespace, "--kubeconfig", kubeconfig];
        match self.cluster.kubectl(&list) {
            Ok(_) => Ok(true),
            Err(error) if error.to_string().contains("Unauthorized") => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&self, path: &str, body: Value) {
        self.cluster.vault("POST", path, Some(body)).expect("Vault takes it");
    }
}
