//! A control plane and a Vault that this process has started and can stop, kill, pause and start again.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::control_plane::{self, NODE_ADDRESS, Ports};
use crate::environment::{ADMIN, Environment, directory};
use crate::location::Location;
use crate::node;
use crate::postgresql::Postgresql;
use crate::process::Service;
use crate::proxy::{Proxy, Toxiproxy};
use crate::raft::{RAFT_NODES, Raft};
use crate::server::Server;
use crate::tools::{Tool, Tools};
use crate::vault::{self, Listener, VaultStorage};
use crate::watcher::Watcher;

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Name of the environment; without one, a name that no other has.
    pub name: Option<String>,
    /// What holds the secrets.
    pub server: Server,
    /// Where it keeps them.
    pub vault: VaultStorage,
    /// Another Vault, with an event stream: [`Tool::VaultEvents`] or [`Tool::VaultDatabaseEvents`]. It is built when it
    /// is missing.
    pub vault_events: Option<Tool>,
    /// With a real node, in namespaces of its own. Needs root on Linux: see [`node::unavailable`].
    pub node: bool,
    /// Keep the directory, for its logs, when the environment cannot be started.
    pub keep_failed: bool,
    /// Another path for the API server's audit log, where it outlives the environment.
    pub kube_audit_log: Option<PathBuf>,
}

/// A process of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Process {
    /// The store below the API server.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers of Kubernetes itself.
    ControllerManager,
    /// Vault or OpenBao.
    Vault,
    /// A node of Vault or OpenBao, by its number from 0; only with [`VaultStorage::RaftOfThree`], where there is no
    /// [`Process::Vault`].
    RaftNode(usize),
    /// PostgreSQL, once [`Cluster::postgresql`] was called. A pause stops new connections alone.
    Postgresql,
    /// The scheduler; only with a node.
    Scheduler,
    /// The container runtime; only with a node.
    Containerd,
    /// The kubelet; only with a node.
    Kubelet,
}

/// A running environment that belongs to this process and ends with it, however it ends.
///
/// Dereferences to [`Environment`], which has everything that needs no control of the processes.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) environment: Environment,
    pub(crate) tools: Tools,
    pub(crate) services: BTreeMap<Process, Service>,
    ports: Ports,
    storage: VaultStorage,
    vault_events: Option<Tool>,
    raft: Option<Raft>,
    toxiproxy: Mutex<Option<Service>>,
    /// Where the tool is there.
    postgresql: Option<Postgresql>,
    postgresql_is_set_up: Mutex<bool>,
    watcher: Option<Watcher>,
}

static COUNTER: AtomicU32 = AtomicU32::new(0);

impl Cluster {
    /// Starts an environment and waits until it is ready.
    pub fn start(options: Options) -> Result<Self> {
        let name = match &options.name {
            Some(name) => name.clone(),
            None => format!("t{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)),
        };
        if options.node {
            node::require()?;
        }
        let tools = Tools::default();
        let mut needed = Tool::of_an_environment(options.node);
        needed.push(options.server.tool());
        tools.ensure(&needed)?;

        let dir = directory(&name)?;
        // For its owner only: it holds keys and tokens.
        DirBuilder::new().mode(0o700).create(&dir).with_context(|| {
            format!("{}: an environment {name:?} exists; end it with `testenv down --name {name}`", dir.display())
        })?;
        let watcher = Watcher::start(&dir)?;
        match Self::assemble(&name, &dir, &options, tools) {
            Ok(mut cluster) => {
                cluster.watcher = Some(watcher);
                Ok(cluster)
            }
            Err(error) if options.keep_failed => {
                watcher.end_keeping_files()?;
                Err(error.context(format!(
                    "environment {name:?} did not start; its logs are in {}, `testenv down --name {name}` removes them",
                    dir.join("logs").display()
                )))
            }
            Err(error) => Err(error.context("environment did not start; with TESTENV_KEEP=1 its logs are kept")),
        }
    }

    fn assemble(name: &str, dir: &Path, options: &Options, tools: Tools) -> Result<Self> {
        let Options { server, vault: storage, vault_events, node: with_node, .. } = *options;
        if vault_events.is_some() && server != Server::Vault {
            bail!("{} has no event stream", server.name());
        }
        if with_node && storage == VaultStorage::RaftOfThree {
            bail!("three nodes of {} run on the machine itself only", server.name());
        }
        let (location, ports, vault_host) = match with_node {
            false => (Location::Machine, Ports::free()?, "127.0.0.1"),
            true => (node::enter(dir)?, Ports::of_a_node(), NODE_ADDRESS),
        };
        let raft = match storage {
            VaultStorage::RaftOfThree => Some(Raft::new(dir)?),
            VaultStorage::Memory | VaultStorage::Raft => None,
        };
        let environment = Environment {
            name: name.to_owned(),
            dir: dir.to_owned(),
            kubeconfig: dir.join(ADMIN),
            location,
            api_server_url: format!("https://127.0.0.1:{}", ports.api_server),
            server,
            vault_addr: match &raft {
                Some(raft) => raft.to_active(),
                None => format!("http://{vault_host}:{}", ports.vault),
            },
            vault_token: vault::DEV_TOKEN.to_owned(),
            unseal_key: None,
        };
        control_plane::write_files(&environment)?;
        if let Some(kept) = &options.kube_audit_log {
            File::create(kept).with_context(|| kept.display().to_string())?;
            std::os::unix::fs::symlink(kept, environment.kube_audit_log())?;
        }
        let mut cluster = Self {
            environment,
            tools,
            services: BTreeMap::new(),
            ports,
            storage,
            vault_events,
            raft,
            toxiproxy: Mutex::new(None),
            postgresql: None,
            postgresql_is_set_up: Mutex::new(false),
            watcher: None,
        };
        cluster.link_commands(&[Tool::Kubectl, server.tool()])?;
        cluster.define_services()?;
        cluster.define_postgresql(vault_host)?;

        // All at once; each waits by itself for the one below it.
        let first = if cluster.raft.is_some() { Process::RaftNode(0) } else { Process::Vault };
        for process in [Process::Etcd, first, Process::ApiServer] {
            cluster.service(process)?.start()?;
        }
        if with_node {
            cluster.service(Process::Containerd)?.start()?;
        }
        if let Some(service) = cluster.services.get(&first) {
            vault::wait(&mut cluster.environment, service, storage)?;
        }
        if let Some(raft) = &mut cluster.raft {
            let services = (0..RAFT_NODES).filter_map(|node| cluster.services.get(&Process::RaftNode(node)));
            raft.join(&cluster.environment, &services.collect::<Vec<_>>())?;
        }
        vault::prepare(&cluster.environment)?;
        cluster.await_api_server()?;
        cluster.service(Process::ControllerManager)?.start()?;
        if with_node {
            node::start(&cluster)?;
        }
        cluster.trust_kubernetes()?;
        cluster.service(Process::ControllerManager)?.wait(Duration::from_secs(60), || {
            cluster.kubectl(&["get", "serviceaccount", "default", "--namespace=default"]).is_ok()
        })?;
        if with_node {
            node::wait(&cluster)?;
        }
        cluster.environment.save()?;
        Ok(cluster)
    }

    fn define_services(&mut self) -> Result<()> {
        let environment = &self.environment;
        let ports = &self.ports;
        let mut add = |process, name, tool, arguments| -> Result<()> {
            let program = self.tools.path(tool)?;
            let service = Service::new(name, program, arguments, &environment.dir, &environment.location);
            self.services.insert(process, service);
            Ok(())
        };
        add(Process::Etcd, "etcd", Tool::Etcd, control_plane::etcd(environment, ports))?;
        add(Process::ApiServer, "kube-apiserver", Tool::KubeApiserver, control_plane::api_server(environment, ports))?;
        add(
            Process::ControllerManager,
            "kube-controller-manager",
            Tool::KubeControllerManager,
            control_plane::controller_manager(environment),
        )?;
        let only = Listener::of_one(environment, [ports.vault, ports.vault_cluster]);
        let listeners = match &self.raft {
            None => vec![(Process::Vault, &only)],
            Some(raft) => (0..RAFT_NODES).map(|node| (Process::RaftNode(node), raft.listener(node))).collect(),
        };
        for (process, listener) in listeners {
            let mut arguments = vault::arguments(environment, self.storage, listener)?;
            let tool = self.vault_events.unwrap_or_else(|| environment.server.tool());
            if self.vault_events == Some(Tool::VaultEvents) {
                arguments.extend(vault::EVENTS.map(str::to_owned));
            }
            add(process, listener.name, tool, arguments)?;
        }
        if environment.has_node() {
            for (process, name, tool, arguments) in node::services(environment)? {
                add(process, name, tool, arguments)?;
            }
            let containerd = node::containerd(environment)?;
            self.services.insert(Process::Containerd, containerd);
        }
        Ok(())
    }

    fn define_postgresql(&mut self, host: &str) -> Result<()> {
        if self.tools.has(Tool::Postgresql) {
            let program = self.tools.path(Tool::Postgresql)?;
            let postgresql = Postgresql::new(&self.environment, &program, host, self.ports.postgresql)?;
            self.services.insert(Process::Postgresql, postgresql.service());
            self.postgresql = Some(postgresql);
        }
        Ok(())
    }

    /// PostgreSQL, which is set up and started by the first call. Nothing builds it: see [`Tool::OPTIONAL`].
    pub fn postgresql(&self) -> Result<&Postgresql> {
        let Some(postgresql) = &self.postgresql else {
            bail!("no PostgreSQL: `cargo testenv build --optional` gets it");
        };
        let Ok(mut is_set_up) = self.postgresql_is_set_up.lock() else {
            bail!("PostgreSQL: another thread panicked while it started it");
        };
        if !*is_set_up {
            postgresql.set_up()?;
            postgresql.start(self.service(Process::Postgresql)?)?;
            *is_set_up = true;
        }
        Ok(postgresql)
    }

    /// The nodes of Vault or OpenBao; only with [`VaultStorage::RaftOfThree`].
    pub fn raft(&self) -> Result<&Raft> {
        self.raft.as_ref().context("this environment has one server: VaultStorage::RaftOfThree has three nodes")
    }

    /// Puts programs on the `PATH` of [`Environment::command`].
    pub(crate) fn link_commands(&self, tools: &[Tool]) -> Result<()> {
        self.tools.link(tools, &self.environment.dir.join("bin"))
    }

    /// Runs helm as cluster administrator and returns its standard output. Builds helm when it is missing.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        self.link_commands(&[Tool::Helm])?;
        self.environment.helm(arguments)
    }

    /// Vault with the reviewer's token, through which it asks the API server about tokens.
    fn trust_kubernetes(&self) -> Result<()> {
        if self.kubectl(&["get", "serviceaccount", "vault-reviewer", "--namespace=kube-system"]).is_err() {
            self.kubectl(&["create", "serviceaccount", "vault-reviewer", "--namespace=kube-system"])?;
            self.kubectl(&[
                "create",
                "clusterrolebinding",
                "vault-reviewer",
                "--clusterrole=system:auth-delegator",
                "--serviceaccount=kube-system:vault-reviewer",
            ])?;
        }
        let token = self.service_account_token("kube-system", "vault-reviewer", &[])?;
        vault::trust_kubernetes(&self.environment, &self.api_server_url, &token)
    }

    fn await_api_server(&self) -> Result<()> {
        self.service(Process::ApiServer)?
            .wait(Duration::from_secs(90), || self.kubectl(&["get", "--raw=/readyz", "--request-timeout=5s"]).is_ok())
    }

    /// Asks a process to end (SIGTERM) and waits until it has. Its data stays.
    pub fn stop(&self, process: Process) -> Result<()> {
        self.service(process)?.stop()
    }

    /// Kills a process (SIGKILL) and waits until it is gone. Its data stays.
    pub fn kill(&self, process: Process) -> Result<()> {
        self.service(process)?.kill()
    }

    /// Starts a stopped or killed process again, on the same port and with the same data, and waits until it answers.
    ///
    /// A Vault in memory has forgotten everything: its audit device, `kv1/` and Kubernetes auth are set up again. A
    /// Vault with storage comes up sealed: see [`Environment::vault_unseal`], and [`Raft::unseal`] for one of three
    /// nodes.
    pub fn start_again(&self, process: Process) -> Result<()> {
        let service = self.service(process)?;
        if service.is_running()? {
            return Ok(());
        }
        if process == Process::Postgresql {
            return self.postgresql()?.start(service);
        }
        service.start()?;
        match process {
            Process::ApiServer | Process::Etcd => self.await_api_server(),
            Process::RaftNode(node) => self.raft()?.await_answer(node, service),
            Process::Vault => {
                vault::await_answer(&self.environment, service)?;
                if self.storage == VaultStorage::Memory {
                    vault::prepare(&self.environment)?;
                    self.trust_kubernetes()?;
                }
                Ok(())
            }
            _ => service.check(),
        }
    }

    /// Stops a process's clock (SIGSTOP): it answers nothing, its connections stay open.
    pub fn pause(&self, process: Process) -> Result<()> {
        self.service(process)?.pause()
    }

    /// Lets a paused process go on (SIGCONT).
    pub fn resume(&self, process: Process) -> Result<()> {
        self.service(process)?.resume()
    }

    /// A proxy in front of `upstream` (a URL or `HOST:PORT`), with which to put faults on connections.
    pub fn proxy(&self, name: &str, upstream: &str) -> Result<Proxy> {
        let server = Toxiproxy {
            url: format!("http://127.0.0.1:{}", self.ports.toxiproxy),
            location: self.environment.location.clone(),
        };
        let Ok(mut running) = self.toxiproxy.lock() else {
            bail!("toxiproxy: another thread panicked while it started it");
        };
        if running.is_none() {
            let program = self.tools.path(Tool::Toxiproxy)?;
            let arguments = vec!["-host=127.0.0.1".into(), format!("-port={}", self.ports.toxiproxy)];
            let service = Service::new("toxiproxy", program, arguments, &self.dir, &self.environment.location);
            service.start()?;
            service.wait(Duration::from_secs(20), || server.answers())?;
            *running = Some(service);
        }
        drop(running);
        server.add(name, upstream)
    }

    /// Lets the environment live on when this process ends, until [`down`](crate::down).
    pub fn detach(mut self) -> Result<Environment> {
        self.link_commands(&[Tool::Helm])?;
        if let Some(watcher) = self.watcher.take() {
            watcher.detach()?;
        }
        Ok(self.environment.clone())
    }

    pub(crate) fn service(&self, process: Process) -> Result<&Service> {
        self.services.get(&process).with_context(|| match process {
            Process::Postgresql => {
                "this environment has no PostgreSQL: `cargo testenv build --optional` gets it".into()
            }
            Process::Vault | Process::RaftNode(_) => format!("this environment has no {process:?}"),
            _ => format!("this environment has no {process:?}: it has no node"),
        })
    }
}

impl Deref for Cluster {
    type Target = Environment;

    fn deref(&self) -> &Environment {
        &self.environment
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Without one, the environment lives on or was never complete.
        let Some(watcher) = self.watcher.take() else {
            return;
        };
        drop(watcher);
        for service in self.services.values() {
            service.reap();
        }
    }
}
