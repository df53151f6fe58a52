//! The way to Vault: proxies, path prefixes, address literals, names and headers.

use std::net::TcpListener;

use serde_json::{Value, json};
use testenv::Server;

use test_support::forwarder::Forwarder;
use test_support::tls_vault::TlsVault;
use test_support::{Tenant, eventually, server};

use crate::namespaces::{allow, ask, make};

const GOOD: &str = "transport-hunter2";

/// A VaultConnection, a VaultAuth and a VaultStaticSecret of the same name that use each other.
fn chain(tenant: &Tenant<'_>, name: &str, connection: Value, auth: Value, secret: Value) {
    let mut spec = json!({ "vaultAuthRef": name, "path": tenant.path("source") });
    json_patch::merge(&mut spec, &secret);
    let mut auth = auth;
    auth["vaultConnectionRef"] = json!(name);
    tenant.apply_all(&[
        tenant.object("VaultConnection", name, connection),
        tenant.auth(name, auth),
        tenant.static_secret(name, spec),
    ]);
}

#[test]
fn addresses_with_a_path_and_of_ipv6() {
    let tenant = Tenant::new("address");
    tenant.put("source", json!({ "password": GOOD }));
    let _operator = tenant.operator(&[]);
    let vault = tenant.cluster.vault_addr();
    let target = vault.trim_start_matches("http://");
    let prefixed = Forwarder::of_http("127.0.0.1:0", target, "/tools/vault");
    let address = format!("http://127.0.0.1:{}/tools//vault/", prefixed.port);
    chain(&tenant, "prefix", json!({ "address": address }), json!({}), json!({}));
    tenant.wait_value("prefix", "password", GOOD);
    tenant.wait_condition("vaultconnection", "prefix", "Ready", "True", "");
    let seen = prefixed.seen();
    assert!(!seen.is_empty() && seen.iter().all(|line| line.contains(" /tools/vault/v1/")), "{seen:?}");

    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let six = Forwarder::of_http("[::1]:0", target, "");
    chain(&tenant, "six", json!({ "address": format!("http://[::1]:{}", six.port) }), json!({}), json!({}));
    tenant.wait_value("six", "password", GOOD);
    assert!(!six.seen().is_empty());
}

#[test]
fn headers_go_where_they_belong() {
    let tenant = Tenant::new("headers");
    tenant.put("source", json!({ "password": GOOD }));
    let (everywhere, at_login) = (format!("x-all-{}", tenant.namespace), format!("x-login-{}", tenant.namespace));
    for name in [&everywhere, &at_login, "x-vault-namespace", "user-agent"] {
        let path = format!("sys/config/auditing/request-headers/{name}");
        tenant.cluster.vault("POST", &path, Some(json!({ "hmac": false }))).expect("the header is audited");
    }
    let _operator = tenant.operator(&[]);
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let connection = json!({ "address": tenant.cluster.vault_addr(), "headers": { everywhere.as_str(): "a" } });
    let (team, other) = (tenant.namespace.clone(), format!("{}/other", tenant.namespace));
    if server() == Server::OpenBao {
        let rules =
            "path \"+/data/*\" { capabilities = [\"read\"] }\npath \"other/+/data/*\" { capabilities = [\"read\"] }";
        make(&tenant, "", &team, json!({}));
        make(&tenant, &format!("{team}/"), "other", json!({}));
        allow(&tenant, &team, rules, "1h");
        for namespace in [&team, &other] {
            let path = format!("secret/data/{}", tenant.path("source"));
            ask(&tenant, "POST", namespace, &path, json!({ "data": { "password": GOOD } }));
        }
    }
    let auth = json!({ "namespace": team, "headers": { at_login.as_str(): "b" } });
    chain(&tenant, "inherits", connection.clone(), auth.clone(), json!({}));
    chain(&tenant, "names", connection, auth, json!({ "namespace": format!("/{other}/") }));

    // Whatever the server makes of a namespace (Vault's Community Edition nothing): it was asked for.
    let requests = eventually("reads in both namespaces", || {
        let (entries, _) = tenant.cluster.vault_audit_since(marker).map_err(|e| e.to_string())?;
        let headers = |e: &testenv::VaultAuditEntry| e.raw["request"]["headers"].clone();
        let ours = entries.into_iter().filter(|e| e.kind == "request" && !headers(e)[&everywhere].is_null());
        let ours: Vec<(String, Value)> = ours.map(|e| (e.path.clone(), headers(&e))).collect();
        let read_in =
            |ns: &str| ours.iter().any(|(path, h)| path.contains("source") && h["x-vault-namespace"][0] == ns);
        if read_in(&team) && read_in(&other) { Ok(ours) } else { Err(format!("{ours:?}")) }
    });
    let logins: Vec<_> = requests.iter().filter(|(path, _)| path.ends_with("/login")).collect();
    assert_eq!(logins.len(), 1, "two objects, one identity: {logins:?}");
    for (path, headers) in &requests {
        let login = path.ends_with("/login");
        assert_eq!(headers[&everywhere], json!(["a"]), "{path}");
        assert_eq!(headers[&at_login], if login { json!(["b"]) } else { json!(null) }, "{path}");
        let agent = headers["user-agent"][0].as_str().unwrap_or_default();
        assert!(agent.starts_with("vso/"), "{path}: {agent:?}");
        if login || path.starts_with("auth/token/") {
            assert_eq!(headers["x-vault-namespace"], json!([team]), "{path}");
        }
    }
}

#[test]
fn a_proxy_from_the_environment_and_a_name_for_the_certificate() {
    let tenant = Tenant::new("proxied");
    let mut vault = TlsVault::new(tenant.cluster);
    vault.start();
    vault.prepare(&tenant, GOOD);
    let proxy = Forwarder::of_tunnels();
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let _operator = tenant.operator_with(&[("HTTPS_PROXY", &address)], &[]);
    tenant.apply(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "ca" },
        "stringData": { "ca.crt": vault.authority() },
    }));
    let connection =
        |address: String, name: &str| json!({ "address": address, "caCertSecretRef": "ca", "tlsServerName": name });
    // A name that only the proxy knows: loopback never goes through one.
    let by_name = format!("https://vault.inside:{}", vault.port);
    let secret = || json!({ "path": "tls" });
    chain(&tenant, "by-name", connection(by_name, "localhost"), json!({}), secret());
    tenant.wait_value("by-name", "password", GOOD);
    let target = format!("CONNECT vault.inside:{} HTTP/1.1", vault.port);
    let tunnels = proxy.seen();
    assert!(!tunnels.is_empty() && tunnels.iter().all(|line| *line == target), "{tunnels:?}");

    // Not through the proxy: the address is excepted, whatever name the certificate has, and loopback in any case.
    let by_address = || format!("https://127.0.0.1:{}", vault.port);
    chain(&tenant, "direct", connection(by_address(), ""), json!({}), secret());
    chain(&tenant, "named", connection(by_address(), "localhost"), json!({}), secret());
    chain(&tenant, "misnamed", connection(by_address(), "vault.example"), json!({}), secret());
    for name in ["direct", "named"] {
        tenant.wait_value(name, "password", GOOD);
    }
    tenant.wait_not_ready("vaultconnection", "misnamed", "InvalidConfiguration", &["TLS handshake with Vault failed"]);
    assert!(proxy.seen().iter().all(|line| *line == target), "{:?}", proxy.seen());
}
