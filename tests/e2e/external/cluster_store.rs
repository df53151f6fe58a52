//! ClusterSecretStores and the provider `kubernetes`, with an operator that serves the whole cluster.

mod rights;

use std::sync::Arc;

use serde_json::{Value, json};
use testenv::{Cluster, Options};

use super::{SERVED, vault_provider};
use test_support::http_server::{Answer, Request, serve};
use test_support::{Tenant, eventually, own};

/// A manifest as it stands, with what the cluster of the test is.
fn apply(cluster: &Cluster, manifest: &str) {
    cluster.kubectl_apply(manifest).expect("it is accepted");
}

/// Waits for a value in a Secret of any namespace.
#[track_caller]
fn wait_value(cluster: &Cluster, namespace: &str, secret: &str, key: &str, value: &str) {
    eventually(&format!("{key} of {namespace}/{secret}"), || {
        let template = format!("--template={{{{index .data \"{key}\" | base64decode}}}}");
        match cluster.kubectl(&["get", "secret", secret, "--namespace", namespace, &template]) {
            Ok(found) if found == value => Ok(()),
            Ok(found) => Err(found),
            Err(error) => Err(error.to_string()),
        }
    });
}

/// Waits for a condition of an object of any namespace.
#[track_caller]
fn wait_ready(cluster: &Cluster, namespace: &str, object: &str, (status, reason): (&str, &str), text: &str) {
    eventually(&format!("{object} is {status} {reason} with {text:?}"), || {
        let args = ["get", object, "--namespace", namespace, "--output=json"];
        let found: Value = serde_json::from_str(&cluster.kubectl(&args).map_err(|e| e.to_string())?).unwrap();
        let ready = &found["status"]["conditions"][0];
        let fits = ready["status"] == status
            && ready["reason"] == reason
            && ready["message"].as_str().is_some_and(|message| message.contains(text));
        if fits { Ok(()) } else { Err(found["status"].to_string()) }
    });
}

/// The authority of the API server's certificate, in Base64.
fn authority(cluster: &Cluster) -> String {
    let path = "--output=jsonpath={.clusters[0].cluster.certificate-authority-data}";
    cluster.kubectl(&["config", "view", "--raw", "--flatten", "--minify", path]).expect("a kubeconfig")
}

fn namespaces(cluster: &Cluster, names: &[&str]) {
    for name in names {
        apply(cluster, &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }).to_string());
    }
}

#[test]
fn stores_of_the_cluster_serve_the_namespaces_that_they_admit() {
    let cluster = own(Options::default());
    let tenant = Tenant::serving_all(&cluster, "css");
    let _operator = tenant.operator(SERVED);
    let url =
        cluster.kubectl(&["config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}"]).unwrap();

    copies_a_secret_to_another_namespace(&cluster, &url);
    reads_a_server_that_speaks_only_kv(&cluster);
    admits_namespaces_by_condition(&tenant);
    reads_what_is_picked_and_found(&cluster, &url);
    rights::reads_with_a_role_for_some_names(&cluster, &url);
    rights::says_what_a_cluster_refuses(&cluster, &url);
    lets_a_store_go_that_eso_has_held(&cluster);
}

fn lets_a_store_go_that_eso_has_held(cluster: &Cluster) {
    let finalizers = r#"--patch={"metadata":{"finalizers":["secretstore.externalsecrets.io/finalizer"]}}"#;
    let store = ["clustersecretstore", "foo-secret-store"];
    cluster.kubectl(&[&["patch"], &store[..], &["--type=merge", finalizers]].concat()).unwrap();
    cluster.kubectl(&[&["delete"], &store[..], &["--timeout=30s"]].concat()).unwrap();
    // What it has made stays.
    wait_value(cluster, "bar", "my-secret", "a", "2");
}

/// The tutorial on copies between namespaces.
fn copies_a_secret_to_another_namespace(cluster: &Cluster, url: &str) {
    namespaces(cluster, &["foo", "bar", "argocd"]);
    cluster.kubectl(&["create", "serviceaccount", "external-secrets", "--namespace=argocd"]).unwrap();
    let binding = ["create", "rolebinding", "external-secrets", "--namespace=foo", "--clusterrole=admin"];
    let subject = "--serviceaccount=argocd:external-secrets";
    cluster.kubectl(&[&binding[..], &[subject]].concat()).unwrap();
    cluster.kubectl(&["create", "secret", "generic", "my-secret", "--namespace=foo", "--from-literal=a=1"]).unwrap();
    let config_map = ["create", "configmap", "ca", "--namespace=foo"];
    let ca = authority(cluster);
    let pem =
        String::from_utf8(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, ca).unwrap()).unwrap();
    cluster.kubectl(&[&config_map[..], &[&format!("--from-literal=ca.crt={pem}")]].concat()).unwrap();
    apply(
        cluster,
        &format!(
            r#"
apiVersion: external-secrets.io/v1beta1
kind: ClusterSecretStore
metadata:
  name: foo-secret-store
spec:
  provider:
    kubernetes:
      remoteNamespace: foo
      server:
        url: {url}
        caProvider:
          type: ConfigMap
          name: ca
          key: ca.crt
          namespace: foo
      auth:
        serviceAccount:
          name: external-secrets
          namespace: argocd
---
apiVersion: external-secrets.io/v1beta1
kind: ExternalSecret
metadata:
  name: pull-my-secret
  namespace: bar
spec:
  refreshInterval: 1s
  secretStoreRef:
    name: foo-secret-store
    kind: ClusterSecretStore
  target:
    name: my-secret
  dataFrom:
    - extract:
        key: my-secret
"#
        ),
    );
    wait_ready(cluster, "", "clustersecretstore/foo-secret-store", ("True", "Valid"), "store validated");
    wait_value(cluster, "bar", "my-secret", "a", "1");
    let owner = cluster.kubectl(&["get", "secret", "my-secret", "--namespace=bar", "--output=json"]).unwrap();
    let secret: Value = serde_json::from_str(&owner).unwrap();
    let label = &secret["metadata"]["labels"]["reconcile.external-secrets.io/created-by"];
    assert_eq!(*label, "7f9dfab9173403a4c6d018c26445070f70a02476a901faa21d60eea8", "ESO's own");
    let patch = r#"--patch={"stringData":{"a":"2","b":"3"}}"#;
    cluster.kubectl(&["patch", "secret", "my-secret", "--namespace=foo", "--type=merge", patch]).unwrap();
    wait_value(cluster, "bar", "my-secret", "a", "2");
    wait_value(cluster, "bar", "my-secret", "b", "3");
}

/// The tutorial on a server that has no more of Vault than KV v2 below a path, with a token of the namespace that uses
/// it.
fn reads_a_server_that_speaks_only_kv(cluster: &Cluster) {
    const DOMAIN: &str = "3f2b6d0a-58a1-4d0e-9a53-7c1f3c1f9a10";
    let host = serve(Arc::new(|request: &Request| {
        let good = request.header("x-vault-token") == Some("pat-1");
        if request.path == format!("/api/{DOMAIN}/v1/secret/data/prod/va1/dockerconfigjson") && good {
            let auths = json!({ "auths": { "mpr.example": { "auth": "eDp5" } } });
            Answer::json(&json!({ "data": { "data": auths, "metadata": { "version": 1 } } }))
        } else {
            Answer::refusal(404, "<html>not found</html>")
        }
    }));
    namespaces(cluster, &["external-secrets", "elsewhere"]);
    apply(
        cluster,
        &format!(
            r#"
apiVersion: v1
kind: Secret
metadata:
  name: ovhcloud-vault-token
  namespace: external-secrets
stringData:
  token: "pat-1\n"
---
apiVersion: external-secrets.io/v1
kind: ClusterSecretStore
metadata:
  name: vault-secret-store
spec:
  provider:
    vault:
      server: "http://{host}/api/{DOMAIN}"
      path: "secret"
      version: "v2"
      auth:
        tokenSecretRef:
          name: ovhcloud-vault-token
          key: token
"#
        ),
    );
    let object = |namespace: &str| {
        format!(
            r#"
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata:
  name: docker-config-secret
  namespace: {namespace}
spec:
  refreshInterval: 30m
  secretStoreRef:
    name: vault-secret-store
    kind: ClusterSecretStore
  target:
    template:
      type: kubernetes.io/dockerconfigjson
      data:
        .dockerconfigjson: "{{{{ .mysecret | toString }}}}"
    name: ovhregistrycred
    creationPolicy: Owner
  data:
    - secretKey: mysecret
      remoteRef:
        key: prod/va1/dockerconfigjson
"#
        )
    };
    apply(cluster, &object("external-secrets"));
    let not_verified = "not verified";
    wait_ready(cluster, "", "clustersecretstore/vault-secret-store", ("True", "Valid"), not_verified);
    let table = cluster.kubectl(&["get", "clustersecretstore.external-secrets.io/vault-secret-store"]).unwrap();
    let words: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(words[..5], ["NAME", "AGE", "STATUS", "CAPABILITIES", "READY"], "{table}");
    assert_eq!((words[5], &words[7..]), ("vault-secret-store", &["Valid", "ReadWrite", "True"][..]), "{table}");
    let expected = r#"{"auths":{"mpr.example":{"auth":"eDp5"}}}"#;
    wait_value(cluster, "external-secrets", "ovhregistrycred", ".dockerconfigjson", expected);
    let table = cluster.kubectl(&["get", "secret", "ovhregistrycred", "--namespace=external-secrets"]).unwrap();
    assert!(table.contains("kubernetes.io/dockerconfigjson   1 "), "{table}");
    // In another namespace there is no such token, and it is said where it was looked for.
    apply(cluster, &object("elsewhere"));
    let text = "Secret elsewhere/ovhcloud-vault-token";
    wait_ready(cluster, "elsewhere", "externalsecret/docker-config-secret", ("False", "SecretSyncedError"), text);
}

fn admits_namespaces_by_condition(tenant: &Tenant<'_>) {
    let cluster = tenant.cluster;
    namespaces(cluster, &["team-a", "team-b"]);
    let mut spec = vault_provider(tenant, json!({}));
    spec["provider"]["vault"]["auth"]["kubernetes"]["serviceAccountRef"]["namespace"] = json!(tenant.namespace);
    spec["conditions"] = json!([
        { "namespaceSelector": { "matchLabels": { "team": "b" } } },
        { "namespaces": ["nobody"] },
        { "namespaceRegexes": ["^team-a$"] },
    ]);
    let store = json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": { "name": "shared" }, "spec": spec,
    });
    apply(cluster, &store.to_string());
    wait_ready(cluster, "", "clustersecretstore/shared", ("True", "Valid"), "store validated");
    tenant.put("db", json!({ "password": "right" }));
    for namespace in ["team-a", "team-b"] {
        let object = json!({
            "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
            "metadata": { "name": "db", "namespace": namespace },
            "spec": {
                "secretStoreRef": { "name": "shared", "kind": "ClusterSecretStore" },
                "dataFrom": [{ "extract": { "key": tenant.path("db") } }],
            },
        });
        apply(cluster, &object.to_string());
    }
    wait_value(cluster, "team-a", "db", "password", "right");
    let text = "using cluster store \"shared\" is not allowed from namespace \"team-b\": denied by spec.condition";
    wait_ready(cluster, "team-b", "externalsecret/db", ("False", "SecretSyncedError"), text);
    cluster.kubectl(&["label", "namespace", "team-b", "team=b"]).unwrap();
    wait_value(cluster, "team-b", "db", "password", "right");
    let invalid = r#"--patch={"spec":{"conditions":[{"namespaceRegexes":["team-["]}]}}"#;
    cluster.kubectl(&["patch", "clustersecretstore", "shared", "--type=merge", invalid]).unwrap();
    let refused = ("False", "InvalidProviderConfig");
    wait_ready(cluster, "", "clustersecretstore/shared", refused, "namespaceRegexes \"team-[\"");
}

fn reads_what_is_picked_and_found(cluster: &Cluster, url: &str) {
    namespaces(cluster, &["source", "sink"]);
    for (name, data, label) in [
        ("one", r#"json={"a":{"b":"deep"}}"#, "kind=x"),
        ("two", "plain=text", "kind=x"),
        ("three", "plain=other", "kind=y"),
    ] {
        cluster.kubectl(&["create", "secret", "generic", name, "--namespace=source", "--from-literal", data]).unwrap();
        cluster.kubectl(&["label", "secret", name, "--namespace=source", label, "app.kubernetes.io/name=app"]).unwrap();
    }
    cluster.kubectl(&["create", "serviceaccount", "reader", "--namespace=sink"]).unwrap();
    let binding = [
        "create",
        "rolebinding",
        "reader",
        "--namespace=source",
        "--clusterrole=admin",
        "--serviceaccount=sink:reader",
    ];
    cluster.kubectl(&binding).unwrap();
    let token = cluster.kubectl(&["create", "token", "reader", "--namespace=sink", "--duration=1h"]).unwrap();
    let token = token.trim();
    cluster
        .kubectl(&[
            "create",
            "secret",
            "generic",
            "token",
            "--namespace=sink",
            &format!("--from-literal=token={token}"),
        ])
        .unwrap();
    let ca = authority(cluster);
    apply(
        cluster,
        &format!(
            r#"
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {{ name: source, namespace: sink }}
spec:
  provider:
    kubernetes:
      remoteNamespace: source
      server: {{ url: "{url}", caBundle: {ca} }}
      auth: {{ token: {{ bearerToken: {{ name: token, key: token }} }} }}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {{ name: picked, namespace: sink }}
spec:
  secretStoreRef: {{ name: source }}
  data:
    - secretKey: deep
      remoteRef: {{ key: one, property: json.a.b }}
    - secretKey: label
      remoteRef: {{ key: two, property: "labels.app.kubernetes.io/name", metadataPolicy: Fetch }}
    - secretKey: whole
      remoteRef: {{ key: two }}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {{ name: found, namespace: sink }}
spec:
  secretStoreRef: {{ name: source }}
  dataFrom:
    - find: {{ tags: {{ kind: x }} }}
    - find: {{ name: {{ regexp: "^thr" }} }}
"#
        ),
    );
    wait_ready(cluster, "sink", "secretstore/source", ("True", "Valid"), "store validated");
    for (secret, key, value) in [
        ("picked", "deep", "deep"),
        ("picked", "label", "app"),
        ("picked", "whole", r#"{"plain":"text"}"#),
        ("found", "two", r#"{"plain":"text"}"#),
        ("found", "three", r#"{"plain":"other"}"#),
    ] {
        wait_value(cluster, "sink", secret, key, value);
    }
}
