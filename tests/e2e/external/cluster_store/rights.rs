//! Logins at the API server of a store that may do much, little or nothing.

use serde_json::{Value, json};
use testenv::Cluster;

use super::{apply, authority, namespaces, wait_ready, wait_value};

/// A login with the fewest rights may get some Secrets by their names, and neither list nor watch.
pub fn reads_with_a_role_for_some_names(cluster: &Cluster, url: &str) {
    namespaces(cluster, &["narrow"]);
    cluster.kubectl(&["create", "serviceaccount", "narrow", "--namespace=narrow"]).unwrap();
    let in_source = "--namespace=source";
    let role = ["create", "role", "narrow", in_source, "--verb=get", "--resource=secrets", "--resource-name=two"];
    cluster.kubectl(&role).unwrap();
    let binding = ["create", "rolebinding", "narrow", in_source, "--role=narrow", "--serviceaccount=narrow:narrow"];
    cluster.kubectl(&binding).unwrap();
    let ca = authority(cluster);
    apply(
        cluster,
        &format!(
            r#"
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {{ name: narrow, namespace: narrow }}
spec:
  provider:
    kubernetes:
      remoteNamespace: source
      server: {{ url: "{url}", caBundle: {ca} }}
      auth: {{ serviceAccount: {{ name: narrow }} }}
---
apiVersion: external-secrets.io/v1
kind: ExternalSecret
metadata: {{ name: named, namespace: narrow }}
spec:
  secretStoreRef: {{ name: narrow }}
  data:
    - secretKey: plain
      remoteRef: {{ key: two, property: plain }}
    - secretKey: metadata
      remoteRef: {{ key: two, metadataPolicy: Fetch }}
"#
        ),
    );
    wait_ready(cluster, "narrow", "secretstore/narrow", ("True", "Valid"), "store validated");
    wait_value(cluster, "narrow", "named", "plain", "text");
    let metadata = r#"{"annotations":null,"labels":{"app.kubernetes.io/name":"app","kind":"x"}}"#;
    wait_value(cluster, "narrow", "named", "metadata", metadata);
}

pub fn says_what_a_cluster_refuses(cluster: &Cluster, url: &str) {
    namespaces(cluster, &["refused"]);
    cluster.kubectl(&["create", "serviceaccount", "nobody", "--namespace=refused"]).unwrap();
    let store = |name: &str, server: Value, auth: Value| {
        json!({
            "apiVersion": "external-secrets.io/v1", "kind": "SecretStore",
            "metadata": { "name": name, "namespace": "refused" },
            "spec": { "provider": { "kubernetes": { "server": server, "auth": auth, "remoteNamespace": "foo" } } },
        })
        .to_string()
    };
    let ca = authority(cluster);
    let account = json!({ "serviceAccount": { "name": "nobody" } });
    let token = json!({ "token": { "bearerToken": { "name": "gone", "key": "token" } } });
    for (name, manifest, text) in [
        (
            "no-rights",
            store("no-rights", json!({ "url": url, "caBundle": ca }), account.clone()),
            "client is not allowed to get secrets",
        ),
        (
            "no-token",
            store("no-token", json!({ "url": url, "caBundle": ca }), token),
            "cannot get Kubernetes secret \"gone\" from namespace \"refused\"",
        ),
        ("wrong-ca", store("wrong-ca", json!({ "url": url }), account.clone()), "certificate"),
        ("down", store("down", json!({ "url": "https://127.0.0.1:1" }), account), "unable to "),
    ] {
        apply(cluster, &manifest);
        wait_ready(cluster, "refused", &format!("secretstore/{name}"), ("False", "InvalidProviderConfig"), text);
    }
}
