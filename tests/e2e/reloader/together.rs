//! What changes together is one rollout, whoever asks for it.

use serde_json::json;

use super::{AUTO, SERVED, restarts, secret, settle, wait_noted, wait_restarts, workload};
use test_support::Tenant;
use test_support::audit::Count;
use test_support::kube_client::encoded;
use test_support::restarts::RestartFixture;

const WINDOW: &str = "--rollout-window=15s";

#[test]
fn several_secrets_that_change_within_the_window_are_one_rollout() {
    let tenant = Tenant::new("reloadmany");
    let rig = RestartFixture::new(&tenant);
    let names: Vec<String> = (0..10).map(|n| format!("db-{n}")).collect();
    names.iter().for_each(|name| tenant.apply(&secret(name, "one")));
    let reads: Vec<String> = names.iter().map(|name| format!("secretRef/{name}")).collect();
    let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
    tenant.apply(&workload(&tenant, "Deployment", "app", json!({ AUTO: "true" }), &reads));
    let _operator = tenant.operator(&[SERVED[0], SERVED[1], WINDOW]);
    names.iter().for_each(|name| wait_noted(&rig, "Deployment", "app", &format!("Secret/{name}")));
    let count = Count::start(&tenant);
    for name in &names {
        rig.patch("Secret", name, json!({ "data": encoded(&[("password", "two")]) }));
    }
    wait_restarts(&rig, "Deployment", "app", 1);
    settle();
    assert_eq!((restarts(&rig, "Deployment", "app"), count.restarts("deployments", "app")), (1, 1));
    tenant.wait_event("app", "RolloutRestartTriggered", "Secret/db-9");
}

#[test]
fn a_target_of_an_object_that_asks_by_annotation_too_is_rolled_out_once() {
    let tenant = Tenant::new("reloadboth");
    let rig = RestartFixture::new(&tenant);
    tenant.put("db", json!({ "password": "one" }));
    tenant.apply(&workload(&tenant, "Deployment", "app", json!({ AUTO: "true" }), &["secretRef/db"]));
    let _operator = tenant.operator(&[SERVED[0], SERVED[1], WINDOW]);
    tenant.apply(&rig.object("db", &["app"], json!({})));
    rig.wait_recorded("db", "one");
    wait_noted(&rig, "Deployment", "app", "Secret/db");
    for (rollouts, password) in [(1, "two"), (2, "three")] {
        tenant.put("db", json!({ "password": password }));
        rig.wait_recorded("db", password);
        rig.assert_carries("app", "db");
        wait_restarts(&rig, "Deployment", "app", rollouts);
        // The window of what would be another one.
        std::thread::sleep(std::time::Duration::from_secs(18));
        assert_eq!(restarts(&rig, "Deployment", "app"), rollouts);
    }
}
