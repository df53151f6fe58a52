use std::process::Command;
use std::sync::Arc;

use p12_keystore::Pkcs12ImportPolicy;
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::json;

use super::*;
use crate::pki::certificate::tests::Authority;

const PASSWORD: &str = "changeit";

/// A certificate below two authorities, and the key in PKCS#8.
fn issued(rsa: bool) -> (Issued, Vec<Certificate>, Vec<u8>) {
    let root = Authority::root("root");
    let issuer = root.authority("issuer");
    let key = if rsa { KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap() } else { KeyPair::generate().unwrap() };
    let (pem, der) = (key.serialize_pem(), key.serialized_der().to_vec());
    let leaf = issuer.issue_with("leaf", key).certificate;
    let (root, issuer) = (root.certificate(), issuer.certificate());
    let answer = json!({
        "certificate": leaf.pem(), "private_key": pem, "serial_number": leaf.serial,
        "ca_chain": [issuer.pem(), root.pem()], "issuing_ca": issuer.pem(),
    });
    (Issued::parse(Arc::new(answer), None).unwrap(), vec![leaf, issuer, root], der)
}

fn made(issued: &Issued, form: KeystoreForm, alias: &str) -> Result<BTreeMap<String, Vec<u8>>, KeystoreError> {
    keystores(issued, None, &KeystoreOptions { form, alias, password: &PASSWORD.into() })
}

#[test]
fn pkcs12_holds_the_key_and_its_chain() {
    let (issued, chain, key) = issued(false);
    let made = made(&issued, KeystoreForm::Pkcs12, "app").unwrap();
    let read = |name: &str| KeyStore::from_pkcs12(&made[name], PASSWORD, Pkcs12ImportPolicy::Strict).unwrap();
    let keystore = read("keystore.p12");
    let (alias, found) = keystore.private_key_chain().unwrap();
    let ders = found.certs().iter().map(|certificate| certificate.as_der()).collect::<Vec<_>>();
    assert_eq!((alias, found.key().as_der()), ("app", key.as_slice()));
    assert_eq!(ders, chain.iter().map(Certificate::der).collect::<Vec<_>>());
    let truststore = read("truststore.p12");
    let aliases: Vec<&str> = truststore.entries().map(|(alias, _)| alias.as_str()).collect();
    assert_eq!(aliases, ["ca", "ca-1"]);
    assert!(KeyStore::from_pkcs12(&made["keystore.p12"], "other", Pkcs12ImportPolicy::Strict).is_err());
}

#[test]
fn jks_is_the_same_each_time() {
    let (issued, ..) = issued(false);
    let first = made(&issued, KeystoreForm::Jks, "App").unwrap();
    assert_eq!(first, made(&issued, KeystoreForm::Jks, "App").unwrap());
    assert_eq!(first.keys().collect::<Vec<_>>(), ["keystore.jks", "truststore.jks"]);
    assert_eq!(first["keystore.jks"][..12], [0xFE, 0xED, 0xFE, 0xED, 0, 0, 0, 2, 0, 0, 0, 1]);
}

/// What Java reads: entries with their aliases and kinds, then the key that it decrypts. Where there is no Java, there
/// is nothing to ask.
#[test]
fn java_reads_them() {
    if Command::new("keytool").arg("-help").output().is_err() {
        return;
    }
    let dir = tempfile("keystores");
    for (rsa, form, store) in [(false, KeystoreForm::Pkcs12, "PKCS12"), (true, KeystoreForm::Jks, "JKS")] {
        let (issued, chain, key) = issued(rsa);
        let files = made(&issued, form, "my-app").unwrap().into_iter().map(|(name, bytes)| {
            let path = dir.join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        });
        let files: Vec<String> = files.collect();
        let keytool = |args: &[&str]| {
            let output = Command::new("keytool").args(args).args(["-storepass", PASSWORD]).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{text}");
            text
        };
        let list = keytool(&["-list", "-v", "-storetype", store, "-keystore", &files[0]]);
        assert!(list.contains("Alias name: my-app") && list.contains("PrivateKeyEntry"), "{list}");
        assert!(list.contains("Certificate chain length: 3"), "{list}");
        let list = keytool(&["-list", "-v", "-storetype", store, "-keystore", &files[1]]);
        assert_eq!(list.matches("trustedCertEntry").count(), 2, "{list}");
        // Java decrypts the key to put it into another store, which is read here.
        let copy = dir.join(format!("copy-of-{store}"));
        let copy = copy.to_str().unwrap();
        let to = ["-deststoretype", "PKCS12", "-deststorepass", PASSWORD, "-destkeystore", copy, "-noprompt"];
        let from = ["-importkeystore", "-srcstoretype", store, "-srckeystore", &files[0], "-srcstorepass", PASSWORD];
        let output = Command::new("keytool").args(from).args(to).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let bytes = std::fs::read(copy).unwrap();
        let keystore = KeyStore::from_pkcs12(&bytes, PASSWORD, Pkcs12ImportPolicy::Strict).unwrap();
        let (alias, found) = keystore.private_key_chain().unwrap();
        assert_eq!((alias, found.key().as_der()), ("my-app", key.as_slice()));
        assert_eq!(found.certs()[0].as_der(), chain[0].der());
    }
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn what_cannot_be_in_a_keystore_is_refused() {
    let (issued, ..) = issued(false);
    for alias in ["\u{1F600}", &"a".repeat(70_000)] {
        assert!(matches!(made(&issued, KeystoreForm::Jks, alias), Err(KeystoreError::Refused(..))));
    }
    assert!(matches!(made(&issued, KeystoreForm::Pkcs12, "\u{1F600}"), Err(KeystoreError::Refused(..))));
}

fn tempfile(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("vso-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
