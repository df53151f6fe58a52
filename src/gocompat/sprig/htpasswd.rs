//! bcrypt as `golang.org/x/crypto` writes it.

use crate::gocompat::template::{CallError, Context};

/// What one hash costs beside other work: an object may make 25.
const STEPS_OF_A_HASH: u64 = 200_000;

/// Go's `bcrypt.DefaultCost`
const COST: u32 = 10;

pub(in crate::gocompat) fn hash(ctx: &mut Context, password: &[u8]) -> Result<String, CallError> {
    if password.len() > 72 {
        return Ok("failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".to_owned());
    }
    ctx.step(STEPS_OF_A_HASH)?;
    ctx.check_time()?;
    let mut salt = [0; 16];
    ctx.random(&mut salt);
    let parts = bcrypt::hash_with_salt(password, COST, salt)
        .map_err(|_| CallError::new("failed to encrypt string with bcrypt"))?;
    Ok(parts.format_for_version(bcrypt::Version::TwoA))
}
