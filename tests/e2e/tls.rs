//! Certificate authorities that are missing, wrong or replaced, against a Vault that speaks TLS.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testenv::{Server, Tool, Tools};

use test_support::forwarder::Forwarder;
use test_support::tls_vault::TlsVault;
use test_support::{FAST_RETRY, Tenant, by_event, lacks, skipped};

const GOOD: &str = "tls-hunter2";
/// An authority is read again once a minute in any case. What is done sooner was done because a handshake failed.
const BY_ITSELF: Duration = Duration::from_secs(45);

fn secret(name: &str, key: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": { key: value } })
}

#[test]
fn a_wrong_authority_is_named_and_a_new_one_is_taken_up() {
    let tenant = Tenant::new("tls");
    let mut vault = TlsVault::new(tenant.cluster);
    vault.start();
    vault.prepare(&tenant, GOOD);
    let wrong = std::fs::read_to_string(tenant.cluster.certificate_authority()).expect("another authority");
    let mut objects = vec![
        secret("ca-keyless", "tls.crt", &vault.authority()),
        secret("ca-garbage", "ca.crt", "-----BEGIN CERTIFICATE-----\ngarbage-hunter2\n-----END CERTIFICATE-----\n"),
        secret("ca-wrong", "ca.crt", &wrong),
    ];
    let names = ["missing", "keyless", "garbage", "wrong"];
    let mut connect = |name: &str, members: Value| {
        let mut spec = json!({ "address": vault.address() });
        json_patch::merge(&mut spec, &members);
        objects.push(tenant.object("VaultConnection", name, spec));
        objects.push(tenant.auth(name, json!({ "vaultConnectionRef": name })));
        objects.push(tenant.static_secret(name, json!({ "vaultAuthRef": name, "path": "tls" })));
    };
    for name in names {
        connect(name, json!({ "caCertSecretRef": format!("ca-{name}") }));
    }
    connect("none", json!({}));
    connect("both", json!({ "caCertSecretRef": "ca-wrong", "caCertPath": "/ca.pem" }));
    connect("file", json!({ "caCertPath": "/nowhere/ca.pem" }));
    connect("skip", json!({ "skipTLSVerify": true }));
    // An hour between two tries of an object: whoever recovers was woken.
    let operator = tenant.operator(&["--backoff-initial-interval=1h", "--backoff-max-interval=1h"]);
    tenant.apply_all(&objects);

    let here = &tenant.namespace;
    let text = |name: &str| match name {
        "missing" => format!("the CA secret \"{here}/ca-missing\" does not exist"),
        "keyless" => format!("\"ca.crt\" not present in the CA secret \"{here}/ca-keyless\""),
        "garbage" => "no valid certificates found in CA cert data".to_owned(),
        "both" => "CACertPath and CACertSecretRef are mutually exclusive".to_owned(),
        "file" => "spec.caCertPath \"/nowhere/ca.pem\" cannot be used".to_owned(),
        _ => "TLS handshake with Vault failed".to_owned(),
    };
    let address = vault.address();
    for name in ["missing", "keyless", "garbage", "both", "file"] {
        let texts = [text(name), address.clone()];
        tenant.wait_not_ready("vaultconnection", name, "VaultClientConfigError", &[&texts[0], &texts[1]]);
    }
    for name in ["wrong", "none"] {
        let texts = ["TLS handshake with Vault failed", "UnknownIssuer", address.as_str()];
        tenant.wait_not_ready("vaultconnection", name, "InvalidConfiguration", &texts);
    }
    let plain = tenant.object("VaultConnection", "plain", json!({ "address": address.replace("https://", "http://") }));
    tenant.apply(&plain);
    let texts = ["the server speaks TLS", "https://"];
    tenant.wait_not_ready("vaultconnection", "plain", "InvalidConfiguration", &texts);
    for name in names.iter().chain(&["none", "file"]) {
        tenant.wait_failure(name, "VaultClientConfigError", &[&text(name)]);
    }
    tenant.wait_failure("both", "VaultClientConfigError", &[&text("both")]);
    tenant.wait_value("skip", "password", GOOD);

    tenant.apply_all(&names.map(|name| secret(&format!("ca-{name}"), "ca.crt", &vault.authority())));
    for name in names {
        tenant.wait_condition("vaultconnection", name, "Ready", "True", "");
        tenant.wait_value(name, "password", GOOD);
        tenant.wait_synced(name);
    }
    drop(operator);

    // The server gets a certificate of another authority, the Secret follows later.
    let operator = tenant.operator(&FAST_RETRY);
    vault.start();
    vault.prepare(&tenant, "tls-again");
    tenant.wait_failure("wrong", "VaultClientConfigError", &["TLS handshake"]);
    tenant.wait_not_ready("vaultconnection", "wrong", "InvalidConfiguration", &["TLS handshake with Vault failed"]);
    assert_eq!(tenant.value("wrong", "password").unwrap(), GOOD);
    tenant.apply(&secret("ca-wrong", "ca.crt", &vault.authority()));
    tenant.wait_value("wrong", "password", "tls-again");
    tenant.wait_condition("vaultconnection", "wrong", "Ready", "True", "");
    tenant.assert_nothing_leaked(&operator, &[GOOD, "tls-again", "garbage-hunter2"]);
}

#[test]
fn a_rotated_certificate_is_trusted_without_a_failure() {
    let tenant = Tenant::new("rotation");
    let values = [GOOD, "second", "third"];
    // What the way to Vault leads to is replaced at once, with another certificate of another authority.
    let vaults = values.map(|value| {
        let mut vault = TlsVault::new(tenant.cluster);
        vault.start();
        vault.prepare(&tenant, value);
        vault
    });
    let addresses = vaults.each_ref().map(|vault| format!("127.0.0.1:{}", vault.port));
    let way = Forwarder::of_tcp(&addresses[0]);
    let address = format!("https://127.0.0.1:{}", way.port);
    tenant.apply_all(&[
        secret("ca", "ca.crt", &vaults[0].authority()),
        tenant.object("VaultConnection", "tls", json!({ "address": address, "caCertSecretRef": "ca" })),
        tenant.auth("tls", json!({ "vaultConnectionRef": "tls" })),
    ]);
    let operator = tenant.operator(&[]);
    let names = ["a", "b", "c"];
    let spec = || json!({ "vaultAuthRef": "tls", "path": "tls", "refreshAfter": "10s" });
    tenant.apply_all(&names.map(|name| tenant.static_secret(name, spec())));
    let wait_all = |value: &str| {
        let started = Instant::now();
        names.iter().for_each(|name| tenant.wait_value(name, "password", value));
        names.iter().for_each(|name| tenant.wait_synced(name));
        started.elapsed()
    };
    wait_all(GOOD);

    // The authority is there when the certificate comes: nobody fails.
    tenant.apply(&secret("ca", "ca.crt", &vaults[1].authority()));
    way.turn_to(&addresses[1]);
    let took = wait_all("second");
    println!("the Secrets followed {took:?} after the rotation");
    assert!(took < BY_ITSELF);
    let failures: Vec<Value> = tenant.list("events").into_iter().filter(|e| e["type"] == "Warning").collect();
    assert!(failures.is_empty(), "{failures:?}");
    assert!(operator.log().contains("another certificate authority is trusted"), "{}", operator.log());

    // The certificate comes first: the objects say so and keep what they have, until the authority follows.
    way.turn_to(&addresses[2]);
    tenant.wait_not_ready("vaultconnection", "tls", "InvalidConfiguration", &["TLS handshake with Vault failed"]);
    tenant.wait_failure("a", "VaultClientError", &["TLS handshake with Vault failed"]);
    names.iter().for_each(|name| assert_eq!(tenant.value(name, "password").unwrap(), "second"));
    tenant.apply(&secret("ca", "ca.crt", &vaults[2].authority()));
    let took = wait_all("third");
    println!("the Secrets followed {took:?} after the authority");
    assert!(took < BY_ITSELF);
    tenant.wait_condition("vaultconnection", "tls", "Ready", "True", "");
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn events_come_over_the_same_tls() {
    if lacks(Server::OpenBao, "event stream") {
        return;
    }
    let tools = Tools::default();
    if !tools.has(Tool::VaultEvents) {
        return skipped("no Vault with an event stream; `cargo testenv build --optional` builds one in about 8 min");
    }
    let tenant = Tenant::new("wss");
    let mut vault = TlsVault::new(tenant.cluster);
    vault.program = Some(tools.path(Tool::VaultEvents).expect("its path"));
    vault.start();
    vault.prepare(&tenant, "one");
    let policy = vault.dir.join("events.hcl");
    let rules = "path \"secret/*\" { capabilities = [\"read\", \"subscribe\"] subscribe_event_types = [\"*\"] }\npath \"sys/events/subscribe/kv*\" { capabilities = [\"read\"] }";
    std::fs::write(&policy, rules).expect("a file");
    vault.run(&["policy", "write", &tenant.namespace, policy.to_str().expect("UTF-8")]).expect("a policy");
    let spec = json!({ "address": vault.address(), "caCertSecretRef": "ca", "tlsServerName": "localhost" });
    tenant.apply_all(&[
        secret("ca", "ca.crt", &vault.authority()),
        tenant.object("VaultConnection", "wss", spec),
        tenant.auth("wss", json!({ "vaultConnectionRef": "wss" })),
        tenant.static_secret(
            "wss",
            json!({ "vaultAuthRef": "wss", "path": "tls", "refreshAfter": "1h", "syncConfig": { "instantUpdates": true } }),
        ),
    ]);
    let _operator = tenant.operator(&[]);
    tenant.wait_condition("vaultstaticsecret", "wss", "InstantUpdates", "True", "");
    let write = || {
        vault.run(&["kv", "put", "secret/tls", "password=two"]).expect("it is written");
    };
    by_event("a value", write, || tenant.value("wss", "password").is_ok_and(|value| value == "two"));
}
