//! Input that cannot work is told where it is, costs no lease, and harms nothing that works.

use std::time::Duration;

use serde_json::{Value, json};

use test_support::audit::{Count, describe};
use test_support::kube_client::encoded;
use test_support::{FAST_RETRY, NO_ELECTION, Tenant, eventually};

use super::Fixture;

/// Puts a Secret there that is not the operator's.
fn foreign_secret(rig: &Fixture<'_>, name: &str, members: Value) {
    let mut secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": rig.tenant.namespace },
        "data": encoded(&[("password", "theirs")]),
    });
    json_patch::merge(&mut secret, &members);
    rig.restarts.api.create(&secret).expect("a Secret");
}

#[test]
fn what_vault_does_not_have_is_named() {
    let tenant = Tenant::new("dynabsent");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    let mount = &rig.database.mount;
    let absent = format!("{mount}-absent");
    tenant.allow_leases(&[mount, &absent]);
    let _operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&rig.object("role", &rig.database.creds("late"), json!({})));
    tenant.apply(&rig.object("mount", &format!("{absent}/creds/app"), json!({})));
    tenant.apply(&rig.object("denied", "elsewhere/creds/app", json!({})));
    tenant.apply(&rig.object("written", &rig.database.creds("late"), json!({ "params": { "ttl": "1h" } })));
    tenant.apply(&rig.object("read", &format!("{mount}/rotate-role/late"), json!({})));
    rig.wait_condition("role", "SecretSynced", "False", "unknown role: late");
    rig.wait_condition("written", "SecretSynced", "False", "leave out spec.params");
    rig.wait_condition("read", "SecretSynced", "False", "spec.requestHTTPMethod: PUT");
    rig.wait_condition("mount", "SecretSynced", "False", "spec.mount");
    rig.wait_condition("denied", "SecretSynced", "False", "permission denied on path \"elsewhere/creds/app\"");
    for name in ["role", "mount", "denied"] {
        let status = rig.get(name)["status"].clone();
        assert!(status["lastGeneration"].as_i64().unwrap_or(0) == 0, "{status}");
        rig.wait_condition(name, "Ready", "False", "");
        tenant.wait_event(name, "VaultClientError", "Failed to read Vault secret: ");
        assert!(tenant.get("secret", name).is_err(), "{name} has a Secret");
    }
    rig.database.role("late", 600, 3600);
    rig.wait_lease("role", "");
    rig.wait_synced("role");
}

#[test]
fn the_schema_refuses_what_can_never_work() {
    let tenant = Tenant::new("dynschema");
    let object = |spec: Value| {
        let mut full =
            json!({ "vaultAuthRef": "app", "mount": "db", "path": "creds/app", "destination": { "name": "x" } });
        json_patch::merge(&mut full, &spec);
        tenant.object("VaultDynamicSecret", "never", full)
    };
    for (spec, field) in [
        (json!({ "renewalPercent": 91 }), "spec.renewalPercent"),
        (json!({ "renewalPercent": -1 }), "spec.renewalPercent"),
        (json!({ "requestHTTPMethod": "PATCH" }), "spec.requestHTTPMethod"),
        (json!({ "refreshAfter": "soon" }), "spec.refreshAfter"),
        (json!({ "mount": null }), "spec.mount"),
        (json!({ "path": null }), "spec.path"),
        (json!({ "params": { "ttl": 5 } }), "spec.params"),
        (json!({ "destination": { "type": "kubernetes.io/service-account-token" } }), "spec.destination.type"),
    ] {
        let error = tenant.try_apply(&object(spec.clone())).expect_err("it is refused");
        assert!(format!("{error:#}").contains(field), "{spec}: {error:#}");
    }
}

#[test]
fn answers_without_a_lease_are_asked_for_again_when_told_so() {
    let tenant = Tenant::new("noleases");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.restarts.put_kv1("free", "one");
    tenant.put("kv2", json!({ "password": "one" }));
    tenant.apply(&tenant.workload("Deployment", "app"));
    let operator = tenant.operator(&NO_ELECTION);
    let kv1 = format!("kv1/{}", tenant.path("free"));
    let targets = json!([{ "kind": "Deployment", "name": "app" }]);
    tenant.apply(&rig.object("kv1", &kv1, json!({ "refreshAfter": "1s", "rolloutRestartTargets": targets })));
    let kv2 = format!("secret/data/{}", tenant.path("kv2"));
    tenant.apply(&rig.object("never", &kv2, json!({})));
    tenant.apply(&rig.object("params", &kv2, json!({ "requestHTTPMethod": "GET", "params": { "a": "b" } })));
    tenant.wait_value("kv1", "password", "one");
    rig.wait_condition("never", "SecretSynced", "True", "spec.refreshAfter is not set");
    // Parameters are sent with PUT, and this role may only read.
    rig.wait_condition("params", "SecretSynced", "False", "permission denied");
    rig.wait_synced("kv1");

    let (count, marker) = (Count::start(&tenant), rig.marker());
    std::thread::sleep(Duration::from_secs(5));
    let requests: Vec<_> = count.requests().into_iter().filter(|event| event.name == "kv1").collect();
    assert!(requests.is_empty(), "nothing has changed: {}", describe(&requests));
    let reads = rig.requests(marker, &kv1);
    assert!((2..=9).contains(&reads), "{reads} reads in 5 s");
    assert_eq!(rig.requests(marker, &kv2.replace("kv2", "never")), 0);
    rig.restarts.put_kv1("free", "two");
    tenant.wait_value("kv1", "password", "two");
    rig.wait_restarts("app", 1);
    rig.restarts.patch("Secret", "kv1", json!({ "data": encoded(&[("password", "wrong")]) }));
    tenant.wait_value("kv1", "password", "two");
    rig.restarts.several_refreshes();
    assert_eq!(rig.restarts.restarts("app"), 1);
    let log = operator.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_destination_that_cannot_be_written_costs_no_lease() {
    let tenant = Tenant::new("dyndestination");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    for role in ["foreign", "fixed", "absent"] {
        rig.database.role(role, 600, 3600);
    }
    foreign_secret(&rig, "foreign", json!({}));
    let _operator = tenant.operator(&FAST_RETRY);
    tenant.apply(&rig.object("foreign", &rig.database.creds("foreign"), json!({})));
    tenant.apply(&rig.object("absent", &rig.database.creds("absent"), json!({ "destination": { "create": false } })));
    tenant.apply(&rig.object("fixed", &rig.database.creds("fixed"), json!({})));
    rig.wait_condition("foreign", "SecretSynced", "False", "");
    rig.wait_condition("absent", "SecretSynced", "False", "does not exist");
    let first = rig.wait_lease("fixed", "");
    rig.wait_synced("fixed");
    rig.restarts.patch("Secret", "fixed", json!({ "immutable": true }));
    std::thread::sleep(Duration::from_secs(2));
    let marker = rig.marker();
    rig.restarts.patch("VaultDynamicSecret", "fixed", json!({ "spec": { "renewalPercent": 50 } }));
    rig.wait_condition("fixed", "SecretSynced", "False", "immutable");
    rig.restarts.several_refreshes();
    assert_eq!(rig.requests(marker, &rig.database.creds("fixed")), 0);
    assert_eq!(rig.database.lease_ids("fixed"), std::slice::from_ref(&first));
    for role in ["foreign", "absent"] {
        assert_eq!(rig.database.lease_ids(role), Vec::<String>::new(), "{role}");
    }
    assert_eq!(tenant.value("foreign", "password").expect("a value"), "theirs");

    rig.restarts.api.delete("Secret", &tenant.namespace, "foreign").expect("it is deleted");
    foreign_secret(&rig, "absent", json!({}));
    rig.restarts.api.delete("Secret", &tenant.namespace, "fixed").expect("it is deleted");
    for name in ["foreign", "absent", "fixed"] {
        rig.wait_lease(name, &first);
        rig.wait_synced(name);
        assert!(rig.works(name), "{name}");
        assert!(tenant.value("absent", "password").is_ok());
    }
}

#[test]
fn an_answer_without_data_is_an_error_and_no_secret() {
    let tenant = Tenant::new("noanswer");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    let mount = format!("kv1/{}", tenant.namespace);
    tenant.allow(&[&format!(r#"path "{mount}/*" {{ capabilities = ["read", "create", "update"] }}"#)]);
    let _operator = tenant.operator(&FAST_RETRY);
    let path = format!("{mount}/written");
    // A write to a KV path is answered with 204.
    tenant.apply(&rig.object("db", &path, json!({ "params": { "a": "b" } })));
    rig.wait_condition("db", "SecretSynced", "False", &format!("nil response from vault for path {path}"));
    assert!(tenant.get("secret", "db").is_err());
}

#[test]
fn a_template_that_fails_on_the_answer_leaks_no_lease() {
    let tenant = Tenant::new("dyntemplate");
    let Some(rig) = Fixture::new(tenant.cluster, &tenant) else { return };
    rig.database.role("app", 600, 3600);
    let _operator = tenant.operator(&FAST_RETRY);
    let object = |text: &str| {
        let templates = json!({ "dsn": { "text": text } });
        rig.object(
            "db",
            &rig.database.creds("app"),
            json!({ "destination": { "transformation": { "templates": templates } } }),
        )
    };
    tenant.apply(&object(r#"{{ required "no port" (get .Secrets "port") }}"#));
    rig.wait_condition("db", "SecretSynced", "False", "");
    assert!(tenant.get("secret", "db").is_err());
    let no_lease = || match rig.database.lease_ids("app") {
        ids if ids.is_empty() => Ok(()),
        ids => Err(format!("{ids:?}")),
    };
    eventually("no lease", no_lease);
    tenant.apply(&object(r#"{{ get .Secrets "username" }}@db"#));
    rig.wait_lease("db", "");
    rig.wait_synced("db");
    let username = tenant.value("db", "username").expect("a user");
    assert_eq!(tenant.value("db", "dsn").expect("a value"), format!("{username}@db"));
    assert_eq!(rig.database.lease_ids("app").len(), 1);
}
