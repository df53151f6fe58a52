//! What an ExternalSecret does between its refreshes: what has passed is told no more, and what can be made is made.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SERVED, cluster_provider, external_secret, object, row, store, wait_failure, wait_synced};
use test_support::api_proxy::{ApiProxy, Matching};
use test_support::{NO_ELECTION, Tenant, eventually, shared};

/// Longer than an object that is due waits for its run.
const A_WHILE: Duration = Duration::from_secs(3);

/// An ExternalSecret of one value of the secret `db`. Members of `spec` win.
fn of_db(tenant: &Tenant<'_>, name: &str, spec: Value) -> Value {
    let mut full = json!({ "data": [row(tenant, "password", "db", "password")] });
    json_patch::merge(&mut full, &spec);
    external_secret(tenant, name, full)
}

#[test]
fn a_store_that_comes_back_ends_the_failure_of_what_is_not_due() {
    let tenant = Tenant::new("es-store-back");
    tenant.put("db", json!({ "password": "right" }));
    let _operator = tenant.operator(SERVED);
    tenant.apply_all(&[
        store(&tenant),
        of_db(&tenant, "once", json!({ "refreshPolicy": "CreatedOnce" })),
        of_db(&tenant, "on-change", json!({ "refreshPolicy": "OnChange" })),
        of_db(&tenant, "never", json!({ "refreshInterval": "0" })),
        of_db(&tenant, "orphan", json!({ "refreshInterval": "0", "target": { "creationPolicy": "Orphan" } })),
    ]);
    let names = ["once", "on-change", "never", "orphan"];
    names.iter().for_each(|name| wait_synced(&tenant, name));
    let versions = || names.map(|name| tenant.version("secret", name));
    let before = versions();
    tenant.kubectl(&["delete", "secretstore", "vault"]).unwrap();
    names.iter().for_each(|name| wait_failure(&tenant, name, &["could not get SecretStore \"vault\""]));
    tenant.put("db", json!({ "password": "other" }));
    tenant.apply(&store(&tenant));
    names.iter().for_each(|name| wait_synced(&tenant, name));
    assert_eq!(versions(), before, "nothing was read");
}

#[test]
fn a_secret_that_could_not_be_made_is_made_when_it_can() {
    let tenant = Tenant::new("es-absent");
    tenant.put("db", json!({ "password": "right" }));
    tenant.put("empty", json!({}));
    let _operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    let missing = "secret will not be created due to CreationPolicy=Merge";
    let deleted = "secret deleted due to DeletionPolicy=Delete";
    let retained = "secret retained due to DeletionPolicy=Retain";
    for policy in ["CreatedOnce", "OnChange"] {
        let lower = policy.to_lowercase();
        let [merge, delete, retain] = ["merge", "delete", "retain"].map(|what| format!("{lower}-{what}"));
        let merged = json!({ "refreshPolicy": policy, "target": { "creationPolicy": "Merge" } });
        tenant.apply(&of_db(&tenant, &merge, merged));
        let data = [row(&tenant, "password", &delete, "password")];
        let spec = json!({ "refreshPolicy": policy, "target": { "deletionPolicy": "Delete" }, "data": data });
        tenant.apply(&external_secret(&tenant, &delete, spec));
        let from = json!([{ "extract": { "key": tenant.path("empty") } }]);
        tenant.apply(&external_secret(&tenant, &retain, json!({ "refreshPolicy": policy, "dataFrom": from })));
        let ready = |reason| ("Ready", "True", Some(reason));
        tenant.wait_condition_of("externalsecret", &merge, ready("SecretMissing"), &[missing]);
        tenant.wait_condition_of("externalsecret", &delete, ready("SecretDeleted"), &[deleted]);
        tenant.wait_condition_of("externalsecret", &retain, ready("SecretSynced"), &[retained]);
        // What comes later.
        tenant.kubectl(&["create", "secret", "generic", &merge, "--from-literal=own=1"]).unwrap();
        tenant.put(&delete, json!({ "password": "right" }));
    }
    tenant.put("empty", json!({ "password": "right" }));
    for policy in ["createdonce", "onchange"] {
        for what in ["merge", "delete", "retain"] {
            let name = format!("{policy}-{what}");
            tenant.wait_value(&name, "password", "right");
            wait_synced(&tenant, &name);
        }
    }
    // From then on they are what their policy says.
    tenant.put("empty", json!({ "password": "other" }));
    std::thread::sleep(A_WHILE);
    tenant.wait_value("createdonce-retain", "password", "right");
}

#[test]
fn what_is_not_listed_yet_is_not_missing() {
    let proxy = ApiProxy::start(shared());
    let tenant = Tenant::at(shared(), "es-start", shared().vault_addr(), Some(&proxy.url()));
    tenant.put("db", json!({ "password": "right" }));
    let arguments = [SERVED, &NO_ELECTION].concat();
    let mut operator = tenant.operator(&arguments);
    tenant.apply_all(&[store(&tenant), of_db(&tenant, "db", json!({ "refreshInterval": "1h" }))]);
    wait_synced(&tenant, "db");
    operator.kill();
    let version = tenant.version("externalsecret", "db");
    let held = proxy.hold_answer(Matching { method: "GET", path: "/secretstores", nth: 0 });
    let _operator = tenant.operator(&arguments);
    held.wait_reached();
    tenant.apply(&of_db(&tenant, "new", json!({})));
    std::thread::sleep(A_WHILE);
    assert_eq!(tenant.version("externalsecret", "db"), version);
    // A list that does not come is told of.
    wait_failure(&tenant, "new", &["could not get secret data from provider", "has not listed", "secretstores"]);
    held.release();
    wait_synced(&tenant, "new");
    assert_eq!(tenant.version("externalsecret", "db"), version);
}

#[test]
fn only_a_json_object_is_extracted_from_a_key_of_a_secret() {
    let tenant = Tenant::new("es-no-object");
    let _operator = tenant.operator(SERVED);
    tenant.kubectl(&["create", "serviceaccount", "reader"]).unwrap();
    tenant.kubectl(&["create", "role", "reader", "--verb=get", "--resource=secrets"]).unwrap();
    let account = format!("--serviceaccount={}:reader", tenant.namespace);
    tenant.kubectl(&["create", "rolebinding", "reader", "--role=reader", &account]).unwrap();
    let auth = json!({ "serviceAccount": { "name": "reader" } });
    tenant.apply(&object(&tenant, "SecretStore", "cluster", cluster_provider(&tenant, &tenant.namespace, auth)));
    let put = |json: &str| {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "source", "namespace": tenant.namespace }, "stringData": { "json": json },
        });
        tenant.apply(&secret);
    };
    put(r#"{"a":"1"}"#);
    let spec = json!({
        "secretStoreRef": { "name": "cluster" },
        "target": { "deletionPolicy": "Delete" },
        "dataFrom": [{ "extract": { "key": "source", "property": "json" } }],
    });
    tenant.apply(&external_secret(&tenant, "made", spec));
    tenant.wait_value("made", "a", "\"1\"");
    for no_object in ["[1]", "7", "\"text\""] {
        put(no_object);
        wait_failure(&tenant, "made", &["could not get secret data from provider"]);
        tenant.wait_value("made", "a", "\"1\"");
        put(r#"{"a":"1"}"#);
        wait_synced(&tenant, "made");
    }
}

#[test]
fn what_another_operator_serves_is_its_to_let_go() {
    let tenant = Tenant::new("es-theirs");
    let _operator = tenant.operator(SERVED);
    let theirs = object(&tenant, "SecretStore", "vault", json!({ "controller": "eso", "provider": { "fake": {} } }));
    let mut served = of_db(&tenant, "db", json!({}));
    served["metadata"]["finalizers"] = json!(["externalsecrets.external-secrets.io/externalsecret-cleanup"]);
    // Only the other operator serves it, as it may.
    served["spec"]["target"]["manifest"] = json!({ "apiVersion": "v1", "kind": "ConfigMap" });
    tenant.apply_all(&[theirs, served]);
    std::thread::sleep(A_WHILE);
    assert_eq!(
        tenant.get("externalsecret", "db").unwrap()["status"],
        Value::Null,
        "it is not this operator's to tell of"
    );
    tenant.kubectl(&["delete", "externalsecret", "db", "--wait=false"]).unwrap();
    std::thread::sleep(A_WHILE);
    tenant.get("externalsecret", "db").expect("the finalizer of the other operator holds it");
    tenant.kubectl(&["delete", "secretstore", "vault"]).unwrap();
    eventually("it goes when nothing says that it is served", || match tenant.get("externalsecret", "db") {
        Ok(found) => Err(found.to_string()),
        Err(_) => Ok(()),
    });
}
