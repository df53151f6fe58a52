//! Digests, passwords and certificates.

use super::args::{Answer, bytes, function, string};
use super::htpasswd::hash;
use super::keys;
use crate::gocompat::template::{Context, Function, Type, Value};

const S: Type = Type::String;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("adler32sum", [S], |_, a| Ok(string(adler32(bytes(a, 0)).to_string()))),
    function!("bcrypt", [S], |ctx, a| Ok(string(hash(ctx, bytes(a, 0))?))).volatile(),
    function!("buildCustomCert", [S, S], keys::build_custom_cert),
    function!("htpasswd", [S, S], htpasswd).volatile(),
    function!("sha1sum", [S], digest::<sha1::Sha1>),
    function!("sha256sum", [S], digest::<sha2::Sha256>),
    function!("sha512sum", [S], digest::<sha2::Sha512>),
];

fn digest<D: sha2::Digest>(_: &mut Context, args: &[Value]) -> Answer {
    Ok(string(hex::encode(D::digest(bytes(args, 0)))))
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut a, mut b) = (1, 0);
    for byte in bytes {
        a = (a + u32::from(*byte)) % MODULUS;
        b = (b + a) % MODULUS;
    }
    b << 16 | a
}

fn htpasswd(ctx: &mut Context, args: &[Value]) -> Answer {
    let user = bytes(args, 0);
    if user.contains(&b':') {
        return Ok(string([b"invalid username: ", user].concat()));
    }
    let hash = hash(ctx, bytes(args, 1))?;
    Ok(string([user, b":", hash.as_bytes()].concat()))
}
