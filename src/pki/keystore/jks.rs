//! Java's keystore format, version 2, as OpenJDK's `sun.security.provider.JavaKeyStore` and `KeyProtector` read it.
//!
//! Its protection of keys is weak by design. It is made for programs that read nothing else.

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::pki::Certificate;

const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
const KEY_TAG: u32 = 1;
const CERTIFICATE_TAG: u32 = 2;
const CERTIFICATE_TYPE: &str = "X.509";
/// Part of the digest over a store.
const PHRASE: &[u8] = b"Mighty Aphrodite";
/// Bytes of SHA-1, and of the salt.
const DIGEST_BYTES: usize = 20;
/// `AlgorithmIdentifier` of the protection: 1.3.6.1.4.1.42.2.17.1.1 without parameters.
const PROTECTION: [u8; 16] =
    [0x30, 0x0E, 0x06, 0x0A, 0x2B, 0x06, 0x01, 0x04, 0x01, 0x2A, 0x02, 0x11, 0x01, 0x01, 0x05, 0x00];

/// Writes a store. Equal contents give equal bytes.
pub(super) struct Writer {
    entries: Vec<u8>,
    count: u32,
    /// When the entries were made, in milliseconds since 1970.
    made: i64,
}

impl Writer {
    /// `made` is the time of all entries, in seconds since 1970.
    pub fn new(made: i64) -> Self {
        Self { entries: vec![], count: 0, made: made.saturating_mul(1000) }
    }

    /// Adds a key (PKCS#8) with its certificate and what signed that.
    pub fn add_key(&mut self, alias: &str, key: &[u8], chain: &[&Certificate], password: &str) -> Result<(), ()> {
        let salt = Sha256::digest([alias.as_bytes(), chain.first().map_or(&[], |c| c.der())].concat());
        self.add_entry(KEY_TAG, alias)?;
        self.add_bytes(&protected(key, &salt[..DIGEST_BYTES], &utf16(password)));
        self.add_number(chain.len());
        chain.iter().for_each(|certificate| self.add_certificate_bytes(certificate));
        Ok(())
    }

    /// Adds a certificate that is trusted.
    pub fn add_certificate(&mut self, alias: &str, certificate: &Certificate) -> Result<(), ()> {
        self.add_entry(CERTIFICATE_TAG, alias)?;
        self.add_certificate_bytes(certificate);
        Ok(())
    }

    /// The store, with its digest.
    pub fn finish(self, password: &str) -> Vec<u8> {
        let head = [MAGIC, VERSION, self.count].map(u32::to_be_bytes).concat();
        let mut store = [head, self.entries].concat();
        let digest = Sha1::new().chain_update(utf16(password)).chain_update(PHRASE).chain_update(&store).finalize();
        store.extend_from_slice(&digest);
        store
    }

    fn add_entry(&mut self, tag: u32, alias: &str) -> Result<(), ()> {
        self.count += 1;
        self.entries.extend(tag.to_be_bytes());
        // Java looks for aliases in lower case only.
        self.add_text(&alias.to_lowercase())?;
        self.entries.extend(self.made.to_be_bytes());
        Ok(())
    }

    fn add_certificate_bytes(&mut self, certificate: &Certificate) {
        // It is short.
        let _ = self.add_text(CERTIFICATE_TYPE);
        self.add_bytes(certificate.der());
    }

    /// Text of Java's `DataOutput.writeUTF`, which is UTF-8 below U+10000.
    fn add_text(&mut self, text: &str) -> Result<(), ()> {
        if text.chars().any(|c| c == '\0' || u32::from(c) > 0xFFFF) {
            return Err(());
        }
        let length = u16::try_from(text.len()).map_err(drop)?;
        self.entries.extend(length.to_be_bytes());
        self.entries.extend(text.as_bytes());
        Ok(())
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.add_number(bytes.len());
        self.entries.extend(bytes);
    }

    /// Nothing that an answer of Vault holds is 4 GiB long.
    fn add_number(&mut self, number: usize) {
        self.entries.extend(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    }
}

/// A key as an `EncryptedPrivateKeyInfo`.
fn protected(key: &[u8], salt: &[u8], password: &[u8]) -> Vec<u8> {
    let digest = |bytes: &[u8]| Sha1::new().chain_update(password).chain_update(bytes).finalize();
    let mut protected = salt.to_vec();
    let mut mask = digest(salt);
    for chunk in key.chunks(DIGEST_BYTES) {
        protected.extend(chunk.iter().zip(mask.iter()).map(|(byte, mask)| byte ^ mask));
        mask = digest(&mask);
    }
    protected.extend_from_slice(&digest(key));
    der(0x30, &[PROTECTION.to_vec(), der(0x04, &protected)].concat())
}

/// A value of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut value = vec![tag];
    match (content.len(), u8::try_from(length.len())) {
        (..0x80, _) => value.extend(length.iter().copied().chain(length.is_empty().then_some(0))),
        (_, Ok(bytes)) => value.extend([0x80 | bytes].iter().chain(length)),
        (_, Err(_)) => {}
    }
    value.extend_from_slice(content);
    value
}

/// A password as Java's characters.
fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}
