//! Reloader's annotations: a workload is restarted once for each content of the Secrets and ConfigMaps that it wants to
//! be restarted for, whichever client writes them, and for nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use test_support::audit::{Count, describe};
use test_support::kube_client::encoded;
use test_support::restarts::RestartFixture;
use test_support::{NO_ELECTION, Tenant, eventually};

mod annotations;
mod cron_jobs;
mod samples;
mod together;

const MARKS: &str = "vso.secrets.hashicorp.com/reloaded-contents";
const AUTO: &str = "reloader.stakater.com/auto";
const KINDS: [&str; 3] = ["Deployment", "DaemonSet", "StatefulSet"];
/// Arguments of an operator that goes by the annotations.
const SERVED: [&str; 2] = [NO_ELECTION[0], "--reloader"];

/// A Secret that another client keeps.
fn secret(name: &str, password: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
        "data": encoded(&[("password", password)]),
    })
}

fn config_map(name: &str, text: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "text": text } })
}

/// A workload with annotations whose container reads Secrets and ConfigMaps, such as `secretRef/db`.
fn workload(tenant: &Tenant<'_>, kind: &str, name: &str, annotations: Value, reads: &[&str]) -> Value {
    let mut object = tenant.workload(kind, name);
    object["metadata"]["annotations"] = annotations;
    let reads = reads.iter().filter_map(|one| one.split_once('/'));
    let env: Vec<Value> = reads.map(|(kind, name)| json!({ kind: { "name": name } })).collect();
    object["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!(env);
    object
}

/// Waits until a workload notes the content of a source, such as `Secret/db`.
#[track_caller]
fn wait_noted(rig: &RestartFixture<'_>, kind: &str, name: &str, source: &str) {
    eventually(&format!("{kind} {name} notes {source}"), || {
        let annotations = rig.get(kind, name)["metadata"]["annotations"].clone();
        let marks = annotations[MARKS].as_str().unwrap_or("{}");
        let marks: Value = serde_json::from_str(marks)?;
        anyhow::ensure!(marks["contents"][source].is_string(), "{marks}");
        Ok(())
    });
}

/// How often the pod template of a workload was changed since it was made. The generation of a Deployment counts
/// changes of its annotations, too.
#[track_caller]
fn restarts(rig: &RestartFixture<'_>, kind: &str, name: &str) -> i64 {
    let meta = rig.get(kind, name)["metadata"].clone();
    if kind != "Deployment" {
        return meta["generation"].as_i64().expect("a generation") - 1;
    }
    let revision = meta["annotations"]["deployment.kubernetes.io/revision"].as_str();
    revision.map_or(0, |revision| revision.parse::<i64>().expect("a number") - 1)
}

#[track_caller]
fn wait_restarts(rig: &RestartFixture<'_>, kind: &str, name: &str, expected: i64) {
    eventually(&format!("{kind} {name} has {expected} restarts"), || match restarts(rig, kind, name) {
        done if done == expected => Ok(()),
        done => Err(done.to_string()),
    });
}

/// Long enough for a change to be seen and a window to end.
fn settle() {
    std::thread::sleep(Duration::from_secs(4));
}

#[test]
fn new_content_restarts_each_user_once_whichever_client_writes_it() {
    let tenant = Tenant::new("reload");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&secret("db", "secret-of-one"));
    for kind in KINDS {
        tenant.apply(&workload(&tenant, kind, "app", json!({ AUTO: "true" }), &["secretRef/db"]));
        tenant.apply(&workload(&tenant, kind, "plain", json!({}), &["secretRef/db"]));
    }
    let operator = tenant.operator(&SERVED);
    KINDS.iter().for_each(|kind| wait_noted(&rig, kind, "app", "Secret/db"));
    let all = || KINDS.map(|kind| (restarts(&rig, kind, "app"), restarts(&rig, kind, "plain")));
    settle();
    assert_eq!(all(), [(0, 0); 3], "first sight");
    rig.patch("Secret", "db", json!({ "metadata": { "labels": { "team": "a" }, "annotations": { "note": "b" } } }));
    settle();
    assert_eq!(all(), [(0, 0); 3], "labels and annotations of the Secret");

    let count = Count::start(&tenant);
    for (done, password) in ["secret-of-two", "secret-of-one", "secret-of-three"].into_iter().enumerate() {
        rig.patch("Secret", "db", json!({ "data": encoded(&[("password", password)]) }));
        let done = i64::try_from(done).unwrap() + 1;
        KINDS.iter().for_each(|kind| wait_restarts(&rig, kind, "app", done));
        settle();
        assert_eq!(all(), [(done, 0); 3]);
    }
    for resource in ["deployments", "daemonsets", "statefulsets"] {
        assert_eq!(count.restarts(resource, "app"), 3, "one write for each restart");
    }
    tenant.wait_event("app", "RolloutRestartTriggered", "a change of Secret/db");
    let told = format!("{}{}{}", operator.log(), operator.metrics(), rig.get("Deployment", "app"));
    assert!(!told.contains("secret-of-"), "values stay where they are");
}

#[test]
fn a_start_writes_nothing_and_what_changed_before_it_restarts_once() {
    let tenant = Tenant::new("reloadstart");
    let rig = RestartFixture::new(&tenant);
    for name in ["db", "other"] {
        tenant.apply(&secret(name, "one"));
    }
    let auto = json!({ AUTO: "true" });
    tenant.apply(&workload(&tenant, "Deployment", "app", auto.clone(), &["secretRef/db", "secretRef/other"]));
    tenant.apply(&workload(&tenant, "Deployment", "calm", auto, &["secretRef/other"]));
    let mut operator = tenant.operator(&SERVED);
    wait_noted(&rig, "Deployment", "app", "Secret/db");
    wait_noted(&rig, "Deployment", "app", "Secret/other");
    wait_noted(&rig, "Deployment", "calm", "Secret/other");
    operator.kill();

    let count = Count::start(&tenant);
    operator = tenant.operator(&SERVED);
    settle();
    let writes: Vec<_> = count.requests().into_iter().filter(testenv::AuditEvent::is_write).collect();
    assert_eq!(describe(&writes), "", "a start");
    operator.kill();

    rig.patch("Secret", "db", json!({ "data": encoded(&[("password", "two")]) }));
    for _ in 0..2 {
        operator = tenant.operator(&SERVED);
        wait_restarts(&rig, "Deployment", "app", 1);
        settle();
        operator.kill();
    }
    assert_eq!((restarts(&rig, "Deployment", "app"), restarts(&rig, "Deployment", "calm")), (1, 0));

    // A Secret that is deleted and comes back as another one, and one that comes back as it was.
    let _operator = tenant.operator(&SERVED);
    for (password, expected) in [("two", 1), ("three", 2)] {
        rig.api.delete("Secret", &tenant.namespace, "db").expect("deleted");
        settle();
        tenant.apply(&secret("db", password));
        wait_restarts(&rig, "Deployment", "app", expected);
        settle();
        assert_eq!(restarts(&rig, "Deployment", "app"), expected, "{password}");
    }
}

#[test]
fn a_crash_between_change_and_restart_loses_nothing_and_repeats_nothing() {
    let tenant = Tenant::new("reloadcrash");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&secret("db", "0"));
    tenant.apply(&workload(&tenant, "Deployment", "app", json!({ AUTO: "true" }), &["secretRef/db"]));
    let args = [SERVED[0], SERVED[1], "--rollout-window=300ms"];
    let mut operator = tenant.operator(&args);
    wait_noted(&rig, "Deployment", "app", "Secret/db");
    for (round, millis) in (1..).zip([0, 100, 200, 290, 320, 350, 400, 600]) {
        rig.patch("Secret", "db", json!({ "data": encoded(&[("password", &round.to_string())]) }));
        std::thread::sleep(Duration::from_millis(millis));
        operator.kill();
        operator = tenant.operator(&args);
        wait_restarts(&rig, "Deployment", "app", round);
    }
    settle();
    assert_eq!(restarts(&rig, "Deployment", "app"), 8);
}

#[test]
fn a_rollback_and_a_lost_key_are_no_change() {
    let tenant = Tenant::new("reloadundo");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&secret("db", "one"));
    tenant.apply(&workload(&tenant, "Deployment", "app", json!({ AUTO: "true" }), &["secretRef/db"]));
    let mut operator = tenant.operator(&SERVED);
    wait_noted(&rig, "Deployment", "app", "Secret/db");
    let wait_revision = |number: &str| {
        eventually("the revision", || {
            let annotations = rig.get("Deployment", "app")["metadata"]["annotations"].clone();
            anyhow::ensure!(annotations["deployment.kubernetes.io/revision"] == number, "{annotations}");
            Ok(())
        });
    };
    wait_revision("1");
    for (password, number) in [("two", "2"), ("three", "3")] {
        rig.patch("Secret", "db", json!({ "data": encoded(&[("password", password)]) }));
        wait_revision(number);
    }
    tenant.kubectl(&["rollout", "undo", "deployment/app"]).expect("rolled back");
    wait_revision("4");
    settle();
    assert_eq!(
        restarts(&rig, "Deployment", "app"),
        3,
        "two restarts and the rollback: its pods have started with what is there"
    );
    wait_noted(&rig, "Deployment", "app", "Secret/db");

    operator.kill();
    rig.api.delete("Secret", &tenant.operator_namespace, "vso-cc-storage-hmac-key").expect("deleted");
    let _operator = tenant.operator(&SERVED);
    settle();
    assert_eq!(restarts(&rig, "Deployment", "app"), 3, "digests of another key say nothing");
    rig.patch("Secret", "db", json!({ "data": encoded(&[("password", "four")]) }));
    wait_restarts(&rig, "Deployment", "app", 4);
    settle();
    assert_eq!(restarts(&rig, "Deployment", "app"), 4);
}

#[test]
fn config_maps_count_where_they_are_asked_for_and_nothing_does_by_default() {
    let tenant = Tenant::new("reloadmaps");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&secret("db", "one"));
    tenant.apply(&config_map("settings", "one"));
    let reads = ["secretRef/db", "configMapRef/settings"];
    tenant.apply(&workload(&tenant, "Deployment", "app", json!({ AUTO: "true" }), &reads));
    let change = |text: &str| {
        rig.patch("ConfigMap", "settings", json!({ "data": { "text": text } }));
    };
    let mut operator = tenant.operator(&NO_ELECTION);
    change("two");
    rig.patch("Secret", "db", json!({ "data": encoded(&[("password", "two")]) }));
    settle();
    assert!(rig.get("Deployment", "app")["metadata"]["annotations"][MARKS].is_null());
    operator.kill();

    operator = tenant.operator(&SERVED);
    wait_noted(&rig, "Deployment", "app", "Secret/db");
    change("three");
    settle();
    assert_eq!(restarts(&rig, "Deployment", "app"), 0, "off by default");
    operator.kill();

    let _operator = tenant.operator(&[SERVED[0], SERVED[1], "--reloader-config-maps"]);
    wait_noted(&rig, "Deployment", "app", "ConfigMap/settings");
    change("four");
    wait_restarts(&rig, "Deployment", "app", 1);
    tenant.wait_event("app", "RolloutRestartTriggered", "a change of ConfigMap/settings");
    settle();
    assert_eq!(restarts(&rig, "Deployment", "app"), 1);
}
