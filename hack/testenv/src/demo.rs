//! The demonstration: from `helm install` to a Deployment that rolls because a secret in Vault has changed.

mod build;
mod existing_cluster;
mod narrator;
mod next_steps;
mod target;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::server::Server;
use crate::tools::Tools;
use narrator::Narrator;
use target::{Level, Target};

/// Name of the Helm release, and so of everything the chart makes.
const RELEASE: &str = "vault-secrets-operator";
/// Namespace of the release.
const OPERATOR_NAMESPACE: &str = "vault-secrets-operator-system";
/// Namespace of the application.
const NAMESPACE: &str = "vso-demo";
/// Where the sample lets its VaultConnection point to.
const SAMPLE_ADDRESS: &str = "http://vault.example:8200";
const POLICY: &str = "vso-demo";
const ROLE: &str = "demo";
const LIMIT: Duration = Duration::from_secs(120);

/// A demonstration to run.
#[derive(Clone, Debug)]
pub struct Demo {
    /// Name of its environment. One of that name that is up is replaced.
    pub name: String,
    /// The control plane alone, even where a node could run.
    pub without_node: bool,
    /// The operator's binary. Without one, it is built.
    pub binary: Option<PathBuf>,
    /// Let the environment live on, for a person to look at.
    pub keep: bool,
}

impl Demo {
    /// Runs it, here or on the cluster that `DEMO_KUBECONFIG` names, with the server that `DEMO_SERVER` names, and
    /// tells on standard output what happens.
    ///
    /// The working directory of this process becomes the repository, so that what is printed can be typed there.
    pub fn run(&self) -> Result<()> {
        let own = std::env::var_os("DEMO_KUBECONFIG").filter(|value| !value.is_empty());
        let server = std::env::var("DEMO_SERVER").ok().filter(|value| !value.is_empty());
        let server = server.map(|name| Server::named(&name).context("DEMO_SERVER")).transpose()?;
        let own = own.map(std::path::absolute).transpose()?;
        let binary = self.binary.as_ref().map(std::path::absolute).transpose()?;
        std::env::set_current_dir(repository())?;
        let mut narrator = Narrator::default();
        let target = match own {
            Some(kubeconfig) => existing_cluster::connect(&mut narrator, &self.name, &kubeconfig, server)?,
            None => target::make(&mut narrator, self, server, binary)?,
        };
        let outcome = story(&mut narrator, &target);
        match &outcome {
            Ok(()) => narrator.time(),
            Err(_) => target.show_trouble(),
        }
        if self.keep {
            println!("\n{}", target.keep()?.text());
        }
        outcome
    }
}

fn story(narrator: &mut Narrator, target: &Target) -> Result<()> {
    let environment = &target.environment;
    install(narrator, target)?;
    prepare_server(narrator, target)?;

    narrator
        .step("Ask for the secret: a VaultConnection, a VaultAuth, a VaultStaticSecret, and a Deployment that uses it");
    let namespace = format!("--namespace={NAMESPACE}");
    let sample = "config/samples/demo.yaml";
    environment.kubectl_apply(&format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}}}}}"))?;
    narrator.command(&format!("kubectl {namespace} apply -f {sample}   # with {}", target.vault_address));
    let manifests = fs::read_to_string(sample).with_context(|| sample.to_owned())?;
    let arguments = [&namespace, "apply", "--server-side", "-f", "-"];
    environment.run("kubectl", &arguments, Some(&target.adapt(&manifests)?))?;
    wait_for("the Secret", || Ok(password(target)? == "first"))?;
    narrator.note("the Secret app-secret is there:");
    narrator.show(environment, "kubectl", &[&namespace, "get", "secret", "app-secret", "-o", SECRET_TEMPLATE])?;
    if target.has_pods() {
        narrator.show(environment, "kubectl", &[&namespace, "rollout", "status", "deployment/app", "--timeout=2m"])?;
        show_pod(narrator, target)?;
    }

    narrator.step(&format!("Write a new version in {}, touch nothing in Kubernetes", environment.server.name()));
    let before = generation(target)?;
    put_secret(narrator, target, "second")?;

    narrator.step("Wait for it to arrive (refreshAfter is 10s)");
    wait_for("the new value in the Secret", || Ok(password(target)? == "second"))?;
    narrator.note("the Secret has changed:");
    narrator.show(environment, "kubectl", &[&namespace, "get", "secret", "app-secret", "-o", SECRET_TEMPLATE])?;
    wait_for("the restart of the Deployment", || Ok(generation(target)? > before))?;
    narrator.note("the Deployment rolls:");
    if target.has_pods() {
        narrator.show(environment, "kubectl", &[&namespace, "rollout", "status", "deployment/app", "--timeout=2m"])?;
        show_pod(narrator, target)?;
    } else {
        wait_for("a second ReplicaSet", || {
            let names = environment.kubectl(&[&namespace, "get", "replicasets", "-o", "name"])?;
            Ok(names.lines().count() == 2)
        })?;
        narrator.show(environment, "kubectl", &[&namespace, "get", "replicasets"])?;
    }

    narrator.step("What the objects say");
    let kinds = "vaultconnections,vaultauths,vaultstaticsecrets";
    narrator.show(environment, "kubectl", &[&namespace, "get", kinds])?;
    narrator.show(
        environment,
        "kubectl",
        &[
            &namespace,
            "get",
            "events",
            "--field-selector=involvedObject.apiVersion=secrets.hashicorp.com/v1beta1",
            "-o=custom-columns=KIND:.involvedObject.kind,NAME:.involvedObject.name,REASON:.reason,MESSAGE:.message",
        ],
    )
}

const SECRET_TEMPLATE: &str =
    r#"go-template={{range $k, $v := .data}}{{if ne $k "_raw"}}{{$k}}={{$v | base64decode}}{{"\n"}}{{end}}{{end}}"#;

fn install(narrator: &mut Narrator, target: &Target) -> Result<()> {
    let environment = &target.environment;
    narrator.step("Install the chart");
    let chart = "charts/vault-secrets-operator";
    let (repository_of_image, tag) = target.image.rsplit_once(':').context("an image without a tag")?;
    let repository_value = format!("controller.manager.image.repository={repository_of_image}");
    let tag_value = format!("controller.manager.image.tag={tag}");
    let namespace = format!("--namespace={OPERATOR_NAMESPACE}");
    let mut arguments = vec!["install", RELEASE, chart, &namespace, "--create-namespace"];
    if target.level == Level::Process {
        arguments.extend(["--set", "controller.replicas=0"]);
    } else {
        arguments.extend(["--set", &repository_value, "--set", &tag_value, "--wait", "--timeout=2m"]);
    }
    narrator.command(&format!("helm {}", arguments.join(" ")));
    environment.run("helm", &arguments, None)?;
    if target.level == Level::Process {
        narrator.note("no node: the operator runs as a process, with the rights of the chart's ServiceAccount");
        return target.start_operator();
    }
    narrator.show(environment, "kubectl", &[&namespace, "get", "pods"])
}

fn prepare_server(narrator: &mut Narrator, target: &Target) -> Result<()> {
    let environment = &target.environment;
    let (server, command) = (environment.server.name(), environment.server.command());
    narrator.step(&format!(
        "Prepare {server}: a secret, a policy that may read it, a role for the application's ServiceAccount"
    ));
    put_secret(narrator, target, "first")?;
    let rules = format!(r#"path "{}/data/demo/app" {{ capabilities = ["read"] }}"#, target.kv_mount);
    narrator.command(&format!("{command} policy write {POLICY} -   # {rules}"));
    environment.run(command, &["policy", "write", POLICY, "-"], Some(&rules))?;
    let role = format!("auth/{}/role/{ROLE}", target.auth_mount);
    let namespaces = format!("bound_service_account_namespaces={NAMESPACE}");
    let policies = format!("token_policies={POLICY}");
    let names = "bound_service_account_names=app";
    narrator.run(environment, command, &["write", &role, names, &namespaces, "audience=vault", &policies])
}

fn put_secret(narrator: &Narrator, target: &Target, password: &str) -> Result<()> {
    let mount = format!("-mount={}", target.kv_mount);
    let password = format!("password={password}");
    let environment = &target.environment;
    let arguments = ["kv", "put", &mount, "demo/app", "username=app", &password];
    narrator.run(environment, environment.server.command(), &arguments)
}

/// Vault where it is there already, else OpenBao, unless one is asked for.
fn choose(server: Option<Server>, tools: &Tools) -> Server {
    server.unwrap_or_else(|| Server::at_hand(tools))
}

/// The password in the Secret; empty while there is none.
fn password(target: &Target) -> Result<String> {
    let template = r#"go-template={{with .data}}{{with .password}}{{. | base64decode}}{{end}}{{end}}"#;
    let namespace = format!("--namespace={NAMESPACE}");
    let arguments = [&namespace, "get", "secret", "app-secret", "--ignore-not-found", "-o", template];
    target.environment.kubectl(&arguments)
}

fn generation(target: &Target) -> Result<u64> {
    let namespace = format!("--namespace={NAMESPACE}");
    let arguments = [&namespace, "get", "deployment", "app", "-o", "jsonpath={.metadata.generation}"];
    Ok(target.environment.kubectl(&arguments)?.trim().parse()?)
}

/// The pod, and what it sees of the secret.
fn show_pod(narrator: &Narrator, target: &Target) -> Result<()> {
    let environment = &target.environment;
    let namespace = format!("--namespace={NAMESPACE}");
    wait_for("the end of the old pod", || {
        let pods = environment.kubectl(&[&namespace, "get", "pods", "-o", "name"])?;
        Ok(pods.lines().count() == 1)
    })?;
    narrator.show(environment, "kubectl", &[&namespace, "get", "pods"])?;
    if target.level == Level::Node {
        let arguments = [&namespace, "exec", "deployment/app", "--", "/workload", "env"];
        narrator.command(&format!("kubectl {} | grep password", arguments.join(" ")));
        let variables = environment.kubectl(&arguments)?;
        for line in variables.lines().filter(|line| line.starts_with("password=")) {
            narrator.note(&format!("  {line}"));
        }
    }
    Ok(())
}

fn wait_for(what: &str, mut ready: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = std::time::Instant::now() + LIMIT;
    while !ready()? {
        if std::time::Instant::now() > deadline {
            bail!("{what} did not come within {} s", LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// The repository this crate is in.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}
