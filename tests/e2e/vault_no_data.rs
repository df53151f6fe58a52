//! What Vault can answer instead of data. Each is told apart, and none of them takes anything from a Secret that was
//! good.

use serde_json::{Value, json};

use test_support::{FAST_RETRY, Tenant, eventually};

const GOOD: &str = "answers-hunter2";

/// A request to Vault with the root token.
fn vault(tenant: &Tenant<'_>, method: &str, path: &str, body: Value) {
    tenant.cluster.vault(method, path, Some(body)).expect("Vault does it");
}

#[test]
fn no_answer_without_data_empties_a_secret_or_restarts_anybody() {
    let tenant = Tenant::new("answers");
    let names = ["soft", "purged", "empty", "forbidden", "gone"];
    for name in names {
        tenant.put(name, json!({ "password": GOOD }));
    }
    tenant.apply(&tenant.workload("Deployment", "app"));
    let operator = tenant.operator(&[&FAST_RETRY[..], &["--rollout-window=0"]].concat());
    let targets = json!({ "rolloutRestartTargets": [{ "kind": "Deployment", "name": "app" }] });
    tenant.apply_all(&names.map(|name| tenant.static_secret(name, targets.clone())));
    let versions = names.map(|name| {
        tenant.wait_synced(name);
        tenant.version("secret", name)
    });

    let path = |name: &str| tenant.path(name);
    vault(&tenant, "DELETE", &format!("secret/data/{}", path("soft")), json!(null));
    vault(&tenant, "PUT", &format!("secret/destroy/{}", path("purged")), json!({ "versions": [1] }));
    tenant.put("empty", json!({}));
    vault(&tenant, "DELETE", &format!("secret/metadata/{}", path("gone")), json!(null));
    let deny = format!("path \"secret/data/{}\" {{ capabilities = [\"deny\"] }}", path("forbidden"));
    let policy = format!("sys/policies/acl/{}", tenant.namespace);
    let allow = tenant.cluster.vault("GET", &policy, None).expect("a policy")["data"]["policy"].clone();
    vault(&tenant, "PUT", &policy, json!({ "policy": format!("{}\n{deny}", allow.as_str().expect("text")) }));

    let data = |name: &str| format!("secret/data/{}", path(name));
    tenant.wait_failure("soft", "VaultClientError", &[&data("soft"), "is deleted (version 1)", "keeps what it has"]);
    tenant.wait_failure("purged", "VaultClientError", &[&data("purged"), "is destroyed (version 1)"]);
    tenant.wait_failure("empty", "VaultClientError", &[&data("empty"), "no keys"]);
    tenant.wait_failure("gone", "VaultClientError", &["empty response from Vault", &data("gone")]);
    tenant.wait_failure("forbidden", "VaultClientError", &["permission denied", &data("forbidden")]);
    for (name, version) in names.iter().zip(&versions) {
        assert_eq!(tenant.version("secret", name), *version, "{name}: the Secret is not touched");
    }

    vault(&tenant, "PUT", &policy, json!({ "policy": allow }));
    for name in ["soft", "purged", "empty", "gone"] {
        tenant.put(name, json!({ "password": GOOD, "again": "yes" }));
        tenant.wait_value(name, "again", "yes");
    }
    for name in names {
        tenant.wait_synced(name);
        assert_eq!(tenant.value(name, "password").unwrap(), GOOD);
    }
    assert_eq!(tenant.version("secret", "forbidden"), versions[3], "nothing had changed in Vault");
    // One restart for each of the four that changed; the outages caused none.
    eventually("four restarts", || match tenant.generation("deployment", "app") {
        5 => Ok(()),
        other => Err(format!("generation {other}")),
    });
    tenant.assert_nothing_leaked(&operator, &[GOOD]);
}

#[test]
fn a_wrong_path_engine_or_content_is_named() {
    let tenant = Tenant::new("contents");
    let huge = "x".repeat(600_000);
    tenant.put("v2", json!({ "password": GOOD }));
    tenant.put("bad-key", json!({ "pass/word": GOOD }));
    tenant.put("raw", json!({ "_raw": GOOD }));
    tenant.put("huge", json!({ "a": huge, "b": huge, "password": GOOD }));
    tenant.put("a%20b/c%25d%3Fe%23f", json!({ "password": GOOD }));
    vault(&tenant, "POST", &format!("kv1/{}", tenant.path("v1")), json!({ "password": GOOD }));
    vault(
        &tenant,
        "POST",
        &format!("secret/data/elsewhere-{}", tenant.path("x")),
        json!({ "data": { "password": GOOD } }),
    );
    let operator = tenant.operator(&[&FAST_RETRY[..], &["--rollout-window=0"]].concat());
    let objects = [
        ("wrong-path", json!({})),
        ("wrong-mount", json!({ "mount": "nothing", "path": tenant.path("v2") })),
        ("no-permission", json!({ "path": format!("elsewhere-{}", tenant.path("x")) })),
        ("data-path", json!({ "path": format!("data/{}", tenant.path("v2")) })),
        ("mount-path", json!({ "path": format!("secret/{}", tenant.path("v2")) })),
        ("no-version", json!({ "path": tenant.path("v2"), "version": 7 })),
        ("v1-as-v2", json!({ "mount": "kv1", "path": tenant.path("v1") })),
        ("v2-as-v1", json!({ "type": "kv-v1", "path": tenant.path("v2") })),
        ("bad-key", json!({})),
        ("raw", json!({})),
        ("huge", json!({})),
        ("dots", json!({ "path": format!("{}/../other", tenant.namespace) })),
        ("odd-path", json!({ "path": tenant.path("a b/c%d?e#f") })),
    ];
    let objects: Vec<_> = objects.iter().map(|(name, spec)| tenant.static_secret(name, spec.clone())).collect();
    tenant.apply_all(&objects);

    let data = |name: &str| format!("secret/data/{}", tenant.path(name));
    tenant.wait_synced("odd-path");
    tenant.wait_failure("wrong-path", "VaultClientError", &["empty response from Vault", &data("wrong-path")]);
    tenant.wait_failure("wrong-mount", "VaultClientError", &[&format!("nothing/data/{}", tenant.path("v2"))]);
    tenant.wait_failure("no-permission", "VaultClientError", &["permission denied", "secret/data/elsewhere-"]);
    let superfluous = "spec.path begins with data/, which the operator adds for kv-v2";
    tenant.wait_failure("data-path", "VaultClientError", &["permission denied", superfluous]);
    let superfluous = "spec.path begins with spec.mount, which stands before it anyway: take it out";
    tenant.wait_failure("mount-path", "VaultClientError", &["permission denied", superfluous]);
    tenant.wait_failure("no-version", "VaultClientError", &["empty response from Vault", &data("v2"), "no version 7"]);
    tenant.wait_failure("v1-as-v2", "VaultClientError", &[&format!("kv1/data/{}", tenant.path("v1")), "spec.type"]);
    let texts = [&format!("secret/{}", tenant.path("v2")), "versioned", "spec.type has to be kv-v2"];
    tenant.wait_failure("v2-as-v1", "VaultClientError", &texts);
    tenant.wait_failure(
        "bad-key",
        "SecretSyncError",
        &["Failed to update k8s secret: ", "\"pass/word\"", "only letters, digits"],
    );
    tenant.wait_failure(
        "raw",
        "SecretDataBuilderError",
        &["Failed to build K8s secret data: ", "'_raw' not permitted"],
    );
    tenant.wait_failure(
        "huge",
        "SecretSyncError",
        &["Failed to update k8s secret: ", "bytes long together, a Secret holds 1048576"],
    );
    tenant.wait_failure("dots", "VaultClientError", &["must not contain"]);
    for object in &objects {
        let name = object["metadata"]["name"].as_str().expect("a name");
        assert_eq!(tenant.get("secret", name).is_ok(), name == "odd-path", "{name}");
    }

    // Put right in Vault, or in the object.
    tenant.put("wrong-path", json!({ "password": GOOD }));
    tenant.put("bad-key", json!({ "password": GOOD }));
    tenant.put("huge", json!({ "password": GOOD }));
    let right = [
        ("v1-as-v2", json!({ "mount": "kv1", "type": "kv-v1", "path": tenant.path("v1") })),
        ("v2-as-v1", json!({ "path": tenant.path("v2") })),
    ];
    tenant.apply_all(&right.map(|(name, spec)| tenant.static_secret(name, spec)));
    for name in ["wrong-path", "bad-key", "huge", "v1-as-v2", "v2-as-v1"] {
        tenant.wait_value(name, "password", GOOD);
        tenant.wait_synced(name);
    }
    tenant.assert_nothing_leaked(&operator, &[GOOD, &huge[..64]]);
}
