//! VaultPKISecret: certificates of a real PKI engine.

mod crashes;
mod faults;
mod fixture;
mod fleet;
mod forms;
mod hostile;
mod renewals;
mod samples;

use serde_json::json;

use fixture::PkiFixture;
use test_support::audit::{Count, describe};
use test_support::{NO_ELECTION, Tenant, eventually};

#[test]
fn a_certificate_is_issued_once_and_kept() {
    let tenant = Tenant::new("pki-keep");
    let pki = PkiFixture::new(&tenant);
    let mut operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&tenant.workload("Deployment", "app"));
    tenant.apply(&pki.object("web", &["app"], json!({ "ttl": "24h" })));
    let first = pki.wait_synced("web");
    assert_eq!(pki.engine.serials().into_iter().collect::<Vec<_>>(), [first.serial.as_str()]);
    tenant.wait_event("web", "SecretSynced", "sync_reason=InitialSync");
    tenant.wait_condition("vaultpkisecret", "web", "CertificateValid", "True", &first.serial);
    let status = &tenant.get("vaultpkisecret", "web").expect("the object")["status"];
    assert_eq!((&status["valid"], &status["error"]), (&json!(true), &json!("")));
    assert_eq!(status["expiration"], first.certificate.not_after);
    let issued = "vso_certificates_issued_total{reason=\"InitialSync\"}";
    assert_eq!(operator.metric(issued), Some(1.0));

    // Nothing that the certificate depends on: nothing is issued, and what is asked for is done.
    let count = Count::start(&tenant);
    operator.terminate();
    let operator = tenant.operator(&NO_ELECTION);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let writes: Vec<_> = count.requests().into_iter().filter(|e| e.is_write() && e.name == "web").collect();
    assert!(writes.is_empty(), "{}", describe(&writes));
    pki.patch(
        "web",
        json!({ "spec": { "destination": { "labels": { "team": "blue" } }, "rolloutRestartTargets": [] } }),
    );
    eventually("the label", || match tenant.get("secret", "web").expect("it")["metadata"]["labels"]["team"].as_str() {
        Some("blue") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(pki.wait_synced("web").serial, first.serial);
    assert_eq!(count.logins(), 0, "no request to Vault was needed");
    assert_eq!(pki.engine.serials().len(), 1);
    assert_eq!(pki.restarts("app"), 0);

    // The spec asks for another one.
    pki.patch("web", json!({ "spec": { "altNames": ["b.example.com"] } }));
    let second = pki.wait_replaced("web", &first.serial);
    tenant.wait_event("web", "SecretRotated", "sync_reason=ResourceUpdated");
    assert_eq!(pki.engine.serials().len(), 2);
    assert!(!pki.engine.is_revoked(&first.serial), "it was not asked for");
    tenant.assert_nothing_leaked(&operator, &[second.key_line()]);
}

#[test]
fn another_client_that_changes_the_secret_gets_another_certificate() {
    let tenant = Tenant::new("pki-drift");
    let pki = PkiFixture::new(&tenant);
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&pki.object("web", &[], json!({ "ttl": "24h" })));
    let first = pki.wait_synced("web");
    tenant.kubectl(&["delete", "secret", "web"]).expect("it is deleted");
    let second = pki.wait_replaced("web", &first.serial);
    tenant.wait_event("web", "SecretRotated", "sync_reason=InexistentDestination");
    tenant
        .kubectl(&["patch", "secret", "web", "--type=merge", "-p", r#"{"data":{"tls.key":"YQ=="}}"#])
        .expect("it is edited");
    let third = pki.wait_replaced("web", &second.serial);
    tenant.wait_event("web", "SecretRotated", "sync_reason=SecretDataDrift");
    assert_eq!(pki.engine.serials().len(), 3, "{}", third.serial);
}

#[test]
fn a_secret_that_is_not_the_objects_is_compared_and_cleared() {
    let tenant = Tenant::new("pki-lent");
    let pki = PkiFixture::new(&tenant);
    let mut operator = tenant.operator(&NO_ELECTION);
    let mut object = pki.object("web", &[], json!({ "ttl": "24h", "clear": true }));
    object["spec"]["destination"] = json!({ "name": "web", "create": false });
    tenant.apply(&object);
    tenant.wait_condition("vaultpkisecret", "web", "SecretSynced", "False", "does not exist, and create=false");
    assert_eq!(pki.engine.serials().len(), 0, "nothing is issued for nowhere");
    let secret =
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "web" }, "data": { "old": "YQ==" } });
    tenant.apply(&secret);
    let first = pki.wait_synced("web");
    assert!(tenant.value("web", "old").is_err());
    for _ in 0..2 {
        operator.terminate();
        operator = tenant.operator(&NO_ELECTION);
        std::thread::sleep(std::time::Duration::from_secs(2));
    }
    assert_eq!(pki.wait_synced("web").serial, first.serial);
    assert_eq!(pki.engine.serials().len(), 1);
    tenant.kubectl(&["delete", "vaultpkisecret", "web", "--timeout=30s"]).expect("it goes");
    let left = tenant.get("secret", "web").expect("it is left");
    assert!(left["data"].as_object().is_none_or(|data| data.is_empty()), "it is empty");
}

#[test]
fn a_secret_that_has_no_certificate_of_the_object_is_not_cleared() {
    let tenant = Tenant::new("pki-unfilled");
    let pki = PkiFixture::new(&tenant);
    let _operator = tenant.operator(&NO_ELECTION);
    let secret = |name: &str| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "data": { "old": "YQ==" } });
    tenant.apply_all(&["theirs", "other", "filled"].map(secret));
    let object = |name: &str, role: &str| {
        let mut object = pki.object(name, &[], json!({ "ttl": "24h", "clear": true, "role": role }));
        object["spec"]["destination"] = json!({ "name": name, "create": false });
        object
    };
    tenant.apply(&object("theirs", "absent"));
    tenant.wait_condition("vaultpkisecret", "theirs", "SecretSynced", "False", "unknown role");
    tenant.apply(&object("filled", "app"));
    pki.wait_synced("filled");
    pki.patch("filled", json!({ "spec": { "role": "absent", "destination": { "name": "other" } } }));
    tenant.wait_condition("vaultpkisecret", "filled", "SecretSynced", "False", "unknown role");
    for name in ["theirs", "filled"] {
        tenant.kubectl(&["delete", "vaultpkisecret", name, "--timeout=30s"]).expect("it goes");
    }
    for name in ["theirs", "other"] {
        assert_eq!(tenant.value(name, "old").ok().as_deref(), Some("a"), "{name} was wiped");
    }
}
