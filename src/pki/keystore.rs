//! A certificate and its key in the forms of Java: PKCS#12 and JKS.
//!
//! Beside each keystore there is a truststore with what signed the certificate, as cert-manager has it.

mod jks;

use std::collections::BTreeMap;

use p12_keystore::{Certificate as Pkcs12Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Certificate, Issued, IssuedError};

/// Alias of the key where none is given.
pub const DEFAULT_ALIAS: &str = "certificate";
/// Alias of the first certificate of a truststore.
const AUTHORITY_ALIAS: &str = "ca";

/// A form of keystore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeystoreForm {
    /// PKCS#12, encrypted with AES-256.
    Pkcs12,
    /// Java's own form before version 9.
    Jks,
}

impl KeystoreForm {
    /// The keys of the Secret: keystore and truststore.
    pub fn keys(self) -> [&'static str; 2] {
        match self {
            KeystoreForm::Pkcs12 => ["keystore.p12", "truststore.p12"],
            KeystoreForm::Jks => ["keystore.jks", "truststore.jks"],
        }
    }
}

/// What a keystore is made with.
pub struct KeystoreOptions<'a> {
    /// Its form.
    pub form: KeystoreForm,
    /// Alias of the key.
    pub alias: &'a str,
    /// Password of the store and of its key.
    pub password: &'a SecretString,
}

/// Why there is no keystore. It quotes nothing of key or password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// The certificate is in no form that can be turned into a keystore.
    #[error(transparent)]
    Issued(#[from] IssuedError),
    /// The library refuses it.
    #[error("{0} cannot be made: {1}")]
    Refused(&'static str, &'static str),
}

/// A key with its certificate and what signed that.
struct Content<'a> {
    alias: &'a str,
    key: Vec<u8>,
    certificates: Vec<&'a Certificate>,
}

/// Makes a keystore and a truststore of a certificate. `format` is what it was asked for in.
///
/// # Errors
/// If certificate, alias or password cannot be in one.
pub fn keystores(
    issued: &Issued,
    format: Option<&str>,
    options: &KeystoreOptions<'_>,
) -> Result<BTreeMap<String, Vec<u8>>, KeystoreError> {
    let KeystoreOptions { form, alias, password } = *options;
    let certificates = issued.certificates(format)?;
    let content = Content { alias, key: issued.pkcs8_key(format)?, certificates };
    let password = password.expose_secret();
    let stores = match form {
        KeystoreForm::Pkcs12 => content.pkcs12(password)?,
        KeystoreForm::Jks => content.jks(password)?,
    };
    Ok(form.keys().into_iter().map(str::to_owned).zip(stores).collect())
}

impl Content<'_> {
    /// Aliases of what signed the certificate.
    fn authorities(&self) -> impl Iterator<Item = (String, &Certificate)> {
        let alias = |at| if at == 0 { AUTHORITY_ALIAS.to_owned() } else { format!("{AUTHORITY_ALIAS}-{at}") };
        self.certificates.iter().skip(1).enumerate().map(move |(at, certificate)| (alias(at), *certificate))
    }

    fn pkcs12(&self, password: &str) -> Result<[Vec<u8>; 2], KeystoreError> {
        let refused =
            |_| KeystoreError::Refused("keystore.p12", "the library does not take the key or its certificate");
        let written =
            |_| KeystoreError::Refused("keystore.p12", "alias and password must be text of Unicode's basic plane");
        let certificate = |certificate: &Certificate| Pkcs12Certificate::from_der(certificate.der()).map_err(refused);
        let chain = self.certificates.iter().map(|c| certificate(c)).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKey::from_der(&self.key).map_err(refused)?;
        let mut keystore = KeyStore::new();
        let id = self.certificates.first().map(|c| c.fingerprint()).unwrap_or_default();
        keystore.add_entry(self.alias, KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(id, key, chain)));
        let mut truststore = KeyStore::new();
        for (alias, authority) in self.authorities() {
            truststore.add_entry(&alias, KeyStoreEntry::Certificate(certificate(authority)?));
        }
        Ok([keystore.writer(password).write().map_err(written)?, truststore.writer(password).write().map_err(written)?])
    }

    fn jks(&self, password: &str) -> Result<[Vec<u8>; 2], KeystoreError> {
        let refused = |()| KeystoreError::Refused("keystore.jks", "the alias is too long");
        let made = self.certificates.first().map_or(0, |certificate| certificate.not_before);
        let mut keystore = jks::Writer::new(made);
        keystore.add_key(self.alias, &self.key, &self.certificates, password).map_err(refused)?;
        let mut truststore = jks::Writer::new(made);
        for (alias, authority) in self.authorities() {
            truststore.add_certificate(&alias, authority).map_err(refused)?;
        }
        Ok([keystore.finish(password), truststore.finish(password)])
    }
}

#[cfg(test)]
mod tests;
