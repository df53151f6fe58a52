//! Destinations that change under the operator: their type, their name, their marks.

use std::time::Duration;

use serde_json::{Value, json};

use crate::refusal::Refusal;
use test_support::FAST_RETRY;
use test_support::audit::Count;
use test_support::kube_client::{KubeClient, encoded};
use test_support::{Tenant, eventually};

/// Group and resource.
const SECRETS: (&str, &str) = ("", "secrets");
const GOOD: &str = "changes-hunter2";
const TLS: &str = "kubernetes.io/tls";

fn patch(tenant: &Tenant<'_>, kind: &str, name: &str, patch: Value) {
    KubeClient::of(tenant.cluster).patch(kind, &tenant.namespace, name, &patch).expect("patched");
}

fn set_type(tenant: &Tenant<'_>, name: &str, type_: &str) {
    patch(tenant, "vaultstaticsecret", name, json!({ "spec": { "destination": { "type": type_ } } }));
}

#[test]
fn a_type_that_the_data_does_not_fit_costs_no_data() {
    let tenant = Tenant::new("types");
    tenant.put("db", json!({ "password": GOOD }));
    let operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&tenant.static_secret("db", json!({})));
    tenant.wait_synced("db");
    let before = tenant.get("secret", "db").expect("the Secret");
    set_type(&tenant, "db", TLS);
    tenant.wait_failure("db", "SecretSyncError", &["data[tls.crt]"]);
    assert_eq!(tenant.get("secret", "db").expect("the Secret"), before, "nothing was done to it");
    // With data that fits, the type is changed.
    set_type(&tenant, "db", "example.com/own");
    tenant.wait_synced("db");
    let after = tenant.get("secret", "db").expect("the Secret");
    assert_eq!(after["type"], "example.com/own");
    assert_eq!(after["data"], before["data"]);
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn a_secret_whose_successor_is_refused_after_all_is_put_back() {
    let tenant = Tenant::new("refusal");
    tenant.put("db", json!({ "password": GOOD }));
    let _operator = tenant.operator(&["--backoff-initial-interval=10s", "--backoff-max-interval=10s"]);
    tenant.apply(&tenant.static_secret("db", json!({ "refreshAfter": "1h" })));
    tenant.wait_synced("db");
    let probe = ["create", "secret", "generic", "probe", "--type=example.com/own"];
    let expression = "object.type != 'example.com/own' || (has(request.dryRun) && request.dryRun)";
    let _ = tenant.kubectl(&["delete", "secret", "probe", "--ignore-not-found"]);
    let refusal = {
        let delete = ["delete", "secret", "probe", "--ignore-not-found"];
        let refusal = Refusal::of_operation(&tenant, SECRETS, "CREATE", expression, &probe);
        tenant.kubectl(&delete).expect("deleted");
        refusal
    };
    let before = tenant.get("secret", "db").expect("the Secret");
    set_type(&tenant, "db", "example.com/own");
    tenant.wait_failure("db", "SecretSyncError", &["not now"]);
    tenant.wait_value("db", "password", GOOD);
    let back = tenant.get("secret", "db").expect("the Secret");
    for member in ["data", "type"] {
        assert_eq!(back[member], before[member], "{member}");
    }
    for member in ["labels", "annotations", "ownerReferences"] {
        assert_eq!(back["metadata"][member], before["metadata"][member], "{member}");
    }
    // The operator's own delete and create are no changes by another client: the next try waits for the back-off.
    let count = Count::start(&tenant);
    std::thread::sleep(Duration::from_secs(16));
    let deletes = count.requests().into_iter().filter(|e| e.verb == "delete").count();
    assert!((1..=4).contains(&deletes), "{deletes} tries in 16 s with a back-off of 10 s");
    drop(refusal);
    tenant.wait_synced("db");
    assert_eq!(tenant.get("secret", "db").expect("the Secret")["type"], "example.com/own");
}

#[test]
fn secrets_of_a_former_name_are_deleted_as_soon_as_they_can_be() {
    let tenant = Tenant::new("rename");
    tenant.put("db", json!({ "password": GOOD }));
    let operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&tenant.static_secret("db", json!({})));
    tenant.wait_synced("db");
    tenant.kubectl(&["create", "secret", "generic", "probe"]).expect("created");
    let refusal =
        Refusal::of_operation(&tenant, SECRETS, "DELETE", "false", &["delete", "secret", "probe", "--dry-run=server"]);
    let rename = json!({ "spec": { "destination": { "name": "renamed" } } });
    patch(&tenant, "vaultstaticsecret", "db", rename);
    tenant.wait_value("renamed", "password", GOOD);
    tenant.wait_condition("vaultstaticsecret", "db", "SecretSynced", "True", "former name");
    assert!(tenant.get("secret", "db").is_ok());
    drop(refusal);
    eventually("the Secret of the former name is gone", || match tenant.get("secret", "db") {
        Ok(_) => Err("it is there"),
        Err(_) => Ok(()),
    });
    eventually("the generation is applied", || {
        let object = tenant.get("vaultstaticsecret", "db")?;
        anyhow::ensure!(object["status"]["lastGeneration"] == object["metadata"]["generation"], "{}", object["status"]);
        anyhow::ensure!(!object["status"].to_string().contains("former name"), "{}", object["status"]);
        Ok(())
    });

    // The Secret of the new name is another client's to create: that of the former name is the operator's all the same.
    tenant.apply(&json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "theirs" } }));
    let lent = json!({ "spec": { "destination": { "name": "theirs", "create": false } } });
    patch(&tenant, "vaultstaticsecret", "db", lent);
    tenant.wait_value("theirs", "password", GOOD);
    eventually("the Secret of the former name is gone", || match tenant.get("secret", "renamed") {
        Ok(_) => Err("it is there"),
        Err(_) => Ok(()),
    });
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn marks_that_another_client_takes_off_an_owned_secret_are_put_back() {
    let tenant = Tenant::new("marks");
    tenant.put("db", json!({ "password": GOOD }));
    let _operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&tenant.static_secret("db", json!({ "refreshAfter": "1h" })));
    tenant.wait_synced("db");
    let before = tenant.get("secret", "db").expect("the Secret");
    let wait_marked = |what: &str| {
        eventually(what, || {
            let secret = tenant.get("secret", "db")?;
            let (found, wanted) = (&secret["metadata"], &before["metadata"]);
            anyhow::ensure!(found["labels"] == wanted["labels"], "{}", found["labels"]);
            anyhow::ensure!(found["ownerReferences"] == wanted["ownerReferences"], "{}", found["ownerReferences"]);
            Ok(())
        });
        assert_eq!(tenant.get("secret", "db").expect("the Secret")["metadata"]["uid"], before["metadata"]["uid"]);
        tenant.wait_synced("db");
    };
    let label = |key: &str, value: Value| json!({ "metadata": { "labels": { key: value } } });
    patch(&tenant, "secret", "db", label("app.kubernetes.io/managed-by", json!("Helm")));
    wait_marked("the label has the operator's value");
    patch(&tenant, "secret", "db", label("secrets.hashicorp.com/vso-ownerRefUID", json!(null)));
    wait_marked("the label is there");
    patch(&tenant, "secret", "db", json!({ "metadata": { "ownerReferences": null } }));
    wait_marked("the owner reference is there");

    // Another client that does so again and again is answered ever less often.
    let count = Count::start(&tenant);
    for _ in 0..60 {
        patch(&tenant, "secret", "db", json!({ "data": encoded(&[("password", "theirs")]) }));
        std::thread::sleep(Duration::from_millis(250));
    }
    let writes = count.requests().into_iter().filter(|e| e.is_write() && e.resource == "secrets").count();
    assert!((1..=8).contains(&writes), "{writes} writes against a client that wrote for 15 s");
    tenant.wait_value("db", "password", GOOD);
}

#[test]
fn an_immutable_secret_is_told_apart_and_what_to_do_with_it() {
    let tenant = Tenant::new("frozen");
    tenant.put("db", json!({ "password": "old" }));
    let _operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&tenant.static_secret("db", json!({})));
    tenant.wait_synced("db");
    patch(&tenant, "secret", "db", json!({ "immutable": true }));
    tenant.put("db", json!({ "password": "new" }));
    tenant.wait_failure("db", "SecretSyncError", &["db is immutable", "delete it"]);
    tenant.kubectl(&["delete", "secret", "db"]).expect("deleted");
    tenant.wait_value("db", "password", "new");
    tenant.wait_synced("db");
}
