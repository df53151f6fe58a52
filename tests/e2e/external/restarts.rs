//! Restarts that ExternalSecrets ask for: one per target and content, and none where the content did not change.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{SERVED, external_secret, row, store, wait_synced};
use test_support::audit::{Count, describe};
use test_support::kube_client::encoded;
use test_support::restarts::RestartFixture;
use test_support::{Tenant, eventually};

const TARGETS: &str = "vso.secrets.hashicorp.com/rollout-restart-targets";
const DATA_HASH: &str = "reconcile.external-secrets.io/data-hash";
const RECORD: &str = "vso.secrets.hashicorp.com/restarted-data-hash";
const INPUTS: &str = "vso.secrets.hashicorp.com/inputs-mac";

/// The ExternalSecret `db` with one key.
fn restarting(tenant: &Tenant<'_>, targets: Option<&str>) -> Value {
    let mut object = external_secret(tenant, "db", json!({ "data": [row(tenant, "password", "db", "password")] }));
    if let Some(targets) = targets {
        object["metadata"]["annotations"] = json!({ TARGETS: targets });
    }
    object
}

/// Waits until the Secret `db` holds a password, and says that the restarts for it are done.
#[track_caller]
fn wait_recorded(rig: &RestartFixture<'_>, password: &str) {
    rig.tenant.wait_value("db", "password", password);
    eventually(&format!("restarts for {password:?} are recorded"), || {
        let annotations = rig.get("Secret", "db")["metadata"]["annotations"].clone();
        let record: Value = serde_json::from_str(annotations[RECORD].as_str().unwrap_or("null")).expect("JSON");
        if record["db"].is_string() && record["db"] == annotations[DATA_HASH] {
            Ok(())
        } else {
            Err(annotations.to_string())
        }
    });
}

#[test]
fn each_content_restarts_each_target_once_and_nothing_else_does() {
    let tenant = Tenant::new("es-restart");
    let rig = RestartFixture::new(&tenant);
    for name in ["app", "late"] {
        tenant.apply(&tenant.workload("Deployment", name));
    }
    tenant.put("db", json!({ "password": "one" }));
    let mut operator = tenant.operator(SERVED);
    tenant.apply_all(&[store(&tenant), restarting(&tenant, None)]);
    wait_synced(&tenant, "db");
    let unchanged = |why: &str| {
        rig.several_refreshes();
        assert_eq!((rig.restarts("app"), rig.restarts("late")), (0, 0), "{why}");
    };
    assert!(rig.get("Secret", "db")["metadata"]["annotations"][RECORD].is_null());

    tenant.apply(&restarting(&tenant, Some("Deployment/app")));
    wait_recorded(&rig, "one");
    unchanged("the annotation is new");
    tenant.apply(&restarting(&tenant, Some("Deployment/app, Deployment/late")));
    rig.patch("ExternalSecret", "db", json!({ "metadata": { "labels": { "team": "blue" } } }));
    wait_recorded(&rig, "one");
    unchanged("another spec with equal bytes");
    rig.patch("Secret", "db", json!({ "data": encoded(&[("password", "wrong"), ("more", "x")]) }));
    wait_recorded(&rig, "one");
    unchanged("drift is repaired");
    rig.api.delete("Secret", &tenant.namespace, "db").expect("deleted");
    wait_recorded(&rig, "one");
    unchanged("the Secret is made again");
    operator.kill();
    operator = tenant.operator(SERVED);
    unchanged("a start of the operator");

    for (done, password) in ["two", "one", "two"].into_iter().enumerate() {
        tenant.put("db", json!({ "password": password }));
        wait_recorded(&rig, password);
        rig.several_refreshes();
        let done = i64::try_from(done).unwrap() + 1;
        assert_eq!((rig.restarts("app"), rig.restarts("late")), (done, done), "{password}");
        rig.assert_carries("app", "db");
    }
    tenant.wait_event("db", "RolloutRestartTriggered", "Deployment app");
    let condition = ("RolloutRestart", "True", Some("RolloutRestartTriggered"));
    tenant.wait_condition_of("externalsecret", "db", condition, &["Rollout restart triggered"]);
    let version = tenant.version("secret", "db");
    rig.several_refreshes();
    assert_eq!(tenant.version("secret", "db"), version);
    tenant.apply(&restarting(&tenant, Some("")));
    rig.patch("ExternalSecret", "db", json!({ "metadata": { "annotations": { TARGETS: null } } }));
    eventually("the record is gone", || match &rig.get("Secret", "db")["metadata"]["annotations"][RECORD] {
        Value::Null => Ok(()),
        record => Err(record.to_string()),
    });
    drop(operator);
}

#[test]
fn restarts_survive_the_end_of_the_process_and_failures() {
    let tenant = Tenant::new("es-restart-crash");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    tenant.put("db", json!({ "password": "one" }));
    let mut operator = tenant.operator(SERVED);
    let mut object = restarting(&tenant, Some("Deployment/app,Deployment/missing"));
    object["spec"]["refreshInterval"] = json!("1h");
    tenant.apply_all(&[store(&tenant), object]);
    wait_recorded(&rig, "one");

    // The Secret is written, and a target is not restarted yet.
    tenant.put("db", json!({ "password": "two" }));
    tenant.kubectl(&["label", "externalsecret", "db", "force-sync=1"]).unwrap();
    tenant.wait_value("db", "password", "two");
    let condition = ("RolloutRestart", "False", Some("RolloutRestartTriggeredFailed"));
    tenant.wait_condition_of("externalsecret", "db", condition, &["Deployment missing", "not found"]);
    tenant.wait_condition_of("externalsecret", "db", ("Ready", "True", Some("SecretSynced")), &["secret synced"]);
    tenant.wait_event("db", "RolloutRestartFailed", "Deployment missing");
    operator.kill();
    assert_eq!(rig.restarts("app"), 1);
    let record = rig.get("Secret", "db")["metadata"]["annotations"][RECORD].clone();
    // Kubernetes tells times to the second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    tenant.apply(&tenant.workload("Deployment", "missing"));
    let mut operator = tenant.operator(SERVED);
    wait_recorded(&rig, "two");
    // It was made after the content.
    assert_eq!((rig.restarts("app"), rig.restarts("missing")), (1, 0));
    let condition = ("RolloutRestart", "True", Some("RolloutRestartTriggered"));
    tenant.wait_condition_of("externalsecret", "db", condition, &["Rollout restart triggered"]);

    // All are restarted, and that is not recorded yet.
    operator.kill();
    rig.patch("Secret", "db", json!({ "metadata": { "annotations": { RECORD: record } } }));
    let operator = tenant.operator(SERVED);
    wait_recorded(&rig, "two");
    assert_eq!(rig.restarts("app"), 1);
    drop(operator);
}

#[test]
fn targets_that_mean_nothing_are_told_and_the_data_goes_on() {
    let tenant = Tenant::new("es-restart-bad");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    tenant.put("db", json!({ "password": "one" }));
    let _operator = tenant.operator(SERVED);
    tenant.apply_all(&[store(&tenant), restarting(&tenant, Some("Pod/app"))]);
    wait_synced(&tenant, "db");
    let condition = ("RolloutRestart", "False", Some("RolloutRestartTriggeredFailed"));
    tenant.wait_condition_of("externalsecret", "db", condition, &["\"Pod/app\"", "Kind/name"]);
    tenant.wait_event("db", "RolloutRestartFailed", "\"Pod/app\"");
    tenant.put("db", json!({ "password": "two" }));
    tenant.wait_value("db", "password", "two");
    tenant.apply(&restarting(&tenant, Some("Deployment/app")));
    wait_recorded(&rig, "two");
    eventually("the condition is gone or holds", || {
        let status = rig.get("ExternalSecret", "db")["status"].clone();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().all(|condition| condition["status"] == "True") { Ok(()) } else { Err(status.to_string()) }
    });
    assert_eq!(rig.restarts("app"), 1, "the content that came meanwhile");
}

#[test]
fn an_object_of_another_kind_shares_the_rollout_of_a_target() {
    let tenant = Tenant::new("es-shared");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let put = |password: &str| ["db", "own"].iter().for_each(|name| tenant.put(name, json!({ "password": password })));
    put("one");
    let _operator = tenant.operator(&[SERVED, &["--rollout-window=15s"]].concat());
    let own = rig.object("own", &["app"], json!({}));
    tenant.apply_all(&[store(&tenant), restarting(&tenant, Some("Deployment/app")), own]);
    wait_recorded(&rig, "one");
    rig.wait_recorded("own", "one");
    put("two");
    wait_recorded(&rig, "two");
    rig.wait_recorded("own", "two");
    rig.assert_carries("app", "db");
    rig.assert_carries("app", "own");
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), 1);
}

/// An ExternalSecret that merges a key of `db` into the Secret `shared`. Members of `target` win.
fn merging(tenant: &Tenant<'_>, name: &str, targets: Option<&str>, target: Value) -> Value {
    let mut full = json!({ "name": "shared", "creationPolicy": "Merge" });
    json_patch::merge(&mut full, &target);
    let mut object = external_secret(tenant, name, json!({ "target": full, "data": [row(tenant, name, "db", name)] }));
    if let Some(targets) = targets {
        object["metadata"]["annotations"] = json!({ TARGETS: targets });
    }
    object
}

#[test]
fn objects_that_fill_a_secret_together_leave_each_others_records() {
    let tenant = Tenant::new("es-restart-merge");
    let rig = RestartFixture::new(&tenant);
    tenant.apply_all(&[tenant.workload("Deployment", "app"), tenant.workload("Deployment", "other")]);
    tenant.kubectl(&["create", "secret", "generic", "shared"]).unwrap();
    let put = |first: &str| tenant.put("db", json!({ "first": first, "second": "x", "third": "x", "drawn": "x" }));
    put("one");
    let _operator = tenant.operator(SERVED);
    let drawn = json!({ "template": { "data": { "drawn": "{{ randAlphaNum 20 }}" } } });
    tenant.apply_all(&[
        store(&tenant),
        merging(&tenant, "first", Some("Deployment/app"), json!({})),
        merging(&tenant, "second", Some("Deployment/other"), json!({})),
        merging(&tenant, "third", None, json!({})),
        merging(&tenant, "drawn", None, drawn),
    ]);
    for name in ["first", "second", "third", "drawn"] {
        wait_synced(&tenant, name);
    }
    rig.several_refreshes();
    let (app, other) = (rig.restarts("app"), rig.restarts("other"));
    let drawn = tenant.value("shared", "drawn").unwrap();
    let count = Count::start(&tenant);
    rig.several_refreshes();
    assert_eq!(count.writes("secrets", "shared"), 0..=0, "{}", describe(&count.requests()));
    assert_eq!((rig.restarts("app"), rig.restarts("other")), (app, other));
    for (done, first) in ["two", "three"].into_iter().enumerate() {
        put(first);
        tenant.wait_value("shared", "first", first);
        rig.several_refreshes();
        let done = i64::try_from(done).unwrap() + 1;
        assert_eq!((rig.restarts("app"), rig.restarts("other")), (app + done, other + done), "{first}");
    }
    assert_eq!(tenant.value("shared", "drawn").unwrap(), drawn, "it is drawn once");

    // What is deleted leaves no record behind when the others change the Secret.
    let recorded = || {
        let annotations = &rig.get("Secret", "shared")["metadata"]["annotations"];
        let names = |record: &str| -> Vec<String> {
            let texts: BTreeMap<String, String> =
                serde_json::from_str(annotations[record].as_str().unwrap_or("{}")).expect("texts by name");
            texts.into_keys().collect()
        };
        (names(RECORD), names(INPUTS))
    };
    assert_eq!(recorded(), (vec!["first".to_owned(), "second".to_owned()], vec!["drawn".to_owned()]));
    tenant.kubectl(&["delete", "externalsecrets.external-secrets.io", "second", "drawn"]).unwrap();
    put("four");
    tenant.wait_value("shared", "first", "four");
    assert_eq!(recorded(), (vec!["first".to_owned()], vec![]));
}
