//! Two hundred leases, and a restart of the operator: with a stored client nothing happens, and without one each lease
//! is replaced once, in the time that is left to its token.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use test_support::audit::Count;
use test_support::engines::aws::AwsEngine;
use test_support::kube_client::KubeClient;
use test_support::{NO_ELECTION, Tenant, eventually};

const OBJECTS: usize = 200;
/// Every so many objects have a Deployment to restart.
const WITH_DEPLOYMENT: usize = 20;
/// What the token of the login has left when the operator is killed, at the most.
const TOKEN_SECONDS: i64 = 40;
const STORED: [&str; 2] = [NO_ELECTION[0], "--client-cache-persistence-model=direct-unencrypted"];

struct Fleet<'a> {
    tenant: &'a Tenant<'a>,
    api: KubeClient,
}

/// What the operator has done since its start.
struct Work {
    /// When leases were asked for.
    issued: Vec<DateTime<Utc>>,
    renewals: usize,
    secrets: usize,
    statuses: usize,
    restarts: usize,
    logins: usize,
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { issued, renewals, secrets, statuses, restarts, logins } = self;
        let issued = issued.len();
        write!(
            f,
            "{issued} leases issued, {renewals} renewed, {secrets} Secrets and {statuses} statuses written, \
             {restarts} restarts, {logins} logins"
        )
    }
}

impl Fleet<'_> {
    fn create(&self) {
        let mut deployment = self.tenant.workload("Deployment", "");
        deployment["spec"]["replicas"] = json!(0);
        let deployments = (0..OBJECTS).step_by(WITH_DEPLOYMENT).map(|i| {
            deployment["metadata"]["name"] = json!(name(i));
            deployment.clone()
        });
        self.api.create_all(deployments.collect());
        let objects = (0..OBJECTS).map(|i| {
            let targets = if i.is_multiple_of(WITH_DEPLOYMENT) {
                json!([{ "kind": "Deployment", "name": name(i) }])
            } else {
                json!([])
            };
            let spec = json!({
                "vaultAuthRef": "app", "mount": self.mount(), "path": "creds/app",
                "destination": { "name": name(i), "create": true }, "rolloutRestartTargets": targets,
            });
            self.tenant.object("VaultDynamicSecret", &name(i), spec)
        });
        self.api.create_all(objects.collect());
    }

    fn mount(&self) -> String {
        format!("{}-aws", self.tenant.namespace)
    }

    fn objects(&self) -> Vec<Value> {
        self.api.list("VaultDynamicSecret", &self.tenant.namespace).expect("a list")
    }

    /// IDs of the leases in the statuses, if all objects are synced.
    fn leases(&self) -> Result<Vec<String>, String> {
        let objects = self.objects();
        let is_synced = |object: &&Value| {
            let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
            let ready = conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
            ready && object["status"]["pendingLease"].is_null()
        };
        let ids = objects.iter().filter(is_synced).filter_map(|object| object["status"]["secretLease"]["id"].as_str());
        let ids: Vec<String> = ids.map(str::to_owned).collect();
        if ids.len() == OBJECTS { Ok(ids) } else { Err(format!("{} of {OBJECTS}", ids.len())) }
    }

    /// What was done since then.
    fn work(&self, count: &Count<'_>, vault: testenv::Marker) -> Work {
        let requests = count.requests();
        let writes = |resource: &str, subresource: &str| {
            let is_it = |e: &&testenv::AuditEvent| {
                e.resource == resource && e.subresource == subresource && e.namespace == self.tenant.namespace
            };
            requests.iter().filter(|e| e.is_write() && e.code < 300).filter(is_it).count()
        };
        let (entries, _) = self.tenant.cluster.vault_audit_since(vault).expect("the audit log");
        let creds = format!("{}/creds/app", self.mount());
        let holder = format!("kubernetes-{}-app", self.tenant.namespace);
        let requests = || entries.iter().filter(|entry| entry.kind == "request" && entry.display_name == holder);
        let issued = requests().filter(|entry| entry.path == creds);
        Work {
            renewals: requests().filter(|entry| entry.path == "sys/leases/renew").count(),
            issued: issued.map(|entry| entry.time.parse().expect("a time")).collect(),
            secrets: writes("secrets", ""),
            statuses: writes("vaultdynamicsecrets", "status"),
            restarts: writes("deployments", ""),
            logins: count.logins(),
        }
    }
}

fn name(i: usize) -> String {
    format!("d{i:03}")
}

#[test]
fn a_restart_keeps_two_hundred_leases_as_long_as_their_token_lives() {
    let tenant = Tenant::new("leasefleet");
    let fleet = Fleet { tenant: &tenant, api: KubeClient::of(tenant.cluster) };
    let Some(engine) = AwsEngine::mount(tenant.cluster, &fleet.mount()) else { return };
    tenant.allow_leases(&[&fleet.mount()]);
    engine.user_role("app", 3600, 7200);
    let role = format!("auth/kubernetes/role/{}", tenant.namespace);
    let ttl = json!({ "token_ttl": TOKEN_SECONDS, "token_max_ttl": "1h" });
    tenant.cluster.vault("POST", &role, Some(ttl)).expect("a role");
    let mut operator = tenant.operator(&STORED);
    fleet.create();
    eventually("all objects are synced", || fleet.leases());
    let before = fleet.leases().expect("all of them");
    eventually("a stored client", || {
        let secrets = fleet.api.list("Secret", &tenant.operator_namespace).expect("a list");
        let is_stored = |secret: &Value| secret["metadata"]["name"].to_string().contains("vso-cc-kubernetes");
        if secrets.iter().any(is_stored) { Ok(()) } else { Err("none") }
    });

    operator.kill();
    let (count, vault) = (Count::start(&tenant), tenant.cluster.vault_audit_marker().expect("the audit log"));
    operator = tenant.operator(&STORED);
    std::thread::sleep(Duration::from_secs(5));
    let stored = fleet.work(&count, vault);
    operator.kill();
    println!("with a stored client: {stored}");
    assert_eq!((stored.issued.len(), stored.secrets, stored.restarts, stored.logins), (0, 0, 0, 0));
    // The end of the token is written now and then, and it is a short one here.
    assert!(stored.statuses <= OBJECTS, "{}", stored.statuses);
    assert_eq!(fleet.leases().expect("all of them"), before);

    let (count, vault) = (Count::start(&tenant), tenant.cluster.vault_audit_marker().expect("the audit log"));
    let killed = Utc::now();
    let ends = fleet.objects().iter().filter_map(|object| object["status"]["vaultTokenExpiration"].as_i64()).max();
    let left = ends.expect("the end of the token") - killed.timestamp();
    let _operator = tenant.operator(&NO_ELECTION);
    let started = Instant::now();
    eventually("all leases are replaced", || {
        let leases = fleet.leases()?;
        let kept = leases.iter().filter(|id| before.contains(id)).count();
        if kept == 0 { Ok(()) } else { Err(format!("{kept} are kept after {:?}", started.elapsed())) }
    });
    let work = fleet.work(&count, vault);
    let mut delays: Vec<f64> = work.issued.iter().map(|at| (*at - killed).as_seconds_f64()).collect();
    delays.sort_by(f64::total_cmp);
    let at = |part: usize| delays[(delays.len() - 1) * part / 4];
    println!(
        "without one: {work}; the token had {left} s left, quartiles of the replacements after {:.1}, {:.1}, {:.1}, \
         {:.1}, {:.1} s",
        at(0),
        at(1),
        at(2),
        at(3),
        at(4)
    );
    assert_eq!((delays.len(), work.secrets, work.restarts), (OBJECTS, OBJECTS, OBJECTS / WITH_DEPLOYMENT));
    // One renewal finds out whether the lease is still there; a rotation is announced, and done; a restart
    // comes after its window.
    assert!(work.renewals <= OBJECTS && work.statuses <= 3 * OBJECTS + work.restarts, "{work}");
    assert_eq!(work.logins, 1);
    assert!(at(3) - at(1) > 0.15 * left as f64, "half of them within {:.1} s", at(3) - at(1));
}
