//! The definitions on a real API server: what it takes, what it refuses, what it fills in, what it shows.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use testenv::{Cluster, Options};
use vso::api::{SecretTransformation, VaultAuth, VaultAuthGlobal, VaultConnection, VaultStaticSecret, crd};

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": kind,
        "metadata": { "name": name, "namespace": "default" }, "spec": spec,
    })
}

fn secret(changes: Value) -> Value {
    let mut spec = json!({ "mount": "kv", "path": "p", "type": "kv-v2", "destination": { "name": "d" } });
    for (name, value) in changes.as_object().unwrap() {
        spec[name] = value.clone();
    }
    spec
}

/// The object as the API server stored it.
fn stored(cluster: &Cluster, kind: &str, name: &str) -> Value {
    serde_json::from_str(&cluster.kubectl(&["get", kind, name, "-o", "json"]).unwrap()).unwrap()
}

/// Starts a cluster with the definitions, applied twice: the second time nothing may change.
fn cluster() -> Cluster {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut stream = Vec::new();
    crd::print(&mut stream).unwrap();
    let stream = String::from_utf8(stream).unwrap();
    cluster.kubectl_apply(&stream).unwrap();
    cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]).unwrap();
    let read = || cluster.kubectl(&["get", "crd", "-o", "jsonpath={.items[*].metadata.generation}"]).unwrap();
    let before = read();
    cluster.kubectl_apply(&stream).unwrap();
    assert_eq!(read(), before);
    let conditions = cluster.kubectl(&["get", "crd", "-o", "jsonpath={.items[*].status.conditions[*].type}"]).unwrap();
    assert!(!conditions.contains("NonStructuralSchema"), "{conditions}");
    cluster
}

#[test]
fn an_api_server_agrees_with_the_definitions() {
    let cluster = &cluster();
    fills_in_defaults(cluster);
    stores_every_member(cluster);
    refuses_what_is_wrong(cluster);
    holds_the_status_to_its_schema(cluster);
    shows_columns(cluster);
}

fn fills_in_defaults(cluster: &Cluster) {
    let apply = |kind, spec| {
        cluster.kubectl_apply(&object(kind, "small", spec).to_string()).unwrap();
        stored(cluster, kind, "small")["spec"].take()
    };
    assert_eq!(
        apply("VaultStaticSecret", secret(json!({}))),
        json!({
            "mount": "kv", "path": "p", "type": "kv-v2", "hmacSecretData": true,
            "destination": { "name": "d", "create": false, "overwrite": false },
        })
    );
    assert_eq!(
        apply("VaultConnection", json!({ "address": "http://v" })),
        json!({ "address": "http://v", "skipTLSVerify": false })
    );
    let block = json!({ "tokenExpirationSeconds": 600 });
    assert_eq!(
        apply("VaultAuth", json!({ "kubernetes": {}, "jwt": {} })),
        json!({ "kubernetes": block, "jwt": block })
    );
    assert_eq!(
        apply("VaultAuthGlobal", json!({ "kubernetes": {}, "jwt": {} })),
        json!({ "kubernetes": block, "jwt": block })
    );
    assert_eq!(apply("SecretTransformation", json!({})), json!({}));
    for kind in ["VaultStaticSecret", "VaultConnection", "VaultAuth", "VaultAuthGlobal", "SecretTransformation"] {
        let mut bare = object(kind, "bare", json!(null));
        bare.as_object_mut().unwrap().remove("spec");
        cluster.kubectl_apply(&bare.to_string()).unwrap();
        assert_eq!(stored(cluster, kind, "bare").get("spec"), None, "{kind}");
    }
}

/// Server-side apply refuses a member that the schema does not have, so what gets through is all there.
fn stores_every_member(cluster: &Cluster) {
    let kubernetes = json!({ "role": "r", "serviceAccount": "s", "audiences": ["a"], "tokenExpirationSeconds": 601 });
    let app_role = json!({ "roleId": "r", "secretRef": "s", "secretIDPath": "/p" });
    let objects = [
        object(
            "VaultConnection",
            "full",
            json!({
                "address": "https://v", "headers": { "h": "1" }, "tlsServerName": "s", "caCertSecretRef": "c",
                "caCertPath": "/p", "skipTLSVerify": true, "timeout": "1.5m", "allowedNamespaces": ["n"],
            }),
        ),
        object(
            "VaultAuth",
            "full",
            json!({
                "vaultConnectionRef": "a/b", "namespace": "v", "allowedNamespaces": ["*"], "method": "appRole",
                "mount": "m", "params": { "p": "1" }, "headers": { "h": "2" },
                "vaultAuthGlobalRef": {
                    "name": "a.b", "namespace": "c-d", "allowDefault": true,
                    "mergeStrategy": { "headers": "union", "params": "replace" },
                },
                "kubernetes": kubernetes, "appRole": app_role,
                "jwt": { "role": "r", "secretRef": "s", "serviceAccount": "s", "audiences": ["a"], "tokenExpirationSeconds": 700 },
                "aws": {
                    "role": "r", "region": "g", "headerValue": "h", "sessionName": "s", "stsEndpoint": "s",
                    "iamEndpoint": "i", "secretRef": "s", "irsaServiceAccount": "s",
                },
                "gcp": {
                    "role": "r", "workloadIdentityServiceAccount": "s", "region": "g", "clusterName": "c", "projectID": "p",
                },
                "storageEncryption": { "mount": "m", "keyName": "k" },
            }),
        ),
        object(
            "VaultAuthGlobal",
            "full",
            json!({
                "allowedNamespaces": ["a"], "vaultConnectionRef": "c", "defaultVaultNamespace": "v",
                "defaultAuthMethod": "gcp", "defaultMount": "m", "params": { "p": "1" }, "headers": { "h": "2" },
                "appRole": {
                    "roleId": "r", "secretRef": "s", "secretIDPath": "/p",
                    "namespace": "v", "mount": "m", "params": { "p": "1" }, "headers": { "h": "2" },
                },
            }),
        ),
        object(
            "VaultStaticSecret",
            "full",
            secret(json!({
                "vaultAuthRef": "a/b", "namespace": "v", "type": "kv-v1", "version": 3, "refreshAfter": "10s",
                "hmacSecretData": false, "syncConfig": { "instantUpdates": true },
                "rolloutRestartTargets": [{ "kind": "argo.Rollout", "name": "r" }, { "kind": "DaemonSet", "name": "d" }],
                "destination": {
                    "name": "d", "create": true, "overwrite": true, "type": "kubernetes.io/tls",
                    "labels": { "l": "1" }, "annotations": { "a": "2" },
                    "transformation": {
                        "templates": { "k": { "name": "n", "text": "t" } }, "includes": ["i"], "excludes": ["e"],
                        "excludeRaw": true,
                        "transformationRefs": [{
                            "name": "s", "namespace": "ns", "ignoreIncludes": true, "ignoreExcludes": true,
                            "templateRefs": [{ "name": "t", "keyOverride": "o" }],
                        }],
                    },
                },
            })),
        ),
        object(
            "SecretTransformation",
            "full",
            json!({
                "templates": { "k": { "name": "n", "text": "t" } }, "sourceTemplates": [{ "name": "n", "text": "t" }],
                "includes": ["i"], "excludes": ["e"],
            }),
        ),
    ];
    for object in &objects {
        cluster.kubectl_apply(&object.to_string()).unwrap();
        let kind = object["kind"].as_str().unwrap();
        let stored = stored(cluster, kind, "full");
        assert_eq!(stored["spec"], object["spec"], "{kind}");
        // And our types lose nothing of it.
        let spec = match kind {
            "VaultConnection" => json!(serde_json::from_value::<VaultConnection>(stored).unwrap().spec),
            "VaultAuth" => json!(serde_json::from_value::<VaultAuth>(stored).unwrap().spec),
            "VaultAuthGlobal" => json!(serde_json::from_value::<VaultAuthGlobal>(stored).unwrap().spec),
            "VaultStaticSecret" => json!(serde_json::from_value::<VaultStaticSecret>(stored).unwrap().spec),
            _ => json!(serde_json::from_value::<SecretTransformation>(stored).unwrap().spec),
        };
        assert_eq!(spec, object["spec"], "{kind}");
    }
}

fn refuses_what_is_wrong(cluster: &Cluster) {
    let target = |kind: &str| secret(json!({ "rolloutRestartTargets": [{ "kind": kind, "name": "n" }] }));
    let global_ref = |r: Value| json!({ "vaultAuthGlobalRef": r });
    for (kind, spec, expected) in [
        ("VaultStaticSecret", secret(json!({ "type": "kv-v3" })), "spec.type: Unsupported value"),
        (
            "VaultStaticSecret",
            json!({ "mount": "m", "type": "kv-v1", "destination": { "name": "d" } }),
            "spec.path: Required",
        ),
        ("VaultStaticSecret", secret(json!({ "destination": {} })), "spec.destination.name: Required"),
        ("VaultStaticSecret", secret(json!({ "refreshAfter": "bogus" })), "spec.refreshAfter in body should match"),
        ("VaultStaticSecret", secret(json!({ "refreshAfter": "1h30m" })), "spec.refreshAfter in body should match"),
        (
            "VaultStaticSecret",
            secret(json!({ "version": -1 })),
            "spec.version in body should be greater than or equal to 0",
        ),
        ("VaultStaticSecret", target("Job"), "spec.rolloutRestartTargets[0].kind: Unsupported value"),
        (
            "VaultStaticSecret",
            secret(json!({ "destination": { "name": "d", "type": "kubernetes.io/service-account-token" } })),
            "spec.destination.type: Invalid value",
        ),
        ("VaultConnection", json!({}), "spec.address: Required"),
        ("VaultConnection", json!({ "address": "a", "timeout": "1" }), "spec.timeout in body should match"),
        ("VaultAuth", json!({ "method": "oidc" }), "spec.method: Unsupported value"),
        ("VaultAuth", json!({ "kubernetes": { "tokenExpirationSeconds": 599 } }), "greater than or equal to 600"),
        ("VaultAuth", json!({ "jwt": { "tokenExpirationSeconds": 599 } }), "greater than or equal to 600"),
        ("VaultAuth", json!({ "storageEncryption": { "mount": "m" } }), "spec.storageEncryption.keyName: Required"),
        ("VaultAuth", global_ref(json!({ "name": "A" })), "spec.vaultAuthGlobalRef.name in body should match"),
        (
            "VaultAuth",
            global_ref(json!({ "namespace": "a.b" })),
            "spec.vaultAuthGlobalRef.namespace in body should match",
        ),
        (
            "VaultAuth",
            global_ref(json!({ "mergeStrategy": { "params": "x" } })),
            "mergeStrategy.params: Unsupported value",
        ),
        ("VaultAuthGlobal", json!({ "defaultAuthMethod": "x" }), "spec.defaultAuthMethod: Unsupported value"),
        ("VaultAuthGlobal", json!({ "jwt": { "tokenExpirationSeconds": 1 } }), "greater than or equal to 600"),
        ("SecretTransformation", json!({ "templates": { "k": {} } }), "spec.templates.k.text: Required"),
    ] {
        let error = cluster.kubectl_apply(&object(kind, "bad", spec).to_string()).unwrap_err().to_string();
        assert!(error.contains(expected), "{kind}: {error}");
    }
}

fn holds_the_status_to_its_schema(cluster: &Cluster) {
    let patch = |kind: &str, status: Value| {
        let patch = json!({ "status": status }).to_string();
        cluster.kubectl(&["patch", kind, "small", "--subresource=status", "--type=merge", "-p", &patch])
    };
    let condition = |type_: &str, status: &str| {
        json!({
            "type": type_, "status": status, "reason": "R", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let conditions =
        json!([condition("SecretSynced", "False"), condition("Healthy", "Unknown"), condition("Ready", "True")]);
    patch("VaultStaticSecret", json!({
        "lastGeneration": 0, "secretMAC": "bWFj", "vaultClientMeta": { "cacheKey": "c", "id": "i" }, "conditions": conditions,
    }))
    .unwrap();
    for kind in ["VaultConnection", "VaultAuth"] {
        patch(kind, json!({ "valid": true, "conditions": conditions })).unwrap();
    }
    patch("SecretTransformation", json!({ "valid": true, "error": "", "conditions": conditions })).unwrap();
    patch("VaultAuthGlobal", json!({ "valid": false, "error": "e" })).unwrap();

    let mut bad = condition("no spaces", "Maybe");
    bad["reason"] = json!("no spaces");
    bad["observedGeneration"] = json!(-1);
    bad["lastTransitionTime"] = json!("yesterday");
    let error = patch("VaultConnection", json!({ "conditions": [bad] })).unwrap_err().to_string();
    for member in ["type", "status", "reason", "observedGeneration", "lastTransitionTime"] {
        assert!(error.contains(&format!("conditions[0].{member}")), "{member}: {error}");
    }
    let long = json!([{ "message": "m".repeat(32769), "reason": "R", "type": "T", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
    let error = patch("VaultConnection", json!({ "conditions": long })).unwrap_err().to_string();
    assert!(error.contains("32768"), "{error}");
    let error = patch("VaultStaticSecret", json!({ "lastGeneration": null })).unwrap_err().to_string();
    assert!(error.contains("status.lastGeneration: Required"), "{error}");
}

fn shows_columns(cluster: &Cluster) {
    let table = |kind: &str| {
        let text = cluster.kubectl(&["get", kind, "small"]).unwrap();
        let rows: Vec<Vec<String>> =
            text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
        (rows[0].clone(), rows[1][..rows[1].len() - 1].to_vec())
    };
    assert_eq!(
        table("vaultstaticsecrets"),
        (
            ["NAME", "SYNCED", "HEALTHY", "READY", "AGE"].map(str::to_owned).to_vec(),
            ["small", "False", "Unknown", "True"].map(str::to_owned).to_vec(),
        )
    );
    for kind in ["vaultconnections", "vaultauths", "secrettransformations"] {
        let expected = (
            ["NAME", "HEALTHY", "READY", "AGE"].map(str::to_owned).to_vec(),
            ["small", "Unknown", "True"].map(str::to_owned).to_vec(),
        );
        assert_eq!(table(kind), expected, "{kind}");
    }
    assert_eq!(table("vaultauthglobals").0, ["NAME", "AGE"]);
}
