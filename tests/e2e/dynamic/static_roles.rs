//! Static roles: Vault rotates the password, and the Secret follows.

use std::time::Duration;

use serde_json::json;
use testenv::Server;

use test_support::audit::{Count, describe};
use test_support::engines::database::Rotation;
use test_support::kube_client::encoded;
use test_support::{FAST_RETRY, NO_ELECTION, Tenant, lacks};

use super::{Fixture, KIND, RESOURCE};
use crate::refusal::Refusal;

/// Long enough for several looks, if any were made.
const WHILE_NOTHING_ROTATES: Duration = Duration::from_secs(5);

fn targets() -> serde_json::Value {
    json!({ "allowStaticCreds": true, "rolloutRestartTargets": [{ "kind": "Deployment", "name": "app" }] })
}

#[test]
fn a_secret_follows_each_rotation_with_one_restart_and_few_reads() {
    let tenant = Tenant::new("rotating");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.static_role("often", Rotation::Period(15));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    let path = rig.database.static_creds("often");
    tenant.apply(&rig.object("db", &path, targets()));
    let mut password = rig.wait_credentials("db", &json!({}));
    rig.wait_synced("db");
    let status = rig.get("db")["status"].clone();
    assert_eq!(status["secretLease"]["id"], "");
    assert_eq!(status["staticCredsMetaData"]["rotationPeriod"], 15);
    assert_eq!(rig.restarts.restarts("app"), 0, "a first sync restarts nothing");

    let marker = rig.marker();
    for rotation in 1..=3 {
        password = rig.wait_credentials("db", &password);
        rig.wait_restarts("app", rotation);
    }
    let reads = rig.requests(marker, &path);
    assert!(reads <= 3 * 9, "{reads} reads for three rotations of 15 s each");
    tenant.wait_event("db", "SecretRotated", "Secret synced, lease_id=\"\"");
}

#[test]
fn what_the_status_could_not_tell_at_first_is_followed_all_the_same() {
    let tenant = Tenant::new("unrecorded");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    rig.database.static_role("often", Rotation::Period(15));
    let _operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    tenant.apply(&rig.object("db", &rig.database.creds("app"), json!({})));
    let leased = rig.wait_credentials("db", &json!({}));
    rig.wait_synced("db");

    let status = ("secrets.hashicorp.com", "vaultdynamicsecrets/status");
    let patch = r#"--patch={"status":{"lastGeneration":99}}"#;
    let probe = ["patch", RESOURCE, "db", "--subresource=status", "--type=merge", "--dry-run=server", patch];
    let refusal = Refusal::of_operation(&tenant, status, "UPDATE", "false", &probe);
    let spec = json!({ "path": "static-creds/often", "allowStaticCreds": true });
    rig.restarts.patch(KIND, "db", json!({ "spec": spec }));
    let password = rig.wait_credentials("db", &leased);
    drop(refusal);
    rig.wait_synced("db");
    rig.wait_credentials("db", &password);
    assert_eq!(rig.get("db")["status"]["staticCredsMetaData"]["rotationPeriod"], 15);
}

#[test]
fn while_nothing_rotates_nothing_is_written_and_a_rotation_by_hand_is_seen() {
    let tenant = Tenant::new("unrotated");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.static_role("daily", Rotation::Period(86_400));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&NO_ELECTION);
    let path = rig.database.static_creds("daily");
    tenant.apply(&rig.object("rare", &path, targets()));
    let mut spec = targets();
    spec["refreshAfter"] = json!("2s");
    tenant.apply(&rig.object("looks", &path, spec));
    for name in ["rare", "looks"] {
        rig.wait_credentials(name, &json!({}));
        rig.wait_synced(name);
    }

    let (count, marker) = (Count::start(&tenant), rig.marker());
    std::thread::sleep(WHILE_NOTHING_ROTATES);
    let requests = count.requests();
    assert!(requests.is_empty(), "{}", describe(&requests));
    let reads = rig.requests(marker, &path);
    assert!((1..=4).contains(&reads), "{reads} reads: one of two objects looks every 2 s");

    operator.kill();
    let (count, marker) = (Count::start(&tenant), rig.marker());
    let _operator = tenant.operator(&NO_ELECTION);
    std::thread::sleep(WHILE_NOTHING_ROTATES);
    let writes: Vec<_> = count.requests().into_iter().filter(|event| event.is_write()).collect();
    assert!(writes.is_empty(), "after a restart of the operator: {}", describe(&writes));
    assert!(rig.requests(marker, &path) >= 2, "a rotation while no operator ran would have been seen");
    assert_eq!(rig.restarts.restarts("app"), 0);

    let old = rig.credentials("looks");
    rig.database.rotate("daily");
    rig.wait_credentials("looks", &old);
    rig.wait_restarts("app", 1);
    assert_eq!(rig.credentials("rare"), old, "this one waits for the announced rotation");
}

#[test]
fn a_secret_with_static_credentials_that_another_client_changes_is_repaired() {
    let tenant = Tenant::new("staticdrift");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.static_role("daily", Rotation::Period(86_400));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&rig.object("db", &rig.database.static_creds("daily"), targets()));
    let good = rig.wait_credentials("db", &json!({}));
    rig.wait_synced("db");
    for _ in 0..2 {
        rig.restarts.patch("Secret", "db", json!({ "data": encoded(&[("password", "wrong")]) }));
        tenant.wait_value("db", "password", good["password"].as_str().expect("a password"));
    }
    rig.restarts.api.delete("Secret", &tenant.namespace, "db").expect("it is deleted");
    tenant.wait_value("db", "password", good["password"].as_str().expect("a password"));
    rig.restarts.several_refreshes();
    assert_eq!(rig.restarts.restarts("app"), 0, "no workload ever had other content");
}

#[test]
fn a_schedule_is_followed() {
    if lacks(Server::OpenBao, "rotation schedules") {
        return;
    }
    let tenant = Tenant::new("scheduled");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.static_role("minutely", Rotation::Schedule("* * * * *"));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let _operator = tenant.operator(&NO_ELECTION);
    let path = rig.database.static_creds("minutely");
    tenant.apply(&rig.object("db", &path, targets()));
    let password = rig.wait_credentials("db", &json!({}));
    rig.wait_synced("db");
    assert_eq!(rig.get("db")["status"]["staticCredsMetaData"]["rotationSchedule"], "* * * * *");
    let (before, marker) = (rig.restarts.restarts("app"), rig.marker());
    rig.wait_credentials("db", &password);
    rig.wait_restarts("app", before + 1);
    let reads = rig.requests(marker, &path);
    assert!(reads <= 12, "{reads} reads for one rotation");
}
