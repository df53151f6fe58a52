//! What the demonstration stands on: a real node, a control plane alone, or a cluster that is there already.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::narrator::Narrator;
use super::next_steps::NextSteps;
use super::{Demo, NAMESPACE, OPERATOR_NAMESPACE, RELEASE, SAMPLE_ADDRESS, build, choose, repository};
use crate::cluster::{Cluster, Options};
use crate::environment::{self, Environment};
use crate::node::{self, Skip};
use crate::process::Service;
use crate::server::Server;
use crate::tools::{Tool, Tools};
use crate::vault::request;
use crate::{free_ports, image};

/// How real it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Pods on a node.
    Node,
    /// The operator as a process; no pods.
    Process,
    /// A cluster that is there already.
    ExistingCluster,
}

/// Where the demonstration runs.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) level: Level,
    pub(super) environment: Environment,
    /// The operator's image, with its tag.
    pub(super) image: String,
    /// Vault's address for the VaultConnection.
    pub(super) vault_address: String,
    pub(super) kv_mount: &'static str,
    pub(super) auth_mount: &'static str,
    pub(super) cluster: Option<Cluster>,
    pub(super) binary: Option<PathBuf>,
    /// Image of the Deployment, where the sample's own cannot be had.
    pub(super) app_image: Option<String>,
}

/// Finds out what is possible, says so, and makes it.
pub(super) fn make(
    narrator: &mut Narrator,
    demo: &Demo,
    server: Option<Server>,
    binary: Option<PathBuf>,
) -> Result<Target> {
    let name = &demo.name;
    let skip = match demo.without_node {
        true => Some("it was not asked for".to_owned()),
        false => match node::require() {
            Ok(()) => None,
            Err(error) => match error.downcast::<Skip>() {
                Ok(Skip(reason)) => Some(reason),
                Err(error) => return Err(error),
            },
        },
    };
    match &skip {
        None => println!("A real node on this machine: kubelet and containerd in namespaces of their own, real pods."),
        Some(reason) => println!(
            "No real node on this machine: {reason}.\nA control plane alone: everything is real but the pods, and the \
             operator runs as a process."
        ),
    }

    narrator.step("Programs of the environment");
    let tools = Tools::default();
    let server = choose(server, &tools);
    let mut needed = Tool::of_an_environment(skip.is_none());
    needed.extend([server.tool(), Tool::Helm]);
    tools.ensure(&needed)?;
    narrator.note(&format!("all there; {} holds the secrets", server.name()));

    let binary = match binary {
        Some(binary) => binary,
        None => {
            narrator.step("Build the operator");
            narrator.command(build::COMMAND);
            build::operator()?
        }
    };

    let level = if skip.is_some() { Level::Process } else { Level::Node };
    let node = if level == Level::Node { ", scheduler, containerd, kubelet" } else { "" };
    narrator.step(&format!("Start etcd, API server, controller manager{node} and {}", server.name()));
    if environment::down(name)? {
        narrator.note(&format!("the environment {name:?} of an earlier run is gone"));
    }
    let cluster = Cluster::start(Options {
        name: Some(name.clone()),
        node: level == Level::Node,
        server,
        keep_failed: true,
        ..Options::default()
    })?;
    cluster.link_commands(&[Tool::Helm])?;

    let image = format!("localhost/{RELEASE}:demo");
    if level == Level::Node {
        narrator.step("Make the images and give them to the node");
        let archive = cluster.dir().join("operator.tar");
        let line = format!(
            "hack/image operator --binary {} --tag {image} --output operator.tar",
            binary.strip_prefix(repository()).unwrap_or(&binary).display()
        );
        narrator.command(&line);
        image::operator(&binary, &image, &archive)?;
        narrator.note(&format!("{:.1} MB", megabytes(&archive)?));
        cluster.import_image(&archive)?;
        cluster.import_image(&image::workload()?)?;
    }
    Ok(Target {
        level,
        environment: cluster.environment.clone(),
        image,
        vault_address: cluster.vault_addr().to_owned(),
        kv_mount: "secret",
        auth_mount: "kubernetes",
        cluster: Some(cluster),
        binary: Some(binary),
        app_image: None,
    })
}

impl Target {
    /// Whether the Deployment of the sample gets pods.
    pub(super) fn has_pods(&self) -> bool {
        self.level == Level::Node || self.app_image.is_some()
    }

    /// The sample, for this target. Each replacement must find its line, or the sample has changed.
    pub(super) fn adapt(&self, manifests: &str) -> Result<String> {
        let mut replacements = vec![(format!("address: {SAMPLE_ADDRESS}"), format!("address: {}", self.vault_address))];
        if self.level == Level::ExistingCluster {
            let image = format!("image: {}", image::WORKLOAD);
            match &self.app_image {
                Some(own) => replacements.push((image, format!("image: {own}"))),
                None => replacements.push(("replicas: 1".into(), "replicas: 0".into())),
            }
            replacements.push(("mount: secret".into(), format!("mount: {}", self.kv_mount)));
            replacements.push(("mount: kubernetes".into(), format!("mount: {}", self.auth_mount)));
        }
        let mut text = manifests.to_owned();
        for (from, to) in replacements {
            if !text.contains(&from) {
                bail!("config/samples/demo.yaml has no line `{from}` to put `{to}` in its place");
            }
            text = text.replace(&from, &to);
        }
        Ok(text)
    }

    /// Starts the operator on the machine with the rights of the chart's ServiceAccount.
    pub(super) fn start_operator(&self) -> Result<()> {
        let environment = &self.environment;
        let account = format!("{RELEASE}-controller-manager");
        let kubeconfig = environment.service_account_kubeconfig(OPERATOR_NAMESPACE, &account)?;
        let [metrics, health]: [u16; 2] = free_ports(2)?.try_into().ok().context("two ports")?;
        let arguments = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--metrics-bind-address=127.0.0.1:{metrics}"),
            format!("--health-probe-bind-address=127.0.0.1:{health}"),
        ];
        let binary = self.binary.clone().context("no binary of the operator")?;
        let service = Service::new("operator", binary, arguments, &environment.dir, &environment.location)
            .with_variable("OPERATOR_NAMESPACE", OPERATOR_NAMESPACE);
        service.start()?;
        service.wait(Duration::from_secs(60), || {
            matches!(request("GET", &format!("http://127.0.0.1:{health}/readyz"), None, None), Ok((200, _)))
        })?;
        println!("    the operator is ready; its metrics: http://127.0.0.1:{metrics}/metrics");
        Ok(())
    }

    /// What helps to find out why it failed. Says what cannot be found out.
    pub(super) fn show_trouble(&self) {
        println!("\nIt failed. What may help to see why:");
        let operator = format!("--namespace={OPERATOR_NAMESPACE}");
        let namespace = format!("--namespace={NAMESPACE}");
        let mut commands = vec![
            vec!["get", "pods", "--all-namespaces", "-o", "wide"],
            vec![&namespace, "describe", "vaultconnections,vaultauths,vaultstaticsecrets"],
            vec![&namespace, "get", "events", "--sort-by=.lastTimestamp"],
        ];
        if self.level != Level::Process {
            commands.push(vec![&operator, "logs", "deployment/vault-secrets-operator-controller-manager", "--tail=40"]);
        }
        for arguments in commands {
            println!("$ kubectl {}", arguments.join(" "));
            match self.environment.kubectl(&arguments) {
                Ok(text) => println!("{text}"),
                Err(error) => println!("{error}"),
            }
        }
        let log = self.environment.dir.join("logs/operator.log");
        if log.exists() {
            println!("The end of {}:\n{}", log.display(), crate::text::tail(&log, 12));
        }
    }

    /// Lets everything live on.
    pub(super) fn keep(mut self) -> Result<NextSteps> {
        match self.cluster.take() {
            Some(cluster) => drop(cluster.detach()?),
            // Only links to programs; the cluster is not of this environment.
            None => drop(environment::down(self.environment.name())?),
        }
        Ok(NextSteps(self))
    }
}

fn megabytes(path: &Path) -> Result<f64> {
    // Precise enough for a person.
    #[allow(clippy::cast_precision_loss)]
    let bytes = path.metadata()?.len() as f64;
    Ok(bytes / 1e6)
}
