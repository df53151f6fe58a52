//! Targets whose pod template went back to what it was, and content that did.

use serde_json::json;

use test_support::kube_client::encoded;
use test_support::restarts::RestartFixture;
use test_support::{Tenant, eventually};

#[test]
fn a_target_that_was_rolled_back_is_restarted_when_its_former_content_returns() {
    let tenant = Tenant::new("undo");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    rig.put_kv1("db", "0");
    let _operator = tenant.operator(&[]);
    tenant.apply(&rig.kv1("db", &["app"]));
    rig.wait_recorded("db", "0");
    let revision =
        || rig.get("Deployment", "app")["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone();
    let wait_revision = |number: &str| {
        eventually("the revision", || match revision() {
            found if found == number => Ok(()),
            found => Err(found.to_string()),
        });
    };
    wait_revision("1");
    for (password, number) in [("a", "2"), ("b", "3")] {
        rig.put_kv1("db", password);
        rig.wait_recorded("db", password);
        wait_revision(number);
    }
    // The template of "a" is back, with all its annotations; the new pods have started with "b".
    tenant.kubectl(&["rollout", "undo", "deployment/app"]).expect("rolled back");
    wait_revision("4");
    let before = rig.restarts("app");
    rig.put_kv1("db", "a");
    rig.wait_recorded("db", "a");
    assert_eq!(rig.restarts("app"), before + 1);
    rig.assert_carries("app", "db");
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), before + 1);
}

#[test]
fn content_that_went_there_and_back_around_a_crash_is_restarted_for_where_the_secret_is_another_clients() {
    let tenant = Tenant::new("lent");
    let rig = RestartFixture::new(&tenant);
    let args = ["--leader-elect=false", "--backoff-initial-interval=1h", "--backoff-max-interval=1h"];
    tenant.apply(&tenant.workload("Deployment", "app"));
    tenant.apply(&json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "db" } }));
    rig.put_kv1("db", "a");
    let mut operator = tenant.operator(&args);
    let mut object = rig.kv1("db", &["app", "absent"]);
    object["spec"]["destination"]["create"] = json!(false);
    tenant.apply(&object);
    rig.wait_recorded("db", "a");
    // "b" reaches one of two targets, so that its restarts are not recorded.
    rig.put_kv1("db", "b");
    tenant.wait_condition("vaultstaticsecret", "db", "RolloutRestart", "False", "absent");
    rig.assert_carries("app", "db");
    assert_eq!(rig.restarts("app"), 1);
    operator.kill();
    rig.put_kv1("db", "a");
    let _operator = tenant.operator(&args);
    tenant.wait_value("db", "password", "a");
    eventually("a restart for the content that came back", || match rig.restarts("app") {
        2 => Ok(()),
        other => Err(other.to_string()),
    });
    rig.assert_carries("app", "db");

    // What another client writes is owed to no workload.
    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    rig.patch("VaultStaticSecret", "db", json!({ "spec": { "rolloutRestartTargets": targets } }));
    rig.wait_recorded("db", "a");
    rig.patch("Secret", "db", json!({ "data": encoded(&[("password", "x")]) }));
    tenant.wait_value("db", "password", "a");
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), 2);
}
