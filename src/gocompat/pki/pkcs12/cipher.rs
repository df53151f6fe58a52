//! What protects the parts of a PKCS#12 file: passwords, MACs and ciphers.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt as _, InnerIvInit as _, KeyInit, KeyIvInit as _};
use hmac::{Hmac, Mac as _};
use sha2::Digest;

use super::{INCORRECT, UNSUPPORTED, malformed};
use crate::gocompat::pki::der::{OBJECT, OCTETS, Reader};
use crate::gocompat::template::{CallError, Context};

const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];

const TRIPLE_DES: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x03];
const RC2_128: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x05];
const RC2_40: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01, 0x06];
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
const HMAC_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x07];
const HMAC_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09];
const HMAC_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0b];
const AES_128: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];
const AES_192: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x16];
const AES_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

/// A password in the two forms in which it is hashed.
#[derive(Clone)]
pub(super) struct Password {
    text: Vec<u8>,
    /// UTF-16 with a zero at the end; or nothing, as some programs write an empty password.
    wide: Vec<u8>,
}

impl Password {
    pub fn new(text: &[u8]) -> Option<Password> {
        let units = std::str::from_utf8(text).ok()?.encode_utf16().chain([0]);
        Some(Password { text: text.to_vec(), wide: units.flat_map(u16::to_be_bytes).collect() })
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// Counts rounds of hashing before they are made: one is about a microsecond.
fn count(ctx: &mut Context, rounds: u64, blocks: u64) -> Result<(), CallError> {
    ctx.step(rounds.saturating_mul(2).saturating_mul(blocks))?;
    ctx.check_time()
}

/// Checks the MAC, and gives the password in the form in which it fits.
pub(super) fn check_mac(
    ctx: &mut Context,
    mut mac: Reader<'_>,
    data: &[u8],
    password: Password,
) -> Result<Password, CallError> {
    let mut digest = mac.sequence().ok_or_else(malformed)?;
    let algorithm = digest.sequence().and_then(|mut a| a.take(OBJECT)).ok_or_else(malformed)?;
    let expected = digest.take(OCTETS).ok_or_else(malformed)?;
    let salt = mac.take(OCTETS).ok_or_else(malformed)?;
    let rounds = if mac.is_empty() { 1 } else { mac.number().ok_or_else(malformed)? };
    let mut fits = |password: &Password| {
        count(ctx, rounds, 1)?;
        ctx.step_bytes(salt.len().saturating_add(data.len()))?;
        match algorithm {
            SHA1 => Ok(mac_fits::<sha1::Sha1>(password, salt, rounds, data, expected)),
            SHA256 => Ok(mac_fits::<sha2::Sha256>(password, salt, rounds, data, expected)),
            SHA512 => Ok(mac_fits::<sha2::Sha512>(password, salt, rounds, data, expected)),
            _ => Err(CallError::new(UNSUPPORTED)),
        }
    };
    if fits(&password)? {
        return Ok(password);
    }
    let other = Password { wide: vec![], ..password };
    if other.is_empty() && fits(&other)? {
        return Ok(other);
    }
    Err(CallError::new(INCORRECT))
}

fn mac_fits<D>(password: &Password, salt: &[u8], rounds: u64, data: &[u8], expected: &[u8]) -> bool
where
    D: Hash,
{
    let key = derive::<D>(password, salt, rounds, 3, <D as Digest>::output_size());
    D::mac_fits(&key, data, expected)
}

/// What is needed of a hash function.
trait Hash: Digest {
    const BLOCK: usize;
    fn mac_fits(key: &[u8], data: &[u8], expected: &[u8]) -> bool;
}

impl Hash for sha1::Sha1 {
    const BLOCK: usize = 64;
    fn mac_fits(key: &[u8], data: &[u8], expected: &[u8]) -> bool {
        <Hmac<sha1::Sha1> as hmac::KeyInit>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(data).verify_slice(expected).is_ok())
    }
}

impl Hash for sha2::Sha256 {
    const BLOCK: usize = 64;
    fn mac_fits(key: &[u8], data: &[u8], expected: &[u8]) -> bool {
        <Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(data).verify_slice(expected).is_ok())
    }
}

impl Hash for sha2::Sha512 {
    const BLOCK: usize = 128;
    fn mac_fits(key: &[u8], data: &[u8], expected: &[u8]) -> bool {
        <Hmac<sha2::Sha512> as hmac::KeyInit>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(data).verify_slice(expected).is_ok())
    }
}

/// The key derivation of PKCS#12 (RFC 7292, appendix B.2). `purpose`: 1 is a key, 2 an initialization vector, 3 a MAC.
fn derive<D: Hash>(password: &Password, salt: &[u8], rounds: u64, purpose: u8, length: usize) -> Vec<u8> {
    let fill = |bytes: &[u8]| -> Vec<u8> {
        let length = bytes.len().div_ceil(D::BLOCK) * D::BLOCK;
        bytes.iter().copied().cycle().take(if bytes.is_empty() { 0 } else { length }).collect()
    };
    let mut input = [fill(salt), fill(&password.wide)].concat();
    let mut out = vec![];
    while out.len() < length {
        let mut hash = D::new().chain_update(vec![purpose; D::BLOCK]).chain_update(&input).finalize();
        for _ in 1..rounds {
            hash = D::digest(&hash);
        }
        out.extend_from_slice(&hash);
        // Each block of the input plus the hash, plus one.
        let addend: Vec<u8> = hash.iter().copied().cycle().take(D::BLOCK).collect();
        for block in input.chunks_exact_mut(D::BLOCK) {
            let mut carry = 1;
            for (byte, add) in block.iter_mut().zip(&addend).rev() {
                let sum = u16::from(*byte) + u16::from(*add) + carry;
                *byte = (sum & 0xff) as u8;
                carry = sum >> 8;
            }
        }
    }
    out.truncate(length);
    out
}

/// Decrypts a part.
pub(super) fn decrypt(
    ctx: &mut Context,
    mut algorithm: Reader<'_>,
    text: &[u8],
    password: &Password,
) -> Result<Vec<u8>, CallError> {
    ctx.step_bytes(text.len().saturating_mul(4))?;
    let object = algorithm.take(OBJECT).ok_or_else(malformed)?;
    let mut parameters = algorithm.sequence().ok_or_else(malformed)?;
    if object == PBES2 {
        return decrypt_pbes2(ctx, parameters, text, password);
    }
    let key_length = match object {
        TRIPLE_DES => 24,
        RC2_128 => 16,
        RC2_40 => 5,
        _ => return Err(CallError::new(UNSUPPORTED)),
    };
    let salt = parameters.take(OCTETS).ok_or_else(malformed)?;
    let rounds = parameters.number().ok_or_else(malformed)?;
    count(ctx, rounds, 3)?;
    ctx.step_bytes(salt.len())?;
    let key = derive::<sha1::Sha1>(password, salt, rounds, 1, key_length);
    let iv = derive::<sha1::Sha1>(password, salt, rounds, 2, 8);
    let plain = match object {
        TRIPLE_DES => unpadded::<des::TdesEde3>(&key, &iv, text),
        _ => {
            let cipher = rc2::Rc2::new_with_eff_key_len(&key, key_length * 8);
            let iv = iv.as_slice().try_into().map_err(|_| malformed())?;
            without_padding(cbc::Decryptor::inner_iv_init(cipher, iv), text)
        }
    };
    plain.ok_or_else(|| CallError::new(INCORRECT))
}

fn decrypt_pbes2(
    ctx: &mut Context,
    mut parameters: Reader<'_>,
    text: &[u8],
    password: &Password,
) -> Result<Vec<u8>, CallError> {
    let unsupported = || CallError::new(UNSUPPORTED);
    let mut derivation = parameters.sequence().ok_or_else(malformed)?;
    let mut cipher = parameters.sequence().ok_or_else(malformed)?;
    if derivation.take(OBJECT) != Some(PBKDF2) {
        return Err(unsupported());
    }
    let mut derivation = derivation.sequence().ok_or_else(malformed)?;
    let salt = derivation.take(OCTETS).ok_or_else(malformed)?;
    let rounds = derivation.number().ok_or_else(malformed)?;
    if derivation.peek() == Some(crate::gocompat::pki::der::INTEGER) {
        derivation.element();
    }
    let hash = match derivation.sequence().and_then(|mut hash| hash.take(OBJECT)) {
        None | Some(HMAC_SHA1) => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(HMAC_SHA256) => pbkdf2::PBKDF2_HMAC_SHA256,
        Some(HMAC_SHA512) => pbkdf2::PBKDF2_HMAC_SHA512,
        Some(_) => return Err(unsupported()),
    };
    let object = cipher.take(OBJECT).ok_or_else(malformed)?;
    let iv = cipher.take(OCTETS).ok_or_else(malformed)?;
    let mut key = match object {
        AES_128 => vec![0; 16],
        AES_192 => vec![0; 24],
        AES_256 => vec![0; 32],
        _ => return Err(unsupported()),
    };
    // A key of 32 bytes is two blocks of SHA-1.
    count(ctx, rounds, 2)?;
    ctx.step_bytes(salt.len())?;
    let rounds = u32::try_from(rounds).ok().and_then(NonZeroU32::new).ok_or_else(malformed)?;
    pbkdf2::derive(hash, rounds, salt, &password.text, &mut key);
    let plain = match object {
        AES_128 => unpadded::<aes::Aes128>(&key, iv, text),
        AES_192 => unpadded::<aes::Aes192>(&key, iv, text),
        _ => unpadded::<aes::Aes256>(&key, iv, text),
    };
    plain.ok_or_else(|| CallError::new(INCORRECT))
}

fn unpadded<C>(key: &[u8], iv: &[u8], text: &[u8]) -> Option<Vec<u8>>
where
    C: BlockCipherDecrypt + KeyInit,
{
    without_padding(cbc::Decryptor::<C>::new_from_slices(key, iv).ok()?, text)
}

/// Decrypts and takes the padding away; `None` if that is wrong.
fn without_padding<C: BlockCipherDecrypt>(decryptor: cbc::Decryptor<C>, text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = text.to_vec();
    let length = decryptor.decrypt_padded::<Pkcs7>(&mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}
