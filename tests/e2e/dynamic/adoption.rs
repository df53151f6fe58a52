//! Objects as VSO leaves them behind: their leases are taken over.

use serde_json::json;

use test_support::audit::Count;
use test_support::{NO_ELECTION, Tenant, eventually};

use super::{Fixture, KIND, RESOURCE};

const STORED: [&str; 2] = [NO_ELECTION[0], "--client-cache-persistence-model=direct-unencrypted"];
const FINALIZER: &str = "vaultdynamicsecret.secrets.hashicorp.com/finalizer";

/// Takes away what VSO does not write, and adds what it does.
fn leave_as_vso(rig: &Fixture<'_>) {
    let status = json!({ "status": {
        "vaultTokenExpiration": null, "pendingLease": null, "replacedLeases": null,
        "lastRuntimePodUID": "0d3f8c0e-6f0e-4c9c-8f2c-0d3f8c0e6f0e",
    }});
    rig.restarts.api.patch_status(KIND, &rig.tenant.namespace, "db", &status).expect("a status");
    rig.restarts.patch(KIND, "db", json!({ "metadata": { "finalizers": [FINALIZER] } }));
    rig.restarts.patch("Secret", "db", json!({ "metadata": { "annotations": null } }));
}

#[test]
fn leases_of_vso_are_kept_with_its_stored_client_and_replaced_once_without() {
    let tenant = Tenant::new("leaseadopted");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 3600, 7200);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&STORED);
    let targets = json!({ "rolloutRestartTargets": [{ "kind": "Deployment", "name": "app" }] });
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets));
    let first = rig.wait_lease("db", "");
    rig.wait_synced("db");
    eventually("a stored client", || {
        let secrets = rig.restarts.api.list("Secret", &tenant.operator_namespace).expect("a list");
        let mut names = secrets.iter().map(|secret| secret["metadata"]["name"].to_string());
        if names.any(|name| name.contains("vso-cc-kubernetes")) { Ok(()) } else { Err("none") }
    });
    operator.kill();

    leave_as_vso(&rig);
    let data = rig.restarts.get("Secret", "db")["data"].clone();
    let count = Count::start(&tenant);
    operator = tenant.operator(&STORED);
    rig.restarts.several_refreshes();
    assert_eq!((rig.lease_id("db"), count.logins()), (first.clone(), 0));
    assert_eq!(rig.restarts.get("Secret", "db")["data"], data);
    assert_eq!(rig.database.lease_ids("app"), std::slice::from_ref(&first));
    assert_eq!(rig.restarts.restarts("app"), 0);
    operator.kill();

    // Nothing tells how long the token of the lease lives.
    leave_as_vso(&rig);
    let _operator = tenant.operator(&NO_ELECTION);
    let second = rig.wait_lease("db", &first);
    rig.wait_restarts("app", 1);
    rig.restarts.several_refreshes();
    assert_eq!(rig.lease_id("db"), second, "replaced once");
    assert_eq!(rig.database.lease_ids("app").len(), 2);
    assert_eq!(rig.restarts.restarts("app"), 1);
    tenant.wait_event("db", "SecretRotated", "sync_reason=\"VaultTokenRotated\"");

    tenant.kubectl(&["delete", RESOURCE, "db", "--wait=false"]).expect("it is deleted");
    eventually("the end of the object", || match tenant.get(KIND, "db") {
        Ok(object) => Err(object["metadata"].to_string()),
        Err(_) => Ok(()),
    });
}
