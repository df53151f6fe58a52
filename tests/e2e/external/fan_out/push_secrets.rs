//! ClusterPushSecrets: a PushSecret in each namespace that is meant, and what it pushes.

use serde_json::{Value, json};
use testenv::{AuditEvent, Cluster, Options};

use super::{SETTLED, apply, change_and_delete, get, namespace, wait_status_of, wait_there, writes};
use crate::external::SERVED;
use test_support::audit::{Count, describe};
use test_support::kube_client::decoded;
use test_support::{NO_ELECTION, Tenant, eventually, own};

const KIND: &str = "clusterpushsecret";

fn arguments() -> Vec<&'static str> {
    [SERVED, &["--cluster-push-secrets"], &NO_ELECTION].concat()
}

/// The object `all`: the Secret `source` of a namespace is pushed as `copy` by the store `out`. Members of `spec` win.
fn all(spec: Value) -> Value {
    let mut full = json!({
        "namespaceSelectors": [{ "matchLabels": { "push": "yes" } }],
        "pushSecretMetadata": { "labels": { "made": "here" }, "annotations": { "note": "x" } },
        "pushSecretSpec": {
            "refreshInterval": "1h",
            "deletionPolicy": "Delete",
            "secretStoreRefs": [{ "name": "out" }],
            "selector": { "secret": { "name": "source" } },
            "data": [{ "match": {
                "secretKey": "password",
                "remoteRef": { "remoteKey": "copy", "property": "password" },
            } }],
        },
    });
    json_patch::merge(&mut full, &spec);
    let (api_version, kind) = ("external-secrets.io/v1alpha1", "ClusterPushSecret");
    json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "all" }, "spec": full })
}

/// A namespace with the Secret `source`, and a store `out` that writes Secrets of the namespace itself.
fn source(cluster: &Cluster, name: &str) -> Vec<Value> {
    let config = |path: &str| {
        let output = format!("--output=jsonpath={{.clusters[0].cluster.{path}}}");
        cluster.kubectl(&["config", "view", "--raw", "--flatten", "--minify", &output]).expect("a configuration")
    };
    let meta = |of: &str| json!({ "name": of, "namespace": name });
    let kubernetes = json!({
        "remoteNamespace": name,
        "server": { "url": config("server"), "caBundle": config("certificate-authority-data") },
        "auth": { "serviceAccount": { "name": "writer" } },
    });
    vec![
        namespace(name, json!({ "push": "yes" })),
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta("writer") }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta("writer"),
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
            "subjects": [{ "kind": "ServiceAccount", "name": "writer", "namespace": name }],
        }),
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": meta("source"),
            "stringData": { "password": format!("hunter2-{name}") },
        }),
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": meta("out"),
            "spec": { "provider": { "kubernetes": kubernetes } },
        }),
    ]
}

#[track_caller]
fn wait_status(cluster: &Cluster, provisioned: &[&str], failed: &[&str]) -> Value {
    wait_status_of(cluster, KIND, provisioned, failed)
}

#[track_caller]
fn wait_made(cluster: &Cluster, namespace: &str, name: &str, is_there: bool) {
    wait_there(cluster, "pushsecret", namespace, name, is_there);
}

#[track_caller]
fn wait_pushed(cluster: &Cluster, namespace: &str) {
    eventually(&format!("the Secret of {namespace} is pushed"), || {
        let secret = get(cluster, &["secret", "copy", "--namespace", namespace])?;
        match decoded(&secret, "password") {
            Some(found) if found == format!("hunter2-{namespace}") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn a_push_secret_in_each_namespace_that_is_meant() {
    let cluster = own(Options::default());
    let tenant = Tenant::serving_all(&cluster, "fan-push");
    for name in ["push-a", "push-b", "push-c"] {
        apply(&cluster, &source(&cluster, name));
    }
    cluster.kubectl(&["label", "namespace", "push-c", "push-"]).expect("a label less");
    let mut operator = tenant.operator(&arguments());

    makes_one_in_each(&cluster, &tenant);
    repairs_what_others_do(&cluster);
    follows_the_spec_and_the_namespaces(&cluster);
    leaves_what_is_anothers(&cluster);

    // A restart of the operator writes nothing. What was pushed is recorded by then.
    for name in ["push-a", "push-b", "push-c"] {
        eventually("the status says what was pushed", || {
            let made = get(&cluster, &["pushsecret", "all", "--namespace", name])?;
            let pushed = made["status"]["syncedPushSecrets"].as_object().is_some_and(|pushed| !pushed.is_empty());
            if pushed { Ok(()) } else { Err(made["status"].to_string()) }
        });
    }
    operator.kill();
    let count = Count::start(&tenant);
    let operator = tenant.operator(&arguments());
    std::thread::sleep(SETTLED);
    let written: Vec<AuditEvent> = count.requests().into_iter().filter(AuditEvent::is_write).collect();
    assert!(written.is_empty(), "{}", describe(&written));

    // What it has made goes with it, and what was pushed.
    cluster.kubectl(&["delete", KIND, "all", "--timeout=60s"]).expect("nothing holds it up");
    for name in ["push-a", "push-b", "push-c"] {
        wait_made(&cluster, name, "all", false);
        wait_there(&cluster, "secret", name, "copy", false);
    }
    tenant.assert_nothing_leaked(&operator, &["hunter2-push-a", "hunter2-push-b"]);
}

fn makes_one_in_each(cluster: &Cluster, tenant: &Tenant<'_>) {
    let count = Count::start(tenant);
    apply(cluster, &[all(json!({}))]);
    let status = wait_status(cluster, &["push-a", "push-b"], &[]);
    assert_eq!(status["pushSecretName"], "all");
    assert_eq!(status["conditions"], json!([{ "type": "Ready", "status": "True" }]), "as ESO has it");
    ["push-a", "push-b"].iter().for_each(|name| wait_pushed(cluster, name));
    let owner = get(cluster, &[KIND, "all"]).unwrap();
    let made = get(cluster, &["pushsecret", "all", "--namespace=push-a"]).unwrap();
    assert_eq!(made["metadata"]["labels"], json!({ "made": "here" }));
    assert_eq!(made["metadata"]["annotations"], json!({ "note": "x" }));
    let mut spec = owner["spec"]["pushSecretSpec"].clone();
    spec["refreshInterval"] = json!("1h0m0s");
    assert_eq!(made["spec"], spec, "with the defaults of the schema, and durations as ESO writes them");
    let expected = json!([{
        "apiVersion": "external-secrets.io/v1alpha1", "kind": "ClusterPushSecret", "name": "all",
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }]);
    assert_eq!(made["metadata"]["ownerReferences"], expected);
    assert!(owner["metadata"]["finalizers"].is_null());

    std::thread::sleep(SETTLED);
    let requests = count.requests();
    assert_eq!(writes(&requests, "create", "pushsecrets").len(), 2, "{}", describe(&requests));
    assert!(writes(&requests, "update", "pushsecrets").is_empty(), "{}", describe(&requests));
    assert!(writes(&requests, "patch", "namespaces").is_empty(), "{}", describe(&requests));
    let steady = Count::start(tenant);
    std::thread::sleep(SETTLED);
    let requests = steady.requests();
    assert!(requests.is_empty(), "{}", describe(&requests));
    let columns = cluster.kubectl(&["get", KIND, "all"]).unwrap();
    let words: Vec<&str> = columns.split_whitespace().collect();
    let expected = ["NAME", "AGE", "STATUS", "READY", "all"];
    assert_eq!((&words[..5], &words[6..]), (&expected[..], &["True"][..]), "{columns}");
}

fn repairs_what_others_do(cluster: &Cluster) {
    change_and_delete(cluster, &["pushsecret", "all", "--namespace=push-a"]);
    wait_made(cluster, "push-a", "all", true);
    wait_status(cluster, &["push-a", "push-b"], &[]);
    wait_pushed(cluster, "push-a");
}

fn follows_the_spec_and_the_namespaces(cluster: &Cluster) {
    cluster.kubectl(&["annotate", KIND, "all", "external-secrets.io/force-sync=1"]).unwrap();
    eventually("it is handed on", || {
        let made = get(cluster, &["pushsecret", "all", "--namespace=push-b"])?;
        let found = &made["metadata"]["annotations"]["external-secrets.io/force-sync"];
        if found == "1" { Ok(()) } else { Err(made.to_string()) }
    });
    // A namespace is meant, another is not meant any more: what was pushed from there is deleted.
    cluster.kubectl(&["label", "namespace", "push-c", "push=yes"]).unwrap();
    wait_status(cluster, &["push-a", "push-b", "push-c"], &[]);
    wait_pushed(cluster, "push-c");
    cluster.kubectl(&["label", "namespace", "push-b", "push-"]).unwrap();
    wait_status(cluster, &["push-a", "push-c"], &[]);
    wait_made(cluster, "push-b", "all", false);
    wait_there(cluster, "secret", "push-b", "copy", false);
    // Another name.
    apply(cluster, &[all(json!({ "pushSecretName": "renamed" }))]);
    for namespace in ["push-a", "push-c"] {
        wait_made(cluster, namespace, "renamed", true);
        wait_made(cluster, namespace, "all", false);
    }
    assert_eq!(wait_status(cluster, &["push-a", "push-c"], &[])["pushSecretName"], "renamed");
    apply(cluster, &[all(json!({}))]);
    // What the deletion of the former one has taken back is there again, hours before the next look.
    for namespace in ["push-a", "push-c"] {
        wait_made(cluster, namespace, "all", true);
        wait_made(cluster, namespace, "renamed", false);
        wait_pushed(cluster, namespace);
    }
}

fn leaves_what_is_anothers(cluster: &Cluster) {
    let spec = all(json!({}))["spec"]["pushSecretSpec"].clone();
    let meta = json!({ "name": "all", "namespace": "push-b" });
    let kind = ("external-secrets.io/v1alpha1", "PushSecret");
    apply(cluster, &[json!({ "apiVersion": kind.0, "kind": kind.1, "metadata": meta, "spec": spec })]);
    cluster.kubectl(&["label", "namespace", "push-b", "push=yes"]).unwrap();
    let status = wait_status(cluster, &["push-a", "push-c"], &["push-b"]);
    assert_eq!(status["failedNamespaces"][0]["reason"], "push secret already exists in namespace");
    assert_eq!(status["conditions"][0]["message"], "one or more namespaces failed");
    let made = get(cluster, &["pushsecret", "all", "--namespace=push-b"]).unwrap();
    assert!(made["metadata"]["ownerReferences"].is_null(), "{made}");
    cluster.kubectl(&["delete", "pushsecret", "all", "--namespace=push-b"]).unwrap();
    wait_status(cluster, &["push-a", "push-b", "push-c"], &[]);
}
