//! What is pushed arrives, stays, and costs nothing while nothing changes.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Pushing, entry};
use test_support::audit::{Count, describe};

const AWHILE: Duration = Duration::from_secs(6);

#[test]
fn keys_are_pushed_to_vault_and_to_a_cluster() {
    let (pushing, operator) = Pushing::new("ps-sync");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "user": "one", "password": "p1-right" }));
    let data = |key: &str| json!([entry(Some("user"), key, Some("name")), entry(Some("password"), key, Some("word"))]);
    tenant.apply(&pushing.push_to("vault", "to-vault", json!({ "data": data(&pushing.key("db")) })));
    tenant.apply(&pushing.push_to("cluster", "to-cluster", json!({ "data": data("db") })));
    pushing.wait_vault("db", json!({ "name": "one", "word": "p1-right" }));
    pushing.wait_cluster("db", json!({ "name": "one", "word": "p1-right" }));
    for name in ["to-vault", "to-cluster"] {
        pushing.wait_synced(name);
        tenant.wait_event(name, "Synced", "PushSecret synced successfully");
    }
    assert_eq!(pushing.in_vault("db").unwrap()["metadata"]["custom_metadata"]["managed-by"], "external-secrets");
    let places = json!({ "SecretStore/cluster": ["db/name", "db/word"] });
    assert_eq!(pushing.synced("to-cluster"), places);
    let table = tenant.kubectl(&["get", "pushsecret", "to-cluster"]).unwrap();
    let words: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(words[..5], ["NAME", "AGE", "STATUS", "LAST", "SYNC"], "{table}");
    assert_eq!(words[7], "Synced", "{table}");

    let began = Instant::now();
    pushing.source(json!({ "user": "two", "password": "p2-right" }));
    pushing.wait_cluster("db", json!({ "name": "two", "word": "p2-right" }));
    pushing.wait_vault("db", json!({ "name": "two", "word": "p2-right" }));
    println!("a rotation has arrived in both after {:?}", began.elapsed());
    tenant.assert_nothing_leaked(&operator, &["p1-right", "p2-right"]);
}

#[test]
fn nothing_is_written_while_nothing_changes_and_what_was_changed_by_hand_is_repaired() {
    let (pushing, _operator) = Pushing::new("ps-steady");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "user": "one", "password": "two" }));
    let data = |key: &str| json!([entry(Some("user"), key, Some("name")), entry(Some("password"), key, Some("word"))]);
    let key = pushing.key("db");
    let spec = |key: &str| json!({ "refreshInterval": "2s", "data": data(key) });
    tenant.apply_all(&[
        pushing.push_to("vault", "to-vault", spec(&key)),
        pushing.push_to("cluster", "to-cluster", spec("db")),
    ]);
    for name in ["to-vault", "to-cluster"] {
        pushing.wait_synced(name);
    }
    let version = || (tenant.version("pushsecret", "to-vault"), tenant.version("pushsecret", "to-cluster"));
    let (before, steady) = (version(), Count::start(tenant));
    let marker = tenant.cluster.kube_audit_marker().unwrap();
    std::thread::sleep(AWHILE);
    let writes: Vec<_> = steady.requests().into_iter().filter(|event| event.is_write()).collect();
    assert!(writes.is_empty(), "{}", describe(&writes));
    assert_eq!(version(), before);
    let reads = steady.reads().remove(&format!("secret/data/{key}")).unwrap_or_default().len();
    let (events, _) = tenant.cluster.kube_audit_since(marker).unwrap();
    let writer = format!("system:serviceaccount:{}:writer", tenant.namespace);
    let of_target: Vec<_> =
        events.into_iter().filter(|event| event.user == writer && event.resource == "secrets").collect();
    assert!(of_target.iter().all(|event| event.verb == "get"), "{}", describe(&of_target));
    println!("in {AWHILE:?}, with an interval of 2 s: {reads} reads of Vault, {} of the cluster", of_target.len());
    // One per interval for both rows; an interval is shortened by a tenth at most.
    assert!((1..=5).contains(&reads), "{reads}");
    assert!((1..=5).contains(&of_target.len()), "{}", describe(&of_target));

    tenant.put("db", json!({ "name": "one", "word": "by hand" }));
    let patch = r#"--patch={"stringData":{"word":"by hand"}}"#;
    let args = ["patch", "secret", "db", "--namespace", &pushing.target, "--type=merge", patch];
    tenant.cluster.kubectl(&args).unwrap();
    pushing.wait_vault("db", json!({ "name": "one", "word": "two" }));
    pushing.wait_cluster("db", json!({ "name": "one", "word": "two" }));
    tenant.cluster.kubectl(&["delete", "secret", "db", "--namespace", &pushing.target]).unwrap();
    pushing.wait_cluster("db", json!({ "name": "one", "word": "two" }));
}
