//! Random texts.

use super::args::{Answer, function, int, string};
use super::numbers::random_below;
use crate::gocompat::template::{CallError, Context, Function, Type, Value};

const I: Type = Type::INT;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("hello", [], |_, _| Ok(string("Hello!"))),
    function!("randAlpha", [I], |ctx, a| Ok(string(drawn(ctx, a, LETTERS)?))).volatile(),
    function!("randAlphaNum", [I], alphanumeric).volatile(),
    function!("randAscii", [I], |ctx, a| Ok(string(drawn(ctx, a, ASCII)?))).volatile(),
    function!("randBytes", [I], bytes).volatile(),
    function!("randNumeric", [I], |ctx, a| Ok(string(drawn(ctx, a, DIGITS)?))).volatile(),
    function!("uuidv4", [], uuid).volatile(),
];

const DIGITS: &[u8] = b"0123456789";
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LETTERS_AND_DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ASCII: &[u8] =
    b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";

/// As many characters as the argument says; none if it is negative.
fn drawn(ctx: &mut Context, a: &[Value], from: &[u8]) -> Result<Vec<u8>, CallError> {
    let count = usize::try_from(int(a, 0)).unwrap_or(0);
    ctx.reserve(count)?;
    ctx.step(count as u64 / 4)?;
    Ok((0..count).map(|_| one(ctx, from)).collect())
}

fn one(ctx: &mut Context, from: &[u8]) -> u8 {
    let index = random_below(ctx, from.len() as u64);
    usize::try_from(index).ok().and_then(|index| from.get(index)).copied().unwrap_or_default()
}

/// One of the characters at least is a digit.
fn alphanumeric(ctx: &mut Context, a: &[Value]) -> Answer {
    let mut text = drawn(ctx, a, LETTERS_AND_DIGITS)?;
    if !text.is_empty() && !text.iter().any(u8::is_ascii_digit) {
        let at = usize::try_from(random_below(ctx, text.len() as u64)).unwrap_or(0);
        text[at] = one(ctx, DIGITS);
    }
    Ok(string(text))
}

fn bytes(ctx: &mut Context, a: &[Value]) -> Answer {
    let count = usize::try_from(int(a, 0)).map_err(|_| CallError::new("runtime error: makeslice: len out of range"))?;
    ctx.reserve(count.saturating_mul(3))?;
    ctx.step_bytes(count)?;
    let mut bytes = vec![0; count];
    ctx.random(&mut bytes);
    Ok(string(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)))
}

fn uuid(ctx: &mut Context, _: &[Value]) -> Answer {
    let mut bytes = [0; 16];
    ctx.random(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    Ok(string([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")))
}
