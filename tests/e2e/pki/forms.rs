//! The forms of certificates: chains, formats, keystores, templates.

use std::process::Command;

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use serde_json::json;

use super::fixture::PkiFixture;
use test_support::{NO_ELECTION, Tenant};
use vso::pki::Certificate;

const PASSWORD: &str = "change-it";

#[test]
fn a_new_certificate_of_the_issuer_is_followed() {
    let tenant = Tenant::new("pki-issuer");
    let pki = PkiFixture::new(&tenant);
    let one = pki.engine.intermediate("one", "root", "1000h");
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&pki.object("followed", &[], json!({ "issuerRefreshAfter": "2s" })));
    tenant.apply(&pki.object("named", &[], json!({ "issuerRefreshAfter": "2s", "issuerRef": "one/issue" })));
    tenant.apply(&pki.object("not-followed", &[], json!({})));
    let chain = |name: &str| {
        let text = tenant.value(name, "tls.crt").expect("a chain");
        Certificate::all_from_text(&text).expect("certificates")
    };
    let authority = |pem: &str| Certificate::all_from_text(pem).expect("a certificate").remove(0);
    let names = ["followed", "named", "not-followed"];
    let serials = names.map(|name| pki.wait_synced(name).serial);
    for name in names {
        let chain = chain(name);
        assert_eq!(chain[1..], [authority(&one)], "{name}: the root is in no chain");
        assert!(chain[1].issued(&chain[0]));
        let issuer = tenant.value(name, "ca_chain").expect("a chain");
        assert_eq!(issuer.trim(), one.trim());
    }
    let two = pki.engine.intermediate("two", "root", "1000h");
    pki.wait_replaced("followed", &serials[0]);
    tenant.wait_event("followed", "SecretRotated", "sync_reason=IssuerChanged");
    assert_eq!(chain("followed")[1..], [authority(&two)]);
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(pki.wait_synced("named").serial, serials[1]);
    assert_eq!(pki.wait_synced("not-followed").serial, serials[2]);
    assert_eq!(pki.engine.serials().len(), 4);
}

#[test]
fn a_certificate_of_a_new_issuer_is_not_replaced_for_it() {
    let tenant = Tenant::new("pki-issued");
    let pki = PkiFixture::new(&tenant);
    pki.engine.intermediate("one", "root", "1000h");
    let _operator = tenant.operator(&NO_ELECTION);
    tenant.apply(&pki.object("web", &[], json!({ "issuerRefreshAfter": "15s" })));
    let first = pki.wait_synced("web").serial;
    let two = pki.engine.intermediate("two", "root", "1000h");
    pki.patch("web", json!({ "spec": { "altNames": ["b.example.com"] } }));
    let second = pki.wait_replaced("web", &first).serial;
    assert_eq!(tenant.value("web", "ca_chain").expect("a chain").trim(), two.trim());
    // The next look at the issuer is over then.
    std::thread::sleep(std::time::Duration::from_secs(20));
    assert_eq!(pki.wait_synced("web").serial, second);
    assert_eq!(pki.engine.serials().len(), 2);
}

#[test]
fn each_format_of_vault_becomes_a_certificate_and_its_key() {
    let tenant = Tenant::new("pki-formats");
    let pki = PkiFixture::new(&tenant);
    pki.engine.intermediate("one", "root", "1000h");
    for (key, bits) in [("rsa", 2048), ("ec", 384), ("ed25519", 0)] {
        pki.engine.role(key, json!({ "key_type": key, "key_bits": bits }));
    }
    let _operator = tenant.operator(&NO_ELECTION);
    let mut names = vec![];
    for key in ["rsa", "ec", "ed25519"] {
        for format in ["pem", "der", "pem_bundle"] {
            for private in ["", "pkcs8"] {
                let name = format!("{key}-{format}-{private}x").replace('_', "-");
                let spec = json!({ "role": key, "format": format, "privateKeyFormat": private });
                tenant.apply(&pki.object(&name, &[], spec));
                names.push((name, format));
            }
        }
    }
    for (name, format) in &names {
        // That key and certificate are a pair is looked at here.
        let held = pki.wait_synced(name);
        let chain = Certificate::all_from_text(&tenant.value(name, "tls.crt").expect("a chain")).expect("certificates");
        assert_eq!((chain.len(), &chain[0].serial), (2, &held.serial), "{name}");
        assert!(!tenant.value(name, "tls.crt").expect("it").contains("PRIVATE KEY"), "{name}");
        assert!(tenant.value(name, "tls.key").expect("a key").starts_with("-----BEGIN "), "{name}");
        let as_issued = tenant.value(name, "certificate").expect("a certificate");
        assert_eq!(as_issued.contains("-----BEGIN "), *format != "der", "{name}");
    }
}

#[test]
fn keystores_stay_as_they_are_until_the_next_certificate() {
    let tenant = Tenant::new("pki-keystores");
    let pki = PkiFixture::new(&tenant);
    pki.engine.intermediate("one", "root", "1000h");
    let password = |text: &str| {
        tenant.apply(&json!({ "kind": "Secret", "apiVersion": "v1", "metadata": { "name": "password" },
            "stringData": { "password": text } }));
    };
    password(PASSWORD);
    let mut operator = tenant.operator(&NO_ELECTION);
    let reference = json!({ "name": "password", "key": "password" });
    let keystores = json!({ "pkcs12": { "passwordSecretRef": reference },
        "jks": { "passwordSecretRef": reference, "alias": "app" } });
    let spec = json!({ "keystores": keystores, "destination": { "type": null } });
    tenant.apply(&pki.object("web", &[], spec));
    let first = pki.wait_synced("web");
    let all = || ["keystore.p12", "truststore.p12", "keystore.jks", "truststore.jks"].map(|key| pki.bytes("web", key));
    let bytes = all();
    let serial = |bytes: &[u8], password: &str| {
        let store = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict).expect("a keystore");
        let (alias, chain) = store.private_key_chain().expect("a key");
        assert_eq!((alias, chain.certs().len()), ("certificate", 2));
        Certificate::from_der(chain.certs()[0].as_der()).expect("a certificate").serial
    };
    assert_eq!(serial(&bytes[0], PASSWORD), first.serial);
    if Command::new("keytool").arg("-help").output().is_ok() {
        let path = tenant.cluster.dir().join(format!("{}.jks", tenant.namespace));
        std::fs::write(&path, &bytes[2]).expect("a file");
        let path = path.to_str().expect("UTF-8");
        let args = ["-list", "-storetype", "JKS", "-keystore", path, "-storepass", PASSWORD];
        let output = Command::new("keytool").args(args).output().expect("keytool");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("app, ") && text.contains("PrivateKeyEntry"), "{text}");
    }

    operator.terminate();
    let operator = tenant.operator(&NO_ELECTION);
    password("another-password");
    pki.patch("web", json!({ "spec": { "destination": { "labels": { "a": "b" } } } }));
    assert_eq!(pki.wait_synced("web").serial, first.serial);
    assert!(all() == bytes, "the bytes are the same");
    pki.patch("web", json!({ "spec": { "ttl": "48h" } }));
    let second = pki.wait_replaced("web", &first.serial);
    assert_eq!(serial(&all()[0], "another-password"), second.serial);
    tenant.assert_nothing_leaked(&operator, &[PASSWORD, "another-password", second.key_line()]);
}

#[test]
fn templates_make_what_they_want_and_the_end_is_still_known() {
    let tenant = Tenant::new("pki-templates");
    let pki = PkiFixture::new(&tenant);
    let mut operator = tenant.operator(&NO_ELECTION);
    let templates = json!({
        "tls.crt": { "text": "{{ .Secrets.certificate }}\n{{ .Secrets.issuing_ca }}\n" },
        "tls.key": { "text": "{{ .Secrets.private_key }}\n" },
        "serial.txt": { "text": "{{ .Secrets.serial_number }}" },
    });
    let transformation = json!({ "excludeRaw": true, "excludes": [".*"], "templates": templates });
    tenant.apply(&pki.object("web", &[], json!({ "ttl": "20s", "destination": { "transformation": transformation } })));
    let first = pki.wait_synced("web");
    let secret = tenant.get("secret", "web").expect("the Secret");
    let keys: Vec<&String> = secret["data"].as_object().expect("data").keys().collect();
    assert_eq!(keys, ["serial.txt", "tls.crt", "tls.key"]);
    assert_eq!(tenant.value("web", "serial.txt").expect("it"), first.serial);
    operator.terminate();
    let _operator = tenant.operator(&NO_ELECTION);
    pki.wait_replaced("web", &first.serial);
    tenant.wait_event("web", "SecretRotated", "sync_reason=InRenewalWindow");
}
