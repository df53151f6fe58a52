//! What each annotation asks for.

use serde_json::json;

use super::{AUTO, MARKS, SERVED, restarts, secret, settle, wait_noted, wait_restarts, workload};
use test_support::kube_client::encoded;
use test_support::restarts::RestartFixture;
use test_support::{Tenant, eventually};

const LIST: &str = "secret.reloader.stakater.com/reload";
const SEARCH: &str = "reloader.stakater.com/search";

#[test]
fn a_workload_is_restarted_for_what_it_asks_for() {
    let tenant = Tenant::new("reloadrows");
    let rig = RestartFixture::new(&tenant);
    let secrets = ["app-secret-1", "found", "hidden", "plain"];
    for name in secrets {
        let mut object = secret(name, "one");
        match name {
            "found" => object["metadata"]["annotations"] = json!({ "reloader.stakater.com/match": "true" }),
            "hidden" => object["metadata"]["annotations"] = json!({ "reloader.stakater.com/ignore": "true" }),
            _ => {}
        }
        tenant.apply(&object);
    }
    let reads = secrets.map(|name| format!("secretRef/{name}"));
    let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
    let exclude = json!({ AUTO: "true", "secrets.exclude.reloader.stakater.com/reload": "plain" });
    // With the Secrets that each is restarted for.
    let rows = [
        ("auto", json!({ AUTO: "true" }), &["app-secret-1", "found", "plain"][..]),
        ("auto-false", json!({ AUTO: "false" }), &[]),
        ("typed", json!({ "secret.reloader.stakater.com/auto": "true" }), &["app-secret-1", "found", "plain"]),
        ("other-type", json!({ "configmap.reloader.stakater.com/auto": "true" }), &[]),
        ("pattern", json!({ LIST: "app-secret-.*" }), &["app-secret-1"]),
        ("listed", json!({ LIST: "plain, hidden, absent" }), &["plain"]),
        ("search", json!({ SEARCH: "true" }), &["found"]),
        ("exclude", exclude, &["app-secret-1", "found"]),
    ];
    for (name, annotations, _) in &rows {
        tenant.apply(&workload(&tenant, "Deployment", name, annotations.clone(), &reads));
    }
    let mut on_template = workload(&tenant, "Deployment", "template", json!({}), &reads);
    on_template["spec"]["template"]["metadata"]["annotations"] = json!({ AUTO: "true" });
    tenant.apply(&on_template);
    tenant.apply(&workload(&tenant, "Deployment", "unreferenced", json!({ LIST: "plain" }), &[]));
    let mut rows: Vec<(&str, &[&str])> = rows.iter().map(|(name, _, wanted)| (*name, *wanted)).collect();
    rows.extend([("template", &["app-secret-1", "found", "plain"][..]), ("unreferenced", &["plain"])]);

    let _operator = tenant.operator(&SERVED);
    for (name, wanted) in &rows {
        wanted.iter().for_each(|one| wait_noted(&rig, "Deployment", name, &format!("Secret/{one}")));
    }
    for (done, changed) in secrets.iter().enumerate() {
        rig.patch("Secret", changed, json!({ "data": encoded(&[("password", "two")]) }));
        let expected = |wanted: &[&str]| {
            let so_far = secrets[..=done].iter().filter(|one| wanted.contains(one)).count();
            i64::try_from(so_far).expect("a count")
        };
        rows.iter().for_each(|(name, wanted)| wait_restarts(&rig, "Deployment", name, expected(wanted)));
        settle();
        for (name, wanted) in &rows {
            assert_eq!(restarts(&rig, "Deployment", name), expected(wanted), "{name} after a change of {changed}");
        }
    }
}

#[test]
fn all_workloads_are_restarted_where_that_is_the_default() {
    let tenant = Tenant::new("reloadall");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&secret("db", "one"));
    for (name, annotations) in [("plain", json!({})), ("out", json!({ AUTO: "false" }))] {
        tenant.apply(&workload(&tenant, "Deployment", name, annotations, &["secretRef/db"]));
    }
    tenant.apply(&workload(&tenant, "Deployment", "none", json!({}), &[]));
    let _operator = tenant.operator(&[SERVED[0], SERVED[1], "--reloader-auto-reload-all"]);
    wait_noted(&rig, "Deployment", "plain", "Secret/db");
    settle();
    let all = || ["plain", "out", "none"].map(|name| restarts(&rig, "Deployment", name));
    assert_eq!(all(), [0; 3], "first sight");
    rig.patch("Secret", "db", json!({ "data": encoded(&[("password", "two")]) }));
    wait_restarts(&rig, "Deployment", "plain", 1);
    settle();
    assert_eq!(all(), [1, 0, 0]);
    for name in ["out", "none"] {
        assert!(rig.get("Deployment", name)["metadata"]["annotations"][MARKS].is_null(), "{name}");
    }
}

#[test]
fn a_paused_deployment_waits_and_a_pause_period_gathers() {
    let tenant = Tenant::new("reloadpause");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&secret("db", "0"));
    let period = json!({ AUTO: "true", "deployment.reloader.stakater.com/pause-period": "25s" });
    tenant.apply(&workload(&tenant, "Deployment", "period", period, &["secretRef/db"]));
    let mut paused = workload(&tenant, "Deployment", "paused", json!({ AUTO: "true" }), &["secretRef/db"]);
    paused["spec"]["paused"] = json!(true);
    tenant.apply(&paused);
    let _operator = tenant.operator(&SERVED);
    for name in ["period", "paused"] {
        wait_noted(&rig, "Deployment", name, "Secret/db");
    }
    let change = |password: &str| {
        rig.patch("Secret", "db", json!({ "data": encoded(&[("password", password)]) }));
    };
    change("1");
    wait_restarts(&rig, "Deployment", "period", 1);
    for password in ["2", "3"] {
        change(password);
        settle();
    }
    assert_eq!(restarts(&rig, "Deployment", "period"), 1, "the period is not over");
    assert_eq!(restarts(&rig, "Deployment", "paused"), 0);
    wait_restarts(&rig, "Deployment", "period", 2);
    rig.patch("Deployment", "paused", json!({ "spec": { "paused": false } }));
    wait_restarts(&rig, "Deployment", "paused", 1);
    settle();
    let done = ["period", "paused"].map(|name| restarts(&rig, "Deployment", name));
    assert_eq!(done, [2, 1], "one restart for all that changed");
}

#[test]
fn what_is_wrong_with_annotations_is_told_and_spoils_nothing_else() {
    let tenant = Tenant::new("reloadwrong");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&secret("db", "one"));
    let annotations = json!({ LIST: "[, (, db", "deployment.reloader.stakater.com/pause-period": "soon" });
    tenant.apply(&workload(&tenant, "Deployment", "app", annotations, &[]));
    let _operator = tenant.operator(&SERVED);
    for text in ["\"[\"", "\"(\"", "soon"] {
        tenant.wait_event("app", "RolloutRestartFailed", text);
    }
    wait_noted(&rig, "Deployment", "app", "Secret/db");
    rig.patch("Secret", "db", json!({ "data": encoded(&[("password", "two")]) }));
    wait_restarts(&rig, "Deployment", "app", 1);
    settle();
    let told = tenant.list("events").into_iter().filter(|event| event["reason"] == "RolloutRestartFailed");
    let told: u64 = told.map(|event| event["count"].as_u64().unwrap_or(1)).sum();
    assert!(told <= 9, "{told} events: three faults, told for each version of the workload at most");
}

#[test]
fn an_argo_rollout_is_restarted_where_its_kind_is_there() {
    let tenant = Tenant::new("reloadargo");
    let rig = RestartFixture::new(&tenant);
    // The same definition is applied by other tests.
    tenant.cluster.kubectl_apply(crate::targets::ROLLOUTS).expect("the CRD");
    tenant.apply(&secret("db", "one"));
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": { "name": "app", "annotations": { LIST: "db" } }, "spec": { "replicas": 1 },
    });
    eventually("a Rollout", || tenant.try_apply(&rollout));
    let _operator = tenant.operator(&SERVED);
    wait_noted(&rig, "Rollout", "app", "Secret/db");
    assert!(rig.get("Rollout", "app")["spec"]["restartAt"].is_null());
    rig.patch("Secret", "db", json!({ "data": encoded(&[("password", "two")]) }));
    wait_restarts(&rig, "Rollout", "app", 1);
    assert!(rig.get("Rollout", "app")["spec"]["restartAt"].is_string());
    settle();
    assert_eq!(restarts(&rig, "Rollout", "app"), 1);
}
