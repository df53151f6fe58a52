//! An engine that takes its time: what it makes is not thrown away.

use serde_json::json;

use test_support::{NO_ELECTION, Tenant, eventually};

use super::Fixture;

/// A run of more than five seconds is slow, and is asked to end when what its object refers to changes.
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
    let requests = || {
        let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
        entries.iter().filter(|entry| entry.kind == "request" && entry.path == creds).count()
    };
    eventually("the credentials are asked for", || if requests() > 0 { Ok(()) } else { Err("not yet") });
    // The object is due again; login and credentials stay those that were asked for.
    tenant.apply(&tenant.auth("app", json!({ "allowedNamespaces": ["*"] })));
    let lease = rig.wait_lease("db", "");
    rig.wait_synced("db");
    rig.restarts.several_refreshes();
    assert_eq!((requests(), rig.database.lease_ids("app")), (1, vec![lease]));
    rig.wait_credentials("db", &json!({}));
}
