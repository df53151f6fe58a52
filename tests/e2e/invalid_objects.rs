//! Objects that cannot work: the API server refuses them, or the operator says in a condition and an event what is
//! wrong and with which object, touches nothing, and goes on by itself when it is put right.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::refusal::Refusal;
use test_support::{Operator, Tenant, eventually};

/// One tenant and one operator for the tests of this file; each test has objects of its own.
fn set_up() -> (&'static Tenant<'static>, &'static Operator) {
    static GROUND: OnceLock<(Tenant<'static>, Operator)> = OnceLock::new();
    let (tenant, operator) = GROUND.get_or_init(|| {
        let tenant = Tenant::new("refused");
        tenant.put("source", json!({ "password": SECRET }));
        let operator = tenant.operator(&[]);
        (tenant, operator)
    });
    (tenant, operator)
}

const SECRET: &str = "refused-hunter2";
/// VSO's beginning of the message, for whatever denies a login.
const NO_LOGIN: &str = "Failed to get Vault auth login: ";

/// A VaultStaticSecret that would work but for what is in `spec`.
fn broken(tenant: &Tenant<'_>, name: &str, spec: Value) -> Value {
    let mut object = tenant.static_secret(name, json!({ "path": tenant.path("source") }));
    json_patch::merge(&mut object["spec"], &spec);
    object
}

fn in_operator_namespace(tenant: &Tenant<'_>, mut object: Value) -> Value {
    object["metadata"]["namespace"] = json!(tenant.operator_namespace);
    object
}

#[test]
fn a_login_that_appears_later_is_used_at_once() {
    let (tenant, operator) = set_up();
    tenant.apply(&broken(tenant, "early", json!({ "vaultAuthRef": "late" })));
    let auth = format!("VaultAuth {}/late", tenant.namespace);
    tenant.wait_failure("early", "VaultClientConfigError", &[NO_LOGIN, &auth, "does not exist"]);
    tenant.wait_event("early", "Unrecoverable", "Failed to get cacheKey from obj, err=VaultAuth ");
    assert!(tenant.get("secret", "early").is_err());

    tenant.apply(&tenant.auth("late", json!({ "vaultConnectionRef": "later" })));
    let connection = format!("VaultConnection {}/later", tenant.namespace);
    tenant.wait_not_ready("vaultauth", "late", "InvalidConfiguration", &[&connection, "does not exist"]);
    tenant.wait_failure("early", "VaultClientConfigError", &[NO_LOGIN, &connection, "does not exist"]);

    // The next look without a trigger would be minutes away.
    let address = tenant.cluster.vault_addr();
    tenant.apply(&tenant.object("VaultConnection", "later", json!({ "address": address })));
    tenant.wait_value("early", "password", SECRET);
    tenant.wait_synced("early");
    tenant.wait_condition("vaultauth", "late", "Ready", "True", "");

    tenant.kubectl(&["delete", "vaultconnection", "later"]).expect("it is deleted");
    tenant.wait_failure("early", "VaultClientConfigError", &[NO_LOGIN, &connection, "does not exist"]);
    assert_eq!(tenant.value("early", "password").unwrap(), SECRET);
    tenant.apply(&tenant.object("VaultConnection", "later", json!({ "address": address })));
    tenant.wait_synced("early");
    tenant.assert_nothing_leaked(operator, &[SECRET]);
}

#[test]
fn nobody_uses_what_its_owner_did_not_allow() {
    let (tenant, operator) = set_up();
    let (here, there) = (&tenant.namespace, &tenant.operator_namespace);
    let connection = |name: &str, allowed: &[&str]| {
        let spec = json!({ "address": tenant.cluster.vault_addr(), "allowedNamespaces": allowed });
        in_operator_namespace(tenant, tenant.object("VaultConnection", name, spec))
    };
    let login = |allowed: &[&str]| {
        let members = json!({ "vaultConnectionRef": format!("{here}/vault"), "allowedNamespaces": allowed });
        in_operator_namespace(tenant, tenant.auth("theirs", members))
    };
    tenant.apply_all(&[
        login(&["elsewhere", "*"]),
        connection("closed", &["elsewhere"]),
        tenant.auth("via-closed", json!({ "vaultConnectionRef": format!("{there}/closed") })),
        tenant.auth("via-unwatched", json!({ "vaultConnectionRef": "kube-system/vault" })),
        broken(tenant, "foreign-login", json!({ "vaultAuthRef": format!("{there}/theirs") })),
        broken(tenant, "foreign-connection", json!({ "vaultAuthRef": "via-closed" })),
        broken(tenant, "unwatched-connection", json!({ "vaultAuthRef": "via-unwatched" })),
        broken(tenant, "unwatched-login", json!({ "vaultAuthRef": "kube-system/app" })),
    ]);
    let target = format!("target namespace \"{here}\"");
    let owner = format!("kind=VaultAuth obj={there}/theirs");
    tenant.wait_failure(
        "foreign-login",
        "VaultClientConfigError",
        &[NO_LOGIN, &target, &owner, "allowedNamespaces=[\"elsewhere\", \"*\"]"],
    );
    let owner = format!("kind=VaultConnection obj={there}/closed");
    tenant.wait_failure(
        "foreign-connection",
        "VaultClientConfigError",
        &[NO_LOGIN, &owner, &format!("VaultAuth {here}/via-closed")],
    );
    tenant.wait_not_ready("vaultauth", "via-closed", "NotAllowed", &[&owner]);
    let text = "in a namespace that this operator does not watch";
    tenant.wait_failure(
        "unwatched-connection",
        "VaultClientConfigError",
        &[NO_LOGIN, "VaultConnection kube-system/vault", text],
    );
    tenant.wait_not_ready("vaultauth", "via-unwatched", "NotAllowed", &[text]);
    tenant.wait_failure("unwatched-login", "VaultClientConfigError", &[NO_LOGIN, "VaultAuth kube-system/app", text]);
    for name in ["foreign-login", "foreign-connection", "unwatched-connection", "unwatched-login"] {
        assert!(tenant.get("secret", name).is_err(), "{name} has a Secret");
    }

    tenant.apply_all(&[login(&["elsewhere", here]), connection("closed", &[here])]);
    for name in ["foreign-login", "foreign-connection"] {
        tenant.wait_value(name, "password", SECRET);
        tenant.wait_synced(name);
    }
    tenant.wait_condition("vaultauth", "via-closed", "Ready", "True", "");

    // Taken back: no further read, and what is there stays.
    tenant.apply(&login(&[]));
    tenant.wait_failure("foreign-login", "VaultClientConfigError", &[NO_LOGIN, &target]);
    assert_eq!(tenant.value("foreign-login", "password").unwrap(), SECRET);
    tenant.assert_nothing_leaked(operator, &[SECRET]);
}

#[test]
fn references_that_cannot_be_understood_are_named() {
    let (tenant, _) = set_up();
    tenant.apply_all(&[
        tenant.auth("slashes", json!({ "vaultConnectionRef": "a/b/c" })),
        broken(tenant, "two-slashes", json!({ "vaultAuthRef": "a/b/c" })),
        broken(tenant, "empty-half", json!({ "vaultAuthRef": "/app" })),
        broken(tenant, "via-slashes", json!({ "vaultAuthRef": "slashes" })),
    ]);
    tenant.wait_failure("two-slashes", "VaultClientConfigError", &[NO_LOGIN, "vaultAuthRef", "invalid name: a/b/c"]);
    tenant.wait_failure("empty-half", "VaultClientConfigError", &[NO_LOGIN, "vaultAuthRef", "invalid name: /app"]);
    tenant.wait_failure(
        "via-slashes",
        "VaultClientConfigError",
        &[NO_LOGIN, "vaultConnectionRef", "invalid name: a/b/c"],
    );
    tenant.wait_not_ready("vaultauth", "slashes", "InvalidResourceRef", &["invalid name: a/b/c"]);

    tenant.apply(&broken(tenant, "two-slashes", json!({ "vaultAuthRef": format!("{}/app", tenant.namespace) })));
    tenant.wait_synced("two-slashes");
}

#[test]
fn the_api_server_refuses_what_can_never_work() {
    let (tenant, _) = set_up();
    for (spec, field) in [
        (json!({ "refreshAfter": "bogus" }), "spec.refreshAfter"),
        (json!({ "refreshAfter": "-5s" }), "spec.refreshAfter"),
        (json!({ "type": "kv-v3" }), "spec.type"),
        (json!({ "version": -1 }), "spec.version"),
        (json!({ "mount": null }), "spec.mount"),
        (json!({ "destination": { "type": "kubernetes.io/service-account-token" } }), "spec.destination.type"),
        (
            json!({ "rolloutRestartTargets": [{ "kind": "CronJob", "name": "x" }] }),
            "spec.rolloutRestartTargets[0].kind",
        ),
    ] {
        let error = tenant.try_apply(&broken(tenant, "never", spec.clone())).expect_err("it is refused");
        assert!(format!("{error:#}").contains(field), "{spec}: {error:#}");
    }
    let error = tenant.try_apply(&tenant.auth("never", json!({ "method": "userpass" }))).expect_err("it is refused");
    assert!(format!("{error:#}").contains("spec.method"), "{error:#}");
}

#[test]
fn a_status_that_is_refused_is_an_event() {
    let (tenant, _) = set_up();
    let object = |annotations: Value| {
        let mut object = tenant.static_secret("no-status", json!({ "path": tenant.path("source") }));
        object["spec"]["destination"]["annotations"] = annotations;
        object
    };
    tenant.apply(&object(json!({})));
    tenant.wait_synced("no-status");
    let probe = ["patch", "vaultstaticsecret", "no-status", "--subresource=status", "--type=merge", "--dry-run=server"];
    let probe = [&probe[..], &[r#"--patch={"status":{"lastGeneration":99}}"#]].concat();
    let status = ("secrets.hashicorp.com", "vaultstaticsecrets/status");
    let refusal = Refusal::of_operation(tenant, status, "UPDATE", "object.metadata.name != 'no-status'", &probe);
    // Another generation is another status.
    tenant.apply(&object(json!({ "stamp": "two" })));
    eventually("an event of the refused status", || {
        let events = tenant.list("events");
        let found =
            events.iter().find(|e| e["involvedObject"]["name"] == "no-status" && e["reason"] == "StatusUpdateError");
        let message = found.and_then(|e| e["message"].as_str()).unwrap_or_default();
        let fits = message.starts_with("Failed to update the resource's status, err=") && message.contains("not now");
        if fits { Ok(()) } else { Err(format!("{message:?}")) }
    });
    let secret = tenant.get("secret", "no-status").expect("the Secret");
    assert_eq!(secret["metadata"]["annotations"]["stamp"], "two");
    drop(refusal);
    tenant.wait_synced("no-status");
}
