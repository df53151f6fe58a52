//! What a generator makes is pushed: once per interval, to all stores alike.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Pushing, SERVED, data_of, entry};
use test_support::audit::{Count, describe};
use test_support::eventually;

/// What is not made anew stays for longer than this.
const KEPT: Duration = Duration::from_secs(4);

fn generator(pushing: &Pushing, name: &str) -> Value {
    json!({
        "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Password",
        "metadata": { "name": name, "namespace": pushing.tenant.namespace },
        "spec": { "length": 20, "digits": 4, "symbols": 0 },
    })
}

/// A PushSecret of what the generator makes, as the secret `name` of each store. Members of `spec` win.
fn generated(pushing: &Pushing, name: &str, generator: &str, spec: Value) -> Value {
    let mut full = json!({
        "secretStoreRefs": [{ "name": "vault" }],
        "selector": { "secret": null, "generatorRef": { "kind": "Password", "name": generator } },
        "data": [entry(Some("password"), &pushing.key(name), Some("word"))],
    });
    json_patch::merge(&mut full, &spec);
    pushing.push(name, full)
}

/// The password in Vault, once there is one other than `before`.
#[track_caller]
fn wait_other(pushing: &Pushing, name: &str, before: &str) -> String {
    eventually(&format!("another password in {name}"), || {
        let found = pushing.in_vault(name)?["data"]["word"].as_str().unwrap_or("").to_owned();
        if found.is_empty() || found == before { Err("the one before".to_owned()) } else { Ok(found) }
    })
}

#[test]
fn what_is_generated_is_pushed_once_per_interval_and_kept_over_a_restart() {
    let pushing = Pushing::without_operator("ps-generated");
    let tenant = &pushing.tenant;
    let mut operator = tenant.operator(SERVED);
    tenant.apply(&generated(&pushing, "hourly", "later", json!({})));
    pushing.wait_failure("hourly", &["could not get source secret", "generator Password \"later\" does not exist"]);
    tenant.cluster.kubectl_apply(&generator(&pushing, "later").to_string()).unwrap();
    pushing.wait_synced("hourly");
    tenant.wait_event("hourly", "Synced", "PushSecret synced successfully");
    let first = wait_other(&pushing, "hourly", "");
    assert_eq!(first.len(), 20);

    let is_kept = || {
        let count = Count::start(tenant);
        std::thread::sleep(KEPT);
        let writes: Vec<_> = count.requests().into_iter().filter(|event| event.is_write()).collect();
        assert!(writes.is_empty(), "{}", describe(&writes));
        assert_eq!(wait_other(&pushing, "hourly", ""), first);
        assert_eq!(pushing.in_vault("hourly").unwrap()["metadata"]["version"], 1);
    };
    is_kept();
    operator.kill();
    operator = tenant.operator(SERVED);
    is_kept();

    // A change of the object, and the end of the interval.
    tenant.kubectl(&["annotate", "pushsecret", "hourly", "external-secrets.io/force-sync=1"]).unwrap();
    let second = wait_other(&pushing, "hourly", &first);
    tenant.apply(&generated(&pushing, "often", "later", json!({ "refreshInterval": "7s" })));
    let third = wait_other(&pushing, "often", "");
    let fourth = wait_other(&pushing, "often", &third);
    assert_eq!(wait_other(&pushing, "hourly", ""), second);
    tenant.assert_nothing_leaked(&operator, &[&first, &second, &third, &fourth]);
}

#[test]
fn a_store_that_comes_later_gets_what_the_others_have() {
    let (pushing, _operator) = Pushing::new("ps-generated-late");
    let tenant = &pushing.tenant;
    tenant.cluster.kubectl_apply(&generator(&pushing, "p").to_string()).unwrap();
    let mut late = tenant.get("secretstore", "cluster").unwrap();
    late["metadata"] = json!({ "name": "late", "namespace": tenant.namespace });
    late.as_object_mut().unwrap().remove("status");
    let to = |store: &str, key: &str| json!({ "storeRef": { "name": store }, "remoteKey": key });
    let spec = json!({
        "secretStoreRefs": [{ "name": "vault" }, { "name": "late" }],
        "data": [],
        "dataTo": [to("vault", &pushing.key("both")), to("late", "both")],
    });
    tenant.apply(&generated(&pushing, "both", "p", spec));
    pushing.wait_failure("both", &["could not get SecretStore \"late\""]);
    let password = eventually("it is in Vault", || {
        let found = pushing.in_vault("both")?["data"]["password"].as_str().unwrap_or("").to_owned();
        if found.is_empty() { Err("nothing".to_owned()) } else { Ok(found) }
    });
    tenant.apply(&late);
    pushing.wait_synced("both");
    assert_eq!(data_of(&pushing.in_cluster("both").unwrap()), json!({ "password": password }));
    assert_eq!(pushing.in_vault("both").unwrap()["metadata"]["version"], 1, "it was made once");
}

#[test]
fn a_store_that_gets_the_label_later_is_pushed_to_and_one_that_loses_it_is_cleaned() {
    let (pushing, _operator) = Pushing::new("ps-generated-stores");
    let tenant = &pushing.tenant;
    tenant.cluster.kubectl_apply(&generator(&pushing, "p").to_string()).unwrap();
    let stores = json!([{ "labelSelector": { "matchLabels": { "push": "yes" } } }]);
    let data = json!([entry(Some("password"), "db", Some("word"))]);
    let spec = json!({
        "refreshInterval": "0", "deletionPolicy": "Delete", "secretStoreRefs": stores, "data": data,
    });
    let second = format!("{}-second", tenant.namespace);
    tenant.cluster.kubectl(&["create", "namespace", &second]).unwrap();
    let account = format!("--serviceaccount={}:writer", tenant.namespace);
    let binding = ["create", "rolebinding", "writer", "--namespace", &second, "--clusterrole=admin", &account];
    tenant.cluster.kubectl(&binding).unwrap();
    tenant.kubectl(&["label", "secretstore", "cluster", "push=yes"]).unwrap();
    tenant.apply(&generated(&pushing, "db", "p", spec));
    pushing.wait_synced("db");
    let mut late = tenant.get("secretstore", "cluster").unwrap();
    late["metadata"] = json!({ "name": "late", "namespace": tenant.namespace, "labels": { "push": "yes" } });
    late["spec"]["provider"]["kubernetes"]["remoteNamespace"] = json!(second);
    late.as_object_mut().unwrap().remove("status");
    tenant.apply(&late);
    let at_second = || tenant.cluster.kubectl(&["get", "secret", "db", "--namespace", &second]);
    eventually("the late store has it", || at_second().map_err(|error| error.to_string()));
    tenant.kubectl(&["label", "secretstore", "late", "push-"]).unwrap();
    eventually("the store that left is cleaned", || match at_second() {
        Ok(found) => Err(found),
        Err(_) => Ok(()),
    });
    assert!(pushing.in_cluster("db").is_ok());
}
