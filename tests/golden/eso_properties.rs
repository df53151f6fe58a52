//! The functions of ESO whose results differ each time: what can be said of them all the same.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vso::gocompat::template::Environment;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::row::Row;

/// Certificates and keys that the vectors are made with.
fn fixture(name: &str) -> serde_json::Value {
    let text = include_str!("../../hack/golden/fixtures.json");
    let fixtures: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let text = fixtures[name].as_str().expect(name);
    match text.strip_prefix("base64:") {
        Some(base64) => serde_json::json!({ "$b64": base64 }),
        None => text.into(),
    }
}

fn row(template: &str, names: &[&str]) -> Row {
    let input: serde_json::Map<_, _> = names.iter().map(|name| ((*name).to_owned(), fixture(name))).collect();
    serde_json::from_value(serde_json::json!({ "template": template, "input": input, "api": "eso" })).expect("a row")
}

fn rendered(template: &str, names: &[&str]) -> String {
    String::from_utf8(row(template, names).render().expect(template)).expect("UTF-8")
}

fn error(template: &str, names: &[&str]) -> String {
    row(template, names).render().expect_err(template)
}

/// The first block of a text.
fn der(text: &str) -> Vec<u8> {
    use base64::Engine;
    let digits: String = text
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .collect();
    base64::engine::general_purpose::STANDARD.decode(digits).expect("base64")
}

#[test]
fn random_texts() {
    for (function, allowed) in [
        ("randAlpha", (|c: char| c.is_ascii_alphabetic()) as fn(char) -> bool),
        ("randAlphaNum", |c| c.is_ascii_alphanumeric()),
        ("randNumeric", |c| c.is_ascii_digit()),
        ("randAscii", |c| matches!(c, ' '..='~')),
    ] {
        let text = rendered(&format!("{{{{ {function} 500 }}}}"), &[]);
        assert!(text.len() == 500 && text.chars().all(allowed), "{function}: {text}");
        assert!(text.chars().collect::<BTreeSet<_>>().len() > 8, "{function}: {text}");
        assert_ne!(text, rendered(&format!("{{{{ {function} 500 }}}}"), &[]));
        assert_eq!(rendered(&format!("{{{{ {function} 0 }}}}{{{{ {function} -5 }}}}"), &[]), "");
        assert!(error(&format!("{{{{ {function} 1000000000000 }}}}"), &[]).contains("memory"));
    }
    for _ in 0..50 {
        assert!(rendered("{{ randAlphaNum 2 }}", &[]).contains(|c: char| c.is_ascii_digit()));
    }
    assert_eq!(rendered("{{ randBytes 32 | b64dec | len }} {{ randBytes 0 }}", &[]), "32 ");
    assert!(error("{{ randBytes -1 }}", &[]).contains("len out of range"));
    let uuid = rendered("{{ uuidv4 }}", &[]);
    let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
    assert!(&uuid[14..15] == "4" && "89ab".contains(&uuid[19..20]), "{uuid}");
}

#[test]
fn what_is_encrypted_is_decrypted() {
    for text in ["x", "sixteen letters!", "a longer text that takes several blocks of sixteen bytes"] {
        let template = format!("{{{{ encryptAES \"key\" {text:?} | decryptAES \"key\" }}}}");
        assert_eq!(rendered(&template, &[]), text);
    }
    assert_eq!(rendered("{{ encryptAES \"key\" \"\" }}", &[]), "");
    assert_ne!(rendered("{{ encryptAES \"k\" \"x\" }}", &[]), rendered("{{ encryptAES \"k\" \"x\" }}", &[]));
}

#[test]
fn dates_without_a_date_are_of_now() {
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_709_168_461_600)
    }
    let environment = Environment { now, ..Environment::default() };
    let at =
        |template: &str| String::from_utf8(row(template, &[]).render_in(&environment).expect(template)).expect("UTF-8");
    for template in [
        "{{ now | date \"2006-01-02 15:04:05.0\" }}",
        "{{ date \"2006-01-02 15:04:05.0\" \"x\" }}",
        "{{ dateInZone \"2006-01-02 15:04:05.0\" nil \"UTC\" }}",
    ] {
        assert_eq!(at(template), "2024-02-29 01:01:01.6", "{template}");
    }
    assert_eq!(at("{{ htmlDate 1.5 }} {{ htmlDateInZone (list) \"Asia/Tokyo\" }}"), "2024-02-29 2024-02-29");
    assert_eq!(at("{{ now | dateModify \"-24h\" | unixEpoch }}"), "1709082061");
    assert!(!at("{{ date \"2006-01-02\" 9223372036854775807 }}{{ now | dateModify \"2562047h\" }}").is_empty());
}

#[test]
fn keys_are_made() {
    for (kind, begin) in [
        ("rsa", "-----BEGIN RSA PRIVATE KEY-----\n"),
        ("", "-----BEGIN RSA PRIVATE KEY-----\n"),
        ("ecdsa", "-----BEGIN EC PRIVATE KEY-----\n"),
        ("ed25519", "-----BEGIN PRIVATE KEY-----\n"),
    ] {
        let key = rendered(&format!("{{{{ genPrivateKey {kind:?} }}}}"), &[]);
        assert!(key.starts_with(begin), "{kind}: {key}");
        let issued = rendered(&format!("{{{{ (genCAWithKey \"c\" 1 (genPrivateKey {kind:?})).Cert }}}}"), &[]);
        assert!(issued.starts_with("-----BEGIN CERTIFICATE-----\n"), "{kind}: {issued}");
    }
    assert_eq!(rendered("{{ genPrivateKey \"x\" }}", &[]), "Unknown type x");
    assert!(error("{{ genPrivateKey \"dsa\" }}", &[]).contains("dsa are not supported"));
}

#[test]
fn certificates_are_signed_and_say_what_was_asked_for() {
    let text = rendered(
        "{{ $ca := genCA \"my ca\" 365 }}{{ $c := genSignedCert \"héllo\" (list \"10.0.0.1\" \"::1\") (list \"a.example\") 2 $ca }}\
         {{ $ca.Cert }}{{ $c.Cert }}{{ $c.Key }}",
        &[],
    );
    let parts: Vec<&str> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
    let (authority, certificate) = (der(parts[0]), der(parts[1]));
    let (_, authority) = X509Certificate::from_der(&authority).expect("a certificate");
    let (_, certificate) = X509Certificate::from_der(&certificate).expect("a certificate");
    authority.verify_signature(None).expect("signed by itself");
    certificate.verify_signature(Some(authority.public_key())).expect("signed by the authority");
    assert!(authority.is_ca() && !certificate.is_ca());
    assert_eq!(
        (authority.subject().to_string(), certificate.issuer().to_string()),
        ("CN=my ca".into(), "CN=my ca".into())
    );
    assert_eq!(certificate.subject().to_string(), "CN=héllo");
    let days =
        |c: &X509Certificate<'_>| (c.validity().not_after.timestamp() - c.validity().not_before.timestamp()) / 86_400;
    assert_eq!((days(&authority), days(&certificate)), (365, 2));
    let names = certificate.subject_alternative_name().expect("names").expect("names").value.general_names.clone();
    assert_eq!(names.len(), 3);
    assert!(
        names.contains(&GeneralName::DNSName("a.example")) && names.contains(&GeneralName::IPAddress(&[10, 0, 0, 1]))
    );
    let usage = certificate.key_usage().expect("usage").expect("usage").value;
    assert!(usage.digital_signature() && usage.key_encipherment() && !usage.key_cert_sign());
    let usage = authority.key_usage().expect("usage").expect("usage").value;
    assert!(usage.key_cert_sign());
    let extended = certificate.extended_key_usage().expect("usage").expect("usage").value;
    assert!(extended.server_auth && extended.client_auth);
    assert!(parts[2].starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    let own = rendered("{{ (genSelfSignedCert \"x\" nil (list \"b.example\") 1).Cert }}", &[]);
    let own = der(&own);
    X509Certificate::from_der(&own).expect("a certificate").1.verify_signature(None).expect("signed by itself");
    for (template, expected) in [
        ("{{ genSelfSignedCert \"x\" (list \"1.2.3\") nil 1 }}", "error parsing ip"),
        ("{{ genSelfSignedCert \"x\" (list 1) nil 1 }}", "error parsing ip"),
        ("{{ genSelfSignedCert \"x\" nil (list 1) 1 }}", "error processing alternate dns name"),
        ("{{ genCA \"x\" 9223372036854775807 }}", "out of range"),
        ("{{ genCAWithKey \"x\" 1 \"junk\" }}", "parsing private key: no PEM data in input"),
        ("{{ genSignedCert \"x\" nil nil 1 \"junk\" }}", "can't handle \"junk\" for arg of type sprig.certificate"),
    ] {
        let error = error(template, &[]);
        assert!(error.contains(expected), "{template}: {error}");
    }
}

#[test]
fn keys_of_every_kind_sign() {
    for name in ["rsaone", "rsaeight", "ecasec", "ecbeight", "edeight"] {
        let template = format!("{{{{ (genSelfSignedCertWithKey \"x\" nil nil 1 .{name}).Cert }}}}");
        let text = der(&rendered(&template, &[name]));
        X509Certificate::from_der(&text).expect("a certificate").1.verify_signature(None).expect(name);
    }
    let template = "{{ $ca := genCAWithKey \"ca\" 1 .ecasec }}{{ $c := genSignedCertWithKey \"x\" nil nil 1 $ca .edeight }}\
                    {{ print $ca.Cert $c.Cert | filterCertChain \"leaf\" }}{{ $c.Key }}";
    let text = rendered(template, &["ecasec", "edeight"]);
    assert!(
        text.starts_with("-----BEGIN CERTIFICATE-----\n") && text.ends_with(fixture("edeight").as_str().expect("text"))
    );
}

#[test]
fn keystores_are_read_again() {
    for key in ["rsaone", "rsaeight", "edeight", "ecasec"] {
        for (write, read, password) in [("Pass", "Pass", "\"pässwörd\""), ("", "", "")] {
            let template = format!(
                "{{{{ $p := fullPemToPkcs12{write} .chain .{key} {password} | b64dec }}}}\
                 {{{{ pkcs12cert{read} {password} $p }}}}{{{{ pkcs12key{read} {password} $p }}}}"
            );
            let text = rendered(&template, &["chain", key]);
            assert!(text.starts_with(fixture("chain").as_str().expect("text")), "{key}: {text}");
            assert!(text.ends_with("-----END PRIVATE KEY-----\n"));
            if key.ends_with("eight") {
                assert!(text.ends_with(fixture(key).as_str().expect("text")));
            }
        }
    }
    let first = rendered("{{ pemToPkcs12 .chain .rsaone | b64dec | pkcs12cert }}", &["chain", "rsaone"]);
    assert_eq!(first, fixture("leaf").as_str().expect("text"));
    assert!(!rendered("{{ pemTruststoreToPKCS12Pass .chain \"x\" }}", &["chain"]).is_empty());
    assert!(
        error("{{ pemTruststoreToPKCS12 .chain | b64dec | pkcs12cert }}", &["chain"]).contains("private key missing")
    );
    for template in [
        "{{ pemToPkcs12 .chain \"junk\" }}",
        "{{ pemToPkcs12 \"junk\" .rsaone }}",
        "{{ fullPemToPkcs12 \"\" .rsaone }}",
        "{{ fullPemToPkcs12 (print .chain \"junk\") .rsaone }}",
        "{{ pemTruststoreToPKCS12 \"junk\" }}",
        "{{ pemTruststoreToPKCS12 .rsaone }}",
        "{{ pemTruststoreToPKCS12Pass .chain \"\u{1F600}\" }}",
    ] {
        assert!(error(template, &["chain", "rsaone"]).contains("error calling"), "{template}");
    }
}

#[test]
fn htpasswd_of_eso_has_a_third_argument() {
    assert_eq!(rendered("{{ htpasswd \"u\" \"p\" \"sha\" }}", &[]), "u:{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k=");
    assert!(rendered("{{ htpasswd \"u\" \"p\" \"bcrypt\" }}{{ htpasswd \"u\" \"p\" }}", &[]).contains("u:$2a$10$"));
}

/// A tenant may store any file: what it asks for is counted before it is done.
#[test]
fn no_number_of_keys_and_keystores_is_made() {
    for template in [
        "{{ range until 100000 }}{{ derivePassword 1 \"long\" \"p\" \"u\" \"s\" }}{{ end }}",
        "{{ range until 100000 }}{{ genPrivateKey \"rsa\" }}{{ end }}",
        "{{ range until 100000 }}{{ genCA \"x\" 1 }}{{ end }}",
        "{{ range until 1000000 }}{{ genPrivateKey \"ecdsa\" }}{{ end }}",
        "{{ $p := .p12modern }}{{ range until 100000 }}{{ pkcs12keyPass \"1234\" $p }}{{ end }}",
        "{{ $c := .chain }}{{ $k := .rsaone }}{{ range until 100000 }}{{ fullPemToPkcs12 $c $k }}{{ end }}",
        "{{ $c := .chain }}{{ range until 100000 }}{{ filterCertChain \"leaf\" $c }}{{ end }}",
        "{{ filterCertChain \"leaf\" (repeat 201 .root) }}",
        "{{ $j := .jwkrsa }}{{ range until 100000 }}{{ jwkPrivateKeyPem $j }}{{ end }}",
        "{{ randAlpha 9223372036854775807 }}",
    ] {
        let result = row(template, &["p12modern", "chain", "rsaone", "root", "jwkrsa"]).render();
        assert!(result.is_err(), "{template}");
    }
}

/// Files that were cut or changed: an error or a result, and never the end of the process.
#[test]
fn changed_inputs_do_no_harm() {
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (name, template) in [
        ("p12modern", "{{ pkcs12certPass \"1234\" .x }}"),
        ("p12des", "{{ pkcs12keyPass \"1234\" .x }}"),
        ("p12rc", "{{ pkcs12certPass \"1234\" .x }}"),
        ("p12plain", "{{ pkcs12cert .x }}"),
        ("chain", "{{ filterCertChain \"root\" .x }}"),
        ("leaf", "{{ certSANs .x }}"),
        ("chain", "{{ filterPEM \"certificate\" .x }}"),
        ("rsaone", "{{ rsaDecrypt \"RSA-OAEP\" \"SHA1\" \"x\" .x }}"),
        ("ecasec", "{{ genCAWithKey \"x\" 1 .x }}"),
        ("edeight", "{{ genCAWithKey \"x\" 1 .x }}"),
        ("jwkrsa", "{{ jwkPrivateKeyPem .x }}"),
        ("jwkecapub", "{{ jwkPublicKeyPem .x }}"),
    ] {
        let whole = match fixture(name) {
            serde_json::Value::String(text) => text.into_bytes(),
            encoded => {
                use base64::Engine;
                let text = encoded["$b64"].as_str().expect("base64");
                base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
            }
        };
        for _ in 0..60 {
            let mut changed = whole.clone();
            match draw(4) {
                0 => changed.truncate(draw(changed.len())),
                1 => {
                    let at = draw(changed.len());
                    changed.insert(at, draw(256) as u8);
                }
                _ => {
                    for _ in 0..=draw(3) {
                        let at = draw(changed.len());
                        changed[at] = draw(256) as u8;
                    }
                }
            }
            use base64::Engine;
            let text = base64::engine::general_purpose::STANDARD.encode(&changed);
            let input = serde_json::json!({ "x": { "$b64": text } });
            let row: Row =
                serde_json::from_value(serde_json::json!({ "template": template, "input": input, "api": "eso" }))
                    .expect("a row");
            if let Err(error) = row.render() {
                assert!(!error.contains("-----BEGIN"), "{name}: {error}");
            }
        }
    }
}
