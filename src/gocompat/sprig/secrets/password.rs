//! `derivePassword`: the passwords of the Master Password algorithm.

use hmac::{Hmac, KeyInit as _, Mac as _};
use parking_lot::Mutex;

use crate::gocompat::sprig::args::{Answer, any, bytes, string};
use crate::gocompat::template::{CallError, Context, Value};

/// What one derivation costs beside other work: a fifth of a second.
const STEPS_OF_A_DERIVATION: u64 = 500_000;

const SEED: &[u8] = b"com.lyndir.masterpassword";

/// A derivation takes 32 MiB, more than a rendering may have. So there is one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The forms of a type of password: a letter of a form is a class of characters.
fn forms(kind: &[u8]) -> Option<&'static [&'static [u8]]> {
    Some(match kind {
        b"maximum" => &[b"anoxxxxxxxxxxxxxxxxx", b"axxxxxxxxxxxxxxxxxno"],
        b"long" => &[
            b"CvcvnoCvcvCvcv",
            b"CvcvCvcvnoCvcv",
            b"CvcvCvcvCvcvno",
            b"CvccnoCvcvCvcv",
            b"CvccCvcvnoCvcv",
            b"CvccCvcvCvcvno",
            b"CvcvnoCvccCvcv",
            b"CvcvCvccnoCvcv",
            b"CvcvCvccCvcvno",
            b"CvcvnoCvcvCvcc",
            b"CvcvCvcvnoCvcc",
            b"CvcvCvcvCvccno",
            b"CvccnoCvccCvcv",
            b"CvccCvccnoCvcv",
            b"CvccCvccCvcvno",
            b"CvcvnoCvccCvcc",
            b"CvcvCvccnoCvcc",
            b"CvcvCvccCvccno",
            b"CvccnoCvcvCvcc",
            b"CvccCvcvnoCvcc",
            b"CvccCvcvCvccno",
        ],
        b"medium" => &[b"CvcnoCvc", b"CvcCvcno"],
        b"short" => &[b"Cvcn"],
        b"basic" => &[b"aaanaaan", b"aannaaan", b"aaannaaa"],
        b"pin" => &[b"nnnn"],
        _ => return None,
    })
}

fn class(letter: u8) -> &'static [u8] {
    match letter {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// A text with its length before it.
fn sized(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text].concat()
}

pub(super) fn derive(ctx: &mut Context, a: &[Value]) -> Answer {
    let counter = match any(a, 0) {
        Value::Uint(counter, _) => *counter as u32,
        _ => 0,
    };
    let (kind, password, user, site) = (bytes(a, 1), bytes(a, 2), bytes(a, 3), bytes(a, 4));
    let Some(forms) = forms(kind) else {
        return Ok(string([b"cannot find password template ", kind].concat()));
    };
    ctx.step(STEPS_OF_A_DERIVATION)?;
    ctx.check_time()?;
    let failed = || CallError::new("failed to derive password");
    let params = scrypt::Params::new(15, 8, 2).map_err(|_| failed())?;
    let mut key = [0; 64];
    {
        let _turn = ONE_AT_A_TIME.lock();
        ctx.check_time()?;
        scrypt::scrypt(password, &[SEED, &sized(user)].concat(), &params, &mut key).map_err(|_| failed())?;
    }
    let mac = Hmac::<sha2::Sha256>::new_from_slice(&key).map_err(|_| failed())?;
    let seed = mac.chain_update(SEED).chain_update(sized(site)).chain_update(counter.to_be_bytes()).finalize();
    let seed = seed.into_bytes();
    let form = forms[usize::from(seed[0]) % forms.len()];
    let letters = form.iter().zip(&seed[1..]).map(|(letter, number)| {
        let class = class(*letter);
        class[usize::from(*number) % class.len()]
    });
    Ok(string(letters.collect::<Vec<u8>>()))
}
