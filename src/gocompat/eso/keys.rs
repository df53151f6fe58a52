//! Functions over keys and keystores.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA512_MGF1SHA512, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::pem::count;
use crate::gocompat::pki::certificate::{Certificate, NO_CERTIFICATE, chain, parse_all};
use crate::gocompat::pki::key::PrivateKey;
use crate::gocompat::pki::{jwk, pem, pkcs12};
use crate::gocompat::sprig::args::{Answer, bytes, function, lossy, string};
use crate::gocompat::template::{CallError, Context, Function, Type, Value};

const S: Type = Type::String;

/// What an operation with a private key costs.
const STEPS_OF_AN_OPERATION: u64 = 10_000;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("fullPemToPkcs12", [S, S], |ctx, a| to_pkcs12(ctx, bytes(a, 0), bytes(a, 1), b"", true)).volatile(),
    function!("fullPemToPkcs12Pass", [S, S, S], |ctx, a| {
        to_pkcs12(ctx, bytes(a, 0), bytes(a, 1), bytes(a, 2), true)
    })
    .volatile(),
    function!("jwkPrivateKeyPem", [S], |ctx, a| {
        ctx.step(STEPS_OF_AN_OPERATION)?;
        ctx.reserve(bytes(a, 0).len().saturating_mul(4))?;
        jwk::private_pem(bytes(a, 0)).map(string).map_err(CallError::new)
    }),
    function!("jwkPublicKeyPem", [S], |ctx, a| {
        ctx.step(STEPS_OF_AN_OPERATION)?;
        ctx.reserve(bytes(a, 0).len().saturating_mul(4))?;
        jwk::public_pem(bytes(a, 0)).map(string).map_err(CallError::new)
    }),
    function!("pemToPkcs12", [S, S], |ctx, a| to_pkcs12(ctx, bytes(a, 0), bytes(a, 1), b"", false)).volatile(),
    function!("pemToPkcs12Pass", [S, S, S], |ctx, a| { to_pkcs12(ctx, bytes(a, 0), bytes(a, 1), bytes(a, 2), false) })
        .volatile(),
    function!("pemTruststoreToPKCS12", [S], |ctx, a| trust_store(ctx, bytes(a, 0), b"")).volatile(),
    function!("pemTruststoreToPKCS12Pass", [S, S], |ctx, a| trust_store(ctx, bytes(a, 0), bytes(a, 1))).volatile(),
    function!("pkcs12cert", [S], |ctx, a| certificates(ctx, b"", bytes(a, 0))),
    function!("pkcs12certPass", [S, S], |ctx, a| certificates(ctx, bytes(a, 0), bytes(a, 1))),
    function!("pkcs12key", [S], |ctx, a| private_key(ctx, b"", bytes(a, 0))),
    function!("pkcs12keyPass", [S, S], |ctx, a| private_key(ctx, bytes(a, 0), bytes(a, 1))),
    function!("rsaDecrypt", [S, S, S, S], rsa_decrypt),
];

fn wrapped(what: &str, error: &CallError) -> CallError {
    let text = format!("{what}{}", error.shown());
    if error.is_limit() { CallError::limit(text) } else { CallError::new(text) }
}

fn private_key(ctx: &mut Context, password: &[u8], file: &[u8]) -> Answer {
    let content = pkcs12::read(ctx, file, password)
        .map_err(|error| wrapped("unable to decode pkcs12 with password: ", &error))?;
    Ok(string(pem::encode("PRIVATE KEY", content.key.to_pkcs8())))
}

/// From the certificate of the key to the root if they are a chain, else as they are in the file.
fn certificates(ctx: &mut Context, password: &[u8], file: &[u8]) -> Answer {
    let content = pkcs12::read(ctx, file, password)
        .map_err(|error| wrapped("unable to decode pkcs12 certificate with password: ", &error))?;
    let certificates = chain(content.certificates.clone()).unwrap_or(content.certificates);
    Ok(string(certificates.iter().flat_map(Certificate::to_pem).collect::<Vec<u8>>()))
}

fn to_pkcs12(ctx: &mut Context, cert: &[u8], key: &[u8], password: &[u8], full: bool) -> Answer {
    count(ctx, cert)?;
    let failed = CallError::new;
    let mut certificates = all_certificates(cert, full)?;
    if !full {
        certificates.truncate(1);
    }
    let (block, _) = pem::decode(key).ok_or_else(|| failed("the key is not PEM"))?;
    let key = PrivateKey::parse(&block.bytes).ok_or_else(|| failed("unable to parse private key type"))?;
    let file = pkcs12::write_chain(ctx, &key, &certificates, password)?;
    ctx.reserve(file.len().saturating_mul(2))?;
    Ok(string(STANDARD.encode(file)))
}

/// The certificates of a text: the first, or all of them with nothing else.
fn all_certificates(text: &[u8], all: bool) -> Result<Vec<Certificate>, CallError> {
    let failed = CallError::new;
    if all {
        let certificates = parse_all(text).map_err(failed)?;
        if certificates.is_empty() || !is_all_pem(text) {
            return Err(failed("the certificates are not PEM, or something else follows them"));
        }
        return Ok(certificates);
    }
    let (block, _) = pem::decode(text).ok_or_else(|| failed("the certificate is not PEM"))?;
    Ok(vec![Certificate::parse(&block.bytes).ok_or_else(|| failed(NO_CERTIFICATE))?])
}

/// Whether nothing follows the last block.
fn is_all_pem(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((_, after)) = pem::decode(rest) {
        rest = after;
    }
    rest.is_empty()
}

fn trust_store(ctx: &mut Context, text: &[u8], password: &[u8]) -> Answer {
    count(ctx, text)?;
    let certificates = if text.is_empty() { vec![] } else { all_certificates(text, true)? };
    let file = pkcs12::write_trust_store(ctx, &certificates, password)?;
    ctx.reserve(file.len().saturating_mul(2))?;
    Ok(string(STANDARD.encode(file)))
}

fn rsa_decrypt(ctx: &mut Context, a: &[Value]) -> Answer {
    let (scheme, hash, text, key) = (bytes(a, 0), bytes(a, 1), bytes(a, 2), bytes(a, 3));
    match scheme {
        b"None" => return Ok(string(text)),
        b"RSA-OAEP" => {}
        other => {
            let text = format!("decryption scheme {} is not supported", lossy(other));
            return Err(CallError::secret(text, "decryption scheme is not supported"));
        }
    }
    let algorithm = match hash {
        b"SHA1" => &OAEP_SHA1_MGF1SHA1,
        b"SHA512" => &OAEP_SHA512_MGF1SHA512,
        _ => &OAEP_SHA256_MGF1SHA256,
    };
    ctx.step(STEPS_OF_AN_OPERATION)?;
    let failed = CallError::new;
    let (block, _) = pem::decode(key).ok_or_else(|| failed("failed to decode PEM block"))?;
    let key = PrivateKey::parse(&block.bytes)
        .ok_or_else(|| failed("could not parse private key: unable to parse private key type"))?;
    let PrivateKey::Rsa(_) = &key else { return Err(failed("could not parse RSA private key")) };
    let key = PrivateDecryptingKey::from_pkcs8(&key.to_pkcs8());
    let key = key.and_then(|key| Ok(OaepPrivateDecryptingKey::new(key)?));
    let key = key.map_err(|_| failed("could not parse private key: it has less than 2048 bits, or is not usable"))?;
    let mut plain = vec![0; key.min_output_size()];
    let plain = key.decrypt(algorithm, text, &mut plain, None);
    plain
        .map(|plain| string(&*plain))
        .map_err(|_| failed("error decrypting data with RSA: crypto/rsa: decryption error"))
}
