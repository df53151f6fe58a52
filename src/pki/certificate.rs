//! A certificate, as far as the operator reads it.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What a certificate is read from is no longer. Vault's own certificates take a few kilobytes.
const MAX_DER_BYTES: usize = 256 * 1024;

/// The label of a certificate in PEM.
const LABEL: &str = "CERTIFICATE";

/// A parsed X.509 certificate. Its `Debug` shows the serial number only.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// The serial number in Vault's form: bytes in hexadecimal, with colons between them.
    pub serial: String,
    /// When it begins, in seconds since 1970 on the clock of the issuer.
    pub not_before: i64,
    /// When it ends, in seconds since 1970 on the clock of the issuer.
    pub not_after: i64,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    key_algorithm: Vec<u8>,
    public_key: Vec<u8>,
}

/// Why a text is not a certificate. It quotes nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither PEM nor base64.
    #[error("it is neither PEM nor base64")]
    Encoding,
    /// No X.509.
    #[error("it is no X.509 certificate")]
    Syntax,
    /// More than any certificate has.
    #[error("it is longer than {MAX_DER_BYTES} bytes")]
    TooLong,
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// If it is no certificate, or something follows it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_DER_BYTES {
            return Err(CertificateError::TooLong);
        }
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateError::Syntax)?;
        if !rest.is_empty() {
            return Err(CertificateError::Syntax);
        }
        let key = parsed.public_key();
        Ok(Self {
            serial: serial_text(parsed.raw_serial()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: parsed.issuer().as_raw().to_vec(),
            key_algorithm: algorithm_of(key.raw).ok_or(CertificateError::Syntax)?.to_vec(),
            public_key: key.raw.to_vec(),
            der: der.to_vec(),
        })
    }

    /// All certificates of a text: each `CERTIFICATE` block of PEM, or one certificate in base64.
    ///
    /// # Errors
    /// If there is none, or one of them cannot be read.
    pub fn all_from_text(text: &str) -> Result<Vec<Self>, CertificateError> {
        if !text.contains("-----BEGIN ") {
            let der = STANDARD.decode(text.trim()).map_err(|_| CertificateError::Encoding)?;
            return Self::from_der(&der).map(|certificate| vec![certificate]);
        }
        let blocks = pem::parse_many(text).map_err(|_| CertificateError::Encoding)?;
        let certificates = blocks.iter().filter(|block| block.tag() == LABEL);
        let certificates = certificates.map(|block| Self::from_der(block.contents())).collect::<Result<Vec<_>, _>>()?;
        if certificates.is_empty() { Err(CertificateError::Syntax) } else { Ok(certificates) }
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate in PEM, without a line break at its end.
    pub fn pem(&self) -> String {
        to_pem(LABEL, &self.der)
    }

    /// SHA-256 of the certificate, in hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.der))
    }

    /// Whether a certificate names this one as its issuer.
    pub fn issued(&self, other: &Self) -> bool {
        other.issuer == self.subject
    }

    /// Whether it names itself as its issuer.
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The algorithm of the key, as DER of an `AlgorithmIdentifier`.
    pub(super) fn key_algorithm(&self) -> &[u8] {
        &self.key_algorithm
    }

    /// The public key, as DER of a `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// PEM in the form that Go writes and Vault sends, without a line break at its end.
pub(super) fn to_pem(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    let mut text = pem::encode_config(&pem::Pem::new(label, der), config);
    text.truncate(text.trim_end().len());
    text
}

/// The certificate with a serial number among the values of a Secret, in whichever key it is: what a template prints
/// may stand anywhere.
pub fn find_certificate(data: &BTreeMap<String, Vec<u8>>, serial: &str) -> Option<Certificate> {
    let first = ["tls.crt", "certificate"].iter().filter_map(|key| data.get(*key));
    let values = first.chain(data.values()).filter_map(|value| std::str::from_utf8(value).ok());
    let mut found = values.flat_map(|text| Certificate::all_from_text(text).unwrap_or_default());
    found.find(|certificate| certificate.serial == serial)
}

/// A serial number as Vault writes it: without the zero byte that makes a number of DER positive.
fn serial_text(raw: &[u8]) -> String {
    let digits = raw.iter().position(|byte| *byte != 0).map_or(&[][..], |start| &raw[start..]);
    digits.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// The first member of a `SubjectPublicKeyInfo`.
fn algorithm_of(spki: &[u8]) -> Option<&[u8]> {
    let (_, spki) = x509_parser::der_parser::asn1_rs::Any::from_der(spki).ok()?;
    let (rest, _) = x509_parser::der_parser::asn1_rs::Any::from_der(spki.data).ok()?;
    spki.data.get(..spki.data.len() - rest.len())
}

#[cfg(test)]
pub(super) mod tests;
