//! PKCS#12: read as go-pkcs12 does, and written in its modern profile.
//!
//! Reading is by hand, since no library lets the caller bound what a hostile file asks for: each of its parts may want
//! a million rounds of hashing, or a gigabyte.

use p12_keystore::{Certificate as StoreCertificate, KeyStore, KeyStoreEntry, PrivateKey as StoreKey, PrivateKeyChain};

use super::certificate::{Certificate, NO_CERTIFICATE};
use super::der::{OBJECT, OCTETS, Reader, context};
use super::key::PrivateKey;
use crate::gocompat::template::{CallError, Context};

mod cipher;

/// Rounds of hashing that go-pkcs12 writes.
const ROUNDS: u32 = 2048;
/// What writing a part costs.
const STEPS_OF_A_PART: u64 = 10_000;

const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
/// Kinds of bags: 1.2.840.113549.1.12.10.1.x
const BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
const KEY_BAG: u8 = 1;
const SHROUDED_KEY_BAG: u8 = 2;
const CERTIFICATE_BAG: u8 = 3;
const X509: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];

const MALFORMED: &str = "pkcs12: error reading P12 data: the structure is malformed";
const INCORRECT: &str = "pkcs12: decryption password incorrect";
const UNSUPPORTED: &str = "pkcs12: an algorithm of the file is not supported";

fn malformed() -> CallError {
    CallError::new(MALFORMED)
}

/// What a file holds.
pub(crate) struct Content {
    pub key: PrivateKey,
    /// In the order of the file.
    pub certificates: Vec<Certificate>,
}

/// Reads a file with one key and its certificates (`DecodeChain`).
pub(crate) fn read(ctx: &mut Context, file: &[u8], password: &[u8]) -> Result<Content, CallError> {
    // What is decrypted is as long as what it is made of, on each of two levels.
    ctx.reserve(file.len().saturating_mul(3))?;
    let mut pfx = Reader::new(file).sequence().ok_or_else(malformed)?;
    if pfx.number() != Some(3) {
        return Err(CallError::new("pkcs12: can only decode v3 PFX PDU's"));
    }
    let mut outer = pfx.sequence().ok_or_else(malformed)?;
    if outer.take(OBJECT) != Some(DATA) {
        return Err(CallError::new("pkcs12: only password-protected PFX is implemented"));
    }
    let safe = content(&mut outer).ok_or_else(malformed)?;
    let password = cipher::Password::new(password).ok_or_else(|| CallError::new("pkcs12: string is not text"))?;
    let password = match pfx.sequence() {
        Some(mac) => cipher::check_mac(ctx, mac, safe, password)?,
        None if password.is_empty() => password,
        None => return Err(CallError::new("pkcs12: no MAC in data")),
    };
    let mut bags = Bags { key: None, certificates: vec![] };
    let mut parts = Reader::new(safe).sequence().ok_or_else(malformed)?;
    while !parts.is_empty() {
        ctx.step(4)?;
        let mut part = parts.sequence().ok_or_else(malformed)?;
        match part.take(OBJECT).ok_or_else(malformed)? {
            DATA => bags.read(ctx, content(&mut part).ok_or_else(malformed)?, &password)?,
            ENCRYPTED_DATA => {
                let mut wrapped = part.take(context(0)).map(Reader::new).ok_or_else(malformed)?;
                let mut encrypted = wrapped.sequence().ok_or_else(malformed)?;
                if encrypted.number() != Some(0) {
                    return Err(CallError::new("pkcs12: only version 0 of EncryptedData is supported"));
                }
                let mut info = encrypted.sequence().ok_or_else(malformed)?;
                info.take(OBJECT).ok_or_else(malformed)?;
                let algorithm = info.sequence().ok_or_else(malformed)?;
                // `[0] IMPLICIT OCTET STRING`
                let text = info.take(0x80).ok_or_else(malformed)?;
                let plain = cipher::decrypt(ctx, algorithm, text, &password)?;
                bags.read(ctx, &plain, &password)?;
            }
            _ => return Err(CallError::new("pkcs12: expected content type data or encryptedData")),
        }
    }
    match (bags.key, bags.certificates) {
        (_, certificates) if certificates.is_empty() => Err(CallError::new("pkcs12: certificate missing")),
        (None, _) => Err(CallError::new("pkcs12: private key missing")),
        (Some(key), certificates) => Ok(Content { key, certificates }),
    }
}

/// The octets in `[0]`.
fn content<'d>(reader: &mut Reader<'d>) -> Option<&'d [u8]> {
    Reader::new(reader.take(context(0))?).take(OCTETS)
}

struct Bags {
    key: Option<PrivateKey>,
    certificates: Vec<Certificate>,
}

impl Bags {
    fn read(&mut self, ctx: &mut Context, safe: &[u8], password: &cipher::Password) -> Result<(), CallError> {
        let mut bags = Reader::new(safe).sequence().ok_or_else(malformed)?;
        while !bags.is_empty() {
            ctx.step(4)?;
            let mut bag = bags.sequence().ok_or_else(malformed)?;
            let kind = bag.take(OBJECT).ok_or_else(malformed)?;
            let value = bag.take(context(0)).ok_or_else(malformed)?;
            match kind.strip_prefix(BAG) {
                Some([CERTIFICATE_BAG]) => self.add_certificate(value)?,
                Some([KEY_BAG]) => self.add_key(value)?,
                Some([SHROUDED_KEY_BAG]) => {
                    let mut shrouded = Reader::new(value).sequence().ok_or_else(malformed)?;
                    let algorithm = shrouded.sequence().ok_or_else(malformed)?;
                    let text = shrouded.take(OCTETS).ok_or_else(malformed)?;
                    let key = cipher::decrypt(ctx, algorithm, text, password)?;
                    self.add_key(&key)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add_certificate(&mut self, value: &[u8]) -> Result<(), CallError> {
        const MAX_CERTIFICATES: usize = 200;
        let mut bag = Reader::new(value).sequence().ok_or_else(malformed)?;
        if bag.take(OBJECT) != Some(X509) {
            return Err(CallError::new("pkcs12: only X509 certificates are supported"));
        }
        if self.certificates.len() >= MAX_CERTIFICATES {
            return Err(CallError::limit("pkcs12: the file has more than 200 certificates"));
        }
        let der = content(&mut bag).ok_or_else(malformed)?;
        self.certificates.push(Certificate::parse(der).ok_or_else(|| CallError::new(NO_CERTIFICATE))?);
        Ok(())
    }

    fn add_key(&mut self, pkcs8: &[u8]) -> Result<(), CallError> {
        if self.key.is_some() {
            return Err(CallError::new("pkcs12: expected exactly one key bag"));
        }
        let key = PrivateKey::pkcs8(pkcs8);
        self.key = Some(key.ok_or_else(|| CallError::new("pkcs12: error parsing PKCS#8 private key"))?);
        Ok(())
    }
}

/// Writes a key and its certificates, the one of the key first.
pub(crate) fn write_chain(
    ctx: &mut Context,
    key: &PrivateKey,
    certificates: &[Certificate],
    password: &[u8],
) -> Result<Vec<u8>, CallError> {
    let refused = |_| CallError::new("pkcs12: the key or a certificate cannot be written");
    let key = StoreKey::from_der(&key.to_pkcs8()).map_err(refused)?;
    let chain: Result<Vec<_>, _> = certificates.iter().map(|c| StoreCertificate::from_der(&c.der)).collect();
    let id = certificates.first().map(|c| fingerprint(&c.der)).unwrap_or_default();
    let mut store = KeyStore::new();
    store.add_entry("1", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(id, key, chain.map_err(refused)?)));
    write(ctx, &store, password)
}

/// Writes a trust store of Java.
pub(crate) fn write_trust_store(
    ctx: &mut Context,
    certificates: &[Certificate],
    password: &[u8],
) -> Result<Vec<u8>, CallError> {
    let mut store = KeyStore::new();
    for (index, certificate) in certificates.iter().enumerate() {
        let certificate = StoreCertificate::from_der(&certificate.der)
            .map_err(|_| CallError::new("pkcs12: a certificate cannot be written"))?;
        // The subject, as go-pkcs12 has it; but an alias must be another for each, and of the basic plane.
        let subject = certificate.subject();
        let is_free = store.entry(subject).is_none() && subject.chars().all(|c| u32::from(c) <= 0xffff);
        let alias = if is_free { subject.to_owned() } else { format!("{index:03}") };
        store.add_entry(&alias, KeyStoreEntry::Certificate(certificate));
    }
    write(ctx, &store, password)
}

fn write(ctx: &mut Context, store: &KeyStore, password: &[u8]) -> Result<Vec<u8>, CallError> {
    let refused = || CallError::new("pkcs12: the password has characters that a keystore cannot have");
    let password = std::str::from_utf8(password).map_err(|_| refused())?;
    // For the certificates, the key and the MAC.
    ctx.step(3 * STEPS_OF_A_PART)?;
    ctx.check_time()?;
    let writer = store.writer(password).encryption_iterations(ROUNDS).mac_iterations(ROUNDS);
    writer.write().map_err(|_| refused())
}

fn fingerprint(der: &[u8]) -> Vec<u8> {
    <sha1::Sha1 as sha2::Digest>::digest(der).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gocompat::pki::der::{element, integer, sequence};
    use crate::gocompat::template::{Environment, Limits};

    /// A file whose MAC, and whose only part, want so many rounds of hashing.
    fn file(mac_rounds: &[u8], part_rounds: &[u8], with_mac: bool) -> Vec<u8> {
        let sha1 = [0x2b, 0x0e, 0x03, 0x02, 0x1a];
        let triple_des = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x03];
        let salt = element(OCTETS, &[&[1; 8]]);
        let pbe = sequence(&[&element(OBJECT, &[&triple_des]), &sequence(&[&salt, &integer(part_rounds)])]);
        let info = sequence(&[&element(OBJECT, &[DATA]), &pbe, &element(0x80, &[&[0; 16]])]);
        let encrypted = sequence(&[&integer(&[0]), &info]);
        let part = sequence(&[&element(OBJECT, &[ENCRYPTED_DATA]), &element(context(0), &[&encrypted])]);
        let safe = element(context(0), &[&element(OCTETS, &[&sequence(&[&part])])]);
        let digest = sequence(&[&sequence(&[&element(OBJECT, &[&sha1])]), &element(OCTETS, &[&[0; 20]])]);
        let mac = sequence(&[&digest, &salt, &integer(mac_rounds)]);
        let content = sequence(&[&element(OBJECT, &[DATA]), &safe]);
        sequence(&[&integer(&[3]), &content, if with_mac { &mac } else { &[] }])
    }

    fn error(file: &[u8]) -> CallError {
        let mut ctx = Context::new(&Limits::default(), &Environment::default());
        read(&mut ctx, file, b"").err().expect("no key is in it")
    }

    #[test]
    fn a_file_cannot_ask_for_more_than_the_limits() {
        let begin = std::time::Instant::now();
        for many in [&[0x7f, 0xff, 0xff, 0xff][..], &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] {
            assert!(error(&file(many, &[1], true)).is_limit());
            assert!(error(&file(&[1], many, false)).is_limit());
        }
        assert_eq!(error(&file(&[8, 0], &[1], true)).shown(), INCORRECT);
        assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
    }

    #[test]
    fn cut_and_changed_files_are_errors() {
        let whole = file(&[2], &[2], true);
        for length in 0..whole.len() {
            error(&whole[..length]);
        }
        for at in 0..whole.len() {
            for value in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                error(&changed);
            }
        }
    }
}
