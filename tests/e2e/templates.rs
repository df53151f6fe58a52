//! Templates that fail, that are shared, and whose values are not made again for nothing.

use std::time::Duration;

use serde_json::{Value, json};
use vso::mac::MacKey;
use vso::render::SecretData;

use test_support::{FAST_RETRY, Tenant, eventually};

const SECRET: &str = "templates-hunter2";

/// A VaultStaticSecret that reads `source` and has this transformation.
fn transformed(tenant: &Tenant<'_>, name: &str, transformation: Value) -> Value {
    let destination = json!({ "transformation": transformation });
    tenant.static_secret(name, json!({ "path": tenant.path("source"), "destination": destination }))
}

fn one(text: &str) -> Value {
    json!({ "templates": { "out": { "text": text } } })
}

#[test]
fn a_template_that_fails_is_named_and_changes_nothing() {
    let tenant = Tenant::new("template-errors");
    tenant.put("source", json!({ "password": SECRET, "number": 7 }));
    let operator = tenant.operator(&FAST_RETRY);
    let here = tenant.namespace.clone();
    let named = |object: &str| format!("template: {here}/{object}/out:");
    tenant.apply_all(&[
        transformed(&tenant, "good", one("{{ .Secrets.password | upper }}")),
        transformed(&tenant, "unclosed", one("a\n{{ if .Secrets.password }}")),
        transformed(&tenant, "unknown", one("{{ .Secrets.password | env }}")),
        transformed(&tenant, "range", one("{{ range .Secrets.password }}{{ end }}")),
        transformed(&tenant, "call", one("\n\n{{ index .Secrets.password \"x\" }}")),
        transformed(&tenant, "raw", json!({ "templates": { "_raw": { "text": "x" } } })),
        transformed(&tenant, "endless", one("{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}")),
    ]);
    tenant.wait_value("good", "out", &SECRET.to_uppercase());
    let build = "Failed to build K8s secret data: ";
    for (object, texts) in [
        ("unclosed", [&format!("{build}parse error: {}2: ", named("unclosed")), "unexpected EOF"]),
        ("unknown", [&format!("{build}parse error: {}1: ", named("unknown")), "function \"env\" not defined"]),
        ("range", [build, &named("range")]),
        ("call", [build, &format!("{}3", named("call"))]),
        ("raw", [build, "key '_raw' not permitted in Secret data"]),
        ("endless", [build, &named("endless")]),
    ] {
        tenant.wait_failure(object, "SecretDataBuilderError", &texts);
        assert!(tenant.get("secret", object).is_err(), "{object}");
    }

    // What was good stays, and what is put right is used.
    let version = tenant.version("secret", "good");
    tenant.apply(&transformed(&tenant, "good", one("{{ .Secrets.password | fail }}")));
    tenant.wait_failure("good", "SecretDataBuilderError", &[&named("good")]);
    assert_eq!(tenant.version("secret", "good"), version);
    tenant.apply(&transformed(&tenant, "good", one("{{ .Secrets.password | len }}")));
    tenant.wait_value("good", "out", &SECRET.len().to_string());
    tenant.assert_nothing_leaked(&operator, &[SECRET, &SECRET.to_uppercase()]);
}

#[test]
fn a_shared_template_is_checked_once_and_followed_by_all() {
    let tenant = Tenant::new("template-shared");
    tenant.put("source", json!({ "password": SECRET }));
    let operator = tenant.operator(&FAST_RETRY);
    let shared = |text: &str| {
        let templates = json!({ "templates": { "out": { "text": text } } });
        tenant.object("SecretTransformation", "shared", templates)
    };
    tenant.apply(&shared("{{ .Secrets.password }"));
    let error = format!("template: {}/shared/out:1:", tenant.namespace);
    let texts = ["Failed to validate configured templates: ", error.as_str()];
    tenant.wait_not_ready("secrettransformation", "shared", "InvalidConfiguration", &texts);
    tenant.wait_event("shared", "InvalidConfiguration", texts[0]);
    let refs = json!({ "transformationRefs": [{ "name": "shared" }] });
    tenant.apply_all(&[transformed(&tenant, "a", refs.clone()), transformed(&tenant, "b", refs)]);
    let invalid = format!("{}/shared is in an invalid state, ", tenant.namespace);
    for name in ["a", "b"] {
        tenant.wait_failure(name, "TransformationError", &["Failed setting up SecretTransformationOption: ", &invalid]);
    }

    tenant.apply(&shared("{{ .Secrets.password | b64enc }}"));
    for name in ["a", "b"] {
        tenant.wait_value(name, "out", "dGVtcGxhdGVzLWh1bnRlcjI=");
        tenant.wait_synced(name);
    }
    let status = tenant.get("secrettransformation", "shared").expect("it exists")["status"].clone();
    assert_eq!((&status["valid"], &status["error"]), (&json!(true), &json!("")));
    tenant.apply(&shared("{{ .Secrets.password | len }}"));
    for name in ["a", "b"] {
        tenant.wait_value(name, "out", &SECRET.len().to_string());
    }
    // At rest nothing is written.
    let versions = || {
        ["secrettransformation/shared", "vaultstaticsecret/a", "secret/a"].map(|object| {
            let (kind, name) = object.split_once('/').expect("a slash");
            tenant.version(kind, name)
        })
    };
    tenant.wait_synced("a");
    let before = versions();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(versions(), before);
    tenant.assert_nothing_leaked(&operator, &[SECRET]);
}

#[test]
fn a_salt_is_not_drawn_again_for_nothing() {
    let tenant = Tenant::new("template-salt");
    tenant.put("source", json!({ "password": SECRET }));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&[]);
    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    let mut salted = transformed(&tenant, "salted", one("{{ htpasswd \"app\" .Secrets.password }}"));
    salted["spec"]["rolloutRestartTargets"] = targets;
    tenant.apply(&salted);
    tenant.wait_synced("salted");
    let first = tenant.value("salted", "out").expect("a value");
    assert!(first.starts_with("app:$2"), "{first}");
    let version = tenant.version("secret", "salted");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(tenant.version("secret", "salted"), version, "written again by a refresh");

    // Nor by the next process.
    operator.terminate();
    let _operator = tenant.operator(&[]);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(tenant.version("secret", "salted"), version, "written again after a restart");

    // Labels of the Secret are put right without another salt.
    salted["spec"]["destination"]["labels"] = json!({ "team": "blue" });
    tenant.apply(&salted);
    eventually("the label", || match tenant.get("secret", "salted") {
        Ok(secret) if secret["metadata"]["labels"]["team"] == "blue" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(tenant.value("salted", "out").expect("a value"), first);
    assert_eq!(tenant.generation("deployment", "app"), 1, "restarted for nothing");

    // Another password is another hash.
    tenant.put("source", json!({ "password": "other" }));
    eventually("a new hash", || match tenant.value("salted", "out") {
        Ok(value) if value != first => Ok(()),
        other => Err(format!("{other:?}")),
    });
    eventually("one restart", || match tenant.generation("deployment", "app") {
        2 => Ok(()),
        other => Err(format!("{other}")),
    });
}

/// Upstream takes a template that prints nothing for a key without a value, and records a MAC over that.
#[test]
fn a_template_that_prints_nothing_is_taken_over_without_a_write() {
    let tenant = Tenant::new("template-empty");
    tenant.put("source", json!({ "password": SECRET }));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let mut operator = tenant.operator(&[]);
    let mut empty = transformed(&tenant, "empty", one("{{ if .Secrets.none }}x{{ end }}"));
    empty["spec"]["destination"]["transformation"]["excludeRaw"] = json!(true);
    empty["spec"]["rolloutRestartTargets"] = json!([{ "kind": "Deployment", "name": "app" }]);
    tenant.apply(&empty);
    tenant.wait_synced("empty");
    assert_eq!(tenant.value("empty", "out").expect("a value"), "");
    operator.terminate();

    use base64::Engine as _;
    let home = ["get", "secret", "vso-cc-storage-hmac-key", "--output=jsonpath={.data.key}", "--namespace"];
    let key = tenant.cluster.kubectl(&[&home[..], &[&tenant.operator_namespace]].concat()).expect("the key");
    let key =
        MacKey::new(&base64::engine::general_purpose::STANDARD.decode(key.trim()).expect("base64")).expect("a key");
    let data: SecretData =
        [("out", ""), ("password", SECRET)].map(|(k, v)| (k.to_owned(), v.as_bytes().to_vec())).into_iter().collect();
    let mac = key.mac_of_content(data.as_map(), &["out".to_owned()], |_| true);
    let patch = json!({ "status": { "secretMAC": mac } }).to_string();
    tenant
        .kubectl(&["patch", "vaultstaticsecret", "empty", "--subresource=status", "--type=merge", "--patch", &patch])
        .expect("a status");
    tenant
        .kubectl(&["annotate", "secret", "empty", "vso.secrets.hashicorp.com/secret-mac-"])
        .expect("a Secret as upstream leaves it");

    let before = (tenant.version("secret", "empty"), tenant.version("vaultstaticsecret", "empty"));
    let _operator = tenant.operator(&[]);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!((tenant.version("secret", "empty"), tenant.version("vaultstaticsecret", "empty")), before);
    assert_eq!(tenant.generation("deployment", "app"), 1, "restarted for nothing");
}
