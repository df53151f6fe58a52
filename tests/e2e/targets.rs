//! Restart targets that are not there, not ready, or not of Kubernetes itself.

use serde_json::json;

use test_support::restarts::RestartFixture;
use test_support::{Tenant, eventually};

#[test]
fn a_target_that_is_missing_or_paused_is_restarted_when_it_can_be_and_only_if_it_has_to_be() {
    let tenant = Tenant::new("absent");
    let rig = RestartFixture::new(&tenant);
    let mut paused = tenant.workload("Deployment", "paused");
    paused["spec"]["paused"] = json!(true);
    tenant.apply(&paused);
    tenant.put("db", json!({ "password": "one" }));
    let _operator = tenant.operator(&["--backoff-initial-interval=1s", "--backoff-max-interval=2s"]);
    tenant.apply(&rig.object("db", &["late", "never", "paused"], json!({})));
    rig.wait_recorded("db", "one");

    tenant.put("db", json!({ "password": "two" }));
    for text in ["late", "never", "paused"] {
        tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "False", text);
    }
    tenant.wait_value("db", "password", "two");
    tenant.wait_event("db", "RolloutRestartFailed", "late");
    // One that comes later has started with the new content. Times of objects have seconds.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    tenant.apply(&tenant.workload("Deployment", "late"));
    eventually("late is there", || {
        let message = tenant.condition("vaultstaticsecret", "db", "RolloutRestart")?["message"].clone();
        anyhow::ensure!(!message.as_str().unwrap_or_default().contains("late"), "{message}");
        Ok(())
    });
    assert_eq!(rig.restarts("late"), 0);
    let before = rig.restarts("paused");
    rig.patch("Deployment", "paused", json!({ "spec": { "paused": false } }));
    eventually("the resumed one is restarted", || match rig.restarts("paused") {
        done if done == before + 2 => Ok(()),
        done => Err(done.to_string()),
    });

    // Another content is another matter, while one target is missing still.
    tenant.put("db", json!({ "password": "three" }));
    eventually("both are restarted", || match (rig.restarts("late"), rig.restarts("paused")) {
        (1, n) if n == before + 3 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "False", "never");
    // One that is not wanted any more is not missed.
    let known = json!([{ "kind": "Deployment", "name": "late" }, { "kind": "Deployment", "name": "paused" }]);
    rig.patch("VaultStaticSecret", "db", json!({ "spec": { "rolloutRestartTargets": known } }));
    tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "True", "");
    rig.wait_recorded("db", "three");
    rig.several_refreshes();
    assert_eq!((rig.restarts("late"), rig.restarts("paused")), (1, before + 3));
}

/// As much of Argo's kind as the operator touches.
pub const ROLLOUTS: &str = r#"{
  "apiVersion": "apiextensions.k8s.io/v1",
  "kind": "CustomResourceDefinition",
  "metadata": { "name": "rollouts.argoproj.io" },
  "spec": {
    "group": "argoproj.io",
    "names": { "kind": "Rollout", "plural": "rollouts", "singular": "rollout" },
    "scope": "Namespaced",
    "versions": [{
      "name": "v1alpha1", "served": true, "storage": true,
      "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": { "type": "object", "properties": {
        "replicas": { "type": "integer" }, "restartAt": { "type": "string", "format": "date-time" }
      } } } } }
    }]
  }
}"#;

#[test]
fn an_argo_rollout_is_restarted_by_its_own_means() {
    let tenant = Tenant::new("argo");
    let rig = RestartFixture::new(&tenant);
    tenant.cluster.kubectl_apply(ROLLOUTS).expect("the CRD");
    tenant.cluster.kubectl(&["wait", "--for=condition=Established", "crd/rollouts.argoproj.io"]).expect("established");
    tenant.apply(&json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": { "name": "app" }, "spec": { "replicas": 1 },
    }));
    rig.put_kv1("db", "0");
    let _operator = tenant.operator(&[]);
    let mut object = rig.kv1("db", &[]);
    object["spec"]["rolloutRestartTargets"] = json!([{ "kind": "argo.Rollout", "name": "app" }]);
    object["spec"]["refreshAfter"] = json!("0.1s");
    tenant.apply(&object);
    rig.wait_recorded("db", "0");

    // Argo restarts what is older than the time in the spec, so each restart needs a later one, also within a second.
    let mut last = String::new();
    for rotation in 1..=8 {
        rig.put_kv1("db", &rotation.to_string());
        rig.wait_recorded("db", &rotation.to_string());
        let rollout = rig.get("Rollout", "app");
        assert_eq!(rollout["metadata"]["generation"], rotation + 1, "{rollout}");
        let time = rollout["spec"]["restartAt"].as_str().expect("a time").to_owned();
        assert!(time > last, "{time} after {last}");
        last = time;
        assert_eq!(rollout["spec"]["replicas"], 1);
        let digest = &rollout["metadata"]["annotations"]["restart.vso.secrets.hashicorp.com/db"];
        assert!(digest.as_str().is_some_and(|d| d.contains(&rig.mac(&rig.get("Secret", "db")))), "{digest}");
    }
    tenant.wait_event("db", "RolloutRestartTriggered", "argo.Rollout app");
    rig.several_refreshes();
    assert_eq!(rig.get("Rollout", "app")["metadata"]["generation"], 9);
}
