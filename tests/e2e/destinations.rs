//! Destinations that are somebody else's, and restarts that cannot be done.

use serde_json::{Value, json};

use test_support::{FAST_RETRY, Tenant, eventually};

const GOOD: &str = "destinations-hunter2";

fn secret(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": name, "labels": { "whose": "mine" }, "annotations": { "note": "keep" } },
        "stringData": { "mine": value },
    })
}

#[test]
fn what_somebody_else_owns_is_not_taken_unless_it_may_be() {
    let tenant = Tenant::new("owners");
    tenant.put("source", json!({ "password": GOOD }));
    let from_source = |name: &str, spec: Value| {
        let mut object = tenant.static_secret(name, json!({ "path": tenant.path("source") }));
        json_patch::merge(&mut object["spec"], &spec);
        object
    };
    let restart = json!([{ "kind": "Deployment", "name": "app" }]);
    tenant.apply_all(&[tenant.workload("Deployment", "app"), secret("theirs", "old"), secret("free", "old")]);
    let operator = tenant.operator(&FAST_RETRY);
    let before = tenant.version("secret", "theirs");
    tenant.apply_all(&[
        from_source("theirs", json!({})),
        from_source("free", json!({ "destination": { "overwrite": true }, "rolloutRestartTargets": restart })),
        from_source("first", json!({})),
        from_source("late", json!({ "destination": { "create": false }, "rolloutRestartTargets": restart })),
    ]);

    let here = &tenant.namespace;
    let texts = [&format!("not the owner of the destination Secret {here}/theirs"), "no ownerReferences", "overwrite"];
    tenant.wait_failure("theirs", "SecretSyncError", &texts);
    assert_eq!(tenant.version("secret", "theirs"), before);

    tenant.wait_synced("free");
    tenant.wait_value("free", "password", GOOD);
    assert!(tenant.value("free", "mine").is_err(), "data is replaced as a whole");
    let taken = tenant.get("secret", "free").unwrap();
    assert_eq!(taken["metadata"]["ownerReferences"][0]["name"], "free");
    assert!(taken["metadata"]["labels"]["whose"].is_null(), "{taken}");

    // What another VaultStaticSecret owns is never taken, whatever is asked for.
    tenant.wait_synced("first");
    let first = tenant.version("secret", "first");
    let greedy = json!({ "destination": { "name": "first", "overwrite": true } });
    tenant.apply(&from_source("second", greedy));
    let texts = [&format!("not the owner of the destination Secret {here}/first"), "VaultStaticSecret/first"];
    tenant.wait_failure("second", "SecretSyncError", &texts);
    let said = tenant.condition("vaultstaticsecret", "second", "SecretSynced").expect("a condition")["message"].clone();
    let said = said.as_str().expect("a text");
    assert!(said.ends_with("choose another name") && !said.contains("set spec.destination.overwrite"), "{said}");
    assert_eq!(tenant.version("secret", "first"), first);

    // What cannot be written is left as it is, until it can.
    tenant.kubectl(&["patch", "secret", "free", "--patch", "{\"immutable\": true}"]).unwrap();
    tenant.put("source", json!({ "password": GOOD, "more": "frozen" }));
    tenant.wait_failure("free", "SecretSyncError", &[&format!("{here}/free"), "immutable"]);
    tenant.kubectl(&["delete", "secret", "free"]).unwrap();
    tenant.wait_value("free", "more", "frozen");
    tenant.wait_synced("free");

    let texts = [&format!("destination secret {here}/late does not exist, and create=false")];
    tenant.wait_failure("late", "InexistentDestination", &texts.map(String::as_str));
    tenant.apply(&secret("late", "old"));
    tenant.wait_value("late", "password", GOOD);
    tenant.wait_synced("late");
    let late = tenant.get("secret", "late").unwrap();
    assert!(late["data"]["mine"].is_null(), "data is replaced as a whole");
    assert_eq!(late["metadata"]["labels"], json!({ "whose": "mine" }));
    assert_eq!(late["metadata"]["annotations"]["note"], "keep");
    assert!(late["metadata"]["ownerReferences"].is_null(), "{late}");

    // The owner goes, and its Secret with it: then the name is free.
    tenant.kubectl(&["delete", "vaultstaticsecret", "first"]).unwrap();
    eventually("the Secret has the new owner", || {
        let secret = tenant.get("secret", "first").map_err(|e| e.to_string())?;
        let owner = &secret["metadata"]["ownerReferences"][0]["name"];
        if owner == "second" { Ok(()) } else { Err(owner.to_string()) }
    });
    tenant.kubectl(&["delete", "secret", "theirs"]).unwrap();
    tenant.wait_value("theirs", "password", GOOD);
    for name in ["second", "theirs"] {
        tenant.wait_synced(name);
    }
    assert_eq!(
        tenant.generation("deployment", "app"),
        2,
        "only new content restarts, not what is taken over or appears"
    );
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn a_restart_that_cannot_be_done_is_owed_until_it_can() {
    let tenant = Tenant::new("restarts");
    tenant.put("db", json!({ "password": "one" }));
    let paused = |paused: bool| {
        let mut object = tenant.workload("Deployment", "paused");
        object["spec"]["paused"] = json!(paused);
        object
    };
    tenant.apply_all(&[tenant.workload("Deployment", "app"), paused(true)]);
    let mut operator = tenant.operator(&["--backoff-initial-interval=1h", "--backoff-max-interval=1h"]);
    let targets = [("StatefulSet", "missing"), ("Deployment", "app"), ("Deployment", "paused")];
    let targets = targets.map(|(kind, name)| json!({ "kind": kind, "name": name }));
    let rollout = json!([{ "kind": "argo.Rollout", "name": "r" }]);
    tenant.apply_all(&[
        tenant.static_secret("db", json!({ "rolloutRestartTargets": targets })),
        tenant.static_secret("argo", json!({ "path": tenant.path("db"), "rolloutRestartTargets": rollout })),
    ]);
    tenant.wait_synced("db");
    tenant.wait_synced("argo");

    tenant.put("db", json!({ "password": GOOD }));
    let condition = tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "False", "StatefulSet missing");
    let message = condition["message"].as_str().unwrap();
    for text in ["statefulsets.apps \"missing\" not found", "deployment paused is paused"] {
        assert!(message.contains(text), "{text:?} is not in {message}");
    }
    tenant.wait_event("db", "RolloutRestartFailed", "Rollout restart failed for target StatefulSet missing");
    tenant.wait_event("db", "RolloutRestartTriggered", "Rollout restart triggered for {Deployment app}");
    tenant.wait_value("db", "password", GOOD);
    tenant.wait_condition("vaultstaticsecret", "argo", "RolloutRestart", "False", "argo.Rollout r");
    tenant.wait_event("argo", "RolloutRestartFailed", "argo.Rollout r");
    // The next try is an hour away, but Vault is followed all the same, and who can be restarted is.
    tenant.put("db", json!({ "password": "three" }));
    tenant.wait_value("db", "password", "three");
    eventually("a restart for the newest content", || match tenant.generation("deployment", "app") {
        3 => Ok(()),
        other => Err(format!("generation {other}")),
    });
    operator.terminate();
    let operator = tenant.operator(&FAST_RETRY);
    tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "False", "StatefulSet missing");

    // Times are kept to the second: what is made in that of the last change may have started before it.
    std::thread::sleep(std::time::Duration::from_secs(1));
    tenant.apply_all(&[paused(false), tenant.workload("StatefulSet", "missing")]);
    tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "True", "Rollout restart triggered");
    tenant.wait_condition("vaultstaticsecret", "db", "Ready", "True", "");
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(tenant.generation("deployment", "app"), 3, "two changes of the content, two restarts");
    assert_eq!(tenant.generation("deployment", "paused"), 3, "resumed, and restarted once for what is there");
    assert_eq!(tenant.generation("statefulset", "missing"), 1, "it has started with the new content");
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}
