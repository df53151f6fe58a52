//! The values of templates as `json.Marshal` and an `Encoder` write them.

use super::{Style, escape};
use crate::gocompat::template::format::shortest;
use crate::gocompat::template::{CallError, Context, MAX_NESTING, Value};

/// Why a value could not be written.
pub(crate) enum EncodeError {
    /// JSON cannot hold the value.
    Unsupported(CallError),
    /// The template's limits are reached.
    Limit(CallError),
}

fn unsupported(text: impl Into<String>) -> EncodeError {
    EncodeError::Unsupported(CallError::new(text))
}

/// `json.Marshal`
pub(crate) fn encode(ctx: &mut Context, value: &Value, style: Style) -> Result<Vec<u8>, EncodeError> {
    value.check_nesting(ctx).map_err(EncodeError::Limit)?;
    let mut out = Vec::new();
    write_value(ctx, &mut out, value, style, 0)?;
    Ok(out)
}

fn write_value(
    ctx: &mut Context,
    out: &mut Vec<u8>,
    value: &Value,
    style: Style,
    depth: usize,
) -> Result<(), EncodeError> {
    if depth > MAX_NESTING {
        return Err(EncodeError::Limit(CallError::limit("value is nested too deep")));
    }
    let before = out.len();
    match value {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Bool(b) => out.extend_from_slice(if *b { b"true" } else { b"false" }),
        Value::Int(i, _) | Value::Duration(i) => out.extend_from_slice(i.to_string().as_bytes()),
        Value::Uint(u, _) => out.extend_from_slice(u.to_string().as_bytes()),
        Value::Float(f) => write_float(out, *f)?,
        Value::Complex(..) => return Err(unsupported("json: unsupported type: complex128")),
        Value::Str(s) => write_string(ctx, out, s, style)?,
        Value::JsonNumber(n) if n.is_empty() => out.push(b'0'),
        Value::JsonNumber(n) if is_number(n) => {
            ctx.step_bytes(n.len()).and_then(|()| ctx.reserve(n.len())).map_err(EncodeError::Limit)?;
            out.extend_from_slice(n);
        }
        Value::JsonNumber(n) => {
            let text = format!("json: invalid number literal {:?}", n.to_text());
            return Err(EncodeError::Unsupported(CallError::secret(text, "json: invalid number literal")));
        }
        Value::Bytes(b) => {
            let length = b.len().saturating_mul(3);
            ctx.step_bytes(length).and_then(|()| ctx.reserve(length)).map_err(EncodeError::Limit)?;
            out.push(b'"');
            out.extend(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &**b).as_bytes());
            out.push(b'"');
        }
        Value::List(list) if list.is_nil() => out.extend_from_slice(b"null"),
        Value::List(list) => {
            out.push(b'[');
            // The elements as they are now.
            ctx.reserve_items(list.len()).map_err(EncodeError::Limit)?;
            for (i, item) in list.items().iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_value(ctx, out, item, style, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Map(map) if map.is_nil() => out.extend_from_slice(b"null"),
        Value::Map(map) => {
            out.push(b'{');
            ctx.reserve_items(map.len().saturating_mul(2)).map_err(EncodeError::Limit)?;
            for (i, (key, item)) in map.entries().iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(ctx, out, key, style)?;
                out.push(b':');
                write_value(ctx, out, item, style, depth + 1)?;
            }
            out.push(b'}');
        }
        Value::Object(object) => {
            if let Some(text) = object.marshal_text() {
                write_string(ctx, out, &text, style)?;
            } else {
                out.push(b'{');
                for (i, (name, _, field)) in object.fields().iter().filter(|(_, public, _)| *public).enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write_string(ctx, out, name.as_bytes(), style)?;
                    out.push(b':');
                    write_value(ctx, out, field, style, depth + 1)?;
                }
                out.push(b'}');
            }
        }
    }
    // Texts, and what a container holds, have been counted before they were written.
    let counted = match value {
        Value::Bool(_) | Value::Int(..) | Value::Uint(..) | Value::Duration(_) | Value::Float(_) => out.len() - before,
        _ => 4,
    };
    ctx.reserve(counted).and_then(|()| ctx.step(1)).map_err(EncodeError::Limit)
}

fn write_float(out: &mut Vec<u8>, f: f64) -> Result<(), EncodeError> {
    if !f.is_finite() {
        let name = if f.is_nan() {
            "NaN"
        } else if f > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return Err(unsupported(format!("json: unsupported value: {name}")));
    }
    let magnitude = f.abs();
    if magnitude == 0.0 || (1e-6..1e21).contains(&magnitude) {
        let text = f.to_string();
        let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        // The even one of two that are as near, as in `shortest`.
        let even = format!("{f:.places$}");
        out.extend_from_slice(if places > 0 && even.parse() == Ok(f) { even } else { text }.as_bytes());
        return Ok(());
    }
    // Go writes e+21 and e-7, without the leading zero of other places.
    let text = shortest(f);
    match text.split_once('e') {
        Some((mantissa, exponent)) if !exponent.starts_with('-') => {
            out.extend_from_slice(format!("{mantissa}e+{exponent}").as_bytes());
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

fn write_string(ctx: &mut Context, out: &mut Vec<u8>, text: &[u8], style: Style) -> Result<(), EncodeError> {
    let is_text = std::str::from_utf8(text).is_ok();
    let width = |byte: &u8| match byte {
        b'"' | b'\\' => 2,
        // The escaped line separators begin with this byte.
        0..b' ' | b'<' | b'>' | b'&' | 0xE2 => 6,
        0x80.. if !is_text => 6,
        _ => 1,
    };
    let length = 3 + text.iter().map(width).sum::<usize>();
    ctx.step_bytes(length).and_then(|()| ctx.reserve(length)).map_err(EncodeError::Limit)?;
    write_bytes(out, text, style);
    Ok(())
}

/// Appends bytes as a JSON string. Each byte that is no text is replaced by itself.
pub(crate) fn write_bytes(out: &mut Vec<u8>, text: &[u8], style: Style) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        escape(chunk.valid(), style, |part| out.extend_from_slice(part.as_bytes()));
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

/// `isValidNumber`
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|b| b.is_ascii_digit()).count();
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    rest = match rest {
        [b'0', rest @ ..] => rest,
        [b'1'..=b'9', ..] => &rest[digits(rest)..],
        _ => return false,
    };
    if let [b'.', b'0'..=b'9', ..] = rest {
        rest = &rest[1 + digits(&rest[1..])..];
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        let tail = tail.strip_prefix(b"+").or_else(|| tail.strip_prefix(b"-")).unwrap_or(tail);
        if tail.is_empty() {
            return false;
        }
        rest = &tail[digits(tail)..];
    }
    rest.is_empty()
}

/// `json.MarshalIndent(value, "", "  ")`
pub(crate) fn encode_pretty(ctx: &mut Context, value: &Value) -> Result<Vec<u8>, EncodeError> {
    let compact = encode(ctx, value, Style::Html)?;
    ctx.step_bytes(compact.len())
        .and_then(|()| ctx.reserve(compact.len().saturating_mul(2)))
        .map_err(EncodeError::Limit)?;
    let mut out = Vec::with_capacity(compact.len() * 2);
    let mut depth = 0;
    let (mut in_string, mut escaped) = (false, false);
    let mut bytes = compact.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if in_string {
            out.push(byte);
            (in_string, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                if let Some(close) = bytes.next_if(|next| *next == byte + 2) {
                    out.push(close);
                } else {
                    depth += 1;
                    new_line(ctx, &mut out, depth)?;
                }
            }
            b'}' | b']' => {
                depth -= 1;
                new_line(ctx, &mut out, depth)?;
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(ctx, &mut out, depth)?;
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_string = byte == b'"';
                out.push(byte);
            }
        }
    }
    Ok(out)
}

fn new_line(ctx: &mut Context, out: &mut Vec<u8>, depth: usize) -> Result<(), EncodeError> {
    ctx.reserve(1 + 2 * depth).map_err(EncodeError::Limit)?;
    out.push(b'\n');
    out.extend(std::iter::repeat_n(b' ', 2 * depth));
    Ok(())
}
