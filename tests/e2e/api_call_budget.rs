//! What it costs: a new object, the steady state, a start. Counted in the audit logs of the API server and of Vault.
//!
//! Not counted with the objects: the Lease, and the watches with their lists, which belong to the process.

use std::time::Duration;

use serde_json::json;
use testenv::AuditEvent;

use test_support::audit::{Count, describe};
use test_support::{Tenant, eventually};

/// A refresh that does not come in the time of a test.
const NEVER: &str = "12h";
/// Shortest pause between two reads of a path that is refreshed every 10 s: jitter takes off a fifth at most.
const SHORTEST: Duration = Duration::from_millis(7900);

fn writes(events: &[AuditEvent]) -> usize {
    events.iter().filter(|e| e.is_write()).count()
}

/// Waits until login and connection are settled, so that what is counted after it is about the objects of the test.
fn settled(tenant: &Tenant) {
    tenant.wait_event("app", "Accepted", "");
    tenant.wait_event("vault", "Accepted", "");
}

/// Waits until each of the tenant's paths has been read so often since the count began.
fn wait_reads(count: &Count, paths: usize, times: usize) {
    eventually(&format!("{times} reads of each of {paths} paths"), || {
        let reads: Vec<usize> = count.reads().values().map(Vec::len).collect();
        if reads.len() == paths && reads.iter().all(|n| *n >= times) { Ok(()) } else { Err(format!("{reads:?}")) }
    });
}

/// Fails if two reads of a path are closer than the interval allows.
#[track_caller]
fn assert_apart(count: &Count) {
    for (path, times) in count.reads() {
        for pair in times.windows(2) {
            let pause = (pair[1] - pair[0]).to_std().unwrap_or_default();
            assert!(pause >= SHORTEST, "{path} was read again after {pause:?}");
        }
    }
}

#[test]
fn a_new_object_costs_three_writes_no_read_and_one_read_of_vault() {
    let tenant = Tenant::new("first");
    for name in ["a", "b"] {
        tenant.put(name, json!({ "password": "one" }));
    }
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&[]);
    settled(&tenant);

    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    for (name, logins) in [("a", 1), ("b", 0)] {
        let count = Count::start(&tenant);
        tenant.apply(&tenant.static_secret(name, json!({ "refreshAfter": NEVER, "rolloutRestartTargets": targets })));
        tenant.wait_value(name, "password", "one");
        tenant.wait_event(name, "SecretSynced", "");
        // What comes back through the watches, the own writes, has been looked at by now.
        std::thread::sleep(Duration::from_secs(3));
        let requests = count.requests();
        assert!(writes(&requests) <= 3, "{}", describe(&requests));
        assert_eq!(writes(&requests), requests.len(), "no reads: {}", describe(&requests));
        assert_eq!((count.tokens(), count.logins()), (logins, logins), "one login for both objects");
        let reads = count.reads();
        assert_eq!(reads.values().map(Vec::len).collect::<Vec<_>>(), [1], "{reads:?}");
    }
}

#[test]
fn while_nothing_changes_kubernetes_is_asked_nothing_and_vault_once_per_interval() {
    let tenant = Tenant::new("steady");
    let names = ["a", "b", "c"];
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&[]);
    settled(&tenant);
    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    for name in names {
        tenant.put(name, json!({ "password": "one" }));
        tenant.apply(&tenant.static_secret(name, json!({ "refreshAfter": "10s", "rolloutRestartTargets": targets })));
    }
    for name in names {
        tenant.wait_event(name, "SecretSynced", "");
    }
    // Once more with a second content, so that restarts, their events and their condition are part of what is steady.
    for name in names {
        tenant.put(name, json!({ "password": "two" }));
    }
    for name in names {
        tenant.wait_condition("vaultstaticsecret", name, "RolloutRestart", "True", "");
    }
    std::thread::sleep(Duration::from_secs(3));

    let count = Count::start(&tenant);
    wait_reads(&count, names.len(), 4);
    assert_apart(&count);
    let requests = count.requests();
    assert!(requests.is_empty(), "{}", describe(&requests));
    assert_eq!((count.tokens(), count.logins()), (0, 0));
}

#[test]
fn objects_that_share_path_and_login_share_each_read() {
    let tenant = Tenant::new("shared");
    tenant.put("db", json!({ "password": "one" }));
    let names: Vec<String> = (0..6).map(|i| format!("db-{i}")).collect();
    let _operator = tenant.operator(&[]);
    for name in &names {
        tenant.apply(&tenant.static_secret(name, json!({ "refreshAfter": "10s", "path": tenant.path("db") })));
    }
    for name in &names {
        tenant.wait_event(name, "SecretSynced", "");
    }
    let count = Count::start(&tenant);
    wait_reads(&count, 1, 4);
    assert_apart(&count);
    assert!(count.requests().is_empty(), "{}", describe(&count.requests()));

    // The one read serves all of them.
    tenant.put("db", json!({ "password": "two" }));
    for name in &names {
        tenant.wait_value(name, "password", "two");
    }
    assert_apart(&count);
}

#[test]
fn a_start_writes_nothing_and_logs_in_once_per_identity() {
    let tenant = Tenant::new("start");
    let mut second = tenant.auth_spec();
    second["kubernetes"]["tokenExpirationSeconds"] = json!(1200);
    tenant.apply(&tenant.object("VaultAuth", "second", second));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    let names: Vec<String> = (0..20).map(|i| format!("s{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        tenant.put(name, json!({ "password": "one" }));
        let auth = if i % 2 == 0 { "app" } else { "second" };
        let spec = json!({ "refreshAfter": NEVER, "vaultAuthRef": auth, "rolloutRestartTargets": targets });
        tenant.apply(&tenant.static_secret(name, spec));
    }

    // The first start finds all of them waiting: one login per identity.
    let count = Count::start(&tenant);
    let mut operator = tenant.operator(&[]);
    for name in &names {
        tenant.wait_event(name, "SecretSynced", "");
    }
    settled(&tenant);
    assert_eq!((count.tokens(), count.logins()), (2, 2), "two identities");
    wait_reads(&count, names.len(), 1);

    for kill in [true, false] {
        std::thread::sleep(Duration::from_secs(3));
        if kill {
            operator.kill();
        } else {
            operator.terminate();
        }
        let count = Count::start(&tenant);
        operator = tenant.operator(&[]);
        wait_reads(&count, names.len(), 1);
        std::thread::sleep(Duration::from_secs(3));
        let requests = count.requests();
        assert_eq!(writes(&requests), 0, "{}", describe(&requests));
        assert_eq!((count.tokens(), count.logins()), (2, 2), "two identities");
        assert!(count.reads().values().all(|times| times.len() == 1), "{:?}", count.reads());
    }
}

#[test]
fn an_object_without_a_schedule_is_read_once_and_then_when_it_changes() {
    let tenant = Tenant::new("once");
    for name in ["a", "b", "c", "d"] {
        tenant.put(name, json!({ "password": "one" }));
    }
    let _operator = tenant.operator(&[]);
    settled(&tenant);
    let count = Count::start(&tenant);
    let spec = json!({ "hmacSecretData": false, "refreshAfter": null });
    for name in ["a", "b", "c", "d"] {
        tenant.apply(&tenant.static_secret(name, spec.clone()));
        tenant.wait_value(name, "password", "one");
    }
    std::thread::sleep(Duration::from_secs(4));
    let reads = || count.reads().into_values().map(|times| times.len()).collect::<Vec<_>>();
    assert_eq!(reads(), [1, 1, 1, 1]);
    let label = json!({ "destination": { "labels": { "n": "2" } }, "hmacSecretData": false, "refreshAfter": null });
    tenant.apply(&tenant.static_secret("a", label));
    eventually("the label", || match &tenant.get("secret", "a")?["metadata"]["labels"]["n"] {
        found if found == "2" => Ok(()),
        found => anyhow::bail!("{found}"),
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(reads(), [2, 1, 1, 1]);
}
