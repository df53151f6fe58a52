use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[test]
fn an_object_without_spec_is_read() {
    let bare = json!({ "metadata": { "name": "a", "namespace": "b" } });
    assert_eq!(read::<VaultConnection>(bare.clone()).spec, VaultConnectionSpec::default());
    assert_eq!(read::<VaultAuth>(bare.clone()).spec, VaultAuthSpec::default());
    assert_eq!(read::<VaultAuthGlobal>(bare.clone()).spec, VaultAuthGlobalSpec::default());
    assert_eq!(read::<VaultStaticSecret>(bare.clone()).spec, VaultStaticSecretSpec::default());
    assert_eq!(read::<SecretTransformation>(bare.clone()).spec, SecretTransformationSpec::default());
    assert_eq!(read::<VaultStaticSecret>(bare).meta().name.as_deref(), Some("a"));
}

#[test]
fn what_another_version_stored_is_read() {
    let object: VaultStaticSecret = read(json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1",
        "kind": "VaultStaticSecret",
        "metadata": { "name": "a" },
        "spec": {
            "type": "kv-v9",
            "rolloutRestartTargets": [{ "kind": "CronJob", "name": "c" }, {}],
            "destination": { "transformation": { "templates": { "k": {} }, "later": [1] } },
            "refreshAfter": "soon",
            "later": { "a": 1.5 },
        },
        "status": { "conditions": [{ "type": "Ready" }, "odd"], "later": true },
    }));
    assert_eq!(object.spec.kind, SecretEngine::Unknown("kv-v9".into()));
    assert_eq!(object.spec.kind.to_string(), "kv-v9");
    assert_eq!(object.spec.rollout_restart_targets[0].kind.as_str(), "CronJob");
    assert_eq!(object.spec.rollout_restart_targets[1], RolloutRestartTarget::default());
    assert_eq!(object.spec.destination.name, "");
    assert_eq!(object.spec.refresh_after.as_deref(), Some("soon"));
    assert!(object.status.unwrap().conditions.is_empty());

    let auth: VaultAuthSpec = read(json!({
        "method": "oidc",
        "vaultAuthGlobalRef": { "mergeStrategy": { "headers": "overlay" } },
    }));
    assert_eq!(auth.method, Some(AuthMethod::Unknown("oidc".into())));
    let strategy = auth.vault_auth_global_ref.unwrap().merge_strategy.unwrap();
    assert_eq!(strategy.headers, Some(MergeRule::Unknown("overlay".into())));
}

#[test]
fn what_is_not_read_takes_no_room() {
    let annotated = |annotations: Value, transformation: Value| -> VaultStaticSecret {
        let mut object: VaultStaticSecret = read(json!({
            "metadata": { "name": "a", "annotations": annotations },
            "spec": { "destination": { "transformation": transformation } },
        }));
        object.prune();
        object
    };
    let (applied, other) = (json!({ LAST_APPLIED: "{}" }), json!({ LAST_APPLIED: "{}", "b": "c" }));
    assert_eq!(annotated(applied.clone(), json!({})).metadata.annotations, None, "an empty map has room for eleven");
    assert_eq!(annotated(other, json!({})).annotations().iter().collect::<Vec<_>>(), [(&"b".into(), &"c".into())]);
    let template = json!({ "templates": { "k": { "text": "t" } } });
    assert_eq!(annotated(applied, template).annotations().len(), 1, "templates may print it");

    let (size, plain) = (size_of::<VaultStaticSecret>(), json!({ "name": "d", "create": true, "overwrite": false }));
    assert!(size <= 768, "{size}");
    let with = |transformation: Value| -> Destination {
        read(json!({ "name": "d", "create": true, "transformation": transformation }))
    };
    assert_eq!(serde_json::to_value(with(json!({}))).unwrap(), plain, "no transformation is kept");
    let filter = json!({ "excludes": ["x"] });
    assert_eq!(serde_json::to_value(with(filter.clone())).unwrap()["transformation"], filter);
    assert_eq!(with(json!({ "includes": [] })), with(json!({})));
}

#[test]
fn known_values_are_known() {
    let read_kind = |text: &str| read::<RestartKind>(json!(text));
    for kind in ["Deployment", "DaemonSet", "StatefulSet", "argo.Rollout"] {
        assert!(!matches!(read_kind(kind), RestartKind::Unknown(_)), "{kind}");
        assert_eq!(read_kind(kind).as_str(), kind);
        assert_eq!(serde_json::to_value(read_kind(kind)).unwrap(), json!(kind));
    }
    for method in ["kubernetes", "jwt", "appRole", "aws", "gcp", "token"] {
        let read = read::<AuthMethod>(json!(method));
        assert!(!matches!(read, AuthMethod::Unknown(_)), "{method}");
        assert_eq!(read.as_str(), method);
        assert_eq!(serde_json::to_value(read).unwrap(), json!(method));
    }
    assert_eq!(read::<SecretEngine>(json!("kv-v1")), SecretEngine::KvV1);
    assert_eq!(read::<SecretEngine>(json!("kv-v2")), SecretEngine::KvV2);
    for engine in [SecretEngine::KvV1, SecretEngine::KvV2] {
        assert_eq!(serde_json::to_value(&engine).unwrap(), json!(engine.as_str()));
    }
    for (text, rule) in [("union", MergeRule::Union), ("replace", MergeRule::Replace), ("none", MergeRule::None)] {
        assert_eq!(read::<MergeRule>(json!(text)), rule);
    }
}

#[test]
fn empty_text_is_unset() {
    let spec: VaultStaticSecretSpec = read(json!({
        "vaultAuthRef": "", "namespace": "", "refreshAfter": "", "destination": { "name": "d", "type": "" },
    }));
    assert_eq!((spec.vault_auth_ref, spec.namespace, spec.refresh_after), (None, None, None));
    assert_eq!(spec.destination.type_, None);
    let connection: VaultConnectionSpec = read(json!({ "caCertPath": "", "caCertSecretRef": "" }));
    assert_eq!(connection, VaultConnectionSpec::default());
}

#[test]
fn status_always_has_its_required_members() {
    assert_eq!(serde_json::to_value(VaultStaticSecretStatus::default()).unwrap(), json!({ "lastGeneration": 0 }));
    assert_eq!(serde_json::to_value(VaultConnectionStatus::default()).unwrap(), json!({ "valid": false }));
    assert_eq!(
        serde_json::to_value(SecretTransformationStatus::default()).unwrap(),
        json!({ "valid": false, "error": "" })
    );
    assert_eq!(serde_json::to_value(VaultAuthGlobalStatus::default()).unwrap(), json!({ "valid": false, "error": "" }));
}

/// Every member of every kind under its name in the schema: what is read is what is written.
#[test]
fn every_member_survives_reading_and_writing() {
    let destination = json!({
        "name": "d", "create": true, "overwrite": true, "type": "kubernetes.io/tls",
        "labels": { "l": "1" }, "annotations": { "a": "2" },
        "transformation": {
            "templates": { "k": { "name": "n", "text": "t" } },
            "transformationRefs": [{
                "name": "st", "namespace": "ns", "ignoreIncludes": true, "ignoreExcludes": true,
                "templateRefs": [{ "name": "t", "keyOverride": "k2" }],
            }],
            "includes": ["i"], "excludes": ["e"], "excludeRaw": true,
        },
    });
    let conditions = json!([{
        "type": "Ready", "status": "True", "reason": "Ok", "message": "m",
        "lastTransitionTime": "2024-01-01T00:00:00Z", "observedGeneration": 3,
    }]);
    let secret = json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultStaticSecret", "metadata": { "name": "a" },
        "spec": {
            "vaultAuthRef": "x/y", "namespace": "vns", "mount": "kv", "path": "p", "type": "kv-v2", "version": 4,
            "refreshAfter": "30s", "hmacSecretData": false, "syncConfig": { "instantUpdates": true },
            "rolloutRestartTargets": [{ "kind": "argo.Rollout", "name": "r" }], "destination": destination,
        },
        "status": {
            "lastGeneration": 2, "secretMAC": "bWFj", "vaultClientMeta": { "cacheKey": "c", "id": "i" },
            "conditions": conditions,
        },
    });
    assert_eq!(serde_json::to_value(read::<VaultStaticSecret>(secret.clone())).unwrap(), secret);

    let connection = json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultConnection", "metadata": {},
        "spec": {
            "address": "https://v", "headers": { "h": "1" }, "tlsServerName": "s", "caCertSecretRef": "c",
            "caCertPath": "/p", "skipTLSVerify": true, "timeout": "5s", "allowedNamespaces": ["n"],
        },
        "status": { "valid": true, "conditions": conditions },
    });
    assert_eq!(serde_json::to_value(read::<VaultConnection>(connection.clone())).unwrap(), connection);

    let kubernetes = json!({ "role": "r", "serviceAccount": "sa", "audiences": ["a"], "tokenExpirationSeconds": 900 });
    let jwt = json!({
        "role": "r", "secretRef": "s", "serviceAccount": "sa", "audiences": ["a"], "tokenExpirationSeconds": 700,
    });
    let app_role = json!({ "roleId": "r", "secretRef": "s", "secretIDPath": "/p" });
    let aws = json!({
        "role": "r", "region": "g", "headerValue": "h", "sessionName": "n", "stsEndpoint": "s", "iamEndpoint": "i",
        "secretRef": "s", "irsaServiceAccount": "sa",
    });
    let gcp = json!({
        "role": "r", "workloadIdentityServiceAccount": "sa", "region": "g", "clusterName": "c", "projectID": "p",
    });
    let token = json!({ "secretRef": { "name": "s", "key": "k" } });
    let auth = json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultAuth", "metadata": {},
        "spec": {
            "vaultConnectionRef": "c", "namespace": "vns", "allowedNamespaces": ["*"], "method": "appRole",
            "mount": "m", "params": { "p": "1" }, "headers": { "h": "2" },
            "vaultAuthGlobalRef": {
                "name": "g", "namespace": "gn", "allowDefault": false,
                "mergeStrategy": { "headers": "union", "params": "none" },
            },
            "kubernetes": kubernetes, "jwt": jwt, "appRole": app_role, "aws": aws, "gcp": gcp, "token": token,
            "storageEncryption": { "mount": "transit", "keyName": "k" },
        },
        "status": { "valid": true, "error": "e", "specHash": "00", "conditions": conditions },
    });
    assert_eq!(serde_json::to_value(read::<VaultAuth>(auth.clone())).unwrap(), auth);

    let with_defaults = |block: &Value| {
        let mut block = block.clone();
        let own = json!({ "namespace": "n", "mount": "m", "params": { "p": "1" }, "headers": { "h": "2" } });
        for (name, value) in own.as_object().unwrap() {
            block[name] = value.clone();
        }
        block
    };
    let global = json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "VaultAuthGlobal", "metadata": {},
        "spec": {
            "allowedNamespaces": ["a"], "vaultConnectionRef": "c", "defaultVaultNamespace": "n",
            "defaultAuthMethod": "gcp", "defaultMount": "m", "params": { "p": "1" }, "headers": { "h": "2" },
            "kubernetes": with_defaults(&kubernetes), "jwt": with_defaults(&jwt), "appRole": with_defaults(&app_role),
            "aws": with_defaults(&aws), "gcp": with_defaults(&gcp), "token": with_defaults(&token),
        },
        "status": { "valid": true, "error": "e" },
    });
    assert_eq!(serde_json::to_value(read::<VaultAuthGlobal>(global.clone())).unwrap(), global);

    let transformation = json!({
        "apiVersion": "secrets.hashicorp.com/v1beta1", "kind": "SecretTransformation", "metadata": {},
        "spec": {
            "templates": { "k": { "text": "t" } }, "sourceTemplates": [{ "name": "n", "text": "t" }],
            "includes": ["i"], "excludes": ["e"],
        },
        "status": { "valid": true, "error": "", "conditions": conditions },
    });
    assert_eq!(serde_json::to_value(read::<SecretTransformation>(transformation.clone())).unwrap(), transformation);
}
