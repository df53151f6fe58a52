//! base64, base32 and JSON.

use super::args::{Answer, any, bytes, function, string};
use crate::gocompat::base64;
use crate::gocompat::json::{self, Style};
use crate::gocompat::template::{CallError, Function, Type, Value};

const S: Type = Type::String;
const A: Type = Type::Any;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("b32dec", [S], |ctx, a| {
        // Each digit is looked for among all.
        ctx.step_bytes(bytes(a, 0).len().saturating_mul(2))?;
        ctx.reserve(bytes(a, 0).len())?;
        decoded(base32_decode(bytes(a, 0)), "base32")
    }),
    function!("b32enc", [S], |ctx, a| {
        ctx.reserve(bytes(a, 0).len() / 5 * 8 + 8)?;
        Ok(string(base32_encode(bytes(a, 0))))
    }),
    function!("b64dec", [S], |_, a| decoded(base64::decode(base64::Alphabet::Standard, bytes(a, 0)), "base64")),
    function!("b64enc", [S], |ctx, a| {
        ctx.reserve(bytes(a, 0).len() / 3 * 4 + 4)?;
        Ok(string(::base64::Engine::encode(&::base64::engine::general_purpose::STANDARD, bytes(a, 0))))
    }),
    function!("fromJson", [S], |ctx, a| match json::decode(ctx, bytes(a, 0)) {
        Ok((value, _)) => Ok(value),
        Err(json::DecodeError::Syntax(_)) => Ok(Value::Nil),
        Err(json::DecodeError::Limit(error)) => Err(error),
    }),
    function!("mustFromJson", [S], |ctx, a| match json::decode(ctx, bytes(a, 0)) {
        Ok((value, None)) => Ok(value),
        Ok((_, Some(text))) | Err(json::DecodeError::Syntax(text)) => Err(CallError::secret(text, "invalid JSON")),
        Err(json::DecodeError::Limit(error)) => Err(error),
    }),
    function!("mustToJson", [A], |ctx, a| must(json::encode(ctx, any(a, 0), Style::Html))),
    function!("mustToPrettyJson", [A], |ctx, a| must(json::encode_pretty(ctx, any(a, 0)))),
    function!("mustToRawJson", [A], |ctx, a| must(json::encode(ctx, any(a, 0), Style::Raw))),
    function!("toJson", [A], |ctx, a| or_empty(json::encode(ctx, any(a, 0), Style::Html))),
    function!("toPrettyJson", [A], |ctx, a| or_empty(json::encode_pretty(ctx, any(a, 0)))),
    function!("toRawJson", [A], |ctx, a| must(json::encode(ctx, any(a, 0), Style::Raw))),
];

fn must(written: Result<Vec<u8>, json::EncodeError>) -> Answer {
    match written {
        Ok(text) => Ok(string(text)),
        Err(json::EncodeError::Unsupported(error) | json::EncodeError::Limit(error)) => Err(error),
    }
}

fn or_empty(written: Result<Vec<u8>, json::EncodeError>) -> Answer {
    match written {
        Ok(text) => Ok(string(text)),
        Err(json::EncodeError::Unsupported(_)) => Ok(string("")),
        Err(json::EncodeError::Limit(error)) => Err(error),
    }
}

/// What is not base64 gives, as its text, the error.
fn decoded(result: Result<Vec<u8>, usize>, name: &str) -> Answer {
    Ok(string(result.unwrap_or_else(|at| format!("illegal {name} data at input byte {at}").into_bytes())))
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// `base32.StdEncoding.EncodeToString`.
pub(crate) fn base32_encode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 5 * 8 + 8);
    for group in text.chunks(5) {
        let mut bits = [0; 8];
        bits[3..3 + group.len()].copy_from_slice(group);
        let bits = u64::from_be_bytes(bits);
        let digits = (group.len() * 8).div_ceil(5);
        out.extend((0..8).map(|i| {
            let index = usize::try_from(bits >> (35 - 5 * i) & 31).unwrap_or(0);
            if i < digits { BASE32[index] } else { b'=' }
        }));
    }
    out
}

/// `base32.StdEncoding.DecodeString`. The error is the offset, not counting line ends.
fn base32_decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let text: Vec<u8> = text.iter().copied().filter(|b| *b != b'\r' && *b != b'\n').collect();
    let mut out = Vec::with_capacity(text.len() / 8 * 5);
    let mut at = 0;
    while at < text.len() {
        let (mut quantum, mut count, mut end) = (0u64, 0, false);
        while count < 8 {
            let Some(&byte) = text.get(at) else { return Err(at - count) };
            at += 1;
            let left = text.len() - at;
            if byte == b'=' && count >= 2 && left < 8 {
                if left + count < 7 {
                    return Err(text.len());
                }
                if let Some(k) = (0..7 - count).find(|k| left > *k && text[at + k] != b'=') {
                    return Err(at + k - 1);
                }
                if matches!(count, 1 | 3 | 6) {
                    return Err(at - 1);
                }
                end = true;
                break;
            }
            let Some(digit) = BASE32.iter().position(|d| *d == byte) else { return Err(at - 1) };
            quantum = quantum << 5 | digit as u64;
            count += 1;
        }
        let quantum = quantum << (5 * (8 - count));
        out.extend_from_slice(&quantum.to_be_bytes()[3..3 + count * 5 / 8]);
        if end {
            break;
        }
    }
    Ok(out)
}
