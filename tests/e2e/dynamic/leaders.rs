//! An operator that leads again after another one has led: what it remembers is not so any more.

use serde_json::json;
use testenv::Stream;

use test_support::{FAST_RETRY, Operator, Tenant, eventually, shared};

use super::{Fixture, KIND};

const LEADS: &str = "leader_election_master_status{name=\"b0d477c0.hashicorp.com\"}";

#[track_caller]
fn wait_leads(operator: &Operator) {
    eventually("it leads", || if operator.metric(LEADS) == Some(1.0) { Ok(()) } else { Err(operator.log()) });
}

#[test]
fn what_another_leader_has_done_is_not_done_again() {
    let proxy = shared().proxy("leaseleader", shared().api_server_url()).expect("a proxy");
    let tenant = Tenant::at(shared(), "leaseleader", shared().vault_addr(), Some(&proxy.url("https")));
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 3600, 7200);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let first = tenant.operator(&FAST_RETRY);
    wait_leads(&first);
    let targets = json!({ "rolloutRestartTargets": [{ "kind": "Deployment", "name": "app" }] });
    tenant.apply(&rig.object("db", &rig.database.creds("app"), targets));
    let old = rig.wait_lease("db", "");
    rig.wait_synced("db");

    let account = "op-vault-secrets-operator-controller-manager";
    let direct = shared().service_account_kubeconfig(&tenant.operator_namespace, account).expect("a kubeconfig");
    let second = tenant.operator(&["--kubeconfig", direct.to_str().expect("UTF-8")]);
    proxy.add_toxic("latency", Stream::Upstream, json!({ "latency": 14_000 })).expect("requests are late");
    wait_leads(&second);
    // It has to have run the object once: then it knows what a change is.
    rig.wait_condition("db", "LeaseRenewal", "True", "Successfully renewed lease");
    rig.restarts.patch(KIND, "db", json!({ "metadata": { "annotations": { "stamp": "1" } } }));
    let new = rig.wait_lease("db", &old);
    rig.wait_restarts("app", 1);
    proxy.clear().expect("requests are in time");
    drop(second);
    wait_leads(&first);
    rig.restarts.several_refreshes();
    assert_eq!((rig.lease_id("db"), rig.restarts.restarts("app")), (new, 1));
    assert!(rig.works("db"));
}
