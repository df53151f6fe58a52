//! An engine that takes its time: what it makes is not thrown away.

use serde_json::json;

use test_support::{NO_ELECTION, Tenant, eventually};

use super::{Fixture, KIND};

/// A run of more than five seconds is slow, and is asked to end when the object changes.
const SECONDS: u64 = 12;

#[test]
fn credentials_that_take_long_are_asked_for_once() {
    let tenant = Tenant::new("leaseslow");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role_that_takes(SECONDS, "app", 600, 3600);
    let _operator = tenant.operator(&NO_ELECTION);
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let creds = rig.database.creds("app");
    tenant.apply(&rig.object("db", &creds, json!({})));
    eventually("the credentials are asked for", || {
        let (entries, _) = tenant.cluster.vault_audit_since(marker).map_err(|error| error.to_string())?;
        let is_asked = entries.iter().any(|entry| entry.path == creds);
        if is_asked { Ok(()) } else { Err("not yet".to_owned()) }
    });
    // The object is due again; what is asked for stays the same.
    rig.restarts.patch(KIND, "db", json!({ "metadata": { "labels": { "team": "a" } } }));
    let lease = rig.wait_lease("db", "");
    rig.wait_synced("db");
    rig.restarts.several_refreshes();
    assert_eq!(rig.database.lease_ids("app"), [lease]);
    rig.wait_credentials("db", &json!({}));
}
