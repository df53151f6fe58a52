//! Faults of the API server and of what is below it.

use std::time::Duration;

use serde_json::json;
use testenv::{Options, Process};

use test_support::{FAST_RETRY, Operator, Tenant, eventually, own};

const GOOD: &str = "api-hunter2";

const LEADS: &str = "leader_election_master_status{name=\"b0d477c0.hashicorp.com\"}";

#[track_caller]
fn wait_leads(operator: &Operator) {
    eventually("the operator leads", || match operator.metric(LEADS) {
        Some(1.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

/// Objects `old` and `changed`, synced, the second with a workload to restart.
fn settle(tenant: &Tenant<'_>) {
    for name in ["old", "changed", "new"] {
        tenant.put(name, json!({ "password": GOOD }));
    }
    let targets = json!({ "rolloutRestartTargets": [{ "kind": "Deployment", "name": "app" }] });
    tenant.apply_all(&[
        tenant.workload("Deployment", "app"),
        tenant.static_secret("old", json!({})),
        tenant.static_secret("changed", targets),
    ]);
    tenant.wait_synced("old");
    tenant.wait_synced("changed");
}

/// After an outage in which `changed` got a new value: everything works, and nothing was done twice.
#[track_caller]
fn check(tenant: &Tenant<'_>, operator: &mut Operator, value: &str, restarts: i64) {
    tenant.wait_value("changed", "password", value);
    // Watches work: what is made and changed now is seen.
    let new = format!("new-{restarts}");
    tenant.apply(&tenant.static_secret(&new, json!({ "path": tenant.path("new"), "refreshAfter": "1h" })));
    tenant.wait_synced(&new);
    tenant.kubectl(&["delete", "secret", &new]).expect("a Secret to delete");
    tenant.wait_value(&new, "password", GOOD);
    tenant.wait_condition("vaultstaticsecret", "changed", "RolloutRestart", "True", "");
    tenant.wait_condition("vaultstaticsecret", "changed", "Ready", "True", "");
    tenant.wait_condition("vaultstaticsecret", "old", "Ready", "True", "");
    eventually("the operator is ready", || operator.ready());
    wait_leads(operator);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(tenant.generation("deployment", "app"), 1 + restarts, "one restart for each change");
}

#[test]
fn an_api_server_that_restarts_or_hangs_loses_nothing() {
    let cluster = own(Options::default());
    let tenant = Tenant::on(&cluster, "api");
    let mut operator = tenant.operator(&FAST_RETRY);
    settle(&tenant);
    let old = tenant.version("secret", "old");

    cluster.stop(Process::ApiServer).expect("it stops");
    tenant.put("changed", json!({ "password": "while it was away" }));
    std::thread::sleep(Duration::from_secs(3));
    cluster.start_again(Process::ApiServer).expect("it starts");
    check(&tenant, &mut operator, "while it was away", 1);

    // Killed right after a change, so that it goes in the middle of what follows.
    tenant.put("changed", json!({ "password": "before the kill" }));
    std::thread::sleep(Duration::from_millis(700));
    cluster.kill(Process::ApiServer).expect("it is killed");
    cluster.start_again(Process::ApiServer).expect("it starts");
    check(&tenant, &mut operator, "before the kill", 2);

    // Longer than a leader may go without renewing.
    cluster.pause(Process::Etcd).expect("etcd is paused");
    tenant.put("changed", json!({ "password": "without etcd" }));
    eventually("the leader steps back", || match operator.metric(LEADS) {
        Some(0.0) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    cluster.resume(Process::Etcd).expect("etcd goes on");
    check(&tenant, &mut operator, "without etcd", 3);

    assert_eq!(tenant.version("secret", "old"), old, "what did not change is not written");
    tenant.assert_nothing_leaked(&operator, &[GOOD, "while it was away", "before the kill", "without etcd"]);
}

#[test]
fn an_operator_that_cannot_reach_the_api_server_goes_on_afterwards() {
    let proxy = test_support::shared().proxy("to-api", test_support::shared().api_server_url()).expect("a proxy");
    let vault = test_support::shared().vault_addr();
    let tenant = Tenant::at(test_support::shared(), "cut", vault, Some(&proxy.url("https")));
    let mut operator = tenant.operator(&FAST_RETRY);
    settle(&tenant);

    proxy.cut().expect("the way is cut");
    tenant.put("changed", json!({ "password": "cut off" }));
    tenant.apply(&tenant.static_secret("meanwhile", json!({ "path": tenant.path("new") })));
    tenant.kubectl(&["delete", "vaultstaticsecret", "old"]).expect("an object to delete");
    std::thread::sleep(Duration::from_secs(20));
    proxy.restore().expect("the way is there");
    tenant.wait_value("meanwhile", "password", GOOD);
    eventually("the Secret of the deleted object stays away", || match tenant.get("secret", "old") {
        Ok(_) => Err("it is there"),
        Err(_) => Ok(()),
    });
    tenant.apply(&tenant.static_secret("old", json!({})));
    check(&tenant, &mut operator, "cut off", 1);

    // Slow and unsteady for a while.
    proxy.add_latency(1500).expect("answers are late");
    tenant.put("changed", json!({ "password": "slow" }));
    check(&tenant, &mut operator, "slow", 2);
    proxy.clear().expect("answers are in time");
    proxy.add_reset(300).expect("connections are reset");
    tenant.put("changed", json!({ "password": "unsteady" }));
    std::thread::sleep(Duration::from_secs(3));
    proxy.clear().expect("connections stay");
    check(&tenant, &mut operator, "unsteady", 3);
    tenant.assert_nothing_leaked(&operator, &[GOOD, "cut off", "unsteady"]);
}

/// Definitions that others have installed may let an object pass that the operator cannot read.
#[test]
fn an_object_that_cannot_be_read_holds_up_no_other() {
    let cluster = own(Options::default());
    let tenant = Tenant::on(&cluster, "misfit");
    let loose = json!([{
        "op": "replace",
        "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    }]);
    let crd = "vaultstaticsecrets.secrets.hashicorp.com";
    tenant.kubectl(&["patch", "crd", crd, "--type=json", "-p", &loose.to_string()]).expect("a definition to patch");
    let mut misfit = tenant.static_secret("misfit", json!({}));
    misfit["spec"]["path"] = json!({ "secret": GOOD });
    eventually("the API server takes it", || tenant.try_apply(&misfit).map(drop).map_err(|error| error.to_string()));

    // In the list of the start.
    tenant.put("app", json!({ "password": GOOD }));
    tenant.apply(&tenant.static_secret("app", json!({})));
    let operator = tenant.operator(&FAST_RETRY);
    tenant.wait_synced("app");
    assert!(operator.log().contains("the object cannot be read"), "it is told");
    // In an event of the watch.
    misfit["spec"]["mount"] = json!(7);
    tenant.apply(&misfit);
    tenant.apply(&tenant.static_secret("later", json!({ "path": tenant.path("app") })));
    tenant.wait_synced("later");
    // Mended, it is served like any other.
    tenant.apply(&tenant.static_secret("misfit", json!({ "path": tenant.path("app") })));
    tenant.wait_synced("misfit");
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}
