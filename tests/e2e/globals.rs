//! VaultAuthGlobal: what it supplies, who may use it, and that its changes are followed at once.

use serde_json::{Value, json};

use test_support::{Tenant, eventually};

const GOOD: &str = "globals-hunter2";
/// VSO's beginning of the message, for whatever denies a login.
const NO_LOGIN: &str = "Failed to get Vault auth login: ";

fn global(tenant: &Tenant<'_>, name: &str, members: Value) -> Value {
    let mut spec = json!({
        "vaultConnectionRef": format!("{}/vault", tenant.namespace),
        "defaultAuthMethod": "kubernetes",
        "defaultMount": "kubernetes",
        "kubernetes": { "role": tenant.namespace, "serviceAccount": "app", "audiences": ["vault"] },
    });
    json_patch::merge(&mut spec, &members);
    tenant.object("VaultAuthGlobal", name, spec)
}

fn in_operator_namespace(tenant: &Tenant<'_>, mut object: Value) -> Value {
    object["metadata"]["namespace"] = json!(tenant.operator_namespace);
    object
}

/// A VaultAuth with this reference, and a VaultStaticSecret of the same name that uses it. It is read once an hour:
/// whatever happens to it sooner was triggered.
fn user(tenant: &Tenant<'_>, name: &str, reference: Value, members: Value) -> [Value; 2] {
    let mut spec = json!({ "vaultAuthGlobalRef": reference });
    json_patch::merge(&mut spec, &members);
    let secret = json!({ "vaultAuthRef": name, "path": tenant.path("source"), "refreshAfter": "1h" });
    [tenant.object("VaultAuth", name, spec), tenant.static_secret(name, secret)]
}

fn delete(tenant: &Tenant<'_>, namespace: &str, name: &str) {
    tenant.cluster.kubectl(&["--namespace", namespace, "delete", "vaultauthglobal", name]).expect("it is deleted");
}

#[test]
fn logins_take_what_they_lack_from_a_global_and_follow_it() {
    let tenant = Tenant::new("globals");
    let here = tenant.namespace.clone();
    tenant.put("source", json!({ "password": GOOD }));
    let operator = tenant.operator(&[]);
    tenant.apply_all(&user(&tenant, "plain", json!({ "name": "shared" }), json!({})));
    tenant.apply_all(&user(&tenant, "own", json!({ "name": "shared" }), json!({ "kubernetes": { "role": "nobody" } })));
    let missing = format!("VaultAuthGlobal {here}/shared, named by {here}/plain, does not exist");
    tenant.wait_failure("plain", "VaultClientConfigError", &[&missing]);
    tenant.wait_not_ready("vaultauth", "plain", "InvalidConfiguration", &[&missing]);
    tenant.wait_condition("vaultauth", "plain", "Available", "False", &missing);

    tenant.apply(&global(&tenant, "shared", json!({})));
    tenant.wait_value("plain", "password", GOOD);
    tenant.wait_synced("plain");
    tenant.wait_failure("own", "VaultClientConfigError", &["invalid role name \"nobody\""]);
    let shared = tenant.get("vaultauthglobal", "shared").expect("it is there");
    let text = format!(
        "VaultAuthGlobal successfully merged, key={here}/shared, uid={}, generation=1",
        shared["metadata"]["uid"].as_str().expect("a UID")
    );
    let condition = tenant.wait_condition("vaultauth", "plain", "Available", "True", &text);
    assert_eq!(condition["reason"], "VaultAuthGlobalRef");
    tenant.wait_condition("vaultauth", "plain", "Ready", "True", "");
    let hash = |name: &str| tenant.get("vaultauth", name).expect("it is there")["status"]["specHash"].clone();
    let before = hash("plain");

    // Another role: another login, which fails; the data stays.
    tenant.apply(&global(&tenant, "shared", json!({ "kubernetes": { "role": "nobody-else" } })));
    tenant.wait_failure("plain", "VaultClientConfigError", &["invalid role name \"nobody-else\""]);
    tenant.wait_condition("vaultauth", "plain", "Available", "True", "generation=2");
    assert_ne!(hash("plain"), before);
    assert_eq!(tenant.value("plain", "password").unwrap(), GOOD);
    tenant.apply(&global(&tenant, "shared", json!({})));
    tenant.wait_synced("plain");
    assert_eq!(hash("plain"), before, "the same settings");

    delete(&tenant, &here, "shared");
    tenant.wait_failure("plain", "VaultClientConfigError", &[&missing]);
    assert_eq!(tenant.value("plain", "password").unwrap(), GOOD);
    // A connection that comes later, and that only the global names.
    let connection = json!({ "vaultConnectionRef": "later" });
    tenant.apply(&global(&tenant, "shared", connection));
    tenant.wait_failure("plain", "VaultClientConfigError", &[&format!("VaultConnection {here}/later")]);
    tenant.apply(&tenant.object("VaultConnection", "later", json!({ "address": tenant.cluster.vault_addr() })));
    tenant.wait_synced("plain");
    tenant.wait_condition("vaultauth", "plain", "Ready", "True", "");

    // Without the reference, nothing is left of it.
    tenant.apply(&tenant.auth("plain", json!({})));
    eventually("the condition is gone", || match tenant.condition("vaultauth", "plain", "Available") {
        Ok(condition) => Err(condition.to_string()),
        Err(_) => Ok(()),
    });
    tenant.wait_synced("plain");
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn the_default_global_is_found_where_it_is() {
    let tenant = Tenant::new("default-global");
    let (here, there) = (tenant.namespace.clone(), tenant.operator_namespace.clone());
    tenant.put("source", json!({ "password": GOOD }));
    let operator = tenant.operator(&[]);
    tenant.apply_all(&user(&tenant, "app-login", json!({ "allowDefault": true }), json!({})));
    let missing = format!("default vault auth not found in namespaces=[{here:?}, {there:?}]: global=true");
    tenant.wait_failure("app-login", "VaultClientConfigError", &[&missing]);

    tenant.apply(&in_operator_namespace(&tenant, global(&tenant, "default", json!({}))));
    tenant.wait_value("app-login", "password", GOOD);
    tenant.wait_synced("app-login");
    tenant.wait_condition("vaultauth", "app-login", "Available", "True", &format!("key={there}/default"));

    // One in the own namespace comes first.
    tenant.apply(&global(&tenant, "default", json!({ "kubernetes": { "role": "nobody" } })));
    tenant.wait_failure("app-login", "VaultClientConfigError", &["invalid role name \"nobody\""]);
    delete(&tenant, &here, "default");
    tenant.wait_synced("app-login");
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn nobody_uses_a_global_that_is_not_for_them() {
    let tenant = Tenant::new("closed-global");
    let (here, there) = (tenant.namespace.clone(), tenant.operator_namespace.clone());
    tenant.put("source", json!({ "password": GOOD }));
    // The empty list of options: a default has to be named.
    let operator = tenant.operator(&["--global-vault-auth-options="]);
    let open = |allowed: &[&str]| json!({ "allowedNamespaces": allowed });
    for name in ["default", "team"] {
        tenant.apply(&in_operator_namespace(&tenant, global(&tenant, name, open(&["elsewhere", "*"]))));
    }
    let named = |name: &str| json!({ "name": name, "namespace": there });
    tenant.apply_all(&user(&tenant, "by-team", named("team"), json!({})));
    tenant.apply_all(&user(&tenant, "by-default-name", named("default"), json!({})));
    tenant.apply_all(&user(&tenant, "by-default", json!({ "allowDefault": true }), json!({})));
    tenant.apply_all(&user(&tenant, "by-nothing", json!({}), json!({})));
    tenant.apply_all(&user(&tenant, "unwatched", json!({ "name": "g", "namespace": "kube-system" }), json!({})));
    let target = format!("target namespace \"{here}\" is not allowed by kind=VaultAuthGlobal obj={there}");
    for (name, global) in [("by-team", "team"), ("by-default-name", "default")] {
        let text = format!("{target}/{global}, allowedNamespaces=[\"elsewhere\", \"*\"]");
        tenant.wait_failure(name, "VaultClientConfigError", &[NO_LOGIN, &text]);
        tenant.wait_not_ready("vaultauth", name, "NotAllowed", &[&text]);
        tenant.wait_condition("vaultauth", name, "Available", "False", &text);
    }
    let off = format!("default vault auth is not allowed by kind=VaultAuth obj={here}/by-default: global=false");
    tenant.wait_failure("by-default", "VaultClientConfigError", &[NO_LOGIN, &off]);
    tenant.wait_failure("by-nothing", "VaultClientConfigError", &[NO_LOGIN, "invalid objectKey, empty name"]);
    tenant.wait_failure(
        "unwatched",
        "VaultClientConfigError",
        &[NO_LOGIN, "in a namespace that this operator does not watch"],
    );

    tenant.apply(&in_operator_namespace(&tenant, global(&tenant, "team", open(&[&here]))));
    // Empty, as the chart leaves it: the default is for all.
    tenant.apply(&in_operator_namespace(&tenant, global(&tenant, "default", open(&[]))));
    for name in ["by-team", "by-default-name"] {
        tenant.wait_value(name, "password", GOOD);
        tenant.wait_synced(name);
    }
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn headers_and_parameters_reach_the_login_as_the_strategy_says() {
    let tenant = Tenant::new("merged");
    tenant.put("source", json!({ "password": GOOD }));
    let names = ["x-general", "x-method", "x-own"].map(|name| format!("{name}-{}", tenant.namespace));
    for name in &names {
        let path = format!("sys/config/auditing/request-headers/{name}");
        tenant.cluster.vault("POST", &path, Some(json!({ "hmac": false }))).expect("the header is audited");
    }
    let _operator = tenant.operator(&[]);
    let header = |i: usize| json!({ names[i].as_str(): "sent" });
    let block = json!({ "headers": header(1), "params": { "of": "method" } });
    tenant.apply(&global(&tenant, "shared", json!({ "headers": header(0), "kubernetes": block })));
    for (rule, own, expected) in [
        ("union", header(2), [true, true, true]),
        ("replace", header(2), [false, false, true]),
        ("replace", json!({}), [false, true, false]),
        ("none", header(2), [false, false, true]),
    ] {
        let name = format!("{rule}-{}", own.as_object().map_or(0, serde_json::Map::len));
        let reference = json!({ "name": "shared", "mergeStrategy": { "headers": rule } });
        let marker = tenant.cluster.vault_audit_marker().expect("the audit log");
        // A parameter of its own keeps the logins apart.
        let own = json!({ "headers": own, "params": { "test": name } });
        tenant.apply_all(&user(&tenant, &name, reference, own));
        tenant.wait_synced(&name);
        let (entries, _) = tenant.cluster.vault_audit_since(marker).expect("the audit log");
        let with =
            |entry: &&testenv::VaultAuditEntry, header: &String| !entry.raw["request"]["headers"][header].is_null();
        let logins: Vec<_> = entries
            .iter()
            .filter(|e| e.kind == "request" && e.path == "auth/kubernetes/login")
            .filter(|e| names.iter().any(|name| with(e, name)))
            .collect();
        assert_eq!(logins.len(), 1, "{name}");
        let sent: Vec<bool> = names.iter().map(|header| with(&logins[0], header)).collect();
        assert_eq!(sent, expected, "{name}");
        // The reads carry none of them.
        let reads = entries.iter().filter(|e| e.path.contains(&tenant.path("source")));
        assert!(reads.filter(|e| names.iter().any(|name| with(e, name))).count() == 0, "{name}");
    }
}
