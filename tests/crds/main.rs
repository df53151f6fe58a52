//! The definitions on a real API server: what it takes, what it refuses, what it fills in, what it shows.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use testenv::{Cluster, Options};
use vso::api::crd;

mod any_input;
mod every_member;

/// All kinds.
const KINDS: [&str; 8] = [
    "VaultStaticSecret",
    "VaultDynamicSecret",
    "VaultPKISecret",
    "CSISecrets",
    "VaultConnection",
    "VaultAuth",
    "VaultAuthGlobal",
    "SecretTransformation",
];

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": kind,
        "metadata": { "name": name, "namespace": "default" }, "spec": spec,
    })
}

/// A spec with these members in place of its own; `null` removes one.
fn with(mut spec: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(spec.as_object_mut().unwrap().remove(name)),
            value => spec[name] = value.clone(),
        }
    }
    spec
}

fn secret(changes: Value) -> Value {
    with(json!({ "mount": "kv", "path": "p", "type": "kv-v2", "destination": { "name": "d" } }), changes)
}

fn dynamic(changes: Value) -> Value {
    with(json!({ "mount": "db", "path": "creds/p", "destination": { "name": "d" } }), changes)
}

fn pki(changes: Value) -> Value {
    with(json!({ "mount": "pki", "role": "r", "destination": { "name": "d" } }), changes)
}

fn csi(changes: Value) -> Value {
    with(json!({ "secrets": {}, "accessControl": { "serviceAccountPattern": "s" } }), changes)
}

/// The object as the API server stored it.
fn stored(cluster: &Cluster, kind: &str, name: &str) -> Value {
    serde_json::from_str(&cluster.kubectl(&["get", kind, name, "-o", "json"]).unwrap()).unwrap()
}

/// Starts a cluster with the definitions, applied twice: the second time nothing may change.
fn cluster() -> Cluster {
    let cluster = Cluster::start(Options::default()).unwrap();
    let mut stream = Vec::new();
    crd::print(&crd::all(), &mut stream).unwrap();
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
    every_member::keeps_every_member(cluster);
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
    let destination = json!({ "name": "d", "create": false, "overwrite": false });
    assert_eq!(
        apply("VaultDynamicSecret", dynamic(json!({}))),
        dynamic(json!({ "renewalPercent": 67, "destination": destination }))
    );
    assert_eq!(apply("VaultPKISecret", pki(json!({}))), pki(json!({ "destination": destination })));
    assert_eq!(
        apply("CSISecrets", csi(json!({}))),
        csi(json!({ "accessControl": { "serviceAccountPattern": "s", "matchPolicy": "all" } }))
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
    for kind in KINDS {
        let mut bare = object(kind, "bare", json!(null));
        bare.as_object_mut().unwrap().remove("spec");
        cluster.kubectl_apply(&bare.to_string()).unwrap();
        assert_eq!(stored(cluster, kind, "bare").get("spec"), None, "{kind}");
    }
}

fn refuses_what_is_wrong(cluster: &Cluster) {
    let target = |kind: &str| secret(json!({ "rolloutRestartTargets": [{ "kind": kind, "name": "n" }] }));
    let global_ref = |r: Value| json!({ "vaultAuthGlobalRef": r });
    let token = json!({ "name": "d", "type": "kubernetes.io/service-account-token" });
    let static_item = |changes: Value| {
        let item = with(json!({ "mount": "m", "path": "p", "type": "kv-v2" }), changes);
        csi(json!({ "secrets": { "vaultStaticSecrets": [item] } }))
    };
    let role_item = |changes: Value| {
        let item = with(json!({ "mount": "m", "role": "r" }), changes);
        csi(json!({ "secrets": { "vaultAppRoleSecretIDs": [item] } }))
    };
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
        ("VaultAuth", json!({ "method": "token" }), "method token needs spec.token"),
        ("VaultAuthGlobal", json!({ "defaultAuthMethod": "x" }), "spec.defaultAuthMethod: Unsupported value"),
        ("VaultAuthGlobal", json!({ "jwt": { "tokenExpirationSeconds": 1 } }), "greater than or equal to 600"),
        ("SecretTransformation", json!({ "templates": { "k": {} } }), "spec.templates.k.text: Required"),
        ("VaultDynamicSecret", dynamic(json!({ "mount": null })), "spec.mount: Required"),
        ("VaultDynamicSecret", dynamic(json!({ "path": null })), "spec.path: Required"),
        ("VaultDynamicSecret", dynamic(json!({ "destination": null })), "spec.destination: Required"),
        ("VaultDynamicSecret", dynamic(json!({ "destination": token })), "spec.destination.type: Invalid value"),
        (
            "VaultDynamicSecret",
            dynamic(json!({ "requestHTTPMethod": "PATCH" })),
            "spec.requestHTTPMethod: Unsupported value",
        ),
        ("VaultDynamicSecret", dynamic(json!({ "renewalPercent": 91 })), "less than or equal to 90"),
        ("VaultDynamicSecret", dynamic(json!({ "renewalPercent": -1 })), "greater than or equal to 0"),
        ("VaultDynamicSecret", dynamic(json!({ "refreshAfter": "1d" })), "spec.refreshAfter in body should match"),
        ("VaultDynamicSecret", dynamic(json!({ "params": { "a": 1 } })), "params"),
        ("VaultPKISecret", pki(json!({ "mount": null })), "spec.mount: Required"),
        ("VaultPKISecret", pki(json!({ "role": null })), "spec.role: Required"),
        ("VaultPKISecret", pki(json!({ "destination": null })), "spec.destination: Required"),
        ("VaultPKISecret", pki(json!({ "destination": token })), "spec.destination.type: Invalid value"),
        ("VaultPKISecret", pki(json!({ "ttl": "1w" })), "spec.ttl in body should match"),
        ("VaultPKISecret", pki(json!({ "expiryOffset": "1d" })), "spec.expiryOffset in body should match"),
        ("CSISecrets", csi(json!({ "secrets": null })), "spec.secrets: Required"),
        ("CSISecrets", csi(json!({ "accessControl": null })), "spec.accessControl: Required"),
        ("CSISecrets", csi(json!({ "accessControl": {} })), "spec.accessControl.serviceAccountPattern: Required"),
        (
            "CSISecrets",
            csi(json!({ "accessControl": { "serviceAccountPattern": "s", "matchPolicy": "none" } })),
            "spec.accessControl.matchPolicy: Unsupported value",
        ),
        ("CSISecrets", csi(json!({ "vaultAuthRef": {} })), "spec.vaultAuthRef.name: Required"),
        ("CSISecrets", csi(json!({ "syncConfig": {} })), "spec.syncConfig.containerState: Required"),
        ("CSISecrets", static_item(json!({ "type": "kv-v3" })), "vaultStaticSecrets[0].type: Unsupported value"),
        ("CSISecrets", static_item(json!({ "path": null })), "vaultStaticSecrets[0].path: Required"),
        ("CSISecrets", static_item(json!({ "version": -1 })), "greater than or equal to 0"),
        ("CSISecrets", role_item(json!({ "role": null })), "vaultAppRoleSecretIDs[0].role: Required"),
        ("CSISecrets", role_item(json!({ "ttl": "1d" })), "vaultAppRoleSecretIDs[0].ttl in body should match"),
        ("CSISecrets", role_item(json!({ "wrapTTL": "1" })), "vaultAppRoleSecretIDs[0].wrapTTL in body should match"),
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
    let lease = json!({ "id": "", "duration": 0, "renewable": false, "requestID": "" });
    patch(
        "VaultDynamicSecret",
        json!({
            "lastRenewalTime": 0, "lastGeneration": 0, "secretLease": lease, "conditions": conditions,
        }),
    )
    .unwrap();
    patch(
        "VaultPKISecret",
        json!({
            "lastGeneration": 0, "lastRotation": 0, "valid": false, "error": "", "conditions": conditions,
        }),
    )
    .unwrap();
    patch("CSISecrets", json!({ "conditions": conditions })).unwrap();
    for (kind, member) in [
        ("VaultDynamicSecret", "lastRenewalTime"),
        ("VaultDynamicSecret", "lastGeneration"),
        ("VaultDynamicSecret", "secretLease"),
        ("VaultPKISecret", "lastGeneration"),
        ("VaultPKISecret", "lastRotation"),
        ("VaultPKISecret", "valid"),
        ("VaultPKISecret", "error"),
    ] {
        let error = patch(kind, json!({ member: null })).unwrap_err().to_string();
        assert!(error.contains(&format!("status.{member}: Required")), "{kind}: {error}");
    }
    for member in ["id", "duration", "renewable", "requestID"] {
        let error = patch("VaultDynamicSecret", json!({ "secretLease": { member: null } })).unwrap_err().to_string();
        assert!(error.contains(&format!("status.secretLease.{member}: Required")), "{error}");
    }

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
    for kind in ["vaultstaticsecrets", "vaultdynamicsecrets", "vaultpkisecrets"] {
        let expected = (
            ["NAME", "SYNCED", "HEALTHY", "READY", "AGE"].map(str::to_owned).to_vec(),
            ["small", "False", "Unknown", "True"].map(str::to_owned).to_vec(),
        );
        assert_eq!(table(kind), expected, "{kind}");
    }
    for kind in ["vaultconnections", "vaultauths", "secrettransformations"] {
        let expected = (
            ["NAME", "HEALTHY", "READY", "AGE"].map(str::to_owned).to_vec(),
            ["small", "Unknown", "True"].map(str::to_owned).to_vec(),
        );
        assert_eq!(table(kind), expected, "{kind}");
    }
    for kind in ["vaultauthglobals", "csisecrets"] {
        assert_eq!(table(kind).0, ["NAME", "AGE"], "{kind}");
    }
}
