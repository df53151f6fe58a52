//! AES-256 in CBC mode: the password, cut or filled with zeros, is the key, and the initialization vector comes first.

use ::aes::Aes256;
use ::aes::cipher::{Block, BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;

use crate::gocompat::base64::{self, Alphabet};
use crate::gocompat::sprig::args::{Answer, bytes, string};
use crate::gocompat::template::{CallError, Context, Value};

const BLOCK: usize = 16;

fn cipher(password: &[u8]) -> Result<Aes256, CallError> {
    let mut key = [0; 32];
    key.iter_mut().zip(password).for_each(|(to, from)| *to = *from);
    Aes256::new_from_slice(&key).map_err(|_| CallError::new("crypto/aes: invalid key size"))
}

fn xor(block: &mut [u8], with: &[u8]) {
    block.iter_mut().zip(with).for_each(|(byte, other)| *byte ^= other);
}

pub(super) fn encrypt(ctx: &mut Context, a: &[Value]) -> Answer {
    let text = bytes(a, 1);
    if text.is_empty() {
        return Ok(string(""));
    }
    ctx.reserve(text.len().saturating_mul(3).saturating_add(4 * BLOCK))?;
    ctx.step_bytes(text.len().saturating_mul(4))?;
    let cipher = cipher(bytes(a, 0))?;
    let padding = BLOCK - text.len() % BLOCK;
    let mut out = vec![0; BLOCK];
    ctx.random(&mut out);
    out.extend_from_slice(text);
    out.extend(std::iter::repeat_n(padding as u8, padding));
    let mut previous = [0; BLOCK];
    previous.copy_from_slice(&out[..BLOCK]);
    for bytes in out[BLOCK..].chunks_exact_mut(BLOCK) {
        xor(bytes, &previous);
        let mut block = Block::<Aes256>::default();
        block.copy_from_slice(bytes);
        cipher.encrypt_block(&mut block);
        bytes.copy_from_slice(&block);
        previous.copy_from_slice(bytes);
    }
    Ok(string(STANDARD.encode(out)))
}

pub(super) fn decrypt(ctx: &mut Context, a: &[Value]) -> Answer {
    let text = bytes(a, 1);
    if text.is_empty() {
        return Ok(string(""));
    }
    ctx.reserve(text.len())?;
    ctx.step_bytes(text.len().saturating_mul(4))?;
    let decoded = base64::decode(Alphabet::Standard, text)
        .map_err(|at| CallError::new(format!("illegal base64 data at input byte {at}")))?;
    let cipher = cipher(bytes(a, 0))?;
    let Some((iv, encrypted)) = decoded.split_at_checked(BLOCK) else {
        let length = decoded.len();
        return Err(CallError::new(format!(
            "runtime error: slice bounds out of range [:{BLOCK}] with capacity {length}"
        )));
    };
    if encrypted.len() % BLOCK != 0 {
        return Err(CallError::new("crypto/cipher: input not full blocks"));
    }
    let mut out = encrypted.to_vec();
    let mut previous = iv;
    for (bytes, original) in out.chunks_exact_mut(BLOCK).zip(encrypted.chunks_exact(BLOCK)) {
        let mut block = Block::<Aes256>::default();
        block.copy_from_slice(bytes);
        cipher.decrypt_block(&mut block);
        bytes.copy_from_slice(&block);
        xor(bytes, previous);
        previous = original;
    }
    // The padding is not looked at but for its length.
    let length = out.last().and_then(|last| out.len().checked_sub(usize::from(*last)));
    match length {
        Some(length) => {
            out.truncate(length);
            Ok(string(out))
        }
        None => Err(CallError::new("runtime error: slice bounds out of range")),
    }
}
