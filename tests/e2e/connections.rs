//! VaultConnections and logins with contents that cannot work.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use testenv::VaultAuditEntry;

use test_support::{FAST_RETRY, Tenant, eventually};

const GOOD: &str = "connections-hunter2";

#[test]
fn a_connection_says_what_is_wrong_with_it() {
    let tenant = Tenant::new("connections");
    let vault = tenant.cluster.vault_addr();
    let api_server = tenant.cluster.api_server_url();
    tenant.put("source", json!({ "password": GOOD }));
    let header = |name: &str, value: &str| json!({ "address": vault, "headers": { name: value } });
    let client = "VaultClientConfigError";
    let ping = "InvalidConfiguration";
    let no_host = "vault.invalid:8200: failed to lookup";
    let no_tls = ["TLS handshake with Vault failed", "does not speak TLS", "http://"];
    let cases: [(&str, Value, &str, &[&str]); 10] = [
        ("header-value", header("X-Team", "a\nheader-hunter2"), client, &["header x-team", "cannot carry"]),
        ("header-name", header("X Team", "a"), client, &["header name \"X Team\" is not valid"]),
        ("header-namespace", header("x-vault-namespace", "a"), client, &["X-Vault-Namespace", "not permitted"]),
        ("no-scheme", json!({ "address": "vault:8200" }), client, &["has no scheme: write \"https://vault:8200\""]),
        ("no-url", json!({ "address": "http://" }), client, &["address \"http://\""]),
        ("no-name", json!({ "address": "https://v", "tlsServerName": "a b" }), client, &["tlsServerName"]),
        ("nobody", json!({ "address": "http://127.0.0.1:1" }), ping, &["refused", "http://127.0.0.1:1"]),
        ("no-host", json!({ "address": "http://vault.invalid:8200" }), ping, &["Vault cannot be reached", no_host]),
        ("no-tls", json!({ "address": vault.replace("http://", "https://") }), ping, &no_tls),
        ("no-vault", json!({ "address": api_server, "skipTLSVerify": true }), ping, &["sys/seal-status", api_server]),
    ];
    let operator = tenant.operator(&FAST_RETRY);
    let mut objects = vec![];
    for (name, spec, ..) in &cases {
        objects.push(tenant.object("VaultConnection", name, spec.clone()));
        objects.push(tenant.auth(name, json!({ "vaultConnectionRef": name })));
        let path = tenant.path("source");
        objects.push(tenant.static_secret(name, json!({ "vaultAuthRef": name, "path": path })));
    }
    tenant.apply_all(&objects);
    for (name, _, reason, texts) in &cases {
        tenant.wait_not_ready("vaultconnection", name, reason, texts);
        // The objects that use a connection name the address, too: it stands two references away from them.
        let address: &[&str] = if *name == "nobody" { &["127.0.0.1:1: Connection refused"] } else { &[] };
        tenant.wait_failure(name, "VaultClientConfigError", address);
        assert!(tenant.get("secret", name).is_err(), "{name}");
    }
    let error = tenant.object("VaultConnection", "never", json!({ "address": vault, "timeout": "soon" }));
    let error = tenant.try_apply(&error).expect_err("it is refused");
    assert!(format!("{error:#}").contains("spec.timeout"), "{error:#}");

    for (name, ..) in &cases {
        tenant.apply(&tenant.object(
            "VaultConnection",
            name,
            json!({ "address": vault, "headers": { "X-Team": "a" } }),
        ));
    }
    for (name, ..) in &cases {
        tenant.wait_value(name, "password", GOOD);
        tenant.wait_synced(name);
        tenant.wait_condition("vaultconnection", name, "Ready", "True", "");
    }
    tenant.assert_nothing_leaked(&operator, &[GOOD, "header-hunter2"]);
}

#[test]
fn a_login_says_what_is_wrong_with_it() {
    let tenant = Tenant::new("logins");
    let role = &tenant.namespace;
    tenant.put("source", json!({ "password": GOOD }));
    let method = |role: &str, account: &str, audience: &str| json!({ "kubernetes": { "role": role, "serviceAccount": account, "audiences": [audience] } });
    let cases: [(&str, Value, &[&str]); 7] = [
        ("role", method("nobody", "app", "vault"), &["auth/kubernetes/login", "invalid role name \"nobody\""]),
        ("account", method(role, "ghost", "vault"), &["ServiceAccount", "\"ghost\" not found"]),
        ("other-account", method(role, "default", "vault"), &["auth/kubernetes/login", "not authorized"]),
        ("audience", method(role, "app", "other"), &["auth/kubernetes/login", "permission denied"]),
        ("mount", json!({ "mount": "nowhere" }), &["auth/nowhere/login"]),
        ("header", json!({ "headers": { "X-Team": "a\nheader-hunter2" } }), &["x-team", "cannot be sent"]),
        ("parameter", json!({ "params": { "role": "other", "jwt": "param-hunter2" } }), &[]),
    ];
    let operator = tenant.operator(&FAST_RETRY);
    let mut objects = vec![];
    for (name, members, _) in &cases {
        objects.push(tenant.auth(name, members.clone()));
        let path = tenant.path("source");
        objects.push(tenant.static_secret(name, json!({ "vaultAuthRef": name, "path": path })));
    }
    tenant.apply_all(&objects);
    for (name, _, texts) in &cases[..6] {
        tenant.wait_failure(name, "VaultClientConfigError", texts);
        assert!(tenant.get("secret", name).is_err(), "{name}");
    }
    // Parameters cannot displace the role or the credential.
    tenant.wait_value("parameter", "password", GOOD);
    let token = tenant.auth("token", json!({ "headers": { "x-vault-token": "token-hunter2" } }));
    tenant.apply_all(&[token, tenant.static_secret("token", json!({ "vaultAuthRef": "token" }))]);
    tenant.wait_not_ready("vaultauth", "token", "InvalidConfiguration", &["X-Vault-Token cannot be set"]);
    tenant.wait_failure("token", "VaultClientConfigError", &["X-Vault-Token cannot be set"]);

    // The cause goes away where it is: in Kubernetes, in Vault, in the object.
    tenant.apply(&json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "ghost" } }));
    let accounts = ["app", "ghost", "default"];
    let write = |name| tenant.cluster.vault_kubernetes_role(name, &accounts, &[role], &[role], "1h").expect("a role");
    write(role);
    tenant.apply_all(&["role", "audience", "mount", "header"].map(|name| tenant.auth(name, json!({ "params": {} }))));
    for (name, ..) in &cases {
        tenant.wait_value(name, "password", GOOD);
        tenant.wait_synced(name);
    }
    tenant.assert_nothing_leaked(&operator, &[GOOD, "header-hunter2", "param-hunter2", "token-hunter2"]);
}

/// Logins on an auth mount, each with whether it was refused.
fn logins(entries: &[VaultAuditEntry], mount: &str) -> Vec<bool> {
    let path = format!("auth/{mount}/login");
    let answers = entries.iter().filter(|e| e.kind == "response" && e.path == path);
    answers.map(|e| !e.error.is_empty() || e.raw["auth"]["client_token"].is_null()).collect()
}

#[test]
fn many_objects_that_cannot_log_in_share_the_attempts() {
    let tenant = Tenant::new("crowd");
    let (cluster, mount) = (tenant.cluster, tenant.namespace.as_str());
    let authority = std::fs::read_to_string(cluster.certificate_authority()).expect("a certificate");
    let reviewer = cluster.service_account_token("kube-system", "vault-reviewer", &[]).expect("a token");
    let config = json!({
        "kubernetes_host": cluster.api_server_url(), "kubernetes_ca_cert": authority,
        "token_reviewer_jwt": reviewer, "disable_local_ca_jwt": true,
    });
    cluster.vault("POST", &format!("sys/auth/{mount}"), Some(json!({ "type": "kubernetes" }))).expect("an auth mount");
    cluster.vault("POST", &format!("auth/{mount}/config"), Some(config)).expect("its configuration");
    tenant.put("source", json!({ "password": GOOD }));
    let names: Vec<String> = (0..50).map(|i| format!("s{i}")).collect();
    let mut objects = vec![tenant.auth("crowd", json!({ "mount": mount }))];
    objects.extend(
        names
            .iter()
            .map(|name| tenant.static_secret(name, json!({ "vaultAuthRef": "crowd", "path": tenant.path("source") }))),
    );
    let operator = tenant.operator(&["--backoff-initial-interval=2s", "--backoff-max-interval=4s"]);
    let marker = cluster.vault_audit_marker().expect("the audit log");
    let kube_marker = cluster.kube_audit_marker().expect("the audit log");
    let started = Instant::now();
    tenant.apply_all(&objects);

    let with_condition = |status: &str| -> BTreeSet<String> {
        let fits = |o: &Value| {
            let conditions = o["status"]["conditions"].as_array().into_iter().flatten();
            conditions.filter(|c| c["type"] == "SecretSynced").any(|c| c["status"] == status)
        };
        let objects = tenant.list("vaultstaticsecrets");
        objects.iter().filter(|o| fits(o)).filter_map(|o| Some(o["metadata"]["name"].as_str()?.to_owned())).collect()
    };
    let wait_all = |status: &str| {
        eventually(&format!("all objects are synced: {status}"), || match with_condition(status).len() {
            50 => Ok(()),
            some => Err(format!("{some}")),
        });
    };
    wait_all("False");
    tenant.wait_failure("s7", "VaultClientConfigError", &[&format!("auth/{mount}/login"), "invalid role name"]);
    // Each wait is at least half of the interval, so there is at most one attempt a second after the first.
    let limit = 2 + usize::try_from(started.elapsed().as_secs()).expect("a small number");
    let (entries, marker) = cluster.vault_audit_since(marker).expect("the audit log");
    let attempts = logins(&entries, mount);
    assert!((1..=limit).contains(&attempts.len()), "{} attempts, at most {limit}", attempts.len());
    let (requests, _) = cluster.kube_audit_since(kube_marker).expect("the audit log");
    let tokens = requests.iter().filter(|r| r.subresource == "token" && r.namespace == tenant.namespace).count();
    assert!((1..=limit + 1).contains(&tokens), "{tokens} tokens asked for, at most {limit}");

    let role = json!({
        "bound_service_account_names": "app", "bound_service_account_namespaces": mount,
        "audience": "vault", "token_policies": mount,
    });
    cluster.vault("POST", &format!("auth/{mount}/role/{mount}"), Some(role)).expect("a role");
    wait_all("True");
    let (entries, _) = cluster.vault_audit_since(marker).expect("the audit log");
    let accepted = logins(&entries, mount).iter().filter(|refused| !**refused).count();
    assert_eq!(accepted, 1, "one login serves them all");
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}
