use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use serde_json::json;

use super::*;
use crate::pki::certificate::tests::Authority;
use crate::render::{Input, TransformationCache, build};

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

/// An answer of Vault, and the authorities from the issuer to the root.
fn answer(der: bool) -> (Value, Vec<Certificate>, Certificate) {
    let root = Authority::root("root");
    let issuer = root.authority("issuer");
    let leaf = issuer.issue("leaf");
    let write = |certificate: &Certificate| {
        if der { STANDARD.encode(certificate.der()) } else { certificate.pem() }
    };
    let (root, issuer) = (root.certificate(), issuer.certificate());
    let key = if der {
        STANDARD.encode(leaf.key.serialized_der())
    } else {
        leaf.key.serialize_pem().replace("\r\n", "\n").trim_end().to_owned()
    };
    let answer = json!({
        "certificate": write(&leaf.certificate),
        "issuing_ca": write(&issuer),
        "ca_chain": [write(&issuer), write(&root)],
        "private_key": key,
        "private_key_type": "ec",
        "serial_number": leaf.certificate.serial,
        "expiration": leaf.certificate.not_after,
    });
    (answer, vec![issuer, root], leaf.certificate)
}

fn parse(answer: &Value, format: Option<&str>) -> Result<Issued, IssuedError> {
    Issued::parse(Arc::new(answer.clone()), format)
}

fn secret(issued: &Issued, tls: bool) -> BTreeMap<String, String> {
    let source = issued.source(tls, None).unwrap();
    let input = Input { source: &source, exclude_raw: true, labels: None, annotations: None };
    let transformation = TransformationCache::default().get(&[], &[], &[]).unwrap();
    let built = build(&input, &transformation).unwrap();
    built.data.as_map().iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

#[test]
fn the_secret_has_what_vso_writes() {
    let (answer, authorities, leaf) = answer(false);
    let issued = parse(&answer, None).unwrap();
    assert_eq!((issued.serial.as_str(), issued.lifetime.not_after), (leaf.serial.as_str(), leaf.not_after));
    let plain = secret(&issued, false);
    let keys = "ca_chain certificate expiration issuing_ca private_key private_key_type serial_number";
    assert_eq!(plain.keys().map(String::as_str).collect::<Vec<_>>().join(" "), keys);
    let [issuer, root] = [&authorities[0], &authorities[1]].map(Certificate::pem);
    assert_eq!(plain["ca_chain"], format!("{issuer}\n{root}"));
    let tls = secret(&issued, true);
    assert_eq!(tls["tls.crt"], format!("{}\n{issuer}\n{root}", leaf.pem()));
    assert_eq!(tls["tls.key"], answer["private_key"].as_str().unwrap());
    assert!(!tls.contains_key("ca.crt"));
}

#[test]
fn a_root_that_issues_is_in_no_chain() {
    let (mut answer, authorities, leaf) = answer(false);
    answer.as_object_mut().unwrap().remove("ca_chain");
    let tls = secret(&parse(&answer, None).unwrap(), true);
    assert_eq!(tls["tls.crt"], format!("{}\n{}", leaf.pem(), authorities[0].pem()));
    assert_eq!(tls["ca.crt"], authorities[0].pem());
    assert!(!tls.contains_key("ca_chain"));
}

#[test]
fn a_chain_is_put_in_order_and_nothing_is_in_it_twice() {
    let (mut answer, authorities, leaf) = answer(false);
    let [issuer, root] = [&authorities[0], &authorities[1]].map(Certificate::pem);
    answer["ca_chain"] = json!([root, issuer, issuer, leaf.pem()]);
    let key = answer["private_key"].as_str().unwrap().to_owned();
    answer["certificate"] = json!(format!("{key}\n{}\n{issuer}\n{root}", leaf.pem()));
    let tls = secret(&parse(&answer, Some("pem_bundle")).unwrap(), true);
    assert_eq!(tls["ca_chain"], format!("{issuer}\n{root}"));
    assert_eq!(tls["tls.crt"], format!("{}\n{issuer}\n{root}", leaf.pem()), "no key, and no certificate twice");
    assert_eq!(tls["certificate"], answer["certificate"].as_str().unwrap());
}

#[test]
fn der_is_kept_and_becomes_pem_where_pem_is_needed() {
    let (answer, authorities, leaf) = answer(true);
    let issued = parse(&answer, Some("der")).unwrap();
    let tls = secret(&issued, true);
    assert_eq!(tls["certificate"], answer["certificate"].as_str().unwrap());
    let base64: Vec<_> = authorities.iter().map(|authority| STANDARD.encode(authority.der())).collect();
    assert_eq!(tls["ca_chain"], base64.join("\n"));
    assert_eq!(Certificate::all_from_text(&tls["tls.crt"]).unwrap(), [&[leaf][..], &authorities[..]].concat());
    assert!(tls["tls.key"].starts_with("-----BEGIN PRIVATE KEY-----\n"), "{}", tls["tls.key"]);
}

#[test]
fn answers_that_are_none_are_told_apart() {
    let (good, authorities, _) = answer(false);
    let with = |key: &str, value: Value| {
        let mut answer = good.clone();
        answer[key] = value;
        parse(&answer, None).err().map(|error| error.to_string()).unwrap_or_default()
    };
    for key in ["serial_number", "certificate", "private_key"] {
        for nothing in [json!(null), json!(""), json!(1)] {
            let error = with(key, nothing);
            assert!(error.contains(&format!("it has no {key}")), "{error}");
        }
    }
    assert_eq!(with("certificate", json!("c2VjcmV0")), "its certificate cannot be read: it is no X.509 certificate");
    assert_eq!(with("certificate", json!("-")), "its certificate cannot be read: it is neither PEM nor base64");
    assert_eq!(with("ca_chain", json!(["-"])), "its ca_chain cannot be read: it is neither PEM nor base64");
    assert_eq!(with("issuing_ca", json!("-")), "its issuing_ca cannot be read: it is neither PEM nor base64");
    assert!(with("serial_number", json!("0a:0b")).contains("and not 0a:0b"));
    assert!(with("certificate", json!(authorities[0].pem())).contains("has the serial number"));
    assert_eq!(with("private_key", json!("c2VjcmV0")), "its private_key is neither PEM nor base64 of a private key");
    let other = KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(with("private_key", json!(other)), "its private_key is not that of its certificate");
    assert_eq!(parse(&json!(null), None).err(), Some(IssuedError::Missing("serial_number")));
    assert_eq!(parse(&json!([1]), None).err(), Some(IssuedError::Missing("serial_number")));
}

#[test]
fn a_format_that_is_not_read_is_passed_on() {
    let (mut answer, ..) = answer(false);
    answer["certificate"] = json!("AAAA");
    let issued = parse(&answer, Some("pkcs12_bundle")).unwrap();
    assert_eq!(issued.lifetime.not_after, answer["expiration"].as_i64().unwrap());
    assert_eq!(secret(&issued, false)["certificate"], "AAAA");
    let refused = issued.source(true, Some("pkcs12_bundle")).err().unwrap();
    assert!(refused.to_string().contains("pkcs12_bundle"), "{refused}");
    assert!(issued.pkcs8_key(Some("pkcs12_bundle")).is_err() && issued.certificates(None).is_err());
}

#[test]
fn each_kind_of_key_becomes_pkcs8() {
    let issuer = Authority::root("root");
    for algorithm in [&PKCS_RSA_SHA256, &PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let (pkcs8, pem) = (key.serialized_der().to_vec(), key.serialize_pem());
        let inner = inner_key(&pkcs8);
        let leaf = issuer.issue_with("leaf", key).certificate;
        // As Vault sends it with and without `private_key_format: pkcs8`. Ed25519 has no other form.
        let mut forms = vec![pem, STANDARD.encode(&pkcs8)];
        if algorithm != &PKCS_ED25519 {
            forms.push(STANDARD.encode(&inner));
        }
        for form in forms {
            let answer = json!({ "certificate": leaf.pem(), "private_key": form, "serial_number": leaf.serial });
            let made = parse(&answer, None).unwrap().pkcs8_key(None).unwrap();
            assert_eq!(inner_key(&made), inner);
            assert_eq!(&made[..8.min(made.len())].len(), &8);
            let key = PrivateKeyDer::try_from(made.as_slice()).unwrap();
            let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
            assert_eq!(key.public_key().unwrap().as_ref(), leaf.public_key());
        }
    }
}

fn inner_key(pkcs8: &[u8]) -> Vec<u8> {
    use pkcs8::der::Decode as _;
    pkcs8::PrivateKeyInfoRef::from_der(pkcs8).unwrap().private_key.as_bytes().to_vec()
}
