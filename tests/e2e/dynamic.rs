//! VaultDynamicSecret: leases that are kept, credentials that are replaced before they end, and nothing lost over
//! restarts.

mod adoption;
mod crashes;
mod deletion;
mod engines;
mod faults;
mod fleet;
mod input;
mod instant;
mod last_renewal;
mod leaders;
mod logins;
mod pace;
mod replaced;
mod restarts;
mod revocation;
mod samples;
mod slow;
mod static_roles;
mod unplanned;
mod writes;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testenv::{Cluster, Marker};

use test_support::engines::database::Database;
use test_support::restarts::RestartFixture;
use test_support::{Tenant, eventually};

const KIND: &str = "VaultDynamicSecret";
/// For kubectl, which takes the short name for that of the generator of External Secrets.
pub const RESOURCE: &str = "vaultdynamicsecrets.secrets.hashicorp.com";
/// A lease that is renewed in a test, in seconds. An operator that shares the machine with a dozen others may be late
/// by some seconds.
const SHORT_LEASE_SECONDS: u64 = 15;

/// A Deployment `app` to restart.
fn targets() -> Value {
    json!({ "rolloutRestartTargets": [{ "kind": "Deployment", "name": "app" }] })
}

/// The Deployment `app` to restart, and old leases that are revoked when it has rolled out.
fn retiring() -> Value {
    let mut spec = targets();
    spec["revokeReplacedLeases"] = json!(true);
    spec
}

/// A tenant with a database engine of its own.
struct Fixture<'a> {
    tenant: &'a Tenant<'a>,
    database: Database<'a>,
    restarts: RestartFixture<'a>,
}

impl<'a> Fixture<'a> {
    /// `None`, with a line that says so, where there is no PostgreSQL.
    fn new(cluster: &'a Cluster, tenant: &'a Tenant<'a>) -> Option<Self> {
        let mount = format!("{}-db", tenant.namespace);
        let database = Database::mount(cluster, &mount)?;
        tenant.allow_leases(&[&mount]);
        Some(Self { tenant, database, restarts: RestartFixture::new(tenant) })
    }

    /// A VaultDynamicSecret `name` for a role, with the Secret `name`. Members of `spec` win.
    fn object(&self, name: &str, path: &str, spec: Value) -> Value {
        let (mount, path) = path.split_once('/').expect("a mount and a path");
        let mut full = json!({
            "vaultAuthRef": "app", "mount": mount, "path": path,
            "destination": { "name": name, "create": true },
        });
        json_patch::merge(&mut full, &spec);
        self.tenant.object("VaultDynamicSecret", name, full)
    }

    fn get(&self, name: &str) -> Value {
        self.tenant.get("VaultDynamicSecret", name).expect("the object")
    }

    fn lease_id(&self, name: &str) -> String {
        self.get(name)["status"]["secretLease"]["id"].as_str().unwrap_or("").to_owned()
    }

    /// The credentials in the Secret.
    fn credentials(&self, name: &str) -> Value {
        let [username, password] = self.tenant.values(name, ["username", "password"]).unwrap_or_default();
        json!({ "username": username, "password": password })
    }

    /// Whether PostgreSQL takes what is in the Secret now.
    fn works(&self, name: &str) -> bool {
        self.database.accepts(&self.credentials(name))
    }

    /// Waits until PostgreSQL takes what is in the Secret, and that is not `old`.
    #[track_caller]
    fn wait_credentials(&self, name: &str, old: &Value) -> Value {
        eventually("other credentials that work", || {
            let found = self.credentials(name);
            let is_there = found["username"] != "" && found != *old;
            if is_there && self.database.accepts(&found) { Ok(found) } else { Err("not yet") }
        })
    }

    /// Fails if credentials end within two short leases.
    #[track_caller]
    fn assert_kept(&self, credentials: &Value) {
        let end = Instant::now() + Duration::from_secs(2 * SHORT_LEASE_SECONDS + 1);
        while Instant::now() < end {
            assert!(self.database.accepts(credentials), "the credentials are dead");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until a Deployment was restarted so often.
    #[track_caller]
    fn wait_restarts(&self, deployment: &str, count: i64) {
        eventually(&format!("{count} restarts"), || match self.restarts.restarts(deployment) {
            found if found == count => Ok(()),
            found => Err(found.to_string()),
        });
    }

    /// Waits until a condition has this status and this text in its message.
    #[track_caller]
    fn wait_condition(&self, name: &str, type_: &str, status: &str, text: &str) -> Value {
        self.tenant.wait_condition(KIND, name, type_, status, text)
    }

    /// Waits until an object that failed is synced again, or for the first time.
    #[track_caller]
    fn wait_synced(&self, name: &str) {
        self.wait_condition(name, "SecretSynced", "True", "");
        self.wait_condition(name, "Ready", "True", "");
    }

    /// Requests to a path of Vault since a place in its audit log.
    fn requests(&self, since: Marker, path: &str) -> usize {
        // An entry is written a moment after the answer.
        std::thread::sleep(Duration::from_millis(500));
        let (entries, _) = self.tenant.cluster.vault_audit_since(since).expect("the audit log");
        entries.iter().filter(|entry| entry.kind == "request" && entry.path == path).count()
    }

    /// A place in Vault's audit log.
    fn marker(&self) -> Marker {
        self.tenant.cluster.vault_audit_marker().expect("the audit log")
    }

    /// Waits until an object has a lease other than `old`, and returns its ID.
    #[track_caller]
    fn wait_lease(&self, name: &str, old: &str) -> String {
        eventually("another lease", || match self.lease_id(name) {
            id if id.is_empty() || id == old => Err(self.get(name)["status"].to_string()),
            _ => Ok(()),
        });
        self.lease_id(name)
    }
}

#[test]
fn a_lease_is_renewed_and_at_its_end_new_credentials_come_first() {
    let tenant = Tenant::new("lease");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", SHORT_LEASE_SECONDS, 40);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&[]);
    let targets = json!({ "rolloutRestartTargets": [{ "kind": "Deployment", "name": "app" }] });
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets));

    let first = rig.wait_lease("db", "");
    assert!(rig.database.accepts(&rig.credentials("db")));
    let status = rig.get("db")["status"].clone();
    assert_eq!(status["secretLease"]["duration"], SHORT_LEASE_SECONDS);
    assert_eq!(status["secretLease"]["renewable"], true);
    assert_eq!(status["lastGeneration"], 1);
    assert!(status["vaultClientMeta"]["id"].as_str().is_some_and(|id| id.len() == 64), "{status}");
    assert!(status["pendingLease"].is_null());
    tenant.wait_event("db", "SecretSynced", "sync_reason=\"InitialSync\"");
    let events = tenant.list("events");
    let at_once = |event: &Value| event["message"].as_str().is_some_and(|text| text.contains("horizon=0.0s"));
    assert!(!events.iter().any(at_once), "the horizon is that of the new lease: {events:?}");
    let obtained = status["lastRenewalTime"].as_i64().expect("a time");

    eventually("a renewal", || {
        let status = rig.get("db")["status"].clone();
        if status["lastRenewalTime"].as_i64() > Some(obtained) { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(rig.lease_id("db"), first, "renewed and not replaced");
    assert_eq!(tenant.condition("VaultDynamicSecret", "db", "LeaseRenewal").expect("a condition")["status"], "True");
    assert_eq!(rig.restarts.restarts("app"), 0);

    let old = rig.credentials("db");
    rig.wait_lease("db", &first);
    assert!(rig.database.accepts(&old), "the old credentials are still good when the new ones are there");
    assert!(rig.database.accepts(&rig.credentials("db")));
    eventually("one restart", || match rig.restarts.restarts("app") {
        1 => Ok(()),
        other => Err(format!("{other}")),
    });
    tenant.wait_event("db", "SecretRotated", "sync_reason=\"SecretLeaseRenewalError\"");
}
