//! `htpasswd` of the version of sprig that ESO has: a third argument names the hash.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::gocompat::sprig::args::{Answer, bytes, function, string};
use crate::gocompat::sprig::htpasswd::hash;
use crate::gocompat::template::{Context, Function, Type, Value};

const S: Type = Type::String;

/// ESO demands the third argument; older versions of it had none.
pub(super) static FUNCTIONS: &[Function] = &[function!("htpasswd", [S, S], ..S, htpasswd).volatile()];

fn htpasswd(ctx: &mut Context, a: &[Value]) -> Answer {
    let user = bytes(a, 0);
    if user.contains(&b':') {
        return Ok(string([b"invalid username: ", user].concat()));
    }
    if bytes(a, 2) == b"sha" {
        let hash = STANDARD.encode(Sha1::digest(bytes(a, 1)));
        return Ok(string([user, b":{SHA}", hash.as_bytes()].concat()));
    }
    let hash = hash(ctx, bytes(a, 1))?;
    Ok(string([user, b":", hash.as_bytes()].concat()))
}
