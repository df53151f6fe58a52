//! What is wrong is told where it is wrong, and nothing that was good is lost.

use serde_json::{Value, json};

use super::{SERVED, external_secret, object, row, store, vault_provider, wait_failure, wait_synced};
use test_support::{Tenant, eventually};

#[test]
fn what_is_missing_is_named_and_found_when_it_appears() {
    let tenant = Tenant::new("es-missing");
    tenant.put("db", json!({ "password": "right", "text": "plain" }));
    let operator = tenant.operator(SERVED);
    let get = "could not get secret data from provider: ";
    let data = |value: Value| json!({ "data": [value] });
    let whole = |key: &str| json!({ "secretKey": "k", "remoteRef": { "key": key } });
    tenant.apply(&external_secret(&tenant, "no-store", data(row(&tenant, "k", "db", "password"))));
    wait_failure(&tenant, "no-store", &[get, "could not get SecretStore \"vault\"", &tenant.namespace]);
    tenant.apply(&store(&tenant));
    wait_synced(&tenant, "no-store");

    let of = |secret: &str, property: &str| data(row(&tenant, "k", secret, property));
    let cluster_store = json!({ "secretStoreRef": { "name": "nowhere", "kind": "ClusterSecretStore" } });
    let mut in_cluster_store = of("db", "password");
    json_patch::merge(&mut in_cluster_store, &cluster_store);
    tenant.apply_all(&[
        external_secret(&tenant, "no-path", of("nothing", "password")),
        external_secret(&tenant, "no-property", of("db", "pass")),
        external_secret(&tenant, "no-json", of("db", "text.a")),
        external_secret(&tenant, "denied", data(whole("forbidden/x"))),
        external_secret(&tenant, "outside", data(whole("../../sys/policies/acl/root"))),
        external_secret(&tenant, "no-cluster-store", in_cluster_store),
    ]);
    let first = "error processing spec.data[0] (key: ";
    for (name, texts) in [
        ("no-path", [get, first, "nothing is stored"]),
        ("no-property", [get, first, "cannot find secret data for key: \"pass\""]),
        ("no-json", [get, first, "cannot find secret data for key: \"text.a\""]),
        ("denied", [get, first, "permission denied"]),
        ("outside", [get, first, "has an empty segment, or one of dots"]),
        ("no-cluster-store", [get, "could not get ClusterSecretStore \"nowhere\"", ""]),
    ] {
        wait_failure(&tenant, name, &texts);
        assert!(tenant.get("secret", name).is_err(), "{name}");
    }
    // What was good stays while its store is wrong, and what is put right is used.
    let version = tenant.version("secret", "no-store");
    let wrong = vault_provider(&tenant, json!({ "auth": { "kubernetes": { "role": "nobody" } } }));
    tenant.apply(&object(&tenant, "SecretStore", "vault", wrong));
    tenant.wait_not_ready("secretstore", "vault", "InvalidProviderConfig", &["unable to create client: "]);
    wait_failure(&tenant, "no-store", &[get, first]);
    assert_eq!(tenant.version("secret", "no-store"), version);
    tenant.put("nothing", json!({ "password": "there" }));
    tenant.apply(&store(&tenant));
    tenant.wait_value("no-path", "k", "there");
    wait_synced(&tenant, "no-store");
    tenant.assert_nothing_leaked(&operator, &["plain"]);
}

#[test]
fn stores_that_cannot_work_say_why() {
    let tenant = Tenant::new("es-stores");
    let _operator = tenant.operator(SERVED);
    let provider = |vault: Value| vault_provider(&tenant, vault);
    let stores = [
        (
            "other",
            json!({ "provider": { "aws": { "service": "SecretsManager", "region": "x" } } }),
            "provider \"aws\" is not served",
        ),
        ("no-url", provider(json!({ "server": "vault:8200" })), "is no URL"),
        ("no-auth", provider(json!({ "auth": { "kubernetes": null } })), "no valid auth method specified"),
        (
            "no-secret",
            provider(json!({ "auth": { "kubernetes": null, "tokenSecretRef": { "name": "gone", "key": "token" } } })),
            "gone",
        ),
        (
            "elsewhere",
            provider(
                json!({ "auth": { "kubernetes": null, "tokenSecretRef": { "name": "t", "key": "k", "namespace": "kube-system" } } }),
            ),
            "only a ClusterSecretStore may name another",
        ),
        ("no-pem", provider(json!({ "caBundle": "bm8=" })), "failed to parse certificates"),
        (
            "interval",
            {
                let mut spec = provider(json!({}));
                spec["refreshInterval"] = json!("soon");
                spec
            },
            "invalid refreshInterval",
        ),
        ("unreachable", provider(json!({ "server": "http://127.0.0.1:1" })), "cannot be reached"),
    ];
    for (name, spec, _) in &stores {
        tenant.apply(&object(&tenant, "SecretStore", name, spec.clone()));
    }
    let mut foreign = provider(json!({}));
    foreign["controller"] = json!("someone-else");
    tenant.apply(&object(&tenant, "SecretStore", "foreign", foreign));
    let of_foreign = json!({ "secretStoreRef": { "name": "foreign" }, "data": [row(&tenant, "k", "db", "p")] });
    tenant.apply(&external_secret(&tenant, "of-foreign", of_foreign));
    for (name, _, text) in &stores {
        tenant.wait_not_ready("secretstore", name, "InvalidProviderConfig", &["unable to ", text]);
    }
    for (kind, name) in [("secretstore", "foreign"), ("externalsecret", "of-foreign")] {
        assert!(tenant.get(kind, name).unwrap()["status"].is_null(), "{name} is another operator's");
    }
    let two = json!({ "provider": { "aws": {}, "gcpsm": {} } });
    eventually("two providers are refused", || {
        match tenant.try_apply(&object(&tenant, "SecretStore", "two", two.clone())) {
            Ok(_) => Err("it was taken"),
            Err(_) => Ok(()),
        }
    });
}

#[test]
fn a_label_of_a_template_is_not_quoted_when_kubernetes_refuses_it() {
    let tenant = Tenant::new("es-label");
    tenant.put("db", json!({ "password": "no label!", "user": "fits" }));
    let operator = tenant.operator(SERVED);
    tenant.apply(&store(&tenant));
    let label = |property: &str| {
        json!({
            "data": [row(&tenant, "k", "db", property)],
            "target": { "template": { "metadata": { "labels": { "of-value": "{{ .k }}" } }, "data": { "k": "x" } } },
        })
    };
    tenant.apply(&external_secret(&tenant, "label", label("password")));
    wait_failure(&tenant, "label", &["could not update secret: ", "of-value"]);
    tenant.assert_nothing_leaked(&operator, &["no label!"]);
    tenant.apply(&external_secret(&tenant, "label", label("user")));
    wait_synced(&tenant, "label");
    assert_eq!(tenant.get("secret", "label").unwrap()["metadata"]["labels"]["of-value"], "fits");
}

#[test]
fn events_come_from_the_components_of_eso() {
    let tenant = Tenant::new("es-events");
    tenant.put("db", json!({ "password": "one" }));
    let _operator = tenant.operator(SERVED);
    let push =
        json!({ "secretStoreRefs": [{ "name": "gone" }], "selector": { "secret": { "name": "synced" } }, "data": [] });
    let mut push = object(&tenant, "PushSecret", "push", push);
    push["apiVersion"] = json!("external-secrets.io/v1alpha1");
    let synced = external_secret(&tenant, "synced", json!({ "data": [row(&tenant, "k", "db", "password")] }));
    tenant.apply_all(&[store(&tenant), synced, push]);
    for (object, reason, component) in [
        ("synced", "Created", "external-secrets"),
        ("vault", "Valid", "secret-store"),
        ("push", "Errored", "pushsecret"),
    ] {
        tenant.wait_event(object, reason, "");
        let events = tenant.list("events");
        let about = events.iter().find(|e| e["involvedObject"]["name"] == object && e["reason"] == reason).unwrap();
        assert_eq!(about["source"]["component"], component);
        assert_eq!(about["reportingComponent"], component);
    }
}
