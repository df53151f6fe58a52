//! The demonstration on a cluster that is there already.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::narrator::Narrator;
use super::target::{Level, Target};
use super::{NAMESPACE, OPERATOR_NAMESPACE, RELEASE, choose};
use crate::environment::{self, Environment, directory};
use crate::location::Location;
use crate::server::Server;
use crate::tools::{Tool, Tools};

const REVIEWER_BINDING: &str = "vso-demo-vault-reviewer";

/// Uses the cluster of this kubeconfig and the Vault or OpenBao that the environment variables name.
pub(super) fn connect(
    narrator: &mut Narrator,
    name: &str,
    kubeconfig: &Path,
    server: Option<Server>,
) -> Result<Target> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let needed = ["DEMO_VAULT_ADDR", "DEMO_VAULT_TOKEN", "DEMO_IMAGE"];
    let missing: Vec<&str> = needed.into_iter().filter(|name| variable(name).is_none()).collect();
    if !missing.is_empty() {
        bail!(
            "with DEMO_KUBECONFIG the demonstration uses a cluster of your own and needs {} as well:\n  \
             DEMO_VAULT_ADDR   URL of a Vault or OpenBao that this machine and the cluster's pods can reach\n  \
             DEMO_VAULT_TOKEN  a token for it that may mount engines and write policies\n  \
             DEMO_IMAGE        the operator's image with its tag, where the cluster can pull it (hack/image makes one)\n\
             and takes:\n  \
             DEMO_KUBERNETES_HOST  URL of the API server as Vault reaches it; default: as in the kubeconfig\n  \
             DEMO_APP_IMAGE        any image that keeps running; without it the Deployment has no pods, but rolls",
            missing.join(", ")
        );
    }
    let value = |name: &str| variable(name).with_context(|| name.to_owned());
    println!("Your own cluster, of {}.", kubeconfig.display());
    narrator.step("Programs");
    let tools = Tools::default();
    let server = choose(server, &tools);
    let programs = [Tool::Kubectl, Tool::Helm, server.tool()];
    tools.ensure(&programs)?;
    narrator.note(&format!("all there; {} is the command line for the server", server.command()));
    // Not the environment of a demonstration on this machine.
    let name = format!("{name}-own");
    environment::down(&name)?;
    let environment = Environment {
        dir: directory(&name)?,
        name,
        kubeconfig: kubeconfig.canonicalize().with_context(|| kubeconfig.display().to_string())?,
        location: Location::Machine,
        api_server_url: String::new(),
        server,
        vault_addr: value("DEMO_VAULT_ADDR")?.trim_end_matches('/').to_owned(),
        vault_token: value("DEMO_VAULT_TOKEN")?,
        unseal_key: None,
    };
    DirBuilder::new().mode(0o700).create(&environment.dir)?;
    fs::create_dir(environment.dir.join("bin"))?;
    tools.link(&programs, &environment.dir.join("bin"))?;
    let target = Target {
        level: Level::ExistingCluster,
        image: value("DEMO_IMAGE")?,
        vault_address: environment.vault_addr.clone(),
        environment,
        kv_mount: "vso-demo-kv",
        auth_mount: "vso-demo-kubernetes",
        cluster: None,
        binary: None,
        app_image: variable("DEMO_APP_IMAGE"),
    };
    let introduced = match target.refuse_second_operator() {
        Ok(()) => target.introduce_server(narrator, variable("DEMO_KUBERNETES_HOST")),
        refused => refused,
    };
    if introduced.is_err() {
        environment::down(target.environment.name())?;
    }
    introduced.map(|()| target)
}

impl Target {
    /// Two operators would both serve the objects of the demonstration.
    fn refuse_second_operator(&self) -> Result<()> {
        let arguments = ["get", "crd", "vaultstaticsecrets.secrets.hashicorp.com", "--ignore-not-found", "-o", "name"];
        if self.environment.kubectl(&arguments)?.trim().is_empty() {
            return Ok(());
        }
        bail!(
            "the cluster has the CRDs of secrets.hashicorp.com already, so an operator may serve them; the demonstration \
             wants a cluster without. If they are left from an earlier demonstration:\n{}",
            clear_away()
        )
    }

    /// Mounts a KV engine and an auth method that trusts the cluster, both of the demonstration's own.
    fn introduce_server(&self, narrator: &mut Narrator, host: Option<String>) -> Result<()> {
        let environment = &self.environment;
        let command = environment.server.command();
        narrator.step("Introduce the server of the secrets and the cluster to each other");
        environment.kubectl_apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}\n---\n\
             {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: vault-reviewer, namespace: {NAMESPACE}}}}}\n---\n\
             {{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: {REVIEWER_BINDING}}},\n \
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: 'system:auth-delegator'}},\n \
             subjects: [{{kind: ServiceAccount, name: vault-reviewer, namespace: {NAMESPACE}}}]}}\n"
        ))?;
        let token = environment.service_account_token(NAMESPACE, "vault-reviewer", &[])?;
        let authority = environment.kubectl(&[
            "--namespace=default",
            "get",
            "configmap",
            "kube-root-ca.crt",
            "-o",
            r"jsonpath={.data.ca\.crt}",
        ])?;
        let host = match host {
            Some(host) => host,
            None => {
                let server = "jsonpath={.clusters[0].cluster.server}";
                environment.kubectl(&["config", "view", "--minify", "-o", server])?
            }
        };
        let mounts = environment.run(command, &["secrets", "list", "-format=json"], None)?;
        if !mounts.contains(&format!("\"{}/\"", self.kv_mount)) {
            let engine = format!("-path={}", self.kv_mount);
            narrator.run(environment, command, &["secrets", "enable", &engine, "kv-v2"])?;
        }
        let methods = environment.run(command, &["auth", "list", "-format=json"], None)?;
        if !methods.contains(&format!("\"{}/\"", self.auth_mount)) {
            let method = format!("-path={}", self.auth_mount);
            narrator.run(environment, command, &["auth", "enable", &method, "kubernetes"])?;
        }
        let config = serde_json::json!({
            "kubernetes_host": host,
            "kubernetes_ca_cert": authority,
            "token_reviewer_jwt": token,
            "disable_local_ca_jwt": true,
        });
        let path = format!("auth/{}/config", self.auth_mount);
        narrator.command(&format!("{command} write {path} kubernetes_host={host} ..."));
        environment.run(command, &["write", &path, "-"], Some(&config.to_string()))?;
        Ok(())
    }
}

/// Commands that remove what the demonstration has made in the cluster.
pub(super) fn clear_away() -> String {
    format!(
        "  kubectl delete namespace {NAMESPACE}\n  \
         helm uninstall {RELEASE} --namespace {OPERATOR_NAMESPACE}\n  \
         kubectl delete namespace {OPERATOR_NAMESPACE}\n  \
         kubectl get crd -o name | grep secrets.hashicorp.com | xargs kubectl delete\n  \
         kubectl delete clusterrolebinding {REVIEWER_BINDING} --ignore-not-found"
    )
}
