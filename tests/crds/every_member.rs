//! One object of each kind with every member of its schema, as VSO spells and writes them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testenv::Cluster;
use vso::api::{
    CSISecrets, SecretTransformation, VaultAuth, VaultAuthGlobal, VaultConnection, VaultDynamicSecret, VaultPKISecret,
    VaultStaticSecret, crd,
};

use crate::{object, stored};

fn transformation() -> Value {
    json!({
        "templates": { "k": { "name": "n", "text": "{{ .Secrets.a | toJson }} <&> é" } },
        "transformationRefs": [{
            "name": "s", "namespace": "ns", "ignoreIncludes": true, "ignoreExcludes": true,
            "templateRefs": [{ "name": "t", "keyOverride": "o" }],
        }],
        "includes": ["i.*"], "excludes": ["^e$"], "excludeRaw": true,
    })
}

fn destination() -> Value {
    json!({
        "name": "d", "create": true, "overwrite": true, "type": "kubernetes.io/tls",
        "labels": { "l": "1" }, "annotations": { "a": "2" }, "transformation": transformation(),
    })
}

fn conditions() -> Value {
    json!([{
        "type": "Ready", "status": "True", "reason": "Ready", "message": "m", "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }])
}

fn login() -> Vec<Value> {
    let kubernetes = json!({ "role": "r", "serviceAccount": "s", "audiences": ["a"], "tokenExpirationSeconds": 601 });
    let app_role = json!({ "roleId": "r", "secretRef": "s", "secretIDPath": "/p" });
    let jwt = json!({
        "role": "r", "secretRef": "s", "serviceAccount": "s", "audiences": ["a"], "tokenExpirationSeconds": 700,
    });
    let aws = json!({
        "role": "r", "region": "g", "headerValue": "h", "sessionName": "s", "stsEndpoint": "s", "iamEndpoint": "i",
        "secretRef": "s", "irsaServiceAccount": "s",
    });
    let gcp = json!({
        "role": "r", "workloadIdentityServiceAccount": "s", "region": "g", "clusterName": "c", "projectID": "p",
    });
    let token = json!({ "secretRef": { "name": "s", "key": "k" } });
    let shared = |block: &Value| {
        let mut block = block.clone();
        block["namespace"] = json!("v");
        block["mount"] = json!("m");
        block["params"] = json!({ "p": "1" });
        block["headers"] = json!({ "h": "2" });
        block
    };
    let mut auth = object(
        "VaultAuth",
        "full",
        json!({
            "vaultConnectionRef": "a/b", "namespace": "v", "allowedNamespaces": ["*"], "method": "appRole",
            "mount": "m", "params": { "p": "1" }, "headers": { "h": "2" },
            "vaultAuthGlobalRef": {
                "name": "a.b", "namespace": "c-d", "allowDefault": true,
                "mergeStrategy": { "headers": "union", "params": "replace" },
            },
            "kubernetes": kubernetes, "appRole": app_role, "jwt": jwt, "aws": aws, "gcp": gcp, "token": token,
            "storageEncryption": { "mount": "m", "keyName": "k" },
        }),
    );
    auth["status"] = json!({ "valid": true, "error": "e", "specHash": "00", "conditions": conditions() });
    let mut global = object(
        "VaultAuthGlobal",
        "full",
        json!({
            "allowedNamespaces": ["a"], "vaultConnectionRef": "c", "defaultVaultNamespace": "v",
            "defaultAuthMethod": "gcp", "defaultMount": "m", "params": { "p": "1" }, "headers": { "h": "2" },
            "kubernetes": shared(&kubernetes), "appRole": shared(&app_role), "jwt": shared(&jwt),
            "aws": shared(&aws), "gcp": shared(&gcp), "token": shared(&token),
        }),
    );
    global["status"] = json!({ "valid": true, "error": "e" });
    let mut connection = object(
        "VaultConnection",
        "full",
        json!({
            "address": "https://v", "headers": { "h": "1" }, "tlsServerName": "s", "caCertSecretRef": "c",
            "caCertPath": "/p", "skipTLSVerify": true, "timeout": "1.5m", "allowedNamespaces": ["n"],
        }),
    );
    connection["status"] = json!({ "valid": true, "conditions": conditions() });
    vec![connection, auth, global]
}

fn secrets() -> Vec<Value> {
    let targets = json!([{ "kind": "argo.Rollout", "name": "r" }, { "kind": "DaemonSet", "name": "d" }]);
    let client = json!({ "cacheKey": "c", "id": "i" });
    let mut fixed = object(
        "VaultStaticSecret",
        "full",
        json!({
            "vaultAuthRef": "a/b", "namespace": "v", "mount": "kv", "path": "p", "type": "kv-v1", "version": 3,
            "refreshAfter": "10s", "hmacSecretData": false, "syncConfig": { "instantUpdates": true },
            "rolloutRestartTargets": targets, "destination": destination(),
        }),
    );
    fixed["status"] = json!({
        "lastGeneration": 7, "secretMAC": "bWFj", "vaultClientMeta": client, "conditions": conditions(),
    });
    let mut dynamic = object(
        "VaultDynamicSecret",
        "full",
        json!({
            "vaultAuthRef": "a/b", "namespace": "v", "mount": "db", "path": "creds/app", "requestHTTPMethod": "POST",
            "params": { "ttl": "1h" }, "renewalPercent": 0, "revoke": true, "revokeReplacedLeases": true,
            "allowStaticCreds": true,
            "refreshAfter": "1h", "syncConfig": { "instantUpdates": true }, "rolloutRestartTargets": targets,
            "destination": destination(),
        }),
    );
    dynamic["status"] = json!({
        "lastRenewalTime": 1_767_225_600, "lastGeneration": 7,
        "secretLease": { "id": "db/creds/app/x", "duration": 3600, "renewable": true, "requestID": "q", "namespace": "root" },
        "staticCredsMetaData": { "lastVaultRotation": 1, "rotationPeriod": 2, "rotationSchedule": "0 0 * * *", "ttl": 3 },
        "pendingLease": {
            "id": "db/creds/app/y", "duration": 3600, "renewable": true, "requestID": "q", "namespace": "n",
            "generation": 7,
            "obtained": 1_767_225_601,
            "secretMAC": "bWFj", "clientID": "i", "vaultTokenExpiration": 1_767_229_200,
        },
        "replacedLeases": [{ "id": "db/creds/app/w", "expiration": 1_767_225_700, "namespace": "n" }],
        "vaultTokenExpiration": 1_767_229_200,
        "lastRuntimePodUID": "u", "secretMAC": "bWFj", "vaultClientMeta": client, "conditions": conditions(),
    });
    let keystore = json!({ "passwordSecretRef": { "name": "s", "key": "k" }, "alias": "a" });
    let mut pki = object(
        "VaultPKISecret",
        "full",
        json!({
            "vaultAuthRef": "a/b", "namespace": "v", "mount": "pki", "role": "r", "revoke": true, "clear": true,
            "expiryOffset": "1.5h", "issuerRef": "i/issue", "commonName": "c", "altNames": ["a"], "ipSans": ["10.0.0.1"],
            "uriSans": ["u"], "otherSans": ["1.2;UTF8:x"], "userIDs": ["u"], "ttl": "90d", "format": "pem",
            "privateKeyFormat": "pkcs8", "notAfter": "2027-01-01T00:00:00Z", "excludeCNFromSans": true,
            "rolloutRestartTargets": targets, "destination": destination(), "issuerRefreshAfter": "1h",
            "keystores": { "pkcs12": keystore, "jks": keystore },
        }),
    );
    let issue = json!({ "secretMAC": "bWFj", "requestDigest": "00", "clockDifference": -3, "issuerFingerprint": "01",
        "mount": "pki", "namespace": "n" });
    pki["status"] = json!({
        "serialNumber": "0a:0b", "expiration": 1_767_225_600, "lastGeneration": 7, "lastRotation": 1_767_220_000,
        "secretMAC": "bWFj", "valid": true, "error": "e", "conditions": conditions(), "renewal": 1_767_223_000,
        "issue": issue, "replacedCertificates": [{ "serialNumber": "0a:0d", "mount": "pki", "namespace": "n" }],
        "pending": {
            "serialNumber": "0a:0c", "expiration": 1_767_225_700, "lastRotation": 1_767_220_100, "issue": issue,
        },
    });
    let mut csi = object(
        "CSISecrets",
        "full",
        json!({
            "namespace": "v", "vaultAuthRef": { "name": "a", "namespace": "b", "trustNamespace": true },
            "secrets": {
                "transformation": transformation(),
                "vaultStaticSecrets": [{
                    "mount": "kv", "path": "p", "type": "kv-v2", "version": 2, "transformation": transformation(),
                }],
                "vaultAppRoleSecretIDs": [{
                    "mount": "approle", "role": "r", "cidrList": ["10.0.0.0/8"], "tokenBoundCIDRs": ["10.0.0.0/8"],
                    "metadata": { "m": "1" }, "numUses": 5, "syncRoleID": true, "ttl": "1h", "wrapTTL": "30s",
                    "transformation": transformation(),
                }],
            },
            "syncConfig": { "containerState": { "namePattern": "n.*", "imagePattern": "i.*" } },
            "accessControl": {
                "serviceAccountPattern": "s.*", "namespacePatterns": ["n.*"], "podNamePatterns": ["p.*"],
                "podLabels": { "l": "1" }, "matchPolicy": "any",
            },
        }),
    );
    csi["status"] = json!({ "conditions": conditions() });
    let mut shared = object(
        "SecretTransformation",
        "full",
        json!({
            "templates": { "k": { "name": "n", "text": "t" } }, "sourceTemplates": [{ "name": "n", "text": "t" }],
            "includes": ["i"], "excludes": ["e"],
        }),
    );
    shared["status"] = json!({ "valid": true, "error": "e", "conditions": conditions() });
    vec![fixed, dynamic, pki, csi, shared]
}

fn objects() -> Vec<Value> {
    login().into_iter().chain(secrets()).collect()
}

/// The object, as our type for its kind writes what it has read.
pub fn rewritten(object: &Value) -> Value {
    fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
        let read: T = serde_json::from_str(&object.to_string()).unwrap();
        serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap()
    }
    match object["kind"].as_str().unwrap() {
        "VaultConnection" => through::<VaultConnection>(object),
        "VaultAuth" => through::<VaultAuth>(object),
        "VaultAuthGlobal" => through::<VaultAuthGlobal>(object),
        "VaultStaticSecret" => through::<VaultStaticSecret>(object),
        "VaultDynamicSecret" => through::<VaultDynamicSecret>(object),
        "VaultPKISecret" => through::<VaultPKISecret>(object),
        "CSISecrets" => through::<CSISecrets>(object),
        "SecretTransformation" => through::<SecretTransformation>(object),
        other => panic!("{other} has no type"),
    }
}

/// Notes the members of the schema that the value does not have, at any depth.
fn lacking(path: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match value.get(name) {
            Some(value) => lacking(&path, member, value, found),
            None => found.push(path),
        }
    }
    if schema["items"].is_object() {
        lacking(&format!("{path}[]"), &schema["items"], &value[0], found);
    }
    if schema["additionalProperties"].is_object() {
        let first = value.as_object().and_then(|map| map.values().next()).unwrap_or(&Value::Null);
        lacking(&format!("{path}{{}}"), &schema["additionalProperties"], first, found);
    }
}

#[test]
fn nothing_is_left_out() {
    let objects = objects();
    let mut found = vec![];
    for definition in crd::all() {
        let kind = &definition.spec.names.kind;
        let object = objects.iter().find(|o| o["kind"] == **kind).unwrap_or_else(|| panic!("no {kind}"));
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        let properties = &schema["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            lacking(&format!("{kind}.{part}"), &properties[part], &object[part], &mut found);
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Server-side apply refuses a member that the schema does not have, so what gets through is all there. What our types
/// make of it is the same to the byte, and to the API server no change.
pub fn keeps_every_member(cluster: &Cluster) {
    for object in &objects() {
        let kind = object["kind"].as_str().unwrap();
        let mut spec = object.clone();
        spec.as_object_mut().unwrap().remove("status");
        cluster.kubectl_apply(&spec.to_string()).unwrap();
        let status = json!({ "status": object["status"] }).to_string();
        cluster.kubectl(&["patch", kind, "full", "--subresource=status", "--type=merge", "-p", &status]).unwrap();
        let before = stored(cluster, kind, "full");

        let mut ours = rewritten(&before);
        for part in ["spec", "status"] {
            assert_eq!(before[part], object[part], "{kind}: stored");
            assert_eq!(ours[part].to_string(), before[part].to_string(), "{kind}: read and written");
        }
        // So that there is something to write.
        ours["metadata"]["labels"] = json!({ "written-by": "us" });
        let file = cluster.dir().join("rewritten.json");
        std::fs::write(&file, ours.to_string()).unwrap();
        cluster.kubectl(&["replace", "-f", file.to_str().unwrap()]).unwrap();
        let after = stored(cluster, kind, "full");
        assert_eq!(after["spec"].to_string(), before["spec"].to_string(), "{kind}: written back");
        assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"], "{kind}: written back");
        assert_eq!(after["metadata"]["labels"]["written-by"], "us", "{kind}: not written");
    }
}
