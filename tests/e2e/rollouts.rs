//! What a target is restarted for within a window is one rollout, and nothing of it is lost.

use serde_json::json;

use test_support::audit::Count;
use test_support::kube_client::decoded;
use test_support::restarts::RestartFixture;
use test_support::{Tenant, eventually};

const MANY: usize = 20;

fn names() -> Vec<String> {
    (0..MANY).map(|n| format!("db-{n}")).collect()
}

/// Many objects that restart one Deployment, all synced with "one".
fn many_of_one_target(rig: &RestartFixture<'_>) {
    rig.tenant.apply(&rig.tenant.workload("Deployment", "app"));
    put(rig, "one");
    for name in names() {
        rig.tenant.apply(&rig.object(&name, &["app"], json!({})));
    }
}

fn put(rig: &RestartFixture<'_>, password: &str) {
    names().iter().for_each(|name| rig.tenant.put(name, json!({ "password": password })));
}

fn wait_recorded(rig: &RestartFixture<'_>, password: &str) {
    names().iter().for_each(|name| rig.wait_recorded(name, password));
}

#[test]
fn many_objects_that_change_together_are_one_rollout_of_their_target() {
    let tenant = Tenant::new("together");
    let rig = RestartFixture::new(&tenant);
    let _operator = tenant.operator(&["--rollout-window=15s"]);
    many_of_one_target(&rig);
    wait_recorded(&rig, "one");
    for (rollouts, password) in [(1, "two"), (2, "three")] {
        let count = Count::start(&tenant);
        put(&rig, password);
        wait_recorded(&rig, password);
        assert_eq!(rig.restarts("app"), rollouts);
        names().iter().for_each(|name| rig.assert_carries("app", name));
        assert_eq!(count.restarts("deployments", "app"), 1);
        let reads = count.reads().values().map(Vec::len).max().unwrap_or_default();
        assert!(reads > 1, "the paths are read on their schedule meanwhile");
    }
    for name in names() {
        tenant.wait_event(&name, "RolloutRestartTriggered", "Deployment app");
    }
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), 2);
}

#[test]
fn without_a_window_many_objects_restart_their_target_in_turn() {
    let tenant = Tenant::new("inturn");
    let rig = RestartFixture::new(&tenant);
    let _operator = tenant.operator(&["--rollout-window=0"]);
    many_of_one_target(&rig);
    wait_recorded(&rig, "one");
    put(&rig, "two");
    wait_recorded(&rig, "two");
    assert_eq!(rig.restarts("app"), i64::try_from(MANY).unwrap());
    names().iter().for_each(|name| rig.assert_carries("app", name));
    let failed = tenant.list("events").into_iter().filter(|event| event["reason"] == "RolloutRestartFailed").count();
    assert_eq!(failed, 0, "none is in conflict with another");
}

#[test]
fn what_is_owed_when_the_process_ends_within_the_window_is_one_rollout_of_the_next() {
    let tenant = Tenant::new("cutwindow");
    let rig = RestartFixture::new(&tenant);
    let mut operator = tenant.operator(&["--leader-elect=false", "--rollout-window=1h"]);
    many_of_one_target(&rig);
    wait_recorded(&rig, "one");
    put(&rig, "two");
    names().iter().for_each(|name| tenant.wait_value(name, "password", "two"));
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), 0, "the window is open");
    operator.kill();
    let _operator = tenant.operator(&["--leader-elect=false", "--rollout-window=15s"]);
    wait_recorded(&rig, "two");
    names().iter().for_each(|name| rig.assert_carries("app", name));
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), 1);
}

#[test]
fn content_that_changes_again_within_the_window_is_restarted_for_as_it_is_then() {
    let tenant = Tenant::new("twice");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    rig.put_kv1("db", "a");
    let _operator = tenant.operator(&["--rollout-window=15s"]);
    tenant.apply(&rig.kv1("db", &["app"]));
    rig.wait_recorded("db", "a");
    rig.put_kv1("db", "b");
    tenant.wait_value("db", "password", "b");
    rig.put_kv1("db", "c");
    rig.wait_recorded("db", "c");
    rig.assert_carries("app", "db");
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), 1);
}

#[test]
fn the_restarts_that_are_due_do_not_wait_for_a_vault_that_does_not_answer() {
    let tenant = Tenant::new("deaf");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    tenant.put("db", json!({ "password": "one" }));
    let _operator = tenant.operator(&["--rollout-window=15s"]);
    tenant.apply(&rig.object("db", &["app"], json!({})));
    rig.wait_recorded("db", "one");
    tenant.put("db", json!({ "password": "two" }));
    tenant.wait_value("db", "password", "two");
    // Nothing is read any more.
    let policy = format!("sys/policies/acl/{}", tenant.namespace);
    tenant.cluster.vault("PUT", &policy, Some(json!({ "policy": "path \"none\" {}" }))).expect("a policy");
    tenant.wait_condition("vaultstaticsecret", "db", "SecretSynced", "False", "");
    eventually("the restart", || match rig.restarts("app") {
        1 => Ok(()),
        other => Err(other.to_string()),
    });
    rig.assert_carries("app", "db");
    eventually("it is recorded", || {
        let recorded = rig.get("VaultStaticSecret", "db")["status"]["secretMAC"].clone();
        if recorded == *rig.mac(&rig.get("Secret", "db")) { Ok(()) } else { Err(recorded.to_string()) }
    });
    let synced = tenant.condition("vaultstaticsecret", "db", "SecretSynced").expect("a condition");
    assert_eq!(synced["status"], "False", "the restart says nothing of the read");
    assert_eq!(decoded(&rig.get("Secret", "db"), "password").as_deref(), Some("two"));
}

#[test]
fn a_paused_target_gets_one_rollout_for_all_when_it_is_resumed() {
    let tenant = Tenant::new("pausedmany");
    let rig = RestartFixture::new(&tenant);
    let _operator =
        tenant.operator(&["--rollout-window=2s", "--backoff-initial-interval=1s", "--backoff-max-interval=3s"]);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let objects = ["a", "b", "c"];
    let put = |password: &str| objects.iter().for_each(|name| tenant.put(name, json!({ "password": password })));
    put("one");
    objects.iter().for_each(|name| tenant.apply(&rig.object(name, &["app"], json!({}))));
    objects.iter().for_each(|name| rig.wait_recorded(name, "one"));
    rig.patch("Deployment", "app", json!({ "spec": { "paused": true } }));
    let before = rig.restarts("app");
    put("two");
    for name in objects {
        tenant.wait_condition("vaultstaticsecret", name, "RolloutRestart", "False", "paused");
    }
    assert_eq!(rig.restarts("app"), before, "nothing is written to it");
    rig.patch("Deployment", "app", json!({ "spec": { "paused": false } }));
    objects.iter().for_each(|name| rig.wait_recorded(name, "two"));
    objects.iter().for_each(|name| rig.assert_carries("app", name));
    assert_eq!(rig.restarts("app"), before + 2, "it was resumed, and restarted once");
}

#[test]
fn no_more_rollouts_than_allowed_are_under_way_in_a_namespace() {
    let tenant = Tenant::new("limited");
    let rig = RestartFixture::new(&tenant);
    let _operator = tenant.operator(&["--max-rollouts-per-namespace=1", "--rollout-window=0"]);
    let apps = ["one", "two", "three"];
    // No pod gets ready here, so a rollout of a Deployment with a replica is never complete.
    apps.iter().for_each(|app| tenant.apply(&tenant.workload("Deployment", app)));
    tenant.put("db", json!({ "password": "one" }));
    tenant.apply(&rig.object("db", &apps, json!({})));
    rig.wait_recorded("db", "one");
    tenant.put("db", json!({ "password": "two" }));
    let mut begun: Vec<&str> = vec![];
    while begun.len() < apps.len() {
        eventually("another rollout", || {
            let all: Vec<&str> = apps.into_iter().filter(|app| carries(&rig, app)).collect();
            anyhow::ensure!(all.len() > begun.len(), "{all:?}");
            begun = all;
            Ok(())
        });
        let expected = begun.len();
        rig.several_refreshes();
        assert_eq!(apps.iter().filter(|app| carries(&rig, app)).count(), expected, "one at a time");
        // Those that were begun get complete.
        for app in &begun {
            rig.patch("Deployment", app, json!({ "spec": { "replicas": 0 } }));
        }
    }
    rig.wait_recorded("db", "two");
}

fn carries(rig: &RestartFixture<'_>, deployment: &str) -> bool {
    let annotations = &rig.get("Deployment", deployment)["spec"]["template"]["metadata"]["annotations"];
    annotations["vso.secrets.hashicorp.com/restartedAt"].is_string()
}
