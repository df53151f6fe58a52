//! The login methods against a real Vault, and what is said when a credential is missing or wrong.

use serde_json::{Value, json};
use testenv::VaultAuditEntry;

use test_support::auth_mounts::{app_role_mount, jwt_mount, kubernetes_mount, new_secret_id, secret};
use test_support::{FAST_RETRY, Tenant, eventually};

const GOOD: &str = "methods-hunter2";

/// A VaultAuth and a VaultStaticSecret of the same name that uses it.
fn user(tenant: &Tenant<'_>, name: &str, method: &str, mount: &str, block: Value) -> [Value; 2] {
    let auth = json!({ "method": method, "mount": mount, method: block });
    [
        tenant.auth(name, auth),
        tenant.static_secret(name, json!({ "vaultAuthRef": name, "path": tenant.path("source") })),
    ]
}

/// Logins that Vault was asked for on a mount, each with whether it was refused.
fn logins(entries: &[VaultAuditEntry], mount: &str) -> Vec<bool> {
    let path = format!("auth/{mount}/login");
    let answers = entries.iter().filter(|e| e.kind == "response" && e.path == path);
    answers.map(|e| !e.error.is_empty() || e.raw["auth"]["client_token"].is_null()).collect()
}

#[test]
fn a_token_of_a_service_account_or_of_a_secret_logs_in() {
    let tenant = Tenant::new("jwt");
    let jwt = jwt_mount(&tenant);
    tenant.put("source", json!({ "password": GOOD }));
    let token = tenant.cluster.service_account_token(&tenant.namespace, "app", &["vault"]).expect("a token");
    let operator = tenant.operator(&FAST_RETRY);
    let account = json!({ "role": "app", "serviceAccount": "app", "audiences": ["vault"] });
    tenant.apply_all(&user(&tenant, "account", "jwt", &jwt, account));
    tenant.apply(&secret("token", "jwt", &token));
    tenant.apply_all(&user(&tenant, "stored", "jwt", &jwt, json!({ "role": "app", "secretRef": "token" })));
    for name in ["account", "stored"] {
        tenant.wait_value(name, "password", GOOD);
        tenant.wait_synced(name);
        tenant.wait_condition("vaultauth", name, "Ready", "True", "");
        let status = tenant.get("vaultstaticsecret", name).expect("it is there")["status"].clone();
        let key = status["vaultClientMeta"]["cacheKey"].as_str().unwrap_or_default();
        assert!(key.starts_with("jwt-") && key.len() == "jwt-".len() + 22, "{status}");
    }

    let audience = json!({ "role": "app", "serviceAccount": "app", "audiences": ["other"] });
    tenant.apply_all(&user(&tenant, "audience", "jwt", &jwt, audience));
    tenant.apply_all(&user(&tenant, "role", "jwt", &jwt, json!({ "role": "nobody", "secretRef": "token" })));
    tenant.apply_all(&user(&tenant, "neither", "jwt", &jwt, json!({ "role": "app" })));
    let login = format!("auth/{jwt}/login");
    tenant.wait_failure("audience", "VaultClientConfigError", &[&login, "audience"]);
    tenant.wait_failure("role", "VaultClientConfigError", &[&login, "role \"nobody\" could not be found"]);
    let text = "invalid JWT auth configuration: either serviceAccount or secretRef must be specified";
    tenant.wait_not_ready("vaultauth", "neither", "InvalidConfiguration", &[text]);
    tenant.assert_nothing_leaked(&operator, &[GOOD, &token]);
}

#[test]
fn a_secret_id_logs_in_and_a_new_one_is_used_by_the_next_login() {
    let tenant = Tenant::new("approle");
    let (mount, role_id) = app_role_mount(&tenant);
    tenant.put("source", json!({ "password": GOOD }));
    let first = new_secret_id(&tenant, &mount);
    tenant.apply(&secret("secret-id", "id", &first));
    let operator = tenant.operator(&FAST_RETRY);
    let block = json!({ "roleId": role_id, "secretRef": "secret-id" });
    tenant.apply_all(&user(&tenant, "role", "appRole", &mount, block.clone()));
    tenant.wait_value("role", "password", GOOD);
    tenant.wait_synced("role");
    let status = tenant.get("vaultstaticsecret", "role").expect("it is there")["status"].clone();
    let key = status["vaultClientMeta"]["cacheKey"].as_str().unwrap_or_default();
    assert!(key.starts_with("approle-"), "{status}");

    // The secret ID is replaced, then Vault forgets the old one and every token.
    let second = new_secret_id(&tenant, &mount);
    tenant.apply(&secret("secret-id", "id", &second));
    let destroy = format!("auth/{mount}/role/app/secret-id/destroy");
    tenant.cluster.vault("POST", &destroy, Some(json!({ "secret_id": first }))).expect("it is destroyed");
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let revoke = format!("sys/leases/revoke-prefix/auth/{mount}/login");
    tenant.cluster.vault("PUT", &revoke, Some(json!({}))).expect("the tokens are revoked");
    tenant.put("source", json!({ "password": "next" }));
    tenant.wait_value("role", "password", "next");
    let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
    assert_eq!(logins(&entries, &mount), [false], "one login, with the new secret ID");
    tenant.assert_nothing_leaked(&operator, &[GOOD, &first, &second]);
}

#[test]
fn a_credential_that_is_missing_or_wrong_is_named_and_used_when_it_is_right() {
    let tenant = Tenant::new("credential");
    let (approle, role_id) = app_role_mount(&tenant);
    let jwt = jwt_mount(&tenant);
    tenant.put("source", json!({ "password": GOOD }));
    let here = &tenant.namespace;
    let id = new_secret_id(&tenant, &approle);
    let binary = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "id-binary" }, "data": { "id": "/w==" },
    });
    let (keyless, empty) = (secret("id-keyless", "other", "x"), secret("id-empty", "id", ""));
    tenant.apply_all(&[keyless, empty, binary, secret("id-wrong", "id", "x")]);
    // What is in another namespace is out of reach, whatever it is called.
    let mut elsewhere = secret("id-elsewhere", "id", &id);
    elsewhere["metadata"]["namespace"] = json!(tenant.operator_namespace);
    tenant.apply(&elsewhere);
    let operator = tenant.operator(&FAST_RETRY);
    let login = format!("auth/{approle}/login");
    let text = |text: &str| text.replace("HERE", here);
    let cases = [
        ("missing", text("Secret HERE/id-missing with the credential does not exist")),
        ("keyless", text("no key \"id\" found in secret HERE/id-keyless")),
        ("empty", text("no data found in secret key \"id\" of HERE/id-empty")),
        ("binary", text("key \"id\" of secret HERE/id-binary is not text")),
        ("wrong", "invalid role or secret ID".to_owned()),
        ("elsewhere", text("Secret HERE/id-elsewhere with the credential does not exist")),
    ];
    for (name, _) in &cases {
        let block = json!({ "roleId": role_id, "secretRef": format!("id-{name}") });
        tenant.apply_all(&user(&tenant, name, "appRole", &approle, block));
    }
    tenant.apply_all(&user(&tenant, "no-token", "jwt", &jwt, json!({ "role": "app", "secretRef": "id-keyless" })));
    for (name, text) in &cases {
        tenant.wait_failure(name, "VaultClientConfigError", &[text]);
        assert!(tenant.get("secret", name).is_err(), "{name}");
    }
    tenant.wait_failure("wrong", "VaultClientConfigError", &["invalid role or secret ID", &login]);
    tenant.wait_failure(
        "no-token",
        "VaultClientConfigError",
        &[&text("no key \"jwt\" found in secret HERE/id-keyless")],
    );

    let path = json!({ "roleId": role_id, "secretIDPath": "/var/run/secrets/kubernetes.io/serviceaccount/token" });
    let named = json!({ "roleId": role_id, "secretRef": "../../../default/secrets/x" });
    tenant.apply_all(&user(&tenant, "path", "appRole", &approle, path));
    tenant.apply_all(&user(&tenant, "named", "appRole", &approle, named));
    let refused = ["secretIDPath is not supported", "name that Secret in secretRef"];
    tenant.wait_not_ready("vaultauth", "path", "InvalidConfiguration", &refused);
    tenant.wait_failure("path", "VaultClientConfigError", &refused);
    tenant.wait_not_ready("vaultauth", "named", "InvalidConfiguration", &["is not the name of an object"]);

    // Put right where the credential is: no object of ours is touched.
    for (name, _) in &cases {
        tenant.apply(&secret(&format!("id-{name}"), "id", &id));
    }
    for (name, _) in &cases {
        tenant.wait_value(name, "password", GOOD);
        tenant.wait_synced(name);
    }
    tenant.assert_nothing_leaked(&operator, &[GOOD, &id]);
}

/// Vault locks a role for everybody after five wrong secret IDs.
#[test]
fn a_wrong_secret_id_locks_nobody_out() {
    let tenant = Tenant::new("lockout");
    let (mount, role_id) = app_role_mount(&tenant);
    tenant.put("source", json!({ "password": GOOD }));
    tenant.apply(&secret("secret-id", "id", "expired"));
    let operator = tenant.operator(&FAST_RETRY);
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let block = json!({ "roleId": role_id, "secretRef": "secret-id" });
    tenant.apply_all(&user(&tenant, "role", "appRole", &mount, block));
    tenant.wait_failure("role", "VaultClientConfigError", &["invalid role or secret ID", "when its Secret changes"]);
    std::thread::sleep(std::time::Duration::from_secs(20));
    let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
    let offers = logins(&entries, &mount).len();
    assert!((1..=2).contains(&offers), "{offers} logins with a secret ID that was refused");

    let id = new_secret_id(&tenant, &mount);
    tenant.apply(&secret("secret-id", "id", &id));
    tenant.wait_value("role", "password", GOOD);
    tenant.wait_synced("role");
    tenant.assert_nothing_leaked(&operator, &[GOOD, &id]);
}

#[test]
fn logins_that_fail_delay_nobody_else() {
    let tenant = Tenant::new("failing");
    let (approle, role_id) = app_role_mount(&tenant);
    let kubernetes = kubernetes_mount(&tenant);
    tenant.put("source", json!({ "password": GOOD }));
    tenant.put("good", json!({ "n": "0" }));
    tenant.apply(&secret("wrong-id", "id", "nothing"));
    let operator = tenant.operator(&[]);
    tenant.apply(&tenant.static_secret("good", json!({})));
    tenant.wait_synced("good");
    let change = |n: usize| {
        let changed = std::time::Instant::now();
        tenant.put("good", json!({ "n": n.to_string() }));
        tenant.wait_value("good", "n", &n.to_string());
        changed.elapsed()
    };
    let undisturbed = (1000..1010).map(change).max().unwrap_or_default();

    let block = json!({ "roleId": role_id, "secretRef": "wrong-id" });
    tenant.apply(&tenant.auth("by-id", json!({ "method": "appRole", "mount": approle, "appRole": block })));
    let block = json!({ "role": "nobody", "serviceAccount": "app", "audiences": ["vault"] });
    tenant.apply(&tenant.auth("by-role", json!({ "mount": kubernetes, "kubernetes": block })));
    let path = tenant.path("source");
    let objects = (0..200).map(|i| {
        let auth = if i % 2 == 0 { "by-id" } else { "by-role" };
        tenant.static_secret(&format!("s{i}"), json!({ "vaultAuthRef": auth, "path": path }))
    });
    let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
    let started = std::time::Instant::now();
    tenant.apply_all(&objects.collect::<Vec<_>>());
    eventually("all of them say why", || {
        let said = |o: &Value| {
            let conditions = o["status"]["conditions"].as_array().into_iter().flatten();
            conditions.filter(|c| c["type"] == "SecretSynced").any(|c| c["status"] == "False")
        };
        match tenant.list("vaultstaticsecrets").iter().filter(|o| said(o)).count() {
            200 => Ok(()),
            some => Err(format!("{some}")),
        }
    });
    tenant.wait_failure("s0", "VaultClientConfigError", &["invalid role or secret ID"]);
    tenant.wait_failure("s1", "VaultClientConfigError", &["invalid role name \"nobody\""]);

    let mut slowest = std::time::Duration::ZERO;
    let mut round = 0;
    while round < 20 || started.elapsed() < std::time::Duration::from_secs(30) {
        round += 1;
        slowest = slowest.max(change(round));
    }
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
    let (by_id, by_role) = (logins(&entries, &approle).len(), logins(&entries, &kubernetes).len());
    println!(
        "{minutes:.2} min: {by_id} logins by AppRole, {by_role} by Kubernetes; a change took {slowest:?} at most, {undisturbed:?} before"
    );
    // Pauses of 5, 7.5, 11.25 ... s, each shortened by half at most.
    let limit = 2.0 + minutes * 60.0 / 2.5;
    assert!(by_role >= 1 && (by_role as f64) < limit, "{by_role} logins by Kubernetes in {minutes} min");
    assert!((1..=2).contains(&by_id), "{by_id} logins by AppRole");
    // The machine is busy with these logins, and with other tests.
    let limit = std::time::Duration::from_secs(5) + 4 * undisturbed;
    assert!(slowest < limit, "a change of the healthy object took {slowest:?}, before {undisturbed:?}");
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

/// Vault answers the login with what it wants besides, and without a token.
#[test]
fn a_login_that_asks_for_a_second_factor_says_so_until_it_is_exempt() {
    let tenant = Tenant::new("mfa");
    let vault = |method: &str, path: &str, body: Value| tenant.cluster.vault(method, path, Some(body)).expect(path);
    let mount = jwt_mount(&tenant);
    tenant.put("source", json!({ "password": GOOD }));
    let mounts = vault("GET", "sys/auth", json!(null));
    let accessor = mounts["data"][format!("{mount}/")]["accessor"].as_str().expect("an accessor").to_owned();
    let method = vault("POST", "identity/mfa/method/totp", json!({ "issuer": tenant.namespace, "period": 30 }));
    let enforcement = format!("identity/mfa/login-enforcement/{}", tenant.namespace);
    let enforce = json!({ "mfa_method_ids": [method["data"]["method_id"]], "auth_method_accessors": [accessor] });
    vault("POST", &enforcement, enforce);
    let operator = tenant.operator(&FAST_RETRY);
    let account = json!({ "role": "app", "serviceAccount": "app", "audiences": ["vault"] });
    tenant.apply_all(&user(&tenant, "app", "jwt", &mount, account));
    let login = format!("auth/{mount}/login");
    tenant.wait_failure("app", "VaultClientConfigError", &[&login, "multi-factor authentication", "exempt"]);
    assert!(tenant.get("secret", "app").is_err(), "there is nothing to write");
    vault("DELETE", &enforcement, json!(null));
    tenant.wait_value("app", "password", GOOD);
    tenant.wait_synced("app");
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}
