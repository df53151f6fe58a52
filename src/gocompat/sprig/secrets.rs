//! Passwords, ciphers, keys and certificates.

use core::net::IpAddr;
use std::any::Any;
use std::sync::Arc;

use super::args::{Answer, any, bytes, function, int, lossy, string};
use super::keys::Certificate;
use crate::gocompat::pki::issue::{self, Authority, Request};
use crate::gocompat::pki::key::PrivateKey;
use crate::gocompat::pki::pem;
use crate::gocompat::template::{CallError, Context, Function, Kind, Type, UintKind, Value};

mod aes;
mod password;

const S: Type = Type::String;
const I: Type = Type::INT;
const L: Type = Type::ANY_LIST;
const C: Type = Type::Named("sprig.certificate", Kind::Struct);
const U32: Type = Type::Uint(UintKind::Uint32);

pub(super) static FUNCTIONS: &[Function] = &[
    function!("decryptAES", [S, S], aes::decrypt),
    function!("derivePassword", [U32, S, S, S, S], password::derive),
    function!("encryptAES", [S, S], aes::encrypt).volatile(),
    function!("genCA", [S, I], |ctx, a| {
        let key = issue::rsa(ctx, 2048)?;
        made(ctx, &request(a, 1, true)?, &key, None)
    })
    .volatile(),
    function!("genCAWithKey", [S, I, S], |ctx, a| {
        let key = key(bytes(a, 2), "parsing private key")?;
        made(ctx, &request(a, 1, true)?, &key, None)
    })
    .volatile(),
    function!("genPrivateKey", [S], private_key).volatile(),
    function!("genSelfSignedCert", [S, L, L, I], |ctx, a| {
        let key = issue::rsa(ctx, 2048)?;
        made(ctx, &request(a, 3, false)?, &key, None)
    })
    .volatile(),
    function!("genSelfSignedCertWithKey", [S, L, L, I, S], |ctx, a| {
        let key = key(bytes(a, 4), "parsing private key")?;
        made(ctx, &request(a, 3, false)?, &key, None)
    })
    .volatile(),
    function!("genSignedCert", [S, L, L, I, C], |ctx, a| {
        let authority = authority(any(a, 4))?;
        let key = issue::rsa(ctx, 2048)?;
        made(ctx, &request(a, 3, false)?, &key, Some(&authority))
    })
    .volatile(),
    function!("genSignedCertWithKey", [S, L, L, I, C, S], |ctx, a| {
        let key = key(bytes(a, 5), "parsing private key")?;
        made(ctx, &request(a, 3, false)?, &key, Some(&authority(any(a, 4))?))
    })
    .volatile(),
    function!("hexdec", [S], |ctx, a| {
        ctx.reserve(bytes(a, 0).len())?;
        hex::decode(bytes(a, 0)).map(string).map_err(|_| CallError::new("encoding/hex: invalid text"))
    }),
];

fn key(text: &[u8], what: &str) -> Result<PrivateKey, CallError> {
    PrivateKey::from_pem(text).map_err(|why| CallError::new(format!("{what}: {why}")))
}

fn private_key(ctx: &mut Context, a: &[Value]) -> Answer {
    let key = match bytes(a, 0) {
        b"" | b"rsa" => issue::rsa(ctx, 4096)?,
        b"ecdsa" => issue::ecdsa(ctx)?,
        b"ed25519" => issue::ed25519(ctx),
        b"dsa" => return Err(CallError::new("keys of type dsa are not supported: use rsa, ecdsa or ed25519")),
        other => return Ok(string([b"Unknown type ", other].concat())),
    };
    Ok(string(key.to_pem()))
}

/// What a certificate shall say: the name is the first argument, `days` the place of the days, and between them are
/// addresses and names.
fn request(a: &[Value], days: usize, is_authority: bool) -> Result<Request<'_>, CallError> {
    let common_name = std::str::from_utf8(bytes(a, 0))
        .map_err(|_| CallError::new("error creating certificate: the common name is not UTF-8"))?;
    let mut request = Request { common_name, addresses: vec![], names: vec![], days: int(a, days), is_authority };
    if days > 1 {
        for value in any(a, 1).elements().unwrap_or_default() {
            let text = value.as_string().map(|text| lossy(text).into_owned());
            let text = text.ok_or_else(|| CallError::new("error parsing ip: an element is not a string"))?;
            let address: IpAddr = text.parse().map_err(|_| CallError::new("error parsing ip"))?;
            request.addresses.push(address);
        }
        for value in any(a, 2).elements().unwrap_or_default() {
            let text = value.as_string().map(|text| lossy(text).into_owned());
            let error = "error processing alternate dns name: an element is not a string";
            request.names.push(text.ok_or_else(|| CallError::new(error))?);
        }
    }
    Ok(request)
}

/// The authority that an earlier call has made.
fn authority(value: &Value) -> Result<Authority, CallError> {
    let object: Option<&dyn Any> = match value {
        Value::Object(object) => Some(object.as_any()),
        _ => None,
    };
    let held = object.and_then(|object| object.downcast_ref::<Certificate>());
    let held = held.ok_or_else(|| CallError::new("unable to decode certificate"))?;
    let (block, _) = pem::decode(&held.cert).ok_or_else(|| CallError::new("unable to decode certificate"))?;
    Ok(Authority { certificate: block.bytes, key: key(&held.key, "error parsing private key")? })
}

fn made(ctx: &mut Context, request: &Request<'_>, key: &PrivateKey, authority: Option<&Authority>) -> Answer {
    let cert = issue::certificate(ctx, request, key, authority)?;
    Ok(Value::Object(Arc::new(Certificate { cert, key: key.to_pem() })))
}
