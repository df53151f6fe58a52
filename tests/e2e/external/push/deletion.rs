//! What was pushed, and nothing else, is deleted.

use serde_json::{Value, json};
use testenv::Options;

use super::{Pushing, SERVED, data_of, entry, object};
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
fn a_store_is_held_only_as_long_as_something_is_to_be_deleted_there() {
    let (pushing, _operator) = Pushing::new("ps-held");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1" }));
    let push = |policy: &str| {
        let spec = json!({ "deletionPolicy": policy, "data": [entry(Some("a"), "held", Some("a"))] });
        tenant.apply(&pushing.push_to("cluster", "to-cluster", spec));
    };
    let wait_finalizers = |expected: Value| {
        eventually(&format!("the store has the finalizers {expected}"), || {
            match tenant.get("secretstore", "cluster").map_err(|e| e.to_string())?["metadata"]["finalizers"].take() {
                found if found == expected => Ok(()),
                found => Err(found.to_string()),
            }
        });
    };
    let held = || json!(["secretstore.externalsecrets.io/finalizer"]);
    push("Delete");
    wait_finalizers(held());
    push("None");
    wait_finalizers(Value::Null);
    push("Delete");
    wait_finalizers(held());
    pushing.wait_synced("to-cluster");
    tenant.kubectl(&["delete", "pushsecret", "to-cluster", "--timeout=60s"]).unwrap();
    assert!(pushing.in_cluster("held").unwrap_err().contains("not found"));
    wait_finalizers(Value::Null);
    // It is still checked and used.
    tenant.wait_condition_of("secretstore", "cluster", ("Ready", "True", Some("Valid")), &[]);
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
    let spec = |key: &str| json!({ "deletionPolicy": "Delete", "data": [entry(None, key, None)] });
    let pushes = [pushing.push_to("vault", "db", spec(&key)), pushing.push_to("cluster", "copy", spec("copy"))];
    tenant.apply_all(&pushes);
    ["db", "copy"].iter().for_each(|name| pushing.wait_synced(name));
    drop(operator);
    tenant.kubectl(&["delete", "serviceaccount", "app"]).unwrap();
    // The store was forced to go.
    let finalizers = r#"--patch={"metadata":{"finalizers":null}}"#;
    tenant.kubectl(&["patch", "secretstore", "cluster", "--type=merge", finalizers]).unwrap();
    tenant.kubectl(&["delete", "secretstore", "cluster"]).unwrap();
    let operator = tenant.operator(super::SERVED);
    tenant.kubectl(&["delete", "pushsecret", "db", "copy", "--wait=false"]).unwrap();
    // The account and the store may be made again.
    let texts = ["take the finalizer off", "pushsecret.externalsecrets.io/finalizer"];
    for name in ["db", "copy"] {
        tenant.wait_condition_of("pushsecret", name, ("Ready", "False", Some("Errored")), &texts);
    }
    tenant.cluster.kubectl(&["delete", "namespace", &tenant.namespace, "--wait=false"]).unwrap();
    for name in ["db", "copy"] {
        eventually("the object is gone", || match tenant.get("pushsecret", name) {
            Ok(object) => Err(object["metadata"].to_string()),
            Err(_) => Ok(()),
        });
    }
    for left in [format!("{key} in SecretStore/vault"), "copy in SecretStore/cluster".to_owned()] {
        assert!(operator.log().contains(&format!("left there: {left}")), "{left}");
    }
    assert_eq!(pushing.in_vault("db").unwrap()["data"], json!({ "a": "1" }));
}

#[test]
fn a_store_that_is_deleted_while_it_is_pushed_to_is_cleaned_first() {
    let (pushing, _operator) = Pushing::new("ps-store-goes");
    let tenant = &pushing.tenant;
    let proxy = ApiProxy::start(shared());
    let auth = json!({ "serviceAccount": { "name": "writer" } });
    let kubernetes = json!({ "remoteNamespace": pushing.target, "server": { "url": proxy.url() }, "auth": auth });
    tenant.apply(&object(tenant, "SecretStore", "slow", json!({ "provider": { "kubernetes": kubernetes } })));
    tenant.wait_condition_of("secretstore", "slow", ("Ready", "True", Some("Valid")), &["store validated"]);
    pushing.source(json!({ "a": "1" }));
    let held = proxy.hold_answer(Matching { method: "POST", path: "/secrets", nth: 0 });
    let spec = json!({ "deletionPolicy": "Delete", "data": [entry(Some("a"), "db", Some("a"))] });
    tenant.apply(&pushing.push_to("slow", "pushed", spec));
    held.wait_reached();
    // The Secret is made, and no status says so.
    tenant.kubectl(&["delete", "secretstore", "slow", "--wait=false"]).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    held.release();
    tenant.kubectl(&["wait", "--for=delete", "secretstore/slow", "--timeout=120s"]).unwrap();
    assert!(pushing.in_cluster("db").unwrap_err().contains("not found"));
}

/// Another operator has put the finalizer on as well, for what it has pushed.
#[test]
fn what_another_operator_has_pushed_is_its_to_delete() {
    let (pushing, operator) = Pushing::new("ps-shared");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1" }));
    let of_others = object(tenant, "SecretStore", "theirs", json!({ "controller": "eso", "provider": { "fake": {} } }));
    let data = json!([entry(Some("a"), "db", Some("a"))]);
    let spec = |stores: Value| json!({ "deletionPolicy": "Delete", "secretStoreRefs": stores, "data": data });
    let [ours, theirs] = ["cluster", "theirs"].map(|name| json!({ "name": name }));
    let pushes = ["both", "theirs", "begun"].map(|name| match name {
        "both" => pushing.push(name, spec(json!([ours, theirs]))),
        _ => pushing.push(name, spec(json!([theirs]))),
    });
    tenant.apply_all(&[&[of_others][..], &pushes[..]].concat());
    pushing.wait_synced("both");
    // What has nothing in any store waits for no operator: each would wait for the other.
    let key = format!("{}-only-here", tenant.namespace);
    let only_ours = json!({
        "deletionPolicy": "Delete", "secretStoreRefs": [ours, theirs], "data": [entry(Some("a"), &key, Some("a"))],
    });
    tenant.apply(&pushing.push("only-ours", only_ours));
    pushing.wait_synced("only-ours");
    tenant.kubectl(&["delete", "pushsecret", "only-ours", "--timeout=60s"]).unwrap();
    let pushed = json!({ "SecretStore/theirs": { "x/y": entry(Some("a"), "x", Some("y")) } });
    let patch = format!("--patch={}", json!({ "status": { "syncedPushSecrets": pushed } }));
    let finalizers = r#"--patch={"metadata":{"finalizers":["pushsecret.externalsecrets.io/finalizer"]}}"#;
    for name in ["both", "theirs"] {
        tenant.kubectl(&["patch", "pushsecret", name, "--subresource=status", "--type=merge", &patch]).unwrap();
        tenant.kubectl(&["patch", "pushsecret", name, "--type=merge", finalizers]).unwrap();
    }
    // The other operator has not recorded yet what it pushes.
    tenant.kubectl(&["patch", "pushsecret", "begun", "--type=merge", finalizers]).unwrap();
    pushing.source(json!({ "a": "2" }));
    pushing.wait_cluster("db", json!({ "a": "2" }));
    tenant.kubectl(&["delete", "pushsecret", "both", "theirs", "begun", "--wait=false"]).unwrap();
    eventually("what this operator has pushed is gone", || match pushing.in_cluster("db") {
        Ok(found) => Err(found.to_string()),
        Err(_) => Ok(()),
    });
    eventually("the status names what is left", || match pushing.synced("both") {
        found if found == json!({ "SecretStore/theirs": ["x/y"] }) => Ok(()),
        found => Err(found.to_string()),
    });
    // A restart looks at both again.
    drop(operator);
    let _operator = tenant.operator(SERVED);
    tenant.apply(&pushing.push_to("cluster", "seen", json!({ "data": [entry(Some("a"), "seen", Some("a"))] })));
    pushing.wait_synced("seen");
    for name in ["both", "theirs"] {
        assert_eq!(pushing.synced(name), json!({ "SecretStore/theirs": ["x/y"] }), "{name}");
    }
    tenant.get("pushsecret", "begun").expect("the finalizer of the other operator holds it");
    // The other operator has done its part.
    let none = r#"--patch={"metadata":{"finalizers":null}}"#;
    for name in ["both", "theirs", "begun"] {
        tenant.kubectl(&["patch", "pushsecret", name, "--type=merge", none]).unwrap();
        tenant.kubectl(&["wait", "--for=delete", &format!("pushsecret/{name}"), "--timeout=60s"]).unwrap();
    }
}

#[test]
fn what_was_pushed_stays_while_its_secret_is_made_anew() {
    let (pushing, _operator) = Pushing::new("ps-anew");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1" }));
    let data = json!([entry(None, "copy", None)]);
    tenant.apply(&pushing.push_to("cluster", "pushed", json!({ "deletionPolicy": "Delete", "data": data })));
    pushing.wait_synced("pushed");
    let uid = || pushing.in_cluster("copy").unwrap()["metadata"]["uid"].take();
    let before = uid();
    tenant.kubectl(&["delete", "secret", "source"]).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    pushing.source(json!({ "a": "2" }));
    pushing.wait_cluster("copy", json!({ "a": "2" }));
    assert_eq!(uid(), before, "it was never deleted");
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
