//! Restarts: exactly one per target and content, keyed by the content; and none where the content did not change.

use std::collections::BTreeMap;

use serde_json::json;

use test_support::audit::Count;
use test_support::kube_client::encoded;
use test_support::restarts::RestartFixture;
use test_support::{Tenant, eventually};

#[test]
fn two_rotations_in_one_second_are_two_restarts() {
    let tenant = Tenant::new("rapid");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    rig.put_kv1("db", "0");
    let _operator = tenant.operator(&["--min-refresh-after=100ms", "--rollout-window=0"]);
    let mut object = rig.kv1("db", &["app"]);
    object["spec"]["refreshAfter"] = json!("0.1s");
    tenant.apply(&object);
    rig.wait_recorded("db", "0");

    // How fast they come depends on the machine, so there are as many as it takes until two had the same second.
    let mut times = BTreeMap::<String, usize>::new();
    for rotation in 1..=50 {
        rig.put_kv1("db", &rotation.to_string());
        eventually("a restart", || match rig.restarts("app") {
            done if done == rotation => Ok(()),
            done => Err(format!("{done} of {rotation}")),
        });
        let annotations = &rig.get("Deployment", "app")["spec"]["template"]["metadata"]["annotations"];
        let time = annotations["vso.secrets.hashicorp.com/restartedAt"].as_str().expect("a time").to_owned();
        let rotations = times.entry(time).or_default();
        *rotations += 1;
        if *rotations == 2 {
            break;
        }
    }
    assert!(times.values().any(|n| *n > 1), "no two rotations had the same second: {times:?}");
    let last = times.values().sum::<usize>();
    rig.wait_recorded("db", &last.to_string());
    rig.assert_carries("app", "db");
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), i64::try_from(last).unwrap());
}

#[test]
fn nothing_but_new_content_restarts() {
    let tenant = Tenant::new("calm");
    let rig = RestartFixture::new(&tenant);
    for name in ["app", "late"] {
        tenant.apply(&tenant.workload("Deployment", name));
    }
    tenant.put("db", json!({ "password": "one" }));
    let mut operator = tenant.operator(&["--leader-elect=false"]);
    tenant.apply(&rig.object("db", &["app"], json!({})));
    rig.wait_recorded("db", "one");
    let unchanged = |why: &str| {
        rig.several_refreshes();
        assert_eq!((rig.restarts("app"), rig.restarts("late")), (0, 0), "{why}");
    };
    unchanged("first sync");

    rig.patch("VaultStaticSecret", "db", json!({ "spec": { "destination": { "labels": { "team": "blue" } } } }));
    eventually("the label", || match rig.get("Secret", "db")["metadata"]["labels"]["team"].as_str() {
        Some("blue") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    rig.patch("VaultStaticSecret", "db", json!({ "spec": { "refreshAfter": "0.9s" } }));
    let both = json!([{ "kind": "Deployment", "name": "app" }, { "kind": "Deployment", "name": "late" }]);
    rig.patch("VaultStaticSecret", "db", json!({ "spec": { "rolloutRestartTargets": both } }));
    rig.wait_recorded("db", "one");
    unchanged("another spec with equal bytes");

    let hmac = |on: bool| rig.patch("VaultStaticSecret", "db", json!({ "spec": { "hmacSecretData": on } }));
    hmac(false);
    eventually("no MAC", || match rig.get("VaultStaticSecret", "db")["status"]["secretMAC"].as_str() {
        None => Ok(()),
        Some(mac) => Err(mac.to_owned()),
    });
    unchanged("hmacSecretData off");
    hmac(true);
    rig.wait_recorded("db", "one");
    unchanged("hmacSecretData on again");

    rig.patch("Secret", "db", json!({ "data": encoded(&[("password", "wrong"), ("more", "x")]) }));
    rig.wait_recorded("db", "one");
    assert!(rig.get("Secret", "db")["data"]["more"].is_null(), "a foreign key is gone");
    rig.patch("Secret", "db", json!({ "metadata": { "annotations": null }, "data": encoded(&[("password", "x")]) }));
    rig.wait_recorded("db", "one");
    unchanged("drift repaired");

    let uid = rig.get("Secret", "db")["metadata"]["uid"].clone();
    rig.api.delete("Secret", &tenant.namespace, "db").expect("deleted");
    rig.wait_recorded("db", "one");
    assert_ne!(rig.get("Secret", "db")["metadata"]["uid"], uid);
    unchanged("destination made again");

    rig.patch("VaultStaticSecret", "db", json!({ "spec": { "destination": { "name": "db-2" } } }));
    tenant.wait_value("db-2", "password", "one");
    eventually("the old one is gone", || match rig.api.get("Secret", &tenant.namespace, "db") {
        Ok(_) => Err("it is there"),
        Err(_) => Ok(()),
    });
    rig.patch("VaultStaticSecret", "db", json!({ "spec": { "destination": { "name": "db" } } }));
    rig.wait_recorded("db", "one");
    unchanged("destination renamed");

    for _ in 0..2 {
        operator.kill();
        operator = tenant.operator(&["--leader-elect=false"]);
        unchanged("a start of the operator");
    }

    // After all of this a change restarts both, once.
    tenant.put("db", json!({ "password": "two" }));
    rig.wait_recorded("db", "two");
    rig.several_refreshes();
    assert_eq!((rig.restarts("app"), rig.restarts("late")), (1, 1));
    rig.assert_carries("late", "db");
}

#[test]
fn content_that_comes_back_restarts_again() {
    let tenant = Tenant::new("flip");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    rig.put_kv1("db", "a");
    let _operator = tenant.operator(&[]);
    tenant.apply(&rig.kv1("db", &["app"]));
    rig.wait_recorded("db", "a");
    for (done, password) in ["b", "a", "b", "a"].into_iter().enumerate() {
        rig.put_kv1("db", password);
        rig.wait_recorded("db", password);
        assert_eq!(rig.restarts("app"), i64::try_from(done).unwrap() + 1);
        rig.assert_carries("app", "db");
    }

    // The same for an object that is deleted and made again: "b" was there before, but the pods have run with "a"
    // since.
    rig.put_kv1("db", "b");
    rig.wait_recorded("db", "b");
    rig.api.delete("VaultStaticSecret", &tenant.namespace, "db").expect("deleted");
    eventually("the Secret is collected", || match rig.api.get("Secret", &tenant.namespace, "db") {
        Ok(_) => Err("it is there"),
        Err(_) => Ok(()),
    });
    rig.put_kv1("db", "a");
    tenant.apply(&rig.kv1("db", &["app"]));
    rig.wait_recorded("db", "a");
    assert_eq!(rig.restarts("app"), 5, "a first sync");
    rig.put_kv1("db", "b");
    rig.wait_recorded("db", "b");
    assert_eq!(rig.restarts("app"), 6);
}

#[test]
fn several_objects_restart_one_target_once_each() {
    let tenant = Tenant::new("many");
    let rig = RestartFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let names = ["a", "b", "c", "d"];
    let _operator = tenant.operator(&["--rollout-window=0"]);
    let put = |password: &str| names.iter().for_each(|name| tenant.put(name, json!({ "password": password })));
    let wait = |password: &str| names.iter().for_each(|name| rig.wait_recorded(name, password));
    put("one");
    names.iter().for_each(|name| tenant.apply(&rig.object(name, &["app", "app"], json!({}))));
    wait("one");
    let count = Count::start(&tenant);
    put("two");
    wait("two");
    tenant.put("a", json!({ "password": "three" }));
    rig.wait_recorded("a", "three");
    rig.several_refreshes();
    assert_eq!(rig.restarts("app"), 5, "four objects changed, one of them twice");
    assert_eq!(count.restarts("deployments", "app"), 5);
    names.iter().for_each(|name| rig.assert_carries("app", name));
}
