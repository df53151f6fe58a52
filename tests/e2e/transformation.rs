//! What becomes of the data between Vault and the Secret.

use serde_json::{Value, json};

use test_support::Tenant;

/// The keys of a Secret.
fn keys(tenant: &Tenant<'_>, secret: &str) -> Vec<String> {
    let secret = tenant.get("secret", secret).expect("the Secret");
    secret["data"].as_object().map(|d| d.keys().cloned().collect()).unwrap_or_default()
}

/// A VaultStaticSecret that reads `source`, with this transformation.
fn transformed(tenant: &Tenant<'_>, name: &str, transformation: Value) -> Value {
    let destination = json!({ "transformation": transformation });
    tenant.static_secret(name, json!({ "path": tenant.path("source"), "destination": destination }))
}

#[test]
fn keys_are_filtered_by_the_object_and_by_what_it_refers_to() {
    let tenant = Tenant::new("filters");
    tenant.put("source", json!({ "user": "u", "password": "filters-hunter2", "internal-id": 7, "internal-note": "n" }));
    let operator = tenant.operator(&[]);
    let spec = json!({ "includes": ["user", "internal"], "excludes": ["note$"] });
    let shared = tenant.object("SecretTransformation", "shared", spec);
    tenant.apply_all(&[
        transformed(&tenant, "excludes", json!({ "excludes": ["^internal-"] })),
        transformed(&tenant, "includes", json!({ "includes": ["^(user|password)$"], "excludeRaw": true })),
        transformed(&tenant, "none", json!({ "excludes": [".*"] })),
        transformed(&tenant, "broken", json!({ "includes": ["(oops"] })),
        transformed(&tenant, "early", json!({ "transformationRefs": [{ "name": "shared" }] })),
    ]);
    ["excludes", "includes", "none"].iter().for_each(|name| tenant.wait_synced(name));
    assert_eq!(keys(&tenant, "excludes"), ["_raw", "password", "user"]);
    assert_eq!(keys(&tenant, "includes"), ["password", "user"]);
    assert_eq!(keys(&tenant, "none"), ["_raw"]);
    tenant.wait_failure("broken", "SecretDataBuilderError", &["Failed to build K8s secret data: ", "\"(oops\""]);
    assert!(tenant.get("secret", "broken").is_err());

    // One that appears later is used at once; the next look without a trigger would be minutes away.
    let missing = format!("SecretTransformation {}/shared does not exist", tenant.namespace);
    let text = "Failed setting up SecretTransformationOption: ";
    tenant.wait_failure("early", "TransformationError", &[text, &missing]);
    tenant.apply(&shared);
    tenant.wait_synced("early");
    assert_eq!(keys(&tenant, "early"), ["_raw", "internal-id", "user"]);
    tenant.wait_condition("secrettransformation", "shared", "Ready", "True", "");

    // And so is one that changes.
    let mut changed = shared.clone();
    changed["spec"]["includes"] = json!(["password"]);
    tenant.apply(&changed);
    tenant.wait_value("early", "password", "filters-hunter2");
    assert_eq!(keys(&tenant, "early"), ["_raw", "password"]);
    let version = tenant.version("secret", "early");
    tenant.kubectl(&["delete", "secrettransformation", "shared"]).expect("it is deleted");
    tenant.wait_failure("early", "TransformationError", &[text, &missing]);
    assert_eq!(tenant.version("secret", "early"), version, "what was good stays");
    tenant.assert_nothing_leaked(&operator, &["filters-hunter2"]);
}
