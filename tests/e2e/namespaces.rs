//! Namespaces of the server: logins, reads, renewals and encryption in nested ones, and one that is not served.
//! Vault has them in its Enterprise edition only.

use std::time::Duration;

use serde_json::{Value, json};
use testenv::Server;

use test_support::kube_client::{KubeClient, decoded};
use test_support::{FAST_RETRY, Tenant, eventually, lacks};

const GOOD: &str = "namespaces-hunter2";

/// A tenant of a server that has namespaces.
pub fn set_up(name: &str) -> Option<Tenant<'static>> {
    if lacks(Server::Vault, "namespaces in its Community Edition") {
        return None;
    }
    Some(Tenant::new(name))
}

/// Sends a request in a namespace.
#[track_caller]
pub fn ask(tenant: &Tenant<'_>, method: &str, namespace: &str, path: &str, body: Value) -> Value {
    tenant.cluster.vault(method, &format!("{namespace}/{path}"), Some(body)).expect("the server does it")
}

/// Makes a namespace with a KV v2 mount. Gives the key that unseals it, if it has a seal of its own.
pub fn make(tenant: &Tenant<'_>, parent: &str, name: &str, settings: Value) -> Value {
    let made = tenant.cluster.vault("POST", &format!("{parent}sys/namespaces/{name}"), Some(settings));
    let key = made.expect("a namespace")["data"]["key_shares"][0].clone();
    if !key.is_null() {
        unseal(tenant, &format!("{parent}{name}"), &key);
    }
    let mount = json!({ "type": "kv", "options": { "version": "2" } });
    ask(tenant, "POST", &format!("{parent}{name}"), "sys/mounts/secret", mount);
    key
}

/// Unseals a namespace.
fn unseal(tenant: &Tenant<'_>, namespace: &str, key: &Value) {
    ask(tenant, "POST", "sys/namespaces", &format!("{namespace}/unseal"), json!({ "key": key }));
}

/// Gives a namespace a Kubernetes auth mount with the tenant's role, which has these rules.
pub fn allow(tenant: &Tenant<'_>, namespace: &str, rules: &str, ttl: &str) {
    let cluster = tenant.cluster;
    let authority = std::fs::read_to_string(cluster.certificate_authority()).expect("a certificate");
    let reviewer = cluster.service_account_token("kube-system", "vault-reviewer", &[]).expect("a token");
    let config = json!({
        "kubernetes_host": cluster.api_server_url(), "kubernetes_ca_cert": authority,
        "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true,
    });
    ask(tenant, "POST", namespace, "sys/auth/kubernetes", json!({ "type": "kubernetes" }));
    ask(tenant, "POST", namespace, "auth/kubernetes/config", config);
    ask(tenant, "PUT", namespace, "sys/policies/acl/app", json!({ "policy": rules }));
    let role = json!({
        "bound_service_account_names": ["app", "vso-client-cache"],
        "bound_service_account_namespaces": [tenant.namespace, tenant.operator_namespace],
        "audience": "vault", "token_policies": ["app"], "token_ttl": ttl,
    });
    ask(tenant, "POST", namespace, &format!("auth/kubernetes/role/{}", tenant.namespace), role);
}

fn put(tenant: &Tenant<'_>, namespace: &str, password: &str) {
    ask(tenant, "POST", namespace, "secret/data/app", json!({ "data": { "password": password } }));
}

/// A VaultAuth of the tenant's role in a namespace.
fn auth(tenant: &Tenant<'_>, name: &str, namespace: &str) -> Value {
    tenant.auth(name, json!({ "namespace": namespace }))
}

/// A VaultStaticSecret that reads `secret/app` with a VaultAuth; in the VaultAuth's namespace if none is given.
fn reader(tenant: &Tenant<'_>, name: &str, auth: &str, namespace: Option<&str>) -> Value {
    tenant.static_secret(name, json!({ "vaultAuthRef": auth, "path": "app", "namespace": namespace }))
}

const READ: &str = "path \"secret/data/app\" { capabilities = [\"read\"] }\n";

#[test]
fn logins_reads_and_renewals_in_nested_namespaces() {
    let Some(tenant) = set_up("nested") else { return };
    let parent = tenant.namespace.clone();
    let child = format!("{parent}/blue");
    make(&tenant, "", &parent, json!({}));
    make(&tenant, &format!("{parent}/"), "blue", json!({}));
    allow(&tenant, &parent, &format!("{READ}path \"blue/secret/data/app\" {{ capabilities = [\"read\"] }}"), "10s");
    allow(&tenant, &child, READ, "1h");
    let of_child = format!("path \"{child}/secret/data/app\" {{ capabilities = [\"read\"] }}");
    tenant.cluster.vault_policy(&tenant.namespace, &of_child).expect("a policy");
    for namespace in [&parent, &child] {
        put(&tenant, namespace, &format!("of {namespace}"));
    }
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let operator = tenant.operator(&FAST_RETRY);
    tenant.apply_all(&[
        auth(&tenant, "parent", &parent),
        // With slashes, as people write it.
        auth(&tenant, "child", &format!("/{child}/")),
        reader(&tenant, "in-parent", "parent", None),
        reader(&tenant, "parent-in-child", "parent", Some(&child)),
        reader(&tenant, "in-child", "child", None),
        reader(&tenant, "root-in-child", "app", Some(&child)),
        reader(&tenant, "child-in-parent", "child", Some(&parent)),
    ]);
    let in_child = ["parent-in-child", "in-child", "root-in-child"];
    tenant.wait_value("in-parent", "password", &format!("of {parent}"));
    for name in in_child {
        tenant.wait_value(name, "password", &format!("of {child}"));
        tenant.wait_synced(name);
    }
    tenant.wait_failure("child-in-parent", "VaultClientError", &["permission denied", "secret/data/app"]);
    assert!(tenant.get("secret", "child-in-parent").is_err(), "a login is good for its namespace and those below it");

    put(&tenant, &child, GOOD);
    in_child.iter().for_each(|name| tenant.wait_value(name, "password", GOOD));
    assert_eq!(tenant.value("in-parent", "password").unwrap(), format!("of {parent}"), "equal paths, other secrets");

    // The token of the parent lives for ten seconds: without renewals, each of them would be a login.
    std::thread::sleep(Duration::from_secs(15));
    put(&tenant, &parent, "renewed");
    tenant.wait_value("in-parent", "password", "renewed");
    let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
    let requests = |path: &str| {
        let in_parent = |e: &&testenv::VaultAuditEntry| e.raw["request"]["namespace"]["path"] == format!("{parent}/");
        entries.iter().filter(|e| e.kind == "response" && e.path.ends_with(path)).filter(in_parent).count()
    };
    assert!(requests("auth/token/renew-self") >= 1, "a token is renewed in the namespace that it is from");
    assert_eq!(requests("auth/kubernetes/login"), 1);
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn a_namespace_that_is_sealed_locked_or_deleted_stops_its_own_objects_only() {
    let Some(tenant) = set_up("closed") else { return };
    let namespace = |name: &str| format!("{}-{name}", tenant.namespace);
    let (sealed, locked, deleted) = (namespace("sealed"), namespace("locked"), namespace("deleted"));
    let seal = json!({ "seal": "seal \"shamir\" {\n shares = 1\n threshold = 1\n}" });
    let key = make(&tenant, "", &sealed, seal);
    make(&tenant, "", &locked, json!({}));
    make(&tenant, "", &deleted, json!({}));
    let operator = tenant.operator(&FAST_RETRY);
    tenant.put("good", json!({ "password": "0" }));
    tenant.apply(&tenant.static_secret("good", json!({})));
    // More than it takes to show a server to be down.
    let names = |namespace: &str| -> Vec<String> { (0..5).map(|i| format!("{namespace}-{i}")).collect() };
    let all = [&sealed, &locked, &deleted];
    for namespace in all {
        allow(&tenant, namespace, READ, "1h");
        put(&tenant, namespace, GOOD);
        tenant.apply(&auth(&tenant, namespace, namespace));
        names(namespace).iter().for_each(|name| tenant.apply(&reader(&tenant, name, namespace, None)));
    }
    for name in all.iter().flat_map(|namespace| names(namespace)) {
        tenant.wait_value(&name, "password", GOOD);
    }
    tenant.wait_synced("good");
    tenant.wait_condition("vaultconnection", "vault", "Ready", "True", "");
    let good = || {
        let ready = tenant.condition("vaultstaticsecret", "good", "Ready").expect("a condition");
        (ready, tenant.version("vaultconnection", "vault"))
    };
    let before = good();

    ask(&tenant, "POST", "sys/namespaces", &format!("{sealed}/seal"), json!({}));
    let lock = ask(&tenant, "POST", "sys/namespaces", &format!("api-lock/lock/{locked}"), json!({}));
    tenant.cluster.vault("DELETE", &format!("sys/namespaces/{deleted}"), None).expect("it is deleted");
    let texts = ["namespace is sealed", "has been locked by an administrator", "namespace not found"];
    for (namespace, text) in all.iter().zip(texts) {
        for name in names(namespace) {
            let named = format!("namespace {namespace:?}");
            tenant.wait_condition_of(
                "vaultstaticsecret",
                &name,
                ("SecretSynced", "False", None),
                &[&named, text, "the Vault namespace is not served"],
            );
            assert_eq!(tenant.value(&name, "password").unwrap(), GOOD, "nothing is wiped");
        }
    }
    for round in 1..4 {
        let value = round.to_string();
        tenant.put("good", json!({ "password": value }));
        tenant.wait_value("good", "password", &value);
    }
    assert_eq!(good(), before, "the server is up");

    unseal(&tenant, &sealed, &key);
    let unlock_key = json!({ "unlock_key": lock["data"]["unlock_key"] });
    ask(&tenant, "POST", "sys/namespaces", &format!("api-lock/unlock/{locked}"), unlock_key);
    for namespace in [&sealed, &locked] {
        eventually("writes are possible again", || {
            let body = json!({ "data": { "password": "again" } });
            tenant.cluster.vault("POST", &format!("{namespace}/secret/data/app"), Some(body))
        });
        names(namespace).iter().for_each(|name| tenant.wait_value(name, "password", "again"));
        names(namespace).iter().for_each(|name| tenant.wait_synced(name));
    }
    assert_eq!(good(), before);
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn tokens_are_encrypted_by_transit_in_a_namespace() {
    let Some(tenant) = set_up("transit") else { return };
    let (namespace, home) = (tenant.namespace.clone(), tenant.operator_namespace.clone());
    make(&tenant, "", &namespace, json!({}));
    put(&tenant, &namespace, GOOD);
    ask(&tenant, "POST", &namespace, "sys/mounts/transit", json!({ "type": "transit" }));
    ask(&tenant, "POST", &namespace, "transit/keys/tokens", json!({}));
    let rules = "path \"transit/+/tokens\" { capabilities = [\"create\", \"update\"] }";
    allow(&tenant, &namespace, &format!("{READ}{rules}"), "1h");
    let mut encryption = auth(&tenant, "encryption", &namespace);
    encryption["metadata"]["namespace"] = json!(home);
    encryption["metadata"]["labels"] = json!({ "cacheStorageEncryption": "true" });
    encryption["spec"]["vaultConnectionRef"] = json!(format!("{}/vault", tenant.namespace));
    encryption["spec"]["kubernetes"]["serviceAccount"] = json!("vso-client-cache");
    encryption["spec"]["storageEncryption"] = json!({ "mount": "transit", "keyName": "tokens" });
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "vso-client-cache", "namespace": home },
    });
    let args = ["--leader-elect=false", "--client-cache-persistence-model=direct-encrypted"];
    let mut operator = tenant.operator(&args);
    tenant.apply_all(&[
        account,
        encryption,
        auth(&tenant, "app", &namespace),
        tenant.static_secret("app", json!({ "path": "app" })),
    ]);
    tenant.wait_value("app", "password", GOOD);
    let api = KubeClient::of(tenant.cluster);
    eventually("the token is stored", || {
        let all = api.list("secret", &home)?;
        let of_cache = |s: &&Value| s["metadata"]["labels"]["app.kubernetes.io/component"] == "client-cache-storage";
        let stored = all.iter().find(of_cache).and_then(|stored| decoded(stored, "secret"));
        let encrypted = stored.as_ref().is_some_and(|data| data.contains("\"ciphertext\":\"vault:v1:"));
        anyhow::ensure!(encrypted, "{}", if stored.is_some() { "not encrypted" } else { "not stored" });
        Ok(())
    });
    operator.kill();

    let operator = tenant.operator(&args);
    put(&tenant, &namespace, "after the restart");
    tenant.wait_value("app", "password", "after the restart");
    let restored = operator.metric("vso_client_cache_storage_requests_total{operation=\"restore\"}");
    assert_eq!(restored, Some(1.0), "{}", operator.log());
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}
