//! `html`, `js` and `urlquery`.

use super::super::format::{pointed_to, sprint};
use super::super::operand::Operand;
use super::super::strconv::{decode, is_print};
use super::super::value::Context;
use super::super::value::Value;
use super::Result;

/// The arguments as one text, in which nil is what an action prints for it. (`evalArgs`)
fn text(context: &mut Context, args: Vec<Operand>) -> Result<Vec<u8>> {
    let args: Vec<Value> = args
        .into_iter()
        .map(|arg| match arg.into_value() {
            Value::Nil => Value::str("<no value>"),
            value => pointed_to(value),
        })
        .collect();
    sprint(context, &args)
}

/// Counts the text that comes out; `width` is how long a byte may become.
fn reserve(context: &mut Context, text: &[u8], width: impl Fn(u8) -> usize) -> Result<usize> {
    let length = text.iter().map(|byte| width(*byte)).sum();
    context.step_bytes(length)?;
    context.reserve(length)?;
    Ok(length)
}

pub(super) fn html(context: &mut Context, args: Vec<Operand>) -> Result<Vec<u8>> {
    let text = text(context, args)?;
    let length = reserve(context, &text, |byte| match byte {
        b'"' | b'\'' | b'&' => 5,
        b'<' | b'>' => 4,
        0 => 3,
        _ => 1,
    })?;
    let mut out = Vec::with_capacity(length);
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            _ => out.push(byte),
        }
    }
    Ok(out)
}

pub(super) fn js(context: &mut Context, args: Vec<Operand>) -> Result<Vec<u8>> {
    let text = text(context, args)?;
    let length = reserve(context, &text, |byte| match byte {
        b'\\' | b'\'' | b'"' => 2,
        b'<' | b'>' | b'&' | b'=' | 0..b' ' => 6,
        0x80.. => 3,
        _ => 1,
    })?;
    let mut out = Vec::with_capacity(length);
    let mut rest = text.as_slice();
    while let Some(&byte) = rest.first() {
        let (c, width) = decode(rest);
        match byte {
            b'\\' | b'\'' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'<' | b'>' | b'&' | b'=' | 0..b' ' => out.extend_from_slice(format!("\\u{byte:04X}").as_bytes()),
            0..0x80 => out.push(byte),
            _ => match c.unwrap_or(char::REPLACEMENT_CHARACTER) {
                // A byte that is not UTF-8 stays as it is: U+FFFD is printable.
                c if is_print(c) => out.extend_from_slice(&rest[..width]),
                c => out.extend_from_slice(format!("\\u{:04X}", c as u32).as_bytes()),
            },
        }
        rest = &rest[width..];
    }
    Ok(out)
}

/// `url.QueryEscape`
pub(super) fn urlquery(context: &mut Context, args: Vec<Operand>) -> Result<Vec<u8>> {
    let text = text(context, args)?;
    let length = reserve(context, &text, |byte| if byte.is_ascii_alphanumeric() { 1 } else { 3 })?;
    let mut out = Vec::with_capacity(length);
    for byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'-' | b'_' | b'.' | b'~' => out.push(byte),
            _ if byte.is_ascii_alphanumeric() => out.push(byte),
            _ => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    Ok(out)
}
