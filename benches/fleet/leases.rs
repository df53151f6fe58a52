//! What leases cost: 1,000 of one login with a TTL of a minute, their renewals counted in Vault's audit log, and a
//! rotation of all that the operator is killed in.
//!
//! The engine is `aws`, with the IAM of the tests: it makes a user in two thirds of the time that PostgreSQL takes, and
//! nothing but Vault works for a renewal, while each one of a user of PostgreSQL changes a role in the database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use testenv::{Marker, VaultAuditEntry};

use crate::process::{Usage, show};
use crate::{since, spread};
use test_support::audit::Count;
use test_support::engines::aws::AwsEngine;
use test_support::engines::lease_ids;
use test_support::kube_client::KubeClient;
use test_support::{Operator, Tenant};

/// TTL of the leases.
const LEASE_SECONDS: u64 = 60;
/// Until each lease was renewed once, at random times.
const WARM: Duration = Duration::from_secs(LEASE_SECONDS);
/// How long renewals are counted: about four of each lease.
const WINDOW: Duration = Duration::from_secs(3 * LEASE_SECONDS);
/// Each operator starts where the one before has ended, with its login.
const ARGUMENTS: [&str; 2] = ["--leader-elect=false", "--client-cache-persistence-model=direct-unencrypted"];
const ROLES: [&str; 2] = ["first", "second"];

pub struct Bench<'a> {
    tenant: &'a Tenant<'a>,
    api: KubeClient,
    engine: AwsEngine<'a>,
    objects: usize,
}

impl<'a> Bench<'a> {
    pub fn new(tenant: &'a Tenant<'a>, api: KubeClient, objects: usize) -> Self {
        let engine = AwsEngine::mount(tenant.cluster, "aws").expect("Vault has the engine");
        for role in ROLES {
            engine.user_role(role, LEASE_SECONDS, 86400);
        }
        tenant.allow_leases(&["aws"]);
        Self { tenant, api, engine, objects }
    }

    pub fn run(&self) {
        println!("{} leases of {LEASE_SECONDS} s, engine aws, default renewalPercent", self.objects);
        let mut operator = self.first_leases();
        std::thread::sleep(WARM);
        self.renewals(&operator);
        show("memory", Usage::of(operator.pid()).memory());
        self.crash(&mut operator);
    }

    fn first_leases(&self) -> Operator {
        let objects = (0..self.objects).map(|i| {
            let name = name(i);
            let spec = json!({
                "vaultAuthRef": "app", "mount": "aws", "path": format!("creds/{}", ROLES[0]),
                "destination": { "name": name, "create": true },
            });
            self.tenant.object("VaultDynamicSecret", &name, spec)
        });
        self.api.create_all(objects.collect());
        let started = Instant::now();
        let operator = self.tenant.operator(&ARGUMENTS);
        self.wait_synced(ROLES[0], self.objects);
        show("start until all have credentials", format!("{:.1} s", started.elapsed().as_secs_f64()));
        show("CPU for it", format!("{:.2} s", Usage::of(operator.pid()).cpu));
        operator
    }

    fn renewals(&self, operator: &Operator) {
        let (count, vault) = (Count::start(self.tenant), self.marker());
        let waits = QueueWaits::of(operator);
        let (begin, before) = (Utc::now(), Usage::of(operator.pid()));
        std::thread::sleep(WINDOW);
        let (end, after) = (Utc::now(), Usage::of(operator.pid()));
        let waits = QueueWaits::of(operator).since(&waits);
        // The audit logs are written a moment later, and not at the same time.
        let in_window = |time: &str| (begin..end).contains(&time.parse::<DateTime<Utc>>().expect("a time"));
        let requests: Vec<_> = count.requests().into_iter().filter(|request| in_window(&request.received)).collect();
        let entries: Vec<_> = self.of_operator(vault).into_iter().filter(|entry| in_window(&entry.time)).collect();

        let renewals: Vec<&VaultAuditEntry> =
            entries.iter().filter(|entry| entry.kind == "request" && entry.path == "sys/leases/renew").collect();
        let mut times = BTreeMap::<&str, Vec<DateTime<Utc>>>::new();
        for renewal in &renewals {
            let lease = renewal.raw["request"]["data"]["lease_id"].as_str().expect("a lease");
            times.entry(lease).or_default().push(time(renewal));
        }
        let total = renewals.len();
        show("renewals, leases in that window", format!("{total}, {}", times.len()));
        let pauses = times.values().flat_map(|times| times.windows(2).map(|pair| since(pair[0], pair[1])));
        let pauses: Vec<f64> = pauses.collect();
        let left = pauses.iter().copied().fold(f64::MAX, |left, pause| left.min(LEASE_SECONDS as f64 - pause));
        show("seconds between two renewals of a lease", spread(pauses));
        show("seconds that were left of a lease, at the least", format!("{left:.1}"));
        show("renewals in a second", spread(per_second(&renewals)));
        show("from due to its turn", waits.describe());
        let answers: BTreeMap<&str, DateTime<Utc>> = entries
            .iter()
            .filter(|entry| entry.kind == "response")
            .map(|entry| (entry.request_id.as_str(), time(entry)))
            .collect();
        let took = renewals
            .iter()
            .filter_map(|renewal| Some(since(time(renewal), *answers.get(renewal.request_id.as_str())?) * 1000.0));
        show("milliseconds in Vault", spread(took.collect()));
        let per_renewal = |n: usize| format!("{:.3}", n as f64 / total as f64);
        let asked = entries.iter().filter(|entry| entry.kind == "request").count();
        show("requests to Vault per renewal", per_renewal(asked));
        let writes: Vec<_> = requests.iter().filter(|request| request.is_write()).collect();
        let mut kinds = BTreeMap::<String, usize>::new();
        for write in &writes {
            *kinds.entry(format!("{} {}/{}", write.verb, write.resource, write.subresource)).or_default() += 1;
        }
        let what = "writes, other requests to Kubernetes per renewal";
        show(what, format!("{}, {}; {kinds:?}", per_renewal(writes.len()), per_renewal(requests.len() - writes.len())));
        let cpu = (after.cpu - before.cpu) / total as f64 * 1000.0;
        show("CPU per 1,000 renewals", format!("{cpu:.3} s"));
        println!("  VSO's way with a renewal: a request to Vault, an update of the status, an event");
    }

    /// Asks for other credentials for all objects, and kills the operator when about half of them have them.
    fn crash(&self, operator: &mut Operator) {
        let [_, role] = ROLES;
        let (count, vault) = (Count::start(self.tenant), self.marker());
        let killed = std::thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0..self.objects {
                    let path = json!({ "spec": { "path": format!("creds/{role}") } });
                    self.api.patch("VaultDynamicSecret", &self.tenant.namespace, &name(i), &path).expect("patched");
                }
            });
            self.wait_synced(role, self.objects / 2);
            operator.kill();
            self.synced(role)
        });
        let pending = self.list().iter().filter(|object| object["status"]["pendingLease"].is_object()).count();
        show("kill -9: rotated before, and announced", format!("{killed} of {}, {pending}", self.objects));
        let started = Instant::now();
        *operator = self.tenant.operator(&ARGUMENTS);
        self.wait_synced(role, self.objects);
        show("kill -9: start until all are rotated", format!("{:.1} s", started.elapsed().as_secs_f64()));
        let entries = self.of_operator(vault);
        let asked = |path: &str| entries.iter().filter(|e| e.kind == "request" && e.path == path).count();
        let (issued, revoked) = (asked(&self.engine.creds(role)), asked("sys/leases/revoke"));
        let lost = issued - revoked - self.objects;
        show("kill -9: leases issued, revoked, of which no status tells", format!("{issued}, {revoked}, {lost}"));
        let is_put = |e: &testenv::AuditEvent| e.resource == "secrets" && e.name.starts_with('d') && e.is_write();
        let puts = count.requests().into_iter().filter(|event| is_put(event) && event.code < 300).count();
        show("kill -9: Secrets written", puts);
        // The old ones have ended by then, and those that are in a status were renewed.
        std::thread::sleep(Duration::from_secs(LEASE_SECONDS + LEASE_SECONDS / 2));
        let alive = lease_ids(self.tenant.cluster, &self.engine.creds(role)).expect("a list of leases");
        let alive: BTreeSet<String> = alive.into_iter().collect();
        let known: BTreeSet<String> = self.list().iter().map(lease).collect();
        let (orphans, dead) = (alive.difference(&known).count(), known.difference(&alive).count());
        show("kill -9: leases of no object, objects without a lease", format!("{orphans}, {dead}"));
    }

    fn list(&self) -> Vec<Value> {
        self.api.list("VaultDynamicSecret", &self.tenant.namespace).expect("a list")
    }

    /// How many objects have a lease of this role in their status.
    fn synced(&self, role: &str) -> usize {
        let creds = format!("{}/", self.engine.creds(role));
        self.list().iter().filter(|object| lease(object).starts_with(&creds)).count()
    }

    fn wait_synced(&self, role: &str, objects: usize) {
        while self.synced(role) < objects {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn marker(&self) -> Marker {
        self.tenant.cluster.vault_audit_marker().expect("the audit log")
    }

    /// What the operator has asked Vault since then, and the answers.
    fn of_operator(&self, marker: Marker) -> Vec<VaultAuditEntry> {
        let (entries, _) = self.tenant.cluster.vault_audit_since(marker).expect("the audit log");
        let holder = format!("kubernetes-{}-app", self.tenant.namespace);
        entries.into_iter().filter(|entry| entry.display_name == holder).collect()
    }
}

fn name(i: usize) -> String {
    format!("d{i:05}")
}

fn lease(object: &Value) -> String {
    object["status"]["secretLease"]["id"].as_str().unwrap_or_default().to_owned()
}

fn time(entry: &VaultAuditEntry) -> DateTime<Utc> {
    entry.time.parse().expect("a time")
}

/// How many there were in each second, those in which there were none included.
fn per_second(entries: &[&VaultAuditEntry]) -> Vec<f64> {
    let seconds: Vec<i64> = entries.iter().map(|entry| time(entry).timestamp()).collect();
    let (first, last) = (seconds.iter().min().copied().unwrap_or(0), seconds.iter().max().copied().unwrap_or(0));
    // The first and the last are not whole.
    (first + 1..last).map(|second| seconds.iter().filter(|found| **found == second).count() as f64).collect()
}

/// How many runs waited at most so long for their turn, from when they were due: a histogram.
struct QueueWaits(Vec<(f64, f64)>);

impl QueueWaits {
    fn of(operator: &Operator) -> Self {
        let bucket = |line: &str| {
            let labels = line.strip_prefix("workqueue_queue_duration_seconds_bucket{")?;
            let le = labels.split("le=\"").nth(1)?.split('"').next()?;
            let ours = labels.contains("name=\"vaultdynamicsecret\"");
            ours.then_some((le.parse().ok()?, line.rsplit(' ').next()?.parse().ok()?))
        };
        Self(operator.metrics().lines().filter_map(bucket).collect())
    }

    fn since(self, before: &Self) -> Self {
        let count = |le: f64| before.0.iter().find(|(found, _)| *found == le).map_or(0.0, |(_, count)| *count);
        Self(self.0.iter().map(|(le, found)| (*le, found - count(*le))).collect())
    }

    fn describe(&self) -> String {
        let total = self.0.iter().map(|(_, count)| *count).fold(0.0, f64::max);
        let at = |part: f64| {
            let bound = self.0.iter().find(|(_, count)| *count >= total * part).map_or(f64::INFINITY, |(le, _)| *le);
            format!("{:.0} ms", bound * 1000.0)
        };
        format!("{total} runs; half within {}, 99 % within {}, all within {}", at(0.5), at(0.99), at(1.0))
    }
}
