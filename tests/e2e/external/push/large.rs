//! Pushes of many keys: they go on from run to run, and nothing of them is forgotten.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::{object, vault_provider};
use super::{Pushing, entry};
use test_support::eventually;
use test_support::forwarder::Forwarder;

/// The store `slow`, which leads to Vault through a server that hands each request on after a pause.
fn slow_store(pushing: &Pushing, pause: Duration) -> Forwarder {
    let tenant = &pushing.tenant;
    let forwarder = Forwarder::of_slow_tcp(tenant.cluster.vault_addr().trim_start_matches("http://"), pause);
    let server = format!("http://127.0.0.1:{}", forwarder.port);
    tenant.apply(&object(tenant, "SecretStore", "slow", vault_provider(tenant, json!({ "server": server }))));
    forwarder
}

/// The Secret `source` with so many keys.
fn source(pushing: &Pushing, count: usize) {
    let data: serde_json::Map<String, Value> =
        (0..count).map(|i| (format!("k{i:05}"), json!(format!("{{\"v\":\"{i}\"}}")))).collect();
    let tenant = &pushing.tenant;
    let file = tenant.cluster.dir().join(format!("{}.json", tenant.namespace));
    std::fs::write(&file, super::secret("source", Value::Object(data)).to_string()).unwrap();
    let _ = tenant.kubectl(&["delete", "secret", "source", "--ignore-not-found"]);
    // It may be too large for the annotation that `apply` makes.
    tenant.kubectl(&["create", "--filename", file.to_str().unwrap()]).unwrap();
}

/// A PushSecret of each key to a secret of its own, below `folder`.
fn each_key(pushing: &Pushing, store: &str, folder: &str, spec: Value) -> Value {
    let target = format!("{}/$1", pushing.key(folder));
    let rewrite = json!([{ "regexp": { "source": "^(.*)$", "target": target } }]);
    let mut full =
        json!({ "deletionPolicy": "Delete", "dataTo": [{ "storeRef": { "name": store }, "rewrite": rewrite }] });
    json_patch::merge(&mut full, &spec);
    pushing.push_to(store, folder, full)
}

/// The secrets of Vault below a folder.
fn in_folder(pushing: &Pushing, folder: &str) -> usize {
    let path = format!("secret/metadata/{}", pushing.key(folder));
    let found = pushing.tenant.cluster.vault("LIST", &path, None);
    found.map_or(0, |answer| answer["data"]["keys"].as_array().map_or(0, Vec::len))
}

fn wait_in_folder(pushing: &Pushing, folder: &str, what: &str, is_enough: impl Fn(usize) -> bool) {
    eventually(what, || match in_folder(pushing, folder) {
        count if is_enough(count) => Ok(()),
        count => Err(format!("{count} secrets")),
    });
}

#[test]
fn a_large_push_goes_on_from_run_to_run_and_holds_up_no_other() {
    let (pushing, operator) = Pushing::new("ps-large-push");
    let tenant = &pushing.tenant;
    let _slow = slow_store(&pushing, Duration::from_millis(20));
    source(&pushing, 600);
    // Two reads and two writes of each secret take 48 seconds at least.
    tenant.apply(&each_key(&pushing, "slow", "many", json!({})));
    wait_in_folder(&pushing, "many", "some are pushed", |count| count >= 20);
    tenant.apply(&pushing.push_to(
        "slow",
        "one",
        json!({ "data": [entry(Some("k00000"), &pushing.key("one"), Some("p"))] }),
    ));
    pushing.wait_synced("one");
    // What was pushed is recorded before all is.
    let recorded = || pushing.synced("many")["SecretStore/slow"].as_array().map_or(0, Vec::len);
    let some = eventually("some are recorded", || match recorded() {
        0 => Err("none".to_owned()),
        count => Ok(count),
    });
    assert!(some < 600, "{some}");
    let progress = ("Ready", "False", Some("InProgress"));
    tenant.wait_condition_of(
        "pushsecret",
        "many",
        progress,
        &["pushing to SecretStore/slow: ", " of 600 secrets are done"],
    );
    pushing.wait_synced("many");
    assert_eq!((recorded(), in_folder(&pushing, "many")), (600, 600));
    // A look that finds nothing to do is told nowhere, however long it takes.
    let before = tenant.version("pushsecret", "many");
    tenant.kubectl(&["annotate", "secret", "source", "look=again"]).unwrap();
    std::thread::sleep(Duration::from_secs(20));
    assert_eq!(tenant.version("pushsecret", "many"), before);
    // What takes long to delete is deleted from run to run, too.
    tenant.kubectl(&["delete", "pushsecret", "many", "--wait=false"]).unwrap();
    eventually("some are not recorded any more", || match recorded() {
        count if count < 600 => Ok(()),
        count => Err(count.to_string()),
    });
    tenant.kubectl(&["wait", "--for=delete", "pushsecret/many", "--timeout=120s"]).unwrap();
    assert_eq!(in_folder(&pushing, "many"), 0);
    drop(operator);
}

#[test]
fn a_change_in_the_middle_of_a_push_forgets_nothing_of_it() {
    let (pushing, _operator) = Pushing::new("ps-cut-off");
    let tenant = &pushing.tenant;
    // So slow that a run is cut off between the first secret and the second.
    let _slow = slow_store(&pushing, Duration::from_millis(900));
    source(&pushing, 6);
    tenant.apply(&each_key(&pushing, "slow", "changed", json!({})));
    wait_in_folder(&pushing, "changed", "one is pushed", |count| count >= 1);
    let other = pushing.key("changed/other");
    let spec = json!({ "dataTo": null, "data": [entry(Some("k00000"), &other, Some("p"))] });
    tenant.apply(&each_key(&pushing, "slow", "changed", spec));
    wait_in_folder(&pushing, "changed", "the other one is pushed", |_| pushing.in_vault("changed/other").is_ok());
    pushing.wait_synced("changed");
    wait_in_folder(&pushing, "changed", "the other one is left", |count| count == 1);
    assert_eq!(pushing.synced("changed"), json!({ "SecretStore/slow": [format!("{other}/p")] }));
}

#[test]
fn five_thousand_keys_are_refused_before_the_first_is_pushed_and_a_thousand_are_pushed() {
    let (pushing, operator) = Pushing::new("ps-thousands");
    let tenant = &pushing.tenant;
    for count in [20_000, 5_000] {
        source(&pushing, count);
        tenant.apply(&each_key(&pushing, "vault", "many", json!({})));
        pushing.wait_failure("many", &["more than the status can record"]);
        assert_eq!(in_folder(&pushing, "many"), 0);
    }
    let before = operator.peak_memory() >> 10;
    source(&pushing, 1_000);
    let started = Instant::now();
    pushing.wait_synced("many");
    println!("1,000 in {:?}, from {before} to {} MiB", started.elapsed(), operator.peak_memory() >> 10);
    assert_eq!(in_folder(&pushing, "many"), 1_000);
    tenant.kubectl(&["delete", "pushsecret", "many", "--timeout=120s"]).unwrap();
    assert_eq!(in_folder(&pushing, "many"), 0);
}
