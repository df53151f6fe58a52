//! What goes wrong for some is nobody else's problem: other paths of the same Vault, and other Vaults.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use test_support::{Tenant, eventually};

const GOOD: &str = "isolation-hunter2";

/// How often Vault was asked for each path of these mounts.
fn reads(tenant: &Tenant<'_>, marker: testenv::Marker, mounts: &[&str]) -> BTreeMap<String, usize> {
    let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
    let mut counts = BTreeMap::new();
    let reads = entries.into_iter().filter(|e| e.kind == "request" && e.operation == "read");
    for read in reads.filter(|e| mounts.iter().any(|mount| e.path.starts_with(mount))) {
        *counts.entry(read.path).or_default() += 1;
    }
    counts
}

#[test]
fn a_path_that_fails_or_is_throttled_stops_no_other_path() {
    let tenant = Tenant::new("paths");
    let vault = |method: &str, path: &str, body: Value| {
        tenant.cluster.vault(method, path, Some(body)).expect("Vault does it");
    };
    let (failing, throttled) = (format!("db-{}", tenant.namespace), format!("slow-{}", tenant.namespace));
    // Roles without their database: Vault answers each read with 500.
    vault("POST", &format!("sys/mounts/{failing}"), json!({ "type": "database" }));
    vault("POST", &format!("sys/mounts/{throttled}"), json!({ "type": "kv" }));
    for i in 0..6 {
        let role = json!({ "db_name": "gone", "creation_statements": ["x"] });
        vault("POST", &format!("{failing}/roles/{i}"), role);
        vault("POST", &format!("{throttled}/{i}"), json!({ "password": GOOD }));
    }
    let policy = format!("sys/policies/acl/{}", tenant.namespace);
    let own = format!("path \"secret/data/{}/*\" {{ capabilities = [\"read\"] }}", tenant.namespace);
    let more = [&failing, &throttled].map(|mount| format!("path \"{mount}/*\" {{ capabilities = [\"read\"] }}"));
    vault("PUT", &policy, json!({ "policy": format!("{own}\n{}", more.join("\n")) }));
    // So that answers of 429 are in the audit log.
    vault("POST", "sys/quotas/config", json!({ "enable_rate_limit_audit_logging": true }));
    let quota = format!("sys/quotas/rate-limit/{throttled}");
    vault("POST", &quota, json!({ "path": format!("{throttled}/"), "rate": 1, "interval": "3600s" }));
    tenant.put("good", json!({ "password": GOOD }));
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let operator = tenant.operator(&["--backoff-initial-interval=4s", "--backoff-max-interval=4s"]);
    tenant.apply(&tenant.static_secret("good", json!({})));
    tenant.wait_synced("good");
    tenant.wait_condition("vaultconnection", "vault", "Ready", "True", "");
    let (good, connection) = (tenant.version("vaultstaticsecret", "good"), tenant.version("vaultconnection", "vault"));

    let objects = (0..6).flat_map(|i| {
        let spec = |mount: &str, path: String| json!({ "type": "kv-v1", "mount": mount, "path": path });
        let fails = tenant.static_secret(&format!("fails{i}"), spec(&failing, format!("creds/{i}")));
        let waits = tenant.static_secret(&format!("waits{i}"), spec(&throttled, i.to_string()));
        [fails, waits]
    });
    let started = Instant::now();
    tenant.apply_all(&objects.collect::<Vec<_>>());
    tenant.wait_failure("fails0", "VaultClientError", &["HTTP 500", &format!("{failing}/creds/0")]);
    tenant.wait_failure("waits5", "VaultClientError", &["limits the rate", &format!("{throttled}/5")]);
    // Each wait is at least two seconds, so no path is read more often than that.
    let counts = eventually("three tries of each", || {
        let counts = reads(&tenant, marker, &[&failing, &throttled]);
        let tried = counts.values().filter(|n| **n >= 3).count();
        if tried == 12 { Ok(counts) } else { Err(format!("{counts:?}")) }
    });
    let limit = 2 + usize::try_from(started.elapsed().as_secs() / 2).expect("a small number");
    assert!(counts.values().all(|n| *n <= limit), "more than {limit}: {counts:?}");

    assert_eq!(tenant.version("vaultstaticsecret", "good"), good, "it never failed");
    assert_eq!(tenant.version("vaultconnection", "vault"), connection, "this Vault works");
    tenant.put("good", json!({ "password": "new" }));
    tenant.wait_value("good", "password", "new");

    vault("DELETE", &quota, json!(null));
    for name in (0..6).map(|i| format!("waits{i}")) {
        tenant.wait_value(&name, "password", GOOD);
        tenant.wait_synced(&name);
    }
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}
