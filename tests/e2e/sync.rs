//! The main job: from a path in Vault to a Secret and a restart.

use serde_json::json;

use test_support::{Tenant, eventually};

#[test]
fn a_secret_appears_follows_vault_and_restarts_its_users_once_per_change() {
    let tenant = Tenant::new("sync");
    tenant.put("db", json!({ "user": "app", "password": "one", "port": 5432 }));
    let kinds = ["Deployment", "DaemonSet", "StatefulSet"];
    kinds.iter().for_each(|kind| tenant.apply(&tenant.workload(kind, "app")));
    let _operator = tenant.operator(&[]);
    let targets: Vec<_> = kinds.iter().map(|kind| json!({ "kind": kind, "name": "app" })).collect();
    let destination = json!({ "labels": { "team": "blue" }, "annotations": { "note": "x" } });
    tenant.apply(&tenant.static_secret("db", json!({ "rolloutRestartTargets": targets, "destination": destination })));

    tenant.wait_condition("vaultstaticsecret", "db", "Ready", "True", "");
    tenant.wait_event("db", "SecretSynced", "Secret synced");
    tenant.wait_value("db", "password", "one");
    assert_eq!(tenant.value("db", "port").unwrap(), "5432");
    let raw: serde_json::Value = serde_json::from_str(&tenant.value("db", "_raw").unwrap()).unwrap();
    assert_eq!(raw["data"]["user"], "app");
    let secret = tenant.get("secret", "db").unwrap();
    assert_eq!(secret["metadata"]["labels"]["team"], "blue");
    assert_eq!(secret["metadata"]["annotations"]["note"], "x");
    assert_eq!(secret["metadata"]["labels"]["app.kubernetes.io/managed-by"], "hashicorp-vso");
    for kind in kinds {
        assert_eq!(tenant.generation(kind, "app"), 1, "no restart on the first sync of {kind}");
    }

    tenant.put("db", json!({ "user": "app", "password": "two" }));
    tenant.wait_value("db", "password", "two");
    assert!(tenant.value("db", "port").is_err(), "a key that is gone in Vault is gone in the Secret");
    tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "True", "Rollout restart triggered");
    for kind in kinds {
        let target = eventually("a restart", || match tenant.get(kind, "app") {
            Ok(target) if target["metadata"]["generation"] == 2 => Ok(target),
            Ok(target) => Err(target["metadata"].to_string()),
            Err(error) => Err(error.to_string()),
        });
        let annotations = &target["spec"]["template"]["metadata"]["annotations"];
        assert!(annotations["vso.secrets.hashicorp.com/restartedAt"].is_string(), "{annotations}");
        tenant.wait_event("db", "RolloutRestartTriggered", &format!("Rollout restart triggered for {{{kind} app}}"));
    }
    // Several refreshes later.
    std::thread::sleep(std::time::Duration::from_secs(3));
    for kind in kinds {
        assert_eq!(tenant.generation(kind, "app"), 2, "one change is one restart of {kind}");
    }
}

#[test]
fn what_was_reported_is_written_before_the_end() {
    const OBJECTS: usize = 40;
    let tenant = Tenant::new("ending");
    tenant.put("db", json!({ "password": "one" }));
    let path = tenant.path("db");
    let objects = (0..OBJECTS).map(|i| tenant.static_secret(&format!("s{i}"), json!({ "path": path })));
    tenant.apply_all(&objects.collect::<Vec<_>>());
    let mut operator = tenant.operator(&[]);
    let labelled = |secret: &serde_json::Value| !secret["metadata"]["labels"]["app.kubernetes.io/managed-by"].is_null();
    eventually("all Secrets", || match tenant.list("secrets").iter().filter(|s| labelled(s)).count() {
        OBJECTS => Ok(()),
        some => Err(some),
    });
    operator.terminate();
    let events = tenant.list("events");
    let told = events.iter().filter(|e| e["reason"] == "SecretSynced").count();
    assert_eq!(told, OBJECTS, "{}", operator.log());
}
