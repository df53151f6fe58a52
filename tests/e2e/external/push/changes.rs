//! Of an object that is changed, nothing is deleted that it still pushes.

use std::time::Duration;

use serde_json::{Value, json};

use testenv::Options;

use super::{Pushing, SERVED, data_of, entry, object, vault_provider};
use test_support::audit::{Count, describe};
use test_support::{Tenant, eventually, own};

fn deleting(data: Value) -> Value {
    json!({ "deletionPolicy": "Delete", "data": data })
}

/// Waits until the status names just these places: what is obsolete was deleted before.
#[track_caller]
fn wait_places(pushing: &Pushing, name: &str, expected: Value) {
    eventually(&format!("{name} has pushed to {expected}"), || match pushing.synced(name) {
        found if found == expected => Ok(()),
        found => Err(found.to_string()),
    });
}

#[test]
fn all_keys_of_a_secret_become_single_keys_and_again_all() {
    let (pushing, _operator) = Pushing::new("ps-forms-change");
    pushing.source(json!({ "a": "1", "b": "2", "c": "3" }));
    let (key, tenant) = (pushing.key("db"), &pushing.tenant);
    let push = |data: &dyn Fn(&str) -> Value| {
        tenant.apply_all(&[
            pushing.push_to("vault", "to-vault", deleting(data(&key))),
            pushing.push_to("cluster", "to-cluster", deleting(data("db"))),
        ]);
    };
    let wait = |places: &[&str], data: Value| {
        let of = |key: &str| places.iter().map(|place| format!("{key}{place}")).collect::<Vec<_>>();
        wait_places(&pushing, "to-vault", json!({ "SecretStore/vault": of(&key) }));
        wait_places(&pushing, "to-cluster", json!({ "SecretStore/cluster": of("db") }));
        pushing.wait_vault("db", data.clone());
        pushing.wait_cluster("db", data);
    };
    let all = |key: &str| json!([entry(None, key, None)]);
    let single = |key: &str| json!([entry(Some("a"), key, Some("a")), entry(Some("b"), key, Some("b"))]);
    push(&all);
    wait(&[""], json!({ "a": "1", "b": "2", "c": "3" }));
    push(&single);
    wait(&["/a", "/b"], json!({ "a": "1", "b": "2" }));
    assert_eq!(pushing.in_vault("db").unwrap()["metadata"]["version"], 2, "its versions are there");
    push(&all);
    wait(&[""], json!({ "a": "1", "b": "2", "c": "3" }));
    tenant.kubectl(&["delete", "pushsecret", "to-vault", "to-cluster", "--timeout=120s"]).unwrap();
    assert!(pushing.in_vault("db").is_err() && pushing.in_cluster("db").is_err());
}

#[test]
fn another_spelling_of_a_key_and_another_store_of_a_server_lead_to_one_secret() {
    let (pushing, _operator) = Pushing::new("ps-names-change");
    pushing.source(json!({ "a": "1", "b": "2" }));
    let (key, tenant) = (pushing.key("db"), &pushing.tenant);
    tenant.apply(&object(tenant, "SecretStore", "vault-new", vault_provider(tenant, json!({}))));
    let push = |store: &str, keys: &[&str]| {
        let data: Vec<Value> = keys.iter().map(|key| entry(None, key, None)).collect();
        tenant.apply(&pushing.push_to(store, "db", deleting(json!(data))));
    };
    let other = format!("secret/{key}");
    for (store, key) in [("vault", &key), ("vault", &other), ("vault-new", &other), ("vault", &key)] {
        push(store, &[key]);
        wait_places(&pushing, "db", json!({ format!("SecretStore/{store}"): [key] }));
        pushing.wait_vault("db", json!({ "a": "1", "b": "2" }));
        assert_eq!(pushing.in_vault("db").unwrap()["metadata"]["version"], 1, "nothing was written");
    }
    // Twice is once too often, however it is written.
    push("vault", &[&key, &other]);
    pushing.wait_failure("db", &["is pushed to more than once"]);
    assert_eq!(pushing.in_vault("db").unwrap()["metadata"]["version"], 1);
    // A store that is not there yet may be the same by another name.
    push("later", &[&key]);
    pushing.wait_failure("db", &["later"]);
    assert_eq!(pushing.in_vault("db").unwrap()["data"], json!({ "a": "1", "b": "2" }));
    tenant.apply(&object(tenant, "SecretStore", "later", vault_provider(tenant, json!({}))));
    wait_places(&pushing, "db", json!({ "SecretStore/later": [key] }));
    assert_eq!(pushing.in_vault("db").unwrap()["data"], json!({ "a": "1", "b": "2" }));
    tenant.kubectl(&["delete", "pushsecret", "db", "--timeout=120s"]).unwrap();
    assert!(pushing.in_vault("db").is_err());
}

#[test]
fn an_entry_that_leads_to_another_namespace_leaves_nothing_behind() {
    let cluster = own(Options::default());
    let pushing = Pushing::of(Tenant::serving_all(&cluster, "ps-moves"));
    let tenant = &pushing.tenant;
    let _operator = tenant.operator(SERVED);
    pushing.source(json!({ "a": "1" }));
    let second = format!("{}-second", tenant.namespace);
    cluster.kubectl(&["create", "namespace", &second]).unwrap();
    let account = format!("--serviceaccount={}:writer", tenant.namespace);
    let binding = ["create", "rolebinding", "writer", "--namespace", &second, "--clusterrole=admin", &account];
    cluster.kubectl(&binding).unwrap();
    let mut provider = tenant.get("secretstore", "cluster").unwrap()["spec"]["provider"].take();
    provider["kubernetes"]["auth"]["serviceAccount"]["namespace"] = json!(tenant.namespace);
    let store = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": { "name": "anywhere" },
        "spec": { "provider": provider },
    });
    cluster.kubectl_apply(&store.to_string()).unwrap();
    let anywhere = json!({ "name": "anywhere", "kind": "ClusterSecretStore" });
    let push_to = |namespace: &str, stores: Value| {
        let mut row = entry(Some("a"), "db", Some("a"));
        row["metadata"] = json!({
            "apiVersion": "kubernetes.external-secrets.io/v1alpha1", "kind": "PushSecretMetadata",
            "spec": { "remoteNamespace": namespace },
        });
        let mut spec = deleting(json!([row]));
        spec["secretStoreRefs"] = stores;
        tenant.apply(&pushing.push("moves", spec));
    };
    let push = |namespace: &str| push_to(namespace, json!([anywhere]));
    let in_second = || {
        let found = cluster.kubectl(&["get", "secret", "db", "--namespace", &second, "--output=json"]);
        found.map(|found| data_of(&serde_json::from_str(&found).unwrap())).map_err(|error| error.to_string())
    };
    push(&pushing.target);
    pushing.wait_cluster("db", json!({ "a": "1" }));
    push(&second);
    eventually("it is pushed to the second namespace", || match in_second() {
        Ok(found) if found == json!({ "a": "1" }) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    eventually("it is gone from the first", || match pushing.in_cluster("db") {
        Ok(found) => Err(found.to_string()),
        Err(_) => Ok(()),
    });
    pushing.wait_synced("moves");
    wait_places(&pushing, "moves", json!({ "ClusterSecretStore/anywhere": ["db/a"] }));

    // Where a store leads that is not there is not known: it may be to what would be deleted.
    push_to(&pushing.target, json!([anywhere, { "name": "missing" }]));
    pushing.wait_failure("moves", &["missing"]);
    let count = Count::start(tenant);
    std::thread::sleep(Duration::from_secs(3));
    let requests = count.requests();
    assert!(requests.len() < 20, "the object is looked at without a pause:\n{}", describe(&requests));
    assert!(in_second().is_ok());
    push(&pushing.target);
    pushing.wait_cluster("db", json!({ "a": "1" }));
    assert!(in_second().unwrap_err().contains("not found"));
    tenant.kubectl(&["delete", "pushsecret", "moves", "--timeout=120s"]).unwrap();
    assert!(pushing.in_cluster("db").is_err());
    assert!(in_second().unwrap_err().contains("not found"));
}
