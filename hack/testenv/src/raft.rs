//! Three nodes of Vault or OpenBao that have one storage (raft), a load balancer in front of them, and the network
//! between them. Each node is a process of its own; all are on loopback.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::environment::Environment;
use crate::network::Network;
use crate::ports::free_ports;
use crate::process::Service;
use crate::vault::{Listener, request};

/// How many nodes there are: the least that outlive the loss of one.
pub const RAFT_NODES: usize = 3;

/// Names of the processes, of their logs and of their files.
pub(crate) const NAMES: [&str; RAFT_NODES] = ["raft-0", "raft-1", "raft-2"];

/// An election takes up to 15 seconds, and a busy machine longer.
const ELECTION: Duration = Duration::from_secs(120);

/// The nodes, by their numbers from 0, and what is between them. It ends with the process.
#[derive(Debug)]
pub struct Raft {
    listeners: Vec<Listener>,
    network: Arc<Network>,
    balancer: u16,
    /// Leads to the node that is active.
    to_active: u16,
    unseal_key: String,
}

impl Raft {
    /// Nodes that do not run yet. `dir` is that of the environment.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let ports = free_ports(2 * RAFT_NODES)?;
        let network = Arc::new(Network::new(NAMES.map(|name| dir.join("pids").join(format!("{name}.pid"))).to_vec()));
        let mut listeners = Vec::new();
        for (node, ports) in ports.chunks(2).enumerate() {
            let (port, cluster_port) = (ports[0], ports[1]);
            listeners.push(Listener {
                name: NAMES[node],
                address: format!("127.0.0.1:{port}"),
                cluster_address: format!("127.0.0.1:{cluster_port}"),
                api_url: format!("http://127.0.0.1:{port}"),
                cluster_url: format!("https://127.0.0.1:{}", network.way_to(node, cluster_port)?),
            });
        }
        let addresses: Vec<String> = listeners.iter().map(|listener| listener.address.clone()).collect();
        let balancer = network.balance(addresses.clone())?;
        let to_active = Network::follow(addresses, |address| {
            matches!(request("GET", &format!("http://{address}/v1/sys/health"), None, None), Ok((200, _)))
        })?;
        Ok(Self { listeners, network, balancer, to_active, unseal_key: String::new() })
    }

    /// How a node listens and is found.
    pub(crate) fn listener(&self, node: usize) -> &Listener {
        &self.listeners[node]
    }

    /// URL of the load balancer: each connection leads to the next node that accepts one.
    pub fn balancer(&self) -> String {
        format!("http://127.0.0.1:{}", self.balancer)
    }

    /// URL that leads to the node that is active.
    pub(crate) fn to_active(&self) -> String {
        format!("http://127.0.0.1:{}", self.to_active)
    }

    /// Lets the other nodes join the first one, which is initialised and unsealed, and waits until each may be elected.
    pub(crate) fn join(&mut self, environment: &Environment, services: &[&Service]) -> Result<()> {
        self.unseal_key = environment.unseal_key.clone().context("the first node has no unseal key")?;
        for (node, service) in services.iter().enumerate().skip(1) {
            service.start()?;
            self.await_answer(node, service)?;
            let leader = json!({ "leader_api_addr": self.listeners[0].api_url });
            self.must(node, "POST", "sys/storage/raft/join", Some(leader))?;
            self.unseal(node)?;
        }
        // A node that was stable for so long gets a vote.
        let stable = json!({ "server_stabilization_time": "1s" });
        environment.vault("POST", "sys/storage/raft/autopilot/configuration", Some(stable))?;
        self.within(ELECTION, "each node has a vote", || {
            let found = environment.vault("GET", "sys/storage/raft/configuration", None).ok()?;
            let servers = found["data"]["config"]["servers"].as_array()?;
            (servers.iter().filter(|server| server["voter"] == true).count() == RAFT_NODES).then_some(())
        })
    }

    /// Waits until a node answers at all, sealed or not.
    pub(crate) fn await_answer(&self, node: usize, service: &Service) -> Result<()> {
        service.wait(Duration::from_secs(60), || self.ask(node, "GET", "sys/seal-status", None).is_ok())
    }

    /// Unseals a node, as after its start, and waits until it takes part again.
    ///
    /// # Errors
    /// If it does not answer, or finds no leader.
    pub fn unseal(&self, node: usize) -> Result<()> {
        self.must(node, "PUT", "sys/unseal", Some(json!({ "key": self.unseal_key })))?;
        self.within(ELECTION, &format!("node {node} takes part"), || {
            let leader = self.must(node, "GET", "sys/leader", None).ok()?;
            let known = leader["leader_address"].as_str().is_some_and(|address| !address.is_empty());
            known.then_some(())
        })
    }

    /// The node that is active. `None`: none is, or one that is cut off still takes itself for it beside another.
    pub fn active(&self) -> Option<usize> {
        let is_active = |node: &usize| matches!(self.ask(*node, "GET", "sys/health", None), Ok((200, _)));
        let active: Vec<usize> = (0..RAFT_NODES).filter(is_active).collect();
        if let [node] = active[..] { Some(node) } else { None }
    }

    /// Waits until a node other than `former` is active.
    ///
    /// # Errors
    /// If that takes longer than any election.
    pub fn await_active(&self, former: Option<usize>) -> Result<usize> {
        self.within(ELECTION, "a node is active", || {
            (0..RAFT_NODES)
                .filter(|node| Some(*node) != former)
                .find(|node| matches!(self.ask(*node, "GET", "sys/health", None), Ok((200, _))))
        })
    }

    /// Sends a request with a token to one node; returns the status and the JSON answer.
    pub fn ask_with(&self, node: usize, method: &str, path: &str, token: &str) -> Result<(u16, Value)> {
        request(method, &format!("{}/v1/{path}", self.listeners[node].api_url), None, Some(("x-vault-token", token)))
    }

    /// New connections of clients lead to these nodes, one after the other. Those that are open stay.
    pub fn lead_clients_to(&self, nodes: &[usize]) {
        self.network.lead_clients_to(nodes);
    }

    /// Ends the connections that clients have.
    pub fn end_connections_of_clients(&self) {
        self.network.end_connections_of_clients();
    }

    /// Cuts a node off from the other nodes, as a network does: nothing that is sent arrives, and nothing is closed.
    /// Clients still reach it.
    pub fn cut_off(&self, node: usize) {
        self.network.cut_off(Some(node));
    }

    /// Every node reaches every other again.
    pub fn heal(&self) {
        self.network.cut_off(None);
    }

    fn ask(&self, node: usize, method: &str, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
        request(method, &format!("{}/v1/{path}", self.listeners[node].api_url), body, None)
    }

    fn must(&self, node: usize, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let (status, answer) = self.ask(node, method, path, body)?;
        if !(200..300).contains(&status) {
            bail!("node {node}: {method} {path}: {status} {answer}");
        }
        Ok(answer)
    }

    fn within<T>(&self, limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
        let begin = std::time::Instant::now();
        while begin.elapsed() < limit {
            if let Some(found) = look() {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("{what}: not within {} s", limit.as_secs())
    }
}
