//! One entry or one store that fails is told of, and holds up no other.

use serde_json::{Value, json};

use super::{Pushing, entry, object, vault_provider};
use crate::refusal::Refusal;
use test_support::{NO_ELECTION, eventually};

#[test]
fn what_fails_is_named_and_holds_up_nothing_else() {
    let (pushing, operator) = Pushing::new("ps-input");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "secret-one", "b": "secret-two" }));
    let key = pushing.key("good");
    let data = json!([
        entry(Some("a"), &key, Some("a")),
        entry(Some("gone"), &key, Some("gone")),
        entry(Some("b"), &pushing.key("plain"), None),
        entry(Some("b"), "../../sys/x", Some("p")),
        entry(Some("b"), "not-allowed/x", Some("p")),
    ]);
    let stores = json!([{ "name": "vault" }, { "name": "missing" }, { "name": "cluster" }]);
    let to = json!([{ "storeRef": { "name": "cluster" }, "remoteKey": "all" }]);
    tenant.apply(&pushing.push("mixed", json!({ "secretStoreRefs": stores, "data": data.clone(), "dataTo": to })));
    pushing.wait_vault("good", json!({ "a": "secret-one" }));
    pushing.wait_cluster("all", json!({ "a": "secret-one", "b": "secret-two" }));
    pushing.wait_failure(
        "mixed",
        &[
            "set secret failed: ",
            "secret key gone does not exist",
            "secret key \"b\" is no JSON object",
            "the key \"../../sys/x\" has an empty segment, or one of dots",
            "permission denied on path \"secret/data/not-allowed/x\"",
            "could not get SecretStore \"missing\", secretstores.external-secrets.io \"missing\" not found in namespace",
            "\"../../sys/x\" is not the name of a Secret",
        ],
    );
    for (name, spec, text) in [
        ("no-store", json!({ "secretStoreRefs": [{}] }), "spec.secretStoreRefs[0] has neither name nor labelSelector"),
        ("interval", json!({ "refreshInterval": "often" }), "spec.refreshInterval \"often\""),
        (
            "template",
            json!({ "template": { "data": { "x": "{{ .missing | required }}" } }, "data": data.clone() }),
            "could not apply template: could not execute template",
        ),
        (
            "stranger",
            json!({ "dataTo": [{ "storeRef": { "name": "other" }, "remoteKey": "x" }] }),
            "spec.dataTo[0].storeRef \"other\" is not one of spec.secretStoreRefs",
        ),
    ] {
        tenant.apply(&pushing.push(name, spec));
        pushing.wait_failure(name, &[text]);
    }
    for (spec, text) in [
        (json!({ "selector": { "generatorRef": { "kind": "Password", "name": "p" } } }), "at most 1"),
        (json!({ "updatePolicy": "Sometimes" }), "Unsupported value"),
        (json!({ "dataTo": [{ "remoteKey": "x" }] }), "storeRef must specify either name or labelSelector"),
        (
            json!({ "dataTo": [{ "storeRef": { "name": "vault" }, "remoteKey": "x",
                "rewrite": [{ "regexp": { "source": "a", "target": "b" } }] }] }),
            "remoteKey and rewrite are mutually exclusive",
        ),
    ] {
        let error = tenant.try_apply(&pushing.push("refused", spec)).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
    tenant.assert_nothing_leaked(&operator, &["secret-one", "secret-two"]);
}

#[test]
fn stores_of_another_class_are_left_alone() {
    let (pushing, _operator) = Pushing::new("ps-class");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1" }));
    let mut foreign = vault_provider(tenant, json!({}));
    foreign["controller"] = json!("another");
    tenant.apply(&object(tenant, "SecretStore", "foreign", foreign));
    let data = |name: &str| json!({ "data": [entry(Some("a"), &pushing.key(name), Some("a"))] });
    tenant.apply(&pushing.push_to("foreign", "theirs", data("theirs")));
    let mut both = data("ours");
    both["secretStoreRefs"] = json!([{ "name": "foreign" }, { "name": "vault" }]);
    tenant.apply(&pushing.push("both", both));
    pushing.wait_vault("ours", json!({ "a": "1" }));
    pushing.wait_synced("both");
    assert!(tenant.get("pushsecret", "theirs").unwrap()["status"].is_null());
}

#[test]
fn a_crash_between_the_mark_and_the_data_is_repaired() {
    let pushing = Pushing::without_operator("ps-crash");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1" }));
    // What a push has made whose process ended then, with what another client has noted there.
    let mark = |members: Value| {
        let path = format!("secret/metadata/{}", tenant.path("db"));
        tenant.cluster.vault("POST", &path, Some(json!({ "custom_metadata": members }))).unwrap();
    };
    mark(json!({ "managed-by": "external-secrets", "team": "y" }));
    let mut operator = tenant.operator(&[super::SERVED, &NO_ELECTION].concat());
    let spec = json!({ "data": [entry(Some("a"), &pushing.key("db"), Some("a"))] });
    tenant.apply(&pushing.push_to("vault", "to-vault", spec));
    pushing.wait_synced("to-vault");
    let metadata = |member: &str| -> Value { pushing.in_vault("db").unwrap()["metadata"][member].take() };
    assert_eq!(metadata("custom_metadata"), json!({ "managed-by": "external-secrets", "team": "y" }));
    assert_eq!(metadata("version"), 1);
    // A rotation while no operator runs arrives with the next one; custom metadata of others stays.
    operator.kill();
    mark(json!({ "managed-by": "external-secrets", "team": "x" }));
    pushing.source(json!({ "a": "2" }));
    let _operator = tenant.operator(&[super::SERVED, &NO_ELECTION].concat());
    pushing.wait_vault("db", json!({ "a": "2" }));
    assert_eq!(metadata("custom_metadata")["team"], "x");
}

#[test]
fn a_push_that_changes_what_it_pushes_does_not_run_away() {
    let (pushing, _operator) = Pushing::new("ps-loop");
    let tenant = &pushing.tenant;
    let account = format!("--serviceaccount={}:writer", tenant.namespace);
    tenant.kubectl(&["create", "rolebinding", "writer", "--clusterrole=admin", &account]).unwrap();
    let mut store = tenant.get("secretstore", "cluster").unwrap();
    store["spec"]["provider"]["kubernetes"]["remoteNamespace"] = json!(tenant.namespace);
    let spec = store["spec"].take();
    tenant.apply(&object(tenant, "SecretStore", "here", spec));
    pushing.source(json!({ "a": "1" }));
    // All keys become one key of the same Secret, which is one of them next time.
    let spec = json!({ "data": [entry(None, "source", Some("all"))] });
    let marker = tenant.cluster.kube_audit_marker().unwrap();
    tenant.apply(&pushing.push_to("here", "loop", spec));
    eventually("it is pushed once", || tenant.value("source", "all"));
    std::thread::sleep(std::time::Duration::from_secs(15));
    let (events, _) = tenant.cluster.kube_audit_since(marker).unwrap();
    let writer = format!("system:serviceaccount:{}:writer", tenant.namespace);
    let writes = events.iter().filter(|event| event.user == writer && event.verb == "update").count();
    // 1, 2, 4 and 8 seconds after each other.
    assert!((1..=6).contains(&writes), "{writes}");
}

#[test]
fn what_the_status_cannot_record_is_not_pushed() {
    let (pushing, _operator) = Pushing::new("ps-too-much");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1" }));
    for name in ["v2", "v3"] {
        tenant.apply(&super::object(tenant, "SecretStore", name, super::vault_provider(tenant, json!({}))));
    }
    let key = pushing.key("many");
    let data = (0..120).map(|i| {
        let mut entry = entry(Some("a"), &key, Some(&format!("p{i}")));
        entry["metadata"] = json!({ "note": "n".repeat(5_000) });
        entry
    });
    let mut spec = json!({ "deletionPolicy": "Delete", "data": data.collect::<Vec<_>>() });
    spec["secretStoreRefs"] = json!([{ "name": "vault" }, { "name": "v2" }, { "name": "v3" }]);
    let file = tenant.cluster.dir().join(format!("{}.json", tenant.namespace));
    std::fs::write(&file, pushing.push("many", spec).to_string()).unwrap();
    // It is too large for the annotation that `apply` makes.
    tenant.kubectl(&["create", "--filename", file.to_str().unwrap()]).unwrap();
    pushing.wait_failure("many", &["more than the status can record"]);
    assert!(pushing.in_vault("many").is_err());
    tenant.kubectl(&["delete", "pushsecret", "many", "--timeout=120s"]).unwrap();
}

#[test]
fn secrets_that_are_too_large_together_are_not_read_together() {
    let pushing = Pushing::without_operator("ps-large");
    let tenant = &pushing.tenant;
    let value = "x".repeat(1_000_000);
    for i in 0..60 {
        let mut large = super::secret(&format!("large-{i}"), json!({ "k": value }));
        large["metadata"]["labels"] = json!({ "push": "yes" });
        let file = tenant.cluster.dir().join(format!("{}-large.json", tenant.namespace));
        std::fs::write(&file, large.to_string()).unwrap();
        tenant.kubectl(&["create", "--filename", file.to_str().unwrap()]).unwrap();
    }
    let operator = tenant.operator(super::SERVED);
    pushing.source(json!({ "a": "1" }));
    tenant.apply(&pushing.push_to("cluster", "first", json!({ "data": [entry(None, "first", None)] })));
    pushing.wait_synced("first");
    let peak_mib = || operator.peak_memory() >> 10;
    let before = peak_mib();
    let selector = json!({ "secret": { "name": null, "selector": { "matchLabels": { "push": "yes" } } } });
    let stores = json!([{ "name": "cluster" }]);
    let data = json!([entry(Some("k"), "x", Some("k"))]);
    tenant.apply(&pushing.push("large", json!({ "selector": selector, "secretStoreRefs": stores, "data": data })));
    pushing.wait_failure("large", &["the Secrets hold more than 8 MiB together"]);
    let grown = peak_mib() - before;
    println!("from {before} MiB by {grown} MiB");
    // All of them are 60 MB, several times in memory.
    assert!(grown < 60, "by {grown} MiB");
}

#[test]
fn a_store_that_cannot_be_held_for_a_deletion_is_told() {
    let (pushing, _operator) = Pushing::new("ps-held");
    let tenant = &pushing.tenant;
    pushing.source(json!({ "a": "1" }));
    let stores = ("external-secrets.io", "secretstores");
    let probe = ["label", "secretstore", "cluster", "try=1", "--dry-run=server"];
    let refusal = Refusal::of_operation(tenant, stores, "UPDATE", "false", &probe);
    let spec = json!({ "deletionPolicy": "Delete", "data": [entry(Some("a"), "db", Some("a"))] });
    tenant.apply(&pushing.push_to("cluster", "held", spec));
    pushing.wait_failure("held", &["the finalizer for deletionPolicy Delete could not be put on", "not now"]);
    assert!(pushing.in_cluster("db").unwrap_err().contains("not found"), "it could not be deleted");
    drop(refusal);
    pushing.wait_synced("held");
    pushing.wait_cluster("db", json!({ "a": "1" }));
}
