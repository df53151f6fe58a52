use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SerialNumber};

use super::*;

/// An authority for tests.
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Leaf {
    pub certificate: Certificate,
    pub key: KeyPair,
}

fn parameters(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::new(vec![]).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

fn authority_parameters(name: &str) -> CertificateParams {
    let mut parameters = parameters(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
}

impl Authority {
    pub fn root(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = authority_parameters(name);
        let certificate = parameters.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    pub fn authority(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = authority_parameters(name);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    pub fn certificate(&self) -> Certificate {
        Certificate::from_der(self.certificate.der()).unwrap()
    }

    pub fn issue(&self, name: &str) -> Leaf {
        self.issue_with(name, KeyPair::generate().unwrap())
    }

    pub fn issue_with(&self, name: &str, key: KeyPair) -> Leaf {
        let mut parameters = parameters(name);
        parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2026, 1, 31);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Leaf { certificate: Certificate::from_der(certificate.der()).unwrap(), key }
    }
}

#[test]
fn what_is_read_is_what_was_signed() {
    let mut parameters = parameters("leaf");
    // A first bit of one makes DER put a zero in front.
    parameters.serial_number = Some(SerialNumber::from_slice(&[0x9a, 0x00, 0x0b]));
    parameters.not_before = rcgen::date_time_ymd(2026, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2051, 1, 1);
    let key = KeyPair::generate().unwrap();
    let made = parameters.self_signed(&key).unwrap();
    let read = Certificate::from_der(made.der()).unwrap();
    assert_eq!(read.serial, "9a:00:0b");
    assert_eq!((read.not_before, read.not_after), (1_767_225_600, 2_556_144_000));
    assert!(read.is_self_issued() && read.issued(&read));
    assert_eq!(read.pem(), made.pem().replace("\r\n", "\n").trim_end());
    assert_eq!(format!("{read:?}"), r#"Certificate { serial: "9a:00:0b", .. }"#);
    // Of an EC key with its curve; what follows in the SubjectPublicKeyInfo is the key.
    assert_eq!(hex::encode(read.key_algorithm()), "301306072a8648ce3d020106082a8648ce3d030107");
    assert!(hex::encode(read.public_key()).contains(&hex::encode(read.key_algorithm())));
}

#[test]
fn certificates_are_found_in_each_encoding_and_nothing_else_is_one() {
    let authority = Authority::root("root");
    let leaf = authority.issue("leaf");
    let (a, b) = (leaf.certificate.clone(), authority.certificate());
    let read = |text: &str| Certificate::all_from_text(text);
    assert_eq!(read(&a.pem()), Ok(vec![a.clone()]));
    assert_eq!(read(&format!("{}\n{}\n{}", leaf.key.serialize_pem(), a.pem(), b.pem())), Ok(vec![a.clone(), b]));
    let base64 = STANDARD.encode(a.der());
    assert_eq!(read(&format!(" {base64}\n")), Ok(vec![a.clone()]));

    assert_eq!(read(""), Err(CertificateError::Syntax));
    assert_eq!(read("%"), Err(CertificateError::Encoding));
    assert_eq!(read("AAAA"), Err(CertificateError::Syntax));
    assert_eq!(read(&leaf.key.serialize_pem()), Err(CertificateError::Syntax));
    assert_eq!(read(&base64[..base64.len() - 8]), Err(CertificateError::Syntax));
    let with_more = STANDARD.encode([a.der(), &[0, 0]].concat());
    assert_eq!(read(&with_more), Err(CertificateError::Syntax));
    assert_eq!(read(&STANDARD.encode(vec![0x30; MAX_DER_BYTES + 1])), Err(CertificateError::TooLong));
}

#[test]
fn a_certificate_is_found_by_its_serial_number_in_any_key() {
    let authority = Authority::root("root");
    let (a, b) = (authority.issue("a").certificate, authority.issue("b").certificate);
    let data = |entries: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    };
    let chain = format!("{}\n{}", b.pem(), a.pem());
    for key in ["tls.crt", "certificate", "by-a-template"] {
        let data = data(&[(key, &chain), ("other", "text"), ("tls.key", "no key")]);
        assert_eq!(find_certificate(&data, &a.serial), Some(a.clone()));
    }
    assert_eq!(find_certificate(&data(&[("tls.crt", &b.pem())]), &a.serial), None);
    assert_eq!(find_certificate(&data(&[]), &a.serial), None);
}

proptest::proptest! {
    /// What a server sends, or another client has put into a Secret, ends nothing.
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}", at in 0usize..400, byte: u8) {
        let _ = Certificate::all_from_text(&text);
        let _ = Certificate::all_from_text(&format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----"));
        static DER: std::sync::LazyLock<Vec<u8>> =
            std::sync::LazyLock::new(|| Authority::root("root").certificate().der().to_vec());
        let mut der = DER.clone();
        let at = at % der.len();
        der[at] = byte;
        let _ = Certificate::from_der(&der);
    }
}
