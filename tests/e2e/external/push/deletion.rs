//! What was pushed, and nothing else, is deleted.

use serde_json::{Value, json};
use testenv::Options;

use super::{Pushing, SERVED, data_of, entry};
use test_support::api_proxy::{ApiProxy, Matching};
use test_support::{NO_ELECTION, Tenant, eventually, own, shared};

#[test]
fn what_was_pushed_and_nothing_else_is_deleted() {
    let (pushing, _operator) = Pushing::new("ps-delete");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1", "b": "2" }));
    // Others have these.
    let create = ["create", "secret", "generic", "theirs", "--namespace", &pushing.target, "--from-literal=x=y"];
    tenant.cluster.kubectl(&create).unwrap();
    let data = |key: &str| json!([entry(Some("a"), key, Some("a")), entry(Some("b"), key, Some("b"))]);
    let shared = entry(Some("a"), "theirs", Some("a"));
    let with_shared = |key: &str| {
        let mut all = data(key);
        all.as_array_mut().unwrap().push(shared.clone());
        all
    };
    let key = pushing.key("db");
    let in_vault = json!({ "deletionPolicy": "Delete", "data": data(&key) });
    let in_cluster = json!({ "deletionPolicy": "Delete", "data": with_shared("db") });
    tenant.apply_all(&[
        pushing.push_to("vault", "to-vault", in_vault),
        pushing.push_to("cluster", "to-cluster", in_cluster),
    ]);
    for name in ["to-vault", "to-cluster"] {
        pushing.wait_synced(name);
        let finalizers = tenant.get("pushsecret", name).unwrap()["metadata"]["finalizers"].take();
        assert_eq!(finalizers, json!(["pushsecret.externalsecrets.io/finalizer"]));
    }
    pushing.wait_cluster("theirs", json!({ "a": "1", "x": "y" }));

    // An entry that is not there any more takes its part with it.
    let less = |store: &str, name: &str, key: &str| {
        let data = json!([entry(Some("a"), key, Some("a"))]);
        pushing.push_to(store, name, json!({ "deletionPolicy": "Delete", "data": data }))
    };
    tenant.apply_all(&[less("vault", "to-vault", &key), less("cluster", "to-cluster", "db")]);
    pushing.wait_vault("db", json!({ "a": "1" }));
    pushing.wait_cluster("db", json!({ "a": "1" }));
    pushing.wait_cluster("theirs", json!({ "x": "y" }));
    eventually("the status names one place", || match pushing.synced("to-cluster") {
        found if found == json!({ "SecretStore/cluster": ["db/a"] }) => Ok(()),
        found => Err(found.to_string()),
    });

    // Another client puts something beside it: that stays.
    tenant.put("db", json!({ "a": "1", "foreign": "stays" }));
    // A store that is deleted waits for what was pushed there.
    tenant.kubectl(&["delete", "secretstore", "vault", "cluster", "--wait=false"]).unwrap();
    tenant.kubectl(&["delete", "pushsecret", "to-vault", "to-cluster", "--timeout=120s"]).unwrap();
    assert_eq!(pushing.in_vault("db").unwrap()["data"], json!({ "foreign": "stays" }));
    assert!(pushing.in_cluster("db").unwrap_err().contains("not found"));
    assert_eq!(data_of(&pushing.in_cluster("theirs").unwrap()), json!({ "x": "y" }));
    tenant.kubectl(&["wait", "--for=delete", "secretstore/vault", "secretstore/cluster", "--timeout=120s"]).unwrap();
}

#[test]
fn what_has_no_mark_is_neither_changed_nor_deleted() {
    let (pushing, _operator) = Pushing::new("ps-marks");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1" }));
    tenant.put("foreign", json!({ "x": "y" }));
    let key = pushing.key("foreign");
    let spec = json!({ "deletionPolicy": "Delete", "data": [entry(Some("a"), &key, Some("a"))] });
    tenant.apply(&pushing.push_to("vault", "to-vault", spec));
    pushing.wait_failure("to-vault", &["could not write remote ref", "secret not managed by external-secrets"]);
    // Not even one version that has by chance what is pushed.
    tenant.put("similar", json!({ "a": "1", "password": "theirs" }));
    let similar = json!([entry(Some("a"), &pushing.key("similar"), Some("a"))]);
    tenant.apply(&pushing.push_to("vault", "similar", json!({ "deletionPolicy": "Delete", "data": similar })));
    pushing.wait_failure("similar", &["could not write remote ref", "secret not managed by external-secrets"]);
    let made = json!({ "deletionPolicy": "Delete", "data": [entry(None, "made", None)] });
    tenant.apply(&pushing.push_to("cluster", "to-cluster", made));
    pushing.wait_synced("to-cluster");
    // The Secret is that of another client by now.
    let target = ["--namespace", pushing.target.as_str()];
    tenant.cluster.kubectl(&[&["delete", "secret", "made"], &target[..]].concat()).unwrap();
    let paused = ["annotate", "secret", "source", "changed=again"];
    let create = ["create", "secret", "generic", "made", "--from-literal=a=1"];
    tenant.cluster.kubectl(&[&create[..], &target[..]].concat()).unwrap();
    // It is looked at, and holds what is pushed.
    tenant.kubectl(&paused).unwrap();
    pushing.wait_synced("to-cluster");
    tenant.kubectl(&["delete", "pushsecret", "to-vault", "similar", "to-cluster", "--timeout=120s"]).unwrap();
    assert_eq!(pushing.in_vault("foreign").unwrap()["data"], json!({ "x": "y" }));
    let similar = pushing.in_vault("similar").unwrap();
    assert_eq!(similar["data"], json!({ "a": "1", "password": "theirs" }));
    assert_eq!(similar["metadata"]["custom_metadata"], Value::Null);
    let left = pushing.in_cluster("made").unwrap();
    // The label of the source may have come first; then it carries a mark, that of a Secret of others.
    assert_eq!(data_of(&left), json!({ "a": "1" }));
}

#[test]
fn with_its_secret_what_was_pushed_goes_and_comes_again() {
    let (pushing, _operator) = Pushing::new("ps-source");
    let tenant = &pushing.tenant;
    let data = json!([entry(None, "copy", None)]);
    let spec = json!({ "deletionPolicy": "Delete", "data": data });
    tenant.apply(&pushing.push_to("cluster", "deletes", spec));
    tenant.apply(&pushing.push_to("cluster", "keeps", json!({ "data": [entry(None, "kept", None)] })));
    pushing.wait_failure("deletes", &["could not get source secret", "does not exist"]);
    pushing.source(json!({ "a": "1" }));
    pushing.wait_cluster("copy", json!({ "a": "1" }));
    pushing.wait_cluster("kept", json!({ "a": "1" }));
    pushing.wait_synced("deletes");
    tenant.kubectl(&["delete", "secret", "source"]).unwrap();
    let gone = ("Ready", "False", Some("SourceDeleted"));
    let text = "source secret deleted; provider secrets cleaned up";
    tenant.wait_condition_of("pushsecret", "deletes", gone, &[text]);
    assert!(pushing.in_cluster("copy").unwrap_err().contains("not found"));
    pushing.wait_failure("keeps", &["could not get source secret"]);
    assert_eq!(data_of(&pushing.in_cluster("kept").unwrap()), json!({ "a": "1" }), "it stays");
    pushing.source(json!({ "a": "2" }));
    pushing.wait_cluster("copy", json!({ "a": "2" }));
    pushing.wait_synced("deletes");
    // Without the policy there is nothing to wait for.
    tenant.apply(&pushing.push_to("cluster", "deletes", json!({ "data": [entry(None, "copy", None)] })));
    eventually("the finalizer is gone", || {
        let object = tenant.get("pushsecret", "deletes").map_err(|error| error.to_string())?;
        if object["metadata"]["finalizers"].is_null() { Ok(()) } else { Err(object["metadata"].to_string()) }
    });
}

#[test]
fn a_login_that_is_gone_for_good_holds_no_namespace() {
    // The rights of an operator that is confined to namespaces would end with the namespace.
    let cluster = own(Options::default());
    let pushing = Pushing::of(Tenant::serving_all(&cluster, "ps-login-gone"));
    let tenant = &pushing.tenant;
    let operator = tenant.operator(super::SERVED);
    pushing.source(json!({ "a": "1" }));
    let key = pushing.key("db");
    let spec = json!({ "deletionPolicy": "Delete", "data": [entry(None, &key, None)] });
    tenant.apply(&pushing.push_to("vault", "db", spec));
    pushing.wait_synced("db");
    drop(operator);
    tenant.kubectl(&["delete", "serviceaccount", "app"]).unwrap();
    let operator = tenant.operator(super::SERVED);
    tenant.kubectl(&["delete", "pushsecret", "db", "--wait=false"]).unwrap();
    // The account may be made again.
    let texts = ["take the finalizer off", "pushsecret.externalsecrets.io/finalizer"];
    tenant.wait_condition_of("pushsecret", "db", ("Ready", "False", Some("Errored")), &texts);
    tenant.cluster.kubectl(&["delete", "namespace", &tenant.namespace, "--wait=false"]).unwrap();
    eventually("the object is gone", || match tenant.get("pushsecret", "db") {
        Ok(object) => Err(object["metadata"].to_string()),
        Err(_) => Ok(()),
    });
    assert!(operator.log().contains(&format!("left there: {key} in SecretStore/vault")));
    assert_eq!(pushing.in_vault("db").unwrap()["data"], json!({ "a": "1" }));
}

#[test]
fn what_is_not_listed_yet_is_waited_for() {
    let proxy = ApiProxy::start(shared());
    let pushing = Pushing::of(Tenant::at(shared(), "ps-start", shared().vault_addr(), Some(&proxy.url())));
    let tenant = &pushing.tenant;
    let arguments = [SERVED, &NO_ELECTION].concat();
    let mut operator = tenant.operator(&arguments);
    pushing.source(json!({ "a": "1" }));
    let spec = json!({ "deletionPolicy": "Delete", "data": [entry(Some("a"), "db", Some("a"))] });
    tenant.apply(&pushing.push_to("cluster", "pushed", spec));
    pushing.wait_synced("pushed");
    let version = tenant.version("pushsecret", "pushed");
    let mut held_at_start = |path: &str| {
        operator.kill();
        let held = proxy.hold_answer(Matching { method: "GET", path, nth: 0 });
        operator = tenant.operator(&arguments);
        held.wait_reached();
        std::thread::sleep(std::time::Duration::from_secs(3));
        held
    };
    // Its store does not look missing.
    held_at_start("/secretstores").release();
    assert_eq!(tenant.version("pushsecret", "pushed"), version);
    // Nor does a store that is deleted look as if nothing needed it.
    tenant.kubectl(&["delete", "secretstore", "cluster", "--wait=false"]).unwrap();
    let held = held_at_start("/pushsecrets");
    tenant.get("secretstore", "cluster").expect("it waits");
    held.release();
    tenant.kubectl(&["delete", "pushsecret", "pushed", "--timeout=120s"]).unwrap();
    assert!(pushing.in_cluster("db").unwrap_err().contains("not found"));
    tenant.kubectl(&["wait", "--for=delete", "secretstore/cluster", "--timeout=120s"]).unwrap();
}
