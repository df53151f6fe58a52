//! Vault tokens that outlive the operator: what is stored, what is taken up again, and what is not trusted.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testenv::Server;

use test_support::audit::{Count, describe};
use test_support::kube_client::{decoded, encoded};
use test_support::{Tenant, eventually};

use cache::{Cache, key_of, names, wait_reads};

mod cache;

/// A refresh that does not come in the time of a test.
const NEVER: &str = "12h";
const ENCRYPTED: &str = "--client-cache-persistence-model=direct-encrypted";
const UNENCRYPTED: &str = "--client-cache-persistence-model=direct-unencrypted";
/// The VaultAuth that encrypts, and its service account.
const ENCRYPTION: &str = "client-cache";
const ENCRYPTION_ACCOUNT: &str = "vso-client-cache";

#[test]
fn a_restart_with_encrypted_tokens_of_200_identities_logs_in_nowhere_and_writes_nothing() {
    let tenant = Tenant::new("cache-many");
    let cache = Cache::of(&tenant);
    let names = names(200);
    cache.encryption();
    cache.identities(&names, NEVER);
    let count = Count::start(&tenant);
    let mut operator = cache.start(ENCRYPTED, &[]);
    cache.wait_all_synced(&names);
    let stored = cache.wait_stored(&names);
    assert_eq!((count.logins(), count.logins_as(&tenant.operator_namespace, ENCRYPTION_ACCOUNT)), (200, 1));
    for secret in stored.values() {
        assert!(decoded(secret, "secret").expect("data").contains("\"ciphertext\":\"vault:v1:"), "not encrypted");
    }
    let of_auths: Vec<Value> = tenant.list("vaultstaticsecrets").iter().map(|o| o["status"].clone()).collect();
    std::thread::sleep(Duration::from_secs(6));
    operator.kill();

    let count = Count::start(&tenant);
    let operator = cache.start(ENCRYPTED, &[]);
    wait_reads(&count, names.len());
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(count.logins(), 0, "{}", operator.log());
    // Of the login that decrypts the others: its own token is kept nowhere.
    assert_eq!(count.logins_as(&tenant.operator_namespace, ENCRYPTION_ACCOUNT), 1);
    let requests = count.requests();
    let writes: Vec<_> = requests.into_iter().filter(|e| e.is_write()).collect();
    assert!(writes.is_empty(), "{}", describe(&writes));
    let after: Vec<Value> = tenant.list("vaultstaticsecrets").iter().map(|o| o["status"].clone()).collect();
    assert_eq!(after, of_auths);
    assert_eq!(operator.metric("vso_client_cache_storage_requests_total{operation=\"restore\"}"), Some(200.0));
    assert_eq!(operator.metric("vso_client_cache_length"), Some(200.0));
    tenant.assert_nothing_leaked(&operator, &[]);
}

#[test]
fn what_is_stored_is_upstreams_and_none_deletes_it() {
    let tenant = Tenant::new("cache-plain");
    let cache = Cache::of(&tenant);
    let names = names(1);
    cache.identities(&names, NEVER);
    let mut operator = cache.start(UNENCRYPTED, &[]);
    cache.wait_all_synced(&names);
    let stored = cache.wait_stored(&names).remove(&names[0]).expect("it");
    operator.kill();

    let auth = tenant.get("vaultauth", &names[0]).expect("the VaultAuth");
    let connection = tenant.get("vaultconnection", "vault").expect("the VaultConnection");
    let account = tenant.get("serviceaccount", "app").expect("the service account");
    let object = tenant.get("vaultstaticsecret", &names[0]).expect("the object");
    let key = object["status"]["vaultClientMeta"]["cacheKey"].as_str().expect("a key");
    let labels = json!({
        "app.kubernetes.io/name": "vault-secrets-operator",
        "app.kubernetes.io/managed-by": "vso",
        "app.kubernetes.io/component": "client-cache-storage",
        "cacheKey": key,
        "auth/namespace": tenant.namespace,
        "auth/UID": auth["metadata"]["uid"],
        "auth/generation": "1",
        "connection/namespace": tenant.namespace,
        "connection/UID": connection["metadata"]["uid"],
        "connection/generation": "1",
        "provider/namespace": tenant.namespace,
        "provider/UID": account["metadata"]["uid"],
    });
    let meta = &stored["metadata"];
    assert_eq!((&meta["labels"], &meta["name"]), (&labels, &json!(format!("vso-cc-{key}"))));
    assert_eq!((&stored["immutable"], &stored["type"]), (&json!(true), &json!("Opaque")));
    assert!(meta["ownerReferences"].is_null());
    let data = decoded(&stored, "secret").expect("data");
    let token_start = match tenant.cluster.server() {
        Server::Vault => ",\"auth\":{\"client_token\":\"hvs.",
        Server::OpenBao => ",\"auth\":{\"client_token\":\"s.",
    };
    assert!(data.starts_with("{\"request_id\":\"") && data.contains(token_start), "{data}");
    assert_eq!(stored["data"]["messageMAC"], cache.mac(key, &data));
    assert_eq!(stored["data"].as_object().map(|d| d.len()), Some(2));

    let count = Count::start(&tenant);
    let mut operator = cache.start(UNENCRYPTED, &[]);
    wait_reads(&count, 1);
    assert_eq!((count.logins(), count.tokens()), (0, 0));
    operator.kill();

    let count = Count::start(&tenant);
    let _operator = cache.start("--client-cache-persistence-model=none", &[]);
    cache.wait_stored(&[]);
    wait_reads(&count, 1);
    assert_eq!(count.logins(), 1);
    cache.mac_key();
}

#[test]
fn a_token_that_upstream_has_stored_is_taken_up() {
    let tenant = Tenant::new("cache-upstream");
    let cache = Cache::of(&tenant);
    let names = names(1);
    cache.identities(&names, NEVER);
    // The HMAC key, as upstream has made it.
    let labels = json!({
        "app.kubernetes.io/name": "vault-secrets-operator",
        "app.kubernetes.io/managed-by": "hashicorp-vso",
        "app.kubernetes.io/component": "client-cache-storage-verification",
    });
    cache.replace(&json!({
        "metadata": { "name": "vso-cc-storage-hmac-key", "namespace": tenant.operator_namespace, "labels": labels },
        "immutable": true,
        "data": encoded(&[("key", "0123456789abcdef")]),
    }));
    // Its login, and Go's JSON of the answer.
    let jwt = tenant.cluster.service_account_token(&tenant.namespace, "app", &["vault"]).expect("a token");
    let login = json!({ "role": tenant.namespace, "jwt": jwt });
    let (_, answer) = tenant.cluster.vault_raw("PUT", "auth/kubernetes/login", Some(login), "").expect("a login");
    let auth = &answer["auth"];
    let go = format!(
        r#"{{"request_id":{},"lease_id":"","lease_duration":0,"renewable":false,"data":null,"warnings":null,"auth":{{"client_token":{},"accessor":{},"policies":{},"token_policies":{},"identity_policies":null,"metadata":{},"orphan":true,"entity_id":{},"lease_duration":3600,"renewable":true,"mfa_requirement":null}}}}"#,
        answer["request_id"],
        auth["client_token"],
        auth["accessor"],
        auth["policies"],
        auth["token_policies"],
        auth["metadata"],
        auth["entity_id"],
    );
    let uid = |kind: &str, name: &str| {
        tenant.get(kind, name).expect("it")["metadata"]["uid"].as_str().expect("a UID").to_owned()
    };
    let (auth_uid, connection, provider) =
        (uid("vaultauth", &names[0]), uid("vaultconnection", "vault"), uid("serviceaccount", "app"));
    let digest = Sha256::digest(format!("{auth_uid}-1.{connection}-1.{provider}"));
    let digest: String = digest[..7].iter().chain(&digest[28..]).map(|b| format!("{b:02x}")).collect();
    let key = format!("kubernetes-{digest}");
    cache.replace(&json!({
        "metadata": {
            "name": format!("vso-cc-{key}"),
            "namespace": tenant.operator_namespace,
            "labels": {
                "app.kubernetes.io/name": "vault-secrets-operator",
                "app.kubernetes.io/managed-by": "vso",
                "app.kubernetes.io/component": "client-cache-storage",
                "cacheKey": key,
                "auth/namespace": tenant.namespace, "auth/UID": auth_uid, "auth/generation": "1",
                "connection/namespace": tenant.namespace, "connection/UID": connection, "connection/generation": "1",
                "provider/namespace": tenant.namespace, "provider/UID": provider,
            },
        },
        "immutable": true,
        "data": { "secret": STANDARD.encode(&go), "messageMAC": cache.mac(&key, &go) },
    }));

    let count = Count::start(&tenant);
    let operator = cache.start(UNENCRYPTED, &[]);
    cache.wait_all_synced(&names);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!((count.logins(), count.tokens()), (0, 0), "{}", operator.log());
    let left = cache.wait_stored(&names).remove(&names[0]).expect("it");
    assert_eq!(decoded(&left, "secret"), Some(go), "it is still as upstream has written it");
}

#[test]
fn what_was_tampered_with_is_dropped_with_an_event_and_replaced_by_a_login() {
    let tenant = Tenant::new("cache-bad");
    let cache = Cache::of(&tenant);
    let names: Vec<String> = ["good", "mac", "ciphertext", "foreign", "plain", "revoked"].map(str::to_owned).into();
    cache.encryption();
    cache.identities(&names, NEVER);
    let mut operator = cache.start(ENCRYPTED, &[]);
    cache.wait_all_synced(&names);
    let before = cache.wait_stored(&names);
    operator.kill();

    let mac = |name: &str, data: &str| json!(cache.mac(key_of(&before[name]), data));
    let mut changed = before["mac"].clone();
    changed["data"]["messageMAC"] = json!(STANDARD.encode([7; 32]));
    cache.replace(&changed);
    let mut changed = before["ciphertext"].clone();
    let data = r#"{"ciphertext":"vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    changed["data"] = json!({ "secret": STANDARD.encode(data), "messageMAC": mac("ciphertext", data) });
    cache.replace(&changed);
    let mut changed = before["foreign"].clone();
    changed["metadata"]["labels"]["vaultTransitRef"] = json!("another");
    cache.replace(&changed);
    let mut changed = before["plain"].clone();
    let labels = changed["metadata"]["labels"].as_object_mut().expect("labels");
    labels.remove("encrypted");
    labels.remove("vaultTransitRef");
    cache.replace(&changed);
    let stored: Value = serde_json::from_str(&decoded(&before["revoked"], "secret").expect("data")).expect("JSON");
    let decrypt = format!("{}-transit/decrypt/vso-client-cache", tenant.operator_namespace);
    let body = json!({ "ciphertext": stored["ciphertext"] });
    let plain = tenant.cluster.vault("PUT", &decrypt, Some(body)).expect("the plaintext");
    let plain = STANDARD.decode(plain["data"]["plaintext"].as_str().expect("text")).expect("base64");
    let plain: Value = serde_json::from_slice(&plain).expect("JSON");
    let body = json!({ "token": plain["auth"]["client_token"] });
    tenant.cluster.vault("PUT", "auth/token/revoke", Some(body)).expect("it is revoked");

    let count = Count::start(&tenant);
    let operator = cache.start(ENCRYPTED, &[]);
    wait_reads(&count, names.len());
    for (name, text) in [
        ("mac", "its MAC is wrong"),
        ("ciphertext", "cannot be decrypted"),
        ("foreign", "encrypted through VaultAuth \"another\""),
        ("plain", "it is not encrypted"),
        ("revoked", "Vault does not renew its token"),
    ] {
        tenant.wait_event(name, "ClientCacheEntryDropped", text);
    }
    assert_eq!(count.logins(), names.len() - 1, "all but the good one log in");
    // What takes their place is good.
    eventually("new stored clients", || {
        let after = cache.stored();
        let old: Vec<_> = names
            .iter()
            .filter(|n| after.get(*n).is_none_or(|s| s["metadata"]["uid"] == before[*n]["metadata"]["uid"]))
            .collect();
        if old == ["good"] { Ok(()) } else { Err(format!("{old:?}")) }
    });
    for (name, secret) in cache.stored() {
        let data = decoded(&secret, "secret").expect("data");
        assert_eq!(secret["data"]["messageMAC"], cache.mac(key_of(&secret), &data), "{name}");
        assert_eq!(secret["metadata"]["labels"]["vaultTransitRef"], ENCRYPTION, "{name}");
    }
    tenant.assert_nothing_leaked(&operator, &[]);
}

#[test]
fn stored_tokens_go_when_nothing_can_use_them() {
    let tenant = Tenant::new("cache-gone");
    let cache = Cache::of(&tenant);
    let mut names = names(4);
    cache.identities(&names, "2s");
    let _operator = cache.start(UNENCRYPTED, &[]);
    let before = cache.wait_stored(&names);

    // Another generation: another key, with the same login.
    let count = Count::start(&tenant);
    let widened = json!({ "spec": { "allowedNamespaces": ["elsewhere"] } });
    cache.api.patch("vaultauth", &tenant.namespace, &names[0], &widened).expect("it is changed");
    eventually("another key", || {
        let stored = cache.stored();
        let found = stored.get(&names[0]).map(key_of);
        if found.is_some_and(|k| k != key_of(&before[&names[0]])) { Ok(()) } else { Err(format!("{found:?}")) }
    });
    assert_eq!(count.logins(), 0, "the login is the same");
    cache.wait_stored(&names);

    cache.api.delete("vaultauth", &tenant.namespace, &names[3]).expect("it is deleted");
    names.pop();
    eventually("the client of a VaultAuth that is gone is deleted", || {
        let n = cache.stored().len();
        if n == names.len() { Ok(()) } else { Err(format!("{n}")) }
    });
    cache.api.delete("vaultstaticsecret", &tenant.namespace, &names[2]).expect("it is deleted");
    names.pop();
    cache.wait_stored(&names);
    cache.api.delete("vaultconnection", &tenant.namespace, "vault").expect("it is deleted");
    cache.wait_stored(&[]);
}

#[test]
fn no_more_tokens_than_the_cache_holds() {
    let tenant = Tenant::new("cache-small");
    let cache = Cache::of(&tenant);
    let names = names(3);
    cache.identities(&names, "2s");
    let operator = cache.start(UNENCRYPTED, &["--client-cache-size=2"]);
    cache.wait_all_synced(&names);
    cache.wait_stored(&names);
    // Whoever had to give its token up takes it up again from where it is stored.
    let count = Count::start(&tenant);
    for value in ["two", "three"] {
        tenant.put("shared", json!({ "password": value }));
        names.iter().for_each(|name| tenant.wait_value(name, "password", value));
        assert!(operator.metric("vso_client_cache_length").is_some_and(|n| n <= 2.0), "{}", operator.metrics());
    }
    assert!(operator.metric("vso_client_cache_evictions").is_some_and(|n| n > 0.0), "{}", operator.metrics());
    assert_eq!(count.logins(), 0, "{}", operator.log());
}

#[test]
fn a_token_that_cannot_be_encrypted_is_used_and_stored_later() {
    let tenant = Tenant::new("cache-later");
    let cache = Cache::of(&tenant);
    let names = names(2);
    cache.identities(&names, NEVER);
    let operator = cache.start(ENCRYPTED, &[]);
    cache.wait_all_synced(&names);
    let text = "invalid VaultAuth for storage encryption, found=0, required=1";
    tenant.wait_event(&names[0], "ClientCacheStorageError", text);
    assert!(cache.stored().is_empty());
    cache.encryption();
    cache.wait_stored(&names);
    tenant.assert_nothing_leaked(&operator, &[]);
}

#[test]
fn a_login_that_a_global_has_changed_meanwhile_is_made_anew() {
    let tenant = Tenant::new("cache-global");
    let cache = Cache::of(&tenant);
    let names = vec!["app".to_owned()];
    let global = |role: &str| {
        let mut spec = tenant.auth_spec();
        spec["kubernetes"]["role"] = json!(role);
        let mut spec = json!({ "vaultConnectionRef": "vault", "kubernetes": spec["kubernetes"] });
        spec["defaultAuthMethod"] = json!("kubernetes");
        spec["defaultMount"] = json!("kubernetes");
        tenant.apply(&tenant.object("VaultAuthGlobal", "shared", spec));
    };
    let (namespace, other) = (&tenant.namespace, format!("{}-other", tenant.namespace));
    tenant.cluster.vault_kubernetes_role(&other, &["app"], &[namespace], &[namespace], "1h").expect("a role");
    global(namespace);
    cache.api.delete("vaultauth", namespace, "app").expect("it is deleted");
    tenant.apply(&tenant.object("VaultAuth", "app", json!({ "vaultAuthGlobalRef": { "name": "shared" } })));
    tenant.put("app", json!({ "password": "one" }));
    tenant.apply(&tenant.static_secret("app", json!({ "refreshAfter": NEVER })));
    let mut operator = cache.start(UNENCRYPTED, &[]);
    cache.wait_all_synced(&names);
    let before = cache.wait_stored(&names);
    operator.kill();

    // Nothing in the key of what is stored tells of it.
    global(&other);
    let count = Count::start(&tenant);
    let mut operator = cache.start(UNENCRYPTED, &[]);
    wait_reads(&count, 1);
    assert_eq!(count.logins(), 1, "{}", operator.log());
    eventually("the token of the new login is stored", || {
        let stored = cache.stored().remove("app").unwrap_or_default();
        let data = decoded(&stored, "secret").unwrap_or_default();
        if data.contains(&format!("\"role\":\"{other}\"")) { Ok(()) } else { Err(stored["metadata"].to_string()) }
    });
    assert_eq!(cache.stored().len(), 1);
    assert_eq!(key_of(&cache.stored()["app"]), key_of(&before["app"]), "under the same key");
    operator.kill();
    let count = Count::start(&tenant);
    let _operator = cache.start(UNENCRYPTED, &[]);
    wait_reads(&count, 1);
    assert_eq!(count.logins(), 0);
}
