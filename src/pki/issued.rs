//! What Vault has answered to a request for a certificate.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;

use super::certificate::to_pem;
use super::chain::{MAX_CERTIFICATES, ordered};
use super::{Certificate, CertificateError, Lifetime};
use crate::render::SourceData;

/// Name of the source in the digests of templates.
const SOURCE: &str = "pki";

/// A certificate that was issued, with its key. Its `Debug` shows the serial number only.
#[derive(Clone)]
pub struct Issued {
    /// The serial number that Vault knows it by.
    pub serial: String,
    /// When it is valid.
    pub lifetime: Lifetime,
    /// `None` if it was asked for in a format that the operator does not read.
    parts: Option<Parts>,
    answer: Arc<Value>,
}

/// The parts of an answer in PEM or DER.
#[derive(Clone)]
struct Parts {
    certificate: Certificate,
    /// `ca_chain`, in order.
    chain: Vec<Certificate>,
    /// `issuing_ca`.
    issuer: Option<Certificate>,
    key: PrivateKey,
}

#[derive(Clone)]
struct PrivateKey {
    /// The text that Vault sent, if that is PEM.
    text: Option<String>,
    der: Vec<u8>,
}

/// Why an answer is no certificate with its key. It quotes nothing of the answer but serial numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuedError {
    /// Not what the PKI engine answers.
    #[error("it is not an answer of a PKI engine: it has no {0}; is spec.mount right?")]
    Missing(&'static str),
    /// A certificate in it cannot be read.
    #[error("its {0} cannot be read: {1}")]
    Certificate(&'static str, CertificateError),
    /// It has another serial number than the answer says.
    #[error("its certificate has the serial number {found}, and not {said}")]
    Serial {
        /// What the answer says.
        said: String,
        /// What the certificate says.
        found: String,
    },
    /// The private key cannot be read.
    #[error("its private_key is neither PEM nor base64 of a private key")]
    Key,
    /// The key is not that of the certificate.
    #[error("its private_key is not that of its certificate")]
    OtherKey,
    /// `certificate` and `private_key` in no format that the operator can turn into other ones.
    #[error("spec.format {0:?} cannot be turned into tls.crt and tls.key or a keystore; use pem, der or pem_bundle")]
    Format(String),
}

impl Issued {
    /// Reads an answer. `format` is what was asked for.
    ///
    /// # Errors
    /// If it holds no certificate, or no key, or they do not belong together.
    pub fn parse(answer: Arc<Value>, format: Option<&str>) -> Result<Self, IssuedError> {
        let text = |key| answer.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let serial = text("serial_number").ok_or(IssuedError::Missing("serial_number"))?.to_owned();
        let certificate = text("certificate").ok_or(IssuedError::Missing("certificate"))?;
        let key = text("private_key").ok_or(IssuedError::Missing("private_key"))?;
        if !is_readable(format) {
            let end = answer.get("expiration").and_then(Value::as_i64);
            let not_after = end.ok_or(IssuedError::Missing("expiration"))?;
            // When it was issued is recorded.
            let lifetime = Lifetime { not_before: 0, not_after };
            return Ok(Self { serial, lifetime, parts: None, answer });
        }
        let read = |name, text| {
            let all = Certificate::all_from_text(text).map_err(|error| IssuedError::Certificate(name, error))?;
            Ok(all.into_iter().take(MAX_CERTIFICATES))
        };
        // A bundle has the certificate first, and then its chain again.
        let certificate = read("certificate", certificate)?.next().ok_or(IssuedError::Missing("certificate"))?;
        if certificate.serial != normalized(&serial) {
            return Err(IssuedError::Serial { said: serial, found: certificate.serial });
        }
        let mut others = vec![];
        for item in answer.get("ca_chain").and_then(Value::as_array).into_iter().flatten().take(MAX_CERTIFICATES) {
            others.extend(read("ca_chain", item.as_str().unwrap_or_default())?);
        }
        let issuer = match text("issuing_ca") {
            Some(text) => read("issuing_ca", text)?.next(),
            None => None,
        };
        let chain = ordered(&certificate, others);
        let key = PrivateKey::read(key)?;
        if key.belongs_to(&certificate) == Some(false) {
            return Err(IssuedError::OtherKey);
        }
        let lifetime = Lifetime { not_before: certificate.not_before, not_after: certificate.not_after };
        Ok(Self { serial, lifetime, parts: Some(Parts { certificate, chain, issuer, key }), answer })
    }

    /// The data for the Secret. `tls`: with `tls.crt` and `tls.key`.
    ///
    /// # Errors
    /// If they are asked for and the format does not allow it.
    pub fn source(&self, tls: bool, format: Option<&str>) -> Result<SourceData, IssuedError> {
        let mut source = SourceData::flat(SOURCE, self.answer.clone());
        if let Some(chain) = self.chain_text() {
            source = source.with_text("ca_chain", chain);
        }
        if tls {
            source = source.with_added(self.parts(format)?.tls());
        }
        Ok(source)
    }

    /// `ca_chain` as VSO writes it: a text, and no list; here in order, and nothing twice.
    fn chain_text(&self) -> Option<Vec<u8>> {
        let items: Vec<&str> = self.answer.get("ca_chain")?.as_array()?.iter().filter_map(Value::as_str).collect();
        let is_pem = items.iter().all(|item| item.contains("-----BEGIN "));
        let texts = match &self.parts {
            Some(parts) if is_pem => parts.chain.iter().map(Certificate::pem).collect(),
            Some(parts) => parts.chain.iter().map(|certificate| STANDARD.encode(certificate.der())).collect(),
            None => items.into_iter().map(str::to_owned).collect::<Vec<_>>(),
        };
        (!texts.is_empty()).then(|| texts.join("\n").into_bytes())
    }

    fn parts(&self, format: Option<&str>) -> Result<&Parts, IssuedError> {
        self.parts.as_ref().ok_or_else(|| IssuedError::Format(format.unwrap_or_default().to_owned()))
    }

    /// The certificate, and what signed it: its chain, and its issuer if that is not in the chain.
    ///
    /// # Errors
    /// If the format does not allow it.
    pub fn certificates(&self, format: Option<&str>) -> Result<Vec<&Certificate>, IssuedError> {
        let Parts { certificate, chain, issuer, .. } = self.parts(format)?;
        let issuer = issuer.as_ref().filter(|issuer| chain.is_empty() && *issuer != certificate);
        Ok([certificate].into_iter().chain(chain).chain(issuer).collect())
    }

    /// The private key in PKCS#8.
    ///
    /// # Errors
    /// If the format does not allow it, or the key is none.
    pub fn pkcs8_key(&self, format: Option<&str>) -> Result<Vec<u8>, IssuedError> {
        let Parts { certificate, key, .. } = self.parts(format)?;
        key.pkcs8(certificate)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Parts {
    /// `tls.crt` and `tls.key` as VSO makes them; `ca.crt` where the issuer is a root, which is in no chain.
    fn tls(&self) -> BTreeMap<String, Vec<u8>> {
        let mut added = BTreeMap::new();
        let mut chain = vec![self.certificate.pem()];
        chain.extend(self.chain.iter().map(Certificate::pem));
        if let Some(issuer) = self.issuer.as_ref().filter(|_| self.chain.is_empty()) {
            if *issuer != self.certificate {
                chain.push(issuer.pem());
            }
            added.insert("ca.crt".to_owned(), issuer.pem().into_bytes());
        }
        added.insert("tls.crt".to_owned(), chain.join("\n").into_bytes());
        added.insert("tls.key".to_owned(), self.key.pem().into_bytes());
        added
    }
}

impl PrivateKey {
    fn read(text: &str) -> Result<Self, IssuedError> {
        let is_pem = text.contains("-----BEGIN ");
        let der = if is_pem {
            let block = pem::parse(text).map_err(|_| IssuedError::Key)?;
            block.into_contents()
        } else {
            STANDARD.decode(text.trim()).map_err(|_| IssuedError::Key)?
        };
        let key = Self { text: is_pem.then(|| text.to_owned()), der };
        key.typed().map(|_| ())?;
        Ok(key)
    }

    fn typed(&self) -> Result<PrivateKeyDer<'_>, IssuedError> {
        PrivateKeyDer::try_from(self.der.as_slice()).map_err(|_| IssuedError::Key)
    }

    /// Whether it is the key of a certificate. `None`: a kind of key that the library does not know.
    fn belongs_to(&self, certificate: &Certificate) -> Option<bool> {
        let key = aws_lc_rs::sign::any_supported_type(&self.typed().ok()?).ok()?;
        Some(key.public_key()?.as_ref() == certificate.public_key())
    }

    fn pem(&self) -> String {
        let label = match self.typed() {
            Ok(PrivateKeyDer::Pkcs1(_)) => "RSA PRIVATE KEY",
            Ok(PrivateKeyDer::Sec1(_)) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        self.text.clone().unwrap_or_else(|| to_pem(label, &self.der))
    }

    /// The algorithm of a key is that of the certificate.
    fn pkcs8(&self, certificate: &Certificate) -> Result<Vec<u8>, IssuedError> {
        use pkcs8::der::asn1::OctetStringRef;
        use pkcs8::der::{Decode as _, Encode as _};
        if let PrivateKeyDer::Pkcs8(_) = self.typed()? {
            return Ok(self.der.clone());
        }
        let algorithm = pkcs8::AlgorithmIdentifierRef::from_der(certificate.key_algorithm());
        let algorithm = algorithm.map_err(|_| IssuedError::Key)?;
        let key = OctetStringRef::new(&self.der).map_err(|_| IssuedError::Key)?;
        pkcs8::PrivateKeyInfoRef::new(algorithm, key).to_der().map_err(|_| IssuedError::Key)
    }
}

/// Whether certificates of a format are read.
fn is_readable(format: Option<&str>) -> bool {
    matches!(format, None | Some("pem" | "der" | "pem_bundle"))
}

/// Serial numbers are compared without regard to how a server writes them.
fn normalized(serial: &str) -> String {
    let text = serial.to_ascii_lowercase().replace('-', ":");
    text.strip_prefix("00:").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests;
