//! `hack/check-migration-eso`.

use serde_json::{Value, json};
use testenv::{Cluster, Options};

use test_support::chart::{Result, path};

fn check(cluster: &Cluster, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = cluster.command(path("hack/check-migration-eso")).args(arguments).output()?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?))
}

fn apply(cluster: &Cluster, version: &str, kind: &str, name: &str, spec: Value) -> Result {
    let mut object = json!({
        "apiVersion": format!("external-secrets.io/{version}"), "kind": kind, "metadata": { "name": name }, "spec": spec,
    });
    if !kind.starts_with("Cluster") {
        object["metadata"]["namespace"] = json!("default");
    }
    cluster.kubectl_apply(&object.to_string())?;
    Ok(())
}

#[test]
fn the_check_before_the_switch_from_eso_finds_what_has_to_be_decided() -> Result {
    let cluster = Cluster::start(Options::default())?;
    // ESO was never here.
    let (code, text) = check(&cluster, &[])?;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("definition of externalsecrets: the chart brings it"), "{text}");

    cluster.kubectl(&["create", "-f", &path("crds/external-secrets").to_string_lossy()])?;
    cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    all_is_served(&cluster)?;
    what_is_not_served_is_found(&cluster)
}

fn vault(auth: Value) -> Value {
    json!({ "provider": { "vault": { "server": "http://vault", "path": "secret", "auth": auth } } })
}

fn all_is_served(cluster: &Cluster) -> Result {
    let account = json!({ "kubernetes": { "role": "app", "serviceAccountRef": { "name": "app" } } });
    apply(cluster, "v1", "SecretStore", "good", vault(account.clone()))?;
    apply(cluster, "v1", "ClusterSecretStore", "good", vault(account))?;
    let rows = json!([{ "secretKey": "a", "remoteRef": { "key": "k" } }]);
    apply(cluster, "v1", "ExternalSecret", "good", json!({ "secretStoreRef": { "name": "good" }, "data": rows }))?;
    let pushed = json!({ "secretStoreRefs": [{ "name": "good" }], "selector": { "secret": { "name": "s" } } });
    apply(cluster, "v1alpha1", "PushSecret", "good", pushed.clone())?;
    apply(cluster, "v1alpha1", "ClusterPushSecret", "good", json!({ "pushSecretSpec": pushed }))?;
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "SecretSynced", "message": "secret synced",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let patch = format!("--patch={}", json!({ "status": { "conditions": [ready] } }));
    cluster.kubectl(&["patch", "externalsecret", "good", "--subresource=status", "--type=merge", &patch])?;
    for (name, auth) in [
        ("by-irsa", json!({ "iam": { "vaultRole": "r", "jwt": { "serviceAccountRef": { "name": "app" } } } })),
        (
            "by-key",
            json!({ "gcp": { "role": "r", "secretRef": { "secretAccessKeySecretRef": { "name": "k", "key": "j" } } } }),
        ),
    ] {
        apply(cluster, "v1", "SecretStore", name, vault(auth))?;
    }
    // Of another class: this operator leaves it alone.
    let mut other = json!({ "controller": "eso", "provider": { "fake": { "data": [] } } });
    apply(cluster, "v1", "SecretStore", "of-eso", other.clone())?;
    let (code, text) = check(cluster, &[])?;
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("LOOK"), "{text}");
    let (code, text) = check(cluster, &["eso"])?;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("SecretStore default/of-eso: fake"), "{text}");

    other["controller"] = json!("default");
    apply(cluster, "v1", "ClusterSecretStore", "foreign", other)
}

fn what_is_not_served_is_found(cluster: &Cluster) -> Result {
    let role = |method: &str| json!({ method: { "role": "app", "vaultRole": "app" } });
    apply(cluster, "v1", "SecretStore", "as-the-operator", vault(json!({ "kubernetes": { "role": "app" } })))?;
    apply(cluster, "v1", "SecretStore", "by-iam", vault(role("iam")))?;
    apply(cluster, "v1", "SecretStore", "by-gcp", vault(role("gcp")))?;
    let release = "meta.helm.sh/release-name=external-secrets";
    for kind in ["externalsecrets", "secretstores"] {
        cluster.kubectl(&["annotate", "crd", &format!("{kind}.external-secrets.io"), release])?;
    }
    cluster.kubectl(&["annotate", "crd", "secretstores.external-secrets.io", "helm.sh/resource-policy=keep"])?;
    let stores = json!([{ "name": "good" }]);
    for (name, kind) in [("generated", "Fake"), ("of-password", "Password")] {
        let generator = json!({ "generatorRef": { "kind": kind, "name": "p" } });
        let spec = json!({ "secretStoreRefs": stores, "selector": generator });
        apply(cluster, "v1alpha1", "PushSecret", name, spec)?;
    }
    let source = json!({ "secret": { "name": "s" } });
    let spec = json!({ "secretStoreRefs": stores, "selector": source, "deletionPolicy": "Delete" });
    apply(cluster, "v1alpha1", "PushSecret", "deletes", spec)?;
    let generator = json!({ "apiVersion": "generators.external-secrets.io/v1alpha1", "kind": "Fake", "name": "p" });
    let generated = |generator: &Value| json!({ "dataFrom": [{ "sourceRef": { "generatorRef": generator } }] });
    apply(cluster, "v1", "ExternalSecret", "generated", generated(&generator))?;
    let mut password = generator;
    password["kind"] = json!("Password");
    apply(cluster, "v1", "ExternalSecret", "with-password", generated(&password))?;
    let rows = json!([{ "secretKey": "a", "remoteRef": { "key": "k" } }]);
    let manifest = json!({ "manifest": { "apiVersion": "v1", "kind": "ConfigMap" } });
    let spec = json!({ "secretStoreRef": { "name": "good" }, "data": rows, "target": manifest });
    apply(cluster, "v1", "ExternalSecret", "other-target", spec)?;
    let container = json!({ "name": "eso", "image": "ghcr.io/external-secrets/external-secrets:v2.9.0" });
    let labels = json!({ "app.kubernetes.io/name": "external-secrets" });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "eso", "namespace": "default", "labels": labels },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } },
        },
    });
    cluster.kubectl_apply(&deployment.to_string())?;
    let (code, text) = check(cluster, &[])?;
    assert_eq!(code, Some(1), "{text}");
    for found in [
        "ClusterSecretStore foreign: fake\n",
        "PushSecret default/generated (generator Fake p)\n",
        "PushSecret default/deletes\n",
        "ExternalSecret default/generated (generator Fake p)\n",
        "ExternalSecret default/other-target: ConfigMap\n",
        "ExternalSecret default/other-target (no status)\n",
        "secretstores without a class while ESO runs",
        "ClusterSecretStore good\n",
        "CustomResourceDefinition externalsecrets.external-secrets.io (release external-secrets)\n",
    ] {
        assert!(text.contains(found), "{found:?} is missing in\n{text}");
    }
    let good = ["ExternalSecret default/good", "PushSecret default/good", "ClusterPushSecret"];
    for silent in good.into_iter().chain([
        "cannot be read",
        "default/of-eso",
        "error",
        "-password (generator",
        " secretstores.external-secrets.io (",
    ]) {
        assert!(!text.contains(silent), "{silent:?} is in\n{text}");
    }

    // It is scaled down: which of the two serves a store is no question any more.
    cluster.kubectl(&["scale", "deployment", "eso", "--replicas=0"])?;
    let (_, text) = check(cluster, &[])?;
    assert!(text.contains("ESO: does not run") && !text.contains("while ESO runs"), "{text}");
    for name in ["as-the-operator", "by-iam", "by-gcp"] {
        assert!(text.contains(&format!("SecretStore default/{name}\n")), "{name} is missing in\n{text}");
    }
    assert!(!text.contains("default/by-irsa") && !text.contains("default/by-key"), "{text}");
    Ok(())
}
