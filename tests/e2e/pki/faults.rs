//! Bad input and faults: what is wrong is said, nothing is issued for nothing, and all recover by themselves.

use std::time::Duration;

use serde_json::{Value, json};
use testenv::{Options, VaultStorage};

use super::fixture::PkiFixture;
use test_support::engines::read_and_write;
use test_support::{FAST_RETRY, NO_ELECTION, Tenant, eventually, own};

const KIND: &str = "vaultpkisecret";

#[test]
fn what_cannot_be_issued_is_said_in_vaults_words() {
    let tenant = Tenant::new("pki-bad");
    let pki = PkiFixture::new(&tenant);
    let no_engine = format!("kv-{}", tenant.namespace);
    tenant.cluster.vault("POST", &format!("sys/mounts/{no_engine}"), Some(json!({ "type": "kv" }))).expect("a mount");
    tenant.allow(&[&read_and_write(&pki.engine.mount), &read_and_write(&no_engine), &read_and_write("absent")]);
    pki.engine.root("short", "2s");
    pki.engine.make_default("root");
    std::thread::sleep(Duration::from_secs(3));
    let operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    let keystore = json!({ "passwordSecretRef": { "name": "password", "key": "password" } });
    let cases: [(&str, Value, &str, &str); 9] = [
        ("domain", json!({ "commonName": "web.example.org" }), "VaultClientError", "not allowed by this role"),
        ("role", json!({ "role": "absent" }), "VaultClientError", "unknown role"),
        ("path", json!({ "role": "../roles/app" }), "InvalidConfiguration", "must be a name, not a path"),
        ("issuer", json!({ "issuerRef": "absent" }), "VaultClientError", "issuer"),
        ("ended", json!({ "issuerRef": "short" }), "VaultClientError", "Failed to issue certificate from Vault"),
        ("mount", json!({ "mount": "absent" }), "VaultClientError", "absent"),
        ("engine", json!({ "mount": no_engine }), "VaultClientError", "not an answer of a PKI engine"),
        ("keystore", json!({ "keystores": { "jks": keystore } }), "SecretDataBuilderError", "password does not exist"),
        (
            "template",
            json!({ "destination": { "transformation": { "templates": { "tls.crt": { "text": "x" } } } } }),
            "SecretSyncError",
            "no template makes tls.key",
        ),
    ];
    for (name, spec, ..) in &cases {
        tenant.apply(&pki.object(name, &[], spec.clone()));
    }
    for (name, _, reason, text) in &cases {
        tenant.wait_condition_of(KIND, name, ("SecretSynced", "False", Some(reason)), &[text]);
        tenant.wait_condition(KIND, name, "Ready", "False", "");
        tenant.wait_event(name, reason, text);
        let status = &tenant.get(KIND, name).expect("the object")["status"];
        assert_eq!((&status["valid"], &status["error"]), (&json!(false), &json!(reason)), "{name}");
        assert!(tenant.get("secret", name).is_err(), "{name}");
    }
    assert_eq!(pki.engine.serials().len(), 0);

    // What is made good is noticed.
    let password = json!({ "kind": "Secret", "apiVersion": "v1", "metadata": { "name": "password" },
        "stringData": { "password": "changeit" } });
    tenant.apply(&password);
    pki.wait_synced("keystore");
    pki.patch("domain", json!({ "spec": { "commonName": "web.example.com" } }));
    let held = pki.wait_synced("domain");
    tenant.wait_condition(KIND, "domain", "Ready", "True", "");
    assert_eq!(pki.engine.serials().len(), 2);
    tenant.assert_nothing_leaked(&operator, &[held.key_line(), "changeit"]);
}

#[test]
fn a_longer_time_than_the_role_allows_is_what_the_certificate_says() {
    let tenant = Tenant::new("pki-capped");
    let pki = PkiFixture::new(&tenant);
    pki.engine.role("short", json!({ "max_ttl": "1h" }));
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&pki.object("web", &[], json!({ "role": "short", "ttl": "700h", "expiryOffset": "30m" })));
    let held = pki.wait_synced("web");
    let left = held.certificate.not_after - chrono::Utc::now().timestamp();
    assert!((3000..=3600).contains(&left), "{left}");
    let renewal = tenant.get(KIND, "web").expect("the object")["status"]["renewal"].as_i64().expect("a time");
    assert!((1800..=1800 + 181).contains(&(held.certificate.not_after - renewal)), "{renewal}");
}

#[test]
fn a_secret_that_cannot_be_written_costs_one_certificate() {
    let tenant = Tenant::new("pki-refused");
    let pki = PkiFixture::new(&tenant);
    let args = [&NO_ELECTION[..], &FAST_RETRY[..]].concat();
    let mut operator = tenant.operator(&args);
    let spec = json!({ "ttl": "24h", "revoke": true, "destination": { "labels": { "team": "not a label!" } } });
    for name in ["kept", "crashed"] {
        tenant.apply(&pki.object(name, &[], spec.clone()));
        tenant.wait_condition(KIND, name, "SecretSynced", "False", "metadata.labels");
    }
    // Some tries later.
    std::thread::sleep(Duration::from_secs(8));
    let first = pki.engine.serials();
    assert_eq!(first.len(), 2);
    let pending = |name: &str| {
        let status = tenant.get(KIND, name).expect("the object")["status"].take();
        status["pending"]["serialNumber"].as_str().unwrap_or_else(|| panic!("{status}")).to_owned()
    };
    let (kept, crashed) = (pending("kept"), pending("crashed"));
    let mend = |name: &str| {
        pki.patch(name, json!({ "spec": { "destination": { "labels": { "team": "blue" } } } }));
        pki.wait_synced(name).serial
    };
    assert_eq!(mend("kept"), kept, "the certificate that is there already");
    // Its key was in the memory of this process.
    operator.kill();
    let _operator = tenant.operator(&args);
    let second = mend("crashed");
    assert_ne!(second, crashed);
    eventually("the lost one is revoked", || if pki.engine.is_revoked(&crashed) { Ok(()) } else { Err("not yet") });
    assert_eq!(pki.engine.serials().len(), 3);
    assert!(!pki.engine.is_revoked(&kept) && !pki.engine.is_revoked(&second));
}

#[test]
fn a_keystore_that_cannot_be_made_costs_one_certificate() {
    let tenant = Tenant::new("pki-keystore");
    let pki = PkiFixture::new(&tenant);
    let _operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    let password = |text: &str| {
        tenant.apply(&json!({ "kind": "Secret", "apiVersion": "v1", "metadata": { "name": "password" },
            "stringData": { "password": text } }));
    };
    // PKCS#12 has no form for a password beyond the basic plane.
    password("pass\u{1F511}word");
    let reference = json!({ "name": "password", "key": "password" });
    let keystores = json!({ "pkcs12": { "passwordSecretRef": reference } });
    let spec = json!({ "ttl": "24h", "revoke": true, "keystores": keystores, "destination": { "type": null } });
    for name in ["web", "gone"] {
        tenant.apply(&pki.object(name, &[], spec.clone()));
        tenant.wait_condition(KIND, name, "SecretSynced", "False", "keystore.p12 cannot be made");
    }
    // Some tries later.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(pki.engine.serials().len(), 2);
    tenant.kubectl(&["delete", KIND, "gone", "--timeout=60s"]).expect("it goes");
    password("password");
    let held = pki.wait_synced("web");
    let serials = pki.engine.serials();
    assert!(serials.len() == 2 && serials.contains(&held.serial), "the certificate that is there already");
    for serial in serials {
        assert_eq!(pki.engine.is_revoked(&serial), serial != held.serial, "{serial}");
    }
}

#[test]
fn a_destination_that_may_not_be_written_costs_none() {
    let tenant = Tenant::new("pki-foreign");
    let pki = PkiFixture::new(&tenant);
    let _operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    let secret = |name: &str, immutable: bool| {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "immutable": immutable,
            "data": { "a": "YQ==" } })
    };
    tenant.apply_all(&[secret("foreign", false), secret("immutable", true)]);
    tenant.apply(&pki.object("foreign", &[], json!({ "destination": { "type": null } })));
    let mut object = pki.object("immutable", &[], json!({}));
    object["spec"]["destination"] = json!({ "name": "immutable", "create": false });
    tenant.apply(&object);
    tenant.wait_condition(KIND, "foreign", "SecretSynced", "False", "not the owner of the destination Secret");
    tenant.wait_condition(KIND, "immutable", "SecretSynced", "False", "immutable");
    assert_eq!(pki.engine.serials().len(), 0);
}

#[test]
fn a_revocation_that_fails_is_tried_again_and_nothing_is_issued_for_it() {
    let tenant = Tenant::new("pki-revoke");
    let pki = PkiFixture::new(&tenant);
    let issue_only = format!("path \"{}/issue/*\" {{ capabilities = [\"update\"] }}", pki.engine.mount);
    tenant.allow(&[&issue_only]);
    let operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&tenant.workload("Deployment", "app"));
    tenant.apply(&pki.object("web", &["app"], json!({ "ttl": "24h", "revoke": true })));
    let first = pki.wait_synced("web").serial;
    pki.patch("web", json!({ "spec": { "altNames": ["b.example.com"] } }));
    let second = pki.wait_replaced("web", &first).serial;
    tenant.wait_event("web", "CertificateRevocationError", &first);
    tenant.wait_condition(KIND, "web", "SecretSynced", "True", "1 replaced certificates are not revoked yet");
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!((pki.held("web").expect("it").serial, pki.restarts("app")), (second, 1));
    assert_eq!(pki.engine.serials().len(), 2);
    tenant.allow(&[&read_and_write(&pki.engine.mount)]);
    eventually("it is revoked", || if pki.engine.is_revoked(&first) { Ok(()) } else { Err("not yet") });
    tenant.wait_event("web", "CertificateRevoked", &first);
    assert!(operator.metric("vso_certificate_revocations_total{result=\"success\"}") == Some(1.0));
}

#[test]
fn a_deletion_does_not_wait_for_a_login_that_is_gone() {
    let tenant = Tenant::new("pki-gone");
    let pki = PkiFixture::new(&tenant);
    let mut operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&pki.object("web", &[], json!({ "ttl": "24h", "revoke": true })));
    let serial = pki.wait_synced("web").serial;
    tenant.kubectl(&["delete", "vaultauth", "app"]).expect("it is deleted");
    // Another process has no token of it.
    operator.kill();
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.kubectl(&["delete", KIND, "web", "--timeout=100s"]).expect("it goes");
    tenant.wait_event("web", "CertificateRevocationError", "");
    assert!(!pki.engine.is_revoked(&serial));
}

#[test]
fn a_vault_that_is_sealed_in_the_window_is_followed_by_a_new_certificate() {
    let cluster = own(Options { vault: VaultStorage::Raft, ..Options::default() });
    let tenant = Tenant::on(&cluster, "pki-sealed");
    let pki = PkiFixture::new(&tenant);
    tenant.apply(&tenant.workload("Deployment", "app"));
    let operator = tenant.operator(&[&NO_ELECTION[..], &FAST_RETRY[..]].concat());
    tenant.apply(&pki.object("web", &["app"], json!({ "ttl": "25s" })));
    let first = pki.wait_synced("web");
    cluster.vault_seal().expect("it is sealed");
    tenant.wait_condition_of(KIND, "web", ("CertificateValid", "True", Some("CertificateRenewalOverdue")), &[]);
    let deadline = operator.metrics();
    let name = "vso_secret_renewal_deadline_timestamp_seconds{controller=\"vaultpkisecret\"";
    assert!(deadline.lines().any(|line| line.starts_with(name)), "{deadline}");
    tenant.wait_condition_of(KIND, "web", ("CertificateValid", "False", Some("CertificateExpired")), &[&first.serial]);
    tenant.wait_event("web", "CertificateExpired", &first.serial);
    assert_eq!(pki.held("web").expect("nothing is wiped").serial, first.serial);
    cluster.vault_unseal().expect("it is unsealed");
    pki.wait_replaced("web", &first.serial);
    tenant.wait_condition_of(KIND, "web", ("CertificateValid", "True", Some("CertificateIssued")), &[]);
    assert_eq!(pki.engine.serials().len(), 2);
    eventually("a restart", || match pki.restarts("app") {
        1 => Ok(()),
        other => Err(other.to_string()),
    });
}
