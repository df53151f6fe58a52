//! What an ExternalSecret is made of is watched: a change arrives long before the interval.

use std::time::Duration;

use serde_json::{Value, json};

use super::{SERVED, cluster_provider, external_secret, object, row, store, wait_failure, wait_synced};
use test_support::Tenant;
use test_support::audit::{Count, describe};

const AWHILE: Duration = Duration::from_secs(5);

#[test]
fn texts_of_templates_are_watched() {
    let tenant = Tenant::new("es-texts");
    tenant.put("db", json!({ "password": "one" }));
    let mut operator = tenant.operator(SERVED);
    let config_map = |text: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "texts", "namespace": tenant.namespace }, "data": { "url": text },
        })
    };
    let secret = |text: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "hidden", "namespace": tenant.namespace }, "stringData": { "more": text },
        })
    };
    let source = |kind: &str, name: &str, key: &str| json!({ kind: { "name": name, "items": [{ "key": key }] } });
    let from = json!([source("configMap", "texts", "url"), source("secret", "hidden", "more")]);
    let spec = json!({
        "refreshInterval": "1h",
        "target": { "template": { "templateFrom": from } },
        "data": [row(&tenant, "password", "db", "password")],
    });
    tenant.apply_all(&[store(&tenant), secret("a"), external_secret(&tenant, "made", spec)]);
    wait_failure(&tenant, "made", &["could not apply template: ConfigMap \"texts\""]);
    tenant.apply(&config_map("x:{{ .password }}"));
    tenant.wait_value("made", "url", "x:one");
    tenant.wait_value("made", "more", "a");
    tenant.apply(&config_map("y:{{ .password }}"));
    tenant.wait_value("made", "url", "y:one");
    tenant.apply(&secret("b:{{ .password }}"));
    tenant.wait_value("made", "more", "b:one");
    wait_synced(&tenant, "made");

    std::thread::sleep(AWHILE);
    let (steady, version) = (Count::start(&tenant), tenant.version("secret", "made"));
    tenant.kubectl(&["create", "configmap", "another", "--from-literal=a=b"]).unwrap();
    tenant.kubectl(&["create", "secret", "generic", "another", "--from-literal=a=b"]).unwrap();
    std::thread::sleep(AWHILE);
    let requests = steady.requests();
    assert!(requests.is_empty() && steady.reads().is_empty(), "{}", describe(&requests));
    assert_eq!(tenant.version("secret", "made"), version);

    // What changes while no operator runs is noticed by the next one.
    operator.kill();
    tenant.apply(&config_map("z:{{ .password }}"));
    let _operator = tenant.operator(SERVED);
    tenant.wait_value("made", "url", "z:one");
}

/// A namespace beside that of the tenant with Secrets, and a service account `reader` that may do so much with them.
fn source_namespace(tenant: &Tenant<'_>, verbs: &str) -> String {
    let cluster = tenant.cluster;
    let source = format!("{}-source", tenant.namespace);
    let apply = |object: Value| cluster.kubectl_apply(&object.to_string()).expect("it is accepted");
    apply(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": source } }));
    tenant.kubectl(&["create", "serviceaccount", "reader"]).unwrap();
    let namespace = format!("--namespace={source}");
    cluster
        .kubectl(&["create", "role", "reader", &namespace, &format!("--verb={verbs}"), "--resource=secrets"])
        .unwrap();
    let account = format!("--serviceaccount={}:reader", tenant.namespace);
    cluster.kubectl(&["create", "rolebinding", "reader", &namespace, "--role=reader", &account]).unwrap();
    source
}

fn kubernetes_store(tenant: &Tenant<'_>, source: &str) -> Value {
    let auth = json!({ "serviceAccount": { "name": "reader" } });
    object(tenant, "SecretStore", "cluster", cluster_provider(tenant, source, auth))
}

fn copy(tenant: &Tenant<'_>, name: &str, spec: Value) -> Value {
    let mut full = json!({ "secretStoreRef": { "name": "cluster" }, "refreshInterval": "1h" });
    json_patch::merge(&mut full, &spec);
    external_secret(tenant, name, full)
}

fn put(tenant: &Tenant<'_>, source: &str, name: &str, value: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": name, "namespace": source, "labels": { "kind": "x" } }, "stringData": { "a": value },
    });
    tenant.cluster.kubectl_apply(&secret.to_string()).expect("it is accepted");
}

#[test]
fn secrets_of_a_kubernetes_store_are_copied_at_once() {
    let tenant = Tenant::new("es-copies");
    let source = source_namespace(&tenant, "get,list,watch");
    let _operator = tenant.operator(SERVED);
    put(&tenant, &source, "one", "1");
    let extract = json!({ "dataFrom": [{ "extract": { "key": "one" } }] });
    let picked = json!({ "data": [{ "secretKey": "b", "remoteRef": { "key": "one", "property": "a" } }] });
    let found = json!({ "dataFrom": [{ "find": { "tags": { "kind": "x" } } }] });
    tenant.apply(&kubernetes_store(&tenant, &source));
    for (name, spec) in [("copy", extract), ("picked", picked), ("found", found)] {
        tenant.apply(&copy(&tenant, name, spec));
    }
    for value in ["1", "2", "3"] {
        put(&tenant, &source, "one", value);
        tenant.wait_value("copy", "a", value);
        tenant.wait_value("picked", "b", value);
        tenant.wait_value("found", "one", &json!({ "a": value }).to_string());
    }
    put(&tenant, &source, "two", "new");
    tenant.wait_value("found", "two", &json!({ "a": "new" }).to_string());
    std::thread::sleep(AWHILE);
    let names = ["copy", "picked", "found"];
    let versions = || names.map(|name| (tenant.version("secret", name), tenant.version("externalsecret", name)));
    let (steady, before) = (Count::start(&tenant), versions());
    std::thread::sleep(AWHILE);
    let requests = steady.requests();
    assert!(requests.is_empty() && steady.tokens() == 0, "{}", describe(&requests));
    assert_eq!(versions(), before);
}

#[test]
fn without_the_right_to_watch_the_interval_is_what_there_is() {
    let tenant = Tenant::new("es-no-watch");
    let source = source_namespace(&tenant, "get");
    let marker = tenant.cluster.kube_audit_marker().unwrap();
    let _operator = tenant.operator(SERVED);
    put(&tenant, &source, "one", "1");
    let spec = json!({ "refreshInterval": "1s", "dataFrom": [{ "extract": { "key": "one" } }] });
    tenant.apply_all(&[kubernetes_store(&tenant, &source), copy(&tenant, "copy", spec)]);
    tenant.wait_value("copy", "a", "1");
    put(&tenant, &source, "one", "2");
    tenant.wait_value("copy", "a", "2");
    wait_synced(&tenant, "copy");
    std::thread::sleep(AWHILE);
    let (events, _) = tenant.cluster.kube_audit_since(marker).unwrap();
    let reader = format!("system:serviceaccount:{}:reader", tenant.namespace);
    let tried = events.iter().filter(|e| e.user == reader && matches!(&*e.verb, "list" | "watch")).count();
    assert_eq!(tried, 1, "it is not asked for again and again");
}

#[test]
fn a_source_that_is_made_anew_takes_nothing_away() {
    let tenant = Tenant::new("es-anew");
    let source = source_namespace(&tenant, "get,list,watch");
    let namespace = format!("--namespace={source}");
    let create = |value: &str| {
        let literal = format!("--from-literal=password={value}");
        tenant.cluster.kubectl(&["create", "secret", "generic", "db", &namespace, &literal]).unwrap();
    };
    create("one");
    let _operator = tenant.operator(SERVED);
    let row = json!({ "secretKey": "password", "remoteRef": { "key": "db", "property": "password" } });
    let of = |policy: &str| json!({ "target": { "deletionPolicy": policy }, "data": [row] });
    let found = json!({ "dataFrom": [{ "find": { "name": { "regexp": "^db$" } } }] });
    tenant.apply_all(&[
        kubernetes_store(&tenant, &source),
        copy(&tenant, "delete", of("Delete")),
        copy(&tenant, "merge", of("Merge")),
        copy(&tenant, "found", found),
    ]);
    let names = ["delete", "merge", "found"];
    names.iter().for_each(|name| wait_synced(&tenant, name));
    // The source is followed by now.
    std::thread::sleep(AWHILE);
    let versions = names.map(|name| tenant.version("secret", name));
    tenant.cluster.kubectl(&["delete", "secret", "db", &namespace]).unwrap();
    std::thread::sleep(AWHILE);
    assert_eq!(names.map(|name| tenant.version("secret", name)), versions, "it may only be made anew");
    create("two");
    for name in ["delete", "merge"] {
        tenant.wait_value(name, "password", "two");
    }
    tenant.wait_value("found", "db", r#"{"password":"two"}"#);
    // What stays away is gone.
    tenant.cluster.kubectl(&["delete", "secret", "db", &namespace]).unwrap();
    tenant.wait_condition_of("externalsecret", "delete", ("Ready", "True", Some("SecretDeleted")), &["secret deleted"]);
    assert!(tenant.get("secret", "delete").is_err());
}
