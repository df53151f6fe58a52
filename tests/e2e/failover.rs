//! Three nodes of Vault or OpenBao behind a load balancer that knows nothing of them: whatever becomes of the active
//! one, nothing is lost, and what is new arrives. `FAILOVER_FLEET=500` makes it more objects than by default.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use testenv::{Cluster, Marker, Options, Process, RAFT_NODES, Raft, Server, VaultStorage};

use test_support::audit::Count;
use test_support::engines::database::Database;
use test_support::kube_client::{KubeClient, decoded};
use test_support::{FAST_RETRY, NO_ELECTION, Tenant, eventually, lacks, own};

/// Secrets whose content never changes, with a Deployment to restart.
const STEADY: usize = 10;
/// Objects whose connection wants to be redirected to the active node.
const REDIRECTED: usize = 10;
const LEASES: usize = 5;
/// A lease is renewed at two thirds of it, at the latest. No election takes the last third.
const LEASE_SECONDS: u64 = 240;
const REFRESH: &str = "5s";
/// Far more than it takes, for a machine that runs all tests at once, and for a request to a node that answers nothing
/// (60 s).
const MOST_FRESHNESS: Duration = Duration::from_secs(150);

/// What a fault has cost.
struct Cost {
    fault: &'static str,
    /// Until another node was active.
    election: Duration,
    /// Without an answer to a read of an object, at most.
    unread: Duration,
    /// From a write to the new active node until the Secret had it, at most.
    freshness: Duration,
    logins: usize,
    /// Versions of secrets that Vault may have taken: one that it took without saying so is written again.
    versions: usize,
    writes: usize,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, election, unread, freshness, logins, versions, writes } = self;
        write!(
            f,
            "{fault}: another node after {:.1} s, no object unread for more than {:.1} s, new content after {:.1} s \
             at most, {logins} logins, {writes} Secrets written for {versions} versions",
            election.as_secs_f64(),
            unread.as_secs_f64(),
            freshness.as_secs_f64()
        )
    }
}

/// A Secret as it was last.
struct Last {
    keys: BTreeSet<String>,
    number: u64,
    seen: Instant,
}

/// Every version of the Secrets of a namespace.
struct History {
    events: Receiver<Value>,
    last: BTreeMap<String, Last>,
    writes: usize,
    faults: Vec<String>,
}

impl History {
    fn of(tenant: &Tenant<'_>, api: &KubeClient) -> Self {
        let events = api.watch("Secret", &tenant.namespace);
        Self { events, last: BTreeMap::new(), writes: 0, faults: Vec::new() }
    }

    /// Takes note of what was written since. A Secret that lost a key, or has an older number, is a fault.
    fn look(&mut self) {
        while let Ok(secret) = self.events.try_recv() {
            let name = secret["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let keys: BTreeSet<String> =
                secret["data"].as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect();
            let number = decoded(&secret, "number").and_then(|text| text.parse().ok()).unwrap_or(0);
            self.writes += 1;
            if let Some(old) = self.last.get(&name) {
                if !keys.is_superset(&old.keys) {
                    self.faults.push(format!("{name} had {:?} and has {keys:?}", old.keys));
                }
                if number < old.number {
                    self.faults.push(format!("{name} had number {} and has {number}", old.number));
                }
            }
            self.last.insert(name, Last { keys, number, seen: Instant::now() });
        }
    }

    /// Writes since the last call.
    fn take_writes(&mut self) -> usize {
        self.look();
        std::mem::take(&mut self.writes)
    }

    #[track_caller]
    fn assert_good(&mut self) {
        self.look();
        assert!(self.faults.is_empty(), "{:?}", self.faults);
    }
}

struct Fleet<'a> {
    cluster: &'a Cluster,
    raft: &'a Raft,
    tenant: &'a Tenant<'a>,
    api: KubeClient,
    database: Database<'a>,
    names: Vec<String>,
    history: History,
    number: u64,
    /// When each secret was written last.
    written: BTreeMap<String, Instant>,
}

impl<'a> Fleet<'a> {
    /// `None`, with a line that says so, where there is no PostgreSQL.
    fn create(cluster: &'a Cluster, raft: &'a Raft, tenant: &'a Tenant<'a>) -> Option<Self> {
        let count = std::env::var("FAILOVER_FLEET").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
        let mount = format!("{}-db", tenant.namespace);
        let database = Database::mount(cluster, &mount)?;
        database.role("app", LEASE_SECONDS, 7200);
        tenant.allow_leases(&[&mount]);
        let api = KubeClient::of(cluster);
        let history = History::of(tenant, &api);
        let names = (0..count).map(|n| format!("s{n:03}")).collect();
        let mut fleet =
            Self { cluster, raft, tenant, api, database, names, history, number: 0, written: BTreeMap::new() };
        fleet.write_all();
        fleet.create_objects();
        Some(fleet)
    }

    fn create_objects(&self) {
        let tenant = self.tenant;
        let headers = json!({ "X-Vault-No-Request-Forwarding": "true" });
        let redirected = json!({ "address": self.raft.balancer(), "headers": headers });
        tenant.apply(&tenant.object("VaultConnection", "redirected", redirected));
        tenant.apply(&tenant.auth("redirected", json!({ "vaultConnectionRef": "redirected" })));
        tenant.apply(&tenant.workload("Deployment", "app"));
        let targets = json!([{ "kind": "Deployment", "name": "app" }]);
        let mut objects: Vec<_> = self
            .names
            .iter()
            .enumerate()
            .map(|(n, name)| {
                let is_redirected = (STEADY..STEADY + REDIRECTED).contains(&n);
                let login = if is_redirected { "redirected" } else { "app" };
                let mut spec = json!({ "refreshAfter": REFRESH, "vaultAuthRef": login });
                if n < STEADY {
                    spec["rolloutRestartTargets"] = targets.clone();
                }
                tenant.static_secret(name, spec)
            })
            .collect();
        objects.extend((0..LEASES).map(|n| {
            let spec = json!({
                "vaultAuthRef": "app", "mount": self.database.mount, "path": "creds/app",
                "destination": { "name": format!("db{n}"), "create": true }, "rolloutRestartTargets": targets,
            });
            tenant.object("VaultDynamicSecret", &format!("db{n}"), spec)
        }));
        self.api.create_all(objects);
    }

    /// Writes the next number to all secrets but the steady ones, which have it from the start. Gives the number of
    /// attempts.
    fn write_all(&mut self) -> usize {
        let mut attempts = 0;
        self.number += 1;
        let steady = if self.number == 1 { 0 } else { STEADY };
        for name in &self.names[steady..] {
            let path = format!("secret/{}", self.tenant.path(name));
            let data = json!({ "number": self.number.to_string(), "password": "failover-hunter2" });
            eventually("the active node takes a secret", || {
                attempts += 1;
                self.cluster.vault_kv_put(&path, data.clone())
            });
            self.written.insert(name.clone(), Instant::now());
        }
        attempts
    }

    /// Waits until all Secrets have the last number, and gives how long that took at most after the write.
    #[track_caller]
    fn wait_all(&mut self) -> Duration {
        let wanted = |n: usize| if n < STEADY { 1 } else { self.number };
        let missing = |last: &BTreeMap<String, Last>| -> Vec<String> {
            let has = |name: &str, number| last.get(name).is_some_and(|found| found.number == number);
            let all = self.names.iter().enumerate();
            all.filter(|(n, name)| !has(name, wanted(*n))).map(|(_, name)| name.clone()).collect()
        };
        eventually("all Secrets have the last number", || {
            self.history.look();
            match missing(&self.history.last) {
                names if names.is_empty() => Ok(()),
                names => Err(format!("{} have not: {names:?}", names.len())),
            }
        });
        let delay = |name: &String| self.history.last[name].seen.saturating_duration_since(self.written[name]);
        self.names[STEADY..].iter().map(delay).max().unwrap_or_default()
    }

    /// IDs of the leases that the objects have.
    fn leases(&self) -> Result<BTreeSet<String>, String> {
        let objects = self.api.list("VaultDynamicSecret", &self.tenant.namespace).map_err(|e| e.to_string())?;
        let ids: BTreeSet<_> = objects
            .iter()
            .filter_map(|object| object["status"]["secretLease"]["id"].as_str())
            .filter(|id| !id.is_empty())
            .map(str::to_owned)
            .collect();
        if ids.len() == LEASES { Ok(ids) } else { Err(format!("{ids:?}")) }
    }

    fn restarts(&self) -> i64 {
        self.tenant.generation("Deployment", "app") - 1
    }

    /// Breaks something so that another node becomes active, writes to that one, and waits until all is well.
    fn fail_over(&mut self, fault: &'static str, break_it: impl FnOnce(&Self, usize)) -> (usize, Cost) {
        let former = self.raft.await_active(None).expect("an active node");
        self.history.take_writes();
        let marker = self.cluster.vault_audit_marker().expect("the audit log");
        let (started, at) = (Instant::now(), Utc::now());
        break_it(self, former);
        self.raft.await_active(Some(former)).expect("another active node");
        let election = started.elapsed();
        // One that is cut off takes itself for the active one a little longer.
        eventually("one active node", || self.raft.active().ok_or("not one"));
        let versions = self.write_all();
        let freshness = self.wait_all();
        let writes = self.history.take_writes();
        let (unread, logins) = self.audited(marker, at);
        let cost = Cost { fault, election, unread, freshness, logins, versions, writes };
        println!("{cost}");
        self.history.assert_good();
        (former, cost)
    }

    /// The longest time that an object was not read in, and successful logins.
    fn audited(&self, since: Marker, started: DateTime<Utc>) -> (Duration, usize) {
        let (entries, _) = self.cluster.vault_audit_since(since).expect("the audit log");
        let good = || entries.iter().filter(|entry| entry.kind == "response" && entry.error.is_empty());
        let mut reads: BTreeMap<&str, Vec<DateTime<Utc>>> = BTreeMap::new();
        let prefix = format!("secret/data/{}/", self.tenant.namespace);
        for entry in good().filter(|entry| entry.operation == "read" && entry.path.starts_with(&prefix)) {
            reads.entry(&entry.path).or_default().push(entry.time.parse().expect("a time"));
        }
        let gaps = reads.values_mut().flat_map(|times| {
            times.push(started);
            times.sort();
            times.windows(2).map(|pair| (pair[1] - pair[0]).to_std().unwrap_or_default()).collect::<Vec<_>>()
        });
        let unread = gaps.max().unwrap_or_default();
        let logins: BTreeSet<_> =
            good().filter(|e| e.path == "auth/kubernetes/login").map(|e| e.request_id.clone()).collect();
        (unread, logins.len())
    }
}

fn three_nodes() -> Cluster {
    own(Options { vault: VaultStorage::RaftOfThree, ..Options::default() })
}

#[test]
fn another_node_becomes_active_and_nothing_is_lost() {
    let cluster = three_nodes();
    let raft = cluster.raft().expect("three nodes");
    let tenant = Tenant::at(&cluster, "failover", &raft.balancer(), None);
    let Some(mut fleet) = Fleet::create(&cluster, raft, &tenant) else { return };
    let operator = tenant.operator(&NO_ELECTION);
    fleet.wait_all();
    let leases = eventually("all leases", || fleet.leases());
    assert_eq!(fleet.restarts(), 0);

    let mut costs = Vec::new();
    let (killed, cost) = fleet.fail_over("killed", |fleet, node| {
        fleet.cluster.kill(Process::RaftNode(node)).expect("it is killed");
    });
    costs.push(cost);
    cluster.start_again(Process::RaftNode(killed)).expect("it starts");
    raft.unseal(killed).expect("it is unsealed");

    let (_, cost) = fleet.fail_over("stepped down", |fleet, _| {
        fleet.cluster.vault("PUT", "sys/step-down", None).expect("it steps down");
    });
    costs.push(cost);

    let (_, cost) = fleet.fail_over("cut off", |fleet, node| fleet.raft.cut_off(node));
    costs.push(cost);
    raft.heal();

    eventually("all are synced", || {
        let objects = [tenant.list("vaultstaticsecrets"), tenant.list("vaultdynamicsecrets")].concat();
        let is_ready = |object: &&Value| {
            let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        };
        let ready = objects.iter().filter(is_ready).count();
        if ready == objects.len() { Ok(()) } else { Err(format!("{ready} of {}", objects.len())) }
    });
    assert_eq!(fleet.leases().expect("all leases"), leases, "none is replaced");
    for n in 0..LEASES {
        let value = |key| tenant.value(&format!("db{n}"), key).expect("a value");
        assert!(fleet.database.accepts(&json!({ "username": value("username"), "password": value("password") })));
    }
    assert_eq!(fleet.restarts(), 0, "an outage restarts nothing");
    fleet.history.assert_good();
    let changing = fleet.names.len() - STEADY;
    for cost in &costs {
        assert!(cost.freshness < MOST_FRESHNESS, "{cost}");
        assert!((changing..=cost.versions).contains(&cost.writes), "each change is written once: {cost}");
    }
    assert!(costs.iter().map(|cost| cost.logins).sum::<usize>() <= 2, "the tokens outlive the active node");
    tenant.assert_nothing_leaked(&operator, &["failover-hunter2"]);
}

#[test]
fn a_node_that_is_behind_moves_no_secret_back() {
    if lacks(Server::Vault, "standbys that answer reads in its Community Edition") {
        return;
    }
    let cluster = three_nodes();
    let raft = cluster.raft().expect("three nodes");
    let tenant = Tenant::at(&cluster, "behind", &raft.balancer(), None);
    let names: Vec<String> = (0..20).map(|n| format!("s{n:02}")).collect();
    names.iter().for_each(|name| tenant.put(name, json!({ "number": "1" })));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let api = KubeClient::of(&cluster);
    let mut history = History::of(&tenant, &api);
    let active = raft.await_active(None).expect("an active node");
    let (behind, up_to_date) = ((active + 1) % RAFT_NODES, [active, (active + 2) % RAFT_NODES]);
    let wait_caught_up = || {
        let path = format!("secret/data/{}", tenant.path("s19"));
        eventually("the node has caught up", || match raft.ask_with(behind, "GET", &path, cluster.vault_token()) {
            Ok((200, answer)) if answer["data"]["data"]["number"] == "1" => Ok(()),
            other => Err(format!("{other:?}")),
        });
    };
    wait_caught_up();

    // It does not know a token that is given now.
    raft.cut_off(behind);
    let logins = Count::start(&tenant);
    let operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    let objects = names.iter().map(|name| {
        let targets = if name == "s00" { targets.clone() } else { json!([]) };
        tenant.static_secret(name, json!({ "rolloutRestartTargets": targets }))
    });
    api.create_all(objects.collect());
    names.iter().for_each(|name| tenant.wait_synced(name));
    std::thread::sleep(Duration::from_secs(10));
    assert!(!operator.log().contains("permission denied"), "{}", operator.log());
    assert_eq!(logins.logins(), 1);
    raft.heal();

    // A node that is cut off answers without knowing that it is behind: no connection leads to it for ever.
    tenant.put("s19", json!({ "number": "1" }));
    wait_caught_up();
    raft.lead_clients_to(&[behind]);
    raft.end_connections_of_clients();
    names.iter().for_each(|name| tenant.wait_synced(name));
    raft.cut_off(behind);
    raft.lead_clients_to(&up_to_date);
    tenant.put("s00", json!({ "number": "2" }));
    tenant.wait_value("s00", "number", "2");
    eventually("a restart", || match tenant.generation("Deployment", "app") {
        2 => Ok(()),
        found => Err(format!("generation {found}")),
    });
    tenant.wait_synced("s00");

    raft.lead_clients_to(&[behind]);
    raft.end_connections_of_clients();
    tenant.wait_failure("s00", "VaultClientError", &["an older version", "version 1", "version 2"]);
    history.assert_good();

    // Connections to the node that is behind are given up, until one leads to another node.
    raft.lead_clients_to(&[behind, active, behind]);
    tenant.wait_synced("s00");
    tenant.put("s00", json!({ "number": "3" }));
    tenant.wait_value("s00", "number", "3");
    raft.heal();
    history.assert_good();
    eventually("one restart for each change", || match tenant.generation("Deployment", "app") {
        3 => Ok(()),
        found => Err(format!("generation {found}")),
    });
}
