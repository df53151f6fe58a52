//! Strings: lines, and how long they are.

use super::args::{bytes, function, int, string};
use super::strings::repeat;
use super::wrap::wrap;
use crate::gocompat::template::{CallError, Context, Function, Type};

const S: Type = Type::String;
const I: Type = Type::INT;

pub(super) static FUNCTIONS: &[Function] = &[
    function!("abbrev", [I, S], |_, a| {
        let (width, text) = (int(a, 0), bytes(a, 1));
        Ok(string(if width < 4 { text.to_vec() } else { abbreviate(text, 0, width) }))
    }),
    function!("abbrevboth", [I, I, S], |_, a| {
        let (left, right, text) = (int(a, 0), int(a, 1), bytes(a, 2));
        let as_is = right < 4 || left > 0 && right < 7;
        Ok(string(if as_is { text.to_vec() } else { abbreviate(text, left, right) }))
    }),
    function!("indent", [I, S], |ctx, a| Ok(string(indent(ctx, int(a, 0), bytes(a, 1), b"")?))),
    function!("nindent", [I, S], |ctx, a| Ok(string(indent(ctx, int(a, 0), bytes(a, 1), b"\n")?))),
    function!("trunc", [I, S], |_, a| Ok(string(trunc(int(a, 0), bytes(a, 1))))),
    function!("wrap", [I, S], |ctx, a| Ok(string(wrap(ctx, bytes(a, 1), int(a, 0), b"", false)?))),
    function!("wrapWith", [I, S, S], |ctx, a| Ok(string(wrap(ctx, bytes(a, 2), int(a, 0), bytes(a, 1), true)?))),
];

/// goutils `AbbreviateFull`, without its errors, which sprig drops. Widths are bytes.
fn abbreviate(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    if text.is_empty() || width < 4 {
        return Vec::new();
    }
    if length <= width {
        return text.to_vec();
    }
    // Within the text from here on: 0 < width < length.
    let at = |i: i64| usize::try_from(i).unwrap_or(0);
    let mut offset = offset.min(length);
    if length.saturating_sub(offset) < width - 3 {
        offset = length - (width - 3);
    }
    if offset <= 4 {
        return [&text[..at(width - 3)], b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + width - 3 < length {
        return [b"...".as_slice(), &abbreviate(&text[at(offset)..], 0, width - 3)].concat();
    }
    [b"...", &text[at(length - (width - 3))..]].concat()
}

fn indent(ctx: &mut Context, spaces: i64, text: &[u8], before: &[u8]) -> Result<Vec<u8>, CallError> {
    let pad = repeat(ctx, b" ", spaces)?;
    let lines = text.iter().filter(|b| **b == b'\n').count();
    ctx.step(lines as u64)?;
    ctx.reserve(pad.len().saturating_mul(lines + 1).saturating_add(text.len()))?;
    let mut out = before.to_vec();
    out.extend_from_slice(&pad);
    for byte in text {
        out.push(*byte);
        if *byte == b'\n' {
            out.extend_from_slice(&pad);
        }
    }
    Ok(out)
}

fn trunc(count: i64, text: &[u8]) -> &[u8] {
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        if wanted < text.len() { &text[text.len() - wanted..] } else { text }
    } else {
        &text[..wanted.min(text.len())]
    }
}
